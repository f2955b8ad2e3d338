"""The command line as a whole: every command is there, and none pays for the others."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from authz.cli import main, program
from authz.config import starter
from authz.core import ConfigurationError
from authz.http.samples import sample_requests


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Every command below a group, with the words that lead to it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


def test_every_command_is_found_and_says_what_it_does() -> None:
    """Whatever a group lists can be loaded, is called so, and has a help text."""
    found = list(commands(program))
    assert [(path, command.name) for path, command in found] == [(path, path[-1]) for path, _ in found]
    assert [path for path, command in found if not command.help] == []
    assert len(found) >= 71


@pytest.mark.parametrize(
    ("arguments", "unneeded"),
    [
        (("--version",), ("aiohttp", "authz.audit", "sqlite3", "wasmtime")),
        (("token", "--help"), ("authz.pdp", "authz.audit", "wasmtime")),
        (("audit", "sign", "--help"), ("authz.pdp", "authz.http", "wasmtime")),
    ],
)
def test_a_command_loads_what_it_needs(arguments: tuple[str, ...], unneeded: tuple[str, ...]) -> None:
    """Minting a token loads no engine, and signing no HTTP listener."""
    script = (
        "import sys\nfrom authz.cli import program\nprogram.main(sys.argv[1:], standalone_mode=False)\n"
        f"print([name for name in {unneeded} if name in sys.modules], file=sys.stderr)"
    )
    run = subprocess.run([sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=True)
    assert run.stderr.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ("revoke", "--subject", "a", "--reason", "x", "--url", "http://127.0.0.1:1"),
        ("audit", "events", "--url", "http://127.0.0.1:1"),
        ("audit", "degrade", "--for", "1m", "--reason", "x", "--url", "http://127.0.0.1:1"),
        ("audit", "erase", "--subject", "a", "--url", "http://127.0.0.1:1"),
        ("audit", "export", "-o", "x.jsonl", "--url", "http://127.0.0.1:1"),
        ("policy", "status", "--url", "http://127.0.0.1:1"),
        ("status", "--url", "http://127.0.0.1:1"),
        ("policy", "matrix", "http://127.0.0.1:1"),
        ("explain", "x", "--url", "http://127.0.0.1:1"),
        ("slo", "report", "--url", "http://127.0.0.1:1"),
    ],
)
@pytest.mark.parametrize(
    ("content", "why"),
    [
        (None, "No such file or directory"),
        (b"\n", "is empty"),
        ("tök".encode(), "no token is in it, but bytes outside ASCII"),
    ],
)
def test_a_token_file_that_holds_no_token_is_named(
    arguments: tuple[str, ...], content: bytes | None, why: str, tmp_path: Path
) -> None:
    """Every command that shows a token says which file has none, and asks nobody."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    run = CliRunner().invoke(program, [*arguments, "--token-file", str(file)])
    assert (run.exit_code, run.output.splitlines()[-1]) == (2, f"Error: --token-file: {file}: {why}")


def test_an_empty_token_is_no_anonymous_question() -> None:
    """`--token "$T"` without a T asks nothing: what comes out would be taken for the token's answer."""
    asked = ["check", "--url", "http://127.0.0.1:1", "--method", "GET", "--path", "/memory", "--token"]
    for run in (CliRunner().invoke(program, [*asked, ""]), CliRunner().invoke(program, [*asked, "-"], input="\n")):
        assert (run.exit_code, run.output.splitlines()[-1]) == (2, "Error: --token: is empty")


def test_config_check_refuses_what_the_start_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An issuer whose tokens could be signed by anybody who verifies them is refused before the start."""
    file = tmp_path / "authz.toml"
    file.write_text(starter().replace('["RS256"]', '["HS256"]'))
    with pytest.raises(ConfigurationError, match=r"issuers\[0\]\.algorithms: 'HS256' is not allowed"):
        program.main(["config", "check", str(file)], standalone_mode=False)
    file.write_text(starter())
    program.main(["config", "check", str(file)], standalone_mode=False)
    assert capsys.readouterr().out == f"{file}: 1 issuer(s), 1 caller(s), state /var/lib/authz\n"


def test_a_path_that_cannot_be_written_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A path of the caller's that fails is named with the reason, and without a traceback."""
    file = tmp_path / "nowhere" / "authz.toml"
    monkeypatch.setattr("sys.argv", ["authz", "config", "init", str(file)])
    with pytest.raises(SystemExit) as ended:
        main()
    assert (ended.value.code, capsys.readouterr().err) == (2, f"authz: {file}: No such file or directory\n")


@pytest.mark.parametrize("place", ["http://127.0.0.1:8080", "unix:/run/authz.sock"])
def test_requests_to_paste_mean_the_same_in_every_shell(place: str) -> None:
    """The `?` of a query stands in quotes: a shell that looks for files by such a name would refuse the line."""
    lines = [line for line in sample_requests(place).splitlines() if "curl" in line]
    assert [re.sub(r"'[^']*'", "QUOTED", line).count("?") for line in lines] == [0, 0]
