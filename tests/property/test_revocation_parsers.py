"""Hostile bytes: what reads them answers or refuses, and does nothing else."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.x509 import ocsp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ca_server.core.crl import REASONS, CrlEntry, CrlIssuer, build_crl, parse_crl
from ca_server.core.errors import CaError
from ca_server.core.ocsp import parse_request
from ca_server.core.signatures import SignatureAlgorithm
from ocsp_responder.app import decode_path
from tests.fakes.paper_authority import make_issuer
from tests.fakes.responder import ResponderBench
from tests.unit.core.test_ocsp import request_for, request_for_many

NOW = datetime(2027, 3, 1, tzinfo=UTC)
SEEDS = [request_for(2**158, "sha1"), request_for(1, nonce=b"n" * 32), request_for_many(3, nonce=b"n")]


@st.composite
def mutated(draw, seeds: list[bytes]) -> bytes:
    """A good document with some bytes changed, cut out or put in."""
    data = bytearray(draw(st.sampled_from(seeds)))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.integers(0, 2)):
            case 0:
                data[at : at + 1] = draw(st.binary(min_size=1, max_size=1))
            case 1:
                del data[at : at + draw(st.integers(1, 8))]
            case _:
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
    return bytes(data)


def rules_against(parse, data) -> tuple[str, ...] | None:
    """The rules by which it is refused, or None when it is read; anything else is raised."""
    try:
        parse(data)
    except CaError as error:
        return error.rule_ids
    return None


@settings(max_examples=600, deadline=None)
@given(st.one_of(st.binary(max_size=400), mutated(SEEDS)))
def test_r3_an_ocsp_request_is_read_or_refused(data):
    assert rules_against(parse_request, data) != ()


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=300))
def test_a_get_path_is_read_or_refused(path):
    assert rules_against(decode_path, path) != ()


@given(st.binary(max_size=300))
def test_a_get_path_gives_back_the_request(data):
    """A request is a SEQUENCE, so that its base64 never begins with a slash."""
    request = b"\x30" + data
    assert decode_path("/" + base64.b64encode(request).decode()) == request


@pytest.fixture(scope="module")
def bench():
    return ResponderBench()


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.one_of(st.binary(max_size=9000), mutated(SEEDS)))
def test_r3_every_request_gets_an_ocsp_response(bench, data):
    answer = ocsp.load_der_ocsp_response(bench.responder.respond(data).der)
    if answer.response_status is ocsp.OCSPResponseStatus.SUCCESSFUL:
        assert {each.certificate_status for each in answer.responses} == {ocsp.OCSPCertStatus.UNKNOWN}


@st.composite
def crls(draw) -> bytes:
    numbers = draw(st.sets(st.integers(1, 2**159 - 1), max_size=5))
    moments = st.integers(0, 3650).map(lambda days: NOW - timedelta(days=days))
    entries = [
        CrlEntry(
            number,
            draw(moments),
            draw(st.sampled_from(list(REASONS.values()))),
            draw(st.none() | moments),
        )
        for number in sorted(numbers)
    ]
    issuer = CrlIssuer(make_issuer().certificate, SignatureAlgorithm.ECDSA_SHA256)
    return build_crl(issuer, entries, draw(st.integers(0, 2**63)), NOW, NOW + timedelta(days=1)).twin


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_r3_a_crl_is_read_or_refused(data):
    good = data.draw(crls())
    parse_crl(good)
    assert rules_against(parse_crl, data.draw(mutated([good]))) != ()
    assert rules_against(parse_crl, data.draw(st.binary(max_size=200))) != ()
