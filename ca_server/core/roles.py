"""Which role may do what: one table for every door, closed on both sides (R14, R21).

A role opens the door to an action; whether this object may be touched is judged by the service that
knows the object. Nobody holds two roles, and no role contains another by accident of an ordering.
"""

from __future__ import annotations

from enum import StrEnum

from ca_server.core.authorization import Role


class Action(StrEnum):
    """Everything that can be asked of the server by somebody who has proven who they are."""

    REQUEST_CERTIFICATE = "certificate.request"
    READ_REQUEST = "certificate-request.read"
    DECIDE_REQUEST = "certificate-request.decide"
    READ_CERTIFICATE = "certificate.read"
    REVOKE_CERTIFICATE = "certificate.revoke"
    RELEASE_CERTIFICATE = "certificate.release"
    READ_PROFILE = "profile.read"
    READ_AUTHORITY = "authority.read"
    READ_AUDIT_EVENT = "audit-event.read"
    READ_ORDER = "acme-order.read"
    CREATE_TOKEN = "token.create"  # noqa: S105 - an action's name
    READ_TOKEN = "token.read"  # noqa: S105 - an action's name
    REVOKE_TOKEN = "token.revoke"  # noqa: S105 - an action's name
    CREATE_GRANT = "grant.create"
    READ_GRANT = "grant.read"
    REVOKE_GRANT = "grant.revoke"
    READ_ACCOUNT = "acme-account.read"
    DEACTIVATE_ACCOUNT = "acme-account.deactivate"
    UNPAUSE_ACCOUNT = "acme-account.unpause"
    CREATE_EXTERNAL_ACCOUNT_KEY = "external-account-key.create"
    READ_EXTERNAL_ACCOUNT_KEY = "external-account-key.read"
    REVOKE_EXTERNAL_ACCOUNT_KEY = "external-account-key.revoke"
    CREATE_ENROLMENT_SECRET = "enrolment-secret.create"  # noqa: S105 - an action's name
    READ_ENROLMENT_SECRET = "enrolment-secret.read"  # noqa: S105 - an action's name
    REVOKE_ENROLMENT_SECRET = "enrolment-secret.revoke"  # noqa: S105 - an action's name
    CREATE_RENEWAL_FLAG = "renewal-flag.create"
    READ_RENEWAL_FLAG = "renewal-flag.read"
    END_RENEWAL_FLAG = "renewal-flag.end"


_EVERYBODY = frozenset(Role)
_REQUESTERS = frozenset({Role.ADMINISTRATOR, Role.OFFICER, Role.REQUESTER})
_OFFICERS = frozenset({Role.ADMINISTRATOR, Role.OFFICER})
_READERS = frozenset({Role.ADMINISTRATOR, Role.AUDITOR})
_ADMINISTRATORS = frozenset({Role.ADMINISTRATOR})

ROLES: dict[Action, frozenset[Role]] = {
    Action.REQUEST_CERTIFICATE: _REQUESTERS,
    Action.READ_REQUEST: _EVERYBODY,  # a requester sees its own
    Action.DECIDE_REQUEST: _OFFICERS,  # never of their own
    Action.READ_CERTIFICATE: _EVERYBODY,  # a requester sees its own
    Action.REVOKE_CERTIFICATE: _REQUESTERS,  # a requester revokes its own
    Action.RELEASE_CERTIFICATE: _OFFICERS,
    Action.READ_PROFILE: _EVERYBODY,
    Action.READ_AUTHORITY: _EVERYBODY,
    Action.READ_AUDIT_EVENT: _READERS,
    Action.READ_ORDER: frozenset({Role.ADMINISTRATOR, Role.OFFICER, Role.AUDITOR}),
    Action.CREATE_TOKEN: _ADMINISTRATORS,
    Action.READ_TOKEN: _READERS,
    Action.REVOKE_TOKEN: _ADMINISTRATORS,
    Action.CREATE_GRANT: _ADMINISTRATORS,
    Action.READ_GRANT: _READERS,
    Action.REVOKE_GRANT: _ADMINISTRATORS,
    Action.READ_ACCOUNT: _EVERYBODY - {Role.REQUESTER},
    Action.DEACTIVATE_ACCOUNT: _OFFICERS,
    Action.UNPAUSE_ACCOUNT: _OFFICERS,
    Action.CREATE_EXTERNAL_ACCOUNT_KEY: _OFFICERS,
    Action.READ_EXTERNAL_ACCOUNT_KEY: _EVERYBODY - {Role.REQUESTER},
    Action.REVOKE_EXTERNAL_ACCOUNT_KEY: _OFFICERS,
    Action.CREATE_ENROLMENT_SECRET: _OFFICERS,
    Action.READ_ENROLMENT_SECRET: _EVERYBODY - {Role.REQUESTER},
    Action.REVOKE_ENROLMENT_SECRET: _OFFICERS,
    Action.CREATE_RENEWAL_FLAG: _OFFICERS,
    Action.READ_RENEWAL_FLAG: _EVERYBODY - {Role.REQUESTER},
    Action.END_RENEWAL_FLAG: _OFFICERS,
}


def permits(role: Role, action: Action) -> bool:
    """Whether the role may try the action at all."""
    return role in ROLES[action]
