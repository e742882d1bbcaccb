# SPDX-License-Identifier: MIT
"""replicate.py 1.0.0: run machine-learning models on Replicate, or in Cog containers of your own.

One file without dependencies, for CPython 3.8 to 3.14 and PyPy, under the MIT licence; to vendor it, copy it. Get a
token at https://replicate.com/account/api-tokens, export it as REPLICATE_API_TOKEN, and:

    $ python -m replicate run black-forest-labs/flux-schnell prompt="an astronaut riding a horse" -o .
    >>> import replicate
    >>> images = replicate.run("black-forest-labs/flux-schnell", input={"prompt": "an astronaut riding a horse"})
    >>> images[0].save("astronaut.webp")

Every method has an `async_` twin. Every failure at run time is a ReplicateError; a call that is wrong in itself is a
ValueError or TypeError, raised before any request.

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
    import zlib
except ImportError:  # then answers are not asked for in compressed form
    zlib = None  # type: ignore[assignment]

TYPE_CHECKING = False  # checkers take it for true; at run time, importing typing would cost more than this file
if TYPE_CHECKING:
    import pathlib
    import ssl
    from typing import Any, BinaryIO, Callable, Dict, Iterable, Iterator, List, Mapping, Sequence, TypeVar
    _Dict = Dict[str, Any]
    _List = List[Any]
    _T = TypeVar("_T")
else:
    _Dict, _List = dict, list
    ssl = getattr(http.client, "ssl", None)  # None in an interpreter built without it, which still reaches http://

__version__ = "1.0.0"
__all__ = [
    "run", "stream", "map", "use", "search", "paginate", "async_run", "async_stream", "async_map", "async_search",
    "async_paginate", "main", "Client", "default_client", "models", "predictions", "trainings", "deployments", "files",
    "collections", "hardware", "accounts", "account", "webhooks", "Prediction", "Model", "Version", "Training", "File",
    "Deployment", "Page", "FileOutput", "ServerSentEvent", "ReplicateError", "ReplicateException", "APIError",
    "NetworkError", "ModelError", "PredictionTimeout", "WebhookError"]

# ---------------------------------------------------------------------------------------------------------------------
# Constants
# ---------------------------------------------------------------------------------------------------------------------

_API, _TOKENS_PAGE = "https://api.replicate.com/v1", "https://replicate.com/account/api-tokens"
_RUNNING = ("starting", "processing")  # the only statuses that mean "not over"; a word unknown today ends a wait
_TIMEOUT, _HOLD = 60.0, 60  # seconds: for a socket operation; the most that `Prefer: wait` may ask for
_GRACE = 5.0  # seconds: to cancel what is given up; more, and Ctrl-C feels broken
_SHORT_HOLD = 4  # seconds that map and async_ calls hold a creation, so that its id is known, and cancelled, within _GRACE
_POLL, _POLL_SHARE, _POLL_MOST = 0.5, 0.02, 5.0  # seconds between polls at first; then 2 % of the time elapsed; at most
_RETRIES = 5  # with the back-off below some 15 s in all: the restart of a load balancer is survived, an outage told
_BACKOFF, _WAIT_MOST = 0.5, 60.0  # seconds: doubled each time, with full jitter; no single wait is longer than a minute
_GAP_LEAST, _GAP_MOST = 0.1, 1.0  # seconds between creations once throttled: 600 a minute; low credit's 1 a second
_FRESH = 1.0  # seconds a kept connection may have idled and still carry a creating request: no server closes that soon
_KEPT_FOR, _KEPT_MOST = 50.0, 32  # seconds idle, below the usual 60 of load balancers; connections kept to one host
_INTERIM_MOST, _HEADERS_MOST, _LINE_MOST = 20, 200, 1 << 16  # 1xx answers, header lines, bytes in one: more is a fault
_ERROR_MOST = 1 << 16  # bytes of an error's body that are read: problem+json is small, an HTML page may not be
_BLOCK, _MEMORY_MOST = 1 << 18, 2 << 20  # bytes: read or sent at a time (more gained nothing); spooled in memory
_INLINE_MOST, _UPLOAD_MOST = 256 << 10, 100 << 20  # bytes: the API's advice for data URIs; what its files API takes
_WORKERS = 256  # threads for async_ calls, made as needed; what is awaited beyond that waits its turn
_MARKED_SINCE = (0, 3, 9)  # the Cog that began to mark iterators in the schema: before, every array may be one

# ---------------------------------------------------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------------------------------------------------

class ReplicateError(Exception):
    """Base of every failure at run time. str() is one line: what failed, why, what to do.

    Attributes, None where there is nothing to say: status (HTTP), title, detail, type and instance (RFC 9457), method,
    path, headers, request_id, retry_after (seconds), body (str, 64 KiB at most), and prediction, to find it again."""
    status: Any = None
    title = detail = type = instance = method = path = headers = request_id = retry_after = body = prediction = status
    _sent, _final = True, False  # whether the server may have seen the request; whether sending it again is of no use

    def __init__(self, message: Any = None, **facts: Any) -> None:
        known = [str(facts[name]) for name in ("status", "title", "detail") if facts.get(name) is not None]
        super().__init__(": ".join(known) if message is None else message)
        self.__dict__.update(facts)

    def __str__(self) -> str:
        text = " ".join(str(self.args[0]).split())
        known = self.prediction.get("id") if self.prediction is not None else None
        return f"{text} (prediction {known})" if known and known not in text else text

class APIError(ReplicateError):
    """The API answered with an error status: see `status`, `title` and `detail`."""

class NetworkError(ReplicateError):
    """No usable answer: DNS, connection, TLS, proxy, time-out, an answer cut short or not in JSON."""

class ModelError(ReplicateError):
    """The run ended, but not in success: `prediction.status`, `.error` and `.logs` tell more."""
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

class _Abandoned(BaseException):
    """Raised in a worker thread whose caller has left; like KeyboardInterrupt it is no Exception."""

_Garbage = ValueError  # what an answer of status 200 raises whose body is not what the API sends
ReplicateException, WebhookValidationError = ReplicateError, WebhookError  # names of 1.x
MissingWebhookHeaderError = MissingWebhookBodyError = InvalidTimestampError = InvalidSignatureError = WebhookError

# ---------------------------------------------------------------------------------------------------------------------
# The client
# ---------------------------------------------------------------------------------------------------------------------

_stop_of_task: contextvars.ContextVar[_Stop | None] = contextvars.ContextVar("replicate_stop", default=None)

class _Clock:
    """Time as a client sees it; tests put one of their own in its place."""
    now = staticmethod(time.monotonic)

    def sleep(self, seconds: float, stop: threading.Event | None = None) -> None:
        time.sleep(seconds) if stop is None else stop.wait(seconds)

class _Stop(threading.Event):
    """The word to give up, said by another thread; it also ends the reads that are under way."""
    def __init__(self) -> None:
        super().__init__()
        self.reading: set[Any] = set()

    def set(self) -> None:
        super().set()
        for connection in list(self.reading):
            try:
                connection.sock.shutdown(socket.SHUT_RDWR)
            except (OSError, AttributeError):  # it was over in that moment
                pass

class _Call:
    """The limits of one call: when it must have ended, and whether whoever made it has given it up."""
    bare = False  # whether its requests carry neither the token nor the caller's own headers, wherever they go
    in_flight = False  # whether a creation has left whose answer is not here
    watch: Callable[[Any], None] = staticmethod(lambda run: None)  # is shown the run each time there is news of it

    def __init__(self, client: Client, timeout: float | None = None, stop: _Stop | None = None) -> None:
        _check(timeout is None or _is_number(timeout) and timeout > 0, f"timeout is a positive number, not {timeout!r}")
        self.clock, self.timeout, self.stop = client._clock, timeout, stop or _stop_of_task.get()
        self.started = self.clock.now()
        self.deadline = math.inf if timeout is None else self.started + timeout

    def left(self, most: float | None) -> float | None:
        """Seconds that an operation may take: at most `most`, and no more than the call has left."""
        self.check()
        left = min(self.deadline - self.clock.now(), math.inf if most is None else most)
        if left <= 0:
            raise socket.timeout("timed out")
        return None if left == math.inf else left

    def narrowed(self, seconds: float | None) -> _Call:
        """The same call, with a nearer end for a part of it."""
        part = object.__new__(_Call)
        part.__dict__.update(self.__dict__)
        part.deadline = self.deadline if seconds is None else min(self.deadline, self.clock.now() + seconds)
        return part

    def over(self) -> bool:
        return self.clock.now() + 0.02 >= self.deadline  # a socket's time-out may come some milliseconds before its time

    def check(self) -> None:
        """Raise _Abandoned where another thread has said to give up."""
        if self.stop is not None and self.stop.is_set():
            raise _Abandoned

    def expired(self, more: str = "") -> PredictionTimeout:
        return PredictionTimeout(f"no result within {self.timeout:g} s{more}")

    def sleep(self, seconds: float) -> None:
        """Sleep, but not past the end of the call: then PredictionTimeout."""
        left = self.deadline - self.clock.now()
        self.clock.sleep(max(0.0, min(seconds, left)), self.stop)
        self.check()
        if seconds >= left:
            raise self.expired()

    def pause(self, at_first: float) -> None:
        """Sleep until the next poll is due: the longer it has lasted, the longer."""
        self.sleep(max(at_first, min(_POLL_MOST, _POLL_SHARE * (self.clock.now() - self.started))))

class _Twinned:
    """Gives every public method of a class its async_ twin, on the class itself, where programs look for it."""
    _client: Client

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, method in list(vars(cls).items()):
            plain = getattr(method, "__func__", method)  # of a staticmethod
            if not name.startswith(("_", "async_")) and hasattr(plain, "__code__"):
                if plain.__name__ == "operation":  # made by _operation(), which does not know where it will stand
                    plain.__name__, plain.__qualname__ = name, f"{cls.__qualname__}.{name}"
                twin = _twin(plain, f"async_{name}", f"{cls.__qualname__}.async_{name}")
                setattr(cls, twin.__name__, staticmethod(twin) if plain is not method else twin)

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...

def _twin(method: Callable[..., Any], *names: str) -> Callable[..., Any]:
    """The asynchronous form of a method: a coroutine, or an asynchronous iterator where it gives an iterator."""
    def iterating(*args: Any, **kwargs: Any) -> _AsyncIterator:
        return _AsyncIterator(_Stop(), functools.partial(method, *args, **kwargs))

    async def awaiting(*args: Any, **kwargs: Any) -> Any:
        stop = _Stop()
        result = await _in_thread(stop, method, *args, **kwargs)
        return _AsyncIterator(stop, None, result) if isinstance(result, abc.Generator) else result

    iterates = str(method.__annotations__.get("return")).startswith("Iterator")
    twin = functools.wraps(method)(iterating if iterates else awaiting)
    twin.__name__, twin.__qualname__ = names
    return twin

@functools.lru_cache(maxsize=1)
def _workers(process: int) -> Any:
    """The threads of async_ calls; `process` is os.getpid(), as a forked child has none of its parent's."""
    from concurrent.futures import ThreadPoolExecutor
    return ThreadPoolExecutor(_WORKERS, thread_name_prefix="replicate")

async def _in_thread(stop: _Stop, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Run it in a worker thread, in the caller's context; a cancelled task tells it to stop and hears it out."""
    import asyncio
    context, loop, over = contextvars.copy_context(), asyncio.get_running_loop(), asyncio.Event()
    context.run(_stop_of_task.set, stop)
    work = _workers(os.getpid()).submit(context.run, functools.partial(function, *args, **kwargs))

    def wake(_: Any) -> None:
        try:
            loop.call_soon_threadsafe(over.set)
        except RuntimeError:  # the loop is closed: nobody waits any more
            pass

    work.add_done_callback(wake)
    try:
        await over.wait()
    except asyncio.CancelledError:
        if not work.cancel():
            stop.set()
            for _ in range(int(_GRACE / 0.05) + 20):  # not by another task, which would be left over in its turn
                if not work.done():
                    await asyncio.sleep(0.05)
        raise
    return work.result()

class _AsyncIterator:
    """What an async_ twin gives for an iterator: for `async for`, directly or after an `await`."""
    def __init__(self, stop: _Stop, make: Any, iterator: Any = None) -> None:
        self._stop, self._make, self._iterator = stop, make, iterator

    async def _begun(self) -> _AsyncIterator:
        if self._iterator is None:
            self._iterator = iter(await _in_thread(self._stop, self._make))
        return self

    def __await__(self) -> Any:
        return self._begun().__await__()

    def __aiter__(self) -> _AsyncIterator:
        return self

    async def __anext__(self) -> Any:
        item = await _in_thread(self._stop, next, (await self)._iterator, self)
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

class _Secret(str):
    """A str that does not show itself in a repr, so that no dump of local variables shows the token."""
    def __repr__(self) -> str:
        return "'***'"

@functools.lru_cache(maxsize=4)
def _clean_token(token: str, error: type[Exception]) -> str:
    """A token without the white space and quotes that copying adds; one that no header can carry is refused."""
    _check(isinstance(token, str), f"a token is a str, not {type(token).__name__}")
    token = _Secret(token.strip().strip("'\"").strip())
    if not re.fullmatch("[!-~]*", token):
        raise error("the API token has a space, control or non-ASCII character in it; copy it from " + _TOKENS_PAGE)
    return token

@functools.lru_cache(maxsize=16)
def _parse_base_url(text: str) -> str:
    """The API's address ending in /v1, from one with or without it."""
    url = text.strip().rstrip("/")
    parts = urllib.parse.urlsplit(url)
    _check(parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"[\s\\\x00-\x20\x7f@?#]", url),
           "base_url (REPLICATE_BASE_URL) is an address as https://api.replicate.com/v1, without user name or query")
    return url if url.endswith("/v1") else url + "/v1"

def _check(good: Any, text: str) -> None:
    if not good:
        raise ValueError(text)

def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)

def _interval(value: Any) -> float:
    _check(re.fullmatch(r"\s*(\d+\.?\d*|\.\d+)(e-\d+)?\s*", str(value)),
           f"poll_interval (REPLICATE_POLL_INTERVAL) is a number of seconds, not {value!r}")
    return float(value)

