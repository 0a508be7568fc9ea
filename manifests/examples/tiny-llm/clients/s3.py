"""An S3 client that shows the certificate which cert-manager keeps in this machine's own namespace."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config

IDENTITY = Path(os.environ.get("IDENTITY", "/identity"))
"""Where the Secret with the certificate is mounted: tls.crt, tls.key and ca.crt."""


def store(url: str) -> Any:
    """A client of one store. The certificate is who we are; the credentials mean nothing, but boto3 wants some."""
    return boto3.client(
        "s3",
        endpoint_url=url,
        region_name="us-east-1",
        aws_access_key_id="none",
        aws_secret_access_key="none",  # noqa: S106 - no secret
        verify=str(IDENTITY / "ca.crt"),
        config=Config(
            client_cert=(str(IDENTITY / "tls.crt"), str(IDENTITY / "tls.key")),
            s3={"addressing_style": "path"},
        ),
    )
