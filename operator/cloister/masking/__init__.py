"""Values that identify people or open doors: found in linear time, and hidden without moving a byte.

One engine for the journal (`audit.content: Redacted`), for masked reads of a store, and for what else looks into text.
"""

from cloister.masking.detect import MAX_LENGTH, Finding, expressions, find
from cloister.masking.formats import Format, format_of
from cloister.masking.kinds import Kind
from cloister.masking.text import BLOCK, CONTEXT, Masker, Unmaskable, around, mask_block

__all__ = [
    "BLOCK",
    "CONTEXT",
    "Finding",
    "Format",
    "Kind",
    "MAX_LENGTH",
    "Masker",
    "Unmaskable",
    "around",
    "expressions",
    "find",
    "format_of",
    "mask_block",
]
