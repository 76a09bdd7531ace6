"""Requests that wait for officers: over REST, at the gate, in races, and what has no side door."""

from __future__ import annotations

import json
import threading
from collections import Counter
from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import text

from ca_server.core.acme.settings import AcmeLimits
from ca_server.core.approvals import ApprovalRules, Decision
from ca_server.core.authorization import Principal, Role
from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError, Kind
from ca_server.core.profile import parse_profile
from ca_server.policy_store import default_directory
from ca_server.services.acme.claims import OrderClaim
from ca_server.services.approvals import decide_request
from ca_server.services.certificate_request import CertificateRequest, Idempotency, asked_at
from ca_server.services.context import actor_of, process_actor
from ca_server.services.credentials import Grant, create_grant, create_token
from ca_server.services.outcome import Outcomes
from ca_server.services.pending import ApprovalPending, refuse_overdue
from ca_server.services.recover import LeftBehind, RecoverySettings
from ca_server.services.simulate import Trial, simulate
from ca_server.services.stored_intent import IntentCheck
from ca_server.store import approvals
from ca_server.store.approvals import Approval
from ca_server.store.requests import find_past_request
from ca_server.store.unit_of_work import BrokenRule
from tests import world
from tests.fixtures.issuing import make_csr

URL = "/api/v1/certificate-requests"
REQUESTER = Principal("token:device", Role.REQUESTER, "token", ("*",), ("*",))
OFFICERS = [Principal(f"token:officer-{number}", Role.OFFICER, "token") for number in range(3)]

ADMINISTRATOR = Principal("token:administrator", Role.ADMINISTRATOR, "token", ("*",), ("*",))


@pytest.fixture
def approving(issuing):
    """The certificate authority with a profile that needs two approvals."""
    use_profile(issuing)
    yield issuing
    world.check(issuing.context.database)


def use_profile(issuing, *, needed=2, keys=None, name="approved"):
    document = (default_directory() / "profiles/tls-server.toml").read_text()
    document = document.replace('name = "tls-server"', f'name = "{name}"')
    document = document.replace("[requesters]", f"[requesters]\napprovals = {needed}")
    if keys:
        document = document.replace("allowed = [", f'allowed = ["{keys}"]\n# [', 1)
    issuing.policies._profiles[name] = parse_profile(document.encode(), source=f"{name}.toml")


def use_rules(issuing, **changed):
    issuing.policies.approvals = ApprovalRules(**changed)


def csr_for(name="www.example.com"):
    return parse_csr(make_csr(ec.generate_private_key(ec.SECP256R1()), name).encode())


def request_for(issuing, csr, *, key="k", principal=REQUESTER, **more):
    authorization = issuing.mints["rest"].authorize(principal, "approved", csr.identifiers)
    idempotency = Idempotency(key, "0" * 64) if key else None
    return CertificateRequest(csr, authorization, idempotency=idempotency, **more)


def wait(issuing, request):
    with pytest.raises(ApprovalPending) as pending:
        issuing.gate.issue(request)
    assert pending.value.kind is Kind.NOT_READY
    assert pending.value.rule_ids == ("APPROVAL-PENDING",)
    return pending.value.request_id


def refused(issuing, request):
    with pytest.raises(CaError) as refusal:
        issuing.gate.issue(request)
    assert not isinstance(refusal.value, ApprovalPending)
    return refusal.value.kind, refusal.value.rule_ids


def decide(issuing, request_id, officer, decision=Decision.APPROVED, comment=""):
    rules = issuing.policies.approvals
    return decide_request(issuing.context, officer, rules, request_id, decision, comment)


def not_decided(issuing, *arguments):
    with pytest.raises(CaError) as refusal:
        decide(issuing, *arguments)
    return refusal.value.rule_ids


def approve(issuing, request_id, count=2):
    for officer in OFFICERS[:count]:
        decide(issuing, request_id, officer)


def events(issuing, kind):
    query = text("SELECT body FROM audit_event WHERE kind = :kind ORDER BY number")
    with issuing.context.database.read() as connection:
        return [json.loads(bytes(body)) for (body,) in connection.execute(query, {"kind": kind})]


def status(issuing, request_id):
    with issuing.context.database.read() as connection:
        return find_past_request(connection, request_id).status


