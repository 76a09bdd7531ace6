"""A compromise: an order to stop issuing, and a report of what was found and done."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from cryptography.hazmat.primitives.serialization import Encoding
from pydantic import Field

from ca_server.core.ceremony.transcript import Event
from ca_server.core.clock import to_text
from ceremony.fields import Slug
from ceremony.people import Question
from ceremony.steps.record import FORMS
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script

FREEZE_TITLE = "sealkeeper freeze order v1"
REPORT_TITLE = "sealkeeper incident report v1"


class FreezeIssuance(Verb):
    """Write the order by which the server's operators stop issuing, from the finding and what people say.

    The ceremony's machine has no network: the order is carried to the operators, who verify its signatures.
    """

    effect = Effect.IDEMPOTENT
    do: Literal["incident.freeze"]
    finding: Slug
    authorities: Annotated[tuple[Slug, ...], Field(strict=False, min_length=1, max_length=32)]

    def reads(self) -> Iterator[Name]:
        """The finding, and the certificates of the authorities, which are brought in."""
        yield Name(Category.INPUT, self.finding, "finding")
        for each in self.authorities:
            yield Name(Category.INPUT, each, "authorities")

    def makes(self) -> Iterator[Name]:
        """The order, named after the step."""
        yield Name(Category.FILE, self.id, "id")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"order that {', '.join(self.authorities)} stop issuing"

    def perform(self, room: Room) -> Done:
        """Ask when and by whom it was noticed, and write the order."""
        noticed = _ask(room, "noticed-at", "When was it noticed (UTC)?", "time")
        person = _ask(room, "noticed-by", "Who noticed it?", "text")
        incident = _ask(room, "incident", "Number of the incident", "number")
        lines = [
            FREEZE_TITLE,
            f"ceremony: {room.script.id}",
            f"mode: {room.mode}",
            f"time: {to_text(room.clock.now())}",
            f"incident: {incident}",
            f"noticed-at: {noticed}",
            f"noticed-by: {person}",
            f"finding-sha256: {hashlib.sha256(room.read(f'inputs/{self.finding}')).hexdigest()}",
            *(f"stop-issuing: {name} {_fingerprint(room, name)}" for name in self.authorities),
            "",
        ]
        digest = room.write(f"papers/{self.id}.txt", "\n".join(lines).encode())
        return Done(f"freeze order SHA-256 {digest}", {"order_sha256": digest, "incident": incident})


class ReportIncident(Verb):
    """Write what was found, what people put down, and what this ceremony made, as a paper to be approved."""

    effect = Effect.IDEMPOTENT
    do: Literal["incident.report"]
    finding: Slug

    def reads(self) -> Iterator[Name]:
        """The finding."""
        yield Name(Category.INPUT, self.finding, "finding")

    def makes(self) -> Iterator[Name]:
        """The report, named after the step."""
        yield Name(Category.FILE, self.id, "id")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return "write the incident report"

    def perform(self, room: Room) -> Done:
        """Ask for the cause and what is left to do, and put it together with the transcript's facts."""
        cause = _ask(room, "cause", "The cause, as far as it is known", "text")
        open_items = _ask(room, "open", "What is left to do, and whose it is", "text")
        lines = [
            REPORT_TITLE,
            f"ceremony: {room.script.id}",
            f"mode: {room.mode}",
            f"time: {to_text(room.clock.now())}",
            f"finding-sha256: {hashlib.sha256(room.read(f'inputs/{self.finding}')).hexdigest()}",
            f"cause: {cause}",
            f"open: {open_items}",
            *_facts(room),
            "",
        ]
        digest = room.write(f"papers/{self.id}.txt", "\n".join(lines).encode())
        return Done(f"incident report SHA-256 {digest}", {"report_sha256": digest})


def _ask(room: Room, name: str, words: str, form: str) -> str:
    return room.people.answer(Question(name, words, *FORMS[form]))


def _fingerprint(room: Room, name: str) -> str:
    """The SHA-256 of a certificate's DER, as every tool shows it."""
    return hashlib.sha256(room.certificate(f"inputs/{name}").public_bytes(Encoding.DER)).hexdigest()


def _facts(room: Room) -> Iterator[str]:
    """What steps before put down: people's answers, and files by digest."""
    for line in room.lines:
        if line.event is Event.DONE:
            answers = line.data["result"].get("facts", {})
            yield from (f"fact: {line.step} {name} {value}" for name, value in answers.items())
            yield from (f"file: {digest} {path}" for path, digest in sorted(line.data["files"].items()))
