"""One vendor library in this process: loaded once, started with retries, restarted after it lost a token.

PKCS#11 modules keep their state per process. All tokens of one module therefore share one
`C_Initialize`, and what brings a lost token back (`C_Finalize` + `C_Initialize`) takes every session of
the module with it: `generation` tells each holder of a session that it must open a new one.

python-pkcs11 initialises a module for one thread and yet releases the interpreter's lock in its calls,
so two threads crash it. Every entry therefore checks that it is the thread, and the process, that
opened the module.
"""

from __future__ import annotations

import hmac
import logging
import os
import secrets
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

import pkcs11
from pkcs11.attributes import AttributeMapper, handle_ulong

from ca_server.hsm.port import HsmRefused, HsmUnavailable

if TYPE_CHECKING:
    from pkcs11._pkcs11 import lib as Module  # noqa: N812  a class that its author named so

_log = logging.getLogger(__name__)

_libraries: dict[Path, Library] = {}
_generations = count(1)

# Two processes that start SoftHSM at the same moment disturb each other in one start of seven.
_START_PAUSES = (0.0, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64)

# Not among them: UserPinNotInitialized, which SoftHSM says now and then while another process starts it
# too; no PIN was tried then, so trying again locks nothing.
_PIN_REFUSALS = (
    pkcs11.PinIncorrect,
    pkcs11.PinInvalid,
    pkcs11.PinLenRange,
    pkcs11.PinExpired,
    pkcs11.PinLocked,
)


@dataclass(slots=True)
class _Login:
    """A logged-in session that is never used: closing the one that logged in logs the process out."""

    session: pkcs11.Session
    pin: str = field(repr=False)
    holders: int = 0


class Library:
    """A PKCS#11 module of this process; ask `library_for` for it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.generation = next(_generations)
        self._process = os.getpid()
        self._thread = threading.get_ident()
        self._logins: dict[str, _Login] = {}
        self._module = _load(path)

    def check_caller(self) -> None:
        """Refuse another process or thread than the one that loaded the module.

        Raises:
            RuntimeError: the caller is a fork's child or another thread; the call order is wrong.
        """
        if os.getpid() != self._process:
            raise RuntimeError(
                "a PKCS#11 module does not survive fork: open the token in the process that uses it"
            )
        if threading.get_ident() != self._thread:
            raise RuntimeError("a PKCS#11 module belongs to the thread that opened it")

    def connect(
        self, token: str, pin: str, *, restart: bool, tries: int = len(_START_PAUSES)
    ) -> pkcs11.Session:
        """A read-write session on a token that is logged in, once for the whole process.

        The first try uses the module as it is unless `restart` is set; each later try starts it anew.

        Raises:
            HsmRefused: the PIN is wrong or locked. It is tried once, so that no token is ever locked.
            HsmUnavailable: the token is not there, or the module does not start.
        """
        self.check_caller()
        failure: Exception | None = None
        for number, pause in enumerate(_START_PAUSES[:tries]):
            try:
                if restart or number or not self._module.initialized:
                    _pause(pause)
                    self._restart()
                return self._open(token, pin)
            except _PIN_REFUSALS as error:
                raise HsmRefused(f"the token {token} refused the PIN ({type(error).__name__})") from error
            except pkcs11.PKCS11Error as error:
                failure = error
        raise HsmUnavailable(self._absence(token)) from failure

    def release(self, token: str, session: pkcs11.Session, generation: int) -> None:
        """Close a session; a token's last one logs the process out, and the last of all ends the module."""
        self.check_caller()
        login = self._logins.get(token)
        if generation == self.generation and login is not None:
            _close_session(session)
            login.holders -= 1
            if not login.holders:
                del self._logins[token]
                _close_session(login.session)
        self.close_when_idle()

    def token_labels(self) -> tuple[str, ...]:
        """The labels of the initialised tokens that the module shows now."""
        self.check_caller()
        return tuple(sorted(token.label for token in self._tokens()))

    @contextmanager
    def alone(self) -> Iterator[tuple[pkcs11.Slot, ...]]:
        """The slots with a token, initialised or not, while this process has no session with any.

        The module is started anew before, since a login that failed leaves a session behind, and finalised
        after.

        Raises:
            HsmRefused: a token of the module is open in this process.
            HsmUnavailable: the module does not start.
        """
        self.check_caller()
        self._demand_closed(self._logins)
        try:
            self._start()
            yield tuple(self._module.get_slots(token_present=True))
        finally:
            self.close()

    @contextmanager
    def visit(
        self, token: str, *, user_pin: str | None = None, so_pin: str | None = None
    ) -> Iterator[pkcs11.Session]:
        """A session in which the user or the security officer alone is logged in, for a moment.

        Raises:
            HsmRefused: the token is open in this process, or refused the PIN, which is tried once.
            HsmUnavailable: the token is not there, or the module does not start.
        """
        self.check_caller()
        self._demand_closed(self._logins.keys() & {token})
        try:
            if not self._logins:
                self._start()
            try:
                session = self._named(token).open(
                    rw=True, user_pin=user_pin, so_pin=so_pin, attribute_mapper=_MAPPER
                )
            except _PIN_REFUSALS as error:
                raise HsmRefused(f"the token {token} refused the PIN ({type(error).__name__})") from error
            except pkcs11.NoSuchToken as error:
                raise HsmUnavailable(self._absence(token)) from error
            except pkcs11.PKCS11Error as error:
                raise HsmUnavailable(f"no session with the token {token} ({type(error).__name__})") from error
            try:
                yield session
            finally:
                _close_session(session)
        finally:
            self.close_when_idle()

    def close(self) -> None:
        """Finalise the module; every session and key handle of it ends here."""
        self.check_caller()
        # The one that another has taken the place of must not end its successor's sessions.
        if _libraries.get(self.path) is self:
            del _libraries[self.path]
            self._logins.clear()
            self.generation = next(_generations)
            _finalize(self._module)

    def close_when_idle(self) -> None:
        """Finalise the module if no token of it is open, so that another thread may open it anew."""
        if not self._logins:
            self.close()

    def _restart(self) -> None:
        self._logins.clear()
        self.generation = next(_generations)
        _finalize(self._module)
        self._module.initialize()

    def _start(self) -> None:
        """Start the module anew, with the same patience as `connect`."""
        failure: Exception | None = None
        for pause in _START_PAUSES:
            try:
                _pause(pause)
                self._restart()
            except pkcs11.PKCS11Error as error:
                failure = error
            else:
                return
        raise HsmUnavailable(f"the module {self.path.name} does not start") from failure

    def _demand_closed(self, opened: Collection[str]) -> None:
        if opened:
            raise HsmRefused(f"close {', '.join(sorted(opened))} first: this process is logged in")

    def _named(self, label: str) -> pkcs11.Token:
        found = [token for token in self._tokens() if token.label == label]
        if len(found) > 1:
            raise HsmRefused(f"{len(found)} tokens have the label {label}; it must name one")
        if not found:
            raise pkcs11.NoSuchToken(label)
        return found[0]

    def _open(self, label: str, pin: str) -> pkcs11.Session:
        found = self._named(label)
        login = self._logins.get(label)
        if login is None:
            login = _Login(found.open(rw=True, user_pin=pin, attribute_mapper=_MAPPER), pin)
            self._logins[label] = login
        elif not hmac.compare_digest(login.pin.encode(), pin.encode()):
            raise HsmRefused(f"the token {label} is open in this process with another PIN")
        session: pkcs11.Session = found.open(rw=True, attribute_mapper=_MAPPER)
        login.holders += 1
        return session

    def _tokens(self) -> Iterator[pkcs11.Token]:
        """Every initialised token; one that answers with an error does not hide the others."""
        for slot in self._module.get_slots(token_present=True):
            try:
                token = slot.get_token()
            except pkcs11.PKCS11Error as error:
                _log.warning("hsm.slot_unreadable slot=%d error=%s", slot.slot_id, type(error).__name__)
                continue
            if token.flags & pkcs11.TokenFlag.TOKEN_INITIALIZED:
                yield token

    def _absence(self, token: str) -> str:
        try:
            labels = ", ".join(self.token_labels())
        except pkcs11.PKCS11Error:
            labels = ""
        return (
            f"the token {token} cannot be opened through {self.path.name}; tokens there: {labels or 'none'}"
        )


