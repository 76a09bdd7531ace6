"""Every kind of ceremony from its ready script, by hand: officers read, choose, sign, answer and keep shares.

Two rows of ceremonies are held side by side, each ceremony on what those before it in its row have made. A
test a kind then looks at what came of it, so that a failure names the kind.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.fixtures.ceremony_terminal import Terminal, rehearse_by_hand
from tests.fixtures.certifying import SCRIPTS, HeldKind, ready
from tests.fixtures.commands import sealkeeper
from tests.fixtures.custodians import Custodians
from tests.fixtures.custody import anchors, next_roster

pytestmark = [pytest.mark.hsm, pytest.mark.slow, pytest.mark.timeout(600)]

KINDS = sorted(path.name.removesuffix(".toml") for path in SCRIPTS.iterdir())
DIGEST = "5f" * 32
ANSWERS = {
    **dict.fromkeys(("seal", "device-serial", "vault-bag", "vault-safe", "media-bag", "evidence-bag"), "A-1"),
    **dict.fromkeys(("share-bags", "media-bags", "bags-before", "bags-after", "safes"), "A-2 to A-6"),
    **dict.fromkeys(("old-shares", "crl", "-photo", "log-checkpoint", "disk-image", "device-log"), DIGEST),
    "certificates": "yes",
    "-number": "M-1",
    "incident": "2027-1",
    "noticed-at": "2027-03-01T12:00:00Z",
    "noticed-by": "The system administrator on call",
    "cause": "A core dump lay on a shared disk",
    "open": "New keys, by the key officers",
}


class Rows:
    """Ceremonies that were held by hand, by kind, and the people who held them."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.held: dict[str, HeldKind] = {}
        self.terminals: dict[str, Terminal] = {}
        self.people = Custodians()
        self.troubles: list[BaseException] = []

    def run(self, *rows: Callable[[Rows], None]) -> None:
        """Hold all rows; what ends one of them early is kept."""
        with ThreadPoolExecutor(len(rows)) as pool:
            ended = [pool.submit(row, self) for row in rows]
        self.troubles = [trouble for each in ended if (trouble := each.exception())]

    def hold(self, kind: str, room: str | None = None, **inputs: Path) -> None:
        """One ceremony, in the room of an earlier one or in a new one, with the script as it is shipped."""
        script = self.place / f"{kind}.toml"
        script.write_text(ready(kind))
        given = [("--input", f"{name.replace('_', '-')}={path}") for name, path in inputs.items()]
        more = ("--room", str(self.place / room)) if room else ()
        terminal = rehearse_by_hand(
            script,
            self.place / kind,
            *more,
            *itertools.chain.from_iterable(given),
            answers=self.people.answers() | ANSWERS,
        )
        terminal.status = terminal.run()
        self.terminals[kind] = terminal
        self.held[kind] = HeldKind(self.place / kind)

    def made(self, kind: str, name: str) -> Path:
        """A file of an earlier ceremony."""
        return self.place / kind / "files" / name


def certifying(rows: Rows) -> None:
    """Everything that is signed, and what follows a compromise."""
    hold, made = rows.hold, rows.made
    hold("root-generate")
    other = made("root-generate", "authorities/root-r1.cer")
    hold("cross-csr", "root-generate", root_r1=other)
    room = "first-hierarchy"
    hold(room)
    root, issuing = made(room, "authorities/root-r1.cer"), made(room, "authorities/issuing-i1.cer")
    hold("subordinate-key", room)
    asked = made("subordinate-key", "csrs/issuing-i2.csr")
    hold("intermediate-sign", room, root_r1=root, issuing_i2_csr=asked)
    hold("root-crl", room, root_r1=root, root_r1_last_crl=made(room, "crls/root-r1.crl"))
    last = {"root_r1_last_crl": made("root-crl", "crls/root-r1.crl")}
    hold("revoke-subordinate", room, root_r1=root, issuing_i1=issuing, **last)
    hold("delegated-signer", room, issuing_i1=issuing)
    asked = made("cross-csr", "csrs/root-r1-cross.csr")
    hold("cross-sign", room, root_r1=root, root_x1=other, root_x1_csr=asked)
    hold("rotate", room, root_r1=root)
    finding = rows.place / "finding"
    finding.write_text("A core dump of the issuing CA's host lay on a shared disk.\n")
    hold("compromise-response", room, finding=finding, root_r1=root, issuing_i1=issuing, **last)


