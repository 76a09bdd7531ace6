"""A small audit log to test with: a key in memory, a clock that is told, and parts that crash when asked."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from ca_server.core.audit.record import Actor, Event
from ca_server.core.clock import from_epoch
from ca_server.core.signatures import KeyType, PublicKey, SignatureAlgorithm, key_type_of
from ca_server.services.context import Context
from ca_server.services.sequence import LogKey, Sequenced, sequence_once
from ca_server.store.anchor import Anchor, Anchored, FileAnchor

ORIGIN = "ca.example/ca-audit/1"
START = from_epoch(1_800_000_000)
ACTOR = Actor("process:test", "process", "system")


class Crash(Exception):
    """The process ended here."""


@dataclass
class ToldClock:
    """Says what it was told last."""

    moment: datetime = START

    def now(self) -> datetime:
        return self.moment

    def pass_seconds(self, seconds: int) -> None:
        self.moment += timedelta(seconds=seconds)


class MemorySigner:
    """A key in memory, used as a token's key is."""

    def __init__(self, private: ed25519.Ed25519PrivateKey | ec.EllipticCurvePrivateKey | None = None) -> None:
        self._private = private or ed25519.Ed25519PrivateKey.generate()
        self.signatures = 0

    @property
    def public_key(self) -> PublicKey:
        return self._private.public_key()

    @property
    def key_type(self) -> KeyType:
        key_type = key_type_of(self.public_key)
        assert key_type is not None
        return key_type

    def sign(self, data: bytes, algorithm: SignatureAlgorithm) -> bytes:
        self.signatures += 1
        if isinstance(self._private, ed25519.Ed25519PrivateKey):
            assert algorithm is SignatureAlgorithm.ED25519
            return self._private.sign(data)
        assert algorithm is SignatureAlgorithm.ECDSA_SHA256
        return self._private.sign(data, ec.ECDSA(hashes.SHA256()))


@dataclass
class Fuse:
    """Counts steps and crashes before or after the chosen one."""

    step: int
    after: bool
    passed: int = 0
    names: list[str] = field(default_factory=list)

    @contextmanager
    def around(self, name: str) -> Iterator[None]:
        self.passed += 1
        self.names.append(name)
        if self.passed == self.step and not self.after:
            raise Crash(f"before {name}")
        yield
        if self.passed == self.step and self.after:
            raise Crash(f"after {name}")


@dataclass
class FusedAnchor:
    """An anchor whose writing may crash."""

    anchor: Anchor
    fuse: Fuse

    def read(self) -> Anchored | None:
        return self.anchor.read()

    def swap(self, expected: Anchored | None, new: Anchored) -> bool:
        with self.fuse.around("anchor"):
            return self.anchor.swap(expected, new)


@dataclass
class FusedSigner:
    """A key whose use may crash."""

    signer: MemorySigner
    fuse: Fuse

    @property
    def public_key(self) -> PublicKey:
        return self.signer.public_key

    @property
    def key_type(self) -> KeyType:
        return self.signer.key_type

    def sign(self, data: bytes, algorithm: SignatureAlgorithm) -> bytes:
        with self.fuse.around("sign"):
            return self.signer.sign(data, algorithm)


class FusedDatabase:
    """A database whose commits may crash, each before or after it is durable."""

    def __init__(self, database: Any, fuse: Fuse) -> None:
        self._database = database
        self._fuse = fuse
        self.read = database.read

    @contextmanager
    def write(self) -> Iterator[Any]:
        with self._fuse.around("transaction"), self._database.write() as unit:
            yield unit


class AuditLog:
    """One log over a database: events go in, heads come out."""

    def __init__(self, database: Any, folder: Path, signer: MemorySigner | None = None) -> None:
        self.clock = ToldClock()
        self.database = database
        self.context = Context(self.clock, database, "ca-1")
        self.signer = signer or MemorySigner()
        self.anchor = FileAnchor(folder / "anchor.json")
        self.key = LogKey(ORIGIN, self.signer)

    @property
    def vkey(self) -> str:
        return str(self.key.verifier_key)

    def add(self, count: int) -> list[Event]:
        """Store this many events, in one transaction."""
        events = [
            self.context.event("token.revoked", ACTOR, {"token": f"token-{number}"})
            for number in range(count)
        ]
        with self.database.write() as unit:
            unit.commit(*events)
        return events

    def issue(self, certificate_id: str, serial: str = "01") -> tuple[Event, Event]:
        """The two events of one issuance, without the certificate."""
        intent = self.context.event(
            "issue.intent",
            ACTOR,
            {
                "authority": "i1",
                "serial": serial,
                "tbs_sha256": "aa",
                "profile": "tls-server",
                "policy_sha256": "bb",
                "request": "r",
            },
        )
        done = self.context.event(
            "issue.done",
            ACTOR,
            {"authority": "i1", "serial": serial, "tbs_sha256": "aa", "cert_sha256": certificate_id},
            ref=intent.event_id,
        )
        return intent, done

    def sequence(self, leader: str = "worker-1", **options: Any) -> Sequenced:
        return sequence_once(self.context, self.key, self.anchor, leader, **options)

    def sequence_all(self) -> int:
        """Sequence until nothing waits; return the size of the tree."""
        done = self.sequence()
        while done.events or done.signed:
            done = self.sequence()
        return done.tree_size

    def fused(self, fuse: Fuse) -> Sequenced:
        """One step of a process that crashes at the fuse."""
        database: Any = FusedDatabase(self.database, fuse)
        context = Context(self.clock, database, "ca-1")
        signer = FusedSigner(self.signer, fuse)
        anchor = FusedAnchor(self.anchor, fuse)
        return sequence_once(context, LogKey(ORIGIN, signer), anchor, "worker-1")
