"""`sealkeeper hsm`, as an operator calls it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from ca_server.cli import TOKEN_REFUSED
from ca_server.core.signatures import KeyType
from ca_server.hsm.pkcs11 import close_module, open_token

pytestmark = pytest.mark.hsm


@pytest.fixture
def settings(softhsm):
    made = softhsm.create_token("issuing")
    store = open_token(made)
    store.generate(KeyType.EC_P256, label="issuing-i1", key_id=b"\x01\x02")
    store.generate(KeyType.ED25519, label="log", key_id=b"\x03")
    store.close()
    return made


def run(softhsm, *arguments):
    return subprocess.run(
        [sys.executable, "-m", "ca_server.cli", "hsm", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | softhsm.environment,
        stdin=subprocess.DEVNULL,
    )


def at(settings, **changes):
    options = {
        "--module": settings.module,
        "--token": settings.token,
        "--pin-file": settings.pin.place,
    } | changes
    return [str(part) for option in options.items() for part in option]


def test_inventory_is_a_table_of_keys_with_what_the_token_reports(softhsm, settings):
    done = run(softhsm, "inventory", *at(settings))
    assert done.returncode == 0, done.stderr
    lines = [line.split() for line in done.stdout.splitlines()]
    assert lines == [
        ["LABEL", "ID", "TYPE", "PROTECTION"],
        ["issuing-i1", "0102", "ec-p256", "sealed"],
        ["log", "03", "ed25519", "sealed"],
    ]


def test_inventory_as_json(softhsm, settings):
    done = run(softhsm, "inventory", "--json", *at(settings))
    found = json.loads(done.stdout)
    assert found["token"]["label"] == "issuing"
    assert found["keys"][0] == {
        "label": "issuing-i1",
        "id": "0102",
        "type": "ec-p256",
        "private": True,
        "sensitive": True,
        "always_sensitive": True,
        "extractable": False,
        "never_extractable": True,
        "local": True,
    }


def test_an_imported_key_is_shown_as_not_sealed(softhsm, settings):
    key = softhsm.folder / "key.pem"
    subprocess.run(
        ["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", str(key)],
        check=True,
        capture_output=True,
    )
    subprocess.run(
        [
            *("softhsm2-util", "--import", str(key), "--token", "issuing", "--label", "brought"),
            *("--id", "0a", "--pin", settings.pin.read()),
        ],
        check=True,
        capture_output=True,
    )
    done = run(softhsm, "inventory", *at(settings))
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("brought")]
    assert "not made here" in line
    assert "was not always sensitive" in line
    assert "sealed" not in line


def test_check_signs_with_every_key_or_with_one(softhsm, settings):
    done = run(softhsm, "check", *at(settings))
    assert done.returncode == 0, done.stderr
    assert [line.split()[-1] for line in done.stdout.splitlines()] == ["RESULT", "signs", "signs"]
    done = run(softhsm, "check", "--json", "--label", "log", *at(settings))
    assert json.loads(done.stdout) == {
        "token": "issuing",
        "keys": [{"label": "log", "id": "03", "type": "ed25519", "signs": True, "failure": None}],
    }


def test_check_fails_where_a_key_does_not_sign(softhsm, settings):
    close_module(settings.module)
    subprocess.run(
        [
            *("pkcs11-tool", "--module", str(settings.module), "--token-label", "issuing"),
            *("--login", "--pin", settings.pin.read(), "--delete-object", "--type", "pubkey", "--id", "03"),
        ],
        check=True,
        capture_output=True,
    )
    done = run(softhsm, "check", *at(settings))
    assert done.returncode == 1
    assert "no public half" in done.stdout
    done = run(softhsm, "check", "--label", "absent", *at(settings))
    assert done.returncode == TOKEN_REFUSED
    assert "no key absent" in done.stderr


@pytest.mark.parametrize(
    ("changes", "code", "words"),
    [
        ({"--module": "/absent/libsofthsm2.so"}, TOKEN_REFUSED, "the package softhsm2"),
        ({"--token": "absent"}, 5, "tokens there: issuing"),
        ({"--pin-file": "/absent/pin"}, 1, "cannot be opened"),
    ],
)
def test_what_is_missing_is_said_in_one_line(softhsm, settings, changes, code, words):
    done = run(softhsm, "inventory", *at(settings, **changes))
    assert done.returncode == code
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_wrong_pin_is_refused_and_not_repeated(softhsm, settings):
    wrong = softhsm.folder / "wrong.pin"
    wrong.touch(mode=0o600)
    wrong.write_text("87654321")
    done = run(softhsm, "check", *at(settings, **{"--pin-file": wrong}))
    assert done.returncode == TOKEN_REFUSED
    assert "refused the PIN" in done.stderr
    assert "87654321" not in done.stderr + done.stdout


def test_a_pin_file_open_to_others_is_refused(softhsm, settings):
    Path(settings.pin.place).chmod(0o644)
    done = run(softhsm, "inventory", *at(settings))
    assert done.returncode == 1
    assert "chmod it to 0600" in done.stderr


def test_no_option_takes_the_pin_itself(softhsm, settings):
    done = run(softhsm, "inventory", "--module", str(settings.module), "--token", "issuing", "--pin", "1234")
    assert done.returncode == 2
    assert "No such option" in done.stderr
