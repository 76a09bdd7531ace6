"""The certificates above a leaf, as clients want them: from its issuer upwards, the root left out.

An authority's certificate never changes under its id, so a chain read once is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.errors import Kind, refuse
from ca_server.services.context import Context
from ca_server.services.cross_certificates import CrossChain
from ca_server.store.authorities import authority_chain

Way = tuple[x509.Certificate, ...]


class Chains:
    """One a process; safe to use from several threads, because it only ever grows by equal values.

    `crossed` are other ways up from our authorities, for those who trust another root.
    """

    def __init__(self, context: Context, crossed: Sequence[CrossChain] = ()) -> None:
        self._context = context
        self._crossed = tuple(crossed)
        self._known: dict[str, tuple[Way, ...]] = {}

    def above(self, authority_id: str) -> Way:
        """The certificates to send with a leaf of this authority (RFC 8446 §4.4.2: no root).

        Raises:
            CaError: not_found, `INVENTORY-UNKNOWN`; unavailable.
        """
        return self.ways_up(authority_id)[0]

    def ways_up(self, authority_id: str) -> tuple[Way, ...]:
        """Every set of certificates that can be sent with a leaf of this authority; our own way is first.

        Raises:
            CaError: not_found, `INVENTORY-UNKNOWN`; unavailable.
        """
        ways = self._known.get(authority_id)
        if ways is None:
            with self._context.database.read() as connection:
                records = authority_chain(connection, authority_id)
            if not records:
                raise refuse(Kind.NOT_FOUND, "INVENTORY-UNKNOWN", "there is no such authority")
            chain = [x509.load_der_x509_certificate(each.certificate_der) for each in records]
            ids = [each.id for each in records]
            own = tuple(
                certificate for certificate, each in zip(chain, records, strict=True) if each.issuer_id
            )
            others = (
                (*chain[: ids.index(each.authority_id)], *each.certificates)
                for each in self._crossed
                if each.authority_id in ids
            )
            ways = self._known[authority_id] = (own, *others)
        return ways

    def pem(self, der: bytes, authority_id: str, way: int = 0) -> str:
        """A leaf and what is above it, leaf first (RFC 8555 §9.1), by one of the ways up."""
        above = self.ways_up(authority_id)[way]
        return "".join(to_pem(each) for each in (x509.load_der_x509_certificate(der), *above))


def to_pem(certificate: x509.Certificate) -> str:
    """One certificate in the textual encoding of RFC 7468."""
    return certificate.public_bytes(Encoding.PEM).decode("ascii")
