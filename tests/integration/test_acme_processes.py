"""The ACME door as it is really served: several workers behind TLS, over each database."""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl

import pytest

from ca_server.rest.bodies import MAX_BODY_BYTES
from tests.fixtures.acme_client import JOSE, AcmeClient, HttpsTransport
from tests.fixtures.acme_keys import make_account_key, make_jws

pytestmark = [pytest.mark.hsm, pytest.mark.slow]


def context_of(running) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(running.layout.roots))


def client_of(running, **more) -> AcmeClient:
    return AcmeClient(
        HttpsTransport(context_of(running)), running.layout.acme_directory("tls-server"), **more
    )


def test_nonces_hold_over_workers_and_restarts(running):
    """Each request is a connection of its own, so that any worker may get it."""
    client = client_of(running)
    assert client.register().status == 201
    nonces = [client.nonce() for _ in range(20)]
    bodies = [
        json.dumps(make_jws(client.key, {**client.header(client.kid), "nonce": nonce}, "")).encode()
        for nonce in nonces
    ]
    assert [client.post_raw(client.kid, body).status for body in bodies[:15]] == [200] * 15
    assert [client.post_raw(client.kid, body).error for body in bodies[:15]] == ["badNonce"] * 15
    running.processes.stop()
    running.start()
    assert [client.post_raw(client.kid, body).error for body in bodies[:15]] == ["badNonce"] * 15
    assert [client.post_raw(client.kid, body).status for body in bodies[15:]] == [200] * 5


def test_r32_orders_are_taken_and_a_chunked_body_is_capped_by_what_is_read(running):
    client = client_of(running, key=make_account_key("EdDSA"))
    assert client.register(contact=["mailto:admin@example.com"]).status == 201
    order = client.order("nowhere.invalid")
    authorization = client.read(order.json["authorizations"][0]).json
    challenge = next(each for each in authorization["challenges"] if each["type"] == "http-01")
    assert client.post(challenge["url"], {}).json["status"] == "processing"
    assert client.finalize(order, "nowhere.invalid").error == "orderNotReady"
    port = running.layout.options.https_port
    # One byte too many, and all of it on its way before the server can answer and close.
    pieces = [b"x" * 8192] * (MAX_BODY_BYTES // 8192) + [b"x"]
    with contextlib.closing(
        http.client.HTTPSConnection("localhost", port, context=context_of(running), timeout=30)
    ) as connection:
        connection.request(
            "POST",
            "/acme/tls-server/new-account",
            b"".join(b"%x\r\n%s\r\n" % (len(each), each) for each in [*pieces, b""]),
            {"Content-Type": JOSE, "Transfer-Encoding": "chunked"},
        )
        response = connection.getresponse()
        problem = json.loads(response.read())
    assert (response.status, problem["type"]) == (413, "urn:ietf:params:acme:error:malformed")
    assert client.read(client.kid).status == 200
