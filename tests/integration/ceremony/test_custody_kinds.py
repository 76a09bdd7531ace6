"""Every kind of custody, from its ready script: what it leaves, and that both verifiers accept it."""

from __future__ import annotations

import hashlib
import json
import sys

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.keywrap import aes_key_unwrap_with_padding
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_private_key

from ca_server.core.ceremony.verify import verify_bundle
from ceremony.shares import join, login_secret, share_digest
from tests.fixtures.commands import run, tool

pytestmark = pytest.mark.hsm

KINDS = (
    "hsm-init",
    "re-share",
    "key-backup",
    "key-restore",
    "share-audit",
    "decommission",
    "roster-change",
    "log-epoch",
    "compromise-response",
)


def shares_of(held, share_set):
    """Person -> words, as practice officers keep them."""
    found = sorted((held.folder / "practice/shares").glob(f"*/{share_set}"))
    return {path.parent.name: path.read_text().strip() for path in found}


def secret_of(held, share_set, threshold):
    return join(list(shares_of(held, share_set).values())[:threshold])


def objects_in(held, label, pin):
    """What another program sees in a token."""
    module = next(
        line.partition("=")[2].strip().strip('"')
        for line in (held.folder / "host.toml").read_text().splitlines()
        if line.startswith("module")
    )
    return run(
        *("pkcs11-tool", "--module", module, "--token-label", label, "--login", "--pin", pin, "-O"),
        check=False,
        SOFTHSM2_CONF=str(held.folder / "softhsm2.conf"),
    )


@pytest.mark.parametrize("kind", KINDS)
def test_both_verifiers_accept_the_bundle(custody_kinds, kind):
    bundle = custody_kinds[kind].bundle
    assert verify_bundle(bundle.read_bytes()).bundle.manifest.kind == kind
    assert "good" in run(sys.executable, "ops/auditor/verify_ceremony.py", str(bundle)).stdout


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_of_a_secret_is_in_what_a_ceremony_leaves(custody_kinds, kind):
    """But in the practice room's own places no file has two words of a share in a row, a PIN or a secret."""
    canaries = set()
    rooms = [custody_kinds[each] for each in ("hsm-init", "key-backup")]
    for room in rooms:
        for path in (room.folder / "pins").iterdir():
            canaries.add(path.read_text().strip())
        for path in (room.folder / "practice/shares").glob("*/*"):
            words = path.read_text().split()
            canaries |= {" ".join(words[place : place + 2]) for place in range(4, len(words) - 3)}
    backup = secret_of(custody_kinds["key-backup"], "root-r2-backup", 3)
    for secret in (backup, secret_of(custody_kinds["hsm-init"], "vault-officer", 2)):
        canaries |= {secret.hex(), login_secret(secret, 64)[:32]}
    held = custody_kinds[kind].folder
    own = [held / name for name in ("practice", "pins", "tokens")]
    files = [path for path in held.rglob("*") if path.is_file() and not set(own) & set(path.parents)]
    assert len(files) > 10
    assert len(canaries) > 200
    for path in files:
        text = path.read_bytes().decode("latin-1")
        assert not [each for each in canaries if each in text], path
        assert backup.decode("latin-1") not in text, path


def test_a_fresh_device_opens_by_any_two_shares_of_each_side(custody_kinds):
    held = custody_kinds["re-share"]
    room = custody_kinds["hsm-init"]
    record = json.loads(held.file("shares/vault-user-2.json").read_bytes())
    shares = shares_of(room, "vault-user-2")
    assert record["shares"] == {person: share_digest(words) for person, words in shares.items()}
    for pair in (("key-officer-1", "key-officer-3"), ("key-officer-2", "key-officer-3")):
        pin = login_secret(join([shares[person] for person in pair]), 64)
        assert objects_in(room, "REHEARSAL-vault", pin).returncode == 0
    assert shares_of(room, "vault-user") == {}
    assert len(shares_of(room, "vault-officer")) == 3


def test_the_groups_of_both_secrets_have_nobody_in_common(custody_kinds):
    held = custody_kinds["hsm-init"]
    officer, user = (
        json.loads(held.file(f"shares/{name}.json").read_bytes())["shares"].keys()
        for name in ("vault-officer", "vault-user")
    )
    assert not officer & user


def test_a_backup_is_the_key_wrapped_under_what_the_shares_join_to(custody_kinds):
    """By RFC 5649 in another library: the blob under any three shares is the private key of the record."""
    held = custody_kinds["key-backup"]
    record = json.loads(held.file("backups/root-r2.json").read_bytes())
    blob = held.file("backups/root-r2.blob").read_bytes()
    shares = list(shares_of(held, "root-r2-backup").values())
    assert hashlib.sha256(blob).hexdigest() == record["wrapped_sha256"]
    for chosen in (shares[:3], shares[2:]):
        private = load_der_private_key(aes_key_unwrap_with_padding(join(chosen), blob), None)
        spki = private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert spki.hex() == record["spki"]


def test_a_backup_leaves_neither_wrapping_key_nor_copy(custody_kinds):
    held = custody_kinds["key-backup"]
    before, after = (
        json.loads(held.file(f"evidence/spare-{when}.json").read_bytes()) for when in ("before", "after")
    )
    assert before == after == []
    vault = json.loads(held.file("evidence/vault-after.json").read_bytes())
    assert sorted(each["class"] for each in vault) == ["private-key", "public-key"]
    assert "wrap-with-trusted" in vault[0]["flags"]


