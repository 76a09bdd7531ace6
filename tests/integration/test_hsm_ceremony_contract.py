"""What a ceremony asks of a token, kept by real tokens and by the in-memory store alike."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
from cryptography.hazmat.primitives.serialization import load_der_private_key

from ca_server.core.errors import CaError
from ca_server.core.signatures import KeyType, SignatureAlgorithm, verify_signature
from ca_server.hsm.administration import initialise_token, security_officer
from ca_server.hsm.ceremony_port import CeremonyStore, SecurityOfficer, TokenPins, check_value
from ca_server.hsm.ceremony_software import SoftwareCeremonyStore
from ca_server.hsm.ceremony_token import open_for_ceremony
from ca_server.hsm.pin import PinSource
from ca_server.hsm.port import HsmRefused
from ca_server.hsm.settings import TokenSettings

PINS = TokenPins("officer-0123456789", "user-0123456789")
KEK = bytes(range(32))
WRAPPABLE = [KeyType.EC_P256, KeyType.EC_P384, KeyType.EC_P521, KeyType.RSA_2048]


@dataclass
class Token:
    """One token, to which its user and its security officer come in turn."""

    store: CeremonyStore
    settings: TokenSettings | None = None

    @contextmanager
    def officer(self) -> Iterator[SecurityOfficer]:
        """The security officer's turn; a real token is closed by its user meanwhile."""
        if self.settings is None:
            with self.store.security_officer() as officer:  # type: ignore[attr-defined]
                yield officer
            return
        self.store.close()
        with security_officer(replace(self.settings, pin=PinSource.from_secret(PINS.officer))) as officer:
            yield officer
        self.store = open_for_ceremony(self.settings)

    def trust(self, value: bytes = KEK, label: str = "kek") -> None:
        """Have the security officer load a wrapping key."""
        with self.officer() as officer:
            officer.load_wrapping_key(value, label=label, key_id=b"\x77")


@pytest.fixture(params=["softhsm", "software"])
def token(request: pytest.FixtureRequest) -> Iterator[Token]:
    if request.param == "software":
        found = Token(SoftwareCeremonyStore("root", unprotected_keys=True))
    else:
        softhsm = request.getfixturevalue("softhsm")
        initialise_token(softhsm.module, "root", PINS)
        settings = TokenSettings(softhsm.module, "root", PinSource.from_secret(PINS.user))
        found = Token(open_for_ceremony(settings), settings)
    yield found
    found.store.close()


def signs(store: CeremonyStore, label: str, public_key: Any, key_type: KeyType) -> None:
    """The key of this label makes signatures that `public_key` verifies."""
    rsa = key_type is KeyType.RSA_2048
    algorithm = SignatureAlgorithm.RSA_SHA256 if rsa else SignatureAlgorithm.ECDSA_SHA256
    signature = store.signer(label=label).sign(b"challenge", algorithm)
    verify_signature(public_key, signature, b"challenge", algorithm)


@pytest.mark.hsm
@pytest.mark.parametrize("key_type", WRAPPABLE)
def test_a_key_is_wrapped_destroyed_and_restored_no_weaker(token, key_type):
    born = token.store.generate_wrappable(key_type, label="root", key_id=b"\x01")
    assert (born.extractable, born.never_extractable, born.wrap_with_trusted) == (True, False, True)
    assert born.private
    assert born.sensitive
    assert born.always_sensitive
    assert born.local
    signs(token.store, "root", born.public_key, key_type)
    token.trust()
    blob = token.store.wrap(label="root", key_id=b"\x01", wrapping_key="kek")
    token.store.destroy(label="root", key_id=b"\x01")
    back = token.store.unwrap(blob, born.public_key, label="root again", key_id=b"\x02", wrapping_key="kek")
    assert (back.label, back.key_id, back.key_type) == ("root again", b"\x02", key_type)
    assert back.public_key == born.public_key
    assert (back.private, back.sensitive, back.extractable, back.wrap_with_trusted) == (True,) * 4
    # What a token vouches for ends with the key's first life, and it says so.
    assert (back.local, back.always_sensitive, back.never_extractable) == (False,) * 3
    assert token.store.inventory() == (back,)
    signs(token.store, "root again", born.public_key, key_type)