class Client(_Twinned):
    """A connection to the API, safe to share between threads. The module-level functions use `default_client`.

    api_token: else, when a request is made, that of the Cog context, else REPLICATE_API_TOKEN. base_url: with or
    without /v1; else REPLICATE_BASE_URL. timeout: seconds for each socket operation (60), or an object with such a
    `read`. max_retries: how often what may be repeated is. poll_interval: seconds between polls at first; else
    REPLICATE_POLL_INTERVAL, else 0.5. headers: more of them, for the API's own origin only. proxies: as {"https": URL},
    {} for none; else the environment's. ssl_context: else the system's certificates, or those of SSL_CERT_FILE.
    """
    def __init__(self, api_token: str | None = None, *, base_url: str | None = None, timeout: Any = None,
                 max_retries: int = _RETRIES, poll_interval: float | None = None, ssl_context: Any = None,
                 headers: Mapping[str, str] | None = None, proxies: Mapping[str, str] | None = None) -> None:
        seconds = getattr(timeout, "read", timeout)
        _check(seconds is None or _is_number(seconds) and seconds > 0, f"timeout is a positive number, not {timeout!r}")
        _check(isinstance(max_retries, int) and max_retries >= 0, f"max_retries is a whole number, not {max_retries!r}")
        self._api_token = None if api_token is None else _clean_token(api_token, ValueError)
        self._base_url = base_url and _parse_base_url(base_url)
        self._poll_interval = None if poll_interval is None else _interval(poll_interval)
        self._clock = _Clock()
        self._transport = _Transport(self, seconds or _TIMEOUT, max_retries, headers or {}, proxies, ssl_context)
        self._iterates: dict[str, bool] = {}  # by version id: whether its output is an iterator
        self.models, self.predictions, self.trainings = Models(self), Predictions(self), Trainings(self)
        self.deployments, self.files, self.collections = Deployments(self), Files(self), Collections(self)
        self.hardware, self.webhooks, self.accounts = HardwareNamespace(self), Webhooks(self), Accounts(self)
        self.account = self.accounts

    @property
    def base_url(self) -> str:
        """The API's address, ending in /v1."""
        return self._base_url or _parse_base_url(os.environ.get("REPLICATE_BASE_URL") or _API)

    @property
    def poll_interval(self) -> float:
        """Seconds between the first polls of a run."""
        given = self._poll_interval
        return _interval(os.environ.get("REPLICATE_POLL_INTERVAL") or _POLL) if given is None else given

    @poll_interval.setter
    def poll_interval(self, seconds: float) -> None:
        self._poll_interval = _interval(seconds)

    def run(self, ref: Any, input: Mapping[str, Any] | None = None, *, wait: bool | int = True,
            timeout: float | None = None, webhook: str | None = None,
            webhook_events_filter: Sequence[str] | None = None, cancel_after: str | float | None = None,
            file_encoding_strategy: str | None = None, use_file_output: bool = True, **params: Any) -> Any:
        """Run a model and return its output, or a generator of its items where it makes them one by one.

        ref: "owner/name", "owner/name:version", a version id, "deployments/owner/name", the http(s) address of a Cog
        container, or a Model, Version or Deployment. wait: True holds the creating request open up to 60 s, 1 to 60 so
        many, False not at all. timeout: seconds for the whole call. cancel_after: "5m" or seconds (5 at least), a
        deadline of the server's. webhook, webhook_events_filter: who is told of start, output, logs, completed.
        file_encoding_strategy: "base64" or "url" for all files; else by size. use_file_output: False for plain str.
        Given up (timeout, Ctrl-C, any error), the prediction is cancelled. Raises ModelError when it ends in anything
        but success, PredictionTimeout, APIError, NetworkError. https://replicate.com/docs/topics/predictions
        """
        job = _job(self, ref, input, wait=wait, timeout=timeout, webhook=webhook, cancel_after=cancel_after,
                   webhook_events_filter=webhook_events_filter, file_encoding_strategy=file_encoding_strategy,
                   use_file_output=use_file_output, **params)
        job.start()
        return job.items() if job.target.iterates else job.output()

    def stream(self, ref: Any, input: Mapping[str, Any] | None = None, **options: Any) -> Iterator[ServerSentEvent]:
        """Run a model and yield its output as events, as it is made; str(event) is the text. Options as for run().

        Where the model cannot stream it is polled. Raises ModelError. Closed before its end, it cancels the prediction.
        """
        job = _job(self, ref, input, **options)
        job.wait = 0
        job.start()
        return job.events()

    def map(self, ref: Any, inputs: Iterable[Any], *, concurrency: int = 8, return_exceptions: bool = False,
            **options: Any) -> Iterator[Any]:
        """Run a model on many inputs, at most `concurrency` at a time; yield the outputs in the order of the inputs.

        inputs, an iterable of dicts, is drawn from as runs end. An iterator model's output is the list of its items.
        A failed run raises at its place, or is yielded as the exception with return_exceptions=True. Left early, what
        still runs is cancelled. Options as for run(); timeout is that of each run.
        """
        _check(type(concurrency) is int and concurrency > 0, f"concurrency is a whole number, not {concurrency!r}")
        _check(not isinstance(inputs, (str, bytes, abc.Mapping)), "inputs is an iterable of dicts, one for each run")
        target = _job(self, ref, None, **options).target  # what is wrong with the options is told now
        return self._map(target, iter(inputs), concurrency, return_exceptions, options)

    def _map(self, target: _Target, inputs: Iterator[Any], concurrency: int, keep: bool, options: Any) -> Iterator[Any]:
        from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
        pool = ThreadPoolExecutor(concurrency, thread_name_prefix="replicate-map")
        stop = _stop_of_task.get() or _Stop()
        pending: deque[Any] = deque()

        def work(input: Any) -> Any:
            if isinstance(input, Exception):  # the command line's word for a line that is no input
                raise input
            job = _job(self, target, input, stop=stop, **options)
            job.start()
            return list(job.items()) if job.target.iterates else job.output()

        def fill() -> bool:
            """Draw inputs while a worker is free, but not for ever while the first result is still to come."""
            free = min(concurrency - sum(not future.done() for future in pending), 2 * concurrency - len(pending))
            pending.extend(pool.submit(work, input) for input in itertools.islice(inputs, max(0, free)))
            return bool(pending)

        try:
            target.look_up(self, _Call(self))
            while fill():
                if pending[0].done():
                    error = pending[0].exception()
                    if error is not None and not (keep and isinstance(error, Exception)):
                        raise error
                    fill()  # it may have ended since, and the caller may take his time now
                    first = pending.popleft()
                    yield error or first.result()
                else:
                    wait([future for future in pending if not future.done()], return_when=FIRST_COMPLETED)
        finally:
            stop.set()
            wait(pending, timeout=_GRACE + 1)
            pool.shutdown(wait=False)

    def use(self, ref: Any) -> Function:
        """Return a callable for a model: f(prompt="...") runs it; f.create, f.stream and f.map are there too."""
        return Function(self, ref)

    def search(self, query: str, limit: int | None = None) -> Resource:
        """Search models (`model` and `metadata` of each), collections and pages; limit is 1 to 50 (20). GET /search"""
        _check(limit is None or _is_number(limit) and 1 <= limit <= 50, f"limit is 1 to 50, not {limit!r}")
        _check(isinstance(query, str), f"query is a str, not {type(query).__name__}")
        return self._fetch("GET", _query("/search", query=query, limit=limit), SearchResults)

    def paginate(self, list_method: Callable[..., Page]) -> Iterator[Page]:
        """Yield the pages of a list method, as paginate(replicate.models.list), following `next`."""
        if hasattr(list_method, "__wrapped__"):  # an async_ twin: its method does the same in this thread
            list_method = functools.partial(list_method.__wrapped__, list_method.__self__)  # type: ignore[attr-defined]
        page: Page | None = list_method()
        while page is not None:
            yield page
            page = None if page.next is None else list_method(page.next)

    def _token(self) -> str:
        """The token for a request made now, in a Cog model its caller's, not its host's; "" where there is none."""
        if self._api_token is not None:
            return self._api_token
        token = _Secret(os.environ.get("REPLICATE_API_TOKEN", ""))
        try:
            context = sys.modules["cog"].current_scope().context
            found = (_Secret(value or "") for key, value in context.items() if key.upper() == "REPLICATE_API_TOKEN")
            token = next(found, token)
        except Exception:  # no Cog, no request, or another Cog: any of its errors mean that there is no such token
            pass
        return _clean_token(token, ReplicateError)

    def _fetch(self, method: str, path: str, make: Callable[[Any, Client], _T] | None = None, body: Any = None, *,
               read: str = "object", noun: str = "", call: _Call | None = None, hold: float = 0.0,
               headers: Mapping[str, Any] | None = None) -> _T:
        """One request to the API: `path` below /v1, or the address of a page. Returns make(answer, client)."""
        if not path.startswith("/"):  # a page's address: its path, on the API's own origin
            where = urllib.parse.urlsplit(path)
            path = (where.path.partition("/v1")[2] or where.path) + ("?" + where.query if where.query else "")
        whole: dict[str, Any] = {"Accept-Encoding": "gzip" if zlib is not None else "identity"}
        if isinstance(body, _Multipart):
            whole.update(body.headers)
        elif body is not None and not isinstance(body, bytes):
            body, whole["Content-Type"] = json.dumps(body, allow_nan=False).encode(), "application/json"
        whole.update(headers or {})
        answer = self._transport.request(method, self.base_url + path, read, body=body, headers=whole, noun=noun,
                                         hold=hold, call=call or _Call(self))
        return (make or _as_is)(answer, self)

class _Job:
    """One run. start() creates the prediction; output(), items() and events() follow it to its end.

    Each cancels it when left by an exception before it is over (promise 3). create() alone leaves it to the caller.
    """
    def __init__(self, client: Client, target: _Target, input: Any, *, wait: Any = True, timeout: float | None = None,
                 webhook_events_filter: Sequence[str] | None = None, cancel_after: Any = None, kind: Any = None,
                 file_encoding_strategy: str | None = None, use_file_output: bool = True, stop: _Stop | None = None,
                 **params: Any) -> None:
        _check(file_encoding_strategy in (None, "base64", "url"), "file_encoding_strategy is 'base64', 'url' or None")
        _check(not isinstance(webhook_events_filter, (str, bytes)), "webhook_events_filter is a list, as ['completed']")
        self.client, self.target, self.kind, self.use_file_output = client, target, kind or Prediction, use_file_output
        self.poll_interval = client.poll_interval  # a bad one is told before anything is created
        self.call, self.wait = _Call(client, timeout, stop), _hold_seconds(wait)
        self.headers = {} if cancel_after is None else {"Cancel-After": _duration(cancel_after)}
        self.prediction: Any = None
        self.created_since, self.cancelled = "", False  # when the creation left, in ISO 8601
        self.inputs = _Inputs(file_encoding_strategy)
        self.body = _plain(dict(params, webhook_events_filter=webhook_events_filter and list(webhook_events_filter)))
        json.dumps(self.body, allow_nan=False)  # what JSON cannot say is told here, before any request
        self.body["input"] = self.inputs.encode(input)

    def __enter__(self) -> _Job:
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, ReplicateError) and error.prediction is None:
            error.prediction = self.prediction
        if error is None or not (self.prediction._running if self.prediction else self.call.in_flight):
            return
        try:
            call = _Call(self.client, _GRACE, _Stop())
            if self.created_since and self.prediction is None and isinstance(error, KeyboardInterrupt):
                self.prediction = self._found(call)
            if self.prediction is not None:
                self.cancel(call)
                self.cancelled = True
        except Exception as failure:  # best effort: the cause is what the caller has to hear
            _log("could not cancel %s: %s", self.prediction and self.prediction.get("id"), failure)
        if self.cancelled and isinstance(error, PredictionTimeout):
            error.args = (f"{error.args[0]}; it was cancelled",)

    def _found(self, call: _Call) -> Any:
        """The prediction of a creation that Ctrl-C cut off: the only one since then of this model on this input."""
        page = self.client._fetch("GET", "/predictions", functools.partial(_page, Prediction, ""), call=call)
        made = [run for run in page if run._running and run.get("input") == self.body["input"]
                and str(run.get("created_at")) >= self.created_since
                and (run.get("version") == self.target.version or run.get("model") == "/".join(self.target.model))]
        return made[0] if len(made) == 1 else None

    def cancel(self, call: _Call) -> None:
        """Ask once, on a connection that is certain to be alive."""
        self.prediction._take(self.client._fetch("POST", self.prediction._path("cancel"), call=call, noun="cancel", read="run"))

    def create(self) -> Any:
        """Upload the files, create the prediction and return it."""
        self.inputs.upload(self.client, self.call)
        left = self.call.deadline - self.call.clock.now()  # by then the answer, and with it the id, is to be here
        most = _SHORT_HOLD if self.call.stop is not None and self.wait == _HOLD else self.wait  # it may be given up
        hold = 0 if self.target.iterates else int(min(most, max(0, left - 1)))
        headers = dict(self.headers, **({"Prefer": "wait" if hold == _HOLD else f"wait={hold}"} if hold else {}))
        self.created_since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 2))  # clocks differ a little
        return self.client._fetch("POST", self.target.path, self.kind, {**self.target.body, **self.body}, read="made",
                                  noun=self.kind.__name__.lower(), call=self.call, hold=hold, headers=headers)

    def start(self) -> Any:
        """Create the prediction, learn whether its output is an iterator, and return it."""
        with self:
            self.target.look_up(self.client, self.call)
            try:
                self.prediction = self.create()
            except APIError as error:
                if error.status != 404 or not self.target.resolve_latest(self.client, self.call):
                    raise
                self.prediction = self.create()
            self.call.check()
            self.target.look_up(self.client, self.call, self.prediction)
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
        made: Prediction = _job(self._client, self._ref, input, wait=False).start()
        return made

    def stream(self, /, **input: Any) -> Iterator[ServerSentEvent]:
        """Run the model and yield its output as events, as Client.stream."""
        return self._client.stream(self._ref, input)

    def map(self, inputs: Iterable[Any], **options: Any) -> Iterator[Any]:
        """Run the model on many inputs, as Client.map."""
        return self._client.map(self._ref, inputs, **options)

    @property
    def __doc__(self) -> str:  # type: ignore[override]
        """The model's inputs, fetched when somebody asks, as help() does."""
        try:
            return _manual(self._ref, *_description(self._client, self._ref))
        except ReplicateError as error:
            return f"The model {self._ref}; its inputs cannot be shown now: {error}"

# ---------------------------------------------------------------------------------------------------------------------
# Resources
# ---------------------------------------------------------------------------------------------------------------------

class Resource(_Twinned, _Dict):
    """An object of the API: a dict whose keys are attributes too; methods of dict win: `prediction.urls["get"]`."""
    _known: frozenset[str] = frozenset()  # the fields annotated below: one that is not there reads as None
    _kinds: Mapping[str, Any] = {}  # fields that are resources of their own

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._known |= {name for name in getattr(cls, "__annotations__", {}) if not name.startswith("_")}

    def __init__(self, data: Any = (), client: Client | None = None, **fields: Any) -> None:
        super().__init__(data, **fields)
        self.__dict__["_client"] = client or default_client

    def __getattr__(self, name: str) -> Any:
        if name not in self and name not in self._known:
            names = sorted(str(key) for key in {*self, *self._known})
            raise AttributeError(f"{type(self).__name__} has no {name!r}; it has {', '.join(names)}")
        value = self.get(name)
        if type(value) in (dict, list) or type(value) is str and name == "output":
            value = _files(value, self._client) if name == "output" else value
            value = self[name] = _made(self._kinds.get(name, Resource), value, self._client)  # the same at each access
        return value

    def __setattr__(self, name: str, value: Any) -> None:
        (self.__dict__ if name.startswith("_") else self)[name] = value

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *self._known, *(str(key) for key in self)})

    def __reduce__(self) -> Any:
        return type(self), (self.copy(),)

    def __repr__(self) -> str:
        shown = [key for key in _BRIEF if isinstance(self.get(key), (str, int))][:3]
        return f"{type(self).__name__}({', '.join(f'{key}={_short(self[key])}' for key in shown)})"

    def _take(self, fresh: Mapping[str, Any]) -> None:
        """Become what the API says now."""
        self.clear()
        self.update(fresh)

_BRIEF = ("id", "status", "type", "username", "owner", "slug", "name", "model", "version", "hardware", "sku", "query",
          "number")  # what a repr shows, three at most; never a secret

def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:76] + "..." + text[-1]

def _made(kind: Any, value: Any, client: Any) -> Any:
    """JSON as resources of a kind; lists item by item, plain values as they are."""
    if type(value) is list and any(type(item) in (dict, list) for item in value):
        return [_made(kind, item, client) for item in value]
    return kind(value, client) if type(value) is dict else value

class Account(Resource):
    """A user or an organization."""
    type: str  # "user" or "organization"
    username: str  # the name in the addresses of its models
    name: str | None
    github_url: str | None
    avatar_url: str | None

class Version(Resource):
    """One version of a model, with the schema of its inputs and output."""
    id: str  # 64 hexadecimal characters
    created_at: str  # ISO 8601
    cog_version: str | None  # the Cog that built it
    openapi_schema: dict[str, Any] | None  # components.schemas.Input and .Output describe the model

    def predict(self: Any, /, **input: Any) -> Any:
        """Run it (of a model that is not official, the latest version) and return the output, as Client.run."""
        return self._client.run(self, input)

    def create(self, /, **input: Any) -> Prediction:
        """Create a prediction and return it at once."""
        made: Prediction = _job(self._client, self, input, wait=False).start()
        return made

    def stream(self, /, **input: Any) -> Iterator[ServerSentEvent]:
        """Run this version and yield its output as events, as Client.stream."""
        return self._client.stream(self, input)

