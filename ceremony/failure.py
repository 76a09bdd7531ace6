"""How bad a stop is: the four classes that tell the people what to do next."""

from __future__ import annotations

from enum import StrEnum

from ca_server.core.errors import CaError


class Failure(StrEnum):
    """What a step that stops leaves behind."""

    NOTHING_DONE = "F0"
    UNCERTAIN = "F1"
    WRONG_PRODUCT = "F2"
    INTEGRITY = "F3"


ADVICE = {
    Failure.NOTHING_DONE: "This step did nothing in any token. Mend the cause and resume, or abort.",
    Failure.UNCERTAIN: "It is open whether the token did its work. Resume: the token is asked, not guessed.",
    Failure.WRONG_PRODUCT: "Something was made that must not be used. Keep it, write it down, revoke it.",
    Failure.INTEGRITY: "Stop, seal the room, and treat it as an incident; only a full quorum can go on.",
}

# What shows that the room, its people or its papers are not what the script says.
_INTEGRITY_RULES = frozenset(
    {
        "CEREMONY-CLOCK",
        "CEREMONY-DISTINCT-ROLES",
        "CEREMONY-FILE-CHANGED",
        "CEREMONY-FILE-UNKNOWN",
        "CEREMONY-INVENTORY",
        "CEREMONY-QUORUM",
        "CEREMONY-SCRIPT-CHANGED",
        "CEREMONY-SHARE-SET",
        "CEREMONY-TBS-CHANGED",
        "CEREMONY-TBS-SCRIPT",
        "CEREMONY-TOKEN-BINDING",
    }
)


class Stopped(Exception):
    """A step failed in a way whose class is known better at the step than from its rules."""

    def __init__(self, failure: Failure, error: CaError) -> None:
        super().__init__(error.detail)
        self.failure = failure
        self.error = error


def failure_of(error: CaError, *, effect_open: bool) -> Failure:
    """The class of an error; `effect_open` says that a token was asked for something and did not answer."""
    if effect_open:
        return Failure.UNCERTAIN
    if _INTEGRITY_RULES & set(error.rule_ids):
        return Failure.INTEGRITY
    return Failure.NOTHING_DONE
