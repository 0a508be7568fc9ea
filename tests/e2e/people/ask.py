"""Asks the model by the openai client, as an application would: reads the person's token, prints what came, as JSON."""

from __future__ import annotations

import argparse
import json
import ssl
import sys
import time

import openai

IDENTITY = "/identity"


def main() -> int:
    """Exit code 0 with an answer or with the gate's refusal, which is printed too."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True, help="https://inference.<...>-inference.svc:8443/v1")
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--stream", action="store_true")
    parser.add_argument("--no-certificate", action="store_true")
    wanted = parser.parse_args()
    token = sys.stdin.read().strip()
    tls = ssl.create_default_context(cafile=f"{IDENTITY}/ca.crt")
    if not wanted.no_certificate:
        tls.load_cert_chain(f"{IDENTITY}/tls.crt", f"{IDENTITY}/tls.key")
    client = openai.OpenAI(
        base_url=wanted.url,
        api_key=token or "none",
        http_client=openai.DefaultHttpxClient(verify=tls),
        max_retries=0,
    )
    try:
        print(json.dumps(ask(client, wanted.prompt, stream=wanted.stream, anonymous=not token)))
    except openai.APIStatusError as error:
        print(json.dumps({"status": error.status_code, "body": error.response.text}))
    except openai.APIConnectionError as error:
        print(json.dumps({"refused": f"{type(error.__cause__).__name__}: {error.__cause__}"}))
    return 0


def ask(client: openai.OpenAI, prompt: str, *, stream: bool, anonymous: bool) -> dict[str, object]:
    """The answer, how many parts it came in, and seconds until the first of them and until the end."""
    started = time.monotonic()
    question = client.chat.completions.create(
        model="tiny-llm",
        messages=[{"role": "user", "content": prompt}],
        max_tokens=32,
        temperature=0,
        stream=stream,
        extra_headers={"Authorization": openai.Omit()} if anonymous else None,
    )
    if not isinstance(question, openai.Stream):
        seconds = time.monotonic() - started
        return {
            "status": 200,
            "text": question.choices[0].message.content,
            "parts": 1,
            "first": seconds,
            "all": seconds,
        }
    first, parts = 0.0, []
    for part in question:
        if part.choices and (text := part.choices[0].delta.content):
            first = first or time.monotonic() - started
            parts.append(text)
    return {
        "status": 200, "text": "".join(parts), "parts": len(parts), "first": first, "all": time.monotonic() - started,
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
