"""The auditor's verifier against bundles made by hand: honest ones, altered ones, and consistent lies."""

from __future__ import annotations

import base64
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import ClassVar

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.fixtures.hand_made_bundle import Ceremony, Officers, canonical, digest, pack, unpack

VERIFIER = Path(__file__).parents[3] / "ops/auditor/verify_ceremony.py"

SIGNED_BY_PEOPLE = "the signatures of the people are theirs"
QUORUMS = "quorums of distinct persons"
CHAIN = "every line of the transcript names the one before it, and no clock goes back"
GRAMMAR = "the transcript tells a ceremony from its opening to its end"
LIMITS = "limits and devices are those of the script"
KEYS = "keys were made in tokens and could never leave them"
PERSONS = "persons keep to their roles"
PRODUCTS = "certificates, CRLs and CSRs come from these signatures"
CHAINED = "certificates chain to a root"
MANIFEST = "the manifest names what was made"
DEVICES = "devices hold what the script lets them hold"
MODE = "rehearsal and production are kept apart"
ARCHIVE = "the archive is in its one spelling"
STATEMENTS = "statements say what the transcript says, each once"
CLOSE = "the close covers everything and everyone signed it"
APPROVED = "the HSM signed exactly what was approved"


@pytest.fixture(scope="module")
def officers():
    return Officers()


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """With keys of ssh-keygen: Ed25519, ECDSA and RSA."""
    return Ceremony(Officers(tmp_path_factory.mktemp("officers"))).hold()


@pytest.fixture(scope="module")
def verifier():
    spec = importlib.util.spec_from_file_location("verify_ceremony", VERIFIER)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def run(path, *options, python=sys.executable, **environment):
    command = [python, "-I", str(VERIFIER), str(path), *options]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )


@pytest.fixture
def judge(tmp_path):
    def verify(data, *options):
        path = tmp_path / "bundle.tar"
        path.write_bytes(data)
        answer = run(path, "--json", *options)
        assert answer.stderr == ""
        result = json.loads(answer.stdout)
        assert result["exit"] == answer.returncode
        found = [(each["check"], each["detail"]) for each in result["findings"] if each["state"] == "BAD"]
        assert (answer.returncode == 1) == bool(found)
        return found

    return verify


def accused(found, check, words):
    return any(each == check and re.search(words, detail) for each, detail in found)


def test_an_honest_bundle_is_good(good, tmp_path):
    (tmp_path / "bundle.tar").write_bytes(good)
    answer = run(tmp_path / "bundle.tar", "--sha256", digest(good))
    lines = answer.stdout.splitlines()
    assert answer.returncode == 0
    assert {line[:4] for line in lines[:-1]} == {"ok  "}
    assert lines[-1].startswith(f"good: archive {digest(good)}, roster ")


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


def test_what_the_auditor_knows_from_elsewhere(good, judge):
    roster = digest(unpack(good)["roster.json"])
    assert judge(good, "--sha256", digest(good), "--roster-sha256", roster.upper()) == []
    assert accused(judge(good, "--sha256", "0" * 64), "the archive has the SHA-256 given", digest(good))
    assert accused(judge(good, "--roster-sha256", "0" * 64), "roster.json has the SHA-256 given", roster)


def test_every_altered_file_is_named(good, verifier, tmp_path):
    """Bytes at the start, inside and at the end of every file, in an archive that is whole again."""
    files = unpack(good)
    for name, content in files.items():
        for at in sorted({0, len(content) // 3, len(content) // 2, len(content) - 1}):
            altered = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
            bundle = verifier.Bundle(pack({**files, name: altered}), tmp_path)
            named = (each for each in verifier.judge(bundle) if each.state == "BAD" and name in each.detail)
            assert next(named, None) is not None, (name, at)


def test_every_byte_of_the_transcripts_unsigned_end_counts(good, verifier, tmp_path):
    """Nobody signs the last line: whatever can be changed there and still be read is refused by name."""
    files = unpack(good)
    content = files["transcript.jsonl"]
    for at in range(content.rindex(b"\n", 0, -1) + 1, len(content)):
        altered = content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :]
        bundle = verifier.Bundle(pack({**files, "transcript.jsonl": altered}), tmp_path)
        checks = [check for name, check in verifier.CHECKS if name in {CHAIN, GRAMMAR, CLOSE}]
        found = (each for check in checks for each in problems(verifier, check, bundle))
        assert any("transcript.jsonl" in problem for problem in found), at


def problems(verifier, check, bundle):
    try:
        yield from check(bundle)
    except verifier.Bad as error:
        yield str(error)


def test_every_altered_byte_of_the_archive_itself_is_named(good, verifier, tmp_path):
    files = unpack(good)
    at, places = 0, {}
    for name in sorted(files):
        places[name] = at
        at += 512 + -(-len(files[name]) // 512) * 512
    for name in list(places)[::7]:
        for offset in (
            0,
            5,
            100,
            107,
            120,
            124,
            130,
            140,
            150,
            156,
            160,
            257,
            262,
            265,
            300,
            329,
            345,
            500,
            511,
        ):
            place = places[name] + offset
            altered = good[:place] + bytes([good[place] ^ 1]) + good[place + 1 :]
            bundle = verifier.Bundle(altered, tmp_path)
            found = (each.detail for each in verifier.judge(bundle) if each.state == "BAD")
            assert any(name in detail for detail in found), (name, offset)


@pytest.mark.parametrize("at", [-1, -5000])
def test_bytes_after_the_last_file(good, judge, at):
    altered = good[:at] + b"x" + (good[at + 1 :] if at < -1 else b"")
    assert accused(judge(altered), ARCHIVE, "zeros")
    assert judge(good + bytes(512))
    assert judge(good[:-512])


def test_bytes_in_the_padding(good, judge):
    files = unpack(good)
    first = min(files)
    at = 512 + len(files[first])
    assert accused(judge(good[:at] + b"x" + good[at + 1 :]), ARCHIVE, f"{first}: .*padding")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("evidence/more.txt", "does not list"),
        ("gates/0001-close-key-officer-gil.txt.sig", "no line"),
        ("gates/0001-open-key-officer-gil.txt", "no line"),
    ],
)
def test_a_file_too_many(good, judge, name, words):
    found = judge(pack({**unpack(good), name: b"x"}))
    assert any(name in detail and re.search(words, detail) for _, detail in found)


