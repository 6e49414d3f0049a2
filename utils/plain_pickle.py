"""Reads pickles that hold numbers, texts, bytes, lists and NumPy's arrays of bytes. Nothing of theirs is ever run.

A pickle is a program for a small stack machine, and one of its instructions calls any function by its name: whoever
wrote the file decides what `pickle.load` does. Restricting its `find_class` leaves a second hole: one instruction of
five bytes makes it fill gigabytes (a memo index of 2^31). So `pickle` is not used. `pickletools` (standard library)
cuts the file into instructions and checks their lengths, and those few that build plain values are obeyed here; the
names of NumPy's functions stand for our own, which only look at what they are given.
"""

import pickletools
from typing import Any, NamedTuple

INSTRUCTIONS = 10_000_000  # more are refused: a million pairs take fewer, and each may take some 60 bytes
_NUMBERS = frozenset(("BININT", "BININT1", "BININT2", "INT", "LONG1"))
_BYTES = frozenset(("BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"))
_TEXTS = frozenset(("BINUNICODE", "SHORT_BINUNICODE", "UNICODE"))
_STRINGS_OF_PYTHON_2 = frozenset(("BINSTRING", "SHORT_BINSTRING"))
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_SKIPPED = frozenset(("PROTO", "FRAME"))


class Array:
    """What a NumPy array was: uint8 or bool, its bytes and its shape."""

    def __init__(self) -> None:
        self.shape: tuple[int, ...] = (0,)
        self.kind = ""  # "u1" or "b1"
        self.data = b""

    def fill(self, shape: Any, kind: Any, data: Any) -> None:
        """Takes what the file says of the array; raises ValueError where it does not fit together."""
        if not isinstance(kind, _Kind) or not isinstance(shape, tuple) or not isinstance(data, bytes | bytearray):
            raise ValueError("an array is not of the form that NumPy writes")
        size = 1
        for side in shape:
            size *= _whole(side)
        if size != len(data):
            raise ValueError(f"an array of {size:,} bytes has {len(data):,}")
        self.shape, self.kind, self.data = shape, kind.name, bytes(data)


class _Kind:
    """NumPy's dtype."""

    def __init__(self, name: str) -> None:
        self.name = name


class _Function(NamedTuple):
    name: str


def load(data: bytes) -> Any:
    """Returns the value: int, bool, None, str, bytes, list, tuple and Array, nested. Python 2's str are bytes.

    Raises ValueError (one line) for whatever else is in the file, and for a damaged one.
    """
    try:
        return _run(data)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError("its instructions do not fit together") from error
    except ValueError as error:  # pickletools quotes what it could not read, however long
        raise ValueError(" ".join(str(error).split())[:200]) from error


def _run(data: bytes) -> Any:
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}  # number -> value
    for number, (opcode, argument, position) in enumerate(pickletools.genops(data)):
        name = opcode.name
        if number >= INSTRUCTIONS:
            raise ValueError(f"it has more than {INSTRUCTIONS:,} instructions")
        if name == "STOP":
            return stack.pop()
        if name == "MARK":
            marks.append(len(stack))
        elif name in ("PUT", "BINPUT", "LONG_BINPUT"):
            memo[argument] = stack[-1]
        elif name == "MEMOIZE":
            memo[len(memo)] = stack[-1]
        elif name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        elif name in ("TUPLE", "LIST", "APPENDS"):
            mark = marks.pop()
            items = stack[mark:]
            del stack[mark:]
            _gather(name, items, stack)
        elif name not in _SKIPPED and not _push(name, argument, stack) and not _combine(name, stack):
            raise ValueError(f"instruction {name} at byte {position:,} has no place in it")
    raise ValueError("its end is missing")


def _gather(name: str, items: list[Any], stack: list[Any]) -> None:
    """Does the instructions that take all that was pushed since the mark."""
    if name == "APPENDS":
        stack[-1].extend(items)
    else:
        stack.append(tuple(items) if name == "TUPLE" else items)


def _push(name: str, argument: Any, stack: list[Any]) -> bool:
    """Does the instructions that push a value; returns False for any other."""
    if name in _NUMBERS | _BYTES | _TEXTS:
        stack.append(argument)
    elif name in _STRINGS_OF_PYTHON_2:
        stack.append(argument.encode("latin-1"))  # as pickletools decoded it
    elif name in _CONSTANTS:
        stack.append(_CONSTANTS[name])
    elif name == "EMPTY_LIST":
        stack.append([])
    elif name == "GLOBAL":
        stack.append(_function(argument.replace(" ", ".", 1)))
    else:
        return False
    return True


def _combine(name: str, stack: list[Any]) -> bool:
    """Does the instructions that make one value of the topmost ones; returns False for any other."""
    if name in ("TUPLE1", "TUPLE2", "TUPLE3"):
        number = int(name[-1])
        items = tuple(stack[len(stack) - number :])
        del stack[-number:]
        stack.append(items)
    elif name == "APPEND":
        item = stack.pop()
        stack[-1].append(item)
    elif name == "STACK_GLOBAL":
        function = stack.pop()
        stack.append(_function(f"{stack.pop()}.{function}"))
    elif name == "REDUCE":
        arguments = stack.pop()
        stack.append(_call(stack.pop().name, *arguments))
    elif name == "BUILD":
        state = stack.pop()
        if isinstance(stack[-1], Array):
            _, shape, kind, _, content = state
            stack[-1].fill(shape, kind, content)
        elif not isinstance(stack[-1], _Kind):  # its state is the order of bytes, of which there is one
            raise ValueError("it sets the state of what has none")
    else:
        return False
    return True


def _function(name: str) -> _Function:
    """Returns the stand-in for one of the functions that such files name, in NumPy 1 and 2, Python 2 and 3."""
    short = name.replace("numpy._core.", "numpy.core.").replace("__builtin__.", "builtins.")
    if short not in _FUNCTIONS:
        raise ValueError(f"it asks for {name[:60]!a}, which has no place in it")
    return _Function(short)


def _call(name: str, *arguments: Any) -> Any:
    if name == "numpy.core.multiarray._reconstruct":
        return Array()  # filled by the BUILD that follows
    if name == "numpy.core.numeric._frombuffer":  # protocol 5
        content, kind, shape, _ = arguments
        array = Array()
        array.fill(shape, kind, content)
        return array
    if name == "numpy.dtype":
        kind = arguments[0].decode("ascii") if isinstance(arguments[0], bytes) else arguments[0]
        if kind not in ("u1", "b1"):
            raise ValueError(f"it holds an array of kind {str(kind)[:20]!a}; bytes (u1) or truth values (b1) expected")
        return _Kind(kind)
    if name == "numpy.core.multiarray.scalar":
        _, content = arguments
        return _whole(content[0])
    if name == "_codecs.encode" and arguments[1:] == ("latin1",):  # how protocol 2 writes Python 3's bytes
        return arguments[0].encode("latin-1")
    if name == "builtins.bytes" and not arguments:
        return b""
    raise ValueError(f"it calls {name} with what such a file never holds")


def _whole(value: Any) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError("a number from 0 on is expected where it has another value")
    return value


_FUNCTIONS = frozenset(
    (
        "numpy.core.multiarray._reconstruct",
        "numpy.core.multiarray.scalar",
        "numpy.core.numeric._frombuffer",
        "numpy.ndarray",
        "numpy.dtype",
        "_codecs.encode",
        "builtins.bytes",
    )
)
