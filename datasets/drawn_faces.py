"""Draws people where there are no photographs: each has a face of their own, each image its pose, light and mood.

    python -m datasets.drawn_faces --output demo/people --people 60 --images 12
    python -m datasets.drawn_faces --output demo/lfw --first_person 1000 --pairs_file demo/pairs.txt --pairs 600

(`-m`, from the repository's root.) An image is a function of (seed, person, image). Background, clothes and light are
the image's, skin and hair have the tones of many: a face is told by its shapes, not by its mean colour.
"""

import os
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
from numpy.typing import NDArray

from utils.drawing import Canvas, Colour, Points, background, between, curve, ellipse, mix, photographed, shade
from utils.lfw_pairs import write_pairs
from utils.settings import UserError, run_script

# What a person keeps: name -> (smallest, largest). Lengths are in halves of the image's width.
PERSON = {
    "head_width": (0.42, 0.55), "crown": (0.54, 0.66), "chin": (0.56, 0.72), "jaw": (0.05, 0.50), "square": (0.72, 1.0),
    "ear_size": (0.08, 0.14), "skin": (0.0, 1.0), "blush": (0.0, 0.5), "freckles": (-20.0, 16.0),
    "eye_apart": (0.17, 0.25), "eye_height": (-0.12, 0.02), "eye_width": (0.075, 0.125), "eye_round": (0.45, 0.95),
    "eye_tilt": (-0.25, 0.25), "iris": (0.0, 1.0), "iris_size": (0.5, 0.75), "lash": (0.5, 2.5),
    "brow_above": (0.05, 0.12), "brow_width": (0.09, 0.14), "brow_thick": (1.6, 5.5), "brow_tilt": (-0.35, 0.35),
    "brow_curve": (0.0, 0.05), "nose_length": (0.16, 0.32), "nose_width": (0.05, 0.13), "nose_round": (0.0, 1.0),
    "mouth_height": (0.06, 0.12), "mouth_width": (0.11, 0.22), "lip_upper": (0.01, 0.05), "lip_lower": (0.015, 0.065),
    "lip_red": (0.1, 0.9), "hair": (0.0, 1.0), "hair_style": (0.0, 1.0), "hair_volume": (0.04, 0.2),
    "hair_length": (0.0, 1.0), "fringe": (-0.5, -0.26), "parting": (-1.0, 1.0), "curl": (-0.6, 1.0),
    "beard": (0.0, 1.0), "glasses": (0.0, 1.0), "glasses_size": (0.13, 0.17), "glasses_square": (0.3, 1.0),
    "glasses_dark": (0.0, 1.0), "mole_x": (-0.9, 0.9), "mole_y": (0.05, 0.45),
}  # fmt: skip

VIEW = {  # what changes from image to image
    "turn": (-1.0, 1.0), "nod": (-1.0, 1.0), "roll": (-0.2, 0.2), "shift_x": (-0.08, 0.08), "shift_y": (-0.06, 0.06),
    "scale": (1.0, 1.22), "smile": (-0.35, 1.0), "open": (-0.8, 1.0), "lids": (0.55, 1.15), "gaze_x": (-0.35, 0.35),
    "gaze_y": (-0.2, 0.2), "brow_lift": (-0.02, 0.03), "frown": (-0.15, 0.15), "gain": (0.7, 1.2), "gamma": (0.75, 1.3),
    "light_angle": (0.0, 6.2832), "light": (0.0, 0.45), "noise": (1.0, 8.0), "blur": (-0.5, 1.1),
}  # fmt: skip

SKIN = ((250, 222, 204), (240, 200, 172), (224, 176, 140), (196, 144, 106), (156, 106, 74), (104, 68, 48))
HAIR = ((28, 24, 24), (58, 38, 28), (100, 64, 38), (150, 84, 44), (212, 172, 104), (176, 174, 172))
IRIS = ((74, 46, 28), (112, 80, 40), (84, 112, 70), (84, 124, 164), (120, 132, 140))
NAMES = ("Ada", "Bela", "Caro", "Dina", "Edo", "Gil", "Hana", "Ivo", "Juna", "Kemi", "Lio", "Mara", "Nilo", "Oda")

_SPAN = np.linspace(-1, 1, 15)  # from left to right of a mouth, a brow, a fringe
_ARCH = 1 - _SPAN**2


