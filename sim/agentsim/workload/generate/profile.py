"""What a kind of agent does: the TOML file that `agentsim generate` draws sessions from.

Those that are shipped are in the folder `profiles`; ``docs/generate.md`` explains every field.
"""

from __future__ import annotations

import math
import re
from importlib import resources
from pathlib import Path
from typing import Annotated, Any

import msgspec

from agentsim.domain.settings import read_toml
from agentsim.errors import ConfigError, UnknownName
from agentsim.workload.generate.distribution import Distribution

Share = Annotated[float, msgspec.Meta(ge=0.0, le=1.0)]
Tokens = Annotated[int, msgspec.Meta(ge=0, le=1 << 40)]

#: Most calls of a session, tools of a call, sub-agents at a time.
MOST_CALLS, MOST_AT_ONCE = 100_000, 64


class About(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the numbers are from, whose tokens they count, and what the source did not say."""

    source: str
    tokenizer: str | None = None
    unknown: tuple[str, ...] = ()


class SessionShape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long a session is, and the head that all sessions share.

    Attributes
    ----------
    calls : Distribution
        Of the main agent.
    system_tokens, tool_tokens : int
        System prompt and tool definitions, the same for all sessions.
    context_limit : int
        Prompt and answer together never exceed it.
    correlation : float
        Of the ranks of `calls` and of the length of the first prompt.
    """

    calls: Distribution
    context_limit: Annotated[int, msgspec.Meta(ge=2, le=1 << 40)]
    system_tokens: Tokens = 0
    tool_tokens: Tokens = 0
    correlation: Annotated[float, msgspec.Meta(ge=-1.0, le=1.0)] = 0.0


class PromptShape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens that prompts are made of: behind the head at first, appended after tools and users."""

    first: Distribution
    appended: Distribution
    appended_user: Distribution | None = None


class Early(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the first prompts of an agent append, tools' and users' alike; agents read first."""

    calls: Annotated[int, msgspec.Meta(ge=1, le=MOST_CALLS)]
    appended: Distribution


class Shrink(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a prompt does not grow, and how many tokens it then lacks of what was before it."""

    chance: Share
    dropped: Distribution


class Change(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How often a prompt differs early from the one before, and the share that both begin with."""

    chance: Share
    kept: Distribution


class Compaction(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """When a context begins anew behind the head, and the share of the last prompt it begins with.

    Attributes
    ----------
    at : Distribution
        Tokens of prompt and answer together after which the next prompt begins anew; drawn once
        for each context, from the values above the length that it begins with.
    kept : Distribution
        Of the last prompt.
    """

    at: Distribution
    kept: Distribution


class OutputShape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tokens of an answer."""

    tokens: Distribution


class UserShape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Calls from one message of the user to the next, and the seconds waited for it."""

    calls_per_turn: Distribution
    wait_s: Distribution


class ToolClass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One kind of tool: its share of all uses, and how long it runs."""

    name: str
    share: Annotated[float, msgspec.Meta(gt=0.0, le=1.0)]
    time_s: Distribution


class ToolShape(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Tools that a call asks for at once; the client's own seconds come on top of the longest."""

    classes: Annotated[tuple[ToolClass, ...], msgspec.Meta(min_length=1)]
    per_call: Distribution
    client_s: Distribution


class SubAgents(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Agents that a call starts and the next call waits for, with a shared head of their own.

    Attributes
    ----------
    session_share : float
        Of the sessions that have any.
    times : Distribution
        How often such a session starts some.
    at_once : Distribution
        How many it then starts.
    """

    session_share: Share
    times: Distribution
    at_once: Distribution
    calls: Distribution
    first: Distribution
    appended: Distribution
    output: Distribution
    system_tokens: Tokens = 0
    tool_tokens: Tokens = 0


class Profile(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kind of agent.

    Attributes
    ----------
    breaks : Change or None
        Prompts that share less with the one before than they could.
    compaction : Compaction or None
        Without it a full context ends the session.
    user : UserShape or None
        None: one message starts the session and none follows.
    """

    profile: About
    session: SessionShape
    prompt: PromptShape
    output: OutputShape
    tools: ToolShape
    early: Early | None = None
    shrink: Shrink | None = None
    breaks: Change | None = None
    compaction: Compaction | None = None
    user: UserShape | None = None
    sub_agents: SubAgents | None = None

    @property
    def head_tokens(self) -> int:
        """Tokens at the head of every prompt of a main agent."""
        return self.session.system_tokens + self.session.tool_tokens


def shipped_profiles() -> list[str]:
    """Names of the profiles of the package."""
    return sorted(Path(each.name).stem for each in _folder().iterdir() if each.suffix == ".toml")


def load_profile(name: str) -> Profile:
    """A shipped profile by its name, or one from a file.

    Raises
    ------
    ConfigError
        If it cannot be read, or a field of it is wrong.
    UnknownName
        If there is no such profile, and no such file.
    """
    known = shipped_profiles()
    path = _folder() / f"{name}.toml" if name in known else Path(name)
    if name not in known and not path.suffix and not path.exists():
        raise UnknownName("profile", name, known)
    return parse_profile(read_toml(path), name)


def parse_profile(tables: dict[str, Any], place: str) -> Profile:
    """A profile of the tables of a TOML file.

    Raises
    ------
    ConfigError
        Naming `place`, the field and what was expected.
    """
    try:
        profile = msgspec.convert(tables, Profile, dec_hook=_decode)
    except msgspec.ValidationError as error:
        raise ConfigError(f"{place}: {_told(str(error))}") from error
    shares = math.fsum(kind.share for kind in profile.tools.classes)
    if not math.isclose(shares, 1.0, abs_tol=0.01):
        raise ConfigError(f"{place}: tools.classes: expected shares that add up to 1: {shares:g}")
    for field, found, most in _limited(profile):
        if found.most > most:
            raise ConfigError(
                f"{place}: {field}: expected values of at most {most:,}, got {found.most:,.0f}: "
                "set 'most'"
            )
    for field, heads in (("session", profile.session), ("sub_agents", profile.sub_agents)):
        if heads is not None:
            tokens = heads.system_tokens + heads.tool_tokens
            if tokens + 2 > profile.session.context_limit:
                raise ConfigError(
                    f"{place}: {field}: a head of {tokens:,} tokens leaves no room below "
                    f"session.context_limit = {profile.session.context_limit:,}"
                )
    return profile


def _folder() -> Path:
    return Path(str(resources.files("agentsim"))) / "workload" / "generate" / "profiles"


def _decode(kind: type, plain: Any) -> Any:
    if kind is Distribution:
        return Distribution.parse(plain)
    raise NotImplementedError(kind)


def _limited(profile: Profile) -> list[tuple[str, Distribution, int]]:
    """The distributions whose values may not be any number."""
    limited = [
        ("session.calls", profile.session.calls, MOST_CALLS),
        ("tools.per_call", profile.tools.per_call, MOST_AT_ONCE),
    ]
    if profile.breaks is not None:
        limited.append(("breaks.kept", profile.breaks.kept, 1))
    if profile.compaction is not None:
        limited.append(("compaction.kept", profile.compaction.kept, 1))
    if profile.sub_agents is not None:
        limited.append(("sub_agents.calls", profile.sub_agents.calls, MOST_CALLS))
        limited.append(("sub_agents.times", profile.sub_agents.times, MOST_CALLS))
        limited.append(("sub_agents.at_once", profile.sub_agents.at_once, MOST_AT_ONCE))
    return limited


def _told(message: str) -> str:
    """``prompt.first: expected ...`` of what msgspec says."""
    text, _, path = message.partition(" - at `$")
    path = path.rstrip("`").lstrip(".")
    if found := re.match(r"Object contains unknown field `(.*)`", text):
        return f"{'.'.join(filter(None, (path, found.group(1))))}: unknown key"
    if found := re.match(r"Object missing required field `(.*)`", text):
        return f"{'.'.join(filter(None, (path, found.group(1))))}: missing"
    text = text.replace("`", "")
    return f"{path}: {text[:1].lower()}{text[1:]}" if path else text[:1].lower() + text[1:]
