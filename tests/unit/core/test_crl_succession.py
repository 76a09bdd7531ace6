"""A CRL follows another: later, numbered higher, and with every revocation that still matters."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256

from ca_server.core.crl_succession import check_succession, crl_number
from ca_server.core.errors import CaError, Kind

NOON = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
DAY = timedelta(days=1)
KEY = ec.generate_private_key(ec.SECP256R1())


def crl(number: int, serials: tuple[int, ...], day: int) -> x509.CertificateRevocationList:
    builder = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(x509.Name([]))
        .last_update(NOON + day * DAY)
        .next_update(NOON + 365 * DAY)
        .add_extension(x509.CRLNumber(number), critical=False)
    )
    for serial in serials:
        entry = x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(NOON).build()
        builder = builder.add_revoked_certificate(entry)
    return builder.sign(KEY, SHA256())


@pytest.mark.parametrize(
    ("following", "ends"),
    [
        (crl(6, (1, 2), 1), {}),
        (crl(6, (1, 2, 3), 1), {}),
        (crl(99, (1, 2), 30), {}),
        (crl(6, (1, 2), 0), {}),
        # Certificate 2 had ended before the last CRL was made, which still had it.
        (crl(6, (1,), 1), {2: NOON - DAY}),
    ],
)
def test_what_follows(following, ends):
    check_succession(crl(5, (1, 2), 0), following, ends)


@pytest.mark.parametrize(
    ("following", "ends", "rule_id"),
    [
        (crl(5, (1, 2), 1), {}, "CEREMONY-CRL-NUMBER"),
        (crl(4, (1, 2), 1), {}, "CEREMONY-CRL-NUMBER"),
        (crl(6, (1, 2), -1), {}, "CEREMONY-CRL-NUMBER"),
        (crl(6, (1,), 1), {}, "CEREMONY-CRL-LOST"),
        (crl(6, (3,), 1), {}, "CEREMONY-CRL-LOST"),
        # It ended only after the last CRL, so it must stand on one more (RFC 5280 §3.3).
        (crl(6, (1,), 30), {2: NOON + DAY}, "CEREMONY-CRL-LOST"),
        (crl(6, (1,), 1), {2: NOON + DAY}, "CEREMONY-CRL-LOST"),
        (crl(6, (1,), 1), {1: NOON - DAY}, "CEREMONY-CRL-LOST"),
    ],
)
def test_what_does_not_follow(following, ends, rule_id):
    with pytest.raises(CaError) as error:
        check_succession(crl(5, (1, 2), 0), following, ends)
    assert error.value.kind is Kind.CONFLICT
    assert error.value.rule_ids == (rule_id,)


def test_the_number_is_read():
    assert crl_number(crl(7, (), 0)) == 7
