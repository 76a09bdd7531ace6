"""The whole verification of a bundle: that it holds, and that its people held to its script.

What certificates and keys of it are good for is `core.hierarchy`'s matter, which is called last.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cryptography import x509

from ca_server.core.bundle import ROSTER, SIGNERS, TRANSCRIPT, Bundle, bad_bundle, read_bundle
from ca_server.core.ceremony.demands import check_roles
from ca_server.core.ceremony.grammar import COMPLETED, check_grammar, check_opening
from ca_server.core.ceremony.products import check_inputs, check_products
from ca_server.core.ceremony.roster import Roster, allowed_signers, check_successor, parse_roster
from ca_server.core.ceremony.signed_gates import Papers, check_gates
from ca_server.core.ceremony.statement import parse_statement
from ca_server.core.ceremony.transcript import Event, Line, parse_transcript
from ca_server.core.hierarchy import Hierarchy, check_hierarchy


@dataclass(frozen=True, slots=True)
class VerifiedBundle:
    """A bundle that holds; of an aborted ceremony nothing may be installed, so it has no `hierarchy`."""

    bundle: Bundle
    roster: Roster
    lines: tuple[Line, ...]
    hierarchy: Hierarchy | None

    @property
    def head_sha256(self) -> str:
        """The digest of the transcript's last line."""
        return self.lines[-1].digest


def verify_bundle(data: bytes, known: Mapping[str, x509.Certificate] | None = None) -> VerifiedBundle:
    """The bundle in these bytes, once every digest, signature, quorum and chain in it holds.

    `known` are the receiver's own authorities by id; see `core.hierarchy.check_hierarchy`.

    Raises:
        CaError: the first rule that is broken, with the file or the line of the transcript where.
    """
    bundle = read_bundle(data)
    roster, lines = verify_ceremony(bundle)
    installable = bundle.closing.outcome in COMPLETED
    return VerifiedBundle(bundle, roster, lines, check_hierarchy(bundle, known) if installable else None)


def verify_ceremony(bundle: Bundle) -> tuple[Roster, tuple[Line, ...]]:
    """Its roster and transcript, once people signed as the script demands and keys did what they approved.

    Raises:
        CaError: the first rule that is broken, with the file or the line of the transcript where.
    """
    roster = _check_roster(bundle)
    check_roles(bundle.script.roles, roster)
    lines = parse_transcript(bundle.files[TRANSCRIPT])
    check_opening(lines[0], bundle.script, bundle.closing)
    check_inputs(lines[0], bundle)
    check_grammar(lines, bundle.script, bundle.closing)
    approved = check_gates(lines, Papers(bundle.script, roster, bundle.closing, bundle.files))
    check_products(lines, bundle, approved)
    _check_next_roster(bundle, roster, lines)
    return roster, lines


def _check_next_roster(bundle: Bundle, roster: Roster, lines: Sequence[Line]) -> None:
    """A new roster follows the one in force, and each new key in it signed over it."""
    done = {line.step for line in lines if line.event is Event.DONE}
    for step in bundle.script.steps:
        if step.do != "roster.prove" or step.id not in done:
            continue
        path = f"papers/{step.roster}.json"
        new = parse_roster(bundle.files.get(path, b""))
        candidates = [line for line in lines if line.event is Event.GATE and line.step == step.id]
        proven = {
            (line.actor, line.data["key_sha256"])
            for line in candidates
            if parse_statement(bundle.files[line.data["statement"]]).subject == path
        }
        for person, _ in sorted(set(check_successor(roster, new).added_keys) - proven):
            raise bad_bundle("CEREMONY-CANDIDATE", f"{person} has not proven possession of a new key")


def _check_roster(bundle: Bundle) -> Roster:
    roster = parse_roster(bundle.files[ROSTER])
    pin = bundle.script.roster
    if pin is None and bundle.closing.mode == "production":
        raise bad_bundle(
            "CEREMONY-ROSTER-UNPINNED", "the script of a production ceremony does not pin a roster"
        )
    if roster.sha256 != bundle.closing.roster_sha256 or (pin is not None and pin.sha256 != roster.sha256):
        raise bad_bundle("CEREMONY-ROSTER", "roster.json is another than script or closing statement say")
    if bundle.files[SIGNERS] != allowed_signers(roster, bundle.closing.mode):
        raise bad_bundle("BUNDLE-SIGNERS", f"{SIGNERS} is not what the roster comes to")
    return roster
