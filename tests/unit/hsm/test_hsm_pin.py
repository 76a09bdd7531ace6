"""Where PINs come from, and from where they do not."""

import os
import pty
from contextlib import suppress
from pathlib import Path

import pytest

from ca_server.core.errors import CaError
from ca_server.hsm.pin import PinSource


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "pin"
    path.touch(mode=0o600)
    path.write_text("sesame\n")
    return path


def refused(source: PinSource, match: str) -> None:
    with pytest.raises(CaError, match=match) as caught:
        source.read()
    assert caught.value.rule_ids == ("HSM-PIN",)
    assert "sesame" not in caught.value.detail


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_that_only_its_owner_reads_gives_the_pin(file, mode):
    file.chmod(mode)
    assert PinSource.from_file(file).read() == "sesame"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o602, 0o610, 0o601, 0o644])
def test_a_file_that_others_can_touch_is_refused(file, mode):
    file.chmod(mode)
    refused(PinSource.from_file(file), "open to others")


@pytest.mark.parametrize("text", ["sesame", "sesame\n", "sesame\r\n"])
def test_one_end_of_line_is_not_part_of_the_pin(file, text):
    file.write_bytes(text.encode())
    assert PinSource.from_file(file).read() == "sesame"


@pytest.mark.parametrize(
    "text", [b"", b"\n", b"sesame\n\n", b"sesame\nsesame", b"ses\x00ame", b"sesame\t", 2000 * b"sesame"]
)
def test_what_is_not_one_line_of_text_is_refused(file, text):
    file.write_bytes(text)
    refused(PinSource.from_file(file), "one line of printable text")


def test_bytes_that_are_not_text_are_refused_and_not_repeated_in_the_cause(file):
    file.write_bytes(b"sesame\xff")
    with pytest.raises(CaError, match="not UTF-8") as caught:
        PinSource.from_file(file).read()
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_missing_file_a_folder_and_a_pipe_are_refused_without_hanging(tmp_path):
    refused(PinSource.from_file(tmp_path / "absent"), "cannot be opened")
    refused(PinSource.from_file(tmp_path), "not a regular file")
    os.mkfifo(tmp_path / "pipe", 0o600)
    refused(PinSource.from_file(tmp_path / "pipe"), "not a regular file")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_of_somebody_else_is_refused(file):
    os.chown(file, 12345, 12345)
    refused(PinSource.from_file(file), "belongs neither")


@pytest.mark.parametrize("mode", [0o400, 0o440])
def test_a_systemd_credential_is_found_by_name(file, monkeypatch, mode):
    # systemd grants the service its right by an ACL, which shows as the group's bits.
    file.chmod(mode)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent))
    assert PinSource.from_credential("pin").read() == "sesame"


def test_a_credential_that_the_world_reads_is_refused(file, monkeypatch):
    file.chmod(0o444)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent))
    refused(PinSource.from_credential("pin"), "open to others")


@pytest.mark.parametrize("name", ["", "..", "../pin", "a/b", ".hidden", "p\x00in"])
def test_the_name_of_a_credential_is_no_path(file, monkeypatch, name):
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(file.parent))
    refused(PinSource.from_credential(name), "name of a credential")


@pytest.mark.parametrize("directory", [None, "", "relative"])
def test_without_systemd_there_is_no_credential(monkeypatch, directory):
    monkeypatch.delenv("CREDENTIALS_DIRECTORY", raising=False)
    if directory is not None:
        monkeypatch.setenv("CREDENTIALS_DIRECTORY", directory)
    refused(PinSource.from_credential("pin"), "no credentials")


def test_a_terminal_is_asked_without_echo():
    child, terminal = pty.fork()
    if child == 0:
        try:
            os._exit(0 if PinSource.from_prompt("issuing").read() == "sesame" else 1)
        finally:
            os._exit(2)
    shown = b""
    while b"PIN of the token issuing: " not in shown:
        shown += os.read(terminal, 1024)
    os.write(terminal, b"sesame\n")
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    with suppress(OSError):  # nothing is left to read
        shown += os.read(terminal, 1024)
    os.close(terminal)
    assert b"sesame" not in shown


def test_without_a_terminal_nobody_is_asked():
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.setsid()
        null = os.open("/dev/null", os.O_RDONLY)
        os.dup2(null, 0)
        try:
            PinSource.from_prompt("issuing").read()
        except CaError as error:
            os.write(writer, error.detail.encode())
        os._exit(0)
    os.close(writer)
    os.waitpid(child, 0)
    assert b"no terminal" in os.read(reader, 1024)
    os.close(reader)


def test_a_source_holds_no_pin_and_cannot_be_changed(file):
    source = PinSource.from_file(file)
    source.read()
    assert "sesame" not in repr(source)
    with pytest.raises(AttributeError):
        source.place = "elsewhere"
    assert source == PinSource.from_file(file)


def test_a_joined_secret_is_held_unseen_until_it_is_forgotten():
    source = PinSource.from_secret("sesame")
    assert source.read() == "sesame"
    for shown in (repr(source), str(source), repr(source._held)):
        assert "sesame" not in shown
    assert source != PinSource.from_secret("sesame")
    held = source._held._octets
    source.forget()
    assert held == b""
    refused(source, "one line of printable text")
    source.forget()


@pytest.mark.parametrize("text", ["", "two\nlines", "\x07", "x" * 1025])
def test_a_joined_secret_that_is_no_pin_is_refused(text):
    refused(PinSource.from_secret(text), "one line of printable text")


def test_forgetting_a_pin_that_is_not_held_changes_nothing(file):
    source = PinSource.from_file(file)
    source.forget()
    assert source.read() == "sesame"
