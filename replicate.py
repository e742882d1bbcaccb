# SPDX-License-Identifier: MIT
"""replicate.py: run machine-learning models on Replicate, or in Cog containers of your own.

One file, no dependencies, CPython 3.8 to 3.14 and PyPy. Version 1.0.0, MIT licence (the text ends this file).
To vendor it, copy this file; nothing else is needed. Get a token at https://replicate.com/account/api-tokens and:

    export REPLICATE_API_TOKEN=r8_...
    python -m replicate run black-forest-labs/flux-schnell prompt="an astronaut riding a horse" -o .

    import replicate
    images = replicate.run("black-forest-labs/flux-schnell", input={"prompt": "an astronaut riding a horse"})
    images[0].save("astronaut.webp")
    for event in replicate.stream("meta/meta-llama-3-8b-instruct", input={"prompt": "Tell me a joke"}):
        print(event, end="")

Every method also exists with an `async_` prefix. Every failure at run time is a ReplicateError; a call that is wrong
in itself is a ValueError or TypeError before any request. What it promises (no double billing, no leaked token,
no orphaned prediction, no hang) is in the README.

Contents: Constants, Errors, The client, Resources, Endpoints, Outputs, Inputs, Streams, Self-hosted models (Cog),
Transport, Webhooks, Command line.
"""
from __future__ import annotations

import base64
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
import select
import socket
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
import weakref
from collections import abc, deque, namedtuple

try:
    import ssl
except ImportError:  # an interpreter built without it still reaches http:// addresses
    ssl = None  # type: ignore[assignment]
try:
    import zlib
except ImportError:  # then answers are not asked for in compressed form
    zlib = None  # type: ignore[assignment]

TYPE_CHECKING = False  # checkers take it for true; importing typing would cost as much as the rest of this file
if TYPE_CHECKING:
    from typing import (Any, AsyncIterator, BinaryIO, Callable, Dict, Iterable, Iterator, List, Mapping, NoReturn,
                        Optional, Sequence, Set, Tuple, Type, Union)
    _Dict, _List = Dict[str, Any], List[Any]
else:
    _Dict, _List = dict, list

__version__ = "1.0.0"
__all__ = [
    "run", "stream", "map", "use", "search", "paginate", "async_run", "async_stream", "async_map", "async_search",
    "async_paginate", "main", "Client", "default_client", "models", "predictions", "trainings", "deployments", "files",
    "collections", "hardware", "accounts", "account", "webhooks", "Prediction", "Model", "Version", "Training",
    "Deployment", "File", "Page", "FileOutput", "ServerSentEvent", "ReplicateError", "ReplicateException", "APIError",
    "NetworkError", "ModelError", "PredictionTimeout", "WebhookError",
]

# ---------------------------------------------------------------------------------------------------------------------
# Constants
# ---------------------------------------------------------------------------------------------------------------------

_API = "https://api.replicate.com/v1"  # the server that the API's description names
_TOKENS_PAGE = "https://replicate.com/account/api-tokens"
_RUNNING = ("starting", "processing")  # the only statuses that mean "not over"; a word unknown today ends a wait
_TIMEOUT = 60.0  # seconds a socket operation may take: what curl users choose, and the longest that the API holds one
_HOLD = 60  # seconds: the most that `Prefer: wait` may ask for
_SHORT_HOLD = 4  # seconds that map() asks for, so that what it abandons is known, and cancelled, within _GRACE
_GRACE = 5.0  # seconds for cancelling what is given up; longer, and Ctrl-C feels broken
_POLL = 0.5  # seconds between polls at first, as the official client does
_POLL_SHARE, _POLL_MOST = 0.02, 5.0  # then 2 % of the time elapsed, and never more than 5 s: noticed within 1 % on average
_RETRIES = 5  # with the back-off below some 15 s in all: a restart of a load balancer is survived, a real outage is told
_BACKOFF, _WAIT_MOST = 0.5, 60.0  # seconds: doubled each time, with full jitter; no single wait is longer than a minute
_GAP_LEAST, _GAP_MOST = 0.1, 1.0  # seconds between creations once throttled: 600 a minute, down to low credit's 1 a second
_FRESH = 1.0  # seconds a kept connection may have idled and still carry a creating request: no server closes that soon
_KEPT_FOR, _KEPT_MOST = 50.0, 32  # seconds idle, below the usual 60 of load balancers; connections kept a host
_INTERIM_MOST = 20  # 1xx answers before the real one; more is a fault, not a conversation
_ERROR_MOST = 1 << 16  # bytes of an error's body that are read: problem+json is small, an HTML page may not be
_BLOCK = 1 << 18  # bytes read or sent at a time; larger ones gained nothing when measured
_INLINE_MOST = 256 << 10  # bytes: the API's advice for data URIs; larger files are uploaded
_UPLOAD_MOST = 100 << 20  # bytes: the files API refuses more with a 413, after having taken all of them
_MEMORY_MOST = 2 << 20  # bytes of a file without a known size that are held in memory before a temporary file takes over
_WORKERS = 256  # threads for async_ calls, made as needed: what is awaited at once beyond that waits its turn
_CONCATENATED = "concatenate"  # x-cog-array-display of text that comes in pieces
_NO_ARRAY_TYPE = (0, 3, 9)  # Cog before this one did not mark iterators in the schema: every array may be one

# ---------------------------------------------------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------------------------------------------------


class ReplicateError(Exception):
    """Base of every failure at run time. str() is one line: what failed, why, what to do.

    Attributes, None where there is nothing to say: `status` (HTTP), `title`, `detail`, `type`, `instance` (RFC 9457
    problem details), `method`, `path`, `headers`, `request_id`, `retry_after` (seconds), `body` (str, the first 64 KiB)
    and `prediction`, with which a run can be found again.
    """

    status: Optional[int] = None
    title: Optional[str] = None
    detail: Optional[str] = None
    type: Optional[str] = None
    instance: Optional[str] = None
    method: Optional[str] = None
    path: Optional[str] = None
    headers: Any = None
    request_id: Optional[str] = None
    retry_after: Optional[float] = None
    body: Optional[str] = None
    prediction: Any = None
    _sent = True  # False where the server certainly saw nothing of the request
    _final = False  # True where sending it again cannot help

    def __init__(self, message: Any = None, **facts: Any) -> None:
        for name, value in facts.items():
            if not hasattr(ReplicateError, name):
                raise TypeError(f"an error has no {name!r}")
            setattr(self, name, value)
        if message is None:
            message = ": ".join(str(part) for part in (self.status, self.title, self.detail) if part is not None)
        super().__init__(message)

    def __str__(self) -> str:
        text = " ".join(super().__str__().split())
        known = self.prediction.get("id") if self.prediction is not None else None
        return f"{text} (prediction {known})" if known and known not in text else text


ReplicateException = ReplicateError


class APIError(ReplicateError):
    """The API answered with an error status: see `status`, `title` and `detail`."""


class NetworkError(ReplicateError):
    """No usable answer: DNS, connection, TLS, proxy, time-out, an answer cut short or not in JSON."""


class ModelError(ReplicateError):
    """The run ended, but not in success: `prediction.status`, `prediction.error` and `prediction.logs` tell more."""

    def __init__(self, prediction: Any, message: Any = None) -> None:
        status, why = prediction.get("status"), message or prediction.get("error")
        text = f"prediction {prediction.get('id')} " + ("was canceled" if status == "canceled" else str(status))
        super().__init__(f"{text}: {why}" if why else text, prediction=prediction, detail=why and str(why))

    def __reduce__(self) -> Any:
        return type(self), (self.prediction, self.detail)


class PredictionTimeout(ReplicateError):
    """The `timeout` of a call ended first; `prediction` is the run, where it is known to exist."""


class WebhookError(ReplicateError, ValueError):
    """A webhook that cannot be trusted; the message names what failed."""


WebhookValidationError = MissingWebhookHeaderError = MissingWebhookBodyError = WebhookError  # the names of 1.x
InvalidTimestampError = InvalidSignatureError = InvalidSecretKeyError = WebhookError


class _Abandoned(BaseException):
    """Raised in a worker thread whose caller has left; like KeyboardInterrupt, it is no Exception."""


class _Garbage(ValueError):
    """An answer of status 200 whose body is not what the API sends."""


# ---------------------------------------------------------------------------------------------------------------------
# The client
# ---------------------------------------------------------------------------------------------------------------------

_stop_of_task: contextvars.ContextVar[Optional[_Stop]] = contextvars.ContextVar("replicate_stop", default=None)


class _Clock:
    """Time as a client sees it; tests put one of their own in its place."""

    def now(self) -> float:
        return time.monotonic()

    def sleep(self, seconds: float, stop: Optional[threading.Event] = None) -> None:
        if stop is None:
            time.sleep(seconds)
        else:
            stop.wait(seconds)


class _Stop(threading.Event):
    """The word to give up, said by another thread; it also ends the reads that are under way."""

    def __init__(self) -> None:
        super().__init__()
        self.reading: Set[Any] = set()

    def set(self) -> None:
        super().set()
        for connection in list(self.reading):
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except (OSError, AttributeError):  # it was over in that moment
                pass


class _Call:
    """The limits of one call: when it must have ended, and whether whoever made it has given it up."""

    def __init__(self, client: Client, timeout: Optional[float] = None, stop: Optional[_Stop] = None) -> None:
        if timeout is not None and not (_is_number(timeout) and timeout > 0):
            raise ValueError(f"timeout is a positive number of seconds, or None, not {timeout!r}")
        self.clock = client._clock
        self.started = self.clock.now()
        self.timeout = timeout
        self.deadline = None if timeout is None else self.started + timeout
        self.stop = stop or _stop_of_task.get()
        self.interrupt: Optional[BaseException] = None  # a Ctrl-C that came while a creation was in flight

    def left(self, most: Optional[float]) -> Optional[float]:
        """Seconds that an operation may take: at most `most`, and no more than the call has left."""
        self.check()
        if self.deadline is None:
            return most
        left = self.deadline - self.clock.now()
        if left <= 0:
            raise socket.timeout("timed out")
        return left if most is None else min(left, most)

    def narrowed(self, seconds: Optional[float]) -> _Call:
        """The same call, with a nearer end for a part of it."""
        if seconds is None:
            return self
        part = object.__new__(type(self))
        part.__dict__.update(self.__dict__)
        end = self.clock.now() + seconds
        part.deadline = end if self.deadline is None else min(end, self.deadline)
        return part

    def over(self) -> bool:
        return self.deadline is not None and self.clock.now() >= self.deadline

    def check(self) -> None:
        """Raise what is pending: a Ctrl-C, or the word of another thread to give up."""
        if self.interrupt is not None:
            raise self.interrupt
        if self.stop is not None and self.stop.is_set():
            raise _Abandoned

    def expired(self, more: str = "") -> PredictionTimeout:
        return PredictionTimeout(f"no result within {self.timeout:g} s{more}")

    def sleep(self, seconds: float) -> None:
        """Sleep, but not past the end of the call: then PredictionTimeout."""
        self.check()
        left = math.inf if self.deadline is None else self.deadline - self.clock.now()
        self.clock.sleep(max(0.0, min(seconds, left)), self.stop)
        self.check()
        if seconds >= left:
            raise self.expired()


class _Twinned:
    """Gives every public method of a class its `async_` twin, on the class itself, where programs look for it."""

    _client: Any

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, method in list(vars(cls).items()):
            plain = method.__func__ if isinstance(method, staticmethod) else method
            if not name.startswith(("_", "async_")) and callable(plain) and hasattr(plain, "__code__"):
                twin = _twin(plain)
                setattr(cls, "async_" + name, staticmethod(twin) if isinstance(method, staticmethod) else twin)

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...


def _twin(method: Callable[..., Any]) -> Callable[..., Any]:
    """The asynchronous form of a method: a coroutine, or an asynchronous iterator where it gives an iterator."""
    if method.__annotations__.get("return", "").startswith("Iterator"):
        @functools.wraps(method)
        def iterating(*args: Any, **kwargs: Any) -> _AsyncIterator:
            return _AsyncIterator(functools.partial(method, *args, **kwargs))
        twin: Callable[..., Any] = iterating
    else:
        @functools.wraps(method)
        async def awaiting(*args: Any, **kwargs: Any) -> Any:
            stop = _Stop()
            result = await _in_thread(stop, method, *args, **kwargs)
            return _AsyncIterator(None, result, stop) if isinstance(result, abc.Generator) else result
        twin = awaiting
    twin.__name__ = "async_" + method.__name__
    twin.__qualname__ = ".".join(method.__qualname__.split(".")[:-1] + [twin.__name__])
    return twin


@functools.lru_cache(maxsize=1)
def _workers(process: int) -> Any:
    """The threads of the async_ calls; `process` is os.getpid(), as a forked child has none of its parent's."""
    from concurrent.futures import ThreadPoolExecutor
    return ThreadPoolExecutor(_WORKERS, thread_name_prefix="replicate")


