"""What a key store does when tokens go away, sessions end, modules are finalised and PINs change."""

import ctypes
import logging
import os
import secrets
import subprocess
import sys
import threading
import time
from multiprocessing import get_context
from pathlib import Path

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca_server.core.signatures import KeyType, SignatureAlgorithm
from ca_server.hsm import connection, mechanisms
from ca_server.hsm.connection import Connection
from ca_server.hsm.faults import OutcomeOpen, SessionLost, TokenRefused
from ca_server.hsm.health import check
from ca_server.hsm.library import library_for
from ca_server.hsm.pin import PinSource
from ca_server.hsm.pkcs11 import close_module, open_token
from ca_server.hsm.port import HsmRefused, HsmUnavailable, SignatureUnknown
from ca_server.hsm.settings import TokenSettings

pytestmark = pytest.mark.hsm

ECDSA = SignatureAlgorithm.ECDSA_SHA256
SPY = Path("/usr/lib/x86_64-linux-gnu/pkcs11-spy.so")


@pytest.fixture
def settings(softhsm):
    return softhsm.create_token("issuing")


@pytest.fixture
def store(settings):
    opened = open_token(settings)
    yield opened
    opened.close()


@pytest.fixture
def signer(store):
    store.generate(KeyType.EC_P256, label="one", key_id=b"\x01")
    return store.signer(label="one")


def wait_for_probe():
    """Let the pause between two looks at a dead token pass."""
    time.sleep(connection._PROBE_INTERVAL + 0.05)


def change_pin(softhsm, settings, new):
    """Give the token another PIN from outside this process."""
    old = settings.pin.read()
    subprocess.run(
        [
            *("pkcs11-tool", "--module", str(softhsm.module), "--token-label", settings.token),
            *("--login", "--pin", old, "--change-pin", "--new-pin", new),
        ],
        check=True,
        capture_output=True,
        env=os.environ | softhsm.environment,
    )


def test_a_token_taken_away_is_unavailable_and_works_again_once_it_is_back(softhsm, store, signer):
    before = signer.sign(b"x", ECDSA)
    softhsm.take_away()
    with pytest.raises(HsmUnavailable) as caught:
        signer.sign(b"x", ECDSA)
    assert caught.value.retry_after == 1
    assert "issuing" in caught.value.detail
    with pytest.raises(HsmUnavailable):
        store.inventory()
    with pytest.raises(HsmUnavailable):
        store.generate(KeyType.EC_P256, label="two", key_id=b"\x02")
    with pytest.raises(HsmUnavailable):
        store.signer(label="one")
    softhsm.bring_back()
    wait_for_probe()
    assert signer.sign(b"x", ECDSA) != before
    assert [record.label for record in store.inventory()] == ["one"]


def test_a_token_that_was_away_unnoticed_has_lost_nothing(softhsm, store, signer):
    # In SoftHSM a search after such a move finds nothing, which must not become "no such key" or "free".
    softhsm.take_away()
    softhsm.bring_back()
    assert [record.label for record in store.inventory()] == ["one"]
    softhsm.take_away()
    softhsm.bring_back()
    store.signer(label="one").sign(b"x", ECDSA)
    softhsm.take_away()
    softhsm.bring_back()
    with pytest.raises(HsmRefused, match="is taken"):
        store.generate(KeyType.EC_P256, label="one", key_id=b"\x02")
    signer.sign(b"x", ECDSA)


def test_a_dead_token_is_probed_once_a_second_and_calls_meanwhile_fail_at_once(softhsm, settings, signer):
    softhsm.take_away()
    with pytest.raises(HsmUnavailable):
        signer.sign(b"x", ECDSA)
    generation = library_for(settings.module).generation
    started = time.monotonic()
    for _ in range(200):
        with pytest.raises(HsmUnavailable):
            signer.sign(b"x", ECDSA)
    assert time.monotonic() - started < connection._PROBE_INTERVAL / 2
    assert library_for(settings.module).generation == generation
    wait_for_probe()
    with pytest.raises(HsmUnavailable):
        signer.sign(b"x", ECDSA)
    assert library_for(settings.module).generation != generation
    softhsm.bring_back()


