from xml.etree import ElementTree

from pipeline.base.problems import Problem
from pipeline.doctor.finding import Examination, Finding
from pipeline.doctor.pages import as_html, as_json, as_text

HOSTILE = "<script>alert('&\"')</script>"
EXAMINED = Examination(
    "mine",
    {"films": f"2 files {HOSTILE}"},
    [
        Finding(
            "film-empty",
            "error",
            f"films {HOSTILE}",
            1200,
            (Problem(HOSTILE, "a", "0 bytes", "<video>"),),
            "Fetch & go",
        ),
        Finding("film-twice", "warning", "films", 1, (Problem("f", "f", "x", "y"),), "Take one out"),
    ],
    ["frames"],
)


def test_the_page_is_well_formed_and_shows_everything_as_text() -> None:
    page = as_html(EXAMINED)
    assert "<script" not in page
    assert "http" not in page
    root = ElementTree.fromstring(page.removeprefix("<!DOCTYPE html>\n"))
    text = " ".join("".join(root.itertext()).split())
    for shown in (HOSTILE, "film-empty", "(1,200)", "0 bytes", "<video>", "Fetch & go", "Take one out", "frames"):
        assert shown in text
    assert [each.get("class") for each in root.iter("section")] == ["error", "warning"]
    assert not [each for each in root.iter() if each.get("src") or each.get("href")]


def test_the_report_on_a_terminal() -> None:
    assert as_text(EXAMINED).splitlines() == [
        "data set mine",
        f"  films  2 files {HOSTILE}",
        "",
        f"ERROR film-empty (1,200): films {HOSTILE}",
        f"  - {HOSTILE}: a: found 0 bytes, expected <video>",
        "  > Fetch & go",
        "",
        "WARNING film-twice (1): films",
        "  - f: found x, expected y",
        "  > Take one out",
        "",
        "not checked: frames",
        "mine: 1 error, 1 warning, 0 notes",
        "next: mend film-empty (1,200), then run actionbank doctor again",
    ]
    values = as_json(EXAMINED)
    assert values["counts"] == {"error": 1, "warning": 1, "note": 0}
    assert values["findings"][1]["examples"] == [{"file": "f", "item": "f", "found": "x", "expected": "y"}]
