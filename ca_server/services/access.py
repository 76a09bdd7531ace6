"""Who is there, and what may they have: API tokens, granted keys, and the last step before the gate.

A role is granted to a secret or to a public key, never to a name in a certificate (R20). Whatever cannot
be checked is refused (R15): a database that does not answer lets nobody in.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from fnmatch import fnmatchcase

from cryptography import x509

from ca_server.core.authorization import Authorization, Mint, Principal
from ca_server.core.client_certificates import check_client_chain, key_digest, parse_certificate
from ca_server.core.csr import Csr
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.est.settings import Manufacturer
from ca_server.core.name_patterns import matches
from ca_server.core.roles import Action, permits
from ca_server.services.context import Context
from ca_server.store import access, inventory
from ca_server.store.access import Credential, CredentialType
from ca_server.store.authorities import authority_chain
from ca_server.store.inventory import CertificateRecord
from ca_server.store.issuance import is_compromised

MAX_SECRET_LENGTH = 128

# Who vouches for a certificate that is not ours, which is judged thereby; None where nobody does.
DeviceCheck = Callable[[x509.Certificate, datetime], Manufacturer | None]


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """A client certificate that is good in every respect, its private key proven.

    Ours has its `record`, and its key perhaps a `grant`, live or not; a device's has its `manufacturer`.
    """

    certificate: x509.Certificate
    spki_sha256: str
    record: CertificateRecord | None
    grant: Credential | None
    manufacturer: Manufacturer | None


def authenticate_token(context: Context, secret: str) -> Principal:
    """The principal whose token this is; found by digest, so no comparison leaks how near a guess was.

    Raises:
        CaError: unauthenticated, `ACCESS-TOKEN`: unknown, ended or past its end - the answer does not say
            which; unavailable.
    """
    refusal = refuse(Kind.UNAUTHENTICATED, "ACCESS-TOKEN", "this API token is not valid")
    if len(secret) > MAX_SECRET_LENGTH or not secret.isascii():
        raise refusal
    digest = hashlib.sha256(secret.encode()).hexdigest()
    with context.database.read() as connection:
        token = access.find_credential(connection, CredentialType.TOKEN, digest)
    if token is None or not hmac.compare_digest(token.digest, digest):
        raise refusal
    if not token.is_live(context.clock.now()):
        raise refusal
    return Principal(f"token:{token.id}", token.role, "token", token.profiles, token.names)


def _nobody(_certificate: x509.Certificate, _now: datetime) -> Manufacturer | None:
    return None


def judge_client_certificate(
    context: Context, der: bytes, vouched_for: DeviceCheck = _nobody
) -> ClientCertificate:
    """What a client certificate is, once it is known to be good now; the same judgement at every door (R13).

    TLS has proven the private key, and nothing else. Here: issued by us or vouched for, chain, time,
    extended key usage, revocation of it and of every authority above it, and the compromise list.

    Raises:
        CaError: unauthenticated, an `ACCESS-CERT-...` rule; unavailable.
    """
    certificate = parse_certificate(der)
    spki = key_digest(certificate)
    now = context.clock.now()
    manufacturer = None
    with context.database.read() as connection:
        issued = inventory.find_certificate(connection, hashlib.sha256(der).hexdigest())
        authorities = authority_chain(connection, issued.authority_id) if issued else []
        chain = [certificate, *(x509.load_der_x509_certificate(each.certificate_der) for each in authorities)]
        revoked = any(
            inventory.is_revoked(connection, authority.id, f"{each.serial_number:040x}")
            for authority, each in zip(authorities, chain, strict=False)
        )
        compromised = is_compromised(connection, spki)
        grant = access.find_credential(connection, CredentialType.GRANT, spki) if issued else None
    if issued is not None:
        check_client_chain(chain, now)
    else:
        manufacturer = vouched_for(certificate, now)
        if manufacturer is None:
            raise _unauthenticated("ACCESS-CERT-UNKNOWN", "the client certificate was not issued here")
    if revoked:
        raise _unauthenticated(
            "ACCESS-CERT-REVOKED", "the client certificate or an authority above it is revoked"
        )
    if compromised:
        raise _unauthenticated(
            "ACCESS-CERT-COMPROMISED", "the client certificate's key is on the compromise list"
        )
    return ClientCertificate(certificate, spki, issued, grant, manufacturer)


def authenticate_client_certificate(context: Context, der: bytes) -> Principal:
    """The principal to whose key a role was granted, when the certificate is good in every respect (R20).

    Raises:
        CaError: unauthenticated, an `ACCESS-CERT-...` rule or `ACCESS-GRANT`; unavailable.
    """
    grant = judge_client_certificate(context, der).grant
    if grant is None or not grant.is_live(context.clock.now()):
        raise _unauthenticated("ACCESS-GRANT", "no role is granted to the client certificate's key")
    return principal_of_grant(grant)


def principal_of_grant(grant: Credential) -> Principal:
    """Who a granted key stands for, and what it may have."""
    return Principal(f"key:{grant.id}", grant.role, "tls-client-certificate", grant.profiles, grant.names)


def require_permission(principal: Principal, action: Action) -> None:
    """Pass only a principal whose role may try the action.

    Raises:
        CaError: forbidden, `ACCESS-ROLE`.
    """
    if not permits(principal.role, action):
        raise refuse(Kind.FORBIDDEN, "ACCESS-ROLE", f"the role {principal.role} does not allow {action}")


def authorize_request(mint: Mint, principal: Principal, profile: str, csr: Csr) -> Authorization:
    """REST's completion step: seal permission for exactly what this CSR names, if the principal may have it.

    The subject is judged by the gate, against the profile. A CSR without names is bounded by no pattern,
    so only a principal who may have every name gets one.

    Raises:
        CaError: forbidden, with every broken rule of `ACCESS-ROLE`, `ACCESS-PROFILE` and `ACCESS-NAME`.
    """
    require_allowed(principal, profile, csr)
    return mint.authorize(principal, profile, csr.identifiers)


def require_allowed(principal: Principal, profile: str, csr: Csr) -> None:
    """Pass only a CSR for a profile and names that the principal may have, whatever the protocol (R14).

    Raises:
        CaError: forbidden, with every broken rule of `ACCESS-ROLE`, `ACCESS-PROFILE` and `ACCESS-NAME`.
    """
    require_permission(principal, Action.REQUEST_CERTIFICATE)
    violations: list[Violation] = []
    if not any(fnmatchcase(profile, pattern) for pattern in principal.profiles):
        violations.append(
            Violation("ACCESS-PROFILE", "this credential does not allow this profile", "/profile")
        )
    if "*" not in principal.names:
        violations += _name_violations(principal, csr)
    if violations:
        detail = "this credential does not allow what is asked for"
        raise CaError(Kind.FORBIDDEN, detail, violations=tuple(violations))


def _name_violations(principal: Principal, csr: Csr) -> list[Violation]:
    if not csr.identifiers:
        return [Violation("ACCESS-NAME", "this credential needs at least one name in the CSR", "/csr")]
    return [
        Violation("ACCESS-NAME", f"this credential does not allow the name {identifier}", "/csr")
        for identifier in sorted(csr.identifiers)
        if not any(matches(identifier, pattern) for pattern in principal.names)
    ]


def _unauthenticated(rule_id: str, detail: str) -> CaError:
    return refuse(Kind.UNAUTHENTICATED, rule_id, detail)
