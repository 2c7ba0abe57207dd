import hashlib

from hypothesis import given
from hypothesis import strategies as st

from pipeline.base.packing import pack_name, pack_of, packed

IDS = st.text(st.characters(codec="utf-8"))


def test_the_rule_is_pinned() -> None:
    assert [pack_of("5KQ66BBWC4", packs) for packs in (1, 2, 256)] == [
        0,
        int(hashlib.sha256(b"5KQ66BBWC4").hexdigest()[-1], 16) % 2,
        int(hashlib.sha256(b"5KQ66BBWC4").hexdigest()[-2:], 16),
    ]
    assert [pack_of(name, 1000) for name in ("a", "b", "é")] == [499, 965, 588]


def test_names_sort_as_numbers() -> None:
    assert [pack_name(7, 256), pack_name(9, 10), pack_name(0, 1)] == ["pack-007-of-256", "pack-9-of-10", "pack-0-of-1"]


@given(ids=st.sets(IDS, max_size=30), packs=st.integers(1, 40))
def test_every_video_is_in_one_pack(ids: set[str], packs: int) -> None:
    members = packed(ids, packs)
    assert sorted(name for names in members.values() for name in names) == sorted(ids)
    assert list(members) == sorted(members)
    assert all(0 <= pack < packs for pack in members)
    assert all(names == sorted(names) and names for names in members.values())


@given(ids=st.sets(IDS, min_size=1, max_size=30), packs=st.integers(1, 9), more=IDS)
def test_one_more_video_is_one_more_member_of_one_pack(ids: set[str], packs: int, more: str) -> None:
    before, after = packed(ids, packs), packed({*ids, more}, packs)
    changed = {pack for pack in after if before.get(pack) != after[pack]}
    assert changed == (set() if more in ids else {pack_of(more, packs)})
