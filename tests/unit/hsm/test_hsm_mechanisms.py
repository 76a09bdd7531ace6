"""The table from key types and algorithms to PKCS#11, and the reading of what tokens say."""

import pkcs11
import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st

from ca_server.core.signatures import KeyType, SignatureAlgorithm, default_algorithm
from ca_server.hsm import faults, mechanisms
from ca_server.hsm.port import HsmRefused

EC_P256 = bytes.fromhex("06082a8648ce3d030107")
ED25519 = bytes.fromhex("06032b6570")


@pytest.mark.parametrize("key_type", KeyType)
def test_every_name_in_the_table_is_one_of_pkcs11(key_type):
    plan = mechanisms.generation(key_type)
    assert plan.kind in pkcs11.KeyType.__members__
    assert plan.mechanism in pkcs11.Mechanism.__members__
    assert set(plan.parameters or {}) <= set(pkcs11.Attribute.__members__)
    signing = mechanisms.signing(key_type, default_algorithm(key_type))
    assert signing.mechanism in pkcs11.Mechanism.__members__


@pytest.mark.parametrize(("digest", "size"), [("sha256", 32), ("sha384", 48), ("sha512", 64)])
def test_pss_always_names_its_digest_its_mask_and_a_salt_as_long_as_the_digest(digest, size):
    signing = mechanisms.signing(KeyType.RSA_2048, SignatureAlgorithm(f"rsa-pss-{digest}"))
    name = digest.upper()
    assert signing.mechanism == f"{name}_RSA_PKCS_PSS"
    assert signing.pss == (name, name, size)
    assert name in pkcs11.Mechanism.__members__
    assert name in pkcs11.MGF.__members__


def test_only_ecdsa_is_hashed_here_and_turned_into_der():
    message = b"message"
    ecdsa = mechanisms.signing(KeyType.EC_P384, SignatureAlgorithm.ECDSA_SHA384)
    assert len(ecdsa.message(message)) == 48
    assert decode_dss_signature(ecdsa.signature(b"\x00\x80\x00\x01")) == (0x80, 1)
    for key_type in (KeyType.RSA_2048, KeyType.ED25519, KeyType.ML_DSA_65):
        other = mechanisms.signing(key_type, default_algorithm(key_type))
        assert other.message(message) == message
        assert other.signature(b"raw") == b"raw"


@pytest.mark.parametrize("raw", [b"", b"\x01", b"\x01\x02\x03"])
def test_an_ecdsa_answer_that_cannot_be_halved_is_refused(raw):
    with pytest.raises(HsmRefused, match="two numbers"):
        mechanisms.ecdsa_der(raw)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_ec_points_are_read_bare_and_wrapped(curve):
    key = ec.generate_private_key(curve).public_key()
    point = key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    oids = {"secp256r1": EC_P256, "secp384r1": "06052b81040022", "secp521r1": "06052b81040023"}
    oid = oids[curve.name] if isinstance(oids[curve.name], bytes) else bytes.fromhex(oids[curve.name])
    header = bytes((4, len(point))) if len(point) < 128 else bytes((4, 0x81, len(point)))
    for value in (point, header + point):
        assert mechanisms.public_key_of("EC", {"EC_PARAMS": oid, "EC_POINT": value}) == key


def test_ed25519_points_are_read_bare_wrapped_and_under_both_names():
    key = ed25519.Ed25519PrivateKey.generate().public_key()
    for parameters in (ED25519, b"\x13\x0cedwards25519"):
        for point in (key.public_bytes_raw(), b"\x04\x20" + key.public_bytes_raw()):
            found = mechanisms.public_key_of("EC_EDWARDS", {"EC_PARAMS": parameters, "EC_POINT": point})
            assert found == key


def test_rsa_and_ml_dsa_keys_are_read():
    numbers = rsa.generate_private_key(65537, 2048).public_key().public_numbers()
    parts = {"MODULUS": numbers.n.to_bytes(257, "big"), "PUBLIC_EXPONENT": b"\x01\x00\x01"}
    assert mechanisms.public_key_of("RSA", parts).public_numbers() == numbers
    key = mldsa.MLDSA65PrivateKey.generate().public_key()
    assert mechanisms.public_key_of("ML_DSA", {"PARAMETER_SET": 2, "VALUE": key.public_bytes_raw()}) == key
    assert mechanisms.public_key_of("ML_DSA", {"PARAMETER_SET": 9, "VALUE": key.public_bytes_raw()}) is None


@pytest.mark.parametrize(
    ("kind", "attributes"),
    [
        ("AES", {}),
        ("EC", {}),
        ("EC", {"EC_PARAMS": EC_P256}),
        ("EC", {"EC_PARAMS": bytes.fromhex("06052b8104000a"), "EC_POINT": b""}),
        ("EC", {"EC_PARAMS": EC_P256, "EC_POINT": b"\x04" + 64 * b"\x01"}),
        ("EC_EDWARDS", {"EC_PARAMS": ED25519, "EC_POINT": 31 * b"a"}),
        ("EC_EDWARDS", {"EC_PARAMS": bytes.fromhex("06032b6571"), "EC_POINT": 57 * b"a"}),
        ("RSA", {"MODULUS": b"", "PUBLIC_EXPONENT": b""}),
        ("RSA", {"MODULUS": b"\x04", "PUBLIC_EXPONENT": b"\x02"}),
        ("ML_DSA", {"PARAMETER_SET": 2, "VALUE": b"short"}),
        ("ML_DSA", {"PARAMETER_SET": 2, "VALUE": None}),
    ],
)
def test_what_is_no_key_of_ours_is_none(kind, attributes):
    assert mechanisms.public_key_of(kind, attributes) is None


