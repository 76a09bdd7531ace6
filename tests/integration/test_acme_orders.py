"""Orders on both databases: what is proven, what is issued, and that nobody gets past twice."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ca_server.core.acme.resources import ChallengeType, OrderName, Status
from ca_server.core.clock import to_epoch
from ca_server.core.csr import parse_csr
from ca_server.core.errors import CaError, Kind
from ca_server.core.identifiers import Identifier, IdentifierType
from ca_server.services.acme.authorizations import deactivate_authorization, find_authorization, respond
from ca_server.services.acme.external_accounts import (
    NewExternalAccountKey,
    create_external_account_key,
    revoke_external_account_key,
)
from ca_server.services.acme.orders import find_order, list_orders, pre_authorize
from ca_server.services.credentials import OPERATOR
from ca_server.store import due_work
from ca_server.store.unit_of_work import BrokenRule
from tests import world
from tests.fixtures.issuing import make_csr
from tests.fixtures.ordering import URL, csr_for

pytestmark = pytest.mark.usefixtures("database")


def _events(ordering, kind):
    with ordering.issuing.context.database.read() as connection:
        rows = connection.exec_driver_sql("SELECT body FROM audit_event ORDER BY number").all()
    leaves = [json.loads(bytes(row[0])) for row in rows]
    return [leaf for leaf in leaves if leaf["kind"] == kind]


def _refused(code, *arguments, **keywords) -> CaError:
    with pytest.raises(CaError) as caught:
        code(*arguments, **keywords)
    return caught.value


def test_an_order_goes_from_pending_over_ready_to_valid(ordering):
    account = ordering.account()
    order = ordering.order(account, "a.example.com", "b.example.com")
    assert order.status is Status.PENDING
    order = ordering.prove(account, order)
    assert order.status is Status.READY
    done = ordering.finalize(account, order, csr_for("a.example.com", "b.example.com"))
    assert done.status is Status.VALID
    assert done.certificate_id is not None
    assert world.check(ordering.issuing.context.database)["certificates"] == 1


def test_r36_a_hundred_clients_that_finalize_at_once_get_one_certificate(ordering):
    """R36: exactly one certificate and one done event, and everybody learns of it."""
    account = ordering.account()
    order = ordering.prove(account, ordering.order(account, "race.example.com"))
    csr = csr_for("race.example.com")
    start = threading.Barrier(100)

    def one(_number):
        start.wait()
        return ordering.finalize(account, order, csr).status

    with ThreadPoolExecutor(100) as pool:
        statuses = set(pool.map(one, range(100)))
    assert statuses <= {Status.PROCESSING, Status.VALID}
    assert find_order(ordering.issuing.context, account, order.id).status is Status.VALID
    assert len(_events(ordering, "issue.done")) == 1
    assert len(_events(ordering, "issue.intent")) == 1
    assert world.check(ordering.issuing.context.database)["certificates"] == 1


def test_r36_a_hundred_different_csrs_at_once_give_one_certificate(ordering):
    account = ordering.account()
    order = ordering.prove(account, ordering.order(account, "race.example.com"))
    csrs = [csr_for("race.example.com") for _ in range(100)]
    start = threading.Barrier(100)

    def one(csr):
        start.wait()
        try:
            return ordering.finalize(account, order, csr).status.value
        except CaError as error:
            return error.rule_ids

    with ThreadPoolExecutor(100) as pool:
        answers = list(pool.map(one, csrs))
    assert answers.count("valid") + answers.count("processing") == 1
    assert answers.count(("ACME-ORDER-NOT-READY",)) == 99
    assert world.check(ordering.issuing.context.database)["certificates"] == 1


def test_the_same_csr_again_answers_the_order_and_another_is_refused(ordering):
    account = ordering.account()
    order = ordering.prove(account, ordering.order(account, "a.example.com"))
    csr = csr_for("a.example.com")
    first = ordering.finalize(account, order, csr)
    assert ordering.finalize(account, order, csr) == first
    error = _refused(ordering.finalize, account, order, csr_for("a.example.com"))
    assert (error.kind, error.rule_ids) == (Kind.NOT_READY, ("ACME-ORDER-NOT-READY",))
    assert world.check(ordering.issuing.context.database)["certificates"] == 1


def test_r5_a_csr_with_other_names_leaves_the_order_ready(ordering):
    """R5: added, dropped and changed names are refused, and the right CSR still gets its certificate."""
    account = ordering.account()
    order = ordering.prove(account, ordering.order(account, "a.example.com", "b.example.com"))
    for names in (
        ("a.example.com",),
        ("a.example.com", "b.example.com", "c.example.com"),
        ("a.example.com", "c.example.com"),
        ("a.example.com", "*.b.example.com"),
    ):
        error = _refused(ordering.finalize, account, order, csr_for(*names))
        assert error.kind is Kind.BAD_CSR, names
        assert find_order(ordering.issuing.context, account, order.id).status is Status.READY
    done = ordering.finalize(account, order, csr_for("b.example.com", "a.example.com"))
    assert done.status is Status.VALID
    assert world.check(ordering.issuing.context.database)["refused"] == 4


def test_r11_one_name_without_evidence_keeps_the_order_from_ready(ordering):
    """R11: evidence is counted name by name."""
    account = ordering.account()
    order = ordering.order(account, "a.example.com", "b.example.com", "c.example.com")
    for each in ordering.authorizations(account, order)[:2]:
        ordering.settle(account, each)
    csr = csr_for("a.example.com", "b.example.com", "c.example.com")
    error = _refused(ordering.finalize, account, order, csr)
    assert error.rule_ids == ("ACME-ORDER-NOT-READY",)
    assert world.check(ordering.issuing.context.database)["certificates"] == 0


def test_a_valid_authorization_is_reused_by_its_own_account_alone(ordering):
    account, other = ordering.account(), ordering.account()
    ordering.prove(account, ordering.order(account, "a.example.com"))
    again = ordering.order(account, "a.example.com")
    assert again.status is Status.READY
    assert ordering.order(other, "a.example.com").status is Status.PENDING


def test_an_authorization_is_reused_within_its_bound_and_no_longer(ordering):
    account = ordering.account()
    ordering.prove(account, ordering.order(account, "a.example.com"))
    ordering.issuing.clock.advance(hours=8)
    assert ordering.order(account, "a.example.com").status is Status.PENDING


def test_what_was_proven_by_a_challenge_that_the_profile_forbids_is_not_reused(ordering, monkeypatch):
    account = ordering.account()
    ordering.prove(account, ordering.order(account, "a.example.com"))
    profile = ordering.rules.policies.profile("tls-server")
    strict = profile.model_copy(
        update={"acme": profile.acme.model_copy(update={"challenges": (ChallengeType.HTTP_01,)})}
    )
    monkeypatch.setitem(ordering.rules.policies._profiles, "tls-server", strict)
    assert ordering.order(account, "a.example.com").status is Status.PENDING


def test_a_wildcard_is_another_thing_than_its_name(ordering):
    account = ordering.account()
    ordering.prove(account, ordering.order(account, "example.com"))
    order = ordering.order(account, "*.example.com")
    assert order.status is Status.PENDING
    [authorization] = ordering.authorizations(account, order)
    assert (authorization.identifier.value, authorization.wildcard) == ("example.com", True)
    assert ChallengeType.HTTP_01 not in {each.type for each in authorization.challenges}
    order = ordering.prove(account, order)
    assert ordering.finalize(account, order, csr_for("*.example.com")).status is Status.VALID
    world.check(ordering.issuing.context.database)


def test_an_ancestor_authorizes_the_names_below_it_and_caa_is_asked_for_each(ordering):
    """RFC 9444; CAA is looked up for the name in the certificate, not for the one that was proven."""
    account = ordering.account()
    name = OrderName(Identifier(IdentifierType.DNS, "a.b.example.com"), "example.com")
    order = ordering.order(account, name, "c.example.com")
    assert len(order.authorization_ids) == 2
    order = ordering.prove(account, order)
    ordering.finalize(account, order, csr_for("a.b.example.com", "c.example.com"))
    assert [each[2] for each in ordering.asked_caa] == ["a.b.example.com"]
    below = ordering.order(account, "x.example.com")
    assert below.status is Status.READY
    world.check(ordering.issuing.context.database)


def test_a_name_that_is_not_below_its_ancestor_is_refused(ordering):
    account = ordering.account()
    for name, ancestor in (("a.example.com", "example.org"), ("example.com", "example.com")):
        wanted = OrderName(Identifier(IdentifierType.DNS, name), ancestor)
        error = _refused(ordering.order, account, wanted)
        assert error.kind is Kind.REJECTED_IDENTIFIER
        assert error.rule_ids == ("ACME-ANCESTOR",)


def test_r11_caa_is_asked_again_for_every_name_whose_answer_is_old(ordering):
    """R11: several names to look at again are several look-ups, not one name several times."""
    settings = ordering.rules.settings.model_copy(update={"order_lifetime": timedelta(days=3)})
    object.__setattr__(ordering.rules, "settings", settings)
    account = ordering.account()
    names = [f"{each}.example.com" for each in "abcde"]
    order = ordering.prove(account, ordering.order(account, *names))
    database = ordering.issuing.context.database
    with database.write() as unit:
        unit.connection.exec_driver_sql("UPDATE acme_authorization SET caa_checked_at = 1")
        unit.commit_unaudited("a look at CAA that is long ago")
    ordering.finalize(account, order, csr_for(*names))
    assert [each[2] for each in ordering.asked_caa] == names


def test_an_order_of_somebody_else_is_not_found(ordering):
    account, other = ordering.account(), ordering.account()
    order = ordering.prove(account, ordering.order(account, "a.example.com"))
    unknown = _refused(find_order, ordering.issuing.context, other, "no-such-order")
    theirs = _refused(find_order, ordering.issuing.context, other, order.id)
    assert (theirs.kind, theirs.detail) == (unknown.kind, unknown.detail)
    assert _refused(ordering.finalize, other, order, csr_for("a.example.com")).kind is Kind.NOT_FOUND
    authorization = order.authorization_ids[0]
    assert _refused(find_authorization, ordering.issuing.context, other, authorization).rule_ids == (
        "ACME-UNKNOWN",
    )
    assert list_orders(ordering.issuing.context, other, after=None, limit=10) == []
    assert list_orders(ordering.issuing.context, account, after=None, limit=10) == [order.id]


def test_a_failed_validation_makes_the_order_invalid(ordering):
    account = ordering.account()
    order = ordering.order(account, "a.example.com", "b.example.com")
    first = ordering.authorizations(account, order)[0]
    ordering.settle(account, first, "failure")
    assert find_order(ordering.issuing.context, account, order.id).status is Status.INVALID
    world.check(ordering.issuing.context.database)


def test_a_deactivated_authorization_finalizes_nothing(ordering):
    context = ordering.issuing.context
    account = ordering.account()
    order = ordering.prove(account, ordering.order(account, "a.example.com"))
    found = deactivate_authorization(context, account, order.authorization_ids[0])
    assert found.status is Status.DEACTIVATED
    assert deactivate_authorization(context, account, found.id) == found
    error = _refused(ordering.finalize, account, order, csr_for("a.example.com"))
    assert error.rule_ids == ("ACME-ORDER-NOT-READY",)
    assert len(_events(ordering, "authorization.deactivated")) == 1
    assert ordering.order(account, "a.example.com").status is Status.PENDING


def test_an_invalid_authorization_cannot_be_deactivated(ordering):
    account = ordering.account()
    order = ordering.order(account, "a.example.com")
    [authorization] = ordering.authorizations(account, order)
    ordering.settle(account, authorization, "failure")
    error = _refused(deactivate_authorization, ordering.issuing.context, account, authorization.id)
    assert error.rule_ids == ("ACME-AUTHORIZATION-ENDED",)


def test_the_database_itself_claims_no_order_whose_authorization_ended(ordering):
    """The last look is the database's, in the transaction of the intent."""
    account = ordering.account()
    order = ordering.prove(account, ordering.order(account, "a.example.com"))
    gate = ordering.issuing.gate
    real = gate.issue

    def end_it_first(request):
        deactivate_authorization(ordering.issuing.context, account, order.authorization_ids[0])
        return real(request)

    gate.issue = end_it_first
    try:
        error = _refused(ordering.finalize, account, order, csr_for("a.example.com"))
    finally:
        del gate.issue
    assert error.rule_ids == ("ACME-ORDER-NOT-READY",)
    assert world.check(ordering.issuing.context.database)["intents"] == 0


