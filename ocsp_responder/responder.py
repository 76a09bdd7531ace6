"""Question in, signed answer out, with a memory of answers that a revocation wipes.

Answers are kept until half their life is over. A watermark, read once a second, says when any certificate
was revoked or released; then every kept answer is forgotten. Without a fresh watermark nothing is answered
but "try later": an old "good" is worse than none (R15). Any number of threads may use a responder; they
share its memory and the watermark one after the other, and look up and sign side by side.
"""

from __future__ import annotations

import hashlib
import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from cryptography import x509
from cryptography.x509.ocsp import OCSPCertStatus, OCSPResponseStatus

from ca_server.core.clock import Clock
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.ocsp import Answer, CertId, OcspRequest, build_response, error_response, parse_request
from ocsp_responder.signer import Issuer
from ocsp_responder.status import CertificateStatus

log = logging.getLogger(__name__)

POLL_SECONDS = 1.0
MAX_CACHED = 16_384

# The whole of `Kind`: what a client is told, in the words of RFC 6960 §2.3.
STATUS_OF_KIND: dict[Kind, OCSPResponseStatus] = {
    Kind.MALFORMED: OCSPResponseStatus.MALFORMED_REQUEST,
    Kind.UNAUTHENTICATED: OCSPResponseStatus.UNAUTHORIZED,
    Kind.FORBIDDEN: OCSPResponseStatus.UNAUTHORIZED,
    Kind.NOT_FOUND: OCSPResponseStatus.UNAUTHORIZED,
    Kind.CONFLICT: OCSPResponseStatus.INTERNAL_ERROR,
    Kind.NOT_READY: OCSPResponseStatus.TRY_LATER,
    Kind.BAD_CSR: OCSPResponseStatus.INTERNAL_ERROR,
    Kind.BAD_PUBLIC_KEY: OCSPResponseStatus.INTERNAL_ERROR,
    Kind.REJECTED_IDENTIFIER: OCSPResponseStatus.INTERNAL_ERROR,
    Kind.POLICY_REFUSED: OCSPResponseStatus.INTERNAL_ERROR,
    Kind.ALREADY_REVOKED: OCSPResponseStatus.INTERNAL_ERROR,
    Kind.BAD_NONCE: OCSPResponseStatus.MALFORMED_REQUEST,
    Kind.RATE_LIMITED: OCSPResponseStatus.TRY_LATER,
    Kind.UNAVAILABLE: OCSPResponseStatus.TRY_LATER,
    Kind.INTERNAL: OCSPResponseStatus.INTERNAL_ERROR,
}


class StatusSource(Protocol):
    """Where status comes from (`status.StatusReader`)."""

    def watermark(self) -> int:
        """A number that every revocation and release raises."""

    def find(self, authority_id: str, serial_number: str) -> CertificateStatus | None:
        """The status of a certificate, or None for a serial number that was never issued."""


