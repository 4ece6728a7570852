"""The formats that logs come in, one file and one row each: `IMPORTERS`.

Outsiders add one by an entry point of the group ``agentsim.importers`` that names an `Importer`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from agentsim.registry import Registry
from agentsim.workload.importers.agentic_mooncake import is_agentic_mooncake, read_agentic_mooncake
from agentsim.workload.importers.aiperf import is_aiperf, read_aiperf
from agentsim.workload.importers.applied_compute import is_applied_compute, read_applied_compute
from agentsim.workload.importers.atif import is_atif, read_atif
from agentsim.workload.importers.azure import is_azure, read_azure
from agentsim.workload.importers.bailian import is_bailian, read_bailian
from agentsim.workload.importers.blis import is_blis, read_blis
from agentsim.workload.importers.burstgpt import is_burstgpt, read_burstgpt
from agentsim.workload.importers.claude_code import is_claude_code, read_claude_code
from agentsim.workload.importers.claude_code_otel import (
    is_claude_code_otel,
    read_claude_code_otel,
)
from agentsim.workload.importers.codex import is_codex, read_codex
from agentsim.workload.importers.langfuse import is_langfuse, read_langfuse, settle_langfuse
from agentsim.workload.importers.llmservingsim import is_llmservingsim, read_llmservingsim
from agentsim.workload.importers.mini_swe_agent import is_mini_swe_agent, read_mini_swe_agent
from agentsim.workload.importers.mooncake import is_mooncake, read_mooncake
from agentsim.workload.importers.mooncake_delta import is_mooncake_delta, read_mooncake_delta
from agentsim.workload.importers.openai import is_openai, read_openai, settle_openai
from agentsim.workload.importers.openhands import is_openhands, read_openhands
from agentsim.workload.importers.otel_genai import (
    is_otel_genai,
    read_otel_genai,
    settle_otel_genai,
)
from agentsim.workload.importers.sink import Sink
from agentsim.workload.importers.sources import LogFile
from agentsim.workload.importers.swe_agent import is_swe_agent, read_swe_agent
from agentsim.workload.importers.tau_bench import is_tau_bench, read_tau_bench
from agentsim.workload.importers.tracelab import is_tracelab, read_tracelab
from agentsim.workload.importers.tracelab_csv import is_tracelab_csv, read_tracelab_csv
from agentsim.workload.importers.vllm_log import is_vllm_log, link_vllm_log, read_vllm_log
from agentsim.workload.importers.vllm_spans import is_vllm_spans, read_vllm_spans
from agentsim.workload.importers.weka import is_weka, read_weka


@dataclass(frozen=True, slots=True)
class Importer:
    """One format of logs.

    Attributes
    ----------
    about : str
        What it is, in a few words.
    detect : function
        Whether a file is of this format, by its head.
    read : function
        Puts the calls of a file into a sink. May be called for many files of one session.
    covers : str
        ``input+output`` where the format shows whether answers were sent back (text, hashes, token
        ids), ``input`` where only sizes are known.
    tested_on : str
        ``samples`` of real logs, or ``field tables``: made from its documentation.
    finish : function or None
        Called once when all files are read, for what only all of them together show.
    """

    about: str
    detect: Callable[[LogFile], bool]
    read: Callable[[LogFile, Sink], None]
    covers: Literal["input", "input+output"]
    tested_on: Literal["samples", "field tables"]
    finish: Callable[[Sink], None] | None = None


#: Order matters: a file is of the first format that knows it.
IMPORTERS: Registry[Importer] = Registry(
    "log format",
    {
        "claude-code": Importer(
            "Claude Code sessions and stream-json, JSON lines",
            is_claude_code,
            read_claude_code,
            "input",
            "samples",
        ),
        "claude-code-otel": Importer(
            "Claude Code's telemetry events, OTLP logs as JSON",
            is_claude_code_otel,
            read_claude_code_otel,
            "input",
            "field tables",
        ),
        "codex": Importer(
            "Codex CLI rollouts, JSON lines", is_codex, read_codex, "input", "samples"
        ),
        "mooncake": Importer(
            "Mooncake requests, JSON lines", is_mooncake, read_mooncake, "input+output", "samples"
        ),
        "azure": Importer(
            "Azure LLM inference trace, CSV", is_azure, read_azure, "input", "samples"
        ),
        "agentic-mooncake": Importer(
            "Dynamo's agentic_mooncake: Mooncake rows that wait for one another",
            is_agentic_mooncake,
            read_agentic_mooncake,
            "input+output",
            "field tables",
        ),
        "bailian": Importer(
            "Alibaba Bailian chats with block hashes",
            is_bailian,
            read_bailian,
            "input+output",
            "field tables",
        ),
        "applied-compute": Importer(
            "Dynamo's applied_compute_agentic: agent runs by their sizes",
            is_applied_compute,
            read_applied_compute,
            "input+output",
            "field tables",
        ),
        "mooncake-delta": Importer(
            "Mooncake rows that hold what a turn adds (Dynamo, aiperf)",
            is_mooncake_delta,
            read_mooncake_delta,
            "input+output",
            "field tables",
        ),
        "aiperf": Importer(
            "Mooncake rows with sessions, text or messages (aiperf)",
            is_aiperf,
            read_aiperf,
            "input+output",
            "field tables",
        ),
        "weka": Importer(
            "WEKA traces of Claude Code, JSON", is_weka, read_weka, "input", "samples"
        ),
        "tracelab": Importer(
            "TraceLab rounds, JSON lines",
            is_tracelab,
            read_tracelab,
            "input+output",
            "samples",
        ),
        "tracelab-csv": Importer(
            "TraceLab replay CSV",
            is_tracelab_csv,
            read_tracelab_csv,
            "input+output",
            "field tables",
        ),
        "burstgpt": Importer(
            "BurstGPT requests, CSV", is_burstgpt, read_burstgpt, "input+output", "field tables"
        ),
        "llmservingsim": Importer(
            "LLMServingSim sessions and requests, JSON lines",
            is_llmservingsim,
            read_llmservingsim,
            "input+output",
            "field tables",
        ),
        "blis": Importer(
            "BLIS TraceV2, YAML and CSV", is_blis, read_blis, "input+output", "field tables"
        ),
        "atif": Importer(
            "ATIF trajectories 1.0 to 1.8, JSON", is_atif, read_atif, "input", "samples"
        ),
        "openhands": Importer(
            "OpenHands output.jsonl or list of events",
            is_openhands,
            read_openhands,
            "input",
            "samples",
        ),
        "swe-agent": Importer(
            "SWE-agent .traj", is_swe_agent, read_swe_agent, "input+output", "samples"
        ),
        "mini-swe-agent": Importer(
            "mini-swe-agent .traj.json, lists of chat messages",
            is_mini_swe_agent,
            read_mini_swe_agent,
            "input+output",
            "samples",
        ),
        "vllm-spans": Importer(
            "vLLM's own request spans, OTLP JSON",
            is_vllm_spans,
            read_vllm_spans,
            "input",
            "field tables",
        ),
        "vllm-log": Importer(
            "vLLM's log of requests",
            is_vllm_log,
            read_vllm_log,
            "input+output",
            "field tables",
            link_vllm_log,
        ),
        "otel-genai": Importer(
            "OpenTelemetry GenAI and OpenInference spans, OTLP JSON",
            is_otel_genai,
            read_otel_genai,
            "input+output",
            "samples",
            settle_otel_genai,
        ),
        "langfuse": Importer(
            "Langfuse observations, JSON",
            is_langfuse,
            read_langfuse,
            "input+output",
            "field tables",
            settle_langfuse,
        ),
        "tau-bench": Importer(
            "tau-bench results, JSON", is_tau_bench, read_tau_bench, "input+output", "samples"
        ),
        "openai": Importer(
            "OpenAI-style request logs: own proxies, LiteLLM, Helicone, LMCache's form",
            is_openai,
            read_openai,
            "input+output",
            "samples",
            settle_openai,
        ),
    },
    entry_point_group="agentsim.importers",
)
