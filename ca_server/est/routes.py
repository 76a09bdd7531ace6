"""Every route of this door and who may use it; with a route that is not here nothing starts (R21)."""

from __future__ import annotations

from enum import StrEnum

PREFIX = "/.well-known/est"


class Proof(StrEnum):
    """What a client has to show before its body is read (RFC 7030 §3.2.3, §3.3.2)."""

    # Everybody may ask; a client certificate, where one is shown, has to be good all the same.
    NONE = "none"
    # A client certificate, an enrolment secret or both, as the profile says.
    CREDENTIALS = "credentials"
    # The certificate that is renewed, and nothing in its place.
    PREDECESSOR = "predecessor"


ROUTES: dict[str, Proof] = {
    "authorities.cacerts": Proof.NONE,
    "authorities.csrattrs": Proof.NONE,
    "enrolment.simpleenroll": Proof.CREDENTIALS,
    "enrolment.simplereenroll": Proof.PREDECESSOR,
    "enrolment.serverkeygen": Proof.CREDENTIALS,
}
