"""Quorums count persons; roles that must differ need different ones; both can be told in advance."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from pydantic import ValidationError

from ca_server.core.ceremony.demands import (
    Role,
    RoleName,
    check_persons,
    check_quorum,
    check_roles,
    must_differ,
)
from ca_server.core.errors import CaError, Kind

ADMINISTRATOR = RoleName.ADMINISTRATOR
SECURITY = RoleName.SECURITY_OFFICER
KEY = RoleName.KEY_OFFICER
CUSTODIAN = RoleName.CUSTODIAN
INTERNAL = RoleName.INTERNAL_WITNESS
EXTERNAL = RoleName.EXTERNAL_WITNESS
AUDITOR = RoleName.AUDITOR


@dataclass
class Groups:
    groups: dict[str, tuple[str, ...]] = field(
        default_factory=lambda: {
            "green": ("ada", "bob", "cyd"),
            "blue": ("dan", "eve"),
            "all": ("ada", "bob", "cyd", "dan", "eve"),
            "guests": ("zoe",),
        }
    )


def role(group="all", quorum=1, *distinct_from):
    return Role(group=group, quorum=quorum, distinct_from=list(distinct_from))


def refusal(function, *arguments) -> CaError:
    with pytest.raises(CaError) as caught:
        function(*arguments)
    return caught.value


def test_a_role_as_a_script_writes_it():
    found = Role.model_validate({"group": "green", "quorum": 2, "distinct_from": ["administrator"]})
    assert found == Role(group="green", quorum=2, distinct_from=(ADMINISTRATOR,))
    assert Role.model_validate({"group": "green"}).quorum == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"quorum": 0},
        {"quorum": 17},
        {"quorum": "2"},
        {"distinct_from": ["boss"]},
        {"group": "Green"},
        {"min": 1},
    ],
)
def test_a_role_that_is_none(changes):
    with pytest.raises(ValidationError):
        Role.model_validate({"group": "green", **changes})


def test_which_roles_always_differ():
    assert must_differ(ADMINISTRATOR, INTERNAL, {})
    assert must_differ(INTERNAL, ADMINISTRATOR, {})
    assert must_differ(SECURITY, KEY, {})
    assert all(must_differ(EXTERNAL, each, {}) for each in RoleName if each is not EXTERNAL)
    assert not any(must_differ(each, each, {}) for each in RoleName)
    assert not must_differ(ADMINISTRATOR, KEY, {})
    assert not must_differ(KEY, CUSTODIAN, {})


def test_a_script_s_own_rule_holds_both_ways():
    roles = {KEY: role("all", 1, "administrator"), ADMINISTRATOR: role()}
    assert must_differ(KEY, ADMINISTRATOR, roles)
    assert must_differ(ADMINISTRATOR, KEY, roles)
    assert not must_differ(CUSTODIAN, ADMINISTRATOR, roles)


def test_demands_that_can_be_met():
    check_roles(
        {
            ADMINISTRATOR: role("all"),
            INTERNAL: role("all"),
            KEY: role("green", 3, "administrator"),
            SECURITY: role("blue", 2),
            EXTERNAL: role("guests"),
            CUSTODIAN: role("green", 3),
        },
        Groups(),
    )


def test_a_group_that_is_not_there_and_a_quorum_out_of_reach():
    error = refusal(
        check_roles,
        {KEY: role("red"), SECURITY: role("blue", 3), AUDITOR: role("all", 1, "auditor")},
        Groups(),
    )
    assert error.kind is Kind.MALFORMED
    assert [(each.rule_id, each.pointer) for each in error.violations] == [
        ("CEREMONY-ROLE-GROUP", "/roles/key-officer/group"),
        ("CEREMONY-QUORUM", "/roles/security-officer/quorum"),
        ("CEREMONY-DISTINCT-ROLES", "/roles/auditor/distinct_from"),
    ]


@pytest.mark.parametrize(
    "roles",
    [
        {KEY: role("green", 2), SECURITY: role("green", 2)},
        {ADMINISTRATOR: role("guests"), INTERNAL: role("guests")},
        {EXTERNAL: role("guests"), CUSTODIAN: role("guests")},
        {KEY: role("green", 3), ADMINISTRATOR: role("green", 1, "key-officer")},
    ],
)
def test_two_roles_that_want_more_persons_than_there_are(roles):
    assert refusal(check_roles, roles, Groups()).rule_ids == ("CEREMONY-DISTINCT-ROLES",)


def test_three_roles_that_only_together_want_too_many():
    roles = {
        ADMINISTRATOR: role("blue", 1, "security-officer"),
        INTERNAL: role("blue", 1, "security-officer"),
        SECURITY: role("blue"),
    }
    error = refusal(check_roles, roles, Groups())
    assert error.rule_ids == ("CEREMONY-DISTINCT-ROLES",)
    assert "3 different persons; their groups have 2" in error.detail


def test_no_want_of_persons_is_told_twice():
    roles = {name: role("guests") for name in (ADMINISTRATOR, INTERNAL, EXTERNAL)}
    found = [each.detail.split(" need ")[0] for each in refusal(check_roles, roles, Groups()).violations]
    assert found == [
        "administrator, internal-witness",
        "administrator, external-witness",
        "internal-witness, external-witness",
    ]


ROLES = {
    KEY: role("green", 2, "administrator"),
    SECURITY: role("blue"),
    ADMINISTRATOR: role(),
    INTERNAL: role(),
}


def test_persons_who_may():
    check_persons(
        [
            ("ada", KEY),
            ("bob", KEY),
            ("ada", KEY),
            ("dan", SECURITY),
            ("dan", ADMINISTRATOR),
            ("ada", INTERNAL),
        ],
        ROLES,
        Groups(),
    )


@pytest.mark.parametrize(
    ("present", "rule_id"),
    [
        ([("dan", KEY)], "CEREMONY-ROLE-GROUP"),
        ([("nobody", INTERNAL)], "CEREMONY-ROLE-GROUP"),
        ([("zoe", EXTERNAL)], "CEREMONY-ROLE-GROUP"),
        ([("ada", ADMINISTRATOR), ("bob", KEY), ("ada", KEY)], "CEREMONY-DISTINCT-ROLES"),
        ([("dan", ADMINISTRATOR), ("dan", INTERNAL)], "CEREMONY-DISTINCT-ROLES"),
    ],
)
def test_persons_who_may_not(present, rule_id):
    error = refusal(check_persons, present, ROLES, Groups())
    assert (error.kind, error.rule_ids) == (Kind.FORBIDDEN, (rule_id,))


def test_a_group_that_went_away_gives_nobody_a_role():
    assert refusal(check_persons, [("ada", KEY)], ROLES, Groups({})).rule_ids == ("CEREMONY-ROLE-GROUP",)


def test_a_quorum_counts_persons():
    roles = {KEY: role("green", 2), SECURITY: role("blue")}
    check_quorum(roles, [("ada", KEY), ("bob", KEY), ("dan", SECURITY)])
    check_quorum(roles, [("ada", KEY), ("bob", KEY)], [KEY])
    one_person_with_two_tokens = [("ada", KEY), ("ada", KEY), ("dan", SECURITY)]
    error = refusal(check_quorum, roles, one_person_with_two_tokens)
    assert (error.kind, error.rule_ids) == (Kind.FORBIDDEN, ("CEREMONY-QUORUM",))
    assert error.detail == "1 of 2 persons signed as key-officer"
    assert "0 of 1 persons signed as security-officer" in refusal(check_quorum, roles, []).detail
