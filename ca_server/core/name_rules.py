"""The names: each of a type, shape and value that the profile allows and the site does not deny."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ca_server.core.errors import Violation
from ca_server.core.identifiers import Identifier, IdentifierType
from ca_server.core.name_patterns import matches, touches
from ca_server.core.profile import NameRules, NameTypeRules
from ca_server.core.site import NameFloor


def name_violations(
    identifiers: frozenset[Identifier], rules: NameRules, floor: NameFloor
) -> Iterator[Violation]:
    """Every rule of the profile and the site that a set of names breaks."""
    yield from count_violations(identifiers, rules, floor)
    for identifier in sorted(identifiers):
        yield from one_name_violations(identifier, rules, floor)


def one_name_violations(identifier: Identifier, rules: NameRules, floor: NameFloor) -> Iterator[Violation]:
    """Every rule that one name breaks, whatever stands beside it."""
    of_type = rules.of_type(identifier.type)
    if of_type is None:
        accepted = [each for each in IdentifierType if rules.of_type(each)]
        yield _refused(
            "PROFILE-NAME-TYPE", identifier, f"names of type {', '.join(accepted) or 'none'} are accepted"
        )
    else:
        yield from _value_violations(identifier, of_type)
    if identifier.type is IdentifierType.DNS:
        yield from _dns_violations(identifier, rules)
    if any(touches(identifier, pattern) for pattern in floor.deny):
        yield _refused("SITE-NAME-DENIED", identifier, "this site gives it to nobody")


def count_violations(
    identifiers: frozenset[Identifier], rules: NameRules, floor: NameFloor
) -> Iterator[Violation]:
    """The rules on how many names there may be, over all and of each type."""
    most = min(rules.max, floor.max_count)
    if not rules.min <= len(identifiers) <= most:
        yield Violation(
            "PROFILE-NAME-COUNT", f"{rules.min} to {most} names are accepted, not {len(identifiers)}", "/csr"
        )
    counted = Counter(identifier.type for identifier in identifiers)
    for kind in IdentifierType:
        of_type = rules.of_type(kind)
        if of_type and not of_type.min <= counted[kind] <= of_type.max:
            yield Violation(
                "PROFILE-NAME-COUNT",
                f"{of_type.min} to {of_type.max} {kind} names are accepted, not {counted[kind]}",
                "/csr",
            )


def _value_violations(identifier: Identifier, rules: NameTypeRules) -> Iterator[Violation]:
    kind = identifier.type
    if not any(matches(identifier, f"{kind}:{glob}") for glob in rules.allow):
        yield _refused("PROFILE-NAME-ALLOW", identifier, f"names like {', '.join(rules.allow)} are accepted")
    if any(touches(identifier, f"{kind}:{glob}") for glob in rules.deny):
        yield _refused("PROFILE-NAME-DENY", identifier, f"names like {', '.join(rules.deny)} are refused")


def _dns_violations(identifier: Identifier, rules: NameRules) -> Iterator[Violation]:
    if identifier.value.startswith("*.") and not rules.wildcard:
        yield _refused("PROFILE-NAME-WILDCARD", identifier, "names without wildcard are accepted")
    if "_" in identifier.value and not rules.underscore:
        yield _refused("PROFILE-NAME-UNDERSCORE", identifier, "names without underscore are accepted")


def _refused(rule_id: str, identifier: Identifier, accepted: str) -> Violation:
    return Violation(rule_id, f"the name {identifier} is refused: {accepted}", "/csr")
