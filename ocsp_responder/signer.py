"""The delegated keys: certificates checked before anything is answered, tokens opened when first needed.

One thread of one process uses a token. A token that is away does not keep the responder from starting; one
that refused (a wrong PIN) is never asked again by this process, so that it is not locked by trying.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.x509.oid import ExtendedKeyUsageOID

from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.ocsp import IssuerId, ResponseSigner, issuer_ids
from ca_server.core.signatures import SignatureAlgorithm
from ca_server.hsm import health
from ca_server.hsm.port import HsmRefused, KeyStore, Signer
from ca_server.hsm.uri import KeyUri
from ocsp_responder.config import IssuerConfig, ResponderConfig
from ocsp_responder.metrics import HSM_SIGN_SECONDS

MAX_CERTIFICATE_BYTES = 64 * 1024

OpenToken = Callable[[str], KeyStore]


@dataclass(frozen=True, slots=True)
class Issuer:
    """An authority that this responder answers for, by every name that clients give it.

    `check` makes a real signature and throws it away.
    """

    authority_id: str
    ids: tuple[IssuerId, ...]
    signer: ResponseSigner
    check: Callable[[], None]

    def require_valid(self, now: datetime) -> None:
        """Pass while the delegated certificate is valid.

        Raises:
            CaError: unavailable, `OCSP-EXPIRED`.
        """
        certificate = self.signer.certificate
        if not certificate.not_valid_before_utc <= now < certificate.not_valid_after_utc:
            raise refuse(Kind.UNAVAILABLE, "OCSP-EXPIRED", "the responder's certificate is not valid now")


class Tokens:
    """The open tokens of this process, by label."""

    def __init__(self, open_token: OpenToken) -> None:
        self._open_token = open_token
        self._open: dict[str, KeyStore] = {}
        self._refused: dict[str, HsmRefused] = {}

    def signer(self, key: KeyUri) -> Signer:
        """The key, its token opened if need be.

        Raises:
            HsmUnavailable: the token is away.
            HsmRefused: there is no such key, or the token refused, now or before.
        """
        if key.token in self._refused:
            raise self._refused[key.token]
        try:
            if key.token not in self._open:
                self._open[key.token] = self._open_token(key.token)
        except HsmRefused as error:
            self._refused[key.token] = error
            raise
        return self._open[key.token].signer(label=key.label, key_id=key.key_id)

    def close(self) -> None:
        """Log out everywhere."""
        while self._open:
            self._open.popitem()[1].close()


class DelegatedKey:
    """One responder's key, found in its token when it is first asked to sign."""

    def __init__(self, authority_id: str, key: KeyUri, certificate: x509.Certificate, tokens: Tokens) -> None:
        self._authority_id = authority_id
        self._key = key
        self._certificate = certificate
        self._tokens = tokens
        self._signer: Signer | None = None

    def sign(self, data: bytes, algorithm: SignatureAlgorithm) -> bytes:
        """A signature of the token, checked in software.

        Raises:
            HsmUnavailable, HsmRefused, SignatureUnknown: as `hsm.port.Signer.sign`.
        """
        signer = self._find()
        start = time.perf_counter()
        signature = signer.sign(data, algorithm)
        HSM_SIGN_SECONDS.labels(self._authority_id).observe(time.perf_counter() - start)
        return signature

    def check(self) -> None:
        """Make one real signature, over bytes that are no response.

        Raises:
            HsmUnavailable, HsmRefused, SignatureUnknown: as `sign`.
        """
        health.check(self._find())

    def _find(self) -> Signer:
        if self._signer is None:
            signer = self._tokens.signer(self._key)
            if signer.public_key != self._certificate.public_key():
                raise HsmRefused(f"key {self._key} is not the key of the responder's certificate")
            self._signer = signer
        return self._signer


def load_issuers(config: ResponderConfig, tokens: Tokens) -> tuple[Issuer, ...]:
    """Every authority of the configuration, its delegated certificate checked; no token is opened.

    Raises:
        CaError: malformed, `OCSP-CERTIFICATE`, `OCSP-DELEGATION` or `OCSP-TWICE`; not_found, a file cannot be
            read.
    """
    issuers = tuple(_load_issuer(each, tokens) for each in config.issuer)
    ids = [issuer_id for issuer in issuers for issuer_id in issuer.ids]
    if len(set(ids)) != len(ids):
        raise refuse(Kind.MALFORMED, "OCSP-TWICE", "an authority is answered for twice")
    return issuers


def check_delegation(certificate: x509.Certificate, authority: x509.Certificate) -> None:
    """Pass only a certificate that this authority issued for answering in its name (RFC 6960 §4.2.2.2).

    Raises:
        CaError: malformed, `OCSP-DELEGATION`.
    """
    extensions = certificate.extensions
    try:
        certificate.verify_directly_issued_by(authority)
        usage = extensions.get_extension_for_class(x509.KeyUsage).value
        purposes = extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
        extensions.get_extension_for_class(x509.OCSPNoCheck)
    except (InvalidSignature, ValueError, TypeError, x509.ExtensionNotFound) as error:
        raise _bad_delegation() from error
    if ExtendedKeyUsageOID.OCSP_SIGNING not in purposes or not usage.digital_signature:
        raise _bad_delegation()


def _load_issuer(config: IssuerConfig, tokens: Tokens) -> Issuer:
    authority = _load_certificate(config.authority_certificate)
    certificate = _load_certificate(config.certificate)
    check_delegation(certificate, authority)
    key = DelegatedKey(config.authority, config.key, certificate, tokens)
    return Issuer(config.authority, issuer_ids(authority), ResponseSigner(certificate, key.sign), key.check)


def _load_certificate(path: Path) -> x509.Certificate:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_CERTIFICATE_BYTES + 1)
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"cannot read {path}: {error.strerror}") from error
    is_pem = data.lstrip().startswith(b"-----BEGIN")
    try:
        return x509.load_pem_x509_certificate(data) if is_pem else x509.load_der_x509_certificate(data)
    except ValueError as error:
        raise refuse(Kind.MALFORMED, "OCSP-CERTIFICATE", f"{path} holds no certificate") from error


def _bad_delegation() -> CaError:
    return refuse(
        Kind.MALFORMED,
        "OCSP-DELEGATION",
        "the responder's certificate must be issued by the authority itself, for digitalSignature and "
        "OCSPSigning, with id-pkix-ocsp-nocheck",
    )
