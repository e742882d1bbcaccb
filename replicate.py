# SPDX-License-Identifier: MIT
"""replicate.py 1.0.0: run machine-learning models on Replicate, or in Cog containers of your own.

One file without dependencies, for CPython 3.8 to 3.14 and PyPy, under the MIT licence. To vendor it, copy it.
Get a token at https://replicate.com/account/api-tokens, export it as REPLICATE_API_TOKEN, and:

    python -m replicate run black-forest-labs/flux-schnell prompt="an astronaut riding a horse" -o .

    import replicate
    images = replicate.run("black-forest-labs/flux-schnell", input={"prompt": "an astronaut riding a horse"})
    images[0].save("astronaut.webp")
    for event in replicate.stream("meta/meta-llama-3-8b-instruct", input={"prompt": "Tell me a joke"}):
        print(event, end="")

Every method also exists with an `async_` prefix. Every failure at run time is a ReplicateError; a call that is wrong
in itself is a ValueError or TypeError, raised before any request.

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

TYPE_CHECKING = False  # checkers take it for true; at run time, importing typing would cost more than this file
if TYPE_CHECKING:
    import pathlib
    from typing import Any, BinaryIO, Callable, Dict, Iterable, Iterator, List, Mapping, NoReturn, Sequence, TypeVar
    _Dict = Dict[str, Any]
    _List = List[Any]
    _T = TypeVar("_T")
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
_TIMEOUT = 60.0  # seconds for a socket operation: the longest that the API holds a request, too
_HOLD = 60  # seconds: the most that `Prefer: wait` may ask for
_SHORT_HOLD = 4  # seconds that map() asks for, so that what it gives up is known, and cancelled, within _GRACE
_GRACE = 5.0  # seconds for cancelling what is given up; longer, and Ctrl-C feels broken
_POLL, _POLL_SHARE, _POLL_MOST = 0.5, 0.02, 5.0  # seconds between polls at first; then 2 % of the time elapsed; at most
_RETRIES = 5  # with the back-off below some 15 s in all: the restart of a load balancer is survived, an outage told
_BACKOFF, _WAIT_MOST = 0.5, 60.0  # seconds: doubled each time, with full jitter; no single wait is longer than a minute
_GAP_LEAST, _GAP_MOST = 0.1, 1.0  # seconds between creations once throttled: the limit of 600 a minute; low credit's 1 a second
_FRESH = 1.0  # seconds a kept connection may have idled and still carry a creating request: no server closes that soon
_KEPT_FOR, _KEPT_MOST = 50.0, 32  # seconds idle, below the usual 60 of load balancers; connections kept to one host
_INTERIM_MOST = 20  # 1xx answers before the real one; more is a fault, not a conversation
_HEADERS_MOST, _LINE_MOST = 200, 1 << 16  # header lines, and bytes in one: what http.client takes, and twice as many
_ERROR_MOST = 1 << 16  # bytes of an error's body that are read: problem+json is small, an HTML page may not be
_BLOCK = 1 << 18  # bytes read or sent at a time; larger ones gained nothing when measured
_INLINE_MOST = 256 << 10  # bytes: the API's advice for data URIs; larger files are uploaded
_UPLOAD_MOST = 100 << 20  # bytes: the files API refuses more, after having taken all of them
_MEMORY_MOST = 2 << 20  # bytes of a file of unknown size that are held in memory before a temporary file takes over
_WORKERS = 256  # threads for async_ calls, made as needed; what is awaited beyond that waits its turn
_MARKED_SINCE = (0, 3, 9)  # the Cog that began to mark iterators in the schema: before, every array may be one

# ---------------------------------------------------------------------------------------------------------------------
# Errors
# ---------------------------------------------------------------------------------------------------------------------


class ReplicateError(Exception):
    """Base of every failure at run time. str() is one line: what failed, why, what to do.

    Attributes, None where there is nothing to say: status (HTTP), title, detail, type and instance (RFC 9457), method,
    path, headers, request_id, retry_after (seconds), body (str, 64 KiB at most), and prediction, to find a run again.
    """

    status: Any = None
    title = detail = type = instance = method = path = headers = request_id = retry_after = body = prediction = status
    _sent, _final = True, False  # whether the server may have seen the request; whether sending it again is of no use

    def __init__(self, message: Any = None, **facts: Any) -> None:
        if message is None:
            message = ": ".join(str(facts[name]) for name in ("status", "title", "detail") if facts.get(name) is not None)
        super().__init__(message)
        for name, value in facts.items():
            if not hasattr(ReplicateError, name):
                raise TypeError(f"an error has no {name!r}")
            setattr(self, name, value)

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


class _Garbage(ValueError):
    """An answer of status 200 whose body is not what the API sends."""


ReplicateException, WebhookValidationError = ReplicateError, WebhookError  # names of 1.x
MissingWebhookHeaderError = MissingWebhookBodyError = InvalidTimestampError = InvalidSignatureError = WebhookError

# ---------------------------------------------------------------------------------------------------------------------
# The client
# ---------------------------------------------------------------------------------------------------------------------

_stop_of_task: contextvars.ContextVar[_Stop | None] = contextvars.ContextVar("replicate_stop", default=None)


class _Clock:
    """Time as a client sees it; tests put one of their own in its place."""

    def now(self) -> float:
        return time.monotonic()

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
    watch: Callable[[Any], None] = staticmethod(lambda run: None)  # is shown the run each time there is news of it

    def __init__(self, client: Client, timeout: float | None = None, stop: _Stop | None = None) -> None:
        if timeout is not None and not (_is_number(timeout) and timeout > 0):
            raise ValueError(f"timeout is a positive number of seconds, or None, not {timeout!r}")
        self.clock, self.timeout = client._clock, timeout
        self.started = self.clock.now()
        self.deadline = math.inf if timeout is None else self.started + timeout
        self.stop = stop or _stop_of_task.get()
        self.in_flight = False  # whether a creation has left whose answer is not here

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
        return self.clock.now() >= self.deadline

    def check(self) -> None:
        """Raise _Abandoned where another thread has said to give up."""
        if self.stop is not None and self.stop.is_set():
            raise _Abandoned

    def expired(self, more: str = "") -> PredictionTimeout:
        return PredictionTimeout(f"no result within {self.timeout:g} s{more}")

    def sleep(self, seconds: float) -> None:
        """Sleep, but not past the end of the call: then PredictionTimeout."""
        self.check()
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
                twin = _twin(plain, "async_" + name)
                setattr(cls, "async_" + name, staticmethod(twin) if plain is not method else twin)

    if TYPE_CHECKING:
        def __getattr__(self, name: str) -> Any: ...


def _twin(method: Callable[..., Any], name: str) -> Callable[..., Any]:
    """The asynchronous form of a method: a coroutine, or an asynchronous iterator where it gives an iterator."""
    def iterating(*args: Any, **kwargs: Any) -> _AsyncIterator:
        return _AsyncIterator(_Stop(), functools.partial(method, *args, **kwargs))

    async def awaiting(*args: Any, **kwargs: Any) -> Any:
        stop = _Stop()
        result = await _in_thread(stop, method, *args, **kwargs)
        return _AsyncIterator(stop, None, result) if isinstance(result, abc.Generator) else result

    twin = functools.wraps(method)(iterating if method.__annotations__.get("return", "")[:8] == "Iterator" else awaiting)
    twin.__name__, twin.__qualname__ = name, method.__qualname__.rpartition(".")[0] + "." + name
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
            await asyncio.wait([asyncio.ensure_future(over.wait())], timeout=_GRACE + 1)
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
        item = await _in_thread(self._stop, next, (await self._begun())._iterator, self)
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

    def __init__(self, api_token: str | None = None, *, base_url: str | None = None, timeout: Any = None,
                 max_retries: int = _RETRIES, poll_interval: float | None = None, headers: Mapping[str, str] | None = None,
                 proxies: Mapping[str, str] | None = None, ssl_context: Any = None) -> None:
        seconds = getattr(timeout, "read", timeout)
        _check(seconds is None or _is_number(seconds) and seconds > 0, f"timeout is a positive number, not {timeout!r}")
        _check(isinstance(max_retries, int) and max_retries >= 0, f"max_retries is a whole number, not {max_retries!r}")
        self._api_token = None if api_token is None else _clean_token(api_token, ValueError)
        self._base_url = base_url and _parse_base_url(base_url)
        self._poll_interval = None if poll_interval is None else _interval(poll_interval)
        self._clock = _Clock()
        self._transport = _Transport(self, seconds or _TIMEOUT, max_retries, headers or {}, proxies, ssl_context)
        self._iterates: dict[str, bool] = {}  # by version id: whether its output is an iterator
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
        return _interval(os.environ.get("REPLICATE_POLL_INTERVAL") or _POLL)

    @poll_interval.setter
    def poll_interval(self, seconds: float) -> None:
        self._poll_interval = _interval(seconds)

    def run(self, ref: Any, input: Mapping[str, Any] | None = None, *, wait: bool | int = True,
            timeout: float | None = None, webhook: str | None = None, webhook_events_filter: Sequence[str] | None = None,
            cancel_after: str | float | None = None, file_encoding_strategy: str | None = None,
            use_file_output: bool = True, **params: Any) -> Any:
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

    def stream(self, ref: Any, input: Mapping[str, Any] | None = None, **options: Any) -> Iterator[ServerSentEvent]:
        """Run a model and yield its output as events, as it is made; str(event) is the text. Options as for run().

        Where the model cannot stream it is polled; a dropped connection is resumed. Raises ModelError when the run
        fails or is canceled. An iterator closed before its end cancels the prediction.
        """
        job = _job(self, ref, input, **options)
        job.wait = 0
        job.start()
        return job.events()

    def map(self, ref: Any, inputs: Iterable[Any], *, concurrency: int = 8, return_exceptions: bool = False,
            **options: Any) -> Iterator[Any]:
        """Run a model on many inputs, at most `concurrency` at a time; yield the outputs in the order of the inputs.

        inputs is any iterable of dicts, drawn from as runs end. An iterator model's output is the list of its items.
        A failed run raises at its place, or is yielded as the exception with return_exceptions=True. A 429 makes all
        of them hold off. Left early, by an error or Ctrl-C, what still runs is cancelled. Options as for run().
        """
        _check(type(concurrency) is int and concurrency > 0, f"concurrency is a whole number from 1, not {concurrency!r}")
        if isinstance(inputs, (str, bytes, abc.Mapping)):
            raise TypeError("inputs is an iterable of dicts, one for each run")
        options["wait"] = _SHORT_HOLD if options.get("wait", True) is True else options["wait"]
        target = _job(self, ref, None, **options).target  # what is wrong with the options is told now
        return self._map(target, iter(inputs), concurrency, return_exceptions, options)

    def _map(self, target: _Target, inputs: Iterator[Any], concurrency: int, return_exceptions: bool,
             options: dict[str, Any]) -> Iterator[Any]:
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

        def fill() -> None:
            """Draw inputs while a worker is free, but not for ever while the first result is still to come."""
            while sum(not future.done() for future in pending) < concurrency and len(pending) < 2 * concurrency:
                try:
                    pending.append(pool.submit(work, next(inputs)))
                except StopIteration:
                    return

        try:
            target.look_up(self, _Call(self))
            fill()
            while pending:
                while not pending[0].done():
                    wait([future for future in pending if not future.done()], return_when=FIRST_COMPLETED)
                    fill()
                error = pending[0].exception()
                if error is not None and not (return_exceptions and isinstance(error, Exception)):
                    raise error
                first = pending.popleft()
                yield error or first.result()
                fill()
        finally:
            stop.set()
            wait(pending, timeout=_GRACE + 1)
            pool.shutdown(wait=False)

    def use(self, ref: Any) -> Function:
        """Return a callable for a model: f(prompt="...") runs it; f.create, f.stream and f.map are there too."""
        return Function(self, ref)

    def search(self, query: str, limit: int | None = None) -> Resource:
        """Search models, collections and pages; limit is 1 to 50 (20). GET /search.

        The result has `models` (each with `model` and `metadata`), `collections`, `pages` and `query`.
        """
        _check(limit is None or _is_number(limit) and 1 <= limit <= 50, f"limit is 1 to 50, not {limit!r}")
        if not isinstance(query, str):
            raise TypeError(f"query is a str, not {type(query).__name__}")
        return self._fetch("GET", _query("/search", query=query, limit=limit), SearchResults)

    def paginate(self, list_method: Callable[..., Page]) -> Iterator[Page]:
        """Yield the pages of a list method, as paginate(replicate.models.list), following `next`."""
        plain = getattr(list_method, "__wrapped__", None)
        if plain is not None:  # an async_ twin: its method does the same in this thread
            list_method = functools.partial(plain, list_method.__self__)  # type: ignore[attr-defined]
        page = list_method()
        yield page
        while page.next is not None:
            page = list_method(page.next)
            yield page

    def _token(self) -> str:
        """The token for a request made now; "" where there is none."""
        if self._api_token is not None:
            return self._api_token
        scoped = _cog_token()
        return _clean_token(os.environ.get("REPLICATE_API_TOKEN", "") if scoped is None else scoped, ReplicateError)

    def _fetch(self, method: str, path: str, make: Callable[[Any, Client], _T] | None = None,
               body: Any = None, *, read: str = "object", noun: str = "", call: _Call | None = None, hold: float = 0.0,
               headers: Mapping[str, Any] | None = None) -> _T:
        """One request to the API: `path` below /v1, or the address of a page. Returns make(answer, client).

        noun names what the request creates: such a request is repeated only when nothing can have been created.
        """
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


class _Secret(str):
    """A str that does not show itself in a repr, so that no dump of local variables shows the token."""

    def __repr__(self) -> str:
        return "'***'"


@functools.lru_cache(maxsize=4)
def _clean_token(token: str, error: type[Exception]) -> str:
    """A token without the white space and quotes that copying adds; one that no header can carry is refused."""
    if not isinstance(token, str):
        raise TypeError(f"a token is a str, not {type(token).__name__}")
    token = token.strip().strip("'\"").strip()
    if not re.fullmatch("[!-~]*", token):
        raise error("the API token has a space, control or non-ASCII character in it; copy it anew from " + _TOKENS_PAGE)
    return _Secret(token)


def _cog_token() -> str | None:
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
    _check(parts.scheme in ("http", "https") and bool(parts.hostname) and not re.search(r"[\s\\\x00-\x20\x7f@?#]", url),
           "base_url (REPLICATE_BASE_URL) is an address as https://api.replicate.com/v1, without user name or query")
    return url if url.endswith("/v1") else url + "/v1"


def _check(good: Any, text: str) -> None:
    if not good:
        raise ValueError(text)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)


def _interval(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    _check(0 <= seconds < math.inf, f"poll_interval (REPLICATE_POLL_INTERVAL) is a number of seconds, not {value!r}")
    return seconds


class _Job:
    """One run: what to create, where, and how to follow it to its end.

    start() creates the prediction; output(), items() and events() follow it, and each cancels it when it is left by
    an exception before the run is over (promise 3). create() alone leaves it to the caller.
    """

    def __init__(self, client: Client, target: _Target, input: Any, *, wait: Any = True, timeout: float | None = None,
                 webhook_events_filter: Sequence[str] | None = None, cancel_after: Any = None,
                 file_encoding_strategy: str | None = None, use_file_output: bool = True, stop: _Stop | None = None,
                 kind: Any = None, **params: Any) -> None:
        _check(file_encoding_strategy in (None, "base64", "url"),
               f"file_encoding_strategy is 'base64', 'url' or None, not {file_encoding_strategy!r}")
        if isinstance(webhook_events_filter, (str, bytes)):
            raise TypeError("webhook_events_filter is a list, as ['completed']")
        self.poll_interval = client.poll_interval  # a bad one is told before anything is created
        self.client, self.target, self.kind, self.use_file_output = client, target, kind or Prediction, use_file_output
        self.call, self.wait = _Call(client, timeout, stop), _hold_seconds(wait)
        self.headers = {} if cancel_after is None else {"Cancel-After": _duration(cancel_after)}
        self.prediction: Any = None
        self.created_since, self.cancelled = "", False  # when the creation left, in ISO 8601
        self.inputs = _Inputs(file_encoding_strategy)
        params["webhook_events_filter"] = webhook_events_filter and list(webhook_events_filter)
        self.body = {key: value for key, value in params.items() if value is not None}
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
            if self.prediction is None and isinstance(error, KeyboardInterrupt):
                self.prediction = self._found(call)
            if self.prediction is not None:
                self.cancel(call)
                self.cancelled = True
        except Exception as failure:  # best effort: the cause is what the caller has to hear
            _log("could not cancel %s: %s", self.prediction and self.prediction.get("id"), failure)
        if self.cancelled and isinstance(error, PredictionTimeout):
            error.args = (f"{error.args[0]}; it was cancelled",)

    def _found(self, call: _Call) -> Any:
        """The prediction of a creation whose answer Ctrl-C cut off: the only one since then of this model on this input."""
        page = self.client._fetch("GET", "/predictions", functools.partial(_page, Prediction, ""), call=call)
        made = [run for run in page if run._running and run.get("input") == self.body["input"]
                and str(run.get("created_at")) >= self.created_since
                and (run.get("version") == self.target.version or run.get("model") == "/".join(self.target.model))]
        return made[0] if len(made) == 1 else None

    def cancel(self, call: _Call) -> None:
        """Ask once, on a connection that is certain to be alive."""
        self.prediction._take(self.client._fetch("POST", self.prediction._path("cancel"), call=call, noun="cancel"))

    def create(self) -> Any:
        """Upload the files, create the prediction and return it."""
        self.inputs.upload(self.client, self.call)
        hold, left = 0 if self.target.iterates else self.wait, self.call.deadline - self.call.clock.now()
        if left < math.inf:  # so that the answer, and with it the id, is here before the time is up
            hold = min(hold, max(0, int(left) - 1))
        prefer = {"Prefer": "wait" if hold == _HOLD else f"wait={hold}"} if hold else {}
        self.created_since = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() - 2))  # clocks differ a little
        return self.client._fetch("POST", self.target.path, self.kind, dict(self.target.body, **self.body), hold=hold,
                                  noun=self.kind.__name__.lower(), read="made", call=self.call, headers={**self.headers, **prefer})

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

    def __repr__(self) -> str:
        return f"<the model {self._ref}>"

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
    """An object of the API: a dict whose keys are attributes too. A known field that is not there reads as None.

    Where a key is also a method of dict, the method wins: `prediction.urls["get"]`.
    """

    _known: frozenset[str] = frozenset()
    _kinds: Mapping[str, Any] = {}  # fields that are resources of their own
    _brief: Sequence[str] = ()  # what the repr shows; by default the first plain values

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls._known |= {name for name in getattr(cls, "__annotations__", {}) if not name.startswith("_")}

    def __init__(self, data: Any = (), client: Client | None = None, **fields: Any) -> None:
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
            names = sorted(str(key) for key in {*self, *self._known})
            raise AttributeError(f"{type(self).__name__} has no {name!r}; it has {', '.join(names)}") from None
        if type(value) in (dict, list, str):
            made = self._made(name, value)
            if made is not value:
                self[name] = value = made  # so that it is the same object at each access
        return value

    def _made(self, name: str, value: Any) -> Any:
        return _made(self._kinds.get(name, Resource), value, self.__dict__.get("_own_client"))

    def __setattr__(self, name: str, value: Any) -> None:
        if name.startswith("_"):
            object.__setattr__(self, name, value)
        else:
            self[name] = value

    def __dir__(self) -> Iterable[str]:
        return sorted({*super().__dir__(), *self._known, *(key for key in self if isinstance(key, str))})

    def __reduce__(self) -> Any:
        return type(self), (self.copy(),)

    def __repr__(self) -> str:
        plain = [key for key, value in self.items() if isinstance(value, (str, int, float)) and value != ""]
        shown = [key for key in self._brief if self.get(key) is not None] or plain[:3]
        return f"{type(self).__name__}({', '.join(f'{key}={_short(self[key])}' for key in shown)})"

    def _take(self, fresh: Mapping[str, Any]) -> None:
        """Become what the API says now."""
        self.clear()
        self.update(fresh)

    def json(self) -> str:
        """The same as JSON text (a name of 1.x)."""
        return json.dumps(self)

    def dict(self) -> Any:
        """The same as plain dicts and lists (a name of 1.x)."""
        return json.loads(self.json())


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:76] + "..." + text[-1]


def _made(kind: Any, value: Any, client: Any) -> Any:
    """JSON as resources of a kind; lists item by item, plain values as they are."""
    if type(value) is dict:
        return kind(value, client)
    if type(value) is list and any(type(item) in (dict, list) for item in value):
        return [_made(kind, item, client) for item in value]
    return value


class Account(Resource):
    """A user or an organization."""

    type: str  # "user" or "organization"
    username: str  # the name in the addresses of its models
    name: str | None
    github_url: str | None
    avatar_url: str | None
    _brief = ("type", "username")


class Version(Resource):
    """One version of a model, with the schema of its inputs and output."""

    id: str  # 64 hexadecimal characters
    created_at: str  # ISO 8601
    cog_version: str | None  # the Cog that built it
    openapi_schema: Dict[str, Any] | None  # components.schemas.Input and .Output describe the model
    _brief = ("id",)

    def predict(self, /, **input: Any) -> Any:
        """Run this version and return its output, as Client.run. Blocks until the run is over."""
        return self._client.run(self, input)

    def create(self, /, **input: Any) -> Prediction:
        """Create a prediction and return it at once."""
        made: Prediction = _job(self._client, self, input, wait=False).start()
        return made

    def stream(self, /, **input: Any) -> Iterator[ServerSentEvent]:
        """Run this version and yield its output as events, as Client.stream."""
        return self._client.stream(self, input)


class _Run(Resource):
    """What predictions and trainings share: they run, and can be waited for, looked at and cancelled."""

    id: str  # names it in every other request
    model: str  # "owner/name"
    version: str  # the version's id; "hidden" for official models
    status: str  # starting, processing, succeeded, failed, canceled or aborted
    input: Dict[str, Any] | None  # what it was given; removed after an hour
    output: Any  # what it made so far; removed after an hour
    logs: str | None  # what it printed so far
    error: str | None  # why it failed
    metrics: Any  # predict_time and total_time in seconds
    created_at: str | None  # ISO 8601, as are the other times
    started_at: str | None
    completed_at: str | None
    source: str | None  # "api" or "web"
    urls: Dict[str, str] | None  # get, cancel, web and, where it can stream, stream
    _brief = ("id", "status", "model")
    _collection = ""

    @property
    def _running(self) -> bool:
        return self.get("status", "starting") in _RUNNING

    def _url(self, name: str) -> str:
        urls = self.get("urls")
        return str(urls.get(name) or "") if isinstance(urls, dict) else ""

    def _path(self, *more: str) -> str:
        return _path(self._collection, self["id"], *more)

    def _made(self, name: str, value: Any) -> Any:
        value = super()._made(name, value)
        return _files(value, self.__dict__.get("_own_client")) if name == "output" else value

    def _reload(self, call: _Call) -> None:
        self._take(self._client._fetch("GET", self._path(), read="run", call=call))

    def _polls(self, call: _Call) -> Iterator[None]:
        """Sleep and look again, until it has ended."""
        while self._running:
            call.watch(self)
            call.pause(self._client.poll_interval)
            self._reload(call)
            yield
        call.watch(self)

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
        self._take(self._client._fetch("POST", self._path("cancel"), read="run"))

    def wait(self, timeout: float | None = None) -> None:
        """Block until it is over, or raise PredictionTimeout after so many seconds; it is not cancelled.

        Returns None, also when the run failed: see `status` and `error`.
        """
        with _Carried(self):
            self._wait(_Call(self._client, timeout))

    @property
    def progress(self) -> Progress | None:
        """How far it is, from the last line of a tqdm progress bar in its logs; None where there is none."""
        return Progress.parse(self.get("logs") or "")


class _Carried(namedtuple("_Carried", "run")):
    """Puts a run on the errors that leave a block, so that it can be found again (promise 2)."""

    def __exit__(self, kind: Any, error: Any, trace: Any) -> None:
        if isinstance(error, ReplicateError) and error.prediction is None:
            error.prediction = self.run

    def __enter__(self) -> None:
        pass


class Progress(namedtuple("Progress", "percentage current total")):
    """percentage from 0 to 1, and the items done of the total."""

    @classmethod
    def parse(cls, logs: str) -> Progress | None:
        """Read the last bar in the logs; None where there is none."""
        for line in reversed(re.split(r"[\r\n]", logs)):
            bar = re.search(r"(\d+)%\s*\|[^|]*\|\s*(\d+)/(\d+)", line)
            if bar:
                return cls(int(bar[1]) / 100, int(bar[2]), int(bar[3]))
        return None


class Prediction(_Run):
    """A run of a model. https://replicate.com/docs/reference/http#predictions.get"""

    data_removed: bool | None  # whether input and output were deleted
    deadline: str | None  # when the server will cancel it
    deployment: str | None  # the deployment that runs it
    Progress = Progress
    _collection = "predictions"

    def output_iterator(self) -> Iterator[Any]:
        """Yield the output's items from the first one, as they come; of a growing string its new tails.

        Blocks between items. Raises ModelError after the items that did come; does not cancel.
        """
        with _Carried(self):
            yield from (_files(item, self._client) for item in self._items(_Call(self._client)))

    def stream(self, use_file_output: bool = True) -> Iterator[ServerSentEvent]:
        """Yield the output as events, from the first one. Raises ModelError; does not cancel."""
        with _Carried(self):
            yield from self._events(_Call(self._client), use_file_output is not False)

    def _items(self, call: _Call) -> Iterator[Any]:
        seen: Any = None  # the items, or the text, that have been yielded
        polls = self._polls(call)
        while True:
            output = self.get("output")
            if isinstance(output, list):
                done = len(seen or ())
                seen = output if len(output) >= done else seen
                yield from output[done:]
            elif isinstance(output, str) and not _is_file(output) and output.startswith(seen or ""):
                tail, seen = output[len(seen or ""):], output
                yield from [tail] if tail else []
            if next(polls, self) is self:
                break
        if seen is None and output is not None and self.get("status") == "succeeded":
            yield output
        self._must_have_succeeded()

    def _events(self, call: _Call, use_file_output: bool) -> Iterator[ServerSentEvent]:
        if self._url("stream"):
            return _streamed(self, call, use_file_output)
        return self._polled(call, use_file_output)

    def _polled(self, call: _Call, use_file_output: bool, skip: int = 0) -> Iterator[ServerSentEvent]:
        """The events of a run without a stream, or of one whose stream was lost after `skip` characters."""
        for item in self._items(call):
            data = item if isinstance(item, str) else json.dumps(item)
            fresh, skip = data[skip:], max(0, skip - len(data))
            if fresh or not data:
                yield _event("output", fresh, "", self._client if use_file_output else None)
        yield ServerSentEvent("done", "{}")


