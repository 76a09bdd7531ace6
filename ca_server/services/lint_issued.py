"""Runs pkilint on every certificate after it was issued; a finding is an event and a row, never a loss."""

from __future__ import annotations

import time

from ca_server.core.lints import Finding, blocking
from ca_server.core.lints.pkix import lint_certificate
from ca_server.services.context import Context, process_actor
from ca_server.store.lint import StoredFinding, insert_findings, move_watermark, unlinted

BATCH = 50


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
        for number, certificate_id, der in certificates:
            linted.append((number, certificate_id, blocking(lint_certificate(der))))
            if time.monotonic() >= deadline:
                break
        if not linted or not _store(context, before, linted):
            break
        count += len(linted)
    return count


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
