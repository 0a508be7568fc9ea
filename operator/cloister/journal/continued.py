"""Verifies a stream segment by segment as it comes, over restarts, without what came before."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field

from cloister.journal.checkpoint import Verifier
from cloister.journal.errors import JournalError, SegmentGoneError
from cloister.journal.header import ZERO_HASH, Count, Hash, Header, Previous
from cloister.journal.merkle import CompactRange
from cloister.journal.place import Place
from cloister.journal.reader import opened
from cloister.journal.records import Line
from cloister.journal.verify import Course, Finding, Report, check_segment
from cloister.sealing import SecretKey


class Standing(BaseModel):
    """How far a stream was followed: what must be known to tell whether the next segment follows."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    next: Count = 0
    """Number of the segment that comes next."""
    adopted: bool = False
    """Whether what came before was left out: then the first segment is taken at its word for it."""
    opened: bool = False
    """Whether a segment of it was sealed for the key that follows it."""
    seq: Count = 0
    head: Hash = ZERO_HASH
    size: Count = 0
    """Leaves of the Merkle tree."""
    tree: tuple[Hash, ...] = ()
    previous: Previous | None = None
    verifier: Annotated[str, Field(max_length=1200)] | None = None

    def beyond(self, number: int) -> Self:
        """How it stands after a segment that tells nothing: the next one is taken at its word for what came before."""
        return self.model_copy(update={"next": number + 1, "adopted": True, "previous": None})


def follow(
    path: Path, place: Place, standing: Standing, keys: Sequence[SecretKey], take: Callable[[Line], None]
) -> tuple[Standing, list[Finding]]:
    """Read one segment of a stream. ``take`` gets its lines, as far as they are good.

    Returns how the stream stands after it, and what an honest writer would not have left behind. Whatever is wrong with
    the segment, the next one is judged by what it says of itself: one damage is one finding. SegmentGoneError where the
    file is no longer there.
    """
    report = Report()
    lost = standing.beyond(place.number)
    try:
        with opened(path) as reader:
            header = reader.header
    except SegmentGoneError:
        raise
    except JournalError as error:
        return lost, [Finding("malformed", "", str(error))]
    if not place.holds(header.origin, header.number):
        return lost, [Finding("misplaced", "", "it says that it belongs elsewhere")]
    course = _course(standing, header)
    try:
        check_segment(path, course, keys, report, take)
    except SegmentGoneError:
        raise
    except JournalError as error:
        return lost, [*report.findings, Finding("damaged", "", str(error))]
    readable = all(finding.code != "unreadable" for finding in report.findings)
    return _standing(course, place, opened=standing.opened or readable), report.findings


def _course(standing: Standing, header: Header) -> Course:
    course = Course(header.origin)
    if standing.adopted and standing.previous is None:
        course.adopt(header)
    else:
        course.previous, course.seq, course.head = standing.previous, standing.seq, standing.head
        course.tree = CompactRange(standing.size, [bytes.fromhex(root) for root in standing.tree])
    course.verifier = Verifier.parse(standing.verifier) if standing.verifier else None
    return course


def _standing(course: Course, place: Place, *, opened: bool) -> Standing:
    return Standing(
        next=place.number + 1,
        opened=opened,
        seq=course.seq,
        head=course.head,
        size=course.tree.size,
        tree=tuple(root.hex() for root in course.tree.roots),
        previous=course.previous,
        verifier=str(course.verifier) if course.verifier else None,
    )
