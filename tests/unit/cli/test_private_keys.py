"""Names as people type them, keys as RFC 7518 calls them, and files that are whole or not there."""

from __future__ import annotations

import stat

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ca_server.cli.private_keys import (
    NewFiles,
    make_csr,
    make_key,
    make_key_like,
    make_subject,
    parse_name,
    require_free,
    write_aside,
)
from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("www.example.com", x509.DNSName),
        ("192.0.2.1", x509.IPAddress),
        ("2001:db8::1", x509.IPAddress),
        ("spiffe://example.org/web", x509.UniformResourceIdentifier),
        ("urn:uuid:01a400f6-3600-7b30-b1ba-d7122ce25ce7", x509.UniformResourceIdentifier),
        ("ops@example.com", x509.RFC822Name),
    ],
)
def test_a_name_is_what_it_looks_like(text, kind):
    assert type(parse_name(text)) is kind


@pytest.mark.parametrize(
    ("typed", "spelt"),
    [
        ("HOST.Example.com", x509.DNSName("host.example.com")),
        ("Bob@Example.COM", x509.RFC822Name("Bob@example.com")),
        ("host_1.example.com", x509.DNSName("host_1.example.com")),
        ("not..a.name", x509.DNSName("not..a.name")),
    ],
)
def test_a_name_comes_out_as_a_certificate_spells_it(typed, spelt):
    assert parse_name(typed) == spelt


@pytest.mark.parametrize("text", ["bücher.example", "ä@example.com", "https://bücher.example"])
def test_a_name_in_unicode_is_refused_with_advice(text):
    with pytest.raises(CaError, match="A-labels"):
        parse_name(text)


@pytest.mark.parametrize(
    ("kty", "kind"),
    [("EC", ec.EllipticCurvePrivateKey), ("RSA", rsa.RSAPrivateKey), ("OKP", ed25519.Ed25519PrivateKey)],
)
def test_a_key_and_another_like_it(kty, kind):
    key = make_key(kty, "P-384", 2048)
    another = make_key_like(key.public_key())
    assert isinstance(key, kind)
    assert isinstance(another, kind)
    assert another.public_key() != key.public_key()
    csr = parse_csr(make_csr(key, [parse_name("a.example.com")], make_subject("a.example.com")).encode())
    assert {str(each) for each in csr.identifiers} == {"dns:a.example.com"}


def test_a_key_of_an_unknown_kind_is_refused():
    with pytest.raises(CaError):
        make_key_like(object())


PEM = "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n"


def test_files_are_those_that_certbots_users_expect(tmp_path):
    out = tmp_path / "a" / "b"
    key = make_key("EC", "P-256", 2048)
    files = NewFiles(out, key)
    assert {each.name[0] for each in out.iterdir()} == {"."}
    files.complete(PEM.format("leaf") + PEM.format("issuer"))
    assert (out / "cert.pem").read_text() == PEM.format("leaf")
    assert (out / "chain.pem").read_text() == PEM.format("issuer")
    assert (out / "fullchain.pem").read_text() == PEM.format("leaf") + PEM.format("issuer")
    assert stat.S_IMODE((out / "privkey.pem").stat().st_mode) == 0o600
    assert len(list(out.iterdir())) == 4


@pytest.mark.parametrize("with_key", [True, False])
def test_files_that_come_to_nothing_leave_nothing(tmp_path, with_key):
    NewFiles(tmp_path / "a" / "b", make_key("EC", "P-256", 2048) if with_key else None).discard()
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "cert.pem").write_text("mine")
    NewFiles(tmp_path, None).discard()
    assert [(each.name, each.read_text()) for each in tmp_path.iterdir()] == [("cert.pem", "mine")]


def test_a_folder_that_cannot_be_had_is_told_before_anything_is_asked(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(OSError):
        NewFiles(tmp_path / "file" / "live", None)
    (tmp_path / "out" / ".chain.pem.new").mkdir(parents=True)
    with pytest.raises(OSError):
        NewFiles(tmp_path / "out", make_key("EC", "P-256", 2048))
    assert [each.name for each in (tmp_path / "out").iterdir()] == [".chain.pem.new"]


def test_what_is_there_is_not_replaced_unasked(tmp_path):
    require_free(tmp_path, with_key=True, force=False)
    (tmp_path / "privkey.pem").write_text("mine")
    require_free(tmp_path, with_key=False, force=False)
    require_free(tmp_path, with_key=True, force=True)
    with pytest.raises(CaError, match="--force"):
        require_free(tmp_path, with_key=True, force=False)


def test_a_link_that_somebody_laid_out_is_not_followed(tmp_path):
    target = tmp_path / "target"
    target.write_text("keep me")
    (tmp_path / ".privkey.pem.new").symlink_to(target)
    write_aside(tmp_path / "privkey.pem", b"secret", 0o600)
    assert target.read_text() == "keep me"
    assert not (tmp_path / ".privkey.pem.new").is_symlink()
