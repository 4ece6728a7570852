"""KV offloading to CPU memory: which blocks are stored and loaded, as vLLM 0.32 decides it.

After `OffloadingConnectorScheduler` (kv_transfer/kv_connector/v1/offloading/scheduler.py) with one
group of full-attention layers and its defaults: a block of the GPU is a block of the host; full
blocks of prompts are stored, in the step that completes them; a request that is admitted loads what
follows its hit on the GPU, and waits for it. Nothing here knows of time: `HostLink` does.
"""

from __future__ import annotations

from typing import NamedTuple

from agentsim.engine.batch import Batch
from agentsim.engine.sequence import Sequence, Status
from agentsim.machine.blocks import BlockPool, BlockTable
from agentsim.machine.host_memory import HostMemory
from agentsim.machine.host_tier import HostTier, block_keys


class Match(NamedTuple):
    """Blocks a request would load; `must_wait`: that is not to be told yet."""

    num_blocks: int
    must_wait: bool


class Offloaded:
    """What is known of one request.

    Attributes
    ----------
    keys : list of int
        Its blocks, prompt and output.
    num_offered : int
        Blocks that need not be offered to the host again.
    used : set of int
        Places of the blocks it stored, loaded or found stored.
    num_jobs : int
        Transfers under way.
    local_tokens : int
        Tokens found on the GPU when its last load began.
    """

    __slots__ = ("keys", "local_tokens", "num_jobs", "num_offered", "used")

    def __init__(self, keys: list[int]) -> None:
        self.keys = keys
        self.num_offered = 0
        self.used: set[int] = set()
        self.num_jobs = 0
        self.local_tokens = 0


class Job:
    """A transfer of blocks of one request, which `ends_ns` once it has been sent."""

    __slots__ = ("ends_ns", "is_load", "keys", "of", "sequence")

    def __init__(self, sequence: Sequence, of: Offloaded, keys: list[int], is_load: bool) -> None:
        self.sequence = sequence
        self.of = of
        self.keys = keys
        self.is_load = is_load
        self.ends_ns = -1


