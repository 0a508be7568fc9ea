"""Server-sent events and what is read of them: no byte is lost or changed, however they arrive."""

import sys

import atheris

with atheris.instrument_imports(include=["cloister.auditor"]):
    from cloister.auditor.http.events import EventSplitter, payloads
    from cloister.auditor.openai.dialect import complaint, dialect_of, json_object
    from cloister.auditor.openai.replies import Pieces, Summary
    from cloister.auditor.refusal import Refusal


def target(data: bytes) -> None:
    """The first byte says how long the pieces are."""
    size = data[0] % 64 + 1 if data else 1
    stream = data[1:]
    splitter = EventSplitter()
    out = [splitter.feed(stream[start : start + size]) for start in range(0, len(stream), size)]
    assert b"".join([*out, splitter.end()]) == stream
    found = [payload for events in [*out, stream[sum(map(len, out)) :]] for payload in payloads(events)]
    assert found == payloads(stream)
    summary = Summary()
    for place, text in Pieces(summary).of(stream):
        assert isinstance(place, str)
        assert isinstance(text, str)
    for value in summary.fields().values():
        assert isinstance(value, str | int | list)
    _request(stream)


def _request(body: bytes) -> None:
    try:
        document = json_object(body)
    except Refusal as refusal:
        assert refusal.status == 400  # noqa: PT017 - no test of pytest's
        return
    for path in ("/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/responses"):
        dialect = dialect_of(path)
        assert dialect is not None
        found = complaint(dialect, document)
        assert found is None or found.body()


def main() -> None:
    """Arguments are libFuzzer's."""
    atheris.Setup(sys.argv, target)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
