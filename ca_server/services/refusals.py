"""Writes down who was turned away, and does not let that be used to fill the log.

Every refusal is counted. One a minute for each source, principal and rule becomes an audit event, which
says how many like it were left out; a ceiling over all sources holds against many addresses at once.
"""

from __future__ import annotations

import ipaddress
import threading
from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta

from ca_server.core.audit.record import Actor
from ca_server.core.errors import CaError
from ca_server.core.roles import Action
from ca_server.services import metrics
from ca_server.services.context import Context

ANONYMOUS = Actor(id="anonymous", auth="none", role="none")

_INTERVAL = timedelta(minutes=1)
_EVENTS_PER_INTERVAL = 60
_REMEMBERED = 4096


@dataclass(slots=True)
class _Seen:
    """When a kind of refusal was last written down, and how many were not since."""

    at: datetime
    left_out: int = 0


class RefusalLog:
    """One a process; safe to use from several threads."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._lock = threading.Lock()
        self._seen: OrderedDict[tuple[str, str, str], _Seen] = OrderedDict()
        self._interval_start = context.clock.now()
        self._interval_events = 0
        self._left_out = 0

    def record(self, source: str, actor: Actor, action: Action, error: CaError) -> None:
        """Count a refusal, and make it an audit event unless it is one of many.

        `source` is the client's address; an IPv6 one counts with its whole /64, which is one subscriber's.

        Raises:
            CaError: unavailable, the log cannot be written.
        """
        for rule_id in error.rule_ids:
            metrics.REFUSED.labels(rule_id).inc()
        source = network_of(source)
        rule_ids = sorted(set(error.rule_ids))
        left_out = self._admit((source, actor.id, ",".join(rule_ids)))
        if left_out is None:
            return
        data = {"rule_ids": rule_ids, "action": action.value, "source": source, "left_out": left_out}
        with self._context.database.write() as unit:
            unit.commit(self._context.event("access.refused", actor, data, outcome="failure"))

    def _admit(self, key: tuple[str, str, str]) -> int | None:
        """How many refusals went unwritten before this one, or None when this one goes unwritten too."""
        now = self._context.clock.now()
        with self._lock:
            if now - self._interval_start >= _INTERVAL:
                self._interval_start, self._interval_events = now, 0
            seen = self._seen.get(key)
            if seen is not None and now - seen.at < _INTERVAL:
                seen.left_out += 1
                return None
            if self._interval_events >= _EVENTS_PER_INTERVAL:
                self._left_out += 1
                return None
            self._interval_events += 1
            left_out = (seen.left_out if seen else 0) + self._left_out
            self._left_out = 0
            self._seen[key] = _Seen(now)
            self._seen.move_to_end(key)
            while len(self._seen) > _REMEMBERED:
                self._left_out += self._seen.popitem(last=False)[1].left_out
            return left_out


def network_of(source: str) -> str:
    """An address as one client has it: IPv6 by its /64; whatever is no address counts as one source."""
    try:
        address = ipaddress.ip_address(source)
    except ValueError:
        return "unknown"
    if isinstance(address, ipaddress.IPv4Address):
        return str(address)
    if address.ipv4_mapped is not None:
        # A socket that takes both families shows IPv4 so; all of it lies in one /64.
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))