def test_no_authorization_is_valid_without_evidence(ordering):
    account = ordering.account()
    ordering.order(account, "a.example.com")
    with pytest.raises(BrokenRule), ordering.issuing.context.database.write() as unit:
        unit.connection.exec_driver_sql("UPDATE acme_authorization SET status = 'valid'")
        unit.commit_unaudited("an attempt to cheat")


def test_saying_twice_that_a_challenge_is_ready_is_saying_it_once(ordering):
    context = ordering.issuing.context
    account = ordering.account()
    order = ordering.order(account, "a.example.com")
    [authorization] = ordering.authorizations(account, order)
    challenge = authorization.challenges[0]
    for _ in range(2):
        _, found = respond(context, account, challenge.id, f"{URL}{account.id}")
        assert found.status is Status.PROCESSING
    with context.database.read() as connection:
        subject = f"{account.id}/{challenge.id}"
        due = due_work.list_due(connection, "acme.validate", [subject], to_epoch(context.clock.now()))
    assert due.ready == {subject}
    ordering.issuing.clock.advance(days=2)
    other = authorization.challenges[1]
    error = _refused(respond, context, account, other.id, f"{URL}{account.id}")
    assert error.rule_ids == ("ACME-AUTHORIZATION-ENDED",)


def test_an_order_expires(ordering):
    account = ordering.account()
    order = ordering.prove(account, ordering.order(account, "a.example.com"))
    ordering.issuing.clock.advance(days=1)
    assert find_order(ordering.issuing.context, account, order.id).status is Status.INVALID
    error = _refused(ordering.finalize, account, order, csr_for("a.example.com"))
    assert error.rule_ids == ("ACME-ORDER-NOT-READY",)


