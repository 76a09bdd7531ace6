"""The host file: what a script's aliases are on this machine, and whether this is a rehearsal.

It names where PINs come from and never holds one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from ca_server.core.bundle import REHEARSAL_PREFIX
from ca_server.core.document import Strict, broken, parse_document, refuse_all
from ca_server.core.errors import Violation
from ca_server.hsm.pin import PinSource
from ca_server.hsm.settings import TokenSettings
from ceremony.fields import Slug
from ceremony.script import MAX_ENTRIES, Script


def parse_host(data: bytes) -> Host:
    """The host file that these bytes hold.

    Raises:
        CaError: malformed, one `CEREMONY-…` rule for each bad field.
    """
    return parse_document(data, Host, "host file", rule="CEREMONY")


def check_host(script: Script, host: Host) -> None:
    """Pass a host file that binds every token of the script, each to its own, as its mode demands.

    Raises:
        CaError: malformed, all that is wrong at once.
    """
    violations = (*_bindings(script, host), *_mode(host), *_media(script, host), *_serials(script, host))
    if violations:
        raise refuse_all("host file", violations)


def _path(value: object) -> Path:
    if not isinstance(value, str) or not value.startswith("/") or not value.isprintable():
        raise broken("CEREMONY-PATH", "use an absolute path of printable characters")
    return Path(value)


def _token_label(text: str) -> str:
    plain = text.isascii() and text.isprintable() and text.strip() == text
    if not plain or not 1 <= len(text) <= 32:
        raise broken("CEREMONY-TOKEN-LABEL", "use the token's own label, 1 to 32 printable ASCII characters")
    return text


AbsolutePath = Annotated[Path, BeforeValidator(_path)]
TokenLabel = Annotated[str, AfterValidator(_token_label)]


class Binding(Strict):
    """What an alias is here: a vendor's library, the label of a token, and where its PINs come from.

    A token whose secret is split has no place for a PIN. `so_pin_file` is of its security officer; without it
    they are asked at the terminal, or for their shares.
    """

    module: AbsolutePath
    label: TokenLabel
    pin_file: AbsolutePath | None = None
    pin_credential: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,64}$")] | None = None
    pin_prompt: Literal[True] | None = None
    so_pin_file: AbsolutePath | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [each for each in (self.pin_file, self.pin_credential, self.pin_prompt) if each is not None]
        if len(given) > 1:
            raise broken("CEREMONY-PIN-SOURCE", "give one of pin_file, pin_credential and pin_prompt")
        return self

    @property
    def has_pin(self) -> bool:
        """Whether it says where the user's PIN comes from."""
        return any((self.pin_file, self.pin_credential, self.pin_prompt))

    @property
    def settings(self) -> TokenSettings:
        """What opens the token."""
        if self.pin_file is not None:
            source = PinSource.from_file(self.pin_file)
        elif self.pin_credential is not None:
            source = PinSource.from_credential(self.pin_credential)
        else:
            source = PinSource.from_prompt(self.label)
        return self.settings_with(source)

    @property
    def officer_settings(self) -> TokenSettings:
        """What lets the security officer in."""
        if self.so_pin_file is not None:
            return self.settings_with(PinSource.from_file(self.so_pin_file))
        return self.settings_with(PinSource.from_prompt(f"{self.label} (security officer)"))

    def settings_with(self, source: PinSource) -> TokenSettings:
        """The same token with a PIN from elsewhere, such as one that was joined from shares."""
        return TokenSettings(self.module, self.label, source)


class Host(Strict):
    """A whole host file.

    `officers` says with which key file, or handle of a token, `ssh-keygen` signs here for a person; `media`
    are folders on write-once media; `practice` is a rehearsal's folder of officers who answer by
    themselves, `rehearsal` the bundle of the rehearsal that a script for production demands.
    """

    format: Literal["ceremony-host/v2"]
    mode: Literal["rehearsal", "production"]
    allow_software_token: bool = False
    output_directory: AbsolutePath
    api_server_key: AbsolutePath | None = None
    roster: AbsolutePath
    tokens: Annotated[dict[Slug, Binding], Field(default_factory=dict, max_length=MAX_ENTRIES)]
    inputs: Annotated[dict[Slug, AbsolutePath], Field(default_factory=dict, max_length=MAX_ENTRIES)]
    officers: Annotated[dict[Slug, AbsolutePath], Field(default_factory=dict, max_length=MAX_ENTRIES)]
    media: Annotated[tuple[AbsolutePath, ...], Field(strict=False, max_length=8)] = ()
    practice: AbsolutePath | None = None
    rehearsal: AbsolutePath | None = None

    @property
    def facts(self) -> dict[str, Any]:
        """What a ceremony keeps to from its opening to its end; where files and PINs lie may change."""
        tokens = {
            alias: {"module": str(each.module), "label": each.label} for alias, each in self.tokens.items()
        }
        return {"mode": self.mode, "allow_software_token": self.allow_software_token, "tokens": tokens}


def _bindings(script: Script, host: Host) -> Iterator[Violation]:
    for alias in sorted(set(script.hsm) - host.tokens.keys()):
        yield Violation("CEREMONY-BINDING", f"the script's token '{alias}' is not bound", "/tokens")
    for alias in sorted(host.tokens.keys() & set(script.hsm)):
        split = script.hsm[alias].secret == "split"  # noqa: S105 - a kind of secret, not one
        if host.tokens[alias].has_pin is split:
            words = (
                "is joined from shares" if split else "comes from one of pin_file, pin_credential, pin_prompt"
            )
            detail = f"the PIN of '{alias}' {words}"
            yield Violation("CEREMONY-PIN-SOURCE", detail, f"/tokens/{alias}")
    for alias in sorted(host.tokens.keys() - set(script.hsm)):
        yield Violation("CEREMONY-BINDING", "the script has no such token", f"/tokens/{alias}")
    counts = Counter((each.module, each.label) for each in host.tokens.values())
    for (_, label), count in counts.items():
        if count > 1:
            yield Violation("CEREMONY-BINDING", f"token '{label}' is bound to two aliases", "/tokens")


def _media(script: Script, host: Host) -> Iterator[Violation]:
    wanted = max((step.copies for step in script.steps if step.do == "media.export"), default=0)
    if len(host.media) < wanted:
        detail = f"the script copies to {wanted} media, and {len(host.media)} are named"
        yield Violation("CEREMONY-MEDIA", detail, "/media")


def _serials(script: Script, host: Host) -> Iterator[Violation]:
    """A label is what anybody gives a token; which device it is, the approved script says."""
    fresh = {step.hsm for step in script.steps if step.do == "hsm.initialise"}
    for alias, device in script.hsm.items():
        if host.mode == "production" and device.serial is None and alias not in fresh:
            detail = f"production needs the serial number of '{alias}' in the script"
            yield Violation("CEREMONY-SERIAL-UNPINNED", detail, f"/hsm/{alias}")


def _mode(host: Host) -> Iterator[Violation]:
    for alias, binding in host.tokens.items():
        if binding.label.startswith(REHEARSAL_PREFIX) != (host.mode == "rehearsal"):
            wanted = "begins" if host.mode == "rehearsal" else "does not begin"
            detail = f"in a {host.mode} a token's label {wanted} with '{REHEARSAL_PREFIX}'"
            yield Violation("CEREMONY-MODE", detail, f"/tokens/{alias}/label")
