"""The responder's two views: every issued certificate, nothing but them, and no way to write."""

from __future__ import annotations

import uuid
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert, text

from ca_server.core.authorization import Principal, Role
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind
from ca_server.services.revoke import release_certificate, revoke_certificate
from ca_server.store import tables
from ocsp_responder.status import CertificateStatus, StatusReader
from tests.architecture.tree import ROOT as TREE
from tests.fakes.stored import ACTOR, ISSUING, ROOT

OFFICER = Principal("token:officer", Role.OFFICER, "token")
GOOD = CertificateStatus(None, None)


@pytest.fixture
def reader(hierarchy, database_url):
    opened = StatusReader(database_url)
    yield opened
    opened.close()


def test_only_what_was_issued_has_a_status(hierarchy, reader):
    leaf = hierarchy.issue()
    assert reader.find(ISSUING, leaf.serial_number) == GOOD
    assert reader.find(ROOT, leaf.serial_number) is None
    assert reader.find(ISSUING, "0" * 40) is None


def test_an_intent_is_no_certificate(hierarchy, reader, clock):
    """A signature may exist, but the certificate never left: it is not good."""
    serial_number = f"{2**155:040x}"
    event = hierarchy.context.event(
        "issue.intent",
        ACTOR,
        {
            "authority": ISSUING,
            "serial": serial_number,
            "tbs_sha256": "0" * 64,
            "profile": "tls-server",
            "policy_sha256": "0" * 64,
            "request": "r",
        },
    )
    request = {"id": "r", "created_at": 0, "protocol": "rest", "principal_id": "p", "profile": "tls-server"}
    with hierarchy.context.database.write() as unit:
        unit.connection.execute(
            insert(tables.certificate_request).values(
                **request, csr_der=b"", requested="{}", status="intent", rule_ids="[]", detail=""
            )
        )
        unit.connection.execute(
            insert(tables.issuance_intent).values(
                authority_id=ISSUING,
                serial_number=serial_number,
                event_id=event.event_id,
                request_id="r",
                created_at=to_epoch(clock.now()),
                state="intent",
                profile="tls-server",
                signature_algorithm="ecdsa-sha256",
                tbs_sha256="0" * 64,
                tbs=b"",
            )
        )
        unit.commit(event)
    assert reader.find(ISSUING, serial_number) is None


def test_an_authority_has_a_status_under_its_issuer(hierarchy, reader, clock):
    serial_number = f"{hierarchy.issuer.serial_number:040x}"
    assert reader.find(ROOT, serial_number) == GOOD
    assert reader.find(ISSUING, serial_number) is None
    assert reader.find(ROOT, f"{hierarchy.root.serial_number:040x}") is None
    event = hierarchy.context.event(
        "revoke.done", ACTOR, {"authority": ROOT, "serial": serial_number, "reason": "cACompromise"}
    )
    with hierarchy.context.database.write() as unit:
        unit.connection.execute(
            insert(tables.revocation).values(
                authority_id=ROOT,
                serial_number=serial_number,
                revoked_at=to_epoch(clock.now()),
                reason="cACompromise",
                not_after=0,
                event_id=event.event_id,
            )
        )
        unit.commit(event)
    assert reader.find(ROOT, serial_number) == CertificateStatus(clock.now(), "cACompromise")


