"""The auditor's command against logs that are good, tampered with, cut, forked, or half there."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import pytest
from click.testing import CliRunner

import ca_server.cli.audit as cli
from ca_server.cli.log_http import HttpLog
from ca_server.core.audit.checkpoint import Checkpoint, open_checkpoint
from ca_server.core.audit.note import sign_note
from ca_server.core.audit.record import leaf_hash, parse_event
from ca_server.core.audit.rules import Finding, Severity
from ca_server.core.audit.tiles import Tile, decode_bundle, encode_bundle, parse_tile
from ca_server.core.audit.tree import Frontier
from ca_server.core.errors import CaError, Kind
from ca_server.services.audit_reading import AuditReader
from ca_server.services.verify_log import MAX_FINDINGS, Audit, Verdict, verify_log
from tests.fakes.audit_log import AuditLog, MemorySigner
from tests.fakes.served_log import served
from tests.fixtures.commands import sealkeeper


@pytest.fixture
def database_url(tmp_path, sqlite_template):
    """One engine is enough here: what is read is the same on both."""
    path = tmp_path / "log.sqlite"
    shutil.copy(sqlite_template, path)
    return f"sqlite:///{path}"


@pytest.fixture
def log(database, tmp_path):
    log = AuditLog(database, tmp_path)
    with database.write() as unit:
        unit.commit(*log.issue("c1" * 32, "01"), *log.issue("c2" * 32, "02"))
    log.add(600)
    log.sequence_all()
    return log


class Reading:
    """The log as its door shows it, with some resources replaced."""

    def __init__(self, log: AuditLog, replaced: dict[str, bytes] | None = None) -> None:
        self.reader = AuditReader(log.database)
        self.replaced = replaced or {}
        self.asked: list[str] = []

    def fetch(self, path: str, max_bytes: int) -> bytes:
        self.asked.append(path)
        if path in self.replaced:
            return self.replaced[path]
        if path == "checkpoint":
            return self.reader.checkpoint()
        data = self.reader.tile(parse_tile(path.removeprefix("tile/")))
        assert len(data) <= max_bytes
        return data


class Forged:
    """A whole log, tiles and all, over any entries, signed with the log's true key."""

    def __init__(self, log: AuditLog, entries: list[bytes]) -> None:
        self.entries = entries
        frontier, self.tiles = Frontier().append([leaf_hash(entry) for entry in entries])
        key = log.key.verifier_key
        text = Checkpoint(key.name, len(entries), frontier.root()).text
        self.note = sign_note(text, key, log.signer.sign(text, key.algorithm))

    def fetch(self, path: str, max_bytes: int) -> bytes:
        if path == "checkpoint":
            return self.note
        tile = parse_tile(path.removeprefix("tile/"))
        if tile.level is None:
            return encode_bundle(self.entries[tile.index * 256 : tile.index * 256 + tile.width])
        return self.tiles[tile.level, tile.index]


