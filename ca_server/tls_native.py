"""What OpenSSL can do for the HTTPS door and Python's `ssl` does not offer.

- A client may prove the possession of any key. Python only knows to refuse strangers in the handshake,
  where nobody hears why and nothing is written down; here the handshake passes every certificate without a
  look at its chain, and `services.access` judges it.
- The channel binding of TLS 1.3 (RFC 9266).
- No session is kept: each connection proves its client's key itself.

The functions are those of the very library that `ssl` is linked to. Its pointers lie behind the head of
Python's objects, which no interface promises: `require_native_tls` has that tried by a child process, which
may die of it, before a door depends on it.
"""

from __future__ import annotations

import _ssl
import ctypes
import ssl
import subprocess
import sys
from functools import cache
from pathlib import Path

from ca_server.core.errors import CaError, Kind

EXPORTER_LABEL = b"EXPORTER-Channel-Binding"  # RFC 9266 §4.2
EXPORTER_BYTES = 32
PROBE_SECONDS = 60

_SESSION_CACHE_MODE = 44  # SSL_CTRL_SET_SESS_CACHE_MODE
_SESSION_CACHE_OFF = 0
_POINTER = ctypes.sizeof(ctypes.c_void_p)
# PySSLContext begins with its SSL_CTX, PySSLSocket with a reference to the socket and then its SSL.
_CONTEXT_PLACE = object.__basicsize__
_CONNECTION_PLACE = object.__basicsize__ + _POINTER

_Verify = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


def _take_any(_store: int, _argument: int) -> int:
    return 1


# Kept for as long as the process lives: OpenSSL has its address.
_TAKE_ANY = _Verify(_take_any)


def take_any_certificate(context: ssl.SSLContext) -> None:
    """Ask each client for a certificate, and take whatever it has, or none.

    The client still proves that it holds the certificate's private key (RFC 8446 §4.4.3).
    """
    context.verify_mode = ssl.CERT_OPTIONAL
    _openssl().SSL_CTX_set_cert_verify_callback(_pointer(context, _CONTEXT_PLACE), _TAKE_ANY, None)


def keep_no_sessions(context: ssl.SSLContext) -> None:
    """Resume no session, by ticket or by id: a resumed one proves nobody's key."""
    context.options |= ssl.OP_NO_TICKET
    context.num_tickets = 0
    _openssl().SSL_CTX_ctrl(_pointer(context, _CONTEXT_PLACE), _SESSION_CACHE_MODE, _SESSION_CACHE_OFF, None)


def channel_binding(connection: ssl.SSLSocket | ssl.SSLObject) -> bytes | None:
    """What only the two ends of this connection know; None when it is not, or no more, a TLS connection.

    tls-exporter on TLS 1.3 (RFC 9266), tls-unique before it (RFC 5929 §3).
    """
    inner = connection._sslobj  # type: ignore[union-attr]  # noqa: SLF001 - holds the pointer
    if inner is None:
        return None
    if connection.version() != "TLSv1.3":
        return connection.get_channel_binding("tls-unique")
    exported = ctypes.create_string_buffer(EXPORTER_BYTES)
    done = _openssl().SSL_export_keying_material(
        _pointer(inner, _CONNECTION_PLACE),
        *(exported, EXPORTER_BYTES),
        *(EXPORTER_LABEL, len(EXPORTER_LABEL)),
        *(b"", 0, 1),  # the context is there, and empty
    )
    return exported.raw if done == 1 else None


def require_native_tls(chain: Path, key: Path) -> None:
    """Pass only where all of this works, as a child process shows with the server's own certificate.

    Raises:
        CaError: unavailable; this Python keeps its pointers elsewhere, or the files do not fit each other.
    """
    command = [sys.executable, "-m", "ca_server.tls_native", str(chain), str(key)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=PROBE_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        raise _unusable(f"no answer in {PROBE_SECONDS} seconds") from error
    if run.returncode < 0:
        raise _unusable(f"signal {-run.returncode}")
    if run.returncode:
        raise _unusable((run.stderr.strip().splitlines() or ["no reason given"])[-1])


def _unusable(reason: str) -> CaError:
    return CaError(
        Kind.UNAVAILABLE,
        f"TLS cannot be served by this Python ({reason}); where its certificate and key fit each other,"
        " put nginx in front with server.https on a unix socket",
    )


@cache
def _openssl() -> ctypes.CDLL:
    """The library that `ssl` uses: names are looked up from where Python's own calls of it are."""
    library = ctypes.CDLL(getattr(_ssl, "__file__", None))
    text = (ctypes.c_char_p, ctypes.c_size_t)
    library.SSL_CTX_set_cert_verify_callback.argtypes = (ctypes.c_void_p, _Verify, ctypes.c_void_p)
    library.SSL_CTX_set_cert_verify_callback.restype = None
    library.SSL_CTX_ctrl.argtypes = (ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p)
    library.SSL_CTX_ctrl.restype = ctypes.c_long
    library.SSL_export_keying_material.argtypes = (ctypes.c_void_p, *text, *text, *text, ctypes.c_int)
    library.SSL_export_keying_material.restype = ctypes.c_int
    return library


def _pointer(owner: object, place: int) -> int | None:
    return ctypes.c_void_p.from_address(id(owner) + place).value


def _prove(chain: str, key: str) -> None:
    """Shake hands with ourselves in either version: the certificate passes, and both ends bind alike."""
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    outside = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    outside.check_hostname = False
    outside.verify_mode = ssl.CERT_NONE
    for context in (inside, outside):
        context.load_cert_chain(chain, key)
    take_any_certificate(inside)
    keep_no_sessions(inside)
    for version in (ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3):
        outside.minimum_version = outside.maximum_version = version
        server, client = _shake_hands(inside, outside)
        if not server.getpeercert(binary_form=True):
            raise RuntimeError("a client certificate was not taken")
        if not channel_binding(server) or channel_binding(server) != channel_binding(client):
            raise RuntimeError("the ends of a connection know different channel bindings")


def _shake_hands(inside: ssl.SSLContext, outside: ssl.SSLContext) -> tuple[ssl.SSLObject, ssl.SSLObject]:
    up, down = ssl.MemoryBIO(), ssl.MemoryBIO()
    server = inside.wrap_bio(up, down, server_side=True)
    client = outside.wrap_bio(down, up)
    waiting = {client, server}
    # Each flight of the longest handshake, and as many again.
    for _ in range(8):
        for end in (client, server):
            try:
                end.do_handshake()
                waiting.discard(end)
            except ssl.SSLWantReadError:
                continue
    if waiting:
        raise RuntimeError("a handshake did not end")
    return server, client


if __name__ == "__main__":
    _prove(*sys.argv[1:])
