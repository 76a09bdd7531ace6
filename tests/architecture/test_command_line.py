"""The command line and its documents say the same: every command, every option, on both sides."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from ca_server.cli import command as sealkeeper
from tests.architecture.tree import ROOT, documents, inline_code, name_of

CALL = re.compile(r"(?:^|[\s(|&;])(?:\.venv/bin/)?(sealkeeper|ops/quickstart)(?=\s|$)([^|&;<>#)]*)")


def commands(
    command: click.Command = sealkeeper, path: tuple[str, ...] = ()
) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its full name."""
    if not isinstance(command, click.Group):
        yield " ".join(("sealkeeper", *path)), command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None, f"{name} is listed and cannot be loaded"
        yield from commands(child, (*path, name))


each_command = pytest.mark.parametrize(
    ("name", "command"), [pytest.param(name, command, id=name) for name, command in commands()]
)


def options_of(command: click.Command) -> set[str]:
    parameters = [*command.params, command.get_help_option(click.Context(command))]
    return {
        flag
        for parameter in parameters
        if isinstance(parameter, click.Option)
        for flag in (*parameter.opts, *parameter.secondary_opts)
    }


def sections() -> dict[str, str]:
    text = (ROOT / "ops/docs/commands.md").read_text()
    parts = re.split(r"^### `(sealkeeper[^`]*)`$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def complaint(line: str) -> str | None:
    """What is wrong with a documented call, if anything."""
    for program, rest in CALL.findall(line):
        command: click.Command = sealkeeper
        words = shlex.split(rest.replace("[", " ").replace("]", " ").replace("…", ""))
        if program == "ops/quickstart":
            words.insert(0, "demo")
        for word in words:
            if word.startswith("--"):
                if word.split("=")[0] not in options_of(command):
                    return f"{command.name} has no {word}"
            elif isinstance(command, click.Group):
                child = command.get_command(click.Context(command), word)
                if child is None:
                    return f"there is no command {word}"
                command = child
    return None


def test_every_command_has_a_section_and_every_section_a_command():
    assert set(sections()) == {name for name, _ in commands()}


@each_command
def test_every_option_is_documented_and_every_documented_option_exists(name, command):
    documented = set(re.findall(r"(?<![\w-])--[a-z][a-z0-9-]*", sections()[name]))
    real = {flag for flag in options_of(command) if flag.startswith("--")} - {"--help"}
    assert documented == real


@each_command
def test_every_command_says_what_it_does(name, command):
    assert command.get_short_help_str(), name
    missing = [p.name for p in command.params if isinstance(p, click.Option) and not p.help and not p.hidden]
    assert missing == []


def test_every_call_in_the_documents_would_be_accepted():
    wrong = [
        f"{name_of(document)}: {line.strip()}: {problem}"
        for document in documents()
        for line in inline_code(document)
        if (problem := complaint(line))
    ]
    assert wrong == []
