"""The `[acme]` section: what is accepted, and what is refused by which rule at which place."""

from __future__ import annotations

from datetime import timedelta

import pytest
from pydantic import ValidationError

from ca_server.core.acme.settings import AcmeConfig, AcmeLimits
from ca_server.core.document import parse_document
from ca_server.core.errors import CaError
from ca_server.core.rates import Rate

LEAST = 'caa_identities = ["ca.example.com"]\n'


def read(text: str) -> AcmeConfig:
    return parse_document(text.encode(), AcmeConfig, "section", rule="CONFIG")


def test_what_may_be_left_out_is_careful():
    settings = read(LEAST)
    assert settings.caa_identities == ("ca.example.com",)
    assert settings.validation.networks == ()
    assert settings.validation.resolvers == ()
    assert (settings.validation.http01_port, settings.validation.tls_alpn01_port) == (80, 443)
    assert settings.authorization_reuse == timedelta(hours=8)
    assert settings.terms_of_service is None
    assert settings.limits == AcmeLimits()


def test_a_rate_is_a_number_in_a_time():
    settings = read(LEAST + '[limits]\norders_per_account = "7/2d"\naccounts_per_address = "1/30s"')
    assert settings.limits.orders_per_account == Rate(7, 2 * 86_400)
    assert settings.limits.accounts_per_address == Rate(1, 30)


def test_addresses_and_networks_of_both_families_are_accepted():
    servers = 'resolvers = ["10.0.0.53:53", "[fd00::53]:5353"]'
    settings = read(f'{LEAST}[validation]\nnetworks = ["10.0.0.0/8", "fd00::/8"]\n{servers}')
    assert settings.validation.networks == ("10.0.0.0/8", "fd00::/8")
    assert settings.validation.resolvers == ("10.0.0.53:53", "[fd00::53]:5353")


@pytest.mark.parametrize(
    ("text", "rule_id", "pointer"),
    [
        ("", "CONFIG-MISSING", "/caa_identities"),
        ("caa_identities = []", "CONFIG-VALUE", "/caa_identities"),
        (f"caa_identities = {['ca.example.com'] * 11}", "CONFIG-VALUE", "/caa_identities"),
        ('caa_identities = ["pki.example.com", "CA.example.com"]', "CONFIG-CAA", "/caa_identities/1"),
        ('caa_identities = ["pki.example.com", "ca.example.com."]', "CONFIG-CAA", "/caa_identities/1"),
        ('caa_identities = ["pki.example.com", "ca.example.com; x=y"]', "CONFIG-CAA", "/caa_identities/1"),
        (LEAST + 'website = "ftp://example.com"', "CONFIG-URL", "/website"),
        (LEAST + 'terms_of_service = "https://example.com/a b"', "CONFIG-URL", "/terms_of_service"),
        (LEAST + 'order_lifetime = "31d"', "CONFIG-ORDER", None),
        (LEAST + 'authorization_reuse = "31d"', "CONFIG-REUSE", None),
        (LEAST + 'authorization_reuse = "599s"', "CONFIG-REUSE", None),
        (LEAST + '[limits]\norders_per_account = "300"', "CONFIG-RATE", "/limits/orders_per_account"),
        (LEAST + '[limits]\norders_per_account = "0/3h"', "CONFIG-RATE", "/limits/orders_per_account"),
        (LEAST + "[limits]\norders_per_account = 300", "CONFIG-RATE", "/limits/orders_per_account"),
        (LEAST + '[limits]\norders_per_minute = "1/1m"', "CONFIG-UNKNOWN-KEY", "/limits/orders_per_minute"),
        (LEAST + "[limits]\npause_after_failures = 2", "CONFIG-VALUE", "/limits/pause_after_failures"),
        (LEAST + '[validation]\nnetworks = ["10.0.0.1/8"]', "CONFIG-NETWORK", "/validation/networks/0"),
        (LEAST + '[validation]\nnetworks = ["internal"]', "CONFIG-NETWORK", "/validation/networks/0"),
        (LEAST + '[validation]\nresolvers = ["10.0.0.53"]', "CONFIG-RESOLVER", "/validation/resolvers/0"),
        (LEAST + '[validation]\nresolvers = ["10.0.0.53:0"]', "CONFIG-RESOLVER", "/validation/resolvers/0"),
        (LEAST + '[validation]\nresolvers = ["10.0.0.256:53"]', "CONFIG-RESOLVER", "/validation/resolvers/0"),
        (
            LEAST + '[validation]\nresolvers = ["dns.example:53"]',
            "CONFIG-RESOLVER",
            "/validation/resolvers/0",
        ),
        (LEAST + "[validation]\nhttp01_port = 0", "CONFIG-VALUE", "/validation/http01_port"),
        (LEAST + "[validation]\nattempts = 11", "CONFIG-VALUE", "/validation/attempts"),
    ],
)
def test_a_bad_key_is_refused_by_its_rule_at_its_place(text, rule_id, pointer):
    with pytest.raises(CaError) as caught:
        read(text)
    assert [(each.rule_id, each.pointer) for each in caught.value.violations] == [(rule_id, pointer)]


def test_the_bounds_themselves_are_accepted():
    ten = [f"ca{number}.example.com" for number in range(10)]
    for reuse in ("10m", "30d"):
        settings = read(f'caa_identities = {ten}\nauthorization_reuse = "{reuse}"')
        assert settings.caa_identities == tuple(ten)


def test_r38_no_key_turns_validation_off():
    """Every switch of the section is known here; a new one has to be argued for in this list."""
    assert set(AcmeConfig.model_fields) == {
        "caa_identities",
        "terms_of_service",
        "website",
        "order_lifetime",
        "authorization_reuse",
        "validation",
        "limits",
    }
    assert set(AcmeConfig.model_fields["validation"].annotation.model_fields) == {
        "networks",
        "resolvers",
        "http01_port",
        "tls_alpn01_port",
        "attempts",
        "threads",
    }


def test_settings_never_change():
    with pytest.raises(ValidationError):
        read(LEAST).order_lifetime = timedelta(days=2)
