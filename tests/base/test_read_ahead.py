from pipeline.base.read_ahead import read_ahead


def test_no_more_is_read_ahead_than_asked_for() -> None:
    started: list[int] = []

    def read(item: int) -> int:
        started.append(item)
        return item

    taken = read_ahead(read, range(20), ahead=2)
    assert [next(taken), next(taken)] == [0, 1]
    assert max(started) <= 4
