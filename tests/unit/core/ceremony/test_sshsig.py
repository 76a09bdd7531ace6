"""SSHSIG: OpenSSH's own signatures of every kind hold here, and nothing that differs from them does."""

from __future__ import annotations

import base64
import itertools
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ca_server.core.ceremony.ssh_keys import parse_public_key
from ca_server.core.ceremony.sshsig import SignatureFlags, parse_sshsig, verify_sshsig
from ca_server.core.errors import CaError
from tests.fixtures.ssh_signatures import (
    ORIGIN,
    SK_ECDSA,
    SK_ED25519,
    SoftwareKey,
    TokenKey,
    armour,
    disarmour,
    mpint,
    sshsig,
    string,
    to_be_signed,
)

VECTORS = Path(__file__).parents[3] / "vectors" / "sshsig"
SIGNED = (VECTORS / "signed-data").read_bytes()
NAMESPACE = (VECTORS / "namespace").read_text()
NOTHING = SignatureFlags(is_sk=False, touch=False, pin=False, counter=0)
TOKEN = SignatureFlags(is_sk=True, touch=True, pin=False, counter=0x12345678)

RSA = SoftwareKey(rsa.generate_private_key(65537, 2048))
P256 = SoftwareKey(ec.generate_private_key(ec.SECP256R1()))
P384 = SoftwareKey(ec.generate_private_key(ec.SECP384R1()))
P521 = SoftwareKey(ec.generate_private_key(ec.SECP521R1()))
ED25519 = SoftwareKey(ed25519.Ed25519PrivateKey.generate())
SOFTWARE = (RSA, P256, P384, P521, ED25519)
TOKENS = (TokenKey(), TokenKey(ed25519.Ed25519PrivateKey.generate()))
WEB = TokenKey(application="example.com")
MESSAGE = b"a message\n"


def refused(armoured: bytes, *, key=ED25519, message=MESSAGE, namespace="ns") -> str:
    with pytest.raises(CaError) as caught:
        verify_sshsig(armoured, message, namespace, parse_public_key(key.line))
    assert len(caught.value.rule_ids) == 1
    return caught.value.rule_ids[0]


def vector(name: str) -> tuple[bytes, object]:
    key = parse_public_key((VECTORS / f"{name}.pub").read_text())
    return (VECTORS / f"{name}.sig").read_bytes(), key


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("rsa", NOTHING),
        ("ecdsa", NOTHING),
        ("ed25519", NOTHING),
        ("ecdsa_sk", TOKEN),
        ("ed25519_sk", TOKEN),
        ("ecdsa_sk_webauthn", SignatureFlags(is_sk=True, touch=True, pin=False, counter=0x31F)),
    ],
)
def test_openssh_s_own_signatures(name, flags):
    armoured, key = vector(name)
    assert verify_sshsig(armoured, SIGNED, NAMESPACE, key) == flags
    assert parse_sshsig(armoured).key == key
    for message, namespace, rule_id in (
        (SIGNED + b"\n", NAMESPACE, "CEREMONY-SIGNATURE"),
        (SIGNED, "unittes", "CEREMONY-NAMESPACE"),
    ):
        with pytest.raises(CaError) as caught:
            verify_sshsig(armoured, message, namespace, key)
        assert caught.value.rule_ids == (rule_id,)


@pytest.mark.parametrize("name", ["rsa", "ecdsa", "ed25519", "ecdsa_sk", "ed25519_sk", "ecdsa_sk_webauthn"])
def test_no_byte_of_openssh_s_signatures_can_differ(name):
    armoured, key = vector(name)
    blob = disarmour(armoured)
    for position, bit in itertools.product(range(len(blob)), (0x01, 0x80)):
        changed = bytearray(blob)
        changed[position] ^= bit
        with pytest.raises(CaError):
            verify_sshsig(armour(bytes(changed)), SIGNED, NAMESPACE, key)


def test_dsa_is_refused():
    with pytest.raises(CaError) as caught:
        parse_sshsig((VECTORS / "dsa.sig").read_bytes())
    assert caught.value.rule_ids == ("CEREMONY-PUBLIC-KEY",)


@pytest.mark.parametrize("name", ["sha256", "sha512"])
@pytest.mark.parametrize("key", SOFTWARE, ids=lambda key: key.kind)
def test_software_keys(key, name):
    assert verify_sshsig(key.sign(MESSAGE, "ns", name), MESSAGE, "ns", parse_public_key(key.line)) == NOTHING


@pytest.mark.parametrize("flags", [0x00, 0x01, 0x04, 0x05, 0x1D])
@pytest.mark.parametrize("key", TOKENS, ids=lambda key: key.kind)
def test_fido_keys_tell_of_touch_and_pin(key, flags):
    token = TokenKey(key.private, flags=flags, counter=2**32 - 1)
    found = verify_sshsig(token.sign(MESSAGE, "ns"), MESSAGE, "ns", parse_public_key(token.line))
    assert found == SignatureFlags(is_sk=True, touch=bool(flags & 1), pin=bool(flags & 4), counter=2**32 - 1)


