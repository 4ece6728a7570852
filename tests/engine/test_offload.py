"""KV offloading to CPU memory: what is stored, loaded and lost, and how long it takes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agentsim import simulate
from agentsim.domain.config import Config, load_config
from agentsim.domain.trace import Call, Session, Trace
from agentsim.engine.rules import Rules
from agentsim.errors import ConfigError
from agentsim.machine.content import ContentTree
from agentsim.machine.host_memory import HostMemory, size_host_memory
from agentsim.machine.host_tier import block_keys
from agentsim.machine.system import build_system
from agentsim.machine.vllm_args import parse_vllm_args
from engine.runs import LinearCost, Served, serve

STEP, TOKEN, BLOCK = 100, 10, 30
COST = LinearCost(STEP, TOKEN)


def tight(usable_blocks: int = 6, **settings: Any) -> Rules:
    """Blocks of 4 tokens, so few that one prompt of 20 drives another out."""
    return Rules(
        block_size=4,
        num_gpu_blocks=usable_blocks + 1,
        max_model_len=4 * usable_blocks,
        **settings,
    )


def chain(*prompts: tuple[str, int], output: int = 1) -> Session:
    """Calls one after another, each with a prompt of one segment of so many tokens."""
    calls = [
        Call(
            f"c{i}",
            length,
            output,
            segments=((name, length),),
            after=(f"c{i - 1}",) if i else (),
            delay_ns=5000 if i else 0,
        )
        for i, (name, length) in enumerate(prompts)
    ]
    return Session(id="s", calls=tuple(calls))


def took(served: Served, call: str) -> int:
    """From submission to the end of a call of one token."""
    row = served.request("s", call)
    return int(row["finished_ns"] - row["submitted_ns"])


def test_an_evicted_prompt_comes_back_at_the_speed_of_the_link() -> None:
    """Five blocks are loaded before the one step that computes the last token."""
    made = [chain(("A", 20), ("B", 24 - 1), ("A", 20))]
    host = HostMemory(num_blocks=20, block_ns=BLOCK)
    assert took(serve(made, tight(), COST), "c2") == STEP + 20 * TOKEN
    served = serve(made, tight(), COST, host=host)
    assert took(served, "c2") == 5 * BLOCK + STEP + TOKEN
    assert served.request("s", "c2")["cached_tokens"] == 19
    assert served.simulation.offloaded() == {
        "host_blocks": 20,
        "hit_tokens": 19,
        "loaded_blocks": 5,
        "stored_blocks": 10,
        "evicted_blocks": 0,
    }


def test_only_what_follows_the_hit_on_the_gpu_is_loaded() -> None:
    """B takes a blank block and drives out the last four of A: one stays."""
    served = serve(
        [chain(("A", 20), ("B", 20), ("A", 20))], tight(), COST, host=HostMemory(20, BLOCK)
    )
    assert took(served, "c2") == 4 * BLOCK + STEP + TOKEN
    assert served.simulation.offloaded()["hit_tokens"] == 19 - 4


@pytest.mark.parametrize(("num_blocks", "loaded"), [(5, 0), (6, 0), (7, 1), (9, 3), (10, 4)])
def test_the_tail_of_the_prompt_used_the_longest_ago_goes_first(
    num_blocks: int, loaded: int
) -> None:
    """The host keeps the five blocks of B, and as many of A from its first as fit."""
    served = serve(
        [chain(("A", 20), ("B", 20), ("A", 20))], tight(), COST, host=HostMemory(num_blocks, BLOCK)
    )
    assert took(served, "c2") == loaded * BLOCK + STEP + max(1, 16 - 4 * loaded) * TOKEN


def test_what_is_loaded_again_stays() -> None:
    """A, B, A, C with room for two of them: C takes the places of B's last four blocks, and of A's
    first, which was found on the GPU and not loaded (vLLM counts only what it loads as used)."""
    made = [chain(("A", 20), ("B", 20), ("A", 20), ("C", 20), ("A", 20), ("B", 20))]
    served = serve(made, tight(), COST, host=HostMemory(10, BLOCK))
    assert took(served, "c4") == 4 * BLOCK + STEP + TOKEN
    assert took(served, "c5") == BLOCK + STEP + 16 * TOKEN


def test_output_is_stored_when_it_is_part_of_a_prompt() -> None:
    """The first answer's blocks are not in the host until the second call has sent them back."""
    first = Call("c0", 8, 9, segments=(("A", 8),), delay_ns=0)
    again = (("A", 8), ("out:c0", 8))
    calls = [first]
    for i, segments in enumerate((again, (("B", 23),), again), 1):
        length = sum(n for _, n in segments)
        call = Call(f"c{i}", length, 1, segments=segments, after=(f"c{i - 1}",), delay_ns=5000)
        calls.append(call)
    stored = []
    for num_calls in (1, 2, 4):
        made = [Session(id="s", calls=tuple(calls[:num_calls]))]
        served = serve(made, tight(), COST, host=HostMemory(20, BLOCK))
        stored.append(served.simulation.offloaded()["stored_blocks"])
    assert stored == [2, 4, 9]
    assert took(served, "c3") == 4 * BLOCK + STEP + TOKEN


