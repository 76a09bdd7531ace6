"""CRLs from due row to published bytes: numbers, entries, clocks, crashes, several workers."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from ca_server.core.authorization import Principal, Role
from ca_server.core.clock import from_epoch, to_epoch
from ca_server.core.errors import CaError, Kind
from ca_server.core.lints.pkix import lint_crl
from ca_server.core.signatures import SignatureAlgorithm, verify_signature
from ca_server.hsm.port import HsmRefused, HsmUnavailable, SignatureUnknown
from ca_server.services.context import Context
from ca_server.services.publish_crl import LEASE_SECONDS, CrlSettings, order_all_crls, publish_due_crls
from ca_server.services.published import find_crl, read_crl
from ca_server.services.revoke import release_certificate, revoke_certificate
from ca_server.store import tables
from ca_server.store.crls import newest_crls
from tests import world
from tests.fakes.stored import ISSUING, ROOT, KeySigner

OFFICER = Principal("token:officer", Role.OFFICER, "token")
SETTINGS = CrlSettings(interval=timedelta(hours=1), validity=timedelta(hours=24))


class BrokenSigner(KeySigner):
    """Raises instead of signing, until it is mended."""

    def __init__(self, key, error: BaseException | None) -> None:
        super().__init__(key)
        self.error = error

    def sign(self, data, algorithm):
        if self.error is not None:
            raise self.error
        return super().sign(data, algorithm)


def publish(hierarchy, signer=None, settings=SETTINGS):
    signers = {ISSUING: signer} if signer else hierarchy.signers
    return publish_due_crls(hierarchy.context, signers, settings)


def published(hierarchy) -> x509.CertificateRevocationList:
    return x509.load_der_x509_crl(read_crl(hierarchy.context, ISSUING)[1])


def number_of(crl) -> int:
    return crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number


def serials(crl) -> set[str]:
    return {f"{entry.serial_number:040x}" for entry in crl}


def states(hierarchy) -> dict[int, str]:
    return {row["crl_number"]: row["state"] for row in hierarchy.rows(tables.crl)}


def revoke(hierarchy, leaf, reason="superseded", **more):
    return revoke_certificate(hierarchy.context, OFFICER, leaf.id, reason, **more)


def test_what_was_never_published_is_not_found(hierarchy):
    for read in (find_crl, read_crl):
        for authority_id in (ISSUING, "nobody", "\x00"):
            with pytest.raises(CaError) as caught:
                read(hierarchy.context, authority_id)
            assert (caught.value.kind, caught.value.rule_ids) == (Kind.NOT_FOUND, ("CRL-UNKNOWN",))


def test_an_authority_that_never_published_does_so_at_once(hierarchy, clock):
    [outcome] = publish(hierarchy)
    assert (outcome.authority_id, outcome.crl_number, outcome.error) == (ISSUING, 1, None)
    crl = published(hierarchy)
    assert (crl.last_update_utc, crl.next_update_utc) == (clock.now(), clock.now() + SETTINGS.validity)
    assert (number_of(crl), len(crl), crl.issuer) == (1, 0, hierarchy.issuer.subject)
    intent, done = hierarchy.events("crl.intent")[0], hierarchy.events("crl.done")[0]
    assert intent["data"]["crl_number"] == done["data"]["crl_number"] == 1
    assert done["ref"] == intent["event_id"]
    assert done["data"]["crl_sha256"] == find_crl(hierarchy.context, ISSUING).sha256
    assert publish(hierarchy) == ()


def test_a_crl_is_made_anew_long_before_it_ends(hierarchy, clock):
    publish(hierarchy)
    clock.advance(seconds=3599)
    assert publish(hierarchy) == ()
    clock.advance(seconds=1)
    assert [outcome.crl_number for outcome in publish(hierarchy)] == [2]


def test_a_revocation_is_published_at_the_next_beat_and_once_for_many(hierarchy, clock):
    publish(hierarchy)
    leaves = [hierarchy.issue(f"w{number}.example.test") for number in range(5)]
    clock.advance(seconds=5)
    for leaf in leaves[:3]:
        revoke(hierarchy, leaf)
    assert [outcome.crl_number for outcome in publish(hierarchy)] == [2]
    assert publish(hierarchy) == ()
    assert serials(published(hierarchy)) == {leaf.serial_number for leaf in leaves[:3]}


def test_entries_say_why_and_when(hierarchy, clock):
    reasons = ["unspecified", "keyCompromise", "certificateHold", "privilegeWithdrawn"]
    leaves = [hierarchy.issue(f"w{number}.example.test") for number in range(len(reasons))]
    lost = clock.now() - timedelta(days=2)
    for leaf, reason in zip(leaves, reasons, strict=True):
        revoke(hierarchy, leaf, reason, invalidity_date=lost if reason == "keyCompromise" else None)
    publish(hierarchy)
    crl = published(hierarchy)
    for leaf, reason in zip(leaves, reasons, strict=True):
        entry = crl.get_revoked_certificate_by_serial_number(leaf.certificate.serial_number)
        assert entry.revocation_date_utc == clock.now()
        said = {type(extension.value): extension.value for extension in entry.extensions}
        assert (x509.CRLReason in said) is (reason != "unspecified")
        assert said.get(x509.CRLReason, x509.CRLReason(x509.ReasonFlags.unspecified)).reason.value == reason
        assert (x509.InvalidityDate in said) is (reason == "keyCompromise")
    assert lint_crl(read_crl(hierarchy.context, ISSUING)[1]) == ()


def test_a_released_certificate_leaves_the_crl(hierarchy, clock):
    leaf = hierarchy.issue()
    revoke(hierarchy, leaf, "certificateHold")
    publish(hierarchy)
    assert serials(published(hierarchy)) == {leaf.serial_number}
    clock.advance(seconds=5)
    release_certificate(hierarchy.context, OFFICER, leaf.id)
    assert [outcome.crl_number for outcome in publish(hierarchy)] == [2]
    assert serials(published(hierarchy)) == set()


def test_an_expired_certificate_stays_until_one_crl_after_its_end(hierarchy, clock):
    """RFC 5280 §3.3."""
    leaf = hierarchy.issue(lifetime=timedelta(hours=2))
    revoke(hierarchy, leaf)
    publish(hierarchy)
    seen = []
    for _beat in range(4):
        clock.advance(hours=1)
        publish(hierarchy)
        after_end = clock.now() > leaf.certificate.not_valid_after_utc
        seen.append((after_end, leaf.serial_number in serials(published(hierarchy))))
    assert seen == [(False, True), (False, True), (True, True), (True, False)]


def test_what_was_revoked_after_its_end_is_on_one_crl_too(hierarchy, clock):
    leaf = hierarchy.issue(lifetime=timedelta(hours=2))
    clock.advance(hours=5)
    publish(hierarchy)
    clock.advance(hours=1)
    revoke(hierarchy, leaf, "keyCompromise")
    clock.advance(seconds=1)
    publish(hierarchy)
    assert serials(published(hierarchy)) == {leaf.serial_number}
    clock.advance(hours=1)
    publish(hierarchy)
    assert serials(published(hierarchy)) == set()


@pytest.mark.parametrize(
    "error", [HsmUnavailable("the token is away"), HsmRefused("no such key")], ids=["away", "refused"]
)
def test_a_token_that_does_not_sign_costs_a_number_and_nothing_else(hierarchy, clock, error):
    publish(hierarchy)
    before = read_crl(hierarchy.context, ISSUING)
    clock.advance(hours=1)
    signer = BrokenSigner(hierarchy.key(ISSUING), error)
    [outcome] = publish(hierarchy, signer)
    assert (outcome.crl_number, outcome.error) == (None, error)
    assert read_crl(hierarchy.context, ISSUING) == before
    assert states(hierarchy) == {1: "done", 2: "abandoned"}
    [abandoned] = hierarchy.events("crl.abandoned")
    assert abandoned["ref"] == hierarchy.events("crl.intent")[1]["event_id"]
    assert abandoned["outcome"] == "failure"
    assert publish(hierarchy, signer) == ()
    clock.advance(seconds=1)
    signer.error = None
    assert [outcome.crl_number for outcome in publish(hierarchy, signer)] == [3]
    world.check(hierarchy.context.database)


@pytest.mark.parametrize("error", [SignatureUnknown("too late"), KeyboardInterrupt()], ids=["late", "killed"])
def test_a_crash_between_intent_and_outcome_is_settled_by_the_next_run(hierarchy, clock, error):
    leaf = hierarchy.issue()
    publish(hierarchy)
    revoke(hierarchy, leaf)
    signer = BrokenSigner(hierarchy.key(ISSUING), error)
    with pytest.raises(type(error)):
        publish(hierarchy, signer)
    assert states(hierarchy) == {1: "done", 2: "intent"}
    assert number_of(published(hierarchy)) == 1
    signer.error = None
    assert publish(hierarchy, signer) == ()
    clock.advance(seconds=LEASE_SECONDS)
    assert [outcome.crl_number for outcome in publish(hierarchy, signer)] == [3]
    assert states(hierarchy) == {1: "done", 2: "abandoned", 3: "done"}
    assert serials(published(hierarchy)) == {leaf.serial_number}
    assert [event["data"]["crl_number"] for event in hierarchy.events("crl.abandoned")] == [2]
    world.check(hierarchy.context.database)


def test_a_signature_that_comes_after_the_number_was_given_up_is_dropped(hierarchy, clock):
    """A worker hangs past its lease; another gives its number up and publishes the next."""

    class Slow(KeySigner):
        def sign(self, data, algorithm):
            clock.advance(seconds=LEASE_SECONDS)
            assert [outcome.crl_number for outcome in publish(hierarchy)] == [2]
            return super().sign(data, algorithm)

    [outcome] = publish(hierarchy, Slow(hierarchy.key(ISSUING)))
    assert outcome.crl_number is None
    assert outcome.error.kind is Kind.UNAVAILABLE
    assert states(hierarchy) == {1: "abandoned", 2: "done"}
    assert number_of(published(hierarchy)) == 2
    world.check(hierarchy.context.database)


def test_a_revocation_during_publishing_is_published_next(hierarchy, clock):
    first, second = hierarchy.issue(), hierarchy.issue("two.example.test")
    revoke(hierarchy, first)

    class Revoking(KeySigner):
        def sign(self, data, algorithm):
            revoke(hierarchy, second)
            return super().sign(data, algorithm)

    publish(hierarchy, Revoking(hierarchy.key(ISSUING)))
    assert serials(published(hierarchy)) == {first.serial_number}
    assert [outcome.crl_number for outcome in publish(hierarchy)] == [2]
    assert serials(published(hierarchy)) == {first.serial_number, second.serial_number}


def test_a_revocation_while_publishing_hangs_past_its_lease_is_published_next(hierarchy, clock):
    leaf = hierarchy.issue()

    class Hanging(KeySigner):
        def sign(self, data, algorithm):
            clock.advance(seconds=LEASE_SECONDS + 5)
            revoke(hierarchy, leaf)
            return super().sign(data, algorithm)

    [outcome] = publish(hierarchy, Hanging(hierarchy.key(ISSUING)))
    assert outcome.crl_number == 1
    assert serials(published(hierarchy)) == set()
    clock.advance(seconds=1)
    assert [outcome.crl_number for outcome in publish(hierarchy)] == [2]
    assert serials(published(hierarchy)) == {leaf.serial_number}


def test_what_is_taken_off_hold_is_off_the_next_crl(hierarchy, clock):
    leaf = hierarchy.issue()
    revoke(hierarchy, leaf, "certificateHold")
    clock.advance(seconds=1)
    publish(hierarchy)
    assert serials(published(hierarchy)) == {leaf.serial_number}
    release_certificate(hierarchy.context, OFFICER, leaf.id)
    clock.advance(seconds=1)
    publish(hierarchy)
    assert serials(published(hierarchy)) == set()
    world.check(hierarchy.context.database)


def test_a_clock_behind_the_last_crl_is_refused(hierarchy, clock):
    clock.advance(hours=1)
    publish(hierarchy)
    clock.advance(hours=-1)
    order_all_crls(hierarchy.context)
    [outcome] = publish(hierarchy)
    assert outcome.error.rule_ids == ("CRL-CLOCK",)
    assert states(hierarchy) == {1: "done"}
    [due] = hierarchy.rows(tables.due_work)
    assert due["attempts"] == 1
    assert "the last CRL is of 2027-03-01T13:00:00Z" in due["last_error"]


def test_another_key_than_the_authoritys_never_signs(hierarchy):
    [outcome] = publish(hierarchy, KeySigner(hierarchy.key(ROOT)))
    assert (outcome.error.kind, outcome.error.rule_ids) == (Kind.INTERNAL, ("CRL-KEY",))
    assert states(hierarchy) == {}


def test_a_bad_signature_never_replaces_a_good_crl(hierarchy, clock):
    publish(hierarchy)
    clock.advance(hours=1)

    class Garbling(KeySigner):
        def sign(self, data, algorithm):
            return super().sign(data + b"\x00", algorithm)

    [outcome] = publish(hierarchy, Garbling(hierarchy.key(ISSUING)))
    assert outcome.error.rule_ids == ("CRL-SIGNATURE",)
    assert states(hierarchy) == {1: "done", 2: "abandoned"}
    assert number_of(published(hierarchy)) == 1


def test_a_crl_that_breaks_a_lint_is_not_signed(hierarchy, clock):
    """RFC 5280 §5.1.2.3: an issuer has a name. This authority has none."""
    key = ec.generate_private_key(ec.SECP256R1())
    nameless = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(hierarchy.root.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(clock.now())
        .not_valid_after(clock.now() + timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(hierarchy.key(ROOT), hashes.SHA256())
    )
    hierarchy.store_authority("nameless", nameless)
    [outcome] = publish_due_crls(hierarchy.context, {"nameless": KeySigner(key)}, SETTINGS)
    assert outcome.error.rule_ids == ("CRL-LINT",)
    assert states(hierarchy) == {}
    assert hierarchy.events("crl.intent") == []


def test_a_signer_without_an_authority_is_told(hierarchy):
    [outcome] = publish_due_crls(hierarchy.context, {"nobody": KeySigner(hierarchy.key(ISSUING))}, SETTINGS)
    assert outcome.error.rule_ids == ("CRL-AUTHORITY",)


def test_ordering_reaches_every_authority_with_a_key(hierarchy, clock):
    publish(hierarchy)
    clock.advance(seconds=1)
    assert order_all_crls(hierarchy.context) == (ISSUING,)
    assert [outcome.crl_number for outcome in publish(hierarchy)] == [2]


def test_several_workers_number_crls_without_gap_or_repeat(hierarchy, clock):
    def work(name: str) -> list[int]:
        context = Context(clock, hierarchy.context.database, name)
        numbers = []
        for _beat in range(6):
            order_all_crls(context)
            outcomes = publish_due_crls(context, {ISSUING: KeySigner(key)}, SETTINGS)
            assert [outcome.error for outcome in outcomes if outcome.error] == []
            numbers += [outcome.crl_number for outcome in outcomes]
        return numbers

    key = hierarchy.key(ISSUING)
    with ThreadPoolExecutor(3) as pool:
        numbers = [number for each in pool.map(work, ["ca-1", "ca-2", "ca-3"]) for number in each]
    assert sorted(numbers) == list(range(1, len(numbers) + 1))
    assert set(states(hierarchy).values()) == {"done"}
    assert number_of(published(hierarchy)) == max(numbers)
    world.check(hierarchy.context.database)


def test_the_newest_of_each_authority_is_listed(hierarchy, clock):
    for _beat in range(3):
        publish(hierarchy)
        clock.advance(hours=1)
    with hierarchy.context.database.read() as connection:
        [record] = newest_crls(connection)
    assert (record.authority_id, record.crl_number) == (ISSUING, 3)
    assert from_epoch(record.next_update) - from_epoch(record.this_update) == SETTINGS.validity
    assert record.this_update < to_epoch(clock.now())


def test_the_signature_is_the_issuers(hierarchy):
    publish(hierarchy)
    crl = published(hierarchy)
    signer = hierarchy.signers[ISSUING]
    algorithm = SignatureAlgorithm(hierarchy.rows(tables.authority)[0]["signature_algorithm"])
    verify_signature(signer.public_key, crl.signature, crl.tbs_certlist_bytes, algorithm)


@pytest.mark.parametrize(
    ("interval", "validity"),
    [(timedelta(hours=24), timedelta(hours=24)), (timedelta(), timedelta(hours=1))],
    ids=["no time to mend", "no pause"],
)
def test_settings_that_let_a_crl_end_are_refused(interval, validity):
    with pytest.raises(ValueError, match="before it ends"):
        CrlSettings(interval, validity)
