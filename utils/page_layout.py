"""The page in the browser (Gradio): its tabs, and a server that keeps to this machine."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from utils.page import Desk
from utils.settings import UserError

FONTS = ["system-ui", "sans-serif"]  # the browser's own: none is fetched
KEPT_SECONDS = 600  # an uploaded photo, in a folder that only its owner may read; then it goes, as when the page ends
FOLDERS = "face-kit-page-"
POLICY = (  # the browser itself refuses to load anything from elsewhere
    "default-src 'self' 'unsafe-inline' 'unsafe-eval' data: blob:; frame-ancestors 'none'; form-action 'self'"
)


@contextlib.contextmanager
def upload_folder() -> Iterator[Path]:
    """Yields the folder for what is uploaded, readable by its owner only, and removes it, and those of killed pages."""
    for old in Path(tempfile.gettempdir()).glob(f"{FOLDERS}*"):
        number = old.name.removeprefix(FOLDERS).partition("-")[0]
        if number.isdigit() and not _runs(int(number)):
            shutil.rmtree(old, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f"{FOLDERS}{os.getpid()}-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _runs(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:  # somebody else's
        pass
    return True


def gradio_in(folder: Path) -> Any:
    """Imports Gradio with its statistics off and its files in `folder`; raises UserError where it is missing."""
    os.environ |= {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(folder), "HF_HUB_DISABLE_TELEMETRY": "1"}
    try:
        import gradio
    except ImportError:
        raise UserError("the page takes Gradio, which is not installed: pip install gradio") from None
    return gradio


class OwnOriginOnly:
    """Sets the policy above on every answer (ASGI)."""

    def __init__(self, app: Any):
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes a request on, and its answer back with the header."""

        async def with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"content-security-policy", POLICY.encode())]
            await send(message)

        await self._app(scope, receive, with_policy)


def serve(gradio: Any, page: Any, host: str, port: int, password: str, megabytes: int) -> tuple[Any, str]:
    """Begins to serve, in the background, and returns (server app, address); raises UserError where the port is taken.

    Only requests for this very host are answered, so that a foreign site whose name is made to lead here gets nothing;
    "0.0.0.0" and "::" take any name.
    """
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    hosts = ["127.0.0.1", "localhost", "[::1]", host] if host not in ("0.0.0.0", "::") else ["*"]
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts), Middleware(OwnOriginOnly)]
    theme = gradio.themes.Default(font=FONTS, font_mono=["monospace"])
    try:
        app, address, _ = page.launch(
            server_name=host,
            server_port=port,
            auth=("kit", password) if password else None,
            max_file_size=megabytes * 1_000_000,
            app_kwargs={"middleware": middleware, "docs_url": None, "redoc_url": None},
            theme=theme,
            share=False,
            ssr_mode=False,
            mcp_server=False,
            enable_monitoring=False,
            footer_links=[],
            show_error=True,  # what Gradio itself cannot read, as a text file for a photo, is said
            quiet=True,
            prevent_thread_lock=True,
        )
    except OSError as error:
        raise UserError(
            f"--port {port}: {host} cannot be listened on there (is it taken?); another one may do"
        ) from error
    return app, address


def build(gradio: Any, desk: Desk) -> Any:
    """Returns the page."""
    with gradio.Blocks(title="Faces", analytics_enabled=False, delete_cache=(60, KEPT_SECONDS)) as page:
        about = f"Embedder `{desk.embedder.path}`, gallery `{desk.gallery}`. Uploaded photos go after ten minutes."
        gradio.Markdown(f"### Faces\n{about}")
        with gradio.Tab("Compare"):
            _compare_tab(gradio, desk)
        with gradio.Tab("Who is this"):
            _who_tab(gradio, desk)
        with gradio.Tab("Enrol and erase"):
            _enrol_tab(gradio, desk, page)
        with gradio.Tab("Group a pile"):
            _group_tab(gradio, desk)
    return page


def _photo(gradio: Any, label: str) -> Any:
    sources = ["upload", "webcam", "clipboard"]
    return gradio.Image(label=label, sources=sources, type="filepath", image_mode=None, height=300)


