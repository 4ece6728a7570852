"""Build hook: compiles the hot loops with mypyc where a C compiler is at hand.

The modules named in `COMPILED` are compiled as they are; without a compiler, or if anything goes
wrong, the wheel holds them as Python alone, which computes the same and takes about three times as
long. ``AGENTSIM_COMPILE=0`` asks for that; ``AGENTSIM_COMPILE=1`` makes a failure an error.
Editable installs stay Python.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

#: Modules without a class that derives from one that is not compiled.
COMPILED = (
    "engine/admission",
    "engine/batch",
    "engine/batcher",
    "engine/budget",
    "engine/continuation",
    "engine/delivery",
    "engine/fleet",
    "engine/group",
    "engine/host_link",
    "engine/ledger",
    "engine/limits",
    "engine/loading",
    "engine/memory",
    "engine/offload",
    "engine/paths",
    "engine/queue",
    "engine/recorder",
    "engine/replica",
    "engine/rules",
    "engine/sequence",
    "engine/session",
    "engine/simulation",
    "engine/stride",
    "engine/waits",
    "machine/blocks",
    "machine/coefficients",
    "machine/content",
    "machine/host_tier",
    "machine/ordered_blocks",
    "machine/roofline",
    "workload/drafts",
    "workload/held",
    "workload/prefix_edge",
    "workload/prefix_tree",
    "workload/reuse",
    "workload/v1",
)

_SETUP = """
from mypyc.build import mypycify
from setuptools import setup

modules = mypycify(["--ignore-missing-imports", *{modules!r}], opt_level="3", debug_level="0")
setup(name="agentsim", packages=[], ext_modules=modules)
"""


class CompileHook(BuildHookInterface):
    """Adds the compiled modules to a wheel."""

    def dependencies(self) -> list[str]:
        """What compiling needs, with what the modules import; nothing where it is not done."""
        if not self._is_wanted("standard"):
            return []
        return ["mypy==2.4.1", "setuptools>=70", *self.metadata.core.dependencies]

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Compile, and say which files go where."""
        if not self._is_wanted(version):
            return
        self._made = tempfile.TemporaryDirectory(prefix="agentsim-build-")
        try:
            found = compile_modules(Path(self.root) / "sim", Path(self._made.name))
        except (OSError, subprocess.SubprocessError) as error:
            output = getattr(error, "output", None) or str(error)
            if os.environ.get("AGENTSIM_COMPILE") == "1":
                raise RuntimeError(f"the engine could not be compiled: {output}") from error
            self.app.display_warning(f"the engine stays Python, it could not be compiled: {output}")
            return
        build_data["infer_tag"] = True
        build_data["pure_python"] = False
        build_data["force_include"].update(found)

    def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
        """Leave nothing behind."""
        if hasattr(self, "_made"):
            self._made.cleanup()

    def _is_wanted(self, version: str) -> bool:
        if self.target_name != "wheel" or version != "standard":
            return False
        asked = os.environ.get("AGENTSIM_COMPILE")
        compiler = (sysconfig.get_config_var("CC") or "cc").split()[0]
        return asked == "1" or (asked != "0" and shutil.which(compiler) is not None)


def compile_modules(source: Path, target: Path) -> dict[str, str]:
    """Compile a copy of the package.

    Parameters
    ----------
    source : Path
        The folder of the package ``agentsim``.
    target : Path
        An empty folder.

    Returns
    -------
    dict of str to str
        Each file made, and its path in the wheel.
    """
    shutil.copytree(source / "agentsim", target / "agentsim")
    modules = [f"agentsim/{name}.py" for name in COMPILED]
    (target / "setup.py").write_text(_SETUP.format(modules=modules), encoding="utf-8")
    command = [sys.executable, "setup.py", "-q", "build_ext", "--inplace"]
    subprocess.run(
        command,
        cwd=target,
        check=True,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    suffix = sysconfig.get_config_var("EXT_SUFFIX")
    made = [*target.glob(f"*{suffix}"), *(target / "agentsim").rglob(f"*{suffix}")]
    return {str(path): str(path.relative_to(target)) for path in sorted(made)}
