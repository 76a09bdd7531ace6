"""The auditor's verifier against bundles made by hand: honest ones, and altered ones."""

from __future__ import annotations

import base64
import json
import re
import shutil
import sys
from datetime import timedelta

import pytest

from tests.conformance.ceremony.auditing import (
    APPROVED,
    ARCHIVE,
    CHAIN,
    CLOSE,
    GRAMMAR,
    SIGNED_BY_PEOPLE,
    STATEMENTS,
    VERIFIER,
    accused,
    run,
)
from tests.fixtures.hand_made_bundle import Ceremony, Production, canonical, digest, pack, unpack


def test_an_honest_bundle_is_good(good, tmp_path):
    (tmp_path / "bundle.tar").write_bytes(good)
    answer = run(tmp_path / "bundle.tar", "--sha256", digest(good))
    lines = answer.stdout.splitlines()
    assert answer.returncode == 0
    assert {line[:4] for line in lines[:-1]} == {"ok  "}
    assert lines[-1].startswith(f"good: archive {digest(good)}, roster ")


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
