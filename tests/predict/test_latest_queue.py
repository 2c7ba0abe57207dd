import threading
import time

import pytest

from pipeline.predict.latest_queue import LatestQueue


def test_items_come_in_order_until_the_end() -> None:
    queue: LatestQueue[int] = LatestQueue(5)
    for item in range(3):
        queue.put(item)
    queue.end()
    assert [queue.get(1), queue.get(1), queue.get(1)] == [0, 1, 2]
    with pytest.raises(EOFError):
        queue.get(1)
    assert (queue.put_count, queue.dropped) == (3, 0)


def test_the_oldest_are_dropped_and_counted() -> None:
    queue: LatestQueue[int] = LatestQueue(2)
    for item in range(5):
        queue.put(item)
    assert [queue.get(0), queue.get(0), queue.get(0)] == [3, 4, None]
    assert (queue.put_count, queue.dropped) == (5, 3)


def test_an_error_comes_after_the_items() -> None:
    queue: LatestQueue[int] = LatestQueue(2)
    queue.put(1)
    queue.end(ValueError("lost"))
    assert queue.get(1) == 1
    with pytest.raises(ValueError, match="lost"):
        queue.get(1)


def test_a_reader_waits_no_longer_than_it_says() -> None:
    queue: LatestQueue[int] = LatestQueue(2)
    began = time.monotonic()
    assert queue.get(0.05) is None
    assert 0.04 < time.monotonic() - began < 2
    threading.Timer(0.05, queue.put, [7]).start()
    assert queue.get(10) == 7
