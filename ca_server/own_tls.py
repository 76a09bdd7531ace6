"""The server's own certificate on disk: issued when it is due, beside the authorities of its clients."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from ca_server.compose import READY_SECONDS, SystemClock, open_context, open_issuance
from ca_server.config import Config
from ca_server.core.errors import CaError, Kind
from ca_server.services.outcome import IssuedCertificate
from ca_server.services.own_certificate import is_due, issue_own_certificate
from ca_server.store.authorities import list_authorities
from ca_server.tls import TLSFiles


def renew_own_certificate(config: Config, *, even_if_not_due: bool) -> IssuedCertificate | None:
    """Issue the server's own certificate when it is due, and write it where the HTTPS door finds it.

    Due or not, the authorities of clients are written as they are now: one may have been imported.

    Raises:
        CaError: the profile refuses the names, or the HSM or database is away.
    """
    key = _tls_key(config)
    above = _write_client_authorities(config)
    chain_file = tls_files(config).chain
    present = x509.load_pem_x509_certificate(chain_file.read_bytes()) if chain_file.exists() else None
    names = config.server.names
    if not even_if_not_due and not is_due(present, key.public_key(), names, SystemClock().now()):
        return None
    issuance = open_issuance(config, "tls")
    try:
        issuance.lane.wait_until_ready(READY_SECONDS)
        issued = issue_own_certificate(issuance.gate, issuance.mints["server"], key, names)
        leaf = x509.load_der_x509_certificate(issued.der)
        _write_pem(chain_file, [leaf, above[issued.authority_id]])
    finally:
        issuance.close()
    return issued


def tls_files(config: Config) -> TLSFiles:
    """Where the HTTPS door finds its certificate, its key and the authorities of its clients."""
    folder = config.state_directory / "tls"
    return TLSFiles(folder / "chain.pem", config.server.tls_key, folder / "clients.pem")


def _tls_key(config: Config) -> ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey:
    key = load_pem_private_key(config.server.tls_key.read_bytes(), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise CaError(Kind.BAD_PUBLIC_KEY, f"{config.server.tls_key} is neither an EC nor an RSA key")
    return key


def _write_client_authorities(config: Config) -> dict[str, x509.Certificate]:
    """Write the certificates of all our authorities, and return them by authority id."""
    path = tls_files(config).client_authorities
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    context = open_context(config)
    try:
        with context.database.read() as connection:
            authorities = list_authorities(connection)
    finally:
        context.database.close()
    certificates = {each.id: x509.load_der_x509_certificate(each.certificate_der) for each in authorities}
    _write_pem(path, list(certificates.values()))
    return certificates


def _write_pem(path: Path, certificates: list[x509.Certificate]) -> None:
    """Replace a file as a whole, so that a running server never reads half of it; not by the same again."""
    pem = b"".join(each.public_bytes(Encoding.PEM) for each in certificates)
    if path.exists() and path.read_bytes() == pem:
        return
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(pem)
    temporary.rename(path)
