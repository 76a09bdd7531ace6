"""THE place where a ceremony's key signs: exactly the bytes that were linted and approved."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from ca_server.core.errors import Kind, refuse
from ca_server.core.signatures import spki_sha256
from ceremony.approvals import approved_so_far
from ceremony.documents import document_path
from ceremony.fields import Slug
from ceremony.state import digests
from ceremony.steps.scripted import scripted
from ceremony.steps.verb import Category, Done, Effect, Name, Verb

if TYPE_CHECKING:
    from ceremony.room import Room
    from ceremony.script import Script


class Sign(Verb):
    """Have a token sign a document that a gate has approved."""

    effect = Effect.ONCE
    do: Literal["document.sign"]
    subject: Slug

    def reads(self) -> Iterator[Name]:
        """The document."""
        yield Name(Category.DOCUMENT, self.subject, "subject")

    def makes(self) -> Iterator[Name]:
        """The signed product."""
        yield Name(Category.CERTIFICATE, self.subject, "subject")

    def describe(self, script: Script) -> str:
        """What will happen."""
        del script
        return f"sign '{self.subject}'"

    def intent(self, room: Room) -> Mapping[str, Any]:
        """The very bytes, by digest, and the key.

        Raises:
            CaError: conflict, `CEREMONY-TBS-CHANGED`, no gate approved these bytes, or
                `CEREMONY-TBS-SCRIPT`, they are not what the script asks for.
        """
        path = document_path(self.subject)
        digest = hashlib.sha256(room.folder.read(path)).hexdigest()
        if digest != digests(room.lines).get(path) or digest not in approved_so_far(room):
            detail = f"no gate approved the bytes of '{self.subject}' as they are now"
            raise refuse(Kind.CONFLICT, "CEREMONY-TBS-CHANGED", detail)
        return {
            "document": self.subject,
            "tbs_sha256": digest,
            "key": scripted(room, self.subject).document.key,
        }

    def perform(self, room: Room) -> Done:
        """Sign, or take the signature that an interrupted try wrote down; then assemble the product.

        Raises:
            CaError: the token could not sign, or the bytes are not those that were approved.
            SignatureUnknown: the token may have signed; only these bytes are ever tried again.
        """
        path = document_path(self.subject)
        tbs = room.folder.read(path)
        if hashlib.sha256(tbs).hexdigest() != self.intent(room)["tbs_sha256"]:
            raise refuse(Kind.CONFLICT, "CEREMONY-TBS-CHANGED", f"{path} was changed after it was approved")
        document = scripted(room, self.subject).document
        if not room.effects(self.id):
            signer = room.signer(document.key)
            room.effect(
                {
                    "key_spki_sha256": spki_sha256(signer.public_key),
                    "mechanism": document.algorithm,
                    "input": path,
                    "input_sha256": hashlib.sha256(tbs).hexdigest(),
                    "output": signer.sign(tbs, document.algorithm).hex(),
                    "released": True,
                }
            )
        signature = bytes.fromhex(room.effects(self.id)[-1]["output"])
        digest = room.write(document.product, document.assemble(tbs, signature))
        return Done(f"{document.product} SHA-256 {digest}", {"product": document.product, "sha256": digest})
