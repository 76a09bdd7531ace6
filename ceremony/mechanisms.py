"""Whether devices can make and use the keys that a script has in them, before the first one is made."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from ca_server.core.errors import CaError, Kind, Violation
from ca_server.core.signatures import default_algorithm
from ca_server.hsm.mechanisms import generation, signing
from ca_server.hsm.port import TokenRecord

if TYPE_CHECKING:
    from ceremony.script import Script


def require_mechanisms(script: Script, tokens: Mapping[str, TokenRecord]) -> None:
    """Pass devices that have every mechanism which the script's keys in them need.

    Raises:
        CaError: policy_refused, `CEREMONY-MECHANISM` for each one that is missing.
    """
    violations = []
    for alias, key in script.keys.items():
        token = tokens.get(key.hsm)
        if token is None:
            continue
        needed = {signing(key.type, default_algorithm(key.type)).mechanism}
        if not key.existing:
            needed.add(generation(key.type).mechanism)
        for missing in sorted(needed - token.mechanisms):
            detail = f"token '{token.label}' has no {missing}, which a {key.type} key needs"
            violations.append(Violation("CEREMONY-MECHANISM", detail, f"/keys/{alias}/type"))
    if violations:
        detail = "no key was made: a token cannot make or use a key of the script"
        raise CaError(Kind.POLICY_REFUSED, detail, violations=tuple(violations))
