"""A throw-away authority in software, and requests made for it: what policy tests are made of."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ca_server.core.authorization import Authorization, Mint, Principal, Role
from ca_server.core.csr import Csr, parse_csr
from ca_server.core.identifiers import Identifier
from ca_server.core.policy import CertificateFields, Facts, IssuerFacts, decide
from ca_server.core.profile import Profile
from ca_server.core.signatures import KeyType, SignatureAlgorithm, default_algorithm, key_type_of
from ca_server.policy_store import PolicyStore

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)
SERIAL = 0x5A3C << 140 | 0xC0FFEE


@cache
def policies() -> PolicyStore:
    """The policies that come with Sealkeeper, as this checkout has them."""
    return PolicyStore()


@cache
def make_key(key_type: KeyType) -> Any:
    """One key of each type for the whole run: RSA keys are slow to make."""
    match key_type:
        case KeyType.EC_P256:
            return ec.generate_private_key(ec.SECP256R1())
        case KeyType.EC_P384:
            return ec.generate_private_key(ec.SECP384R1())
        case KeyType.EC_P521:
            return ec.generate_private_key(ec.SECP521R1())
        case KeyType.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case _:
            return rsa.generate_private_key(65537, int(key_type.rpartition("-")[2]))


@cache
def issuer_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


@cache
def make_issuer(
    days: int = 3650, key_type: KeyType | None = None, path_length: int | None = 1
) -> IssuerFacts:
    key = make_key(key_type) if key_type else issuer_key()
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Paper Issuing CA")])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    algorithm = default_algorithm(key_type_of(key.public_key()))
    certificate = (
        x509.CertificateBuilder(
            name,
            name,
            key.public_key(),
            1,
            _naive(NOW - timedelta(days=30)),
            _naive(NOW + timedelta(days=days)),
        )
        .add_extension(x509.BasicConstraints(True, path_length), critical=True)
        .add_extension(identifier, critical=False)
        .sign(key, algorithm.hash)
    )
    return IssuerFacts(
        authority_id="paper",
        certificate=certificate,
        signature_algorithm=SignatureAlgorithm(algorithm),
        crl_urls=("http://ca.example.test/crl/paper.crl",),
        ocsp_urls=("http://ocsp.example.test/",),
        ca_issuer_urls=("http://ca.example.test/aia/paper.cer",),
    )


def _naive(moment: datetime) -> datetime:
    return moment.replace(tzinfo=None)


def dns(*names: str) -> list[x509.GeneralName]:
    return [x509.DNSName(name) for name in names]


def ip(*addresses: str) -> list[x509.GeneralName]:
    return [x509.IPAddress(ipaddress.ip_address(each)) for each in addresses]


def subject(**attributes: str) -> x509.Name:
    """A name of `common_name="..."` and the like, in order."""
    return x509.Name(
        [x509.NameAttribute(getattr(NameOID, word.upper()), value) for word, value in attributes.items()]
    )


def csr_der(
    names: list[x509.GeneralName] | tuple[()] = (),
    *,
    name: x509.Name | None = None,
    key: Any = None,
    extensions: tuple[x509.ExtensionType, ...] = (),
    attributes: tuple[tuple[x509.ObjectIdentifier, bytes], ...] = (),
) -> bytes:
    key = key or make_key(KeyType.EC_P256)
    builder = x509.CertificateSigningRequestBuilder().subject_name(name or x509.Name([]))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
    for each in extensions:
        builder = builder.add_extension(each, critical=False)
    for oid, value in attributes:
        builder = builder.add_attribute(oid, value)
    digest = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest).public_bytes(Encoding.DER)


def make_csr(names: list[x509.GeneralName] | tuple[()] = (), **more: Any) -> Csr:
    return parse_csr(csr_der(names, **more))


def authorize(
    csr: Csr,
    profile: str,
    *,
    role: Role = Role.REQUESTER,
    protocol: str = "rest",
    identifiers: frozenset[Identifier] | None = None,
) -> Authorization:
    principal = Principal("token:1", role, "token", ("*",), ("*",))
    names = csr.identifiers if identifiers is None else identifiers
    return Mint(protocol, b"k" * 32).authorize(principal, profile, names)


def make_facts(**changes: Any) -> Facts:
    facts: dict[str, Any] = {
        "now": NOW,
        "issuer": make_issuer(),
        "site": policies().site,
        "compromised": False,
        "own_key": False,
        "debian_weak_keys": frozenset(),
        "approvals": 0,
    }
    return Facts(**(facts | changes))


def grant(
    profile: Profile | str,
    csr: Csr,
    *,
    facts: Facts | None = None,
    role: Role = Role.REQUESTER,
    protocol: str = "rest",
    **times: Any,
) -> CertificateFields:
    """Decide for somebody who was authorized for exactly what the CSR says."""
    known = policies().profile(profile) if isinstance(profile, str) else profile
    authorization = authorize(csr, known.name, role=role, protocol=protocol)
    return decide(csr, authorization, known, facts or make_facts(), **times)