class Training(_Run):
    """A training, which makes a new version: `output.version`."""

    destination: str | None  # the model that it pushes to, "owner/name"
    _collection = "trainings"


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
    _brief = ("owner", "name")

    @property
    def id(self) -> str:
        """The name to run it by, "owner/name"."""
        return f"{self['owner']}/{self['name']}"

    @property
    def versions(self) -> Versions:
        """The model's versions: .list(), .get(id), .delete(id)."""
        return Versions(self._client, self)

    def reload(self) -> None:
        """Load its present state."""
        self._take(self._client.models.get(self.id))

    def predict(self, /, **input: Any) -> Any:
        """Run the model (its latest version, if it is not official) and return the output, as Client.run."""
        return self._client.run(self, input)


class Deployment(Resource):
    """A model version on hardware of one's own choosing; `current_release.configuration` tells which."""

    owner: str
    name: str
    current_release: Any  # number, model, version, created_at, created_by, configuration
    _brief = ("owner", "name")
    id = property(lambda self: f"{self['owner']}/{self['name']}", doc="The name to run it by, \"owner/name\".")

    @property
    def predictions(self) -> DeploymentsPredictions:
        """Runs of this deployment: .create(input, ...)."""
        return DeploymentsPredictions(self._client, self)


class File(Resource):
    """An uploaded file, gone after 24 hours. It may be given as an input as it is."""

    id: str
    name: str | None
    content_type: str
    size: int  # bytes
    etag: str | None
    checksums: Dict[str, str]  # sha256, md5
    metadata: Dict[str, Any]  # what was given when it was made
    created_at: str
    expires_at: str | None
    urls: Dict[str, str]  # get
    _brief = ("id", "name", "size")


class Collection(Resource):
    """A collection of models."""

    name: str
    slug: str  # names it in collections.get
    description: str
    full_description: str | None  # Markdown
    models: List[Model] | None
    _kinds = {"models": Model}
    _brief = ("slug", "name")
    id = property(lambda self: self["slug"], doc="The slug.")


class Hardware(Resource):
    """A kind of machine; `sku` names it in models.create and deployments.create."""

    name: str
    sku: str
    id = property(lambda self: self["sku"], doc="The sku.")


