"""What EST keeps: enrolment secrets, and which certificate renews which."""

from __future__ import annotations

from dataclasses import dataclass

PROTOCOL = "est"


@dataclass(frozen=True, slots=True)
class EnrolmentSecret:
    """What an officer gives to whoever is to enrol, without the secret itself: a digest is kept.

    `id` is the user name and `digest` the hex SHA-256 of the password in HTTP Basic; `profile` is the one
    that it is for, `names` are patterns, times are seconds since 1970.
    """

    id: str
    digest: str
    owner: str
    profile: str
    names: tuple[str, ...]
    max_uses: int
    uses: int
    created_at: int
    not_after: int
    revoked_at: int | None = None

    def is_live(self, now: int) -> bool:
        """Neither revoked nor past its end; it may be used up."""
        return self.revoked_at is None and now <= self.not_after


@dataclass(frozen=True, slots=True)
class Renewal:
    """A certificate's place in its chain of renewals (R16).

    `predecessor` is the id of the certificate that it renews, `number` counts from 1, `first_at` is when
    the first of the chain was issued.
    """

    predecessor: str
    number: int
    first_at: int
