"""Benchmarks import each other by plain names, as they do when they are run alone."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parent))
