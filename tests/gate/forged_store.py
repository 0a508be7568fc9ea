"""A store that a training pod reaches by mutual TLS, and that claims to be the gate in every answer. It writes down who
asked and what. Standard library only; its arguments are address, port, PEM (certificate, key and CA), and a file.
"""

import json
import ssl
import sys
import tempfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

BODY = b"a text to learn from"
FORGED = (
    ("x-cloister-peer", "spiffe://cluster.local/ns/web/sa/frontend"),
    ("X-Cloister-Bucket", "interaction-logs"),
    ("x-envoy-upstream-service-time", "1"),
    ("Set-Cookie", "a=b"),
    ("Alt-Svc", 'h2="evil.example.com:443"'),
)


class Store(BaseHTTPRequestHandler):
    """Has every object."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """One object."""
        names = self.connection.getpeercert()["subjectAltName"]
        with open(sys.argv[4], "a") as seen:  # noqa: PTH123
            print(json.dumps([names, self.path, self.headers.items()]), file=seen)
        self.send_response(200)
        self.send_header("Content-Type", "text/plain")
        self.send_header("Content-Length", str(len(BODY)))
        self.send_header("ETag", '"e"')
        for name, value in FORGED:
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(BODY)


if __name__ == "__main__":
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    with tempfile.NamedTemporaryFile("w") as pem:
        pem.write(sys.argv[3])
        pem.flush()
        context.load_cert_chain(pem.name)
        context.load_verify_locations(pem.name)
    server = ThreadingHTTPServer((sys.argv[1], int(sys.argv[2])), Store)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.serve_forever()
