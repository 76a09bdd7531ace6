"""What every use case needs: the time, the database, this node's name, and a way to seal an event."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from ca_server.core.audit.record import Actor, Event, make_event
from ca_server.core.authorization import Principal
from ca_server.core.clock import Clock
from ca_server.store.engine import Database


@dataclass(frozen=True, slots=True)
class Context:
    """Handed to services by the composition root; one a process."""

    clock: Clock
    database: Database
    node: str

    def event(
        self,
        kind: str,
        actor: Actor,
        data: dict[str, Any],
        *,
        ref: str | None = None,
        outcome: str = "success",
        event_id: str | None = None,
    ) -> Event:
        """Seal an event of now; see `core.audit.record.make_event`."""
        now = self.clock.now()
        return make_event(
            event_id=event_id or new_id(now),
            kind=kind,
            time=now,
            node=self.node,
            actor=actor,
            data=data,
            ref=ref,
            outcome=outcome,
        )


def actor_of(principal: Principal) -> Actor:
    """A principal as the audit log names it."""
    return Actor(id=principal.id, auth=principal.auth, role=principal.role)


def process_actor(name: str) -> Actor:
    """One of our own processes acting by itself: `worker`, `recovery`, `import`."""
    return Actor(id=f"process:{name}", auth="process", role="system")


def new_id(now: datetime) -> str:
    """A unique id that sorts by time (RFC 9562 §5.7), so that indexes grow at one end."""
    milliseconds = int(now.timestamp() * 1000)
    random_a, random_b = secrets.randbits(12), secrets.randbits(62)
    value = milliseconds << 80 | 0x7 << 76 | random_a << 64 | 0b10 << 62 | random_b
    digits = f"{value:032x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
