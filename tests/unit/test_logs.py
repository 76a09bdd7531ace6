"""R23: what is not on the list does not reach the log, whatever is thrown at it."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from ca_server.logs import FIELDS, MAX_TEXT, configure_logs
from tests.fakes.clock import SetClock

CANARY = "canary-sk_0123456789"


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    target = io.StringIO()
    configure_logs(SetClock(), target)
    yield target
    structlog.reset_defaults()
    root.handlers[:], root.level = before


def lines(stream):
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_the_names_of_ecs(stream):
    structlog.get_logger("x").info("certificate.issue", outcome="success", request_id="r-1", status=201)
    assert lines(stream) == [
        {
            "@timestamp": "2027-03-01T12:00:00Z",
            "log.level": "info",
            "message": "certificate.issue",
            "event.action": "certificate.issue",
            "event.outcome": "success",
            "http.request.id": "r-1",
            "http.response.status_code": 201,
        }
    ]


def test_r23_a_field_that_is_not_listed_is_dropped_and_named(stream):
    structlog.get_logger("x").info("x.y", token=CANARY, pin=CANARY, csr=CANARY, principal="token:1")
    assert CANARY not in stream.getvalue()
    assert lines(stream)[0]["sealkeeper.dropped_fields"] == ["csr", "pin", "token"]
    assert lines(stream)[0]["user.name"] == "token:1"


def test_r23_an_exception_is_its_type_and_place_and_not_its_words(stream):
    log = structlog.get_logger("x")
    try:
        int(CANARY)
    except ValueError as error:
        log.exception("x.failed")
        log.warning("x.failed", exc_info=error)
        logging.getLogger("ca_server.hsm").exception("hsm.failed")
    assert CANARY not in stream.getvalue()
    for line in lines(stream):
        assert line["error.type"] == "ValueError"
        assert "test_logs.py" in line["error.stack_trace"]


def test_r23_other_peoples_loggers_do_not_reach_the_log(stream):
    logging.getLogger("urllib3.connection").error(CANARY)
    logging.getLogger("werkzeug").error(CANARY)
    assert stream.getvalue() == ""


def test_no_value_can_break_a_line_or_fill_the_disk(stream):
    structlog.get_logger("x").info("x.y", reason="a\nb" * MAX_TEXT, rule_ids=("A", "B"), serial=b"\x00")
    (line,) = lines(stream)
    assert len(line["event.reason"]) == MAX_TEXT
    assert line["sealkeeper.rule_ids"] == ["A", "B"]


def test_names_in_the_log_are_used_once():
    assert len(set(FIELDS.values())) == len(FIELDS)
