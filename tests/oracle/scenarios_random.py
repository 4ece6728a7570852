"""Random scenarios for the scheduler: small pools, odd sizes, coincidences, shared prompts.

Each scenario draws its own character first (how long prompts are, how arrivals fall, which kinds of
request occur), so that two seeds differ in kind and not only in numbers. Everything drawn is legal
for vLLM 0.32.0. Start reading at `random_scenario`; the kinds of request are the public methods of
`Load`.
"""

import random
from typing import Any

Json = dict[str, Any]
Prompt = list[list[Any]]

SIZES = {"tiny": (1, 5), "small": (5, 40), "large": (100, 300)}
"""Least and most requests of each size; the last group drawn may bring a few more."""

BLOCK_SIZES = (1, 2, 3, 4, 5, 7, 8, 8, 12, 16, 16, 16, 16, 24, 32, 32, 48, 64, 128)
BUDGETS = (8, 12, 16, 20, 32, 48, 64, 96, 100, 128, 200, 256, 512, 768, 1024, 2048, 8192)
LONG_PREFILL_CAPS = (1, 4, 8, 8, 16, 16, 24, 40, 40)
GAPS = (0, 0, 0, 1, 1, 1, 2, 2, 3, 5, 8, 20)


def random_scenario(seed: int, size: str | None = None) -> Json:
    """A scenario that vLLM accepts, the same one for the same arguments.

    Parameters
    ----------
    seed : int
        Chooses everything.
    size : str, optional
        A key of `SIZES`; by default mostly small ones, some tiny and few large.

    Returns
    -------
    dict
        As read from a scenario file.
    """
    rng = random.Random(seed)
    size = size or rng.choices(("tiny", "small", "large"), (10, 85, 5))[0]
    is_tight = rng.random() < 0.3
    config = _random_config(rng, size == "large", is_tight)
    load = Load(rng, config, is_tight)
    num_requests = rng.randint(*SIZES[size])
    kinds = (load.session, load.family, load.duplicates, load.around_a_block, load.peek)
    kinds_here = rng.sample(kinds, rng.randint(1, 4))
    while len(load.requests) < num_requests:
        rng.choice(kinds_here)()
    if rng.random() < 0.3:
        rng.shuffle(load.requests)
    room = "little memory" if is_tight else "any memory"
    return {
        "name": f"random-{seed:05d}",
        "note": f"Random configuration and load, {size}, {room}, seed {seed}.",
        "config": config,
        "requests": load.requests,
    }


