"""The sound of a film, as it is written beside other pictures: packets as they are, or encoded again."""

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
from av.audio.resampler import AudioResampler

AGAIN = "aac"
"Codec of sound that the new file cannot hold as it is."
LAYOUTS = ("mono", "stereo", "3.0", "4.0", "5.0", "5.1")
RATES = (8000, 11025, 12000, 16000, 22050, 24000, 32000, 44100, 48000)
"Of AAC that every player takes; other sound becomes stereo, or gets the highest rate."


class Sound:
    """One stream of sound of a source, on its way into another file."""

    def __init__(self, source: Any, stream: Any, target: Any, start_seconds: Fraction) -> None:
        """Add a stream like `stream` to `target`.

        Args:
            source: the container of `stream`; nothing else reads from it.
            stream: a stream of sound.
            target: the container that is written.
            start_seconds: the time of the source that becomes 0.
        """
        codec = stream.codec_context.codec.canonical_name
        self.is_copied = codec in target.supported_codecs and not codec.startswith("pcm_")
        self._target, self._base = target, Fraction(stream.time_base)
        self._shift = round(start_seconds / self._base)
        self._packets = _sound_packets(source, stream)
        self._held: Any = None
        self._resampler: AudioResampler | None = None
        if self.is_copied:
            self.stream = target.add_stream_from_template(stream)
        else:
            context = stream.codec_context
            layout = _layout(context.layout)
            rate = context.sample_rate if context.sample_rate in RATES else max(RATES)
            self.stream = target.add_stream(AGAIN, rate=rate, layout=layout)
            self.stream.codec_context.options = {"flags": "+bitexact"}
            self._resampler = AudioResampler(format=self.stream.format, layout=layout, rate=rate)

    def write_until(self, seconds: float) -> None:
        """Write all packets that begin up to a time of the new file."""
        while True:
            packet = self._held or next(self._packets, None)
            self._held = None
            if packet is None:
                return
            if packet.pts is not None and float((packet.pts - self._shift) * self._base) > seconds:
                self._held = packet
                return
            self._write(packet)

    def finish(self) -> None:
        """Write the rest."""
        self.write_until(float("inf"))
        if self._resampler is not None:
            for frame in self._resampler.resample(None):
                self._target.mux(self.stream.encode(frame))
            self._target.mux(self.stream.encode(None))

    def _write(self, packet: Any) -> None:
        if self._resampler is None:
            if packet.dts is not None:
                packet.pts, packet.dts = packet.pts - self._shift, packet.dts - self._shift
                packet.stream = self.stream
                self._target.mux_one(packet)
            return
        for frame in _sound_frames(packet):
            if frame.pts is not None:
                frame.pts -= self._shift
            for resampled in self._resampler.resample(frame):
                self._target.mux(self.stream.encode(resampled))


def _layout(layout: Any) -> str:
    """Return the places of the loudspeakers; where the file does not say, they follow from how many there are."""
    if layout.name in LAYOUTS:
        return str(layout.name)
    return "mono" if layout.nb_channels == 1 else "stereo"


def _sound_packets(source: Any, stream: Any) -> Iterator[Any]:
    """Yield the packets with bytes; a damaged rest counts as the end."""
    packets = source.demux(stream)
    while True:
        try:
            packet = next(packets)
        except (StopIteration, av.FFmpegError):
            return
        if packet.size:
            yield packet


def _sound_frames(packet: Any) -> list[Any]:
    try:
        return list(packet.decode())
    except av.FFmpegError:
        return []
