"""What the ACME door needs from the composition root, and how its handlers reach it."""

from __future__ import annotations

from dataclasses import dataclass

from flask import current_app

from ca_server.core.acme.settings import AcmeConfig
from ca_server.policy_store import PolicyStore
from ca_server.services.acme.finalize import Completion
from ca_server.services.acme.nonces import Nonces
from ca_server.services.acme.orders import OrderRules
from ca_server.services.chains import Chains
from ca_server.services.context import Context

EXTENSION = "sealkeeper.acme"


@dataclass(frozen=True, slots=True)
class AcmeServices:
    """One a process, made after fork; `hosts` are the names that this server answers to."""

    context: Context
    settings: AcmeConfig
    policies: PolicyStore
    rules: OrderRules
    completion: Completion
    chains: Chains
    nonces: Nonces
    hosts: frozenset[str]


def services() -> AcmeServices:
    """The services of the application that answers this request."""
    found: AcmeServices = current_app.extensions[EXTENSION]
    return found