class Prediction(Resource):
    """A run of a model. https://replicate.com/docs/reference/http#predictions.get"""
    id: str  # names it in every other request
    model: str  # "owner/name"
    version: str  # the version's id; "hidden" for official models
    status: str  # starting, processing, succeeded, failed, canceled or aborted
    input: dict[str, Any] | None  # what it was given; removed after an hour
    output: Any  # what it made so far; removed after an hour
    logs: str | None  # what it printed so far
    error: str | None  # why it failed
    metrics: Any  # predict_time and total_time in seconds
    created_at: str | None  # ISO 8601, as are the other times
    started_at: str | None
    completed_at: str | None
    source: str | None  # "api" or "web"
    urls: dict[str, str] | None  # get, cancel, web and, where it can stream, stream
    data_removed: bool | None  # whether input and output were deleted
    deadline: str | None  # when the server will cancel it
    deployment: str | None  # the deployment that runs it
    _collection = "predictions"
    _running = property(lambda self: self.get("status", "starting") in _RUNNING)

    def _url(self, name: str) -> str:
        return str(urls.get(name) or "") if isinstance(urls := self.get("urls"), dict) else ""

    def _path(self, *more: str) -> str:
        return _path(self._collection, self["id"], *more)

    def _polls(self, call: _Call) -> Iterator[None]:
        """Sleep and look again, until it has ended."""
        while self._running:
            call.watch(self)
            call.pause(self._client.poll_interval)
            self._take(self._client._fetch("GET", self._path(), read="run", call=call))
            yield
        call.watch(self)

    def _wait(self, call: _Call) -> None:
        for _ in self._polls(call):
            pass

    def _must_have_succeeded(self) -> None:
        if self.get("status") != "succeeded":
            why = self.get("error")
            raise ModelError(self, why and self._client._transport.redacted(str(why)))

    def _items(self, call: _Call) -> Iterator[Any]:
        seen: Any = None  # the output as far as it has been yielded
        polls = self._polls(call)
        while True:
            output: Any = self.get("output")
            if type(output) is not type(seen):
                seen = None
            if isinstance(output, list):
                fresh, seen = output[len(seen or ()):], output
                yield from fresh
            elif isinstance(output, str) and not _is_file(output) and output.startswith(seen or ""):
                tail, seen = output[len(seen or ""):], output
                yield from [tail] if tail else []
            if next(polls, self) is self:
                break
        self._must_have_succeeded()
        if output is not None and output != seen:  # it did not grow out of what was yielded
            yield output

    def _events(self, call: _Call, use_file_output: bool) -> Iterator[ServerSentEvent]:
        return (_streamed if self._url("stream") else Prediction._polled)(self, call, use_file_output)

    def _polled(self, call: _Call, use_file_output: bool, skip: int = 0) -> Iterator[ServerSentEvent]:
        """The events of a run without a stream, or of one whose stream was lost after `skip` characters."""
        for item in self._items(call):
            data = item if isinstance(item, str) else json.dumps(item)
            fresh, skip = data[skip:], max(0, skip - len(data))
            if fresh or not data:
                yield _event("output", fresh, "", self._client if use_file_output else None)
        yield ServerSentEvent("done", "{}")

    def reload(self) -> None:
        """Load its present state."""
        self._take(self._client._fetch("GET", self._path(), read="run"))

    def cancel(self) -> None:
        """Cancel it; one that is over stays as it is."""
        self._take(self._client._fetch("POST", self._path("cancel"), read="run"))

    def wait(self, timeout: float | None = None) -> None:
        """Block until it is over, also in failure: see `status`. Raises PredictionTimeout; does not cancel."""
        with _Carried(self):
            self._wait(_Call(self._client, timeout))

    def output_iterator(self) -> Iterator[Any]:
        """Yield the output's items as they come, of a growing string its tails. Raises ModelError; does not cancel."""
        with _Carried(self):
            yield from (_files(item, self._client) for item in self._items(_Call(self._client)))

    def stream(self, use_file_output: bool = True) -> Iterator[ServerSentEvent]:
        """Yield the output as events, from the first one. Raises ModelError; does not cancel."""
        with _Carried(self):
            yield from self._events(_Call(self._client), use_file_output is not False)

    @property
    def progress(self) -> Progress | None:
        """The last bar of tqdm in its logs: percentage (0 to 1), current and total; None where there is none."""
        bars = re.findall(r"(\d+)%[ \t]*\|[^|\r\n]*\|[ \t]*(\d+)/(\d+)", self.get("logs") or "")
        return Progress(int(bars[-1][0]) / 100, int(bars[-1][1]), int(bars[-1][2])) if bars else None

Progress = namedtuple("Progress", "percentage current total")

class _Carried(namedtuple("_Carried", "run")):
    """Puts a run on the errors that leave a block, so that it can be found again (promise 2)."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, ReplicateError) and error.prediction is None:
            error.prediction = self.run

class Training(Prediction):
    """A training: a run that makes a new version, `output.version`."""
    _collection = "trainings"

    @property
    def destination(self) -> str | None:
        """The model that it pushes to, "owner/name", where it is known."""
        made = self.get("output")
        version = made.get("version") if isinstance(made, dict) else None
        return self.get("destination") or (str(version).partition(":")[0] if version else None)

class Model(Resource):
    """A model: what it is, and its latest version."""
    url: str  # its page
    owner: str  # the user or organization
    name: str
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
    _kinds = {"latest_version": Version, "default_example": Prediction}
    id = property(lambda self: f"{self['owner']}/{self['name']}", doc='The name to run it by, "owner/name".')
    versions = property(lambda self: Versions(self._client, self), doc="Its versions: .list(), .get(id), .delete(id).")
    predict = Version.predict

    def reload(self) -> None:
        """Load its present state."""
        self._take(self._client.models.get(self.id))

class Deployment(Resource):
    """A model version on hardware of one's own choosing; `current_release.configuration` tells which."""
    owner: str
    name: str
    current_release: Any  # number, model, version, created_at, created_by, configuration
    id = Model.id
    predictions = property(lambda self: DeploymentsPredictions(self._client, self), doc="Its runs: .create(input, ...)")

class File(Resource):
    """An uploaded file, gone after 24 hours. It may be given as an input as it is."""
    id: str
    name: str | None
    content_type: str
    size: int  # bytes
    etag: str | None
    checksums: dict[str, str]  # sha256, md5
    metadata: dict[str, Any]  # what was given when it was made
    created_at: str
    expires_at: str | None
    urls: dict[str, str]  # get

class Collection(Resource):
    """A collection of models."""
    name: str
    slug: str  # names it in collections.get
    description: str
    full_description: str | None  # Markdown
    models: list[Model] | None
    _kinds = {"models": Model}
    id = property(lambda self: self["slug"], doc="The slug.")

class Hardware(Resource):
    """A kind of machine; `sku` names it in models.create and deployments.create."""
    name: str
    sku: str
    id = property(lambda self: self["sku"], doc="The sku.")

class SearchMatch(Resource):
    """A model that search() found, and how well it fits."""
    model: Model
    metadata: Any  # generated_description, tags, score
    _kinds = {"model": Model}

class SearchResults(Resource):
    """What search() found."""
    query: str
    models: list[SearchMatch]
    collections: list[Collection]
    pages: list[Any]  # name and href
    _kinds = {"models": SearchMatch, "collections": Collection}

class WebhookSigningSecret(Resource):
    """The secret that signs webhooks, as `key`; its repr does not show it."""
    key: str  # "whsec_..."

class Page(_Twinned, _List):
    """A list of one page's results; `next` and `previous` are the addresses of its neighbours, or None."""
    results = property(list, doc="The results as a plain list.")

    def __init__(self, results: Iterable[Any] = (), next: str | None = None, previous: str | None = None,
                 kind: Any = Resource, client: Client | None = None) -> None:
        super().__init__(results)
        self.next, self.previous, self._kind, self._client = next, previous, kind, client or default_client

    def iter_all(self) -> Iterator[Any]:
        """Yield this page's results and those of all pages after it, each fetched when it is reached."""
        page, seen = self, set()
        yield from page
        while page.next and page.next not in seen:  # a circle would never end
            seen.add(page.next)
            page = self._client._fetch("GET", page.next, functools.partial(_page, self._kind, page.next))
            yield from page

    def __reduce__(self) -> Any:
        return type(self), (self[:], self.next, self.previous, self._kind)

def _page(kind: Any, asked: str, data: Any, client: Client) -> Page:
    """A page from the API's answer to `asked`, whose filters go on; "null" as text has been seen in place of null."""
    filters = [pair for pair in urllib.parse.parse_qsl(_split(asked).query) if pair[0] != "cursor"]
    def beside(address: Any) -> str | None:
        if not isinstance(address, str) or address in ("", "null"):
            return None
        missing = urllib.parse.urlencode([pair for pair in filters if pair[0] + "=" not in address])
        return address + ("&" if "?" in address else "?") * bool(missing) + missing
    results = data["results"] if isinstance(data.get("results"), list) else []
    return Page(_made(kind, results, client), beside(data.get("next")), beside(data.get("previous")), kind, client)

# ---------------------------------------------------------------------------------------------------------------------
# Endpoints
# ---------------------------------------------------------------------------------------------------------------------

def _path(*segments: Any) -> str:
    """A path below /v1: each segment quoted, none that could lead to another path (RFC 3986, section 3.3)."""
    for segment in segments:
        _check(isinstance(segment, str) and segment not in ("", ".", ".."), f"{segment!r} cannot name anything there")
    return "/" + "/".join(s if s.isalnum() and s.isascii() else urllib.parse.quote(s, safe="") for s in segments)

def _as_is(data: Any, client: Client) -> Any:
    return data

def _query(path: str, **given: Any) -> str:
    plain = {k: v.isoformat() if hasattr(v, "isoformat") else v for k, v in given.items() if v is not None}
    return path + ("?" + urllib.parse.urlencode(plain) if plain else "")

_NAMES = ("key", "model", "deployment", "owner", "model_owner", "deployment_owner", "name", "model_name",
          "deployment_name", "collection_slug", "slug", "id", "version", "version_id", "prediction_id", "training_id",
          "file_id")

def _names(given: Sequence[Any], named: dict[str, Any], count: int) -> list[Any]:
    """The segments of a path, `count` of them, from all the forms that callers write.

    Those are "owner", "name"; "owner/name"; ("owner", "name"); the resource itself; each with a version's id after it
    or in it; and the same as keywords, in this order of their names. Other keywords are left in `named`.
    """
    found: list[Any] = []
    things = list(given)
    if named:  # "version" is a field, where no version is named
        things += [named.pop(name) for name in (_NAMES[:9] if count == 2 else _NAMES) if name in named]
    for thing in things:
        thing = thing.id if isinstance(thing, Resource) else thing
        if isinstance(thing, str) and count > 1 and not found:
            thing = tuple(re.split("[/:]", thing))
        found += thing if isinstance(thing, tuple) else [thing]
    if len(found) != count or not all(isinstance(name, str) and name for name in found):
        form = ("nothing", "an id", "'owner/name'", "'owner/name:id'")[count]
        given = ", ".join(repr(thing) for thing in things) or "nothing"
        raise (ValueError if found else TypeError)(f"expected {form}, not {given}")
    return found

def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a create or update as JSON: resources by their ids, None left out, the rest passed on."""
    return {name: getattr(value, "id", value) if isinstance(value, Resource) else "/".join(value)
            if isinstance(value, tuple) else value for name, value in params.items() if value is not None}

def _operation(route: str, make: Any, doc: str, takes: str = "", read: str = "object") -> Callable[..., Any]:
    """A method from its line in the API's description: method(self, *names, **others), with all that _names() takes.

    A PATCH sends the other keywords on; a list (make is [kind]) takes a cursor; `takes` names what goes into the query.
    """
    method, _, path = route.partition(" /")
    read = "nothing" if method == "DELETE" else read
    segments, taken, count, listing = path.split("/"), takes.split(), path.count("{"), isinstance(make, list)
    def operation(self: Namespace, *given: Any, **named: Any) -> Any:
        given, cursor = (*self._bound, *given), named.pop("cursor", ...) if listing else ...
        if listing and given and (given[-1] is None or "://" in str(given[-1])):
            given, cursor = given[:-1], given[-1]
        _check(cursor is not None, "cursor is None: there is no further page (leave cursor out for the first one)")
        query = {name: named.pop(name) for name in taken if name in named}
        names = _names(given, named, count) if cursor is ... else []
        if named and method != "PATCH":
            raise TypeError(f"{type(self).__name__}: not taken: {', '.join(named)} ({route})")
        where = str(cursor) if cursor is not ... else _query(
            _path(*(names.pop(0) if segment[0] == "{" else segment for segment in segments)), **query)
        made = functools.partial(_page, make[0], where) if listing else make
        body, noun = (_plain(named), "change") if method == "PATCH" else (None, "")
        return self._client._fetch(method, where, made, body, noun=noun, read=read)
    operation.__doc__ = f"{doc}\n\n{route} {' '.join(name + '=' for name in taken)}".rstrip()
    return operation

class Namespace(_Twinned):
    """The methods about one kind of thing; each has an async_ twin. `model` is what they are all about, if any."""
    _inside: Mapping[str, Any] = {}  # namespaces within this one

    def __init__(self, client: Client, model: Any = None) -> None:
        self._client, self._bound = client, () if model is None else tuple(_names([model], {}, 2))
        self.__dict__.update((name, kind(client)) for name, kind in self._inside.items())

class Predictions(Namespace):
    """Runs of models. https://replicate.com/docs/reference/http#predictions"""
    get = _operation("GET /predictions/{id}", Prediction, "Return a prediction's present state.")
    cancel = _operation("POST /predictions/{id}/cancel", Prediction, "Cancel a prediction and return it.")
    list = _operation("GET /predictions", [Prediction], "Return a page of runs.", "created_after created_before source")

    def create(self, version: Any = None, input: Mapping[str, Any] | None = None, *, model: Any = None,
               deployment: Any = None, wait: bool | int | None = None, **options: Any) -> Prediction:
        """Create a prediction by version, model= (official ones) or deployment=, and return it at once.

        wait, True or 1 to 60, holds the one request so many seconds. Options as in run(); unknown ones pass to the API.
        """
        given = [thing for thing in (version, model, deployment) if thing is not None]
        _check(len(given) == 1, "exactly one of version, model and deployment says what to run")
        names, kind = _names(given, {}, 2 if version is None else 1), "models" if deployment is None else "deployments"
        target = (_Target("/predictions", {"version": names[0]}) if version is not None else
                  _Target(_path(kind, *names, "predictions")))
        made: Prediction = _Job(self._client, target, input, wait=wait, **options).create()
        return made

class ModelsPredictions(Namespace):
    """Runs of official models."""
    _what = "model"

    def create(self, *what: Any, **options: Any) -> Prediction:
        """Create a prediction of a model or deployment, create("owner/name", input, ...); as Predictions.create."""
        given: dict[str, Any] = dict(zip((self._what, "input"), (self._bound, *what) if self._bound else what))
        return self._client.predictions.create(**given, **options)

class DeploymentsPredictions(ModelsPredictions):
    """Runs of deployments."""
    _what = "deployment"

class Versions(Namespace):
    """Versions of a model: of the one named first, or of the one whose `versions` this is."""
    get = _operation("GET /models/{owner}/{name}/versions/{id}", Version, "Return a version: get('owner/name', id).")
    list = _operation("GET /models/{owner}/{name}/versions", [Version], "Return a page of its versions, newest first.")
    delete = _operation("DELETE /models/{owner}/{name}/versions/{id}", None, "Delete a private model's version; True.")

class Examples(Namespace):
    """Predictions that a model's author saved as examples."""
    list = _operation("GET /models/{owner}/{name}/examples", [Prediction], "Return a page of a model's examples.")

class Readme(Namespace):
    """A model's README."""
    get = _operation("GET /models/{owner}/{name}/readme", None, "Return a model's README as Markdown.", read="text")

class Models(Namespace):
    """Models. https://replicate.com/docs/reference/http#models"""
    _inside = {"versions": Versions, "examples": Examples, "readme": Readme, "predictions": ModelsPredictions}
    get = _operation("GET /models/{owner}/{name}", Model, "Return a model: get('owner/name'), get('owner', 'name').")
    list = _operation("GET /models", [Model], "Return a page of public models.", "sort_by sort_direction")
    update = _operation("PATCH /models/{owner}/{name}", Model, "Change description, readme, github_url...; return it.")
    delete = _operation("DELETE /models/{owner}/{name}", None, "Delete a private model that has no versions; True.")

    def search(self, query: str) -> Page:
        """Return a page of the public models that match; Client.search is newer and finds more. QUERY /models"""
        _check(isinstance(query, str), f"query is a str, not {type(query).__name__}")
        return self._client._fetch("QUERY", "/models", functools.partial(_page, Model, ""), query.encode(),
                                   headers={"Content-Type": "text/plain"})

    def create(self, owner: str, name: str, *, visibility: str, hardware: Any, **params: Any) -> Model:
        """Create a model, "public" or "private", on a hardware's sku; more fields pass on. POST /models"""
        body = dict(params, owner=owner, name=name, visibility=visibility, hardware=hardware)
        return self._client._fetch("POST", "/models", Model, _plain(body), noun="model")

