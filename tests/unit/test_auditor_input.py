"""What a request to the model must look like (ZT-20): each case with the error that its caller gets."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.auditor.openai.dialect import complaint, dialect_of, json_object
from cloister.auditor.refusal import Refusal

CHAT_PATH, RESPONSES_PATH = "/v1/chat/completions", "/v1/responses"
USER = {"role": "user", "content": "hello"}
CHAT: dict[str, Any] = {"model": "m", "messages": [USER]}


def refused(path: str, document: dict[str, Any]) -> Refusal | None:
    """What a path's API says of a document."""
    dialect = dialect_of(path)
    assert dialect
    return complaint(dialect, document)


ACCEPTED: dict[str, list[dict[str, Any]]] = {
    "/v1/chat/completions": [
        CHAT,
        CHAT | {"stream": True, "stream_options": {"include_usage": True}, "temperature": 0, "top_p": 1},
        CHAT | {"max_completion_tokens": 5, "n": 2, "stop": ["a", "b"], "seed": -1, "user": "u"},
        CHAT | {"top_k": 40, "min_p": 0.1, "repetition_penalty": 1.1},
        CHAT | {"tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]},
        CHAT | {"tool_choice": {"type": "function", "function": {"name": "f"}}},
        CHAT | {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": {}}}},
        {
            "model": "m",
            "messages": [
                {"role": "system", "content": "be brief"},
                {"role": "user", "content": [{"type": "text", "text": "what is this?"}]},
                {
                    "role": "user",
                    "content": [{"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}],
                },
                {
                    "role": "assistant",
                    "content": None,
                    "tool_calls": [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}],
                },
                {"role": "tool", "tool_call_id": "1", "content": "42"},
            ],
        },
    ],
    "/v1/completions": [{"model": "m", "prompt": p} for p in ("x", ["x", "y"], [1, 2], [[1], [2]])],
    "/v1/embeddings": [{"model": "m", "input": i} for i in ("x", ["x"], [1], [[1]])],
    "/v1/responses": [
        {"model": "m", "input": "x", "instructions": "be brief", "max_output_tokens": 3},
        {"model": "m", "input": [{"role": "user", "content": [{"type": "input_text", "text": "x"}]}]},
        {"model": "m", "input": [{"type": "function_call_output", "call_id": "1", "output": "2"}]},
    ],
}

REFUSED: list[tuple[str, dict[str, Any], str, str]] = [
    (CHAT_PATH, {}, "model", "missing_required_parameter"),
    (CHAT_PATH, {"model": "m"}, "messages", "missing_required_parameter"),
    (CHAT_PATH, {"model": "m", "messages": []}, "messages", "invalid_value"),
    (CHAT_PATH, {"model": 1, "messages": [USER]}, "model", "invalid_value"),
    (CHAT_PATH, {"model": "m", "messages": [5]}, "messages[0]", "invalid_value"),
    (
        CHAT_PATH,
        {"model": "m", "messages": [{"role": "root", "content": ""}]},
        "messages[0]",
        "invalid_value",
    ),
    (
        CHAT_PATH,
        {"model": "m", "messages": [USER, {"role": "user"}]},
        "messages[1].content",
        "missing_required_parameter",
    ),
    (CHAT_PATH, {"model": "m", "messages": [USER | {"x": 1}]}, "messages[0].x", "unknown_parameter"),
    (
        CHAT_PATH,
        {"model": "m", "messages": [{"role": "user", "content": [{"type": "text", "text": 3}]}]},
        "messages[0].content[0].text",
        "invalid_value",
    ),
    (
        CHAT_PATH,
        {
            "model": "m",
            "messages": [
                {"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://169.254.169.254/"}}]}
            ],
        },
        "messages[0].content[0].image_url.url",
        "invalid_value",
    ),
    (CHAT_PATH, CHAT | {"chat_template": "{{x}}"}, "chat_template", "unknown_parameter"),
    (CHAT_PATH, CHAT | {"temperature": 2.1}, "temperature", "invalid_value"),
    (CHAT_PATH, CHAT | {"temperature": float("inf")}, "temperature", "invalid_value"),
    (CHAT_PATH, CHAT | {"temperature": "0"}, "temperature", "invalid_value"),
    (CHAT_PATH, CHAT | {"stream": "true"}, "stream", "invalid_value"),
    (CHAT_PATH, CHAT | {"stream": 1}, "stream", "invalid_value"),
    (CHAT_PATH, CHAT | {"n": True}, "n", "invalid_value"),
    (CHAT_PATH, CHAT | {"n": 1000}, "n", "invalid_value"),
    (CHAT_PATH, CHAT | {"store": True}, "store", "invalid_value"),
    (CHAT_PATH, CHAT | {"top_logprobs": 100}, "top_logprobs", "invalid_value"),
    ("/v1/completions", {"model": "m", "prompt": [1, "x"]}, "prompt[0]", "invalid_value"),
    ("/v1/completions", {"model": "m", "prompt": "x", "logprobs": 100}, "logprobs", "invalid_value"),
    ("/v1/embeddings", {"model": "m", "input": []}, "input", "invalid_value"),
    ("/v1/embeddings", {"model": "m", "input": "x", "dimensions": 0}, "dimensions", "invalid_value"),
    (
        RESPONSES_PATH,
        {"model": "m", "input": "x", "previous_response_id": "r"},
        "previous_response_id",
        "unknown_parameter",
    ),
    (RESPONSES_PATH, {"model": "m", "input": "x", "background": True}, "background", "unknown_parameter"),
    (
        RESPONSES_PATH,
        {"model": "m", "input": "x", "tools": [{"type": "web_search"}]},
        "tools[0].type",
        "invalid_value",
    ),
]


