"""The ready scripts: each one holds together, and is filled in without an editor."""

from __future__ import annotations

import hashlib

import pytest

from ca_server.core.errors import CaError, Kind
from ceremony.plan import make_plan
from ceremony.ready import kinds, ready_script
from ceremony.script import Kind as CeremonyKind
from ceremony.script import parse_script


def test_there_is_one_a_kind():
    assert set(kinds()) == {kind.value for kind in CeremonyKind}


@pytest.mark.parametrize("kind", kinds())
def test_it_is_a_plan_of_its_kind_that_names_no_roster(kind):
    plan = make_plan(ready_script(kind, public_url=None, roster=None, inputs={}).encode())
    assert plan.script.kind == kind
    assert plan.script.roster is None


@pytest.mark.parametrize("kind", kinds())
def test_roster_and_every_input_are_pinned_by_their_digests(kind, tmp_path):
    plain = parse_script(ready_script(kind, public_url=None, roster=None, inputs={}).encode())
    roster, inputs = tmp_path / "roster.json", {}
    roster.write_bytes(b"{}")
    for each in plain.inputs:
        inputs[each.name] = tmp_path / each.name
        inputs[each.name].write_bytes(each.name.encode())
    text = ready_script(kind, public_url=None, roster=roster, inputs=inputs)
    script = make_plan(text.encode()).script
    assert script.roster is not None
    assert script.roster.sha256 == hashlib.sha256(b"{}").hexdigest()
    assert {each.name: each.sha256 for each in script.inputs} == {
        name: hashlib.sha256(name.encode()).hexdigest() for name in inputs
    }


def test_the_url_is_filled_in_and_a_bad_one_refused():
    text = ready_script("first-hierarchy", public_url="http://pki.example.com", roster=None, inputs={})
    publication = parse_script(text.encode()).publication
    assert publication is not None
    assert publication.public_url == "http://pki.example.com"
    for bad in ("https://pki.example.com", 'http://x"\nkind = "other', "http://\u00e9.example"):
        with pytest.raises(CaError) as refused:
            ready_script("first-hierarchy", public_url=bad, roster=None, inputs={})
        assert refused.value.rule_ids == ("CEREMONY-URL",)


@pytest.mark.parametrize("kind", ["no-such-kind", "../plan", "first-hierarchy.toml", ""])
def test_what_is_no_kind_is_said_and_nothing_opened(kind):
    with pytest.raises(CaError) as refused:
        ready_script(kind, public_url=None, roster=None, inputs={})
    assert refused.value.kind is Kind.NOT_FOUND
    assert "root-generate" in refused.value.detail


def test_an_input_or_a_file_that_is_not_there_is_said(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    for inputs in ({"nothing": tmp_path / "file"}, {"root-r1": tmp_path / "none"}):
        with pytest.raises(CaError) as refused:
            ready_script("root-crl", public_url=None, roster=None, inputs=inputs)
        assert refused.value.kind is Kind.NOT_FOUND
