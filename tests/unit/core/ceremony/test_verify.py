"""Ceremonies that were not held as their script says: a lie is told consistently, and found by its rule."""

from __future__ import annotations

import hashlib
from datetime import timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.archive import pack, unpack
from ca_server.core.ceremony.closing import is_listed
from ca_server.core.ceremony.transcript import Outcome
from ca_server.core.ceremony.verify import verify_bundle
from ca_server.core.errors import CaError
from tests.fixtures.hand_made_bundle import Document, digest
from tests.fixtures.installable_bundle import Installable


def refusal(data: bytes) -> CaError:
    with pytest.raises(CaError) as error:
        verify_bundle(data)
    return error.value


def test_a_good_ceremony_holds(installable):
    verified = verify_bundle(installable)
    assert verified.bundle.sha256 == hashlib.sha256(installable).hexdigest()
    assert [each.entry.id for each in verified.hierarchy.authorities] == ["root", "issuing"]
    assert verified.head_sha256 == verified.lines[-1].digest
    assert verified.roster.domain == "example.com"


def test_an_altered_byte_of_any_file_is_found_and_named(installable):
    files = unpack(installable)
    for name, data in files.items():
        altered = bytearray(data)
        altered[len(data) // 2] ^= 0x01
        error = refusal(pack({**files, name: bytes(altered)}))
        if is_listed(name) and name != "manifest.json":
            assert name in error.detail
            assert error.rule_ids == ("BUNDLE-DIGEST",)
        else:
            assert error.rule_ids, name


def test_a_deviation_is_told_and_an_abort_installs_nothing(officers):
    class Deviated(Installable):
        deviations, outcome = 1, "completed-with-deviations"

    assert verify_bundle(Deviated(officers).hold()).bundle.closing.deviations == 1

    class Aborted(Installable):
        outcome = "aborted-dirty"

    verified = verify_bundle(Aborted(officers).hold())
    assert (verified.bundle.closing.outcome, verified.hierarchy) == (Outcome.ABORTED_DIRTY, None)


class TooFew(Installable):
    signers = Installable.signers | {"key-officer": ["ada"]}


class OnePersonTwice(Installable):
    signers = Installable.signers | {"key-officer": ["ada"]}

    def gates(self, gate: str, step: str, roles: list[str], subject: str = "-") -> None:
        super().gates(gate, step, [*roles, "key-officer"] if gate != "close" else roles, subject)


class TwoHats(Installable):
    groups = Installable.groups | {"white": ["dan", "cyd"]}
    signers = Installable.signers | {"internal-witness": ["dan"]}


class NotOfTheGroup(Installable):
    signers = Installable.signers | {"key-officer": ["ada", "cyd"]}


class Expired(Installable):
    def valid_until(self, person: str) -> str:
        return "2026-11-23T11:59:59Z" if person == "bob" else super().valid_until(person)


class OfAnotherMode(Installable):
    mode, token_label = "production", "root"


class InAnotherNamespace(Installable):
    def allowed_signers(self) -> bytes:
        return super().allowed_signers().replace(b"another@", b"ceremony-rehearsal@")

    @property
    def namespace(self) -> str:
        return "another@example.com"


class OtherSigners(Installable):
    def allowed_signers(self) -> bytes:
        return super().allowed_signers() + b"# eve\n"


class OtherRoster(Installable):
    def script(self) -> bytes:
        return super().script().replace(digest(self.roster()).encode(), b"0" * 64)


class NoRosterInProduction(Installable):
    mode, token_label = "production", "root"

    def script(self) -> bytes:
        pin = f'[roster]\nsha256 = "{digest(self.roster())}"\n'
        return super().script().replace(pin.encode(), b"")


class OtherRoles(Installable):
    def line(self, event: str, data: dict, *arguments: str, **other) -> int:
        roles = {"roles": self.roles | {"key-officer": {"group": "green", "quorum": 1}}}
        return super().line(event, {**data, **(roles if event == "opened" else {})}, *arguments, **other)


class OtherWords(Installable):
    """A person signed a statement about another step than the transcript has it under."""

    def statement(self, gate: str, step: str, *arguments: str) -> dict[str, str]:
        return super().statement(gate, "root-approve" if step == "issuing-approve" else step, *arguments)


class OldTranscript(Installable):
    """Somebody signed without having seen the last line."""

    def statement(self, gate: str, *arguments: str) -> dict[str, str]:
        before = {"transcript-sha256": "0" * 64} if gate == "approve" else {}
        return super().statement(gate, *arguments) | before


class NonceTwice(Installable):
    def statement(self, *arguments: str) -> dict[str, str]:
        return super().statement(*arguments) | {"nonce": "0" * 32}


class WasNotThere(Installable):
    def gates(self, gate: str, step: str, roles: list[str], subject: str = "-") -> None:
        self.signers = dict(Installable.signers)
        if gate == "approve":
            self.signers["key-officer"] = ["ada", "gil"]
        super().gates(gate, step, roles, subject)
        self.signers = dict(Installable.signers)


class ApprovedSomethingElse(Installable):
    def approve(self, name: str) -> None:
        super().approve("root" if name == "root-crl" else name)


class Approvals(Installable):
    """The script itself asks for no approval."""

    def script(self) -> bytes:
        return (
            super()
            .script()
            .replace(b'do = "gate.approve"', b'do = "look.at"')
            .replace(b'sign_by = ["key-officer", "internal-witness"]\n', b"")
        )

    def approve(self, name: str) -> None:
        self.begin(f"{name}-approve", "idempotent")
        self.done(f"{name}-approve")


class SecretSignature(Installable):
    """One more signature, over a certificate that nobody approved, that was not released."""

    def sign(self, name: str, document: Document) -> None:
        if name == "issuing":
            self.files["evidence/more.tbs"] = self.certificate("Other", root_other(), 0).tbs_certificate_bytes
        super().sign(name, document)

    def sign_effect(self, step: str, name: str, document: Document, **other) -> None:
        super().sign_effect(step, name, document, **other)
        if name == "issuing":
            more = "evidence/more.tbs"
            lie = {"input": more, "input_sha256": digest(self.files[more]), "released": False}
            super().sign_effect(step, name, document, **lie)


def root_other() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP384R1())


