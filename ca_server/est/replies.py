"""Answers as EST clients read them: base64 on one line unless a client or label is known to need more.

Always with a Content-Length and few headers: there are clients that look for the end of the headers within
the first 1,024 bytes and know no chunks.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass

from flask import Response, g, request

from ca_server.est.labels import Label
from ca_server.est.services import services

CERTS_ONLY = "application/pkcs7-mime; smime-type=certs-only"
CSR_ATTRIBUTES = "application/csrattrs"
# No base64 has two hyphens, so nothing that a part holds can look like this.
BOUNDARY = "sealkeeper-est"
# Of all that the other doors send, what is for an EST client: the rest tells browsers about pages.
HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}

# The longest line of RFC 2045 §6.8.
_WRAPPED = 76


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a multipart answer: its media type, and the bytes that go into it as base64."""

    media_type: str
    data: bytes


def reply(data: bytes, media_type: str) -> Response:
    """Bytes as base64, under their own media type (RFC 8951 §3).

    RFC 8951 does without Content-Transfer-Encoding; there are clients of RFC 7030 that ask for it.
    """
    response = Response(b"\n".join((*base64_lines(data, line_length()), b"")))
    response.headers["Content-Type"] = media_type
    response.headers["Content-Transfer-Encoding"] = "base64"
    return response


def multipart_reply(parts: Sequence[Part]) -> Response:
    """Several such in one answer (RFC 7030 §4.4.2, RFC 2046 §5.1)."""
    lines: list[bytes] = []
    for part in parts:
        lines += (
            f"--{BOUNDARY}".encode(),
            f"Content-Type: {part.media_type}".encode(),
            b"Content-Transfer-Encoding: base64",
            b"",
            *base64_lines(part.data, line_length()),
        )
    lines += (f"--{BOUNDARY}--".encode(), b"")
    response = Response(b"\r\n".join(lines))
    response.headers["Content-Type"] = f"multipart/mixed; boundary={BOUNDARY}"
    return response


def base64_lines(data: bytes, length: int) -> list[bytes]:
    """Lines of so many characters each, the last one perhaps shorter; 0 is one line, however long."""
    text = base64.b64encode(data)
    step = length or max(len(text), 1)
    return [text[start : start + step] for start in range(0, len(text), step)]


def line_length() -> int:
    """How long the lines of this answer are: as its label says, its User-Agent, or the configuration."""
    settings = services().parts.settings
    label: Label | None = g.get("label")
    if label is not None and label.line_length is not None:
        return label.line_length
    if request.headers.get("User-Agent", "").startswith(settings.wrap_for):
        return _WRAPPED
    return settings.line_length
