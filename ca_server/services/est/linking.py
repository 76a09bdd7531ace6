"""Holds a CSR against the connection that it came over: proof of who asks, and of the key, by one party."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Callable

from ca_server.core.csr import Csr
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.est.channel_binding import challenge_password
from ca_server.core.profile import Profile


def require_linked(profile: Profile, csr: Csr, channel_binding: Callable[[], bytes | None]) -> None:
    """Pass a CSR whose challengePassword is the connection's channel binding, where the profile asks for it.

    In base64 (RFC 7030 §3.5): tls-unique of TLS 1.2 (RFC 5929), tls-exporter of TLS 1.3 (RFC 9266).

    Raises:
        CaError: bad_csr, `EST-CHANNEL-BINDING` or `CSR-CHALLENGE-PASSWORD`.
    """
    if not profile.est.channel_binding:
        return
    given = challenge_password(csr)
    if given is None:
        raise _refused(
            f"the profile {profile.name} wants the channel binding, tls-unique or tls-exporter, in base64 "
            "as the CSR's challengePassword"
        )
    binding = channel_binding()
    if binding is None:
        raise _refused("this connection's channel binding cannot be known; connect without a proxy between")
    if not hmac.compare_digest(given.encode(), base64.b64encode(binding)):
        raise _refused("the CSR's challengePassword is not this connection's channel binding")


def _refused(detail: str) -> CaError:
    return refuse(Kind.BAD_CSR, "EST-CHANNEL-BINDING", detail, pointer="/csr")
