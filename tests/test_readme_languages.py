"""README.zh-CN.md in step with README.md: headings, commands, tables, links, names in code and figures."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ENGLISH, CHINESE = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.zh-CN.md"))
BLOCK = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CHARACTERS = re.compile("[\u4e00-\u9fff]")


def prose(text: str) -> str:
    return BLOCK.sub("", text)


def headings(text: str) -> list[tuple[int, str]]:
    """Returns (level, words) of each heading, in order."""
    return [(len(marks), words) for marks, words in re.findall(r"^(#+) (.+)$", prose(text), re.MULTILINE)]


def sections(text: str) -> list[str]:
    """Returns what stands before the first heading, and under each."""
    return re.split(r"^#+ .+$", text, flags=re.MULTILINE)


def code(text: str) -> Counter[str]:
    """Returns what stands in `code`, however often; a line may end within it."""
    return Counter(" ".join(found.split()) for found in re.findall(r"`([^`]+)`", prose(text)))


def columns(text: str) -> list[int]:
    """Returns the number of cells of each row of each table, in order."""
    return [line.count("|") for line in prose(text).splitlines() if line.startswith("|")]


def test_headings_are_as_many_and_of_the_same_levels() -> None:
    english, chinese = headings(ENGLISH), headings(CHINESE)
    assert [level for level, _ in chinese] == [level for level, _ in english]
    assert [words for _, words in chinese if not CHARACTERS.search(words)] == []


def test_commands_are_the_same() -> None:
    assert BLOCK.findall(CHINESE) == BLOCK.findall(ENGLISH)


def test_each_section_names_the_same_files_flags_and_settings() -> None:
    for (_, heading), english, chinese in zip(
        headings(ENGLISH), sections(prose(ENGLISH))[1:], sections(prose(CHINESE))[1:], strict=True
    ):
        assert code(chinese) == code(english), heading


def test_tables_have_the_same_shape_and_links_the_same_targets() -> None:
    assert columns(CHINESE) == columns(ENGLISH)
    target = re.compile(r"\]\(([^)]+)\)")
    assert target.findall(CHINESE) == [
        found.replace("README.zh-CN.md", "README.md") for found in target.findall(ENGLISH)
    ]


def test_figures_are_the_same_in_each_section() -> None:
    """Numbers with a point or a thousands' comma: those that one measures, not "two" or "5 minutes"."""
    number = re.compile(r"\d[\d,]*\.\d+|\d{1,3}(?:,\d{3})+")
    for (_, heading), english, chinese in zip(
        headings(ENGLISH), sections(prose(ENGLISH))[1:], sections(prose(CHINESE))[1:], strict=True
    ):
        assert Counter(number.findall(chinese)) == Counter(number.findall(english)), heading


def test_every_section_is_in_chinese() -> None:
    for (_, heading), english, chinese in zip(
        headings(CHINESE), sections(prose(ENGLISH))[1:], sections(prose(CHINESE))[1:], strict=True
    ):
        # a page of Chinese has a third to a half as many characters as one of English
        assert len(CHARACTERS.findall(chinese)) > 0.12 * len(english), heading


@pytest.mark.parametrize(
    ("pattern", "instead", "test"),
    [
        ("^## ", "### ", test_headings_are_as_many_and_of_the_same_levels),
        ("^```sh$", "```sh\nmake all", test_commands_are_the_same),
        ("`--", "`--x", test_each_section_names_the_same_files_flags_and_settings),
        (r"0\.\d", "9.9", test_figures_are_the_same_in_each_section),
        (r" \|$", " | x |", test_tables_have_the_same_shape_and_links_the_same_targets),
        (r"\]\(http", "](ftp", test_tables_have_the_same_shape_and_links_the_same_targets),
    ],
)
def test_what_is_out_of_step_is_noticed(
    pattern: str, instead: str, test: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    changed, times = re.subn(pattern, instead, CHINESE, count=1, flags=re.MULTILINE)
    assert times == 1
    monkeypatch.setattr("tests.test_readme_languages.CHINESE", changed)
    with pytest.raises((AssertionError, ValueError)):
        test()
