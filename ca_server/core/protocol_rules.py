"""What single protocols ask of who wants a profile, beside what the profile asks of everybody."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ca_server.core.acme.resources import ChallengeType
from ca_server.core.document import Duration, Strict
from ca_server.core.profile_words import KeyUsageWord, PurposeWord, one_of, tuple_of_list
from ca_server.core.signatures import KeyType


class Habits(Strict):
    """What common clients of a protocol ask for in their CSRs by habit.

    Over that protocol, and there alone, asking for it is no reason to refuse, and it is not granted.
    """

    ignored_key_usage: Annotated[tuple[KeyUsageWord, ...], BeforeValidator(tuple_of_list)] = ()
    ignored_extended_key_usage: Annotated[tuple[PurposeWord, ...], BeforeValidator(tuple_of_list)] = ()


class AcmeRules(Habits):
    """What ACME asks of who wants this profile: which challenges count, and whether accounts are bound."""

    challenges: Annotated[
        tuple[Annotated[ChallengeType, BeforeValidator(one_of(ChallengeType))], ...],
        Field(min_length=1),
        BeforeValidator(tuple_of_list),
    ] = tuple(ChallengeType)
    external_account_required: bool = False


class EstRules(Habits):
    """What EST asks of who wants this profile (RFC 7030 §3.2.3, §3.3.2), and when renewing it ends.

    `authentication` is by a client certificate, by an enrolment secret, by either or by both together;
    renewal is always by the certificate that is renewed. Certificates of `identity_profiles` (patterns) let
    their holders have this profile too, for names that they have already. With `channel_binding`, the CSR's
    challengePassword has to hold the TLS connection's (§3.5). `server_keys` are the types of keys that the
    server makes for those who cannot (§4.4), none by default. A certificate is renewed `max_renewals` times
    in a row and for `max_renewal_age` after the first one, then somebody has to enrol anew.
    """

    authentication: Literal["certificate", "secret", "either", "both"] = "either"
    identity_profiles: Annotated[
        tuple[Annotated[str, Field(pattern="^[a-z0-9*-]{1,64}$")], ...], BeforeValidator(tuple_of_list)
    ] = ()
    channel_binding: bool = False
    server_keys: Annotated[
        tuple[Annotated[KeyType, BeforeValidator(one_of(KeyType))], ...], BeforeValidator(tuple_of_list)
    ] = ()
    max_renewals: int | None = Field(default=None, ge=0, le=10_000)
    max_renewal_age: Duration | None = None
    new_key_on_renewal: bool = False
