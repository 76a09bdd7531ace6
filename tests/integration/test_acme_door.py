"""The resources of RFC 8555 as a client meets them: accounts, orders, authorizations, certificates."""

from __future__ import annotations

import ipaddress
import re
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.acme import accounts as accounts_door
from ca_server.core.base64url import decode_base64url
from ca_server.services.acme.external_accounts import NewExternalAccountKey, create_external_account_key
from ca_server.services.credentials import OPERATOR
from tests import world
from tests.fixtures.acme_client import HOST, csr_der
from tests.fixtures.acme_keys import AccountKey, b64, make_account_key, make_binding, make_jws

KEY = make_account_key()
TERMS = "https://ca.test/terms"
ADDRESS = x509.IPAddress(ipaddress.ip_address("10.0.0.1"))
RFC3339 = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")


def csr_of(key, *names: x509.GeneralName) -> bytes:
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


# The directory and nonces


def test_the_directory_lists_everything_under_the_clients_own_name_for_us(acme_door):
    client = acme_door.client()
    root = f"https://{HOST}/acme/tls-server/"
    directory = client.directory
    meta = directory.pop("meta")
    assert directory == {
        "newNonce": root + "new-nonce",
        "newAccount": root + "new-account",
        "newOrder": root + "new-order",
        "newAuthz": root + "new-authz",
        "revokeCert": root + "revoke-cert",
        "keyChange": root + "key-change",
        "renewalInfo": root + "renewal-info",
    }
    assert meta["caaIdentities"] == ["ca.test"]
    assert meta["externalAccountRequired"] is False
    assert meta["subdomainAuthAllowed"] is True
    assert {"tls-server", "tls-client", "tls-server-eab"} <= meta["profiles"].keys()
    assert "ocsp-signer" not in meta["profiles"]
    assert not {"termsOfService", "website"} & meta.keys()
    assert acme_door.client("tls-server-eab").directory["meta"]["externalAccountRequired"] is True


def test_the_directory_names_terms_and_website_where_there_are_any(acme_door):
    door = acme_door.with_settings(terms_of_service=TERMS, website="https://ca.test/")
    meta = door.client().directory["meta"]
    assert (meta["termsOfService"], meta["website"]) == (TERMS, "https://ca.test/")


def test_nonces_come_by_head_and_by_get(acme_door):
    client = acme_door.client()
    head, get = (client.send(method, client.url("new-nonce"), b"", {}) for method in ("HEAD", "GET"))
    assert (head.status, get.status) == (200, 204)
    for answer in (head, get):
        assert answer.body == b""
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.links("index") == [client.directory_url]
    assert head.headers["Replay-Nonce"] != get.headers["Replay-Nonce"]


# Accounts


def test_an_account_is_made_once_for_a_key(acme_door):
    client = acme_door.client()
    made = client.register(contact=["mailto:admin@example.com"], termsOfServiceAgreed=True, unknown=1)
    assert made.status == 201
    assert made.json == {
        "status": "valid",
        "contact": ["mailto:admin@example.com"],
        "orders": client.kid + "/orders",
        "termsOfServiceAgreed": True,
    }
    again = client.register(contact=["mailto:other@example.com"])
    assert (again.status, again.json, again.headers["Location"]) == (200, made.json, made.headers["Location"])
    found = client.register(onlyReturnExisting=True)
    assert (found.status, found.headers["Location"]) == (200, made.headers["Location"])
    assert client.read(client.kid).json == made.json


def test_a_key_without_account_is_told_so(acme_door):
    client = acme_door.client()
    answer = client.register(onlyReturnExisting=True)
    assert (answer.status, answer.error) == (400, "accountDoesNotExist")
    assert client.register().status == 201
    assert client.post(client.kid, {"status": "deactivated"}).json["status"] == "deactivated"
    for payload in ({}, {"onlyReturnExisting": True}):
        answer = client.post(client.url("new-account"), payload, kid=None, jwk=client.key.jwk)
        assert (answer.status, answer.error) == (401, "unauthorized")


def test_terms_are_agreed_to_first(acme_door):
    client = acme_door.with_settings(terms_of_service=TERMS).client()
    answer = client.register()
    assert (answer.status, answer.error) == (403, "userActionRequired")
    assert answer.json["instance"] == TERMS
    assert answer.links("terms-of-service") == [TERMS]
    assert client.register(termsOfServiceAgreed=True).status == 201


