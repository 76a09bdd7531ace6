"""`ops/bench issue`: certificates a second over REST, beside what the token and the door can sign."""

from __future__ import annotations

import json
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

import click

from ca_server.config import load_config
from ops.benchmarks.appliance import appliance, resident_megabytes
from ops.benchmarks.fill import fill
from ops.benchmarks.load import Result, Target, make_csrs, run_clients
from ops.benchmarks.raw_rates import raw_rates

WARM_UP_SECONDS = 3
SETTLE_SECONDS = 5


@click.command("issue")
@click.option("--clients", default=16, show_default=True)
@click.option("--seconds", default=15.0, show_default=True, help="How long each measurement lasts.")
@click.option("--stored", default=0, help="Measure again with this many certificates stored.")
@click.option("--issuances", default=0, help="Issue this many, then print the memory of every process.")
@click.option("--database-url", help="PostgreSQL instead of SQLite.")
@click.option("--json", "as_json", type=click.Path(path_type=Path), help="Write the figures here too.")
def command(**options: Any) -> None:
    """Start a demo, drive it from this process, and print certificates/s, p50, p99 and ratios."""
    csrs = make_csrs()
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="sealkeeper-bench-") as name:
        folder = Path(name)
        with appliance(folder, database_url=options["database_url"]) as demo:
            figures |= raw_rates(folder, demo)
            figures["empty"] = _measure(demo, csrs, options)
            if options["issuances"]:
                _memory(demo, csrs, options, figures)
        if options["stored"]:
            started = time.perf_counter()
            fill(load_config(folder / "server.toml").database.url, options["stored"])
            print(f"filled {options['stored']:,} certificates in {time.perf_counter() - started:.0f} s")
            with appliance(folder, database_url=options["database_url"]) as demo:
                _wait_until_sequenced(demo)
                figures["stored"] = _measure(demo, csrs, options)
    _print(figures, options)
    if options["as_json"]:
        options["as_json"].write_text(json.dumps(figures, indent=2) + "\n")


def _wait_until_sequenced(demo: dict[str, Any]) -> None:
    """The stock's events are sequenced first, as they would have been while it grew."""
    size = -1
    while (now := _checkpoint_size(demo)) != size:
        size = now
        time.sleep(SETTLE_SECONDS)


def _checkpoint_size(demo: dict[str, Any]) -> int:
    url = f"{demo['audit']['url']}/checkpoint"
    with urllib.request.urlopen(url, timeout=60) as answer:  # noqa: S310 - our own http URL
        return int(answer.read().split(b"\n")[1])


def _target(demo: dict[str, Any]) -> Target:
    token = Path(demo["tokens"]["requester"]).read_text().strip()
    return Target(demo["ca_url"], Path(demo["roots"]), token)


def _measure(demo: dict[str, Any], csrs: list[str], options: dict[str, Any]) -> dict[str, Any]:
    target = _target(demo)
    run_clients(target, csrs, clients=options["clients"], seconds=WARM_UP_SECONDS)
    return _figures(run_clients(target, csrs, clients=options["clients"], seconds=options["seconds"]))


def _figures(result: Result) -> dict[str, Any]:
    return {
        "certificates_per_second": round(result.per_second, 1),
        "p50_ms": round(result.percentile(0.50), 1),
        "p99_ms": round(result.percentile(0.99), 1),
        "statuses": dict(result.statuses),
    }


def _memory(demo: dict[str, Any], csrs: list[str], options: dict[str, Any], figures: dict[str, Any]) -> None:
    result = run_clients(
        _target(demo), csrs, clients=options["clients"], seconds=3600, limit=options["issuances"]
    )
    figures["issuances"] = {"count": result.statuses[201], **_figures(result)}
    figures["resident_mib"] = {
        name: [round(size, 1) for size in resident_megabytes(pid).values()]
        for name, pid in demo["pids"].items()
    }


def _print(figures: dict[str, Any], options: dict[str, Any]) -> None:
    raw = figures.get("raw_signs_per_second")
    door = figures["door_signs_per_second"]
    print(f"\nREST issuance, P-256, {options['clients']} clients, two worker processes, client included")
    print(f"{'':34}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}")
    if raw:
        print(f"{'token signs, from C':34}{raw:12.0f}")
    print(f"{'token signs, our door, verified':34}{door:12.0f}")
    for name, title in (("empty", "certificates"), ("stored", f"with {options['stored']:,} stored")):
        if name in figures:
            row = figures[name]
            print(
                f"{title:34}{row['certificates_per_second']:12.1f}{row['p50_ms']:9.1f}{row['p99_ms']:9.1f}"
                f"   {row['statuses']}"
            )
    rate = figures["empty"]["certificates_per_second"]
    print(f"ratio certificates / door signs: {rate / door:.3f}")
    if raw:
        print(f"ratio certificates / raw signs:  {rate / raw:.3f}; door / raw: {door / raw:.2f}")
    if "stored" in figures:
        print(f"ratio stored / empty: {figures['stored']['certificates_per_second'] / rate:.2f}")
    for name, sizes in figures.get("resident_mib", {}).items():
        print(f"memory after {figures['issuances']['count']:,} issuances, {name}: {sizes} MiB")
