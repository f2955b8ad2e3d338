"""The token that commands show to an admin listener, from the file that `--token-file` names."""

from pathlib import Path

import click


def bearer(file: Path | None) -> str | None:
    """The token in a file, without white space around it; None without a file.

    Raises UsageError, naming the option, for a file that cannot be read, is empty or is not ASCII.
    """
    if file is None:
        return None
    try:
        token = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise click.UsageError(f"--token-file: {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise click.UsageError(f"--token-file: {file}: no token is in it, but bytes outside ASCII") from None
    if not token:
        raise click.UsageError(f"--token-file: {file}: is empty")
    return token
