"""The whole path with the whole product running, judged by programs that are not ours."""

from __future__ import annotations

import os
import secrets
import signal
import threading
import time
import urllib.request
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import text

from ca_server.compose import settle_left_behind
from ca_server.core.lints import blocking
from ca_server.core.lints.pkix import lint_certificate, lint_crl
from ca_server.store.engine import Database
from tests import world
from tests.conformance.audit.independent import verify_with_go, verify_with_openssl
from tests.fixtures.commands import tool
from tests.fixtures.running import Running, eventually

CLIENTS = 8


def fetch(url: str) -> bytes:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read()


def openssl_csr(folder: Path, name: str) -> str:
    """A key and a CSR, made as an administrator would."""
    key, csr = folder / f"{name}.key", folder / f"{name}.csr"
    tool(
        *("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"),
        *(
            "-keyout",
            str(key),
            "-out",
            str(csr),
            "-subj",
            "/",
            "-addext",
            f"subjectAltName=critical,DNS:{name}",
        ),
    )
    return csr.read_text()


def csr_for(name: str) -> str:
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    return csr.public_bytes(Encoding.PEM).decode()


def crl_file(running: Running, folder: Path) -> Path:
    """Both CRLs as they are published now, in PEM."""
    pem = b""
    for authority in ("root-r1", "issuing-i1"):
        der = fetch(f"{running.layout.http_url}/crl/{authority}.crl")
        assert not blocking(lint_crl(der))
        pem += x509.load_der_x509_crl(der).public_bytes(Encoding.PEM)
    file = folder / "crls.pem"
    file.write_bytes(pem)
    return file


def verifies(running: Running, certificate: Path, folder: Path) -> bool:
    trust = ["-CAfile", str(running.layout.roots), "-untrusted", str(running.layout.issuing_chain)]
    crls = ["-CRLfile", str(crl_file(running, folder)), "-crl_check_all", "-x509_strict"]
    return tool("openssl", "verify", *trust, *crls, str(certificate), check=False).returncode == 0


def ocsp_status(running: Running, *question: str) -> str:
    issuer = ["-issuer", str(running.layout.issuing_chain), "-CAfile", str(running.layout.roots)]
    done = tool("openssl", "ocsp", *issuer, *question, "-url", running.layout.ocsp_url)
    assert "Response verify OK" in done.stderr
    return done.stdout


def test_from_openssl_req_to_a_certificate_and_its_revocation(running, tmp_path):
    issued = running.request_certificate(openssl_csr(tmp_path, "web.example.test"))
    assert issued.status == 201, issued.body
    chain = tmp_path / "chain.pem"
    chain.write_text(issued.body["certificate"]["pem_chain"])
    leaf = tmp_path / "leaf.pem"
    certificate = x509.load_pem_x509_certificate(chain.read_bytes())
    leaf.write_bytes(certificate.public_bytes(Encoding.PEM))
    assert not blocking(lint_certificate(certificate.public_bytes(Encoding.DER)))

    assert verifies(running, leaf, tmp_path)
    roots = ["--load-ca-certificate", str(running.layout.roots)]
    crls = ["--load-crl", str(crl_file(running, tmp_path))]
    gnutls = tool("certtool", "--verify", *roots, *crls, "--infile", str(chain)).stdout
    assert "Chain verification output: Verified." in gnutls
    assert ": good" in ocsp_status(running, "-cert", str(leaf))
    never = ocsp_status(running, "-serial", f"0x{secrets.randbits(150):x}")
    assert ": unknown" in never
    assert ": good" not in never

    certificate_id = issued.body["certificate"]["id"]
    path = f"/certificates/{certificate_id}/revocation"
    revoked = running.ask("POST", path, {"reason": "keyCompromise"}, role="officer")
    assert revoked.status in {200, 201}, revoked.body
    eventually(lambda: not verifies(running, leaf, tmp_path), 10)
    eventually(lambda: ": revoked" in ocsp_status(running, "-cert", str(leaf)), 10)
    crl = x509.load_der_x509_crl(fetch(f"{running.layout.http_url}/crl/issuing-i1.crl"))
    entry = crl.get_revoked_certificate_by_serial_number(certificate.serial_number)
    assert entry is not None
    # The key is on the compromise list now, and is certified no more.
    again = running.request_certificate((tmp_path / "web.example.test.csr").read_text())
    assert again.status in {400, 422}, again.body
    assert any(rule.startswith("KEY-") for rule in again.body["rule_ids"])