def test_two_that_want_the_same_blocks_load_them_once() -> None:
    """The second waits for the first's load, and finds the blocks on the GPU."""
    one = chain(("A", 20), ("B", 47))
    two = [
        Session(id=name, calls=(Call("c", 20, 1, segments=(("A", 20),), delay_ns=0),), at_ns=20000)
        for name in ("t", "u")
    ]
    served = serve([one, *two], tight(12), COST, host=HostMemory(40, BLOCK))
    assert served.simulation.offloaded()["loaded_blocks"] == 5 + 1  # of the second, the last
    assert served.request("t", "c")["finished_ns"] == 20000 + 5 * BLOCK + STEP + TOKEN
    assert served.request("u", "c")["cached_tokens"] == 19


def test_others_run_while_blocks_are_loaded() -> None:
    """Five blocks of 1000 ns: the request is next in the step decided after the one that was
    launched last before they were there; another's decoding never waits."""
    decode = Call("c", 4, 60, segments=(("D", 4),), delay_ns=0)
    load = Call("c", 20, 1, segments=(("A", 20),), delay_ns=0)
    made = [
        chain(("A", 20), ("B", 95)),
        Session(id="t", calls=(load,), at_ns=20000),
        Session(id="d", calls=(decode,), at_ns=19990),
    ]
    served = serve(made, tight(25), COST, host=HostMemory(40, 1000.0))
    first_ns = 19990 + STEP + 4 * TOKEN  # end of the step that runs when the request comes
    loaded_ns = first_ns + 5 * 1000
    period = STEP + TOKEN
    launched = -(-(loaded_ns - first_ns) // period)  # the first step that can tell
    assert served.request("t", "c")["scheduled_ns"] == first_ns + (launched + 1) * period
    steps = served.steps["start_ns"] >= 19990
    assert served.steps["num_seqs"][steps].max() == 2
    assert served.request("d", "c")["finished_ns"] == first_ns + 59 * period + TOKEN


def test_a_load_without_reuse_takes_the_same_time() -> None:
    """Stores run beside the steps."""
    made = [chain(("A", 20), ("B", 20), ("C", 17), output=3)]
    off, on = (serve(made, tight(), COST, host=host) for host in (None, HostMemory(8, 1e6)))
    assert off.tables() == on.tables()


def test_blocks_that_are_still_written_are_not_read() -> None:
    """The same prompt again waits until its blocks are stored; they cannot be loaded before."""
    slow = HostMemory(20, 10_000.0)
    served = serve([chain(("A", 20), ("B", 23), ("A", 20))], tight(), COST, host=slow)
    stored_ns = STEP + 20 * TOKEN + (5 + 5) * 10_000  # A's blocks and B's, in order
    row = served.request("s", "c2")
    assert row["scheduled_ns"] >= stored_ns - 5 * 10_000
    assert row["cached_tokens"] == 19


def test_who_gives_up_while_loading_gives_the_blocks_back() -> None:
    """Blocks stay taken until nothing writes to them; then another call gets them all."""
    made = chain(("A", 20), ("B", 23), ("A", 20), ("C", 23))
    served = serve([made], tight(), COST, host=HostMemory(20, 200.0), timeout_s=700e-9)
    assert served.request("s", "c2")["status"] == "timeout"
    assert served.request("s", "c3")["status"] == "finished"


def test_blocks_have_the_number_of_their_content() -> None:
    """However a path is put together: equal content, equal numbers; else no number is equal."""
    tree = ContentTree(4)
    whole = block_keys(tree, tree.insert([("A", 0, 10), ("B", 0, 7)]))
    assert len(whole) == len(set(whole)) == 4
    parts = tree.insert([("A", 0, 3), ("A", 3, 7), ("B", 0, 2), ("B", 2, 5)])
    assert block_keys(tree, parts) == whole
    branch = block_keys(tree, tree.insert([("A", 0, 9), ("B", 0, 8)]))
    assert branch[:2] == whole[:2] and not set(branch[2:]) & set(whole)
    assert not set(block_keys(tree, tree.insert([("A", 0, 10)], "lora"))) & set(whole)
    assert not set(block_keys(tree, tree.insert([("A", 1, 8)]))) & set(whole)


# -- settings


def test_the_size_is_that_of_all_gpus_together() -> None:
    """GiB over the bytes of a block on every GPU; each moves its own part over its own link."""
    for shards in (1, 2):
        sets = ["engine.kv_offloading_size=8", f"engine.tensor_parallel_size={shards}"]
        config = load_config(sets=sets, gpu="h100-sxm", model="llama-3.1-8b")
        system = build_system(config)
        host = size_host_memory(system.gpu, system.engine, system.capacity, config.cost)
        assert host is not None
        assert host.num_blocks == 8 * 2**30 // (2 * 2**20)  # 128 KiB a token
        assert host.block_ns == pytest.approx(2 * 2**20 / shards / 52)


def test_vllms_own_arguments_are_read() -> None:
    args = parse_vllm_args("--kv-offloading-size 8 --kv-offloading-backend native")
    assert args.settings == {"engine.kv_offloading_size": 8.0}
    with pytest.raises(ConfigError, match="--kv-offloading-backend: expected native"):
        parse_vllm_args("--kv-offloading-backend lmcache")


@pytest.mark.parametrize(
    "sets",
    [
        ["engine.kind=hf"],
        ["engine.kind=static"],
        ["engine.kind=hybrid"],
        ["engine.enable_prefix_caching=false"],
        ["engine.speculative_method=ngram", "engine.num_speculative_tokens=3"],
        ["engine.kv_offloading_size=-1"],
    ],
)
def test_it_is_refused_where_it_has_no_meaning(sets: list[str]) -> None:
    with pytest.raises(ConfigError, match=r"engine\.kv_offloading_size"):
        load_config(sets=["engine.kv_offloading_size=8", *sets])


@pytest.mark.parametrize(("gpu", "size"), [("cpu", "8"), ("l4", "0.0001")])
def test_a_machine_that_has_none_refuses(gpu: str, size: str) -> None:
    config = load_config(gpu=gpu, sets=[f"engine.kv_offloading_size={size}"])
    system = build_system(config)
    with pytest.raises(ConfigError, match=r"^engine\.kv_offloading_size"):
        size_host_memory(system.gpu, system.engine, system.capacity, config.cost)


def test_a_run_tells_of_it_only_where_it_is_on(tmp_path: Path) -> None:
    """Off, by None or 0, nothing of a result differs but the setting."""
    trace = Trace([chain(("A", 4000), ("B", 9000), ("A", 4000))])
    base = ["engine.num_gpu_blocks=700", "engine.max_model_len=10000"]

    def run(*sets: str) -> Any:
        config: Config = load_config(sets=[*base, *sets])
        return simulate(trace, config, check=True)

    unset, zero, on = run(), run("engine.kv_offloading_size=0"), run("engine.kv_offloading_size=8")
    assert unset.facts.keys() == zero.facts.keys() == on.facts.keys() - {"kv_offloading"}
    assert unset.assumptions == zero.assumptions == on.assumptions[:-1]
    assert on.assumptions[-1]["name"] == "host_link_bytes_per_s"
    assert unset.requests["finished_ns"].tolist() == zero.requests["finished_ns"].tolist()
    assert on.facts["kv_offloading"]["hit_tokens"] > 0
    assert on.requests["finished_ns"][2] < unset.requests["finished_ns"][2]
