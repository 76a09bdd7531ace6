"""A ceremony's bundle becomes authorities, CRLs, links and events, all at once or not at all."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import dataclass
from datetime import datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import func, select

from ca_server.core.archive import MAX_ARCHIVE_BYTES, pack, unpack
from ca_server.core.audit.record import leaf_hash
from ca_server.core.bundle import CLOSING
from ca_server.core.errors import CaError, Kind
from ca_server.publish.services import PublicationServices
from ca_server.services.chains import Chains
from ca_server.services.context import Context
from ca_server.services.cross_certificates import imported_cross_chains
from ca_server.services.est.authority_certificates import AuthorityCertificates
from ca_server.services.import_bundle import Expected, import_bundle
from ca_server.store import ceremony_tables, tables
from ca_server.store.authorities import authority_chain, find_authority, list_authorities
from ca_server.store.ceremonies import find_key_uri, list_certificates
from ca_server.store.crls import CrlIntent, find_published, take_number
from ca_server.wsgi import create_publication_app
from tests.fixtures.hand_made_bundle import START, Document, Production, digest, issuing_key, root_key, spki
from tests.fixtures.installable_bundle import (
    Installable,
    Later,
    Part,
    Signing,
    certificate_of,
    signed_certificate,
    signed_crl,
)

REHEARSAL = Expected(rehearsal=True)


@dataclass(frozen=True)
class FixedClock:
    moment: datetime = START + timedelta(days=2)

    def now(self) -> datetime:
        return self.moment


@pytest.fixture
def context(database) -> Context:
    return Context(FixedClock(), database, "ca-1")


@pytest.fixture
def bundle_file(installable, tmp_path):
    path = tmp_path / "bundle.tar"
    path.write_bytes(installable)
    return path


@pytest.fixture
def imported(context, bundle_file):
    import_bundle(context, bundle_file, REHEARSAL)
    return context


@pytest.fixture
def first(installable):
    """The certificates of the first ceremony."""
    files = unpack(installable)
    return {name: certificate_of(files, name) for name in ("root", "issuing")}


@pytest.fixture
def bring(context, officers, tmp_path):
    """Hold a later ceremony and import its bundle."""

    def bring(part: Part):
        path = tmp_path / "later.tar"
        path.write_bytes(Later(officers, part).hold())
        return import_bundle(context, path, REHEARSAL)

    return bring


def counts(context: Context) -> dict[str, int]:
    kept = (tables.authority, tables.crl, tables.audit_event, ceremony_tables.ceremony)
    with context.database.read() as connection:
        return {
            table.name: connection.execute(select(func.count()).select_from(table)).scalar_one()
            for table in (*kept, ceremony_tables.ceremony_key, ceremony_tables.authority_certificate)
        }


def events(context: Context) -> list[dict]:
    with context.database.read() as connection:
        rows = connection.execute(select(tables.audit_event).order_by(tables.audit_event.c.number)).all()
    assert all(leaf_hash(row.body) == row.leaf_hash for row in rows)
    return [json.loads(row.body) for row in rows]


def refused(context, act) -> CaError:
    before = counts(context)
    with pytest.raises(CaError) as error:
        act()
    assert counts(context) == before
    return error.value


def crl_part(document: Document, root: x509.Certificate) -> Part:
    installed = {"crls": [{"authority": "root", "path": "crls/root.crl"}]}
    return Part("root-crl", {"root-crl": document}, installed, {"root": root})


def test_authorities_and_crl_are_there(context, bundle_file, installable, first):
    report = import_bundle(context, bundle_file, REHEARSAL)
    with context.database.read() as connection:
        issuing, root = list_authorities(connection)
        crl = connection.execute(select(tables.crl)).one()
        assert authority_chain(connection, "issuing") == [issuing, root]
        assert find_key_uri(connection, issuing.spki_sha256) == issuing.key_uri
    assert (root.issuer_id, root.role, root.state) == (None, "root", "offline")
    assert (root.key_uri, root.last_crl_number) == (None, 1)
    assert (issuing.issuer_id, issuing.role, issuing.state) == ("root", "issuing", "active")
    assert issuing.key_uri.startswith("pkcs11:token=REHEARSAL-root;object=issuing;id=%")
    assert int(issuing.serial_number, 16) == first["issuing"].serial_number
    assert (crl.authority_id, crl.crl_number, crl.state, crl.entries) == ("root", 1, "done", 0)
    assert crl.der == unpack(installable)["crls/root.crl"]
    assert report.bundle_sha256 == hashlib.sha256(installable).hexdigest()
    assert report.key_uris == {"root": None, "issuing": issuing.key_uri}
    assert report.crls == {"root": 1}


def test_every_part_has_its_event(imported, installable):
    ceremony, root, issuing, intent, done = events(imported)
    assert [each["kind"] for each in (ceremony, root, issuing, intent, done)] == [
        "ceremony.imported",
        "authority.imported",
        "authority.imported",
        "crl.intent",
        "crl.done",
    ]
    files = unpack(installable)
    assert ceremony["data"] == {
        "bundle_sha256": digest(installable),
        "ceremony": "root-r1-2027",
        "closing_sha256": digest(files[CLOSING]),
        "kind": "root-generate",
        "mode": "rehearsal",
        "outcome": "completed",
        "roster_sha256": digest(files["roster.json"]),
        "script_sha256": digest(files["script.toml"]),
        "transcript_sha256": digest(files["transcript.jsonl"].splitlines()[-1]),
    }
    assert (root["data"]["authority"], issuing["data"]["authority"]) == ("root", "issuing")
    assert done["ref"] == intent["event_id"]
    assert {each["actor"]["id"] for each in events(imported)} == {"process:import"}


def test_the_next_crl_number_goes_on_from_the_ceremony(imported):
    with imported.database.write() as work:
        again = CrlIntent("root", 1, 0, 1, 0, "0" * 64, "event")
        assert not take_number(work, again)


def test_the_same_bundle_again_is_refused(imported, bundle_file):
    error = refused(imported, lambda: import_bundle(imported, bundle_file, REHEARSAL))
    assert error.kind is Kind.CONFLICT
    assert error.rule_ids == ("BUNDLE-IMPORTED",)


def test_another_hierarchy_under_the_same_names_is_refused(imported, officers, tmp_path):
    other = tmp_path / "other.tar"
    other.write_bytes(Installable(officers).hold())
    error = refused(imported, lambda: import_bundle(imported, other, REHEARSAL))
    assert error.rule_ids == ("BUNDLE-IMPORTED",)
    assert "key 'root' came with another ceremony" in error.detail


@pytest.mark.parametrize(
    ("expected", "rule_id"),
    [
        (Expected(), "BUNDLE-REHEARSAL"),
        (Expected(rehearsal=True, sha256="0" * 64), "BUNDLE-DIGEST"),
        (Expected(rehearsal=True, roster_sha256="0" * 64), "BUNDLE-ROSTER-PIN"),
        (Expected(rehearsal=True, domain="example.org"), "BUNDLE-ROSTER-PIN"),
    ],
)
def test_a_bundle_that_is_not_expected_is_refused(context, bundle_file, expected, rule_id):
    error = refused(context, lambda: import_bundle(context, bundle_file, expected))
    assert error.rule_ids == (rule_id,)


class OfStrangers(Production, Installable):
    """Held for production by whoever has keys."""


def test_a_bundle_of_production_is_believed_by_its_digest_or_a_roster_that_is_named(
    context, officers, tmp_path
):
    path = tmp_path / "bundle.tar"
    path.write_bytes(OfStrangers(officers).hold())
    error = refused(context, lambda: import_bundle(context, path, Expected()))
    assert error.rule_ids == ("BUNDLE-ROSTER-PIN",)
    assert import_bundle(context, path, Expected(sha256=digest(path.read_bytes())))


def test_a_bundle_that_is_expected_in_every_way_is_taken(context, bundle_file, installable):
    roster = digest(unpack(installable)["roster.json"])
    expected = Expected(True, digest(installable).upper(), roster, "example.com")
    assert import_bundle(context, bundle_file, expected)


def test_another_authority_of_a_known_name_is_refused(imported, bring, officers, first):
    part = rotation(officers, first["root"])
    part.installed["certificates"] = []
    part.documents = {"root": part.documents["root-2"]}
    part.documents["root"].path = "authorities/issuing.cer"
    entry = {"id": "issuing", "issuer": "issuing", "certificate": "authorities/issuing.cer"}
    part.installed["authorities"][0].update(entry)
    error = refused(imported, lambda: bring(part))
    assert error.rule_ids == ("BUNDLE-IMPORTED",)
    assert "another 'issuing'" in error.detail


def test_an_aborted_ceremony_and_a_new_log_are_refused(context, officers, tmp_path):
    class Aborted(Installable):
        outcome = "aborted-dirty"

    class NewLog(Installable):
        kind = "log-epoch"

    for held, rule_id in ((Aborted, "BUNDLE-OUTCOME"), (NewLog, "BUNDLE-LOG-EPOCH")):
        path = tmp_path / f"{held.__name__}.tar"
        path.write_bytes(held(officers).hold())
        error = refused(context, lambda path=path: import_bundle(context, path, REHEARSAL))
        assert error.kind is Kind.POLICY_REFUSED
        assert error.rule_ids == (rule_id,)


def test_an_altered_bundle_changes_nothing(context, bundle_file, installable):
    files = unpack(installable)
    files["crls/root.crl"] = files["crls/root.crl"][:-1] + b"\x00"
    for data, rule_id in ((pack(files), "BUNDLE-DIGEST"), (installable[:-1], "BUNDLE-ARCHIVE")):
        bundle_file.write_bytes(data)
        error = refused(context, lambda: import_bundle(context, bundle_file, REHEARSAL))
        assert error.rule_ids == (rule_id,)


def test_a_file_too_large_or_missing_changes_nothing(context, bundle_file):
    with bundle_file.open("wb") as file:
        file.truncate(100 * MAX_ARCHIVE_BYTES)
    assert refused(context, lambda: import_bundle(context, bundle_file, REHEARSAL)).rule_ids == (
        "BUNDLE-SIZE",
    )
    bundle_file.unlink()
    assert refused(context, lambda: import_bundle(context, bundle_file, REHEARSAL)).kind is Kind.NOT_FOUND


def test_two_imports_at_once_make_one(context, bundle_file):
    results = []

    def run():
        try:
            results.append(import_bundle(context, bundle_file, REHEARSAL))
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
    assert counts(context)["authority"] == 2


def test_a_later_crl_is_published_and_revokes_an_authority(imported, bring, first):
    part = crl_part(signed_crl(3, (first["issuing"].serial_number, 77), first["root"]), first["root"])
    report = bring(part)
    assert (report.crls, report.revoked) == ({"root": 3}, ("issuing",))
    with imported.database.read() as connection:
        assert find_published(connection, "root").crl_number == 3
        assert find_authority(connection, "issuing").state == "revoked"
        assert find_authority(connection, "root").last_crl_number == 3
    told = events(imported)
    assert [each["kind"] for each in told[5:]] == [
        "ceremony.imported",
        "crl.intent",
        "crl.done",
        "authority.revoked",
    ]
    assert told[-1]["data"]["authority"] == "issuing"


def test_a_crl_that_does_not_follow_is_refused(imported, bring, first):
    root = first["root"]
    bring(crl_part(signed_crl(2, (77,), root), root))
    for document, rule_id in (
        (signed_crl(2, (77, 78), root), "CEREMONY-CRL-NUMBER"),
        (signed_crl(3, (77,), root, days=0), "CEREMONY-CRL-NUMBER"),
        (signed_crl(3, (78,), root), "CEREMONY-CRL-LOST"),
    ):
        error = refused(imported, lambda document=document: bring(crl_part(document, root)))
        assert error.rule_ids == (rule_id,)
    bring(crl_part(signed_crl(9, (77, 78), root), root))


def test_a_crl_of_an_authority_that_the_server_signs_for_is_refused(imported, bring, first):
    issuing = first["issuing"]
    crl = (
        x509.CertificateRevocationListBuilder()
        .issuer_name(issuing.subject)
        .last_update(START)
        .next_update(START + timedelta(days=1))
        .add_extension(x509.CRLNumber(7), critical=False)
        .sign(issuing_key(), SHA256())
    )
    der = crl.public_bytes(Encoding.DER)
    document = Document("crls/issuing.crl", crl.tbs_certlist_bytes, crl.signature, der, "issuing")
    installed = {"crls": [{"authority": "issuing", "path": "crls/issuing.crl"}]}
    part = Part("root-crl", {"crl": document}, installed, {"issuing": issuing})
    assert refused(imported, lambda: bring(part)).rule_ids == ("BUNDLE-CRL-ONLINE",)


def key_and_csr(name: str) -> tuple[ec.EllipticCurvePrivateKey, Part]:
    """The ceremony that makes a key, and the key."""
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([])).sign(key, SHA256())
    der = csr.public_bytes(Encoding.DER)
    document = Document(f"csrs/{name}.csr", csr.tbs_certrequest_bytes, csr.signature, der, name)
    return key, Part("subordinate-key", {f"{name}-csr": document}, {}, {}, {name: key})


def authority_part(officers, key, root: x509.Certificate) -> Part:
    """The ceremony in which the root certifies a key that another one made."""
    document = signed_certificate(
        "authorities/issuing-2.cer",
        x509.Name.from_rfc4514_string("CN=REHEARSAL Second"),
        key.public_key(),
        Signing(root.subject, root_key(), "root"),
    )
    entry = Installable(officers).authority("issuing-2", signature_algorithm="ecdsa-sha256")
    return Part("intermediate-sign", {"issuing-2": document}, {"authorities": [entry]}, {"root": root})


def test_an_authority_finds_the_key_that_another_ceremony_made(imported, bring, officers, first):
    key, made = key_and_csr("issuing-2")
    certified = authority_part(officers, key, first["root"])
    assert refused(imported, lambda: bring(certified)).rule_ids == ("BUNDLE-KEY-UNKNOWN",)
    assert list(bring(made).keys) == ["issuing-2"]
    report = bring(certified)
    assert "object=issuing-2" in report.key_uris["issuing-2"]
    with imported.database.read() as connection:
        found = find_authority(connection, "issuing-2")
        assert (found.issuer_id, found.state, found.key_uri) == (
            "root",
            "active",
            report.key_uris["issuing-2"],
        )


def test_an_authority_whose_certificate_is_revoked_already_is_refused(imported, bring, officers, first):
    key, made = key_and_csr("issuing-2")
    bring(made)
    certified = authority_part(officers, key, first["root"])
    serial = x509.load_der_x509_certificate(certified.documents["issuing-2"].der).serial_number
    bring(crl_part(signed_crl(2, (serial,), first["root"]), first["root"]))
    assert refused(imported, lambda: bring(certified)).rule_ids == ("BUNDLE-REVOKED",)


def test_an_authority_under_an_unknown_issuer_is_refused(context, bring, officers, first):
    key, made = key_and_csr("issuing-2")
    bring(made)
    certified = authority_part(officers, key, first["root"])
    assert refused(context, lambda: bring(certified)).rule_ids == ("BUNDLE-CHAIN",)


def rotation(officers, old: x509.Certificate) -> Part:
    """A new root, and the two link certificates between it and the old one."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=REHEARSAL Root 2")
    new_signs, old_signs = Signing(name, key, "root-2"), Signing(old.subject, root_key(), "root")
    link = {"role": "link"}
    entry = Installable(officers).authority(
        "root-2", role="root", issuer="root-2", signature_algorithm="ecdsa-sha256"
    )
    return Part(
        "rotate",
        {
            "root-2": signed_certificate("authorities/root-2.cer", name, key.public_key(), new_signs),
            "new-with-old": signed_certificate(
                "certificates/new-with-old.cer", name, key.public_key(), old_signs
            ),
            "old-with-new": signed_certificate(
                "certificates/old-with-new.cer", old.subject, root_key().public_key(), new_signs
            ),
        },
        {
            "authorities": [entry],
            "certificates": [
                {
                    "name": "new-with-old",
                    "path": "certificates/new-with-old.cer",
                    "subject": "root-2",
                    "issuer": "root",
                    **link,
                },
                {
                    "name": "old-with-new",
                    "path": "certificates/old-with-new.cer",
                    "subject": "root",
                    "issuer": "root-2",
                    **link,
                },
            ],
        },
        {"root": old},
        {"root-2": key},
    )


