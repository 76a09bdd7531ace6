"""The two gates of every signature: lints before it, verification after it."""

from __future__ import annotations

from cryptography.exceptions import InvalidSignature

from ca_server.core.assemble import Unsigned
from ca_server.core.errors import CaError, Kind, Violation
from ca_server.core.lints import Finding, blocking
from ca_server.core.signatures import verify_signature
from ca_server.hsm.port import HsmRefused, Signer


def require_clean(what: str, findings: tuple[Finding, ...]) -> None:
    """Pass only what no lint objects to.

    Raises:
        CaError: policy_refused, `CEREMONY-LINT` for each finding.
    """
    blockers = blocking(findings)
    if not blockers:
        return
    violations = tuple(
        Violation("CEREMONY-LINT", f"{each.severity} {each.code}: {each.detail}") for each in blockers
    )
    raise CaError(Kind.POLICY_REFUSED, f"{what} was not signed: lints object", violations=violations)


def sign_exactly(signer: Signer, unsigned: Unsigned) -> bytes:
    """The signature over the very bytes that were linted, verified here once more before it is used.

    Raises:
        HsmRefused: the token gave a signature that is not this key's over these bytes.
    """
    signature = signer.sign(unsigned.tbs, unsigned.algorithm)
    try:
        verify_signature(signer.public_key, signature, unsigned.tbs, unsigned.algorithm)
    except InvalidSignature as error:
        raise HsmRefused("the token gave a signature that does not verify") from error
    return signature
