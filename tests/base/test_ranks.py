import pytest

from pipeline.base import ranks

SECOND_OF_FOUR = {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2"}


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    for name, value in SECOND_OF_FOUR.items():
        monkeypatch.setenv(name, value)


def numbers() -> tuple[int, ...]:
    return ranks.rank(), ranks.world_size(), ranks.local_rank(), ranks.local_world_size()


def test_what_torchrun_did_not_start_is_the_only_rank_whatever_the_environment_says() -> None:
    assert not ranks.is_rank()
    assert numbers() == (0, 1, 0, 1)
    assert ranks.is_main()
    assert ranks.share("abc") == "abc"


def test_torchrun_says_which_rank_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    assert ranks.is_rank()
    assert numbers() == (1, 4, 1, 2)
    assert not ranks.is_main()


@pytest.mark.parametrize("count", [0, 1, 3, 4, 9])
def test_shares_hold_every_item_once_and_are_about_equal(monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    shares: list[list[int]] = []
    for number in range(4):
        monkeypatch.setenv("RANK", str(number))
        shares.append(list(ranks.share(range(count))))
    assert sorted(item for each in shares for item in each) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1
