"""The lock of the ACME door: what is not signed as RFC 8555 §6.2 wants changes nothing and costs nothing."""

from __future__ import annotations

import dataclasses
import itertools
import json

import pytest
from sqlalchemy import func, select

from ca_server.acme.routes import ROUTES, Payload, Proof
from ca_server.core.jose import ALGORITHMS
from ca_server.services.acme.nonces import LIFETIME, Nonces
from ca_server.services.context import Context
from ca_server.store import acme_tables, tables
from ca_server.store.engine import Database
from ca_server.store.nonces import NonceStore
from ca_server.wsgi import create_acme_app
from tests.fakes.jws_corpus import Genuine, forgeries
from tests.fixtures.acme_client import HOST, JOSE, make_door
from tests.fixtures.acme_keys import make_account_key, make_jws

OTHER = "00000000-0000-7000-8000-000000000000"


def count(door, table) -> int:
    with door.ordering.issuing.context.database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def redeemed(door) -> int:
    with door.services.nonces._store._database.read() as connection:
        return connection.execute(select(func.count()).select_from(acme_tables.acme_nonce)).scalar_one()


WORDS = {"ACME-ALGORITHM": "badSignatureAlgorithm", "ACME-SIGNATURE": "unauthorized", "ACME-JWS": "malformed"}


def test_r29_no_forgery_gets_through_by_account(acme_door):
    """Each is refused by its own rule; none uses up its nonce or leaves anything behind."""
    client = acme_door.registered()
    url = client.url("new-order")
    payload = {"identifiers": [{"type": "dns", "value": "a.example.com"}]}
    good = Genuine(client.key, url, client.nonce(), payload, client.kid)
    before = redeemed(acme_door)
    for forgery in forgeries(good):
        answer = client.post_raw(url, forgery.body)
        if answer.status == 413:
            assert forgery.name == "oversized"
            continue
        assert answer.json["rule_ids"] == [forgery.rule_id], forgery.name
        assert answer.error == WORDS[forgery.rule_id], forgery.name
        assert answer.headers["Replay-Nonce"], forgery.name
    assert redeemed(acme_door) == before
    assert count(acme_door, acme_tables.acme_order) == 0
    assert client.post_raw(url, json.dumps(good.jws()).encode()).status == 201


def test_r29_no_forgery_makes_an_account(acme_door):
    client = acme_door.client()
    url = client.url("new-account")
    good = Genuine(client.key, url, client.nonce(), {})
    for forgery in forgeries(good):
        answer = client.post_raw(url, forgery.body)
        assert answer.status in {400, 401, 413}, forgery.name
        assert answer.status == 413 or answer.json["rule_ids"] == [forgery.rule_id], forgery.name
    assert count(acme_door, acme_tables.acme_account) == 0


def test_the_list_of_algorithms_comes_with_the_refusal(acme_door):
    client = acme_door.client()
    answer = client.post(client.url("new-account"), {}, alg="RS512")
    assert answer.error == "badSignatureAlgorithm"
    assert answer.json["algorithms"] == list(ALGORITHMS)


def test_every_algorithm_makes_an_account(acme_door):
    for algorithm in ALGORITHMS:
        client = acme_door.client(key=make_account_key(algorithm))
        assert client.register().status == 201
        assert client.read(client.kid).json["status"] == "valid"


def test_a_request_is_for_one_url_alone(acme_door):
    """RFC 8555 §6.4: another resource, directory, host, scheme or query is another URL."""
    client = acme_door.registered()
    url = client.url("new-order")
    for wrong in (
        client.url("new-authz"),
        url + "/",
        url + "?",
        url + "?a=b",
        url.replace("https", "http"),
        url.replace(HOST, HOST.upper()),
        url.replace(HOST, f"{HOST}:443"),
        url.replace("tls-server", "tls-client"),
        url.replace("new-order", "new%2Dorder"),
    ):
        answer = client.post(url, {}, url=wrong)
        assert (answer.status, answer.error) == (401, "unauthorized"), wrong
        assert answer.json["rule_ids"] == ["ACME-URL"], wrong
    assert client.post(url + "?a=b", {}, url=url).json["rule_ids"] == ["ACME-URL"]


def test_a_server_in_the_middle_relays_nothing(acme_door):
    """Its own name is not ours, so no URL that it shows can be signed for us (§6.4, §10.2)."""
    for host in ["evil.example", "ca.test.evil.example", "ca.test@evil.example", "ca.test/x", ""]:
        client = acme_door.registered()
        url = f"https://{host}/acme/tls-server/new-order"
        body = json.dumps(make_jws(client.key, {**client.header(url)}, {})).encode()
        answer = client.post_raw(client.url("new-order"), body, Host=host)
        assert answer.error == "malformed"
        assert answer.json["rule_ids"] == ["ACME-HOST"]
        assert not answer.links("index")


