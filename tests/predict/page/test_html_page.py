"""Pages, opened from the file system in a real browser."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from pipeline.base.errors import InputError
from pipeline.predict.film_plans import UserChoice
from pipeline.predict.load_model import load_model
from pipeline.predict.page.film_data import Extras
from pipeline.predict.page.html_page import json_in_html, render_page, write_film_page
from pipeline.predict.predict_film import PredictOptions
from pipeline.predict.predict_to_folder import Outputs, predict_to_folder
from tests.browser import Browser, browser  # noqa: F401
from tests.predict.conftest import Trained
from tests.predict.page.made_up import EVIL, NAME, made_up, made_up_attention, made_up_truth

SPANS = "[...document.querySelectorAll('.span')].map((each) => [each.title, each.className])"
TIME = "document.getElementById('film').currentTime"
DRAWN = "document.getElementById('boxes').dataset.drawn"
Open = Callable[..., Browser]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("a folder #1")


@pytest.fixture
def opened(folder: Path, browser: Browser) -> Open:  # noqa: F811
    """Opens a page with some extras, and waits until the film is there."""

    def page(**extras: object) -> Browser:
        write_film_page(folder / "page.html", made_up(folder), Extras(**extras))  # type: ignore[arg-type]
        browser.open((folder / "page.html").as_uri())
        browser.wait("document.getElementById('film').readyState >= 2")
        return browser

    return page


def spans(page: Browser) -> dict[str, int]:
    """How many spans of each class of a person are shown."""
    found: dict[str, int] = {}
    for title, _ in page.run(SPANS):
        name = title.rsplit(", ", 2)[0]
        found[name] = found.get(name, 0) + 1
    return found


def test_it_opens_from_a_file_and_runs_nothing_of_the_names(opened: Open, folder: Path) -> None:
    page = opened()
    assert page.faults == []
    assert page.run("document.title") == NAME
    assert page.run("document.querySelector('h1').textContent") == NAME
    assert page.run("[...document.querySelectorAll('#classes label span:nth-child(2)')].map((e) => e.textContent)") == [
        "stand", EVIL, "wave",
    ]  # fmt: skip
    assert page.run("document.querySelectorAll('img, b, aside i').length") == 0
    base = folder.as_uri()
    assert page.requests
    assert all(url.startswith(base) for url in page.requests), page.requests
    assert page.run("document.getElementById('film').videoWidth") == 64


def test_boxes_are_drawn_and_move_between_predictions(opened: Open) -> None:
    page = opened()

    def columns(time: float) -> list[int]:
        """Columns of the film's 64 in which the canvas has ink, on its middle line."""
        page.run(f"go({time})")
        page.wait(f"Math.abs({TIME} - {time}) < 0.01 && !document.getElementById('film').seeking")
        script = (
            "(() => { draw(); const at = place(), ratio = devicePixelRatio, found = new Set();"
            "const y = Math.round((at.y + 0.6 * at.h) * ratio), line = ink.getImageData(0, y, canvas.width, 1).data;"
            "for (let x = 0; x < canvas.width; x += 1) if (line[4 * x + 3])"
            " found.add(Math.floor(64 * (x / ratio - at.x) / at.w)); return [...found]; })()"
        )
        found: list[int] = page.run(script)
        return found

    assert columns(0.5) == [6, 19, 38, 57]  # 0.1, 0.3, 0.6 and 0.9 of 64
    assert page.run(DRAWN) == "2"
    assert columns(1.0) == [8, 20, 38, 57] or columns(1.0) == [7, 8, 20, 38, 57]  # half way: 0.125 and 0.325
    assert columns(3.5) == [15, 16, 28] or columns(3.5) == [16, 28]
    assert page.run(DRAWN) == "1"