async def _in_thread(stop: _Stop, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Run it in a worker thread, in the caller's context; a cancelled task tells it to stop and hears it out."""
    import asyncio
    context = contextvars.copy_context()
    context.run(_stop_of_task.set, stop)
    work = _workers(os.getpid()).submit(context.run, functools.partial(function, *args, **kwargs))
    waiter = asyncio.wrap_future(work)
    try:
        return await asyncio.shield(waiter)
    except asyncio.CancelledError:
        if not work.cancel():
            stop.set()
            await asyncio.wait([waiter], timeout=_GRACE + 1)
        if waiter.done() and not waiter.cancelled():
            waiter.exception()  # heard, so that the loop does not report it as lost
        raise


class _AsyncIterator:
    """What an async_ twin gives for an iterator: for `async for`, directly or after an `await`."""

    def __init__(self, make: Any, iterator: Any = None, stop: Optional[_Stop] = None) -> None:
        self._make, self._iterator, self._stop = make, iterator, stop or _Stop()

    async def _begin(self) -> _AsyncIterator:
        if self._iterator is None:
            self._iterator = iter(await _in_thread(self._stop, self._make))
        return self

    def __await__(self) -> Any:
        return self._begin().__await__()

    def __aiter__(self) -> _AsyncIterator:
        return self

    async def __anext__(self) -> Any:
        await self._begin()
        item = await _in_thread(self._stop, next, self._iterator, self)
        if item is self:
            raise StopAsyncIteration
        return item

    async def aclose(self) -> None:
        """End the iteration now; a prediction that it started is cancelled."""
        if hasattr(self._iterator, "close"):
            await _in_thread(_Stop(), self._iterator.close)

    def __del__(self) -> None:
        if hasattr(self._iterator, "close"):  # it may have to cancel a prediction: not on the event loop's thread
            try:
                _workers(os.getpid()).submit(self._iterator.close)
            except RuntimeError:  # the interpreter is going down
                self._iterator.close()


class Client(_Twinned):
    """A connection to the API, safe to share between threads. The module-level functions use `default_client`.

    api_token      the token; else, when a request is made, that of the Cog context, else REPLICATE_API_TOKEN
    base_url       the API, with or without /v1; else REPLICATE_BASE_URL, else https://api.replicate.com/v1
    timeout        seconds for each socket operation (60), or an object with a `read` attribute of that meaning
    max_retries    how often a request that may be repeated is (5); 0 turns it off
    poll_interval  seconds between polls at first; else REPLICATE_POLL_INTERVAL, else 0.5
    headers        more headers, for requests to the API's own origin only
    proxies        {"https": "http://user:password@host:port"}; else the environment's; {} for none
    ssl_context    an ssl.SSLContext; else the system's certificates, or those of SSL_CERT_FILE
    """

    def __init__(self, api_token: Optional[str] = None, *, base_url: Optional[str] = None, timeout: Any = None,
                 max_retries: int = _RETRIES, poll_interval: Optional[float] = None,
                 headers: Optional[Mapping[str, str]] = None, proxies: Optional[Mapping[str, str]] = None,
                 ssl_context: Optional[ssl.SSLContext] = None) -> None:
        self._api_token = None if api_token is None else _Secret(_clean_token(api_token, ValueError))
        self._base_url = base_url and _parse_base_url(base_url)
        self._poll_interval = None if poll_interval is None else _interval(poll_interval, "poll_interval")
        if not isinstance(max_retries, int) or max_retries < 0:
            raise ValueError(f"max_retries is a whole number from 0, not {max_retries!r}")
        self._clock = _Clock()
        self._transport = _Transport(self, _seconds(timeout), max_retries, dict(headers or {}), proxies, ssl_context)
        self._iterates: Dict[str, bool] = {}  # by version id: whether its output is an iterator
        self.models = Models(self)
        self.predictions = Predictions(self)
        self.trainings = Trainings(self)
        self.deployments = Deployments(self)
        self.files = Files(self)
        self.collections = Collections(self)
        self.hardware = HardwareNamespace(self)
        self.accounts = self.account = Accounts(self)
        self.webhooks = Webhooks(self)

    def __repr__(self) -> str:
        return f"Client(base_url={self.base_url!r})"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Client holds a token and connections: make one where it is needed instead of pickling it")

    @property
    def base_url(self) -> str:
        """The API's address, ending in /v1."""
        return self._base_url or _parse_base_url(os.environ.get("REPLICATE_BASE_URL") or _API)

    @property
    def poll_interval(self) -> float:
        """Seconds between the first polls of a run."""
        if self._poll_interval is not None:
            return self._poll_interval
        return _interval(os.environ.get("REPLICATE_POLL_INTERVAL") or _POLL, "REPLICATE_POLL_INTERVAL")

    @poll_interval.setter
    def poll_interval(self, seconds: float) -> None:
        self._poll_interval = _interval(seconds, "poll_interval")

    def run(self, ref: Any, input: Optional[Mapping[str, Any]] = None, *, wait: Union[bool, int] = True,
            timeout: Optional[float] = None, webhook: Optional[str] = None,
            webhook_events_filter: Optional[Sequence[str]] = None, cancel_after: Union[str, float, None] = None,
            file_encoding_strategy: Optional[str] = None, use_file_output: bool = True, **params: Any) -> Any:
        """Run a model and return its output; blocks until the run is over.

        ref is "owner/name", "owner/name:version", a version id, "deployments/owner/name", the http(s) address of a
        Cog container, or a Model, Version or Deployment. Where the model's output is an iterator, a generator is
        returned that yields the items while the model runs. Files in the output are FileOutput.

        wait                    True: the creating request is held open up to 60 s; 1 to 60: so many; False: not at all
        timeout                 seconds for the whole call, then PredictionTimeout
        webhook, webhook_events_filter   an address to be told, and of which of start, output, logs, completed
        cancel_after            "5m" or seconds (5 at least): a deadline that the server keeps
        file_encoding_strategy  "base64" or "url": send every file in that way; else by its size
        use_file_output         False: plain strings instead of FileOutput

        Given up (timeout, Ctrl-C, any error), the prediction is cancelled. Raises ModelError when it ends in anything
        but success, PredictionTimeout, APIError, NetworkError. https://replicate.com/docs/topics/predictions
        """
        job = _job(self, ref, input, wait=wait, timeout=timeout, webhook=webhook, cancel_after=cancel_after,
                   webhook_events_filter=webhook_events_filter, file_encoding_strategy=file_encoding_strategy,
                   use_file_output=use_file_output, **params)
        job.start()
        return job.items() if job.target.iterates else job.output()

    def stream(self, ref: Any, input: Optional[Mapping[str, Any]] = None, **options: Any) -> Iterator[ServerSentEvent]:
        """Run a model and yield its output as events, as it is made; str(event) is the text.

        The options are those of run(). Where the model cannot stream it is polled. A dropped connection is resumed.
        Raises ModelError when the run fails or is canceled. An iterator closed before its end cancels the prediction.
        """
        job = _job(self, ref, input, **dict(options, wait=False))
        job.start()
        return job.events()

    def map(self, ref: Any, inputs: Iterable[Any], *, concurrency: int = 8, return_exceptions: bool = False,
            **options: Any) -> Iterator[Any]:
        """Run a model on many inputs, at most `concurrency` at a time; yield the outputs in the order of the inputs.

        inputs is any iterable of dicts, drawn from as runs end. An iterator model's output is the list of its items.
        A failed run raises at its place, or is yielded as the exception with return_exceptions=True. A 429 makes all
        of them hold off. Left early, by an error or Ctrl-C, what still runs is cancelled. Options as for run().
        """
        if isinstance(concurrency, bool) or not isinstance(concurrency, int) or concurrency < 1:
            raise ValueError(f"concurrency is a whole number from 1, not {concurrency!r}")
        if isinstance(inputs, (str, bytes, abc.Mapping)):
            raise TypeError("inputs is an iterable of dicts, one for each run")
        if options.get("wait", True) is True:
            options["wait"] = _SHORT_HOLD
        _job(self, ref, None, check_only=True, **options)
        return self._map(_target(ref), iter(inputs), concurrency, return_exceptions, options)

    def _map(self, target: _Target, inputs: Iterator[Any], concurrency: int, return_exceptions: bool,
             options: Dict[str, Any]) -> Iterator[Any]:
        from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
        stop, pending = _Stop(), deque()  # type: Tuple[_Stop, Any]
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="replicate-map")

        def work(input: Any) -> Any:
            job = _job(self, target, input, stop=stop, **options)
            job.start()
            return list(job.items()) if job.target.iterates else job.output()

        def fill() -> None:
            """Draw inputs while there is a free worker, and not more results wait than workers could make."""
            while sum(not f.done() for f in pending) < concurrency and len(pending) < 2 * concurrency:
                try:
                    pending.append(pool.submit(work, next(inputs)))
                except StopIteration:
                    return

        try:
            fill()
            while pending:
                while not pending[0].done():
                    wait([f for f in pending if not f.done()], return_when=FIRST_COMPLETED)
                    fill()
                error = pending[0].exception()
                if error is not None and not (return_exceptions and isinstance(error, Exception)):
                    raise error
                done = pending.popleft()
                yield error if error is not None else done.result()
                fill()
        finally:
            stop.set()
            for future in pending:
                future.cancel()
            wait(pending, timeout=_GRACE + 1)
            pool.shutdown(wait=False)

    def use(self, ref: Any) -> Function:
        """Return a callable for a model: f(prompt="...") runs it; f.create, f.stream and f.map are there too."""
        return Function(self, ref)

    def search(self, query: str, limit: Optional[int] = None) -> Resource:
        """Search models, collections and pages; limit is 1 to 50 (20). GET /search.

        The result has `models` (each with `model` and `metadata`), `collections`, `pages` and `query`.
        """
        if limit is not None and not (_is_number(limit) and 1 <= limit <= 50):
            raise ValueError(f"limit is 1 to 50, not {limit!r}")
        if not isinstance(query, str):
            raise TypeError(f"query is a str, not {type(query).__name__}")
        return self._fetch("GET", _query("/search", query=query, limit=limit), SearchResults)

    def paginate(self, list_method: Callable[..., Page]) -> Iterator[Page]:
        """Yield the pages of a list method, as paginate(replicate.models.list), following `next`."""
        plain = getattr(list_method, "__wrapped__", None)  # an async_ twin: its method does the same in this thread
        if plain is not None and hasattr(list_method, "__self__"):
            list_method = functools.partial(plain, list_method.__self__)
        page = list_method()
        while True:
            yield page
            if page.next is None:
                return
            page = list_method(page.next)

    # what the other rooms use

    def _token(self) -> str:
        """The token for a request made now; "" where there is none."""
        if self._api_token is not None:
            return self._api_token
        scoped = _cog_token()
        return _clean_token(os.environ.get("REPLICATE_API_TOKEN", "") if scoped is None else scoped, ReplicateError)

    def _fetch(self, method: str, path: str, make: Any = None, body: Any = None, *, read: Any = None, noun: str = "",
               call: Optional[_Call] = None, hold: float = 0.0, headers: Optional[Dict[str, Any]] = None) -> Any:
        """One request to the API: `path` below /v1, or the address of a page. Returns make(answer, client).

        noun names what the request creates: such a request is repeated only when nothing can have been created.
        """
        if not path.startswith("/"):  # a page's address: its path, on the API's own origin
            where = urllib.parse.urlsplit(path)
            path = (where.path.partition("/v1")[2] or where.path) + ("?" + where.query if where.query else "")
        headers = dict(headers or {})
        if zlib is not None:
            headers["Accept-Encoding"] = "gzip"
        if isinstance(body, _Multipart):
            headers.update(body.headers)
        elif body is not None and not isinstance(body, bytes):
            body = json.dumps(body, allow_nan=False).encode()
            headers["Content-Type"] = "application/json"
        if read is None:
            read = _read_run if isinstance(make, type) and issubclass(make, _Run) else _read_object
        answer = self._transport.request(method, self.base_url + path, read, body=body, headers=headers, noun=noun,
                                         hold=hold, call=call or _Call(self))
        return answer if make is None else make(answer, self)


    def _upload(self, source: _Source, filename: Optional[str], content_type: Optional[str], metadata: Any,
                call: _Call) -> File:
        """Upload one file, streamed."""
        source.check_size()
        name = re.sub(r"[\x00-\x1f\x7f]", "_", filename or source.name or "file")
        if len(name.encode()) > 255:
            raise ValueError("filename is longer than 255 bytes, the most that the API takes")
        body = _Multipart(source, name, content_type or _media_type(name, source.head()), metadata)
        return self._fetch("POST", "/files", File, body, noun="file", call=call)


class _Secret(str):
    """A str that does not show itself in a repr, so that no dump of local variables shows the token."""

    def __repr__(self) -> str:
        return "'***'"


def _clean_token(token: str, error: Type[Exception]) -> str:
    """A token without the white space and quotes that copying adds; one that no header can carry is refused."""
    if not isinstance(token, str):
        raise TypeError(f"a token is a str, not {type(token).__name__}")
    token = token.strip().strip("'\"").strip()
    if not all("!" <= character <= "~" for character in token):
        raise error("the API token has a space, control or non-ASCII character in it; copy it anew from " + _TOKENS_PAGE)
    return _Secret(token)


def _cog_token() -> Optional[str]:
    """The token of the Cog request that is being served, so that a model spends its caller's credit, not its host's."""
    try:
        context = sys.modules["cog"].current_scope().context
        return next((value or "" for key, value in context.items() if key.upper() == "REPLICATE_API_TOKEN"), None)
    except Exception:  # no Cog, no request, or another Cog: any of its errors mean that there is no such token
        return None


@functools.lru_cache(maxsize=16)
def _parse_base_url(text: str) -> str:
    """The API's address ending in /v1, from one with or without it."""
    url = text.strip().rstrip("/")
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc or parts.query \
            or parts.fragment or re.search(r"[\s\\\x00-\x20\x7f]", url):
        raise ValueError("base_url (REPLICATE_BASE_URL) is an address such as https://api.replicate.com/v1, "
                         "without a user name, query or fragment")
    return url if url.endswith("/v1") else url + "/v1"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _seconds(timeout: Any) -> float:
    """Client(timeout=) in seconds: a number, or an object with a `read` attribute, as httpx.Timeout."""
    seconds = getattr(timeout, "read", timeout)
    if seconds is None:
        return _TIMEOUT
    if not _is_number(seconds) or seconds <= 0:
        raise ValueError(f"timeout is a positive number of seconds, not {timeout!r}")
    return float(seconds)


def _interval(value: Any, name: str) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not 0 <= seconds < math.inf:
        raise ValueError(f"{name} is a number of seconds, not {value!r}")
    return seconds


class _Job:
    """One run: what to create, where, and how to follow it to its end.

    start() creates the prediction; output(), items() and events() follow it, and each cancels it when it is left by
    an exception before the run is over (promise 3). create() alone leaves it to the caller.
    """

    def __init__(self, client: Client, target: _Target, input: Any, *, wait: Any = True, timeout: Optional[float] = None,
                 webhook: Optional[str] = None, webhook_events_filter: Optional[Sequence[str]] = None,
                 cancel_after: Any = None, file_encoding_strategy: Optional[str] = None, use_file_output: bool = True,
                 stop: Optional[_Stop] = None, kind: Any = None, check_only: bool = False, **params: Any) -> None:
        if isinstance(webhook_events_filter, (str, bytes)):
            raise TypeError("webhook_events_filter is a list, as ['completed']")
        if file_encoding_strategy not in (None, "base64", "url"):
            raise ValueError(f"file_encoding_strategy is 'base64', 'url' or None, not {file_encoding_strategy!r}")
        client.poll_interval  # a bad one is told before anything is created
        self.client, self.target, self.kind = client, target, kind or Prediction
        self.call = _Call(client, timeout, stop)
        self.wait = _hold_seconds(wait)
        self.headers = {} if cancel_after is None else {"Cancel-After": _duration(cancel_after)}
        self.use_file_output = use_file_output
        self.prediction: Any = None
        self.inputs = _Inputs(file_encoding_strategy)
        encoded = None if check_only else self.inputs.encode(input)
        events = None if webhook_events_filter is None else list(webhook_events_filter)
        more = dict(params, webhook=webhook, webhook_events_filter=events)
        self.body = dict({key: value for key, value in more.items() if value is not None}, input=encoded)
        json.dumps(more, allow_nan=False)  # what JSON cannot say is told here, before any request

    def __enter__(self) -> _Job:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if error is None or self.prediction is None:
            return
        if isinstance(error, ReplicateError) and error.prediction is None:
            error.prediction = self.prediction
        if self.prediction._running:
            try:
                self.cancel(_Call(self.client, _GRACE, _Stop()))
                _log("cancelled %s", self.prediction.get("id"))
            except Exception as failure:  # best effort: the cause is what the caller has to hear
                _log("could not cancel %s: %s", self.prediction.get("id"), failure)

    def cancel(self, call: _Call) -> None:
        """Ask once, on a connection that is certain to be alive."""
        self.prediction._take(self.client._fetch("POST", self.prediction._path("cancel"), call=call, noun="cancel"))

    def create(self) -> Any:
        """Upload the files, create the prediction and return it."""
        self.inputs.upload(self.client, self.call)
        hold = 0 if self.target.iterates else self.wait
        if self.call.deadline is not None:  # so that the answer, and with it the id, is here before the time is up
            hold = min(hold, max(0, int(self.call.deadline - self.call.clock.now()) - 1))
        headers = dict(self.headers)
        if hold:
            headers["Prefer"] = "wait" if hold == _HOLD else f"wait={hold}"
        noun = self.kind.__name__.lower()
        return self.client._fetch("POST", self.target.path, self.kind, dict(self.target.body, **self.body), noun=noun,
                                  call=self.call, hold=hold, headers=headers)

    def start(self) -> None:
        """Create the prediction, and learn whether its output is an iterator."""
        with self:
            self.target.look_up(self.client, self.call)
            try:
                self.prediction = self.create()
            except APIError as error:
                if error.status != 404 or not self.target.resolve_latest(self.client, self.call):
                    raise
                self.prediction = self.create()
            self.call.check()  # a Ctrl-C that came in between is raised here, where the prediction can be cancelled
            self.target.look_up(self.client, self.call, self.prediction)

    def created(self) -> Any:
        """Create the prediction and hand it over."""
        self.start()
        return self.prediction

    def output(self) -> Any:
        """Wait for the end and return the output."""
        with self:
            self.prediction._wait(self.call)
            self.prediction._must_have_succeeded()
        output = self.prediction.get("output")
        return _files(output, self.client) if self.use_file_output else output

    def items(self) -> Iterator[Any]:
        """Return a generator of the output's items as they come."""
        return self._guarded(_files(item, self.client) if self.use_file_output else item
                             for item in self.prediction._items(self.call))

    def events(self) -> Iterator[ServerSentEvent]:
        """Return a generator of the output as events."""
        return self._guarded(self.prediction._events(self.call, self.use_file_output))

    def _guarded(self, values: Iterator[Any]) -> Iterator[Any]:
        """A generator that has entered the guard already, so that closing it unused cancels what was started."""
        def generator() -> Iterator[Any]:
            with self:
                yield None
                yield from values
        entered = generator()
        next(entered)
        return entered


def _job(client: Client, ref: Any, input: Any, **options: Any) -> _Job:
    target = ref if isinstance(ref, _Target) else _target(ref)
    return (_CogJob if target.cog else _Job)(client, target, input, **options)




class Function(_Twinned):
    """What use() gives: a model as a function of its inputs."""

    def __init__(self, client: Client, ref: Any) -> None:
        _target(ref)  # a wrong one is told now
        self._client, self._ref = client, ref

    def run(self, /, **input: Any) -> Any:
        """Run the model and return its output, as Client.run; f(...) is the same."""
        return self._client.run(self._ref, input)

    __call__ = run

    def create(self, /, **input: Any) -> Prediction:
        """Create a prediction and return it at once. It is then yours to follow, and to cancel."""
        return _job(self._client, self._ref, input, wait=False).created()

    def stream(self, /, **input: Any) -> Iterator[ServerSentEvent]:
        """Run the model and yield its output as events, as Client.stream."""
        return self._client.stream(self._ref, input)

    def map(self, inputs: Iterable[Any], **options: Any) -> Iterator[Any]:
        """Run the model on many inputs, as Client.map."""
        return self._client.map(self._ref, inputs, **options)

    def __repr__(self) -> str:
        return f"<the model {self._ref}>"

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """The model's inputs, fetched when somebody asks, as help() does."""
        try:
            return _describe(self._ref, *_description(self._client, self._ref))
        except ReplicateError as error:
            return f"The model {self._ref}; its inputs cannot be shown now: {error}"

# ---------------------------------------------------------------------------------------------------------------------
# Resources
# ---------------------------------------------------------------------------------------------------------------------


class Resource(_Twinned, _Dict):
    """An object of the API: a dict whose keys are attributes too. A known field that is not there reads as None.

    Where a key is also a method of dict, the method wins: `prediction.urls["get"]`.
    """

    _known: Set[str] = set()
    _kinds: Dict[str, Any] = {}  # fields that are resources of their own
    _brief: Sequence[str] = ()  # what the repr shows; by default the first plain values

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._known = cls._known | {n for n in getattr(cls, "__annotations__", {}) if not n.startswith("_")}

    def __init__(self, data: Any = (), client: Optional[Client] = None, **fields: Any) -> None:
        super().__init__(data, **fields)
        object.__setattr__(self, "_own_client", client)

    @property
    def _client(self) -> Client:  # type: ignore[override]
        return self.__dict__.get("_own_client") or default_client

    def __getattr__(self, name: str) -> Any:
        try:
            value = self[name]
        except KeyError:
            if name in self._known:
                return None
            names = sorted(key for key in {*self, *self._known} if isinstance(key, str))
            raise AttributeError(f"{type(self).__name__} has no {name!r}; it has {', '.join(names)}") from None
        if type(value) in (dict, list, str):
            made = self._adapt(name, value)
            if made is not value:
                self[name] = value = made  # once made, it is the same object at each access
        return value

    def _adapt(self, name: str, value: Any) -> Any:
        return _made(self._kinds.get(name, Resource), value, self.__dict__.get("_own_client"))

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_") or hasattr(type(self), name):
            object.__setattr__(self, name, value)
        else:
            self[name] = value

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *self._known, *(key for key in self if isinstance(key, str))})

    def __reduce__(self) -> Any:
        return type(self), (_Dict(self),)

    def __copy__(self) -> Any:
        return type(self)(self)

    def __repr__(self) -> str:
        plain = [key for key, value in self.items() if isinstance(value, (str, int, float)) and value != ""]
        shown = [key for key in self._brief if self.get(key) is not None] or plain[:3]
        return f"{type(self).__name__}({', '.join(f'{key}={_short(self[key])}' for key in shown)})"

    def dict(self) -> Any:
        """The same as plain dicts and lists (a name of 1.x)."""
        return json.loads(json.dumps(self))

    def json(self) -> str:
        """The same as JSON text (a name of 1.x)."""
        return json.dumps(self)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:76] + "..." + text[-1]


def _made(kind: Any, value: Any, client: Any) -> Any:
    """JSON as the resources of a kind; lists item by item, plain values as they are."""
    if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, Resource):
        return value if isinstance(value, Resource) else kind(value, client)
    if isinstance(value, list) and kind not in (None, dict):
        return [_made(kind, item, client) for item in value] if any(type(v) in (dict, list) for v in value) else value
    return value


class Account(Resource):
    """A user or an organization."""

    type: str  # "user" or "organization"
    username: str  # the name in the addresses of its models
    name: Optional[str]  # its full name
    github_url: Optional[str]  # its page on GitHub
    avatar_url: Optional[str]  # its picture
    _brief = ("type", "username")


class Version(Resource):
    """One version of a model, with the schema of its inputs and output."""

    id: str  # 64 hexadecimal characters
    created_at: str  # ISO 8601
    cog_version: Optional[str]  # the Cog that built it
    openapi_schema: Optional[Dict[str, Any]]  # components.schemas.Input and .Output describe the model
    _brief = ("id",)

    def predict(self, /, **input: Any) -> Any:
        """Run this version on the inputs and return the output, as Client.run. Blocks until it is over."""
        return self._client.run(self, input)

    def create(self, /, **input: Any) -> Prediction:
        """Create a prediction and return it at once."""
        return _job(self._client, self, input, wait=False).created()

    def stream(self, /, **input: Any) -> Iterator[ServerSentEvent]:
        """Run this version and yield its output as events, as Client.stream."""
        return self._client.stream(self, input)


