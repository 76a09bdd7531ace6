"""dehydrated from Debian's packages: bash, curl and openssl."""

from __future__ import annotations

import shutil
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from tests.conformance.acme.capabilities import Capability
from tests.conformance.acme.clients.certbot import ANSWER_DNS
from tests.conformance.acme.clients.client import Client, Issued, Wish
from tests.fixtures.commands import run


class Dehydrated(Client):
    """dehydrated 0.7: no IP addresses, no renewal information, no profiles."""

    title = "dehydrated 0.7"
    program = "dehydrated"
    knows = frozenset(
        {
            Capability.REGISTER,
            Capability.EXTERNAL_ACCOUNT,
            Capability.UPDATE,
            Capability.HTTP_01,
            Capability.DNS_01,
            Capability.TLS_ALPN_01,
            Capability.WILDCARD,
            Capability.OWN_CSR,
            Capability.RENEW,
            Capability.REVOKE_BY_ACCOUNT,
            Capability.REVOKE_BY_OTHER,
            Capability.DEACTIVATE,
        }
    )

    def register(self) -> None:
        self._configure()
        self._run("--register", "--accept-terms")

    def update(self, email: str) -> None:
        self.email = email
        self._configure()
        self._run("--account")

    def issue(self, wish: Wish) -> Issued:
        if not (self.home / "accounts").exists():
            self.register()
        if wish.csr:
            done = self._run("--signcsr", str(wish.csr), "--challenge", wish.challenge)
            chain = self.home / "chain.pem"
            chain.write_text(done)
            return Issued(chain, None)
        return self._order(wish)

    def renew(self, wish: Wish) -> Issued:
        return self._order(wish, "--force")

    def revoke(self, issued: Issued) -> None:
        # It renames the file that it revoked.
        copy = self.home / "to-be-revoked.pem"
        shutil.copy(issued.chain_file, copy)
        self._run("--revoke", str(copy))

    def deactivate(self) -> None:
        self._run("--deactivate")

    def _order(self, wish: Wish, *options: str) -> Issued:
        names = ["--alias", "one", *(word for name in wish.names for word in ("--domain", name))]
        with self._alpn_server(wish) if wish.challenge == "tls-alpn-01" else nullcontext():
            self._run("--cron", *names, *options, "--challenge", wish.challenge, challenge=wish.challenge)
        folder = self.home / "certs" / "one"
        return Issued(folder / "fullchain.pem", folder / "privkey.pem")

    @contextmanager
    def _alpn_server(self, wish: Wish) -> Iterator[None]:
        """Shows to the validator the certificates that dehydrated made: it leaves that to a web server."""
        for name in wish.names:
            self.lab.point(name, self.address)
        with socket.create_server((self.address, self.lab.tls_port)) as listener:
            thread = threading.Thread(target=self._show_certificates, args=(listener,))
            thread.start()
            try:
                yield
            finally:
                listener.shutdown(socket.SHUT_RDWR)
                thread.join()

    def _show_certificates(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return  # shut down
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.sni_callback = self._choose_certificate
            try:
                context.wrap_socket(connection, server_side=True).close()
            except OSError:
                connection.close()  # what the validator thinks of it is the validator's business

    def _choose_certificate(self, connection: ssl.SSLObject, name: str | None, _: ssl.SSLContext) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.set_alpn_protocols(["acme-tls/1"])
        folder = self.home / "alpn-certs"
        context.load_cert_chain(folder / f"{name}.crt.pem", folder / f"{name}.key.pem")
        connection.context = context

    def _configure(self) -> None:
        (self.home / "well-known").mkdir(exist_ok=True)
        lines = {
            "CA": self.directory,
            "CURL_OPTS": f"--cacert {self.lab.roots}",
            "CONTACT_EMAIL": self.email,
            "KEY_ALGO": "prime256v1",
            # Of the account's RSA key: the 4096 bits that it has otherwise take seconds to find.
            "KEYSIZE": 2048,
            "HOOK": ANSWER_DNS,
            "WELLKNOWN": self.home / "well-known",
        }
        if self.external_key:
            lines |= {"EAB_KID": self.external_key.kid, "EAB_HMAC_KEY": self.external_key.hmac}
        self._config.write_text("".join(f'{name}="{value}"\n' for name, value in lines.items()))

    @property
    def _config(self) -> Path:
        return self.home / "config"

    def _run(self, *arguments: str, challenge: str = "http-01") -> str:
        return run(
            *(self.program, "--config", str(self._config), *arguments),
            CHALLTESTSRV=self.lab.challtestsrv,
            CHALLENGE=challenge,
        ).stdout
