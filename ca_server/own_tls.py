"""The server's own certificate on disk: issued when it is due."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from ca_server.compose import READY_SECONDS, SystemClock, open_issuance
from ca_server.config import Config
from ca_server.core.errors import CaError, Kind
from ca_server.services.outcome import IssuedCertificate
from ca_server.services.own_certificate import is_due, issue_own_certificate
from ca_server.store.authorities import authority_chain
from ca_server.tls import TLSFiles


def renew_own_certificate(config: Config, *, even_if_not_due: bool) -> IssuedCertificate | None:
    """Issue the server's own certificate when it is due, and write it where the HTTPS door finds it.

    Raises:
        CaError: the profile refuses the names, or the HSM or database is away.
    """
    key = _tls_key(config)
    chain_file = tls_files(config).chain
    present = x509.load_pem_x509_certificate(chain_file.read_bytes()) if chain_file.exists() else None
    names = config.server.names
    if not even_if_not_due and not is_due(present, key.public_key(), names, SystemClock().now()):
        return None
    issuance = open_issuance(config, "tls")
    try:
        issuance.lane.wait_until_ready(READY_SECONDS)
        issued = issue_own_certificate(issuance.gate, issuance.mints["server"], key, names)
        with issuance.context.database.read() as connection:
            authority = authority_chain(connection, issued.authority_id)[0]
        _write_pem(chain_file, [issued.der, authority.certificate_der])
    finally:
        issuance.close()
    return issued


def tls_files(config: Config) -> TLSFiles:
    """Where the HTTPS door, or the proxy in front of it, finds its certificate and key."""
    return TLSFiles(config.state_directory / "tls" / "chain.pem", config.server.tls_key)


def _tls_key(config: Config) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    key = load_pem_private_key(config.server.tls_key.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CaError(Kind.BAD_PUBLIC_KEY, f"{config.server.tls_key} is neither an EC nor an RSA key")
    return key


def _write_pem(path: Path, certificates: list[bytes]) -> None:
    """Replace a file as a whole, so that a running server never reads half of it."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(
        b"".join(x509.load_der_x509_certificate(each).public_bytes(Encoding.PEM) for each in certificates)
    )
    temporary.rename(path)