def test_flags_of_a_token_cannot_be_added():
    token = TokenKey(flags=0x01)
    blob = bytearray(disarmour(token.sign(MESSAGE, "ns")))
    assert blob[-5] == 0x01
    blob[-5] = 0x05
    assert refused(armour(bytes(blob)), key=token) == "CEREMONY-SIGNATURE"


def test_an_rsa_key_signs_with_sha2_only():
    for name in ("rsa-sha2-256", "rsa-sha2-512"):
        key = SoftwareKey(RSA.private, rsa_hash=name)
        assert verify_sshsig(key.sign(MESSAGE, "ns"), MESSAGE, "ns", parse_public_key(key.line)) == NOTHING
    for name in ("ssh-rsa", "rsa-sha2-384"):
        assert (
            refused(SoftwareKey(RSA.private, rsa_hash=name).sign(MESSAGE, "ns"), key=RSA)
            == "CEREMONY-SIGNATURE"
        )


@pytest.mark.parametrize(("one", "other"), list(itertools.permutations([*SOFTWARE, *TOKENS], 2)))
def test_another_key_and_another_algorithm(one, other):
    assert refused(one.sign(MESSAGE, "ns"), key=other) == "CEREMONY-SIGNATURE"
    inner = parse_sshsig(one.sign(MESSAGE, "ns")).signature
    assert refused(sshsig(other.blob, "ns", inner), key=other) == "CEREMONY-SIGNATURE"


def test_a_token_s_signature_is_not_one_of_the_same_numbers_in_software():
    token = TOKENS[0]
    software = SoftwareKey(token.private)
    signed = to_be_signed(MESSAGE, "ns")
    signature = string(SK_ECDSA) + string(software.raw(signed)) + bytes([5]) + bytes(4)
    assert refused(sshsig(token.blob, "ns", signature), key=token) == "CEREMONY-SIGNATURE"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text + b"\n",
        lambda text: b"\n" + text,
        lambda text: text[:-1],
        lambda text: text.replace(b"\n", b"\r\n"),
        lambda text: text + text,
        lambda text: text.replace(b"SSH SIGNATURE", b"SSH SIGNATURES"),
        lambda text: text.replace(b"BEGIN SSH", b"BEGIN PGP"),
        lambda text: text.replace(b"\n", b"\n\n", 1),
        lambda text: text.replace(b"U1NIU0lH", b"U1NI U0lH"),
        lambda text: text.replace(b"U1NIU0lH", b"=U1NIU0lH"),
        lambda text: text.replace(b"U1NIU0lH", b"U1NIU0l_"),
        lambda text: text.replace(b"\n-----END", b"A\n-----END"),
        lambda text: text.replace(b"\n-----END", b"=\n-----END"),
        lambda text: b"".join(text.splitlines()),
        lambda text: b"",
        lambda text: b"-----BEGIN SSH SIGNATURE-----\n-----END SSH SIGNATURE-----\n",
        lambda text: text.replace(b"\n-----END", b"\n" + (b"A" * 76 + b"\n") * 300 + b"-----END"),
    ],
)
def test_armour_in_one_spelling(change):
    assert refused(change(ED25519.sign(MESSAGE, "ns"))) == "CEREMONY-SIGNATURE"


def test_stray_bits_at_the_end_of_the_base64():
    """Padding leaves room for bits that mean nothing."""
    armoured = next(
        signed for size in range(3) if (signed := ED25519.sign(MESSAGE, "n" * (size + 1))).count(b"==\n")
    )
    namespace = parse_sshsig(armoured).namespace
    at = armoured.index(b"==\n") - 1
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    stray = alphabet[alphabet.index(armoured[at]) + 1]
    changed = armoured[:at] + bytes([stray]) + armoured[at + 1 :]
    assert base64.b64decode(b"".join(changed.splitlines()[1:-1])) == disarmour(armoured)
    assert refused(changed, namespace=namespace) == "CEREMONY-SIGNATURE"


def test_the_blob_s_own_fields():
    key = ED25519
    inner = parse_sshsig(key.sign(MESSAGE, "ns")).signature
    assert verify_sshsig(sshsig(key.blob, "ns", inner), MESSAGE, "ns", parse_public_key(key.line)) == NOTHING
    for wrong in (
        sshsig(key.blob, "ns", inner, version=2),
        sshsig(key.blob, "ns", inner, version=0),
        sshsig(key.blob, "ns", inner, reserved=b"x"),
        sshsig(key.blob, "ns", inner, name="sha1"),
        sshsig(key.blob, "ns", inner, name="SHA512"),
        sshsig(key.blob, "ns", inner, name="sha256"),
        sshsig(key.blob, "ns", inner + b"\0"),
        sshsig(key.blob, "ns", inner[:-1]),
        sshsig(key.blob, "ns", string(key.kind) + string(b"")),
        sshsig(key.blob, "ns", b""),
        armour(b"SSHSIX" + disarmour(sshsig(key.blob, "ns", inner))[6:]),
        armour(disarmour(sshsig(key.blob, "ns", inner)) + b"\0"),
        armour(disarmour(sshsig(key.blob, "ns", inner))[:-1]),
        armour(b"SSHSIG" + b"\xff" * 8),
    ):
        assert refused(wrong) == "CEREMONY-SIGNATURE"


