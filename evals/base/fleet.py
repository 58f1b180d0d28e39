"""Several servers of one model that share requests: whichever has room takes the next."""

from __future__ import annotations

import asyncio
import queue
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from evals.base.batches import batches
from evals.base.http import Client, ServerError, start

T = TypeVar("T")


class Fleet:
    """Asks its servers; one that is down leaves its requests to the others."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self._clients = tuple(clients)

    def stream(
        self, path: str, bodies: Sequence[object], parse: Callable[[Any], T]
    ) -> Iterator[list[tuple[int, T | ServerError]]]:
        """What ``parse`` makes of each answer, or why there is none, with the place of its body.

        A list holds what has come since the last one. A request that failed at one server is asked for once
        more where there is another. Left early, what is in flight is cancelled.
        """
        arrived: queue.SimpleQueue[tuple[int, T | ServerError] | None] = queue.SimpleQueue()
        work = start(_Sharing(self._clients, path, bodies, parse, arrived).run())
        work.add_done_callback(lambda _: arrived.put(None))
        try:
            yield from batches(arrived)
            work.result()
        finally:
            work.cancel()

    def close(self) -> None:
        """Closes the connections."""
        for client in self._clients:
            client.close()


class _Sharing:
    """Requests on their way to the servers."""

    def __init__(
        self,
        clients: Sequence[Client],
        path: str,
        bodies: Sequence[object],
        parse: Callable[[Any], Any],
        arrived: queue.SimpleQueue[Any],
    ) -> None:
        self._clients, self._path, self._bodies, self._parse = clients, path, bodies, parse
        self._arrived = arrived
        self._waiting = deque(range(len(bodies)))
        self._unanswered = len(bodies)
        self._failed_at: dict[int, Client] = {}

    async def run(self) -> None:
        """Ends when every request has an answer or a reason why not."""
        while self._waiting and (up := self._up()):
            await asyncio.gather(*(self._serve(client) for client in up))
        for place in self._waiting:
            self._arrived.put((place, ServerError(self._clients[0].down)))

    def _up(self) -> list[Client]:
        return [client for client in self._clients if not client.down]

    async def _serve(self, client: Client) -> None:
        """Keeps as many requests at the server as it bears, but no more than its share of what is left."""
        running: set[asyncio.Task[None]] = set()
        try:
            while True:
                while (
                    not client.down
                    and len(running) < self._room(client)
                    and (place := self._next(client)) is not None
                ):
                    running.add(asyncio.create_task(self._ask(client, place)))
                if not running:
                    return
                done, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
                for task in done:
                    task.result()
        finally:
            for task in running:
                task.cancel()

    def _next(self, client: Client) -> int | None:
        """The next request that did not fail here, or that nobody else can be asked."""
        for place in self._waiting:
            if self._failed_at.get(place) is not client or self._is_alone(client):
                self._waiting.remove(place)
                return place
        return None

    def _is_alone(self, client: Client) -> bool:
        return all(other is client or other.down for other in self._clients)

    def _room(self, client: Client) -> int:
        return min(client.room, -(-self._unanswered // max(1, len(self._up()))))

    async def _ask(self, client: Client, place: int) -> None:
        try:
            answer = await client.answer(self._path, self._bodies[place], self._parse)
        except ServerError as error:
            if self._may_be_tried_elsewhere(client, place):
                self._waiting.append(place)
            else:
                self._ended(place, error)
        else:
            self._ended(place, answer)

    def _ended(self, place: int, answer: object) -> None:
        self._unanswered -= 1
        self._arrived.put((place, answer))

    def _may_be_tried_elsewhere(self, client: Client, place: int) -> bool:
        if self._is_alone(client):
            return False
        first = place not in self._failed_at
        self._failed_at[place] = client
        return first or bool(client.down)
