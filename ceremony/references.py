"""Whether the parts of a script name each other rightly: tokens, keys and authorities."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TypeVar

from ca_server.core.document import refuse_all
from ca_server.core.errors import Violation
from ca_server.core.signatures import KeyType
from ceremony.script import Authority, Script

Value = TypeVar("Value")

_LOG_KEY_TYPES = {KeyType.ED25519, KeyType.EC_P256}


def check_references(script: Script) -> None:
    """Pass a script whose every name leads somewhere, and whose every key has one purpose.

    Raises:
        CaError: malformed, all that is wrong at once.
    """
    uses = dict(_key_uses(script))
    violations = (*_names(script, uses), *_separation(script, uses), *_shape(script))
    if violations:
        raise refuse_all("script", violations)


def _authorities(script: Script) -> tuple[tuple[str, Authority], ...]:
    subordinate = ((f"/issuing/{index}", each) for index, each in enumerate(script.issuing))
    return ("/root", script.root), *subordinate


def _key_uses(script: Script) -> Iterator[tuple[str, tuple[str, str]]]:
    """Where a key is named -> which key, and the role that it plays there."""
    yield "/root/key", (script.root.key, "root")
    for index, authority in enumerate(script.issuing):
        yield f"/issuing/{index}/key", (authority.key, "issuing")
    for index, responder in enumerate(script.responders):
        yield f"/responders/{index}/key", (responder.key, "responder")
    yield "/log/key", (script.log.key, "log")


def _names(script: Script, uses: dict[str, tuple[str, str]]) -> Iterator[Violation]:
    for pointer, (alias, _) in uses.items():
        if alias not in script.keys:
            yield Violation("CEREMONY-REFERENCE", f"there is no key '{alias}'", pointer)
    for alias, key in script.keys.items():
        if key.token not in script.tokens:
            yield Violation("CEREMONY-REFERENCE", f"there is no token '{key.token}'", f"/keys/{alias}/token")
    used = [alias for alias, _ in uses.values()]
    for alias in _repeated(used):
        yield Violation("CEREMONY-KEY-PURPOSE", f"key '{alias}' has more than one purpose", f"/keys/{alias}")
    for alias in script.keys.keys() - set(used):
        yield Violation("CEREMONY-UNUSED", f"nothing uses key '{alias}'", f"/keys/{alias}")
    for token in set(script.tokens) - {key.token for key in script.keys.values()}:
        yield Violation("CEREMONY-UNUSED", f"no key is in token '{token}'", "/tokens")
    issuing = {authority.id for authority in script.issuing}
    for index, responder in enumerate(script.responders):
        if responder.authority not in issuing:
            detail = f"there is no issuing authority '{responder.authority}'"
            yield Violation("CEREMONY-REFERENCE", detail, f"/responders/{index}/authority")


def _separation(script: Script, uses: dict[str, tuple[str, str]]) -> Iterator[Violation]:
    """Root, issuing authorities, responders and log each live in tokens, and so behind PINs, of their own."""
    roles: dict[str, set[str]] = {}
    for alias, role in uses.values():
        if alias in script.keys:
            roles.setdefault(script.keys[alias].token, set()).add(role)
    for token, found in roles.items():
        if len(found) > 1:
            detail = f"token '{token}' holds keys of {' and '.join(sorted(found))}; give each its own"
            yield Violation("CEREMONY-TOKEN-ROLE", detail, "/tokens")
    for place in _repeated((key.token, key.label) for key in script.keys.values()):
        detail = f"two keys in token '{place[0]}' are labelled '{place[1]}'"
        yield Violation("CEREMONY-LABEL-REPEATED", detail, "/keys")


def _shape(script: Script) -> Iterator[Violation]:
    authorities = _authorities(script)
    for name in _repeated(authority.id for _, authority in authorities):
        yield Violation("CEREMONY-ID-REPEATED", f"two authorities are called '{name}'", "/issuing")
    for subject in _repeated(authority.subject.name() for _, authority in authorities):
        detail = f"two authorities have the subject '{subject.rfc4514_string()}'"
        yield Violation("CEREMONY-SUBJECT-REPEATED", detail, "/issuing")
    if len(set(script.tokens)) != len(script.tokens):
        yield Violation("CEREMONY-ID-REPEATED", "a token is named twice", "/tokens")
    limit = script.root.path_length
    for index, authority in enumerate(script.issuing):
        if limit is not None and authority.path_length >= limit:
            detail = f"the root allows a path length below {limit} here"
            yield Violation("CEREMONY-PATH-LENGTH", detail, f"/issuing/{index}/path_length")
    answered = Counter(responder.authority for responder in script.responders)
    for index, authority in enumerate(script.issuing):
        if answered[authority.id] != 1:
            detail = f"authority '{authority.id}' needs exactly one responder"
            yield Violation("CEREMONY-RESPONDER", detail, f"/issuing/{index}")
    log_key = script.keys.get(script.log.key)
    if log_key and log_key.type not in _LOG_KEY_TYPES:
        yield Violation("CEREMONY-LOG-KEY", "the log's key is ed25519 or ec-p256", "/log/key")


def _repeated(values: Iterable[Value]) -> list[Value]:
    return [value for value, count in Counter(values).items() if count > 1]