class SearchResults(Resource):
    """What search() found."""

    query: str
    models: List[Any]  # each with model, a Model, and metadata: generated_description, tags, score
    collections: List[Collection]
    pages: List[Any]  # name and href
    _kinds = {"models": type("SearchMatch", (Resource,), {"_kinds": {"model": Model}}), "collections": Collection}


class WebhookSigningSecret(Resource):
    """The secret that signs webhooks, as `key`; its repr does not show it."""

    key: str  # "whsec_..."

    def __repr__(self) -> str:
        return "WebhookSigningSecret(key='***')"


class Page(_Twinned, _List):
    """A list of one page's results; `next` and `previous` are the addresses of its neighbours, or None."""

    def __init__(self, results: Iterable[Any] = (), next: str | None = None, previous: str | None = None,
                 kind: Any = Resource, client: Client | None = None) -> None:
        super().__init__(results)
        self.next, self.previous, self._kind, self._own_client = next, previous, kind, client

    @property
    def results(self) -> list[Any]:
        """The results as a plain list."""
        return self[:]

    def iter_all(self) -> Iterator[Any]:
        """Yield this page's results and those of all pages after it, each fetched when it is reached."""
        page: Page = self
        seen: set[Any] = set()
        while page.next not in seen:  # a circle would never end
            yield from page
            if page.next is None:
                return
            seen.add(page.next)
            page = (self._own_client or default_client)._fetch("GET", page.next, functools.partial(_page, self._kind, page.next))

    def __reduce__(self) -> Any:
        return type(self), (self[:], self.next, self.previous, self._kind)


def _page(kind: Any, asked: str, data: Any, client: Client) -> Page:
    """A page from the API's answer to `asked`, whose filters go on; "null" as text has been seen in the place of null."""
    filters = [pair for pair in urllib.parse.parse_qsl(urllib.parse.urlsplit(asked).query) if pair[0] != "cursor"]

    def beside(address: Any) -> str | None:
        if not isinstance(address, str) or address in ("", "null"):
            return None
        missing = urllib.parse.urlencode([pair for pair in filters if pair[0] + "=" not in address])
        return address + ("&" if "?" in address else "?") * bool(missing) + missing

    results = data.get("results") if isinstance(data.get("results"), list) else []
    return Page(_made(kind, results, client), beside(data.get("next")), beside(data.get("previous")), kind, client)


# ---------------------------------------------------------------------------------------------------------------------
# Endpoints
# ---------------------------------------------------------------------------------------------------------------------


def _path(*segments: Any) -> str:
    """A path below /v1: each segment quoted, none that could lead to another path (RFC 3986, section 3.3)."""
    for segment in segments:
        if not isinstance(segment, str) or segment in ("", ".", ".."):
            raise ValueError(f"{segment!r} cannot name anything in the API")
    return "/" + "/".join(s if s.isalnum() and s.isascii() else urllib.parse.quote(s, safe="") for s in segments)


def _as_is(data: Any, client: Client) -> Any:
    return data


def _query(path: str, **given: Any) -> str:
    plain = {name: getattr(value, "isoformat", lambda value=value: value)() for name, value in given.items() if value is not None}
    return path + ("?" + urllib.parse.urlencode(plain) if plain else "")


_NAMES = ("key", "model", "deployment", "owner", "model_owner", "deployment_owner", "name", "model_name", "deployment_name",
          "collection_slug", "slug", "id", "version", "version_id", "prediction_id", "training_id", "file_id")


def _names(given: Sequence[Any], named: dict[str, Any], count: int) -> list[Any]:
    """The segments of a path, from all the forms that callers write, and what else they gave by position.

    Those are "owner", "name"; "owner/name"; ("owner", "name"); the resource itself; each with a version's id after it or
    in it; and the same as keywords, in this order of their names. Other keywords are left in `named`.
    """
    found: list[Any] = []
    things = list(given)
    if named:  # "version" is a field, where no version is named
        things += [named.pop(name) for name in (_NAMES[:9] if count == 2 else _NAMES) if name in named]
    for thing in things:
        thing = thing.id if isinstance(thing, Resource) else thing
        split = isinstance(thing, str) and not found and count > 1 and "://" not in thing
        found += re.split("[/:]", thing) if split else thing if isinstance(thing, tuple) else [thing]
    if len(found) < count:
        form = ("", "an id", "'owner/name'", "'owner/name:id'")[count]
        raise (ValueError if found else TypeError)(f"expected {form}, not {', '.join(map(repr, things)) or 'nothing'}")
    return found


