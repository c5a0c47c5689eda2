from __future__ import annotations

import threading

from runtime.camera.queues import StageQueue


def test_items_come_out_in_order() -> None:
    queue: StageQueue[int] = StageQueue(3)
    assert all(queue.put(number) for number in range(3))
    queue.close()
    assert list(queue) == [0, 1, 2]


def test_a_full_queue_waits_until_there_is_room() -> None:
    queue: StageQueue[int] = StageQueue(1)

    def fill() -> None:
        for number in range(50):
            queue.put(number)
        queue.close()

    thread = threading.Thread(target=fill)
    thread.start()
    assert list(queue) == list(range(50))
    thread.join()
    assert queue.dropped == 0


def test_the_oldest_gives_way_where_that_is_asked_for() -> None:
    queue: StageQueue[int] = StageQueue(2, drop_oldest=True)
    for number in range(5):
        queue.put(number)
    queue.close()
    assert (list(queue), queue.dropped) == ([3, 4], 3)


def test_a_closed_queue_takes_nothing_but_gives_what_it_has() -> None:
    queue: StageQueue[int] = StageQueue(2)
    queue.put(1)
    queue.close()
    assert not queue.put(2)
    assert list(queue) == [1]


def test_a_cancelled_queue_forgets_and_lets_a_waiting_stage_go() -> None:
    queue: StageQueue[int] = StageQueue(1)
    queue.put(1)
    taken: list[bool] = []
    thread = threading.Thread(target=lambda: taken.append(queue.put(2)))
    thread.start()
    queue.cancel()
    thread.join(10)
    assert (taken, list(queue)) == ([False], [])
