"""The gates that a script can name: the opening, an approval, and the close."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Field, model_validator

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.statement import Gate
from ca_server.core.document import broken
from ceremony.document_facts import describe_draft
from ceremony.documents import document_path
from ceremony.fields import Slug
from ceremony.papers import paper_path, show_paper
from ceremony.steps.lint import fit_to_sign
from ceremony.steps.verb import Category, Done, Effect, Name, Step, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script

Roles = Annotated[
    tuple[Annotated[RoleName, Field(strict=False)], ...], Field(strict=False, min_length=1, max_length=9)
]


class _Gate(Verb):
    effect = Effect.IDEMPOTENT
    sign_by: Roles

    def signers(self) -> tuple[str, ...]:
        """The roles that sign."""
        return self.sign_by


class OpenGate(_Gate):
    """Everyone who takes part signs that the ceremony begins, and is then held to be present."""

    do: Literal["gate.open"]

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return "everyone present signs the opening"

    def perform(self, room: Room) -> Done:
        """Collect the signatures."""
        from ceremony.gates import Subject, hold_gate  # noqa: PLC0415 - the script's model needs no people

        hold_gate(room, self.id, Gate.OPEN, self.sign_by, Subject())
        return Done("the ceremony is open")


class ApproveGate(_Gate):
    """The officers sign a statement over the digest of the very bytes that a token will sign later.

    Instead of such a `subject` they can approve a `paper`, that no token signs: a roster, a report.
    """

    do: Literal["gate.approve"]
    subject: Slug | None = None
    paper: Slug | None = None

    @model_validator(mode="after")
    def _one_thing(self) -> Self:
        if (self.subject is None) == (self.paper is None):
            raise broken("CEREMONY-GATE", "approve one thing: a subject or a paper")
        return self

    def reads(self) -> Iterator[Name]:
        """The document or the paper."""
        if self.subject is not None:
            yield Name(Category.DOCUMENT, self.subject, "subject")
        if self.paper is not None:
            yield Name(Category.FILE, self.paper, "paper")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"officers compare and approve '{self.subject or self.paper}'"

    def perform(self, room: Room) -> Done:
        """Show the document and its digest, and collect the signatures.

        Raises:
            CaError: nobody is asked to sign what is not the script's, or what lints object to.
        """
        from ceremony.gates import Subject, hold_gate  # noqa: PLC0415 - as above

        path, data = self._show(room)
        digest = hashlib.sha256(data).hexdigest()
        room.display.show_digest(path, digest)
        hold_gate(room, self.id, Gate.APPROVE, self.sign_by, Subject(path, digest))
        return Done(f"approved: {path}", {"subject": path, "subject_sha256": digest})

    def _show(self, room: Room) -> tuple[str, bytes]:
        """What is shown is what is approved: it is read once."""
        if self.paper is not None:
            path = paper_path(room.folder, self.paper)
            data = room.read(path)
            room.display.say(show_paper(path, data))
            return path, data
        name = self.subject or ""
        draft = fit_to_sign(room, name)
        room.display.say(describe_draft(room, name, draft))
        return document_path(name), draft.tbs


class CloseGate(Step):
    """Everyone present signs what the ceremony comes to; the engine itself performs it, as the last step."""

    effect = Effect.IDEMPOTENT
    do: Literal["gate.close"]
    sign_by: Roles

    def signers(self) -> tuple[str, ...]:
        """The roles that sign."""
        return self.sign_by

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return "everyone present signs the closing statement"
