"""The retry policy of every request and reply.

Contract: the first attempt is made at once; pauses are random, so that clients which failed together do not retry
together, or as long as Retry-After; a 429 is not counted as an attempt where the caller gives it a time of its own; the
error of the last attempt is raised unchanged.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import tenacity

from pipeline.http.errors import HttpStatusError, ThrottledError

log = logging.getLogger(__name__)

LONGEST_RETRY_AFTER = 600.0

T = TypeVar("T")


class Retrying(tenacity.Retrying):
    """tenacity's, without the reference cycle that would keep the request in memory."""

    def __call__(self, fn: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """The result of the function."""
        try:
            return super().__call__(fn, *args, **kwargs)
        finally:
            self.iter_state.reset()


class AsyncRetrying(tenacity.AsyncRetrying):
    """The same for a coroutine."""

    async def __call__(self, fn: Callable[..., Awaitable[T]], *args: Any, **kwargs: Any) -> T:  # type: ignore[override]  # as tenacity's
        """The result of the coroutine."""
        call: Any = super().__call__
        try:
            result: T = await call(fn, *args, **kwargs)
            return result
        finally:
            self.iter_state.reset()


R = TypeVar("R", Retrying, AsyncRetrying)


def retrying(
    kind: type[R],
    label: str,
    on: type[Exception] | tuple[type[Exception], ...],
    *,
    unless: Callable[[BaseException], bool] = lambda _: False,
    tries: int | None = None,
    seconds: float = float("inf"),
    throttled_seconds: float | None = None,
    pause: float = 0.5,
    longest_pause: float = 8.0,
) -> R:
    """The caller of a function with retries: `retrying(AsyncRetrying, "name", ConnectionError)(function, *arguments)`.

    `label`: name in the log; `on`: transient errors, `unless` this holds; `tries`: attempts at most; `seconds`: time
    after the first attempt in which others may begin; `throttled_seconds`: 429s do not count as attempts, and are
    raised this long after the first failure; `pause`, `longest_pause`: upper bounds of the first pause, which doubles
    with each attempt, and of all pauses (0: none).
    """
    policy = _Policy(label, tries, seconds, throttled_seconds, pause, longest_pause)
    return kind(
        retry=tenacity.retry_if_exception(lambda error: isinstance(error, on) and not unless(error)),
        stop=policy.stop,
        wait=policy.wait,
        before_sleep=policy.report,
        reraise=True,
    )


@dataclass
class _Policy:
    label: str
    tries: int | None
    seconds: float
    throttled_seconds: float | None
    first_pause: float
    longest_pause: float
    failures: int = 0
    """Attempts that count."""
    first_failed_at: float | None = None

    def stop(self, state: tenacity.RetryCallState) -> bool:
        now = state.outcome_timestamp or state.start_time
        if self.first_failed_at is None:
            self.first_failed_at = now
        if self.throttled_seconds is not None and isinstance(_find_error(state), ThrottledError):
            return now - self.first_failed_at > self.throttled_seconds
        self.failures += 1
        return self.failures == self.tries or now - state.start_time + state.upcoming_sleep >= self.seconds

    def wait(self, state: tenacity.RetryCallState) -> float:
        error = _find_error(state)
        if isinstance(error, HttpStatusError) and error.retry_after:
            return min(error.retry_after, LONGEST_RETRY_AFTER) * random.uniform(1.0, 1.25)  # noqa: S311 - spreads load, no secret
        longest = min(self.longest_pause, self.first_pause * 2.0 ** min(state.attempt_number - 1, 60))
        return random.uniform(0.0, longest)  # noqa: S311 - the same

    def report(self, state: tenacity.RetryCallState) -> None:
        # The text of an error may contain a URL with a key.
        log.info("%s: %s: again in %.1f s", self.label, type(_find_error(state)).__name__, state.upcoming_sleep)


def _find_error(state: tenacity.RetryCallState) -> BaseException | None:
    return state.outcome.exception() if state.outcome is not None else None