def _plain(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters of a create or update as JSON: resources by their ids, None left out, the rest passed on."""
    return {name: value.id if isinstance(value, Resource) and hasattr(type(value), "id") or isinstance(value, Version)
            else "/".join(value) if isinstance(value, tuple) else value
            for name, value in params.items() if value is not None}


def _operation(route: str, make: Any, doc: str, takes: str = "", **options: Any) -> Callable[..., Any]:
    """A method from its line in the API's description: method(self, *names, **others), with all that _names() takes.

    A PATCH sends the other keywords on; a list takes a cursor, and those that `takes` names; nothing else is taken.
    """
    method, _, path = route.partition(" /")
    segments, taken, count, listing = path.split("/"), takes.split(), path.count("{"), options.pop("listing", False)

    def operation(self: Namespace, *given: Any, **named: Any) -> Any:
        given, cursor = (*self._bound, *given), named.pop("cursor", ...)
        if listing and given and (given[-1] is None or "://" in str(given[-1])):
            given, cursor = given[:-1], given[-1]
        _check(cursor is not None, "cursor is None: there is no further page (leave cursor out for the first one)")
        query = {name: named.pop(name) for name in taken if name in named} if named else {}
        names = _names(given, named, count) if (given or count) and cursor is ... else []
        if len(names) > count or named and method != "PATCH" or cursor is not ... and not listing:
            more = ", ".join([*(repr(name) for name in names[count:]), *named])
            raise TypeError(f"{type(self).__name__}: not taken: {more} ({route})")
        body: dict[str, Any] = {"body": _plain(named), "noun": "change"} if method == "PATCH" else {}
        where = cursor if cursor is not ... else _query(
            _path(*(names.pop(0) if segment[0] == "{" else segment for segment in segments)), **query)
        made = functools.partial(_page, make, str(where)) if listing else make
        return self._client._fetch(method, str(where), made, **body, **options)

    operation.__doc__ = f"{doc}\n\n{route}"
    return operation


def _listing(path: str, kind: Any, doc: str, takes: str = "") -> Callable[..., Any]:
    return _operation("GET " + path, kind, doc, takes, listing=True)


class Namespace(_Twinned):
    """The methods about one kind of thing; every one has an async_ twin. `model` is what they are all about, if anything."""

    def __init__(self, client: Client, model: Any = None) -> None:
        self._client, self._bound = client, () if model is None else tuple(_names([model], {}, 2))


class Predictions(Namespace):
    """Runs of models. https://replicate.com/docs/reference/http#predictions"""

    get = _operation("GET /predictions/{id}", Prediction, "Return a prediction's present state.")
    cancel = _operation("POST /predictions/{id}/cancel", Prediction, "Cancel a prediction and return it.")
    list = _listing("/predictions", Prediction, "Return a page of your predictions, newest first; the times are ISO 8601 or "
                    "datetime, the source \"web\".", "created_after created_before source")

    def create(self, version: Any = None, input: Mapping[str, Any] | None = None, *, model: Any = None,
               deployment: Any = None, wait: bool | int | None = None, **options: Any) -> Prediction:
        """Create a prediction by version, model= (official ones) or deployment=, and return it at once.

        wait=True or 1 to 60 holds the request so many seconds for the model to finish; it never polls. Options are
        webhook, webhook_events_filter, cancel_after and file_encoding_strategy, as in run(); others pass to the API.

        POST /predictions, /models/{owner}/{name}/predictions or /deployments/{owner}/{name}/predictions
        """
        given = [thing for thing in (version, model, deployment) if thing is not None]
        _check(len(given) == 1, "exactly one of version, model and deployment says what to run")
        unknown = {"timeout", "use_file_output", "stop", "kind"} & options.keys()
        if unknown:
            raise TypeError(f"unexpected: {', '.join(unknown)}")
        if version is not None:
            version = version.id if isinstance(version, Version) else version
            _check(isinstance(version, str) and version, f"version is an id or a Version, not {version!r}")
            target = _Target("/predictions", {"version": version})
        else:
            names = _names(given, {}, 2)
            _check(len(names) == 2, f"expected 'owner/name', not {given[0]!r}")
            target = _Target(_path("deployments" if model is None else "models", *names, "predictions"))
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

    get = _operation("GET /models/{owner}/{name}/versions/{id}", Version,
                     "Return a version: get(\"owner/name\", id), get(\"owner/name:id\"), model.versions.get(id).")
    list = _listing("/models/{owner}/{name}/versions", Version, "Return a page of a model's versions, newest first.")
    delete = _operation("DELETE /models/{owner}/{name}/versions/{id}", _as_is, "Delete a version of a private model, with its "
                        "predictions; True.", read="nothing")


class Examples(Namespace):
    """Predictions that a model's author saved as examples."""

    list = _listing("/models/{owner}/{name}/examples", Prediction, "Return a page of a model's examples.")


class Readme(Namespace):
    """A model's README."""

    get = _operation("GET /models/{owner}/{name}/readme", _as_is, "Return a model's README as Markdown text.", read="text",
                     headers={"Accept": "text/plain"})


class Models(Namespace):
    """Models. https://replicate.com/docs/reference/http#models"""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.versions, self.examples, self.readme = Versions(client), Examples(client), Readme(client)
        self.predictions = ModelsPredictions(client)

    get = _operation("GET /models/{owner}/{name}", Model, "Return a model: get(\"owner/name\"), get(\"owner\", \"name\").")
    list = _listing("/models", Model, "Return a page of public models, sorted by model_created_at or "
                    "latest_version_created_at, asc or desc.", "sort_by sort_direction")
    update = _operation("PATCH /models/{owner}/{name}", Model, "Change a model's description, readme, github_url, paper_url, "
                        "weights_url, license_url... and return it.")
    delete = _operation("DELETE /models/{owner}/{name}", _as_is, "Delete a private model that has no versions; True.",
                        read="nothing")

    def search(self, query: str) -> Page:
        """Return a page of the public models that match; Client.search is newer and finds more. QUERY /models"""
        if not isinstance(query, str):
            raise TypeError(f"query is a str, not {type(query).__name__}")
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
    list = _listing("/trainings", Training, "Return a page of your trainings, newest first.")

    def create(self, *args: Any, model: Any = None, version: Any = None, input: Mapping[str, Any] | None = None,
               destination: Any = None, **options: Any) -> Training:
        """Start a training and return it at once: version="owner/name:id", or model= and version=.

        destination is "owner/name" of an existing model of yours. Options are webhook, webhook_events_filter and
        file_encoding_strategy; others pass to the API. By position: version, input, destination, webhook,
        webhook_completed, webhook_events_filter.

        POST /models/{owner}/{name}/versions/{id}/trainings
        """
        order = ("version", "input", "destination", "webhook", "webhook_completed", "webhook_events_filter")
        if len(args) > len(order):
            raise TypeError(f"at most {len(order)} arguments by position")
        given = dict({"version": version, "input": input, "destination": destination}, **dict(zip(order, args)))
        names = _names([thing for thing in (model, given.pop("version")) if thing is not None], {}, 3)
        _check(len(names) == 3, "expected version='owner/name:id', or model= and version=")
        _check(given["destination"], "destination is missing: the model to push to, as 'owner/name'")
        target = _Target(_path("models", *names[:2], "versions", names[2], "trainings"))
        job = _Job(self._client, target, given.pop("input"), wait=False, kind=Training, **dict(options, **_plain(given)))
        made: Training = job.create()
        return made


class Deployments(Namespace):
    """Deployments. https://replicate.com/docs/reference/http#deployments"""

    def __init__(self, client: Client) -> None:
        super().__init__(client)
        self.predictions = DeploymentsPredictions(client)

    get = _operation("GET /deployments/{owner}/{name}", Deployment, "Return a deployment: get(\"owner/name\").")
    update = _operation("PATCH /deployments/{owner}/{name}", Deployment, "Change version, hardware, min_instances or "
                        "max_instances, and return the deployment.")
    list = _listing("/deployments", Deployment, "Return a page of your deployments.")
    delete = _operation("DELETE /deployments/{owner}/{name}", _as_is, "Delete a deployment, idle for 15 minutes at least; True.",
                        read="nothing")

    def create(self, name: str, model: Any, version: Any, hardware: Any, min_instances: int, max_instances: int,
               **params: Any) -> Deployment:
        """Create a deployment of a model's version on a hardware's sku; more fields pass on. POST /deployments"""
        body = dict(params, name=name.rpartition("/")[2], model=model, version=version, hardware=hardware,
                    min_instances=min_instances, max_instances=max_instances)
        return self._client._fetch("POST", "/deployments", Deployment, _plain(body), noun="deployment")


class Files(Namespace):
    """Uploaded files. https://replicate.com/docs/reference/http#files"""

    get = _operation("GET /files/{id}", File, "Return what is known of an uploaded file.")
    list = _listing("/files", File, "Return a page of your files, newest first.")
    delete = _operation("DELETE /files/{id}", _as_is, "Delete a file; True.", read="nothing")
    download = _operation("GET /files/{id}/download", _as_is, "Return the content of a file that its owner signed for, until "
                          "expiry (Unix time), as bytes.", "owner expiry signature", read="bytes")

    def create(self, file: Any, filename: str | None = None, content_type: str | None = None,
               metadata: Mapping[str, Any] | None = None) -> File:
        """Upload a file of 100 MiB at most, streamed from where it stands: a path, bytes, or anything with read().

        filename and content_type are told from it if not given. POST /files
        """
        with _Source(file, "file", isinstance(file, (str, os.PathLike))) as source:
            return source.upload(self._client, _Call(self._client), filename, content_type, metadata)


class Collections(Namespace):
    """Collections of models. https://replicate.com/docs/reference/http#collections"""

    get = _operation("GET /collections/{slug}", Collection, "Return a collection with its models.")
    list = _listing("/collections", Collection, "Return a page of collections, without their models.")


class HardwareNamespace(Namespace):
    """The machines that models run on."""

    def list(self) -> List[Hardware]:
        """Return all of them. GET /hardware"""
        return self._client._fetch("GET", "/hardware", functools.partial(_made, Hardware), read="list")


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

    def __new__(cls, url: str, client: Client | None = None) -> FileOutput:
        self = super().__new__(cls, url)
        self.__dict__["_own_client"] = client
        return self

    @property
    def url(self) -> str:
        """The URL as a plain str."""
        return str(self)

    def __repr__(self) -> str:
        return repr(self.url) if len(self) <= 200 or self[:5] != "data:" else repr(self[:60] + "...")

    def __reduce__(self) -> Any:
        return type(self), (self.url,)

    def iter_bytes(self, chunk_size: int = _BLOCK) -> Iterator[bytes]:
        """Yield the content in chunks of chunk_size bytes at most, as they arrive. Raises APIError, NetworkError."""
        _check(type(chunk_size) is int and chunk_size > 0, f"chunk_size is a whole number of bytes, not {chunk_size!r}")
        return _download(self.url, self.__dict__["_own_client"] or default_client, chunk_size)

    def __aiter__(self) -> Any:
        return self.async_iter_bytes()

    def read(self) -> bytes:
        """Return the content."""
        return b"".join(self.iter_bytes())

    def open(self) -> BinaryIO:
        """Return a readable, seekable binary file with the content, as for PIL.Image.open(output.open())."""
        file: BinaryIO = _spooled(self.iter_bytes())
        return file

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
                    file.writelines(self.iter_bytes())
                target = target if named else _unused(folder / _safe_name(self))
                os.replace(part, target)
            finally:
                if part.exists():
                    part.unlink()
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
    name = re.sub(r"(?i)^(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d\xb9\xb2\xb3]) *(?=\.|$)", r"_\1", name)  # Windows' devices
    stem, ending = os.path.splitext(name)
    return stem.encode()[:200].decode(errors="ignore") + ending[:20] or "output"  # file systems take 255 bytes


def _unused(path: pathlib.Path) -> pathlib.Path:
    """That path, or the next with a number that no file has; an empty file takes it in the same moment."""
    for number in itertools.count(1):
        try:
            open(path, "xb").close()
            break
        except FileExistsError:
            stem = path.stem if number == 1 else path.stem.rpartition("-")[0]
            path = path.with_name(f"{stem}-{number}{path.suffix}")
    return path


def _download(url: str, client: Client, size: int) -> Iterator[bytes]:
    """Yield a file's bytes; a transfer that breaks starts anew, and what was handed over already is skipped."""
    if url[:5].lower() == "data:":
        data = _decode_data_uri(url)
        yield from (data[start:start + size] for start in range(0, len(data), size))
        return
    given, transport, call = 0, client._transport, _Call(client)
    known: list[Any] = [None, None]
    headers = {"Accept": "*/*", "Accept-Encoding": "identity"}
    for attempt in itertools.count():
        response, at = transport.request("GET", url, "open", call=call, headers=headers), 0
        this = (response.headers.get("ETag"), response.headers.get("Content-Length"))
        known = [old or new for old, new in zip(known, this)]
        try:
            with response:
                if any(new not in (None, old) for old, new in zip(known, this)):
                    raise ReplicateError(f"the file at {_short(url)} changed while it was read")
                for block in response.blocks(size):
                    at += len(block)
                    if at > given:
                        yield block[given - at:]
                        given = at
            return
        except (OSError, http.client.HTTPException, ValueError) as error:
            failure = transport.explained(error, "GET", url, call)
        transport.wait_for_retry(failure, "", attempt, call)


def _decode_data_uri(uri: str) -> bytes:
    """The bytes of a data URI (RFC 2397)."""
    head, _, payload = uri[5:].partition(",")
    data = urllib.parse.unquote_to_bytes(payload)
    try:
        return base64.b64decode(data + b"=" * (-len(data) % 4), b"-_" if b"-" in data or b"_" in data else None) \
            if head.lower().endswith(";base64") else data
    except ValueError as error:
        raise ReplicateError(f"a data URI that is not base64: {error}") from None


def _spooled(chunks: Iterable[bytes], most: float = math.inf) -> Any:
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
    def parse(cls, ref: Any) -> ModelVersionIdentifier:
        """Read "owner/name" or "owner/name:version". Raises ValueError."""
        match = re.fullmatch(r"([^/:\s]+)/([^/:\s]+)(?::([^/:\s]+))?", ref) if isinstance(ref, str) else None
        if match and not {".", ".."} & {*match.groups()}:
            return cls(*match.groups())
        raise ValueError(f"not a model: {_short(ref)}. Write 'owner/name', 'owner/name:version', a 64-character version id, "
                         "'deployments/owner/name', the http(s) address of a Cog container, or give a Model, Version or "
                         "Deployment")


class _Target:
    """Where a reference runs: the path to create at, what the body adds, and what is known of the model."""

    def __init__(self, path: str, body: Mapping[str, Any] | None = None, *, model: Sequence[str] = (), version: str = "",
                 iterates: bool | None = None, cog: str = "") -> None:
        self.path, self.body, self.model, self.version = path, body or {}, model, version
        self.iterates, self.cog = iterates, cog  # iterates: None while unknown; cog: the container's address
        self.fields: dict[str, _Field] | None = None  # the container's inputs, once they were asked for

    def look_up(self, client: Client, call: _Call, prediction: Any = None) -> None:
        """Learn once per client whether the version's output is an iterator; a failure does not stop the run."""
        model = self.model or str(prediction and prediction.get("model")).split("/")
        if self.iterates is not None or not self.version or len(model) != 2:
            return
        if self.version not in client._iterates:
            try:
                version = client._fetch("GET", _path("models", *model, "versions", self.version), Version, call=call)
            except (ReplicateError, ValueError):
                return
            client._iterates[self.version] = _iterates(version)
        self.iterates = client._iterates[self.version]

    def resolve_latest(self, client: Client, call: _Call) -> bool:
        """Turn a model that is not official into its latest version; False where there is none to turn to."""
        if self.model and not self.version:
            latest: Any = client._fetch("GET", _path("models", *self.model), Model, call=call).latest_version or {}
            if latest.get("id"):
                self.path, self.body, self.version = "/predictions", {"version": latest["id"]}, latest["id"]
                self.iterates = _iterates(latest)
        return bool(self.model and self.version)


def _target(ref: Any) -> _Target:
    """Read a reference in any of its forms. Raises ValueError for anything else."""
    if isinstance(ref, Version):
        known = _iterates(ref) if ref.get("openapi_schema") else None
        return _Target("/predictions", {"version": ref.id}, version=ref.id, iterates=known)
    if isinstance(ref, (Model, Deployment)):
        ref = ref.id if isinstance(ref, Model) else "deployments/" + ref.id
    elif isinstance(ref, tuple) and 2 <= len(ref) <= 3:
        ref = "{}/{}".format(*ref) + (f":{ref[2]}" if ref[2:] and ref[2] else "")
    if isinstance(ref, str) and re.match("https?://", ref, re.IGNORECASE):
        parts = urllib.parse.urlsplit(ref)
        _check(parts.hostname and not re.search(r"[@?#\s]", ref), f"{_short(ref)} is no address of a Cog container")
        return _Target("", cog=re.sub("(/predictions)?/*$", "", ref))
    if isinstance(ref, str) and re.fullmatch("[0-9a-f]{64}", ref):
        return _Target("/predictions", {"version": ref}, version=ref)
    if isinstance(ref, str) and ref.startswith("deployments/"):
        return _Target(_path("deployments", *ModelVersionIdentifier.parse(ref[12:])[:2], "predictions"))
    owner, name, version = ModelVersionIdentifier.parse(ref)
    if version:
        return _Target("/predictions", {"version": version}, model=(owner, name), version=version)
    return _Target(_path("models", owner, name, "predictions"), model=(owner, name))


def _iterates(version: Mapping[str, Any]) -> bool:
    """Whether a version's output comes item by item, from its schema and, where that is too old to say, its age."""
    output = _part(version.get("openapi_schema"), "Output")
    numbers = re.match(r"v?(\d+)\.(\d+)\.(\d+)", str(version.get("cog_version") or ""))
    old = numbers is not None and tuple(int(n) for n in numbers.groups()) < _MARKED_SINCE
    return output.get("type") == "array" and (old or output.get("x-cog-array-type") == "iterator")


def _hold_seconds(wait: Any) -> int:
    """The argument `wait` as seconds that the server is asked to hold the creating request."""
    if wait is None or isinstance(wait, bool):
        return _HOLD if wait else 0
    _check(isinstance(wait, int) and 1 <= wait <= _HOLD, f"wait is True, False or 1 to {_HOLD} whole seconds, not {wait!r}")
    return int(wait)


def _duration(value: Any) -> str:
    """The argument `cancel_after` as the header: seconds, or text such as "5m" or "1h30m45s"; 5 s at least."""
    text = f"{math.ceil(value)}s" if _is_number(value) else value.strip() if isinstance(value, str) else ""
    match = re.fullmatch(r"(?=\d)(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text)
    hours, minutes, seconds = (int(number or 0) for number in match.groups()) if match else (0, 0, 0)
    asked: Any = value if _is_number(value) else hours * 3600 + minutes * 60 + seconds
    _check(asked >= 5,
           f"cancel_after is at least 5 seconds, as 90, '90s', '5m' or '1h30m', not {value!r}")
    return text


class _Inputs:
    """A model's input on its way into JSON. encode() checks and converts it without a request; upload() does the rest."""

    def __init__(self, strategy: str | None = None) -> None:
        self.strategy = strategy
        self.large: list[tuple[Any, Any, _Source]] = []  # where in the encoded input a URL is still to be put

    def encode(self, input: Any) -> Any:
        if input is not None and not isinstance(input, abc.Mapping):
            raise TypeError(f"input is a dict of the model's inputs, not {type(input).__name__}: {_short(input)}")
        holder: dict[str, Any] = {}
        try:
            self._put(holder, "input", input or {}, "input")
        except BaseException as error:
            self.close()
            _check(not isinstance(error, RecursionError), "input contains itself, or is nested too deeply")
            raise
        return holder["input"]

    def _put(self, holder: Any, key: Any, value: Any, where: str) -> None:
        """Set holder[key] to the JSON form of a value; `where` is its place, for errors."""
        if value is None or isinstance(value, (str, bool, int, float)):
            _check(not isinstance(value, float) or math.isfinite(value), f"{where} is {value!r}, which JSON cannot say")
            holder[key] = value
        elif isinstance(value, File):
            holder[key] = value.urls["get"]
        elif isinstance(value, abc.Mapping):
            holder[key] = {}
            for name, item in value.items():
                if not isinstance(name, str):
                    raise TypeError(f"{where} has the key {name!r}: JSON's are text")
                self._put(holder[key], name, item, f"{where}[{name!r}]")
        elif isinstance(value, (bytes, bytearray, memoryview, os.PathLike)) or hasattr(value, "read"):
            self._put_file(holder, key, _Source(value, where, isinstance(value, os.PathLike)))
        elif hasattr(value, "tolist"):  # numpy's arrays and scalars
            self._put(holder, key, value.tolist(), where)
        elif isinstance(value, (abc.Sequence, abc.Set, abc.Iterator, abc.ValuesView, deque)):
            holder[key] = []
            for number, item in enumerate(value):
                holder[key].append(None)
                self._put(holder[key], number, item, f"{where}[{number}]")
        elif hasattr(value, "isoformat"):
            holder[key] = value.isoformat()
        else:
            raise TypeError(f"{where} is {type(value).__name__}: give JSON values, files, paths, bytes, numpy arrays or dates")

    def _put_file(self, holder: Any, key: Any, source: _Source) -> None:
        if self.strategy == "base64" or self.strategy is None and source.size <= _INLINE_MOST:
            with source:
                data = b"".join(source)
            holder[key] = f"data:{_media_type(source.name, data)};base64,{base64.b64encode(data).decode('ascii')}"
        else:
            self.large.append((holder, key, source))
            source.check_size()

    def upload(self, client: Client, call: _Call) -> None:
        """Upload what is too large to go inline; a failure raises, before anything is created."""
        try:
            for holder, key, source in self.large:
                holder[key] = (source.upload(client, call).urls or {}).get("get")
                if not holder[key]:
                    raise NetworkError(f"{source.where}: the API's answer to its upload has no URL")
        finally:
            self.close()

    def close(self) -> None:
        while self.large:
            self.large.pop()[2].close()


class _Source:
    """A file on its way in: read from where it stands, as often as it has to be sent, left open if it is the caller's."""

    def __init__(self, thing: Any, where: str, path: bool) -> None:
        self.where, self.own = where, path
        name = os.fspath(thing) if path else getattr(thing, "name", "")
        if path:
            try:
                thing = open(thing, "rb")
            except OSError as error:
                raise ValueError(f"{where}: cannot read {name}: {error.strerror}") from error
        elif isinstance(thing, (bytes, bytearray, memoryview)):
            thing = io.BytesIO(thing)
        elif not hasattr(thing, "read"):
            raise TypeError(f"{where} is {type(thing).__name__}: give a path, bytes or an open file")
        self.name = os.path.basename(name) if isinstance(name, str) and name[:1] != "<" else ""
        try:
            if hasattr(getattr(thing, "buffer", None), "read"):  # opened as text
                thing.seek(thing.tell())
                thing = thing.buffer
            self.file, self.start = thing, thing.tell()
            thing.seek(0, io.SEEK_END)
            self.size = max(0, thing.tell() - self.start)
            thing.seek(self.start)
            seekable = isinstance(thing.read(0), bytes)
        except (AttributeError, OSError, ValueError, TypeError) as error:  # a pipe, a socket, or an object with read() alone
            _check("telling" not in str(error), f"{where}: a text file that is iterated over cannot say where it stands: "
                   "seek first, or open it in binary mode")
            thing, seekable = getattr(thing, "buffer", thing), False
        if not seekable:
            try:
                self.file = _spooled(_pieces(thing), _UPLOAD_MOST)
            except (OSError, TypeError, ValueError) as error:
                raise ValueError(f"{where} cannot be read: {error}") from error
            self.start, self.size, self.own = 0, self.file.seek(0, io.SEEK_END), True

    def check_size(self) -> None:
        _check(self.size <= _UPLOAD_MOST, f"{self.where}: {self.name or 'the file'} is larger than 100 MiB, the most that "
               "the files API takes; put it where it has a URL, and give that")

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

    def upload(self, client: Client, call: _Call, filename: str | None = None, content_type: str | None = None,
               metadata: Any = None) -> File:
        """Send it to the files API, streamed."""
        self.check_size()
        name = re.sub(r"[\x00-\x1f\x7f]", "_", filename or self.name or "file")
        _check(len(name.encode()) <= 255, "filename is longer than 255 bytes, the most that the API takes")
        kind = content_type or _media_type(name, next(iter(self), b""))
        _check(not re.search(r"[\x00-\x1f\x7f]", kind), f"content_type is a media type as image/png, not {kind!r}")
        body = _Multipart(self, name, kind, metadata)
        return client._fetch("POST", "/files", File, body, noun="file", call=call)

    def __enter__(self) -> _Source:
        return self

    def __exit__(self, *error: Any) -> None:
        self.close()

    def close(self) -> None:
        if self.own:
            self.file.close()


def _pieces(thing: Any) -> Iterator[bytes]:
    """What read() gives until it gives nothing, as bytes."""
    while True:
        piece = thing.read(_BLOCK)
        if not piece:
            return
        yield piece.encode() if isinstance(piece, str) else piece


_SIGNATURES = (  # what a file begins with, as a pattern, and its media type: the formats that models take
    (rb"\x89PNG\r\n\x1a\n", "image/png"), (rb"\xff\xd8\xff", "image/jpeg"), (rb"GIF8[79]a", "image/gif"),
    (rb"RIFF....WEBP", "image/webp"), (rb"RIFF....WAVE", "audio/wav"), (rb"RIFF....AVI ", "video/x-msvideo"),
    (rb"BM....\0\0\0\0", "image/bmp"), (rb"II\*\0|MM\0\*", "image/tiff"), (rb"\0...ftypavif", "image/avif"),
    (rb"\0...ftyphei", "image/heic"), (rb"\0...ftypM4A", "audio/mp4"), (rb"\0...ftypqt", "video/quicktime"),
    (rb"\0...ftyp", "video/mp4"), (rb"fLaC\0", "audio/flac"), (rb"OggS\0", "audio/ogg"),
    (rb"ID3[\x02-\x04]|\xff[\xfa\xfb\xf2\xf3]", "audio/mpeg"), (rb"\x1a\x45\xdf\xa3", "video/webm"),
    (rb"%PDF-\d", "application/pdf"), (rb"PK\x03\x04", "application/zip"), (rb"\x1f\x8b", "application/gzip"),
    (rb".{257}ustar", "application/x-tar"), (rb"glTF\x02", "model/gltf-binary"),
)


def _media_type(name: str, head: bytes = b"") -> str:
    """The media type by the name, else by the first bytes where they are a known signature; text is never guessed at."""
    import mimetypes
    guessed, encoding = mimetypes.guess_type(name)
    if encoding:
        return "application/gzip" if encoding == "gzip" else "application/octet-stream"
    found = (kind for start, kind in _SIGNATURES if re.match(start, head, re.DOTALL))
    return guessed or next(found, "application/octet-stream")


class _Multipart:
    """multipart/form-data (RFC 7578) with one file, streamed: iterate it as often as it has to be sent."""

    def __init__(self, source: _Source, filename: str, content_type: str, metadata: Any) -> None:
        boundary, quoted = os.urandom(16).hex(), re.sub(r'(["\\])', r"\\\1", filename)
        fields = {"filename": filename, "type": content_type}
        if metadata is not None:
            fields["metadata"] = json.dumps(metadata, allow_nan=False)
        start = f"--{boundary}\r\nContent-Disposition: form-data; name="
        parts = [f'{start}"{name}"\r\n\r\n{value}\r\n' for name, value in fields.items()]
        parts.append(f'{start}"content"; filename="{quoted}"\r\nContent-Type: {content_type}\r\n\r\n')
        self.head, self.source, self.tail = "".join(parts).encode(), source, f"\r\n--{boundary}--\r\n".encode()
        self.headers = {"Content-Type": f"multipart/form-data; boundary={boundary}",
                        "Content-Length": str(len(self.head) + source.size + len(self.tail))}

    def __iter__(self) -> Iterator[bytes]:
        return itertools.chain([self.head], self.source, [self.tail])


class _Field:
    """One input of a model, resolved from its schema; types and choices may be hidden in references and options."""

    def __init__(self, name: str, schema: Any, components: Mapping[str, Any], required: bool) -> None:
        merged: Any = _resolved(schema, components)
        options = [_resolved(option, components) for key in ("anyOf", "oneOf") for option in merged.get(key) or ()]
        real = [option for option in options if option.get("type") != "null"]
        for option in reversed(real):
            merged = {**option, **merged}
        self.name, self.required = name, required
        self.nullable = bool(merged.get("nullable")) or len(real) < len(options)
        self.choices: list[Any] = merged.get("enum") or []
        self.types = [option["type"] for option in real or [merged] if option.get("type")]
        if self.choices and not self.types:  # a choice without a type has its members'
            self.types = sorted({_JSON_TYPES.get(type(choice), "string") for choice in self.choices})
        self.secret, self.order = merged.get("format") == "password", merged.get("x-order")
        self.items = _resolved(merged.get("items"), components)
        self.file = "uri" in (merged.get("format"), self.items.get("format"))
        self.least, self.most = merged.get("minimum", merged.get("ge")), merged.get("maximum", merged.get("le"))
        self.default, self.description = merged.get("default"), str(merged.get("description") or "")

    def fault(self, value: Any) -> str:
        """What is wrong with a value, "" if nothing; a secret is not shown."""
        if value is None and self.nullable or isinstance(value, (bytes, os.PathLike)) and self.file:
            return ""
        shown = "" if self.secret else f", not {_short(value)}"
        number: Any = value if _is_number(value) else None
        if self.choices and not any(type(choice) is type(value) and choice == value for choice in self.choices):
            near = _nearest(str(value), [str(choice) for choice in self.choices])
            return "is to be one of its choices" + shown + ("" if self.secret else near)
        if self.types and not any(_is_a(value, kind) for kind in self.types):
            return f"is to be {' or '.join(self.types)}{shown}"
        kind = self.items.get("type")
        if isinstance(value, list) and isinstance(kind, str) and not self.file and not all(_is_a(item, kind) for item in value):
            return f"is to be a list of {kind}s{shown}"
        if self.file and isinstance(value, str) and not _is_file(value) and os.path.exists(value):
            return f"is to be a file or URL: did you mean {self.name}=@{value}?"
        if number is not None and _is_number(self.least) and number < self.least:
            return f"is at least {self.least}{shown}"
        return f"is at most {self.most}{shown}" if number is not None and _is_number(self.most) and number > self.most else ""

    def parse(self, text: str) -> Any:
        """A text as the value that the schema takes it for; a string takes it as it stands."""
        for choice in self.choices:
            if text == (choice if isinstance(choice, str) else json.dumps(choice)):
                return choice
        value: Any = text
        try:
            value = json.loads({"yes": "true", "no": "false", "True": "true", "False": "false"}.get(text, text))
        except ValueError:
            pass
        if "string" in self.types:
            return value if isinstance(value, (list, dict)) and any(_is_a(value, kind) for kind in self.types) else text
        if "array" in self.types and not isinstance(value, list):
            return [text if self.items.get("type", "string") == "string" else value]
        number: Any = value
        return int(number) if self.types == ["integer"] and _is_a(value, "integer") else value


_JSON_TYPES: dict[Any, str] = {str: "string", bool: "boolean", int: "integer", float: "number", list: "array", dict: "object"}


def _is_a(value: Any, kind: Any) -> bool:
    """Whether a value is of a JSON Schema type; 1.0 is an integer, true is none; an unknown type is any."""
    known = _JSON_TYPES.get(type(value))
    if known == "number" and kind in ("integer", "number"):
        return math.isfinite(value) and (kind == "number" or value == int(value))
    return known == kind or known == "integer" and kind == "number" or kind not in _JSON_TYPES.values()


def _nearest(word: str, known: Sequence[str]) -> str:
    import difflib
    near = difflib.get_close_matches(word, known, 1, 0.5)
    return f": did you mean {near[0]!r}?" if near else f": there are {', '.join(known[:20])}{' ...' if known[20:] else ''}"


def _resolved(schema: Any, components: Mapping[str, Any], depth: int = 8) -> dict[str, Any]:
    """A schema with its `$ref` and `allOf` merged into it; what stands beside them wins."""
    merged: dict[str, Any] = {}
    if isinstance(schema, dict) and depth:
        name = str(schema.get("$ref", "")).rpartition("/")[2]
        for part in [components.get(name), *(schema.get("allOf") or ())]:
            merged.update(_resolved(part, components, depth - 1))
        merged.update((key, value) for key, value in schema.items() if key not in ("allOf", "$ref"))
    return merged


def _part(openapi: Any, name: str) -> dict[str, Any]:
    """components.schemas[name] of a model's schema; {} where there is none."""
    components = ((openapi or {}).get("components") or {}).get("schemas") or {}
    return _resolved(components.get(name), components)


def _inputs_of(openapi: Any) -> dict[str, _Field]:
    """A model's inputs by name, in their order; {} where there is no schema."""
    components, schema = ((openapi or {}).get("components") or {}).get("schemas") or {}, _part(openapi, "Input")
    fields = [_Field(name, part, components, name in (schema.get("required") or ()))
              for name, part in (schema.get("properties") or {}).items()]
    return {field.name: field for field in sorted(fields, key=lambda field: (field.order is None, field.order or 0))}


def _faults(input: Mapping[str, Any], fields: Mapping[str, _Field], unchecked: Iterable[str] = ()) -> list[str]:
    """All that is wrong with an input; nothing where there is no schema. The values of `unchecked` are not looked at."""
    if not fields:
        return []
    found = [f"there is no input {name!r}" + _nearest(name, list(fields)) for name in input if name not in fields]
    found += [f"{name} {fault}" for name, value in input.items() if name in fields and name not in unchecked
              for fault in [fields[name].fault(value)] if fault]
    return found + [f"{name} is required" for name, field in fields.items() if field.required and name not in input]


def _description(client: Client, ref: Any) -> tuple[str, Any]:
    """A model's description, and its schema, None where there is none to be had."""
    target = _target(ref)
    model: Any = Resource()
    if target.cog:
        return "", _cog_schema(client, target.cog, _Call(client))
    if isinstance(ref, Version):
        return "", ref.openapi_schema
    if target.path.startswith("/deployments"):
        release = client.deployments.get(*target.path.split("/")[2:4]).current_release
        target = _target(f"{release.model}:{release.version}")
    if target.model:
        model = client.models.get(*target.model)
        if target.version and (model.latest_version or {}).get("id") != target.version:
            model["latest_version"] = client.models.versions.get(*target.model, target.version)
    return str(model.get("description") or ""), (model.get("latest_version") or {}).get("openapi_schema")

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
    """Decode server-sent events from bytes split anywhere (WHATWG HTML, section 9.2.6, "Interpreting an event stream")."""
    rest: list[bytes] = []
    data: list[bytes] = []
    retry: int | None = None
    event, last_id, after_cr, first = "", "", False, True
    for chunk in chunks:
        if after_cr and chunk[:1] == b"\n":  # the second half of a CRLF whose first half ended a line already
            chunk, after_cr = chunk[1:], False
        after_cr = chunk.endswith(b"\r") or after_cr and not chunk
        end = max(chunk.rfind(b"\n"), chunk.rfind(b"\r")) + 1
        rest.append(chunk[:end] if end else chunk)
        lines, rest = (b"".join(rest).splitlines(), [chunk[end:]]) if end else ([], rest)
        if lines and first:
            lines[0], first = lines[0][3:] if lines[0].startswith(b"\xef\xbb\xbf") else lines[0], False
        for line in lines:  # bytes know no other line ends than the three
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
            elif field == b"retry" and re.fullmatch(b"[0-9]{1,9}", value):
                retry = int(value)


def _streamed(prediction: Prediction, call: _Call, use_file_output: bool) -> Iterator[ServerSentEvent]:
    """The events of a prediction's stream. A drop is resumed after the last event, at the pace of polls."""
    client, known, last_id = prediction._client, 0, ""
    seen: set[str] = set()
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store", "Accept-Encoding": "identity"}
    polls = prediction._polls(call)
    while True:
        try:
            response = client._transport.request("GET", prediction._url("stream"), "open", headers=headers, call=call)
            again = set(seen)  # a server that starts from the beginning again is not believed twice
            with response:
                for event in _decode(response.blocks(_BLOCK)) if response.is_event_stream() else ():
                    if event.id and event.id in again:
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
        except (OSError, http.client.HTTPException, ValueError) as error:
            call.check()
            if call.over():
                raise call.expired() from None
            _log("stream of %s dropped: %s", prediction.get("id"), type(error).__name__)
        if known and not last_id or next(polls, call) is call:  # no place to resume at, or over: go on by its output
            yield from prediction._polled(call, use_file_output, max(0, known))
            return


def _take_event(event: ServerSentEvent, prediction: Prediction) -> None:
    """Note what an event tells of the run: its logs, its end; ModelError where that is no success."""
    told: Any = {}
    if event.event in ("done", "error") and event.data.lstrip().startswith("{"):
        try:
            told = json.loads(event.data)
        except ValueError:  # only its being there is certain
            pass
    if event.event == "logs":
        prediction["logs"] = (prediction.get("logs") or "") + event.data
    elif event.event == "error" or told.get("reason") in ("error", "canceled"):
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

    def __init__(self, client: Client, target: _Target, input: Any, *, file_encoding_strategy: str | None = None,
                 **options: Any) -> None:
        _check(file_encoding_strategy != "url", "a self-hosted model takes files as data URIs, not as 'url'")
        super().__init__(client, target, input, file_encoding_strategy="base64", **options)
        self.id, self.call.bare = base64.b32encode(os.urandom(15)).decode("ascii").lower(), True

    def start(self) -> Any:
        """Wait for the container to be up, and check the names of the inputs, which it would not."""
        while self.target.fields is None:
            schema = _cog_schema(self.client, self.target.cog, self.call)
            if schema is not None or not self._starting():
                self.target.fields, self.target.iterates = _inputs_of(schema), _iterates({"openapi_schema": schema})
            else:
                self.call.pause(self.poll_interval)
        wrong = [f for f in _faults(self.body["input"], self.target.fields, self.body["input"]) if f.startswith("there")]
        _check(not wrong, "; ".join(wrong))

    def output(self) -> Any:
        with self:
            self._take_answer(self._sent("application/json"))
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
        self._request("POST", f"/predictions/{self.id}/cancel", "nothing", call)

    def _request(self, method: str, path: str, read: Any, call: _Call, **options: Any) -> Any:
        return self.client._transport.request(method, self.target.cog + path, read, call=call, noun="run", **options)

    def _starting(self) -> bool:
        """Whether the container is still setting up. Raises, with its logs, where that has failed."""
        try:
            health = self.client._transport.request("GET", self.target.cog + "/health-check", "object", call=self.call)
        except APIError:  # no Cog that is known, or something before it: the run will tell
            return False
        status, logs = str(health.get("status")).upper(), (health.get("setup") or {}).get("logs")
        if status in ("SETUP_FAILED", "DEFUNCT"):
            raise ReplicateError(f"the model at {self.target.cog} cannot run ({status}): {logs or 'no logs'}", detail=logs)
        return status == "STARTING"

    def _sent(self, accept: str) -> Any:
        """Send the run, as soon as the container takes it, and return the open answer."""
        headers = {"Accept": accept, "Content-Type": "application/json", "Accept-Encoding": "identity"}
        while True:
            self.prediction = Prediction({"id": self.id, "status": "starting", "input": self.body["input"]}, self.client)
            try:
                return self._request("PUT", f"/predictions/{self.id}", "open", self.call, headers=headers, hold=None,
                                     body=json.dumps(self.body).encode())
            except ReplicateError as error:
                if not error._sent or error.status in (409, 503) or 400 <= (error.status or 0) < 500:
                    self.prediction = None  # it runs nothing, so there is nothing to cancel
                if error.status not in (409, 503):
                    raise
            self._starting()
            self.call.pause(self.poll_interval)

    def _take_answer(self, response: Any) -> None:
        """Take the one answer of a run, which comes when it is over."""
        try:
            answer = _read(response, "object")
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._broken(error) from None
        self._take_end(answer)

    def _broken(self, error: Exception) -> ReplicateError:
        failure = self.client._transport.explained(error, "PUT", f"{self.target.cog}/predictions/{self.id}", self.call)
        failure.args = (str(failure) + _may_exist("run"),)
        return failure

    def _take_end(self, answer: dict[str, Any]) -> None:
        """Take the answer of a run that is over; a 202 is an answer, but no end."""
        if answer.get("status", "processing") in _RUNNING:
            raise NetworkError(f"{self.target.cog} answered before the end of the run, and cannot be asked for it later; "
                               "the model may still run")
        self.prediction._take(answer)

    def _parts(self) -> Iterator[tuple[str, Any]]:
        """Pairs of an event's name and value: output and logs as they come, then done."""
        try:
            response = self._sent("text/event-stream")
        except APIError as error:
            if error.status != 406:
                raise
            response = self._sent("application/json")
        with response:
            if response.is_event_stream():
                yield from self._streamed(response)
            else:
                self._take_answer(response)
                yield from (("output", item) for item in self.prediction._items(self.call))
        yield "done", "{}"

    def _streamed(self, response: Any) -> Iterator[tuple[str, Any]]:
        try:
            for event in _decode(response.blocks(_BLOCK)):
                told = json.loads(event.data)
                if event.event == "output":
                    yield "output", told.get("chunk")
                elif event.event == "log":
                    yield "logs", told.get("data")
                elif event.event == "completed":
                    self._take_end(told)
                    self.prediction._must_have_succeeded()
                    return
        except (OSError, http.client.HTTPException, ValueError, AttributeError) as error:
            raise self._broken(error) from None
        raise NetworkError(f"the stream of {self.target.cog} was cut short; the model may still run")


# ---------------------------------------------------------------------------------------------------------------------
# Transport
# ---------------------------------------------------------------------------------------------------------------------
#
#   request() -> _attempt() -> urllib.request's opener: proxies, redirects, then _KeepAlive
#                                -> a kept connection, or a new one: connect, CONNECT, TLS    nothing sent yet
#                                -> head and body leave, the answer's head comes              sent: outcome unknown
#             -> _read()  the body; a whole one sends its connection back to the pool


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
    """The rate limit as 429 answers teach it, shared by all threads of a client: whoever creates waits for a turn here.

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
        if throttled_until is not None or self.gap:
            with self.lock:
                self.next = max(self.next, throttled_until or 0.0)
                gap = 0.9 * self.gap if throttled_until is None else max(_GAP_LEAST, 2 * self.gap)
                self.gap = min(_GAP_MOST, gap) if gap > _GAP_LEAST / 10 else 0.0


class _Request(urllib.request.Request):
    """A request with what the connection needs to know of it."""

    call: _Call
    seconds: float  # for one socket operation
    patience: float | None  # for the whole head of the answer; None: as long as it takes, and its body too
    noun: str  # what it creates, "" if it may be repeated
    stoppable = True  # whether it is cut off when its caller leaves; a creation is heard out, to be cancelled by its id
    sent = False  # whether a first byte may have left


class _Transport:
    """Sends requests and reads answers: retries, redirects, proxies, kept connections, and who gets the token."""

    def __init__(self, client: Client, seconds: float, retries: int, headers: Mapping[str, str],
                 proxies: Mapping[str, str] | None, ssl_context: Any) -> None:
        _check(not any(re.search(r"[\r\n\0]", text) for item in headers.items() for text in item),
               "headers are text without line ends")
        self.client, self.seconds, self.retries = client, seconds, retries
        self.own_headers = {name: _Secret(value) for name, value in headers.items()}
        self.own_names = {name.lower() for name in headers}
        self.proxies, self.ssl_context, self.random = proxies, ssl_context, random.random
        self.throttle = _Throttle()
        self.idle: dict[Any, list[Any]] = {}  # kept connections by where they go, newest last
        self.opener: Any = None
        self.opener_for: Any = None
        weakref.finalize(client, _close_all, self.idle)

    # one request, as often as it takes

    def request(self, method: str, url: str, read: str, *, call: _Call, body: Any = None,
                headers: Mapping[str, Any] | None = None, noun: str = "", hold: float | None = 0.0,
                retries: int | None = None) -> Any:
        """Send a request until it succeeds or may not be sent again, and return _read(response, read).

        hold is the seconds that the server was asked to hold it, None for a run that takes as long as it takes. noun
        says what it creates: then it is repeated only if the server cannot have acted on it (promise 1).
        """
        for attempt in itertools.count():
            if noun not in ("", "cancel"):
                self.throttle.wait(call)
            outcome = self._attempt(method, url, read, call, body, headers or {}, noun, hold, attempt)
            if not isinstance(outcome, ReplicateError):
                return outcome[0]
            self.wait_for_retry(outcome, noun, attempt, call, retries)

    def _attempt(self, method: str, url: str, read: str, call: _Call, body: Any, headers: Mapping[str, Any],
                 noun: str, hold: float | None, attempt: int) -> Any:
        """One attempt: (what was read,), or the failure."""
        started, status = time.monotonic(), "failed"
        request: _Request | None = None
        try:
            call.check()
            request = self._prepared(method, url, body, headers, call.bare)
            request.call, request.noun, request.seconds = call, noun, self.seconds
            request.stoppable = not noun or hold is None
            request.patience = None if hold is None else self.seconds + hold
            response = self._opener().open(request)
            status = str(response.status)
            if not 200 <= response.status < 300:
                return self._refusal(response, method, url, noun)
            result = (_read(response, read),)
            if noun not in ("", "cancel"):
                self.throttle.learn(None)
            return result
        except (OSError, http.client.HTTPException, ValueError) as error:
            return self.explained(error, method, url, call, noun, request)
        finally:
            _log("%s %s %s %d ms, attempt %d", method, lambda: _split(url).path[:200] or "/", status,
                 (time.monotonic() - started) * 1000, attempt + 1)

    def wait_for_retry(self, failure: ReplicateError, noun: str, attempt: int, call: _Call, retries: int | None = None) -> None:
        """Sleep until a request may be sent again, or raise the failure where it may not: the one rule for all of them."""
        known = isinstance(failure, (APIError, NetworkError)) and not failure._final
        safe = not noun and (failure.status is None or failure.status >= 500) or failure.status == 429 or not failure._sent
        if not (known and safe and attempt < (self.retries if retries is None else retries)):
            raise failure  # outside of any except block, so that no traceback leads to headers
        delay = failure.retry_after  # the server's word beats a guess
        delay = min(_WAIT_MOST, self.random() * _BACKOFF * 2 ** attempt if delay is None else delay)
        if failure.status == 429:
            self.throttle.learn(call.clock.now() + delay)
        call.sleep(delay)

    # who gets the token

    def _prepared(self, method: str, url: str, body: Any, headers: Mapping[str, Any], bare: bool) -> _Request:
        """The request for a URL: the only place where the token and the caller's own headers are added (promise 5)."""
        if not url[:8].lower().startswith(("http://", "https://")):
            raise ReplicateError(f"will not open {_short(self.redacted(url))}: http and https only")
        whole, base = {"User-agent": _AGENT, **headers}, self.client.base_url
        called = url.startswith(base + "/")
        here, api = (None, None) if called else (_origin(url), _origin(base))
        if here == api and not bare:
            whole.update(self.own_headers)
        if not bare and (here == api or here[0] == api[0] == "https" and _OURS.search(here[1]) and _OURS.search(api[1])):  # type: ignore[index]
            token = "" if "authorization" in self.own_names else self.client._token()
            if token:
                whole["Authorization"] = _Secret("Bearer " + token)
            elif called and "authorization" not in self.own_names:
                raise ReplicateError("no API token: set REPLICATE_API_TOKEN, or give Client(api_token=); get one at "
                                     + _TOKENS_PAGE)
        url = url if _PLAIN_URL.fullmatch(url) else urllib.parse.quote(url, safe="%/:=&?~#+!$,;'@()*[]")
        request = _Request(url, body, method=method)
        request.headers = {name.capitalize(): value for name, value in whole.items()}  # as urllib.request looks for them
        return request

    def redacted(self, text: str) -> str:
        """Text from outside without the token and the caller's own headers."""
        try:
            token = self.client._token()
        except ReplicateError:  # a malformed one is told elsewhere
            token = ""
        for secret in [token, *self.own_headers.values()]:
            text = text.replace(secret, "***") if len(secret) > 3 else text
        return text

    # what went wrong

    def _refusal(self, response: Any, method: str, url: str, noun: str) -> APIError:
        """The error that an answer tells of: problem details (RFC 9457), Cog's forms, or any text."""
        with response:
            try:
                body = _unpacked(response, response.read(_ERROR_MOST + 1024)).decode("utf-8", "replace")
                body = self.redacted(body)[:_ERROR_MOST]
            except (OSError, http.client.HTTPException, ValueError):
                body = ""
        told = [(name, self.redacted(value)) for name, value in response.headers.items()]
        for name, _ in told:
            del response.headers[name]
        for name, value in told:
            response.headers[name] = value
        status, path, facts = response.status, _split(url).path, _problem(body)
        facts.setdefault("title", self.redacted(response.reason or "error"))
        said = ": ".join(dict.fromkeys(facts[name] for name in ("title", "detail") if facts.get(name)))
        asked = response.headers.get("X-Request-Id") or response.headers.get("Replicate-Request-Id")
        text = f"{method} {path}: {status} {said}" + (f" (request id {asked})" if asked else "")
        text += f"; check REPLICATE_API_TOKEN: tokens come from {_TOKENS_PAGE}" if status == 401 else ""
        unknown = noun and (status >= 500 or status < 400 or status == 408)
        after = _retry_after(response.headers, body, status, time.time())
        return APIError(text + (_may_exist(noun) if unknown else ""), **facts, status=status, method=method, path=path,
                        headers=response.headers, request_id=asked, body=body, retry_after=after)

    def explained(self, error: BaseException, method: str, url: str, call: _Call, noun: str = "",
                  request: _Request | None = None) -> ReplicateError:
        """A failure of the network as one line for people: what failed, why, what to do."""
        call.check()
        where, path = _split(url)[1:3]
        facts: dict[str, Any] = {"method": method, "path": path, "_sent": request is None or request.sent}
        unknown = _may_exist(noun) if noun and facts["_sent"] else ""
        if call.over():
            timeout = call.expired(unknown)
            timeout.__dict__.update(facts)
            return timeout
        why = self.redacted(str(error)) or type(error).__name__
        if isinstance(error, urllib.error.HTTPError):  # a redirect that urllib will not follow
            error.close()
            facts["_final"] = True
        elif isinstance(error, socket.timeout):
            why = "no answer in time" if facts["_sent"] else "no connection in time"
        elif ssl is not None and isinstance(error, ssl.SSLCertVerificationError):
            facts["_final"] = True
            why = (f"the certificate of {where} is not trusted ({error.verify_message}); name your CA's file in "
                   "SSL_CERT_FILE, or give Client(ssl_context=)")
        elif isinstance(error, (http.client.IncompleteRead, http.client.RemoteDisconnected)):
            why = "the connection was closed before the answer was complete"
        elif "Tunnel connection failed" in why:
            facts["_final"] = bool(re.search(r"failed: 4\d\d", why))
        via = f" through the proxy {request.host}" if request is not None and request.host != where else ""
        return NetworkError(f"{method} {path or '/'} at {where}{via}: {why}{unknown}", **facts)

    # what urllib.request does for us

    def _opener(self) -> Any:
        """An opener for http and https alone, made anew when the proxy variables change."""
        variables = None if self.proxies is not None else [os.environ.get(name) for name in _PROXY_VARIABLES]
        if self.opener is None or variables != self.opener_for:
            opener, proxies = urllib.request.OpenerDirector(), None if self.proxies is None else dict(self.proxies)
            for handler in (urllib.request.ProxyHandler(proxies), _KeepAlive(self), _Redirects(self),
                            urllib.request.HTTPErrorProcessor()):
                opener.add_handler(handler)
            self.opener, self.opener_for = opener, variables
        return self.opener

    def connection(self, request: Any) -> Any:
        """A kept connection that is certain to be of use, else a new one.

        None of another process, of long ago, or with anything to read; a creating request takes only one just used.
        """
        key, fresh = (request.type, request.host, request._tunnel_host), bool(request.noun) or not self.retries
        idle = self.idle.get(key)
        while idle:
            try:
                connection = idle.pop()
            except IndexError:  # another thread was faster
                break
            age = time.time() - connection.kept_at
            if connection.process == os.getpid() and 0 <= age < (_FRESH if fresh else _KEPT_FOR) and not _readable(connection.sock):
                return connection
            connection.close()
        if request.type == "https" and ssl is None:
            raise ReplicateError("this Python was built without ssl: https cannot be used")
        if request.type == "https" and self.ssl_context is None:
            self.ssl_context = ssl.create_default_context()  # pyright: ignore[reportOptionalMemberAccess]
        connection = _HTTPS(request.host, context=self.ssl_context) if request.type == "https" else _HTTP(request.host)
        connection.key, connection.process = key, os.getpid()
        return connection

    def release(self, connection: Any, good: bool) -> None:
        """Keep a connection whose answer has been read to its end, or close it."""
        if connection.call.stop is not None:
            connection.call.stop.reading.discard(connection)
        idle = self.idle.setdefault(connection.key, [])
        if good and connection.sock is not None and len(idle) < _KEPT_MOST:
            connection.call, connection.kept_at = None, time.time()
            idle.append(connection)
        else:
            connection.close()


_AGENT = f"replicate-onefile/{__version__}"
_OURS, _PLAIN_URL = re.compile(r"(^|\.)replicate\.com$"), re.compile(r"[!#-;=?-\[\]_a-z~]*")
_PROXY_VARIABLES = ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY")  # urllib reads no_proxy at each request


def _close_all(idle: dict[Any, list[Any]]) -> None:
    for connections in idle.values():
        while connections:
            connections.pop().close()


def _may_exist(noun: str) -> str:
    look = " (replicate.predictions.list())" if noun == "prediction" else ""
    made = {"change": "made", "run": "started"}.get(noun, "created")
    return "" if noun == "cancel" else f"; the {noun} may have been {made}: look before you send it again{look}"


def _split(url: str) -> urllib.parse.SplitResult:
    """urlsplit, but an address that it does not understand has no parts."""
    try:
        return urllib.parse.urlsplit(url)
    except ValueError:
        return urllib.parse.SplitResult("", "", "", "", "")


def _origin(url: str) -> tuple[str, str, int | None]:
    """Scheme, host and port (RFC 6454). An address that readers could understand differently has no origin of ours."""
    parts = _split(url)
    if re.search(r"[@\\]", parts.netloc) or not re.search(r"(^|[^:\d]|\]):?\d*$|^[^:]*:\d+$", parts.netloc):
        return "", "", None
    return parts.scheme, parts.hostname or "", parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _retry_after(headers: Any, text: str, status: int, now: float) -> float | None:
    """Seconds that the server asks us to wait: Retry-After in seconds or as a date (RFC 9110, section 10.2.3); of a 429
    also ratelimit-reset, or the words "resets in ~30s". None where it says nothing."""
    after = (headers.get("Retry-After") or "").strip()
    if re.fullmatch(r"\d+(\.\d+)?", after):
        return float(after)
    try:
        import calendar
        import email.utils
        date: Any = email.utils.parsedate_tz(after)
        return max(0.0, calendar.timegm(date[:6]) - (date[9] or 0) - now)
    except (TypeError, ValueError, OverflowError, IndexError):
        found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*", headers.get("ratelimit-reset") or "") \
            or re.search(r"resets in ~?\s*(\d+(?:\.\d+)?)\s*s", text)
        return float(found[1]) if found and status == 429 else None


def _dotted(steps: Sequence[Any]) -> str:
    return ".".join(str(step) for step in steps) + ": " if steps else ""


def _problem(body: str) -> dict[str, str]:
    """title, detail, type and instance from an error's body; of HTML or text, what a person can read of it."""
    try:
        data = json.loads(body)
    except (ValueError, RecursionError):
        data = " ".join(re.sub(r"(?s)<(script|style).*?</\1>|<[^>]*>", " ", body).split())[:300]
    data = data if isinstance(data, dict) else {"detail": data or None}
    detail = data.get("detail", data.get("error"))
    if isinstance(detail, list):  # Cog: {"detail": [{"loc": ["body", "input", "times"], "msg": "..."}]}
        parts = [part if isinstance(part, dict) else {"msg": part} for part in detail]
        places = [part["loc"][1:] if isinstance(part.get("loc"), list) else [] for part in parts]
        detail = "; ".join(f"{_dotted(place)}{part.get('msg')}" for place, part in zip(places, parts))
    found = {"title": data.get("title"), "detail": detail, "type": data.get("type"), "instance": data.get("instance")}
    return {name: str(value) for name, value in found.items() if value is not None}


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

    muted = False

    def __init__(self, connection: Any, sock: Any) -> None:
        self.connection, self.sock, self.bare = connection, sock, sock.makefile("rb", buffering=0)

    def makefile(self, *mode: Any) -> _Reader:
        return _Reader(self, 1 << 16)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self.muted:
            return None
        self.sock.settimeout(self.connection.limit())
        count: int | None = self.bare.readinto(buffer)
        return count

    def close(self) -> None:
        self.bare.close()
        super().close()


class _Reader(io.BufferedReader):
    """Reads an answer, and notes what came after its end: such a connection is not used again."""

    surplus = False

    def close(self) -> None:
        if not self.closed:
            self.raw.muted = True  # type: ignore[attr-defined]
            self.surplus = bool(self.peek(1))
        super().close()


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

    owner: Any = None  # (transport, connection), once the head is here

    def __init__(self, connection: Any, sock: Any, debuglevel: int = 0, method: str | None = None) -> None:
        super().__init__(_Limited(connection, sock), method=method)  # type: ignore[arg-type]
        self.reader: Any = self.fp
        self.whole = False

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

    def is_event_stream(self) -> bool:
        return (self.headers.get("Content-Type") or "").partition(";")[0].strip().lower() == "text/event-stream"

    def blocks(self, size: int) -> Iterator[bytes]:
        """Yield the body as it arrives, never waiting for a block to be full; IncompleteRead where it is cut short."""
        left = math.inf if self.chunked or self.length is None else self.length
        while left > 0:  # HTTPResponse.read1 loses count of the length before Python 3.12
            block = self.read1(size) if left == math.inf else self.fp.read1(min(size, int(left)))
            if not block and left < math.inf:
                raise http.client.IncompleteRead(b"", int(left))
            if not block:
                break
            left -= len(block)
            yield block
        self.whole = True

    def close(self) -> None:
        owner, self.owner = self.owner, None
        whole = self.whole or self.isclosed()
        super().close()
        if owner is not None:
            owner[0].release(owner[1], whole and not self.will_close and not self.reader.surplus)


class _Connection:
    """What http.client's two connections lack: limits for each operation, and silence about what they send."""

    debuglevel = 0  # http.client would print the token
    call: Any
    seconds: float | None
    sock: Any

    def response_class(self, sock: Any, **options: Any) -> _Response:
        return _Response(self, sock, **options)

    def limit(self) -> Any:
        return self.call.left(self.seconds)

    def connect(self) -> None:
        self.timeout = self.limit()
        super().connect()  # type: ignore[misc]
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):  # a peer that has vanished is noticed in minutes, not hours
            if hasattr(socket, name):
                self.sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), 30)

    def send(self, data: Any) -> None:
        view = memoryview(data)
        for start in range(0, len(view), _BLOCK):  # sendall's time-out is for the whole of its data
            self.sock.settimeout(self.limit())
            self.sock.sendall(view[start:start + _BLOCK])


