"""The subject: every attribute of the CSR is on the profile's list, and nothing rides along (R6, R17).

The certificate's subject is built anew from the profile: its fixed values, and those values of the CSR
that the profile lets in, in the profile's order.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from cryptography import x509
from cryptography.x509.oid import NameOID

from ca_server.core.errors import CaError, Violation
from ca_server.core.identifiers import Identifier, IdentifierType, make_identifier
from ca_server.core.profile import FixedAttribute, Profile, RequestedAttribute
from ca_server.core.profile_words import ATTRIBUTES

# Signs that some program reads as structure: DN separators, globs, path separators (R9).
_METACHARACTERS = re.compile(r"[*+,/;=<>\"\\#\x00-\x1f\x7f-\x9f]")
_WORDS = {oid: word for word, oid in ATTRIBUTES.items()}
# For telling people what was refused: emailAddress is `email_address`.
_OTHER_WORDS = {
    oid: name.lower() for name, oid in vars(NameOID).items() if isinstance(oid, x509.ObjectIdentifier)
}


def judge_subject(
    subject: x509.Name, identifiers: frozenset[Identifier], profile: Profile
) -> tuple[x509.Name, list[Violation]]:
    """The subject that the certificate gets, and every rule that the CSR's subject breaks."""
    asked, violations = _asked(subject, profile)
    attributes: list[x509.NameAttribute[str]] = []
    for word, rule in profile.subject.items():
        values = asked.get(word, [])
        if isinstance(rule, FixedAttribute):
            granted = list(rule.values)
            if values and values != granted:
                violations.append(_broken("PROFILE-SUBJECT-FIXED", word, f"is always {', '.join(granted)}"))
        else:
            granted = values[:1]
            violations += _requested_violations(word, values, rule, identifiers)
        attributes += _attributes(word, granted, violations)
    return x509.Name(attributes), violations


def _asked(subject: x509.Name, profile: Profile) -> tuple[dict[str, list[str]], list[Violation]]:
    """The CSR's values by word, in order, and what is refused for its form or its type alone."""
    asked: dict[str, list[str]] = {}
    violations: list[Violation] = []
    if any(len(rdn) > 1 for rdn in subject.rdns):
        violations.append(
            Violation("PROFILE-SUBJECT-MULTIVALUED", "each part of the subject holds one attribute", "/csr")
        )
    for attribute in subject:
        word = _WORDS.get(attribute.oid)
        if word is None or word not in profile.subject:
            accepted = ", ".join(profile.subject) or "an empty subject"
            name = word or _OTHER_WORDS.get(attribute.oid, attribute.oid.dotted_string)
            violations.append(_broken("PROFILE-SUBJECT-ATTRIBUTE", name, f"is not accepted; {accepted} is"))
        else:
            asked.setdefault(word, []).append(str(attribute.value))
    return asked, violations


def _requested_violations(
    word: str, values: list[str], rule: RequestedAttribute, identifiers: frozenset[Identifier]
) -> Iterable[Violation]:
    if len(values) > 1:
        yield _broken("PROFILE-SUBJECT-REPEATED", word, "may stand once")
    if not values and rule.required:
        yield _broken("PROFILE-SUBJECT-REQUIRED", word, "must be in the CSR's subject")
    for value in values:
        if len(value) > rule.max_length or not value:
            yield _broken("PROFILE-SUBJECT-LENGTH", word, f"has 1 to {rule.max_length} characters")
            continue
        if rule.names:
            if not _is_name_of(value, rule, identifiers):
                types = " or ".join(rule.names)
                yield _broken("PROFILE-SUBJECT-NAME", word, f"is one of the {types} names in subjectAltName")
        elif _METACHARACTERS.search(value):
            yield _broken("PROFILE-SUBJECT-CHARACTERS", word, 'has none of * + , / ; = < > " \\ #')
        if not any(_text_glob(glob).fullmatch(value) for glob in rule.allow):
            yield _broken("PROFILE-SUBJECT-VALUE", word, f"is like {' or '.join(rule.allow)}")


def _is_name_of(value: str, rule: RequestedAttribute, identifiers: frozenset[Identifier]) -> bool:
    candidates = (each for each in identifiers if each.type in rule.names)
    if rule.part == "last-segment":
        return any(value == re.split("[/:]", each.value)[-1] for each in candidates)
    return any(_spells(value, each.type, each) for each in candidates)


def _spells(value: str, kind: IdentifierType, identifier: Identifier) -> bool:
    try:
        return make_identifier(kind, value) == identifier
    except CaError:
        return False


def _attributes(word: str, values: list[str], violations: list[Violation]) -> list[x509.NameAttribute[str]]:
    try:
        return [x509.NameAttribute(ATTRIBUTES[word], value) for value in values]
    except ValueError:
        # X.520's own bounds, which the builder knows: a country has two letters, a common name 64.
        violations.append(_broken("PROFILE-SUBJECT-LENGTH", word, "is longer or shorter than X.520 allows"))
        return []


@lru_cache(maxsize=1024)
def _text_glob(glob: str) -> re.Pattern[str]:
    """`*` is any run of characters; everything else is itself."""
    return re.compile(".*".join(re.escape(part) for part in glob.split("*")), re.DOTALL)


def _broken(rule_id: str, word: str, detail: str) -> Violation:
    return Violation(rule_id, f"subject attribute {word} {detail}", "/csr")
