"""Who is in the room, as the transcript has it."""

from __future__ import annotations

from collections.abc import Iterable

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.statement import Gate
from ca_server.core.ceremony.transcript import Event, Line


def attendance(lines: Iterable[Line]) -> tuple[tuple[str, RoleName], ...]:
    """Who opened the ceremony, or resumed it last, and as what."""
    present: list[tuple[str, RoleName]] = []
    for line in lines:
        if line.event is Event.RESUME:
            present = []
        if line.event is Event.GATE and line.data["gate"] in {Gate.OPEN, Gate.RESUME}:
            present.append((line.data["person"], RoleName(line.data["role"])))
    return tuple(present)


def ever_present(lines: Iterable[Line]) -> tuple[tuple[str, RoleName], ...]:
    """Who opened or resumed it at any time, and as what: who must differ must do so over the whole of it."""
    return tuple(
        (line.data["person"], RoleName(line.data["role"]))
        for line in lines
        if line.event is Event.GATE and line.data["gate"] in {Gate.OPEN, Gate.RESUME}
    )