def draw_face(person: int, image: int, size: int, seed: int) -> NDArray[np.uint8]:
    """Returns image number `image` of `person`: (size, size, 3) RGB, `size` in pixels."""
    face = _face(person, seed)
    rng = np.random.default_rng((seed, 1, person, image))
    view = _drawn(VIEW, rng)
    canvas = Canvas(background(size, rng), view)
    _draw_body(canvas, face, tuple(rng.uniform(30, 225, 3)))
    _draw_head(canvas, face)
    _draw_eyes(canvas, face, view)
    _draw_nose(canvas, face)
    _draw_beard_and_mouth(canvas, face, view)
    _draw_hair(canvas, face)
    _draw_glasses(canvas, face)
    return photographed(canvas.pixels, view, rng)


@lru_cache(maxsize=256)
def _face(person: int, seed: int) -> SimpleNamespace:
    rng = np.random.default_rng((seed, 0, person))
    face = _drawn(PERSON, rng)
    face.spots = rng.uniform((-0.3, 0.06), (0.3, 0.24), (16, 2)).tolist()[: max(0, int(face.freckles))]
    face.skin_colour, face.hair_colour, face.eye_colour = (
        mix(SKIN, face.skin),
        mix(HAIR, face.hair),
        mix(IRIS, face.iris),
    )
    face.long = face.hair_style > 0.5 and face.hair_length > 0.25
    return face


def _drawn(ranges: dict[str, tuple[float, float]], rng: np.random.Generator) -> SimpleNamespace:
    drawn = rng.random(len(ranges)).tolist()
    return SimpleNamespace(**{name: a + (b - a) * x for (name, (a, b)), x in zip(ranges.items(), drawn, strict=True)})


def _outline(face: SimpleNamespace, start: float, stop: float, grow: float | Points = 0.0) -> Points:
    """Returns (48, 2) points of the head's outline, `grow` outside it, by the angle clockwise from the crown."""
    angle = np.linspace(start, stop, 48)
    x, y = np.sin(angle), -np.cos(angle)
    x = np.sign(x) * np.abs(x) ** face.square * (1 - face.jaw * np.clip(y, 0, 1) ** 2)
    return curve(x * (face.head_width + grow), y * (np.where(y > 0, face.chin, face.crown) + grow))


def _draw_body(canvas: Canvas, face: SimpleNamespace, cloth: Colour) -> None:
    """Draws what is behind the head: long hair, neck, shoulders, ears."""
    if face.long:
        low, width = 0.2 + 0.6 * face.hair_length, face.head_width + face.hair_volume
        colour = shade(face.hair_colour, 0.3)
        canvas.fill(np.array(((width, -0.1), (width, low), (-width, low), (-width, -0.1))), colour, -0.05)
        canvas.fill(ellipse(0, low, width, 0.1), colour, -0.05)
    neck = ellipse(0, 0.8, 0.5 * face.head_width, 0.6, square=0.3)
    canvas.fill(neck, shade(face.skin_colour, 0.25), -0.03)
    canvas.fill(ellipse(0, face.chin + 0.62, 0.95, 0.45, square=0.7), cloth, -0.03)
    for side in (-1, 1):
        ear = ellipse(side * face.head_width, face.eye_height + 0.1, face.ear_size * 0.7, face.ear_size)
        canvas.fill(ear, shade(face.skin_colour, 0.12), -0.04)


def _draw_head(canvas: Canvas, face: SimpleNamespace) -> None:
    outline = _outline(face, 0, 2 * np.pi)
    canvas.fill(outline, face.skin_colour)
    canvas.stroke(outline, shade(face.skin_colour, 0.3), 1, closed=True)
    cheek = shade(face.skin_colour, 0.35 * face.blush, (220, 70, 70))
    for side in (-1, 1):
        canvas.fill(ellipse(side * face.eye_apart * 1.15, face.eye_height + 0.22, 0.1, 0.07), cheek, 0.06)
    for x, y in face.spots:
        canvas.fill(ellipse(x, y, 0.013, 0.013), shade(face.skin_colour, 0.45, (90, 40, 15)), 0.08)
    if abs(face.mole_x) < 0.35:
        canvas.fill(ellipse(face.mole_x, face.mole_y, 0.02, 0.02), shade(face.skin_colour, 0.7), 0.07)


