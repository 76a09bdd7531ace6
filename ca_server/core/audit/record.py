"""An audit event as a value: a closed catalogue, one canonical encoding, one leaf hash.

The leaf is RFC 8785 JSON and is stored and served exactly as it was hashed (RFC 6962 §2.1).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import rfc8785

from ca_server.core.clock import from_text, to_text
from ca_server.core.errors import CaError, Kind, refuse

MAX_LEAF_BYTES = 16 * 1024
MAX_INTEGER = 2**53 - 1

# Kind -> keys that its data must have. Unknown kinds and missing keys are refused at write time.
CATALOGUE: dict[str, frozenset[str]] = {
    "access.refused": frozenset({"rule_ids", "action"}),
    "account.created": frozenset({"account", "directory", "thumbprint"}),
    "account.deactivated": frozenset({"account", "status"}),
    "account.key-changed": frozenset({"account", "thumbprint", "previous"}),
    "account.unpaused": frozenset({"account", "names"}),
    "account.updated": frozenset({"account", "changed"}),
    "approval.decided": frozenset({"request", "profile", "decision", "csr_sha256"}),
    "approval.requested": frozenset({"request", "profile", "policy_sha256", "approvals", "csr_sha256"}),
    "authority.imported": frozenset({"authority", "cert_sha256", "spki_sha256"}),
    "authority.revoked": frozenset({"authority", "issuer", "serial"}),
    "authorization.created": frozenset({"account", "authorization", "identifier"}),
    "authorization.deactivated": frozenset({"account", "authorization", "identifier"}),
    "ceremony.imported": frozenset(
        {
            "bundle_sha256",
            "ceremony",
            "closing_sha256",
            "kind",
            "mode",
            "outcome",
            "roster_sha256",
            "script_sha256",
            "transcript_sha256",
        }
    ),
    "certificate.imported": frozenset({"cert_sha256", "issuer", "name", "role", "subject"}),
    "crl.abandoned": frozenset({"authority", "crl_number"}),
    "crl.done": frozenset({"authority", "crl_number", "crl_sha256"}),
    "crl.intent": frozenset({"authority", "crl_number", "tbs_sha256"}),
    "eab.created": frozenset({"external_account_key", "owner", "profiles", "names", "max_uses", "not_after"}),
    "eab.revoked": frozenset({"external_account_key"}),
    "grant.created": frozenset({"grant", "role", "spki_sha256"}),
    "grant.revoked": frozenset({"grant"}),
    "issue.abandoned": frozenset({"authority", "serial", "tbs_sha256", "reason"}),
    "issue.done": frozenset({"authority", "serial", "tbs_sha256", "cert_sha256"}),
    "issue.intent": frozenset({"authority", "serial", "tbs_sha256", "profile", "policy_sha256", "request"}),
    "issue.refused": frozenset({"request", "profile", "policy_sha256", "rule_ids"}),
    "key.compromised": frozenset({"spki_sha256"}),
    "lint.finding": frozenset({"cert_sha256", "finding"}),
    "log.epoch-open": frozenset({"origin", "vkey"}),
    "log.heartbeat": frozenset({"tree_size"}),
    "name.paused": frozenset({"account", "identifier", "failures"}),
    "order.created": frozenset({"account", "order", "profile", "names", "names_sha256"}),
    "policy.loaded": frozenset({"profiles"}),
    "renewal.flagged": frozenset({"flag", "scope", "subject"}),
    "renewal.unflagged": frozenset({"flag"}),
    "responder.imported": frozenset({"authority", "cert_sha256"}),
    "revoke.done": frozenset({"authority", "serial", "reason"}),
    "revoke.refused": frozenset({"authority", "serial", "rule_ids"}),
    "revoke.released": frozenset({"authority", "serial"}),
    "secret.created": frozenset({"secret", "owner", "profile", "names", "max_uses", "not_after"}),
    "secret.revoked": frozenset({"secret"}),
    "software.started": frozenset({"process", "version"}),
    "token.created": frozenset({"token", "role"}),
    "token.revoked": frozenset({"token"}),
    "validation.done": frozenset({"account", "authorization", "challenge", "identifier", "type"}),
    "validation.failed": frozenset({"account", "authorization", "challenge", "identifier", "type", "error"}),
}

_KEYS = {"actor", "data", "event_id", "kind", "node", "outcome", "time", "v"}


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
        ValueError: the kind is not in the catalogue, a key is missing, a number is not whole, or the leaf
            is too large: our bug.
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
    body = _canonical(leaf)
    if len(body) > MAX_LEAF_BYTES:
        raise ValueError(f"event {kind} is {len(body)} bytes, over {MAX_LEAF_BYTES}")
    return Event(event_id, kind, time, body, leaf_hash(body))


def leaf_hash(body: bytes) -> bytes:
    """The hash of a leaf (RFC 6962 §2.1)."""
    return hashlib.sha256(b"\x00" + body).digest()


def parse_event(body: bytes) -> dict[str, Any]:
    """Read a leaf of any log of this format back, accepting only the one spelling that RFC 8785 allows.

    Returns the leaf with the shapes that `make_event` gives: `actor` and `data` are objects, `time` is an
    aware `datetime`, `v` is 1, the rest is text. The kind need not be in this version's catalogue.

    Raises:
        CaError: malformed, AUDIT-CANONICAL.
    """
    if len(body) > MAX_LEAF_BYTES:
        raise _malformed(f"an event has over {MAX_LEAF_BYTES} bytes")
    try:
        leaf = json.loads(body, parse_float=_no_fraction)
        if rfc8785.dumps(leaf) != body:
            raise _malformed("an event is not in canonical form")
        if not isinstance(leaf, dict) or leaf.keys() - {"ref"} != _KEYS or type(leaf["v"]) is not int:
            raise _malformed("an event does not have the members of an event")
        texts = (leaf[key] for key in leaf.keys() - {"actor", "data", "v"})
        if not all(isinstance(text, str) for text in (*texts, *leaf["actor"].values())):
            raise _malformed("a member of an event that should be text is not")
        if leaf["v"] != 1 or not isinstance(leaf["data"], dict):
            raise _malformed("an event is of another version")
        time = from_text(leaf["time"])
    except (ValueError, AttributeError, RecursionError) as error:
        raise _malformed("an event is not JSON of the form that events have") from error
    if to_text(time) != leaf["time"]:
        raise _malformed("an event's time is not in its one form")
    return {**leaf, "time": time}


def _canonical(leaf: dict[str, Any]) -> bytes:
    """RFC 8785 for what a leaf may hold: text, small whole numbers, truth values, lists, ASCII keys.

    There the standard library writes the very bytes that `rfc8785` does, as a property test holds, in a
    tenth of the time; two events a certificate make that count.
    """
    _require_plain(leaf)
    text = json.dumps(leaf, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return text.encode()


def _require_plain(value: object) -> None:
    if isinstance(value, dict):
        if not all(isinstance(key, str) and key.isascii() for key in value):
            raise ValueError("keys of an event are ASCII text")
        for each in value.values():
            _require_plain(each)
    elif isinstance(value, list | tuple):
        for each in value:
            _require_plain(each)
    elif isinstance(value, int) and abs(value) > MAX_INTEGER:
        raise ValueError("a number in an event is within 2^53-1; larger ones are text")
    elif not isinstance(value, str | int | None):
        raise ValueError("an event holds text, whole numbers and truth values")


def _no_fraction(text: str) -> float:
    raise ValueError(f"{text[:20]} is not a whole number")


def _malformed(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "AUDIT-CANONICAL", detail)
