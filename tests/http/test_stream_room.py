"""How many messages of all streams are in work at once."""

import asyncio

from authz.http.stream.room import Room


async def test_who_comes_first_gets_in_first() -> None:
    """So many get in, the others in the order they came, one for each that leaves."""
    room, entered = Room(2), list[int]()

    async def enter(number: int) -> None:
        await room.enter()
        entered.append(number)

    tasks = [asyncio.create_task(enter(number)) for number in range(5)]
    await asyncio.sleep(0)
    seen = [tuple(entered)]
    for _ in range(3):
        room.leave()
        await asyncio.gather(*tasks[: len(entered) + 1])
        seen.append(tuple(entered))
    assert seen == [(0, 1), (0, 1, 2), (0, 1, 2, 3), (0, 1, 2, 3, 4)]


async def test_no_place_is_lost_by_who_gives_up() -> None:
    """Whoever gives up, before or after a place was given to it, leaves it to the next."""
    room = Room(1)
    await room.enter()
    waiting, given, last = (asyncio.create_task(room.enter()) for _ in range(3))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.sleep(0)
    room.leave()
    given.cancel()
    assert isinstance((await asyncio.gather(given, return_exceptions=True))[0], asyncio.CancelledError)
    await asyncio.wait_for(last, 30)
    room.leave()
    await asyncio.wait_for(room.enter(), 30)
