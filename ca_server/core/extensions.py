"""The extensions of a certificate: from the profile and the issuer, plus its own key and names (R7)."""

from __future__ import annotations

from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID

from ca_server.core.identifiers import to_general_name
from ca_server.core.policy import CertificateFields, IssuerFacts
from ca_server.core.profile import ExtensionRules, Profile
from ca_server.core.profile_words import purpose_oid, subtree_name

Extension = x509.Extension[x509.ExtensionType]


def extensions_of(fields: CertificateFields, issuer: IssuerFacts) -> list[Extension]:
    """Every extension of the certificate that these fields become."""
    found = [*_constant(fields.profile, issuer)]
    found.append(_extension(x509.SubjectKeyIdentifier.from_public_key(fields.public_key)))
    if fields.identifiers:
        names = x509.SubjectAlternativeName([to_general_name(each) for each in fields.identifiers])
        # Critical exactly when the subject is empty (RFC 5280 §4.2.1.6).
        found.append(_extension(names, critical=not fields.subject.rdns))
    return found


def usages_of(rules: ExtensionRules) -> list[Extension]:
    """What the certificate's key may be used for: keyUsage, and extendedKeyUsage where the profile has it."""
    usages = [_extension(_key_usage(rules), critical=True)]
    if rules.extended_key_usage:
        purposes = [purpose_oid(word) for word in rules.extended_key_usage]
        usages.append(_extension(x509.ExtendedKeyUsage(purposes)))
    return usages


@lru_cache(maxsize=256)
def _constant(profile: Profile, issuer: IssuerFacts) -> tuple[Extension, ...]:
    """What is the same in every certificate of one profile and one issuer."""
    rules = profile.extensions
    key_usage, *purposes = usages_of(rules)
    found = [
        _extension(x509.BasicConstraints(rules.ca, rules.path_length), critical=True),
        key_usage,
        _extension(_authority_key_identifier(issuer.certificate)),
        *purposes,
    ]
    if rules.certificate_policies:
        found.append(_extension(_certificate_policies(rules)))
    if rules.crl_distribution_point and issuer.crl_urls:
        found.append(_extension(_distribution_points(issuer.crl_urls)))
    if access := _access_descriptions(rules, issuer):
        found.append(_extension(x509.AuthorityInformationAccess(access)))
    if rules.must_staple:
        found.append(_extension(x509.TLSFeature([x509.TLSFeatureType.status_request])))
    if rules.ocsp_nocheck:
        found.append(_extension(x509.OCSPNoCheck()))
    if constraints := _name_constraints(rules):
        found.append(_extension(constraints, critical=True))
    return tuple(found)


def _extension(value: x509.ExtensionType, *, critical: bool = False) -> Extension:
    return x509.Extension(value.oid, critical, value)


def _key_usage(rules: ExtensionRules) -> x509.KeyUsage:
    usage = rules.key_usage
    return x509.KeyUsage(
        digital_signature="digital_signature" in usage,
        content_commitment="content_commitment" in usage,
        key_encipherment="key_encipherment" in usage,
        data_encipherment="data_encipherment" in usage,
        key_agreement="key_agreement" in usage,
        key_cert_sign="key_cert_sign" in usage,
        crl_sign="crl_sign" in usage,
        encipher_only=False,
        decipher_only=False,
    )


def _authority_key_identifier(issuer: x509.Certificate) -> x509.AuthorityKeyIdentifier:
    identifier = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    return x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier)


def _certificate_policies(rules: ExtensionRules) -> x509.CertificatePolicies:
    return x509.CertificatePolicies(
        x509.PolicyInformation(x509.ObjectIdentifier(each.oid), [each.cps] if each.cps else None)
        for each in rules.certificate_policies
    )


def _distribution_points(urls: tuple[str, ...]) -> x509.CRLDistributionPoints:
    names = [x509.UniformResourceIdentifier(url) for url in urls]
    return x509.CRLDistributionPoints([x509.DistributionPoint(names, None, None, None)])


def _access_descriptions(rules: ExtensionRules, issuer: IssuerFacts) -> list[x509.AccessDescription]:
    wanted = []
    if rules.ocsp:
        wanted += [(AuthorityInformationAccessOID.OCSP, url) for url in issuer.ocsp_urls]
    if rules.ca_issuers:
        wanted += [(AuthorityInformationAccessOID.CA_ISSUERS, url) for url in issuer.ca_issuer_urls]
    return [x509.AccessDescription(method, x509.UniformResourceIdentifier(url)) for method, url in wanted]


def _name_constraints(rules: ExtensionRules) -> x509.NameConstraints | None:
    if rules.name_constraints is None:
        return None
    permitted = [subtree_name(text) for text in rules.name_constraints.permitted]
    excluded = [subtree_name(text) for text in rules.name_constraints.excluded]
    return x509.NameConstraints(permitted or None, excluded or None)