@pytest.mark.hsm
def test_a_blob_is_rfc_5649_over_pkcs8_that_anybody_with_the_key_can_read(token):
    born = token.store.generate_wrappable(KeyType.EC_P256, label="root", key_id=b"\x01")
    token.trust()
    blob = token.store.wrap(label="root", key_id=b"\x01", wrapping_key="kek")
    plain = aes_key_unwrap_with_padding(KEK, blob)
    # SoftHSM pads to blocks itself before it wraps; the length of PKCS#8 is in its own header.
    private = load_der_private_key(plain[: 2 + plain[1]] if plain[1] < 0x80 else plain, None)
    assert private.public_key() == born.public_key


@pytest.mark.hsm
@pytest.mark.parametrize("key_type", [KeyType.ED25519, KeyType.ML_DSA_65])
def test_a_type_that_is_not_wrapped_everywhere_is_not_made_wrappable(token, key_type):
    with pytest.raises(HsmRefused, match="EC and RSA"):
        token.store.generate_wrappable(key_type, label="root", key_id=b"\x01")
    assert token.store.objects() == ()


@pytest.mark.hsm
def test_a_key_that_was_born_to_stay_is_never_wrapped(token):
    token.store.generate(KeyType.EC_P256, label="root", key_id=b"\x01")
    token.trust()
    with pytest.raises(HsmRefused):
        token.store.wrap(label="root", key_id=b"\x01", wrapping_key="kek")
    assert token.store.untrusted_wrapping_refusal(label="root", key_id=b"\x01") == "KeyUnextractable"


@pytest.mark.hsm
def test_a_wrapping_key_that_nobody_trusts_wraps_nothing_and_leaves_nothing(token):
    token.store.generate_wrappable(KeyType.EC_P256, label="root", key_id=b"\x01")
    before = token.store.objects()
    assert token.store.untrusted_wrapping_refusal(label="root", key_id=b"\x01") == "KeyNotWrappable"
    assert token.store.objects() == before


@pytest.mark.hsm
def test_a_wrapping_key_does_nothing_else_shows_its_check_value_and_is_destroyed(token):
    with token.officer() as officer:
        loaded = officer.load_wrapping_key(KEK, label="kek", key_id=b"\x77")
        assert loaded.flags[-3:] == ("trusted", "unwrap", "wrap")
    (found,) = token.store.objects()
    assert (found.object_class, found.label, found.key_id, found.kind) == (
        *("secret-key", "kek", b"\x77", "aes"),
    )
    assert found.fingerprint == check_value(KEK)
    assert {"sensitive", "trusted", "wrap", "unwrap"} <= set(found.flags)
    assert not {"extractable", "encrypt", "decrypt", "sign", "verify", "derive", "private"} & set(found.flags)
    token.store.destroy_wrapping_key(label="kek")
    assert token.store.objects() == ()
    with pytest.raises(HsmRefused, match="no wrapping keys"):
        token.store.destroy_wrapping_key(label="kek")


@pytest.mark.hsm
def test_a_wrapping_key_has_32_octets_and_a_label_of_its_own(token):
    token.trust()
    with token.officer() as officer:
        with pytest.raises(HsmRefused, match="already"):
            officer.load_wrapping_key(bytes(32), label="kek", key_id=b"\x78")
        with pytest.raises(ValueError, match="32 octets"):
            officer.load_wrapping_key(bytes(16), label="short", key_id=b"\x78")
    assert [each.label for each in token.store.objects()] == ["kek"]


