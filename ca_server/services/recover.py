"""Settles what a crash or an outage left behind: every intent ends as done or as abandoned (ADR 0003)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

import structlog

from ca_server.core.acme.resources import Problem
from ca_server.core.audit.record import Actor
from ca_server.core.clock import to_epoch
from ca_server.services.context import Context, process_actor
from ca_server.services.outcome import LaneEntry, summarize
from ca_server.services.stored_intent import IntentCheck
from ca_server.store.issuance import (
    AlreadySettled,
    StoredIntent,
    abandon_intent,
    count_open,
    find_request_owner,
    open_intents,
)
from ca_server.store.orders import fail_order

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class RecoverySettings:
    """An intent younger than `grace` may be in somebody's hands; `batch` are looked at together."""

    grace: timedelta = timedelta(seconds=15)
    batch: int = 100


class LeftBehind:
    """Finds intents without outcome; the lane signs the identical TBS again."""

    def __init__(self, context: Context, check: IntentCheck, settings: RecoverySettings) -> None:
        self._context = context
        self._check = check
        self._settings = settings

    def open_entries(self) -> list[LaneEntry]:
        """Intents to sign, after those that must not be signed any more were abandoned.

        Raises:
            CaError: unavailable, the database is away.
        """
        now = self._context.clock.now()
        with self._context.database.read() as connection:
            found = open_intents(
                connection,
                created_before=to_epoch(now - self._settings.grace) + 1,
                limit=self._settings.batch,
            )
            owners = {each.request_id: find_request_owner(connection, each.request_id) for each in found}
        recovery = process_actor("recovery")
        entries = []
        for intent in found:
            if intent.authority_id not in self._check.issuers:
                continue
            if objection := self._check.objection(intent):
                self._abandon(intent, objection)
            else:
                entries.append(resume_entry(intent, recovery, *owners[intent.request_id]))
        return entries

    def _abandon(self, intent: StoredIntent, reason: str) -> None:
        event = self._context.event(
            "issue.abandoned",
            process_actor("recovery"),
            {
                "authority": intent.authority_id,
                "serial": intent.serial_number,
                "tbs_sha256": intent.tbs_sha256,
                "reason": reason,
            },
            ref=intent.event_id,
            outcome="failure",
        )
        try:
            with self._context.database.write() as unit:
                abandon_intent(unit, intent)
                fail_order(unit, intent.request_id, Problem("serverInternal", f"given up: {reason}"))
                unit.commit(event)
        except AlreadySettled:
            log.info("recovery.settled_by_another", serial=intent.serial_number)


def count_open_intents(context: Context) -> int:
    """How many intents have no outcome yet.

    Raises:
        CaError: unavailable, the database is away.
    """
    with context.database.read() as connection:
        return count_open(connection)


def resume_entry(intent: StoredIntent, actor: Actor, principal_id: str, protocol: str) -> LaneEntry:
    """A stored intent as the lane takes it."""
    return LaneEntry(intent, actor, principal_id, protocol, summarize(intent.tbs), new=None)
