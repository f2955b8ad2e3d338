"""The shipped ways to run a witness: their command lines are ones that the program takes."""

import configparser
import shlex

import pytest
import yaml
from click import Context

from authz.cli.audit_witness import witness
from tests.conftest import ROOT

DEPLOY = ROOT / "deploy" / "witness"


def _unit() -> list[str]:
    unit = configparser.ConfigParser(interpolation=None, strict=False)
    unit.optionxform = str  # type: ignore[assignment,method-assign]
    unit.read(DEPLOY / "authz-witness.service")
    return shlex.split(unit["Service"]["ExecStart"])[1:]


def _compose() -> list[str]:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return list(services["witness"]["command"])


@pytest.mark.parametrize("command", [_unit(), _compose()], ids=["systemd", "compose"])
def test_the_command_line_is_one_that_the_program_takes(command: list[str]) -> None:
    """With a listener, a state, keys and a name."""
    assert command[:2] == ["audit", "witness"]
    given: Context = witness.make_context("witness", command[2:])
    assert given.params["address"].rpartition(":")[2] == "8090"
    assert given.params["name"] == "witness.example/w1"
    assert [str(each).endswith("/logs.pub") for each in given.params["logs"]] == [True]


def test_the_proxy_leads_to_the_witness() -> None:
    """The same port in all files, and no larger bodies than the witness takes."""
    caddy = (DEPLOY / "Caddyfile").read_text()
    assert "reverse_proxy {$WITNESS:127.0.0.1:8090}" in caddy
    assert "max_size 64KiB" in caddy
