"""A ceremony's bundle becomes authorities, a CRL and events, all at once or not at all."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from datetime import datetime

import pytest
from cryptography import x509
from sqlalchemy import func, select

from ca_server.core.archive import MAX_ARCHIVE_BYTES, pack, unpack
from ca_server.core.audit.record import leaf_hash
from ca_server.core.bundle import read_bundle
from ca_server.core.clock import to_epoch
from ca_server.core.errors import CaError, Kind
from ca_server.services.context import Context
from ca_server.services.import_bundle import import_bundle
from ca_server.store import tables
from ca_server.store.authorities import (
    authority_chain,
    find_authority,
    find_authority_of_key,
    list_authorities,
)
from ca_server.store.crls import CrlIntent, take_number
from ca_server.store.engine import Database
from ceremony.engine import rehearse_in_memory
from ceremony.plan import make_plan
from tests.fixtures.ceremony import CEREMONY_TIME, READY_SCRIPT


@dataclass(frozen=True)
class FixedClock:
    moment: datetime = CEREMONY_TIME

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def context(database) -> Context:
    return Context(FixedClock(), database, "ca-1")


@pytest.fixture
def bundle_file(bundle_data, tmp_path):
    path = tmp_path / "bundle.tar"
    path.write_bytes(bundle_data)
    return path


def counts(database: Database) -> dict[str, int]:
    with database.read() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (tables.authority, tables.crl, tables.audit_event)
        }


def events(database: Database) -> list[dict]:
    with database.read() as connection:
        rows = connection.execute(select(tables.audit_event).order_by(tables.audit_event.c.number)).all()
    assert all(leaf_hash(row.body) == row.leaf_hash for row in rows)
    return [json.loads(row.body) for row in rows]


def refused(context, path, *, rehearsal=True, sha256=None) -> CaError:
    before = counts(context.database)
    with pytest.raises(CaError) as error:
        import_bundle(context, path, rehearsal=rehearsal, sha256=sha256)
    assert counts(context.database) == before
    return error.value


def test_authorities_and_crl_are_there(context, bundle_file, bundle_data):
    report = import_bundle(context, bundle_file, rehearsal=True)
    bundle = read_bundle(bundle_data)
    with context.database.read() as connection:
        issuing, root = list_authorities(connection)
        crl = connection.execute(select(tables.crl)).one()
        assert authority_chain(connection, "issuing-i1") == [issuing, root]
        assert authority_chain(connection, "nobody") == []
        assert find_authority_of_key(connection, root.spki_sha256) == root
        assert find_authority(connection, "nobody") is None
    assert (root.id, root.issuer_id, root.role, root.state) == ("root-r1", None, "root", "offline")
    assert (root.key_uri, root.last_crl_number) == (None, 1)
    assert (issuing.id, issuing.issuer_id, issuing.role, issuing.state) == (
        "issuing-i1",
        "root-r1",
        "issuing",
        "active",
    )
    assert issuing.key_uri == bundle.manifest.authorities[1].key_uri
    assert (issuing.signature_algorithm, issuing.last_crl_number) == ("ecdsa-sha256", 0)
    certificate = x509.load_der_x509_certificate(issuing.certificate_der)
    assert int(issuing.serial_number, 16) == certificate.serial_number
    assert len(issuing.serial_number) == 40
    assert (crl.authority_id, crl.crl_number, crl.state, crl.entries) == ("root-r1", 1, "done", 0)
    assert crl.der == bundle.files["crls/root-r1.crl"]
    assert crl.this_update == to_epoch(CEREMONY_TIME)
    assert report.bundle_sha256 == hashlib.sha256(bundle_data).hexdigest()
    assert report.certificates["root-r1"] == hashlib.sha256(root.certificate_der).hexdigest()


def test_every_part_has_its_event(context, bundle_file, bundle_data):
    import_bundle(context, bundle_file, rehearsal=True)
    logged = events(context.database)
    assert [event["kind"] for event in logged] == [
        "ceremony.imported",
        "authority.imported",
        "crl.intent",
        "crl.done",
        "authority.imported",
    ]
    imported, root, intent, done, issuing = logged
    assert imported["data"]["bundle_sha256"] == hashlib.sha256(bundle_data).hexdigest()
    assert imported["data"]["mode"] == "rehearsal"
    assert imported["data"]["script_sha256"] == hashlib.sha256(READY_SCRIPT).hexdigest()
    assert (root["data"]["authority"], issuing["data"]["authority"]) == ("root-r1", "issuing-i1")
    assert done["ref"] == intent["event_id"]
    assert {event["actor"]["id"] for event in logged} == {"process:import"}
    with context.database.read() as connection:
        row = connection.execute(select(tables.crl)).one()
        assert (row.intent_event_id, row.event_id) == (intent["event_id"], done["event_id"])
        assert find_authority(connection, "root-r1").event_id == root["event_id"]


def test_the_next_crl_number_goes_on_from_the_ceremony(context, bundle_file):
    import_bundle(context, bundle_file, rehearsal=True)
    with context.database.write() as work:
        again = CrlIntent("root-r1", 1, 0, 1, 0, "0" * 64, "event")
        assert not take_number(work, again)


def test_the_same_bundle_again_is_refused(context, bundle_file):
    import_bundle(context, bundle_file, rehearsal=True)
    error = refused(context, bundle_file)
    assert error.kind is Kind.CONFLICT
    assert error.rule_ids == ("BUNDLE-IMPORTED",)
    assert "root-r1" in error.detail


def test_another_hierarchy_under_the_same_names_is_refused(context, bundle_file, tmp_path):
    import_bundle(context, bundle_file, rehearsal=True)
    other = tmp_path / "other.tar"
    other.write_bytes(rehearse_in_memory(make_plan(READY_SCRIPT, CEREMONY_TIME)))
    error = refused(context, other)
    assert error.rule_ids == ("BUNDLE-IMPORTED",)
    assert "another" in error.detail


def test_a_second_hierarchy_stands_beside_the_first(context, bundle_file, tmp_path):
    import_bundle(context, bundle_file, rehearsal=True)
    text = READY_SCRIPT.decode()
    for old, new in (("root-r1", "root-r2"), ("issuing-i1", "issuing-i2"), ("first-h", "second-h")):
        text = text.replace(old, new)
    second = tmp_path / "second.tar"
    script = text.replace('kind = "second-hierarchy"', 'kind = "first-hierarchy"').encode()
    second.write_bytes(rehearse_in_memory(make_plan(script, CEREMONY_TIME)))
    import_bundle(context, second, rehearsal=True)
    assert counts(context.database) == {"authority": 4, "crl": 2, "audit_event": 10}


def test_a_rehearsal_is_refused_unless_wanted(context, bundle_file):
    error = refused(context, bundle_file, rehearsal=False)
    assert error.kind is Kind.POLICY_REFUSED
    assert error.rule_ids == ("BUNDLE-REHEARSAL",)


def test_the_digest_that_was_read_aloud_is_compared(context, bundle_file, bundle_data):
    assert refused(context, bundle_file, sha256="0" * 64).rule_ids == ("BUNDLE-DIGEST",)
    digest = hashlib.sha256(bundle_data).hexdigest().upper()
    assert import_bundle(context, bundle_file, rehearsal=True, sha256=digest)


def test_an_altered_bundle_changes_nothing(context, bundle_file, bundle_data):
    files = unpack(bundle_data)
    files["crls/root-r1.crl"] = files["crls/root-r1.crl"][:-1] + b"\x00"
    bundle_file.write_bytes(pack(files))
    assert refused(context, bundle_file).rule_ids == ("BUNDLE-DIGEST",)
    bundle_file.write_bytes(bundle_data[:-1])
    assert refused(context, bundle_file).rule_ids == ("BUNDLE-ARCHIVE",)


def test_a_file_too_large_or_missing_changes_nothing(context, bundle_file):
    with bundle_file.open("wb") as file:
        file.truncate(100 * MAX_ARCHIVE_BYTES)
    assert refused(context, bundle_file).rule_ids == ("BUNDLE-SIZE",)
    bundle_file.unlink()
    assert refused(context, bundle_file).kind is Kind.NOT_FOUND


def test_two_imports_at_once_make_one(context, bundle_file):
    results = []

    def run():
        try:
            results.append(import_bundle(context, bundle_file, rehearsal=True))
        except CaError as error:
            results.append(error)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    refusals = [each for each in results if isinstance(each, CaError)]
    assert len(results) == 4
    assert len(refusals) == 3
    assert {each.rule_ids for each in refusals} == {("BUNDLE-IMPORTED",)}
    assert counts(context.database) == {"authority": 2, "crl": 1, "audit_event": 5}
