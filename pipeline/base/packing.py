"""The rule for which videos share a file, in the frame store and in the bank (`dataset.pack`)."""

import hashlib
from collections.abc import Iterable


def pack_of(video_id: str, packs: int) -> int:
    """Return the pack of a video, in [0, packs): sha256 of its id, as a number, modulo `packs`.

    The pack depends on the id alone, so adding or removing a video changes one pack only.
    """
    return int(hashlib.sha256(video_id.encode()).hexdigest(), 16) % packs


def pack_name(pack: int, packs: int) -> str:
    """Return the name of a pack: `pack-007-of-256` has the videos whose hash is 7 modulo 256."""
    return f"pack-{pack:0{len(str(packs - 1))}d}-of-{packs}"


def packed(video_ids: Iterable[str], packs: int) -> dict[int, list[str]]:
    """Group videos by pack: the non-empty packs in ascending order, each with its sorted video ids."""
    members: dict[int, list[str]] = {}
    for video_id in sorted(video_ids):
        members.setdefault(pack_of(video_id, packs), []).append(video_id)
    return dict(sorted(members.items()))