@dataclass(frozen=True, slots=True)
class AnswerSettings:
    """How long answers are good, and how long they outlive a database that is away."""

    validity: timedelta
    max_staleness: timedelta


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer on its way out. One without `next_update` says nothing that may be kept by anybody.

    `word` is for counting: the certificate's status, or the OCSP error.
    """

    der: bytes
    word: str
    this_update: datetime | None = None
    next_update: datetime | None = None
    etag: str = ""
    cached: bool = False


class Freshness:
    """Whether what the database said is still true; polls it once a second and no more often."""

    def __init__(
        self, source: StatusSource, max_staleness: timedelta, monotonic: Callable[[], float]
    ) -> None:
        self._source = source
        self._max_staleness = max_staleness.total_seconds()
        self._monotonic = monotonic
        self._polled_at = float("-inf")
        self._confirmed_at = float("-inf")
        self._watermark = -1
        self._trouble: CaError | None = None

    def changed(self) -> bool:
        """Whether a certificate was revoked or released since the last time.

        Raises:
            CaError: unavailable: the database did not answer for too long, or went back in time.
        """
        now = self._monotonic()
        if now - self._polled_at < POLL_SECONDS:
            if self._trouble:
                raise self._trouble
            return False
        self._polled_at = now
        before = self._watermark
        try:
            self._confirm(now)
        except CaError as error:
            # A database that is away for a moment is no news: the kept answers are as true as a second ago.
            if now - self._confirmed_at > self._max_staleness:
                self._trouble = error
                raise
        return self._watermark != before

    def _confirm(self, now: float) -> None:
        watermark = self._source.watermark()
        if watermark < self._watermark:
            # An older copy of the database was put in place; what it does not know of, it calls good.
            self._confirmed_at = float("-inf")
            raise refuse(Kind.UNAVAILABLE, "OCSP-ROLLBACK", "the status database is older than it was")
        self._watermark = watermark
        self._confirmed_at = now
        self._trouble = None


class Responder:
    """Answers for several authorities."""

    def __init__(
        self,
        issuers: Sequence[Issuer],
        source: StatusSource,
        clock: Clock,
        settings: AnswerSettings,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._issuers = {issuer_id: issuer for issuer in issuers for issuer_id in issuer.ids}
        self._source = source
        self._clock = clock
        self._validity = settings.validity
        self._freshness = Freshness(source, settings.max_staleness, monotonic)
        self._lock = threading.Lock()
        self._kept: OrderedDict[CertId, Reply] = OrderedDict()
        self._wiped = 0
        self._told = ""

    def respond(self, data: bytes) -> Reply:
        """The answer to a request, whatever its bytes are.

        Raises:
            SignatureUnknown: the token did not answer in time; the process must end.
        """
        try:
            return self._answer(parse_request(data))
        except CaError as error:
            self._tell(error)
            return refusal(error)

    def require_fresh(self) -> None:
        """For readiness: whether the database answers and no time was lost.

        Raises:
            CaError: unavailable.
        """
        with self._lock:
            self._wipe_if_changed()

    def _wipe_if_changed(self) -> None:
        if self._freshness.changed():
            self._kept.clear()
            self._wiped += 1

    def _recall(self, cert_id: CertId, now: datetime) -> tuple[Reply | None, int]:
        """A kept answer that is still young, and how often memory was wiped by now."""
        with self._lock:
            self._wipe_if_changed()
            kept = self._kept.get(cert_id)
            return kept if kept and self._is_young(kept, now) else None, self._wiped

    def _answer(self, request: OcspRequest) -> Reply:
        now = self._clock.now()
        first = request.cert_ids[0]
        single = len(request.cert_ids) == 1 and request.nonce is None
        kept, wiped = self._recall(first, now)
        if single and kept:
            return kept
        issuer = self._issuer(request)
        period = self._period(issuer, now)
        answers = [self._look_up(issuer, cert_id, period) for cert_id in request.cert_ids]
        der = build_response(issuer.signer, answers, request.nonce)
        self._told = ""
        word = answers[0].status.name.lower() if len(answers) == 1 else "several"
        if not single or answers[0].status is OCSPCertStatus.UNKNOWN:
            # A nonce is for one client, and what is unknown now may be issued in a moment.
            return Reply(der, word)
        etag = hashlib.sha256(der).hexdigest()
        self._keep(first, Reply(der, word, *period, etag, cached=True), wiped)
        return Reply(der, word, *period, etag)

    def _tell(self, error: CaError) -> None:
        """Log what the operator has to mend, once until it changes; clients' mistakes are only counted."""
        reason = f"{error.detail} {list(error.rule_ids)}"
        if error.kind in {Kind.UNAVAILABLE, Kind.INTERNAL} and reason != self._told:
            self._told = reason
            log.warning("cannot answer: %s", reason)

    def _issuer(self, request: OcspRequest) -> Issuer:
        """The one authority that all of a request is about."""
        found = {self._issuers.get(cert_id.issuer) for cert_id in request.cert_ids}
        issuer = found.pop()
        if found or issuer is None:
            raise refuse(Kind.FORBIDDEN, "OCSP-ISSUER", "no one authority of this responder issued that")
        return issuer

    def _period(self, issuer: Issuer, now: datetime) -> tuple[datetime, datetime]:
        """From now, for as long as answers are good, but not longer than the delegated certificate is."""
        issuer.require_valid(now)
        return now, min(now + self._validity, issuer.signer.certificate.not_valid_after_utc)

    def _look_up(self, issuer: Issuer, cert_id: CertId, period: tuple[datetime, datetime]) -> Answer:
        found = self._source.find(issuer.authority_id, f"{cert_id.serial_number:040x}")
        if found is None:
            return Answer(cert_id, OCSPCertStatus.UNKNOWN, *period)
        if found.revoked_at is None:
            return Answer(cert_id, OCSPCertStatus.GOOD, *period)
        reason = x509.ReasonFlags(found.reason)
        return Answer(cert_id, OCSPCertStatus.REVOKED, *period, revoked_at=found.revoked_at, reason=reason)

    def _is_young(self, kept: Reply, now: datetime) -> bool:
        start, end = kept.this_update, kept.next_update
        return start is not None and end is not None and start <= now < start + (end - start) / 2

    def _keep(self, cert_id: CertId, reply: Reply, wiped: int) -> None:
        """Keep an answer, unless memory was wiped since before it was looked up: it may be old already."""
        with self._lock:
            if wiped != self._wiped:
                return
            self._kept[cert_id] = reply
            self._kept.move_to_end(cert_id)
            if len(self._kept) > MAX_CACHED:
                self._kept.popitem(last=False)


def refusal(error: CaError) -> Reply:
    """The unsigned answer that a refusal or failure becomes."""
    status = STATUS_OF_KIND[error.kind]
    return Reply(error_response(status), status.name.lower())
