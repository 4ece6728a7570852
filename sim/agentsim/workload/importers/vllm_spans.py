"""vLLM's own spans (``--otlp-traces-endpoint``), as OTLP JSON: one ``llm_request`` a request.

The best source of measured times: queue, first token, end (vLLM v1, `tracing.py`
`SpanAttributes`). There is no session and no prefix; requests whose client passed a trace context
on are of the session that the context names.
"""

from __future__ import annotations

from agentsim.workload.importers.logged import LoggedCall
from agentsim.workload.importers.otlp import Fields, documents, fields_of, spans_of
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile, expect

_INPUT = ("gen_ai.usage.prompt_tokens", "gen_ai.usage.input_tokens")
_OUTPUT = ("gen_ai.usage.completion_tokens", "gen_ai.usage.output_tokens")


def is_vllm_spans(file: LogFile) -> bool:
    """Whether a file holds spans of vLLM requests."""
    has_spans = file.keys & {"resourceSpans", "resource_spans", "spans"}
    return bool(has_spans) and '"llm_request"' in file.text


def read_vllm_spans(file: LogFile, sink: Sink) -> None:
    """Read the requests of a file; other spans are passed over."""
    for number, document in documents(file, sink):
        for given in spans_of(file, number, document):
            if given.get("name") != "llm_request":
                continue
            with sink.guard():
                fields = fields_of(file, number, given)
                call = _call(fields)
                session = fields.trace if fields.parent else call.id
                if not fields.parent:
                    sink.warn("requests without a trace context; each is a session", call.id)
                sink.call(session, call)


def _call(fields: Fields) -> LoggedCall:
    inputs, outputs = fields.count(*_INPUT), fields.count(*_OUTPUT)
    if inputs is None:
        raise expect(fields.file, fields.number, _INPUT[0], None, "an integer >= 0")
    start_ns, end_ns = fields.start_ns, fields.end_ns
    first_ns = fields.nanoseconds("gen_ai.latency.time_to_first_token")
    e2e_ns = fields.nanoseconds("gen_ai.latency.e2e")
    if start_ns is not None and e2e_ns is not None:
        end_ns = start_ns + e2e_ns
    return LoggedCall(
        id=fields.text("gen_ai.request.id") or fields.id,
        input_tokens=inputs,
        output_tokens=outputs or 0,
        model=fields.text("gen_ai.response.model", "gen_ai.request.model"),
        start_ns=start_ns,
        first_token_ns=None if start_ns is None or first_ns is None else start_ns + first_ns,
        end_ns=end_ns,
        queue_ns=fields.nanoseconds("gen_ai.latency.time_in_queue"),
    )
