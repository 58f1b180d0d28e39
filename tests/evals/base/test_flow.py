"""How many requests are let through to a server, as it answers and refuses."""

from __future__ import annotations

import asyncio
import time

from evals.base.flow import FIRST, Flow


def test_refusals_that_belong_together_halve_it_once() -> None:
    async def run() -> None:
        flow = Flow(16)
        assert flow.limit == 16
        entered = [await flow.enter() for _ in range(8)]
        for each in entered:
            flow.slower(each, 0.0)
            await flow.leave()
        assert flow.limit == 8
        flow.slower(await flow.enter(), 0.0)
        assert flow.limit == 4
        for _ in range(4):
            flow.faster()
        assert flow.limit == 4
        flow.faster()
        assert flow.limit == 5  # one more for as many answers as are in flight

    asyncio.run(run())


def test_it_opens_with_every_answer_up_to_the_most_and_never_closes() -> None:
    flow = Flow(FIRST + 2)
    assert flow.limit == FIRST
    for _ in range(5):
        flow.faster()
    assert flow.limit == FIRST + 2

    async def refused() -> None:
        for _ in range(20):
            flow.slower(await flow.enter(), 0.0)
            await flow.leave()

    asyncio.run(refused())
    assert flow.limit == 1


def test_no_more_are_inside_than_the_limit_and_none_goes_during_a_pause() -> None:
    async def run() -> tuple[int, float]:
        flow = Flow(3)
        inside = most = 0

        async def one() -> None:
            nonlocal inside, most
            await flow.enter()
            inside += 1
            most = max(most, inside)
            await asyncio.sleep(0.001)
            inside -= 1
            await flow.leave()

        await asyncio.gather(*(one() for _ in range(20)))
        began = time.monotonic()
        flow.slower(await flow.enter(), 0.2)
        await flow.leave()
        await one()
        return most, time.monotonic() - began

    most, waited = asyncio.run(run())
    assert most == 3
    assert waited >= 0.2