def test_the_threshold_and_the_filter_change_what_is_shown(opened: Open) -> None:
    page = opened()
    alone = {"stand, person 3": 1, "wave, person 3": 1, f"{EVIL}, person 7": 1}
    assert spans(page) == alone
    page.run("$('threshold').value = 0.65; $('threshold').dispatchEvent(new Event('input'))")
    assert spans(page) == {"stand, person 3": 1, f"{EVIL}, person 7": 1}
    page.run("$('threshold').value = 0.15; $('threshold').dispatchEvent(new Event('input'))")
    assert spans(page) == {**alone, "wave, person 7": 1}
    page.click("#own")
    assert spans(page) == alone
    page.click("#classes label[data-action='0'] input")
    assert spans(page) == {"wave, person 3": 1, f"{EVIL}, person 7": 1}
    page.click("#none")
    assert spans(page) == {}
    page.click("#all")
    assert spans(page) == alone
    page.run("$('search').value = 'WAV'; $('search').dispatchEvent(new Event('input'))")
    page.click("#none")  # of those that the search has left
    assert spans(page) == {"stand, person 3": 1, f"{EVIL}, person 7": 1}
    assert page.faults == []


def test_a_click_on_a_span_goes_there(opened: Open) -> None:
    page = opened()
    page.click(".span[title^='wave']")
    page.wait(f"Math.abs({TIME} - 2.5) < 0.01")
    assert page.run("document.querySelector('.track.chosen > button').textContent") == "person 3"


def test_a_click_on_a_box_chooses_the_person(opened: Open) -> None:
    page = opened()
    page.run("go(0.5)")
    page.wait(f"Math.abs({TIME} - 0.5) < 0.01 && !video.seeking")
    x, y = page.run(
        "(() => { const c = canvas.getBoundingClientRect(), p = place();"
        " return [c.x + p.x + 0.75 * p.w, c.y + p.y + 0.5 * p.h]; })()"
    )
    page.click_at(x, y)
    assert page.run("document.querySelector('.track.chosen > button').textContent") == "person 7"


def test_the_keyboard(opened: Open) -> None:
    page = opened()
    at = [0.5, 1.5, 2.5]
    for time in at:
        page.press("ArrowRight")
        page.wait(f"Math.abs({TIME} - {time}) < 0.01")
    page.press("ArrowLeft")
    page.wait(f"Math.abs({TIME} - 1.5) < 0.01")
    page.press("ArrowRight", shift=True)
    page.wait(f"Math.abs({TIME} - 3.5) < 0.01")
    page.press("Home")
    page.wait(f"{TIME} < 0.01")
    page.press("n")  # standing and the other's action both begin here
    page.wait(f"Math.abs({TIME} - 0.5) < 0.01")
    page.press("n")
    page.wait(f"Math.abs({TIME} - 2.5) < 0.01")
    page.press("ArrowUp")
    assert page.run("$('shown').textContent") == "0.55"
    page.press("m")
    assert page.run("$('shown').textContent") == "the model's"
    page.press("Home")
    page.press(" ")
    page.wait(f"!video.paused && {TIME} > 0.1")
    page.press(" ")
    page.wait("video.paused")
    page.run("$('search').focus()")
    before = page.run(TIME)
    page.press("n")  # typed, not obeyed
    assert page.run("$('search').value") == "n"
    assert page.run(TIME) == before


def test_ground_truth_is_shown_against_detections(opened: Open) -> None:
    page = opened(truth=made_up_truth())
    found = dict(page.run(SPANS))
    assert found == {
        "stand, person 3, 0:00.5 to 0:01.5, right": "span right",
        "stand, person 3, 0:02.5 to 0:02.5, found": "span found",
        "stand, person 3, 0:03.5 to 0:03.5, wrong": "span wrong",
        "wave, person 3, 0:02.5 to 0:02.5, found": "span found",
        "wave, person 3, 0:03.5 to 0:03.5, right": "span right",
        f"{EVIL}, person 7, 0:00.5 to 0:01.5, wrong": "span wrong",
        "wave, not found, 0:03.5 to 0:03.5, missed": "span missed",
    }
    page.press("t")
    assert {kind for _, kind in page.run(SPANS)} == {"span found"}


