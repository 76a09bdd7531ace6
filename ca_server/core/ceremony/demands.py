"""Who has to sign: roles, how many persons of which group each needs, and who may not be two of them at once.

All of it is about persons: however many keys somebody has, in a quorum they are one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from enum import StrEnum
from itertools import combinations
from typing import Annotated, Protocol

from pydantic import BeforeValidator, Field

from ca_server.core.document import Strict, refuse_all
from ca_server.core.errors import Kind, Violation, refuse
from ca_server.core.profile_words import one_of, tuple_of_list

MAX_QUORUM = 16


class RoleName(StrEnum):
    """Every part that somebody can have in a ceremony."""

    ADMINISTRATOR = "administrator"
    SECURITY_OFFICER = "security-officer"
    KEY_OFFICER = "key-officer"
    CUSTODIAN = "custodian"
    INTERNAL_WITNESS = "internal-witness"
    EXTERNAL_WITNESS = "external-witness"
    SYSTEM_ADMIN = "system-admin"
    INCIDENT_OWNER = "incident-owner"
    AUDITOR = "auditor"


_ALWAYS_DISTINCT = (
    frozenset({RoleName.ADMINISTRATOR, RoleName.INTERNAL_WITNESS}),
    frozenset({RoleName.SECURITY_OFFICER, RoleName.KEY_OFFICER}),
)


class Role(Strict):
    """What a script demands of a role: persons of a group, not less than `quorum` of them."""

    group: Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")]
    quorum: int = Field(default=1, ge=1, le=MAX_QUORUM)
    distinct_from: Annotated[
        tuple[Annotated[RoleName, BeforeValidator(one_of(RoleName))], ...],
        Field(max_length=len(RoleName)),
        BeforeValidator(tuple_of_list),
    ] = ()


class Groups(Protocol):
    """What is asked of a roster here: its groups' persons."""

    @property
    def groups(self) -> Mapping[str, tuple[str, ...]]:
        """Group -> the ids of its persons."""


Roles = Mapping[RoleName, Role]
Attendance = Iterable[tuple[str, RoleName]]


def must_differ(one: RoleName, other: RoleName, roles: Roles) -> bool:
    """Whether no person may have both roles: by the rules of every ceremony, or by this script's."""
    return one is not other and (
        RoleName.EXTERNAL_WITNESS in {one, other}
        or frozenset({one, other}) in _ALWAYS_DISTINCT
        or (one in roles and other in roles[one].distinct_from)
        or (other in roles and one in roles[other].distinct_from)
    )


def check_roles(roles: Roles, roster: Groups) -> None:
    """Refuse demands that this roster's people cannot meet, before anybody comes to the room.

    For every set of roles that must all differ, their groups together need as many persons as these roles
    do: that finds a want of people. Which person takes which role is seen when they sign.

    Raises:
        CaError: malformed, `CEREMONY-ROLE-GROUP`, `CEREMONY-QUORUM`, `CEREMONY-DISTINCT-ROLES`, or many.
    """
    violations = tuple(_unmet_alone(roles, roster)) or tuple(_unmet_together(roles, roster))
    if violations:
        raise refuse_all("ceremony's roles", violations)


def _unmet_alone(roles: Roles, roster: Groups) -> Iterator[Violation]:
    for name, role in roles.items():
        persons = roster.groups.get(role.group)
        if persons is None:
            detail = f"the roster has no group {role.group}"
            yield Violation("CEREMONY-ROLE-GROUP", detail, f"/roles/{name}/group")
        elif len(persons) < role.quorum:
            detail = f"group {role.group} has {len(persons)} persons, {role.quorum} are needed"
            yield Violation("CEREMONY-QUORUM", detail, f"/roles/{name}/quorum")
        if name in role.distinct_from:
            detail = f"{name} cannot differ from itself"
            yield Violation("CEREMONY-DISTINCT-ROLES", detail, f"/roles/{name}/distinct_from")


def _unmet_together(roles: Roles, roster: Groups) -> Iterator[Violation]:
    """Hall's condition for each set of roles that must all differ, the smallest sets first."""
    named: list[set[RoleName]] = []
    for size in range(2, len(roles) + 1):
        for chosen in combinations(roles, size):
            apart = all(must_differ(one, other, roles) for one, other in combinations(chosen, 2))
            if not apart or any(fewer <= set(chosen) for fewer in named):
                continue
            persons = {person for name in chosen for person in roster.groups[roles[name].group]}
            needed = sum(roles[name].quorum for name in chosen)
            if len(persons) < needed:
                named.append(set(chosen))
                words = ", ".join(chosen)
                detail = f"{words} need {needed} different persons; their groups have {len(persons)}"
                yield Violation("CEREMONY-DISTINCT-ROLES", detail, "/roles")


def check_persons(present: Attendance, roles: Roles, roster: Groups) -> None:
    """Refuse who has a role without being of its group, or two roles that must differ.

    Raises:
        CaError: forbidden, `CEREMONY-ROLE-GROUP` or `CEREMONY-DISTINCT-ROLES`.
    """
    held: dict[str, set[RoleName]] = {}
    for person, name in present:
        if name not in roles or person not in roster.groups.get(roles[name].group, ()):
            detail = f"{person} is not one of those who may sign as {name}"
            raise refuse(Kind.FORBIDDEN, "CEREMONY-ROLE-GROUP", detail)
        held.setdefault(person, set()).add(name)
    for person, names in held.items():
        for one, other in combinations(sorted(names), 2):
            if must_differ(one, other, roles):
                detail = f"{person} cannot be both {one} and {other}"
                raise refuse(Kind.FORBIDDEN, "CEREMONY-DISTINCT-ROLES", detail)


def check_quorum(roles: Roles, signed: Attendance, demanded: Collection[RoleName] | None = None) -> None:
    """Refuse when fewer different persons signed in a role than its quorum; `demanded` are the gate's roles.

    Raises:
        CaError: forbidden, `CEREMONY-QUORUM`, with every role that lacks somebody.
    """
    persons: dict[RoleName, set[str]] = {}
    for person, name in signed:
        persons.setdefault(name, set()).add(person)
    missing = [
        f"{len(persons.get(name, ()))} of {roles[name].quorum} persons signed as {name}"
        for name in (roles if demanded is None else demanded)
        if len(persons.get(name, ())) < roles[name].quorum
    ]
    if missing:
        raise refuse(Kind.FORBIDDEN, "CEREMONY-QUORUM", "; ".join(missing))
