"""Who gets in: tokens, client certificates in every bad shape, grants, and what the log keeps of refusals."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID
from sqlalchemy import text

from ca_server.core.authorization import Principal, Role
from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.roles import Action
from ca_server.core.signatures import spki_sha256
from ca_server.services.access import (
    authenticate_client_certificate,
    authenticate_token,
    authorize_request,
)
from ca_server.services.context import Context
from ca_server.services.credentials import (
    OPERATOR,
    Grant,
    create_grant,
    create_token,
    list_credentials,
    revoke_credential,
)
from ca_server.services.refusals import ANONYMOUS, RefusalLog
from ca_server.services.revoke import release_certificate, revoke_certificate
from ca_server.store.access import CredentialType
from ca_server.store.engine import Database
from tests.fixtures.issuing import ROOT, make_csr

GRANT = Grant("a test", Role.REQUESTER, ("tls-*",), ("dns:**.example.com",), timedelta(days=30))


def events(issuing, kind=None):
    with issuing.context.database.read() as connection:
        rows = connection.execute(text("SELECT body FROM audit_event ORDER BY number")).scalars()
        leaves = [json.loads(bytes(body)) for body in rows]
    return [leaf for leaf in leaves if kind in {None, leaf["kind"]}]


def refused(function, *arguments):
    with pytest.raises(CaError) as caught:
        function(*arguments)
    return caught.value.kind, caught.value.rule_ids


def test_a_token_is_its_principal_and_its_secret_is_nowhere(issuing):
    token, secret = create_token(issuing.context, OPERATOR, GRANT)
    found = authenticate_token(issuing.context, secret)
    assert found == Principal(f"token:{token.id}", Role.REQUESTER, "token", GRANT.profiles, GRANT.names)
    with issuing.context.database.read() as connection:
        rows = connection.execute(text("SELECT * FROM api_token")).mappings().all()
    assert secret not in str(rows)
    assert hashlib.sha256(secret.encode()).hexdigest() in str(rows)
    assert secret not in json.dumps(events(issuing))
    assert [leaf["data"]["token"] for leaf in events(issuing, "token.created")] == [token.id]


def test_r18_no_wildcard_and_no_near_miss_is_a_token(issuing):
    _, secret = create_token(issuing.context, OPERATOR, GRANT)
    for guess in (
        "",
        "*",
        "%",
        "_" * len(secret),
        "sk_%",
        secret[:-1],
        secret + " ",
        secret.upper(),
        "' OR 1=1 --",
    ):
        assert refused(authenticate_token, issuing.context, guess) == (
            Kind.UNAUTHENTICATED,
            ("ACCESS-TOKEN",),
        )
    digest = hashlib.sha256(secret.encode()).hexdigest()
    for guess in (digest, "\x00", "ä", "a" * 100_000):
        assert refused(authenticate_token, issuing.context, guess)[1] == ("ACCESS-TOKEN",)


def test_a_token_ends(issuing):
    token, secret = create_token(issuing.context, OPERATOR, GRANT)
    issuing.clock.advance(days=30)
    authenticate_token(issuing.context, secret)
    issuing.clock.advance(seconds=1)
    assert refused(authenticate_token, issuing.context, secret)[1] == ("ACCESS-TOKEN",)
    assert [
        each.id
        for each in list_credentials(issuing.context, OPERATOR, CredentialType.TOKEN, after=None, limit=10)
    ] == [token.id]


def test_a_token_is_revoked_once(issuing):
    token, secret = create_token(issuing.context, OPERATOR, GRANT)
    revoke_credential(issuing.context, OPERATOR, CredentialType.TOKEN, token.id)
    assert refused(authenticate_token, issuing.context, secret)[1] == ("ACCESS-TOKEN",)
    again = refused(revoke_credential, issuing.context, OPERATOR, CredentialType.TOKEN, token.id)
    assert again == (Kind.NOT_FOUND, ("ACCESS-UNKNOWN",))
    assert len(events(issuing, "token.revoked")) == 1


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"name": ""}, "ACCESS-NEW-NAME"),
        ({"name": "two\nlines"}, "ACCESS-NEW-NAME"),
        ({"valid": timedelta(0)}, "ACCESS-NEW-VALIDITY"),
        ({"valid": timedelta(days=401)}, "ACCESS-NEW-VALIDITY"),
        ({"profiles": ("[a-z]",)}, "ACCESS-NEW-PROFILE"),
        ({"names": ("www.example.com",)}, "NAME-PATTERN"),
        ({"names": ("dns:*",) * 101}, "ACCESS-NEW-PATTERNS"),
    ],
)
def test_a_credential_is_well_formed(issuing, change, rule):
    grant = Grant(**{**{name: getattr(GRANT, name) for name in Grant.__slots__}, **change})
    kind, rules = refused(create_token, issuing.context, OPERATOR, grant)
    assert kind is Kind.MALFORMED
    assert set(rules) == {rule}


def test_r29_nobody_grants_more_than_they_hold(issuing):
    held = Principal("token:1", Role.ADMINISTRATOR, "token", ("tls-server",), ("dns:**.example.com",))
    create_token(
        issuing.context, held, Grant("same", Role.REQUESTER, ("tls-server",), GRANT.names, GRANT.valid)
    )
    for profiles, names in ((("*",), ()), (("tls-client",), ()), ((), ("*",)), ((), ("dns:**",))):
        wider = Grant("wider", Role.REQUESTER, profiles, names, GRANT.valid)
        assert refused(create_token, issuing.context, held, wider) == (
            Kind.FORBIDDEN,
            ("ACCESS-GRANTOR",),
        )


@pytest.mark.parametrize("role", [Role.OFFICER, Role.AUDITOR, Role.REQUESTER])
def test_r29_only_an_administrator_grants(issuing, role):
    principal = Principal("token:1", role, "token", ("*",), ("*",))
    assert refused(create_token, issuing.context, principal, GRANT)[1] == ("ACCESS-ROLE",)
    assert refused(create_grant, issuing.context, principal, GRANT, "0" * 64)[1] == ("ACCESS-ROLE",)


@pytest.fixture
def client(issuing):
    """A client certificate from the gate, in DER, with a role granted to its key."""
    issued = issuing.issue("client.example.com", profile="tls-client")
    key = spki_sha256(issuing.keys[issued.certificate_id].public_key())
    grant = create_grant(issuing.context, OPERATOR, GRANT, key)
    return issued, grant


def test_a_client_certificate_is_its_keys_principal(issuing, client):
    issued, grant = client
    assert authenticate_client_certificate(issuing.context, issued.der) == Principal(
        f"key:{grant.id}", Role.REQUESTER, "tls-client-certificate", GRANT.profiles, GRANT.names
    )


def login_rule(issuing, der):
    kind, rules = refused(authenticate_client_certificate, issuing.context, der)
    assert kind is Kind.UNAUTHENTICATED
    return rules


def test_r13_a_revoked_client_certificate_is_refused_until_released(issuing, client):
    issued, _ = client
    revoke_certificate(issuing.context, OPERATOR, issued.certificate_id, "certificateHold")
    assert login_rule(issuing, issued.der) == ("ACCESS-CERT-REVOKED",)
    release_certificate(issuing.context, OPERATOR, issued.certificate_id)
    authenticate_client_certificate(issuing.context, issued.der)
    revoke_certificate(issuing.context, OPERATOR, issued.certificate_id, "superseded")
    assert login_rule(issuing, issued.der) == ("ACCESS-CERT-REVOKED",)


def test_r13_the_clients_end_is_checked(issuing, client):
    issuing.clock.advance(days=31)
    assert login_rule(issuing, client[0].der) == ("ACCESS-CERT-TIME",)


def test_r13_the_purpose_is_checked(issuing):
    server = issuing.issue("server.example.com", profile="tls-server")
    create_grant(
        issuing.context,
        OPERATOR,
        GRANT,
        spki_sha256(issuing.keys[server.certificate_id].public_key()),
    )
    assert login_rule(issuing, server.der) == ("ACCESS-CERT-USE",)


def test_without_a_grant_there_is_no_role(issuing):
    issued = issuing.issue("client.example.com", profile="tls-client")
    assert login_rule(issuing, issued.der) == ("ACCESS-GRANT",)


def test_a_grant_ends(issuing, client):
    issued, grant = client
    revoke_credential(issuing.context, OPERATOR, CredentialType.GRANT, grant.id)
    assert login_rule(issuing, issued.der) == ("ACCESS-GRANT",)
    taken = refused(create_grant, issuing.context, OPERATOR, GRANT, grant.digest)
    assert taken == (Kind.CONFLICT, ("ACCESS-TAKEN",))


def forged(issuing, key, issuer_name, issuer_key):
    """A certificate that the gate never saw."""
    now = issuing.clock.now()
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer_name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
        .sign(issuer_key, hashes.SHA256())
        .public_bytes(Encoding.DER)
    )


def test_r20_a_certificate_from_elsewhere_with_a_granted_key_is_refused(issuing, client):
    """Foreign CA of our name, a leaf acting as a CA, and our own root signing past the gate."""
    issued, _ = client
    key = issuing.keys[issued.certificate_id]
    leaf = x509.load_der_x509_certificate(issued.der)
    for name, issuer_key in (
        (issuing.issuer.subject, ec.generate_private_key(ec.SECP256R1())),
        (leaf.subject, key),
        (issuing.root.subject, issuing.root_key),
    ):
        assert login_rule(issuing, forged(issuing, key, name, issuer_key)) == ("ACCESS-CERT-UNKNOWN",)
    assert login_rule(issuing, issuing.issuer.public_bytes(Encoding.DER)) == ("ACCESS-CERT-UNKNOWN",)
    assert login_rule(issuing, b"\x30\x03\x02\x01\x01") == ("ACCESS-CERT-FORMAT",)


def test_r13_a_revoked_authority_takes_its_clients_with_it(issuing, client):
    """A ceremony revokes an authority; its row is written here as an import of its CRL would."""
    event = issuing.context.event("revoke.done", ANONYMOUS, {"authority": ROOT, "serial": "", "reason": ""})
    with issuing.context.database.write() as unit:
        unit.connection.execute(
            text(
                "INSERT INTO revocation"
                " (authority_id, serial_number, revoked_at, reason, not_after, event_id)"
                " VALUES (:authority, :serial, 1, 'cACompromise', 9999999999, :event)"
            ),
            {
                "authority": ROOT,
                "serial": f"{issuing.issuer.serial_number:040x}",
                "event": event.event_id,
            },
        )
        unit.commit(event)
    assert login_rule(issuing, client[0].der) == ("ACCESS-CERT-REVOKED",)


@pytest.mark.parametrize("url", ["sqlite:////nowhere/at/all", "postgresql://nobody@127.0.0.1:1/nothing"])
def test_r15_a_database_that_is_away_lets_nobody_in(issuing, client, url):
    _, secret = create_token(issuing.context, OPERATOR, GRANT)
    away = Context(issuing.clock, Database(url), "test")
    assert refused(authenticate_token, away, secret) == (Kind.UNAVAILABLE, ())
    assert refused(authenticate_client_certificate, away, client[0].der) == (Kind.UNAVAILABLE, ())
    away.database.close()


def requester(*, profiles=("tls-server",), names=("dns:**.example.com",), role=Role.REQUESTER):
    return Principal("token:1", role, "token", profiles, names)


def csr(*names):
    return parse_csr(make_csr(ec.generate_private_key(ec.SECP256R1()), *names).encode())


def test_the_completion_step_seals_what_is_allowed(issuing):
    wanted = csr("a.example.com", "b.example.com")
    sealed = authorize_request(issuing.mints["rest"], requester(), "tls-server", wanted)
    assert (sealed.protocol, sealed.profile) == ("rest", "tls-server")
    assert sealed.identifiers == wanted.identifiers


@pytest.mark.parametrize(
    ("principal", "profile", "names", "rules"),
    [
        (requester(), "tls-client", ["a.example.com"], ("ACCESS-PROFILE",)),
        (requester(profiles=()), "tls-server", ["a.example.com"], ("ACCESS-PROFILE",)),
        (requester(), "tls-server", ["a.example.org"], ("ACCESS-NAME",)),
        (requester(), "tls-server", ["a.example.com", "a.example.org"], ("ACCESS-NAME",)),
        (requester(names=()), "tls-server", ["a.example.com"], ("ACCESS-NAME",)),
        (requester(), "tls-server", [], ("ACCESS-NAME",)),
        (requester(), "tls-server", ["example.com.evil.test"], ("ACCESS-NAME",)),
        (requester(), "other", ["evil.test"], ("ACCESS-PROFILE", "ACCESS-NAME")),
        (requester(role=Role.AUDITOR, names=("*",)), "tls-server", ["a.example.com"], ("ACCESS-ROLE",)),
    ],
)
def test_r17_nobody_gets_a_name_that_is_not_theirs(issuing, principal, profile, names, rules):
    found = refused(authorize_request, issuing.mints["rest"], principal, profile, csr(*names))
    assert found == (Kind.FORBIDDEN, rules)


def test_refusals_are_written_down_but_do_not_flood_the_log(issuing):
    log = RefusalLog(issuing.context)
    error = refuse(Kind.UNAUTHENTICATED, "ACCESS-TOKEN", "no")
    for _ in range(50):
        log.record("192.0.2.1", ANONYMOUS, Action.READ_CERTIFICATE, error)
    issuing.clock.advance(seconds=61)
    log.record("192.0.2.1", ANONYMOUS, Action.READ_CERTIFICATE, error)
    found = [leaf["data"] for leaf in events(issuing, "access.refused")]
    assert found == [
        {"action": "certificate.read", "left_out": 0, "rule_ids": ["ACCESS-TOKEN"], "source": "192.0.2.1"},
        {"action": "certificate.read", "left_out": 49, "rule_ids": ["ACCESS-TOKEN"], "source": "192.0.2.1"},
    ]


def test_many_addresses_do_not_flood_the_log_either(issuing):
    log = RefusalLog(issuing.context)
    error = refuse(Kind.UNAUTHENTICATED, "ACCESS-TOKEN", "no")
    for number in range(300):
        log.record(f"198.51.{number // 256}.{number % 256}", ANONYMOUS, Action.READ_CERTIFICATE, error)
        log.record(f"2001:db8::{number:x}", ANONYMOUS, Action.READ_CERTIFICATE, error)
    found = [leaf["data"] for leaf in events(issuing, "access.refused")]
    assert len(found) == 60
    assert [each["source"] for each in found].count("2001:db8::/64") == 1
    issuing.clock.advance(seconds=61)
    log.record("not an address", ANONYMOUS, Action.READ_CERTIFICATE, error)
    last = events(issuing, "access.refused")[-1]["data"]
    assert last["source"] == "unknown"
    # 241 over the ceiling; those of the one /64 wait to be told with its next event.
    assert last["left_out"] == 241
