"""The auditor's verifier against bundles made by hand: eventful days, and consistent lies."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.conformance.ceremony.auditing import (
    APPROVED,
    CHAIN,
    CHAINED,
    CLOSE,
    DEVICES,
    GRAMMAR,
    KEYS,
    LIMITS,
    MANIFEST,
    MODE,
    PERSONS,
    PRODUCTS,
    QUORUMS,
    SIGNED_BY_PEOPLE,
    STATEMENTS,
    accused,
)
from tests.fixtures.hand_made_bundle import Ceremony, Production, canonical, digest, pack


class Deviated(Ceremony):
    deviations = 2
    outcome = "completed-with-deviations"


class Resumed(Ceremony):
    """Killed between begin and effect of a signature, and gone on with."""

    def sign(self, name, document):
        if name == "issuing":
            self.begin(f"{name}-sign", tbs_sha256=digest(document.tbs))
            self.resume()
        super().sign(name, document)

    def begin(self, step, effect="once", attempt=1, **intent):
        again = any(f'"step":"{step}"'.encode() in line and b'"event":"begin"' in line for line in self.lines)
        super().begin(step, effect, 2 if again else attempt, **intent)


class Paused(Resumed):
    """Stopped for want of somebody, paused, and resumed in the middle of an approval."""

    def approve(self, name):
        if name == "root-crl":
            self.begin(f"{name}-approve", "idempotent")
            self.gate("approve", f"{name}-approve", "key-officer", "ada", f"tbs/{name}.tbs")
            self.line(
                "stopped",
                {"failure": "F3", "rule_ids": ["CEREMONY-QUORUM"], "detail": "-"},
                f"{name}-approve",
            )
            self.resume()
            self.line("pause", {}, f"{name}-approve")
            self.gates("pause", "-", sorted(self.roles))
            self.resume()
        super().approve(name)


class Aborted(Ceremony):
    """Ended after the keys were made; what is unfinished stays so."""

    signed = ("root",)
    outcome = "aborted-dirty"

    def sign(self, name, document):
        self.begin(f"{name}-sign", tbs_sha256=digest(document.tbs))
        self.stop("CEREMONY-ABORTED", f"{name}-sign")


class NeverOpened(Ceremony):
    """Ended before anybody had signed the opening; a witness closed it."""

    outcome = "aborted-clean"

    def hold(self):
        shared = self.papers()
        self.stop("CEREMONY-ABORTED", "-")
        self.files["keys.json"] = canonical([])
        self.files["manifest.json"] = canonical({**shared, **self.manifest([])})
        self.signers = {}
        self.state_close()
        self.gate("close", "close", "internal-witness", "cyd", "closing.txt")
        return self.end()


class Unclosed(NeverOpened):
    def gate(self, gate, step, role, person, subject="-"):
        pass


class Relieved(Resumed):
    """Bob left and Gil came, who signed the resumption; Bob is not there at the close."""

    def resume(self):
        self.signers = {**Ceremony.signers, "key-officer": ["ada", "gil"]}
        super().resume()


class ClosedAnew(Ceremony):
    """A close that was broken off after one signature: it was stated anew, and everyone signed that."""

    deviations = 0
    outcome = "completed-with-deviations"

    def close(self):
        self.state_close()
        self.gate("close", "close", "administrator", "dan", "closing.txt")
        self.line("deviation", {"by": "cyd", "decision": "go on", "text": "a cup fell"}, "close", actor="cyd")
        self.deviations = 1
        self.resume()
        return super().close()

    def begin(self, step, effect="once", attempt=1, **intent):
        super().begin(step, effect, 1 + (step == "close" and self.deviations), **intent)


@pytest.mark.parametrize("ceremony", [Deviated, Resumed, Paused, Relieved, Aborted, NeverOpened, ClosedAnew])
def test_an_honest_bundle_of_an_eventful_day_is_good(officers, judge, ceremony):
    assert judge(ceremony(officers).hold()) == []


# --- a bundle whose every signature is right, and whose people broke a rule


def test_production_with_a_fido_token(officers, judge):
    class WithToken(Production):
        signers: ClassVar = {**Ceremony.signers, "key-officer": ["ada", "gil"]}

    assert judge(WithToken(officers).hold()) == []


@pytest.mark.parametrize("flags", [0x00, 0x01, 0x04])
def test_a_fido_signature_without_touch_or_pin(officers, judge, flags):
    class WithToken(Production):
        signers: ClassVar = {**Ceremony.signers, "key-officer": ["ada", "gil"]}

    officers.keys["gil"].flags = flags
    try:
        found = judge(WithToken(officers).hold())
    finally:
        officers.keys["gil"].flags = 0x05
    assert accused(found, SIGNED_BY_PEOPLE, "key-officer-gil.txt.sig: the token was not touched, or its PIN")
    assert {check for check, _ in found} == {SIGNED_BY_PEOPLE}


def lie(name, check, words, **members):
    return pytest.param(type(name, (members.pop("base", Ceremony),), members), check, words, id=name)


class OneApprovalShort(Ceremony):
    def approve(self, name):
        self.signers = {**Ceremony.signers, "key-officer": ["ada"]} if name == "issuing" else Ceremony.signers
        super().approve(name)
        self.signers = Ceremony.signers


class SignedBeforeApproved(Ceremony):
    def build(self, name, document):
        super().build(name, document)
        if name == "issuing":
            self.sign(name, document)

    def sign(self, name, document):
        if document.path not in self.files:
            super().sign(name, document)


class SignedTwice(Ceremony):
    def sign_effect(self, step, name, document, **other):
        super().sign_effect(step, name, document, **other)
        if name == "issuing":
            super().sign_effect(step, name, document, **other)


class NotReleased(Ceremony):
    def sign_effect(self, step, name, document, **other):
        super().sign_effect(step, name, document, **({"released": False} if name == "issuing" else {}))


class NeverApproved(Ceremony):
    def approve(self, name):
        if name != "issuing":
            super().approve(name)


class UnknownProduct(Ceremony):
    def close(self):
        other = type("Other", (Ceremony,), {"prefix": "REHEARSAL Another "})(self.officers)
        self.files["certificates/extra.cer"] = other.document("issuing").der
        return super().close()


class ForeignIssuer(Ceremony):
    """The root's name, and not the root's key."""

    def document(self, name):
        self.foreign = name == "issuing"
        return super().document(name)

    def signing_key(self):
        return ec.derive_private_key(7, ec.SECP384R1()) if self.foreign else super().signing_key()


class ClockWentBack(Ceremony):
    def build(self, name, document):
        if name == "issuing":
            self.now -= timedelta(seconds=30)
        super().build(name, document)


class UnsignedDone(Ceremony):
    def open(self):
        self.begin("open", "idempotent")
        self.done("open")
        for role in sorted(self.roles):
            for person in self.signers[role]:
                self.gate("open", "open", role, person)


class NonceTwice(Ceremony):
    def statement(self, gate, step, role, person, subject):
        return {**super().statement(gate, step, role, person, subject), "nonce": "7" * 32}


class DoneWithoutBegin(Ceremony):
    def deviate(self):
        self.line("done", {"files": {}, "result": {}}, "issuing-sign")


class AfterStop(Ceremony):
    def deviate(self):
        self.line(
            "stopped", {"failure": "F3", "rule_ids": ["CEREMONY-INVENTORY"], "detail": "-"}, "issuing-sign"
        )


class NotPresentAtClose(Ceremony):
    def close(self):
        signers = self.signers
        self.state_close()
        self.signers = {**signers, "external-witness": []}
        self.gates("close", "close", sorted(self.roles), "closing.txt")
        self.line("end", {"outcome": self.outcome})
        self.files["transcript.jsonl"] = b"".join(line + b"\n" for line in self.lines)
        return pack(self.files)


class OtherIntent(Ceremony):
    def begin(self, step, effect="once", attempt=1, **intent):
        super().begin(step, effect, attempt, **intent)
        if step == "issuing-sign":
            line = json.loads(self.lines.pop())
            line["data"]["intent"] = {"tbs_sha256": "0" * 64}
            self.lines.append(canonical(line))


class Stranger(Ceremony):
    """Gil had not been there when the ceremony was opened."""

    def approve(self, name):
        self.signers = {**Ceremony.signers, "key-officer": ["ada", "gil"]}
        super().approve(name)
        self.signers = Ceremony.signers


class OtherInstalledKey(Ceremony):
    def manifest(self, keys):
        return super().manifest([keys[1], keys[0]])


class ForgottenProduct(Ceremony):
    def manifest(self, keys):
        return {**super().manifest(keys), "crls": []}


class UnknownObject(Ceremony):
    def inventory(self, step, keys):
        other = {"id": "00" * 16, "label": "other", "type": "rsa-2048"}
        super().inventory(step, [*keys, other] if step == "after" else keys)


class TwinKey(Ceremony):
    """A second key under the first one's label."""

    def inventory(self, step, keys):
        twin = [{**keys[0], "id": "00" * 16}] if keys else []
        super().inventory(step, [*keys, *twin])


