"""Named sets of settings for older behaviour of vLLM.

A preset sets only what is known to have differed; everything else stays as in vLLM 0.32 and is
listed among the assumptions of the run.
"""

from __future__ import annotations

from typing import Any

import msgspec

from agentsim.registry import Registry


class Preset(msgspec.Struct, frozen=True):
    """Settings by dotted name, and what the preset does not cover."""

    summary: str
    settings: dict[str, Any]
    remains: str


_REMAINS = "every rule not named in the preset is vLLM 0.32's, with its defaults"

PRESETS: Registry[Preset] = Registry(
    "preset",
    {
        "early-2025": Preset(
            summary=(
                "vLLM of early 2025: no full-prompt admission, no watermark, the long-prefill cap "
                "binds a lone request too, one-ended free queue"
            ),
            settings={
                "engine.scheduler_reserve_full_isl": False,
                "engine.watermark": 0.0,
                "engine.lone_prefill_exempt": False,
                "engine.free_queue": "one-ended",
            },
            remains=_REMAINS,
        ),
    },
)
