"""Shares at a terminal: a device is initialised by people who write words down and type them again."""

from __future__ import annotations

import itertools
import re

import pytest

from ca_server.core.ceremony.verify import verify_bundle
from tests.fixtures.ceremony_terminal import rehearse_by_hand
from tests.fixtures.certifying import ready

pytestmark = pytest.mark.hsm

FACTS = {"seal": "S-1", "device-serial": "D-1", "vault-bag": "B-1", "vault-safe": "F-1", "share-bags": "B-2"}


class Custodians:
    """What each person reads on the screen, and types from paper."""

    def __init__(self) -> None:
        self.papers: dict[tuple[str, str], str] = {}
        self.asked: list[tuple[str, str]] = []

    def their_id(self, shown: str) -> str:
        return re.findall(r"(\S+) types their id", shown)[-1]

    def copy(self, shown: str) -> str:
        """The words that were last on the screen, in the order of their numbers."""
        share_set, person = re.findall(r"A share of (\S+) is\s+for\s+(\S+)\s+alone", shown)[-1]
        last = shown.rpartition("types their id")[2].partition("ENTER once")[0]
        words = {int(number): word for number, word in re.findall(r"(\d+) ([a-z]+)", last)}
        self.papers[person, share_set] = " ".join(words[number] for number in range(1, 34))
        return self.papers[person, share_set]

    def read_out(self, shown: str) -> str:
        person, share_set = re.findall(r"(\S+) types a share of ([^\s,]+),", shown)[-1]
        self.asked.append((person, share_set))
        return self.papers[person, share_set]


@pytest.mark.timeout(180)
def test_a_device_is_initialised_by_hand_and_no_word_stays(tmp_path):
    script = tmp_path / "script.toml"
    script.write_text(ready("hsm-init"))
    people = Custodians()
    terminal = rehearse_by_hand(
        script,
        tmp_path / "room",
        answers={
            "types their id": people.their_id,
            "type them back": people.copy,
            "from word 1 of 33": people.read_out,
            **FACTS,
        },
    )
    assert terminal.run(timeout=60) == 0, terminal.shown[-2000:]
    bundle = tmp_path / "room/bundle.tar"
    assert verify_bundle(bundle.read_bytes()).bundle.closing.outcome == "completed"
    assert len(people.papers) == 6
    assert len(people.asked) == 2 * 2 + 2  # each set is joined once, and the user's once more to log in
    tokens = tmp_path / "room/tokens"
    for path in (tmp_path / "room").rglob("*"):
        if path.is_file() and tokens not in path.parents:
            text = path.read_bytes().decode("latin-1")
            for words in people.papers.values():
                middle = words.split()[6:-4]
                pairs = itertools.pairwise(middle)
                assert not [each for each in pairs if " ".join(each) in text], path
