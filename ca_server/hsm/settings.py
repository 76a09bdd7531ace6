"""What is needed to open a token, and how a configuration file says it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from ca_server.core.document import Strict, broken
from ca_server.hsm.pin import PinSource


@dataclass(frozen=True, slots=True)
class TokenSettings:
    """One token: the vendor's PKCS#11 library, the token's label, and where its PIN comes from."""

    module: Path
    token: str
    pin: PinSource


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value.startswith("/"):
        raise broken("CONFIG-PATH", "use an absolute path")
    return Path(value)


AbsolutePath = Annotated[Path, BeforeValidator(_path)]


class TokenConfig(Strict):
    """A PKCS#11 token; its PIN comes from a file or a systemd credential, never from here."""

    label: str = Field(min_length=1, max_length=32)
    module: AbsolutePath
    pin_file: AbsolutePath | None = None
    pin_credential: str | None = Field(default=None, pattern=r"^[A-Za-z0-9._-]{1,64}$")

    @model_validator(mode="after")
    def _one_pin(self) -> Self:
        if (self.pin_file is None) == (self.pin_credential is None):
            raise broken("CONFIG-PIN", "give pin_file or pin_credential, one of the two")
        return self

    def settings(self) -> TokenSettings:
        """The token as `hsm.pkcs11` opens it."""
        if self.pin_file is not None:
            pin = PinSource.from_file(self.pin_file)
        else:
            pin = PinSource.from_credential(self.pin_credential or "")
        return TokenSettings(module=self.module, token=self.label, pin=pin)
