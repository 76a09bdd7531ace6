"""Whatever is changed in a bundle, in one byte or with all digests made to fit, is refused by its rule."""

from __future__ import annotations

import hashlib
import io
import json
import tarfile

import pytest
import rfc8785

from ca_server.core.archive import pack, unpack
from ca_server.core.bundle import MANIFEST, REHEARSAL_PREFIX, read_bundle
from ca_server.core.errors import CaError, Kind
from ca_server.core.hierarchy import check_hierarchy
from ca_server.hsm.uri import KeyUri


def refused(data: bytes) -> str:
    with pytest.raises(CaError) as error:
        check_hierarchy(read_bundle(data))
    assert error.value.kind is Kind.MALFORMED
    return error.value.rule_ids[0]


def accepted(data: bytes) -> bool:
    try:
        check_hierarchy(read_bundle(data))
    except CaError:
        return False
    return True


def with_digests(files: dict[str, bytes]) -> bytes:
    """The archive with every digest in the manifest made to fit: what a forger would do first."""
    manifest = json.loads(files[MANIFEST])
    manifest["files"] = {
        name: hashlib.sha256(data).hexdigest() for name, data in files.items() if name != MANIFEST
    }
    manifest["script_sha256"] = manifest["files"].get("script.toml")
    return pack({**files, MANIFEST: rfc8785.dumps(manifest)})


def with_manifest(bundle_data: bytes, change) -> bytes:
    files = unpack(bundle_data)
    manifest = json.loads(files[MANIFEST])
    change(manifest)
    return pack({**files, MANIFEST: rfc8785.dumps(manifest)})


def test_a_good_bundle_holds(bundle_data):
    bundle = read_bundle(bundle_data)
    hierarchy = check_hierarchy(bundle)
    assert bundle.sha256 == hashlib.sha256(bundle_data).hexdigest()
    assert [each.entry.id for each in hierarchy.authorities] == ["root-r1", "issuing-i1"]
    assert hierarchy.authorities[0].crl.number == 1
    assert [entry.authority for entry, _ in hierarchy.responders] == ["issuing-i1"]
    assert hierarchy.api_server_csr.is_signature_valid


def test_key_uris_are_spelled_as_the_hsm_door_spells_them(bundle_data):
    bundle = read_bundle(bundle_data)
    for key in bundle.keys:
        uri = KeyUri.parse(key.uri)
        assert str(uri) == key.uri
        assert (uri.token, uri.label, uri.key_id) == (key.token.label, key.label, bytes.fromhex(key.id))


def test_every_altered_byte_of_every_file_is_found(bundle_data):
    files = unpack(bundle_data)
    assert set(files) == {
        "api-server.csr",
        "authorities/issuing-i1.cer",
        "authorities/root-r1.cer",
        "crls/root-r1.crl",
        "keys.json",
        "manifest.json",
        "responders/issuing-i1.cer",
        "script.toml",
    }
    for name, content in files.items():
        for position in range(len(content)):
            altered = bytearray(content)
            altered[position] ^= 0x01
            assert not accepted(pack({**files, name: bytes(altered)})), (name, position)


