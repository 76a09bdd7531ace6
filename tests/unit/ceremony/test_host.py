"""The host file: every bad field by its rule, never a PIN, and a mode that its tokens must bear out."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from ca_server.core.errors import CaError, Kind
from ca_server.hsm.pin import PinSource
from ceremony.host import check_host, parse_host
from ceremony.script import parse_script

SCRIPT = parse_script((files("ceremony") / "scripts" / "first-hierarchy.toml").read_bytes())
GOOD = """
format = "ceremony-host/v2"
mode = "rehearsal"
output_directory = "/srv/ceremony"
api_server_key = "/srv/ceremony/api-server.key"
roster = "/srv/papers/roster.json"
media = ["/media/first", "/media/second"]

[tokens.root]
module = "/usr/lib/vendor.so"
label = "REHEARSAL-root"
pin_file = "/srv/pins/root"

[tokens.issuing]
module = "/usr/lib/vendor.so"
label = "REHEARSAL-issuing"
pin_credential = "issuing-pin"

[tokens.ocsp]
module = "/usr/lib/vendor.so"
label = "REHEARSAL-ocsp"
pin_prompt = true

[tokens.log]
module = "/usr/lib/vendor.so"
label = "REHEARSAL-log"
pin_file = "/srv/pins/log"
"""

BAD_FIELDS = [
    ('format = "ceremony-host/v2"', 'format = "ceremony-host/v1"', "CEREMONY-VALUE", "/format"),
    ('roster = "/srv/papers/roster.json"\n', "", "CEREMONY-MISSING", "/roster"),
    ('"/srv/papers/roster.json"', '"roster.json"', "CEREMONY-PATH", "/roster"),
    ('"/media/second"', '"second"', "CEREMONY-PATH", "/media/1"),
    ('mode = "rehearsal"', 'mode = "trial"', "CEREMONY-VALUE", "/mode"),
    ('mode = "rehearsal"', "", "CEREMONY-MISSING", "/mode"),
    ('mode = "rehearsal"', 'mode = "rehearsal"\nforce = true', "CEREMONY-UNKNOWN-KEY", "/force"),
    ('"/srv/ceremony"', '"srv/ceremony"', "CEREMONY-PATH", "/output_directory"),
    ('"/srv/ceremony"', '"/srv/\\u0000"', "CEREMONY-PATH", "/output_directory"),
    ('"/usr/lib/vendor.so"', "7", "CEREMONY-PATH", "/tokens/root/module"),
    ('label = "REHEARSAL-root"', 'label = " root"', "CEREMONY-TOKEN-LABEL", "/tokens/root/label"),
    ('label = "REHEARSAL-root"', f'label = "{"r" * 33}"', "CEREMONY-TOKEN-LABEL", "/tokens/root/label"),
    ('pin_file = "/srv/pins/root"', 'pin = "1234"', "CEREMONY-UNKNOWN-KEY", "/tokens/root/pin"),
    ("pin_prompt = true", "pin_prompt = false", "CEREMONY-VALUE", "/tokens/ocsp/pin_prompt"),
    ("pin_prompt = true", 'pin_prompt = true\npin_file = "/p"', "CEREMONY-PIN-SOURCE", "/tokens/ocsp"),
    ('"issuing-pin"', '"../issuing-pin"', "CEREMONY-VALUE", "/tokens/issuing/pin_credential"),
]

BAD_BINDINGS = [
    ('pin_file = "/srv/pins/root"', "", "CEREMONY-PIN-SOURCE", "/tokens/root"),
    ('media = ["/media/first", "/media/second"]', 'media = ["/media/first"]', "CEREMONY-MEDIA", "/media"),
    ("[tokens.log]", "[tokens.logs]", "CEREMONY-BINDING", "/tokens"),
    ("[tokens.log]", "[tokens.logs]", "CEREMONY-BINDING", "/tokens/logs"),
    ("REHEARSAL-log", "REHEARSAL-root", "CEREMONY-BINDING", "/tokens"),
    ("REHEARSAL-log", "log", "CEREMONY-MODE", "/tokens/log/label"),
    ('mode = "rehearsal"', 'mode = "production"', "CEREMONY-MODE", "/tokens/root/label"),
]


def changed(old: str, new: str) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new, 1).encode()


def test_a_good_host_file_says_where_pins_come_from():
    host = parse_host(GOOD.encode())
    check_host(SCRIPT, host)
    assert host.output_directory == Path("/srv/ceremony")
    assert [binding.settings.pin for binding in host.tokens.values()] == [
        PinSource.from_file(Path("/srv/pins/root")),
        PinSource.from_credential("issuing-pin"),
        PinSource.from_prompt("REHEARSAL-ocsp"),
        PinSource.from_file(Path("/srv/pins/log")),
    ]


@pytest.mark.parametrize(("old", "new", "rule_id", "pointer"), BAD_FIELDS)
def test_a_bad_field_is_refused(old, new, rule_id, pointer):
    with pytest.raises(CaError) as refused:
        parse_host(changed(old, new))
    assert refused.value.kind is Kind.MALFORMED
    assert (rule_id, pointer) in {(each.rule_id, each.pointer) for each in refused.value.violations}


@pytest.mark.parametrize(("old", "new", "rule_id", "pointer"), BAD_BINDINGS)
def test_a_bad_binding_is_refused(old, new, rule_id, pointer):
    with pytest.raises(CaError) as refused:
        check_host(SCRIPT, parse_host(changed(old, new)))
    assert (rule_id, pointer) in {(each.rule_id, each.pointer) for each in refused.value.violations}


def test_production_names_every_device_by_its_serial_number():
    host = parse_host(GOOD.replace('mode = "rehearsal"', 'mode = "production"').encode())
    with pytest.raises(CaError) as refused:
        check_host(SCRIPT, host)
    unpinned = {
        each.pointer for each in refused.value.violations if each.rule_id == "CEREMONY-SERIAL-UNPINNED"
    }
    assert unpinned == {f"/hsm/{alias}" for alias in SCRIPT.hsm}
    devices = {alias: device.model_copy(update={"serial": "H-1"}) for alias, device in SCRIPT.hsm.items()}
    with pytest.raises(CaError) as refused:
        check_host(SCRIPT.model_copy(update={"hsm": devices}), host)
    assert "CEREMONY-SERIAL-UNPINNED" not in refused.value.rule_ids


def test_a_device_that_the_script_initialises_has_its_serial_number_later():
    script = parse_script((files("ceremony") / "scripts" / "hsm-init.toml").read_bytes())
    host = parse_host(GOOD.replace('mode = "rehearsal"', 'mode = "production"').encode())
    with pytest.raises(CaError) as refused:
        check_host(script, host)
    assert "CEREMONY-SERIAL-UNPINNED" not in refused.value.rule_ids


def test_a_secret_in_shares_has_no_place_for_a_pin():
    text = (files("ceremony") / "scripts" / "hsm-init.toml").read_text()
    script = parse_script(text.encode())
    alias = next(name for name, device in script.hsm.items() if device.secret == "split")
    host = parse_host(
        f"""
