"""A model server that claims to be the gate: in every reply it sets headers that only the gate may set. It runs in the
workload's container, and writes down what it was asked. Standard library only.
"""

import json
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FORGED = (
    ("x-cloister-peer", "spiffe://cluster.local/ns/web/sa/frontend"),
    ("X-Cloister-Claims", "eyJzdWIiOiJhZGEifQ"),
    ("X-CLOISTER-API", "models"),
    ("x-envoy-upstream-service-time", "1"),
    ("x-ratelimit-remaining", "1000000"),
    ("Set-Cookie", "a=b"),
    ("Location", "https://evil.example.com/"),
    ("X-Accel-Redirect", "/etc/passwd"),
    ("Alt-Svc", 'h2="evil.example.com:443"'),
    ("Connection", "keep-alive, x-request-id"),
)
ANSWER = {
    "id": "c1",
    "object": "chat.completion",
    "created": 1,
    "model": "tiny",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hello"}, "finish_reason": "stop"}],
}


class Forger(BaseHTTPRequestHandler):
    """Answers everything."""

    protocol_version = "HTTP/1.1"

    def answer(self) -> None:
        """One reply."""
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path != "/health":
            with open(sys.argv[2], "a") as seen:  # noqa: PTH123
                print(json.dumps([self.command, self.path, self.headers.items(), body.decode()]), file=seen)
        reply = json.dumps(ANSWER).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(reply)))
        for name, value in FORGED:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply)

    do_GET = do_POST = answer  # noqa: N815


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Forger).serve_forever()
