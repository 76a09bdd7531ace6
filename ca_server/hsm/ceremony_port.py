"""What a key ceremony asks of a token beyond what the server does: its whole inventory, backups by wrapping,
and what only the security officer may.

As with `port`, real tokens and the in-memory store keep this contract and pass the same tests. The server
never holds one of these: what `pkcs11.open_token` gives it can neither make a key that leaves nor wrap one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from ca_server.core.signatures import KeyType, PublicKey
from ca_server.hsm.port import KeyRecord, KeyStore, TokenRecord

WRAPPING_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class ObjectRecord:
    """One object of a token, of any class, as an inventory lists it.

    `object_class` is PKCS#11's, as `private-key`, `data`; `kind` is a key's type; `flags` are the boolean
    attributes that are true, by name and in order. `fingerprint` tells objects of one name apart without
    telling a secret: SHA-256 of the SubjectPublicKeyInfo for either half of a pair, of the value for a
    certificate or data object, and CKA_CHECK_VALUE for a secret key; in hex, empty where it is not known.
    """

    object_class: str
    label: str
    key_id: bytes
    kind: str
    fingerprint: str
    flags: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SlotRecord:
    """A token as it lies in its slot, initialised or not; lengths of a PIN in octets."""

    token: TokenRecord
    initialised: bool
    shortest_pin: int
    longest_pin: int


@dataclass(frozen=True, slots=True)
class TokenPins:
    """The two secrets of a token: its security officer's and its user's."""

    officer: str = field(repr=False)
    user: str = field(repr=False)


class CeremonyStore(KeyStore, Protocol):
    """A token that its user has opened for a ceremony."""

    def objects(self) -> tuple[ObjectRecord, ...]:
        """Every object that is kept on the token, ordered by class, label, id and fingerprint."""

    def generate_wrappable(self, key_type: KeyType, *, label: str, key_id: bytes) -> KeyRecord:
        """As `generate`, but the key may leave under a wrapping key that the security officer trusts.

        Raises:
            HsmRefused: also where the type is not backed up by wrapping: EC and RSA keys are.
        """

    def wrap(self, *, label: str, key_id: bytes, wrapping_key: str) -> bytes:
        """The private key as PKCS#8 under the wrapping key of this label, by AES-KWP (RFC 5649).

        Raises:
            HsmRefused: a key is not there, may not leave, or the wrapping key is not trusted.
            HsmUnavailable: the token is away.
        """

    def unwrap(
        self, blob: bytes, public_key: PublicKey, *, label: str, key_id: bytes, wrapping_key: str
    ) -> KeyRecord:
        """Put a wrapped key, and the public half that is known of it, on the token.

        It is protected as at its birth: sensitive, and it may leave under a trusted key alone. That it is
        the key of `public_key` shows in a signature, which the caller asks a `signer` for and records.

        Raises:
            HsmRefused: label or id is taken, the blob is not one of this wrapping key, or an attribute came
                back weaker; nothing is left on the token.
            HsmUnavailable: it is open whether the key is there; look at the inventory.
        """

    def untrusted_wrapping_refusal(self, *, label: str, key_id: bytes) -> str:
        """What the token says when it is asked to wrap this key under a key that nobody trusts.

        Raises:
            HsmRefused: it wrapped the key; what it returned is dropped.
        """

    def destroy_wrapping_key(self, *, label: str) -> None:
        """Remove a wrapping key for ever.

        Raises:
            HsmRefused: there is none, or more than one.
        """


class SecurityOfficer(Protocol):
    """A token that its security officer has logged in to; nobody else is logged in meanwhile."""

    def load_wrapping_key(self, value: bytes, *, label: str, key_id: bytes) -> ObjectRecord:
        """Make 32 octets a trusted AES key that wraps and unwraps and does nothing else.

        It is public, in the sense of PKCS#11, for its short life: a security officer sees no other objects.

        Raises:
            HsmRefused: the label is taken, an attribute came back weaker, or the token's check value is not
                that of `value`; nothing is left on the token.
            HsmUnavailable: it is open whether the key is there.
        """

    def set_user_pin(self, pin: str) -> None:
        """Give the user a PIN, whatever it was before.

        Raises:
            HsmRefused: the token does not take this one.
        """


def check_value(value: bytes) -> str:
    """The check value (KCV) of an AES key in hex: three octets, as CKA_CHECK_VALUE.

    They begin the encryption of one block of zeroes, and say no more of the key than whether it is the same.
    """
    encryptor = Cipher(algorithms.AES(value), modes.ECB()).encryptor()  # noqa: S305  one block, as defined
    return encryptor.update(bytes(16))[:3].hex()
