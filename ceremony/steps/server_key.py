"""The server's TLS key, made in software on the host, and its CSR."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Literal

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from ca_server.core.bundle import API_SERVER_CSR
from ca_server.core.errors import Kind, refuse
from ca_server.core.signatures import KeyType
from ceremony.folder import place
from ceremony.steps.verb import Done, Effect, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script

_MAKERS: dict[KeyType, Callable[[], CertificateIssuerPrivateKeyTypes]] = {
    KeyType.EC_P256: partial(ec.generate_private_key, ec.SECP256R1()),
    KeyType.EC_P384: partial(ec.generate_private_key, ec.SECP384R1()),
    KeyType.RSA_2048: partial(rsa.generate_private_key, 65537, 2048),
    KeyType.RSA_3072: partial(rsa.generate_private_key, 65537, 3072),
}


class MakeServerKey(Verb):
    """Make a TLS key that web servers can hold; the server's own gate issues its certificate later."""

    effect = Effect.IDEMPOTENT
    do: Literal["server-key.make"]

    def describe(self, script: Script) -> str:
        """What will happen."""
        kind = script.api_server.key_type if script.api_server else ""
        return f"make the API server's TLS key ({kind}) in software, and its CSR"

    def perform(self, room: Room) -> Done:
        """Make both, anew in each try; the key is PKCS#8 PEM and never goes into the bundle."""
        wanted, place_of_key = room.script.api_server, room.host.api_server_key
        if wanted is None or place_of_key is None:
            detail = "the script has no [api_server], or the host file does not say where its key goes"
            raise refuse(Kind.MALFORMED, "CEREMONY-REFERENCE", detail)
        key = _MAKERS[wanted.key_type]()
        names: list[x509.GeneralName] = [x509.DNSName(name) for name in wanted.dns_names]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in wanted.ip_addresses]
        csr = (
            x509.CertificateSigningRequestBuilder()
            .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted.dns_names[0])]))
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .sign(key, SHA256())
            .public_bytes(Encoding.DER)
        )
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        place(place_of_key, pem, mode=0o600)
        room.write(API_SERVER_CSR, csr)
        return Done(f"CSR SHA-256 {hashlib.sha256(csr).hexdigest()}")
