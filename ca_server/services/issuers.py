"""Which authority issues, and what the gate must know of it."""

from __future__ import annotations

from cryptography import x509

from ca_server.core.errors import CaError, Kind
from ca_server.core.policy import IssuerFacts
from ca_server.core.signatures import SignatureAlgorithm
from ca_server.services.context import Context
from ca_server.store.authorities import StoredAuthority, list_authorities


class Issuers:
    """The authorities of this server, as they were when the process started."""

    def __init__(self, authorities: list[StoredAuthority], *, public_url: str, ocsp_url: str) -> None:
        self._active = {
            each.id: _facts(each, public_url=public_url, ocsp_url=ocsp_url)
            for each in authorities
            if each.role == "issuing" and each.state == "active"
        }
        self.own_keys = frozenset(each.spki_sha256 for each in authorities)

    def current(self) -> IssuerFacts:
        """The authority that issues: the active one whose certificate lasts longest.

        Raises:
            CaError: not_ready, no ceremony has been imported yet.
        """
        if not self._active:
            raise CaError(Kind.NOT_READY, "there is no issuing authority: run 'sealkeeper init' first")
        return max(self._active.values(), key=lambda facts: facts.certificate.not_valid_after_utc)

    def __contains__(self, authority_id: object) -> bool:
        return authority_id in self._active

    def get(self, authority_id: str) -> IssuerFacts:
        """An active authority by its id.

        Raises:
            CaError: not_ready, it is not active, or was not when this process started.
        """
        if authority_id not in self._active:
            raise CaError(Kind.NOT_READY, f"authority {authority_id} does not issue here", retry_after=60)
        return self._active[authority_id]


def read_issuers(context: Context, *, public_url: str, ocsp_url: str) -> Issuers:
    """The authorities that the database knows.

    Raises:
        CaError: unavailable, the database is away.
    """
    with context.database.read() as connection:
        return Issuers(list_authorities(connection), public_url=public_url, ocsp_url=ocsp_url)


def _facts(authority: StoredAuthority, *, public_url: str, ocsp_url: str) -> IssuerFacts:
    return IssuerFacts(
        authority_id=authority.id,
        certificate=x509.load_der_x509_certificate(authority.certificate_der),
        signature_algorithm=SignatureAlgorithm(authority.signature_algorithm),
        crl_urls=(f"{public_url}/crl/{authority.id}.crl",),
        ocsp_urls=(ocsp_url,),
        ca_issuer_urls=(f"{public_url}/aia/{authority.id}.cer",),
    )
