"""What goes in and out of the REST door, as models: the OpenAPI document is made from these, so it is true.

What comes in is strict: unknown members are refused, strings are capped and of a known alphabet, nothing
is converted. What goes out holds no secret except a new token's, once.
"""

from __future__ import annotations

from functools import cache
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from ca_server.core.authorization import Role
from ca_server.rest.fields import (
    MAX_CERTIFICATE_CHARACTERS,
    CertificateId,
    Incoming,
    Outgoing,
    Patterns,
    Printable,
    ProfileName,
    RecordId,
    SerialNumber,
    Sha256,
    Time,
    TimeText,
)
from ca_server.store.inventory import CertificateStatus


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

    @classmethod
    def model_json_schema(cls, *arguments: Any, **keywords: Any) -> dict[str, Any]:
        """The schema; flask-openapi asks for it at every request, so the plain one is made once."""
        if arguments or keywords:
            return super().model_json_schema(*arguments, **keywords)
        return _idempotency_header_schema()


@cache
def _idempotency_header_schema() -> dict[str, Any]:
    return super(IdempotencyHeader, IdempotencyHeader).model_json_schema()


class NewCertificateRequest(Incoming):
    """What a client asks for: everything else comes from the CSR and the profile.

    The CSR has no cap of its own here: below the body's, `parse_csr` judges its size, and that is logged.
    """

    profile: ProfileName
    csr: str = Field(min_length=1, pattern=r"^[\x09-\x7e]*$")
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


class ApprovalView(Outgoing):
    """What one officer decided on a request."""

    principal: str
    decision: str
    comment: str
    decided_at: TimeText


class CertificateRequestDetail(Outgoing):
    """A request later on: what was asked for, what officers said, and what became of it.

    `not_before` and `not_after` are what was asked for; null leaves them to the profile.
    """

    id: RecordId
    status: str
    profile: str
    protocol: str
    principal: str
    created_at: TimeText
    rule_ids: list[str]
    detail: str
    subject: str
    names: list[str]
    not_before: str | None
    not_after: str | None
    spki_sha256: Sha256
    csr: str
    approvals: list[ApprovalView]
    certificate: IssuedCertificateView | None


class CertificateRequestItem(Outgoing):
    """A request in a list."""

    id: RecordId
    status: str
    profile: str
    protocol: str
    principal: str
    created_at: TimeText
    names: list[str]
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
    certificate: str | None = Field(
        default=None, max_length=MAX_CERTIFICATE_CHARACTERS, pattern=r"^[\x09-\x7e]*$"
    )


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
