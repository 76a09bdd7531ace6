"""Signed requests as ACME has them: one strict form before any library looks at it (RFC 8555 §6.2, R29).

joserfc does the cryptography, and only this module imports it. What it is given has been taken apart here:
exactly one signature, over a protected header alone, by an algorithm of a short list that fits the key.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, NoReturn

from joserfc.errors import JoseError
from joserfc.jwa import JWS_ALGORITHMS
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey

from ca_server.core import weak_keys
from ca_server.core.base64url import decode_base64url
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.public_keys import MAX_EXPONENT_BITS
from ca_server.core.signatures import PublicKey, spki_sha256
from ca_server.core.strict_json import parse_json

MAX_JWS_BYTES = 64 * 1024
MIN_RSA_BITS, MAX_RSA_BITS = 2048, 8192
MIN_RSA_EXPONENT = 65_537
FERMAT_ROUNDS = 100

# What a client may sign with -> the algorithm that joserfc knows under an exact name. `EdDSA` leaves the
# curve open (RFC 9864 §2.2); here it is Ed25519.
_SIGNATURES = {
    "ES256": "ES256",
    "ES384": "ES384",
    "ES512": "ES512",
    "EdDSA": "Ed25519",
    "RS256": "RS256",
    "PS256": "PS256",
}
ALGORITHMS = tuple(_SIGNATURES)
_MACS = ("HS256", "HS384", "HS512")
_MODELS = {model.name: model for model in JWS_ALGORITHMS}

_EC_BYTES = {"P-256": 32, "P-384": 48, "P-521": 66}
_KEY_CLASSES: dict[str, type[Any]] = {"EC": ECKey, "RSA": RSAKey, "OKP": OKPKey}
# What makes a key and its thumbprint (RFC 7638 §3.2, RFC 8037 §2).
_REQUIRED = {"EC": ("crv", "kty", "x", "y"), "RSA": ("e", "kty", "n"), "OKP": ("crv", "kty", "x")}
_PRIVATE = frozenset({"d", "dp", "dq", "k", "oth", "p", "q", "qi"})

_FORM = frozenset({"payload", "protected", "signature"})
# They change how a signature is read, or let it name a key that is somewhere else.
_FORBIDDEN_HEADERS = frozenset({"b64", "crit", "jku", "x5c", "x5t", "x5t#S256", "x5u"})


@dataclass(frozen=True, slots=True)
class Jwk:
    """A public key that may sign requests; `thumbprint` is RFC 7638's, in base64url."""

    key_type: str
    members: Mapping[str, str]
    thumbprint: str
    spki_sha256: str
    _key: Key = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Jws:
    """A request whose form is right and whose signature nobody has checked: `verify` gives the payload."""

    algorithm: str
    url: str
    nonce: str | None
    kid: str | None
    jwk: Mapping[str, Any] | None
    _signed: bytes = field(repr=False)
    _payload: bytes = field(repr=False)
    _signature: bytes = field(repr=False)


def parse_jws(body: bytes) -> Jws:
    """The flattened JWS that a body holds (RFC 7515 §7.2.2).

    Raises:
        CaError: malformed; `ACME-JWS`, or `ACME-ALGORITHM` for an algorithm that is not accepted.
    """
    if len(body) > MAX_JWS_BYTES:
        raise _malformed(f"a request has {MAX_JWS_BYTES} bytes at most")
    try:
        value = parse_json(body)
    except ValueError as error:
        raise _malformed("the body is not JSON") from error
    return parse_jws_object(value)


def parse_jws_object(value: object) -> Jws:
    """The flattened JWS that a JSON value is, as within a key change (RFC 8555 §7.3.5).

    Raises:
        CaError: malformed; `ACME-JWS` or `ACME-ALGORITHM`.
    """
    parts = _take_apart(value)
    _require_algorithm(parts.header, ALGORITHMS)
    kid, jwk = parts.header.get("kid"), parts.header.get("jwk")
    if (kid is None) == (jwk is None):
        raise _malformed("the protected header has either jwk or kid")
    if jwk is not None and not isinstance(jwk, dict):
        raise _malformed("jwk in the protected header is an object")
    algorithm = str(parts.header["alg"])
    if jwk is not None and jwk.get("alg", algorithm) != algorithm:
        raise _wrong_algorithm("the key is for another algorithm than the one in the protected header")
    nonce = _optional_text(parts.header, "nonce")
    if nonce is not None and not decode_base64url(nonce):
        raise _malformed("nonce in the protected header is base64url without padding")
    return Jws(
        algorithm=algorithm,
        url=_text(parts.header, "url"),
        nonce=nonce,
        kid=_optional_text(parts.header, "kid"),
        jwk=jwk,
        _signed=parts.signed,
        _payload=parts.payload,
        _signature=parts.signature,
    )


