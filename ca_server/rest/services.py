"""What the REST door needs from the composition root, and how its handlers reach it."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app, g

from ca_server.core.authorization import Mint, Principal
from ca_server.policy_store import PolicyStore
from ca_server.services.chains import Chains
from ca_server.services.context import Context
from ca_server.services.issue import Gate
from ca_server.services.refusals import RefusalLog

EXTENSION = "sealkeeper.rest"


@dataclass(frozen=True, slots=True)
class RestServices:
    """One a process, made after fork."""

    context: Context
    mint: Mint
    gate: Gate
    policies: PolicyStore
    chains: Chains
    refusals: RefusalLog


def services() -> RestServices:
    """The services of the application that answers this request."""
    found: RestServices = current_app.extensions[EXTENSION]
    return found


def principal() -> Principal:
    """Who asks; set by `authenticate.admit` before any handler runs."""
    found: Principal = g.principal
    return found