class Trainings(Namespace):
    """Trainings. https://replicate.com/docs/reference/http#trainings"""
    get = _operation("GET /trainings/{id}", Training, "Return a training's present state.")
    cancel = _operation("POST /trainings/{id}/cancel", Training, "Cancel a training and return it.")
    list = _operation("GET /trainings", [Training], "Return a page of your trainings, newest first.")

    def create(self, version: Any = None, input: Mapping[str, Any] | None = None, destination: Any = None,
               webhook: str | None = None, webhook_completed: str | None = None,
               webhook_events_filter: Sequence[str] | None = None, *, model: Any = None, **options: Any) -> Training:
        """Start a training and return it at once: version="owner/name:id", or model= and version=.

        destination, "owner/name", is a model of yours. Options as in run(); unknown ones pass to the API.
        """
        owner, name, id = _names([thing for thing in (model, version) if thing is not None], {}, 3)
        _check(destination, "destination is missing: the model to push to, as 'owner/name'")
        target = _Target(_path("models", owner, name, "versions", id, "trainings"))
        options.update(_plain({"destination": destination, "webhook": webhook, "webhook_completed": webhook_completed,
                               "webhook_events_filter": webhook_events_filter}))
        made: Training = _Job(self._client, target, input, wait=False, kind=Training, **options).create()
        return made

class Deployments(Namespace):
    """Deployments. https://replicate.com/docs/reference/http#deployments"""
    _inside = {"predictions": DeploymentsPredictions}
    get = _operation("GET /deployments/{owner}/{name}", Deployment, "Return a deployment: get('owner/name').")
    update = _operation("PATCH /deployments/{owner}/{name}", Deployment, "Change version, hardware, min_instances...")
    list = _operation("GET /deployments", [Deployment], "Return a page of your deployments.")
    delete = _operation("DELETE /deployments/{owner}/{name}", None, "Delete a deployment, idle for 15 minutes; True.")

    def create(self, name: str, model: Any, version: Any, hardware: Any, min_instances: int, max_instances: int,
               **params: Any) -> Deployment:
        """Create a deployment of a model's version on a hardware's sku; more fields pass on. POST /deployments"""
        body = dict(params, name=name.rpartition("/")[2], model=model, version=version, hardware=hardware,
                    min_instances=min_instances, max_instances=max_instances)
        return self._client._fetch("POST", "/deployments", Deployment, _plain(body), noun="deployment")

class Files(Namespace):
    """Uploaded files. https://replicate.com/docs/reference/http#files"""
    get = _operation("GET /files/{id}", File, "Return what is known of an uploaded file.")
    list = _operation("GET /files", [File], "Return a page of your files, newest first.")
    delete = _operation("DELETE /files/{id}", None, "Delete a file; True.")
    download = _operation("GET /files/{id}/download", None, "Return the content of a file that its owner signed for, "
                          "until expiry (Unix time), as bytes.", "owner expiry signature", read="bytes")

    def create(self, file: Any, filename: str | None = None, content_type: str | None = None,
               metadata: Mapping[str, Any] | None = None) -> File:
        """Upload a file, 100 MiB at most, from where it stands: a path, bytes, or anything with read(). POST /files"""
        with _Source(file, "file", isinstance(file, (str, os.PathLike))) as source:
            return source.upload(self._client, _Call(self._client), filename, content_type, metadata)

class Collections(Namespace):
    """Collections of models. https://replicate.com/docs/reference/http#collections"""
    get = _operation("GET /collections/{slug}", Collection, "Return a collection with its models.")
    list = _operation("GET /collections", [Collection], "Return a page of collections, without their models.")

class HardwareNamespace(Namespace):
    """The machines that models run on."""
    list = _operation("GET /hardware", functools.partial(_made, Hardware), "Return all of them.", read="list")

class Accounts(Namespace):
    """The account that the token belongs to."""
    current = _operation("GET /account", Account, "Return the account.")
    get = current

# ---------------------------------------------------------------------------------------------------------------------
# Outputs
# ---------------------------------------------------------------------------------------------------------------------

_URL = re.compile(r"https?://(?:[^\s/?#@]*@)?(?:[^\s/?#:@\[\]\\]+|\[[\da-f:.]+\])(?::\d*)?(?:[/?#]\S*)?|"
                  r"data:(?:[\w.+-]+/[\w.+-]+)?(?:;[\w.+-]+(?:=[\w.+\"-]+)?)*,\S*", re.IGNORECASE)

def _is_file(value: Any) -> bool:
    """Whether a value in an output is a file: a whole address with a host, or a data URI; prose about one is not."""
    return isinstance(value, str) and value[:5].lower() in ("http:", "https", "data:") and bool(_URL.fullmatch(value))

def _files(value: Any, client: Client | None) -> Any:
    """The same value with every file in it as a FileOutput."""
    if isinstance(value, (list, dict)):
        made: Any = ([_files(item, client) for item in value] if isinstance(value, list) else
                     {key: _files(item, client) for key, item in value.items()})
        old, new = (value.values(), made.values()) if isinstance(value, dict) else (value, made)
        return value if all(a is b for a, b in zip(old, new)) else made
    return FileOutput(value, client) if _is_file(value) and not isinstance(value, FileOutput) else value

class FileOutput(_Twinned, str):
    """A file that a model made: a str with its URL or data URI that can be read, and saved: it is gone in an hour."""
    url = property(lambda self: str(self), doc="The URL as a plain str.")

    def __new__(cls, url: str, client: Client | None = None) -> FileOutput:
        self = super().__new__(cls, url)
        self._client = client or default_client
        return self

    def __repr__(self) -> str:
        return repr(self.url) if len(self) <= 200 or self[:5] != "data:" else repr(self[:60] + "...")

    def __reduce__(self) -> Any:
        return type(self), (self.url,)

    def __aiter__(self) -> Any:
        return self.async_iter_bytes()

    def iter_bytes(self, chunk_size: int = _BLOCK) -> Iterator[bytes]:
        """Yield the content in chunks of chunk_size bytes at most, as they arrive. Raises APIError, NetworkError."""
        _check(type(chunk_size) is int and chunk_size > 0, f"chunk_size is a whole number of bytes, not {chunk_size!r}")
        if self[:5].lower() == "data:":
            data = _decode_data_uri(self)
            yield from (data[start:start + chunk_size] for start in range(0, len(data), chunk_size))
            return
        url, transport, call, given, known = self.url, self._client._transport, _Call(self._client), 0, None
        headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
        for attempt in itertools.count():  # what breaks starts anew, and what was handed over already is skipped
            response, at = transport.request("GET", url, "open", call=call, headers=headers), 0
            tag = response.headers.get("ETag") or response.headers.get("Content-Length")
            try:
                with response:
                    if given and tag != known:
                        raise ReplicateError(f"the file at {_short(url)} changed while it was read")
                    known = tag
                    for block in response.blocks(chunk_size):
                        at += len(block)
                        if at > given:
                            yield block[given - at:]
                            given = at
                return
            except (OSError, http.client.HTTPException, ValueError) as error:
                failure = transport.explained(error, "GET", url, call)
            transport.wait_for_retry(failure, "", attempt, call)

    def read(self) -> bytes:
        """Return the content."""
        return b"".join(self.iter_bytes())

    def open(self) -> BinaryIO:
        """Return a readable, seekable binary file with the content, as for PIL.Image.open(output.open())."""
        return _spooled(self.iter_bytes())

    def save(self, path: Any = None) -> pathlib.Path:
        """Save the file and return its path; nothing appears under that name until all of it is there.

        path is a file name, which is replaced, or a directory (None: the current one) for the URL's name, numbered.
        """
        import pathlib
        target = pathlib.Path("." if path is None else path)
        try:
            named = not (target.is_dir() or str(path)[-1:] in ("/", os.sep))
            folder = target.parent if named else target
            part = folder / f".{os.urandom(6).hex()}.part"
            if named and target.exists() and not target.is_file():  # /dev/stdout, a pipe: nothing to put in its place
                with open(target, "wb") as file:
                    file.writelines(self.iter_bytes())
                return target
            folder.mkdir(parents=True, exist_ok=True)
            try:
                with open(part, "xb") as file:
                    file.writelines(self.iter_bytes())
                target = target if named else _unused(folder / _safe_name(self))
                os.replace(part, target)
            finally:
                part.unlink(missing_ok=True)
        except OSError as error:
            raise ReplicateError(f"cannot save to {target}: {error.strerror or error}") from error
        return target

    def _repr_html_(self) -> str:
        import html
        url, kind = html.escape(self.url), _media_type(_safe_name(self)).partition("/")[0]
        if kind in ("audio", "video"):
            return f'<{kind} controls src="{url}"></{kind}>'
        return f'<img src="{url}">' if kind == "image" else f'<a href="{url}">{url}</a>'

FileOutput.aread = FileOutput.async_read  # type: ignore[attr-defined]  # its name in 1.x

def _safe_name(url: str) -> str:
    """A file name from a URL that stays in its directory on any system, whatever the network says."""
    if url[:5].lower() == "data:":
        import mimetypes
        name = "output" + (mimetypes.guess_extension(re.split("[;,]", url[5:200])[0]) or "")
    else:
        name = re.split(r"[/\\]", urllib.parse.unquote(_split(url).path))[-1]
    name = re.sub(r'[\x00-\x1f\x7f<>:"|?*\ud800-\udfff]', "_", name).strip(". ")
    devices = r"(?i)^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d\xb9\xb2\xb3]) *(?=\.|$)"  # names that Windows keeps
    stem, ending = os.path.splitext(re.sub(devices, r"_\1", name))
    return stem.encode()[:200].decode(errors="ignore") + ending[:20] or "output"  # file systems take 255 bytes

def _unused(path: pathlib.Path) -> pathlib.Path:
    """That path, or the next with a number that no file has; an empty file takes it in the same moment."""
    free, number = path, 0
    while True:
        try:
            open(free, "xb").close()
            return free
        except FileExistsError:
            number += 1
            free = path.with_name(f"{path.stem}-{number}{path.suffix}")

def _decode_data_uri(uri: str) -> bytes:
    """The bytes of a data URI (RFC 2397)."""
    head, _, payload = uri[5:].partition(",")
    data = urllib.parse.unquote_to_bytes(payload)
    if not head.lower().endswith(";base64"):
        return data
    try:
        return base64.b64decode(data.replace(b"-", b"+").replace(b"_", b"/") + b"=" * (-len(data) % 4))
    except ValueError as error:
        raise ReplicateError(f"a data URI that is not base64: {error}") from None

def _spooled(chunks: Iterable[bytes], most: float = math.inf) -> BinaryIO:
    """The chunks as a file at its start, in memory while it is small, then on disk; stops soon after `most` bytes."""
    file: BinaryIO = io.BytesIO()
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

class _Target:
    """Where a reference runs: the path to create at, what the body adds, and what is known of the model."""

    def __init__(self, path: str, body: Any = None, model: Any = (), iterates: Any = None, cog: str = "") -> None:
        self.path, self.body, self.model, self.cog = path, body or {}, model, cog  # cog: a container's address
        self.version, self.iterates = self.body.get("version", ""), iterates  # iterates: None while unknown
        self.fields: dict[str, _Field] | None = None  # the container's inputs, once they were asked for

    def look_up(self, client: Client, call: _Call, prediction: Any = None) -> None:
        """Learn once per client whether the version's output is an iterator; a failure does not stop the run."""
        model, known = self.model or str(prediction and prediction.get("model")).split("/"), client._iterates
        if self.iterates is None and self.version and len(model) == 2:
            try:
                if self.version not in known:
                    path = _path("models", *model, "versions", self.version)
                    known[self.version] = _iterates(client._fetch("GET", path, Version, call=call))
                self.iterates = known[self.version]
            except (ReplicateError, ValueError):
                pass

    def resolve_latest(self, client: Client, call: _Call) -> bool:
        """Turn a model that is not official into its latest version; False where there is none to turn to."""
        if self.model and not self.version:
            latest = client._fetch("GET", _path("models", *self.model), Model, call=call).latest_version
            if isinstance(latest, Version) and latest.id:
                vars(self).update(vars(_target(latest)), model=self.model)
        return bool(self.model and self.version)

def _target(ref: Any) -> _Target:
    """Read a reference in any of its forms. Raises ValueError for anything else."""
    if isinstance(ref, Version):
        known = _iterates(ref) if ref.get("openapi_schema") else None
        return _Target("/predictions", {"version": ref.id}, iterates=known)
    if isinstance(ref, (Model, Deployment)):
        ref = "deployments/" * isinstance(ref, Deployment) + ref.id
    match = re.fullmatch(r"((?i:https?)://(?![:/])[^@?#\s]+?)(?:/predictions)?/*|([0-9a-f]{64})|"
                         r"(?:(deployments)/|(?!deployments/))([^/:\s]+)/([^/:\s]+)(?::([^/:\s]+))?",
                         ref if isinstance(ref, str) else "")
    if not match or {".", ".."} & {*match.groups()}:
        raise ValueError(f"not a model: {_short(ref)}. Write 'owner/name', 'owner/name:version', a 64-digit version id,"
                         " 'deployments/owner/name', a Cog container's address, or give a Model, Version or Deployment")
    cog, id, deployment, owner, name, version = match.groups()
    if cog:
        return _Target("", cog=urllib.parse.urlsplit(cog).geturl())
    model = () if id or deployment else (owner, name)
    if id or version and not deployment:
        return _Target("/predictions", {"version": id or version}, model)
    return _Target(_path("deployments" if deployment else "models", owner, name, "predictions"), model=model)

def _iterates(version: Mapping[str, Any]) -> bool:
    """Whether a version's output comes item by item, from its schema and, where that is too old to say, its age."""
    output = _part(version.get("openapi_schema"), "Output")
    numbers = re.match(r"v?(\d+)\.(\d+)\.(\d+)", str(version.get("cog_version") or ""))
    old = numbers is not None and tuple(int(n) for n in numbers.groups()) < _MARKED_SINCE
    return output.get("types") == ["array"] and (old or output.get("x-cog-array-type") == "iterator")

def _hold_seconds(wait: Any) -> int:
    """The argument `wait` as seconds that the server is asked to hold the creating request."""
    good = wait is None or wait is False or isinstance(wait, int) and 1 <= wait <= _HOLD
    _check(good, f"wait is True, False or 1 to {_HOLD} whole seconds, not {wait!r}")
    return _HOLD if wait is True else int(wait or 0)

def _duration(value: Any) -> str:
    """The argument `cancel_after` as the header: whole seconds, or text such as "5m" or "1h30m45s"; 5 s at least."""
    text = f"{int(value)}s" if _is_number(value) else str(value).strip()
    match = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text)
    seconds = sum(int(number or 0) * unit for number, unit in zip(match.groups(), (3600, 60, 1))) if match else 0
    _check(seconds >= 5, f"cancel_after is at least 5 seconds, as 90, '90s', '5m' or '1h30m', not {value!r}")
    return text

