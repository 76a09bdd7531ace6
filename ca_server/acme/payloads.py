"""What clients send within their signatures, as models: known members are strict, others are ignored (§7)."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from ca_server.acme.problems import payload_problem
from ca_server.core.clock import from_rfc3339

MAX_IDENTIFIERS = 100
MAX_CONTACTS = 20
# A certificate or CSR in base64url cannot be longer than the request that it comes in.
MAX_BASE64 = 64 * 1024


def _time(value: object) -> object:
    """The error never shows the value; None and what is no text are for the model to judge."""
    return from_rfc3339(value) if isinstance(value, str) else value


Time = Annotated[datetime, BeforeValidator(_time)]
Base64Text = Annotated[str, Field(max_length=MAX_BASE64)]


class _Payload(BaseModel):
    """A payload from outside."""

    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


class NewAccountPayload(_Payload):
    """RFC 8555 §7.3. The binding is judged where its key is known."""

    contact: list[Annotated[str, Field(max_length=500)]] | None = Field(default=None, max_length=MAX_CONTACTS)
    terms_agreed: bool = Field(default=False, alias="termsOfServiceAgreed")
    only_existing: bool = Field(default=False, alias="onlyReturnExisting")
    external_binding: dict[str, Any] | None = Field(default=None, alias="externalAccountBinding")


class AccountPayload(_Payload):
    """RFC 8555 §7.3.2, §7.3.6."""

    contact: list[Annotated[str, Field(max_length=500)]] | None = Field(default=None, max_length=MAX_CONTACTS)
    terms_agreed: bool = Field(default=False, alias="termsOfServiceAgreed")
    status: str | None = None


class KeyChangePayload(_Payload):
    """What the new key signs (RFC 8555 §7.3.5)."""

    account: str
    old_key: dict[str, Any] = Field(alias="oldKey")


class IdentifierPayload(_Payload):
    """One name (RFC 8555 §7.1.3, RFC 9444 §4)."""

    type: Annotated[str, Field(max_length=64)]
    value: Annotated[str, Field(max_length=300)]
    ancestor_domain: Annotated[str, Field(max_length=300)] | None = Field(
        default=None, alias="ancestorDomain"
    )
    subdomains: bool = Field(default=False, alias="subdomainAuthAllowed")


class NewOrderPayload(_Payload):
    """RFC 8555 §7.4, RFC 9773 §5, and the profiles extension."""

    identifiers: Annotated[list[IdentifierPayload], Field(min_length=1, max_length=MAX_IDENTIFIERS)]
    not_before: Time | None = Field(default=None, alias="notBefore")
    not_after: Time | None = Field(default=None, alias="notAfter")
    replaces: Annotated[str, Field(min_length=1, max_length=200)] | None = None
    profile: Annotated[str, Field(max_length=64)] | None = None


class NewAuthorizationPayload(_Payload):
    """RFC 8555 §7.4.1, RFC 9444 §4.1."""

    identifier: IdentifierPayload


class AuthorizationPayload(_Payload):
    """RFC 8555 §7.5.2: there is nothing else that a client may change."""

    status: Annotated[str, Field(pattern="^deactivated$")]


class FinalizePayload(_Payload):
    """RFC 8555 §7.4."""

    csr: Base64Text


class RevocationPayload(_Payload):
    """RFC 8555 §7.6; `reason` is a number of RFC 5280 §5.3.1."""

    certificate: Base64Text
    reason: int | None = None


Model = TypeVar("Model", bound=_Payload)


def read_payload(model: type[Model], payload: Mapping[str, Any]) -> Model:
    """A payload as its model.

    Raises:
        CaError: malformed, `ACME-PAYLOAD`, with the place of everything that does not fit.
    """
    try:
        return model.model_validate(payload)
    except ValidationError as error:
        raise payload_problem(error) from error
