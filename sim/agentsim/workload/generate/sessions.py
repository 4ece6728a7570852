"""Sessions of a profile, one after the other; start at `generate`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import msgspec

from agentsim.domain.trace import Call, Header, Session, Tool
from agentsim.domain.units import seconds_to_ns
from agentsim.errors import ConfigError
from agentsim.workload.generate.arrivals import starts
from agentsim.workload.generate.draws import Draws
from agentsim.workload.generate.growth import Rules, Sizes, first_sizes, next_sizes
from agentsim.workload.generate.profile import MOST_AT_ONCE, Profile, SubAgents, ToolShape


def generate(
    profile: Profile, num_sessions: int, *, seed: int = 0, arrival: str = "closed"
) -> Iterator[Session]:
    """Draw sessions, in the order of their start.

    Parameters
    ----------
    profile : Profile
    num_sessions : int
        Sessions with the same number are the same, however many there are.
    seed : int
    arrival : str
        See `arrivals.starts`.

    Raises
    ------
    ConfigError
        If the arrival is not of a known form; at once.
    """
    if num_sessions < 0:
        raise ConfigError(f"sessions: expected an integer >= 0, got {num_sessions}")
    begins = starts(arrival, num_sessions, seed)
    return (_Life(profile, seed, number).session(at_ns) for number, at_ns in enumerate(begins))


def header_of(profile: Profile, name: str, *, seed: int, arrival: str) -> Header:
    """The header of a generated trace: what makes it again."""
    made = {"profile": name, "seed": seed, "arrival": arrival}
    return Header(
        source=f"generated: {profile.profile.source}",
        tokenizer=profile.profile.tokenizer,
        extra={"generated": made},
    )


class _Ask(NamedTuple):
    """Tools that a call asks for, and how long until their results are sent."""

    tools: tuple[Tool, ...]
    wait_s: float


class _Life:
    """One session: the main agent's calls, and between them those of its sub-agents."""

    def __init__(self, profile: Profile, seed: int, number: int) -> None:
        self._profile = profile
        self._seed = seed
        self._id = f"s{number:06d}"
        self._draws = Draws(seed, self._id)
        self._calls: list[Call] = []
        self._num_agents = 0

    def session(self, at_ns: int) -> Session:
        """All of it."""
        shape = self._profile.session
        self._main()
        return Session(
            self._id,
            tuple(self._calls),
            at_ns=at_ns,
            system_tokens=shape.system_tokens,
            tool_tokens=shape.tool_tokens,
        )

    def _main(self) -> None:
        profile, draws = self._profile, self._draws
        prompts = profile.prompt
        rules = Rules(
            profile.head_tokens,
            profile.session.context_limit,
            prompts.first,
            prompts.appended,
            prompts.appended if prompts.appended_user is None else prompts.appended_user,
            profile.output.tokens,
            profile.early,
            profile.shrink,
            profile.breaks,
            profile.compaction,
        )
        from_user = self._user_turns(draws.whole("calls", 0, profile.session.calls, 1))
        length = draws.uniform("calls", 0)
        sizes = first_sizes(
            rules, draws, draws.like("first", 0, length, profile.session.correlation)
        )
        help_chance = self._help_chance(from_user)
        self._calls.append(_first_call("main", sizes, ("sys:main", rules.head)))
        for turn in range(1, len(from_user)):
            after = next_sizes(rules, draws, turn, sizes, from_user=from_user[turn])
            if after is None:
                break
            before = self._calls.pop()
            if from_user[turn]:
                assert profile.user is not None
                wait_s = draws.value("human", turn, profile.user.wait_s)
                self._go_on(before, (), after, wait_s, "user")
            elif profile.sub_agents is not None and draws.happens("spawn", turn, help_chance):
                self._help(profile.sub_agents, before, turn, after)
            else:
                ask = _ask(self._profile.tools, draws, turn, after.appended)
                self._go_on(before, ask.tools, after, ask.wait_s, "tool")
            sizes = after

    def _user_turns(self, num_calls: int) -> list[bool]:
        """For each call whether the user causes it."""
        user = self._profile.user
        if user is None:
            return [True] + [False] * (num_calls - 1)
        causes: list[bool] = []
        number = 0
        while len(causes) < num_calls:
            length = self._draws.whole("turn", number, user.calls_per_turn, 1)
            causes += [True] + [False] * (min(length, num_calls) - 1)
            number += 1
        return causes[:num_calls]

    def _help_chance(self, from_user: list[bool]) -> float:
        """That a call whose answer no user waits for starts sub-agents."""
        helpers, draws = self._profile.sub_agents, self._draws
        if helpers is None or not draws.happens("helped", 0, helpers.session_share):
            return 0.0
        num_places = from_user.count(False)
        return min(1.0, draws.value("times", 0, helpers.times) / max(1, num_places))

    def _go_on(
        self, before: Call, tools: tuple[Tool, ...], sizes: Sizes, wait_s: float, trigger: str
    ) -> None:
        """Add a call, now that it is known what the agent's last one asked for."""
        self._calls.append(_asking(before, tools))
        self._calls.append(_next_call(before, sizes, (before.id,), wait_s, trigger))

    def _help(self, helpers: SubAgents, before: Call, turn: int, after: Sizes) -> None:
        """Let sub-agents run, all at once; the agent's next call waits for all of them."""
        num_agents = self._draws.whole("at-once", turn, helpers.at_once, 1)
        self._calls.append(_asking(before, (Tool("sub-agent"),) * num_agents))
        ends = [self._sub_agent(helpers, before.id) for _ in range(num_agents)]
        wait_s = self._draws.value("client", turn, self._profile.tools.client_s)
        self._calls.append(_next_call(before, after, (before.id, *ends), wait_s, "tool"))

    def _sub_agent(self, helpers: SubAgents, parent: str) -> str:
        """All calls of a sub-agent; the name of the last one."""
        self._num_agents += 1
        agent = f"sub-{self._num_agents}"
        draws = Draws(self._seed, f"{self._id}/{agent}")
        rules = Rules(
            helpers.system_tokens + helpers.tool_tokens,
            self._profile.session.context_limit,
            helpers.first,
            helpers.appended,
            helpers.appended,
            helpers.output,
            compaction=self._profile.compaction,
        )
        sizes = first_sizes(rules, draws)
        last = _first_call(agent, sizes, ("sys:sub-agent", rules.head), parent)
        for turn in range(1, draws.whole("calls", 0, helpers.calls, 1)):
            after = next_sizes(rules, draws, turn, sizes, from_user=False)
            if after is None:
                break
            ask = _ask(self._profile.tools, draws, turn, after.appended)
            self._calls.append(_asking(last, ask.tools))
            last = _next_call(last, after, (last.id,), ask.wait_s, "tool")
            sizes = after
        self._calls.append(last)
        return last.id


