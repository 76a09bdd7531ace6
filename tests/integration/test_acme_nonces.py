"""A nonce is good once: over threads, processes and restarts, on each database, and never after a crash."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import func, select

from ca_server.core.base64url import decode_base64url, encode_base64url
from ca_server.core.errors import CaError, Kind
from ca_server.services.acme.nonces import LIFETIME, TOLERANCE, Nonces, forget_old_nonces
from ca_server.store import nonces as store_module
from ca_server.store.acme_tables import acme_nonce
from ca_server.store.engine import Database
from ca_server.store.nonces import open_nonce_store
from tests.fakes.clock import SetClock


class Node:
    """What one process has: its own connections, and a clock."""

    def __init__(self, url: str, clock: SetClock) -> None:
        self.database = Database(url)
        self.store = open_nonce_store(self.database)
        self.nonces = Nonces(clock, self.store)

    def accepts(self, nonce: str) -> bool:
        try:
            self.nonces.redeem(nonce)
        except CaError as error:
            if (error.kind, error.rule_ids) != (Kind.BAD_NONCE, ("ACME-NONCE",)):
                raise
            return False
        return True

    def remembered(self) -> int:
        with self.store._database.read() as connection:
            return connection.execute(select(func.count()).select_from(acme_nonce)).scalar_one()

    def close(self) -> None:
        self.store.close()
        self.database.close()


@pytest.fixture
def clock():
    return SetClock()


@pytest.fixture
def node_of(database_url, clock):
    nodes = []

    def make():
        nodes.append(Node(database_url, clock))
        return nodes[-1]

    yield make
    for node in nodes:
        node.close()


def test_a_nonce_is_good_once_whichever_process_made_it(node_of):
    first, second = node_of(), node_of()
    nonce = first.nonces.issue()
    assert second.accepts(nonce)
    assert not second.accepts(nonce)
    assert not first.accepts(nonce)
    assert first.accepts(second.nonces.issue())


def test_what_was_redeemed_before_a_restart_stays_redeemed(node_of):
    before = node_of()
    used, unused = before.nonces.issue(), before.nonces.issue()
    assert before.accepts(used)
    before.close()
    after = node_of()
    assert not after.accepts(used)
    assert after.accepts(unused)


def test_of_many_at_once_one_redeems_it(node_of):
    nodes = [node_of(), node_of()]
    for _ in range(5):
        nonce = nodes[0].nonces.issue()
        with ThreadPoolExecutor(16) as pool:
            results = list(pool.map(lambda number, nonce=nonce: nodes[number % 2].accepts(nonce), range(16)))
        assert results.count(True) == 1


def test_several_that_start_at_once_agree_on_one_key(database_url, clock, node_of):
    with ThreadPoolExecutor(6) as pool:
        nodes = list(pool.map(lambda _: node_of(), range(6)))
        issued = list(pool.map(lambda node: node.nonces.issue(), nodes))
    assert all(nodes[0].accepts(nonce) for nonce in issued)


OTHER_PROCESS = """
import sys
from ca_server.services.acme.nonces import Nonces
from ca_server.store.engine import Database
from ca_server.store.nonces import open_nonce_store
from tests.fakes.clock import SetClock