class _Run(Resource):
    """What predictions and trainings share: they run, and can be waited for, looked at and cancelled."""

    id: str  # names it in every other request
    model: str  # "owner/name"
    version: str  # the version's id; "hidden" for official models
    status: str  # starting, processing, succeeded, failed, canceled or aborted
    input: Optional[Dict[str, Any]]  # what it was given; removed after an hour
    output: Any  # what it made so far; removed after an hour
    logs: Optional[str]  # what it printed so far
    error: Optional[str]  # why it failed
    metrics: Optional[Dict[str, Any]]  # predict_time and total_time in seconds
    created_at: Optional[str]  # ISO 8601, as are the other times
    started_at: Optional[str]
    completed_at: Optional[str]
    source: Optional[str]  # "api" or "web"
    urls: Optional[Dict[str, str]]  # get, cancel, web and, where it can stream, stream
    webhook: Optional[str]  # the address that is told
    _brief = ("id", "status", "model")
    _collection = ""

    @property
    def _running(self) -> bool:
        return self.get("status") in _RUNNING

    def _path(self, *more: str) -> str:
        return _path(self._collection, self["id"], *more)

    def _take(self, fresh: Mapping[str, Any]) -> None:
        """Become what the API says now."""
        if "status" in fresh:
            self.clear()
            self.update(fresh)

    def _adapt(self, name: str, value: Any) -> Any:
        value = super()._adapt(name, value)
        return _files(value, self.__dict__.get("_own_client")) if name == "output" else value

    def _reload(self, call: _Call) -> None:
        self._take(self._client._fetch("GET", self._path(), _Run, call=call))

    def _polls(self, call: _Call) -> Iterator[None]:
        """Sleep and look again, until it has ended."""
        while self._running:
            elapsed = call.clock.now() - call.started
            call.sleep(max(self._client.poll_interval, min(_POLL_MOST, _POLL_SHARE * elapsed)))
            self._reload(call)
            yield

    def _wait(self, call: _Call) -> None:
        for _ in self._polls(call):
            pass

    def _must_have_succeeded(self) -> None:
        if self.get("status") != "succeeded":
            raise ModelError(self)

    def reload(self) -> None:
        """Load its present state."""
        self._reload(_Call(self._client))

    def cancel(self) -> None:
        """Cancel it; one that is over stays as it is."""
        self._take(self._client._fetch("POST", self._path("cancel")))

    def wait(self, timeout: Optional[float] = None) -> None:
        """Block until it is over, or raise PredictionTimeout after so many seconds; it is not cancelled.

        Returns None, also when the run failed: see `status` and `error`.
        """
        with _Carried(self):
            self._wait(_Call(self._client, timeout))

    @property
    def progress(self) -> Optional[Progress]:
        """How far it is, from the last line of a tqdm progress bar in its logs; None where there is none."""
        return Progress.parse(self.get("logs") or "")


class _Carried:
    """Puts a run on the errors that leave a block, so that it can be found again (promise 2)."""

    def __init__(self, run: Any) -> None:
        self.run = run

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, ReplicateError) and error.prediction is None:
            error.prediction = self.run


class Progress(namedtuple("Progress", "percentage current total")):
    """percentage from 0 to 1, and the items done of the total."""

    _bar = re.compile(r"(\d+)%\s*\|[^|]*\|\s*(\d+)/(\d+)")

    @classmethod
    def parse(cls, logs: str) -> Optional[Progress]:
        for line in reversed(re.split(r"[\r\n]", logs)):
            bar = cls._bar.search(line)
            if bar:
                percentage, current, total = (int(number) for number in bar.groups())
                return cls(percentage / 100, current, total)
        return None


class Prediction(_Run):
    """A run of a model. https://replicate.com/docs/reference/http#predictions.get"""

    data_removed: Optional[bool]  # whether input and output were deleted
    deadline: Optional[str]  # when the server will cancel it
    deployment: Optional[str]  # the deployment that runs it
    Progress = Progress
    _collection = "predictions"

    def output_iterator(self) -> Iterator[Any]:
        """Yield the output's items from the first one, as they come; of a growing string its new tails.

        Blocks between items. Raises ModelError after the items that did come; does not cancel.
        """
        with _Carried(self):
            for item in self._items(_Call(self._client)):
                yield _files(item, self._client)

    def stream(self, use_file_output: bool = True) -> Iterator[ServerSentEvent]:
        """Yield the output as events, from the first one. Raises ModelError; does not cancel."""
        with _Carried(self):
            yield from self._events(_Call(self._client), use_file_output is not False)

    def _items(self, call: _Call) -> Iterator[Any]:
        seen: Any = None  # the items, or the text, that have been yielded
        polls = self._polls(call)
        while True:
            output = self.get("output")
            text = isinstance(output, str) and not _is_file(output)
            if isinstance(output, list):
                done = len(seen or ())
                seen = output if len(output) >= done else seen
                yield from output[done:]
            elif text and output.startswith(seen or ""):
                tail, seen = output[len(seen or ""):], output
                if tail:
                    yield tail
            if next(polls, self) is self:
                break
        if seen is None and output is not None and self.get("status") == "succeeded":
            yield output
        self._must_have_succeeded()

    def _events(self, call: _Call, use_file_output: bool) -> Iterator[ServerSentEvent]:
        if (self.get("urls") or {}).get("stream"):
            return _streamed(self, call, use_file_output)
        return self._polled(call, use_file_output, "")

    def _polled(self, call: _Call, use_file_output: bool, known: str) -> Iterator[ServerSentEvent]:
        """The events of a run without a stream, or whose stream is gone after the text `known`."""
        skip = len(known)
        for item in self._items(call):
            data = item if isinstance(item, str) else json.dumps(item)
            fresh, skip = data[skip:], max(0, skip - len(data))
            if fresh or not data:
                yield _event("output", fresh, "", self._client if use_file_output else None)
        yield ServerSentEvent("done", "{}")


class Training(_Run):
    """A training, which makes a new version of `output.version`."""

    _collection = "trainings"

    @property
    def destination(self) -> Optional[str]:
        """The model that the training pushes to, "owner/name", where it is known."""
        made = self.get("output")
        version = made.get("version") if isinstance(made, dict) else None
        return self.get("destination") or (str(version).partition(":")[0] if version else None)


class Model(Resource):
    """A model: what it is, and its latest version."""

    url: str  # its page
    owner: str  # the user or organization
    name: str
    description: Optional[str]
    visibility: str  # "public" or "private"
    is_official: Optional[bool]  # run by name, always on
    github_url: Optional[str]
    paper_url: Optional[str]
    license_url: Optional[str]
    run_count: Optional[int]
    cover_image_url: Optional[str]
    default_example: Optional[Prediction]
    latest_version: Optional[Version]
    _kinds = {"latest_version": Version, "default_example": Prediction}
    _brief = ("owner", "name")

    @property
    def id(self) -> str:
        """ "owner/name" """
        return f"{self['owner']}/{self['name']}"

    @property
    def versions(self) -> Versions:
        """The model's versions: .list(), .get(id), .delete(id)."""
        return Versions(self._client, self.id)

    def reload(self) -> None:
        """Load its present state."""
        fresh = self._client.models.get(self.id)
        self.clear()
        self.update(fresh)

    def predict(self, /, **input: Any) -> Any:
        """Run the model (its latest version, if it is not official) and return the output, as Client.run."""
        return self._client.run(self, input)


class Deployment(Resource):
    """A model version on hardware of one's own choosing; `current_release.configuration` tells which."""

    owner: str
    name: str
    current_release: Any  # number, model, version, created_at, created_by, configuration
    _brief = ("owner", "name")

    @property
    def id(self) -> str:
        """ "owner/name" """
        return f"{self['owner']}/{self['name']}"

    @property
    def predictions(self) -> DeploymentPredictions:
        """Runs of this deployment: .create(input, ...)."""
        return DeploymentPredictions(self._client, self.id)


class File(Resource):
    """An uploaded file, gone after 24 hours. It may be given as an input as it is."""

    id: str
    name: Optional[str]
    content_type: str
    size: int  # bytes
    etag: Optional[str]
    checksums: Dict[str, str]  # sha256, md5
    metadata: Dict[str, Any]  # what was given when it was made
    created_at: str
    expires_at: Optional[str]
    urls: Dict[str, str]  # get
    _brief = ("id", "name", "size")


class Collection(Resource):
    """A collection of models."""

    name: str
    slug: str  # names it in collections.get
    description: str
    full_description: Optional[str]  # Markdown
    models: Optional[List[Model]]
    _kinds = {"models": Model}
    _brief = ("slug", "name")


class Hardware(Resource):
    """A kind of machine; `sku` names it in models.create and deployments.create."""

    name: str
    sku: str
    _brief = ("name", "sku")


class SearchMatch(Resource):
    """A model that search() found, and how well it fits."""

    model: Model
    metadata: Any  # generated_description, tags, score
    _kinds = {"model": Model}


class SearchResults(Resource):
    """What search() found."""

    query: str
    models: List[SearchMatch]
    collections: List[Collection]
    pages: List[Resource]  # name and href
    _kinds = {"models": SearchMatch, "collections": Collection}


class WebhookSigningSecret(Resource):
    """The secret that signs webhooks, as `key`; its repr does not show it."""

    key: str  # "whsec_..."

    def __repr__(self) -> str:
        return "WebhookSigningSecret(key='***')"


class Page(_Twinned, _List):
    """A list of one page's results, with the addresses of its neighbours."""

    def __init__(self, results: Iterable[Any] = (), next: Optional[str] = None, previous: Optional[str] = None,
                 kind: Any = Resource, client: Optional[Client] = None) -> None:
        super().__init__(results)
        self.next, self.previous = next, previous
        self._kind, self._own_client = kind, client

    @property
    def _client(self) -> Client:  # type: ignore[override]
        return self._own_client or default_client

    @property
    def results(self) -> List[Any]:
        """The results, as a list."""
        return _List(self)

    def iter_all(self) -> Iterator[Any]:
        """Yield this page's results and those of all pages after it, each fetched when it is reached."""
        page, seen = self, {self.next}
        while True:
            yield from page
            if page.next is None:
                return
            page = self._client._fetch("GET", page.next, functools.partial(_page_of, self._kind))
            if page.next in seen:  # a circle would never end
                return
            seen.add(page.next)

    def __reduce__(self) -> Any:
        return type(self), (_List(self), self.next, self.previous, self._kind)


def _page_of(kind: Any, data: Any, client: Client) -> Page:
    """A page from the API's answer; "null" as text has been seen in the place of null."""
    around = (None if data.get(side) in (None, "", "null") else data[side] for side in ("next", "previous"))
    return Page(_made(kind, data.get("results") or [], client), *around, kind=kind, client=client)


# ---------------------------------------------------------------------------------------------------------------------
# Endpoints
# ---------------------------------------------------------------------------------------------------------------------


def _path(*segments: Any) -> str:
    """A path below /v1: each segment quoted, none that could lead to another path (RFC 3986, section 3.3)."""
    for segment in segments:
        if not isinstance(segment, str) or segment in ("", ".", ".."):
            raise ValueError(f"{segment!r} cannot name anything in the API")
    return "/" + "/".join(urllib.parse.quote(segment, safe="") for segment in segments)


def _query(path: str, **parameters: Any) -> str:
    given = {key: value.isoformat() if hasattr(value, "isoformat") else value
             for key, value in parameters.items() if value is not None}
    return path + ("?" + urllib.parse.urlencode(given) if given else "")


_NAMES = ("key", "model", "deployment", "owner", "model_owner", "deployment_owner", "name", "model_name",
          "deployment_name", "id", "version", "version_id")  # the keywords of 1.x and of the API, in the order of a path


def _names(given: Sequence[Any], named: Dict[str, Any], parts: str) -> List[str]:
    """The `parts` of a path, as "owner/name:id", from all the forms that callers write.

    Those are "owner", "name"; "owner/name"; ("owner", "name"); the resource itself; each with the id after it or in
    it; and the same as keywords. Keywords that name no part are left in `named`, where there may be others.
    """
    things = [*given, *(named.pop(name) for name in _NAMES if name in named)]
    found: List[Any] = []
    for thing in things:
        if isinstance(thing, Resource):
            thing = thing.id
        if isinstance(thing, tuple):
            found += thing
        else:
            found += re.split("[/:]", thing) if isinstance(thing, str) and not found else [thing]
    if len(found) != len(re.split("[/:]", parts)):
        raise (ValueError if things else TypeError)(f"expected {parts}, not {', '.join(repr(t) for t in things) or 'nothing'}")
    return found


def _named_path(kind: str, name: Sequence[Any], names: Dict[str, Any], *more: str) -> str:
    """The path of a model or deployment, where no other keyword is taken."""
    path = _path(kind, *_names(name, names, "owner/name"), *more)
    if names:
        raise TypeError(f"unexpected argument: {', '.join(sorted(names))}")
    return path


def _plain(params: Dict[str, Any]) -> Dict[str, Any]:
    """Parameters of a create or update as JSON: resources by their ids, None left out, the rest passed on."""
    def plain(value: Any) -> Any:
        if isinstance(value, (Model, Version, Deployment)):
            return value.id
        return "/".join(value) if isinstance(value, tuple) else value
    return {key: plain(value) for key, value in params.items() if value is not None}


def _id(thing: Any) -> Any:
    return thing.id if isinstance(thing, Resource) else thing


class Namespace(_Twinned):
    """The methods about one kind of thing; every one has an async_ twin."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def _page(self, path: str, kind: Any, cursor: Any = ..., **query: Any) -> Page:
        if cursor is None:
            raise ValueError("cursor is None: there is no further page (leave cursor out for the first one)")
        where = _query(path, **query) if cursor is ... else cursor
        return self._client._fetch("GET", where, functools.partial(_page_of, kind))


class Predictions(Namespace):
    """Runs of models. https://replicate.com/docs/reference/http#predictions"""

    def create(self, version: Any = None, input: Optional[Mapping[str, Any]] = None, *, model: Any = None,
               deployment: Any = None, wait: Union[bool, int, None] = None, **options: Any) -> Prediction:
        """Create a prediction by version, model= (official ones) or deployment= and return it at once. POST /predictions.

        wait=True or 1 to 60 holds the request so many seconds for the model to finish; it never polls. Options are
        webhook, webhook_events_filter, cancel_after and file_encoding_strategy, as in run(); others pass to the API.
        """
        if sum(thing is not None for thing in (version, model, deployment)) != 1:
            raise ValueError("exactly one of version, model and deployment says what to run")
        if version is not None:
            target = _Target("/predictions", {"version": _id(version)})
            if not isinstance(_id(version), str):
                raise TypeError(f"version is an id or a Version, not {version!r}")
        elif model is not None:
            target = _Target(_path("models", *_names([model], {}, "owner/name"), "predictions"))
        else:
            target = _Target(_path("deployments", *_names([deployment], {}, "owner/name"), "predictions"))
        for only in ("timeout", "use_file_output", "stop", "kind", "check_only"):  # what run() knows, and the API does not
            if only in options:
                raise TypeError(f"unexpected argument: {only}")
        return _Job(self._client, target, input, wait=wait, **options).create()

    def get(self, id: str) -> Prediction:
        """Return the prediction's present state. GET /predictions/{id}."""
        return self._client._fetch("GET", _path("predictions", _id(id)), Prediction)

    def list(self, cursor: Any = ..., *, created_after: Any = None, created_before: Any = None,
             source: Optional[str] = None) -> Page:
        """Return a page of your predictions, newest first; times are ISO 8601 or datetime; source "web". GET /predictions."""
        return self._page("/predictions", Prediction, cursor, created_after=created_after, created_before=created_before,
                          source=source)

    def cancel(self, id: str) -> Prediction:
        """Cancel a prediction and return it. POST /predictions/{id}/cancel."""
        return self._client._fetch("POST", _path("predictions", _id(id), "cancel"), Prediction)


class ModelsPredictions(Namespace):
    """Runs of official models."""

    def create(self, model: Any, input: Optional[Mapping[str, Any]] = None, **options: Any) -> Prediction:
        """Create a prediction of an official model. POST /models/{owner}/{name}/predictions."""
        return self._client.predictions.create(model=model, input=input, **options)


class DeploymentsPredictions(Namespace):
    """Runs of deployments."""

    def create(self, deployment: Any, input: Optional[Mapping[str, Any]] = None, **options: Any) -> Prediction:
        """Create a prediction on a deployment. POST /deployments/{owner}/{name}/predictions."""
        return self._client.predictions.create(deployment=deployment, input=input, **options)


class DeploymentPredictions(Namespace):
    """Runs of one deployment."""

    def __init__(self, client: Client, deployment: Any) -> None:
        super().__init__(client)
        self._deployment = deployment

    def create(self, input: Optional[Mapping[str, Any]] = None, **options: Any) -> Prediction:
        """Create a prediction on this deployment. POST /deployments/{owner}/{name}/predictions."""
        return self._client.predictions.create(deployment=self._deployment, input=input, **options)


class Versions(Namespace):
    """Versions of a model: of the one named first, or of the one whose `versions` this is."""

    def __init__(self, client: Client, model: Any = None) -> None:
        super().__init__(client)
        self._model = () if model is None else tuple(_names([model], {}, "owner/name"))

    def _version(self, given: Sequence[Any], named: Dict[str, Any]) -> str:
        if self._model and len(given) + len(named) == 1:
            return _path("models", *self._model, "versions", *(_id(thing) for thing in (*given, *named.values())))
        owner, name, version = _names(given, named, "owner/name:id")
        return _named_path("models", (owner, name), named, "versions", version)

    def get(self, *name: Any, **names: Any) -> Version:
        """Return a version: get("owner/name", id), get("owner/name:id"), model.versions.get(id).

        GET /models/{owner}/{name}/versions/{id}.
        """
        return self._client._fetch("GET", self._version(name, names), Version)

    def list(self, *name: Any, cursor: Any = ..., **names: Any) -> Page:
        """Return a page of versions, newest first: list("owner/name"), model.versions.list(). GET /models/.../versions."""
        if self._model:
            cursor, name = name[0] if name else cursor, self._model
        return self._page(_named_path("models", name, names, "versions"), Version, cursor)

    def delete(self, *name: Any, **names: Any) -> bool:
        """Delete a version of a private model, with its predictions; True. DELETE /models/{owner}/{name}/versions/{id}."""
        return self._client._fetch("DELETE", self._version(name, names), read=_read_nothing)


class Examples(Namespace):
    """Predictions that a model's author saved as examples."""

    def list(self, *name: Any, cursor: Any = ..., **names: Any) -> Page:
        """Return a page of a model's examples. GET /models/{owner}/{name}/examples."""
        return self._page(_named_path("models", name, names, "examples"), Prediction, cursor)


class Readme(Namespace):
    """A model's README."""

    def get(self, *name: Any, **names: Any) -> str:
        """Return a model's README as Markdown text. GET /models/{owner}/{name}/readme."""
        path = _named_path("models", name, names, "readme")
        return self._client._fetch("GET", path, read=_read_text, headers={"Accept": "text/plain"})


