"""What whoever verifies a ceremony must know of its script; the room has the whole model of it."""

from __future__ import annotations

import tomllib
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ca_server.core.ceremony.demands import Role, RoleName
from ca_server.core.document import MAX_DOCUMENT_BYTES
from ca_server.core.errors import CaError, Kind, refuse

OPEN = "gate.open"
CLOSE = "gate.close"

_Slug = Annotated[str, Field(pattern=r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$")]
_Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
_RoleName = Annotated[RoleName, Field(strict=False)]


class _Facts(BaseModel):
    model_config = ConfigDict(extra="ignore", frozen=True, strict=True, hide_input_in_errors=True)


class RosterPin(_Facts):
    """The roster in force."""

    sha256: _Digest


class KeyFacts(_Facts):
    """A key of the script, as far as its protection goes."""

    label: Annotated[str, Field(max_length=256)]
    backup: Annotated[str, Field(max_length=16)] = "none"


class InputFacts(_Facts):
    """A file that is brought into the room, and its digest where the script pins it."""

    name: _Slug
    sha256: _Digest | None = None


class StepFacts(_Facts):
    """One step: its verb, who signs at it, and the document or paper that an approval is about."""

    id: _Slug
    do: Annotated[str, Field(max_length=64)]
    sign_by: Annotated[tuple[_RoleName, ...], Field(strict=False, max_length=len(RoleName))] = ()
    subject: Annotated[str, Field(max_length=64)] | None = None
    paper: Annotated[str, Field(max_length=64)] | None = None
    roster: Annotated[str, Field(max_length=64)] | None = None


class ScriptFacts(_Facts):
    """A script without profiles, devices and outputs."""

    id: _Slug
    kind: _Slug
    roster: RosterPin | None = None
    roles: dict[_RoleName, Role]
    keys: Annotated[dict[_Slug, KeyFacts], Field(max_length=64)] = Field(default_factory=dict)
    inputs: Annotated[tuple[InputFacts, ...], Field(strict=False, max_length=64)] = ()
    steps: Annotated[tuple[StepFacts, ...], Field(strict=False, min_length=1, max_length=1000)]


def parse_script_facts(data: bytes) -> ScriptFacts:
    """The facts of a script.

    Raises:
        CaError: malformed, `BUNDLE-SCRIPT`.
    """
    if len(data) > MAX_DOCUMENT_BYTES:
        raise _refused("the script in it is too large")
    try:
        script = ScriptFacts.model_validate(tomllib.loads(data.decode()))
    except (ValueError, RecursionError, ValidationError) as error:
        raise _refused("the script in it is not one") from error
    asked = {role for step in script.steps for role in step.sign_by}
    if not asked <= script.roles.keys() or len({step.id for step in script.steps}) != len(script.steps):
        raise _refused("a step of the script in it is there twice, or asks for a role that it does not have")
    verbs = [step.do for step in script.steps]
    gates = [step for step in script.steps if step.do in {OPEN, CLOSE}]
    if verbs.count(OPEN) != 1 or verbs.count(CLOSE) != 1 or verbs[-1] != CLOSE:
        raise _refused("the script in it does not have one opening, and one close at its end")
    if any(set(gate.sign_by) != script.roles.keys() for gate in gates):
        raise _refused("a role of the script in it does not sign opening and close")
    return script


def _refused(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "BUNDLE-SCRIPT", f"the bundle is refused: {detail}")
