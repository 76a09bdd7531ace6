"""Which public keys are certified at all: known types, sound numbers, no key that others may hold."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from cryptography.hazmat.primitives.asymmetric import rsa

from ca_server.core import weak_keys
from ca_server.core.errors import Kind, Violation, refuse
from ca_server.core.signatures import KeyType, PublicKey, key_type_of
from ca_server.core.site import KeyFloor

# An exponent is raised to this many bits when a CSR's signature is verified, so it is bounded before that.
MAX_EXPONENT_BITS = 256


@dataclass(frozen=True, slots=True)
class KeyFacts:
    """What is known of one key from outside: the compromise list, our own authorities, Debian's list."""

    compromised: bool
    own_key: bool
    debian_weak_keys: Collection[str]


def require_known(public_key: object) -> tuple[PublicKey, KeyType]:
    """The key and the name of its type, before any arithmetic is done with it.

    Raises:
        CaError: bad_public_key; `KEY-RSA-SIZE`, `KEY-RSA-EXPONENT` or `KEY-TYPE`.
    """
    key_type = key_type_of(public_key)
    if key_type is None and isinstance(public_key, rsa.RSAPublicKey):
        raise refuse(
            Kind.BAD_PUBLIC_KEY,
            "KEY-RSA-SIZE",
            f"an RSA key of {public_key.key_size} bits is refused; 2048, 3072 or 4096 are accepted",
        )
    if key_type is None:
        raise refuse(Kind.BAD_PUBLIC_KEY, "KEY-TYPE", f"accepted key types are {', '.join(KeyType)}")
    exponent = public_key.public_numbers().e if isinstance(public_key, rsa.RSAPublicKey) else 0
    if exponent.bit_length() > MAX_EXPONENT_BITS:
        raise refuse(
            Kind.BAD_PUBLIC_KEY,
            "KEY-RSA-EXPONENT",
            f"an RSA exponent of more than {MAX_EXPONENT_BITS} bits is refused",
        )
    # key_type_of knows exactly the classes of PublicKey.
    known: PublicKey = public_key  # type: ignore[assignment]
    return known, key_type


def key_violations(public_key: PublicKey, facts: KeyFacts, floor: KeyFloor) -> Iterator[Violation]:
    """Every rule of the floor that a key of a known type breaks."""
    key_type = key_type_of(public_key)
    if key_type not in floor.allowed:
        yield Violation("KEY-FLOOR", f"this server accepts keys of {', '.join(floor.allowed)}", "/csr")
    if facts.compromised:
        yield Violation("KEY-COMPROMISED", "this key is on the compromise list; make a new one", "/csr")
    if facts.own_key:
        yield Violation("KEY-OWN", "this is the key of one of our own authorities; make one", "/csr")
    if isinstance(public_key, rsa.RSAPublicKey):
        numbers = public_key.public_numbers()
        yield from rsa_violations(numbers.n, numbers.e, facts.debian_weak_keys, floor)


def rsa_violations(
    modulus: int, exponent: int, debian_weak_keys: Collection[str], floor: KeyFloor
) -> Iterator[Violation]:
    """Every rule that an RSA key's two numbers break (SP 800-89 §5.3.3, SP 800-56B §6.4.1)."""
    if not floor.rsa_min_exponent <= exponent < 1 << MAX_EXPONENT_BITS or exponent % 2 == 0:
        yield Violation(
            "KEY-RSA-EXPONENT", f"an odd exponent of {floor.rsa_min_exponent} or more is accepted", "/csr"
        )
    if weak_keys.has_small_factor(modulus):
        yield Violation("KEY-RSA-MODULUS", "the modulus has a small prime factor; make a new key", "/csr")
    if weak_keys.is_roca(modulus):
        yield Violation("KEY-ROCA", "the key has the fingerprint of CVE-2017-15361; make a new one", "/csr")
    if weak_keys.has_close_primes(modulus, floor.fermat_rounds):
        yield Violation("KEY-CLOSE-PRIMES", "the primes are so close that the key is broken", "/csr")
    if debian_weak_keys and weak_keys.debian_fingerprint(modulus) in debian_weak_keys:
        yield Violation("KEY-DEBIAN", "the key is one of Debian's known ones (CVE-2008-0166)", "/csr")
