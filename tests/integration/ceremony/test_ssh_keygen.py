"""OpenSSH and we say the same of a signature: what it makes holds here, whom we list holds there."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.people import check_signature
from ca_server.core.ceremony.roster import allowed_signers, parse_roster
from ca_server.core.ceremony.ssh_keys import parse_public_key
from ca_server.core.ceremony.sshsig import SignatureFlags, verify_sshsig
from ca_server.core.ceremony.statement import Gate, Statement
from ca_server.core.errors import CaError
from tests.fixtures.commands import missing_tool, tool
from tests.fixtures.rosters import key_entry, person_entry, roster_bytes
from tests.fixtures.ssh_signatures import TokenKey, armour, disarmour

KINDS = {
    "rsa-2048": ("rsa", "2048"),
    "rsa-4096": ("rsa", "4096"),
    "p256": ("ecdsa", "256"),
    "p384": ("ecdsa", "384"),
    "p521": ("ecdsa", "521"),
    "ed25519": ("ed25519", "256"),
}
NOON = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)
REHEARSAL = "ceremony-rehearsal@example.com"
VECTORS = Path(__file__).parents[2] / "vectors" / "sshsig"


def ssh_keygen(
    *arguments: object, message: bytes = b"", zone: str = "UTC"
) -> subprocess.CompletedProcess[bytes]:
    if shutil.which("ssh-keygen") is None:
        missing_tool("ssh-keygen")
    return subprocess.run(
        ["ssh-keygen", *map(str, arguments)],
        input=message,
        capture_output=True,
        check=False,
        timeout=60,
        env={**os.environ, "TZ": zone},
    )


@pytest.fixture(scope="module")
def keys(tmp_path_factory) -> dict[str, Path]:
    """A private key of each kind, as `ssh-keygen` makes it."""
    folder = tmp_path_factory.mktemp("keys")
    for name, (kind, bits) in KINDS.items():
        tool(
            "ssh-keygen",
            "-q",
            "-t",
            kind,
            "-b",
            bits,
            "-N",
            "",
            "-C",
            f"{name} of a test",
            "-f",
            str(folder / name),
        )
    return {name: folder / name for name in KINDS}


@pytest.fixture(scope="module")
def roster(keys):
    """One person for each kind, called like it."""
    persons = [
        {
            **person_entry(name),
            "keys": [
                {
                    "kept_in": "file",
                    "public_key": parse_public_key(path.with_suffix(".pub").read_text()).line,
                    "use": "rehearsal",
                    "valid_until": "2028-01-01T00:00:00Z",
                }
            ],
        }
        for name, path in keys.items()
    ]
    return parse_roster(roster_bytes(*persons))


def statement_of(person: str, roster) -> Statement:
    return Statement(
        ceremony="c1-2027",
        kind="root-generate",
        mode="rehearsal",
        gate=Gate.OPEN,
        step="-",
        script_sha256="a" * 64,
        roster_sha256=roster.sha256,
        subject="-",
        subject_sha256="-",
        transcript_sequence=0,
        transcript_sha256="d" * 64,
        person=person,
        role=RoleName.KEY_OFFICER,
        nonce="0" * 32,
        time=NOON,
    )


def signed_by(path: Path, message: bytes, namespace: str, *options: str) -> bytes:
    done = ssh_keygen("-Y", "sign", "-n", namespace, "-f", path, *options, message=message)
    assert done.returncode == 0, done.stderr
    return done.stdout


def verified(
    folder: Path,
    signers: bytes,
    person: str,
    message: bytes,
    signature: bytes,
    *,
    namespace: str,
    moment: str,
    zone="UTC",
) -> bool:
    """What `ssh-keygen -Y verify` says, with a list of signers."""
    (folder / "allowed-signers").write_bytes(signers)
    (folder / "message.sig").write_bytes(signature)
    done = ssh_keygen(
        *("-Y", "verify", "-f", folder / "allowed-signers", "-I", person, "-n", namespace),
        *("-s", folder / "message.sig", f"-Overify-time={moment}"),
        message=message,
        zone=zone,
    )
    assert (done.returncode == 0) == (b"Good" in done.stdout), done
    return done.returncode == 0


@pytest.mark.parametrize("name", KINDS)
def test_what_ssh_keygen_signs_holds_here(name, keys, roster):
    statement = statement_of(name, roster)
    armoured = signed_by(keys[name], statement.text(), REHEARSAL)
    signed = check_signature(statement.text(), armoured, roster, "rehearsal", NOON)
    assert signed.flags == SignatureFlags(is_sk=False, touch=False, pin=False, counter=0)
    fingerprint = ssh_keygen("-l", "-E", "sha256", "-f", keys[name].with_suffix(".pub")).stdout.decode()
    spelt = subprocess.run(
        ["openssl", "base64", "-A"], input=bytes.fromhex(signed.key_sha256), capture_output=True, check=True
    )
    assert f"SHA256:{spelt.stdout.decode().rstrip('=')} " in fingerprint


@pytest.mark.parametrize("name", ["rsa-2048", "p521", "ed25519"])
def test_both_hashes_of_the_message(name, keys):
    key = parse_public_key(keys[name].with_suffix(".pub").read_text())
    for option in ("hashalg=sha256", "hashalg=sha512"):
        armoured = signed_by(keys[name], b"message", "ns", "-O", option)
        assert not verify_sshsig(armoured, b"message", "ns", key).is_sk


@pytest.mark.parametrize("name", KINDS)
def test_what_was_altered_holds_nowhere(name, keys, roster, tmp_path):
    statement = statement_of(name, roster)
    text = statement.text()
    armoured = signed_by(keys[name], text, REHEARSAL)
    blob = bytearray(disarmour(armoured))
    blob[-10] ^= 1
    cases = {
        "signature": (text, armour(bytes(blob)), REHEARSAL),
        "text": (replace(statement, nonce="1" * 32).text(), armoured, REHEARSAL),
        "namespace": (text, signed_by(keys[name], text, "ceremony@example.com"), REHEARSAL),
    }
    for case, (message, signature, namespace) in cases.items():
        with pytest.raises(CaError) as caught:
            check_signature(message, signature, roster, "rehearsal", NOON)
        expected = "CEREMONY-NAMESPACE" if case == "namespace" else "CEREMONY-SIGNATURE"
        assert caught.value.rule_ids == (expected,), case
        assert not verified(
            tmp_path,
            allowed_signers(roster, "rehearsal"),
            name,
            message,
            signature,
            namespace=namespace,
            moment="20270301120000Z",
        ), case


@pytest.mark.parametrize("zone", ["UTC", "Asia/Kathmandu"])
@pytest.mark.parametrize(("moment", "good"), [("20280101000000Z", True), ("20280101000001Z", False)])
def test_both_take_a_key_until_the_same_second(moment, good, zone, keys, roster, tmp_path):
    statement = statement_of("p256", roster)
    armoured = signed_by(keys["p256"], statement.text(), REHEARSAL)
    signers = allowed_signers(roster, "rehearsal")
    how = {"namespace": REHEARSAL, "moment": moment, "zone": zone}
    assert verified(tmp_path, signers, "p256", statement.text(), armoured, **how) == good
    when = datetime.strptime(moment, "%Y%m%d%H%M%S%z")
    if good:
        assert check_signature(statement.text(), armoured, roster, "rehearsal", when).person == "p256"
    else:
        with pytest.raises(CaError) as caught:
            check_signature(statement.text(), armoured, roster, "rehearsal", when)
        assert caught.value.rule_ids == ("CEREMONY-KEY-EXPIRED",)


def test_the_list_of_signers_binds_person_and_mode(keys, roster, tmp_path):
    message = b"whatever"
    here, there = "ceremony@example.com", REHEARSAL
    rehearsal, production = allowed_signers(roster, "rehearsal"), allowed_signers(roster, "production")
    assert production == b""
    for person, namespace, signers, good in (
        ("ed25519", there, rehearsal, True),
        ("p256", there, rehearsal, False),
        ("ed25519", here, rehearsal, False),
        ("ed25519", there, production, False),
    ):
        armoured = signed_by(keys["ed25519"], message, namespace)
        how = {"namespace": namespace, "moment": "20270301120000Z"}
        assert verified(tmp_path, signers, person, message, armoured, **how) == good


TOKENS = {
    "sk-ecdsa": (TokenKey(), "sign"),
    "sk-ed25519": (TokenKey(ed25519.Ed25519PrivateKey.generate()), "sign"),
    "webauthn": (TokenKey(application="example.com"), "sign_in_browser"),
}


@pytest.mark.parametrize("name", TOKENS)
def test_both_take_what_a_token_signs(name, tmp_path):
    token, how = TOKENS[name]
    roster = parse_roster(roster_bytes(person_entry("ada", key_entry(token))))
    statement = replace(statement_of("ada", roster), mode="production")
    text, namespace = statement.text(), "ceremony@example.com"
    armoured = getattr(token, how)(text, namespace)
    assert check_signature(text, armoured, roster, "production", NOON).flags.pin
    signers = allowed_signers(roster, "production")
    with_list = {"namespace": namespace, "moment": "20270301120000Z"}
    assert verified(tmp_path, signers, "ada", text, armoured, **with_list)
    assert not verified(tmp_path, signers, "ada", text + b"x", armoured, **with_list)


@pytest.mark.parametrize("name", TOKENS)
def test_only_we_demand_touch_and_pin(name, tmp_path):
    """The reason for a verifier of our own: OpenSSH's has no such option for a list of signers."""
    token, how = TOKENS[name]
    lazy = replace(token, flags=0x00)
    roster = parse_roster(roster_bytes(person_entry("ada", key_entry(lazy))))
    text = replace(statement_of("ada", roster), mode="production").text()
    armoured = getattr(lazy, how)(text, "ceremony@example.com")
    assert verified(
        tmp_path,
        allowed_signers(roster, "production"),
        "ada",
        text,
        armoured,
        namespace="ceremony@example.com",
        moment="20270301120000Z",
    )
    with pytest.raises(CaError) as caught:
        check_signature(text, armoured, roster, "production", NOON)
    assert caught.value.rule_ids == ("CEREMONY-SK-FLAGS",)


@pytest.mark.parametrize("name", ["rsa", "ecdsa", "ed25519", "ecdsa_sk", "ed25519_sk", "ecdsa_sk_webauthn"])
def test_openssh_takes_its_own_vectors_as_we_do(name, tmp_path):
    line = parse_public_key((VECTORS / f"{name}.pub").read_text()).line
    assert verified(
        tmp_path,
        f'vector namespaces="unittest" {line}\n'.encode(),
        "vector",
        (VECTORS / "signed-data").read_bytes(),
        (VECTORS / f"{name}.sig").read_bytes(),
        namespace="unittest",
        moment="20270301120000Z",
    )
