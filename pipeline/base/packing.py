"""Which videos share a file: the one rule for the frame store and the bank (`dataset.pack`)."""

import hashlib
from collections.abc import Iterable


def pack_of(video_id: str, packs: int) -> int:
    """The pack of a video, in [0, packs): sha256 of its id, as a number, modulo `packs`.

    It depends on the id alone, so that adding or removing a video touches one pack.
    """
    return int(hashlib.sha256(video_id.encode()).hexdigest(), 16) % packs


def pack_name(pack: int, packs: int) -> str:
    """Name of a pack: `pack-007-of-256` has the videos whose hash is 7 modulo 256."""
    return f"pack-{pack:0{len(str(packs - 1))}d}-of-{packs}"


def packed(video_ids: Iterable[str], packs: int) -> dict[int, list[str]]:
    """The videos of each pack that has some, sorted; packs in ascending order."""
    members: dict[int, list[str]] = {}
    for video_id in sorted(video_ids):
        members.setdefault(pack_of(video_id, packs), []).append(video_id)
    return dict(sorted(members.items()))
