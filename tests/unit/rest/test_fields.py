"""What comes in is of exactly one shape."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from ca_server.rest.fields import CertificateCursor, CertificateId, RecordId, Time
from ca_server.rest.schemas import NewCertificateRequest, NewCredential, NewRevocation

TIME = TypeAdapter(Time)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2027-01-31T00:00:00Z", datetime(2027, 1, 31, tzinfo=UTC)),
        ("2027-01-31t01:30:00.5+01:30", datetime(2027, 1, 31, tzinfo=UTC)),
    ],
)
def test_a_time_is_rfc_3339(text, expected):
    assert TIME.validate_python(text) == expected


@pytest.mark.parametrize(
    "value",
    [
        "2027-01-31",
        "2027-01-31T00:00:00",
        "20270131T000000Z",
        "2027-W04-7T00:00:00Z",
        "2027-02-30T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "9999-12-31T23:59:59-23:59",
        "now",
        "",
        1_800_000_000,
        1.5,
        True,
        None,
        ["2027-01-31T00:00:00Z"],
    ],
)
def test_nothing_else_is_a_time(value):
    with pytest.raises(ValidationError):
        TIME.validate_python(value)


@given(st.text() | st.integers() | st.none() | st.lists(st.text()))
def test_any_value_is_a_time_or_refused(value):
    with contextlib.suppress(ValidationError):
        assert TIME.validate_python(value).tzinfo is not None


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        (CertificateId, "0" * 64, ["0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n", "%" * 64]),
        (
            RecordId,
            "01a400f6-3600-7b30-b1ba-d7122ce25ce7",
            ["", "x", "01a400f6-3600-7b30-b1ba-d7122ce25ce7\n"],
        ),
        (CertificateCursor, "1.2", ["1", "1.", ".1", "1.2.3", "-1.2", "1" * 19 + ".1", "1.2\n"]),
    ],
)
def test_ids_and_cursors_have_one_shape(kind, good, bad):
    adapter = TypeAdapter(kind)
    assert adapter.validate_python(good) == good
    for text in bad:
        with pytest.raises(ValidationError):
            adapter.validate_python(text)


@pytest.mark.parametrize(
    ("model", "body"),
    [
        (NewCertificateRequest, {"profile": "tls-server"}),
        (NewCertificateRequest, {"profile": "tls-server", "csr": "x", "subject": "me"}),
        (NewCertificateRequest, {"profile": "../etc", "csr": "x"}),
        (NewCertificateRequest, {"profile": "tls-server", "csr": "ä"}),
        (NewCertificateRequest, {"profile": "tls-server", "csr": "\x00"}),
        (NewCertificateRequest, {"profile": "tls-server", "csr": 7}),
        (NewRevocation, {"reason": 1}),
        (NewRevocation, {}),
        (NewCredential, {"name": "x", "role": "root"}),
        (NewCredential, {"name": "x", "role": ["auditor"]}),
        (NewCredential, {"name": "x", "role": "auditor", "valid_days": "90"}),
        (NewCredential, {"name": "x", "role": "auditor", "valid_days": True}),
        (NewCredential, {"name": "x", "role": "auditor", "valid_days": 401}),
        (NewCredential, {"name": "x\ny", "role": "auditor"}),
        (NewCredential, {"name": "x", "role": "auditor", "names": "*"}),
    ],
)
def test_bodies_are_strict(model, body):
    with pytest.raises(ValidationError):
        model.model_validate(body)
