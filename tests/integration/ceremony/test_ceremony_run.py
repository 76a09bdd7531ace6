"""A whole ceremony on real tokens: what it makes, what it refuses, and what is left when it stops."""

from __future__ import annotations

import io
import subprocess
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from ca_server.core.bundle import key_id, read_bundle
from ca_server.core.errors import CaError, Kind
from ca_server.core.hierarchy import check_hierarchy
from ca_server.core.signatures import KeyType, SignatureAlgorithm, verify_signature
from ca_server.hsm.pkcs11 import open_token
from ca_server.hsm.port import HsmUnavailable, KeyStore, SignatureUnknown
from ceremony.clock import SystemClock
from ceremony.display import Display
from ceremony.engine import open_room, run_ceremony
from ceremony.plan import make_plan
from tests.fixtures.ceremony import CEREMONY_TIME, READY_SCRIPT
from tests.fixtures.commands import tool

pytestmark = pytest.mark.hsm

LABELS = {"root": "root-r1", "issuing": "issuing-i1", "ocsp": "ocsp-i1", "log": "log-1"}


def script_with(*changes: tuple[str, str]) -> bytes:
    text = READY_SCRIPT.decode()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text.encode()


def labels_by_token(room, host) -> dict[str, list[str]]:
    found = {}
    for alias in LABELS:
        store = open_token(host.tokens[alias].settings)
        found[alias] = [record.label for record in store.inventory()]
        store.close()
    return found


def outputs(room) -> list[str]:
    return sorted(path.name for path in room.folder.iterdir())


def refused(room, script=READY_SCRIPT, host=None, **engine) -> CaError:
    with pytest.raises(CaError) as error:
        if engine:
            run_ceremony(make_plan(script, CEREMONY_TIME), host or room.host(), display=Display(), **engine)
        else:
            room.run(script, host)
    return error.value


def test_a_whole_ceremony(ceremony_room):
    outcome, screen = ceremony_room.run()
    data = outcome.bundle.read_bytes()
    bundle = read_bundle(data)
    hierarchy = check_hierarchy(bundle)
    assert outcome.sha256 == bundle.sha256
    assert bundle.manifest.mode == "rehearsal"
    assert outputs(ceremony_room) == ["api-server.key", "bundle.tar"]
    assert bundle.files["script.toml"] == READY_SCRIPT
    assert labels_by_token(ceremony_room, ceremony_room.host()) == {
        alias: [label] for alias, label in LABELS.items()
    }
    root, issuing = hierarchy.authorities
    assert root.certificate.public_key().curve.name == "secp384r1"
    assert issuing.certificate.public_key().curve.name == "secp256r1"
    assert root.crl.next_update == CEREMONY_TIME + timedelta(days=365)
    assert "[9/9] api-server" in screen
    assert "SoftHSM v2" in screen


def test_the_api_server_key_stays_on_the_host(ceremony_room):
    outcome, _ = ceremony_room.run()
    assert outcome.api_server_key.stat().st_mode & 0o777 == 0o600
    key = load_pem_private_key(outcome.api_server_key.read_bytes(), None)
    bundle = read_bundle(outcome.bundle.read_bytes())
    csr = x509.load_der_x509_csr(bundle.files["api-server.csr"])
    assert csr.public_key() == key.public_key()
    names = csr.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["localhost"]
    assert b"PRIVATE KEY" not in outcome.bundle.read_bytes()


def test_keys_have_the_attributes_and_ids_that_the_bundle_claims(ceremony_room):
    outcome, _ = ceremony_room.run()
    bundle = read_bundle(outcome.bundle.read_bytes())
    host = ceremony_room.host()
    for entry, alias in zip(bundle.keys, LABELS, strict=True):
        store = open_token(host.tokens[alias].settings)
        (record,) = store.inventory()
        store.close()
        assert record.key_id == bytes.fromhex(entry.id) == key_id("first-hierarchy", f"key.{LABELS[alias]}")
        flags = (
            record.private,
            record.sensitive,
            record.always_sensitive,
            record.never_extractable,
            record.local,
        )
        assert flags == (True,) * 5
        assert not record.extractable


def test_serial_numbers_come_from_the_token_r12(ceremony_room):
    outcome, _ = ceremony_room.run()
    bundle = read_bundle(outcome.bundle.read_bytes())
    serials = [
        x509.load_der_x509_certificate(data).serial_number
        for name, data in bundle.files.items()
        if name.endswith(".cer")
    ]
    assert len(set(serials)) == len(serials) == 3
    for serial in serials:
        assert 0 < serial < 1 << 159
        assert serial.bit_length() > 95  # one time in 2^64 by chance


