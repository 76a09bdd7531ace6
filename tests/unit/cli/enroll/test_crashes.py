"""Killed at any step, `sealkeeper enroll` goes on: no certificate lost, nothing half served."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from tests.architecture.tree import ROOT
from tests.fakes.est_server import est_server

KILLED = -9
NAMES = ("key.pem", "cert.pem", "chain.pem", "fullchain.pem", "combined.pem", "root.pem")


@pytest.fixture
def enrolling():
    """Runs the command in a process that was loaded before; kill 0 lets it live."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.enrolling_process"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def run(kill: int, *arguments: str) -> int:
        process.stdin.write(json.dumps({"kill": kill, "arguments": arguments}) + "\n")
        process.stdin.flush()
        return json.loads(process.stdout.readline())["status"]

    with process:
        yield run
        process.stdin.close()


def served(folder: Path) -> x509.Certificate:
    """What a service would read now: all of it there, and fitting."""
    current = folder / "current"
    files = {name: (current / name).read_bytes() for name in NAMES}
    assert (current / "key.pem").stat().st_mode & 0o077 == 0
    assert (current / "combined.pem").stat().st_mode & 0o077 == 0
    certificate = x509.load_pem_x509_certificate(files["cert.pem"])
    assert load_pem_private_key(files["key.pem"], None).public_key() == certificate.public_key()
    [issuing] = x509.load_pem_x509_certificates(files["chain.pem"])
    certificate.verify_directly_issued_by(issuing)
    issuing.verify_directly_issued_by(x509.load_pem_x509_certificate(files["root.pem"]))
    assert files["fullchain.pem"] == files["cert.pem"] + files["chain.pem"]
    assert files["combined.pem"] == files["key.pem"] + files["fullchain.pem"]
    return certificate


def hook_writing(path: Path) -> str:
    return f'/bin/sh -c \'readlink "$1" >> "$2"\' hook {path.parent}/current {path}'


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_first_certificate_survives_a_kill_at_every_step(enrolling, tmp_path):
    finished = 0
    for kill in range(1, 1000):
        folder = tmp_path / str(kill)
        hooked = folder / "hooked"
        with est_server() as server:
            first = [
                *("--url", server.url, "--root", str(server.root_file), "--name", "www.example.com"),
                *(
                    "--secret-file",
                    str(server.secret_file),
                    "--dir",
                    str(folder),
                    "--hook",
                    hook_writing(hooked),
                ),
            ]
            status = enrolling(kill, *first)
            assert status in {0, KILLED}
            if (folder / "current").exists():
                served(folder)
            # Settings that are on the disk are all that a timer needs.
            remembered = (folder / "enroll.toml").exists()
            assert enrolling(0, *(["--dir", str(folder)] if remembered else first)) == 0
            # The secret was good for one certificate, and that is the one that is served.
            assert list(server.issued.values()) == [served(folder)]
        assert hooked.read_text().splitlines()[-1] == "versions/1"
        assert not (folder / "next").exists()
        finished += status == 0
        if status == 0:
            break
    assert finished == 1
    assert kill > 30


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_renewal_survives_a_kill_at_every_step(enrolling, tmp_path):
    with est_server() as server:
        folder = tmp_path / "host"
        hooked = folder / "hooked"
        assert (
            enrolling(
                0,
                *("--url", server.url, "--root", str(server.root_file), "--name", "www.example.com"),
                *(
                    "--secret-file",
                    str(server.secret_file),
                    "--dir",
                    str(folder),
                    "--hook",
                    hook_writing(hooked),
                ),
            )
            == 0
        )
        status = KILLED
        for kill in range(1, 1000):
            before, issued = served(folder), len(server.issued)
            status = enrolling(kill, "--dir", str(folder), "--early")
            assert status in {0, KILLED}
            # Whatever happened: the pair before it, or the new one.
            assert served(folder) in (before, *list(server.issued.values())[issued:])
            if status == 0:
                break
            assert enrolling(0, "--dir", str(folder)) == 0
            # What was issued is served; what was not asked for is asked for when it is due.
            assert served(folder) == list(server.issued.values())[-1]
            assert len(server.issued) - issued <= 1
            assert hooked.read_text().splitlines()[-1] == str((folder / "current").readlink())
            assert not (folder / "next").exists()
        assert status == 0
        assert kill > 30
        # The run after the one whose hook succeeded leaves no old key behind.
        assert enrolling(0, "--dir", str(folder)) == 0
        assert [each.name for each in (folder / "versions").iterdir()] == [
            (folder / "current").readlink().name
        ]