class AnotherKeysSignature(Installable):
    other = root_other()

    def signing_key(self):
        return self.other


class OtherOutput(Installable):
    def sign_effect(self, step: str, name: str, document: Document, **other) -> None:
        super().sign_effect(step, name, document, **(other | {"output": "00" * 96}))


class BytesThatAreGone(Installable):
    def sign_effect(self, step: str, name: str, document: Document, **other) -> None:
        super().sign_effect(step, name, document, **(other | {"input_sha256": "0" * 64}))


class OutOfNowhere(Installable):
    """A certificate that no line of the transcript made."""

    def manifest(self, keys: list[dict] | None = None) -> dict:
        made = self.certificate("Other", root_other(), 0)
        self.files["certificates/other.cer"] = made.public_bytes(Encoding.DER)
        entry = {
            "name": "other",
            "role": "other",
            "path": "certificates/other.cer",
            "subject": None,
            "issuer": None,
        }
        return super().manifest(keys) | {"certificates": [entry]}


class DeviationNotCounted(Installable):
    def deviate(self) -> None:
        self.deviations = 1
        super().deviate()
        self.deviations = 0


class DeviationNotOwned(Installable):
    deviations = 1


class SomebodyDidNotClose(Installable):
    def gates(self, gate: str, step: str, roles: list[str], subject: str = "-") -> None:
        super().gates(
            gate, step, [role for role in roles if gate != "close" or "external" not in role], subject
        )


class ClosedOnSomethingElse(Installable):
    def gates(self, gate: str, step: str, roles: list[str], subject: str = "-") -> None:
        super().gates(gate, step, roles, "script.toml" if gate == "close" else subject)


class OtherEnd(Installable):
    def line(self, event: str, data: dict, *arguments: str, **other) -> int:
        end = {"outcome": "aborted-clean"} if event == "end" else {}
        return super().line(event, {**data, **end}, *arguments, **other)


