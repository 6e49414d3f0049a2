"""The public sets that need no agreement: their files' addresses and SHA-256."""

from typing import NamedTuple

from utils.download import RemoteFile


class PublicSet(NamedTuple):
    """Photos with a list of pairs."""

    archive: RemoteFile
    pairs: RemoteFile
    images: int  # in the archive


def _figshare(name: str, number: int, sha256: str) -> RemoteFile:
    """Both addresses give the same file; now and then the first asks for a browser, and the second does not."""
    addresses = (
        f"https://ndownloader.figshare.com/files/{number}",
        f"https://api.figshare.com/v2/file/download/{number}",
    )
    return RemoteFile(name, addresses, sha256)


# Addresses and SHA-256: scikit-learn, sklearn/datasets/_lfw.py, which has them from the makers' own site
# (vis-www.cs.umass.edu/lfw, gone since). 13,233 photos of 5,749 people.
_LFW_PAIRS = _figshare("pairs.txt", 5976006, "ea42330c62c92989f9d7c03237ed5d591365e89b3e649747777b70e692dc1592")
LFW = {
    "original": PublicSet(
        _figshare("lfw.tgz", 5976018, "055f7d9c632d7370e6fb4afc7468d40f970c34a80d4c6f50ffec63f5a8d536c0"),
        _LFW_PAIRS,
        13_233,
    ),
    "funneled": PublicSet(
        _figshare("lfw-funneled.tgz", 5976015, "b47c8422c8cded889dc5a13418c4bc2abbda121092b3533a83306f90d900100a"),
        _LFW_PAIRS,
        13_233,
    ),
}
SETS = {"lfw": LFW}  # name -> what -> files
