"""What ceremonies that certify refuse: stopped with class and rule in the transcript, and nothing signed."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA384
from cryptography.hazmat.primitives.serialization import Encoding

from ca_server.core.errors import CaError
from ca_server.core.signatures import KeyType
from ca_server.hsm.pin import PinSource
from ca_server.hsm.pkcs11 import open_token
from ca_server.hsm.settings import TokenSettings
from ceremony.clock import SystemClock
from ceremony.display import Display
from ceremony.documents import Document
from ceremony.people import Question
from ceremony.practice import PracticeOfficers
from tests.fixtures.certifying import ready
from tests.fixtures.softhsm import MODULE_PLACES

pytestmark = pytest.mark.hsm

LIFETIME = 'lifetime = "1825d"'


@pytest.fixture
def root(practice_room):
    """A room with a root and its first CRL."""
    return practice_room.hold(ready("root-generate"))


def cer(held, name="root-r1") -> Path:
    return held.file(f"authorities/{name}.cer")


def crl(held) -> Path:
    return held.file("crls/root-r1.crl")


def stopped(room, script: str, failure: str, *rule_ids: str, signatures: int = 0, **inputs: Path) -> CaError:
    """The refusal, once the transcript has it as it should and no key signed more than `signatures` times."""
    error, held = room.refused(script, **inputs)
    stop = held.stop()
    assert (stop["failure"], tuple(stop["rule_ids"])) == (failure, rule_ids)
    assert error.rule_ids == rule_ids
    assert held.signatures() == signatures
    assert not held.bundle.exists()
    return error


def refused_early(room, script: str, rule_id: str, **inputs: Path) -> None:
    """Refused before there is a transcript."""
    error, held = room.refused(script, **inputs)
    assert set(error.rule_ids) == {rule_id}
    assert not held.file("transcript.jsonl").exists()


def test_an_unexpected_object_in_the_token(practice_room, root):
    another = ready("root-generate", ('id = "root-generate"', 'id = "root-again"'))
    stopped(practice_room, another, "F3", "CEREMONY-INVENTORY")
    unnoticed = another.replace("objects = 0\n", "").replace('id = "root-again"', 'id = "root-thrice"')
    stopped(practice_room, unnoticed, "F0", "CEREMONY-LABEL-USED")


def test_an_object_that_came_while_the_ceremony_went_on(practice_room, root, monkeypatch):
    class Intruder(PracticeOfficers):
        def sign(self, person, statement, namespace):
            super().sign(person, statement, namespace)
            if "approve-internal-witness" in statement.name:
                module = next(Path(place) for place in MODULE_PLACES if Path(place).exists())
                pin = PinSource.from_file(practice_room.pins / "root")
                store = open_token(TokenSettings(module, "REHEARSAL-root", pin))
                store.generate(KeyType.EC_P256, label="intruder", key_id=b"intruder")
                store.close()

    monkeypatch.setattr("ceremony.event.PracticeOfficers", Intruder)
    script, inputs = ready("root-crl"), {"root_r1": cer(root), "root_r1_last_crl": crl(root)}
    error = stopped(
        practice_room, script, "F3", "CEREMONY-INVENTORY", "CEREMONY-INVENTORY", signatures=1, **inputs
    )
    assert "intruder" in error.detail


def test_a_key_that_should_be_there_and_is_not(practice_room, root):
    script = ready("root-crl", ('label = "root-r1"', 'label = "root-r9"'))
    inputs = {"root_r1": cer(root), "root_r1_last_crl": crl(root)}
    stopped(practice_room, script, "F3", "CEREMONY-INVENTORY", **inputs)


def test_an_output_that_is_there_already(practice_room):
    held = practice_room.hold(ready("root-generate"))
    from ceremony.event import begin
    from ceremony.host import parse_host
    from ceremony.plan import make_plan

    plan = make_plan(ready("root-generate").encode())
    before = held.bundle.read_bytes()
    with pytest.raises(CaError) as error:
        begin(plan, parse_host((held.folder / "host.toml").read_bytes()))
    assert error.value.rule_ids == ("CEREMONY-OUTPUT-EXISTS",)
    assert held.bundle.read_bytes() == before


def test_a_tls_key_that_is_there_already(practice_room, tmp_path):
    key = tmp_path / "api-server.key"
    key.write_text("old")
    script = ready("first-hierarchy")
    folder = tmp_path / "practice" / "ceremony-1"
    with pytest.raises(CaError) as error:
        practice_room.hold(script, mode=((f'"{folder}/api-server.key"', f'"{key}"'),))
    assert error.value.rule_ids == ("CEREMONY-OUTPUT-EXISTS",)
    assert key.read_text() == "old"


def test_bytes_that_change_between_gate_and_signature(practice_room, monkeypatch):
    class Sly(PracticeOfficers):
        def sign(self, person, statement, namespace):
            super().sign(person, statement, namespace)
            if "approve-internal-witness" in statement.name:
                tbs = statement.parent.parent / "tbs" / "root-r1.tbs"
                tbs.write_bytes(tbs.read_bytes().replace(b"Root R1", b"Root R7"))

    monkeypatch.setattr("ceremony.event.PracticeOfficers", Sly)
    stopped(practice_room, ready("root-generate"), "F3", "CEREMONY-TBS-CHANGED")


def test_a_crl_number_that_was_used(practice_room, root):
    script = ready("root-crl", ('previous = "root-r1-last-crl"', 'previous = "root-r1-last-crl"\nnumber = 1'))
    inputs = {"root_r1": cer(root), "root_r1_last_crl": crl(root)}
    stopped(practice_room, script, "F0", "CEREMONY-CRL-NUMBER", **inputs)


def tampering(name: str, change):
    """A display before whose eyes the bytes of a document change once they are built."""

    class Tampering(Display):
        @contextmanager
        def step(self, number, total, step):
            if step.id == f"lint-{name}":
                change()
            with super().step(number, total, step) as result:
                yield result

    return Tampering


def test_an_entry_that_was_lost(practice_room, monkeypatch, tmp_path):
    first = practice_room.hold(ready("first-hierarchy"))
    given = {"root_r1": cer(first), "root_r1_last_crl": crl(first), "issuing_i1": cer(first, "issuing-i1")}
    revoked = practice_room.hold(ready("revoke-subordinate"), **given)
    folder = tmp_path / "practice" / "ceremony-3" / "files" / "tbs"

    def lose() -> None:
        document = Document.model_validate_json((folder / "root-r1-crl.json").read_bytes(), strict=False)
        twin = x509.load_der_x509_crl(
            document.assemble((folder / "root-r1-crl.tbs").read_bytes(), b"\x30\x06\x02\x01\x01\x02\x01\x01")
        )
        without = x509.CertificateRevocationListBuilder(
            issuer_name=twin.issuer,
            last_update=twin.last_update_utc,
            next_update=twin.next_update_utc,
            extensions=list(twin.extensions),
        ).sign(ec.generate_private_key(ec.SECP384R1()), SHA384())
        (folder / "root-r1-crl.tbs").write_bytes(without.tbs_certlist_bytes)

    monkeypatch.setattr("ceremony.event.Display", tampering("root-r1-crl", lose))
    stopped(
        practice_room,
        ready("root-crl"),
        "F3",
        "CEREMONY-FILE-CHANGED",
        root_r1=cer(first),
        root_r1_last_crl=crl(revoked),
    )


def test_a_revocation_of_what_cannot_be_revoked(practice_room):
    first = practice_room.hold(ready("first-hierarchy"))
    given = {"root_r1": cer(first), "root_r1_last_crl": crl(first)}
    script = ready("revoke-subordinate")
    responder = first.file("responders/issuing-i1.cer")
    stopped(practice_room, script, "F0", "CEREMONY-CRL-ENTRY", **given, issuing_i1=responder)
    tomorrow = (SystemClock().now() + timedelta(days=1)).isoformat()
    later = script.replace('reason = "cess', f'date = {tomorrow}\nreason = "cess')
    issuing = cer(first, "issuing-i1")
    stopped(practice_room, later, "F0", "CEREMONY-CRL-ENTRY", **given, issuing_i1=issuing)
    revoked = practice_room.hold(script, **given, issuing_i1=issuing)
    again = {"root_r1": cer(first), "root_r1_last_crl": crl(revoked), "issuing_i1": issuing}
    twice = script.replace('id = "revoke-subordinate"', 'id = "revoke-twice"')
    stopped(practice_room, twice, "F0", "CEREMONY-CRL-ENTRY", **again)


def test_a_previous_crl_of_another_issuer_or_the_future(practice_room, root):
    key = ec.generate_private_key(ec.SECP384R1())
    now = SystemClock().now()
    other = x509.CertificateRevocationListBuilder(
        issuer_name=x509.load_der_x509_certificate(cer(root).read_bytes()).subject,
        last_update=now - timedelta(days=1),
        next_update=now + timedelta(days=1),
    ).add_extension(x509.CRLNumber(7), critical=False)
    path = root.folder / "other.crl"
    path.write_bytes(other.sign(key, SHA384()).public_bytes(Encoding.DER))
    script = ready("root-crl")
    stopped(practice_room, script, "F0", "CEREMONY-CRL-PREVIOUS", root_r1=cer(root), root_r1_last_crl=path)


def test_an_end_beyond_the_issuers(practice_room, root):
    long = ready("first-hierarchy", ('lifetime = "1825d"', 'lifetime = "7301d"'))
    refused_early(practice_room, long, "CEREMONY-VALIDITY-ISSUER")
    key = practice_room.hold(ready("subordinate-key"))
    script = ready("intermediate-sign", (LIFETIME, 'lifetime = "7301d"'))
    inputs = {"root_r1": cer(root), "issuing_i2_csr": key.file("csrs/issuing-i2.csr")}
    stopped(practice_room, script, "F0", "CEREMONY-VALIDITY-ISSUER", **inputs)
    over = ready("first-hierarchy", ('lifetime = "365d"\n\n[crls', 'lifetime = "365d"\n\n[crls')).replace(
        'lifetime = "7300d"', "not_before = 2020-01-01T00:00:00Z\nnot_after = 2021-01-01T00:00:00Z"
    )
    error, _ = practice_room.refused(over)
    assert "CEREMONY-VALIDITY-PAST" in error.rule_ids


def test_a_path_length_that_the_issuer_does_not_allow(practice_room):
    root = practice_room.hold(
        ready("root-generate", ('lifetime = "7300d"', 'lifetime = "7300d"\npath_length = 0'))
    )
    key = practice_room.hold(ready("subordinate-key"))
    inputs = {"root_r1": cer(root), "issuing_i2_csr": key.file("csrs/issuing-i2.csr")}
    stopped(practice_room, ready("intermediate-sign"), "F0", "CEREMONY-PATH-LENGTH", **inputs)


def test_a_request_of_another_subject_or_without_proof(practice_room, root):
    key = practice_room.hold(ready("subordinate-key"))
    request = key.file("csrs/issuing-i2.csr")
    other = ready(
        "intermediate-sign", ('Example Works Issuing CA I2", org', 'Example Works Issuing CA I7", org')
    )
    stopped(practice_room, other, "F0", "CEREMONY-REQUEST", root_r1=cer(root), issuing_i2_csr=request)
    unsigned = root.folder / "unsigned.csr"
    unsigned.write_bytes(request.read_bytes()[:-1] + bytes([request.read_bytes()[-1] ^ 1]))
    script = ready("intermediate-sign")
    stopped(practice_room, script, "F0", "CSR-SIGNATURE", root_r1=cer(root), issuing_i2_csr=unsigned)


def test_an_issuer_that_is_none_or_whose_key_is_another(practice_room, certified_kinds, root):
    request = certified_kinds["subordinate-key"].file("csrs/issuing-i2.csr")
    script = ready("intermediate-sign")
    other = cer(certified_kinds["first-hierarchy"])
    stopped(practice_room, script, "F0", "CEREMONY-ISSUER-KEY", root_r1=other, issuing_i2_csr=request)
    responder = certified_kinds["delegated-signer"].file("responders/issuing-i1.cer")
    stopped(practice_room, script, "F0", "CEREMONY-ISSUER", root_r1=responder, issuing_i2_csr=request)
    stopped(practice_room, script, "F0", "CEREMONY-CERTIFICATE", root_r1=request, issuing_i2_csr=request)


def test_a_certificate_of_production_in_a_rehearsal(practice_room, root):
    key = ec.generate_private_key(ec.SECP384R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Example Works Root R1")])
    now = SystemClock().now()
    builder = x509.CertificateBuilder(name, name, key.public_key(), 7, now, now + timedelta(days=1))
    path = root.folder / "production.cer"
    path.write_bytes(builder.sign(key, SHA384()).public_bytes(Encoding.DER))
    stopped(practice_room, ready("cross-csr"), "F0", "CEREMONY-MODE", root_r1=path)


class CrossSigned:
    """Two roots in one room: R1, and R9 that it is to certify."""

    def __init__(self, room, root, *changes):
        self.room, self.root = room, root
        script = ready("root-generate", *changes).replace("root-r1", "root-r9").replace("Root R1", "Root R9")
        script = script.replace('id = "root-generate"', 'id = "other-root"').replace("objects = 0\n", "")
        self.other = room.hold(script)

    def request(self, *changes) -> Path:
        script = ready("cross-csr").replace("root-r1", "root-r9")
        for old, new in changes:
            assert old in script, old
            script = script.replace(old, new)
        held = self.room.hold(script, root_r9=cer(self.other, "root-r9"))
        return held.file("csrs/root-r9-cross.csr")

    def inputs(self, request: Path) -> dict[str, Path]:
        return {"root_r1": cer(self.root), "root_x1": cer(self.other, "root-r9"), "root_x1_csr": request}


def test_a_cross_certificate_for_other_subject_bytes_or_another_key(practice_room, root):
    both = CrossSigned(practice_room, root)
    subject = '{ common_name = "Example Works Root R0", organization = "Example Works" }'
    named = (('like = "root-r9"', f"subject = {subject}"),)
    unread = (('[[inputs]]\nname = "root-r9"\ntype = "certificate"\n', ""),)
    script = ready("cross-sign")
    other = practice_room.hold(
        ready("cross-csr")
        .replace("root-r1", "root-r9")
        .replace(*named[0])
        .replace(*unread[0])
        .replace('id = "cross-csr"', 'id = "cross-csr-2"')
    ).file("csrs/root-r9-cross.csr")
    stopped(practice_room, script, "F0", "CEREMONY-CROSS-SUBJECT", **both.inputs(other))
    key = practice_room.hold(ready("subordinate-key")).file("csrs/issuing-i2.csr")
    stopped(practice_room, script, "F0", "CEREMONY-CROSS-KEY", **both.inputs(key))
    request = both.request()
    early = script.replace(LIFETIME, "not_before = 2024-01-01T00:00:00Z\nnot_after = 2030-01-01T00:00:00Z")
    stopped(practice_room, early, "F0", "CEREMONY-CROSS-VALIDITY", **both.inputs(request))
    practice_room.hold(script, **both.inputs(request))


def test_a_cross_certificate_for_another_organization(practice_room, root):
    both = CrossSigned(
        practice_room, root, ('organization = "Example Works"', 'organization = "Other Works"')
    )
    given = both.inputs(both.request())
    stopped(practice_room, ready("cross-sign"), "F0", "CEREMONY-CROSS-ORGANIZATION", **given)
    waived = ready("cross-sign", ('type = "cross"', 'type = "cross"\nother_organization = true'))
    held = practice_room.hold(waived, **given)
    assert '"subject":null' in held.file("manifest.json").read_text()


def test_a_link_that_joins_no_two_roots(practice_room):
    first = practice_room.hold(ready("first-hierarchy"))
    script = ready(
        "rotate",
        ('like = "root-r1"', 'like = "issuing-i1"'),
        ('name = "root-r1"\n', 'name = "issuing-i1"\ntype = "certificate"\n\n[[inputs]]\nname = "root-r1"\n'),
    )
    given = {"root_r1": cer(first), "issuing_i1": cer(first, "issuing-i1")}
    # The new root and the link by the old one are signed by then.
    stopped(practice_room, script, "F0", "CEREMONY-LINK", signatures=2, **given)


def test_a_chain_that_does_not_build(practice_room, root):
    script = ready("rotate", ('["root-r1-by-root-r2", "root-r2"]', '["root-r1-by-root-r2", "root-r1"]'))
    stopped(practice_room, script, "F2", "CEREMONY-CHAIN", signatures=4, root_r1=cer(root))


def test_a_key_type_that_the_token_cannot_make(practice_room):
    script = ready("root-generate", ('type = "ec-p384"', 'type = "ml-dsa-65"'))
    error = stopped(practice_room, script, "F0", "CEREMONY-MECHANISM", "CEREMONY-MECHANISM")
    assert "no key was made" in error.detail


def test_a_token_that_nobody_opened(practice_room):
    login = '[[steps]]\nid = "log-in"\ndo = "hsm.login"\nhsm = ["root"]\n\n'
    stopped(practice_room, ready("root-generate", (login, "")), "F0", "CEREMONY-LOGIN")


def test_an_output_that_nothing_makes(practice_room):
    script = ready("root-generate") + '\n[[outputs]]\npath = "certificates/nothing.cer"\n'
    stopped(practice_room, script, "F0", "CEREMONY-OUTPUT", signatures=2)


def test_lints_stop_a_script_before_any_device_is_open(practice_room):
    script = ready("first-hierarchy", ("http://localhost:8080", "http://PKI:8080"))
    refused_early(practice_room, script, "CEREMONY-LINT")


ENVIRONMENT = f'[environment]\napp_sha256 = "{"0" * 64}"\nos_image_sha256 = "{"1" * 64}"\n\n[hsm.root]'


@pytest.fixture
def machine(monkeypatch):
    """A machine with a network, whose people read another digest from the boot image each time they look."""
    monkeypatch.setattr("socket.if_nameindex", lambda: [(1, "lo"), (2, "eth0")])

    class Guessing(PracticeOfficers):
        def answer(self, question: Question) -> str:
            return hashlib.sha256(question.name.encode()).hexdigest()

    monkeypatch.setattr("ceremony.event.PracticeOfficers", Guessing)
    monkeypatch.setattr("ceremony.event._people", lambda host, *_, **__: Guessing(host.roster.parent))


def test_a_rehearsal_writes_down_what_production_stops_at(practice_room, machine):
    script = ready("root-generate", ("[hsm.root]", ENVIRONMENT))
    held = practice_room.hold(script)
    (result,) = [
        line["data"]["result"]
        for line in held.lines()
        if line["step"] == "machine" and line["event"] == "done"
    ]
    found = ["CEREMONY-NETWORK", "CEREMONY-TOOL", "CEREMONY-IMAGE"]
    assert (result["interfaces"], result["differences"]) == (["eth0"], found)


def test_production_stops_on_another_machine_than_the_scripts(practice_room, machine, tmp_path):
    practice_room.hold(ready("root-generate"))
    roster = tmp_path / "practice" / "room" / "practice" / "roster.json"
    pin = f'[roster]\nsha256 = "{hashlib.sha256(roster.read_bytes()).hexdigest()}"\n\n'
    script = ready("root-generate", ("[hsm.root]", ENVIRONMENT), ("[policy]", f"{pin}[policy]"))
    production = (('mode = "rehearsal"', 'mode = "production"'), ("REHEARSAL-", ""))
    with pytest.raises(CaError) as error:
        practice_room.hold(script, mode=production)
    assert error.value.rule_ids == ("CEREMONY-NETWORK", "CEREMONY-TOOL", "CEREMONY-IMAGE")
