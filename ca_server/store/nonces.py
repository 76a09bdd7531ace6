"""Nonces that were redeemed, known to all processes and nodes at once, and the key that nonces are made with.

PostgreSQL keeps them in unlogged tables of the main database. SQLite keeps them in a file beside it, so
that a request's nonce waits neither for a disk nor for whoever writes the database. Either may forget what
it was told when the machine crashes; then it forgets the key too, or the key is another after a boot, and
every nonce of before is refused.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sqlalchemy import LargeBinary, bindparam, delete, exists, insert, select

from ca_server.core.errors import CaError, Kind
from ca_server.store.acme_tables import acme_nonce, acme_nonce_key
from ca_server.store.engine import Database
from ca_server.store.prepared import Prepared
from ca_server.store.tables import metadata
from ca_server.store.unit_of_work import BrokenRule

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
BOOT_VARIABLE = "SEALKEEPER_BOOT_ID"

_REDEEM = Prepared(
    insert(acme_nonce).from_select(
        ["value"],
        select(bindparam("nonce", type_=LargeBinary)).where(
            exists().where(
                acme_nonce_key.c.boot == bindparam("boot"), acme_nonce_key.c.key == bindparam("key")
            )
        ),
    )
)


class NonceStore:
    """One a process; safe to use from several threads."""

    def __init__(self, database: Database, boot: str) -> None:
        self._database = database
        self._boot = boot

    def key(self, otherwise: bytes) -> bytes:
        """The key that nonces are made with now; it becomes `otherwise` where there is none.

        Raises:
            CaError: unavailable.
        """
        found = self._find_key()
        if found is None:
            # Another process may be first; then its key counts.
            with suppress(BrokenRule), self._database.write() as unit:
                unit.connection.execute(delete(acme_nonce_key).where(acme_nonce_key.c.boot != self._boot))
                unit.connection.execute(insert(acme_nonce_key).values(boot=self._boot, key=otherwise))
                unit.commit_unaudited("nonces say nothing of certificates")
            found = self._find_key()
        if found is None:
            raise CaError(Kind.UNAVAILABLE, "the nonces' key cannot be kept")
        return found

    def redeem(self, key: bytes, value: bytes) -> bool:
        """Use a nonce up; False where it was used before, or was made with a key that is no more.

        Raises:
            CaError: unavailable.
        """
        try:
            with self._database.write() as unit:
                parameters = {"nonce": value, "boot": self._boot, "key": key}
                count = _REDEEM.run(unit.connection, parameters)
                unit.commit_unaudited("nonces say nothing of certificates")
        except BrokenRule:
            return False
        return count == 1

    def forget_before(self, value: bytes) -> int:
        """Forget what was redeemed and sorts before `value`; returns how many there were.

        Raises:
            CaError: unavailable.
        """
        with self._database.write() as unit:
            count = unit.connection.execute(delete(acme_nonce).where(acme_nonce.c.value < value)).rowcount
            unit.commit_unaudited("nonces that are too old to be accepted need not be remembered")
        return count

    def close(self) -> None:
        """Let go of the file; the main database is closed by whoever opened it."""
        if self._database.is_sqlite:
            self._database.close()

    def _find_key(self) -> bytes | None:
        with self._database.read() as connection:
            query = select(acme_nonce_key.c.key).where(acme_nonce_key.c.boot == self._boot)
            found: bytes | None = connection.execute(query).scalar()
        return found


def open_nonce_store(database: Database) -> NonceStore:
    """The nonces that belong to a database.

    Raises:
        CaError: unavailable; the file beside an SQLite database cannot be written.
    """
    if not database.is_sqlite:
        return NonceStore(database, "")
    boot = _boot_id()
    path = Path(f"{database.engine.url.database}.nonces")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise CaError(Kind.UNAVAILABLE, f"cannot write {path.name}: {error.strerror}") from error
    # Without a boot to tie the key to, no redeemed nonce may ever be lost.
    own = Database(f"sqlite:///{path}", durable=boot == "")
    with own.write() as unit:
        metadata.create_all(unit.connection, tables=[acme_nonce, acme_nonce_key])
        unit.commit_unaudited("the schema of a file that can be deleted at any time")
    return NonceStore(own, boot)


def _boot_id() -> str:
    """What names this boot of the machine, or nothing where nobody tells us.

    Where /proc is closed to the process, as in our systemd unit, its manager says it instead.
    """
    try:
        return BOOT_ID.read_text().strip()
    except OSError:
        return os.environ.get(BOOT_VARIABLE, "")
