"""What goes wrong with a journal."""


class JournalError(Exception):
    """A journal that can't be written (nothing of the batch counts, an OSError is the cause) or bytes that are none."""


class UnopenedError(JournalError):
    """A segment that is sealed for others than those who would read it."""


class SegmentGoneError(JournalError):
    """A segment that was listed, and was removed before it could be read."""
