"""Whether this process can do its work: each check passes, or raises a `CaError` that says why not."""

from __future__ import annotations

from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind
from ca_server.services.context import Context
from ca_server.store.audit import find_log, oldest_waiting_time
from ca_server.store.authorities import list_authorities

# Sequencing runs about once a second; when an event waits this long somebody should look.
MAX_LOG_LAG = 60


def require_database(context: Context) -> None:
    """Pass when the database answers and has our log.

    Raises:
        CaError: unavailable, it does not answer; not_ready, no ceremony has been imported yet, or no
            worker has run since.
    """
    with context.database.read() as connection:
        if find_log(connection) is not None:
            return
        imported = bool(list_authorities(connection))
    if imported:
        why = "no worker has opened the audit log yet: is 'sealkeeper worker' running?"
    else:
        why = "the audit log was not begun: run 'sealkeeper init' first"
    raise CaError(Kind.NOT_READY, why)


def require_audit_log(context: Context) -> None:
    """Pass when every event is in a signed tree, or was written so recently that it may wait.

    Raises:
        CaError: unavailable, the log is not sequenced or the database does not answer.
    """
    with context.database.read() as connection:
        waiting_since = oldest_waiting_time(connection)
    if waiting_since is not None and to_epoch(context.clock.now()) - waiting_since > MAX_LOG_LAG:
        raise CaError(Kind.UNAVAILABLE, "events wait to be sequenced: is a worker running?", retry_after=5)