def _ask(shape: ToolShape, draws: Draws, turn: int, appended: int) -> _Ask:
    num_tools = draws.whole("tools", turn, shape.per_call, 1)
    tools = []
    for index in range(num_tools):
        at = turn * MOST_AT_ONCE + index
        chosen = draws.uniform("class", at) * sum(each.share for each in shape.classes)
        for kind in shape.classes:
            chosen -= kind.share
            if chosen < 0:
                break
        seconds = draws.value("time", at, kind.time_s)
        result = (appended + index) // num_tools
        tools.append(Tool(kind.name, seconds_to_ns(seconds), result))
    longest_s = max(tool.duration_ns or 0 for tool in tools) / 1e9
    return _Ask(tuple(tools), longest_s + draws.value("client", turn, shape.client_s))


def _first_call(
    agent: str, sizes: Sizes, shared: tuple[str, int], parent: str | None = None
) -> Call:
    name, head = shared[0], min(shared[1], sizes.prompt)
    spans = ((name, head), ("~task" if agent == "main" else f"~task:{agent}", sizes.prompt - head))
    return Call(
        id=f"{agent}/0",
        agent=agent,
        input_tokens=sizes.prompt,
        output_tokens=sizes.output,
        after=() if parent is None else (parent,),
        delay_ns=0,
        segments=tuple(span for span in spans if span[1]),
        trigger="user" if parent is None else "spawn",
        parent=parent,
    )


def _next_call(
    before: Call, sizes: Sizes, after: tuple[str, ...], wait_s: float, trigger: str
) -> Call:
    return Call(
        id=f"{before.agent}/{before.turn + 1}",
        agent=before.agent,
        turn=before.turn + 1,
        input_tokens=sizes.prompt,
        output_tokens=sizes.output,
        after=after,
        delay_ns=seconds_to_ns(wait_s),
        extends=before.id,
        keep=sizes.keep,
        trigger=trigger,
    )


def _asking(call: Call, tools: tuple[Tool, ...]) -> Call:
    """The call with the tools it asks for."""
    if not tools:
        return call
    return msgspec.structs.replace(call, tools=tools)
