"""What a security officer does to a real token: initialise, reset, erase, change PINs; what is refused."""

from __future__ import annotations

from dataclasses import replace

import pkcs11
import pytest

from ca_server.core.errors import CaError
from ca_server.core.signatures import KeyType
from ca_server.hsm.administration import (
    change_so_pin,
    change_user_pin,
    initialise_token,
    security_officer,
    slots,
    zeroise_token,
)
from ca_server.hsm.ceremony_port import TokenPins
from ca_server.hsm.ceremony_token import open_for_ceremony
from ca_server.hsm.library import library_for
from ca_server.hsm.pin import PinSource
from ca_server.hsm.pkcs11 import open_token
from ca_server.hsm.port import HsmRefused, HsmUnavailable
from ca_server.hsm.settings import TokenSettings

pytestmark = pytest.mark.hsm
# As long as a PIN that is a split secret.
PINS = TokenPins("5" * 64, "a" * 64)


@pytest.fixture
def settings(softhsm) -> TokenSettings:
    """A token of ours, initialised by us, as its user opens it."""
    initialise_token(softhsm.module, "root", PINS)
    return TokenSettings(softhsm.module, "root", PinSource.from_secret(PINS.user))


def officer_of(settings: TokenSettings, pin: str = PINS.officer) -> TokenSettings:
    return replace(settings, pin=PinSource.from_secret(pin))


def make_key(settings: TokenSettings) -> None:
    store = open_token(settings)
    store.generate(KeyType.EC_P256, label="key", key_id=b"\x01")
    store.close()


def keys_of(settings: TokenSettings) -> list[str]:
    store = open_token(settings)
    try:
        return [record.label for record in store.inventory()]
    finally:
        store.close()


def test_a_fresh_token_gets_label_and_pins_and_is_empty(softhsm):
    (before,) = slots(softhsm.module)
    assert not before.initialised
    assert before.token.label == before.token.serial == ""
    assert "token-initialized" not in before.token.flags
    assert (before.shortest_pin, before.longest_pin) == (4, 255)
    record = initialise_token(softhsm.module, "root", PINS)
    assert record.label == "root"
    assert record.serial
    assert {"login-required", "token-initialized", "user-pin-initialized"} <= record.flags
    initialised = [each for each in slots(softhsm.module) if each.initialised]
    assert [each.token.serial for each in initialised] == [record.serial]
    store = open_for_ceremony(TokenSettings(softhsm.module, "root", PinSource.from_secret(PINS.user)))
    assert store.objects() == ()
    assert store.token() == record
    store.close()


def test_two_tokens_are_initialised_one_after_the_other_and_never_under_one_label(softhsm):
    first = initialise_token(softhsm.module, "one", PINS)
    second = initialise_token(softhsm.module, "two", PINS)
    assert first.serial != second.serial
    with pytest.raises(HsmRefused, match="label one already"):
        initialise_token(softhsm.module, "one", PINS)
    assert len([each for each in slots(softhsm.module) if each.initialised]) == 2


def test_an_initialised_token_is_reset_only_on_demand_by_its_own_officer(softhsm, settings):
    make_key(settings)
    (serial,) = [each.token.serial for each in slots(softhsm.module) if each.initialised]
    with pytest.raises(HsmRefused, match="is initialised, as root"):
        initialise_token(softhsm.module, "root", PINS, serial=serial)
    with pytest.raises(HsmRefused, match="PinIncorrect"):
        initialise_token(softhsm.module, "root", TokenPins("stranger", PINS.user), serial=serial, again=True)
    assert keys_of(settings) == ["key"]
    record = initialise_token(
        softhsm.module, "anew", TokenPins(PINS.officer, "b" * 64), serial=serial, again=True
    )
    assert record.label == "anew"
    anew = TokenSettings(softhsm.module, "anew", PinSource.from_secret("b" * 64))
    assert keys_of(anew) == []
    with pytest.raises(HsmRefused, match="PIN"):
        open_token(replace(anew, pin=settings.pin))


