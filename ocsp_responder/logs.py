"""The responder's log: one JSON object a line in the words of the Elastic Common Schema.

Nothing that a client sent is ever logged; where something failed is, the values it failed on are not (R23).
"""

from __future__ import annotations

import json
import logging
import traceback

from ca_server.core.clock import Clock, to_text

MAX_TEXT = 1024


def configure_logs(clock: Clock) -> None:
    """Send what this process logs to standard error; call it once, after fork."""
    handler = logging.StreamHandler()
    handler.setFormatter(JSONFormatter(clock))
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class JSONFormatter(logging.Formatter):
    """A record as one line."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def format(self, record: logging.LogRecord) -> str:
        """The line; an exception is its type and the places it passed through."""
        line = {
            "@timestamp": to_text(self._clock.now()),
            "log.level": record.levelname.lower(),
            "log.logger": record.name,
            "message": record.getMessage()[:MAX_TEXT],
        }
        error = record.exc_info[1] if record.exc_info else None
        if error is not None:
            line["error.type"] = type(error).__name__
            line["error.stack_trace"] = " <- ".join(
                f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno}"
                for frame in reversed(traceback.extract_tb(error.__traceback__))
            )
        return json.dumps(line)