class Models(Namespace):
    """Models. https://replicate.com/docs/reference/http#models"""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.versions = Versions(client)
        self.examples = Examples(client)
        self.readme = Readme(client)
        self.predictions = ModelsPredictions(client)

    def get(self, *name: Any, **names: Any) -> Model:
        """Return a model: get("owner/name"), get("owner", "name"). GET /models/{owner}/{name}."""
        path = _named_path("models", name, names)
        return self._client._fetch("GET", path, Model)

    def list(self, cursor: Any = ..., *, sort_by: Optional[str] = None, sort_direction: Optional[str] = None) -> Page:
        """Return a page of public models, sorted by model_created_at or latest_version_created_at, asc or desc. GET /models."""
        return self._page("/models", Model, cursor, sort_by=sort_by, sort_direction=sort_direction)

    def search(self, query: str) -> Page:
        """Return a page of the public models that match. QUERY /models; client.search() is newer and finds more."""
        if not isinstance(query, str):
            raise TypeError(f"query is a str, not {type(query).__name__}")
        return self._client._fetch("QUERY", "/models", functools.partial(_page_of, Model), query.encode(),
                                   headers={"Content-Type": "text/plain"})

    def create(self, owner: str, name: str, *, visibility: str, hardware: str, **params: Any) -> Model:
        """Create a model ("public" or "private"; hardware is a sku); more fields pass on. POST /models."""
        body = _plain(dict(params, owner=owner, name=name, visibility=visibility, hardware=_sku(hardware)))
        return self._client._fetch("POST", "/models", Model, body, noun="model")

    def update(self, *name: Any, **params: Any) -> Model:
        """Change a model's description, readme, github_url, paper_url, weights_url, license_url... PATCH /models/..."""
        path = _path("models", *_names(name, params, "owner/name"))
        return self._client._fetch("PATCH", path, Model, _plain(params), noun="change")

    def delete(self, *name: Any, **names: Any) -> bool:
        """Delete a private model that has no versions; True. DELETE /models/{owner}/{name}."""
        path = _named_path("models", name, names)
        return self._client._fetch("DELETE", path, read=_read_nothing)


def _sku(hardware: Any) -> Any:
    return hardware["sku"] if isinstance(hardware, Hardware) else hardware


class Trainings(Namespace):
    """Trainings. https://replicate.com/docs/reference/http#trainings"""

    def create(self, *args: Any, model: Any = None, version: Any = None, input: Optional[Mapping[str, Any]] = None,
               destination: Any = None, **options: Any) -> Training:
        """Start a training and return it at once: version="owner/name:id", or model= and version=.

        destination is "owner/name" of an existing model of yours. Options are webhook, webhook_events_filter and
        file_encoding_strategy; others pass to the API. By position: version, input, destination, webhook,
        webhook_completed, webhook_events_filter. POST /models/{owner}/{name}/versions/{id}/trainings.
        """
        names = ("version", "input", "destination", "webhook", "webhook_completed", "webhook_events_filter")
        if len(args) > len(names):
            raise TypeError(f"at most {len(names)} arguments by position")
        given = dict(zip(names, args))
        version, input = given.pop("version", version), given.pop("input", input)
        destination = given.pop("destination", destination)
        owner, name, id = _names([thing for thing in (model, version) if thing is not None], {}, "owner/name:id")
        if destination is None:
            raise ValueError("destination is missing: the model to push to, as 'owner/name'")
        target = _Target(_path("models", owner, name, "versions", id, "trainings"))
        body = _plain({"destination": destination})
        return _Job(self._client, target, input, wait=False, kind=Training, **dict(options, **given), **body).create()

    def get(self, id: str) -> Training:
        """Return the training's present state. GET /trainings/{id}."""
        return self._client._fetch("GET", _path("trainings", _id(id)), Training)

    def list(self, cursor: Any = ...) -> Page:
        """Return a page of your trainings, newest first. GET /trainings."""
        return self._page("/trainings", Training, cursor)

    def cancel(self, id: str) -> Training:
        """Cancel a training and return it. POST /trainings/{id}/cancel."""
        return self._client._fetch("POST", _path("trainings", _id(id), "cancel"), Training)


class Deployments(Namespace):
    """Deployments. https://replicate.com/docs/reference/http#deployments"""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.predictions = DeploymentsPredictions(client)

    def get(self, *name: Any, **names: Any) -> Deployment:
        """Return a deployment: get("owner/name"), get("owner", "name"). GET /deployments/{owner}/{name}."""
        path = _named_path("deployments", name, names)
        return self._client._fetch("GET", path, Deployment)

    def list(self, cursor: Any = ...) -> Page:
        """Return a page of your deployments. GET /deployments."""
        return self._page("/deployments", Deployment, cursor)

    def create(self, name: str, model: Any, version: Any, hardware: str, min_instances: int, max_instances: int,
               **params: Any) -> Deployment:
        """Create a deployment of a model's version on hardware (a sku); more fields pass on. POST /deployments."""
        body = dict(params, name=name.rpartition("/")[2], model=model, version=version, hardware=_sku(hardware),
                    min_instances=min_instances, max_instances=max_instances)
        return self._client._fetch("POST", "/deployments", Deployment, _plain(body), noun="deployment")

    def update(self, *name: Any, **params: Any) -> Deployment:
        """Change version, hardware, min_instances or max_instances. PATCH /deployments/{owner}/{name}."""
        version = params.pop("version", None)
        path = _path("deployments", *_names(name, params, "owner/name"))
        body = _plain(dict(params, version=version, hardware=_sku(params.get("hardware"))))
        return self._client._fetch("PATCH", path, Deployment, body, noun="change")

    def delete(self, *name: Any, **names: Any) -> bool:
        """Delete a deployment that has been idle for 15 minutes; True. DELETE /deployments/{owner}/{name}."""
        path = _named_path("deployments", name, names)
        return self._client._fetch("DELETE", path, read=_read_nothing)


class Files(Namespace):
    """Uploaded files. https://replicate.com/docs/reference/http#files"""

    def create(self, file: Any, filename: Optional[str] = None, content_type: Optional[str] = None,
               metadata: Optional[Mapping[str, Any]] = None) -> File:
        """Upload a file of 100 MiB at most, streamed from where it stands. POST /files.

        file is a path, bytes, or anything with read(); filename and content_type are told from it if not given.
        """
        with _Source(file if not isinstance(file, str) else _FilePath(file), "file") as source:
            return self._client._upload(source, filename, content_type, metadata, _Call(self._client))

    def get(self, file_id: Any) -> File:
        """Return what is known of an uploaded file. GET /files/{id}."""
        return self._client._fetch("GET", _path("files", _id(file_id)), File)

    def list(self, cursor: Any = ...) -> Page:
        """Return a page of your files, newest first. GET /files."""
        return self._page("/files", File, cursor)

    def delete(self, file_id: Any) -> bool:
        """Delete a file; True. DELETE /files/{id}."""
        return self._client._fetch("DELETE", _path("files", _id(file_id)), read=_read_nothing)

    def download(self, file_id: Any, *, owner: str, expiry: Any, signature: str) -> bytes:
        """Return the content of a file that its owner signed for until `expiry` (Unix time). GET /files/{id}/download."""
        path = _query(_path("files", _id(file_id), "download"), owner=owner, expiry=expiry, signature=signature)
        return self._client._fetch("GET", path, read=_read_bytes, headers={"Accept": "*/*"})


class Collections(Namespace):
    """Collections of models. https://replicate.com/docs/reference/http#collections"""

    def list(self, cursor: Any = ...) -> Page:
        """Return a page of collections, without their models. GET /collections."""
        return self._page("/collections", Collection, cursor)

    def get(self, slug: str) -> Collection:
        """Return a collection with its models. GET /collections/{slug}."""
        return self._client._fetch("GET", _path("collections", slug.slug if isinstance(slug, Collection) else slug), Collection)


class HardwareNamespace(Namespace):
    """The machines that models run on."""

    def list(self) -> List[Hardware]:
        """Return all of them. GET /hardware."""
        return self._client._fetch("GET", "/hardware", functools.partial(_made, Hardware), read=_read_list)


class Accounts(Namespace):
    """The account that the token belongs to."""

    def current(self) -> Account:
        """Return it. GET /account."""
        return self._client._fetch("GET", "/account", Account)

    def get(self) -> Account:
        """Return it, as current() does. GET /account."""
        return self.current()

# ---------------------------------------------------------------------------------------------------------------------
# Outputs
# ---------------------------------------------------------------------------------------------------------------------

_URL = re.compile(r"https?://[^\s/?#]+\S*|data:(?:[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+(?:=[\w.+\"-]+)?)*,\S*", re.IGNORECASE)


def _is_file(value: Any) -> bool:
    """Whether a value in an output is a file: a whole address with a host, or a data URI; prose about one is not."""
    return isinstance(value, str) and value[:5].lower() in ("http:", "https", "data:") and bool(_URL.fullmatch(value))


def _files(value: Any, client: Optional[Client]) -> Any:
    """The same value with every file in it as a FileOutput."""
    if isinstance(value, str):
        return FileOutput(value, client) if _is_file(value) and not isinstance(value, FileOutput) else value
    if isinstance(value, list):
        return [_files(item, client) for item in value]
    if isinstance(value, dict):
        made = {key: _files(item, client) for key, item in value.items()}
        return type(value)(made, client) if isinstance(value, Resource) else made
    return value


class FileOutput(_Twinned, str):
    """A file that a model made: a str with its URL (or data URI) that can be read and saved.

    Files of API predictions are deleted an hour later: save what you want to keep.
    """

    def __new__(cls, url: str, client: Optional[Client] = None) -> FileOutput:
        self = super().__new__(cls, url)
        self.__dict__["_own_client"] = client
        return self

    def __init__(self, url: str, client: Optional[Client] = None) -> None:
        super().__init__()

    @property
    def _client(self) -> Client:  # type: ignore[override]
        return self.__dict__["_own_client"] or default_client

    @property
    def url(self) -> str:
        """The URL as a plain str."""
        return str(self)

    def __repr__(self) -> str:
        return repr(self.url) if len(self) <= 200 or not self.startswith("data:") else repr(self[:60] + "...")

    def __reduce__(self) -> Any:
        return type(self), (self.url,)

    def iter_bytes(self, chunk_size: int = _BLOCK) -> Iterator[bytes]:
        """Yield the content in chunks of chunk_size bytes at most, as they arrive. Raises APIError, NetworkError."""
        if isinstance(chunk_size, bool) or not isinstance(chunk_size, int) or chunk_size < 1:
            raise ValueError(f"chunk_size is a whole number of bytes from 1, not {chunk_size!r}")
        return _download(self.url, self._client, chunk_size)

    def __aiter__(self) -> Any:
        return self.async_iter_bytes()

    def read(self) -> bytes:
        """Return the content."""
        return b"".join(self.iter_bytes())

    def open(self) -> BinaryIO:
        """Return a readable, seekable binary file with the content, as for PIL.Image.open(output.open())."""
        return _spooled(self.iter_bytes())

    def save(self, path: Any = None) -> pathlib.Path:
        """Save the file and return its path; nothing appears under that name until all of it is there.

        path is a file name, whose file is replaced, or a directory, or None for the current one: then the name is that
        in the URL, with a number where there is such a file already.
        """
        import pathlib
        target = pathlib.Path("." if path is None else path)
        named = not (target.is_dir() or str(path)[-1:] in ("/", os.sep))
        folder = target.parent if named else target
        part = folder / f".{os.urandom(6).hex()}.part"
        try:
            folder.mkdir(parents=True, exist_ok=True)
            try:
                with open(part, "xb") as file:
                    for block in self.iter_bytes():
                        file.write(block)
                target = target if named else _unused(folder / _safe_name(self))
                os.replace(part, target)
            except BaseException:
                if part.exists():
                    part.unlink()
                raise
        except OSError as error:
            raise ReplicateError(f"cannot save to {target}: {error.strerror or error}") from error
        return target

    def _repr_html_(self) -> str:
        import html
        url, kind = html.escape(self.url), _media_type(_safe_name(self)).partition("/")[0]
        if kind == "image":
            return f'<img src="{url}">'
        return f'<{kind} controls src="{url}"></{kind}>' if kind in ("audio", "video") else f'<a href="{url}">{url}</a>'


FileOutput.aread = FileOutput.async_read  # type: ignore[attr-defined]  # its name in 1.x


def _safe_name(url: str) -> str:
    """A file name from a URL that stays in its directory on any system, whatever the network says."""
    if url.startswith("data:"):
        import mimetypes
        name = "output" + (mimetypes.guess_extension(re.split("[;,]", url[5:200])[0]) or "")
    else:
        name = re.split(r"[/\\]", urllib.parse.unquote(urllib.parse.urlsplit(url).path))[-1]
    name = re.sub(r'[\x00-\x1f\x7f<>:"|?*\ud800-\udfff]', "_", name).strip(". ")
    if re.match(r"(con|prn|aux|nul|com\d|lpt\d)(\.|$)", name, re.IGNORECASE):  # devices, to Windows
        name = "_" + name
    stem, ending = os.path.splitext(name)
    return stem.encode()[:200].decode(errors="ignore") + ending[:20] or "output"  # file systems take 255 bytes


def _unused(path: pathlib.Path) -> pathlib.Path:
    """That path, or the next with a number that no file has; it is taken by an empty file in the same moment."""
    for number in itertools.count():
        name = path.with_name(f"{path.stem}-{number}{path.suffix}") if number else path
        try:
            open(name, "xb").close()
            return name
        except FileExistsError:
            continue
    raise AssertionError("unreachable")


def _download(url: str, client: Client, size: int) -> Iterator[bytes]:
    """Yield a file's bytes; a transfer that breaks starts anew, and what was handed over already is skipped."""
    if url[:5].lower() == "data:":
        data = _decode_data_uri(url)
        yield from (data[start:start + size] for start in range(0, len(data), size))
        return
    given, transport, call, known = 0, client._transport, _Call(client), None
    for attempt in itertools.count():
        at = 0
        response = transport.request("GET", url, _opened, call=call,
                                     headers={"Accept": "*/*", "Accept-Encoding": "identity"})
        this = (response.headers.get("ETag"), response.headers.get("Content-Length"))
        if (known := known or this) != this:
            raise NetworkError(f"the file at {_shown(url)} changed while it was read")
        try:
            with response:
                for block in response.blocks(size):
                    at += len(block)
                    if at > given:
                        yield block[given - at:]
                        given = at
            return
        except (OSError, http.client.HTTPException, ValueError) as error:
            failure = transport.explained(error, "GET", url, call)
            failure._sent = True
        delay = transport.delay_before_retry(failure, "", attempt)
        if delay is None:
            raise failure
        call.sleep(delay)


def _decode_data_uri(uri: str) -> bytes:
    """The bytes of a data URI (RFC 2397)."""
    head, comma, payload = uri[5:].partition(",")
    data = urllib.parse.unquote_to_bytes(payload)
    if not comma or not head.lower().endswith(";base64"):
        return data
    try:
        return base64.b64decode(data.translate(bytes.maketrans(b"-_", b"+/")) + b"=" * (-len(data) % 4))
    except ValueError as error:
        raise ReplicateError(f"a data URI that is not base64: {error}") from None


def _spooled(chunks: Iterable[bytes], most: float = math.inf) -> BinaryIO:
    """The chunks as a file at its start, in memory while it is small, then on disk; stops soon after `most` bytes."""
    file: Any = io.BytesIO()
    for chunk in chunks:
        if isinstance(file, io.BytesIO) and file.tell() + len(chunk) > _MEMORY_MOST:
            import tempfile
            memory, file = file, tempfile.TemporaryFile()
            file.write(memory.getbuffer())
        file.write(chunk)
        if file.tell() > most:
            break
    file.seek(0)
    return file


# ---------------------------------------------------------------------------------------------------------------------
# Inputs
# ---------------------------------------------------------------------------------------------------------------------


class ModelVersionIdentifier(namedtuple("ModelVersionIdentifier", "owner name version", defaults=(None,))):
    """A reference in parts; the version is None where there is none."""

    @classmethod
    def parse(cls, ref: str) -> ModelVersionIdentifier:
        """Read "owner/name" or "owner/name:version". Raises ValueError."""
        match = re.fullmatch(r"([^/:\s]+)/([^/:\s]+)(?::([^/:\s]+))?", ref) if isinstance(ref, str) else None
        if not match or {".", ".."} & {*match.groups()}:
            raise ValueError(f"not a model: {_short(ref)}. Write 'owner/name', 'owner/name:version', a 64-character version "
                             "id, 'deployments/owner/name' or the http(s) address of a Cog container")
        return cls(*match.groups())


class _Target:
    """Where a reference runs: the path to create at, what the body adds, and what is known of the model."""

    def __init__(self, path: str, body: Optional[Dict[str, Any]] = None, *, model: Tuple[str, ...] = (),
                 version: Optional[str] = None, iterates: Optional[bool] = None, cog: str = "") -> None:
        self.path, self.body, self.model, self.version = path, body or {}, model, version
        self.iterates, self.cog = iterates, cog  # iterates: None while unknown; cog: the container's address
        self.fields: Optional[Dict[str, _Field]] = None  # the container's inputs, once they were asked for

    def look_up(self, client: Client, call: _Call, prediction: Any = None) -> None:
        """Learn once per client whether the version's output is an iterator; a failure does not stop the run."""
        if self.iterates is not None or not self.version:
            return
        known = client._iterates.get(self.version)
        if known is None:
            made_by = str(prediction.get("model") or "") if prediction is not None else ""
            model = self.model or tuple(made_by.split("/"))
            if len(model) != 2:
                return
            try:
                version = client._fetch("GET", _path("models", *model, "versions", self.version), Version, call=call)
            except (ReplicateError, ValueError):
                return
            known = client._iterates[self.version] = _iterates(version)
        self.iterates = known

    def resolve_latest(self, client: Client, call: _Call) -> bool:
        """Turn a model that is not official into its latest version; False where there is none to turn to."""
        if self.version or not self.model:
            return bool(self.model)
        version = client._fetch("GET", _path("models", *self.model), Model, call=call).latest_version
        if not version or not version.get("id"):
            return False
        self.path, self.body, self.version = "/predictions", {"version": version["id"]}, version["id"]
        self.iterates = _iterates(version)
        return True


def _target(ref: Any) -> _Target:
    """Read a reference in any of its forms. Raises ValueError for anything else."""
    if isinstance(ref, Version):
        known = _iterates(ref) if ref.get("openapi_schema") else None
        return _Target("/predictions", {"version": ref.id}, version=ref.id, iterates=known)
    if isinstance(ref, Deployment):
        return _Target(_path("deployments", ref.owner, ref.name, "predictions"))
    if isinstance(ref, Model):
        ref = ref.id
    elif isinstance(ref, tuple):
        ref = "/".join(str(part) for part in ref[:2]) + (f":{ref[2]}" if ref[2:] and ref[2] else "")
    if not isinstance(ref, str):
        raise ValueError(f"cannot run {_short(ref)}: give a reference as text, or a Model, Version or Deployment")
    if re.match("https?://", ref, re.IGNORECASE):
        return _Target("", cog=_cog_address(ref))
    if re.fullmatch("[0-9a-f]{64}", ref):
        return _Target("/predictions", {"version": ref}, version=ref)
    if ref.startswith("deployments/"):
        return _Target(_path("deployments", *_names([ref[12:]], {}, "owner/name"), "predictions"))
    owner, name, version = ModelVersionIdentifier.parse(ref)
    if version:
        return _Target("/predictions", {"version": version}, model=(owner, name), version=version)
    return _Target(_path("models", owner, name, "predictions"), model=(owner, name))