class Offload:
    """What an engine keeps in CPU memory, and who waits for it.

    Parameters
    ----------
    pool : BlockPool
        The blocks on the GPU.
    host : HostMemory
        What CPU memory takes.

    Attributes
    ----------
    holding : list of Sequence
        Requests that hold blocks and do not run: their blocks are loaded, or are there and they
        are next. In the order in which they are looked at.
    loads, stores : list of Job
        Formed and not yet sent; whoever sends them clears the lists.
    hit_tokens : int
        Prompt tokens loaded at first admissions; part of the cached tokens.
    num_loaded, num_stored : int
        Blocks, so far.
    """

    def __init__(self, pool: BlockPool, host: HostMemory) -> None:
        self.host = host
        self.tier = HostTier(host.num_blocks)
        self.holding: list[Sequence] = []
        self.loads: list[Job] = []
        self.stores: list[Job] = []
        self.num_jobs = 0  # of all requests
        self.hit_tokens = self.num_loaded = self.num_stored = 0
        self._pool = pool
        self._size = pool.block_size
        self._requests: dict[Sequence, Offloaded] = {}
        self._loading: set[int] = set()
        self._ended: list[tuple[Sequence, Offloaded, int]] = []  # with tokens that may be stored
        self._abandoned: dict[Sequence, None] = {}  # ended, and their blocks are still written to

    def tables(self) -> list[BlockTable]:
        """The tables of the requests that hold blocks and do not run."""
        return [sequence.table for sequence in (*self.holding, *self._abandoned)]

    def match(self, sequence: Sequence, num_local: int) -> Match:
        """What a waiting request would load behind `num_local` blocks found on the GPU.

        It must wait while a transfer of its own, the store of a block it needs, or another's load
        of one is under way.
        """
        of = self._of(sequence)
        if of.num_jobs:
            return Match(0, True)
        whole = min(sequence.num_tokens // self._size, len(of.keys))
        found = self.tier.find(of.keys, num_local, whole)
        wanted = of.keys[num_local : num_local + found.num_blocks]
        if found.is_pending or not self._loading.isdisjoint(wanted):
            return Match(0, True)
        return Match(found.num_blocks, False)

    def begin_load(self, sequence: Sequence, num_local: int, num_blocks: int) -> None:
        """Load what `match` gave, into blocks the request holds by now."""
        of = self._of(sequence)
        end = num_local + num_blocks
        keys = of.keys[num_local:end]
        self.tier.begin_load(keys)
        self._loading.update(keys)
        of.used.update(range(num_local, end))
        of.num_offered = end
        of.local_tokens = num_local * self._size
        sequence.status = Status.LOADING
        self.holding.append(sequence)
        self.loads.append(self._new_job(sequence, of, keys, is_load=True))
        self.num_loaded += num_blocks

    def admitted(self, sequence: Sequence) -> None:
        """A request whose blocks have been loaded runs."""
        self.holding.remove(sequence)
        if not sequence.preemptions:
            self.hit_tokens += sequence.computed - self._of(sequence).local_tokens

    def store_full_blocks(self, batch: Batch) -> None:
        """Offer the blocks that a batch completes, and the last ones of requests that ended."""
        for item in batch.items:
            sequence = item.sequence
            self._offer(sequence, self._of(sequence), item.computed_before + item.num_tokens)
        self.store_ended()

    def store_ended(self) -> None:
        """Offer the last blocks of requests that ended, and count what they used as recent."""
        for sequence, of, num_tokens in self._ended:
            self._offer(sequence, of, num_tokens)
            self.tier.touch([of.keys[place] for place in sorted(of.used, reverse=True)])
        self._ended.clear()

    def complete(self, job: Job) -> None:
        """A transfer has ended."""
        sequence = job.sequence
        job.of.num_jobs -= 1
        self.num_jobs -= 1
        if not job.is_load:
            self.tier.end_store(job.keys)
            return
        self.tier.end_load(job.keys)
        self._loading.difference_update(job.keys)
        if sequence.status is Status.LOADING:
            sequence.status = Status.LOADED
        else:
            del self._abandoned[sequence]
            self._pool.release(sequence.table)

    def end(self, sequence: Sequence) -> None:
        """A request ends, before its blocks are released; one that holds blocks and does not run
        gives them back as soon as nothing writes to them."""
        of = self._requests.pop(sequence, None)
        if of is None:
            return
        num_tokens = sequence.computed if sequence.status is Status.RUNNING else 0
        self._ended.append((sequence, of, num_tokens))
        if sequence.status is Status.LOADING:
            self.holding.remove(sequence)
            self._abandoned[sequence] = None
        elif sequence.status is Status.LOADED:
            self.holding.remove(sequence)
            self._pool.release(sequence.table)

    def check(self) -> None:
        """The laws of the host's blocks.

        Raises
        ------
        InvariantBroken
        """
        self.tier.check()

    def _of(self, sequence: Sequence) -> Offloaded:
        of = self._requests.get(sequence)
        if of is None:
            assert sequence.table.tip is not None
            keys = block_keys(self._pool.tree, sequence.table.tip)
            of = self._requests[sequence] = Offloaded(keys)
        return of

    def _offer(self, sequence: Sequence, of: Offloaded, num_tokens: int) -> None:
        """Store the full blocks of the prompt among the first `num_tokens` (`offload_prompt_only`)
        that were not offered before. Where there is no room the next step offers them again.
        """
        end = min(num_tokens, sequence.num_prompt) // self._size
        if end <= of.num_offered:
            return
        offered = of.keys[of.num_offered : end]
        missing: list[int] = []
        for place in range(of.num_offered, end):
            key = of.keys[place]
            if key not in self.tier:
                missing.append(key)
            elif not self.tier.is_ready(key):
                continue
            of.used.add(place)
        if missing:
            if not self.tier.begin_store(missing, offered):
                return
            self.stores.append(self._new_job(sequence, of, missing, is_load=False))
            self.num_stored += len(missing)
        of.num_offered = end

    def _new_job(self, sequence: Sequence, of: Offloaded, keys: list[int], *, is_load: bool) -> Job:
        of.num_jobs += 1
        self.num_jobs += 1
        return Job(sequence, of, keys, is_load)
