from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from pipeline.predict.sound import Sound


def write_tone(path: Path, codec: str, layout: str = "stereo", rate: int = 44100) -> Path:
    """A second of silence and then a second of a tone."""
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream(codec, rate=rate, layout=layout)
        time = np.arange(2 * rate) / rate
        wave = np.where(time < 1, 0, 0.5 * np.sin(2 * np.pi * 440 * time)).astype(np.float32)
        resampler = av.AudioResampler(stream.format, layout, rate)
        for start in range(0, len(wave), 1024):
            frame = av.AudioFrame.from_ndarray(np.tile(wave[None, start : start + 1024], (2, 1)), "fltp", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = rate, start, Fraction(1, rate)
            for each in resampler.resample(frame):
                container.mux(stream.encode(each))
        container.mux(stream.encode(None))
    return path


def copy(source: Path, target: Path, kind: str, start: Fraction = Fraction(0)) -> bool:
    with av.open(str(source)) as opened, av.open(str(target), "w", format=kind) as out:
        sound = Sound(opened, opened.streams.audio[0], out, start)
        for second in range(3):
            sound.write_until(second)
        sound.finish()
        return sound.is_copied


def packets(path: Path) -> list[bytes]:
    with av.open(str(path)) as container:
        return [bytes(packet) for packet in container.demux(audio=0) if packet.size]


def onset(path: Path) -> float:
    """When the tone begins, in seconds."""
    with av.open(str(path)) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray().astype(np.float64)).reshape(-1) > 0.1)
            if len(loud):
                return float(frame.time)
    return -1.0


@pytest.mark.parametrize(("name", "codec"), [("f.mp4", "aac"), ("f.mkv", "libopus"), ("f.mp3", "libmp3lame")])
def test_packets_are_copied_where_the_file_can_hold_them(tmp_path: Path, name: str, codec: str) -> None:
    source = write_tone(tmp_path / name, codec, rate=48000)
    assert copy(source, tmp_path / "out.mp4", "mp4")
    assert packets(tmp_path / "out.mp4") == packets(source)
    assert onset(tmp_path / "out.mp4") == pytest.approx(1.0, abs=0.06)


@pytest.mark.parametrize(
    ("name", "codec", "layout"),
    [("f.wav", "pcm_s16le", "mono"), ("f.avi", "adpcm_ms", "stereo"), ("f.wav", "pcm_s16le", "5.1")],
)
def test_other_sound_is_encoded_again_and_keeps_its_time(tmp_path: Path, name: str, codec: str, layout: str) -> None:
    source = write_tone(tmp_path / name, codec, layout)
    assert not copy(source, tmp_path / "out.mp4", "mp4")
    assert onset(tmp_path / "out.mp4") == pytest.approx(1.0, abs=0.06)
    with av.open(str(tmp_path / "out.mp4")) as container:
        assert container.streams.audio[0].layout.name == layout
        assert container.streams.audio[0].codec_context.name == "aac"


@pytest.mark.parametrize(("name", "codec"), [("f.mp4", "aac"), ("f.wav", "pcm_s16le")])
def test_time_begins_where_the_pictures_begin(tmp_path: Path, name: str, codec: str) -> None:
    source = write_tone(tmp_path / name, codec)
    copy(source, tmp_path / "out.mp4", "mp4", Fraction(1, 2))
    assert onset(tmp_path / "out.mp4") == pytest.approx(0.5, abs=0.06)


def test_a_damaged_rest_is_left_out(tmp_path: Path) -> None:
    source = write_tone(tmp_path / "f.mkv", "aac")
    data = source.read_bytes()
    source.write_bytes(data[: len(data) // 2])
    assert copy(source, tmp_path / "out.mp4", "mp4")
    assert 10 < len(packets(tmp_path / "out.mp4")) < 80
