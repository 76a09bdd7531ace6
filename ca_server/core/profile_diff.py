"""A profile as plain values, its schema for editors, and what differs between two of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core.core_schema import TimedeltaSchema

from ca_server.core.profile import Profile

# Lists in which order says nothing.
_SETS = frozenset(
    {
        "allow",
        "allowed",
        "challenges",
        "deny",
        "excluded",
        "extended_key_usage",
        "ignored_extended_key_usage",
        "ignored_key_usage",
        "key_usage",
        "names",
        "permitted",
        "protocols",
        "roles",
    }
)
_UNITS = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))


@dataclass(frozen=True, slots=True)
class Change:
    """One field's value before and after; None is a field that is not there."""

    field: str
    before: Any
    after: Any


class _Schema(GenerateJsonSchema):
    """Lengths of time are written `90d` in our files, not as ISO 8601 durations."""

    def timedelta_schema(self, schema: TimedeltaSchema) -> JsonSchemaValue:  # noqa: ARG002 - the base's signature
        return {"type": "string", "pattern": "^[1-9][0-9]{0,6}[dhms]$"}


def profile_schema() -> dict[str, Any]:
    """The JSON Schema of a profile's file, for editors that complete and check TOML."""
    return Profile.model_json_schema(schema_generator=_Schema)


def describe(profile: Profile) -> dict[str, Any]:
    """The profile as it could be written in TOML, with every default spelled out."""
    described: dict[str, Any] = _plain(profile.model_dump(exclude_none=True))
    return described


def diff_profiles(before: Profile, after: Profile) -> tuple[Change, ...]:
    """Every field in which two profiles differ, in the order of their names."""
    old, new = fields_of(before), fields_of(after)
    return tuple(
        Change(field, old.get(field), new.get(field))
        for field in sorted(old.keys() | new.keys())
        if old.get(field) != new.get(field)
    )


def fields_of(profile: Profile) -> dict[str, Any]:
    """Every field by its dotted name; lists in which order says nothing are sorted."""
    return dict(_fields(describe(profile)))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(inner) for key, inner in value.items()}
    if isinstance(value, tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, timedelta):
        seconds = int(value.total_seconds())
        return next(f"{seconds // size}{unit}" for unit, size in _UNITS if seconds % size == 0)
    return str(value) if isinstance(value, str) else value


def _fields(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, inner in value.items():
        if isinstance(inner, Mapping):
            yield from _fields(inner, f"{prefix}{key}.")
        elif isinstance(inner, list) and key in _SETS:
            yield f"{prefix}{key}", sorted(inner)
        else:
            yield f"{prefix}{key}", inner
