"""Reads a CSR as EST sends it: base64 of DER, with or without line breaks (RFC 8951 §3), and nothing else.

The cap is on bytes that were read, whatever a header promised, so it holds for chunked bodies too (R32).
"""

from __future__ import annotations

import base64
import re

from flask import request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import RequestEntityTooLarge

from ca_server.core.csr import Csr, parse_csr
from ca_server.core.errors import CaError, Kind, refuse

MAX_BODY_BYTES = 64 * 1024
MEDIA_TYPE = "application/pkcs10"

# RFC 8951 §3.1.
_WHITESPACE = b" \t\r\n"
# RFC 4648 §4, whole groups of four: how strict the standard library is depends on its version.
_BASE64 = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?")
_PEM = b"-----BEGIN"
_SEQUENCE = b"\x30"
_WANTED = "send the base64 of the CSR's DER, as `openssl req -outform DER | base64` gives it"


def read_csr() -> Csr:
    """The CSR in the body of this request, its signature verified.

    Raises:
        CaError: as `read_der`; bad_csr or bad_public_key.
    """
    return parse_csr(read_der())


def read_der() -> bytes:
    """The DER in the body of this request.

    Raises:
        CaError: malformed, `EST-MEDIA-TYPE`, `EST-SIZE`, `EST-FRAMING` or `EST-BASE64`.
    """
    return decode_body(_read_body())


def decode_body(body: bytes) -> bytes:
    """The DER that a body holds; nothing is said yet of what is in it.

    Raises:
        CaError: malformed, `EST-BASE64`.
    """
    text = body.translate(None, _WHITESPACE)
    if not text:
        raise _not_base64("the body is empty")
    if text.startswith(_PEM):
        raise _not_base64("the body is PEM: leave out the lines BEGIN and END")
    if _BASE64.fullmatch(text) is None:
        raise _not_base64("the body is not base64")
    der = base64.b64decode(text)
    if not der.startswith(_SEQUENCE):
        is_pem = der.startswith(_PEM)
        raise _not_base64("the body is the base64 of PEM" if is_pem else "the body is the base64 of no DER")
    return der


def _read_body() -> bytes:
    if request.mimetype != MEDIA_TYPE:
        raise refuse(
            Kind.MALFORMED, "EST-MEDIA-TYPE", f"the body needs the header Content-Type: {MEDIA_TYPE}"
        )
    if request.content_encoding not in {None, "identity"}:
        raise refuse(Kind.MALFORMED, "EST-MEDIA-TYPE", "the body is compressed: send it as it is")
    try:
        data = request.get_data()
        # At the cap a stream ends as if the body did; only asking for more tells the two apart.
        request.stream.read(1)
    except RequestEntityTooLarge as error:
        raise refuse(Kind.MALFORMED, "EST-SIZE", f"a body has {MAX_BODY_BYTES} bytes at most") from error
    except ParseException as error:
        raise refuse(Kind.MALFORMED, "EST-FRAMING", "the body is not framed as HTTP wants it") from error
    return data


def _not_base64(what: str) -> CaError:
    return refuse(Kind.MALFORMED, "EST-BASE64", f"{what}; {_WANTED}")
