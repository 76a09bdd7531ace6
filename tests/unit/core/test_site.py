"""The site's two files are read strictly."""

from __future__ import annotations

import pytest

from ca_server.core.errors import CaError, Kind
from ca_server.core.signatures import KeyType
from ca_server.core.site import parse_key_floor, parse_name_floor

KEYS = 'allowed = ["ec-p256"]\nrsa_min_exponent = 65537\nfermat_rounds = 100\n'


def test_what_the_files_say():
    floor = parse_key_floor(KEYS.encode(), source="keys.toml")
    assert floor.allowed == (KeyType.EC_P256,)
    names = parse_name_floor(b'deny = ["dns:**.example.com"]\nmax_count = 5\n', source="identifiers.toml")
    assert (names.deny, names.max_count) == (("dns:**.example.com",), 5)


@pytest.mark.parametrize(
    ("text", "rule_id", "pointer"),
    [
        (KEYS + "x = 1\n", "POLICY-UNKNOWN-KEY", "/x"),
        ("", "POLICY-MISSING", "/allowed"),
        (KEYS.replace("ec-p256", "rsa-1024"), "POLICY-VALUE", "/allowed/0"),
        (KEYS.replace('["ec-p256"]', "[]"), "POLICY-VALUE", "/allowed"),
        # A floor can be raised and never lowered (R30).
        (KEYS.replace("65537", "3"), "POLICY-VALUE", "/rsa_min_exponent"),
        (KEYS.replace("= 100", "= 0"), "POLICY-VALUE", "/fermat_rounds"),
        ("allowed = [", "POLICY-TOML", None),
        ("#" * 300_000, "POLICY-SIZE", None),
    ],
)
def test_r30_a_floor_that_is_not_right_or_too_low_is_refused(text, rule_id, pointer):
    with pytest.raises(CaError) as caught:
        parse_key_floor(text.encode(), source="keys.toml")
    assert caught.value.kind is Kind.MALFORMED
    assert (rule_id, pointer) in [(each.rule_id, each.pointer) for each in caught.value.violations]


def test_a_denied_name_that_is_no_pattern_is_refused():
    with pytest.raises(CaError) as caught:
        parse_name_floor(b'deny = ["example.com"]\nmax_count = 5\n', source="identifiers.toml")
    assert caught.value.rule_ids == ("NAME-PATTERN",)
