"""Whether a device is the one that the script means, and good enough for the mode."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ca_server.core.bundle import REHEARSAL_PREFIX
from ca_server.core.ceremony.transcript import Event, Line
from ca_server.core.errors import CaError, Kind, Violation, refuse
from ca_server.hsm.port import TokenRecord

if TYPE_CHECKING:
    from ceremony.host import Host
    from ceremony.tables import HSM


def check_token(alias: str, wanted: HSM, found: TokenRecord, host: Host) -> None:
    """Pass the token that the script's alias stands for.

    A rehearsal runs the same script on other devices, so serial and firmware bind production alone.

    Raises:
        CaError: conflict, `CEREMONY-TOKEN-BINDING` or `CEREMONY-SOFTWARE-TOKEN`, all that is wrong.
    """
    violations = (*_binding(alias, wanted, found, host), *_real(found, host))
    if violations:
        detail = f"the device bound to '{alias}' is not one for this ceremony"
        raise CaError(Kind.CONFLICT, detail, violations=tuple(violations))


def check_same(alias: str, found: TokenRecord, lines: Iterable[Line]) -> None:
    """Pass the device that this ceremony has logged in to before, if it has: what it began in one ends in it.

    A device that was initialised meanwhile is another one since.

    Raises:
        CaError: conflict, `CEREMONY-TOKEN-BINDING`.
    """
    bound: Mapping[str, Any] | None = None
    for line in lines:
        if line.event is Event.DONE:
            result = line.data.get("result", {})
            named = result.get("binding", {}).get(alias)
            bound = named if named is not None and (bound is None or "sets" in result) else bound
    if bound is not None and (bound["label"], bound["serial"]) != (found.label, found.serial):
        detail = (
            f"'{alias}' was token '{bound['label']}' of serial {bound['serial']} until now, "
            f"and is '{found.label}' of serial {found.serial}"
        )
        raise refuse(Kind.CONFLICT, "CEREMONY-TOKEN-BINDING", detail)


def _binding(alias: str, wanted: HSM, found: TokenRecord, host: Host) -> Iterator[Violation]:
    pointer = f"/hsm/{alias}"
    label = found.label.removeprefix(REHEARSAL_PREFIX)
    if wanted.label is not None and wanted.label != label:
        detail = f"the script wants the label '{wanted.label}', the token's is '{found.label}'"
        yield Violation("CEREMONY-TOKEN-BINDING", detail, pointer)
    if host.mode == "production":
        if wanted.serial not in {None, found.serial}:
            detail = f"the script wants serial {wanted.serial}, the token's is {found.serial}"
            yield Violation("CEREMONY-TOKEN-BINDING", detail, pointer)
        if wanted.firmware_min is not None and _version(found.firmware) < _version(wanted.firmware_min):
            detail = f"the script wants firmware {wanted.firmware_min}, the token has {found.firmware}"
            yield Violation("CEREMONY-TOKEN-BINDING", detail, pointer)


def _real(found: TokenRecord, host: Host) -> Iterator[Violation]:
    device = f"{found.manufacturer} {found.model}".lower()
    software = "softhsm" in device or "software" in device
    if software and host.mode == "production" and not host.allow_software_token:
        yield Violation(
            "CEREMONY-SOFTWARE-TOKEN",
            f"token '{found.label}' ({found.manufacturer} {found.model}) keeps its keys in files; "
            "a production ceremony refuses it unless the host file says allow_software_token = true",
        )


def _version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".") if part.isdigit())
