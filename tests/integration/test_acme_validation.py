"""Validation as due work: retried, stored once, dropped where nobody wants it, never lost with a worker."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from prometheus_client import REGISTRY

from ca_server.core.acme.challenges import ValidationFailed, txt_name, txt_value
from ca_server.core.acme.resources import Account, Challenge, ChallengeType, NameAuthorization, Status
from ca_server.core.acme.settings import AcmeConfig, AcmeLimits, AcmeValidation
from ca_server.core.errors import CaError, Kind
from ca_server.core.jose import parse_jwk
from ca_server.services.acme.accounts import change_key, deactivate_account
from ca_server.services.acme.authorizations import (
    MAX_WAITING,
    deactivate_authorization,
    find_authorization,
    find_challenge,
    respond,
)
from ca_server.services.acme.challenge_checks import Prober
from ca_server.services.acme.validate import LEASE_SECONDS, MAX_DEATHS, validate_once
from ca_server.store import acme_tables, tables, validations
from tests import world
from tests.fixtures.acme_keys import make_account_key
from tests.fixtures.ordering import URL, Ordering

LIMITS = AcmeLimits(pause_after_failures=3, pause_after="1s")
SETTINGS = AcmeConfig(caa_identities=("ca.test",), limits=LIMITS)


def allow(_task, evidence, _now):
    evidence.note("allowed")


def deny(_task, evidence, _now):
    evidence.note("denied")
    raise ValidationFailed("incorrectResponse", "there is something else")


@dataclass
class Asked:
    """One challenge that waits for a worker."""

    ordering: Ordering
    account: Account
    challenge_id: str

    @property
    def context(self):
        return self.ordering.issuing.context

    @property
    def found(self) -> tuple[NameAuthorization, Challenge]:
        return find_challenge(self.context, self.account, self.challenge_id)

    @property
    def statuses(self) -> tuple[str, str]:
        authorization, challenge = self.found
        return authorization.status.value, challenge.status.value

    def rows(self, table) -> list:
        with self.context.database.read() as connection:
            return connection.execute(table.select()).all()

    def events(self, prefix: str) -> list[dict]:
        leaves = [json.loads(each.body) for each in self.rows(tables.audit_event)]
        return [each for each in leaves if each["kind"].startswith(prefix)]

    def once(self, check, settings=SETTINGS) -> bool:
        return validate_once(self.context, check, settings)

    def later(self, seconds: int) -> None:
        self.ordering.issuing.clock.advance(seconds=seconds)


def ask(ordering: Ordering, name="www.example.com", kind=ChallengeType.DNS_01, account=None) -> Asked:
    account = account or ordering.account()
    order = ordering.order(account, name)
    [authorization] = ordering.authorizations(account, order)
    challenge = next(each for each in authorization.challenges if each.type is kind)
    respond(ordering.issuing.context, account, challenge.id, f"{URL}{account.id}")
    return Asked(ordering, account, challenge.id)


@pytest.fixture
def asked(ordering) -> Asked:
    return ask(ordering)


def test_a_success_is_stored_with_its_evidence_and_its_event_and_nothing_is_left_to_do(asked):
    assert asked.statuses == ("pending", "processing")
    assert asked.once(allow)
    assert asked.statuses == ("valid", "valid")
    authorization, challenge = asked.found
    now = int(asked.context.clock.now().timestamp())
    assert challenge.validated_at == now
    assert authorization.caa_checked_at == now
    assert authorization.expires_at == now + 8 * 3600
    [row] = asked.rows(acme_tables.acme_validation)
    [event] = asked.events("validation.")
    assert (row.outcome, row.event_id, row.number) == (
        "success",
        event["event_id"],
        authorization.evidence_number,
    )
    assert json.loads(row.evidence) == {"notes": [{"step": "allowed"}]}
    assert event["kind"] == "validation.done"
    assert event["data"] == {
        "account": asked.account.id,
        "authorization": authorization.id,
        "challenge": asked.challenge_id,
        "identifier": "dns:www.example.com",
        "type": "dns-01",
    }
    assert asked.rows(tables.due_work) == []
    assert not asked.once(allow)
    world.check(asked.context.database)


def test_every_attempt_is_counted_by_its_type_and_result(asked):
    before = {result: counted(result) for result in ("success", "retry", "failure")}
    asked.once(deny)
    asked.later(1)
    asked.once(allow)
    after = {result: counted(result) - count for result, count in before.items()}
    assert after == {"success": 1, "retry": 1, "failure": 0}


def counted(result: str) -> float:
    labels = {"type": "dns-01", "result": result}
    return REGISTRY.get_sample_value("sealkeeper_acme_validations_total", labels) or 0


def test_what_ends_by_its_own_words_ends_the_authorization(asked):
    end = int(asked.context.clock.now().timestamp()) + 600
    asked.once(lambda _task, _evidence, _now: end)
    assert asked.found[0].expires_at == end
    asked.later(600)
    assert asked.statuses == ("expired", "valid")


def test_a_failure_is_retried_with_growing_pauses_and_shown_meanwhile_and_final_in_the_end(asked):
    """RFC 8555 §8.2: processing with the newest error while it is tried again."""
    for pause in (1, 2, 4):
        assert asked.once(deny)
        assert asked.statuses == ("pending", "processing")
        assert asked.found[1].error.type == "incorrectResponse"
        assert not asked.once(deny)
        asked.later(pause - 1)
        assert not asked.once(deny)
        asked.later(1)
    assert asked.once(deny)
    assert asked.statuses == ("invalid", "invalid")
    assert asked.found[1].error.detail == "there is something else"
    assert [row.outcome for row in asked.rows(acme_tables.acme_validation)] == [*["retry"] * 3, "failure"]
    [event] = asked.events("validation.")
    assert (event["kind"], event["outcome"]) == ("validation.failed", "failure")
    assert event["data"]["error"] == "incorrectResponse"
    assert asked.rows(tables.due_work) == []
    world.check(asked.context.database)


def test_a_retry_may_succeed(asked):
    asked.once(deny)
    asked.later(1)
    asked.once(allow)
    assert asked.statuses == ("valid", "valid")
    assert asked.found[1].error is None


def test_a_fault_of_ours_is_a_failed_attempt_and_tells_nothing(asked, logged):
    def broken(_task, _evidence, _now):
        raise KeyError("a secret")

    asked.once(broken)
    error = asked.found[1].error
    assert error.type == "serverInternal"
    assert "secret" not in error.detail
    assert "secret" not in json.dumps(logged())
    assert "validation.bug" in [line["event.action"] for line in logged()]


@pytest.mark.parametrize("when", ["before", "meanwhile"])
@pytest.mark.parametrize("what", ["authorization", "account"])
def test_what_nobody_wants_any_more_is_dropped(asked, when, what):
    def end():
        if what == "account":
            deactivate_account(asked.context, asked.account)
        else:
            deactivate_authorization(asked.context, asked.account, asked.found[0].id)

    def check(task, evidence, now):
        assert when == "meanwhile"
        end()

    if when == "before":
        end()
    assert asked.once(check)
    assert asked.rows(acme_tables.acme_validation) == []
    assert asked.events("validation.") == []
    assert asked.rows(tables.due_work) == []
    assert asked.found[0].status is (Status.DEACTIVATED if what == "authorization" else Status.PENDING)


def test_an_authorization_that_expires_meanwhile_is_not_made_valid(asked):
    asked.once(lambda *_arguments: asked.later(200_000))
    assert asked.found[0].status is Status.EXPIRED
    assert asked.rows(acme_tables.acme_validation) == []


def test_a_dead_workers_challenge_is_taken_up_when_its_lease_ends(asked):
    class Killed(BaseException):
        pass

    def die(_task, _evidence, _now):
        raise Killed

    with pytest.raises(Killed):
        asked.once(die)
    assert not asked.once(allow)
    asked.later(LEASE_SECONDS - 1)
    assert not asked.once(allow)
    asked.later(1)
    assert asked.once(allow)
    assert asked.statuses == ("valid", "valid")


def test_who_comes_back_after_the_lease_changes_nothing(asked):
    def slow(_task, _evidence, _now):
        asked.later(LEASE_SECONDS)
        assert asked.once(deny)

    asked.once(slow)
    assert asked.statuses == ("pending", "processing")
    [row] = asked.rows(acme_tables.acme_validation)
    assert row.outcome == "retry"


def test_a_challenge_that_kills_workers_is_given_up(asked, logged):
    class Killed(BaseException):
        pass

    def die(_task, _evidence, _now):
        raise Killed

    for _ in range(MAX_DEATHS):
        with pytest.raises(Killed):
            asked.once(die)
        asked.later(LEASE_SECONDS)
    assert asked.once(die)
    assert asked.statuses == ("invalid", "invalid")
    assert asked.found[1].error.type == "serverInternal"
    assert "validation.given_up" in [line["event.action"] for line in logged()]


def test_failures_in_a_row_pause_the_name(ordering):
    account = ordering.account()
    once = SETTINGS.model_copy(update={"validation": AcmeValidation(attempts=1)})
    for _ in range(3):
        failed = ask(ordering, account=account)
        failed.once(deny, once)
        failed.later(1)
    assert [each["kind"] for each in failed.events("name.")] == ["name.paused"]


def test_an_account_with_many_challenges_keeps_no_other_waiting(ordering):
    greedy = ordering.account()
    waiting = [ask(ordering, f"host{number}.example.com", account=greedy) for number in range(12)]
    ordering.issuing.clock.advance(seconds=1)
    other = ask(ordering)
    met: list[str] = []

    def check(task, _evidence, _now):
        """Whoever looks at the network; meanwhile another thread takes the next one."""
        met.append(task.account_id)
        waiting[0].once(check)

    waiting[0].once(check)
    half = AcmeValidation().threads // 2
    assert met == [greedy.id] * half + [other.account.id] + [greedy.id] * (12 - half)


def test_an_account_may_have_so_many_challenges_waiting_and_no_more(ordering):
    context, account = ordering.issuing.context, ordering.account()
    names = [f"host{number}.example.com" for number in range(MAX_WAITING)]
    for start in range(0, MAX_WAITING, 50):
        for each in ordering.authorizations(account, ordering.order(account, *names[start : start + 50])):
            respond(context, account, each.challenges[0].id, f"{URL}{account.id}")
    with pytest.raises(CaError) as caught:
        ask(ordering, "one.example.com", account=account)
    refused = caught.value
    assert (refused.kind, refused.rule_ids) == (Kind.RATE_LIMITED, ("ACME-LIMIT-VALIDATIONS",))
    assert refused.retry_after == 30
    ordering.issuing.clock.advance(seconds=1)
    other = ask(ordering, "other.example.com")
    assert other.statuses == ("pending", "processing")
    other.once(allow)
    assert ask(ordering, "one.example.com", account=account).statuses == ("pending", "processing")


@pytest.mark.parametrize("outcome", [allow, deny])
def test_an_attempt_with_a_key_that_was_changed_meanwhile_says_nothing(asked, outcome):
    keys = [asked.account.thumbprint]

    def check(task, evidence, now):
        assert task.thumbprint == keys[-1]
        if len(keys) == 1:
            jwk = parse_jwk(make_account_key().jwk)
            change_key(asked.context, LIMITS, asked.account, jwk)
            keys.append(jwk.thumbprint)
        outcome(task, evidence, now)

    once = SETTINGS.model_copy(update={"validation": AcmeValidation(attempts=1)})
    assert asked.once(check, once)
    assert asked.statuses == ("pending", "processing")
    assert asked.rows(acme_tables.acme_validation) == []
    assert asked.events("validation.") == []
    [due] = asked.rows(tables.due_work)
    assert (due.lease_owner, due.attempts) == (None, 0)
    assert asked.once(check, once)
    assert asked.statuses == (("valid", "valid") if outcome is allow else ("invalid", "invalid"))
    world.check(asked.context.database)


def test_a_key_is_not_changed_between_the_last_look_at_it_and_the_outcome(asked, monkeypatch):
    record = validations.record_attempt
    jwk = parse_jwk(make_account_key().jwk)
    change = threading.Thread(target=change_key, args=(asked.context, LIMITS, asked.account, jwk))

    def record_late(unit, task, attempt):
        change.start()
        change.join(0.5)
        assert change.is_alive()
        return record(unit, task, attempt)

    monkeypatch.setattr(validations, "record_attempt", record_late)
    assert asked.once(allow)
    change.join()
    assert asked.statuses == ("valid", "valid")
    assert [each["kind"] for each in asked.events("")][-2:] == ["validation.done", "account.key-changed"]


def test_many_workers_give_every_challenge_exactly_one_outcome(ordering):
    account = ordering.account()
    waiting = [ask(ordering, f"host{number}.example.com", account=account) for number in range(25)]
    met: list[str] = []
    lock = threading.Lock()

    def check(task, _evidence, _now):
        with lock:
            met.append(task.challenge_id)

    def work(_number):
        while waiting[0].once(check):
            pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    assert sorted(met) == sorted(each.challenge_id for each in waiting)
    assert {each.statuses for each in waiting} == {("valid", "valid")}
    assert len(waiting[0].events("validation.done")) == 25
    world.check(ordering.issuing.context.database)


def test_from_a_real_record_in_dns_to_a_valid_authorization(ordering, zone):
    validation = AcmeValidation(resolvers=(zone.place,))
    settings = AcmeConfig(caa_identities=("ca.test",), validation=validation)
    asked = ask(ordering, "www.example.com")
    prober = Prober(settings, loopback=False)
    asked.once(prober.check, settings)
    assert asked.found[1].error.type == "dns"
    name = txt_name(ChallengeType.DNS_01, "www.example.com", "")
    zone.add(name, "TXT", txt_value(asked.found[1].token, asked.account.thumbprint))
    asked.later(1)
    asked.once(prober.check, settings)
    assert asked.statuses == ("valid", "valid")
    newest = asked.rows(acme_tables.acme_validation)[-1]
    steps = [each["step"] for each in json.loads(newest.evidence)["notes"]]
    assert steps == ["dns", "dns", "dns", "dns", "caa"]
    assert (
        find_authorization(asked.context, asked.account, asked.found[0].id).evidence_number == newest.number
    )
