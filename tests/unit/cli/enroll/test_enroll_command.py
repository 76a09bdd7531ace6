"""`sealkeeper enroll` against servers on good and bad days: what it does, says, and exits with."""

from __future__ import annotations

import base64
import json
import os
import stat
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import time_machine
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from ca_server.cli import main
from ca_server.cli.enroll import enrolment
from tests.fakes.est_server import SECRET, EstServer, Reply, est_server, root_authority
from tests.fixtures.appliance import free_port

NOW = datetime(2026, 11, 23, 12, 0, 0, tzinfo=UTC)


@pytest.fixture
def server():
    with est_server() as running:
        yield running


@pytest.fixture
def enroll(monkeypatch, capsys):
    """Runs the command: its exit status, what it printed, what it said."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["sealkeeper", "enroll", *map(str, arguments)])
        status = 0
        try:
            main()
        except SystemExit as ended:
            status = ended.code or 0
        printed = capsys.readouterr()
        assert SECRET[1] not in printed.out + printed.err
        assert "Traceback" not in printed.err
        return status, printed.out, printed.err

    return run


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "host"


@pytest.fixture
def pauses(monkeypatch):
    """Instead of waiting, the lengths of all pauses."""
    made = []
    monkeypatch.setattr(enrolment.Enrolment.__init__, "__defaults__", (False, False, False, made.append))
    return made


def first(server: EstServer, folder, *more):
    return [
        *("--url", server.url, "--root", server.root_file, "--name", "www.example.com"),
        *("--secret-file", server.secret_file, "--dir", folder, *more),
    ]


def certificate_in(folder) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "current/cert.pem").read_bytes())


def operations(server):
    return [path.rpartition("/")[2] for path in server.asked]


def test_one_command_to_the_first_certificate(enroll, server, folder):
    status, out, said = enroll(*first(server, folder))
    assert (status, out) == (0, "")
    assert f"{folder}/current/" in said
    key = load_pem_private_key((folder / "current/key.pem").read_bytes(), None)
    assert key.public_key() == certificate_in(folder).public_key()
    assert stat.S_IMODE((folder / "current/key.pem").stat().st_mode) == 0o600
    names = certificate_in(folder).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert list(names) == [x509.DNSName("www.example.com")]


def test_no_secret_stands_in_the_folder(enroll, server, folder):
    enroll(*first(server, folder))
    for path in folder.rglob("*"):
        if path.is_file():
            assert SECRET[1].encode() not in path.read_bytes()
            assert base64.b64encode(":".join(SECRET).encode()) not in path.read_bytes()


def test_the_same_command_and_the_folder_alone_say_not_due(enroll, server, folder):
    enroll(*first(server, folder))
    before = certificate_in(folder)
    for again in (first(server, folder), ["--dir", folder]):
        status, _, said = enroll(*again)
        assert status == 0
        assert "not due: www.example.com until" in said
    assert certificate_in(folder) == before
    assert operations(server) == ["simpleenroll", "cacerts"]


def test_renewal_at_two_thirds_of_life_with_a_new_key_and_without_the_secret(enroll, server, folder):
    with time_machine.travel(NOW, tick=False) as clock:
        enroll(*first(server, folder))
        server.secret_file.unlink()
        before = certificate_in(folder)
        clock.shift(timedelta(days=20, seconds=-1))
        assert "not due" in enroll("--dir", folder)[2]
        assert certificate_in(folder) == before
        clock.shift(timedelta(seconds=1))
        assert enroll("--dir", folder)[0] == 0
        renewed = certificate_in(folder)
        assert renewed.not_valid_before_utc == NOW + timedelta(days=20)
        assert renewed.public_key() != before.public_key()
        assert renewed.subject == before.subject
        assert operations(server)[-2:] == ["simplereenroll", "cacerts"]
        # And so on: the renewed one renews.
        clock.shift(timedelta(days=20))
        assert enroll("--dir", folder)[0] == 0
        assert certificate_in(folder).not_valid_before_utc == NOW + timedelta(days=40)


def test_a_key_can_be_kept(enroll, server, folder):
    enroll(*first(server, folder, "--keep-key", "--key-type", "P-384"))
    before = certificate_in(folder)
    assert enroll("--dir", folder, "--early")[0] == 0
    assert certificate_in(folder) != before
    assert certificate_in(folder).public_key() == before.public_key()


def test_another_type_of_key_is_taken_at_the_next_renewal(enroll, server, folder):
    enroll(*first(server, folder))
    assert enroll("--dir", folder, "--key-type", "P-384")[0] == 0
    assert certificate_in(folder).public_key().key_size == 256
    assert enroll("--dir", folder, "--early")[0] == 0
    assert certificate_in(folder).public_key().key_size == 384


def test_an_ended_certificate_takes_a_new_secret(enroll, server, folder):
    with time_machine.travel(NOW, tick=False) as clock:
        enroll(*first(server, folder))
        clock.shift(timedelta(days=31))
        status, _, said = enroll("--dir", folder)
        assert status == 1
        assert "ended at 2026-12-23T12:00:00Z" in said
        assert "ask your CA's people for one" in said
        server.uses = 1
        assert enroll("--dir", folder)[0] == 0
        assert certificate_in(folder).not_valid_before_utc == NOW + timedelta(days=31)


def test_a_revoked_certificate_is_replaced_by_a_new_secret_alone(enroll, server, folder):
    enroll(*first(server, folder))
    server.issued.clear()
    status, _, said = enroll("--dir", folder, "--early")
    assert status == 1
    assert f"sealkeeper enroll --dir {folder} --anew --secret-file FILE" in said
    server.uses = 1
    assert enroll("--dir", folder, "--anew", "--secret-file", server.secret_file)[0] == 0
    assert list(server.issued.values()) == [certificate_in(folder)]


def test_a_refused_attempt_to_enrol_anew_leaves_renewal_as_it_was(enroll, server, folder):
    enroll(*first(server, folder))
    assert enroll("--dir", folder, "--anew")[0] == 1
    assert "not due" in enroll("--dir", folder)[2]
    assert enroll("--dir", folder, "--early")[0] == 0


def test_other_names_are_no_renewal(enroll, server, folder):
    enroll(*first(server, folder))
    status, _, said = enroll(*first(server, folder, "--name", "other.example.com"))
    assert status == 1
    assert "holds a certificate for www.example.com" in said
    server.uses = 1
    assert enroll(*first(server, folder, "--name", "other.example.com", "--anew"))[0] == 0
    names = certificate_in(folder).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [each.value for each in names] == ["www.example.com", "other.example.com"]


def test_the_root_is_fetched_by_its_fingerprint(enroll, server, folder):
    hexed = server.root.certificate.fingerprint(hashes.SHA256()).hex()
    given = [
        "--url",
        server.url,
        "--name",
        "www.example.com",
        "--secret-file",
        server.secret_file,
        "--dir",
        folder,
    ]
    assert enroll(*given, "--root-sha256", hexed)[0] == 0
    assert (folder / "current/root.pem").read_bytes() == server.root.pem
    assert operations(server) == ["cacerts", "simpleenroll", "cacerts"]


def test_a_wrong_fingerprint_sends_no_secret(enroll, server, folder):
    given = [
        "--url",
        server.url,
        "--name",
        "www.example.com",
        "--secret-file",
        server.secret_file,
        "--dir",
        folder,
    ]
    status, _, said = enroll(*given, "--root-sha256", "ab" * 32)
    assert status == 1
    assert "somebody stands between" in said
    assert operations(server) == ["cacerts"]


def test_a_server_of_another_root_gets_no_secret(enroll, server, folder, tmp_path):
    other = tmp_path / "other.pem"
    other.write_bytes(root_authority("Other").pem)
    given = [
        "--url",
        server.url,
        "--name",
        "www.example.com",
        "--secret-file",
        server.secret_file,
        "--dir",
        folder,
    ]
    status, _, said = enroll(*given, "--root", other)
    assert status == 1
    assert "is not who it should be" in said
    assert server.asked == []


def test_approval_is_waited_for_by_exit_status_3_and_the_same_csr(enroll, server, folder):
    server.replies = [Reply(202, "", {"Retry-After": "600"}), Reply(202, "", {"Retry-After": "600"})]
    status, _, said = enroll(*first(server, folder))
    assert status == 3
    assert "Ask again in 600 seconds" in said
    pending = (folder / "next/csr.pem").read_bytes()
    status, _, said = enroll("--dir", folder)
    assert status == 3
    assert "sending the request that an earlier run made" in said
    assert (folder / "next/csr.pem").read_bytes() == pending
    assert enroll("--dir", folder, "--status")[0] == 3
    assert enroll("--dir", folder)[0] == 0
    assert (folder / "current/csr.pem").read_bytes() == pending
    assert not (folder / "next").exists()


def test_wait_waits_through_approval_and_a_server_that_is_away(enroll, server, folder, pauses):
    server.replies = [
        Reply(202, "", {"Retry-After": "600"}),
        Reply(503, "Try again later.", {"Retry-After": "5"}),
        Reply(429, "Slowly. [EST-RATE]", {"Retry-After": "99999999"}),
        Reply(502, "<html>", {}, "text/html"),
        Reply(202),
    ]
    assert enroll(*first(server, folder, "--wait"))[0] == 0
    assert pauses == [600, 5, 3600, 30, 30]


def test_waiting_says_what_for_once_and_when_it_changes(enroll, server, folder, pauses):
    approval = Reply(202, "", {"Retry-After": "600"})
    server.replies = [
        approval,
        approval,
        Reply(202, "", {"Retry-After": "60"}),
        Reply(503, "Away."),
        approval,
    ]
    status, _, said = enroll(*first(server, folder, "--wait"))
    assert status == 0
    assert [line for line in said.splitlines() if "asking again" in line] == [
        "the request waits for approval; asking again every 600 seconds",
        "the request waits for approval; asking again every 60 seconds",
        "the server cannot do it now: Away.; asking again every 30 seconds",
        "the request waits for approval; asking again every 600 seconds",
    ]
    assert pauses == [600, 600, 60, 30, 600]


@pytest.mark.parametrize(
    ("reply", "is_of_the_secret"),
    [
        (Reply(401, "Unknown."), True),
        (Reply(401, "It is not accepted. [EST-SECRET]"), True),
        (Reply(403, "It was used up. [EST-SECRET-SPENT]"), True),
        (Reply(403, "Not this profile. [ACCESS-PROFILE]"), True),
        (Reply(403, "Not this name. [PROFILE-NAME-COUNT, ACCESS-NAME]"), True),
        (Reply(401, "A client certificate is needed. [ACCESS-CREDENTIALS]"), False),
        (Reply(400, "A label is too long. [NAME-DNS]"), False),
        (Reply(400, "1 to 2 dns names are accepted. [PROFILE-NAME-COUNT]"), False),
        (Reply(400, "[ACCESS-NAME] is not what is wrong."), False),
    ],
)
def test_another_secret_is_advised_where_it_helps(enroll, server, folder, reply, is_of_the_secret):
    server.replies = [reply]
    said = enroll(*first(server, folder))[2]
    assert reply.text in said
    assert said.count("[") == 1 or not reply.text.endswith("]")
    assert ("ask your CA's people for one that fits" in said) == is_of_the_secret


def test_a_short_pause_is_waited_for_without_being_asked(enroll, server, folder, pauses):
    server.replies = [Reply(503, "Soon.", {"Retry-After": "2"})]
    assert enroll(*first(server, folder))[0] == 0
    assert pauses == [2]


@pytest.mark.parametrize(
    ("reply", "status", "words"),
    [
        (Reply(429, "Slowly. [EST-RATE]", {"Retry-After": "60"}), 5, "Slowly. [EST-RATE]"),
        (Reply(503, "The HSM is away.", {"Retry-After": "60"}), 5, "The HSM is away."),
        (Reply(400, "This name is not allowed. [PROFILE-NAME-ALLOW]"), 4, "[PROFILE-NAME-ALLOW]"),
        (Reply(403, "Not this secret. [EST-SECRET]"), 4, "[EST-SECRET]"),
        (Reply(401, "Unknown.", {"WWW-Authenticate": "Basic"}), 1, "ask your CA's people for one"),
        (Reply(404, "No such label."), 1, "see --url: No such label."),
        (Reply(301, "", {"Location": "https://elsewhere.example/"}), 1, "leads elsewhere (301)"),
        (Reply(400, "\x1b[31mred\x07\nnext", {}), 4, "[31mred next"),
        (Reply(400, "<b>", {}, "text/html"), 4, "400 Bad Request"),
        (Reply(200, "hello", {}, "text/html"), 1, "is --url the one of its EST?"),
        (Reply(200, "!!!", {}, "application/pkcs7-mime"), 1, "is not base64"),
        (Reply(200, "AAAA", {}, "application/pkcs7-mime"), 1, ""),
        (Reply(200, "A" * 1_200_000, {}, "application/pkcs7-mime"), 5, "too long"),
    ],
)
def test_what_the_server_says_is_told_with_its_exit_status(
    enroll, server, folder, pauses, reply, status, words
):
    server.replies = [reply] * 3
    found, _, said = enroll(*first(server, folder))
    assert found == status
    assert words in said
    assert "\x1b" not in said
    assert not (folder / "current").exists()
    server.replies = []
    assert enroll("--dir", folder)[0] == 0


def test_a_server_that_is_away_is_exit_status_5(enroll, server, folder, pauses):
    given = first(server, folder)
    given[1] = f"https://127.0.0.1:{free_port()}/.well-known/est"
    status, _, said = enroll(*given)
    assert status == 5
    assert "cannot be reached" in said


def test_a_wrong_secret_does_not_lose_a_certificate_that_a_spent_one_got(enroll, server, folder, tmp_path):
    enroll(*first(server, folder, "--hook", "true"))
    # As if the answer had been lost on its way.
    (folder / "next").mkdir(mode=0o700)
    for name in ("csr.pem", "key.pem"):
        (folder / "next" / name).write_bytes((folder / "current" / name).read_bytes())
    (folder / "next/operation").write_text("simpleenroll")
    (folder / "current").unlink()
    (folder / "versions").rename(tmp_path / "gone")
    wrong = tmp_path / "wrong"
    wrong.write_text("est-1:sk_wrong")
    assert enroll("--dir", folder, "--secret-file", wrong)[0] == 1
    assert enroll("--dir", folder, "--secret-file", server.secret_file)[0] == 0
    assert list(server.issued.values()) == [certificate_in(folder)]


def test_a_certificate_of_another_key_is_not_installed(enroll, server, folder):
    stranger = server.issuing.certificate
    server.issue = lambda csr: stranger
    status, _, said = enroll(*first(server, folder))
    assert status == 1
    assert "no certificate for the key" in said
    assert not (folder / "current").exists()


def test_a_new_root_reaches_services_within_a_day(enroll, server, folder):
    hooked = folder / "hooked"
    with time_machine.travel(NOW, tick=False) as clock:
        enroll(
            *first(
                server, folder, "--hook", f'/bin/sh -c \'cat "$0/current/root.pem" > "$1"\' {folder} {hooked}'
            )
        )
        key = (folder / "current/key.pem").read_bytes()
        new = root_authority("Test Root")
        server.offered += [new.certificate, server.root.cross(new), new.cross(server.root)]
        assert "not due" in enroll("--dir", folder)[2]
        assert (folder / "current/root.pem").read_bytes() == server.root.pem
        clock.shift(timedelta(days=1))
        assert "new chain or root" in enroll("--dir", folder)[2]
        assert (folder / "current/root.pem").read_bytes() == new.pem + server.root.pem
        assert (folder / "current/key.pem").read_bytes() == key
        assert hooked.read_bytes() == new.pem + server.root.pem
        assert "new chain" not in enroll("--dir", folder)[2]


def test_a_root_that_nobody_vouches_for_is_told_and_not_taken(enroll, server, folder):
    stranger = root_authority("Test Root")
    server.offered.append(stranger.certificate)
    status, _, said = enroll(*first(server, folder))
    assert status == 0
    assert stranger.certificate.fingerprint(hashes.SHA256()).hex() in said
    assert (folder / "current/root.pem").read_bytes() == server.root.pem


def test_refreshing_may_fail(enroll, server, folder, pauses):
    with time_machine.travel(NOW, tick=False) as clock:
        enroll(*first(server, folder))
        clock.shift(timedelta(days=2))
        away = f"https://127.0.0.1:{free_port()}/.well-known/est"
        status, _, said = enroll("--dir", folder, "--url", away)
        assert status == 0
        assert "stay as they are" in said


def test_a_failed_hook_fails_is_kept_in_mind_and_keeps_the_old_pair(enroll, server, folder):
    enroll(*first(server, folder))
    status, _, said = enroll("--dir", folder, "--early", "--hook", "false")
    assert status == 1
    assert "the hook 'false' ended with status 1" in said
    assert json.loads(enroll("--dir", folder, "--status", "--json")[1])["hook"] == "to be run"
    for _ in range(2):
        assert enroll("--dir", folder)[0] == 1
        assert sorted(each.name for each in (folder / "versions").iterdir()) == ["1", "2"]
    assert enroll("--dir", folder, "--hook", "true")[0] == 0
    assert enroll("--dir", folder)[0] == 0
    assert [each.name for each in (folder / "versions").iterdir()] == ["2"]


def test_a_hook_can_be_taken_away(enroll, server, folder):
    enroll(*first(server, folder, "--hook", "true"))
    enroll("--dir", folder, "--hook", "")
    assert "hook" not in (folder / "enroll.toml").read_text()


def test_status_for_people_and_for_machines(enroll, server, folder):
    assert enroll("--dir", folder, "--status")[0] == 1
    assert not folder.exists()
    with time_machine.travel(NOW, tick=False) as clock:
        enroll(*first(server, folder))
        status, out, _ = enroll("--dir", folder, "--status", "--json")
        found = json.loads(out)
        assert status == 0
        assert found["status"] == "valid"
        assert found["names"] == ["www.example.com"]
        assert found["renewal_at"] == "2026-12-13T12:00:00Z"
        assert "status: valid" in enroll("--dir", folder, "--status")[1]
        clock.shift(timedelta(days=20))
        assert json.loads(enroll("--dir", folder, "--status", "--json")[1])["status"] == "due"
        clock.shift(timedelta(days=20))
        status, out, _ = enroll("--dir", folder, "--status", "--json")
        assert (status, json.loads(out)["status"]) == (1, "expired")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], "give --dir, or --name"),
        (["--name", "*.example.com"], "give --dir"),
        (["--dir", "DIR"], "give --url and --name"),
        (["--dir", "DIR", "--url", "https://ca.example"], "give --name"),
        (["--dir", "DIR", "--url", "https://ca.example", "--name", "a.example"], "say whom to trust"),
        (["--dir", "DIR", "--early", "--anew"], "give one"),
    ],
)
def test_wrong_usage_is_exit_status_2_and_makes_nothing(enroll, tmp_path, arguments, words):
    folder = tmp_path / "host"
    given = [str(folder) if each == "DIR" else each for each in arguments]
    status, _, said = enroll(*given)
    assert status == 2
    assert words in said
    assert not folder.exists()


def test_a_missing_secret_says_what_to_do(enroll, server, folder):
    given = ["--url", server.url, "--root", server.root_file, "--name", "www.example.com", "--dir", folder]
    status, _, said = enroll(*given)
    assert status == 1
    assert "give its file by --secret-file" in said
    assert "A secret is for" not in said
    # Nothing was asked for, and nothing is said to have been.
    assert not (folder / "next").exists()
    status, _, said = enroll("--dir", folder, "--secret-file", folder / "none")
    assert status == 1
    assert "cannot be read" in said
    said = enroll("--dir", folder, "--secret-file", server.secret_file)[2]
    assert "an earlier run" not in said


@pytest.mark.parametrize(("mode", "is_told"), [(0o600, False), (0o400, False), (0o640, True), (0o604, True)])
def test_a_secret_that_others_can_read_is_used_with_a_warning(enroll, server, folder, mode, is_told):
    server.secret_file.chmod(mode)
    status, _, said = enroll(*first(server, folder))
    assert status == 0
    warned = [line for line in said.splitlines() if "warning" in line]
    assert warned == is_told * [
        f"warning: other users can read the secret in {server.secret_file}: chmod 600 {server.secret_file}"
    ]


@pytest.mark.parametrize("content", ["", "password", "a:", ":b", "a:b c", "a:\x00", "x" * 2000, "a:b\nc:d"])
def test_a_damaged_secret_is_refused_unseen(enroll, server, folder, content):
    server.secret_file.write_text(content)
    status, _, said = enroll(*first(server, folder))
    assert status == 1
    assert "one line, NAME:PASSWORD" in said
    assert server.asked == []


def test_two_runs_at_once_do_not_mix(enroll, server, folder):
    enroll(*first(server, folder))
    from ca_server.cli.enroll.folder import Folder

    with Folder(folder).locked():
        status, _, said = enroll("--dir", folder)
    assert status == 5
    assert "at work" in said


@pytest.mark.parametrize("path", ["", "enroll.toml", "anchors.pem"])
def test_a_folder_that_others_can_write_is_not_used(enroll, server, folder, path):
    enroll(*first(server, folder))
    (folder / path).chmod(0o777)
    status, _, said = enroll("--dir", folder)
    assert status == 1
    assert "other users can write" in said


def test_readers_always_find_a_pair_that_fits(enroll, server, folder):
    """A service that follows `current` once reads one version, whatever happens meanwhile."""
    enroll(*first(server, folder))
    held = os.open(folder / "current", os.O_RDONLY)
    enroll("--dir", folder, "--early")

    def read(name):
        return Path(f"/proc/self/fd/{held}/{name}").read_bytes()

    key = load_pem_private_key(read("key.pem"), None)
    assert key.public_key() == x509.load_pem_x509_certificate(read("cert.pem")).public_key()
    assert x509.load_pem_x509_certificate(read("cert.pem")) != certificate_in(folder)
    os.close(held)