_HTTP: Any = type("_HTTP", (_Connection, http.client.HTTPConnection), {})
_HTTPS: Any = type("_HTTPS", (_Connection, http.client.HTTPSConnection), {}) if ssl is not None else None


class _KeepAlive(urllib.request.AbstractHTTPHandler):
    """Opens http and https URLs over connections that are kept."""

    def __init__(self, transport: _Transport) -> None:
        super().__init__()
        self.transport = transport

    def http_open(self, request: Any) -> Any:
        headers = {**request.headers, **request.unredirected_hdrs}
        connection = self.transport.connection(request)
        connection.call, connection.seconds = request.call, request.seconds
        if request._tunnel_host:
            proxy_headers = {"Proxy-Authorization": headers.pop("Proxy-authorization")} if "Proxy-authorization" in headers else {}
            if connection.sock is None:
                connection.set_tunnel(request._tunnel_host, headers=proxy_headers)
        try:
            response = self._exchange(connection, request, headers)
        except BaseException:
            connection.close()
            raise
        connection.seconds = None if request.patience is None else request.seconds
        response.owner, response.msg = (self.transport, connection), response.reason
        return response

    https_open = http_open
    http_request = https_request = urllib.request.AbstractHTTPHandler.do_request_

    def _exchange(self, connection: Any, request: Any, headers: dict[str, Any]) -> Any:
        call = request.call
        if connection.sock is None:
            connection.call = call.narrowed(request.seconds)
            connection.connect()
            connection.call = call
        request.sent, request.call.in_flight = True, bool(request.noun)
        if call.stop is not None and request.stoppable:
            call.stop.reading.add(connection)
        elif call.stop is not None:
            connection.call = call = call.narrowed(None)
            call.stop = None
        lines = [f"{request.get_method()} {request.selector or '/'} HTTP/1.1"]
        lines += [*(f"{name}: {value}" for name, value in headers.items()), "", ""]
        head, body = "\r\n".join(lines), request.data
        _check(head.count("\n") == len(lines) - 1 == head.count("\r"), "a header has a line end in it")
        try:
            if isinstance(body, bytes) or body is None:
                connection.send(head.encode() + (body or b""))
            else:
                for block in itertools.chain([head.encode()], body):
                    connection.send(block)
        except (BrokenPipeError, ConnectionResetError):  # it may have refused an upload half way, and said why
            if isinstance(body, bytes) or body is None:
                raise
        connection.call, connection.seconds = call.narrowed(request.patience), request.patience
        response = _Response(connection, connection.sock, method=request.get_method())
        response.begin()
        connection.call, request.call.in_flight = call, False
        return response


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows the redirects of a GET, each request with the headers that its own origin may have; the rest is refused."""

    def __init__(self, transport: _Transport) -> None:
        self.transport = transport

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if req.get_method() != "GET":
            return None
        fp.close()  # its body is of no interest, and may have no end
        if req.type == "https" and newurl[:6].lower() != "https:":
            raise ReplicateError(f"will not follow a redirect from https to {_short(self.transport.redacted(newurl))}")
        kept = {name: value for name, value in req.headers.items() if name in ("Accept", "Accept-encoding", "Last-event-id")}
        request = self.transport._prepared("GET", newurl, None, kept, req.call.bare)
        request.call, request.seconds, request.patience, request.noun = req.call, req.seconds, req.patience, ""
        return request

    http_error_308 = urllib.request.HTTPRedirectHandler.http_error_302

    def http_error_default(self, req: Any, fp: Any, code: int, msg: str, headers: Any) -> Any:
        return fp


def _unpacked(response: Any, body: bytes) -> bytes:
    if (response.headers.get("Content-Encoding") or "").lower() != "gzip":
        return body
    if zlib is None:
        raise ReplicateError("this Python was built without zlib: the compressed answer cannot be read", _final=True)
    try:
        return zlib.decompress(body, 31)
    except zlib.error as error:
        raise _Garbage(f"not gzip: {error}") from None


def _read(response: Any, how: str) -> Any:
    """An answer as what `how` says: open, nothing, bytes, text, or JSON: a list, an object, or a run with its id (and status)."""
    if how == "open":
        return response
    with response:
        body = _unpacked(response, response.read())
    if how in ("nothing", "bytes", "text"):
        return True if how == "nothing" else body if how == "bytes" else body.decode("utf-8", "replace")
    try:
        data: Any = json.loads(body)
    except (ValueError, RecursionError):
        data = None
    needed = {"run": ("id", "status"), "made": ("id",)}.get(how, ())
    fields: Any = data
    if not isinstance(data, list if how == "list" else dict) or not all(isinstance(fields.get(n), str) for n in needed):
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

        secret = _operation("GET /webhooks/default/secret", WebhookSigningSecret, "Return the secret that signs deliveries; "
                            "keep it, it rarely changes.")

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
        key = _webhook_key(secret if isinstance(secret, str) else getattr(secret, "key", None) or "")
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
        right = base64.b64encode(hmac.new(key, content, "sha256").digest())
        given = [part[3:].encode("utf-8", "replace") for part in found["webhook-signature"].split() if part.startswith("v1,")]
        if not sum(hmac.compare_digest(right, signature) for signature in given):
            raise WebhookError("no webhook-signature is that of this body under this secret")
        return True


def _webhook_key(secret: str) -> bytes:
    try:
        key = base64.b64decode(re.sub("^whsec_", "", secret.strip()), validate=True)
    except ValueError:
        key = b""
    _check(key, "secret is 'whsec_...', or what webhooks.default.secret() gives")
    return key


def _webhook_headers(headers: Any) -> dict[str, str]:
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
  replicate models get OWNER/NAME            any method of the API: RESOURCE VERB [ARG ...] [NAME=VALUE ...]
  replicate predictions list --all           as JSON, one a line

run, map and watch take --help. RESOURCE --help lists the verbs of models, predictions, trainings, deployments,
files, collections, hardware, account, webhooks; search QUERY searches. The token is that in REPLICATE_API_TOKEN.
Exit codes: 0 done; 1 the model failed, was canceled or timed out; 2 bad usage or input; 3 the API or the network
failed; 130 interrupted.
"""


