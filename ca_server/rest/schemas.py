"""What goes in and out of the REST door, as models: the OpenAPI document is made from these, so it is true.

What comes in is strict: unknown members are refused, strings are capped and of a known alphabet, nothing
is converted. What goes out holds no secret except a new token's, once.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    StringConstraints,
    WithJsonSchema,
)

from ca_server.core.authorization import Role
from ca_server.core.clock import from_text, to_text
from ca_server.services.inventory import MAX_PAGE
from ca_server.store.inventory import CertificateStatus, Sort

MAX_CSR_CHARACTERS = 64 * 1024

_TIME = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]{1,9})?([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_TIME_SCHEMA = {"type": "string", "format": "date-time"}


def _parse_time(value: object) -> datetime:
    """RFC 3339 §5.6, which is stricter than what Python reads; the error never shows the value."""
    if not isinstance(value, str) or not _TIME.fullmatch(value):
        raise ValueError("a time is RFC 3339 with an offset, such as 2027-01-31T00:00:00Z")
    try:
        return from_text(value.upper())
    except (ValueError, OverflowError):
        raise ValueError("there is no such time") from None


def _plural(value: object) -> object:
    """A JSON array as the tuple that a frozen model keeps."""
    return tuple(value) if isinstance(value, list) else value


Time = Annotated[datetime, BeforeValidator(_parse_time), WithJsonSchema(_TIME_SCHEMA)]
TimeText = Annotated[datetime, PlainSerializer(to_text), WithJsonSchema(_TIME_SCHEMA)]
ProfileName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$")]
AuthorityId = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
CertificateId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
Sha256 = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{64}$")]
SerialNumber = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{40}$")]
RecordId = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")]
Printable = Annotated[str, StringConstraints(pattern=r"^[ -~]{1,253}$")]
Pattern = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,272}$")]
Patterns = Annotated[tuple[Pattern, ...], BeforeValidator(_plural), Field(max_length=100)]
CertificateCursor = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}\.[0-9]{1,18}$")]
EventCursor = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,18}$")]
Limit = Annotated[int, Field(ge=1, le=MAX_PAGE)]


class Incoming(BaseModel):
    """A body from outside."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


class Query(BaseModel):
    """Query parameters: text that must look like its type, and no parameter that is not known."""

    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class Outgoing(BaseModel):
    """A body that we send."""

    model_config = ConfigDict(extra="forbid", frozen=True, json_schema_serialization_defaults_required=True)


class ProblemError(Outgoing):
    """One broken rule, and where in the request (RFC 6901)."""

    rule_id: str
    detail: str
    pointer: str | None = None


class Problem(Outgoing):
    """RFC 9457 problem details."""

    type: str
    title: str
    status: int
    detail: str
    rule_ids: list[str]
    errors: list[ProblemError]
    request_id: str


class IdempotencyHeader(BaseModel):
    """The client's promise that the same key is the same request."""

    model_config = ConfigDict(extra="ignore", frozen=True, hide_input_in_errors=True)
    idempotency_key: str = Field(alias="Idempotency-Key", pattern=r"^[!-~]{1,128}$")


class NewCertificateRequest(Incoming):
    """What a client asks for: everything else comes from the CSR and the profile."""

    profile: ProfileName
    csr: str = Field(min_length=1, max_length=MAX_CSR_CHARACTERS, pattern=r"^[\x09-\x7e]*$")
    not_before: Time | None = None
    not_after: Time | None = None


class IssuedCertificateView(Outgoing):
    """A certificate with its chain, leaf first, the root left out."""

    id: CertificateId
    serial_number: SerialNumber
    pem_chain: str


class CertificateRequestView(Outgoing):
    """A request right after it was made."""

    id: RecordId
    status: str
    certificate: IssuedCertificateView | None


class CertificateRequestDetail(Outgoing):
    """A request later on: what became of it, and by which rules it was refused."""

    id: RecordId
    status: str
    profile: str
    protocol: str
    principal: str
    created_at: TimeText
    rule_ids: list[str]
    detail: str
    certificate: IssuedCertificateView | None


class CertificateRequestItem(Outgoing):
    """A request in a list."""

    id: RecordId
    status: str
    profile: str
    protocol: str
    principal: str
    created_at: TimeText
    rule_ids: list[str]
    certificate_id: CertificateId | None


