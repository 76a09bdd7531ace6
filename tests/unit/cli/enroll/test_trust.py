"""Whom a host trusts: only a root that a trusted one vouches for is taken over, and chains end at trust."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.cli.enroll.trust import (
    chain_of,
    fingerprint,
    parse_anchors,
    parse_fingerprint,
    pem_of,
    root_with,
    with_new_roots,
)
from ca_server.core.errors import CaError
from tests.fakes.est_server import DOOMSDAY, EPOCH, root_authority

NOW = datetime(2026, 11, 23, tzinfo=UTC)


@pytest.fixture(scope="module")
def old():
    return root_authority("Root")


@pytest.fixture(scope="module")
def new():
    return root_authority("Root")


@pytest.fixture(scope="module")
def other():
    return root_authority("Other")


def test_a_root_that_the_old_one_signed_is_taken_over_before_it(old, new):
    cross = old.cross(new)
    offered = (new.certificate, cross, old.certificate)
    assert with_new_roots((old.certificate,), offered, NOW) == (new.certificate, old.certificate)


def test_a_root_that_nobody_vouches_for_is_not_taken_over(old, new, other):
    anchors = (old.certificate,)
    # OldWithNew is signed by the newcomer itself.
    offered = (new.certificate, new.cross(old), other.certificate)
    assert with_new_roots(anchors, offered, NOW) == anchors


def test_a_root_of_another_name_is_not_taken_over_for_a_cross_certificate(old, other):
    # It is a partner's, perhaps; its certificates are good through the cross-certificate alone.
    anchors = (old.certificate,)
    assert with_new_roots(anchors, (other.certificate, old.cross(other)), NOW) == anchors


def test_roots_are_taken_over_one_after_the_other(old, new):
    newest = root_authority("Root")
    offered = (newest.certificate, new.cross(newest), old.cross(new), new.certificate)
    assert set(with_new_roots((old.certificate,), offered, NOW)) == {
        old.certificate,
        new.certificate,
        newest.certificate,
    }


def test_an_authority_below_the_root_vouches_for_nobody(old):
    issuing = old.authority("Issuing")
    new = root_authority("Issuing")
    anchors = (old.certificate,)
    offered = (issuing.certificate, new.certificate, issuing.cross(new))
    assert with_new_roots(anchors, offered, NOW) == anchors


def test_an_ended_cross_certificate_vouches_for_nobody(old, new):
    offered = (new.certificate, old.cross(new))
    later = DOOMSDAY + timedelta(days=1)
    assert new.certificate not in with_new_roots((old.certificate,), offered, later)


def test_an_ended_anchor_goes_when_another_stays(old):
    short = root_authority("Short", until=NOW - timedelta(days=1))
    assert with_new_roots((short.certificate, old.certificate), (), NOW) == (old.certificate,)
    assert with_new_roots((short.certificate,), (), NOW) == (short.certificate,)


def leaf_of(authority):
    key = root_authority().key.public_key()
    name = x509.Name([])
    return authority.sign(authority.certify(key, name, ca=False))


def test_the_chain_leads_to_the_anchor_and_does_not_hold_it(old, other):
    upper = old.authority("Upper")
    lower = upper.authority("Lower")
    offered = (old.certificate, other.certificate, lower.certificate, upper.certificate)
    leaf = leaf_of(lower)
    assert chain_of(leaf, offered, (old.certificate,), NOW) == (lower.certificate, upper.certificate)
    assert chain_of(leaf_of(old), offered, (old.certificate,), NOW) == ()


def test_a_host_that_knows_the_old_root_alone_gets_the_chain_through_new_with_old(old, new):
    issuing = new.authority("Issuing")
    cross = old.cross(new)
    offered = (new.certificate, old.certificate, new.cross(old), issuing.certificate, cross)
    leaf = leaf_of(issuing)
    assert chain_of(leaf, offered, (old.certificate,), NOW) == (issuing.certificate, cross)
    # And one that knows both sends it along for peers that know the old one alone.
    both = (new.certificate, old.certificate)
    assert chain_of(leaf, offered, both, NOW) == (issuing.certificate, cross)
    assert chain_of(leaf, offered, (new.certificate,), NOW) == (issuing.certificate,)


def test_a_certificate_of_another_hierarchy_is_refused(old, other):
    issuing = other.authority("Issuing")
    offered = (issuing.certificate, other.certificate)
    with pytest.raises(CaError, match="no chain leads"):
        chain_of(leaf_of(issuing), offered, (old.certificate,), NOW)


def test_circles_end(old):
    one, two = root_authority("One"), root_authority("Two")
    offered = (one.cross(two), two.cross(one), one.certificate, two.certificate)
    with pytest.raises(CaError, match="no chain leads"):
        chain_of(leaf_of(one), offered, (old.certificate,), NOW)


def test_a_leaf_is_nobodys_issuer(old):
    # Its holder signs another certificate with the leaf's key and name.
    leaf = old.sign(old.certify(old.key.public_key(), x509.Name([]), ca=False))
    forged = (
        x509.CertificateBuilder()
        .subject_name(old.certificate.subject)
        .issuer_name(leaf.subject)
        .public_key(old.key.public_key())
        .serial_number(7)
        .not_valid_before(EPOCH)
        .not_valid_after(DOOMSDAY)
        .sign(old.key, hashes.SHA256())
    )
    with pytest.raises(CaError, match="no chain leads"):
        chain_of(forged, (leaf,), (old.certificate,), NOW)


def test_a_root_is_found_by_its_fingerprint_as_people_type_it(old, other):
    hexed = fingerprint(old.certificate)
    typed = ":".join(hexed[i : i + 2] for i in range(0, 64, 2)).upper()
    wanted = parse_fingerprint(typed)
    assert root_with(wanted, (other.certificate, old.certificate)) == old.certificate
    with pytest.raises(CaError, match=fingerprint(other.certificate)):
        root_with(wanted, (other.certificate,))


def test_a_fingerprint_of_what_is_no_root_is_refused(old):
    issuing = old.authority("Issuing").certificate
    with pytest.raises(CaError, match="shows no root"):
        root_with(fingerprint(issuing), (issuing,))


@pytest.mark.parametrize("text", ["", "ab", "g" * 64, "a" * 63, "a" * 65])
def test_what_is_no_fingerprint_is_refused(text):
    with pytest.raises(CaError, match="64 hex digits"):
        parse_fingerprint(text)


def test_anchors_are_read_in_pem_and_der(old, other):
    both = (old.certificate, other.certificate)
    assert parse_anchors(pem_of(both).encode(), "x") == both
    assert parse_anchors(old.certificate.public_bytes(Encoding.DER), "x") == both[:1]
    with pytest.raises(CaError, match="holds no certificate"):
        parse_anchors(b"nonsense", "x")