def library_for(path: Path) -> Library:
    """The process's one `Library` of a module file, loaded when it is first asked for.

    Raises:
        HsmRefused: there is no such file, or it is not a PKCS#11 module.
        HsmUnavailable: the module does not start now, for want of its token or its peer.
        RuntimeError: another thread, or the process before a fork, opened it.
    """
    known = _libraries.get(path)
    if known is None:
        known = _libraries[path] = Library(path)
    known.check_caller()
    return known


def close_module(path: Path) -> None:
    """Finalise a module, with every token of it that is open in this process; no-op where it is not loaded.

    A process that ends need not call this. One that changes the module's configuration must, since the
    module reads it when it is initialised.
    """
    known = _libraries.get(path)
    if known is not None:
        known.close()


class _Mapper(AttributeMapper):
    """Reads what other people's tools wrote: labels that are not UTF-8, vendors' own key types."""

    def __init__(self) -> None:
        super().__init__()
        label, key_type = pkcs11.Attribute.LABEL, pkcs11.Attribute.KEY_TYPE
        self.register_handler(label, str.encode, lambda data: data.decode("utf-8", "replace"))
        self.register_handler(key_type, *handle_ulong)
        self.register_handler(pkcs11.Attribute.CLASS, *handle_ulong)


_MAPPER = _Mapper()


def _load(path: Path) -> Module:
    if not path.is_file():
        raise HsmRefused(
            f"there is no PKCS#11 module at {path}; "
            "SoftHSM's comes with the package softhsm2, other vendors ship theirs"
        )
    try:
        return pkcs11.lib(str(path))
    except pkcs11.PKCS11Error as error:
        if type(error) is pkcs11.PKCS11Error:  # the loader's own; what C_Initialize says is a subclass
            raise HsmRefused(f"{path} is not a PKCS#11 module that can be loaded") from error
        raise HsmUnavailable(f"the module {path} does not start ({type(error).__name__})") from error


def _finalize(module: Module) -> None:
    try:
        module.finalize()
    except pkcs11.PKCS11Error as error:
        # Somebody finalised it behind our back, or it is broken; the start that follows shows which.
        _log.info("hsm.finalize_failed error=%s", error)


def _close_session(session: pkcs11.Session) -> None:
    try:
        session.close()
    except pkcs11.PKCS11Error as error:
        _log.info("hsm.session_lost_before_close error=%s", type(error).__name__)


def _pause(seconds: float) -> None:
    """Wait, with jitter so that processes that failed together do not try together again."""
    if seconds:
        time.sleep(seconds + secrets.randbelow(1000) * seconds / 1000)