nonces = Nonces(SetClock(), open_nonce_store(Database(sys.argv[1])))
nonces.redeem(sys.argv[2])
print(nonces.issue())
"""


def test_another_process_takes_part(database_url, node_of):
    here = node_of()
    nonce = here.nonces.issue()
    run = [sys.executable, "-c", OTHER_PROCESS, database_url, nonce]
    theirs = subprocess.run(run, check=True, capture_output=True, text=True).stdout.strip()
    assert not here.accepts(nonce)
    assert here.accepts(theirs)


def test_a_nonce_ends_and_is_then_forgotten(node_of, clock):
    node = node_of()
    used, old = node.nonces.issue(), node.nonces.issue()
    assert node.accepts(used)
    clock.advance(seconds=LIFETIME)
    assert node.accepts(old)
    old = node.nonces.issue()
    clock.advance(seconds=LIFETIME + 1)
    assert not node.accepts(old)
    assert node.remembered() == 2
    clock.advance(seconds=2 * TOLERANCE)
    assert forget_old_nonces(clock, node.store) == 2
    assert node.remembered() == 0
    assert not node.accepts(used)


def test_a_clock_that_is_a_little_behind_is_forgiven(node_of, clock):
    node = node_of()
    near, far = node.nonces.issue(), node.nonces.issue()
    clock.advance(seconds=-TOLERANCE)
    assert node.accepts(near)
    clock.advance(seconds=-1)
    assert not node.accepts(far)


def test_only_what_we_made_is_a_nonce_and_nothing_else_is_remembered(node_of):
    node = node_of()
    nonce = node.nonces.issue()
    data = decode_base64url(nonce)
    assert len(data) == 32
    flipped = [encode_base64url(data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]) for at in range(32)]
    wrong = [
        *flipped,
        "",
        "AAAA",
        nonce + "A",
        nonce[:-1],
        nonce + "=",
        "!",
        "\0",
        encode_base64url(bytes(32)),
    ]
    assert not any(node.accepts(each) for each in wrong)
    assert node.remembered() == 0
    assert node.accepts(nonce)


def test_no_two_nonces_are_alike(node_of):
    node = node_of()
    assert len({node.nonces.issue() for _ in range(2_000)}) == 2_000


def sqlite_url(tmp_path) -> str:
    return f"sqlite:///{tmp_path / 'main.sqlite'}"


def test_after_a_boot_of_the_machine_no_nonce_of_before_is_good(tmp_path, clock, monkeypatch):
    """The file may have lost what was redeemed just before a power cut."""
    boot = tmp_path / "boot_id"
    monkeypatch.setattr(store_module, "BOOT_ID", boot)
    boot.write_text("11111111-1111-1111-1111-111111111111\n")
    before = Node(sqlite_url(tmp_path), clock)
    nonce = before.nonces.issue()
    before.close()
    boot.write_text("22222222-2222-2222-2222-222222222222\n")
    after = Node(sqlite_url(tmp_path), clock)
    assert not after.accepts(nonce)
    assert after.accepts(after.nonces.issue())
    after.close()


def test_where_proc_is_closed_the_environment_names_the_boot(tmp_path, clock, monkeypatch):
    monkeypatch.setattr(store_module, "BOOT_ID", tmp_path / "none")
    monkeypatch.setenv(store_module.BOOT_VARIABLE, "1" * 32)
    before = Node(sqlite_url(tmp_path), clock)
    nonce = before.nonces.issue()
    assert before.accepts(before.nonces.issue())
    before.close()
    monkeypatch.setenv(store_module.BOOT_VARIABLE, "2" * 32)
    after = Node(sqlite_url(tmp_path), clock)
    assert not after.accepts(nonce)
    after.close()


@pytest.mark.parametrize(
    ("hidden", "synchronous"), [(False, 1), (True, 2)], ids=["boot known", "boot hidden"]
)
def test_where_the_boot_is_hidden_nothing_redeemed_is_ever_lost(
    tmp_path, clock, monkeypatch, hidden, synchronous
):
    monkeypatch.delenv(store_module.BOOT_VARIABLE, raising=False)
    if hidden:
        monkeypatch.setattr(store_module, "BOOT_ID", tmp_path / "none")
    node = Node(sqlite_url(tmp_path), clock)
    with node.store._database.engine.connect() as connection:
        assert connection.exec_driver_sql("PRAGMA synchronous").scalar_one() == synchronous
    nonce = node.nonces.issue()
    assert node.accepts(nonce)
    assert not node.accepts(nonce)
    node.close()


def test_the_file_is_for_its_owner_alone(tmp_path, clock):
    node = Node(sqlite_url(tmp_path), clock)
    node.nonces.issue()
    found = [path for path in tmp_path.iterdir() if ".nonces" in path.name]
    assert {path.stat().st_mode & 0o077 for path in found} == {0}
    node.close()


def test_a_file_that_cannot_be_written_is_told_in_words(tmp_path):
    (tmp_path / "main.sqlite.nonces").mkdir()
    with pytest.raises(CaError) as caught:
        open_nonce_store(Database(sqlite_url(tmp_path)))
    assert caught.value.kind is Kind.UNAVAILABLE


@pytest.mark.postgresql
def test_after_a_crash_of_postgresql_no_nonce_of_before_is_good(postgresql, clock):
    url = postgresql.create()
    node = Node(url, clock)
    used, unused = node.nonces.issue(), node.nonces.issue()
    assert node.accepts(used)
    postgresql.stop()
    postgresql.start()
    assert not node.accepts(used)
    assert not node.accepts(unused)
    assert node.accepts(node.nonces.issue())
    node.close()
    postgresql.drop(url)
