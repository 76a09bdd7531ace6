"""The operational log: one JSON object a line in the words of the Elastic Common Schema.

A field that is not on the list below never leaves (R23): whoever logs a new one adds it here, in sight of
a reviewer. The audit log is another thing and lives in the database.
"""

from __future__ import annotations

import json
import logging
import sys
import traceback
from types import TracebackType
from typing import TextIO

import structlog
from structlog.typing import EventDict, WrappedLogger

from ca_server.core.clock import Clock, to_text

# What our code calls a field -> what it is called in the log.
FIELDS: dict[str, str] = {
    "action": "sealkeeper.action",
    "authorities": "sealkeeper.authorities",
    "authority": "sealkeeper.authority",
    "challenge": "sealkeeper.challenge",
    "duration": "event.duration",
    "job": "sealkeeper.job",
    "method": "http.request.method",
    "outcome": "event.outcome",
    "principal": "user.name",
    "profile": "sealkeeper.profile",
    "reason": "event.reason",
    "request_id": "http.request.id",
    "role": "user.roles",
    "route": "http.route",
    "rule_ids": "sealkeeper.rule_ids",
    "serial": "x509.serial_number",
    "source": "source.ip",
    "status": "http.response.status_code",
}
MAX_TEXT = 1024

_OWN = ("ca_server", "ceremony", "ocsp_responder", "gunicorn")


def configure_logs(clock: Clock, stream: TextIO | None = None) -> None:
    """Send what this process logs to `stream`, standard error by default; call it once, after fork."""
    target = stream or sys.stderr
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            _OnlyListedFields(clock),
            structlog.processors.JSONRenderer(),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(target),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(target)
    handler.setFormatter(_JSONFormatter(clock))
    handler.addFilter(lambda record: record.name.split(".")[0] in _OWN)
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class _OnlyListedFields:
    """Renames what is listed, drops what is not, and says by name what it dropped."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def __call__(self, _logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
        line: EventDict = {
            "@timestamp": to_text(self._clock.now()),
            "log.level": event.pop("level", "info"),
            "message": str(event["event"])[:MAX_TEXT],
            "event.action": str(event.pop("event"))[:MAX_TEXT],
        }
        exception = _exception(event.pop("exc_info", None))
        if exception is not None:
            line["error.type"] = type(exception).__name__
            line["error.stack_trace"] = frames(exception.__traceback__)
        dropped = sorted(event.keys() - FIELDS.keys())
        line.update({FIELDS[name]: _plain(event[name]) for name in FIELDS if name in event})
        if dropped:
            line["sealkeeper.dropped_fields"] = dropped
        return line


class _JSONFormatter(logging.Formatter):
    """The same shape for the few lines that come from the standard library's loggers."""

    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self._clock = clock

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "@timestamp": to_text(self._clock.now()),
            "log.level": record.levelname.lower(),
            "message": record.getMessage()[:MAX_TEXT],
            "log.logger": record.name,
        }
        if record.exc_info and record.exc_info[1] is not None:
            line["error.type"] = type(record.exc_info[1]).__name__
            line["error.stack_trace"] = frames(record.exc_info[2])
        return json.dumps(line)


def frames(trace: TracebackType | None) -> str:
    """Where it happened, without the exception's words or any value: those may hold what was sent."""
    return " <- ".join(
        f"{frame.filename.rsplit('/', 1)[-1]}:{frame.lineno} {frame.name}"
        for frame in reversed(traceback.extract_tb(trace))
    )


def _exception(exc_info: object) -> BaseException | None:
    if isinstance(exc_info, BaseException):
        return exc_info
    if isinstance(exc_info, tuple):
        exc_info = exc_info[1]
    elif exc_info:
        exc_info = sys.exc_info()[1]
    return exc_info if isinstance(exc_info, BaseException) else None


def _plain(value: object) -> object:
    """Numbers as they are, everything else as text that ends."""
    if isinstance(value, bool | int | float):
        return value
    if isinstance(value, list | tuple | set | frozenset):
        return [str(each)[:MAX_TEXT] for each in value]
    return str(value)[:MAX_TEXT]
