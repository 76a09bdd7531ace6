"""Which keys are certified at all."""

from __future__ import annotations

import pytest

from ca_server.core.public_keys import KeyFacts, key_violations, rsa_violations
from ca_server.core.signatures import KeyType
from ca_server.core.site import KeyFloor
from ca_server.core.weak_keys import debian_fingerprint
from tests.fakes.paper_authority import make_key, policies
from tests.fakes.weak_moduli import good_modulus, roca_modulus

NOTHING_KNOWN = KeyFacts(compromised=False, own_key=False, debian_weak_keys=frozenset())


def floor(**changes):
    return KeyFloor(**(policies().site.keys.model_dump() | changes))


def rules(violations):
    return [violation.rule_id for violation in violations]


@pytest.mark.parametrize("key_type", [each for each in KeyType if not each.startswith("ml-")])
def test_good_keys_break_no_rule(key_type):
    assert rules(key_violations(make_key(key_type).public_key(), NOTHING_KNOWN, floor())) == []


@pytest.mark.parametrize("exponent", [1, 2, 3, 17, 65536, 65535, 1 << 256, (1 << 256) + 1])
def test_even_small_and_huge_exponents_are_refused(exponent):
    assert rules(rsa_violations(good_modulus(), exponent, (), floor())) == ["KEY-RSA-EXPONENT"]


def test_the_smallest_exponent_can_be_raised():
    assert rules(rsa_violations(good_modulus(), 65537, (), floor(rsa_min_exponent=65539))) == [
        "KEY-RSA-EXPONENT"
    ]


def test_an_even_modulus_is_refused():
    assert "KEY-RSA-MODULUS" in rules(rsa_violations(good_modulus() * 2, 65537, (), floor()))


def test_roca_is_refused():
    assert "KEY-ROCA" in rules(rsa_violations(roca_modulus(), 65537, (), floor()))


def test_close_primes_are_refused():
    prime = make_key(KeyType.RSA_2048).private_numbers().p
    assert "KEY-CLOSE-PRIMES" in rules(rsa_violations(prime * (prime + 2), 65537, (), floor()))


def test_a_key_on_debians_list_is_refused():
    key = make_key(KeyType.RSA_2048).public_key()
    listed = KeyFacts(False, False, frozenset({debian_fingerprint(key.public_numbers().n)}))
    assert rules(key_violations(key, listed, floor())) == ["KEY-DEBIAN"]


def test_compromised_and_own_keys_are_refused():
    key = make_key(KeyType.EC_P256).public_key()
    assert rules(key_violations(key, KeyFacts(True, True, ()), floor())) == ["KEY-COMPROMISED", "KEY-OWN"]


def test_the_floor_holds_for_every_profile():
    key = make_key(KeyType.RSA_2048).public_key()
    assert rules(key_violations(key, NOTHING_KNOWN, floor(allowed=(KeyType.EC_P256,)))) == ["KEY-FLOOR"]