def test_names_are_refused_at_the_order_each_at_its_place(ordering):
    account = ordering.account()
    error = _refused(ordering.order, account, "a.example.com", "ip:0.0.0.1", "email:a@example.com")
    assert error.kind is Kind.REJECTED_IDENTIFIER
    assert [(each.rule_id, each.pointer) for each in error.violations] == [
        ("SITE-NAME-DENIED", "/identifiers/1"),
        ("ACME-IDENTIFIER-TYPE", "/identifiers/2"),
    ]
    assert _events(ordering, "order.created") == []


def test_times_are_judged_at_the_order(ordering):
    account = ordering.account()
    now = ordering.issuing.clock.now()
    error = _refused(ordering.order, account, "a.example.com", not_after=now + timedelta(days=4000))
    assert error.kind is Kind.POLICY_REFUSED
    order = ordering.order(account, "a.example.com", not_after=now + timedelta(days=3))
    order = ordering.prove(account, order)
    done = ordering.finalize(account, order, csr_for("a.example.com"))
    with ordering.issuing.context.database.read() as connection:
        der = connection.exec_driver_sql("SELECT der FROM certificate").scalar_one()
    certificate = x509.load_der_x509_certificate(bytes(der))
    assert certificate.not_valid_after_utc == now + timedelta(days=3)
    assert done.status is Status.VALID


