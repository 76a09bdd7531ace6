"""Certificates on their way to an EST client: a CMS SignedData that signs nothing (RFC 5751 §3.2.2)."""

from __future__ import annotations

from collections.abc import Iterable

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7


def certs_only(certificates: Iterable[x509.Certificate]) -> bytes:
    """The DER of a "certs-only" message (RFC 7030 §4.1.3, §4.2.3) with each certificate once.

    There is one at least. DER wants the members of a set in the order of their bytes, so the order in which
    they are given says nothing.
    """
    each_once = list(dict.fromkeys(certificates))
    return pkcs7.serialize_certificates(each_once, Encoding.DER)
