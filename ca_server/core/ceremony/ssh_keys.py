"""Officers' public keys as OpenSSH writes them: a closed list of kinds, each read byte by byte.

Kinds: RFC 4253 §6.6, RFC 5656 §3.1, RFC 8709 §4, and OpenSSH's PROTOCOL.u2f for keys in FIDO tokens.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass, field
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from ca_server.core import weak_keys
from ca_server.core.ceremony.ssh_wire import WireError, WireReader
from ca_server.core.errors import CaError, Kind, refuse

MAX_LINE_CHARACTERS = 4096
MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192

_LINE = re.compile(r"([a-z0-9@.-]{1,64}) ([A-Za-z0-9+/]{4,}={0,2})(?: [^\r\n]*)?\n?")
_APPLICATION = re.compile(r"[!-~]{1,255}")
_UNCOMPRESSED = b"\x04"
_MAX_EXPONENT_BITS = 256
_FERMAT_ROUNDS = 100
_PRIME = 2**255 - 19
_Y_OF_ORDER_8 = 0x05FC536D880238B13933C6D305ACDFD5F098EFF289F4C345B027B2C28F95E826
# Points whose order divides 8 (RFC 8032 §5.1): a signature by such a key would fit many messages.
_Y_OF_SMALL_ORDER = frozenset({0, 1, _PRIME - 1, _Y_OF_ORDER_8, _PRIME - _Y_OF_ORDER_8})

SoftwareKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey


class SSHKeyKind(StrEnum):
    """Every kind of key that an officer may sign with; DSA is none of them."""

    RSA = "ssh-rsa"
    ECDSA_P256 = "ecdsa-sha2-nistp256"
    ECDSA_P384 = "ecdsa-sha2-nistp384"
    ECDSA_P521 = "ecdsa-sha2-nistp521"
    ED25519 = "ssh-ed25519"
    SK_ECDSA = "sk-ecdsa-sha2-nistp256@openssh.com"
    SK_ED25519 = "sk-ssh-ed25519@openssh.com"


_CURVES: dict[SSHKeyKind, tuple[str, ec.EllipticCurve]] = {
    SSHKeyKind.ECDSA_P256: ("nistp256", ec.SECP256R1()),
    SSHKeyKind.ECDSA_P384: ("nistp384", ec.SECP384R1()),
    SSHKeyKind.ECDSA_P521: ("nistp521", ec.SECP521R1()),
    SSHKeyKind.SK_ECDSA: ("nistp256", ec.SECP256R1()),
}
_SECURITY_KEYS = {SSHKeyKind.SK_ECDSA, SSHKeyKind.SK_ED25519}


@dataclass(frozen=True, slots=True)
class SSHPublicKey:
    """A public key; `application` is what a FIDO token binds it to, such as `ssh:`, and None for others."""

    kind: SSHKeyKind
    blob: bytes
    application: str | None
    public_key: SoftwareKey = field(compare=False, repr=False)

    @property
    def is_security_key(self) -> bool:
        """Whether a FIDO token made it, so that each signature tells of touch and PIN."""
        return self.kind in _SECURITY_KEYS

    @property
    def sha256(self) -> str:
        """The name of the key in a transcript: the hex SHA-256 of its blob, as in OpenSSH's fingerprints."""
        return hashlib.sha256(self.blob).hexdigest()

    @property
    def line(self) -> str:
        """The key in one line, without a comment."""
        return f"{self.kind} {base64.b64encode(self.blob).decode('ascii')}"


def parse_public_key(line: str) -> SSHPublicKey:
    """The key of a `.pub` file's one line: KIND BASE64, and a comment that says nothing here.

    Raises:
        CaError: bad_public_key, `CEREMONY-PUBLIC-KEY`.
    """
    if len(line) > MAX_LINE_CHARACTERS:
        raise _refuse(f"it has over {MAX_LINE_CHARACTERS} characters")
    match = _LINE.fullmatch(line)
    if not match:
        raise _refuse("it is not one line of a kind of key and Base64")
    try:
        blob = base64.b64decode(match[2], validate=True)
    except ValueError as error:
        raise _refuse("its Base64 is broken") from error
    key = parse_public_blob(blob)
    if key.line != f"{match[1]} {match[2]}":
        raise _refuse("its first word or its Base64 is not spelt as OpenSSH does")
    return key


def parse_public_blob(blob: bytes) -> SSHPublicKey:
    """The key in the wire's form, as signatures carry it.

    Raises:
        CaError: bad_public_key, `CEREMONY-PUBLIC-KEY`.
    """
    try:
        return _read(blob)
    except WireError as error:
        raise _refuse(str(error)) from error


def _read(blob: bytes) -> SSHPublicKey:
    reader = WireReader(blob)
    name = reader.text()
    kind = next((each for each in SSHKeyKind if each.value == name), None)
    if kind is None:
        raise WireError(f"its kind is not one of {', '.join(SSHKeyKind)}")
    public_key: SoftwareKey
    if kind is SSHKeyKind.RSA:
        public_key = _rsa(reader)
    elif kind in _CURVES:
        public_key = _elliptic(reader, *_CURVES[kind])
    else:
        public_key = _ed25519(reader)
    application = reader.text() if kind in _SECURITY_KEYS else None
    if application is not None and not _APPLICATION.fullmatch(application):
        raise WireError("its application is empty or too long")
    reader.end()
    return SSHPublicKey(kind, blob, application, public_key)


def _rsa(reader: WireReader) -> rsa.RSAPublicKey:
    exponent, modulus = reader.positive(), reader.positive()
    if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS:
        raise WireError(f"an RSA key has {MIN_RSA_BITS} to {MAX_RSA_BITS} bits")
    if exponent < 3 or exponent % 2 == 0 or exponent.bit_length() > _MAX_EXPONENT_BITS:
        raise WireError("its RSA exponent is even, too small or too large")
    if (
        weak_keys.has_small_factor(modulus)
        or weak_keys.is_roca(modulus)
        or weak_keys.has_close_primes(modulus, _FERMAT_ROUNDS)
    ):
        raise WireError("its RSA modulus is one that can be factored; make a new key")
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError as error:
        raise WireError("its RSA numbers make no key") from error


def _elliptic(reader: WireReader, name: str, curve: ec.EllipticCurve) -> ec.EllipticCurvePublicKey:
    if reader.text() != name:
        raise WireError("its curve is not that of its kind")
    point = reader.string()
    if not point.startswith(_UNCOMPRESSED):
        raise WireError("its point is compressed")
    try:
        return ec.EllipticCurvePublicKey.from_encoded_point(curve, point)
    except ValueError as error:
        raise WireError("its point is not on its curve") from error


def _ed25519(reader: WireReader) -> ed25519.Ed25519PublicKey:
    octets = reader.string()
    y = int.from_bytes(octets, "little") & (2**255 - 1)
    if len(octets) != 32 or y >= _PRIME or y in _Y_OF_SMALL_ORDER:
        raise WireError("its Ed25519 point is none, or one of those that anybody could sign for")
    return ed25519.Ed25519PublicKey.from_public_bytes(octets)


def _refuse(detail: str) -> CaError:
    return refuse(Kind.BAD_PUBLIC_KEY, "CEREMONY-PUBLIC-KEY", f"an officer's public key is refused: {detail}")
