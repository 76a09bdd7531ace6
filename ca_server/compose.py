"""The composition root: configuration in, running parts out. The one place that knows every room.

Everything that must not cross a fork (database, HSM, lane) is opened by the functions here, which a
process calls once it has become what it will be.
"""

from __future__ import annotations

import os
import secrets
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

import structlog

from ca_server.config import Config
from ca_server.core.acme.resources import PROTOCOL as ACME
from ca_server.core.audit.note import parse_verifier_key
from ca_server.core.authorization import Mint, SealCheck
from ca_server.core.est.resources import PROTOCOL as EST
from ca_server.hsm.pkcs11 import open_token
from ca_server.hsm.port import HsmRefused, KeyStore, Signer
from ca_server.hsm.uri import KeyUri
from ca_server.policy_store import PolicyStore
from ca_server.services.acme.challenge_checks import Prober
from ca_server.services.acme.external_accounts import forget_ended_keys
from ca_server.services.acme.limits import forget_full_buckets
from ca_server.services.acme.nonces import forget_old_nonces
from ca_server.services.acme.pausing import forget_old_failures
from ca_server.services.acme.validate import validate_once
from ca_server.services.context import Context
from ca_server.services.issue import Gate
from ca_server.services.issuers import Issuers, read_issuers
from ca_server.services.lane import Lane, LaneSettings
from ca_server.services.lint_issued import lint_issued
from ca_server.services.linting import LintMemory
from ca_server.services.outcome import Outcomes
from ca_server.services.pending import refuse_overdue
from ca_server.services.publish_crl import CrlSettings, publish_due_crls
from ca_server.services.recover import LeftBehind, RecoverySettings, count_open_intents
from ca_server.services.sequence import LogKey, check_anchor, sequence_all
from ca_server.services.startup import announce_start
from ca_server.services.stored_intent import IntentCheck
from ca_server.store.anchor import FileAnchor
from ca_server.store.authorities import list_authorities
from ca_server.store.engine import Database
from ca_server.store.migrate import require_current
from ca_server.store.nonces import open_nonce_store
from ca_server.validation import ValidationThreads
from ca_server.worker import Job, Worker

log = structlog.get_logger(__name__)

PROTOCOLS = (ACME, EST, "rest", "server")
READY_SECONDS = 30
EXIT_SIGNATURE_UNKNOWN = 70
POLL_SECONDS = 0.2
# Seconds of linting in every two: what was issued is checked in the end, and nothing else waits for it.
LINT_BUDGET = 0.3


class SystemClock:
    """The machine's clock, read here and nowhere else."""

    def now(self) -> datetime:
        """Aware UTC, whole seconds."""
        return datetime.now(UTC).replace(microsecond=0)  # noqa: TID251 - the one clock


def open_context(config: Config) -> Context:
    """The database with the schema that this software needs.

    Raises:
        CaError: unavailable; the database is away or has another schema.
    """
    database = Database(config.database.url)
    require_current(database)
    return Context(clock=SystemClock(), database=database, node=config.node)


@dataclass(frozen=True, slots=True)
class Issuance:
    """The gate of one process with its lane; `mints` are handed to the doors, one each."""

    context: Context
    policies: PolicyStore
    issuers: Issuers
    gate: Gate
    lane: Lane
    mints: Mapping[str, Mint]

    def close(self) -> None:
        """Let the lane finish, then let the database go."""
        self.lane.stop()
        self.context.database.close()


def open_issuance(config: Config, process: str, recovery: RecoverySettings | None = None) -> Issuance:
    """Everything that issues, with the lane running.

    Raises:
        CaError: the clock, the database, the log's anchor or a policy file forbids to start.
    """
    context = open_context(config)
    check_anchor(context, FileAnchor(config.audit.anchor))
    policies = open_policies(config)
    announce_start(context, process, policies)
    issuers = read_issuers(
        context, public_url=config.publication.public_url, ocsp_url=config.publication.ocsp_url
    )
    lane = Lane(
        Outcomes(context),
        AuthoritySigners(config, context),
        LeftBehind(context, IntentCheck(context, policies, issuers), recovery or RecoverySettings()),
        settings=LaneSettings(),
        die=_die,
    )
    keys = {protocol: secrets.token_bytes(32) for protocol in PROTOCOLS}
    gate = Gate(
        context,
        policies=policies,
        issuers=issuers,
        seals=SealCheck(keys),
        lints=LintMemory(),
        lane=lane,
    )
    lane.start()
    mints = {protocol: Mint(protocol, key) for protocol, key in keys.items()}
    return Issuance(context, policies, issuers, gate, lane, mints)


def open_policies(config: Config) -> PolicyStore:
    """The profiles in force.

    Raises:
        CaError: malformed; a policy file is not right.
    """
    return PolicyStore(config.policies.directory) if config.policies.directory else PolicyStore()


