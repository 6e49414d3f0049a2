"""Fetches a public set of photos with its list of pairs, checks them, and unpacks them: python download.py lfw"""

from dataclasses import dataclass
from pathlib import Path

from utils.files import read_json, write_json
from utils.settings import UserError, choose, positional, run_script

MARK = "download.json"  # in the folder: what it was made from


@dataclass(frozen=True)
class Settings:
    """Fetches LFW for eval_lfw.py; a broken download goes on, a second run does nothing. Run: python download.py lfw"""

    name: tuple[str, ...] = positional()  # the set: lfw (docs/public_data.md has those that need an agreement)
    output: str = ""  # folder of the photos; empty: datasets/<name>
    what: str = "original"  # lfw: original (as the makers found them), or funneled (aligned by congealing)
    keep_archive: bool = False  # leave the archive beside the folder


def main(settings: Settings) -> None:
    """Fetches the archive and the pairs, unpacks, and says how to evaluate on them."""
    from utils.archives import folder_written_whole, unpack_archive
    from utils.download import fetch
    from utils.public_sets import SETS

    if len(settings.name) != 1:
        raise UserError(f"download.py takes one set; choose from {', '.join(SETS)} (others: docs/public_data.md)")
    if settings.name[0] not in SETS:
        raise UserError(
            f"no address of '{settings.name[0]}'; {', '.join(SETS)} is fetched, others: docs/public_data.md"
        )
    files = choose(SETS[settings.name[0]], settings.what, "--what")
    folder = Path(settings.output or Path("datasets", settings.name[0]))
    if is_there(folder, files.archive.sha256):
        print(f"{folder} is there already: nothing to do")
    else:
        archive, pairs = folder.parent / files.archive.name, folder.parent / f"{settings.name[0]}-{files.pairs.name}"
        fetch(files.pairs, pairs)
        fetch(files.archive, archive)
        with folder_written_whole(folder) as temporary:
            number = unpack_archive(archive, temporary)
            (temporary / files.pairs.name).write_bytes(pairs.read_bytes())
            write_json(temporary / MARK, {"sha256": files.archive.sha256, "files": number})
        pairs.unlink()
        if not settings.keep_archive:
            archive.unlink()
        print(f"{number:,} files, checked and unpacked into {folder}")
    print("next (photos are uncut: --align cuts the faces as the embedder's were):")
    print(f"python eval_lfw.py --lfw_dir {folder} --lfw_pairs {folder / files.pairs.name} --align auto")


def is_there(folder: Path, sha256: str) -> bool:
    """Whether `folder` was made from the archive of this SHA-256; raises UserError where it was made otherwise."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return False
    if not (folder / MARK).is_file() or read_json(folder / MARK).get("sha256") != sha256:
        raise UserError(f"{folder} is there and holds something else; another --output is expected")
    return True


if __name__ == "__main__":
    run_script(main, Settings)
