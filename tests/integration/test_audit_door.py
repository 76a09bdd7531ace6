"""The log's door: right names, types and caching; nothing past the signed tree; proofs of certificates."""

from __future__ import annotations

import gzip

import pytest
from click.testing import CliRunner, Result
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ed25519
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import Table

from ca_server.cli.audit import command
from ca_server.core.audit.checkpoint import open_checkpoint
from ca_server.core.audit.proofs import parse_proof, verify_issuance
from ca_server.core.audit.tiles import decode_bundle
from ca_server.core.errors import CaError, Kind
from ca_server.publish import audit as door
from ca_server.services.audit_reading import AuditReader
from ca_server.store import tables
from tests.fakes.audit_log import ACTOR, START, AuditLog, Crash, Fuse, MemorySigner
from tests.fakes.served_log import app_of, served

IMMUTABLE = "public, max-age=31536000, immutable"


@pytest.fixture
def log(database, tmp_path):
    return AuditLog(database, tmp_path)


@pytest.fixture
def client(log):
    return app_of(log).test_client()


def test_an_unsigned_log_has_nothing_to_show(client):
    response = client.get("/audit/checkpoint")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "2"
    assert client.get("/audit/tile/0/000.p/1").status_code == 404


def test_checkpoint_and_key(log, client):
    log.add(2)
    log.sequence_all()
    response = client.get("/audit/checkpoint")
    assert response.status_code == 200
    assert response.content_type == "text/plain; charset=utf-8"
    assert response.headers["Cache-Control"] == "no-cache"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert open_checkpoint(response.data, [log.key.verifier_key]).size == 3
    assert client.get("/audit/vkey").text == f"{log.vkey}\n"


def test_tiles_and_bundles(log, client):
    bodies = [event.body for event in log.add(299)]
    log.sequence_all()
    full, partial = client.get("/audit/tile/0/000"), client.get("/audit/tile/0/001.p/44")
    for response, width in ((full, 256), (partial, 44)):
        assert response.status_code == 200
        assert response.content_type == "application/octet-stream"
        assert response.headers["Cache-Control"] == IMMUTABLE
        assert len(response.data) == width * 32
    assert client.get("/audit/tile/1/000.p/1").status_code == 200
    bundle = client.get("/audit/tile/entries/001.p/44")
    assert bundle.headers["Vary"] == "Accept-Encoding"
    assert "Content-Encoding" not in bundle.headers
    assert decode_bundle(bundle.data, 44) == bodies[255:]
    packed = client.get("/audit/tile/entries/001.p/44", headers={"Accept-Encoding": "gzip"})
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(packed.data) == bundle.data


def test_narrower_partial_tiles_of_older_checkpoints_stay(log, client):
    log.add(4)
    log.sequence_all()
    older = client.get("/audit/tile/0/000.p/5").data
    log.add(300)
    log.sequence_all()
    assert client.get("/audit/tile/0/000.p/5").data == older
    assert client.get("/audit/tile/0/000").data.startswith(older)


@pytest.mark.parametrize(
    "name",
    [
        "0/001.p/1",
        "0/000.p/5",
        "1/000.p/1",
        "entries/000.p/5",
        "0/000",
        "entries/000",
        "0/0",
        "0/000.p/0",
        "0/../0/000.p/4",
        "64/000",
        "x",
        "entries/999999999999",
        "0/" + "x999/" * 5 + "999",
        "9/x999/x999/x999/x999/999",
    ],
)
def test_other_names_are_not_found(log, client, name):
    log.add(3)
    log.sequence_all()
    response = client.get(f"/audit/tile/{name}")
    assert response.status_code == 404
    assert "Traceback" not in response.text


def test_what_is_not_signed_is_not_shown(log, client):
    log.add(2)
    log.sequence_all()
    before = client.get("/audit/checkpoint").data
    log.add(2)
    with pytest.raises(Crash):
        log.fused(Fuse(2, after=True))
    assert client.get("/audit/checkpoint").data == before
    assert client.get("/audit/tile/0/000.p/5").status_code == 404
    log.sequence_all()
    assert client.get("/audit/tile/0/000.p/5").status_code == 200


def row_of(table: Table, **values: object) -> dict[str, object]:
    """A row with something in each column that must have something; only references matter here."""
    blanks = {int: 0, str: "-", bytes: b"-"}
    blank = {each.name: blanks[each.type.python_type] for each in table.c if not each.nullable}
    return {name: value for name, value in blank.items() if name != "number"} | values


