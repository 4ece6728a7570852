"""A whole run: agents, the servers they ask, and what is written down about it."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Generator, Iterator
from heapq import heapreplace
from typing import Any

import simpy

from agentsim.domain.block_use import BlockUse
from agentsim.domain.chance import uniform
from agentsim.domain.config import Config
from agentsim.domain.records import Served
from agentsim.domain.trace import Call, Session, StoredSessions, Trace
from agentsim.domain.units import seconds_to_ns
from agentsim.engine.batcher import Batcher
from agentsim.engine.clock import Clock, Phase
from agentsim.engine.fleet import Fleet, FleetPaths, Server
from agentsim.engine.ledger import Ledger
from agentsim.engine.limits import check_fits
from agentsim.engine.replica import Replica, StepCost
from agentsim.engine.rules import Rules
from agentsim.engine.sequence import Sequence, Status
from agentsim.engine.session import Flight, SessionRun
from agentsim.engine.static import StaticServer
from agentsim.engine.waits import Waits
from agentsim.machine.api_server import NO_SERVER, ApiServer
from agentsim.machine.blocks import BlockTable
from agentsim.machine.host_memory import HostMemory
from agentsim.machine.transformers import ContiguousMemory
from agentsim.policies.acceptance import resolve
from agentsim.policies.drafters import DRAFTERS, Drafted, Drafter
from agentsim.policies.evictions import EvictionOrder
from agentsim.policies.routers import make_router

AGAIN = "sessions run again, with private content of their own, for more agents than sessions"

#: thresholds of the cyclic garbage collector while a run goes on
_RARELY = (200_000, 20, 50)

Progress = Callable[[int, int, int], None]
Watch = Callable[[Served], None]


class Simulation:
    """Sessions of a trace against one engine, or several behind a router.

    Parameters
    ----------
    trace : Trace
        Fitted to the model's length.
    config : Config
    rules : Rules
    cost : StepCost
    window : int or None
        Sliding window of the model, tokens.
    contiguous : ContiguousMemory or None
        Serve batch after batch without paging, from this memory.
    api : ApiServer
        What lies between the agents and the engine.
    host : HostMemory or None
        CPU memory of each engine that KV blocks are offloaded to.
    eviction : EvictionOrder or None
        Which cached content gives way in every engine; None: as `rules` say.
    exact, check : bool
        See `Replica`.
    progress : callable or None
        Called with (calls done, calls in all, simulated nanoseconds) after each call.
    watch : callable or None
        Called with each call that was served; what it raises ends the run.
    ledger : Ledger or None
        What everything is written down in.

    Attributes
    ----------
    num_calls : int
        Calls that will be answered, known once it runs.
    """

    def __init__(
        self,
        trace: Trace,
        config: Config,
        rules: Rules,
        cost: StepCost,
        window: int | None = None,
        *,
        contiguous: ContiguousMemory | None = None,
        api: ApiServer = NO_SERVER,
        host: HostMemory | None = None,
        eviction: EvictionOrder | None = None,
        exact: bool = False,
        check: bool = False,
        progress: Progress | None = None,
        watch: Watch | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.env = Clock()
        self.rules = rules
        self.waits = Waits(config.agents, config.seed)
        self.ledger = ledger or Ledger()
        self.num_calls = 0
        self._num_started = 0
        self._config = config
        timeout_s = config.agents.timeout_s
        self._timeout_ns = None if timeout_s is None else seconds_to_ns(timeout_s)
        self._trace = trace
        self._progress = progress
        self._watch = watch
        self._api = api
        self._inbox: list[Flight] = []
        self._outbox: list[Flight] = []
        self._contiguous = contiguous
        self._host = host
        self._eviction = eviction
        self._acceptance = resolve(config)
        cluster = config.cluster
        router = make_router(cluster.routing, cluster.replicas, config.seed)
        self.servers: list[Server] = [
            self._new_server(number, cost, window, exact=exact, check=check)
            for number in range(cluster.replicas)
        ]
        first = self.servers[0]
        self._keeps_use = isinstance(first, Replica) and first.batcher.pool.keeps_use
        self._fleet = Fleet(self.servers, router if cluster.replicas > 1 else None)
        self._intake_ns = [0] * cluster.replicas  # heap: when each API server is free again

    def _new_server(
        self, number: int, cost: StepCost, window: int | None, *, exact: bool, check: bool
    ) -> Server:
        rules = self.rules
        if self._contiguous is not None:
            return StaticServer(
                self.env,
                cost,
                self._answer,
                number=number,
                max_batch=rules.max_num_seqs,
                max_tokens=self._contiguous.max_tokens,
                block_size=rules.block_size,
                window=window,
                ledger=self.ledger,
            )
        return Replica(
            self.env,
            Batcher(rules, window, self._host, self._eviction),
            cost,
            self._answer,
            number=number,
            exact=exact,
            check=check,
            ledger=self.ledger,
        )

    def offloaded(self) -> dict[str, int]:
        """What KV offloading did, of all engines: blocks that fit, tokens and blocks."""
        found = dict.fromkeys(
            ("host_blocks", "hit_tokens", "loaded_blocks", "stored_blocks", "evicted_blocks"), 0
        )
        for server in self.servers:
            if isinstance(server, Replica) and server.batcher.offload is not None:
                offload = server.batcher.offload
                found["host_blocks"] += offload.tier.num_blocks
                found["hit_tokens"] += offload.hit_tokens
                found["loaded_blocks"] += offload.num_loaded
                found["stored_blocks"] += offload.num_stored
                found["evicted_blocks"] += offload.tier.num_evicted
        return found

    def run(self) -> None:
        """From the first session to the last answer.

        Raises
        ------
        DoesNotFit
            If a call can never be served; before anything runs.
        TraceError
            If a call lacks what the acceptance model reads of it.
        """
        for session in self._trace:
            for call in session.calls:
                check_fits(self.rules, session, call, self._contiguous)
                if self.rules.num_speculative_tokens:  # what it reads of the trace must be there
                    self._drafter(session, call, session.id)
        self._start_agents()
        # what a run makes goes by reference counts: looking for cycles often only costs time
        thresholds = gc.get_threshold()
        gc.set_threshold(*_RARELY)
        try:
            self.env.run()
        finally:
            gc.set_threshold(*thresholds)
        self.close()

    def close(self) -> None:
        """Write down the steps that were taken, also of a run that was stopped."""
        for server in self.servers:
            server.steps.close()

    # -- agents

    def _start_agents(self) -> None:
        agents, sessions = self._config.agents, self._trace.sessions
        if agents.num_agents is None:
            self.num_calls = self._trace.num_calls
            self.env.process(self._arrivals())
            return
        num_agents = agents.num_agents
        num_runs = max(num_agents, len(sessions))
        self.num_calls = self._trace.num_calls
        if num_runs > len(sessions):
            self.waits.notes[AGAIN] = num_runs - len(sessions)
            self.num_calls = sum(len(s.calls) for s, _ in _repeated(sessions, num_runs))
        todo = _repeated(sessions, num_runs)
        for slot in range(num_agents):
            # one each where there are not enough for a second
            mine = iter([next(todo)]) if num_runs == num_agents else todo
            self.env.process(self._agent(slot, mine))

    def _arrivals(self) -> Generator[simpy.Event, Any, None]:
        """All sessions, each at its time."""
        last_ns = -1
        for slot, (start_ns, session) in enumerate(zip(self._starts(), self._trace, strict=True)):
            if start_ns != last_ns:
                yield self.env.at(start_ns, Phase.ARRIVE)
                last_ns = start_ns
            self.env.process(self._new_run(session, session.id, slot).process())

    def _starts(self) -> Iterator[int]:
        """When each session starts, in nanoseconds."""
        kind, _, rate = self._config.agents.arrival.partition(":")
        now_ns = 0
        for number, session in enumerate(self._trace):
            if kind != "poisson":
                yield session.at_ns
                continue
            chance = uniform(self._config.seed, "arrivals", "", number)
            now_ns += seconds_to_ns(-math.log1p(-chance) / float(rate))
            yield now_ns

    def _agent(
        self, slot: int, todo: Iterator[tuple[Session, str]]
    ) -> Generator[simpy.Event, Any, None]:
        """One agent at work: takes the next session when the last one has ended."""
        start_ns = seconds_to_ns(slot * self._config.agents.ramp_s)
        yield self.env.at(start_ns, Phase.ARRIVE)
        for session, name in todo:
            yield from self._new_run(session, name, slot).process()

    def _new_run(self, session: Session, name: str, slot: int) -> SessionRun:
        number = self._num_started
        self._num_started += 1
        run = SessionRun(
            self.env,
            session,
            name=name,
            number=number,
            slot=slot,
            submit=self._submit,
            wait_ns=self.waits.wait_ns,
            ended=self._end,
        )
        if self.rules.enable_prefix_caching and self._contiguous is None:
            run.paths = FleetPaths(self.servers, session, str(number))
        return run

    def _end(self, run: SessionRun) -> None:
        """A session has had its last answer."""
        if run.paths is not None:
            run.paths.drop()
        self.ledger.end_session(run)

    # -- the way to the server and back

    def _submit(self, flight: Flight) -> None:
        """Take in what an agent sends."""
        if not self._api.inbound_ns(flight.call.input_tokens):
            self._receive(flight)
            return
        if not self._outbox:
            self.env.at(self.env.now_ns, Phase.ROUTE, self._intake)
        self._outbox.append(flight)

    def _intake(self, _: simpy.Event) -> None:
        """API servers take requests one at a time, those of an instant in the order of keys."""
        outbox, self._outbox = self._outbox, []
        outbox.sort(key=_key_of)
        for flight in outbox:
            begins_ns = max(self._intake_ns[0], flight.submitted_ns)
            arrives_ns = begins_ns + self._api.inbound_ns(flight.call.input_tokens)
            heapreplace(self._intake_ns, arrives_ns)
            self._arrive_at(arrives_ns, flight)

    def _arrive_at(self, when_ns: int, flight: Flight) -> None:
        self.env.at(when_ns, Phase.ARRIVE, lambda _: self._receive(flight))

    def _receive(self, flight: Flight) -> None:
        """It is at the engine, where those of an instant are taken in the order of keys."""
        if not self._inbox:
            self.env.at(self.env.now_ns, Phase.ROUTE, self._route)
        self._inbox.append(flight)

    def _route(self, _: simpy.Event) -> None:
        inbox, self._inbox = self._inbox, []
        if len(inbox) > 1:
            inbox.sort(key=_key_of)
        for flight in inbox:
            if flight.call.input_tokens:
                flight.server = self._fleet.route(flight.run.session, flight.run.name, flight.call)
                sequence = self._sequence(flight)
                self.servers[flight.server].enqueue(sequence)
                if self._timeout_ns is not None:
                    self._wait_at_most(self._timeout_ns, sequence)
            else:
                if flight.run.paths is not None:
                    flight.run.paths.skip(flight.call)
                self._done(flight, None)

    def _wait_at_most(self, timeout_ns: int, sequence: Sequence) -> None:
        """Let the client give up on a call after so long."""

        flight: Flight = sequence.owner
        server = self.servers[flight.server]

        def give_up(_: simpy.Event) -> None:
            if sequence.status is not Status.FINISHED and isinstance(server, Replica):
                server.give_up(sequence)

        when_ns = max(self.env.now_ns, flight.submitted_ns + timeout_ns)
        self.env.at(when_ns, Phase.ARRIVE, give_up)

    def _sequence(self, flight: Flight) -> Sequence:
        rules, call, run = self.rules, flight.call, flight.run
        room = rules.max_model_len - call.input_tokens
        num_output = min(max(1, call.output_tokens), room)
        allowed = call.max_tokens or room
        if call.finish == "length":
            allowed = num_output
        priority = run.session.priority if call.priority is None else call.priority
        tip = run.paths.open(call, flight.server) if run.paths is not None else None
        use = None
        if self._keeps_use:
            ends_session = flight.key[1] == len(run.session.calls) - 1
            use = BlockUse(run.name, call.id, ends_session)
        return Sequence(
            owner=flight,
            num_prompt=call.input_tokens,
            num_output=num_output,
            max_tokens=max(allowed, num_output),
            table=BlockTable(tip, use),
            priority=priority,
            drafter=self._drafter(run.session, call, run.name),
        )

    def _drafter(self, session: Session, call: Call, run_name: str) -> Drafter | None:
        """Whose drafts the call gets, if it gets any."""
        if not self.rules.num_speculative_tokens:
            return None
        drafted = Drafted(
            num_drafts=self.rules.num_speculative_tokens,
            seed=self._config.seed,
            name=f"{run_name}/{call.id}",
            extra={**(session.extra or {}), **(call.extra or {})},
        )
        return DRAFTERS[self._acceptance.model](self._acceptance, drafted)

    def _answer(self, sequence: Sequence) -> None:
        flight: Flight = sequence.owner
        sequence.owner = None
        if sequence.first_token_ns >= 0:
            sequence.first_token_ns += self._api.stream_ns
        sequence.last_token_ns += self._api.stream_ns
        if flight.run.paths is not None:
            flight.run.paths.close(flight.call.id, flight.server)
        self._fleet.answered(flight.server)
        self._done(flight, sequence)

    def _done(self, flight: Flight, sequence: Sequence | None) -> None:
        self.ledger.add_call(flight, sequence)
        if self._progress is not None:
            self._progress(self.ledger.num_calls, self.num_calls, self.env.now_ns)
        if self._watch is not None and sequence is not None and not sequence.was_dropped:
            run, asked = flight.run, flight.call.output_tokens
            self._watch(
                Served(
                    session=run.number,
                    started_ns=run.started_ns,
                    submitted_ns=flight.submitted_ns,
                    first_token_ns=sequence.first_token_ns if asked else -1,
                    finished_ns=sequence.last_token_ns,
                    output_tokens=min(asked, sequence.outputs),
                )
            )
        # the agent goes on in the next phase, after all that ends now has ended
        back_ns = 0 if sequence is None else self._api.stream_ns + sequence.was_dropped
        self.env.trigger(flight.answered, Phase.ARRIVE, back_ns)


def _key_of(flight: Flight) -> tuple[int, int]:
    return flight.key


def _repeated(
    sessions: tuple[Session, ...] | StoredSessions, num_runs: int
) -> Iterator[tuple[Session, str]]:
    """Sessions in turn, again from the first when all have been; with the names of their runs."""
    for number in range(num_runs):
        session = sessions[number % len(sessions)]
        again = number // len(sessions)
        yield session, f"{session.id}#{again + 1}" if again else session.id
