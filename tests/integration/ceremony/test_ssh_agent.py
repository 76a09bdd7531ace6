"""A key on a smart card, used through `ssh-agent`, signs statements like any other; SoftHSM is the card."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.people import check_signature
from ca_server.core.ceremony.roster import parse_roster
from ca_server.core.ceremony.ssh_keys import parse_public_key
from ca_server.core.ceremony.statement import Gate, Statement
from tests.fixtures.commands import run, tool
from tests.fixtures.rosters import roster_bytes

pytestmark = pytest.mark.hsm
NOON = datetime(2027, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def agent(softhsm, tmp_path) -> Iterator[dict[str, str]]:
    """An agent that may load this module; yields what its clients need in their environment."""
    socket = tmp_path / "agent"
    module = os.path.realpath(softhsm.module)
    command = ["ssh-agent", "-D", "-a", str(socket), "-P", module]
    with subprocess.Popen(
        command, stdout=subprocess.DEVNULL, env=os.environ | softhsm.environment
    ) as process:
        deadline = time.monotonic() + 10
        while not socket.exists() and time.monotonic() < deadline:
            time.sleep(0.02)
        yield {"SSH_AUTH_SOCK": str(socket), **softhsm.environment}
        process.terminate()


def officer_key(softhsm, agent: dict[str, str], folder: Path, kind: str) -> Path:
    """The public key's file of a key that is made on the card and given to the agent."""
    settings = softhsm.create_token("officer")
    pin = settings.pin.read()
    module = str(softhsm.module)
    tool(
        "pkcs11-tool",
        "--module",
        module,
        "--login",
        "--pin",
        pin,
        "--keypairgen",
        "--key-type",
        kind,
        "--id",
        "01",
    )
    asks = folder / "ask"
    asks.write_text(f"#!/bin/sh\ncat '{softhsm.folder}/officer.pin'\n")
    asks.chmod(0o700)
    run("ssh-add", "-s", module, **agent, SSH_ASKPASS=str(asks), SSH_ASKPASS_REQUIRE="force")
    public = folder / "officer.pub"
    public.write_text(run("ssh-add", "-L", **agent).stdout)
    return public


@pytest.mark.parametrize("kind", ["EC:prime256v1", "EC:secp384r1", "rsa:2048"])
def test_a_card_signs_a_statement_in_production(kind, softhsm, agent, tmp_path):
    public = officer_key(softhsm, agent, tmp_path, kind)
    key = {
        "kept_in": "smartcard",
        "public_key": parse_public_key(public.read_text()).line,
        "use": "production",
        "valid_until": "2028-01-01T00:00:00Z",
    }
    roster = parse_roster(roster_bytes({"id": "ada", "keys": [key], "name": "Ada Lovelace"}))
    statement = Statement(
        ceremony="c1-2027",
        kind="root-generate",
        mode="production",
        gate=Gate.OPEN,
        step="-",
        script_sha256="a" * 64,
        roster_sha256=roster.sha256,
        subject="-",
        subject_sha256="-",
        transcript_sequence=0,
        transcript_sha256="d" * 64,
        person="ada",
        role=RoleName.KEY_OFFICER,
        nonce="0" * 32,
        time=NOON,
    )
    path = tmp_path / "statement.txt"
    path.write_bytes(statement.text())
    run("ssh-keygen", "-Y", "sign", "-n", "ceremony@example.com", "-f", str(public), str(path), **agent)
    armoured = path.with_name("statement.txt.sig").read_bytes()
    signed = check_signature(path.read_bytes(), armoured, roster, "production", NOON)
    assert (signed.person, signed.flags.is_sk) == ("ada", False)
