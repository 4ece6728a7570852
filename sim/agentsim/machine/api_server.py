"""What lies between a client and the engine: the API server, on the way in and on the way back."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from agentsim.domain.units import seconds_to_ns
from agentsim.machine.factors import Factor


@dataclass(frozen=True, slots=True)
class ApiServer:
    """Delays of a request.

    Attributes
    ----------
    request_ns : int
        From the client's send to the scheduler's queue; one request at a time, others wait.
    prompt_token_ns : float
        The same, for each token of the prompt.
    stream_ns : int
        From the end of a step to the client's receipt of its tokens.
    """

    request_ns: int = 0
    prompt_token_ns: float = 0.0
    stream_ns: int = 0

    def inbound_ns(self, prompt_tokens: int) -> int:
        """How long a prompt takes to the scheduler's queue."""
        return self.request_ns + round(self.prompt_token_ns * prompt_tokens)


#: An engine in the process of its client.
NO_SERVER = ApiServer()


def api_server(factors: Mapping[str, Factor]) -> ApiServer:
    """The delays that the factors name."""
    return ApiServer(
        request_ns=seconds_to_ns(factors["api_request_s"].value),
        prompt_token_ns=factors["api_prompt_token_s"].value * 1e9,
        stream_ns=seconds_to_ns(factors["api_stream_s"].value),
    )
