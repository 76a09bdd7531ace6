"""The contract of the port, kept by real tokens and by the in-memory store alike."""

import os
import threading
from collections.abc import Callable, Iterator
from multiprocessing import get_context

import pytest
from cryptography.exceptions import InvalidSignature

from ca_server.core.errors import CaError
from ca_server.core.signatures import KeyType, SignatureAlgorithm, key_type_of, verify_signature
from ca_server.hsm.health import check
from ca_server.hsm.mechanisms import generation
from ca_server.hsm.pkcs11 import open_token
from ca_server.hsm.port import HsmRefused, KeyStore
from ca_server.hsm.software import SoftwareKeyStore

EC = {KeyType.EC_P256, KeyType.EC_P384, KeyType.EC_P521}
RSA = {KeyType.RSA_2048, KeyType.RSA_3072, KeyType.RSA_4096}


def algorithms(key_type: KeyType) -> list[SignatureAlgorithm]:
    """Every algorithm that a key of this type signs with."""
    if key_type in EC:
        return [each for each in SignatureAlgorithm if each.startswith("ecdsa-")]
    if key_type in RSA:
        return [each for each in SignatureAlgorithm if each.startswith("rsa-")]
    return [SignatureAlgorithm(key_type.value)]


@pytest.fixture(params=["softhsm", "software"])
def opener(request: pytest.FixtureRequest) -> Callable[[], KeyStore]:
    if request.param == "software":
        return lambda: SoftwareKeyStore("issuing", unprotected_keys=True)
    settings = request.getfixturevalue("softhsm").create_token("issuing")
    return lambda: open_token(settings)


@pytest.fixture
def store(opener: Callable[[], KeyStore]) -> Iterator[KeyStore]:
    opened = opener()
    yield opened
    opened.close()


@pytest.mark.hsm
@pytest.mark.parametrize("key_type", KeyType)
def test_every_key_type_is_made_protected_and_signs_with_each_of_its_algorithms(store, key_type):
    if generation(key_type).mechanism not in store.token().mechanisms:
        pytest.skip(f"the token has no {generation(key_type).mechanism}")
    record = store.generate(key_type, label="key one", key_id=b"\x01\xff")
    assert (record.label, record.key_id, record.key_type) == ("key one", b"\x01\xff", key_type)
    assert record.private
    assert record.sensitive
    assert record.always_sensitive
    assert record.never_extractable
    assert record.local
    assert not record.extractable
    assert key_type_of(record.public_key) == key_type
    signer = store.signer(label="key one")
    assert signer.key_type == key_type
    assert signer.public_key == record.public_key
    for algorithm in algorithms(key_type):
        signature = signer.sign(b"message", algorithm)
        verify_signature(record.public_key, signature, b"message", algorithm)
        with pytest.raises(InvalidSignature):
            verify_signature(record.public_key, signature, b"another", algorithm)


@pytest.mark.hsm
@pytest.mark.parametrize("key_type", [KeyType.EC_P256, KeyType.RSA_2048, KeyType.ED25519])
def test_an_algorithm_of_another_key_type_is_refused(store, key_type):
    store.generate(key_type, label="key", key_id=b"\x01")
    signer = store.signer(key_id=b"\x01")
    for algorithm in set(SignatureAlgorithm) - set(algorithms(key_type)):
        with pytest.raises(HsmRefused, match="does not sign with"):
            signer.sign(b"message", algorithm)


@pytest.mark.hsm
def test_the_token_describes_itself(store):
    token = store.token()
    assert token.label == "issuing"
    assert {"ECDSA", "EDDSA", "SHA256_RSA_PKCS", "SHA256_RSA_PKCS_PSS"} <= token.mechanisms
    assert token.serial
    assert token.manufacturer
    assert token.model
    assert token.firmware


@pytest.mark.hsm
def test_the_inventory_is_ordered_by_label_and_lists_what_was_made(store):
    assert store.inventory() == ()
    later = store.generate(KeyType.EC_P256, label="b", key_id=b"\x01")
    earlier = store.generate(KeyType.ED25519, label="a", key_id=b"\x02")
    assert store.inventory() == (earlier, later)


@pytest.mark.hsm
@pytest.mark.parametrize(("label", "key_id"), [("taken", b"\x02"), ("free", b"\x01"), ("taken", b"\x01")])
def test_a_label_or_id_that_is_taken_is_refused_and_nothing_is_made(store, label, key_id):
    store.generate(KeyType.EC_P256, label="taken", key_id=b"\x01")
    with pytest.raises(HsmRefused, match="is taken"):
        store.generate(KeyType.EC_P256, label=label, key_id=key_id)
    assert len(store.inventory()) == 1


@pytest.mark.hsm
def test_a_key_is_found_by_label_by_id_and_by_both(store):
    one = store.generate(KeyType.EC_P256, label="one", key_id=b"\x01")
    store.generate(KeyType.EC_P256, label="two", key_id=b"\x02")
    assert store.signer(label="one").public_key == one.public_key
    assert store.signer(key_id=b"\x01").public_key == one.public_key
    assert store.signer(label="one", key_id=b"\x01").public_key == one.public_key
    for wrong in ({"label": "three"}, {"key_id": b"\x03"}, {"label": "one", "key_id": b"\x02"}):
        with pytest.raises(HsmRefused):
            store.signer(**wrong)
    with pytest.raises(ValueError, match="label"):
        store.signer()


