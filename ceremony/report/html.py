"""The report as one HTML file: no script, no request to anywhere, nothing that a name could smuggle in."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING, Any

from ca_server import __version__
from ca_server.core.clock import to_text
from ca_server.core.errors import CaError, Kind
from ceremony.report.drawing import draw_timeline, draw_tree, duration
from ceremony.report.facts import Facts

if TYPE_CHECKING:
    from jinja2 import Environment

TEMPLATE = "report.html.jinja"
_ALLOWED = frozenset("\n\t")


def render(facts: Facts) -> str:
    """The report; the same bundle always gives the same text.

    Raises:
        CaError: not_ready, the extra `report` is not installed.
    """
    return (
        _environment()
        .get_template(TEMPLATE)
        .render(
            facts=facts,
            timeline=draw_timeline(facts.story),
            tree=draw_tree(facts.certificates),
            version=__version__,
        )
    )


def visible(value: Any) -> Any:
    """A text whose characters of no shape are spelled out, so that none hides, reorders or ends anything."""
    if type(value) is not str:
        return value
    return "".join(
        f"[U+{ord(each):04X}]" if unicodedata.category(each)[0] == "C" and each not in _ALLOWED else each
        for each in value
    )


def _environment() -> Environment:
    try:
        import jinja2  # noqa: PLC0415 - an extra: the base has no need of it
    except ImportError as error:
        detail = "reports need the extra 'report': pip install 'sealkeeper[report]'"
        raise CaError(Kind.NOT_READY, detail) from error
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("ceremony.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        finalize=visible,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"utc": to_text, "duration": duration}
    return environment
