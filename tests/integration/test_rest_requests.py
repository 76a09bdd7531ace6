"""Asking for certificates over REST: what is granted, what a retry gives, and every kind of bad input."""

from __future__ import annotations

import base64
import io
import json
import secrets

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from sqlalchemy import text

from ca_server.core.authorization import Role
from ca_server.core.csr import MAX_CSR_BYTES
from ca_server.rest.bodies import MAX_BODY_BYTES
from tests import world
from tests.fixtures.commands import tool
from tests.fixtures.issuing import make_csr

URL = "/api/v1/certificate-requests"


class Caller:
    """One client with one token, as short as a test wants it."""

    def __init__(self, issuing, role=Role.REQUESTER, **allowed):
        allowed = {"profiles": ("tls-*",), "names": ("dns:**.example.com",), **allowed}
        self.secret = issuing.token(role, **allowed)
        self.http = issuing.api().test_client()

    def headers(self, **more):
        return {"Authorization": f"Bearer {self.secret}", **more}

    def get(self, path, **headers):
        return self.http.get(path, headers=self.headers(**headers))

    def post(self, path, body, **headers):
        return self.http.post(path, json=body, headers=self.headers(**headers))

    def ask(self, *names, key=None, idempotency_key=None, **body):
        key = key or ec.generate_private_key(ec.SECP256R1())
        body = {"profile": "tls-server", "csr": make_csr(key, *names), **body}
        headers = {"Idempotency-Key": idempotency_key or secrets.token_hex(8)}
        return self.http.post(URL, json=body, headers=self.headers(**headers))


@pytest.fixture
def caller(issuing):
    return Caller(issuing)


def problem(response, status, *rules):
    assert response.status_code == status, response.get_data(as_text=True)
    assert response.mimetype == "application/problem+json"
    body = response.get_json()
    assert body["status"] == status
    assert body["request_id"] == response.headers["X-Request-Id"]
    assert set(rules) == set(body["rule_ids"])
    return body


def counted(issuing, table):
    with issuing.context.database.read() as connection:
        return connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()


def test_a_csr_becomes_a_certificate(issuing, caller):
    response = caller.ask("www.example.com")
    assert response.status_code == 201
    body = response.get_json()
    assert response.headers["Location"] == f"{URL}/{body['id']}"
    assert body["status"] == "issued"
    leaf, above = x509.load_pem_x509_certificates(body["certificate"]["pem_chain"].encode())
    assert above == issuing.issuer
    leaf.verify_directly_issued_by(issuing.issuer)
    assert body["certificate"]["serial_number"] == f"{leaf.serial_number:040x}"
    later = caller.get(response.headers["Location"]).get_json()
    assert later["certificate"] == body["certificate"]
    assert (later["status"], later["profile"]) == ("issued", "tls-server")
    world.check(issuing.context.database)


def test_the_end_can_be_asked_for(caller):
    body = caller.ask("a.example.com", not_after="2027-03-08T12:00:00Z").get_json()
    leaf = x509.load_pem_x509_certificate(body["certificate"]["pem_chain"].encode())
    assert leaf.not_valid_after_utc.isoformat() == "2027-03-08T12:00:00+00:00"


