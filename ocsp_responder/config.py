"""The responder's configuration: one TOML file, one frozen model, read once before anything opens."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ca_server.core.document import Duration, Strict, broken, parse_document
from ca_server.core.errors import CaError, Kind
from ca_server.hsm.settings import AbsolutePath, TokenConfig
from ca_server.hsm.uri import KeyUri


def _key(value: object) -> KeyUri:
    try:
        return KeyUri.parse(value if isinstance(value, str) else "")
    except CaError as error:
        raise broken("HSM-URI", error.detail) from error


def _tuple(value: object) -> object:
    return tuple(value) if isinstance(value, list) else value


def _validity(value: timedelta) -> timedelta:
    if not timedelta(minutes=10) <= value <= timedelta(days=10):
        raise broken("OCSP-VALIDITY", "an answer is good for 10m to 10d (RFC 5019 §6)")
    return value


class DatabaseConfig(Strict):
    """Where the two status views are, and for how long answers outlive a database that is away."""

    url: str = Field(pattern=r"^(sqlite:////|postgresql://)")
    max_staleness: Duration = timedelta(seconds=10)


class AnswerConfig(Strict):
    """How long an answer is good (`nextUpdate`), and how long a cache on the way may keep it."""

    validity: Annotated[Duration, AfterValidator(_validity)] = timedelta(hours=4)
    max_age: Duration = timedelta(minutes=1)


class IssuerConfig(Strict):
    """One authority that is answered for: its certificate, and the delegated certificate and its key."""

    authority: str = Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")
    authority_certificate: AbsolutePath
    certificate: AbsolutePath
    key: Annotated[KeyUri, BeforeValidator(_key)]


class ResponderConfig(Strict):
    """The whole file."""

    listen: str = Field(pattern=r"^(?:(?:\[[0-9a-f:]+\]|[a-z0-9.-]+):[0-9]{1,5}|unix:/[^\s]+)$")
    workers: int = Field(default=2, ge=1, le=64)
    state_directory: AbsolutePath
    database: DatabaseConfig
    answers: AnswerConfig = AnswerConfig()
    token: Annotated[tuple[TokenConfig, ...], BeforeValidator(_tuple), Field(min_length=1, max_length=32)]
    issuer: Annotated[tuple[IssuerConfig, ...], BeforeValidator(_tuple), Field(min_length=1, max_length=32)]

    @model_validator(mode="after")
    def _keys_in_known_tokens(self) -> Self:
        labels = {token.label for token in self.token}
        unknown = sorted({issuer.key.token for issuer in self.issuer} - labels)
        if unknown or len(labels) != len(self.token):
            raise broken("CONFIG-TOKEN", "every key is in a token of this file, and every token stands once")
        return self


def load_config(path: Path) -> ResponderConfig:
    """Read and check a configuration file.

    Raises:
        CaError: malformed, every broken rule with its place; not_found, the file cannot be read.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"cannot read {path}: {error.strerror}") from error
    return parse_document(data, ResponderConfig, f"configuration {path}", rule="CONFIG")
