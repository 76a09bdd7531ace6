"""Kills an EST enrolment before and after each commit and each signature: no secret is spent for nothing.

    python -m tests.fakes.est_crash_matrix CONFIG

As `tests.fakes.crash_matrix`: a device enrols with a secret that gives one certificate, then renews what it
has. After each kill another process restarts, recovers, and the device sends the same CSRs again. In the
end there are exactly its two certificates, and `world.check` holds.
"""

from __future__ import annotations

import contextlib
import signal
import sys
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from ca_server import compose
from ca_server.config import Config, load_config
from ca_server.core.csr import parse_csr
from ca_server.core.est.settings import EstConfig
from ca_server.peer import Peer
from ca_server.services.credentials import OPERATOR
from ca_server.services.est.applicants import identify
from ca_server.services.est.enrol import enrol
from ca_server.services.est.manufacturers import Manufacturers
from ca_server.services.est.parts import EstParts
from ca_server.services.est.reenrol import predecessor_of, reenrol
from ca_server.services.est.secrets import NewEnrolmentSecret, create_enrolment_secret
from ca_server.services.recover import RecoverySettings
from ca_server.services.refusals import RefusalLog
from ca_server.store.engine import Database
from ca_server.store.unit_of_work import UnitOfWork
from tests import world
from tests.fakes.crash_matrix import Steps, in_child, wrap
from tests.fixtures.issuing import make_csr

OLD_KEY = ec.generate_private_key(ec.SECP256R1())
NEW_KEY = ec.generate_private_key(ec.SECP256R1())


class Durable(Steps):
    """Commits and signatures alone: between two of them a kill is a transaction that never was."""

    def watch(self, issuance: compose.Issuance) -> None:
        """From now on, count what this process leaves behind for ever."""
        signer = next(iter(issuance.lane._signers.values()))
        wrap(self, UnitOfWork, "_finish", "COMMIT")
        wrap(self, type(signer), "sign", "SIGN")


def live(config: Config, name: str, steps: Steps | None, settings: RecoverySettings) -> None:
    """A device's first two certificates, from wherever an earlier process was killed."""
    issuance = compose.open_issuance(config, "test", settings)
    issuance.lane.wait_until_ready(30)
    context, policies = issuance.context, issuance.policies
    parts = EstParts(
        context,
        issuance.gate,
        issuance.mints["est"],
        policies,
        EstConfig(),
        Manufacturers(),
        RefusalLog(context),
    )
    profile = policies.profile("tls-peer")
    # The device was given its secret long before; the file is that device's memory.
    memory = config.state_directory / f"{name}.secret"
    if not memory.exists():
        new = NewEnrolmentSecret("a crash", "tls-peer", (f"dns:{name}",), timedelta(days=1))
        secret, text = create_enrolment_secret(context, policies, OPERATOR, new)
        memory.write_text(f"{secret.id}:{text}")
    user, _, password = memory.read_text().partition(":")
    if steps:
        steps.watch(issuance)
    applicant = identify(parts, Peer(), (user, password), "192.0.2.1", profile)
    first, second = (
        parse_csr((config.state_directory / f"{name}.{each}.csr").read_bytes()) for each in ("old", "new")
    )
    old = enrol(parts, applicant, profile, first)
    peer = Peer(old.der)
    renewed = reenrol(parts, predecessor_of(parts, peer), peer, None, second)
    assert renewed.certificate_id != old.certificate_id
    issuance.close()


def main(config_file: Path) -> None:
    config = load_config(config_file)
    patient = RecoverySettings()
    at_once = RecoverySettings(grace=timedelta(seconds=-1))
    names_file = config.state_directory / "est-steps"
    steps = Durable(None, after=False)

    def undisturbed() -> None:
        live(config, "undisturbed.example.test", steps, patient)
        names_file.write_text("\n".join(steps.names))

    write_csrs(config, "undisturbed.example.test")
    assert in_child(undisturbed) == 0
    kills = 0
    issued = 2
    for number, step in enumerate(names_file.read_text().splitlines()):
        for after in (False, True):
            name = f"{'after' if after else 'before'}-{number}.example.test"
            write_csrs(config, name)
            fatal = Durable(number, after=after)
            ended = in_child(lambda name=name, fatal=fatal: live(config, name, fatal, patient))
            assert ended == -signal.SIGKILL, f"step {number} {step} was not reached"
            restarted = in_child(lambda name=name: live(config, name, None, at_once))
            assert restarted == 0, f"restart after {step}"
            issued += 2
            with contextlib.closing(Database(config.database.url)) as database:
                counted = world.check(database)["certificates"]
            assert counted == issued, f"{counted - issued + 2} certificates for one device"
            kills += 1
            print(f"killed {'after' if after else 'before'} {number} {step}", flush=True)
    print(f"{kills} kills survived")


def write_csrs(config: Config, name: str) -> None:
    """The two CSRs of a device, kept so that it sends the same bytes again."""
    (config.state_directory / f"{name}.old.csr").write_text(make_csr(OLD_KEY, name))
    (config.state_directory / f"{name}.new.csr").write_text(make_csr(NEW_KEY, name))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
