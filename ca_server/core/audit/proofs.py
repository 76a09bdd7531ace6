"""One event's proof as a file (C2SP tlog-proof): index, path, checkpoint, and the event itself.

The event travels as the format's extra data. That part is not authenticated by itself; it is because its
hash is the leaf that the path proves.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ca_server.core.audit.base64_text import decode_base64, encode_base64
from ca_server.core.audit.checkpoint import Checkpoint, open_checkpoint, parse_decimal
from ca_server.core.audit.merkle import HASH_SIZE, verify_inclusion
from ca_server.core.audit.note import MAX_NOTE_BYTES, VerifierKey
from ca_server.core.audit.record import leaf_hash, parse_event
from ca_server.core.audit.tiles import MAX_ENTRY_BYTES
from ca_server.core.errors import CaError, Kind, refuse

MAX_PATH_HASHES = 64
MAX_PROOF_BYTES = MAX_NOTE_BYTES + 2 * MAX_ENTRY_BYTES + 64 * MAX_PATH_HASHES

_HEADER = "c2sp.org/tlog-proof@v1"


@dataclass(frozen=True, slots=True)
class EventProof:
    """An event, where it stands, the hashes from its sibling up, and the signed checkpoint as it came."""

    event: bytes
    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes

    def encode(self) -> bytes:
        """The file, whose name should end in `.tlog-proof`."""
        lines = [
            _HEADER,
            f"extra {encode_base64(self.event)}",
            f"index {self.index}",
            *map(encode_base64, self.path),
            "",
            "",
        ]
        return "\n".join(lines).encode() + self.checkpoint

    def verify(self, keys: Sequence[VerifierKey]) -> Checkpoint:
        """Check that the log with one of these keys holds this event; return the checkpoint that says so.

        Raises:
            CaError: as `open_checkpoint`, or AUDIT-INCLUSION.
        """
        checkpoint = open_checkpoint(self.checkpoint, keys)
        verify_inclusion(self.index, checkpoint.size, leaf_hash(self.event), self.path, checkpoint.root)
        return checkpoint


def parse_proof(data: bytes) -> EventProof:
    """Read a proof file that carries its event.

    Raises:
        CaError: malformed, AUDIT-PROOF.
    """
    if len(data) > MAX_PROOF_BYTES:
        raise _malformed(f"a proof may have {MAX_PROOF_BYTES} bytes")
    head, separator, checkpoint = data.partition(b"\n\n")
    try:
        lines = head.decode("ascii").split("\n")
    except UnicodeDecodeError:
        raise _malformed("the lines before the checkpoint are ASCII") from None
    if not separator or lines[0] != _HEADER or len(lines) < 3:
        raise _malformed(f"a proof is {_HEADER}, extra, index, hashes, an empty line, a checkpoint")
    event = decode_base64(lines[1].removeprefix("extra ")) if lines[1].startswith("extra ") else None
    index = parse_decimal(lines[2].removeprefix("index ")) if lines[2].startswith("index ") else None
    if event is None or index is None:
        raise _malformed("the second line of a proof is its event, the third its index")
    return EventProof(event, index, tuple(map(_hash, lines[3:])), checkpoint)


def verify_issuance(proof: EventProof, certificate_id: str, keys: Sequence[VerifierKey]) -> Checkpoint:
    """Check that a proof is of the `issue.done` event of one certificate.

    Raises:
        CaError: as `EventProof.verify`, or AUDIT-PROOF: the event is about something else.
    """
    checkpoint = proof.verify(keys)
    event = parse_event(proof.event)
    if event["kind"] != "issue.done" or event["data"].get("cert_sha256") != certificate_id:
        raise _malformed("the proven event is not the issuance of this certificate")
    return checkpoint


def _hash(line: str) -> bytes:
    value = decode_base64(line)
    if value is None or len(value) != HASH_SIZE:
        raise _malformed("a line of the path is no SHA-256 hash")
    return value


def _malformed(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "AUDIT-PROOF", detail)
