"""What a token of SoftHSM can sign a second, which no certificate authority on it can beat."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ca_server.config import load_config
from ops.benchmarks.appliance import environment

SECONDS = 3
C_SOURCE = Path(__file__).with_name("p11rate.c")


def raw_rates(folder: Path, demo: dict[str, Any]) -> dict[str, float]:
    """The demo's issuing token's rate from C and through our door, while nothing else runs."""
    token = next(each for each in load_config(folder / "server.toml").token if "issuing" in each.label)
    settings = [str(token.module), token.label, str(token.pin_file), str(SECONDS)]
    return token_rates(folder, settings, environment(demo))


def token_rates(folder: Path, settings: list[str], variables: Mapping[str, str]) -> dict[str, float]:
    """The rate of a token's first key; `settings` are module, label, file of the PIN and seconds."""
    door = [sys.executable, "-m", "ops.benchmarks.door_rate", *settings]
    rates = {"door_signs_per_second": _rate(door, variables)}
    program = folder / "p11rate"
    try:
        subprocess.run(["cc", "-O2", "-w", "-o", str(program), str(C_SOURCE), "-ldl"], check=True)
    except FileNotFoundError:
        print("no C compiler: the token's raw rate is not measured", file=sys.stderr)
        return rates
    return rates | {"raw_signs_per_second": _rate([str(program), *settings], variables)}


def _rate(command_line: list[str], variables: Mapping[str, str]) -> float:
    done = subprocess.run(command_line, capture_output=True, text=True, check=True, env=dict(variables))
    return float(done.stdout)
