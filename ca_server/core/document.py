"""A strict TOML document: size first, then syntax, then every field, and all that is wrong at once.

Whatever the bytes are, a reader gets either a frozen model or one `CaError` that names each broken rule.
"""

from __future__ import annotations

import re
import tomllib
from datetime import timedelta
from typing import Annotated, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, ValidationError
from pydantic_core import ErrorDetails, PydanticCustomError

from ca_server.core.errors import CaError, Kind, Violation, refuse

MAX_DOCUMENT_BYTES = 256 * 1024

_DURATION = re.compile(r"([1-9][0-9]{0,6})([dhms])")
_UNITS = {"d": "days", "h": "hours", "m": "minutes", "s": "seconds"}
_KINDS = {"extra_forbidden": "UNKNOWN-KEY", "missing": "MISSING"}

Model = TypeVar("Model", bound=BaseModel)


class Strict(BaseModel):
    """A part of a document: frozen, of exact types, and refusing every key that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, hide_input_in_errors=True)


def parse_document(data: bytes, model: type[Model], what: str, *, rule: str) -> Model:
    """The document that `data` holds, as `model`; `what` names it in the refusal, `rule` begins rule ids.

    Raises:
        CaError: malformed; RULE-SIZE, RULE-TOML, or one rule for each bad field.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise refuse(Kind.MALFORMED, f"{rule}-SIZE", f"the {what} is over {MAX_DOCUMENT_BYTES // 1024} KiB")
    try:
        content = tomllib.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise refuse(
            Kind.MALFORMED, f"{rule}-TOML", f"the {what} is not TOML 1.0 in UTF-8: {error}"
        ) from error
    try:
        return model.model_validate(content)
    except ValidationError as error:
        details = error.errors(include_url=False, include_input=False, include_context=False)
        raise refuse_all(what, tuple(_violation(each, rule) for each in details)) from error


def refuse_all(what: str, violations: tuple[Violation, ...]) -> CaError:
    """One refusal for all that is wrong with a document, each rule with its place and words.

    A place holds the document's own keys: what could steer a terminal is shown as U+FFFD.
    """
    lines = "; ".join(f"{each.pointer or what}: {each.detail} [{each.rule_id}]" for each in violations)
    shown = "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in lines)
    return CaError(Kind.MALFORMED, f"the {what} is refused: {shown}", violations=violations)


def broken(rule_id: str, detail: str) -> PydanticCustomError:
    """What a field's validator raises, so that the rule's id reaches the reader."""
    # A detail is plain text: pydantic would take braces in a template for names.
    return PydanticCustomError(rule_id, "{detail}", {"detail": detail})


def _violation(error: ErrorDetails, rule: str) -> Violation:
    kind = error["type"]
    own = kind.isupper() and "-" in kind
    pointer = "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in error["loc"])
    rule_id = kind if own else f"{rule}-{_KINDS.get(kind, 'VALUE')}"
    return Violation(rule_id, error["msg"], pointer or None)


def _duration(value: object) -> timedelta:
    match = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise broken("DOCUMENT-DURATION", "use a length of time such as 90d, 24h, 30m or 10s")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


Duration = Annotated[timedelta, BeforeValidator(_duration)]
