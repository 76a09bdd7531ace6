"""What stands in a folder of `sealkeeper enroll`, for people and for monitoring."""

from __future__ import annotations

from datetime import datetime

from ca_server.cli.enroll.enrolment import names_of, renewal_at
from ca_server.cli.enroll.folder import Folder
from ca_server.cli.enroll.settings import Settings
from ca_server.core.clock import to_text

GOOD, BAD, WAITING = 0, 1, 3


def describe(folder: Folder, settings: Settings | None, now: datetime) -> dict[str, object]:
    """The folder's state: `status` is valid, due, expired, waiting (no certificate yet) or empty."""
    current, request = folder.current(), folder.request()
    found: dict[str, object] = {
        "folder": str(folder.path),
        "url": settings.url if settings else None,
        "status": "empty" if request is None else "waiting",
        "request": request.operation if request else None,
    }
    if current is None:
        return found
    certificate = current.certificate()
    end, due = certificate.not_valid_after_utc, renewal_at(certificate)
    return found | {
        "status": "expired" if now > end else "due" if now >= due else "valid",
        "names": [str(each.value) for each in names_of(certificate)],
        "serial_number": f"{certificate.serial_number:040x}",
        "not_before": to_text(certificate.not_valid_before_utc),
        "not_after": to_text(end),
        "renewal_at": to_text(due),
        "hook": "done" if folder.state().deployed == current.number else "to be run",
    }


def exit_code(found: dict[str, object]) -> int:
    """0 while there is a certificate that has not ended; 3 while the first one waits; else 1."""
    if found["status"] in {"valid", "due"}:
        return GOOD
    return WAITING if found["status"] == "waiting" else BAD
