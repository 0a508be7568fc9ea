"""Releases a checkpoint: looks at what training reports of it, signs it, and stores it where it is served from, under a
name of its own: what a release before has stored may be served at this moment.

The checkpoint stays sealed: this machine can't open it, and needn't. Its signature says that it came out of training
as reported, and that somebody who may release has let it go.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from s3 import store

from cloister.sealing import SealingError, read_signing
from cloister.weights import detached, is_sealed

BUCKET = "checkpoints"


def main() -> int:
    """Exit code 1, and one line that says why, where the checkpoint is not released."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--store", required=True, metavar="URL", help="https://checkpoints.<...>-storage.svc:8443")
    parser.add_argument("--report", required=True, metavar="KEY", help="training's report, which names the checkpoint")
    parser.add_argument("--to", required=True, metavar="PREFIX/", help="below which each release has a folder")
    parser.add_argument("--key", required=True, type=Path, metavar="FILE", help="the ed25519 key that signs")
    parser.add_argument("--max-loss", type=float, default=4.0, help="of unseen text, in nats a token")
    wanted = parser.parse_args()
    try:
        print(json.dumps(release(wanted.store, wanted.report, wanted.to, wanted.key, wanted.max_loss)))
    except (ValueError, KeyError, SealingError, BotoCoreError, ClientError) as error:
        print(f"release: {error}", file=sys.stderr)
        return 1
    return 0


def release(url: str, report_key: str, to: str, key: Path, max_loss: float) -> dict[str, str]:
    """What the resource must say: `object`, `sha256` and `publicKey`; ValueError where nothing was released."""
    if not to.endswith("/"):
        raise ValueError(f"--to {to}: a prefix ends in '/'")
    signing, client = read_signing(key), store(url)
    report = json.loads(client.get_object(Bucket=BUCKET, Key=report_key)["Body"].read())
    if not report["unseen_loss"] <= max_loss:
        raise ValueError(f"{report['object']}: its loss is {report['unseen_loss']}, and may be {max_loss} at most")
    sealed = client.get_object(Bucket=BUCKET, Key=report["object"])["Body"].read()
    digest = hashlib.sha256(sealed).hexdigest()
    if digest != report["sha256"]:
        raise ValueError(f"{report['object']} has SHA-256 {digest}, but training reports {report['sha256']}")
    if not is_sealed(sealed):
        raise ValueError(f"{report['object']} is not sealed: let training store it by --seal-for")
    released = f"{to}{digest[:12]}/{report['object'].rpartition('/')[2]}"
    client.put_object(Bucket=BUCKET, Key=released, Body=sealed, ContentType="application/octet-stream")
    # Last: without its signature, no object is ever served.
    signature = detached(signing, digest)
    client.put_object(Bucket=BUCKET, Key=f"{released}.sig", Body=signature, ContentType="application/json")
    return {"object": released, "sha256": digest, "publicKey": str(signing.public)}


if __name__ == "__main__":
    sys.exit(main())
