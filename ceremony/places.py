"""Where in the bundle the certificates and requests of a script lie, by the names that it gives them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ca_server.core.bundle import certificate_path, extra_certificate_path, responder_path

if TYPE_CHECKING:
    from ceremony.profiles import Profile
    from ceremony.script import Script


def product_path(name: str, profile: Profile) -> str:
    """Where a profile's signed certificate lies."""
    if profile.type == "responder" and profile.issuer:
        return responder_path(profile.issuer)
    return extra_certificate_path(name) if profile.type in {"cross", "link"} else certificate_path(name)


def certificate_place(script: Script, name: str) -> str:
    """Where the certificate of this name lies: made here, or brought in."""
    if name in script.profiles:
        return product_path(name, script.profiles[name])
    return input_path(name)


def request_place(script: Script, name: str) -> str:
    """Where the CSR of this name lies: made here, or brought in."""
    return request_path(name) if name in script.requests else input_path(name)


def request_path(name: str) -> str:
    """Where a CSR that is made here lies."""
    return f"csrs/{name}.csr"


def input_path(name: str) -> str:
    """Where a file that was brought in lies."""
    return f"inputs/{name}"
