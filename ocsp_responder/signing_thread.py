"""The one thread of a process that opens and uses its tokens, since python-pkcs11 is not thread-safe.

Clients are served by many threads; what needs no signature never comes here.
"""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from typing import Any

from ca_server.hsm.port import HsmUnavailable, SignatureUnknown
from ocsp_responder.signer import Issuer

QUEUE_SECONDS = 5.0
CALL_SECONDS = 20.0


class SigningThread:
    """Does one thing after the other, and does not let anybody wait for ever."""

    def __init__(self, queue_seconds: float = QUEUE_SECONDS, call_seconds: float = CALL_SECONDS) -> None:
        self._queue_seconds = queue_seconds
        self._call_seconds = call_seconds
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="signing")

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """What the function returns or raises, called by this thread.

        Raises:
            HsmUnavailable: too many wait for the token; the function was not called.
            SignatureUnknown: the token does not answer; the process must end.
        """
        future = self._executor.submit(function, *arguments)
        try:
            return future.result(self._queue_seconds)
        except TimeoutError as error:
            if future.cancel():
                raise HsmUnavailable("too many wait for the token", retry_after=1) from error
        try:
            return future.result(self._call_seconds)
        except TimeoutError as error:
            raise SignatureUnknown("the token does not answer") from error

    def take(self, issuer: Issuer) -> Issuer:
        """The same issuer, its key used by this thread whoever asks."""
        signer = replace(issuer.signer, sign=partial(self.call, issuer.signer.sign))
        return replace(issuer, signer=signer, check=partial(self.call, issuer.check))

    def close(self) -> None:
        """Take nothing more."""
        self._executor.shutdown(wait=False, cancel_futures=True)
