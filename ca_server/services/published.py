"""What is out for everybody to fetch, read for the plain HTTP door."""

from __future__ import annotations

from ca_server.core.errors import CaError, Kind, refuse
from ca_server.services.context import Context
from ca_server.store import crls
from ca_server.store.crls import CrlRecord


def find_crl(context: Context, authority_id: str) -> CrlRecord:
    """The CRL of an authority that is out, without its bytes.

    Raises:
        CaError: not_found, `CRL-UNKNOWN`; unavailable.
    """
    _check_id(authority_id)
    with context.database.read() as connection:
        found = crls.find_published(connection, authority_id)
    if found is None:
        raise _unknown()
    return found


def read_crl(context: Context, authority_id: str) -> tuple[CrlRecord, bytes]:
    """The CRL of an authority that is out, with its DER.

    Raises:
        CaError: not_found, `CRL-UNKNOWN`; unavailable.
    """
    _check_id(authority_id)
    with context.database.read() as connection:
        found = crls.read_published(connection, authority_id)
    if found is None:
        raise _unknown()
    return found


def _check_id(authority_id: str) -> None:
    """What cannot be an id is not asked of the database: PostgreSQL refuses NUL in text."""
    if not authority_id.isprintable():
        raise _unknown()


def _unknown() -> CaError:
    return refuse(Kind.NOT_FOUND, "CRL-UNKNOWN", "this authority has published no CRL")
