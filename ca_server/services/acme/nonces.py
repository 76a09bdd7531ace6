"""Nonces (RFC 8555 §6.5): given out without being remembered, accepted once, by any process of any node.

A nonce is its time, 11 random bytes and a MAC over both. Only what comes back in a request whose signature
is good is remembered, for as long as it would be accepted; so no stranger makes us remember anything.
"""

from __future__ import annotations

import hmac
import secrets

from ca_server.core.base64url import decode_base64url, encode_base64url
from ca_server.core.clock import Clock, to_epoch
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.store.nonces import NonceStore

LIFETIME = 3_600
# How far the clocks of two nodes may be apart.
TOLERANCE = 300

_TIME_BYTES, _RANDOM_BYTES, _MAC_BYTES = 5, 11, 16
_VALUE_BYTES = _TIME_BYTES + _RANDOM_BYTES


class Nonces:
    """One a process; safe to use from several threads."""

    def __init__(self, clock: Clock, store: NonceStore) -> None:
        self._clock = clock
        self._store = store
        self._key: bytes | None = None

    def issue(self) -> str:
        """A new nonce.

        Raises:
            CaError: unavailable, the key was never read and cannot be.
        """
        value = _time_prefix(to_epoch(self._clock.now())) + secrets.token_bytes(_RANDOM_BYTES)
        return encode_base64url(value + _mac(self._key or self._read_key(), value))

    def redeem(self, nonce: str) -> None:
        """Use a nonce up.

        Raises:
            CaError: bad_nonce, `ACME-NONCE`: not ours, too old or used before; unavailable.
        """
        data = decode_base64url(nonce) or b""
        value, mac = data[:_VALUE_BYTES], data[_VALUE_BYTES:]
        key = self._key or self._read_key()
        if not hmac.compare_digest(mac, _mac(key, value)):
            # Made by another process, with a key that is newer than the one known here?
            key = self._read_key()
        if not hmac.compare_digest(mac, _mac(key, value)) or not self._is_fresh(value):
            raise _bad_nonce()
        if not self._store.redeem(key, value):
            self._read_key()
            raise _bad_nonce()

    def _is_fresh(self, value: bytes) -> bool:
        age = to_epoch(self._clock.now()) - int.from_bytes(value[:_TIME_BYTES], "big")
        return -TOLERANCE <= age <= LIFETIME

    def _read_key(self) -> bytes:
        self._key = self._store.key(secrets.token_bytes(32))
        return self._key


def forget_old_nonces(clock: Clock, store: NonceStore) -> int:
    """Forget the nonces that no node would accept any more; returns how many there were.

    Raises:
        CaError: unavailable.
    """
    oldest = to_epoch(clock.now()) - LIFETIME - 2 * TOLERANCE
    return store.forget_before(_time_prefix(oldest))


def _time_prefix(epoch: int) -> bytes:
    return epoch.to_bytes(_TIME_BYTES, "big")


def _mac(key: bytes, value: bytes) -> bytes:
    return hmac.digest(key, b"acme-nonce" + value, "sha256")[:_MAC_BYTES]


def _bad_nonce() -> CaError:
    return refuse(
        Kind.BAD_NONCE, "ACME-NONCE", "the nonce is not ours, too old or used before; take the new one"
    )
