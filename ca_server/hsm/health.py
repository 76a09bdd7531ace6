"""Whether a key can be used now, which only a signature shows."""

from __future__ import annotations

from ca_server.core.signatures import default_algorithm
from ca_server.hsm.port import Signer

# Text, and no DER SEQUENCE: nobody can take the signature for one over a certificate, CRL or OCSP response.
_MESSAGE = b"sealkeeper health check: this signature stands for nothing\n"


def check(signer: Signer) -> None:
    """Make one real signature and verify it; opening a session succeeds even on a token that is gone.

    Raises:
        HsmUnavailable: the token is away.
        HsmRefused: the token will not sign.
        SignatureUnknown: the token may have signed; the process must end.
    """
    signer.sign(_MESSAGE, default_algorithm(signer.key_type))