class _Inputs:
    """A model's input on its way into JSON: encode() checks and converts it, upload() sends the large files."""

    def __init__(self, strategy: str | None = None) -> None:
        self.strategy = strategy
        self.large: list[tuple[Any, Any]] = []  # where in the encoded input a file stands in place of its URL

    def encode(self, value: Any, where: str = "input") -> Any:
        """The JSON form of an input, or of a value in it; `where` is its place, for errors."""
        if where == "input" and not isinstance(value, abc.Mapping):
            _check(value is None, f"input is a dict of the model's inputs, not {_short(value)}")
            return {}
        if value is None or isinstance(value, (str, int, float)):
            _check(not isinstance(value, float) or math.isfinite(value), f"{where} is {value!r}, which JSON cannot say")
            return value
        if isinstance(value, File):
            return value.urls["get"]
        if isinstance(value, (bytes, bytearray, memoryview, os.PathLike)) or callable(getattr(value, "read", None)):
            return self._file(value, where)
        if isinstance(value, (abc.Mapping, abc.Sequence, abc.Set, abc.Iterator, abc.ValuesView)):
            made: Any = dict(value) if isinstance(value, abc.Mapping) else list(value)
            _check(where.count("[") < 200, f"{where[:80]}... contains itself, or is nested too deeply")
            wrong = [key for key in made if isinstance(made, dict) and not isinstance(key, str)]
            _check(not wrong, f"{where} has keys that are no text: {_short(wrong)}")
            places: Any = made.items() if isinstance(made, dict) else enumerate(made)
            for key, item in places:
                made[key] = self.encode(item, f"{where}[{key!r}]")
                if isinstance(made[key], _Source):
                    self.large.append((made, key))
            return made
        for convert in ("tolist", "isoformat"):  # numpy's arrays and scalars; dates
            if hasattr(value, convert):
                return self.encode(getattr(value, convert)(), where)
        raise TypeError(f"{where} is {type(value).__name__}: give JSON values, files, paths, bytes, arrays or dates")

    def _file(self, value: Any, where: str) -> Any:
        """A file as a data URI, or, where it is to be uploaded, as its _Source."""
        most = math.inf if self.strategy == "base64" else _UPLOAD_MOST
        source = _Source(value, where, isinstance(value, os.PathLike), most)
        if self.strategy == "url" or self.strategy is None and source.size > _INLINE_MOST:
            return source
        with source:
            data = b"".join(source)
        return f"data:{_media_type(source.name, data)};base64,{base64.b64encode(data).decode('ascii')}"

    def upload(self, client: Client, call: _Call) -> None:
        """Upload what is too large to go inline; a failure raises, before anything is created."""
        while self.large:
            holder, key = self.large.pop(0)
            with holder[key] as source:
                holder[key] = (source.upload(client, call).urls or {}).get("get")
            if not holder[key]:
                raise NetworkError(f"{source.where}: the API's answer to its upload has no URL")

class _Source(io.IOBase):
    """A file on its way in, sent from where it stands, as often as need be; what it opened is closed after `with`."""

    def __init__(self, thing: Any, where: str, path: bool, most: float = _UPLOAD_MOST) -> None:
        self.where, self.own, self.head, self.tail = where, False, b"", b""
        name = os.fspath(thing) if path else getattr(thing, "name", "")
        self.name = os.path.basename(name) if isinstance(name, str) and name[:1] != "<" else ""
        try:
            self.file, self.own = _opened(thing, path, most)
            self.start = self.file.tell()
            self.file.seek(0, io.SEEK_END)
            self.size = max(0, self.file.tell() - self.start)
        except (AttributeError, OSError, TypeError, ValueError) as error:
            raise ValueError(f"{where} cannot be read: {error}") from error
        _check(self.size <= most, f"{where} is larger than the 100 MiB that the files API takes: give a URL of it")

    def __iter__(self) -> Iterator[bytes]:
        """Yield its bytes from the start, as many as there were at first, with what upload() puts around them."""
        yield self.head
        self.file.seek(self.start)
        left = self.size
        while left:
            block = self.file.read(min(left, _BLOCK))
            if not block:
                raise ReplicateError(f"{self.where}: the file became shorter while it was sent", _final=True)
            left -= len(block)
            yield block
        yield self.tail

    def upload(self, client: Client, call: _Call, filename: Any = None, kind: Any = None, metadata: Any = None) -> File:
        """Send it to the files API, streamed as multipart/form-data (RFC 7578)."""
        name = re.sub(r"[\x00-\x1f\x7f]", "_", filename or self.name or "file")
        kind = kind or _media_type(name, next(filter(None, self), b""))
        _check(not re.search(r"[\x00-\x1f\x7f]", kind), f"content_type is a media type as image/png, not {kind!r}")
        boundary, quoted = os.urandom(16).hex(), re.sub(r'(["\\])', r"\\\1", name)
        fields = {'"filename"': name, '"type"': kind, '"metadata"': json.dumps(metadata or {}, allow_nan=False),
                  f'"content"; filename="{quoted}"\r\nContent-Type: {kind}': ""}  # the file itself follows
        parts = [f"--{boundary}\r\nContent-Disposition: form-data; name={key}\r\n\r\n{fields[key]}" for key in fields]
        self.head, self.tail = "\r\n".join(parts).encode(), f"\r\n--{boundary}--\r\n".encode()
        self.headers = {"Content-Type": f"multipart/form-data; boundary={boundary}",
                        "Content-Length": str(len(self.head) + self.size + len(self.tail))}
        return client._fetch("POST", "/files", File, self, noun="file", call=call)

    def close(self) -> None:
        if self.own:
            self.file.close()

_Multipart = _Source  # as the client calls it

def _opened(thing: Any, path: bool, most: float) -> tuple[Any, bool]:
    """A path, bytes or a file as a binary file that can seek, a copy if need be; and whether it is ours to close."""
    raw = isinstance(thing, (bytes, bytearray, memoryview))
    thing = io.BytesIO(thing) if raw else open(thing, "rb") if path else thing
    if hasattr(getattr(thing, "buffer", None), "read"):  # opened as text
        if thing.seekable():
            thing.seek(thing.tell())
        thing = thing.buffer
    if getattr(thing, "seekable", bool)() and isinstance(thing.read(0), bytes):
        return thing, path
    pieces = itertools.takewhile(len, iter(lambda: thing.read(_BLOCK), None))
    return _spooled((piece.encode() if isinstance(piece, str) else piece for piece in pieces), most), True

