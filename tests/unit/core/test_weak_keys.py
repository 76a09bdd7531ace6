"""Weak moduli are told from good ones."""

from __future__ import annotations

import hashlib
import subprocess

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from ca_server.core.signatures import KeyType
from ca_server.core.weak_keys import debian_fingerprint, has_close_primes, has_small_factor, is_roca
from tests.fakes.paper_authority import make_key
from tests.fakes.weak_moduli import good_modulus, roca_modulus


def test_a_good_modulus_passes():
    assert not has_small_factor(good_modulus())
    assert not is_roca(good_modulus())
    assert not has_close_primes(good_modulus(), 100)


def test_the_infineon_fingerprint_is_found():
    assert is_roca(roca_modulus())


def test_good_keys_do_not_have_it():
    assert not any(
        is_roca(rsa.generate_private_key(65537, 1024).public_key().public_numbers().n) for _ in range(5)
    )


@pytest.mark.parametrize("factor", [2, 3, 251, 997])
def test_a_small_factor_is_found(factor):
    assert has_small_factor(good_modulus() * factor)


def test_close_primes_are_found():
    prime = make_key(KeyType.RSA_2048).private_numbers().p
    assert has_close_primes(prime * prime, 100)
    assert has_close_primes(prime * (prime + 2), 100)
    assert has_close_primes(prime * (prime + (1 << 514)), 100)
    assert not has_close_primes(prime * (prime + (1 << 700)), 100)


def test_more_rounds_find_primes_further_apart():
    prime = make_key(KeyType.RSA_2048).private_numbers().p
    modulus = prime * (prime + (1 << 518))
    assert not has_close_primes(modulus, 100)
    assert has_close_primes(modulus, 10_000)


def test_the_debian_fingerprint_is_that_of_openssl():
    key = make_key(KeyType.RSA_2048).public_key()
    pem = key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    line = subprocess.run(
        ["openssl", "rsa", "-pubin", "-noout", "-modulus"], input=pem, capture_output=True, check=True
    ).stdout
    assert debian_fingerprint(key.public_numbers().n) == hashlib.sha1(line).hexdigest()[20:]
