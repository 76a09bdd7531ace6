"""What a transcript says of its ceremony: which steps are done, and whether and how it ended."""

from __future__ import annotations

from collections.abc import Iterable

from ca_server.core.ceremony.transcript import Event, Line, Outcome


def begun(lines: Iterable[Line], step: str) -> tuple[Line, ...]:
    """Every beginning of a step."""
    return tuple(line for line in lines if line.event is Event.BEGIN and line.step == step)


def done_steps(lines: Iterable[Line]) -> frozenset[str]:
    """The steps that were done."""
    return frozenset(line.step for line in lines if line.event is Event.DONE)


def unfinished(lines: Iterable[Line]) -> frozenset[str]:
    """The steps that were begun and not done, but for the one at hand."""
    lines = tuple(lines)
    last = next((line.step for line in reversed(lines) if line.event is Event.BEGIN), None)
    return frozenset(line.step for line in lines if line.event is Event.BEGIN) - done_steps(lines) - {last}


def ended(lines: Iterable[Line]) -> Outcome | None:
    """How it ended; None while it has not."""
    return next((Outcome(line.data["outcome"]) for line in lines if line.event is Event.END), None)


def digests(lines: Iterable[Line]) -> dict[str, str]:
    """Every file that the transcript names, with the newest digest that it gives."""
    found: dict[str, str] = {}
    for line in lines:
        if line.event is Event.OPENED:
            found |= {f"inputs/{name}": digest for name, digest in line.data["inputs"].items()}
            found |= {"script.toml": line.data["script_sha256"], "roster.json": line.data["roster_sha256"]}
        if line.event is Event.DONE:
            found |= line.data["files"]
        if line.event is Event.GATE:
            for part in ("statement", "signature"):
                found[line.data[part]] = line.data[f"{part}_sha256"]
    return found