def store_certificate(log: AuditLog, certificate_id: str = "c1" * 32) -> str:
    """An issued certificate's rows and events, the certificate itself being any bytes."""
    intent, done = log.issue(certificate_id)
    imported = log.context.event(
        "authority.imported", ACTOR, {"authority": "i1", "cert_sha256": "00", "spki_sha256": "00"}
    )
    keys = {"authority_id": "i1", "serial_number": "01"}
    rows = [
        (tables.authority, {"id": "i1", "event_id": imported.event_id}),
        (tables.certificate_request, {"id": "r"}),
        (tables.issuance_intent, {"request_id": "r", "event_id": intent.event_id, **keys}),
        (tables.certificate, {"id": certificate_id, "issued_event_id": done.event_id, **keys}),
    ]
    with log.database.write() as unit:
        for table, values in rows:
            unit.connection.execute(table.insert(), [row_of(table, **values)])
        unit.commit(imported, intent, done)
    return certificate_id


def test_the_proof_of_a_certificate(log, client):
    log.add(300)
    certificate_id = store_certificate(log)
    response = client.get(f"/audit/proof/{certificate_id}")
    assert response.status_code == 503
    log.sequence_all()
    log.add(1000)
    log.sequence_all()
    response = client.get(f"/audit/proof/{certificate_id}")
    assert response.status_code == 200
    assert response.content_type == "text/plain; charset=utf-8"
    proof = parse_proof(response.data)
    assert verify_issuance(proof, certificate_id, [log.key.verifier_key]).size == 1304
    assert proof.index == 303


def test_no_proof_of_what_was_never_issued(log, client):
    log.sequence_all()
    for certificate_id in ("00" * 32, "%27", "x" * 500):
        assert client.get(f"/audit/proof/{certificate_id}").status_code == 404


def test_every_kind_has_a_status():
    assert door._STATUS.keys() == set(Kind)


def test_an_internal_failure_says_nothing_of_itself(log, client, monkeypatch):
    def fail(self):
        raise CaError(Kind.INTERNAL, "the secret of the house")

    monkeypatch.setattr(AuditReader, "checkpoint", fail)
    response = client.get("/audit/checkpoint")
    assert response.status_code == 500
    assert response.text == "internal error\n"


@pytest.fixture
def certificate(tmp_path) -> x509.Certificate:
    key = ed25519.Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "host.example")])
    return x509.CertificateBuilder(name, name, key.public_key(), 1, START, START).sign(key, None)


def audit_command(*arguments) -> Result:
    return CliRunner().invoke(command, [str(each) for each in arguments])


@pytest.mark.parametrize("form", ["PEM", "DER", "id"])
def test_the_command_brings_a_verified_proof(log, certificate, tmp_path, form):
    certificate_id = store_certificate(log, certificate.fingerprint(SHA256()).hex())
    log.sequence_all()
    given = tmp_path / "certificate"
    if form == "id":
        given = certificate_id
    else:
        given.write_bytes(certificate.public_bytes(getattr(Encoding, form)))
    out = tmp_path / "host.tlog-proof"
    with served(log) as url:
        done = audit_command("proof", given, "--url", url, "--vkey", log.vkey, "--out", out)
        printed = audit_command("proof", given, "--url", url, "--vkey", log.vkey)
    assert done.exit_code == 0, done.output
    assert f"is the issuance of {certificate_id}" in done.stderr
    assert printed.stdout_bytes == out.read_bytes()
    assert verify_issuance(parse_proof(out.read_bytes()), certificate_id, [log.key.verifier_key])


def test_the_command_refuses_what_it_cannot_prove(log, certificate, tmp_path):
    store_certificate(log)
    log.sequence_all()
    stranger = AuditLog(log.database, tmp_path, MemorySigner()).vkey
    text = tmp_path / "text"
    text.write_text("no certificate")
    large = tmp_path / "large"
    large.write_bytes(bytes(65 * 1024))
    with served(log) as url:
        for arguments, kind in (
            (("c1" * 32, "--vkey", stranger), Kind.MALFORMED),
            (("c2" * 32, "--vkey", log.vkey), Kind.NOT_FOUND),
            ((text, "--vkey", log.vkey), Kind.MALFORMED),
            ((large, "--vkey", log.vkey), Kind.MALFORMED),
            ((tmp_path / "nothing", "--vkey", log.vkey), Kind.NOT_FOUND),
        ):
            done = audit_command("proof", *arguments, "--url", url)
            assert isinstance(done.exception, CaError), done.output
            assert done.exception.kind is kind
            assert done.stdout == ""
