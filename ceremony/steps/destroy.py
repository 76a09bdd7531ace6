"""The end of a device's keys: an order that lists them, and their destruction once it is approved."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ca_server.core.errors import Kind, refuse
from ceremony.approvals import approved_so_far
from ceremony.custody import before_effect, uncertain
from ceremony.display import counted
from ceremony.fields import Slug
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


class OrderDestruction(Verb):
    """List all that is in a device as a paper, which a gate then approves for destruction."""

    effect = Effect.IDEMPOTENT
    do: Literal["destruction.order"]
    hsm: Slug

    def reads(self) -> Iterator[Name]:
        """The device."""
        yield Name(Category.HSM, self.hsm, "hsm")

    def makes(self) -> Iterator[Name]:
        """The paper, named after the step."""
        yield Name(Category.FILE, self.id, "id")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"list what is to be destroyed in {self.hsm}"

    def perform(self, room: Room) -> Done:
        """List the device's keys with their public halves, and whatever else is in it."""
        token = room.token(self.hsm)
        objects = [
            {
                "class": each.object_class,
                "label": each.label,
                "id": each.key_id.hex(),
                "type": each.kind,
                "fingerprint": each.fingerprint,
            }
            for each in token.store.objects()
        ]
        record = token.record
        device = {name: getattr(record, name) for name in ("label", "serial", "manufacturer", "model")}
        room.write_json(_order_path(self.id), {"hsm": self.hsm, "device": device, "objects": objects})
        return Done(f"{len(objects)} objects are to be destroyed", {"order": _order_path(self.id)})


class DestroyKeys(Verb):
    """Destroy every key pair of an approved order; anything else in the device stops it."""

    effect = Effect.ONCE
    do: Literal["hsm.destroy-keys"]
    order: Slug

    def reads(self) -> Iterator[Name]:
        """The order."""
        yield Name(Category.FILE, self.order, "order")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"destroy every key of '{self.order}'"

    def intent(self, room: Room) -> Mapping[str, Any]:
        """The order, by its digest.

        Raises:
            CaError: conflict, `CEREMONY-TBS-CHANGED`, no gate approved this order.
        """
        digest = hashlib.sha256(room.read(_order_path(self.order))).hexdigest()
        if digest not in approved_so_far(room):
            detail = f"no gate approved '{self.order}' as it is now"
            raise refuse(Kind.CONFLICT, "CEREMONY-TBS-CHANGED", detail)
        return {"order": self.order, "order_sha256": digest}

    def perform(self, room: Room) -> Done:
        """Destroy one after the other; after a crash those that are still there.

        Raises:
            Stopped: F3, `CEREMONY-INVENTORY`: the device has a key that the order does not list.
        """
        order = room.read_json(_order_path(self.order))
        listed = {(each["label"], each["id"]) for each in order["objects"]}
        store = room.token(order["hsm"]).store
        with before_effect():
            keys = store.inventory()
            for each in keys:
                if (each.label, each.key_id.hex()) not in listed:
                    detail = f"key '{each.label}' is not in the order, and nothing was destroyed"
                    raise refuse(Kind.CONFLICT, "CEREMONY-INVENTORY", detail)
        with uncertain():
            for each in keys:
                store.destroy(label=each.label, key_id=each.key_id)
                room.effect({"destroyed": {"label": each.label, "id": each.key_id.hex()}})
        left = [each.label for each in store.inventory()]
        if left:
            raise refuse(Kind.CONFLICT, "CEREMONY-INVENTORY", f"{', '.join(left)} is still in the device")
        destroyed = [each["destroyed"] for each in room.effects(self.id) if "destroyed" in each]
        room.write_json(f"evidence/{self.id}.json", destroyed)
        return Done(f"{counted(len(destroyed), 'key')} destroyed, none is left", {"destroyed": destroyed})


def _order_path(order: str) -> str:
    return f"papers/{order}.json"
