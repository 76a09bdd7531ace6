"""A session with one token that heals: lost, it is opened again, and the call is made once more.

A token that was away leaves the process with handles that never work again and with searches that find
nothing, even after it is back; only a restart of the module heals that. So a failed call restarts the
module, opens a session, logs in and is made once more; and that there is no such key is believed only of a
session that is known to be fresh.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from ca_server.hsm.faults import Fault, KeyAbsent, OutcomeOpen, TokenRefused
from ca_server.hsm.library import library_for
from ca_server.hsm.objects import Session
from ca_server.hsm.port import HsmRefused, HsmUnavailable, SignatureUnknown
from ca_server.hsm.settings import TokenSettings

_log = logging.getLogger(__name__)
_Answer = TypeVar("_Answer")

# Seconds between two looks at a token that is away; calls in between fail at once.
_PROBE_INTERVAL = 1.0
# Starts of the module in one look; the caller waits meanwhile.
_PROBE_TRIES = 2


class Connection:
    """A logged-in session with one token; it belongs to the thread and the process that built it.

    Raises, when built, what `pkcs11.open_token` raises.
    """

    def __init__(self, settings: TokenSettings) -> None:
        self.label = settings.token
        self._module = settings.module
        self._pin = settings.pin.read()
        self._library = library_for(self._module)
        try:
            self._session: Session | None = self._library.connect(self.label, self._pin, restart=False)
        finally:
            self._library.close_when_idle()
        self._generation = self._library.generation
        self._retry_at = 0.0
        self._refusal: str | None = None
        self._closed = False

    def session(self) -> Session:
        """The session, opened again if it was lost or if the module was restarted for another token.

        Raises:
            HsmUnavailable: the token is away; it is looked for at most once a second.
            HsmRefused: the token refused the PIN, now or at an earlier call.
            RuntimeError: another thread or process calls, or the connection is closed.
        """
        self._library.check_caller()
        if self._closed:
            raise RuntimeError(f"the token {self.label} was closed")
        if self._session is None or self._generation != self._library.generation:
            self._session = None
            self._session = self._reopen()
        return self._session

    def run(self, call: Callable[[Session], _Answer], *, signs: bool = False) -> _Answer:
        """Make a call; where the session was lost, reopen it and make the call once more.

        `signs` marks a call that may not be made again while it is open whether it did its work.

        Raises:
            HsmUnavailable: the token is away, or fails a second time.
            HsmRefused: the token will not, or has no such key.
            SignatureUnknown: `signs` is set, and it is open what the token did.
        """
        for _ in range(2):
            session = self.session()
            try:
                return call(session)
            except TokenRefused as error:
                raise HsmRefused(f"the token {self.label} refused ({error})") from error
            except Fault as error:
                self.lose(error)
                fault = error
            if signs and isinstance(fault, OutcomeOpen):
                raise SignatureUnknown(f"{self.label}: {fault}") from fault
        if isinstance(fault, KeyAbsent):
            raise HsmRefused(f"the token {self.label} has no key {fault}") from fault
        self._retry_at = time.monotonic() + _PROBE_INTERVAL
        raise HsmUnavailable(f"the token {self.label} fails ({fault})", retry_after=1) from fault

    def renew(self) -> None:
        """Start from a fresh session, in which a search that finds nothing is to be believed."""
        self.session()
        self._session = None

    def lose(self, fault: Fault) -> None:
        """Forget the session after a fault; the next call reopens it."""
        _log.warning("hsm.session_lost token=%s fault=%s", self.label, fault)
        self._session = None

    def close(self) -> None:
        """Log out and let the token go; a second time does nothing."""
        self._library.check_caller()
        if self._session is not None:
            self._library.release(self.label, self._session, self._generation)
        self._session = None
        self._closed = True

    def _reopen(self) -> Session:
        if self._refusal is not None:
            # A PIN is tried once: tried again and again it would lock the token.
            raise HsmRefused(self._refusal)
        if time.monotonic() < self._retry_at:
            raise HsmUnavailable(f"the token {self.label} is away", retry_after=1)
        self._library = library_for(self._module)
        # In the generation that lost the session only a restart helps; where there is a later one, another
        # token of the module has already restarted it.
        restart = self._generation == self._library.generation
        try:
            session = self._library.connect(self.label, self._pin, restart=restart, tries=_PROBE_TRIES)
        except HsmRefused as error:
            self._refusal = error.detail
            raise
        except HsmUnavailable as error:
            self._retry_at = time.monotonic() + _PROBE_INTERVAL
            _log.warning("hsm.token_away token=%s detail=%s", self.label, error.detail)
            raise HsmUnavailable(f"the token {self.label} is away", retry_after=1) from error
        finally:
            self._generation = self._library.generation
        _log.info("hsm.session_opened token=%s", self.label)
        return session