def _iterates(version: Mapping[str, Any]) -> bool:
    """Whether a version's output comes item by item, from its schema and, where that is too old to say, its age."""
    output = _part(version.get("openapi_schema"), "Output")
    if output.get("type") != "array":
        return False
    numbers = re.match(r"v?(\d+)\.(\d+)\.(\d+)", str(version.get("cog_version") or ""))
    old = numbers is not None and tuple(int(n) for n in numbers.groups()) < _NO_ARRAY_TYPE
    return old or output.get("x-cog-array-type") == "iterator"


def _hold_seconds(wait: Any) -> int:
    """The argument `wait` as seconds that the server is asked to hold the creating request."""
    if wait is None or isinstance(wait, bool):
        return _HOLD if wait else 0
    if not isinstance(wait, int) or not 1 <= wait <= _HOLD:
        raise ValueError(f"wait is True, False or a whole number of seconds from 1 to {_HOLD}, not {wait!r}")
    return wait


def _duration(value: Any) -> str:
    """The argument `cancel_after` as the header: seconds, or text such as "5m" or "1h30m45s"; 5 s at least."""
    text = f"{math.ceil(value)}s" if _is_number(value) else value.strip() if isinstance(value, str) else ""
    match = re.fullmatch(r"(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text)
    hours, minutes, seconds = (int(number or 0) for number in match.groups()) if match else (0, 0, 0)
    if hours * 3600 + minutes * 60 + seconds < 5:
        raise ValueError(f"cancel_after is at least 5 seconds, as 90, '90s', '5m' or '1h30m', not {value!r}")
    return text


class _Inputs:
    """A model's input on its way into JSON. encode() checks and converts it without a request; upload() does the rest."""

    def __init__(self, strategy: Optional[str] = None) -> None:
        self.strategy = strategy
        self.large: List[Tuple[Any, Any, _Source]] = []  # where in the encoded input a URL is still to be put

    def encode(self, input: Any) -> Any:
        if input is None:
            return {}
        if not isinstance(input, abc.Mapping):
            raise TypeError(f"input is a dict of the model's inputs, not {type(input).__name__}: {_short(input)}")
        holder: Dict[str, Any] = {}
        try:
            self._put(holder, "input", input, "input")
        except RecursionError:
            raise ValueError("input contains itself, or is nested too deeply") from None
        return holder["input"]

    def _put(self, holder: Any, key: Any, value: Any, where: str) -> None:
        """Set holder[key] to the JSON form of a value; `where` is its place, for errors."""
        if isinstance(value, float) and not math.isfinite(value):
            raise ValueError(f"{where} is {value!r}, which JSON cannot say")
        if value is None or isinstance(value, (str, bool, int, float)):
            holder[key] = value
        elif isinstance(value, File):
            holder[key] = value.urls["get"]
        elif isinstance(value, abc.Mapping):
            made: Dict[str, Any] = {}
            holder[key] = made
            for name, item in value.items():
                if not isinstance(name, str):
                    raise TypeError(f"{where} has the key {name!r}: JSON's are text")
                self._put(made, name, item, f"{where}[{name!r}]")
        elif isinstance(value, (bytes, bytearray, memoryview, os.PathLike)) or hasattr(value, "read"):
            self._put_file(holder, key, _Source(value, where))
        elif hasattr(value, "tolist"):  # numpy's arrays and scalars
            self._put(holder, key, value.tolist(), where)
        elif isinstance(value, (abc.Sequence, abc.Set, abc.Iterator,
                                abc.ValuesView, deque)):
            items: List[Any] = []
            holder[key] = items
            for number, item in enumerate(value):
                items.append(None)
                self._put(items, number, item, f"{where}[{number}]")
        elif hasattr(value, "isoformat"):
            holder[key] = value.isoformat()
        else:
            raise TypeError(f"{where} is {type(value).__name__}: give JSON values, files, paths, bytes, numpy arrays or dates")

    def _put_file(self, holder: Any, key: Any, source: _Source) -> None:
        if self.strategy == "base64" or self.strategy is None and source.size <= _INLINE_MOST:
            with source:
                data = source.read()
            kind = _media_type(source.name, data[:512])
            holder[key] = f"data:{kind};base64,{base64.b64encode(data).decode('ascii')}"
        else:
            source.check_size()
            self.large.append((holder, key, source))

    def upload(self, client: Client, call: _Call) -> None:
        """Upload what is too large to go inline; a failure raises, before anything is created."""
        while self.large:
            holder, key, source = self.large.pop(0)
            with source:
                holder[key] = client._upload(source, None, None, None, call).urls["get"]


class _FilePath(str):
    """A str that is a path, where a str would be a value."""

    def __fspath__(self) -> str:
        return str(self)


class _Source:
    """A file on its way in: read from where it stands, as often as it has to be sent, and left open if it is the caller's."""

    def __init__(self, thing: Any, where: str) -> None:
        self.where, self.own = where, False
        name = getattr(thing, "name", None)
        if isinstance(thing, (bytes, bytearray, memoryview)):
            thing = io.BytesIO(thing)
        elif isinstance(thing, os.PathLike):
            name = os.fspath(thing)
            try:
                thing, self.own = open(thing, "rb"), True
            except OSError as error:
                raise ValueError(f"{where}: cannot read {os.fspath(name)}: {error.strerror}") from error
        elif not hasattr(thing, "read"):
            raise TypeError(f"{where} is {type(thing).__name__}: give a path, bytes or an open file")
        self.name = os.path.basename(name) if isinstance(name, str) and not name.startswith("<") else ""
        self.file, self.start, self.size = self._seekable(thing)

    def _seekable(self, thing: Any) -> Tuple[Any, int, int]:
        """The bytes of the file as something that can be sent again, where they start, and how many there are."""
        try:
            if hasattr(getattr(thing, "buffer", None), "read"):  # opened as text
                thing.seek(thing.tell())
                thing = thing.buffer
            start = thing.tell()
            thing.seek(0, io.SEEK_END)
            end = thing.tell()
            thing.seek(start)
            if isinstance(thing.read(0), bytes):
                return thing, start, max(0, end - start)
        except (AttributeError, OSError):  # a pipe, a socket, or an object with read() alone
            thing = getattr(thing, "buffer", None) or thing
        pieces = iter(functools.partial(thing.read, _BLOCK), None)
        whole = (p.encode() if isinstance(p, str) else p for p in itertools.takewhile(len, (p or b"" for p in pieces)))
        spooled = _spooled(whole, _UPLOAD_MOST)
        size = spooled.seek(0, io.SEEK_END)
        self.own = True
        return spooled, 0, size

    def check_size(self) -> None:
        if self.size > _UPLOAD_MOST:
            raise ValueError(f"{self.where}: {self.name or 'the file'} is larger than 100 MiB, the most that the files API "
                             "takes; put it where it has a URL and give that")

    def read(self) -> bytes:
        self.file.seek(self.start)
        return self.file.read(self.size)

    def head(self) -> bytes:
        self.file.seek(self.start)
        return self.file.read(512)

    def __iter__(self) -> Iterator[bytes]:
        """Yield its bytes from the start, as many as there were at first."""
        self.file.seek(self.start)
        left = self.size
        while left:
            block = self.file.read(min(left, _BLOCK))
            if not block:
                raise ReplicateError(f"{self.where}: the file became shorter while it was sent", _final=True)
            left -= len(block)
            yield block

    def __enter__(self) -> _Source:
        return self

    def __exit__(self, *error: Any) -> None:
        if self.own:
            self.file.close()


_SIGNATURES = (  # offset, first bytes, media type: the formats that models take
    (0, b"\x89PNG\r\n\x1a\n", "image/png"), (0, b"\xff\xd8\xff", "image/jpeg"), (0, b"GIF8", "image/gif"),
    (8, b"WEBP", "image/webp"), (8, b"WAVE", "audio/wav"), (8, b"AVI ", "video/x-msvideo"), (0, b"BM", "image/bmp"),
    (0, b"II*\0", "image/tiff"), (0, b"MM\0*", "image/tiff"), (4, b"ftypavif", "image/avif"), (4, b"ftyphei", "image/heic"),
    (4, b"ftypM4A", "audio/mp4"), (4, b"ftypqt", "video/quicktime"), (4, b"ftyp", "video/mp4"), (0, b"fLaC", "audio/flac"),
    (0, b"OggS", "audio/ogg"), (0, b"ID3", "audio/mpeg"), (0, b"\xff\xfb", "audio/mpeg"), (0, b"\xff\xf3", "audio/mpeg"),
    (0, b"\x1a\x45\xdf\xa3", "video/webm"), (0, b"%PDF-", "application/pdf"), (0, b"PK\3\4", "application/zip"),
    (0, b"\x1f\x8b", "application/gzip"), (257, b"ustar", "application/x-tar"), (0, b"glTF", "model/gltf-binary"),
)


def _media_type(name: str, head: bytes = b"") -> str:
    """The media type by the name, else by the first bytes where they are a known signature; text is never guessed at."""
    import mimetypes
    guessed, encoding = mimetypes.guess_type(name)
    if encoding:
        return "application/gzip" if encoding == "gzip" else "application/octet-stream"
    if guessed:
        return guessed
    found = (kind for offset, start, kind in _SIGNATURES if head.startswith(start, offset)
             and (offset != 8 or head.startswith(b"RIFF")))
    return next(found, "application/octet-stream")


class _Multipart:
    """multipart/form-data (RFC 7578) with one file, streamed: iterate it as often as it has to be sent."""

    def __init__(self, source: _Source, filename: str, content_type: str, metadata: Any) -> None:
        boundary = os.urandom(16).hex()
        fields = {"filename": filename, "type": content_type}
        if metadata is not None:
            fields["metadata"] = json.dumps(metadata, allow_nan=False)
        parts = [f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
                 for name, value in fields.items()]
        quoted = re.sub(r'(["\\])', r"\\\1", filename)
        parts.append(f'--{boundary}\r\nContent-Disposition: form-data; name="content"; filename="{quoted}"\r\n'
                     f"Content-Type: {content_type}\r\n\r\n")
        self.head, self.source, self.tail = "".join(parts).encode(), source, f"\r\n--{boundary}--\r\n".encode()
        self.headers = {"Content-Type": f"multipart/form-data; boundary={boundary}",
                        "Content-Length": str(len(self.head) + source.size + len(self.tail))}

    def __iter__(self) -> Iterator[bytes]:
        yield self.head
        yield from self.source
        yield self.tail


class _Field:
    """One input of a model, as its schema says: resolved, with the types and choices that may be hidden in it."""

    def __init__(self, name: str, schema: Dict[str, Any], components: Mapping[str, Any], required: bool) -> None:
        self.name, self.required = name, required
        merged = _resolved(schema, components)
        options = [_resolved(option, components) for key in ("anyOf", "oneOf") for option in merged.get(key) or ()]
        self.nullable = bool(merged.get("nullable")) or any(option.get("type") == "null" for option in options)
        self.options = [option for option in options if option.get("type") != "null"] or [merged]
        if len(self.options) == 1:
            merged = dict(merged, **self.options[0])
        self.choices = merged.get("enum") or []
        types = [option.get("type") for option in self.options]
        if self.choices and types == [None]:  # a choice without a type has its members'
            types = sorted({_TYPE_NAMES.get(type(choice), "string") for choice in self.choices})
        self.types = [kind for kind in types if kind]
        self.format = merged.get("format") or next((o["format"] for o in self.options if o.get("format")), "")
        self.items = _resolved(merged.get("items") or next((o["items"] for o in self.options if o.get("items")), {}), components)
        self.least = merged.get("minimum", merged.get("ge"))
        self.most = merged.get("maximum", merged.get("le"))
        self.default, self.description = merged.get("default"), str(merged.get("description") or "")
        self.order = merged.get("x-order")

    def takes_files(self) -> bool:
        return "uri" in (self.format, self.items.get("format"))


_TYPE_NAMES = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def _resolved(schema: Any, components: Mapping[str, Any], depth: int = 8) -> Dict[str, Any]:
    """A schema with its `$ref` and `allOf` merged into it; what stands beside them wins, but for the reference's title."""
    if not isinstance(schema, dict):
        return {}
    merged: Dict[str, Any] = {}
    for part in schema.get("allOf") or ():
        if depth:
            merged.update(_resolved(part, components, depth - 1))
    name = str(schema.get("$ref", "")).rpartition("/")[2]
    if name and depth:
        merged.update(_resolved(components.get(name), components, depth - 1))
    merged.update((key, value) for key, value in schema.items() if key not in ("allOf", "$ref"))
    return merged


def _part(openapi: Any, name: str) -> Dict[str, Any]:
    """components.schemas[name] of a model's schema; {} where there is none."""
    components = ((openapi or {}).get("components") or {}).get("schemas") or {}
    return _resolved(components.get(name), components)


def _fields(openapi: Any) -> Dict[str, _Field]:
    """A model's inputs by name, in their order; {} where there is no schema."""
    components = ((openapi or {}).get("components") or {}).get("schemas") or {}
    schema = _part(openapi, "Input")
    required = schema.get("required") or ()
    fields = [_Field(name, p, components, name in required) for name, p in (schema.get("properties") or {}).items()]
    return {f.name: f for f in sorted(fields, key=lambda f: (f.order is None, f.order or 0))}


def _misnamed(input: Mapping[str, Any], fields: Mapping[str, _Field]) -> List[str]:
    """What is wrong with the names in an input, each with the nearest right one; nothing where there is no schema."""
    if not fields:
        return []
    import difflib
    wrong = []
    for name in input:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, 1, 0.5)
            wrong.append(f"there is no input {name!r}" + (f": did you mean {near[0]!r}?" if near else
                                                          f"; there are {', '.join(fields)}"))
    return wrong


def _description(client: Client, ref: Any) -> Tuple[str, Any, str]:
    """A model's description, its schema (None where it cannot be had), and an example's place on the web."""
    target, call = _target(ref), _Call(client)
    if target.cog:
        return "", _cog_schema(client, target.cog, call), target.cog
    if isinstance(ref, Version):
        return "", ref.openapi_schema, ""
    if target.path.startswith("/deployments"):
        release = client.deployments.get(*target.path.split("/")[2:4]).current_release or Resource()
        target = _target(f"{release.get('model')}:{release.get('version')}")
    if not target.model:
        return "", None, ""
    model = client.models.get(*target.model)
    version = model.latest_version
    if target.version and (version is None or version.get("id") != target.version):
        version = client.models.versions.get(*target.model, target.version)
    return model.description or "", version and version.openapi_schema, model.url or ""

# ---------------------------------------------------------------------------------------------------------------------
# Streams
# ---------------------------------------------------------------------------------------------------------------------


class ServerSentEvent(namedtuple("ServerSentEvent", "event data id retry", defaults=("", "", None))):
    """One event of a stream: `event` is output, logs, error, done or a word of tomorrow; str() is an output's text."""

    __slots__ = ()

    class EventType:
        """The events known today."""

        OUTPUT, LOGS, ERROR, DONE = "output", "logs", "error", "done"

    def __str__(self) -> str:
        return str(self.data) if self.event == "output" else ""


def _event(event: str, data: str, id: str, client: Optional[Client]) -> ServerSentEvent:
    """An event whose data is a FileOutput where it is a file and the caller wants that (client is given)."""
    return ServerSentEvent(event, FileOutput(data, client) if client is not None and _is_file(data) else data, id)


