"""Precision and recall per kind, and speed, on generated documents."""

import re
import time

from faker import Faker

from cloister.inspection.sensitive import Detector
from cloister.masking import BLOCK, Format, Kind, Masker, find
from tests.auditor.replies import asked, chat, guard
from tests.bench.machine import machine
from tests.bench.masking import detect_secrets, gitleaks
from tests.bench.masking.documents import LOCALES, Document, documents
from tests.bench.masking.presidio import analyze, version
from tests.bench.masking.secret_documents import by_source
from tests.bench.masking.sentences import sentences

SEED = 20_261_124
Spans = list[tuple[int, int, str]]


def run(count: int) -> int:
    """Measure and print; the exit code, 1 where another finds a kind of value better."""
    print(f"{machine()}, seed {SEED}.\n")
    sources = {
        f"documents in {len(LOCALES)} locales": documents(count, SEED),
        "sentences of presidio-evaluator": sentences(count, SEED),
    }
    missed = [kind for name, found in sources.items() for kind in _compared(name, found)]
    print(f"Masking of ordinary text: {_speed():.0f} megabytes per CPU second.\n")
    print(_secrets(count))
    print(f"A streamed reply: {_event():.1f} microseconds of CPU an event, added by looking into it.")
    return int(bool(missed))


def _compared(name: str, found: list[Document]) -> list[str]:
    """Prints how both do on one source; the kinds of which Presidio's F1 is the higher."""
    ours, took = _ours(found)
    theirs, their_time = analyze([document.text for document in found])
    by = {"Cloister": ours, f"Presidio {version()}": theirs}
    size = sum(len(document.text.encode()) for document in found)
    rates = [f"{who} {size / cpu / 1e6:.2f}" for who, cpu in zip(by, (took, their_time), strict=True)]
    print(f"{len(found)} {name}, {size:,} bytes. Megabytes per CPU second: {', '.join(rates)}.\n")
    print(_report(found, by))
    kinds = [kind for kind in Kind if (_score(found, ours, kind) or 0) < (_score(found, theirs, kind) or 0)]
    print(f"F1 at least that of Presidio: {'MISSED for ' + ', '.join(kinds) if kinds else 'met for every kind'}.\n")
    return [str(kind) for kind in kinds]


def _event() -> float:
    """Of an event with one token of prose, when the words are known, as in a server that has been running."""
    fake = Faker("en_US")
    fake.seed_instance(SEED)
    words = re.findall(r"\s?\S{1,5}", fake.text(40_000))
    events = [chat({"content": word}) for word in words]
    guarded, took = guard(), 0.0
    for _ in range(2):
        inspection = guarded.begin(asked())
        began = time.process_time()
        for event in events:
            inspection.feed(event)
        took = time.process_time() - began
    return took / len(events) * 1e6


def _secrets(count: int) -> str:
    """Of secrets in replies, by where they come from, beside those who look for nothing else."""
    detector, lines = Detector([Kind.SECRET.value]), []
    lines += ["| source | secrets | by | recall | precision | F1 |", "|---|---:|---|---:|---:|---:|"]
    for name, found in by_source(count, SEED).items():
        texts = [document.text for document in found]
        by = {
            "Cloister": [_places(detector, text) for text in texts],
            f"detect-secrets {detect_secrets.version()}": detect_secrets.analyze(texts)[0],
            f"gitleaks' rules {gitleaks.VERSION}": [gitleaks.find(text) for text in texts],
        }
        for who, spans in by.items():
            kinds = [[(start, stop, "secret") for start, stop in here] for here in spans]
            recall, precision = _quality(found, kinds, "secret")
            secrets = sum(len(document.values) for document in found)
            cells = [name, str(secrets), who, _percent(recall), _percent(precision), _percent(_f1(recall, precision))]
            lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _places(detector: Detector, text: str) -> list[tuple[int, int]]:
    data = text.encode()
    return [(_place(data, hit.start), _place(data, hit.stop)) for hit in detector.find(data)]


def _f1(recall: float | None, precision: float | None) -> float | None:
    return 2 * recall * precision / (recall + precision) if recall and precision else None


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


def _report(found: list[Document], by: dict[str, list[Spans]]) -> str:
    lines = [
        "| kind | values | " + " | ".join(f"{name}: recall | precision | F1" for name in by) + " |",
        "|---|---:|" + "---:|" * (3 * len(by)),
    ]
    for kind in Kind:
        values = sum(value[2] == kind for document in found for value in document.values)
        if not values:
            continue
        cells = [kind.value, str(values)]
        for spans in by.values():
            recall, precision = _quality(found, spans, kind)
            cells += [_percent(recall), _percent(precision), _percent(_f1(recall, precision))]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join([*lines, ""])


def _score(found: list[Document], spans: list[Spans], kind: str) -> float | None:
    return _f1(*_quality(found, spans, kind))


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
