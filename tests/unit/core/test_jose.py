"""R29: one form of JWS, pinned algorithms, sound keys; whatever else comes is refused by its own rule."""

from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given, settings
from hypothesis import strategies as st

from ca_server.core.errors import CaError, Kind
from ca_server.core.jose import (
    ALGORITHMS,
    external_binding_kid,
    parse_jwk,
    parse_jws,
    parse_jws_object,
    verify,
    verify_external_binding,
)
from ca_server.core.signatures import spki_sha256
from tests.fakes.jws_corpus import Genuine, forgeries
from tests.fixtures.acme_keys import (
    AccountKey,
    b64,
    encode,
    make_account_key,
    make_binding,
    make_jws,
    number,
)

URL = "https://ca.test/acme/tls-server/new-order"
NONCE = "AAAA"
KEYS = {algorithm: make_account_key(algorithm) for algorithm in ALGORITHMS}
EC_KEY = KEYS["ES256"]


def good(key: AccountKey, payload=None) -> Genuine:
    return Genuine(key, URL, NONCE, {"a": 1} if payload is None else payload)


def refused(call, *arguments, **named) -> CaError:
    with pytest.raises(CaError) as caught:
        call(*arguments, **named)
    assert caught.value.detail.isprintable()
    return caught.value


def open_jws(body: bytes) -> bytes:
    jws = parse_jws(body)
    return verify(jws, parse_jwk(jws.jwk))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_accepted_algorithm_verifies(algorithm):
    key = KEYS[algorithm]
    jws = parse_jws(json.dumps(good(key).jws()).encode())
    assert (jws.algorithm, jws.url, jws.nonce, jws.kid) == (algorithm, URL, NONCE, None)
    jwk = parse_jwk(jws.jwk)
    assert json.loads(verify(jws, jwk)) == {"a": 1}
    assert jwk.thumbprint == key.thumbprint
    assert jwk.spki_sha256 == spki_sha256(key.private.public_key())


@pytest.mark.parametrize("bits", [3072, 4096])
def test_larger_rsa_keys_sign_too(bits):
    key = make_account_key("RS256", rsa_bits=bits)
    assert open_jws(json.dumps(good(key, "").jws()).encode()) == b""


CORPUS = [(key.algorithm, each) for key in (EC_KEY, KEYS["RS256"]) for each in forgeries(good(key))]


@pytest.mark.parametrize(("algorithm", "forgery"), CORPUS, ids=lambda each: getattr(each, "name", each))
def test_r29_a_forgery_is_refused_by_its_own_rule(algorithm, forgery):
    assert refused(open_jws, forgery.body).rule_ids == (forgery.rule_id,)


def test_r29_the_key_that_verifies_is_the_one_given_and_not_the_one_named():
    jws = parse_jws(json.dumps(good(make_account_key()).jws()).encode())
    refusal = refused(verify, jws, parse_jwk(EC_KEY.jwk))
    assert (refusal.kind, refusal.rule_ids) == (Kind.UNAUTHENTICATED, ("ACME-SIGNATURE",))


def test_unknown_header_parameters_are_ignored():
    """RFC 7515 §4 demands it."""
    assert open_jws(json.dumps(good(EC_KEY).jws(typ="jose+json", other={"a": 1})).encode())


def test_members_that_make_no_key_are_left_out():
    jwk = parse_jwk({**EC_KEY.jwk, "kid": "x", "use": "sig", "key_ops": ["verify"]})
    assert dict(jwk.members) == EC_KEY.jwk


def changed(key: AccountKey, **members):
    return {**key.jwk, **members}


