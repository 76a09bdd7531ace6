"""Forged, truncated, confused and otherwise wrong JWS (R29): each with the rule that must refuse it.

Every entry would be a good request but for the one thing that its name tells. The signature is always good
for what it covers where the attack lies elsewhere, so that no entry is refused for the wrong reason.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.fixtures.acme_keys import AccountKey, b64, encode, make_account_key, make_jws


@dataclass(frozen=True)
class Forgery:
    """A body and the rule that it breaks."""

    name: str
    body: bytes
    rule_id: str


@dataclass(frozen=True)
class Genuine:
    """What a good request is made of: by `kid` where there is one, else by `jwk`."""

    key: AccountKey
    url: str
    nonce: str
    payload: Any = ""
    kid: str | None = None

    @property
    def header(self) -> dict[str, Any]:
        named = {"jwk": self.key.jwk} if self.kid is None else {"kid": self.kid}
        return {"url": self.url, "nonce": self.nonce, **named}

    def jws(self, **header: Any) -> dict[str, str]:
        return make_jws(self.key, {**self.header, **header}, self.payload)

    def raw(self, protected: str) -> dict[str, str]:
        """Signed over a protected header that is given as text."""
        first, second = encode(protected), encode(self.payload)
        return {
            "protected": first,
            "payload": second,
            "signature": b64(self.key.sign(f"{first}.{second}".encode())),
        }


def forgeries(good: Genuine) -> Iterator[Forgery]:
    for family in (_forms, _headers, _encodings, _algorithms, _signatures):
        yield from family(good)


def _forms(good: Genuine) -> Iterator[Forgery]:
    """Other shapes than protected, payload and signature (RFC 8555 §6.2)."""
    jws = good.jws()
    rest = {"payload": jws["payload"]}
    one = {"protected": jws["protected"], "signature": jws["signature"]}
    shapes: dict[str, Any] = {
        "general, one signature": {**rest, "signatures": [one]},
        "general, empty signatures": {**rest, "signatures": []},
        "general, two signatures": {**rest, "signatures": [one, one]},
        "flattened with empty signatures beside": {**jws, "signatures": []},
        "flattened with signatures beside": {**jws, "signatures": [one]},
        "unprotected header": {**jws, "header": {"kid": "1"}},
        "empty unprotected header": {**jws, "header": {}},
        "algorithm in the unprotected header": {**jws, "header": {"alg": "none"}},
        "an unknown member": {**jws, "extra": 1},
        "compact": ".".join((jws["protected"], jws["payload"], jws["signature"])),
        "no payload": one,
        "no signature": {**rest, "protected": jws["protected"]},
        "no protected header": {**rest, "signature": jws["signature"]},
        "null payload": {**jws, "payload": None},
        "null signature": {**jws, "signature": None},
        "signature as a list": {**jws, "signature": [jws["signature"]]},
        "a list": [jws],
        "null": None,
        "a number": 7,
        "empty object": {},
    }
    for name, value in shapes.items():
        yield Forgery(name, json.dumps(value).encode(), "ACME-JWS")
    text = json.dumps(jws)
    texts = {
        "empty body": "",
        "truncated": text[:-20],
        "two documents": text + text,
        "member twice": text[:-1] + f', "payload": "{jws["payload"]}"' + "}",
        "UTF-16": text.encode("utf-16"),
        "byte order mark": "\ufeff" + text,
        "not UTF-8": b"\xff" + text.encode(),
        "deep": "[" * 50_000,
        "oversized": text[:-1] + " " * 70_000 + "}",
    }
    for name, body in texts.items():
        yield Forgery(name, body if isinstance(body, bytes) else body.encode(), "ACME-JWS")


def _headers(good: Genuine) -> Iterator[Forgery]:
    key_and_kid = {"jwk": good.key.jwk, "kid": good.kid or "https://ca.test/acme/x/account/1"}
    changed: dict[str, dict[str, Any]] = {
        "jwk with kid": key_and_kid,
        "neither jwk nor kid": {"jwk": None, "kid": None},
        "kid as a number": {"kid": 7},
        "kid as a list": {"kid": [good.kid]},
        "jwk as text": {"jwk": "key"},
        "crit": {"crit": ["exp"], "exp": 1},
        "empty crit": {"crit": []},
        "b64 false": {"b64": False, "crit": ["b64"]},
        "b64 true": {"b64": True},
        "key by URL": {"jku": "https://attacker.example/keys"},
        "certificate by URL": {"x5u": "https://attacker.example/cert"},
        "certificate": {"x5c": ["AAAA"]},
        "url as a number": {"url": 1},
        "url as null": {"url": None},
        "nonce as a number": {"nonce": 1},
        "nonce as a list": {"nonce": [good.nonce]},
        "nonce with padding": {"nonce": good.nonce + "="},
        "nonce of other letters": {"nonce": "not base64url!"},
        "empty nonce": {"nonce": ""},
        "alg as a list": {"alg": [good.key.algorithm]},
        "alg as null": {"alg": None},
        "empty alg": {"alg": ""},
    }
    for name, header in changed.items():
        yield Forgery(name, json.dumps(good.jws(**header)).encode(), "ACME-JWS")
    header = json.dumps({"alg": good.key.algorithm, **good.header})
    missing = {"alg": good.key.algorithm, **{k: v for k, v in good.header.items() if k != "url"}}
    texts = {
        "no alg": json.dumps(good.header),
        "no url": json.dumps(missing),
        "alg twice": header[:-1] + ', "alg": "none"}',
        "url twice": header[:-1] + f', "url": "{good.url}x"' + "}",
        "NaN in the header": header[:-1] + ', "x": NaN}',
        "half a character in the header": header[:-1] + ', "x": "\\ud800"}',
        "header is a list": f"[{header}]",
        "header is text": '"x"',
        "header is empty": "",
        "header truncated": header[:-4],
    }
    for name, protected in texts.items():
        yield Forgery(name, json.dumps(good.raw(protected)).encode(), "ACME-JWS")


def _encodings(good: Genuine) -> Iterator[Forgery]:
    """Base64url in another spelling (RFC 7515 §2): signed where the signature covers it."""
    jws = good.jws()
    for member in ("protected", "payload", "signature"):
        for name, change in {
            "padded": lambda text: text + "=" * (-len(text) % 4 or 4),
            "with a line end": lambda text: text + "\n",
            "with a blank": lambda text: " " + text,
            "one letter too long": lambda text: text + "A" * (1 if len(text) % 4 == 0 else 5 - len(text) % 4),
            "standard alphabet": lambda text: text + "+/",
        }.items():
            spoiled = {**jws, member: change(jws[member])}
            spoiled["signature"] = (
                b64(good.key.sign(f"{spoiled['protected']}.{spoiled['payload']}".encode()))
                if member != "signature"
                else spoiled["signature"]
            )
            yield Forgery(f"{member} {name}", json.dumps(spoiled).encode(), "ACME-JWS")
    # 64 bytes of a P-256 signature end in a letter with four bits that count for nothing.
    last = jws["signature"][-1]
    other = {"A": "B", "Q": "R", "g": "h", "w": "x"}.get(last)
    if other is not None:
        stray = {**jws, "signature": jws["signature"][:-1] + other}
        yield Forgery("signature with stray bits", json.dumps(stray).encode(), "ACME-JWS")


def _algorithms(good: Genuine) -> Iterator[Forgery]:
    """Algorithm confusion: what the header says is not what the key is."""
    public = good.key.private.public_key()
    for name in (
        "none",
        "None",
        "NONE",
        "HS256",
        "HS384",
        "HS512",
        "ES256K",
        "RS384",
        "RS1",
        "es256",
        "Ed448",
    ):
        yield Forgery(f"alg {name}", json.dumps(good.jws(alg=name)).encode(), "ACME-ALGORITHM")
    unsigned = good.jws(alg="none") | {"signature": ""}
    yield Forgery("alg none, no signature", json.dumps(unsigned).encode(), "ACME-ALGORITHM")
    secrets = {
        "PEM": public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        "DER": public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        "JWK": json.dumps(good.key.jwk, sort_keys=True, separators=(",", ":")).encode(),
        "nothing": b"",
    }
    for name, secret in secrets.items():
        jws = good.jws(alg="HS256")
        mac = hmac.digest(secret, f"{jws['protected']}.{jws['payload']}".encode(), hashlib.sha256)
        body = json.dumps({**jws, "signature": b64(mac)}).encode()
        yield Forgery(f"HS256 keyed with the public key as {name}", body, "ACME-ALGORITHM")
    for name in ("ES384", "ES512", "EdDSA", "RS256", "PS256", "ES256"):
        # Either RSA algorithm fits an RSA key; then it is the signature that does not.
        rule_id = "ACME-SIGNATURE" if {name, good.key.algorithm} == {"RS256", "PS256"} else "ACME-ALGORITHM"
        if name != good.key.algorithm:
            yield Forgery(f"{name} by another key", json.dumps(good.jws(alg=name)).encode(), rule_id)
    if good.kid is None:
        jwk = {**good.key.jwk, "alg": "RS256" if good.key.algorithm != "RS256" else "PS256"}
        yield Forgery("jwk of another alg", json.dumps(good.jws(jwk=jwk)).encode(), "ACME-ALGORITHM")


def _signatures(good: Genuine) -> Iterator[Forgery]:
    jws = good.jws()
    size = len(good.key.sign(b""))
    stranger = make_account_key(good.key.algorithm)
    other = make_jws(stranger, {**good.header}, good.payload)
    swapped = make_jws(good.key, good.header, {"another": "payload"})
    wrong = {
        "empty signature": "",
        "zeros": b64(bytes(size)),
        "one byte": b64(b"\x01"),
        "truncated signature": b64(good.key.sign(b"x")[:-1]),
        "longer signature": b64(good.key.sign(b"x") + b"\x00"),
        "signature of another key": other["signature"],
        "signature of another payload": swapped["signature"],
    }
    for name, signature in wrong.items():
        yield Forgery(name, json.dumps({**jws, "signature": signature}).encode(), "ACME-SIGNATURE")
    yield Forgery(
        "another payload", json.dumps({**jws, "payload": encode({"x": 1})}).encode(), "ACME-SIGNATURE"
    )
    header = {**good.header, "extra": "x", "alg": good.key.algorithm}
    moved = {**jws, "protected": encode(header)}
    yield Forgery("another header", json.dumps(moved).encode(), "ACME-SIGNATURE")
