"""What a check of a cluster is, and what it answers."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from cloister.check.view import Probe, View

MAY_NOT_READ = "ask for the right to read it, or let an administrator run this"
"""The way out of what is unknown because it was refused."""


class State(StrEnum):
    """How it stands."""

    OK = "ok"
    """As it must be."""
    NOTE = "note"
    """Worth knowing, and no finding."""
    UNKNOWN = "unknown"
    """Can't be told from here; never taken for ok."""
    WARNING = "warning"
    """Cloister works, and this weakens what it promises."""
    ERROR = "error"
    """Cloister can't work, or a promise is broken."""


@dataclass(frozen=True)
class Answer:
    """What a check found about one thing."""

    state: State
    subject: str
    message: str
    hint: str = ""
    """The way out, where it is another than the check's own."""


@dataclass(frozen=True)
class Check:
    """One check. Its code never changes its meaning; a check that goes takes its code with it."""

    code: str
    title: str
    fix: str
    """The way out."""
    check: Callable[[View], Iterator[Answer]]
    """Answers at least once: what is as it must be is shown too, when asked."""
    asks: tuple[str, ...] = ()
    """What it needs to read, as paths of the API server; refused, its answer is unknown."""
    helped_by: tuple[str, ...] = ()
    """What it reads as well; refused, what it answers without is not the whole of it."""
    sometimes: tuple[str, ...] = ()
    """What matters in some clusters only; where it does and is refused, the check says so itself."""
    probes: tuple[Probe, ...] = ()
    """What it tries, without changing anything."""

    @property
    def paths(self) -> tuple[str, ...]:
        """Everything that it may read."""
        return self.asks + self.helped_by + self.sometimes


@dataclass(frozen=True)
class Result:
    """An answer together with its check."""

    check: Check
    answer: Answer

    @property
    def state(self) -> State:
        """How it stands."""
        return self.answer.state

    @property
    def hint(self) -> str:
        """The way out, of what needs one."""
        return "" if self.state in (State.OK, State.NOTE) else self.answer.hint or self.check.fix

    def as_dict(self) -> Mapping[str, str]:
        """For programs; the hint only where there is something to do."""
        shown = {
            "code": self.check.code,
            "state": str(self.state),
            "title": self.check.title,
            "subject": self.answer.subject,
            "message": self.answer.message,
        }
        return {**shown, "hint": self.hint} if self.hint else shown


def ok(subject: str, message: str) -> Answer:
    """As it must be."""
    return Answer(State.OK, subject, message)


def note(subject: str, message: str) -> Answer:
    """Worth knowing."""
    return Answer(State.NOTE, subject, message)


def unknown(subject: str, message: str, hint: str = "") -> Answer:
    """Can't be told."""
    return Answer(State.UNKNOWN, subject, message, hint)


def warning(subject: str, message: str, hint: str = "") -> Answer:
    """Weakens a promise."""
    return Answer(State.WARNING, subject, message, hint)


def error(subject: str, message: str, hint: str = "") -> Answer:
    """Breaks one."""
    return Answer(State.ERROR, subject, message, hint)
