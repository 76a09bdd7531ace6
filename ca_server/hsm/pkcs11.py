"""Keys in a real token: the port over PKCS#11."""

from __future__ import annotations

from functools import partial

from cryptography.exceptions import InvalidSignature

from ca_server.core.signatures import KeyType, PublicKey, SignatureAlgorithm, verify_signature
from ca_server.hsm import mechanisms, objects
from ca_server.hsm.connection import Connection
from ca_server.hsm.faults import Fault, KeyAbsent, SessionLost, TokenRefused
from ca_server.hsm.library import close_module
from ca_server.hsm.port import HsmRefused, HsmUnavailable, KeyRecord, KeyStore, TokenRecord
from ca_server.hsm.settings import TokenSettings
from ca_server.hsm.uri import KeyUri

__all__ = ["TokenKeyStore", "close_module", "open_token"]


def open_token(settings: TokenSettings) -> KeyStore:
    """Open a token and log in; what comes back belongs to this thread of this process.

    A token may be opened more than once in a process, always with the same PIN.

    Raises:
        HsmRefused: the module cannot be loaded, the PIN is wrong, or the label names several tokens.
        HsmUnavailable: the token is not there; the words list those that are.
        CaError: HSM-PIN, the PIN cannot be read.
        RuntimeError: another thread, or this process before a fork, has opened the module.
    """
    return TokenKeyStore(Connection(settings))


class TokenKeyStore:
    """The `KeyStore` of one token; the port says what each method does."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def token(self) -> TokenRecord:
        """What the token says of itself."""
        return self._connection.run(objects.describe)

    def inventory(self) -> tuple[KeyRecord, ...]:
        """Every private key, ordered by label and id."""
        records = self._connection.run(objects.private_keys)
        if records:
            return records
        self._connection.renew()
        return self._connection.run(objects.private_keys)

    def generate(self, key_type: KeyType, *, label: str, key_id: bytes) -> KeyRecord:
        """Make a key pair that signs and never leaves."""
        return self._make(key_type, label, key_id, wrappable=False)

    def _make(self, key_type: KeyType, label: str, key_id: bytes, *, wrappable: bool) -> KeyRecord:
        # A key that no URI can name is never made.
        KeyUri(self._connection.label, label, key_id)
        plan = mechanisms.generation(key_type)
        if plan.mechanism not in self.token().mechanisms:
            raise HsmRefused(
                f"the token {self._connection.label} cannot make {key_type}: no {plan.mechanism}"
            )
        self._connection.renew()
        self._connection.run(partial(objects.demand_free, label=label, key_id=key_id))
        try:
            # Once only: a second try could leave two keys.
            return objects.generate(self._connection.session(), plan, label, key_id, wrappable=wrappable)
        except TokenRefused as error:
            raise HsmRefused(f"the token refused to make {key_type} ({error})") from error
        except Fault as error:
            self._connection.lose(error)
            raise HsmUnavailable(
                f"it is open whether {label} was made ({error}); look at the inventory before trying again"
            ) from error

    def signer(self, *, label: str | None = None, key_id: bytes | None = None) -> _TokenSigner:
        """The one key with this label, id or both."""
        if label is None and key_id is None:
            raise ValueError("a key is found by its label, its id or both")
        record = self._connection.run(
            lambda session: objects.record_of(session, objects.find(session, label, key_id))
        )
        return _TokenSigner(self._connection, record)

    def destroy(self, *, label: str, key_id: bytes) -> None:
        """Remove one key pair for ever."""
        self._connection.run(partial(objects.destroy, label=label, key_id=key_id))

    def random(self, count: int) -> bytes:
        """`count` bytes from the token's generator."""
        if count < 1:
            raise ValueError("at least one byte")
        return self._connection.run(partial(objects.random, count=count))

    def close(self) -> None:
        """Log out and let the token go."""
        self._connection.close()


class _TokenSigner:
    """One private key of a token; it works again by itself after the token was away."""

    def __init__(self, connection: Connection, record: KeyRecord) -> None:
        if record.public_key is None or record.key_type is None:
            raise HsmRefused(
                f"the key {record.label} has no public half on the token, or one of a type not in use"
            )
        self._connection = connection
        self._record = record
        self._public_key = record.public_key
        self._key_type = record.key_type
        self._session: objects.Session | None = None
        self._key: objects.PrivateKey = None

    @property
    def public_key(self) -> PublicKey:
        return self._public_key

    @property
    def key_type(self) -> KeyType:
        return self._key_type

    def sign(self, data: bytes, algorithm: SignatureAlgorithm) -> bytes:
        plan = mechanisms.signing(self._key_type, algorithm)
        message = plan.message(data)
        answer = self._connection.run(
            lambda session: objects.sign(self._key_in(session), plan, message), signs=True
        )
        signature = plan.signature(answer)
        try:
            verify_signature(self._public_key, signature, data, algorithm)
        except InvalidSignature as error:
            raise HsmRefused(f"the key {self._record.label} gave a signature that is not its own") from error
        return signature

    def _key_in(self, session: objects.Session) -> objects.PrivateKey:
        """The key's handle, looked up once a session: a lookup costs as much as several signatures."""
        if self._session is not session:
            try:
                self._key = objects.find(session, self._record.label, self._record.key_id)
            except KeyAbsent:
                raise
            except Fault as error:
                # Whatever fails in a search, nothing has been signed.
                raise SessionLost(str(error)) from error
            self._session = session
        return self._key
