"""What every verb of a script is: its fields, what it reads and makes, and what it does in the room."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar

from ca_server.core.document import Strict
from ceremony.fields import Slug

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


class Effect(StrEnum):
    """What doing a step again would mean; the engine's way to resume follows from it."""

    PURE = "pure"
    """Only reads; done again freely."""
    IDEMPOTENT = "idempotent"
    """Done again it leaves the same."""
    ONCE = "once"
    """A token changes or signs: what an unfinished one left is looked for before anything is tried again."""
    SESSION = "session"
    """Holds for this process alone; done again at each resume although the transcript has it as done."""


class Category(StrEnum):
    """What a name in a script stands for."""

    HSM = "hsm"
    KEY = "key"
    PROFILE = "profile"
    INPUT = "input"
    DOCUMENT = "document"
    CERTIFICATE = "certificate"
    CRL = "crl"
    REQUEST = "request"
    SHARES = "shares"
    FILE = "file"


@dataclass(frozen=True, slots=True)
class Name:
    """A name that a step reads or makes, and the field where it stands."""

    category: Category
    name: str
    field: str


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a step: words for the people, and facts for the transcript (JSON values, no secret)."""

    words: str
    result: Mapping[str, Any] = field(default_factory=dict)


class Step(Strict, ABC):
    """A step of a script. A subclass names itself by a `do: Literal[...]` field."""

    effect: ClassVar[Effect] = Effect.PURE

    id: Slug
    do: str

    def reads(self) -> Iterator[Name]:
        """Names that the script's tables, or an earlier step, must have made."""
        yield from ()

    def makes(self) -> Iterator[Name]:
        """Names that later steps may read; each is made once."""
        yield from ()

    @abstractmethod
    def describe(self, script: Script) -> str:
        """What will happen, for the people in the room."""

    def signers(self) -> tuple[str, ...]:
        """The roles that sign at this step."""
        return ()


class Verb(Step):
    """A step that does something in the room; the close alone is none, as the engine itself performs it."""

    def intent(self, room: Room) -> Mapping[str, Any]:
        """What the transcript announces before the step begins; of a signature, its very input.

        Raises:
            CaError: the step cannot be done; nothing was.
        """
        del room
        return {}

    @abstractmethod
    def perform(self, room: Room) -> Done:
        """Do it. After a crash it is called again: a `once` step first looks for what it may have left.

        Raises:
            CaError: it was refused or could not be done.
            Stopped: so, and the class of the failure is known here.
            SignatureUnknown: the token may have signed.
        """
