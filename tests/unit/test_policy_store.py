"""A policy directory is loaded whole or not at all."""

from __future__ import annotations

import hashlib
import shutil

import pytest

from ca_server.core.approvals import ApprovalRules
from ca_server.core.errors import CaError, Kind
from ca_server.core.signatures import KeyType
from ca_server.core.weak_keys import debian_fingerprint
from ca_server.policy_store import PolicyStore, default_directory, read_debian_lists
from tests.fakes.paper_authority import dns, grant, make_csr, make_facts, make_key

SHIPPED = {
    "code-signing",
    "device-identity",
    "ocsp-signer",
    "spiffe-workload",
    "subordinate-ca",
    "tls-client",
    "tls-peer",
    "tls-peer-approved",
    "tls-server",
    "tls-server-eab",
    "tls-server-short",
}


@pytest.fixture
def policies(tmp_path):
    return shutil.copytree(default_directory(), tmp_path / "policies")


def refused(directory, **options):
    with pytest.raises(CaError) as caught:
        PolicyStore(directory, **options)
    return caught.value.kind, caught.value.rule_ids


def test_the_shipped_policies_load_with_the_digest_of_every_file():
    store = PolicyStore()
    assert store.names == SHIPPED
    assert set(store.digests) == {"approvals.toml", "keys.toml", "identifiers.toml"} | {
        f"profiles/{name}.toml" for name in SHIPPED
    }
    for name, digest in store.digests.items():
        assert hashlib.sha256((default_directory() / name).read_bytes()).hexdigest() == digest
    assert all(store.profile(name).sha256 == store.digests[f"profiles/{name}.toml"] for name in SHIPPED)


def test_an_unknown_profile_is_refused_with_the_known_ones():
    with pytest.raises(CaError) as caught:
        PolicyStore().profile("tls-sever")
    assert caught.value.kind is Kind.NOT_FOUND
    assert caught.value.rule_ids == ("PROFILE-UNKNOWN",)
    assert "tls-server" in caught.value.detail


def test_a_directory_of_ones_own_is_used_instead(policies):
    for name in SHIPPED - {"tls-server"}:
        (policies / "profiles" / f"{name}.toml").unlink()
    assert PolicyStore(policies).names == {"tls-server"}


def test_r25_what_a_profile_stops_to_allow_is_refused_to_those_who_had_it(policies):
    path = policies / "profiles/tls-server.toml"
    csr = make_csr(dns("a.example.com"))
    assert grant(PolicyStore(policies).profile("tls-server"), csr)
    path.write_text(path.read_text().replace('"rest", ', ""))
    with pytest.raises(CaError) as caught:
        grant(PolicyStore(policies).profile("tls-server"), csr)
    assert caught.value.rule_ids == ("PROFILE-PROTOCOL",)


@pytest.mark.parametrize("name", ["keys.toml", "identifiers.toml"])
def test_a_missing_site_file_is_refused(policies, name):
    (policies / name).unlink()
    assert refused(policies) == (Kind.NOT_FOUND, ("POLICY-FILE",))


def test_a_directory_without_profiles_is_refused(policies):
    shutil.rmtree(policies / "profiles")
    assert refused(policies) == (Kind.NOT_FOUND, ("POLICY-FILE",))


def test_a_directory_that_is_not_there_is_refused(tmp_path):
    assert refused(tmp_path / "nowhere") == (Kind.NOT_FOUND, ("POLICY-FILE",))


@pytest.mark.parametrize("name", ["profiles/web.toml", "tls-server.toml", "profiles/old/tls-server.toml"])
def test_a_file_that_would_be_ignored_or_is_misnamed_is_refused(policies, name):
    target = policies / name
    target.parent.mkdir(exist_ok=True)
    shutil.copy(policies / "profiles/tls-server.toml", target)
    assert refused(policies) == (Kind.MALFORMED, ("POLICY-FILE",))


def test_one_broken_profile_stops_the_whole_directory(policies):
    with (policies / "profiles/tls-peer.toml").open("a") as file:
        file.write("[typo]\n")
    assert refused(policies) == (Kind.MALFORMED, ("PROFILE-UNKNOWN-KEY",))


def test_debians_list_is_read_in_the_form_of_its_package(tmp_path):
    key = make_key(KeyType.RSA_2048)
    listed = debian_fingerprint(key.public_key().public_numbers().n)
    text = f"# a comment, as the package has at its head\n0000d80c186767f2473a\n{listed}\n"
    (tmp_path / "blacklist.RSA-2048").write_text(text)
    store = PolicyStore(debian_lists=tmp_path)
    assert store.debian_weak_keys == {"0000d80c186767f2473a", listed}
    facts = make_facts(debian_weak_keys=store.debian_weak_keys)
    with pytest.raises(CaError) as caught:
        grant("tls-server", make_csr(dns("a.example.com"), key=key), facts=facts)
    assert caught.value.rule_ids == ("KEY-DEBIAN",)


def test_without_the_package_the_list_is_empty(tmp_path):
    assert read_debian_lists(tmp_path) == frozenset()


def test_a_list_that_is_not_debians_is_refused(tmp_path):
    (tmp_path / "blacklist.RSA-4096").write_text("deadbeef\n")
    assert refused(None, debian_lists=tmp_path) == (Kind.MALFORMED, ("POLICY-DEBIAN",))


def test_without_a_file_for_approvals_its_defaults_are_in_force(policies):
    (policies / "approvals.toml").unlink()
    assert PolicyStore(policies).approvals == PolicyStore().approvals == ApprovalRules()


@pytest.mark.parametrize("line", ["max_pending = 0", 'lifetime = "soon"', 'quorum = "all"'])
def test_rules_for_approvals_that_are_not_right_keep_everything_from_loading(policies, line):
    (policies / "approvals.toml").write_text(line)
    assert refused(policies)[0] is Kind.MALFORMED
