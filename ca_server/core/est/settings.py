"""The `[est]` section of the configuration. Without it there is no EST: no route, no secret."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, field_validator, model_validator

from ca_server.core.document import Duration, Strict, broken
from ca_server.core.errors import CaError
from ca_server.core.est.device_names import require_device_pattern
from ca_server.core.profile_words import PurposeWord, tuple_of_list
from ca_server.core.rates import Rate, RateText

# What stands behind /.well-known/est/ and is no label (RFC 7030 §3.2.2).
OPERATIONS = ("cacerts", "csrattrs", "serverkeygen", "simpleenroll", "simplereenroll")

LabelText = Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,62}$")]
ProfileText = LabelText
PathText = Annotated[str, Field(pattern="^/", max_length=4096)]
# 0 is one line, whatever its length; of the others clients are known that need them.
LineLength = Literal[0, 64, 76]
Words = Annotated[tuple[str, ...], Field(max_length=100), BeforeValidator(tuple_of_list)]


class EstLabel(Strict):
    """A label beside the profiles' own names, for a profile and perhaps for clients that need short lines."""

    name: LabelText
    profile: ProfileText
    line_length: LineLength | None = None


class Manufacturer(Strict):
    """A trust anchor of device identities that others issued (IEEE 802.1AR), and what their holders may have.

    `trust_anchors` is a PEM file of its roots and intermediates; `revocation_lists` are files of its CRLs.
    In `names`, `{serial_number}` and the other subject words stand for the device's own (R17).
    """

    name: Annotated[str, Field(pattern="^[a-z0-9][a-z0-9-]{0,31}$")]
    trust_anchors: PathText
    revocation_lists: Annotated[
        tuple[PathText, ...], Field(max_length=20), BeforeValidator(tuple_of_list)
    ] = ()
    extended_key_usage: Annotated[tuple[PurposeWord, ...], BeforeValidator(tuple_of_list)] = ()
    profiles: Words
    names: Words

    @field_validator("names")
    @classmethod
    def _are_patterns(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for each in names:
            try:
                require_device_pattern(each)
            except CaError as error:
                raise broken("NAME-PATTERN", error.detail) from error
        return names


class EstLimits(Strict):
    """How often a client may fail to prove who it is, and be refused once it has."""

    failures_per_address: RateText = Rate(count=30, seconds=600)
    failures_per_secret: RateText = Rate(count=10, seconds=600)
    refusals_per_identity: RateText = Rate(count=30, seconds=600)


class EstConfig(Strict):
    """What all labels have in common; each profile that allows the protocol is a label by its own name.

    `default_profile` is what a client without a label gets; without one, it is told to give a label.
    `wrap_for` are beginnings of User-Agent headers of clients that get lines of 76 characters. strongSwan is
    no case for it: it says nothing of itself, and reads base64 only where no line is broken.
    """

    default_profile: ProfileText | None = None
    label: Annotated[tuple[EstLabel, ...], Field(max_length=200), BeforeValidator(tuple_of_list)] = ()
    manufacturer: Annotated[
        tuple[Manufacturer, ...], Field(max_length=50), BeforeValidator(tuple_of_list)
    ] = ()
    line_length: LineLength = 0
    wrap_for: Words = ("libest", "Cisco EST client")
    retry_after: Duration = timedelta(minutes=1)
    limits: EstLimits = EstLimits()

    @model_validator(mode="after")
    def _names_once(self) -> Self:
        for what, names in (
            ("label", [each.name for each in self.label]),
            ("manufacturer", [each.name for each in self.manufacturer]),
        ):
            if len(names) != len(set(names)):
                raise broken("CONFIG-EST-NAME", f"a {what} stands twice")
        if taken := {each.name for each in self.label}.intersection(OPERATIONS):
            raise broken("CONFIG-EST-NAME", f"{', '.join(sorted(taken))} is an operation, not a label")
        return self