def test_the_log_key_signs_and_its_vkey_verifies(ceremony_room):
    outcome, _ = ceremony_room.run()
    log = read_bundle(outcome.bundle.read_bytes()).manifest.log
    store = open_token(ceremony_room.host().tokens["log"].settings)
    signer = store.signer(label="log-1")
    signature = signer.sign(b"text\n", SignatureAlgorithm.ED25519)
    store.close()
    verify_signature(signer.public_key, signature, b"text\n", SignatureAlgorithm.ED25519)
    assert log.vkey.startswith("localhost/ca-audit/1+")


def unpack(data: bytes, folder: Path) -> Path:
    """The bundle as an outsider gets it: with `tar`, and in PEM for tools that want it."""
    folder.mkdir()
    packed = folder.with_suffix(".tar")
    packed.write_bytes(data)
    tool("tar", "-xf", str(packed), "-C", str(folder))
    for path in folder.rglob("*.cer"):
        certificate = x509.load_der_x509_certificate(path.read_bytes())
        (folder / f"{path.stem}-{path.parent.name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))
    crl = x509.load_der_x509_crl((folder / "crls/root-r1.crl").read_bytes())
    (folder / "root.crl.pem").write_bytes(crl.public_bytes(Encoding.PEM))
    return folder


@pytest.fixture
def unpacked(ceremony_room, tmp_path) -> Path:
    constrained = (
        "path_length = 0",
        'path_length = 0\nname_constraints = { permitted_dns = ["example.com"] }',
    )
    outcome, _ = ceremony_room.run(script_with(constrained))
    return unpack(outcome.bundle.read_bytes(), tmp_path / "unpacked")


def test_openssl_accepts_the_chain_and_the_crl(unpacked):
    root, issuing = unpacked / "root-r1-authorities.pem", unpacked / "issuing-i1-authorities.pem"
    responder, crl = unpacked / "issuing-i1-responders.pem", unpacked / "root.crl.pem"
    moment = str(int(CEREMONY_TIME.timestamp()) + 60)
    trusted = ("-x509_strict", "-attime", moment, "-CAfile", str(root))
    assert tool("openssl", "verify", *trusted, str(root)).stdout.endswith("OK\n")
    # The CRL speaks for the root itself too, as -crl_check_all asks of it.
    checked = ("-crl_check_all", "-CRLfile", str(crl))
    assert tool("openssl", "verify", *trusted, *checked, str(issuing)).stdout.endswith("OK\n")
    chain = ("-untrusted", str(issuing), "-purpose", "ocsphelper")
    assert tool("openssl", "verify", *trusted, *chain, str(responder)).stdout.endswith("OK\n")
    printed = tool("openssl", "crl", "-in", str(crl), "-CAfile", str(root), "-noout", "-text")
    assert "verify OK" in printed.stderr + printed.stdout
    for words in ("X509v3 Issuing Distribution Point: critical", "Only CA Certificates", "No Revoked"):
        assert words in printed.stdout


def test_openssl_reads_what_the_certificates_say(unpacked):
    issuing = tool(
        "openssl", "x509", "-in", str(unpacked / "issuing-i1-authorities.pem"), "-noout", "-text"
    ).stdout
    for words in (
        "CA:TRUE, pathlen:0",
        "Certificate Sign, CRL Sign",
        "URI:http://localhost:8080/crl/root-r1.crl",
        "CA Issuers - URI:http://localhost:8080/aia/root-r1.cer",
        "Name Constraints: critical",
        "DNS:example.com",
    ):
        assert words in issuing
    responder = tool(
        "openssl", "x509", "-in", str(unpacked / "issuing-i1-responders.pem"), "-noout", "-text"
    ).stdout
    assert "OCSP Signing" in responder
    assert "OCSP No Check" in responder
    root = tool("openssl", "x509", "-in", str(unpacked / "root-r1-authorities.pem"), "-noout", "-text").stdout
    assert "CA:TRUE, pathlen:1" in root
    assert "ecdsa-with-SHA384" in root


def test_gnutls_accepts_the_chain(ceremony_room, tmp_path):
    # certtool knows no other time than now.
    outcome, _ = ceremony_room.run(now=SystemClock().now())
    unpacked = unpack(outcome.bundle.read_bytes(), tmp_path / "unpacked")
    options = {
        "--load-ca-certificate": "root-r1-authorities.pem",
        "--load-crl": "root.crl.pem",
        "--infile": "issuing-i1-authorities.pem",
    }
    named = [word for option, name in options.items() for word in (option, str(unpacked / name))]
    done = tool("certtool", "--verify", *named)
    assert "Chain verification output: Verified." in done.stdout


@pytest.mark.parametrize("name", ["bundle.tar", "api-server.key"])
def test_an_existing_output_is_refused_before_any_key_is_made(ceremony_room, name):
    (ceremony_room.folder / name).write_bytes(b"old")
    error = refused(ceremony_room)
    assert error.rule_ids == ("CEREMONY-OUTPUT-EXISTS",)
    assert (ceremony_room.folder / name).read_bytes() == b"old"
    assert not any(labels_by_token(ceremony_room, ceremony_room.host()).values())


def test_a_label_or_id_in_use_is_refused_before_any_key_is_made(ceremony_room):
    host = ceremony_room.host()
    store = open_token(host.tokens["log"].settings)
    store.generate(KeyType.EC_P256, label="log-1", key_id=b"other")
    store.close()
    error = refused(ceremony_room)
    assert error.kind is Kind.CONFLICT
    assert error.rule_ids == ("CEREMONY-LABEL-USED",)
    assert "destroy" in error.detail
    assert labels_by_token(ceremony_room, host) == {"root": [], "issuing": [], "ocsp": [], "log": ["log-1"]}
    other_label = script_with(('label = "log-1"', 'label = "log-2"'))
    store = open_token(host.tokens["issuing"].settings)
    store.generate(KeyType.EC_P256, label="foreign", key_id=key_id("first-hierarchy", "key.issuing-i1"))
    store.close()
    assert refused(ceremony_room, other_label).rule_ids == ("CEREMONY-LABEL-USED",)
    assert outputs(ceremony_room) == []


def test_a_second_run_is_refused_and_changes_nothing(ceremony_room):
    outcome, _ = ceremony_room.run()
    before = outcome.bundle.read_bytes()
    assert refused(ceremony_room).rule_ids == ("CEREMONY-OUTPUT-EXISTS",) * 2
    assert outcome.bundle.read_bytes() == before
    outcome.bundle.unlink()
    outcome.api_server_key.unlink()
    assert refused(ceremony_room).rule_ids == ("CEREMONY-LABEL-USED",) * 4
    assert outputs(ceremony_room) == []


def test_production_refuses_a_software_token_unless_told(ceremony_room):
    ceremony_room.create_tokens("vault-")
    error = refused(ceremony_room, host=ceremony_room.host("production", "vault-"))
    assert error.kind is Kind.POLICY_REFUSED
    assert error.rule_ids == ("CEREMONY-SOFTWARE-TOKEN",)
    host = ceremony_room.host("production", "vault-", extra="allow_software_token = true")
    assert not any(labels_by_token(ceremony_room, host).values())
    outcome, _ = ceremony_room.run(host=host)
    assert read_bundle(outcome.bundle.read_bytes()).manifest.mode == "production"


def test_production_refuses_rehearsal_tokens_and_rehearsal_all_others(ceremony_room):
    ceremony_room.create_tokens("vault-")
    for host in (ceremony_room.host("production"), ceremony_room.host("rehearsal", "vault-")):
        assert refused(ceremony_room, host=host).rule_ids == ("CEREMONY-MODE",) * 4


def test_a_key_type_that_the_token_cannot_make_is_refused_before_any_key_is_made(ceremony_room):
    error = refused(ceremony_room, script_with(('type = "ec-p256"', 'type = "ml-dsa-65"')))
    assert error.kind is Kind.POLICY_REFUSED
    assert set(error.rule_ids) == {"CEREMONY-MECHANISM"}
    assert not any(labels_by_token(ceremony_room, ceremony_room.host()).values())


def refused_by_lints() -> bytes:
    """A URL whose host has one label, in capitals: no rule of the script's, but no lint lets it pass.

    It stands in the issuing authority's certificate and not in the root's.
    """
    return script_with(("http://localhost:8080", "http://PKI:8080"))


def test_a_lint_that_objects_stops_before_any_hsm_opens(ceremony_room):
    opened = []
    error = refused(ceremony_room, refused_by_lints(), open_token=opened.append)
    assert error.kind is Kind.POLICY_REFUSED
    assert set(error.rule_ids) == {"CEREMONY-LINT"}
    assert opened == []


def test_a_lint_that_objects_stops_before_that_signature(ceremony_room):
    plan = make_plan(refused_by_lints(), CEREMONY_TIME)
    with open_room(plan, ceremony_room.host(), open_token) as room:
        signatures = count_signatures(plan, room)
        with pytest.raises(CaError) as error:
            for step in plan.steps:
                step.perform(room)
    assert set(error.value.rule_ids) == {"CEREMONY-LINT"}
    assert signatures == ["authority.root-r1"]
    assert "authorities/issuing-i1.cer" not in room.files


def count_signatures(plan, room) -> list[str]:
    """Which signing steps got as far as the token."""
    signed = []
    for token in room.tokens.values():
        original = token.store.signer

        def watched(*, original=original, **names):
            return Watched(original(**names), signed, plan)

        token.store.signer = watched
    return signed


class Watched:
    """A signer that notes each signature under the step whose turn it is."""

    def __init__(self, signer, signed, plan):
        self._signer = signer
        self._signed = signed
        self._steps = [
            step.id for step in plan.steps if step.id.startswith(("authority", "responder", "crl"))
        ]
        self.public_key = signer.public_key
        self.key_type = signer.key_type

    def sign(self, data, algorithm):
        self._signed.append(self._steps[len(self._signed)])
        return self._signer.sign(data, algorithm)


class Failing:
    """A token that fails at its n-th generation or signature, before or after doing it."""

    def __init__(self, store: KeyStore, calls: list[int], failure: Exception, *, after: bool):
        self._store = store
        self._calls = calls
        self._failure = failure
        self._after = after

    def __getattr__(self, name):
        return getattr(self._store, name)

    def _guard(self, call):
        self._calls[0] -= 1
        if self._calls[0] < 0 and not self._after:
            raise self._failure
        result = call()
        if self._calls[0] < 0:
            raise self._failure
        return result

    def generate(self, *arguments, **names):
        return self._guard(lambda: self._store.generate(*arguments, **names))

    def signer(self, **names):
        signer = self._store.signer(**names)
        return FailingSigner(signer, self._guard)


class FailingSigner:
    def __init__(self, signer, guard):
        self._signer = signer
        self._guard = guard
        self.public_key = signer.public_key
        self.key_type = signer.key_type

    def sign(self, data, algorithm):
        return self._guard(lambda: self._signer.sign(data, algorithm))


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("calls", range(8))
def test_a_failure_at_any_call_leaves_no_output_and_a_clear_word(ceremony_room, calls, after):
    budget = [calls]
    failure = SignatureUnknown("late") if after and calls >= 4 else HsmUnavailable("the token is away")
    error = refused(
        ceremony_room,
        open_token=lambda settings: Failing(open_token(settings), budget, failure, after=after),
    )
    assert "the ceremony stopped at step" in error.detail
    assert "Nothing was released." in error.detail
    assert outputs(ceremony_room) == []
    made = labels_by_token(ceremony_room, ceremony_room.host())
    assert sum(len(labels) for labels in made.values()) == min(calls + after, 4)
    again = refused(ceremony_room) if any(made.values()) else None
    assert again is None or set(again.rule_ids) == {"CEREMONY-LABEL-USED"}


def test_a_run_that_is_killed_leaves_nothing_half_made(ceremony_room):
    class Killed(BaseException):
        """The process ends here."""

    budget = [5]
    with pytest.raises(Killed):
        run_ceremony(
            make_plan(READY_SCRIPT, CEREMONY_TIME),
            ceremony_room.host(),
            lambda settings: Failing(open_token(settings), budget, Killed(), after=True),
            Display(),
        )
    assert outputs(ceremony_room) == []
    assert refused(ceremony_room).rule_ids == ("CEREMONY-LABEL-USED",) * 4


def test_a_token_that_lies_about_its_keys_is_refused(ceremony_room):
    class Weak(Failing):
        def generate(self, *arguments, **names):
            return replace(self._store.generate(*arguments, **names), never_extractable=False)

    error = refused(
        ceremony_room,
        open_token=lambda settings: Weak(open_token(settings), [99], RuntimeError(), after=False),
    )
    assert "did not come back from its token as one that never leaves it" in error.detail
    assert outputs(ceremony_room) == []


def test_a_signature_of_other_bytes_is_refused(ceremony_room):
    class Wrong(Failing):
        def signer(self, **names):
            return WrongSigner(self._store.signer(**names))

    class WrongSigner(FailingSigner):
        def __init__(self, signer):
            super().__init__(signer, None)

        def sign(self, data, algorithm):
            return self._signer.sign(data + b"x", algorithm)

    error = refused(
        ceremony_room,
        open_token=lambda settings: Wrong(open_token(settings), [99], RuntimeError(), after=False),
    )
    assert "a signature that does not verify" in error.detail
    assert outputs(ceremony_room) == []


def test_strings_of_the_pins_are_nowhere_in_the_outputs(ceremony_room):
    outcome, screen = ceremony_room.run()
    pins = [path.read_text().strip() for path in ceremony_room.softhsm.folder.glob("*.pin")]
    shown = screen.encode() + outcome.bundle.read_bytes() + outcome.api_server_key.read_bytes()
    assert len(pins) == 4
    assert not any(pin.encode() in shown for pin in pins)


def test_every_step_of_the_script_is_shown_before_it_happens(ceremony_room):
    plan = make_plan(READY_SCRIPT, CEREMONY_TIME)
    screen = io.StringIO()
    from rich.console import Console

    Display(Console(file=screen, width=200)).show_plan(plan, ceremony_room.host())
    for step in plan.steps:
        assert step.id in screen.getvalue()
    assert plan.sha256 in screen.getvalue()
    assert (
        plan.sha256
        == subprocess.run(["sha256sum"], input=READY_SCRIPT, capture_output=True, check=True)
        .stdout.decode()
        .split()[0]
    )
