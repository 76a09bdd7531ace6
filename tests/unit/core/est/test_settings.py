"""The `[est]` section: what is accepted, and what is refused by which rule at which place."""

from __future__ import annotations

from datetime import timedelta

import pytest

from ca_server.core.document import parse_document
from ca_server.core.errors import CaError
from ca_server.core.est.settings import OPERATIONS, EstConfig, EstLimits

MAKER = (
    '[[manufacturer]]\nname = "maker"\ntrust_anchors = "/maker.pem"\nprofiles = ["p"]\nnames = ["dns:n"]\n'
)


def read(text: str) -> EstConfig:
    return parse_document(text.encode(), EstConfig, "section", rule="CONFIG")


def label(name: str, more: str = "") -> str:
    return f'[[label]]\nname = "{name}"\nprofile = "tls-peer"\n{more}\n'


def test_an_empty_section_opens_the_door_to_every_profile_by_its_own_name():
    settings = read("")
    assert settings.default_profile is None
    assert (settings.label, settings.manufacturer) == ((), ())
    assert (settings.line_length, settings.wrap_for) == (0, ("libest", "Cisco EST client"))
    assert settings.retry_after == timedelta(minutes=1)
    assert settings.limits == EstLimits()


def test_labels_and_manufacturers_are_read():
    settings = read(label("printers", "line_length = 64") + MAKER)
    assert [(each.name, each.profile, each.line_length) for each in settings.label] == [
        ("printers", "tls-peer", 64)
    ]
    assert [(each.name, each.profiles, each.names) for each in settings.manufacturer] == [
        ("maker", ("p",), ("dns:n",))
    ]
    assert settings.manufacturer[0].revocation_lists == ()


@pytest.mark.parametrize("operation", OPERATIONS)
def test_no_label_is_called_like_an_operation(operation):
    with pytest.raises(CaError) as refusal:
        read(label(operation))
    assert [each.rule_id for each in refusal.value.violations] == ["CONFIG-EST-NAME"]


@pytest.mark.parametrize(
    ("text", "rule_id", "pointer"),
    [
        (label("a") + label("a"), "CONFIG-EST-NAME", None),
        (MAKER + MAKER, "CONFIG-EST-NAME", None),
        (label("Printers"), "CONFIG-VALUE", "/label/0/name"),
        (label("a/b"), "CONFIG-VALUE", "/label/0/name"),
        (label("a", "line_length = 65"), "CONFIG-VALUE", "/label/0/line_length"),
        ("line_length = 1", "CONFIG-VALUE", "/line_length"),
        (MAKER.replace('"/maker.pem"', '"maker.pem"'), "CONFIG-VALUE", "/manufacturer/0/trust_anchors"),
        (MAKER.replace('names = ["dns:n"]', ""), "CONFIG-MISSING", "/manufacturer/0/names"),
        ('[limits]\nfailures_per_secret = "10"', "CONFIG-RATE", "/limits/failures_per_secret"),
        ("fullcmc = true", "CONFIG-UNKNOWN-KEY", "/fullcmc"),
    ],
)
def test_what_is_refused(text, rule_id, pointer):
    with pytest.raises(CaError) as refusal:
        read(text)
    [violation] = refusal.value.violations
    assert violation.rule_id == rule_id
    if pointer is not None:
        assert violation.pointer == pointer
