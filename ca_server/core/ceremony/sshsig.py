"""SSHSIG, the signatures of `ssh-keygen -Y sign` (OpenSSH's PROTOCOL.sshsig), verified by ourselves.

`ssh-keygen -Y verify` has no option that demands touch and PIN of a FIDO token, so these flags are read here.
Stricter than OpenSSH: one spelling of the armour, an empty reserved field, nothing signed across web origins.
"""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from ca_server.core.ceremony.ssh_keys import SSHKeyKind, SSHPublicKey, parse_public_blob
from ca_server.core.ceremony.ssh_wire import WireError, WireReader, write_string
from ca_server.core.ceremony.web_signing import WEBAUTHN, client_data_digest
from ca_server.core.errors import CaError, Kind, refuse

MAX_SIGNATURE_BYTES = 16 * 1024

_MAGIC = b"SSHSIG"
_VERSION = 1
_ARMOUR = re.compile(
    rb"-----BEGIN SSH SIGNATURE-----\n((?:[A-Za-z0-9+/=]{1,76}\n)+)-----END SSH SIGNATURE-----\n"
)
_MESSAGE_HASHES = {"sha256", "sha512"}
_RSA_HASHES: dict[str, hashes.HashAlgorithm] = {
    "rsa-sha2-256": hashes.SHA256(),
    "rsa-sha2-512": hashes.SHA512(),
}
_CURVE_HASHES: dict[SSHKeyKind, hashes.HashAlgorithm] = {
    SSHKeyKind.ECDSA_P256: hashes.SHA256(),
    SSHKeyKind.ECDSA_P384: hashes.SHA384(),
    SSHKeyKind.ECDSA_P521: hashes.SHA512(),
    SSHKeyKind.SK_ECDSA: hashes.SHA256(),
}
# Of the authenticator data (WebAuthn §6.1): user present, user verified, new credential, extensions follow.
_TOUCH = 0x01
_PIN = 0x04
_NEW_CREDENTIAL = 0x40
_EXTENSIONS = 0x80


@dataclass(frozen=True, slots=True)
class SignatureFlags:
    """What a FIDO token signed of itself; for other keys all of it is False and 0."""

    is_sk: bool
    touch: bool
    pin: bool
    counter: int


@dataclass(frozen=True, slots=True)
class SSHSignature:
    """A signature as it was read: nothing in it is proven before `verify_sshsig`."""

    key: SSHPublicKey
    namespace: str
    message_hash: str
    signature: bytes


def parse_sshsig(armoured: bytes) -> SSHSignature:
    """The signature in a `.sig` file, whose key must still be looked up and the signature verified.

    Raises:
        CaError: malformed, `CEREMONY-SIGNATURE`; bad_public_key, `CEREMONY-PUBLIC-KEY`.
    """
    if len(armoured) > MAX_SIGNATURE_BYTES:
        raise _refuse(f"it is over {MAX_SIGNATURE_BYTES // 1024} KiB")
    match = _ARMOUR.fullmatch(armoured)
    if not match:
        raise _refuse("it is not one armoured SSH signature")
    text = match[1].replace(b"\n", b"")
    try:
        blob = base64.b64decode(text, validate=True)
        if base64.b64encode(blob) != text:
            raise _refuse("its Base64 is not in its one spelling")
        return _read(blob)
    except ValueError as error:
        raise _refuse(str(error)) from error


def _read(blob: bytes) -> SSHSignature:
    reader = WireReader(blob)
    if reader.take(len(_MAGIC)) != _MAGIC or reader.uint32() != _VERSION:
        raise WireError("it is not SSHSIG version 1")
    public_blob, namespace = reader.string(), reader.text()
    if reader.string() != b"":
        raise WireError("its reserved field is not empty")
    message_hash, signature = reader.text(), reader.string()
    reader.end()
    if message_hash not in _MESSAGE_HASHES:
        raise WireError("its message is not hashed with sha256 or sha512")
    return SSHSignature(parse_public_blob(public_blob), namespace, message_hash, signature)


