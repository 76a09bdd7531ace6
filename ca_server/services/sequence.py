"""The sequencer: gives events their place in the tree, and signs what the tree then is.

One leader at a time, a row lease with a fencing number. In this order, so that a crash between any two
steps is finished by the next call: commit places, tiles and head -> anchor the head -> sign -> store the
note. A head that is not committed is never signed, or the log could fork.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from ca_server.core.audit.checkpoint import Checkpoint
from ca_server.core.audit.note import VerifierKey, make_verifier_key, sign_note
from ca_server.core.audit.rules import HEARTBEAT
from ca_server.core.audit.tiles import Tile
from ca_server.core.audit.tree import TiledTree, read_frontier
from ca_server.core.clock import from_epoch, to_epoch
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.hsm.port import Signer
from ca_server.services.context import Context, process_actor
from ca_server.store import audit as rows
from ca_server.store.anchor import Anchor, Anchored
from ca_server.store.audit import LogState, StoredHead
from ca_server.store.unit_of_work import UnitOfWork

BATCH = 2000
LEASE_SECONDS = 30


@dataclass(frozen=True, slots=True)
class LogKey:
    """The log's name, which is also its key's name, and the key in its token."""

    origin: str
    signer: Signer

    @property
    def verifier_key(self) -> VerifierKey:
        """What outsiders verify checkpoints with; its text is the vkey.

        Raises:
            ValueError: the origin cannot be a key's name, or the key is neither Ed25519 nor ECDSA P-256.
        """
        return make_verifier_key(self.origin, self.signer.public_key)


@dataclass(frozen=True, slots=True)
class Sequenced:
    """What one call did: events placed, and the head it anchored and signed, if any."""

    events: int
    tree_size: int
    signed: bool


def sequence_once(
    context: Context, log_key: LogKey, anchor: Anchor, leader: str, *, limit: int = BATCH
) -> Sequenced:
    """Take the log one head further, or finish the head that a crash left unsigned.

    Call it about once a second, and again at once while `events` equals `limit`. `leader` names this
    process among all that sequence. With nothing to do it only reads.

    Raises:
        CaError: unavailable; AUDIT-ROLLBACK or AUDIT-ANCHOR, as `check_anchor`; or the database or token is
            away, and the next call goes on where this one stopped.
        SignatureUnknown: the token may or may not have signed; the process must end. Signing the same
            head again is safe.
    """
    now = context.clock.now()
    _open_log(context, log_key)
    anchored = check_anchor(context, anchor)
    with context.database.read() as connection:
        head = rows.newest_head(connection, signed=False)
        idle = not rows.is_waiting(connection)
    silent = head is not None and now - from_epoch(head.time) >= HEARTBEAT
    pending = head is not None and head.note is None
    if idle and not silent and not pending:
        return Sequenced(0, head.tree_size if head else 0, signed=False)
    if idle and silent and not pending:
        _beat(context, leader, now)
    step = _commit_head(context, leader, limit)
    if step is None:
        return Sequenced(0, head.tree_size if head else 0, signed=False)
    state, head, events = step
    signed = _move_anchor(context, anchor, anchored, state, head) and _sign(context, log_key, head)
    return Sequenced(events, head.tree_size, signed=signed)


def sequence_all(context: Context, log_key: LogKey, anchor: Anchor, leader: str) -> None:
    """Take the log as far as it goes now, a batch at a time, as `sequence_once` does.

    Raises:
        CaError: as `sequence_once`.
        SignatureUnknown: as `sequence_once`.
    """
    while sequence_once(context, log_key, anchor, leader).events == BATCH:
        pass


def check_anchor(context: Context, anchor: Anchor) -> Anchored | None:
    """Compare the database with the head that is kept outside of it; return that head.

    Whoever is about to issue asks this at start: a database that lost what was anchored must not go on.

    Raises:
        CaError: unavailable. AUDIT-ROLLBACK: the database is older than its anchor, or holds another
            history. AUDIT-ANCHOR: the anchor is gone or cannot be read.
    """
    anchored = anchor.read()
    with context.database.read() as connection:
        log = rows.find_log(connection)
        if anchored is None:
            if rows.newest_head(connection, signed=True) is not None:
                raise refuse(
                    Kind.UNAVAILABLE,
                    "AUDIT-ANCHOR",
                    "the log's anchor is gone: put it back, or write it anew from a checkpoint that you have "
                    "verified",
                )
            return None
        if log is None or log.origin != anchored.origin:
            raise _rollback(f"the database does not hold the log {anchored.origin} that the anchor names")
        if log.tree_size < anchored.size:
            raise _rollback(f"the log has {log.tree_size} events, and had {anchored.size} before")
        if log.tree_size == anchored.size:
            root = log.root_hash
        else:
            tree = TiledTree(log.tree_size, lambda tile: rows.read_tile(connection, tile))
            root = tree.root_at(anchored.size)
        if root != anchored.root:
            raise _rollback(f"the first {anchored.size} events of the log are not those that were anchored")
    return anchored


def _open_log(context: Context, log_key: LogKey) -> None:
    with context.database.read() as connection:
        log = rows.find_log(connection)
    if log is None:
        opening = context.event(
            "log.epoch-open",
            process_actor("sequencer"),
            {"origin": log_key.origin, "vkey": str(log_key.verifier_key)},
        )
        with context.database.write() as unit:
            if rows.open_log(unit, log_key.origin):
                unit.commit(opening)
    elif log.origin != log_key.origin:
        raise refuse(
            Kind.UNAVAILABLE, "AUDIT-ORIGIN", f"the database holds the log {log.origin}, not {log_key.origin}"
        )


def _beat(context: Context, leader: str, now: datetime) -> None:
    """Break a long silence with an event, so that an outsider can tell quiet from dead."""
    with context.database.write() as unit:
        log = rows.take_lease(unit, leader, to_epoch(now), to_epoch(now) + LEASE_SECONDS)
        if log is not None:
            unit.commit(
                context.event("log.heartbeat", process_actor("sequencer"), {"tree_size": log.tree_size})
            )


def _commit_head(context: Context, leader: str, limit: int) -> tuple[LogState, StoredHead, int] | None:
    """Transaction A; None where somebody else leads or took the events first.

    A head that waits for its signature is finished before the next is made.
    """
    now = to_epoch(context.clock.now())
    with context.database.write() as unit:
        log = rows.take_lease(unit, leader, now, now + LEASE_SECONDS)
        if log is None:
            return None
        head = rows.newest_head(unit.connection, signed=False)
        events = 0
        if head is None or head.note is not None:
            head, events = _grow(unit, log, limit, now)
        if head is None:
            return None
        unit.commit_unaudited("places in the tree are bookkeeping about events that are stored already")
    return log, head, events


def _grow(unit: UnitOfWork, log: LogState, limit: int, now: int) -> tuple[StoredHead | None, int]:
    """Give waiting events their places and store the tree's new tiles and head."""
    leaf_hashes = rows.assign_indexes(unit, log.tree_size, limit)
    if not leaf_hashes:
        return None, 0

    def read(tile: Tile) -> bytes:
        return rows.read_tile(unit.connection, tile)

    frontier = read_frontier(log.tree_size, read)
    if frontier.root() != log.root_hash:
        raise refuse(
            Kind.INTERNAL, "AUDIT-TREE", "the stored tiles are not those of the tree that was signed"
        )
    frontier, tiles = frontier.append(leaf_hashes)
    rows.store_tiles(unit, tiles)
    return rows.advance(unit, log.tree_size, frontier.size, frontier.root(), now), len(leaf_hashes)