@pytest.mark.parametrize(("kind", "step"), [("key-backup", "back-up"), ("key-restore", "restore")])
def test_a_restored_key_signs_a_challenge_that_openssl_verifies(custody_kinds, kind, step, tmp_path):
    held = custody_kinds[kind]
    effects = [
        line["data"] for line in held.lines() if line["event"] == "effect" and "output" in line["data"]
    ]
    (signed,) = effects
    assert signed["released"] is False
    (tmp_path / "signature").write_bytes(bytes.fromhex(signed["output"]))
    spki = held.file(f"challenges/{step}.spki")
    assert hashlib.sha256(spki.read_bytes()).hexdigest() == signed["key_spki_sha256"]
    tool("openssl", "pkey", "-pubin", "-inform", "DER", "-in", str(spki), "-out", str(tmp_path / "key.pem"))
    done = tool(
        *("openssl", "dgst", "-sha384", "-verify", str(tmp_path / "key.pem")),
        *("-signature", str(tmp_path / "signature"), str(held.file(f"challenges/{step}.txt"))),
    )
    assert "Verified OK" in done.stdout


def test_an_audit_names_every_share_by_its_digest(custody_kinds):
    result = json.loads(custody_kinds["share-audit"].file("evidence/audit.json").read_bytes())
    shares = shares_of(custody_kinds["key-backup"], "root-r2-backup")
    assert result["shares"] == {person: share_digest(words) for person, words in shares.items()}


def test_a_device_that_ended_holds_nothing_and_its_certificate_names_every_copy(custody_kinds):
    held, room = custody_kinds["decommission"], custody_kinds["key-backup"]
    text = held.file("papers/destruction-certificate.txt").read_text()
    certificate = text.splitlines()
    assert certificate[0] == "sealkeeper destruction certificate v1"
    assert sum(line.startswith("medium: ") for line in certificate) == 2
    assert sum(line.startswith("share: root-r2-backup custodian-") for line in certificate) == 5
    assert "label root-r2\n" in text.partition("destroyed: ")[2]
    erased = json.loads(held.file("evidence/erase.json").read_bytes())
    assert erased["label"].startswith("REHEARSAL-zeroised-")
    assert "user-pin-initialized" not in erased["flags"]
    gone = objects_in(room, "REHEARSAL-vault", (room.folder / "pins/vault").read_text().strip())
    assert gone.returncode != 0


def test_a_new_roster_is_approved_by_the_old_one_and_its_newcomer_is_proven_by_ssh_keygen(custody_kinds):
    held = custody_kinds["roster-change"]
    (candidate,) = sorted((held.folder / "files/gates").glob("*-candidate-*.txt"))
    person = candidate.stem.partition("key-officer-")[2]
    assert person == "key-officer-9"
    signers = held.file("evidence/next-allowed-signers")
    done = run(
        *("sh", "-c", 'exec ssh-keygen -Y verify -f "$1" -I "$2" -n "$3" -s "$4.sig" < "$4"', "sh"),
        *(str(signers), person, "ceremony-rehearsal@rehearsal.example", str(candidate)),
    )
    assert "Good" in done.stdout
    new, old = (held.file(name).read_bytes() for name in ("papers/new-roster.json", "roster.json"))
    assert json.loads(new)["previous"] == hashlib.sha256(old).hexdigest()
    approvals = [line for line in held.lines() if line["data"].get("gate") == "approve"]
    assert {line["data"]["role"] for line in approvals} >= {"security-officer", "key-officer"}


def test_a_log_epoch_names_the_newest_anchor_and_brings_a_new_key(custody_kinds):
    held = custody_kinds["log-epoch"]
    report = json.loads(held.file("papers/reconcile.json").read_bytes())
    assert (report["newest"]["name"], report["newest"]["size"]) == ("checkpoint-witness", 12)
    assert report["disagreements"] == []
    assert report["unproven"] == ["checkpoint-database"]
    assert held.file("keys/log-epoch-2.vkey").read_text().startswith("localhost/ca-audit/epoch-2+")


def test_a_compromise_ends_in_an_order_a_revocation_and_a_report(custody_kinds):
    held = custody_kinds["compromise-response"]
    issuing = held.file("inputs/issuing-i1").read_bytes()
    order = held.file("papers/freeze-order.txt").read_text()
    assert f"stop-issuing: issuing-i1 {hashlib.sha256(issuing).hexdigest()}" in order
    crl = x509.load_der_x509_crl(held.file("crls/root-r1.crl").read_bytes())
    (entry,) = crl
    assert entry.serial_number == x509.load_der_x509_certificate(issuing).serial_number
    report = held.file("papers/incident-report.txt").read_text()
    assert hashlib.sha256(held.file("crls/root-r1.crl").read_bytes()).hexdigest() in report
    assert "fact: evidence evidence-bag A-0042" in report


@pytest.mark.parametrize("kind", ["hsm-init", "key-backup", "decommission"])
def test_media_have_what_was_exported(custody_kinds, kind):
    held = custody_kinds[kind]
    (done,) = [
        line["data"]["result"]
        for line in held.lines()
        if line["event"] == "done" and line["step"] == "export"
    ]
    for medium in ("media-1", "media-2"):
        for name, digest in done["copied"].items():
            copy = held.folder / medium / kind / "export" / name
            assert hashlib.sha256(copy.read_bytes()).hexdigest() == digest