def entries_of(log: AuditLog) -> list[bytes]:
    reader = AuditReader(log.database)
    size = open_checkpoint(reader.checkpoint(), [log.key.verifier_key]).size
    entries = []
    for first in range(0, size, 256):
        tile = Tile(None, first // 256, min(256, size - first))
        entries += decode_bundle(reader.tile(tile), tile.width)
    return entries


def verify(log: AuditLog, source, since: bytes | None = None) -> Verdict:
    return verify_log(source, Audit(log.key.verifier_key, log.clock.now(), since), lambda done, size: None)


def rules_of(verdict: Verdict) -> list[str]:
    return [finding.rule_id for finding in verdict.findings if finding.severity is not Severity.NOTE]


def test_a_good_log_is_good_and_everything_was_looked_at(log):
    source = Reading(log)
    verdict = verify(log, source)
    assert (verdict.worst, verdict.findings) == (Severity.NOTE, [])
    assert verdict.checkpoint.size == 605
    assert sorted(source.asked) == sorted(
        [
            "checkpoint",
            *("tile/0/000", "tile/0/001", "tile/0/002.p/93", "tile/1/000.p/2"),
            *("tile/entries/000", "tile/entries/001", "tile/entries/002.p/93"),
        ]
    )


def test_progress_is_told(log):
    told = []
    verify_log(Reading(log), Audit(log.key.verifier_key, log.clock.now()), lambda *each: told.append(each))
    assert told == [(256, 605), (512, 605), (605, 605)]


def test_an_older_checkpoint_lies_on_the_way(log):
    older = AuditReader(log.database).checkpoint()
    assert verify(log, Reading(log), older).worst is Severity.NOTE
    log.add(500)
    log.sequence_all()
    assert verify(log, Reading(log), older).worst is Severity.NOTE
    log.add(1)
    log.sequence_all()
    assert verify(log, Reading(log), older).worst is Severity.NOTE


def test_r24_a_cut_tail_is_bad_to_whoever_looked_before(log):
    since = AuditReader(log.database).checkpoint()
    cut = Forged(log, entries_of(log)[:-1])
    assert verify(log, cut).worst is Severity.NOTE
    verdict = verify(log, cut, since)
    assert (verdict.worst, rules_of(verdict)) == (Severity.BAD, ["AUDIT-ROLLBACK"])


@pytest.mark.parametrize("changed", [5, 604])
def test_a_rewritten_history_is_bad_to_whoever_looked_before(log, changed):
    since = AuditReader(log.database).checkpoint()
    entries = entries_of(log)
    entries[changed] = entries[changed].replace(b"token-", b"Token-")
    later = entries[-1].replace(parse_event(entries[-1])["event_id"].encode(), b"later")
    verdict = verify(log, Forged(log, [*entries, later]), since)
    assert (verdict.worst, rules_of(verdict)) == (Severity.BAD, ["AUDIT-CONSISTENCY"])


def test_an_older_checkpoint_by_somebody_else_proves_nothing(log, tmp_path):
    stranger = Forged(AuditLog(log.database, tmp_path, MemorySigner()), entries_of(log))
    verdict = verify(log, Reading(log), stranger.note)
    assert (verdict.worst, rules_of(verdict)) == (Severity.BAD, ["AUDIT-SIGNATURE"])


@pytest.mark.parametrize(
    ("path", "rule_id"),
    [
        ("checkpoint", "AUDIT-NOTE"),
        ("tile/0/000", "AUDIT-TILE"),
        ("tile/0/002.p/93", "AUDIT-TILE"),
        ("tile/1/000.p/2", "AUDIT-TILE"),
        ("tile/entries/000", "AUDIT-TILE"),
        ("tile/entries/002.p/93", "AUDIT-TILE"),
    ],
)
def test_a_resource_that_lost_a_byte_is_bad(log, path, rule_id):
    whole = Reading(log).fetch(path, sys.maxsize)
    verdict = verify(log, Reading(log, {path: whole[:-1]}))
    assert verdict.worst is Severity.BAD
    assert rule_id in rules_of(verdict)


def test_a_changed_entry_is_bad(log):
    path = "tile/entries/001"
    changed = Reading(log).fetch(path, sys.maxsize).replace(b"token-300", b"token-3oo")
    verdict = verify(log, Reading(log, {path: changed}))
    assert (verdict.worst, rules_of(verdict)) == (Severity.BAD, ["AUDIT-TILE"])


def test_a_checkpoint_over_another_root_is_bad(log):
    key = log.key.verifier_key
    text = Checkpoint(key.name, 605, bytes(32)).text
    note = sign_note(text, key, log.signer.sign(text, key.algorithm))
    verdict = verify(log, Reading(log, {"checkpoint": note}))
    assert (verdict.worst, rules_of(verdict)) == (Severity.BAD, ["AUDIT-ROOT"])


def test_events_that_break_the_rules_are_bad_though_the_tree_is_right(log):
    entries = entries_of(log)
    done = next(entry for entry in entries if b'"issue.done"' in entry)
    without_intents = [entry for entry in entries if b'"issue.intent"' not in entry]
    for forged, rule_id in (
        ([*entries, done], "AUDIT-EVENT-UNIQUE"),
        ([*entries, done], "AUDIT-OUTCOME"),
        (without_intents, "AUDIT-INTENT"),
        (entries[1:], "AUDIT-EPOCH"),
        ([*entries[:-1], entries[-1] + b" "], "AUDIT-CANONICAL"),
    ):
        verdict = verify(log, Forged(log, forged))
        assert verdict.worst is Severity.BAD
        assert rule_id in rules_of(verdict)


def test_what_cannot_be_had_is_never_good(log):
    class Broken(Reading):
        def fetch(self, path, max_bytes):
            if path == "tile/entries/002.p/93":
                raise CaError(Kind.UNAVAILABLE, "away")
            return super().fetch(path, max_bytes)

    verdict = verify(log, Broken(log))
    assert (verdict.worst, rules_of(verdict)) == (Severity.UNKNOWN, ["AUDIT-FETCH"])


def test_a_log_that_is_wrong_throughout_is_told_briefly(log):
    verdict = verify(log, Forged(log, [entry + b" " for entry in entries_of(log)]))
    assert verdict.worst is Severity.BAD
    assert len(verdict.findings) == MAX_FINDINGS
    assert verdict.dropped == 605 - MAX_FINDINGS


def test_a_fault_is_never_crowded_out_by_notes():
    verdict = Verdict()
    for index in range(MAX_FINDINGS):
        verdict.add(Finding(Severity.NOTE, "AUDIT-SILENCE", "quiet", index))
    verdict.add(Finding(Severity.UNKNOWN, "AUDIT-KIND", "new", 0))
    assert verdict.worst is Severity.UNKNOWN
    verdict.add(Finding(Severity.BAD, "AUDIT-TIME", "back", 0))
    verdict.add(Finding(Severity.UNKNOWN, "AUDIT-KIND", "new", 0))
    assert verdict.worst is Severity.BAD


@pytest.fixture
def run(log, monkeypatch):
    """Runs `sealkeeper audit` at the log's time."""
    monkeypatch.setattr(cli, "_now", log.clock.now)

    def run(*arguments):
        return CliRunner().invoke(cli.command, [str(each) for each in arguments])

    return run


def test_the_command_verifies_a_live_log(log, run, tmp_path):
    (tmp_path / "vkey").write_text(f"{log.vkey}\n")
    saved = tmp_path / "checkpoint"
    with served(log) as url:
        first = run("verify", "--url", url, "--vkey", tmp_path / "vkey", "--save", saved)
        assert first.exit_code == 0, first.output
        root = open_checkpoint(saved.read_bytes(), [log.key.verifier_key]).root.hex()
        assert first.stdout == f"good {log.key.origin} 605 {root}\n"
        assert "605 of 605 events" in first.stderr
        log.add(3)
        log.sequence_all()
        again = run("verify", "--url", f"{url}/", "--vkey", log.vkey, "--since", saved, "--json")
        assert again.exit_code == 0, again.output
        said = json.loads(again.stdout)
        assert (said["verdict"], said["size"], said["findings"]) == ("good", 608, [])


def test_the_command_says_bad_and_cannot_tell(log, run, tmp_path):
    other = MemorySigner()
    stranger = AuditLog(log.database, tmp_path, other).vkey
    with served(log) as url:
        bad = run("verify", "--url", url, "--vkey", stranger, "--save", tmp_path / "never")
        assert bad.exit_code == 1
        assert bad.stdout == "bad\n"
        assert "bad: AUDIT-SIGNATURE: no trusted key" in bad.stderr
        missing = run("verify", "--url", f"{url}/elsewhere", "--vkey", log.vkey, "--json")
        assert missing.exit_code == 2
        assert json.loads(missing.stdout)["verdict"] == "cannot tell"
    gone = run("verify", "--url", url, "--vkey", log.vkey)
    assert gone.exit_code == 2
    assert "AUDIT-FETCH" in gone.stderr
    assert not (tmp_path / "never").exists()


def test_a_certificate_that_is_not_in_the_log_is_a_failure_and_no_outage(log):
    log.add(3)
    log.sequence_all()
    with served(log) as url:
        source = HttpLog(url)
        with pytest.raises(CaError, match="is not in the log") as caught:
            source.fetch(f"proof/{'0' * 64}", 8192)
        source.close()
        done = sealkeeper("audit", "proof", "0" * 64, "--url", url, "--vkey", log.vkey, check=False)
    assert (caught.value.kind, caught.value.rule_ids) == (Kind.NOT_FOUND, ("AUDIT-FETCH",))
    assert done.returncode == 1
    assert "is not in the log" in done.stderr


@pytest.mark.parametrize("vkey", ["nonsense", "a+b+c", ""])
def test_a_key_that_is_none_is_a_usage_error(run, vkey):
    wrong = run("verify", "--url", "http://localhost/audit", "--vkey", vkey)
    assert wrong.exit_code == 2
    assert "--vkey" in wrong.stderr


@pytest.mark.parametrize("url", ["ftp://h/audit", "localhost:80", "http://", "http://h:x/", "http://h/?a=b"])
def test_urls_that_are_no_logs(url):
    with pytest.raises(CaError) as caught:
        HttpLog(url)
    assert caught.value.kind is Kind.MALFORMED


def test_a_resource_may_not_be_larger_than_it_can_be(log):
    with served(log) as url:
        source = HttpLog(url)
        with pytest.raises(CaError) as caught:
            source.fetch("tile/0/000", 8191)
        assert caught.value.kind is Kind.MALFORMED
        assert len(source.fetch("tile/0/000", 8192)) == 8192
        source.close()


def test_an_auditor_needs_neither_database_nor_web_server():
    script = (
        "import sys, ca_server.cli.audit; "
        "print(sorted({'sqlalchemy', 'flask', 'pkcs11', 'pkilint'} & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
