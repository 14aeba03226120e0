"""Places that are shared out: in turn, left by who does not go on, and never lost."""

from __future__ import annotations

import asyncio
import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.answers.turns import Turn, Turns

NEVER = 1e9


def asynchronous(test):
    """Run a coroutine test in a loop of its own."""

    @functools.wraps(test)
    def run(*arguments, **named):
        asyncio.run(test(*arguments, **named))

    return run


@asynchronous
async def test_who_goes_on_at_once_keeps_the_place():
    turns = Turns(1, 1)
    one = Turn(turns, "one", NEVER)
    await one.go_on()
    waiting = asyncio.create_task(turns.take("other", NEVER))
    for _ in range(10):
        one.rest()
        await asyncio.sleep(0)
        await one.go_on()
    assert not waiting.done()
    one.leave()
    await waiting


@asynchronous
async def test_who_rests_long_leaves_it_and_waits_for_the_next():
    turns = Turns(1, 1)
    one = Turn(turns, "one", NEVER)
    await one.go_on()
    one.rest()
    await turns.take("other", NEVER)  # comes when the other's patience is over
    again = asyncio.create_task(one.go_on())
    await asyncio.sleep(0)
    assert not again.done()
    turns.give("other")
    await again
    one.leave()
    one.leave()  # nothing more
    await turns.take("other", NEVER)


@asynchronous
async def test_who_has_left_while_resting_does_not_leave_twice():
    turns = Turns(1, 1)
    one = Turn(turns, "one", NEVER)
    await one.go_on()
    one.rest()
    one.leave()
    assert one._leaving is None
    await turns.take("a", NEVER)
    late = asyncio.create_task(turns.take("b", NEVER))
    await asyncio.sleep(0)
    assert not late.done()
    turns.give("a")
    await late


@asynchronous
async def test_nobody_waits_longer_than_it_is_worth():
    turns = Turns(1, 1)
    await turns.take("one", NEVER)
    with pytest.raises(TimeoutError):
        await turns.take("other", asyncio.get_running_loop().time() + 0.01)
    turns.give("one")
    await turns.take("other", NEVER)


@asynchronous
async def test_too_many_are_told_so():
    turns = Turns(1, 1)
    await turns.take("one", NEVER)
    waiting = [asyncio.create_task(turns.take("many", NEVER)) for _ in range(40)]
    await asyncio.sleep(0)
    with pytest.raises(OverflowError):
        await turns.take("many", NEVER)
    other = asyncio.create_task(turns.take("other", NEVER))
    await asyncio.sleep(0)
    turns.give("one")
    await waiting[0]
    turns.give("many")
    await other  # before the others of those who are many
    for task in waiting:
        task.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 3), st.booleans()), max_size=40))
def test_no_place_is_lost_or_doubled(visits):
    """Whoever comes, waits, goes on, or is cancelled."""

    async def visit(turns, at_once, who, rests, ends):
        turn = Turn(turns, who, NEVER)
        try:
            await turn.go_on()
            at_once[who] = at_once.get(who, 0) + 1
            assert sum(at_once.values()) <= 2
            assert at_once[who] <= 1
            for _ in range(rests):
                await asyncio.sleep(0)
            if ends:
                raise ValueError
        finally:
            if at_once.get(who):
                at_once[who] -= 1
            turn.leave()

    async def all_of_them():
        turns, at_once = Turns(2, 1), {}
        tasks = [asyncio.create_task(visit(turns, at_once, *one)) for one in visits]
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [one for one in found if isinstance(one, AssertionError)]
        await asyncio.gather(turns.take("x", NEVER), turns.take("y", NEVER))

    asyncio.run(asyncio.wait_for(all_of_them(), 30))
