"""`sealkeeper config`: the configuration file."""

from __future__ import annotations

from pathlib import Path

import click

from ca_server.cli.options import config_option
from ca_server.config import Config, load_config
from ca_server.core.errors import CaError, Kind


@click.group()
def command() -> None:
    """Check a configuration file."""


@command.command()
@config_option
def check(config_file: Path) -> None:
    """Read the file as the server would, and look for every file and profile that it names."""
    config = load_config(config_file)
    missing = [str(path) for path in _named_files(config) if not path.exists()]
    if missing:
        raise CaError(Kind.NOT_FOUND, f"not there: {', '.join(missing)}")
    if config.est is not None:
        from ca_server.compose import open_policies  # noqa: PLC0415 - start quickly
        from ca_server.est.labels import Labels  # noqa: PLC0415 - start quickly

        Labels(config.est, open_policies(config))
    click.echo(f"{config_file} is good", err=True)


def _named_files(config: Config) -> list[Path]:
    files = [config.state_directory, config.audit.anchor.parent, config.server.tls_key]
    for token in config.token:
        files.append(token.module)
        files += [token.pin_file] if token.pin_file else []
    files += [config.policies.directory] if config.policies.directory else []
    files += config.publication.cross_certificates
    for manufacturer in config.est.manufacturer if config.est else ():
        files += map(Path, (manufacturer.trust_anchors, *manufacturer.revocation_lists))
    return files
