# SPDX-License-Identifier: MIT
"""replicate.py 2.0.0: run machine-learning models on Replicate, or in Cog containers.

One file without dependencies, for CPython 3.8 to 3.14 and PyPy, under the MIT licence.
To vendor it, copy it. Get a token at https://replicate.com/account/api-tokens, export
it as REPLICATE_API_TOKEN, and:

    $ python -m replicate run black-forest-labs/flux-schnell prompt="an astronaut" -o .
    >>> import replicate
    >>> images = replicate.run("black-forest-labs/flux-schnell", {"prompt": "a fox"})
    >>> images[0].save("fox.webp")

Every method that makes requests has an `async_` twin. Every failure at run time is a
ReplicateError; a call that is wrong in itself is a ValueError or TypeError, raised
before anything is created.

Where a few great things are decided, one function each:
    whether a request is sent again   _may_repeat (a busy container: _CogRun._send)
    who sees the token                _Transport._credentials
    when a run is over                _is_running
    who gets cancelled                _Run._give_up

What is promised; comments name these by their numbers:
    1 never billed twice   2 never lost   3 never orphaned   4 never called done early
    5 never leaks the token   6 never opens what it should not   7 never half a file
    8 never hangs, never swells   9 one error family   10 unknown fields survive
    11 never faster than allowed

Contents: Constants, Errors, Waiting, The client, Resources, Endpoints, Outputs,
Running, Batches, Streams, Self-hosted models (Cog), Inputs, Schemas, Transport, Wire,
Webhooks, Command line, The module's own names.
"""

from __future__ import annotations

import atexit
import base64
import contextlib
import contextvars
import functools
import http.client
import io
import itertools
import json
import math
import os
import random
import re
import socket
import sys
import threading
import time
import urllib.parse
import urllib.request
import weakref
from collections import abc, deque, namedtuple

try:
    import zlib
except ImportError:  # then answers are not asked for in compressed form
    zlib = None  # type: ignore[assignment]

# Checkers take this for true. At run time, importing typing would cost more than this
# whole file.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import asyncio
    import datetime
    import pathlib
    import ssl
    from typing import (
        Any,
        AsyncIterator,
        Awaitable,
        BinaryIO,
        Callable,
        Coroutine,
        Dict,
        Generator,
        Iterable,
        Iterator,
        List,
        Mapping,
        Sequence,
        TypeVar,
        Union,
        overload,
    )
    from typing import Generic as _Generic

    from typing_extensions import ParamSpec

    _T = TypeVar("_T")
    _P = ParamSpec("_P")
    _Dict = Dict[str, Any]
    _Object = Mapping[str, Any]  # JSON's
    _Headers = Mapping[str, str]
    _List = List
    _Ref = Union[str, "Model", "Version", "Deployment"]
    _Limit = Callable[[], Union[float, None]]  # seconds that an operation may take now
    _Tell = Callable[[], Awaitable[None]]  # shows the state of a run to on_update
else:
    # None in an interpreter built without it, which still reaches http:// addresses.
    ssl = getattr(http.client, "ssl", None)
    _Dict = dict

    def overload(method):
        return method

    class _Generic:
        """What Page[Prediction] is at run time, on 3.8 too: Page itself."""

        def __class_getitem__(cls, kind):
            return cls

    class _List(_Generic, list):
        pass

    _T = None


__version__ = "2.0.0"
__all__ = [
    "APIError",
    "Client",
    "Deployment",
    "File",
    "FileOutput",
    "Model",
    "ModelError",
    "NetworkError",
    "Page",
    "Prediction",
    "PredictionTimeout",
    "ReplicateError",
    "ReplicateException",
    "ServerSentEvent",
    "Training",
    "Version",
    "WebhookError",
    "account",
    "accounts",
    "async_map",
    "async_paginate",
    "async_run",
    "async_search",
    "async_stream",
    "collections",
    "default_client",
    "deployments",
    "files",
    "hardware",
    "main",
    "map",
    "models",
    "paginate",
    "predictions",
    "run",
    "search",
    "stream",
    "trainings",
    "use",
    "webhooks",
]
# ------------------------------------------------------------------------------------
# Constants
# ------------------------------------------------------------------------------------

_API = "https://api.replicate.com/v1"
_TOKENS_PAGE = "https://replicate.com/account/api-tokens"
_NO_TOKEN = "No API token"  # the title of an error that no token was there for
_RUNNING = ("starting", "processing")  # the only statuses that mean "not over"

# Seconds.
_TIMEOUT = 60.0  # for a socket operation: as much as the API takes to hold a request
_HOLD = 60  # the most that `Prefer: wait` may ask for
_GRACE = 5.0  # to cancel what is given up; more, and Ctrl-C feels broken
_POLL_FIRST = 0.05  # the first look: a fast model's end is noticed at once
_POLL = 0.5  # between looks soon after: what the official clients do
_POLL_SHARE = 0.02  # of the time elapsed: an end is noticed within 1 % on average
_POLL_MOST = 5.0  # between looks at a run of any length
_PAGE_GAP = 0.5  # between pages of runs, where many are waited for
_LAG_MOST = 2.0  # between looks at one run before pages are asked for: 1 s on average
_BACKOFF = 0.5  # before the first repetition; doubled each time, with full jitter
_WAIT_MOST = 60.0  # no single wait is longer: limits are a minute's
_THROTTLED_LEAST = 0.1  # the shortest wait after a 429: 600 creations a minute
_FRESH = 1.0  # that a connection may have idled and still carry a creation: no server
# closes that soon
_KEPT_FOR = 50.0  # that a connection may idle: load balancers close it after 60
_STREAM_SILENCE = 15.0  # of a stream until the run itself is looked at
_DNS_SLICE = 0.2  # between looks at whether a look-up of a name is still wanted
_SETTLES = 0.3  # that a creation takes to be listed, as a rule
_YOUNG = 10.0  # that a creation may take to be listed
_LOOK_AGAIN = 2.0  # until it is looked for again
_CLOCK_PLAY = 2.0  # that clocks may differ, times being cut to whole seconds
_EARLY = 0.02  # that a socket's time-out may come before the end it was set for
_TICK = 0.5  # between two showings of the status line: the first within a second
_TELL_GAP = 0.2  # between two calls of on_update with a stream's logs
_WORKER_IDLE = 10.0  # until a thread that has nothing to do ends

# Numbers.
_RETRIES = 5  # some 15 s in all: a load balancer's restart is survived, an outage told
_THROTTLED_MOST_OF_RUN = (
    200  # 429s that a run's requests take, some ten minutes of them
)
_THROTTLED_MOST = 20  # and any other's, a minute of them
_POLLS_A_SECOND = 40.0  # four fifths of the 3,000 requests a minute that are documented
_WORKERS = 32  # threads for what is on the wire: more gained nothing on 1,000 runs
_URGENT_WORKERS = 32  # and for what is quick: cancelling runs, writing journals
_KEPT_MOST = 32  # connections that idle, as many as workers
_MADE_KNOWN = 20_000  # ids of own runs: more than can be in flight at once
_TRIES_TO_FIND = 10  # while other runs on equal inputs are being given up, too
_LOOK_PAGES = 20  # pages that a look at the newest runs reads, within _GRACE
_CROWD_PAGES = 50  # pages that are read for the runs of a crowd
_REDIRECTS_MOST = 10  # as urllib
_INTERIM_MOST = 20  # 1xx answers: more is a fault
_HEADERS_MOST = 200  # lines of a head, or of trailers: more is a fault
_SEEN_MOST = 10_000  # ids of a stream's events that are remembered
_NESTED_MOST = 200  # levels of an input: json.dumps, in C, takes more than that
_LOOK_AHEAD = 10_000  # results of a batch that wait for one before them
_READY_SHARE = 2  # results that nobody takes, times concurrency, before no more is run
_ALIKE_MOST = 10  # like failures in a row, and the rest of a batch would fail too
_MARKED_SINCE = (0, 3, 9)  # the Cog that began to mark iterators in the schema
_PARTS_MOST = 20  # of one value's schema that are read: references go in circles
_INPUTS_MOST = 1_000  # of a model: a schema with more is not one
_SHOWN_MOST = 20  # names or choices that a message lists

# Forms.
_TIME = "%Y-%m-%dT%H:%M:%SZ"  # of a time in a journal
_JOURNAL_HEAD = b'{"index":'  # how each line of a journal begins
_LOCKED_BYTE = 1 << 30  # Windows locks bytes: one that no journal reaches

# Bytes, or characters.
_INLINE_MOST = 256 << 10  # of a file that goes as a data URI: the API's advice
_UPLOAD_MOST = 100 << 20  # of a file that the files API takes
_MEMORY_MOST = 2 << 20  # of a file in memory; what is more goes to disk
_READ_MOST = 1 << 30  # of a file that is read whole; larger ones are to be saved
_NAME_MOST = 200  # of a file's name: file systems take 255, numbers are added
_CELL = 500  # of a table's cell: more than any terminal is wide
_LOG_TAIL = 1 << 14  # of the logs in which a progress bar is looked for
_RECEIVE = 1 << 16  # received at a time: a get's whole answer; more gained nothing
_BLOCK = 1 << 18  # sent, or handed on, at a time
_HEAD_MOST = 1 << 17  # of an answer's head: http.client takes 100 lines of 64 KiB
_LINE_MOST = 1 << 16  # in a line of a chunked body's own
_ERROR_MOST = 1 << 16  # of an error that are read: problem+json is small
_ANSWER_MOST = 1 << 27  # of an answer, also unpacked: files come as data URIs in some
_ID_MOST = 1 << 10  # of an event's id: others are not resumed at
_EVENT_MOST = 1 << 25  # of an event of a stream: an image as a data URI fits
# ------------------------------------------------------------------------------------
# Errors
# ------------------------------------------------------------------------------------


class ReplicateError(Exception):
    """Base of every failure at run time. str() is one line: what failed, what to do.

    Every attribute is None where there is nothing to say.
    """

    status: int | None = None  # of HTTP
    title: str | None = None  # these four: RFC 9457, problem details
    detail: str | None = None
    type: str | None = None
    instance: str | None = None
    method: str | None = None
    path: str | None = None
    headers: Any = None  # a mapping whose names are found in any case
    request_id: str | None = None
    retry_after: float | None = None  # seconds
    body: str | None = None  # what came, where it could not be used; 64 KiB at most
    prediction: Any = None  # the run that it is about, to find it again

    # Set by the transport that makes the error, and read by _may_repeat alone:
    _sent = True  # whether the server may have seen the request
    _final = False  # whether sending it again would be of no use

    def __init__(self, message: object = None, **facts: Any) -> None:
        if message is None:
            told = [facts.get(name) for name in ("status", "title", "detail")]
            message = ": ".join(str(fact) for fact in told if fact is not None)
        super().__init__(message)
        for name, value in facts.items():
            setattr(self, name, value)

    @property
    def status_code(self) -> int | None:
        """The status, by the name that other clients give it."""
        return self.status

    def __str__(self) -> str:
        text = " ".join(str(self.args[0]).split())
        if self.prediction is None:
            return text
        id = str(self.prediction.get("id"))
        return text if id in text else f"{text} (prediction {id})"

    def _add(self, more: str) -> None:
        """Say more at the end of the message."""
        self.args = (f"{self.args[0]}{more}", *self.args[1:])


class APIError(ReplicateError):
    """The API answered with an error status: see `status`, `title` and `detail`."""


class NetworkError(ReplicateError):
    """No usable answer: DNS, TLS, proxy, time-out, cut short, or no JSON."""


class ModelError(ReplicateError):
    """The run ended, but not in success: see `prediction.status`, `.error`, `.logs`."""

    def __init__(self, prediction: Any, message: str | None = None) -> None:
        why = message or prediction.get("error")
        text = f"prediction {prediction.get('id')} {prediction.get('status')}"
        if prediction.get("status") == "canceled":
            text = f"prediction {prediction.get('id')} was canceled"
        if why:
            text += f": {why}"
        super().__init__(text, prediction=prediction)
        self.detail = str(why) if why else None

    def __reduce__(self) -> Any:
        return type(self), (self.prediction, self.detail)


class PredictionTimeout(ReplicateError):
    """The `timeout` of a call ended first; `prediction` is the run, if known."""


class WebhookError(ReplicateError, ValueError):
    """A webhook that cannot be trusted; the message names what failed."""


ReplicateException = ReplicateError  # names of 1.x
WebhookValidationError = WebhookError
InvalidSecretKeyError = ValueError  # a wrong secret is a call that is wrong in itself
MissingWebhookHeaderError = MissingWebhookBodyError = WebhookError
InvalidTimestampError = InvalidSignatureError = WebhookError
# ------------------------------------------------------------------------------------
# Waiting
# ------------------------------------------------------------------------------------
#
# Whatever waits is `async def`, written once, and waits through its call's face:
#
#   a plain method      _InPlace: every wait blocks where it stands, so the coroutine
#                       never suspends and _run_in_place() runs it with one send(None)
#   its async_ twin,    _OnLoop: sleeps on the event loop; a worker thread does what
#   and map             blocks: sockets, files, hashing


class _Clock:
    """Time as a client sees it; tests put one of their own in its place."""

    now = staticmethod(time.monotonic)
    sleep = staticmethod(time.sleep)


class _InPlace:
    """The face of plain calls."""

    on_loop = False

    async def sleep(self, clock: Any, seconds: float) -> None:
        clock.sleep(seconds)

    async def in_thread(self, work: Callable[..., _T], *args: Any) -> _T:
        """Do what blocks."""
        return work(*args)

    to_the_end = in_thread  # the same for what must not be cut off

    async def on_wire(
        self, connection: _Connection, work: Callable[..., _T], *args: Any
    ) -> _T:
        """Do what blocks on a connection."""
        return work(*args)

    async def readable(self, connection: _Connection, limit: _Limit) -> None:
        """Wait until there is something to read: here the read itself will wait."""


class _OnLoop:
    """The face of async_ calls and of map: waits on the event loop that runs."""

    on_loop = True

    async def sleep(self, clock: Any, seconds: float) -> None:
        import asyncio

        if isinstance(clock, _Clock):
            await asyncio.sleep(seconds)
        else:  # one that is turned by hand
            clock.sleep(seconds)
            await asyncio.sleep(0)

    def _submitted(
        self, work: Callable[..., _T], *args: Any, urgent: bool = False
    ) -> asyncio.Future[_T]:
        import asyncio
        from concurrent.futures import Future

        done: Future[_T] = Future()
        context = contextvars.copy_context()

        def job() -> None:
            if not done.set_running_or_notify_cancel():  # before its turn came
                return
            try:
                done.set_result(context.run(work, *args))
            except BaseException as error:
                done.set_exception(error)

        _workers(os.getpid(), urgent).submit(job)
        return asyncio.wrap_future(done)

    async def in_thread(self, work: Callable[..., _T], *args: Any) -> _T:
        return await self._submitted(work, *args)

    async def on_wire(
        self, connection: _Connection, work: Callable[..., _T], *args: Any
    ) -> _T:
        try:
            return await self._submitted(work, *args)
        except BaseException:
            connection.cut()  # where the task was cancelled, the thread ends at once
            raise

    async def to_the_end(self, work: Callable[..., _T], *args: Any) -> _T:
        import asyncio

        future, cancelled = self._submitted(work, *args, urgent=True), None
        while not future.done():
            try:
                await asyncio.wait([future])
            except asyncio.CancelledError as error:
                cancelled = error
        if cancelled is not None:
            future.exception()
            raise cancelled
        return future.result()

    async def readable(self, connection: _Connection, limit: _Limit) -> None:
        """Wait until there is something to read; no thread is used for that."""
        import asyncio

        loop = asyncio.get_running_loop()
        while not connection.arrived():
            seconds = limit()  # raises at the end
            woken = asyncio.Event()
            try:
                loop.add_reader(connection.sock, woken.set)
            except NotImplementedError:  # Windows: then a thread waits
                return
            most = _WAIT_MOST if seconds is None else seconds
            timer = loop.call_later(most, woken.set)
            try:
                await woken.wait()
            finally:
                loop.remove_reader(connection.sock)
                timer.cancel()


class _Workers:
    """Daemon threads, made as needed, that do what blocks for everything on a loop."""

    def __init__(self, most: int) -> None:
        self.most = most
        # Shared by all threads; touched only while this condition is held.
        self.changed = threading.Condition()
        self.jobs: deque[Callable[[], None]] = deque()
        self.threads = 0
        self.idle = 0

    def submit(self, job: Callable[[], None]) -> None:
        """Have a job done; where the system gives no thread, by one that is there."""
        with self.changed:
            self.jobs.append(job)
            self.changed.notify()
            if len(self.jobs) <= self.idle or self.threads == self.most:
                return
            self.threads += 1
        try:
            threading.Thread(target=self._work, name="replicate", daemon=True).start()
        except RuntimeError:  # the system gives no more
            with self.changed:
                self.threads -= 1
                left = [] if self.threads else list(self.jobs)
                if left:
                    self.jobs.clear()
            for job in left:
                job()

    def _work(self) -> None:
        while True:
            with self.changed:
                self.idle += 1
                found = self.changed.wait_for(lambda: bool(self.jobs), _WORKER_IDLE)
                self.idle -= 1
                if not found:
                    self.threads -= 1
                    return
                job = self.jobs.popleft()
            job()
            del job  # with what it holds, while nothing is to do


@functools.lru_cache(maxsize=2)
def _workers(process: int, urgent: bool = False) -> _Workers:
    """The workers of a process, os.getpid(): a forked child has none of its parent's.

    urgent: for what is quick and must not wait behind what hangs: cancels, journals.
    """
    return _Workers(_URGENT_WORKERS if urgent else _WORKERS)


class _UsedAlone:
    """What one thread at a time uses, and what is let go of when none does.

    Closed under a thread that reads it, a socket's number could be another's at once.
    """

    def __init__(self) -> None:
        self.using = threading.RLock()  # held by the thread that uses it
        # Set by any thread, once and for ever: nobody wants it any more.
        self.is_abandoned = False

    def alone(self, work: Callable[..., _T], *args: Any) -> _T:
        """Do some work with it, and let go of it then if it was abandoned meanwhile."""
        try:
            with self.using:
                return work(*args)
        finally:
            if self.is_abandoned:
                self.abandon()

    def abandon(self) -> None:
        """Let go of it; where another thread uses it, that one does so then."""
        self.is_abandoned = True
        if not self.using.acquire(blocking=False):
            return
        try:
            self._let_go()
        finally:
            self.using.release()

    def _let_go(self) -> None:
        raise NotImplementedError


_IN_PLACE = _InPlace()
# Set by a twin while its method builds the coroutine that the twin will await.
_for_twin = contextvars.ContextVar("replicate_for_twin", default=False)


class _Call:
    """One public call: how it waits, and until when."""

    def __init__(
        self,
        client: Client,
        timeout: float | None = None,
        token: str | None = None,
        face: _InPlace | _OnLoop | None = None,
    ) -> None:
        if timeout is not None and not (_is_number(timeout) and timeout > 0):
            raise ValueError(f"timeout is a positive number, not {timeout!r}")
        if face is None:
            face = _IN_PLACE
            if _for_twin.get():
                face = _OnLoop()
                _for_twin.set(False)  # what the caller's file reads is no twin
        self.client = client
        self.clock = client._clock
        self.face: Any = face
        self.timeout = timeout
        self.token = None if token is None else _clean_token(token, ValueError)
        self.started: float = self.clock.now()
        self.deadline = math.inf if timeout is None else self.started + timeout

    def run(self, coroutine: Coroutine[Any, Any, _T]) -> _T:
        """Run a coroutine to its end; for a twin, hand it over to be awaited."""
        if self.face.on_loop:
            return coroutine  # type: ignore[return-value]
        return _run_in_place(coroutine)

    def iterate(self, items: AsyncIterator[_T], begin: bool = False) -> Iterator[_T]:
        """Give an asynchronous generator as a plain one; a twin gets it as it is.

        begin: its first item is a None that tells that the run is created; that is
        passed over at once, or for a twin at the first use.
        """
        if self.face.on_loop:
            return _AsyncIterator(items, begin)  # type: ignore[return-value]
        if begin:
            _run_in_place(items.__anext__())  # type: ignore[arg-type]
        begun = _in_turn(items)
        next(begun)
        return begun

    def elapsed(self) -> float:
        """Seconds since the call was made."""
        return float(self.clock.now() - self.started)

    def left(self, most: float = math.inf, end: float = math.inf) -> float | None:
        """Seconds that an operation may take, None for any; socket.timeout at the end.

        most: the most that it may take. end: a moment that ends all of them.
        """
        left = min(self.deadline, end) - self.clock.now()
        if left <= 0:
            raise socket.timeout("timed out")
        left = min(left, most)
        return None if left == math.inf else left

    def within(self, seconds: float) -> _Limit:
        """left() of operations that may take so many seconds together, from now."""
        return functools.partial(self.left, end=self.clock.now() + seconds)

    def over(self) -> bool:
        """Whether its time is over; a socket's time-out may come a little early."""
        return bool(self.clock.now() + _EARLY >= self.deadline)

    async def sleep(self, seconds: float) -> None:
        """Sleep, but not past the end of the call: then PredictionTimeout."""
        left = self.deadline - self.clock.now()
        await self.face.sleep(self.clock, max(0.0, min(seconds, left)))
        if seconds >= left:
            raise self.expired()

    def expired(self, more: str = "", **facts: Any) -> PredictionTimeout:
        """The error of a call whose time is over."""
        text = f"no result within {self.timeout:g} s{more}"
        return PredictionTimeout(text, **facts)


def _run_in_place(coroutine: Coroutine[Any, Any, _T]) -> _T:
    """Run a coroutine that never suspends, and return its result."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]
    coroutine.close()
    raise RuntimeError("a plain call has suspended")


def _in_turn(items: Any) -> Iterator[Any]:
    """A plain generator of an asynchronous one's items, which it closes, too."""
    try:
        yield None  # taken at once: a generator that was never begun is not closed
        while True:
            try:
                item = _run_in_place(items.__anext__())
            except StopAsyncIteration:
                return
            yield item
    finally:
        _run_in_place(items.aclose())


class _AsyncIterator(_Generic[_T]):
    """What an iterator's twin gives: for `async for`, directly or awaited."""

    def __init__(self, items: Any, begin: bool = False) -> None:
        self._items = items
        self._begin = begin  # whether its first item is still to be skipped

    async def _begun(self) -> _AsyncIterator[_T]:
        if self._begin:
            self._begin = False
            await self._items.__anext__()
        return self

    def __await__(self) -> Generator[Any, None, _AsyncIterator[_T]]:
        return self._begun().__await__()

    def __aiter__(self) -> _AsyncIterator[_T]:
        return self

    async def __anext__(self) -> _T:
        if self._begin:
            await self._begun()
        item: _T = await self._items.__anext__()
        return item

    async def aclose(self) -> None:
        """End the iteration now; a prediction that it started is cancelled."""
        await self._items.aclose()


def _for_a_twin(method: Callable[..., Any], args: Any, kwargs: Any) -> Any:
    """Call a method so that it hands over its coroutine, or asynchronous generator."""
    if "api_token" in kwargs:  # so that no frame's variables show it
        kwargs["api_token"] = _hidden(kwargs["api_token"])
    before = _for_twin.set(True)
    try:
        return method(*args, **kwargs)
    finally:
        _for_twin.reset(before)


def _named(twin: Any, method: Any) -> None:
    twin.__name__ = f"async_{method.__name__}"
    twin.__qualname__ = f"{method.__qualname__}".replace(method.__name__, twin.__name__)


def _async(method: Callable[_P, _T]) -> Callable[_P, Coroutine[Any, Any, _T]]:
    """The async_ twin of a method."""

    @functools.wraps(method)
    async def twin(*args: _P.args, **kwargs: _P.kwargs) -> _T:
        result: _T = await _for_a_twin(method, args, kwargs)
        return result

    _named(twin, method)
    return twin


def _async_iterator(
    method: Callable[_P, Iterator[_T]],
) -> Callable[_P, _AsyncIterator[_T]]:
    """The async_ twin of a method that gives an iterator."""

    @functools.wraps(method)
    def twin(*args: _P.args, **kwargs: _P.kwargs) -> _AsyncIterator[_T]:
        result: _AsyncIterator[_T] = _for_a_twin(method, args, kwargs)
        return result

    _named(twin, method)
    return twin


# ------------------------------------------------------------------------------------
# The client
# ------------------------------------------------------------------------------------


