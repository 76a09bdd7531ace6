"""Whether keys did what was approved and nothing else: each signature over bytes of the bundle.

What leaves the ceremony as a certificate, CRL or CSR was signed in it, once approved, and was signed by the
key that the transcript names.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from pydantic import ValidationError

from ca_server.core.bundle import API_SERVER_CSR, Bundle, KeyEntry
from ca_server.core.ceremony.grammar import COMPLETED
from ca_server.core.ceremony.transcript import Event, Line
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.signatures import PublicKey, key_type_of, spki_sha256

CHALLENGE = "sealkeeper ceremony challenge v1"

_MADE = ("authorities/", "certificates/", "crls/", "csrs/", "responders/")
_BAD_DER = (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion, x509.DuplicateExtension)


@dataclass(frozen=True, slots=True)
class _Product:
    """A signed object of the bundle; `spki_sha256` is of the key that verifies it, where that is there."""

    path: str
    tbs: bytes
    signature: bytes
    spki_sha256: str | None


def check_products(lines: Sequence[Line], bundle: Bundle, approved: Mapping[str, int]) -> None:
    """Refuse a use of a key that nobody approved, and a product that no use of a key explains.

    Raises:
        CaError: malformed; `CEREMONY-UNAPPROVED`, `CEREMONY-PRODUCT`, `CEREMONY-FILE-CHANGED` or
            `BUNDLE-KEYS`.
    """
    _check_named_files(lines, bundle)
    _check_made_keys(lines, bundle)
    products = {path: _read(path, bundle) for path in bundle.files if _is_product(path, bundle)}
    explained: set[str] = set()
    for line in lines:
        if line.event is Event.EFFECT and "input_sha256" in line.data:
            explained |= _check_signature(line, bundle, approved, products)
    if unexplained := sorted(products.keys() - explained):
        detail = f"{unexplained[0]}: the transcript has no signature that made it"
        raise refuse(Kind.MALFORMED, "CEREMONY-PRODUCT", detail)


def _is_product(path: str, bundle: Bundle) -> bool:
    """No token signed here what came from elsewhere and is handed on, nor the server's own CSR."""
    if not path.startswith(_MADE) or path == API_SERVER_CSR:
        return False
    same = (each for name, each in bundle.files.items() if name.startswith("inputs/"))
    return bundle.files[path] not in same


def check_inputs(opened: Line, bundle: Bundle) -> None:
    """Refuse inputs that are not those of the script, or not those that the opening wrote down.

    Raises:
        CaError: malformed, `CEREMONY-INPUT` or `CEREMONY-INPUT-UNPINNED`.
    """
    pinned = {each.name: each.sha256 for each in bundle.script.inputs}
    there = {path.removeprefix("inputs/") for path in bundle.files if path.startswith("inputs/")}
    if there != pinned.keys():
        detail = f"input {min(there ^ pinned.keys())} is in the bundle or in the script, not both"
        raise refuse(Kind.MALFORMED, "CEREMONY-INPUT", detail)
    for name, wanted in pinned.items():
        digest = bundle.closing.files[f"inputs/{name}"]
        if wanted is None and bundle.closing.mode == "production":
            detail = f"the script of a production ceremony does not pin input {name}"
            raise refuse(Kind.MALFORMED, "CEREMONY-INPUT-UNPINNED", detail)
        noted = opened.data.get("inputs")
        if wanted not in {None, digest} or not isinstance(noted, dict) or noted.get(name) != digest:
            detail = f"input {name} is another than the script or the opening says"
            raise refuse(Kind.MALFORMED, "CEREMONY-INPUT", detail)


def _check_named_files(lines: Sequence[Line], bundle: Bundle) -> None:
    """Each file is as the last step that wrote it left it."""
    named: dict[str, str] = {}
    for line in lines:
        if line.event is Event.DONE:
            named |= line.data["files"]
    for path, digest in named.items():
        if bundle.closing.files.get(path) != digest:
            detail = f"{path} is not there as the transcript says it was written"
            raise refuse(Kind.MALFORMED, "CEREMONY-FILE-CHANGED", detail)


def _check_made_keys(lines: Sequence[Line], bundle: Bundle) -> None:
    """The list of keys has what tokens said when they made them."""
    told = [line.data["key"] for line in lines if line.event is Event.EFFECT and "key" in line.data]
    made = []
    for each in told:
        with suppress(ValidationError):
            made.append(KeyEntry.model_validate(each, strict=False))
    if len(made) != len(told) or set(made) != set(bundle.keys):
        detail = "keys.json does not have the very keys that the transcript says were made"
        raise refuse(Kind.MALFORMED, "BUNDLE-KEYS", detail)


