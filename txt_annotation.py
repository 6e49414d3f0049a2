"""Turns folders of photos, `datasets/<person>/<photo>`, into cls_train.txt, one `label;path` a line.

Labels count from 0 in sorted order of the people who have a photo; cls_train.people.txt beside it has their names.
"""

from dataclasses import dataclass

from utils.settings import run_script


@dataclass(frozen=True)
class Settings:
    """Lists the photos in folders of people for training. Run: python txt_annotation.py"""

    datasets_path: str = "datasets"  # a folder with one folder of photos a person
    annotation_path: str = "cls_train.txt"  # the file to write; the people's names go to <the same>.people.txt


def main(settings: Settings) -> None:
    """Writes the annotation and the names, and says how many people and photos there are."""
    from functools import partial

    import numpy as np

    from utils.annotations import people_path, write_annotations
    from utils.files import refuse_photo
    from utils.people_folder import PeopleFolder
    from utils.terminal import progress_bar, say

    refuse_photo("annotation_path", settings.annotation_path)
    folder = PeopleFolder(settings.datasets_path, bar=partial(progress_bar, unit=" people"))
    counts = write_annotations(settings.annotation_path, folder.folder, folder)
    print(f"people: {len(counts):,}")
    print(f"photos: {counts.sum():,}")
    print(f"photos per person: smallest {counts.min():,}, median {np.median(counts):,.0f}, largest {counts.max():,}")
    print(f"people with one photo: {(counts == 1).sum():,} (they can only be negatives)")
    for reason, (number, example) in sorted(folder.skipped.items()):
        say(f"skipped: {number:,} {reason}, for example {example!r}")
    print(f"written: {settings.annotation_path}, {people_path(settings.annotation_path)}")


if __name__ == "__main__":
    run_script(main, Settings)
