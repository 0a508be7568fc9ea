"""Precision and recall per kind, and speed, on generated documents."""

import os
import platform
import time

from cloister.masking import BLOCK, Format, Kind, Masker, find
from tests.bench.masking.documents import LOCALES, Document, documents
from tests.bench.masking.presidio import analyze, version

SEED = 20_261_124
Spans = list[tuple[int, int, str]]


def run(count: int) -> int:
    """Measure and print; 0, since no figure is a target."""
    found = documents(count, SEED)
    ours, took = _ours(found)
    theirs, their_time = analyze([document.text for document in found])
    print(_report(found, {"Cloister": ours, f"Presidio {version()}": theirs}, (took, their_time)))
    return 0


def _ours(found: list[Document]) -> tuple[list[Spans], float]:
    spans: list[Spans] = []
    find(b"warm up a@example.com")
    began = time.process_time()
    for document in found:
        data = document.text.encode()
        spans.append(
            [(len(data[: one.start].decode()), len(data[: one.stop].decode()), one.kind) for one in find(data)]
        )
    return spans, time.process_time() - began


def _place(data: bytes, at: int) -> int:
    """The character that a byte belongs to."""
    return len(data[:at].decode())


def _report(found: list[Document], by: dict[str, list[Spans]], seconds: tuple[float, float]) -> str:
    size = sum(len(document.text.encode()) for document in found)
    lines = [
        f"{os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}."
        f" {len(found)} documents, {size:,} bytes, in {len(LOCALES)} locales, seed {SEED}.",
        "",
        "| kind | values | " + " | ".join(f"{name}: recall | precision" for name in by) + " |",
        "|---|---:|" + "---:|" * (2 * len(by)),
    ]
    for kind in Kind:
        cells = [kind.value, str(sum(value[2] == kind for document in found for value in document.values))]
        for spans in by.values():
            recall, precision = _quality(found, spans, kind)
            cells += [_percent(recall), _percent(precision)]
        lines.append("| " + " | ".join(cells) + " |")
    rates = [f"{name} {size / took / 1e6:.2f}" for name, took in zip(by, seconds, strict=True)]
    lines += ["", f"Megabytes per CPU second: {', '.join(rates)}; masking of ordinary text {_speed():.0f}."]
    return "\n".join([*lines, ""])


def _quality(found: list[Document], spans: list[Spans], kind: str) -> tuple[float | None, float | None]:
    """A value counts as found when every character of it is; a finding is right when it touches a value of its kind."""
    right = wanted = correct = told = 0
    for document, here in zip(found, spans, strict=True):
        mine = [(start, stop) for start, stop, one in here if one == kind]
        true = [(start, stop) for start, stop, one in document.values if one == kind]
        covered = {at for start, stop in mine for at in range(start, stop)}
        wanted += len(true)
        right += sum(covered.issuperset(range(start, stop)) for start, stop in true)
        told += len(mine)
        correct += sum(any(start < end and begin < stop for begin, end in true) for start, stop in mine)
    return (right / wanted if wanted else None), (correct / told if told else None)


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1%}"


def _speed() -> float:
    page = b"The quick brown fox jumps over the lazy dog, and order 4711 waits for an answer until noon. " * 40
    text = (page + b"Please write to ada@example.com about it. ") * 2000
    masker = Masker(Format.TEXT, frozenset(Kind))
    masker.feed(text[: 2 * BLOCK])
    began = time.process_time()
    masker.feed(text)
    return len(text) / (time.process_time() - began) / 1e6
