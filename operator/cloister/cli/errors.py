"""What the user did wrong, as opposed to what we did: shown as one line, never as a traceback."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import typer

from cloister.cli.output import shown
from cloister.spec import Problem

BAD_INPUT = 2
"""Exit code of input that can't be used; 1 is for findings about input that can."""
_INTERRUPTED = 130
"""As of a program that a signal ended: 128 and the number of SIGINT."""


class UserError(Exception):
    """Stops a command with `error: ...` for each message."""

    def __init__(self, *messages: str) -> None:
        super().__init__("; ".join(messages))
        self.messages = messages


@contextmanager
def friendly(*known: type[Exception], interrupted: str = "") -> Iterator[None]:
    """Shows a UserError, and these errors too, in lines of their own and ends; `interrupted` is said on Ctrl-C."""
    try:
        yield
    except UserError as error:
        raise _shown(*error.messages) from None
    except known as error:
        raise _shown(str(error)) from None
    except KeyboardInterrupt:
        if interrupted:
            typer.echo(interrupted, err=True)
        raise typer.Exit(_INTERRUPTED) from None


def _shown(*messages: str) -> typer.Exit:
    for message in messages:
        typer.echo(f"error: {shown(message)}", err=True)  # it may name files of others
    return typer.Exit(BAD_INPUT)


def refused(where: str, problems: Iterable[Problem]) -> UserError:
    """The error for a resource that can't be used."""
    return UserError(*(f"{where}: {problem}" for problem in problems))