def test_a_session_closed_behind_our_back_is_reopened_within_the_call(settings, store, signer):
    signer.sign(b"x", ECDSA)
    slot = store._connection.session().token.slot.slot_id
    assert ctypes.CDLL(str(settings.module)).C_CloseAllSessions(ctypes.c_ulong(slot)) == 0
    signer.sign(b"x", ECDSA)
    assert ctypes.CDLL(str(settings.module)).C_CloseAllSessions(ctypes.c_ulong(slot)) == 0
    assert len(store.inventory()) == 1


def test_a_login_ended_behind_our_back_is_made_anew_within_the_call(settings, store, signer):
    signer.sign(b"x", ECDSA)
    session = store._connection.session().handle
    assert ctypes.CDLL(str(settings.module)).C_Logout(ctypes.c_ulong(session)) == 0
    signer.sign(b"x", ECDSA)


def test_a_module_finalised_behind_our_back_is_started_again_within_the_call(settings, store, signer):
    signer.sign(b"x", ECDSA)
    assert ctypes.CDLL(str(settings.module)).C_Finalize(None) == 0
    signer.sign(b"x", ECDSA)
    assert ctypes.CDLL(str(settings.module)).C_Finalize(None) == 0
    assert len(store.random(8)) == 8


def test_a_module_that_we_closed_is_opened_again_by_the_stores_that_are_left(settings, store, signer):
    close_module(settings.module)
    signer.sign(b"x", ECDSA)
    assert store.token().label == "issuing"


def test_tokens_of_one_module_share_its_recovery(softhsm, settings, store, signer):
    other = open_token(softhsm.create_token("ocsp"))
    other.generate(KeyType.EC_P256, label="responder", key_id=b"\x02")
    responder = other.signer(label="responder")
    softhsm.take_away()
    for each in (signer, responder):
        with pytest.raises(HsmUnavailable):
            each.sign(b"x", ECDSA)
    softhsm.bring_back()
    wait_for_probe()
    for _ in range(3):
        signer.sign(b"x", ECDSA)
        responder.sign(b"x", ECDSA)
    generation = library_for(settings.module).generation
    other.close()
    signer.sign(b"x", ECDSA)
    assert library_for(settings.module).generation == generation


def test_one_dead_token_leaves_the_others_of_its_module_working(softhsm, store, signer):
    first = set(softhsm.folder.joinpath("tokens").iterdir())
    other = open_token(softhsm.create_token("ocsp"))
    other.generate(KeyType.EC_P256, label="responder", key_id=b"\x02")
    responder = other.signer(label="responder")
    for folder in first:
        folder.rename(softhsm.folder / folder.name)
    for _ in range(2):
        with pytest.raises(HsmUnavailable):
            signer.sign(b"x", ECDSA)
        responder.sign(b"x", ECDSA)
        wait_for_probe()
    for folder in first:
        softhsm.folder.joinpath(folder.name).rename(folder)
    signer.sign(b"x", ECDSA)
    responder.sign(b"x", ECDSA)


def test_a_token_opened_twice_stays_open_until_both_are_closed(settings, store, signer):
    again = open_token(settings)
    again.signer(label="one").sign(b"x", ECDSA)
    again.close()
    signer.sign(b"x", ECDSA)
    third = open_token(settings)
    store.close()
    third.signer(label="one").sign(b"x", ECDSA)
    third.close()


def test_a_token_opened_twice_is_opened_with_one_pin(softhsm, settings, store):
    wrong = softhsm.folder / "wrong.pin"
    wrong.touch(mode=0o600)
    wrong.write_text("1234\n")
    with pytest.raises(HsmRefused, match="another PIN"):
        open_token(TokenSettings(settings.module, "issuing", PinSource.from_file(wrong)))
    assert store.token().label == "issuing"


def test_once_every_store_is_closed_another_thread_may_open_the_token(settings):
    open_token(settings).close()
    labels = []

    def use() -> None:
        store = open_token(settings)
        labels.append(store.token().label)
        store.close()

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert labels == ["issuing"]


def test_while_a_store_is_open_no_other_thread_or_child_opens_the_module(settings, store):
    failures = []

    def use() -> None:
        try:
            open_token(settings)
        except RuntimeError as error:
            failures.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    context = get_context("fork")
    answers = context.SimpleQueue()

    def use_in_child() -> None:
        use()
        answers.put(failures[-1])
        os._exit(0)

    child = context.Process(target=use_in_child)
    child.start()
    assert "fork" in answers.get()
    child.join()
    assert "thread" in failures[0]
    assert store.token().label == "issuing"


