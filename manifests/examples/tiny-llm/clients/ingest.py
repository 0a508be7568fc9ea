"""Brings real text into the training-data store: Python's own documentation, which every Python has with it.

The texts are those of `help("for")` and its like: 79 topics, about 460 kB, under the PSF licence.
"""

import argparse
from pydoc_data.topics import topics

from s3 import store

BUCKET = "training-data"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True, metavar="URL", help="https://training-data.<...>-storage.svc:8443")
    parser.add_argument("--prefix", required=True, metavar="PREFIX/", help="one that this machine may write")
    wanted = parser.parse_args()
    client = store(wanted.store)
    for name, text in sorted(topics.items()):
        body = text.encode()
        client.put_object(Bucket=BUCKET, Key=f"{wanted.prefix}{name}.txt", Body=body, ContentType="text/plain")
    print(f"{len(topics)} texts, {sum(map(len, topics.values()))} characters, are below {wanted.prefix}")


if __name__ == "__main__":
    main()