def _decode(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Decode server-sent events from bytes split anywhere (WHATWG HTML, section 9.2.6, "Interpreting an event stream")."""
    rest, after_cr, first = b"", False, True
    event, data, last_id, retry = "", [], "", None  # type: Tuple[str, List[bytes], str, Optional[int]]
    for chunk in chunks:
        if after_cr and chunk[:1] == b"\n":  # the second half of a CRLF whose first half ended a line already
            chunk, after_cr = chunk[1:], False
        after_cr = chunk.endswith(b"\r") or after_cr and not chunk
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        if not end:
            rest += chunk
            continue
        lines, rest = (rest + chunk[:end]).splitlines(), chunk[end:]  # bytes know no other line ends than these three
        if first:
            lines[0], first = lines[0][3:] if lines[0].startswith(b"\xef\xbb\xbf") else lines[0], False
        for line in lines:
            field, _, value = line.partition(b":")
            value = value[1:] if value[:1] == b" " else value
            if field == b"data":
                data.append(value)
            elif not line:
                if data:
                    yield ServerSentEvent(event or "message", b"\n".join(data).decode("utf-8", "replace"), last_id, retry)
                event, data, retry = "", [], None
            elif field == b"event":
                event = value.decode("utf-8", "replace")
            elif field == b"id" and b"\0" not in value:
                last_id = value.decode("utf-8", "replace")
            elif field == b"retry" and value.isdigit():
                retry = int(value)


def _streamed(prediction: Prediction, call: _Call, use_file_output: bool) -> Iterator[ServerSentEvent]:
    """The events of a prediction's stream. A drop is resumed after the last event, at the pace of polls."""
    client = prediction._client
    known, seen, last_id = [], set(), ""  # type: Tuple[List[str], Set[str], str]
    polls = prediction._polls(call)
    while True:
        headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", "Accept-Encoding": "identity"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        try:
            response = client._transport.request("GET", prediction["urls"]["stream"], _opened, headers=headers, call=call)
            with response:
                again = set(seen)  # a server that starts from the beginning again is not believed twice
                for event in _decode(response.blocks(_BLOCK)) if response.is_event_stream() else ():
                    if event.id and event.id in again:
                        continue
                    if event.id:
                        last_id = event.id
                        seen.add(last_id)
                    if event.event == "output":
                        known.append(event.data)
                    _take_end(event, prediction)
                    yield _event(event.event, event.data, event.id, client if use_file_output else None)
                    if event.event == "done":
                        return
        except (APIError, OSError, http.client.HTTPException, ValueError) as error:
            call.check()
            if call.over():
                raise call.expired() from None
            _log("stream of %s dropped: %s", prediction.get("id"), type(error).__name__)
        if next(polls, call) is call or known and not last_id:  # over, or there is no place to resume at: by its output
            yield from prediction._polled(call, use_file_output, "".join(known))
            return


def _take_end(event: ServerSentEvent, prediction: Prediction) -> None:
    """Note the end that an event tells of; ModelError where it was no success."""
    reason = None
    if event.event == "done" and event.data.lstrip().startswith("{"):
        try:
            reason = json.loads(event.data).get("reason")
        except ValueError:  # only its being there is certain
            pass
    if event.event == "error" or reason in ("error", "canceled"):
        prediction["status"] = "canceled" if reason == "canceled" else "failed"
        raise ModelError(prediction, event.data if event.event == "error" else None)
    if event.event == "done" and prediction._running:
        prediction["status"] = "succeeded"


# ---------------------------------------------------------------------------------------------------------------------
# Self-hosted models (Cog)
# ---------------------------------------------------------------------------------------------------------------------


def _cog_address(url: str) -> str:
    """A container's address without what an HTTP client would add to it."""
    parts = urllib.parse.urlsplit(url)
    if not parts.hostname or "@" in parts.netloc or parts.query or parts.fragment:
        raise ValueError(f"{_short(url)} is no address of a Cog container, as http://127.0.0.1:5000 is")
    return re.sub("/predictions$", "", url.rstrip("/"))


def _cog_schema(client: Client, address: str, call: _Call) -> Optional[Dict[str, Any]]:
    """The container's schema, or None where it has none or is not up yet."""
    try:
        return client._transport.request("GET", address + "/openapi.json", _read_object, call=call, retries=0)
    except PredictionTimeout:
        raise
    except ReplicateError:
        return None


class _CogJob(_Job):
    """A run in a container of one's own, over Cog's HTTP API.

    The container forgets a run when it ends, and would run a repeated request again: one is sent again only when it
    cannot have been acted on. https://cog.run/http
    """

    def __init__(self, client: Client, target: _Target, input: Any, *, file_encoding_strategy: Optional[str] = None,
                 **options: Any) -> None:
        if file_encoding_strategy == "url":
            raise ValueError("a self-hosted model takes files as data URIs: leave file_encoding_strategy out")
        super().__init__(client, target, input, file_encoding_strategy="base64", **options)
        self.id = base64.b32encode(os.urandom(15)).decode("ascii").lower()

    def start(self) -> None:
        """Wait for the container to be up, and check the names of the inputs, which it would not."""
        while self.target.fields is None:
            schema = _cog_schema(self.client, self.target.cog, self.call)
            if schema is not None or not self._starting():
                self.target.fields = _fields(schema)
                self.target.iterates = _iterates({"openapi_schema": schema})
            else:
                self.call.sleep(self.client.poll_interval)
        wrong = _misnamed(self.body["input"], self.target.fields)
        if wrong:
            raise ValueError("; ".join(wrong))

    def created(self) -> NoReturn:
        raise ValueError("a self-hosted model keeps no predictions to come back to: call it, or use stream()")

    def output(self) -> Any:
        with self:
            with self._sent("application/json") as response:
                self._ended(_read_object(response))
        return super().output()

    def items(self) -> Iterator[Any]:
        return self._guarded(self._values())

    def events(self) -> Iterator[ServerSentEvent]:
        return self._guarded(self._events())

    def cancel(self, call: _Call) -> None:
        self._request("POST", f"/predictions/{self.id}/cancel", _read_nothing, call)

    def _request(self, method: str, path: str, read: Any, call: _Call, **options: Any) -> Any:
        return self.client._transport.request(method, self.target.cog + path, read, call=call, noun="prediction", **options)

    def _starting(self) -> bool:
        """Whether the container is still setting up. Raises, with its logs, where that has failed."""
        try:
            health = self.client._transport.request("GET", self.target.cog + "/health-check", _read_object, call=self.call)
        except APIError:  # an old Cog, or something in front of it: the run will tell
            return False
        status, setup = str(health.get("status")).upper(), health.get("setup") or {}
        if status in ("SETUP_FAILED", "DEFUNCT"):
            raise ReplicateError(f"the model at {self.target.cog} cannot run ({status}): {setup.get('logs') or 'no logs'}",
                                 detail=setup.get("logs"))
        return status == "STARTING"

    def _sent(self, accept: str) -> Any:
        """Send the run, as soon as the container takes it, and return the open answer."""
        body = json.dumps(self.body, allow_nan=False).encode()
        headers = {"Accept": accept, "Content-Type": "application/json", "Accept-Encoding": "identity"}
        waited = _Call(self.client)
        while True:
            self.prediction = Prediction({"id": self.id, "status": "starting", "input": self.body["input"]}, self.client)
            try:
                return self._request("PUT", f"/predictions/{self.id}", _opened, self.call, body=body, headers=headers,
                                     hold=None)
            except ReplicateError as error:
                if not error._sent or error.status is not None and error.status < 500 or error.status == 503:
                    self.prediction = None  # it runs nothing, so there is nothing to cancel
                if error.status not in (409, 503):
                    raise
            self._starting()
            elapsed = waited.clock.now() - waited.started
            self.call.sleep(max(self.client.poll_interval, min(_POLL_MOST, _POLL_SHARE * elapsed)))

    def _ended(self, answer: Dict[str, Any]) -> None:
        """Take the answer of a run that is over; a 202 is an answer, but no end."""
        if answer.get("status") in _RUNNING or "status" not in answer:
            raise NetworkError(f"{self.target.cog} answered before the end of the run, and cannot be asked for it later; "
                               "the model may still run", _sent=True)
        self.prediction._take(answer)

    def _values(self) -> Iterator[Any]:
        """The output's items as they are made, from a stream or from the one answer at the end."""
        client = self.client if self.use_file_output else None
        for kind, value in self._parts():
            if kind == "output":
                yield _files(value, client) if client else value

    def _events(self) -> Iterator[ServerSentEvent]:
        for kind, value in self._parts():
            yield _event(kind, value if isinstance(value, str) else json.dumps(value), "",
                         self.client if self.use_file_output and kind == "output" else None)

    def _parts(self) -> Iterator[Tuple[str, Any]]:
        """Pairs of an event's name and value: output and logs as they come, then done."""
        try:
            response = self._sent("text/event-stream")
        except APIError as error:
            if error.status != 406:
                raise
            response = self._sent("application/json")
        with response:
            if not response.is_event_stream():
                self._ended(_read_object(response))
                yield from (("output", item) for item in self.prediction._items(self.call))
            else:
                yield from self._streamed_parts(response)
        yield "done", "{}"

    def _streamed_parts(self, response: Any) -> Iterator[Tuple[str, Any]]:
        try:
            for event in _decode(response.blocks(_BLOCK)):
                data = json.loads(event.data)
                if event.event == "output":
                    yield "output", data.get("chunk")
                elif event.event == "log":
                    yield "logs", data.get("data")
                elif event.event == "completed":
                    self._ended(data)
                    return self.prediction._must_have_succeeded()
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            raise self.client._transport.explained(error, "PUT", self.target.cog + "/predictions", self.call) from None
        raise NetworkError(f"the stream of {self.target.cog} was cut short; the model may still run")

# ---------------------------------------------------------------------------------------------------------------------
# Transport
# ---------------------------------------------------------------------------------------------------------------------
#
#   request() -> _attempt() -> urllib.request's opener: proxies, redirects, then _KeepAlive
#                                -> a kept connection, or a new one: connect, CONNECT, TLS    nothing sent yet
#                                -> head and body leave, the answer's head comes              sent: outcome unknown
#             -> read(response)  the body; a whole one sends its connection back to the pool


def _log(text: str, *values: Any) -> None:
    """Log at DEBUG level to the logger "replicate". Where nothing has imported logging, nobody can be listening."""
    logging = sys.modules.get("logging")
    if logging is not None and hasattr(logging, "getLogger"):
        logger = logging.getLogger("replicate")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
        logger.debug(text, *values)


class _Throttle:
    """The rate limit as 429 answers teach it, shared by all threads of a client: whoever creates waits here for his turn.

    No lock is held while anybody waits. The gap between creations doubles with each 429 and shrinks with each success.
    """

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.next, self.gap = 0.0, 0.0

    def wait(self, call: _Call) -> None:
        while self.gap:
            with self.lock:
                now = call.clock.now()
                if now >= self.next:
                    self.next = now + self.gap
                    return
                turn = self.next
            call.sleep(turn - now)

    def hold_off(self, until: float) -> None:
        with self.lock:
            self.gap = min(_GAP_MOST, max(_GAP_LEAST, 2 * self.gap))
            self.next = max(self.next, until)

    def ease(self) -> None:
        if self.gap:
            with self.lock:
                self.gap = self.gap * 0.9 if self.gap > _GAP_LEAST / 10 else 0.0


class _Request(urllib.request.Request):
    """A request with what the connection needs to know of it."""

    call: _Call
    seconds: Optional[float]  # for one socket operation
    patience: Optional[float]  # for the whole head of the answer; None: as long as it takes, and its body too
    noun: str  # what it creates, "" if it may be repeated
    sent = False  # whether a first byte may have left


class _Transport:
    """Sends requests and reads answers: retries, redirects, proxies, kept connections, and who gets the token."""

    def __init__(self, client: Client, seconds: float, retries: int, headers: Dict[str, str],
                 proxies: Optional[Mapping[str, str]], ssl_context: Any) -> None:
        for name, value in headers.items():
            if not isinstance(name, str) or not isinstance(value, str) or re.search(r"[\r\n\0]", name + value):
                raise ValueError("headers are text without line ends")
        self.client, self.seconds, self.retries = client, seconds, retries
        self.own_headers = {name: _Secret(value) for name, value in headers.items()}
        self.proxies, self.ssl_context = proxies, ssl_context
        self.throttle = _Throttle()
        self.pool = _Pool()
        weakref.finalize(client, self.pool.close)  # no socket is left open, neither then nor at exit
        self.random: Callable[[], float] = random.random
        self.opener: Any = None
        self.opener_for: Any = None

    # 1. one request, as often as it takes

    def request(self, method: str, url: str, read: Callable[[Any], Any], *, call: _Call, body: Any = None,
                headers: Optional[Dict[str, Any]] = None, noun: str = "", hold: Optional[float] = 0.0,
                retries: Optional[int] = None) -> Any:
        """Send a request until it succeeds or may not be sent again, and return read(response).

        hold is the seconds that the server was asked to hold it, None for a run that takes as long as it takes. noun
        says what it creates: then it is repeated only if the server cannot have acted on it (promise 1).
        Raises APIError, NetworkError, PredictionTimeout.
        """
        for attempt in itertools.count():
            if noun:
                self.throttle.wait(call)
            failure = self._attempt(method, url, read, call, body, headers or {}, noun, hold, attempt)
            if not isinstance(failure, ReplicateError):
                return failure[0]
            delay = self.delay_before_retry(failure, noun, attempt, retries)
            if delay is None:
                raise failure  # outside of any except block, so that no traceback leads to headers
            if failure.status == 429:
                self.throttle.hold_off(call.clock.now() + delay)
            call.sleep(delay)

    def _attempt(self, method: str, url: str, read: Callable[[Any], Any], call: _Call, body: Any, headers: Dict[str, Any],
                 noun: str, hold: Optional[float], attempt: int) -> Any:
        """One attempt: (what read() made of the answer,), or the failure."""
        started = time.monotonic()
        request: Optional[_Request] = None
        status: Any = "failed"
        try:
            call.check()
            request = self._prepared(method, url, body, headers)
            request.call, request.noun, request.seconds = call, noun, self.seconds
            request.patience = None if hold is None else self.seconds + hold
            response = self._opener().open(request)
            status = response.status
            if 200 <= status < 300:
                result = (read(response),)
                if noun:
                    self.throttle.ease()
                return result
            return self._refusal(response, method, url, noun)
        except (OSError, http.client.HTTPException, ValueError) as error:
            return self.explained(error, method, url, call, noun, request)
        finally:
            _log("%s %s %s %d ms, attempt %d", method, urllib.parse.urlsplit(url).path[:200] or "/", status,
                 (time.monotonic() - started) * 1000, attempt + 1)

    def delay_before_retry(self, failure: ReplicateError, noun: str, attempt: int, retries: Optional[int] = None,
                           ) -> Optional[float]:
        """Seconds until a request may be sent again, or None where it may not: the one rule for all of them."""
        if attempt >= (self.retries if retries is None else retries) or failure._final:
            return None
        if isinstance(failure, PredictionTimeout) or not isinstance(failure, (APIError, NetworkError)):
            return None
        safe = not noun and (failure.status is None or failure.status >= 500)
        if not (safe or failure.status == 429 or not failure._sent):
            return None
        if failure.retry_after is not None:  # the server's word beats a guess
            return min(_WAIT_MOST, failure.retry_after)
        return self.random() * min(_WAIT_MOST, _BACKOFF * 2 ** attempt)

    # 2. who gets the token

    def _prepared(self, method: str, url: str, body: Any, headers: Dict[str, Any]) -> _Request:
        """The request for a URL: the only place where the token and the caller's own headers are added (promise 5)."""
        if not re.match("https?://", url, re.IGNORECASE):
            raise ReplicateError(f"will not open {_shown(url)}: http and https only")
        whole = {"User-Agent": f"replicate-onefile/{__version__}", "Accept": "application/json", **headers}
        own, trusted = self._trusted(url)
        if own:
            whole.update(self.own_headers)
        if trusted and not any(name.lower() == "authorization" for name in whole):
            token = self.client._token()
            if token:
                whole["Authorization"] = _Secret("Bearer " + token)
            elif url.startswith(self.client.base_url + "/"):
                raise ReplicateError(f"no API token: set REPLICATE_API_TOKEN, or give Client(api_token=); get one at {_TOKENS_PAGE}")
        return _Request(_quoted(url), body, whole, method=method)

    def _trusted(self, url: str) -> Tuple[bool, bool]:
        """Whether a URL is on the API's own origin, and whether it may have the token: that, or replicate.com's hosts."""
        base = self.client.base_url
        if url.startswith(base + "/"):
            return True, True
        parts, api = _origin(url), _origin(base)
        if parts == api:
            return True, True
        ours = [host == "replicate.com" or host.endswith(".replicate.com") for _, host, _ in (parts, api)]
        return False, all(ours) and parts[0] == api[0] == "https"

    def redacted(self, text: str) -> str:
        """Text from outside without the token and the caller's own headers."""
        try:
            token: str = self.client._token()
        except ReplicateError:
            token = ""
        for secret in [token, *self.own_headers.values()]:
            if len(secret) > 3:
                text = text.replace(secret, "***")
        return text

    # 3. what went wrong

    def _refusal(self, response: Any, method: str, url: str, noun: str) -> APIError:
        """The error that an answer tells of: problem details (RFC 9457), Cog's forms, or any text."""
        with response:
            try:
                body = self.redacted(_unpacked(response, response.read(_ERROR_MOST)).decode("utf-8", "replace"))
            except (OSError, http.client.HTTPException, ValueError):
                body = ""
        facts = _problem(body, response.headers.get("Content-Type") or "")
        for name, value in list(response.headers.items()):
            if self.redacted(value) != value:
                response.headers.replace_header(name, self.redacted(value))
        status, path = response.status, urllib.parse.urlsplit(url).path
        title = facts.get("title") or self.redacted(response.reason or "") or "error"
        detail = facts.get("detail")
        said = title if not detail or detail == title else f"{title}: {detail}"
        asked = response.headers.get("X-Request-Id") or response.headers.get("Replicate-Request-Id")
        text = f"{method} {path}: {status} {said}" + (f" (request id {asked})" if asked else "")
        if status == 401:
            text += f"; check REPLICATE_API_TOKEN: tokens come from {_TOKENS_PAGE}"
        unknown = noun and (status >= 500 or status < 400 or status == 408)
        return APIError(text + (_may_exist(noun) if unknown else ""), status=status, title=title, detail=detail,
                        type=facts.get("type"), instance=facts.get("instance"), method=method, path=path,
                        headers=response.headers, request_id=asked, body=body,
                        retry_after=_retry_after(response.headers, f"{detail or ''} {body}", status, time.time()))

    def explained(self, error: BaseException, method: str, url: str, call: _Call, noun: str = "",
                  request: Optional[_Request] = None) -> ReplicateError:
        """A failure of the network as one line for people: what failed, why, what to do."""
        call.check()
        sent = request is not None and request.sent
        unknown = _may_exist(noun) if noun and sent else ""
        facts: Dict[str, Any] = {"method": method, "path": urllib.parse.urlsplit(url).path, "_sent": sent}
        if call.over():
            timeout = call.expired(unknown)
            timeout.__dict__.update(facts)
            return timeout
        if isinstance(error, urllib.error.HTTPError):  # a redirect that urllib will not follow
            error.close()
            facts["_final"] = True
        why, where = self.redacted(str(error)) or type(error).__name__, urllib.parse.urlsplit(url).netloc
        proxy = request.host if request is not None and request.host != where else ""
        if isinstance(error, socket.timeout):
            why = f"no answer within {request.patience or 0:g} s" if request and sent else f"no connection within {self.seconds:g} s"
        elif ssl is not None and isinstance(error, ssl.SSLCertVerificationError):
            why = (f"the certificate of {where} is not trusted ({error.verify_message}); name your CA's file in "
                   "SSL_CERT_FILE, or give Client(ssl_context=)")
            facts["_final"] = True
        elif isinstance(error, (http.client.IncompleteRead, http.client.RemoteDisconnected)):
            why = "the connection was closed before the answer was complete"
        elif "Tunnel connection failed" in why:
            facts["_final"] = re.search(r"failed: 4\d\d", why) is not None
        via = f" (proxy {proxy})" if proxy else ""
        return NetworkError(f"{method} {facts['path'] or '/'} at {where}{via}: {why}{unknown}", **facts)

    # 4. what urllib.request does for us

    def _opener(self) -> Any:
        """An opener for http and https alone, made anew when the proxy variables change."""
        variables = None if self.proxies is not None else tuple(os.environ.get(name) for name in _PROXY_VARIABLES)
        if self.opener is None or variables != self.opener_for:
            opener = urllib.request.OpenerDirector()
            proxies = None if self.proxies is None else dict(self.proxies)
            for handler in (urllib.request.ProxyHandler(proxies), _KeepAlive(self), _Redirects(self),
                            urllib.request.HTTPErrorProcessor()):
                opener.add_handler(handler)
            self.opener, self.opener_for = opener, variables
        return self.opener

    def context(self) -> Any:
        """The TLS context, made once."""
        if self.ssl_context is None:
            self.ssl_context = ssl.create_default_context()
            self.ssl_context.set_alpn_protocols(["http/1.1"])
        return self.ssl_context


_PROXY_VARIABLES = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "REQUEST_METHOD")


def _may_exist(noun: str) -> str:
    look = " (replicate.predictions.list())" if noun == "prediction" else ""
    made = "made" if noun == "change" else "created"
    return "" if noun == "cancel" else f"; the {noun} may have been {made}: look before you send it again{look}"


