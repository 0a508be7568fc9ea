"""`POST /v1/responses` (OpenAI API reference), but for what would keep state at the server."""

from typing import Annotated, Any, Literal

from pydantic import Field

from cloister.auditor.openai.fields import (
    MAX_ITEMS,
    Count,
    DataUrl,
    JsonObject,
    Metadata,
    Name,
    ServiceTier,
    Shape,
    Share,
    Short,
    StreamOptions,
    Temperature,
)


class InputText(Shape):
    """Text of whoever asks."""

    type: Literal["input_text"]
    text: str


class InputImage(Shape):
    """An image, inline."""

    type: Literal["input_image"]
    image_url: DataUrl
    detail: Literal["auto", "low", "high"] | None = None


class InputFile(Shape):
    """A document, inline."""

    type: Literal["input_file"]
    filename: Short | None = None
    file_data: str


class OutputText(Shape):
    """What the model said earlier."""

    type: Literal["output_text"]
    text: str
    annotations: list[JsonObject] | None = None
    logprobs: list[JsonObject] | None = None


class Refusal(Shape):
    """What it refused earlier."""

    type: Literal["refusal"]
    refusal: str


Part = Annotated[InputText | InputImage | InputFile | OutputText | Refusal, Field(discriminator="type")]
Parts = Annotated[list[Part], Field(min_length=1, max_length=MAX_ITEMS)]


class Message(Shape):
    """A turn of the conversation."""

    type: Literal["message"] | None = None
    role: Literal["user", "system", "developer", "assistant"]
    content: str | Parts
    id: Name | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class FunctionCall(Shape):
    """A call that the model asked for."""

    type: Literal["function_call"]
    call_id: Name
    name: Name
    arguments: str
    id: Name | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class FunctionCallOutput(Shape):
    """Its result."""

    type: Literal["function_call_output"]
    call_id: Name
    output: str | Parts
    id: Name | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


class Reasoning(Shape):
    """What the model thought earlier."""

    type: Literal["reasoning"]
    id: Name
    summary: list[JsonObject]
    content: list[JsonObject] | None = None
    encrypted_content: str | None = None
    status: Literal["in_progress", "completed", "incomplete"] | None = None


Item = Message | FunctionCall | FunctionCallOutput | Reasoning


class FunctionTool(Shape):
    """A function that the model may ask for. Tools that act at the server (search, code, files) are none of these."""

    type: Literal["function"]
    name: Name
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class NamedTool(Shape):
    """One function by name."""

    type: Literal["function"]
    name: Name


class ResponsesRequest(Shape):
    """The request."""

    model: Name
    input: str | Annotated[list[Item], Field(min_length=1, max_length=MAX_ITEMS)]
    instructions: str | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: Share | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    max_output_tokens: Count | None = None
    max_tool_calls: Annotated[int, Field(ge=0, le=128)] | None = None
    tools: Annotated[list[FunctionTool], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    text: dict[str, Any] | None = None
    reasoning: dict[str, Any] | None = None
    include: Annotated[list[Short], Field(max_length=16)] | None = None
    metadata: Metadata | None = None
    truncation: Literal["auto", "disabled"] | None = None
    user: Short | None = None
    safety_identifier: Short | None = None
    prompt_cache_key: Short | None = None
    service_tier: ServiceTier | None = None
    store: Literal[False] | None = None
    """Neither `store` nor `previous_response_id`, `conversation` or `background`: each keeps state at the server."""
