"""Trains a small language model on every text below a prefix, and stores its checkpoint, sealed.

It knows no key that opens what it stores: `--seal-for` is the public half, and the secret half lies with those who
serve. It signs nothing either: a training program that could sign its own result would vouch for itself.
"""

import argparse
import json
import random
import sys
import tempfile
from dataclasses import asdict, replace
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError
from checkpoint import write
from lesson import Plan, train
from model import Shape
from store import Place, put, texts
from text import learn, paragraphs, stream

from cloister.sealing import SealingError, parse_public
from cloister.weights import WeightsError, seal_file

UNSEEN = 20
"""One paragraph of so many is held back, to measure what was understood rather than learnt by heart."""


def main() -> int:
    """Exit code 1, and one line that says why, where the arguments, the texts or a store are of no use."""
    try:
        _run(_arguments())
    except (ValueError, SealingError, WeightsError, BotoCoreError, ClientError) as error:
        print(f"train: {error}", file=sys.stderr)
        return 1
    return 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", required=True, type=Place, metavar="s3://BUCKET/PREFIX/")
    parser.add_argument("--out", required=True, type=Place, metavar="s3://BUCKET/KEY", help="the sealed checkpoint")
    parser.add_argument("--report", required=True, type=Place, metavar="s3://BUCKET/KEY", help="what came of it, JSON")
    parser.add_argument("--seal-for", required=True, metavar="KEY", help="public key of `cloister keys generate`")
    parser.add_argument("--name", default="tiny-llm")
    parser.add_argument("--steps", type=int, default=800)
    parser.add_argument("--vocabulary", type=int, default=1024)
    return parser.parse_args()


def _run(wanted: argparse.Namespace) -> None:
    recipient = parse_public(wanted.seal_for)
    found = dict(texts(wanted.corpus))
    pieces = [piece for text in found.values() for piece in paragraphs(text)]
    if len(pieces) < 2 * UNSEEN:
        raise ValueError(f"{wanted.corpus}: {len(found)} objects, {len(pieces)} paragraphs of text: too few to learn")
    random.Random(1).shuffle(pieces)  # noqa: S311 - nothing secret: which paragraphs are held back
    held_back, lesson = pieces[: len(pieces) // UNSEEN], pieces[len(pieces) // UNSEEN :]
    tokenizer = learn(lesson, wanted.vocabulary)
    tokens, unseen = stream(tokenizer, lesson, seed=1), stream(tokenizer, held_back, seed=2)
    print(f"{len(found)} texts, {len(pieces)} paragraphs, {len(tokens)} tokens", flush=True)

    shape, plan = replace(Shape(), vocabulary=tokenizer.vocab_size()), Plan(wanted.steps)
    outcome = train(
        tokens,
        unseen,
        shape,
        plan,
        lambda step, loss: print(f"step {step} of {plan.steps}: loss {loss:.3f}", flush=True),
    )
    with tempfile.TemporaryDirectory() as scratch:
        open_file, sealed, report = (Path(scratch) / name for name in ("model.gguf", "model.gguf.sealed", "report"))
        write(open_file, wanted.name, outcome.weights, shape, tokenizer)
        done = seal_file(open_file, sealed, [recipient], lambda _: None)
        document = {
            "object": wanted.out.key,
            "sha256": done.sha256,
            "size": done.size,
            "sealed_for": recipient.key_id,
            "texts": sorted(found),
            "tokens": len(tokens),
            "steps": plan.steps,
            "first_loss": round(outcome.first_loss, 4),
            "last_loss": round(outcome.last_loss, 4),
            "unseen_loss": round(outcome.unseen_loss, 4),
            "seconds": round(outcome.seconds, 1),
            "shape": asdict(shape),
        }
        report.write_text(json.dumps(document, indent=2) + "\n")
        put(wanted.out, sealed, "application/octet-stream")
        put(wanted.report, report, "application/json")
    print(f"loss of unseen text: {outcome.unseen_loss:.3f}, after {outcome.seconds:.0f} s")
    print(f"{wanted.out}: {done.size} bytes, sealed for {recipient.key_id}, SHA-256 {done.sha256}")


if __name__ == "__main__":
    sys.exit(main())
