"""The name of a key in a token, as an RFC 7512 URI: `pkcs11:token=issuing;object=i1;id=%0A;type=private`.

A deliberate part of RFC 7512: the attributes that find a key (token, object, id, type) and no other, since
one that was ignored would name another key than its writer meant. A PIN never stands in a URI.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Self
from urllib.parse import quote, unquote_to_bytes

from ca_server.core.errors import CaError, Kind, refuse

_SCHEME = "pkcs11:"
_SIZE_LIMIT = 1024
# CK_TOKEN_INFO.label has 32 octets; the others are limits of our own.
_TOKEN_LIMIT = 32
_LABEL_LIMIT = 128
_ID_LIMIT = 64
_ATTRIBUTE = re.compile(
    # pk11-attr-name "=" *pk11-pchar (RFC 7512 §2.3)
    r"(?P<name>[a-z][a-z0-9-]{0,31})=(?P<value>(?:[A-Za-z0-9._~:\[\]@!$'()*+,=&-]|%[0-9A-Fa-f]{2})*)"
)
_NAMES = frozenset({"token", "object", "id", "type"})


@dataclass(frozen=True, slots=True)
class KeyUri:
    """A private key: the token's label, and the key's label, its id (octets) or both."""

    token: str
    label: str | None = None
    key_id: bytes | None = None

    def __post_init__(self) -> None:
        _check_text("token", self.token, _TOKEN_LIMIT)
        if self.label is not None:
            _check_text("object", self.label, _LABEL_LIMIT)
        if self.key_id is not None and not 0 < len(self.key_id) <= _ID_LIMIT:
            raise _refusal(f"the id has 1 to {_ID_LIMIT} octets")
        if self.label is None and self.key_id is None:
            raise _refusal("a key is named by object, id or both")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read a URI strictly; nothing of it is ignored.

        Raises:
            CaError: malformed, HSM-URI. The words never repeat a value, which could be a PIN.
        """
        if len(text) > _SIZE_LIMIT:
            raise _refusal(f"longer than {_SIZE_LIMIT} characters")
        if not text.startswith(_SCHEME):
            raise _refusal("it begins with pkcs11:")
        path, question_mark, query = text.removeprefix(_SCHEME).partition("?")
        if question_mark:
            raise _query_refusal(query)
        found: dict[str, bytes] = {}
        for part in path.split(";"):
            attribute = _ATTRIBUTE.fullmatch(part)
            if attribute is None:
                raise _refusal("between semicolons stand attributes, name=value, percent-encoded")
            name = attribute["name"]
            if name not in _NAMES:
                raise _refusal(f"the attribute {name} is not supported; token, object, id and type are")
            if name in found:
                raise _refusal(f"the attribute {name} stands twice")
            found[name] = unquote_to_bytes(attribute["value"])
        if found.get("type", b"private") != b"private":
            raise _refusal("type is private")
        if "token" not in found:
            raise _refusal("the token is not named")
        label = _text("object", found["object"]) if "object" in found else None
        return cls(_text("token", found["token"]), label, found.get("id"))

    def __str__(self) -> str:
        """The one spelling that we write; every octet of the id is percent-encoded (RFC 7512 §2.3)."""
        parts = [f"token={quote(self.token, safe='')}"]
        if self.label is not None:
            parts.append(f"object={quote(self.label, safe='')}")
        if self.key_id is not None:
            parts.append("id=" + "".join(f"%{octet:02X}" for octet in self.key_id))
        return _SCHEME + ";".join([*parts, "type=private"])


def _refusal(detail: str) -> CaError:
    return refuse(Kind.MALFORMED, "HSM-URI", f"not a PKCS#11 URI of a key (RFC 7512): {detail}")


def _query_refusal(query: str) -> CaError:
    names = [part.partition("=")[0] for part in query.split("&")]
    if "pin-value" in names or "pin-source" in names:
        return _refusal("a PIN never stands in a URI; it comes from a file, a credential or a prompt")
    return _refusal("it has no query; the module is named in the settings of the token")


def _text(name: str, value: bytes) -> str:
    try:
        return value.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _refusal(f"the attribute {name} is not UTF-8") from error


def _check_text(name: str, value: str, limit: int) -> None:
    try:
        size = len(value.encode("utf-8"))
    except UnicodeEncodeError as error:
        raise _refusal(f"the attribute {name} is not text") from error
    if not 0 < size <= limit:
        raise _refusal(f"the attribute {name} has 1 to {limit} octets")
    if not value.isprintable() or value != value.strip(" "):
        # A token pads its label with blanks, so a blank at the end could never be found again.
        raise _refusal(f"the attribute {name} is printable text without blanks at its ends")