def _random_config(rng: random.Random, is_large: bool, is_tight: bool) -> Json:
    lengths = (48, 64, 100, 128, 128, 200, 256, 256, 333, 512, 1024)
    max_model_len = rng.choice((1024, 2048, 4096) if is_large else lengths)
    block_size = rng.choice(BLOCK_SIZES)
    nums_seqs = (1, 2, 3, 4, 6, 6, 8, 8, 8, 12, 16, 16, 32, 64)
    max_num_seqs = rng.choice((8, 16, 32, 64) if is_large or is_tight else nums_seqs)
    num_drafts = rng.choice((1, 2, 3, 4, 5, 7)) if rng.random() < 0.25 else 0
    is_chunked = rng.random() < 0.85
    least_chunk = max_model_len // 32 if is_chunked else max_model_len
    # With less than 1 + drafts, a padded request would wait for ever.
    least_budget = max(max_num_seqs, 1 + num_drafts, least_chunk)
    budgets = [budget for budget in BUDGETS if budget >= least_budget]
    least_blocks = -(-max_model_len // block_size) + 1
    roominess = 1 if is_tight else rng.choice((1, 1, 1.1, 1.2, 1.5, 2.5, 10))
    config: Json = {
        "block_size": block_size,
        "num_gpu_blocks": int(least_blocks * roominess) + rng.randint(0, 3),
        "max_num_seqs": max_num_seqs,
        "max_num_batched_tokens": rng.choice(
            (least_budget, rng.choice(budgets[:4]), rng.choice(budgets))
        ),
        "max_model_len": max_model_len,
        "enable_prefix_caching": rng.random() < 0.88,
        "enable_chunked_prefill": is_chunked,
        "policy": rng.choice(("fcfs", "fcfs", "fcfs", "priority", "priority")),
        "scheduler_reserve_full_isl": rng.random() < (0.3 if is_tight else 0.6),
    }
    if rng.random() < 0.3:
        # Below 1 + drafts, vLLM's own assertion on padded requests fails.
        least_cap = max(1 + num_drafts, max_model_len // 64)
        caps = [cap for cap in LONG_PREFILL_CAPS if cap >= least_cap]
        config["long_prefill_token_threshold"] = rng.choice([*caps, max_model_len // 4])
    if rng.random() < 0.3:
        config["watermark"] = rng.choice((0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5))
    if rng.random() < 0.15:
        config["max_num_active_seqs"] = rng.randint(1, max_num_seqs)
    if num_drafts:
        config["num_speculative_tokens"] = num_drafts
    elif rng.random() < 0.4:
        config["async_scheduling"] = True
    return config


class Load:
    """Grows the requests of a scenario; each public method adds one group of a kind."""

    def __init__(self, rng: random.Random, config: Json, is_tight: bool) -> None:
        self.rng = rng
        self.config = config
        self.requests: list[Json] = []
        room = config["max_model_len"] - 1
        prompt_parts = (2, 3, 4) if is_tight else (1, 2, 3, 4, 6, 12)
        output_scales = (40, 80, 120) if is_tight else (1, 3, 10, 20, 40, 60, 80, 120)
        self.prompt_scale = max(2, room // rng.choice(prompt_parts))
        self.output_scale = min(room, rng.choice(output_scales))
        self.may_overflow = rng.random() < 0.25
        self.window = rng.choice((0, 3, 20, 20) if is_tight else (0, 3, 10, 20, 40, 80, 300))
        self.grid = rng.choice((1, 1, 4, 16))
        self.closed_share = rng.choice((0, 0.3, 0.7))
        self.stop_share = rng.choice((0, 0.5, 1))
        self.priorities = rng.choice(((0,), (0, 1), (0, 1, 2, 3), (-2, 0, 7)))
        self.systems = [[f"sys{number}", self._length()] for number in range(rng.randint(1, 3))]
        self.num_groups = 0

    def session(self) -> None:
        """Turns of one agent, each after the one before."""
        group = self._new_group("s")
        prompt, due = self._opening(group), self._due()
        for turn in range(self.rng.randint(1, 6)):
            request = self._add(f"{group}.t{turn}", prompt, due)
            prompt, due = self._next_prompt(request), self._after(request)

    def family(self) -> None:
        """An agent, its sub-agents forked together, and the turn that joins their answers."""
        group = self._new_group("f")
        parent = self._add(f"{group}.fork", self._opening(group), self._due())
        due = self._after(parent)
        stem = parent["prompt"] + [self._answer(parent)]
        children = []
        for number in range(self.rng.randint(2, 5)):
            task = [[f"task:{group}.{number}", self._length()]] if self.rng.random() < 0.8 else []
            children.append(self._add(f"{group}.sub{number}", stem + task, due))
        answers = [self._answer(child) for child in children]
        self._add(f"{group}.join", stem + answers, self._after(self.rng.choice(children)))

    def duplicates(self) -> None:
        """The same prompt several times, at the same call or a few calls apart."""
        group = self._new_group("d")
        prompt, due = self._opening(group), self._due()
        spread = self.rng.choice((0, 0, 1, 4))
        for number in range(self.rng.randint(2, 6)):
            self._add(f"{group}.{number}", prompt, self._later(due, self.rng.randint(0, spread)))

    def around_a_block(self) -> None:
        """A prompt of whole blocks, then the same one again and one a token shorter or longer."""
        group = self._new_group("b")
        size = self.config["block_size"]
        most_blocks = (self.config["max_model_len"] - 1) // size
        num_blocks = self.rng.randint(1, max(1, self.prompt_scale // size))
        if self.rng.random() < 0.3:
            num_blocks = max(1, most_blocks - self.rng.randint(0, 1))
        due = self._due()
        for number in range(self.rng.randint(2, 5)):
            length = max(1, num_blocks * size + self.rng.choice((-1, 0, 0, 0, 1)))
            request = self._add(f"{group}.{number}", [[f"text:{group}", length]], due)
            due = self._after(request)

    def peek(self) -> None:
        """A prompt with the output of another request, which may be running or not yet there."""
        group = self._new_group("p")
        if not self.requests:
            self._add(group, self._opening(group), self._due())
            return
        other = self.rng.choice(self.requests)
        prompt = [*other["prompt"], self._answer(other)]
        if self.rng.random() < 0.5:
            prompt.append([f"obs:{group}", self._length()])
        due: Json = {key: other[key] for key in ("arrival_step", "after") if key in other}
        if self.rng.random() < 0.3:
            due = self._due()
        self._add(group, prompt, self._later(due, self.rng.randint(0, other["output_len"] + 4)))

    def _add(self, request_id: str, prompt: Prompt, due: Json) -> Json:
        room = self.config["max_model_len"]
        prompt = _cut(prompt, room - 1)
        output_len = self.rng.randint(1, self.output_scale)
        if not self.may_overflow:
            output_len = min(output_len, room - _num_tokens(prompt))
        request = {"id": request_id, "prompt": prompt, "output_len": output_len, **due}
        if self.config["policy"] == "priority" or self.rng.random() < 0.05:
            request["priority"] = self.rng.choice(self.priorities)
        if self.rng.random() < self.stop_share:
            request["finish"] = "stop"
        num_drafts = self.config.get("num_speculative_tokens", 0)
        if num_drafts:
            request["accept"] = self._cycle(num_drafts)
            if self.rng.random() < 0.7:
                request["draft_len"] = self._cycle(num_drafts + 1)
        self.requests.append(request)
        return request

    def _opening(self, group: str) -> Prompt:
        own = [[f"user:{group}", self._length()]]
        return [self.rng.choice(self.systems), *own] if self.rng.random() < 0.7 else own

    def _next_prompt(self, request: Json) -> Prompt:
        """The context of a turn, then in most cases its answer, then what its tool gave."""
        answer = self._answer(request)
        observation = [f"obs:{request['id']}", self._length()]
        history = request["prompt"]
        style = self.rng.choice(("kept", "kept", "kept", "no thoughts", "retokenized", "trimmed"))
        if style == "no thoughts":
            return [*history, observation]
        if style == "retokenized":
            return [*history, [f"again:{request['id']}", answer[1]], observation]
        if style == "trimmed" or _num_tokens(history) > self.config["max_model_len"] * 0.8:
            return [history[0], *history[3:], answer, observation]
        return [*history, answer, observation]

    def _answer(self, request: Json) -> list[Any]:
        """The output of a request, or in some cases only its beginning."""
        length = request["output_len"]
        if self.rng.random() < 0.2:
            length = self.rng.randint(1, length)
        return [f"out:{request['id']}", length]

    def _length(self) -> int:
        """Tokens of a segment: often whole blocks, or one token off."""
        length = self.rng.randint(1, self.prompt_scale)
        if self.rng.random() < 0.4:
            size = self.config["block_size"]
            length = length // size * size + self.rng.choice((-1, 0, 0, 1))
        return max(1, length)

    def _cycle(self, most: int) -> list[int]:
        return [self.rng.randint(0, most) for _ in range(self.rng.randint(1, 5))]

    def _due(self) -> Json:
        if self.requests and self.rng.random() < self.closed_share:
            return self._after(self.rng.choice(self.requests))
        return {"arrival_step": self.rng.randint(0, self.window) // self.grid * self.grid}

    def _after(self, request: Json) -> Json:
        return {"after": {"request": request["id"], "gap_steps": self.rng.choice(GAPS)}}

    def _later(self, due: Json, num_steps: int) -> Json:
        if "after" in due:
            return {"after": due["after"] | {"gap_steps": due["after"]["gap_steps"] + num_steps}}
        return {"arrival_step": due["arrival_step"] + num_steps}

    def _new_group(self, letter: str) -> str:
        self.num_groups += 1
        return f"{letter}{self.num_groups}"


def _num_tokens(prompt: Prompt) -> int:
    return sum(length for _, length in prompt)


def _cut(prompt: Prompt, room: int) -> Prompt:
    """The first `room` tokens of a prompt."""
    kept: Prompt = []
    for segment, length in prompt:
        if room > 0:
            kept.append([segment, min(length, room)])
        room -= length
    return kept
