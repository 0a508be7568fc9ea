"""CL5nn: exceptions, time, and the end of a deployment."""

import datetime as dt
import re
from collections.abc import Iterator

from cloister.lint.finding import Hit, Rule, Severity
from cloister.spec import DeletionPolicy, LLMDeployment, is_pinned, seconds

_YEAR = dt.timedelta(days=366)
_DAY_SECONDS = 86400
_CRON_FIELDS = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")),
    ("day of week", 0, 6, ("sun", "mon", "tue", "wed", "thu", "fri", "sat")),
)
_CRON_ITEM = re.compile(
    r"(?P<first>\*|\?|[0-9]{1,2}|[a-z]{3})(-(?P<last>[0-9]{1,2}|[a-z]{3}))?(/(?P<step>[0-9]{1,2}))?"
)


def _expired(deployment: LLMDeployment, today: dt.date) -> Iterator[Hit]:
    for index, exception in enumerate(deployment.spec.exceptions):
        if exception.expires < today:
            field = f"spec.exceptions[{index}].expires"
            yield Hit(field, f"the exception for {exception.control} has expired", exception.expires.isoformat())


def _endless(deployment: LLMDeployment, today: dt.date) -> Iterator[Hit]:
    for index, exception in enumerate(deployment.spec.exceptions):
        if exception.expires > today + _YEAR:
            message = f"the exception for {exception.control} holds for more than a year"
            yield Hit(f"spec.exceptions[{index}].expires", message, exception.expires.isoformat())


def _excuses_nothing(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    spec = deployment.spec
    users = spec.identity.users
    images = [spec.inference.image, *([spec.training.image] if spec.training else [])]
    reasons = {
        "ZT-04": "every image is pinned" if all(map(is_pinned, images)) else "",
        "ZT-06": "a second factor is required" if not users or users.mfa.required else "",
    }
    for index, exception in enumerate(spec.exceptions):
        if why := reasons.get(exception.control):
            yield Hit(f"spec.exceptions[{index}].control", f"excuses nothing: {why}", exception.control)


def _excused_twice(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    seen: dict[str, int] = {}
    for index, exception in enumerate(deployment.spec.exceptions):
        first = seen.setdefault(exception.control, index)
        if first != index:
            message = f"is already excused by exceptions[{first}]"
            yield Hit(f"spec.exceptions[{index}].control", message, exception.control)


def _deletes_data(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    if deployment.spec.deletion_policy is DeletionPolicy.DELETE:
        message = "training data, checkpoints and interaction logs go with the resource"
        yield Hit("spec.deletionPolicy", message, "Delete")


def _adopts(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    if deployment.spec.adopt:
        yield Hit("spec.adopt", "needed once; left in place it says nothing any more", deployment.spec.adopt)


def _long_life(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    identity = deployment.spec.identity
    if seconds(identity.certificate_ttl) > _DAY_SECONDS:
        message = "a stolen certificate is good for that long: nothing revokes it"
        yield Hit("spec.identity.certificateTTL", message, identity.certificate_ttl)


def _bad_schedule(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    training = deployment.spec.training
    if not training or not training.schedule:
        return
    for text, (name, low, high, words) in zip(training.schedule.split(" "), _CRON_FIELDS, strict=False):
        if not all(_cron_item(item, low, high, words) for item in text.lower().split(",")):
            message = f"{text!r} is no {name} ({low} to {high})"
            yield Hit("spec.training.schedule", message, training.schedule)


def _cron_item(item: str, low: int, high: int, words: tuple[str, ...]) -> bool:
    """Whether Kubernetes' cron parser takes one item of a list (robfig/cron v3, "standard" parser)."""
    match = _CRON_ITEM.fullmatch(item)
    if not match:
        return False
    first, last, step = match["first"], match["last"], match["step"]
    bounds = [low + words.index(word) if word in words else word for word in (first, last) if word]
    if step is not None and int(step) == 0:
        return False
    if first in ("*", "?"):
        return last is None
    if not all(isinstance(bound, int) or bound.isdigit() for bound in bounds):
        return False
    numbers = [int(bound) for bound in bounds]
    return low <= numbers[0] <= numbers[-1] <= high


def _suspended(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    training = deployment.spec.training
    if training and training.suspend:
        yield Hit("spec.training.suspend", "training starts no new run", True)


def _no_deadline(deployment: LLMDeployment, _: dt.date) -> Iterator[Hit]:
    training = deployment.spec.training
    if training and training.schedule and not training.deadline:
        message = "a run that hangs ends the schedule: none begins while another is there"
        yield Hit("spec.training.deadline", message, None)


LIFECYCLE = (
    Rule(
        "CL501",
        Severity.ERROR,
        "An expired exception",
        "keep the control, or renew the exception with a reason",
        _expired,
    ),
    Rule(
        "CL502",
        Severity.WARNING,
        "An exception without an end in sight",
        "let it expire within a year",
        _endless,
    ),
    Rule("CL503", Severity.WARNING, "An exception that excuses nothing", "remove it", _excuses_nothing),
    Rule("CL504", Severity.WARNING, "Two exceptions for one control", "keep one of them", _excused_twice),
    Rule(
        "CL505",
        Severity.WARNING,
        "Data goes with the resource",
        "leave deletionPolicy out to retain it",
        _deletes_data,
    ),
    Rule("CL506", Severity.INFO, "An adoption left behind", "remove adopt once the zone is taken back", _adopts),
    Rule(
        "CL507",
        Severity.WARNING,
        "Certificates live longer than a day",
        "set certificateTTL to 24h or less",
        _long_life,
    ),
    Rule(
        "CL508",
        Severity.ERROR,
        "A schedule that Kubernetes refuses",
        "write minute hour day month weekday",
        _bad_schedule,
    ),
    Rule("CL509", Severity.INFO, "Training is suspended", "remove suspend to go on", _suspended),
    Rule(
        "CL510",
        Severity.WARNING,
        "A schedule whose runs have no end",
        "set deadline to longer than any run takes",
        _no_deadline,
    ),
)