@pytest.mark.hsm
@pytest.mark.parametrize(
    ("label", "key_id"), [("", b"\x01"), ("one", b""), (" one", b"\x01"), ("\ud800", b"\x01")]
)
def test_a_key_that_no_uri_can_name_is_not_made(store, label, key_id):
    with pytest.raises(CaError) as caught:
        store.generate(KeyType.EC_P256, label=label, key_id=key_id)
    assert caught.value.rule_ids == ("HSM-URI",)
    assert store.inventory() == ()


@pytest.mark.hsm
def test_a_label_that_is_not_text_names_no_key(store):
    with pytest.raises(HsmRefused):
        store.signer(label="\ud800")
    with pytest.raises(HsmRefused):
        store.destroy(label="\ud800", key_id=b"\x01")


@pytest.mark.hsm
def test_a_destroyed_key_is_gone_for_good_also_for_signers_given_out_before(store):
    store.generate(KeyType.EC_P256, label="one", key_id=b"\x01")
    store.generate(KeyType.EC_P256, label="two", key_id=b"\x02")
    signer, other = store.signer(label="one"), store.signer(label="two")
    signer.sign(b"x", SignatureAlgorithm.ECDSA_SHA256)
    store.destroy(label="one", key_id=b"\x01")
    assert [record.label for record in store.inventory()] == ["two"]
    with pytest.raises(HsmRefused):
        signer.sign(b"x", SignatureAlgorithm.ECDSA_SHA256)
    with pytest.raises(HsmRefused):
        store.destroy(label="one", key_id=b"\x01")
    other.sign(b"x", SignatureAlgorithm.ECDSA_SHA256)
    store.generate(KeyType.EC_P384, label="one", key_id=b"\x01")


@pytest.mark.hsm
def test_only_both_names_together_destroy_a_key(store):
    store.generate(KeyType.EC_P256, label="one", key_id=b"\x01")
    with pytest.raises(HsmRefused):
        store.destroy(label="one", key_id=b"\x02")
    assert len(store.inventory()) == 1


@pytest.mark.hsm
def test_random_bytes_are_as_many_as_asked_for_and_differ(store):
    assert [len(store.random(count)) for count in (1, 20, 257)] == [1, 20, 257]
    assert store.random(32) != store.random(32)
    with pytest.raises(ValueError, match="one byte"):
        store.random(0)


@pytest.mark.hsm
def test_health_is_a_real_signature(store):
    store.generate(KeyType.EC_P256, label="one", key_id=b"\x01")
    signer = store.signer(label="one")
    check(signer)
    store.destroy(label="one", key_id=b"\x01")
    with pytest.raises(HsmRefused):
        check(signer)


@pytest.mark.hsm
def test_another_thread_is_refused_by_store_and_signer(store):
    store.generate(KeyType.EC_P256, label="one", key_id=b"\x01")
    signer = store.signer(label="one")
    calls = (store.inventory, store.token, lambda: signer.sign(b"x", SignatureAlgorithm.ECDSA_SHA256))
    failures = []

    def use() -> None:
        for call in calls:
            try:
                call()
            except RuntimeError as error:
                failures.append(str(error))

    thread = threading.Thread(target=use)
    thread.start()
    thread.join()
    assert len(failures) == len(calls)
    assert all("thread" in failure for failure in failures)
    signer.sign(b"x", SignatureAlgorithm.ECDSA_SHA256)


@pytest.mark.hsm
def test_a_forked_child_is_refused_and_the_parent_goes_on(store):
    store.generate(KeyType.EC_P256, label="one", key_id=b"\x01")
    signer = store.signer(label="one")
    context = get_context("fork")
    answers = context.SimpleQueue()

    def use() -> None:
        try:
            signer.sign(b"x", SignatureAlgorithm.ECDSA_SHA256)
        except RuntimeError as error:
            answers.put(str(error))
        else:
            answers.put("signed")
        os._exit(0)

    child = context.Process(target=use)
    child.start()
    answer = answers.get()
    child.join()
    assert "process" in answer
    signer.sign(b"x", SignatureAlgorithm.ECDSA_SHA256)


@pytest.mark.hsm
def test_a_closed_store_is_not_used_again(opener):
    store = opener()
    store.generate(KeyType.EC_P256, label="one", key_id=b"\x01")
    signer = store.signer(label="one")
    store.close()
    with pytest.raises(RuntimeError, match="closed"):
        signer.sign(b"x", SignatureAlgorithm.ECDSA_SHA256)
    with pytest.raises(RuntimeError, match="closed"):
        store.inventory()
    store.close()


def test_keys_in_memory_are_never_had_by_accident():
    with pytest.raises(RuntimeError, match="unprotected_keys"):
        SoftwareKeyStore("issuing")