def verify(jws: Jws, jwk: Jwk) -> bytes:
    """The payload of a request that this key has signed.

    Raises:
        CaError: malformed, `ACME-ALGORITHM`, the algorithm is not one of this key; unauthenticated,
            `ACME-SIGNATURE`.
    """
    model = _MODELS[_SIGNATURES[jws.algorithm]]
    try:
        model.check_key(jwk._key)  # noqa: SLF001 - the two classes are one unit
    except JoseError as error:
        raise _wrong_algorithm("this key does not sign by that algorithm") from error
    if not model.verify(jws._signed, jws._signature, jwk._key):  # noqa: SLF001 - as above
        raise refuse(Kind.UNAUTHENTICATED, "ACME-SIGNATURE", "the signature is not by this key")
    return jws._payload  # noqa: SLF001 - as above


def parse_jwk(members: object) -> Jwk:
    """The public key that a JWK names, sound and in the one spelling that has one thumbprint (RFC 7517).

    Members that do not make the key are left out.

    Raises:
        CaError: bad_public_key, `ACME-JWK`.
    """
    if not isinstance(members, Mapping):
        _bad_key("a key is a JSON object")
    if _PRIVATE & members.keys():
        _bad_key("this is a private or secret key: never send it, and make a new one")
    required = _REQUIRED.get(_word(members, "kty"))
    if required is None:
        _bad_key("accepted keys are EC, RSA and OKP with the curve Ed25519")
    return _import(tuple((name, _word(members, name)) for name in required))


def external_binding_kid(binding: object) -> str:
    """Which external account key a binding says it is by (RFC 8555 §7.3.4).

    Raises:
        CaError: malformed, `ACME-JWS` or `ACME-ALGORITHM`.
    """
    return _text(_take_apart_binding(binding).header, "kid")


def verify_external_binding(binding: object, hmac_key: bytes, *, url: str, jwk: Jwk) -> None:
    """Check that whoever has an external account key binds this account key, for this URL, with it.

    Raises:
        CaError: malformed, `ACME-JWS` or `ACME-ALGORITHM`; unauthenticated, `ACME-EAB-SIGNATURE`.
    """
    parts = _take_apart_binding(binding)
    model = _MODELS[parts.header["alg"]]
    if not hmac_key or not model.verify(parts.signed, parts.signature, OctKey.import_key(hmac_key)):
        raise binding_refusal()
    if parts.header["url"] != url:
        raise _malformed("url in the external account binding is not that of the request")
    try:
        bound = parse_jwk(parse_json(parts.payload))
    except ValueError as error:
        raise _malformed("the external account binding holds no key") from error
    if bound.members != jwk.members:
        raise _malformed("the external account binding is for another account key")


def binding_refusal() -> CaError:
    """What is said of every binding that no key in force has made: nothing tells a wrong key from none."""
    return refuse(
        Kind.UNAUTHENTICATED,
        "ACME-EAB-SIGNATURE",
        "the external account binding is not by that key, or there is no such key in force",
    )


@dataclass(frozen=True, slots=True)
class _Parts:
    """A flattened JWS taken apart; the header is as the client sent it."""

    header: Mapping[str, Any]
    payload: bytes
    signature: bytes
    signed: bytes


def _take_apart(value: object) -> _Parts:
    if not isinstance(value, dict) or value.keys() != _FORM:
        raise _malformed("a request has the members protected, payload and signature, and no others")
    protected, payload, signature = (_decoded(value, name) for name in ("protected", "payload", "signature"))
    try:
        header = parse_json(protected)
    except ValueError as error:
        raise _malformed("the protected header is not JSON") from error
    if not isinstance(header, dict):
        raise _malformed("the protected header is not a JSON object")
    refused = sorted(_FORBIDDEN_HEADERS & header.keys())
    if refused:
        raise _malformed(f"the protected header may not have {', '.join(refused)}")
    signed = f"{value['protected']}.{value['payload']}".encode("ascii")
    return _Parts(header, payload, signature, signed)