_COMMANDS = ("run", "map", "watch", "models", "predictions", "trainings", "deployments", "files", "collections", "hardware",
             "account", "webhooks", "search")


class _Usage(Exception):
    """A command line that is wrong: its text goes to standard error."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0, 1, 2, 3 or 130 (see --help)."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        if not words or words[0] in ("-h", "--help", "help", "-V", "--version"):
            _write(f"replicate-onefile {__version__}\n" if words and words[0][-1] in "Vn" else _USAGE)
            return 0 if words else 2
        with _Interruptible():
            command = {"run": _run_command, "map": _map_command, "watch": _watch_command}.get(words[0])
            return command(_options(words[0]).parse_intermixed_args(words[1:])) if command else _resource_command(words)
    except (ModelError, PredictionTimeout) as error:
        return _told(error, 1)
    except (ValueError, TypeError, _Usage) as error:
        return _told(error, 2)
    except ReplicateError as error:
        return _told(error, 3)
    except KeyboardInterrupt:
        return _told("interrupted", 130)
    except SystemExit as error:  # argparse has said why
        return int(error.code or 0)
    except BrokenPipeError:  # the reader has left, as `head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # standard output cannot be written
        return _told(error, 3)


def _told(message: Any, code: int) -> int:
    _status("")
    print(f"replicate: {_printable(str(message), sys.stderr)}", file=sys.stderr)
    return code


class _Interruptible:
    """Makes SIGTERM what Ctrl-C is, while the command line runs in the main thread."""

    def __enter__(self) -> None:
        import signal
        self.before: Any = threading.current_thread() is threading.main_thread() and (
            signal.SIGTERM, signal.signal(signal.SIGTERM, signal.default_int_handler))

    def __exit__(self, *error: Any) -> None:
        import signal
        if self.before:
            signal.signal(*self.before)


def _printable(text: str, file: Any) -> str:
    """Text without control characters where it goes to a terminal, which would obey them; a pipe gets it as it is."""
    return re.sub(r"\x1b\[[0-?]*[ -/]*[@-~]|[\x00-\x08\x0b-\x1f\x7f-\x9f]", "\ufffd", text) if file.isatty() else text


def _write(text: str) -> None:
    text, encoding = _printable(text, sys.stdout), sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "replace").decode(encoding))
    sys.stdout.flush()


def _write_json(value: Any, indent: int | None = 2) -> None:
    _write(json.dumps(value, indent=indent, ensure_ascii=False) + "\n")


def _status(text: str, shown: list[str] = [""]) -> None:  # noqa: B006  # what is there now
    """A line on a terminal's standard error that the next one replaces; "" clears it."""
    if sys.stderr.isatty() and text + shown[0]:
        sys.stderr.write("\r\x1b[K" + text)
        sys.stderr.flush()
        shown[0] = text