def test_the_same_key_and_body_give_the_same_certificate(issuing, caller):
    key = ec.generate_private_key(ec.SECP256R1())
    csr = make_csr(key, "a.example.com")
    answers = [caller.ask(csr=csr, idempotency_key="retry-1").get_json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert counted(issuing, "certificate") == 1
    problem(caller.ask("a.example.com", idempotency_key="retry-1"), 422, "IDEMPOTENCY-REUSED")
    # Another principal's key of the same name is another key.
    assert Caller(issuing).ask("a.example.com", idempotency_key="retry-1").status_code == 201


@pytest.mark.parametrize("key", [None, "", " ", "x" * 129, "two words", "ä"])
def test_without_a_usable_idempotency_key_nothing_is_asked(issuing, caller, key):
    headers = caller.headers(**({} if key is None else {"Idempotency-Key": key}))
    body = {
        "profile": "tls-server",
        "csr": make_csr(ec.generate_private_key(ec.SECP256R1()), "a.example.com"),
    }
    answer = problem(caller.http.post(URL, json=body, headers=headers), 400, "REST-SCHEMA")
    assert answer["errors"][0]["pointer"] == "/Idempotency-Key"
    assert counted(issuing, "certificate_request") == 0


def test_what_a_credential_does_not_allow_is_refused_and_logged(issuing, caller):
    answer = problem(caller.ask("www.example.org"), 403, "ACCESS-NAME")
    assert answer["errors"][0]["pointer"] == "/csr"
    problem(Caller(issuing, profiles=("tls-client",)).ask("a.example.com"), 403, "ACCESS-PROFILE")
    refusals = events(issuing, "access.refused")
    assert [leaf["data"]["rule_ids"] for leaf in refusals] == [["ACCESS-NAME"], ["ACCESS-PROFILE"]]
    assert all(leaf["actor"]["id"].startswith("token:") for leaf in refusals)
    assert counted(issuing, "certificate") == 0


def test_what_policy_refuses_says_which_rules(issuing, caller):
    answer = caller.ask("*.example.com", profile="tls-client", not_after="2037-01-01T00:00:00Z")
    body = answer.get_json()
    assert answer.status_code == 403
    assert body["type"].startswith("urn:sealkeeper:problem:")
    assert len(body["rule_ids"]) >= 2
    assert events(issuing, "issue.refused")[0]["data"]["rule_ids"] == body["rule_ids"]
    assert counted(issuing, "certificate") == 0


@pytest.mark.parametrize("begin", ["9999-12-31T23:59:59Z", "0001-01-01T00:00:00Z"])
def test_a_begin_that_no_clock_reaches_is_refused_by_policy(caller, begin):
    problem(caller.ask("a.example.com", not_before=begin), 403, "PROFILE-VALIDITY-BEGIN")


def test_an_unknown_profile_is_not_found(issuing):
    problem(Caller(issuing, profiles=("*",)).ask("a.example.com", profile="nonsense"), 404, "PROFILE-UNKNOWN")


@pytest.mark.parametrize(
    ("csr", "rule"),
    [
        ("x", "CSR-ENCODING"),
        ("x" * (MAX_CSR_BYTES + 1), "CSR-SIZE"),
        ("x" * (MAX_BODY_BYTES - 1024), "CSR-SIZE"),
        ("-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n", "CSR-ENCODING"),
    ],
)
def test_what_is_no_csr_is_refused_and_logged(issuing, caller, csr, rule):
    problem(caller.ask(csr=csr), 400, rule)
    assert events(issuing, "access.refused")[0]["data"]["rule_ids"] == [rule]


def test_a_csr_with_a_bad_signature_is_refused(caller):
    good = x509.load_pem_x509_csr(make_csr(ec.generate_private_key(ec.SECP256R1()), "a.example.com").encode())
    der = bytearray(good.public_bytes(Encoding.DER))
    der[-1] ^= 1
    pem = base64.encodebytes(bytes(der)).decode()
    csr = f"-----BEGIN CERTIFICATE REQUEST-----\n{pem}-----END CERTIFICATE REQUEST-----\n"
    response = caller.ask(csr=csr)
    assert response.status_code == 400
    assert response.get_json()["type"] == "urn:sealkeeper:problem:bad-csr"


@pytest.mark.parametrize(
    ("data", "content_type", "status", "rules"),
    [
        (b"{", "application/json", 400, {"REST-JSON"}),
        (b"[]", "application/json", 400, {"REST-JSON"}),
        (b'"{}"', "application/json", 400, {"REST-JSON"}),
        (b"null", "application/json", 400, {"REST-JSON"}),
        (b"\xff\xfe", "application/json", 400, {"REST-JSON"}),
        (b'{"profile": "\\ud800", "csr": "x"}', "application/json", 400, {"REST-JSON"}),
        (b'{"profile": "a", "profile": "b", "csr": "x"}', "application/json", 400, {"REST-JSON"}),
        (b'{"a":' * 20_000, "application/json", 400, {"REST-JSON"}),
        (b"{}", "application/json", 400, {"REST-SCHEMA"}),
        (b'{"profile": "tls-server", "csr": "x", "subject": "y"}', "application/json", 400, {"REST-SCHEMA"}),
        (b"profile=tls-server", "application/x-www-form-urlencoded", 415, set()),
        (b"{}", "text/plain", 415, set()),
        (b"{}", "", 415, set()),
        (b"{}", "application/problem+json", 415, set()),
        (b" " * (MAX_BODY_BYTES + 1), "application/json", 413, {"REST-SIZE"}),
    ],
)
def test_r31_bad_bodies_are_problems(issuing, caller, data, content_type, status, rules):
    response = caller.http.post(
        URL, data=data, content_type=content_type, headers=caller.headers(**{"Idempotency-Key": "k"})
    )
    problem(response, status, *rules)
    assert counted(issuing, "certificate_request") == 0


def test_a_compressed_body_is_not_read(caller):
    headers = caller.headers(**{"Idempotency-Key": "k", "Content-Encoding": "gzip"})
    problem(caller.http.post(URL, data=b"{}", content_type="application/json", headers=headers), 415)


class Endless(io.RawIOBase):
    """A body without an end; counts what was taken of it."""

    def __init__(self):
        self.taken = 0

    def readable(self):
        return True

    def tell(self):
        return 0

    def seek(self, _offset, _whence=0):
        return 0

    def readinto(self, buffer):
        buffer[:] = b" " * len(buffer)
        self.taken += len(buffer)
        return len(buffer)


def test_r32_a_chunked_body_is_cut_at_the_cap(caller):
    """The cap counts bytes read; no header promises a length here."""
    body = Endless()
    response = caller.http.post(
        URL,
        input_stream=body,
        content_type="application/json",
        headers=caller.headers(**{"Idempotency-Key": "k", "Transfer-Encoding": "chunked"}),
        environ_overrides={"wsgi.input_terminated": True},
    )
    problem(response, 413, "REST-SIZE")
    assert body.taken <= 2 * MAX_BODY_BYTES


def test_r32_without_proof_a_body_is_not_read_at_all(caller):
    body = Endless()
    response = caller.http.post(
        URL,
        input_stream=body,
        content_type="application/json",
        headers={"Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input_terminated": True},
    )
    problem(response, 401, "ACCESS-CREDENTIALS")
    assert body.taken == 0


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=201",
        "limit=x",
        "limit=1&limit=2",
        "cursor=x",
        "cursor=9999999999999999999.1",
        "sort=serial",
        "status=good",
        "unknown=1",
        "subject=%00",
        "serial_number=%25",
        "expires_before=tomorrow",
        "authority=../root",
    ],
)
def test_bad_queries_are_problems(caller, query):
    assert caller.get(f"/api/v1/certificates?{query}").status_code == 400