def _origin(url: str) -> Tuple[str, str, Optional[int]]:
    """Scheme, host and port (RFC 6454). An address that readers could understand differently has no origin of ours."""
    parts = urllib.parse.urlsplit(url)
    if "@" in parts.netloc or "\\" in parts.netloc:
        return "", "", None
    try:
        port = parts.port or {"http": 80, "https": 443}.get(parts.scheme)
    except ValueError:
        port = None
    return parts.scheme, parts.hostname or "", port


def _quoted(url: str) -> str:
    """A URL as it goes over the wire: ASCII without spaces (RFC 3986), the host in IDNA."""
    if re.fullmatch(r"[!#-;=?-\[\]_a-z~]*", url):
        return url
    scheme, host, *rest = urllib.parse.urlsplit(url)
    path, query, _ = (urllib.parse.quote(part, safe="%/:=&?~+!$,;'@()*[]") for part in rest)
    return urllib.parse.urlunsplit((scheme, host.encode("idna").decode("ascii"), path, query, ""))


def _shown(url: str) -> str:
    return url if len(url) <= 100 else url[:97] + "..."


def _retry_after(headers: Any, text: str, status: int, now: float) -> Optional[float]:
    """Seconds that the server asks us to wait: Retry-After in seconds or as a date (RFC 9110, section 10.2.3),
    ratelimit-reset, or the words "resets in ~30s"; the latter two of a 429 only. None where it says nothing."""
    after = (headers.get("Retry-After") or "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", after):
        return float(after)
    if after:
        import email.utils
        try:
            return max(0.0, email.utils.parsedate_to_datetime(after).timestamp() - now)
        except (TypeError, ValueError, OverflowError):
            pass
    if status == 429:
        found = re.match(r"\s*(\d+(?:\.\d+)?)\s*$", headers.get("ratelimit-reset") or "") \
            or re.search(r"resets in ~?\s*(\d+(?:\.\d+)?)\s*s", text)
        return float(found.group(1)) if found else None
    return None


def _problem(body: str, content_type: str) -> Dict[str, Any]:
    """title, detail, type and instance from an error's body; of HTML or text, what a person can read of it."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        text = re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", body) if "<" in body else body
        return {"detail": " ".join(text.split())[:300] or None}
    if not isinstance(data, dict):
        return {"detail": body[:300]}
    detail = data.get("detail", data.get("error"))
    if isinstance(detail, list):  # Cog: {"detail": [{"loc": ["body", "input", "times"], "msg": "..."}]}
        detail = "; ".join(".".join(str(p) for p in part.get("loc", ())[1:]) + ": " + str(part.get("msg"))
                           if isinstance(part, dict) else str(part) for part in detail)
    found = {"title": data.get("title"), "detail": detail, "type": data.get("type"), "instance": data.get("instance")}
    return {key: str(value) for key, value in found.items() if value is not None}


class _Pool:
    """Connections that have answered and are kept, by host, the newest last."""

    def __init__(self) -> None:
        self.idle: Dict[Any, List[Any]] = {}

    def take(self, key: Any, fresh: bool) -> Any:
        """A kept connection that is certain to be of use: none of another process, of long ago, or with anything to read."""
        idle = self.idle.get(key)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread was faster
                return None
            age = time.time() - connection.kept_at
            if connection.process == os.getpid() and 0 <= age < (_FRESH if fresh else _KEPT_FOR) \
                    and not _readable(connection.sock):
                return connection
            connection.close()
        return None

    def keep(self, connection: Any) -> None:
        idle = self.idle.setdefault(connection.key, [])
        if len(idle) >= _KEPT_MOST:
            connection.close()
            return
        connection.kept_at, connection.process = time.time(), os.getpid()
        idle.append(connection)

    def close(self) -> None:
        for idle in self.idle.values():
            while idle:
                idle.pop().close()


def _readable(sock: Any) -> bool:
    """Whether there is anything to read on an idle socket: its end, an error, or what nobody asked for."""
    try:
        if not hasattr(select, "poll"):  # Windows
            return bool(select.select([sock], [], [], 0)[0])
        poll = select.poll()
        poll.register(sock, select.POLLIN)
        return bool(poll.poll(0))
    except (OSError, ValueError):
        return True


class _Limited(io.RawIOBase):
    """A socket to read from, each read bounded by what is left of the call (promise 8)."""

    def __init__(self, connection: Any, sock: Any) -> None:
        self.connection, self.sock, self.raw, self.muted = connection, sock, sock.makefile("rb", buffering=0), False

    def makefile(self, *mode: Any) -> _Reader:
        return _Reader(self, 1 << 16)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> Optional[int]:
        if self.muted:
            return None
        self.sock.settimeout(self.connection.limit())
        return self.raw.readinto(buffer)

    def close(self) -> None:
        self.raw.close()
        super().close()


class _Reader(io.BufferedReader):
    """Reads an answer, and notes what came after its end: such a connection is not used again."""

    surplus = False

    def close(self) -> None:
        if not self.closed:
            self.raw.muted = True  # type: ignore[attr-defined]
            self.surplus = bool(self.peek(1))
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer that skips interim ones and gives its connection back when it has been read to its end."""

    connection: Any = None  # set once the head is here

    def __init__(self, connection: Any, sock: Any, debuglevel: int = 0, method: Optional[str] = None,
                 url: Optional[str] = None) -> None:
        super().__init__(_Limited(connection, sock), method=method)  # type: ignore[arg-type]
        self.reader: Any = self.fp
        self.whole = False

    def _read_status(self) -> Any:
        for _ in range(_INTERIM_MOST):
            answer = super()._read_status()  # type: ignore[misc]
            if not 100 <= answer[1] < 200 or answer[1] == 101:
                return answer
            http.client.parse_headers(self.fp)
        raise http.client.HTTPException("too many interim answers")

    def is_event_stream(self) -> bool:
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower() == "text/event-stream"

    def blocks(self, size: int) -> Iterator[bytes]:
        """Yield the body as it arrives, never waiting for a block to be full; IncompleteRead where it is cut short."""
        left = None if self.chunked else self.length
        while left is None or left > 0:
            if left is None:
                block = self.read1(size)
            else:  # HTTPResponse.read1 loses count of the length before Python 3.12
                block = self.fp.read1(min(size, left))
                if not block:
                    raise http.client.IncompleteRead(b"", left)
                left -= len(block)
            if not block:
                break
            yield block
        self.whole = True

    def close(self) -> None:
        connection, self.connection = self.connection, None
        whole = self.whole or self.isclosed()
        super().close()
        if connection is not None:
            if connection.call.stop is not None:
                connection.call.stop.reading.discard(connection)
            if whole and not self.will_close and not self.reader.surplus and connection.sock is not None:
                connection.call = None
                connection.pool.keep(connection)
            else:
                connection.close()


class _Connection:
    """What http.client's two connections lack: limits for each operation, and silence about what they send."""

    debuglevel = 0  # http.client would print the token

    def prepare(self, request: _Request, key: Any, pool: _Pool) -> None:
        self.key, self.pool, self.call, self.seconds = key, pool, request.call, request.seconds

    def response_class(self, sock: Any, **options: Any) -> _Response:
        return _Response(self, sock, **options)

    def limit(self) -> Optional[float]:
        return self.call.left(self.seconds)

    def connect(self) -> None:
        self.timeout = self.limit()
        super().connect()  # type: ignore[misc]
        self.sock: Any
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 20)):  # seconds: a vanished peer is noticed in minutes
            if hasattr(socket, name):
                self.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

    def send(self, data: Any) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _BLOCK):  # sendall's time-out is for the whole of its data
            self.sock.settimeout(self.limit())
            self.sock.sendall(view[start:start + _BLOCK])


class _HTTP(_Connection, http.client.HTTPConnection):
    pass


if ssl is not None:
    class _HTTPS(_Connection, http.client.HTTPSConnection):
        pass


class _KeepAlive(urllib.request.AbstractHTTPHandler):
    """Opens http and https URLs over connections that are kept."""

    def __init__(self, transport: _Transport) -> None:
        super().__init__()
        self.transport = transport

    def http_open(self, request: Any) -> _Response:
        key = (request.type, request.host, request._tunnel_host)
        headers = {**request.headers, **request.unredirected_hdrs}
        proxy_headers = {name: headers.pop(name) for name in ("Proxy-authorization",) if request._tunnel_host and name in headers}
        connection = self.transport.pool.take(key, fresh=bool(request.noun) or not self.transport.retries)
        if connection is None:
            connection = self._new(request)
            if request._tunnel_host:
                connection.set_tunnel(request._tunnel_host, headers=proxy_headers)
        connection.prepare(request, key, self.transport.pool)
        try:
            return self._exchange(connection, request, headers)
        except BaseException:
            connection.close()
            raise

    https_open = http_open
    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def _new(self, request: Any) -> Any:
        if request.type == "http":
            return _HTTP(request.host)
        if ssl is None:
            raise ReplicateError("this Python was built without ssl: https cannot be used")
        return _HTTPS(request.host, context=self.transport.context())

    def _exchange(self, connection: Any, request: Any, headers: Dict[str, Any]) -> _Response:
        call, stop = request.call, request.call.stop
        if connection.sock is None:
            connection.connect()
        request.sent = True
        if stop is not None and not request.noun:
            stop.reading.add(connection)
        try:
            connection.request(request.get_method(), request.selector, request.data, headers)
        except (BrokenPipeError, ConnectionResetError):  # it may have refused an upload half way, and said why
            if isinstance(request.data, bytes) or request.data is None:
                raise
        connection.call, connection.seconds = call.narrowed(request.patience), request.patience
        try:
            response = connection.getresponse()
            connection.call = call
        except KeyboardInterrupt as interrupt:
            if not request.noun or request.patience is None:
                raise
            call.interrupt = interrupt  # raised once it is known what was created, so that it can be cancelled
            connection.call = _Call(self.transport.client, _GRACE, _Stop())
            response = connection.getresponse()
        connection.seconds = request.seconds if request.patience is not None else None
        response.connection = connection
        response.msg = response.reason  # as urllib.request wants it
        return response


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows the redirects of a GET, each request with the headers that its own origin may have; the rest is refused."""

    def __init__(self, transport: _Transport) -> None:
        self.transport = transport

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.get_method() != "GET":
            return None
        fp.close()  # its body is of no interest, and may have no end
        if req.type == "https" and not newurl.lower().startswith("https:"):
            raise ReplicateError(f"will not follow a redirect from https to {_shown(newurl)}", _final=True)
        kept = {name: value for name, value in req.headers.items() if name in ("Accept", "Accept-encoding", "Last-event-id")}
        request = self.transport._prepared("GET", newurl, None, kept)
        request.call, request.seconds, request.patience, request.noun = req.call, req.seconds, req.patience, ""
        return request

    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302

    def http_error_default(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        return fp


def _opened(response: Any) -> Any:
    return response


def _unpacked(response: Any, body: bytes) -> bytes:
    if (response.headers.get("Content-Encoding") or "").strip().lower() != "gzip":
        return body
    try:
        return zlib.decompress(body, 31)
    except zlib.error as error:
        raise _Garbage(f"not gzip: {error}") from None


def _read_bytes(response: Any) -> bytes:
    with response:
        return _unpacked(response, response.read())


def _read_text(response: Any) -> str:
    return _read_bytes(response).decode("utf-8", "replace")


def _read_nothing(response: Any) -> bool:
    _read_bytes(response)
    return True


def _read_json(response: Any, kind: type) -> Any:
    body = _read_bytes(response)
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        raise _Garbage(f"the answer is not JSON: {_short(body[:60])}") from None
    if not isinstance(data, kind):
        raise _Garbage(f"the answer is no JSON {'object' if kind is dict else 'list'}: {_short(body[:60])}")
    return data


_read_object = functools.partial(_read_json, kind=dict)
_read_list = functools.partial(_read_json, kind=list)


def _read_run(response: Any) -> Any:
    data = _read_object(response)
    if not isinstance(data.get("id"), str) or not isinstance(data.get("status"), str):
        raise _Garbage("the answer has no id and status")
    return data


# ---------------------------------------------------------------------------------------------------------------------
# Webhooks
# ---------------------------------------------------------------------------------------------------------------------


class Webhooks(Namespace):
    """Webhooks: their secret, and whether one that came is genuine. https://replicate.com/docs/topics/webhooks"""

    class Default(Namespace):
        """The webhook of this account."""

        def secret(self) -> WebhookSigningSecret:
            """Return the secret that signs its deliveries; keep it, it rarely changes. GET /webhooks/default/secret."""
            return self._client._fetch("GET", "/webhooks/default/secret", WebhookSigningSecret)

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.default = Webhooks.Default(client)

    @staticmethod
    def validate(request: Any = None, headers: Any = None, body: Any = None, secret: Any = None,
                 tolerance: Optional[float] = 300) -> bool:
        """Return True for a genuine delivery; else raise WebhookError. No request is made.

        headers is a mapping in any case, an ASGI list of pairs or a WSGI environ; body the raw bytes as they came, or
        text; or both are those of `request` (its .headers, and .content or .body). secret is "whsec_..." or what
        webhooks.default.secret() gives. tolerance is how many seconds the time may be off; None: any.
        Deliveries are repeated, with the same webhook-id. https://www.standardwebhooks.com
        """
        import hmac
        key = _webhook_key(secret)
        if request is not None:
            headers, body = request.headers, getattr(request, "content", None) or getattr(request, "body", b"")
        found = _webhook_headers(headers or {})
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            if not found.get(name):
                raise WebhookError(f"the header {name} is missing")
        if not body:
            raise WebhookError("the body is missing")
        stamp = found["webhook-timestamp"]
        if not re.fullmatch(r"\d{1,12}", stamp):
            raise WebhookError("webhook-timestamp is not a number of seconds")
        if tolerance is not None and abs(time.time() - int(stamp)) > tolerance:
            raise WebhookError(f"webhook-timestamp is more than {tolerance:g} s away from this machine's time")
        content = f"{found['webhook-id']}.{stamp}.".encode() + (body.encode() if isinstance(body, str) else bytes(body))
        right = base64.b64encode(hmac.new(key, content, "sha256").digest())
        given = [part[3:] for part in found["webhook-signature"].split() if part.startswith("v1,")]
        if not any([hmac.compare_digest(right, signature.encode()) for signature in given]):
            raise WebhookError("no webhook-signature is that of this body under this secret")
        return True


def _webhook_key(secret: Any) -> bytes:
    text = secret if isinstance(secret, str) else getattr(secret, "key", None)
    try:
        key = base64.b64decode((text or "").strip().partition("whsec_")[2] or (text or "").strip(), validate=True)
    except ValueError:
        key = b""
    if not key:
        raise ValueError("secret is 'whsec_...', or what webhooks.default.secret() gives")
    return key


def _webhook_headers(headers: Any) -> Dict[str, str]:
    """Headers of any shape by their lower-case names: mappings, pairs of bytes (ASGI), HTTP_WEBHOOK_ID (WSGI), lists."""
    def text(value: Any) -> str:
        value = " ".join(text(item) for item in value) if isinstance(value, (list, tuple)) else value
        return value.decode("latin-1") if isinstance(value, bytes) else str(value)
    pairs = headers.items() if hasattr(headers, "items") else headers
    return {re.sub("^http-", "", text(name).lower().replace("_", "-")): text(value).strip() for name, value in pairs}

# ---------------------------------------------------------------------------------------------------------------------
# Command line
# ---------------------------------------------------------------------------------------------------------------------

_USAGE = """Run machine-learning models on Replicate, or in Cog containers of your own.

  replicate run black-forest-labs/flux-schnell prompt="an astronaut" -o astronaut.webp
  replicate run meta/meta-llama-3-8b-instruct prompt="Tell me a joke"
  replicate run MODEL --help                 the model's inputs
  replicate run MODEL image=@photo.jpg       send a file; @- is standard input
  replicate run http://127.0.0.1:5000 text=hello
  replicate map MODEL < inputs.jsonl > results.jsonl
  replicate watch ID                         follow a prediction that runs already
  replicate models search llama              every method of the API, as RESOURCE VERB [ARG ...] [NAME=VALUE ...]
  replicate predictions list --all           as JSON, one a line

run, map and watch take --help. Resources: models, predictions, trainings, deployments, files, collections, hardware,
account, webhooks, search; RESOURCE --help lists the verbs. The token is read from REPLICATE_API_TOKEN.
Exit codes: 0 done, 1 the model failed, was canceled or timed out, 2 bad usage or input, 3 API or network, 130 interrupted.
"""


class _Usage(Exception):
    """A command line that is wrong: its text goes to standard error, exit code 2."""


def main(argv: Optional[Sequence[str]] = None) -> int:
    """Run the command line and return its exit code: 0, 1, 2, 3 or 130 (see --help)."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(_USAGE, end="")
        return 0 if words else 2
    if words[0] in ("-V", "--version"):
        print(f"replicate-onefile {__version__}")
        return 0
    try:
        with _Signals():
            return _command(words)
    except (ValueError, TypeError, _Usage) as error:
        return _told(error, 2)
    except (ModelError, PredictionTimeout) as error:
        return _told(error, 1)
    except ReplicateError as error:
        return _told(error, 3)
    except KeyboardInterrupt:
        return _told("interrupted", 130)
    except BrokenPipeError:  # the reader has left, as `head` does
        sys.stdout = open(os.devnull, "w", encoding="utf-8")
        return 0


def _told(message: Any, code: int) -> int:
    print(f"replicate: {_printable(str(message), sys.stderr)}", file=sys.stderr)
    return code


class _Signals:
    """Makes SIGTERM what Ctrl-C is, while the command line runs in the main thread."""

    def __enter__(self) -> None:
        import signal
        self.main = threading.current_thread() is threading.main_thread()
        if self.main:
            def stop(*_: Any) -> None:
                raise KeyboardInterrupt
            self.before = signal.signal(signal.SIGTERM, stop)

    def __exit__(self, *error: Any) -> None:
        import signal
        if self.main:
            signal.signal(signal.SIGTERM, self.before)


def _printable(text: str, file: Any) -> str:
    """Text without control characters where it goes to a terminal, which would obey them; a pipe gets it as it is."""
    return re.sub(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text) if file.isatty() else text


def _write(text: str, end: str = "") -> None:
    out = _printable(text, sys.stdout) + end
    try:
        sys.stdout.write(out)
    except UnicodeEncodeError:  # a terminal that knows few characters
        sys.stdout.write(out.encode(sys.stdout.encoding, "replace").decode(sys.stdout.encoding))
    sys.stdout.flush()


def _status(text: str) -> None:
    """A line on a terminal's standard error that the next one replaces; "" clears it."""
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K" + text)
        sys.stderr.flush()


def _command(words: List[str]) -> int:
    if words[0] in ("run", "map", "watch"):
        options = _options(words[0]).parse_intermixed_args(words[1:])
        return {"run": _run_command, "map": _map_command, "watch": _watch_command}[words[0]](options)
    return _resource_command(words)


