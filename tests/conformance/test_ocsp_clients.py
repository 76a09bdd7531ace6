"""The responder as other people's clients meet it: OpenSSL, GnuTLS, curl, pkilint."""

from __future__ import annotations

import base64
import time
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

import pytest

from ca_server.core.authorization import Principal, Role
from ca_server.core.lints import blocking
from ca_server.core.lints.pkix import lint_ocsp_response
from ca_server.services.revoke import revoke_certificate
from tests.fakes.clock import SetClock
from tests.fixtures.commands import tool

OFFICER = Principal("token:officer", Role.OFFICER, "token")

pytestmark = pytest.mark.hsm


@pytest.fixture
def clock():
    """The clients look at the machine's clock, so this one starts there."""
    return SetClock(datetime.now(UTC).replace(microsecond=0))  # noqa: TID251


@pytest.fixture
def leaves(running_responder):
    """A good certificate, a revoked one, and one that the database does not know."""
    hierarchy = running_responder.hierarchy
    good, revoked = hierarchy.issue("good.example.test"), hierarchy.issue("revoked.example.test")
    revoke_certificate(hierarchy.context, OFFICER, revoked.id, "keyCompromise")
    time.sleep(1.1)
    return {"good": good, "revoked": revoked}


def openssl_ask(responder, *serials: int, options: tuple[str, ...] = ()) -> str:
    asked = [word for serial in serials for word in ("-serial", f"0x{serial:x}")]
    done = tool(
        "openssl",
        "ocsp",
        *("-issuer", responder.issuer_file),
        *options,
        *asked,
        *("-CAfile", responder.trust_file),
        *("-url", responder.url),
    )
    assert "Response verify OK" in done.stderr
    return done.stdout


@pytest.mark.parametrize("digest", ["-sha1", "-sha256"])
@pytest.mark.parametrize("nonce", ["-nonce", "-no_nonce"])
def test_openssl_verifies_good_revoked_and_unknown(running_responder, leaves, digest, nonce):
    good, revoked = (leaves[name].certificate.serial_number for name in ("good", "revoked"))
    issuer = running_responder.issuer_file
    for serial, expected in ((good, "good"), (revoked, "revoked"), (2**150 + 1, "unknown")):
        done = tool(
            *("openssl", "ocsp", nonce, "-issuer", issuer, digest, "-serial", f"0x{serial:x}"),
            *("-CAfile", running_responder.trust_file, "-url", running_responder.url),
        )
        assert f": {expected}\n" in done.stdout
        assert "Response verify OK" in done.stderr
        if nonce == "-nonce":
            assert "WARNING: no nonce" not in done.stderr
        if expected == "revoked":
            assert "Reason: keyCompromise" in done.stdout


def test_openssl_asks_for_three_at_once(running_responder, leaves):
    good, revoked = (leaves[name].certificate.serial_number for name in ("good", "revoked"))
    told = openssl_ask(running_responder, good, revoked, 2**150 + 1, options=("-no_nonce",))
    words = [line.rsplit(": ", 1)[1] for line in told.splitlines() if line.startswith("0x")]
    assert words == ["good", "revoked", "unknown"]


@pytest.mark.parametrize("nonce", ["--nonce", "--no-nonce"])
def test_gnutls_verifies_good_and_revoked(running_responder, leaves, nonce):
    for name, expected in (("good", "good"), ("revoked", "revoked")):
        arguments = [f"--ask={running_responder.url}"]
        if nonce == "--nonce":
            arguments.append("--nonce")
        done = tool(
            "ocsptool",
            *arguments,
            f"--load-issuer={running_responder.issuer_file}",
            f"--load-cert={running_responder.file(name + '.pem', leaves[name].certificate)}",
            f"--load-signer={running_responder.issuer_file}",
        )
        assert "Certificate Status: " + expected in done.stdout
        assert "Success" in done.stdout + done.stderr


def curl(responder, folder: Path, target: str) -> tuple[bytes, str]:
    body, headers = folder / "answer.der", folder / "headers"
    tool(
        *("curl", "--silent", "--show-error", "--path-as-is"),
        *("--output", str(body), "--dump-header", str(headers)),
        responder.url.rstrip("/") + target,
    )
    return body.read_bytes(), headers.read_text()


@pytest.mark.parametrize("digest", ["-sha1", "-sha256"])
def test_curl_gets_by_every_path(running_responder, leaves, tmp_path, digest):
    request = tmp_path / "request.der"
    serial = f"0x{leaves['revoked'].certificate.serial_number:x}"
    options = ("-no_nonce", digest, "-issuer", running_responder.issuer_file, "-serial", serial)
    tool("openssl", "ocsp", *options, "-reqout", str(request))
    text = base64.b64encode(request.read_bytes()).decode()
    answers = set()
    for target in (f"/{text}", f"//{text}", f"/{quote(text, safe='')}", f"//{quote(text, safe='')}"):
        body, headers = curl(running_responder, tmp_path, target)
        assert "content-type: application/ocsp-response" in headers.lower()
        assert "cache-control: max-age=60, public" in headers.lower()
        answers.add(body)
    # Two workers, each with a memory of its own.
    assert len(answers) <= 2
    for body in answers:
        (tmp_path / "answer.der").write_bytes(body)
        done = tool(
            *("openssl", "ocsp", "-respin", str(tmp_path / "answer.der"), *options),
            *("-CAfile", running_responder.trust_file),
        )
        assert f"{serial}: revoked" in done.stdout.lower()
        assert blocking(lint_ocsp_response(body)) == ()


def test_pkilint_finds_nothing_in_any_answer(running_responder, leaves, tmp_path):
    good, revoked = (leaves[name].certificate.serial_number for name in ("good", "revoked"))
    for serials in ((good,), (revoked,), (2**150 + 1,), (good, revoked)):
        out = tmp_path / "answer.der"
        openssl_ask(running_responder, *serials, options=("-respout", str(out)))
        assert blocking(lint_ocsp_response(out.read_bytes())) == ()


def test_garbage_gets_an_answer_and_leaves_no_trace(running_responder, leaves, tmp_path):
    url = running_responder.url
    garbage = tmp_path / "garbage"
    for data in (b"", b"\x30\x80", bytes(9000), b"\xff" * 100_000):
        garbage.write_bytes(data)
        out = tmp_path / "answer.der"
        tool("curl", "--silent", "--data-binary", f"@{garbage}", "--output", str(out), url)
        assert out.read_bytes() == bytes.fromhex("30030a0101")
    for path in ("%00", "%ff%fe", "A" * 5000, "..%2f..%2fetc%2fpasswd"):
        body, _ = curl(running_responder, tmp_path, "/" + path)
        assert body == bytes.fromhex("30030a0101")
    assert "Traceback" not in running_responder.stderr()
    assert openssl_ask(running_responder, leaves["good"].certificate.serial_number)