def test_urls_have_the_host_and_port_that_the_client_uses(acme_door):
    for host in [f"{HOST}:8443", "[::1]:8443", "[::1]", f"{HOST}:1", f"{HOST}:443", f"{HOST}:65535"]:
        client = acme_door.client()
        client.directory_url = client.directory_url.replace(HOST, host)
        assert client.directory["newOrder"] == f"https://{host}/acme/tls-server/new-order"
        client.register()
        assert client.kid.startswith(f"https://{host}/acme/tls-server/account/")
        assert client.read(client.kid).status == 200


def test_a_port_is_one_that_there_is_in_its_one_form(acme_door):
    client = acme_door.client()
    for port in ["", "0", "00", "00443", "0443", "65536", "99999", "100000", "+443", "-1", "4 43", "a"]:
        answer = client.send("GET", client.directory_url, b"", {"Host": f"{HOST}:{port}"})
        assert (answer.status, answer.error) == (400, "malformed"), port
        assert answer.json["rule_ids"] == ["ACME-HOST"], port


def test_a_kid_is_the_url_of_an_account_of_this_directory(acme_door):
    client = acme_door.registered()
    account_id = client.kid.rpartition("/")[2]
    for kid in (
        account_id,
        client.kid + "/",
        client.kid.replace("https", "http"),
        client.kid.replace("tls-server", "tls-client"),
        client.kid.replace("/account/", "/order/"),
        client.kid.replace(account_id, OTHER),
        client.kid.replace(account_id, ""),
        client.kid.replace(account_id, "\0" * 36),
        client.kid.replace(HOST, f"{HOST}:443"),
    ):
        answer = client.post(client.url("new-order"), {}, kid=kid)
        assert (answer.status, answer.error) == (400, "accountDoesNotExist"), kid
        assert answer.json["rule_ids"] == ["ACME-ACCOUNT-UNKNOWN"]
    elsewhere = acme_door.client("tls-client", key=client.key)
    elsewhere.kid = elsewhere.url("account", account_id)
    assert elsewhere.order("a.example.com").error == "accountDoesNotExist"


def test_another_accounts_key_does_not_sign_for_an_account(acme_door):
    first, second = acme_door.registered(), acme_door.registered()
    answer = first.post(first.url("new-order"), {}, key=second.key)
    assert (answer.status, answer.json["rule_ids"]) == (401, ["ACME-SIGNATURE"])


def test_each_route_wants_its_own_proof(acme_door):
    client = acme_door.registered()
    by_key = client.post(client.url("new-order"), {}, kid=None, jwk=client.key.jwk)
    by_account = client.post(client.url("new-account"), {})
    for answer in (by_key, by_account):
        assert (answer.error, answer.json["rule_ids"]) == ("malformed", ["ACME-JWS"])


def test_a_nonce_is_good_once_and_for_an_hour(acme_door):
    client = acme_door.registered()
    url = client.url("new-order")
    nonce = client.nonce()
    assert client.post(url, {"identifiers": []}, nonce=nonce).error == "malformed"
    again = client.post(url, {"identifiers": []}, nonce=nonce)
    assert (again.status, again.error, again.json["rule_ids"]) == (400, "badNonce", ["ACME-NONCE"])
    assert client.post(url, "", nonce=again.headers["Replay-Nonce"]).error == "malformed"
    stale = client.nonce()
    acme_door.ordering.issuing.clock.advance(seconds=LIFETIME + 1)
    assert client.post(url, {}, nonce=stale).error == "badNonce"
    assert client.post(url, {}, nonce=None).error == "badNonce"
    assert client.post(url, {}, nonce="AAAA").error == "badNonce"


def test_a_nonce_of_another_directory_is_as_good(acme_door):
    client = acme_door.registered()
    nonce = acme_door.client("tls-client").nonce()
    assert client.post(client.kid, "", nonce=nonce).status == 200


def test_a_request_that_is_replayed_does_nothing(acme_door):
    client = acme_door.registered()
    url = client.url("new-order")
    payload = {"identifiers": [{"type": "dns", "value": "a.example.com"}]}
    body = json.dumps(make_jws(client.key, client.header(url), payload)).encode()
    assert client.post_raw(url, body).status == 201
    assert client.post_raw(url, body).error == "badNonce"
    assert count(acme_door, acme_tables.acme_order) == 1


