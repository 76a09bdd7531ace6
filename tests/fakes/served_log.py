"""The log's door on a real socket, so that programs of others can read it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flask import Flask
from werkzeug.serving import make_server

from ca_server.publish.audit import audit_blueprint
from ca_server.services.audit_reading import AuditReader
from tests.fakes.audit_log import AuditLog


def app_of(log: AuditLog) -> Flask:
    app = Flask("audit")
    app.register_blueprint(audit_blueprint(AuditReader(log.database), log.key.verifier_key))
    return app


@contextmanager
def served(log: AuditLog) -> Iterator[str]:
    """The URL of the log, below which `checkpoint` and tiles are."""
    server = make_server("127.0.0.1", 0, app_of(log), threaded=True)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/audit"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
