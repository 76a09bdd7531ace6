"""Whether this very script was rehearsed to its end, and lately, where it says that it must have been."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta

from ca_server.core.archive import MAX_ARCHIVE_BYTES
from ca_server.core.bundle import CLOSING, read_bundle
from ca_server.core.ceremony.transcript import Outcome
from ca_server.core.ceremony.verify import verify_ceremony
from ca_server.core.errors import CaError, Kind, refuse
from ceremony.folder import read_file
from ceremony.host import Host
from ceremony.plan import Plan

_ENDED_WELL = frozenset({Outcome.COMPLETED, Outcome.COMPLETED_WITH_DEVIATIONS})


def check_rehearsed(plan: Plan, host: Host, now: datetime) -> str | None:
    """The SHA-256 of the rehearsal's closing statement; None where the script demands no rehearsal.

    Raises:
        CaError: policy_refused, `CEREMONY-REHEARSAL`, there is none that ended well and lately.
    """
    days = plan.script.policy.rehearsal_within_days
    if days is None or host.mode == "rehearsal":
        return None
    if host.rehearsal is None:
        raise _refused("the host file names no bundle of a rehearsal")
    try:
        bundle = read_bundle(read_file(host.rehearsal, MAX_ARCHIVE_BYTES))
        verify_ceremony(bundle)
    except CaError as error:
        raise _refused(f"{host.rehearsal} does not verify: {error.detail}") from error
    closing = bundle.closing
    if closing.mode != "rehearsal" or closing.script_sha256 != plan.sha256:
        raise _refused(f"{host.rehearsal} is no rehearsal of this very script")
    if closing.outcome not in _ENDED_WELL:
        raise _refused(f"the rehearsal ended {closing.outcome}")
    if not now - timedelta(days=days) <= closing.time <= now:
        raise _refused(f"the rehearsal was not within {days} days")
    return hashlib.sha256(bundle.files[CLOSING]).hexdigest()


def _refused(detail: str) -> CaError:
    return refuse(Kind.POLICY_REFUSED, "CEREMONY-REHEARSAL", f"the script demands a rehearsal: {detail}")
