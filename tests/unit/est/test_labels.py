"""Labels: every profile that allows EST by its own name, and those that the configuration adds."""

from __future__ import annotations

import pytest

from ca_server.core.errors import CaError, Kind
from ca_server.core.est.settings import EstConfig
from ca_server.est.labels import Labels
from ca_server.policy_store import PolicyStore

POLICIES = PolicyStore()


def labels(**settings) -> Labels:
    return Labels(EstConfig.model_validate(settings), POLICIES)


def test_profiles_that_allow_est_are_labels_by_their_own_names():
    known = labels()
    assert known.find("tls-client").require_profile().name == "tls-client"
    for name in ("ocsp-signer", "tls-server-eab", "printers", ""):
        with pytest.raises(CaError) as caught:
            known.find(name)
        assert (caught.value.kind, caught.value.rule_ids) == (Kind.NOT_FOUND, ("EST-LABEL",))


def test_without_a_label_it_is_the_default_profile_if_there_is_one():
    assert labels(default_profile="tls-peer").find(None).require_profile().name == "tls-peer"
    nothing = labels().find(None)
    with pytest.raises(CaError) as caught:
        nothing.require_profile()
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.NOT_FOUND, ("EST-LABEL",))


def test_a_label_of_the_configuration_stands_before_a_profile_of_that_name():
    known = labels(
        label=[
            {"name": "printers", "profile": "device-identity", "line_length": 64},
            {"name": "tls-client", "profile": "tls-peer"},
        ]
    )
    found = known.find("printers")
    assert (found.require_profile().name, found.line_length) == ("device-identity", 64)
    assert known.find("tls-client").require_profile().name == "tls-peer"
    assert known.find("tls-client").line_length is None


@pytest.mark.parametrize(
    "settings",
    [
        {"default_profile": "ocsp-signer"},
        {"default_profile": "nothing"},
        {"label": [{"name": "printers", "profile": "code-signing"}]},
    ],
)
def test_r21_nothing_starts_that_leads_nowhere(settings):
    with pytest.raises(CaError) as caught:
        labels(**settings)
    assert caught.value.rule_ids == ("CONFIG-EST-PROFILE",)
