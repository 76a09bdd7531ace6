"""`ops/bench est`: enrolments a second by client certificate, beside the handshakes that are possible."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path
from typing import Any

import click

from ops.benchmarks.appliance import appliance
from ops.benchmarks.est_load import Client, Result, run_clients
from ops.benchmarks.raw_rates import raw_rates

WARM_UP_SECONDS = 3
WORK = {
    "handshakes": ("bare handshakes with a certificate", Client.shake_hands),
    "new": ("enrolments, each over a new connection", Client.enrol_anew),
    "kept": ("enrolments over kept-alive connections", Client.enrol),
}


@click.command("est")
@click.option("--clients", default=16, show_default=True, help="Hosts that enrol at once.")
@click.option("--seconds", default=15.0, show_default=True, help="How long each measurement lasts.")
@click.option("--database-url", help="PostgreSQL instead of SQLite.")
@click.option("--json", "as_json", type=click.Path(path_type=Path), help="Write the figures here too.")
def command(**options: Any) -> None:
    """Start a demo, shake hands with it and enrol, and print what came a second, p50, p99 and ratios."""
    figures: dict[str, Any] = {}
    with tempfile.TemporaryDirectory(prefix="sealkeeper-bench-") as name:
        folder = Path(name)
        with appliance(folder / "demo", database_url=options["database_url"]) as demo:
            figures |= raw_rates(folder / "demo", demo)
            clients = _make_clients(folder, demo, options["clients"])
            for work, (_, action) in WORK.items():
                run_clients(clients, action, WARM_UP_SECONDS)
                figures[work] = _figures(run_clients(clients, action, options["seconds"]))
    _print(figures, options)
    if options["as_json"]:
        options["as_json"].write_text(json.dumps(figures, indent=2) + "\n")


def _make_clients(folder: Path, demo: dict[str, Any], count: int) -> list[Client]:
    password = Path(demo["est"]["password_file"]).read_text().strip()
    secret = f"{demo['est']['username']}:{password}"
    roots = Path(demo["roots"])
    return [Client(demo["est_url"], roots, secret, folder / f"host-{number}") for number in range(count)]


def _figures(result: Result) -> dict[str, Any]:
    return {
        "per_second": round(result.per_second, 1),
        "p50_ms": round(result.percentile(0.50), 1),
        "p99_ms": round(result.percentile(0.99), 1),
        "statuses": dict(result.statuses),
    }


def _print(figures: dict[str, Any], options: dict[str, Any]) -> None:
    print(f"\nEST, P-256, TLS 1.3, {options['clients']} clients, two worker processes, client included")
    print(f"{'':42}{'per second':>12}{'p50 ms':>9}{'p99 ms':>9}")
    for key, title in (("raw", "token signs, from C"), ("door", "token signs, our door, verified")):
        if f"{key}_signs_per_second" in figures:
            print(f"{title:42}{figures[f'{key}_signs_per_second']:12.0f}")
    for work, (title, _) in WORK.items():
        row = figures[work]
        print(
            f"{title:42}{row['per_second']:12.1f}{row['p50_ms']:9.1f}{row['p99_ms']:9.1f}   {row['statuses']}"
        )
    for work in ("new", "kept"):
        ratio = figures["handshakes"]["per_second"] / max(figures[work]["per_second"], 0.1)
        print(f"ratio handshakes / {WORK[work][0]}: {ratio:.2f}")