def _draw_eyes(canvas: Canvas, face: SimpleNamespace, view: SimpleNamespace) -> None:
    width, height = face.eye_width, face.eye_width * face.eye_round * min(view.lids, 1.0)
    radius = min(width * face.iris_size, height)
    brow_height = face.eye_height - 0.05 - face.brow_above - view.brow_lift
    for side in (-1, 1):
        x, y = side * face.eye_apart, face.eye_height
        eye = ellipse(x, y, width, height, side * face.eye_tilt)
        canvas.fill(eye, (244, 242, 240), 0.07)
        x, y = x + view.gaze_x * width, y + view.gaze_y * (height - 0.8 * radius)
        canvas.fill(ellipse(x, y, radius * 0.9, radius), face.eye_colour, 0.07)
        canvas.fill(ellipse(x, y, radius * 0.45, radius * 0.45), (16, 12, 12), 0.07)
        canvas.fill(ellipse(x - 0.015, y - 0.02, 0.012, 0.012), (255, 255, 255), 0.07)
        canvas.stroke(eye[11:], shade(face.skin_colour, 0.75), face.lash, 0.07)
        slope = 0.1 * side * (face.brow_tilt + view.frown)
        rise = brow_height + slope * _SPAN + face.brow_curve * _SPAN**2
        brow = curve(side * face.eye_apart + _SPAN * face.brow_width, rise)
        canvas.stroke(brow, shade(face.hair_colour, 0.2), face.brow_thick, 0.08)


def _draw_nose(canvas: Canvas, face: SimpleNamespace) -> None:
    tip, width, dark = face.eye_height + face.nose_length, face.nose_width, shade(face.skin_colour, 0.3)
    canvas.stroke(np.array(((-0.02, face.eye_height), (-width * 0.5, tip - 0.08), (-width, tip))), dark, 1.5, 0.12)
    ball = ellipse(0, tip - 0.02, width * (0.6 + 0.4 * face.nose_round), 0.03 + 0.03 * face.nose_round)
    canvas.fill(ball, shade(face.skin_colour, 0.12, (200, 90, 70)), 0.12)
    for side in (-1, 1):
        canvas.fill(ellipse(side * width * 0.55, tip + 0.015, width * 0.25, 0.014), shade(dark, 0.4), 0.11)


def _draw_beard_and_mouth(canvas: Canvas, face: SimpleNamespace, view: SimpleNamespace) -> None:
    x = _SPAN * face.mouth_width * (1 + 0.15 * view.smile)
    y = face.eye_height + face.nose_length + face.mouth_height + 0.07 * view.smile * (0.4 - _SPAN**2)
    line, hair = curve(x, y), shade(face.hair_colour, 0.1)
    if face.beard > 0.82:  # a full one
        cheeks = curve(_SPAN * face.head_width * 0.85, y - 0.06 * _ARCH)
        canvas.fill(between(_outline(face, 1.3 * np.pi, 0.7 * np.pi, 0.02), cheeks), hair, 0.02)
    elif face.beard > 0.74:  # on the chin
        canvas.fill(ellipse(0, (y[7] + face.chin) / 2 + 0.08, face.mouth_width * 0.6, 0.13), hair, 0.05)
    if 0.66 < face.beard < 0.9:  # a moustache
        across, ends = _SPAN * (face.mouth_width + 0.06), y[7] - face.lip_upper + 0.05 * _SPAN**2
        canvas.fill(between(curve(across, ends - 0.01 - 0.05 * _ARCH), curve(across, ends + 0.01)), hair, 0.1)
    opened = _ARCH * max(view.open, 0) * 0.07
    lips = shade(face.skin_colour, 0.25 + 0.45 * face.lip_red, (170, 40, 60))
    upper = y - _ARCH * (1 - 0.35 * np.exp(-((_SPAN / 0.25) ** 2))) * face.lip_upper
    canvas.fill(between(curve(x, upper), curve(x, y + opened + _ARCH * face.lip_lower)), lips, 0.09)
    canvas.fill(between(line, curve(x, y + opened)), (60, 16, 20), 0.09)
    canvas.fill(between(line, curve(x, y + 0.4 * opened)), (240, 238, 230) if view.open > 0.1 else (60, 16, 20), 0.09)


