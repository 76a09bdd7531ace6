"""A door on a unix socket: who on this machine may connect to it."""

from __future__ import annotations

import logging
import os
import stat
from types import SimpleNamespace

import pytest
from gunicorn.sock import close_sockets, create_sockets

from ca_server.serving import Door, DoorSettings


def listening(path, group):
    """The door's socket as gunicorn makes it, and what the door then does with it."""
    settings = DoorSettings("api", f"unix:{path}", workers=1, threads=1, tls=None, group=group)
    door = Door(settings, lambda: pytest.fail("nobody opens it here"))
    sockets = create_sockets(door.cfg, logging.getLogger(__name__))
    try:
        door.cfg.when_ready(SimpleNamespace(LISTENERS=sockets))
        return path.stat()
    finally:
        close_sockets(sockets)


def test_r32_the_socket_for_a_proxy_is_for_its_group_and_nobody_else(tmp_path):
    group = 33 if os.geteuid() == 0 else os.getegid()
    found = listening(tmp_path / "s", group)
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, group)


def test_a_socket_that_cannot_be_given_away_is_ours_alone(tmp_path, monkeypatch):
    chown = os.chown

    def not_permitted(path, uid, gid):
        if uid == -1:
            raise PermissionError(1, "Operation not permitted")
        chown(path, uid, gid)

    monkeypatch.setattr(os, "chown", not_permitted)
    found = listening(tmp_path / "s", 33)
    assert (stat.S_IMODE(found.st_mode), found.st_gid) == (0o660, os.getegid())