def verify_sshsig(armoured: bytes, message: bytes, namespace: str, key: SSHPublicKey) -> SignatureFlags:
    """Prove that this very key signed this message in this namespace; say what its token says of itself.

    Raises:
        CaError: malformed or forbidden: `CEREMONY-SIGNATURE`, `CEREMONY-NAMESPACE` or `CEREMONY-PUBLIC-KEY`.
    """
    found = parse_sshsig(armoured)
    if found.key.blob != key.blob:
        raise _refuse("another key made it")
    if found.namespace != namespace:
        detail = f"a signature is for another use: its namespace is not {namespace}"
        raise refuse(Kind.FORBIDDEN, "CEREMONY-NAMESPACE", detail)
    digest = hashlib.new(found.message_hash, message).digest()
    parts = (namespace.encode(), b"", found.message_hash.encode(), digest)
    signed = _MAGIC + b"".join(write_string(part) for part in parts)
    try:
        return _verify(key, WireReader(found.signature), signed)
    except InvalidSignature as error:
        raise _refuse("it does not fit what was to be signed") from error
    except WireError as error:
        raise _refuse(str(error)) from error


def _verify(key: SSHPublicKey, reader: WireReader, signed: bytes) -> SignatureFlags:
    algorithm = reader.text()
    if key.is_security_key:
        return _verify_token(key, algorithm, reader, signed)
    signature = reader.string()
    reader.end()
    if key.kind is SSHKeyKind.RSA:
        digest = _RSA_HASHES.get(algorithm)
        if digest is None:
            raise WireError(f"an RSA key signs with {' or '.join(_RSA_HASHES)}")
        assert isinstance(key.public_key, rsa.RSAPublicKey)
        key.public_key.verify(signature, signed, padding.PKCS1v15(), digest)
    else:
        _require_algorithm(algorithm, key.kind)
        _verify_curve(key, signature, signed)
    return SignatureFlags(is_sk=False, touch=False, pin=False, counter=0)


def _verify_token(key: SSHPublicKey, algorithm: str, reader: WireReader, signed: bytes) -> SignatureFlags:
    """A FIDO token signs its application, flags and counter with the message's hash (PROTOCOL.u2f)."""
    signature, flags, counter = reader.string(), reader.byte(), reader.uint32()
    digest, extensions = hashlib.sha256(signed).digest(), b""
    assert key.application is not None
    if algorithm == WEBAUTHN and key.kind is SSHKeyKind.SK_ECDSA:
        origin, client_data, extensions = reader.text(), reader.string(), reader.string()
        if flags & _NEW_CREDENTIAL or bool(flags & _EXTENSIONS) != bool(extensions):
            raise WireError("its flags do not fit what it holds")
        digest = client_data_digest(client_data, origin, key.application, signed)
    else:
        _require_algorithm(algorithm, key.kind)
    reader.end()
    application = hashlib.sha256(key.application.encode()).digest()
    token_data = application + bytes([flags]) + counter.to_bytes(4) + extensions
    _verify_curve(key, signature, token_data + digest)
    return SignatureFlags(is_sk=True, touch=bool(flags & _TOUCH), pin=bool(flags & _PIN), counter=counter)


def _verify_curve(key: SSHPublicKey, signature: bytes, data: bytes) -> None:
    """ECDSA as two numbers (RFC 5656 §3.1.2), or Ed25519 as it is (RFC 8709 §6)."""
    if isinstance(key.public_key, ec.EllipticCurvePublicKey):
        reader = WireReader(signature)
        der = encode_dss_signature(reader.positive(), reader.positive())
        reader.end()
        key.public_key.verify(der, data, ec.ECDSA(_CURVE_HASHES[key.kind]))
    else:
        assert not isinstance(key.public_key, rsa.RSAPublicKey)
        key.public_key.verify(signature, data)


def _require_algorithm(algorithm: str, kind: SSHKeyKind) -> None:
    if algorithm != kind:
        raise WireError("it was made by an algorithm that is not its key's")


def _refuse(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "CEREMONY-SIGNATURE", f"a signature is refused: {detail}")
