"""`ops/bench ceremony`: a whole first hierarchy, rehearsed; where its seconds go, beside raw limits."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import click

from ceremony.independent import verifier_path
from ops.benchmarks.raw_rates import SECONDS, token_rates

RUNS = 5
BYTES = 4096
SCRIPT = Path("ceremony/scripts/first-hierarchy.toml")
SEALKEEPER = (sys.executable, "-m", "ca_server.cli")
VERIFY = (
    "import sys; from pathlib import Path; from ca_server.core.ceremony.verify import verify_bundle;"
    "verify_bundle(Path(sys.argv[1]).read_bytes())"
)


@click.command("ceremony")
@click.option(
    "--runs", default=RUNS, show_default=True, help="How often each is measured; the median counts."
)
@click.option("--json", "as_json", type=click.Path(path_type=Path), help="Write the figures here too.")
def command(runs: int, as_json: Path | None) -> None:
    """Rehearse root, issuing, OCSP and log keys with five officers, and print what took how long."""
    with TemporaryDirectory(prefix="sealkeeper-bench-") as name:
        folder = Path(name)
        figures: dict[str, Any] = {"doors": _doors(folder)}
        figures["rehearsal"] = _rehearsals(folder, runs)
        room = folder / "rehearsal-0"
        figures |= {"bare": _bare(room, figures["doors"]), "token": _token(room, folder)}
        figures["rsa"] = _rsa(room, runs)
        figures["commands"] = _commands(room / "bundle.tar", runs)
    _print(figures)
    if as_json:
        as_json.write_text(json.dumps(figures, indent=2) + "\n")


def _doors(folder: Path) -> dict[str, list[float]]:
    """Calls and seconds of each door of one rehearsal, which the timing slows down a little."""
    out = folder / "doors.json"
    _quiet(
        sys.executable, "-m", "ops.benchmarks.ceremony_probe", str(SCRIPT), str(folder / "probed"), str(out)
    )
    return dict(json.loads(out.read_text()))


def _rehearsals(folder: Path, runs: int) -> float:
    """The median of whole commands, each in a folder of its own, as a person runs them."""
    numbers = iter(range(runs))
    rehearse = (*SEALKEEPER, "ceremony", "rehearse", str(SCRIPT), "--directory")
    return _median(runs, lambda: _quiet(*rehearse, str(folder / f"rehearsal-{next(numbers)}")))


def _bare(room: Path, doors: dict[str, list[float]]) -> dict[str, float]:
    """As many calls of ssh-keygen, and as many fsyncs, with nothing around them."""
    signatures = next(int(count) for door, (count, _) in doors.items() if "-Y sign" in door)
    keys = sorted(path.with_suffix("") for path in (room / "practice").glob("*.pub"))
    statement = room / "statement.txt"
    statement.write_bytes(next((room / "files/gates").glob("*.txt")).read_bytes())

    def sign() -> None:
        statement.with_name("statement.txt.sig").unlink(missing_ok=True)
        _quiet(
            "ssh-keygen", "-q", "-Y", "sign", "-f", str(keys[0]), "-n", "bench@example.com", str(statement)
        )

    def sync() -> None:
        with (room / "synced").open("wb") as file:
            file.write(bytes(BYTES))
            file.flush()
            os.fsync(file.fileno())

    return {
        "ssh-keygen": signatures * _median(signatures, sign),
        "fsync": int(doors["fsync"][0]) * _median(50, sync),
    }


def _token(room: Path, folder: Path) -> dict[str, float]:
    """The rates of the issuing token that a rehearsal has just made."""
    token = tomllib.loads((room / "host.toml").read_text())["tokens"]["issuing"]
    settings = [token["module"], token["label"], token["pin_file"], str(SECONDS)]
    return token_rates(folder, settings, {**os.environ, "SOFTHSM2_CONF": str(room / "softhsm2.conf")})


def _rsa(room: Path, runs: int) -> dict[str, float]:
    """RSA 4096 by the token through our door, beside OpenSSL's: primes are luck, so the spread is wide."""
    token = tomllib.loads((room / "host.toml").read_text())["tokens"]["root"]
    settings = [token["module"], token["label"], token["pin_file"], str(runs)]
    done = subprocess.run(
        [sys.executable, "-m", "ops.benchmarks.rsa_rate", *settings],
        env={**os.environ, "SOFTHSM2_CONF": str(room / "softhsm2.conf")},
        stdout=subprocess.PIPE,
        check=True,
    )
    openssl = ("openssl", "genpkey", "-quiet", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:4096")
    return {"token": float(done.stdout), "openssl": _median(runs, lambda: _quiet(*openssl))}


def _commands(bundle: Path, runs: int) -> dict[str, float]:
    help_runs = 4 * runs
    return {
        "python -c pass": _median(help_runs, lambda: _quiet(sys.executable, "-c", "pass")),
        "ceremony --help": _median(help_runs, lambda: _quiet(*SEALKEEPER, "ceremony", "--help")),
        "verified by the product": _median(runs, lambda: _quiet(sys.executable, "-c", VERIFY, str(bundle))),
        "verified by the auditor": _median(
            runs, lambda: _quiet(sys.executable, "-I", str(verifier_path()), str(bundle))
        ),
        "ceremony verify, both": _median(
            runs, lambda: _quiet(*SEALKEEPER, "ceremony", "verify", str(bundle))
        ),
    }


def _median(runs: int, call: Callable[[], None]) -> float:
    seconds = []
    for _ in range(runs):
        started = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def _quiet(*arguments: str) -> None:
    """Run a program; what it says of a failure is ours."""
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(arguments[:4])} gave {done.returncode}:\n{done.stderr}")


def _print(figures: dict[str, Any]) -> None:
    print(f"a whole rehearsal, first hierarchy: {figures['rehearsal']:.2f} s")
    print("\nwhere the time of one goes, measured from within:")
    for door, (count, seconds) in sorted(figures["doors"].items(), key=lambda each: -each[1][1]):
        print(f"  {seconds:7.3f} s  {int(count):4} x  {door}")
    bare, doors = figures["bare"], figures["doors"]
    signed = sum(seconds for door, (_, seconds) in doors.items() if "-Y sign" in door)
    print("\nbeside as many with nothing around them:")
    print(f"  ssh-keygen: {bare['ssh-keygen']:.3f} s, so {signed / bare['ssh-keygen']:.2f}x of it")
    print(f"  fsync:      {bare['fsync']:.3f} s, so {doors['fsync'][1] / bare['fsync']:.2f}x of it")
    for name, rate in figures["token"].items():
        print(f"  {name}: {rate:,.0f}, or {1000 / rate:.2f} ms each")
    count, seconds = doors["signature of a token"]
    print(f"  in the ceremony: {1000 * seconds / count:.2f} ms each")
    rsa = figures["rsa"]
    print(f"\nan RSA 4096 key: {rsa['token']:.2f} s by the token, {rsa['openssl']:.2f} s by openssl")
    for name, seconds in figures["commands"].items():
        print(f"{name}: {1000 * seconds:.0f} ms")