def _draw_hair(canvas: Canvas, face: SimpleNamespace) -> None:
    if face.hair_style < 0.1:  # bald
        return
    reach = np.pi * (0.6 if face.long else 0.42 + 0.12 * face.hair_length)
    along = np.linspace(-1, 1, 48)
    waves = max(face.curl, 0) * 0.05 * np.abs(np.sin(4.5 * np.pi * along))
    outer = _outline(face, -reach, reach, (face.hair_volume + waves) * (1 if face.long else 1 - along**6))
    fringe = face.fringe + 0.1 * face.parting * _SPAN + max(face.curl, 0) * 0.04 * np.abs(np.sin(3 * np.pi * _SPAN))
    temple = outer[-1, 1]
    inner = curve(_SPAN * face.head_width * (0.9 if face.long else 0.99), fringe + (temple - fringe) * _SPAN**8)
    canvas.fill(between(outer, inner), face.hair_colour, 0.01)


def _draw_glasses(canvas: Canvas, face: SimpleNamespace) -> None:
    if face.glasses < 0.72:
        return
    x, y, size, colour = face.eye_apart, face.eye_height, face.glasses_size, shade((200, 170, 120), face.glasses_dark)
    for side in (-1, 1):
        frame = ellipse(side * x, y, min(size, x - 0.02), size * 0.8, square=face.glasses_square)
        canvas.stroke(frame, colour, 2.5, 0.1, closed=True)
        canvas.stroke(np.array(((side * (x + size * 0.9), y), (side * face.head_width, y - 0.02))), colour, 2, 0.05)
    canvas.stroke(np.array(((-0.05, y - 0.02), (0.05, y - 0.02))), colour, 2.5, 0.1)


def person_name(person: int) -> str:
    """Returns the name of the person's folder and, with _0001.jpg and so on behind it, of the images in it."""
    return f"{NAMES[person % len(NAMES)]}_{person:04d}"


def draw_people(
    folder: str | os.PathLike[str], people: int, images: int, size: int, seed: int, first_person: int = 0
) -> None:
    """Writes `folder/<name>/<name>_0001.jpg` ... of persons `first_person`, `first_person + 1`, ...; `size` in pixels.

    Files of that name are replaced, others stay. Raises UserError for a number below 1 and where it cannot write.
    """
    if min(people, images) < 1 or size < 32 or min(first_person, seed) < 0:
        received = f"people {people}, images {images}, size {size} px, first person {first_person}, seed {seed}"
        raise UserError(f"cannot draw {received}: 1 or more people and images, 32 px or more, nothing negative")
    for person in range(first_person, first_person + people):
        name = person_name(person)
        try:
            Path(folder, name).mkdir(parents=True, exist_ok=True)
            for image in range(images):
                pixels = cv2.cvtColor(draw_face(person, image, size, seed), cv2.COLOR_RGB2BGR)
                jpeg = cv2.imencode(".jpg", pixels, (cv2.IMWRITE_JPEG_QUALITY, 92))[1]
                Path(folder, name, f"{name}_{image + 1:04d}.jpg").write_bytes(jpeg.tobytes())
        except OSError as error:
            raise UserError(f"cannot write people to {folder}: {error.strerror}") from error


@dataclass(frozen=True)
class Settings:
    """Draws people, one folder each. Run from the repository's root: python -m datasets.drawn_faces"""

    output: str = "demo/people"  # the folder that gets one folder a person
    people: int = 60  # how many
    images: int = 12  # of each person
    size: int = 128  # pixels, square
    seed: int = 0  # other people, other images
    first_person: int = 0  # number of the first one: 1000 draws people whom 0..999 do not know
    pairs_file: str = ""  # also write pairs of these people there, as LFW's pairs.txt
    pairs: int = 600  # how many, a multiple of 20


def main(settings: Settings) -> None:
    if settings.pairs_file:
        names = [person_name(settings.first_person + k) for k in range(settings.people)]
        write_pairs(settings.pairs_file, names, settings.images, settings.pairs, settings.seed)
        print(f"{settings.pairs} pairs in {settings.pairs_file}")
    draw_people(settings.output, settings.people, settings.images, settings.size, settings.seed, settings.first_person)
    print(f"{settings.people} people with {settings.images} images of {settings.size} px in {settings.output}")


if __name__ == "__main__":
    run_script(main, Settings)
