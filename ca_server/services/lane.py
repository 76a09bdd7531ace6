"""The lane: the one thread of a process that uses a CA key. HERE A CERTIFICATE IS SIGNED.

Whoever wants a certificate waits here; those who wait together go together through
T1 (serials, TBS digests, `issue.intent` events, one durable commit) -> the HSM signs each TBS, no
transaction open -> T2 (certificates, `issue.done` events, one durable commit). Nobody gets a certificate
before T2. A crash between the two leaves an intent, which is settled later (ADR 0003).
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from functools import partial
from typing import Protocol

import structlog

from ca_server.core.errors import CaError, Kind
from ca_server.core.signatures import SignatureAlgorithm
from ca_server.hsm.health import check
from ca_server.hsm.port import HsmRefused, HsmUnavailable, SignatureUnknown, Signer
from ca_server.services.metrics import HSM_OPERATIONS, HSM_SIGN_SECONDS, HSM_UP, LANE_BATCH
from ca_server.services.outcome import IssuedCertificate, LaneEntry, Outcomes, Signed
from ca_server.store.unit_of_work import BrokenRule

Signers = Mapping[str, Signer]
REFUSED_RETRY_AFTER = 30

log = structlog.get_logger(__name__)


class SignerSource(Protocol):
    """Opens the keys that the lane signs with, on the lane's own thread."""

    def open(self) -> Signers:
        """Every active authority's key, by the authority's id.

        Raises:
            HsmUnavailable: a token is away.
            HsmRefused: a token refused its PIN or lacks the key.
            CaError: unavailable, the database is away.
        """

    def close(self) -> None:
        """Let the tokens go."""


class Recovery(Protocol):
    """What the lane does when nobody waits: look after intents that a crash or an outage left behind."""

    def open_entries(self) -> list[LaneEntry]:
        """Stored intents that are old enough to have been left behind.

        Raises:
            CaError: unavailable, the database is away.
        """


@dataclass(frozen=True, slots=True)
class LaneSettings:
    """How many may wait, how many go together; seconds a caller waits, a look takes, a hang is one."""

    queue_length: int = 1024
    batch_size: int = 64
    patience: float = 30.0
    idle: float = 1.0
    hang: float = 60.0


@dataclass(slots=True)
class _Place:
    """One caller's place in the lane."""

    entry: LaneEntry
    answer: Future[IssuedCertificate] = field(default_factory=Future)