def test_an_account_is_answered_with_its_binding(acme_door):
    new = NewExternalAccountKey("team red", ("tls-*",), ("dns:*.example.com",), timedelta(days=1))
    key, secret = create_external_account_key(acme_door.services.context, OPERATOR, new)
    client = acme_door.client("tls-server-eab")
    refused = client.register()
    assert (refused.status, refused.error) == (403, "externalAccountRequired")
    binding = make_binding(key.id, decode_base64url(secret), client.key.jwk, client.url("new-account"))
    made = client.register(externalAccountBinding=binding)
    assert made.status == 201
    assert made.json["externalAccountBinding"] == binding
    assert client.order("a.example.com").status == 201
    beyond = client.order("a.example.com", "a.example.org")
    assert (beyond.error, beyond.json["rule_ids"]) == ("rejectedIdentifier", ["ACME-BINDING"])
    assert beyond.json["subproblems"][0]["identifier"]["value"] == "a.example.org"


def test_contacts_are_judged(acme_door):
    for contact, error in [
        (["mailto:nobody"], "invalidContact"),
        (["mailto:a@example.com,b@example.com"], "invalidContact"),
        (["tel:+1-202-555-0100"], "unsupportedContact"),
        (["mailto:a@example.com", "tel:1", "mailto:"], "compound"),
        (["mailto:a@example.com"] * 21, "malformed"),
        ("mailto:a@example.com", "malformed"),
        ([7], "malformed"),
    ]:
        answer = acme_door.client().register(contact=contact)
        assert (answer.status, answer.error) == (400, error)


def test_an_account_changes_its_contacts_and_ends_itself(acme_door):
    client = acme_door.registered(contact=["mailto:a@example.com"])
    changed = client.post(client.kid, {"contact": ["mailto:b@example.com"], "status": "valid", "orders": "x"})
    assert (changed.status, changed.json["contact"]) == (200, ["mailto:b@example.com"])
    assert client.post(client.kid, {}).json == changed.json
    assert client.post(client.kid, {"contact": []}).json["contact"] == []
    ended = client.post(client.kid, {"status": "deactivated"})
    assert (ended.status, ended.json["status"]) == (200, "deactivated")
    assert client.read(client.kid).error == "unauthorized"


def test_r10_an_account_sees_itself_alone(acme_door):
    client, other = acme_door.registered(), acme_door.registered()
    nobody = client.url("account", "00000000-0000-7000-8000-000000000000")
    for url in (other.kid, nobody, other.kid + "/orders"):
        answer = client.read(url)
        assert (answer.status, answer.error) == (403, "unauthorized")
        assert answer.json["rule_ids"] == ["ACME-ACCOUNT-OTHER"]
    assert client.post(other.kid, {"status": "deactivated"}).status == 403
    assert other.read(other.kid).json["status"] == "valid"


def test_orders_are_listed_a_page_at_a_time(acme_door, monkeypatch):
    monkeypatch.setattr(accounts_door, "PAGE", 2)
    client = acme_door.registered()
    made = [client.order(f"n{number}.example.com").headers["Location"] for number in range(5)]
    url, seen, pages = client.read(client.kid).json["orders"], [], 0
    while url:
        answer = client.read(url)
        seen += answer.json["orders"]
        url = next(iter(answer.links("next")), None)
        pages += 1
    assert (sorted(seen), pages) == (sorted(made), 3)
    assert client.read(client.kid + "/orders?cursor=%00").error == "malformed"


# Key change


def change(client, new: AccountKey, *, outer=None, header=None, inner_key=None, **payload):
    url = client.url("key-change")
    content = {"account": client.kid, "oldKey": client.key.jwk, **payload}
    protected = {"jwk": new.jwk, "url": url, **(header or {})}
    return client.post(url, make_jws(inner_key or new, protected, content), **(outer or {}))


def test_an_account_takes_another_key(acme_door):
    for algorithm in ["ES256", "ES384", "EdDSA", "RS256"]:
        client, new = acme_door.registered(), make_account_key(algorithm)
        answer = change(client, new)
        assert (answer.status, answer.json["status"]) == (200, "valid")
        assert client.read(client.kid).json["rule_ids"] == [
            "ACME-SIGNATURE" if algorithm == "ES256" else "ACME-ALGORITHM"
        ]
        client.key = new
        assert client.read(client.kid).status == 200


