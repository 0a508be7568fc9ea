"""Shapes that several of the APIs share. Unknown fields are refused: what nobody checks, nobody has allowed."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, FiniteFloat

MAX_ITEMS = 4096
"""Messages, parts or inputs in one request; their bytes are bounded by the size of the body."""


class Shape(BaseModel):
    """A JSON object with exactly these fields, each of exactly this type."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, protected_namespaces=())


def _data_url(url: str) -> str:
    # The server has no network to fetch anything else; asked for it, it would be a way to probe.
    if not url.startswith("data:"):
        raise ValueError("only data: URLs are possible: the model server has no network")
    return url


Name = Annotated[str, Field(min_length=1, max_length=256)]
Short = Annotated[str, Field(max_length=1024)]
DataUrl = Annotated[str, AfterValidator(_data_url)]
Count = Annotated[int, Field(ge=1, le=1 << 24)]
Share = Annotated[FiniteFloat, Field(ge=0, le=1)]
Temperature = Annotated[FiniteFloat, Field(ge=0, le=2)]
Penalty = Annotated[FiniteFloat, Field(ge=-2, le=2)]
JsonObject = dict[str, Any]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]], Field(max_length=16)
]
Stop = str | Annotated[list[str], Field(max_length=16)]
ServiceTier = Literal["auto", "default", "flex", "priority", "scale"]


class StreamOptions(Shape):
    """`stream_options`."""

    include_usage: bool | None = None
    include_obfuscation: bool | None = None


class Sampling(Shape):
    """How the next token is chosen: OpenAI's own fields, and those of vLLM and llama.cpp that only sample."""

    model: Name
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    seed: int | None = None
    n: Annotated[int, Field(ge=1, le=128)] | None = None
    stop: Stop | None = None
    logit_bias: Annotated[dict[str, Annotated[FiniteFloat, Field(ge=-100, le=100)]], Field(max_length=1024)] | None = (
        None
    )
    user: Short | None = None
    # vLLM ("Extra parameters") and llama.cpp ("server").
    top_k: Annotated[int, Field(ge=-1, le=1 << 20)] | None = None
    min_p: Share | None = None
    typical_p: Share | None = None
    repetition_penalty: Annotated[FiniteFloat, Field(gt=0, le=10)] | None = None
    min_tokens: Annotated[int, Field(ge=0, le=1 << 24)] | None = None
    ignore_eos: bool | None = None
    stop_token_ids: Annotated[list[int], Field(max_length=64)] | None = None
    skip_special_tokens: bool | None = None
    include_stop_str_in_output: bool | None = None