def _take_apart_binding(binding: object) -> _Parts:
    parts = _take_apart(binding)
    _require_algorithm(parts.header, _MACS)
    _text(parts.header, "kid")
    _text(parts.header, "url")
    if "nonce" in parts.header or "jwk" in parts.header:
        raise _malformed("an external account binding has neither nonce nor jwk in its header")
    return parts


def _decoded(value: Mapping[str, Any], name: str) -> bytes:
    text = value[name]
    data = decode_base64url(text) if isinstance(text, str) else None
    if data is None:
        raise _malformed(f"{name} is base64url without padding")
    return data


def _require_algorithm(header: Mapping[str, Any], accepted: tuple[str, ...]) -> None:
    if _text(header, "alg") not in accepted:
        raise _wrong_algorithm(f"accepted algorithms are {', '.join(accepted)}")


def _text(header: Mapping[str, Any], name: str) -> str:
    text = _optional_text(header, name)
    if not text:
        raise _malformed(f"the protected header needs {name}")
    return text


def _optional_text(header: Mapping[str, Any], name: str) -> str | None:
    text = header.get(name)
    if name in header and not isinstance(text, str):
        raise _malformed(f"{name} in the protected header is a string")
    return text


@lru_cache(maxsize=1024)
def _import(members: tuple[tuple[str, str], ...]) -> Jwk:
    """The key itself; remembered, because an account's key is read again with each of its requests."""
    named = dict(members)
    key_type = named["kty"]
    if key_type == "RSA":
        _require_sound_rsa(_number(named["n"]), _number(named["e"]))
    else:
        _require_curve(named)
    try:
        key = _KEY_CLASSES[key_type].import_key(named)
        public_key: PublicKey = key.public_key
    except (JoseError, ValueError) as error:
        raise _key_refusal("there is no such key") from error
    return Jwk(key_type, named, key.thumbprint(), spki_sha256(public_key), key)


def _require_curve(named: Mapping[str, str]) -> None:
    """Coordinates as long as their curve's, and so in one spelling (RFC 7518 §6.2.1.2, RFC 8037 §2)."""
    size = 32 if named["kty"] == "OKP" and named["crv"] == "Ed25519" else None
    if named["kty"] == "EC":
        size = _EC_BYTES.get(named["crv"])
    if size is None:
        _bad_key(f"accepted curves are {', '.join(_EC_BYTES)} for EC and Ed25519 for OKP")
    for name in named.keys() & {"x", "y"}:
        data = decode_base64url(named[name])
        if data is None or len(data) != size:
            _bad_key(f"{name} is base64url of {size} bytes")


def _require_sound_rsa(modulus: int, exponent: int) -> None:
    """SP 800-56B §6.4.1, and the mistakes that are known to have been made."""
    if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS:
        _bad_key(f"an RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    if not MIN_RSA_EXPONENT <= exponent < 1 << MAX_EXPONENT_BITS or exponent % 2 == 0:
        _bad_key(f"an RSA exponent is odd, and {MIN_RSA_EXPONENT} or more")
    if (
        weak_keys.has_small_factor(modulus)
        or weak_keys.is_roca(modulus)
        or weak_keys.has_close_primes(modulus, FERMAT_ROUNDS)
    ):
        _bad_key("the modulus can be factored; make a new key")


def _number(text: str) -> int:
    """A whole number in its shortest form (RFC 7518 §2)."""
    data = decode_base64url(text)
    if not data or data[0] == 0:
        _bad_key("n and e are base64url without leading zero bytes")
    return int.from_bytes(data, "big")


def _word(members: Mapping[str, Any], name: str) -> str:
    text = members.get(name)
    if not isinstance(text, str):
        _bad_key(f"the key needs the member {name}")
    return text


def _bad_key(detail: str) -> NoReturn:
    raise _key_refusal(detail)


def _key_refusal(detail: str) -> CaError:
    return refuse(Kind.BAD_PUBLIC_KEY, "ACME-JWK", detail)


def _malformed(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "ACME-JWS", detail)


def _wrong_algorithm(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "ACME-ALGORITHM", detail)