def test_every_certificate_is_in_the_log_and_a_stranger_can_check(running):
    for number in range(5):
        assert running.request_certificate(csr_for(f"log-{number}.example.test")).status == 201
    database = Database(running.appliance.config.database.url)

    def all_sequenced() -> bool:
        with database.read() as connection:
            return not connection.execute(
                text("SELECT count(*) FROM audit_event WHERE leaf_index IS NULL")
            ).scalar_one()

    eventually(all_sequenced)
    eventually(lambda: int(fetch(f"{running.layout.http_url}/audit/checkpoint").split(b"\n")[1]) > 10)
    with database.read() as connection:
        indexes = [
            row[0]
            for row in connection.execute(
                text("SELECT leaf_index FROM audit_event WHERE kind IN ('issue.intent', 'issue.done')")
            )
        ]
    counted = world.check(database)
    database.close()
    assert counted["certificates"] == 6, "five and the server's own"
    assert len(indexes) == 2 * counted["certificates"]
    vkey = running.layout.vkey.read_text().strip()
    url = f"{running.layout.http_url}/audit"
    eventually(lambda: int(fetch(f"{url}/checkpoint").split(b"\n")[1]) > max(indexes))
    verify_with_go(url, vkey, indexes)
    verify_with_openssl(fetch(f"{url}/checkpoint"), vkey)


class Enrolling:
    """Clients that keep asking, repeat what failed with the same key, and keep what they were given."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self.given: dict[str, str] = {}
        self.errors: list[tuple[int, dict[str, str]]] = []
        self.broken = 0
        self._threads = [threading.Thread(target=self._work, args=(number,)) for number in range(CLIENTS)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_reason):
        self._stopping.set()
        for thread in self._threads:
            thread.join()

    def wait_for_more(self, count: int) -> None:
        """Wait until so many more certificates were given."""
        wanted = len(self.given) + count
        eventually(lambda: len(self.given) >= wanted, 60)

    def _work(self, client: int) -> None:
        number = 0
        while not self._stopping.is_set():
            number += 1
            self._enrol(f"{client}-{number}")

    def _enrol(self, key: str) -> None:
        csr = csr_for(f"host-{key}.example.test")
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            try:
                answer = self._running.request_certificate(csr, key=key)
            except (OSError, ValueError):
                with self._lock:
                    self.broken += 1
                time.sleep(0.2)
                continue
            if answer.status == 201:
                with self._lock:
                    self.given[key] = answer.body["certificate"]["id"]
                return
            with self._lock:
                self.errors.append((answer.status, answer.headers))
            time.sleep(min(int(answer.headers.get("retry-after", 1)), 1))
        raise AssertionError(f"{key} was never answered")


def check_all_given(running: Running, enrolling: Enrolling) -> None:
    assert settle_left_behind(running.appliance.config)[1] == 0
    database = Database(running.appliance.config.database.url)
    world.check(database)
    with database.read() as connection:
        stored = {row[0] for row in connection.execute(text("SELECT id FROM certificate"))}
    database.close()
    assert set(enrolling.given.values()) <= stored
    assert len(set(enrolling.given.values())) == len(enrolling.given)


def test_the_hsm_goes_away_and_comes_back_while_clients_enrol(running):
    tokens = running.appliance.rehearsal.tokens
    away = tokens.with_name("taken-away")
    with Enrolling(running) as enrolling:
        eventually(lambda: len(enrolling.given) > CLIENTS, 30)
        tokens.rename(away)
        try:
            eventually(lambda: len(enrolling.errors) > CLIENTS, 30)
        finally:
            away.rename(tokens)
        enrolling.wait_for_more(2 * CLIENTS)
    assert enrolling.errors
    for status, headers in enrolling.errors:
        assert status == 503
        assert int(headers["retry-after"]) > 0
    check_all_given(running, enrolling)


def worker_pids(running: Running) -> list[int]:
    """Processes that may die at any time: gunicorn's workers, the worker, the responder's workers."""
    found = [running.processes.pids["worker"]]
    waiting = [running.processes.pids["serve"], running.processes.pids["ocsp"]]
    while waiting:
        pid = waiting.pop()
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").glob("*")
            for child in (task / "children").read_text().split()
        ]
        waiting += children
        found += [child for child in children if not Path(f"/proc/{child}/task/{child}/children").read_text()]
    return found


@pytest.mark.slow
def test_processes_die_at_random_and_nothing_is_lost(running):
    with Enrolling(running) as enrolling:
        for _ in range(12):
            enrolling.wait_for_more(3)
            os.kill(secrets.choice(worker_pids(running)), signal.SIGKILL)
            time.sleep(secrets.randbelow(500) / 1000)
            running.start()
        enrolling.wait_for_more(CLIENTS)
    check_all_given(running, enrolling)
