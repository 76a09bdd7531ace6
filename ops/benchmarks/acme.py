"""`ops/bench acme`: complete orders a second, beside Debian's Pebble on the same work."""

from __future__ import annotations

import json
import tempfile
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from ops.benchmarks.acme_load import Result, Target, answering, make_clients, run_clients
from ops.benchmarks.appliance import appliance, free_ports, resident_megabytes
from ops.benchmarks.pebble import dns_server, installed, pebble
from ops.benchmarks.raw_rates import raw_rates

WARM_UP_SECONDS = 3
STEPS = 10


@click.command("acme")
@click.option("--clients", default=16, show_default=True, help="Accounts that order at once.")
@click.option("--seconds", default=15.0, show_default=True, help="How long each measurement lasts.")
@click.option("--growth", default=0, help="Then complete this many orders, and show the rate of each tenth.")
@click.option("--database-url", help="PostgreSQL instead of SQLite.")
@click.option("--pebble/--no-pebble", "beside_pebble", default=True, help="Measure Pebble in the same run.")
@click.option("--json", "as_json", type=click.Path(path_type=Path), help="Write the figures here too.")
def command(**options: Any) -> None:
    """Start a demo and Pebble, drive both by the same clients, and print orders/s, p50, p99 and ratios."""
    if not installed():
        raise click.ClickException("pebble and pebble-challtestsrv are needed: apt-get install pebble")
    figures: dict[str, Any] = {}
    (http01_port,) = free_ports(1)
    with (
        tempfile.TemporaryDirectory(prefix="sealkeeper-bench-") as name,
        dns_server(Path(name)) as resolver,
        answering(http01_port) as answers,
    ):
        folder = Path(name)
        if options["beside_pebble"]:
            with pebble(folder, resolver, http01_port) as (directory, roots):
                figures["pebble"] = _measure(Target(directory, roots, answers), options)
        validation = ["--dns-server", resolver, "--http01-port", str(http01_port)]
        with appliance(folder / "demo", *validation, database_url=options["database_url"]) as demo:
            figures |= raw_rates(folder / "demo", demo)
            target = Target(demo["acme_directory"], Path(demo["roots"]), answers)
            figures["sealkeeper"] = _measure(target, options)
            if options["growth"]:
                figures["growth"] = _growth(target, options)
                figures["resident_mib"] = {
                    process: [round(size, 1) for size in resident_megabytes(pid).values()]
                    for process, pid in demo["pids"].items()
                }
    _print(figures, options)
    if options["as_json"]:
        options["as_json"].write_text(json.dumps(figures, indent=2) + "\n")


def _measure(target: Target, options: dict[str, Any]) -> dict[str, Any]:
    """Both kinds of work: each name proven over the network, and each account's one name proven before."""
    clients = make_clients(target, options["clients"])
    run_clients(clients, seconds=WARM_UP_SECONDS)
    return {
        "pre-validated": _figures(run_clients(clients, seconds=options["seconds"])),
        "validated": _figures(run_clients(clients, seconds=options["seconds"], new_names="new")),
    }


def _growth(target: Target, options: dict[str, Any]) -> dict[str, Any]:
    """Orders a second in each tenth of many orders on one database."""
    clients = make_clients(target, options["clients"])
    result = run_clients(clients, seconds=24 * 3600, limit=options["growth"])
    size = len(result.ended) // STEPS
    if not size:
        raise SystemExit(f"hardly an order was complete: {dict(result.refused)}")
    ends = [0.0, *(result.ended[size * step - 1] for step in range(1, STEPS + 1))]
    rates = [round(size / (after - before), 1) for before, after in pairwise(ends)]
    return {"orders": len(result.ended), "per_second_by_tenth": rates, **_figures(result)}


def _figures(result: Result) -> dict[str, Any]:
    return {
        "orders_per_second": round(result.per_second, 1),
        "p50_ms": round(result.percentile(0.50), 1),
        "p99_ms": round(result.percentile(0.99), 1),
        "orders": len(result.latencies),
        "refused": dict(result.refused),
    }


def _print(figures: dict[str, Any], options: dict[str, Any]) -> None:
    print(f"\nACME, ES256, P-256, one dns name, {options['clients']} accounts, client included")
    print(f"{'':34}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}")
    for key, title in (("raw", "token signs, from C"), ("door", "token signs, our door, verified")):
        if f"{key}_signs_per_second" in figures:
            print(f"{title:34}{figures[f'{key}_signs_per_second']:12.0f}")
    for server in ("pebble", "sealkeeper"):
        for work, row in figures.get(server, {}).items():
            print(
                f"{f'{server}, {work}':34}{row['orders_per_second']:12.1f}{row['p50_ms']:9.1f}"
                f"{row['p99_ms']:9.1f}   {row['refused'] or ''}"
            )
    for work, row in figures["sealkeeper"].items():
        rate = row["orders_per_second"]
        if "pebble" in figures:
            beside = rate / figures["pebble"][work]["orders_per_second"]
            print(f"ratio {work}, sealkeeper / pebble: {beside:.2f}")
        print(f"ratio {work}, orders / door signs: {rate / figures['door_signs_per_second']:.3f}")
    if "growth" in figures:
        tenths = figures["growth"]["per_second_by_tenth"]
        print(f"{figures['growth']['orders']:,} orders, per second in each tenth: {tenths}")
        print(f"ratio last tenth / first tenth: {tenths[-1] / tenths[0]:.2f}")
    for process, sizes in figures.get("resident_mib", {}).items():
        print(f"memory after them, {process}: {sizes} MiB")