@given(
    st.sampled_from(["EC", "EC_EDWARDS", "RSA", "ML_DSA", "vendor-defined"]),
    st.dictionaries(
        st.sampled_from(["EC_PARAMS", "EC_POINT", "MODULUS", "PUBLIC_EXPONENT", "PARAMETER_SET", "VALUE"]),
        st.binary(max_size=80) | st.sampled_from([EC_P256, ED25519, 1, 2, 3, None]),
    ),
)
def test_nothing_that_a_token_says_raises(kind, attributes):
    mechanisms.public_key_of(kind, attributes)


SEALED = {**mechanisms.PRIVATE_TEMPLATE, **mechanisms.VOUCHED}


def test_a_key_as_asked_for_has_no_weakness():
    assert mechanisms.weaknesses(SEALED) == ()


@pytest.mark.parametrize("name", SEALED)
def test_each_attribute_that_came_back_otherwise_is_named(name):
    assert mechanisms.weaknesses(SEALED | {name: not SEALED[name]}) == (name,)


@pytest.mark.parametrize("name", ["SENSITIVE", "ALWAYS_SENSITIVE", "NEVER_EXTRACTABLE", "LOCAL", "PRIVATE"])
def test_a_protection_that_the_token_does_not_report_counts_as_missing(name):
    assert mechanisms.weaknesses({key: value for key, value in SEALED.items() if key != name}) == (name,)


def test_a_key_that_may_be_wrapped_differs_from_one_that_stays_in_what_lets_it_leave():
    wrappable = {**mechanisms.WRAPPABLE_TEMPLATE, **mechanisms.WRAPPABLE_VOUCHED}
    differing = {name for name, value in wrappable.items() if SEALED.get(name) != value}
    assert differing == {"EXTRACTABLE", "NEVER_EXTRACTABLE", "WRAP_WITH_TRUSTED"}
    assert mechanisms.weaknesses(wrappable, wrappable) == ()
    assert mechanisms.weaknesses(wrappable | {"WRAP_WITH_TRUSTED": False}, wrappable) == (
        "WRAP_WITH_TRUSTED",
    )
    for template in (mechanisms.WRAPPABLE_TEMPLATE, mechanisms.WRAPPING_TEMPLATE):
        assert set(template) <= set(pkcs11.Attribute.__members__)


def test_a_wrapping_key_is_trusted_with_wrapping_alone():
    on = {name for name, value in mechanisms.WRAPPING_TEMPLATE.items() if value}
    assert on == {"TOKEN", "SENSITIVE", "TRUSTED", "WRAP", "UNWRAP"}


@pytest.mark.parametrize(
    "curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda each: each.name
)
def test_the_attributes_of_an_ec_public_key_are_read_back_as_the_same_key(curve):
    public_key = ec.generate_private_key(curve).public_key()
    kind, attributes = mechanisms.public_attributes(public_key)
    assert kind == "EC"
    assert mechanisms.public_key_of(kind, attributes) == public_key


def test_the_attributes_of_an_rsa_public_key_are_read_back_as_the_same_key():
    public_key = rsa.generate_private_key(65537, 2048).public_key()
    kind, attributes = mechanisms.public_attributes(public_key)
    assert kind == "RSA"
    assert attributes["PUBLIC_EXPONENT"] == b"\x01\x00\x01"
    assert mechanisms.public_key_of(kind, attributes) == public_key


@pytest.mark.parametrize(
    "private", [ec.generate_private_key(ec.SECP256K1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_a_public_key_of_another_kind_is_not_restored(private):
    with pytest.raises(HsmRefused, match="EC and RSA"):
        mechanisms.public_attributes(private.public_key())


@pytest.mark.parametrize("key_type", KeyType)
def test_ec_and_rsa_keys_alone_are_backed_up_by_wrapping(key_type):
    if key_type.value.startswith(("ec-", "rsa-")):
        mechanisms.demand_wrappable(key_type)
        return
    with pytest.raises(HsmRefused, match="EC and RSA"):
        mechanisms.demand_wrappable(key_type)


def test_every_fault_that_is_sorted_has_its_class_in_pkcs11():
    for name in faults.LOST | faults.REFUSED:
        assert issubclass(getattr(pkcs11.exceptions, name), pkcs11.PKCS11Error)
    assert not faults.LOST & faults.REFUSED


@pytest.mark.parametrize(
    ("error", "fault"),
    [
        (pkcs11.ObjectHandleInvalid(), faults.SessionLost),
        (
            pkcs11.PKCS11Error("Initialisation error (not initialized). Should never see this."),
            faults.SessionLost,
        ),
        (pkcs11.MechanismInvalid(), faults.TokenRefused),
        (pkcs11.PKCS11Error("Unmapped error code 0x68"), faults.TokenRefused),
        (pkcs11.GeneralError(), faults.OutcomeOpen),
        (pkcs11.DeviceRemoved(), faults.OutcomeOpen),
        (pkcs11.SessionClosed(), faults.OutcomeOpen),
        (pkcs11.PKCS11Error("Unmapped error code 0x80000001"), faults.OutcomeOpen),
    ],
)
def test_whatever_is_not_known_to_be_harmless_is_open(error, fault):
    assert type(faults.fault_of(error)) is fault
