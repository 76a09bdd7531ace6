"""R13, R32: over real TLS, in either set-up, each operation of EST refuses a bad client certificate."""

from __future__ import annotations

import base64
import contextlib

import pytest

from tests.fixtures.est_door import csr_of
from tests.integration.test_rest_client_certificate import BAD, FORGED, header_of, refusals, without_a_grant

ROOT = "/.well-known/est"
OPERATIONS = {
    "cacerts": "GET",
    "csrattrs": "GET",
    "simpleenroll": "POST",
    "simplereenroll": "POST",
    "serverkeygen": "POST",
}
# A certificate that renews itself needs no grant.
BAD_FOR_EST = {make: rule for make, rule in BAD.items() if make is not without_a_grant}


def ask(connection, operation, **headers):
    """Status and text of an answer."""
    method = OPERATIONS[operation]
    body = base64.b64encode(csr_of("client.example.com")) if method == "POST" else None
    if body is not None:
        headers["Content-Type"] = "application/pkcs10"
    connection.request(method, f"{ROOT}/{operation}", body, headers)
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


@pytest.mark.parametrize("bad", BAD_FOR_EST, ids=lambda make: make.__name__)
def test_r13_a_bad_certificate_is_refused_by_every_operation(est_door, on_the_wire, tmp_path, bad):
    rule = BAD_FOR_EST[bad]
    pair = bad(est_door.issuing, tmp_path)
    wire = on_the_wire(est_door.app)
    for operation in OPERATIONS:
        with contextlib.closing(wire.connect(pair)) as connection:
            status, text = ask(connection, operation)
        assert (status, f"[{rule}]" in text) == (401, True), (operation, text)
    assert refusals(est_door.issuing) == [([rule], "127.0.0.1")], "further ones within a minute are counted"


def test_without_a_certificate_everybody_is_told_of_the_authorities(est_door, on_the_wire):
    wire = on_the_wire(est_door.app)
    with contextlib.closing(wire.connect()) as connection:
        assert ask(connection, "cacerts")[0] == 200
        assert ask(connection, "csrattrs")[0] == 200
        assert ask(connection, "simpleenroll")[0] == 401


def test_r32_a_forged_certificate_is_refused_by_every_operation(est_door, on_the_wire, tmp_path):
    """nginx puts its own word in place of the header: who reads what everybody may is not refused there."""
    pair = without_a_grant(est_door.issuing, tmp_path)
    wire = on_the_wire(est_door.app)
    for operation in OPERATIONS:
        with contextlib.closing(wire.connect()) as connection:
            status, text = ask(connection, operation, **{"Client-Cert": header_of(pair)})
        if wire.set_up == "nginx" and operation in {"cacerts", "csrattrs"}:
            assert status == 200
        else:
            assert (status, f"[{FORGED[wire.set_up]}]" in text) == (401, True), (operation, text)
