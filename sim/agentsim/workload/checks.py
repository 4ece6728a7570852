"""The rules of agentsim-trace v1 that a line must keep with the lines before it.

`faults_of_call` is asked for every call; it says what is wrong, the reader says where.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agentsim.domain.trace import Call
from agentsim.workload.lines import show
from agentsim.workload.rows import (
    BLOCK_NAMES,
    INPUT_NAMES,
    OUTPUT_NAMES,
    CallRow,
    Fault,
    HeaderRow,
)

FORMAT = "agentsim-trace"
VERSION = 1
KEEP_COVERS = ("input+output", "input")
#: a count stands under its first name only
_NO_OTHER = (None, None)


def faults_of_header(row: HeaderRow) -> list[Fault]:
    """What a reader of version 1 cannot take."""
    faults = []
    if row.format != FORMAT:
        faults.append(Fault(("format",), f"expected {FORMAT!r}, got {show(row.format)}"))
    if row.version != VERSION:
        faults.append(
            Fault(("version",), f"expected {VERSION}, got {row.version}: this is another format")
        )
    if row.time_unit != "s":
        faults.append(
            Fault(
                ("time_unit",), f"expected 's', got {show(row.time_unit)}: convert times to seconds"
            )
        )
    if row.keep_covers not in KEEP_COVERS:
        faults.append(
            Fault(
                ("keep_covers",), f"expected 'input' or 'input+output', got {show(row.keep_covers)}"
            )
        )
    return faults


def first_of(row: CallRow, names: tuple[str, ...]) -> Any:
    """The value of a field with aliases; None if it is not given."""
    for name in names:
        value = getattr(row, name)
        if value is not None:
            return value
    return None


def one_of(row: CallRow, names: tuple[str, ...]) -> tuple[object, list[Fault]]:
    """The value of a field with aliases, and what is wrong if it is given twice."""
    given = [(name, value) for name in names if (value := getattr(row, name)) is not None]
    if not given:
        return None, []
    (first, value), *others = given
    faults = [
        Fault((name,), f"expected {show(value)} as in '{first}', its other name; got {show(other)}")
        for name, other in others
        if other != value
    ]
    return value, faults


def is_plainly_right(row: CallRow, calls: Mapping[str, Call]) -> bool:
    """Whether a call, of the usual kind, keeps the rules; if not, `faults_of_call` decides.

    Parameters
    ----------
    row : CallRow
        The call; `id` is filled in.
    calls : mapping of str to Call
        Earlier calls of the session, by id.
    """
    tokens = row.input_tokens
    if tokens is None or row.output_tokens is None or row.id in calls:
        return False
    if row.after and not all(name in calls for name in row.after):
        return False
    if row.prompt is not None or row.blocks is not None or row.hash_ids is not None:
        return False
    inputs, outputs = (
        (row.prompt_tokens, row.input_length),
        (row.completion_tokens, row.output_length),
    )
    if inputs != _NO_OTHER or outputs != _NO_OTHER:
        return False
    if row.extends is None or row.keep is None:
        return row.extends is None and row.keep is None
    base = calls.get(row.extends)
    return base is not None and row.keep <= min(tokens, base.input_tokens + base.output_tokens)


def faults_of_call(row: CallRow, calls: Mapping[str, Call], block_size: int | None) -> list[Fault]:
    """What is wrong with a call, given the earlier calls of its session.

    Parameters
    ----------
    row : CallRow
        The call; `id` is filled in.
    calls : mapping of str to Call
        Earlier calls of the session, by id.
    block_size : int or None
        Tokens in a hashed block, from the header.
    """
    prompt_tokens, faults = one_of(row, INPUT_NAMES)
    output_tokens, more = one_of(row, OUTPUT_NAMES)
    faults += more
    for names, value in ((INPUT_NAMES, prompt_tokens), (OUTPUT_NAMES, output_tokens)):
        if value is None:
            faults.append(Fault(names, "missing, expected an integer >= 0"))
    if row.id in calls:
        faults.append(Fault(("id",), f"{show(row.id)} is the id of an earlier call of the session"))
    faults += [_dangling("after", row, name) for name in row.after or () if name not in calls]
    faults += _faults_of_identity(row, calls, block_size, prompt_tokens)
    return faults


def _faults_of_identity(
    row: CallRow, calls: Mapping[str, Call], block_size: int | None, num_tokens: object
) -> list[Fault]:
    """What is wrong with what the prompt is made of: one of four ways, within its bounds."""
    blocks, faults = one_of(row, BLOCK_NAMES)
    ways = (("prompt", row.prompt), ("extends", row.extends), ("blocks", blocks))
    given = [name for name, value in ways if value is not None]
    if len(given) > 1:
        faults.append(
            Fault(
                tuple(given),
                f"expected only one of prompt, extends, blocks; got {' and '.join(given)}",
            )
        )
    if row.extends is not None:
        faults += _faults_of_keep(row, calls, num_tokens)
    elif row.keep is not None:
        faults.append(Fault(("extends",), "missing, expected the call whose tokens 'keep' counts"))
    if row.prompt is not None:
        faults += _faults_of_segments(row, calls, num_tokens)
    if isinstance(blocks, list) and isinstance(num_tokens, int):
        faults += _faults_of_blocks(len(blocks), block_size, num_tokens)
    return faults


def _faults_of_keep(row: CallRow, calls: Mapping[str, Call], num_tokens: object) -> list[Fault]:
    assert row.extends is not None
    faults = []
    if row.keep is None:
        faults.append(
            Fault(("keep",), f"missing, expected how many tokens of {row.extends!r} are kept")
        )
    base = calls.get(row.extends)
    if base is None:
        faults.append(_dangling("extends", row, row.extends))
    if row.keep is None:
        return faults
    if isinstance(num_tokens, int) and row.keep > num_tokens:
        faults.append(
            Fault(
                ("keep", *INPUT_NAMES),
                f"expected at most the prompt's {num_tokens} tokens, got {row.keep}",
            )
        )
    if base is not None and row.keep > base.input_tokens + base.output_tokens:
        faults.append(
            Fault(
                ("keep", "extends"),
                f"expected at most {base.input_tokens + base.output_tokens} (prompt and output of "
                f"{row.extends!r}), got {row.keep}",
            )
        )
    return faults


def _faults_of_segments(row: CallRow, calls: Mapping[str, Call], num_tokens: object) -> list[Fault]:
    assert row.prompt is not None
    faults = []
    total = sum(tokens for _, tokens in row.prompt)
    if isinstance(num_tokens, int) and total != num_tokens:
        faults.append(
            Fault(
                ("prompt", *INPUT_NAMES),
                f"segments add up to {total} tokens, but the prompt has {num_tokens}",
            )
        )
    for name, tokens in row.prompt:
        if not name.startswith("out:"):
            continue
        call = calls.get(name[len("out:") :])
        if call is None:
            faults.append(_dangling("prompt", row, name[len("out:") :]))
        elif tokens > call.output_tokens:
            faults.append(
                Fault(
                    ("prompt",),
                    f"segment {name!r}: expected at most the call's {call.output_tokens} output "
                    f"tokens, got {tokens}",
                )
            )
    return faults


def _faults_of_blocks(num_blocks: int, block_size: int | None, num_tokens: int) -> list[Fault]:
    if block_size is None:
        return [
            Fault(("blocks",), "the header has no 'block_size': say how many tokens a block holds")
        ]
    needed = -(-num_tokens // block_size)
    if num_blocks == needed:
        return []
    return [
        Fault(
            ("blocks", *INPUT_NAMES),
            f"expected {needed} blocks of {block_size} for {num_tokens} tokens, got {num_blocks}",
        )
    ]


def _dangling(field: str, row: CallRow, name: str) -> Fault:
    if name == row.id:
        text = f"{show(name)} is this call itself: a call names only earlier calls of its session"
    else:
        text = f"{show(name)} is not an earlier call of session {show(row.session)}"
    return Fault((field,), text, missing_call=name)
