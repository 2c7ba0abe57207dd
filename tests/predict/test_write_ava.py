from pipeline.annotations.frame_times import Clock
from pipeline.predict.marks import Mark, MarkedFilm
from pipeline.predict.write_ava import ava_text, ava_videos_text

BOX = (0.1, 0.2, 1 / 3, 0.4)
MARKS = [
    Mark(902.0, 2.0, BOX, 3, (1, 4)), Mark(902.0, 2.0, BOX, 5, ()), Mark(903.0, 3.0, BOX, 3, ()),
    Mark(903.0, 3.0, BOX, 5, ()), Mark(903.5, 3.5, BOX, 3, (2,)),
]  # fmt: skip
FILM = MarkedFilm("a", "a.mp4", 100, (100, 200), Clock(25.0), MARKS)


def test_rows_have_all_digits_and_a_second_without_actions_has_one_row() -> None:
    assert ava_text([FILM]) == (
        "a,0902,0.1,0.2,0.3333333333333333,0.4,1,3\n"
        "a,0902,0.1,0.2,0.3333333333333333,0.4,4,3\n"
        "a,0903\n"
        "a,903.5,0.1,0.2,0.3333333333333333,0.4,2,3\n"
    )


def test_where_each_film_begins() -> None:
    assert ava_videos_text([FILM]) == "video_id,split,first_timestamp,offset_seconds\na,,900,0\n"
