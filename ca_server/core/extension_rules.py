"""What a CSR may ask to have in the certificate: its names, and what the profile gives anyway (R7).

Extensions come from the profile alone. A request for something else is refused and not dropped, so that
nobody gets a certificate that does less, or more, than they think.
"""

from __future__ import annotations

from collections.abc import Iterator

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes

from ca_server.core.csr import Csr
from ca_server.core.errors import Violation
from ca_server.core.profile import ExtensionRules
from ca_server.core.profile_words import KEY_USAGES, purpose_oid
from ca_server.core.protocol_rules import Habits


def extension_violations(csr: Csr, rules: ExtensionRules, habits: Habits) -> Iterator[Violation]:
    """Every rule that the extensions asked for in a CSR break; `habits` are asked for in vain."""
    for extension in csr.extensions:
        match extension.value:
            case x509.SubjectAlternativeName():
                continue
            case x509.BasicConstraints() as asked:
                yield from _constraint_violations(asked, rules)
            case x509.KeyUsage() as asked:
                yield from _usage_violations(asked, rules, habits)
            case x509.ExtendedKeyUsage() as asked:
                yield from _purpose_violations(asked, rules, habits)
            case x509.TLSFeature() as asked:
                if not rules.must_staple or list(asked) != [x509.TLSFeatureType.status_request]:
                    yield _refused("PROFILE-EXTENSION", "must-staple is not in this profile")
            case x509.SubjectKeyIdentifier() as asked:
                yield from _identifier_violations(asked, csr.public_key)
            case _:
                yield _refused(
                    "PROFILE-EXTENSION",
                    f"the extension {extension.oid.dotted_string} is refused; ask for subjectAltName alone",
                )


def _constraint_violations(asked: x509.BasicConstraints, rules: ExtensionRules) -> Iterator[Violation]:
    if asked.ca and not rules.ca:
        yield _refused("PROFILE-EXTENSION-CA", "CA:true is refused; this profile is for end entities")
    elif asked.ca != rules.ca or asked.path_length not in (None, rules.path_length):
        yield _refused("PROFILE-EXTENSION", "basicConstraints differs from what this profile gives")


def _usage_violations(asked: x509.KeyUsage, rules: ExtensionRules, habits: Habits) -> Iterator[Violation]:
    wanted: set[str] = {word for word in KEY_USAGES if getattr(asked, word)}
    if asked.key_agreement and (asked.encipher_only or asked.decipher_only):
        wanted.add("encipher_only or decipher_only")
    if extra := wanted.difference(rules.key_usage, habits.ignored_key_usage):
        yield _refused(
            "PROFILE-EXTENSION-USAGE",
            f"key usage {', '.join(sorted(extra))} is refused; {', '.join(rules.key_usage)} is given",
        )


def _purpose_violations(
    asked: x509.ExtendedKeyUsage, rules: ExtensionRules, habits: Habits
) -> Iterator[Violation]:
    given = {purpose_oid(word) for word in rules.extended_key_usage}
    ignored = {purpose_oid(word) for word in habits.ignored_extended_key_usage}
    # Who asks for none of what is given wants another certificate, whatever the habit.
    accepted = given | ignored if given.intersection(asked) else given
    if extra := sorted(oid.dotted_string for oid in set(asked) - accepted):
        yield _refused(
            "PROFILE-EXTENSION-EKU",
            f"extended key usage {', '.join(extra)} is refused; "
            f"{', '.join(rules.extended_key_usage) or 'none'} is given",
        )


def _identifier_violations(
    asked: x509.SubjectKeyIdentifier, public_key: CertificatePublicKeyTypes
) -> Iterator[Violation]:
    if asked != x509.SubjectKeyIdentifier.from_public_key(public_key):
        yield _refused("PROFILE-EXTENSION", "subjectKeyIdentifier is not the SHA-1 of this key (RFC 5280)")


def _refused(rule_id: str, detail: str) -> Violation:
    return Violation(rule_id, detail, "/csr")
