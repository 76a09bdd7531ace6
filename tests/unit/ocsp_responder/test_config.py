"""The responder's configuration: strict, whole, and never holding a PIN."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ca_server.core.errors import CaError, Kind
from ca_server.hsm.pin import PinOrigin
from ocsp_responder.config import load_config

GOOD = """
listen = "127.0.0.1:8081"
state_directory = "/var/lib/sealkeeper-ocsp"

[database]
url = "postgresql://sealkeeper_ocsp@db.example.com/sealkeeper"

[[token]]
label = "ocsp"
module = "/usr/lib/vendor/libpkcs11.so"
pin_credential = "ocsp-pin"

[[issuer]]
authority = "issuing-1"
authority_certificate = "/etc/sealkeeper/issuing-1.cer"
certificate = "/etc/sealkeeper/ocsp-1.cer"
key = "pkcs11:token=ocsp;object=ocsp-1;type=private"
"""


def read(tmp_path, text: str):
    path = tmp_path / "ocsp.toml"
    path.write_text(text)
    return load_config(path)


def rules(tmp_path, text: str) -> tuple[str, ...]:
    with pytest.raises(CaError) as caught:
        read(tmp_path, text)
    assert caught.value.kind is Kind.MALFORMED
    return caught.value.rule_ids


def test_the_least_that_is_needed(tmp_path):
    config = read(tmp_path, GOOD)
    assert config.workers == 2
    assert config.answers.validity == timedelta(hours=4)
    assert config.answers.max_age == timedelta(minutes=1)
    assert config.database.max_staleness == timedelta(seconds=10)
    assert (config.issuer[0].key.token, config.issuer[0].key.label) == ("ocsp", "ocsp-1")
    assert config.token[0].settings().pin.origin is PinOrigin.CREDENTIAL
    with_file = read(tmp_path, GOOD.replace('pin_credential = "ocsp-pin"', 'pin_file = "/run/pin"'))
    assert with_file.token[0].settings().pin.origin is PinOrigin.FILE


@pytest.mark.parametrize(
    ("old", "new", "rule_id"),
    [
        ("listen =", "lissten =", "CONFIG-UNKNOWN-KEY"),
        ("[database]", 'pin = "1234"\n[database]', "CONFIG-UNKNOWN-KEY"),
        ("pin_credential =", "pin =", "CONFIG-UNKNOWN-KEY"),
        ('listen = "127.0.0.1:8081"', "", "CONFIG-MISSING"),
        ("127.0.0.1:8081", "8081", "CONFIG-VALUE"),
        ("postgresql://", "mysql://", "CONFIG-VALUE"),
        ('"/var/lib', '"var/lib', "CONFIG-PATH"),
        ('pin_credential = "ocsp-pin"', "", "CONFIG-PIN"),
        ("pin_credential =", 'pin_file = "/run/pin"\npin_credential =', "CONFIG-PIN"),
        ("pkcs11:token=ocsp;", "pkcs11:token=other;", "CONFIG-TOKEN"),
        ("type=private", "type=private?pin-value=1234", "HSM-URI"),
        ("[database]", '[answers]\nvalidity = "5m"\n[database]', "OCSP-VALIDITY"),
        ("[database]", '[answers]\nvalidity = "4"\n[database]', "DOCUMENT-DURATION"),
        ("[database]", "workers = 0\n[database]", "CONFIG-VALUE"),
    ],
)
def test_a_mistake_is_named(tmp_path, old, new, rule_id):
    assert old in GOOD
    assert rule_id in rules(tmp_path, GOOD.replace(old, new, 1))


def test_a_token_that_stands_twice_is_refused(tmp_path):
    start = GOOD.index("[[token]]")
    token = GOOD[start : GOOD.index("[[issuer]]")]
    assert rules(tmp_path, GOOD + token) == ("CONFIG-TOKEN",)


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(CaError) as caught:
        load_config(tmp_path / "none.toml")
    assert caught.value.kind is Kind.NOT_FOUND


def test_a_refusal_never_repeats_a_pin(tmp_path):
    text = GOOD.replace("type=private", "type=private?pin-value=canary-1234")
    with pytest.raises(CaError) as caught:
        read(tmp_path, text)
    assert "canary" not in caught.value.detail
