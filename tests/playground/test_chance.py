from pipeline.playground.chance import deal, stream


def test_streams_and_decks() -> None:
    assert stream(1, "a").integers(10**9) == stream(1, "a").integers(10**9) != stream(1, "b").integers(10**9)
    dealt = [deal("xyz", position, 4, "deck") for position in range(30)]
    assert all(sorted(dealt[each : each + 3]) == ["x", "y", "z"] for each in range(0, 30, 3))
    assert len({tuple(dealt[each : each + 3]) for each in range(0, 30, 3)}) > 1