def test_after_enough_approvals_the_same_request_gives_one_certificate(approving):
    request = request_for(approving, csr_for())
    request_id = wait(approving, request)
    assert wait(approving, request) == request_id
    decide(approving, request_id, OFFICERS[0])
    assert wait(approving, request) == request_id
    decide(approving, request_id, OFFICERS[1])
    approving.clock.advance(hours=1)
    issued = approving.gate.issue(request)
    assert issued.request_id == request_id
    assert approving.gate.issue(request) == issued
    certificate = x509.load_der_x509_certificate(issued.der)
    assert certificate.not_valid_before_utc > approving.clock.now() - timedelta(minutes=10)
    [asked] = events(approving, "approval.requested")
    assert asked["data"]["approvals"] == 2
    assert [each["actor"]["id"] for each in events(approving, "approval.decided")] == [
        "token:officer-0",
        "token:officer-1",
    ]
    assert events(approving, "issue.intent")[-1]["data"]["approvals"] == 2


def test_r36_of_a_hundred_retries_of_an_approved_request_one_certificate_comes(approving):
    request = request_for(approving, csr_for())
    approve(approving, wait(approving, request))
    seen: Counter[str] = Counter()
    lock = threading.Lock()

    def race():
        issued = approving.gate.issue(request)
        with lock:
            seen[issued.certificate_id] += 1

    threads = [threading.Thread(target=race) for _ in range(100)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert list(seen.values()) == [100]
    assert world.check(approving.context.database)["certificates"] == 1


def test_r36_of_many_first_times_one_request_waits(approving):
    request = request_for(approving, csr_for())
    seen = set()

    def race():
        seen.add(wait(approving, request))

    threads = [threading.Thread(target=race) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 1
    assert len(events(approving, "approval.requested")) == 1


def test_r36_a_rejection_that_races_with_retries_leaves_a_certificate_or_a_rejection(approving):
    for number in range(8):
        request = request_for(approving, csr_for(), key=f"race-{number}")
        request_id = wait(approving, request)
        approve(approving, request_id)
        ends = []

        def ask(request=request, ends=ends):
            try:
                ends.append(approving.gate.issue(request).request_id)
            except CaError as error:
                ends.append(error.rule_ids)

        def reject(request_id=request_id, ends=ends):
            try:
                decide(approving, request_id, OFFICERS[2], Decision.REJECTED)
            except CaError as error:
                ends.append(request_id if error.rule_ids == ("APPROVAL-CLOSED",) else error)
            else:
                ends.append(("APPROVAL-REJECTED",))

        threads = [threading.Thread(target=each) for each in (ask, reject, ask)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(ends)) == 1, ends


def test_a_rejection_ends_a_request_whatever_others_said(approving):
    request = request_for(approving, csr_for())
    request_id = wait(approving, request)
    approve(approving, request_id)
    decide(approving, request_id, OFFICERS[2], Decision.REJECTED, "not ours")
    for _ in range(2):
        with pytest.raises(CaError, match="not ours") as refusal:
            approving.gate.issue(request)
        assert (refusal.value.kind, refusal.value.rule_ids) == (Kind.FORBIDDEN, ("APPROVAL-REJECTED",))
    assert not_decided(approving, request_id, OFFICERS[0]) == ("APPROVAL-CLOSED",)


def test_r40_an_officer_decides_once_and_never_on_a_request_of_their_own(approving):
    own = replace(OFFICERS[0], profiles=("*",), names=("*",))
    request = request_for(approving, csr_for(), principal=own)
    request_id = wait(approving, request)
    assert not_decided(approving, request_id, OFFICERS[0]) == ("APPROVAL-OWN",)
    decide(approving, request_id, OFFICERS[1])
    assert not_decided(approving, request_id, OFFICERS[1]) == ("APPROVAL-DECIDED",)
    assert not_decided(approving, request_id, OFFICERS[1], Decision.REJECTED) == ("APPROVAL-DECIDED",)
    assert status(approving, request_id) == "pending"
    assert wait(approving, request) == request_id


@pytest.mark.parametrize("kind", ["token", "key"])
def test_r40_who_makes_a_credential_does_not_approve_what_is_asked_for_with_it(approving, kind):
    principal = credential_of(approving, kind, ADMINISTRATOR)
    request = request_for(approving, csr_for(), principal=principal)
    request_id = wait(approving, request)
    assert not_decided(approving, request_id, ADMINISTRATOR) == ("APPROVAL-OWN",)
    approve(approving, request_id)
    assert approving.gate.issue(request).request_id == request_id


def test_r40_nothing_is_approved_while_the_log_does_not_tell_who_made_the_credential(approving):
    request = request_for(approving, csr_for(), principal=credential_of(approving, "token", ADMINISTRATOR))
    request_id = wait(approving, request)
    approve(approving, request_id)
    other = events(approving, "approval.requested")[-1]["event_id"]
    with approving.context.database.write() as unit:
        unit.connection.execute(text("UPDATE api_token SET event_id = :other"), {"other": other})
        unit.commit_unaudited("an insider hides who made a token")
    assert wait(approving, request) == request_id


def credential_of(issuing, kind, maker):
    """Who a new token or granted key of this maker stands for."""
    grant = Grant("a device", Role.REQUESTER, ("*",), ("*",), timedelta(days=1))
    if kind == "token":
        made, _ = create_token(issuing.context, maker, grant)
    else:
        made = create_grant(issuing.context, maker, grant, "ab" * 32)
    return replace(REQUESTER, id=f"{kind}:{made.id}")


@pytest.mark.parametrize("role", [Role.REQUESTER, Role.AUDITOR])
def test_r40_only_officers_and_administrators_decide(approving, role):
    request_id = wait(approving, request_for(approving, csr_for()))
    assert not_decided(approving, request_id, Principal("token:x", role, "token")) == ("ACCESS-ROLE",)


@pytest.mark.parametrize(
    ("changed", "actor"),
    [
        ({"decision": "rejected"}, "token:insider"),
        ({"csr_sha256": "0" * 64}, "token:insider"),
        ({"request": "another"}, "token:insider"),
        ({}, "token:somebody-else"),
        ({}, "token:device"),
    ],
)
def test_r40_a_row_that_the_log_does_not_bear_out_counts_for_nothing(approving, changed, actor):
    request = request_for(approving, csr_for())
    request_id = wait(approving, request)
    decide(approving, request_id, OFFICERS[0])
    data = {**events(approving, "approval.decided")[-1]["data"], **changed}
    insert_approval(approving, request_id, data, Principal(actor, Role.OFFICER, "token"))
    assert wait(approving, request) == request_id


def insert_approval(issuing, request_id, data, principal):
    """What somebody with the database in their hands would put there."""
    event = issuing.context.event("approval.decided", actor_of(principal), data)
    row = principal.id if principal.id == REQUESTER.id else "token:insider"
    with issuing.context.database.write() as unit:
        approvals.insert_approval(unit, Approval(request_id, row, "approved", "", 0, event.event_id))
        unit.commit(event)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE certificate_request SET csr_der = CAST('other' AS {blob})",
        "UPDATE certificate_request SET requested = '{{}}'",
        "UPDATE certificate_request SET principal_id = 'token:other'",
        "UPDATE certificate_request SET status = 'pending' WHERE status = 'rejected'",
        "UPDATE approval SET decision = 'approved'",
        "DELETE FROM approval",
    ],
)
def test_r40_the_database_keeps_what_was_asked_for_and_decided(approving, statement):
    request_id = wait(approving, request_for(approving, csr_for()))
    decide(approving, request_id, OFFICERS[0], Decision.REJECTED)
    blob = "BLOB" if approving.context.database.is_sqlite else "BYTEA"
    with pytest.raises(BrokenRule), approving.context.database.write() as unit:
        unit.connection.execute(text(statement.format(blob=blob)))


