import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pipeline.base.errors import InputError
from pipeline.base.make_items import make_items, refuse_failures


def test_an_error_does_not_stop_the_others() -> None:
    made: list[str] = []

    def make(name: str) -> None:
        if name in "ca":
            raise InputError(f"{name} is bad")
        made.append(name)

    with ThreadPoolExecutor(2) as pool:
        failures = make_items(make, "dcba", executor=pool, what="make", unit="item")
    assert sorted(made) == ["b", "d"]
    assert {name: str(error) for name, error in failures.items()} == {"a": "a is bad", "c": "c is bad"}
    assert list(failures) == ["a", "c"]


def test_what_is_no_input_error_drops_what_has_not_begun() -> None:
    begun: list[str] = []

    def make(name: str) -> None:
        begun.append(name)
        if name == "a":
            raise KeyboardInterrupt
        time.sleep(0.01)

    with ThreadPoolExecutor(1) as pool, pytest.raises(KeyboardInterrupt):
        make_items(make, [*"ab"] * 500, executor=pool, what="make", unit="item")
    assert len(begun) < 1000


def test_failures_are_counted_and_the_first_by_name_is_told() -> None:
    refuse_failures({}, 3, "film")
    with pytest.raises(InputError) as error:
        refuse_failures({"b": "b.mp4: no disk", "a": "a.mp4: no memory"}, 3, "film")
    assert str(error.value) == "2 of 3 films failed, the others are kept in .work; a.mp4: no memory"
