"""Calls that may wait for a target, in threads of the target's own: one that hangs holds up no other target."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

T = TypeVar("T")


class Aside:
    """The threads of one target. What is cancelled goes on in its thread until the system lets it end."""

    def __init__(self, parallel: int) -> None:
        """`parallel`: transfers at once; each may leave a call behind that hangs."""
        self._pool = ThreadPoolExecutor(max_workers=2 * parallel + 1)

    async def call(self, function: Callable[..., T], *arguments: object, **named: object) -> T:
        """Make a call and wait for it."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, partial(function, *arguments, **named))

    def later(self, function: Callable[[], object]) -> None:
        """Make a call that nobody waits for."""
        self._pool.submit(function)
