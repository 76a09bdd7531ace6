"""`sealkeeper enroll` against the real appliance, also with the clocks of both moved until renewal is due."""

from __future__ import annotations

import socket
import sys
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.architecture.tree import ROOT
from tests.fixtures.commands import sealkeeper, tool
from tests.fixtures.running import Running, eventually

pytestmark = [pytest.mark.hsm, pytest.mark.slow]

NAME = "www.example.com"


def make_secret(running: Running, out, *, name=NAME):
    sealkeeper(
        *("est", "secret", "create", "--profile", "tls-peer", "--allow", f"dns:{name}", "--owner", "a test"),
        *("--out", str(out), "--config", str(running.appliance.config_file)),
        SOFTHSM2_CONF=str(running.layout.softhsm_conf),
    )


def first(running: Running, secret, folder, *more):
    return [
        *("enroll", "--url", f"{running.layout.est_url}/tls-peer", "--root", str(running.layout.roots)),
        *("--name", NAME, "--secret-file", str(secret), "--dir", str(folder), *more),
    ]


def check_served(folder):
    """Key, certificate and chain fit, and OpenSSL finds them good in the hour after their issue."""
    current = folder / "current"
    certificate = x509.load_pem_x509_certificate((current / "cert.pem").read_bytes())
    key = load_pem_private_key((current / "key.pem").read_bytes(), None)
    assert key.public_key() == certificate.public_key()
    assert (current / "key.pem").stat().st_mode & 0o777 == 0o600
    when = str(int(certificate.not_valid_before_utc.timestamp()) + 3600)
    tool(
        *("openssl", "verify", "-attime", when, "-CAfile", str(current / "root.pem")),
        *("-untrusted", str(current / "chain.pem"), "-verify_hostname", NAME, str(current / "cert.pem")),
    )
    return certificate


def listens(running: Running) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("localhost", running.layout.options.https_port)) == 0


def test_a_host_enrols_by_one_command_and_renews_when_two_thirds_are_over(running, tmp_path, monkeypatch):
    secret, folder, hooked = tmp_path / "secret", tmp_path / "host", tmp_path / "hooked"
    make_secret(running, secret)
    hook = f"{sys.executable} -c \"open('{hooked}', 'a').write('x')\""
    sealkeeper(*first(running, secret, folder, "--hook", hook))
    before = check_served(folder)
    secret.unlink()
    assert "not due" in sealkeeper("enroll", "--dir", str(folder)).stderr
    assert hooked.read_text() == "x"

    running.processes.stop()
    monkeypatch.setenv("PYTHONPATH", str(ROOT / "tests/fakes/moved_clock"))
    monkeypatch.setenv("MOVED_DAYS", "21")
    config = str(running.appliance.config_file)
    running.processes.start("serve", "serve", "--config", config)
    running.processes.start("worker", "worker", "--config", config)
    eventually(lambda: listens(running), 60)
    said = sealkeeper("enroll", "--dir", str(folder)).stderr
    assert f"enrolled: {NAME}" in said
    monkeypatch.delenv("PYTHONPATH")

    renewed = check_served(folder)
    assert renewed.not_valid_before_utc - before.not_valid_before_utc > timedelta(days=20)
    assert renewed.public_key() != before.public_key()
    assert renewed.subject == before.subject
    assert hooked.read_text() == "xx"


def test_refusals_of_the_real_server_are_told_with_their_rule(running, tmp_path):
    secret, folder = tmp_path / "secret", tmp_path / "host"
    make_secret(running, secret, name="other.example.com")
    refused = sealkeeper(*first(running, secret, folder), check=False)
    assert refused.returncode == 4, refused.stderr
    assert "ACCESS-NAME" in refused.stderr
    # The secret is not spent by that, and good for its own name.
    own = [
        "--name" if each == "--name" else each.replace(NAME, "other.example.com")
        for each in first(running, secret, folder)
    ]
    sealkeeper(*own)
    spent = sealkeeper(*first(running, secret, tmp_path / "second"), check=False)
    assert spent.returncode in {1, 4}, spent.stderr

    # Revoked: no renewal, and a new secret is what helps.
    found = running.ask("GET", "/certificates?name=dns:other.example.com", role="officer")
    [certificate] = found.body["items"]
    revocation = {"reason": "keyCompromise"}
    assert (
        running.ask(
            "POST", f"/certificates/{certificate['id']}/revocation", revocation, role="officer"
        ).status
        == 200
    )
    stopped = sealkeeper("enroll", "--dir", str(folder), "--early", check=False)
    assert stopped.returncode in {1, 4}
    assert "ACCESS-CERT-REVOKED" in stopped.stderr
    assert "--anew" in stopped.stderr
    again = tmp_path / "again"
    make_secret(running, again, name="other.example.com")
    sealkeeper("enroll", "--dir", str(folder), "--anew", "--secret-file", str(again))
