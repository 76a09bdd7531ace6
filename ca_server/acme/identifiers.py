"""The names in a request, in canonical form, each refused by its own rule at its own place."""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence

from flask import g

from ca_server.acme.payloads import IdentifierPayload
from ca_server.core.acme.resources import OrderName
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.core.identifiers import Identifier, IdentifierType, make_identifier

_TYPES = {"dns": IdentifierType.DNS, "ip": IdentifierType.IP}


def read_names(asked: Sequence[IdentifierPayload]) -> tuple[OrderName, ...]:
    """The names of an order, each once, in the client's order.

    From here on violations may point at `/identifiers/N` of what is returned.

    Raises:
        CaError: rejected_identifier, with a violation for each name that is none.
    """
    g.identifiers = [{"type": each.type, "value": each.value} for each in asked]
    names: dict[Identifier, OrderName] = {}
    violations: list[Violation] = []
    for index, each in enumerate(asked):
        try:
            name = OrderName(read_identifier(each), _ancestor(each))
        except CaError as error:
            violations += (
                Violation(found.rule_id, found.detail, f"/identifiers/{index}") for found in error.violations
            )
        else:
            names.setdefault(name.identifier, name)
    if violations:
        count = len(violations)
        detail = violations[0].detail if count == 1 else f"{count} identifiers are refused; each is listed"
        raise CaError(Kind.REJECTED_IDENTIFIER, detail, violations=tuple(violations))
    g.identifiers = [{"type": each.type.value, "value": each.value} for each in names]
    return tuple(names.values())


def read_identifier(asked: IdentifierPayload) -> Identifier:
    """One name in canonical form.

    Raises:
        CaError: rejected_identifier; `ACME-IDENTIFIER-TYPE` or a `NAME-...` rule.
    """
    name_type = _TYPES.get(asked.type)
    if name_type is None:
        raise refuse(
            Kind.REJECTED_IDENTIFIER,
            "ACME-IDENTIFIER-TYPE",
            "names of type dns and ip can be proven, no others",
        )
    if name_type is IdentifierType.DNS and _is_address(asked.value):
        raise refuse(
            Kind.REJECTED_IDENTIFIER,
            "ACME-IDENTIFIER-TYPE",
            "an address is ordered as type ip, and stands as such in the CSR (RFC 8738 §3)",
        )
    return make_identifier(name_type, asked.value)


def _ancestor(asked: IdentifierPayload) -> str | None:
    """RFC 9444 §4.2; whether it is above the name is judged with the order."""
    if asked.ancestor_domain is None:
        return None
    found = make_identifier(IdentifierType.DNS, asked.ancestor_domain).value
    if found.startswith("*."):
        raise refuse(Kind.REJECTED_IDENTIFIER, "ACME-ANCESTOR", "an ancestor is a domain and no wildcard")
    return found


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