_SIGNATURES = (  # what a file begins with, as a pattern, and its media type: the formats that models take
    (rb"\x89PNG\r\n\x1a\n", "image/png"), (rb"\xff\xd8\xff", "image/jpeg"), (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF....WEBP", "image/webp"), (rb"RIFF....WAVE", "audio/wav"), (rb"RIFF....AVI ", "video/x-msvideo"),
    (rb"BM....\0\0\0\0", "image/bmp"), (rb"II\*\0|MM\0\*", "image/tiff"), (rb"\0...ftypavif", "image/avif"),
    (rb"\0...ftyphei", "image/heic"), (rb"\0...ftypM4A", "audio/mp4"), (rb"\0...ftypqt", "video/quicktime"),
    (rb"\0...ftyp", "video/mp4"), (rb"fLaC\0", "audio/flac"), (rb"OggS\0", "audio/ogg"),
    (rb"ID3[\x02-\x04]|\xff[\xfa\xfb\xf2\xf3]", "audio/mpeg"), (rb"\x1a\x45\xdf\xa3", "video/webm"),
    (rb"%PDF-\d", "application/pdf"), (rb"PK\x03\x04", "application/zip"), (rb"\x1f\x8b", "application/gzip"),
    (rb".{257}ustar", "application/x-tar"), (rb"glTF\x02", "model/gltf-binary"))

def _media_type(name: str, head: bytes = b"") -> str:
    """The media type by the name, else by the first bytes if they are a known signature; text is never guessed at."""
    import mimetypes
    guessed, packed = mimetypes.guess_type(name)  # packed: what is guessed is inside
    found = (kind for start, kind in _SIGNATURES if re.match(start, head, re.DOTALL))
    return guessed if guessed and not packed else next(found, "application/octet-stream")

class _Field:
    """One input of a model, from its schema; types and choices may be hidden in references and options."""

    def __init__(self, name: str, schema: Any, openapi: Any, required: bool) -> None:
        schema = _resolved(schema, openapi)
        self.name, self.required, self.items = name, required, _resolved(schema.get("items"), openapi)
        kinds, order = schema.get("types", ()), schema.get("x-order")
        self.types = [*dict.fromkeys(kind for kind in kinds if kind != "null")]
        self.nullable, self.secret = bool(schema.get("nullable")) or "null" in kinds, schema.get("format") == "password"
        self.choices: list[Any] = schema.get("enum") or []
        self.order = order if _is_number(order) else math.inf
        self.file = "uri" in (schema.get("format"), self.items.get("format"))
        self.least, self.most = schema.get("minimum", schema.get("ge")), schema.get("maximum", schema.get("le"))
        self.default, self.description = schema.get("default"), str(schema.get("description") or "")

    def fault(self, value: Any) -> str:
        """What is wrong with a value, "" if nothing; a secret is not shown."""
        shown = "" if self.secret else f", not {_short(value)}"
        kinds = () if self.file or not isinstance(value, list) else self.items.get("types", ())
        near = "" if self.secret else _nearest(str(value), [str(choice) for choice in self.choices])
        wrong = {
            f"is to be one of its choices{shown}{near}": self.choices and value not in self.choices,
            f"is to be {' or '.join(self.types)}{shown}": not _fits(value, self.types),
            f"is to be a list of {' or '.join(kinds)}{shown}": kinds and not all(_fits(item, kinds) for item in value),
            f"is at least {self.least}{shown}": _is_number(self.least) and _is_number(value) and value < self.least,
            f"is at most {self.most}{shown}": _is_number(self.most) and _is_number(value) and value > self.most}
        fine = value is None and self.nullable or isinstance(value, (bytes, os.PathLike)) and self.file
        return next((fault for fault, found in wrong.items() if found and not fine), "")

    def parse(self, text: str) -> Any:
        """A text as the value that the schema takes it for; a string takes it as it stands."""
        for choice in self.choices:
            if text == (choice if isinstance(choice, str) else json.dumps(choice)):
                return choice
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        if "string" in self.types:
            return value if isinstance(value, (list, dict)) and _fits(value, self.types) else text
        one = text if "string" in self.items.get("types", ["string"]) else value
        return [one] if "array" in self.types and not isinstance(value, list) else value

def _fits(value: Any, types: Sequence[str]) -> bool:
    """Whether a value is of one of these JSON Schema types; 1.0 is an integer, true is none; an unknown one is any."""
    known: dict[str, Any] = {"string": str, "boolean": bool, "array": list, "object": dict}
    number = _is_number(value)
    return not types or any(number and (kind == "number" or value == int(value)) if kind in ("integer", "number")
                            else isinstance(value, known.get(kind, object)) for kind in types)

def _nearest(word: str, known: Sequence[str]) -> str:
    import difflib
    near, more = difflib.get_close_matches(word, known, 1, 0.5), " ..." if len(known) > 20 else ""
    return f": did you mean {near[0]!r}?" if near else f": there are {', '.join(known[:20])}{more}"

def _resolved(schema: Any, openapi: Any, depth: int = 8) -> dict[str, Any]:
    """A schema with its references and options merged into it, below what stands beside them; `types` are of all."""
    if not isinstance(schema, dict) or not depth:
        return {}
    components = ((openapi or {}).get("components") or {}).get("schemas") or {}
    parts = [components.get(str(schema.get("$ref")).rpartition("/")[2])]
    parts += [part for key in ("allOf", "anyOf", "oneOf") for part in schema.get(key) or ()]
    found = [_resolved(part, openapi, depth - 1) for part in parts]
    merged = {key: part[key] for part in [*reversed(found), schema] for key in part if key != "$ref"}
    own = schema.get("type")
    types = [own] if isinstance(own, str) else [kind for part in found for kind in part.get("types", ())]
    return dict(merged, types=types) if merged else {}

def _part(openapi: Any, name: str) -> dict[str, Any]:
    """components.schemas[name] of a model's schema; {} where there is none."""
    return _resolved({"$ref": name}, openapi)

def _inputs_of(openapi: Any) -> dict[str, _Field]:
    """A model's inputs by name, in their order; {} where there is no schema."""
    schema = _part(openapi, "Input")
    required, properties = schema.get("required") or (), schema.get("properties") or {}
    fields = [_Field(name, part, openapi, name in required) for name, part in properties.items()]
    return {field.name: field for field in sorted(fields, key=lambda field: field.order)}

def _faults(input: Mapping[str, Any], fields: Mapping[str, _Field], unchecked: Iterable[str] = ()) -> list[str]:
    """All that is wrong with an input, but for the values of `unchecked`; nothing where there is no schema."""
    unknown = [f"there is no input {n!r}{_nearest(n, [*fields])}" for n in input if fields and n not in fields]
    found = [(name, fields[name].fault(input[name])) for name in input if name in fields and name not in unchecked]
    missing = [f"{name} is required" for name, field in fields.items() if field.required and name not in input]
    return [*unknown, *(f"{name} {fault}" for name, fault in found if fault), *missing]

def _description(client: Client, ref: Any) -> tuple[str, Any]:
    """A model's description, and its schema, None where there is none to be had."""
    target = _target(ref)
    if target.cog:
        return "", _cog_schema(client, target.cog, _Call(client))
    if target.path.startswith("/deployments"):
        release = client.deployments.get(*target.path.split("/")[2:4]).current_release
        if not release:
            return "", None
        target = _target(f"{release.model}:{release.version}")
    if isinstance(ref, Version) or not target.model:
        return "", getattr(ref, "openapi_schema", None)
    if target.version:
        return "", client.models.versions.get(*target.model, target.version).openapi_schema
    model = client.models.get(*target.model)
    return str(model.description or ""), (model.latest_version or Version()).openapi_schema

# ---------------------------------------------------------------------------------------------------------------------
# Streams
# ---------------------------------------------------------------------------------------------------------------------

class ServerSentEvent(namedtuple("ServerSentEvent", "event data id retry", defaults=("", "", None))):
    """One event of a stream: `event` is output, logs, error, done or a word of tomorrow; str() is an output's text."""

    __slots__ = ()
    EventType = type("EventType", (), {name.upper(): name for name in ("output", "logs", "error", "done")})

    def __str__(self) -> str:
        return str(self.data) if self.event == "output" else ""

def _event(event: str, data: str, id: str, client: Client | None) -> ServerSentEvent:
    """An event whose data is a FileOutput where it is a file and the caller wants that (client is given)."""
    return ServerSentEvent(event, FileOutput(data, client) if client is not None and _is_file(data) else data, id)

def _decode(chunks: Iterable[bytes]) -> Iterator[ServerSentEvent]:
    """Decode server-sent events from bytes split anywhere (WHATWG HTML, section 9.2.6)."""
    rest: list[bytes] = []
    data: list[str] = []
    retry: int | None = None
    event, last_id, after_cr, first = "", "", False, True
    for chunk in chunks:
        if after_cr and chunk[:1] == b"\n":  # the second half of a CRLF whose first half ended a line already
            chunk, after_cr = chunk[1:], False
        after_cr = chunk.endswith(b"\r") or after_cr and not chunk
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        rest.append(chunk[:end] if end else chunk)
        if not end:
            continue
        text, rest = b"".join(rest).decode("utf-8", "replace"), [chunk[end:]]
        text, first = text[1:] if first and text[0] == "\ufeff" else text, False
        for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n")[:-1]:
            field, _, value = line.partition(":")
            value = value[1:] if value[:1] == " " else value
            if field == "data":
                data.append(value)
            elif not line:
                if data:
                    yield ServerSentEvent(event or "message", "\n".join(data), last_id, retry)
                event, data, retry = "", [], None
            elif field == "event":
                event = value
            elif field == "id" and "\0" not in value:
                last_id = value
            elif field == "retry" and re.fullmatch("[0-9]{1,9}", value):
                retry = int(value)

def _streamed(prediction: Prediction, call: _Call, use_file_output: bool) -> Iterator[ServerSentEvent]:
    """The events of a prediction's stream. A drop is resumed after the last event, at the pace of polls."""
    client, known, last_id = prediction._client, 0, ""
    seen: set[str] = set()
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", "Accept-Encoding": "identity"}
    polls = prediction._polls(call)
    while True:
        again = set(seen)  # a server that starts from the beginning again is not believed twice
        try:
            url = prediction._url("stream")
            with client._transport.request("GET", url, "open", headers=headers, call=call) as answer:
                for event in answer.events() or ():
                    if event.id in again:
                        continue
                    if event.id:
                        seen.add(event.id)
                        headers["Last-Event-ID"] = last_id = event.id
                    known += len(str(event))
                    _take_event(event, prediction)
                    call.watch(prediction)
                    yield _event(event.event, event.data, event.id, client if use_file_output else None)
                    if event.event == "done":
                        return
        except APIError:  # the stream is gone
            known, last_id = known or -1, ""
        except _BROKEN as error:
            _log("stream of %s dropped: %s", prediction.get("id"), type(error).__name__)
        if known and not last_id or next(polls, call) is call:  # no place to resume at, or over: go on by its output
            yield from prediction._polled(call, use_file_output, max(0, known))
            return

def _take_event(event: ServerSentEvent, prediction: Prediction) -> None:
    """Note what an event tells of the run: its logs, its end; ModelError where that is no success."""
    told: Any = _parsed(event.data) if event.event in ("done", "error") else None
    told = told if isinstance(told, dict) else {}
    if event.event == "logs":
        prediction["logs"] = (prediction.get("logs") or "") + event.data
    elif event.event == "error" or told.get("reason") in ("error", "failed", "canceled", "aborted"):
        prediction["status"] = "canceled" if told.get("reason") == "canceled" else "failed"
        raise ModelError(prediction, told.get("detail") or (event.data if event.event == "error" else None))
    elif event.event == "done" and prediction._running:
        prediction["status"] = "succeeded"

# ---------------------------------------------------------------------------------------------------------------------
# Self-hosted models (Cog)
# ---------------------------------------------------------------------------------------------------------------------

def _cog_schema(client: Client, address: str, call: _Call) -> Any:
    """The container's schema, or None where it has none or is not up yet."""
    call.bare = True
    try:
        return client._transport.request("GET", address + "/openapi.json", "object", call=call, retries=0)
    except (APIError, NetworkError):
        return None

class _CogJob(_Job):
    """A run in a container of one's own, over Cog's HTTP API (https://cog.run/http).

    The container forgets a run when it ends, and would run a repeated request again: one is sent again only when it
    cannot have been acted on.
    """

    def __init__(self, client: Client, target: _Target, input: Any, **options: Any) -> None:
        _check(options.get("file_encoding_strategy") != "url", "a self-hosted model takes no file by 'url'")
        _check(options.get("cancel_after") is None, "a self-hosted model keeps no deadline: give timeout= instead")
        super().__init__(client, target, input, **dict(options, file_encoding_strategy="base64"))
        self.id, self.call.bare = base64.b32encode(os.urandom(15)).decode("ascii").lower(), True
        self.url = f"{target.cog}/predictions/{self.id}"

    def start(self) -> Any:
        """Wait for the container to be up, and check the names of the inputs, which it would not."""
        while self.target.fields is None:
            schema = _cog_schema(self.client, self.target.cog, self.call)
            if schema is not None or not self._starting():
                self.target.fields, self.target.iterates = _inputs_of(schema), _iterates({"openapi_schema": schema})
            else:
                self.call.pause(self.poll_interval)
        input = self.body["input"]
        wrong = [fault for fault in _faults(input, self.target.fields, input) if fault.startswith("there")]
        _check(not wrong, "; ".join(wrong))

    def output(self) -> Any:
        with self:
            deque(self._parts("application/json"), 0)  # to its end
        return super().output()

    def items(self) -> Iterator[Any]:
        return self._guarded(_files(value, self.client) if self.use_file_output else value
                             for kind, value in self._parts() if kind == "output")

    def events(self) -> Iterator[ServerSentEvent]:
        return self._guarded(_event(kind, value if isinstance(value, str) else json.dumps(value), "",
                                    self.client if self.use_file_output and kind == "output" else None)
                             for kind, value in self._parts())

    def cancel(self, call: _Call) -> None:
        call.bare = True
        self.client._transport.request("POST", self.url + "/cancel", "nothing", call=call, noun="cancel")

    def _starting(self) -> bool:
        """Whether the container is still setting up. Raises, with its logs, where that has failed."""
        try:
            health = self.client._transport.request("GET", self.target.cog + "/health-check", "object", call=self.call)
        except APIError:  # no Cog that is known, or something before it: the run will tell
            return False
        status, logs = str(health.get("status")).upper(), (health.get("setup") or {}).get("logs")
        if status in ("SETUP_FAILED", "DEFUNCT"):
            raise ReplicateError(f"{self.target.cog} cannot run its model ({status}): {logs or 'no logs'}", detail=logs)
        return status == "STARTING"

    def _sent(self, accept: str) -> Any:
        """Send the run, as soon as the container takes it, and return the open answer."""
        headers = {"Accept": accept, "Content-Type": "application/json", "Accept-Encoding": "identity"}
        while True:
            self.prediction = Prediction({"id": self.id, "status": "starting", **self.body}, self.client)
            try:
                return self.client._transport.request("PUT", self.url, "open", call=self.call, headers=headers,
                                                      noun="run", hold=None, body=json.dumps(self.body).encode())
            except ReplicateError as error:
                if not error._sent or 400 <= (error.status or 0) < 500 or error.status == 503:
                    self.prediction = None  # it runs nothing, so there is nothing to cancel
                if error.status == 406 and accept != "application/json":
                    return self._sent("application/json")
                if error.status not in (409, 503):
                    raise
            self._starting()
            self.call.pause(self.poll_interval)

    def _parts(self, accept: str = "text/event-stream") -> Iterator[tuple[str, Any]]:
        """Run it to its end: pairs of an event's name and value, output and logs as they come, then done."""
        end: Any = {}
        try:
            with self._sent(accept) as response:
                events = response.events()
                end = _read(response, "object") if events is None else end
                for event in events or ():
                    told: Any = _parsed(event.data)
                    if event.event == "output":
                        yield "output", told.get("chunk")
                    elif event.event == "log":
                        yield "logs", told.get("data")
                    elif event.event == "completed":
                        end = told
                        break
            ended = end.get("status", "processing") not in _RUNNING  # a 202 is an answer, but no end
        except (*_BROKEN, AttributeError) as error:
            failure = self.client._transport.explained(error, "PUT", self.url, self.call)
            failure.args = (str(failure) + _may_exist("run"),)
            raise failure from None
        if not ended:
            raise NetworkError(f"{self.target.cog} told no end of the run, and cannot be asked later: it may still run")
        self.prediction._take(end)
        if events is None:
            yield from (("output", item) for item in self.prediction._items(self.call))
        self.prediction._must_have_succeeded()
        yield "done", "{}"

# ---------------------------------------------------------------------------------------------------------------------
# Transport
# ---------------------------------------------------------------------------------------------------------------------
#
#   request() -> urllib.request's opener: proxies, redirects, then http_open()
#                  -> a kept connection, or a new one: connect, CONNECT, TLS    nothing sent yet
#                  -> head and body leave, the answer's head comes              sent: outcome unknown
#             -> _read()  the body; a whole one sends its connection back to the pool

_AGENT = f"replicate-onefile/{__version__}"
_OURS, _PLAIN_URL = re.compile(r"(^|\.)replicate\.com$"), re.compile(r"[!#-;=?-\[\]_a-z~]*")
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")  # urllib reads no_proxy at each request
_BROKEN = (OSError, http.client.HTTPException, ValueError)  # what the standard library raises where a transfer fails

def _log(text: str, *values: Any) -> None:
    """Log at DEBUG level to the logger "replicate". Where nothing has imported logging, nobody can be listening."""
    logging = sys.modules.get("logging")
    if logging is not None and hasattr(logging, "getLogger"):
        logger = logging.getLogger("replicate")
        if not logger.handlers:
            logger.addHandler(logging.NullHandler())
        if logger.isEnabledFor(logging.DEBUG):
            logger.debug(text, *(value() if callable(value) else value for value in values))

class _Throttle:
    """The rate limit as 429 answers teach it: whoever creates waits here for a turn, with all threads of the client.

    No lock is held while anybody waits. The gap between creations doubles with each 429 and shrinks with each success.
    """

    def __init__(self) -> None:
        self.lock, self.next, self.gap = threading.Lock(), 0.0, 0.0

    def wait(self, call: _Call) -> None:
        while self.gap:
            with self.lock:
                now, turn = call.clock.now(), self.next
                if now >= turn:
                    self.next = now + self.gap
                    return
            call.sleep(turn - now)

    def learn(self, throttled_until: float | None) -> None:
        with self.lock:
            self.next = max(self.next, throttled_until or 0.0)
            gap = 0.9 * self.gap if throttled_until is None else max(_GAP_LEAST, 2 * self.gap)
            self.gap = min(_GAP_MOST, gap) if gap > _GAP_LEAST / 10 else 0.0

class _Request(urllib.request.Request):
    """A request with what its connection needs to know of it."""

    call: _Call
    patience: float | None = None  # seconds for the whole head of the answer; None: as long as it and its body take
    noun = ""  # what it creates, "" if it may be repeated
    sent = False  # whether a first byte may have left

class _Transport(urllib.request.AbstractHTTPHandler, urllib.request.HTTPRedirectHandler,
                 urllib.request.HTTPErrorProcessor):
    """Sends requests and reads answers: retries, redirects, proxies, kept connections, and who gets the token."""

    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_
    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302

    def __init__(self, client: Client, seconds: float, retries: int, headers: Mapping[str, str], proxies: Any,
                 ssl_context: Any) -> None:
        _check(not re.search(r"[\r\n\0]", "".join(itertools.chain(*headers.items()))), "a header has a line end in it")
        self.client, self.seconds, self.retries, self.proxies = client, seconds, retries, proxies
        self.own_headers = {name.capitalize(): _Secret(value) for name, value in headers.items()}
        self.ssl_context, self.random, self.throttle = ssl_context, random.random, _Throttle()
        self.idle: dict[Any, list[Any]] = {}  # kept connections by where they go, newest last
        self.opener_for: Any = None
        weakref.finalize(client, lambda idle: [one.close() for kept in idle.values() for one in kept], self.idle)

    def request(self, method: str, url: str, read: str, *, call: _Call, body: Any = None,
                headers: Mapping[str, Any] | None = None, noun: str = "", hold: float | None = 0.0,
                retries: int | None = None) -> Any:
        """Send a request until it succeeds or may not be sent again, and return _read(response, read).

        hold is the seconds that the server was asked to hold it, None for a run that takes as long as it takes. noun
        says what it creates: then it is repeated only if the server cannot have acted on it (promise 1).
        """
        creates = noun not in ("", "cancel")
        for attempt in itertools.count():
            if creates:
                self.throttle.wait(call)
            started, status, request = time.monotonic(), "failed", None
            try:
                call.check()
                request = self._prepared(method, url, body, headers or {}, call)
                request.noun, request.patience = noun, None if hold is None else self.seconds + hold
                response = self._opener().open(request)
                status = str(response.status)
                if 200 <= response.status < 300:
                    result = _read(response, read)
                    call.in_flight = False
                    if creates:
                        self.throttle.learn(None)
                    return result
                failure: ReplicateError = self._refusal(response, method, url, noun)
                call.in_flight = False
            except _BROKEN as error:
                failure = self.explained(error, method, url, call, noun, request)
            finally:
                _log("%s %s %s %d ms, attempt %d", method, lambda: _split(url).path[:200] or "/", status,
                     (time.monotonic() - started) * 1000, attempt + 1)
            self.wait_for_retry(failure, noun, attempt, call, retries)

    def wait_for_retry(self, failure: ReplicateError, noun: str, attempt: int, call: _Call,
                       retries: int | None = None) -> None:
        """Sleep until a request may be sent again, or raise the failure where it may not: the one rule for all."""
        known = isinstance(failure, (APIError, NetworkError)) and not failure._final
        safe = not noun and (failure.status or 500) >= 500 or failure.status == 429 or not failure._sent
        if not (known and safe and attempt < (self.retries if retries is None else retries)):
            raise failure  # outside of any except block, so that no traceback leads to headers
        delay = failure.retry_after  # the server's word beats a guess
        delay = min(_WAIT_MOST, self.random() * _BACKOFF * 2 ** attempt if delay is None else delay)
        if failure.status == 429:
            self.throttle.learn(call.clock.now() + delay)
        call.sleep(delay)

    def _prepared(self, method: str, url: str, body: Any, headers: Mapping[str, Any], call: _Call) -> _Request:
        """The request for a URL: the only place where the token and the caller's own headers are added (promise 5)."""
        if not url[:8].lower().startswith(("http://", "https://")):
            raise ReplicateError(f"will not open {_short(self.redacted(url))}: http and https only")
        whole, base = {name.capitalize(): value for name, value in headers.items()}, self.client.base_url
        whole.setdefault("User-agent", _AGENT)
        called = url.startswith(base + "/")
        here: Any
        here, api = ("", "") if called else (_origin(url), _origin(base))
        if not called and re.search(r"[%\s\\]", _split(url).netloc):  # would be read as another host further on
            raise ReplicateError(f"will not open {_short(self.redacted(url))}: that is no host")
        if here == api and not call.bare:
            whole.update(self.own_headers)
        trusted = here == api or here[0] == api[0] == "https" and _OURS.search(here[1]) and _OURS.search(api[1])
        if trusted and not call.bare and "Authorization" not in self.own_headers:
            token = self.client._token()
            if called and not token:
                raise ReplicateError("no API token: set REPLICATE_API_TOKEN, or give Client(api_token=); get one at "
                                     + _TOKENS_PAGE)
            whole.update({"Authorization": _Secret("Bearer " + token)} if token else {})
        url = url if _PLAIN_URL.fullmatch(url) else urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")
        request = _Request(url, body, method=method)
        request.headers, request.call = whole, call
        return request

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        """Follow the redirect of a GET with the headers that the new origin may have, and no other redirect."""
        if req.get_method() != "GET":
            return None
        fp.close()  # its body is of no interest, and may have no end
        if req.type == "https" and newurl[:6].lower() != "https:":
            raise ReplicateError(f"will not follow a redirect from https to {_short(self.redacted(newurl))}")
        kept = {name: req.headers[name] for name in req.headers if name in ("Accept", "Accept-encoding", "Last-event-id")}
        request = self._prepared("GET", newurl, None, kept, req.call)
        request.patience = req.patience
        return request

    def http_error_default(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        return fp

    def redacted(self, text: str) -> str:
        """Text from outside without the token and the caller's own headers."""
        try:
            token = self.client._token()
        except ReplicateError:  # a malformed one is told elsewhere
            token = ""
        for secret in [token, *self.own_headers.values()]:
            text = text.replace(secret, "***") if len(secret) > 3 else text
        return text

    def _refusal(self, response: Any, method: str, url: str, noun: str) -> APIError:
        """The error that an answer tells of: problem details (RFC 9457), Cog's forms, or any text."""
        try:
            with response:
                body = _unpacked(response, response.read(_ERROR_MOST + 1024)).decode("utf-8", "replace")
        except _BROKEN:
            body = ""
        body, headers, status = self.redacted(body)[:_ERROR_MOST], http.client.HTTPMessage(), response.status
        for name, value in response.headers.items():
            headers[name] = self.redacted(value)
        facts = {"title": self.redacted(response.reason or "error"), **_problem(body)}
        said = ": ".join(dict.fromkeys(facts[name] for name in ("title", "detail") if facts.get(name)))
        asked, path = headers.get("X-Request-Id") or headers.get("Replicate-Request-Id"), _split(url).path
        text = f"{method} {path}: {status} {said}" + (f" (request id {asked})" if asked else "")
        text += f"; check REPLICATE_API_TOKEN: tokens come from {_TOKENS_PAGE}" if status == 401 else ""
        text += _may_exist(noun) if status >= 500 or status < 400 or status == 408 else ""
        return APIError(text, **facts, status=status, method=method, path=path, headers=headers, request_id=asked,
                        body=body, retry_after=_retry_after(headers, body, status, time.time()))

    def explained(self, error: BaseException, method: str, url: str, call: _Call, noun: str = "",
                  request: _Request | None = None) -> ReplicateError:
        """A failure of the network as one line for people: what failed, why, what to do."""
        call.check()
        where, path = _split(url)[1:3]
        facts: dict[str, Any] = {"method": method, "path": path, "_sent": request is None or request.sent}
        unknown = _may_exist(noun) if facts["_sent"] else ""
        if call.over():
            timeout = call.expired(unknown)
            timeout.__dict__.update(facts)
            return timeout
        why = self.redacted(str(error)) or type(error).__name__
        facts["_final"] = bool(re.search(r"Tunnel connection failed: 4\d\d", why))
        if isinstance(error, urllib.error.HTTPError):  # a redirect that urllib will not follow
            error.close()
            facts["_final"] = True
        elif ssl is not None and isinstance(error, ssl.SSLCertVerificationError):
            facts["_final"] = True
            why = (f"the certificate of {where} is not trusted ({error.verify_message}); name your CA's file in "
                   "SSL_CERT_FILE, or give Client(ssl_context=)")
        elif isinstance(error, socket.timeout):
            why = "no answer in time" if facts["_sent"] else "no connection in time"
        elif isinstance(error, (http.client.IncompleteRead, http.client.RemoteDisconnected)):
            why = "the connection was closed before the answer was complete"
        via = f" through the proxy {request.host}" if request is not None and request.host != where else ""
        return NetworkError(f"{method} {path or '/'} at {where}{via}: {why}{unknown}", **facts)

    def _opener(self) -> Any:
        """urllib's opener, for http and https alone, made anew when the proxy variables change."""
        variables = [os.environ.get(name) for name in _PROXY_VARIABLES]
        if variables != self.opener_for:
            opener = urllib.request.OpenerDirector()
            opener.add_handler(urllib.request.ProxyHandler(self.proxies))
            opener.add_handler(self)
            self.opener_for = variables
        return self.parent

    def _connection(self, request: Any) -> Any:
        """A kept connection that is certain to be of use, else a new one.

        None of another process, of long ago, or with anything to read; a creating request takes only one just used.
        """
        kept = self.idle.setdefault((request.type, request.host, request._tunnel_host), [])
        most = _FRESH if request.noun or not self.retries else _KEPT_FOR
        while kept:
            try:
                connection = kept.pop()
            except IndexError:  # another thread was faster
                break
            age = time.time() - connection.kept_at
            if connection.process == os.getpid() and 0 <= age < most and connection.quiet():
                return connection
            connection.close()
        if request.type == "http":
            connection = _HTTP(request.host)
        elif ssl is None:
            raise ReplicateError("this Python was built without ssl: https cannot be used")
        else:
            self.ssl_context = self.ssl_context or ssl.create_default_context()
            connection = _HTTPS(request.host, context=self.ssl_context)
        connection.process, connection.kept = os.getpid(), kept
        return connection

    def http_open(self, request: Any) -> Any:
        """Send a request over a connection and return its answer, whose head is here; its body may not be."""
        connection = self._connection(request)
        try:
            response = self._exchange(connection, request)
        except BaseException:
            connection.close()
            raise
        response.connection, response.msg = connection, response.reason
        return response

    https_open = http_open

    def _exchange(self, connection: Any, request: Any) -> Any:
        # 1. connect, through the proxy's tunnel where there is one
        call, body, seconds = request.call, request.data, self.seconds
        secret = _Secret(request.headers.pop("Proxy-authorization", "") if request._tunnel_host else "")
        connection.seconds = seconds
        if connection.sock is None:
            connection.call = call.narrowed(seconds)
            if request._tunnel_host:
                connection.set_tunnel(request._tunnel_host, headers={"Proxy-Authorization": secret} if secret else {})
            connection.connect()
        # 2. send; a creation whose caller leaves is heard out, to be cancelled by its id, all else is cut off
        request.sent, call.in_flight = True, bool(request.noun)
        if call.stop is not None and request.noun and request.patience is not None:
            call = call.narrowed(None)
            call.stop = None
        elif call.stop is not None:
            call.stop.reading.add(connection)
        connection.call = call
        plain = body if isinstance(body, bytes) else b""
        try:
            connection.send(_head(request) + plain)
            for block in () if body is plain or body is None else body:
                connection.send(block)
        except (BrokenPipeError, ConnectionResetError):  # it may have refused an upload half way, and said why
            if body is plain or body is None:
                raise
        # 3. read the head of the answer, all of it within the time for that
        connection.call, connection.seconds = call.narrowed(request.patience), request.patience
        response = connection.response_class(None, method=request.get_method())
        response.begin()
        connection.call, connection.seconds = call, None if request.patience is None else seconds
        return response

def _head(request: Any) -> bytes:
    """The head of a request as it is sent; here and in the sending alone does it stand in clear."""
    lines = [f"{request.get_method()} {request.selector or '/'} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in request.header_items()]
    if request.data is None and request.get_method() != "GET":
        lines.append("Content-Length: 0")  # without it, some servers answer 411
    head = "\r\n".join([*lines, "", ""])
    _check(head.count("\n") == len(lines) + 1 == head.count("\r"), "a header has a line end in it")
    return head.encode()

def _may_exist(noun: str) -> str:
    """What the failure of a request adds that may have been acted on."""
    look = " (replicate.predictions.list())" if noun == "prediction" else ""
    made = {"change": "made", "run": "started"}.get(noun, "created")
    return "" if noun in ("", "cancel") else f"; the {noun} may have been {made}: look before you send it again{look}"

def _split(url: str) -> urllib.parse.SplitResult:
    """urlsplit, but an address that it does not understand has no parts."""
    try:
        return urllib.parse.urlsplit(url)
    except ValueError:
        return urllib.parse.SplitResult("", "", "", "", "")

def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port (RFC 6454). One that readers could understand differently has an origin of its own."""
    parts = _split(url)
    if re.search(r"[@\\]", parts.netloc) or not re.search(r"(^|[^:\d]|\]):?\d*$|^[^:]*:\d+$", parts.netloc):
        return "", url, None
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)

def _retry_after(headers: Any, text: str, status: int, now: float) -> float | None:
    """Seconds that the server asks us to wait: Retry-After in seconds or as a date (RFC 9110, section 10.2.3); of a 429
    also ratelimit-reset, or the words "resets in ~30s". None where it says nothing."""
    after, number = (headers.get("Retry-After") or "").strip(), r"\s*(\d+(?:\.\d+)?)\s*"
    if re.fullmatch(number, after):
        return float(after)
    try:
        import email.utils
        date: Any = email.utils.parsedate_tz(after)
        return max(0.0, email.utils.mktime_tz((*date[:9], date[9] or 0)) - now)
    except (TypeError, ValueError, OverflowError, IndexError):
        found = re.fullmatch(number, headers.get("ratelimit-reset") or "") or re.search(f"resets in ~?{number}s", text)
        return float(found[1]) if found and status == 429 else None

def _parsed(text: Any) -> Any:
    """JSON's value, None for what is no JSON."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None

def _problem(body: str) -> dict[str, str]:
    """title, detail, type and instance from an error's body; of HTML or text, what a person can read of it."""
    data: Any = _parsed(body)
    data = " ".join(re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", body).split())[:300] if data is None else data
    data = data if isinstance(data, dict) else {"detail": data or None}
    detail = data.get("detail", data.get("error"))
    if isinstance(detail, list):  # Cog: {"detail": [{"loc": ["body", "input", "times"], "msg": "..."}]}
        parts = [part if isinstance(part, dict) else {"msg": part} for part in detail]
        places = [part["loc"][1:] if isinstance(part.get("loc"), list) else [] for part in parts]
        detail = "; ".join((".".join(str(step) for step in place) + ": ") * bool(place) + str(part.get("msg"))
                           for place, part in zip(places, parts))
    data["detail"] = detail
    return {name: str(data[name]) for name in ("title", "detail", "type", "instance") if data.get(name) is not None}

class _Limited(io.RawIOBase):
    """What comes over a connection, each read within the limits of the moment (promise 8)."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        sock = self.connection.sock
        sock.settimeout(self.connection.limit())
        count: int = sock.recv_into(buffer)
        return count

class _Connection:
    """What http.client's two connections lack: limits for each operation, one reader, silence about what they send."""

    debuglevel = 0  # http.client would print the token
    call: Any = None  # None while it is idle: then nothing is waited for
    seconds: float | None = None
    sock: Any
    reader: Any = None

    def limit(self) -> Any:
        return 0.0 if self.call is None else self.call.left(self.seconds)

    def makefile(self, *mode: Any) -> Any:
        self.reader = self.reader or io.BufferedReader(_Limited(self), 1 << 16)
        return self.reader

    def response_class(self, sock: Any, **options: Any) -> _Response:
        return _Response(self, **options)  # type: ignore[arg-type]

    def connect(self) -> None:
        self._create_connection = self.dial
        super().connect()  # type: ignore[misc]
        self.reader = None  # what came before TLS has no place in it
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):  # a peer that has vanished is noticed in minutes, not hours
            if hasattr(socket, name):
                self.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), 30)

    def dial(self, address: Any, *given: Any) -> Any:
        """Connect to the first of a host's addresses that answers; all of them share the time."""
        failure: Exception = OSError("the host has no address")
        for family, kind, protocol, _, where in socket.getaddrinfo(address[0], address[1], 0, socket.SOCK_STREAM):
            sock = socket.socket(family, kind, protocol)
            try:
                sock.settimeout(self.limit())
                sock.connect(where)
                return sock
            except BaseException as error:
                sock.close()
                if not isinstance(error, OSError):
                    raise
                failure = error
        raise failure

    def send(self, data: bytes) -> None:
        for start in range(0, len(data), _BLOCK):  # sendall's time-out is for the whole of its data
            self.sock.settimeout(self.limit())
            self.sock.sendall(data[start:start + _BLOCK])

    def quiet(self) -> bool:
        """Whether nothing is to be read on an idle connection: no end, no error, nothing that nobody asked for."""
        try:
            self.reader.peek(1)
        except OSError as error:
            return type(error).__name__ in ("BlockingIOError", "SSLWantReadError")  # there may be no ssl
        return False

_HTTP: Any = type("_HTTP", (_Connection, http.client.HTTPConnection), {})
_HTTPS: Any = type("_HTTPS", (_Connection, http.client.HTTPSConnection), {}) if ssl is not None else None

def _read_headers(file: Any, _class: Any = None) -> http.client.HTTPMessage:
    """Read header lines up to the empty one (RFC 9112, section 5); a folded line, which is obsolete, is passed over."""
    message = http.client.HTTPMessage()
    for _ in range(_HEADERS_MOST):
        line = file.readline(_LINE_MOST)
        if line in (b"\r\n", b"\n"):
            return message
        if not line.endswith(b"\n"):
            raise http.client.RemoteDisconnected("the head of the answer was cut short, or is too long")
        name, colon, value = line.decode("latin-1").partition(":")
        if colon and name.strip() == name:
            message[name] = value.strip()
    raise http.client.HTTPException("too many headers")

class _Response(http.client.HTTPResponse):
    """An answer that skips interim ones and gives its connection back when it has been read to its end."""

    connection: Any = None  # once the head is here

    def _read_status(self) -> Any:
        for _ in range(_INTERIM_MOST):
            answer = super()._read_status()  # type: ignore[misc]
            if not 100 <= answer[1] < 200 or answer[1] == 101:
                return answer
            _read_headers(self.fp)
        raise http.client.HTTPException("too many interim answers")

    # http.client's own, but for what reads the headers: the email package would take longer for them than all the rest
    _function: Any = type(_read_headers)
    begin = _function(http.client.HTTPResponse.begin.__code__, dict(vars(http.client), parse_headers=_read_headers))

    def events(self) -> Iterator[ServerSentEvent] | None:
        """The events in the body; None where it is no stream of them."""
        kind = (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower()
        return _decode(self.blocks(_BLOCK)) if kind == "text/event-stream" else None

    def blocks(self, size: int) -> Iterator[bytes]:
        """Yield the body as it arrives, never waiting for a block to be full; IncompleteRead where it is cut short."""
        left = math.inf if self.chunked or self.length is None else self.length
        while left > 0:  # HTTPResponse.read1 loses count of the length before Python 3.12
            block = self.read1(size) if left == math.inf else self.fp.read1(min(size, int(left)))
            if not block and left < math.inf:
                raise http.client.IncompleteRead(b"", int(left))
            if not block:
                return
            left -= len(block)
            yield block
        self._close_conn()

    def _close_conn(self) -> None:  # at the end of the body, and when it is closed: but the reader is the connection's
        self.fp: Any = None

    def close(self) -> None:
        good = self.isclosed() and not self.will_close
        super().close()
        connection, self.connection = self.connection, None
        if connection is None:
            return
        if connection.call.stop is not None:
            connection.call.stop.reading.discard(connection)
        if good and connection.sock is not None and len(connection.kept) < _KEPT_MOST:
            connection.call, connection.kept_at = None, time.time()
            connection.kept.append(connection)
        else:
            connection.close()

def _unpacked(response: Any, body: bytes) -> bytes:
    if (response.headers.get("Content-Encoding") or "").lower() != "gzip":
        return body
    try:
        return zlib.decompress(body, 31)  # pyright: ignore[reportOptionalMemberAccess]
    except Exception as error:  # an AttributeError, where there is no zlib and none was asked for
        raise _Garbage(f"not gzip: {error}") from None

def _read(response: Any, how: str) -> Any:
    """An answer as `how` says: open, nothing, bytes, text, or JSON: a list, an object, what was made, a run."""
    if how == "open":
        return response
    with response:
        body = _unpacked(response, response.read())
    if how in ("nothing", "bytes", "text"):
        return True if how == "nothing" else body if how == "bytes" else body.decode("utf-8", "replace")
    kind: Any = list if how == "list" else dict
    data, needed = _parsed(body), {"run": ("id", "status"), "made": ("id",)}.get(how, ())
    if not isinstance(data, kind) or not all(isinstance(data.get(n), str) for n in needed):
        raise _Garbage(f"the answer is not the JSON that it should be: {len(body)} bytes of "
                       f"{response.headers.get('Content-Type')}")
    return data

# ---------------------------------------------------------------------------------------------------------------------
# Webhooks
# ---------------------------------------------------------------------------------------------------------------------

class Webhooks(Namespace):
    """Webhooks: their secret, and whether one that came is genuine. https://replicate.com/docs/topics/webhooks"""

    class Default(Namespace):
        """The webhook of this account."""

        secret = _operation("GET /webhooks/default/secret", WebhookSigningSecret, "Return the secret that signs "
                            "deliveries; keep it, it rarely changes.")

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.default = Webhooks.Default(client)

    @staticmethod
    def validate(request: Any = None, headers: Any = None, body: Any = None, secret: Any = None,
                 tolerance: float | None = 300) -> bool:
        """Return True for a genuine delivery; else raise WebhookError. No request is made.

        headers is a mapping in any case, an ASGI list of pairs or a WSGI environ; body the raw bytes as they came, or
        text; or both are those of `request` (its .headers, and .content or .body). secret is "whsec_..." or what
        webhooks.default.secret() gives. tolerance is how many seconds the time may be off; None: any.
        Deliveries are repeated, with the same webhook-id. https://www.standardwebhooks.com
        """
        import hmac
        secret = secret if isinstance(secret, str) else getattr(secret, "key", None) or ""
        key: Any = re.fullmatch(r"(?:whsec_)?([A-Za-z0-9+/]+={0,2})", secret.strip())
        _check(key and len(key[1]) % 4 == 0, "secret is 'whsec_...', or what webhooks.default.secret() gives")
        if request is not None:
            headers, body = request.headers, getattr(request, "content", None) or getattr(request, "body", b"")
        found = _webhook_headers(headers or {})
        for name in ("webhook-id", "webhook-timestamp", "webhook-signature"):
            if not found.get(name):
                raise WebhookError(f"the header {name} is missing")
        stamp = found["webhook-timestamp"]
        if not body or not re.fullmatch(r"\d{1,12}", stamp):
            raise WebhookError("webhook-timestamp is not a number of seconds" if body else "the body is missing")
        if tolerance is not None and abs(time.time() - int(stamp)) > tolerance:
            raise WebhookError(f"webhook-timestamp is more than {tolerance:g} s away from this machine's time")
        content = f"{found['webhook-id']}.{stamp}.".encode() + (body.encode() if isinstance(body, str) else bytes(body))
        right = base64.b64encode(hmac.new(base64.b64decode(key[1]), content, "sha256").digest())
        given = found["webhook-signature"].encode("utf-8", "replace").split()
        if not sum(hmac.compare_digest(b"v1," + right, signature) for signature in given):
            raise WebhookError("no webhook-signature is that of this body under this secret")
        return True

def _webhook_headers(headers: Any) -> dict[str, str]:
    """Headers of any shape by their lower-case names: mappings, pairs (ASGI), HTTP_WEBHOOK_ID (WSGI), lists."""
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
  replicate run MODEL --help             the model's inputs; key=@file sends a file, @- standard input
  replicate map MODEL < inputs.jsonl > results.jsonl
  replicate watch ID                     follow a prediction that runs already
  replicate models get OWNER/NAME        any method of the API: RESOURCE VERB [ARG ...] [NAME=VALUE ...]
  replicate predictions list --all       as JSON, one a line

run, map, watch, search, each RESOURCE (models, predictions, trainings, deployments, files, collections, hardware,
account, webhooks) and each VERB take --help. A MODEL may be the http address of a Cog container. Exit codes: 0 done;
1 the model failed, was canceled or timed out; 2 bad usage or input; 3 the API or the network failed; 130 interrupted.
"""
_EXITS = {ModelError: 1, PredictionTimeout: 1, ValueError: 2, TypeError: 2, ReplicateError: 3, OSError: 3,
          KeyboardInterrupt: 130}  # the first that fits an error; an OSError: the output cannot be written
_line = {"status": False, "open": False}  # on the terminal: whether a status is shown; whether output is in mid-line

def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1, 2, 3 or 130 (see --help)."""
    words = list(sys.argv[1:] if argv is None else argv)
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):  # closed, as by <&-
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
    try:
        if argv is None:  # the process is ours: SIGTERM gives a run up as Ctrl-C does
            import signal
            signal.signal(signal.SIGTERM, signal.default_int_handler)
        if not words or words[0] in ("-h", "--help", "help", "-V", "--version"):
            _write(f"replicate-onefile {__version__}\n" if {"-V", "--version"}.intersection(words) else _USAGE)
            return 0 if words else 2
        command = {"run": _run_command, "map": _map_command, "watch": _watch_command}.get(words[0])
        command(_options(*words)) if command else _resource_command(words)
        sys.stdout.flush()
        return 0
    except SystemExit as error:  # argparse has said why
        return int(error.code or 0)
    except BrokenPipeError:  # the reader has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ReplicateError, ValueError, TypeError, OSError, KeyboardInterrupt) as error:
        _write(f"replicate: {str(error) or 'interrupted'}\n", sys.stderr)
        return next(code for kind, code in _EXITS.items() if isinstance(error, kind))

def _write(text: str, file: Any = None) -> None:
    """Write text: to a terminal without the control characters that it would obey, to a pipe as it is."""
    file = file or sys.stdout
    _status("")
    if file.isatty():
        text = re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text)
    file.write(text.encode(file.encoding or "utf-8", "replace").decode(file.encoding or "utf-8"))
    file.flush()
    _line["open"] = not text.endswith("\n") if text else _line["open"]