def _options(command: str) -> Any:
    """The options of run, map and watch."""
    import argparse
    examples = {"run": "replicate run replicate/hello-world text=Alice", "watch": "replicate watch gm3qorzdhgbfurvjtvhg6dckhu",
                "map": """replicate map replicate/hello-world < inputs.jsonl    each line a JSON object such as {"text": "Alice"}"""}
    parser = argparse.ArgumentParser(prog=f"replicate {command}", usage=examples[command], add_help=command != "run")
    add = parser.add_argument
    if command == "watch":
        add("id", help="the prediction's id")
    else:
        add("model", nargs="?" if command == "run" else None, help="owner/name, owner/name:version, a version id, "
            "deployments/owner/name, or the address of a Cog container")
    if command == "run":
        add("inputs", nargs="*", metavar="key=value", help="an input; key=@file sends a file, key:=json is JSON")
        add("--help", "-h", action="store_true", help="show the model's inputs")
        add("--input", metavar="FILE", help="read inputs from a JSON object in a file, or - for standard input")
        add("--no-wait", action="store_true", help="print the prediction's id and return")
        add("--web", action="store_true", help="open the prediction's page in a browser")
    if command == "map":
        add("--concurrency", type=int, default=8, help="runs at a time (8)")
    else:
        add("-o", "--output", metavar="PATH", help="save files: a directory, a name, or - for standard output")
        add("--json", action="store_true", help="print the whole prediction")
        add("--logs", action="store_true", help="show the model's logs on standard error")
    add("--timeout", type=float, metavar="SECONDS", help="give up after so long, and cancel")
    if command != "watch":
        add("--cancel-after", metavar="DURATION", help="have the server cancel it, as 5m")
    return parser


def _run_command(options: Any) -> int:
    client = default_client
    if options.model is None or "=" in options.model.partition("/")[0]:
        _options("run").print_help()
        return 0 if options.help else 2
    target = _target(options.model)
    try:
        description, openapi, page = _description(client, options.model)
    except APIError as error:
        if error.status == 401 or options.help:
            raise
        description, openapi, page = "", None, ""  # then the inputs are not typed, and the creation tells what is wrong
    if options.help:
        _write(_describe(options.model, description, openapi, page) + "\n")
        return 0
    input = _typed(options, _fields(openapi))
    job = _job(client, target, input, wait=False, timeout=options.timeout, cancel_after=options.cancel_after)
    if options.no_wait:
        _write(job.created().id + "\n")
        return 0
    job.start()
    if options.web and (job.prediction.get("urls") or {}).get("web"):
        import webbrowser
        webbrowser.open(job.prediction.urls["web"])
    return _follow(job, options, _part(openapi, "Output"))


def _watch_command(options: Any) -> int:
    prediction = default_client.predictions.get(options.id)
    job = _Watched(default_client, prediction, options.timeout)
    return _follow(job, options, {})


class _Watched(_Job):
    """A prediction that somebody else has started, and that is not ours to cancel."""

    def __init__(self, client: Client, prediction: Prediction, timeout: Optional[float]) -> None:
        super().__init__(client, _Target(""), None, timeout=timeout)
        self.prediction = prediction

    def cancel(self, call: _Call) -> None:
        _told(f"{self.prediction.id} goes on: replicate watch {self.prediction.id}", 0)


def _follow(job: Any, options: Any, schema: Dict[str, Any]) -> int:
    """Show a run to its end as the options say, and return the exit code."""
    shown = _Shown(job, options)
    text = schema.get("x-cog-array-display") == _CONCATENATED or not schema and job.target.cog == ""
    try:
        streams = job.target.cog or (job.prediction.get("urls") or {}).get("stream")
        if streams and not options.json and not options.output and (text or job.target.iterates):
            return shown.events(job.events())
        if job.prediction is not None:
            shown.wait()
        return shown.result(job.output(), schema)
    except ModelError as error:
        if options.json:
            _write(json.dumps(error.prediction, indent=2, ensure_ascii=False) + "\n")
        raise
    except KeyboardInterrupt:
        if job.prediction is not None and not isinstance(job, _Watched):
            _status("")
            _told(f"cancelled {job.prediction.get('id')}", 130)
        raise
    finally:
        _status("")


class _Shown:
    """A run as the command line shows it."""

    def __init__(self, job: Any, options: Any) -> None:
        self.job, self.options, self.logged = job, options, 0

    def progress(self) -> None:
        """What is new: the model's log lines where they are asked for, and how far it is."""
        run = self.job.prediction
        logs = run.get("logs") or ""
        if self.options.logs and len(logs) > self.logged:
            _status("")
            sys.stderr.write(_printable(logs[self.logged:], sys.stderr))
            self.logged = len(logs)
        call, bar = self.job.call, run.progress
        done = f", {bar.percentage:.0%}" if bar else ""
        _status(f"{run.get('status')} {call.clock.now() - call.started:.0f} s{done}")

    def wait(self) -> None:
        with self.job:
            self.progress()
            for _ in self.job.prediction._polls(self.job.call):
                self.progress()

    def events(self, events: Iterator[ServerSentEvent]) -> int:
        """Text as it comes; files a line each."""
        last = "\n"
        for event in events:
            if event.event == "logs" and self.options.logs:
                sys.stderr.write(_printable(event.data, sys.stderr))
            elif event.event == "output" and event.data:
                _status("")
                last = event.data + "\n" if isinstance(event.data, FileOutput) else event.data
                _write(last)
        if not last.endswith("\n"):
            _write("\n")
        return 0

    def result(self, output: Any, schema: Dict[str, Any]) -> int:
        _status("")
        if self.options.json:
            _write(json.dumps(self.job.prediction, indent=2, ensure_ascii=False) + "\n")
        elif self.options.output:
            self.save(output)
        else:
            _write(_as_text(output, schema))
        return 0

    def save(self, output: Any) -> None:
        """Put the files, or what else there is, where -o says; print where each file went."""
        files = [item for item in (output if isinstance(output, list) else [output]) if isinstance(item, FileOutput)]
        where = self.options.output
        if where == "-":
            for file in files:
                for block in file.iter_bytes():
                    sys.stdout.buffer.write(block)
            _write("" if files else _as_text(output, {}))
        elif not files and not os.path.isdir(where):
            with open(where, "w", encoding="utf-8", newline="") as file:
                file.write(_as_text(output, {}))
        elif not files:
            _write(_as_text(output, {}))
        for file in files if where != "-" else ():
            try:
                _write(f"{file.save(where if len(files) == 1 else os.path.join(where, ''))}\n")
            except ReplicateError:
                _told("not saved: " + " ".join(files), 3)
                raise


def _as_text(output: Any, schema: Dict[str, Any]) -> str:
    """An output for people and pipes: text as it is, files a line each, everything else as indented JSON."""
    if isinstance(output, str):
        return output if output.endswith("\n") else output + "\n"
    if isinstance(output, list) and output and all(isinstance(item, str) for item in output):
        lines = any(isinstance(item, FileOutput) for item in output) \
            or schema.get("type") == "array" and schema.get("x-cog-array-display") != _CONCATENATED
        return _as_text(("\n" if lines else "").join(output), schema)
    return json.dumps(output, indent=2, ensure_ascii=False) + "\n"


def _map_command(options: Any) -> int:
    client, failed, done = default_client, 0, 0
    target = _target(options.model)
    fields = _fields(_description(client, options.model)[1])
    drawn: Any = deque()

    def inputs() -> Iterator[Any]:
        for number, line in enumerate(sys.stdin, 1):
            if line.strip():
                try:
                    value = json.loads(line)
                except ValueError:
                    value = line.rstrip("\n")
                drawn.append((number, value))
                wrong = _wrong_values(value, fields) if isinstance(value, dict) else []
                yield _Wrong("; ".join(wrong)) if wrong else value

    outputs = client.map(target, inputs(), concurrency=options.concurrency, return_exceptions=True,
                         timeout=options.timeout, cancel_after=options.cancel_after)
    for output in outputs:
        number, input = drawn.popleft()
        done += 1
        bad = isinstance(output, Exception)
        failed += bad
        _write(json.dumps({"line": number, "input": input, "error" if bad else "output": str(output) if bad else output},
                          ensure_ascii=False) + "\n")
        _status(f"{done} done, {failed} failed")
    _status("")
    print(f"{done} done, {failed} failed", file=sys.stderr)
    return 1 if failed else 0


class _Wrong(str):
    """What is wrong with an input, in the place of the input: no run comes of it."""


def _typed(options: Any, fields: Dict[str, _Field]) -> Dict[str, Any]:
    """The inputs of a command line as the schema types them. Raises _Usage with all that is wrong."""
    input: Dict[str, Any] = {}
    wrong: List[str] = []
    if options.input:
        data = json.loads(_content("-" if options.input == "-" else options.input).decode())
        if not isinstance(data, dict):
            raise _Usage("--input holds no JSON object")
        input.update(data)
        wrong += _wrong_values(data, fields)
    given: Set[str] = set()
    for word in options.inputs:
        name, equals, text = word.partition("=")
        literal = name.endswith(":")
        name = name[:-1] if literal else name
        field = fields.get(name)
        if not equals:
            wrong.append(f"{word!r} is not key=value")
        elif fields and field is None:
            wrong += _misnamed({name: text}, fields)
        else:
            try:
                value = json.loads(text) if literal else _value(field, text)
                if name in given and isinstance(input[name], list) and (field is None or "array" in field.types):
                    value = input[name] + (value if isinstance(value, list) else [value])
                elif name in given:
                    raise ValueError("is given twice")
                input[name] = value
            except ValueError as error:
                wrong.append(f"{name} {'is not JSON' if literal and 'twice' not in str(error) else error}")
            given.add(name)
    wrong += [f"{name} is required" for name, field in fields.items() if field.required and name not in {*input, *given}]
    if wrong:
        raise _Usage("\n  ".join(["the inputs are wrong:"] + wrong) if len(wrong) > 1 else wrong[0])
    return input


def _content(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}; for a text that begins with @ write key:='\"@...\"'") from None


def _value(field: Optional[_Field], text: str) -> Any:
    """One value of the command line by its field, None where there is no schema. Raises ValueError."""
    if text.startswith("@"):
        if field is None or field.takes_files():
            return _file_value(text[1:])
        text = _content(text[1:]).decode()
    if field is None or not field.types and not field.choices:
        try:
            return json.loads(text)
        except ValueError:
            return text
    secret = field.format == "password"
    for choice in field.choices:
        if text == (choice if isinstance(choice, str) else json.dumps(choice)):
            return choice
    if text == "null" and field.nullable and "string" not in field.types:
        return None
    if field.choices:
        import difflib
        near = difflib.get_close_matches(text, [str(choice) for choice in field.choices], 1)
        some = ", ".join(str(choice) for choice in field.choices[:20]) + (" ..." if len(field.choices) > 20 else "")
        raise ValueError(("is not one of the choices" if secret else f"cannot be {text!r}")
                         + (f": did you mean {near[0]!r}?" if near and not secret else f": it is one of {some}"))
    for kind in sorted(field.types, key=("array", "object", "integer", "number", "boolean", "string").index):
        try:
            return _checked(field, _converted(kind, text, field))
        except _Mistyped:
            continue
    raise ValueError(f"is to be {' or '.join(field.types)}" + ("" if secret else f", not {text!r}"))


class _Mistyped(ValueError):
    """A text that is no value of a type."""


def _converted(kind: str, text: str, field: _Field) -> Any:
    if kind == "string":
        return text
    try:
        value = json.loads({"yes": "true", "no": "false", "True": "true", "False": "false"}.get(text, text))
    except ValueError:
        value = text
    if kind == "array" and not isinstance(value, list) and "string" not in field.types:
        kinds = field.items.get("type") or "string"
        return [text if kinds == "string" else value]
    if not _is_a(value, kind):
        raise _Mistyped
    return value


def _is_a(value: Any, kind: str) -> bool:
    if kind in ("integer", "number"):
        return _is_number(value) and (kind == "number" or value == int(value))
    return isinstance(value, {"string": str, "boolean": bool, "array": list, "object": dict}.get(kind, object))


def _checked(field: _Field, value: Any) -> Any:
    """The value, unless it is out of the field's range."""
    if _is_number(value):
        for bound, broken, word in ((field.least, lambda a, b: a < b, "at least"), (field.most, lambda a, b: a > b, "at most")):
            if _is_number(bound) and broken(value, bound):
                raise ValueError(f"is {word} {bound}, not {value}")
    return value


def _wrong_values(input: Dict[str, Any], fields: Dict[str, _Field]) -> List[str]:
    """What is wrong with an input that came as JSON."""
    wrong = _misnamed(input, fields)
    for name, value in input.items():
        field = fields.get(name)
        if field is None or value is None and field.nullable:
            continue
        if field.choices and value not in field.choices or field.types and not any(_is_a(value, kind) for kind in field.types):
            wrong.append(f"{name} is not " + ("one of its choices" if field.choices else f"of type {' or '.join(field.types)}"))
        try:
            _checked(field, value)
        except ValueError as error:
            wrong.append(f"{name} {error}")
    return wrong


def _file_value(path: str) -> Any:
    """A file named on the command line; of standard input its bytes, or the URL that came through the pipe."""
    data = _content(path)
    if path != "-":
        return _FilePathLike(path)
    line = data.strip()[:2000].decode("utf-8", "replace") if len(data) < 2000 else ""
    return line if _is_file(line) else data


def _describe(ref: Any, description: str, openapi: Any, page: str) -> str:
    """A model's inputs and output for people, wrapped to the terminal's width."""
    import shutil
    import textwrap
    width = max(40, shutil.get_terminal_size().columns - 2)
    name = ref if isinstance(ref, str) else getattr(ref, "id", ref)

    def wrapped(text: str, indent: str) -> List[str]:
        return textwrap.wrap(" ".join(text.split()), width, initial_indent=indent, subsequent_indent=indent)

    lines = [f"{name}: {page}" if page else str(name), *wrapped(description, ""), ""]
    fields = _fields(openapi)
    lines += ["Inputs:"] if fields else ["Its inputs are not known: there is no schema. Values are JSON, or else text."]
    for field in fields.values():
        facts = [" or ".join(field.types) or "any", *(["file or URL"] if field.takes_files() else [])]
        facts += ["secret"] if field.format == "password" else []
        facts += [f"from {field.least}"] if field.least is not None else []
        facts += [f"to {field.most}"] if field.most is not None else []
        facts += ["required"] if field.required else []
        if field.default is not None and field.format != "password":
            facts.append(f"default {_short(json.dumps(field.default, ensure_ascii=False))}")
        lines += wrapped(f"{field.name}  ({', '.join(facts)})", "  ")
        lines += wrapped(field.description, "      ")
        if field.choices:
            lines += wrapped("one of: " + ", ".join(str(choice) for choice in field.choices), "      ")
    output = _part(openapi, "Output")
    if output:
        kind = str(output.get("type") or "any value")
        if kind == "array":
            items = output.get("items") or {}
            kind = "text, as it is made" if output.get("x-cog-array-display") == _CONCATENATED else \
                f"a list of {'files' if items.get('format') == 'uri' else str(items.get('type') or 'values')}"
        lines += ["", "Output: " + ("a file" if output.get("format") == "uri" else kind)]
    return "\n".join(lines)


def _resource_command(words: List[str]) -> int:
    """RESOURCE VERB [ARG ...] [NAME=VALUE ...]: a method of the client, found by its name, called by its signature."""
    import inspect
    wants_help, every = bool({"-h", "--help"} & {*words}), "--all" in words
    words = [word for word in words if word not in ("-h", "--help", "--all")]
    thing: Any = default_client
    path: List[str] = []
    while words and isinstance(thing, (Client, Namespace)):
        found = None if words[0].startswith(("_", "async_")) else getattr(thing, words[0], None)
        if not (isinstance(found, Namespace) or callable(found)) or path == [] and not isinstance(found, Namespace) \
                and words[0] != "search":
            break
        thing, path = found, path + [words.pop(0)]
    if not path:
        raise _Usage(f"there is no command {words[0]!r}; replicate --help shows what there is")
    if isinstance(thing, Namespace):
        verbs = [name for name in dir(thing) if not name.startswith(("_", "async_"))]
        listing = "\n".join(f"  {' '.join(path)} {verb:12} {(inspect.getdoc(getattr(thing, verb)) or '').splitlines()[0]}"
                            for verb in verbs)
        if wants_help:
            _write(listing + "\n")
            return 0
        raise _Usage(f"{' '.join(path)} needs one of its verbs:\n{listing}")
    signature = inspect.signature(thing)
    if wants_help:
        _write(f"replicate {' '.join(path)} {signature}\n\n{inspect.getdoc(thing)}\n")
        return 0
    given, named = [], {}  # type: Tuple[List[str], Dict[str, Any]]
    for word in words:
        name, equals, text = word.partition("=")
        if equals and re.fullmatch(r"\w+:?", name):
            kind = str(getattr(signature.parameters.get(name), "annotation", ""))
            named[name.rstrip(":")] = text if kind in ("str", "Optional[str]") else _value(None, text)
        else:
            given.append(word)
    signature.bind(*given, **named)
    result = thing(*given, **named)
    if every and isinstance(result, Page):
        for item in result.iter_all():
            _write(json.dumps(item, ensure_ascii=False) + "\n")
    elif isinstance(result, bytes):
        sys.stdout.buffer.write(result)
        sys.stdout.flush()
    elif isinstance(result, Page):
        _write(json.dumps({"previous": result.previous, "next": result.next, "results": result}, indent=2, ensure_ascii=False) + "\n")
    else:
        _write(_as_text(result, {}))
    return 0


# ---------------------------------------------------------------------------------------------------------------------
# What a program that imports this module sees
# ---------------------------------------------------------------------------------------------------------------------

default_client = Client()
run, async_run = default_client.run, default_client.async_run
stream, async_stream = default_client.stream, default_client.async_stream
map, async_map = default_client.map, default_client.async_map
search, async_search = default_client.search, default_client.async_search
paginate, async_paginate = default_client.paginate, default_client.async_paginate
use = default_client.use
models, predictions, trainings = default_client.models, default_client.predictions, default_client.trainings
deployments, files, hardware = default_client.deployments, default_client.files, default_client.hardware
collections, accounts, account = default_client.collections, default_client.accounts, default_client.account
webhooks = default_client.webhooks

for _name in ("__about__ account client collection deployment exceptions file hardware helpers identifier model pagination "
              "prediction resource run schema stream training version webhook").split():  # the modules of 1.x: all this one
    sys.modules[f"{__name__}.{_name}"] = sys.modules[__name__]
    globals().setdefault(_name, sys.modules[__name__])

if __name__ == "__main__":
    sys.exit(main())

# MIT License
#
# Copyright (c) 2026 the replicate.py authors
#
# Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
# documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
# rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
# persons to whom the Software is furnished to do so, subject to the following conditions: The above copyright notice
# and this permission notice shall be included in all copies or substantial portions of the Software. THE SOFTWARE IS
# PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF
# MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR COPYRIGHT
# HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE,
# ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
