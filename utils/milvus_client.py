"""What of Milvus does not depend on what is kept in it: its package, addresses, numbers for texts."""

import hashlib
import logging
import re
from typing import Any

from utils.settings import UserError
from utils.stores import MILVUS

LITE = ".db"  # what a Lite folder's name ends in
DEFAULT = "people"  # collection


def milvus() -> Any:
    """Returns the package pymilvus; raises UserError where it is not installed."""
    try:
        import pymilvus
    except ImportError:
        raise UserError("--store milvus:// needs its client: pip install pymilvus milvus-lite") from None
    for name in ("pymilvus", "grpc._server"):  # tracebacks of what is told in a line here
        logging.getLogger(name).setLevel(logging.CRITICAL)
    return pymilvus


def address(where: str) -> tuple[str, str]:
    """Returns (address, collection) of milvus://host:19530/collection or milvus://folder.db."""
    rest = where.removeprefix(MILVUS)
    if rest.endswith(LITE):
        return rest, DEFAULT
    host, _, collection = rest.partition("/")
    if not host or not re.fullmatch(r"[A-Za-z_]\w{0,100}", collection or DEFAULT):
        raise UserError(f"--store {where}: milvus://host:19530/collection or milvus://folder{LITE} is expected")
    return f"http://{host}", collection or DEFAULT


def number_of(text: str) -> int:
    """Returns a number for a name or a source; no text of a user's comes into a filter."""
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little") >> 1