class ResumedAlone(Ceremony):
    def deviate(self):
        self.line("resume", {"found": {}})
        self.begin("issuing-key", attempt=2, key="issuing")
        self.done("issuing-key")


def with_more(**said):
    """A ceremony whose statements say this."""
    return lambda self, *given: {**Ceremony.statement(self, *given), **said}


def but_ada(value, others):
    """What is so of everybody but Ada."""
    return lambda self, person: value if person == "ada" else others(self, person)


@pytest.mark.parametrize(
    ("ceremony", "check", "words"),
    [
        lie("OnePersonTwoRoles", PERSONS, "dan acted as administrator and as internal-witness",
            groups={**Ceremony.groups, "white": ["dan"]},
            signers={**Ceremony.signers, "internal-witness": ["dan"]}),
        lie("ExternalWitnessHoldsMore", PERSONS, "ada acted as external-witness and as key-",
            groups={**Ceremony.groups, "outside": ["ada"]},
            signers={**Ceremony.signers, "external-witness": ["ada"]}),
        lie("NotInTheGroup", PERSONS, "eve, who acted as key-officer, is not in the group",
            signers={**Ceremony.signers, "key-officer": ["ada", "eve"], "external-witness": ["bob"]}),
        lie("OnePersonTwice", QUORUMS, "without the quorum of key-officer",
            signers={**Ceremony.signers, "key-officer": ["ada", "ada"]}),
        pytest.param(OneApprovalShort, APPROVED, "tbs/issuing.tbs before a quorum", id="OneApprovalShort"),
        pytest.param(OneApprovalShort, QUORUMS, "step issuing-approve .* key-officer", id="QuorumShort"),
        pytest.param(SignedBeforeApproved, APPROVED, "tbs/issuing.tbs before", id="SignedBeforeApproved"),
        pytest.param(NeverApproved, APPROVED, "tbs/issuing.tbs before", id="NeverApproved"),
        pytest.param(SignedTwice, APPROVED, "signed 5 times in 4 steps", id="SignedTwice"),
        pytest.param(NotReleased, APPROVED, "signature of tbs/issuing.tbs is in a file", id="NotReleased"),
        pytest.param(ForeignIssuer, APPROVED, "its output is not a signature", id="ForeignIssuer"),
        pytest.param(ForeignIssuer, CHAINED, "authorities/issuing.cer", id="ForeignChain"),
        pytest.param(UnknownProduct, PRODUCTS, "certificates/extra.cer: no", id="UnknownProduct"),
        pytest.param(ClockWentBack, CHAIN, "utc is before", id="ClockWentBack"),
        pytest.param(UnsignedDone, QUORUMS, "step open was done without any signature", id="UnsignedDone"),
        pytest.param(NonceTwice, STATEMENTS, "nonce was used before", id="NonceTwice"),
        pytest.param(DoneWithoutBegin, GRAMMAR, "without its begin", id="DoneWithoutBegin"),
        pytest.param(AfterStop, CLOSE, "of a ceremony that had stopped", id="CompletedAfterStop"),
        pytest.param(NotPresentAtClose, CLOSE, "eve .* was there and did not sign it", id="NotPresent"),
        pytest.param(OtherIntent, GRAMMAR, "intent_sha256", id="OtherIntent"),
        pytest.param(Stranger, CLOSE, "gil had not signed the opening", id="Stranger"),
        pytest.param(OtherInstalledKey, MANIFEST, "authorities/issuing.cer is another's", id="OtherKey"),
        pytest.param(ForgottenProduct, MANIFEST, "crls/root.crl", id="ForgottenProduct"),
        pytest.param(UnknownObject, DEVICES, "evidence/after.json: other objects", id="UnknownObject"),
        pytest.param(Unclosed, CLOSE, "nobody signed it", id="Unclosed"),
        pytest.param(TwinKey, DEVICES, "evidence/after.json: there is another key root", id="TwinKey"),
        pytest.param(ResumedAlone, QUORUMS, "resumed without the quorum of administrator", id="ResumedAlone"),
        lie("LongerThanItsIssuer", CHAINED, "issuing.cer: it is valid for longer",
            days=lambda _, path_length: 2000 - path_length),
        lie("SerialTwice", CHAINED, "another certificate of its issuer", serial_number=lambda *_: 7),
        lie("WeakKey", KEYS, "extractable is True", attributes={"extractable": True}),
        lie("SoftwareKey", KEYS, "local is False", attributes={"local": False}),
        lie("RealTokenInRehearsal", KEYS, "not one for a rehearsal",
            token_label="vault-1"),
        lie("UnmarkedRehearsal", MODE, "authorities/root.cer", prefix=""),
        lie("MarkedProduction", MODE, "authorities/root.cer",
            base=Production, prefix="REHEARSAL "),
        lie("RehearsalKeyInProduction", SIGNED_BY_PEOPLE, "not by a key that ada may use",
            base=Production, use_of=but_ada("rehearsal", Production.use_of)),
        lie("FileKeyInProduction", "the roster keeps its rules", "ada kept in file cannot be for production",
            base=Production, kept_in=but_ada("file", Production.kept_in)),
        lie("ExpiredKey", SIGNED_BY_PEOPLE, "not by a key that ada may use here at that time",
            valid_until=but_ada("2026-11-23T12:00:05Z", Ceremony.valid_until)),
        lie("DeviationUntold", CLOSE, "deviations", deviations=1),
        lie("TooManyDeviations", LIMITS, "more deviations",
            deviations=6, outcome="completed-with-deviations"),
        lie("AllowedSignersOfAnother", "allowed-signers is what the roster comes to", "allowed-signers",
            allowed_signers=lambda self: Ceremony.allowed_signers(self).replace(b"eve ", b"dan ")),
        lie("OtherTimeOfTheStatement", STATEMENTS, "its time is not between",
            statement=with_more(time="2026-11-23T11:00:00Z")),
        lie("OtherCeremonysStatement", STATEMENTS, "statement of another ceremony",
            statement=with_more(ceremony="root-r2-2027")),
        lie("OlderHeadInStatement", STATEMENTS, "the transcript that it was signed over",
            statement=with_more(**{"transcript-sha256": "0" * 64})),
        lie("OtherOutcomeAtTheEnd", CLOSE, "the outcome aborted-clean", outcome="aborted-clean"),
    ],
)  # fmt: skip
def test_a_consistent_lie_is_named(officers, judge, ceremony, check, words):
    found = judge(ceremony(officers).hold())
    assert accused(found, check, words), found
