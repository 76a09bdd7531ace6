"""Linting a document before anybody is asked to approve it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from ca_server.core.errors import CaError, Kind, Violation
from ca_server.core.lints import Finding, blocking
from ca_server.core.lints.pkix import lint_certificate, lint_crl
from ceremony.documents import Document, unsigned_twin
from ceremony.drafts import Draft
from ceremony.fields import Slug
from ceremony.steps.crls import require_succession
from ceremony.steps.scripted import scripted
from ceremony.steps.verb import Category, Done, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


class Lint(Verb):
    """Look at a document as all linters will, and stop at what they object to."""

    do: Literal["document.lint"]
    subject: Slug

    def reads(self) -> Iterator[Name]:
        """The document."""
        yield Name(Category.DOCUMENT, self.subject, "subject")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"lint '{self.subject}'"

    def perform(self, room: Room) -> Done:
        """Lint it and keep the report.

        Raises:
            CaError: conflict, `CEREMONY-TBS-SCRIPT`, or a CRL does not follow the one before it;
                policy_refused, `CEREMONY-LINT` for each finding that blocks.
        """
        draft = scripted(room, self.subject)
        findings = _findings(draft)
        report = [{"code": each.code, "severity": each.severity, "detail": each.detail} for each in findings]
        room.write_json(f"lints/{self.subject}.json", report)
        _require_fit(room, self.subject, draft, findings)
        return Done(f"{len(findings)} findings, none of which blocks", {"findings": len(findings)})


def fit_to_sign(room: Room, name: str) -> Draft:
    """A document as the script asks for it, once no lint objects; an earlier lint may be another's words.

    Raises:
        CaError: as `Lint.perform`.
    """
    draft = scripted(room, name)
    _require_fit(room, name, draft, _findings(draft))
    return draft


def _findings(draft: Draft) -> tuple[Finding, ...]:
    return lint_document(draft.document, unsigned_twin(draft.document, draft.tbs))


def _require_fit(room: Room, name: str, draft: Draft, findings: tuple[Finding, ...]) -> None:
    require_clean(name, findings)
    require_succession(room, name, draft.document, unsigned_twin(draft.document, draft.tbs))


def lint_document(document: Document, der: bytes) -> tuple[Finding, ...]:
    """What the linters say of a document, signed or not; nothing of a CSR, which nobody relies on."""
    if document.kind == "certificate":
        return lint_certificate(der)
    return lint_crl(der) if document.kind == "crl" else ()


def require_clean(what: str, findings: tuple[Finding, ...]) -> None:
    """Pass only what no lint objects to.

    Raises:
        CaError: policy_refused, `CEREMONY-LINT` for each finding.
    """
    violations = tuple(
        Violation("CEREMONY-LINT", f"{each.severity} {each.code}: {each.detail}")
        for each in blocking(findings)
    )
    if violations:
        raise CaError(Kind.POLICY_REFUSED, f"{what}: lints object", violations=violations)
