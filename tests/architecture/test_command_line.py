"""The command line and its documents say the same: every command, every option, on both sides."""

from __future__ import annotations

import re
import shlex

import click
import pytest

from ca_server.cli import command as sealkeeper
from ops.describe_commands import commands, render
from tests.architecture.tree import ROOT, documents, inline_code, name_of, product_files, strings_in

CALL = re.compile(r"(?:^|[\s(|&;])(?:\.venv/bin/)?(sealkeeper|ops/quickstart)(?=\s|$)([^|&;<>#)]*)")
VARIABLE = re.compile(r"SEALKEEPER_[A-Z_]+")

each_command = pytest.mark.parametrize(
    "command", [pytest.param(command, id=name) for name, command in commands()]
)


def options_of(command: click.Command) -> set[str]:
    parameters = [*command.params, command.get_help_option(click.Context(command))]
    return {
        flag
        for parameter in parameters
        if isinstance(parameter, click.Option)
        for flag in (*parameter.opts, *parameter.secondary_opts)
    }


def complaint(line: str) -> str | None:
    """What is wrong with a documented call, if anything."""
    for program, rest in CALL.findall(line):
        command: click.Command = sealkeeper
        name = program
        words = shlex.split(rest.replace("[", " ").replace("]", " ").replace("…", ""))
        if program == "ops/quickstart":
            words.insert(0, "demo")
        for word in words:
            if word.startswith("--"):
                if word.split("=")[0] not in options_of(command):
                    return f"{name} has no {word}"
            elif isinstance(command, click.Group):
                child = command.get_command(click.Context(command), word)
                if child is None:
                    return f"there is no command {word}"
                command, name = child, word
    return None


def test_every_listed_command_can_be_loaded():
    context = click.Context(sealkeeper)
    assert all(sealkeeper.get_command(context, name) for name in sealkeeper.list_commands(context))


def test_the_page_of_commands_is_that_of_the_commands():
    page = (ROOT / "ops/docs/commands.md").read_text()
    assert page == render(), (
        "write it again: .venv/bin/python -m ops.describe_commands > ops/docs/commands.md"
    )


@each_command
def test_a_command_and_each_of_its_options_say_what_they_do(command):
    assert command.get_short_help_str()
    assert [p.name for p in command.params if isinstance(p, click.Option) and not p.help] == []


@each_command
def test_an_option_that_may_be_given_again_says_so(command):
    options = [each for each in command.params if isinstance(each, click.Option) and each.multiple]
    assert [each.name for each in options if "repeatable" not in each.help] == []


def test_every_call_in_the_documents_would_be_accepted():
    wrong = [
        f"{name_of(document)}: {line.strip()}: {problem}"
        for document in documents()
        for line in inline_code(document)
        if (problem := complaint(line))
    ]
    assert not wrong, "\n".join(wrong)


def test_the_check_of_calls_finds_what_is_wrong():
    assert complaint("sealkeeper audit verify --url U --vkey V") is None
    assert complaint("sealkeeper audit verify --uri U") == "verify has no --uri"
    assert complaint("cd x && .venv/bin/sealkeeper audits") == "there is no command audits"
    assert complaint("ops/quickstart --no-such-option") == "demo has no --no-such-option"


def test_every_environment_variable_is_documented():
    read = {text for path in product_files() for text in strings_in(path) if VARIABLE.fullmatch(text)}
    documented = set(VARIABLE.findall((ROOT / "ops/docs/configuration.md").read_text()))
    assert documented == read
