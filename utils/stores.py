"""Where enrolled people are kept, and what every such place can do: a file (utils/gallery.py), or Milvus."""

import os
import unicodedata
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from utils.identities import unit
from utils.images import UNPRINTABLE
from utils.settings import UserError, nearest

if TYPE_CHECKING:
    from utils.embedder import Flip

LONGEST_NAME = 200  # characters
MILVUS = "milvus://"


class NoPeople(UserError):
    """There is no store, or one in which nothing was ever written: an enrolment was broken off, or is to begin."""


class Origin(NamedTuple):
    """What the vectors in a store came from: only vectors of one origin can be compared."""

    sha256: str  # of the embedder's weights
    size: int  # numbers of a vector
    flip: "Flip"  # none, sum or concat: whether mirrored photos count, as `Embedder.embed_images` says
    model_path: str  # where the embedder was then; for messages
    cut: str = ""  # the alignment of its crops, or no; empty: it was not noted

    def check_cut(self, where: str, other: "Origin") -> None:
        """Raises UserError where faces are cut otherwise than those of the people were."""
        if self.cut and other.cut and self.cut != other.cut:
            raise UserError(
                f"{where} holds faces cut with --align {self.cut}, this is --align {other.cut}: their vectors cannot be"
                " compared; --align says which, or another --gallery is for the other"
            )

    def check(self, where: str, sha256: str | None) -> None:
        """Raises UserError, with the ways out, for an embedder that is not the one; None is no embedder at all."""
        if sha256 is not None and sha256 != self.sha256:
            raise UserError(
                f"{where} belongs to another embedder ({self.model_path}, SHA-256 {self.sha256[:12]}; this is"
                f" {sha256[:12]}), and their vectors cannot be compared: name that one with --model_path, or enroll"
                " the photos anew into another --gallery"
            )

    def rows(
        self, embeddings: NDArray[np.floating], sources: int, weights: NDArray[np.floating] | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Returns embeddings (N,D) at unit length and weights (N,), as they are stored; or raises ValueError."""
        vectors = np.asarray(embeddings, np.float32)
        weights = np.ones(sources, np.float32) if weights is None else np.clip(np.asarray(weights, np.float32), 0, 1)
        if vectors.shape != (sources, self.size) or weights.shape != (sources,) or not np.isfinite(vectors).all():
            raise ValueError(
                f"embeddings {vectors.shape} of {sources} sources; finite ({sources}, {self.size}) expected"
            )
        return np.ascontiguousarray(unit(vectors), "<f4"), weights


class Person(NamedTuple):
    """Somebody enrolled."""

    name: str
    photos: int


class Photo(NamedTuple):
    """A photo as it is stored."""

    person: str
    source: str  # path, or what else the photo came from
    weight: float  # 0..1, its quality
    vector: NDArray[np.float32]  # (D,)


class Nearest(NamedTuple):
    """The nearest templates of Q queries, nearest first."""

    names: list[list[str]]  # Q lists of at most k
    distances: NDArray[np.float64]  # (Q,k) squared
    lengths: NDArray[np.float32]  # (Q,k) of the templates, as in utils/templates.py
    compared: int  # templates that each query was compared with


class Store(Protocol):
    """What can be done with enrolled people; each raises UserError where it cannot be."""

    origin: Origin

    def close(self) -> None: ...
    def batch(self) -> AbstractContextManager[object]: ...
    def enroll(
        self,
        person: str,
        embeddings: NDArray[np.floating],
        sources: Sequence[str],
        weights: NDArray[np.floating] | None = None,
    ) -> None: ...
    def owners(self, sources: Sequence[str], changed: bool = False) -> list[str | None]: ...
    def people(self) -> list[Person]: ...
    def rename(self, old: str, new: str) -> None: ...
    def merge(self, into: str, others: Sequence[str]) -> None: ...
    def remove(self, people: Sequence[str]) -> int: ...
    def photos(self, people: Sequence[str] = ()) -> Iterable[Photo]: ...
    def nearest(
        self, queries: NDArray[np.floating], number: int = 1, how: str = "mean", approximate: bool = False
    ) -> Nearest: ...


def open_store(where: str, sha256: str | None = None, origin: Origin | None = None) -> Store:
    """Opens a gallery file or a Milvus collection (`milvus://host:19530/collection`); with an origin, makes it too."""
    store: Store
    if where.startswith(MILVUS):
        from utils.milvus_store import MilvusStore

        store = MilvusStore(where, sha256, origin)
    else:
        from utils.gallery import Gallery

        store = Gallery.create(where, origin) if origin else Gallery.open(where, sha256)
    if origin:
        store.origin.check_cut(where, origin)
    return store


def known_origin(where: str) -> Origin | None:
    """Returns what made the vectors in a store; None where there is none yet."""
    if not where.startswith(MILVUS) and not os.path.exists(where):
        return None
    try:
        store = open_store(where)
    except NoPeople:
        return None
    store.close()
    return store.origin


def clean_name(name: str) -> str:
    """Returns a person's name as it is stored: composed characters (macOS writes others), no spaces at its ends.

    Raises UserError for what is no name.
    """
    name = unicodedata.normalize("NFC", text(name)).strip()
    if not name or len(name) > LONGEST_NAME or UNPRINTABLE.search(name):
        raise UserError(f"{name[:50]!r} is no name: 1 to {LONGEST_NAME} characters that can be printed are expected")
    return name


def clean_source(source: str) -> str:
    """Returns the absolute path of a photo's file, or what else it is called, as it is stored."""
    return text(os.path.abspath(source) if os.path.exists(source) else source)


def text(name: str) -> str:
    """Returns a name with its bytes that are no UTF-8 written as \\xff."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


def unknown_people(names: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raises UserError for the first name that is not known."""
    known = set(known)
    for name in names:
        if name not in known:
            raise UserError(f"nobody is called '{name}' in {where}{nearest(name, known)}; python identify.py list")
