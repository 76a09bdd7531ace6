"""What stands between the prefix and the operation: which profile a client asks for (RFC 7030 §3.2.2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ca_server.core.errors import Kind, refuse
from ca_server.core.est.resources import PROTOCOL
from ca_server.core.est.settings import EstConfig
from ca_server.core.profile import Profile
from ca_server.policy_store import PolicyStore


@dataclass(frozen=True, slots=True)
class Label:
    """Where a client knocked: `name` is None without a label, and `profile` where that leads to none.

    `line_length` is what an answer's base64 is broken to, None where the label does not say.
    """

    name: str | None
    profile: Profile | None
    line_length: int | None = None

    def require_profile(self) -> Profile:
        """The profile that a certificate is asked of.

        Raises:
            CaError: not_found, `EST-LABEL`.
        """
        if self.profile is None:
            raise refuse(
                Kind.NOT_FOUND,
                "EST-LABEL",
                "this server has no default: give a label, as in /.well-known/est/LABEL/simpleenroll",
            )
        return self.profile


class Labels:
    """All labels of this server; the profiles and the configuration are read once a process."""

    def __init__(self, settings: EstConfig, policies: PolicyStore) -> None:
        """Find the profile of each label.

        Raises:
            CaError: malformed, `CONFIG-EST-PROFILE`; a label or the default leads to no profile of EST.
        """
        profiles = _profiles(policies)
        found: dict[str | None, Label] = {None: Label(None, None)}
        found |= {name: Label(name, profile) for name, profile in profiles.items()}
        if settings.default_profile is not None:
            found[None] = Label(None, _profile(profiles, settings.default_profile))
        for each in settings.label:
            found[each.name] = Label(each.name, _profile(profiles, each.profile), each.line_length)
        self._known = found

    def find(self, name: str | None) -> Label:
        """The label of that name, or what clients get that give none.

        Raises:
            CaError: not_found, `EST-LABEL`.
        """
        found = self._known.get(name)
        if found is None:
            known = ", ".join(sorted(each for each in self._known if each is not None))
            raise refuse(Kind.NOT_FOUND, "EST-LABEL", f"there is no such label; there are {known or 'none'}")
        return found


def _profiles(policies: PolicyStore) -> Mapping[str, Profile]:
    every = (policies.profile(name) for name in policies.names)
    return {each.name: each for each in every if PROTOCOL in each.requesters.protocols}


def _profile(profiles: Mapping[str, Profile], name: str) -> Profile:
    if name not in profiles:
        known = ", ".join(sorted(profiles)) or "none"
        raise refuse(
            Kind.MALFORMED,
            "CONFIG-EST-PROFILE",
            f"[est] leads to the profile {name}, but these profiles allow the protocol est: {known}",
        )
    return profiles[name]