def test_a_key_change_is_signed_by_both_keys_for_this_account_and_url(acme_door):
    client, new, third = acme_door.registered(), make_account_key(), make_account_key()
    refused = {
        "another key inside": change(client, new, inner_key=third),
        "by account inside": change(client, new, header={"jwk": None, "kid": client.kid}),
        "a nonce inside": change(client, new, header={"nonce": client.nonce()}),
        "another url inside": change(client, new, header={"url": client.url("new-order")}),
        "another account": change(client, new, account=acme_door.registered().kid),
        "no account": change(client, new, account=None),
        "another old key": change(client, new, oldKey=third.jwk),
        "its new key as the old": change(client, new, oldKey=new.jwk),
        "no old key": change(client, new, oldKey="x"),
        "MAC inside": change(client, new, header={"alg": "HS256"}),
        "no JWS inside": client.post(client.url("key-change"), {"account": client.kid}),
        "text inside": client.post(
            client.url("key-change"), make_jws(new, {"jwk": new.jwk, "url": client.url("key-change")}, "x")
        ),
        "a list inside": client.post(
            client.url("key-change"), make_jws(new, {"jwk": new.jwk, "url": client.url("key-change")}, [])
        ),
    }
    for name, answer in refused.items():
        assert answer.status in {400, 401}, name
        assert answer.error in {"malformed", "unauthorized", "badSignatureAlgorithm"}, name
    assert refused["another url inside"].json["rule_ids"] == ["ACME-KEY-CHANGE"]
    assert client.read(client.kid).status == 200


def test_a_key_that_is_taken_is_told_with_its_account(acme_door):
    client, other = acme_door.registered(), acme_door.registered()
    answer = change(client, other.key)
    assert (answer.status, answer.error) == (409, "malformed")
    assert answer.headers["Location"] == other.kid
    assert change(client, client.key).headers["Location"] == client.kid


# Orders


def test_an_order_leads_to_a_certificate(acme_door):
    client = acme_door.registered()
    made = client.order("a.example.com", "*.example.com", "ip:10.0.0.1")
    assert made.status == 201
    order = made.json
    assert order["status"] == "pending"
    assert order["profile"] == "tls-server"
    assert order["identifiers"] == [
        {"type": "dns", "value": "a.example.com"},
        {"type": "dns", "value": "*.example.com"},
        {"type": "ip", "value": "10.0.0.1"},
    ]
    assert RFC3339.fullmatch(order["expires"])
    assert len(order["authorizations"]) == 3
    wildcards = [client.read(url).json.get("wildcard", False) for url in order["authorizations"]]
    assert sorted(wildcards) == [False, False, True]
    ready = acme_door.prove(client, made)
    assert ready.json["status"] == "ready"
    key = ec.generate_private_key(ec.SECP256R1())
    csr = csr_of(key, x509.DNSName("a.example.com"), x509.DNSName("*.example.com"), ADDRESS)
    done = client.finalize(ready, csr=csr)
    assert (done.status, done.json["status"]) == (200, "valid")
    assert done.headers["Location"] == made.headers["Location"]
    assert client.leaf(done).public_key() == key.public_key()
    assert client.finalize(ready, csr=csr).json == done.json
    other = client.finalize(ready, "a.example.com")
    assert (other.status, other.error) == (403, "orderNotReady")
    assert world.check(acme_door.ordering.issuing.context.database)["certificates"] == 1


NAMES = {
    "upper case": (["WWW.Example.COM"], [("dns", "www.example.com")]),
    "twice": (
        ["a.example.com", "A.example.com", "b.example.com"],
        [("dns", "a.example.com"), ("dns", "b.example.com")],
    ),
    "IPv6": (["ip:FD00:0:0::1"], [("ip", "fd00::1")]),
}


def test_names_are_taken_in_their_canonical_form(acme_door):
    client = acme_door.registered()
    for case, (asked, expected) in NAMES.items():
        answer = client.order(*asked)
        assert answer.status == 201, case
        assert [(each["type"], each["value"]) for each in answer.json["identifiers"]] == expected


def test_what_is_no_name_is_rejected_with_the_name(acme_door):
    for name in [
        "a.example.com.",
        "bücher.example.com",
        "ab--c.example.com",
        "a..example.com",
        "",
        ".",
        "*",
        "*.*.example.com",
        "a.*.example.com",
        "a b.example.com",
        "a,b.example.com",
        "a.example.com\n",
        "a\0.example.com",
        "http://a.example.com",
        "a.example.com:443",
        "a" * 64 + ".example.com",
        "ip:10.0.0.0/8",
        "ip:10.0.0.01",
        "ip:::ffff:10.0.0.1",
        "ip:fe80::1%eth0",
        "ip:a.example.com",
        "ip:0x0a000001",
    ]:
        client = acme_door.client(key=KEY)
        client.register()
        answer = client.order("fine.example.com", name)
        assert (answer.status, answer.error) == (400, "rejectedIdentifier")
        (sub,) = answer.json["subproblems"]
        assert sub["type"].endswith(":rejectedIdentifier")
        assert sub["identifier"]["value"] == name.removeprefix("ip:")


