"""Names of this very machine, which a demonstration has and DNS does not."""

from __future__ import annotations

import pytest

from ca_server.core.acme.evidence import Evidence
from ca_server.outbound import resolver
from ca_server.outbound.addresses import AddressRule
from ca_server.outbound.deadline import Deadline
from ca_server.outbound.resolver import DnsFailed, Resolver


@pytest.fixture
def nobody_to_ask(monkeypatch):
    """A machine without DNS: whoever asks is refused."""

    def ask():
        raise DnsFailed(resolver.Trouble.NO_RESOLVER, "no DNS resolver is configured")

    monkeypatch.setattr(resolver, "_system_servers", ask)


@pytest.mark.usefixtures("nobody_to_ask")
@pytest.mark.parametrize("name", ["localhost", "www.localhost"])
def test_localhost_is_here_and_has_nothing_but_addresses(name):
    addresses = Resolver().addresses(name, Evidence(), Deadline(1))
    assert [str(each) for each in addresses] == ["::1", "127.0.0.1"]
    assert Resolver().caa(name, Evidence(), Deadline(1)) == ()
    assert Resolver().texts(f"_acme-challenge.{name}", Evidence()) == ()


@pytest.mark.usefixtures("nobody_to_ask")
@pytest.mark.parametrize("name", ["localhost.example.com", "notlocalhost", "example.com"])
def test_other_names_are_asked_for(name):
    with pytest.raises(DnsFailed):
        Resolver().addresses(name, Evidence(), Deadline(1))


def test_a_resolver_that_was_chosen_is_asked_for_every_name():
    with pytest.raises(DnsFailed):
        Resolver(["127.0.0.1:1"]).addresses("localhost", Evidence(), Deadline(1))


@pytest.mark.usefixtures("nobody_to_ask")
def test_r26_production_does_not_connect_to_what_localhost_leads_to():
    addresses = Resolver().addresses("localhost", Evidence(), Deadline(1))
    rule = AddressRule(["127.0.0.0/8", "::1/128"], loopback=False)
    assert all(rule.why_refused(each) for each in addresses)
