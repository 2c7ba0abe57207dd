"""Find the numbered pictures that are the frames of a film: `VIDEO/img_00001.jpg`.

Picture 0 is at time 0; if there is none, picture 1 is, and picture n is at (n - 1) / rate seconds.
Pictures do not contain their rate, so `pipeline/video/folder.py` reads it from the parameters or `frame_rates.csv`.
"""

import re
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from math import gcd

KINDS = {".jpg": "mjpeg", ".jpeg": "mjpeg", ".png": "png"}
"FFmpeg's name of a picture's codec, by suffix."
NUMBERED = re.compile(r"(.*?)([0-9]{1,18})")
# Usual prefixes of frames, to choose among several kinds of pictures (masks, depth); the folder's name is another one.
USUAL = ("", "img", "image", "frame")
PAIRS = {"x": "y", "y": "x", "u": "v", "v": "u"}
EXPECTED = "pictures with one name and numbers from 0 or 1 on, as img_00001.jpg"


@dataclass(frozen=True)
class Pictures:
    """The frames of one film in a folder of pictures."""

    names: dict[int, str]
    "Name by number, in ascending order."
    codec: str
    fault: str = ""
    "Why the pictures are not a film; `names` may then be empty."

    @property
    def first(self) -> int:
        """The number of the picture at time 0."""
        return 0 if 0 in self.names else 1

    @property
    def expected(self) -> int:
        """Number of pictures if none were missing."""
        return max(self.names, default=0) - self.first + 1

    def describe(self) -> str:
        """Describe the pictures' number and numbering."""
        numbers = list(self.names)
        step = gcd(*(b - a for a, b in pairwise(numbers)))
        steps = f" in steps of {step}" if step > 1 else ""
        return f"{len(numbers)} pictures with numbers {numbers[0]} to {numbers[-1]}{steps}"

    def wanted(self, share: float) -> str:
        """Describe in words how many pictures of which numbers are needed."""
        return f"at least {share:.0%} of the pictures {self.first} to {self.first + self.expected - 1}"


def find_pictures(folder: str, names: Iterable[str]) -> Pictures | None:
    """Find the pictures in a folder that are the frames of a film; None if no picture has a number.

    Pictures of optical flow (`flow_x_00001.jpg` and `flow_y_00001.jpg`: prefixes that differ only by x and y, or u and
    v, at their end) are ignored. If several prefixes remain, and exactly one is usual (`img`, `image`, `frame`, the
    name of the folder, or none), that one is taken.

    Args:
        folder: its name.
        names: names of its files.
    """
    groups: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for name in names:
        stem, dot, suffix = name.rpartition(".")
        kind = KINDS.get(f"{dot}{suffix.lower()}")
        match = NUMBERED.fullmatch(stem) if kind else None
        if kind and match:
            groups[match[1], kind].append((int(match[2]), name))
    if not groups:
        return None
    prefixes = {prefix for prefix, _ in groups}
    frames = {key: each for key, each in groups.items() if not _is_flow(key[0], prefixes)}
    if len(frames) > 1:
        usual = {key: each for key, each in frames.items() if _core(key[0]) in (*USUAL, _core(folder))}
        frames = usual if len(usual) == 1 else frames
    if len(frames) != 1:
        told = ", ".join(f"{len(each)} as {min(each)[1]}" for _, each in sorted((frames or groups).items()))
        return Pictures({}, "", f"pictures of {'optical flow alone' if not frames else 'several names'}: {told}")
    ((_, codec), found), *_ = frames.items()
    found.sort()
    for (one, name), (other, same) in pairwise(found):
        if one == other:
            return Pictures({}, codec, f"two pictures of number {one}: {name} and {same}")
    return Pictures(dict(found), codec)


def _core(prefix: str) -> str:
    return prefix.rstrip("_-. ").lower()


def _is_flow(prefix: str, prefixes: Iterable[str]) -> bool:
    core = _core(prefix)
    other = PAIRS.get(core[-1:])
    return other is not None and any(_core(each) == core[:-1] + other for each in prefixes)
