"""`sealkeeper ceremony …` and `sealkeeper init` as people call them: output, exit codes, files."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from pathlib import Path

import pytest

from ca_server.core.bundle import read_bundle
from tests.fixtures.ceremony import READY_SCRIPT
from tests.fixtures.commands import sealkeeper

pytestmark = pytest.mark.hsm


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A script for other ports, rehearsed once for all tests here."""
    folder = tmp_path_factory.mktemp("ceremony")
    rendered = sealkeeper("ceremony", "script", "--public-url", "http://pki.example.com:18080")
    (folder / "script.toml").write_text(rendered.stdout)
    done = sealkeeper(
        "ceremony", "rehearse", str(folder / "script.toml"), "--directory", str(folder / "room")
    )
    assert done.stdout == f"{folder}/room/bundle.tar\n"
    return folder


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_script_prints_the_ready_script():
    assert sealkeeper("ceremony", "script").stdout.encode() == READY_SCRIPT


def test_script_takes_another_url_and_no_bad_one(folder):
    script = tomllib.loads((folder / "script.toml").read_text())
    assert script["publication"] == {"public_url": "http://pki.example.com:18080"}
    ready = tomllib.loads(READY_SCRIPT.decode())
    assert script | {"publication": None} == ready | {"publication": None}
    refused = sealkeeper("ceremony", "script", "--public-url", 'http://x"\n[keys]', check=False)
    assert refused.returncode == 1
    assert refused.stdout == ""
    assert "CEREMONY-URL" in refused.stderr


def test_check_opens_nothing_and_prints_the_digest(folder):
    done = sealkeeper("ceremony", "check", str(folder / "script.toml"))
    assert done.stdout == digest(folder / "script.toml") + "\n"
    assert "make key 'root-r1' (ec-p384) in root" in done.stderr


def test_check_with_a_host_file_sees_that_the_outputs_are_there(folder):
    host = ("--host", str(folder / "room/host.toml"))
    done = sealkeeper("ceremony", "check", str(folder / "script.toml"), *host, check=False)
    assert done.returncode == 1
    assert "CEREMONY-OUTPUT-EXISTS" in done.stderr


