"""`config check` finds what the server would stumble over: files and profiles that are not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from ca_server.cli.config import command
from ca_server.core.errors import CaError, Kind

EXAMPLE = Path(__file__).resolve().parents[3] / "ops/examples/server.toml"


@pytest.fixture
def config_file(tmp_path):
    """The example, its files below a folder of the test, with the policies that come with Sealkeeper."""
    text = re.sub(r'"/([a-z])', rf'"{tmp_path}/\1', EXAMPLE.read_text())
    text = re.sub(r"(?m)^directory = .*\n", "", text)
    for path in re.findall(rf'"({tmp_path}/[^"]+)"', text):
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).touch()
    made = tmp_path / "server.toml"
    made.write_text(text)
    return made


def check(path: Path):
    return CliRunner().invoke(command, ["check", "--config", str(path)])


def test_a_good_file_is_said_to_be_good(config_file):
    result = check(config_file)
    assert result.exit_code == 0, (result.output, result.exception)


def test_a_manufacturers_file_that_is_not_there_is_named(config_file):
    anchors = re.search(r'trust_anchors = "([^"]+)"', config_file.read_text())[1]
    Path(anchors).unlink()
    error = check(config_file).exception
    assert isinstance(error, CaError)
    assert (error.kind, anchors in error.detail) == (Kind.NOT_FOUND, True)


def test_a_label_that_leads_to_no_profile_of_est_is_refused(config_file):
    text = config_file.read_text()
    config_file.write_text(text.replace('default_profile = "tls-peer"', 'default_profile = "ocsp-signer"'))
    error = check(config_file).exception
    assert isinstance(error, CaError)
    assert error.rule_ids == ("CONFIG-EST-PROFILE",)
