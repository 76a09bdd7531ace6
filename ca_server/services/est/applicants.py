"""Who wants to enrol, by what proof, and what that lets them have (RFC 7030 §3.2.3, §3.3.2).

An applicant has one identity, or two where a profile asks for both, and then gets what both allow. A client
certificate that is presented is good, or the request is refused: no secret makes up for a bad one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.authorization import Principal, Role
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.est.device_names import device_patterns
from ca_server.core.est.resources import EnrolmentSecret
from ca_server.core.profile import Profile
from ca_server.peer import Peer
from ca_server.services.access import ClientCertificate, judge_client_certificate, principal_of_grant
from ca_server.services.est.limits import count_failure
from ca_server.services.est.parts import EstParts
from ca_server.services.est.secrets import verify_secret
from ca_server.services.est.succession import require_lasting
from ca_server.store.inventory import CertificateRecord


@dataclass(frozen=True, slots=True)
class Identity:
    """One proof of who asks, and what it allows.

    Without `record`, the principal's patterns bound the names. With it, they are names of that certificate
    of ours, each literally one of its own; `subject` are attributes that it may repeat (R17).
    """

    principal: Principal
    record: CertificateRecord | None = None
    subject: x509.Name | None = None


@dataclass(frozen=True, slots=True)
class Applicant:
    """Whoever asks for a first certificate.

    `identities` is never empty, and its first is who the certificate is issued to. `secret` is the one that
    is used up by it, `password` its text, which keys for this client are wrapped with; `certificate` is the
    one that the client showed. `channel_binding` is the connection's, as `Peer` has it.
    """

    identities: tuple[Identity, ...]
    address: str
    channel_binding: Callable[[], bytes | None]
    certificate: x509.Certificate | None = None
    secret: EnrolmentSecret | None = None
    password: str | None = field(default=None, repr=False)

    @property
    def principal(self) -> Principal:
        """Who the certificate is issued to."""
        return self.identities[0].principal


def check_presented(parts: EstParts, peer: Peer) -> None:
    """Pass a client without a certificate, and one whose certificate is good.

    Raises:
        CaError: unauthenticated, an `ACCESS-CERT-...` rule; unavailable.
    """
    _presented(parts, peer)


def identify(
    parts: EstParts, peer: Peer, basic: tuple[str, str] | None, address: str, profile: Profile
) -> Applicant:
    """Who asks for a certificate of this profile; `basic` are user name and password of HTTP Basic.

    Where the profile takes either, a secret that is given speaks alone.

    Raises:
        CaError: unauthenticated, `ACCESS-CREDENTIALS`, an `ACCESS-CERT-...` rule, `ACCESS-DEVICE-NAME`,
            `ACCESS-IDENTITY` or `EST-SECRET`; forbidden, `EST-RENEWAL-ACME`; rate_limited,
            `EST-LIMIT-FAILURES`; unavailable.
    """
    presented = _presented(parts, peer)
    wanted = profile.est.authentication
    _require_given(wanted, has_certificate=presented is not None, has_secret=basic is not None)
    identities: list[Identity] = []
    secret, password = None, None
    if basic is not None and wanted != "certificate":
        secret, password = _verify(parts, address, *basic), basic[1]
    if presented is not None and (wanted in {"certificate", "both"} or secret is None):
        identities.append(_identity_of_certificate(parts, presented, profile))
    if secret is not None:
        identities.append(_identity_of_secret(secret))
    return Applicant(
        identities=tuple(identities),
        address=address,
        channel_binding=peer.channel_binding,
        certificate=presented.certificate if presented else None,
        secret=secret,
        password=password,
    )


def _presented(parts: EstParts, peer: Peer) -> ClientCertificate | None:
    if peer.certificate is None:
        return None
    return judge_client_certificate(parts.context, peer.certificate, parts.manufacturers.judge)


def _require_given(wanted: str, *, has_certificate: bool, has_secret: bool) -> None:
    enough = {
        "certificate": has_certificate,
        "secret": has_secret,
        "either": has_certificate or has_secret,
        "both": has_certificate and has_secret,
    }
    if not enough[wanted]:
        words = {
            "certificate": "a client certificate",
            "secret": "an enrolment secret by HTTP Basic",
            "either": "a client certificate, or an enrolment secret by HTTP Basic",
            "both": "a client certificate and an enrolment secret by HTTP Basic, both",
        }
        raise refuse(Kind.UNAUTHENTICATED, "ACCESS-CREDENTIALS", f"give {words[wanted]}")


def _verify(parts: EstParts, address: str, secret_id: str, text: str) -> EnrolmentSecret:
    """The secret, if its text is right; only whoever fails is told to wait, so that nobody is kept out."""
    try:
        return verify_secret(parts.context, secret_id, text)
    except CaError as error:
        if error.kind is Kind.UNAUTHENTICATED:
            count_failure(parts.context, parts.settings.limits, secret_id, address)
        raise


def _identity_of_secret(secret: EnrolmentSecret) -> Identity:
    return Identity(
        Principal(f"secret:{secret.id}", Role.REQUESTER, "enrolment-secret", (secret.profile,), secret.names)
    )


def _identity_of_certificate(parts: EstParts, presented: ClientCertificate, profile: Profile) -> Identity:
    """A granted key's, a device's as its manufacturer's section says, or that of one of our certificates."""
    certificate, manufacturer = presented.certificate, presented.manufacturer
    if manufacturer is not None:
        principal = Principal(
            f"manufacturer:{manufacturer.name}:{presented.spki_sha256}",
            Role.REQUESTER,
            "tls-device-certificate",
            manufacturer.profiles,
            device_patterns(manufacturer.names, certificate.subject),
        )
        return Identity(principal, subject=certificate.subject)
    grant, record = presented.grant, presented.record
    if grant is not None and grant.is_live(parts.context.clock.now()):
        return Identity(principal_of_grant(grant))
    if record is None or not any(fnmatchcase(record.profile, each) for each in profile.est.identity_profiles):
        raise refuse(
            Kind.UNAUTHENTICATED,
            "ACCESS-IDENTITY",
            f"the client certificate is no identity for {profile.name}, and no role is granted to its key",
        )
    require_lasting(record)
    return Identity(principal_of_certificate(certificate, (profile.name,)), record, certificate.subject)


def principal_of_certificate(certificate: x509.Certificate, profiles: tuple[str, ...]) -> Principal:
    """Who one of our own certificates stands for; what names it may have is for the caller to say."""
    digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()
    return Principal(f"certificate:{digest}", Role.REQUESTER, "tls-client-certificate", profiles)
