"""A whole first hierarchy on real tokens: what it makes, what stays where, and tokens that lie or fail."""

from __future__ import annotations

from dataclasses import replace

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ca_server.core.bundle import key_id, read_bundle
from ca_server.core.ceremony.verify import verify_bundle
from ca_server.hsm.ceremony_token import open_for_ceremony
from ca_server.hsm.port import HsmUnavailable
from tests.fixtures.certifying import ready
from tests.fixtures.commands import tool

pytestmark = pytest.mark.hsm

LABELS = {"root": "root-r1", "issuing": "issuing-i1", "ocsp": "ocsp-i1", "log": "log-1"}


@pytest.fixture
def first(certified_kinds):
    return certified_kinds["first-hierarchy"]


def test_keys_have_the_attributes_and_ids_that_the_bundle_claims(first):
    bundle = read_bundle(first.bundle.read_bytes())
    assert {key.token.label: key.label for key in bundle.keys} == {
        f"REHEARSAL-{alias}": label for alias, label in LABELS.items()
    }
    for key in bundle.keys:
        assert key.id == key_id("first-hierarchy", f"key-{key.label}").hex()
        assert (key.extractable, key.never_extractable, key.local) == (False, True, True)


def test_the_api_server_key_stays_on_the_host(first):
    path = first.folder / "api-server.key"
    assert path.stat().st_mode & 0o777 == 0o600
    csr = x509.load_der_x509_csr(first.file("csrs/api-server.csr").read_bytes())
    assert csr.public_key() == load_pem_private_key(path.read_bytes(), None).public_key()
    assert b"PRIVATE KEY" not in first.bundle.read_bytes()


def test_serial_numbers_come_from_the_token_r12(first):
    certificates = sorted(first.folder.glob("files/*/*.cer"))
    serials = [x509.load_der_x509_certificate(path.read_bytes()).serial_number for path in certificates]
    assert len(set(serials)) == len(serials) == 3
    for serial in serials:
        assert 0 < serial < 1 << 159
        assert serial.bit_length() > 95  # one time in 2^64 by chance


def test_pins_are_nowhere_in_the_outputs(first):
    pins = [path.read_bytes().strip() for path in (first.folder / "pins").iterdir()]
    shown = first.bundle.read_bytes() + (first.folder / "api-server.key").read_bytes()
    assert len(pins) == 8  # of users and of security officers
    assert not any(pin in shown for pin in pins)


def test_each_inventory_lists_both_halves_of_every_key(first):
    before, after = (first.file(f"evidence/root-{when}.json").read_text() for when in ("before", "after"))
    assert before == "[]"
    assert after.count('"label":"root-r1"') == 2
    assert '"class":"private-key"' in after


def test_openssl_reads_what_the_certificates_say(first):
    path = first.file("authorities/issuing-i1.cer")
    issuing = tool("openssl", "x509", "-inform", "DER", "-in", str(path), "-noout", "-text").stdout
    for words in (
        "CA:TRUE, pathlen:0",
        "Certificate Sign, CRL Sign",
        "URI:http://localhost:8080/crl/root-r1.crl",
        "CA Issuers - URI:http://localhost:8080/aia/root-r1.cer",
        "CN = REHEARSAL Example Works Issuing CA I1",
    ):
        assert words in issuing
    path = first.file("responders/issuing-i1.cer")
    responder = tool("openssl", "x509", "-inform", "DER", "-in", str(path), "-noout", "-text").stdout
    assert "OCSP Signing" in responder
    assert "OCSP No Check" in responder


def test_a_constrained_authority_and_other_key_types(practice_room):
    script = ready(
        "first-hierarchy",
        ("path_length = 0", 'path_length = 0\nname_constraints = { permitted_dns = ["example.com"] }'),
        ('type = "ec-p384"', 'type = "rsa-2048"'),
        ('type = "ed25519"', 'type = "ec-p256"'),
    )
    held = practice_room.hold(script)
    assert verify_bundle(held.bundle.read_bytes()).hierarchy is not None
    constraints = held.certificate("authorities/issuing-i1.cer").extensions.get_extension_for_class(
        x509.NameConstraints
    )
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [x509.DNSName("example.com")]


class Wrapped:
    """A real token whose answers a test changes."""

    def __init__(self, store):
        self._store = store

    def __getattr__(self, name):
        return getattr(self._store, name)


class Weak(Wrapped):
    def generate(self, *arguments, **names):
        return replace(self._store.generate(*arguments, **names), never_extractable=False)


class OtherBytes(Wrapped):
    def signer(self, **names):
        signer = self._store.signer(**names)

        class Wrong(Wrapped):
            def sign(self, data, algorithm):
                return self._store.sign(data + b"x", algorithm)

        return Wrong(signer)


class Away(Wrapped):
    def signer(self, **names):
        class Gone(Wrapped):
            def sign(self, data, algorithm):
                raise HsmUnavailable("the token is away")

        return Gone(self._store.signer(**names))


@pytest.mark.parametrize(
    ("token", "failure", "words"),
    [
        (Weak, "F2", "did not come back from its token as it was asked to be made"),
        (OtherBytes, "F2", "is not what was approved"),
        (Away, "F1", "the token is away"),
    ],
)
def test_a_token_that_lies_or_goes_away_stops_the_ceremony(practice_room, monkeypatch, token, failure, words):
    monkeypatch.setattr(
        "ceremony.event.open_for_ceremony", lambda settings: token(open_for_ceremony(settings))
    )
    error, held = practice_room.refused(ready("root-generate"))
    assert words in error.detail
    assert held.stop()["failure"] == failure
    assert not held.bundle.exists()
