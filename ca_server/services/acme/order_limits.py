"""What a new order costs its account, and what its certificate costs its names.

Names are counted when a certificate is made and only looked at when an order is: or anybody could use up
somebody else's names by orders that they cannot fulfil.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Sequence

from ca_server.core.acme.coverage import needed_scope
from ca_server.core.acme.resources import OrderName
from ca_server.core.acme.settings import AcmeLimits
from ca_server.core.identifiers import Identifier
from ca_server.services.acme.limits import Limit, Met, failure_subject, rate_of, spend, too_many
from ca_server.services.acme.pausing import require_unpaused
from ca_server.store import rate_limits
from ca_server.store.rate_limits import bucket_of
from ca_server.store.unit_of_work import UnitOfWork


def spend_order(
    unit: UnitOfWork,
    limits: AcmeLimits,
    account_id: str,
    names: Sequence[OrderName],
    now: int,
    *,
    is_free: bool,
) -> None:
    """Let an account make one more order, in the transaction that stores it.

    Names are in the client's order, so that refusals point at them; `now` is seconds since 1970. A free
    order costs nothing, but names that fail or are paused hold it up all the same.

    Raises:
        CaError: rate_limited, every broken rule of `ACME-LIMIT-...`.
    """
    require_unpaused(unit, account_id, names)
    asked = _failures(account_id, names)
    if not is_free:
        asked += _certificates(names)
    _require_room(unit, limits, asked, now)
    if not is_free:
        spend(unit, Limit.ORDERS_PER_ACCOUNT, account_id, limits.orders_per_account, now)


def count_certificates(
    unit: UnitOfWork, limits: AcmeLimits, certificates: Iterable[Collection[Identifier]], now: int
) -> None:
    """Count certificates, each given by its names, in the transaction that claims their orders.

    Nothing is refused any more: who has an order gets its certificate, and the next order meets the limit.
    Buckets are poured into in the order of their names, so that no two transactions wait for each other.
    """
    poured = []
    for names in certificates:
        poured.append((Limit.CERTIFICATES_PER_NAME_SET, _set_subject(names)))
        poured += [(Limit.CERTIFICATES_PER_NAME, str(each)) for each in names]
    for limit, subject in sorted(poured):
        rate = rate_of(limits, limit)
        rate_limits.pour(unit, limit, subject, bucket_of(rate.count, rate.seconds), now * 1000)


# A limit, whose bucket of it, and the place in the request that it is about.
_Asked = tuple[Limit, str, str | None]


def _failures(account_id: str, names: Sequence[OrderName]) -> list[_Asked]:
    subjects = [failure_subject(account_id, needed_scope(name).identifier) for name in names]
    return [(Limit.FAILURES_PER_NAME, each, f"/identifiers/{n}") for n, each in enumerate(subjects)]


def _certificates(names: Sequence[OrderName]) -> list[_Asked]:
    whole: _Asked = (Limit.CERTIFICATES_PER_NAME_SET, _set_subject([each.identifier for each in names]), None)
    each_name = [str(each.identifier) for each in names]
    return [
        whole,
        *((Limit.CERTIFICATES_PER_NAME, each, f"/identifiers/{n}") for n, each in enumerate(each_name)),
    ]


def _require_room(unit: UnitOfWork, limits: AcmeLimits, asked: Sequence[_Asked], now: int) -> None:
    met = []
    for limit, subject, pointer in asked:
        rate = rate_of(limits, limit)
        bucket = bucket_of(rate.count, rate.seconds)
        wait = rate_limits.find_wait(unit.connection, limit, subject, bucket, now * 1000)
        if wait:
            met.append(Met(limit, rate, pointer, wait))
    if met:
        raise too_many(met)


def _set_subject(names: Collection[Identifier]) -> str:
    return hashlib.sha256("\n".join(sorted(map(str, names))).encode()).hexdigest()
