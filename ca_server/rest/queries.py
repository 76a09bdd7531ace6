"""What may stand in the query and the path of a URL; a parameter that is not known is refused."""

from __future__ import annotations

from typing import Annotated

from pydantic import StringConstraints

from ca_server.rest.fields import (
    AuthorityId,
    CertificateCursor,
    CertificateId,
    EventCursor,
    Limit,
    Printable,
    ProfileName,
    Query,
    RecordId,
    SerialNumber,
    Time,
)
from ca_server.store.inventory import CertificateStatus, Sort


class CertificateQuery(Query):
    """How the list of certificates is narrowed and ordered."""

    limit: Limit = 50
    cursor: CertificateCursor | None = None
    sort: Sort = Sort.NEWEST
    profile: ProfileName | None = None
    authority: AuthorityId | None = None
    serial_number: SerialNumber | None = None
    status: CertificateStatus | None = None
    subject: Printable | None = None
    name: Printable | None = None
    expires_before: Time | None = None
    expires_after: Time | None = None


class CertificateRequestQuery(Query):
    """How the list of requests is narrowed."""

    limit: Limit = 50
    cursor: RecordId | None = None
    status: Annotated[str, StringConstraints(pattern=r"^[a-z]{1,16}$")] | None = None


class AuditEventQuery(Query):
    """How the list of events is narrowed; `since` is included, `until` is not."""

    limit: Limit = 50
    cursor: EventCursor | None = None
    kind: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z.-]{0,39}$")] | None = None
    actor: Printable | None = None
    since: Time | None = None
    until: Time | None = None


class CredentialQuery(Query):
    """Which part of a list of tokens or grants."""

    limit: Limit = 50
    cursor: RecordId | None = None


class CertificatePath(Query):
    """The certificate that a URL names."""

    certificate_id: CertificateId


class RecordPath(Query):
    """The request, token, grant or enrolment secret that a URL names."""

    record_id: RecordId


class AuthorityPath(Query):
    """The authority that a URL names."""

    authority_id: AuthorityId


class ProfilePath(Query):
    """The profile that a URL names."""

    profile_name: ProfileName
