"""Findings of pkilint that we keep, each with its reason. None is silenced anywhere else."""

from __future__ import annotations

ACCEPTED: dict[str, str] = {}
