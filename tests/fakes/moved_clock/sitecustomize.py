"""Moves the clock of every Python process that has this folder in PYTHONPATH, by MOVED_DAYS.

OpenSSL goes on reading the machine's clock, so TLS certificates have to be good on both days.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

import time_machine

now = datetime.now(UTC)  # noqa: TID251 - what is moved is the clock itself
time_machine.travel(now + timedelta(days=int(os.environ["MOVED_DAYS"])), tick=True).start()
