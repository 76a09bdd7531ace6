"""Whatever is changed in a bundle, in one byte or with all digests made to fit, is refused by its rule."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from dataclasses import replace

import pytest
import rfc8785

from ca_server.core.archive import pack, unpack
from ca_server.core.bundle import CLOSING, MANIFEST, REHEARSAL_PREFIX, key_id, read_bundle
from ca_server.core.ceremony.closing import is_listed, make_closing, parse_closing
from ca_server.core.errors import CaError, Kind
from ca_server.core.hierarchy import check_hierarchy
from ca_server.hsm.uri import KeyUri

pytestmark = pytest.mark.hsm


def refused(data: bytes) -> str:
    with pytest.raises(CaError) as error:
        check_hierarchy(read_bundle(data))
    assert error.value.kind is Kind.MALFORMED
    return error.value.rule_ids[0]


def with_digests(files: dict[str, bytes]) -> bytes:
    """The archive with every digest made to fit: what a forger would do first."""
    manifest = json.loads(files[MANIFEST])
    script = hashlib.sha256(files.get("script.toml", b"")).hexdigest()
    if "script_sha256" in manifest:
        files = files | {MANIFEST: rfc8785.dumps(manifest | {"script_sha256": script})}
    listed = {path: hashlib.sha256(data).hexdigest() for path, data in files.items() if is_listed(path)}
    closing = replace(parse_closing(files[CLOSING]), files=listed, script_sha256=script)
    return pack(files | {CLOSING: make_closing(closing)})


def with_manifest(bundle_data: bytes, change) -> bytes:
    files = unpack(bundle_data)
    manifest = json.loads(files[MANIFEST])
    change(manifest)
    data = rfc8785.dumps(manifest)
    listed = parse_closing(files[CLOSING])
    closing = replace(listed, files={**listed.files, MANIFEST: hashlib.sha256(data).hexdigest()})
    return pack(files | {MANIFEST: data, CLOSING: make_closing(closing)})


def with_keys(bundle_data: bytes, change) -> bytes:
    files = unpack(bundle_data)
    keys = json.loads(files["keys.json"])
    changed = change(keys)
    return with_digests(files | {"keys.json": rfc8785.dumps(keys if changed is None else changed)})


def test_a_good_bundle_holds(bundle_data):
    bundle = read_bundle(bundle_data)
    hierarchy = check_hierarchy(bundle)
    assert bundle.sha256 == hashlib.sha256(bundle_data).hexdigest()
    assert [each.entry.id for each in hierarchy.authorities] == ["root-r1", "issuing-i1"]
    assert [(each.authority, each.number) for each in hierarchy.crls] == [("root-r1", 1)]
    assert [entry.authority for entry, _ in hierarchy.responders] == ["issuing-i1"]
    assert hierarchy.api_server_csr.is_signature_valid
    assert check_hierarchy(bundle, {}).authorities == hierarchy.authorities


def test_key_uris_are_spelled_as_the_hsm_door_spells_them(bundle_data):
    bundle = read_bundle(bundle_data)
    for key in bundle.keys:
        uri = KeyUri.parse(key.uri)
        assert str(uri) == key.uri
        assert (uri.token, uri.label, uri.key_id) == (key.token.label, key.label, bytes.fromhex(key.id))


@pytest.mark.parametrize(
    ("name", "rule_id"),
    [
        ("authorities/root-r1.cer", "BUNDLE-CHAIN"),
        ("authorities/issuing-i1.cer", "BUNDLE-CHAIN"),
        ("responders/issuing-i1.cer", "BUNDLE-RESPONDER"),
        ("crls/root-r1.crl", "BUNDLE-CRL"),
        ("csrs/api-server.csr", "BUNDLE-CSR"),
    ],
)
def test_every_altered_byte_of_what_is_signed_is_found_even_with_fitting_digests(bundle_data, name, rule_id):
    files = unpack(bundle_data)
    for position in range(0, len(files[name]), 7):
        altered = bytearray(files[name])
        altered[position] ^= 0x01
        found = refused(with_digests({**files, name: bytes(altered)}))
        # A key changed inside a certificate is one that the list of keys does not know.
        assert found in {rule_id, "BUNDLE-KEYS"}, position


@pytest.mark.parametrize("name", ["keys.json", "roster.json", "transcript.jsonl", "allowed-signers"])
def test_a_missing_file_is_found(bundle_data, name):
    files = unpack(bundle_data)
    del files[name]
    assert refused(pack(files)) == "BUNDLE-FILES"
    assert refused(with_digests(files)) == "BUNDLE-FILES"


def test_a_missing_product_is_found(bundle_data):
    files = unpack(bundle_data)
    for name in ("crls/root-r1.crl", "responders/issuing-i1.cer", "csrs/api-server.csr"):
        assert refused(with_digests({path: files[path] for path in files if path != name})) == "BUNDLE-FILES"


@pytest.mark.parametrize(
    "name", ["authorities/x.cer", "certificates/x.cer", "crls/x.crl", "responders/x.cer"]
)
def test_nothing_to_install_is_there_unnamed(bundle_data, name):
    files = unpack(bundle_data) | {name: b"hello"}
    assert refused(pack(files)) == "BUNDLE-FILES"
    assert refused(with_digests(files)) == "BUNDLE-FILES"


def test_a_changed_digest_is_found(bundle_data):
    files = unpack(bundle_data)
    closing = parse_closing(files[CLOSING])
    lied = replace(closing, files={**closing.files, "keys.json": "0" * 64})
    assert refused(pack(files | {CLOSING: make_closing(lied)})) == "BUNDLE-DIGEST"


def test_a_missing_manifest_or_closing_statement_is_refused(bundle_data):
    for name, rule_id in ((MANIFEST, "BUNDLE-MANIFEST"), (CLOSING, "CEREMONY-CLOSING")):
        files = unpack(bundle_data)
        del files[name]
        assert refused(pack(files)) == rule_id


CHANGES = [
    ("an earlier format", lambda m: m.update(format="ceremony-bundle/v1"), "BUNDLE-MANIFEST"),
    ("an unknown key", lambda m: m.update(comment="x"), "BUNDLE-MANIFEST"),
    ("another ceremony", lambda m: m.update(ceremony="second-hierarchy"), "BUNDLE-SCRIPT"),
    ("another kind", lambda m: m.update(kind="root-generate"), "BUNDLE-SCRIPT"),
    ("another script", lambda m: m.update(script_sha256="0" * 64), "BUNDLE-SCRIPT"),
    ("a rehearsal called production", lambda m: m.update(mode="production"), "BUNDLE-SCRIPT"),
    ("no authority", lambda m: m.update(authorities=[]), "BUNDLE-FILES"),
    ("two roots", lambda m: m["authorities"].append(m["authorities"][0]), "BUNDLE-FILES"),
    ("an authority before its issuer", lambda m: m["authorities"].reverse(), "BUNDLE-CHAIN"),
    ("a root that is not one", lambda m: m["authorities"][0].update(role="issuing"), "BUNDLE-CHAIN"),
    ("a second root", lambda m: m["authorities"][1].update(role="root"), "BUNDLE-CHAIN"),
    ("an unknown issuer", lambda m: m["authorities"][1].update(issuer="root-r2"), "BUNDLE-CHAIN"),
    (
        "another algorithm",
        lambda m: m["authorities"][1].update(signature_algorithm="ed25519"),
        "BUNDLE-CHAIN",
    ),
    (
        "a path of its own",
        lambda m: m["authorities"][1].update(certificate="authorities/x.cer"),
        "BUNDLE-FILES",
    ),
    ("no CRL", lambda m: m.update(crls=[]), "BUNDLE-FILES"),
    ("a CRL of another", lambda m: m["crls"][0].update(authority="issuing-i1"), "BUNDLE-FILES"),
    ("no issuing key", lambda m: m["authorities"][1].update(key_uri=None), "BUNDLE-CHAIN"),
    ("a key for an offline root", lambda m: m["authorities"][0].update(key_uri="pkcs11:x"), "BUNDLE-MODE"),
    ("no responder", lambda m: m.update(responders=[]), "BUNDLE-FILES"),
    ("a responder of the root", lambda m: m["responders"][0].update(authority="root-r1"), "BUNDLE-FILES"),
    (
        "the log's key for OCSP",
        lambda m: m["responders"][0].update(key_uri=m["log"]["key_uri"]),
        "BUNDLE-KEYS",
    ),
    (
        "a key nobody made",
        lambda m: m["log"].update(key_uri="pkcs11:token=REHEARSAL-log;object=y"),
        "BUNDLE-LOG",
    ),
    (
        "a production key",
        lambda m: m["log"].update(key_uri="pkcs11:token=log;object=log-1"),
        "BUNDLE-MODE",
    ),
    ("another origin", lambda m: m["log"].update(origin="localhost/ca-audit/2"), "BUNDLE-LOG"),
    ("no verifier key", lambda m: m["log"].update(vkey="x"), "BUNDLE-LOG"),
    ("no log", lambda m: m.update(log=None), "BUNDLE-LOG"),
    ("another CSR", lambda m: m["api_server"].update(csr="keys.json"), "BUNDLE-MANIFEST"),
    ("no CSR", lambda m: m.update(api_server=None), "BUNDLE-FILES"),
]


@pytest.mark.parametrize(
    ("change", "rule_id"), [(c, r) for _, c, r in CHANGES], ids=[n for n, _, _ in CHANGES]
)
def test_a_manifest_that_says_otherwise_is_refused(bundle_data, change, rule_id):
    assert refused(with_manifest(bundle_data, change)) == rule_id


def test_keys_that_could_leave_their_token_are_refused(bundle_data):
    for name in ("extractable", "sensitive", "local", "never_extractable", "always_sensitive", "private"):

        def flip(keys, name=name):
            keys[1][name] = not keys[1][name]

        assert refused(with_keys(bundle_data, flip)) == "BUNDLE-KEYS"


def wrappable(keys):
    for name, value in (("extractable", True), ("never_extractable", False), ("wrap_with_trusted", True)):
        keys[0][name] = value


def test_a_key_may_leave_wrapped_where_the_script_says_so_alone(bundle_data):
    assert refused(with_keys(bundle_data, wrappable)) == "BUNDLE-KEYS"
    files = unpack(bundle_data)
    script = files["script.toml"].decode().replace("[keys.root-r1]", '[keys.root-r1]\nbackup = "wrap"', 1)
    backed_up = with_digests(files | {"script.toml": script.encode()})
    assert check_hierarchy(read_bundle(with_keys(backed_up, wrappable)))

    def untrusted(keys):
        wrappable(keys)
        keys[0]["wrap_with_trusted"] = False

    assert refused(with_keys(backed_up, untrusted)) == "BUNDLE-KEYS"


def test_every_key_is_listed_once_and_has_a_purpose(bundle_data):
    root = json.loads(unpack(bundle_data)["keys.json"])[0]
    assert refused(with_keys(bundle_data, lambda keys: [*keys, keys[0]])) == "BUNDLE-KEYS"
    assert refused(with_keys(bundle_data, lambda keys: keys[1:])) in {
        "BUNDLE-CHAIN",
        "BUNDLE-LOG",
        "BUNDLE-KEYS",
    }
    more = root | {"step": "more", "id": key_id("first-hierarchy", "more").hex(), "spki_sha256": "0" * 64}
    assert refused(with_keys(bundle_data, lambda keys: [*keys, more])) == "BUNDLE-KEYS"
    assert refused(with_keys(bundle_data, lambda keys: keys[0].update(step="other"))) == "BUNDLE-KEYS"


def test_the_id_of_a_key_tells_ceremony_step_and_attempt():
    ids = {key_id("a", "b"), key_id("a", "c"), key_id("c", "b"), key_id("a", "b", 2), key_id("a", "b", 3)}
    assert len(ids) == 5
    assert key_id("a", "b", 1) == key_id("a", "b")
    assert {len(each) for each in ids} == {16}


def test_a_token_of_production_is_refused_in_a_rehearsal(bundle_data):
    def rename(keys):
        keys[0]["token"]["label"] = "root"

    assert refused(with_keys(bundle_data, rename)) == "BUNDLE-MODE"


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"[" * 100_000,
        b'{"a":1.5}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'"\\ud800"',
        b"\xff",
    ],
)
def test_a_manifest_that_is_no_manifest_is_refused(bundle_data, text):
    assert refused(pack({**unpack(bundle_data), MANIFEST: text})) == "BUNDLE-MANIFEST"


def test_json_is_accepted_in_one_spelling(bundle_data):
    files = unpack(bundle_data)
    spaced = json.dumps(json.loads(files[MANIFEST])).encode()
    assert refused(pack({**files, MANIFEST: spaced})) == "BUNDLE-MANIFEST"


def test_a_script_that_is_none_is_refused(bundle_data):
    files = unpack(bundle_data)
    good = files["script.toml"]
    for script in (
        b"id = ",
        b"\xff",
        b'id = "first-hierarchy"',
        b"a = " + b"[" * 100_000,
        b"#" * 300_000,
        good.replace(b'id = "open"', b'id = "close"', 1),
        good.replace(b'sign_by = ["key-officer"', b'sign_by = ["auditor"', 1),
    ):
        assert script != good
        assert refused(with_digests({**files, "script.toml": script})) == "BUNDLE-SCRIPT"


def test_tar_lists_it_and_no_private_key_is_in_it(bundle_data):
    with tarfile.open(fileobj=io.BytesIO(bundle_data)) as archive:
        assert {"manifest.json", "closing.txt", "transcript.jsonl"} <= set(archive.getnames())
    assert b"PRIVATE KEY" not in bundle_data
    assert REHEARSAL_PREFIX.encode() in bundle_data
