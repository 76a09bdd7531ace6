"""The beginning: only the papers that the script names, and in production only papers that it names."""

from __future__ import annotations

import hashlib

import pytest

from ca_server.core.archive import MAX_ARCHIVE_BYTES
from ca_server.core.ceremony.transcript import Event
from ca_server.core.errors import CaError, Kind
from ceremony.opening import check_papers, read_inputs
from ceremony.tool import tool_sha256, tool_version
from tests.fixtures.small_ceremony import SmallCeremony

INPUT = '[[inputs]]\nname = "shares"\ntype = "shares"\n'
CONTENT = b'{"set":"root-r1"}'
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def refusal(call) -> CaError:
    with pytest.raises(CaError) as refused:
        call()
    return refused.value


def papers(small: SmallCeremony):
    return check_papers(small.plan, small.host, small.host.roster.read_bytes())


def pinned(small: SmallCeremony, digest: str) -> SmallCeremony:
    return small.changed(("[roles.administrator]", f'[roster]\nsha256 = "{digest}"\n\n[roles.administrator]'))


def with_input(small: SmallCeremony, tmp_path, pin: str | None = None) -> SmallCeremony:
    path = tmp_path / "shares.json"
    path.write_bytes(CONTENT)
    small.inputs = {"shares": path}
    return small.changed(("[[steps]]", INPUT + (f'sha256 = "{pin}"\n' if pin else "") + "\n[[steps]]"))


def test_a_rehearsal_takes_any_roster_and_production_only_the_one_that_is_named(small):
    assert papers(small).sequence == 1
    small.mode = "production"
    error = refusal(lambda: papers(small))
    assert (error.kind, error.rule_ids) == (Kind.POLICY_REFUSED, ("CEREMONY-ROSTER-UNPINNED",))
    pinned(small, hashlib.sha256(small.host.roster.read_bytes()).hexdigest())
    assert papers(small).sequence == 1


@pytest.mark.parametrize("mode", ["rehearsal", "production"])
def test_another_roster_than_the_one_that_is_named(small, mode):
    small.mode = mode
    error = refusal(lambda: papers(pinned(small, "0" * 64)))
    assert (error.kind, error.rule_ids) == (Kind.CONFLICT, ("CEREMONY-ROSTER",))


def test_a_roster_that_cannot_fill_a_quorum_is_refused_before_anything_is_written(small):
    small.changed(("quorum = 2", "quorum = 4"))
    assert refusal(lambda: papers(small)).rule_ids == ("CEREMONY-QUORUM",)
    assert not small.place.exists()


def test_an_input_without_a_digest_is_for_rehearsals_alone(small, tmp_path):
    with_input(small, tmp_path)
    assert read_inputs(small.plan, small.host) == {"shares": CONTENT}
    small.mode = "production"
    error = refusal(lambda: read_inputs(small.plan, small.host))
    assert error.rule_ids == ("CEREMONY-INPUT-UNPINNED",)
    assert error.violations[0].pointer == "/inputs/0"


@pytest.mark.parametrize("mode", ["rehearsal", "production"])
def test_an_input_is_the_one_that_the_script_names(small, tmp_path, mode):
    small.mode = mode
    with_input(small, tmp_path, DIGEST)
    assert read_inputs(small.plan, small.host) == {"shares": CONTENT}
    small.inputs["shares"].write_bytes(CONTENT + b" ")
    assert refusal(lambda: read_inputs(small.plan, small.host)).rule_ids == ("CEREMONY-INPUT",)


def test_an_input_that_is_not_there_or_too_large(small, tmp_path):
    with_input(small, tmp_path)
    path = small.inputs.pop("shares")
    assert refusal(lambda: read_inputs(small.plan, small.host)).rule_ids == ("CEREMONY-INPUT",)
    small.inputs["shares"] = path
    with path.open("wb") as file:
        file.truncate(MAX_ARCHIVE_BYTES + 1)
    assert refusal(lambda: read_inputs(small.plan, small.host)).rule_ids == ("CEREMONY-INPUT",)
    path.unlink()
    assert refusal(lambda: read_inputs(small.plan, small.host)).kind is Kind.NOT_FOUND


def test_the_first_line_names_all_that_the_ceremony_stands_on(small, tmp_path):
    with_input(small, tmp_path)
    with small.room() as room:
        (line,) = room.lines
    assert line.event is Event.OPENED
    assert line.data["script_sha256"] == line.prev == small.plan.sha256
    assert line.data["roster_sha256"] == hashlib.sha256(small.folder.read("roster.json")).hexdigest()
    assert line.data["roles"]["key-officer"] == {"group": "key-officers", "quorum": 2}
    assert line.data["inputs"] == {"shares": DIGEST}
    assert line.data["tool"] == {"version": tool_version(), "sha256": tool_sha256()}
    assert small.folder.read("script.toml") == small.plan.source
    assert small.folder.read("inputs/shares") == CONTENT


def test_the_list_of_signers_is_of_the_mode(small):
    with small.room():
        text = small.folder.read("allowed-signers").decode()
    assert 'key-officer-1 namespaces="ceremony-rehearsal@rehearsal.example"' in text
