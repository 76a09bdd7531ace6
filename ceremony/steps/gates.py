"""The gates that a script can name: the opening, an approval, and the close."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.statement import Gate
from ceremony.documents import describe_bytes, description_path, document_path, read_document
from ceremony.fields import Slug
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

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
    """The officers sign a statement over the digest of the very bytes that a token will sign later."""

    do: Literal["gate.approve"]
    subject: Slug

    def reads(self) -> Iterator[Name]:
        """The document."""
        yield Name(Category.DOCUMENT, self.subject, "subject")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"officers compare and approve '{self.subject}'"

    def perform(self, room: Room) -> Done:
        """Show the document and its digest, and collect the signatures."""
        from ceremony.gates import Subject, hold_gate  # noqa: PLC0415 - as above

        path = document_path(self.subject)
        tbs = room.folder.read(path)
        digest = hashlib.sha256(tbs).hexdigest()
        document = read_document(room.folder.read(description_path(self.subject)))
        room.display.say(describe_bytes(document, tbs))
        room.display.show_digest(path, digest)
        hold_gate(room, self.id, Gate.APPROVE, self.sign_by, Subject(path, digest))
        return Done(f"approved: {path}", {"subject": path, "subject_sha256": digest})


class CloseGate(_Gate):
    """Everyone present signs what the ceremony comes to; the engine itself performs it, as the last step."""

    do: Literal["gate.close"]

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return "everyone present signs the closing statement"
