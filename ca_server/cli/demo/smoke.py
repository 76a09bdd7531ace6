"""Uses the demo as its clients would, with tools that are not ours, so that the demo cannot rot."""

from __future__ import annotations

import errno
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.cli.demo.acme_client import AcmeClient, ExternalKey
from ca_server.cli.demo.layout import ACME_EAB_PROFILE, ACME_PROFILE, AUTHORITY, ROOT, Layout
from ca_server.cli.demo.processes import sealkeeper
from ca_server.core.errors import CaError, Kind

REVOCATION_SECONDS = 10
# A worker that was stopped a moment ago keeps its lease on the log for half a minute.
SEQUENCE_SECONDS = 45
# An address needs no DNS server, so that this works on a machine that has none.
ADDRESS = "127.0.0.1"


class NotTried(Exception):
    """Something that this machine does not let the demo try; the reason is for its user."""


class Smoke:
    """The things a newcomer would try, each with its proof."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._folder = layout.directory / "smoke"

    def steps(self) -> list[tuple[str, Callable[[], None]]]:
        """What is done, in order."""
        return [
            ("a certificate over REST", lambda: self._issue("kept")),
            ("openssl verify accepts it, CRLs checked", self._verify_kept),
            ("openssl ocsp says good", lambda: self._expect_ocsp("kept", "good")),
            ("a certificate over ACME", lambda: self._enrol("acme", ACME_PROFILE)),
            (
                "another one for an account that was bound by an external key",
                lambda: self._enrol("acme-eab", ACME_EAB_PROFILE, self._external_key()),
            ),
            ("a certificate over EST, by a secret", self._enroll),
            ("the next one over EST, by the one before", self._renew),
            ("one more, revoked", self._revoke_second),
            ("CRL and OCSP say revoked within 10 seconds", self._expect_revoked),
            ("the audit log verifies, with a proof of the certificate", self._audit),
        ]

    def prepare(self) -> None:
        """Empty the folder of an earlier run."""
        shutil.rmtree(self._folder, ignore_errors=True)
        self._folder.mkdir()

    def _certificate(self, name: str) -> Path:
        return self._folder / name / "cert.pem"

    def _client(self, *arguments: str, role: str = "requester") -> str:
        connection = ["--ca-url", self._layout.ca_url, "--root", str(self._layout.roots)]
        token = ["--token-file", str(self._layout.tokens / role)]
        return self._run(sealkeeper("certificate", *arguments, *connection, *token))

    def _issue(self, name: str) -> None:
        out = str(self._folder / name)
        self._client("issue", "--profile", "tls-server", "--san", f"{name}.example.test", "--out", out)

    def _enrol(self, name: str, profile: str, external: ExternalKey | None = None) -> None:
        client = AcmeClient(self._layout.acme_directory(profile), self._layout.roots)
        client.register(external)
        port = self._layout.options.http01_port
        try:
            chain = client.enrol(ADDRESS, port)
        except OSError as error:
            # Whoever has the port may be just what the demo is tried with, so it is no failure of ours.
            if error.errno not in {errno.EADDRINUSE, errno.EACCES}:
                raise
            raise NotTried(f"port {port} is not ours to answer on ({error.strerror})") from error
        self._certificate(name).parent.mkdir()
        self._certificate(name).write_text(chain)
        self._fetch_crls()
        self._run(self._verify_command(name))

    def _external_key(self) -> ExternalKey:
        folder = self._layout.external_account
        return ExternalKey((folder / "kid").read_text().strip(), (folder / "hmac-key").read_text().strip())

    def _enroll(self) -> None:
        first = ["--url", self._layout.est_url, "--root", str(self._layout.roots)]
        secret = ["--secret-file", str(self._layout.enrolment / "secret")]
        self._run(
            sealkeeper("enroll", *first, *secret, "--name", "est.example.test", "--dir", str(self._host))
        )
        self._take_from_host("est")

    def _renew(self) -> None:
        self._run(sealkeeper("enroll", "--dir", str(self._host), "--early"))
        self._take_from_host("est-renewed")
        if self._certificate("est").read_bytes() == self._certificate("est-renewed").read_bytes():
            raise CaError(Kind.INTERNAL, "sealkeeper enroll --early left the certificate as it was")

    @property
    def _host(self) -> Path:
        return self._folder / "host"

    def _take_from_host(self, name: str) -> None:
        """Keep what the host has now, and verify it."""
        self._certificate(name).parent.mkdir()
        shutil.copy(self._host / "current" / "cert.pem", self._certificate(name))
        self._fetch_crls()
        self._run(self._verify_command(name))

    def _verify_kept(self) -> None:
        self._fetch_crls()
        self._run(self._verify_command("kept"))

    def _verify_command(self, name: str) -> list[str]:
        chain = str(self._layout.issuing_chain)
        roots = str(self._layout.roots)
        crls = str(self._folder / "crls.pem")
        trust = ["-CAfile", roots, "-untrusted", chain, "-CRLfile", crls, "-crl_check_all"]
        return ["openssl", "verify", *trust, str(self._certificate(name))]

    def _fetch_crls(self) -> None:
        crls = []
        for authority in (ROOT, AUTHORITY):
            url = f"{self._layout.http_url}/crl/{authority}.crl"
            with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 - our own http URL
                crl = x509.load_der_x509_crl(answer.read())
            crls.append(crl.public_bytes(Encoding.PEM))
        (self._folder / "crls.pem").write_bytes(b"".join(crls))

    def _ocsp(self, name: str) -> str:
        issuer = str(self._layout.issuing_chain)
        question = ["-issuer", issuer, "-cert", str(self._certificate(name)), "-url", self._layout.ocsp_url]
        return self._run(["openssl", "ocsp", *question, "-CAfile", str(self._layout.roots)])

    def _expect_ocsp(self, name: str, status: str) -> None:
        answer = self._ocsp(name)
        if f": {status}" not in answer:
            raise CaError(Kind.INTERNAL, f"openssl ocsp did not say {status}:\n{answer}")

    def _revoke_second(self) -> None:
        self._issue("revoked")
        certificate = x509.load_pem_x509_certificate(self._certificate("revoked").read_bytes())
        fingerprint = certificate.fingerprint(hashes.SHA256()).hex()
        self._client("revoke", fingerprint, "--reason", "superseded", "--yes", role="officer")

    def _expect_revoked(self) -> None:
        deadline = time.monotonic() + REVOCATION_SECONDS
        while True:
            self._fetch_crls()
            verified = subprocess.run(self._verify_command("revoked"), capture_output=True, check=False)
            if verified.returncode != 0 and b"certificate revoked" in verified.stderr + verified.stdout:
                break
            if time.monotonic() > deadline:
                raise CaError(Kind.INTERNAL, "the revoked certificate is not on the CRL after 10 seconds")
            time.sleep(0.5)
        while ": revoked" not in self._ocsp("revoked"):
            if time.monotonic() > deadline:
                raise CaError(Kind.INTERNAL, "OCSP does not say revoked after 10 seconds")
            time.sleep(0.5)

    def _audit(self) -> None:
        url = f"{self._layout.http_url}/audit"
        vkey = str(self._layout.vkey)
        proof = str(self._folder / "kept.tlog-proof")
        self._retry(
            sealkeeper(
                "audit", "proof", str(self._certificate("kept")), "--url", url, "--vkey", vkey, "--out", proof
            )
        )
        self._run(sealkeeper("audit", "verify", "--url", url, "--vkey", vkey))

    def _retry(self, command: list[str]) -> None:
        """The sequencer comes by once a second; a fresh event may wait that long for its place."""
        deadline = time.monotonic() + SEQUENCE_SECONDS
        while True:
            try:
                self._run(command)
            except CaError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.5)
            else:
                return

    def _run(self, command: list[str]) -> str:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=self._layout.environment(), timeout=120
        )
        if done.returncode != 0:
            raise CaError(
                Kind.INTERNAL, f"{' '.join(command[:6])} ... failed:\n{done.stdout}{done.stderr}".rstrip()
            )
        return done.stdout + done.stderr
