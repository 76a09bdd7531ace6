"""What EST's use cases are given when a process starts."""

from __future__ import annotations

from dataclasses import dataclass

from ca_server.core.authorization import Mint
from ca_server.core.est.settings import EstConfig
from ca_server.policy_store import PolicyStore
from ca_server.services.context import Context
from ca_server.services.est.manufacturers import Manufacturers
from ca_server.services.issue import Gate
from ca_server.services.refusals import RefusalLog


@dataclass(frozen=True, slots=True)
class EstParts:
    """One a process. Whatever is refused is written to `refusals` by the door, which knows the operation."""

    context: Context
    gate: Gate
    mint: Mint
    policies: PolicyStore
    settings: EstConfig
    manufacturers: Manufacturers
    refusals: RefusalLog
