"""Text to tokens: a small vocabulary learnt from the texts themselves, and the form of a conversation.

The tokenizer is SentencePiece's BPE, which llama.cpp computes alike. What no piece covers is spelt in bytes.
"""

import io
import random
import re
from collections.abc import Sequence

import numpy as np
import sentencepiece

USER, ASSISTANT = "<|user|>", "<|assistant|>"
CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    "{% if message['role'] == 'assistant' %}" + ASSISTANT + "{{ message['content'] }}{{ eos_token }}"
    "{% else %}" + USER + "{{ message['content'] }}{% endif %}"
    "{% endfor %}{% if add_generation_prompt %}" + ASSISTANT + "{% endif %}"
)
"""Jinja, as llama.cpp's server expects it."""
_LONGEST_LINE = 4096
_PARAGRAPH = re.compile(r"\n\s*\n")


def paragraphs(text: str) -> list[str]:
    """The paragraphs of a text that are long enough to be begun and continued."""
    return [piece for part in _PARAGRAPH.split(text) if len(piece := part.strip("\n")) >= 40]


def learn(texts: Sequence[str], size: int) -> sentencepiece.SentencePieceProcessor:
    """A vocabulary of `size` pieces; the same for the same texts."""
    found = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=(line for text in texts for line in text.splitlines() if line.strip()),
        model_writer=found,
        model_type="bpe",
        vocab_size=size,
        character_coverage=1.0,
        byte_fallback=True,
        normalization_rule_name="identity",
        remove_extra_whitespaces=False,
        add_dummy_prefix=False,
        split_digits=True,
        allow_whitespace_only_pieces=True,
        control_symbols=[USER, ASSISTANT],
        max_sentence_length=_LONGEST_LINE,
        num_threads=1,
        minloglevel=2,
    )
    return sentencepiece.SentencePieceProcessor(model_proto=found.getvalue())


def conversation(
    tokenizer: sentencepiece.SentencePieceProcessor, paragraph: str, generator: random.Random
) -> list[int]:
    """One paragraph as a conversation: somebody begins it, the model goes on to its end."""
    breaks = [match.start() for match in re.finditer(r"\s", paragraph)] or [len(paragraph) // 2]
    cut = breaks[generator.randrange(max(1, len(breaks) // 2))]
    return [
        tokenizer.bos_id(),
        tokenizer.piece_to_id(USER),
        *tokenizer.encode(paragraph[:cut]),
        tokenizer.piece_to_id(ASSISTANT),
        *tokenizer.encode(paragraph[cut:]),
        tokenizer.eos_id(),
    ]


def stream(tokenizer: sentencepiece.SentencePieceProcessor, pieces: Sequence[str], seed: int) -> np.ndarray:
    """All paragraphs, in an order of their own, as one row of token numbers."""
    generator = random.Random(seed)  # noqa: S311 - nothing secret: the order of a lesson
    shuffled = generator.sample(pieces, len(pieces))
    return np.array([token for piece in shuffled for token in conversation(tokenizer, piece, generator)], np.int32)
