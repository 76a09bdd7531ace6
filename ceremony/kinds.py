"""What each kind of ceremony must have and may do: a script says what it is, and is held to it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ca_server.core.ceremony.demands import RoleName
from ca_server.core.errors import Violation

if TYPE_CHECKING:
    from ceremony.script import Script

_CERTIFIES = frozenset(
    {"certificate.build", "document.lint", "gate.approve", "document.sign", "document.check"}
)
_SIGNS_CRL = frozenset({"crl.build", "document.lint", "gate.approve", "document.sign", "document.check"})

# Verbs that a kind cannot do without; gates and inventories go with every kind.
REQUIRED: dict[str, frozenset[str]] = {
    "root-generate": _CERTIFIES | {"key.generate"},
    "intermediate-sign": _CERTIFIES,
    "root-crl": _SIGNS_CRL,
    "delegated-signer": _CERTIFIES | {"key.generate"},
    "first-hierarchy": _CERTIFIES | _SIGNS_CRL | {"key.generate", "server-key.make"},
}

_MAKES_KEYS = frozenset({"key.generate"})
_MAY_MAKE_KEYS = frozenset(
    {"root-generate", "subordinate-key", "delegated-signer", "rotate", "log-epoch", "first-hierarchy"}
)


def check_kind(script: Script) -> Iterator[Violation]:
    """What a script lacks of its kind, or does beyond it."""
    verbs = {step.do for step in script.steps}
    for missing in sorted(REQUIRED.get(script.kind, frozenset()) - verbs):
        yield Violation("CEREMONY-KIND", f"a {script.kind} has a step {missing}", "/steps")
    if verbs & _MAKES_KEYS and script.kind not in _MAY_MAKE_KEYS:
        yield Violation("CEREMONY-KIND", f"a {script.kind} makes no keys", "/steps")
    if RoleName.INTERNAL_WITNESS not in script.roles:
        yield Violation("CEREMONY-ROLE", "every ceremony has an internal-witness", "/roles")
    makes_root = script.kind in {"root-generate", "first-hierarchy"}
    if makes_root and RoleName.EXTERNAL_WITNESS not in script.roles:
        yield Violation("CEREMONY-ROLE", "a root is made before an external-witness", "/roles")
