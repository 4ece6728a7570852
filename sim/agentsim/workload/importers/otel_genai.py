"""OpenTelemetry spans of model calls, tools and agents, as OTLP JSON: GenAI conventions of all ages
and OpenInference.

A file is one document with ``resourceSpans``, or such documents one a line (the collector's file
exporter), or a document ``{"spans": [...]}`` with snake-case names (the Python SDK's ``to_json``).
The conventions are still in development: old and new names count alike. Start reading at `_span`.
"""

from __future__ import annotations

from agentsim.workload.importers.chat import (
    Message,
    Pieces,
    answer_of,
    messages_of,
    tools_of,
    trigger_of,
)
from agentsim.workload.importers.claude_calls import (
    ANSWER,
    ANSWER_CHARACTER,
    ANSWER_TOOL,
    LAST_PLACEHOLDER,
)
from agentsim.workload.importers.logged import LoggedCall
from agentsim.workload.importers.otlp import Fields, documents, fields_of, spans_of, texts
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.spans import Kind, Span, hold_span, settle

_KIND = "otel-genai"
_CALLS = {"chat", "text_completion", "generate_content", "completion", "LLM"}
_AGENTS = {"invoke_agent", "AGENT"}
_TOOLS = {"execute_tool", "TOOL"}

_INPUT = ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens", "llm.token_count.prompt",
          "llm.usage.prompt_tokens")  # fmt: skip
_OUTPUT = ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
           "llm.token_count.completion", "llm.usage.completion_tokens")  # fmt: skip
_CACHED = ("gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
           "gen_ai.usage.input_tokens.cached", "llm.token_count.prompt_details.cache_read",
           "llm.usage.cache_read_input_tokens")  # fmt: skip
_CREATED = ("gen_ai.usage.cache_creation.input_tokens", "gen_ai.usage.cache_creation_input_tokens",
            "llm.token_count.prompt_details.cache_write",
            "llm.usage.cache_creation_input_tokens")  # fmt: skip
_REASONING = ("gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.reasoning_tokens",
              "llm.token_count.completion_details.reasoning")  # fmt: skip
_MODEL = ("gen_ai.response.model", "gen_ai.request.model", "llm.model_name")
_SESSION = ("gen_ai.conversation.id", "session.id", "langfuse.session.id")


def is_otel_genai(file: LogFile) -> bool:
    """Whether a file holds OTLP spans, or other spans with attributes of model calls."""
    if "resourceSpans" in file.keys or "resource_spans" in file.keys:
        return True  # what else is in it has no tokens
    return "spans" in file.keys and '"gen_ai.' in file.text


def read_otel_genai(file: LogFile, sink: Sink) -> None:
    """Read the spans of a file; `settle_otel_genai` makes them into calls."""
    pieces = Pieces(sink)
    for number, document in documents(file, sink):
        for given in spans_of(file, number, document):
            with sink.guard():
                fields = fields_of(file, number, given)
                hold_span(sink, _KIND, fields.trace, _span(fields, sink, pieces))


def settle_otel_genai(sink: Sink) -> None:
    """Make all spans into calls."""
    settle(sink, _KIND)


def _span(fields: Fields, sink: Sink, pieces: Pieces) -> Span:
    kind = _kind(fields)
    name = fields.text(
        *(("gen_ai.tool.name", "tool.name") if kind == "tool" else ()),
        *(("gen_ai.agent.name", "agent.name") if kind == "agent" else ()),
    )
    start_ns, end_ns = fields.start_ns, fields.end_ns
    if kind == "tool" and fields.attributes.get("agentpile.time_synthetic"):
        start_ns = end_ns = None
        sink.warn("times of tools that a converter made up; dropped", fields.id)
    call = None
    if kind == "call":
        if fields.failed and fields.count(*_OUTPUT) is None:
            sink.warn("calls that failed; left out", fields.id)
            kind = "other"
        else:
            call = _call(fields, sink, pieces)
    return Span(
        id=fields.id,
        kind=kind,
        name=name or fields.name.removeprefix("execute_tool ").removeprefix("invoke_agent "),
        parent=fields.parent,
        session=fields.text(*_SESSION),
        start_ns=start_ns,
        end_ns=end_ns if call is None or call.end_ns is None else call.end_ns,
        call=call,
        created_tokens=fields.count(*_CREATED) or 0,
    )


