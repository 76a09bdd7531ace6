"""What an EST client is told of our authorities: their chains, all our roots, and the ways between them."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509

from ca_server.core.errors import CaError, Kind
from ca_server.services.context import Context
from ca_server.services.cross_certificates import CrossChain, imported_cross_chains
from ca_server.store.authorities import list_authorities


class AuthorityCertificates:
    """One a process. Looks anew each time, so that a new root is told as soon as it is imported.

    `crossed` are the other ways up that a process started with; those that ceremonies bring later are told
    at once. While a root's key is exchanged for another, they are OldWithNew and NewWithOld of RFC 4210
    §4.4; the other two are roots of ours.
    """

    def __init__(self, context: Context, crossed: Sequence[CrossChain] = ()) -> None:
        self._context = context
        self._crossed = tuple(certificate for each in crossed for certificate in each.certificates)

    def all(self) -> tuple[x509.Certificate, ...]:
        """Every certificate that has not ended, once: the roots first, of each sort the newest first.

        Raises:
            CaError: not_ready, there is no authority yet; unavailable, the database is away.
        """
        with self._context.database.read() as connection:
            authorities = list_authorities(connection)
        imported = (one for each in imported_cross_chains(self._context) for one in each.certificates)
        now = self._context.clock.now()
        authorities.sort(key=lambda each: (each.issuer_id is not None, -each.created_at))
        own = (x509.load_der_x509_certificate(each.certificate_der) for each in authorities)
        found = dict.fromkeys((*own, *self._crossed, *imported))
        living = tuple(each for each in found if now <= each.not_valid_after_utc)
        if not living:
            raise CaError(Kind.NOT_READY, "there is no authority yet: no ceremony has been imported")
        return living
