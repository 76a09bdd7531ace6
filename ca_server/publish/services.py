"""What the public doors need from the composition root."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from flask import Blueprint

from ca_server.publish.health import Checks
from ca_server.services.context import Context


@dataclass(frozen=True, slots=True)
class PublicationServices:
    """One a process, made after fork.

    `checks` are what readiness means here; `metrics_directories` is where the workers of every door on
    this machine keep their values; `resources` are the CRL's and the audit log's blueprints.
    """

    context: Context
    checks: Checks = field(default_factory=dict)
    metrics_directories: tuple[Path, ...] = ()
    resources: tuple[Blueprint, ...] = ()
