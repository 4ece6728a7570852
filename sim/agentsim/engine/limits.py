"""Which calls can never be served, known before anything runs."""

from __future__ import annotations

from agentsim.domain.trace import Call, Session
from agentsim.engine.rules import Rules
from agentsim.errors import DoesNotFit
from agentsim.machine.transformers import ContiguousMemory


def check_fits(
    rules: Rules, session: Session, call: Call, contiguous: ContiguousMemory | None = None
) -> None:
    """Refuse a call that could never be served, with the arithmetic.

    Raises
    ------
    DoesNotFit
    """
    prompt = call.input_tokens
    room = min(rules.max_model_len, rules.usable_blocks * rules.block_size)
    is_plain = rules.enable_chunked_prefill and not rules.num_lookahead_tokens
    if contiguous is None and is_plain and prompt + call.output_tokens < room:
        return  # by far the most
    name = f"request {session.id}/{call.id}"
    if prompt >= rules.max_model_len:
        raise DoesNotFit(
            f"{name}: a prompt of {prompt} tokens leaves no room for an answer within "
            f"max_model_len {rules.max_model_len}: raise it, or use --too-long"
        )
    if not prompt:
        return
    num_output = min(max(1, call.output_tokens), rules.max_model_len - prompt)
    if contiguous is not None:
        contiguous.check_fits(name, prompt + num_output)
        return
    tokens = min(prompt + num_output - 1 + rules.num_lookahead_tokens, rules.max_model_len)
    need = -(-tokens // rules.block_size)
    if need > rules.usable_blocks:
        raise DoesNotFit(
            f"{name} needs {need} blocks ({prompt} prompt + {num_output} output tokens / "
            f"{rules.block_size}) and the pool has {rules.usable_blocks}: it can never be served; "
            "raise engine.gpu_memory_utilization or engine.num_gpu_blocks, or shorten it"
        )
    if not rules.enable_chunked_prefill and tokens > rules.max_num_batched_tokens:
        raise DoesNotFit(
            f"{name}: up to {tokens} tokens to prefill at once, without chunked prefill, and "
            f"engine.max_num_batched_tokens is {rules.max_num_batched_tokens}: raise it"
        )
