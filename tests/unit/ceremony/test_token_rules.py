"""A device is taken only where it is the one of the script, and good enough for the mode."""

from __future__ import annotations

import pytest

from ca_server.core.errors import CaError
from ca_server.hsm.port import TokenRecord
from ceremony.host import Host
from ceremony.tables import HSM
from ceremony.token_rules import check_token

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


def test_serial_and_firmware_bind_production_alone():
    wanted = HSM(label="vault-a", serial="H-0118", firmware_min="7.9")
    check_token("vault", wanted, VENDOR, host("rehearsal"))
    check_token("vault", HSM(label="vault-a", serial="H-0117", firmware_min="7.8"), VENDOR, host())
