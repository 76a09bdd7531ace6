"""Kills what leads to an approved certificate before and after each commit and each signature.

    python -m tests.fakes.approval_crash_matrix CONFIG

As `tests.fakes.crash_matrix`, from the first time that a certificate is asked for, over the decisions of two
officers, to the last. After each kill another process restarts, recovers, and everybody goes on as people
would: what was done is refused as done before. In the end there is one certificate, and `world.check` holds.
"""

from __future__ import annotations

import contextlib
import shutil
import signal
import sys
from datetime import timedelta
from pathlib import Path

from ca_server import compose
from ca_server.config import Config, PoliciesConfig, load_config
from ca_server.core.approvals import Decision
from ca_server.core.authorization import Principal, Role
from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError
from ca_server.policy_store import default_directory
from ca_server.services.approvals import decide_request
from ca_server.services.certificate_request import CertificateRequest, Idempotency
from ca_server.services.inventory import list_requests
from ca_server.services.pending import ApprovalPending
from ca_server.services.recover import RecoverySettings
from ca_server.store.engine import Database
from tests import world
from tests.fakes.crash_matrix import REQUESTER, Steps, in_child, write_csr

OFFICERS = [Principal(f"token:officer-{number}", Role.OFFICER, "token") for number in range(2)]
# Between two of these a kill is a transaction that never was.
FATAL = ("COMMIT", "SIGN")


def with_policies(config: Config) -> Config:
    """The same configuration with a profile that needs two approvals."""
    directory = config.state_directory / "policies"
    shutil.copytree(default_directory(), directory)
    document = (directory / "profiles/tls-server.toml").read_text()
    document = document.replace('name = "tls-server"', 'name = "approved"')
    document = document.replace("[requesters]", "[requesters]\napprovals = 2")
    (directory / "profiles/approved.toml").write_text(document)
    return config.model_copy(update={"policies": PoliciesConfig(directory=str(directory))})


def enrol(config: Config, key: str, steps: Steps | None, settings: RecoverySettings) -> None:
    """The whole way of one request, from wherever an earlier process was killed."""
    issuance = compose.open_issuance(config, "test", settings)
    issuance.lane.wait_until_ready(30)
    if steps:
        steps.watch(issuance)
    csr = parse_csr((config.state_directory / "crash.csr").read_bytes())
    authorization = issuance.mints["rest"].authorize(REQUESTER, "approved", csr.identifiers)
    request = CertificateRequest(csr, authorization, idempotency=Idempotency(key, "0" * 64))
    with contextlib.suppress(ApprovalPending):
        issuance.gate.issue(request)
    for waiting in list_requests(issuance.context, OFFICERS[0], status="pending", after=None, limit=2):
        for officer in OFFICERS:
            _approve(issuance, officer, waiting.id)
    assert issuance.gate.issue(request) == issuance.gate.issue(request)
    issuance.close()


def _approve(issuance: compose.Issuance, officer: Principal, request_id: str) -> None:
    rules = issuance.policies.approvals
    try:
        decide_request(issuance.context, officer, rules, request_id, Decision.APPROVED, "")
    except CaError as error:
        # Done by the process that was killed.
        if error.rule_ids != ("APPROVAL-DECIDED",):
            raise


def main(config_file: Path) -> None:
    config = with_policies(load_config(config_file))
    write_csr(config.state_directory / "crash.csr")
    patient, at_once = RecoverySettings(), RecoverySettings(grace=timedelta(seconds=-1))
    names_file = config.state_directory / "approval-steps"
    steps = Steps(None, after=False)

    def undisturbed() -> None:
        enrol(config, "undisturbed", steps, patient)
        names_file.write_text("\n".join(steps.names))

    assert in_child(undisturbed) == 0
    kills = 0
    issued = 1
    for number, step in enumerate(names_file.read_text().splitlines()):
        if step not in FATAL:
            continue
        for after in (False, True):
            key = f"{number}-{after}"
            fatal = Steps(number, after=after)
            ended = in_child(lambda key=key, fatal=fatal: enrol(config, key, fatal, patient))
            assert ended == -signal.SIGKILL, f"step {number} {step} was not reached"
            assert in_child(lambda key=key: enrol(config, key, None, at_once)) == 0, f"restart after {step}"
            issued += 1
            with contextlib.closing(Database(config.database.url)) as database:
                counted = world.check(database)["certificates"]
            assert counted == issued, f"{counted - issued + 1} certificates for one request"
            kills += 1
            print(f"killed {'after' if after else 'before'} {number} {step}", flush=True)
    print(f"{kills} kills survived")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
