"""Settings of a script: a frozen dataclass, each field also a flag; errors of the user are one line."""

import argparse
import contextlib
import dataclasses
import difflib
import inspect
import io
import math
import os
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn, TypeVar

from utils.help_texts import comments

T = TypeVar("T")
TYPED = "_typed"  # attribute of parsed settings
LONGEST = 47  # characters of words that --help lists behind a flag


class UserError(Exception):
    """What the user can put right: a line on what came and what is expected; `run_script` ends with it and code 2."""


def nearest(name: str, choices: Iterable[str]) -> str:
    """Returns " (did you mean 'x'?)" for the choice nearest to `name`, or an empty string."""
    found = difflib.get_close_matches(name, list(choices), n=1, cutoff=0.5)
    return f" (did you mean '{found[0]}'?)" if found else ""


def choose(table: Mapping[str, T], name: str, what: str) -> T:
    """Returns `table[name]`; raises UserError with the choices where there is none."""
    if name not in table:
        raise UserError(f"unknown {what} '{name}'{nearest(name, table)}; choose from {', '.join(sorted(table))}")
    return table[name]


def at_least(least: int, settings: Any, *names: str) -> None:
    """Raises UserError for the first of these settings that is below `least`."""
    for name in names:
        if getattr(settings, name) < least:
            raise UserError(f"--{name} is {least} or more; received {getattr(settings, name)}")


def positional(default: tuple[str, ...] = ()) -> Any:
    """A field that takes the arguments without a flag (of type `tuple[str, ...]`)."""
    return dataclasses.field(default=default, metadata={"positional": True})


def run_script(main: Callable[[Any], None], settings_class: type, argv: Sequence[str] | None = None) -> None:
    """Parses the command line into settings and calls `main(settings)`.

    A UserError, an error of the system or want of memory is one line, with exit code 2; Ctrl-C ends quietly with 130,
    a reader that went away (`| head`) with 141.
    """
    with _ended_in_one_line():
        main(parse(settings_class, argv))


def run_verbs(
    verbs: Mapping[str, tuple[Callable[[Any], None], type]], about: str, argv: Sequence[str] | None = None
) -> None:
    """As `run_script`, for a script of several verbs: the first argument says which (function, settings) is meant.

    Without any, or with --help, `about` and the verbs are printed, each with the first line of its settings' docstring.
    """
    argv = sys.argv[1:] if argv is None else argv
    with _ended_in_one_line():
        if not argv or argv[0] in ("-h", "--help"):
            print(about, "", *_overview(verbs), "", "The flags of a verb: VERB --help", sep="\n")
            return
        if argv[0].startswith("-"):
            raise UserError(f"'{argv[0]}' comes before the verb; begin with one of {', '.join(verbs)}")
        main, settings_class = choose(verbs, argv[0], "verb")
        main(parse(settings_class, argv[1:], argv[0]))


def _overview(verbs: Mapping[str, tuple[Callable[[Any], None], type]]) -> Iterator[str]:
    """Yields the verbs and what they do, in lines of at most 80 columns."""
    width = max(map(len, verbs)) + 4
    for name, (_, settings_class) in verbs.items():
        about = (inspect.getdoc(settings_class) or "").split("\n")[0]
        yield textwrap.fill(about, 80, initial_indent=f"  {name}".ljust(width), subsequent_indent=" " * width)


@contextlib.contextmanager
def _ended_in_one_line() -> Iterator[None]:
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not fit the terminal's encoding
    try:
        yield
    except BrokenPipeError:  # who reads along (`| head`) has had enough
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115  (Python flushes it at its end)
        raise SystemExit(141) from None
    except KeyboardInterrupt:
        print(file=sys.stderr)
        raise SystemExit(130) from None
    except Exception as error:
        if not (line := _line_of(error)):
            raise
        print(f"error: {line}", file=sys.stderr)
        raise SystemExit(2) from None