def test_a_request_with_the_same_key_for_something_else_is_refused(approving):
    csr = csr_for()
    wait(approving, request_for(approving, csr))
    assert refused(approving, request_for(approving, csr_for()))[1] == ("IDEMPOTENCY-REUSED",)
    later = approving.clock.now() + timedelta(days=1)
    assert refused(approving, request_for(approving, csr, not_after=later))[1] == ("IDEMPOTENCY-REUSED",)


def test_the_policy_of_then_decides(approving):
    request = request_for(approving, csr_for())
    request_id = wait(approving, request)
    approve(approving, request_id)
    use_profile(approving, keys="rsa-3072")
    for _ in range(2):
        assert refused(approving, request)[1] == ("KEY-PROFILE",)
    assert status(approving, request_id) == "refused"
    assert events(approving, "issue.refused")[-1]["data"]["request"] == request_id


def test_more_approvals_may_be_asked_for_meanwhile(approving):
    request = request_for(approving, csr_for())
    request_id = wait(approving, request)
    approve(approving, request_id)
    use_profile(approving, needed=3)
    assert wait(approving, request) == request_id
    decide(approving, request_id, OFFICERS[2])
    assert approving.gate.issue(request).request_id == request_id


def test_a_key_reported_while_it_waits_gets_no_certificate(approving):
    csr = csr_for()
    request = request_for(approving, csr)
    approve(approving, wait(approving, request))
    event = approving.context.event(
        "key.compromised", process_actor("test"), {"spki_sha256": csr.spki_sha256}
    )
    with approving.context.database.write() as unit:
        row = {"spki": csr.spki_sha256, "event": event.event_id}
        unit.connection.execute(text("INSERT INTO compromised_key VALUES (:spki, 0, 'leaked', :event)"), row)
        unit.commit(event)
    assert refused(approving, request)[1] == ("KEY-COMPROMISED",)