def test_a_serial_number_that_is_not_there_and_a_wrong_label_are_refused(softhsm):
    with pytest.raises(HsmRefused, match="no tokens 1234"):
        initialise_token(softhsm.module, "root", PINS, serial="1234", again=True)
    for label in ("", "x" * 33, " root", "ro\not"):
        with pytest.raises(CaError) as caught:
            initialise_token(softhsm.module, label, PINS)
        assert caught.value.rule_ids == ("HSM-URI",)
    assert not any(each.initialised for each in slots(softhsm.module))


@pytest.mark.parametrize(
    "pins", [TokenPins("123", "a" * 8), TokenPins("a" * 8, "123"), TokenPins("a" * 256, "a" * 8)]
)
def test_a_pin_that_the_token_cannot_take_is_refused_before_anything_is_erased(softhsm, pins):
    with pytest.raises(HsmRefused, match="4 to 255 octets") as caught:
        initialise_token(softhsm.module, "root", pins)
    assert "123" not in str(caught.value)
    assert not any(each.initialised for each in slots(softhsm.module))


def test_nothing_is_administered_beside_an_open_token(softhsm, settings):
    store = open_token(settings)
    store.generate(KeyType.EC_P256, label="key", key_id=b"\x01")
    serial = store.token().serial
    for act in (
        lambda: slots(softhsm.module),
        lambda: initialise_token(softhsm.module, "root", PINS, serial=serial, again=True),
        lambda: zeroise_token(softhsm.module, "root", PINS.officer, new_label="gone"),
        lambda: change_user_pin(settings, "c" * 64),
        lambda: change_so_pin(officer_of(settings), "c" * 64),
        lambda: security_officer(officer_of(settings)).__enter__(),
    ):
        with pytest.raises(HsmRefused, match="close root first"):
            act()
    assert [record.label for record in store.inventory()] == ["key"]
    store.close()


def test_another_token_of_the_module_stays_open_beside_a_security_officer(softhsm, settings):
    initialise_token(softhsm.module, "other", PINS)
    store = open_token(replace(settings, token="other"))
    store.generate(KeyType.EC_P256, label="key", key_id=b"\x01")
    with security_officer(officer_of(settings)) as officer:
        officer.load_wrapping_key(bytes(32), label="kek", key_id=b"\x07")
    assert [record.label for record in store.inventory()] == ["key"]
    store.close()


def test_a_zeroised_token_has_nothing_left_and_nobody_who_logs_in(softhsm, settings):
    make_key(settings)
    with pytest.raises(HsmRefused, match="PinIncorrect"):
        zeroise_token(softhsm.module, "root", PINS.user, new_label="ZEROISED")
    assert keys_of(settings) == ["key"]
    record = zeroise_token(softhsm.module, "root", PINS.officer, new_label="ZEROISED")
    assert record.label == "ZEROISED"
    assert "user-pin-initialized" not in record.flags
    with pytest.raises((HsmRefused, HsmUnavailable)):
        open_token(replace(settings, token="ZEROISED"))
    with pytest.raises(HsmRefused, match="no tokens root"):
        zeroise_token(softhsm.module, "root", PINS.officer, new_label="ZEROISED")


def test_a_users_pin_is_changed_and_the_old_one_is_gone(settings):
    make_key(settings)
    with pytest.raises(HsmRefused, match="PIN"):
        change_user_pin(replace(settings, pin=PinSource.from_secret("d" * 64)), "c" * 64)
    with pytest.raises(HsmRefused, match="Pin"):
        change_user_pin(settings, "123")
    assert keys_of(settings) == ["key"]
    change_user_pin(settings, "c" * 64)
    assert keys_of(replace(settings, pin=PinSource.from_secret("c" * 64))) == ["key"]
    with pytest.raises(HsmRefused, match="PinIncorrect"):
        open_token(settings)


def test_an_officers_pin_is_changed_and_the_old_one_is_gone(settings):
    change_so_pin(officer_of(settings), "6" * 64)
    with pytest.raises(HsmRefused, match="PinIncorrect"), security_officer(officer_of(settings)):
        pytest.fail("the old PIN was taken")
    with security_officer(officer_of(settings, "6" * 64)) as officer:
        officer.set_user_pin("e" * 64)
    assert keys_of(replace(settings, pin=PinSource.from_secret("e" * 64))) == []


def test_a_token_that_is_not_there_is_unavailable_and_the_words_list_those_that_are(settings):
    absent = replace(officer_of(settings), token="absent")
    with pytest.raises(HsmUnavailable, match="tokens there: root"), security_officer(absent):
        pytest.fail("there is no such token")


