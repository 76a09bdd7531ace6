"""strongSwan's `pki --est` and `--estca` from Debian's packages: TLS 1.2, and base64 in one line alone."""

from __future__ import annotations

import re
import subprocess

from cryptography import x509

from tests.conformance.est.capabilities import Capability
from tests.conformance.est.clients.client import Client, Pair, Refused, Secret, Wish

POLL_SECONDS = 1
_FAILED = re.compile(r"EST request failed: HTTP (\d+)")


class StrongSwan(Client):
    """strongSwan 5.9.8: it has no word for csrattrs, serverkeygen and labels, and shows no server's words.

    With a certificate of its own it renews, whatever else it is told, so it enrols by a secret alone. It
    waits for approval as told, but without a label there is no profile here that needs one.
    """

    title = "strongSwan 5.9"
    program = "pki"
    knows = frozenset(
        {
            Capability.CACERTS,
            Capability.BY_SECRET,
            Capability.RENEW_SAME_KEY,
            Capability.RENEW_NEW_KEY,
            Capability.SPENT_SECRET,
            Capability.REVOKED,
            Capability.FOREIGN,
        }
    )

    def authorities(self) -> set[x509.Certificate]:
        self._run("--estca", "--caout", str(self.home / "ca"))
        files = sorted(self.home.glob("ca*"))
        return {x509.load_der_x509_certificate(each.read_bytes()) for each in files}

    def enrol(self, wish: Wish, secret: Secret) -> Pair:
        return self._ask(wish, "--userpass", str(secret))

    def renew(self, wish: Wish, old: Pair) -> Pair:
        return self._ask(wish, "--cert", str(old.certificate), "--key", str(old.key))

    def _ask(self, wish: Wish, *options: str) -> Pair:
        form = ("--outform", "pem", "--interval", str(POLL_SECONDS))
        pem = self._run("--est", "--in", str(wish.csr), *form, *options)
        wish.pair.certificate.write_bytes(pem)
        return wish.pair

    def _run(self, operation: str, *options: str) -> bytes:
        where = ("--url", self.lab.url, "--cacert", str(self.lab.roots))
        done = subprocess.run(
            (self.program, operation, *where, *options),
            capture_output=True,
            check=False,
            timeout=60,
            stdin=subprocess.DEVNULL,
        )
        said = done.stderr.decode(errors="replace")
        if done.returncode:
            failed = _FAILED.search(said)
            assert failed, f"pki {operation} gave {done.returncode}:\n{said}"
            raise Refused(int(failed[1]), "")
        return done.stdout