class ClockWentBack(Installable):
    def approve(self, name: str) -> None:
        if name == "issuing":
            self.now -= timedelta(seconds=10)
        super().approve(name)


class StepLeftOut(Installable):
    def build(self, name: str, document: Document) -> None:
        if name == "issuing-csr":
            self.files["tbs/issuing-csr.tbs"] = document.tbs
        else:
            super().build(name, document)


class StepTwice(Installable):
    def build(self, name: str, document: Document) -> None:
        super().build(name, document)
        if name == "issuing":
            super().build(name, document)


class EffectOutside(Installable):
    def build(self, name: str, document: Document) -> None:
        super().build(name, document)
        if name == "root":
            self.line("effect", {"note": "nothing was begun"}, "root-build")


class OtherIntent(Installable):
    def begin(self, step: str, effect: str = "once", attempt: int = 1, **intent) -> None:
        data = {"attempt": 1, "effect": effect, "intent": intent, "intent_sha256": "0" * 64}
        self.line("begin", data, step)


class BegunWithSomethingElse(Installable):
    """After a crash the same step is tried with other bytes."""

    def make_key(self, alias: str) -> dict:
        if alias == "issuing":
            self.begin("issuing-key", key="another")
            self.line("resume", {"found": {}})
            self.gates("resume", "-", sorted(self.roles))
        return super().make_key(alias)


class ResumedAlone(Installable):
    def make_key(self, alias: str) -> dict:
        if alias == "issuing":
            self.line("stopped", {"failure": "F0", "rule_ids": [], "detail": "the power went"})
            self.line("resume", {"found": {}})
            self.gate("resume", "-", "administrator", "dan")
        return super().make_key(alias)


class GoneOnAfterAStop(Installable):
    def make_key(self, alias: str) -> dict:
        if alias == "issuing":
            self.line("stopped", {"failure": "F3", "rule_ids": [], "detail": "the seal is broken"})
        return super().make_key(alias)


class LooseSignature(Installable):
    def close(self) -> bytes:
        files = unpack(super().close())
        return pack(files | {"gates/0099-close-auditor-eve.txt": b"I was there, too"})


class FileChanged(Installable):
    def manifest(self, keys: list[dict] | None = None) -> dict:
        self.files["keys/root.json"] += b" "
        return super().manifest(keys)


class UnaskedInput(Installable):
    def manifest(self, keys: list[dict] | None = None) -> dict:
        self.files["inputs/more"] = b"more"
        return super().manifest(keys)


class UnpinnedInput(Installable):
    mode, token_label = "production", "root"

    def script(self) -> bytes:
        self.files["inputs/order"] = b"an order"
        return super().script() + b'[[inputs]]\nname = "order"\ntype = "file"\n'


class KeyNobodyMade(Installable):
    def line(self, event: str, data: dict, *arguments: str, **other) -> int:
        told = {"key": data["key"] | {"label": "another"}} if "key" in data and event == "effect" else {}
        return super().line(event, {**data, **told}, *arguments, **other)