def test_what_was_looked_at_is_shown_with_pictures(opened: Open) -> None:
    page = opened(attention=made_up_attention())
    page.click(".span[title^='wave']")
    page.wait("document.querySelectorAll('#why tr').length === 3")
    rows = page.run(
        "[...document.querySelectorAll('#why tr')]"
        ".map((row) => [...row.cells].slice(1).map((cell) => cell.textContent.trim()))"
    )
    assert rows == [["0:01.5", "person 7", "70.0 %"], ["", "an empty slot", "30.0 %"], ["0:02.5", "object", "100.0 %"]]
    assert page.run("[...document.querySelectorAll('#why h3')].map((each) => each.textContent)") == [
        "window, layer 1", "objects of the clip, layer 1",
    ]  # fmt: skip
    assert page.run("[...document.querySelectorAll('#why h3 + p')].map((each) => each.textContent)") == [
        "2 largest weights, 100 % of all", "1 largest weight, 100 % of all",
    ]  # fmt: skip
    page.wait("document.querySelectorAll('#why canvas[data-drawn]').length === 2")
    page.click("#why tr")
    page.wait(f"Math.abs({TIME} - 1.5) < 0.01")
    assert page.faults == []


def test_a_film_that_is_gone_can_be_chosen(folder: Path, browser: Browser) -> None:  # noqa: F811
    elsewhere = folder / "elsewhere"
    elsewhere.mkdir()
    write_film_page(folder / "page.html", made_up(folder))
    (folder / "page.html").rename(elsewhere / "page.html")
    browser.open((elsewhere / "page.html").as_uri())
    browser.wait("getComputedStyle($('lost')).display === 'block'")
    assert "The film is not at a%20%3Cb%3E" in browser.run("$('where').textContent")


def test_what_predict_writes_opens_with_its_film_and_its_reasons(
    trained: Callable[[str], Trained],
    elsewhere: Path,
    browser: Browser,  # noqa: F811
) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu", workers=1)
    outputs = Outputs(out=Path("deep/predicted"), page=True)
    predict_to_folder([str(project.film)], model, UserChoice(), PredictOptions(), outputs)
    page = elsewhere / "deep/predicted/page.html"
    assert (page.parent / "attention.parquet").is_file()
    browser.open(page.as_uri())
    browser.wait("document.getElementById('film').readyState >= 2")
    browser.run("go(5.5)")
    browser.wait(f"Math.abs({TIME} - 5.5) < 0.01 && !video.seeking")
    assert int(browser.run(DRAWN)) >= 1
    browser.run("choose(boxesAt(5.5)[0].person.k)")
    browser.wait("document.querySelectorAll('#why canvas[data-drawn]').length >= 8")
    assert browser.run("[...document.querySelectorAll('#why h3')].map((each) => each.textContent)") == [
        "window, layer 1", "window, layer 2",
    ]  # fmt: skip
    assert browser.faults == []
    again = replace(outputs, force=True, page=False)
    predict_to_folder([str(project.film)], model, UserChoice(), PredictOptions(), again)
    assert not page.exists(), "the page of an earlier result would not be of this one"


def test_json_in_html_ends_no_element() -> None:
    value = {"name": f"{EVIL}<!--\u2028&amp;"}
    text = json_in_html(value)
    assert not re.search(r"[<>&\u2028]", text)
    assert json.loads(text) == value


def test_a_text_that_looks_like_a_place_stays_a_text() -> None:
    page = render_page("view", {}, {"title": "{{data}}<b>", "model": ""})
    assert "<title>{{data}}&lt;b&gt;</title>" in page


def test_another_file_is_not_replaced(folder: Path) -> None:
    other = folder / "other.html"
    other.write_text("<p>mine</p>")
    message = r"other\.html: is there and not what this command writes, so it is not replaced; choose another name$"
    with pytest.raises(InputError, match=message):
        write_film_page(other, made_up(folder))
    assert other.read_text() == "<p>mine</p>"


def test_the_same_predictions_give_the_same_page(folder: Path) -> None:
    made = []
    for _ in range(2):
        write_film_page(folder / "page.html", made_up(folder), Extras(truth=made_up_truth()))
        made.append((folder / "page.html").read_bytes())
    assert made[0] == made[1]