def test_every_missing_file_is_named(good, verifier, tmp_path):
    files = unpack(good)
    for name in files:
        bundle = verifier.Bundle(pack({path: files[path] for path in files if path != name}), tmp_path)
        named = (each for each in verifier.judge(bundle) if each.state == "BAD" and name in each.detail)
        assert next(named, None) is not None, name


# --- a liar with the room's laptop: digests and chain are made right again, signatures cannot be


def rechain(files, lines):
    """Number and chain these lines anew, as anybody can, and let closing.txt name the new head."""
    stored, prev = [], digest(files["script.toml"])
    for seq, line in enumerate(lines):
        stored.append(canonical({**line, "seq": seq, "prev": prev}))
        prev = digest(stored[-1])
    head = next(at for at, line in enumerate(lines) if line["step"] == "close")
    closing = files["closing.txt"].decode()
    closing = re.sub(r"transcript-sequence: .*", f"transcript-sequence: {head}", closing)
    closing = re.sub(r"transcript-sha256: .*", f"transcript-sha256: {digest(stored[head])}", closing)
    for path, data in files.items():
        closing = re.sub(rf"[0-9a-f]{{64}}  {re.escape(path)}\n", f"{digest(data)}  {path}\n", closing)
    deviations = sum(line["event"] == "deviation" for line in lines)
    closing = re.sub(r"deviations: .*", f"deviations: {deviations}", closing)
    return {
        **files,
        "closing.txt": closing.encode(),
        "transcript.jsonl": b"".join(each + b"\n" for each in stored),
    }


def lines_of(files):
    return [json.loads(line) for line in files["transcript.jsonl"].splitlines()]


def test_a_deviation_that_was_dropped(officers, judge):
    class Deviated(Ceremony):
        deviations = 1
        outcome = "completed-with-deviations"

    files = unpack(Deviated(officers).hold())
    lines = [line for line in lines_of(files) if line["event"] != "deviation"]
    lines[-1]["data"]["outcome"] = "completed"
    files["closing.txt"] = files["closing.txt"].replace(b"completed-with-deviations", b"completed")
    found = judge(pack(rechain(files, lines)))
    assert accused(found, STATEMENTS, "the transcript that it was signed over")
    assert accused(found, STATEMENTS, "closing.txt: it is not what dan signed")


def test_lines_that_changed_places(good, judge):
    files = unpack(good)
    lines = lines_of(files)
    first = next(at for at, line in enumerate(lines) if line["event"] == "gate")
    lines[first], lines[first + 1] = lines[first + 1], lines[first]
    assert accused(judge(pack(rechain(files, lines))), STATEMENTS, "the transcript that it was signed over")


def test_a_tbs_that_was_swapped(officers, good, judge):
    """Another certificate of the same key, put through the whole bundle."""

    class Other(Ceremony):
        prefix = "REHEARSAL Another "

    files, other = unpack(good), unpack(Other(officers).hold())
    for path in ("tbs/issuing.tbs", "authorities/issuing.cer"):
        files[path] = other[path]
    lines, instead = lines_of(files), lines_of(other)
    for at, line in enumerate(lines):
        if line["step"] in {"issuing-build", "issuing-sign"}:
            line["data"] = instead[at]["data"]
    found = judge(pack(rechain(files, lines)))
    assert accused(found, APPROVED, "before a quorum had approved these bytes")
    assert accused(found, STATEMENTS, "^tbs/issuing.tbs: it is not what ada signed")


