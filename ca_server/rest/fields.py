"""The words that the REST door's models are made of: every text is capped and of a known alphabet."""

from __future__ import annotations

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

from ca_server.core.clock import from_rfc3339, to_text
from ca_server.services.inventory import MAX_PAGE

MAX_CERTIFICATE_CHARACTERS = 64 * 1024

_TIME_SCHEMA = {"type": "string", "format": "date-time"}


def _parse_time(value: object) -> datetime:
    """RFC 3339; the error never shows the value."""
    return from_rfc3339(value if isinstance(value, str) else "")


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
