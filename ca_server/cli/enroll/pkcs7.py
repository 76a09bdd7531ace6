"""Takes the certificates out of a server's PKCS#7, in a process that may die of it (R33).

The bytes come from a network, and parsers of PKCS#7 have crashed on such before. The process has little
memory and time, no environment, and nothing but these bytes; what it prints is certificates in PEM.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from ca_server.core.errors import CaError, Kind

MAX_MESSAGE_BYTES = 1024 * 1024
MAX_CERTIFICATES = 100
# What the process may use: address space and output in bytes, processor time in seconds.
_MEMORY, _OUTPUT, _PROCESSOR = 512 * 1024 * 1024, 4 * 1024 * 1024, 5
# How long the answer is waited for, in seconds: a host that is busy starts a process slowly.
_PATIENCE = 30


def read_certificates(der: bytes) -> list[x509.Certificate]:
    """The certificates of a certs-only message (RFC 7030 §4.1.3, §4.2.3), one at least, as they stand there.

    Raises:
        CaError: internal, the server's answer is something else, or is too large or too hard to read.
    """
    if len(der) > MAX_MESSAGE_BYTES:
        raise _refused(f"has more than {MAX_MESSAGE_BYTES} bytes")
    with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as printed:
        given.write(der)
        given.seek(0)
        try:
            done = subprocess.run(
                # As a file: by its name, it would load all of this command first.
                (sys.executable, "-I", __file__),
                stdin=given,
                stdout=printed,
                stderr=subprocess.DEVNULL,
                env={},
                timeout=_PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise _refused("takes too long to read") from error
        printed.seek(0)
        text = printed.read()
    if done.returncode < 0:
        raise _refused(f"ended the process that read it, by signal {-done.returncode}")
    try:
        # Whoever took that process over could print anything.
        found = x509.load_pem_x509_certificates(text) if done.returncode == 0 else []
    except ValueError as error:
        raise _refused("is no PKCS#7 with certificates") from error
    if not found:
        raise _refused("is no PKCS#7 with certificates")
    return found


def confine() -> None:
    """Give up, for good, whatever this process does not need to read a message."""
    limits = {
        resource.RLIMIT_AS: _MEMORY,
        resource.RLIMIT_CORE: 0,
        resource.RLIMIT_CPU: _PROCESSOR,
        resource.RLIMIT_FSIZE: _OUTPUT,
        resource.RLIMIT_NPROC: 0,
    }
    for limit, value in limits.items():
        resource.setrlimit(limit, (value, value))


def main() -> None:
    """Read a message from standard input and print its certificates; whatever goes wrong ends the process."""
    confine()
    found = pkcs7.load_der_pkcs7_certificates(sys.stdin.buffer.read())
    sys.stdout.buffer.write(b"".join(each.public_bytes(Encoding.PEM) for each in found[:MAX_CERTIFICATES]))


def _refused(what: str) -> CaError:
    return CaError(Kind.INTERNAL, f"the server's answer {what}")


if __name__ == "__main__":
    main()