def test_a_new_root_is_linked_with_the_old_one_everywhere(imported, bring, officers, first):
    part = rotation(officers, first["root"])
    links = [part.documents[name].der for name in ("new-with-old", "old-with-new")]
    report = bring(part)
    assert report.key_uris == {"root-2": None}
    with imported.database.read() as connection:
        assert [each.der for each in list_certificates(connection)] == links
        assert find_authority(connection, "root-2").state == "offline"
    told = [each.public_bytes(Encoding.DER) for each in AuthorityCertificates(imported).all()]
    assert told[-2:] == links
    ways = Chains(imported, imported_cross_chains(imported)).ways_up("issuing")
    assert [each.public_bytes(Encoding.DER) for each in ways[1]] == [
        first["issuing"].public_bytes(Encoding.DER),
        links[1],
    ]
    client = create_publication_app(PublicationServices(context=imported)).test_client()
    assert client.get("/aia/old-with-new.cer").data == links[1]
    assert client.get("/aia/root-2.cer").data == part.documents["root-2"].der
    assert client.get("/aia/nobody.cer").status_code == 404
    kinds = [each["kind"] for each in events(imported)]
    assert kinds[5:] == ["ceremony.imported", "authority.imported", *["certificate.imported"] * 2]


def test_a_link_that_is_none_is_refused(imported, bring, officers, first):
    part = rotation(officers, first["root"])
    part.installed["certificates"][0]["subject"] = "issuing"
    assert refused(imported, lambda: bring(part)).rule_ids == ("BUNDLE-CHAIN",)


def test_a_responders_certificate_is_handed_on_with_its_key(imported, bring, first):
    key = ec.generate_private_key(ec.SECP256R1())
    document = signed_certificate(
        "responders/issuing.cer",
        x509.Name.from_rfc4514_string("CN=REHEARSAL OCSP"),
        key.public_key(),
        Signing(first["issuing"].subject, issuing_key(), "issuing"),
        ocsp=True,
    )
    entry = {"authority": "issuing", "certificate": "responders/issuing.cer", "key_uri": None}
    part = Part(
        "delegated-signer", {"ocsp": document}, {"responders": [entry]}, {"issuing": first["issuing"]}
    )
    [responder] = bring(part).responders
    assert (responder.authority, responder.certificate_der) == ("issuing", document.der)
    assert responder.key_uri is None
    assert digest(spki(key)) not in {row["data"].get("spki_sha256") for row in events(imported)}
    assert events(imported)[-1]["kind"] == "responder.imported"
