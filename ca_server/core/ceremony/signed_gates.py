"""Whether everybody signed who had to: each statement as the transcript has it, each quorum whole."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ca_server.core.ceremony.closing import Closing
from ca_server.core.ceremony.demands import RoleName, check_persons, check_quorum
from ca_server.core.ceremony.grammar import COMPLETED
from ca_server.core.ceremony.people import check_statement
from ca_server.core.ceremony.roster import Mode, Roster
from ca_server.core.ceremony.script_facts import CLOSE, OPEN, ScriptFacts, StepFacts
from ca_server.core.ceremony.statement import NO_SUBJECT, Gate, Statement
from ca_server.core.ceremony.transcript import Event, Line
from ca_server.core.errors import CaError, Kind, refuse

_CLOSING = "closing.txt"
# What a gate's verb collects; other verbs name the gate in their lines.
_GATES = {OPEN: Gate.OPEN, "gate.approve": Gate.APPROVE}


@dataclass(frozen=True, slots=True)
class SignedGate:
    """A gate line whose statement and signature hold."""

    line: Line
    statement: Statement

    @property
    def signer(self) -> tuple[str, RoleName]:
        """Who, and as what."""
        return self.statement.person, self.statement.role


@dataclass(frozen=True, slots=True)
class Papers:
    """What statements are held against; `closing` is None while the ceremony still goes on."""

    script: ScriptFacts
    roster: Roster
    closing: Closing | None
    files: Mapping[str, bytes]


def check_gates(lines: Sequence[Line], papers: Papers) -> dict[str, int]:
    """What was approved: hex SHA-256 of a subject -> number of the line that ended the step of its approval.

    Line 0 says which ceremony it is, so it is compared with the script and the closing statement before.
    While a ceremony goes on it has no closing statement: what it has signed so far is judged, not its end.

    Raises:
        CaError: `CEREMONY-GATE`, `CEREMONY-QUORUM`, `CEREMONY-CLOSING`, or what is wrong with a statement,
            with its signature or its person.
    """
    room = _Room(papers, lines[0])
    approved: dict[str, int] = {}
    for line in lines:
        match line.event:
            case Event.GATE:
                room.sign(line)
            case Event.RESUME:
                room.resume()
            case Event.BEGIN:
                room.begin(line)
            case Event.DONE:
                step = next(each for each in papers.script.steps if each.id == line.step)
                for digest in room.done(step):
                    approved.setdefault(digest, line.seq)
            case _:
                pass
    if papers.closing is not None:
        room.close(papers.closing)
        _check_nothing_else(lines, papers, papers.closing)
    return approved


class _Room:
    """Who is there, and who has signed since the step at hand began."""

    def __init__(self, papers: Papers, opened: Line) -> None:
        self._papers = papers
        self._opened_with = opened
        self._present: list[tuple[str, RoleName]] = []
        self._gates: list[SignedGate] = []
        self._closed: list[SignedGate] = []
        self._nonces: set[str] = set()
        self._opening = next(each for each in papers.script.steps if each.do == OPEN)
        self._opened = False
        self._resuming = False

    def sign(self, line: Line) -> None:
        signed = _check_statement(line, self._papers, self._opened_with)
        statement = signed.statement
        if statement.nonce in self._nonces:
            raise _refuse("CEREMONY-GATE", line, "its nonce was used before")
        self._nonces.add(statement.nonce)
        if statement.gate in {Gate.OPEN, Gate.RESUME}:
            self._present.append(signed.signer)
            check_persons(self._present, self._papers.script.roles, self._papers.roster)
        elif statement.gate is Gate.CLOSE and not self._present:
            # Ended before anybody had opened it: whoever closes it must have been one who could.
            check_persons([signed.signer], self._papers.script.roles, self._papers.roster)
        elif statement.gate is not Gate.CANDIDATE and signed.signer not in self._present:
            raise _refuse(
                "CEREMONY-GATE", line, "who signed was not there at the opening or at the last resume"
            )
        if statement.gate is not Gate.CLOSE:
            self._gates.append(signed)
        elif self._papers.closing is not None and line.seq > self._papers.closing.head_sequence:
            self._closed.append(signed)

    def resume(self) -> None:
        """Everybody signs again, as the room may have changed."""
        self._resuming = self._opened
        self._present, self._gates = [], []

    def begin(self, line: Line) -> None:
        # Who never came back cannot sign: a ceremony is aborted without them, and does nothing more.
        if self._resuming and not self._is_abort(line):
            signed = [each.signer for each in self._gates if each.statement.gate is Gate.RESUME]
            check_quorum(self._papers.script.roles, signed, self._opening.sign_by)
        self._resuming = False
        self._gates = []

    def done(self, step: StepFacts) -> tuple[str, ...]:
        """The digests that this step's gate approved."""
        wanted = _GATES.get(step.do)
        gates = [each for each in self._gates if wanted in {None, each.statement.gate}]
        gates = [each for each in gates if each.statement.gate is not Gate.CANDIDATE]
        subjects = {(each.statement.subject, each.statement.subject_sha256) for each in gates}
        if not step.sign_by:
            return ()
        check_quorum(self._papers.script.roles, [each.signer for each in gates], step.sign_by)
        if len(subjects) != 1:
            raise _refuse(
                "CEREMONY-GATE", gates[0].line, "those who signed at this gate signed different things"
            )
        if step.do == OPEN:
            self._opened = True
        ((subject, digest),) = subjects
        named = step.subject or step.paper
        if wanted is Gate.APPROVE and named and not _is_named(subject, named):
            raise _refuse("CEREMONY-GATE", gates[0].line, f"the script has {named} approved here")
        return () if subject == NO_SUBJECT else (digest,)

    def close(self, closing: Closing) -> None:
        """All who are named as present signed the closing statement; of a whole ceremony, each quorum."""
        script = self._papers.script
        present = {(each.person, each.role) for each in closing.present}
        signers = [each.signer for each in self._closed]
        if not signers:
            raise _not_closed("nobody signed it")
        same = {(person, str(role)) for person, role in signers} == present and len(signers) == len(present)
        if not same and (self._present or present):
            raise _not_closed("those who are named as present, and no others, sign it once each")
        names = {each.id: each.name for each in self._papers.roster.persons.values()}
        if any(names.get(each.person) != each.name for each in closing.present):
            raise _not_closed("a person has another name in the roster")
        if closing.outcome in COMPLETED:
            if set(signers) != set(self._present):
                raise _not_closed("somebody who was there at the end did not sign it")
            asked = [role for step in script.steps if step.do == CLOSE for role in step.sign_by]
            check_quorum(script.roles, signers, asked)

    def _is_abort(self, line: Line) -> bool:
        intent = line.data.get("intent")
        outcome = intent.get("outcome") if isinstance(intent, dict) else None
        closes = any(step.do == CLOSE and step.id == line.step for step in self._papers.script.steps)
        return closes and outcome not in COMPLETED