def test_a_closing_that_was_written_anew(good, judge):
    files = unpack(good)
    files["closing.txt"] = files["closing.txt"].replace(
        b"person: external-witness eve \xc3\x89variste Galois\n", b""
    )
    found = judge(pack(files))
    assert accused(found, STATEMENTS, "^closing.txt: it is not what")
    assert accused(found, CLOSE, "leaves out eve")


def test_a_gate_replayed_from_a_rehearsal(officers, judge):
    """The statement says production, the signature is one of the rehearsal's namespace."""

    class Replayed(Production):
        def gate(self, gate, step, role, person, subject="-"):
            super().gate(gate, step, role, person, subject)
            if (gate, person) == ("approve", "ada"):
                self.resign(step, role, person)

        def resign(self, step, role, person):
            line = json.loads(self.lines.pop())
            path = line["data"]["statement"]
            signature = self.officers.keys[person].sign(self.files[path], "ceremony-rehearsal@example.com")
            self.files[path + ".sig"] = signature
            self.now -= timedelta(seconds=1)
            self.line("gate", {**line["data"], "signature_sha256": digest(signature)}, step, actor=person)

    found = judge(Replayed(officers).hold())
    assert accused(found, SIGNED_BY_PEOPLE, "by ssh-keygen it is not ada's signature")


# --- a bundle whose every signature is right, and whose people broke a rule


class Production(Ceremony):
    mode = "production"
    prefix = ""
    token_label = "vault-1"

    def use_of(self, person):
        return "production"

    def kept_in(self, person):
        return "fido" if person == "gil" else "smartcard"


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


# --- what is missing is never good


def test_a_missing_tool_is_not_good(good, tmp_path, verifier, monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None if name == "openssl" else f"/usr/bin/{name}")
    findings = list(verifier.judge(verifier.Bundle(good, tmp_path)))
    assert {each.state for each in findings} == {"ok", "?"}
    assert any("openssl is not installed" in each.detail for each in findings)


def test_no_reader_of_the_script_is_not_good(good, tmp_path, verifier, monkeypatch):
    monkeypatch.setattr(verifier, "tomllib", None)
    findings = list(verifier.judge(verifier.Bundle(good, tmp_path)))
    assert {each.state for each in findings} == {"ok", "?"}


def test_no_bundle(tmp_path):
    answer = run(tmp_path / "none.tar")
    assert (answer.returncode, answer.stdout[:1]) == (2, "?")


@pytest.mark.parametrize("data", [b"", b"\0" * 10240, b"not a tar", bytes(range(256)) * 40])
def test_no_tar_at_all(judge, data):
    assert judge(data)


def test_hostile_text_does_not_reach_the_terminal(good, tmp_path):
    files = unpack(good)
    files["roster.json"] = files["roster.json"].replace(b"Ada Lovelace", b"Ada \\u001b[2J")
    (tmp_path / "bundle.tar").write_bytes(pack(files))
    answer = run(tmp_path / "bundle.tar")
    assert answer.returncode == 1
    assert "\x1b" not in answer.stdout


def test_the_page_says_what_each_check_proves(verifier):
    rows = re.findall(r"^\| ([^|]+) \|", VERIFIER.with_name("README.md").read_text(), re.MULTILINE)
    assert rows == ["Check", *(title for title, _ in verifier.CHECKS)]


def test_it_stands_alone():
    """One file, standard library only, two programs."""
    source = VERIFIER.read_text()
    imported = set(re.findall(r"^ *(?:import|from) ([a-z0-9_]+)", source, re.MULTILINE))
    assert imported <= sys.stdlib_module_names | {"__future__"}
    assert set(re.findall(r'run\(\s*"([a-z-]+)"', source)) | {"ssh-keygen"} == {"openssl", "ssh-keygen"}


@pytest.mark.parametrize(
    ("kind", "flags"),
    [
        ("rsa", 0),
        ("ecdsa", 0),
        ("ed25519", 0),
        ("ecdsa_sk", 0x01),
        ("ed25519_sk", 0x01),
        ("ecdsa_sk_webauthn", 0x01),
    ],
)
def test_it_reads_openssh_s_own_signatures(verifier, kind, flags):
    """OpenSSH's regression tests (tests/vectors/SOURCES.md); `dsa` is no kind of key for a ceremony."""
    folder = VERIFIER.parents[2] / "tests/vectors/sshsig"
    seal = verifier.read_seal((folder / f"{kind}.sig").read_bytes(), kind)
    public = (folder / f"{kind}.pub").read_text().split()
    assert seal.key_type == public[0]
    assert seal.key == base64.b64decode(public[1])
    assert seal.flags == flags
