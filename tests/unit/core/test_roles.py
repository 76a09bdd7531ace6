"""The table of roles is closed on both sides, and says what it should."""

from __future__ import annotations

import pytest

from ca_server.core.authorization import Role
from ca_server.core.roles import ROLES, Action, permits

CHANGES = {
    Action.REQUEST_CERTIFICATE,
    Action.REVOKE_CERTIFICATE,
    Action.RELEASE_CERTIFICATE,
    Action.CREATE_TOKEN,
    Action.REVOKE_TOKEN,
    Action.CREATE_GRANT,
    Action.REVOKE_GRANT,
    Action.DEACTIVATE_ACCOUNT,
    Action.UNPAUSE_ACCOUNT,
    Action.CREATE_EXTERNAL_ACCOUNT_KEY,
    Action.REVOKE_EXTERNAL_ACCOUNT_KEY,
    Action.CREATE_RENEWAL_FLAG,
    Action.END_RENEWAL_FLAG,
    Action.CREATE_ENROLMENT_SECRET,
    Action.REVOKE_ENROLMENT_SECRET,
    Action.DECIDE_REQUEST,
}


def test_every_action_has_roles_and_every_role_exists():
    assert ROLES.keys() == set(Action)
    assert all(roles and roles <= set(Role) for roles in ROLES.values())


@pytest.mark.parametrize("action", sorted(CHANGES))
def test_an_auditor_changes_nothing(action):
    assert not permits(Role.AUDITOR, action)


@pytest.mark.parametrize("action", [action for action in Action if action not in CHANGES])
def test_what_changes_nothing_is_a_read(action):
    assert action.endswith(".read")
    assert permits(Role.ADMINISTRATOR, action)


def test_r29_only_administrators_make_or_end_credentials():
    for action in (Action.CREATE_TOKEN, Action.REVOKE_TOKEN, Action.CREATE_GRANT, Action.REVOKE_GRANT):
        assert [role for role in Role if permits(role, action)] == [Role.ADMINISTRATOR]


def test_the_log_is_read_by_auditors_and_administrators_alone():
    readers = {role for role in Role if permits(role, Action.READ_AUDIT_EVENT)}
    assert readers == {Role.ADMINISTRATOR, Role.AUDITOR}
