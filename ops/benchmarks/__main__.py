"""`ops/bench`: one sub-command a subject."""

from __future__ import annotations

import click

from ops.benchmarks import acme, ceremony, est, issue


@click.group()
def command() -> None:
    """Measure the running product from outside, with ratios to raw limits in the same run."""


command.add_command(acme.command)
command.add_command(ceremony.command)
command.add_command(est.command)
command.add_command(issue.command)
command()