def _line_of(error: Exception) -> str:
    """Returns what is said of an error of the user's, of the system's, or for want of memory; nothing of another."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, OSError):  # the system refuses something that no line of its own speaks of
        return f"{error.filename or 'the system'}: {error.strerror or error}"
    if isinstance(error, MemoryError):
        return f"there is not enough memory{f': {error}' if str(error) else ''}"
    full = type(error).__name__ == "ResourceExhaustedError" or "RESOURCE_EXHAUSTED" in str(error)  # TensorFlow, JAX
    return "there is not enough memory on the device; a smaller --batch_size takes less" if full else ""


def parse(settings_class: type[T], argv: Sequence[str] | None = None, verb: str = "") -> T:
    """Returns `settings_class` with the fields that the command line names changed; --help names the verb.

    Flags are the fields' names, with underscores or hyphens; a field of type bool is `--name` or `--no_name`. Behind
    `--` nothing is a flag, whatever it begins with.
    Raises UserError for an unknown flag or a value that does not fit.
    """
    _check_defaults(settings_class)
    parser = _parser(settings_class, verb)
    given = list(sys.argv[1:] if argv is None else argv)
    place = given.index("--") if "--" in given else len(given)
    known, unknown = parser.parse_known_intermixed_args([_underscored(argument) for argument in given[:place]])
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in vars(known).items()}
    listed = next((f.name for f in _fields(settings_class) if f.metadata.get("positional")), "")
    if listed and given[place + 1 :]:
        values[listed] = (*values.get(listed, ()), *given[place + 1 :])
    else:
        unknown += given[place + 1 :]
    _refuse_unknown(settings_class, unknown, listed)
    settings = settings_class(**values)
    object.__setattr__(settings, TYPED, frozenset(vars(known)))  # it is frozen; this is none of its fields
    return settings


def _refuse_unknown(settings_class: type, unknown: Sequence[str], listed: str) -> None:
    """Raises UserError for arguments that are no setting; `listed` is what takes those without a flag, or empty."""
    flags = [f"--{f.name}" for f in _fields(settings_class) if not f.metadata.get("positional")]
    for argument in unknown:
        if argument.startswith("-"):
            name = argument.split("=")[0]
            behind = "; what is no flag comes behind --" if listed and not argument.startswith("--") else ""
            raise UserError(f"unknown flag {name}{nearest(name, flags)}; --help lists them all{behind}")
        raise UserError(f"unexpected argument '{argument}'; a setting is given as --name value, --help lists them all")


def _check_defaults(settings_class: type) -> None:
    """Raises UserError for a setting on top of a script that is not of its type, or none of its words."""
    hints = typing.get_type_hints(settings_class)
    for field in _fields(settings_class):
        value, hint = field.default, hints[field.name]
        if field.metadata.get("positional") or type(hint) in (typing.Union, types.UnionType):
            continue
        words = typing.get_args(hint) if typing.get_origin(hint) is typing.Literal else ()
        if value not in words if words else type(value) not in ((float, int) if hint is float else (hint,)):
            expected = "one of " + ", ".join(map(str, words)) if words else _READERS[hint][0]
            raise UserError(f"{field.name} = {value!r} on top of the script: {expected} is expected")


def typed_names(settings: Any) -> frozenset[str]:
    """Returns the fields that the command line named; of settings that were not parsed, those unlike the defaults."""
    changed = (f.name for f in _fields(type(settings)) if getattr(settings, f.name) != f.default)
    return getattr(settings, TYPED, None) or frozenset(changed)


def _fields(settings_class: type) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(settings_class)


def _underscored(argument: str) -> str:
    name, equals, value = argument.partition("=")
    is_flag = name.startswith("--") and " " not in name  # else a text that has flags in it
    return name.replace("-", "_").replace("__", "--", 1) + equals + value if is_flag else argument


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(message.removeprefix("argument "))


def _parser(settings_class: type, verb: str) -> argparse.ArgumentParser:
    parser = _Parser(
        prog=f"{os.path.basename(sys.argv[0])} {verb}".strip(),
        description=inspect.getdoc(settings_class),
        allow_abbrev=False,
        argument_default=argparse.SUPPRESS,
    )
    hints, texts = typing.get_type_hints(settings_class), comments(settings_class)
    for field in _fields(settings_class):
        text = texts.get(field.name, "").replace("%", "%%")  # argparse formats the text
        if field.metadata.get("positional"):
            parser.add_argument(field.name, nargs="*", help=text)
            continue
        reader, metavar = _reader(field.name, hints[field.name])
        text += f"; {', '.join(typing.get_args(hints[field.name]))}" if metavar == "WORD" else ""
        if field.default not in ("", None):
            default = ("no", "yes")[bool(field.default)] if hints[field.name] is bool else field.default
            text += f" [{default}]".replace("%", "%%")
        if hints[field.name] is bool:
            parser.add_argument(f"--{field.name}", nargs="?", const=True, type=reader, help=text, metavar="yes|no")
            parser.add_argument(f"--no_{field.name}", dest=field.name, action="store_false", help=argparse.SUPPRESS)
        else:
            parser.add_argument(f"--{field.name}", type=reader, help=text, metavar=metavar)
    return parser


def _reader(name: str, hint: Any) -> tuple[Callable[[str], Any], str]:
    """Returns (function that turns the flag's text into a value, what --help calls the value)."""
    if typing.get_origin(hint) in (typing.Union, types.UnionType):  # X | None
        hint = next(h for h in typing.get_args(hint) if h is not type(None))
    if typing.get_origin(hint) is typing.Literal:
        options = [str(o) for o in typing.get_args(hint)]
        expected, metavar = "one of " + ", ".join(options), "|".join(options)
        metavar = metavar if len(metavar) <= LONGEST else "WORD"  # argparse breaks no line within it
        convert: Callable[[str], Any] = {str(o): o for o in typing.get_args(hint)}.__getitem__
    else:
        options, (expected, metavar, convert) = [], _READERS[hint]

    def read(text: str) -> Any:
        try:
            return convert(text)
        except (ValueError, KeyError):
            hint = nearest(text, options)
            raise UserError(f"--{name} takes {expected}; received '{text}'{hint}") from None

    return read, metavar


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError
    return number


_READERS: dict[type, tuple[str, str, Callable[[str], Any]]] = {
    int: ("a whole number", "N", lambda text: int(text.replace("_", ""))),
    float: ("a number", "X", _finite),
    str: ("a text", "TEXT", str),
    bool: ("yes or no", "yes|no", lambda text: ("no", "false", "0", "yes", "true", "1").index(text.lower()) > 2),
}
