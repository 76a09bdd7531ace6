"""The certificates above a leaf, as clients want them: from its issuer upwards, the root left out.

An authority's certificate never changes under its id, so a chain read once is kept.
"""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.errors import Kind, refuse
from ca_server.services.context import Context
from ca_server.store.authorities import authority_chain


class Chains:
    """One a process; safe to use from several threads, because it only ever grows by equal values."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._known: dict[str, tuple[x509.Certificate, ...]] = {}

    def above(self, authority_id: str) -> tuple[x509.Certificate, ...]:
        """The certificates to send with a leaf of this authority (RFC 8446 §4.4.2: no root).

        Raises:
            CaError: not_found, `INVENTORY-UNKNOWN`; unavailable.
        """
        chain = self._known.get(authority_id)
        if chain is None:
            with self._context.database.read() as connection:
                records = authority_chain(connection, authority_id)
            if not records:
                raise refuse(Kind.NOT_FOUND, "INVENTORY-UNKNOWN", "there is no such authority")
            chain = tuple(
                x509.load_der_x509_certificate(each.certificate_der)
                for each in records
                if each.issuer_id is not None
            )
            self._known[authority_id] = chain
        return chain

    def pem(self, der: bytes, authority_id: str) -> str:
        """A leaf and what is above it, leaf first (RFC 8555 §9.1)."""
        return "".join(
            to_pem(each) for each in (x509.load_der_x509_certificate(der), *self.above(authority_id))
        )


def to_pem(certificate: x509.Certificate) -> str:
    """One certificate in the textual encoding of RFC 7468."""
    return certificate.public_bytes(Encoding.PEM).decode("ascii")