def _options(command: str) -> Any:
    """The options of run, map and watch."""
    import argparse
    usage = {"run": "replicate run MODEL [key=value ...] [options]", "watch": "replicate watch ID [options]",
             "map": "replicate map MODEL [options] < inputs.jsonl > results.jsonl"}
    example = {"run": "replicate run replicate/hello-world text=Alice", "watch": "replicate watch gm3qorzdhgbfurvjtvhg6dckhu",
               "map": "echo '{\"text\": \"Alice\"}' | replicate map replicate/hello-world"}
    parser = argparse.ArgumentParser(usage=usage[command], add_help=command != "run", epilog="Example: " + example[command])
    add = parser.add_argument
    add("model" if command != "watch" else "id", nargs="?" if command == "run" else None,
        help="owner/name, owner/name:version, a version id, deployments/owner/name, or the address of a Cog container")
    if command == "run":
        add("inputs", nargs="*", metavar="key=value", help="an input; key=@file sends a file, key:=json is JSON")
        add("--help", "-h", action="store_true", help="show the model's inputs")
        add("--input", metavar="FILE", help="read inputs from a JSON object in a file, or - for standard input")
        add("--no-wait", action="store_true", help="print the prediction's id and return")
        add("--web", action="store_true", help="open the prediction's page in a browser")
    if command == "map":
        add("--concurrency", type=int, default=8, metavar="N", help="runs at a time (8)")
    else:
        add("-o", "--output", metavar="PATH", help="save files: a directory, a name, or - for standard output")
        add("--json", action="store_true", help="print the whole prediction")
        add("--logs", action="store_true", help="show the model's logs on standard error")
    add("--timeout", type=float, metavar="SECONDS", help="give up after so long" + (", and cancel" * (command != "watch")))
    if command != "watch":
        add("--cancel-after", metavar="DURATION", help="have the server cancel it, as 5m")
    return parser


