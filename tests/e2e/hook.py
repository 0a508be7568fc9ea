"""A receiver of webhooks somewhere outside, run in a network of its own on the node's side.

Takes a certificate, its key, and the addresses to listen at; prints one JSON document a batch: the address at which it
came, its headers by names in lower case, and its body. Ends when standard input is closed.
"""

from __future__ import annotations

import json
import ssl
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PORT = 443


class Handler(BaseHTTPRequestHandler):
    """Takes whatever is posted."""

    def do_POST(self) -> None:
        """One batch."""
        body = self.rfile.read(int(self.headers["content-length"])).decode()
        headers = {name.lower(): value for name, value in self.headers.items()}
        address, _ = self.connection.getsockname()
        print(json.dumps({"address": address, "headers": headers, "body": body}), flush=True)
        self.send_response(204)
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """Standard output is for batches."""


def main() -> None:
    """A server for each address, until standard input ends."""
    certificate, key, *addresses = sys.argv[1:]
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    for address in addresses:
        server = ThreadingHTTPServer((address, PORT), Handler)
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()
    print(json.dumps("up"), flush=True)
    sys.stdin.read()


if __name__ == "__main__":
    main()
