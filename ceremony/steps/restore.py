"""A backup brought back into a device, for good or for a test."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ca_server.core.errors import Kind, refuse
from ceremony.backups import BackupRecord, parse_backup, purge, require_vacant, require_wrapping_key, restore
from ceremony.custody import ask_secret, before_effect, uncertain
from ceremony.fields import Slug
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


class RestoreKey(Verb):
    """Unwrap a key from its backup and its custodians' shares; one that is not kept is purged at once."""

    effect = Effect.ONCE
    do: Literal["key.restore"]
    key: Slug
    backup: Slug
    blob: Slug
    shares: Slug
    keep: bool = False

    def reads(self) -> Iterator[Name]:
        """The record, the blob and the set of shares."""
        yield Name(Category.INPUT, self.backup, "backup")
        yield Name(Category.INPUT, self.blob, "blob")
        yield Name(Category.SHARES, self.shares, "shares")

    def makes(self) -> Iterator[Name]:
        """The key, where it stays."""
        if self.keep:
            yield Name(Category.KEY, self.key, "key")

    def describe(self, script: Script) -> str:
        """What will happen."""
        key = script.keys[self.key]
        end = "it stays" if self.keep else "it is purged at once"
        return f"restore '{key.label}' into {key.hsm} from shares '{self.shares}'; {end}"

    def intent(self, room: Room) -> Mapping[str, Any]:
        """Which key goes where.

        Raises:
            CaError: malformed, `CEREMONY-BACKUP`: record and blob are not of this key.
        """
        record = self._record(room)
        wanted = room.script.keys[self.key]
        if (record.label, record.type) != (wanted.label, wanted.type):
            detail = f"the backup is of the {record.type} key '{record.label}', and not of '{wanted.label}'"
            raise refuse(Kind.MALFORMED, "CEREMONY-BACKUP", detail)
        return {"hsm": wanted.hsm, "label": record.label, "id": record.id, "keep": self.keep}

    def perform(self, room: Room) -> Done:
        """Join, unwrap, sign a challenge, and purge what is not to stay.

        Raises:
            Stopped: F0, `CEREMONY-LABEL-USED`, the device has such a key; F0 or F3 of shares that are wrong;
                else as the device says.
        """
        record = self._record(room)
        hsm = room.script.keys[self.key].hsm
        with before_effect():
            require_vacant(room, hsm, record)
            value = ask_secret(room, self.shares)
            require_wrapping_key(record, value)
        with uncertain():
            restore(room, hsm, record, room.read(f"inputs/{self.blob}"), value)
        if not self.keep:
            purge(room, hsm, record)
        words = f"'{record.label}' signed a challenge in {hsm}" + ("" if self.keep else ", and was purged")
        return Done(words, {"hsm": hsm, "kept": self.keep})

    def _record(self, room: Room) -> BackupRecord:
        name = f"inputs/{self.backup}"
        return parse_backup(room.read(name), name, room.read(f"inputs/{self.blob}"))
