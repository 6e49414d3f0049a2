"""Text on the terminal: at most 80 columns, and what is copied or read as one stays in one piece."""

import sys
import textwrap
from typing import Any

COLUMNS = 80
LABEL = 12  # columns of the label before a text
STILL = 30.0  # seconds between two lines of a progress bar in a file


def progress_bar(*things: Any, **options: Any) -> Any:
    """Returns tqdm's bar, 80 columns wide; where stderr is no terminal, it speaks every half minute only."""
    from tqdm import tqdm

    own = {"ncols": COLUMNS} if sys.stderr.isatty() else {"ncols": COLUMNS, "mininterval": STILL}
    return tqdm(*things, **own | options)


def say(text: str) -> None:
    """Prints a text; its further lines are indented, paths are never cut, nor does a line end within '1 in 1,000'."""
    _print(text, "", "  ")


def say_of(what: str, text: str) -> None:
    """Prints a text behind the label of what it is about, its further lines below its first."""
    _print(text, f"{what:<{LABEL}}", " " * LABEL)


def _print(text: str, first: str, others: str) -> None:
    wrapper = textwrap.TextWrapper(COLUMNS, first, others, break_long_words=False, break_on_hyphens=False)
    print(wrapper.fill(text.replace("1 in ", "1\xa0in\xa0")).replace("\xa0", " "))
