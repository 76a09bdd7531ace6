"""Copies of destroyed keys: every backup and every share is accounted for, or the ceremony stops."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field

from ca_server.core.ceremony.transcript import Event
from ca_server.core.clock import to_text
from ca_server.core.errors import Kind, refuse
from ceremony.custody import parse_record
from ceremony.display import counted
from ceremony.failure import Failure, Stopped
from ceremony.fields import Slug
from ceremony.people import Question
from ceremony.steps.record import FORMS
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script

MISSING = "missing"
TITLE = "sealkeeper destruction certificate v1"
Inputs = Annotated[tuple[Slug, ...], Field(strict=False, max_length=16)]


class AccountForCopies(Verb):
    """Ask for each known copy how it was destroyed, and write the destruction certificate.

    A copy is a medium with a backup's blob, or a custodian's share; each is known by a photograph's SHA-256.
    """

    effect = Effect.IDEMPOTENT
    do: Literal["copies.account"]
    media: Annotated[tuple[Slug, ...], Field(strict=False, max_length=64)] = ()
    shares: Inputs = ()

    def reads(self) -> Iterator[Name]:
        """The records of the sets of shares."""
        for each in self.shares:
            yield Name(Category.INPUT, each, "shares")

    def makes(self) -> Iterator[Name]:
        """The certificate, named after the step."""
        yield Name(Category.FILE, self.id, "id")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"account for {len(self.media)} media and the shares of {counted(len(self.shares), 'set')}"

    def perform(self, room: Room) -> Done:
        """Ask, and write the certificate.

        Raises:
            Stopped: F3, `CEREMONY-COPY-MISSING`.
        """
        lines = [*_destroyed(room)]
        for medium in self.media:
            number = room.people.answer(_question(f"{medium}-number", f"Number of the medium {medium}"))
            lines.append(
                f"medium: {medium} {number} {_photo(room, medium, f'the destroyed medium {medium}')}"
            )
        for name in self.shares:
            record = parse_record(room.read(f"inputs/{name}"), f"inputs/{name}")
            for person, digest in record.shares.items():
                photo = _photo(room, f"{name}-{person}", f"the destroyed share of {person} in {record.set}")
                lines.append(f"share: {record.set} {person} {digest} {photo}")
        head = [
            TITLE,
            f"ceremony: {room.script.id}",
            f"mode: {room.mode}",
            f"script-sha256: {room.script_sha256}",
            f"time: {to_text(room.clock.now())}",
        ]
        digest = room.write(f"papers/{self.id}.txt", "\n".join([*head, *lines, ""]).encode())
        return Done(f"every known copy is accounted for, SHA-256 {digest}", {"certificate_sha256": digest})


def _destroyed(room: Room) -> Iterator[str]:
    """What the transcript has of keys and devices that ended."""
    for line in room.lines:
        if line.event is Event.EFFECT:
            yield from (
                f"{key}: {_words(line.data[key])}" for key in ("destroyed", "zeroised") if key in line.data
            )


def _words(facts: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in facts.items())


def _question(name: str, words: str) -> Question:
    return Question(name, words, *FORMS["number"])


def _photo(room: Room, name: str, what: str) -> str:
    """The SHA-256 of a photograph of what is destroyed."""
    words = f"SHA-256 of the photograph of {what}, or '{MISSING}' where nobody can show it"
    pattern, form, example = FORMS["sha256"]
    question = Question(f"{name}-photo", words, f"{pattern}|{MISSING}", f"{form}, or '{MISSING}'", example)
    answer = room.people.answer(question)
    if answer == MISSING:
        detail = f"{what} is not accounted for: somebody may hold it"
        raise Stopped(Failure.INTEGRITY, refuse(Kind.CONFLICT, "CEREMONY-COPY-MISSING", detail))
    return answer
