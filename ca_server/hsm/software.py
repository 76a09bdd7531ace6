"""The port in memory, for tests, rehearsals and demos: the same contract, and no protection at all.

Its keys live in this process and die with it. No configuration names it: whoever builds one says in the
call that unprotected keys are meant.
"""

from __future__ import annotations

import os
import secrets
import threading
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, mldsa, padding, rsa

from ca_server.core.signatures import (
    KeyType,
    PublicKey,
    SignatureAlgorithm,
    verify_signature,
)
from ca_server.hsm import mechanisms
from ca_server.hsm.port import HsmRefused, KeyRecord, TokenRecord
from ca_server.hsm.uri import KeyUri

_CURVES = {KeyType.EC_P256: ec.SECP256R1(), KeyType.EC_P384: ec.SECP384R1(), KeyType.EC_P521: ec.SECP521R1()}
_ML_DSA: dict[KeyType, Any] = {
    KeyType.ML_DSA_44: mldsa.MLDSA44PrivateKey,
    KeyType.ML_DSA_65: mldsa.MLDSA65PrivateKey,
    KeyType.ML_DSA_87: mldsa.MLDSA87PrivateKey,
}


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a token in memory: what is said of it, and the private key itself."""

    record: KeyRecord
    private: Any


class SoftwareKeyStore:
    """A `KeyStore` whose keys are ordinary objects of this process."""

    def __init__(self, label: str, *, unprotected_keys: bool = False) -> None:
        """Build an empty token.

        Raises:
            RuntimeError: `unprotected_keys` is not set; nobody gets keys in memory without asking for them.
        """
        if not unprotected_keys:
            raise RuntimeError("keys in memory are for tests and rehearsals: say unprotected_keys=True")
        self._label = label
        self._owner = (os.getpid(), threading.get_ident())
        self._keys: list[Key] = []
        self._closed = False

    def token(self) -> TokenRecord:
        """What a token would say of itself."""
        self.check_caller()
        names = {mechanisms.generation(key_type).mechanism for key_type in KeyType}
        for key_type in KeyType:
            for algorithm in SignatureAlgorithm:
                try:
                    names.add(mechanisms.signing(key_type, algorithm).mechanism)
                except HsmRefused:
                    continue
        return TokenRecord(self._label, "0", "Sealkeeper", "software", "0.0", frozenset(names))

    def inventory(self) -> tuple[KeyRecord, ...]:
        """Every private key, ordered by label and id."""
        self.check_caller()
        records = [key.record for key in self._keys]
        return tuple(sorted(records, key=lambda record: (record.label, record.key_id)))

    def generate(self, key_type: KeyType, *, label: str, key_id: bytes) -> KeyRecord:
        """Make a key pair; its record claims what a token's would, so that callers' checks see the same."""
        self.check_caller()
        self.demand_free(label, key_id)
        private = make_key(key_type)
        record = KeyRecord(
            label=label,
            key_id=key_id,
            key_type=key_type,
            public_key=private.public_key(),
            private=True,
            sensitive=True,
            always_sensitive=True,
            extractable=False,
            never_extractable=True,
            local=True,
        )
        self._keys.append(Key(record, private))
        return record

    def demand_free(self, label: str, key_id: bytes) -> None:
        """Refuse a label or id that a key has, or that no URI can name.

        Raises:
            HsmRefused: one of them is taken.
            CaError: malformed, HSM-URI.
        """
        KeyUri(self._label, label, key_id)
        if any(label == key.record.label or key_id == key.record.key_id for key in self._keys):
            raise HsmRefused(f"the label {label} or the id {key_id.hex()} is taken")

    def signer(self, *, label: str | None = None, key_id: bytes | None = None) -> _SoftwareSigner:
        """The one key with this label, id or both."""
        self.check_caller()
        if label is None and key_id is None:
            raise ValueError("a key is found by its label, its id or both")
        return _SoftwareSigner(self, self.find(label, key_id).record)

    def destroy(self, *, label: str, key_id: bytes) -> None:
        """Remove one key pair for ever."""
        self.check_caller()
        self._keys.remove(self.find(label, key_id))

    def random(self, count: int) -> bytes:
        """`count` bytes from the operating system's generator."""
        self.check_caller()
        if count < 1:
            raise ValueError("at least one byte")
        return secrets.token_bytes(count)

    def close(self) -> None:
        """Forget every key."""
        if not self._closed:
            self.check_caller()
        self._keys.clear()
        self._closed = True

    def find(self, label: str | None, key_id: bytes | None) -> Key:
        """The one key with this label, id or both, as the signers ask for it.

        Raises:
            HsmRefused: there is no such key, or more than one.
        """
        found = [
            key
            for key in self._keys
            if label in {None, key.record.label} and key_id in {None, key.record.key_id}
        ]
        if len(found) != 1:
            raise HsmRefused(f"the token {self._label} has {len(found) or 'no'} such keys")
        return found[0]

    def check_caller(self) -> None:
        """Refuse what a real token's store refuses: other threads, forks, use after `close`."""
        if self._owner != (os.getpid(), threading.get_ident()):
            raise RuntimeError("a key store belongs to the thread of the process that opened it")
        if self._closed:
            raise RuntimeError(f"the token {self._label} was closed")


class _SoftwareSigner:
    """One key, looked up at each signature as a token's is: a destroyed key signs no more."""

    def __init__(self, store: SoftwareKeyStore, record: KeyRecord) -> None:
        assert record.public_key is not None
        assert record.key_type is not None
        self._store = store
        self._label, self._key_id = record.label, record.key_id
        self._public_key, self._key_type = record.public_key, record.key_type

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    @property
    def key_type(self) -> KeyType:
        return self._key_type

    def sign(self, data: bytes, algorithm: SignatureAlgorithm) -> bytes:
        self._store.check_caller()
        mechanisms.signing(self._key_type, algorithm)
        signature = _sign(self._store.find(self._label, self._key_id).private, data, algorithm)
        verify_signature(self._public_key, signature, data, algorithm)
        return signature


def make_key(key_type: KeyType) -> Any:
    """A new private key, in this process's memory."""
    if key_type in _CURVES:
        return ec.generate_private_key(_CURVES[key_type])
    if key_type in _ML_DSA:
        return _ML_DSA[key_type].generate()
    if key_type is KeyType.ED25519:
        return ed25519.Ed25519PrivateKey.generate()
    return rsa.generate_private_key(65537, int(key_type.removeprefix("rsa-")))


def _sign(private: Any, data: bytes, algorithm: SignatureAlgorithm) -> bytes:
    digest = algorithm.hash
    if digest is None:
        return bytes(private.sign(data))
    if algorithm.startswith("ecdsa-"):
        return bytes(private.sign(data, ec.ECDSA(digest)))
    pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
    return bytes(private.sign(data, pss if algorithm.is_pss else padding.PKCS1v15(), digest))