@pytest.mark.hsm
@pytest.mark.parametrize("spoil", ["bit", "cut", "empty", "zero", "other key"])
def test_a_blob_that_is_not_one_restores_nothing(token, spoil):
    born = token.store.generate_wrappable(KeyType.EC_P256, label="root", key_id=b"\x01")
    token.trust()
    blob = token.store.wrap(label="root", key_id=b"\x01", wrapping_key="kek")
    if spoil == "other key":
        token.store.destroy_wrapping_key(label="kek")
        token.trust(bytes(32))
    spoiled = {
        "bit": blob[:5] + bytes((blob[5] ^ 1,)) + blob[6:],
        "cut": blob[:-8],
        "empty": b"",
        "zero": bytes(len(blob)),
        "other key": blob,
    }[spoil]
    before = token.store.objects()
    with pytest.raises(HsmRefused):
        token.store.unwrap(spoiled, born.public_key, label="again", key_id=b"\x02", wrapping_key="kek")
    assert token.store.objects() == before


@pytest.mark.hsm
def test_a_key_is_not_restored_over_another_or_under_a_name_that_no_uri_has(token):
    born = token.store.generate_wrappable(KeyType.EC_P256, label="root", key_id=b"\x01")
    token.trust()
    blob = token.store.wrap(label="root", key_id=b"\x01", wrapping_key="kek")
    before = token.store.objects()
    for label, key_id in (("root", b"\x02"), ("again", b"\x01")):
        with pytest.raises(HsmRefused, match="is taken"):
            token.store.unwrap(blob, born.public_key, label=label, key_id=key_id, wrapping_key="kek")
    with pytest.raises(CaError) as caught:
        token.store.unwrap(blob, born.public_key, label=" x", key_id=b"\x02", wrapping_key="kek")
    assert caught.value.rule_ids == ("HSM-URI",)
    for absent in ({"label": "none", "wrapping_key": "kek"}, {"label": "root", "wrapping_key": "none"}):
        with pytest.raises(HsmRefused):
            token.store.wrap(key_id=b"\x01", **absent)
    assert token.store.objects() == before


@pytest.mark.hsm
def test_an_rsa_blob_beside_another_public_key_restores_nothing(token):
    token.store.generate_wrappable(KeyType.RSA_2048, label="root", key_id=b"\x01")
    other = token.store.generate(KeyType.RSA_2048, label="other", key_id=b"\x03")
    token.trust()
    blob = token.store.wrap(label="root", key_id=b"\x01", wrapping_key="kek")
    before = token.store.objects()
    with pytest.raises(HsmRefused, match="do not fit"):
        token.store.unwrap(blob, other.public_key, label="again", key_id=b"\x02", wrapping_key="kek")
    assert token.store.objects() == before


@pytest.mark.hsm
def test_the_inventory_of_a_ceremony_shows_both_halves_in_order(token):
    assert token.store.objects() == ()
    token.store.generate(KeyType.ED25519, label="b", key_id=b"\x02")
    token.store.generate_wrappable(KeyType.EC_P256, label="a", key_id=b"\x01")
    found = token.store.objects()
    assert [(each.object_class, each.label, each.kind) for each in found] == [
        ("private-key", "a", "ec-p256"),
        ("private-key", "b", "ed25519"),
        ("public-key", "a", "ec-p256"),
        ("public-key", "b", "ed25519"),
    ]
    assert [each.fingerprint for each in found[:2]] == [each.fingerprint for each in found[2:]]
    assert all(len(each.fingerprint) == 64 for each in found)
    assert {"extractable", "wrap-with-trusted", "private", "sensitive", "sign"} <= set(found[0].flags)
    assert {"never-extractable", "always-sensitive", "local", "private"} <= set(found[1].flags)
    assert "extractable" not in found[1].flags
    assert not {"private", "extractable", "sensitive"} & set(found[2].flags)


@pytest.mark.hsm
def test_a_user_gets_a_pin_from_the_officer_and_no_empty_one(token):
    with token.officer() as officer:
        with pytest.raises(HsmRefused):
            officer.set_user_pin("")
        officer.set_user_pin(PINS.user)
    assert token.store.token().label == "root"


def test_a_check_value_is_three_octets_of_an_encrypted_block_of_zeroes():
    # FIPS 197's key of C.3; `openssl enc -aes-256-ecb -nopad -K 00..1f` over sixteen zero octets.
    assert check_value(bytes(range(32))) == "f29000"
