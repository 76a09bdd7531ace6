"""A device is taken only where it is the one of the script, and good enough for the mode."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from ca_server.core.ceremony.transcript import Event, Line, make_line, parse_line
from ca_server.core.errors import CaError
from ca_server.hsm.port import TokenRecord
from ceremony.host import Host
from ceremony.tables import HSM
from ceremony.token_rules import check_same, check_token

SOFTWARE = TokenRecord("vault-a", "H-0117", "SoftHSM project", "SoftHSM v2", "2.6", frozenset())
VENDOR = TokenRecord("vault-a", "H-0117", "Vendor", "Model", "7.8", frozenset())


def host(mode: str = "production", *, allowed: bool = False) -> Host:
    text = {"output_directory": "/tmp/outputs", "roster": "/tmp/roster.json", "mode": mode}
    return Host.model_validate({**text, "format": "ceremony-host/v2", "allow_software_token": allowed})


def rules(wanted: HSM, found: TokenRecord, where: Host) -> tuple[str, ...]:
    with pytest.raises(CaError) as error:
        check_token("vault", wanted, found, where)
    return error.value.rule_ids


def test_a_software_token_in_production_needs_leave():
    assert rules(HSM(), SOFTWARE, host()) == ("CEREMONY-SOFTWARE-TOKEN",)
    check_token("vault", HSM(), SOFTWARE, host(allowed=True))
    check_token("vault", HSM(), SOFTWARE, host("rehearsal"))
    check_token("vault", HSM(), VENDOR, host())


@pytest.mark.parametrize("wanted", [HSM(label="vault-b"), HSM(serial="H-0118"), HSM(firmware_min="7.9")])
def test_another_device_than_the_scripts(wanted):
    assert rules(wanted, VENDOR, host()) == ("CEREMONY-TOKEN-BINDING",)


def binding_line(seq: int, found: TokenRecord, **result: object) -> Line:
    bound = {"label": found.label, "serial": found.serial}
    return parse_line(
        make_line(
            seq=seq,
            prev="0" * 64,
            utc=datetime(2027, 3, 1, tzinfo=UTC),
            mono_ms=seq,
            step="login",
            event=Event.DONE,
            actor="engine",
            data={"result": {"binding": {"vault": bound}, **result}, "files": {}},
        ).rstrip()
    )


def test_a_device_stays_the_one_of_the_first_login():
    first, second = binding_line(1, VENDOR), binding_line(2, replace(VENDOR, serial="H-0118"))
    check_same("vault", VENDOR, [])
    check_same("vault", VENDOR, [first, second])
    check_same("other", replace(VENDOR, serial="H-0118"), [first])
    for other in (replace(VENDOR, serial="H-0118"), replace(VENDOR, label="vault-b")):
        with pytest.raises(CaError) as error:
            check_same("vault", other, [first, second])
        assert error.value.rule_ids == ("CEREMONY-TOKEN-BINDING",)
    # Whoever initialises a device makes it another one.
    anew = binding_line(2, replace(VENDOR, serial="H-0118"), sets=["officer", "user"])
    check_same("vault", replace(VENDOR, serial="H-0118"), [first, anew])


def test_serial_and_firmware_bind_production_alone():
    wanted = HSM(label="vault-a", serial="H-0118", firmware_min="7.9")
    check_token("vault", wanted, VENDOR, host("rehearsal"))
    check_token("vault", HSM(label="vault-a", serial="H-0117", firmware_min="7.8"), VENDOR, host())