def test_an_address_that_says_to_be_a_dns_name_is_told_what_to_do(acme_door):
    """As lego 4.9 sends it; its CSR would hold it as a DNS name, which no certificate may."""
    answer = acme_door.registered().order("10.0.0.7")
    assert (answer.status, answer.error) == (400, "unsupportedIdentifier")
    assert "type ip" in answer.json["detail"]


def test_each_refused_name_is_listed_with_its_own_type(acme_door):
    client = acme_door.registered()
    asked = [
        {"type": "email", "value": "a@example.com"},
        {"type": "dns", "value": "fine.example.com"},
        {"type": "dns", "value": "bad..example.com"},
    ]
    answer = client.post(client.url("new-order"), {"identifiers": asked})
    assert (answer.status, answer.error) == (400, "compound")
    assert [(each["type"].rpartition(":")[2], each["identifier"]) for each in answer.json["subproblems"]] == [
        ("unsupportedIdentifier", asked[0]),
        ("rejectedIdentifier", asked[2]),
    ]
    alone = client.post(client.url("new-order"), {"identifiers": asked[:1]})
    assert (alone.status, alone.error) == (400, "unsupportedIdentifier")
    assert alone.json["subproblems"][0]["identifier"] == asked[0]


def test_a_name_that_policy_refuses_is_named_after_merging(acme_door):
    """The place in the refusal is that of the merged list; the name must be the right one all the same."""
    answer = acme_door.registered().order("a.example.com", "a.example.com", "ip:224.0.0.1", "b.example.com")
    assert answer.error == "rejectedIdentifier", answer
    assert {each["identifier"]["value"] for each in answer.json["subproblems"]} == {"224.0.0.1"}


def test_an_order_has_one_to_a_hundred_names(acme_door):
    for count in [0, 101]:
        answer = acme_door.registered().order(*(f"n{number}.example.com" for number in range(count)))
        assert (answer.status, answer.error) == (400, "malformed")
        assert "/identifiers" in answer.json["detail"]


def test_an_order_that_is_none_is_malformed(acme_door):
    for payload in [
        {},
        {"identifiers": None},
        {"identifiers": "a.example.com"},
        {"identifiers": ["a.example.com"]},
        {"identifiers": [{"type": "dns"}]},
        {"identifiers": [{"type": "dns", "value": 7}]},
        {"identifiers": [{"type": "dns", "value": "a.example.com"}], "notAfter": 1},
        {"identifiers": [{"type": "dns", "value": "a.example.com"}], "notAfter": "tomorrow"},
        {"identifiers": [{"type": "dns", "value": "a.example.com"}], "notAfter": "2027-02-30T00:00:00Z"},
        {"identifiers": [{"type": "dns", "value": "a.example.com"}], "notBefore": "2027-03-01T00:00:00"},
        {"identifiers": [{"type": "dns", "value": "a.example.com"}], "profile": 1},
    ]:
        client = acme_door.registered()
        answer = client.post(client.url("new-order"), payload)
        assert (answer.status, answer.error) == (400, "malformed")
        assert set(answer.json["rule_ids"]) == {"ACME-PAYLOAD"}


def test_times_are_asked_for_within_policy(acme_door):
    client = acme_door.registered()
    now = acme_door.ordering.issuing.clock.now()
    wanted = (now + timedelta(days=2)).isoformat().replace("+00:00", "Z")
    order = acme_door.issue(client, "a.example.com", notAfter=wanted)
    assert order.json["notAfter"] == wanted
    assert client.leaf(order).not_valid_after_utc == now + timedelta(days=2)
    offset = client.order("b.example.com", notAfter="2027-03-03T13:00:00.25+01:00")
    assert offset.json["notAfter"] == "2027-03-03T12:00:00Z"
    for late in ("2047-03-03T12:00:00Z", "2007-03-03T12:00:00Z"):
        answer = client.order("c.example.com", notAfter=late)
        assert (answer.status, answer.error) == (403, "malformed")