def test_namespaces_are_compared_whole():
    for other in ("", "n", "ns ", "ns\0", "NS", "ns,x", "*", "n\u00e4"):
        rule_id = refused(ED25519.sign(MESSAGE, other))
        assert rule_id in {"CEREMONY-NAMESPACE", "CEREMONY-SIGNATURE"}
    assert refused(ED25519.sign(MESSAGE, "other")) == "CEREMONY-NAMESPACE"
    inner = parse_sshsig(ED25519.sign(MESSAGE, "other")).signature
    assert refused(sshsig(ED25519.blob, "ns", inner)) == "CEREMONY-SIGNATURE"


@pytest.mark.parametrize(("r", "s"), [(0, 1), (1, 0), (1, 1), (2**256, 1), (2**4000, 2**4000)])
def test_ecdsa_numbers_that_are_none(r, s):
    inner = string(P256.kind) + string(mpint(r) + mpint(s))
    assert refused(sshsig(P256.blob, "ns", inner), key=P256) == "CEREMONY-SIGNATURE"


def test_ecdsa_numbers_have_one_spelling():
    signed = P256.raw(to_be_signed(MESSAGE, "ns"))
    size = int.from_bytes(signed[:4])
    longer = string(b"\0" + signed[4 : 4 + size]) + signed[4 + size :]
    for numbers in (longer, signed + b"\0", signed[: 4 + size]):
        inner = string(P256.kind) + string(numbers)
        assert refused(sshsig(P256.blob, "ns", inner), key=P256) == "CEREMONY-SIGNATURE"


@pytest.mark.parametrize(
    ("origin", "rest"),
    [
        (ORIGIN, ""),
        ("https://example.com", ""),
        ("https://example.com:8443", ',"crossOrigin":false'),
        (ORIGIN, ',"crossOrigin":false,"other_keys_can_be_added_here":"do not compare"'),
    ],
)
def test_a_browser_s_signature(origin, rest):
    armoured = WEB.sign_in_browser(MESSAGE, "ns", origin=origin, rest=rest)
    flags = verify_sshsig(armoured, MESSAGE, "ns", parse_public_key(WEB.line))
    assert flags == SignatureFlags(is_sk=True, touch=True, pin=True, counter=7)


@pytest.mark.parametrize(
    "origin",
    [
        "http://example.com",
        "https://example.org",
        "https://badexample.com",
        "https://example.com.evil.org",
        "https://example.com/",
        "https://user@example.com",
        'https://example.com","x":"',
        "ssh:",
        "",
    ],
)
def test_a_browser_s_signature_from_a_page_of_others(origin):
    assert refused(WEB.sign_in_browser(MESSAGE, "ns", origin=origin), key=WEB) == "CEREMONY-SIGNATURE"


@pytest.mark.parametrize(
    "rest",
    [
        ',"crossOrigin":true',
        ',"crossOrigin":"false"',
        ',"type":"webauthn.get"',
        ',"challenge":"AAAA"',
        "",
        "}",
        ",",
        ',"n":NaN',
    ],
)
def test_client_data_means_one_thing(rest):
    client_data = (
        None if rest else '{"type":"webauthn.get","challenge":"AAAA","origin":"https://ca.example.com"}'
    )
    armoured = WEB.sign_in_browser(MESSAGE, "ns", rest=rest, client_data=client_data)
    assert refused(armoured, key=WEB) == "CEREMONY-SIGNATURE"


@pytest.mark.parametrize(
    ("flags", "extensions", "good"),
    [(0x85, b"\xa0", True), (0x05, b"\xa0", False), (0x85, b"", False), (0x45, b"", False)],
)
def test_what_the_flags_of_a_browser_s_signature_announce(flags, extensions, good):
    token = TokenKey(WEB.private, application="example.com", flags=flags)
    armoured = token.sign_in_browser(MESSAGE, "ns", extensions=extensions)
    if good:
        assert verify_sshsig(armoured, MESSAGE, "ns", parse_public_key(token.line)).pin
    else:
        assert refused(armoured, key=token) == "CEREMONY-SIGNATURE"


def test_only_an_ecdsa_token_signs_in_a_browser():
    token = TokenKey(ed25519.Ed25519PrivateKey.generate(), application="example.com")
    assert token.kind == SK_ED25519
    assert refused(token.sign_in_browser(MESSAGE, "ns"), key=token) == "CEREMONY-SIGNATURE"
    assert refused(TokenKey(WEB.private).sign_in_browser(MESSAGE, "ns"), key=TokenKey(WEB.private)) == (
        "CEREMONY-SIGNATURE"
    )
