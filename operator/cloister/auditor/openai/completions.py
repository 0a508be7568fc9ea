"""`POST /v1/completions` and `POST /v1/embeddings` (OpenAI API reference)."""

from typing import Annotated, Literal

from pydantic import Field

from cloister.auditor.openai.fields import MAX_ITEMS, Count, Name, Sampling, Shape, Short

Tokens = Annotated[list[int], Field(min_length=1, max_length=1 << 20)]
Texts = Annotated[list[str], Field(min_length=1, max_length=MAX_ITEMS)]
TokenLists = Annotated[list[Tokens], Field(min_length=1, max_length=MAX_ITEMS)]


class CompletionRequest(Sampling):
    """Text to go on with."""

    prompt: str | Texts | Tokens | TokenLists
    max_tokens: Count | None = None
    suffix: str | None = None
    echo: bool | None = None
    best_of: Annotated[int, Field(ge=1, le=20)] | None = None
    logprobs: Annotated[int, Field(ge=0, le=5)] | None = None


class EmbeddingRequest(Shape):
    """Texts to turn into vectors."""

    model: Name
    input: str | Texts | Tokens | TokenLists
    encoding_format: Literal["float", "base64"] | None = None
    dimensions: Annotated[int, Field(ge=1, le=1 << 16)] | None = None
    user: Short | None = None