def _run_command(options: Any) -> int:
    if options.model is None:
        _options("run").print_help()
        return 0 if options.help else 2
    try:
        description, openapi = _description(default_client, options.model)
    except APIError as error:
        if error.status == 401 or options.help:
            raise
        description, openapi = "", None  # then values are not typed, and the creation tells what is wrong
    if options.help:
        _write(_manual(options.model, description, openapi) + "\n")
        return 0
    job = _job(default_client, options.model, _typed(options, _inputs_of(openapi)), wait=False, timeout=options.timeout,
               cancel_after=options.cancel_after)
    _check(not (options.no_wait and job.target.cog), "--no-wait is for hosted models: a container keeps no predictions")
    prediction = job.start()
    if options.web and prediction and prediction._url("web"):
        import webbrowser
        webbrowser.open(prediction._url("web"))
    if options.no_wait:
        _write(json.dumps(prediction, indent=2, ensure_ascii=False) + "\n" if options.json else prediction.id + "\n")
        return 0
    try:
        return _follow(job, options, _part(openapi, "Output"))
    except KeyboardInterrupt:
        known = job.prediction.id if job.prediction else "nothing"
        return _told(f"interrupted: {'cancelled' if job.cancelled else 'could not cancel'} {known}", 130)


def _watch_command(options: Any) -> int:
    job = _Job(default_client, _Target(""), None, timeout=options.timeout)
    job.prediction = default_client.predictions.get(options.id)
    job.cancel = lambda call: None  # type: ignore[method-assign]  # somebody else's to cancel
    try:
        return _follow(job, options, {})
    except KeyboardInterrupt:
        return _told(f"{options.id} goes on; look again with: replicate watch {options.id}", 130)


def _follow(job: Any, options: Any, schema: Mapping[str, Any]) -> int:
    """Show a run to its end as the options say."""
    logged, options.began = [0], False  # how much of the logs was shown; whether text was, which a status would erase

    def show(run: Any) -> None:
        logs = run.get("logs") or ""
        if options.logs and len(logs) > logged[0]:
            _status("")
            sys.stderr.write(_printable(logs[logged[0]:], sys.stderr))
            logged[0] = len(logs)
        done = f", {run.progress.percentage:.0%}" if run.progress else ""
        seconds = job.call.clock.now() - job.call.started
        _status(f"{run.get('status')} {seconds:.0f} s{done}" if run._running and not options.began else "")

    job.call.watch = show
    if job.prediction:
        show(job.prediction)
    text = schema.get("x-cog-array-display") == "concatenate"
    text = text or not schema and bool(job.prediction and job.prediction._url("stream"))
    try:
        if text and not options.json and not options.output:
            return _write_events(job.events(), options)
        output = job.output()
    except ModelError as error:
        if options.json:
            _write_json(error.prediction)
        raise
    if options.json:
        _write_json(job.prediction)
    elif options.output:
        _save(output, options.output)
    else:
        _write(_as_text(output, schema))
    return 0


def _write_events(events: Iterator[ServerSentEvent], options: Any) -> int:
    """Text as it comes; files a line each."""
    last = "\n"
    try:
        for event in events:
            if str(event):
                _status("")
                options.began = True
                last = event.data + "\n" if isinstance(event.data, FileOutput) else event.data
                _write(last)
    finally:
        _write("" if last.endswith("\n") else "\n")
        events.close()  # type: ignore[attr-defined]
    return 0


def _found_files(output: Any) -> list[FileOutput]:
    inside = output.values() if isinstance(output, dict) else output if isinstance(output, list) else ()
    return [output] if isinstance(output, FileOutput) else [file for item in inside for file in _found_files(item)]


def _save(output: Any, where: str) -> None:
    """Put the files, or what else there is, where -o says; print where each file went."""
    files = _found_files(output)
    if where == "-" or not files and os.path.isdir(where):
        for file in files:
            sys.stdout.buffer.writelines(file.iter_bytes())
        _write("" if files else _as_text(output, {}))
        return
    try:
        if not files:  # a text is saved as a file is
            FileOutput("data:," + urllib.parse.quote(_as_text(output, {}))).save(where)
        for file in files:
            where_to = where if len(files) == 1 else os.path.join(where, "")
            _write(f"{file.save(where_to)}\n")
    except ReplicateError:
        _write(_as_text(output, {}))  # paid for, and not to be lost
        raise


def _as_text(output: Any, schema: Mapping[str, Any]) -> str:
    """An output for people and pipes: text as it is, files a line each, everything else as indented JSON."""
    if isinstance(output, list) and output and all(isinstance(item, str) for item in output):
        lines = isinstance(output[0], FileOutput) or schema.get("x-cog-array-display", schema and "list") == "list"
        output = ("\n" if lines else "").join(output)
    if isinstance(output, str):
        return output if output.endswith("\n") else output + "\n"
    return json.dumps(output, indent=2, ensure_ascii=False) + "\n"


def _map_command(options: Any) -> int:
    fields = _inputs_of(_description(default_client, options.model)[1])
    drawn: deque[Any] = deque()
    failed = done = 0

    def inputs() -> Iterator[Any]:
        for number, line in enumerate(sys.stdin, 1):
            if line.strip():
                try:
                    value = json.loads(line)
                    faults = _faults(value, fields) if isinstance(value, dict) else ["it is no JSON object"]
                except ValueError:
                    value, faults = line.rstrip("\n"), ["it is not JSON"]
                drawn.append((number, value))
                yield ValueError(f"line {number}: {'; '.join(faults)}") if faults else value

    for output in default_client.map(options.model, inputs(), concurrency=options.concurrency, return_exceptions=True,
                                     timeout=options.timeout, cancel_after=options.cancel_after):
        (number, input), bad = drawn.popleft(), isinstance(output, Exception)
        done, failed = done + 1, failed + bad
        _write_json({"line": number, "input": input, "error" if bad else "output": str(output) if bad else output}, None)
        _status(f"{done} done, {failed} failed")
    _status("")
    print(f"{done} done, {failed} failed", file=sys.stderr)
    return 1 if failed else 0


def _typed(options: Any, fields: dict[str, _Field]) -> dict[str, Any]:
    """The inputs of a command line as the schema types them. Raises _Usage with all that is wrong."""
    input: dict[str, Any] = {}
    wrong: list[str] = []
    literal: set[str] = set()
    if options.input:
        try:
            data = json.loads(_content(options.input, ""))
            _check(isinstance(data, dict), "it holds no JSON object")
            input.update(data)
        except ValueError as error:
            wrong.append(f"--input {options.input}: {error}")
    given: set[str] = set()
    for word in options.inputs:
        name, equals, text = word.partition("=")
        field = fields.get(name.rstrip(":"))
        try:
            _check(equals, "is to be written key=value")
            if name.endswith(":"):
                name = name[:-1]
                literal.add(name)
                value = json.loads(text)
            else:
                value = _read_value(field, name, text)
            if name in given:
                _check(isinstance(input.get(name), list) and (field is None or "array" in field.types), "is given twice")
                value = input[name] + (value if isinstance(value, list) else [value])
            input[name] = value
        except json.JSONDecodeError:
            wrong.append(f"{name} is not JSON")
        except ValueError as error:
            wrong.append(f"{name} {error}")
        given.add(name)
    found = _faults(input, fields, literal)
    wrong += [fault for fault in found if not any(fault == f"{name} is required" for name in given)]
    if wrong:
        raise _Usage("\n  ".join(["the input is wrong:", *wrong]) if len(wrong) > 1 else wrong[0])
    return input


def _content(path: str, literal: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}{literal}") from None


def _read_value(field: _Field | None, name: str, text: str) -> Any:
    """One value of the command line by its field, None where there is no schema: then it is JSON, or else text."""
    if text.startswith("@"):
        data = _content(text[1:], f"; for a text that begins with @ write {name}:='{json.dumps(text)}'")
        line = data.strip().decode("utf-8", "replace") if text == "@-" and len(data) < 4096 else ""
        if field is None or field.file:
            import pathlib
            value = line if _is_file(line) else data if text == "@-" else pathlib.Path(text[1:])
            return [value] if field and field.types == ["array"] else value
        text = data.decode("utf-8", "replace")
    if field is not None and (field.types or field.choices):
        return None if text == "null" and field.nullable and "string" not in field.types else field.parse(text)
    try:
        return json.loads(text)
    except ValueError:
        return text


def _manual(ref: Any, description: str, openapi: Any) -> str:
    """A model's inputs and output for people, wrapped to the terminal's width."""
    import shutil
    import textwrap
    lines, width = [str(getattr(ref, "id", ref))], max(40, shutil.get_terminal_size().columns - 2)

    def add(text: str, indent: str = "") -> None:
        lines.extend(textwrap.wrap(" ".join(text.split()), width, initial_indent=indent, subsequent_indent=indent))

    add(description)
    fields, output = _inputs_of(openapi), _part(openapi, "Output")
    lines += ["", "Inputs:" if fields else "Its inputs are not known: there is no schema. Values are JSON, or else text."]
    for field in fields.values():
        facts = ["/".join(field.types) or "any", "file or URL" * field.file, "secret" * field.secret,
                 f"from {field.least}" * (field.least is not None), f"to {field.most}" * (field.most is not None),
                 "required" * field.required]
        if field.default is not None and not field.secret:
            facts.append("default " + _short(field.default))
        facts += ["or null" * field.nullable]
        add(f"{field.name}  ({', '.join(fact for fact in facts if fact)})", "  ")
        add(field.description, "      ")
        add("one of: " + ", ".join(str(choice) for choice in field.choices) if field.choices else "", "      ")
    kind, items = str(output.get("type") or "any value"), output.get("items") or {}
    kind = "a file" if output.get("format") == "uri" else kind if kind != "array" else "text, as it is made" \
        if output.get("x-cog-array-display") else f"a list of {'file' if items.get('format') else items.get('type', 'value')}s"
    return "\n".join(lines + ["", f"Output: {kind}"] * bool(output))


def _resource_command(words: list[str]) -> int:
    """RESOURCE VERB [ARG ...] [NAME=VALUE ...]: a method of the client, found by its name, called by its signature."""
    import inspect
    asked, every = not {"-h", "--help"}.isdisjoint(words), "--all" in words
    words = [word for word in words if word not in ("-h", "--help", "--all")]
    thing: Any = default_client
    path: list[str] = []
    while words and isinstance(thing, (Client, Namespace)):
        found = None if words[0].startswith(("_", "async_")) else getattr(thing, words[0], None)
        if not (isinstance(found, Namespace) or callable(found) and (path or words[0] == "search")):
            break
        thing, path = found, path + [words.pop(0)]
    if not path:
        raise _Usage(f"there is no command {words[0] if words else ''!r}" + _nearest(words[0] if words else "", _COMMANDS))
    if isinstance(thing, Namespace):
        verbs = {verb: getattr(thing, verb) for verb in dir(thing) if not verb.startswith(("_", "async_"))}
        listing = "\n".join(f"  {' '.join(path)} {verb:12} {(inspect.getdoc(one) or '').splitlines()[0]}"[:118]
                            for verb, one in verbs.items())
        if not asked:
            raise _Usage(f"there is no {' '.join(path)} {words[0]!r}" + _nearest(words[0], list(verbs)) if words
                         else f"{' '.join(path)} needs one of its verbs")
        _write(listing + "\n")
        return 0
    method: Any = thing
    signature = inspect.signature(method)
    if asked:
        _write(f"replicate {' '.join(path)} [ARG ...] [NAME=VALUE ...]\n\n{inspect.getdoc(thing)}\n")
        return 0
    given: list[Any] = []
    named: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if equals and re.fullmatch(r"\w+:?", name):
            kind = str(getattr(signature.parameters.get(name), "annotation", ""))
            named[name.rstrip(":")] = text if kind in ("str", "str | None") else _read_value(None, name, text)
        else:
            given.append(json.loads(word) if word[:1] in "{[" else word)
    result = method(*given, **named)
    if every and isinstance(result, Page):
        for item in result.iter_all():
            _write_json(item, None)
    elif isinstance(result, bytes):
        sys.stdout.buffer.write(result)
        sys.stdout.flush()
    elif isinstance(result, Page):
        _write_json({"previous": result.previous, "next": result.next, "results": result})
    else:
        _write(_as_text(result, {}))
    return 0


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
for _name in ("__about__ account client collection deployment exceptions file hardware helpers identifier model pagination "
              "prediction resource run schema stream training version webhook").split():  # the modules of 1.x: all this one
    sys.modules[f"{__name__}.{_name}"] = globals().setdefault(_name, sys.modules[__name__]) and sys.modules[__name__]

if __name__ == "__main__":
    sys.exit(main())
