"""A checkpoint as one GGUF file (ggml's docs/gguf.md), which llama.cpp loads: weights, vocabulary, chat template."""

from pathlib import Path

import gguf
import numpy as np
import sentencepiece
from model import Shape, Weights
from text import CHAT_TEMPLATE


def write(
    path: Path, name: str, weights: Weights, shape: Shape, tokenizer: sentencepiece.SentencePieceProcessor
) -> None:
    """Write matrices as 16-bit floats, and norms, which llama.cpp wants exact, as 32-bit ones."""
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name(name)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_F16)
    _sizes(writer, shape)
    _vocabulary(writer, tokenizer)
    for tensor, values in weights.items():
        writer.add_tensor(tensor, np.asarray(values, np.float16 if values.ndim > 1 else np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _sizes(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.heads)
    writer.add_layer_norm_rms_eps(shape.epsilon)
    writer.add_rope_dimension_count(shape.head_width)
    writer.add_rope_freq_base(shape.rope_base)


def _vocabulary(writer: gguf.GGUFWriter, tokenizer: sentencepiece.SentencePieceProcessor) -> None:
    numbers = range(tokenizer.vocab_size())
    writer.add_tokenizer_model("llama")  # llama.cpp's name for SentencePiece
    writer.add_tokenizer_pre("default")
    writer.add_token_list([tokenizer.id_to_piece(number).encode() for number in numbers])
    writer.add_token_scores([tokenizer.get_score(number) for number in numbers])
    writer.add_token_types([_kind(tokenizer, number) for number in numbers])
    writer.add_unk_token_id(tokenizer.unk_id())
    writer.add_bos_token_id(tokenizer.bos_id())
    writer.add_eos_token_id(tokenizer.eos_id())
    writer.add_add_bos_token(True)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT_TEMPLATE)


def _kind(tokenizer: sentencepiece.SentencePieceProcessor, number: int) -> gguf.TokenType:
    if tokenizer.is_unknown(number):
        return gguf.TokenType.UNKNOWN
    if tokenizer.is_control(number):
        return gguf.TokenType.CONTROL
    if tokenizer.is_byte(number):
        return gguf.TokenType.BYTE
    return gguf.TokenType.NORMAL
