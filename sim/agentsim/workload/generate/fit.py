"""A profile of a trace: what its agents did, as distributions to draw from; start at `fit_profile`.

A distribution is a lognormal where that meets the 10th, 50th and 90th percentile and the mean
within 10 %, and a table of quantiles elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
import numpy as np

from agentsim.domain.trace import Trace
from agentsim.errors import TraceError
from agentsim.workload.generate.distribution import Distribution
from agentsim.workload.generate.estimate import fit_distribution, product_limit, ranks, short
from agentsim.workload.generate.observe import EARLY_CALLS, Seen, observe
from agentsim.workload.generate.profile import (
    MOST_AT_ONCE,
    About,
    Change,
    Compaction,
    Early,
    OutputShape,
    Profile,
    PromptShape,
    SessionShape,
    Shrink,
    SubAgents,
    ToolClass,
    ToolShape,
    UserShape,
)
from agentsim.workload.heads import share_heads

#: Fewer calls say nothing of a distribution.
FEWEST_CALLS = 20
#: A tool with fewer uses, or a smaller share of all, is counted among the others.
FEWEST_USES, SMALLEST_SHARE = 20, 0.02
#: Early prompts are drawn apart if they append so many times more, or less, than later ones.
EARLY_DIFFERS = 1.25
#: Least context limit written, and how far above the longest call: nothing is known of it beyond.
_ROUND_UP = 1024


class Fitted(NamedTuple):
    """A profile, and for its fields a line on how they were found."""

    profile: Profile
    comments: dict[str, str]


def fit_profile(trace: Trace, *, shared_prefix_tokens: int | None = None) -> Fitted:
    """Fit a profile to a trace.

    Parameters
    ----------
    trace : Trace
    shared_prefix_tokens : int or None
        Length of the head of all first prompts; by default what the trace says.

    Raises
    ------
    TraceError
        If it holds fewer than `FEWEST_CALLS` calls, or none with a prompt.
    """
    if trace.num_calls < FEWEST_CALLS:
        raise TraceError(
            f"the trace holds {trace.num_calls} calls: expected at least {FEWEST_CALLS} to fit "
            "distributions to"
        )
    seen = observe(share_heads(trace, shared_prefix_tokens))
    if not seen.main.heads:
        raise TraceError("no call of a main agent has a prompt: there is nothing to fit to")
    return _Fit(seen, trace).fitted()


class _Fit:
    """Makes the tables of a profile one by one, and says how."""

    def __init__(self, seen: Seen, trace: Trace) -> None:
        self._seen = seen
        self._trace = trace
        self._comments: dict[str, str] = {}
        self._unknown: list[str] = []

    def fitted(self) -> Fitted:
        """The profile."""
        main = self._seen.main
        parts = Profile(
            profile=About(source="", tokenizer=None),
            session=self._session(),
            prompt=self._prompt(),
            output=OutputShape(tokens=self._fit("output.tokens", main.output)),
            tools=self._tools(),
            early=self._early(),
            shrink=self._shrink(),
            breaks=self._breaks(),
            compaction=self._compaction(),
            user=self._user(),
            sub_agents=self._sub_agents(),
        )
        return Fitted(self._with_source(parts), self._comments)

    def _with_source(self, profile: Profile) -> Profile:
        seen, header = self._seen, self._trace.header
        notes = {
            "calls whose counts are estimates": seen.estimated,
            "waits that are not in the trace": seen.unknown_waits,
            "calls without what caused them, taken as tools": seen.unknown_triggers,
            "prompts that do not say what they share, taken as growth": seen.no_identity,
        }
        told = [f"{name}: {number:,}" for name, number in notes.items() if number]
        size = f"{seen.num_calls:,} calls of {seen.num_sessions:,} sessions"
        about = About(
            source=f"fitted to {size}: {header.source or 'a trace without a name'}",
            tokenizer=header.tokenizer,
            unknown=(*self._unknown, *told),
        )
        return msgspec.structs.replace(profile, profile=about)

    def _fit(self, name: str, values: Sequence[float]) -> Distribution:
        if not len(values):
            self._unknown.append(f"{name}: no value in the trace, taken as 0")
            return Distribution.constant(0.0)
        found, self._comments[name] = fit_distribution(values)
        return found

    def _session(self) -> SessionShape:
        seen = self._seen
        head = int(np.median(seen.main.heads))
        if not head:
            self._unknown.append(
                "session.system_tokens: the trace does not say what sessions share"
            )
        self._comments["session.context_limit"] = (
            f"longest call: {seen.longest:,}; not in the trace"
        )
        self._comments["session.system_tokens"] = "median head of first prompts, tools included"
        return SessionShape(
            calls=self._fit("session.calls", seen.main.calls),
            context_limit=self._limit(),
            system_tokens=head,
            correlation=self._correlation(),
        )

    def _prompt(self) -> PromptShape:
        main = self._seen.main
        late = main.appended + main.appended_user
        apart = len(main.appended) >= FEWEST_CALLS and len(main.appended_user) >= FEWEST_CALLS
        by_tools = main.appended if apart else late
        if not self._is_early_apart():
            by_tools = by_tools + main.appended_early
        return PromptShape(
            first=self._fit("prompt.first", main.first),
            appended=self._fit("prompt.appended", by_tools),
            appended_user=self._fit("prompt.appended_user", main.appended_user) if apart else None,
        )

    def _is_early_apart(self) -> bool:
        """Whether the first prompts append more or less than the later ones, in the mean."""
        main = self._seen.main
        early, late = main.appended_early, main.appended + main.appended_user
        if min(len(early), len(late)) < FEWEST_CALLS:
            return False
        ratio = float(np.mean(early) / np.mean(late))
        return not 1 / EARLY_DIFFERS < ratio < EARLY_DIFFERS

    def _early(self) -> Early | None:
        if not self._is_early_apart():
            return None
        appended = self._fit("early.appended", self._seen.main.appended_early)
        return Early(calls=EARLY_CALLS, appended=appended)

    def _correlation(self) -> float:
        """Of the ranks of calls and first prompts."""
        main = self._seen.main
        calls, first = (ranks(each) for each in (main.calls, main.first))
        if min(calls.std(), first.std()) == 0 or len(calls) < FEWEST_CALLS:
            return 0.0
        self._comments["session.correlation"] = "of the ranks of calls and first prompts"
        return round(float(np.corrcoef(calls, first)[0, 1]), 3)

    def _shrink(self) -> Shrink | None:
        main = self._seen.main
        if not main.dropped:
            return None
        self._comments["shrink.chance"] = f"{len(main.dropped):,} of {main.num_next:,} next prompts"
        chance = short(len(main.dropped) / main.num_next)
        return Shrink(chance=chance, dropped=self._fit("shrink.dropped", main.dropped))

    def _breaks(self) -> Change | None:
        main = self._seen.main
        if not main.broken:
            return None
        self._comments["breaks.chance"] = f"{len(main.broken):,} of {main.num_next:,} next prompts"
        chance = short(len(main.broken) / main.num_next)
        return Change(chance=chance, kept=self._fit("breaks.kept", main.broken))

    def _compaction(self) -> Compaction | None:
        main = self._seen.main
        if not main.restarts:
            return None
        self._comments["compaction.at"] = (
            f"{len(main.restarts):,} of {len(main.contexts):,} contexts; a product-limit estimate"
        )
        kept = self._fit("compaction.kept", np.minimum(main.restarts, 1.0).tolist())
        return Compaction(at=product_limit(main.contexts, self._limit()), kept=kept)

    def _limit(self) -> int:
        """The longest call, rounded up."""
        return -(-(self._seen.longest + 2) // _ROUND_UP) * _ROUND_UP

    def _user(self) -> UserShape | None:
        seen = self._seen
        if not seen.turn_lengths:
            return None
        return UserShape(
            calls_per_turn=self._fit("user.calls_per_turn", seen.turn_lengths),
            wait_s=self._fit("user.wait_s", seen.human_s),
        )

    def _tools(self) -> ToolShape:
        """Classes by name where tools have times; else one for the waits of all."""
        seen = self._seen
        total = sum(map(len, seen.tools.values()))
        if not total:
            time_s = self._fit("tools.classes.tool.time_s", seen.tool_s)
            classes = (ToolClass(name="tool", share=1.0, time_s=time_s),)
            return ToolShape(
                classes=classes,
                per_call=self._per_call(),
                client_s=Distribution.constant(0.0),
            )
        named: dict[str, list[float]] = {}
        for name in sorted(seen.tools, key=lambda name: (-len(seen.tools[name]), name)):
            uses = seen.tools[name]
            is_many = len(uses) >= max(FEWEST_USES, SMALLEST_SHARE * total)
            named.setdefault(name if is_many else "other", []).extend(uses)
        found = tuple(
            ToolClass(
                name=name,
                share=short(len(uses) / total),
                time_s=self._fit(f"tools.classes.{name}.time_s", uses),
            )
            for name, uses in named.items()
        )
        return ToolShape(classes=found, per_call=self._per_call(), client_s=self._client())

    def _per_call(self) -> Distribution:
        counts = np.minimum(self._seen.tools_per_call, MOST_AT_ONCE).tolist() or [1.0]
        return self._fit("tools.per_call", counts)

    def _client(self) -> Distribution:
        return self._fit("tools.client_s", self._seen.client_s or [0.0])

    def _sub_agents(self) -> SubAgents | None:
        seen, sub = self._seen, self._seen.sub
        if not seen.spawns or not sub.heads:
            return None
        head = int(np.median(sub.heads))
        if not head:
            self._unknown.append("sub_agents.system_tokens: the trace does not say what they share")
        appended = sub.appended + sub.appended_user + sub.appended_early
        return SubAgents(
            session_share=short(len(seen.times) / seen.num_sessions),
            times=self._fit("sub_agents.times", seen.times),
            at_once=self._fit("sub_agents.at_once", seen.spawns),
            calls=self._fit("sub_agents.calls", sub.calls),
            first=self._fit("sub_agents.first", sub.first),
            appended=self._fit("sub_agents.appended", appended),
            output=self._fit("sub_agents.output", sub.output),
            system_tokens=head,
        )
