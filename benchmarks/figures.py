"""Figures that a benchmark prints, one a line, and that `benchmarks.run` reads: name, number, unit, note."""

import re
from dataclasses import dataclass

LINE = re.compile(r"^(?P<name>\S.*?) {2,}(?P<value>-?[\d,]*\.?\d+(?:e[-+]\d+)?) (?P<unit>[^,\s]+)(?:, (?P<note>.+))?$")


@dataclass(frozen=True)
class Figure:
    """What was measured."""

    name: str
    value: float
    unit: str
    note: str = ""

    def __str__(self) -> str:
        """Returns its line."""
        return f"{self.name:<38}  {self.value:>9,.4g} {self.unit}" + (f", {self.note}" if self.note else "")


def show(name: str, value: float, unit: str, note: str = "") -> None:
    """Prints a figure; a name has no two blanks side by side, a unit no blank and no comma."""
    print(Figure(name, value, unit, note), flush=True)


def figures_of(text: str) -> list[Figure]:
    """Returns the figures among the lines that a benchmark printed; what else it said is left out."""
    found = [match for line in text.splitlines() if (match := LINE.match(line.rstrip()))]
    return [Figure(m["name"], float(m["value"].replace(",", "")), m["unit"], m["note"] or "") for m in found]