format = "ceremony-host/v2"
mode = "rehearsal"
output_directory = "/srv/ceremony"
roster = "/srv/papers/roster.json"
media = ["/media/first", "/media/second"]
[tokens.{alias}]
module = "/usr/lib/vendor.so"
label = "REHEARSAL-vault"
pin_file = "/srv/pins/root"
""".encode()
    )
    with pytest.raises(CaError) as refused:
        check_host(script, host)
    assert "CEREMONY-PIN-SOURCE" in refused.value.rule_ids


def test_the_security_officers_pin_comes_from_its_own_file_or_is_asked_for():
    host = parse_host(GOOD.encode())
    asked = host.tokens["root"].officer_settings.pin
    assert asked == PinSource.from_prompt("REHEARSAL-root (security officer)")
    text = changed('"/srv/pins/root"', '"/srv/pins/root"\nso_pin_file = "/srv/pins/root.so"')
    given = parse_host(text).tokens["root"].officer_settings.pin
    assert given == PinSource.from_file(Path("/srv/pins/root.so"))


def test_a_pin_written_by_mistake_is_not_repeated():
    with pytest.raises(CaError) as refused:
        parse_host(changed('pin_file = "/srv/pins/root"', 'pin = "canary-4711"'))
    assert "canary-4711" not in refused.value.detail + repr(refused.value.violations)
