import re

from pipeline.predict.live_page import live_page


def test_the_page_asks_for_what_the_server_has_with_its_own_token() -> None:
    page = live_page()
    assert page.startswith("<!doctype html>")
    assert re.findall(r'"(frames|events)" \+ query', page) == ["frames", "events"]
    assert "query = location.search" in page


def test_the_page_needs_nothing_from_elsewhere_and_writes_names_as_text() -> None:
    page = live_page()
    assert not re.search(r"https?://|<script src|<link|innerHTML|insertAdjacentHTML|document\.write|eval\(", page)
