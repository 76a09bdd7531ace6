"""How far the holder of a certificate gets with it alone: to the next one, for so often and so long (R16).

Renewed, or shown as an identity for a first certificate of its own names: it is one chain, which ends alike.
"""

from __future__ import annotations

from collections.abc import Iterator

from ca_server.core.acme.resources import PROTOCOL as ACME
from ca_server.core.clock import to_epoch
from ca_server.core.csr import Csr
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.est.resources import Renewal
from ca_server.core.profile import Profile
from ca_server.services.context import Context
from ca_server.store.enrolments import find_chain
from ca_server.store.inventory import CertificateRecord


def require_lasting(old: CertificateRecord) -> None:
    """Pass a certificate whose names its holder may keep; over ACME they are proven again for each one.

    Raises:
        CaError: forbidden, `EST-RENEWAL-ACME` (RFC 8555 §8: EST would not ask who controls the names now).
    """
    if old.protocol == ACME:
        detail = "the client certificate came over ACME, where control of its names is proven each time"
        raise _refused("EST-RENEWAL-ACME", f"{detail}; get the next one there")


def key_violations(profile: Profile, old: CertificateRecord, csr: Csr) -> Iterator[Violation]:
    """The old key in a request for the next certificate, where the profile wants a new one."""
    if profile.est.new_key_on_renewal and csr.spki_sha256 == old.spki_sha256:
        yield Violation("EST-RENEWAL-KEY", f"the profile {profile.name} is renewed with a new key", "/csr")


def next_in_chain(context: Context, profile: Profile, old: CertificateRecord) -> Renewal:
    """The place of a new certificate of this profile, if the chain of the old one may go on.

    Raises:
        CaError: forbidden, `EST-RENEWAL-COUNT` or `EST-RENEWAL-AGE`; unavailable.
    """
    with context.database.read() as connection:
        # One that came another way begins a chain of its own.
        renewed, first_at = find_chain(connection, old.id) or (0, to_epoch(old.not_before))
    most, age = profile.est.max_renewals, profile.est.max_renewal_age
    if most is not None and renewed >= most:
        raise _refused(
            "EST-RENEWAL-COUNT",
            f"the profile {profile.name} has a limit of renewals in a row, {most}; enrol anew",
        )
    now = to_epoch(context.clock.now())
    if age is not None and now - first_at > age.total_seconds():
        raise _refused(
            "EST-RENEWAL-AGE",
            f"the profile {profile.name} is renewed for {age} after the first certificate; enrol anew",
        )
    return Renewal(old.id, renewed + 1, first_at)


def _refused(rule_id: str, detail: str) -> CaError:
    return refuse(Kind.FORBIDDEN, rule_id, detail)
