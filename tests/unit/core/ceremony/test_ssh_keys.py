"""Officers' public keys: every kind that is accepted, and everything that is almost one."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ca_server.core.ceremony.ssh_keys import SSHKeyKind, parse_public_key
from ca_server.core.errors import CaError, Kind
from tests.fixtures.ssh_signatures import SK_ECDSA, SK_ED25519, SoftwareKey, TokenKey, mpint, string

VECTORS = Path(__file__).parents[3] / "vectors" / "sshsig"
P256 = SoftwareKey(ec.generate_private_key(ec.SECP256R1()))
ED25519 = SoftwareKey(ed25519.Ed25519PrivateKey.generate())
RSA = SoftwareKey(rsa.generate_private_key(65537, 2048))
NUMBERS = RSA.private.public_key().public_numbers()
PRIME = 2**255 - 19
PRIME_OF_RSA = RSA.private.private_numbers().p
NEIGHBOUR = next(
    n for n in range(PRIME_OF_RSA + 2, PRIME_OF_RSA + 10_000, 2) if all(n % d for d in range(3, 1000))
)


def line_of(kind: str, *fields: bytes) -> str:
    return f"{kind} {base64.b64encode(string(kind) + b''.join(fields)).decode()}"


def refusal(line: str) -> str:
    with pytest.raises(CaError) as caught:
        parse_public_key(line)
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.BAD_PUBLIC_KEY, ("CEREMONY-PUBLIC-KEY",))
    return caught.value.detail


@pytest.mark.parametrize(
    ("name", "kind", "application"),
    [
        ("rsa", SSHKeyKind.RSA, None),
        ("ecdsa", SSHKeyKind.ECDSA_P256, None),
        ("ed25519", SSHKeyKind.ED25519, None),
        ("ecdsa_sk", SSHKeyKind.SK_ECDSA, "ssh:"),
        ("ecdsa_sk_webauthn", SSHKeyKind.SK_ECDSA, "mindrot.org"),
        ("ed25519_sk", SSHKeyKind.SK_ED25519, "ssh:"),
    ],
)
def test_openssh_s_own_keys(name, kind, application):
    text = (VECTORS / f"{name}.pub").read_text()
    key = parse_public_key(text)
    assert (key.kind, key.application, key.is_security_key) == (kind, application, application is not None)
    assert key.line == " ".join(text.split()[:2])
    assert key.sha256 == hashlib.sha256(base64.b64decode(text.split()[1])).hexdigest()


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()])
def test_the_three_curves(curve):
    private = ec.generate_private_key(curve)
    key = parse_public_key(SoftwareKey(private).line)
    assert key.kind == f"ecdsa-sha2-nistp{curve.key_size}"
    assert key.public_key == private.public_key()


def test_a_comment_says_nothing():
    assert parse_public_key(ED25519.line + " ada@example.com, 2nd token\n").line == ED25519.line


@pytest.mark.parametrize(
    "line",
    [
        "",
        ED25519.kind,
        ED25519.line + "\n\n",
        ED25519.line + "\n" + ED25519.line,
        " " + ED25519.line,
        ED25519.line.replace(" ", "  ", 1),
        ED25519.line.replace(" ", "\t", 1),
        ED25519.line + " " + "x" * 5000,
        'namespaces="x" ' + ED25519.line,
        ED25519.line.replace("AAAA", "AA*A", 1),
        ED25519.line + "A",
        ED25519.line + "==",
        P256.line.replace("ecdsa-sha2-nistp256", "ssh-ed25519", 1),
        "ssh-dss " + ED25519.line.split()[1],
        line_of("ssh-dss", mpint(5)),
        line_of("ssh-ed25519-cert-v01@openssh.com", string(bytes(32))),
        line_of("webauthn-sk-ecdsa-sha2-nistp256@openssh.com", string("nistp256")),
    ],
    # The keys are new in each process, and parallel workers must call the tests the same.
    ids=[f"line{number}" for number in range(17)],
)
def test_lines_that_are_no_key(line):
    refusal(line)


@pytest.mark.parametrize("cut", [1, 4, 40])
def test_a_blob_that_ends_too_early_or_goes_on(cut):
    blob = ED25519.blob
    for changed in (blob[:-cut], blob + bytes(cut)):
        refusal(f"ssh-ed25519 {base64.b64encode(changed).decode()}")


@pytest.mark.parametrize(
    ("exponent", "modulus", "words"),
    [
        (mpint(65537), mpint((1 << 1023) + 1), "bits"),
        (mpint(65537), mpint((1 << 8192) + 1), "bits"),
        (mpint(65536), mpint(NUMBERS.n), "exponent"),
        (mpint(1), mpint(NUMBERS.n), "exponent"),
        (mpint((1 << 256) + 1), mpint(NUMBERS.n), "exponent"),
        (mpint(65537), mpint(NUMBERS.n * 3), "factored"),
        # In the subgroup of CVE-2017-15361, and no square that Fermat's method would find.
        (mpint(65537), mpint(65537**129), "factored"),
        (mpint(65537), mpint(PRIME_OF_RSA * NEIGHBOUR), "factored"),
        (mpint(65537), string(NUMBERS.n.to_bytes(256)), "positive"),
        (mpint(65537), string(b"\0\0" + NUMBERS.n.to_bytes(256)), "shortest"),
        (string(b""), mpint(NUMBERS.n), "positive"),
    ],
)
def test_rsa_numbers_that_make_no_good_key(exponent, modulus, words):
    assert words in refusal(line_of("ssh-rsa", exponent, modulus))


def test_points_that_are_none():
    point = P256.private.public_key().public_numbers()
    x, y = point.x.to_bytes(32), point.y.to_bytes(32)
    compressed = bytes([2 + point.y % 2]) + x
    off_the_curve = b"\x04" + x + (point.y ^ 1).to_bytes(32)
    kind = "ecdsa-sha2-nistp256"
    assert "compressed" in refusal(line_of(kind, string("nistp256"), string(compressed)))
    assert "not on its curve" in refusal(line_of(kind, string("nistp256"), string(off_the_curve)))
    assert "compressed" in refusal(line_of(kind, string("nistp256"), string(b"\0")))
    assert "curve" in refusal(line_of(kind, string("nistp384"), string(b"\x04" + x + y)))
    assert "curve" in refusal(line_of("ecdsa-sha2-nistp384", string("nistp384"), string(b"\x04" + x + y)))


@pytest.mark.parametrize("y", [0, 1, PRIME - 1, PRIME, PRIME + 1, 2**255 - 1])
@pytest.mark.parametrize("sign", [0, 1 << 255])
def test_ed25519_points_that_anybody_could_sign_for(y, sign):
    assert "anybody" in refusal(line_of("ssh-ed25519", string((y | sign).to_bytes(32, "little"))))


@pytest.mark.parametrize(
    "point",
    [
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    ],
)
def test_ed25519_points_of_order_8(point):
    refusal(line_of("ssh-ed25519", string(bytes.fromhex(point))))


@pytest.mark.parametrize("application", ["", "x" * 256, "ssh:\n", "ssh: ", "süß"])
@pytest.mark.parametrize(
    "private", [ec.generate_private_key(ec.SECP256R1()), ed25519.Ed25519PrivateKey.generate()]
)
def test_applications_of_fido_keys(private, application):
    good = parse_public_key(TokenKey(private, application="ssh:ca").line)
    assert good.application == "ssh:ca"
    assert good.kind in {SK_ECDSA, SK_ED25519}
    refusal(TokenKey(private, application=application).line)


def test_no_secret_and_no_blob_in_a_key_s_repr():
    assert "object at" not in repr(parse_public_key(P256.line))