def test_times_that_no_clock_reaches_are_refused_by_policy(acme_door):
    client = acme_door.registered()
    for begin in ("9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"):
        for end in ({}, {"notAfter": "9999-12-31T23:59:59Z"}, {"notAfter": "0001-01-01T00:00:00Z"}):
            answer = client.order("a.example.com", notBefore=begin, **end)
            assert (answer.status, answer.error) == (403, "malformed"), (begin, end)
            assert "PROFILE-VALIDITY-BEGIN" in answer.json["rule_ids"], (begin, end)


def test_profiles_are_chosen_by_name(acme_door):
    client = acme_door.registered()
    assert client.order("a.example.com", profile="tls-server-short").json["profile"] == "tls-server-short"
    for name in ("nothing", "ocsp-signer", "", "TLS-SERVER"):
        answer = client.order("a.example.com", profile=name)
        assert (answer.status, answer.error) == (400, "invalidProfile"), name
        assert answer.json["rule_ids"] == ["ACME-PROFILE"]
    bound = client.order("a.example.com", profile="tls-server-eab")
    assert (bound.status, bound.error) == (403, "externalAccountRequired")
    assert acme_door.client("tls-server-eab").register().error == "externalAccountRequired"


def test_r10_what_is_anothers_looks_as_if_it_were_not_there(acme_door):
    client, other = acme_door.registered(), acme_door.registered()
    order = acme_door.issue(client, "a.example.com")
    authorization = order.json["authorizations"][0]
    challenge = client.read(authorization).json["challenges"][0]["url"]
    unknown_id = "00000000-0000-7000-8000-000000000000"
    pairs = [
        (order.headers["Location"], other.url("order", unknown_id), ""),
        (
            order.json["finalize"],
            other.url("order", unknown_id, "finalize"),
            {"csr": b64(csr_der("a.example.com"))},
        ),
        (authorization, other.url("authz", "a" * 32), ""),
        (authorization, other.url("authz", "a" * 32), {"status": "deactivated"}),
        (challenge, other.url("challenge", "a" * 32), ""),
        (challenge, other.url("challenge", "a" * 32), {}),
        (order.json["certificate"], other.url("certificate", "0" * 64), ""),
        (order.json["certificate"] + "/1", other.url("certificate", "0" * 64, "1"), ""),
    ]
    for theirs, nobodys, payload in pairs:
        first, second = other.post(theirs, payload), other.post(nobodys, payload)
        assert (first.status, first.error) == (404, "malformed"), theirs
        assert first.json == second.json, theirs
    assert client.read(authorization).json["status"] == "valid"


# Authorizations


def test_a_challenge_is_answered_and_shows_how_it_went(acme_door):
    client = acme_door.registered()
    order = client.order("a.example.com")
    url = order.json["authorizations"][0]
    pending = client.read(url)
    assert pending.json["status"] == "pending"
    assert "Retry-After" not in pending.headers
    by_type = {each["type"]: each for each in pending.json["challenges"]}
    assert by_type.keys() == {"http-01", "dns-01", "tls-alpn-01", "dns-account-01", "dns-persist-01"}
    assert len({each["token"] for each in by_type.values() if "token" in each}) == 4
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{22,}", each.get("token", "x" * 22)) for each in by_type.values())
    persistent = by_type["dns-persist-01"]
    assert persistent["issuer-domain-names"] == ["ca.test"]
    assert persistent["accounturi"] == client.kid
    shown = client.read(by_type["http-01"]["url"])
    assert (shown.json, shown.links("up")) == (by_type["http-01"], [url])
    for _ in range(2):
        begun = client.post(by_type["http-01"]["url"], {})
        assert (begun.status, begun.json["status"]) == (200, "processing")
        assert int(begun.headers["Retry-After"]) > 0
        assert begun.links("up") == [url]
    assert "Retry-After" in client.read(url).headers


def test_a_failed_authorization_shows_the_challenge_that_failed(acme_door):
    client = acme_door.registered()
    order = client.order("a.example.com")
    acme_door.settle(client, order.json["authorizations"][0], "failure")
    failed = client.read(order.json["authorizations"][0]).json
    assert failed["status"] == "invalid"
    assert [each["status"] for each in failed["challenges"]] == ["invalid"]
    assert client.read(order.headers["Location"]).json["status"] == "invalid"


