"""Speaks EST to a server as RFC 7030 and 8951 say: HTTPS only, sizes and time capped, no redirects.

What a server says is shown to people as plain text and never acted on (R35); the rules that it names choose
no more than which of this command's own words go with it.
"""

from __future__ import annotations

import base64
import binascii
import http.client
import re
import ssl
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cryptography import x509

from ca_server.cli.enroll.pkcs7 import read_certificates
from ca_server.core.errors import CaError, Kind, Violation

CSR_TYPE = "application/pkcs10"
CERTIFICATES_TYPE = "application/pkcs7-mime"
MAX_REPLY_BYTES = 1024 * 1024
MAX_SHOWN = 1000
# Sealkeeper ends what it says with the ids of the rules.
_RULES = re.compile(r"\[([A-Z0-9-]+(?:, [A-Z0-9-]+)*)\]$")
# Of one step on the connection, and of a whole answer, in seconds.
STEP_SECONDS, ANSWER_SECONDS = 30, 90


class ApprovalPending(CaError):
    """The server keeps the request until people have approved it (RFC 7030 §4.2.3)."""

    def __init__(self, retry_after: int | None) -> None:
        super().__init__(Kind.NOT_READY, "the request waits for approval", retry_after=retry_after)


@dataclass(frozen=True, slots=True)
class Credentials:
    """By what right to ask: a user name with a password, or the files of a certificate and its key."""

    password: tuple[str, str] | None = None
    certificate: tuple[Path, Path] | None = None


class ESTClient:
    """One server, given by the URL of its EST path; `anchors_file` holds the roots to trust, in PEM.

    None trusts whoever answers: good for nothing but the certificates whose fingerprint is known.
    """

    def __init__(self, url: str, anchors_file: Path | None) -> None:
        parts = urlsplit(url)
        self._host, self._port, self._path = parts.hostname or "", parts.port, parts.path
        self._anchors_file = anchors_file

    def authority_certificates(self) -> tuple[x509.Certificate, ...]:
        """The CA's certificates, in no order (RFC 7030 §4.1).

        Raises:
            CaError: unavailable, it cannot be had now; otherwise why not.
        """
        return self._exchange("cacerts", None, Credentials())

    def enroll(self, operation: str, csr: bytes, credentials: Credentials) -> tuple[x509.Certificate, ...]:
        """Send a CSR in DER to simpleenroll or simplereenroll, and get the certificate.

        Raises:
            ApprovalPending: it has to be approved first.
            CaError: unavailable or rate_limited, ask again; unauthenticated; policy_refused.
        """
        return self._exchange(operation, csr, credentials)

    def _exchange(
        self, operation: str, csr: bytes | None, credentials: Credentials
    ) -> tuple[x509.Certificate, ...]:
        headers = {"Accept": CERTIFICATES_TYPE, "User-Agent": "sealkeeper-enroll"}
        body = None
        if csr is not None:
            headers["Content-Type"] = CSR_TYPE
            body = base64.b64encode(csr)
        if credentials.password is not None:
            told = ":".join(credentials.password).encode()
            headers["Authorization"] = "Basic " + base64.b64encode(told).decode("ascii")
        context = self._context(credentials)
        connection = http.client.HTTPSConnection(
            self._host, self._port, timeout=STEP_SECONDS, context=context
        )
        try:
            connection.request("GET" if body is None else "POST", f"{self._path}/{operation}", body, headers)
            response = connection.getresponse()
            content = _read(response)
        except ssl.SSLCertVerificationError as error:
            raise self._unknown_server(error) from error
        except (OSError, http.client.HTTPException) as error:
            raise CaError(
                Kind.UNAVAILABLE, f"the server at {self._host} cannot be reached: {error}"
            ) from error
        finally:
            connection.close()
        if response.status != http.HTTPStatus.OK:
            raise _refusal(response, content)
        return self._certificates(response, content)

    def _context(self, credentials: Credentials) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if self._anchors_file is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_verify_locations(cafile=self._anchors_file)
        if credentials.certificate is not None:
            try:
                context.load_cert_chain(*credentials.certificate)
            except OSError as error:
                where = credentials.certificate[0]
                detail = f"{where} and its key cannot be used as a client certificate: {error}"
                raise CaError(Kind.MALFORMED, detail) from error
        return context

    def _unknown_server(self, error: ssl.SSLCertVerificationError) -> CaError:
        return CaError(
            Kind.FORBIDDEN,
            f"the server at {self._host} is not who it should be: {error.verify_message}. Its name in --url,"
            f" the roots in {self._anchors_file} or this host's clock are wrong, or somebody stands between."
            " Nothing secret was sent",
        )

    def _certificates(
        self, response: http.client.HTTPResponse, content: bytes
    ) -> tuple[x509.Certificate, ...]:
        found = response.headers.get_content_type()
        if found != CERTIFICATES_TYPE:
            detail = f"the server at {self._host} answered {found}: is --url the one of its EST?"
            raise CaError(Kind.INTERNAL, detail)
        try:
            der = base64.b64decode(b"".join(content.split()), validate=True)
        except binascii.Error as error:
            raise CaError(Kind.INTERNAL, f"the answer of {self._host} is not base64") from error
        return tuple(read_certificates(der))


def _read(response: http.client.HTTPResponse) -> bytes:
    """The whole body, which has neither unlimited bytes nor unlimited time."""
    deadline = time.monotonic() + ANSWER_SECONDS
    content = b""
    while piece := response.read1(64 * 1024):
        content += piece
        if len(content) > MAX_REPLY_BYTES or time.monotonic() > deadline:
            raise http.client.HTTPException("its answer is too long or too slow")
    return content


def _refusal(response: http.client.HTTPResponse, content: bytes) -> CaError:
    """What a status other than 200 means, in the server's words where it has any."""
    status = response.status
    told = response.headers.get("Retry-After", "")
    retry_after = int(told) if told.isdecimal() and len(told) < 10 else None
    if status == http.HTTPStatus.ACCEPTED:
        return ApprovalPending(retry_after)
    said = _plain(content) if response.headers.get_content_type() == "text/plain" else ""
    words = said or f"{status} {_plain(response.reason.encode())}"
    if status in {429, 500, 502, 503, 504}:
        kind = Kind.RATE_LIMITED if status == http.HTTPStatus.TOO_MANY_REQUESTS else Kind.UNAVAILABLE
        return CaError(kind, f"the server cannot do it now: {words}", retry_after=retry_after)
    if status == http.HTTPStatus.UNAUTHORIZED:
        return _by_rules(Kind.UNAUTHENTICATED, f"the server does not accept who asks: {words}")
    if status == http.HTTPStatus.NOT_FOUND:
        return CaError(Kind.NOT_FOUND, f"there is no such EST path, see --url: {words}")
    if 300 <= status < 400:
        return CaError(Kind.NOT_FOUND, f"the server leads elsewhere ({status}): give its own URL by --url")
    return _by_rules(Kind.POLICY_REFUSED, f"the server refuses: {words}")


def _by_rules(kind: Kind, detail: str) -> CaError:
    found = _RULES.search(detail)
    rule_ids = found[1].split(", ") if found else ()
    return CaError(kind, detail, violations=tuple(Violation(rule_id, detail) for rule_id in rule_ids))


def _plain(content: bytes) -> str:
    """A stranger's text on one line, without what a terminal would act on."""
    text = " ".join(content[: 4 * MAX_SHOWN].decode("utf-8", "replace").split())
    return "".join(letter for letter in text if letter.isprintable())[:MAX_SHOWN]
