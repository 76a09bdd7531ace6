"""A signer and a database that fail when they are told to, around the real ones."""

from __future__ import annotations

import time
from dataclasses import dataclass

from ca_server.hsm.port import Signer
from ca_server.services.lane import Signers, SignerSource
from ca_server.services.outcome import Outcomes


class AwkwardSource:
    """Opens the real keys; signing raises `fail` or takes `hang` seconds longer."""

    def __init__(self, real: SignerSource) -> None:
        self._real = real
        self.fail: Exception | None = None
        self.hang = 0.0

    def open(self) -> Signers:
        return {name: AwkwardSigner(self, signer) for name, signer in self._real.open().items()}

    def close(self) -> None:
        self._real.close()


@dataclass
class AwkwardSigner:
    source: AwkwardSource
    real: Signer

    @property
    def public_key(self):
        return self.real.public_key

    @property
    def key_type(self):
        return self.real.key_type

    def sign(self, data, algorithm):
        if self.source.fail is not None:
            raise self.source.fail
        time.sleep(self.source.hang)
        return self.real.sign(data, algorithm)


class AwkwardOutcomes:
    """Writes what the real one writes; raises before or after the step that it was told."""

    def __init__(self, real: Outcomes) -> None:
        self._real = real
        self.fail_before: str | None = None
        self.fail_after: str | None = None

    def store_intents(self, entries):
        return self._step("store_intents", entries)

    def store_certificates(self, batch):
        return self._step("store_certificates", batch)

    def _step(self, name, argument):
        if self.fail_before == name:
            raise ZeroDivisionError(name)
        result = getattr(self._real, name)(argument)
        if self.fail_after == name:
            raise ZeroDivisionError(name)
        return result
