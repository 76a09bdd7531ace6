"""What the demo's token can sign a second, which no certificate authority on it can beat."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

from ca_server.config import load_config
from ops.benchmarks.appliance import environment

SECONDS = 3
C_SOURCE = Path(__file__).with_name("p11rate.c")


def raw_rates(folder: Path, demo: dict[str, Any]) -> dict[str, float]:
    """The issuing token's rate from C and through our door, while nothing else runs."""
    token = next(each for each in load_config(folder / "server.toml").token if "issuing" in each.label)
    settings = [str(token.module), token.label, str(token.pin_file), str(SECONDS)]
    rates = {
        "door_signs_per_second": _rate([sys.executable, "-m", "ops.benchmarks.door_rate", *settings], demo)
    }
    program = folder / "p11rate"
    try:
        subprocess.run(["cc", "-O2", "-w", "-o", str(program), str(C_SOURCE), "-ldl"], check=True)
    except FileNotFoundError:
        print("no C compiler: the token's raw rate is not measured", file=sys.stderr)
        return rates
    return rates | {"raw_signs_per_second": _rate([str(program), *settings], demo)}


def _rate(command_line: list[str], demo: dict[str, Any]) -> float:
    done = subprocess.run(command_line, capture_output=True, text=True, check=True, env=environment(demo))
    return float(done.stdout)
