"""What a browser has a FIDO token sign: client data around the message (WebAuthn §5.8.1, PROTOCOL.u2f).

OpenSSH compares how the client data begins. Here it must also be JSON of one meaning, from a page of the
application that the key belongs to, and not from within somebody else's page.
"""

from __future__ import annotations

import hashlib
import re

from ca_server.core.base64url import encode_base64url
from ca_server.core.ceremony.ssh_wire import WireError
from ca_server.core.strict_json import parse_json

WEBAUTHN = "webauthn-sk-ecdsa-sha2-nistp256@openssh.com"

_ORIGIN = re.compile(r"https://([a-z0-9.-]{1,253})(?::[0-9]{1,5})?")


def client_data_digest(client_data: bytes, origin: str, application: str, challenge: bytes) -> bytes:
    """The SHA-256 of client data that asks for this challenge's signature on a page of the application.

    Raises:
        WireError: it is something else.
    """
    host = _ORIGIN.fullmatch(origin)
    if not host or not f".{host[1]}".endswith(f".{application}"):
        raise WireError("it was made on a page that does not belong to its key's application")
    encoded = encode_base64url(challenge)
    beginning = f'{{"type":"webauthn.get","challenge":"{encoded}","origin":"{origin}"'
    if not client_data.startswith(beginning.encode()):
        raise WireError("its client data is not about this message")
    try:
        content = parse_json(client_data)
    except ValueError as error:
        raise WireError("its client data is not JSON") from error
    if content.get("crossOrigin", False) is not False:
        raise WireError("it was made within a page of somebody else")
    return hashlib.sha256(client_data).digest()
