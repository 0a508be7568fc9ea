"""Weights, sealed and signed: the format of a sealed file (docs/weights.md), and signatures over what is stored."""

from cloister.weights.errors import BrokenSealError, NotSealedError, SignatureError, WeightsError, WrongKeyError
from cloister.weights.files import Done, seal_file, unseal_file
from cloister.weights.signatures import Verifier, detached, verifier
from cloister.weights.stream import Sealer, Unsealer, is_sealed, least_opened

__all__ = [
    "BrokenSealError",
    "Done",
    "NotSealedError",
    "Sealer",
    "SignatureError",
    "Unsealer",
    "Verifier",
    "WeightsError",
    "WrongKeyError",
    "detached",
    "is_sealed",
    "least_opened",
    "seal_file",
    "unseal_file",
    "verifier",
]
