"""`sealkeeper demo` as a newcomer runs it: everything is tried, twice, and its description is true."""

from __future__ import annotations

import json
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ca_server.cli.demo.install import Install
from ca_server.cli.demo.layout import DemoOptions, Layout
from ca_server.core.ceremony.transcript import Event
from ca_server.core.ceremony.verify import verify_bundle
from tests.fixtures.appliance import free_port
from tests.fixtures.commands import sealkeeper

pytestmark = pytest.mark.hsm

READY_SECONDS = 240


@pytest.fixture
def command(tmp_path):
    """The command line of one demo, on free ports."""
    line = [sys.executable, "-m", "ca_server.cli", "demo", "--dir", str(tmp_path / "demo")]
    for option in ("--https-port", "--http-port", "--ocsp-port", "--http01-port", "--tls-alpn01-port"):
        line += [option, str(free_port())]
    return line


def wait_for(file: Path, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while not file.exists():
        assert process.poll() is None, "it ended before it was ready"
        assert time.monotonic() < deadline, "it did not get ready"
        time.sleep(0.2)


def test_the_demo_tries_everything_and_describes_itself(command, tmp_path):
    tried = subprocess.run([*command, "--exit-after-smoke"], capture_output=True, text=True, check=False)
    assert tried.returncode == 0, tried.stderr
    assert "✓ a certificate over ACME" in tried.stderr
    assert "✓ another one for an account that was bound by an external key" in tried.stderr
    assert "✓ a certificate over EST, by a secret" in tried.stderr
    assert "✓ the next one over EST, by the one before" in tried.stderr
    assert "not tried" not in tried.stderr
    assert not (tmp_path / "demo/demo.json").exists()
    external_key = (tmp_path / "demo/eab/hmac-key").read_bytes()

    # Again, with the port of http-01 taken by what a newcomer may want to try the demo with.
    port = int(command[command.index("--http01-port") + 1])
    described = tmp_path / "demo/demo.json"
    with socket.create_server(("127.0.0.1", port)), (tmp_path / "log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, text=True)
        try:
            wait_for(described, process)
            demo = json.loads(described.read_text())
        finally:
            process.send_signal(signal.SIGINT)
            assert process.wait(60) == 0
        log.seek(0)
        said = log.read()
    assert "- a certificate over ACME: not tried, port" in said
    assert demo["acme_directory"] == f"{demo['ca_url']}/acme/tls-server/directory"
    assert demo["acme_eab_directory"] == f"{demo['ca_url']}/acme/tls-server-eab/directory"
    assert demo["eab"]["kid"]
    key_file = Path(demo["eab"]["hmac_key_file"])
    assert key_file.is_absolute()
    assert key_file.read_bytes() == external_key
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    assert demo["est_url"] == f"{demo['ca_url']}/.well-known/est"
    password_file = Path(demo["est"]["password_file"])
    assert password_file.is_absolute()
    assert stat.S_IMODE(password_file.stat().st_mode) == 0o600
    told = f"{demo['est']['username']}:{password_file.read_text()}"
    assert (tmp_path / "demo/est/secret").read_text() == told
    assert demo["http01_port"] == port
    assert not described.exists()


class FirstStepDone(Exception):
    """Enough of an installation for a test."""


def first_step_alone(_title, action):
    action()
    raise FirstStepDone


def test_a_ceremony_that_was_cut_short_is_gone_on_with(tmp_path):
    layout = Layout(DemoOptions(tmp_path / "demo", 1, 2, 3, None))
    layout.directory.mkdir()
    script = layout.directory / "first-hierarchy.toml"
    script.write_text(sealkeeper("ceremony", "script", "--public-url", layout.http_url).stdout)
    line = [sys.executable, "-m", "ca_server.cli", "ceremony", "rehearse", str(script)]
    transcript = layout.ceremony / "files/transcript.jsonl"
    with (tmp_path / "log").open("w") as log:
        process = subprocess.Popen([*line, "--directory", str(layout.ceremony)], stdout=log, stderr=log)
        try:
            wait_for(transcript, process)
            while transcript.read_bytes().count(b"\n") < 25:
                assert process.poll() is None
                time.sleep(0.002)
        finally:
            process.kill()
            process.wait()
    assert not layout.bundle.exists()
    with pytest.raises(FirstStepDone):
        Install(layout, first_step_alone).run()
    lines = verify_bundle(layout.bundle.read_bytes()).lines
    assert Event.RESUME in {each.event for each in lines}
