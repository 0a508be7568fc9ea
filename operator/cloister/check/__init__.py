"""Checks of a cluster, before Cloister is installed and ever after: an ordered list of small pure functions."""

from collections.abc import Iterable, Iterator

from cloister.check.answer import MAY_NOT_READ, Answer, Check, Result, State, unknown
from cloister.check.certmanager import CERT_MANAGER
from cloister.check.cluster import CLUSTER
from cloister.check.guards import GUARDS
from cloister.check.installation import INSTALLATION
from cloister.check.network import NETWORK
from cloister.check.powers import POWERS
from cloister.check.storage import STORAGE
from cloister.check.view import Object, Probe, Reply, View
from cloister.check.webhooks import WEBHOOKS

__all__ = ["CHECKS", "Answer", "Check", "Object", "Probe", "Reply", "Result", "State", "View", "run"]

CHECKS: tuple[Check, ...] = (
    *CLUSTER,
    *CERT_MANAGER,
    *NETWORK,
    *STORAGE,
    *INSTALLATION,
    *GUARDS,
    *POWERS,
    *WEBHOOKS,
)
"""In the order of their codes; a new check is one function and one entry."""


def run(view: View, checks: Iterable[Check] = CHECKS) -> tuple[Result, ...]:
    """Every answer about a cluster."""
    return tuple(Result(check, answer) for check in checks for answer in _answers(check, view))


def _answers(check: Check, view: View) -> Iterator[Answer]:
    if needed := _refusals(check.asks, view):
        yield unknown("", "; ".join(needed), MAY_NOT_READ)
        return
    yield from check.check(view)
    for refusal in _refusals(check.helped_by, view):
        yield unknown("", refusal, MAY_NOT_READ)


def _refusals(paths: Iterable[str], view: View) -> Iterable[str]:
    """Why some of these were not answered, each reason once."""
    return dict.fromkeys(view.refused[path] for path in paths if path in view.refused)
