"""The CSR's challengePassword, in which EST binds a CSR to the connection it comes over (RFC 7030 §3.5)."""

from __future__ import annotations

import re

from asn1crypto.csr import CertificationRequest

from ca_server.core.csr import Csr
from ca_server.core.errors import Kind, refuse

# RFC 2985 §5.4.1 allows 255 characters of a DirectoryString; ours is base64, so printable ASCII is enough.
_PASSWORD = re.compile(r"[ -~]{1,255}")


def require_text(password: bytes) -> bytes:
    """The content of a challengePassword, if it is printable ASCII, whatever type it was declared as.

    Raises:
        CaError: bad_csr, `CSR-CHALLENGE-PASSWORD`.
    """
    if not _PASSWORD.fullmatch(password.decode("latin-1")):
        raise _refused()
    return password


def challenge_password(csr: Csr) -> str | None:
    """The one text of the request's challengePassword attribute; None without the attribute.

    Raises:
        CaError: bad_csr, `CSR-CHALLENGE-PASSWORD`: it holds something else than one printable ASCII text.
    """
    try:
        attributes = CertificationRequest.load(csr.der)["certification_request_info"]["attributes"]
        found = [
            list(each["values"].native) for each in attributes if each["type"].native == "challenge_password"
        ]
    except (ValueError, TypeError, KeyError) as error:
        # The attribute's content was nobody's business until now, and it is a stranger's.
        raise _refused() from error
    if not found:
        return None
    # parse_csr has refused an attribute that stands twice.
    match found[0]:
        case [str() as text] if _PASSWORD.fullmatch(text):
            return text
    raise _refused()


def _refused() -> Exception:
    return refuse(
        Kind.BAD_CSR,
        "CSR-CHALLENGE-PASSWORD",
        "challengePassword holds one text of 1 to 255 printable ASCII characters (RFC 2985 §5.4.1)",
        pointer="/csr",
    )
