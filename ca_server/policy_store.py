"""The policies in force: read whole and checked whole when a process starts, from one directory.

A directory holds `keys.toml`, `identifiers.toml`, perhaps `approvals.toml`, and `profiles/NAME.toml`, and
nothing else that ends in `.toml`: a file that would be ignored is a mistake, and refused.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path

from ca_server.core.approvals import ApprovalRules, parse_approval_rules
from ca_server.core.document import MAX_DOCUMENT_BYTES
from ca_server.core.errors import CaError, Kind, refuse
from ca_server.core.profile import Profile, parse_profile
from ca_server.core.site import SiteRules, parse_key_floor, parse_name_floor

DEBIAN_LISTS = Path("/usr/share/openssl-blacklist")
_DEBIAN_NAMES = ("blacklist.RSA-2048", "blacklist.RSA-4096")
_DEBIAN_LINE = re.compile(r"[0-9a-f]{20}")

_KEYS = "keys.toml"
_NAMES = "identifiers.toml"
_APPROVALS = "approvals.toml"


class PolicyStore:
    """Profiles by name, the site's rules, and the SHA-256 of every file they came from."""

    def __init__(self, directory: Path | None = None, *, debian_lists: Path = DEBIAN_LISTS) -> None:
        """Read a directory; without one, the policies that come with Sealkeeper.

        Raises:
            CaError: malformed, with every broken rule of the first file that has one; not_found, a file
                is missing.
        """
        contents = _read(directory or default_directory())
        self.digests: Mapping[str, str] = {
            name: hashlib.sha256(data).hexdigest() for name, data in contents.items()
        }
        self.site = SiteRules(
            parse_key_floor(_take(contents, _KEYS), source=_KEYS),
            parse_name_floor(_take(contents, _NAMES), source=_NAMES),
        )
        self.approvals = (
            parse_approval_rules(contents[_APPROVALS], source=_APPROVALS)
            if _APPROVALS in contents
            else ApprovalRules()
        )
        self._profiles = _profiles(contents)
        self.debian_weak_keys = read_debian_lists(debian_lists)

    @property
    def names(self) -> frozenset[str]:
        """The names of all profiles."""
        return frozenset(self._profiles)

    def profile(self, name: str) -> Profile:
        """The profile of that name.

        Raises:
            CaError: not_found, `PROFILE-UNKNOWN`.
        """
        found = self._profiles.get(name)
        if found is None:
            known = ", ".join(sorted(self._profiles))
            raise refuse(
                Kind.NOT_FOUND,
                "PROFILE-UNKNOWN",
                f"there is no such profile; there are {known}",
                pointer="/profile",
            )
        return found


def default_directory() -> Path:
    """The policies that come with Sealkeeper: inside the wheel, or `policies/` of a checkout."""
    installed = Path(str(files("ca_server"))) / "default_policies"
    return installed if installed.is_dir() else installed.parent.parent / "policies"


def read_debian_lists(directory: Path) -> frozenset[str]:
    """The fingerprints in Debian's openssl-blacklist package (CVE-2008-0166); empty where it is absent.

    Raises:
        CaError: malformed, `POLICY-DEBIAN`; a list is there and is not what that package ships.
    """
    found: set[str] = set()
    for name in _DEBIAN_NAMES:
        path = directory / name
        if not path.is_file():
            continue
        lines = (line.strip() for line in path.read_text("ascii", "replace").splitlines())
        fingerprints = [line for line in lines if line and not line.startswith("#")]
        if not all(_DEBIAN_LINE.fullmatch(line) for line in fingerprints):
            raise refuse(Kind.MALFORMED, "POLICY-DEBIAN", f"{path} is not a list of openssl-blacklist")
        found.update(fingerprints)
    return frozenset(found)


def _read(directory: Path) -> dict[str, bytes]:
    """Every TOML file by its name relative to the directory."""
    try:
        paths = sorted(directory.rglob("*.toml"))
        return {str(path.relative_to(directory)): _read_capped(path) for path in paths}
    except OSError as error:
        raise CaError(Kind.NOT_FOUND, f"cannot read the policies in {directory}: {error.strerror}") from error


def _read_capped(path: Path) -> bytes:
    with path.open("rb") as file:
        # One byte beyond the cap is enough for the parser to refuse the file for its size.
        return file.read(MAX_DOCUMENT_BYTES + 1)


def _take(contents: Mapping[str, bytes], name: str) -> bytes:
    if name not in contents:
        raise refuse(Kind.NOT_FOUND, "POLICY-FILE", f"the policy directory has no {name}")
    return contents[name]


def _profiles(contents: Mapping[str, bytes]) -> dict[str, Profile]:
    found: dict[str, Profile] = {}
    for name, data in contents.items():
        if name in {_KEYS, _NAMES, _APPROVALS}:
            continue
        profile = parse_profile(data, source=name)
        if name != f"profiles/{profile.name}.toml":
            raise refuse(
                Kind.MALFORMED,
                "POLICY-FILE",
                f"{name} should be profiles/{profile.name}.toml, after its name",
            )
        found[profile.name] = profile
    if not found:
        raise refuse(Kind.NOT_FOUND, "POLICY-FILE", "the policy directory has no profiles/*.toml")
    return found
