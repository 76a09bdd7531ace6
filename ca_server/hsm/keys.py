"""A key in a token, as the private-key object that `cryptography`'s builders ask for."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric.types import CertificateIssuerPrivateKeyTypes

from ca_server.core.signing_key import signing_key
from ca_server.hsm.port import Signer


def private_key(signer: Signer) -> CertificateIssuerPrivateKeyTypes:
    """The key object whose every signature the token makes.

    Whole messages only. Two gaps are the builders' own (cryptography 50): an OCSP response cannot be
    signed with RSA-PSS, and a PKCS#7 cannot be signed with Ed25519.
    """
    return signing_key(signer.public_key, signer.sign)
