"""Chains of cross-signed and rotated hierarchies, as OpenSSL and GnuTLS build them, both ways."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.fixtures.certifying import HeldKind, ready, rehearse
from tests.fixtures.commands import tool

pytestmark = pytest.mark.hsm

ROOT, ISSUING = "authorities/root-r1.cer", "authorities/issuing-i1.cer"


@dataclass(frozen=True)
class Chain:
    """A certificate, what lies between, and the one root that its reader trusts."""

    leaf: Path
    between: tuple[Path, ...]
    root: Path


@pytest.fixture(scope="session")
def chains(certified_kinds, tmp_path_factory) -> dict[str, Chain]:
    first, rotated, crossed = (certified_kinds[kind] for kind in ("first-hierarchy", "rotate", "cross-sign"))
    apart = certified_kinds["root-generate"]
    place = tmp_path_factory.mktemp("below")

    def authority_below(root: HeldKind, name: str, room: HeldKind, request: HeldKind) -> Path:
        inputs = {
            name: root.file(f"authorities/{name}.cer"),
            "issuing-i2-csr": request.file("csrs/issuing-i2.csr"),
        }
        script = ready("intermediate-sign").replace("root-r1", name)
        return rehearse(script, place / f"below-{name}", room=room, inputs=inputs).file(
            "authorities/issuing-i2.cer"
        )

    below_new = authority_below(rotated, "root-r2", first, certified_kinds["subordinate-key"])
    request = rehearse(ready("subordinate-key"), place / "key", room=apart)
    below_other = authority_below(apart, "root-r1", apart, request)
    issuing, old = first.file(ISSUING), first.file(ROOT)
    new = rotated.file("authorities/root-r2.cer")
    other = apart.file(ROOT)
    old_with_new = rotated.file("certificates/root-r1-by-root-r2.cer")
    new_with_old = rotated.file("certificates/root-r2-by-root-r1.cer")
    cross = crossed.file("certificates/root-x1-by-root-r1.cer")
    return {
        "old, to who trusts the old root": Chain(issuing, (), old),
        "old, to who trusts the new root alone": Chain(issuing, (old_with_new,), new),
        "new, to who trusts the new root": Chain(below_new, (), new),
        "new, to who trusts the old root alone": Chain(below_new, (new_with_old,), old),
        "other, to who trusts its root": Chain(below_other, (), other),
        "other, to who trusts the cross-signer alone": Chain(below_other, (cross,), old),
    }


NAMES = (
    "old, to who trusts the old root",
    "old, to who trusts the new root alone",
    "new, to who trusts the new root",
    "new, to who trusts the old root alone",
    "other, to who trusts its root",
    "other, to who trusts the cross-signer alone",
)


def pem(paths, target: Path) -> str:
    certificates = [x509.load_der_x509_certificate(path.read_bytes()) for path in paths]
    target.write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in certificates))
    return str(target)


@pytest.mark.parametrize("name", NAMES)
def test_openssl_builds_the_chain(chains, name, tmp_path):
    chain = chains[name]
    options = [
        "-x509_strict",
        "-no-CApath",
        "-no-CAstore",
        "-CAfile",
        pem([chain.root], tmp_path / "root.pem"),
    ]
    if chain.between:
        options += ["-untrusted", pem(chain.between, tmp_path / "between.pem")]
    done = tool("openssl", "verify", *options, pem([chain.leaf], tmp_path / "leaf.pem"))
    assert done.stdout.endswith("OK\n")


@pytest.mark.parametrize("name", NAMES)
def test_gnutls_builds_the_chain(chains, name, tmp_path):
    chain = chains[name]
    sent = pem([chain.leaf, *chain.between], tmp_path / "sent.pem")
    root = pem([chain.root], tmp_path / "root.pem")
    done = tool("certtool", "--verify", "--load-ca-certificate", root, "--infile", sent)
    assert "Chain verification output: Verified." in done.stdout


@pytest.mark.parametrize("name", [each for each in NAMES if each.endswith("alone")])
def test_without_the_link_neither_builds_it(chains, name, tmp_path):
    """So it is the link, and nothing else, that the chain hangs on."""
    chain = chains[name]
    root, leaf = pem([chain.root], tmp_path / "root.pem"), pem([chain.leaf], tmp_path / "leaf.pem")
    options = ("-x509_strict", "-no-CApath", "-no-CAstore", "-CAfile", root, leaf)
    assert tool("openssl", "verify", *options, check=False).returncode != 0
    done = tool("certtool", "--verify", "--load-ca-certificate", root, "--infile", leaf, check=False)
    assert done.returncode != 0


def test_openssl_takes_every_crl_from_its_root(certified_kinds, tmp_path):
    for kind, name, holder in (
        ("root-crl", "root-r1", "first-hierarchy"),
        ("revoke-subordinate", "root-r1", "first-hierarchy"),
        ("rotate", "root-r2", "rotate"),
    ):
        root = pem([certified_kinds[holder].file(f"authorities/{name}.cer")], tmp_path / "root.pem")
        crl = certified_kinds[kind].file(f"crls/{name}.crl")
        done = tool("openssl", "crl", "-inform", "DER", "-in", str(crl), "-CAfile", root, "-noout")
        assert "verify OK" in done.stderr + done.stdout


def test_openssl_sees_that_the_authority_is_revoked(certified_kinds, tmp_path):
    root = pem([certified_kinds["first-hierarchy"].file(ROOT)], tmp_path / "root.pem")
    leaf = pem([certified_kinds["first-hierarchy"].file(ISSUING)], tmp_path / "leaf.pem")
    crl = x509.load_der_x509_crl(certified_kinds["revoke-subordinate"].file("crls/root-r1.crl").read_bytes())
    (tmp_path / "crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))
    options = ("-crl_check_all", "-CRLfile", str(tmp_path / "crl.pem"), "-CAfile", root)
    done = tool("openssl", "verify", *options, leaf, check=False)
    assert "certificate revoked" in done.stderr + done.stdout
