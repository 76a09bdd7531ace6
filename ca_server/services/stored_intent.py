"""Looks at an intent that comes from the database before it is signed, as if nobody had ever judged it.

The lane signs whatever bytes it is given. Those of a fresh request come straight from the gate; those of
a stored intent have lain where an insider, or a fault, could have changed them. So they are held against
their digest, their event in the log, the compromise list of now, and the policy, which must give the very
same bytes again.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import timedelta

from ca_server.core.audit.record import leaf_hash, parse_event
from ca_server.core.clock import from_epoch, to_epoch
from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError
from ca_server.core.policy import Facts, IssuerFacts
from ca_server.core.tbs import build_certificate
from ca_server.policy_store import PolicyStore
from ca_server.services.approvals import count_approvals
from ca_server.services.context import Context
from ca_server.services.issuers import Issuers
from ca_server.services.replay import replay
from ca_server.store.approvals import logged_approvals
from ca_server.store.audit import StoredEvent, find_event
from ca_server.store.issuance import StoredIntent, is_compromised
from ca_server.store.requesters import find_requesters
from ca_server.store.requests import PastRequest, find_past_request

COMPROMISED = "key compromised"
GIVE_UP_AFTER = timedelta(hours=24)


@dataclass(frozen=True, slots=True)
class IntentCheck:
    """Says why a stored intent must not be signed any more."""

    context: Context
    policies: PolicyStore
    issuers: Issuers

    def objection(self, intent: StoredIntent) -> str | None:
        """Why not, or None; the words go into the `issue.abandoned` event.

        Raises:
            CaError: unavailable, the database is away; not_ready, the authority is not at hand.
        """
        issuer = self.issuers.get(intent.authority_id)
        with self.context.database.read() as connection:
            event = find_event(connection, intent.event_id)
            request = find_past_request(connection, intent.request_id)
            found, requesters = logged_approvals(connection, request.id), find_requesters(connection, request)
            approvals = count_approvals(request, found, requesters)
            compromised = is_compromised(connection, _spki_sha256(request))
        if hashlib.sha256(intent.tbs).hexdigest() != intent.tbs_sha256 or not _tells_of(event, intent):
            return "not the bytes that were logged"
        if compromised:
            return COMPROMISED
        if to_epoch(self.context.clock.now()) - intent.created_at > GIVE_UP_AFTER.total_seconds():
            return "too old"
        return None if self._is_granted(intent, request, approvals, issuer) else "not what the policy gives"

    def _is_granted(
        self, intent: StoredIntent, request: PastRequest, approvals: int, issuer: IssuerFacts
    ) -> bool:
        """Whether the same request at the same time leads to the same bytes under the policy of now.

        The time is that of the intent: a request may have waited for officers before.
        """
        try:
            csr = parse_csr(request.csr_der)
            facts = Facts(
                now=from_epoch(intent.created_at),
                issuer=issuer,
                site=self.policies.site,
                compromised=False,
                own_key=csr.spki_sha256 in self.issuers.own_keys,
                debian_weak_keys=self.policies.debian_weak_keys,
                approvals=approvals,
            )
            fields = replay(csr, request, self.policies.profile(intent.profile), facts)
            unsigned = build_certificate(fields, issuer, int(intent.serial_number, 16))
        except (CaError, ValueError, KeyError):
            return False
        return unsigned.tbs == intent.tbs and unsigned.algorithm == intent.signature_algorithm


def _tells_of(event: StoredEvent | None, intent: StoredIntent) -> bool:
    """Whether the log holds the intent that this row claims to be."""
    if event is None or leaf_hash(event.body) != event.leaf_hash:
        return False
    leaf = parse_event(event.body)
    expected = {
        "authority": intent.authority_id,
        "serial": intent.serial_number,
        "tbs_sha256": intent.tbs_sha256,
        "profile": intent.profile,
        "request": intent.request_id,
    }
    return bool(leaf["kind"] == "issue.intent" and expected.items() <= leaf["data"].items())


def _spki_sha256(request: PastRequest) -> str:
    try:
        return parse_csr(request.csr_der).spki_sha256
    except CaError:
        return ""