LIES = {
    TooFew: "CEREMONY-QUORUM",
    OnePersonTwice: "CEREMONY-QUORUM",
    TwoHats: "CEREMONY-DISTINCT-ROLES",
    NotOfTheGroup: "CEREMONY-ROLE-GROUP",
    Expired: "CEREMONY-KEY-EXPIRED",
    OfAnotherMode: "CEREMONY-KEY-USE",
    InAnotherNamespace: "CEREMONY-NAMESPACE",
    OtherSigners: "BUNDLE-SIGNERS",
    OtherRoster: "CEREMONY-ROSTER",
    NoRosterInProduction: "CEREMONY-ROSTER-UNPINNED",
    OtherRoles: "CEREMONY-GRAMMAR",
    OtherWords: "CEREMONY-GATE",
    OldTranscript: "CEREMONY-GATE",
    NonceTwice: "CEREMONY-GATE",
    WasNotThere: "CEREMONY-GATE",
    ApprovedSomethingElse: "CEREMONY-GRAMMAR",
    Approvals: "CEREMONY-UNAPPROVED",
    SecretSignature: "CEREMONY-UNAPPROVED",
    AnotherKeysSignature: "CEREMONY-PRODUCT",
    OtherOutput: "CEREMONY-PRODUCT",
    BytesThatAreGone: "CEREMONY-PRODUCT",
    OutOfNowhere: "CEREMONY-PRODUCT",
    DeviationNotCounted: "CEREMONY-CLOSING",
    DeviationNotOwned: "CEREMONY-CLOSING",
    SomebodyDidNotClose: "CEREMONY-CLOSING",
    ClosedOnSomethingElse: "CEREMONY-GATE",
    OtherEnd: "CEREMONY-CLOSING",
    ClockWentBack: "CEREMONY-CLOCK",
    StepLeftOut: "CEREMONY-GRAMMAR",
    StepTwice: "CEREMONY-GRAMMAR",
    EffectOutside: "CEREMONY-GRAMMAR",
    OtherIntent: "CEREMONY-GRAMMAR",
    BegunWithSomethingElse: "CEREMONY-TBS-CHANGED",
    ResumedAlone: "CEREMONY-QUORUM",
    GoneOnAfterAStop: "CEREMONY-GRAMMAR",
    LooseSignature: "CEREMONY-CLOSING",
    FileChanged: "CEREMONY-FILE-CHANGED",
    UnaskedInput: "CEREMONY-INPUT",
    UnpinnedInput: "CEREMONY-INPUT-UNPINNED",
    KeyNobodyMade: "BUNDLE-KEYS",
}


@pytest.mark.parametrize(("lie", "rule_id"), LIES.items(), ids=[each.__name__ for each in LIES])
def test_a_lie_is_found_by_its_rule(officers, lie, rule_id):
    assert refusal(lie(officers).hold()).rule_ids == (rule_id,)


def test_a_fido_signature_without_touch_or_pin_is_refused(officers):
    class WithToken(Installable):
        signers = Installable.signers | {"key-officer": ["ada", "gil"]}

    token = officers.keys["gil"]
    assert verify_bundle(WithToken(officers).hold())
    for flags in (0x00, 0x01, 0x04):
        token.flags = flags
        try:
            assert refusal(WithToken(officers).hold()).rule_ids == ("CEREMONY-SK-FLAGS",)
        finally:
            token.flags = 0x05


def test_a_crash_and_a_resume_with_everybody_hold(officers):
    class Resumed(Installable):
        def make_key(self, alias: str) -> dict:
            if alias == "issuing":
                self.begin("issuing-key", key=alias)
                self.line("resume", {"found": {"unfinished": ["issuing-key"]}})
                self.gates("resume", "-", sorted(self.roles))
            return super().make_key(alias)

    assert verify_bundle(Resumed(officers).hold())


def test_a_pause_that_everybody_signed_holds(officers):
    class Paused(Installable):
        def make_key(self, alias: str) -> dict:
            if alias == "issuing":
                self.line("pause", {"outcome": "suspended"})
                self.gates("pause", "-", sorted(self.roles))
                self.line("resume", {"found": {}})
                self.gates("resume", "-", sorted(self.roles))
            return super().make_key(alias)

    assert verify_bundle(Paused(officers).hold())


def test_a_whole_ceremony_of_another_script_is_not_this_one(installable):
    files = unpack(installable)
    for name, old, new in (
        ("manifest.json", b'"kind":"root-generate"', b'"kind":"root-crl"'),
        ("script.toml", b'kind = "root-generate"', b'kind = "root-crl"'),
    ):
        changed = files | {name: files[name].replace(old, new)}
        listed = {path: hashlib.sha256(data).hexdigest() for path, data in changed.items()}
        closing = files["closing.txt"].replace(
            hashlib.sha256(files[name]).hexdigest().encode(), listed[name].encode()
        )
        assert refusal(pack(changed | {"closing.txt": closing})).rule_ids == ("BUNDLE-SCRIPT",)
