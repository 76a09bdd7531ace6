"""All that a report says, taken out of the files of a bundle that was verified before."""

from __future__ import annotations

import hashlib
import json
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from ca_server.core.ceremony.closing import Closing, parse_closing
from ca_server.core.ceremony.roster import parse_roster
from ca_server.core.ceremony.transcript import Event, Line, parse_transcript
from ca_server.core.errors import Kind, refuse
from ca_server.core.strict_json import parse_json
from ceremony.report.papers import CertificateFacts, CRLFacts, certificates_in, crls_in
from ceremony.report.people import Attendant, Signature, attendants
from ceremony.report.story import Story, members_of, tell
from ceremony.words import to_words

MAX_SHOWN = 20_000


@dataclass(frozen=True, slots=True)
class Digest:
    """A SHA-256 as people compare it: on a screen, and read aloud."""

    name: str
    hex: str
    words: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A record of the bundle, such as a key or a device: its name, and each of its members as text."""

    name: str
    members: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Inventory:
    """The objects of a device, each with True where the list before had it not; `lost` counts the reverse."""

    step: str
    device: str
    objects: tuple[tuple[Entry, bool], ...]
    lost: int


@dataclass(frozen=True, slots=True)
class Text:
    """A file that is shown, JSON on several lines; `cut` where it is longer than what is shown."""

    path: str
    text: str
    cut: bool


@dataclass(frozen=True, slots=True)
class FileFacts:
    """A file of the bundle."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Facts:
    """A whole report."""

    title: str
    closing: Closing
    opening: Mapping[str, str]
    digests: tuple[Digest, ...]
    policy: Mapping[str, str]
    story: Story
    people: tuple[Attendant, ...]
    demands: tuple[Entry, ...]
    devices: tuple[Entry, ...]
    keys: tuple[Entry, ...]
    certificates: tuple[CertificateFacts, ...]
    crls: tuple[CRLFacts, ...]
    inventories: tuple[Inventory, ...]
    lints: tuple[Text, ...]
    evidence: tuple[Text, ...]
    files: tuple[FileFacts, ...]

    @property
    def statements(self) -> list[tuple[Attendant, Signature]]:
        """Every signature of a person, in the order in which they were given."""
        signed = [(person, each) for person in self.people for each in person.signatures]
        return sorted(signed, key=lambda pair: pair[1].seq)


def gather(files: Mapping[str, bytes], bundle_sha256: str) -> Facts:
    """The facts of a verified bundle; `bundle_sha256` is its hex digest.

    Verification leaves open what records for people say besides; a stranger's may say anything.

    Raises:
        CaError: malformed, `CEREMONY-REPORT`, or a rule that verification would have found.
    """
    try:
        return _gather(files, bundle_sha256)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        detail = "no report can be drawn: a record in the bundle is not as a ceremony writes it"
        raise refuse(Kind.MALFORMED, "CEREMONY-REPORT", detail) from error


def _gather(files: Mapping[str, bytes], bundle_sha256: str) -> Facts:
    lines = parse_transcript(files["transcript.jsonl"])
    closing = parse_closing(files["closing.txt"])
    script = tomllib.loads(files["script.toml"].decode())
    steps = {str(each.get("id")): str(each.get("do")) for each in script.get("steps", [])}
    opening = lines[0].data
    return Facts(
        title=str(script.get("title", closing.ceremony)),
        closing=closing,
        opening=members_of(opening.get("tool", {})),
        digests=tuple(_digests(closing, bundle_sha256)),
        policy=members_of(script.get("policy", {})),
        story=tell(lines, steps),
        people=attendants(lines, files, parse_roster(files["roster.json"]), closing.mode),
        demands=tuple(_entries(opening.get("roles", {}))),
        devices=tuple(_devices(lines)),
        keys=tuple(_keys(files)),
        certificates=tuple(certificates_in(files)),
        crls=tuple(crls_in(files)),
        inventories=tuple(_inventories(lines, files, steps)),
        lints=tuple(_text(path, files[path]) for path in sorted(files) if path.startswith("lints/")),
        evidence=tuple(_evidence(files, steps)),
        files=tuple(
            FileFacts(path, len(files[path]), hashlib.sha256(files[path]).hexdigest())
            for path in sorted(files)
        ),
    )


def _digests(closing: Closing, bundle_sha256: str) -> Iterator[Digest]:
    named = {
        "bundle": bundle_sha256,
        "script": closing.script_sha256,
        "roster": closing.roster_sha256,
        "transcript at the close": closing.head_sha256,
    }
    for name, value in named.items():
        yield Digest(name, value, " ".join(to_words(value)))


def _entries(table: Mapping[str, Any]) -> Iterator[Entry]:
    for name in sorted(table):
        yield Entry(name, members_of(table[name]))


def _devices(lines: Sequence[Line]) -> Iterator[Entry]:
    """Each device as it described itself when it was opened first."""
    bound: dict[str, Any] = {}
    for line in lines:
        if line.event is Event.DONE:
            bound = {**line.data["result"].get("binding", {}), **bound}
    yield from _entries(bound)


def _keys(files: Mapping[str, bytes]) -> Iterator[Entry]:
    for key in parse_json(files["keys.json"]) if "keys.json" in files else ():
        yield Entry(str(key.get("label")), members_of(key))


def _inventories(
    lines: Sequence[Line], files: Mapping[str, bytes], steps: Mapping[str, str]
) -> Iterator[Inventory]:
    """The lists of objects, in their order; what a device did not have the time before is told apart."""
    known: dict[str, set[str]] = {}
    for line in lines:
        if line.event is Event.DONE and steps.get(line.step) == "hsm.inventory":
            device = str(line.data["result"]["hsm"])
            found = parse_json(files[f"evidence/{line.step}.json"])
            entries = [Entry(str(each.get("label")), members_of(each)) for each in found]
            now = {str(each.members) for each in entries}
            before = known.get(device, now)
            known[device] = now
            objects = tuple((each, str(each.members) not in before) for each in entries)
            yield Inventory(line.step, device, objects, len(before - now))


def _evidence(files: Mapping[str, bytes], steps: Mapping[str, str]) -> Iterator[Text]:
    """What people answered, such as the numbers of bags, and all else but inventories that was kept."""
    lists = {f"evidence/{step}.json" for step, verb in steps.items() if verb == "hsm.inventory"}
    for path in sorted(files):
        kept = path.startswith(("evidence/", "shares/", "papers/", "backups/", "challenges/"))
        if kept and path.endswith((".json", ".txt")) and path not in lists:
            yield _text(path, files[path])


def _text(path: str, data: bytes) -> Text:
    text = data.decode(errors="replace")
    with suppress(ValueError):  # what is no JSON is shown as it is
        text = json.dumps(parse_json(data), ensure_ascii=False, indent=1)
    return Text(path, text[:MAX_SHOWN], len(text) > MAX_SHOWN)
