"""Requests made by other people's tools are read and granted as they come."""

from __future__ import annotations

from pathlib import Path

import pytest

from ca_server.core.csr import parse_csr
from tests.fakes.paper_authority import grant
from tests.fixtures.commands import tool

OPENSSL_KEYS = [
    ("ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
    ("ec", "-pkeyopt", "ec_paramgen_curve:secp384r1"),
    ("rsa", "-pkeyopt", "rsa_keygen_bits:2048"),
    ("ed25519",),
]

TEMPLATE = """\
cn = "a.example.com"
dns_name = "a.example.com"
dns_name = "host.internal"
ip_address = "10.0.0.1"
tls_www_server
signing_key
"""


def granted(path: Path) -> set[str]:
    return {str(each) for each in grant("tls-server", parse_csr(path.read_bytes())).identifiers}


@pytest.mark.parametrize("algorithm", OPENSSL_KEYS, ids=lambda words: words[-1])
@pytest.mark.parametrize("form", ["PEM", "DER"])
def test_openssl_req(tmp_path, algorithm, form):
    csr = tmp_path / "a.csr"
    names = "subjectAltName=DNS:A.example.com,DNS:localhost,IP:10.0.0.1,IP:::1"
    arguments = ["req", "-new", "-newkey", *algorithm, "-nodes", "-keyout", str(tmp_path / "key.pem")]
    arguments += ["-subj", "/CN=a.example.com", "-addext", names, "-outform", form, "-out", str(csr)]
    tool("openssl", *arguments)
    assert granted(csr) == {"dns:a.example.com", "dns:localhost", "ip:10.0.0.1", "ip:::1"}


def test_openssl_req_asking_for_what_is_given(tmp_path):
    csr = tmp_path / "a.csr"
    arguments = ["req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    arguments += ["-keyout", str(tmp_path / "key.pem"), "-subj", "/", "-out", str(csr)]
    for extension in (
        "subjectAltName=DNS:a.example.com",
        "basicConstraints=critical,CA:FALSE",
        "keyUsage=critical,digitalSignature",
        "extendedKeyUsage=serverAuth",
        "subjectKeyIdentifier=hash",
    ):
        arguments += ["-addext", extension]
    tool("openssl", *arguments)
    assert granted(csr) == {"dns:a.example.com"}


@pytest.mark.parametrize(
    "key_type", [("ecdsa", "--curve=secp256r1"), ("rsa", "--bits=3072"), ("eddsa", "--curve=ed25519")]
)
def test_certtool(tmp_path, key_type):
    key, csr, template = tmp_path / "key.pem", tmp_path / "a.csr", tmp_path / "template"
    template.write_text(TEMPLATE)
    tool("certtool", "--generate-privkey", f"--key-type={key_type[0]}", *key_type[1:], f"--outfile={key}")
    arguments = [f"--load-privkey={key}", f"--template={template}", f"--outfile={csr}"]
    tool("certtool", "--generate-request", *arguments)
    assert granted(csr) == {"dns:a.example.com", "dns:host.internal", "ip:10.0.0.1"}
