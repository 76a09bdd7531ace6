"""Signed notes (C2SP signed-note): text, and who signed it; and the keys that verify them.

Ed25519 is signature type 0x01; ECDSA P-256 over SHA-256, type 0x02, is for tokens that have no Ed25519.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_der_public_key,
)

from ca_server.core.audit.base64_text import decode_base64, encode_base64
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.signatures import KeyType, SignatureAlgorithm, key_type_of, verify_signature

MAX_NOTE_BYTES = 128 * 1024
MAX_SIGNATURES = 64
MAX_KEY_BYTES = 1024

_ED25519 = 0x01
_ECDSA = 0x02
_SIGNATURE_LINE = re.compile(r"— ([^\s+]+) (\S+)")
_KEY_TEXT = re.compile(r"([^\s+]+)\+([0-9a-f]{8})\+(\S+)")

NoteKey = ed25519.Ed25519PublicKey | ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class VerifierKey:
    """A key that may have signed a note: a vkey."""

    name: str
    public_key: NoteKey

    @property
    def algorithm(self) -> SignatureAlgorithm:
        """How this key signs."""
        if isinstance(self.public_key, ed25519.Ed25519PublicKey):
            return SignatureAlgorithm.ED25519
        return SignatureAlgorithm.ECDSA_SHA256

    @property
    def key_id(self) -> bytes:
        """Four bytes that say which key of a name signed."""
        if isinstance(self.public_key, ed25519.Ed25519PublicKey):
            return hashlib.sha256(f"{self.name}\n".encode() + self._typed_key()).digest()[:4]
        return hashlib.sha256(self._encoded()).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{encode_base64(self._typed_key())}"

    def verify(self, signature: bytes, text: bytes) -> None:
        """Check a signature over a note's text.

        Raises:
            CaError: malformed, AUDIT-SIGNATURE.
        """
        try:
            verify_signature(self.public_key, signature, text, self.algorithm)
        except InvalidSignature:
            raise refuse(
                Kind.MALFORMED, "AUDIT-SIGNATURE", f"the signature by {self.name} is wrong"
            ) from None

    def _encoded(self) -> bytes:
        if isinstance(self.public_key, ed25519.Ed25519PublicKey):
            return self.public_key.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return self.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def _typed_key(self) -> bytes:
        kind = _ED25519 if isinstance(self.public_key, ed25519.Ed25519PublicKey) else _ECDSA
        return bytes([kind]) + self._encoded()


@dataclass(frozen=True, slots=True)
class OpenedNote:
    """A note that was verified: its text and which of the trusted keys signed it."""

    text: bytes
    signed_by: tuple[VerifierKey, ...]


@dataclass(frozen=True, slots=True)
class _SignatureLine:
    name: str
    key_id: bytes
    signature: bytes


def make_verifier_key(name: str, public_key: object) -> VerifierKey:
    """The vkey of a public key under a name.

    Raises:
        ValueError: the name has a space or plus, or the key is neither Ed25519 nor ECDSA P-256.
    """
    if not _is_name(name):
        raise ValueError(f"{name!r} is no name of a note's key: it has a space, a plus, or nothing in it")
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return VerifierKey(name, public_key)
    if isinstance(public_key, ec.EllipticCurvePublicKey) and key_type_of(public_key) is KeyType.EC_P256:
        return VerifierKey(name, public_key)
    raise ValueError("a note is signed with Ed25519 or ECDSA P-256")


def parse_verifier_key(text: str) -> VerifierKey:
    """Read a vkey: `name+id+base64(type || key)`.

    Raises:
        CaError: malformed, AUDIT-VKEY.
    """
    match = _KEY_TEXT.fullmatch(text.strip()) if len(text) <= MAX_KEY_BYTES else None
    data = decode_base64(match[3]) if match else None
    if match is None or not data:
        raise _bad_key("a vkey is name+id+key")
    try:
        key = make_verifier_key(match[1], _load_key(data[0], data[1:]))
    except (ValueError, UnsupportedAlgorithm):
        raise _bad_key("the key is neither Ed25519 (type 1) nor ECDSA P-256 (type 2)") from None
    if str(key) != text.strip():
        raise _bad_key("the id is not this key's")
    return key


def sign_note(text: bytes, key: VerifierKey, signature: bytes) -> bytes:
    """A note with one signature line, verified before it is made.

    Raises:
        CaError: malformed, AUDIT-SIGNATURE; the signature is not this key's.
    """
    key.verify(signature, text)
    return text + f"\n— {key.name} {encode_base64(key.key_id + signature)}\n".encode()


def open_note(note: bytes, keys: Sequence[VerifierKey]) -> OpenedNote:
    """Verify a note. Lines of unknown keys are ignored; every line of a known key must verify.

    Raises:
        CaError: malformed; AUDIT-NOTE, or AUDIT-SIGNATURE where no trusted key signed or one did not.
    """
    text, lines = _split(note)
    known = {(key.name, key.key_id): key for key in keys}
    signed_by = []
    for line in lines:
        key = known.get((line.name, line.key_id))
        if key is None:
            continue
        key.verify(line.signature, text)
        if key not in signed_by:
            signed_by.append(key)
    if not signed_by:
        raise refuse(Kind.MALFORMED, "AUDIT-SIGNATURE", "no trusted key signed this note")
    return OpenedNote(text, tuple(signed_by))


def _split(note: bytes) -> tuple[bytes, list[_SignatureLine]]:
    if len(note) > MAX_NOTE_BYTES:
        raise _bad_note(f"a note may have {MAX_NOTE_BYTES} bytes")
    try:
        whole = note.decode()
    except UnicodeDecodeError:
        raise _bad_note("a note is UTF-8 text") from None
    if any(character < " " and character != "\n" for character in whole):
        raise _bad_note("a note has no control characters")
    text, separator, tail = whole.rpartition("\n\n")
    if not separator or not tail.endswith("\n"):
        raise _bad_note("a note is text, an empty line, and signature lines")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise _bad_note(f"a note may have {MAX_SIGNATURES} signatures")
    return f"{text}\n".encode(), [_signature_line(line) for line in lines]


def _signature_line(line: str) -> _SignatureLine:
    match = _SIGNATURE_LINE.fullmatch(line)
    data = decode_base64(match[2]) if match else None
    if match is None or data is None or len(data) < 5:
        raise _bad_note("a signature line is a dash, a name, and base64 of key id and signature")
    return _SignatureLine(match[1], data[:4], data[4:])


def _load_key(kind: int, data: bytes) -> object:
    if kind == _ED25519:
        return ed25519.Ed25519PublicKey.from_public_bytes(data)
    if kind == _ECDSA:
        return load_der_public_key(data)
    return None


def _is_name(name: str) -> bool:
    return re.fullmatch(r"[^\s+]+", name) is not None and not any(letter < " " for letter in name)


def _bad_key(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "AUDIT-VKEY", detail)


def _bad_note(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "AUDIT-NOTE", detail)
