"""Who is there, and what may they have: API tokens, granted keys, and the last step before the gate.

A role is granted to a secret or to a public key, never to a name in a certificate (R20). Whatever cannot
be checked is refused (R15): a database that does not answer lets nobody in.
"""

from __future__ import annotations

import hashlib
import hmac
from fnmatch import fnmatchcase

from cryptography import x509

from ca_server.core.authorization import Authorization, Mint, Principal
from ca_server.core.client_certificates import check_client_chain, parse_certificate
from ca_server.core.csr import Csr
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.name_patterns import matches
from ca_server.core.roles import Action, permits
from ca_server.services.context import Context
from ca_server.store import access, inventory
from ca_server.store.access import CredentialType
from ca_server.store.authorities import authority_chain

MAX_SECRET_LENGTH = 128


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


def authenticate_client_certificate(context: Context, der: bytes) -> Principal:
    """The principal to whose key a role was granted, when the certificate is good in every respect.

    TLS has proven the private key. Here: issued by us, chain, time, extended key usage, revocation of it
    and of every authority above it, then the grant of its public key (R13, R20).

    Raises:
        CaError: unauthenticated, an `ACCESS-CERT-...` rule or `ACCESS-GRANT`; unavailable.
    """
    certificate = parse_certificate(der)
    now = context.clock.now()
    with context.database.read() as connection:
        issued = inventory.find_certificate(connection, hashlib.sha256(der).hexdigest())
        if issued is None:
            raise _unauthenticated("ACCESS-CERT-UNKNOWN", "the client certificate was not issued here")
        authorities = authority_chain(connection, issued.authority_id)
        above = [x509.load_der_x509_certificate(each.certificate_der) for each in authorities]
        check_client_chain([certificate, *above], now)
        issuers = [authority.id for authority in authorities]
        for issuer, each in zip(issuers, [certificate, *above], strict=False):
            if inventory.is_revoked(connection, issuer, f"{each.serial_number:040x}"):
                raise _unauthenticated(
                    "ACCESS-CERT-REVOKED", "the client certificate or an authority above it is revoked"
                )
        grant = access.find_credential(connection, CredentialType.GRANT, issued.spki_sha256)
    if grant is None or not grant.is_live(now):
        raise _unauthenticated("ACCESS-GRANT", "no role is granted to the client certificate's key")
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
    return mint.authorize(principal, profile, csr.identifiers)


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
