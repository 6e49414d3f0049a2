"""The report of an audit: one HTML file that opens from disk, its thumbnails inside, the worst of each kind only."""

import base64
import html
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2

from utils.files import write_text
from utils.findings import KINDS, Finding, Findings
from utils.images import ImageError, Pixels, fit_image, read_image

THUMBNAIL = 96  # pixels, square
QUALITY = 80  # of the thumbnails' JPEG

STYLE = """
:root { color-scheme: light dark; --line: #d6d6d2; --soft: #6b6b66; --ground: #fbfbf9; --card: #fff; --mark: #b3261e; }
@media (prefers-color-scheme: dark) {
  :root { --line: #44443f; --soft: #a5a59e; --ground: #1b1b19; --card: #242422; --mark: #ff8a80; }
}
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1080px; margin: 2.5rem auto; padding: 0 1.25rem;
  background: var(--ground); }
h1 { font-size: 1.6rem; margin: 0 0 .3rem; } h2 { font-size: 1.15rem; margin: 2.6rem 0 .2rem; }
h2 b { color: var(--mark); font-weight: 600; margin-left: .4rem; } p { margin: .2rem 0 .8rem; max-width: 46rem; }
.soft, figcaption, td:last-child { color: var(--soft); } a { color: inherit; }
table { border-collapse: collapse; margin: 1.4rem 0; } td { padding: .28rem 1.4rem .28rem 0; vertical-align: top;
  border-top: 1px solid var(--line); } td.number { text-align: right; font-variant-numeric: tabular-nums; }
ol { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .7rem; }
li { background: var(--card); border: 1px solid var(--line); border-radius: 8px; padding: .6rem .7rem; max-width: 100%;
  box-sizing: border-box; }
li.wide { width: 100%; } .row { display: flex; flex-wrap: wrap; gap: .9rem; }
figure { margin: 0; max-width: 100%; } figcaption { font-size: .78rem; overflow-wrap: anywhere; max-width: 25rem; }
.single figcaption { max-width: 96px; }
figure div { display: flex; flex-wrap: wrap; gap: 3px; } img, .none { width: 96px; height: 96px; border-radius: 4px; }
.none { border: 1px dashed var(--line); box-sizing: border-box; display: grid; place-items: center;
  color: var(--soft); font-size: .75rem; }
.mark img:first-child { outline: 3px solid var(--mark); outline-offset: -3px; }
.note { font-size: .78rem; margin: .35rem 0 0; max-width: none; overflow-wrap: anywhere; }
@media (max-width: 600px) { td:nth-child(3) { display: none; } }
"""


def write_report(
    path: Path, findings: Findings, about: Sequence[str], csv_name: str, unlooked: Mapping[str, str]
) -> None:
    """Writes the HTML; `about` are lines on what was looked at, `csv_name` the file that holds every finding.

    unlooked: kind that was not looked for -> why.
    """
    worst = {kind: findings.worst(kind) for kind in KINDS}
    photos = sorted({photo for some in worst.values() for f in some for photo in (*f.paths, *f.others)})
    with ThreadPoolExecutor() as pool:
        pictures = dict(zip(photos, pool.map(_picture, photos), strict=True))
    parts = [_head(findings, about, csv_name, unlooked)]
    parts += [_section(kind, worst[kind], findings, pictures.__getitem__) for kind in KINDS if worst[kind]]
    write_text(path, _writable("\n".join([*parts, "</body></html>", ""])))


def _writable(text: str) -> str:
    """Returns text that UTF-8 can hold: a file's name need not be UTF-8."""
    return text.encode("utf-8", "backslashreplace").decode()


def _head(findings: Findings, about: Sequence[str], csv_name: str, unlooked: Mapping[str, str]) -> str:
    rows = []
    for kind, (title, *_) in KINDS.items():
        count = findings.counts[kind]
        name = f'<a href="#{kind}">{html.escape(title)}</a>' if count else html.escape(title)
        number = f'<td class="number">{"-" if kind in unlooked else f"{count:,}"}</td>'
        note = unlooked.get(kind) or certainties(findings, kind)
        rows.append(f"<tr>{number}<td>{name}</td><td>{html.escape(note)}</td></tr>")
    lines = "<br>".join(html.escape(line) for line in about)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Audit</title><style>{STYLE}</style></head><body>\n<h1>Audit of a set of faces</h1>\n"
        f'<p class="soft">{lines}</p>\n<table>{"".join(rows)}</table>\n<p class="soft">Shown are the worst of each '
        f'kind; <a href="{html.escape(csv_name)}">{html.escape(csv_name)}</a> beside this file lists every finding.</p>'
    )


def certainties(findings: Findings, kind: str) -> str:
    """Returns "12 likely, 30 possible", or nothing for what is certain."""
    counts = ((word, findings.certainty[kind, word]) for word in ("likely", "possible"))
    return ", ".join(f"{number:,} {word}" for word, number in counts if number)


def _section(kind: str, worst: list[Finding], findings: Findings, picture: Callable[[str], str]) -> str:
    title, meaning, score = KINDS[kind]
    count = findings.counts[kind]
    shown = f"The {len(worst)} worst of {count:,}." if len(worst) < count else ""
    about = " ".join(part for part in (meaning, f"Score: {score}." if score else "", shown) if part)
    cases = "\n".join(_case(finding, picture) for finding in worst)
    return (
        f'<section><h2 id="{kind}">{html.escape(title)}<b>{count:,}</b></h2>\n'
        f'<p class="soft">{html.escape(about)}</p>\n'
        f"<ol>{cases}</ol></section>"
    )


def _case(finding: Finding, picture: Callable[[str], str]) -> str:
    shape = "wide" if len(finding.paths) + len(finding.others) > 3 else "single" if not finding.others else ""
    marked = len(finding.paths) > 1 and finding.kind == "mislabelled"
    figures = _figure(finding.paths, finding.person, picture, "mark" if marked else "")
    if finding.others:
        figures += _figure(finding.others, finding.other_person, picture, "")
    score = "" if finding.score != finding.score else f"{finding.score:.4g}"
    certainty = "" if finding.certainty == "certain" else finding.certainty
    facts = [part for part in (score, certainty, finding.action if shape != "single" else "") if part]
    name = os.path.basename(finding.paths[0])
    if shape == "single":
        note = f'<p class="note soft" title="{html.escape(finding.action)}">{html.escape(" · ".join(facts))}</p>'
    else:
        note = f'<p class="note soft">{html.escape(" · ".join([name, *facts]))}</p>'
    return f'<li class="{shape}"><div class="row">{figures}</div>{note}</li>'


def _figure(paths: Sequence[str], person: str, picture: Callable[[str], str], mark: str) -> str:
    pictures = "".join(picture(path) for path in paths)
    return f'<figure class="{mark}"><div>{pictures}</div><figcaption>{html.escape(person)}</figcaption></figure>'


def _picture(path: str) -> str:
    """Returns an HTML image that holds its own bytes, its path as the tooltip; where there is none, a box says so."""
    title = html.escape(path)
    try:
        image: Pixels = fit_image(read_image(path), (THUMBNAIL, THUMBNAIL))
    except ImageError:
        return f'<span class="none" title="{title}">no image</span>'
    written, data = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    if not written:
        raise RuntimeError(f"OpenCV cannot write a JPEG of {path}")
    return f'<img alt="" title="{title}" src="data:image/jpeg;base64,{base64.b64encode(data.tobytes()).decode()}">'
