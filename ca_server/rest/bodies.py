"""Reads what strangers send: caps on bytes read before anything is parsed, then strict JSON (R31, R32).

The cap holds for chunked bodies too, because it counts what was read and not what a header promised.
"""

from __future__ import annotations

from typing import Any

from flask import request
from flask.json.provider import DefaultJSONProvider
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, UnsupportedMediaType

from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.strict_json import parse_json

MAX_BODY_BYTES = 128 * 1024


class StrictJSON(DefaultJSONProvider):
    """JSON as `core.strict_json` reads it."""

    sort_keys = False

    def loads(self, s: str | bytes, **_keywords: Any) -> Any:
        """The value of a JSON text.

        Raises:
            ValueError: the text is not such JSON.
        """
        return parse_json(s)


def require_json_object() -> None:
    """Read and parse the body of this request; handlers then find it parsed.

    Raises:
        CaError: malformed, `REST-JSON`.
        UnsupportedMediaType: the body is not declared as `application/json`, or is compressed.
        RequestEntityTooLarge: more than `MAX_BODY_BYTES` came.
    """
    if request.mimetype != "application/json" or request.content_encoding not in {None, "identity"}:
        raise UnsupportedMediaType
    try:
        request.get_data(cache=True)
        # At the cap a stream ends as if the body did; only asking for more tells the two apart.
        request.stream.read(1)
        body = request.get_json()
    except (BadRequest, ParseException) as error:
        raise _not_json("the body is not JSON") from error
    if not isinstance(body, dict):
        raise _not_json("the body is not a JSON object")


def require_single_query_parameters() -> None:
    """Refuse a parameter that is given twice: which of them counts would be a guess.

    Raises:
        CaError: malformed, `REST-QUERY`.
    """
    if any(len(values) > 1 for values in request.args.listvalues()):
        raise refuse(Kind.MALFORMED, "REST-QUERY", "a query parameter is given more than once")


def _not_json(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "REST-JSON", detail)
