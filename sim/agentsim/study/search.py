"""The search of a plan, by optuna: coarse choices first, then fine ones.

`Search.coarse` goes through everything on the engine's plain settings (GPU, weights, tensor
parallelism, replicas), the cheapest first, until one keeps the objectives: so nothing cheaper on
these settings is passed over, whether more replicas are better or not. `Search.fine` then lets a
multi-objective tree-structured Parzen estimator choose platform, replicas, routing and settings,
with the objectives as constraints; it knows all coarse trials. What has been tried is not run
again, and a run ends when an objective is lost (`watch`).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from agentsim.errors import ConfigError, DoesNotFit
from agentsim.machine.system import build_system
from agentsim.study.figures import Figure
from agentsim.study.objectives import Objective
from agentsim.study.space import Option, Platform, Space, platform_name
from agentsim.study.trial import Tried

if TYPE_CHECKING:
    import optuna

#: Options that are tried at once, however many processes there are: so the search is the same.
BATCH = 8
#: Options that missed an objective least, whose platforms optuna may choose beside those that met.
_NEAREST = 6
#: Asks of the sampler for one option that is new.
_PATIENCE = 4

Try = Callable[[Sequence[Option]], list[Tried]]
#: Called after each batch: options tried, options in all as far as known, the cheapest that is met.
Told = Callable[[int, int, "Tried | None"], None]


class Search:
    """What was tried of a space, and what is tried next.

    Parameters
    ----------
    space : Space
    objectives : tuple of Objective
    latency : Figure
        What is minimised beside the rent.
    try_all : callable
        Tries options; results in their order.
    told : callable or None
        See `Told`.

    Attributes
    ----------
    tried : dict of Option to Tried
        In the order in which they were tried.
    unfit : dict of Platform to str
        Why a platform was not tried at all.
    """

    def __init__(
        self,
        space: Space,
        objectives: tuple[Objective, ...],
        latency: Figure,
        try_all: Try,
        told: Told | None = None,
    ) -> None:
        self.space = space
        self.tried: dict[Option, Tried] = {}
        self.unfit: dict[Platform, str] = {}
        self._objectives = objectives
        self._latency = latency
        self._try_all = try_all
        self._told = told
        self._expected = 0

    def best(self) -> Tried | None:
        """The cheapest option that keeps the objectives.

        Of equally cheap ones one with the user's own weights and KV format, then that with most
        room.
        """
        met = [one for one in self.tried.values() if one.is_met(self._objectives)]
        return min(met, key=self._merit, default=None)

    def met(self) -> list[Tried]:
        """All that keep the objectives, cheapest first."""
        found = [one for one in self.tried.values() if one.is_met(self._objectives)]
        return sorted(found, key=self._merit)

    def nearest(self) -> list[Tried]:
        """What came nearest to keeping them, nearest first."""
        return sorted(
            self.tried.values(),
            key=lambda one: (one.nearness(self._objectives), self.space.rent(one.option)),
        )

    def _merit(self, one: Tried) -> tuple[float, bool, float, str]:
        room = max(one.violations(self._objectives))
        changes = one.option.changes_quality(self.space.base)
        return (round(self.space.rent(one.option), 9), changes, round(room, 9), one.option.name())

    def run(self, options: Sequence[Option]) -> list[Tried]:
        """Try what is new of these, and look up the others."""
        new = [option for option in dict.fromkeys(options) if option not in self.tried]
        for one in self._try_all(new) if new else ():
            self.tried[one.option] = one
        if self._told is not None:
            self._told(len(self.tried), max(self._expected, len(self.tried)), self.best())
        return [self.tried[option] for option in options]

    def coarse(self) -> None:
        """Everything on the plain settings, from the cheapest on, until nothing can be cheaper.

        Then the cheapest of each GPU that was not asked, since it is dearer: it may answer sooner.
        """
        options = self._plain_options()
        self._expected = len(options)
        for start in range(0, len(options), BATCH):
            best = self.best()
            limit = math.inf if best is None else self.space.rent(best.option)
            batch = [one for one in options[start : start + BATCH] if self.space.rent(one) <= limit]
            if not batch:
                break
            self.run(batch)
        asked = {option.platform.gpu for option in self.tried}
        others: dict[str, Option] = {}
        for option in sorted(options, key=lambda one: one.changes_quality(self.space.base)):
            if option.platform.gpu not in asked:
                others.setdefault(option.platform.gpu, option)
        self.run(list(others.values()))

    def _plain_options(self) -> list[Option]:
        """What may be rented and fits, cheapest first, of equals the user's own formats first."""
        options = []
        for platform in self.space.platforms():
            counts = self.space.counts(platform)
            if not counts:
                self.unfit[platform] = self.space.why_none(platform)
            elif self._fits(platform):
                options += [self.space.option(platform, number) for number in counts]
        base = self.space.base
        return sorted(
            options,
            key=lambda o: (round(self.space.rent(o), 9), o.changes_quality(base), o.num_gpus),
        )

    def _fits(self, platform: Platform) -> bool:
        try:
            build_system(self.space.option(platform).config(self.space.base))
        except (ConfigError, DoesNotFit) as error:
            self.unfit[platform] = str(error)
            return False
        return True

    def fine(self, trials: int, seed: int = 0) -> None:
        """So many options more, chosen by optuna."""
        promising = self._promising()
        if not promising or trials < 1:
            return
        import optuna

        optuna.logging.set_verbosity(optuna.logging.ERROR)
        sampler = optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True)
        study = optuna.create_study(directions=["minimize", "minimize"], sampler=sampler)
        grid = Grid(self.space, promising)
        known = [one for one in self.tried.values() if one.option.platform in promising]
        study.add_trials([self._known(one, grid) for one in known])
        for option in self._starts():
            study.enqueue_trial(grid.params(option))
        asks, goal = 0, len(self.tried) + trials
        self._expected = goal
        while len(self.tried) < goal and asks < _PATIENCE * trials:
            asked = [study.ask(grid.distributions) for _ in range(min(BATCH, trials))]
            asks += len(asked)
            found = self.run([grid.option(trial.params) for trial in asked])
            for trial, one in zip(asked, found, strict=True):
                for name, violation in self._constraints(one).items():
                    trial.set_constraint(name, violation)
                state, values = self._told_as(one)
                study.tell(trial, values, state)

    def _promising(self) -> list[Platform]:
        """Platforms that met the objectives, and those that came nearest."""
        return list(dict.fromkeys(one.option.platform for one in (*self.met(), *self._missed())))

    def _missed(self) -> list[Tried]:
        """The options that missed an objective by least."""
        missed = [o for o in self.nearest() if not o.failure and not o.is_met(self._objectives)]
        return missed[:_NEAREST]

    def _starts(self) -> list[Option]:
        """Where optuna begins: the options that just missed, with one setting changed each."""
        fine = self.space.fine().items()
        return [
            dataclasses.replace(
                one.option, engine=tuple((n, v if n == name else o) for n, o in one.option.engine)
            )
            for one in self._missed()
            for name, values in fine
            for v in values[-1:]
        ]

    def _known(self, one: Tried, grid: Grid) -> optuna.trial.FrozenTrial:
        import optuna

        state, values = self._told_as(one)
        return optuna.trial.create_trial(
            state=state,
            values=values,
            params=grid.params(one.option),
            distributions=grid.distributions,
            constraints=self._constraints(one),
        )

    def _told_as(self, one: Tried) -> tuple[optuna.trial.TrialState, list[float] | None]:
        """Rent and latency of a whole run; one that was ended early, or failed, was pruned."""
        from optuna.trial import TrialState

        latency = one.values.get(self._latency.name)
        if latency is None:
            return TrialState.PRUNED, None
        return TrialState.COMPLETE, [self.space.rent(one.option), latency]

    def _constraints(self, one: Tried) -> dict[str, float]:
        return {str(n): miss for n, miss in enumerate(one.violations(self._objectives))}


