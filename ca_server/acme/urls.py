"""Absolute URLs under the name by which a client knows us, and no other (RFC 8555 §6.4, §7.1).

A request's URL is part of what its client signs. It is built from the Host header, but only of a name that
is configured: a server in the middle that shows its own name relays nothing.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from dataclasses import dataclass

from flask import g, request
from werkzeug.routing import BaseConverter

from ca_server.core.acme.resources import PROTOCOL
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.profile import Profile
from ca_server.policy_store import PolicyStore

PREFIX = "/acme"
ROOT = f"{PREFIX}/<profile>"

# A port has one form, as each form would be a directory of its own.
_HOST = re.compile(
    r"(?P<name>[a-z0-9.-]{1,253}|\[[0-9a-f:.]{2,45}\])(?::(?P<port>[1-9][0-9]{0,4}))?", re.IGNORECASE
)
_MAX_PORT = 65_535


class IdConverter(BaseConverter):
    """An id as we make them; another is no route of ours and never reaches the database."""

    regex = "[A-Za-z0-9_-]{32,64}"


@dataclass(frozen=True, slots=True)
class Directory:
    """One profile's own ACME server, under the name that this client calls us by."""

    origin: str
    profile: Profile

    def url(self, *parts: str | int) -> str:
        """The URL of something in this directory."""
        return "/".join((f"{self.origin}{PREFIX}/{self.profile.name}", *map(str, parts)))

    def account_id(self, url: str) -> str | None:
        """The id in the URL of an account of this directory, or None where it is another URL."""
        prefix = self.url("account", "")
        name = url.removeprefix(prefix)
        is_id = url.startswith(prefix) and re.fullmatch(IdConverter.regex, name)
        return name if is_id else None


def directory() -> Directory:
    """The directory that this request is for; set by `requests.admit` before any handler runs."""
    found: Directory = g.directory
    return found


def open_directory(policies: PolicyStore, hosts: Collection[str], profile_name: str) -> Directory:
    """The directory of a profile for the name in this request's Host header.

    Raises:
        CaError: malformed, `ACME-HOST`; not_found, `ACME-DIRECTORY`.
    """
    host = request.environ.get("HTTP_HOST", "")
    match = _HOST.fullmatch(host)
    if match is None or match["name"].lower().strip("[]") not in hosts:
        raise refuse(Kind.MALFORMED, "ACME-HOST", "this server is not known by the name in the Host header")
    if int(match["port"] or 0) > _MAX_PORT:
        raise refuse(Kind.MALFORMED, "ACME-HOST", "the Host header has a port that there is not")
    profile = acme_profile(policies, profile_name)
    if profile is None:
        raise refuse(Kind.NOT_FOUND, "ACME-DIRECTORY", "there is no such directory")
    return Directory(f"https://{host}", profile)


def acme_profile(policies: PolicyStore, name: str) -> Profile | None:
    """The profile of that name, if ACME clients may ask for it."""
    if name not in policies.names:
        return None
    profile = policies.profile(name)
    return profile if PROTOCOL in profile.requesters.protocols else None


def request_url() -> str:
    """The URL of this request as its client must have signed it, query and all."""
    query = request.environ.get("QUERY_STRING", "")
    path = f"{directory().origin}{request.path}"
    return f"{path}?{query}" if query else path


def unknown(what: str) -> CaError:
    """There is no such thing, or it is not this account's: which of the two is not told."""
    return refuse(Kind.NOT_FOUND, "ACME-UNKNOWN", f"this account has no such {what}")
