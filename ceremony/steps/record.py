"""What only people can see: numbers of bags and safes, digests of photographs and recordings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ca_server.core.document import Strict
from ceremony.display import counted
from ceremony.fields import Slug, Words
from ceremony.people import Question
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script

# Form of an answer -> its pattern, the same in words, and an example.
FORMS = {
    "number": (
        r"[A-Za-z0-9][A-Za-z0-9 ./_-]{0,63}",
        "up to 64 letters, digits, blanks, . _ / or -, and a letter or digit first",
        "A-0042",
    ),
    "sha256": (r"[0-9a-f]{64}", "64 hexadecimal digits, a to f in small letters", "0" * 64),
    "yes": (r"yes", "yes", "yes"),
    "time": (
        r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z",
        "YYYY-MM-DDTHH:MM:SSZ",
        "2027-03-01T12:00:00Z",
    ),
    "text": (r"[ -~]{1,256}", "up to 256 letters, digits and signs of ASCII", "as in the script"),
}


class Fact(Strict):
    """One thing to be written down, and the form that it has."""

    name: Slug
    ask: Words
    form: Literal["number", "sha256", "yes", "time", "text"] = "text"

    def question(self) -> Question:
        """As people are asked."""
        return Question(self.name, self.ask, *FORMS[self.form])


class Record(Verb):
    """Ask the people, and keep what they answer in the file `evidence/STEP.json`."""

    effect = Effect.IDEMPOTENT
    do: Literal["record"]
    facts: Annotated[tuple[Fact, ...], Field(strict=False, min_length=1, max_length=64)]

    def makes(self) -> Iterator[Name]:
        """The answers, which a later step may read."""
        yield Name(Category.FILE, self.id, "id")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"write down {', '.join(each.name for each in self.facts)}"

    def perform(self, room: Room) -> Done:
        """Ask one after the other."""
        answers = {each.name: room.people.answer(each.question()) for each in self.facts}
        room.write_json(f"evidence/{self.id}.json", answers)
        return Done(f"{counted(len(answers), 'fact')} written down", {"facts": answers})
