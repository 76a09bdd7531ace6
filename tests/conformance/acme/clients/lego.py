"""lego from Debian's packages."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.conformance.acme.capabilities import Capability
from tests.conformance.acme.clients.certbot import ANSWER_DNS
from tests.conformance.acme.clients.client import Client, Issued, Wish
from tests.fixtures.commands import run


class Lego(Client):
    """lego 4.9: it sends an IP address as a DNS name, and knows neither renewal information nor profiles."""

    title = "lego 4.9"
    program = "lego"
    knows = frozenset(
        {
            Capability.REGISTER,
            Capability.EXTERNAL_ACCOUNT,
            Capability.HTTP_01,
            Capability.DNS_01,
            Capability.TLS_ALPN_01,
            Capability.WILDCARD,
            Capability.OWN_CSR,
            Capability.RENEW,
            Capability.REVOKE_BY_ACCOUNT,
            Capability.REVOKE_BY_OTHER,
        }
    )

    def register(self) -> None:
        """Register and get a certificate: lego has no command for the account alone."""
        self.issue(Wish((f"{self.home.name}.{self.home.parent.name}.example.test",)))

    def issue(self, wish: Wish) -> Issued:
        names = ["--csr", wish.csr] if wish.csr else [word for name in wish.names for word in ("-d", name)]
        self._run(*self._answer(wish), *names, "run")
        return self._stored(wish)

    def renew(self, wish: Wish) -> Issued:
        names = [word for name in wish.names for word in ("-d", name)]
        self._run(*self._answer(wish), *names, "renew", "--days", "5000", "--no-random-sleep")
        return self._stored(wish)

    def revoke(self, issued: Issued) -> None:
        # lego revokes what lies in its own folder.
        shutil.copy(issued.chain_file, self.home / "certificates" / "revoked.test.crt")
        self._run("-d", "revoked.test", "revoke", "--keep", "--reason", "4")

    def _stored(self, wish: Wish) -> Issued:
        stem = wish.names[0].replace("*", "_")
        folder = self.home / "certificates"
        return Issued(folder / f"{stem}.crt", None if wish.csr else folder / f"{stem}.key")

    def _answer(self, wish: Wish) -> list[object]:
        if wish.challenge == "dns-01":
            return ["--dns", "exec", "--dns.resolvers", self.lab.dns, "--dns.disable-cp"]
        for name in wish.names:
            self.lab.point(name, self.address)
        if wish.challenge == "tls-alpn-01":
            return ["--tls", "--tls.port", f"{self.address}:{self.lab.tls_port}"]
        return ["--http", "--http.port", f"{self.address}:{self.lab.http_port}"]

    def _run(self, *arguments: object) -> None:
        account: list[str | Path] = ["--server", self.directory, "--accept-tos", "--email", self.email]
        account += ["--path", self.home]
        if self.external_key:
            account += ["--eab", "--kid", self.external_key.kid, "--hmac", self.external_key.hmac]
        run(
            *map(str, (self.program, *account, *arguments)),
            LEGO_CA_CERTIFICATES=str(self.lab.roots),
            EXEC_PATH=str(ANSWER_DNS),
            EXEC_POLLING_INTERVAL="1",
            EXEC_SEQUENCE_INTERVAL="1",
            CHALLTESTSRV=self.lab.challtestsrv,
        )
