"""What the log shows of itself: exactly the tree of the newest signed checkpoint, nothing past it."""

from __future__ import annotations

from ca_server.core.audit.proofs import EventProof
from ca_server.core.audit.tiles import Tile, encode_bundle
from ca_server.core.audit.tree import TiledTree
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.store import audit as rows
from ca_server.store.audit import StoredHead
from ca_server.store.engine import Database

RETRY_AFTER = 2


class AuditReader:
    """Reads the log for whoever publishes it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def checkpoint(self) -> bytes:
        """The newest signed checkpoint.

        Raises:
            CaError: not_ready; nothing was signed yet.
        """
        with self._database.read() as connection:
            head = rows.newest_head(connection, signed=True)
        return _note(head)

    def tile(self, tile: Tile) -> bytes:
        """A tile of hashes, or a bundle of entries where the tile has no level.

        Raises:
            CaError: not_found; the newest signed tree does not have this tile.
        """
        with self._database.read() as connection:
            head = rows.newest_head(connection, signed=True)
            if head is None or tile.end > head.tree_size:
                raise refuse(Kind.NOT_FOUND, "AUDIT-TILE", "the log does not have this tile yet")
            if tile.level is None:
                return encode_bundle(rows.read_entries(connection, tile))
            return rows.read_tile(connection, tile)

    def proof(self, certificate_id: str) -> EventProof:
        """The proof that the issuance of a certificate is in the newest signed tree.

        Raises:
            CaError: not_found, no such certificate; not_ready, its event is not in a signed tree yet.
        """
        with self._database.read() as connection:
            found = rows.find_issuance(connection, certificate_id)
            if found is None:
                raise CaError(Kind.NOT_FOUND, "there is no such certificate")
            index, event = found
            head = rows.newest_head(connection, signed=True)
            if index is None or head is None or index >= head.tree_size:
                raise _too_early()
            tree = TiledTree(head.tree_size, lambda tile: rows.read_tile(connection, tile))
            return EventProof(event, index, tree.inclusion_proof(index), _note(head))


def _note(head: StoredHead | None) -> bytes:
    if head is None or head.note is None:
        raise _too_early()
    return head.note.encode()


def _too_early() -> CaError:
    return CaError(Kind.NOT_READY, "the log has not signed this yet", retry_after=RETRY_AFTER)
