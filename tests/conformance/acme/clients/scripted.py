"""The two clients that are libraries: each is driven by a program of ours in its own language.

A program reads one JSON object from standard input and writes one to standard output; what an account is
stands in its `state` file.
"""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, ClassVar

from tests.conformance.acme.capabilities import Capability
from tests.conformance.acme.clients.client import ACME_CLIENTS, Client, Issued, Wish
from tests.fixtures.commands import missing_tool

HERE = Path(__file__).parents[1]
SUPERSEDED = 4  # RFC 5280 §5.3.1


class Scripted(Client):
    """A library in a program of ours."""

    script: ClassVar[Path]

    @property
    def address(self) -> str:
        """The challenge test server answers for these clients, at the address it listens on."""
        return "127.0.0.1"

    def register(self) -> None:
        key = self.external_key
        binding = {"kid": key.kid, "hmac": key.hmac} if key else None
        self.ask("register", email=self.email, binding=binding)

    def update(self, email: str) -> None:
        self.ask("update", email=email)

    def issue(self, wish: Wish) -> Issued:
        if not (self.home / "state.json").exists():
            self.register()
        return self.order(wish)

    def renew(self, wish: Wish) -> Issued:
        return self.order(wish)

    def revoke(self, issued: Issued) -> None:
        self.ask("revoke", certificate=str(issued.chain_file), reason=SUPERSEDED)

    def revoke_by_key(self, issued: Issued) -> None:
        self.ask("revoke", certificate=str(issued.chain_file), key=str(issued.key_file), reason=SUPERSEDED)

    def change_key(self) -> None:
        self.ask("change-key")

    def deactivate(self) -> None:
        self.ask("deactivate")

    def ask(self, action: str, **words: Any) -> dict[str, Any]:
        """Run the program once."""
        question = {
            "action": action,
            "directory": self.directory,
            "challtestsrv": self.lab.challtestsrv,
            "state": str(self.home / "state.json"),
            **words,
        }
        environment = {"REQUESTS_CA_BUNDLE": str(self.lab.roots), "NODE_EXTRA_CA_CERTS": str(self.lab.roots)}
        done = subprocess.run(
            [self.program, self.script],
            input=json.dumps(question),
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
            env=environment,
        )
        assert done.returncode == 0, f"{action} gave {done.returncode}:\n{done.stdout}{done.stderr}"
        answer: dict[str, Any] = json.loads(done.stdout)
        return answer

    def order(self, wish: Wish, **words: Any) -> Issued:
        """Order with what only this library can say besides."""
        files = {"chain": self.home / "chain.pem", "key": self.home / "key.pem"}
        self.ask(
            "issue",
            names=wish.names,
            challenge=wish.challenge,
            profile=wish.profile,
            csr=str(wish.csr) if wish.csr else None,
            files={name: str(path) for name, path in files.items()},
            **words,
        )
        return Issued(files["chain"], None if wish.csr else files["key"])


class NodeClient(Scripted):
    """npm's acme-client."""

    title = "acme-client 5.4"
    program = "node"
    script = HERE / "npm" / "client.js"
    knows = frozenset(
        {
            Capability.REGISTER,
            Capability.EXTERNAL_ACCOUNT,
            Capability.UPDATE,
            Capability.HTTP_01,
            Capability.DNS_01,
            Capability.TLS_ALPN_01,
            Capability.WILDCARD,
            Capability.ADDRESS,
            Capability.OWN_CSR,
            Capability.PROFILE,
            Capability.RENEW,
            Capability.CHANGE_KEY,
            Capability.REVOKE_BY_ACCOUNT,
            Capability.REVOKE_BY_OTHER,
            Capability.DEACTIVATE_AUTHORIZATION,
            Capability.DEACTIVATE,
        }
    )

    @classmethod
    def require(cls) -> None:
        super().require()
        if not (HERE / "npm" / "node_modules" / "acme-client").is_dir():
            missing_tool("npm's acme-client (ops/bootstrap test installs it)")


class Library(Scripted):
    """Python's acme, and JWS sent by its means for what it has no call for."""

    title = "acme 5.9"
    program = str(ACME_CLIENTS / "bin" / "python")
    script = HERE / "programs" / "library.py"
    knows = frozenset(Capability)

    def renew_when_told(self, wish: Wish) -> Issued:
        told = self.ask("renewal-time", certificate=str(self.home / "chain.pem"))
        assert told["due"], told
        return self.order(wish)