class Tokens:
    """The open tokens of one thread. A token that refused (wrong PIN) is never asked a second time."""

    def __init__(self, config: Config) -> None:
        self._settings = {each.label: each.settings() for each in config.token}
        self._open: dict[str, KeyStore] = {}
        self._refused: dict[str, HsmRefused] = {}

    def signer(self, uri_text: str) -> Signer:
        """The key that an RFC 7512 URI names.

        Raises:
            HsmUnavailable: the token is away.
            HsmRefused: the token is not configured, refused the PIN, or has no such key.
        """
        uri = KeyUri.parse(uri_text)
        label = uri.token or ""
        if label in self._refused:
            raise self._refused[label]
        if label not in self._open:
            if label not in self._settings:
                raise HsmRefused(f"the configuration has no token {label}")
            try:
                self._open[label] = open_token(self._settings[label])
            except HsmRefused as error:
                self._refused[label] = error
                raise
        return self._open[label].signer(label=uri.label, key_id=uri.key_id)

    def close(self) -> None:
        """Log out of every token."""
        for store in self._open.values():
            store.close()
        self._open.clear()


class LogKeySource:
    """Opens the audit log's key, and holds it against the verifier key that auditors were given."""

    def __init__(self, config: Config) -> None:
        self._audit = config.audit
        self._tokens = Tokens(config)

    def open(self) -> LogKey:
        """The log's name and key.

        Raises:
            HsmUnavailable: the token is away.
            HsmRefused: the token refused its PIN or lacks the key, or the key is not the configured one.
        """
        log_key = LogKey(parse_verifier_key(self._audit.vkey).name, self._tokens.signer(self._audit.key))
        if str(log_key.verifier_key) != self._audit.vkey:
            raise HsmRefused("the audit log's key is not the one that audit.vkey names")
        return log_key

    def close(self) -> None:
        """Log out."""
        self._tokens.close()


class AuthoritySigners:
    """Opens the keys of all active authorities, on the thread that will use them."""

    def __init__(self, config: Config, context: Context) -> None:
        self._config = config
        self._context = context
        self._tokens = Tokens(config)

    def open(self) -> Mapping[str, Signer]:
        """Authority id -> its key, of those that are active; see `services.lane.SignerSource`."""
        with self._context.database.read() as connection:
            authorities = list_authorities(connection)
        return {
            each.id: self._tokens.signer(each.key_uri)
            for each in authorities
            if each.key_uri and each.state == "active"
        }

    def close(self) -> None:
        """Log out of every token."""
        self._tokens.close()


def _die(reason: str) -> None:
    """End this process at once; the master starts another, whose recovery decides what was signed.

    At once, for a graceful stop would wait for the very call that hangs. Half a second lets those be
    answered who can be.
    """
    log.critical("process.ends", reason=reason)
    threading.Timer(0.5, os._exit, [EXIT_SIGNATURE_UNKNOWN]).start()


def settle_left_behind(config: Config) -> tuple[int, int]:
    """Settle every intent without outcome now; returns how many there were and how many are left.

    Raises:
        CaError: the HSM or database is away.
    """
    issuance = open_issuance(config, "recover", RecoverySettings(grace=timedelta()))
    context = issuance.context
    try:
        before = left = count_open_intents(context)
        issuance.lane.wait_until_ready(READY_SECONDS)
        deadline = time.monotonic() + READY_SECONDS
        while left and time.monotonic() < deadline:
            time.sleep(POLL_SECONDS)
            now_left = count_open_intents(context)
            # Whatever is settled shows that there is more to come.
            deadline = time.monotonic() + READY_SECONDS if now_left < left else deadline
            left = now_left
    finally:
        issuance.close()
    return before, left


def open_worker(config: Config) -> Worker:
    """The worker with its jobs; tokens are opened at the first beat that needs them.

    Raises:
        CaError: the clock, the database, the log's anchor or the configuration forbids to start.
    """
    context = open_context(config)
    anchor = FileAnchor(config.audit.anchor)
    check_anchor(context, anchor)
    announce_start(context, "worker")
    rules = open_policies(config).approvals
    crl = CrlSettings(config.crl.interval, config.crl.validity)
    source = AuthoritySigners(config, context)
    log_key = LogKeySource(config)
    leader = f"{config.node}:{os.getpid()}"
    validation = _open_validation(config, context)
    nonces = open_nonce_store(context.database) if config.acme is not None else None

    def close() -> None:
        validation.stop()
        log_key.close()
        source.close()
        if nonces is not None:
            nonces.close()
        context.database.close()

    jobs = [
        Job("publish-crls", 0.5, lambda: publish_due_crls(context, source.open(), crl)),
        Job("sequence", 1.0, lambda: sequence_all(context, log_key.open(), anchor, leader)),
        Job("lint-issued", 2.0, lambda: lint_issued(context, budget=LINT_BUDGET)),
        Job("refuse-overdue", 60.0, lambda: refuse_overdue(context, rules)),
    ]
    if config.acme is not None or config.est is not None:
        jobs.append(Job("forget-limits", 300.0, lambda: forget_full_buckets(context)))
    if nonces is not None:
        jobs.append(Job("forget-failures", 3600.0, lambda: forget_old_failures(context)))
        jobs.append(Job("forget-external-keys", 3600.0, lambda: forget_ended_keys(context)))
        jobs.append(Job("forget-nonces", 60.0, lambda: forget_old_nonces(context.clock, nonces)))
    validation.start()
    return Worker(jobs, close)


def _open_validation(config: Config, context: Context) -> ValidationThreads:
    """The threads that validate names; none without ACME."""
    settings = config.acme
    if settings is None:
        return ValidationThreads(lambda: False, 0)
    prober = Prober(settings, loopback=config.mode == "rehearsal")
    once = partial(validate_once, context, prober.check, settings)
    return ValidationThreads(once, settings.validation.threads)