def _status(text: str) -> None:
    """Show a line on a terminal's standard error, until the next one or any output takes its place."""
    if sys.stderr.isatty() and (_line["status"] or text and not _line["open"]):
        sys.stderr.write("\r\x1b[K" + text)
        sys.stderr.flush()
        _line["status"] = bool(text)

def _options(command: str, *words: str) -> Any:
    """What the words after run, map or watch ask for; where they do not say of what, the help is shown."""
    import argparse
    usage = {"run": "MODEL [key=value ...]", "map": "MODEL < inputs.jsonl > results.jsonl", "watch": "ID"}[command]
    parser = argparse.ArgumentParser(usage=f"replicate {command} {usage} [options]", add_help=False)
    add = parser.add_argument
    add("ref", nargs="?", metavar=usage.split()[0], help="owner/name[:version], deployments/owner/name, id or address")
    add("--help", "-h", action="store_true", help="show this, or after run MODEL the model's inputs")
    add("--timeout", type=float, metavar="SECONDS", help="give up after so long")
    if command == "run":
        add("inputs", nargs="*", metavar="key=value", help="an input; key=@file sends a file, key:=json is JSON")
        add("--input", metavar="FILE", help="read inputs from a JSON object in a file, or - for standard input")
        add("--no-wait", action="store_true", help="print the prediction's id and return")
        add("--web", action="store_true", help="open the prediction's page in a browser")
    if command != "watch":
        add("--cancel-after", metavar="DURATION", help="have the server cancel it, as 5m")
    if command == "map":
        add("--concurrency", type=int, default=8, metavar="N", help="runs at a time (8)")
    else:
        add("-o", "--output", metavar="PATH", help="save files: a directory, a name, or - for standard output")
        add("--json", action="store_true", help="print the whole prediction")
        add("--logs", action="store_true", help="show the model's logs on standard error")
    options = parser.parse_intermixed_args(words)
    if options.ref is None or options.help and command != "run":
        parser.print_help()
        sys.exit(0 if options.help else 2)
    return options

