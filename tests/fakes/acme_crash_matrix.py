"""Kills an ACME enrolment before and after each commit and each signature: no order is lost, none pays twice.

    python -m tests.fakes.acme_crash_matrix CONFIG

As `tests.fakes.crash_matrix`, over the whole way of an order. After each kill another process restarts,
recovers, and the client goes on with the order that it finds, as real ones do. In the end that name has
exactly one certificate, its order is valid, and `world.check` holds.
"""

from __future__ import annotations

import contextlib
import signal
import sys
import time
from datetime import timedelta
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec

from ca_server import compose
from ca_server.config import Config, load_config
from ca_server.core.acme.resources import Account, Order, OrderName, Status
from ca_server.core.clock import to_epoch
from ca_server.core.csr import parse_csr
from ca_server.core.identifiers import Identifier, IdentifierType
from ca_server.core.jose import parse_jwk
from ca_server.services.acme.accounts import NewAccount, create_account
from ca_server.services.acme.authorizations import find_authorization, respond
from ca_server.services.acme.finalize import Completion, finalize
from ca_server.services.acme.orders import NewOrder, OrderRules, create_order, find_order, list_orders
from ca_server.services.context import process_actor
from ca_server.services.recover import RecoverySettings
from ca_server.store import validations
from ca_server.store.engine import Database
from ca_server.store.validations import Attempt
from tests import world
from tests.fakes.crash_matrix import Steps, in_child
from tests.fixtures.acme_keys import make_account_key
from tests.fixtures.issuing import make_csr
from tests.fixtures.ordering import LIMITS, SETTINGS, URL

KEY = make_account_key()
CSR_KEY = ec.generate_private_key(ec.SECP256R1())
# Between two of these a kill is a transaction that never was.
FATAL = ("COMMIT", "SIGN")


def enrol(config: Config, name: str, steps: Steps | None, settings: RecoverySettings) -> None:
    """The whole way of one order, from wherever an earlier process was killed."""
    issuance = compose.open_issuance(config, "test", settings)
    issuance.lane.wait_until_ready(30)
    rules = OrderRules(SETTINGS, issuance.policies, issuance.issuers)
    profile = issuance.policies.profile("tls-server")
    new = NewAccount((), terms_agreed=False, external_binding=None, url=URL)
    account, _ = create_account(issuance.context, SETTINGS, profile, parse_jwk(KEY.jwk), new, "192.0.2.1")
    if steps:
        steps.watch(issuance)
    identifier = Identifier(IdentifierType.DNS, name)
    order = _find(issuance, account, identifier) or create_order(
        issuance.context, rules, account, profile, NewOrder((OrderName(identifier),))
    )
    if order.status is Status.PENDING:
        _prove(issuance, account, order)
    mint = issuance.mints["acme"]
    completion = Completion(
        issuance.context, issuance.gate, mint, issuance.policies, LIMITS, lambda _asks: None
    )
    csr = parse_csr(make_csr(CSR_KEY, name).encode())
    done = finalize(completion, account, f"{URL}{account.id}", order.id, csr.der)
    deadline = time.monotonic() + 30
    while done.status is Status.PROCESSING and time.monotonic() < deadline:
        # Left behind by the process that was killed; recovery settles it.
        time.sleep(0.1)
        done = find_order(issuance.context, account, order.id)
    assert done.status is Status.VALID, done.status
    issuance.close()


def _find(issuance: compose.Issuance, account: Account, identifier: Identifier) -> Order | None:
    for order_id in list_orders(issuance.context, account, after=None, limit=200):
        order = find_order(issuance.context, account, order_id)
        if order.identifiers == {identifier}:
            return order
    return None


def _prove(issuance: compose.Issuance, account: Account, order: Order) -> None:
    """What a worker does, with the network left out."""
    context = issuance.context
    found = find_authorization(context, account, order.authorization_ids[0])
    challenge = found.challenges[0]
    respond(context, account, challenge.id, f"{URL}{account.id}")
    now = to_epoch(context.clock.now())
    data = {
        "account": account.id,
        "authorization": found.id,
        "challenge": challenge.id,
        "identifier": str(found.identifier),
        "type": challenge.type.value,
    }
    event = context.event("validation.done", process_actor("worker"), data)
    with context.database.write() as unit:
        task = validations.read_validation_task(unit.connection, challenge.id, now)
        assert task is not None
        attempt = Attempt("success", now, None, {}, event.event_id, now + 3600)
        assert validations.record_attempt(unit, task, attempt)
        unit.commit(event)


def main(config_file: Path) -> None:
    config = load_config(config_file)
    patient = RecoverySettings()
    at_once = RecoverySettings(grace=timedelta(seconds=-1))
    names_file = config.state_directory / "acme-steps"
    steps = Steps(None, after=False)

    def undisturbed() -> None:
        enrol(config, "undisturbed.example.test", steps, patient)
        names_file.write_text("\n".join(steps.names))

    assert in_child(undisturbed) == 0
    steps_of_one = names_file.read_text().splitlines()
    kills = 0
    issued = 1
    for number, step in enumerate(steps_of_one):
        if step not in FATAL:
            continue
        for after in (False, True):
            name = f"{'after' if after else 'before'}-{number}.example.test"
            fatal = Steps(number, after=after)
            ended = in_child(lambda name=name, fatal=fatal: enrol(config, name, fatal, patient))
            assert ended == -signal.SIGKILL, f"step {number} {step} was not reached"
            assert in_child(lambda name=name: enrol(config, name, None, at_once)) == 0, (
                f"restart after {step}"
            )
            issued += 1
            with contextlib.closing(Database(config.database.url)) as database:
                counted = world.check(database)["certificates"]
            assert counted == issued, f"{counted - issued + 1} certificates for one order"
            kills += 1
            print(f"killed {'after' if after else 'before'} {number} {step}", flush=True)
    print(f"{kills} kills survived")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
