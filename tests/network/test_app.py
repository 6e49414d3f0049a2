"""app.py in a real browser without a window: each tab, the camera, what is asked of other machines, what is left."""

import importlib.util
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from datasets.drawn_faces import draw_people
from tests.network.small_embedder import save_small_embedder

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
for _package in ("gradio", "playwright"):
    if importlib.util.find_spec(_package) is None:
        pytest.skip(f"no test in a browser: pip install {_package}", allow_module_level=True)
if BROWSER is None:
    pytest.skip("no test in a browser: apt-get install chromium", allow_module_level=True)

ROOT = Path(__file__).parents[2]
PATIENCE = 120_000  # milliseconds: other work on the machine may slow it
CAMERA = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]
SHOTS = os.environ.get("SCREENSHOTS")  # a folder: to look at what is tested


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    draw_people(folder, people=4, images=4, size=160, seed=0)
    return folder


@pytest.fixture(scope="module")
def served(people: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """Yields (address, folder where it runs)."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "tmp").mkdir()
    save_small_embedder(people, folder / "m.keras")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [sys.executable, ROOT / "app.py", "--model_path", "m.keras", "--port", str(port), "--megabytes", "1"]
    environment = os.environ | {"TMPDIR": str(folder / "tmp"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout
        for line in process.stdout:
            if line.startswith("page "):
                break
        yield f"http://127.0.0.1:{port}", folder
        process.send_signal(signal.SIGTERM)
        process.wait(60)
    assert list((folder / "tmp").glob("face-kit-page-*")) == []  # nothing that was uploaded is left


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        root = ["--no-sandbox"] if os.geteuid() == 0 else []
        yield playwright.chromium.launch(executable_path=BROWSER, args=[*CAMERA, *root])


@pytest.fixture
def page(browser: Any, served: tuple[str, Path]) -> Iterator[Any]:
    """Yields a tab in which the page is open, and has asked no machine but its own."""
    asked, page = set(), browser.new_page(viewport={"width": 1100, "height": 1400})
    page.set_default_timeout(PATIENCE)
    page.on("request", lambda request: asked.add(request.url))
    page.goto(served[0])
    page.get_by_role("button", name="Compare", exact=True).wait_for()
    yield page
    page.close()
    foreign = {url for url in asked if not url.startswith((served[0], "data:", "blob:"))}
    assert not foreign


def places(page: Any) -> Any:
    """Returns the places for one photo of the open tab."""
    return page.locator("[role=tabpanel]:visible input[type=file]:not([multiple])")


def upload(page: Any, photos: list[Path]) -> None:
    """Puts photos into the places for a photo of the open tab, which are empty, in order."""
    for number, photo in enumerate(photos):
        places(page).nth(number).set_input_files(photo)
        page.locator("img[src*='file=']:visible").nth(number).wait_for()


def upload_several(page: Any, photos: list[Path]) -> None:
    """Puts photos into the place for several of the open tab."""
    page.locator("[role=tabpanel]:visible input[type=file][multiple]").set_input_files(photos)
    page.get_by_text(photos[-1].stem[-8:]).first.wait_for()


def answer(page: Any, pattern: str) -> str:
    """Waits until the open tab's answer matches, and returns it."""
    from playwright.sync_api import expect

    box = page.locator("textarea:visible[disabled]").first
    expect(box).to_have_value(re.compile(pattern, re.DOTALL), timeout=PATIENCE)
    return box.input_value()


def shot(page: Any, name: str) -> None:
    if SHOTS:
        page.screenshot(path=Path(SHOTS, f"{name}.png"), full_page=True)


def photos_of(people: Path, person: int) -> list[Path]:
    return sorted(sorted(people.iterdir())[person].glob("*.jpg"))


def test_compare(page, people):
    upload(page, photos_of(people, 0)[:1] * 2)
    page.get_by_role("button", name="Compare", exact=True).click()
    assert "cosine 1.00" in answer(page, r"distance 0\.00.*the same person, .*%")
    rates = page.get_by_label("What this threshold lets through")
    assert re.search(r"one person\nFAR: 1 in [\d,]+ .*\nVAL: [\d.]+%", rates.input_value(), re.DOTALL)
    before = rates.input_value()
    slider = page.locator("input[type=number]:visible")
    slider.fill("1.5")
    slider.press("Enter")
    page.wait_for_function("before => [...document.querySelectorAll('textarea')].some(box => "
                           "box.value.includes('nearer than 1.500')) && before", arg=before)  # fmt: skip
    assert page.locator("img[src*='file=']:visible").count() == 3  # both photos, and the picture of them
    shot(page, "compare")


def test_the_camera_takes_a_photo(page):
    page.get_by_role("tab", name="Who is this").click()
    page.locator("button[aria-label='Capture from camera']:visible").click()
    page.get_by_text("Click to Access Webcam").locator("visible=true").click()
    page.locator("video:visible").wait_for()
    page.wait_for_timeout(1000)
    page.locator("button[aria-label='capture photo']:visible").click()
    page.locator("img[src*='file=']:visible").wait_for()
    page.get_by_role("button", name="Who is this?").click()
    assert "nobody is enrolled" in answer(page, "nobody is enrolled in gallery.db yet")
    shot(page, "camera")


def test_enrol_who_and_erase(page, people, served):
    for person, name in enumerate(("Ann", "Bo <b>")):
        page.get_by_role("tab", name="Enrol and erase").click()
        page.get_by_label("Name", exact=True).fill(name)
        upload_several(page, photos_of(people, person)[:3])
        page.get_by_role("button", name="Enrol", exact=True).click()
        answer(page, f"^{re.escape(name)}: 3 photos enrolled in gallery.db$")
    page.get_by_role("gridcell", name="Ann").or_(page.get_by_role("cell", name="Ann")).first.wait_for()
    shot(page, "enrol")
    page.get_by_role("tab", name="Who is this").click()
    upload(page, photos_of(people, 1)[:1])
    page.get_by_role("button", name="Who is this?").click()
    answer(page, r"Bo <b>.*strangers would be given a name")
    shot(page, "who")
    page.get_by_role("tab", name="Enrol and erase").click()
    page.get_by_label("Whom to erase").click()
    page.get_by_role("option", name="Bo <b>").click()
    page.get_by_role("button", name="Erase for good").click()
    answer(page, r"^Bo <b> erased: 3 photos; nothing of them is left")
    shot(page, "erase")
    content = (served[1] / "gallery.db").read_bytes()
    assert b"Bo <b>" not in content
    assert b"Ann" in content


def test_a_pile_is_grouped(page, people):
    page.get_by_role("tab", name="Group a pile").click()
    upload_several(page, [photo for person in range(2) for photo in photos_of(people, person)])
    page.get_by_role("button", name="Group", exact=True).click()
    assert "faces alone" in answer(page, r"\d+ people with two photos or more; \d+ faces alone")
    page.get_by_text(re.compile("person 1|alone")).first.wait_for()
    shot(page, "group")


def test_what_is_no_photo_or_too_large_is_said(page, people, tmp_path):
    (tmp_path / "text.jpg").write_text("no photo")
    (tmp_path / "large.jpg").write_bytes(photos_of(people, 0)[0].read_bytes() + bytes(1_100_000))
    page.get_by_role("tab", name="Group a pile").click()
    upload_several(page, [tmp_path / "text.jpg"])
    page.get_by_role("button", name="Group", exact=True).click()
    assert "text.jpg" in answer(page, "text.jpg.* not")
    page.get_by_role("tab", name="Who is this").click()
    upload(page, [tmp_path / "text.jpg"])
    page.get_by_role("button", name="Who is this?").click()
    page.get_by_text("cannot identify image file").first.wait_for()
    places(page).first.set_input_files(tmp_path / "large.jpg")
    page.get_by_text(re.compile("maximum allowed size|exceeds|too large", re.IGNORECASE)).first.wait_for()
    shot(page, "too_large")


def test_nothing_else_of_the_machine_is_served(served):
    """Neither files beside the page, nor anything to a site of another name, nor to a script from elsewhere."""
    address, folder = served
    with urllib.request.urlopen(address) as found:
        assert "default-src 'self'" in found.headers["content-security-policy"]
    for path in (folder / "m.keras", folder / "m.json", "/etc/hostname"):
        with pytest.raises(urllib.error.HTTPError, match=r"40[34]"):
            urllib.request.urlopen(f"{address}/gradio_api/file={path}")
    rebound = urllib.request.Request(address, headers={"Host": "elsewhere.example"})
    with pytest.raises(urllib.error.HTTPError, match="400"):
        urllib.request.urlopen(rebound)
    assert listening(int(address.rpartition(":")[2])) <= {"0100007F"}


def listening(port: int) -> set[str]:
    """Returns the addresses, in the kernel's hexadecimal, on which a port of this machine is listened on (Linux)."""
    tables = [table for table in map(Path, ("/proc/net/tcp", "/proc/net/tcp6")) if table.exists()]
    rows = [line.split() for table in tables for line in table.read_text().splitlines()[1:]]
    places = [row[1].split(":") for row in rows if row[3] == "0A"]
    return {place for place, number in places if int(number, 16) == port}