def test_an_authorization_ends_by_its_owners_wish(acme_door):
    client = acme_door.registered()
    order = client.order("a.example.com")
    url = order.json["authorizations"][0]
    for payload in ({}, {"status": "valid"}, {"status": "pending"}, {"status": None}):
        assert client.post(url, payload).error == "malformed"
    ended = client.post(url, {"status": "deactivated"})
    assert (ended.status, ended.json["status"]) == (200, "deactivated")
    assert client.post(ended.json["challenges"][0]["url"], {}).error == "malformed"
    assert client.read(order.headers["Location"]).json["status"] == "invalid"


def test_names_are_authorized_ahead_of_orders(acme_door):
    client = acme_door.registered()
    url = client.url("new-authz")
    payload = {"identifier": {"type": "dns", "value": "a.example.com"}}
    made = client.post(url, payload)
    assert (made.status, made.json["status"]) == (201, "pending")
    acme_door.settle(client, made.headers["Location"])
    again = client.post(url, payload)
    assert (again.status, again.json["status"]) == (200, "valid")
    assert again.headers["Location"] == made.headers["Location"]
    assert client.order("a.example.com").json["status"] == "ready"
    for identifier in (
        {"type": "dns", "value": "*.example.com"},
        {"type": "dns", "value": "a.example.com."},
        {"type": "email", "value": "a@example.com"},
        {"type": "ip", "value": "10.0.0.1", "subdomainAuthAllowed": True},
        {"type": "dns", "value": "a.example.com", "subdomainAuthAllowed": "yes"},
    ):
        assert client.post(url, {"identifier": identifier}).status == 400, identifier


def test_names_below_are_authorized_by_their_ancestor(acme_door):
    """RFC 9444, both ways."""
    client = acme_door.registered()
    asked = {"type": "dns", "value": "example.com", "subdomainAuthAllowed": True}
    made = client.post(client.url("new-authz"), {"identifier": asked})
    assert made.status == 201
    assert made.json["subdomainAuthAllowed"] is True
    assert {each["type"] for each in made.json["challenges"]} == {
        "dns-01",
        "dns-account-01",
        "dns-persist-01",
    }
    acme_door.settle(client, made.headers["Location"])
    name = {"type": "dns", "value": "deep.below.example.com", "ancestorDomain": "Example.com"}
    order = client.post(client.url("new-order"), {"identifiers": [name]})
    assert order.json["status"] == "ready"
    assert order.json["identifiers"] == [{**name, "ancestorDomain": "example.com"}]
    done = client.finalize(order, "deep.below.example.com")
    assert done.json["status"] == "valid"
    for ancestor in ("ample.com", "other.com", "*.example.com", "example.com.", "com\0"):
        wrong = {"type": "dns", "value": "deep.example.com", "ancestorDomain": ancestor}
        answer = client.post(client.url("new-order"), {"identifiers": [wrong]})
        assert answer.error == "rejectedIdentifier", ancestor


# Finalizing


def test_r1_nothing_is_issued_before_every_name_is_proven(acme_door):
    client = acme_door.registered()
    order = client.order("a.example.com", "b.example.com")
    early = client.finalize(order, "a.example.com", "b.example.com")
    assert (early.status, early.error) == (403, "orderNotReady")
    acme_door.settle(client, order.json["authorizations"][0])
    half = client.finalize(order, "a.example.com", "b.example.com")
    assert (half.status, half.error) == (403, "orderNotReady")
    assert world.check(acme_door.ordering.issuing.context.database)["certificates"] == 0


def test_a_csr_that_is_refused_leaves_the_order_ready(acme_door):
    client = acme_door.registered()
    order = acme_door.prove(client, client.order("a.example.com"))
    pem = b"-----BEGIN CERTIFICATE REQUEST-----\n"
    account_key = csr_der("a.example.com", key=client.key.private)
    csrs = {
        "more names": csr_der("a.example.com", "b.example.com"),
        "other names": csr_der("b.example.com"),
        "no names": csr_der(),
        "PEM": pem,
        "rubbish": b"0rubbish",
        "the account's key": account_key,
    }
    for name, csr in csrs.items():
        answer = client.finalize(order, csr=csr)
        assert (answer.status, answer.error) == (400, "badCSR"), name
        assert answer.json["rule_ids"], name
    for text in ("", "!", b64(csr_der("a.example.com")) + "=", None, 7):
        assert client.post(order.json["finalize"], {"csr": text}).error in {"badCSR", "malformed"}
    assert client.read(order.headers["Location"]).json["status"] == "ready"
    assert client.finalize(order, "a.example.com").json["status"] == "valid"
