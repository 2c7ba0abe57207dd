"""Write self-contained pages: markup, style, script and data in one file, which works from the file system.

Text from outside gets into a page only escaped, and data only as JSON that cannot end its element. A content security
policy names the digests of the page's own script and style; nothing else runs, and nothing is fetched but the film.
"""

import base64
import hashlib
import json
from collections.abc import Mapping
from html import escape
from pathlib import Path
from typing import Any

from pipeline.base.files import check_own_file, write_text
from pipeline.predict.page.film_data import Extras, page_data
from pipeline.predict.predicted import Predicted

FILES = Path(__file__).parent
PAGE = "page.html"
LIVE_SECONDS = 60
"What the time lines of a camera show."
ELEMENT = '<script type="application/json" id="{id}">{json}</script>'
MARK = b'<script type="application/json" id="data">'


def render_page(
    name: str, data: Any, texts: Mapping[str, str], *, sources: str = "", more: Mapping[str, Any] | None = None
) -> str:
    """Return a page made from `NAME.html`, `NAME.css` and `NAME.js` of this folder.

    Args:
        name: the page.
        data: becomes JSON in the element `data`.
        texts: for the places `{{KEY}}` of the markup; escaped.
        sources: more directives for the content security policy.
        more: data by the id of its element, for the place `{{more}}`: the script need not read it at the start.
    """
    style, script = ((FILES / f"{name}.{kind}").read_text() for kind in ("css", "js"))
    policy = f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; {sources}".strip("; ")
    parts = {key: escape(value) for key, value in texts.items()}
    parts |= {"policy": escape(policy), "style": style, "script": script, "data": json_in_html(data)}
    elements = (ELEMENT.format(id=escape(key), json=json_in_html(value)) for key, value in (more or {}).items())
    parts["more"] = "\n".join(elements)
    # One pass over the markup, so that a text with {{data}} in it stays a text.
    head, *rest = (FILES / f"{name}.html").read_text().split("{{")
    return head + "".join(parts[key] + tail for key, _, tail in (each.partition("}}") for each in rest))


def json_in_html(data: Any) -> str:
    """Return JSON in ASCII that holds no character with a meaning in HTML."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def write_film_page(page: Path, predicted: Predicted, extras: Extras | None = None, *, at: Path | None = None) -> None:
    """Write the page that shows films with what was found in them.

    Args:
        page: the file; an earlier page is replaced, and no other file.
        predicted: the predictions.
        extras: ground truth and attention, where there are some.
        at: where the page will be in the end, if elsewhere; it finds the films from there.

    Raises:
        InputError: another file is there; or see `page_data`.
    """
    check_own_file(page, lambda found: MARK in found)
    data = page_data(predicted, at or page, extras or Extras())
    reasons = {
        f"why-{number}-{place}": part
        for number, film in enumerate(data["films"])
        for place, part in enumerate(film["why"] or ())
    }
    for film in data["films"]:
        film["why"] = film["why"] is not None
    films = [film["id"] for film in data["films"]]
    title = films[0] if len(films) == 1 else f"{films[0]} and {len(films) - 1} more"
    texts = {"title": title, "model": str(predicted.model.get("head", ""))}
    write_text(page, render_page("view", data, texts, sources="media-src 'self' file: blob:", more=reasons))


def render_live_page(title: str = "actionbank live") -> str:
    """Return the page that shows a camera: it asks for `frames` and `events` beside it, with its own query (a token).

    `frames` are pictures that replace each other (multipart JPEG). `events` are server-sent: `second` with a line of
    `json_line`, and at last `end` with how it ended.
    """
    sources = "img-src 'self' data:; connect-src 'self'"
    return render_page("live", {"seconds": LIVE_SECONDS}, {"title": title}, sources=sources)
