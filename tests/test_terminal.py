"""Lines on the terminal: their width, their indents, and what stays in one piece."""

import pytest

from utils.terminal import progress_bar, say, say_of

PATH = "/a/very-long-path/" + 9 * "of-many-parts/"


def test_lines_are_narrow_and_paths_whole(capsys: pytest.CaptureFixture[str]) -> None:
    say("word " * 40 + PATH)
    first, *others = capsys.readouterr().out.splitlines()
    assert first.startswith("word")
    assert all(line.startswith("  ") for line in others)
    assert others[-1].strip() == PATH
    assert max(map(len, [first, *others[:-1]])) <= 80


@pytest.mark.parametrize("before", range(60, 80))
def test_no_line_ends_within_one_in_so_many(before: int, capsys: pytest.CaptureFixture[str]) -> None:
    say("x" * before + " 1 in 1,000 strangers")
    out = capsys.readouterr().out
    assert "1 in 1,000" in out
    assert "\xa0" not in out


def test_a_label_stands_before_its_text(capsys: pytest.CaptureFixture[str]) -> None:
    say_of("embedder", "word " * 20)
    first, second = capsys.readouterr().out.splitlines()
    assert first.startswith("embedder    word")
    assert second.startswith(" " * 12 + "word")


def test_a_bar_in_a_log_file_says_little(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in progress_bar(range(30_000), desc="reading"):
        pass
    lines = capsys.readouterr().err.replace("\r", "\n").strip().splitlines()
    assert 1 <= len(lines) <= 3
    assert lines[-1].startswith("reading: 100%")
    assert max(map(len, lines)) <= 80
