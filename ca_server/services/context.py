"""What every use case needs: the time, the database, this node's name, and a way to seal an event."""

from __future__ import annotations

import uuid
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
    entropy = uuid.uuid4().int
    value = (milliseconds & (1 << 48) - 1) << 80 | 0x7 << 76 | (entropy >> 116) << 64
    value |= 0b10 << 62 | entropy & (1 << 62) - 1
    return str(uuid.UUID(int=value))
