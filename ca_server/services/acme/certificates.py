"""The certificate of an order, with the chain that a client wants (RFC 8555 §7.4.2)."""

from __future__ import annotations

from ca_server.core.acme.resources import Account
from ca_server.core.errors import Kind, refuse
from ca_server.services.chains import Chains
from ca_server.services.context import Context
from ca_server.store.issuance import find_own_certificate


def read_certificate(
    context: Context, chains: Chains, account: Account, certificate_id: str, alternate: int | None
) -> tuple[str, int]:
    """The PEM chain of a certificate that this account ordered, and how many alternates there are.

    `alternate` counts from 1; None is the default chain.

    Raises:
        CaError: not_found, `ACME-UNKNOWN`, also for what is somebody else's; unavailable.
    """
    with context.database.read() as connection:
        found = find_own_certificate(connection, certificate_id, f"account:{account.id}")
    if found is None:
        raise refuse(Kind.NOT_FOUND, "ACME-UNKNOWN", "this account has no such certificate")
    authority_id, der = found
    ways = chains.ways_up(authority_id)
    way = alternate or 0
    if not 0 <= way < len(ways) or alternate == 0:
        raise refuse(Kind.NOT_FOUND, "ACME-UNKNOWN", "this certificate has no such alternate chain")
    return chains.pem(der, authority_id, way), len(ways) - 1
