"""The rehearsal in memory: every key type that a script can ask for, and shapes other than the ready one."""

from __future__ import annotations

import pytest

from ca_server.core.bundle import read_bundle
from ca_server.core.hierarchy import check_hierarchy
from ca_server.core.signatures import KeyType, default_algorithm, key_type_of
from ceremony.bundle import check_bundle
from ceremony.engine import rehearse_in_memory
from ceremony.plan import make_plan
from tests.fixtures.ceremony import CEREMONY_TIME, READY_SCRIPT

SECOND_AUTHORITY = """
[keys.issuing-i2]
token = "issuing"
type = "rsa-3072"
label = "issuing-i2"

[keys.ocsp-i2]
token = "ocsp"
type = "ec-p256"
label = "ocsp-i2"

[[issuing]]
id = "issuing-i2"
key = "issuing-i2"
subject = { common_name = "Example Works Issuing CA I2", country = "DE", locality = "K\u00f6ln" }
not_before = 2027-01-01T00:00:00Z
not_after = 2030-01-01T00:00:00Z
name_constraints = { permitted_dns = ["example.com"], excluded_ip = ["0.0.0.0/0", "::/0"] }

[[responders]]
authority = "issuing-i2"
key = "ocsp-i2"
subject = { common_name = "Example Works OCSP Responder I2" }
lifetime = "90d"
"""


def made(script: str) -> bytes:
    return rehearse_in_memory(make_plan(script.encode(), CEREMONY_TIME))


@pytest.mark.parametrize("key_type", KeyType)
def test_a_hierarchy_of_every_key_type(key_type):
    script = READY_SCRIPT.decode().replace('"ec-p384"', f'"{key_type}"').replace('"ec-p256"', f'"{key_type}"')
    hierarchy = check_hierarchy(check_bundle(made(script)))
    for authority in hierarchy.authorities:
        assert key_type_of(authority.certificate.public_key()) is key_type
        assert authority.entry.signature_algorithm is default_algorithm(key_type)


def test_a_log_key_on_p256_has_a_vkey():
    manifest = read_bundle(made(READY_SCRIPT.decode().replace('"ed25519"', '"ec-p256"'))).manifest
    # Type 0x02 begins the key's base64: ECDSA over a SubjectPublicKeyInfo.
    assert manifest.log.vkey.rsplit("+", 1)[0].startswith("localhost/ca-audit/1+")
    assert "+AjBZMBMGByqGSM49" in manifest.log.vkey


def test_two_issuing_authorities():
    script = READY_SCRIPT.decode().replace(
        'lifetime = "7300d"', "not_before = 2027-01-01T00:00:00Z\nnot_after = 2047-01-01T00:00:00Z"
    )
    hierarchy = check_hierarchy(check_bundle(made(script + SECOND_AUTHORITY)))
    assert [each.entry.id for each in hierarchy.authorities] == ["root-r1", "issuing-i1", "issuing-i2"]
    assert [entry.authority for entry, _ in hierarchy.responders] == ["issuing-i1", "issuing-i2"]


def test_a_server_key_in_rsa():
    script = READY_SCRIPT.decode().replace("[api_server]", '[api_server]\nkey_type = "rsa-2048"')
    csr = check_hierarchy(read_bundle(made(script))).api_server_csr
    assert key_type_of(csr.public_key()) is KeyType.RSA_2048


def test_ids_are_the_same_on_every_run_and_serial_numbers_are_not():
    first, second = (read_bundle(made(READY_SCRIPT.decode())) for _ in range(2))
    assert [key.id for key in first.keys] == [key.id for key in second.keys]
    serials = [check_hierarchy(bundle).authorities[1].certificate.serial_number for bundle in (first, second)]
    assert serials[0] != serials[1]
