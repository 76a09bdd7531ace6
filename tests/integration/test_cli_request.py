"""`sealkeeper request` against a server over HTTPS: officers decide, and whoever waits gets a certificate."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partialmethod

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from ca_server.core.authorization import Role
from ca_server.core.profile import parse_profile
from ca_server.policy_store import default_directory
from ca_server.services.certificate_request import CertificateRequest
from tests.fixtures.commands import sealkeeper
from tests.fixtures.issuing import make_csr


@pytest.fixture
def run(issuing, serve_https, tmp_path, monkeypatch):
    """Runs `sealkeeper` as somebody of a role; each role has one token."""
    document = (default_directory() / "profiles/tls-server.toml").read_text()
    document = document.replace('name = "tls-server"', 'name = "approved"')
    document = document.replace("[requesters]", "[requesters]\napprovals = 1")
    issuing.policies._profiles["approved"] = parse_profile(document.encode(), source="approved.toml")
    # Nobody waits for a minute here.
    monkeypatch.setattr(
        CertificateRequest, "__init__", partialmethod(CertificateRequest.__init__, retry_after=1)
    )
    served = serve_https(issuing.api())
    for role in Role:
        (tmp_path / role).write_text(issuing.token(role))

    def command(role, *arguments, check=True):
        return sealkeeper(
            *map(str, arguments),
            check=check,
            SEALKEEPER_URL=served.url,
            SEALKEEPER_ROOT=str(served.root),
            SEALKEEPER_TOKEN_FILE=str(tmp_path / role),
        )

    return command


def pending(run):
    """The one request that waits, as soon as it does."""
    for _ in range(60):
        found = json.loads(run(Role.OFFICER, "request", "list", "--json").stdout)
        if found:
            return found[0]["id"]
        threading.Event().wait(0.5)
    raise AssertionError("nothing waits")


def test_whoever_waits_gets_a_certificate_once_an_officer_approves(run, tmp_path):
    out = tmp_path / "live"
    arguments = ("certificate", "issue", "--profile", "approved", "--san", "www.example.com", "--out", out)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run, Role.REQUESTER, *arguments)
        request_id = pending(run)
        listed = run(Role.OFFICER, "request", "list").stdout
        assert listed.startswith(f"{request_id}\tpending\t")
        assert "dns:www.example.com" in listed
        shown = json.loads(run(Role.AUDITOR, "request", "show", request_id).stdout)
        assert shown["approvals"] == []
        refused = run(Role.OFFICER, "request", "approve", request_id, check=False)
        assert (refused.returncode, "names: dns:www.example.com" in refused.stderr) == (130, True)
        assert run(Role.AUDITOR, "request", "approve", request_id, "--yes", check=False).returncode == 1
        run(Role.OFFICER, "request", "approve", request_id, "--yes", "--comment", "seen it")
        done = waiting.result()
    assert f"request {request_id} waits for the approval of officers" in done.stderr
    assert x509.load_pem_x509_certificate((out / "cert.pem").read_bytes())
    assert run(Role.OFFICER, "request", "list").stdout == ""
    assert run(Role.OFFICER, "request", "list", "--status", "issued").stdout.startswith(request_id)
    assert run(Role.OFFICER, "request", "list", "--status", "all").stdout.startswith(request_id)


def test_a_rejected_request_ends_whoever_waits_and_leaves_no_file(run, tmp_path):
    csr = tmp_path / "csr.pem"
    csr.write_text(make_csr(ec.generate_private_key(ec.SECP256R1()), "www.example.com"))
    out = tmp_path / "live"
    arguments = ("certificate", "issue", "--profile", "approved", "--csr", csr, "--out", out)
    arguments += ("--idempotency-key", "again")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(run, Role.REQUESTER, *arguments, check=False)
        request_id = pending(run)
        run(Role.OFFICER, "request", "reject", request_id, "--yes", "--comment", "no such host")
        done = waiting.result()
    assert done.returncode == 1
    assert "no such host" in done.stderr
    assert "APPROVAL-REJECTED" in done.stderr
    assert not out.exists()
    assert "APPROVAL-REJECTED" in run(Role.REQUESTER, *arguments, check=False).stderr


def test_an_id_that_is_none_never_reaches_the_server(run):
    done = run(Role.OFFICER, "request", "approve", "../tokens", check=False)
    assert (done.returncode, "sealkeeper request list" in done.stderr) == (2, True)
