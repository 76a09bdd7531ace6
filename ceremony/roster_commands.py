"""`sealkeeper ceremony roster` and `allowed-signers`: the list of people and keys."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

if TYPE_CHECKING:
    from ca_server.core.ceremony.roster import Roster

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_OUT = click.Path(dir_okay=False, path_type=Path)
_PREVIOUS_HELP = "The roster before it, which it then follows."

_EXAMPLE = """\
# People, their public keys and their groups. Lines as `ssh-keygen` writes them into .pub files.
domain = "example.com"

[groups]
administrators = ["ada"]
key-officers = ["bob", "cyd", "dan"]

[[persons]]
id = "ada"
name = "Ada Lovelace"

# kept_in: "fido" (a security key), "smartcard" (PIV, PKCS#11; by an agent) or "file" (rehearsals only).
# use: "production" or "rehearsal".
[[persons.keys]]
kept_in = "fido"
use = "production"
public_key = "sk-ssh-ed25519@openssh.com AAAA..."
valid_until = "2028-01-01T00:00:00Z"
"""


@click.group()
def roster() -> None:
    """Write and check the list of people, keys and groups."""


@roster.command()
def example() -> None:
    """Print a file of people to be edited, for `roster init`."""
    click.echo(_EXAMPLE, nl=False)


@roster.command()
@click.argument("people", type=_FILE)
@click.option("--out", type=_OUT, required=True, help="The new roster.json.")
@click.option("--previous", type=_FILE, help=_PREVIOUS_HELP)
def init(people: Path, out: Path, previous: Path | None) -> None:
    """Make a roster from PEOPLE, a TOML file; its SHA-256 is what a script pins."""
    import tomllib  # noqa: PLC0415 - help needs none of it

    import rfc8785  # noqa: PLC0415

    from ca_server.core.ceremony.roster import MAX_ROSTER_BYTES, parse_roster  # noqa: PLC0415
    from ca_server.core.errors import CaError, Kind, refuse  # noqa: PLC0415
    from ceremony.folder import place, read_file  # noqa: PLC0415

    before = _read(previous) if previous else None
    try:
        content = tomllib.loads(read_file(people, MAX_ROSTER_BYTES).decode())
        chain: dict[str, Any] = {
            "previous": before.sha256 if before else None,
            "sequence": before.sequence + 1 if before else 1,
        }
        _without_comments(content)
        data = rfc8785.dumps({**content, "format": "ceremony-roster/v1", **chain})
    except (ValueError, RecursionError, rfc8785.CanonicalizationError) as error:
        detail = f"{people} is not TOML 1.0 in UTF-8, or holds what JSON cannot"
        raise refuse(Kind.MALFORMED, "CEREMONY-ROSTER-PEOPLE", detail) from error
    if out.exists():
        raise CaError(Kind.CONFLICT, f"{out} is there already; a roster that is in force is never changed")
    made = parse_roster(data)
    place(out, data)
    _show(made, before)
    click.echo(made.sha256)


@roster.command()
@click.argument("file", type=_FILE)
@click.option("--previous", type=_FILE, help=_PREVIOUS_HELP)
def check(file: Path, previous: Path | None) -> None:
    """Check a roster, say who is in it, and what it changes."""
    found = _read(file)
    _show(found, _read(previous) if previous else None)
    click.echo(found.sha256)


@click.command("allowed-signers")
@click.argument("file", type=_FILE)
@click.option(
    "--mode", type=click.Choice(["production", "rehearsal"]), required=True, help="Whose keys count."
)
def allowed_signers(file: Path, mode: Literal["production", "rehearsal"]) -> None:
    """Print a roster as the file that `ssh-keygen -Y verify -f` reads."""
    from ca_server.core.ceremony import roster as rosters  # noqa: PLC0415 - as above

    click.echo(rosters.allowed_signers(_read(file), mode).decode(), nl=False)


def _without_comments(people: dict[str, Any]) -> None:
    """Leave out what `ssh-keygen` writes behind a key, such as somebody's address."""
    from ca_server.core.ceremony.ssh_keys import parse_public_key  # noqa: PLC0415 - as above

    persons = people.get("persons", [])
    keys = (key for person in persons if isinstance(person, dict) for key in person.get("keys", []))
    for key in keys:
        if isinstance(key, dict) and isinstance(key.get("public_key"), str):
            key["public_key"] = parse_public_key(key["public_key"]).line


def _read(path: Path) -> Roster:
    from ca_server.core.ceremony.roster import MAX_ROSTER_BYTES, parse_roster  # noqa: PLC0415 - as above
    from ceremony.folder import read_file  # noqa: PLC0415

    return parse_roster(read_file(path, MAX_ROSTER_BYTES))


def _show(found: Roster, before: Roster | None) -> None:
    from ca_server.core.ceremony.roster import check_successor  # noqa: PLC0415 - as above

    click.echo(f"roster {found.sequence} of {found.domain}", err=True)
    for person in found.persons.values():
        keys = ", ".join(
            f"{key.use} in a {key.kept_in} until {key.valid_until:%Y-%m-%d}" for key in person.keys
        )
        groups = ", ".join(name for name, members in found.groups.items() if person.id in members)
        click.echo(f"  {person.id} ({person.name}) [{groups or 'no group'}]: {keys}", err=True)
    if before is not None:
        change = check_successor(before, found)
        for words, names in (("new", change.added_persons), ("gone", change.removed_persons)):
            if names:
                click.echo(f"  {words}: {', '.join(names)}", err=True)
