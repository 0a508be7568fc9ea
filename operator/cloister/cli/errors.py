"""What the user did wrong, as opposed to what we did: shown as one line, never as a traceback."""

from collections.abc import Iterable

import typer

from cloister.spec import Problem

BAD_INPUT = 2
"""Exit code of input that can't be used; 1 is for findings about input that can."""


class UserError(Exception):
    """Stops a command with `error: ...` for each message."""

    def __init__(self, *messages: str) -> None:
        super().__init__("; ".join(messages))
        self.messages = messages


def show(error: UserError) -> typer.Exit:
    """Print the error to stderr; the caller raises what is returned."""
    for message in error.messages:
        typer.echo(f"error: {message}", err=True)
    return typer.Exit(BAD_INPUT)


def refused(where: str, problems: Iterable[Problem]) -> UserError:
    """The error for a resource that can't be used."""
    return UserError(*(f"{where}: {problem}" for problem in problems))
