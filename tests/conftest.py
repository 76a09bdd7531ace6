"""Loads the fixtures; each family of them has a file of its own under `fixtures/`."""

pytest_plugins = [
    "tests.fixtures.acme_accounts",
    "tests.fixtures.client_tables",
    "tests.fixtures.appliance",
    "tests.fixtures.database",
    "tests.fixtures.running",
    "tests.fixtures.https",
    "tests.fixtures.laboratories",
    "tests.fixtures.issuing",
    "tests.fixtures.ordering",
    "tests.fixtures.acme_client",
    "tests.fixtures.est_door",
    "tests.fixtures.operational_log",
    "tests.fixtures.softhsm",
    "tests.fixtures.running_responder",
    "tests.fixtures.stored",
    "tests.fixtures.ceremony",
    "tests.fixtures.network",
    "tests.fixtures.nginx",
]
