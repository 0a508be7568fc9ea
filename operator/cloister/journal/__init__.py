"""The journal: what is recorded, chained, sealed and written, and how it is read and verified. See docs/journal.md."""

from cloister.journal.checkpoint import Checkpoint, SignedCheckpoint
from cloister.journal.errors import JournalError
from cloister.journal.files import object_name, removable_segments, sealed_segments
from cloister.journal.records import SCHEMA_VERSION, encode, is_integer
from cloister.journal.writer import JournalWriter, timestamp

__all__ = [
    "SCHEMA_VERSION",
    "Checkpoint",
    "JournalError",
    "JournalWriter",
    "SignedCheckpoint",
    "encode",
    "is_integer",
    "object_name",
    "removable_segments",
    "sealed_segments",
    "timestamp",
]
