"""Linting a document before anybody is asked to approve it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal

from ca_server.core.errors import CaError, Kind, Violation
from ca_server.core.lints import Finding, blocking
from ca_server.core.lints.pkix import lint_certificate, lint_crl
from ceremony.documents import Document, description_path, document_path, read_document, unsigned_twin
from ceremony.fields import Slug
from ceremony.steps.crls import require_succession
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
            CaError: policy_refused, `CEREMONY-LINT` for each finding that blocks; conflict, a CRL does not
                follow the one before it.
        """
        document = read_document(room.read(description_path(self.subject)))
        twin = unsigned_twin(document, room.folder.read(document_path(self.subject)))
        findings = lint_document(document, twin)
        report = [{"code": each.code, "severity": each.severity, "detail": each.detail} for each in findings]
        room.write_json(f"lints/{self.subject}.json", report)
        require_clean(self.subject, findings)
        require_succession(room, self.subject, document, twin)
        return Done(f"{len(findings)} findings, none of which blocks", {"findings": len(findings)})


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