@pytest.mark.parametrize("certificate_id", ["0" * 63, "%00" * 64, "0" * 64 + "%0a", "*", "%25", "A" * 64])
def test_r18_an_id_is_an_id_and_no_pattern(issuing, caller, certificate_id):
    caller.ask("a.example.com")
    assert caller.get(f"/api/v1/certificates/{certificate_id}").status_code == 400


def events(issuing, kind):
    with issuing.context.database.read() as connection:
        rows = connection.execute(
            text("SELECT body FROM audit_event WHERE kind = :kind ORDER BY number"), {"kind": kind}
        ).scalars()
        return [json.loads(bytes(body)) for body in rows]


def test_a_requester_sees_its_own_and_nothing_else(issuing, caller):
    mine = caller.ask("a.example.com").get_json()
    other = Caller(issuing)
    theirs = other.ask("b.example.com").get_json()
    for one, foreign in ((caller, theirs), (other, mine)):
        problem(one.get(f"{URL}/{foreign['id']}"), 404, "INVENTORY-UNKNOWN")
        problem(one.get(f"/api/v1/certificates/{foreign['certificate']['id']}"), 404, "INVENTORY-UNKNOWN")
    for one, own in ((caller, mine), (other, theirs)):
        assert [each["id"] for each in one.get("/api/v1/certificates").get_json()["items"]] == [
            own["certificate"]["id"]
        ]
        assert [each["id"] for each in one.get(URL).get_json()["items"]] == [own["id"]]
    assert len(Caller(issuing, Role.AUDITOR).get("/api/v1/certificates").get_json()["items"]) == 2


@pytest.mark.parametrize("sort", [None, "number", "-number", "not_after", "-not_after"])
def test_pages_lead_through_all_rows_once(issuing, caller, sort):
    ends = ["2027-03-05T00:00:00Z", "2027-03-04T00:00:00Z", "2027-03-05T00:00:00Z"] * 2
    asked = [caller.ask(f"h{n}.example.com", not_after=end).get_json() for n, end in enumerate(ends)]
    path, seen = "/api/v1/certificates?limit=4" + (f"&sort={sort}" if sort else ""), []
    while path:
        response = caller.get(path)
        page = response.get_json()
        seen += page["items"]
        link = response.headers.get("Link")
        assert (link is None) == (page["next_cursor"] is None)
        path = link.split(">")[0].lstrip("<") if link else None
    assert sorted(each["id"] for each in seen) == sorted(each["certificate"]["id"] for each in asked)
    if sort and "not_after" in sort:
        found = [each["not_after"] for each in seen]
        assert found == sorted(found, reverse=sort.startswith("-"))