def test_a_bad_script_is_refused_in_one_place_with_every_rule(tmp_path):
    bad = tmp_path / "bad.toml"
    bad.write_bytes(READY_SCRIPT.replace(b"ec-p384", b"ec-p224").replace(b"[log]", b"[log]\nlevel = 1"))
    done = sealkeeper("ceremony", "check", str(bad), check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    for words in ("CEREMONY-KEY-TYPE", "/keys/root-r1/type", "CEREMONY-UNKNOWN-KEY", "/log/level"):
        assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_rehearsal_has_files_for_nobody_else(folder):
    room = folder / "room"
    host = tomllib.loads((room / "host.toml").read_text())
    assert host["mode"] == "rehearsal"
    assert {binding["label"] for binding in host["tokens"].values()} == {
        "REHEARSAL-root",
        "REHEARSAL-issuing",
        "REHEARSAL-ocsp",
        "REHEARSAL-log",
    }
    pins = [Path(binding["pin_file"]) for binding in host["tokens"].values()]
    assert len({pin.read_text() for pin in pins}) == 4
    for path in [*pins, room / "api-server.key"]:
        assert path.stat().st_mode & 0o777 == 0o600
    for path in (room / "pins", room / "tokens"):
        assert path.stat().st_mode & 0o777 == 0o700


def test_a_rehearsal_needs_a_new_folder(folder):
    arguments = (str(folder / "script.toml"), "--directory", str(folder / "room"))
    before = digest(folder / "room/bundle.tar")
    done = sealkeeper("ceremony", "rehearse", *arguments, check=False)
    assert done.returncode == 1
    assert "CEREMONY-DIRECTORY" in done.stderr
    assert digest(folder / "room/bundle.tar") == before


def test_running_in_the_rehearsal_room_again_meets_the_keys(folder, tmp_path):
    host = (folder / "room/host.toml").read_text()
    moved = tmp_path / "host.toml"
    moved.write_text(
        host.replace(f'output_directory = "{folder}/room"', f'output_directory = "{tmp_path}"').replace(
            f'api_server_key = "{folder}/room/', f'api_server_key = "{tmp_path}/'
        )
    )
    done = sealkeeper(
        "ceremony",
        "run",
        str(folder / "script.toml"),
        "--host",
        str(moved),
        check=False,
        SOFTHSM2_CONF=str(folder / "room/softhsm2.conf"),
    )
    assert done.returncode == 1
    assert "CEREMONY-INVENTORY" in done.stderr
    assert "stopped at root-before (F3)" in done.stderr
    assert not (tmp_path / "bundle.tar").exists()


def test_verify_tells_good_from_bad(folder, tmp_path):
    bundle = folder / "room/bundle.tar"
    done = sealkeeper("ceremony", "verify", str(bundle), "--sha256", digest(bundle))
    assert done.stdout == digest(bundle) + "\n"
    assert "authorities/root-r1.cer" in done.stderr
    altered = tmp_path / "altered.tar"
    data = bytearray(bundle.read_bytes())
    data[600] ^= 1
    altered.write_bytes(data)
    for arguments in ((str(altered),), (str(bundle), "--sha256", "0" * 64)):
        refused = sealkeeper("ceremony", "verify", *arguments, check=False)
        assert refused.returncode == 1
        assert refused.stdout == ""
        assert "BUNDLE-DIGEST" in refused.stderr
    other = sealkeeper("ceremony", "verify", str(bundle), "--roster-sha256", "0" * 64, check=False)
    assert other.returncode == 1
    assert "BUNDLE-INDEPENDENT" in other.stderr


def test_production_takes_no_device_that_the_script_does_not_name(folder, tmp_path):
    host = (folder / "room/host.toml").read_text().replace("REHEARSAL-", "vault-")
    host = host.replace('mode = "rehearsal"', 'mode = "production"').replace(
        f"{folder}/room/", f"{tmp_path}/"
    )
    host = host.replace(f'output_directory = "{folder}/room"', f'output_directory = "{tmp_path}/held"')
    host = re.sub(r"^(roster = ).*", rf'\1"{folder}/room/practice/roster.json"', host, flags=re.MULTILINE)
    host = re.sub(r"^practice = .*\n", "", host, flags=re.MULTILINE)
    (tmp_path / "host.toml").write_text(host)
    done = sealkeeper(
        *("ceremony", "run", str(folder / "script.toml"), "--host", str(tmp_path / "host.toml")), check=False
    )
    assert done.returncode == 1
    assert done.stderr.count("[CEREMONY-SERIAL-UNPINNED]") == 4
    assert not (tmp_path / "held/files/transcript.jsonl").exists()


@pytest.fixture
def config_file(folder, tmp_path) -> Path:
    manifest = read_bundle((folder / "room/bundle.tar").read_bytes()).manifest
    path = tmp_path / "sealkeeper.toml"
    tokens = "".join(
        f"""
        [[token]]
        label = "REHEARSAL-{alias}"
        module = "/usr/lib/softhsm/libsofthsm2.so"
        pin_file = "{folder}/room/pins/{alias}"
        """
        for alias in ("issuing", "log")
    )
    path.write_text(
        f"""
        mode = "rehearsal"
        node = "ca-1"
        state_directory = "{tmp_path}"
        [database]
        url = "sqlite:///{tmp_path}/sealkeeper.sqlite"
        [server]
        https = "127.0.0.1:8443"
        http = "127.0.0.1:8080"
        names = ["localhost"]
        tls_key = "{folder}/room/api-server.key"
        [publication]
        public_url = "http://localhost:8080"
        ocsp_url = "http://localhost:8081"
        [audit]
        vkey = "{manifest.log.vkey}"
        key = "{manifest.log.key_uri}"
        anchor = "{tmp_path}/anchor.json"
        {tokens}
        """
    )
    return path


def test_init_makes_the_database_and_says_what_is_in_it(folder, config_file):
    bundle = folder / "room/bundle.tar"
    arguments = ("init", "--bundle", str(bundle), "--config", str(config_file))
    done = sealkeeper(*arguments, "--json", "--sha256", digest(bundle))
    report = json.loads(done.stdout)
    assert report["bundle_sha256"] == digest(bundle)
    assert [authority["id"] for authority in report["authorities"]] == ["root-r1", "issuing-i1"]
    assert "--role administrator --name NAME --profile '*' --allow '*' --config" in done.stderr
    assert "warning" not in done.stderr
    again = sealkeeper(*arguments, check=False)
    assert again.returncode == 1
    assert "BUNDLE-IMPORTED" in again.stderr


def test_init_warns_of_a_configuration_that_does_not_fit(folder, config_file):
    text = config_file.read_text().replace("REHEARSAL-issuing", "REHEARSAL-other")
    config_file.write_text(text.replace("object=log-1", "object=log-2"))
    bundle = str(folder / "room/bundle.tar")
    done = sealkeeper("init", "--bundle", bundle, "--config", str(config_file))
    assert "authority issuing-i1 (issuing)" in done.stdout
    assert "warning: the token of authority issuing-i1 is not configured" in done.stderr
    assert "warning: audit.key is not the ceremony's log key" in done.stderr


def test_init_for_production_refuses_a_rehearsal_unless_told(folder, config_file):
    config_file.write_text(config_file.read_text().replace('mode = "rehearsal"', 'mode = "production"'))
    arguments = ("init", "--bundle", str(folder / "room/bundle.tar"), "--config", str(config_file))
    done = sealkeeper(*arguments, check=False)
    assert done.returncode == 4
    assert "BUNDLE-REHEARSAL" in done.stderr
    assert sealkeeper(*arguments, "--rehearsal").returncode == 0
