"""`POST /v1/chat/completions` (OpenAI API reference, "Create chat completion")."""

from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat

from cloister.auditor.openai.fields import (
    MAX_ITEMS,
    Count,
    DataUrl,
    JsonObject,
    Metadata,
    Name,
    Sampling,
    ServiceTier,
    Shape,
    Short,
)


class TextPart(Shape):
    """A piece of text."""

    type: Literal["text"]
    text: str


class ImageUrl(Shape):
    """An image, inline."""

    url: DataUrl
    detail: Literal["auto", "low", "high"] | None = None


class ImagePart(Shape):
    """An image."""

    type: Literal["image_url"]
    image_url: ImageUrl


class InputAudio(Shape):
    """Sound, base64."""

    data: str
    format: Literal["wav", "mp3"]


class AudioPart(Shape):
    """Sound."""

    type: Literal["input_audio"]
    input_audio: InputAudio


class InlineFile(Shape):
    """A document, inline: `file_id` would name one that was put somewhere by another way."""

    filename: Short | None = None
    file_data: str


class FilePart(Shape):
    """A document."""

    type: Literal["file"]
    file: InlineFile


class RefusalPart(Shape):
    """What the assistant refused earlier."""

    type: Literal["refusal"]
    refusal: str


Text = str | Annotated[list[TextPart], Field(min_length=1, max_length=MAX_ITEMS)]
UserPart = Annotated[TextPart | ImagePart | AudioPart | FilePart, Field(discriminator="type")]
AssistantPart = Annotated[TextPart | RefusalPart, Field(discriminator="type")]


class System(Shape):
    """What whoever runs the service says."""

    role: Literal["system", "developer"]
    content: Text
    name: Name | None = None


class User(Shape):
    """What the person says."""

    role: Literal["user"]
    content: str | Annotated[list[UserPart], Field(min_length=1, max_length=MAX_ITEMS)]
    name: Name | None = None


class FunctionCall(Shape):
    """A call that the assistant asked for."""

    name: Name
    arguments: str


class ToolCall(Shape):
    """The same, with the name by which its result is told."""

    id: Name
    type: Literal["function"]
    function: FunctionCall


class Assistant(Shape):
    """What the model said earlier."""

    role: Literal["assistant"]
    content: str | Annotated[list[AssistantPart], Field(min_length=1, max_length=MAX_ITEMS)] | None = None
    name: Name | None = None
    refusal: str | None = None
    reasoning_content: str | None = None
    annotations: list[JsonObject] | None = None
    audio: JsonObject | None = None
    tool_calls: Annotated[list[ToolCall], Field(max_length=128)] | None = None
    function_call: FunctionCall | None = None


class Tool(Shape):
    """A tool's result."""

    role: Literal["tool"]
    content: Text
    tool_call_id: Name


class Function(Shape):
    """A function's result, in the older form."""

    role: Literal["function"]
    content: str | None
    name: Name


Message = Annotated[System | User | Assistant | Tool | Function, Field(discriminator="role")]


class FunctionDefinition(Shape):
    """A function that the model may ask for; `parameters` is a JSON Schema."""

    name: Name
    description: str | None = None
    parameters: JsonObject | None = None
    strict: bool | None = None


class ToolDefinition(Shape):
    """A tool that the model may ask for."""

    type: Literal["function"]
    function: FunctionDefinition


class NamedFunction(Shape):
    """One function by name."""

    name: Name


class NamedTool(Shape):
    """One tool by name."""

    type: Literal["function"]
    function: NamedFunction


class ResponseFormat(Shape):
    """The form of the answer."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonObject | None = None


class ChatRequest(Sampling):
    """The request."""

    messages: Annotated[list[Message], Field(min_length=1, max_length=MAX_ITEMS)]
    max_tokens: Count | None = None
    max_completion_tokens: Count | None = None
    logprobs: bool | None = None
    top_logprobs: Annotated[int, Field(ge=0, le=20)] | None = None
    tools: Annotated[list[ToolDefinition], Field(max_length=128)] | None = None
    tool_choice: Literal["none", "auto", "required"] | NamedTool | None = None
    parallel_tool_calls: bool | None = None
    functions: Annotated[list[FunctionDefinition], Field(max_length=128)] | None = None
    function_call: Literal["none", "auto"] | NamedFunction | None = None
    response_format: ResponseFormat | None = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None
    verbosity: Literal["low", "medium", "high"] | None = None
    modalities: Annotated[list[Literal["text", "audio"]], Field(max_length=2)] | None = None
    prediction: dict[str, Any] | None = None
    metadata: Metadata | None = None
    service_tier: ServiceTier | None = None
    safety_identifier: Short | None = None
    prompt_cache_key: Short | None = None
    store: Literal[False] | None = None
    """Keeping conversations at the server would be a store that no flow declares."""
    length_penalty: FiniteFloat | None = None
