"""What /cacerts tells, above all while one root follows another (RFC 7030 §4.1.3, RFC 4210 §4.4)."""

from __future__ import annotations

import subprocess

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.errors import CaError, Kind
from ca_server.core.est.certs_only import certs_only
from ca_server.services.chains import Chains, to_pem
from ca_server.services.context import Context
from ca_server.services.cross_certificates import read_cross_chains
from ca_server.services.est.authority_certificates import AuthorityCertificates
from tests.fakes.clock import SetClock
from tests.fixtures.issuing import ISSUING, common_name, make_authority, store_authority


class Rollover:
    """A new root of ours, and the two certificates in which the old and the new one sign each other.

    The fixture's root is OldWithOld; `name` is the new root's, often the old one's too.
    """

    def __init__(self, issuing, name):
        now = issuing.clock.now()
        old_name, old_key = issuing.root.subject.rfc4514_string()[3:], issuing.root_key
        self.key = ec.generate_private_key(ec.SECP256R1())
        old, new = (common_name(old_name), old_key), (common_name(name), self.key)
        self.new_with_new = make_authority(name, self.key.public_key(), new, now, path_length=None)
        self.new_with_old = make_authority(name, self.key.public_key(), old, now, path_length=None)
        self.old_with_new = make_authority(old_name, old_key.public_key(), new, now, path_length=None)


@pytest.fixture(params=["Test Root", "Test Root 2"])
def rollover(request, issuing):
    """Both kinds: the successor has its predecessor's name, or a name of its own."""
    issuing.clock.advance(seconds=60)
    made = Rollover(issuing, request.param)
    store_authority(issuing.context, "root-2", made.new_with_new, None)
    return made


@pytest.fixture
def cross(issuing, tmp_path):
    def cross(*chains):
        paths = []
        for number, chain in enumerate(chains):
            paths.append(tmp_path / f"{number}.pem")
            paths[-1].write_text("".join(map(to_pem, chain)))
        return read_cross_chains(issuing.context, paths)

    return cross


def test_without_a_rollover_it_is_the_chain_with_its_root(issuing):
    assert AuthorityCertificates(issuing.context).all() == (issuing.root, issuing.issuer)


def test_a_new_root_is_told_at_once_and_first(issuing, rollover):
    """Who trusts the old root alone learns NewWithNew over a connection that the old root vouches for."""
    told = AuthorityCertificates(issuing.context).all()
    assert told == (rollover.new_with_new, issuing.root, issuing.issuer)


def test_all_four_certificates_of_a_rollover_are_told(issuing, rollover, cross):
    crossed = cross([rollover.old_with_new], [rollover.new_with_old])
    told = AuthorityCertificates(issuing.context, crossed).all()
    assert told == (
        rollover.new_with_new,
        issuing.root,
        issuing.issuer,
        rollover.old_with_new,
        rollover.new_with_old,
    )


def test_a_root_behind_its_cross_certificate_is_left_out_of_the_chain(issuing, rollover, cross):
    """By its key: OldWithNew has one name twice and is no root, NewWithNew is."""
    (crossed,) = cross([rollover.old_with_new, rollover.new_with_new])
    assert crossed.certificates == (rollover.old_with_new,)


@pytest.mark.parametrize("trusted", ["old", "new"])
def test_openssl_verifies_a_leaf_from_either_root_by_what_is_told(
    issuing, rollover, cross, tmp_path, trusted
):
    told = AuthorityCertificates(issuing.context, cross([rollover.old_with_new])).all()
    root = issuing.root if trusted == "old" else rollover.new_with_new
    files = {
        "leaf.pem": [x509.load_der_x509_certificate(issuing.issue("a.example.com").der)],
        "root.pem": [root],
    }
    files["told.pem"] = [each for each in told if each not in (issuing.root, rollover.new_with_new)]
    for file, certificates in files.items():
        (tmp_path / file).write_text("".join(map(to_pem, certificates)))
    command = ["openssl", "verify", "-no_check_time", "-CAfile", "root.pem", "-untrusted", "told.pem"]
    run = subprocess.run([*command, "leaf.pem"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout + run.stderr


def test_an_acme_client_is_offered_the_way_to_the_new_root(issuing, rollover, cross):
    chains = Chains(issuing.context, cross([rollover.old_with_new]))
    assert chains.ways_up(ISSUING) == ((issuing.issuer,), (issuing.issuer, rollover.old_with_new))


@pytest.mark.parametrize("which", ["own root", "renewed by the same key"])
def test_a_certificate_by_the_issuer_that_ours_has_is_refused(issuing, rollover, cross, which):
    again = make_authority(
        "Test Root",
        issuing.root_key.public_key(),
        (common_name("Test Root"), issuing.root_key),
        issuing.clock.now(),
        path_length=None,
    )
    with pytest.raises(CaError, match="the issuer that our own certificate has") as caught:
        cross([issuing.root if which == "own root" else again])
    assert caught.value.rule_ids == ("CONFIG-CROSS-CERTIFICATE",)


def test_what_has_ended_is_told_no_more(issuing, rollover):
    issuing.clock.advance(days=3650, seconds=-30)
    assert AuthorityCertificates(issuing.context).all() == (rollover.new_with_new,)


def test_before_a_ceremony_there_is_nothing_to_tell(database):
    with pytest.raises(CaError) as caught:
        AuthorityCertificates(Context(SetClock(), database, "test")).all()
    assert caught.value.kind is Kind.NOT_READY


def test_the_answer_is_readable_by_openssl(issuing, rollover, cross):
    told = AuthorityCertificates(issuing.context, cross([rollover.new_with_old])).all()
    run = subprocess.run(
        ["openssl", "pkcs7", "-inform", "DER", "-print_certs"],
        input=certs_only(told),
        capture_output=True,
        check=True,
    )
    read = x509.load_pem_x509_certificates(run.stdout)
    assert {each.public_bytes(Encoding.DER) for each in read} == {
        each.public_bytes(Encoding.DER) for each in told
    }
