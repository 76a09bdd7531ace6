"""What holds for every profile of a site: the floor for keys, and names that nobody gets.

`policies/keys.toml` and `policies/identifiers.toml` as frozen models. A profile can be stricter, never
laxer.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field

from ca_server.core.document import Strict, broken, parse_document
from ca_server.core.errors import CaError
from ca_server.core.name_patterns import parse_pattern
from ca_server.core.profile_words import one_of, tuple_of_list
from ca_server.core.signatures import KeyType


def _pattern(text: str) -> str:
    try:
        parse_pattern(text)
    except CaError as error:
        raise broken("NAME-PATTERN", error.detail) from error
    return text


NamePatternText = Annotated[str, AfterValidator(_pattern)]
NamePatterns = Annotated[tuple[NamePatternText, ...], Field(max_length=1000), BeforeValidator(tuple_of_list)]
KeyTypes = Annotated[
    tuple[Annotated[KeyType, BeforeValidator(one_of(KeyType))], ...],
    Field(min_length=1, max_length=len(KeyType)),
    BeforeValidator(tuple_of_list),
]


class KeyFloor(Strict):
    """`keys.toml`: which keys are certified at all."""

    allowed: KeyTypes
    rsa_min_exponent: int = Field(ge=65537, le=2**32 + 1)
    fermat_rounds: int = Field(ge=100, le=10_000)


class NameFloor(Strict):
    """`identifiers.toml`: names that no profile can give, and how many one certificate may have."""

    deny: NamePatterns
    max_count: int = Field(ge=1, le=1000)


@dataclass(frozen=True, slots=True)
class SiteRules:
    """Both files together, as the gate takes them."""

    keys: KeyFloor
    names: NameFloor


def parse_key_floor(data: bytes, *, source: str) -> KeyFloor:
    """The floor for keys that a `keys.toml` states.

    Raises:
        CaError: malformed; `POLICY-...` rules with their places.
    """
    return parse_document(data, KeyFloor, source, rule="POLICY")


def parse_name_floor(data: bytes, *, source: str) -> NameFloor:
    """The names denied to all that an `identifiers.toml` states.

    Raises:
        CaError: malformed; `POLICY-...` rules with their places.
    """
    return parse_document(data, NameFloor, source, rule="POLICY")