def test_an_inventory_shows_what_other_tools_left(softhsm, settings):
    attribute, kinds = pkcs11.Attribute, pkcs11.ObjectClass
    with library_for(softhsm.module).visit("root", user_pin=PINS.user) as session:
        for kind, label, rest in (
            (kinds.DATA, "note", {attribute.VALUE: b"a note"}),
            (
                kinds.CERTIFICATE,
                "old",
                {
                    attribute.CERTIFICATE_TYPE: pkcs11.CertificateType.X_509,
                    attribute.SUBJECT: b"0\0",
                    attribute.VALUE: b"not parsed",
                },
            ),
        ):
            session.create_object(
                {attribute.CLASS: kind, attribute.LABEL: label, attribute.TOKEN: True, **rest}
            )
        session.create_object(
            {attribute.CLASS: kinds.DATA, attribute.LABEL: "passing", attribute.TOKEN: False}
        )
        session.generate_key(pkcs11.KeyType.AES, 128, label="secret", store=True)
    store = open_for_ceremony(settings)
    found = {each.object_class: each for each in store.objects()}
    assert sorted(each.label for each in found.values()) == ["note", "old", "secret"]
    assert set(found) == {"certificate", "data", "secret-key"}
    # printf 'a note' | sha256sum
    assert found["data"].fingerprint == "f63e34a034f19a24438f2d74b242bc96682abd843ecc4ea63fefed4006d860a3"
    assert found["secret-key"].kind == "aes"
    store.close()


def test_a_wrapping_key_that_the_user_made_is_refused_by_the_token(softhsm, settings):
    store = open_for_ceremony(settings)
    store.generate_wrappable(KeyType.EC_P256, label="root", key_id=b"\x01")
    store.close()
    with library_for(softhsm.module).visit("root", user_pin=PINS.user) as session:
        flags = pkcs11.MechanismFlag.WRAP | pkcs11.MechanismFlag.UNWRAP
        session.generate_key(pkcs11.KeyType.AES, 256, label="own", store=True, capabilities=flags)
    store = open_for_ceremony(settings)
    with pytest.raises(HsmRefused, match="KeyNotWrappable"):
        store.wrap(label="root", key_id=b"\x01", wrapping_key="own")
    store.close()


def test_a_users_session_cannot_open_up_a_trusted_wrapping_key_or_what_it_wraps(softhsm, settings):
    store = open_for_ceremony(settings)
    store.generate_wrappable(KeyType.EC_P256, label="root", key_id=b"\x01")
    store.close()
    with security_officer(officer_of(settings)) as officer:
        loaded = officer.load_wrapping_key(bytes(range(32)), label="kek", key_id=b"\x77")
    assert not {"modifiable", "copyable", "extractable", "decrypt"} & set(loaded.flags)
    attribute = pkcs11.Attribute
    with library_for(softhsm.module).visit("root", user_pin=PINS.user) as session:
        (kek,) = session.get_objects({attribute.LABEL: "kek"})
        (key,) = session.get_objects(
            {attribute.LABEL: "root", attribute.CLASS: pkcs11.ObjectClass.PRIVATE_KEY}
        )
        for thing, opening in (
            (kek, {attribute.DECRYPT: True}),
            (kek, {attribute.MODIFIABLE: True}),
            (key, {attribute.WRAP_WITH_TRUSTED: False}),
            (key, {attribute.SENSITIVE: False}),
        ):
            (name,) = opening
            with pytest.raises(pkcs11.PKCS11Error):
                thing[name] = opening[name]
            with pytest.raises(pkcs11.PKCS11Error):
                thing.copy(opening)
        for thing in (kek, key):
            with pytest.raises(pkcs11.AttributeSensitive):
                thing[attribute.VALUE]
        with pytest.raises(pkcs11.AttributeReadOnly):
            session.create_object(
                {
                    attribute.CLASS: pkcs11.ObjectClass.SECRET_KEY,
                    attribute.KEY_TYPE: pkcs11.KeyType.AES,
                    attribute.VALUE: bytes(32),
                    attribute.TOKEN: True,
                    attribute.WRAP: True,
                    attribute.TRUSTED: True,
                }
            )