@pytest.mark.parametrize(
    ("path", "document"), [(path, document) for path, all_of in ACCEPTED.items() for document in all_of]
)
def test_what_the_apis_take(path: str, document: dict[str, Any]) -> None:
    assert refused(path, document) is None


@pytest.mark.parametrize(("path", "document", "param", "code"), REFUSED)
def test_what_they_refuse(path: str, document: dict[str, Any], param: str, code: str) -> None:
    found = refused(path, document)
    assert found is not None
    assert (found.status, found.param, found.code) == (400, param, code)
    error = orjson.loads(found.body())["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert param in error["message"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b'{"a":1,"a":2}',
        b'{"a":{"b":1,"b":2}}',
        b'{"a":1,"\\u0061":2}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1}{"a":1}',
        b'{"a":1} x',
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"a":01}',
        b'{"a":+1}',
        b"{'a':1}",
        b'{"a":1,}',
        b"{a:1}",
        b'{"a":"\n"}',
        b'{"a":/**/1}',
        b'{"a":' + b"[" * 300 + b"]" * 300 + b"}",
        b'{"a":' * 300 + b"1" + b"}" * 300,
        b"[" * 1_000_000,
        b'{"a":' + b"9" * 100_000 + b"}",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_json_that_could_be_read_in_two_ways(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        json_object(body)
    assert (caught.value.status, caught.value.code) == (400, "invalid_json")


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(), lambda inner: st.lists(inner, max_size=4)
)


@given(st.dictionaries(st.text(), _VALUES, max_size=8))
def test_what_is_read_is_what_was_written(document: dict[str, Any]) -> None:
    assert json_object(orjson.dumps(document)) == document


@given(st.dictionaries(st.sampled_from(["model", "messages", "stream", "n", "tools", "x"]), _VALUES))
def test_a_complaint_is_always_an_answer(document: dict[str, Any]) -> None:
    found = refused(CHAT_PATH, document)
    assert found is not None
    assert found.status == 400
    assert orjson.loads(found.body())["error"]["message"]
