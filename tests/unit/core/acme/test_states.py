"""What an order is follows from its authorizations and the time, and from nothing else."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ca_server.core.acme.resources import Status
from ca_server.core.acme.states import authorization_status, order_status

STORED = st.sampled_from([Status.PENDING, Status.PROCESSING, Status.VALID, Status.INVALID])
AUTHORIZED = st.lists(
    st.sampled_from([Status.PENDING, Status.VALID, Status.INVALID, Status.DEACTIVATED, Status.EXPIRED])
)


@pytest.mark.parametrize(
    ("stored", "expires_at", "expected"),
    [
        (Status.PENDING, 10, Status.EXPIRED),
        (Status.VALID, 10, Status.EXPIRED),
        (Status.PENDING, 11, Status.PENDING),
        (Status.VALID, 11, Status.VALID),
        (Status.INVALID, 10, Status.INVALID),
        (Status.DEACTIVATED, 10, Status.DEACTIVATED),
    ],
)
def test_an_authorization_ends_at_its_second(stored, expires_at, expected):
    assert authorization_status(stored, expires_at, now=10) is expected


@pytest.mark.parametrize(
    ("authorizations", "expected"),
    [
        ([Status.VALID, Status.VALID], Status.READY),
        ([Status.VALID, Status.PENDING], Status.PENDING),
        ([Status.VALID, Status.INVALID], Status.INVALID),
        ([Status.PENDING, Status.DEACTIVATED], Status.INVALID),
        ([Status.VALID, Status.EXPIRED], Status.INVALID),
        ([], Status.PENDING),
    ],
)
def test_an_open_order_is_what_its_authorizations_are(authorizations, expected):
    assert order_status(Status.PENDING, authorizations, expires_at=11, now=10) is expected
    assert order_status(Status.PENDING, authorizations, expires_at=10, now=10) is Status.INVALID


@given(stored=STORED, authorizations=AUTHORIZED, expires_at=st.integers(0, 20))
def test_ready_needs_every_authorization_and_settled_stays_settled(stored, authorizations, expires_at):
    found = order_status(stored, authorizations, expires_at, now=10)
    if stored is not Status.PENDING:
        assert found is stored
    if found is Status.READY:
        assert authorizations
        assert set(authorizations) == {Status.VALID}
        assert expires_at > 10
