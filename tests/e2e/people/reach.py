"""Tries to open connections: prints for each ADDRESS:PORT whether it was open, refused or silent, as JSON."""

from __future__ import annotations

import json
import socket
import sys
from concurrent.futures import ThreadPoolExecutor

SECONDS = 3.0


def main() -> None:
    targets = sys.argv[1:]
    with ThreadPoolExecutor(len(targets)) as at_once:
        found = at_once.map(lambda target: tried(*target.rsplit(":", 1)), targets)
        print(json.dumps(dict(zip(targets, found, strict=True))))


def tried(host: str, port: str) -> str:
    """`open`, or why not."""
    try:
        with socket.create_connection((host, int(port)), timeout=SECONDS):
            return "open"
    except TimeoutError:
        return "silent"
    except OSError as error:
        return type(error).__name__


if __name__ == "__main__":
    main()
