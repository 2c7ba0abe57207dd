import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.base.errors import InputError
from pipeline.predict.drawing import colour_of
from pipeline.predict.film_plans import UserChoice
from pipeline.predict.load_model import load_model
from pipeline.predict.predict_film import PredictOptions
from pipeline.predict.predict_to_folder import Outputs, predict_to_folder
from pipeline.predict.predicted import Predicted
from pipeline.predict.render_film import check_free, only_film, render_film
from pipeline.video.decode import decode_video
from pipeline.video.probe import DecodeError, probe_video
from tests.predict.conftest import Trained
from tests.predict.results import Row, film_result
from tests.predict.test_sound import onset, packets, write_tone
from tests.video.films import number_of, with_display_matrix, write_film

BOX = (0.25, 0.4, 0.75, 0.9)
ROWS: list[Row] = [(0.0, 1, BOX, {1: 0.9}), (1.0, 1, BOX, {2: 0.5}), (2.0, 1, BOX, {1: 0.6, 2: 0.3})]


def frames(path: Path) -> list[tuple[float, np.ndarray]]:
    return list(decode_video(path, probe_video(path), decoder="pyav"))


def rendered(source: Path, out: Path, rows: list[Row] = ROWS) -> list[tuple[float, np.ndarray]]:
    count = render_film(film_result(source, rows), "a", out)
    made = frames(out)
    assert len(made) == count
    return made