@pytest.mark.parametrize(
    ("name", "rule_id"),
    [
        ("authorities/root-r1.cer", "BUNDLE-CHAIN"),
        ("authorities/issuing-i1.cer", "BUNDLE-CHAIN"),
        ("responders/issuing-i1.cer", "BUNDLE-RESPONDER"),
        ("crls/root-r1.crl", "BUNDLE-CRL"),
        ("api-server.csr", "BUNDLE-CSR"),
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


@pytest.mark.parametrize(
    "name", ["keys.json", "script.toml", "crls/root-r1.crl", "responders/issuing-i1.cer"]
)
def test_a_missing_file_is_found(bundle_data, name):
    files = unpack(bundle_data)
    del files[name]
    assert refused(pack(files)) == "BUNDLE-FILES"
    assert refused(with_digests(files)) in {"BUNDLE-FILES", "BUNDLE-MANIFEST"}


def test_an_unknown_file_is_refused(bundle_data):
    files = unpack(bundle_data) | {"notes.txt": b"hello"}
    assert refused(pack(files)) == "BUNDLE-FILES"
    assert refused(with_digests(files)) == "BUNDLE-FILES"


def test_a_changed_digest_is_found(bundle_data):
    def change(manifest):
        manifest["files"]["keys.json"] = "0" * 64

    assert refused(with_manifest(bundle_data, change)) == "BUNDLE-DIGEST"


def test_a_missing_manifest_is_refused(bundle_data):
    files = unpack(bundle_data)
    del files[MANIFEST]
    assert refused(pack(files)) == "BUNDLE-MANIFEST"


CHANGES = [
    ("a later format", lambda m: m.update(format="ceremony-bundle/v2"), "BUNDLE-MANIFEST"),
    ("an unknown key", lambda m: m.update(comment="x"), "BUNDLE-MANIFEST"),
    ("another ceremony", lambda m: m.update(ceremony="second-hierarchy"), "BUNDLE-SCRIPT"),
    ("another script", lambda m: m.update(script_sha256="0" * 64), "BUNDLE-SCRIPT"),
    ("a rehearsal called production", lambda m: m.update(mode="production"), "BUNDLE-MODE"),
    ("no authority", lambda m: m.update(authorities=[]), "BUNDLE-FILES"),
    ("two roots", lambda m: m["authorities"].append(m["authorities"][0]), "BUNDLE-CHAIN"),
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
    ("no CRL", lambda m: m["authorities"][0].update(crl=None), "BUNDLE-FILES"),
    ("no issuing key", lambda m: m["authorities"][1].update(key_uri=None), "BUNDLE-CHAIN"),
    ("no responder", lambda m: m.update(responders=[]), "BUNDLE-FILES"),
    ("a responder of the root", lambda m: m["responders"][0].update(authority="root-r1"), "BUNDLE-FILES"),
    (
        "the log's key for OCSP",
        lambda m: m["responders"][0].update(key_uri=m["log"]["key_uri"]),
        "BUNDLE-KEYS",
    ),
    ("a key nobody made", lambda m: m["log"].update(key_uri="pkcs11:token=x;object=y"), "BUNDLE-KEYS"),
    ("another origin", lambda m: m["log"].update(origin="localhost/ca-audit/2"), "BUNDLE-LOG"),
    ("no verifier key", lambda m: m["log"].update(vkey="x"), "BUNDLE-LOG"),
    ("another CSR", lambda m: m["api_server"].update(csr="keys.json"), "BUNDLE-MANIFEST"),
]


@pytest.mark.parametrize(
    ("change", "rule_id"), [(c, r) for _, c, r in CHANGES], ids=[n for n, _, _ in CHANGES]
)
def test_a_manifest_that_says_otherwise_is_refused(bundle_data, change, rule_id):
    assert refused(with_manifest(bundle_data, change)) == rule_id


def test_keys_that_could_leave_their_token_are_refused(bundle_data):
    files = unpack(bundle_data)
    for name in ("extractable", "sensitive", "local", "never_extractable", "always_sensitive", "private"):
        keys = json.loads(files["keys.json"])
        keys[1][name] = not keys[1][name]
        assert refused(with_digests({**files, "keys.json": rfc8785.dumps(keys)})) == "BUNDLE-KEYS"


def test_keys_are_listed_one_to_one(bundle_data):
    files = unpack(bundle_data)
    keys = json.loads(files["keys.json"])
    for changed in (keys[1:], [*keys, keys[0]]):
        assert refused(with_digests({**files, "keys.json": rfc8785.dumps(changed)})) in {
            "BUNDLE-KEYS",
            "BUNDLE-CHAIN",
        }
    keys[0]["step"] = "key.other"
    assert refused(with_digests({**files, "keys.json": rfc8785.dumps(keys)})) == "BUNDLE-KEYS"


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


def test_a_script_that_is_not_toml_is_refused(bundle_data):
    files = unpack(bundle_data)
    for script in (b"id = ", b"\xff", b'id = "second-hierarchy"', b"a = " + b"[" * 100_000):
        assert refused(with_digests({**files, "script.toml": script})) == "BUNDLE-SCRIPT"


def test_tar_lists_it_and_no_private_key_is_in_it(bundle_data):
    with tarfile.open(fileobj=io.BytesIO(bundle_data)) as archive:
        assert "manifest.json" in archive.getnames()
    assert b"PRIVATE KEY" not in bundle_data
    assert REHEARSAL_PREFIX.encode() in bundle_data
