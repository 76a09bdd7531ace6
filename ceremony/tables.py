"""The tables of a script, but for profiles and steps: people, devices, keys, what goes in and out."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ca_server.core.document import Strict, broken
from ceremony.fields import KeyTypeName, Label, PlainText, PublicURL, Slug

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Serial = Annotated[str, Field(pattern=r"^[!-~]{1,32}$")]
BundlePath = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9.-]*(?:/[a-z0-9][a-z0-9.-]*)*$", max_length=100)]
Firmware = Annotated[str, Field(pattern=r"^[0-9]{1,4}(?:\.[0-9]{1,4}){0,3}$")]


class Policy(Strict):
    """What permits the event, and its limits."""

    cps: PlainText | None = None
    change: PlainText | None = None
    max_hours: Annotated[int, Field(ge=1, le=72)] = 8
    max_deviations: Annotated[int, Field(ge=0, le=100)] = 5
    rehearsal_within_days: Annotated[int, Field(ge=1, le=366)] | None = None


class RosterPin(Strict):
    """The one roster in force; a script without it can only be rehearsed."""

    sha256: Digest


class Environment(Strict):
    """What is checked of the machine; a rehearsal writes down what differs, production stops at it."""

    network: Literal["none"] = "none"
    app_sha256: Digest | None = None
    os_image_sha256: Digest | None = None


class Publication(Strict):
    """Where relying parties fetch CRLs and CA certificates; CDP and AIA URLs are made from it."""

    public_url: PublicURL

    def crl_url(self, authority: str) -> str:
        """The CRL of an authority (RFC 5280 §4.2.1.13)."""
        return f"{self.public_url}/crl/{authority}.crl"

    def certificate_url(self, authority: str) -> str:
        """The certificate of an authority (RFC 5280 §4.2.2.1)."""
        return f"{self.public_url}/aia/{authority}.cer"


class HSM(Strict):
    """A device; the host file says where it is. `secret` is how its user's login secret reaches it.

    A split one is joined from the shares of the set `shares`, and that of its security officer from those of
    `officer_shares`; `pin_length` are the hex digits of such a secret that the device takes as its PIN.
    """

    label: Label | None = None
    serial: Serial | None = None
    firmware_min: Firmware | None = None
    secret: Literal["pin", "split"] = "pin"  # noqa: S105 - a kind of secret, not one
    shares: Slug | None = None
    officer_shares: Slug | None = None
    pin_length: Annotated[int, Field(ge=16, le=64)] = 64

    @model_validator(mode="after")
    def _split_in_shares(self) -> Self:
        if (self.secret == "split") != (self.shares is not None):  # noqa: S105 - as above
            raise broken("CEREMONY-SHARES", "a split secret, and no other, names its set of shares")
        if self.shares is not None and self.shares == self.officer_shares:
            raise broken("CEREMONY-SHARES", "user and security officer have different sets of shares")
        return self


class Key(Strict):
    """A key pair in a device; an existing one was made by an earlier ceremony."""

    hsm: Slug
    type: KeyTypeName
    label: Label
    existing: bool = False
    backup: Literal["none", "wrap"] = "none"


class Input(Strict):
    """A file that is brought into the room; production demands its digest."""

    name: Slug
    type: Literal["certificate", "csr", "crl", "roster", "checkpoint", "backup", "shares", "file"]
    sha256: Digest | None = None


class Output(Strict):
    """A file of the bundle that the ceremony is held for, by its path there."""

    path: BundlePath
    required: bool = True


class ShareSet(Strict):
    """A secret that is split (SLIP-39): any `threshold` of the custodians' shares join it again.

    The custodians are the persons of the roster's `group`, one share each.
    """

    group: Slug
    threshold: Annotated[int, Field(ge=2, le=16)]
