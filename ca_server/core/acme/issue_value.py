"""The grammar that CAA `issue` properties and dns-persist-01 records share (RFC 8659 §4.2)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ca_server.core.errors import CaError, Kind, refuse

MAX_LENGTH = 4096

_LABEL = r"[A-Za-z0-9](?:-*[A-Za-z0-9])*"
_ISSUER = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_TAG = re.compile(_LABEL)
_VALUE = re.compile(r"[\x21-\x3a\x3c-\x7e]*")
_BLANKS = " \t"


@dataclass(frozen=True, slots=True)
class IssueValue:
    """An issuer's domain name in lower case, empty for nobody, and its parameters.

    Tags are in lower case; a tag may stand more than once, which is for the reader to judge.
    """

    issuer: str
    parameters: tuple[tuple[str, str], ...]

    def values(self, tag: str) -> tuple[str, ...]:
        """Every value of a parameter, in order."""
        return tuple(value for name, value in self.parameters if name == tag)


def parse_issue_value(text: str) -> IssueValue:
    """Read an issue-value.

    Raises:
        CaError: malformed, `ACME-ISSUE-VALUE`.
    """
    if len(text) > MAX_LENGTH:
        raise _malformed(f"it has over {MAX_LENGTH} characters")
    issuer_text, semicolon, rest = text.partition(";")
    issuer = issuer_text.strip(_BLANKS)
    if issuer and not _ISSUER.fullmatch(issuer):
        raise _malformed("it does not begin with a domain name")
    parameters: tuple[tuple[str, str], ...] = ()
    if semicolon and rest.strip(_BLANKS):
        parameters = tuple(_parameter(each) for each in rest.split(";"))
    return IssueValue(issuer.lower(), parameters)


def _parameter(text: str) -> tuple[str, str]:
    tag, equals, value = (each.strip(_BLANKS) for each in text.partition("="))
    if not equals or not _TAG.fullmatch(tag):
        raise _malformed("after a semicolon comes tag=value")
    if not _VALUE.fullmatch(value):
        raise _malformed(f"the value of {tag[:40]} has characters that may not stand there")
    return tag.lower(), value


def _malformed(reason: str) -> CaError:
    return refuse(Kind.MALFORMED, "ACME-ISSUE-VALUE", f"a record is not as RFC 8659 has it: {reason}")
