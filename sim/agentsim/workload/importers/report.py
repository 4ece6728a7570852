"""What an import measured, estimated or could not know: `ImportReport`."""

from __future__ import annotations

from collections import Counter

import msgspec

#: Fields of a call whose standing is counted.
FIELDS = ("input_tokens", "output_tokens", "start", "end", "wait", "prefix", "cached_tokens")
STANDINGS = ("measured", "estimated", "missing")


class Warned(msgspec.Struct):
    """A kind of thing that was odd: how often, and the first of them."""

    count: int
    example: str


class ImportReport(msgspec.Struct):
    """What came out of an import, and how much of it stands in the logs.

    Attributes
    ----------
    formats : dict of str to int
        Files read, by format.
    standing : dict of str to dict
        Of each of `FIELDS`: calls for which it was measured, estimated, or is missing.
    tokenizer : str or None
        Counted the tokens of text; None: all counts stand in the logs.
    timed_sessions : int
        Sessions with times.
    wall_ns, explained_ns : int
        Of these: first submission to last answer; of it the time in calls whose both ends
        are known and in waits that the log states.
    warnings : dict of str to Warned
    left_out : int
        Lines or records that could not be read and were skipped, with ``--skip-bad``.
    """

    formats: dict[str, int] = {}
    sessions: int = 0
    calls: int = 0
    sub_agents: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    standing: dict[str, dict[str, int]] = msgspec.field(
        default_factory=lambda: {name: dict.fromkeys(STANDINGS, 0) for name in FIELDS}
    )
    tokenizer: str | None = None
    timed_sessions: int = 0
    wall_ns: int = 0
    explained_ns: int = 0
    warnings: dict[str, Warned] = {}
    left_out: int = 0

    def count(self, field: str, standing: str) -> None:
        """Note the standing of one call's field."""
        self.standing[field][standing] += 1

    def warn(self, kind: str, example: str) -> None:
        """Note something odd; the first of its kind is kept as the example."""
        if kind in self.warnings:
            self.warnings[kind].count += 1
        else:
            self.warnings[kind] = Warned(1, example)

    @property
    def explained_share(self) -> float | None:
        """Share of the sessions' wall time that is measured; None where there is no time."""
        return min(1.0, self.explained_ns / self.wall_ns) if self.wall_ns else None

    def notes(self) -> Counter[str]:
        """What a replay should repeat: estimates and what is missing, with counts."""
        found: Counter[str] = Counter()
        for field, counts in self.standing.items():
            if field == "cached_tokens":
                continue
            for standing in STANDINGS[1:]:
                if counts[standing]:
                    found[f"{field.replace('_', ' ')} {standing}"] = counts[standing]
        return found
