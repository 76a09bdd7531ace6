"""How often something may happen, as the configuration writes it: `300/3h`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated

from pydantic import BeforeValidator

from ca_server.core.document import broken

_RATE = re.compile(r"([1-9][0-9]{0,8})/([1-9][0-9]{0,6})([dhms])")
_UNITS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many in so many seconds, as `300/3h` writes it."""

    count: int
    seconds: int


def _rate(value: object) -> object:
    match = _RATE.fullmatch(value) if isinstance(value, str) else None
    if not match:
        raise broken("CONFIG-RATE", "use a number in a length of time, such as 300/3h")
    return Rate(count=int(match[1]), seconds=int(match[2]) * _UNITS[match[3]])


RateText = Annotated[Rate, BeforeValidator(_rate)]
