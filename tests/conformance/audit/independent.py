"""Verifiers of the log that nobody here wrote: Go's golang.org/x/mod, and OpenSSL."""

from __future__ import annotations

import atexit
import base64
import functools
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.fixtures.database import missing_tool

GOPATH = "/usr/share/gocode"


@dataclass(frozen=True)
class GoVerdict:
    """What Go proved: the size of the signed tree, and the SHA-256 of each entry asked for."""

    size: int
    entries: dict[int, str]


def verify_with_go(
    base_url: str, vkey: str, leaf_indexes: Iterable[int], older: bytes | None = None
) -> GoVerdict:
    """Verify signature, inclusion of these leaves, and consistency with an older checkpoint.

    `base_url` is the log's, such as `http://localhost:8080/audit`. Fails the test if Go refuses.
    """
    with tempfile.NamedTemporaryFile() as file:
        file.write(older or b"")
        file.flush()
        arguments = [base_url, vkey, file.name if older else "-", *map(str, leaf_indexes)]
        done = subprocess.run(
            [_go_program(), *arguments], check=False, capture_output=True, text=True, timeout=120
        )
    assert done.returncode == 0, f"Go refuses the log: {done.stderr}"
    size, *entries = done.stdout.split("\n")[:-1]
    proven = dict(line.split() for line in entries)
    return GoVerdict(int(size), {int(index): digest for index, digest in proven.items()})


def verify_with_openssl(note: bytes, vkey: str) -> None:
    """Verify a note's own Ed25519 line with `openssl pkeyutl`; fails the test if OpenSSL refuses."""
    name, _, key = vkey.split("+", 2)
    text, _, lines = note.decode().rpartition("\n\n")
    line = next(line for line in lines.split("\n") if line.startswith(f"— {name} "))
    signature = base64.b64decode(line.rsplit(" ", 1)[1])[4:]
    public_key = Ed25519PublicKey.from_public_bytes(base64.b64decode(key)[1:])
    with tempfile.TemporaryDirectory() as folder:
        files = {
            "text": f"{text}\n".encode(),
            "signature": signature,
            "key.pem": public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        }
        for file_name, data in files.items():
            (Path(folder) / file_name).write_bytes(data)
        inputs = ["-pubin", "-inkey", "key.pem", "-sigfile", "signature", "-in", "text"]
        done = subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-rawin", *inputs],
            check=False,
            cwd=folder,
            capture_output=True,
            text=True,
        )
    assert done.returncode == 0, f"OpenSSL refuses the note: {done.stdout}{done.stderr}"
    assert "Signature Verified Successfully" in done.stdout


@functools.cache
def _go_program() -> str:
    """The Go program, built once a test process out of Debian's packages, with no network."""
    go = shutil.which("go")
    if go is None:
        missing_tool("golang-go")
    if not Path(GOPATH, "src/golang.org/x/mod/sumdb/tlog").is_dir():
        missing_tool("golang-golang-x-mod-dev")
    folder = tempfile.mkdtemp(prefix="sealkeeper-go-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # Old GOPATH mode is what Debian's source packages are for; HOME is where Go keeps what it compiled.
    settings = {"GO111MODULE": "off", "GOPATH": GOPATH, "GOFLAGS": "", "HOME": os.environ.get("HOME", folder)}
    source = Path(__file__).with_name("verify.go")
    program = f"{folder}/verify"
    subprocess.run([go, "build", "-o", program, source], env=os.environ | settings, check=True)
    return program
