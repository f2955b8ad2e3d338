"""A group of commands, each imported when it is asked for: `authz token` need not load an HTTP server."""

from collections.abc import Mapping
from importlib import import_module
from typing import Any

import click


class Commands(click.Group):
    """A group whose commands stand in modules of their own. `places`: the module of each, by the command's name."""

    def __init__(self, *args: Any, places: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._places = places

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Every name, without loading any."""
        return sorted({*super().list_commands(ctx), *self._places})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, loaded now if it is one of `places`."""
        if cmd_name in self._places and cmd_name not in self.commands:
            self.add_command(_found(cmd_name, self._places[cmd_name]))
        return super().get_command(ctx, cmd_name)


def _found(name: str, module: str) -> click.Command:
    for each in vars(import_module(module)).values():
        if isinstance(each, click.Command) and each.name == name:
            return each
    raise LookupError(f"{module} has no command {name}")