def _run_command(options: Any) -> None:
    try:
        description, openapi = _description(default_client, options.ref)
    except APIError as error:
        if error.status == 401 or options.help:
            raise
        description, openapi = "", None  # then values are not typed, and the creation tells what is wrong
    if options.help:
        return _write(_manual(options.ref, description, openapi) + "\n")
    job = _job(default_client, options.ref, _typed(options, _inputs_of(openapi)), wait=False, timeout=options.timeout,
               cancel_after=options.cancel_after)
    _check(not (options.no_wait and job.target.cog), "--no-wait is for hosted models: a container keeps no predictions")
    prediction = job.start()
    if options.web and prediction and prediction._url("web"):
        import webbrowser
        webbrowser.open(prediction._url("web"))
    if options.no_wait:
        return _write(_as_text(prediction if options.json else prediction.id))
    return _follow(job, options, _part(openapi, "Output"))

def _watch_command(options: Any) -> None:
    def cancel(call: _Call) -> None:
        raise ReplicateError("it is somebody else's to cancel")
    job: Any = _Job(default_client, _Target(""), None, timeout=options.timeout)
    job.prediction, job.cancel = default_client.predictions.get(options.ref), cancel
    _follow(job, options, {})

def _follow(job: Any, options: Any, schema: Mapping[str, Any]) -> None:
    """Show a run to its end, and its output, as the options say."""
    logged = 0  # how much of the logs was shown
    def show(run: Any) -> None:
        nonlocal logged
        logs = run.get("logs") or ""
        if options.logs and len(logs) > logged:
            _write(logs[logged:], sys.stderr)
            logged = len(logs)
        done = f", {run.progress.percentage:.0%}" if run.progress else ""
        _status(f"{run.get('status')} {job.call.clock.now() - job.call.started:.0f} s{done}" if run._running else "")
    job.call.watch = show
    text = schema.get("x-cog-array-display") == "concatenate"
    text = text or not schema and bool(job.prediction and job.prediction._url("stream"))
    try:
        if job.prediction:
            show(job.prediction)
        if options.json:
            try:
                job.output()
            finally:
                _write(_as_text(job.prediction))
        elif text and not options.output:
            _write_events(job.events())
        else:
            _put(job.output(), options.output, schema)
    except KeyboardInterrupt:
        known = job.prediction.id if job.prediction else "nothing"
        raise KeyboardInterrupt(f"interrupted: {'cancelled' if job.cancelled else 'did not cancel'} {known}") from None

def _write_events(events: Any) -> None:
    """Text as it comes; files a line each."""
    last = "\n"
    try:
        for event in events:
            text = str(event) + "\n" * isinstance(event.data, FileOutput)
            _write(text)
            last = text or last
    finally:
        events.close()
        _write("" if last.endswith("\n") else "\n")

def _put(output: Any, where: str | None, schema: Mapping[str, Any]) -> None:
    """Print an output; or put its files, or the text where there are none, where -o says, and print their paths."""
    files, text = _found_files(output), _as_text(output, schema)
    if where == "-" and files:
        sys.stdout.buffer.writelines(block for file in files for block in file.iter_bytes())
    elif where in (None, "-"):
        _write(text)
    else:
        try:
            for file in files or [FileOutput("data:text/plain," + urllib.parse.quote(text))]:
                _write(f"{file.save(os.path.join(where, '') if len(files) > 1 else where)}\n")
        except ReplicateError:
            _write(text)  # paid for, and not to be lost
            raise

def _found_files(output: Any) -> list[FileOutput]:
    inside = output.values() if isinstance(output, dict) else output if isinstance(output, list) else ()
    return [output] if isinstance(output, FileOutput) else [file for item in inside for file in _found_files(item)]

def _as_text(output: Any, schema: Mapping[str, Any] | None = None, indent: int | None = 2) -> str:
    """An output for people and pipes: text as it is, files a line each, everything else as JSON."""
    if isinstance(output, list) and output and all(isinstance(item, str) for item in output):
        lines = isinstance(output[0], FileOutput) or schema and schema.get("x-cog-array-display") != "concatenate"
        output = ("\n" if lines else "").join(output)
    text = output if isinstance(output, str) else json.dumps(output, indent=indent, ensure_ascii=False)
    return text if text.endswith("\n") else text + "\n"

def _map_command(options: Any) -> None:
    fields = _inputs_of(_description(default_client, options.ref)[1])
    drawn: deque[Any] = deque()
    done = failed = 0
    def inputs() -> Iterator[Any]:
        for number, raw in enumerate(sys.stdin.buffer, 1):  # JSON is UTF-8, whatever the terminal is
            line = raw.decode("utf-8-sig", "replace").rstrip("\r\n")
            if line.strip():
                value = _json_or_text(line)
                faults = _faults(value, fields) if isinstance(value, dict) else ["it is no JSON object"]
                drawn.append({"line": number, "input": value})
                yield ValueError(f"line {number}: {'; '.join(faults)}") if faults else value
    for output in default_client.map(options.ref, inputs(), concurrency=options.concurrency, return_exceptions=True,
                                     timeout=options.timeout, cancel_after=options.cancel_after):
        bad = isinstance(output, Exception)
        done, failed = done + 1, failed + bad
        _write(_as_text({**drawn.popleft(), "error" if bad else "output": str(output) if bad else output}, indent=None))
        _status(f"{done} done, {failed} failed")
    _write(f"{done} done, {failed} failed\n", sys.stderr)
    sys.exit(1 if failed else 0)

def _json_or_text(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text

def _typed(options: Any, fields: Mapping[str, _Field]) -> dict[str, Any]:
    """The inputs of a command line as the schema types them. Raises ValueError with all that is wrong."""
    input: dict[str, Any] = {}
    said: dict[str, Any] = {}
    wrong, unchecked = [], set()  # unchecked: what is JSON whatever the schema says, and what could not be read
    try:
        input.update(**json.loads(_content(options.input) if options.input else b"{}"))
    except (ValueError, TypeError, OSError) as error:
        wrong.append(f"--input {options.input} is no JSON object: {error}")
    for word in options.inputs:
        name, equals, text = word.partition("=")
        name, literal = name.rstrip(":"), name.endswith(":")
        unchecked.add(name)
        try:
            _check(equals, "is to be written key=value")
            value = _json_or_text(text) if literal else _read_value(fields.get(name), text)
            _check(not literal or value is not text, "is not JSON")
            if name in said:
                _check(isinstance(said[name], list), "is given twice")
                value = said[name] + (value if isinstance(value, list) else [value])
            said[name] = value
            unchecked.difference_update(() if literal else (name,))
        except (ValueError, OSError) as error:
            wrong.append(f"{name} {error}" + f"; a text that begins with @ is {name}:='\"@...\"'" * (text[:1] == "@"))
            said.setdefault(name, None)  # so that it is not told to be missing as well
    input.update(said)
    wrong += _faults(input, fields, unchecked)
    _check(not wrong, "\n  ".join(["the input is wrong:", *wrong] if len(wrong) > 1 else wrong))
    return input

def _content(path: str) -> bytes:
    """What a file holds, or standard input where its name is -."""
    import pathlib
    return sys.stdin.buffer.read() if path == "-" else pathlib.Path(path).read_bytes()

def _read_value(field: _Field | None, text: str) -> Any:
    """One value of the command line by its field, None where there is no schema: then it is JSON, or else text."""
    if text[:1] == "@" and (field is None or field.file):
        import pathlib
        value: Any = pathlib.Path(text[1:])
        if text == "@-":
            value = _content("-")
            line = value.strip().decode("utf-8", "replace")
            value = line if _is_file(line) else value
        else:
            os.stat(value)  # one that is not there is told now
        return [value] if field and field.types == ["array"] else value
    if text[:1] == "@":
        text = _content(text[1:]).decode("utf-8", "replace")
    if field is None or not (field.types or field.choices):
        return _json_or_text(text)
    return None if text == "null" and field.nullable and "string" not in field.types else field.parse(text)

def _manual(ref: Any, description: str, openapi: Any) -> str:
    """A model's inputs and output for people, wrapped to the terminal's width."""
    import shutil
    import textwrap
    fields, output = _inputs_of(openapi), _part(openapi, "Output")
    title = "Inputs:" if fields else "Its inputs are not known: there is no schema. Values are JSON, or else text."
    texts = [("", str(getattr(ref, "id", ref))), ("", description), ("", " "), ("", title)]
    for field in fields.values():
        numbers = ("from", field.least), ("to", field.most), ("default", None if field.secret else field.default)
        facts = ["/".join(field.types) or "any", "file or URL" * field.file, "secret" * field.secret,
                 *(f"{word} {_short(value)}" for word, value in numbers if value is not None),
                 "required" * field.required, "or null" * field.nullable]
        texts += [("  ", f"{field.name} ({', '.join(filter(None, facts))})"), ("      ", field.description),
                  ("      ", "one of: " * bool(field.choices) + ", ".join(str(choice) for choice in field.choices))]
    items = output.get("items") or output
    kind = "file" if items.get("format") == "uri" else items.get("type") or "value"
    kind = kind if items is output else f"a list of {kind}s"
    kind = "text, as it is made" if "x-cog-array-display" in output else kind
    texts += [("", " "), ("", f"Output: {kind}")] * bool(output)
    width = max(40, shutil.get_terminal_size().columns - 2)
    return "\n".join(textwrap.fill(text, width, initial_indent=indent, subsequent_indent=indent)
                     for indent, text in texts if text)

def _commands(thing: Any) -> dict[str, Any]:
    """What a command line can name below a thing: of the client its namespaces and search, of these their methods."""
    found = {name: getattr(thing, name) for name in dir(thing) if not name.startswith(("_", "async_"))}
    return {name: one for name, one in found.items() if isinstance(one, Namespace)
            or callable(one) and (isinstance(thing, Namespace) or thing is default_client and name == "search")}

def _resource_command(words: list[str]) -> None:
    """RESOURCE VERB [ARG ...] [NAME=VALUE ...]: a method of the client, found by its name, called by its signature."""
    import inspect
    flags = {"-h", "--help", "--all"}.intersection(words)
    words = [word for word in words if word not in flags]
    thing: Any = default_client
    path: list[str] = []
    while words and words[0] in _commands(thing):
        path.append(words.pop(0))
        thing = _commands(thing)[path[-1]]
    verbs = _commands(thing)
    if verbs and (words or not flags):
        raise ValueError(f"{' '.join(path + words[:1])!r} is no command" + _nearest("".join(words[:1]), [*verbs]))
    if flags - {"--all"}:
        title = " ".join(["replicate", *path] + ["VERB"] * bool(verbs)) + " [ARG ...] [NAME=VALUE ...]\n"
        lines = [f"  {verb:12} {(inspect.getdoc(one) or '').splitlines()[0]}"[:118] for verb, one in verbs.items()]
        return _write("\n".join([title, inspect.getdoc(thing) or "", *lines, ""]))
    given, named = [], {}
    parameters = inspect.signature(thing).parameters
    for word in words:
        name, equals, text = word.partition("=")
        if equals and re.fullmatch(r"\w+:?", name):
            kind = str(getattr(parameters.get(name), "annotation", ""))
            named[name.rstrip(":")] = text if kind in ("str", "str | None") else _read_value(None, text)
        else:
            given.append(json.loads(word) if word[:1] in ("{", "[") else word)
    result = thing(*given, **named)
    if isinstance(result, bytes):
        sys.stdout.buffer.write(result)
    elif isinstance(result, Page) and "--all" in flags:
        for item in result.iter_all():
            _write(_as_text(item, indent=None))
    else:
        page = isinstance(result, Page) and {"previous": result.previous, "next": result.next, "results": result}
        _write(_as_text(page or result))

# the module's own functions and namespaces are those of one client, made without a look at the environment
default_client = Client()
run, stream, map, use = default_client.run, default_client.stream, default_client.map, default_client.use
search, paginate = default_client.search, default_client.paginate
async_run, async_stream, async_map = default_client.async_run, default_client.async_stream, default_client.async_map
async_search, async_paginate = default_client.async_search, default_client.async_paginate
models, predictions, trainings = default_client.models, default_client.predictions, default_client.trainings
deployments, files, collections = default_client.deployments, default_client.files, default_client.collections
hardware, accounts, webhooks = default_client.hardware, default_client.accounts, default_client.webhooks
account = accounts
for _name in ("__about__ account client collection deployment exceptions file hardware helpers identifier model "
              "pagination prediction resource run schema stream training version webhook").split():  # modules of 1.x
    sys.modules[f"{__name__}.{_name}"] = sys.modules[__name__]
    globals().setdefault(_name, sys.modules[__name__])

if __name__ == "__main__":
    sys.exit(main())
