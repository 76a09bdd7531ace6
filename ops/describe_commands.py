"""Writes the page of commands from the commands themselves, so that it is never wrong.

.venv/bin/python -m ops.describe_commands > ops/docs/commands.md
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

import click

from ca_server.cli import command as sealkeeper

HEAD = """\
# Commands

Written by `ops/describe_commands.py`; `--help` says the same. Data goes to standard output, everything else
to standard error; `--json` where lists and objects are printed.

| exit code | meaning |
|---|---|
| 0 | done |
| 1 | failed: refused by the server, input or output, our bug |
| 2 | wrong usage |
| 3 | accepted, and waiting |
| 4 | refused by policy; the rules are named |
| 5 | HSM, database or server not available; try again later |
| 6 | a token refused its PIN, or its key or module is not there; do not try again, it could lock |
| 70 | the HSM may or may not have signed; start again, and recovery decides |
| 130 | interrupted |

`sealkeeper --version` prints the version.
"""


def commands(
    command: click.Command = sealkeeper, path: str = "sealkeeper"
) -> Iterator[tuple[str, click.Command]]:
    """Every command that does something, by its full name."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        if child is not None:
            yield from commands(child, f"{path} {name}")


def render() -> str:
    """The whole page."""
    return HEAD + "".join(_section(name, command) for name, command in commands())


def _section(name: str, command: click.Command) -> str:
    arguments = [p.human_readable_name.upper() for p in command.params if isinstance(p, click.Argument)]
    options = [p for p in command.params if isinstance(p, click.Option)]
    text = f"\n### `{' '.join([name, *arguments])}`\n\n{_prose(command.help or '')}\n"
    if options:
        text += "\n| option | meaning |\n|---|---|\n" + "".join(_row(option) for option in options)
    return text


def _prose(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.strip().split("\n\n"))


def _row(option: click.Option) -> str:
    flags = ", ".join(f"`{flag}`" for flag in (*option.opts, *option.secondary_opts))
    return f"| {flags} | {'; '.join(_facts(option))} |\n"


def _facts(option: click.Option) -> Iterator[str]:
    if option.help:
        yield _prose(option.help).rstrip(".").replace("|", "\\|")
    if isinstance(option.type, click.Choice):
        yield "one of " + ", ".join(f"`{choice}`" for choice in option.type.choices)
    if option.envvar:
        yield f"or from `{option.envvar}`"
    if option.required:
        yield "required"
    elif option.show_default:
        yield f"default `{option.default}`"


if __name__ == "__main__":
    sys.stdout.write(render())
