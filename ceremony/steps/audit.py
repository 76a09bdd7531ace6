"""Looking at shares without joining them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from ca_server.core.errors import Kind, refuse
from ceremony.attendance import attendance
from ceremony.custody import ask_share, parse_record
from ceremony.fields import Slug
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


class AuditShares(Verb):
    """Compare the SHA-256 of every custodian's share with the record of the set; nothing is joined."""

    effect = Effect.IDEMPOTENT
    do: Literal["share.audit"]
    shares: Slug

    def reads(self) -> Iterator[Name]:
        """The record of the set, which is brought in under the set's name."""
        yield Name(Category.INPUT, self.shares, "shares")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"every custodian types their share of '{self.shares}', which is compared by its digest"

    def perform(self, room: Room) -> Done:
        """Ask for one share after the other.

        Raises:
            CaError: `CEREMONY-SHARE-CUSTODIAN`, a custodian of the record is not here; `CEREMONY-SHARE`, a
                word is wrong; `CEREMONY-SHARE-SET`, it is another share than the one that was handed over.
        """
        name = f"inputs/{self.shares}"
        record = parse_record(room.read(name), name)
        here = {person for person, _ in attendance(room.lines)}
        absent = sorted(record.shares.keys() - here)
        if absent:
            detail = f"{', '.join(absent)} has a share of '{record.set}' and did not sign to be here"
            raise refuse(Kind.FORBIDDEN, "CEREMONY-SHARE-CUSTODIAN", detail)
        for person in record.shares:
            ask_share(room, person, record.set, record)
            room.display.say(f"{person} has the share that was handed over")
        result = {"set": record.set, "identifier": record.identifier, "shares": dict(record.shares)}
        room.write_json(f"evidence/{self.id}.json", result)
        return Done(f"all {len(record.shares)} shares are there", result)
