"""Redaction for `audit.content: Redacted`: values that identify people or open doors become marks.

What counts as one, and where they are, :mod:`cloister.masking` tells. What has no form of its own (a name, a password
in a sentence) is not found, and docs/journal.md says so.
"""

from cloister.masking import find


def redact(text: str) -> str:
    """The text with marks (`[email]`) in place of values. It may be JSON, whose strings it then leaves valid."""
    data = text.encode("utf-8", "surrogatepass")
    found = find(data)
    if not found:
        return text
    parts, end = [], 0
    for finding in found:
        parts += [data[end : finding.start], b"[%b]" % finding.mark.encode()]
        end = finding.stop
    return b"".join([*parts, data[end:]]).decode("utf-8", "surrogatepass")
