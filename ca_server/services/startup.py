"""What every process does before it serves: look at the clock, and say in the log that it is there."""

from __future__ import annotations

import ca_server
from ca_server.core.clock import from_epoch, to_epoch, to_text
from ca_server.core.errors import CaError, Kind
from ca_server.policy_store import PolicyStore
from ca_server.services.context import Context, process_actor
from ca_server.store.audit import newest_event_time

# Nodes' clocks differ a little; more than this, and times in certificates cannot be believed.
MAX_CLOCK_LAG = 10


def announce_start(context: Context, process: str, policies: PolicyStore | None = None) -> None:
    """Refuse a clock that lags behind the log, then log the start of this process and its policies.

    Raises:
        CaError: unavailable, the clock is behind the last event (`CLOCK-BEHIND`) or the database is away.
    """
    now = context.clock.now()
    with context.database.read() as connection:
        newest = newest_event_time(connection)
    if newest is not None and to_epoch(now) < newest - MAX_CLOCK_LAG:
        raise CaError(
            Kind.UNAVAILABLE,
            f"the clock says {to_text(now)}, which is before the last event at "
            f"{to_text(from_epoch(newest))}: set the clock right [CLOCK-BEHIND]",
        )
    actor = process_actor(process)
    started = {"process": process, "version": ca_server.__version__}
    events = [context.event("software.started", actor, started)]
    if policies:
        profiles = {name: policies.profile(name).sha256 for name in sorted(policies.names)}
        events.append(context.event("policy.loaded", actor, {"profiles": profiles}))
    with context.database.write() as unit:
        unit.commit(*events)
