"""A new roster: what it changes, and proof that whoever is new in it holds the keys that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from ca_server.core.ceremony.demands import RoleName, check_roles
from ca_server.core.ceremony.people import Signed, check_statement
from ca_server.core.ceremony.roster import Roster, Succession, allowed_signers, check_successor, parse_roster
from ca_server.core.ceremony.statement import Gate
from ca_server.core.ceremony.transcript import Event
from ca_server.core.errors import Kind, refuse
from ceremony.display import counted
from ceremony.fields import Slug
from ceremony.people import Deviated
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script

NEXT_SIGNERS = "evidence/next-allowed-signers"


class ProposeRoster(Verb):
    """Hold a new roster against the one in force; it becomes a paper that a gate approves."""

    effect = Effect.IDEMPOTENT
    do: Literal["roster.propose"]
    roster: Slug

    def reads(self) -> Iterator[Name]:
        """The new roster."""
        yield Name(Category.INPUT, self.roster, "roster")

    def makes(self) -> Iterator[Name]:
        """The paper."""
        yield Name(Category.FILE, self.roster, "roster")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"compare '{self.roster}' with the roster in force"

    def perform(self, room: Room) -> Done:
        """Compare them and show what changes.

        Raises:
            CaError: it is no successor (`CEREMONY-ROSTER-SUCCESSOR`), or cannot fill this script's roles.
        """
        data = room.read(f"inputs/{self.roster}")
        new = parse_roster(data)
        changes = check_successor(room.roster, new)
        check_roles(room.script.roles, new)
        for words in _in_words(changes):
            room.display.say(words)
        room.write(_paper(self.roster), data)
        room.write(NEXT_SIGNERS, allowed_signers(new, room.mode))
        result = {
            "sequence": new.sequence,
            "roster_sha256": new.sha256,
            "added_keys": [list(pair) for pair in changes.added_keys],
            "removed_keys": [list(pair) for pair in changes.removed_keys],
        }
        return Done(f"roster {new.sequence}: {len(changes.added_keys)} new keys", result)


class ProveRoster(Verb):
    """Everyone who is new signs over the new roster with each new key.

    Where as many persons of a group are replaced at once as make a quorum of it, everyone who comes into the
    group signs, with whatever key: the old side approves the roster, and the new side does so too.
    """

    effect = Effect.IDEMPOTENT
    do: Literal["roster.prove"]
    roster: Slug

    def reads(self) -> Iterator[Name]:
        """The paper."""
        yield Name(Category.FILE, self.roster, "roster")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"whoever is new in '{self.roster}' proves possession of every new key"

    def perform(self, room: Room) -> Done:
        """Collect the candidates' signatures; those that the transcript has count.

        Raises:
            CaError: somebody signs with another key than the new one (`CEREMONY-CANDIDATE`).
        """
        new = parse_roster(room.read(_paper(self.roster)))
        wanted = _wanted(room, new)
        for person, key in wanted:
            if not self._has_signed(room, person, key):
                self._collect(room, new, person, key)
        return Done(f"{counted(len(wanted), 'key')} proven", {"proven": [list(pair) for pair in wanted]})

    def _collect(self, room: Room, new: Roster, person: str, key: str) -> None:
        from ceremony.gates import Occasion, Subject, take_signature  # noqa: PLC0415 - needs no people to be read

        def check(text: bytes, signature: bytes) -> Signed:
            rosters = room.roster, room.folder.read
            signed = check_statement(text, signature, rosters, room.mode, room.clock.now())
            if signed.key_sha256 != key:
                detail = f"{person} signed with another key than the new one, SHA-256 {key}"
                raise refuse(Kind.FORBIDDEN, "CEREMONY-CANDIDATE", detail)
            return signed

        path = _paper(self.roster)
        occasion = Occasion(self.id, Gate.CANDIDATE, Subject(path, new.sha256))
        while True:
            try:
                room.display.say(f"{person} signs with the key of SHA-256 {key}")
                take_signature(room, occasion, (person, _role(room, new, person)), check)
            except Deviated as deviation:
                room.deviate(self.id, deviation)
                continue
            return

    def _has_signed(self, room: Room, person: str, key: str) -> bool:
        return any(
            (line.data["gate"], line.actor, line.data["key_sha256"]) == (Gate.CANDIDATE, person, key)
            for line in room.lines
            if line.event is Event.GATE and line.step == self.id
        )


def _paper(roster: str) -> str:
    return f"papers/{roster}.json"


def _wanted(room: Room, new: Roster) -> list[tuple[str, str]]:
    """Who must sign with which key: each new key, and newcomers of a group of which a quorum is replaced."""
    changes = check_successor(room.roster, new)
    wanted = list(changes.added_keys)
    for group in _overturned(room, changes.replaced):
        for person in set(new.groups.get(group, ())) - set(room.roster.groups[group]):
            if person not in {each for each, _ in wanted}:
                wanted.append((person, new.persons[person].keys[0].public_key.sha256))
    return sorted(wanted)


def _overturned(room: Room, replaced: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    for group, persons in replaced.items():
        quorums = [role.quorum for role in room.script.roles.values() if role.group == group]
        if quorums and len(persons) >= min(quorums):
            yield group


def _role(room: Room, new: Roster, person: str) -> RoleName:
    """What a candidate would be in this very script; who would be nothing in it signs as a custodian."""
    groups = {group for group, members in new.groups.items() if person in members}
    return next(
        (name for name, role in room.script.roles.items() if role.group in groups), RoleName.CUSTODIAN
    )


def _in_words(changes: Succession) -> Iterator[str]:
    yield f"persons who come: {', '.join(changes.added_persons) or 'none'}"
    yield f"persons who go: {', '.join(changes.removed_persons) or 'none'}"
    for person, key in changes.added_keys:
        yield f"new key of {person}: SHA-256 {key}"
    for person, key in changes.removed_keys:
        yield f"key of {person} that ends: SHA-256 {key}"
