"""Whether a script holds together: every name leads somewhere, and nothing is signed unseen."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from ca_server.core.ceremony.statement import Gate
from ca_server.core.document import refuse_all
from ca_server.core.errors import Violation
from ceremony.kinds import check_kind
from ceremony.references import check_references
from ceremony.script import Script, parse_script
from ceremony.steps.gates import ApproveGate, CloseGate, OpenGate
from ceremony.steps.lint import Lint
from ceremony.steps.sign import Sign
from ceremony.steps.verb import Category, Name, Step


@dataclass(frozen=True, slots=True)
class Plan:
    """A checked script; the digest is of the bytes that the officers read."""

    source: bytes
    script: Script

    @property
    def sha256(self) -> str:
        """The script's digest, to be compared before the ceremony begins."""
        return hashlib.sha256(self.source).hexdigest()


def make_plan(source: bytes) -> Plan:
    """The plan of a script.

    Raises:
        CaError: malformed, one `CEREMONY-…` rule for each thing that is wrong.
    """
    script = parse_script(source)
    violations = (
        *_ids(script),
        *_order(script),
        *_names(script),
        *_roles(script),
        *check_kind(script),
        *check_references(script),
    )
    if violations:
        raise refuse_all("script", tuple(violations))
    return Plan(source, script)


def _ids(script: Script) -> Iterator[Violation]:
    seen: set[str] = set()
    for index, step in enumerate(script.steps):
        if step.id in seen:
            yield Violation("CEREMONY-ID-REPEATED", f"two steps are called '{step.id}'", f"/steps/{index}/id")
        seen.add(step.id)
    names = [each.name for each in script.inputs]
    for name in sorted({each for each in names if names.count(each) > 1}):
        yield Violation("CEREMONY-ID-REPEATED", f"an input is named '{name}' twice", "/inputs")
    documents = (*script.profiles, *script.crls, *script.requests)
    for name in sorted(
        {each for each in documents if documents.count(each) > 1} | script.profiles.keys() & set(names)
    ):
        yield Violation("CEREMONY-ID-REPEATED", f"two things are called '{name}'", "/profiles")


def _order(script: Script) -> Iterator[Violation]:
    """Opened by a gate and closed by one; each signature after a lint and an approval of its document."""
    steps = script.steps
    if [type(step) for step in steps].count(OpenGate) != 1 or not _opens(steps):
        yield Violation(
            "CEREMONY-GATE", "one gate.open comes before every step that touches a device", "/steps"
        )
    if [type(step) for step in steps].count(CloseGate) != 1 or not isinstance(steps[-1], CloseGate):
        yield Violation("CEREMONY-GATE", "the one gate.close is the last step", "/steps")
    for index, step in enumerate(steps):
        if isinstance(step, Sign):
            before = steps[:index]
            linted = any(isinstance(each, Lint) and each.subject == step.subject for each in before)
            approved = any(isinstance(each, ApproveGate) and each.subject == step.subject for each in before)
            if not (linted and approved):
                detail = f"'{step.subject}' is signed before it was linted and approved"
                yield Violation("CEREMONY-GATE", detail, f"/steps/{index}")


def _opens(steps: tuple[Step, ...]) -> bool:
    """Only what looks at the machine may come before the opening."""
    before = next((steps[:index] for index, each in enumerate(steps) if isinstance(each, OpenGate)), steps)
    return all(each.do == "environment.verify" for each in before)


def _names(script: Script) -> Iterator[Violation]:
    known = {
        Category.HSM: set(script.hsm),
        Category.KEY: {alias for alias, key in script.keys.items() if key.existing},
        Category.PROFILE: set(script.profiles),
        Category.CRL: set(script.crls),
        Category.REQUEST: set(script.requests),
        Category.INPUT: {each.name for each in script.inputs},
        Category.SHARES: set(script.shares),
        Category.DOCUMENT: set(),
        Category.CERTIFICATE: {each.name for each in script.inputs if each.type == "certificate"},
        Category.FILE: set(),
    }
    for alias, key in script.keys.items():
        if key.hsm not in script.hsm:
            yield Violation("CEREMONY-REFERENCE", f"there is no device '{key.hsm}'", f"/keys/{alias}/hsm")
    made: list[Name] = []
    for index, step in enumerate(script.steps):
        for name in step.reads():
            if name.name not in known[name.category]:
                detail = f"there is no {name.category} '{name.name}' here"
                yield Violation("CEREMONY-REFERENCE", detail, f"/steps/{index}/{name.field}")
        for name in step.makes():
            if any(each.category == name.category and each.name == name.name for each in made):
                detail = f"{name.category} '{name.name}' is made twice"
                yield Violation("CEREMONY-ID-REPEATED", detail, f"/steps/{index}/{name.field}")
            made.append(name)
            known[name.category].add(name.name)


def _roles(script: Script) -> Iterator[Violation]:
    for index, step in enumerate(script.steps):
        for role in step.signers():
            if role not in script.roles:
                yield Violation("CEREMONY-REFERENCE", f"there is no role '{role}'", f"/steps/{index}/sign_by")
    opening = next((set(each.sign_by) for each in script.steps if isinstance(each, OpenGate)), set())
    closing = set(script.steps[-1].signers())
    if opening != closing or opening != set(script.roles):
        detail = f"every role signs {Gate.OPEN} and {Gate.CLOSE}"
        yield Violation("CEREMONY-GATE", detail, "/steps")
