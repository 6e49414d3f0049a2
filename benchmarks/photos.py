"""What the benchmarks share: photos to read, lines that name them, and the plain way to read them."""

from pathlib import Path
from typing import Any

QUALITY = {"jpg": [1, 90], "webp": [64, 90]}  # of OpenCV's writer: IMWRITE_JPEG_QUALITY, IMWRITE_WEBP_QUALITY


def draw_photos(folder: Path, number: int, size: int, kind: str = "jpg") -> list[str]:
    """Writes `number` photos of ellipses on gradients, without noise; returns their paths.

    `kind` is the suffix: jpg (quality 90), webp (90), png, pgm (grey), or any other that OpenCV writes.
    """
    import cv2
    import numpy as np

    random = np.random.default_rng(0)
    down, right = np.linspace(0, 1, size)[:, None, None], np.linspace(0, 1, size)[None, :, None]
    paths = []
    for index in range(number):
        corners = random.uniform(0, 255, (3, 3))
        photo = corners[0] * (1 - down) + (corners[1] * right + corners[2] * (1 - right)) * down
        photo = np.ascontiguousarray(photo.clip(0, 255).astype(np.uint8))
        for _ in range(6):
            centre, axes = random.integers(size // 6, size * 5 // 6, 2), random.integers(size // 24, size // 3, 2)
            colour = random.uniform(0, 255, 3).tolist()
            cv2.ellipse(photo, centre.tolist(), axes.tolist(), random.uniform(0, 180), 0, 360, colour, -1, cv2.LINE_AA)
        path = str(folder / f"{index:04d}.{kind}")
        pixels = cv2.cvtColor(photo, cv2.COLOR_RGB2GRAY) if kind == "pgm" else photo
        cv2.imwrite(path, pixels, QUALITY.get(kind, []))
        paths.append(path)
    return paths


def write_lines(path: Path, photos: list[str], people: int, lines: int) -> None:
    """Writes `lines` lines over `people`, all of a person in a row; each use of a photo spells its path anew.

    The spelling is the number of the use in binary, `./` and `//` for its digits, which lead nowhere else.
    """
    digits = (lines // len(photos)).bit_length()
    with open(path, "w") as file:
        for line in range(lines):
            use, photo = divmod(line, len(photos))
            spelling = format(use, f"0{digits}b").replace("1", "./").replace("0", "//") if digits else ""
            file.write(f"{line * people // lines};./{spelling}{photos[photo]}\n")


def read_with_pillow(path: str, size: int) -> Any:
    """The reading of facenet-tf2: letterbox on grey, bicubic; returns (size, size, 3)."""
    import numpy as np
    from PIL import Image

    image = Image.open(path).convert("RGB")
    scale = min(size / image.width, size / image.height)
    width, height = int(image.width * scale), int(image.height * scale)
    canvas = Image.new("RGB", (size, size), (128, 128, 128))
    canvas.paste(image.resize((width, height), Image.Resampling.BICUBIC), ((size - width) // 2, (size - height) // 2))
    return np.array(canvas)