def test_a_wildcard_and_an_address_below_nothing_are_not_pre_authorized(ordering):
    context, account = ordering.issuing.context, ordering.account()
    profile = ordering.rules.policies.profile("tls-server")
    wildcard = Identifier(IdentifierType.DNS, "*.example.com")
    error = _refused(pre_authorize, context, ordering.rules, account, profile, wildcard, subdomains=False)
    assert error.rule_ids == ("ACME-WILDCARD",)
    address = Identifier(IdentifierType.IP, "192.0.2.1")
    error = _refused(pre_authorize, context, ordering.rules, account, profile, address, subdomains=True)
    assert error.rule_ids == ("ACME-ANCESTOR",)


def test_a_pre_authorization_serves_the_order_that_follows(ordering):
    context, account = ordering.issuing.context, ordering.account()
    profile = ordering.rules.policies.profile("tls-server")
    name = Identifier(IdentifierType.DNS, "a.example.com")
    ahead = pre_authorize(context, ordering.rules, account, profile, name, subdomains=False)
    assert ahead.status is Status.PENDING
    ordering.settle(account, ahead)
    again = pre_authorize(context, ordering.rules, account, profile, name, subdomains=False)
    assert (again.id, again.status) == (ahead.id, Status.VALID)
    assert len(_events(ordering, "authorization.created")) == 1
    order = ordering.order(account, "a.example.com")
    assert order.status is Status.READY
    assert order.authorization_ids == (ahead.id,)


def test_a_profile_that_allows_no_fitting_challenge_says_so(ordering, monkeypatch):
    account = ordering.account()
    profile = ordering.rules.policies.profile("tls-server")
    strict = profile.model_copy(
        update={"acme": profile.acme.model_copy(update={"challenges": (ChallengeType.HTTP_01,)})}
    )
    monkeypatch.setitem(ordering.rules.policies._profiles, "tls-server", strict)
    error = _refused(ordering.order, account, "*.example.com")
    assert error.rule_ids == ("ACME-CHALLENGES",)


