"""Flags out of a dataclass: every form that a user may type, and one line for each that is wrong."""

import re
import subprocess
import sys
from dataclasses import dataclass, fields, make_dataclass
from pathlib import Path
from typing import Literal

import pytest

from utils.settings import UserError, choose, nearest, parse, positional, run_script, run_verbs


@dataclass(frozen=True)
class Settings:
    """Trains on nothing at all."""

    photos: tuple[str, ...] = positional()  # photos to look at
    input_size: int = 160  # pixels, square, and so much more to say of it that the line has to be broken somewhere
    init_lr: float = 1e-3  # used exactly as it is typed: 100% of it
    save_dir: str = "logs/50%"  # folder; a '#' is part of the text
    backbone: Literal["mobilenet", "inception_resnet_v1"] = "mobilenet"  # trunk of the network
    val_people: float | None = None  # share of the people
    show: bool = True  # opens a window
    flip: bool = False  # mirrors


@pytest.mark.parametrize(
    ("argv", "name", "value"),
    [
        (["--", "-a.jpg", "--show"], "photos", ("-a.jpg", "--show")),
        (["a.jpg", "--no_show", "--", "-b.jpg"], "photos", ("a.jpg", "-b.jpg")),
        (["--input_size", "112"], "input_size", 112),
        (["--input-size", "112"], "input_size", 112),
        (["--input-size=112"], "input_size", 112),
        (["--input_size", "1_000"], "input_size", 1000),
        (["--input_size", "-3"], "input_size", -3),
        (["--init-lr", "3e-4"], "init_lr", 3e-4),
        (["--init-lr=-3e-4"], "init_lr", -3e-4),
        (["--save-dir", "my-run-1"], "save_dir", "my-run-1"),
        (["--save-dir=a=b-c"], "save_dir", "a=b-c"),
        (["--save-dir", ""], "save_dir", ""),
        (["--save-dir", "--input-size 3 --init_lr 1"], "save_dir", "--input-size 3 --init_lr 1"),
        (["--backbone", "inception_resnet_v1"], "backbone", "inception_resnet_v1"),
        (["--val-people", "0.1"], "val_people", 0.1),
        (["--no-show"], "show", False),
        (["--no_show"], "show", False),
        (["--show", "no"], "show", False),
        (["--show=FALSE"], "show", False),
        (["--flip"], "flip", True),
        (["--flip", "yes"], "flip", True),
        (["--input_size", "1", "--input_size", "2"], "input_size", 2),
        (["a-b.jpg", "c.jpg"], "photos", ("a-b.jpg", "c.jpg")),
        (["--no-show", "a.jpg", "c.jpg"], "photos", ("a.jpg", "c.jpg")),
        (["a.jpg", "--no-show", "c.jpg"], "photos", ("a.jpg", "c.jpg")),
    ],
)
def test_a_flag_changes_its_own_field_only(argv: list[str], name: str, value: object) -> None:
    settings, default = parse(Settings, argv), Settings()
    assert getattr(settings, name) == value
    assert type(getattr(settings, name)) is type(value)
    others = {field.name for field in fields(Settings)} - {name, "show"}
    assert all(getattr(settings, other) == getattr(default, other) for other in others)


def test_no_arguments_are_the_defaults() -> None:
    assert parse(Settings, []) == Settings()


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["--inputsize", "112"], ["--inputsize", "did you mean '--input_size'?"]),
        (["--input", "112"], ["--input", "--input_size"]),  # no abbreviations: a later flag would change their meaning
        (["--Input_Size=112"], ["--Input_Size", "--input_size"]),
        (["--photo", "a.jpg"], ["unknown flag --photo"]),
        (["-x"], ["unknown flag -x"]),
        (["--input_size", "big"], ["--input_size", "a whole number", "'big'"]),
        (["--input_size", "1.5"], ["--input_size", "a whole number", "'1.5'"]),
        (["--init_lr", "fast"], ["--init_lr", "a number", "'fast'"]),
        (["--init_lr", "nan"], ["--init_lr", "a number", "'nan'"]),
        (["--backbone", "mobilnet"], ["mobilenet, inception_resnet_v1", "'mobilnet'", "did you mean 'mobilenet'?"]),
        (["--show", "maybe"], ["--show", "yes or no", "'maybe'"]),
        (["--no_show=yes"], ["--no_show", "'yes'"]),
        (["--input_size"], ["--input_size", "expected one argument"]),
    ],
)
def test_a_wrong_argument_is_named(argv: list[str], words: list[str]) -> None:
    with pytest.raises(UserError) as caught:
        parse(Settings, argv)
    message = str(caught.value)
    assert "\n" not in message
    assert [word for word in words if word not in message] == []
    assert "--photos" not in message  # it is no flag


