"""`sealkeeper certificate` against a server over HTTPS, as a machine's owner uses it."""

from __future__ import annotations

import json
import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from cryptography.x509.oid import NameOID

from ca_server.cli import private_keys
from ca_server.cli.private_keys import parse_name
from ca_server.core.authorization import Role
from tests.fixtures.commands import sealkeeper
from tests.fixtures.issuing import make_csr


@pytest.fixture
def run(issuing, serve_https, tmp_path):
    """Runs `sealkeeper certificate`, its server and token named by the environment."""
    served = serve_https(issuing.api())
    token_file = tmp_path / "token"
    token_file.write_text(issuing.token(Role.REQUESTER, names=("dns:**.example.com", "ip:*")) + "\n")

    def certificate(*arguments, check=True, token=token_file):
        return sealkeeper(
            "certificate",
            *map(str, arguments),
            check=check,
            SEALKEEPER_URL=served.url,
            SEALKEEPER_ROOT=str(served.root),
            SEALKEEPER_TOKEN_FILE=str(token),
        )

    return certificate


def test_from_a_new_key_to_a_renewed_and_a_revoked_certificate(issuing, run, tmp_path):
    out = tmp_path / "live" / "www"
    arguments = ("issue", "--profile", "tls-server", "--san", "www.example.com", "--san", "192.0.2.7")
    certificate_id = run(*arguments, "--out", out).stdout.strip()
    leaf = x509.load_pem_x509_certificate((out / "cert.pem").read_bytes())
    key = load_pem_private_key((out / "privkey.pem").read_bytes(), None)
    assert leaf.public_key() == key.public_key()
    assert stat.S_IMODE((out / "privkey.pem").stat().st_mode) == 0o600
    assert x509.load_pem_x509_certificates((out / "chain.pem").read_bytes()) == [issuing.issuer]
    assert x509.load_pem_x509_certificates((out / "fullchain.pem").read_bytes()) == [leaf, issuing.issuer]
    assert sorted(path.name for path in out.iterdir()) == [
        "cert.pem",
        "chain.pem",
        "fullchain.pem",
        "privkey.pem",
    ]

    again = run(*arguments, "--out", out, check=False)
    assert (again.returncode, "--force" in again.stderr) == (1, True)

    assert json.loads(run("show", certificate_id).stdout)["names"] == ["dns:www.example.com", "ip:192.0.2.7"]
    assert run("show", out / "cert.pem", "--format", "pem").stdout == (out / "fullchain.pem").read_text()

    renewed_id = run("renew", out).stdout.strip()
    renewed = x509.load_pem_x509_certificate((out / "cert.pem").read_bytes())
    assert renewed_id != certificate_id
    assert renewed.public_key() != leaf.public_key()
    assert (
        renewed.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        == leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    )

    assert run("revoke", certificate_id, "--reason", "superseded", check=False).returncode == 130
    run("revoke", certificate_id, "--reason", "superseded", "--yes")
    assert run("revoke", certificate_id, "--reason", "superseded", "--yes", check=False).returncode == 1
    listed = json.loads(run("list", "--json").stdout)
    assert {each["id"]: each["status"] for each in listed} == {renewed_id: "valid", certificate_id: "revoked"}
    assert run("list", "--status", "valid").stdout.split("\t")[0] == renewed_id
    assert len(run("list", "--limit", "1").stdout.splitlines()) == 1


def test_no_certificate_is_asked_for_that_has_no_place(run, tmp_path):
    (tmp_path / "file").write_text("no folder")
    out = tmp_path / "file" / "live"
    done = run("issue", "--profile", "tls-server", "--san", "a.example.com", "--out", out, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"sealkeeper: {out}: Not a directory\n"
    assert json.loads(run("list", "--json").stdout) == []


def test_a_renewed_certificate_keeps_its_whole_subject(issuing, run, serve_https, tmp_path):
    token = tmp_path / "any"
    token.write_text(issuing.token(Role.OFFICER))
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.COMMON_NAME, "gateway.example.com"),
            x509.NameAttribute(NameOID.SERIAL_NUMBER, "32473-gateway-0042"),
        ]
    )
    names = [parse_name("gateway.example.com"), parse_name("urn:dev:ops:32473-gateway-0042")]
    csr = tmp_path / "device.csr"
    csr.write_text(private_keys.make_csr(key, names, subject))
    out = tmp_path / "device"
    run("issue", "--profile", "device-identity", "--csr", csr, "--out", out, token=token)
    first = x509.load_pem_x509_certificate((out / "cert.pem").read_bytes())
    run("renew", out, token=token)
    renewed = x509.load_pem_x509_certificate((out / "cert.pem").read_bytes())
    assert renewed.serial_number != first.serial_number
    assert renewed.subject == first.subject == subject


def test_a_csr_of_somebody_elses_key(run, tmp_path):
    csr = tmp_path / "a.csr"
    csr.write_text(make_csr(ec.generate_private_key(ec.SECP256R1()), "a.example.com"))
    run("issue", "--profile", "tls-server", "--csr", csr, "--out", tmp_path / "out")
    assert not (tmp_path / "out" / "privkey.pem").exists()


@pytest.mark.parametrize(
    ("kty", "options"), [("RSA", ["--size", "2048"]), ("OKP", []), ("EC", ["--crv", "P-384"])]
)
def test_every_kind_of_key(run, tmp_path, kty, options):
    run(
        "issue",
        "--profile",
        "tls-server",
        "--san",
        "a.example.com",
        "--kty",
        kty,
        *options,
        "--out",
        tmp_path / "o",
    )
    run("renew", tmp_path / "o")


def test_exit_codes_tell_why(issuing, run, tmp_path):
    def code(*arguments, **options):
        done = run(*arguments, "--out", tmp_path / "none", check=False, **options)
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "none").exists()
        return done.returncode

    ask = ("issue", "--profile", "tls-server", "--san")
    assert code("issue", "--profile", "tls-server") == 2
    assert code(*ask, "a.example.com", "--not-after", "2047-01-01T00:00:00Z") == 4
    assert code(*ask, "a.example.org") == 1
    assert code(*ask, "ä.example.com") == 1
    bad = tmp_path / "bad"
    bad.write_text("sk_wrong")
    assert code(*ask, "a.example.com", token=bad) == 1
    issuing.lane.stop()
    assert code(*ask, "a.example.com") == 5


def test_a_server_that_is_away_or_a_stranger_is_exit_5(run, tmp_path, serve_https, issuing):
    away = run("list", "--ca-url", "https://127.0.0.1:1", check=False)
    assert (away.returncode, "Traceback" in away.stderr) == (5, False)
    plain = run("list", "--ca-url", "http://127.0.0.1:1", check=False)
    assert plain.returncode == 1
    stranger = tmp_path / "stranger.pem"
    from cryptography.hazmat.primitives.serialization import Encoding

    stranger.write_bytes(issuing.root.public_bytes(Encoding.PEM))
    assert run("list", "--root", stranger, check=False).returncode == 5


def test_lint_needs_no_server(issuing, tmp_path):
    good = tmp_path / "good.der"
    good.write_bytes(issuing.issue("a.example.com").der)
    done = sealkeeper("certificate", "lint", str(good), "--json")
    assert isinstance(json.loads(done.stdout), list)
    junk = tmp_path / "junk"
    junk.write_bytes(b"junk")
    assert sealkeeper("certificate", "lint", str(junk), check=False).returncode == 1
