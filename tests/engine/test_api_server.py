"""What lies between clients and engine: it delays, one request after another."""

from __future__ import annotations

from agentsim.domain.trace import Call, Session
from agentsim.engine.rules import Rules
from agentsim.machine.api_server import ApiServer
from agentsim.machine.system import build_system, read_config
from engine.runs import LinearCost, serve

COST = LinearCost()  # a step takes 100 ns and 1 ns a token
SESSION = Session("s", (Call("c", 20, 3), Call("d", 30, 2, after=("c",), delay_ns=7)))


def test_each_way_adds_its_delay() -> None:
    """Prefill 120 ns, decodes 101 ns each; 50 ns and half a nanosecond a token to the engine, 9 ns
    back."""
    run = serve([SESSION], Rules(), COST, api=ApiServer(50, 0.5, 9))
    first, second = run.request("s", "c"), run.request("s", "d")
    assert (first["submitted_ns"], first["scheduled_ns"]) == (0, 60)
    assert (first["first_token_ns"], first["finished_ns"]) == (180 + 9, 382 + 9)
    assert second["submitted_ns"] == 391 + 7
    assert second["scheduled_ns"] == 398 + 50 + 15
    assert run.session("s")["served_ns"] == run.session("s")["finished_ns"] - 7


def lone(name: str, at_ns: int, tokens: int) -> Session:
    return Session(name, (Call("c", tokens, 1),), at_ns=at_ns)


def test_requests_are_taken_in_one_at_a_time_in_the_order_of_keys() -> None:
    """50 ns each: two of one instant, one while the second is taken in, one later."""
    sessions = [lone("b", 0, 20), lone("a", 0, 20), lone("c", 60, 20), lone("d", 500, 20)]
    run = serve(sessions, Rules(), COST, arrival="recorded", api=ApiServer(50, 0.0, 0))
    reached = [run.request(name, "c")["scheduled_ns"] for name in "abcd"]
    assert reached[0] == 50
    assert reached[3] == 550
    # b reaches the queue at 100 and c at 150, during a's step, which ends at 170
    assert reached[1:3] == [170, 170]


def test_each_replica_has_an_api_server_of_its_own() -> None:
    sessions = [lone(name, 0, 20) for name in "abc"]
    run = serve(sessions, Rules(), COST, arrival="recorded", replicas=3, api=ApiServer(50, 0.0, 0))
    assert [run.request(name, "c")["scheduled_ns"] for name in "abc"] == [50, 50, 50]


def test_gaps_between_tokens_stay() -> None:
    near, far = (
        serve([SESSION], Rules(), COST, api=api) for api in (ApiServer(), ApiServer(5, 0, 9))
    )
    assert near.gaps["ns"].tolist() == far.gaps["ns"].tolist()
    assert near.steps["num_tokens"].tolist() == far.steps["num_tokens"].tolist()


def test_the_delays_are_factors() -> None:
    """Named, with their source, among the assumptions; given ones reach the engine."""
    sets = ["cost.api_request_s=0.004", "cost.api_prompt_token_s=2e-6", "cost.api_stream_s=0.001"]
    config, _ = read_config(sets=sets)
    system = build_system(config)
    assert system.api == ApiServer(4_000_000, 2000.0, 1_000_000)
    assert system.api.inbound_ns(1000) == 6_000_000
    assert "api_request_s" in {row["name"] for row in system.assumptions}
