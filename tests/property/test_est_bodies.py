"""R3, R31: whatever the body of an EST request holds, it is read as a CSR or refused by one typed error."""

from __future__ import annotations

import base64

from hypothesis import example, given
from hypothesis import strategies as st

from ca_server.core.csr import Csr, parse_csr
from ca_server.core.errors import CaError, Kind
from ca_server.est.bodies import decode_body
from tests.fakes.paper_authority import csr_der, dns

DER = csr_der(dns("a.example.com"))
KINDS = {Kind.MALFORMED, Kind.BAD_CSR, Kind.BAD_PUBLIC_KEY}
SPACE = st.text(" \t\r\n", max_size=3).map(str.encode)


def attempt(body: bytes) -> Csr | CaError:
    try:
        return parse_csr(decode_body(body))
    except CaError as refusal:
        return refusal


def read_or_refused(body: bytes) -> None:
    outcome = attempt(body)
    if isinstance(outcome, CaError):
        assert outcome.kind in KINDS
        assert outcome.rule_ids
        assert outcome.detail.isprintable()
    else:
        assert outcome.der


@given(st.binary(max_size=2048))
@example(b"")
@example(b"=")
@example(b"A")
@example(b"-----BEGIN CERTIFICATE REQUEST-----")
@example(DER)
def test_r31_any_bytes(body):
    read_or_refused(body)


@given(st.binary(max_size=512))
@example(b"0\x84\xff\xff\xff\xff")
def test_r31_base64_of_any_bytes(data):
    read_or_refused(base64.b64encode(data))


@given(st.integers(0, len(DER) - 1), st.binary(max_size=3), st.integers(0, 3))
def test_r31_a_spoiled_csr(where, instead, taken):
    read_or_refused(base64.b64encode(DER[:where] + instead + DER[where + taken :]))


@given(st.lists(st.tuples(st.integers(1, 80), SPACE), max_size=30))
def test_space_may_stand_anywhere(breaks):
    text, body = base64.b64encode(DER), b""
    for length, space in breaks:
        body += text[:length] + space
        text = text[length:]
    assert decode_body(body + text) == DER