def test_filters_narrow(issuing, caller):
    ids = {
        name: caller.ask(f"{name}.example.com", not_after=end).get_json()["certificate"]["id"]
        for name, end in (
            ("a", "2027-03-05T00:00:00Z"),
            ("b", "2027-04-05T00:00:00Z"),
            ("c", "2027-03-02T00:00:00Z"),
        )
    }
    officer = Caller(issuing, Role.OFFICER)
    officer.post(f"/api/v1/certificates/{ids['b']}/revocation", {"reason": "superseded"})
    issuing.clock.advance(days=1)
    held = caller.ask("d.example.com").get_json()["certificate"]["id"]
    officer.post(f"/api/v1/certificates/{held}/revocation", {"reason": "certificateHold"})

    def find(query):
        items = officer.get(f"/api/v1/certificates?{query}").get_json()["items"]
        return {each["id"] for each in items}

    assert find("status=valid") == {ids["a"]}
    assert find("status=revoked") == {ids["b"]}
    assert find("status=expired") == {ids["c"]}
    assert find("status=held") == {held}
    assert find("name=dns:a.example.com") == {ids["a"]}
    assert find("name=dns:%25.example.com") == set()
    assert find("name=dns:_.example.com") == set()
    assert find("expires_before=2027-03-10T00:00:00Z") == {ids["a"], ids["c"]}
    assert find("expires_after=2027-04-01T00:00:00Z&expires_before=2027-04-06T00:00:00Z") == {ids["b"]}
    assert find("profile=tls-client") == set()
    assert find("authority=issuing-1") == {*ids.values(), held}
    shown = officer.get(f"/api/v1/certificates/{held}").get_json()
    assert find(f"serial_number={shown['serial_number']}") == {held}
    assert (shown["status"], shown["revocation_reason"]) == ("held", "certificateHold")
    officer.http.delete(f"/api/v1/certificates/{held}/revocation", headers=officer.headers())
    assert officer.get(f"/api/v1/certificates/{held}").get_json()["status"] == "valid"


def test_a_certificate_in_every_encoding(issuing, caller):
    certificate_id = caller.ask("a.example.com").get_json()["certificate"]["id"]
    path = f"/api/v1/certificates/{certificate_id}"
    der = caller.get(path, Accept="application/pkix-cert")
    leaf = x509.load_der_x509_certificate(der.data)
    for media_type in ("application/pem-certificate-chain", "application/x-pem-file"):
        answer = caller.get(path, Accept=media_type)
        assert answer.mimetype == media_type
        assert x509.load_pem_x509_certificates(answer.data) == [leaf, issuing.issuer]
    bundle = caller.get(path, Accept="application/pkcs7-mime")
    assert set(pkcs7.load_der_pkcs7_certificates(bundle.data)) == {leaf, issuing.issuer}
    assert bundle.content_type == "application/pkcs7-mime; smime-type=certs-only"
    assert caller.get(path).get_json()["names"] == ["dns:a.example.com"]
    assert caller.get(path, Accept="*/*").mimetype == "application/json"
    assert caller.get(path, Accept="text/html").status_code == 406
    assert der.headers["Vary"] == "Accept"


def test_openssl_accepts_the_chain(issuing, caller, tmp_path):
    body = caller.ask("a.example.com").get_json()
    (tmp_path / "root.pem").write_bytes(issuing.root.public_bytes(Encoding.PEM))
    (tmp_path / "chain.pem").write_text(body["certificate"]["pem_chain"])
    done = tool(
        "openssl",
        "verify",
        *("-x509_strict", "-no_check_time"),
        *("-CAfile", str(tmp_path / "root.pem"), "-untrusted", str(tmp_path / "chain.pem")),
        str(tmp_path / "chain.pem"),
    )
    assert done.stdout.strip().endswith("OK")


def test_an_outage_is_503_with_a_time_to_come_back(issuing, caller):
    issuing.lane.stop()
    response = caller.ask("a.example.com")
    problem(response, 503)
    assert int(response.headers["Retry-After"]) > 0
    assert counted(issuing, "certificate") == 0
