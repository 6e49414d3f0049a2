"""A page in the browser to compare photos, name faces, enrol and erase people, and group a pile: python app.py"""

import contextlib
import ipaddress
import logging
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from utils.runs import find_embedder
from utils.settings import UserError, at_least, run_script
from utils.terminal import say_of

if TYPE_CHECKING:
    from utils.page import Desk

SHORTEST = 10  # characters of a password
LAST_PORT = 65_535


@dataclass(frozen=True)
class Settings:
    """Serves the page on this machine alone: python app.py, then open http://127.0.0.1:7860 in a browser."""

    model_path: str = ""  # embedder; empty: the newest run's, else the released one
    gallery: str = "gallery.db"  # the file of enrolled people
    host: str = "127.0.0.1"  # address to listen on; any but this machine's own takes --password_file
    port: int = 7860  # to listen on
    password_file: str = ""  # a file whose first line is the password of the user "kit"; empty: none
    align: str = "auto"  # photos that are no crop yet: auto (cut as the training photos), no, or landmarks-160-0 or so
    megabytes: int = 20  # of an uploaded file, at most
    megapixels: int = 40  # of a photo, at most
    photos: int = 300  # at once, at most
    input_size: int = 0  # pixels, for .h5 weights, which do not say it; 0: 160


def main(settings: Settings) -> None:
    """Loads the embedder and serves the page until Ctrl-C."""
    password = check(settings)
    model_path = find_embedder(settings.model_path, settings.input_size)
    from utils.page_layout import build, gradio_in, serve, upload_folder

    for name in {"SIGTERM", "SIGHUP"} & set(dir(signal)):  # the latter: a terminal that is closed; Windows has none
        signal.signal(getattr(signal, name), lambda *_: sys.exit(0))  # so that what was uploaded goes then, too
    with upload_folder() as folder:
        gradio = gradio_in(folder)
        page = build(gradio, desk_of(settings, model_path))
        with contextlib.closing(page):
            _, address = serve(gradio, page, settings.host, settings.port, password, settings.megabytes)
            print(f"page         {address}  (Ctrl-C ends it)")
            if not is_own(settings.host):
                say_of("remark", "password and photos travel unencrypted: ssh -L or a proxy with https is safer")
            page.block_thread()


def check(settings: Settings) -> str:
    """Returns the password, if there is one; raises UserError for settings that do not fit."""
    from utils.cropping import check_choice

    check_choice(settings.align)
    at_least(1, settings, "megabytes", "megapixels", "photos", "port")
    if settings.port > LAST_PORT:
        raise UserError(f"--port is {LAST_PORT:,} at most; received {settings.port}")
    if not settings.password_file:
        if not is_own(settings.host):
            raise UserError(f"--host {settings.host} is reached from other machines: give a --password_file too")
        return ""
    try:
        password = Path(settings.password_file).read_text(encoding="utf-8-sig").partition("\n")[0].strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read --password_file {settings.password_file}: {error}") from error
    if len(password) < SHORTEST:
        raise UserError(f"the password in {settings.password_file} is shorter than {SHORTEST} characters")
    return password


def is_own(host: str) -> bool:
    """Says whether only this machine reaches an address."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name: who knows where it leads
        return False


def desk_of(settings: Settings, model_path: Path) -> "Desk":
    """Returns what is behind the page."""
    logging.getLogger("tensorflow").setLevel(logging.ERROR)  # it warns of every other number of faces
    from utils.embedder import Embedder
    from utils.page import Desk, Limits

    embedder: Any = Embedder.load(model_path, settings.input_size or None)
    print(f"embedder     {model_path}{'' if settings.model_path else ' (found by itself)'}")
    embedder.crop_photos(settings.align)
    desk = Desk(embedder, settings.gallery, Limits(settings.megabytes, settings.megapixels, settings.photos))
    desk.people()  # what is no gallery, or another embedder's, is said before anybody opens the page
    return desk


if __name__ == "__main__":
    run_script(main, Settings)
