"""The supervisor: a renewal that hangs stops neither it nor its doors."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from ca_server.cli import serve
from ca_server.core.errors import CaError, Kind

EXAMPLE = Path(__file__).resolve().parents[3] / "ops/examples/server.toml"
SOON = 20


@pytest.fixture
def config_file(tmp_path):
    """A configuration whose TLS key is a pipe that nobody writes to: a renewal hangs reading it."""
    pipe = tmp_path / "tls.key"
    os.mkfifo(pipe)
    text = EXAMPLE.read_text()
    (line,) = (each for each in text.splitlines() if each.startswith("tls_key"))
    path = tmp_path / "server.toml"
    path.write_text(text.replace(line, f'tls_key = "{pipe}"'))
    return path


def door(seconds):
    return subprocess.Popen([sys.executable, "-c", f"import time; time.sleep({seconds})"])


def test_sigterm_ends_a_first_renewal_that_hangs(config_file):
    command = [sys.executable, "-m", "ca_server.cli", "serve", "--config", str(config_file)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    # Once the pipe can be opened for writing, the renewal reads it.
    with config_file.with_name("tls.key").open("wb"):
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=SOON)
    assert (process.returncode, said) == (0, "")


def test_a_first_renewal_that_hangs_is_ended_in_time(config_file, monkeypatch):
    monkeypatch.setattr(serve, "RENEWAL_SECONDS", 0.5)
    supervisor = serve._Supervisor(config_file)
    with pytest.raises(CaError, match=r"took over 0\.5 seconds") as caught:
        supervisor._renew_first()
    assert caught.value.kind is Kind.UNAVAILABLE
    assert supervisor._renewal is None


def test_a_door_that_ends_is_noticed_while_a_renewal_hangs(config_file, monkeypatch):
    monkeypatch.setattr(serve, "RENEWAL_CHECK_SECONDS", 0)
    supervisor = serve._Supervisor(config_file)
    supervisor._children = [door(1), door(60)]
    began = time.monotonic()
    supervisor._watch()
    renewal = supervisor._renewal
    supervisor._end()
    assert time.monotonic() - began < SOON
    assert renewal.returncode == -signal.SIGKILL
    assert supervisor._children[1].returncode == -signal.SIGTERM


def test_a_later_renewal_that_hangs_is_told_and_tried_again(config_file, monkeypatch, logged):
    monkeypatch.setattr(serve, "RENEWAL_CHECK_SECONDS", 0)
    monkeypatch.setattr(serve, "RENEWAL_SECONDS", 0.3)
    supervisor = serve._Supervisor(config_file)
    supervisor._children = [door(60)]
    threading.Timer(2, supervisor._stop, (signal.SIGTERM, None)).start()
    supervisor._watch()
    assert supervisor._end() == 0
    told = [(line["event.action"], line["event.reason"]) for line in logged()]
    assert len(told) > 1
    assert set(told) == {("tls.renewal_failed", "a renewal took over 0.3 seconds and was ended")}