def test_other_media_types_are_refused(acme_door):
    for headers in [
        {"Content-Type": "application/json"},
        {"Content-Type": "application/jose"},
        {"Content-Type": ""},
        {"Content-Type": JOSE, "Content-Encoding": "gzip"},
    ]:
        client = acme_door.client()
        body = json.dumps(make_jws(client.key, client.header(client.url("new-account")), {})).encode()
        answer = client.post_raw(client.url("new-account"), body, **headers)
        assert (answer.status, answer.error) == (415, "malformed")


def test_parameters_of_the_media_type_are_harmless(acme_door):
    client = acme_door.client()
    url = client.url("new-account")
    body = json.dumps(make_jws(client.key, client.header(url), {})).encode()
    assert client.post_raw(url, body, **{"Content-Type": f"{JOSE}; charset=utf-8"}).status == 201


def test_r32_a_body_of_more_than_64_kib_is_not_read(acme_door):
    client = acme_door.client()
    answer = client.post_raw(client.url("new-account"), b"x" * (64 * 1024 + 1))
    assert (answer.status, answer.error) == (413, "malformed")
    assert answer.headers["Replay-Nonce"]


def test_payloads_are_strict_json_and_as_the_route_wants_them(acme_door):
    client = acme_door.registered()
    url = client.url("new-order")
    twice = '{"identifiers": [], "identifiers": [{"type": "dns", "value": "a.example.com"}]}'
    for payload in (
        "",
        "[]",
        '"x"',
        "null",
        "{",
        twice,
        '{"a": NaN}',
        "[" * 60 + "]" * 60,
        b"\xff",
        "\ufeff{}",
    ):
        answer = client.post(url, payload)
        assert (answer.error, answer.json["rule_ids"]) == ("malformed", ["ACME-PAYLOAD"]), payload
    answer = client.post(client.url("account", client.kid.rpartition("/")[2], "orders"), {})
    assert (answer.error, answer.json["rule_ids"]) == ("malformed", ["ACME-PAYLOAD"])


# Endpoint -> a URL of it, with ids that nobody has.
URLS = {
    "directory.show_directory": ("directory",),
    "directory.new_nonce": ("new-nonce",),
    "accounts.new_account": ("new-account",),
    "accounts.account": ("account", OTHER),
    "accounts.list_orders": ("account", OTHER, "orders"),
    "accounts.key_change": ("key-change",),
    "orders.new_order": ("new-order",),
    "orders.show_order": ("order", OTHER),
    "orders.finalize_order": ("order", OTHER, "finalize"),
    "authorizations.new_authorization": ("new-authz",),
    "authorizations.authorization": ("authz", "a" * 32),
    "authorizations.challenge": ("challenge", "a" * 32),
    "certificates.show_certificate": ("certificate", "0" * 64),
    "certificates.show_alternate": ("certificate", "0" * 64, "1"),
    "certificates.revoke": ("revoke-cert",),
    "certificates.renewal_information": ("renewal-info", "AAAA.AAAA"),
}


def test_r21_every_route_is_listed_with_its_proof(acme_door):
    rules = list(create_acme_app(acme_door.services).url_map.iter_rules())
    assert {rule.endpoint for rule in rules} == ROUTES.keys() == URLS.keys()
    for rule in rules:
        open_to_all = ROUTES[rule.endpoint].proof is Proof.NONE
        assert rule.methods == ({"GET", "HEAD"} if open_to_all else {"POST"}), rule


def test_r21_a_route_that_nobody_listed_keeps_the_door_shut(acme_door, monkeypatch):
    monkeypatch.delitem(ROUTES, "certificates.revoke")
    with pytest.raises(RuntimeError, match=r"certificates\.revoke"):
        create_acme_app(acme_door.services)


def test_r21_no_signed_route_answers_what_is_unsigned_or_by_a_stranger_or_an_ended_account(acme_door):
    client, ended, stranger = acme_door.registered(), acme_door.registered(), acme_door.client()
    assert ended.post(ended.kid, {"status": "deactivated"}).status == 200
    unsigned = [b"", b"{}", json.dumps({"payload": "", "protected": "", "signature": ""}).encode()]
    for endpoint, route in ROUTES.items():
        if route.proof is Proof.NONE:
            continue
        url = client.url(*URLS[endpoint])
        for body in unsigned:
            assert stranger.post_raw(url, body).json["rule_ids"] == ["ACME-JWS"], endpoint
        if route.proof is Proof.NEW_KEY:
            continue
        payload = "" if route.payload is Payload.NOTHING else {}
        forged = client.post(url, payload, key=stranger.key)
        assert forged.json["rule_ids"] == ["ACME-SIGNATURE"], endpoint
        late = ended.post(url, payload)
        assert (late.status, late.error) == (401, "unauthorized"), endpoint
        assert late.json["rule_ids"] == ["ACME-ACCOUNT-ENDED"], endpoint


METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS")


def test_every_method_is_answered_in_acmes_words(acme_door):
    """405 with Allow for what RFC 8555 does not have; HEAD where it has GET."""
    client = acme_door.client()
    for endpoint, method in itertools.product(ROUTES, METHODS):
        allowed = {"GET", "HEAD"} if ROUTES[endpoint].proof is Proof.NONE else {"POST"}
        answer = client.send(method, client.url(*URLS[endpoint]), b"", {})
        assert answer.headers["Replay-Nonce"], method
        assert answer.headers["Cache-Control"] == "no-store"
        if method in allowed:
            assert answer.status != 405, endpoint
            continue
        assert answer.status == 405, (endpoint, method)
        assert {each.strip() for each in answer.headers["Allow"].split(",")} == allowed
        if method != "HEAD":
            assert answer.error == "malformed"


def test_what_is_not_there_is_told_in_acmes_words(acme_door):
    for path in [
        "/acme/",
        "/acme/tls-server",
        "/acme/tls-server/",
        "/acme/tls-server/directory/",
        "/acme//directory",
        "/acme/tls-server/order/1",
        "/acme/tls-server/order/" + "%00" * 36,
        "/acme/tls-server/authz/" + "ü" * 32,
        "/acme/tls-server/renewal-info",
        "/acme/%2e%2e/directory",
        "/acme/" + "a" * 3_000 + "/directory",
    ]:
        client = acme_door.client()
        answer = client.send("GET", f"https://{HOST}{path}", b"", {})
        assert (answer.status, answer.error) == (404, "malformed")
        assert answer.headers["Replay-Nonce"]


def test_a_directory_is_a_profile_that_acme_clients_may_ask_for(acme_door):
    for profile in ("nothing", "ocsp-signer", "TLS-SERVER", "tls-server.toml"):
        client = acme_door.client(profile)
        answer = client.send("GET", client.directory_url, b"", {})
        assert (answer.status, answer.json["rule_ids"]) == (404, ["ACME-DIRECTORY"])
        assert client.post(client.url("new-account"), {}, nonce="AAAA").status == 404


def test_without_the_database_every_answer_is_still_acmes(acme_door):
    """No nonce then, and newNonce says so instead of giving none."""
    away = Database("postgresql://nobody@127.0.0.1:1/none")
    held = acme_door.services
    context = Context(held.context.clock, away, "test")
    services = dataclasses.replace(
        held, context=context, nonces=Nonces(held.context.clock, NonceStore(away, ""))
    )
    client = acme_door.registered()
    signed = json.dumps(make_jws(client.key, client.header(client.kid), "")).encode()
    client.send = make_door(acme_door.ordering, services).client().send
    assert client.directory["newNonce"]
    for answer in (
        client.send("GET", client.url("new-nonce"), b"", {}),
        client.post_raw(client.kid, signed),
        client.send("GET", client.url("renewal-info", "AAAA.AQ"), b"", {}),
    ):
        assert (answer.status, answer.error) == (503, "serverInternal")
        assert int(answer.headers["Retry-After"]) > 0
        assert "Replay-Nonce" not in answer.headers
        assert answer.links("index") == [client.directory_url]
    unknown = client.send("GET", client.url("nothing"), b"", {})
    assert (unknown.error, unknown.links("index")) == ("malformed", [client.directory_url])


def test_requests_are_logged_by_account_and_without_their_content(acme_door, logged):
    client = acme_door.registered(contact=["mailto:canary@example.com"])
    client.order("canary.example.com")
    client.post(client.url("new-order"), {}, key=make_account_key())
    lines = logged()
    assert lines[-1]["sealkeeper.rule_ids"] == ["ACME-SIGNATURE"]
    orders = [line for line in lines if line.get("http.route") == "/acme/<profile>/new-order"]
    assert orders[0]["user.name"] == f"account:{client.kid.rpartition('/')[2]}"
    assert "user.name" not in orders[1]
    assert "canary" not in json.dumps(lines)
    assert count(acme_door, tables.audit_event)