class Client:
    """A client of the API, safe to share between threads, and between tasks.

    The functions of the module are those of `default_client`.

    api_token: else that of the Cog request that runs, else REPLICATE_API_TOKEN, both at
        the time of each request.
    base_url: with or without /v1; else REPLICATE_BASE_URL.
    timeout: seconds for each socket operation (60), or an httpx.Timeout: its `read`.
    max_retries: how often what may be repeated is repeated.
    poll_interval: seconds between polls at first; else REPLICATE_POLL_INTERVAL, or 0.5.
    headers: sent to the API's own origin only.
    proxies: as {"https": URL}, {} for none; else those of the environment.
    ssl_context: else the system's certificates, or those of SSL_CERT_FILE.
    pace: the share of the API's limit that polls may take; 0.25 for each of four
    workers.
    """

    def __init__(
        self,
        api_token: str | None = None,
        *,
        base_url: str | None = None,
        timeout: Any = None,
        max_retries: int = _RETRIES,
        poll_interval: float | None = None,
        headers: Mapping[str, str] | None = None,
        proxies: Mapping[str, str] | None = None,
        ssl_context: ssl.SSLContext | None = None,
        pace: float = 1.0,
    ) -> None:
        api_token = _hidden(api_token)
        self.api_token = api_token
        seconds = getattr(timeout, "read", timeout)
        if seconds is None:
            seconds = _TIMEOUT
        if not (_is_number(seconds) and seconds > 0):
            raise ValueError(f"timeout is a positive number, not {timeout!r}")
        if not isinstance(max_retries, int) or max_retries < 0:
            raise ValueError(f"max_retries is a whole number, not {max_retries!r}")
        if not (_is_number(pace) and 0 < pace <= 100):
            raise ValueError(f"pace is a share such as 1.0 or 0.25, not {pace!r}")
        self._base_url = None if base_url is None else _parse_base_url(base_url)
        self._poll_interval: float | None = None
        if poll_interval is not None:
            self.poll_interval = poll_interval
        self._clock: Any = _Clock()
        self._transport = _Transport(
            self, seconds, max_retries, headers or {}, proxies, ssl_context
        )
        self._polls = _Polls(pace)
        self._listings = _Listings()
        _clients.add(self)
        # These are shared by all threads; what is done to them is one step each.
        self._iterates: dict[str, bool] = {}  # by version: versions never change
        self._looked_up: set[tuple[int, str]] = set()  # versions, by process
        self._own_runs: deque[str] = deque(maxlen=_MADE_KNOWN)  # ids that answers named
        self.models: Models = Models(self)
        self.predictions: Predictions = Predictions(self)
        self.trainings: Trainings = Trainings(self)
        self.deployments: Deployments = Deployments(self)
        self.files: Files = Files(self)
        self.collections: Collections = Collections(self)
        self.hardware: HardwareNamespace = HardwareNamespace(self)
        self.webhooks: Webhooks = Webhooks(self)
        self.accounts: Accounts = Accounts(self)
        self.account: Accounts = self.accounts

    def _renew_locks(self) -> None:
        """Be of use in a forked child, whose parent's threads may have held a lock."""
        transport = self._transport
        for one in (
            transport.pool,
            transport.creations,
            transport.others,
            transport.unlimited,
        ):
            one.lock = threading.RLock()
        self._polls, self._listings = _Polls(self._polls.pace), _Listings()

    def __reduce__(self) -> Any:
        if self._api_token is not None:
            raise TypeError(
                "a client with a token of its own is not pickled: leave api_token out, "
                "and set REPLICATE_API_TOKEN where the workers run"
            )
        transport = self._transport
        if transport.is_given_context:
            raise TypeError(
                "a client with an ssl_context is not pickled: it has no copy"
            )
        settings: _Dict = {
            "base_url": self._base_url,
            "timeout": transport.seconds,
            "max_retries": transport.retries,
            "poll_interval": self._poll_interval,
            "headers": transport.own_headers,
            "proxies": transport.proxies,
            "pace": self._polls.pace,
        }
        return functools.partial(Client, **settings), ()

    @property
    def api_token(self) -> str | None:
        """The token given to this client; None where it is the environment's."""
        return self._api_token

    @api_token.setter
    def api_token(self, token: str | None) -> None:
        token = _hidden(token)
        self._api_token = None if token is None else _clean_token(token, ValueError)

    @property
    def base_url(self) -> str:
        """The API's address, as https://api.replicate.com/v1."""
        given = self._base_url or os.environ.get("REPLICATE_BASE_URL")
        return _parse_base_url(given or _API)

    @property
    def poll_interval(self) -> float:
        """Seconds between the first polls of a run."""
        if self._poll_interval is not None:
            return self._poll_interval
        return _interval(os.environ.get("REPLICATE_POLL_INTERVAL") or _POLL)

    @poll_interval.setter
    def poll_interval(self, seconds: float) -> None:
        self._poll_interval = _interval(seconds)

    def run(
        self,
        ref: _Ref,
        input: Mapping[str, Any] | None = None,
        *,
        wait: bool | int = True,
        timeout: float | None = None,
        webhook: str | None = None,
        webhook_events_filter: Sequence[str] | None = None,
        cancel_after: str | float | None = None,
        on_update: Callable[[Prediction], Any] | None = None,
        file_encoding_strategy: str | None = None,
        use_file_output: bool = True,
        api_token: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Any:
        """Run a model and return its output: a generator where it makes items.

        ref: "owner/name", "owner/name:version", a version id, "deployments/owner/name",
            the http(s) address of a Cog container, or a Model, Version or Deployment.
        wait: True holds the creating request up to 60 s, 1 to 60 so many, False not.
        timeout: seconds for the whole call; then PredictionTimeout.
        webhook, webhook_events_filter: who is told of start, output, logs, completed.
        cancel_after: "5m" or seconds (5 at least), a deadline that the server keeps.
        on_update: called with the prediction at each news of it.
        file_encoding_strategy: "base64" or "url" for all files; else by their size.
        use_file_output: False for addresses as plain str.
        api_token: the token for this call.
        extra: more fields for the body of the request.

        Given up (timeout, Ctrl-C, any exception), the prediction is cancelled; where
        its id is unknown yet, if it can be found while the process lives. Raises
        ModelError where it ends in anything but success, PredictionTimeout, APIError,
        NetworkError. https://replicate.com/docs/topics/predictions
        """
        api_token = _hidden(api_token)
        options = _Options(
            wait=wait,
            timeout=timeout,
            webhook=webhook,
            webhook_events_filter=webhook_events_filter,
            cancel_after=cancel_after,
            on_update=on_update,
            file_encoding_strategy=file_encoding_strategy,
            use_file_output=use_file_output,
            api_token=api_token,
            extra=extra,
        )
        call = _Call(self, timeout, api_token)
        return call.run(_ran(call, _run_for(call, ref, input, options)))

    def stream(
        self,
        ref: _Ref,
        input: Mapping[str, Any] | None = None,
        *,
        wait: bool | int = True,
        timeout: float | None = None,
        webhook: str | None = None,
        webhook_events_filter: Sequence[str] | None = None,
        cancel_after: str | float | None = None,
        on_update: Callable[[Prediction], Any] | None = None,
        file_encoding_strategy: str | None = None,
        use_file_output: bool = True,
        api_token: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Iterator[ServerSentEvent]:
        """Run a model and yield its output as events; str(event) is text.

        Options as for run(), but the creating request is never held. A model that
        cannot stream is polled. Raises ModelError. Closed before its end, it cancels.
        """
        api_token = _hidden(api_token)
        options = _Options(
            wait=wait,
            timeout=timeout,
            webhook=webhook,
            webhook_events_filter=webhook_events_filter,
            cancel_after=cancel_after,
            on_update=on_update,
            file_encoding_strategy=file_encoding_strategy,
            use_file_output=use_file_output,
            api_token=api_token,
            extra=extra,
        )
        call = _Call(self, timeout, api_token)
        run = _run_for(call, ref, input, options)
        return call.iterate(run.events(), begin=True)

    def map(
        self,
        ref: _Ref,
        inputs: Iterable[Mapping[str, Any]],
        *,
        concurrency: int = 8,
        ordered: bool = True,
        return_exceptions: bool = False,
        journal: str | os.PathLike[str] | None = None,
        save: str | os.PathLike[str] | None = None,
        rerun_expired: bool = False,
        wait: bool | int = True,
        timeout: float | None = None,
        webhook: str | None = None,
        webhook_events_filter: Sequence[str] | None = None,
        cancel_after: str | float | None = None,
        on_update: Callable[[Prediction], Any] | None = None,
        file_encoding_strategy: str | None = None,
        use_file_output: bool = True,
        api_token: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Iterator[Any]:
        """Run a model on many inputs, `concurrency` at a time; yield the outputs.

        inputs: dicts, drawn from as runs end, on a thread of its own.
        ordered: outputs in the order of the inputs; False: (index, output) as runs end.
        return_exceptions: yield a failed run's exception at its place, not raise it.
        journal: a file that makes the batch survive; the same call again goes on.
        save: a directory for the files in outputs, saved as they come.
        rerun_expired: run again what is expired. timeout: of each; more as in run().

        Left early, it cancels what still runs; 10 like failures in a row end it.
        """
        api_token = _hidden(api_token)
        options = _Options(
            wait=wait,
            timeout=timeout,
            webhook=webhook,
            webhook_events_filter=webhook_events_filter,
            cancel_after=cancel_after,
            on_update=on_update,
            file_encoding_strategy=file_encoding_strategy,
            use_file_output=use_file_output,
            api_token=api_token,
            extra=extra,
        )
        batch = _Batch(
            self,
            ref,
            inputs,
            options,
            concurrency=concurrency,
            ordered=ordered,
            return_exceptions=return_exceptions,
            journal=journal,
            save=save,
            rerun_expired=rerun_expired,
        )
        results: Iterator[Any] = batch.results()
        return results

    def use(self, ref: _Ref, *, streaming: bool = False) -> Function:
        """Return a callable for a model: f(prompt="...") returns its output.

        streaming: it returns an iterator of the output's items, as they come.
        """
        return Function(self, ref, streaming)

    def search(self, query: str, limit: int | None = None) -> SearchResults:
        """Search models (`model` and `metadata` of each), collections and pages.

        limit: 1 to 50; else 20. GET /search
        """
        if not isinstance(query, str):
            raise ValueError(f"query is a str, not {type(query).__name__}")
        if limit is not None and not (_is_number(limit) and 1 <= limit <= 50):
            raise ValueError(f"limit is 1 to 50, not {limit!r}")
        path = _query("/search", query=query, limit=limit)
        return self._fetch("GET", path, SearchResults)

    def paginate(self, list_method: Callable[[], Page[_T]]) -> Iterator[Page[_T]]:
        """Yield the pages of a list method, as paginate(replicate.models.list)."""
        call = _Call(self)
        return call.iterate(_pages_of(call, list_method))

    async_run = _async(run)
    async_stream = _async_iterator(stream)
    async_map = _async_iterator(map)
    async_search = _async(search)
    async_paginate = _async_iterator(paginate)

    def _token(self) -> str:
        """The token of a request made now; "" where there is none."""
        if self._api_token is not None:
            return _clean_token(self._api_token, ReplicateError)
        if self is default_client and api_token is not None:
            return _clean_token(api_token, ReplicateError)
        return _clean_token(_token_of_environment(), ReplicateError)

    def _fetch(
        self,
        method: str,
        path: str,
        make: Callable[[Any, Client], _T] | None = None,
        body: Any = None,
        **how: Any,
    ) -> _T:
        """One request as a call of its own; parameters as for _fetched()."""
        call = _Call(self)
        return call.run(self._fetched(call, method, path, make, body, **how))

    async def _fetched(
        self,
        call: _Call,
        method: str,
        path: str,
        make: Callable[[Any, Client], _T] | None = None,
        body: Any = None,
        **how: Any,
    ) -> _T:
        """One request to the API: `path` below its base, or the address of a page.

        make: makes the result of its JSON. how: more of what _Request takes.
        """
        url = self.base_url + self._below_base(path)
        request = _Request(method, url, body=body, **how)
        data = await self._transport.request(call, request)
        if make is None:
            return data  # type: ignore[no-any-return]
        return make(data, self)

    def _below_base(self, path: str) -> str:
        """The path below the API's base of what a page's address names, on any host."""
        if not path.startswith("/"):
            path = _address(path).target
            base = _address(self.base_url).target
            if path.startswith(base + "/"):
                return path[len(base) :]
            before, v1, rest = path.partition("/v1/")
            return f"/{rest}" if v1 else path
        return path


def _token_of_environment() -> str:
    """In a Cog model its caller's token, not its host's; else REPLICATE_API_TOKEN."""
    try:
        context = sys.modules["cog"].current_scope().context
        for key, value in context.items():
            if key.upper() == "REPLICATE_API_TOKEN":
                return _Secret(value or "")
    except Exception:  # no Cog, no request, or another Cog: then there is no such token
        pass
    return _Secret(os.environ.get("REPLICATE_API_TOKEN", ""))


def _hidden(token: str | None) -> str | None:
    """The token as a _Secret: a dump of a frame's local variables does not show it."""
    return _Secret(token) if isinstance(token, str) else token


@functools.lru_cache(maxsize=8)
def _clean_token(token: str, error: type[Exception]) -> str:
    """A token without the white space and quotes that copying adds.

    Raises `error` for one that no header can carry.
    """
    if not isinstance(token, str):
        raise error(f"a token is a str, not {type(token).__name__}")
    token = _Secret(token.strip().strip("'\"").strip())
    if not (token.isascii() and token.isprintable()) or " " in token:
        raise error(
            "the API token has a space, control or non-ASCII character in it; copy it "
            f"again from {_TOKENS_PAGE}"
        )
    return token


@functools.lru_cache(maxsize=16)
def _parse_base_url(text: str) -> str:
    """The API's address; /v1 is added, unless a segment of its path is that already."""
    url = text.strip().rstrip("/")
    if not {"@", "?", "#"}.isdisjoint(url) or len(url.split()) > 1:
        raise ValueError(
            "base_url (REPLICATE_BASE_URL) has no user name, query or space"
        )
    try:
        address = _address(url)
    except ValueError as error:
        raise ValueError(f"base_url (REPLICATE_BASE_URL) {url!r}: {error}") from None
    path = address.target.rstrip("/")
    if "v1" not in path.split("/"):
        path += "/v1"
    return f"{address.scheme}://{address.netloc}{path}"


def _is_number(value: object) -> bool:
    """Whether it is a finite number; True and False are none."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return False
    return abs(value) < 10**300  # what a float can be


def _interval(value: Any) -> float:
    """poll_interval in seconds, from a number or its text."""
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 <= seconds < math.inf or isinstance(value, bool):
        raise ValueError(
            "poll_interval (REPLICATE_POLL_INTERVAL) is a number of seconds, "
            f"not {value!r}"
        )
    return seconds


class Function:
    """What use() gives: a model as a function of its inputs, of any names."""

    def __init__(self, client: Client, ref: _Ref, streaming: bool = False) -> None:
        _target(ref)  # a wrong one is told now
        self._client = client
        self._ref: Any = ref
        self._streaming = streaming

    def run(self, /, **input: Any) -> Any:
        """Run the model and return its output, as Client.run; f(...) is the same."""
        if not self._streaming:
            return self._client.run(self._ref, input)
        call = _Call(self._client)
        run = _run_for(call, self._ref, input, _Options(wait=False))
        return call.iterate(run.items(), begin=True)

    __call__ = run

    def create(self, /, **input: Any) -> Prediction:
        """Create a prediction and return it at once; it is yours to follow."""
        return self._client.predictions.create(self._ref, input)

    def stream(self, /, **input: Any) -> Iterator[ServerSentEvent]:
        """Run the model and yield its output as events, as Client.stream."""
        return self._client.stream(self._ref, input)

    def map(
        self,
        inputs: Iterable[Mapping[str, Any]],
        *,
        concurrency: int = 8,
        ordered: bool = True,
        return_exceptions: bool = False,
        journal: str | os.PathLike[str] | None = None,
        save: str | os.PathLike[str] | None = None,
        rerun_expired: bool = False,
        timeout: float | None = None,
    ) -> Iterator[Any]:
        """Run the model on many inputs, as Client.map."""
        return self._client.map(
            self._ref,
            inputs,
            concurrency=concurrency,
            ordered=ordered,
            return_exceptions=return_exceptions,
            journal=journal,
            save=save,
            rerun_expired=rerun_expired,
            timeout=timeout,
        )

    async_run = _async(run)
    async_create = _async(create)
    async_stream = _async_iterator(stream)
    async_map = _async_iterator(map)


# ------------------------------------------------------------------------------------
# Resources
# ------------------------------------------------------------------------------------
#
# What the API answers, as data. The fields are annotated with their meaning; times are
# ISO 8601, as they were sent. An answer may lack any field: then that reads as None.


class Resource(_Dict):
    """A dict whose keys are attributes too; methods of dict win: `run.urls["get"]`.

    As an attribute an object in it is a Resource too, and a file in an output a
    FileOutput: objects made for the reader. The dict itself stays as it was sent.
    Fields that no class here knows are there all the same; checkers want them as keys.
    """

    _client: Client
    _known: frozenset[str] = frozenset()  # the fields that are annotated
    _kinds: Mapping[str, Any] = {}  # fields that are resources of a class of their own
    # By name: a value in the dict, and what is shown for it. Replaced as a whole, since
    # threads may share a resource.
    _shown: Mapping[str, tuple[Any, Any]] = {}

    def __init_subclass__(cls) -> None:
        named = {name for name in cls.__annotations__ if not name.startswith("_")}
        cls._known |= named

    def __init__(self, data: Any = (), client: Client | None = None) -> None:
        super().__init__(data)
        self._client = client or default_client

    if not TYPE_CHECKING:  # for checkers, what is not declared is a mistake

        def __getattr__(self, name):
            if name in self:
                return self._show(name, self[name])
            if name in self._known:
                return None
            names = ", ".join(sorted(str(key) for key in {*self, *self._known}))
            text = f"{type(self).__name__} has no {name!r}; it has {names[:2000]}"
            raise AttributeError(text)

        def __setattr__(self, name, value):
            if name.startswith("_"):
                super().__setattr__(name, value)
            else:
                self[name] = value

    def _show(self, name: str, value: Any) -> Any:
        """What an attribute gives: the same for as long as the dict holds `value`."""
        shown = self._shown.get(name)
        if shown is None or shown[0] is not value:
            shown = (value, self._converted(name, value))
            self._shown = {**self._shown, name: shown}
        return shown[1]

    def _converted(self, name: str, value: Any) -> Any:
        return _made(self._kinds.get(name, Resource), value, self._client)

    def __dir__(self) -> Iterable[str]:
        return {*super().__dir__(), *self._known, *(str(key) for key in self)}

    def __reduce__(self) -> Any:
        return type(self), (dict(self),)

    def __repr__(self) -> str:
        brief = [key for key in _BRIEF.split() if isinstance(self.get(key), str)][:3]
        if not brief and type(self) is Resource:  # metrics, a configuration
            brief = [key for key, value in self.items() if _is_number(value)][:3]
        fields = ", ".join(f"{key}={_short(self[key])}" for key in brief)
        return f"{type(self).__name__}({fields})"

    def _take(self, fresh: Mapping[str, Any]) -> None:
        """Become what the API says now. What it leaves out this time stays."""
        urls, id = self.get("urls"), self.get("id")
        self.update(fresh)
        if id is not None:  # whatever is answered, it is asked for by the same one
            self["id"] = id
        if isinstance(urls, dict):
            new = self["urls"]
            self["urls"] = {**urls, **new} if isinstance(new, dict) else urls

    async def _refresh(self, call: _Call, method: str, path: str, **how: Any) -> None:
        """Take what a request answers; how: as for Client._fetched()."""
        self._take(await self._client._fetched(call, method, path, **how))


# What a repr shows, three of them at most; never a secret.
_BRIEF = "id status type username owner slug name model version hardware sku query"


def _short(value: Any) -> str:
    """A repr of at most 80 characters; what is large is not rendered for it."""
    import reprlib

    if isinstance(value, (str, bytes, bytearray)):
        text = repr(value[:80])
    else:
        text = reprlib.repr(value)
    return text if len(text) <= 80 else text[:76] + "..." + text[-1]


def _made(kind: Any, value: Any, client: Client) -> Any:
    """JSON with its objects as resources of a kind, in lists of any depth too."""
    if isinstance(value, dict):
        return kind(value, client)
    if not isinstance(value, list):
        return value
    whole = list(value)
    waiting = [whole]
    while waiting:
        items = waiting.pop()
        for place, item in enumerate(items):
            if isinstance(item, dict):
                items[place] = kind(item, client)
            elif isinstance(item, list):
                items[place] = list(item)
                waiting.append(items[place])
    return whole


class Account(Resource):
    """A user or an organization."""

    type: str  # "user" or "organization"
    username: str  # the owner in the names of its models
    name: str | None
    github_url: str | None
    avatar_url: str | None


class Version(Resource):
    """One version of a model, with the schema of its inputs and output."""

    id: str  # 64 hexadecimal digits
    created_at: str
    cog_version: str | None  # the Cog that built it
    openapi_schema: dict[str, Any] | None  # components.schemas.Input and .Output

    def predict(self, /, **input: Any) -> Any:
        """Run it and return the output, as Client.run does."""
        return self._client.run(self, input)

    def create(self, /, **input: Any) -> Prediction:
        """Create a prediction and return it at once; it is then yours to follow."""
        return self._client.predictions.create(self, input)

    def stream(self, /, **input: Any) -> Iterator[ServerSentEvent]:
        """Run it and yield its output as events, as Client.stream does."""
        return self._client.stream(self, input)

    async_predict = _async(predict)
    async_create = _async(create)
    async_stream = _async_iterator(stream)


class Progress(namedtuple("Progress", "percentage current total")):
    """How far a run is, by the last progress bar in its logs."""

    __slots__ = ()
    percentage: float  # 0 to 1
    current: int
    total: int


# A bar of tqdm: " 25%|##5       | 5/20 [00:01<00:03, 4.9it/s]". Linear: it is tried at
# a whole number alone, and left at the next but one "|". Numbers are bounded.
_BAR = r"(?<!\d)(\d{1,3})%[ \t]*\|[^|\r\n]*\|[ \t]*(\d{1,18})/(\d{1,18})(?!\d)"


class Prediction(Resource):
    """A run of a model. https://replicate.com/docs/reference/http#predictions.get"""

    id: str
    model: str  # "owner/name"
    version: str  # its id; "hidden" for official models
    status: str  # starting, processing, succeeded, failed, canceled or aborted
    input: dict[str, Any] | None  # what it was given; removed after an hour
    output: Any  # what it has made so far; removed after an hour
    logs: str | None  # what it has printed so far
    error: str | None  # why it failed
    metrics: Any  # predict_time and total_time, in seconds
    created_at: str | None
    started_at: str | None
    completed_at: str | None
    source: str | None  # "api" or "web"
    urls: dict[str, str] | None  # get, cancel, web and, where it can stream, stream
    data_removed: bool | None  # whether input and output were removed
    deadline: str | None  # when the server will cancel it
    deployment: str | None  # the deployment that runs it

    _collection = "predictions"  # where it is found, whatever its urls say

    def _converted(self, name: str, value: Any) -> Any:
        if name == "output":
            value = _files(value, self._client)
            if isinstance(value, list):  # it may be large, and its items are data
                return value
        return super()._converted(name, value)

    def _path(self, *more: str) -> str:
        return _path(self._collection, self.id, *more)

    def _url(self, name: str) -> str:
        """One of its addresses, "" where it has no such."""
        urls = self.get("urls")
        address = urls.get(name) if isinstance(urls, dict) else None
        return address if isinstance(address, str) else ""

    def reload(self) -> None:
        """Load its present state."""
        call = _Call(self._client)
        return call.run(self._refresh(call, "GET", self._path(), read=_read_run))

    def cancel(self) -> None:
        """Cancel it; one that is over stays as it is."""
        call = _Call(self._client)
        path = self._path("cancel")
        return call.run(self._refresh(call, "POST", path, read=_read_run))

    def wait(self, timeout: float | None = None) -> None:
        """Wait until it is over, in failure too: see `status`. Cancels nothing.

        Raises PredictionTimeout when that takes longer than `timeout` seconds.
        """
        call = _Call(self._client, timeout)
        return call.run(_ended(call, self))

    def output_iterator(self) -> Iterator[Any]:
        """Yield the output's items as they come, from the first one. Cancels nothing.

        A growing string yields its new tails, any other value is yielded once, at the
        end. Raises ModelError when the run fails.
        """
        call = _Call(self._client)
        return call.iterate(_items(call, self, self._client))

    def stream(self, use_file_output: bool = True) -> Iterator[ServerSentEvent]:
        """Yield the output as events, from the first one. Cancels nothing.

        use_file_output: False for addresses of files as plain str. Raises ModelError
        when the run fails.
        """
        call = _Call(self._client)
        client = self._client if use_file_output else None
        return call.iterate(_events(call, self, client))

    async_reload = _async(reload)
    async_cancel = _async(cancel)
    async_wait = _async(wait)
    async_output_iterator = _async_iterator(output_iterator)
    async_stream = _async_iterator(stream)

    @property
    def progress(self) -> Progress | None:
        """The last progress bar (of tqdm) in its logs; None where there is none."""
        logs = self.get("logs")
        bars = re.findall(_BAR, logs[-_LOG_TAIL:]) if isinstance(logs, str) else []
        if not bars:
            return None
        percent, current, total = bars[-1]
        return Progress(int(percent) / 100, int(current), int(total))


class Training(Prediction):
    """A run that makes a new version of a model: `output.version`, `output.weights`."""

    destination: str | None  # the model that it pushes to, where the API says so
    _collection = "trainings"


class _Named(Resource):
    """What is named by its owner and a name."""

    owner: str
    name: str

    @property
    def id(self) -> str:
        """What names it: "owner/name"."""
        return f"{self.get('owner', '')}/{self.get('name', '')}"


class Model(_Named):
    """A model: what it is, and its latest version."""

    url: str  # its page
    description: str | None
    visibility: str  # "public" or "private"
    is_official: bool | None  # run by name, always on
    github_url: str | None
    paper_url: str | None
    license_url: str | None
    run_count: int | None
    cover_image_url: str | None
    default_example: Prediction | None
    latest_version: Version | None
    _kinds = {"default_example": Prediction, "latest_version": Version}

    @property
    def versions(self) -> Versions:
        """Its versions: .list(), .get(id), .delete(id)."""
        return Versions(self._client, self)

    def predict(self, /, **input: Any) -> Any:
        """Run it and return the output, as Client.run does."""
        return self._client.run(self, input)

    def reload(self) -> None:
        """Load its present state."""
        call = _Call(self._client)
        path = _path("models", *_owner_name(self))
        return call.run(self._refresh(call, "GET", path))

    async_predict = _async(predict)
    async_reload = _async(reload)


class Deployment(_Named):
    """A model's version on hardware of one's own choosing."""

    # number, model, version, created_at, created_by, configuration (hardware,
    # min_instances, max_instances)
    current_release: Any

    @property
    def predictions(self) -> DeploymentPredictions:
        """Its runs: .create(input, ...)."""
        return DeploymentPredictions(self._client, self)


class File(Resource):
    """An uploaded file, gone after 24 hours. It can be given as an input as it is."""

    id: str
    name: str | None
    content_type: str
    size: int  # bytes
    etag: str | None
    checksums: dict[str, str]  # sha256, md5
    metadata: dict[str, Any]  # what was given with it
    created_at: str
    expires_at: str | None
    urls: dict[str, str]  # get


class Collection(Resource):
    """A collection of models."""

    name: str
    slug: str  # what names it
    description: str
    full_description: str | None  # Markdown
    models: list[Model] | None
    _kinds = {"models": Model}

    @property
    def id(self) -> str:
        """What names it: the slug."""
        return self.slug


class Hardware(Resource):
    """A kind of machine that models run on."""

    name: str
    sku: str  # what names it

    @property
    def id(self) -> str:
        """What names it: the sku."""
        return self.sku


class SearchMatch(Resource):
    """A model that was found, and how well it fits."""

    model: Model
    metadata: Any  # generated_description, tags, score
    _kinds = {"model": Model}


class SearchResults(Resource):
    """What a search has found."""

    query: str
    models: list[SearchMatch]
    collections: list[Collection]
    pages: list[Any]  # of the manual: name and href
    _kinds = {"models": SearchMatch, "collections": Collection}


class WebhookSigningSecret(Resource):
    """The secret that signs webhooks; its repr does not show it."""

    key: str  # "whsec_..."


class Page(_List[_T]):
    """A list of one page's results."""

    def __init__(
        self,
        results: Iterable[_T] = (),
        next: str | None = None,
        previous: str | None = None,
        kind: Any = Resource,
        asked: str = "",
        client: Client | None = None,
    ) -> None:
        super().__init__(results)
        self.next = next  # the addresses of its neighbours: list(page.next)
        self.previous = previous
        self._kind = kind  # the class of its results
        self._asked = asked  # the path or address where it was found
        self._client = client or default_client

    @property
    def results(self) -> list[_T]:
        """The results as a plain list."""
        return list(self)

    def iter_all(self) -> Iterator[_T]:
        """Yield its results, and those of all pages after it as they are reached."""
        call = _Call(self._client)
        return call.iterate(_walk_results(call, self))

    async_iter_all = _async_iterator(iter_all)

    def __reduce__(self) -> Any:
        state = (list(self), self.next, self.previous, self._kind, self._asked)
        return type(self), state


# ------------------------------------------------------------------------------------
# Endpoints
# ------------------------------------------------------------------------------------
#
# A class for each kind of thing, a method for each operation of the API; its route ends
# its docstring. A model or deployment is named by "owner", "name", or "owner/name", or
# the resource itself. What the API learns tomorrow goes into `extra`, a dict that is
# added to the body.


def _id(thing: Any) -> Any:
    """The id of a resource; anything else as it is."""
    return getattr(thing, "id", None) if isinstance(thing, Resource) else thing


def _segment(thing: Any) -> str:
    """What names a thing in a path."""
    text = _id(thing)
    if not isinstance(text, str) or text in ("", ".", ".."):
        raise ValueError(f"{_short(thing)} cannot name anything there")
    return text


def _path(*things: Any) -> str:
    """A path below /v1, each segment quoted (RFC 3986, section 3.3)."""
    segments = [urllib.parse.quote(_segment(thing), safe="") for thing in things]
    return "/" + "/".join(segments)


def _query(path: str, **given: Any) -> str:
    """A path with a query of what was given, dates as ISO 8601."""
    pairs = {}
    for name, value in given.items():
        if value is not None:
            pairs[name] = value.isoformat() if hasattr(value, "isoformat") else value
    return f"{path}?{urllib.parse.urlencode(pairs)}" if pairs else path


def _owner_name(owner: Any, name: Any = None) -> tuple[str, str]:
    """Owner and name of a model or deployment, from all the forms that name one."""
    whole = _id(owner)
    if name is not None:
        whole = (whole, name)
    elif isinstance(whole, str):
        whole = tuple(whole.split("/"))
    if not isinstance(whole, tuple) or len(whole) != 2:
        raise ValueError(f"expected 'owner/name', not {_short(owner)}")
    return _segment(whole[0]), _segment(whole[1])


def _version_path(model: Any, *more: Any) -> str:
    """The path of a version: "owner/name:id", or a model with the id after it."""
    rest = [thing for thing in more if thing is not None]
    if isinstance(model, str) and not rest:
        model, _, version = model.partition(":")
        rest = [version]
    *name, version = rest or [None]
    return _path("models", *_owner_name(model, *name), "versions", version)


def _body(extra: Mapping[str, Any] | None, **fields: Any) -> dict[str, Any]:
    """The body of a creation or change: resources by id, None left out."""
    body = {}
    for name, value in fields.items():
        if isinstance(value, Resource):
            value = _segment(value)
        if value is not None:
            body[name] = value
    body.update(extra or {})
    return body


def _json_body(value: Any) -> bytes:
    """JSON's text. Raises ValueError or TypeError for what JSON cannot say."""
    try:
        return json.dumps(value, allow_nan=False).encode()
    except RecursionError:
        raise ValueError("a value contains itself, or is nested too deeply") from None


def _page(kind: Any, asked: str, data: Mapping[str, Any], client: Client) -> Page[Any]:
    """The page that was asked for. The addresses of its neighbours keep its filters."""
    pairs = urllib.parse.parse_qsl(asked.partition("?")[2], keep_blank_values=True)
    filters = [pair for pair in pairs if pair[0] != "cursor"]
    results = data.get("results")
    return Page(
        _made(kind, results, client) if isinstance(results, list) else [],
        _neighbour(data.get("next"), filters),
        _neighbour(data.get("previous"), filters),
        kind,
        asked,
        client,
    )


def _neighbour(address: Any, filters: Iterable[tuple[str, str]]) -> str | None:
    """A page's address, with the filters that it lacks added; None for no page, which
    the API tells as null, or as "null"."""
    if not isinstance(address, str) or address in ("", "null"):
        return None
    path, _, query = address.partition("?")
    pairs = urllib.parse.parse_qsl(query, keep_blank_values=True)
    there = {name for name, _ in pairs}
    missing = [pair for pair in filters if pair[0] not in there]
    if not missing:
        return address
    return f"{path}?{urllib.parse.urlencode(pairs + missing)}"


async def _walk(call: _Call, page: Page[_T], **how: Any) -> AsyncIterator[Page[_T]]:
    """Yield a page and all after it as they are reached, but none a second time."""
    first, seen = page._asked, set()  # the first one's may be a path alone
    yield page
    while page.next is not None and page.next not in seen:
        if first and page.next.endswith(first):
            return
        seen.add(page.next)
        make = functools.partial(_page, page._kind, page.next)
        page = await page._client._fetched(call, "GET", page.next, make, **how)
        yield page


async def _walk_results(call: _Call, page: Page[_T]) -> AsyncIterator[_T]:
    async for each in _walk(call, page):
        for result in each:
            yield result


async def _pages_of(call: _Call, list_method: Any) -> AsyncIterator[Page[Any]]:
    """Walk from the page that a list method, or its async_ twin, gives."""
    first: Any = await call.face.in_thread(list_method)
    if hasattr(first, "__await__"):
        first = await first
    if not isinstance(first, Page):
        raise TypeError(f"paginate() takes a list method, not {_short(list_method)}")
    async for page in _walk(call, first):
        yield page


def _create_only(
    kind: Any, client: Client, target: _Target, input: Any, options: _Options
) -> Any:
    """Create a run, and no more: it is the caller's to follow."""
    if target.cog:
        raise ValueError("a container keeps no runs: use run() or stream() with it")
    call = _Call(client, options.timeout, options.api_token)
    run = _Run(call, target, input, options, kind)
    return call.run(run.create())


class Namespace:
    """The methods about one kind of thing."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def _get(self, kind: Callable[[Any, Client], _T], *segments: Any) -> _T:
        return self._client._fetch("GET", _path(*segments), kind)

    def _delete(self, path: str) -> bool:
        return self._client._fetch("DELETE", path, read=_read_nothing)

    def _list(self, kind: Any, path: str, cursor: str, **filters: Any) -> Page[Any]:
        """The first page of a list with filters, or the one at `cursor`, an address
        that has its filters in it."""
        if not isinstance(cursor, str):
            raise ValueError(
                f"cursor is a page's next or previous, not {_short(cursor)}"
            )
        where = cursor or _query(path, **filters)
        make = functools.partial(_page, kind, where)
        return self._client._fetch("GET", where, make)


class Predictions(Namespace):
    """Runs of models. https://replicate.com/docs/reference/http#predictions"""

    def create(
        self,
        version: str | Version | None = None,
        input: Mapping[str, Any] | None = None,
        *,
        model: str | tuple[str, str] | Model | None = None,
        deployment: str | tuple[str, str] | Deployment | None = None,
        wait: bool | int = False,
        timeout: float | None = None,
        webhook: str | None = None,
        webhook_events_filter: Sequence[str] | None = None,
        cancel_after: str | float | None = None,
        on_update: Callable[[Prediction], Any] | None = None,
        file_encoding_strategy: str | None = None,
        use_file_output: bool = True,
        api_token: str | None = None,
        stream: bool | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Prediction:
        """Create a prediction of a version, a model= or a deployment=, and return it.

        wait: True or 1 to 60 holds the one request so many seconds; it never polls.
        Options as for Client.run; stream is of 1.x. POST /predictions
        """
        api_token = _hidden(api_token)
        if [version, model, deployment].count(None) != 2:
            raise ValueError(
                "exactly one of version, model and deployment says what to run"
            )
        ref: Any = version
        if model is not None:
            ref = "/".join(_owner_name(model))
        if deployment is not None:
            ref = "/".join(["deployments", *_owner_name(deployment)])
        options = _Options(
            wait=wait,
            timeout=timeout,
            webhook=webhook,
            webhook_events_filter=webhook_events_filter,
            cancel_after=cancel_after,
            on_update=on_update,
            file_encoding_strategy=file_encoding_strategy,
            use_file_output=use_file_output,
            api_token=api_token,
            stream=stream,
            extra=extra,
        )
        made: Prediction = _create_only(
            Prediction, self._client, _target(ref), input, options
        )
        return made

    def get(self, id: str) -> Prediction:
        """Return a prediction's present state. GET /predictions/{id}"""
        return self._get(Prediction, "predictions", id)

    def cancel(self, id: str) -> Prediction:
        """Cancel a prediction and return it. POST /predictions/{id}/cancel"""
        path = _path("predictions", id, "cancel")
        return self._client._fetch("POST", path, Prediction)

    def list(
        self,
        cursor: str = "",
        *,
        created_after: str | datetime.datetime | None = None,
        created_before: str | datetime.datetime | None = None,
        source: str | None = None,
    ) -> Page[Prediction]:
        """Return a page of your runs, newest first. GET /predictions

        cursor: a page's next or previous. source: "web" for those made there.
        """
        return self._list(
            Prediction,
            "/predictions",
            cursor,
            created_after=created_after,
            created_before=created_before,
            source=source,
        )

    async_create = _async(create)
    async_get = _async(get)
    async_cancel = _async(cancel)
    async_list = _async(list)


class ModelsPredictions(Namespace):
    """Runs of models: `client.models.predictions`."""

    def create(
        self,
        model: str | tuple[str, str] | Model,
        input: Mapping[str, Any] | None = None,
        *,
        wait: bool | int = False,
        timeout: float | None = None,
        webhook: str | None = None,
        webhook_events_filter: Sequence[str] | None = None,
        cancel_after: str | float | None = None,
        on_update: Callable[[Prediction], Any] | None = None,
        file_encoding_strategy: str | None = None,
        use_file_output: bool = True,
        api_token: str | None = None,
        stream: bool | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Prediction:
        """Create a prediction, as Predictions.create does.

        POST /models/{owner}/{name}/predictions
        """
        api_token = _hidden(api_token)
        return self._client.predictions.create(
            None,
            input,
            model=model,
            wait=wait,
            timeout=timeout,
            webhook=webhook,
            webhook_events_filter=webhook_events_filter,
            cancel_after=cancel_after,
            on_update=on_update,
            file_encoding_strategy=file_encoding_strategy,
            use_file_output=use_file_output,
            api_token=api_token,
            stream=stream,
            extra=extra,
        )

    async_create = _async(create)


class DeploymentsPredictions(Namespace):
    """Runs of deployments: `client.deployments.predictions`."""

    def create(
        self,
        deployment: str | tuple[str, str] | Deployment,
        input: Mapping[str, Any] | None = None,
        *,
        wait: bool | int = False,
        timeout: float | None = None,
        webhook: str | None = None,
        webhook_events_filter: Sequence[str] | None = None,
        cancel_after: str | float | None = None,
        on_update: Callable[[Prediction], Any] | None = None,
        file_encoding_strategy: str | None = None,
        use_file_output: bool = True,
        api_token: str | None = None,
        stream: bool | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Prediction:
        """Create a prediction, as Predictions.create does.

        POST /deployments/{owner}/{name}/predictions
        """
        api_token = _hidden(api_token)
        return self._client.predictions.create(
            None,
            input,
            deployment=deployment,
            wait=wait,
            timeout=timeout,
            webhook=webhook,
            webhook_events_filter=webhook_events_filter,
            cancel_after=cancel_after,
            on_update=on_update,
            file_encoding_strategy=file_encoding_strategy,
            use_file_output=use_file_output,
            api_token=api_token,
            stream=stream,
            extra=extra,
        )

    async_create = _async(create)


class DeploymentPredictions(Namespace):
    """Runs of one deployment: `deployment.predictions`."""

    def __init__(self, client: Client, deployment: Deployment) -> None:
        super().__init__(client)
        self._deployment = deployment

    def create(
        self,
        input: Mapping[str, Any] | None = None,
        *,
        wait: bool | int = False,
        timeout: float | None = None,
        webhook: str | None = None,
        webhook_events_filter: Sequence[str] | None = None,
        cancel_after: str | float | None = None,
        on_update: Callable[[Prediction], Any] | None = None,
        file_encoding_strategy: str | None = None,
        use_file_output: bool = True,
        api_token: str | None = None,
        stream: bool | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Prediction:
        """Create a prediction, as Predictions.create does."""
        api_token = _hidden(api_token)
        return self._client.predictions.create(
            None,
            input,
            deployment=self._deployment,
            wait=wait,
            timeout=timeout,
            webhook=webhook,
            webhook_events_filter=webhook_events_filter,
            cancel_after=cancel_after,
            on_update=on_update,
            file_encoding_strategy=file_encoding_strategy,
            use_file_output=use_file_output,
            api_token=api_token,
            stream=stream,
            extra=extra,
        )

    async_create = _async(create)


class ModelsVersions(Namespace):
    """Versions of models: `client.models.versions`."""

    def get(self, model: str | Model, *more: str, id: str | None = None) -> Version:
        """Return a version: get("owner/name", id), get("owner/name:id").

        GET /models/{owner}/{name}/versions/{id}
        """
        return self._client._fetch("GET", _version_path(model, *more, id), Version)

    def list(
        self, model: str | Model, name: str | None = None, *, cursor: str = ""
    ) -> Page[Version]:
        """Return a page of a model's versions, newest first.

        GET /models/{owner}/{name}/versions
        """
        path = _path("models", *_owner_name(model, name), "versions")
        return self._list(Version, path, cursor)

    def delete(self, model: str | Model, *more: str, id: str | None = None) -> bool:
        """Delete a private model's version, named as for get(); True.

        DELETE /models/{owner}/{name}/versions/{id}
        """
        return self._delete(_version_path(model, *more, id))

    async_get = _async(get)
    async_list = _async(list)
    async_delete = _async(delete)


class Versions(Namespace):
    """Versions of one model: `model.versions`."""

    def __init__(self, client: Client, model: Model) -> None:
        super().__init__(client)
        self._model = model

    def get(self, id: str) -> Version:
        """Return a version. GET /models/{owner}/{name}/versions/{id}"""
        return self._client.models.versions.get(self._model, id)

    def list(self, cursor: str = "") -> Page[Version]:
        """Return a page of them, newest first. GET /models/{owner}/{name}/versions"""
        return self._client.models.versions.list(self._model, cursor=cursor)

    def delete(self, id: str) -> bool:
        """Delete a version; True. DELETE /models/{owner}/{name}/versions/{id}"""
        return self._client.models.versions.delete(self._model, id)

    async_get = _async(get)
    async_list = _async(list)
    async_delete = _async(delete)


class Examples(Namespace):
    """Predictions that a model's author saved as examples."""

    def list(
        self, model: str | Model, name: str | None = None, *, cursor: str = ""
    ) -> Page[Prediction]:
        """Return a page of a model's examples. GET /models/{owner}/{name}/examples"""
        path = _path("models", *_owner_name(model, name), "examples")
        return self._list(Prediction, path, cursor)

    async_list = _async(list)


class Readme(Namespace):
    """A model's README."""

    def get(self, model: str | Model, name: str | None = None) -> str:
        """Return a model's README as Markdown. GET /models/{owner}/{name}/readme"""
        path = _path("models", *_owner_name(model, name), "readme")
        return self._client._fetch("GET", path, read=_read_text)

    async_get = _async(get)


class Models(Namespace):
    """Models. https://replicate.com/docs/reference/http#models"""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.versions = ModelsVersions(client)
        self.examples = Examples(client)
        self.readme = Readme(client)
        self.predictions = ModelsPredictions(client)

    @overload
    def get(self, owner: str | Model, name: str | None = None) -> Model: ...
    @overload
    def get(self, *, key: str) -> Model: ...  # noqa: F811
    def get(  # noqa: F811
        self, owner: str | Model = "", name: str | None = None, *, key: str = ""
    ) -> Model:
        """Return a model: get("owner/name"), get("owner", "name") or get(key=...).

        GET /models/{owner}/{name}
        """
        return self._get(Model, "models", *_owner_name(key or owner, name))

    def list(
        self,
        cursor: str = "",
        *,
        sort_by: str | None = None,
        sort_direction: str | None = None,
    ) -> Page[Model]:
        """Return a page of public models. GET /models

        cursor: a page's next or previous. sort_by: "model_created_at" or
        "latest_version_created_at". sort_direction: "asc" or "desc".
        """
        return self._list(
            Model, "/models", cursor, sort_by=sort_by, sort_direction=sort_direction
        )

    def search(self, query: str) -> Page[Model]:
        """Return a page of models that match; search() finds more. QUERY /models"""
        if not isinstance(query, str):
            raise TypeError(f"query is a str, not {_short(query)}")
        return self._client._fetch(
            "QUERY",
            "/models",
            functools.partial(_page, Model, "/models"),
            query,
        )

    def create(
        self,
        owner: str,
        name: str | None = None,
        *,
        visibility: str,
        hardware: str | Hardware,
        description: str | None = None,
        github_url: str | None = None,
        paper_url: str | None = None,
        license_url: str | None = None,
        cover_image_url: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Model:
        """Create a model, "public" or "private", on a hardware's sku. POST /models"""
        owner, name = _owner_name(owner, name)
        body = _body(
            extra,
            owner=owner,
            name=name,
            visibility=visibility,
            hardware=hardware,
            description=description,
            github_url=github_url,
            paper_url=paper_url,
            license_url=license_url,
            cover_image_url=cover_image_url,
        )
        return self._client._fetch(
            "POST", "/models", Model, body, once=True, noun="model"
        )

    def update(
        self,
        owner: str | Model,
        name: str | None = None,
        *,
        description: str | None = None,
        readme: str | None = None,
        github_url: str | None = None,
        paper_url: str | None = None,
        weights_url: str | None = None,
        license_url: str | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Model:
        """Change a model's description, and return it. PATCH /models/{owner}/{name}"""
        path = _path("models", *_owner_name(owner, name))
        body = _body(
            extra,
            description=description,
            readme=readme,
            github_url=github_url,
            paper_url=paper_url,
            weights_url=weights_url,
            license_url=license_url,
        )
        return self._client._fetch("PATCH", path, Model, body, once=True, noun="change")

    @overload
    def delete(self, owner: str | Model, name: str | None = None) -> bool: ...
    @overload
    def delete(self, *, key: str) -> bool: ...  # noqa: F811
    def delete(  # noqa: F811
        self, owner: str | Model = "", name: str | None = None, *, key: str = ""
    ) -> bool:
        """Delete a private model that has no versions, named as for get(); True.

        DELETE /models/{owner}/{name}
        """
        return self._delete(_path("models", *_owner_name(key or owner, name)))

    async_get = _async(get)
    async_list = _async(list)
    async_search = _async(search)
    async_create = _async(create)
    async_update = _async(update)
    async_delete = _async(delete)


class Trainings(Namespace):
    """Trainings. https://replicate.com/docs/reference/http#trainings"""

    def create(
        self,
        version: str | Version,
        input: Mapping[str, Any],
        destination: str | tuple[str, str] | Model,
        webhook: str | None = None,
        webhook_completed: str | None = None,
        webhook_events_filter: Sequence[str] | None = None,
        *,
        model: str | tuple[str, str] | Model | None = None,
        wait: bool | int = False,
        timeout: float | None = None,
        cancel_after: str | float | None = None,
        on_update: Callable[[Prediction], Any] | None = None,
        file_encoding_strategy: str | None = None,
        use_file_output: bool = True,
        api_token: str | None = None,
        stream: bool | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Training:
        """Start a training and return it: of "owner/name:id", or of model= and an id.

        destination: the model of yours that the new version is pushed to. Options as
        for Client.run. POST /models/{owner}/{name}/versions/{id}/trainings
        """
        api_token = _hidden(api_token)
        named = [version] if model is None else [model, version]
        options = _Options(
            wait=wait,
            timeout=timeout,
            webhook=webhook,
            webhook_events_filter=webhook_events_filter,
            cancel_after=cancel_after,
            on_update=on_update,
            file_encoding_strategy=file_encoding_strategy,
            use_file_output=use_file_output,
            api_token=api_token,
            stream=stream,
            extra=extra,
            destination="/".join(_owner_name(destination)),
            webhook_completed=webhook_completed,
        )
        target = _Target(_version_path(*named) + "/trainings")
        made: Training = _create_only(Training, self._client, target, input, options)
        return made

    def get(self, id: str) -> Training:
        """Return a training's present state. GET /trainings/{id}"""
        return self._get(Training, "trainings", id)

    def cancel(self, id: str) -> Training:
        """Cancel a training and return it. POST /trainings/{id}/cancel"""
        return self._client._fetch("POST", _path("trainings", id, "cancel"), Training)

    def list(self, cursor: str = "") -> Page[Training]:
        """Return a page of your trainings, newest first. GET /trainings"""
        return self._list(Training, "/trainings", cursor)

    async_create = _async(create)
    async_get = _async(get)
    async_cancel = _async(cancel)
    async_list = _async(list)


class Deployments(Namespace):
    """Deployments. https://replicate.com/docs/reference/http#deployments"""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.predictions = DeploymentsPredictions(client)

    def get(
        self, name: str | Deployment, deployment_name: str | None = None
    ) -> Deployment:
        """Return a deployment: get("owner/name"), get("owner", "name").

        GET /deployments/{owner}/{name}
        """
        names = _owner_name(name, deployment_name)
        return self._get(Deployment, "deployments", *names)

    def list(self, cursor: str = "") -> Page[Deployment]:
        """Return a page of your deployments. GET /deployments"""
        return self._list(Deployment, "/deployments", cursor)

    def create(
        self,
        name: str,
        model: str | Model,
        version: str | Version,
        hardware: str | Hardware,
        min_instances: int,
        max_instances: int,
        *,
        extra: Mapping[str, Any] | None = None,
    ) -> Deployment:
        """Create a deployment of a version on a hardware's sku. POST /deployments"""
        body = _body(
            extra,
            name=_segment(name).rpartition("/")[2],
            model=model,
            version=version,
            hardware=hardware,
            min_instances=min_instances,
            max_instances=max_instances,
        )
        return self._client._fetch(
            "POST", "/deployments", Deployment, body, once=True, noun="deployment"
        )

    def update(
        self,
        deployment_owner: str | Deployment,
        deployment_name: str | None = None,
        *,
        version: str | Version | None = None,
        hardware: str | Hardware | None = None,
        min_instances: int | None = None,
        max_instances: int | None = None,
        extra: Mapping[str, Any] | None = None,
    ) -> Deployment:
        """Change a deployment, and return it. PATCH /deployments/{owner}/{name}"""
        path = _path("deployments", *_owner_name(deployment_owner, deployment_name))
        body = _body(
            extra,
            version=version,
            hardware=hardware,
            min_instances=min_instances,
            max_instances=max_instances,
        )
        return self._client._fetch(
            "PATCH", path, Deployment, body, once=True, noun="change"
        )

    def delete(
        self, deployment_owner: str | Deployment, deployment_name: str | None = None
    ) -> bool:
        """Delete a deployment, idle for 15 minutes; True.

        DELETE /deployments/{owner}/{name}
        """
        names = _owner_name(deployment_owner, deployment_name)
        return self._delete(_path("deployments", *names))

    async_get = _async(get)
    async_list = _async(list)
    async_create = _async(create)
    async_update = _async(update)
    async_delete = _async(delete)


class Files(Namespace):
    """Uploaded files. https://replicate.com/docs/reference/http#files"""

    def create(
        self,
        file: str | os.PathLike[str] | bytes | BinaryIO,
        filename: str | None = None,
        content_type: str | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> File:
        """Upload a file, 100 MiB at most, from where it stands. POST /files

        file: a path, its bytes, or anything with read(). metadata: for your own use.
        """
        call = _Call(self._client)  # before read() of the caller's
        source = _Source(file, filename, content_type, metadata)
        upload = self._client._fetched(
            call,
            "POST",
            "/files",
            File,
            source,
            read=_read_created,
            once=True,
            noun="file",
        )
        return call.run(upload)

    def get(self, file_id: str) -> File:
        """Return what is known of an uploaded file. GET /files/{id}"""
        return self._get(File, "files", file_id)

    def list(self, cursor: str = "") -> Page[File]:
        """Return a page of your files, newest first. GET /files"""
        return self._list(File, "/files", cursor)

    def delete(self, file_id: str) -> bool:
        """Delete a file; True. DELETE /files/{id}"""
        return self._delete(_path("files", file_id))

    def download(
        self, file_id: str, *, owner: str, expiry: int | str, signature: str
    ) -> bytes:
        """Return a file that its owner has signed for. GET /files/{id}/download

        expiry: the second, in Unix time, until which the signature holds.
        """
        path = _path("files", file_id, "download")
        where = _query(path, owner=owner, expiry=expiry, signature=signature)
        return self._client._fetch("GET", where, read=bytes)

    async_create = _async(create)
    async_get = _async(get)
    async_list = _async(list)
    async_delete = _async(delete)
    async_download = _async(download)


class Collections(Namespace):
    """Collections of models. https://replicate.com/docs/reference/http#collections"""

    def get(self, slug: str) -> Collection:
        """Return a collection with its models. GET /collections/{slug}"""
        return self._get(Collection, "collections", slug)

    def list(self, cursor: str = "") -> Page[Collection]:
        """Return a page of collections, without their models. GET /collections"""
        return self._list(Collection, "/collections", cursor)

    async_get = _async(get)
    async_list = _async(list)


class HardwareNamespace(Namespace):
    """The machines that models run on."""

    def list(self) -> List[Hardware]:  # noqa: UP006
        """Return all of them. GET /hardware"""
        make = functools.partial(_made, Hardware)
        return self._client._fetch("GET", "/hardware", make, read=_read_list)

    async_list = _async(list)


class Accounts(Namespace):
    """The account that the token belongs to."""

    def current(self) -> Account:
        """Return the account. GET /account"""
        return self._client._fetch("GET", "/account", Account)

    def get(self) -> Account:
        """Return the account; current() is the same."""
        return self.current()

    async_current = _async(current)
    async_get = _async(get)


# ------------------------------------------------------------------------------------
# Outputs
# ------------------------------------------------------------------------------------
#
# A download is one _Download: it hands over blocks with their places, so that what
# breaks can go on where it ended, or start anew. read() and open() write them to
# memory, save() to a file beside its target, iter_bytes() hands them on.

# How a file in an output begins: an address with a host, or the head of a data URI.
_FILE = (
    r"(?ai)https?://(?:[^\s/?#@\[\]]*@)?"
    r"(?:[^\s/?#:@\[\]\\]+|\[[\da-f:.]+\])(?::\d*)?(?:[/?#]|\Z)"
    r"|data:(?:[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+(?:=[\w.+\"-]+)?)*,"
)
# Control characters, those that turn the direction of text or are not seen, halves of
# surrogate pairs, and what Windows has in no name.
_UNFIT = (
    r'[\x00-\x1f\x7f-\x9f<>:"/\\|?*\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff'
    "\ud800-\udfff]"
)
# Names that Windows keeps for devices, and endings that `import` looks for.
_DEVICE = r"(?i)\A(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d\xb9\xb2\xb3]) *(\.|\Z)"
_IMPORTED = r"(?i)\.(py[cdwo]?|so|dll)\Z"
# Standard output and the like, which may be files, but are to be written as they are.
_DEVICES = r"/dev/(std(out|err)\Z|fd/)|/proc/[^/]+/fd/"
_CONTENT_RANGE = r"(?a)bytes (\d{1,18})-\d{1,18}/(\d{1,18})"


def _is_file(value: Any) -> bool:
    """Whether a value in an output is a file: a whole address or data URI, no prose."""
    if not isinstance(value, str) or not re.match(_FILE, value):
        return False
    return value.split(None, 1) == [value]  # no white space; the quickest way to tell


def _holds_file(value: Any) -> bool:
    """Whether there is a file in a JSON value, in the time of a look at each item."""
    waiting = [[value]]
    while waiting:
        holder: Any = waiting.pop()
        for item in holder.values() if type(holder) is dict else holder:
            kind = type(item)
            if kind is str:
                if item[:1] in "hHdD" and _is_file(item):
                    return True
            elif kind is list or kind is dict:
                waiting.append(item)
    return False


def _files(value: Any, client: Client | None) -> Any:
    """A JSON value with its files as FileOutputs: a copy, or itself without any.

    client: theirs; None where files stay plain addresses.
    """
    if client is None or not _holds_file(value):
        return value
    whole: list[Any] = [value]
    waiting: list[Any] = [whole]
    for holder in waiting:  # which grows meanwhile
        places = holder.items() if type(holder) is dict else enumerate(holder)
        for key, item in places:
            if type(item) in (list, dict):
                holder[key] = item.copy()
                waiting.append(holder[key])
            elif _is_file(item):
                holder[key] = FileOutput(item, client)
    return whole[0]


class _Link(str):
    """An address that gives itself when called, as Replicate's own pages call it."""

    def __call__(self) -> str:
        return self


class FileOutput(str):
    """A file that a model made: a str, its URL or data URI, that can be read and saved.

    Save it soon: it is deleted an hour after the run.
    """

    _client: Client

    def __new__(cls, url: str, client: Client | None = None) -> FileOutput:
        self = super().__new__(cls, url)
        self._client = client or default_client
        return self

    @property
    def url(self) -> _Link:
        """The URL as a plain str."""
        return _Link(self)

    def __repr__(self) -> str:
        if len(self) > 200 and self[:5].lower() == "data:":
            return repr(self[:60] + "...")
        return super().__repr__()

    def __reduce__(self) -> Any:
        return type(self), (str(self),)

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self.async_iter_bytes().__aiter__()

    def iter_bytes(self, chunk_size: int = _BLOCK) -> Iterator[bytes]:
        """Yield the content as it arrives, in chunks of at most chunk_size bytes."""
        if type(chunk_size) is not int or chunk_size < 1:
            raise ValueError(f"chunk_size is a number of bytes, not {chunk_size!r}")
        call = _Call(self._client)
        return call.iterate(_chunks(call, self, chunk_size))

    def read(self) -> bytes:
        """Return the content."""
        call = _Call(self._client)
        return call.run(_content(call, self))

    def open(self) -> BinaryIO:
        """Return the content as a file that can be read, as by PIL.Image.open()."""
        call = _Call(self._client)
        return call.run(_opened(call, self))

    def save(self, path: str | os.PathLike[str] | None = None) -> pathlib.Path:
        """Save the file and return its path; nothing is there before all of it is.

        path is a file's name, or a directory (None: the current one), in which the file
        gets the name from its URL, numbered where that is taken.
        """
        call = _Call(self._client)
        return call.run(_saved(call, self, "." if path is None else path))

    async_iter_bytes = _async_iterator(iter_bytes)
    async_read = aread = _async(read)  # aread: the name in 1.x
    async_open = _async(open)
    async_save = _async(save)

    def _repr_html_(self) -> str:
        import html

        url = html.escape(self)
        kind = _media_type(_safe_name(self)).partition("/")[0]
        if kind == "image":
            return f'<img src="{url}">'
        if kind in ("audio", "video"):
            return f'<{kind} controls src="{url}"></{kind}>'
        return f'<a href="{url}">{url}</a>'


class _Download:
    """A file on its way here: what was handed over, and of which version that is.

    It belongs to one call, and is used by one thread at a time.
    """

    def __init__(self, call: _Call, url: str, restarts: bool) -> None:
        self.call = call
        self.url = str(url)
        self.restarts = restarts  # whether what was handed over can be taken back
        self.given = 0  # bytes handed over
        self.length: int | None = None  # of the whole file
        self.validator: Any = None  # what _validator() makes of it
        self.resumes = False  # whether to ask for no more than what is missing

    async def blocks(self) -> AsyncIterator[tuple[int, bytes]]:
        """Yield blocks and their places; where it starts anew, place 0 comes again.

        What breaks is tried again (promise 7); tries count anew after progress.
        """
        if self.url[:5].lower() == "data:":
            yield 0, _decode_data_uri(self.url)
            return
        transport = self.call.client._transport
        furthest = tries = 0
        while True:
            request = self._request()
            try:
                answer = await transport.request(self.call, request)
            except APIError as error:
                if error.status != 416 or not self.resumes:
                    raise
                self.resumes = False  # there is no such rest: now for the whole
                continue
            try:
                before = self.given
                skip = self._join(answer)
                if self.given < before:
                    yield 0, b""
                async for block in answer.blocks(self.call):
                    fresh = block[skip:]
                    skip = max(0, skip - len(block))
                    self.given += len(fresh)
                    if self.given > furthest:
                        furthest, tries = self.given, 0
                    yield self.given - len(fresh), fresh
                self._check_end(answer)
                return
            except _BROKEN as error:
                if _is_of_a_signal_handler(error):
                    raise
                failure = transport.explained(self.call, request, error)
            finally:
                answer.close()
            tries += 1
            await transport.retry(self.call, request, failure, tries)

    def _request(self) -> _Request:
        headers = {"Accept": "*/*"}
        if self.resumes and self.given:
            headers["Range"] = f"bytes={self.given}-"
            headers["If-Range"] = self.validator[0]
        return _Request("GET", self.url, headers=headers, whole=False, file=True)

    def _join(self, answer: Any) -> int:
        """Note an answer's length and validator; return how many bytes are known.

        Bytes of two versions are never joined: with another one all starts anew, or
        fails where that cannot be.
        """
        start, self.length = 0, answer.length
        self.resumes = False
        if answer.status == 206:
            part = re.fullmatch(_CONTENT_RANGE, answer.headers.get("content-range", ""))
            if part is None:
                raise ValueError("a part of a file that does not say which")
            start, self.length = int(part[1]), int(part[2])
        validator = _validator(answer.headers, self.length)
        self.resumes = validator is not None
        if self.resumes and validator == self.validator and start in (0, self.given):
            return self.given - start
        if start:
            self.resumes = False
            raise ValueError("another part, or version, of the file than was asked for")
        if self.given and not self.restarts:
            raise NetworkError(
                f"{_shown_url(self.url)} broke off, and it may be another file by now"
            )
        self.validator, self.given = validator, 0
        return 0

    def _check_end(self, answer: Any) -> None:
        if self.length is None and not answer.is_measured:
            raise ReplicateError(
                f"{_shown_url(self.url)} came without its length: it may not be whole"
            )
        if self.length not in (None, self.given):
            raise http.client.IncompleteRead(b"")


def _shown_url(url: str) -> str:
    """An address for messages: a query may hold a signature."""
    return _short(url.partition("?")[0])


def _validator(headers: Mapping[str, str], length: int | None) -> Any:
    """What tells a version of a file from all others (RFC 9110, section 8.8), or None.

    It is a strong ETag, or the date of the last change together with the length.
    """
    tag = headers.get("etag", "")
    if tag.startswith('"'):
        return tag, None
    date = headers.get("last-modified")
    return (date, length) if date and length else None


async def _chunks(call: _Call, url: str, size: int) -> AsyncIterator[bytes]:
    blocks: Any = _Download(call, url, restarts=False).blocks()
    try:
        async for _, block in blocks:
            for start in range(0, len(block), size):
                yield block[start : start + size]
    finally:
        await blocks.aclose()


async def _written(
    call: _Call, url: str, file: Any, restarts: bool = True, most: float = math.inf
) -> Any:
    """Write a file's content, of `most` bytes, into an open one, and return that."""
    download = _Download(call, url, restarts)
    blocks: Any = download.blocks()
    written = 0
    try:
        async for place, block in blocks:
            if place < written:
                file.seek(0)
                file.truncate()
            written = place + len(block)
            if max(written, download.length or 0) > most:
                text = "is too large for memory: save() it, or take iter_bytes()"
                raise ReplicateError(f"{_shown_url(url)} {text}")
            await call.face.in_thread(file.write, block)
    finally:
        await blocks.aclose()
    return file


async def _content(call: _Call, url: str) -> bytes:
    memory = await _written(call, url, io.BytesIO(), most=_READ_MOST)
    content: bytes = memory.getvalue()
    return content


async def _opened(call: _Call, url: str) -> BinaryIO:
    return io.BytesIO(await _content(call, url))


async def _saved(call: _Call, url: str, path: str | os.PathLike[str]) -> pathlib.Path:
    """Save a file as FileOutput.save does; a pipe or a device is written into."""
    import pathlib
    import stat

    target = pathlib.Path(path)
    real = os.fspath(path) or "."
    try:
        mode = _mode(real)
        if stat.S_ISDIR(mode) or real.endswith(("/", os.sep)):
            return target / await _saved_beside(call, url, real, "", 0)
        is_file = mode == 0 or stat.S_ISREG(mode)
        if not is_file or re.match(_DEVICES, real):
            with await call.face.in_thread(open, real, "ab") as file:
                await _written(call, url, file, restarts=False)
            return target
        if os.path.islink(real):
            real = os.path.realpath(real)
        folder, name = os.path.split(real)
        await _saved_beside(call, url, folder, name, stat.S_IMODE(mode))
    except OSError as error:
        raise _disk_failure(error, f"cannot save to {target}") from error
    return target


async def _saved_beside(
    call: _Call, url: str, folder: str, name: str, mode: int
) -> str:
    """Save a file in a folder under a hidden name, and rename it once it is whole.

    name: "" for the URL's own, numbered; the one that it got is returned. mode: its
    permissions, 0 for the usual ones.
    """
    if folder:
        os.makedirs(folder, exist_ok=True)
    part = os.path.join(folder, f".{os.urandom(6).hex()}.part")
    try:
        with open(part, "xb") as file:
            if mode:
                os.chmod(part, mode)
            await _written(call, url, file)
        name = name or _unused(folder, _safe_name(url))
        os.replace(part, os.path.join(folder, name))
    except BaseException:
        if os.path.exists(part):
            os.unlink(part)
        raise
    return name


def _mode(path: str) -> int:
    """What kind of file is there, and its permissions; 0 where there is none."""
    try:
        return os.stat(path).st_mode
    except FileNotFoundError:
        return 0


def _unused(folder: str, name: str) -> str:
    """That name, or the next with a number that is free; an empty file takes it."""
    stem, ending = os.path.splitext(name)
    number = 0
    while True:
        try:
            open(os.path.join(folder, name), "xb").close()
            return name
        except FileExistsError:
            number += 1
            name = f"{stem}-{number}{ending}"


def _disk_failure(error: OSError, what: str) -> Exception:
    """A failure of the disk as ours; one from a signal handler is the caller's own."""
    if _is_of_a_signal_handler(error):
        return error
    return ReplicateError(f"{what}: {error.strerror or error}")


def _safe_name(url: str) -> str:
    """A file's name from its URL, harmless in any directory (promise 6)."""
    if url[:5].lower() == "data:":
        import mimetypes

        kind = re.split("[;,]", url[5:200])[0]
        name = "output" + (mimetypes.guess_extension(kind) or "")
    else:
        path = re.split("[?#]", url)[0].partition("://")[2].partition("/")[2]
        name = re.split(r"[/\\]", urllib.parse.unquote(path))[-1]
    stem, ending = os.path.splitext(re.sub(_UNFIT, "_", name))
    stem, ending = _cut(stem, _NAME_MOST), _cut(ending, 20)
    name = (stem + ending).lstrip(".- ").rstrip(". ")
    name = re.sub(_DEVICE, r"_\g<0>", name)
    name = re.sub(_IMPORTED, r"\g<0>_", name)
    return name or "output"


def _cut(text: str, most: int) -> str:
    """A text's beginning that has at most so many bytes."""
    return text.encode()[:most].decode(errors="ignore")


def _decode_data_uri(uri: str) -> bytes:
    """The bytes of a data URI (RFC 2397). Raises ReplicateError where it has none."""
    head, _, payload = uri[5:].partition(",")
    try:
        data = urllib.parse.unquote_to_bytes(payload)
        if not head.lower().endswith(";base64"):
            return data
        data = data.replace(b"-", b"+").replace(b"_", b"/")
        return base64.b64decode(data + b"=" * (-len(data) % 4))
    except ValueError as error:
        raise ReplicateError(f"a data URI that cannot be read: {error}") from None


# ------------------------------------------------------------------------------------
# Running
# ------------------------------------------------------------------------------------
#
#   _target(ref)        what to run: read once, before any request
#   _Run(...)           all that is wrong with the call is told here, also before any
#     .start()          files uploaded, prediction created (a container only made ready)
#     .output()         looks until it is over, and gives the whole output
#     .items()          or the output's items, as they come
#     .events()         or events, from its stream or from looks
#   whoever leaves `async with run:` by an exception passes:
#     _give_up()        puts the run on the error; stop() where it may still run
#       _stopping()     no id yet: _find() it in the list, else _listen() for the answer
#         cancel()      one POST


def _is_running(run: _Object) -> bool:
    """Whether a run is not over; a status that is unknown today ends a wait."""
    return run.get("status", "starting") in _RUNNING


class _Target:
    """What a reference names, and what was learnt of it; shared in a map."""

    def __init__(
        self,
        path: str = "/predictions",
        *,
        version: str = "",
        model: tuple[str, str] | None = None,
        iterates: bool | None = None,
        cog: str = "",
    ) -> None:
        self.path = path  # where its runs are created
        self.version = version  # the version's id, which goes into the body
        self.model = model  # owner and name, where they are known
        self.iterates = iterates  # whether the output comes in items; None: not known
        self.cog = cog  # a container's address
        self.fields: dict[str, _Field] | None = None  # a container's, once asked for

    async def learn_iterates(self, call: _Call) -> None:
        """Learn, once per client, whether the version iterates; failures are let be."""
        client, version = call.client, self.version
        if self.iterates is not None or not version or self.model is None:
            return
        asked = (os.getpid(), version)  # a forked child has none of the threads
        is_asked = asked in client._looked_up
        until = call.clock.now() + client._transport.seconds
        while asked in client._looked_up and call.clock.now() < until:
            await call.sleep(_POLL_FIRST)  # another call will know soon
        if version not in client._iterates:
            if is_asked:  # in vain
                return
            try:
                client._looked_up.add(asked)
                path = _path("models", *self.model, "versions", version)
                found = await client._fetched(call, "GET", path, Version)
            except PredictionTimeout:
                raise
            except (ReplicateError, ValueError):
                return
            finally:
                client._looked_up.discard(asked)
            client._iterates[version] = _iterates(found)
        self.iterates = client._iterates[version]

    async def resolve_latest(self, call: _Call) -> bool:
        """Turn a model that is not official into its latest version, if it has one."""
        if self.version:  # another run of the same map has done it meanwhile
            return True
        if self.model is None:
            return False
        path = _path("models", *self.model)
        latest = (await call.client._fetched(call, "GET", path, Model)).latest_version
        if not isinstance(latest, Version) or not latest.id:
            return False
        if latest.get("openapi_schema"):
            self.iterates = _iterates(latest)
        self.path, self.version = "/predictions", latest.id
        return True

    def is_of(self, run: _Object) -> bool:
        """Whether a run of the account's is one of this."""
        if self.version:
            return run.get("version") == self.version
        if self.model:
            return run.get("model") == "/".join(self.model)
        owner, name = self.path.split("/")[2:4]
        return run.get("deployment") in (name, f"{owner}/{name}")


# An owner, a name or a version in a reference: anything but "." and "..".
_WORD = r"(?!\.\.?(?:[/:]|\Z))([^\s/:]{1,400})"


def _target(ref: object) -> _Target:
    """Read a reference in any of its forms. Raises ValueError for anything else."""
    if isinstance(ref, Version):
        known = _iterates(ref) if ref.get("openapi_schema") else None
        return _Target(version=ref.id, iterates=known)
    if isinstance(ref, Deployment):
        ref = "deployments/" + ref.id
    elif isinstance(ref, Model):
        ref = ref.id
    text = ref if isinstance(ref, str) else ""
    if text[:8].lower().startswith(("http://", "https://")):
        return _cog_target(text)
    if re.fullmatch("[0-9a-f]{64}", text):
        return _Target(version=text)
    found = re.fullmatch(f"deployments/{_WORD}/{_WORD}", text)
    if found:
        return _Target(_path("deployments", found[1], found[2], "predictions"))
    found = re.fullmatch(f"(?!deployments/){_WORD}/{_WORD}(?::{_WORD})?", text)
    if found is None:
        raise ValueError(
            f"not a model: {_short(ref)}. Write 'owner/name', 'owner/name:version', a "
            "64-digit version id, 'deployments/owner/name', a Cog container's address, "
            "or give a Model, Version or Deployment"
        )
    owner, name, version = found.groups()
    path = _path("models", owner, name, "predictions")
    if version in (None, "latest"):
        return _Target(path, model=(owner, name))
    return _Target(version=version, model=(owner, name))


def _cog_target(text: str) -> _Target:
    """A container, by its address, of which /predictions at the end is no part."""
    if re.search(r"[@?#\s]", text):
        raise ValueError(
            f"not a container's address: {_short(text)}. Write http://host:port, "
            "without user name, query or space"
        )
    address = _address(text)
    path = address.target.rstrip("/")
    if path.endswith("/predictions"):
        path = path[: -len("/predictions")].rstrip("/")
    return _Target(cog=f"{address.scheme}://{address.netloc}{path}")


class _Options:
    """What run() and every create() take beside reference and input, checked."""

    def __init__(
        self,
        *,
        wait: Any = True,
        timeout: float | None = None,
        webhook_events_filter: Sequence[str] | None = None,
        cancel_after: str | float | None = None,
        on_update: Callable[[Prediction], Any] | None = None,
        file_encoding_strategy: str | None = None,
        use_file_output: bool = True,
        api_token: str | None = None,
        extra: _Object | None = None,
        **fields: Any,
    ) -> None:
        """fields: more of the body, as webhook and stream."""
        if file_encoding_strategy not in (None, "base64", "url"):
            raise ValueError("file_encoding_strategy is 'base64', 'url' or None")
        if isinstance(webhook_events_filter, (str, bytes)):
            raise ValueError("webhook_events_filter is a list, as ['completed']")
        if on_update is not None and not callable(on_update):
            raise TypeError("on_update is a function of the prediction")
        self.hold = _hold_seconds(wait)
        self.timeout = timeout
        self.on_update = on_update
        self.strategy = file_encoding_strategy
        self.use_file_output = use_file_output is not False
        self.api_token = api_token
        self.headers: dict[str, str] = {}
        if cancel_after is not None:
            self.headers["Cancel-After"] = _duration(cancel_after)
        if webhook_events_filter is not None:
            fields["webhook_events_filter"] = list(webhook_events_filter)
        self.body = _body(extra, **fields)
        _json_body(self.body)  # what JSON cannot say is told here


def _hold_seconds(wait: Any) -> int:
    """The argument `wait` as seconds that the server is asked to hold the creation."""
    if wait is None or wait is False:
        return 0
    if wait is True:
        return _HOLD
    if not isinstance(wait, int) or not 1 <= wait <= _HOLD:
        raise ValueError(
            f"wait is True, False or 1 to {_HOLD} whole seconds, not {wait!r}"
        )
    return wait


def _duration(value: Any) -> str:
    """The argument `cancel_after` as the header's text; 5 s at least."""
    text = f"{int(value)}s" if _is_number(value) else str(value).strip()
    units = r"(?:([0-9]{1,9})h)?(?:([0-9]{1,9})m)?(?:([0-9]{1,9})s?)?"
    found = re.fullmatch(units, text)
    seconds = 0
    if found is not None:
        hours, minutes, rest = (int(number or 0) for number in found.groups())
        seconds = 3600 * hours + 60 * minutes + rest
    if seconds < 5:
        raise ValueError(
            "cancel_after is at least 5 seconds, as 90, '90s', '5m' or '1h30m', "
            f"not {value!r}"
        )
    return text


class _Run:
    """One run, from its creation to its end."""

    def __init__(
        self,
        call: _Call,
        target: _Target,
        input: Any,
        options: _Options,
        kind: type[Prediction] | None = None,
    ) -> None:
        _ = call.client.poll_interval  # a wrong one is told before anything is sent
        self.call = call
        self.client = call.client
        self.target = target
        self.options = options
        self.hold = options.hold
        self.kind: Any = kind or Prediction
        # Of the FileOutputs in its output; None where they stay plain addresses.
        self.file_client = call.client if options.use_file_output else None
        self.inputs = _Inputs(options.strategy)
        self.body = dict(options.body, input=self.inputs.encode_input(input))
        self.prediction: Any = None
        # Notes the input right before the creating request leaves, and the id once it
        # is known; set by a batch that keeps a journal.
        self.note: Callable[..., Awaitable[None]] | None = None
        # Whether it is the caller's own once made, which no error of ours cancels.
        self.hands_over = False
        self.creation: _Request | None = None  # sent, and not answered yet
        self.stopped = False  # whether it was given up: that is done once
        self.cancelled = False
        self.is_listening = False  # whether a thread waits for the answer that names it
        self.process = os.getpid()
        self.depth = 0  # of `async with`
        self.is_iterated = False  # whether an asynchronous generator follows it
        self.told: Any = None  # the state that on_update was shown last

    async def __aenter__(self) -> _Run:
        self.depth += 1
        _open_runs.add(self)
        return self

    async def __aexit__(self, kind: Any, error: Any, trace: Any) -> None:
        try:
            if error is not None:
                await self._give_up(error)
        finally:
            self.depth -= 1
            if not self.depth and not self.is_listening:
                _open_runs.discard(self)

    async def create(self) -> Any:
        """Create the prediction and return it; from then on it is the caller's."""
        self.hands_over = True
        async with self:
            await self._create()
            await self._update()
        return self.prediction

    async def start(self) -> None:
        """Create the prediction, and learn whether its output comes in items."""
        if self.prediction is not None:
            return
        await self.target.learn_iterates(self.call)
        await self._create()
        made: Any = self.prediction
        if self.note is not None:
            await self.note(id=made["id"])
        await self._update()
        if self.target.version and self.target.model is None:
            # A bare id: the prediction knows its model.
            found = re.fullmatch(f"{_WORD}/{_WORD}", str(made.get("model")))
            if found:
                self.target.model = (found[1], found[2])
            await self.target.learn_iterates(self.call)

    def adopt(self, prediction: Any) -> None:
        """Go on with a prediction that exists, in place of creating one."""
        self.prediction = prediction

    async def _create(self) -> None:
        await self.inputs.upload(self.call)
        if self.note is not None:
            await self.note(at=_time_text(time.time()), input=self.body["input"])
        if self.target.version:
            return await self._post()
        try:
            await self._post()
        except APIError as error:
            if error.status != 404 or not await self.target.resolve_latest(self.call):
                raise
            await self._post()

    async def _post(self) -> None:
        body = dict(self.body)
        if self.target.version:
            body["version"] = self.target.version
        hold = self._hold()
        headers = dict(self.options.headers)
        if hold:
            headers["Prefer"] = "wait" if hold == _HOLD else f"wait={hold}"
        self.creation = _Request(
            "POST",
            self.client.base_url + self.target.path,
            read=_read_created,
            body=body,
            headers=headers,
            once=True,
            noun=self.kind.__name__.lower(),
            hold=hold,
            makes_run=True,
            is_part_of_run=True,
        )
        data = await self.client._transport.request(self.call, self.creation)
        self.prediction = self.kind(data, self.client)
        self.creation = None
        self.client._own_runs.append(data["id"])

    def _updater(self) -> _Tell | None:
        return None if self.options.on_update is None else self._update

    def _hold(self) -> int:
        """Seconds that the server is asked to hold the creating request."""
        if self.target.iterates:
            return 0  # its items are wanted as they come
        left = self.call.deadline - self.call.clock.now()
        # A second less, so that the id is here before the end.
        return int(max(0, min(self.hold, left - 1)))

    async def _update(self) -> None:
        """Show on_update the state of the run, where that is news."""
        on_update = self.options.on_update
        if on_update is None or self.told == self.prediction:
            return
        self.told = self.prediction.copy()
        answer = on_update(self.prediction)
        if self.call.face.on_loop and hasattr(answer, "__await__"):
            await answer

    async def output(self) -> Any:
        """Follow it to its end, and return the output."""
        async with self:
            await self.start()
            await _ended(self.call, self.prediction, self._updater())
            _must_have_succeeded(self.call, self.prediction)
        return _files(self.prediction.get("output"), self.file_client)

    async def items(self) -> AsyncIterator[Any]:
        """Yield None once it is created, and then the output's items as they come."""
        self.is_iterated = True
        async with self:
            await self.start()
            yield None
            items = _items(
                self.call, self.prediction, self.file_client, self._updater()
            )
            async with _Closing(items):
                async for item in items:
                    yield item

    async def events(self) -> AsyncIterator[Any]:
        """Yield None once it is created, and then events."""
        self.is_iterated = True
        self.hold = 0
        async with self:
            await self.start()
            yield None
            events = _events(
                self.call, self.prediction, self.file_client, self._updater()
            )
            async with _Closing(events):
                async for event in events:
                    yield event

    # Giving up

    async def _give_up(self, error: BaseException) -> None:
        """Put the prediction on the error, and cancel it where it may run (promise 3).

        Every run that is left by an exception passes here, whatever that is: also
        Ctrl-C, a cancelled task, and the GeneratorExit of an iterator that is closed.
        """
        handed_over = self.hands_over and isinstance(error, ReplicateError)
        if self._may_run() and not handed_over and not self.stopped:
            self.stopped = True
            face = self.call.face
            if isinstance(error, GeneratorExit) and not self.is_iterated:
                face = _IN_PLACE  # a coroutine that is thrown away cannot be awaited
            await face.to_the_end(self.stop)
        if self.creation is not None and not self.is_listening:
            self.creation.abandon()
        if not isinstance(error, ReplicateError):
            return
        if error.prediction is None:
            error.prediction = self.prediction
        if self.depth > 1:
            return  # the outer block says so
        if self.cancelled:
            error._add("; it was cancelled")
        elif self.is_listening:
            error._add("; it will be cancelled when the answer to its creation comes")
        elif self.stopped and self._may_run():
            error._add("; it could not be cancelled")

    def _may_run(self) -> bool:
        if self.process != os.getpid():
            return False  # a forked child's copy of what its parent runs
        if self.prediction is not None:
            return _is_running(self.prediction)
        creation = self.creation  # once: another thread may set it
        return creation is not None and creation.sent

    def stop(self) -> None:
        """Find it where it has no id yet, and cancel it: best effort, within _GRACE."""
        call = _Call(self.client, _GRACE, self.call.token, face=_IN_PLACE)
        try:
            _run_in_place(self._stopping(call))
        except Exception as failure:  # the cause is what the caller has to hear
            id = self.prediction and self.prediction.get("id")
            _log(
                "warning", "could not cancel %s: %s", id or "an unanswered run", failure
            )

    async def _stopping(self, call: _Call) -> None:
        if self.prediction is None and self.creation is not None:
            try:
                await self._search(call, self.creation.sent_at)
            except (ReplicateError, ValueError) as failure:
                _log("warning", "the newest runs cannot be told: %s", failure)
        if self.prediction is None:
            _log(
                "warning", "a run whose creation is not answered may exist, or come to"
            )
            self._listen()
            return
        await self.cancel(call)
        self.cancelled = self.prediction.get("status") != "succeeded"

    async def _search(self, call: _Call, sent_at: float) -> None:
        age = call.clock.now() - sent_at
        await call.sleep(max(0.0, _SETTLES - age))  # it may not be listed yet
        for _ in range(_TRIES_TO_FIND):
            self._find(call)
            if self.prediction is not None or not self._rivals():
                return
            await call.sleep(_SETTLES / 3)  # they may be given up in this moment

    async def cancel(self, call: _Call) -> None:
        run = self.prediction
        await run._refresh(call, "POST", run._path("cancel"), read=_read_run, once=True)

    def _find(self, call: _Call) -> None:
        """Find the prediction of an unanswered creation, where that is certain.

        It is the only running one of this model on this input, created since by the
        server's clock, that no other call is known to have made. Where several runs on
        equal inputs are given up at once, each takes one, if there are as many.
        """
        creation, client = self.creation, self.client
        assert creation is not None
        if self.kind is Training:  # they are in another list
            return
        look = client._listings.since(call, creation.sent_at + _SETTLES)
        since = _time_text(creation.sent_at + look.ahead)[:19]
        with client._listings.lock:  # so that no two take the same
            found = [run for run in look.runs if self._could_be_this(run, since)]
            rivals = self._rivals()
            if len(found) != 1 + len(rivals) or not all(run.stopped for run in rivals):
                return
            client._own_runs.append(found[0]["id"])
            self.prediction = self.kind(found[0], client)

    def _rivals(self) -> list[_Run]:
        """The other runs on the same input whose creations are not answered."""
        return [run for run in list(_open_runs) if run._is_like(self)]

    def _is_like(self, other: Any) -> bool:
        """Whether it is another unanswered run on the same input."""
        if self is other or self.prediction is not None:
            return False
        if self.client is not other.client or self.call.token != other.call.token:
            return False
        mine, theirs = self.creation, other.creation  # once: other threads set them
        if mine is None or theirs is None or mine.url != theirs.url:
            return False
        return bool(mine.body == theirs.body)

    def _could_be_this(self, run: _Object, since: str) -> bool:
        """Whether a run of the account's could be this one: as it will be cancelled,
        only one that runs, and that is newer for certain."""
        if run.get("input") != self.body["input"] or not _is_running(run):
            return False
        is_new = str(run.get("created_at"))[:19] >= since
        return (
            is_new and self.target.is_of(run) and run["id"] not in self.client._own_runs
        )

    def _listen(self) -> None:
        """Wait on a thread for the answer that names it, and cancel it then."""
        exchange = None if self.creation is None else self.creation.exchange
        if exchange is None or exchange.is_abandoned:
            return
        context = contextvars.copy_context()  # in Cog, the caller's token
        work = functools.partial(context.run, self._hear, exchange)
        thread = threading.Thread(target=work, name="replicate-late", daemon=True)
        self.is_listening = True
        try:
            thread.start()
        except RuntimeError:  # there are no more threads
            self.is_listening = False

    def _hear(self, exchange: _Exchange) -> None:
        _late.add(exchange)
        try:
            call = _Call(self.client, _HOLD + _GRACE, self.call.token, face=_IN_PLACE)
            data = _read_created(_unpacked(exchange.receive(call)))
            self.prediction = self.kind(data, self.client)
            if _is_running(self.prediction):
                _run_in_place(self.cancel(call))
        except (*_BROKEN, ReplicateError) as failure:
            _log("warning", "a run that was given up told nothing more: %s", failure)
        finally:
            exchange.abandon()
            _late.discard(exchange)
            _open_runs.discard(self)


# Runs inside an `async with`, or whose late answer is awaited. Each step on it is
# atomic, for all threads; read by _rivals() and _at_exit().
_open_runs: set[_Run] = set()
# Exchanges whose late answers a thread of _listen() awaits; _at_exit() cuts them.
_late: set[_Exchange] = set()


def _run_for(call: _Call, ref: object, input: Any, options: _Options) -> _Run:
    """The run of a reference, or of a _Target, hosted or in a container."""
    target = ref if isinstance(ref, _Target) else _target(ref)
    if target.cog:
        return _CogRun(call, target, input, options)
    return _Run(call, target, input, options)


async def _ran(call: _Call, run: _Run) -> Any:
    """Start a run and follow it to its output, or return an iterator of its items."""
    async with run:
        await run.start()
        if not run.target.iterates:
            return await run.output()
        items = run.items()
        await items.__anext__()
        return call.iterate(items)


class _Closing:
    """Closes an asynchronous generator at the end of the block."""

    def __init__(self, items: Any) -> None:
        self.items = items

    async def __aenter__(self) -> None:
        pass

    async def __aexit__(self, *error: object) -> None:
        await self.items.aclose()


def _at_exit() -> None:
    """Give up what is left open when the interpreter ends."""
    runs = [run for run in list(_open_runs) if run._may_run()]
    done = threading.Semaphore(0)

    def stop(run: _Run) -> None:
        if not run.stopped and time.monotonic() < until:
            run.stopped = True
            run.stop()
        done.release()

    until = time.monotonic() + _GRACE
    for run in runs:
        _workers(os.getpid(), True).submit(functools.partial(stop, run))
    for _ in runs:
        done.acquire(timeout=max(0.0, until - time.monotonic()))
    for exchange in list(_late):  # nobody will hear these any more
        exchange.connection.cut()
        exchange.abandon()


atexit.register(_at_exit)

_clients: weakref.WeakSet[Client] = weakref.WeakSet()  # all there are, for _after_fork


def _after_fork() -> None:
    """Make all locks anew: a thread that held one is not there to give it back."""
    global _reading
    _reading = threading.RLock()
    for client in list(_clients):
        client._renew_locks()


if hasattr(os, "register_at_fork"):  # not on Windows, which does not fork
    os.register_at_fork(after_in_child=_after_fork)


async def _newest_runs(call: _Call, **how: Any) -> AsyncIterator[list[Any]]:
    """Yield the pages of the account's runs, the newest first; how: as for _Request."""
    path = "/predictions"
    make = functools.partial(_page, Prediction, path)
    first = await call.client._fetched(call, "GET", path, make, **how)
    async for page in _walk(call, first, **how):
        yield [run for run in page if isinstance(run, dict)]


# A look at an account's newest runs: the token; when it began, by the client's clock;
# by how many seconds the server's time is ahead of that; the runs.
_Listing = namedtuple("_Listing", "token began ahead runs")


class _Listings:
    """Looks at the newest runs, shared by all that are given up in the same moment."""

    def __init__(self) -> None:
        self.lock = threading.RLock()  # held during a look: the others want its result
        self.last: _Listing | None = None

    def since(self, call: _Call, moment: float) -> _Listing:
        """A look that began at or after a moment."""
        with self.lock:
            last = self.last
            if last is None or last.began < moment or last.token != call.token:
                last = self.last = _run_in_place(self._look(call))
            return last

    async def _look(self, call: _Call) -> _Listing:
        began, seen, ahead = call.clock.now(), [], 0.0
        pages = _newest_runs(call, is_best_effort=True)
        async with _Closing(pages):
            async for runs in pages:
                seen.append(runs)
                ahead = call.client._transport.server_time() - call.clock.now()
                is_last = len(seen) == _LOOK_PAGES
                if is_last or not any(_is_running(run) for run in runs):
                    break
        return _Listing(
            call.token, began, ahead, [run for runs in seen for run in runs]
        )


class _Polls:
    """Spaces the looks of all runs of a client: together never faster than allowed.

    A few runs are looked at one by one. Where there are many, pages of GET /predictions
    tell of 100 at a time which have ended.
    """

    def __init__(self, pace: float) -> None:
        self.pace = pace
        self.gap = 1 / (_POLLS_A_SECOND * pace)  # seconds from one look to the next
        # Shared by all threads; touched only while the lock is held.
        # Reentrant, as what garbage collection closes may come here, too.
        self.lock = threading.RLock()
        self.waiting: set[str] = set()  # ids of runs that are not over
        self.ended: _Dict = {}  # those of them that are over, as a page tells
        self.next_look = 0.0  # when the next look is free
        self.next_page = 0.0
        self.begun = 0  # how many have waited since there were none

    def begin(self, id: str) -> None:
        with self.lock:
            if not self.waiting:
                self.begun = 0
            self.begun += 1
            self.waiting.add(id)

    def end(self, id: str) -> None:
        with self.lock:
            self.waiting.discard(id)
            self.ended.pop(id, None)

    def _is_crowd(self) -> bool:
        return len(self.waiting) * self.gap > _LAG_MOST

    async def turn(self, call: _Call, id: str, seconds: float) -> Any:
        """Wait until a run may be looked at; where a page tells its end, return that.

        seconds: when it would be looked at if it were the only one.
        """
        clock = call.clock
        began, share = clock.now(), self.gap * (0.5 + random.random())
        while True:
            ended = self.ended.get(id)
            if ended is not None:
                return ended if "output" in ended else None
            crowd = len(self.waiting) * share  # all have to share the looks
            if self._is_crowd():
                crowd *= 2  # which leaves room for pages
            left = began + max(seconds, crowd) - clock.now()
            if left <= 0:
                break
            await call.sleep(min(left, _PAGE_GAP) if crowd > seconds else left)
            if self._is_crowd() and self._takes_pages(clock.now()):
                await self._read_pages(call)
        left = self._next_free(clock.now())
        if left > 0:
            await call.sleep(left)
        return None

    def _next_free(self, now: float) -> float:
        """Take the next look that is free; the seconds until then."""
        with self.lock:
            due = max(now, self.next_look)
            self.next_look = due + self.gap
            return due - now

    def _takes_pages(self, now: float) -> bool:
        """Whether it is time for pages: who asks first is to read them."""
        with self.lock:
            if now < self.next_page:
                return False
            self.next_page = now + _WAIT_MOST  # nobody else meanwhile
            return True

    async def _read_pages(self, call: _Call) -> None:
        """Learn which of the waiting runs are over, from the newest back."""
        left, number = set(self.waiting), 0
        # 100 runs a page, and two pages of runs that nobody here waits for.
        most = min(2 + self.begun // 100, _CROWD_PAGES)
        pages = _newest_runs(call, is_part_of_run=True)
        try:
            async with _Closing(pages):
                async for runs in pages:
                    number += 1
                    left -= self._learn(runs)
                    if not left or number == most:
                        break
        except (APIError, NetworkError, ValueError) as failure:
            _log("warning", "no list of runs: %s", failure)
        finally:
            # Pages take a quarter of what is allowed, looks at single runs a half.
            pause = max(_PAGE_GAP, 4 * number * self.gap)
            self.next_page = call.clock.now() + pause

    def _learn(self, runs: Iterable[Any]) -> set[str]:
        """Note which of a page's runs are over; the ids of all."""
        told = {str(run.get("id")): run for run in runs}
        with self.lock:
            for id in self.waiting.intersection(told):
                if not _is_running(told[id]):
                    self.ended[id] = told[id]
        return set(told)


def _poll_gap(elapsed: float, interval: float) -> float:
    """Seconds until the next look at a run: soon at first, then a share of its age."""
    soon = min(interval, max(_POLL_FIRST, elapsed / 4))
    return max(soon, min(_POLL_MOST, _POLL_SHARE * elapsed))


async def _looks(
    call: _Call, run: Prediction, tell: _Tell | None = None
) -> AsyncIterator[None]:
    """Look at a run until it is over; yields after each look. tell: its news."""
    client, polls = call.client, call.client._polls
    path, seconds = run._path(), min(_POLL_FIRST, client.poll_interval)
    polls.begin(run["id"])
    try:
        while _is_running(run):
            if tell is not None:
                await tell()
            fresh: Any = await polls.turn(call, run["id"], seconds)
            if fresh is None:
                fresh = await client._fetched(
                    call, "GET", path, read=_read_run, is_part_of_run=True
                )
            run._take(fresh)
            seconds = _poll_gap(call.elapsed(), client.poll_interval)
            yield
    except ReplicateError as error:
        error.prediction = run  # so that it can be found again (promise 2)
        raise
    finally:
        polls.end(run["id"])
    if tell is not None:
        await tell()


async def _ended(call: _Call, run: Prediction, tell: _Tell | None = None) -> None:
    """Look at a run until it is over, in failure too."""
    looks = _looks(call, run, tell)
    async with _Closing(looks):
        async for _ in looks:
            pass


def _must_have_succeeded(call: _Call, run: Prediction) -> None:
    """Raise ModelError for a run that has ended in anything but success."""
    if run.get("status") == "succeeded":
        return
    why = run.get("error")
    if why:
        why = run._client._transport.redacted(str(why), call.token)
    raise ModelError(run, why)


async def _items(
    call: _Call,
    run: Prediction,
    client: Client | None,
    tell: _Tell | None = None,
) -> AsyncIterator[Any]:
    """Yield the items of a run's output as they come, of a growing text its tails.

    A value that is neither, or did not grow, is yielded once, at the end. client: as
    for _files().
    """
    seen: Any = None  # the output as far as it has been yielded
    looks = _looks(call, run, tell)
    async with _Closing(looks):
        while True:
            output: Any = run.get("output")
            if output is None:
                output = seen  # what says less takes nothing away
            if type(output) is not type(seen):
                seen = None
            if isinstance(output, list):
                for item in output[len(seen or ()) :]:
                    yield _files(item, client)
                seen = output
            elif _is_longer_text(output, seen or ""):
                yield output[len(seen or "") :]
                seen = output
            if await _next(looks) is _END:
                break
    _must_have_succeeded(call, run)
    output = run.get("output")
    if output is not None and output != seen:
        yield _files(output, client)


def _is_longer_text(output: object, seen: str) -> bool:
    """Whether an output is text, no file, that has grown out of what was seen."""
    if not isinstance(output, str) or _is_file(output):
        return False
    return len(output) > len(seen) and output.startswith(seen)


_END = object()


async def _next(items: Any) -> Any:
    """The next item of an asynchronous iterator, _END after the last."""
    try:
        return await items.__anext__()
    except StopAsyncIteration:
        return _END


# ------------------------------------------------------------------------------------
# Batches
# ------------------------------------------------------------------------------------
#
#   _Batch(...)         what is wrong with the call, or its journal, is told here
#     .results()        on a loop of its own, in a thread; for a twin, on the caller's
#       _draw()         another thread draws the inputs, one at a time
#       _work()         a task for each: known from the journal, or run, and then kept
#       _end()          where its outcome goes
#     _leave()          cancels what still runs; _tell_rest() names it
#   _Journal            the file


class _Outcome:
    """One input of a batch, and what became of it."""

    id: str | None = None
    status = "failed"
    output: Any = None
    metrics: Any = None
    error: BaseException | None = None
    run: Any = None  # once it is followed

    def __init__(self, index: int, line: int, input: Any) -> None:
        self.index = index
        self.line = line  # its line in a file of inputs; else index + 1
        self.input = input
        self.digest = ""  # what the journal knows it by
        self.files: list[str] = []  # where those of its output were saved


class _Batch:
    """Many inputs, at most `concurrency` of them running at a time."""

    def __init__(
        self,
        client: Client,
        ref: object,
        inputs: Iterable[Any],
        options: _Options,
        *,
        concurrency: int,
        ordered: bool,
        return_exceptions: bool,
        journal: str | os.PathLike[str] | None,
        save: str | os.PathLike[str] | None,
        rerun_expired: bool,
        lines: bool = False,
    ) -> None:
        """lines: the command line gives (line, input), and wants _Outcomes."""
        if type(concurrency) is not int or concurrency < 1:
            raise ValueError(f"concurrency is a whole number, not {concurrency!r}")
        if isinstance(inputs, (str, bytes, abc.Mapping)):
            raise ValueError("inputs is an iterable of dicts, one for each run")
        first = _Call(client, options.timeout, options.api_token)
        self.target = _run_for(first, ref, None, options).target
        self.model = f"{self.target.cog}{self.target.path} {self.target.version}"
        self.is_twin = first.face.on_loop
        self.call = _Call(client, None, options.api_token, _OnLoop())
        self.options = options
        self.inputs = inputs if lines else enumerate(inputs, 1)
        self.concurrency = concurrency
        self.ordered = ordered
        self.return_exceptions = return_exceptions
        self.save = save
        self.rerun_expired = rerun_expired
        self.lines = lines
        self.context = contextvars.copy_context()  # the caller's
        # Filled by the loop, emptied by whoever takes the results: each step is atomic.
        self.ready: deque[_Outcome] = deque()
        # The loop's, and read by others only to be shown, or when the loop is over.
        self.running: dict[_Outcome, asyncio.Task[None]] = {}
        self.cancelled: list[str] = []  # ids
        self.running_on: list[str] = []  # ids of those that could not be cancelled
        self.waiting: dict[int, _Outcome] = {}  # ended, but one before them has not
        self.next = 0  # the index whose turn it is
        # The last failures, if all are of one kind: their indexes.
        self.alike: dict[Any, list[int]] = {}
        self.cause: BaseException | None = None  # why it stops
        self.is_drawing = True  # also read by the thread that draws, at any time
        self.journal: Any = None if journal is None else _Journal(journal)

    def results(self) -> Any:
        """A generator of results; for a twin, an asynchronous one."""
        if self.is_twin:
            return self.call.iterate(self._on_loop())
        return self._on_thread()

    async def _on_loop(self) -> AsyncIterator[Any]:
        cause = None
        try:
            self._begin()
            while await self._more():
                yield self._result(self.ready.popleft())
            if self.cause is not None:
                raise self.cause
        except BaseException as error:
            cause = error
            raise
        finally:
            try:
                await self._leave()
            finally:
                self._tell_rest(cause)

    def _on_thread(self) -> Iterator[Any]:
        import asyncio
        from concurrent.futures import wait

        try:
            loop = asyncio.new_event_loop()
        except OSError as error:  # no descriptors for it
            raise ReplicateError(f"cannot run a batch: {error}") from error
        loop.call_soon(self._begin, context=self.context.copy())
        thread = threading.Thread(
            target=self._live, args=(loop,), name="replicate-map", daemon=True
        )
        leave = functools.partial(self._end_thread, thread, loop)
        cause = None
        try:
            try:
                thread.start()
            except RuntimeError as error:  # the system gives no more
                loop.close()
                raise ReplicateError(f"cannot run a batch: {error}") from error
            atexit.register(leave)
            while True:
                more = asyncio.run_coroutine_threadsafe(self._more(), loop)
                while not more.done():
                    wait([more], timeout=1)  # Windows hears Ctrl-C only in between
                    if not thread.is_alive() and not more.done():  # it was forked
                        raise ReplicateError("map goes on in the process that began it")
                if not more.result():
                    break
                yield self._result(self.ready.popleft())
            if self.cause is not None:
                raise self.cause
        except BaseException as error:
            cause = error
            raise
        finally:
            atexit.unregister(leave)
            leave()
            self._tell_rest(cause)

    def _live(self, loop: asyncio.AbstractEventLoop) -> None:
        """Be the thread of a loop, until the results are left."""
        loop.run_forever()
        loop.run_until_complete(self._leave())
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()

    def _end_thread(
        self, thread: threading.Thread, loop: asyncio.AbstractEventLoop
    ) -> None:
        if not thread.is_alive():
            return  # it has ended, or this is a forked child, where it is not
        loop.call_soon_threadsafe(loop.stop)
        if thread is not threading.current_thread():  # that may collect garbage
            thread.join(_GRACE + 1)

    def _result(self, outcome: _Outcome) -> Any:
        """What is handed over for an outcome; its error is raised."""
        if self.lines:
            return outcome
        value = outcome.output
        if outcome.error is not None:
            if not self.return_exceptions:
                raise outcome.error
            value = outcome.error
        return value if self.ordered else (outcome.index, value)

    def rest(self) -> list[_Outcome]:
        """What has ended, but was not handed over."""
        return [*self.ready, *self.waiting.values()]

    def _tell_rest(self, cause: BaseException | None) -> None:
        """Name what was cancelled, and what was not handed over (promise 2)."""
        told = ""
        if self.cancelled:
            told += "; cancelled: " + ", ".join(self.cancelled)
        if self.running_on:
            told += "; could not be cancelled: " + ", ".join(self.running_on)
        ended = [outcome.id for outcome in self.rest() if outcome.id]
        if ended and not self.lines:  # the command line prints these
            told += "; ended, but not handed over: " + ", ".join(ended)
        if isinstance(cause, ReplicateError):
            cause._add(told)
        elif told:
            _log("warning", "map was left%s", told)

    # From here on, everything but _draw() runs on the loop.

    def _begin(self) -> None:
        import asyncio

        self.came = asyncio.Event()  # an outcome, or the end
        self.freed = asyncio.Event()  # room for another run
        self.feeding = asyncio.ensure_future(self._feed())

    async def _feed(self) -> None:
        """Look up what the journal does not know, and begin to draw."""
        import asyncio

        try:
            await self.target.learn_iterates(self.call)
            if self.journal is not None:
                await self.journal.find_unanswered(
                    self.call, self.target, self.rerun_expired
                )
            args = (self._draw, asyncio.get_running_loop())
            threading.Thread(target=self.context.run, args=args, daemon=True).start()
        except RuntimeError as error:  # the system gives no more threads
            self._stop(ReplicateError(f"cannot run a batch: {error}"))
        except BaseException as error:
            self._stop(error)

    def _draw(self, loop: Any) -> None:
        """Draw inputs as there is room; in a thread, as their source may block."""
        import asyncio

        cause = None
        try:
            for index, (line, input) in enumerate(self.inputs):
                if not self.is_drawing:
                    return
                accepted = self._accept(_Outcome(index, line, input))
                asyncio.run_coroutine_threadsafe(accepted, loop).result()
        except BaseException as error:
            cause = error
        if self.is_drawing:
            loop.call_soon_threadsafe(self._stop, cause)

    async def _accept(self, outcome: _Outcome) -> None:
        """Start a run, and wait until there is room for the next."""
        import asyncio

        if self.is_drawing:
            self.running[outcome] = asyncio.ensure_future(self._work(outcome))
        while self.is_drawing and self._is_full():
            self.freed.clear()
            await self.freed.wait()

    def _is_full(self) -> bool:
        if len(self.ready) >= _READY_SHARE * self.concurrency:
            return True  # nobody takes them
        if len(self.waiting) >= _LOOK_AHEAD:
            return True
        return len(self.running) >= self.concurrency

    def _stop(self, cause: BaseException | None = None) -> None:
        """Draw no more: the inputs have ended, or there is a cause."""
        self.is_drawing = False
        if self.cause is None:
            self.cause = cause
        self.came.set()
        self.freed.set()

    async def _more(self) -> bool:
        """Wait for an outcome; False when none will come."""
        self.freed.set()  # the last one has been taken
        while not self.ready:
            over = not self.is_drawing and not self.running
            if over or self.cause is not None:
                return False
            self.came.clear()
            await self.came.wait()
        return True

    async def _leave(self) -> None:
        """Have what still runs give up, all at once (promise 3)."""
        import asyncio

        self._stop()
        tasks = {self.feeding, *self.running.values()}
        for task in tasks:
            task.cancel()
        try:
            await asyncio.wait(tasks, timeout=_GRACE + 0.5)
        finally:
            for outcome in self.running:  # whose giving up had no turn, or hangs
                self._name(outcome.run)
            if self.journal is not None:
                self.journal.close()

    def _name(self, run: Any) -> None:
        """Note the id of a run that is left, by what became of it."""
        if run is None or run.prediction is None:
            return
        id = str(run.prediction.get("id"))
        if run.cancelled:
            self.cancelled.append(id)
        elif run._may_run():
            self.running_on.append(id)

    async def _work(self, outcome: _Outcome) -> None:
        """Take one input to its end, whatever that is."""
        try:
            if isinstance(outcome.input, Exception):  # of a line that is no input
                raise outcome.input
            timeout = self.options.timeout
            call = _Call(self.call.client, timeout, self.call.token, self.call.face)
            run = _run_for(call, self.target, outcome.input, self.options)
            if self.journal is None or not await self._recall(outcome, run):
                await self._run_to_end(outcome, run)
        except BaseException as error:
            outcome.error = error
        self._end(outcome)

    async def _recall(self, outcome: _Outcome, run: _Run) -> bool:
        """Go by the journal: take a result from it (True), or let the run be followed.

        That is a new one, or one that exists.
        """
        given = run.body["input"]
        digest = self.call.face.in_thread(_digest, self.model, given)
        outcome.digest = await digest
        run.note = functools.partial(self._note, outcome)
        known = self.journal.take_known(outcome)
        if known is None:
            return False
        outcome.id = known["id"]
        if "status" not in known:
            await self._go_on_with(run, known["id"])
            return False
        outcome.status = known["status"]
        outcome.metrics = known.get("metrics")
        outcome.output = _files(known.get("output"), run.file_client)
        outcome.files = known.get("files") or []
        lacking = len(_files_in(outcome.output)) - len(outcome.files)
        if self.save is not None and lacking:
            await self._keep(outcome)
        return True

    async def _go_on_with(self, run: _Run, id: str) -> None:
        """Go on with a run that was created; where it has failed, run it again."""
        found = None
        path = _path("predictions", id)
        try:
            found = await run.client._fetched(run.call, "GET", path, Prediction)
        except APIError as error:
            if error.status != 404:
                raise
        if found is None or found.get("data_removed"):
            if not self.rerun_expired:
                text = "the API has removed its data; rerun_expired=True runs it again"
                raise ReplicateError(f"{id} has ended, but {text}", prediction=found)
        elif _is_running(found) or found.status == "succeeded":
            run.adopt(found)

    async def _run_to_end(self, outcome: _Outcome, run: _Run) -> None:
        """Run it to its end, and keep what it came to."""
        outcome.run = run
        try:
            await run.output()
        except BaseException as error:
            outcome.error = error
        made = run.prediction
        if made is not None:
            outcome.id = made.get("id")
            outcome.status = made.get("status")
            outcome.metrics = made.get("metrics")
            outcome.output = _files(made.get("output"), run.file_client)
        if run.target.iterates and outcome.output is None:
            outcome.output = []
        if not run._may_run():
            await self._keep(outcome)
        elif run.cancelled:
            outcome.status = "canceled"
            await self._keep(outcome)
        # else the journal has its id alone, and the next call goes on with it

    async def _keep(self, outcome: _Outcome) -> None:
        """Save the files of an output, and note how it ended."""
        if self.save is not None and outcome.error is None:
            outcome.files = []
            try:
                await self._save_files(outcome, self.save)
            except ReplicateError as error:
                outcome.error = error
        if self.journal is not None:
            await self._note(
                outcome,
                id=outcome.id,
                status=outcome.status,
                output=outcome.output,
                metrics=outcome.metrics,
                error=outcome.error and str(outcome.error),
                files=outcome.files,
            )

    async def _save_files(
        self, outcome: _Outcome, folder: str | os.PathLike[str]
    ) -> None:
        found = _files_in(outcome.output)
        own = self.call
        call = _Call(own.client, self.options.timeout, own.token, own.face)
        for number, url in enumerate(found, 1):
            name = f"{outcome.line}-{number}" if len(found) > 1 else str(outcome.line)
            name += os.path.splitext(_safe_name(url))[1]
            while self.journal is not None and name in self.journal.files:
                name = "_" + name  # the line was another input's
            path = await _saved(call, url, os.path.join(folder, name))
            outcome.files.append(str(path))

    async def _note(self, outcome: _Outcome, **more: Any) -> None:
        """Add to the journal. Where that fails the batch stops, and creates no more."""
        line = {"index": outcome.index, "digest": outcome.digest, **more}
        try:
            await self.journal.add(self.call, line)
        except ReplicateError as error:
            self._stop(error)
            if "status" not in more:
                raise

    def _end(self, outcome: _Outcome) -> None:
        """Put an outcome where it is handed over from, or its id where it is named."""
        del self.running[outcome]
        outcome.input = None  # it may be large, and wait for long
        error = outcome.error
        if error is None or isinstance(error, Exception):
            self._hand_over(outcome)
            if self._note_failure(error, outcome.index):
                self._stop(error)
        else:
            self._stop(error)  # cancelled, or an on_update that raises SystemExit
            if outcome.status == "succeeded":  # in that moment
                outcome.error = None
                self._hand_over(outcome)
            else:
                self._name(outcome.run)
        outcome.run = None  # with its input, too
        self.came.set()
        self.freed.set()

    def _hand_over(self, outcome: _Outcome) -> None:
        if not self.ordered:
            self.ready.append(outcome)
            return
        self.waiting[outcome.index] = outcome
        while self.next in self.waiting:
            self.ready.append(self.waiting.pop(self.next))
            self.next += 1

    def _note_failure(self, error: BaseException | None, index: int) -> bool:
        """Count like failures in a row; True, and told by the error, at the last."""
        if not isinstance(error, (APIError, NetworkError)):
            self.alike = {}
            return False
        kind = (type(error), error.status)
        indexes = [*self.alike.get(kind, []), index]
        self.alike = {kind: indexes}
        if len(indexes) < _ALIKE_MOST:
            return False
        how = f"go on from index {min(indexes)}"
        if self.journal is not None:
            how = f"the same call with the journal {self.journal.path} goes on"
        error._add(f"; the batch stopped after {_ALIKE_MOST} such failures: {how}")
        return True


class _Journal:
    """The file that makes a batch survive: lines of JSON, only ever added to.

    {"index", "digest", "at", "input"}: on the disk before a creation is sent
    {"index", "digest", "id"}: once it was answered
    {"index", "digest", "id", "status", "output", "metrics", "error", "files"}: ended
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = os.fspath(path)
        # Of each digest the ids, with index, and place of the result or None.
        self.runs: dict[str, dict[str, tuple[int, int | None]]] = {}
        # When those were created that have no answer, and their inputs, by digest and
        # index.
        self.sent: dict[tuple[str, int], tuple[str, Any]] = {}
        # Digests of those that may exist all the same, and why that is not certain.
        self.unsure: dict[str, str] = {}
        self.files: set[str] = set()  # names that results have
        self.last = -1  # the greatest index
        # Lines that are not on the disk yet. The loop adds, and the one commit that
        # there is at a time takes away: each step is atomic.
        self.lines: list[bytes] = []
        self.added = 0
        self.written = 0  # of those added
        self.turn: asyncio.Lock | None = None
        try:
            self.file = open(path, "ab", buffering=0)  # noqa: SIM115
            self.reader = open(path, "rb")  # noqa: SIM115
        except OSError as error:
            raise _disk_failure(
                error, f"cannot open the journal {self.path}"
            ) from error
        try:
            self._lock()
            self._read()
        except OSError as error:
            self.close()
            raise _disk_failure(error, f"cannot use the journal {path}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Write what still waits, and let go of the file."""
        try:
            self._commit()
        except ReplicateError as error:
            _log("warning", "%s", error)
        self.file.close()
        self.reader.close()

    def _lock(self) -> None:
        """Keep others out. The system lets go when this process ends, in any way."""
        try:
            if sys.platform == "win32":
                import msvcrt

                self.file.seek(_LOCKED_BYTE)
                msvcrt.locking(self.file.fileno(), msvcrt.LK_NBLCK, 1)
            else:
                import fcntl

                fcntl.flock(self.file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            text = f"the journal {self.path} is in use by another process: {error}"
            raise ReplicateError(text) from error

    def _read(self) -> None:
        """Read it, and cut a torn last line off. ValueError: it is no journal."""
        place = 0
        size = os.fstat(self.file.fileno()).st_size
        refusal = ValueError(f"{self.path} is no journal of map; it is left as it is")
        if not _JOURNAL_HEAD.startswith(self.reader.peek()[: len(_JOURNAL_HEAD)]):
            raise refusal
        lacking = b""  # at the end of the last line
        for raw in self.reader:
            try:
                line = json.loads(raw)
            except (ValueError, RecursionError):
                if place + len(raw) < size:
                    raise refusal from None
                self.file.truncate(place)
                break
            try:
                self._learn(line, place)
            except (TypeError, LookupError, AttributeError):
                raise refusal from None
            place += len(raw)
            if not raw.endswith(b"\n"):
                lacking = b"\n"
        self.file.write(lacking)

    def _learn(self, line: _Object, place: int) -> None:
        digest = line["digest"]
        index = line["index"]
        runs = self.runs.setdefault(digest, {})
        self.last = max(self.last, index)
        if "id" not in line:
            self.sent[digest, index] = line["at"], line["input"]
            return
        self.sent.pop((digest, index), None)
        if "status" not in line:
            runs.setdefault(line["id"], (index, None))
        elif line["status"] == "succeeded":
            runs[line["id"]] = index, place
            self.files.update(
                os.path.basename(file) for file in line.get("files") or ()
            )
        else:
            runs.pop(line["id"], None)

    def take_known(self, outcome: _Outcome) -> _Dict | None:
        """Take what is known of an input: its result's line, {"id": ...}, or None.

        Equal inputs take one each. ReplicateError: a run may exist that was not found.
        """
        digest = outcome.digest
        index = outcome.index
        runs = self.runs.get(digest)
        if runs:
            id, (_, place) = runs.popitem()
            if place is None:
                return {"id": id}
            self.reader.seek(place)
            line: dict[str, Any] = json.loads(self.reader.readline())
            return line
        if digest in self.unsure:
            raise ReplicateError(
                f"input {index} may have been created before ({self.unsure[digest]}), "
                "so it was not created again"
            )
        if runs is None and index <= self.last:
            _log("warning", "input %d is not in the journal: it runs anew", index)
        return None

    async def add(self, call: _Call, line: _Object) -> None:
        """Append a line; return when it is on the disk. All that wait go at once."""
        import asyncio

        self.lines.append(json.dumps(line).encode() + b"\n")
        self.added += 1
        number = self.added
        self.turn = self.turn or asyncio.Lock()
        async with self.turn:
            if self.written < number:
                await call.face.to_the_end(self._commit)

    def _commit(self) -> None:
        """Write the lines that wait. Where that fails, the next time goes on there."""
        added = self.added
        count = len(self.lines)
        self.lines[:count] = [b"".join(self.lines[:count])]
        try:
            while self.lines[0]:
                self.lines[0] = self.lines[0][self.file.write(self.lines[0]) :]
            os.fsync(self.file.fileno())
        except OSError as error:
            raise _disk_failure(
                error, f"cannot write the journal {self.path}"
            ) from error
        del self.lines[0]
        self.written = added

    async def find_unanswered(self, call: _Call, target: _Target, rerun: bool) -> None:
        """Learn of each creation without an answer whether there is a run (promise 3).

        Where that cannot be told, it is `unsure`.
        """
        if self.sent and not target.cog:  # containers forget
            try:
                await self._match(call, target, rerun)
                times = [_moment(at) for at, _ in self.sent.values()]
                if times and time.time() - max(times) < _YOUNG:
                    await call.sleep(_LOOK_AGAIN)  # it may not be listed yet
                    await self._match(call, target, rerun)
            except (ReplicateError, ValueError) as error:
                for digest, _ in self.sent:
                    self.unsure[digest] = f"that cannot be told now: {error}"
        for digest, runs in self.runs.items():  # popitem() is to give results first
            best = sorted(runs.items(), key=lambda run: (run[1][1] is None, run[1][0]))
            self.runs[digest] = dict(reversed(best))

    async def _match(self, call: _Call, target: _Target, rerun: bool) -> None:
        """Go through the account's runs, newest first; ended ones count, too."""
        first = min(_moment(at) for at, _ in self.sent.values())
        known = {id for runs in self.runs.values() for id in runs}
        pages = _newest_runs(call)
        async with _Closing(pages):
            async for runs in pages:
                ahead = call.client._transport.server_time() - time.time()
                since = _time_text(first + ahead - _CLOCK_PLAY)
                for run in runs:
                    if str(run.get("created_at"))[:19] < since[:19]:
                        return
                    if run.get("id") not in known and target.is_of(run):
                        await self._take(call, run, rerun)

    async def _take(self, call: _Call, run: Any, rerun: bool) -> None:
        """Note for which of the unanswered creations a run of the account's is."""
        if not _is_running(run) and run.get("status") != "succeeded":
            return
        if run.get("data_removed") and not rerun:
            text = "may be one, but its data is removed: see rerun_expired"
            raise ReplicateError(f"{run['id']} {text}")
        told = run.get("input")
        alike = [key for key, (_, input) in self.sent.items() if input == told]
        if alike:
            digest, index = alike[-1]
            line = {"index": index, "digest": digest, "id": run["id"]}
            self._learn(line, 0)
            await self.add(call, line)
            return
        if rerun:
            return
        for (digest, _), (_, input) in self.sent.items():
            if _may_be_same_input(input, told):
                why = f"as {run['id']}, of another form: see rerun_expired"
                self.unsure[digest] = why


def _may_be_same_input(sent: Any, told: Any) -> bool:
    """Whether an input as the API lists it may be what was sent: defaults added, data
    URIs turned into addresses."""
    if isinstance(sent, dict) and isinstance(told, dict):
        if not sent.keys() <= told.keys():
            return False
        return all(_may_be_same_input(sent[name], told[name]) for name in sent)
    if isinstance(sent, list) and isinstance(told, list):
        if len(sent) != len(told):
            return False
        return all(_may_be_same_input(*pair) for pair in zip(sent, told))
    if isinstance(sent, str) and sent.startswith("data:"):
        return _is_file(told)
    return bool(sent == told)


def _digest(model: str, input: Any) -> str:
    """What the journal knows an input by: the model, values, and contents of files."""
    import hashlib

    def content(source: Any) -> str:
        digest = hashlib.sha256()
        for block in source.blocks():
            digest.update(block)
        return digest.hexdigest()

    text = json.dumps([model, input], sort_keys=True, default=content)
    return hashlib.sha256(text.encode()).hexdigest()


def _time_text(moment: float) -> str:
    return time.strftime(_TIME, time.gmtime(moment))


def _moment(text: str) -> float:
    import calendar

    return calendar.timegm(time.strptime(text, _TIME))


def _files_in(output: Any) -> list[str]:
    """The files of an output, in their order."""
    found, left = [], [output]
    while left:
        value = left.pop()
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list):
            left.extend(reversed(value))
        elif _is_file(value):
            found.append(value)
    return found


# ------------------------------------------------------------------------------------
# Streams
# ------------------------------------------------------------------------------------


class _EventType(str):
    """A kind of event: a str that has itself as `.value`, as the members of an enum."""

    @property
    def value(self) -> str:
        """The kind as a plain str."""
        return str.__str__(self)


class ServerSentEvent(
    namedtuple("ServerSentEvent", "event data id retry", defaults=("", "", None))
):
    """One event of a stream; str() is the text of an output event, else empty."""

    __slots__ = ()
    event: _EventType  # output, logs, error, done, or a word of tomorrow
    data: str
    id: str
    retry: int | None

    class EventType:
        """The kinds of events that are known."""

        OUTPUT = _EventType("output")
        LOGS = _EventType("logs")
        ERROR = _EventType("error")
        DONE = _EventType("done")

    def __str__(self) -> str:
        return str(self.data) if self.event == "output" else ""


class _Decoder:
    """Makes events of bytes that are split anywhere (WHATWG HTML, section 9.2.6)."""

    def __init__(self) -> None:
        self.rest: list[bytes] = []  # of a line that is not over
        self.size = 0  # bytes in the rest, and in the data of the event
        self.after_cr = False  # whether the last line ended in a CR, perhaps of a CRLF
        self.encoding = "utf-8-sig"  # of what comes next: at first there may be a BOM
        self.event = self.last_id = ""
        self.data: list[str] = []
        self.retry: int | None = None

    def feed(self, chunk: bytes) -> list[ServerSentEvent]:
        """Take more bytes; return the events that are complete with them."""
        if self.after_cr and chunk[:1] == b"\n":
            chunk, self.after_cr = chunk[1:], False
        if chunk:
            self.after_cr = chunk.endswith(b"\r")
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        self.rest.append(chunk[:end] if end else chunk)
        self.size += len(chunk)
        if self.size > _EVENT_MOST:
            raise http.client.HTTPException("an event that is too large")
        if not end:
            return []
        text = b"".join(self.rest).decode(self.encoding, "replace")
        self.encoding = "utf-8"
        self.rest = [chunk[end:]]
        lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        return self._read(lines[:-1])

    def _read(self, lines: list[str]) -> list[ServerSentEvent]:
        events = []
        for line in lines:
            field, _, value = line.partition(":")
            if value[:1] == " ":
                value = value[1:]
            if field == "data":
                self.data.append(value)
            elif not line:
                if self.data:
                    kind = _EventType(self.event or "message")
                    data = "\n".join(self.data)
                    events.append(ServerSentEvent(kind, data, self.last_id, self.retry))
                self.event, self.data, self.retry = "", [], None
                self.size = len(self.rest[0])
            elif field == "event":
                self.event = value
            elif field == "id" and "\0" not in value and len(value) <= _ID_MOST:
                self.last_id = value
            elif field == "retry" and re.fullmatch("[0-9]{1,9}", value):
                self.retry = int(value)
        return events


def _event_with_file(event: ServerSentEvent, client: Client | None) -> ServerSentEvent:
    """The event, its data as a FileOutput where it is a file of an output's.

    client: as for _files().
    """
    if client is None or event.event != "output" or not _is_file(event.data):
        return event
    return event._replace(data=FileOutput(event.data, client))


async def _events(
    call: _Call,
    run: Prediction,
    client: Client | None,
    tell: _Tell | None = None,
) -> AsyncIterator[ServerSentEvent]:
    """The events of a run, as they come: from its stream, else from looks at it.

    client: as for _files().
    """
    shown = 0
    if run._url("stream"):
        stream = _Stream(call, run, tell)
        batches = stream.batches()
        try:
            async with _Closing(batches):
                async for batch in batches:
                    for event in batch:
                        yield _event_with_file(event, client)
        finally:
            stream.put_logs()
        if stream.is_done:
            return
        shown = stream.shown
    items = _items(call, run, None, tell)
    async with _Closing(items):
        async for item in items:
            data = item if isinstance(item, str) else json.dumps(item)
            fresh = data[shown:]
            shown = max(0, shown - len(data))
            if fresh or not data:
                yield _event_with_file(
                    ServerSentEvent(_EventType("output"), fresh), client
                )
    yield ServerSentEvent(_EventType("done"), "{}")


class _Stream:
    """A run's stream: how far it was read, and how it is resumed when it drops."""

    def __init__(
        self,
        call: _Call,
        run: Prediction,
        tell: _Tell | None,
    ) -> None:
        self.call = call
        self.run = run
        self.tell = tell  # shows on_update the run; None where there is none
        self.looks = _looks(call, run, tell)
        self.url = run._url("stream")  # a later answer may not name it any more
        self.shown = 0  # characters of output that were handed over
        self.last_id = ""
        self.seen: deque[str] = deque(maxlen=_SEEN_MOST)  # ids
        self.logs: list[str] = []  # what it has told of them, from the beginning
        self.is_gone = False
        self.is_done = False  # whether it has told the end of the run
        self.heard_at = self.told_at = 0.0  # when events came, and on_update was called

    async def batches(self) -> AsyncIterator[list[ServerSentEvent]]:
        """Yield its events, over drops, until it is done, gone or of no more use."""
        async with _Closing(self.looks):
            while True:
                heard = self._until_drop()
                async with _Closing(heard):
                    async for batch in heard:
                        yield batch
                if self.is_done or self.is_gone:
                    return
                lost = self.shown and not self.last_id  # no place to resume at
                if lost or await _next(self.looks) is _END:
                    return

    async def _until_drop(self) -> AsyncIterator[list[ServerSentEvent]]:
        """The events of one connection, until it drops."""
        again = set(self.seen)  # handed on before: a server may begin anew
        self.heard_at = self.call.clock.now()
        answer = await self._open()
        if answer is None:
            return
        decoder = _Decoder()
        blocks = answer.blocks(self.call)
        async with _Closing(blocks):
            while not self.is_done:
                events = await self._received(blocks, decoder)
                if events is None:
                    return
                batch, failure = self._taken(events, again)
                if batch:
                    yield batch
                if failure is not None:
                    raise failure
                await self._tell_now_and_then()
                if await self._is_over_in_silence():
                    return
        if self.tell is not None:
            await self._tell_end(self.tell)

    async def _received(
        self, blocks: AsyncIterator[bytes], decoder: _Decoder
    ) -> list[ServerSentEvent] | None:
        """The next events of a connection; None where it has ended, or dropped."""
        try:
            block = await _next(blocks)
            if block is not _END:
                return decoder.feed(block)
        except _BROKEN as error:
            if _is_of_a_signal_handler(error):
                raise
            _log("debug", "the stream of %s dropped: %s", self.run.get("id"), error)
        return None

    def _taken(
        self, events: list[ServerSentEvent], again: set[str]
    ) -> tuple[list[ServerSentEvent], ModelError | None]:
        """Note what events tell: those to be handed on, and why the run has failed."""
        batch: list[ServerSentEvent] = []
        if events:
            self.heard_at = self.call.clock.now()
        for event in events:
            if event.id in again:
                continue
            if event.id and event.id != self.last_id:
                self.last_id = event.id
                self.seen.append(event.id)
            failure = None
            if event.event == "output":
                self.shown += len(event.data)
            elif event.event == "logs":
                self.logs.append(event.data)
            elif event.event in ("error", "done"):
                failure = self._end(event)
            if failure is not None:
                return batch, failure
            batch.append(event)
            if self.is_done:
                break
        return batch, None

    async def _open(self) -> _Answer | None:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
        if self.last_id:
            headers["Last-Event-ID"] = self.last_id
        request = _Request("GET", self.url, headers=headers, whole=False)
        transport = self.call.client._transport
        try:
            answer: _Answer = await transport.request(self.call, request)
            if answer.media_type == "text/event-stream":
                return answer
            answer.close()
        except (APIError, NetworkError) as error:
            _log("debug", "no stream of %s: %s", self.run.get("id"), error)
        self.is_gone = True
        return None

    def _end(self, event: ServerSentEvent) -> ModelError | None:
        """The failure that an error, or done, tells of; None for a success."""
        told: Any = _parsed(event.data)
        reason, why = _found(told, "reason"), _found(told, "detail")
        if event.event == "error":
            why = why or event.data
        elif reason not in ("error", "failed", "canceled", "aborted"):
            self.is_done = True
            if _is_running(self.run):
                self.run["status"] = "succeeded"
            return None
        self.run["status"] = "canceled" if reason == "canceled" else "failed"
        self.put_logs()
        if why:
            why = self.call.client._transport.redacted(str(why), self.call.token)
        return ModelError(self.run, why)

    async def _tell_end(self, tell: _Tell) -> None:
        """Load the ended run, as its stream tells no metrics, and show it."""
        await self.run._refresh(self.call, "GET", self.run._path(), is_part_of_run=True)
        await tell()

    async def _tell_now_and_then(self) -> None:
        """Show on_update the logs that came: not each time, as they are copied."""
        now = self.call.clock.now()
        if self.tell is None or now - self.told_at < _TELL_GAP:
            return
        self.told_at = now
        self.put_logs()
        await self.tell()

    def put_logs(self) -> None:
        """Put its logs into the run, where a look has not told more of them."""
        text = "".join(self.logs)
        self.logs = [text]
        if len(text) > len(self.run.get("logs") or ""):
            self.run["logs"] = text

    async def _is_over_in_silence(self) -> bool:
        """Whether the run has ended while its stream says nothing but comments."""
        if self.call.clock.now() - self.heard_at < _STREAM_SILENCE:
            return False
        self.heard_at = self.call.clock.now()
        return await _next(self.looks) is _END


# ------------------------------------------------------------------------------------
# Self-hosted models (Cog)
# ------------------------------------------------------------------------------------
#
# A container speaks Cog's HTTP API (https://cog.run/http). It answers when the run is
# over, forgets it then, and would run a repeated request again: so one is sent again
# only where it cannot have been acted on.


async def _cog_schema(call: _Call, address: str) -> Any:
    """The container's schema, or None where it has none or is not up yet."""
    request = _Request("GET", address + "/openapi.json", bare=True, is_best_effort=True)
    try:
        return await call.client._transport.request(call, request)
    except (APIError, NetworkError):
        return None


class _CogRun(_Run):
    """One run in a container; a prediction's id is made here, so that it can cancel."""

    def __init__(
        self, call: _Call, target: _Target, input: Any, options: _Options
    ) -> None:
        if options.strategy == "url":
            raise ValueError("a self-hosted model takes no file by 'url'")
        if options.headers:
            raise ValueError("a self-hosted model keeps no deadline: give timeout=")
        options.strategy = "base64"
        super().__init__(call, target, input, options)
        self.id = base64.b32encode(os.urandom(15)).decode("ascii").lower()
        self.url = f"{target.cog}/predictions/{self.id}"

    async def start(self) -> None:
        """Get ready: wait for the container to be up, and check the inputs' names.

        It does not check them itself. Unlike _Run.start() this creates nothing: _send()
        does, at the first item.
        """
        while self.target.fields is None:
            schema = await _cog_schema(self.call, self.target.cog)
            if schema is None and await self._is_setting_up():
                await self._pause()
                continue
            self.target.iterates = _iterates({"openapi_schema": schema})
            self.target.fields = _inputs_of(schema)
        wrong = _unknown(self.body["input"], self.target.fields)
        if wrong:
            raise ValueError("; ".join(wrong))

    async def create(self) -> Any:
        raise ValueError("a container keeps no predictions: use run() or stream()")

    async def _pause(self) -> None:
        gap = _poll_gap(self.call.elapsed(), self.client.poll_interval)
        await self.call.sleep(gap)

    async def cancel(self, call: _Call) -> None:
        url = self.url + "/cancel"
        request = _Request("POST", url, bare=True, read=_read_nothing, once=True)
        await self.client._transport.request(call, request)

    async def output(self) -> Any:
        async with self:
            await self.start()
            parts = self._parts("application/json")
            async with _Closing(parts):
                async for _ in parts:
                    pass
        return _files(self.prediction.get("output"), self.file_client)

    async def items(self) -> AsyncIterator[Any]:
        self.is_iterated = True
        async with self:
            await self.start()
            yield None
            parts = self._parts()
            async with _Closing(parts):
                async for kind, value in parts:
                    if kind == "output":
                        yield _files(value, self.file_client)

    async def events(self) -> AsyncIterator[Any]:
        self.is_iterated = True
        async with self:
            await self.start()
            yield None
            parts = self._parts()
            async with _Closing(parts):
                async for kind, value in parts:
                    data = value if isinstance(value, str) else json.dumps(value)
                    event = ServerSentEvent(_EventType(kind), data)
                    yield _event_with_file(event, self.file_client)

    async def _is_setting_up(self) -> bool:
        """Whether the container is not ready yet. Raises where it will never be."""
        request = _Request("GET", self.target.cog + "/health-check", bare=True)
        try:
            health = await self.client._transport.request(self.call, request)
        except APIError:  # no Cog that is known, or something before it
            return False
        status = str(health.get("status")).upper()
        if status in ("SETUP_FAILED", "DEFUNCT"):
            setup = health.get("setup")
            logs = setup.get("logs") if isinstance(setup, dict) else None
            where = self.target.cog
            text = f"{where} cannot run its model ({status}): {logs or 'no logs'}"
            raise ReplicateError(text, detail=logs)
        return status == "STARTING"

    async def _send(self, accept: str) -> tuple[_Request, _Answer]:
        """Send the run as soon as the container takes it; the answer is still open."""
        while True:
            data = {"id": self.id, "status": "starting", **self.body}
            self.prediction = Prediction(data, self.client)
            await self._update()
            put = self._request(accept)
            try:
                return put, await self.client._transport.request(self.call, put)
            except ReplicateError as error:
                if not put.sent or error.status == 503:
                    self.prediction = None  # it does not run: nothing to be cancelled
                if error.status == 406 and accept != "application/json":
                    accept = "application/json"
                    continue
                if error.status not in (409, 503):
                    raise
            await self._is_setting_up()  # raises where it will never be ready
            await self._pause()

    def _request(self, accept: str) -> _Request:
        return _Request(
            "PUT",
            self.url,
            whole=False,
            body=self.body,
            headers={"Accept": accept},
            bare=True,
            once=True,
            noun="run",
            hold=math.inf,
        )

    async def _parts(
        self, accept: str = "text/event-stream"
    ) -> AsyncIterator[tuple[str, Any]]:
        """Run it to its end: pairs of an event's kind and value, then done."""
        put, answer = await self._send(accept)
        end: Any = None
        told = self._told(answer)
        try:
            async with _Closing(told):
                async for kind, value in told:
                    if kind == "completed":
                        end = value
                    elif kind == "output":
                        yield kind, value.get("chunk")
                    else:
                        yield "logs", value.get("data") or ""
        except _BROKEN as error:
            if _is_of_a_signal_handler(error):
                raise
            transport = self.client._transport
            raise transport.explained(self.call, put, error) from None
        await self._take_end(end)
        if answer.media_type != "text/event-stream":
            items = self.prediction.get("output")
            if not isinstance(items, list):
                items = [items]
            for item in items:
                if item is not None:
                    yield "output", item
        yield "done", "{}"

    async def _told(self, answer: _Answer) -> AsyncIterator[tuple[str, Any]]:
        """What the container says: events that matter, or all at the end, as JSON."""
        call = self.call
        if answer.media_type != "text/event-stream":
            args = answer.alone, answer.read, _ANSWER_MOST, call
            with contextlib.closing(answer):
                whole = await call.face.on_wire(answer.connection, *args)
            yield "completed", _read_object(whole)
            return
        decoder = _Decoder()
        blocks = answer.blocks(call)
        async with _Closing(blocks):
            async for block in blocks:
                for event in decoder.feed(block):
                    if event.event in ("output", "log", "completed"):
                        yield event.event, _read_object(event.data.encode())

    async def _take_end(self, end: Any) -> None:
        """Take what the container says at the end."""
        if end is None or _is_running(end) or not end.get("status"):
            raise NetworkError(
                f"{self.target.cog} told no end of the run, and cannot be asked later: "
                "it may still run"
            )
        self.prediction._take({"id": self.id, **self.body, **end})
        await self._update()
        _must_have_succeeded(self.call, self.prediction)


# ------------------------------------------------------------------------------------
# Inputs
# ------------------------------------------------------------------------------------

_PLAIN = frozenset((str, int, bool, type(None)))  # JSON as they are
_FILES = (bytes, bytearray, memoryview, os.PathLike)  # and what can read()
_LISTS = (abc.Sequence, abc.Set, abc.Iterator, abc.ValuesView)
_CONTROL = r"[\x00-\x1f\x7f]"
# Held while a file is read: several runs may send the same handle of the caller's.
_reading = threading.RLock()


class _Inputs:
    """A model's input on its way to JSON: encode_input(), then upload()."""

    def __init__(self, strategy: str | None = None) -> None:
        self.strategy = strategy  # "base64", "url", or None: by the file's size
        # Where in the encoded input a _Source stands in place of its URL.
        self.uploads: list[tuple[Any, Any]] = []

    def encode_input(self, value: Any) -> Any:
        """The JSON form of an input; no request is made, the caller's stays as it is.

        Raises TypeError and ValueError, with the place of what is wrong.
        """
        if value is None:
            return {}
        if not isinstance(value, abc.Mapping):
            raise ValueError(
                f"input is a dict of the model's inputs, not {_short(value)}"
            )
        return self.encode_value(value, ("input",))

    def encode_value(self, value: Any, place: tuple[Any, ...]) -> Any:
        """The JSON form of a value; place: the keys that lead to it.

        First what there may be much of: it is to cost no more than json.dumps.
        """
        if type(value) is list or type(value) is dict:
            return self._filled(value.copy(), place)
        if value is None or isinstance(value, (str, int)):
            return value
        if isinstance(value, float):
            if not math.isfinite(value):
                where = _place_of(place)
                raise ValueError(f"{where} is {value!r}, which JSON cannot say")
            return value
        if isinstance(value, File):
            return _file_url(value)
        if isinstance(value, _FILES) or callable(getattr(value, "read", None)):
            return self._file(value, place)
        return self._converted(value, place)

    def _filled(self, made: Any, place: tuple[Any, ...]) -> Any:
        """A list or dict with the JSON form of each item in its place."""
        if len(place) > _NESTED_MOST:
            where = _place_of(place[:4])
            raise ValueError(f"{where}... contains itself, or is nested too deeply")
        items: Any = enumerate(made)
        if type(made) is dict:
            items = made.items()
            for key in made:
                if not isinstance(key, str):
                    where = _place_of(place)
                    raise ValueError(
                        f"{where} has a key that is no text: {_short(key)}"
                    )
        for key, item in items:
            if type(item) not in _PLAIN:
                made[key] = self.encode_value(item, (*place, key))
                if isinstance(made[key], _Source):
                    self.uploads.append((made, key))
        return made

    def _converted(self, value: Any, place: tuple[Any, ...]) -> Any:
        if isinstance(value, abc.Mapping):
            return self._filled(dict(value), place)
        if isinstance(value, _LISTS):
            return self._filled(list(value), place)
        for convert in ("tolist", "isoformat"):  # numpy's arrays and scalars; dates
            plain = getattr(value, convert, lambda: value)()
            if type(plain) is not type(value):
                return self.encode_value(plain, place)
        raise TypeError(
            f"{_place_of(place)} is {type(value).__name__}: "
            "give JSON values, files, paths, bytes, arrays or dates"
        )

    def _file(self, value: Any, place: tuple[Any, ...]) -> Any:
        """A file as a data URI or, where it is to be uploaded, as its _Source."""
        most = math.inf if self.strategy == "base64" else _UPLOAD_MOST
        source = _Source(value, place=_place_of(place), most=most)
        if self.strategy == "url":
            return source
        if self.strategy is None and source.size > _INLINE_MOST:
            return source
        content: str = base64.b64encode(b"".join(source.blocks())).decode("ascii")
        return f"data:{source.kind};base64,{content}"

    async def upload(self, call: _Call) -> None:
        """Upload the files that do not go inline; where that fails, the call does."""
        for holder, key in self.uploads:
            file = await call.client._fetched(
                call,
                "POST",
                "/files",
                File,
                holder[key],
                read=_read_created,
                once=True,
                noun="file",
            )
            holder[key] = _file_url(file)
        self.uploads = []


def _place_of(place: tuple[Any, ...]) -> str:
    """A place in an input as one writes it: input['images'][2]."""
    return f"{place[0]}" + "".join(f"[{_short(key)}]" for key in place[1:])


def _file_url(file: File) -> str:
    """The address at which models find an uploaded file."""
    url = _found(file, "urls", "get")
    if not isinstance(url, str):
        raise NetworkError(
            f"the API's answer has no URL for file {_short(file.get('id'))}"
        )
    return url


class _Source:
    """A file on its way in, as the body of a request: multipart/form-data (RFC 7578).

    It can be sent as often as need be, from where it stood when this was made. A handle
    of the caller's is left open, and where it stood.
    """

    is_ours = False  # whether the file is to be closed with this

    def __init__(
        self,
        thing: Any,
        name: str | None = None,
        kind: str | None = None,
        metadata: _Object | None = None,
        *,
        place: str = "file",
        most: float = _UPLOAD_MOST,
    ) -> None:
        self.place = place
        try:
            first = self._open(thing, most)
        except (AttributeError, OSError, TypeError, ValueError) as error:
            if _is_of_a_signal_handler(error):
                raise
            raise ValueError(f"{place} cannot be read: {error}") from error
        if self.size > most:
            raise ValueError(
                f"{place} is larger than the 100 MiB that the files API takes: "
                "give a URL of it"
            )
        name = re.sub(_CONTROL, "_", name or _file_name(thing))
        self.kind = kind or _media_type(name, first)
        if re.search(_CONTROL, self.kind):
            raise ValueError(f"content_type is one as image/png, not {self.kind!r}")
        self._wrap(name or "file", _json_body(metadata or {}).decode())

    def _open(self, thing: Any, most: float) -> bytes:
        """Learn where it starts and how long it is, and return its first bytes."""
        self.file = thing
        if isinstance(thing, (str, os.PathLike)):
            self.file = open(thing, "rb")  # noqa: SIM115  # closed by __del__
            self.is_ours = True
        elif isinstance(thing, (bytes, bytearray, memoryview)):
            self.file = io.BytesIO(thing)
        elif hasattr(getattr(thing, "buffer", None), "read"):  # opened as text
            if thing.seekable():
                thing.seek(thing.tell())  # it has read ahead
            self.file = thing.buffer
        if not _can_seek(self.file):
            self.file, self.is_ours = _copied(self.file, most), True
        self.start: int = self.file.tell()
        first: bytes = self.file.read(512)
        self.file.seek(0, io.SEEK_END)
        self.size = max(0, self.file.tell() - self.start)
        self.file.seek(self.start)
        return first

    def _wrap(self, name: str, metadata: str) -> None:
        """Make what stands before the content, after it, and in the request's head."""
        boundary = os.urandom(16).hex()
        quoted = re.sub(r'(["\\])', r"\\\1", name)
        part = f"--{boundary}\r\nContent-Disposition: form-data; name="
        head = (
            f'{part}"content"; filename="{quoted}"\r\nContent-Type: {self.kind}\r\n\r\n'
        )
        tail = ""
        fields = {"filename": name, "type": self.kind, "metadata": metadata}
        for field, value in fields.items():
            tail += f'\r\n{part}"{field}"\r\n\r\n{value}'
        tail += f"\r\n--{boundary}--\r\n"
        self.head = head.encode("utf-8", "replace")
        self.tail = tail.encode("utf-8", "replace")
        self.headers = {
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Content-Length": str(len(self.head) + self.size + len(self.tail)),
        }

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        yield from self.blocks()
        yield self.tail

    def blocks(self) -> Iterator[bytes]:
        """Yield the content alone, as many bytes as there were when this was made."""
        sent = 0
        while sent < self.size:
            with _reading:
                self.file.seek(self.start + sent)
                block: bytes = self.file.read(min(self.size - sent, _BLOCK))
                self.file.seek(self.start)
            if not block:
                raise ReplicateError(f"{self.place} became shorter while it was sent")
            sent += len(block)
            yield block

    def __del__(self) -> None:
        if self.is_ours:
            self.file.close()


def _can_seek(file: Any) -> bool:
    """Whether a file can be read from anywhere, and gives bytes."""
    seekable = getattr(file, "seekable", None)
    return seekable is not None and seekable() and isinstance(file.read(0), bytes)


def _copied(file: Any, most: float) -> Any:
    """A copy of what can be read but once; it ends soon after `most` bytes."""
    import tempfile

    block = file.read(_BLOCK)
    copy: Any = tempfile.SpooledTemporaryFile(_MEMORY_MOST)  # noqa: SIM115
    while block and copy.tell() <= most:
        copy.write(block.encode() if isinstance(block, str) else block)
        block = file.read(_BLOCK)
    copy.seek(0)
    return copy


def _file_name(thing: Any) -> str:
    """The name of a path or handle; "" for one that has none, as <stdin> and bytes."""
    name = getattr(thing, "name", "")
    if isinstance(thing, (str, os.PathLike)):
        name = os.fspath(thing)
    if not isinstance(name, str) or name.startswith("<"):
        return ""
    return os.path.basename(name)


# What a file begins with, and its media type: the formats that models take.
_SIGNATURES = (
    (rb"\x89PNG\r\n\x1a\n", "image/png"),
    (rb"\xff\xd8\xff", "image/jpeg"),
    (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF....WEBP", "image/webp"),
    (rb"RIFF....WAVE", "audio/wav"),
    (rb"RIFF....AVI ", "video/x-msvideo"),
    (rb"BM....\0\0\0\0", "image/bmp"),
    (rb"II\*\0|MM\0\*", "image/tiff"),
    (rb"\0...ftypavif", "image/avif"),
    (rb"\0...ftyphei", "image/heic"),
    (rb"\0...ftypM4A", "audio/mp4"),
    (rb"\0...ftypqt", "video/quicktime"),
    (rb"\0...ftyp", "video/mp4"),
    (rb"fLaC\0", "audio/flac"),
    (rb"OggS\0", "audio/ogg"),
    (rb"ID3[\x02-\x04]|\xff[\xfa\xfb\xf2\xf3]", "audio/mpeg"),
    (rb"\x1a\x45\xdf\xa3", "video/webm"),
    (rb"%PDF-\d", "application/pdf"),
    (rb"PK\x03\x04", "application/zip"),
    (rb"\x1f\x8b", "application/gzip"),
    (rb".{257}ustar", "application/x-tar"),
    (rb"glTF\x02", "model/gltf-binary"),
)


def _media_type(name: str, first: bytes = b"") -> str:
    """The media type by the name, else by the first bytes; text is never guessed at."""
    import mimetypes

    guessed, packed = mimetypes.guess_type(name)
    if guessed and not packed:  # packed: what was guessed is inside
        return guessed
    for signature, kind in _SIGNATURES:
        if re.match(signature, first, re.DOTALL):
            return kind
    return "application/octet-stream"


# ------------------------------------------------------------------------------------
# Schemas
# ------------------------------------------------------------------------------------
#
# A model's schema comes from the network: whatever its form, nothing here raises. It
# serves to tell a mistake before a run is paid for, not to refuse what it forgot.


def _found(data: Any, *keys: str) -> Any:
    """What stands below keys in JSON of any form; None where nothing does."""
    for key in keys:
        if not isinstance(data, dict):
            return None
        data = data.get(key)
    return data


def _listed(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


# What is read of a schema: there may be any number of other keys.
_KEYWORDS = (
    "default description enum format ge items le maximum minimum nullable properties"
    " required type x-cog-array-display x-cog-array-type x-order"
)


class _Field:
    """One input of a model, from its schema."""

    def __init__(self, name: str, schema: Any, openapi: Any, required: bool) -> None:
        schema = _resolved(schema, openapi)
        self.name = name
        self.required = required
        self.types = [kind for kind in schema["types"] if kind != "null"]
        self.nullable = bool(schema.get("nullable")) or "null" in schema["types"]
        self.choices = _listed(schema.get("enum"))
        self.items = _resolved(schema.get("items"), openapi)
        self.secret = schema.get("format") == "password"
        self.file = "uri" in (schema.get("format"), self.items.get("format"))
        self.least = schema.get("minimum", schema.get("ge"))
        self.most = schema.get("maximum", schema.get("le"))
        self.order = schema.get("x-order")
        self.default = schema.get("default")
        self.description = str(schema.get("description") or "")

    def fault(self, value: Any) -> str:
        """What is wrong with a value, "" if nothing; a secret is not shown."""
        if value is None and self.nullable:
            return ""
        if self.file and isinstance(value, (bytes, os.PathLike)):
            return ""
        wrong = self._wrong(value)
        if not wrong or self.secret:
            return wrong
        wrong += f", not {_short(value)}"
        if self.choices:
            wrong += _nearest(str(value)[:80], [str(choice) for choice in self.choices])
        return wrong

    def _wrong(self, value: Any) -> str:
        if self.choices and value not in self.choices:
            return "is to be one of its choices"
        if not _fits(value, self.types):
            return f"is to be {' or '.join(self.types)}"
        if isinstance(value, list) and not self.file:
            kinds = self.items["types"]
            if not all(_fits(item, kinds) for item in value):
                return f"is to be a list of {' or '.join(kinds)}"
        if not _is_number(value):
            return ""
        if _is_number(self.least) and value < self.least:
            return f"is at least {self.least}"
        if _is_number(self.most) and value > self.most:
            return f"is at most {self.most}"
        return ""

    def parse(self, text: str) -> Any:
        """A text as the value that the schema takes it for; a string as it stands."""
        for choice in self.choices:
            if text == choice or text == json.dumps(choice):
                return choice
        value = _json_or_text(text)
        if "string" in self.types:
            if isinstance(value, (list, dict)) and _fits(value, self.types):
                return value
            return text
        if "array" not in self.types or isinstance(value, list):
            return value
        if "string" in self.items["types"] or not self.items["types"]:
            return [text]
        return [value]


def _fits(value: Any, types: Sequence[str]) -> bool:
    """Whether a value is of one of these JSON Schema types; an unknown one is any."""
    return not types or any(_is_of(value, kind) for kind in types)


def _is_of(value: Any, kind: str) -> bool:
    """Whether a value is of a JSON Schema type; 1.0 is an integer, true no number."""
    if kind == "integer":
        return _is_number(value) and value == int(value)
    if kind == "number":
        return _is_number(value)
    known = {"string": str, "boolean": bool, "array": list, "object": dict}
    return isinstance(value, known.get(kind, object))


def _nearest(word: str, known: Sequence[str], likeness: float = 0.5) -> str:
    """The end of a message about an unknown word: what was meant, or what there is."""
    import difflib

    near = difflib.get_close_matches(word, known, 1, likeness)
    if near:
        return f": did you mean {near[0]!r}?"
    more = " ..." if len(known) > _SHOWN_MOST else ""
    return f": there are {', '.join(known[:_SHOWN_MOST])}{more}"


def _resolved(schema: Any, openapi: Any) -> _Dict:
    """A schema with its references and options merged into it, beneath what it says.

    `types` are the JSON Schema types of all of them.
    """
    parts: list[_Dict] = []
    types: list[str] = []
    waiting = [schema]
    while waiting and len(parts) < _PARTS_MOST:
        part = waiting.pop(0)
        if not isinstance(part, dict):
            continue
        parts.append(part)
        if isinstance(part.get("type"), str):
            types.append(part["type"])
        name = str(part.get("$ref")).rpartition("/")[2]
        waiting.append(_found(openapi, "components", "schemas", name))
        for key in ("allOf", "anyOf", "oneOf"):
            waiting += _listed(part.get(key))[:_PARTS_MOST]
    merged: _Dict = {}
    for part in reversed(parts):
        merged.update((key, part[key]) for key in _KEYWORDS.split() if key in part)
    return dict(merged, types=[*dict.fromkeys(types)])


def _part(openapi: Any, name: str) -> _Dict:
    """A part of a model's schema, as "Input" and "Output"."""
    return _resolved({"$ref": name}, openapi)


def _inputs_of(openapi: Any, part: str = "Input") -> dict[str, _Field]:
    """A model's inputs by name, in their order; {} where there is no schema."""
    schema = _part(openapi, part)
    required, properties = _listed(schema.get("required")), schema.get("properties")
    fields = []
    if isinstance(properties, dict) and len(properties) <= _INPUTS_MOST:
        for name, part in properties.items():
            fields.append(_Field(name, part, openapi, name in required))
    fields.sort(key=lambda field: field.order if _is_number(field.order) else math.inf)
    return {field.name: field for field in fields}


def _unknown(input: Mapping[str, Any], fields: Mapping[str, _Field]) -> list[str]:
    """What an input has that the model has not; nothing where there is no schema."""
    wrong = []
    for name in input:
        if fields and name not in fields:
            wrong.append(f"there is no input {name!r}{_nearest(name, [*fields])}")
    return wrong


def _faults(
    input: _Object,
    fields: Mapping[str, _Field],
    unchecked: Iterable[str] = (),
) -> list[str]:
    """All that is wrong with an input, but for the values of `unchecked`.

    Where there is no schema, nothing is.
    """
    wrong = _unknown(input, fields)
    for name, value in input.items():
        if name in fields and name not in unchecked:
            fault = fields[name].fault(value)
            if fault:
                wrong.append(f"{name} {fault}")
    for name, field in fields.items():
        if field.required and name not in input:
            wrong.append(f"{name} is required")
    return wrong


def _iterates(version: _Object) -> bool:
    """Whether a version's output comes item by item: its schema says, or its age."""
    output = _part(version.get("openapi_schema"), "Output")
    if output["types"] != ["array"]:
        return False
    if output.get("x-cog-array-type") == "iterator":
        return True
    text = str(version.get("cog_version"))
    numbers = re.match(r"v?(\d{1,9})\.(\d{1,9})\.(\d{1,9})", text)
    if numbers is None:  # as "dev"
        return False
    return tuple(int(number) for number in numbers.groups()) < _MARKED_SINCE


async def _description(call: _Call, ref: str) -> tuple[str, Any]:
    """A model's description, and its schema: None where there is none to be had."""
    target, fetched = _target(ref), call.client._fetched
    if target.cog:
        return "", await _cog_schema(call, target.cog)
    if target.path.startswith("/deployments"):
        path = target.path.rpartition("/")[0]
        deployment = await fetched(call, "GET", path, Deployment)
        release = _found(deployment, "current_release")
        if not release:
            return "", None
        target = _target(f"{_found(release, 'model')}:{_found(release, 'version')}")
    if target.model is None:
        return "", None
    path = _path("models", *target.model)
    if target.version:
        path += _path("versions", target.version)
        version = await fetched(call, "GET", path, Version)
        return "", version.get("openapi_schema")
    model = await fetched(call, "GET", path, Model)
    schema = _found(model, "latest_version", "openapi_schema")
    return str(model.get("description") or ""), schema


# ------------------------------------------------------------------------------------
# Transport
# ------------------------------------------------------------------------------------
#
#   request()             until it succeeds or may not be sent again
#     _attempt()          once: the answer, read, or why there is none
#       _followed()       the redirects of a GET; _credentials() for each address
#         _exchange()     one connection: _Exchange.send() and .receive() do what blocks
#     retry()             _may_repeat() is the rule; when: the server's word, or a guess

_AGENT = f"replicate-onefile/{__version__}"
_ACCEPT_ENCODING = (
    "gzip" if zlib is not None else "identity"
)  # what answers may be packed in
_REPLICATE_HOST = r"([a-z0-9-]{1,63}\.){0,9}replicate\.com"
_AUTHORITY = (
    r"(?i)(https?)://"
    r"(\[[0-9a-f:.]{2,45}\]|[^\s/?#@:\[\]\\%<>\"'^`{|}\x00-\x20\x7f]{1,255})"
    r"(?::([0-9]{0,5}))?(?=[/?#]|\Z)"
)
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")
# What is raised below the transport where a transfer fails:
_BROKEN = (OSError, http.client.HTTPException, ValueError)


def _log(level: str, text: str, *values: Any) -> None:
    """Log to the logger "replicate", where anything has imported logging."""
    logging = sys.modules.get("logging")
    if logging is None or not hasattr(logging, "getLogger"):
        return
    logger = logging.getLogger("replicate")
    if not logger.handlers:
        logger.addHandler(logging.NullHandler())
    getattr(logger, level)(text, *values)


class _Address:
    """An http or https address, read: the one that is trusted is the one dialled."""

    def __init__(self, scheme: str, host: str, port: int, target: str) -> None:
        self.scheme = scheme
        self.host = host
        self.port = port
        self.target = target  # path and query

    @property
    def origin(self) -> tuple[str, str, int]:
        return self.scheme, self.host, self.port

    @property
    def netloc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        usual = {"http": 80, "https": 443}[self.scheme]
        return host if self.port == usual else f"{host}:{self.port}"

    @property
    def path(self) -> str:
        return self.target.partition("?")[0]


@functools.lru_cache(maxsize=256)
def _address(url: str) -> _Address:
    """Read an address: the only parser of them. ValueError for what is none."""
    found = re.match(_AUTHORITY, url)
    if found is None:
        raise ValueError("that is no http or https address with a host")
    scheme, host = found[1].lower(), found[2].lower().strip("[]")
    if not host.isascii():
        host = host.encode("idna").decode()  # a UnicodeError is a ValueError
    labels = re.sub(r"\.\Z", "", host).split(".")
    if ":" not in host and not all(0 < len(label) < 64 for label in labels):
        raise ValueError(
            "a part of its host's name is empty, or longer than 63 letters"
        )
    port = int(found[3] or {"http": 80, "https": 443}[scheme])
    if not 0 < port < 65536:
        raise ValueError("its port is none")
    target = url[found.end() :].partition("#")[0]
    if target[:1] != "/":
        target = "/" + target
    target = urllib.parse.quote(target, safe="%/:=&?~+!$,;'@()*[]|-._")
    return _Address(scheme, host, port, target)


class _Request:
    """What is asked for, and how the answer is read."""

    def __init__(
        self,
        method: str,
        url: str,
        *,
        read: Callable[[bytes], Any] | None = None,
        whole: bool = True,
        body: Any = None,  # text, a _Source, or JSON's value
        headers: _Headers | None = None,
        once: bool = False,
        noun: str = "",
        hold: float = 0.0,
        is_best_effort: bool = False,
        makes_run: bool = False,
        is_part_of_run: bool = False,
        bare: bool = False,
        file: bool = False,
    ) -> None:
        self.method = method
        self.url = url  # a whole address
        self.read = read or _read_object  # makes the result of the body
        self.whole = whole  # whether it is read; else the answer is handed over open
        self.headers = dict(headers or {})
        if isinstance(body, _Source):
            self.headers.update(body.headers)
        elif isinstance(body, str):
            body = body.encode()
            self.headers["Content-Type"] = "text/plain"
        elif body is not None:
            body = _json_body(body)
            self.headers["Content-Type"] = "application/json"
        self.body = body  # None, bytes, or a _Source
        self.once = once  # must not be acted on twice (promise 1)
        self.noun = noun  # what it creates, for messages alone; "" where nothing
        self.hold = hold  # seconds that the server may hold it
        self.is_best_effort = is_best_effort  # never sent again
        # Whether it creates a run of the account's: these keep a pace of their own, and
        # their answer is of use also when whoever asked has left.
        self.makes_run = makes_run
        self.is_part_of_run = is_part_of_run  # then it takes more 429s than others
        self.bare = bare  # goes to a container: neither token nor headers of the caller
        self.file = file  # an address that a model's output names
        # Set by _Transport for each attempt:
        self.exchange: _Exchange | None = None  # None where it was surely not acted on
        self.sent_at = 0.0  # by the client's clock
        self.is_elsewhere = False  # whether another answers than the API

    @property
    def sent(self) -> bool:
        """Whether the server may have acted on it."""
        return self.exchange is not None and self.exchange.sent

    def abandon(self) -> None:
        """Nobody wants its answer any more."""
        if self.exchange is not None:
            self.exchange.abandon()

    @property
    def path(self) -> str:
        """The path, for messages: a query may hold a signature."""
        try:
            return _address(self.url).path
        except ValueError:
            return "/"


class _Transport:
    """Sends requests and reads answers, for all threads and tasks of a client."""

    def __init__(
        self,
        client: Client,
        seconds: float,
        retries: int,
        headers: _Headers,
        proxies: _Headers | None,
        ssl_context: Any,
    ) -> None:
        self.client = client
        self.seconds = seconds
        self.retries = retries
        self.own_headers = {name: _Secret(value) for name, value in headers.items()}
        for name, value in self.own_headers.items():
            if re.search(r"[\r\n\0]", name + value):
                raise ValueError(f"the header {name!r} has a line end in it")
        self.proxies: _Headers | None = None
        if proxies is not None:
            self.proxies = {scheme: _Secret(url) for scheme, url in proxies.items()}
        self.ssl_context = ssl_context  # else made at the first need, always the same
        self.is_given_context = ssl_context is not None
        self.pool = _Pool()
        self.creations, self.others = _RateLimit(), _RateLimit()
        self.unlimited = _RateLimit()  # of containers and files: learns of no limit
        self.dated = ("", 0.0)  # the Date of the API's last answer, and when it came
        weakref.finalize(client, self.pool.close)

    async def request(self, call: _Call, request: _Request) -> Any:
        """Send it until it succeeds or may not be sent again; return what it reads."""
        tries = throttled = 0
        while True:
            number = 1 + tries + throttled
            result, failure = await self._attempt(call, request, number)
            if failure is None:
                return result
            if failure.status == 429:
                throttled += 1
            else:
                tries += 1
            try:
                await self.retry(call, request, failure, tries, throttled)
            finally:
                del failure  # no circle of error, traceback and frame

    async def retry(
        self,
        call: _Call,
        request: _Request,
        failure: ReplicateError,
        tries: int,
        throttled: int = 0,
    ) -> None:
        """Sleep until it may be sent again, or raise the failure where it may not be.

        tries: how many have failed. throttled: how often it had a 429, which is no try.
        """
        patience = _THROTTLED_MOST_OF_RUN if request.is_part_of_run else _THROTTLED_MOST
        is_last_try = tries > self.retries or throttled > patience
        if request.is_best_effort:
            is_last_try = True
        if is_last_try or not _may_repeat(failure, request.once):
            try:
                raise failure  # outside of `except`: its context shows no token
            finally:
                del failure
        delay = failure.retry_after
        if delay is None:
            delay = random.random() * _BACKOFF * 2 ** min(tries, 10)
        if throttled > 1:  # a server that goes on to say "at once" is not believed
            least = random.random() * _THROTTLED_LEAST * 2 ** min(throttled, 6)
            delay = max(delay, least)
        await call.sleep(min(delay, _WAIT_MOST))

    async def _attempt(
        self, call: _Call, request: _Request, number: int
    ) -> tuple[Any, ReplicateError | None]:
        """Send it once. Returns its result, or why there is none."""
        pace = self._rate_limit(request)
        ticket = await pace.turn(call)
        request.exchange = None
        started, status = time.monotonic(), "failed"
        result: Any = None
        failure: ReplicateError | None = None
        try:
            call.left()
            answer = await self._followed(call, request)
            status = str(answer.status)
            if answer.status >= 300:
                request.abandon()  # it has told all: no run will be named later
                failure = self._refusal(call, request, answer)
            if not request.is_elsewhere:
                self.dated = answer.headers.get("date", ""), time.time()
                pace.learn(ticket, answer.headers, failure, call.clock.now())
            if failure is None:
                result = request.read(_unpacked(answer)) if request.whole else answer
        except _BROKEN as error:
            if _is_of_a_signal_handler(error):
                raise
            if isinstance(error, _Garbage):
                request.abandon()
            failure = self.explained(call, request, error)
        finally:
            took = (time.monotonic() - started) * 1000
            shown = request.method, request.path[:200], status, took, number
            _log("debug", "%s %s %s %d ms, attempt %d", *shown)
        return result, failure

    def server_time(self) -> float:
        """The API's time by its last answer, else this machine's."""
        text, came_at = self.dated
        date = _parse_date(text)
        if date is None:
            return time.time()
        return date + time.time() - came_at

    def _rate_limit(self, request: _Request) -> _RateLimit:
        """Who spaces such requests; only the API tells its limits."""
        if request.bare or request.file:
            return self.unlimited
        return self.creations if request.makes_run else self.others

    async def _followed(self, call: _Call, request: _Request) -> _Answer:
        """Send it, and follow the redirects of a GET."""
        url, trusted = request.url, not request.bare
        for _ in range(_REDIRECTS_MOST):
            address = self._read_address(call, url)
            request.is_elsewhere = not self._is_api(request, address)
            credentials = {}
            if trusted:
                credentials = self._credentials(call, request, address)
            answer = await self._exchange(call, request, address, credentials)
            location = answer.headers.get("location")
            redirects = answer.status in (301, 302, 303, 307, 308) and location
            if not redirects or request.method != "GET":
                return answer
            answer.close()
            url = urllib.parse.urljoin(url, location)
            # After one address without credentials none gets any, the API's included.
            trusted = bool(credentials)
            if address.scheme == "https" and not url.lower().startswith("https:"):
                shown = _short(self.redacted(url, call.token))
                raise ReplicateError(
                    f"will not follow a redirect from https to {shown}"
                )
        raise NetworkError(f"{request.method} {request.path}: it redirects for ever")

    def _is_api(self, request: _Request, address: _Address) -> bool:
        """Whether the API itself will answer, and no other host for it."""
        if request.bare or request.file:
            return False
        return address.origin == _address(self.client.base_url).origin

    def _read_address(self, call: _Call, url: str) -> _Address:
        try:
            return _address(url)
        except ValueError as error:
            shown = _short(self.redacted(url, call.token))
            raise ReplicateError(f"will not open {shown}: {error}") from None

    def _credentials(
        self, call: _Call, request: _Request, address: _Address
    ) -> dict[str, str]:
        """What proves who we are: added here and nowhere else (promise 5).

        An address below the API's base path gets the token and the caller's own
        headers; of addresses that an output names, only those below its /files/.
        Another https host under replicate.com gets the token alone, where the API is at
        one. An Authorization header of the caller's goes in its place.
        """
        base = _address(self.client.base_url)
        below = base.target + ("/files/" if request.file else "/")
        to_api = address.origin == base.origin and address.target.startswith(below)
        if to_api and _has_dots(address.path):
            return {}  # a server might take it for another path
        if not to_api and (request.file or not _are_sisters(address, base)):
            return {}
        found: dict[str, str] = dict(self.own_headers) if to_api else {}
        if any(name.lower() == "authorization" for name in self.own_headers):
            return found
        token = call.token
        if token is None:
            token = self.client._token()
        if token:
            found["Authorization"] = _Secret("Bearer " + token)
        elif to_api and not request.file:
            raise ReplicateError(
                "no API token: set REPLICATE_API_TOKEN, or give Client(api_token=); "
                f"get one at {_TOKENS_PAGE}",
                title=_NO_TOKEN,
            )
        return found

    def _route(self, address: _Address) -> tuple[str, str, int, _Proxy | None]:
        """Where to connect for an address: scheme, host, port, and its proxy."""
        proxies = self.proxies
        if proxies is None:
            variables = [os.environ.get(name) for name in _PROXY_VARIABLES]
            proxies = _proxies_of_environment(*variables)
        url = proxies.get(address.scheme)
        if not url or urllib.request.proxy_bypass(address.netloc):
            return (*address.origin, None)
        return (*address.origin, _proxy(_Secret(url)))

    async def _exchange(
        self,
        call: _Call,
        request: _Request,
        address: _Address,
        credentials: _Headers,
    ) -> _Answer:
        """Send it over a connection, and return the answer."""
        route = self._route(address)
        # One that must not be sent twice goes over no connection that may just close.
        most_age = _FRESH if request.once or not self.retries else _KEPT_FOR
        head = _head(request, address, credentials, route[3])
        exchange = _Exchange(self, request)
        request.exchange, request.sent_at = exchange, call.clock.now()
        face: Any = call.face
        answer: _Answer
        try:
            exchange.open(route, most_age)
            connection = exchange.connection
            await face.on_wire(connection, exchange.send, call, head)
            await face.readable(connection, call.within(exchange.head_seconds))
            if request.makes_run:  # on_wire would cut it, and the answer that names it
                answer = await face.in_thread(exchange.receive, call)
            else:
                answer = await face.on_wire(connection, exchange.receive, call)
            if request.whole or answer.status >= 300:
                answer.close()  # not before: what is given back is another's to use
            return answer
        except BaseException as error:
            is_broken = isinstance(error, _BROKEN)
            if isinstance(error, socket.timeout):
                is_broken = False
            if is_broken or not exchange.may_tell_a_run():  # else _Run sees to it
                exchange.abandon()
            raise

    def connect(self, call: _Call, connection: _Connection) -> None:
        """Connect to where a connection is to lead, through its proxy."""
        scheme, host, port, proxy = connection.key
        limit = call.within(self.seconds)
        secure = scheme == "https"
        if secure and ssl is None:
            raise ReplicateError(
                "this Python was built without ssl: https is not there"
            )
        if proxy is not None:
            connection.connect(proxy.address.host, proxy.address.port, limit)
            if secure:
                target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                connection.tunnel(target, proxy.secret, limit)
        else:
            connection.connect(host, port, limit)
        if secure:
            if self.ssl_context is None:
                self.ssl_context = ssl.create_default_context()
            connection.start_tls(self.ssl_context, host, limit)

    def redacted(self, text: str, token: str | None = None) -> str:
        """Text from outside without the token and the caller's own headers."""
        secrets = [token or "", *self.own_headers.values()]
        with contextlib.suppress(ReplicateError):  # a malformed one is told elsewhere
            secrets.append(self.client._token())
        for secret in secrets:
            if len(secret) > 3:
                text = text.replace(secret, "***")
        return text

    def _refusal(self, call: _Call, request: _Request, answer: _Answer) -> APIError:
        """The error that an answer tells of: problem details (RFC 9457), or text.

        Where the server certainly did not act on it, the request forgets its exchange.
        """
        try:
            body = _unpacked(answer, _ERROR_MOST).decode("utf-8", "replace")
        except ValueError:
            body = ""
        body = self.redacted(body, call.token)
        headers = http.client.HTTPMessage()
        for name, value in answer.headers.items():
            headers[name] = self.redacted(value, call.token)
        facts = {"title": answer.reason or "error", **_problem(body)}
        for name, value in facts.items():  # JSON's escapes could hide what was replaced
            facts[name] = self.redacted(value, call.token)
        said = [facts[name] for name in ("title", "detail") if facts.get(name)]
        asked = headers.get("x-request-id") or headers.get("replicate-request-id")
        status, path = answer.status, request.path
        text = f"{request.method} {path}: {status} {': '.join(dict.fromkeys(said))}"
        if asked:
            text += f" (request id {asked})"
        if status == 401:
            text += f"; check REPLICATE_API_TOKEN: tokens come from {_TOKENS_PAGE}"
        if 400 <= status < 500 and status != 408:
            request.exchange = None  # it was surely not acted on
        else:
            text += _may_exist(request.noun)
        return APIError(
            text,
            **facts,
            status=status,
            method=request.method,
            path=path,
            headers=headers,
            request_id=asked,
            body=body,
            retry_after=_retry_after(answer.headers, body, status, time.time()),
        )

    def explained(
        self, call: _Call, request: _Request, error: BaseException
    ) -> ReplicateError:
        """A failure of the network in a line: what failed, why, what to do."""
        path, sent = request.path, request.sent
        facts: _Dict = {"method": request.method, "path": path, "_sent": sent}
        unknown = _may_exist(request.noun) if sent else ""
        if isinstance(error, socket.timeout) and call.over():
            return call.expired(unknown, **facts)
        address = _address(request.url)
        where, proxy = address.netloc, self._route(address)[3]
        if proxy is not None:
            where += f" through the proxy {proxy.address.netloc}"
        why, final = self._why(error, sent, where)
        if isinstance(error, _Garbage):
            facts["body"] = self.redacted(error.body, call.token)
        why = self.redacted(why, call.token)
        text = f"{request.method} {path} at {where}: {why}{unknown}"
        return NetworkError(text, _final=final, **facts)

    def _why(self, error: BaseException, sent: bool, where: str) -> tuple[str, bool]:
        """What an exception says to a person, and whether trying again is of no use."""
        if ssl is not None and isinstance(error, ssl.SSLCertVerificationError):
            return (
                f"the certificate of {where} is not trusted ({error.verify_message}); "
                "name your CA's file in SSL_CERT_FILE, or give Client(ssl_context=)",
                True,
            )
        if isinstance(error, socket.timeout):
            return "no answer in time" if sent else "no connection in time", False
        if isinstance(error, http.client.IncompleteRead):
            return "the connection was closed before the answer was complete", False
        text = str(error) or type(error).__name__
        return text, text.startswith("Tunnel connection failed: 4")


class _Exchange(_UsedAlone):
    """A request on a connection, and the answer to it.

    Where the thread that receives was given up in the midst of an answer, another may
    go on.
    """

    def __init__(self, transport: _Transport, request: _Request) -> None:
        super().__init__()
        self.transport = transport
        self.request = request
        self.connection: Any = None  # once open() was called
        self.sent = False  # whether the server may have seen the request
        self.answer: _Answer | None = None  # once its head is here
        # Seconds until its head has to be here.
        self.head_seconds = transport.seconds + request.hold

    def open(self, route: Any, most_age: float) -> None:
        """Take a connection that is kept, or one that is still to be connected."""
        kept = self.transport.pool.take(route, most_age)
        self.connection = kept or _Connection(route)

    def _let_go(self) -> None:
        if self.answer is not None:
            self.answer.abandon()
        elif self.connection is not None:
            self.connection.close()

    def may_tell_a_run(self) -> bool:
        """Whether an answer may come yet that names a run, for who has left it."""
        if not (self.request.makes_run and self.sent):
            return False
        return not self.connection.is_cut

    def send(self, call: _Call, head: bytes) -> None:
        """Connect where that is needed, and send it all."""
        self.alone(self._send, call, head)

    def receive(self, call: _Call) -> _Answer:
        """Read the head of the answer and, where all of it is wanted, the body."""
        return self.alone(self._receive, call)

    def _send(self, call: _Call, head: bytes) -> None:
        connection, body = self.connection, self.request.body
        if connection.sock is None:
            self.transport.connect(call, connection)
        limit = functools.partial(call.left, self.transport.seconds)
        connection.go_on()
        limit()  # raises where there is no time left
        self.sent = True
        if body is None or isinstance(body, bytes):
            connection.send(_SecretBytes(head + (body or b"")), limit)
            return
        try:
            connection.send(head, limit)
            for block in body:
                connection.send(block, limit)
        except (BrokenPipeError, ConnectionResetError):
            if connection.is_cut:
                raise
            # Half way it was refused, and the answer may say why.

    def _receive(self, call: _Call) -> _Answer:
        request, pool = self.request, self.transport.pool
        if self.answer is None:
            limit = call.within(self.head_seconds)
            self.answer = _Answer(self.connection, limit, pool, self.head_seconds)
        answer = self.answer
        is_error = answer.status >= 300
        if not is_error and not request.whole:
            return answer
        try:
            most = _ERROR_MOST if is_error else _ANSWER_MOST
            answer.body = answer.read(most, call)
        except (OSError, http.client.HTTPException) as error:
            if not is_error or _is_of_a_signal_handler(error):
                raise  # else an error without its body is better than none
        if len(answer.body) > _ANSWER_MOST:
            raise ValueError(f"an answer of more than {_ANSWER_MOST >> 20} MiB")
        return answer


def _may_repeat(failure: ReplicateError, once: bool) -> bool:
    """Whether a request may be sent again; once: it must not be acted on twice."""
    if failure._final or not isinstance(failure, (APIError, NetworkError)):
        return False
    if failure.status == 429 or not failure._sent:
        return True  # the server certainly did not act on it
    if once:
        return False
    return failure.status is None or failure.status >= 500


class _Garbage(ValueError):
    """An answer of success whose body is not what the API sends."""

    def __init__(self, message: str, body: bytes = b"") -> None:
        super().__init__(message)
        self.body = body[:_ERROR_MOST].decode("utf-8", "replace")


def _head(
    request: _Request,
    address: _Address,
    credentials: _Headers,
    proxy: _Proxy | None,
) -> _SecretBytes:
    """The head of a request, in which the token is in clear."""
    target = address.target
    headers = {"User-Agent": _AGENT, "Accept-Encoding": "identity"}
    if request.whole:  # else it is handed on as it comes
        headers["Accept-Encoding"] = _ACCEPT_ENCODING
    headers.update(request.headers)
    own = {name.lower() for name in credentials}
    headers = {name: headers[name] for name in headers if name.lower() not in own}
    headers.update(credentials)
    if proxy is not None and address.scheme == "http":
        target = f"http://{address.netloc}{target}"
        if proxy.secret:
            headers["Proxy-Authorization"] = proxy.secret
    body = request.body
    if isinstance(body, bytes):
        headers["Content-Length"] = str(len(body))
    elif body is None and request.method != "GET":
        headers["Content-Length"] = "0"  # without it, some servers answer 411
    for name, value in headers.items():
        if not {"\r", "\n", "\0"}.isdisjoint(name + value):
            raise ReplicateError(f"the header {name!r} has a line end in it")
    start = f"{request.method} {target} HTTP/1.1\r\nHost: {address.netloc}\r\n"
    fields = (f"{name}: {value}\r\n" for name, value in headers.items())
    return _SecretBytes("".join([start, *fields, "\r\n"]).encode())


class _Proxy:
    """A proxy, by its address: where it is, and what shows who we are."""

    def __init__(self, url: str) -> None:
        user, at, place = url.rpartition("://")[2].rpartition("@")
        user = _Secret(user)
        try:
            self.address = _address("http://" + place.partition("/")[0])
        except ValueError as error:
            raise ReplicateError(f"the proxy's address is wrong: {error}") from None
        self.secret = ""
        if at:
            name, _, password = user.partition(":")
            pair = f"{urllib.parse.unquote(name)}:{urllib.parse.unquote(password)}"
            coded = base64.b64encode(pair.encode()).decode()
            self.secret = _Secret(f"Basic {coded}")


@functools.lru_cache(maxsize=4)
def _proxies_of_environment(*variables: str | None) -> Mapping[str, str]:
    """urllib's rules; looked up anew when one of the variables has changed."""
    return urllib.request.getproxies()


@functools.lru_cache(maxsize=16)
def _proxy(url: str) -> _Proxy:
    return _Proxy(url)


def _are_sisters(one: _Address, other: _Address) -> bool:
    """Whether they are two https hosts under replicate.com."""
    if not one.scheme == other.scheme == "https" or one.host == other.host:
        return False
    return all(re.fullmatch(_REPLICATE_HOST, each.host) for each in (one, other))


def _has_dots(path: str) -> bool:
    """Whether a path has . or .. as a segment, also quoted: it may be another."""
    plain = urllib.parse.unquote(path).replace("\\", "/")
    return not {".", ".."}.isdisjoint(plain.split("/"))


def _is_of_a_signal_handler(error: BaseException) -> bool:
    """Whether the caller's own signal handler raised it: it is not ours, then."""
    import signal

    if threading.current_thread() is not threading.main_thread():
        return False
    codes = set()
    for number in signal.Signals:
        handler = signal.getsignal(number)
        while isinstance(handler, functools.partial):
            handler = handler.func
        if callable(handler) and not hasattr(handler, "__code__"):
            handler = type(handler).__call__
        codes.add(getattr(handler, "__code__", None))
    codes.discard(None)
    trace = error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code in codes:
            return True
        trace = trace.tb_next
    return False


def _may_exist(noun: str) -> str:
    """What the failure of a request adds that may have been acted on."""
    if not noun:
        return ""
    done = {"change": "made", "run": "started"}.get(noun, "created")
    text = f"; the {noun} may have been {done}: look before you send it again"
    return text + (" (replicate.predictions.list())" if noun == "prediction" else "")


class _RateLimit:
    """The API's limit as its answers tell it; a client's threads and tasks wait here.

    Time is cut into windows. In each one so many requests may leave as the API says are
    left (ratelimit-remaining), else as many as it took in the last one that it refused
    some of, else any number. Where it refuses none, the next window may have more.
    """

    def __init__(self) -> None:
        # Shared by all threads; touched only while the lock is held, and nobody waits
        # while he holds it.
        # Reentrant, as what garbage collection closes may come here, too.
        self.lock = threading.RLock()
        self.left = math.inf  # requests that may leave in this window
        self.ends_at = math.inf  # when the next window begins
        self.length = 0.0  # seconds that a window lasts
        self.number = 0  # of requests that have left
        self.taken = 0  # how many of this window's were not refused
        self.quiet = 0  # windows before this one without a refusal; -1 from one on
        self.trust = 1  # quiet windows after which more is tried; doubled by that

    async def turn(self, call: _Call) -> tuple[int, float]:
        """Wait until a request may leave; returns the ticket that learn() wants."""
        while True:
            with self.lock:
                now = call.clock.now()
                if now >= self.ends_at:
                    self._next_window(now)
                if self.left >= 1:
                    self.left -= 1
                    self.number += 1
                    return self.number, now
                wait = self.ends_at - now
            await call.sleep(max(wait, 0.01))

    def _next_window(self, now: float) -> None:
        allowed = max(1, self.taken)
        self.quiet += 1
        if self.quiet >= self.trust:
            allowed += allowed // 2 + 1
            self.trust = min(2 * self.trust, 64)
            self.quiet = 0
        self.left, self.ends_at = allowed, now + self.length
        self.taken = 0

    def learn(
        self,
        ticket: Any,
        headers: Mapping[str, str],
        failure: ReplicateError | None,
        now: float,
    ) -> None:
        """Note what an answer tells of the limit."""
        number, sent_at = ticket
        left = _number(headers.get("ratelimit-remaining", ""))
        reset = _number(headers.get("ratelimit-reset", ""))
        with self.lock:
            if failure is not None and failure.status == 429:
                self.left, self.quiet = 0, -1
                self.length = _THROTTLED_LEAST
                if failure.retry_after is not None:
                    self.length = min(failure.retry_after, _WAIT_MOST)
                self.ends_at = now + self.length
                return
            self.taken += 1
            if left is None or reset is None or sent_at + reset <= now:
                return
            since = self.number - number  # what has left after it
            self.left = max(0, left - since)
            self.length = min(reset, _WAIT_MOST)
            self.ends_at = min(sent_at + reset, now + _WAIT_MOST)


def _number(text: str) -> float | None:
    """A number, of seconds or requests, as headers have it; None for what is none."""
    text = text.strip()
    is_one = re.fullmatch(r"[0-9]{1,1000}(\.[0-9]{0,9})?", text)
    return float(text) if is_one else None


def _retry_after(headers: _Headers, body: str, status: int, now: float) -> float | None:
    """Seconds that the server asks us to wait; None where it says nothing.

    Retry-After in seconds or as a date (RFC 9110, section 10.2.3), "retry_after" in the
    JSON of the body; of a 429 also ratelimit-reset, or the words "resets in ~30s".
    """
    after = headers.get("retry-after", "")
    seconds = _number(after)
    if seconds is not None:
        return seconds
    date = _parse_date(after)
    if date is not None:
        return max(0.0, date - now)
    data = _parsed(body)
    told = data.get("retry_after") if isinstance(data, dict) else None
    if told is not None and _is_number(told):
        return max(0.0, float(told))
    if status != 429:
        return None
    reset = _number(headers.get("ratelimit-reset", ""))
    if reset is not None:
        return reset
    words = re.search(r"resets in ~?([0-9]{1,9}(?:\.[0-9]{0,9})?)s", body[:4096])
    return float(words[1]) if words else None


def _parse_date(text: str) -> float | None:
    """Unix time of an HTTP date, which is GMT; None for what is no date."""
    if not text:
        return None
    import email.utils

    try:
        date: Any = email.utils.parsedate_tz(text[:100])
        return float(email.utils.mktime_tz((*date[:9], date[9] or 0)))
    except (TypeError, ValueError, OverflowError, IndexError):
        return None


def _parsed(text: str | bytes) -> Any:
    """JSON's value; None for what is no JSON, or nests too deep."""
    try:
        return json.loads(text)
    except RecursionError:
        return None
    except ValueError:
        pass
    try:  # an integer of more digits than Python reads stays their text
        return json.loads(text, parse_int=_int_or_text)
    except (ValueError, RecursionError):
        return None


def _int_or_text(digits: str) -> Any:
    return int(digits) if len(digits) < 4300 else digits


def _problem(body: str) -> dict[str, str]:
    """title, detail, type and instance from an error's body; else its first line."""
    data = _parsed(body)
    if not isinstance(data, dict):
        text = data if isinstance(data, str) else body
        data = {"detail": text.strip().partition("\n")[0][:300] or None}
    detail = data.get("detail", data.get("error"))
    if isinstance(detail, list):
        detail = "; ".join(_fault_of_cog(part) for part in detail)
    facts = dict(data, detail=detail)
    names = ("title", "detail", "type", "instance")
    return {name: str(facts[name]) for name in names if facts.get(name) is not None}


def _fault_of_cog(part: Any) -> str:
    """{"loc": ["body", "input", "times"], "msg": "..."} as "input.times: ..."."""
    if not isinstance(part, dict):
        return str(part)
    place = part.get("loc")
    if not isinstance(place, list) or len(place) < 2:
        return str(part.get("msg"))
    return f"{'.'.join(str(step) for step in place[1:])}: {part.get('msg')}"


def _unpacked(answer: _Answer, most: int = _ANSWER_MOST) -> bytes:
    """An answer's body, decompressed where it says so; of an error the beginning."""
    if answer.headers.get("content-encoding", "").strip().lower() != "gzip":
        return answer.body
    try:
        unpacker: Any = zlib.decompressobj(31)  # pyright: ignore
        unpacked: bytes = unpacker.decompress(answer.body, most)
    except Exception as error:  # an AttributeError where there is no zlib
        raise _Garbage(f"not gzip: {error}") from None
    if answer.status < 300 and not unpacker.eof:
        raise _Garbage("an answer that is too large unpacked, or cut short")
    return unpacked


def _read_json(body: bytes, kind: type) -> Any:
    """The JSON of an answer, which is an object (dict) or a list."""
    data = _parsed(body)
    if not isinstance(data, kind):
        text = f"the answer's {len(body)} bytes are not the JSON awaited"
        raise _Garbage(text, body)
    return data


def _read_object(body: bytes) -> Any:
    return _read_json(body, dict)


def _read_list(body: bytes) -> Any:
    return _read_json(body, list)


def _read_created(body: bytes) -> Any:
    """An object with an id."""
    data = _read_json(body, dict)
    if not isinstance(data.get("id"), str) or data["id"] in ("", ".", ".."):
        raise _Garbage("the answer has no id", body)
    return data


def _read_run(body: bytes) -> Any:
    """An object with an id and a status."""
    data = _read_created(body)
    if not isinstance(data.get("status"), str):
        raise _Garbage("the answer has no status", body)
    return data


def _read_nothing(body: bytes) -> Any:
    return True


def _read_text(body: bytes) -> Any:
    return body.decode("utf-8", "replace")


# ------------------------------------------------------------------------------------
# Wire
# ------------------------------------------------------------------------------------
#
# Bytes only: a connection, what is read from it, and the pool that keeps it. Who asks
# gives a limit, a function that tells how many seconds the next operation may take.

_HEAD_END = rb"\r?\n\r?\n"
_LINE_END = rb"\n"
_END_LONGEST = 4  # bytes of what these match
_CHUNK_SIZE = rb"[0-9A-Fa-f]{1,15}"
_NEXT_CHUNK = rb"\r?\n[1-9A-Fa-f][0-9A-Fa-f]{0,14}[^\n]*\n"
_NOT_YET: Any = (BlockingIOError,)
if ssl is not None:
    _NOT_YET = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


class _Secret(str):
    """Text that does not show in a repr, nor in a dump of local variables."""

    def __repr__(self) -> str:
        return "'***'"


class _SecretBytes(bytes):
    """The same for bytes: the head of a request, which has the token in it."""

    def __repr__(self) -> str:
        return "b'***'"


class _Connection:
    """A connection to a host, used by one request at a time."""

    def __init__(self, key: Any) -> None:
        self.key = key  # where it leads; the pool finds it by that
        self.sock: Any = None
        self.buffer = b""  # what has arrived
        self.at = 0  # and how much of that was asked for
        self.kept_at = 0.0  # by the wall clock, since when it idles
        self.process = os.getpid()  # a forked child must not use its parent's
        # Set by another thread, once and for ever, and looked at before each operation.
        self.is_cut = False

    def connect(self, host: str, port: int, limit: _Limit) -> None:
        """Connect to the first address of a host that answers; all share the time."""
        found = _addresses(host, port, limit, self)
        failure = OSError("the host has no address")
        for number, (family, kind, protocol, _, address) in enumerate(found):
            left = limit()
            if left is not None:
                left /= len(found) - number
            self.sock = socket.socket(family, kind, protocol)
            try:
                self.go_on()
                self.sock.settimeout(left)
                self.sock.connect(address)
                self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._keep_alive()
                return
            except BaseException as error:
                self.close()
                if not isinstance(error, OSError) or _is_of_a_signal_handler(error):
                    raise
                failure = error
        raise failure

    def _keep_alive(self) -> None:
        """Have a peer that has vanished noticed in minutes, not hours."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
            if hasattr(socket, name):
                option = getattr(socket, name)
                self.sock.setsockopt(socket.IPPROTO_TCP, option, 30)

    def go_on(self) -> None:
        """Raise where another thread has cut it."""
        if self.is_cut:
            raise ConnectionAbortedError("the request was given up")

    def tunnel(self, target: str, secret: str, limit: _Limit) -> None:
        """Ask a proxy for a way to "host:port" (RFC 9110, section 9.3.6)."""
        head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
        if secret:
            head = _Secret(f"{head}Proxy-Authorization: {secret}\r\n")
        self.send(_SecretBytes(f"{head}\r\n".encode()), limit)
        answer = _Answer(self, limit)
        if answer.status != 200:
            said = f"{answer.status} {answer.reason}".strip()
            raise OSError(f"Tunnel connection failed: {said}")

    def start_tls(self, context: Any, host: str, limit: _Limit) -> None:
        """Encrypt all that follows."""
        self.go_on()
        self.buffer, self.at = b"", 0  # what came before TLS has no place in it
        self.sock.settimeout(limit())
        self.sock = context.wrap_socket(
            self.sock, server_hostname=host, do_handshake_on_connect=False
        )
        self.go_on()
        self.sock.do_handshake()  # now that cut() would end it

    def send(self, data: bytes, limit: _Limit) -> None:
        """Send all of it; each block has its own time: sendall has one for all."""
        view = memoryview(data)
        for start in range(0, len(view), _BLOCK):
            self.go_on()
            self.sock.settimeout(limit())
            self.sock.sendall(view[start : start + _BLOCK])

    def receive(self, most: float, limit: _Limit) -> bytes:
        """Return what has arrived, waiting for the first byte; b"" at the end."""
        if self.at == len(self.buffer):
            self.buffer, self.at = self._recv(limit), 0
        start = self.at
        self.at = int(min(len(self.buffer), start + most))
        return self.buffer[start : self.at]

    def _recv(self, limit: _Limit) -> bytes:
        self.go_on()
        self.sock.settimeout(limit())
        data: bytes = self.sock.recv(_RECEIVE)
        return data

    def receive_until(self, end: bytes, most: int, limit: _Limit) -> bytes:
        """Return what comes before an end, a pattern, which is passed over.

        Raises RemoteDisconnected where the connection ends before that, HTTPException
        after `most` bytes.
        """
        searched = self.at
        while True:
            found = re.compile(end).search(self.buffer, searched)
            if found is not None:
                start, self.at = self.at, found.end()
                return self.buffer[start : found.start()]
            if len(self.buffer) - self.at > most:
                raise http.client.HTTPException("too long a head, or line")
            more = self._recv(limit)
            if not more:
                raise http.client.RemoteDisconnected("closed before it was complete")
            rest = self.buffer[self.at :]
            self.buffer, self.at = rest + more, 0
            searched = max(0, len(rest) - _END_LONGEST)  # an end may be in two pieces

    def holds(self, start: bytes) -> bool:
        """Whether what has arrived begins with a pattern, and goes on after it."""
        found = re.compile(start).match(self.buffer, self.at)
        return found is not None and found.end() < len(self.buffer)

    def arrived(self) -> bool:
        """Whether there is something to read, or an end or error to be told."""
        if self.at < len(self.buffer) or self.is_cut:
            return True
        try:
            self.sock.settimeout(0)
            self.buffer, self.at = self.sock.recv(_RECEIVE), 0
        except _NOT_YET:
            return False
        except OSError as error:
            if _is_of_a_signal_handler(error):
                raise
        return True

    def is_young(self, most_age: float) -> bool:
        """Whether it has idled for less; a parent's, in a forked child, never has."""
        age = time.time() - self.kept_at
        return self.process == os.getpid() and 0 <= age < most_age

    def cut(self) -> None:
        """End what another thread does on it. Below TLS: SSLSocket.shutdown would take
        the encryption away first, and what that thread still sends went out in
        clear."""
        self.is_cut = True
        if self.process != os.getpid():
            return  # in a forked child, shutdown() would end the parent's
        with contextlib.suppress(OSError, TypeError):  # it is over, or not there yet
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def close(self) -> None:
        if self.sock is not None:
            self.sock.close()


class _NameLookUp:
    """A host's addresses, on their way: all that ask for a name meanwhile share it."""

    def __init__(self, host: str, port: int) -> None:
        self.key = os.getpid(), host, port  # a forked child has none of the threads
        self.done = threading.Event()
        self.found: list[Any] = []
        self.failure = ""

    def run(self) -> None:
        _, host, port = self.key
        try:
            self.found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
        except OSError as error:
            self.failure = str(error)
        finally:
            _look_ups.pop(self.key, None)
            self.done.set()


_look_ups: dict[Any, _NameLookUp] = {}  # of all threads; each step on it is atomic


def _addresses(
    host: str, port: int, limit: _Limit, connection: _Connection
) -> list[Any]:
    """A host's addresses. getaddrinfo can neither be limited nor interrupted, so that a
    thread calls it for a name (promise 8)."""
    numeric, stream = socket.AI_NUMERICHOST, socket.SOCK_STREAM
    with contextlib.suppress(socket.gaierror):  # then it is a name
        return socket.getaddrinfo(host, port, 0, stream, flags=numeric)
    own = _NameLookUp(host, port)
    look_up = _look_ups.setdefault(own.key, own)
    if look_up is own:
        try:
            threading.Thread(target=own.run, name="replicate-dns", daemon=True).start()
        except RuntimeError:  # no more threads, or none any more: the interpreter ends
            own.run()
        except BaseException:  # of a signal handler: nobody is to wait for it
            own.failure = "its look-up was interrupted"
            _look_ups.pop(own.key, None)
            own.done.set()
            raise
    while not look_up.done.wait(_DNS_SLICE):
        limit()  # raises when the time is over
        connection.go_on()
    if look_up.failure:
        raise OSError(look_up.failure)
    return look_up.found


class _Answer(_UsedAlone):
    """An answer whose head has been read (RFC 9112); its body is still to come."""

    def __init__(
        self,
        connection: _Connection,
        limit: _Limit,
        pool: _Pool | None = None,
        block_seconds: float = math.inf,
    ) -> None:
        super().__init__()
        self.connection = connection
        self.pool = pool  # where the connection may go back to
        self.block_seconds = block_seconds  # that a block of the body may take
        for _ in range(_INTERIM_MOST):
            self._read_head(limit)
            if not 100 <= self.status < 200:
                break
        else:
            raise http.client.HTTPException("too many interim answers")
        self.body = b""  # once it was read whole
        self.pieces: list[bytes] = []  # until then; whoever is interrupted can go on
        self.has_begun = False  # whether a chunk of it was
        self.is_closed = False  # whether its connection is another's, or closed
        # Bytes to come of the body, or of its present chunk.
        self.left: float = math.inf
        self.chunked = "chunked" in self.headers.get("transfer-encoding", "").lower()
        self.length = _content_length(self.headers)
        if self.status in (204, 304):
            self.chunked, self.length = False, 0
        if self.chunked:
            self.left = 0
        elif self.length is not None:
            self.left = self.length
        # Whether the end of the body was reached.
        self.is_over = self.left == 0 and not self.chunked

    def _read_head(self, limit: _Limit) -> None:
        head = self.connection.receive_until(_HEAD_END, _HEAD_MOST, limit)
        first, *lines = head.decode("latin-1").replace("\r", " ").split("\n")
        if len(lines) > _HEADERS_MOST:
            raise http.client.HTTPException("too many headers")
        told = re.fullmatch(r"HTTP/1\.([01]) ([1-9][0-9]{2})( .*)?", first)
        if told is None:
            raise http.client.BadStatusLine("no HTTP answer")
        self.status = int(told[2])
        self.reason = (told[3] or "").strip()
        self.headers: dict[str, str] = {}  # by lower-case names
        for line in lines:
            name, colon, value = line.partition(":")
            if not colon or name.strip() != name:  # a folded line is obsolete
                continue
            name, value = name.lower(), value.strip()
            if name in self.headers:
                value = f"{self.headers[name]}, {value}"
            self.headers[name] = value
        connection = self.headers.get("connection", "").lower()
        self.lasts = told[1] == "1" and "close" not in connection

    @property
    def media_type(self) -> str:
        """What its body is, without parameters, as "text/event-stream"."""
        kind = self.headers.get("content-type", "").partition(";")[0]
        return kind.strip().lower()

    @property
    def is_measured(self) -> bool:
        """Whether the body tells its own end; else a cut looks like one."""
        return self.chunked or self.length is not None

    def read_block(self, most: float, limit: _Limit) -> bytes:
        """Return the next bytes of the body as they arrive; b"" at its end.

        Raises IncompleteRead where it is cut short.
        """
        pieces = []
        while most > 0:
            if self.left == 0 and not self.is_over:
                self._start_chunk(limit)
            if self.is_over:
                break
            piece = self.connection.receive(min(most, self.left), limit)
            if not piece and self.is_measured:
                raise http.client.IncompleteRead(b"")
            pieces.append(piece)
            most -= len(piece)
            self.left -= len(piece)
            if not self.chunked:
                self.is_over = not piece or self.left == 0
            if self.left or not self.connection.holds(_NEXT_CHUNK):
                break  # there is no more of it that could be had without waiting
        return b"".join(pieces)

    def _line(self, limit: _Limit) -> bytes:
        line = self.connection.receive_until(_LINE_END, _LINE_MOST, limit)
        return line.strip()

    def _start_chunk(self, limit: _Limit) -> None:
        """Read a chunk's size (RFC 9112, 7.1), after the last one the trailers."""
        if self.has_begun:
            self._line(limit)  # the end of the chunk before
        self.has_begun = True
        text = self._line(limit).partition(b";")[0].rstrip()
        if not re.fullmatch(_CHUNK_SIZE, text):
            raise http.client.HTTPException("no size of a chunk")
        self.left = int(text, 16)
        if self.left:
            return
        for _ in range(_HEADERS_MOST):
            if not self._line(limit):
                self.is_over = True
                return
        raise http.client.HTTPException("too many trailers")

    def read(self, most: int, call: _Call) -> bytes:
        """Return the whole body, or as much as tells that it has more than `most`.

        Each _RECEIVE bytes have to come within the time of a block: a large one may
        take its time on a slow line, but none drips for ever.
        """
        size = renewed_at = 0
        limit = call.within(self.block_seconds)
        while size <= most:
            if size - renewed_at >= _RECEIVE:
                limit, renewed_at = call.within(self.block_seconds), size
            block = self.read_block(math.inf, limit)
            if not block:
                break
            size += len(block)
            self.pieces.append(block)
        return b"".join(self.pieces)

    async def blocks(self, call: _Call) -> AsyncIterator[bytes]:
        """Yield the body as it arrives. Raises of _BROKEN where it is cut short."""
        try:
            while not self.is_over:
                connection = self.connection
                limit = call.within(self.block_seconds)
                await call.face.readable(connection, limit)
                block = await call.face.on_wire(
                    connection, self.alone, self.read_block, _BLOCK, limit
                )
                if block:
                    yield block
        finally:
            self.close()

    def close(self) -> None:
        """Give the connection back after the end of the body, else close it."""
        self.abandon()

    def _let_go(self) -> None:
        if self.is_closed:
            return
        self.is_closed = True
        if self.pool is not None and self.is_over and self.lasts and self.is_measured:
            self.pool.keep(self.connection)
        else:
            self.connection.close()


def _content_length(headers: _Headers) -> int | None:
    text = headers.get("content-length")
    if text is None:
        return None
    lengths = {part.strip() for part in text.split(",")}  # repeated: then all the same
    length = lengths.pop()
    if lengths or not (length.isascii() and length.isdigit() and len(length) < 19):
        raise http.client.HTTPException("a Content-Length that is none")
    return int(length)


class _Pool:
    """Connections that idle, to be used again."""

    def __init__(self) -> None:
        # Shared by all threads of a client; touched only while the lock is held.
        # Reentrant, as what garbage collection closes may come here, too.
        self.lock = threading.RLock()
        self.kept: deque[_Connection] = deque()  # the newest last
        self.most = _KEPT_MOST  # 0 once its client is gone: what comes back is closed

    def take(self, key: Any, most_age: float) -> _Connection | None:
        """A connection that is certain to be of use, None where there is none."""
        while True:
            with self.lock:
                found = [one for one in self.kept if one.key == key]
                if not found or not found[-1].is_young(most_age):
                    return None
                connection = found[-1]
                self.kept.remove(connection)
            try:
                if not connection.arrived():  # no end, no stray answer
                    return connection
            except BaseException:  # of a signal handler
                connection.close()
                raise
            connection.close()

    def keep(self, connection: _Connection) -> None:
        """Keep a connection; the oldest ones are closed, by age and by number."""
        connection.kept_at = now = time.time()
        old = []
        with self.lock:
            self.kept.append(connection)
            while self.kept and now - self.kept[0].kept_at > _KEPT_FOR:
                old.append(self.kept.popleft())
            while len(self.kept) > self.most:
                old.append(self.kept.popleft())
        for one in old:
            one.close()

    def close(self) -> None:
        """Keep no more."""
        with self.lock:
            self.most = 0
            old, self.kept = self.kept, deque()
        for one in old:
            one.close()


# ------------------------------------------------------------------------------------
# Webhooks
# ------------------------------------------------------------------------------------
#
# The scheme is that of Standard Webhooks, https://www.standardwebhooks.com: a delivery
# is signed as "id.timestamp.body" with HMAC-SHA256, by the base64 part of "whsec_...".


class WebhooksDefault(Namespace):
    """The webhook of this account: `client.webhooks.default`."""

    def secret(self) -> WebhookSigningSecret:
        """Return the secret that signs deliveries; keep it.

        GET /webhooks/default/secret
        """
        return self._get(WebhookSigningSecret, "webhooks", "default", "secret")

    async_secret = _async(secret)


class Webhooks(Namespace):
    """Webhooks. https://replicate.com/docs/topics/webhooks"""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.default = WebhooksDefault(client)

    @staticmethod
    def validate(
        request: Any = None,
        headers: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = (),
        body: str | bytes | bytearray | None = None,
        secret: str | WebhookSigningSecret | None = None,
        tolerance: float | None = 300,
    ) -> bool:
        """Return True for a genuine delivery, else raise WebhookError; asks nobody.

        headers: a mapping in any case, the pairs of ASGI, or the environ of WSGI.
        body: as it came, byte for byte.
        request: an object with both, as .headers and .content or .body.
        secret: "whsec_...", or what webhooks.default.secret() gives.
        tolerance: how many seconds the time of the delivery may be off; None: any.

        Deliveries are repeated, with the same webhook-id.
        """
        key = _secret_key(secret)
        if request is not None:
            headers = request.headers
            body = getattr(request, "content", None) or getattr(request, "body", None)
        found = _webhook_headers(headers)
        for name in _WEBHOOK_HEADERS:
            if not found.get(name):
                raise WebhookError(f"the header {name} is missing")
        if not body:
            raise WebhookError("the body is missing")
        id, stamp, signatures = (found[name] for name in _WEBHOOK_HEADERS)
        _check_time(stamp, tolerance)
        if isinstance(body, str):  # surrogatepass: no two texts have the same bytes
            body = body.encode("utf-8", "surrogatepass")
        signed = f"{id}.{stamp}.".encode("utf-8", "surrogatepass") + bytes(body)
        _check_signature(signatures, key, signed)
        return True


_WEBHOOK_HEADERS = ("webhook-id", "webhook-timestamp", "webhook-signature")


def _secret_key(secret: Any) -> bytes:
    """The key in a secret. An empty one would let anybody sign."""
    text = secret.key if isinstance(secret, WebhookSigningSecret) else secret
    found = re.fullmatch(r"\s*(?:whsec_)?([A-Za-z0-9+/]+={0,2})\s*", text or "")
    if found is None or len(found[1]) % 4:
        raise ValueError("secret is 'whsec_...', as webhooks.default.secret() gives it")
    return base64.b64decode(found[1])


def _webhook_headers(headers: Any) -> dict[str, str]:
    """Headers of any shape by lower-case names, where WSGI's HTTP_WEBHOOK_ID is one."""
    pairs = headers.items() if hasattr(headers, "items") else headers
    found = {}
    for name, value in pairs:
        name = _header_text(name).lower().replace("_", "-")
        found[re.sub("^http-", "", name)] = _header_text(value).strip()
    return found


def _header_text(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        return " ".join(_header_text(item) for item in value)
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return str(value)


def _check_time(stamp: str, tolerance: float | None) -> None:
    """Whether a delivery is of now: an old one may be replayed."""
    if not re.fullmatch("[0-9]{1,12}", stamp):
        raise WebhookError("webhook-timestamp is not a number of seconds")
    if tolerance is not None and abs(time.time() - int(stamp)) > tolerance:
        raise WebhookError(
            f"webhook-timestamp is more than {tolerance:g} s from this machine's time"
        )


def _check_signature(signatures: str, key: bytes, signed: bytes) -> None:
    """Whether one of the signatures is right; compared in constant time."""
    import hmac

    right = b"v1," + base64.b64encode(hmac.new(key, signed, "sha256").digest())
    for signature in signatures.encode("utf-8", "replace").split():
        if hmac.compare_digest(right, signature):
            return
    raise WebhookError("no webhook-signature is that of this body under this secret")


# ------------------------------------------------------------------------------------
# Command line
# ------------------------------------------------------------------------------------
#
#   main()                    exit codes, signals, closed pipes
#     _command()              parts words from options, and calls one of _COMMANDS:
#       _run_command()        run, stream; _Words reads inputs, _show_output() ends it
#       _train_command(), _watch_command(), _map_command()
#       _resource_command()   RESOURCE VERB: a method, found and called by its names
#   _terminal                 whatever is written, is written by it

# Tables of help: what is typed, and what it means. Options: whose they are, too.
_USAGE = """\
 | Run machine-learning models on Replicate, or in Cog containers of your own.
 |
run MODEL [key=value ...] | run a model, print or save its output
run MODEL --help | the model's inputs, from its schema
stream MODEL [key=value ...] | run it, and print its output as it comes
map MODEL [FILE] | a JSON input a line in, a JSON result a line out
watch ID | follow a prediction that runs already
train MODEL [key=value ...] | start a training
search WORDS | find models
RESOURCE VERB [ARG ...] [NAME=VALUE ...] | any method of the API: models get \
OWNER/NAME, predictions list --all; a table on a terminal, JSON in a pipe
 |
run black-forest-labs/flux-schnell prompt="a fox" -o . | for example
 |
 | A RESOURCE is models, predictions, trainings, deployments, files, collections, \
hardware, accounts or webhooks. Each command takes --help.
 |
REPLICATE_API_TOKEN | your token, from https://replicate.com/account/api-tokens
REPLICATE_BASE_URL | the API's address, where it is another
REPLICATE_POLL_INTERVAL | seconds between looks at a run (0.5)
https_proxy, no_proxy | a proxy, and the hosts that need none
 |
 | Exit codes: 0 done; 1 the model failed, was canceled or timed out; 2 bad usage or \
input, or no token; 3 the API or the network failed; 130 interrupted."""

_OPTIONS = """\
run stream train | -i --input | VALUE | key=value, a JSON object, a file of one, \
or -; may be repeated
run stream watch | -o --output | PATH | save files: into a directory/, under a \
name, or - for standard output
map | -o --output | DIR | save the outputs' files there, named by line
run stream watch train RESOURCE | --json || print everything as JSON
run stream watch | --logs || show the model's logs
run | --stream || print the output as it comes
run | --no-wait || print the prediction's id and return
run stream | --web || open the prediction's page in a browser
train | --destination | MODEL | the model of yours to push to, as owner/name
map | -k --keep-order || results in the order of the inputs, not as they end
map | --journal | FILE | note everything there; the same command goes on where it ended
map | --rerun-expired || run again what has ended, but was deleted by the API since
map | --concurrency | N | runs at a time (8)
run stream watch map | --timeout | SECONDS | give up after so long
run stream map | --cancel-after | TIME | a limit that the server keeps, as 30s or 5m
RESOURCE | --all || all pages of a list; in a pipe a line of JSON each
run stream train map watch RESOURCE | -h --help || show this"""

_MEANINGS = """\
MODEL | owner/name[:version], deployments/owner/name, a version's id, or the address \
of a container
key=value | an input; key=@file sends a file, key=@- standard input, key:=json is JSON
FILE | a JSON object a line, "@path" in it for a file; else standard input
ID | the prediction's id
owner | whose it is, or owner/name
name | its name
model | owner/name
deployment | owner/name
deployment_name | owner/name
version | a version's id, or owner/name:id
more | the version's id
id | its id
file_id | the file's id
slug | the collection's name
input | the inputs, as JSON or @FILE
query | words to look for
limit | 1 to 50 models
cursor | the `next` of a page
file | a path; 100 MiB at most
filename | a name for it
content_type | its media type
metadata | JSON for your own use
expiry | until when it is signed for, in Unix time
signature | as its owner has signed
visibility | public or private
hardware | a sku, see hardware list
destination | the model of yours to push to
min_instances | machines that always run
max_instances | machines at most
description | a sentence about it
sort_by | model_created_at or latest_version_created_at
sort_direction | asc or desc
created_after | a time, as 2026-01-31T00:00:00Z
created_before | the same
source | web: only those made there
wait | 1 to 60 seconds to wait for its end
webhook | an address to call
webhook_events_filter | as ["completed"]
extra | more fields, as JSON"""

# The columns of lists; the first names an item.
_COLUMNS = {
    "Prediction": "id model status created_at",
    "Training": "id model status created_at",
    "Model": "id run_count description",
    "Version": "id created_at",
    "Deployment": "id current_release.model current_release.configuration.hardware",
    "File": "id name size created_at",
    "Collection": "slug name description",
    "Hardware": "sku name",
    "SearchMatch": "model.id model.run_count model.description",
}
# What a terminal would obey: control characters, and those that turn text around.
_OBEYED = "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]"


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1, 2, 3 or 130 (see --help)."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:  # closed, as by >&-
            setattr(sys, name, open(os.devnull, mode))  # noqa: SIM115
    try:
        if argv is None:  # the process is ours
            _heed_signals()
            argv = sys.argv[1:]
        _terminal.open()
        return _command(list(argv))
    except BrokenPipeError:  # the reader has left, as `head` does
        return 0
    except (ReplicateError, ValueError, TypeError, OSError, KeyboardInterrupt) as error:
        code, text = _verdict(error)
        _terminal.tell(f"replicate: {text}")
        return code
    finally:
        _terminal.close()


def _heed_signals() -> None:
    """Let SIGTERM and SIGHUP give up as Ctrl-C does, unless ignored, as by nohup."""
    import signal

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows has no SIGHUP
        if number is not None and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, signal.default_int_handler)


def _verdict(error: BaseException) -> tuple[int, str]:
    """The exit code of a command that an error ended, and what to say of it."""
    text = str(error)
    if isinstance(error, KeyboardInterrupt):
        return 130, text or "interrupted"
    if isinstance(error, (ModelError, PredictionTimeout)):
        return 1, text
    if isinstance(error, ReplicateError):
        if error.title == _NO_TOKEN:
            return 2, f"no token: set REPLICATE_API_TOKEN; {_TOKENS_PAGE} gives one"
        if error.status == 404 and re.match("GET .*/models/", text):
            text += "; `replicate search WORDS` finds models"
        return 3, text
    if isinstance(error, (ValueError, TypeError, FileNotFoundError)):
        return 2, text
    return 3, text  # the output cannot be written


class _Terminal:
    """The standard streams, and on a terminal a line of status while nothing comes."""

    def __init__(self) -> None:
        self._status = ""
        self._started = 0.0
        self._lock = threading.Lock()  # held by who writes: a command, or the ticker
        self._over = threading.Event()
        self._is_shown = False  # whether the line of status stands there
        self._is_within = False  # whether the cursor stands behind output

    def open(self) -> None:
        """Begin: what waits is shown to wait, also where no answer ever comes."""
        self._status = "waiting"
        self._started = time.monotonic()
        self._over.clear()
        if sys.stderr.isatty():
            threading.Thread(target=self._tick, daemon=True).start()

    def _tick(self) -> None:
        while not self._over.wait(_TICK):
            self.show(self._status)

    def show(self, status: str) -> None:
        """Show how far it is, in a line that any output takes the place of."""
        self._status = status
        text = f"{status}, {time.monotonic() - self._started:.0f} s"
        text = re.sub(_OBEYED, "?", text)[: _room()]
        with self._lock:
            if self._is_within or self._over.is_set() or not sys.stderr.isatty():
                return
            try:
                sys.stderr.write("\r\x1b[K" + text)
                sys.stderr.flush()
                self._is_shown = True
            except OSError:  # the terminal is gone
                return

    def close(self) -> None:
        """Take the line away; what cannot be written goes nowhere."""
        self._over.set()
        for stream in (sys.stderr, sys.stdout):
            try:
                self.write("", stream)
            except OSError:  # Python would try again at its end, and complain
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())

    def write(self, text: str, stream: Any = None) -> None:
        """Write at once: to a pipe as it is, to a terminal nothing that it obeys."""
        stream = stream or sys.stdout
        encoding = stream.encoding or "utf-8"
        text = text.encode(encoding, "replace").decode(encoding)
        with self._lock:
            if self._is_shown:
                self._is_shown = False
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()
            if text and stream.isatty():
                text = re.sub(_OBEYED, "\ufffd", text)
                self._is_within = not text.endswith("\n")
            stream.write(text)
            stream.flush()

    def say(self, text: str) -> None:
        """Write a line."""
        self.write(text if text.endswith("\n") else text + "\n")

    def tell(self, text: str) -> None:
        """Write a line on standard error, where somebody is there to read it."""
        try:
            self.write(text + "\n", sys.stderr)
        except OSError:
            return

    def pour(self, blocks: Iterable[bytes]) -> None:
        """Write a file's content; on a terminal, the text in it."""
        for block in blocks:
            if sys.stdout.isatty():
                self.write(block.decode("utf-8", "replace"))
            else:
                sys.stdout.buffer.write(block)


_terminal = _Terminal()


def _room() -> int:
    """Columns of the terminal; after the last one some begin a new line."""
    import shutil

    return shutil.get_terminal_size().columns - 1


# Help, and what was asked for


def _table(text: str) -> list[list[str]]:
    return [[cell.strip() for cell in row.split("|")] for row in text.splitlines()]


def _show_help(rows: Iterable[Sequence[str]]) -> None:
    """Two columns, wrapped; words are not broken: some have to be typed."""
    import textwrap

    width = _room()
    edge = min(30, width // 2)
    for left, right in rows:
        indent = " " * edge if left else ""
        first = left.ljust(len(indent))
        if len(left) > edge - 2:
            _terminal.say(left)
            first = indent
        text = textwrap.fill(
            right,
            width,
            initial_indent=first,
            subsequent_indent=indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
        _terminal.say(text.replace("\xa0", " "))


def _options_help(name: str) -> list[list[str]]:
    rows = [row for row in _table(_OPTIONS) if name in row[0].split()]
    return [[f"{names} {value}", meaning] for _, names, value, meaning in rows]


def _command(words: list[str]) -> int:
    """Do what the words ask for, and return the exit code."""
    name = words[0] if words else ""
    if name in ("", "-h", "--help", "help"):
        _show_help(_table(_USAGE))
        return 0 if name else 2
    if name in ("-V", "--version"):
        _terminal.say(f"replicate-onefile {__version__}")
        return 0
    if name not in _COMMANDS:
        return _resource_command(_parted("RESOURCE", words))
    asked = _parted(name, words[1:])
    command, usage, most = _COMMANDS[name]
    if asked.help and (not asked.words or most <= 2):
        nouns = re.findall("[A-Za-z=]+", usage)
        rows = [["", f"replicate {name} {usage} [option ...]"], ["", ""]]
        rows += [row for row in _table(_MEANINGS) if row[0] in nouns]
        _show_help(rows + _options_help(name))
        return 0
    if not 1 <= len(asked.words) <= most:
        raise ValueError(f"write replicate {name} {usage}; --help tells more")
    return command(asked)


def _parted(name: str, words: list[str]) -> Any:
    """Part words from a command's options; what follows -- is no option.

    Raises ValueError, which never shows what was given to an option.
    """
    import types

    found: _Dict = {}
    known = {}
    for owners, names, kind, _ in _table(_OPTIONS):
        field = names.split()[-1].strip("-").replace("-", "_")
        found[field] = None
        if name in owners.split():
            known.update(dict.fromkeys(names.split(), (field, kind)))
    found.update(name=name, line=words, words=[], input=[])
    rest = deque(words)
    while rest:
        word = rest.popleft()
        if word == "--":
            found["words"] += rest
            break
        if word == "-" or not word.startswith("-"):
            found["words"].append(word)
            continue
        option, equals, text = word.partition("=")
        if option not in known:
            plain = option.strip("-").replace("-", "_")
            near = _nearest(option, [*known], 0.75)
            raise ValueError(f"write {plain}=VALUE; no option {option}{near}")
        field, kind = known[option]
        if kind and not equals:
            text = rest.popleft() if rest else ""
        value = _option_value(option, kind, text)
        if field == "input":
            value = found[field] + [value]
        found[field] = value
    found["people"] = sys.stdout.isatty() and not found["json"]
    return types.SimpleNamespace(**found)


def _option_value(option: str, kind: str, text: str) -> Any:
    if not kind:
        return True
    if not text:
        raise ValueError(f"{option} is to be followed by {kind}")
    kinds: _Dict = {"SECONDS": float, "N": int}
    try:
        return kinds.get(kind, str)(text)
    except ValueError:
        raise ValueError(f"{option} takes a number") from None


# run, stream, train, watch


class _Words:
    """The inputs that a command line gives, typed by a schema, and all their faults."""

    def __init__(self, fields: Mapping[str, _Field]) -> None:
        self.fields = fields
        self.input: _Dict = {}
        self.said: set[str] = set()  # names of key=value
        self.unchecked: set[str] = set()  # JSON whatever the schema says, or faulty
        self.faults: list[str] = []

    def read(self, sources: Iterable[str], words: Iterable[str]) -> _Dict:
        """Take what -i gives, and the words; ValueError tells all that is wrong."""
        pairs = [*words]
        for source in sources:
            if re.match(r"\w+:?=", source):
                pairs.append(source)
            else:
                self._take_object(source)
        for word in pairs:
            self._take_pair(word)
        faults = self.faults + _faults(self.input, self.fields, self.unchecked)
        if len(faults) > 1:
            faults.insert(0, "the input is wrong:")
        if faults:
            raise ValueError("\n  ".join(faults))
        return self.input

    def _take_object(self, source: str) -> None:
        is_json = source.lstrip().startswith("{")
        try:
            self.input.update(**json.loads(source if is_json else _read_file(source)))
        except (ValueError, TypeError, OSError, RecursionError) as error:
            shown = "" if is_json else source + " "
            self.faults.append(f"--input {shown}is no JSON object: {error}")

    def _take_pair(self, word: str) -> None:
        name, equals, text = word.partition("=")
        is_json = name.endswith(":")
        name = name.rstrip(":")
        if not equals:
            self.faults.append(f"{name} is to be written key=value")
            return
        before = self.input.get(name)
        try:
            value = _json(text) if is_json else self._typed(name, text)
            if name in self.said:
                value = _joined(before, value)
        except (ValueError, OSError) as error:
            self.faults.append(f"{name} {error}")
            value, is_json = before, True
        if is_json:
            self.unchecked.add(name)
        self.said.add(name)
        self.input[name] = value

    def _typed(self, name: str, text: str) -> Any:
        """A text as the schema takes it; what begins with @ is a file, or its text."""
        if self.fields and name not in self.fields:
            return text  # which _faults() tells
        field = self.fields.get(name) or _Field(name, {"format": "uri"}, None, False)
        if not text.startswith("@"):
            if field.file and field.types and os.path.isfile(text):
                raise ValueError(f"is a file: write {name}=@{text}")
            return field.parse(text)
        try:
            if not field.file:
                return field.parse(_read_file(text[1:]).decode("utf-8", "replace"))
            file = _file_at(text[1:])
            return [file] if field.types == ["array"] else file
        except OSError as error:
            where = "a file" if field.secret else text[1:]
            hint = f"write {name}:='\"@...\"' for a text that begins with @"
            raise ValueError(f"cannot read {where}: {error.strerror}; {hint}") from None


def _joined(before: Any, value: Any) -> Any:
    """A list, and what is added to it by a key that is given again."""
    if not isinstance(before, list):
        raise ValueError("is given twice")
    return before + (value if isinstance(value, list) else [value])


def _file_at(path: str) -> Any:
    """A file to send; of standard input (-) its bytes, or the URL that they are."""
    import pathlib

    if path == "-":
        content = _read_file(path)
        line = content[:_LINE_MOST].decode("utf-8", "replace").strip()
        return line if _is_file(line) else content
    file = pathlib.Path(path)
    file.stat()
    return file


def _read_file(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON, or nests too deep") from None


def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


class _RunDisplay:
    """Shows what is new of a run: its state, its logs, its page in a browser."""

    def __init__(self, asked: Any) -> None:
        self.asked = asked
        self.logged = 0  # characters of the logs that were shown

    def __call__(self, prediction: Prediction) -> None:
        status = str(prediction.status)
        if prediction.progress is not None:
            status += f", {prediction.progress.percentage:.0%}"
        logs = prediction.logs
        if self.asked.logs and isinstance(logs, str):
            _terminal.write(logs[self.logged :], sys.stderr)
            self.logged = len(logs)
        if self.asked.web and prediction._url("web").startswith("https://"):
            import webbrowser

            self.asked.web = False
            webbrowser.open(prediction._url("web"))
        _terminal.show(status)


def _run_command(asked: Any) -> int:
    ref, *words = asked.words
    call = _Call(default_client, asked.timeout)
    try:
        description, openapi = call.run(_description(call, ref))
    except APIError as error:
        if error.status == 401 or asked.help:
            raise
        description, openapi = "", None  # values are not typed, and the API tells more
    fields = _inputs_of(openapi)
    schema = _part(openapi, "Output")
    if asked.help and asked.name == "RESOURCE" and not asked.people:
        _terminal.say(_dumped(openapi))
        return 0
    if asked.help:
        _show_help(_manual(ref, description, fields, schema))
        return 0
    input = _Words(fields).read(asked.input, words)
    where = asked.output or "-"
    is_name = where != "-" and not _is_folder(where)
    if is_name and _makes_several(schema, fields, input):
        raise ValueError(f"{ref} makes several files: write -o {where}/")
    options = _Options(
        wait=False, cancel_after=asked.cancel_after, on_update=_RunDisplay(asked)
    )
    run = _run_for(call, ref, input, options)
    if asked.no_wait:
        prediction = call.run(run.create())
        _terminal.say(_dumped(prediction) if asked.json else prediction.id)
    else:
        asked.stream = asked.stream or asked.name == "stream"
        _show_output(asked, call, run, schema)
    return 0


class _Watched(_Run):
    """A run that somebody else has started: it is followed, but never given up."""

    def _may_run(self) -> bool:
        return False


def _watch_command(asked: Any) -> int:
    call = _Call(default_client, asked.timeout)
    prediction = predictions.get(asked.words[0])
    run = _Watched(call, _Target(), None, _Options(on_update=_RunDisplay(asked)))
    run.adopt(prediction)
    asked.stream = bool(prediction._url("stream"))
    _show_output(asked, call, run, {})
    return 0


def _train_command(asked: Any) -> int:
    ref, *words = asked.words
    model, colon, _ = ref.partition(":")
    version = models.versions.get(ref) if colon else models.get(ref).latest_version
    if version is None:
        raise ValueError(f"{ref} has no version that can be trained")
    fields = _inputs_of(version.openapi_schema, "TrainingInput")
    if asked.help:
        _show_help(_manual(ref, "", fields, {}))
        return 0
    if not asked.destination:
        raise ValueError("write --destination OWNER/NAME, a model of yours to push to")
    input = _Words(fields).read(asked.input, words)
    made = trainings.create(f"{model}:{version.id}", input, asked.destination)
    _show_result(made, asked)
    return 0


def _show_output(asked: Any, call: _Call, run: _Run, schema: _Object) -> None:
    """Follow a run to its end, and show or save its output."""
    is_text = asked.stream or schema.get("x-cog-array-display") == "concatenate"
    try:
        if asked.json:
            try:
                call.run(run.output())
            finally:
                if run.prediction is not None:
                    _terminal.say(_dumped(run.prediction))
        elif is_text and asked.output is None:
            _write_events(call.iterate(run.events(), begin=True))
        else:
            output = call.run(run.output())
            text = _as_text(output, schema)
            if asked.output is None:
                _terminal.say(text)
            else:
                _save_output(call, _files_in(output), text, asked.output)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted{_what_became_of(run)}") from None


def _what_became_of(run: _Run) -> str:
    """What an interruption has done to a run; nothing where there was none yet."""
    if run.prediction is not None:
        did = "cancelled" if run.cancelled else "did not cancel"
        return f": {did} {run.prediction.id}"
    if run.stopped:
        return "; the prediction may have been made: see `replicate predictions list`"
    return ""


def _write_events(events: Any) -> None:
    """Write text as it comes; files a line each."""
    last = "\n"
    try:
        for event in events:
            text = str(event)
            if isinstance(event.data, FileOutput):
                text += "\n"
            _terminal.write(text)
            last = text[-1:] or last
    finally:
        events.close()
        if last != "\n":
            _terminal.write("\n")


def _as_text(output: Any, schema: _Object) -> str:
    """An output for people and pipes: text as it is, files a line each, else JSON."""
    items = output if isinstance(output, list) else [output]
    if not items or not all(isinstance(item, str) for item in items):
        return _dumped(output)
    is_text = not schema or schema.get("x-cog-array-display") == "concatenate"
    if isinstance(items[0], FileOutput):
        is_text = False
    return ("" if is_text else "\n").join(items)


def _dumped(value: Any, indent: int | None = 2) -> str:
    try:
        return json.dumps(value, indent=indent, ensure_ascii=False)
    except RecursionError:  # without indents, more levels can be written
        return json.dumps(value, ensure_ascii=False)


def _is_folder(where: str) -> bool:
    return where.endswith(("/", os.sep)) or os.path.isdir(where)


def _makes_several(
    schema: _Object, fields: Mapping[str, _Field], input: _Object
) -> bool:
    """Whether the output is a list of files, and no input makes it a list of one."""
    items = schema.get("items")
    if not isinstance(items, dict) or items.get("format") != "uri":
        return False
    counts = [
        input.get(name, field.default)
        for name, field in fields.items()
        if re.match("n_|num|max_|.*(count|batch)", name)
    ]
    return 1 not in counts


def _save_output(call: _Call, files: list[str], text: str, where: str) -> None:
    """Save an output's files, or its text where it has none, and say their paths."""
    # A text is saved as the data URI that it might have come as.
    files = files or ["data:text/plain," + urllib.parse.quote(text)]
    try:
        for number, file in enumerate(files):
            path = where
            if where == "-":
                _terminal.pour(call.iterate(_chunks(call, file, _BLOCK)))
                continue
            if number and not _is_folder(where):
                stem, ending = os.path.splitext(where)
                path = f"{stem}-{number}{ending}"
            _terminal.say(str(call.run(_saved(call, file, path))))
    except ReplicateError:
        _terminal.say(text)  # it is paid for, and not to be lost
        raise


def _manual(
    ref: str,
    description: str,
    fields: Mapping[str, _Field],
    schema: _Object,
) -> list[list[str]]:
    """A model's inputs and output for people."""
    title = "Inputs:"
    if not fields:
        title = "Its inputs are not known: values are taken as JSON, or else as text."
    rows = [["", ref], ["", description], ["", ""], ["", title]]
    for field in fields.values():
        rows.append(["  " + field.name, _facts(field)])
        if field.description:
            rows.append([" ", field.description])
        if field.choices:
            # _show_help() breaks no line at such a space: choices are typed.
            choices = [str(choice).replace(" ", "\xa0") for choice in field.choices]
            rows.append([" ", "one of: " + ", ".join(choices)])
    if schema:
        rows += [["", ""], ["", f"Output: {_kind(schema)}"]]
    return rows


def _kind(schema: _Object) -> str:
    """What an output is, in words."""
    if schema.get("x-cog-array-display") == "concatenate":
        return "text, as it is made"
    items = schema.get("items")
    if isinstance(items, dict):
        return f"a list of {_kind(items)}s"
    return "file" if schema.get("format") == "uri" else str(schema.get("type", "value"))


def _facts(field: _Field) -> str:
    facts = ["/".join(field.types) or "any"]
    for word, value in (("at least", field.least), ("at most", field.most)):
        if value is not None:
            facts.append(f"{word} {_short(value)}")
    if field.default is not None and not field.secret:
        facts.append(f"default {_short(field.default)}")
    for word in ("file", "secret", "required"):
        if getattr(field, word):
            facts.append(word)
    return ", ".join(facts)


# map


class _Lines:
    """The inputs in a file of JSON lines, and what became of them."""

    def __init__(self, file: Any, fields: Mapping[str, _Field]) -> None:
        self.file = file
        self.fields = fields
        self.given: dict[int, Any] = {}  # what the lines hold whose results are to come
        self.drawn = self.done = self.failed = 0
        self.started = time.monotonic()
        self.total = 0  # 0 where it is not known
        if file.seekable():
            self.total = sum(1 for line in file if line.strip())
            file.seek(0)

    def inputs(self) -> Iterator[tuple[int, Any]]:
        """Yield the number and input of each line, or an error for one that is wrong.

        Raises ValueError where the first one is no JSON object: it is another file.
        """
        for number, line in enumerate(self.file, 1):
            if not line.strip():
                continue
            value = _json_or_text(line.decode("utf-8-sig", "replace"))
            try:
                input: Any = self._checked(value)
            except (ValueError, OSError) as error:
                input = ValueError(f"line {number}: {error}")
                if not self.drawn and not isinstance(value, dict):
                    raise input from None
            self.given[number] = value
            self.drawn += 1
            self._show()
            yield number, input

    def _checked(self, value: Any) -> _Dict:
        """A line's input, files for "@path" in it; ValueError tells what is wrong."""
        if not isinstance(value, dict):
            raise ValueError('no JSON object, as {"key": "value"}')
        input = {}
        for name, item in value.items():
            field = self.fields.get(name)
            if field is not None and field.file:
                item = _open_at_paths(item)
            input[name] = item
        faults = _faults(input, self.fields)
        if faults:
            raise ValueError("; ".join(faults))
        return input

    def take(self, outcome: Any) -> None:
        """Write a result."""
        result = {"line": outcome.line, "id": outcome.id}
        result["input"] = self.given.pop(outcome.line)
        if outcome.error is None:
            self.done += 1
            result["output"] = outcome.output
        else:
            self.failed += 1
            result["error"] = str(outcome.error)
        result["metrics"] = outcome.metrics
        if outcome.files:
            result["files"] = outcome.files
        _terminal.say(_dumped(result, None))
        self._show()

    def _show(self) -> None:
        ended = self.done + self.failed
        text = f"{self.done} done, {self.failed} failed, {self.drawn - ended} running"
        if self.total:
            text += f", {self.total} in all"
        if self.total and ended:
            pace = (time.monotonic() - self.started) / ended
            minutes, seconds = divmod(int(pace * (self.total - ended)), 60)
            text += f", {minutes}:{seconds:02} left"
        _terminal.show(text)

    def tell_end(self, asked: Any, cancelled: int, running: int) -> None:
        """Tell what became of all of them, and what goes on."""
        total = max(self.total, self.drawn)
        rest = total - self.done - self.failed - cancelled - running
        counts = {"cancelled": cancelled, "still running": running, "not run": rest}
        text = f"{total} inputs: {self.done} done, {self.failed} failed"
        for word, count in counts.items():
            if count:
                text += f", {count} {word}"
        if asked.journal and self.done < total:
            import shlex

            words = [shlex.quote(word) for word in asked.line]
            text += f"; to go on: replicate map {' '.join(words)}"
        _terminal.tell(text)


def _open_at_paths(value: Any) -> Any:
    """The value of a file's input, with "@path" in it as files."""
    if isinstance(value, list):
        return [_open_at_paths(item) for item in value]
    if isinstance(value, str) and value.startswith("@"):
        return _file_at(value[1:])
    return value


def _map_command(asked: Any) -> int:
    ref, path = [*asked.words, "-"][:2]
    if path != "-":
        try:
            file = open(path, "rb")  # noqa: SIM115
        except OSError as error:
            raise ValueError(f"cannot read {path}: {error.strerror}") from None
        with file:
            return _map_lines(asked, ref, file)
    try:
        # A thread may still read it when all is over. In sys.stdin, Python would find
        # that at its own end, and abort.
        number = sys.stdin.fileno()
    except OSError:  # no file: a program has put something in its place
        return _map_lines(asked, ref, sys.stdin.buffer)
    return _map_lines(asked, ref, open(number, "rb", closefd=False))  # noqa: SIM115


def _map_lines(asked: Any, ref: str, file: Any) -> int:
    import logging

    call = _Call(default_client)
    _, openapi = call.run(_description(call, ref))
    lines = _Lines(file, _inputs_of(openapi))
    # Creations are not held: an interruption is to know the ids, and to name them.
    options = _Options(
        wait=False, timeout=asked.timeout, cancel_after=asked.cancel_after
    )
    batch = _Batch(
        default_client,
        ref,
        lines.inputs(),
        options,
        concurrency=8 if asked.concurrency is None else asked.concurrency,
        ordered=bool(asked.keep_order),
        return_exceptions=True,
        journal=asked.journal,
        save=asked.output,
        rerun_expired=bool(asked.rerun_expired),
        lines=True,
    )

    class Handler(logging.Handler):
        """Tells what the library warns of: what was cancelled, what a journal tells."""

        def emit(self, record: Any) -> None:
            _terminal.tell(f"replicate: {record.getMessage()}")

    handler = Handler(logging.WARNING)
    logger = logging.getLogger("replicate")
    logger.addHandler(handler)
    results = batch.results()
    try:
        for outcome in results:
            lines.take(outcome)
    finally:
        results.close()
        for outcome in batch.rest():
            lines.take(outcome)
        logger.removeHandler(handler)
        lines.tell_end(asked, len(batch.cancelled), len(batch.running_on))
    return 1 if lines.failed else 0


# RESOURCE VERB


def _resource_command(asked: Any) -> int:
    """Find a method of the client by its names, call it, and show what it gives."""
    thing: Any = default_client
    verbs = _verbs(thing)
    path: list[str] = []
    words = deque(asked.words)
    while words and verbs:
        name = words.popleft()
        if name + "s" in verbs:  # this, and the next, are the Go command line's names
            name += "s"
        if name == "show":
            name = "get"
        path.append(name)
        if _is_run_in_go(path, [*words]):
            return _run_as_in_go(asked, path, [*words])
        if name not in verbs:
            if thing is default_client:
                verbs.update(_COMMANDS)
            near = _nearest(name, [*verbs])
            raise ValueError(f"no command {' '.join(path)}{near}")
        thing = verbs[name]
        verbs = _verbs(thing)
    if asked.help:
        _show_help(_method_help(thing, path, verbs))
        return 0
    if verbs:
        raise ValueError(f"{' '.join(path)} is to be followed{_nearest('', [*verbs])}")
    _show_result(_called(thing, words), asked)
    return 0


def _is_run_in_go(path: list[str], words: list[str]) -> bool:
    """Whether the Go command line takes these words as `run` takes its own."""
    import inspect

    if not words:
        return False
    if path in (["models", "schema"], ["deployments", "schema"]):
        return True
    if path != ["predictions", "create"] or "=" in words[0]:
        return False
    names = {word.partition("=")[0] for word in words[1:] if "=" in word}
    return not names <= inspect.signature(predictions.create).parameters.keys()


def _run_as_in_go(asked: Any, path: list[str], words: list[str]) -> int:
    """`models schema MODEL`, `deployments schema NAME`, `predictions create MODEL`."""
    if path[0] == "deployments":
        words[0] = "deployments/" + words[0]
    if path[1] == "schema":
        asked.help, words = True, words[:1]
    asked.words = words
    return _run_command(asked)


def _verbs(thing: Any) -> _Dict:
    """What can be named below the client or a namespace of it.

    That is namespaces, and methods that make requests, which are those with a twin.
    """
    if isinstance(thing, Client):
        names = [*vars(thing), "search"]
    elif isinstance(thing, Namespace):
        names = dir(thing)
    else:
        return {}
    found = {}
    for name in names:
        value = getattr(thing, name)
        if isinstance(value, Namespace) or hasattr(thing, "async_" + name):
            found[name] = value
    return found


def _method_help(thing: Any, path: list[str], verbs: _Object) -> list[list[str]]:
    """Help for a namespace, or a method."""
    import inspect

    def about(one: Any) -> str:
        return str(inspect.getdoc(one)).splitlines()[0]

    usage = "VERB" if verbs else "[ARG ...] [NAME=VALUE ...] [option ...]"
    rows = [["", f"replicate {' '.join(path)} {usage}"], ["", about(thing)], ["", ""]]
    if verbs:
        return rows + [["  " + name, about(one)] for name, one in verbs.items()]
    taken = inspect.signature(thing).parameters
    rows += [row for row in _table(_MEANINGS) if row[0] in taken]
    return rows + _options_help("RESOURCE")


def _called(method: Any, words: Iterable[str]) -> Any:
    """Call a method with words and NAME=VALUEs, as its signature types them."""
    import inspect

    signature = inspect.signature(method)
    kinds = {one.name: str(one.annotation) for one in signature.parameters.values()}
    given: list[Any] = []
    named: _Dict = {}
    for word in words:
        pair = re.fullmatch(r"(\w+)(:?)=(.*)", word, re.DOTALL)
        if pair:
            kind = "JSON" if pair[2] else kinds.get(pair[1], "")
            named[pair[1]] = _argument(kind, pair[3])
        else:
            kind = [*kinds.values(), ""][min(len(given), len(kinds))]
            given.append(_argument(kind, word))
    bound = signature.bind(*given, **named)
    return method(*bound.args, **bound.kwargs)


def _argument(kind: str, text: str) -> Any:
    """A word as an annotation wants it."""
    if kind.startswith("str"):
        return text
    if text.startswith("@"):
        text = _read_file(text[1:]).decode("utf-8", "replace")
    return _json_or_text(text)


def _show_result(result: Any, asked: Any) -> None:
    """Tables for people, JSON for programs; text and files as they are."""
    if isinstance(result, bytes):
        _terminal.pour([result])
    elif isinstance(result, str):
        _terminal.say(result)
    elif isinstance(result, Page) and asked.all:
        _show_all(result.iter_all(), asked)
    elif asked.people and isinstance(result, list):
        _show_list(result)
        if getattr(result, "next", None):
            _terminal.say("There are more: --all shows them.")
    elif asked.people and isinstance(result, dict):
        _show_fields(result)
    elif isinstance(result, Page):
        page = {"previous": result.previous, "next": result.next, "results": result}
        _terminal.say(_dumped(page))
    else:
        _terminal.say(_dumped(result))


def _show_all(items: Iterator[Any], asked: Any) -> None:
    """A line of JSON each, or tables as the pages come."""
    while True:
        some = list(itertools.islice(items, 100))
        if not some:
            return
        if asked.people:
            _show_list(some)
        for item in () if asked.people else some:
            _terminal.say(_dumped(item, None))


def _show_list(items: Sequence[Any]) -> None:
    """One row an item."""
    if not items:
        _terminal.say("none")
        return
    usual = " ".join(list(items[0])[:4])
    columns = _COLUMNS.get(type(items[0]).__name__, usual).split()
    rows = [[column.rpartition(".")[2].upper() for column in columns]]
    for item in items:
        rows.append([_cell(item, column) for column in columns])
    _show_rows(rows)


def _show_fields(thing: Any) -> None:
    """One row a field, and the lists in it below."""
    rows, lists = [], []
    for name, value in thing.items():
        if isinstance(value, list) and value and isinstance(value[0], dict):
            lists.append(name)
        elif value not in (None, "", [], {}):
            rows.append([name, _cell(thing, name)])
    _show_rows(rows)
    for name in lists:
        _terminal.say(f"\n{name}")
        _show_list(getattr(thing, name))


def _cell(thing: Any, column: str) -> str:
    """A field on one line: times without fractions, what is nested as JSON."""
    for name in column.split("."):
        value = thing.get(name) if isinstance(thing, dict) else None
        thing = getattr(thing, name, None) if value is None else value
    if thing is None:
        return ""
    text = thing if isinstance(thing, str) else json.dumps(thing, ensure_ascii=False)
    text = " ".join(text[:_CELL].split())
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z?$", r"\1 \2", text)


def _show_rows(rows: list[list[str]]) -> None:
    """A table. The widest column gives way; names of items, and times, last."""
    widths = [max(_width(text) for text in column) for column in zip(*rows)]
    room = _room() - 2 * len(widths)
    while sum(widths) > room and max(widths) > 1:
        ranks = [widths[0] / 8, *widths[1:]]
        for number, title in enumerate(rows[0]):
            if title.endswith("_AT"):
                ranks[number] = widths[number] / 8
        widths[ranks.index(max(ranks))] -= 1
    for row in rows:
        cells = [_fitted(text, width) for text, width in zip(row, widths)]
        _terminal.say("  ".join(cells).rstrip())


def _width(text: str) -> int:
    """Columns that a text takes: two for wide characters, none for those that join."""
    import unicodedata

    wide = sum(unicodedata.east_asian_width(one) in "WF" for one in text)
    none = sum(unicodedata.category(one) in ("Mn", "Me", "Cf") for one in text)
    return len(text) + wide - none


def _fitted(text: str, width: int) -> str:
    """A text in just so many columns: cut, or filled up."""
    if _width(text) > width:
        text = text[: width - 1]
        while _width(text) >= width:
            text = text[:-1]
        text += "\u2026"
    return text + " " * (width - _width(text))


# The commands beside RESOURCE VERB: by whom, how they are written, words at most.
_COMMANDS = {
    "run": (_run_command, "MODEL [key=value ...]", math.inf),
    "stream": (_run_command, "MODEL [key=value ...]", math.inf),
    "train": (_train_command, "MODEL [key=value ...]", math.inf),
    "map": (_map_command, "MODEL [FILE]", 2),
    "watch": (_watch_command, "ID", 1),
}
# ------------------------------------------------------------------------------------
# The module's own names
# ------------------------------------------------------------------------------------
#
# Functions and namespaces of one client, made without a look at the environment. `map`
# below hides the built-in one from the whole file, which does without it.

default_client = Client()
api_token: str | None = None  # may be assigned: the default client's from then on

run = default_client.run
stream = default_client.stream
map = default_client.map
use = default_client.use
search = default_client.search
paginate = default_client.paginate
async_run = default_client.async_run
async_stream = default_client.async_stream
async_map = default_client.async_map
async_search = default_client.async_search
async_paginate = default_client.async_paginate
models = default_client.models
predictions = default_client.predictions
trainings = default_client.trainings
deployments = default_client.deployments
files = default_client.files
collections = default_client.collections
hardware = default_client.hardware
webhooks = default_client.webhooks
accounts = account = default_client.accounts


class ModelVersionIdentifier(
    namedtuple("ModelVersionIdentifier", "owner name version", defaults=[None])
):
    """What "owner/name:version" names; version is None where it is left out."""

    __slots__ = ()
    owner: str
    name: str
    version: str | None

    @classmethod
    def parse(cls, ref: str) -> ModelVersionIdentifier:
        """Take a reference apart. Raises ValueError for one of another form."""
        name, _, version = ref.partition(":")
        return cls(*_owner_name(name), version or None)


def transform_output(value: Any, client: Client | None = None) -> Any:
    """Return an output with each file in it as a FileOutput."""
    return _files(value, client or default_client)


def base64_encode_file(file: BinaryIO | os.PathLike[str]) -> str:
    """Return a file's content as a data URI."""
    return str(_Inputs("base64").encode_value(file, ("file",)))


def _add_modules() -> None:
    """Let programs import from the submodules of 1.x: each of them is this module."""
    this = sys.modules[__name__]
    for name in _MODULES.split():
        sys.modules[f"{__name__}.{name}"] = this
        this.__dict__.setdefault(name, this)


_MODULES = (
    "__about__ account client collection deployment exceptions file hardware helpers"
    " identifier model pagination prediction resource run schema stream training"
    " version webhook"
)
_add_modules()

if __name__ == "__main__":
    sys.exit(main())