def _is_named(path: str, document: str) -> bool:
    """Whether a path is that of a document of the script: its name, with whatever ending."""
    name = path.rpartition("/")[2]
    return name == document or name.startswith(f"{document}.")


def _check_statement(line: Line, papers: Papers, opened: Line) -> SignedGate:
    """The statement of a gate line, every word of it as the line and the ceremony have it."""
    data, closing = line.data, papers.closing
    text = _file(line, papers, "statement")
    signature = _file(line, papers, "signature")
    rosters = papers.roster, lambda path: papers.files.get(path, b"")
    mode: Mode = "production" if opened.data.get("mode") == "production" else "rehearsal"
    signed = check_statement(text, signature, rosters, mode, line.utc)
    statement = signed.statement
    said = (
        statement.ceremony,
        statement.kind,
        statement.script_sha256,
        statement.gate,
        statement.person,
        statement.role,
        statement.step,
        statement.person,
        statement.subject,
        statement.subject_sha256,
        statement.transcript_sequence,
        statement.transcript_sha256,
        statement.path(),
        f"{statement.path()}.sig",
        signed.key_sha256,
    )
    wanted = (
        opened.data.get("ceremony"),
        opened.data.get("kind"),
        opened.data.get("script_sha256"),
        data.get("gate"),
        data.get("person"),
        data.get("role"),
        line.step,
        line.actor,
        data.get("subject", statement.subject),
        data.get("subject_sha256", statement.subject_sha256),
        line.seq - 1,
        line.prev,
        data.get("statement"),
        data.get("signature"),
        data.get("key_sha256"),
    )
    if said != wanted:
        raise _refuse("CEREMONY-GATE", line, "the signed statement says something else than the transcript")
    if statement.time > line.utc:
        raise _refuse("CEREMONY-CLOCK", line, "the statement was signed after the transcript had it")
    if statement.gate is Gate.CLOSE and statement.subject != _CLOSING:
        raise _refuse("CEREMONY-GATE", line, "the close is not signed on the closing statement")
    # A close that was interrupted leaves signatures of a statement that another one took the place of.
    replaced = statement.gate is Gate.CLOSE and (closing is None or line.seq <= closing.head_sequence)
    if statement.subject != NO_SUBJECT and not replaced:
        subject = papers.files.get(statement.subject)
        if subject is None or hashlib.sha256(subject).hexdigest() != statement.subject_sha256:
            raise _refuse("CEREMONY-GATE", line, f"{statement.subject} is not there as it was signed")
    return SignedGate(line, statement)


def _file(line: Line, papers: Papers, part: str) -> bytes:
    path = line.data.get(part)
    data = papers.files.get(path) if isinstance(path, str) else None
    if data is None or hashlib.sha256(data).hexdigest() != line.data.get(f"{part}_sha256"):
        raise _refuse("CEREMONY-GATE", line, f"its {part} is not there, or another than the one it names")
    return data


def _check_nothing_else(lines: Sequence[Line], papers: Papers, closing: Closing) -> None:
    """What the closing statement cannot list, the transcript must name: its own signatures."""
    named = {
        line.data[part] for line in lines if line.event is Event.GATE for part in ("statement", "signature")
    }
    loose = {path for path in papers.files if path.startswith("gates/")} - named - closing.files.keys()
    if loose:
        raise _not_closed(f"{min(loose)} is neither in its list nor in the transcript")


def _refuse(rule_id: str, line: Line, detail: str) -> CaError:
    where = f"line {line.seq} of the transcript ({line.data.get('statement')})"
    return refuse(Kind.MALFORMED, rule_id, f"{where}: {detail}")


def _not_closed(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "CEREMONY-CLOSING", f"the closing statement does not hold: {detail}")
