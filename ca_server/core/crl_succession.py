"""Whether a CRL may follow another of its issuer: later, numbered higher, and no revocation forgotten."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from cryptography import x509

from ca_server.core.errors import Kind, refuse


def check_succession(
    previous: x509.CertificateRevocationList,
    following: x509.CertificateRevocationList,
    ends: Mapping[int, datetime],
) -> None:
    """Refuse a CRL that goes back; `ends` is when certificates end, by serial number, as far as is known.

    An entry stays until a CRL was made after its certificate's end (RFC 5280 §3.3). Of a certificate that
    nobody here knows the end is not known, so its entry stays for ever.

    Raises:
        CaError: conflict, `CEREMONY-CRL-NUMBER` or `CEREMONY-CRL-LOST`.
    """
    before, now = crl_number(previous), crl_number(following)
    if now <= before or following.last_update_utc < previous.last_update_utc:
        detail = f"CRL {now} of {following.last_update_utc} does not follow CRL {before}"
        raise refuse(Kind.CONFLICT, "CEREMONY-CRL-NUMBER", detail)
    kept = {each.serial_number for each in following}
    for entry in previous:
        end = ends.get(entry.serial_number)
        # The entry must have stood on one CRL that was made after the certificate's end.
        expired = end is not None and previous.last_update_utc > end
        if entry.serial_number not in kept and not expired:
            detail = (
                f"CRL {now} no longer has certificate {entry.serial_number:x}, which CRL {before} revoked"
            )
            raise refuse(Kind.CONFLICT, "CEREMONY-CRL-LOST", detail)


def crl_number(crl: x509.CertificateRevocationList) -> int:
    """Its number (RFC 5280 §5.2.3).

    Raises:
        x509.ExtensionNotFound: it has none.
    """
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number
