"""The responder's composition root: configuration in, one process's application out, opened after fork."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime

from ca_server.hsm.pkcs11 import open_token
from ca_server.hsm.port import HsmUnavailable, KeyStore, SignatureUnknown
from ocsp_responder.app import Application
from ocsp_responder.config import ResponderConfig
from ocsp_responder.logs import configure_logs
from ocsp_responder.responder import AnswerSettings, Responder
from ocsp_responder.signer import Tokens, load_issuers
from ocsp_responder.signing_thread import SigningThread
from ocsp_responder.status import StatusReader

log = logging.getLogger(__name__)


class SystemClock:
    """The machine's clock, read here and nowhere else in this program."""

    def now(self) -> datetime:
        """Aware UTC, whole seconds."""
        return datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - the one clock


@dataclass(frozen=True, slots=True)
class Opened:
    """What a worker runs, and how it is put down when the worker stops."""

    application: Application
    close: Callable[[], None]


def open_application(config: ResponderConfig) -> Opened:
    """One worker's responder; its tokens are opened by the thread that signs, when first needed.

    Raises:
        CaError: a certificate that the configuration names is missing or not what it should be.
    """
    clock = SystemClock()
    configure_logs(clock)
    tokens = open_tokens(config)
    thread = SigningThread()
    issuers = tuple(thread.take(issuer) for issuer in load_issuers(config, tokens))
    reader = StatusReader(config.database.url)
    answers = AnswerSettings(config.answers.validity, config.database.max_staleness)
    responder = Responder(issuers, reader, clock, answers)
    application = Application(responder, issuers, clock, config.answers.max_age, _end_process)

    def close() -> None:
        reader.close()
        try:
            thread.call(tokens.close)
        finally:
            thread.close()

    return Opened(application, close)


def check_tokens(config: ResponderConfig) -> None:
    """Sign once with every key, in a process that ends after it: a PIN is tried once, not by each worker.

    A token that is away is no reason not to start.

    Raises:
        HsmRefused: a token refused its PIN, or has no such key; trying again could lock it.
        CaError: as `open_application`.
    """
    tokens = open_tokens(config)
    for issuer in load_issuers(config, tokens):
        try:
            issuer.check()
        except (HsmUnavailable, SignatureUnknown) as error:
            log.warning("key of %s: not ready: %s", issuer.authority_id, error)
    tokens.close()


def open_tokens(config: ResponderConfig) -> Tokens:
    """The tokens of a configuration, each opened when it is first needed."""
    settings = {token.label: token.settings() for token in config.token}

    def open_labelled(label: str) -> KeyStore:
        return open_token(settings[label])

    return Tokens(open_labelled)


def _end_process() -> None:
    """Ask our own worker to finish what it does and go; gunicorn starts another."""
    os.kill(os.getpid(), signal.SIGTERM)
