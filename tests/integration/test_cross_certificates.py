"""Other ways up from our authorities: checked when a process starts, offered beside our own."""

from __future__ import annotations

from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.errors import CaError, Kind
from ca_server.services.acme.certificates import read_certificate
from ca_server.services.chains import Chains, to_pem
from ca_server.services.cross_certificates import read_cross_chains
from tests.fakes.stored import ISSUING, ROOT
from tests.fakes.stored_accounts import store_account


class Others:
    """Somebody else's root and intermediate, which sign certificates for our authorities."""

    def __init__(self, now):
        self.now = now
        self.keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
        self.names = [name("Their Root"), name("Their Intermediate")]
        self.root = self.sign(0, self.names[0], self.keys[0].public_key())
        self.intermediate = self.sign(0, self.names[1], self.keys[1].public_key())

    def sign(self, issuer, subject, public_key, *, ca=True, days=365):
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.names[issuer])
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now - timedelta(days=1))
            .not_valid_after(self.now + timedelta(days=days))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .sign(self.keys[issuer], hashes.SHA256())
        )

    def cross(self, certificate, issuer=1, **more):
        return self.sign(issuer, certificate.subject, certificate.public_key(), **more)


def name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


@pytest.fixture
def others(clock):
    return Others(clock.now())


@pytest.fixture
def write(tmp_path):
    def write(*certificates, file="cross.pem"):
        path = tmp_path / file
        path.write_text("".join(map(to_pem, certificates)))
        return path

    return write


def chain_of(pem):
    return x509.load_pem_x509_certificates(pem.encode())


def test_without_any_there_is_one_way(hierarchy):
    chains = Chains(hierarchy.context)
    assert chains.ways_up(ISSUING) == ((hierarchy.issuer,),)


def test_each_file_is_one_more_way_up_without_its_root(hierarchy, others, write):
    """A leaf of ours verifies up to their root by each of them."""
    of_issuing, of_root = others.cross(hierarchy.issuer), others.cross(hierarchy.root, issuer=0)
    paths = [
        write(of_issuing, others.intermediate, others.root, file="one.pem"),
        write(of_root, file="two.pem"),
    ]
    chains = Chains(hierarchy.context, read_cross_chains(hierarchy.context, paths))
    assert chains.ways_up(ISSUING) == (
        (hierarchy.issuer,),
        (of_issuing, others.intermediate),
        (hierarchy.issuer, of_root),
    )
    assert chains.ways_up(ROOT) == ((), (of_root,))
    leaf = hierarchy.issue().certificate
    for way in (1, 2):
        sent = chain_of(chains.pem(leaf.public_bytes(Encoding.DER), ISSUING, way))
        assert sent[0] == leaf
        for subject, issuer in zip(sent, [*sent[1:], others.root], strict=True):
            subject.verify_directly_issued_by(issuer)


def test_each_way_up_is_an_alternate_of_an_accounts_certificate(hierarchy, others, write):
    """RFC 8555 §7.4.2: the default chain is our own, alternates are counted from 1."""
    paths = [write(others.cross(hierarchy.issuer), others.intermediate, others.root)]
    chains = Chains(hierarchy.context, read_cross_chains(hierarchy.context, paths))
    account = store_account(hierarchy.context)
    leaf = hierarchy.issue(owner=f"account:{account.id}")
    ways = []
    for alternate in (None, 1):
        pem, count = read_certificate(hierarchy.context, chains, account, leaf.id, alternate)
        assert count == 1
        ways.append(chain_of(pem))
    assert [way[0] for way in ways] == [leaf.certificate] * 2
    assert [way[1].issuer for way in ways] == [hierarchy.root.subject, others.names[1]]
    with pytest.raises(CaError) as caught:
        read_certificate(hierarchy.context, chains, account, leaf.id, 2)
    assert caught.value.rule_ids == ("ACME-UNKNOWN",)


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda h, o: [], "not PEM certificates"),
        (lambda h, o: [o.intermediate, o.root], "key and the subject of one of our authorities"),
        (lambda h, o: [o.cross(h.issuer), o.root], "not issued by the one after it"),
        (lambda h, o: [o.cross(h.issuer, days=0)], "not valid now"),
        (lambda h, o: [o.cross(h.issuer, ca=False)], "not an authority's"),
        (lambda h, o: [h.issuer, h.root], "the issuer that our own certificate has"),
        (lambda h, o: [o.sign(1, name("Another"), h.issuer.public_key())], "the subject of one of our"),
        (
            lambda h, o: [o.sign(1, h.issuer.subject, ec.generate_private_key(ec.SECP256R1()).public_key())],
            "the key and the subject",
        ),
        (lambda h, o: [o.cross(h.issuer)] * 11, "10 certificates"),
    ],
)
def test_what_would_not_verify_is_refused_at_the_start(hierarchy, others, write, clock, spoil, words):
    path = write(*spoil(hierarchy, others))
    clock.advance(seconds=1)
    with pytest.raises(CaError, match=words) as caught:
        read_cross_chains(hierarchy.context, [path])
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.MALFORMED, ("CONFIG-CROSS-CERTIFICATE",))
    assert caught.value.violations[0].pointer == "/publication/cross_certificates"


@pytest.mark.parametrize("content", [b"", b"\x00" * 70_000, b"-----BEGIN CERTIFICATE-----\nAAAA\n"])
def test_a_file_of_something_else_is_refused(hierarchy, tmp_path, content):
    path = tmp_path / "other.pem"
    path.write_bytes(content)
    for each in (path, tmp_path / "missing.pem", tmp_path):
        with pytest.raises(CaError) as caught:
            read_cross_chains(hierarchy.context, [each])
        assert caught.value.rule_ids == ("CONFIG-CROSS-CERTIFICATE",)
