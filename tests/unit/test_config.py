"""The server's configuration: what is accepted, and what is refused by which rule at which place."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from ca_server.config import load_config
from ca_server.core.document import MAX_DOCUMENT_BYTES
from ca_server.core.errors import CaError, Kind

EXAMPLE = Path(__file__).resolve().parents[2] / "ops/examples/server.toml"


@pytest.fixture
def changed(tmp_path):
    """The example with one text replaced by another, read as a configuration."""

    def read(old: str, new: str):
        text = EXAMPLE.read_text()
        assert text.count(old) == 1
        path = tmp_path / "server.toml"
        path.write_text(text.replace(old, new))
        return load_config(path)

    return read


def test_the_example_is_read_with_its_types():
    config = load_config(EXAMPLE)
    assert config.state_directory == Path("/var/lib/sealkeeper")
    assert config.crl.validity == timedelta(hours=24)
    assert [token.label for token in config.token] == ["issuing", "log"]
    assert config.server.names == ("ca.example.com",)


def test_names_are_taken_as_a_certificate_spells_them(changed):
    names = '"localhost", "127.0.0.1", "2001:db8::1"'
    assert changed('["ca.example.com"]', f"[{names}]").server.names == (
        "localhost",
        "127.0.0.1",
        "2001:db8::1",
    )


def test_a_proxy_in_front_ends_tls(changed):
    server = changed('https = "0.0.0.0:8443"', 'https = "unix:/run/x.sock"\nproxy_user = "www-data"').server
    assert server.is_behind_proxy
    assert not changed("threads = 8\n", "").server.is_behind_proxy


def test_what_may_be_left_out_has_a_default(changed):
    assert changed("workers = 2\n", "").server.workers == 2
    assert changed('interval = "1h"\n', "").crl.interval == timedelta(hours=1)
    assert changed('directory = "/etc/sealkeeper/policies"\n', "").policies.directory is None


@pytest.mark.parametrize(
    ("old", "new", "rule_id", "pointer"),
    [
        ('node = "ca1.example.com"', 'node = "CA 1"', "CONFIG-NODE", "/node"),
        ('https = "0.0.0.0:8443"', 'https = "8443"', "CONFIG-LISTEN", "/server/https"),
        ('https = "0.0.0.0:8443"', 'https = "unix:relative"', "CONFIG-LISTEN", "/server/https"),
        ('https = "0.0.0.0:8443"', 'https = "unix:/run/x.sock"', "CONFIG-PROXY", "/server"),
        ("threads = 8", 'proxy_user = "www-data"', "CONFIG-PROXY", "/server"),
        ("threads = 8", 'proxy_user = "0"', "CONFIG-VALUE", "/server/proxy_user"),
        ('"ca.example.com"', '"CA.Example.com"', "CONFIG-NAME", "/server/names/0"),
        ('"ca.example.com"', '"ca.example.com", "ca_/"', "CONFIG-NAME", "/server/names/1"),
        ('"ca.example.com"', '"2001:DB8::1"', "CONFIG-NAME", "/server/names/0"),
        ('"ca.example.com"', '"192.0.2.0/24"', "CONFIG-NAME", "/server/names/0"),
        ('"/var/lib/sealkeeper"', '"state"', "CONFIG-PATH", "/state_directory"),
        ('"/var/lib/sealkeeper"', "7", "CONFIG-PATH", "/state_directory"),
        ('"http://pki.example.com"', '"https://pki.example.com"', "CONFIG-URL", "/publication/public_url"),
        ('"http://pki.example.com"', '"http://pki.example.com/"', "CONFIG-URL", "/publication/public_url"),
        ("workers = 2", "workers = 0", "CONFIG-VALUE", "/server/workers"),
        ("workers = 2", 'workers = "2"', "CONFIG-VALUE", "/server/workers"),
        ("workers = 2", "wokers = 2", "CONFIG-UNKNOWN-KEY", "/server/wokers"),
        ('mode = "production"', "", "CONFIG-MISSING", "/mode"),
        ('mode = "production"', 'mode = "test"', "CONFIG-VALUE", "/mode"),
        (
            '"postgresql://sealkeeper@db.example.com/sealkeeper"',
            '"mysql://x"',
            "CONFIG-VALUE",
            "/database/url",
        ),
        ('interval = "1h"', 'interval = "1 hour"', "DOCUMENT-DURATION", "/crl/interval"),
        ('interval = "1h"', 'interval = "24h"', "CONFIG-CRL", "/crl"),
        ('mode = "production"', "mode = ", "CONFIG-TOML", None),
        ('networks = ["10.0.0.0/8"', 'networks = ["127.0.0.1/32"', "CONFIG-ACME-NETWORK", None),
    ],
)
def test_a_bad_key_is_refused_by_its_rule_at_its_place(changed, old, new, rule_id, pointer):
    with pytest.raises(CaError) as caught:
        changed(old, new)
    assert caught.value.kind is Kind.MALFORMED
    assert [(each.rule_id, each.pointer) for each in caught.value.violations] == [(rule_id, pointer)]


@pytest.mark.parametrize("pin", ["", 'pin_credential = "log-pin"\npin_file = "/etc/pin"'])
def test_a_pin_comes_from_exactly_one_place(changed, pin):
    with pytest.raises(CaError) as caught:
        changed('pin_credential = "log-pin"', pin)
    assert caught.value.rule_ids == ("CONFIG-PIN",)


@pytest.mark.parametrize(
    "own", ["127.0.0.0/8", "127.0.0.53/32", "169.254.169.254/32", "::1/128", "fe80::/64"]
)
def test_r26_production_never_looks_at_itself_or_its_metadata_service(changed, own):
    with pytest.raises(CaError, match="loopback or link-local") as caught:
        changed('networks = ["10.0.0.0/8"', f'networks = ["10.0.0.0/8", "{own}"')
    assert caught.value.rule_ids == ("CONFIG-ACME-NETWORK",)


def test_r38_a_rehearsal_may_look_at_itself(tmp_path):
    path = tmp_path / "server.toml"
    text = EXAMPLE.read_text().replace('mode = "production"', 'mode = "rehearsal"')
    path.write_text(text.replace('networks = ["10.0.0.0/8"', 'networks = ["127.0.0.0/8"'))
    acme = load_config(path).acme
    assert acme is not None
    assert acme.validation.networks[0] == "127.0.0.0/8"


def test_without_its_section_there_is_no_acme(changed, tmp_path):
    assert changed('node = "ca1.example.com"', 'node = "ca2"').acme is not None
    path = tmp_path / "server.toml"
    path.write_text(EXAMPLE.read_text().partition("[acme]")[0])
    assert load_config(path).acme is None


def test_everything_wrong_is_told_at_once(changed):
    with pytest.raises(CaError) as caught:
        changed("workers = 2\nthreads = 8", "workers = 0\nthreads = 0\nextra = 1")
    assert sorted(caught.value.rule_ids) == ["CONFIG-UNKNOWN-KEY", "CONFIG-VALUE", "CONFIG-VALUE"]


def test_a_file_that_is_too_large_is_not_parsed(tmp_path):
    path = tmp_path / "server.toml"
    path.write_bytes(b"#" * (MAX_DOCUMENT_BYTES + 1))
    with pytest.raises(CaError) as caught:
        load_config(path)
    assert caught.value.rule_ids == ("CONFIG-SIZE",)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(CaError, match="no-such-file") as caught:
        load_config(tmp_path / "no-such-file")
    assert caught.value.kind is Kind.NOT_FOUND
