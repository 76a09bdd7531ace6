"""Time is passed in: the machine's clock is read in composition roots and nowhere else."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from tests.architecture.tree import name_of, parsed, product_files, strings_in

# One reading for each program: server and worker, auditor's command, a host's enrolment, ceremony, responder.
CLOCKS = {
    "ca_server/compose.py": 1,
    "ca_server/cli/audit.py": 1,
    "ca_server/cli/enroll/__init__.py": 1,
    "ceremony/clock.py": 1,
    "ocsp_responder/wsgi.py": 1,
}
READINGS = {
    "datetime": {"now", "utcnow", "today"},
    "date": {"today"},
    "time": {"time", "time_ns", "localtime", "gmtime", "ctime"},
}
SQL_CLOCK = re.compile(r"current_timestamp|current_time\b|\bnow\(\)|strftime\('%s'|unixepoch", re.IGNORECASE)


def readings_in(path: Path) -> list[int]:
    lines = []
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Attribute):
            owner = node.value
            receiver = owner.id if isinstance(owner, ast.Name) else getattr(owner, "attr", "")
            if node.attr in READINGS.get(receiver, ()):
                lines.append(node.lineno)
        elif isinstance(node, ast.ImportFrom) and node.module == "time":
            lines += [node.lineno for alias in node.names if alias.name in READINGS["time"]]
    return lines


def test_the_clock_is_read_in_one_place_a_program():
    found = {name_of(path): len(lines) for path in product_files() if (lines := readings_in(path))}
    assert found == CLOCKS


def test_no_statement_asks_the_database_for_the_time():
    guilty = [
        f"{name_of(path)}: {text[:60]!r}"
        for path in product_files()
        for text in strings_in(path)
        if SQL_CLOCK.search(text)
    ]
    assert guilty == []


def test_the_scan_sees_every_form_of_reading(tmp_path):
    sample = tmp_path / "sample.py"
    sample.write_text(
        "import datetime as d, time\nfrom time import time_ns\n"
        "a = d.datetime.now(tz)\nb = datetime.utcnow()\nc = date.today()\ne = time.time()\n"
        "f = functools.partial(datetime.now, UTC)\ng = clock.now()\nh = time.monotonic()\n"
    )
    assert readings_in(sample) == [2, 3, 4, 5, 6, 7]
