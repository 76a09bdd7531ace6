"""R17: what a device's own subject makes of patterns, and nothing that it could mean beside itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca_server.core.errors import CaError, Kind
from ca_server.core.est.device_names import device_patterns, require_device_pattern
from ca_server.core.identifiers import parse_identifier
from ca_server.core.name_patterns import matches
from tests.fakes.paper_authority import subject

DEVICE = subject(serial_number="SN-0042", organization_name="Maker")


def test_a_words_value_takes_its_place():
    made = device_patterns(
        ("uri:urn:dev:ops:32473-{serial_number}", "dns:{serial_number}.devices.example.com"), DEVICE
    )
    assert made == ("uri:urn:dev:ops:32473-SN-0042", "dns:SN-0042.devices.example.com")
    assert matches(parse_identifier("dns:sn-0042.devices.example.com"), made[1])
    assert not matches(parse_identifier("dns:sn-0043.devices.example.com"), made[1])


def test_a_pattern_whose_word_the_device_lacks_stands_for_nothing():
    assert device_patterns(("dns:{common_name}.example.com", "dns:a.example.com"), DEVICE) == (
        "dns:a.example.com",
    )


@pytest.mark.parametrize("value", ["*", "**", "a*b", "a/b", "a:b", "a b", "{common_name}", "ä", "a@b"])
def test_r17_a_device_brings_no_glob_and_no_structure(value):
    with pytest.raises(CaError) as caught:
        device_patterns(("dns:{serial_number}.example.com",), subject(serial_number=value))
    assert caught.value.kind is Kind.UNAUTHENTICATED
    assert caught.value.rule_ids == ("ACCESS-DEVICE-NAME",)


@given(st.text(min_size=1, max_size=64))
def test_r17_whatever_the_value_is_the_pattern_has_no_star_of_its_own(value):
    try:
        made = device_patterns(("dns:{serial_number}.example.com",), subject(serial_number=value))
    except (CaError, ValueError):
        return
    assert all("*" not in each for each in made)


@pytest.mark.parametrize("text", ["dns:{serial}.example.com", "nothing", "dns:a b", "ip:{serial_number}"])
def test_a_bad_pattern_is_refused_before_anything_starts(text):
    with pytest.raises(CaError) as caught:
        require_device_pattern(text)
    assert caught.value.rule_ids == ("NAME-PATTERN",)
