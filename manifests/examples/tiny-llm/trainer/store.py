"""Objects by S3. Where the endpoint is, and that there is no need of credentials, boto3 reads from the environment."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import boto3


class Place:
    """A bucket and a key or prefix in it."""

    def __init__(self, url: str) -> None:
        """ValueError unless it is `s3://BUCKET/KEY`."""
        parts = urlsplit(url)
        self.bucket, self.key = parts.netloc, parts.path.removeprefix("/")
        if parts.scheme != "s3" or not self.bucket or not self.key:
            raise ValueError(f"{url!r} is not of the form s3://BUCKET/KEY")

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def texts(prefix: Place) -> Iterator[tuple[str, str]]:
    """Key and text of every object below a prefix, in the order of their keys."""
    client = boto3.client("s3")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=prefix.bucket, Prefix=prefix.key):
        for entry in page.get("Contents", []):
            content = client.get_object(Bucket=prefix.bucket, Key=entry["Key"])["Body"].read()
            yield entry["Key"], content.decode()


def put(target: Place, file: Path, content_type: str) -> None:
    """Store a file."""
    with file.open("rb") as body:
        boto3.client("s3").put_object(Bucket=target.bucket, Key=target.key, Body=body, ContentType=content_type)
