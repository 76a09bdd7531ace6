"""Runs a plan: first in memory, then on the host's tokens, and lets go of the outputs at the very end."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from ca_server.core.bundle import REHEARSAL_PREFIX
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.signatures import default_algorithm
from ca_server.hsm.mechanisms import generation, signing
from ca_server.hsm.port import KeyStore, SignatureUnknown, TokenRecord
from ca_server.hsm.settings import TokenSettings
from ca_server.hsm.software import SoftwareKeyStore
from ceremony.bundle import make_bundle
from ceremony.display import Display
from ceremony.host import Host, check_host
from ceremony.outputs import check_outputs, release
from ceremony.plan import Plan
from ceremony.room import Room, Step, Token

OpenToken = Callable[[TokenSettings], KeyStore]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a ceremony left: the bundle, its digest to be read aloud, and the server's key."""

    bundle: Path
    sha256: str
    api_server_key: Path


def rehearse_in_memory(plan: Plan) -> bytes:
    """Make everything once with throw-away keys in memory, so that no lint or rule fails after a key is made.

    The bundle that comes of it is good for nothing but tests: its keys are gone.

    Raises:
        CaError: a step would fail.
    """
    stores = {
        alias: SoftwareKeyStore(REHEARSAL_PREFIX + alias, unprotected_keys=True)
        for alias in plan.script.tokens
    }
    room = Room({alias: Token(store, store.token()) for alias, store in stores.items()})
    for step in plan.steps:
        step.perform(room)
    return make_bundle(plan, "rehearsal", room)


def run_ceremony(plan: Plan, host: Host, open_token: OpenToken, display: Display) -> Outcome:
    """The whole ceremony: all checks, then all steps, then the outputs.

    Raises:
        CaError: it was refused before any effect, or stopped at a step; then nothing was released, and
            the words say what stays in which token and how to go on.
    """
    check_host(plan.script, host)
    check_outputs(host)
    rehearse_in_memory(plan)
    with open_room(plan, host, open_token) as room:
        display.show_tokens({alias: token.record for alias, token in room.tokens.items()})
        for number, step in enumerate(plan.steps, 1):
            with display.step(number, len(plan.steps), step) as result:
                result(_perform(step, room))
        return _let_go(plan, host, room)


@contextmanager
def open_room(plan: Plan, host: Host, open_token: OpenToken) -> Iterator[Room]:
    """The tokens of a plan, open and fit for it; they are closed again whatever happens.

    Raises:
        CaError: a token cannot be opened, may not be used in this mode, or holds a key in the place of one
            that the plan makes.
    """
    with ExitStack() as stack:
        tokens: dict[str, Token] = {}
        for alias in plan.script.tokens:
            store = open_token(host.tokens[alias].settings)
            stack.callback(store.close)
            tokens[alias] = Token(store, store.token())
            _require_real(tokens[alias].record, host)
        _require_mechanisms(plan, tokens)
        _require_unused(plan, tokens)
        yield Room(tokens)


def _require_real(token: TokenRecord, host: Host) -> None:
    device = f"{token.manufacturer} {token.model}".lower()
    software = "softhsm" in device or "software" in device
    if software and host.mode == "production" and not host.allow_software_token:
        raise refuse(
            Kind.POLICY_REFUSED,
            "CEREMONY-SOFTWARE-TOKEN",
            f"token '{token.label}' ({token.manufacturer} {token.model}) keeps its keys in files; "
            "a production ceremony refuses it unless the host file says allow_software_token = true",
        )


def _require_mechanisms(plan: Plan, tokens: Mapping[str, Token]) -> None:
    violations = []
    for step in plan.keys:
        token = tokens[step.token].record
        algorithm = default_algorithm(step.key_type)
        needed = {generation(step.key_type).mechanism, signing(step.key_type, algorithm).mechanism}
        for missing in sorted(needed - token.mechanisms):
            detail = f"token '{token.label}' has no {missing}, which a {step.key_type} key needs"
            violations.append(Violation("CEREMONY-MECHANISM", detail, f"/keys/{step.alias}/type"))
    if violations:
        detail = "nothing was begun: a token cannot make or use a key of the script"
        raise CaError(Kind.POLICY_REFUSED, detail, violations=tuple(violations))


def _require_unused(plan: Plan, tokens: Mapping[str, Token]) -> None:
    violations = []
    for step in plan.keys:
        for found in tokens[step.token].store.inventory():
            if found.label == step.label or found.key_id == step.key_id:
                place = tokens[step.token].record.label
                detail = f"token '{place}' holds a key '{found.label}' with id {found.key_id.hex()}"
                violations.append(Violation("CEREMONY-LABEL-USED", detail, f"/keys/{step.alias}"))
    if violations:
        detail = "this ceremony, or another with its labels, has been here. Nothing was changed. "
        raise CaError(Kind.CONFLICT, detail + _HOW_TO_GO_ON, violations=tuple(violations))


_HOW_TO_GO_ON = (
    "If an earlier run stopped half-way, destroy those keys with the token's own tool (such as "
    "pkcs11-tool --delete-object); else give the script a new id and new labels. Then run it again."
)


def _perform(step: Step, room: Room) -> str:
    try:
        return step.perform(room)
    except SignatureUnknown as error:
        raise _stopped(step.id, "the token may or may not have signed", room) from error
    except CaError as error:
        raise _stopped(step.id, error.detail, room, error) from error


def _let_go(plan: Plan, host: Host, room: Room) -> Outcome:
    if room.api_server_key is None:
        raise RuntimeError("the plan has no step that makes the server's key")
    try:
        data = make_bundle(plan, host.mode, room)
        release(host, room.api_server_key, data)
    except CaError as error:
        raise _stopped("export", error.detail, room, error) from error
    return Outcome(host.bundle, hashlib.sha256(data).hexdigest(), host.api_server_key)


def _stopped(step: str, detail: str, room: Room, error: CaError | None = None) -> CaError:
    made = ", ".join(f"'{key.entry.label}' in token '{key.entry.token.label}'" for key in room.keys.values())
    left = f"These keys were made and stay: {made}. {_HOW_TO_GO_ON}" if made else "No key was made."
    return CaError(
        error.kind if error else Kind.INTERNAL,
        f"the ceremony stopped at step {step}: {detail}. Nothing was released. {left}",
        violations=error.violations if error else (),
    )
