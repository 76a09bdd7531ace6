"""Moduli good and bad, made by the arithmetic that makes them so."""

from __future__ import annotations

import math

from ca_server.core.signatures import KeyType
from tests.fakes.paper_authority import make_key

PRIMES = [n for n in range(2, 168) if all(n % d for d in range(2, math.isqrt(n) + 1))]


def good_modulus() -> int:
    return make_key(KeyType.RSA_2048).public_key().public_numbers().n


def roca_modulus() -> int:
    """The product of two numbers made as the faulty library made its primes."""
    primorial = math.prod(PRIMES)
    halves = [
        (1 << 700 + extra) // primorial * primorial + pow(65537, exponent, primorial)
        for extra, exponent in ((3, 12345), (5, 987654))
    ]
    return halves[0] * halves[1]
