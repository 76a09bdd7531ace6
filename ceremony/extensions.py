"""What each kind of certificate that a ceremony makes may do, as extensions with their criticality.

Key identifiers are not here: the step that signs knows the keys (`ceremony.steps.certificates`).
"""

from __future__ import annotations

import ipaddress

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtendedKeyUsageOID

from ceremony.issuers import key_identifier
from ceremony.profiles import NameConstraints, Profile
from ceremony.tables import Publication

Extension = tuple[x509.ExtensionType, bool]

_COPIED = (x509.BasicConstraints, x509.KeyUsage, x509.ExtendedKeyUsage, x509.NameConstraints)


def root_extensions(profile: Profile) -> tuple[Extension, ...]:
    """A root: a CA and nothing else; nobody but itself could publish its revocation, so no CDP."""
    return (
        (x509.BasicConstraints(ca=True, path_length=profile.path_length), True),
        (_key_usage(signs_certificates=True), True),
    )


def authority_extensions(profile: Profile, issuer: str, publication: Publication) -> tuple[Extension, ...]:
    """A subordinate CA (RFC 5280 §4.2.1.9, §4.2.1.10), with its issuer's CRL and certificate to be found."""
    constraints = profile.name_constraints
    return (
        (x509.BasicConstraints(ca=True, path_length=profile.path_length), True),
        (_key_usage(signs_certificates=True), True),
        *publication_extensions(issuer, publication),
        *([(_name_constraints(constraints), True)] if constraints else []),
    )


def responder_extensions(issuer: str, publication: Publication) -> tuple[Extension, ...]:
    """A delegated OCSP signer, whose own status nobody asks for (RFC 6960 §4.2.2.2.1)."""
    return (
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (_key_usage(signs_certificates=False), True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING]), False),
        (x509.OCSPNoCheck(), False),
        _ca_issuers(issuer, publication),
    )


def copied_extensions(existing: x509.Certificate) -> tuple[x509.SubjectKeyIdentifier, tuple[Extension, ...]]:
    """What a certificate says of its key and its limits, for another certificate of the same key."""
    own = tuple(
        (each.value, each.critical) for each in existing.extensions if isinstance(each.value, _COPIED)
    )
    if not any(isinstance(value, x509.KeyUsage) for value, _ in own):
        own = (*own, (_key_usage(signs_certificates=True), True))
    return key_identifier(existing), own


def publication_extensions(issuer: str, publication: Publication) -> tuple[Extension, ...]:
    """Where the issuer's CRL and certificate are found."""
    url = x509.UniformResourceIdentifier(publication.crl_url(issuer))
    point = x509.DistributionPoint(full_name=[url], relative_name=None, reasons=None, crl_issuer=None)
    return (x509.CRLDistributionPoints([point]), False), _ca_issuers(issuer, publication)


def _ca_issuers(issuer: str, publication: Publication) -> Extension:
    url = x509.UniformResourceIdentifier(publication.certificate_url(issuer))
    access = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, url)
    return x509.AuthorityInformationAccess([access]), False


def _name_constraints(constraints: NameConstraints) -> x509.NameConstraints:
    return x509.NameConstraints(
        permitted_subtrees=_subtrees(constraints.permitted_dns, constraints.permitted_ip),
        excluded_subtrees=_subtrees(constraints.excluded_dns, constraints.excluded_ip),
    )


def _subtrees(names: tuple[str, ...], networks: tuple[str, ...]) -> list[x509.GeneralName] | None:
    subtrees: list[x509.GeneralName] = [x509.DNSName(name) for name in names]
    subtrees += [x509.IPAddress(ipaddress.ip_network(network)) for network in networks]
    return subtrees or None


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