def keeping(rows: Rows) -> None:
    """Everything about devices, shares, backups, people and the log's key."""
    hold, made = rows.hold, rows.made
    hold("hsm-init")
    hold("re-share", "hsm-init", vault_user=made("hsm-init", "shares/vault-user.json"))
    room = "key-backup"
    hold(room)
    record = {"root_r2_backup": made(room, "shares/root-r2-backup.json")}
    blob = {name: made(room, f"backups/root-r2.{name}") for name in ("json", "blob")}
    hold("share-audit", room, **record)
    hold("key-restore", room, root_r2_record=blob["json"], root_r2_blob=blob["blob"], **record)
    hold("decommission", room, **record)
    roster = rows.place / "new-roster"
    roster.write_bytes(next_roster(rows.place / room / "practice"))
    hold("roster-change", room, new_roster=roster)
    checkpoints = anchors(rows.place, (10, b"a" * 32), (12, b"b" * 32))
    hold("log-epoch", room, **checkpoints)


@pytest.fixture(scope="module")
def rows(tmp_path_factory) -> Rows:
    rows = Rows(tmp_path_factory.mktemp("by-hand"))
    rows.run(certifying, keeping)
    return rows


def signers(lines: Iterable[dict]) -> set[str]:
    return {line["data"]["person"] for line in lines if line["event"] == "gate"}


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_held_by_three_officers_or_more_and_both_verifiers_accept_it(rows, kind):
    assert kind in rows.held, rows.troubles
    terminal, held = rows.terminals[kind], rows.held[kind]
    assert terminal.status == 0, terminal.shown[-3000:]
    lines = held.lines()
    assert lines[0]["data"]["kind"] == kind
    assert lines[-1]["data"] == {"outcome": "completed"}
    assert len(signers(lines)) >= 3
    # This runs `ops/auditor/verify_ceremony.py` too, and tells what that one says.
    verified = sealkeeper("ceremony", "verify", str(held.bundle))
    digest = hashlib.sha256(held.bundle.read_bytes()).hexdigest()
    assert verified.stdout == f"{digest}\n"
    assert f"good: archive {digest}" in verified.stderr


def test_every_share_was_shown_once_and_asked_back(rows):
    assert not rows.troubles
    sets = {share_set: 0 for _, share_set in rows.people.papers}
    for _, share_set in rows.people.papers:
        sets[share_set] += 1
    assert sets == {"vault-officer": 3, "vault-user": 3, "vault-user-2": 3, "root-r2-backup": 5}
    assert {share_set for _, share_set in rows.people.asked} == set(sets)


def test_a_slip_in_a_share_is_said_and_asked_again(rows):
    assert rows.people.asked[0] == rows.people.asked[1]
    shown = rows.terminals["hsm-init"].shown
    assert shown.count("NOT ACCEPTED: 33 words and no share") == 1
    assert "[CEREMONY-SHARE]" in shown


@pytest.mark.parametrize("kind", ["hsm-init", "re-share", "key-backup", "share-audit", "key-restore"])
def test_no_two_words_of_a_share_are_in_any_file(rows, kind):
    """But in a token's own files, of which nobody can tell what is in them."""
    folder = rows.held[kind].folder
    papers = [words.split() for words in rows.people.papers.values()]
    # The first words are the set's, and the last the checksum.
    pairs = [" ".join(pair) for words in papers for pair in itertools.pairwise(words[6:-4])]
    assert len(pairs) > 14 * 20
    files = [path for path in folder.rglob("*") if path.is_file() and folder / "tokens" not in path.parents]
    assert len(files) > 10
    for path in files:
        text = path.read_bytes().decode("latin-1")
        assert not [each for each in pairs if each in text], path
