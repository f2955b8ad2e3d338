"""The command line as a whole: every command is there, and none pays for the others."""

import subprocess
import sys
from collections.abc import Iterator

import click
import pytest

from authz.cli import program


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
    assert len(found) >= 70


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