def _check_signature(
    line: Line, bundle: Bundle, approved: Mapping[str, int], products: Mapping[str, _Product]
) -> set[str]:
    """The products that a signature of the transcript made; one that was not released made none."""
    data = line.data
    path, digest = data.get("input"), data.get("input_sha256")
    signed = bundle.files.get(path) if isinstance(path, str) else None
    if signed is None or hashlib.sha256(signed).hexdigest() != digest:
        raise _refuse("CEREMONY-PRODUCT", line, "the bytes that were signed are not in the bundle")
    if not data.get("released"):
        _check_challenge(line, str(path), signed, bundle)
        return set()
    if approved.get(str(digest), line.seq) >= line.seq:
        raise _refuse("CEREMONY-UNAPPROVED", line, f"nobody had approved {path} when it was signed")
    made = {each.path for each in products.values() if each.tbs == signed}
    for name in made:
        product = products[name]
        if product.signature.hex() != data.get("output") or product.spki_sha256 != data.get(
            "key_spki_sha256"
        ):
            raise _refuse("CEREMONY-PRODUCT", line, f"{name} has another signature, or that of another key")
    if not made and bundle.closing.outcome in COMPLETED:
        raise _refuse("CEREMONY-PRODUCT", line, f"what was made of {path} is not in the bundle")
    return made


def _check_challenge(line: Line, path: str, text: bytes, bundle: Bundle) -> None:
    """What a key signs without an approval proves that it is there, and can prove nothing else.

    A text that begins with these words is no certificate, CRL, OCSP response or checkpoint.
    """
    words = f"{CHALLENGE}\nceremony: {bundle.manifest.ceremony}\nstep: {line.step}\n".encode()
    if path != f"challenges/{line.step}.txt" or not text.startswith(words):
        raise _refuse("CEREMONY-UNAPPROVED", line, f"nobody had approved {path} when it was signed")


def _read(path: str, bundle: Bundle) -> _Product:
    data = bundle.files[path]
    try:
        if path.endswith(".crl"):
            crl = x509.load_der_x509_crl(data)
            return _Product(path, crl.tbs_certlist_bytes, crl.signature, _signer(crl, bundle))
        if path.endswith(".csr"):
            csr = x509.load_der_x509_csr(data)
            spki = _spki(csr.public_key()) if csr.is_signature_valid else None
            return _Product(path, csr.tbs_certrequest_bytes, csr.signature, spki)
        certificate = x509.load_der_x509_certificate(data)
        return _Product(
            path, certificate.tbs_certificate_bytes, certificate.signature, _signer(certificate, bundle)
        )
    except _BAD_DER as error:
        raise refuse(Kind.MALFORMED, "CEREMONY-PRODUCT", f"{path} cannot be read") from error


def _signer(signed: x509.Certificate | x509.CertificateRevocationList, bundle: Bundle) -> str | None:
    """The SPKI digest of the certificate in the bundle whose key made a signature; None where none did."""
    for issuer in _certificates(bundle):
        with suppress(*_BAD_DER, InvalidSignature):
            if isinstance(signed, x509.Certificate):
                signed.verify_directly_issued_by(issuer)
                return _spki(issuer.public_key())
            public_key: Any = issuer.public_key()
            if signed.issuer == issuer.subject and signed.is_signature_valid(public_key):
                return _spki(public_key)
    return None


def _certificates(bundle: Bundle) -> Iterator[x509.Certificate]:
    for path, data in bundle.files.items():
        if path.startswith(("authorities/", "certificates/", "inputs/")):
            pem = data.startswith(b"-----BEGIN CERTIFICATE-----")
            with suppress(*_BAD_DER):
                yield x509.load_pem_x509_certificate(data) if pem else x509.load_der_x509_certificate(data)


def _spki(public_key: object) -> str | None:
    if key_type_of(public_key) is None:
        return None
    # key_type_of knows exactly the classes of PublicKey.
    known: PublicKey = public_key  # type: ignore[assignment]
    return spki_sha256(known)


def _refuse(rule_id: str, line: Line, detail: str) -> CaError:
    return refuse(Kind.MALFORMED, rule_id, f"line {line.seq} of the transcript: {detail}")
