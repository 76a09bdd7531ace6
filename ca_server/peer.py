"""What a connection proves of whoever sent a request, whichever way it came in.

TLS proves the possession of a private key, and nothing else is asked of it: what a certificate is worth is
judged by `services`, in one place for all doors.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ca_server.core.errors import Kind, refuse

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

ENVIRON = "sealkeeper.peer"


def _no_binding() -> bytes | None:
    return None


@dataclass(frozen=True, slots=True)
class Peer:
    """Whoever is at the other end.

    `certificate` is DER, its private key proven by TLS; None without one. `channel_binding` gives the
    connection's tls-unique (RFC 5929 §3, TLS 1.2) or tls-exporter (RFC 9266, TLS 1.3), None where it cannot
    be known, as behind a proxy. `is_forged`: a header that only our proxy may set came from somebody else.
    """

    certificate: bytes | None = None
    channel_binding: Callable[[], bytes | None] = _no_binding
    is_forged: bool = False


def peer_of(environ: WSGIEnvironment) -> Peer:
    """Whoever sent the request, as the server found out before any application ran.

    Raises:
        CaError: unauthenticated, `ACCESS-PROXY-HEADER`: a client certificate that TLS has not proven (R32).
    """
    peer: Peer = environ.get(ENVIRON, Peer())
    if peer.is_forged:
        raise refuse(
            Kind.UNAUTHENTICATED,
            "ACCESS-PROXY-HEADER",
            "Client-Cert is believed from the proxy of this server alone; do not send it",
        )
    return peer