class Lane:
    """Gathers, signs and answers; start it after fork, one a process."""

    def __init__(
        self,
        outcomes: Outcomes,
        source: SignerSource,
        recovery: Recovery,
        *,
        settings: LaneSettings,
        die: Callable[[str], None],
    ) -> None:
        self._outcomes = outcomes
        self._source = source
        self._recovery = recovery
        self._settings = settings
        self._die = die
        self._places: queue.Queue[_Place | None] = queue.Queue(settings.queue_length)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lane", daemon=True)
        self._signers: Signers | None = None
        self._told = ""
        self._ended = False
        self._busy_since: float | None = None
        self._trouble: HsmUnavailable | HsmRefused | None = HsmUnavailable("the HSM is being opened", 1)

    def start(self) -> None:
        """Open the HSM and begin to sign, on a thread of its own."""
        self._thread.start()

    def stop(self) -> None:
        """Finish what waits, then end the thread."""
        self._stopping.set()
        # None is nobody, and wakes a lane that waits.
        self._places.put(None)
        self._thread.join()

    def require_ready(self) -> None:
        """Say whether the HSM signs.

        Raises:
            CaError: unavailable, with the reason.
        """
        if self._ended:
            raise _ended()
        busy_since = self._busy_since
        if busy_since is not None and time.monotonic() - busy_since > self._settings.hang:
            self._die("the HSM or the database hangs")
            raise CaError(Kind.UNAVAILABLE, "signing hangs", retry_after=30)
        self._require_hsm()

    def _require_hsm(self) -> None:
        if self._trouble is not None:
            raise _towards_client(self._trouble) from self._trouble

    def wait_until_ready(self, seconds: float) -> None:
        """Wait until the HSM signs.

        Raises:
            HsmRefused: the token refused to be opened; asking again could lock it.
            CaError: unavailable; it did not sign within that time.
        """
        deadline = time.monotonic() + seconds
        while True:
            if isinstance(self._trouble, HsmRefused):
                raise self._trouble
            try:
                self.require_ready()
            except CaError:
                if time.monotonic() >= deadline:
                    raise
                time.sleep(0.05)
            else:
                return

    def submit(self, entry: LaneEntry) -> IssuedCertificate:
        """Wait in the lane for a certificate.

        Raises:
            CaError: unavailable: the queue is full, the HSM or database is away, or patience ran out. An
                intent that was stored by then stays stored and is settled later.
            BrokenRule: a serial number or idempotency key was taken by somebody else.
        """
        self.require_ready()
        place = _Place(entry)
        try:
            self._places.put_nowait(place)
        except queue.Full:
            raise CaError(Kind.UNAVAILABLE, "too many are waiting to be signed", retry_after=1) from None
        if self._ended:
            self._refuse_waiting()
        try:
            return place.answer.result(self._settings.patience)
        except FutureTimeoutError:
            place.answer.cancel()
            raise CaError(Kind.UNAVAILABLE, "signing takes too long", retry_after=5) from None

    def _run(self) -> None:
        try:
            next_look = 0.0
            while not (self._stopping.is_set() and self._places.empty()):
                if time.monotonic() >= next_look:
                    next_look = time.monotonic() + self._settings.idle
                    self._take([], self._look_around)
                batch = self._gather()
                if batch:
                    self._take(batch, partial(self._issue, batch))
        except SignatureUnknown as error:
            self._die(f"signature unknown: {error}")
        finally:
            self._ended = True
            self._refuse_waiting()
            self._source.close()

    def _take(self, batch: list[_Place], work: Callable[[], None]) -> None:
        """Do one piece of work; a bug met by one batch must not end the lane for all."""
        self._busy_since = time.monotonic()
        try:
            work()
        except SignatureUnknown:
            _fail(batch, CaError(Kind.UNAVAILABLE, "the HSM did not answer in time", retry_after=5))
            raise
        except Exception:
            log.exception("lane.bug", batch=len(batch))
            _fail(batch, CaError(Kind.INTERNAL, "an internal error; it has been logged"))
        finally:
            self._busy_since = None

    def _refuse_waiting(self) -> None:
        """Nobody is left waiting at a lane that has ended."""
        while True:
            try:
                place = self._places.get_nowait()
            except queue.Empty:
                return
            if place and place.answer.set_running_or_notify_cancel():
                place.answer.set_exception(_ended())

    def _gather(self) -> list[_Place]:
        """Everybody who waits by now, or nobody after a quiet while."""
        waiting: list[_Place | None] = []
        try:
            waiting.append(self._places.get(timeout=self._settings.idle))
            while len(waiting) < self._settings.batch_size:
                waiting.append(self._places.get_nowait())
        except queue.Empty:
            pass
        return [place for place in waiting if place and place.answer.set_running_or_notify_cancel()]

    def _issue(self, batch: list[_Place]) -> None:
        """Take one batch the whole way; whatever goes wrong is told to those it concerns."""
        LANE_BATCH.observe(len(batch))
        try:
            self._require_hsm()
            self._outcomes.store_intents([place.entry for place in batch])
        except BrokenRule as error:
            self._one_by_one(batch, error)
            return
        except CaError as error:
            _fail(batch, error)
            return
        signed = [(place, done) for place in batch if (done := self._sign(place)) is not None]
        if not signed:
            return
        answers = self._outcomes.store_certificates([done for _, done in signed])
        for (place, _), answer in zip(signed, answers, strict=True):
            if isinstance(answer, CaError):
                place.answer.set_exception(answer)
            else:
                place.answer.set_result(answer)

    def _one_by_one(self, batch: list[_Place], error: BrokenRule) -> None:
        """One bad entry must not spoil the others' commit."""
        if len(batch) == 1:
            batch[0].answer.set_exception(error)
            return
        for place in batch:
            self._issue([place])

    def _sign(self, place: _Place) -> Signed | None:
        """THE use of a CA key: exactly the bytes of the stored intent, verified by the door."""
        intent = place.entry.intent
        try:
            self._require_hsm()
            signer = (self._signers or {})[intent.authority_id]
            started = time.perf_counter()
            signature = signer.sign(intent.tbs, SignatureAlgorithm(intent.signature_algorithm))
        except (HsmUnavailable, HsmRefused) as error:
            log.warning("hsm.lost", authority=intent.authority_id, reason=error.detail)
            HSM_OPERATIONS.labels(intent.authority_id, error.kind).inc()
            self._trouble = error
            place.answer.set_exception(_towards_client(error))
            return None
        except CaError as error:
            place.answer.set_exception(error)
            return None
        except KeyError:
            place.answer.set_exception(
                CaError(Kind.UNAVAILABLE, f"no key of authority {intent.authority_id} here", retry_after=60)
            )
            return None
        HSM_OPERATIONS.labels(intent.authority_id, "success").inc()
        HSM_SIGN_SECONDS.labels(intent.authority_id).observe(time.perf_counter() - started)
        return Signed(place.entry, signature)

    def _look_around(self) -> None:
        """Get a lost HSM back, then settle what was left behind.

        A token that refused to be opened (wrong PIN) is not asked again, so that it never locks.
        """
        refused_at_opening = self._signers is None and isinstance(self._trouble, HsmRefused)
        if self._trouble is not None and not refused_at_opening:
            self._trouble = self._reopen()
        HSM_UP.labels("issue").set(self._trouble is None)
        if self._trouble is None:
            self._settle()

    def _reopen(self) -> HsmUnavailable | HsmRefused | None:
        try:
            if self._signers is None:
                self._signers = self._source.open()
            for signer in self._signers.values():
                check(signer)
        except (HsmUnavailable, HsmRefused) as error:
            self._tell(error)
            return error
        except CaError as error:
            # The PIN cannot be read, or the database does not say which keys there are.
            self._tell(error)
            return HsmUnavailable(error.detail)
        self._told = ""
        log.info("hsm.ready", authorities=sorted(self._signers))
        return None

    def _tell(self, error: CaError) -> None:
        """Log why there is no HSM, once a reason and not once a second."""
        if error.detail != self._told:
            log.warning("hsm.away", reason=error.detail, rule_ids=error.rule_ids)
            self._told = error.detail

    def _settle(self) -> None:
        try:
            entries = self._recovery.open_entries()
        except CaError as error:
            log.warning("recovery.postponed", reason=error.detail)
            return
        for entry in entries:
            if entry.intent.authority_id in (self._signers or {}):
                place = _Place(entry)
                self._take([place], partial(self._issue, [place]))


def _ended() -> CaError:
    return CaError(Kind.UNAVAILABLE, "the signing lane has ended", retry_after=5)


def _fail(batch: list[_Place], error: CaError) -> None:
    for place in batch:
        if not place.answer.done():
            place.answer.set_exception(error)


def _towards_client(error: HsmUnavailable | HsmRefused) -> CaError:
    """A refusing token is for the operator to mend; the client is told to come back."""
    retry_after = error.retry_after or REFUSED_RETRY_AFTER
    return CaError(Kind.UNAVAILABLE, "the HSM does not sign at the moment", retry_after=retry_after)