def test_what_would_be_refused_anyway_never_waits(approving):
    kind, rules = refused(approving, request_for(approving, csr_for("under_score.example.com")))
    assert kind is Kind.POLICY_REFUSED
    assert "PROFILE-NAME-UNDERSCORE" in rules
    assert events(approving, "approval.requested") == []


@pytest.mark.parametrize("by_worker", [False, True])
def test_a_request_that_nobody_decides_ends(approving, by_worker):
    request = request_for(approving, csr_for())
    request_id = wait(approving, request)
    approving.clock.advance(days=7, seconds=1)
    assert not_decided(approving, request_id, OFFICERS[0]) == ("APPROVAL-EXPIRED",)
    if by_worker:
        refuse_overdue(approving.context, approving.policies.approvals)
        assert status(approving, request_id) == "refused"
        refuse_overdue(approving.context, approving.policies.approvals)
    for _ in range(2):
        assert refused(approving, request) == (Kind.FORBIDDEN, ("APPROVAL-EXPIRED",))
    assert not_decided(approving, request_id, OFFICERS[0]) == ("APPROVAL-CLOSED",)
    [event] = events(approving, "issue.refused")
    assert event["data"]["rule_ids"] == ["APPROVAL-EXPIRED"]


def test_the_worker_leaves_what_may_still_wait(approving):
    request_id = wait(approving, request_for(approving, csr_for()))
    approving.clock.advance(days=6)
    refuse_overdue(approving.context, approving.policies.approvals)
    assert status(approving, request_id) == "pending"


def test_nobody_fills_the_list_of_officers(approving):
    use_rules(approving, max_pending=2)
    first = request_for(approving, csr_for(), key="0")
    wait(approving, first)
    wait(approving, request_for(approving, csr_for(), key="1"))
    third = request_for(approving, csr_for(), key="2")
    assert refused(approving, third) == (Kind.RATE_LIMITED, ("APPROVAL-LIMIT",))
    other = replace(REQUESTER, id="token:other")
    wait(approving, request_for(approving, csr_for(), key="0", principal=other))
    approve(approving, wait(approving, first))
    approving.gate.issue(first)
    wait(approving, third)


def test_without_a_way_to_find_it_again_nothing_waits(approving):
    with pytest.raises(CaError, match="2 approvals of officers") as refusal:
        approving.gate.issue(request_for(approving, csr_for(), key=None))
    assert (refusal.value.kind, refusal.value.rule_ids) == (Kind.POLICY_REFUSED, ("PROFILE-APPROVALS",))
    assert events(approving, "approval.requested") == []


def test_an_order_never_waits(approving):
    claim = OrderClaim("order", "thumbprint", frozenset(), AcmeLimits())
    request = request_for(approving, csr_for(), claim=claim)
    assert not asked_at(request, approving.clock.now(), None).can_wait


def check_of(issuing):
    return IntentCheck(issuing.context, issuing.policies, issuing.gate._issuers)


def stored_intent(issuing, request):
    """An approved request whose process died between T1 and the signature, an hour after it was asked."""
    approve(issuing, wait(issuing, request))
    issuing.clock.advance(hours=1)
    known = issuing.gate._known(request)
    entry = issuing.gate._entry(request, compromised=False, waiting=known.waiting)
    Outcomes(issuing.context).store_intents([entry])
    return entry


def test_recovery_finds_the_same_bytes_for_an_approved_request(approving):
    request = request_for(approving, csr_for())
    entry = stored_intent(approving, request)
    left = LeftBehind(approving.context, check_of(approving), RecoverySettings(grace=timedelta(seconds=-1)))
    assert [each.intent for each in left.open_entries()] == [entry.intent]
    issued = approving.gate.issue(request)
    assert issued.serial_number == entry.intent.serial_number


def test_recovery_gives_up_where_more_approvals_are_asked_for_by_now(approving):
    request = request_for(approving, csr_for())
    stored_intent(approving, request)
    use_profile(approving, needed=3)
    left = LeftBehind(approving.context, check_of(approving), RecoverySettings(grace=timedelta(seconds=-1)))
    assert left.open_entries() == []
    assert refused(approving, request)[0] is Kind.CONFLICT
    assert world.check(approving.context.database)["certificates"] == 0


