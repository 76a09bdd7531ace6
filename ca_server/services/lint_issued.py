"""Runs pkilint on every certificate after it was issued; a finding is an event and a row, never a loss."""

from __future__ import annotations

import time

import structlog

from ca_server.core.lints import Finding, Severity, blocking
from ca_server.core.lints.pkix import lint_certificate
from ca_server.services.context import Context, process_actor
from ca_server.store.lint import StoredFinding, insert_findings, move_watermark, unlinted

log = structlog.get_logger(__name__)

BATCH = 50
_WORST_FIRST = tuple(Severity)


def lint_issued(context: Context, *, budget: float) -> int:
    """Lint certificates that were not linted yet, for about `budget` seconds; returns how many.

    The worker gives it a small budget at each beat, so that linting never holds up CRLs or the log.
    The watermark moves in the transaction that stores the findings, so that each is found once.
    """
    deadline = time.monotonic() + budget
    count = 0
    while time.monotonic() < deadline:
        with context.database.read() as connection:
            before, certificates = unlinted(connection, BATCH)
        linted = []
        for place, certificate_id, der in certificates:
            linted.append((place, certificate_id, _findings(certificate_id, der)))
            if time.monotonic() >= deadline:
                break
        if not linted or not _store(context, before, linted):
            break
        count += len(linted)
    return count


def _findings(certificate_id: str, der: bytes) -> tuple[Finding, ...]:
    """What is wrong with a certificate, each code once; a lint that fails is a finding itself.

    If it stopped the linting instead, one odd certificate would keep all later ones from being linted.
    """
    try:
        found = blocking(lint_certificate(der))
    except Exception as error:
        log.exception("lint.failed", certificate=certificate_id)
        return (Finding(Severity.ERROR, "LINT-ERROR", f"pkilint failed: {type(error).__name__}"),)
    return merge(found)


def merge(findings: tuple[Finding, ...]) -> tuple[Finding, ...]:
    """Each code once, with the worst of its severities and all that was said under it."""
    by_code: dict[str, list[Finding]] = {}
    for finding in findings:
        by_code.setdefault(finding.code, []).append(finding)
    return tuple(
        Finding(
            min((each.severity for each in same), key=_WORST_FIRST.index),
            code,
            "; ".join(dict.fromkeys(each.detail for each in same)),
        )
        for code, same in by_code.items()
    )


def _store(context: Context, before: int, linted: list[tuple[int, str, tuple[Finding, ...]]]) -> bool:
    actor = process_actor("worker")
    events = []
    rows = []
    for _, certificate_id, findings in linted:
        for finding in findings:
            event = context.event(
                "lint.finding",
                actor,
                {"cert_sha256": certificate_id, "finding": finding.code, "severity": finding.severity},
                outcome="failure",
            )
            events.append(event)
            rows.append(
                StoredFinding(certificate_id, finding.code, finding.severity, finding.detail, event.event_id)
            )
    with context.database.write() as unit:
        if not move_watermark(unit, before, linted[-1][0]):
            return False
        if events:
            insert_findings(unit, rows)
            unit.commit(*events)
        else:
            unit.commit_unaudited("how far linting has come")
    return True
