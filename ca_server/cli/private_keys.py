"""Makes keys and CSRs for a client, and writes what it gets: key first, each file whole, none half done."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ca_server.core.errors import CaError, Kind
from ca_server.core.identifiers import identifier_of, to_general_name

ClientKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

CURVES: dict[str, type[ec.SECP256R1 | ec.SECP384R1 | ec.SECP521R1]] = {
    "P-256": ec.SECP256R1,
    "P-384": ec.SECP384R1,
    "P-521": ec.SECP521R1,
}
SIZES = (2048, 3072, 4096)

CERTIFICATE, CHAIN, FULL_CHAIN, KEY = "cert.pem", "chain.pem", "fullchain.pem", "privkey.pem"

_END = "-----END CERTIFICATE-----\n"


def make_key(kty: str, crv: str, size: int) -> ClientKey:
    """A new private key, named as in RFC 7518 §6.1: EC with a curve, RSA with a size, or OKP (Ed25519)."""
    if kty == "RSA":
        return rsa.generate_private_key(65537, size)
    if kty == "OKP":
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(CURVES[crv]())


def make_key_like(public_key: object) -> ClientKey:
    """A new private key of the same type and size as a public key.

    Raises:
        CaError: malformed, keys of that type are not made here.
    """
    if isinstance(public_key, ec.EllipticCurvePublicKey):
        return ec.generate_private_key(public_key.curve)
    if isinstance(public_key, rsa.RSAPublicKey):
        return rsa.generate_private_key(65537, public_key.key_size)
    if isinstance(public_key, ed25519.Ed25519PublicKey):
        return ed25519.Ed25519PrivateKey.generate()
    raise CaError(Kind.MALFORMED, "a key of this type is not made here: give --csr")


def make_subject(common_name: str | None) -> x509.Name:
    """A subject with a common name, where the profile wants one."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else [])


def make_csr(key: ClientKey, names: Sequence[x509.GeneralName], subject: x509.Name) -> str:
    """A CSR in PEM for these names and this subject, which may be empty (RFC 5280 §4.2.1.6)."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(subject)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=not subject.rdns)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.PEM).decode("ascii")


def parse_name(text: str) -> x509.GeneralName:
    """A subject alternative name as people type it: an address, a URI, an email address, or a DNS name.

    It comes out as a certificate will spell it, which has no capitals in a host's name.

    Raises:
        CaError: malformed, it is none of these.
    """
    name = _as_typed(text)
    try:
        return to_general_name(identifier_of(name))
    except CaError:
        # The server, which refuses it, knows better what is wrong with it.
        return name


def _as_typed(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        if "://" in text or text.startswith("urn:"):
            return x509.UniformResourceIdentifier(text)
        return x509.RFC822Name(text) if "@" in text else x509.DNSName(text)
    except ValueError as error:
        raise CaError(Kind.MALFORMED, f"{text} is no name: use A-labels (punycode)") from error


def require_free(folder: Path, *, with_key: bool, force: bool) -> None:
    """Refuse to write over what is there, unless told to.

    Raises:
        CaError: conflict, a file is there.
    """
    wanted = [CERTIFICATE, CHAIN, FULL_CHAIN, *([KEY] if with_key else [])]
    taken = [name for name in wanted if (folder / name).exists()]
    if taken and not force:
        raise CaError(Kind.CONFLICT, f"{folder} already has {', '.join(taken)}: give --force to replace")


class NewFiles:
    """The files of a certificate that is still to come, named as certbot's users expect them.

    All lie aside before the certificate is asked for - so that one is never issued in vain - and are moved
    into place when they are complete, so that a server never loads half of them. The key is readable by its
    owner alone.

    Raises:
        OSError: the folder cannot be written; nothing is left in it then.
    """

    def __init__(self, folder: Path, key: ClientKey | None) -> None:
        self._folder = folder
        self._names = [*([KEY] if key is not None else []), CHAIN, FULL_CHAIN, CERTIFICATE]
        self._made = [each for each in (folder, *folder.parents) if not each.exists()]
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for name in self._names:
                write_aside(folder / name, b"", 0o600 if name == KEY else 0o644)
            if key is not None:
                pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
                write_aside(folder / KEY, pem, 0o600)
        except OSError:
            self.discard()
            raise

    def complete(self, pem_chain: str) -> None:
        """Fill in the certificate with its chain, and move all into place."""
        blocks = [block + _END for block in pem_chain.split(_END) if block.strip()]
        contents = {CHAIN: "".join(blocks[1:]), FULL_CHAIN: pem_chain, CERTIFICATE: blocks[0]}
        for name, text in contents.items():
            write_aside(self._folder / name, text.encode(), 0o644)
        for name in self._names:
            _aside(self._folder / name).rename(self._folder / name)

    def discard(self) -> None:
        """Leave everything as it was found: there will be no certificate."""
        for name in self._names:
            with suppress(OSError):
                _aside(self._folder / name).unlink()
        for folder in self._made:
            with suppress(OSError):
                folder.rmdir()


def write_aside(path: Path, data: bytes, mode: int) -> None:
    """Write `.NAME.new` beside a file, durable and with its permissions from the first byte."""
    aside = _aside(path)
    aside.unlink(missing_ok=True)
    descriptor = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, mode)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _aside(path: Path) -> Path:
    return path.with_name(f".{path.name}.new")
