"""What a server says of itself, as columns of ``runs.csv``; and whether it answers as it must."""

from __future__ import annotations

import json
from typing import Any

from agentsim.errors import UserError
from agentsim.report.server_metrics import Snapshot, parse_metrics
from collecting.client import Client

#: Label of ``vllm:cache_config_info`` -> column.
_CACHE = {
    "block_size": "block_size",
    "num_gpu_blocks": "num_gpu_blocks",
    "gpu_memory_utilization": "gpu_memory_utilization",
    "enable_prefix_caching": "prefix_caching",
}
#: Tokens of the request that shows how the server answers.
_PROMPT, _OUTPUT = 16, 4


async def facts_of(client: Client) -> dict[str, str]:
    """Columns as ``/v1/models``, ``/version`` and ``/metrics`` tell them; fewer of other servers.

    Raises
    ------
    UserError
        If the server cannot be reached or does not serve the model.
    """
    url = client.endpoint.url
    models = _json(url, await client.endpoint.fetch("/v1/models")).get("data") or []
    served = {str(model.get("id")): model for model in models if isinstance(model, dict)}
    if served and client.model not in served:
        known = ", ".join(sorted(served))
        raise UserError(f"{url}: does not serve {client.model!r}; it serves {known}")
    facts = {"max_model_len": served.get(client.model, {}).get("max_model_len")}
    version = await client.endpoint.fetch("/version")
    if version is not None:
        facts["engine_version"] = _json(url, version).get("version")
    text = await client.endpoint.fetch("/metrics")
    if text is not None and "vllm:" in text:
        facts["engine"] = "vllm"
        facts |= _cache_facts(parse_metrics(text, f"{url}/metrics"))
    return {name: str(value) for name, value in facts.items() if value is not None}


def _cache_facts(snapshot: Snapshot) -> dict[str, Any]:
    said = snapshot.labels("vllm:cache_config_info")
    return {
        column: said[label]
        for label, column in _CACHE.items()
        if said.get(label) not in (None, "None")
    }


async def check_answers(client: Client) -> None:
    """Send one short request and see that the server makes exactly the tokens asked for.

    Raises
    ------
    UserError
        If it counts other tokens, or does not count them.
    """
    url = client.endpoint.url
    answer = await client.complete(client.body(client.tokens.first("check", _PROMPT), _OUTPUT))
    if not answer.ok:
        raise UserError(f"{url}: no answer to {_PROMPT} tokens within {client.timeout_s:g} s")
    if answer.prompt_tokens is None or answer.output_tokens is None:
        raise UserError(f"{url}: tells no usage in its stream (stream_options.include_usage)")
    if answer.prompt_tokens != _PROMPT:
        raise UserError(
            f"{url}: counts {answer.prompt_tokens} prompt tokens where {_PROMPT} were sent"
        )
    if answer.output_tokens != _OUTPUT:
        raise UserError(
            f"{url}: made {answer.output_tokens} tokens where {_OUTPUT} were asked for: "
            "it must honour max_tokens and ignore_eos"
        )


def _json(url: str, text: str | None) -> dict[str, Any]:
    try:
        value = json.loads(text or "{}")
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise UserError(f"{url}: expected a JSON object, got {str(text)[:60]!r}")
    return value
