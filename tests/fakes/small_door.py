"""A door with a small application: `python -m tests.fakes.small_door LISTEN SECONDS [CERTIFICATE KEY]`.

GET answers with 8 MiB, POST with the size of the body that came. The door has two threads.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

from flask import Flask, request

from ca_server.patience import PatientSocket
from ca_server.rest.bodies import MAX_BODY_BYTES
from ca_server.serving import Door, DoorSettings, Opened
from ca_server.tls import TLSFiles

THREADS = 2
ANSWER = b"a" * (8 << 20)


def open_door() -> Opened:
    app = Flask(__name__)
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY_BYTES
    app.add_url_rule("/", "long", lambda: ANSWER)
    app.add_url_rule("/", "size", lambda: str(len(request.get_data())), methods=["POST"])
    return Opened(app, lambda: None)


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    listen, seconds, *files = sys.argv[1:]
    PatientSocket.seconds = float(seconds)
    certificate, key = (Path(each) for each in files) if files else (None, None)
    tls = TLSFiles(certificate, key) if certificate and key else None
    Door(DoorSettings("small", listen, 1, THREADS, tls), open_door).run()
