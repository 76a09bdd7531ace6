"""What the people in the room have approved so far, by the rules of those who will verify its bundle."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca_server.core.ceremony.script_facts import parse_script_facts
from ca_server.core.ceremony.signed_gates import Papers, check_gates
from ceremony.state import digests

if TYPE_CHECKING:
    from ceremony.room import Room


def approved_so_far(room: Room) -> frozenset[str]:
    """The digests that whole gates approved, once every statement and quorum until now holds.

    Raises:
        CaError: a statement says something else than its line, somebody else signed it, or a quorum lacks.
    """
    files = {name: room.folder.read(name) for name in digests(room.lines)}
    papers = Papers(parse_script_facts(room.source), room.roster, None, files)
    return frozenset(check_gates(room.lines, papers))
