import pytest

from pipeline.base.errors import InputError
from tests.evaluation.multisports.test_metric import FAR, A, B, run, score


def test_a_tube_that_breaks_is_found_at_low_thresholds_only() -> None:
    truth = run("a", range(0, 41), 1, A, 0)
    # The box is lost in frame 20: tubes of frames 0 to 19 and 21 to 40, each 19 / 40 of the time of the whole.
    found = run("a", range(0, 20), 1, A, 0.9) + run("a", range(21, 41), 1, A, 0.5)
    result = score(truth, found)
    assert result["frame_map"] == 40 / 41
    assert result["video_map"]["0.2"] == 1, "the better half claims the tube; the other, below it, costs nothing"
    assert result["video_map"]["0.5"] == 0
    # 0.1 to 0.4 of nine.
    assert result["video_map"]["0.10:0.90"] == pytest.approx(4 / 9)
    assert result["video_map"]["0.05:0.45"] == 1
    worse_first = score(truth, run("a", range(60, 80), 1, FAR, 0.95) + found)
    assert worse_first["video_map"]["0.2"] == 0.5


def test_overlap_in_space_and_time_are_multiplied_and_the_last_frame_is_not_counted() -> None:
    truth = run("a", range(0, 21), 1, (0.0, 0.0, 0.25, 0.5), 0)
    # Frames 0 to 16 of 0 to 20: 16 / 20. Half of the box: 0.5. In all 0.4.
    found = run("a", range(0, 17), 1, (0.0, 0.0, 0.125, 0.5), 0.5)
    by_threshold = score(truth, found)["per_class"][1]["video_ap"]
    assert by_threshold["0.2"] == 1
    assert by_threshold["0.5"] == 0
    assert by_threshold["0.05:0.45"] == pytest.approx(8 / 9)


def test_the_second_of_two_tubes_on_one_is_wrong() -> None:
    truth = run("a", range(20), 1, A, 0) + run("a", range(20), 1, B, 1)
    twice = run("a", range(20), 1, A, 0.9) + run("a", range(20), 1, (0.0, 0.0, 0.2, 0.25), 0.8)
    result = score(truth, twice + run("a", range(20), 1, B, 0.7))
    assert result["per_class"][1]["detected_tubes"] == 3
    assert result["video_map"]["0.2"] == pytest.approx((1 + 2 / 3) / 2)


def test_mmaction2s_slip_takes_all_scores_from_the_last_detection() -> None:
    truth = run("a", range(40, 60), 1, A, 0)
    found = run("a", range(0, 20), 1, FAR, 0.1) + run("a", range(40, 60), 1, A, 0.9)
    assert score(truth, found)["video_map"]["0.5"] == 1
    # All tubes are equal then, and the wrong one ends first.
    assert score(truth, found, protocol="mmaction2_1x")["video_map"]["0.5"] == 0.5
    assert score(truth, found, protocol="mmaction2_1x")["frame_map"] == score(truth, found)["frame_map"]
    # The last score alone decides which tubes are too bad to count.
    last = [("a", 99, 3, FAR, 0.004)]
    assert score(truth, found + last, protocol="mmaction2_1x")["per_class"][1]["detected_tubes"] == 0
    assert score(truth, found + last)["per_class"][1]["detected_tubes"] == 2


def test_tubes_of_at_least_so_many_frames_count() -> None:
    truth, found = run("a", range(5), 1, A, 0), run("a", range(5), 1, A, 0.5)
    assert score(truth, found)["video_map"]["0.5"] == 0
    assert score(truth, found, min_frames=5)["video_map"]["0.5"] == 1


def test_an_unknown_protocol_is_refused() -> None:
    with pytest.raises(InputError) as error:
        score([], [], protocol="pyslowfast")
    assert str(error.value) == "protocol of multisports is 'pyslowfast', expected official or mmaction2_1x"