def test_a_wrong_pin_is_tried_once(softhsm, settings, monkeypatch):
    if not SPY.is_file():
        (pytest.fail if os.environ.get("CI") else pytest.skip)("pkcs11-spy.so of OpenSC is missing")
    calls = softhsm.folder / "calls"
    monkeypatch.setenv("PKCS11SPY", str(softhsm.module))
    monkeypatch.setenv("PKCS11SPY_OUTPUT", str(calls))
    wrong = softhsm.folder / "wrong.pin"
    wrong.touch(mode=0o600)
    wrong.write_text("12345678\n")
    with pytest.raises(HsmRefused, match="refused the PIN") as caught:
        open_token(TokenSettings(SPY, "issuing", PinSource.from_file(wrong)))
    assert calls.read_text().count(": C_Login\n") == 1
    assert "12345678" not in caught.value.detail
    assert "12345678" not in str(caught.value.__cause__)
    assert ": C_Finalize\n" in calls.read_text()


def test_a_pin_that_became_wrong_is_tried_once_and_never_again_by_itself(softhsm, settings, store, signer):
    pin = settings.pin.read()
    change_pin(softhsm, settings, "87654321")
    close_module(settings.module)
    with pytest.raises(HsmRefused, match="refused the PIN"):
        signer.sign(b"x", ECDSA)
    Path(settings.pin.place).write_text("87654321")
    change_pin(softhsm, settings, pin)
    wait_for_probe()
    for call in (store.inventory, lambda: signer.sign(b"x", ECDSA)):
        with pytest.raises(HsmRefused, match="refused the PIN"):
            call()


def test_a_token_that_is_not_there_is_unavailable_and_the_words_list_those_that_are(softhsm, settings):
    softhsm.create_token("ocsp")
    absent = TokenSettings(settings.module, "missing", settings.pin)
    with pytest.raises(HsmUnavailable, match="tokens there: issuing, ocsp"):
        open_token(absent)
    open_token(settings).close()


def test_two_tokens_with_one_label_are_refused(softhsm, settings):
    softhsm.create_token("issuing")
    with pytest.raises(HsmRefused, match="2 tokens"):
        open_token(settings)


def test_a_missing_module_names_the_package_that_brings_one(softhsm, settings):
    with pytest.raises(HsmRefused, match="softhsm2"):
        open_token(TokenSettings(softhsm.folder / "libabsent.so", "issuing", settings.pin))
    text = softhsm.folder / "text.so"
    text.write_text("not a library")
    with pytest.raises(HsmRefused, match="not a PKCS#11 module"):
        open_token(TokenSettings(text, "issuing", settings.pin))


_OPEN_OFTEN = """
import sys
from pathlib import Path
from ca_server.hsm.pin import PinSource
from ca_server.hsm.pkcs11 import open_token
from ca_server.hsm.settings import TokenSettings
from ca_server.core.signatures import SignatureAlgorithm
for _ in range(int(sys.argv[3])):
    store = open_token(TokenSettings(Path(sys.argv[1]), "issuing", PinSource.from_file(Path(sys.argv[2]))))
    store.signer(label="one").sign(b"x", SignatureAlgorithm.ECDSA_SHA256)
    store.close()
"""


