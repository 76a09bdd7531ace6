"""What a folder of `sealkeeper enroll` remembers, so that its timer needs to name the folder alone."""

from __future__ import annotations

import json
import re
from typing import Annotated
from urllib.parse import urlsplit

from cryptography import x509
from pydantic import BeforeValidator, Field

from ca_server.cli.private_keys import CURVES, ClientKey, make_key, parse_name
from ca_server.core.document import Strict, parse_document
from ca_server.core.errors import CaError, Kind
from ca_server.core.profile_words import tuple_of_list

KEY_TYPES = (*CURVES, "Ed25519", "RSA-2048", "RSA-3072", "RSA-4096")
WELL_KNOWN = "/.well-known/est"

_PATH = re.compile(rf"{WELL_KNOWN}(/[A-Za-z0-9._~-]+)?")
_HEADING = (
    "# Written by `sealkeeper enroll`, which needs no option but --dir from now on. It holds no secret.\n"
)


class Settings(Strict):
    """Where to enrol, for which names, with which kind of key, and what to run afterwards.

    `secret_file` is the path of the enrolment secret, never the secret.
    """

    url: str
    names: Annotated[tuple[str, ...], Field(min_length=1), BeforeValidator(tuple_of_list)]
    common_name: str | None = None
    key_type: str = KEY_TYPES[0]
    keep_key: bool = False
    hook: str | None = None
    secret_file: str | None = None

    def as_toml(self) -> str:
        """The document that `parse_settings` reads; a JSON string of printable text is one of TOML too."""
        given = self.model_dump(exclude_none=True)
        lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}\n" for name, value in given.items()]
        return _HEADING + "".join(lines)

    def make_key(self) -> ClientKey:
        """A new private key of the kind that is asked for."""
        if self.key_type == "Ed25519":
            return make_key("OKP", "Ed25519", 0)
        if self.key_type.startswith("RSA-"):
            return make_key("RSA", "", int(self.key_type.removeprefix("RSA-")))
        return make_key("EC", self.key_type, 0)

    def general_names(self) -> list[x509.GeneralName]:
        """The names as a CSR asks for them."""
        return [parse_name(text) for text in self.names]


def parse_settings(data: bytes) -> Settings:
    """The settings that a folder's `enroll.toml` holds.

    Raises:
        CaError: malformed; ENROLL-SIZE, ENROLL-TOML, ENROLL-UNKNOWN-KEY, ENROLL-MISSING or ENROLL-VALUE.
    """
    return checked(parse_document(data, Settings, "enroll.toml", rule="ENROLL"))


def checked(settings: Settings) -> Settings:
    """The same settings with their URL complete; people give it with and without its well-known path.

    Raises:
        CaError: malformed; a value that no enrolment can be made with.
    """
    texts = (settings.url, *settings.names, settings.common_name, settings.hook, settings.secret_file)
    if not all(text and text.isprintable() for text in texts if text is not None):
        raise CaError(Kind.MALFORMED, "settings are printable text, and none is empty")
    if settings.key_type not in KEY_TYPES:
        raise CaError(Kind.MALFORMED, f"key_type is one of {', '.join(KEY_TYPES)}")
    settings.general_names()
    return settings.model_copy(update={"url": _complete(settings.url)})


def _complete(url: str) -> str:
    try:
        parts = urlsplit(url)
        good = parts.scheme == "https" and parts.hostname and "@" not in parts.netloc and parts.port != 0
    except ValueError:
        good = None
    path = parts.path.rstrip("/") or WELL_KNOWN if good else ""
    if not good or parts.query or parts.fragment or not _PATH.fullmatch(path):
        raise CaError(
            Kind.MALFORMED,
            f"the URL of an EST server looks like https://ca.example.com:8443{WELL_KNOWN}/LABEL,"
            " where LABEL may be left out",
        )
    return f"https://{parts.netloc}{path}"
