"""A real token for a ceremony: what the server's store can, and inventory and backups besides."""

from __future__ import annotations

from functools import partial

from ca_server.core.signatures import KeyType, PublicKey
from ca_server.hsm import ceremony_objects, mechanisms, objects
from ca_server.hsm.ceremony_port import CeremonyStore, ObjectRecord
from ca_server.hsm.connection import Connection
from ca_server.hsm.faults import Fault, TokenRefused
from ca_server.hsm.pkcs11 import TokenKeyStore
from ca_server.hsm.port import HsmRefused, HsmUnavailable, KeyRecord
from ca_server.hsm.settings import TokenSettings
from ca_server.hsm.uri import KeyUri


def open_for_ceremony(settings: TokenSettings) -> CeremonyStore:
    """Open a token and log its user in, with all that a ceremony may do.

    Raises:
        What `pkcs11.open_token` raises.
    """
    return _CeremonyKeyStore(Connection(settings))


class _CeremonyKeyStore(TokenKeyStore):
    """The `CeremonyStore` of one token; the port says what each method does."""

    def objects(self) -> tuple[ObjectRecord, ...]:
        # Of a session whose token was away a search finds nothing: only a fresh one is believed.
        self._connection.renew()
        return self._connection.run(ceremony_objects.everything)

    def generate_wrappable(self, key_type: KeyType, *, label: str, key_id: bytes) -> KeyRecord:
        mechanisms.demand_wrappable(key_type)
        return self._make(key_type, label, key_id, wrappable=True)

    def wrap(self, *, label: str, key_id: bytes, wrapping_key: str) -> bytes:
        return self._connection.run(
            partial(ceremony_objects.wrap, label=label, key_id=key_id, wrapping_key=wrapping_key)
        )

    def unwrap(
        self, blob: bytes, public_key: PublicKey, *, label: str, key_id: bytes, wrapping_key: str
    ) -> KeyRecord:
        KeyUri(self._connection.label, label, key_id)
        free = partial(objects.demand_free, label=label, key_id=key_id)
        self._connection.renew()
        self._connection.run(free)
        try:
            # Once only: a second try could leave two keys.
            return ceremony_objects.unwrap(
                self._connection.session(), blob, public_key, (label, key_id), wrapping_key
            )
        except TokenRefused as error:
            raise HsmRefused(f"the token refused to unwrap {label} ({error})") from error
        except Fault as error:
            self._connection.lose(error)
            fault = error
        try:
            # SoftHSM 2.6.1 calls a blob that is not one a general error: whether it did anything shows here.
            self._connection.run(free)
        except HsmRefused as error:
            raise HsmUnavailable(
                f"it is open whether {label} was restored ({fault}); look at the inventory"
            ) from error
        raise HsmRefused(f"the token could not unwrap {label}, and made nothing ({fault})") from fault

    def untrusted_wrapping_refusal(self, *, label: str, key_id: bytes) -> str:
        return self._connection.run(partial(ceremony_objects.wrap_untrusted, label=label, key_id=key_id))

    def destroy_wrapping_key(self, *, label: str) -> None:
        self._connection.run(partial(ceremony_objects.destroy_wrapping_key, label=label))
