"""An audit event as a value: a closed catalogue, one canonical encoding, one leaf hash.

The leaf is RFC 8785 JSON and is stored and served exactly as it was hashed (RFC 6962 §2.1).
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import rfc8785

from ca_server.core.clock import to_text

MAX_LEAF_BYTES = 16 * 1024

# Kind -> keys that its data must have. Unknown kinds and missing keys are refused at write time.
CATALOGUE: dict[str, frozenset[str]] = {
    "access.refused": frozenset({"rule_ids", "action"}),
    "authority.imported": frozenset({"authority", "cert_sha256", "spki_sha256"}),
    "ceremony.imported": frozenset({"ceremony", "bundle_sha256"}),
    "crl.abandoned": frozenset({"authority", "crl_number"}),
    "crl.done": frozenset({"authority", "crl_number", "crl_sha256"}),
    "crl.intent": frozenset({"authority", "crl_number", "tbs_sha256"}),
    "grant.created": frozenset({"grant", "role", "spki_sha256"}),
    "grant.revoked": frozenset({"grant"}),
    "issue.abandoned": frozenset({"authority", "serial", "tbs_sha256", "reason"}),
    "issue.done": frozenset({"authority", "serial", "tbs_sha256", "cert_sha256"}),
    "issue.intent": frozenset({"authority", "serial", "tbs_sha256", "profile", "policy_sha256", "request"}),
    "issue.refused": frozenset({"request", "profile", "policy_sha256", "rule_ids"}),
    "key.compromised": frozenset({"spki_sha256"}),
    "lint.finding": frozenset({"cert_sha256", "finding"}),
    "log.epoch-open": frozenset({"origin", "vkey"}),
    "policy.loaded": frozenset({"profiles"}),
    "revoke.done": frozenset({"authority", "serial", "reason"}),
    "revoke.refused": frozenset({"authority", "serial", "rule_ids"}),
    "revoke.released": frozenset({"authority", "serial"}),
    "software.started": frozenset({"process", "version"}),
    "token.created": frozenset({"token", "role"}),
    "token.revoked": frozenset({"token"}),
}


@dataclass(frozen=True, slots=True)
class Actor:
    """Who did it: `id` is a principal's id or a process's name, `auth` how that was proven."""

    id: str
    auth: str
    role: str


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the audit log, sealed: `body` is what is hashed, stored and served."""

    event_id: str
    kind: str
    time: datetime
    body: bytes
    leaf_hash: bytes


def make_event(  # noqa: PLR0913 - these are the fields of a leaf
    *,
    event_id: str,
    kind: str,
    time: datetime,
    node: str,
    actor: Actor,
    data: dict[str, Any],
    ref: str | None = None,
    outcome: str = "success",
) -> Event:
    """Seal one event.

    Integers beyond 2^53-1, serial numbers, digests and times are strings. Never put a PIN, key, token
    or whole CSR in `data`.

    Raises:
        ValueError: the kind is not in the catalogue, a key is missing, or the leaf is too large: our bug.
    """
    missing = CATALOGUE[kind] - data.keys() if kind in CATALOGUE else {"a known kind"}
    if missing:
        raise ValueError(f"event {kind} lacks {', '.join(sorted(missing))}")
    leaf: dict[str, Any] = {
        "actor": {"auth": actor.auth, "id": actor.id, "role": actor.role},
        "data": data,
        "event_id": event_id,
        "kind": kind,
        "node": node,
        "outcome": outcome,
        "time": to_text(time),
        "v": 1,
    }
    if ref is not None:
        leaf["ref"] = ref
    body = rfc8785.dumps(leaf)
    if len(body) > MAX_LEAF_BYTES:
        raise ValueError(f"event {kind} is {len(body)} bytes, over {MAX_LEAF_BYTES}")
    return Event(event_id, kind, time, body, leaf_hash(body))


def leaf_hash(body: bytes) -> bytes:
    """The hash of a leaf (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x00" + body).digest()
