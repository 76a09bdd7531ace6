"""Make the server's TLS key in software, and its CSR."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ca_server.core.bundle import API_SERVER_CSR
from ca_server.core.signatures import KeyType
from ceremony.room import Room

_MAKERS: dict[KeyType, Callable[[], CertificateIssuerPrivateKeyTypes]] = {
    KeyType.EC_P256: partial(ec.generate_private_key, ec.SECP256R1()),
    KeyType.EC_P384: partial(ec.generate_private_key, ec.SECP384R1()),
    KeyType.RSA_2048: partial(rsa.generate_private_key, 65537, 2048),
    KeyType.RSA_3072: partial(rsa.generate_private_key, 65537, 3072),
}


@dataclass(frozen=True, slots=True)
class MakeServerKey:
    """Makes a TLS key that web servers can hold; the server's own gate issues its certificate later."""

    id: str
    key_type: KeyType
    dns_names: tuple[str, ...]
    ip_addresses: tuple[str, ...]

    def describe(self) -> str:
        """What will happen."""
        return f"make the API server's TLS key ({self.key_type}) in software, and its CSR"

    def perform(self, room: Room) -> str:
        """Make both and keep them; the key is PKCS#8 PEM and never goes into the bundle."""
        key = _MAKERS[self.key_type]()
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in self.dns_names]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in self.ip_addresses]
        csr = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, self.dns_names[0])]))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(key, SHA256())
            .public_bytes(Encoding.DER)
        )
        room.api_server_key = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        room.files[API_SERVER_CSR] = csr
        return f"CSR SHA-256 {hashlib.sha256(csr).hexdigest()}"