def test_the_accounts_own_key_is_never_certified(ordering):
    """RFC 8555 §11.1."""
    account = ordering.account()
    order = ordering.prove(account, ordering.order(account, "a.example.com"))
    csr = parse_csr(make_csr(ordering.keys[account.id], "a.example.com").encode())
    error = _refused(ordering.finalize, account, order, csr)
    assert error.kind is Kind.BAD_CSR
    assert "ACME-ACCOUNT-KEY" in error.rule_ids
    key = ec.generate_private_key(ec.SECP256R1())
    csr = parse_csr(make_csr(key, "a.example.com").encode())
    assert ordering.finalize(account, order, csr).status is Status.VALID


def _finalize_while(ordering, account, order, change) -> CaError:
    """Finalize, with something changing right before the order is claimed."""
    gate = ordering.issuing.gate
    real = gate.issue

    def change_first(request):
        change()
        return real(request)

    gate.issue = change_first
    try:
        return _refused(ordering.finalize, account, order, csr_for("a.example.com"))
    finally:
        del gate.issue


def test_a_key_that_was_changed_meanwhile_finalizes_nothing(ordering):
    account = ordering.account()
    order = ordering.prove(account, ordering.order(account, "a.example.com"))
    with ordering.issuing.context.database.write() as unit:
        unit.connection.exec_driver_sql(f"UPDATE acme_account SET key_thumbprint = '{'x' * 43}'")
        changed = unit.connection.exec_driver_sql("SELECT key_thumbprint FROM acme_account").scalar()
        unit.commit_unaudited("another key, as a key change would set it")
    assert changed == "x" * 43
    error = _refused(ordering.finalize, account, order, csr_for("a.example.com"))
    assert error.rule_ids == ("ACME-ORDER-NOT-READY",)
    assert world.check(ordering.issuing.context.database)["intents"] == 0


def test_a_binding_that_is_revoked_meanwhile_finalizes_nothing(ordering):
    context = ordering.issuing.context
    new = NewExternalAccountKey("team", ("*",), ("*",), timedelta(days=1))
    external, _ = create_external_account_key(context, OPERATOR, new)
    account = ordering.account()
    order = ordering.prove(account, ordering.order(account, "a.example.com"))

    def revoke():
        with context.database.write() as unit:
            unit.connection.exec_driver_sql(
                f"UPDATE acme_account SET external_account_key_id = '{external.id}'"
            )
            unit.connection.exec_driver_sql("UPDATE external_account_key SET uses = 1")
            unit.commit_unaudited("bound, as a new account would be")
        revoke_external_account_key(context, OPERATOR, external.id)

    error = _finalize_while(ordering, account, order, revoke)
    assert error.rule_ids == ("ACME-ORDER-NOT-READY",)
    assert world.check(context.database)["intents"] == 0


def test_after_too_many_refused_csrs_an_order_takes_no_more(ordering):
    account = ordering.account()
    order = ordering.prove(account, ordering.order(account, "a.example.com"))
    for _ in range(20):
        assert _refused(ordering.finalize, account, order, csr_for("c.example.com")).kind is Kind.BAD_CSR
    error = _refused(ordering.finalize, account, order, csr_for("a.example.com"))
    assert (error.kind, error.rule_ids) == (Kind.RATE_LIMITED, ("ACME-LIMIT-FINALIZE",))
    assert error.retry_after


def test_a_csr_may_have_its_name_in_the_subject_alone(ordering):
    """RFC 8555 §7.4: in the common name, in subjectAltName, or in both."""
    account = ordering.account()
    order = ordering.prove(account, ordering.order(account, "a.example.com"))
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "a.example.com")])
    key = ec.generate_private_key(ec.SECP256R1())
    csr = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, hashes.SHA256())
    done = ordering.finalize(account, order, parse_csr(csr.public_bytes(Encoding.DER)))
    assert done.status is Status.VALID
    world.check(ordering.issuing.context.database)


def test_orders_that_can_become_nothing_are_not_listed(ordering):
    context, account = ordering.issuing.context, ordering.account()
    good, failed, ended = (ordering.order(account, f"{each}.example.com") for each in "abc")
    ordering.settle(account, ordering.authorizations(account, failed)[0], "failure")
    deactivate_authorization(context, account, ended.authorization_ids[0])
    assert list_orders(context, account, after=None, limit=10) == [good.id]
    ordering.issuing.clock.advance(days=1)
    assert list_orders(context, account, after=None, limit=10) == []