def test_processes_that_open_the_token_at_once_all_succeed(softhsm, settings, store, signer):
    arguments = [sys.executable, "-c", _OPEN_OFTEN, str(settings.module), settings.pin.place, "150"]
    children = [
        subprocess.Popen(arguments, env=os.environ | softhsm.environment, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    while any(child.poll() is None for child in children):
        signer.sign(b"x", ECDSA)
    for child in children:
        _, words = child.communicate()
        assert child.returncode == 0, words


@pytest.mark.parametrize(("fault", "calls"), [(OutcomeOpen("DeviceError"), 1), (SessionLost("gone"), 2)])
def test_only_a_call_that_cannot_have_signed_is_made_again(settings, fault, calls):
    held = Connection(settings)
    made = []

    def call(session):
        made.append(session)
        raise fault

    with pytest.raises(SignatureUnknown if calls == 1 else HsmUnavailable):
        held.run(call, signs=True)
    assert len(made) == calls
    held.close()


def test_a_reading_call_is_made_again_after_any_fault_but_a_refusal(settings):
    held = Connection(settings)
    answers = [OutcomeOpen("GeneralError"), None]

    def call(_session):
        fault = answers.pop(0)
        if fault is not None:
            raise fault
        return "read"

    assert held.run(call) == "read"
    answers = [TokenRefused("MechanismInvalid"), None]
    with pytest.raises(HsmRefused, match="MechanismInvalid"):
        held.run(call)
    assert answers == [None]
    held.close()


def test_a_signature_of_another_key_never_leaves_the_store(store):
    for number, label in enumerate(("one", "two"), 1):
        store.generate(KeyType.EC_P256, label=label, key_id=bytes([number]))
    session = store._connection.session()
    halves = {
        key.label: key for key in session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY})
    }
    halves["one"][pkcs11.Attribute.ID] = b"\x02"
    halves["two"][pkcs11.Attribute.ID] = b"\x01"
    with pytest.raises(HsmRefused, match="not its own"):
        store.signer(label="one").sign(b"x", ECDSA)
    with pytest.raises(HsmRefused, match="not its own"):
        check(store.signer(label="two"))


def test_a_key_without_its_public_half_is_listed_and_refused(store, signer):
    session = store._connection.session()
    for half in list(session.get_objects({pkcs11.Attribute.CLASS: pkcs11.ObjectClass.PUBLIC_KEY})):
        half.destroy()
    assert store.inventory()[0].public_key is None
    with pytest.raises(HsmRefused, match="no public half"):
        store.signer(label="one")


def test_a_key_weaker_than_asked_for_is_destroyed_again(store, monkeypatch):
    monkeypatch.setitem(mechanisms.VOUCHED, "LOCAL", False)
    with pytest.raises(HsmRefused, match="LOCAL"):
        store.generate(KeyType.EC_P256, label="one", key_id=b"\x01")
    assert store.inventory() == ()
    session = store._connection.session()
    assert list(session.get_objects()) == []


def test_an_imported_key_is_listed_as_what_it_is(softhsm, settings, store):
    key = softhsm.folder / "key.pem"
    private = ec.generate_private_key(ec.SECP256R1())
    key.write_bytes(private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    subprocess.run(
        [
            *("softhsm2-util", "--import", str(key), "--token", "issuing", "--label", "brought"),
            *("--id", "0a", "--pin", settings.pin.read()),
        ],
        check=True,
        capture_output=True,
        env=os.environ | softhsm.environment,
    )
    close_module(settings.module)
    (record,) = store.inventory()
    assert (record.label, record.key_id, record.key_type) == ("brought", b"\x0a", KeyType.EC_P256)
    assert record.public_key == private.public_key()
    assert not record.local
    assert not record.always_sensitive
    assert not record.never_extractable


def test_labels_and_key_types_of_other_tools_do_not_stop_the_inventory(store, signer):
    session = store._connection.session()
    mapper = pkcs11.attributes.AttributeMapper()
    mapper.register_handler(pkcs11.Attribute.LABEL, lambda label: label or b"-", bytes)
    raw = session.token.open(rw=True, attribute_mapper=mapper)
    _, private = raw.generate_keypair(
        pkcs11.KeyType.RSA,
        1024,
        store=True,
        private_template={pkcs11.Attribute.LABEL: b"\xff\xfe", pkcs11.Attribute.SIGN: False},
    )
    private[pkcs11.Attribute.ID] = b"\x07"
    raw.close()
    labels = {record.label: record for record in store.inventory()}
    assert labels["��"].key_type is None
    with pytest.raises(HsmRefused, match="not one that signs"):
        store.signer(key_id=b"\x07")


def test_the_log_tells_of_a_loss_and_never_of_a_pin(settings, store, signer, caplog):
    caplog.set_level(logging.DEBUG)
    close_module(settings.module)
    assert ctypes.CDLL(str(settings.module)).C_Finalize(None) != 0
    signer.sign(b"x", ECDSA)
    ctypes.CDLL(str(settings.module)).C_Finalize(None)
    signer.sign(secrets.token_bytes(4), ECDSA)
    assert "hsm.session_lost token=issuing" in caplog.text
    assert "hsm.session_opened token=issuing" in caplog.text
    assert settings.pin.read() not in caplog.text
