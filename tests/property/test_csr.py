"""R3, R31: whatever the bytes, a CSR is read or refused by one typed error, and quickly."""

from __future__ import annotations

import base64
from dataclasses import replace

from cryptography import x509
from cryptography.x509.oid import AttributeOID
from hypothesis import example, given
from hypothesis import strategies as st

from ca_server.core.csr import MAX_CSR_BYTES, parse_csr
from ca_server.core.errors import CaError, Kind
from ca_server.core.signatures import KeyType
from tests.fakes.paper_authority import csr_der, dns, ip, make_key, subject
from tests.fakes.unordered_requests import strongswan_csr, unordered

VALID = [
    csr_der(
        [*dns("a.example.com", "b.example.com"), *ip("10.0.0.1")], name=subject(common_name="a.example.com")
    ),
    csr_der(dns("a.example.com"), key=make_key(KeyType.RSA_2048)),
    csr_der(dns("a.example.com"), key=make_key(KeyType.ED25519)),
    strongswan_csr(dns("a.example.com"), key=make_key(KeyType.EC_P256)),
]
KINDS = {Kind.BAD_CSR, Kind.BAD_PUBLIC_KEY}


def attempt(data):
    try:
        return parse_csr(data)
    except CaError as refusal:
        return refusal


def read_or_refused(data):
    outcome = attempt(data)
    if isinstance(outcome, CaError):
        assert outcome.kind in KINDS
        assert outcome.rule_ids
        assert outcome.detail.isprintable()
    else:
        assert outcome.der
        assert all(each.value for each in outcome.identifiers)


@given(st.binary(max_size=2048))
@example(b"")
@example(b"0\x80\x00\x00")
@example(b"0" * MAX_CSR_BYTES)
@example(b"0\x84\xff\xff\xff\xff")
@example(b"-----BEGIN CERTIFICATE REQUEST-----\n" + b"A" * 60_000)
def test_r31_any_bytes(data):
    read_or_refused(data)


@given(st.sampled_from(VALID), st.data())
def test_r3_a_request_with_bytes_changed(der, data):
    spoiled = bytearray(der)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(spoiled) - 1))
        spoiled[at] = data.draw(st.integers(0, 255))
    read_or_refused(bytes(spoiled))


@given(st.sampled_from(VALID), st.data())
def test_r3_a_request_cut_or_grown(der, data):
    begin = data.draw(st.integers(0, len(der)))
    end = data.draw(st.integers(begin, len(der)))
    read_or_refused(der[:begin] + data.draw(st.binary(max_size=64)) + der[end:])


@given(st.sampled_from(VALID), st.text(max_size=20), st.text(max_size=20))
def test_r3_pem_with_something_around_it(der, before, after):
    body = base64.encodebytes(der).decode()
    text = f"{before}-----BEGIN CERTIFICATE REQUEST-----\n{body}-----END CERTIFICATE REQUEST-----{after}"
    data = text.encode("utf-8", "surrogatepass")
    if before.strip() or after.strip():
        read_or_refused(data)


ATTRIBUTES = [
    (AttributeOID.CHALLENGE_PASSWORD, b"foobar"),
    (AttributeOID.UNSTRUCTURED_NAME, b"a router"),
    (x509.ObjectIdentifier("1.3.6.1.4.1.32473.1"), b"1"),
    (x509.ObjectIdentifier("1.3.6.1.4.1.32473.2"), b""),
]


@given(st.permutations(ATTRIBUTES), st.integers(0, len(ATTRIBUTES)), st.booleans())
def test_the_order_of_attributes_says_nothing(attributes, count, with_names):
    key = make_key(KeyType.EC_P256)
    names = dns("a.example.com") if with_names else ()
    in_order = csr_der(names, key=key, attributes=tuple(attributes[:count]))
    expected, found = parse_csr(in_order), parse_csr(unordered(in_order, key))
    assert replace(found, der=in_order) == expected