def test_simulation_counts_what_officers_approved(approving):
    first = request_for(approving, csr_for(), key="0")
    approve(approving, wait(approving, first))
    approving.gate.issue(first)
    wait(approving, request_for(approving, csr_for(), key="1"))
    counted = {}
    for needed in (0, 2, 3):
        use_profile(approving, needed=needed)
        profile = approving.policies.profile("approved")
        issuers = approving.gate._issuers
        trial = Trial(
            profile, profile, approving.policies.site, frozenset(), issuers.current(), issuers.own_keys
        )
        report = simulate(approving.context, trial, approving.clock.now() - timedelta(days=1))
        counted[needed] = (report.unchanged, report.now_issued, report.now_pending)
    assert counted == {0: (1, 1, 0), 2: (2, 0, 0), 3: (1, 0, 1)}


class Caller:
    """One client of the REST door."""

    def __init__(self, issuing, role):
        self.headers = {"Authorization": f"Bearer {issuing.token(role)}"}
        self.http = issuing.api().test_client()

    def post(self, path, body, **headers):
        return self.http.post(path, json=body, headers={**self.headers, **headers})

    def get(self, path):
        return self.http.get(path, headers=self.headers).get_json()


def test_over_rest_from_a_request_to_its_certificate(approving):
    device, alice, bob = (
        Caller(approving, role) for role in (Role.REQUESTER, Role.OFFICER, Role.ADMINISTRATOR)
    )
    csr = make_csr(ec.generate_private_key(ec.SECP256R1()), "www.example.com")
    body = {"profile": "approved", "csr": csr}

    def ask():
        return device.post(URL, body, **{"Idempotency-Key": "one"})

    first = ask()
    assert (first.status_code, first.headers["Retry-After"]) == (201, "60")
    view = first.get_json()
    assert (view["status"], view["certificate"]) == ("pending", None)
    assert first.headers["Location"] == f"{URL}/{view['id']}"
    assert ask().get_json() == view

    [listed] = alice.get(f"{URL}?status=pending")["items"]
    assert (listed["id"], listed["names"]) == (view["id"], ["dns:www.example.com"])
    shown = alice.get(f"{URL}/{view['id']}")
    assert (shown["csr"], shown["approvals"], shown["not_after"]) == (csr, [], None)

    place = f"{URL}/{view['id']}/approvals"
    decided = alice.post(place, {"decision": "approved", "comment": "known to me"})
    assert decided.status_code == 201
    assert decided.get_json()["comment"] == "known to me"
    assert ask().get_json()["status"] == "pending"
    assert alice.post(place, {"decision": "approved"}).status_code == 409
    assert device.post(place, {"decision": "approved"}).status_code == 403
    for bad in ({}, {"decision": "maybe"}, {"decision": "approved", "comment": "ä"}, {"decision": None}):
        assert bob.post(place, bad).status_code == 400
    assert bob.post(place, {"decision": "approved"}).status_code == 201
    issued = ask()
    assert issued.get_json()["status"] == "issued"
    assert issued.get_json()["certificate"]["pem_chain"].startswith("-----BEGIN CERTIFICATE")
    later = device.get(f"{URL}/{view['id']}")
    assert [each["decision"] for each in later["approvals"]] == ["approved", "approved"]
    assert alice.get(f"{URL}?status=pending")["items"] == []
    assert bob.post(place, {"decision": "rejected"}).get_json()["rule_ids"] == ["APPROVAL-CLOSED"]
    missing = place.replace(view["id"], "01a400f6-3600-7b30-b1ba-d7122ce25ce7")
    assert bob.post(missing, {"decision": "approved"}).status_code == 404


def test_over_rest_a_rejection_is_told_with_its_comment(approving):
    device, officer = (Caller(approving, role) for role in (Role.REQUESTER, Role.OFFICER))
    body = {"profile": "approved", "csr": make_csr(ec.generate_private_key(ec.SECP256R1()), "a.example.com")}
    headers = {"Idempotency-Key": "one"}
    request_id = device.post(URL, body, **headers).get_json()["id"]
    officer.post(f"{URL}/{request_id}/approvals", {"decision": "rejected", "comment": "unknown device"})
    answer = device.post(URL, body, **headers)
    assert (answer.status_code, answer.get_json()["rule_ids"]) == (403, ["APPROVAL-REJECTED"])
    assert "unknown device" in answer.get_json()["detail"]
    assert device.get(f"{URL}/{request_id}")["status"] == "rejected"
