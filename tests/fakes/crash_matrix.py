"""Kills issuance at every step, before and after, and proves each time that nothing was lost.

    python -m tests.fakes.crash_matrix CONFIG

A step is one SQL statement, one commit, or one use of the HSM, as counted in an undisturbed run. For each
step a child process is forked that issues a certificate and is killed by SIGKILL right before or right
after the step. Then another child restarts, recovers, and repeats the client's request with its
Idempotency-Key; in the end there is one certificate for that key, and `world.check` holds.
Prints one line a kill, and `N kills survived` at the end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from sqlalchemy import event

from ca_server import compose
from ca_server.config import Config, load_config
from ca_server.core.authorization import Principal, Role
from ca_server.core.csr import parse_csr
from ca_server.services.certificate_request import CertificateRequest, Idempotency
from ca_server.services.recover import RecoverySettings
from ca_server.store.engine import Database
from ca_server.store.prepared import Prepared
from ca_server.store.unit_of_work import UnitOfWork
from tests import world

REQUESTER = Principal("token:crash", Role.REQUESTER, "token", ("tls-server",), ("dns:*.example.test",))


class Steps:
    """Counts the steps of a process and kills it before or after one of them."""

    def __init__(self, fatal: int | None, *, after: bool) -> None:
        self._fatal = fatal
        self._after = after
        self.names: list[str] = []

    def around(self, name: str, action: Callable[[], object]) -> object:
        """One step: here is where a process dies."""
        self.before(name)
        result = action()
        self.done()
        return result

    def before(self, name: str) -> None:
        self.names.append(name)
        if self._fatal == len(self.names) - 1 and not self._after:
            os.kill(os.getpid(), signal.SIGKILL)

    def done(self) -> None:
        if self._fatal == len(self.names) - 1 and self._after:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(self, issuance: compose.Issuance) -> None:
        """From now on, count what this process does to its database and its HSM."""
        engine = issuance.context.database.engine

        @event.listens_for(engine, "before_cursor_execute")
        def before(_connection, _cursor, statement, _parameters, _context, _many):
            self.before(" ".join(statement.split()[:3]))

        @event.listens_for(engine, "after_cursor_execute")
        def after(*_arguments):
            self.done()

        wrap(self, UnitOfWork, "_finish", "COMMIT")
        for name in ("all", "first", "run", "run_many"):
            wrap(self, Prepared, name, f"PREPARED {name}")
        signer = next(iter(issuance.lane._signers.values()))
        wrap(self, type(signer), "sign", "SIGN")


def wrap(steps: Steps, owner: type, name: str, step: str) -> None:
    """Make every call of a method a step."""
    method = getattr(owner, name)
    setattr(owner, name, lambda *given: steps.around(step, lambda: method(*given)))


def issue(config: Config, key: str, steps: Steps | None, settings: RecoverySettings | None = None) -> str:
    """Ask for one certificate; returns its id."""
    issuance = compose.open_issuance(config, "test", settings or RecoverySettings())
    issuance.lane.wait_until_ready(30)
    if steps:
        steps.watch(issuance)
    csr = parse_csr(Path(config.state_directory / "crash.csr").read_bytes())
    authorization = issuance.mints["rest"].authorize(REQUESTER, "tls-server", csr.identifiers)
    request = CertificateRequest(csr, authorization, idempotency=Idempotency(key, "0" * 64))
    issued = issuance.gate.issue(request)
    issuance.close()
    return issued.certificate_id


def restart(config: Config, key: str) -> None:
    """What happens after the crash: recovery settles what is open, and the client asks again."""
    at_once = RecoverySettings(grace=timedelta(seconds=-1))
    first = issue(config, key, None, at_once)
    assert first == issue(config, key, None), "the same key gave two certificates"


def in_child(action: Callable[[], object]) -> int:
    """Run in a forked process; returns how it ended."""
    child = os.fork()
    if child == 0:
        try:
            action()
        except BaseException:  # noqa: BLE001 - the child must end here, with its reason told
            traceback.print_exc()
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def count_steps(config: Config, names_file: Path) -> list[str]:
    """The steps of an undisturbed issuance."""
    steps = Steps(None, after=False)

    def undisturbed() -> None:
        issue(config, "undisturbed", steps)
        names_file.write_text("\n".join(steps.names))

    assert in_child(undisturbed) == 0
    return names_file.read_text().splitlines()


def main(config_file: Path) -> None:
    config = load_config(config_file)
    write_csr(config.state_directory / "crash.csr")
    names = count_steps(config, config.state_directory / "steps")
    assert "COMMIT" in names
    assert "SIGN" in names
    kills = 0
    issued = 1
    for number, name in enumerate(names):
        for after in (False, True):
            key = f"{number}-{after}"
            steps = Steps(number, after=after)
            ended = in_child(lambda key=key, steps=steps: issue(config, key, steps))
            assert ended == -signal.SIGKILL, f"step {number} {name} was not reached"
            assert in_child(lambda key=key: restart(config, key)) == 0, f"restart after {name}"
            issued += 1
            with contextlib.closing(Database(config.database.url)) as database:
                counted = world.check(database)["certificates"]
            assert counted == issued, f"{counted - issued + 1} certificates for one request"
            kills += 1
            print(f"killed {'after' if after else 'before'} {number} {name}", flush=True)
    print(f"{kills} kills survived")


def write_csr(path: Path) -> None:
    name = x509.SubjectAlternativeName([x509.DNSName("crash.example.test")])
    csr = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(name, critical=True)
        .sign(ec.generate_private_key(ec.SECP256R1()), hashes.SHA256())
    )
    path.write_bytes(csr.public_bytes(Encoding.DER))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
