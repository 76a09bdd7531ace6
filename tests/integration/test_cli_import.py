"""`sealkeeper import` after `init`: later ceremonies of the same room, from their shipped scripts."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

from tests.fixtures.commands import sealkeeper

pytestmark = pytest.mark.hsm


@pytest.fixture(scope="module")
def later(rehearsal, tmp_path_factory):
    """Hold a ceremony of a kind in the room of the first one, once; its bundle."""
    held: dict[str, Path] = {}

    def later(kind: str, **inputs: str) -> Path:
        if kind not in held:
            folder = tmp_path_factory.mktemp(kind)
            script = folder / "script.toml"
            script.write_text(sealkeeper("ceremony", "script", kind).stdout)
            given = [f"--input={name.replace('_', '-')}={path}" for name, path in inputs.items()]
            where = ["--directory", str(folder / "held"), "--room", str(rehearsal.folder)]
            sealkeeper("ceremony", "rehearse", str(script), *where, *given)
            held[kind] = folder / "held" / "bundle.tar"
        return held[kind]

    return later


@pytest.fixture
def root_files(rehearsal):
    files = rehearsal.folder / "files"
    return {
        "root_r1": str(files / "authorities/root-r1.cer"),
        "root_r1_last_crl": str(files / "crls/root-r1.crl"),
    }


def test_a_later_root_crl(appliance, later, root_files):
    bundle = later("root-crl", **root_files)
    arguments = ["import", "--bundle", str(bundle), "--config", str(appliance.config_file)]
    done = sealkeeper(*arguments)
    assert "CRL 2 of root-r1" in done.stdout
    assert "restart" not in done.stderr
    again = sealkeeper(*arguments, check=False)
    assert again.returncode == 1
    assert "BUNDLE-IMPORTED" in again.stderr
    assert "Traceback" not in again.stderr


def test_a_new_signer_for_the_responder(appliance, later, rehearsal, tmp_path):
    issuing = rehearsal.folder / "files/authorities/issuing-i1.cer"
    bundle = later("delegated-signer", issuing_i1=str(issuing))
    done = sealkeeper(
        "import",
        "--bundle",
        str(bundle),
        "--config",
        str(appliance.config_file),
        "--responder-out",
        str(tmp_path),
        "--json",
    )
    told = json.loads(done.stdout)
    assert told["kind"] == "delegated-signer"
    [responder] = told["responders"]
    written = tmp_path / f"ocsp-{responder['authority']}.cer"
    assert written.read_bytes() == (bundle.parent / "files" / responder["certificate"]).read_bytes()
    assert f'certificate = "{written}"' in done.stderr
    assert "the log goes on with audit.key" in done.stderr


def test_a_pinned_roster_of_others_and_a_production_server_refuse(appliance, later, root_files, tmp_path):
    bundle = later("root-crl", **root_files)
    text = appliance.config_file.read_text()
    pinned, production = tmp_path / "pinned.toml", tmp_path / "production.toml"
    pinned.write_text(text + '[ceremony]\nroster_sha256 = "' + "0" * 64 + '"\n')
    without_loopback = text[: text.index("[acme]")]
    production.write_text(without_loopback.replace('mode = "rehearsal"', 'mode = "production"'))
    assert tomllib.loads(production.read_text())["mode"] == "production"
    for config, rule_id in ((pinned, "BUNDLE-ROSTER-PIN"), (production, "BUNDLE-REHEARSAL")):
        refused = sealkeeper("import", "--bundle", str(bundle), "--config", str(config), check=False)
        assert refused.returncode == 4
        assert rule_id in refused.stderr
