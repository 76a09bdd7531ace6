"""certbot, as Debian ships it and as its makers do."""

from __future__ import annotations

import ipaddress
from pathlib import Path

from tests.conformance.acme.capabilities import Capability
from tests.conformance.acme.clients.client import ACME_CLIENTS, Client, Issued, Wish
from tests.fixtures.commands import run

ANSWER_DNS = Path(__file__).parents[1] / "programs" / "answer-challenge"


class DebianCertbot(Client):
    """certbot 2.1: no IP addresses, no renewal information, no profiles."""

    title = "certbot 2.1"
    program = "/usr/bin/certbot"
    knows = frozenset(
        {
            Capability.REGISTER,
            Capability.EXTERNAL_ACCOUNT,
            Capability.UPDATE,
            Capability.HTTP_01,
            Capability.DNS_01,
            Capability.WILDCARD,
            Capability.OWN_CSR,
            Capability.RENEW,
            Capability.REVOKE_BY_ACCOUNT,
            Capability.REVOKE_BY_OTHER,
            Capability.REVOKE_BY_KEY,
            Capability.DEACTIVATE,
        }
    )

    def register(self) -> None:
        self._run("register", *self._account())

    def update(self, email: str) -> None:
        self._run("update_account", "-m", email, "--no-eff-email", *self._server())

    def issue(self, wish: Wish) -> Issued:
        if wish.csr:
            paths = [self.home / "cert.pem", self.home / "below.pem", self.home / "chain.pem"]
            options = ["--csr", wish.csr, "--cert-path", paths[0]]
            options += ["--chain-path", paths[1], "--fullchain-path", paths[2]]
        else:
            options = ["--cert-name", "one"]
            for name in wish.names:
                options += ["--ip-address" if is_address(name) else "-d", name]
        if wish.profile:
            options += ["--required-profile", wish.profile]
        self._run("certonly", *self._account(), *self._answer(wish), *options)
        return Issued(self.home / "chain.pem", None) if wish.csr else self._live()

    def renew(self, wish: Wish) -> Issued:
        self._run("renew", "--force-renewal", "--no-random-sleep-on-renew")
        return self._live()

    def revoke(self, issued: Issued) -> None:
        self._revoke(issued, *self._server())

    def revoke_by_key(self, issued: Issued) -> None:
        assert issued.key_file
        self._revoke(issued, *self._server(), "--key-path", issued.key_file)

    def deactivate(self) -> None:
        self._run("unregister", *self._server())

    def _revoke(self, issued: Issued, *options: object) -> None:
        # certbot compares the file's first certificate only, and sends that one.
        self._run(
            *("revoke", "--cert-path", issued.chain_file),
            *("--reason", "superseded", "--no-delete-after-revoke", *options),
        )

    def _live(self) -> Issued:
        live = self.home / "config" / "live" / "one"
        return Issued(live / "fullchain.pem", live / "privkey.pem")

    def _server(self) -> list[str]:
        return ["--server", self.directory]

    def _account(self) -> list[str]:
        options = [*self._server(), "--agree-tos", "-m", self.email, "--no-eff-email"]
        if self.external_key:
            options += ["--eab-kid", self.external_key.kid, "--eab-hmac-key", self.external_key.hmac]
        return options

    def _answer(self, wish: Wish) -> list[str]:
        if wish.challenge == "dns-01":
            return ["--manual", "--preferred-challenges", "dns", "--manual-auth-hook", str(ANSWER_DNS)]
        for name in wish.names:
            if not is_address(name):
                self.lab.point(name, self.address)
        listen = ["--http-01-address", self.address, "--http-01-port", str(self.lab.http_port)]
        return ["--standalone", "--preferred-challenges", "http", *listen]

    def _run(self, *arguments: object) -> str:
        folders = ("config", "work", "logs")
        places = [word for each in folders for word in (f"--{each}-dir", self.home / each)]
        done = run(
            *map(str, (self.program, *arguments, "--non-interactive", *places)),
            REQUESTS_CA_BUNDLE=str(self.lab.roots),
            CHALLTESTSRV=self.lab.challtestsrv,
        )
        return done.stdout + done.stderr


class Certbot(DebianCertbot):
    """certbot 5.8: what its older self knows, and addresses, renewal information and profiles."""

    title = "certbot 5.8"
    program = str(ACME_CLIENTS / "bin" / "certbot")
    knows = DebianCertbot.knows | {Capability.ADDRESS, Capability.RENEWAL_INFO, Capability.PROFILE}

    def renew_when_told(self, wish: Wish) -> Issued:
        self._run("renew", "--no-random-sleep-on-renew")
        return self._live()


def is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
