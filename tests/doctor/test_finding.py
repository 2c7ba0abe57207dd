import pytest

from pipeline.doctor.finding import problem_of


@pytest.mark.parametrize(
    ("message", "found", "expected"),
    [
        ("found 3 tasks, expected one", "3 tasks", "one"),
        ("no row can be used: a.json: image 1: found movie 7, expected the id of a video",
         "no row can be used: a.json: image 1: movie 7", "the id of a video"),
        ("labels: expected names of classes", "labels", "names of classes"),
        ("no such file", "no such file", "what the page describes"),
    ],
)  # fmt: skip
def test_a_refusal_says_once_what_was_expected(message: str, found: str, expected: str) -> None:
    problem = problem_of(message, "a.xml", "the file", "what the page describes")
    assert (problem.found, problem.expected) == (found, expected)
    assert str(problem).count("expected") == str(problem).count("found") == 1
