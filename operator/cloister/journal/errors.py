"""What goes wrong with a journal."""


class JournalError(Exception):
    """A journal that can't be written (nothing of the batch counts, an OSError is the cause) or bytes that are none."""