X, RSA_N = EC_KEY.jwk["x"], KEYS["RS256"].private.public_key().public_numbers().n
P256_PRIME = 2**256 - 2**224 + 2**192 + 2**96 - 1
BAD_KEYS = {
    "not an object": "key",
    "empty": {},
    "no kty": {"crv": "P-256"},
    "symmetric": {"kty": "oct", "k": "AAAA"},
    "a private key": changed(EC_KEY, d="AAAA"),
    "private RSA": changed(KEYS["RS256"], p="AAAA"),
    "unknown curve": changed(EC_KEY, crv="secp256k1"),
    "curve of another length": changed(EC_KEY, crv="P-384"),
    "Ed448": {"kty": "OKP", "crv": "Ed448", "x": b64(bytes(57))},
    "X25519": {"kty": "OKP", "crv": "X25519", "x": b64(bytes(32))},
    "not on the curve": changed(EC_KEY, y=X),
    "point at infinity": changed(EC_KEY, x=b64(bytes(32)), y=b64(bytes(32))),
    "coordinate beyond the field": changed(EC_KEY, x=b64((2**256 - 1).to_bytes(32, "big"))),
    "coordinate with a leading zero": changed(EC_KEY, x=b64(b"\0" + bytes(32))),
    "coordinate padded": changed(EC_KEY, x=X + "="),
    "coordinate a number": changed(EC_KEY, x=7),
    "RSA 1024": changed(KEYS["RS256"], n=number(2**1023 + 1)),
    "RSA 2047": changed(KEYS["RS256"], n=number(RSA_N >> 1 | 1)),
    "RSA 16384": changed(KEYS["RS256"], n=number(2**16383 + 1)),
    "RSA even": changed(KEYS["RS256"], n=number(RSA_N - 1)),
    "RSA with a small factor": changed(KEYS["RS256"], n=number((RSA_N // 3) * 3)),
    "RSA square": changed(KEYS["RS256"], n=number((2**1024 - 105) ** 2)),
    "RSA leading zero": changed(KEYS["RS256"], n=b64(b"\0" + RSA_N.to_bytes(256, "big"))),
    "exponent 1": changed(KEYS["RS256"], e=number(1)),
    "exponent 3": changed(KEYS["RS256"], e=number(3)),
    "exponent even": changed(KEYS["RS256"], e=number(65538)),
    "exponent endless": changed(KEYS["RS256"], e=number(2**2000 + 1)),
    "exponent empty": changed(KEYS["RS256"], e=""),
}


@pytest.mark.parametrize("name", BAD_KEYS)
def test_an_unsound_key_is_refused(name):
    refusal = refused(parse_jwk, BAD_KEYS[name])
    assert (refusal.kind, refusal.rule_ids) == (Kind.BAD_PUBLIC_KEY, ("ACME-JWK",))


def test_a_key_has_one_spelling_and_so_one_thumbprint():
    numbers = ec.derive_private_key(1, ec.SECP256R1()).public_key().public_numbers()
    x, y = (value.to_bytes(32, "big") for value in (numbers.x, numbers.y))
    parse_jwk({"kty": "EC", "crv": "P-256", "x": b64(x), "y": b64(y)})
    beyond = (numbers.x + P256_PRIME).to_bytes(33, "big")
    refused(parse_jwk, {"kty": "EC", "crv": "P-256", "x": b64(beyond), "y": b64(y)})


HMAC_KEY = bytes(range(32))
NEW_ACCOUNT = "https://ca.test/acme/tls-server/new-account"


def bind(**header):
    return make_binding("key-1", HMAC_KEY, EC_KEY.jwk, NEW_ACCOUNT, **header)


def check(binding, *, hmac_key=HMAC_KEY, url=NEW_ACCOUNT, key=EC_KEY):
    verify_external_binding(binding, hmac_key, url=url, jwk=parse_jwk(key.jwk))


def test_a_binding_names_its_key_and_verifies():
    assert external_binding_kid(bind()) == "key-1"
    check(bind())


def test_a_binding_is_for_one_key_one_url_and_one_secret():
    refusal = refused(check, bind(), hmac_key=bytes(32))
    assert (refusal.kind, refusal.rule_ids) == (Kind.UNAUTHENTICATED, ("ACME-EAB-SIGNATURE",))
    assert refused(check, bind(), hmac_key=b"").rule_ids == ("ACME-EAB-SIGNATURE",)
    assert refused(check, bind(), url=NEW_ACCOUNT + "x").rule_ids == ("ACME-JWS",)
    assert refused(check, bind(), key=make_account_key()).rule_ids == ("ACME-JWS",)


@pytest.mark.parametrize(
    ("binding", "rule_id"),
    [
        (bind(alg="none"), "ACME-ALGORITHM"),
        (bind(alg="ES256"), "ACME-ALGORITHM"),
        (make_jws(EC_KEY, {"kid": "key-1", "url": NEW_ACCOUNT}, EC_KEY.jwk), "ACME-ALGORITHM"),
        (bind(nonce=NONCE), "ACME-JWS"),
        (bind(x5u="https://attacker.example"), "ACME-JWS"),
        (make_binding("", HMAC_KEY, EC_KEY.jwk, NEW_ACCOUNT), "ACME-JWS"),
        (make_binding("key-1", HMAC_KEY, EC_KEY.jwk, 7), "ACME-JWS"),
        ({**bind(), "header": {}}, "ACME-JWS"),
        ({"payload": encode({}), "signatures": []}, "ACME-JWS"),
        ("binding", "ACME-JWS"),
        (None, "ACME-JWS"),
    ],
)
def test_a_binding_of_another_form_is_refused(binding, rule_id):
    assert refused(external_binding_kid, binding).rule_ids == (rule_id,)
    assert refused(check, binding).rule_ids == (rule_id,)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_jws_or_a_refusal(data):
    assert refused(parse_jws, data).rule_ids


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=6,
)
HEADERS = st.dictionaries(
    st.sampled_from(["alg", "kid", "jwk", "url", "nonce", "crit", "b64", "x"]),
    JSON | st.sampled_from([*ALGORITHMS, "none", URL]) | st.just(EC_KEY.jwk),
)


@settings(deadline=None)
@given(HEADERS, JSON)
def test_any_header_is_refused_or_read_by_the_key_that_signed(header, payload):
    signed = make_jws(EC_KEY, header, payload)
    try:
        jws = parse_jws_object(signed)
        opened = verify(jws, parse_jwk(jws.jwk if jws.jwk is not None else EC_KEY.jwk))
    except CaError:
        return
    assert opened.decode() == (payload if isinstance(payload, str) else json.dumps(payload))
    assert jws.algorithm == "ES256"


@settings(deadline=None)
@given(
    st.dictionaries(
        st.sampled_from(["kty", "crv", "x", "y", "n", "e", "d"]),
        JSON | st.sampled_from(["EC", "RSA", "OKP", "P-256", "Ed25519"]),
    )
)
def test_any_object_is_a_key_or_a_refusal(members):
    assert refused(parse_jwk, members).kind is Kind.BAD_PUBLIC_KEY
