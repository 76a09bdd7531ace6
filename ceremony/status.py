"""Where a ceremony stands, read off its folder; another process may be at it meanwhile."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from ca_server.core.ceremony.statement import Gate
from ca_server.core.ceremony.transcript import Event, Line, parse_transcript, whole_lines
from ca_server.core.errors import Kind, refuse
from ceremony.folder import TRANSCRIPT, Folder
from ceremony.opening import SCRIPT
from ceremony.plan import make_plan
from ceremony.state import done_steps, ended


def describe(directory: Path) -> str:
    """The state of the ceremony in a folder, in a few lines.

    Raises:
        CaError: not_found, `CEREMONY-DIRECTORY`, there is none; malformed, it is not as a ceremony writes it.
    """
    folder = Folder(directory.absolute())
    if not folder.has(TRANSCRIPT) or not folder.has(SCRIPT):
        raise refuse(Kind.NOT_FOUND, "CEREMONY-DIRECTORY", f"no ceremony was begun in {directory}")
    lines = parse_transcript(whole_lines(folder.read(TRANSCRIPT)))
    script = make_plan(folder.read(SCRIPT)).script
    done = done_steps(lines)
    todo = [step.id for step in script.steps if step.id not in done]
    outcome = ended(lines)
    head = lines[-1]
    words = [
        f"{script.id} ({script.kind}), {lines[0].data['mode']}: {outcome or standing(lines)}",
        f"{len(done)} of {len(script.steps) - 1} steps done before the close",
        f"transcript line {head.seq}, SHA-256 {head.digest}",
    ]
    if head.event is Event.STOPPED:
        words.append(f"stopped at {head.step} ({head.data['failure']}): {head.data['detail']}")
    if outcome is None:
        words.append(f"next: {todo[0]}; go on with: sealkeeper ceremony resume {directory}")
    return "\n".join(words)


def standing(lines: Sequence[Line]) -> str:
    """What a ceremony is called that has not ended."""
    last = next(
        line for line in reversed(lines) if line.event is not Event.GATE or line.data["gate"] != Gate.PAUSE
    )
    names = {Event.STOPPED: "stopped", Event.PAUSE: "suspended"}
    return names.get(last.event, "under way, or cut off")
