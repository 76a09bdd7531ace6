"""The room of one ceremony: its folder, its transcript, its people, and the tokens that are open now.

Steps meet the world through it alone. What a step must remember it writes to the folder or to the transcript;
tokens and signers are the only things that live in this process.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

import rfc8785
from cryptography import x509

from ca_server.core.bundle import KeyEntry
from ca_server.core.ceremony.demands import RoleName
from ca_server.core.ceremony.roster import Roster
from ca_server.core.ceremony.statement import Gate
from ca_server.core.ceremony.transcript import Event, Line
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.signatures import KeyType, key_type_of
from ca_server.hsm.ceremony_port import CeremonyStore
from ca_server.hsm.port import Signer, TokenRecord
from ca_server.hsm.settings import TokenSettings
from ceremony.attendance import attendance
from ceremony.clock import RoomClock
from ceremony.custody import open_bound
from ceremony.display import Display
from ceremony.documents import read_certificate
from ceremony.folder import Folder
from ceremony.host import Host
from ceremony.journal import Journal
from ceremony.keys import key_path
from ceremony.people import Deviated, People
from ceremony.script import Script
from ceremony.state import begun, digests
from ceremony.token_rules import check_token

Mode = Literal["rehearsal", "production"]


@dataclass(frozen=True, slots=True)
class Token:
    """An open token and what it said of itself when it was opened."""

    store: CeremonyStore
    record: TokenRecord
    settings: TokenSettings = field(repr=False)


@dataclass(slots=True)
class Room:
    """What steps are given; `step` is the one at hand, `written` the files that it has made so far."""

    source: bytes
    script: Script
    roster: Roster
    host: Host
    folder: Folder
    journal: Journal
    people: People
    display: Display
    clock: RoomClock
    open_token: Callable[[TokenSettings], CeremonyStore]
    tokens: dict[str, Token] = field(default_factory=dict)
    step: str = "-"
    written: dict[str, str] = field(default_factory=dict)

    @property
    def mode(self) -> Mode:
        """Rehearsal or production, as the host file says."""
        return self.host.mode

    @property
    def lines(self) -> Sequence[Line]:
        """The transcript so far."""
        return self.journal.lines

    @property
    def script_sha256(self) -> str:
        """The digest that the officers compared."""
        return hashlib.sha256(self.source).hexdigest()

    @property
    def roster_sha256(self) -> str:
        """The digest of the roster in force."""
        return hashlib.sha256(self.folder.read("roster.json")).hexdigest()

    def open(self, alias: str) -> Token:
        """Open a token, if it is not open yet, once it is the one that the script and the mode demand.

        Raises:
            CaError: it is away or refuses, or another than the script says.
        """
        if alias not in self.tokens:
            self.tokens[alias] = open_bound(self, alias)
        return self.tokens[alias]

    def connect(self, alias: str, settings: TokenSettings) -> Token:
        """A token that was opened with these settings, once it is the one that is demanded; nobody keeps it.

        Raises:
            CaError: as `open`.
        """
        store = self.open_token(settings)
        token = Token(store, store.token(), settings)
        try:
            check_token(alias, self.script.hsm[alias], token.record, self.host)
        except CaError:
            store.close()
            raise
        return token

    @contextmanager
    def closed(self, alias: str) -> Iterator[None]:
        """Log out of one token, for its security officer to log in; afterwards its user is there again."""
        token = self.tokens.pop(alias)
        token.store.close()
        yield
        self.tokens[alias] = self.connect(alias, token.settings)

    def close(self) -> None:
        """Log out of every token, and forget what secrets were joined for it."""
        while self.tokens:
            token = self.tokens.popitem()[1]
            token.store.close()
            token.settings.pin.forget()

    def token(self, alias: str) -> Token:
        """An open token.

        Raises:
            CaError: conflict, `CEREMONY-LOGIN`, no step has logged in to it.
        """
        if alias not in self.tokens:
            raise refuse(Kind.CONFLICT, "CEREMONY-LOGIN", f"no step has logged in to '{alias}'")
        return self.tokens[alias]

    def signer(self, key: str) -> Signer:
        """A key of the script in its open token.

        Raises:
            CaError: the token is not open, or has no such key.
        """
        wanted = self.script.keys[key]
        entry = self.entry(key)
        key_id = bytes.fromhex(entry.id) if entry else None
        return self.token(wanted.hsm).store.signer(label=wanted.label, key_id=key_id)

    def entry(self, key: str) -> KeyEntry | None:
        """What its token said of a key that this ceremony made; None for another's."""
        name = key_path(key)
        return KeyEntry.model_validate_json(self.read(name)) if self.folder.has(name) else None

    def key_list(self) -> bytes:
        """Every key that this ceremony made, as its transcript tells; the bundle lists them so (RFC 8785)."""
        effects = (line.data for line in self.lines if line.event is Event.EFFECT)
        return rfc8785.dumps([effect["key"] for effect in effects if "key" in effect])

    def key_type(self, certificate: str) -> KeyType:
        """The type of the key that a certificate certifies."""
        found = key_type_of(self.certificate(certificate).public_key())
        if found is None:
            raise refuse(Kind.BAD_PUBLIC_KEY, "CEREMONY-KEY-TYPE", f"{certificate} has a key of another type")
        return found

    def certificate(self, name: str) -> x509.Certificate:
        """A certificate that was made here or brought in, by its path in the bundle."""
        return read_certificate(self.read(name), name)

    def write(self, name: str, data: bytes) -> str:
        """Put a file of the step at hand into the folder; the step's last line will name it."""
        self.written[name] = self.folder.write(name, data)
        return self.written[name]

    def write_json(self, name: str, value: Any) -> str:
        """The same for a JSON value (RFC 8785)."""
        return self.write(name, rfc8785.dumps(value))

    def read(self, name: str) -> bytes:
        """A file of the folder as the transcript has it; one that was changed since is as good as none.

        Raises:
            CaError: not_found, there is none; conflict, `CEREMONY-FILE-CHANGED`.
        """
        data = self.folder.read(name)
        known = self.written.get(name) or digests(self.lines).get(name)
        if known is not None and hashlib.sha256(data).hexdigest() != known:
            raise refuse(Kind.CONFLICT, "CEREMONY-FILE-CHANGED", f"{name} was changed since it was written")
        return data

    def read_json(self, name: str) -> Any:
        """A JSON file of the folder."""
        return json.loads(self.read(name))

    def effect(self, data: Mapping[str, Any]) -> None:
        """Write down what a token did, as soon as it is known."""
        self.journal.add(Event.EFFECT, data, step=self.step)

    def announced(self, intent: Mapping[str, Any]) -> dict[str, Any]:
        """An intent as a line announces it, with its digest."""
        digest = hashlib.sha256(rfc8785.dumps(dict(intent))).hexdigest()
        return {"intent": dict(intent), "intent_sha256": digest}

    def tries(self, step: str) -> int:
        """How often a step was begun."""
        return len(begun(self.lines, step))

    def effects(self, step: str) -> tuple[Mapping[str, Any], ...]:
        """What the transcript has of a step's effects, those before a crash too."""
        return tuple(line.data for line in self.lines if line.event is Event.EFFECT and line.step == step)

    def result(self, step: str) -> Mapping[str, Any] | None:
        """What a step that is done left in the transcript."""
        done = [line.data for line in self.lines if line.event is Event.DONE and line.step == step]
        return done[-1] if done else None

    @property
    def deviations(self) -> int:
        """How many deviations are written down."""
        return sum(line.event is Event.DEVIATION for line in self.lines)

    def deviate(self, step: str, deviation: Deviated) -> None:
        """Write down that something is not as planned; the next statement that is signed covers it.

        Raises:
            CaError: forbidden, `CEREMONY-DEVIATIONS`, the script allows no more.
        """
        data = {"text": deviation.text, "decision": deviation.decision, "by": deviation.by}
        self.journal.add(Event.DEVIATION, data, step=step)
        self.display.show_deviation(self.deviations, deviation.text, deviation.decision, deviation.by)
        if self.deviations > self.script.policy.max_deviations:
            detail = f"the script allows {self.script.policy.max_deviations} deviations"
            raise refuse(Kind.FORBIDDEN, "CEREMONY-DEVIATIONS", detail)

    def candidates(self, role: RoleName, gate: Gate) -> list[str]:
        """Who may sign in a role: the group's persons at an opening, and whoever of them is there later."""
        group = self.roster.groups[self.script.roles[role].group]
        present = attendance(self.lines)
        if gate in {Gate.OPEN, Gate.RESUME} or not present:
            return [each for each in group if (each, role) not in present]
        return [each for each, as_role in present if as_role == role]

    def wanted(self, role: RoleName, gate: Gate) -> int:
        """How many persons sign in a role: its quorum, and at the close everyone who is present."""
        if gate is Gate.CLOSE:
            return max(1, sum(as_role == role for _, as_role in attendance(self.lines)))
        return self.script.roles[role].quorum
