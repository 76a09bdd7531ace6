"""Signatures that do not count, at the terminal: each stops the ceremony, with class and rule.

People sign elsewhere, with keys of the test: FIDO tokens that it plays, and keys in files. Nothing is made in
any token, as the gate that they stop at is the opening.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import rfc8785

from tests.fixtures.ceremony_terminal import ALONE, Terminal, demand_no_network
from tests.fixtures.commands import sealkeeper
from tests.fixtures.rosters import key_entry, person_entry, roster_document, software_key
from tests.fixtures.softhsm import MODULE_PLACES
from tests.fixtures.ssh_signatures import SoftwareKey, TokenKey

pytestmark = pytest.mark.hsm

Key = SoftwareKey | TokenKey
OFFICERS = {
    "ada": "administrators",
    "bo": "key-officers",
    "cy": "key-officers",
    "dan": "internal-witnesses",
    "eve": "external-witnesses",
}
NAMESPACES = {"rehearsal": "ceremony-rehearsal@example.com", "production": "ceremony@example.com"}


@dataclass
class Site:
    """A roster whose keys the test holds, a script that pins it, and a room to hold it in."""

    folder: Path
    mode: str = "rehearsal"
    keys: dict[str, Key] = field(default_factory=lambda: {name: TokenKey() for name in OFFICERS})
    entries: dict[str, dict] = field(default_factory=dict)
    groups: dict[str, list[str]] = field(default_factory=dict)
    # What a person signs with instead, and in which namespace.
    signs_with: dict[str, Key] = field(default_factory=dict)
    namespace: str | None = None

    def hold(self, answers: Mapping[str, str | Callable[[str], str]] | None = None) -> Terminal:
        roster = self.folder / "roster.json"
        roster.write_bytes(self.roster())
        script = self.folder / "script.toml"
        script.write_text(sealkeeper("ceremony", "script", "root-generate", "--roster", str(roster)).stdout)
        given = {**(answers or {}), "1 or 2 or 3": "2", "2 or 3": "2", "ENTER once": self._sign}
        if self.mode == "rehearsal":
            arguments = ("rehearse", str(script), "--directory", str(self.room), "--roster", str(roster))
        else:
            demand_no_network()
            arguments = ("run", str(script), "--host", str(self.host_file(roster)))
            script.write_text(
                script.read_text().replace("[hsm.root]", f'[hsm.root]\nserial = "{self.serial()}"')
            )
        inside = self._alone_with_media() if self.mode == "production" else ()
        environment = {"SOFTHSM2_CONF": str(self.folder / "softhsm2.conf")}
        terminal = Terminal(arguments, given, environment, inside)
        terminal.status = terminal.run()
        return terminal

    @property
    def room(self) -> Path:
        return self.folder / "room"

    def roster(self) -> bytes:
        persons = [
            person_entry(name, {**key_entry(key), **self.entries.get(name, {})})
            for name, key in self.keys.items()
        ]
        groups: dict[str, list[str]] = {}
        for name, group in OFFICERS.items():
            groups.setdefault(group, []).append(name)
        return rfc8785.dumps(roster_document(*persons, groups={**groups, **self.groups}))

    def host_file(self, roster: Path) -> Path:
        """Production on a token that is software, and said to be allowed."""
        (self.folder / "tokens").mkdir()
        conf = self.folder / "softhsm2.conf"
        conf.write_text(f"directories.tokendir = {self.folder}/tokens\nobjectstore.backend = file\n")
        pin = self.folder / "pin"
        pin.touch(mode=0o600)
        pin.write_text("0123456789\n")
        run_softhsm(
            "--init-token",
            "--free",
            "--label",
            "vault-root",
            "--pin",
            "0123456789",
            "--so-pin",
            "01234567",
            conf=conf,
        )
        module = next(place for place in MODULE_PLACES if Path(place).exists())
        path = self.folder / "host.toml"
        path.write_text(
            'format = "ceremony-host/v2"\nmode = "production"\nallow_software_token = true\n'
            f'output_directory = "{self.room}"\nroster = "{roster}"\n'
            f'media = ["{self._medium(1)}", "{self._medium(2)}"]\n'
            f'[tokens.root]\nmodule = "{module}"\nlabel = "vault-root"\npin_file = "{pin}"\n'
        )
        return path

    def serial(self) -> str:
        """What the device said of itself when it was delivered."""
        shown = run_softhsm("--show-slots", conf=self.folder / "softhsm2.conf")
        return next(
            slot.split("Serial number:")[1].split()[0]
            for slot in shown.split("\nSlot ")
            if "vault-root" in slot
        )

    def _alone_with_media(self) -> tuple[str, ...]:
        """Production has no network, and media that are mounted."""
        mount = " && ".join(f"mount -t tmpfs medium {self.folder}/medium-{number}" for number in (1, 2))
        return (*ALONE, "--mount", "sh", "-c", f'{mount} && exec "$@"', "sh")

    def _medium(self, number: int) -> Path:
        path = self.folder / f"medium-{number}"
        path.mkdir()
        return path

    def _sign(self, _shown: str) -> str:
        """Whoever is asked signs the newest statement."""
        gates = self.room / "files/gates"
        unsigned = [path for path in gates.glob("*.txt") if not path.with_name(path.name + ".sig").exists()]
        statement = max(unsigned, key=lambda path: path.stat().st_mtime_ns)
        person = statement.read_text().split("\nperson: ")[1].split("\n")[0]
        key = self.signs_with.get(person, self.keys[person])
        signature = key.sign(statement.read_bytes(), self.namespace or NAMESPACES[self.mode])
        statement.with_name(statement.name + ".sig").write_bytes(signature)
        return ""

    def transcript(self) -> list[dict]:
        return [json.loads(line) for line in (self.room / "files/transcript.jsonl").read_bytes().splitlines()]

    def stopped(self) -> tuple[str, list[str]]:
        last = self.transcript()[-1]
        assert last["event"] == "stopped", last
        return last["data"]["failure"], last["data"]["rule_ids"]

    def made(self) -> list[str]:
        """What left a token, or was made of what did."""
        return [
            path.name for path in (self.room / "files").rglob("*") if path.suffix in {".cer", ".crl", ".tbs"}
        ]


def run_softhsm(*arguments: str, conf: Path) -> str:
    from tests.fixtures.commands import run

    return run("softhsm2-util", *arguments, SOFTHSM2_CONF=str(conf)).stdout


def expired(site: Site) -> None:
    site.entries["ada"] = {"valid_until": "2026-01-01T00:00:00Z"}


def without_touch(site: Site) -> None:
    site.keys["ada"] = TokenKey(flags=0x04)


def without_pin(site: Site) -> None:
    site.keys["ada"] = TokenKey(flags=0x01)


def wrong_namespace(site: Site) -> None:
    site.namespace = "file@example.com"


def of_production(site: Site) -> None:
    site.namespace = NAMESPACES["production"]


def of_another(site: Site) -> None:
    site.signs_with["ada"] = site.keys["bo"]


def of_a_stranger(site: Site) -> None:
    site.signs_with["ada"] = TokenKey()


@pytest.mark.parametrize(
    ("break_it", "rule_id"),
    [
        (expired, "CEREMONY-KEY-EXPIRED"),
        (without_touch, "CEREMONY-SK-FLAGS"),
        (without_pin, "CEREMONY-SK-FLAGS"),
        (wrong_namespace, "CEREMONY-NAMESPACE"),
        (of_production, "CEREMONY-NAMESPACE"),
        (of_another, "CEREMONY-SIGNATURE"),
        (of_a_stranger, "CEREMONY-SIGNATURE"),
    ],
)
def test_a_signature_that_does_not_count_stops_with_its_rule(tmp_path, break_it, rule_id):
    site = Site(tmp_path)
    break_it(site)
    terminal = site.hold()
    assert terminal.status == 1, terminal.shown[-2000:]
    assert "NOT ACCEPTED" in terminal.shown
    assert rule_id in terminal.shown
    assert site.stopped() == ("F0", [rule_id])
    assert site.made() == []


def test_a_rehearsal_key_does_not_count_in_production(tmp_path):
    site = Site(tmp_path, "production")
    site.keys["ada"] = software_key()
    terminal = site.hold()
    assert terminal.status == 1, terminal.shown[-2000:]
    assert site.stopped() == ("F0", ["CEREMONY-KEY-USE"])
    assert site.made() == []


def test_one_person_with_two_tokens_is_one(tmp_path):
    """Bo has a second token and signs for Cy with it: a quorum counts persons, so nobody signed as Cy."""
    site = Site(tmp_path)
    site.signs_with["cy"] = TokenKey()
    terminal = site.hold()
    assert terminal.status == 1
    assert site.stopped()[1] == ["CEREMONY-SIGNATURE"]
    signed = [line["data"]["person"] for line in site.transcript() if line["event"] == "gate"]
    assert signed == ["ada", "bo"]


def test_a_person_with_two_roles_that_must_differ_stops(tmp_path):
    site = Site(tmp_path, groups={"internal-witnesses": ["ada", "dan"]})
    terminal = site.hold()
    assert terminal.status == 1
    assert site.stopped() == ("F3", ["CEREMONY-DISTINCT-ROLES"])
    assert site.made() == []


def test_a_quorum_of_one_too_few_is_refused_before_it_begins(tmp_path):
    site = Site(tmp_path, groups={"key-officers": ["bo"]})
    terminal = site.hold()
    assert terminal.status == 1
    assert "CEREMONY-QUORUM" in terminal.shown
    assert not (site.room / "files/transcript.jsonl").exists()


def test_a_ceremony_in_production_with_tokens_that_are_touched(tmp_path):
    """Nothing is broken here: what the cases above lack is what lets a ceremony through."""
    site = Site(tmp_path, "production")
    terminal = site.hold()
    assert terminal.status == 0, terminal.shown[-2000:]
    bundle = site.room / "bundle.tar"
    digest = hashlib.sha256(site.roster()).hexdigest()
    done = sealkeeper("ceremony", "verify", str(bundle), "--roster-sha256", digest)
    assert done.stdout.strip() == hashlib.sha256(bundle.read_bytes()).hexdigest()
    other = sealkeeper("ceremony", "verify", str(bundle), "--roster-sha256", "0" * 64, check=False)
    assert other.returncode == 1