def test_revocation_and_release_are_seen_and_raise_the_watermark(hierarchy, reader, clock):
    leaf, other = hierarchy.issue(), hierarchy.issue("other.example.test")
    assert reader.watermark() == 0
    clock.advance(minutes=1)
    revoke_certificate(hierarchy.context, OFFICER, leaf.id, "certificateHold")
    assert reader.watermark() == 1
    assert reader.find(ISSUING, leaf.serial_number) == CertificateStatus(clock.now(), "certificateHold")
    assert reader.find(ISSUING, other.serial_number) == GOOD
    release_certificate(hierarchy.context, OFFICER, leaf.id)
    assert reader.watermark() == 2
    assert reader.find(ISSUING, leaf.serial_number) == GOOD
    clock.advance(days=40)
    revoke_certificate(hierarchy.context, OFFICER, leaf.id, "superseded")
    assert reader.find(ISSUING, leaf.serial_number) == CertificateStatus(clock.now(), "superseded")


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM revocation",
        "UPDATE watermark SET value = 0",
        "INSERT INTO watermark (name, value) VALUES ('revocation', 0)",
        "CREATE TABLE anything (id INTEGER)",
    ],
)
def test_r39_the_readers_connection_cannot_write(hierarchy, reader, statement):
    revoke_certificate(hierarchy.context, OFFICER, hierarchy.issue().id, "superseded")
    with pytest.raises(CaError) as caught:
        reader._row(text(statement))
    assert caught.value.kind is Kind.UNAVAILABLE
    assert reader.watermark() == 1


@pytest.mark.parametrize("serial_number", ["' OR '1'='1", "%", "", "\x01" * 40])
def test_r18_no_text_becomes_a_query(hierarchy, reader, serial_number):
    hierarchy.issue()
    assert reader.find(ISSUING, serial_number) is None


def test_a_role_that_was_granted_the_views_needs_no_table(postgresql, hierarchy, database_url):
    """`ops/examples/postgresql-responder.sql` is all that the responder's role gets."""
    if not database_url.startswith("postgresql"):
        assert hierarchy.context.database.is_sqlite
        return
    role = f"ocsp_{uuid.uuid4().hex}"
    grants = (Path(TREE) / "ops/examples/postgresql-responder.sql").read_text()
    name = database_url.rsplit("/", 1)[-1]
    leaf = hierarchy.issue()
    with hierarchy.context.database.write() as unit:
        unit.connection.execute(text(f"CREATE ROLE {role} LOGIN"))
        unit.connection.execute(text(grants.replace("sealkeeper_ocsp", role)))
        unit.commit_unaudited("what the operator does")
    reader = StatusReader(postgresql.url(name, role))
    try:
        assert reader.find(ISSUING, leaf.serial_number) == GOOD
        assert reader.watermark() == 0
        for table in ("certificate", "revocation", "audit_event", "api_token", "authority"):
            with pytest.raises(CaError) as caught:
                reader._row(text(f"SELECT count(*) FROM {table}"))
            assert "permission denied" in str(caught.value.__cause__)
    finally:
        reader.close()
        with hierarchy.context.database.write() as unit:
            unit.connection.execute(text(f"DROP OWNED BY {role}"))
            unit.connection.execute(text(f"DROP ROLE {role}"))
            unit.commit_unaudited("what the operator does")


@pytest.mark.parametrize(
    "url",
    ["sqlite:////nowhere/at/all.sqlite", "postgresql://nobody@127.0.0.1:1/none"],
    ids=["file", "server"],
)
def test_r15_a_database_away_is_unavailable_and_never_made(url):
    reader = StatusReader(url)
    with pytest.raises(CaError) as caught:
        reader.watermark()
    assert caught.value.kind is Kind.UNAVAILABLE
    reader.close()


def test_a_missing_sqlite_file_is_not_made(tmp_path):
    reader = StatusReader(f"sqlite:///{tmp_path}/none.sqlite")
    with pytest.raises(CaError):
        reader.find(ISSUING, "0" * 40)
    reader.close()
    assert list(tmp_path.iterdir()) == []


def test_an_old_answer_is_not_read_from_an_open_transaction(hierarchy, reader):
    """Each look is a transaction of its own, or a revocation would never be seen."""
    leaf = hierarchy.issue()
    for _ in range(3):
        assert reader.find(ISSUING, leaf.serial_number) == GOOD
    revoke_certificate(hierarchy.context, OFFICER, leaf.id, "superseded")
    assert reader.find(ISSUING, leaf.serial_number) != GOOD


def test_the_lifetime_of_a_leaf_does_not_end_its_status(hierarchy, reader, clock):
    leaf = hierarchy.issue(lifetime=timedelta(minutes=5))
    clock.advance(days=365)
    assert reader.find(ISSUING, leaf.serial_number) == GOOD