def _kind(fields: Fields) -> Kind:
    names = {
        fields.text("gen_ai.operation.name"),
        fields.text("openinference.span.kind"),
        (fields.text("llm.request.type") or fields.text("traceloop.span.kind") or "").lower(),
    }
    if fields.name == "asot.usage_snapshot":
        return "call"  # of each record of a call; those named chat hold its text alone
    if "asot.vendor" in fields.attributes and names & _CALLS:
        return "other"
    if names & _TOOLS or "tool" in names:
        return "tool"
    if names & _AGENTS or "agent" in names:
        return "agent"
    if names & _CALLS or (names == {None, ""} and fields.count(*_INPUT) is not None):
        return "call"
    return "other"


def _call(fields: Fields, sink: Sink, pieces: Pieces) -> LoggedCall | None:
    """The call of a span; None where it says nothing of its size."""
    inputs, outputs = fields.count(*_INPUT), fields.count(*_OUTPUT)
    prompt, answer = texts(fields)
    messages = messages_of(prompt, system=fields.json("gen_ai.system_instructions"),
                           tools=fields.json("gen_ai.tool.definitions"))  # fmt: skip
    said = answer_of(answer)
    found = pieces.of(messages) if messages else None
    if inputs is None and found is None:
        return None
    start_ns, end_ns = fields.start_ns, fields.end_ns
    if start_ns == end_ns or "agentpile.version" in fields.attributes:
        start_ns, end_ns = None, start_ns
        sink.warn("calls with one time each; taken as their end", fields.id)
    if inputs is None or outputs is None:
        sink.warn("calls without token counts; their text was counted", fields.id)
    if outputs is None:
        outputs, is_estimate = pieces.tokens(said) if said else 0, True
    elif (found_tokens := _true_output(fields, outputs, said)) is not None:
        sink.warn("output counts that are placeholders; estimated where there is text", fields.id)
        outputs, is_estimate = found_tokens, True
    else:
        is_estimate = False
    is_whole = not fields.attributes.get("agentpile.input_reconstructed")
    is_thought = bool(fields.count(*_REASONING)) and not (said and said.has_thought)
    return LoggedCall(
        id=fields.id,
        input_tokens=sum(p.tokens for p in found or ()) if inputs is None else inputs,
        output_tokens=outputs,
        model=fields.text(*_MODEL),
        start_ns=start_ns,
        first_token_ns=_first_token(fields, start_ns),
        end_ns=end_ns,
        pieces=found if is_whole else None,
        answer=said.digest if said and not is_thought else None,
        trigger=trigger_of(messages) if is_whole else None,
        cached_tokens=fields.count(*_CACHED),
        finish=_finish(fields),
        tools=tools_of(said),
        input_estimated=inputs is None,
        output_estimated=is_estimate,
    )


def _first_token(fields: Fields, start_ns: int | None) -> int | None:
    waited_ns = fields.nanoseconds(
        "gen_ai.response.time_to_first_chunk", "gen_ai.server.time_to_first_token"
    )
    return None if start_ns is None or waited_ns is None else start_ns + waited_ns


def _finish(fields: Fields) -> str | None:
    value = fields.attributes.get("gen_ai.response.finish_reasons")
    for each in value if isinstance(value, list) else [value]:
        if isinstance(each, str):
            return each
    return None


def _true_output(fields: Fields, outputs: int, said: Message | None) -> int | None:
    """What an answer had instead of a placeholder that Claude Code wrote; None: it is none.

    Converters pass such counts on. Where they pass the answer's text on too, it is estimated as
    `claude_calls` does.
    """
    is_converted = fields.attributes.keys() & {"agentpile.version", "asot.vendor"}
    is_claude = (fields.text(*_MODEL) or "").startswith("claude-")
    if not is_converted or not is_claude or outputs > LAST_PLACEHOLDER:
        return None
    if said is None:
        return outputs
    characters = len(said.text) - sum(map(len, said.tools))
    found = round(ANSWER + ANSWER_CHARACTER * characters + ANSWER_TOOL * len(said.tools))
    return max(found, outputs)