class Grid:
    """The options of some platforms as parameters of optuna."""

    def __init__(self, space: Space, platforms: Sequence[Platform]) -> None:
        from optuna.distributions import (
            BaseDistribution,
            CategoricalDistribution,
            IntDistribution,
        )

        self._space = space
        self._platforms = {platform_name(one): one for one in platforms}
        self._counts = space.choices["cluster.replicas"]
        self.distributions: dict[str, BaseDistribution] = {
            "platform": CategoricalDistribution(list(self._platforms)),
            "replicas": IntDistribution(0, len(self._counts) - 1),
            "routing": CategoricalDistribution(space.choices["cluster.routing"]),
        }
        for name, values in space.fine().items():
            self.distributions[name] = IntDistribution(0, len(values) - 1)

    def option(self, params: Mapping[str, Any]) -> Option:
        """The option of these parameters; more replicas than may be rented are as many as may."""
        platform = self._platforms[params["platform"]]
        replicas = min(self._counts[params["replicas"]], self._space.counts(platform)[-1])
        first = self._space.choices["cluster.routing"][0]
        return Option(
            platform,
            replicas,
            params["routing"] if replicas > 1 else first,
            tuple((name, values[params[name]]) for name, values in self._space.fine().items()),
        )

    def params(self, option: Option) -> dict[str, Any]:
        """The parameters of an option."""
        engine = dict(option.engine)
        return {
            "platform": platform_name(option.platform),
            "replicas": self._counts.index(option.replicas),
            "routing": option.routing,
            **{name: values.index(engine[name]) for name, values in self._space.fine().items()},
        }
