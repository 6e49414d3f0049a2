"""Turns a record file, a .bin of pairs or an archive into a folder of images: python unpack.py train.rec datasets/casia

MXNet is not needed (utils/record_files.py has the format), and nothing in a .bin is run (utils/plain_pickle.py).
"""

from dataclasses import dataclass
from pathlib import Path

from utils.settings import UserError, positional, run_script


@dataclass(frozen=True)
class Settings:
    """Unpacks train.rec, lfw.bin, photos.zip or .tar into a folder. Run: python unpack.py train.rec datasets/casia"""

    paths: tuple[str, ...] = positional()  # the file, and the folder to write
    limit: int = 0  # images at most, of a record file; 0: all
    alignment: str = ""  # how its images were cropped, recorded for train.py (InsightFace's: landmarks-112-0)


def main(settings: Settings) -> None:
    """Unpacks by the file's kind, says what there is now and what comes next."""
    from utils.alignment import Alignment
    from utils.archives import SUFFIXES
    from utils.bin_pairs import is_bin
    from utils.cropping import RECORD
    from utils.files import write_json
    from utils.unpacking import already_there, unpack_any_archive, unpack_bin, unpack_records

    if len(settings.paths) != 2 or settings.limit < 0:
        raise UserError("unpack.py takes a file and a folder (--limit from 0 on): unpack.py train.rec datasets/casia")
    path, folder = map(Path, settings.paths)
    alignment = Alignment.parse(settings.alignment).name if settings.alignment else ""
    if not path.is_file():
        raise UserError(f"{path} is not a file; expected train.rec, a .bin of pairs, or an archive")
    if settings.limit and path.suffix.lower() != ".rec":
        raise UserError(f"--limit {settings.limit} is of record files (.rec); received {path}, of which all comes out")
    done = already_there(path, folder, settings.limit)
    if path.suffix.lower() == ".rec":
        done = done or unpack_records(path, folder, settings.limit)
        following = f"python txt_annotation.py --datasets_path {folder}"
    elif path.name.lower().endswith(SUFFIXES):
        done = done or unpack_any_archive(path, folder)
        following = f"python txt_annotation.py --datasets_path {folder}"
    elif is_bin(str(path)):
        done = done or unpack_bin(path, folder)
        following = f"python eval_lfw.py --lfw_dir {folder} --lfw_pairs {folder / 'pairs.txt'}"
    else:
        raise UserError(f"{path} is of no kind that is unpacked: .rec, .bin, {', '.join(SUFFIXES)}")
    if alignment:
        write_json(folder / RECORD, {"alignment": alignment})
    of_people = f" of {done.people:,} people" if done.people else ""
    print(f"{done.images:,} images{of_people} in {folder}{', there already: nothing to do' * done.nothing_done}")
    if done.left_out:
        print(f"left out: {done.left_out}")
    print(f"next: {following}")


if __name__ == "__main__":
    run_script(main, Settings)
