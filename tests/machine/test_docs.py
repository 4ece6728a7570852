"""docs/model.md names every factor with its default."""

from __future__ import annotations

from pathlib import Path

from agentsim.machine.catalog import factor_table

PAGE = Path(__file__).resolve().parents[2] / "docs" / "model.md"


def test_the_page_has_every_factor_with_its_value_and_kind() -> None:
    rows = [line.split(" | ") for line in PAGE.read_text(encoding="utf-8").splitlines()]
    found = {tuple(cell.strip("| `") for cell in row) for row in rows if len(row) == 5}
    general = {(row[0], row[1], row[3]) for row in found}
    special = {(row[0], row[1], row[2], row[3]) for row in found}
    for section, factors in factor_table().items():
        for name, row in factors.items():
            value = f"{row['value']:g}"
            if section == "general":
                assert (name, value, row["kind"]) in general
            else:
                assert (name, section, value, row["kind"]) in special
