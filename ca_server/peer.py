"""What a connection proves of whoever sent a request, whichever way it came in.

TLS proves the possession of a private key, and nothing else is asked of it: what a certificate is worth is
judged by `services`, in one place for all doors. The doors ask `peer_of`, and nobody else who is there.
"""

from __future__ import annotations

import binascii
import ipaddress
import socket
import ssl
import struct
from base64 import b64decode
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ca_server.core.errors import Kind, refuse
from ca_server.tls_native import channel_binding

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

ENVIRON = "sealkeeper.peer"

# RFC 9440 §2: what a proxy says of the certificate, and of the chain, which nobody here reads.
_HEADER = "HTTP_CLIENT_CERT"
_PROXY_HEADERS = (_HEADER, "HTTP_CLIENT_CERT_CHAIN")
_UCRED = struct.Struct("iII")  # pid, uid, gid: unix(7)
_ROOT = 0


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


def with_peers(application: WSGIApplication, proxy_uid: int | None = None) -> WSGIApplication:
    """The application with `environ[ENVIRON]` filled before it runs.

    `proxy_uid` is the user of the proxy in front, whose word is taken for the client's certificate and
    address; None without one, when TLS ends here. The headers of the proxy never reach the application.
    """

    def identify(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        connection = environ.get("gunicorn.socket")
        headers = {name: environ.pop(name) for name in _PROXY_HEADERS if name in environ}
        if proxy_uid is not None and _is_proxy(connection, proxy_uid):
            environ["wsgi.url_scheme"] = "https"
            environ["REMOTE_ADDR"] = _address(environ.get("HTTP_X_REAL_IP", ""))
            peer = Peer(_from_header(headers.get(_HEADER)))
        else:
            peer = _from_tls(connection, is_forged=bool(headers))
        environ[ENVIRON] = peer
        return application(environ, start_response)

    return identify


def _from_tls(connection: object, *, is_forged: bool) -> Peer:
    if not isinstance(connection, ssl.SSLSocket):
        return Peer(is_forged=is_forged)
    return Peer(
        connection.getpeercert(binary_form=True),
        partial(channel_binding, connection),
        is_forged,
    )


def _is_proxy(connection: object, proxy_uid: int) -> bool:
    """The kernel says who connected to a unix socket, root included; nothing says so of TCP."""
    if not isinstance(connection, socket.socket) or connection.family != socket.AF_UNIX:
        return False
    credentials = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
    _, uid, _ = _UCRED.unpack(credentials)
    return uid in (proxy_uid, _ROOT)


def _from_header(value: str | None) -> bytes | None:
    """The certificate of an RFC 8941 byte sequence, `:base64:`; None without one.

    A value that is none, such as two headers in one, comes out as bytes that are no certificate either: a
    client whose proxy garbled its certificate is refused like one with a garbled certificate, not taken for
    one without.
    """
    if value is None:
        return None
    try:
        if len(value) > 2 and value[0] == value[-1] == ":":
            return b64decode(value[1:-1], validate=True)
    except (binascii.Error, ValueError):
        pass
    return b":"


def _address(text: str) -> str:
    """The client's address as the proxy saw it; nothing when that is no address."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        return ""
