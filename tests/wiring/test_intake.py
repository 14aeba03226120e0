"""The passage between the threads: bounded in bytes, in order, and never a batch lost."""

import asyncio
import threading

import pytest

from agent.core.model import FileGeneration, LineBatch
from agent.intake import Intake

FILE = FileGeneration(1, "app", "/a.log", 1, 2, 0)


def batch(number, size=1_000):
    return LineBatch(FILE, number, b"x" * size, 0)


def offsets(batches):
    return [one.offset for one in batches]


def test_what_is_put_comes_out_in_order_and_once():
    async def scenario():
        intake = Intake(10**6)
        for number in range(5):
            await intake.put(batch(number))
        assert not intake.empty
        first = intake.take(0)
        await intake.put(batch(5))
        return offsets(first), offsets(intake.take(0)), offsets(intake.take(0)), intake.empty

    assert asyncio.run(scenario()) == ([0, 1, 2, 3, 4], [5], [], True)


@pytest.mark.parametrize("size", [0, 100, 5_000])
def test_a_full_queue_makes_the_producer_wait(size):
    """Empty batches have a weight too. At the most one batch goes beyond the bound."""

    async def scenario():
        intake = Intake(10_000)
        done = []

        async def produce():
            for number in range(100):
                await intake.put(batch(number, size))
                done.append(number)

        producer = asyncio.create_task(produce())
        for _ in range(300):
            await asyncio.sleep(0)
        waiting = len(done)
        assert waiting < 100
        assert not await intake.room(0)
        assert intake._bytes <= 10_000 + size + 512
        taken = []
        while not producer.done():
            taken += intake.take(0)
            await asyncio.sleep(0)
        return waiting, offsets(taken + intake.take(0))

    waiting, taken = asyncio.run(scenario())
    assert waiting >= 1
    assert taken == list(range(100))


def test_a_batch_larger_than_the_bound_passes():
    async def scenario():
        intake = Intake(100)
        await intake.put(batch(0, 10_000))
        return offsets(intake.take(0))

    assert asyncio.run(scenario()) == [0]


def test_room_is_waited_for_and_comes_with_the_next_take():
    async def scenario():
        intake = Intake(4_000)
        assert await intake.room(0)
        await intake.put(batch(0, 2_000))
        assert not await intake.room(0.01), "half of the bound is kept for what is read at once"
        waiting = asyncio.create_task(intake.room(30))
        await asyncio.sleep(0)
        await asyncio.to_thread(intake.take, 0)
        assert await waiting

    asyncio.run(scenario())


def test_a_last_batch_is_taken_without_room():
    async def scenario():
        intake = Intake(1_000)
        await intake.put(batch(0))
        last = batch(1)
        last.final = True
        await intake.put(last)
        return offsets(intake.take(0))

    assert asyncio.run(scenario()) == [0, 1]


def test_producer_and_consumer_on_two_threads_lose_nothing():
    """A tiny bound, so that both of them wait all the time."""
    taken = []

    def consume(intake):
        while not intake.drained:
            taken.extend(intake.take(5))

    async def scenario():
        intake = Intake(2_000)
        consumer = threading.Thread(target=consume, args=(intake,))
        consumer.start()

        async def produce(first):
            for number in range(first, 3_000, 3):
                await intake.put(batch(number, 300))

        await asyncio.gather(*(produce(first) for first in range(3)))
        intake.close()
        await asyncio.to_thread(consumer.join, 20)
        assert not consumer.is_alive()

    asyncio.run(scenario())
    assert sorted(offsets(taken)) == list(range(3_000))
    for first in range(3):
        own = [number for number in offsets(taken) if number % 3 == first]
        assert own == sorted(own)


def test_close_ends_a_waiting_consumer_and_keeps_what_is_there():
    async def scenario():
        intake = Intake(10**6)
        waiting = asyncio.create_task(asyncio.to_thread(intake.take, 30))
        await asyncio.sleep(0)
        assert not intake.drained
        intake.close()
        assert await waiting == []
        assert intake.drained
        again = Intake(10**6)
        await again.put(batch(7))
        again.close()
        assert not again.drained
        assert offsets(again.take(30)) == [7]
        assert again.take(30) == []
        return again.drained

    assert asyncio.run(scenario())


def test_take_waits_for_the_first_batch():
    async def scenario():
        intake = Intake(10**6)
        waiting = asyncio.create_task(asyncio.to_thread(intake.take, 30))
        await asyncio.sleep(0)
        await intake.put(batch(1))
        return offsets(await waiting)

    assert asyncio.run(scenario()) == [1]
