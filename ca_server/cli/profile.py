"""`sealkeeper profile`: what an officer does with profiles before they are in force."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import click

from ca_server.cli.options import config_option
from ca_server.core.document import MAX_DOCUMENT_BYTES
from ca_server.core.errors import CaError, Kind
from ca_server.core.lints import Finding, Severity
from ca_server.core.profile import Profile, parse_profile
from ca_server.core.profile_diff import describe, diff_profiles, fields_of, profile_schema
from ca_server.core.profile_lints import lint_profile
from ca_server.policy_store import PolicyStore, default_directory

_FILE = click.Path(exists=True, path_type=Path)
_policies = click.option(
    "--policies",
    "directory",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="The policy directory; without it, the policies that come with Sealkeeper.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


@click.group()
def command() -> None:
    """Check, compare and simulate certificate profiles."""


@command.command()
@click.argument("paths", nargs=-1, type=_FILE)
@click.option("--config", "config_file", type=_FILE, help="Hold validity against this server's authority.")
@_json
def check(paths: tuple[Path, ...], config_file: Path | None, *, as_json: bool) -> None:
    """Read policy directories or profile files as the server would, and say what is dangerous in them.

    Ends with 1 if a profile has an error or is not well-formed; warnings and notices are for reading.
    """
    profiles = [profile for path in paths or (default_directory(),) for profile in _profiles_in(path)]
    life = _issuer_life(config_file) if config_file else None
    findings = [(profile.name, finding) for profile in profiles for finding in lint_profile(profile, life)]
    if as_json:
        _echo_json([{"profile": name, **asdict(finding)} for name, finding in findings])
    else:
        for name, finding in findings:
            click.echo(f"{name}: {finding.severity}: {finding.detail} [{finding.code}]")
    click.echo(f"{len(profiles)} profiles read, {len(findings)} findings", err=True)
    if _has_error(finding for _, finding in findings):
        raise SystemExit(1)


@command.command()
@click.argument("before")
@click.argument("after")
@_policies
@_json
def diff(before: str, after: str, directory: Path | None, *, as_json: bool) -> None:
    """What two profiles grant differently, field by field. Each is a file, or the name of a profile."""
    changes = diff_profiles(_profile(before, directory), _profile(after, directory))
    if as_json:
        _echo_json([asdict(change) for change in changes])
        return
    for change in changes:
        click.echo(f"{change.field}: {_words(change.before)} -> {_words(change.after)}")


@command.command("list")
@_policies
@_json
def list_profiles(directory: Path | None, *, as_json: bool) -> None:
    """Every profile, by name."""
    profiles = _profiles_in(directory or default_directory())
    if as_json:
        _echo_json([{"name": each.name, "sha256": each.sha256} for each in profiles])
        return
    for profile in profiles:
        click.echo(f"{profile.name:24} {profile.description}")


@command.command()
@click.argument("profile")
@_policies
@_json
def show(profile: str, directory: Path | None, *, as_json: bool) -> None:
    """One profile with every default spelled out: a file, or the name of a profile."""
    found = _profile(profile, directory)
    if as_json:
        _echo_json({**describe(found), "sha256": found.sha256})
        return
    for field, value in fields_of(found).items():
        click.echo(f"{field} = {_words(value)}")
    click.echo(f"sha256 = {found.sha256}")


@command.command()
def schema() -> None:
    """The JSON Schema of a profile's file, for editors."""
    _echo_json(profile_schema())


@command.command()
@click.argument("profile", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="How far back.")
@config_option
@_json
def simulate(profile: Path, days: int, config_file: Path, *, as_json: bool) -> None:
    """Replay the requests of the last days against the profile in a file, and show what would change.

    Nothing is written or signed.
    """
    proposed = _read_profile(profile)
    report = _simulate(proposed, days, config_file)
    if as_json:
        _echo_json(asdict(report))
        return
    for each in report.differences:
        why = ", ".join(each.rule_ids + each.fields)
        click.echo(f"{each.time} {each.request_id} {each.principal}: {each.was} -> {each.would} ({why})")
    click.echo(
        f"{report.replayed} requests for {report.profile}: {report.now_refused} would be refused, "
        f"{report.now_issued} would be issued, {report.now_pending} would wait for approvals, "
        f"{report.now_different} would differ, "
        f"{report.unchanged} would not",
        err=True,
    )


def _simulate(proposed: Profile, days: int, config_file: Path) -> Any:
    from ca_server.services.simulate import Trial, simulate  # noqa: PLC0415 - see _server

    with _server(config_file) as (context, policies, issuers):
        trial = Trial(
            proposed=proposed,
            in_force=policies.profile(proposed.name) if proposed.name in policies.names else None,
            site=policies.site,
            debian_weak_keys=policies.debian_weak_keys,
            issuer=issuers.current(),
            own_keys=issuers.own_keys,
        )
        return simulate(context, trial, context.clock.now() - timedelta(days=days))


def _issuer_life(config_file: Path) -> timedelta:
    with _server(config_file) as (context, _, issuers):
        end: datetime = issuers.current().certificate.not_valid_after_utc
        now: datetime = context.clock.now()
        return end - now


@contextmanager
def _server(config_file: Path) -> Iterator[tuple[Any, PolicyStore, Any]]:
    """The configured server's database, policies and authorities, for reading."""
    # The server's parts, and with them SQLAlchemy, are loaded for the commands that need them alone.
    from ca_server.compose import open_context, open_policies  # noqa: PLC0415
    from ca_server.config import load_config  # noqa: PLC0415
    from ca_server.services.issuers import read_issuers  # noqa: PLC0415

    config = load_config(config_file)
    policies = open_policies(config)
    context = open_context(config)
    try:
        urls = config.publication
        yield context, policies, read_issuers(context, public_url=urls.public_url, ocsp_url=urls.ocsp_url)
    finally:
        context.database.close()


def _profiles_in(path: Path) -> list[Profile]:
    """Every profile of a policy directory, or the one in a file."""
    if path.is_file():
        return [_read_profile(path)]
    store = PolicyStore(path)
    return [store.profile(name) for name in sorted(store.names)]


def _profile(text: str, directory: Path | None) -> Profile:
    if text.endswith(".toml"):
        return _read_profile(Path(text))
    return PolicyStore(directory).profile(text)


def _read_profile(path: Path) -> Profile:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_DOCUMENT_BYTES + 1)
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"cannot read {path}: {error.strerror}") from error
    return parse_profile(data, source=path.name)


def _has_error(findings: Iterable[Finding]) -> bool:
    return any(finding.severity in {Severity.FATAL, Severity.ERROR} for finding in findings)


def _words(value: Any) -> str:
    return "(not there)" if value is None else json.dumps(value, ensure_ascii=False)


def _echo_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
