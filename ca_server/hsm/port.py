"""What the rest of Sealkeeper asks of an HSM, and the errors it may answer with.

Two implementations keep this contract and pass the same tests: `pkcs11` (real tokens) and `software`
(in memory, for tests). Whoever holds a `KeyStore` uses it from one thread of one process only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from ca_server.core.errors import CaError, Kind
from ca_server.core.signatures import KeyType, PublicKey, SignatureAlgorithm


class HsmUnavailable(CaError):
    """The token cannot be used now and nothing was signed; trying again later is safe."""

    def __init__(self, detail: str, retry_after: int = 5) -> None:
        super().__init__(Kind.UNAVAILABLE, detail, retry_after=retry_after)


class HsmRefused(CaError):
    """The token said no (wrong PIN, no such key, mechanism missing); trying again changes nothing."""

    def __init__(self, detail: str) -> None:
        super().__init__(Kind.INTERNAL, detail)


class SignatureUnknown(Exception):
    """The token may or may not have signed. Fatal to the process: recovery decides, never a retry."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A key as the token describes it; attributes are those read back, never those asked for."""

    label: str
    key_id: bytes
    key_type: KeyType | None
    public_key: PublicKey | None
    private: bool
    sensitive: bool
    always_sensitive: bool
    extractable: bool
    never_extractable: bool
    local: bool
    wrap_with_trusted: bool = False


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """A token as it describes itself; `mechanisms` are PKCS#11 names without `CKM_`.

    `flags` are those of CK_TOKEN_INFO that are set, as `login-required`, `user-pin-initialized`.
    """

    label: str
    serial: str
    manufacturer: str
    model: str
    firmware: str
    mechanisms: frozenset[str]
    flags: frozenset[str] = frozenset()


class Signer(Protocol):
    """One private key in a token."""

    @property
    def public_key(self) -> PublicKey:
        """The public half, read from the token when the key was found."""

    @property
    def key_type(self) -> KeyType:
        """The key's type."""

    def sign(self, data: bytes, algorithm: SignatureAlgorithm) -> bytes:
        """Sign a whole message and return the signature as X.509 wants it (ECDSA: DER; RFC 3279 §2.2.3).

        The signature has been verified in software before it is returned. A lost session or token is
        reopened here, with backoff; a message is signed again only where no signature can exist.

        Raises:
            HsmUnavailable: the token is away; nothing was signed.
            HsmRefused: the token will not sign this, now or later.
            SignatureUnknown: the token may have signed; the process must end.
        """


class KeyStore(Protocol):
    """One token, opened and logged in by one thread of one process."""

    def token(self) -> TokenRecord:
        """What the token says of itself."""

    def inventory(self) -> tuple[KeyRecord, ...]:
        """Every private key on the token, ordered by label and id."""

    def generate(self, key_type: KeyType, *, label: str, key_id: bytes) -> KeyRecord:
        """Make a key pair that can sign and never leave; read its attributes back and refuse weaker ones.

        Raises:
            HsmRefused: label or id is taken, the mechanism is missing, or an attribute came back weaker.
            HsmUnavailable: the token is away.
        """

    def signer(self, *, label: str | None = None, key_id: bytes | None = None) -> Signer:
        """The one key with this label, id or both; at least one is given.

        Raises:
            HsmRefused: there is no such key, or more than one.
            HsmUnavailable: the token is away.
        """

    def destroy(self, *, label: str, key_id: bytes) -> None:
        """Remove one key pair for ever."""

    def random(self, count: int) -> bytes:
        """`count` bytes from the token's generator."""

    def close(self) -> None:
        """Log out and let the token go."""