def test_an_argument_where_none_is_expected() -> None:
    @dataclass(frozen=True)
    class Plain:
        epochs: int = 1

    with pytest.raises(UserError, match=r"unexpected argument 'a\.jpg'"):
        parse(Plain, ["a.jpg"])


def test_help_lists_many_long_words_behind_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    words = Literal["one_word_of_many", "another_word_of_many", "the_last_word_of_many"]
    with pytest.raises(SystemExit):
        parse(make_dataclass("Many", [("way", words, "one_word_of_many")]), ["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "--way WORD ; one_word_of_many, another_word_of_many, the_last_word_of_many [one_word_of_many]" in text


def test_help_shows_the_comments_within_80_columns(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit) as caught:
        parse(Settings, ["--help"])
    assert caught.value.code == 0
    lines = capsys.readouterr().out.splitlines()
    assert max(len(line) for line in lines) <= 80
    text = " ".join(" ".join(lines).split())
    for part in (
        "Trains on nothing at all.",
        "photos to look at",
        "and so much more to say of it that the line has to be broken somewhere [160]",
        "used exactly as it is typed: 100% of it [0.001]",
        "folder; a '#' is part of the text [logs/50%]",
        "--backbone mobilenet|inception_resnet_v1 trunk of the network [mobilenet]",
        "opens a window [yes]",
    ):
        assert part in text


SCRIPT = """
import sys
from dataclasses import dataclass
from utils.settings import UserError, run_script

@dataclass(frozen=True)
class Settings:
    what: str = ""

def main(settings):
    if settings.what == "user":
        raise UserError("no file 'a.jpg'")
    if settings.what == "interrupt":
        raise KeyboardInterrupt
    if settings.what == "loop":
        raise OSError(40, "Too many levels of symbolic links", "photos/a.jpg")
    if settings.what == "memory":
        raise MemoryError("Unable to allocate 7 TiB")
    if settings.what == "pipe":
        raise BrokenPipeError(32, "Broken pipe")
    if settings.what == "bug":
        raise RuntimeError("ours")
    print("done", settings.what, "\\udcff")

run_script(main, Settings)
"""


@pytest.mark.parametrize(
    ("argv", "code", "stderr"),
    [
        ([], 0, ""),
        (["--wath", "x"], 2, "error: unknown flag --wath (did you mean '--what'?); --help lists them all\n"),
        (["--what", "user"], 2, "error: no file 'a.jpg'\n"),
        (["--what", "interrupt"], 130, "\n"),
        (["--what", "loop"], 2, "error: photos/a.jpg: Too many levels of symbolic links\n"),
        (["--what", "memory"], 2, "error: there is not enough memory: Unable to allocate 7 TiB\n"),
        (["--what", "pipe"], 141, ""),
    ],
)
def test_a_script_ends_with_one_line(argv: list[str], code: int, stderr: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *argv], cwd=Path(__file__).parents[1], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (code, stderr)
    # a file's name that is not UTF-8 is printed all the same
    assert done.stdout == ("" if argv else "done  \\udcff\n")


def test_errors_of_the_program_keep_their_traceback() -> None:
    def main(settings: Settings) -> None:
        raise RuntimeError("ours")

    with pytest.raises(RuntimeError, match="ours"):
        run_script(main, Settings, [])


TENSORFLOWS: Exception = type("ResourceExhaustedError", (Exception,), {})("OOM when allocating")


@pytest.mark.parametrize("error", [TENSORFLOWS, RuntimeError("RESOURCE_EXHAUSTED: Out of memory")])
def test_want_of_memory_on_a_device_is_one_line(error: Exception, capsys: pytest.CaptureFixture[str]) -> None:
    def main(settings: Settings) -> None:
        raise error

    with pytest.raises(SystemExit, match="2"):
        run_script(main, Settings, [])
    assert capsys.readouterr().err.startswith("error: there is not enough memory on the device; a smaller --batch_size")


def test_choose_from_a_table() -> None:
    table = {"mobilenet": 1, "inception_resnet_v1": 2}
    assert choose(table, "mobilenet", "backbone") == 1
    with pytest.raises(UserError) as caught:
        choose(table, "mobilenets", "backbone")
    assert str(caught.value) == (
        "unknown backbone 'mobilenets' (did you mean 'mobilenet'?); choose from inception_resnet_v1, mobilenet"
    )
    assert nearest("zzz", table) == ""


@dataclass(frozen=True)
class Place:
    where: str = "here"  # folder of all verbs


@dataclass(frozen=True)
class Put(Place):
    """Puts things, one after the other, until there is no room for any more of them at all.

    At length.
    """

    things: tuple[str, ...] = positional()  # what to put
    fast: bool = False  # in a hurry


@dataclass(frozen=True)
class Take(Place):
    """Takes one."""

    number: int = 1  # how many


def test_a_script_of_several_verbs(capsys: pytest.CaptureFixture[str]) -> None:
    called: list[object] = []
    verbs = {"put": (called.append, Put), "take": (called.append, Take)}
    run_verbs(verbs, "About.", ["put", "a.jpg", "--where", "there", "--fast"])
    run_verbs(verbs, "About.", ["take", "--number=3"])
    assert called == [Put("there", ("a.jpg",), True), Take("here", 3)]
    for argv in ([], ["--help"]):
        run_verbs(verbs, "About.", argv)
        lines = capsys.readouterr().out.splitlines()
        assert lines[0] == "About."
        assert max(map(len, lines)) <= 80
        assert "  take  Takes one." in lines
        assert "At length" not in "".join(lines)
    with pytest.raises(SystemExit):
        run_verbs(verbs, "About.", ["put", "--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert " put [-h]" in text
    assert "folder of all verbs [here]" in text  # a comment of the class above
    assert "in a hurry" in text


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["pu"], "unknown verb 'pu' (did you mean 'put'?); choose from put, take"),
        (["--where", "x", "put"], "'--where' comes before the verb; begin with one of put, take"),
        (["take", "--fast"], "unknown flag --fast"),
        (["take", "a.jpg"], "unexpected argument 'a.jpg'"),
    ],
)
def test_a_wrong_verb_is_one_line(capsys: pytest.CaptureFixture[str], argv: list[str], words: str) -> None:
    with pytest.raises(SystemExit) as caught:
        run_verbs({"put": (print, Put), "take": (print, Take)}, "About.", argv)
    assert caught.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert words in error


@pytest.mark.parametrize(
    ("hint", "value", "expected"),
    [
        (Literal["a", "b"], "c", "one of a, b is expected"),
        (bool, "no", "yes or no is expected"),
        (int, 2.5, "a whole number is expected"),
        (int, True, "a whole number is expected"),
        (float, "0.2", "a number is expected"),
        (str, None, "a text is expected"),
    ],
)
def test_what_is_edited_on_top_of_a_script_is_checked_too(hint, value, expected):
    edited = make_dataclass("Edited", [("x", hint, value)], frozen=True)
    with pytest.raises(UserError, match=re.escape(f"x = {value!r} on top of the script: {expected}")):
        parse(edited, [])


def test_a_whole_number_is_a_number_too():
    assert parse(make_dataclass("Edited", [("x", float, 1)], frozen=True), []).x == 1
