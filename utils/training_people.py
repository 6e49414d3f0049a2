"""Steps of train.py: whom to train on, whom to hold out, and what tells one set of photos from another."""

import hashlib
import json
import os
from dataclasses import replace
from typing import Any

from utils.settings import UserError, typed_names


def people_of(settings: Any, devices: int = 1) -> tuple[Any, Any, Any]:
    """Returns the settings, now with `val_seed` and a batch that fits; annotations to train on; those held out.

    Whom the weights to start from held out of these people is held out again, as is whom a resumed run did: `--seed`
    may change, and with it the batches. Raises UserError where such weights know people who are to be held out.
    """
    from utils.annotations import read_annotations, split_people
    from utils.cards import stored_card
    from utils.held_out import held_out_of, names_in, seed_of
    from utils.unlabelled import with_unlabelled

    annotations, typed = read_annotations(settings.annotation_path), typed_names(settings)
    before: dict[str, Any] = {}
    theirs = None
    if settings.model_path and settings.val_people:
        card, names = stored_card(settings.model_path), names_in(os.path.dirname(settings.model_path))
        try:
            theirs = held_out_of(annotations, os.path.basename(settings.annotation_path), card, names)
        except UserError as error:
            raise UserError(f"{settings.model_path}: {error}, or --val_people 0") from error
        before = card["trained"]["settings"] if theirs else {}
    among = set(theirs.people) if theirs and settings.val_seed < 0 else None
    if settings.resume:
        among = names_in(settings.resume) or among
    if settings.val_seed < 0:
        settings = replace(settings, val_seed=seed_of(before or {"seed": settings.seed}))
    people, held_out = split_people(annotations, settings.val_people, settings.val_seed, among)
    if theirs and (known := set(held_out.people) - set(theirs.people)):
        raise UserError(
            f"{settings.model_path} was trained on {len(known):,} of the {held_out.number_of_people:,} people to be"
            " held out, and would seem too good; without --val_seed those are held out whom it does not know"
        )
    people = with_unlabelled(people, settings.unlabelled, held_out) if settings.unlabelled else people
    return replace(settings, batch_size=batch_of(settings, people, typed, devices)), people, held_out


def batch_of(settings: Any, people: Any, typed: frozenset[str], devices: int) -> int:
    """Returns `batch_size`; where nobody `typed` it and there are fewer images, as many as fit, which is said."""
    from utils.terminal import say

    images = len(people) if settings.sampler == "shuffled" else int(people.starts[-1])
    whole = devices * {"people": settings.images_each, "triples": 3}.get(settings.sampler, 1)
    fitting = images // whole * whole
    if "batch_size" in typed or not 2 * whole <= fitting < settings.batch_size:
        return int(settings.batch_size)
    say(f"batch_size {fitting}: {images:,} images to train on are fewer than the usual {settings.batch_size} a step")
    return fitting


def taught_by(settings: Any) -> str:
    """Returns a SHA-256 of the teacher's file and of what its card says of its images; empty where there is none.

    Raises UserError where its card cannot be read.
    """
    from utils.cards import card_path
    from utils.files import read_json, sha256
    from utils.teacher import SHOWN

    if not settings.teacher:
        return ""
    card = read_json(card_path(settings.teacher))
    what = {name: card.get(name) for name in ("crop", "alignment", *SHOWN)}
    return hashlib.sha256(f"{sha256(settings.teacher)}\n{json.dumps(what, sort_keys=True)}".encode()).hexdigest()


def fingerprint(settings: Any, people: Any) -> str:
    """Returns a SHA-256 of what is trained on: the annotation file, a file of rates, paths of unlabelled photos."""
    from utils.files import sha256

    found = sha256(settings.annotation_path)
    if os.path.isfile(settings.lr_decay):
        found = hashlib.sha256(f"{found}\n{sha256(settings.lr_decay)}".encode()).hexdigest()
    if not settings.unlabelled:
        return found
    nobodys = range(int(people.starts[-1]), len(people))
    paths = "\n".join(os.path.relpath(people.path(row), settings.unlabelled) for row in nobodys)
    return hashlib.sha256(f"{found}\n{paths}".encode(errors="surrogateescape")).hexdigest()