class CertificateItem(Outgoing):
    """A certificate in a list."""

    id: CertificateId
    serial_number: SerialNumber
    authority: str
    profile: str
    protocol: str
    principal: str
    status: CertificateStatus
    subject: str
    names: list[str]
    spki_sha256: Sha256
    not_before: TimeText
    not_after: TimeText
    revoked_at: TimeText | None
    revocation_reason: str | None


class CertificateDetail(CertificateItem):
    """One certificate, with its chain."""

    pem_chain: str


class NewRevocation(Incoming):
    """Why a certificate is to be trusted no more (RFC 5280 §5.3.1), and since when its key was unsafe."""

    reason: str = Field(pattern=r"^[a-zA-Z]{1,24}$")
    invalidity_date: Time | None = None


class RevocationView(Outgoing):
    """What was revoked, when and why."""

    certificate_id: CertificateId
    serial_number: SerialNumber
    status: CertificateStatus
    revoked_at: TimeText | None
    reason: str | None


class AuthorityView(Outgoing):
    """One of our authorities."""

    id: str
    issuer: str | None
    role: str
    state: str
    subject: str
    serial_number: str
    signature_algorithm: str
    not_before: TimeText
    not_after: TimeText
    pem: str


class NameRulesView(Outgoing):
    """Names of one type that a profile grants."""

    allow: list[str]
    deny: list[str]
    min: int
    max: int


class ProfileView(Outgoing):
    """A profile as a client needs it; the whole of it is its file, which has this SHA-256."""

    name: str
    description: str
    sha256: Sha256
    roles: list[str]
    protocols: list[str]
    approvals: int
    key_types: list[str]
    default_validity_seconds: int
    max_validity_seconds: int
    names: dict[str, NameRulesView]
    key_usage: list[str]
    extended_key_usage: list[str]


class ProfileList(Outgoing):
    """Every profile in force."""

    items: list[ProfileView]


class AuditEventView(Outgoing):
    """One event: the leaf as it was hashed, and its place in the tree once it has one."""

    event_id: str
    leaf_index: int | None
    leaf_hash: Sha256
    leaf: dict[str, object]


class NewCredential(Incoming):
    """What a token or grant is to allow, and for how many days."""

    name: Printable
    role: Annotated[Role, BeforeValidator(lambda value: Role(value) if value in list(Role) else value)]
    profiles: Patterns = ()
    names: Patterns = ()
    valid_days: int = Field(default=90, ge=1, le=400)


class NewClientGrant(NewCredential):
    """A role for a public key, given by its digest or by a certificate that carries it."""

    spki_sha256: Sha256 | None = None
    certificate: str | None = Field(default=None, max_length=MAX_CSR_CHARACTERS, pattern=r"^[\x09-\x7e]*$")


class CredentialView(Outgoing):
    """A token or grant; the secret of a token is in no list."""

    id: RecordId
    name: str
    role: Role
    profiles: list[str]
    names: list[str]
    created_at: TimeText
    not_after: TimeText
    revoked_at: TimeText | None


class CreatedToken(CredentialView):
    """A new token with its secret, shown this once."""

    secret: str


class ClientGrantView(CredentialView):
    """A grant with the key that it is for."""

    spki_sha256: Sha256


class CertificatePage(Outgoing):
    """A part of a list; `next_cursor` is null on the last part."""

    items: list[CertificateItem]
    next_cursor: str | None


class CertificateRequestPage(Outgoing):
    """A part of a list; `next_cursor` is null on the last part."""

    items: list[CertificateRequestItem]
    next_cursor: str | None


class AuditEventPage(Outgoing):
    """A part of a list; `next_cursor` is null on the last part."""

    items: list[AuditEventView]
    next_cursor: str | None


class APITokenPage(Outgoing):
    """A part of a list; `next_cursor` is null on the last part."""

    items: list[CredentialView]
    next_cursor: str | None


class ClientGrantPage(Outgoing):
    """A part of a list; `next_cursor` is null on the last part."""

    items: list[ClientGrantView]
    next_cursor: str | None


class AuthorityList(Outgoing):
    """Every authority; there are few."""

    items: list[AuthorityView]


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
    """The request, token or grant that a URL names."""

    record_id: RecordId


class AuthorityPath(Query):
    """The authority that a URL names."""

    authority_id: AuthorityId


class ProfilePath(Query):
    """The profile that a URL names."""

    profile_name: ProfileName