def test_every_frame_is_there_at_its_time_with_the_box_drawn(tmp_path: Path) -> None:
    source = write_film(tmp_path / "f.mp4", width=192, height=128)
    made = rendered(source, tmp_path / "out.mp4")
    assert [time for time, _ in made] == [time for time, _ in frames(source)]
    assert [number_of(frame) for _, frame in made] == list(range(60))
    edge = made[10][1][round(0.65 * 128), round(0.25 * 192)].astype(int)
    assert np.abs(edge - colour_of(1)).max() < 120, "of one pixel, after 4:2:0"
    with av.open(str(tmp_path / "out.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.width, stream.height) == ("h264", 192, 128)
        assert stream.average_rate == 25
        assert "encoder" not in container.metadata | stream.metadata


def test_times_of_a_variable_rate_are_kept(tmp_path: Path) -> None:
    pts = [0, 1, 5, 6, 20, 21, 22, 60, 61, 99]
    source = write_film(tmp_path / "f.mp4", frames=10, pts=pts, time_base=Fraction(1, 30), rate=30)
    made = rendered(source, tmp_path / "out.mp4")
    assert [time for time, _ in made] == pytest.approx([each / 30 for each in pts], abs=1e-12)
    assert [number_of(frame) for _, frame in made] == list(range(10))


def test_colours_outside_the_drawing_stay_as_they_are(tmp_path: Path) -> None:
    source = write_film(tmp_path / "f.mp4", width=192, height=128, frames=5)
    made = rendered(source, tmp_path / "out.mp4", [])
    for (_, one), (_, two) in zip(frames(source), made, strict=True):
        difference = one.astype(float) - two
        assert np.abs(difference.mean(axis=(0, 1))).max() < 1.5
        assert np.abs(difference).mean() < 6


@pytest.mark.parametrize("size", [(97, 65), (96, 65), (97, 64)])
def test_odd_sizes_grow_by_one_pixel(tmp_path: Path, size) -> None:
    width, height = size
    source = write_film(tmp_path / "f.mkv", width=width, height=height, frames=6, pixel_format="yuv444p")
    made = rendered(source, tmp_path / "out.mp4")
    assert made[0][1].shape == (height + height % 2, width + width % 2, 3)
    assert [number_of(frame) for _, frame in made] == list(range(6))


@pytest.mark.parametrize("matrix", [(0, 1, -1, 0), (-1, 0, 0, -1), (0, -1, 1, 0)])
def test_a_turned_film_is_shown_in_the_same_way(tmp_path: Path, matrix) -> None:
    source = with_display_matrix(write_film(tmp_path / "f.mp4", frames=6), tmp_path / "turned.mp4", matrix)
    made = rendered(source, tmp_path / "out.mp4", [])
    expected = frames(source)
    assert made[3][1].shape == expected[3][1].shape
    assert np.abs(made[3][1].astype(float) - expected[3][1]).mean() < 8


def test_the_same_input_gives_the_same_bytes_and_sound_stays_in_step(tmp_path: Path) -> None:
    picture, tone = write_film(tmp_path / "p.mp4", frames=50), write_tone(tmp_path / "t.mp4", "aac")
    source = joined(tmp_path / "f.mp4", picture, tone)
    result = film_result(source, ROWS)
    for name in ("one.mp4", "two.mp4"):
        render_film(result, "a", tmp_path / name)
    assert (tmp_path / "one.mp4").read_bytes() == (tmp_path / "two.mp4").read_bytes()
    assert packets(tmp_path / "one.mp4") == packets(source)
    assert onset(tmp_path / "one.mp4") == pytest.approx(onset(source), abs=1e-6)


def joined(path: Path, picture: Path, tone: Path) -> Path:
    with av.open(str(picture)) as one, av.open(str(tone)) as two, av.open(str(path), "w") as target:
        streams = [target.add_stream_from_template(each.streams[0]) for each in (one, two)]
        for container, stream in zip((one, two), streams, strict=True):
            for packet in container.demux(container.streams[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    target.mux(packet)
    return path


def test_short_films_and_other_containers(tmp_path: Path) -> None:
    source = write_film(tmp_path / "f.mp4", frames=1)
    for name in ("out.mp4", "out.mkv", "out.mov"):
        assert [number_of(frame) for _, frame in rendered(source, tmp_path / name)] == [0]


def test_pixels_that_are_not_square_stay_so(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "f.mkv"), "w") as container:
        stream = container.add_stream("libx264", rate=25, options={"x264-params": "log-level=-1"})
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuv420p"
        stream.codec_context.sample_aspect_ratio = Fraction(4, 3)
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((64, 96, 3), np.uint8), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    rendered(tmp_path / "f.mkv", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as made:
        assert made.streams.video[0].sample_aspect_ratio == Fraction(4, 3)


@pytest.mark.parametrize("name", ["demo.mp4", "test.avi", "part_0.mp4"])
def test_real_films(real: Path, tmp_path: Path, name: str) -> None:
    source = real / "video" / name
    made = rendered(source, tmp_path / "out.mp4")
    expected = frames(source)
    assert [time for time, _ in made] == pytest.approx([time for time, _ in expected], abs=1e-6)
    assert made[0][1].shape == expected[0][1].shape
    with av.open(str(source)) as one, av.open(str(tmp_path / "out.mp4")) as two:
        assert len(one.streams.audio) == len(two.streams.audio)


def test_what_is_refused(tmp_path: Path) -> None:
    source = write_film(tmp_path / "f.mp4", frames=3)
    result = film_result(source, ROWS)
    out = tmp_path / "out.mp4"
    with pytest.raises(InputError, match=r"^--video: no film is called b: found a$"):
        render_film(result, "b", out)
    with pytest.raises(InputError, match=r"f\.mp4: is the film itself; choose another name$"):
        render_film(result, "a", source)
    other = write_film(tmp_path / "g.mp4", frames=4)
    with pytest.raises(InputError, match=r"g\.mp4: is another film than was predicted: sha256 \w+, expected \w+$"):
        render_film(result, "a", out, source=other)
    with pytest.raises(InputError, match=r"none\.mp4: no such file; --source says where the film a is now$"):
        render_film(result, "a", out, source=tmp_path / "none.mp4")
    with pytest.raises(InputError, match=r": is a folder of pictures, which is not rendered; expected a film in one"):
        render_film(result, "a", out, source=tmp_path)
    assert not out.exists()


def test_a_film_that_breaks_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_film(tmp_path / "f.mp4", frames=3)
    monkeypatch.setattr("pipeline.predict.render_film.decode_video", lambda *_, **__: iter([]))
    with pytest.raises(DecodeError, match=r"f\.mp4: found no frame that can be decoded, expected at least one$"):
        render_film(film_result(source, ROWS), "a", tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["f.mp4"]


def test_where_a_film_may_be_written(tmp_path: Path) -> None:
    there = write_film(tmp_path / "f.mp4", frames=1)
    with pytest.raises(InputError, match=r"out\.gif: ends with '\.gif', expected one of \.mp4, \.mov, \.mkv$"):
        check_free(tmp_path / "out.gif", force=True)
    with pytest.raises(InputError, match=r"f\.mp4: is there; --force replaces it$"):
        check_free(there, force=False)
    check_free(there, force=True)
    (tmp_path / "x.mp4").mkdir()
    with pytest.raises(InputError, match=r"x\.mp4: is a folder, expected the name of a film$"):
        check_free(tmp_path / "x.mp4", force=True)


def test_the_only_film(tmp_path: Path) -> None:
    result = film_result(write_film(tmp_path / "f.mp4", frames=1), [])
    assert only_film(result, tmp_path) == "a"
    none: Predicted = replace(result, videos=result.videos.slice(0, 0))
    with pytest.raises(InputError, match=r": holds 0 films; --video says which one$"):
        only_film(none, tmp_path)


def test_predict_draws_its_film(trained: Callable[[str], Trained], elsewhere: Path, capsys) -> None:
    project = trained("bank")
    model = load_model(project.folder, device="cpu")
    run = partial(predict_to_folder, model=model, chosen=UserChoice(), options=PredictOptions(every=5.0))
    run([str(project.film)], outputs=Outputs(out=Path("out"), render=Path("film.mp4")))
    assert capsys.readouterr().out.splitlines()[-1] == f"film.mp4: {len(frames(project.film))} frames"
    assert len(frames(Path("film.mp4"))) == len(frames(project.film))
    with pytest.raises(InputError, match=r"^film\.mp4: is there; --force replaces it$"):
        run([str(project.film)], outputs=Outputs(out=Path("other"), render=Path("film.mp4")))
    two = [str(project.film), "film.mp4"]
    message = r"^--render: found 2 films, expected one; `actionbank render` draws others afterwards$"
    with pytest.raises(InputError, match=message):
        run(two, outputs=Outputs(out=Path("other"), render=Path("new.mp4")))
    assert not Path("other").exists()


def peak_mib(source: Path, out: Path) -> float:
    """Peak memory of a process that renders a film."""
    code = (
        "import resource, sys; from pathlib import Path; from tests.predict.results import film_result;"
        "from pipeline.predict.render_film import render_film;"
        "render_film(film_result(Path(sys.argv[1]), []), 'a', Path(sys.argv[2]));"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)"
    )
    done = subprocess.run([sys.executable, "-c", code, source, out], capture_output=True, text=True, check=True)
    return float(done.stdout)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_film(tmp_path: Path) -> None:
    short = write_film(tmp_path / "s.mp4", frames=200, width=160, height=120)
    long = write_film(tmp_path / "l.mp4", frames=2000, width=160, height=120)
    assert peak_mib(long, tmp_path / "l.out.mp4") < peak_mib(short, tmp_path / "s.out.mp4") + 20
