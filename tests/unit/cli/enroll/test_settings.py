"""What a folder remembers is read as it was written, and nothing strange is remembered."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ca_server.cli.enroll.settings import Settings, checked, parse_settings
from ca_server.core.document import MAX_DOCUMENT_BYTES
from ca_server.core.errors import CaError

URL = "https://ca.example.com:8443/.well-known/est"


def test_what_is_written_is_read_again():
    settings = Settings(
        url=f"{URL}/tls-peer",
        names=("www.example.com", "192.0.2.1"),
        common_name='a "quoted" \\ name',
        key_type="RSA-3072",
        keep_key=True,
        hook="/bin/sh -c 'systemctl reload \"nginx\" # é'",
        secret_file="/etc/secret",
    )
    assert parse_settings(settings.as_toml().encode()) == settings


@pytest.mark.parametrize(
    ("given", "complete"),
    [
        ("https://ca.example.com:8443", URL),
        ("https://ca.example.com:8443/", URL),
        (URL, URL),
        (f"{URL}/", URL),
        (f"{URL}/tls-peer/", f"{URL}/tls-peer"),
        ("https://[2001:db8::1]:8443", "https://[2001:db8::1]:8443/.well-known/est"),
    ],
)
def test_a_url_is_completed(given, complete):
    assert checked(Settings(url=given, names=("a.example",))).url == complete


@pytest.mark.parametrize(
    "url",
    [
        "http://ca.example.com/.well-known/est",
        "ca.example.com",
        "https://",
        "https://user:password@ca.example.com",
        "https://ca.example.com:99999",
        "https://ca.example.com/est",
        f"{URL}/label/simpleenroll",
        f"{URL}?label=x",
        f"{URL}#x",
        "https://[::1",
    ],
)
def test_what_is_no_est_server_is_refused(url):
    with pytest.raises(CaError, match="URL of an EST server looks like"):
        checked(Settings(url=url, names=("a.example",)))


@pytest.mark.parametrize(
    "wrong",
    [{"hook": "a\nb"}, {"names": ("",)}, {"names": ("bücher.example",)}, {"key_type": "DSA"}],
)
def test_values_that_cannot_work_are_refused(wrong):
    with pytest.raises(CaError):
        checked(Settings(**{"url": URL, "names": ("a.example",), **wrong}))


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"#" * (MAX_DOCUMENT_BYTES + 1), "ENROLL-SIZE"),
        (b"url = ", "ENROLL-TOML"),
        (b'names = ["a.example"]', "ENROLL-MISSING"),
        (b'url = "https://a"\nnames = ["a.example"]\npassword = "x"', "ENROLL-UNKNOWN-KEY"),
        (b'url = 1\nnames = ["a.example"]', "ENROLL-VALUE"),
    ],
)
def test_a_damaged_file_is_refused_by_rule(data, rule):
    with pytest.raises(CaError) as refused:
        parse_settings(data)
    assert rule in refused.value.rule_ids


@pytest.mark.parametrize(
    ("word", "kind", "size"),
    [
        ("P-256", ec.EllipticCurvePrivateKey, 256),
        ("P-384", ec.EllipticCurvePrivateKey, 384),
        ("P-521", ec.EllipticCurvePrivateKey, 521),
        ("RSA-2048", rsa.RSAPrivateKey, 2048),
        ("Ed25519", ed25519.Ed25519PrivateKey, None),
    ],
)
def test_keys_are_of_the_type_that_is_asked_for(word, kind, size):
    key = Settings(url=URL, names=("a.example",), key_type=word).make_key()
    assert isinstance(key, kind)
    assert getattr(key, "key_size", None) == size
