"""Whether a chain builds that relying parties will build: from a certificate up to a root that they trust."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Literal

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from pydantic import Field

from ca_server.core.errors import CaError, Kind, Violation
from ceremony.failure import Failure, Stopped
from ceremony.fields import Slug
from ceremony.issuers import certificate_of, is_authority, path_length
from ceremony.steps.verb import Category, Done, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script

Chain = Annotated[tuple[Slug, ...], Field(strict=False, min_length=2, max_length=8)]


class CheckChain(Verb):
    """Check a chain of certificates, each by the next; the last one is a root."""

    do: Literal["chain.check"]
    chain: Chain

    def reads(self) -> Iterator[Name]:
        """The certificates."""
        for each in self.chain:
            yield Name(Category.CERTIFICATE, each, "chain")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"check the chain {' <- '.join(self.chain)}"

    def perform(self, room: Room) -> Done:
        """Check signatures, names, validity today, and that authorities may stand below the first one still.

        Raises:
            Stopped: F2, `CEREMONY-CHAIN`; what was made does not do what it is for.
        """
        certificates = [certificate_of(room, each) for each in self.chain]
        below = 0 if path_length(certificates[0]) == 0 else 1
        now = room.clock.now()
        for depth, (name, certificate) in enumerate(zip(self.chain, certificates, strict=True)):
            limit = path_length(certificate)
            if not is_authority(certificate) or (limit is not None and limit < depth + below):
                raise _broken(f"'{name}' may not stand above {depth + below} other authorities")
            if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
                raise _broken(f"'{name}' is not valid today")
        for certificate, issuer in (*pairwise(certificates), (certificates[-1], certificates[-1])):
            _require_issued(certificate, issuer)
        return Done(f"the chain {' <- '.join(self.chain)} builds", {"chain": list(self.chain)})


def _require_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> None:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature) as error:
        names = (
            f"'{certificate.subject.rfc4514_string()}' is not issued by '{issuer.subject.rfc4514_string()}'"
        )
        raise _broken(names) from error


def _broken(detail: str) -> Stopped:
    violation = Violation("CEREMONY-CHAIN", detail)
    return Stopped(Failure.WRONG_PRODUCT, CaError(Kind.CONFLICT, detail, violations=(violation,)))