def _answer(gradio: Any, lines: int = 4) -> Any:
    return gradio.Textbox(label="Answer", lines=lines, interactive=False)  # plain text: names are never read as HTML


def _said(function: Callable[..., Any], *nothing: Any) -> Callable[..., Any]:
    """Returns the function with an error of the user as its answer's last text, beside `nothing`."""

    def answered(*arguments: Any) -> Any:
        try:
            return function(*arguments)
        except UserError as error:
            return (*nothing, str(error)) if nothing else str(error)

    return answered


def _compare_tab(gradio: Any, desk: Desk) -> None:
    with gradio.Row():
        photos = [_photo(gradio, "First photo"), _photo(gradio, "Second photo")]
    button = gradio.Button("Compare", variant="primary")
    answer = _answer(gradio)
    picture = gradio.Image(label="Comparison", interactive=False, format="png", buttons=["download", "fullscreen"])
    threshold = gradio.Slider(0, desk.widest, desk.usual_threshold, step=0.001, label="Threshold (squared distance)")
    rates = gradio.Textbox(
        desk.rates(desk.usual_threshold), label="What this threshold lets through", lines=3, interactive=False
    )
    distance = gradio.State(float("nan"))

    def compare(first: str | None, second: str | None) -> tuple[Any, ...]:
        drawn, text, found = desk.compare(first, second)
        return drawn, found, text

    done = button.click(
        _said(compare, None, float("nan")), photos, [picture, distance, answer], api_visibility="private"
    )
    done.then(desk.rates, [threshold, distance], rates, api_visibility="private")
    threshold.change(desk.rates, [threshold, distance], rates, api_visibility="private", show_progress="hidden")


def _who_tab(gradio: Any, desk: Desk) -> None:
    photo = _photo(gradio, "Photo")
    choices = [("1 in 10", 0.1), ("1 in 100", 0.01), ("1 in 1,000", 0.001)]
    far = gradio.Radio(choices, value=0.01, label="Strangers who may be given somebody's name")
    button = gradio.Button("Who is this?", variant="primary")
    answer = _answer(gradio)
    picture = gradio.Image(label="Faces", interactive=False, format="png", buttons=["download", "fullscreen"])
    button.click(_said(desk.who, None), [photo, far], [picture, answer], api_visibility="private")


def _enrol_tab(gradio: Any, desk: Desk, page: Any) -> None:
    name = gradio.Textbox(label="Name", max_length=100)
    with gradio.Row():
        photo = _photo(gradio, "A photo, or the camera")
        files = gradio.File(label="Or several photos", file_count="multiple", file_types=["image"], height=300)
    enrol = gradio.Button("Enrol", variant="primary")
    answer = _answer(gradio, 3)
    people = gradio.Dataframe(headers=["Name", "Photos"], label="Enrolled", interactive=False)
    with gradio.Row():
        gone = gradio.Dropdown([], label="Whom to erase", interactive=True)
        erase = gradio.Button("Erase for good", variant="stop")

    def listed() -> tuple[Any, Any]:
        found = desk.people()
        return [list(each) for each in found], gradio.Dropdown(choices=[who for who, _ in found], value=None)

    def enrolled(person: str, one: str | None, several: list[str] | None) -> tuple[Any, ...]:
        return "", None, None, desk.enrol(person, [*([one] if one else []), *(several or [])])  # ready for the next

    typed = [name, photo, files]
    kept = [gradio.skip()] * len(typed)
    for event in (
        enrol.click(_said(enrolled, *kept), typed, [*typed, answer], api_visibility="private"),
        erase.click(_said(desk.erase), gone, answer, api_visibility="private"),
        page,
    ):
        listing = event.load if event is page else event.then
        listing(listed, None, [people, gone], api_visibility="private")


def _group_tab(gradio: Any, desk: Desk) -> None:
    files = gradio.File(
        label=f"Photos, at most {desk.limits.photos}", file_count="multiple", file_types=["image"], height=200
    )
    button = gradio.Button("Group", variant="primary")
    answer = _answer(gradio, 3)
    faces = gradio.Gallery(show_label=False, columns=8, height="auto", object_fit="contain", format="png")
    button.click(_said(lambda several: desk.group(several or []), []), files, [faces, answer], api_visibility="private")
