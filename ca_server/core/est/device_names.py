"""Names that a device may have because of its own identity: patterns with words of its subject (R17)."""

from __future__ import annotations

import re

from cryptography import x509

from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.name_patterns import parse_pattern
from ca_server.core.profile_words import ATTRIBUTES

_WORD = re.compile(r"\{([a-z_]+)\}")
# What means something in a pattern or between the parts of a name is not among these.
_VALUE = re.compile(r"[A-Za-z0-9._-]{1,64}", re.ASCII)


def require_device_pattern(text: str) -> None:
    """Pass only a name pattern in which `{serial_number}` and the other subject words may stand.

    Raises:
        CaError: malformed, `NAME-PATTERN`.
    """
    unknown = [word for word in _WORD.findall(text) if word not in ATTRIBUTES]
    if unknown:
        known = ", ".join(sorted(ATTRIBUTES))
        raise refuse(Kind.MALFORMED, "NAME-PATTERN", f"{{{unknown[0]}}} is no subject word; use {known}")
    parse_pattern(_WORD.sub("x", text))


def device_patterns(templates: tuple[str, ...], subject: x509.Name) -> tuple[str, ...]:
    """What the patterns are for the device with this subject; one whose words it lacks stands for nothing.

    Raises:
        CaError: unauthenticated, `ACCESS-DEVICE-NAME`: a word's value could mean more than itself, or
            stands twice.
    """
    return tuple(each for each in (_filled(template, subject) for template in templates) if each)


def _filled(template: str, subject: x509.Name) -> str | None:
    values = {word: _value(word, subject) for word in _WORD.findall(template)}
    if None in values.values():
        return None
    filled = _WORD.sub(lambda found: str(values[found[1]]), template)
    try:
        parse_pattern(filled)
    except CaError as error:
        raise _refused("does not fit into a name") from error
    return filled


def _value(word: str, subject: x509.Name) -> str | None:
    found = subject.get_attributes_for_oid(ATTRIBUTES[word])
    if not found:
        return None
    text = str(found[0].value)
    if len(found) > 1 or not _VALUE.fullmatch(text):
        raise _refused(f"has a {word} that is not one of 1 to 64 letters, digits, dots, '_' and '-'")
    return text


def _refused(detail: str) -> CaError:
    return refuse(Kind.UNAUTHENTICATED, "ACCESS-DEVICE-NAME", f"the device certificate's subject {detail}")