def _sign(context: Context, log_key: LogKey, head: StoredHead) -> bool:
    """Sign an anchored head and store its note; False where another leader was first."""
    key = log_key.verifier_key
    text = Checkpoint(log_key.origin, head.tree_size, head.root_hash).text
    note = sign_note(text, key, log_key.signer.sign(text, key.algorithm))
    with context.database.write() as unit:
        stored = rows.store_note(unit, head.tree_size, note.decode())
        unit.commit_unaudited("a checkpoint says nothing that the events it covers do not say")
    return stored


def _move_anchor(
    context: Context, anchor: Anchor, anchored: Anchored | None, state: LogState, head: StoredHead
) -> bool:
    """Put a committed head into the anchor; False where a newer leader has taken over."""
    new = Anchored(state.origin, head.tree_size, head.root_hash)
    if anchor.swap(anchored, new):
        return True
    with context.database.read() as connection:
        log = rows.find_log(connection)
    if log is None or log.fence != state.fence:
        return False
    # The leader before this one moved it between our look and our lease.
    if anchor.swap(check_anchor(context, anchor), new):
        return True
    raise _rollback("somebody changes the anchor while this process leads the log")


def _rollback(detail: str) -> CaError:
    return refuse(Kind.UNAVAILABLE, "AUDIT-ROLLBACK", detail)
