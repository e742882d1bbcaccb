# SPDX-License-Identifier: MIT
"""Tests for replicate.py, and the stand-in for the Replicate API that they run against.

Standard library only. Everything goes over real sockets to a server on loopback, which
keeps to the OpenAPI file of the API and to answers that were recorded, never to what
the client happens to send: it shares no code and no pattern with the client.

    python -m unittest                      run the tests
    python test_replicate.py serve          serve the stand-in, print what to export
    python test_replicate.py run MODEL ...  the command line against the stand-in, or
                                            any other command: no token, no network
    python test_replicate.py bench          import time, cold run and cost per request

Contents: The stand-in: requests and replies; The stand-in: models, and what a run of
each will do; The stand-in: runs in time; The stand-in: the operations of the API; The
stand-in: Cog's own server, as seen on 0.23.1 (`old`: on 0.16); The stand-in: the
server; The stand-in: its commands; The base of the tests; Promise 1: never billed
twice; Promises 2 and 3: never lost, never orphaned; Promise 4: never called done when
it is not; Promise 5: never leaks the token; Promise 6: never opens what it should not;
Promise 7: never half a file; Promise 8: never hangs, never swells; Promise 9: one error
family; Promises 10 and 11: unknown fields survive, and never faster than allowed;
Section 4: public names, their calls and their types; Section 5: running; Section 6:
batches; Section 7: resources; Section 8: outputs; Section 9: inputs; Section 10:
streams; Section 11: self-hosted models; Section 12: the command line; Section 13: speed
and scale; Webhooks: the Standard Webhooks scheme and its published vector; The stand-in
against the OpenAPI file; Copies in places of all kinds, and AWS Lambda; The README, the
package, the source.
"""

from __future__ import annotations

import argparse
import ast
import asyncio
import base64
import calendar
import collections
import contextlib
import contextvars
import copy
import datetime
import doctest
import email
import email.message
import email.utils
import functools
import gc
import gzip
import hashlib
import heapq
import hmac
import http.client
import http.server
import importlib.util
import inspect
import io
import itertools
import json
import logging
import math
import operator
import os
import pathlib
import pickle
import pydoc
import queue
import random
import re
import runpy
import selectors
import shlex
import shutil
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import types
import unittest
import warnings
import zipfile
import zlib
from collections import namedtuple
from unittest import mock
from urllib.parse import parse_qs, unquote, unquote_to_bytes, urlencode, urlsplit
from urllib.request import urlretrieve

import replicate
from replicate import (
    APIError,
    Client,
    FileOutput,
    ModelError,
    NetworkError,
    Prediction,
    PredictionTimeout,
    ReplicateError,
    WebhookError,
)

# --------------------------------------------------------------------------------------
# The stand-in: requests and replies
# --------------------------------------------------------------------------------------


class Seen:
    """One request as the server received it, and its reply."""

    reply = None

    def __init__(self, method, target, headers, body, complete, connection):
        self.method, self.target, self.headers = method, target, headers
        self.path, _, query = target.partition("?")
        self.query = parse_qs(query, keep_blank_values=True)
        self.body, self.complete, self.connection = body, complete, connection
        self.at = time.monotonic()

    @property
    def json(self):
        return json.loads(self.body)

    def __repr__(self):
        return f"<Seen {self.method} {self.target}, connection {self.connection}>"


class Reply:
    """What to put on the wire: an answer, or any fault that a network can produce.

    json, body     the content; pieces: an iterable of bytes instead, each a chunk
    raw            bytes in place of a whole answer; then the connection is closed
    delay, pause   seconds before the first byte; between pieces (of a body: bytes)
    cut            the connection ends after so many bytes of the body
    close, reset   "Connection: close"; a TCP reset for an answer (with cut: after it)
    interim        codes of 1xx heads sent first; after: surplus bytes behind the answer
    held           a Hold: the answer comes when that is over; no thread waits for it
    """

    done = held = None  # done is called once the reply has been sent, or could not be

    def __init__(
        self,
        status=200,
        json=None,
        body=None,
        headers=None,
        *,
        raw=None,
        pieces=None,
        delay=0.0,
        pause=0.0,
        cut=None,
        close=False,
        reset=False,
        interim=(),
        after=None,
    ):
        self.status, self.raw, self.pieces = status, raw, pieces
        self.delay, self.pause, self.cut, self.close = delay, pause, cut, close
        self.reset, self.interim, self.after = reset, interim, after
        self.headers = dict(headers or {})
        content = body is not None or raw is not None or pieces is not None
        self.is_json = not content and status not in (204, 304)
        self.body = _dump(json) if self.is_json else body or b""
        if self.is_json:
            problem = "problem+" if status >= 400 else ""
            self.default("Content-Type", f"application/{problem}json")

    @classmethod
    def problem(cls, status, detail, **more):
        """An error as the API words it."""
        title = more.pop("title", http.client.responses.get(status, "Error"))
        headers = more.pop("headers", None)
        return cls(
            status,
            dict({"title": title, "detail": detail, "status": status}, **more),
            headers=headers,
        )

    @classmethod
    def throttled(cls, seconds, retry_after=True):
        """A 429 that tells the pause in its text and in ratelimit-reset."""
        words = f"Request was throttled. Your rate limit resets in ~{seconds}s."
        headers = {"ratelimit-remaining": "0", "ratelimit-reset": str(seconds)}
        if retry_after:
            headers["Retry-After"] = str(seconds)
        return cls(429, {"detail": words, "status": 429}, headers=headers)

    def default(self, name, value):
        if name.lower() not in [n.lower() for n in self.headers]:
            self.headers[name] = value

    def head(self, **more):
        self.default("Date", email.utils.formatdate(usegmt=True))
        words = http.client.responses.get(self.status, "")
        lines = [f"HTTP/1.1 {self.status} {words}"]
        headers = dict(self.headers, **more).items()
        lines += [f"{name}: {value}" for name, value in headers]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Problem(Exception):
    """Raised by an operation to answer with an error."""

    def __init__(self, status, detail, **more):
        super().__init__(detail)
        self.reply = Reply.problem(status, detail, **more)


TEXT_TYPE = "text/plain; charset=utf-8"
TEXT, JSON = {"Content-Type": TEXT_TYPE}, {"Content-Type": "application/json"}


def _dump(value):
    return json.dumps(value, ensure_ascii=False).encode("utf-8")


def _time(seconds, digits=6):
    """An RFC 3339 time; the API writes 3 to 9 digits of a second."""
    fraction = ("%.9f" % (seconds % 1))[2 : 2 + digits]
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds)) + fraction + "Z"


def _parse_time(text):
    """Seconds since the epoch of an RFC 3339 time with any number of digits."""
    found = re.fullmatch(
        r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(\.\d+)?(?:Z|([+-])(\d\d):(\d\d))", text
    )
    if not found:
        raise Problem(400, f"Enter a valid date/time, not {text}")
    date, fraction, sign, hours, minutes = found.groups("0")
    parts = time.strptime(date.replace(" ", "T"), "%Y-%m-%dT%H:%M:%S")
    offset = int(hours) * 3600 + int(minutes) * 60
    offset = offset if sign == "-" else -offset
    return calendar.timegm(parts) + float(fraction) + offset


def _new_id():
    return base64.b32encode(os.urandom(16)).decode("ascii").rstrip("=").lower()


def _server_sent(event, data, identity=None):
    """One event; only CR and LF end a line, so a U+2028 stays as it is."""
    lines = ["event: " + event] + (["id: " + identity] if identity else [])
    lines += ["data: " + line for line in re.split("\r\n|\r|\n", data)]
    return ("\n".join(lines) + "\n\n").encode("utf-8")


def file_reply(seen, data, kind="application/octet-stream", etag=None, **faults):
    """A file, or the part of it that is asked for (RFC 9110, section 14)."""
    tag = etag or f'"{hashlib.md5(data).hexdigest()}"'
    headers = {"Content-Type": kind, "ETag": tag, "Accept-Ranges": "bytes"}
    first, dash, last = seen.headers.get("Range", "").partition("=")[2].partition("-")
    fresh = seen.headers.get("If-Range", tag) == tag
    if not (dash and first.isdigit() and fresh):
        return Reply(body=data, headers=headers, **faults)
    if int(first) >= len(data):
        return Reply(416, body=b"", headers={"Content-Range": f"bytes */{len(data)}"})
    part = data[int(first) : int(last) + 1 if last else None]
    end = int(first) + len(part) - 1
    headers["Content-Range"] = f"bytes {first}-{end}/{len(data)}"
    return Reply(206, body=part, headers=headers, **faults)


# --------------------------------------------------------------------------------------
# The stand-in: models, and what a run of each will do
# --------------------------------------------------------------------------------------

TOKENS = (
    "Hel",
    "lo",
    ", w\u00f6rld",
    " \u2014\n",
    "one\u2028line",
    " \u65e5\u672c\u8a9e",
    " \U0001f642",
    ' {"json": 1}',
    "\n\n",
    " https://example.com/a.png\n",
    "  two  ",
    "end.",
)

ITERATOR = {
    "type": "array",
    "items": {"type": "string"},
    "title": "Output",
    "x-cog-array-type": "iterator",
    "x-cog-array-display": "concatenate",
}

FILES = {
    "type": "array",
    "items": {"type": "string", "format": "uri"},
    "title": "Output",
}

FILE = {"type": "string", "format": "uri", "title": "Output"}
SIZES = {"type": "array", "items": {"type": "integer"}, "title": "Output"}


def schema(inputs, output, required=(), choices=None, streaming=False):
    """A version's openapi_schema: a choice is an allOf with a $ref."""
    properties = {}
    for order, (name, spec) in enumerate(inputs.items()):
        named = dict(spec, **{"x-order": order})
        if name in (choices or {}):
            named["allOf"] = [{"$ref": "#/components/schemas/" + name}]
        else:
            named.setdefault("title", name.replace("_", " ").title())
        properties[name] = named
    wanted = {"type": "object", "title": "Input", "properties": properties}
    if required:
        wanted["required"] = list(required)
    schemas = {"Input": wanted, "Output": output}
    for name, members in (choices or {}).items():
        kind = "integer" if isinstance(members[0], int) else "string"
        schemas[name] = {
            "enum": list(members),
            "type": kind,
            "title": name,
            "description": "An enumeration.",
        }
    request = {
        "type": "object",
        "title": "PredictionRequest",
        "properties": {"input": {"$ref": "#/components/schemas/Input"}},
    }
    schemas["PredictionRequest"] = request
    post = {"summary": "Predict", "operationId": "predict_predictions_post"}
    if streaming:
        post["x-cog-streaming"] = True
    return {
        "openapi": "3.0.2",
        "info": {"title": "Cog", "version": "0.1.0"},
        "paths": {"/predictions": {"post": post}},
        "components": {"schemas": schemas},
    }


JSON_TYPES = {
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "boolean": (bool,),
    "array": (list,),
    "object": (dict,),
}


def _has_type(value, kind):
    """Whether a JSON value is of a schema's type; true is no number."""
    return isinstance(value, JSON_TYPES[kind]) and (
        kind == "boolean" or not isinstance(value, bool)
    )


def input_faults(openapi, given):
    """What is wrong with an input: (name, kind, words); unknown names are not."""
    schemas = openapi["components"]["schemas"]
    wanted = schemas["Input"]
    for name in wanted.get("required", ()):
        if name not in given:
            yield name, "required", "is required"
    for name, value in given.items():
        spec = dict(wanted["properties"].get(name, {}))
        for reference in spec.get("allOf", ()):
            spec.update(schemas[reference["$ref"].rsplit("/", 1)[1]])
        if value is None and spec.get("nullable"):
            continue
        if "type" in spec and not _has_type(value, spec["type"]):
            yield name, "invalid_type", "must be of type " + str(spec["type"])
        elif "enum" in spec and value not in spec["enum"]:
            yield (
                name,
                "enum",
                "must be one of " + ", ".join(map(json.dumps, spec["enum"])),
            )
        elif "minimum" in spec and value < spec["minimum"]:
            yield name, "number_gte", "must be >= " + str(spec["minimum"])
        elif "maximum" in spec and value > spec["maximum"]:
            yield name, "number_lte", "must be <= " + str(spec["maximum"])


def png(width, height, seed):
    """A whole PNG file in one colour."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data))
            + kind
            + data
            + struct.pack(">I", zlib.crc32(kind + data))
        )

    row = b"\0" + hashlib.sha256(seed.encode("utf-8")).digest()[:3] * width
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(row * height, 1))
        + chunk(b"IEND", b"")
    )


def bars(total):
    """Log lines as tqdm writes them."""
    for done in range(total + 1):
        share = done / total
        bar = ("\u2588" * int(10 * share) + ("\u258c" if 10 * share % 1 else "")).ljust(
            10
        )
        left = f"00:{int((total - done) / 8.1):02d}, 8.1it/s" if done else "?, ?it/s"
        done_at = f"{done}/{total} [00:{done // 8:02d}<{left}]"
        yield f"{int(100 * share):3d}%|{bar}| {done_at}\n"


class Plan:
    """What one run will do, in the model's own seconds: logs and items spread evenly.

    early   a held request gets the output, as data: URIs, while it is still processing
    leaps   two looks at the run bring it to its third and to its end: for the README
    """

    def __init__(
        self,
        output=None,
        *,
        start=0.02,
        seconds=0.1,
        logs=(),
        items=None,
        error=None,
        files=None,
        early=False,
        leaps=False,
    ):
        self.output = items if items is not None else output
        self.start, self.seconds, self.error = start, seconds, error
        self.grows, self.files = items is not None, files or {}
        self.early, self.leaps = early, leaps
        events = self._spread("logs", logs) + self._spread("output", items or ())
        self.events = sorted(events, key=lambda event: event[0])

    def _spread(self, kind, values):
        values = list(values)
        step = self.seconds / (len(values) + 1)
        return [
            (self.start + step * number, kind, value)
            for number, value in enumerate(values, 1)
        ]

    @property
    def total(self):
        return self.start + self.seconds


def plan_hello(given, base, api):
    return Plan("hello " + given["text"], start=0.1, seconds=0.1)


def plan_words(given, base, api):
    words = [
        TOKENS[n % len(TOKENS)] for n in range(given.get("max_tokens", len(TOKENS)))
    ]
    return Plan(
        items=words,
        seconds=len(words) / 10,
        logs=["Prompt: {}\n".format(given["prompt"])],
    )


def plan_sketch(given, base, api):
    size = given.get("width", 64), given.get("height", 64)
    files = {
        f"out-{n}.png": png(*size, seed=given["prompt"] + str(n))
        for n in range(given.get("num_outputs", 1))
    }
    logs = [f"Using seed: {given.get('seed') or 1234}\n"] + list(bars(20))
    return Plan(
        [f"{base}/{name}" for name in files],
        seconds=0.5,
        logs=logs,
        files=files,
        early=True,
    )


def pictures(name, field="prompt", **facts):
    """The plan of a model that draws a picture, or several where a name has a {}."""

    def plan(given, base, api):
        count = given.get("num_outputs", 3 if "items" in facts else 1)
        files = {
            name.format(n): png(32, 32, f"{given[field]}{n}") for n in range(count)
        }
        urls = [f"{base}/{file}" for file in files]
        if "items" in facts:
            return Plan(files=files, **dict(facts, items=urls))
        return Plan(urls if "{" in name else urls[0], files=files, **facts)

    return plan


def plan_fails(given, base, api):
    return Plan(
        items=["partial ", "output"],
        logs=["loading\n", "Traceback: boom\n"],
        error="boom: out of memory",
    )


def plan_slow(given, base, api):
    seconds = given.get("seconds", 30)
    return Plan(f"slept {seconds} s", seconds=seconds, logs=bars(20))


def plan_object(given, base, api):
    return Plan(
        {
            "text": "an object",
            "file": base + "/out-0.png",
            "nested": {"files": [base + "/out-1.txt"]},
            "n": 1,
        },
        files={
            "out-0.png": png(8, 8, "object"),
            "out-1.txt": "na\u00efve\n".encode("utf-8"),
        },
    )


def plan_files(given, base, api):
    return Plan([api.size_of(address) for address in given["files"]])


def plan_echo(given, base, api):
    return Plan(given, start=0, seconds=0)


LINKS = "github_url paper_url license_url cover_image_url"


class Model:
    """A model of the service; `plan(input, base, api)` tells what a run does."""

    def __init__(
        self,
        name,
        plan,
        openapi=None,
        example=None,
        *,
        official=False,
        streams=False,
        versions=((None, "0.16.7"), (None, "0.9.4")),
        about="",
        owned=False,
        age=40,
    ):
        self.owner, self.name = name.split("/")
        self.plan, self.official, self.streams = plan, official, streams
        self.owned, self.example, self.runs = owned, example, 1000
        self.fields = {
            "description": about,
            "visibility": "private" if owned else "public",
            **dict.fromkeys(LINKS.split()),
        }
        self.created_at = _time(1650000000 + 86400 * age)
        self.readme = f"# {name}\n\n{about}\n"
        self.versions = [
            self._version(number, openapi, *pair, age=age)
            for number, pair in enumerate(versions)
        ]

    @property
    def id(self):
        return f"{self.owner}/{self.name}"

    def _version(self, number, openapi, identity, cog_version, age):
        made = _time(1690000000 - 86400 * (age % 7) - 864000 * number)
        unique = identity or hashlib.sha256(f"{self.id} {number}".encode()).hexdigest()
        return {
            "id": unique,
            "created_at": made,
            "cog_version": cog_version,
            "openapi_schema": openapi,
        }

    def find_version(self, identity):
        return next(
            (version for version in self.versions if version["id"] == identity), None
        )

    def state(self, api):
        example = api.examples.get(self.id)
        return dict(
            self.fields,
            url="https://replicate.com/" + self.id,
            owner=self.owner,
            name=self.name,
            is_official=self.official,
            run_count=self.runs,
            default_example=example and example.state(),
            latest_version=self.versions[0] if self.versions else None,
        )


@functools.lru_cache(None)
def fields(text):
    """The inputs of a model, a line each: a name, its type, and more of its schema."""
    known = {
        "any": {},
        "uri": {"type": "string", "format": "uri"},
        "secret": {"type": "string", "format": "password", "x-cog-secret": True},
    }
    found = {}
    for line in filter(None, text.splitlines()):
        name, kind, *more = line.split(None, 2)
        plain = kind.strip("[]")
        spec = known.get(plain, {"type": plain})
        spec = {"type": "array", "items": spec} if plain != kind else spec
        found[name] = dict(spec, **json.loads(more[0] if more else "{}"))
    return found


PROMPT = 'prompt string {"description": "What to make"}\n'
SEVERAL = (
    PROMPT
    + """
num_outputs integer {"minimum": 1, "maximum": 4, "default": 1}
"""
)
SKETCH = (
    SEVERAL
    + """
width integer {"minimum": 16, "maximum": 1024, "default": 64}
height integer {"minimum": 16, "maximum": 1024, "default": 64}
style any {"default": "plain", "description": "How to draw"}
image uri {"description": "Picture to start from"}
seed integer {"nullable": true}
api_key secret
"""
)
LLAMA_INPUT = (
    PROMPT
    + """
max_tokens integer {"minimum": 0, "maximum": 1000, "default": 12}
"""
)
TRAINED = SEVERAL + "input_images uri\ntoken_string string\nmax_train_steps integer"
HELLO_INPUT = """text string {"description": "Text to prefix with 'hello '"}"""
HELLO = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
CLIPDRAW = "5797a99edc939ea0e9242d5e8c9cb3bc7d125b1eac21bda852e5cb79ede2cd9b"


def standard_models():
    """The models of the stand-in: those of the tests, and all that the README names."""
    some, anything = {"prompt": "a fox"}, {"title": "Output"}
    text = dict(anything, type="string")
    draws = pictures("out-0.png", start=30, seconds=60, logs=bars(10), leaps=True)
    growing = pictures("out-{}.png", "prompts", items=(), seconds=0.6, logs=bars(6))
    one, more = pictures("out.png"), pictures("out-{}.png")
    poem = Plan(items=["Soft wool", ", soft", " steps"])
    no_memory = Plan(logs=["CUDA out of memory\n"], error="CUDA out of memory")
    rider = Plan("an astronaut riding a horse")

    def model(name, plan, inputs, output, needs=(), choices=None, **facts):
        openapi = schema(fields(inputs), output, needs, choices)
        return Model(name, plan, openapi, **facts)

    def official(name, plan, inputs, output, needs=(), **facts):
        return model(name, plan, inputs, output, needs, official=True, **facts)

    def versioned(name, identity, plan, inputs, output, cog="0.16.7", **facts):
        facts["versions"] = [(identity, cog)]
        return model(name, plan, inputs, output, **facts)

    return [
        model(
            "replicate/hello-world",
            plan_hello,
            HELLO_INPUT,
            text,
            ["text"],
            example={"text": "Alice"},
            age=1,
            about="A tiny model that says hello",
            versions=[(HELLO, "0.3.9"), (None, "0.3.0"), (None, "0.2.0")],
        ),
        official(
            "meta/llama-tiny",
            plan_words,
            LLAMA_INPUT,
            ITERATOR,
            ["prompt"],
            example=some,
            streams=True,
            about="A language model",
            age=9,
        ),
        model(
            "replicate/slow-words",
            plan_words,
            LLAMA_INPUT,
            ITERATOR,
            ["prompt"],
            example=some,
            about="Words, slowly",
            age=4,
        ),
        official(
            "stability/sketch",
            plan_sketch,
            SKETCH,
            FILES,
            ["prompt"],
            choices={"style": ("plain", "ink", "None")},
            example=some,
            about="Makes images from text",
            age=12,
        ),
        Model("acme/hot-dog-detector", plan_hello, versions=(), owned=True, age=30),
        official("test/fails", plan_fails, "", ITERATOR, streams=True),
        official("test/slow", plan_slow, 'seconds number {"default": 30}', text),
        official("test/echo", plan_echo, "", anything),
        official("test/files", plan_files, "files [uri]", SIZES, ["files"]),
        official("test/null", lambda *_: Plan(), "", dict(anything, nullable=True)),
        official(
            "test/number",
            lambda given, *_: Plan(given.get("value", 42.5)),
            'value number {"default": 42.5}',
            dict(anything, type="number"),
        ),
        official("test/object", plan_object, "", dict(anything, type="object")),
        official(
            "black-forest-labs/flux-schnell",
            pictures("out-{}.webp"),
            SEVERAL,
            FILES,
            ["prompt"],
        ),
        official(
            "meta/meta-llama-3-70b-instruct",
            lambda *_: poem,
            PROMPT,
            ITERATOR,
            ["prompt"],
            streams=True,
        ),
        official(
            "stability-ai/stable-diffusion-3", lambda *_: no_memory, PROMPT, FILES
        ),
        versioned(
            "kvfrans/clipdraw", CLIPDRAW, draws, PROMPT, FILE, about="Draws", age=3
        ),
        versioned(
            "pixray/text2image",
            "5c347a4bfa1d4523a58ae614c2194e15f2ae682b57e3797a5bb468920aa70ebf",
            growing,
            "prompts string",
            FILES,
            "0.3.2",
            age=2,
        ),
        versioned(
            "andreasjansson/blip-2",
            "f677695e5e89f8b236e52ecd1d3f01beb44c34606419bcc19345e046d8f786f9",
            lambda *_: rider,
            "image uri",
            text,
        ),
        versioned(
            "stability-ai/stable-diffusion",
            "27b93a2413e7f36cd83da926f3656280b2931564ff050bf9575f1fdf9bcd7478",
            more,
            SEVERAL,
            FILES,
        ),
        versioned(
            "stability-ai/sdxl",
            "39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b",
            more,
            TRAINED,
            FILES,
        ),
        versioned(
            "ai-forever/kandinsky-2.2",
            "ea1addaab376f4dc227f5368bbd8eff901820fd1cc14ed8cad63b29249e9d463",
            one,
            PROMPT,
            FILE,
        ),
        versioned(
            "afiaka87/laionide-v4",
            "b21cbe271e65c1718f2999b038c18b45e21e4fba961181fbfae9342fc53b9e05",
            one,
            PROMPT,
            FILE,
        ),
        versioned(
            "jingyunliang/swinir",
            "660d922d33153019e8c263a3bba265de882e7f4f70396546b6c9c8f9d47a021a",
            pictures("out.png", "image"),
            "image uri",
            FILE,
        ),
    ]


# --------------------------------------------------------------------------------------
# The stand-in: runs in time
# --------------------------------------------------------------------------------------

RUNNING = ("starting", "processing")


class Job:
    """A prediction or training; its state comes of its age, no thread moves it."""

    def __init__(self, api, kind, model, version, given, plan, **more):
        self.api, self.kind, self.model, self.version = api, kind, model, version
        self.given, self.more, self.id = given, more, _new_id()
        self.born, self.born_at = api.clock(), api.wall()
        self.plan = plan(given, f"{api.url}/files-out/{self.id}", api)
        self.deadline = self.canceled = None  # ages
        self.forced, self.looks = {}, 0
        model.runs += 1

    @property
    def age(self):
        age = (self.api.clock() - self.born) * self.api.speed
        if self.plan.leaps and self.looks:
            third = self.plan.start + self.plan.seconds * 0.3
            age = max(age, third if self.looks == 1 else self.plan.total)
        return age

    def ends(self):
        """The age at which it is over."""
        return min(
            age
            for age in (self.plan.total, self.canceled, self.deadline)
            if age is not None
        )

    def status(self):
        if "status" in self.forced:
            return self.forced["status"]
        end = self.ends()
        if self.age < end:
            return "processing" if self.age >= self.plan.start else "starting"
        if end == self.plan.total:
            return "failed" if self.plan.error else "succeeded"
        return (
            "aborted" if end != self.canceled and end < self.plan.start else "canceled"
        )

    def cancel(self):
        if self.status() in RUNNING:
            self.canceled = self.age

    def reached(self, kind):
        age = min(self.age, self.ends())
        return [
            value for at, what, value in self.plan.events if what == kind and at <= age
        ]

    def state(self):
        """The fields of the API, those only that a real answer has at this point."""
        status = self.status()
        started = self.born_at + self.plan.start / self.api.speed
        fields = {
            "id": self.id,
            "model": self.model.id,
            "version": self.version,
            "input": self.given,
            "logs": "".join(self.reached("logs")) if status != "starting" else None,
            "data_removed": False,
            "error": self.plan.error if status == "failed" else None,
            "status": status,
            "created_at": _time(self.born_at, 3),
            "source": "api",
            "urls": self._urls(),
        }
        if self.ends() >= self.plan.start and status != "starting":
            fields["started_at"] = _time(started)
        items = self.reached("output") if self.plan.grows else None
        if status not in RUNNING:
            run = max(self.ends() - self.plan.start, 0)
            fields["output"] = (
                self.plan.output if status == "succeeded" else items or None
            )
            fields["completed_at"] = _time(
                self.born_at + self.ends() / self.api.speed, 9
            )
            fields["metrics"] = {
                "predict_time": round(run, 6),
                "total_time": round(self.ends(), 6),
            }
        elif items:
            fields["output"] = items
        if self.deadline is not None:
            fields["deadline"] = _time(self.born_at + self.deadline / self.api.speed)
        fields.update(self.more)
        return dict(fields, **self.forced)

    def _urls(self):
        own = f"{self.api.url}/v1/{self.kind}/{self.id}"
        urls = {
            "web": "https://replicate.com/p/" + self.id,
            "get": own,
            "cancel": own + "/cancel",
        }
        if self.model.streams:
            urls["stream"] = f"{self.api.url}/stream/{self.id}"
        return urls

    def early_state(self):
        """What a held request gets, as recorded: the output, but not the end."""
        state = self.state()
        if not self.plan.early or state["status"] != "succeeded":
            return state
        state = dict(state, status="processing", output=self._inlined(state["output"]))
        return {
            name: value
            for name, value in state.items()
            if name not in ("completed_at", "metrics")
        }

    def _inlined(self, value):
        if isinstance(value, list):
            return [self._inlined(item) for item in value]
        data = self.plan.files[value.rsplit("/", 1)[1]]
        return "data:image/png;base64," + base64.b64encode(data).decode("ascii")

    def wait(self, age, seconds=None):
        """Wait until this age or the end of the run, at most so many real seconds."""
        limit = None if seconds is None else time.monotonic() + seconds
        with self.api.changed:
            while (
                self.age < min(age, self.ends())
                and self.status() in RUNNING
                and not self.api.closing.is_set()
            ):
                left = (min(age, self.ends()) - self.age) / self.api.speed
                if limit is not None:
                    left = min(left, limit - time.monotonic())
                if left <= 0:
                    break
                self.api.changed.wait(left)

    def stream(self, after=None):
        """The server-sent events of the run as they come, those after an id only."""
        known = int((after or "-1:0").split(":")[0])
        events = [event for event in self.plan.events if event[2]]
        for number, (at, kind, text) in enumerate(events):
            self.wait(at)
            if at > min(self.age, self.ends()) or self.api.closing.is_set():
                break
            if number > known:
                yield _server_sent(kind, text, f"{number}:0")
        self.wait(self.plan.total)
        if self.api.closing.is_set():
            return
        if self.status() == "failed":
            yield _server_sent(
                "error", json.dumps({"detail": self.plan.error}), f"{len(events)}:0"
            )
        reason = {"failed": {"reason": "error"}, "succeeded": {}}.get(
            self.status(), {"reason": "canceled"}
        )
        yield _server_sent("done", json.dumps(reason), f"{len(events) + 1}:0")


class Hold:
    """A request that waits for the end of a run, at most so many real seconds."""

    def __init__(self, job, seconds, answer):
        self.job, self.answer = job, answer
        self.limit = time.monotonic() + seconds

    def left(self):
        """Seconds until it is worth a look again; 0 when it is over."""
        job, now = self.job, time.monotonic()
        over = job.status() not in RUNNING or job.api.closing.is_set()
        if over or now >= self.limit:
            return 0
        end = (min(job.plan.total, job.ends()) - job.age) / job.api.speed
        return max(min(end, self.limit - now), 0.0005)


class WebhookSender(threading.Thread):
    """Delivers a job's events to a webhook on loopback, each tried three times."""

    def __init__(self, job, address, wanted):
        super().__init__(daemon=True)
        self.job, self.address = job, address
        self.wanted = wanted if wanted is not None else ["output", "logs", "completed"]

    def run(self):
        self.job.wait(self.job.plan.start)
        self._send("start")
        sent_at = -1.0  # outputs and logs go out at most every half second
        for at, kind, _ in self.job.plan.events:
            if at >= sent_at + 0.5 and kind in self.wanted:
                self.job.wait(at)
                if self.job.status() not in RUNNING:
                    break
                self._send(kind)
                sent_at = at
        self.job.wait(self.job.plan.total)
        self._send("completed")

    def _send(self, kind):
        if kind not in self.wanted or self.job.api.closing.is_set():
            return
        body, identity = _dump(self.job.state()), "msg_" + _new_id()
        for attempt in range(3):
            if self._post(body, self.job.api.sign_webhook(identity, body)):
                return
            self.job.api.closing.wait(0.05 * (attempt + 1))

    def _post(self, body, headers):
        place = urlsplit(self.address).netloc
        connection = http.client.HTTPConnection(place, timeout=2)
        target = self.address.partition(place)[2] or "/"
        try:
            connection.request("POST", target, body, headers)
            return connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


# --------------------------------------------------------------------------------------
# The stand-in: the operations of the API
# --------------------------------------------------------------------------------------

# The 36 operations of the OpenAPI file, by its names (after a =: the client's, where
# that is another), and the search of the 1.x client. A row holds the request; how it is
# called, in Python and on the command line alike: values in JSON, else text, words in
# <> filled in; what the request holds: its query, else its body; and what comes of it:
# a type of the client, [of a page of them], and a schema where the type has no other
# name. They are called in this order: some build on others.
OPERATIONS = """
account.get | GET /account | | | dict account
collections.list | GET /collections | | | [dict] collection_list_item
collections.get | GET /collections/{slug} | language-models | | dict collection
deployments.list | GET /deployments | | | [Deployment]
deployments.create | POST /deployments | name=new-app model=stability/sketch
    version=<version> hardware=gpu-t4 min_instances=0 max_instances=3 | {"name":
    "new-app", "model": "stability/sketch", "version": "<version>", "hardware":
    "gpu-t4", "min_instances": 0, "max_instances": 3} | Deployment
deployments.get | GET /deployments/{owner}/{name} | acme/new-app | | Deployment
deployments.update | PATCH /deployments/{owner}/{name} | acme/new-app min_instances=1
    hardware=cpu | {"min_instances": 1, "hardware": "cpu"} | Deployment
deployments.delete | DELETE /deployments/{owner}/{name} | acme/new-app | | bool
deployments.predictions.create | POST /deployments/{owner}/{name}/predictions |
    acme/my-app '{"prompt": "a fox"}' | {"input": {"prompt": "a fox"}} | Prediction
files.list | GET /files | | | [File]
files.create | POST /files | <path> content_type=text/x-fox metadata='{"n":1}' | a fox |
    File
files.get | GET /files/{id} | <file> | | File
files.download | GET /files/{id}/download | <file> owner=acme expiry=<expiry>
    signature=<signature> | {"owner": "acme", "expiry": "<expiry>", "signature":
    "<signature>"} | bytes
files.delete | DELETE /files/{id} | <file> | | bool
hardware.list | GET /hardware | | | list [hardware]
models.list | GET /models | sort_by=model_created_at sort_direction=asc | {"sort_by":
    "model_created_at", "sort_direction": "asc"} | [Model]
models.search | QUERY /models | draws | draws | [Model]
models.create | POST /models | acme new visibility=private hardware=cpu description=d |
    {"owner": "acme", "name": "new", "visibility": "private", "hardware": "cpu",
    "description": "d"} | Model
models.get | GET /models/{owner}/{name} | acme/new | | Model
models.update | PATCH /models/{owner}/{name} | acme/new readme='# Hi' description=e |
    {"readme": "# Hi", "description": "e"} | Model
models.readme.get | GET /models/{owner}/{name}/readme | acme/new | | str
models.delete | DELETE /models/{owner}/{name} | acme/new | | bool
models.examples.list | GET /models/{owner}/{name}/examples | stability/sketch | |
    [Prediction]
models.predictions.create | POST /models/{owner}/{name}/predictions | test/echo
    input='{"a":1}' webhook=https://example.com/hook
    webhook_events_filter='["completed"]' | {"input": {"a": 1}, "webhook":
    "https://example.com/hook", "webhook_events_filter": ["completed"]} | Prediction
models.versions.list | GET /models/{owner}/{name}/versions | stability/sketch | |
    [Version]
models.versions.get | GET /models/{owner}/{name}/versions/{id} |
    stability/sketch:<version> | | Version
models.versions.delete | DELETE /models/{owner}/{name}/versions/{id} |
    acme/hot-dog-detector <spare> | | bool
trainings.create | POST /models/{owner}/{name}/versions/{id}/trainings |
    version=stability/sketch:<version> destination=acme/hot-dog-detector
    input='{"prompt":"x"}' | {"destination": "acme/hot-dog-detector", "input":
    {"prompt": "x"}} | Training
predictions.list | GET /predictions | created_after=2024-01-01T00:00:00Z
    created_before=2099-01-01T00:00:00Z source=web | {"created_after":
    "2024-01-01T00:00:00Z", "created_before": "2099-01-01T00:00:00Z", "source": "web"} |
    [Prediction]
predictions.create | POST /predictions | <version> '{"prompt": "a fox"}' | {"version":
    "<version>", "input": {"prompt": "a fox"}} | Prediction
predictions.get | GET /predictions/{id} | <prediction> | | Prediction
predictions.cancel | POST /predictions/{id}/cancel | <prediction> | | Prediction
search | GET /search | text limit=3 | {"query": "text", "limit": "3"} | dict search
trainings.list | GET /trainings | | | [Training]
trainings.get | GET /trainings/{id} | <training> | | Training
trainings.cancel | POST /trainings/{id}/cancel | <training> | | Training
webhooks.default.secret.get=webhooks.default.secret | GET /webhooks/default/secret | | |
    dict secret
"""
Operation = namedtuple("Operation", "id call method path words sends gives schema")


def operations():
    for line in re.sub("\n +", " ", OPERATIONS.strip()).splitlines():
        name, request, words, sends, gives = (part.strip() for part in line.split("|"))
        identity, _, call = name.partition("=")
        kind, _, described = gives.partition(" ")
        yield Operation(
            identity,
            call or identity,
            *request.split(),
            words,
            sends,
            kind,
            described or kind.lower(),
        )


OPERATIONS = list(operations())
ROUTES = collections.defaultdict(list)  # by the first part of their paths
for row in OPERATIONS:
    route = (row.method, row.path.split("/"), row.id.replace(".", "_"))
    ROUTES[route[1][1]].append(route)

ACCOUNT = {
    "type": "organization",
    "username": "acme",
    "name": "Acme Corp, Inc.",
    "github_url": "https://github.com/acme",
    "avatar_url": "https://cdn.replicate.com/avatars/acme.png",
}

HARDWARE = [
    {"name": "CPU", "sku": "cpu"},
    {"name": "Nvidia T4 GPU", "sku": "gpu-t4"},
    {"name": "Nvidia A40 (Large) GPU", "sku": "gpu-a40-large"},
]

COLLECTIONS = {
    "text-to-image": ["stability/sketch", "kvfrans/clipdraw", "pixray/text2image"],
    "language-models": ["meta/llama-tiny", "replicate/slow-words"],
    "super-resolution": [],
    "try-for-free": ["replicate/hello-world"],
}

FILE_LIMIT = 100 << 20

PREDICTION_FIELDS = {
    "input": dict,
    "stream": bool,
    "webhook": str,
    "webhook_events_filter": list,
}

DEPLOYMENT_FIELDS = {
    "hardware": str,
    "min_instances": int,
    "max_instances": int,
    "version": str,
}


def _json_body(seen):
    if seen.headers.get_content_type() != "application/json":
        raise Problem(
            415, f"Unsupported media type {seen.headers.get_content_type()} in request."
        )
    try:
        body = seen.json
    except ValueError as error:
        raise Problem(400, f"JSON parse error - {error}") from None
    if not isinstance(body, dict):
        raise Problem(400, "Invalid data. Expected an object.")
    return body


def _check_fields(body, types, required, closed=True):
    """422 for a field that is missing, of another type, or unknown."""
    faults = [
        (name, "required", f"{name} is required")
        for name in required
        if name not in body
    ]
    for name, value in body.items():
        if name not in types and closed:
            faults.append(
                (
                    name,
                    "additional_property_not_allowed",
                    f"Additional property {name} is not allowed",
                )
            )
        elif name in types and (
            not isinstance(value, types[name]) or (types[name] is int and value is True)
        ):
            faults.append((name, "invalid_type", f"{name} is of another type"))
    if faults:
        raise _invalid(faults)


def _invalid(faults):
    fields = [
        {"type": kind, "field": field, "description": words}
        for field, kind, words in faults
    ]
    return Problem(
        422,
        "\n".join("- " + words for _, _, words in faults),
        title="Input validation failed",
        invalid_fields=fields,
    )


def _check_input(openapi, given):
    faults = (
        [
            ("input." + name, kind, f"input.{name} {words}")
            for name, kind, words in input_faults(openapi, given)
        ]
        if openapi
        else []
    )
    if faults:
        raise _invalid(faults)


def _held_seconds(seen):
    """Seconds of `Prefer: wait`, or None."""
    for preference in (seen.headers.get("Prefer") or "").split(","):
        word, _, seconds = preference.strip().partition("=")
        if word == "wait":
            if not 1 <= int(seconds or 60) <= 60:
                raise Problem(422, "Prefer: wait must be between 1 and 60 seconds")
            return int(seconds or 60)
    return None


def _cancel_after_seconds(seen):
    text = seen.headers.get("Cancel-After")
    if text is None:
        return None
    total, digits = 0, ""
    for character in text + ("" if text[-1:] in "hms" else "s"):
        if character.isdigit():
            digits += character
        elif character in "hms" and digits:
            total += int(digits) * {"h": 3600, "m": 60, "s": 1}[character]
            digits = ""
        else:
            raise Problem(422, f"Cancel-After is not a duration: {text!r}")
    if total < 5:
        raise Problem(422, "Cancel-After must be at least 5 seconds")
    return total


def parse_multipart(content_type, body):
    """The parts of a multipart body: name -> (file name, media type, bytes)."""
    found = re.search(r'boundary="?([^";]+)"?', content_type or "")
    if not (content_type or "").startswith("multipart/form-data") or not found:
        raise Problem(415, "Expected multipart/form-data")
    fence = b"--" + found.group(1).encode("latin-1")
    pieces = (b"\r\n" + body).split(b"\r\n" + fence)
    if len(pieces) < 3 or not pieces[-1].startswith(b"--"):
        raise Problem(400, "Multipart form parse error - the last boundary is missing")
    parts = {}
    for piece in pieces[1:-1]:
        head, blank, content = piece.partition(b"\r\n\r\n")
        header = head.decode("utf-8", "replace")
        name = re.search(r'[; ]name="([^"]*)"', header)
        if not blank or not name or not head.startswith(b"\r\n"):
            raise Problem(400, "Multipart form parse error - a part without a name")
        file_name = re.search(r'filename="((?:[^"\\]|\\.)*)"', header)
        media_type = re.search(r"(?im)^content-type: *([^\r\n]+)", header)
        parts[name.group(1)] = (
            file_name
            and re.sub(r"\\(.)", r"\1", file_name.group(1)).replace("%22", '"'),
            media_type and media_type.group(1).strip(),
            content,
        )
    return parts


class Limit:
    """So many requests a minute, `burst` of them at once: a window for each burst."""

    def __init__(self, per_minute, burst=None):
        self.burst = burst or per_minute
        self.seconds, self.began, self.used = 60 * self.burst / per_minute, 0.0, 0

    def take(self, now):
        """Whether a request may pass, how many more may, and when the window ends."""
        if now - self.began >= self.seconds:
            self.began, self.used = now, 0
        passes = self.used < self.burst
        self.used += passes
        return passes, self.burst - self.used, self.began + self.seconds - now


class Api:
    """What the service knows and does; the server below puts it on the wire.

    The face that tests keep to: `answer` to script answers and faults, `seen` for the
    requests that came, `clear` to forget them, `add` for a model, `running` and
    `creations` for the ids of predictions. What it is made of may be looked at and set
    as well: `predictions`, `trainings`, `files`, `catalogue`, `clock`, `speed`, `skew`,
    `limits`, `page_sizes`; `force` overlays the fields of a prediction.
    """

    shaken = False
    next_keeps_filters = (
        True  # whether a page's `next` repeats the filters of its request
    )
    file_secret = "files-api-signing-secret"
    webhook_secret = "whsec_" + base64.b64encode(
        b"stand-in webhook secret 32 bytes"
    ).decode("ascii")

    def __init__(self, token, speed):
        self.token, self.speed, self.url = token, speed, ""
        self.clock, self.skew = time.monotonic, 0.0
        self.changed = threading.Condition(threading.RLock())
        self.closing = threading.Event()
        self.jobs, self.creations, self.files = {}, [], {}
        self.training = []  # jobs that are to make a version
        self.contents, self.examples, self.deployments = {}, {}, {}
        self.catalogue = {model.id: model for model in standard_models()}
        self.page_sizes = collections.defaultdict(lambda: 3, predictions=100)
        self.limits = {"creations": Limit(10**6), "others": Limit(10**6)}

    def wall(self):
        """The time of day by this server's clock, which `skew` sets wrong."""
        return time.time() + self.skew

    def furnish(self):
        """What needs the address of the server: examples and the deployment."""
        for model in self.catalogue.values():
            if model.example is not None:
                version = model.versions[-1]["id"]  # often an older one than the schema
                job = Job(
                    self,
                    "predictions",
                    model,
                    version,
                    model.example,
                    model.plan,
                    source="web",
                )
                job.born, job.born_at = float("-inf"), 1680000000.0
                self.examples[model.id] = job
        sketch = self.catalogue["stability/sketch"]
        self._release(
            {"owner": "acme", "name": "my-app"},
            1,
            sketch.id,
            sketch.versions[0]["id"],
            {"hardware": "gpu-t4", "min_instances": 1, "max_instances": 5},
        )

    # What tests look at

    @property
    def predictions(self):
        return {job.id: job.state() for job in self._newest("predictions")}

    @property
    def trainings(self):
        return {job.id: job.state() for job in self._newest("trainings")}

    def _newest(self, kind):
        """The jobs of a kind, the newest first."""
        return [job for job in list(self.jobs.values())[::-1] if job.kind == kind]

    def running(self):
        """The ids of the predictions that are not over."""
        jobs = self._newest("predictions")
        return [job.id for job in jobs if job.status() in RUNNING]

    def add(self, model):
        self.catalogue[model.id] = model
        return model

    def force(self, identity, **fields):
        """Overlay fields of a prediction or training."""
        with self.changed:
            self.jobs[identity].forced.update(fields)
            self._shake()

    def _shake(self):
        """Let whatever waits for a run look at it again."""
        self.shaken = True
        self.changed.notify_all()

    def size_of(self, address):
        """How many bytes an input file has: a data: URI, a file of ours, else None."""
        if address.startswith("data:"):
            head, _, data = address.partition(",")
            return len(
                base64.b64decode(data)
                if head.endswith(";base64")
                else unquote_to_bytes(data)
            )
        parts = urlsplit(address).path.strip("/").split("/")
        if parts[:2] == ["v1", "files"]:
            return len(self.contents[parts[2]]) if parts[2] in self.contents else None
        job = self.jobs.get(parts[1]) if parts[0] == "files-out" else None
        return job and len(job.plan.files[parts[2]])

    def sign_webhook(self, identity, body):
        """Headers of a delivery after the Standard Webhooks scheme."""
        stamp = str(int(time.time()))
        key = base64.b64decode(self.webhook_secret[len("whsec_") :])
        mac = hmac.new(
            key, b".".join([identity.encode(), stamp.encode(), body]), hashlib.sha256
        ).digest()
        return {
            "Content-Type": "application/json",
            "webhook-id": identity,
            "webhook-timestamp": stamp,
            "webhook-signature": "v1," + base64.b64encode(mac).decode("ascii"),
        }

    def sign_file(self, owner, identity, expiry):
        """The signature that a download wants."""
        words = f"{owner} {identity} {expiry}"
        mac = hmac.new(
            self.file_secret.encode(), words.encode("utf-8"), hashlib.sha256
        ).digest()
        return base64.b64encode(mac).decode("ascii")

    # Serving

    def serve(self, seen):
        """Answer a request to /v1, or for an output of a run; else None."""
        kind, *rest = seen.path.strip("/").split("/")
        try:
            if kind == "v1":
                return self._operate(seen, rest)
            if kind == "stream" and len(rest) == 1:
                return self._event_stream(seen, rest[0])
            if kind == "files-out" and len(rest) == 2:
                return self._output_file(seen, *rest)
            if kind == "weights" and rest:
                self._authorize(seen)
                data = b"weights of " + rest[0].encode()
                return file_reply(seen, data, "application/x-tar")
        except Problem as problem:
            return problem.reply
        return None

    def _authorize(self, seen):
        if seen.headers.get_all("Authorization") != ["Bearer " + self.token]:
            raise Problem(
                401,
                "You did not pass a valid authentication token",
                title="Unauthenticated",
            )

    @staticmethod
    def _found_in(path, parts):
        """What stands at the places in {} of a path, or None where it is another."""
        if len(path) != len(parts) + 1:
            return None
        pairs = list(zip(path[1:], parts))
        if all(fixed == part or (fixed[0] == "{" and part) for fixed, part in pairs):
            return [unquote(part) for fixed, part in pairs if fixed[0] == "{"]
        return None

    def _operate(self, seen, parts):
        fits = [
            (method, name, found)
            for method, path, name in ROUTES.get(parts[0], ())
            for found in [self._found_in(path, parts)]
            if found is not None
        ]
        if not (
            fits and fits[0][1] == "files_download"
        ):  # its signature is its credential
            self._authorize(seen)
        if not fits:
            raise Problem(404, "The requested resource could not be found.")
        for method, name, found in fits:
            if method == seen.method:
                kind = "creations" if name.endswith("predictions_create") else "others"
                return self._limited(kind, getattr(self, name), seen, *found)
        raise Problem(405, f'Method "{seen.method}" not allowed.')

    def _limited(self, kind, operation, *args):
        """An operation's answer, with the headers of its limit; above it a 429."""
        with self.changed:
            limit = self.limits[kind]
            passes, left, seconds = limit.take(self.clock() * self.speed)
        reset = math.ceil(seconds / self.speed)
        self._settle_trainings()
        reply = (
            operation(*args) if passes else Reply.throttled(reset, retry_after=False)
        )
        headers = {"ratelimit-remaining": str(left), "ratelimit-reset": str(reset)}
        reply.headers.update(headers)
        return reply

    def _page(self, seen, items, render=lambda item: item, filters=(), words=None):
        """One page; the cursor says where it begins, and of a search what it is for."""
        start = self._cursor(seen)[0]
        size = self.page_sizes[seen.path.rpartition("/")[2]]
        kept = {
            name: seen.query[name][0]
            for name in filters
            if name in seen.query and self.next_keeps_filters
        }

        def link(offset):
            raw = json.dumps([offset, words]).encode("utf-8")
            query = dict(kept, cursor=base64.urlsafe_b64encode(raw).decode("ascii"))
            return f"{self.url}{seen.path}?{urlencode(query)}"

        more = start + size < len(items)
        return Reply(
            json={
                "previous": link(max(start - size, 0)) if start else None,
                "next": link(start + size) if more else None,
                "results": [render(item) for item in items[start : start + size]],
            }
        )

    @staticmethod
    def _cursor(seen):
        if "cursor" not in seen.query:
            return 0, None
        try:
            offset, words = json.loads(
                base64.urlsafe_b64decode(seen.query["cursor"][0])
            )
            return int(offset), words
        except (ValueError, TypeError):
            raise Problem(404, "Invalid cursor") from None

    def _model(self, owner, name):
        return self._found(self.catalogue, f"{owner}/{name}")

    def _found(self, where, key, kind="resource"):
        if key not in where:
            raise Problem(
                404, f"The requested {kind} could not be found.", title="Not found"
            )
        return where[key]

    def _job(self, kind, identity):
        job = self._found(self.jobs, identity, kind[:-1])
        return job if job.kind == kind else self._found({}, identity, kind[:-1])

    # Outputs of runs

    def _event_stream(self, seen, identity):
        job = self._found(self.jobs, identity, "stream")
        if not job.model.streams:
            raise Problem(404, "No such stream")
        return Reply(
            pieces=job.stream(seen.headers.get("Last-Event-ID")),
            headers={
                "Content-Type": "text/event-stream; charset=utf-8",
                "Cache-Control": "no-store",
            },
        )

    def _output_file(self, seen, identity, name):
        known = {job.id: job for job in self.examples.values()}
        job = self._found(dict(known, **self.jobs), identity)
        data = self._found(job.plan.files, unquote(name), "file")
        kinds = {"png": "image/png", "webp": "image/webp"}
        return file_reply(seen, data, kinds.get(name.rpartition(".")[2], TEXT_TYPE))

    # Account, hardware, collections, search, webhooks

    def account_get(self, seen):
        return Reply(json=ACCOUNT)

    def hardware_list(self, seen):
        return Reply(json=HARDWARE)

    def webhooks_default_secret_get(self, seen):
        return Reply(json={"key": self.webhook_secret})

    @staticmethod
    def _collection(slug):
        name = slug.replace("-", " ").capitalize()
        return {"name": name, "slug": slug, "description": f"Models: {name.lower()}."}

    def collections_list(self, seen):
        return self._page(seen, [self._collection(slug) for slug in COLLECTIONS])

    def collections_get(self, seen, slug):
        names = self._found(COLLECTIONS, slug, "collection")
        models = [
            self.catalogue[name].state(self) for name in names if name in self.catalogue
        ]
        return Reply(
            json=dict(
                self._collection(slug), full_description="## Overview\n", models=models
            )
        )

    def _public(self, words=""):
        """The public models whose name and description have these words."""
        return [
            model
            for model in self.catalogue.values()
            if model.fields["visibility"] == "public"
            and all(
                word in f"{model.id} {model.fields['description']}".lower()
                for word in words.lower().split()
            )
        ]

    def search(self, seen):
        words = seen.query.get("query", [""])[0]
        limit = seen.query.get("limit", ["20"])[0]
        if not words:
            raise Problem(400, 'Query parameter "query" is required')
        if not limit.isdigit() or not 1 <= int(limit) <= 50:
            raise Problem(400, 'Query parameter "limit" must be between 1 and 50')
        found = self._public(words)[: int(limit)]
        metadata = {"tags": [], "score": 1.5, "generated_description": None}
        models = [{"model": each.state(self), "metadata": metadata} for each in found]
        collections = [
            dict(self._collection(slug), models=names)
            for slug, names in COLLECTIONS.items()
            if words.lower() in slug
        ]
        pages = [{"name": "Get started with " + words, "href": "/docs/get-started"}]
        facts = {"query": words, "models": models, "collections": collections}
        return Reply(json=dict(facts, pages=pages))

    # Models and versions

    def _models(self, seen, models, *more):
        return self._page(seen, models, lambda model: model.state(self), *more)

    def models_list(self, seen):
        words = self._cursor(seen)[1]
        if words is not None:  # a later page of a search
            return self._models(seen, self._public(words), (), words)
        sort_by = seen.query.get("sort_by", ["latest_version_created_at"])[0]
        direction = seen.query.get("sort_direction", ["desc"])[0]
        known = ("model_created_at", "latest_version_created_at")
        if sort_by not in known or direction not in ("asc", "desc"):
            raise Problem(400, "Unknown sort order")

        def moment(model):
            version = model.versions[0]["created_at"] if model.versions else ""
            return (
                model.created_at if sort_by == "model_created_at" else version,
                model.id,
            )

        models = sorted(self._public(), key=moment, reverse=direction == "desc")
        return self._models(seen, models, ("sort_by", "sort_direction"))

    def models_search(self, seen):
        kind = seen.headers.get_content_type()
        if kind != "text/plain" or "Content-Type" not in seen.headers:
            raise Problem(415, "The query is text/plain")
        words = self._cursor(seen)[1] or seen.body.decode("utf-8")
        return self._models(seen, self._public(words), (), words)

    def models_create(self, seen):
        body = _json_body(seen)
        needed = ["owner", "name", "visibility", "hardware"]
        names = "description github_url paper_url license_url cover_image_url"
        types = dict.fromkeys(needed + names.split(), str)
        _check_fields(body, types, needed, closed=False)
        if body["owner"] != ACCOUNT["username"]:
            raise Problem(403, f"You can only create models for {ACCOUNT['username']}")
        if body["visibility"] not in ("public", "private"):
            raise _invalid(
                [("visibility", "enum", "visibility must be public or private")]
            )
        self._check_hardware(body)
        model = Model(
            f"{body['owner']}/{body['name']}", plan_hello, versions=(), owned=True
        )
        if model.id in self.catalogue:
            raise Problem(409, "A model with that name and owner already exists")
        model.fields.update((name, body[name]) for name in model.fields if name in body)
        model.created_at = _time(self.wall())
        return Reply(201, self.add(model).state(self))

    @staticmethod
    def _check_hardware(body):
        if "hardware" in body and body["hardware"] not in [
            item["sku"] for item in HARDWARE
        ]:
            raise _invalid(
                [("hardware", "enum", "hardware must be the sku of some hardware")]
            )

    def models_get(self, seen, owner, name):
        return Reply(json=self._model(owner, name).state(self))

    def _own_model(self, owner, name):
        model = self._model(owner, name)
        if not model.owned:
            raise Problem(403, "You do not have permission to perform this action.")
        return model

    def models_update(self, seen, owner, name):
        model = self._own_model(owner, name)
        names = (
            "description",
            "readme",
            "github_url",
            "paper_url",
            "weights_url",
            "license_url",
        )
        body = _json_body(seen)
        _check_fields(body, dict.fromkeys(names, (str, type(None))), (), closed=False)
        model.readme = body.get("readme", model.readme)
        model.fields.update(
            (name, body[name]) for name in names if name in body and name != "readme"
        )
        return Reply(json=model.state(self))

    def models_delete(self, seen, owner, name):
        model = self._own_model(owner, name)
        if model.fields["visibility"] != "private" or model.versions:
            raise Problem(403, "Only private models without versions can be deleted")
        del self.catalogue[model.id]
        return Reply(204)

    def models_examples_list(self, seen, owner, name):
        model = self._model(owner, name)
        return self._page(
            seen, [self.examples[model.id].state()] if model.id in self.examples else []
        )

    def models_readme_get(self, seen, owner, name):
        text = self._model(owner, name).readme
        return Reply(body=text.encode("utf-8"), headers=TEXT)

    def models_versions_list(self, seen, owner, name):
        return self._page(seen, self._model(owner, name).versions)

    def _version(self, model, identity):
        return self._found(
            {version["id"]: version for version in model.versions}, identity, "version"
        )

    def models_versions_get(self, seen, owner, name, identity):
        return Reply(json=self._version(self._model(owner, name), identity))

    def models_versions_delete(self, seen, owner, name, identity):
        model = self._own_model(owner, name)
        model.versions.remove(self._version(model, identity))
        return Reply(202, body=b"")

    # Predictions

    def predictions_list(self, seen):
        after, before = (
            _parse_time(seen.query[name][0]) if name in seen.query else None
            for name in ("created_after", "created_before")
        )
        source = seen.query.get("source", ["any"])[0]
        if source not in ("web", "any"):
            raise Problem(400, "Only web is supported as a source")
        jobs = [
            job
            for job in self._newest("predictions")
            if (after is None or job.born_at >= after)
            and (before is None or job.born_at < before)
            and source in (job.more.get("source", "api"), "any")
        ]
        filters = ("created_after", "created_before", "source")
        return self._page(seen, jobs, Job.state, filters)

    def predictions_create(self, seen):
        body = _json_body(seen)
        _check_fields(body, dict(PREDICTION_FIELDS, version=str), ("version", "input"))
        name, _, identity = body["version"].rpartition(":")
        official = self.catalogue.get(body["version"])
        if official and official.official:
            return self._create(seen, body, official, "hidden")
        for model in self.catalogue.values():
            if model.find_version(identity) and name in ("", model.id):
                return self._create(seen, body, model, identity)
        raise Problem(
            422,
            "The specified version does not exist (or you may not use it)",
            title="Invalid version or not permitted",
        )

    def models_predictions_create(self, seen, owner, name):
        model = self._model(owner, name)
        if not model.official:
            self._found({}, name)
        body = _json_body(seen)
        _check_fields(body, PREDICTION_FIELDS, ("input",))
        return self._create(seen, body, model, "hidden")

    def deployments_predictions_create(self, seen, owner, name):
        release = self._found(self.deployments, f"{owner}/{name}", "deployment")[
            "current_release"
        ]
        body = _json_body(seen)
        _check_fields(body, PREDICTION_FIELDS, ("input",))
        model = self.catalogue[release["model"]]
        return self._create(
            seen, body, model, release["version"], deployment=f"{owner}/{name}"
        )

    def _create(self, seen, body, model, version, **more):
        """Start a prediction and hold the request as its headers ask."""
        held, deadline = _held_seconds(seen), _cancel_after_seconds(seen)
        chosen = model.find_version(version) or model.versions[0]
        _check_input(chosen["openapi_schema"], body["input"])
        self._check_events(body)
        job = Job(
            self, "predictions", model, version, body["input"], model.plan, **more
        )
        job.deadline = deadline
        self._keep(job, body)
        reply = Reply(201, job.state())
        if held is not None:
            job.looks = 2
            reply.headers["Preference-Applied"] = f"wait={held}"
            reply.held = Hold(job, held / self.speed, self._held_answer)
        return reply

    def _held_answer(self, job, reply):
        state = job.early_state()
        over = state["status"] not in RUNNING or "completed_at" in job.state()
        answer = Reply(201 if over else 202, state, headers=reply.headers)
        answer.delay = reply.delay
        return answer

    @staticmethod
    def _check_events(body):
        known = ("start", "output", "logs", "completed")
        if not all(event in known for event in body.get("webhook_events_filter", ())):
            raise _invalid(
                [
                    (
                        "webhook_events_filter",
                        "enum",
                        f"webhook_events_filter must be of {known}",
                    )
                ]
            )

    def _keep(self, job, body):
        with self.changed:
            self.jobs[job.id] = job
            if job.kind == "predictions":
                self.creations.append(job.id)
        if (body.get("webhook") or "").startswith("http://127.0.0.1"):
            WebhookSender(
                job, body["webhook"], body.get("webhook_events_filter")
            ).start()

    def predictions_get(self, seen, identity):
        job = self._job("predictions", identity)
        job.looks += 1
        return Reply(json=job.state())

    def predictions_cancel(self, seen, identity):
        return self._cancel(self._job("predictions", identity))

    def _cancel(self, job):
        with self.changed:
            job.cancel()
            self._shake()
        return Reply(json=job.state())

    # Trainings

    def trainings_create(self, seen, owner, name, identity):
        model = self._model(owner, name)
        version = self._version(model, identity)
        body = _json_body(seen)
        _check_fields(
            body,
            dict({"destination": str}, **PREDICTION_FIELDS),
            ("destination", "input"),
            closed=False,
        )
        self._check_events(body)
        target = self.catalogue.get(body["destination"])
        if not target or not target.owned:
            raise Problem(
                404, "The destination is no model of yours", title="Not found"
            )
        new = hashlib.sha256(os.urandom(16)).hexdigest()

        def plan(given, base, api):
            output = {
                "version": f"{target.id}:{new}",
                "weights": f"{api.url}/weights/{new}/model.tar",
            }
            return Plan(output, seconds=1.0, logs=bars(10))

        job = Job(self, "trainings", model, version["id"], body["input"], plan)
        self.training.append((job, target, dict(version, id=new)))
        self._keep(job, body)
        return Reply(201, job.state())

    def _settle_trainings(self):
        """A training that has succeeded has made a version of its destination."""
        with self.changed:
            for made in list(self.training):
                job, target, version = made
                if job.status() == "succeeded":
                    self.training.remove(made)
                    now = _time(time.time())
                    target.versions.insert(0, dict(version, created_at=now))
                    target.plan = job.model.plan

    def trainings_list(self, seen):
        return self._page(seen, self._newest("trainings"), Job.state)

    def trainings_get(self, seen, identity):
        return Reply(json=self._job("trainings", identity).state())

    def trainings_cancel(self, seen, identity):
        return self._cancel(self._job("trainings", identity))

    # Deployments

    def deployments_list(self, seen):
        return self._page(seen, list(reversed(list(self.deployments.values()))))

    def deployments_get(self, seen, owner, name):
        return Reply(
            json=self._found(self.deployments, f"{owner}/{name}", "deployment")
        )

    def _release(self, names, number, model, version, configuration):
        release = {
            "number": number,
            "model": model,
            "version": version,
            "created_at": _time(time.time()),
            "created_by": ACCOUNT,
            "configuration": configuration,
        }
        deployment = self.deployments["{owner}/{name}".format(**names)] = dict(
            names, current_release=release
        )
        return Reply(json=deployment)

    def _check_release(self, body, model):
        self._check_hardware(body)
        for name, most in rows("""
            min_instances | 5
            max_instances | 20
        """):
            if not 0 <= body.get(name, 0) <= most:
                raise _invalid(
                    [(name, "number_lte", f"{name} must be between 0 and {most}")]
                )
        if model is None or (
            "version" in body and not model.find_version(body["version"])
        ):
            raise Problem(
                422,
                "The specified version does not exist",
                title="Invalid version or not permitted",
            )

    def deployments_create(self, seen):
        body = _json_body(seen)
        types = dict(DEPLOYMENT_FIELDS, name=str, model=str)
        _check_fields(body, types, sorted(types), closed=False)
        self._check_release(body, self.catalogue.get(body["model"]))
        names = {"owner": ACCOUNT["username"], "name": body["name"]}
        if "{owner}/{name}".format(**names) in self.deployments:
            raise Problem(409, "A deployment with that name already exists")
        sizes = {
            name: body[name] for name in ("hardware", "min_instances", "max_instances")
        }
        return self._release(names, 1, body["model"], body["version"], sizes)

    def deployments_update(self, seen, owner, name):
        known = self._found(self.deployments, f"{owner}/{name}", "deployment")
        body, release = _json_body(seen), known["current_release"]
        _check_fields(body, DEPLOYMENT_FIELDS, (), closed=False)
        self._check_release(body, self.catalogue.get(release["model"]))
        sizes = {
            key: body.get(key, value) for key, value in release["configuration"].items()
        }
        return self._release(
            {"owner": owner, "name": name},
            release["number"] + 1,
            release["model"],
            body.get("version", release["version"]),
            sizes,
        )

    def deployments_delete(self, seen, owner, name):
        self._found(self.deployments, f"{owner}/{name}", "deployment")
        del self.deployments[f"{owner}/{name}"]
        return Reply(204)

    # Files

    def files_list(self, seen):
        return self._page(seen, list(reversed(list(self.files.values()))))

    def files_create(self, seen):
        parts = parse_multipart(seen.headers.get("Content-Type"), seen.body)
        if "content" not in parts:
            raise _invalid([("content", "required", "content is required")])
        name, media_type, content = parts["content"]
        if len(content) > FILE_LIMIT:
            raise Problem(413, "Files must be less than 100MB in size")
        name = parts["filename"][2].decode("utf-8") if "filename" in parts else name
        if not name or len(name.encode("utf-8")) > 255:
            raise _invalid(
                [("filename", "required", "filename is required, of at most 255 bytes")]
            )
        try:
            metadata = json.loads(parts["metadata"][2]) if "metadata" in parts else {}
        except ValueError:
            raise _invalid(
                [("metadata", "invalid_type", "metadata must be JSON")]
            ) from None
        if "type" in parts:
            media_type = parts["type"][2].decode("utf-8")
        return Reply(
            201,
            self._store(
                name, media_type or "application/octet-stream", content, metadata
            ),
        )

    def _store(self, name, media_type, content, metadata):
        identity, now = _new_id(), time.time()
        sums = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "md5": hashlib.md5(content).hexdigest(),
        }
        self.contents[identity] = content
        self.files[identity] = {
            "id": identity,
            "name": name,
            "content_type": media_type,
            "size": len(content),
            "etag": sums["md5"],
            "checksums": sums,
            "metadata": metadata,
            "created_at": _time(now),
            "expires_at": _time(now + 86400),
            "urls": {"get": f"{self.url}/v1/files/{identity}"},
        }
        return self.files[identity]

    def files_get(self, seen, identity):
        return Reply(json=self._found(self.files, identity, "file"))

    def files_delete(self, seen, identity):
        self._found(self.files, identity, "file")
        del self.files[identity], self.contents[identity]
        return Reply(204)

    def files_download(self, seen, identity):
        names = ("owner", "expiry", "signature")
        owner, expiry, signature = (seen.query.get(name, [""])[0] for name in names)
        fresh = expiry.isdigit() and int(expiry) > time.time()
        right = signature == self.sign_file(owner, identity, expiry)
        if not (fresh and right and owner == ACCOUNT["username"]):
            raise Problem(404, "File not found")
        return file_reply(seen, self._found(self.contents, identity, "file"))


# --------------------------------------------------------------------------------------
# The stand-in: Cog's own server, as seen on 0.23.1 (`old`: on 0.16)
# --------------------------------------------------------------------------------------


def repeat_hello(given):
    """The model that Cog serves unless a test sets another."""
    for number in range(given.get("times", 2)):
        yield f"hello {given['text']} {number}"


class CogRun:
    def __init__(self, identity, given):
        self.id, self.given, self.logs, self.items, self.over = (
            identity,
            given,
            "",
            [],
            False,
        )
        self.began, self.stopped = time.monotonic(), threading.Event()

    def answer(self, status, **more):
        self.over = status in ("succeeded", "failed")
        metrics = {"predict_time": round(time.monotonic() - self.began, 6)}
        return dict(
            sorted(
                dict(
                    more, id=self.id, logs=self.logs, metrics=metrics, status=status
                ).items()
            )
        )


class Cog:
    """A container with one slot. Set its attributes to put it in another state."""

    def __init__(self, closing):
        self.health, self.setup_logs, self.logs = (
            "READY",
            "Loading weights\n",
            "log line\n",
        )
        self.schema = schema(
            {"text": {"type": "string"}, "times": {"type": "integer", "default": 2}},
            ITERATOR,
            ["text"],
            streaming=True,
        )
        self.streaming, self.old = True, False
        self.predict = repeat_hello
        self.seconds = (
            0.0  # before the only output, or before every item that a generator yields
        )
        self.canceled = []  # ids of runs that a request or a client that left has ended
        self.current, self._closing, self._lock = None, closing, threading.Lock()

    def serve(self, seen, connection):
        """Answer a request to Cog's paths; None for any other."""
        found = re.fullmatch(r"/predictions(?:/([^/]+))?(/cancel)?", seen.path)
        identity, cancel = found.groups() if found else (None, None)
        if identity and cancel and seen.method == "POST":
            return self._cancel(unquote(identity))
        if found and not cancel and seen.method == ("PUT" if identity else "POST"):
            return self._predict(seen, connection, unquote(identity or ""))
        if seen.method == "GET" and seen.path == "/health-check":
            return Reply(json=self._health())
        if seen.method == "GET" and seen.path == "/openapi.json":
            return (
                Reply(json=self.schema)
                if self.schema
                else self._error(503, "OpenAPI schema not available")
            )
        if seen.method == "GET" and seen.path == "/":
            return Reply(
                json={
                    "cog_version": "0.16.12" if self.old else "0.23.1",
                    "docs_url": "/docs",
                    "openapi_url": "/openapi.json",
                    "healthcheck_url": "/health-check",
                    "predictions_url": "/predictions",
                }
            )
        return None

    @staticmethod
    def _error(code, words, **more):
        return Reply(
            code,
            dict({"error": words}, **more),
            headers=JSON,
        )

    def _health(self):
        now = _time(time.time())
        setup = {
            "started_at": now,
            "status": {"STARTING": "starting", "SETUP_FAILED": "failed"}.get(
                self.health, "succeeded"
            ),
            "logs": self.setup_logs,
        }
        if self.health != "STARTING":
            setup["completed_at"] = now
        status = "BUSY" if self.health == "READY" and self.current else self.health
        return {
            "status": status,
            "setup": setup,
            "version": {"cog": "0.16.12" if self.old else "0.23.1"},
        }

    def _cancel(self, identity):
        run = self.current
        if run is None or run.id != identity:
            return Reply(404, {}, headers=JSON)
        run.stopped.set()
        return Reply(json={})

    def _predict(self, seen, connection, identity):
        streams = seen.headers.get("Accept") == "text/event-stream" and not self.old
        refusal = self._unready() or self._unreadable(seen)
        if not refusal and streams and not self.streaming:
            refusal = self._error(
                406,
                "This model does not support streaming responses. "
                "Add @cog.streaming to predict() to enable SSE.",
            )
        if refusal:
            return refusal
        run = CogRun(
            identity or seen.json.get("id") or _new_id(), seen.json.get("input") or {}
        )
        busy = self._occupy(run)
        if busy:
            return busy
        if "respond-async" in (seen.headers.get("Prefer") or ""):
            begin(self._finish, run, None)
            return Reply(202, run.answer("starting", input=run.given))
        if streams:
            reply = Reply(
                pieces=self._events(run, connection),
                headers={"Content-Type": "text/event-stream"},
            )
            reply.done = lambda: self._free(run)
            return reply
        return Reply(json=self._finish(run, connection))

    def _unready(self):
        if self.health in ("READY", "BUSY", "UNHEALTHY"):
            return None
        if self.old:
            return Reply(
                409,
                {"detail": "Already running a prediction"},
                headers=JSON,
            )
        return self._error(
            503,
            "Setup has not finished yet. Wait until it has, or GET /health-check for "
            "status.",
            status="failed",
        )

    def _unreadable(self, seen):
        """Why a body cannot be run: no JSON, or an input that the schema refuses."""
        if seen.headers.get_content_type() != "application/json":
            return Reply(
                415,
                body=b"Expected request with `Content-Type: application/json`",
                headers=TEXT,
            )
        try:
            given = seen.json.get("input") or {}
        except (ValueError, AttributeError) as error:
            return Reply(
                400,
                body=(f"Failed to parse the request body as JSON: {error}").encode(),
                headers=TEXT,
            )
        faults = []
        for name, kind, words in (
            input_faults(self.schema, given) if self.schema else ()
        ):
            kind_wanted = json.dumps(words.rpartition(" ")[2])
            message, sort = (
                f"{json.dumps(given.get(name))} is not of type {kind_wanted}",
                "",
            )
            if kind == "required":
                message, sort = "Field required", ".missing"
            elif kind != "invalid_type":
                message = f"{json.dumps(given[name])} {words}"
            faults.append(
                {
                    "loc": ["body", "input", name],
                    "msg": message,
                    "type": "value_error" + sort,
                }
            )
        return Reply(422, {"detail": faults}, headers=JSON) if faults else None

    def _occupy(self, run):
        """Take the one slot, or say who has it."""
        with self._lock:
            if self.current is None:
                self.current = run
                return None
            if self.current.id == run.id:
                return Reply(
                    202,
                    {
                        "id": run.id,
                        "input": self.current.given,
                        "logs": self.current.logs,
                        "metrics": {},
                        "status": "processing",
                    },
                )
            if self.old:
                return Reply(
                    409,
                    {"detail": "Already running a prediction"},
                    headers=JSON,
                )
            return self._error(
                409, "At capacity - all prediction slots busy", status="failed"
            )

    def _free(self, run):
        with self._lock:
            if self.current is run:
                self.current = None
            if not run.over:
                self.canceled.append(run.id)

    def _finish(self, run, connection):
        try:
            return [
                data
                for kind, data in self._steps(run, connection)
                if kind == "completed"
            ][-1]
        finally:
            self._free(run)

    def _events(self, run, connection):
        yield _server_sent("start", json.dumps({"id": run.id, "status": "processing"}))
        for kind, data in self._steps(run, connection):
            yield _server_sent(kind, json.dumps(data))

    def _steps(self, run, connection):
        """Run the model: pairs of an event's name and its data; last, `completed`."""
        given = run.given
        if self.schema:
            known = self.schema["components"]["schemas"]["Input"]["properties"]
            given = {name: given[name] for name in given if name in known}
        run.logs += self.logs
        if self.logs:
            yield "log", {"data": self.logs, "source": "stdout"}
        try:
            output = self.predict(given)
            several = hasattr(output, "__next__")
            for item in output if several else [output]:
                if not self._pause(run, connection):
                    break
                run.items.append(item)
                yield "output", {"chunk": item, "index": len(run.items) - 1}
            if run.stopped.is_set():
                answer = run.answer("canceled")
            else:
                answer = run.answer(
                    "succeeded", output=run.items if several else run.items[0]
                )
        except Exception as error:  # noqa: BLE001 - whatever the model raises is its failure, not the server's
            answer = run.answer(
                "failed", error=f"Prediction failed: {type(error).__name__}: {error}"
            )
        yield "completed", answer

    def _pause(self, run, connection):
        """Wait as long as the model takes; False once the run is to stop."""
        until = time.monotonic() + self.seconds
        while not run.stopped.is_set():
            if self._closing.is_set() or (
                connection and not self.old and connection.gone()
            ):
                run.stopped.set()
            left = until - time.monotonic()
            if left <= 0:
                break
            run.stopped.wait(min(left, 0.02))
        return not run.stopped.is_set()


# --------------------------------------------------------------------------------------
# The stand-in: the server
# --------------------------------------------------------------------------------------

GZIP_FROM = 1400  # bytes: a smaller body fits one packet anyhow
TOKEN = "r8_test0000000000000000000000000000000000"


class Rule:
    """Answers that a test has scripted for some requests."""

    def __init__(self, method, path, replies, times, share):
        self.method, self.path, self.replies = method, re.compile(path), list(replies)
        more = float("inf") if times is False else 1 if times is None else times
        self.left = len(self.replies) - 1 + more
        self.share, self.chance = share, random.Random(5)

    def matches(self, seen):
        fits = self.method in (None, seen.method) and self.path.fullmatch(seen.path)
        return fits and self.left > 0 and self.chance.random() < self.share

    def next(self):
        self.left -= 1
        if self.share < 1:
            return self.chance.choice(self.replies)
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class Parking(threading.Thread):
    """Keeps held requests until they are due, so that they need no thread each."""

    def __init__(self, api):
        super().__init__(daemon=True)
        self.api, self.heap, self.serial = api, [], itertools.count()

    def park(self, *held):
        """Keep a connection, its reply, and whether it can be used again."""
        with self.api.changed:
            heapq.heappush(self.heap, (time.monotonic(), next(self.serial), held))
            self.api.changed.notify_all()
            if not self.is_alive() and not self.api.closing.is_set():
                self.start()

    def run(self):
        with self.api.changed:
            while not self.api.closing.is_set():
                self.api.changed.wait(self._let_go())
            for _, _, (connection, *held) in self.heap:
                connection.resume(*held)

    def _let_go(self):
        """Go on with those that are due; seconds until the next one is."""
        now = time.monotonic()
        if self.api.shaken:
            self.heap = [(now, *place[1:]) for place in self.heap]
            self.api.shaken = False
        while self.heap and self.heap[0][0] <= now:
            _, serial, (connection, *held) = heapq.heappop(self.heap)
            left = held[0].held.left()
            if left:
                heapq.heappush(self.heap, (now + left, serial, (connection, *held)))
            else:
                connection.resume(*held)
        return max(self.heap[0][0] - time.monotonic(), 0) if self.heap else None


class Connection:
    """One TCP connection: requests in, replies out, until a side has had enough."""

    def __init__(self, api, sock, serial):
        self.api, self.sock, self.serial, self.reader = api, sock, serial, None
        self.thread, self.closed = None, False

    def start(self, *resumed):
        self.thread = threading.Thread(target=self.run, args=resumed, daemon=True)
        self.thread.start()  # not before: it may end before begin() gives it

    def join(self, seconds):
        self.thread.join(seconds)

    def run(self, *resumed):
        """Serve until the end, or until a request is held."""
        parked = False
        try:
            if not resumed:
                self._greet()
            going = not resumed or self._finish(*resumed)
            while going and not self.api.closing.is_set():
                going = self._serve_one()
                parked = going is None
        except (OSError, ValueError, http.client.HTTPException):
            pass  # the other side left, or spoke no HTTP: its own business
        finally:
            if not parked:
                self.close()

    def _greet(self):
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self.api.tls:
            self.sock = self.api.tls.wrap_socket(
                self.sock, server_side=True, do_handshake_on_connect=False
            )
            self.sock.do_handshake()
        self.reader = self.sock.makefile("rb")

    def resume(self, reply, keep):
        """Go on with a request that was held; called by the parking thread."""
        seen, hold = self.seen, reply.held
        self.start(hold.answer(hold.job, reply), seen, keep)

    def close(self):
        for part in (self.reader, self.sock):
            try:
                if part is not None:
                    part.close()
            except OSError:
                pass
        self.closed = True
        self.api.forget(self)

    def wake(self):
        """Make whatever this connection blocks in return; from another thread."""
        with contextlib.suppress(OSError):  # past ssl's own, which is not for threads
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)

    def gone(self):
        """Whether the client has closed its side."""
        with selectors.DefaultSelector() as selector:
            selector.register(self.sock, selectors.EVENT_READ)
            if not selector.select(0):
                return False
        try:
            return not socket.socket.recv(self.sock, 1, socket.MSG_PEEK)
        except OSError:
            return True

    def _serve_one(self):
        """Whether the connection can be used again; None where the request is held."""
        line = self.reader.readline(65536)
        if not line.strip():
            return bool(line)  # a blank line before a request is allowed
        method, target, version = line.decode("latin-1").split()
        headers = self._read_headers()
        if headers.get("Expect", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body, complete = self._read_body(headers)
        seen = self.seen = Seen(method, target, headers, body, complete, self.serial)
        self.api.requests.append(seen)
        if not complete:
            return False
        reply = self.api.reply(seen, self)
        keep = (
            version == "HTTP/1.1" and headers.get("Connection", "").lower() != "close"
        )
        if reply.held:
            self.api.parking.park(self, reply, keep)
            return None
        return self._finish(reply, seen, keep)

    def _read_headers(self):
        """The lines of a head in http.client's type, whose own parser takes long."""
        headers = http.client.HTTPMessage()
        for line in iter(self.reader.readline, b"\r\n"):
            name, colon, value = line.decode("latin-1").partition(":")
            if not colon:
                raise ValueError(f"no header: {line}")
            headers[name] = value.strip()
        return headers

    def _finish(self, reply, seen, keep):
        seen.reply = reply
        try:
            return self._send(reply, seen, keep) and keep
        finally:
            if reply.done:
                reply.done()

    def _read_body(self, headers):
        """The body as far as it came, and whether that is all of it."""
        body = bytearray()
        try:
            if headers.get("Transfer-Encoding", "").lower() != "chunked":
                return self._read_exactly(int(headers.get("Content-Length") or 0), body)
            while True:
                size = int(self.reader.readline(1024).split(b";")[0], 16)
                if (
                    not self._read_exactly(size, body)[1]
                    or self.reader.readline(3) != b"\r\n"
                ):
                    return bytes(body), False
                if not size:
                    return bytes(body), True
        except (OSError, ValueError):
            return bytes(body), False

    def _read_exactly(self, left, body):
        while left:
            block = self.reader.read1(min(left, 1 << 20))
            if not block:
                break
            body += block
            left -= len(block)
        return bytes(body), not left

    def _send(self, reply, seen, keep):
        """Put a reply on the wire; whether the connection may be used again."""
        self.api.closing.wait(reply.delay)
        for code in reply.interim:
            self.sock.sendall(
                b"HTTP/1.1 %d Interim\r\nLink: </x>; rel=preload\r\n\r\n" % code
            )
        if reply.reset and reply.cut is None:
            return self._reset(sent=False)
        if reply.raw is not None:
            self._drip(reply.raw, reply.pause)
            return False
        keep = keep and not reply.close
        closing = {} if keep else {"Connection": "close"}
        if reply.pieces is not None:
            whole = self._send_pieces(reply, closing)
        else:
            whole = self._send_body(reply, seen, closing)
        if not whole:
            return self._reset() if reply.reset else False
        if reply.after:
            self.sock.sendall(reply.after)
        return keep

    def _send_body(self, reply, seen, more):
        body = reply.body
        asked = "gzip" in (seen.headers.get("Accept-Encoding") or "").lower()
        if asked and reply.is_json and len(body) > GZIP_FROM and reply.cut is None:
            body, more = (
                gzip.compress(body, 1),
                dict(more, **{"Content-Encoding": "gzip"}),
            )
        if reply.status not in (204, 304):
            reply.default("Content-Length", str(len(body)))
        if seen.method == "HEAD":
            body = b""
        sent = body if reply.cut is None else body[: reply.cut]
        self._drip(reply.head(**more) + sent, reply.pause)
        return reply.cut is None

    def _send_pieces(self, reply, more):
        """Chunked: each piece a chunk; `cut` counts bytes of the pieces."""
        pieces = iter(reply.pieces)
        left = float("inf") if reply.cut is None else reply.cut
        try:
            self.sock.sendall(
                reply.head(**dict(more, **{"Transfer-Encoding": "chunked"}))
            )
            for number, piece in enumerate(pieces):
                if number:
                    self.api.closing.wait(reply.pause)
                if len(piece) > left:
                    self.sock.sendall(b"%x\r\n%s" % (len(piece), piece[: int(left)]))
                    return False
                left -= len(piece)
                if piece:  # an empty chunk would be the end
                    self.sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            if reply.cut is not None:
                return False
            self.sock.sendall(b"0\r\n\r\n")
            return True
        finally:
            getattr(
                pieces, "close", int
            )()  # a generator must not linger until it is collected

    def _drip(self, data, pause):
        if not pause:
            self.sock.sendall(data)
            return
        for number in range(len(data)):
            if self.api.closing.is_set():
                return
            self.sock.sendall(data[number : number + 1])
            self.api.closing.wait(pause)

    def _reset(self, sent=True):
        if sent:  # let it be read: some systems discard it at a reset
            self.api.closing.wait(0.01)
        self.sock.setsockopt(
            socket.SOL_SOCKET,
            socket.SO_LINGER,
            struct.pack("hh" if os.name == "nt" else "ii", 1, 0),
        )
        return False


class StandIn(Api):
    """The stand-in on a port of loopback; a context manager.

    `speed` divides every time that the service decides on: of runs, holds, deadlines.
    """

    def __init__(self, *, token=TOKEN, tls=None, speed=1.0, port=0):
        super().__init__(token, speed)
        self.tls, self.requests, self.connections = tls, [], 0
        self._rules, self._open = [], set()
        self.cog, self.parking = Cog(self.closing), Parking(self)
        self._listener = self._acceptor = None
        self._port = port

    def __enter__(self):
        return self.start()

    def __exit__(self, *error):
        self.close()

    def start(self):
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if os.name != "nt":  # there the option means something else
            self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", self._port))
        self._listener.listen(512)
        self.url = f"http{'s' if self.tls else ''}://127.0.0.1:{self._listener.getsockname()[1]}"
        self.furnish()
        self._acceptor = begin(self._accept)
        return self

    def close(self):
        if self._listener is None or self.closing.is_set():
            return
        self.closing.set()
        with contextlib.suppress(OSError):  # a caller wakes accept() everywhere
            socket.create_connection(self._listener.getsockname(), timeout=1).close()
        self._acceptor.join(1)
        self._listener.close()
        with self.changed:
            self.changed.notify_all()
            connections = list(self._open)
        for connection in connections:
            connection.wake()
        until = time.monotonic() + 0.15
        for connection in connections:
            connection.join(max(until - time.monotonic(), 0))

    def _accept(self):
        while not self.closing.is_set():
            try:
                sock, _ = self._listener.accept()
            except OSError:  # out of descriptors, perhaps
                self.closing.wait(0.01)
                continue
            if self.closing.is_set():
                sock.close()
                break
            with self.changed:
                self.connections += 1
                connection = Connection(self, sock, self.connections)
                self._open.add(connection)
            connection.start()

    def forget(self, connection):
        with self.changed:
            self._open.discard(connection)

    def seen(self, method=None, path=None):
        """The requests so far, those with this method and a path that fits in full."""
        return [
            seen
            for seen in list(self.requests)
            if method in (None, seen.method)
            and (path is None or re.fullmatch(path, seen.path))
        ]

    def clear(self):
        """Forget requests and counts, and keep everything else."""
        with self.changed:
            del self.requests[:], self.creations[:]
            self.connections = 0

    def answer(self, method, path, *replies, times=None, share=1.0):
        """Script the next answers to some requests, each used once in its order.

        A reply is a Reply, or a callable(seen, connection) that gives one, or None to
        be served normally. `times` is how often the last one is used: once by default,
        False for ever. Rules are tried in the order in which they were made; one with a
        `share` fits so many of the requests, and takes its replies by chance.
        """
        with self.changed:
            self._rules.append(Rule(method, path, replies, times, share))

    def reply(self, seen, connection):
        with self.changed:
            rule = next((rule for rule in self._rules if rule.matches(seen)), None)
            scripted = rule.next() if rule else None
        if callable(scripted):
            scripted = scripted(seen, connection)
        if scripted is not None:
            return scripted
        try:
            reply = self.serve(seen) or self.cog.serve(seen, connection)
        except Exception as error:  # noqa: BLE001 - a bug in here must be seen by the test, as an answer
            return Reply.problem(500, f"bug in the stand-in: {error!r}")
        return reply or Reply.problem(
            404, "The requested resource could not be found.", title="Not found"
        )


# --------------------------------------------------------------------------------------
# The stand-in: its commands
# --------------------------------------------------------------------------------------


def serve(argv):
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="test_replicate.py serve", description=serve.__doc__
    )
    parser.add_argument("--port", type=int, default=0)
    with StandIn(port=parser.parse_args(argv).port) as api:
        print(
            f"export REPLICATE_BASE_URL={api.url}\n"
            f"export REPLICATE_API_TOKEN={api.token}",
            flush=True,
        )
        print(
            "Serving the stand-in API; models: {}. Ctrl-C ends.".format(
                ", ".join(api.catalogue)
            ),
            file=sys.stderr,
        )
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


def run_against_stand_in(argv):
    """Run the client's own command line in this process."""
    with StandIn() as api:
        os.environ.update(
            REPLICATE_BASE_URL=api.url,
            REPLICATE_API_TOKEN=api.token,
            no_proxy="127.0.0.1",
        )
        return replicate.main(argv)


BARE_IMPORT = "import urllib.request, json"

BARE_RUN = """
import json, os, urllib.request
request = urllib.request.Request(
    os.environ["REPLICATE_BASE_URL"] + "/v1/models/test/echo/predictions",
    data=json.dumps({"input": {"text": "Alice"}}).encode(),
    headers={"Content-Type": "application/json", "Prefer": "wait",
             "Authorization": "Bearer " + os.environ["REPLICATE_API_TOKEN"]})
assert json.load(urllib.request.urlopen(request))["output"] == {"text": "Alice"}
"""

OUR_RUN = """
import replicate
assert replicate.run("test/echo", input={"text": "Alice"}) == {"text": "Alice"}
"""

CROWD_CODE = """
import asyncio, replicate
async def main():
    given = [{"seconds": 3 + 7 * number / 1000} for number in range(1001)]
    runs = [replicate.async_run("test/slow", one) for one in given]
    assert len(await asyncio.gather(*runs)) == 1001
asyncio.run(main())
"""

BENCH_ROUNDS = 17

BENCH_REQUESTS = 300


def _process_seconds(code, environment):
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)
    return time.perf_counter() - began


def _medians(ours, bare):
    """Medians of two measures taken in turn; the first round only warms caches up."""
    rounds = [(ours(), bare()) for _ in range(BENCH_ROUNDS)][1:]
    return [statistics.median(times) for times in zip(*rounds)]


def _cpu_seconds(call):
    began = time.process_time()
    for _ in range(BENCH_REQUESTS):
        call()
    return (time.process_time() - began) / BENCH_REQUESTS


def _request_medians(environment):
    """CPU seconds per predictions.get on a kept connection, ours and bare."""
    url, token = environment["REPLICATE_BASE_URL"], environment["REPLICATE_API_TOKEN"]
    client = replicate.Client(api_token=token, base_url=url, proxies={})
    path = (
        "/v1/predictions/"
        + client.predictions.create(model="test/echo", input={"text": "Alice"}).id
    )
    bare = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def bare_get():
        bare.request("GET", path, headers={"Authorization": "Bearer " + token})
        return json.loads(bare.getresponse().read())

    try:
        return _medians(
            lambda: _cpu_seconds(
                lambda: client.predictions.get(path.rsplit("/", 1)[1])
            ),
            lambda: _cpu_seconds(bare_get),
        )
    finally:
        bare.close()


def _measure(environment):
    """Rows of the table: what, ours and bare in seconds, the promise."""

    def both(ours, bare):
        return _medians(
            lambda: _process_seconds(ours, environment),
            lambda: _process_seconds(bare, environment),
        )

    yield [
        "import, whole process, against urllib.request and json",
        *both("import replicate", BARE_IMPORT),
        1.12,
    ]
    yield [
        "one run, whole process, against urllib.request",
        *both(OUR_RUN, BARE_RUN),
        1.10,
    ]
    yield [
        "predictions.get, CPU, against http.client",
        *_request_medians(environment),
        1.3,
    ]
    with contextlib.suppress(ImportError):
        import resource

        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with StandIn(speed=1) as api:
        own = dict(environment, REPLICATE_BASE_URL=api.url)
        own["REPLICATE_API_TOKEN"] = api.token
        took = _process_seconds(CROWD_CODE, own)
    yield ["1,001 runs awaited at once, against the longest", took, 10.0, 1.15]


def bench(argv):
    """Print import time, cold run and cost per request, beside what was promised."""
    environment = {
        name: value
        for name, value in os.environ.items()
        if not name.lower().endswith("_proxy")
    }
    environment.pop(
        "PYTHONDONTWRITEBYTECODE", None
    )  # or compilation would be measured, each time
    environment["PYTHONPATH"] = os.path.dirname(os.path.abspath(replicate.__file__))
    server = subprocess.Popen(
        [sys.executable, os.path.abspath(__file__), "serve"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(2):  # in another process, so that its work is not counted
            name, _, value = server.stdout.readline().decode().split()[1].partition("=")
            environment[name] = value
        title = f"medians of {BENCH_ROUNDS - 1}"
        print(f"{title:54} {'ours':>11} {'bare':>11} {'ratio':>7} {'promise':>8}")
        for what, ours, bare, promise in _measure(environment):
            times = f"{ours * 1000:8.2f} ms {bare * 1000:8.2f} ms"
            times += f" {ours / bare:6.2f}x"
            print(f"{what:54} {times} {promise:7.2f}x", flush=True)
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()
    return 0


UNITTEST = ("-", "test_replicate", "__main__")  # how words for unittest begin


def command_line(argv):
    """`serve`, `bench`; names of tests and options for unittest; any command."""
    if argv[:1] == ["serve"]:
        return serve(argv[1:])
    if argv[:1] == ["bench"]:
        return bench(argv[1:])
    case = globals().get(argv[0].partition(".")[0]) if argv else Case
    is_test = isinstance(case, type) and issubclass(case, unittest.TestCase)
    if not is_test and not argv[0].startswith(UNITTEST):
        return run_against_stand_in(argv)
    return unittest.main(argv=[sys.argv[0], *argv])


# --------------------------------------------------------------------------------------
# The base of the tests
# --------------------------------------------------------------------------------------

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = os.path.abspath(replicate.__file__)
POSIX = os.name == "posix"
PATIENCE = 60.0  # seconds that a machine under load may take for what is done at once
FOX, HOOK = {"prompt": "a fox"}, "https://example.com/hook"
WORDS, LLAMA = "replicate/slow-words", "meta/llama-tiny"  # polled; with a stream
ACCOUNT_PATH, ECHO_PATH = "/v1/account", "/v1/models/test/echo/predictions"


class HandClock:
    """A clock that moves only when somebody sleeps on it."""

    def __init__(self, now=1000.0):
        self.time, self.slept = now, []

    def now(self):
        return self.time

    def sleep(self, seconds, *_):
        self.slept.append(seconds)
        self.time += max(seconds, 0)


def begin(work, *args):
    """A thread that does this, begun."""
    thread = threading.Thread(target=work, args=args, daemon=True)
    thread.start()
    return thread


def at_once(*calls):
    """Do all of these in threads, and wait for their ends."""
    for thread in [begin(call) for call in calls]:
        thread.join(PATIENCE)


def until(condition, seconds=PATIENCE):
    """Whether it comes true in time."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        if sys.implementation.name == "pypy":
            gc.collect()  # what was dropped
        time.sleep(0.001)
    return True


async def async_until(condition):
    while not condition():
        await asyncio.sleep(0.001)


def each(*cases):
    """Run a test with each of these cases, with nothing seen by the server before."""
    if not cases:
        raise ValueError("a table without cases")

    def over(test):
        @functools.wraps(test)
        def run(self):
            for case in cases:
                case = case if isinstance(case, tuple) else (case,)
                shown = [str(getattr(value, "__name__", value))[:80] for value in case]
                with self.subTest(", ".join(shown)):
                    self.clear()
                    test(self, *case)

        return run

    return over


def value_of(text):
    """What a text says in JSON, or else the text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def cells(text):
    """The values in the lines of a text, between bars."""
    lines = text.strip().splitlines()
    return [value_of(cell.strip()) for line in lines for cell in line.split(" | ")]


def rows(text):
    """The rows of a table in a text, a line each."""
    return [tuple(cells(line)) for line in text.strip().splitlines()]


def failure_of(call, *args, **options):
    """The ReplicateError that a call raises, or None; all else fails the test."""
    try:
        call(*args, **options)
    except ReplicateError as error:
        return error
    return None


def says_may_exist(error):
    return re.search(r"\bmay (have (been )?\w+|exist)", str(error)) is not None


def create_echo(client, **given):
    return client.predictions.create(model="test/echo", input=given)


def joined(values):
    return "".join(map(str, values))


def filled(text, words):
    """A text with its words in <> filled in."""
    return re.sub("<(.+?)>", lambda found: words[found.group(1)], text)


def called(client, call, *args, **options):
    """Call a method of a client that is named with its namespaces."""
    for name in call.split("."):
        client = getattr(client, name)
    return client(*args, **options)


class Case(unittest.TestCase):
    """A test with a fresh stand-in, 200 times as fast as life, and its own client."""

    speed, pace = 200, 100

    def setUp(self):
        patch = mock.patch.dict(os.environ)
        patch.start()
        self.addCleanup(patch.stop)
        for name in list(os.environ):
            if name.upper().startswith("REPLICATE_") or name.lower().endswith("_proxy"):
                del os.environ[name]
        os.environ["REPLICATE_POLL_INTERVAL"] = "0.004"
        if threading.current_thread() is threading.main_thread():
            handler = signal.signal(signal.SIGINT, signal.default_int_handler)
            self.addCleanup(signal.signal, signal.SIGINT, handler)  # `&` has it ignored
        self.api = self.another(speed=self.speed)
        self.client = self.client_of()
        self.sketch = self.version_of("stability/sketch")
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)

    def another(self, **options):
        """One more stand-in."""
        api = StandIn(**options).start()
        self.addCleanup(api.close)
        return api

    def client_of(self, **options):
        token, url = options.pop("api_token", self.api.token), self.api.url
        known = {"base_url": url, "proxies": {}, "pace": self.pace}
        return Client(token, **dict(known, **options))

    def turn_clock(self, *, api=False):
        """Give the client a clock turned by hand; with `api`, runs live by it too."""
        clock = self.client._clock = HandClock()
        if api:
            self.api.clock, self.api.speed = clock.now, 1.0
        return clock

    def set_ahead(self, seconds):
        """Put the clock of the client ahead, which goes on by itself."""
        self.client._clock.now = lambda: time.monotonic() + seconds

    def use_default_client(self):
        os.environ.update(
            REPLICATE_API_TOKEN=self.api.token,
            REPLICATE_BASE_URL=self.api.url,
            no_proxy="127.0.0.1",
        )

    # What the server says and saw

    def answer(self, *rule, **options):
        self.api.answer(*rule, **options)

    def seen(self, *which):
        return self.api.seen(*which)

    def clear(self):
        self.api.clear()

    def creations(self):
        """The requests that create predictions."""
        return self.seen("POST", ".*/predictions")

    def cancels(self):
        """The ids of predictions whose cancellation was asked for."""
        found = self.seen("POST", ".*/predictions/[^/]+/cancel")
        return [seen.path.split("/")[-2] for seen in found]

    def polls(self):
        return self.seen("GET", "/v1/predictions/.+")

    def until(self, condition):
        self.assertTrue(until(condition), "it did not come true")

    def assert_seen(self, number, *which):
        self.assertEqual(len(self.seen(*which)), number)

    def assert_nothing_sent(self):
        self.assertEqual(self.seen(), [])

    def assert_created(self, number):
        self.assertEqual(len(self.api.creations), number)

    def assert_given_up(self, number=1):
        """What was created since clear() and did not succeed was cancelled once."""
        self.until(lambda: not set(self.api.running()) & set(self.api.creations))
        states = self.api.predictions
        puts = {seen.path for seen in self.seen("PUT")}  # Cog's
        left = [path.rpartition("/")[2] for path in puts]
        for identity in self.api.creations:
            if states[identity]["status"] != "succeeded":
                left.append(identity)
        self.until(lambda: len(self.cancels()) >= len(left))
        self.assertEqual(sorted(self.cancels()), sorted(left))
        self.assertEqual(len(left), number)

    # What models do

    def version_of(self, model):
        return self.api.catalogue[model].versions[0]["id"]

    def plan(self, model, plan=None, **facts):
        """Make every run of a model go by a plan, or by Plan(**facts)."""
        self.api.catalogue[model].plan = plan or (lambda *_: Plan(**facts))

    def scripted(self, *states, **more):
        """A prediction that goes through states: the first answers its creation."""
        known = dict({"id": "p1", "status": "processing", "model": "test/echo"}, **more)
        first, *later = [Reply(201, dict(known, **state)) for state in states]
        self.answer("POST", "/v1/.*predictions", first)
        if later:
            self.answer("GET", "/v1/predictions/p1", *later)

    # Files and processes

    @property
    def folder(self):
        """A folder of this test."""
        if "_folder" not in vars(self):
            self._folder = pathlib.Path(tempfile.mkdtemp(prefix="replicate-")).resolve()
            self.addCleanup(shutil.rmtree, str(self._folder), ignore_errors=True)
        return self._folder

    def file(self, name, data=b""):
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def copies(self, *names):
        """The folder of this test with copies of replicate.py, compiled if it is."""
        for name in names:
            paths = [MODULE, str(self.file(name))]
            shutil.copy2(*paths)
            caches = [importlib.util.cache_from_source(path) for path in paths]
            with contextlib.suppress(OSError):
                os.makedirs(os.path.dirname(caches[1]), exist_ok=True)
                shutil.copy2(*caches)
        return self.folder

    def python(self, *words, **options):
        """Start a Python that knows the stand-in; it is killed if it hangs."""
        self.use_default_client()
        known = {"PYTHONPATH": os.path.dirname(MODULE), "PYTHONIOENCODING": "utf-8"}
        pipes = dict.fromkeys(("stdout", "stderr"), subprocess.PIPE)
        environment = dict(os.environ, **dict(known, **options.pop("env", {})))
        options = dict({"stdin": subprocess.DEVNULL, "env": environment}, **options)
        process = subprocess.Popen(
            [sys.executable, *map(str, words)], bufsize=0, **dict(pipes, **options)
        )
        self.addCleanup(self.end, process)
        return process

    @staticmethod
    def end(process):
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream:
                stream.close()

    @staticmethod
    def result(process):
        """The exit code of a process and what it wrote."""
        out, err = process.communicate(timeout=PATIENCE)
        texts = [(data or b"").decode("utf-8") for data in (out, err)]
        return (process.returncode, *(text.replace(os.linesep, "\n") for text in texts))


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class ByteServer:
    """Plays a script of bytes to whoever connects.

    data     what it says once something has come, or at once
    drips    one more byte after another, for ever
    reads    how much it takes in before that; None: whole requests, any number of them
    """

    def __init__(self, case, data=b"", *, drips=False, reads=1):
        self.data, self.drips, self.reads = data, drips, reads
        self.got, self.heads, self.sockets = 0, [], []
        self.over = threading.Event()
        self.listener = socket.socket()
        self.listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(16)
        self.place = f"127.0.0.1:{self.listener.getsockname()[1]}"
        self.threads = [begin(self._accept)]
        case.addCleanup(self.close)

    def close(self):
        self.over.set()
        socket.create_connection(self.listener.getsockname()).close()
        for thread in self.threads:
            thread.join(5)
        self.listener.close()

    def _accept(self):
        while True:
            sock, _ = self.listener.accept()
            if self.over.is_set():
                return sock.close()
            self.sockets.append(sock)
            self.threads.append(begin(self._talk, sock))

    def _talk(self, sock):
        with sock, contextlib.suppress(OSError), sock.makefile("rb") as reader:
            if self.reads is None:
                self._take(reader)
            while self.reads and self.got < self.reads:
                self.got += len(reader.read1(1 << 16)) or self.reads
            sock.sendall(self.data)
            end = time.monotonic() + 5  # for a test to fail, and not to hang
            while self.drips and not self.over.wait(0.05) and time.monotonic() < end:
                sock.sendall(b"x")
            if self.reads == 0:
                self.over.wait(8)

    def _take(self, reader):
        """Read a whole request and keep nothing of its body."""
        self.heads.append(reader.readline())
        left = int(http.client.parse_headers(reader)["Content-Length"])
        while left > 0:
            block = len(reader.read1(1 << 16))
            self.got += block
            left = left - block if block else 0


SSE_TYPE = {"Content-Type": "text/event-stream; charset=utf-8"}


def sse_reply(*events, dropped=False, tail=b"", **more):
    """A stream of (event, data, id); dropped: the connection ends in its middle."""
    pieces = [_server_sent(*event) for event in events] + [tail]
    cut = sum(map(len, pieces)) if dropped else None
    return Reply(pieces=pieces, headers=SSE_TYPE, cut=cut, **more)


Ended = namedtuple("Ended", "code out err")


def command(*words, given=b"", **streams):
    """Run a command in this process; its output as bytes."""
    out, err = io.BytesIO(), io.StringIO()
    stdout = io.TextIOWrapper(out, "utf-8", newline="")
    stdin = io.TextIOWrapper(io.BytesIO(given), "utf-8")
    streams = dict({"stdin": stdin, "stdout": stdout, "stderr": err}, **streams)
    with mock.patch.multiple(sys, **streams):
        try:
            code = replicate.main(list(words))
        except SystemExit as error:
            code = error.code
        stdout.flush()
    return Ended(code, out.getvalue(), err.getvalue())


# --------------------------------------------------------------------------------------
# Promise 1: never billed twice
# --------------------------------------------------------------------------------------

HTML = {"Content-Type": "text/html"}
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

# what a network or a server can do to an answer
NETWORK_FAULTS = {
    "reset before the head": Reply(reset=True),
    "reset after the head": Reply(json={"id": "p1"}, cut=0, reset=True),
    "closed without an answer": Reply(raw=b""),
    "closed in the body": Reply(json={"id": "p1", "status": "starting"}, cut=9),
    "closed in a chunk": Reply(pieces=[b'{"id": "p1", "st', b'atus": "x"}'], cut=20),
    "a chunk without a size": Reply(raw=CHUNKED + b"zz\r\n{}\r\n0\r\n\r\n"),
    "a garbage status line": Reply(raw=b"\x16\x03\x01 nonsense\r\n\r\n"),
    "a status of letters": Reply(raw=b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n{}"),
    "too many lines": Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"X: 1\r\n" * 300 + b"\r\n{}"),
    "a line without an end": Reply(raw=b"HTTP/1.1 200 OK\r\nX: " + b"x" * 200000),
}
GARBAGE_FAULTS = {
    "closed in the head": Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Le"),
    "HTML with status 200": Reply(body=b"<html>Welcome</html>", headers=HTML),
    "an empty body": Reply(body=b""),
    "a JSON list": Reply(body=b"[1, 2]", headers=JSON),
    "JSON null": Reply(body=b"null", headers=JSON),
    "no UTF-8": Reply(body=b'{"id": "\xff\xfe"}', headers=JSON),
    "gzip that is none": Reply(body=b"nonsense", headers={"Content-Encoding": "gzip"}),
    "deep nesting": Reply(body=b"[" * 200000),
}
STATUS_FAULTS = {
    "500": Reply.problem(500, "Internal error"),
    "503": Reply.problem(503, "Try later"),
    "HTML 502": Reply(502, body=b"<html><h1>Bad gateway</h1></html>", headers=HTML),
    "a 504 cut short": Reply(504, body=b"x" * 100, cut=10),
}
REFUSALS = {str(s): Reply.problem(s, "No") for s in (400, 401, 402, 404, 422)}
REFUSALS["403 HTML"] = Reply(403, body=b"<b>no</b>")
FAULTS = [
    (name, reply, kind)
    for faults, kind in (
        (NETWORK_FAULTS, NetworkError),
        (GARBAGE_FAULTS, ReplicateError),
        (STATUS_FAULTS, APIError),
        (REFUSALS, None),
    )
    for name, reply in faults.items()
]

# a request of each kind: (may be repeated, method, path, call)
REQUESTS = {
    "GET": (True, "GET", "/v1/predictions/p1", lambda c: c.predictions.get("p1")),
    "GET of a list": (True, "GET", "/v1/models", lambda c: c.models.list()),
    "QUERY": (True, "QUERY", "/v1/models", lambda c: c.models.search("fox")),
    "DELETE": (
        True,
        "DELETE",
        "/v1/models/acme/x",
        lambda c: c.models.delete("acme/x"),
    ),
    "cancel": (
        True,
        "POST",
        "/v1/predictions/p1/cancel",
        lambda c: c.predictions.cancel("p1"),
    ),
    "create": (False, "POST", ECHO_PATH, create_echo),
    "upload": (
        False,
        "POST",
        "/v1/files",
        lambda c: c.files.create(io.BytesIO(b"data")),
    ),
    "PATCH": (
        False,
        "PATCH",
        "/v1/deployments/acme/my-app",
        lambda c: c.deployments.update("acme/my-app", min_instances=0),
    ),
}


class NeverBilledTwice(Case):
    def setUp(self):
        super().setUp()
        self.fault, self.faults = None, []  # for ever; for the next requests

        def fault(seen, connection):
            self.connection = connection
            return self.faults.pop() if self.faults else self.fault

        self.answer(None, ".*", fault, times=False)

    def retrying(self, retries):
        self.client = self.client_of(max_retries=retries)
        return self.turn_clock()

    def test_a_creating_request_is_sent_once_whatever_comes_back_others_repeatedly(
        self,
    ):
        cases = [
            (*fault, name, kept)
            for fault in FAULTS
            for name in REQUESTS
            for kept in (False, True)
            if not (fault[2] is ReplicateError and name == "DELETE")  # reads no JSON
            and (not kept or fault[2] is NetworkError and name in ("GET", "create"))
        ]
        self.assertGreater(len(cases), 150)
        for fault, reply, kind, name, kept in cases:
            with self.subTest(fault=fault, request=name, kept_connection=kept):
                repeatable, method, path, call = REQUESTS[name]
                clock, self.fault = self.retrying(1), None
                if kept:
                    self.client.accounts.current()
                self.clear()
                self.fault = reply
                error = failure_of(call, self.client)
                wanted = 2 if repeatable and kind else 1
                requests = [(seen.method, seen.path) for seen in self.seen(method)]
                self.assertEqual(requests, [(method, path)] * wanted)
                self.assertEqual(len(clock.slept), wanted - 1)
                self.assertIsInstance(error, kind or APIError)
                if (fault, name) != ("404", "create"):  # then the model is looked for
                    self.assert_seen(wanted)
                    self.assertEqual((error.method, error.path), (method, path))
                self.assertNotIn("\n", str(error))
                self.assertEqual(says_may_exist(error), bool(not repeatable and kind))
                if kind in (APIError, None):
                    self.assertEqual(error.status, reply.status)

    @each(*[fault[:2] for fault in FAULTS if fault[2]])
    def test_what_may_be_repeated_succeeds_once_the_fault_is_over(self, name, reply):
        self.retrying(1)
        self.faults = [reply]
        self.assertEqual(self.client.accounts.current().username, "acme")
        self.assert_seen(2, "GET", ACCOUNT_PATH)

    @each(*[fault[:2] for fault in FAULTS if fault[0] != "404"])
    def test_no_retries_means_one_request_and_no_pause(self, name, reply):
        clock, self.fault = self.retrying(0), reply
        self.assertTrue(failure_of(self.client.predictions.get, "p1"))
        self.assertTrue(failure_of(create_echo, self.client))
        self.assertEqual((len(self.seen()), clock.slept), (2, []))

    def test_a_request_that_reached_nobody_is_repeated_also_when_it_creates(self):
        no_tls = ByteServer(self, b"HTTP/1.1 400 Bad Request\r\n\r\n")
        addresses = {
            "refused": f"http://127.0.0.1:{free_port()}",
            "DNS": "http://nowhere.invalid",
            "TLS": f"https://{no_tls.place}",
        }
        for (fault, address), name in itertools.product(addresses.items(), REQUESTS):
            with self.subTest(fault=fault, request=name):
                self.client = self.client_of(base_url=address, max_retries=2)
                clock = self.turn_clock()
                error = failure_of(REQUESTS[name][3], self.client)
                self.assertIsInstance(error, NetworkError)
                self.assertFalse(says_may_exist(error), str(error))
                self.assertEqual(len(clock.slept), 2)

    def test_a_throttled_creation_is_repeated_and_made_once(self):
        self.turn_clock()
        self.faults = [Reply.throttled(7), Reply.throttled(7)]
        prediction = create_echo(self.client, n=1)
        self.assertEqual(self.api.creations, [prediction.id])
        bodies = [seen.json for seen in self.seen("POST", ECHO_PATH)]
        self.assertEqual(bodies, [{"input": {"n": 1}}] * 3)

    def test_a_kept_connection_that_was_closed_is_noticed_before_anything_is_written(
        self,
    ):
        more = b'HTTP/1.1 200 OK\r\nContent-Length: 13\r\n\r\n{"id": "evil"}'
        ends = kept_and_closed({"username": "x"}), Reply(json={}, after=more)
        gets = lambda client: client.models.get("test/echo")  # noqa: E731
        for reply, (made, call) in itertools.product(
            ends, ((1, create_echo), (0, gets))
        ):
            with self.subTest(reply.raw, created=made):
                self.retrying(0)
                self.clear()
                self.faults, sent = [reply], threading.Event()
                reply.done = sent.set
                self.client.accounts.current()
                sent.wait(PATIENCE)
                self.until(lambda r=reply: self.connection.closed or not r.raw)
                self.assertNotEqual(call(self.client).get("id"), "evil")
                self.assertEqual([seen.connection for seen in self.seen()], [1, 2])
                self.assert_created(made)


def kept_and_closed(value):
    """An answer that promises to keep the connection, which the server closes then."""
    body = json.dumps(value).encode()
    head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
    return Reply(raw=f"{head}{len(body)}\r\n\r\n".encode() + body)


# --------------------------------------------------------------------------------------
# Promises 2 and 3: never lost, never orphaned
# --------------------------------------------------------------------------------------

LONG = {"seconds": 1e6}
# how a run is started: the method, what it runs, and its input or inputs
STARTS = {
    "run": ("run", "test/slow", LONG),
    "items": ("run", WORDS, FOX),
    "stream": ("stream", LLAMA, FOX),
    "polled stream": ("stream", WORDS, FOX),
    "map": ("map", "test/slow", [{"seconds": 0}, {"seconds": 2e6}]),
    "Cog": ("run", "<cog>", {"text": "x", "times": 10**6}),
    "Cog's stream": ("stream", "<cog>", {"text": "x", "times": 10**6}),
}
ITERATED = [name for name in STARTS if name != "run"]


def leave_by(error):
    def leave(values):
        try:
            for _ in values:
                raise error
        except error:
            pass

    leave.__name__ = f"leave_by_{error.__name__}"
    return leave


def leave_by_close(values):
    next(values)
    values.close()
    values.close()


def leave_by_break(values):
    for _ in values:
        break


def leave_by_throw(values):
    next(values)
    with contextlib.suppress(KeyError):
        values.throw(KeyError("mine"))


LEFT_EARLY = [leave_by(error) for error in (KeyError, KeyboardInterrupt, SystemExit)]
LEFT_EARLY += [leave_by_close, leave_by_break, leave_by_throw]


async def async_leave_by_break(values):
    async for _ in values:
        break


async def async_leave_by_error(values):
    try:
        async for _ in values:
            raise KeyError
    except KeyError:
        pass


async def async_leave_by_cancel(values):
    first = asyncio.Event()

    async def consume():
        async for _ in values:
            first.set()

    task = asyncio.ensure_future(consume())
    await asyncio.wait_for(first.wait(), PATIENCE)
    await asyncio.sleep(0.005)
    task.cancel()
    await asyncio.wait([task], timeout=PATIENCE)
    assert task.cancelled()


class RunCase(Case):
    """Models whose runs end after weeks, with a first item at once."""

    @staticmethod
    def stuck_plan(given, base, api):
        plan = Plan(items=["one ", "two"], start=0, seconds=1e8)
        plan.events = [(0.0, "output", "one "), (5e7, "output", "two")]
        return plan

    def setUp(self):
        super().setUp()
        for model in (LLAMA, WORDS):
            self.plan(model, self.stuck_plan)

    def started(self, name, prefix="", **options):
        verb, ref, given = STARTS[name]
        ref = self.api.url if ref == "<cog>" else ref
        if verb == "map":
            options.setdefault("wait", False)
        return called(self.client, prefix + verb, ref, given, **options)

    def let_the_first_begin_first(self):
        """A run of test/slow that takes no time is created after another one."""

        def wait(seen, connection):
            if not seen.json["input"]["seconds"]:
                until(lambda: self.api.creations or self.api.closing.is_set())

        self.answer("POST", "/v1/models/test/slow/predictions", wait, times=False)

    async def awaited(self, name, **options):
        """What the twin of a start gives, iterated."""
        values = self.started(name, "async_", **options)
        if not hasattr(values, "__aiter__"):
            values = await values
        return values


class NeverOrphaned(RunCase):
    """However it was started and however it is left: one cancel request."""

    @each(*itertools.product(ITERATED, LEFT_EARLY))
    def test_an_iterator_that_is_left_cancels_its_run_once(self, start, leave):
        self.let_the_first_begin_first()
        leave(self.started(start))
        self.assert_given_up()

    @each(
        *itertools.product(
            ITERATED,
            (async_leave_by_break, async_leave_by_error, async_leave_by_cancel),
        )
    )
    def test_an_asynchronous_iterator_that_is_left_cancels_its_run_once(
        self, start, leave
    ):
        async def scene():
            await leave(await self.awaited(start))

        self.let_the_first_begin_first()
        asyncio.run(scene())
        self.assert_given_up()

    @each("items", "stream", "polled stream")
    def test_an_iterator_that_is_left_unread_cancels_its_run_once(self, start):
        self.started(start).close()
        self.assert_given_up(len(self.api.creations))

    @each("run", *ITERATED)
    def test_ctrl_c_while_waiting_cancels_once(self, start):
        def interrupt():
            until(lambda: first.is_set() or (start == "run" and self.polls()))
            time.sleep(0.005)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)

        self.let_the_first_begin_first()
        first = threading.Event()
        thread = begin(interrupt)
        with self.assertRaises(KeyboardInterrupt):
            options = {"wait": False} if start == "run" else {}
            for _ in self.started(start, **options):
                self.api.cog.seconds = 60
                first.set()
        thread.join()
        self.api.cog.seconds = 0
        self.assert_given_up()

    @each(*itertools.product(("run", "stream", "map"), (2, 20)))
    def test_at_its_timeout_a_run_is_cancelled_and_the_error_carries_it(
        self, verb, seconds
    ):
        clock, self.client.poll_interval = self.turn_clock(api=True), 0.25
        given = [LONG] if verb == "map" else LONG
        start = getattr(self.client, verb)
        values = lambda: start("test/slow", given, wait=False, timeout=seconds)  # noqa: E731
        error = failure_of(lambda: list(values()))
        self.assertIsInstance(error, PredictionTimeout)
        self.assertEqual([error.prediction.id], self.api.creations)
        self.assertIn(error.prediction.id, str(error))
        self.assertAlmostEqual(clock.time - 1000, seconds, delta=0.5)
        self.assert_given_up()

    @each(
        *[("run", reply) for _, reply, kind in FAULTS if kind is not ReplicateError],
        *[(name, STATUS_FAULTS["503"]) for name in ("stream", "map", "use")],
    )
    def test_a_poll_that_fails_carries_the_prediction_and_cancels_it_once(
        self, verb, reply
    ):
        self.client = self.client_of(max_retries=0)
        self.turn_clock()
        calls = {
            "run": lambda: self.client.run("test/slow", LONG, wait=False),
            "stream": lambda: list(self.client.stream("test/slow", LONG)),
            "map": lambda: list(self.client.map("test/slow", [LONG], wait=False)),
            "use": lambda: list(self.client.use("test/slow").stream(**LONG)),
        }
        self.answer("GET", "/v1/predictions/.*", reply)
        error = failure_of(calls[verb])
        self.assertIsInstance(error, (APIError, NetworkError))
        self.assertEqual([error.prediction.id], self.api.creations)
        self.assert_given_up()
        self.assertEqual(len(self.polls()), 1)

    @each(
        *NETWORK_FAULTS.values(),
        *STATUS_FAULTS.values(),
        Reply.problem(400, "no"),
        Reply(json={}),
    )
    def test_a_cancel_that_fails_is_not_repeated_and_hides_nothing(self, reply):
        self.client = self.client_of(max_retries=2, poll_interval=0.5)
        self.turn_clock(api=True)
        self.answer("POST", ".*/cancel", reply)
        error = failure_of(self.client.run, "test/slow", LONG, wait=False, timeout=1)
        self.assertIsInstance(error, PredictionTimeout)
        self.assertEqual([error.prediction.id], self.api.creations)
        self.assertEqual(self.cancels(), self.api.creations)
        events = self.client.stream(LLAMA, FOX)
        next(events)
        self.answer("POST", ".*/cancel", reply)
        with self.assertRaisesRegex(KeyError, "mine"):
            events.throw(KeyError("mine"))
        self.assertEqual(self.cancels(), self.api.creations)

    def test_a_cancel_that_drips_for_ever_is_left_after_five_seconds(self):
        def drip(seen, connection):
            self.set_ahead(4.9)
            return Reply(json={}, pause=0.02)

        self.answer("GET", "/v1/predictions/.*", Reply.problem(404, "gone"))
        self.answer("POST", ".*/cancel", drip)
        began = time.monotonic()
        error = failure_of(self.client.run, "test/slow", LONG, wait=False)
        self.assertEqual((error.status, len(self.cancels())), (404, 1))
        self.assertLess(time.monotonic() - began, 5)

    def test_what_is_read_to_its_end_or_closed_at_its_done_event_is_not_cancelled(self):
        for model in (LLAMA, WORDS):
            self.plan(model, items=["one ", "two"], seconds=1)
        for start in ("items", "stream", "polled stream"):
            values = self.started(start)
            self.assertEqual(joined(values), "one two")
            values.close()
            if start != "items":
                values = self.started(start)
                self.assertTrue(any(event.event == "done" for event in values))
                values.close()
        gc.collect()
        self.assertEqual((len(self.api.creations), self.cancels()), (5, []))

    def test_who_holds_a_prediction_decides_for_himself(self):
        for model, method in itertools.product(
            (LLAMA, WORDS), ("stream", "output_iterator")
        ):
            prediction = self.client.use(model).create(prompt="x")
            for leave in LEFT_EARLY:
                leave(getattr(prediction, method)())
            getattr(prediction, method)().close()
        self.turn_clock(api=True)
        self.client.poll_interval = 0.5
        error = failure_of(prediction.wait, timeout=5)
        self.assertIsInstance(error, PredictionTimeout)
        self.assertEqual(error.prediction.id, prediction.id)
        self.client._clock = HandClock()
        for verb in ("wait", "stream", "output_iterator", "reload"):
            self.answer("GET", "/v1/predictions/.*", Reply(reset=True), times=6)
            call = getattr(prediction, verb)
            error = failure_of(lambda call=call: list(call() or ()))
            self.assertIsInstance(error, NetworkError)
            if verb != "reload":
                self.assertEqual(error.prediction.id, prediction.id)
        gc.collect()
        self.assertEqual((self.cancels(), len(self.api.running())), ([], 4))

    def test_a_map_over_a_deployment_never_goes_on_with_the_public_model(self):
        path = "/v1/deployments/acme/my-app/predictions"
        gone = Reply.problem(404, "it was deleted")
        self.answer("POST", path, lambda *_: None, gone)
        outputs = self.client.map("deployments/acme/my-app", [FOX] * 2, concurrency=1)
        self.assertEqual(failure_of(list, outputs).status, 404)
        self.assert_seen(2, "POST", ".*/predictions")

    def test_a_map_tells_what_it_could_not_cancel(self):
        self.answer("POST", ".*/cancel", Reply.problem(500, "no"), times=False)

        def inputs():
            yield from [LONG, dict(LONG, n=2)]
            until(lambda: len(self.polls()) > 1)
            raise ZeroDivisionError

        outputs = self.client.map("test/slow", inputs(), wait=False)
        with self.assertLogs("replicate", logging.WARNING) as logs:
            self.assertRaises(ZeroDivisionError, list, outputs)
        told = [line for line in logs.output if "could not be cancelled: " in line]
        self.assertTrue(told)
        for run in self.api.creations:
            self.assertIn(run, told[0])


class GivenUpBeforeTheAnswer(RunCase):
    """The creation is in flight: given up, it is cancelled when it is known."""

    def setUp(self):
        super().setUp()
        self.turn_clock()

    def withheld(self, half):
        """Give no answer to creations, or half, until the client has given up."""
        self.arrived, self.go_on = [], threading.Event()
        self.addCleanup(self.go_on.set)

        def hold(seen, connection):
            if seen.json["input"].get("seconds") == 0:
                return None
            reply = self.api.serve(seen)
            if reply.status == 404:  # no official model
                return reply

            def pieces():
                yield reply.body[:40] if half else b""
                self.arrived.append(seen)
                self.go_on.wait(PATIENCE)
                yield reply.body[40 if half else 0 :]

            return Reply(reply.status, pieces=pieces(), headers=JSON)

        self.answer("POST", ".*/predictions", hold, times=False)

    @each(False, True)
    def test_a_cancelled_task_cancels_what_it_was_creating(self, half):
        async def consume(start, options):
            if start == "run":
                return await self.started(start, "async_", **options)
            async for _ in await self.awaited(start, **options):
                pass

        async def scene():
            starts = {
                "run": {"wait": 1},
                "items": {},
                "stream": {},
                "map": {"wait": True},
            }
            tasks = [asyncio.ensure_future(consume(*start)) for start in starts.items()]
            await async_until(lambda: len(self.arrived) == 4)
            for task in tasks:
                task.cancel()
            asyncio.get_running_loop().call_soon(self.go_on.set)
            await asyncio.wait(tasks, timeout=PATIENCE)
            self.assertTrue(all(task.cancelled() for task in tasks))

        self.withheld(half)
        asyncio.run(scene())
        self.assert_given_up(4)

    def test_a_map_that_is_closed_cancels_what_it_was_creating(self):
        self.withheld(False)
        self.client = self.client_of()
        self.client._clock.sleep = lambda _: time.sleep(0.2)  # for both to be given up
        inputs = [{"seconds": 0}, LONG, LONG]
        outputs = self.client.map("test/slow", inputs, concurrency=3)
        next(outputs)
        self.until(lambda: len(self.api.creations) == 3)
        threading.Timer(0.005, self.go_on.set).start()
        outputs.close()
        self.assert_given_up(2)

    def test_a_creation_that_never_came_to_be_cancels_no_other_run(self):
        self.client.use("test/slow").create(**LONG)
        arrived, go_on = threading.Event(), threading.Event()

        def refuse(seen, connection):
            arrived.set()
            go_on.wait(PATIENCE)
            return Reply.problem(422, "refused")

        async def scene():
            task = asyncio.ensure_future(self.client.async_run("test/slow", LONG))
            await async_until(arrived.is_set)
            task.cancel()
            asyncio.get_running_loop().call_soon(go_on.set)
            await asyncio.wait([task], timeout=PATIENCE)

        self.answer("POST", ".*/predictions", refuse)
        asyncio.run(scene())
        self.assertEqual(self.api.running(), self.api.creations)
        self.assertEqual((len(self.api.creations), self.cancels()), (1, []))

    @each((0.1, Reply(delay=60)), (9, Reply(json={}, pause=0.02)))
    def test_a_timeout_with_a_create_in_flight_says_that_the_prediction_may_exist(
        self, silence, reply
    ):
        def late(seen, connection):
            self.set_ahead(30)
            return reply

        self.client = self.client_of(timeout=silence)
        self.answer("POST", ".*", late)
        began, options = time.monotonic(), {"wait": False, "timeout": 30}
        error = failure_of(self.client.run, "test/echo", {}, **options)
        self.assertLess(time.monotonic() - began, 5)
        self.assertIsInstance(error, PredictionTimeout)
        self.assertTrue(says_may_exist(error), str(error))
        self.assertEqual(len(self.creations()), 1)


SCENE = """
import os, signal, sys
import replicate
signal.signal(signal.SIGINT, signal.default_int_handler)
try:
    list(replicate.{}("test/slow", {}, wait=False))
except KeyboardInterrupt:
    sys.exit(130)
finally:
    print("left", flush=True)
"""


@unittest.skipUnless(POSIX, "SIGINT is sent as POSIX has it")
class CtrlC(Case):
    """In processes of their own."""

    def scene(self, verb="run", given=LONG):
        return self.python("-c", SCENE.format(verb, given))

    def test_it_cancels_each_run_once_and_comes_out_also_while_a_creation_is_in_flight(
        self,
    ):
        def late(seen, connection):
            reply = self.api.serve(seen)
            reply.delay = 1.0 if seen.json["input"] != LONG else 0
            return reply

        self.answer("POST", ".*/predictions", late, times=False)
        scenes = [self.scene(given={"seconds": 2e6}), self.scene("map", [LONG])]
        scenes += [self.scene(), self.scene("stream")]
        self.until(lambda: len({seen.path for seen in self.polls()}) >= 3)
        self.until(lambda: len(self.api.creations) == 4)
        for scene in scenes:
            scene.send_signal(signal.SIGINT)
        results = [self.result(scene)[:2] for scene in scenes]
        self.assertEqual(results, [(130, "left\n")] * 4)
        self.assert_given_up(4)

    def test_a_second_one_while_the_cancel_stalls_leaves_at_once(self):
        self.answer("POST", ".*/cancel", Reply(delay=60))
        scene = self.scene()
        self.until(self.polls)
        scene.send_signal(signal.SIGINT)
        self.until(self.cancels)
        began = time.monotonic()
        scene.send_signal(signal.SIGINT)
        self.assertEqual(self.result(scene)[:2], (130, "left\n"))
        self.assertLess(time.monotonic() - began, 4)
        self.assertEqual(len(self.cancels()), 1)


class JobLimit(TimeoutError):
    """What a job queue raises in its signal handler: an OSError by its kind, too."""


GIVEN_UP_BY = (KeyboardInterrupt(), SystemExit(3), JobLimit("over"))


class GivenUpAnywhere(RunCase):
    """Each start, plain and async, held or polled, and each way to be given up."""

    STARTS = ("run", *ITERATED, "use", "use streaming")

    def setUp(self):
        super().setUp()
        self.turn_clock()
        other, strangers = self.client_of(), []
        for ref, given in (
            ("test/slow", LONG),
            ("test/slow", {"seconds": 2e6}),
            (WORDS, FOX),
            (WORDS, {"prompt": "b"}),
            (LLAMA, FOX),
        ):
            strangers.append(other.use(ref).create(**given).id)
        for identity in strangers[::2]:  # of the same input, and older
            self.api.jobs[identity].born_at -= 100
        self.strangers, self.holds = strangers, False
        hold = lambda *args: self.hold(*args)  # noqa: E731
        self.answer("POST", ".*/predictions", hold, times=False)

    def begun(self, start, prefix="", **options):
        self.until(lambda: self.api.cog.current is None)  # the slot is free again
        self.api.cog.seconds = 60
        if start == "map":
            return getattr(self.client, prefix + "map")("test/slow", [LONG], **options)
        if not start.startswith("use"):
            return self.started(start, prefix, **options)
        ref, given = (WORDS, FOX) if start.endswith("streaming") else STARTS["run"][1:]
        use = self.client.use(ref, streaming=start.endswith("streaming"))
        return getattr(use, prefix + "run")(**given)

    def hold(self, seen, connection):
        """The answers to what creates come when the test is over."""
        if not self.holds:
            return None
        reply = self.api.serve(seen)
        reply.held, reply.delay = None, PATIENCE if reply.status < 300 else 0
        return reply

    def is_waited_for(self):
        runs = self.api.running()
        mine = [run for run in self.api.creations if run in runs]
        streams = [seen.path.split("/")[-1] for seen in self.seen("GET", "/stream/.*")]
        looks = {seen.path.split("/")[-1] for seen in self.polls()}
        return self.seen("PUT") or any(run in looks or run in streams for run in mine)

    def is_held(self):
        runs = self.api.running()
        return self.seen("PUT") or any(run in runs for run in self.api.creations)

    def struck(self, moment, error, call, later=0.005):
        """Call it, and raise an error from a signal handler a little after a moment."""

        def handler(*_):
            raise error

        def strike():
            until(moment)
            time.sleep(later)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGALRM)

        known = signal.signal(signal.SIGALRM, handler)
        gc.disable()  # an error within a finalizer is ignored
        thread = begin(strike)
        try:
            call()
        except BaseException as caught:
            self.assertIs(caught, error)
        else:
            self.fail("it was not given up")
        finally:
            gc.enable()
            thread.join()
            signal.signal(signal.SIGALRM, known)

    def assert_mine_alone(self):
        self.assert_given_up()
        self.assertEqual(sorted(self.api.running()), sorted(self.strangers))

    @unittest.skipUnless(POSIX, "signals of POSIX")
    @each(*itertools.product(STARTS, (False, True), GIVEN_UP_BY))
    def test_a_signal_handlers_error_comes_out_as_it_is(self, start, holds, error):
        self.holds, options = holds, {}
        if start == "use" and not holds:  # as run, but it would be held a second
            return
        if start in ("run", "map") and not holds:
            options = {"wait": False}
        moment = self.is_held if holds else self.is_waited_for
        self.struck(moment, error, lambda: list(self.begun(start, **options)))
        self.assert_mine_alone()

    def async_given_up(self, moment, start, **options):
        """What comes of a task that is cancelled at a moment."""

        async def consume():
            values = self.begun(start, "async_", **options)
            if not hasattr(values, "__aiter__"):
                values = await values
            async for _ in values:
                pass

        async def scene():
            task = asyncio.ensure_future(consume())
            if moment:
                await async_until(moment)
                await asyncio.sleep(0.005)
                task.cancel()
            await asyncio.wait([task], timeout=PATIENCE)
            return task.cancelled() or task.exception()

        return asyncio.run(scene())

    @each(*itertools.product(STARTS, (False, True)))
    def test_a_cancelled_task_gives_up_what_it_waits_for(self, start, holds):
        self.holds, options = holds, {}
        if start == "use" and not holds:
            return
        if start in ("run", "map") and not holds:
            options = {"wait": False}
        moment = self.is_held if holds else self.is_waited_for
        self.assertIs(self.async_given_up(moment, start, **options), True)
        self.assert_mine_alone()

    @each("run", "map")
    def test_a_timeout_finds_what_was_created(self, start):
        def hold(seen, connection):
            self.set_ahead(59.95)
            body = self.api.serve(seen).body
            return Reply(201, pieces=[body[:9], body[9:]], pause=PATIENCE, headers=JSON)

        self.hold, self.client = hold, self.client_of()
        error = self.async_given_up(None, start, timeout=60)
        self.assertIsInstance(error, PredictionTimeout)
        self.assert_mine_alone()

    @each(*itertools.product(("run", "items", "stream", "polled stream", "map"), "sa"))
    def test_what_on_update_raises_gives_it_up_and_comes_out(self, start, face):
        def refuse(prediction):
            self.assertIn(prediction.id, self.api.creations)
            raise error

        error = KeyError("mine")
        options = {"wait": False} if start in ("run", "map") else {}
        if face == "a":
            came = self.async_given_up(None, start, on_update=refuse, **options)
        else:
            with self.assertRaises(KeyError) as caught:
                list(self.begun(start, on_update=refuse, **options))
            came = caught.exception
        self.assertIs(came, error)
        self.assert_mine_alone()

    @each(200, 502)
    def test_where_none_fits_for_certain_the_late_answer_names_mine(self, listed):
        go_on = threading.Event()
        self.addCleanup(go_on.set)

        def hold(seen, connection):
            reply = self.api.serve(seen)
            reply.held = None
            go_on.wait(PATIENCE)
            return reply

        given = {"seconds": 3e6}
        twin = self.client_of().use("test/slow").create(**given).id
        self.clear()
        self.hold = hold
        if listed != 200:
            self.answer("GET", "/v1/predictions", Reply.problem(listed, "no"))
        run = lambda: self.client.run("test/slow", given)  # noqa: E731
        self.struck(self.is_held, KeyboardInterrupt(), run)
        self.assertEqual((len(self.seen("GET", ".*")), self.cancels()), (1, []))
        go_on.set()
        self.assert_given_up()
        self.assertIn(twin, self.api.running())


BATCH = """if True:
    import sys, time, replicate
    class Clock:
        now, sleep = time.monotonic, lambda self, s: time.sleep(min(s, 0.02))
    client = replicate.Client(pace=100)
    client._clock = Clock()
    inputs = [{{"seconds": 1 + n % 5, "n": n // 2}} for n in range({})]
    options = dict(journal={!r}, ordered=False, concurrency=6)
    for index, output in client.map("test/slow", inputs, **options):
        print(index, output)
"""
FORKS = """if True:  # runs code in forks of itself, which need not import anything
    import asyncio, json, os, sys, replicate
    for code in sys.stdin:
        child = os.fork()
        if not child:
            print(os.getpid(), flush=True)
            break
        print("\\nended", os.waitpid(child, 0)[1], flush=True)
    if not child:
        exec(json.loads(code))
"""
KILLS = 40 if os.environ.get("REPLICATE_LONG") else 12


# --------------------------------------------------------------------------------------
# Promise 4: never called done when it is not
# --------------------------------------------------------------------------------------


class NeverCalledDone(RunCase):
    @each(
        *itertools.product(
            ("failed", "canceled", "aborted", "exploded"), ("run", "stream", "map")
        )
    )
    def test_anything_but_success_is_a_model_error_also_a_status_unknown_today(
        self, status, verb
    ):
        self.scripted({"status": status, "error": "boom", "logs": "why"})
        call = getattr(self.client, verb)
        error = failure_of(
            lambda: list(call("test/echo", [{}] if verb == "map" else {}))
        )
        self.assertIsInstance(error, ModelError)
        found = error.prediction
        self.assertEqual((found.id, found.status, found.logs), ("p1", status, "why"))
        self.assertIn("boom", str(error))
        self.assert_seen(1)

    def test_a_held_answer_that_still_counts_as_processing_is_polled_for_its_end(self):
        output = self.client.run("stability/sketch", FOX)
        self.assertEqual(len(self.polls()), 1)
        self.assertRegex(output[0], "^http")
        held = self.client.predictions.create(
            model="stability/sketch", input=FOX, wait=True
        )
        self.assertEqual((held.status, held.output[0][:5]), ("processing", "data:"))
        self.assertEqual(held.output[0].read()[:4], b"\x89PNG")
        self.assertEqual(len(self.polls()), 1)

    def test_a_prediction_that_failed_is_waited_for_without_an_error(self):
        self.turn_clock(api=True)
        prediction = self.client.predictions.create(model="test/fails", input={})
        self.assertIsNone(prediction.wait())
        self.assertEqual(prediction.status, "failed")
        self.assertEqual(prediction.error, "boom: out of memory")

    def test_every_way_to_follow_a_failed_run_raises_after_its_items(
        self,
    ):
        for model in (LLAMA, WORDS):
            self.plan(model, items=["partial ", "output"], error="boom: out of memory")
        ways = {
            **{
                name: lambda n=name: self.started(n)
                for name in STARTS
                if "stream" in name
            },
            "items": lambda: self.started("items"),
            "its stream": lambda: self.client.use(LLAMA).create(prompt="x").stream(),
            "its items": lambda: self.client.use(WORDS).create(**FOX).output_iterator(),
        }
        del ways["Cog's stream"]
        for name, make in ways.items():
            with self.subTest(name):
                came = []
                with self.assertRaisesRegex(ModelError, "boom") as caught:
                    iterated(make(), came)
                self.assertEqual("".join(came), "partial output")
                self.assertEqual(caught.exception.prediction.id, self.api.creations[-1])
        self.assertEqual((len(self.api.creations), self.cancels()), (len(ways), []))

    @each(
        ("error", json.dumps({"detail": "boom"})),
        ("error", "boom"),
        ("done", '{"reason": "error"}'),
        ("done", '{"reason": "canceled"}'),
    )
    def test_a_stream_that_tells_of_a_failure_raises_after_what_came(self, event, data):
        self.turn_clock()
        ends = [("output", "a", "1"), ("output", "b", "2"), (event, data, "3")]
        self.answer("GET", "/stream/.*", sse_reply(*ends))
        came = []
        with self.assertRaises(ModelError) as caught:
            iterated(self.started("stream"), came)
        self.assertEqual("".join(came), "ab")
        self.assertEqual(caught.exception.prediction.id, self.api.creations[-1])
        self.assertIn("boom" if event == "error" else "", str(caught.exception))

    def test_a_training_is_followed_by_its_kind_whatever_its_urls_say(self):
        state = {
            "id": "t1",
            "status": "processing",
            "urls": {"get": self.api.url + "/v1/predictions/t1"},
            "output": {"version": "acme/x:1", "weights": "w"},
        }
        ended = Reply(json=dict(state, status="succeeded"))
        self.answer("GET", "/v1/trainings/t1", *[Reply(json=state)] * 3, ended)
        canceled = Reply(json=dict(state, status="canceled"))
        self.answer("POST", "/v1/trainings/t1/cancel", canceled)
        training = self.client.trainings.get("t1")
        training.reload()
        self.assertIsNone(training.wait())
        self.assertEqual(training.status, "succeeded")
        self.assertEqual(training.output.version, "acme/x:1")
        training.cancel()
        self.assertEqual(training.status, "canceled")
        paths = ["/v1/trainings/t1"] * 4 + ["/v1/trainings/t1/cancel"]
        self.assertEqual([seen.path for seen in self.seen()], paths)


def iterated(values, came):
    """The values one by one into a list, so that those before an error are kept."""
    for value in values:
        came.append(str(value))


# --------------------------------------------------------------------------------------
# Promise 5: never leaks the token
# --------------------------------------------------------------------------------------

SECRET_TOKEN = "r8_Q7xVn3LkWz9TbYc5RmHs2JdPf8GaEu4KiNo6"
SECRET_HEADER = "hunter2-of-a-gateway"


def echoes(secret):
    """Answers that repeat a secret, wherever an answer can."""
    whole, line = "Bearer " + secret, b"Bearer " + secret.encode()
    closes = b"\r\nConnection: close\r\n\r\n"
    return {
        "detail": Reply.problem(403, "You sent " + whole),
        "title": Reply.problem(403, "no", title=whole, instance=whole, type=whole),
        "text": Reply(500, body=line * 3, headers=TEXT),
        "HTML": Reply(502, body=b"<html><b>" + line + b"</b></html>"),
        "header": Reply(400, {}, headers={"X-Echo": whole, "X-Request-Id": secret}),
        "headers of one name": Reply(
            raw=b"HTTP/1.1 400 Bad" + (b"\r\nX-Echo: " + line) * 2 + closes
        ),
        "reason": Reply(raw=b"HTTP/1.1 418 " + line + closes),
        "status line": Reply(raw=line + b"\r\n\r\n"),
        "status": Reply(raw=b"HTTP/1.1 " + line + b"\r\n\r\n"),
        "chunk size": Reply(raw=CHUNKED + line + b"\r\n\r\n"),
        "no JSON": Reply(200, body=line),
        "no JSON, cut by a limit": Reply(200, body=b"x" * 35 + line),
        "cut by a limit": Reply(500, body=b"x" * (65529 - len(secret) // 2) + line),
        "a JSON list": Reply(200, [whole]),
        "redirect to nowhere": Reply(302, headers={"Location": "ftp://x/?" + secret}),
        "redirect": Reply(302, body=b"", headers={"Location": "/none?" + secret}),
    }


class NeverLeaksTheToken(Case):
    def setUp(self):
        super().setUp()
        self.api.token, self.own = SECRET_TOKEN, {"X-Gateway": SECRET_HEADER}
        self.client = self.client_of(
            api_token=f" '{SECRET_TOKEN}'\n", headers=self.own, max_retries=0
        )
        self.turn_clock()

    def assert_silent(self, *texts):
        for text, secret in itertools.product(texts, (SECRET_TOKEN, SECRET_HEADER)):
            for start in range(len(secret) - 11):
                self.assertNotIn(secret[start : start + 12], text)

    @staticmethod
    def all_of(error):
        """Whatever an error shows: in words, attributes, pickled, in its traceback."""
        facts = [repr(value) for value in vars(error).values()]
        facts += [str(error.headers), str(error.body), str(error), repr(error)]
        trace = traceback.format_exception(type(error), error, error.__traceback__)
        return facts + trace + [pickle.dumps(error).decode("latin-1")]

    def frames_of(self, error):
        """The variables of our frames that an error and its causes passed."""
        while error is not None:
            trace = traceback.TracebackException.from_exception(
                error, capture_locals=True
            )
            for frame in trace.stack:
                if frame.filename == replicate.__file__:
                    yield frame.name, ""
                    yield from (frame.locals or {}).items()
            error = error.__cause__ or error.__context__

    @each(
        ("GET", "/v1/predictions/.*", Reply(reset=True)),
        ("GET", "/v1/predictions/.*", Reply.problem(500, "x")),
        ("GET", "/v1/predictions/.*", Reply(200, body=b"x")),
        ("GET", "/v1/predictions/.*", Reply(302, headers={"Location": "ftp://x"})),
        ("POST", ".*", Reply(reset=True)),
        ("POST", ".*", Reply.problem(422, "no")),
    )
    def test_the_variables_of_our_frames_do_not_show_it_in_a_traceback(self, *rule):
        self.answer(*rule)
        error = failure_of(self.client.run, "test/slow", LONG, wait=False)
        shown = list(self.frames_of(error))
        self.assertTrue(shown)
        self.assert_silent(*(value for _, value in shown))
        self.assertIn(SECRET_TOKEN, self.seen()[0].headers["Authorization"])

    def test_a_malformed_token_stands_in_clear_in_no_frame_of_ours(self):
        os.environ["REPLICATE_API_TOKEN"] = "r8_secret part"
        asks = Client(base_url=self.api.url).accounts.current
        for make in (lambda: Client(api_token="r8_secret part"), asks):
            shown = []
            try:
                make()
            except (ValueError, ReplicateError) as error:
                shown = list(self.frames_of(error))
            self.assertTrue(shown)
            for name, value in shown:
                if name != "api_token":  # the caller's own argument
                    self.assertNotIn("r8_secret", value)

    @each(
        *[
            (method, *echo)
            for secret in (SECRET_TOKEN, SECRET_HEADER)
            for echo in echoes(secret).items()
            for method in ("GET", "POST")
        ]
    )
    def test_a_server_that_echoes_it_is_redacted(self, method, name, reply):
        self.answer(method, ".*", reply)
        with self.assertLogs("replicate", logging.DEBUG) as logs:
            call = create_echo if method == "POST" else REQUESTS["GET"][3]
            error = failure_of(call, self.client)
        self.assertIsInstance(error, ReplicateError)
        self.assertIn(SECRET_TOKEN, self.seen()[0].headers["Authorization"])
        self.assert_silent(*self.all_of(error), *logs.output)

    def test_it_is_in_no_repr_and_in_no_debug_output_of_http_client(self):
        out = io.StringIO()
        with mock.patch.object(
            http.client.HTTPConnection, "debuglevel", 1
        ), contextlib.redirect_stdout(out), self.assertLogs("replicate", 10) as logs:
            prediction = create_echo(self.client, text="hello")
            failure_of(self.client.predictions.get, "none")
        for seen in self.seen():
            self.assertEqual(seen.headers["Authorization"], "Bearer " + SECRET_TOKEN)
            self.assertEqual(seen.headers["X-Gateway"], SECRET_HEADER)
        os.environ["REPLICATE_API_TOKEN"] = SECRET_TOKEN
        things = [self.client, replicate.default_client, self.client.models, prediction]
        things += [vars(self.client), self.client.use("test/echo")]
        self.assert_silent(out.getvalue(), *logs.output, *map(repr, things))
        with self.assertRaises(Exception) as caught:
            pickle.dumps(self.client)
        self.assert_silent(str(caught.exception))

    def test_neither_it_nor_the_callers_headers_go_to_another_origin(self):
        other = self.another()
        for server in (self.api, other):
            server.answer("GET", "/out.*", Reply(body=b"data"), times=False)
        own, far = (urlsplit(server.url).netloc for server in (self.api, other))
        local = other.url.replace("127.0.0.1", "localhost")
        addresses = [
            f"http://{own}/out",
            f"http://{far}/out",
            f"{local}/out",
            f"http://{own}@{far}/out",
            f"http://x@{own}/",
            f"http://{far}/out/{own}",
            f"http://{far}?http://{own}/out",
            f"http://{far}\\@{own}/out",
            f"http://{far}#@{own}/out",
        ]
        for output in self.client.run("test/echo", {"files": addresses})["files"]:
            try:
                output.read()
            except (ReplicateError, ValueError):
                self.assertNotIn(output, addresses[:3])  # an odd address may be refused
        self.assertTrue(other.seen("GET", "/out"))
        for seen in other.seen() + self.seen("GET", "/"):
            headers = [
                seen.headers[n] for n in ("Authorization", "X-Gateway", "Cookie")
            ]
            self.assertEqual(headers, [None] * 3)
            self.assert_silent(str(seen.headers))
        self.assertEqual(self.own, {"X-Gateway": SECRET_HEADER})
        self.assertEqual(self.seen("POST")[0].headers["X-Gateway"], SECRET_HEADER)

    def test_a_stream_of_another_origin_gets_neither(self):
        self.plan(LLAMA, items=["a", "b"], seconds=1e6)
        prediction = self.client.use(LLAMA).create(prompt="x")
        other = self.another()
        dropped = sse_reply(("output", "a", "1"), dropped=True)
        ended = sse_reply(("output", "b", "2"), ("done", "{}", "3"))
        other.answer("GET", "/s", dropped, ended)
        self.api.force(prediction.id, urls={"stream": other.url + "/s"})
        prediction.reload()
        self.assertEqual(joined(prediction.stream()), "ab")
        resumed = [seen.headers["Last-Event-ID"] for seen in other.seen()]
        self.assertEqual(resumed, [None, "1"])
        for seen in other.seen():
            self.assert_silent(str(seen.headers), seen.target)

    @each("abc\ndef" + SECRET_TOKEN, SECRET_TOKEN + "\1x", SECRET_TOKEN + "\r\nX: 1")
    def test_a_token_with_a_control_character_is_refused_and_not_shown(self, bad):
        os.environ["REPLICATE_API_TOKEN"] = bad
        for options in ({"api_token": bad + "\0"}, {"api_token": None}):
            with self.assertRaises((ValueError, ReplicateError)) as caught:
                self.client_of(**options).accounts.current()
            self.assert_silent(str(caught.exception))
        with self.assertRaises((ValueError, TypeError, ReplicateError)):
            self.client_of(headers={"X": "1\r\nY: 2"}).accounts.current()
        self.assert_nothing_sent()

    def test_an_empty_token_of_a_call_is_charged_to_nobody_else(self):
        error = failure_of(self.client.run, "test/echo", {}, api_token="")
        self.assertIn("REPLICATE_API_TOKEN", str(error))
        self.assert_nothing_sent()


class ForwardProxy(http.server.BaseHTTPRequestHandler):
    """A forward proxy: CONNECT tunnels, and requests for http:// addresses."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def allowed(self):
        self.server.lines.append((self.requestline, dict(self.headers)))
        wanted = self.server.credentials
        if (
            wanted is None
            or self.headers.get("Proxy-Authorization")
            == "Basic " + base64.b64encode(wanted).decode()
        ):
            return True
        self.send_response(407)
        self.send_header("Proxy-Authenticate", "Basic")
        self.send_header("Content-Length", "0")
        self.end_headers()
        return False

    def do_CONNECT(self):
        if not self.allowed():
            return
        host, port = self.path.rsplit(":", 1)
        with socket.create_connection(
            (host, int(port))
        ) as far, selectors.DefaultSelector() as selector:
            self.send_response(200)
            self.end_headers()
            ends = {self.connection: far, far: self.connection}
            for sock in ends:
                selector.register(sock, selectors.EVENT_READ)
            while ends:
                for key, _ in selector.select(0.1):
                    data = key.fileobj.recv(65536)
                    if not data:
                        ends = {}
                        break
                    ends[key.fileobj].sendall(data)
                if self.server.over.is_set():
                    break
        with contextlib.suppress(OSError):
            self.connection.shutdown(socket.SHUT_RDWR)
        self.close_connection = self.server.closed = True

    def forward(self):
        if not self.allowed():
            return
        where = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        far = http.client.HTTPConnection(where.netloc, timeout=20)
        far.request(self.command, where.path or "/", body, dict(self.headers))
        answer = far.getresponse()
        content = answer.read()
        self.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in ("connection", "content-length"):
                self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
        far.close()

    do_GET = do_POST = forward


class ProxyCase(Case):
    def setUp(self):
        super().setUp()
        self.proxy = http.server.ThreadingHTTPServer(("127.0.0.1", 0), ForwardProxy)
        self.proxy.lines, self.proxy.credentials = [], None
        self.proxy.closed = False
        self.proxy.over = threading.Event()
        self.proxy.handle_error = lambda request, address: None  # who leaves is no news
        self.proxy.block_on_close, self.proxy.daemon_threads = False, True
        begin(self.proxy.serve_forever, 0.02)
        for step in "server_close", "shutdown":
            self.addCleanup(getattr(self.proxy, step))
        self.addCleanup(self.proxy.over.set)
        self.place = f"127.0.0.1:{self.proxy.server_address[1]}"
        self.proxied = {"http": "http://" + self.place, "https": "http://" + self.place}

    def through(self, api, proxies=None, **options):
        options = dict({"max_retries": 0, "proxies": proxies}, **options)
        return Client(api.token, base_url=api.url, **options)


class Proxies(ProxyCase):
    def test_requests_for_http_go_through_it_whole_and_once(self):
        client = self.through(self.api, self.proxied)
        prediction = create_echo(client, n=1)
        self.assertEqual(client.predictions.get(prediction.id).output, {"n": 1})
        got = f"GET {self.api.url}/v1/predictions/{prediction.id} HTTP/1.1"
        lines = [f"POST {self.api.url}{ECHO_PATH} HTTP/1.1", got]
        self.assertEqual([line for line, _ in self.proxy.lines], lines)
        self.assertEqual(self.api.creations, [prediction.id])

    def test_the_environment_names_it_and_no_proxy_spares_hosts(self):
        client, here = self.through(self.api), "http://" + self.place
        for variables, wanted in (
            ({"http_proxy": here}, 1),
            ({"http_proxy": ""}, 0),
            ({"http_proxy": here, "no_proxy": "127.0.0.1"}, 0),
            ({"http_proxy": here, "NO_PROXY": "*"}, 0),
        ):
            with self.subTest(variables), mock.patch.dict(os.environ, variables):
                del self.proxy.lines[:]
                client.accounts.current()
                self.assertEqual(len(self.proxy.lines), wanted)
        os.environ["http_proxy"] = here
        self.through(self.api, {}).accounts.current()
        self.assertEqual((self.proxy.lines, len(self.seen())), ([], 5))

    def test_credentials_go_to_the_proxy_alone_and_a_407_is_told_without_them(self):
        self.proxy.credentials = b"user:pass:word"
        right = "http://user:pass%3Aword@" + self.place
        self.through(self.api, {"http": right}).accounts.current()
        lines = [line for line, _ in self.proxy.lines]
        self.assertEqual(lines, [f"GET {self.api.url}{ACCOUNT_PATH} HTTP/1.1"])
        wrong = dict.fromkeys(self.proxied, "http://user:hunter2@" + self.place)
        gets = REQUESTS["GET"][3]
        bases = (self.api.url, "https://api.invalid")
        for base, call in itertools.product(bases, (gets, create_echo)):
            with self.subTest(base, call=call):
                del self.proxy.lines[:]
                client = self.client_of(base_url=base, proxies=wrong, max_retries=2)
                client._clock = HandClock()
                error = failure_of(call, client)
                shown = "".join(NeverLeaksTheToken.all_of(error))
                self.assertNotIn("hunter2", shown)
                self.assertNotIn(base64.b64encode(b"user:hunter2").decode(), shown)
                self.assertIn("407", str(error))
                self.assertFalse(says_may_exist(error), str(error))
                self.assertEqual(len(self.proxy.lines), 1)
                if base != self.api.url:
                    self.assertIsInstance(error, NetworkError)
                    self.assertIn(self.place, str(error))
        self.assert_seen(1)

    def test_one_that_is_not_there_is_named_without_its_password_and_nothing_was_made(
        self,
    ):
        place = f"127.0.0.1:{free_port()}"
        proxies = dict.fromkeys(self.proxied, f"http://user:hunter2@{place}")
        for base in (self.api.url, "https://api.invalid"):
            client = self.client_of(base_url=base, proxies=proxies, max_retries=0)
            error = failure_of(create_echo, client)
            self.assertIsInstance(error, NetworkError)
            self.assertIn(place, str(error))
            self.assertNotIn("hunter2", str(error) + repr(vars(error)))
            self.assertFalse(says_may_exist(error), str(error))
        self.assert_nothing_sent()

    def test_a_proxys_address_that_is_none_is_told(self):
        client = self.client_of(proxies={"http": "http://:0"})
        self.assertIn("proxy", str(failure_of(client.accounts.current)))


CERTIFICATE = """[req]
distinguished_name = name
x509_extensions = more
prompt = no
[name]
CN = localhost
[more]
subjectAltName = IP:127.0.0.1, DNS:localhost
basicConstraints = critical, CA:TRUE
keyUsage = critical, digitalSignature, keyCertSign
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
"""


@unittest.skipUnless(shutil.which("openssl"), "needs the openssl command")
class Certificates(ProxyCase):
    """TLS with a certificate that nobody knows."""

    @classmethod
    def setUpClass(cls):
        folder = tempfile.mkdtemp()
        cls.addClassCleanup(shutil.rmtree, folder)
        names = ("config", "key.pem", "cert.pem")
        config, key, cls.certificate = (os.path.join(folder, name) for name in names)
        with open(config, "w") as file:
            file.write(CERTIFICATE)
        line = "openssl req -x509 -newkey rsa:2048 -nodes -days 30 -config"
        words = [*line.split(), config, "-keyout", key, "-out", cls.certificate]
        if subprocess.run(words, check=False, stderr=subprocess.DEVNULL).returncode:
            raise unittest.SkipTest("this openssl command makes no certificate")
        cls.server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cls.server_side.load_cert_chain(cls.certificate, key)

    def setUp(self):
        super().setUp()
        self.secure = self.another(tls=self.server_side, speed=50)
        self.trust = ssl.create_default_context(cafile=self.certificate)

    @each(create_echo, REQUESTS["GET"][3])
    def test_an_untrusted_one_is_told_with_what_to_do_and_not_tried_again(self, call):
        self.secure.clear()
        client = self.through(self.secure, {}, max_retries=5)
        clock = client._clock = HandClock()
        error = failure_of(call, client)
        self.assertIsInstance(error, NetworkError)
        self.assertRegex(
            str(error), "SSL_CERT_FILE.*ssl_context|ssl_context.*SSL_CERT_FILE"
        )
        self.assertFalse(says_may_exist(error))
        self.assertEqual((clock.slept, self.secure.connections), ([], 1))
        self.assertEqual(self.secure.seen(), [])

    def test_a_context_or_ssl_cert_file_makes_it_trusted(self):
        client = self.through(self.secure, {}, ssl_context=self.trust)
        self.assertEqual(client.accounts.current().username, "acme")
        os.environ["SSL_CERT_FILE"] = self.certificate
        client = self.through(self.secure, {})
        self.assertEqual(client.run("test/echo", {"n": 1}), {"n": 1})
        client.accounts.current()
        self.assertEqual([seen.connection for seen in self.secure.seen()], [1, 2, 2])

    def test_a_redirect_from_https_to_http_is_refused_and_one_across_is_followed(self):
        client = self.through(self.secure, {}, ssl_context=self.trust)
        down = {"Location": f"{self.api.url}/x?{self.secure.token}"}
        for code in (301, 307):
            self.secure.answer("GET", ".*", Reply(code, body=b"", headers=down))
            error = failure_of(client.accounts.current)
            self.assertIsInstance(error, ReplicateError)
            self.assertNotIn(self.secure.token, str(error))
        across = {"Location": self.secure.url + "/there"}
        self.secure.answer("GET", "/across", Reply(302, body=b"", headers=across))
        self.secure.answer("GET", "/there", Reply(body=b"there"))
        output = client.run("test/echo", {"f": self.secure.url + "/across"})["f"]
        self.assertEqual((output.read(), self.seen()), (b"there", []))

    def test_one_tunnel_serves_many_requests_and_the_proxy_sees_no_token(self):
        self.proxy.credentials = b"user:pass:word"
        right = {"https": "http://user:pass%3Aword@" + self.place}
        client = self.through(self.secure, right, ssl_context=self.trust)
        for number in range(10):
            self.assertEqual(create_echo(client, n=number).input, {"n": number})
            client.accounts.current()
        self.assertEqual(len(self.secure.seen()), 20)
        ((line, headers),) = self.proxy.lines
        place = urlsplit(self.secure.url).netloc
        self.assertEqual(line.split()[:2], ["CONNECT", place])
        self.assertNotIn(self.secure.token, str(headers))
        told = {seen.headers["Proxy-Authorization"] for seen in self.secure.seen()}
        self.assertEqual(told, {None})
        os.environ.update(https_proxy="http://" + self.place, no_proxy="127.0.0.1")
        self.through(self.secure, ssl_context=self.trust).accounts.current()
        self.assertEqual(len(self.proxy.lines), 1)

    @each({}, None)
    def test_a_connection_that_the_server_closed_inside_a_tunnel_or_tls_is_noticed(
        self, proxies
    ):
        self.secure.clear()
        proxies = self.proxied if proxies is None else proxies
        client = self.through(self.secure, proxies, ssl_context=self.trust)
        kept = []

        def close(seen, connection):
            kept.append(connection)
            return kept_and_closed({"username": "x"})

        self.secure.answer("GET", ACCOUNT_PATH, close)
        client.accounts.current()
        self.until(lambda: kept[0].closed and (not proxies or self.proxy.closed))
        create_echo(client)
        self.assertEqual([seen.connection for seen in self.secure.seen()], [1, 2])
        self.assertEqual(len(self.secure.creations), 1)


class Attacked(Case):
    """What was found by attacking the first edition (issue 15)."""

    frames_of = NeverLeaksTheToken.frames_of
    assert_silent = NeverLeaksTheToken.assert_silent
    SECRET = "/v1/webhooks/default/secret"

    def output(self, address):
        return self.client.run("test/echo", {"file": address})["file"]

    def test_no_output_and_no_redirect_reaches_the_secrets_of_the_api(self):
        other, own = self.another(), self.api.url
        location = {"Location": own + self.SECRET}
        other.answer("GET", "/out", Reply(302, {}, headers=location))
        files = {"Location": f"{own}/v1/files/x"}
        other.answer("GET", "/files", Reply(302, {}, headers=files))
        self.client = self.client_of(max_retries=0)
        far, near = urlsplit(other.url).netloc, urlsplit(own).netloc
        for address in (
            other.url + "/out",
            other.url + "/files",
            own + self.SECRET,
            f"{own}/v1/files/..{self.SECRET[3:]}",
            f"{own}/v1/files/%2e%2e{self.SECRET[3:]}",
            f"{own}/v1/files/x/..%2f..{self.SECRET[3:]}",
            f"{own}/v1/filesystem",
            f"http://{near}@{far}/v1/files/x",
            f"http://{far}\\@{near}/v1/files/x",
            f"http://[{near}].evil.example/v1/files/x",
            f"http://{near}.evil.example/v1/files/x",
            f"http://{near}:1/v1/files/x",
            f"http://{far}/v1/files/x?@{near}",
            f"http://{near[:3]}\t{near[3:]}/v1/files/x",
        ):
            output = self.output(address)
            with self.subTest(address), self.assertRaises((ReplicateError, TypeError)):
                FileOutput(str(output), self.client).read()
        for seen in [*other.seen(), *self.seen("GET")]:
            self.assertIsNone(seen.headers["Authorization"], seen)
        failure_of(self.output(own + "/v1/files/x").read)
        token = "Bearer " + self.api.token
        self.assertEqual(self.seen("GET")[-1].headers["Authorization"], token)

    @unittest.skipUnless(POSIX, "signals of POSIX")
    def test_a_time_limit_during_a_send_leaves_no_token_in_frames(self):
        server = ByteServer(self, reads=0)
        self.client = self.client_of(
            api_token=SECRET_TOKEN,
            base_url="http://" + server.place,
            headers={"X-Own": SECRET_HEADER},
        )

        error, data = JobLimit("over"), io.BytesIO(b"x" * (12 << 20))
        send = lambda: self.client.files.create(data)  # noqa: E731
        GivenUpAnywhere.struck(self, lambda: server.sockets, error, send, 0.05)
        shown = [value for _, value in self.frames_of(error)]
        self.assertGreater(len(shown), 20)
        self.assert_silent(*(value[:4096] for value in shown))

    def test_a_token_for_one_call_is_in_its_headers_and_in_no_body(self):
        mine = self.api.token
        self.client = self.client_of(api_token="r8_another")
        options = {"api_token": mine}
        self.client.run("test/echo", FOX, **options)
        list(self.client.stream(LLAMA, FOX, **options))
        list(self.client.map("test/echo", [FOX], **options))
        self.client.predictions.create(model="test/echo", input=FOX, **options)
        self.client.deployments.predictions.create("acme/my-app", FOX, **options)
        self.assertEqual(len(self.creations()), 5)
        for seen in self.seen("POST"):
            self.assertEqual(seen.headers["Authorization"], "Bearer " + mine)
            self.assertNotIn(mine.encode(), seen.body)

    def test_what_never_ends_is_left_before_it_fills_the_memory(self):
        sent = []

        def endless():
            for _ in range(1000):  # MiB; what was sent was at most kept
                sent.append(1)
                yield b"x" * (1 << 20)

        packed, mib = dict(JSON, **{"Content-Encoding": "gzip"}), bytes(1 << 20)
        packer = zlib.compressobj(1, zlib.DEFLATED, 31)
        first, next = (
            packer.compress(mib) + packer.flush(zlib.Z_FULL_FLUSH) for _ in range(2)
        )
        bomb = Reply(200, body=first + next * 149, headers=packed)
        refusal = Reply(500, body=bomb.body, headers=packed)
        account, stream = ("GET", ACCOUNT_PATH), ("GET", "/stream/.*")
        for rule, headers in ((account, JSON), (account, packed), (stream, SSE_TYPE)):
            self.answer(*rule, Reply(pieces=endless(), headers=headers))
        self.answer(*account, refusal, bomb)
        self.client = self.client_of(max_retries=0)
        asks = self.client.accounts.current
        for call, most in (
            (asks, 180),  # 128 are read, and what the system holds is sent as well
            (asks, 180),
            (lambda: list(self.client.stream(LLAMA, FOX, timeout=5)), 90),
            (asks, 0),
            (asks, 0),
        ):
            del sent[:]
            began, error = time.monotonic(), failure_of(call)
            if call is asks:  # else the run has ended meanwhile, and is polled
                self.assertLess(len(str(error.body)), 1 << 17)
            self.assertLessEqual(len(sent), most)
            self.assertLess(time.monotonic() - began, 8)

    def test_what_grows_twice_as_long_takes_twice_as_long(self):
        def progress(n):
            return Prediction({"id": "x", "logs": "1" * n + "%|" * n}).progress

        def reference(n):
            with contextlib.suppress(ValueError):
                self.client.run("a" + "/" * n, {})
            with contextlib.suppress(ValueError):
                self.client.run("a/b:" + "0" * n + "g", {})

        def errors(n):
            bodies = b"<" * n, b"<!--" * n, b"resets in ~" * n, b" " * n
            for body in bodies:
                self.answer("GET", ACCOUNT_PATH, Reply(429, body=body, headers=HTML))
                failure_of(self.client.accounts.current)

        self.client = self.client_of(max_retries=0)
        self.turn_clock()
        for work, size in ((progress, 50_000), (reference, 200_000), (errors, 30_000)):
            times = []
            for n in (size, 2 * size):
                rounds = []
                for _ in range(3):
                    began = time.process_time()
                    work(n)
                    rounds.append(time.process_time() - began)
                times.append(min(rounds))
            self.assertLess(times[1], 3 * times[0] + 0.05, work.__name__)

    def test_what_nests_deep_or_counts_high_is_reachable(self):
        deep, long = "[" * 900 + "]" * 900, "9" * 5000
        for output, inside in ((deep, "[" * 900), (long, long), (f"[{long}]", long)):
            body = f'{{"id": "p1", "status": "succeeded", "output": {output}}}'
            self.answer("POST", ECHO_PATH, Reply(201, body=body.encode(), headers=JSON))
            try:
                found = json.dumps(self.client.run("test/echo", {}))
            except ReplicateError as error:
                found = str(error.body) + str(error.prediction)
            self.assertIn(inside, found.replace(" ", ""))

    def test_everything_is_asked_for_below_the_path_of_a_gateway(self):
        base = "/v1/acme/gateway/replicate"

        def forward(seen, connection):
            inner = copy.copy(seen)
            inner.path = "/v1" + seen.path[len(base) :]
            reply = self.api.serve(inner)
            if self.rewrites:
                near = self.api.url.encode() + b"/v1"
                reply.body = reply.body.replace(
                    near, self.api.url.encode() + base.encode()
                )
            return reply

        self.answer(None, base + "/.*", forward, times=False)
        own = {"cf-aig-authorization": "mine"}
        self.client = self.client_of(base_url=self.api.url + base, headers=own)
        for self.rewrites in (False, True):
            run = self.client.run("test/slow", {"seconds": 1}, wait=False)
            self.assertEqual(run, "slept 1 s")
            models = list(self.client.models.list().iter_all())
            self.assertGreater(len(models), 9)
        for seen in self.seen():
            self.assertTrue(seen.path.startswith(base + "/"), seen)
            self.assertNotIn("/v1", seen.path[3:])
            self.assertEqual(seen.headers["cf-aig-authorization"], "mine")

    def test_a_stream_of_comments_after_the_end_is_left_for_a_poll(self):
        self.client._clock = clock = HandClock()
        clock.now = lambda: time.monotonic() * 600
        self.plan(LLAMA, items=["one ", "two"], seconds=0)
        comments = itertools.repeat(b": here\n\n", 20000)
        reply = Reply(pieces=comments, headers=SSE_TYPE, pause=0.002)
        self.answer("GET", "/stream/.*", reply, times=False)
        began = time.monotonic()
        self.assertEqual(joined(self.client.stream(LLAMA, FOX)), "one two")
        self.assertLess(time.monotonic() - began, 20)
        self.assertEqual(self.cancels(), [])

    @each(
        Reply(200, body=b"{}", headers={"Content-Length": "x"}),
        Reply(500, body=b"?", headers={"Content-Encoding": "gzip"}),
        Reply(
            raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n"
            + b"a: b\r\n" * 500
        ),
    )
    def test_a_length_a_packing_or_trailers_that_are_none_are_errors(self, reply):
        client = self.client_of(max_retries=0)
        self.answer("GET", ACCOUNT_PATH, reply)
        self.assertIsNotNone(failure_of(client.accounts.current))
        self.assertEqual(client.accounts.current().username, "acme")


# --------------------------------------------------------------------------------------
# Promise 6: never opens what it should not
# --------------------------------------------------------------------------------------

REDIRECTS = (301, 302, 303, 307, 308)


class Redirects(Case):
    """Followed by a GET alone, with the token on the same origin alone."""

    def setUp(self):
        super().setUp()
        self.other = self.another()
        self.client = self.client_of(headers={"X-Mine": "secret"})
        self.turn_clock()

    @each(
        *itertools.product(
            REDIRECTS,
            ("api", "other"),
            ("/v1/files/new", "/v1/new", "/new"),
            (ACCOUNT_PATH, "/v1/files/near", "/near"),
        )
    )
    def test_a_get_is_followed_with_the_token_only_below_the_base_path_of_its_api(
        self, code, server, target, source
    ):
        api = getattr(self, server)
        away = Reply(code, body=b"", headers={"Location": api.url + target})
        api.answer("GET", target, Reply(json={"username": "moved"}))
        self.answer("GET", source, away)
        if source == ACCOUNT_PATH:
            self.assertEqual(self.client.accounts.current().username, "moved")
            trusted = server == "api" and target != "/new"
        else:
            near = {"f": self.api.url + source}
            output = self.client.run("test/echo", near)["f"]
            self.assertEqual(output.read(), b'{"username": "moved"}')
            first = self.seen("GET", source)[0].headers
            self.assertEqual("Authorization" in first, source != "/near")
            trusted = (
                server == "api" and target == "/v1/files/new" and source != "/near"
            )
        headers = api.seen("GET", target)[-1].headers
        token = "Bearer " + self.api.token if trusted else None
        self.assertEqual(headers.get("Authorization"), token)
        self.assertEqual(headers.get("X-Mine"), "secret" if trusted else None)

    @each(
        *itertools.product(REDIRECTS, [name for name in REQUESTS if "GET" not in name])
    )
    def test_what_creates_or_changes_never_follows(self, code, name):
        _, method, path, call = REQUESTS[name]
        away = Reply(code, body=b"", headers={"Location": self.api.url + "/new"})
        self.answer(method, path, away)
        self.assertIsInstance(failure_of(call, self.client), ReplicateError)
        requests = [(seen.method, seen.path) for seen in self.seen()]
        self.assertEqual(requests, [(method, path)])

    @each(
        pathlib.Path(__file__).resolve().as_uri(),
        "FILE:///etc/passwd",
        "ftp://127.0.0.1/x",
        "data:application/json,{}",
        "javascript:1",
        "//[::1",
        "http://127.0.0.1:port/",
        "gopher://x",
        "",
        ACCOUNT_PATH,
    )
    def test_it_goes_nowhere_but_to_http_and_never_round_for_ever(self, target):
        away = Reply(302, body=b"", headers={"Location": target})
        self.answer("GET", ACCOUNT_PATH, *[away] * 60)
        self.assertIsInstance(failure_of(self.client.accounts.current), ReplicateError)
        self.assertLess(len(self.seen()), 60)
        for _ in range(60):  # what is left of the rule
            self.api.reply(self.seen()[0], None)

    def test_no_other_scheme_is_opened_for_an_output_also_not_by_a_redirect(self):
        secret = self.file("secret.txt", b"a secret")
        ftp = ByteServer(self)
        for address in (secret.as_uri(), f"ftp://{ftp.place}/x", f"FILE://{secret}"):
            away = Reply(302, body=b"", headers={"Location": address})
            self.other.answer("GET", "/x", away)
            output = self.client.run("test/echo", {"f": self.other.url + "/x"})["f"]
            for wrong in (output, FileOutput(address)):
                with self.subTest(address), self.assertRaises(
                    (ReplicateError, ValueError)
                ) as caught:
                    wrong.save(self.folder / "stolen.txt")
                self.assertNotIn("a secret", str(caught.exception))
        self.assertEqual(len(list(self.folder.iterdir())), 1)
        self.assertEqual(
            ({s.path for s in self.other.seen()}, ftp.sockets), ({"/x"}, [])
        )

    @each("t%3a443%20HTTP%2f1.1%0d%0aX%3a%20y%5d.replicate.com", "a b.x", "evil%2f.x")
    def test_a_host_that_could_be_read_as_another_is_not_opened(self, host):
        with self.assertRaisesRegex(ReplicateError, "will not open|no host"):
            FileOutput(f"https://{host}/x", self.client).read()


class Paths(Case):
    def test_whatever_stands_in_an_id_it_stays_one_segment_of_the_path(self):
        evil = "a/b c?d#e%2f\u00fc"
        quoted = "a%2Fb%20c%3Fd%23e%252f%C3%BC"
        answer = Reply(json={"id": evil, "status": "starting"})
        self.answer(None, ".*", answer, times=False)
        for kind in ("predictions", "trainings", "files", "collections"):
            called(self.client, kind + ".get", evil)
            self.assertEqual(self.seen()[-1].target, f"/v1/{kind}/{quoted}")
        self.client.predictions.cancel("x/../y")
        target = "/v1/predictions/x%2F..%2Fy/cancel"
        self.assertEqual(self.seen()[-1].target, target)
        self.client.predictions.get("x").reload()
        self.assertEqual(self.seen()[-1].target, "/v1/predictions/" + quoted)

    def test_a_name_from_the_network_stays_a_plain_name_in_the_directory(self):
        words = (
            r"/.. /../../up.png /%2e%2e /%2e%2e%2fup.png /..%5C..%5Cup.png /a%5Cb.png "
            r"/%2Fetc%2Fpasswd /C:x.png /C%3A%5CWindows%5Cx.dll /x%00.png /CON "
            r"/com1.png /nul.txt /aux.tar.gz /LPT9 /con%20.txt /CONOUT%24 "
            r"/com%C2%B9.txt /.bashrc "
            r"/.ssh%2f.config / /%20 /%2e /ends. /a/ /a%0D%0AX%3A1.png /%FF%FE.png "
            r"/file%3Astream /a%3Cb%3E%7C%3F%2A%22.png /%252e%252e%252fup.png "
            r"/%2e%2e%2f%2e%2e%2f"
        )
        hostile = ["", "/" + "a" * 3000 + ".png", "/" + "%E6%97%A5" * 300 + ".png"]
        hostile += ["/x." + "e" * 3000, *words.split()]
        self.answer("GET", "(?!/v1).*", Reply(body=b"content"), times=False)
        addresses = [self.api.url + path for path in hostile]
        outputs = self.client.run("test/echo", {"files": addresses})["files"]
        inner = self.folder / "inner"
        for path, output in zip(hostile, outputs):
            inner.mkdir()
            with self.subTest(path=path[:40]):
                saved = output.save(inner)
                self.assertEqual(
                    (saved.parent, list(inner.iterdir())), (inner, [saved])
                )
                self.assertEqual(saved.read_bytes(), b"content")
                name, device = (
                    saved.name,
                    saved.name.partition(".")[0].rstrip(" ").upper(),
                )
                self.assertNotRegex(name, r'[\x00-\x1f<>:"/\\|?*]|^\.|[. ]$|^$')
                self.assertNotIn(device, DEVICES)
                self.assertLessEqual(len(os.fsencode(name)), 255)
                if path.endswith(".png"):
                    self.assertEqual(saved.suffix, ".png")
            shutil.rmtree(str(inner))
        self.assertEqual(list(self.folder.iterdir()), [])


DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    device + digit
    for device in ("COM", "LPT")
    for digit in "123456789\u00b9\u00b2\u00b3"
}


# --------------------------------------------------------------------------------------
# Promise 7: never half a file
# --------------------------------------------------------------------------------------

try:
    import tracemalloc
except ImportError:  # PyPy has none
    tracemalloc = None

FLAT = 8 << 20  # bytes of memory that a transfer of any size may take


def file_bytes(size):
    """Bytes of every value, with some line ends and what looks like a boundary."""
    fence = b"\r\n--\r\n\r\n--boundary--\r\n"
    block = bytes(range(256)) + fence + bytes(range(128, 256)) * 50
    return (block * (size // len(block) + 1))[:size]


def digest(data):
    """The size and SHA-256 of bytes: unittest needs minutes to compare large ones."""
    return len(data), hashlib.sha256(data).hexdigest()


class FileCase(Case):
    """A test with a second server on another port, where outputs live."""

    def setUp(self):
        super().setUp()
        self.elsewhere = self.another()

    def outputs(self, *values):
        """The values as a model's output."""
        return self.client.run("test/echo", {"files": list(values)})["files"]

    def output(self, *replies, path="/a/out.bin"):
        """An output elsewhere that is answered so; the last reply for ever."""
        self.elsewhere.answer("GET", urlsplit(path).path, *replies, times=False)
        return self.outputs(self.elsewhere.url + path)[0]

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())

    def handle(self, path, *mode, **options):
        return self.stack.enter_context(open(str(path), *mode, **options))

    def sparse(self, name, size):
        path = self.file(name)
        os.truncate(str(path), size)
        return path

    def assert_flat(self, transfer, *args):
        """Run it, and see that it takes little memory."""
        if tracemalloc is None:
            return transfer(*args)
        tracemalloc.start()
        try:
            result = transfer(*args)
            self.assertLess(tracemalloc.get_traced_memory()[1], FLAT)
        finally:
            tracemalloc.stop()
        return result


class Downloads(FileCase):
    def breaks(self, content):
        """(a reply that breaks before its end, a whole one of the same kind)"""
        half = len(content) // 2
        pieces = [content[:half], content[half:]]
        whole, chunked = lambda *_: Reply(body=content), lambda *_: Reply(pieces=pieces)
        yield lambda *_: Reply(body=content, cut=half), whole
        yield lambda *_: Reply(body=content, cut=half, reset=True), whole
        yield lambda *_: Reply(pieces=pieces, cut=half + 1), chunked

    @staticmethod
    def opened(output):
        with output.open() as file:
            return file.read()

    def test_a_download_that_breaks_is_tried_again_and_ends_whole(self):
        self.turn_clock()
        content = file_bytes(600000)
        ways = [
            lambda output: output.read(),
            lambda output: b"".join(output.iter_bytes(7000)),
            lambda output: output.save(self.folder).read_bytes(),
            self.opened,
        ]
        cases = itertools.product(self.breaks(content), ways)
        for number, ((broken, whole), way) in enumerate(cases):
            with self.subTest(number):
                output = self.output(broken, broken, whole, path=f"/{number}.bin")
                if way is ways[1]:  # what was handed over may be of another version
                    self.assertIsInstance(failure_of(way, output), NetworkError)
                    continue
                self.assertEqual(digest(way(output)), digest(content))
                seen = self.elsewhere.seen("GET", f"/{number}.bin")
                ranges = [each.headers.get("Range") for each in seen]
                self.assertEqual(ranges, [None] * 3, "there was no validator")
        self.assertEqual(self.names(), ["10.bin", "2.bin", "6.bin"])
        for number, way in enumerate(ways, 20):
            with self.subTest(number):
                cut = functools.partial(file_reply, data=content, cut=250000)
                whole = functools.partial(file_reply, data=content)
                path = f"/{number}.bin"
                replies = [lambda seen, _, f=f: f(seen) for f in (cut, cut, whole)]
                output = self.output(*replies, path=path)
                self.assertEqual(digest(way(output)), digest(content))
                ranges = [
                    s.headers.get("Range") for s in self.elsewhere.seen("GET", path)
                ]
                self.assertEqual(ranges, [None, "bytes=250000-", "bytes=500000-"])

    def test_a_download_that_never_ends_whole_raises_and_leaves_nothing(self):
        self.client = self.client_of(max_retries=2)
        self.turn_clock()
        content, old = file_bytes(400000), self.file("old.bin", b"old")
        replies = [(broken, NetworkError) for broken, _ in self.breaks(content)]
        replies += [(Reply.problem(status, "gone"), APIError) for status in (404, 503)]
        for number, (broken, kind) in enumerate(replies):
            output = self.output(broken, path=f"/{number}.bin")
            calls = [output.read, output.open, lambda out=output: out.save(old)]
            for call in calls + [lambda out=output: out.save(self.folder)]:
                with self.subTest(number):
                    self.assertIsInstance(failure_of(call), kind)
                    self.assertEqual(self.names(), ["old.bin"])
                    self.assertEqual(old.read_bytes(), b"old")
            count = len(self.elsewhere.seen("GET", f"/{number}.bin"))
            self.assertTrue(count == 4 if number == 3 else count > 4, count)

    def test_a_file_that_changes_between_two_tries_is_never_a_mix_of_both(self):
        self.turn_clock()
        before, after = b"a" * 300000, b"b" * 300000
        output = self.output(
            Reply(body=before, cut=150000, headers={"ETag": '"a"'}),
            Reply(body=after, headers={"ETag": '"b"'}),
        )
        try:
            saved = output.save(self.folder).read_bytes()
            self.assertEqual(digest(saved), digest(after))
        except ReplicateError:
            self.assertEqual(self.names(), [])

    def test_nothing_appears_under_the_name_before_it_is_whole(self):
        target, there = self.folder / "out.bin", []

        def pieces():
            for _ in range(40):
                there.append(target.exists())
                yield bytes(100000)

        output = self.output(lambda *_: Reply(pieces=pieces()))
        for place in (target, self.folder):
            self.assertEqual(output.save(place).stat().st_size, 4000000)
            target.unlink()
        self.assertEqual((there, self.names()), ([False] * 80, []))

    def test_a_download_takes_constant_memory_and_may_be_left(self):
        block = bytes(1 << 18)
        output = self.output(lambda *_: Reply(pieces=itertools.repeat(block, 96)))
        saved = self.assert_flat(output.save, self.folder)
        self.assertEqual(saved.stat().st_size, 24 << 20)
        size = self.assert_flat(lambda: sum(map(len, output.iter_bytes())))
        self.assertEqual(size, 24 << 20)
        chunks = output.iter_bytes(1000)
        self.assertEqual(len(next(chunks)), 1000)
        chunks.close()
        self.clear()
        self.assertEqual(self.client.accounts.current().username, "acme")
        self.assertEqual(len(self.seen()), 1, "nothing half read is used again")

    @unittest.skipUnless(hasattr(os, "mkfifo"), "needs named pipes")
    def test_saving_to_what_is_no_file_writes_into_it_and_puts_nothing_in_its_place(
        self,
    ):
        link = self.folder / "null"
        link.symlink_to(os.devnull)
        FileOutput("data:,hello").save(link)
        self.assertTrue(link.is_symlink())
        self.assertFalse(pathlib.Path(os.devnull).is_file())

    def test_too_long_a_name_is_one_of_our_errors(self):
        with self.assertRaises(ReplicateError):
            FileOutput("data:,x").save(self.folder / ("a" * 300))

    def test_an_upload_that_breaks_half_way_raises_and_is_not_repeated(self):
        server = ByteServer(self, reads=1 << 20)
        client = self.client_of(base_url="http://" + server.place)
        error = failure_of(client.run, "test/echo", {"f": self.sparse("big", 24 << 20)})
        self.assertIsInstance(error, NetworkError)
        self.assertEqual(len(server.sockets), 1)

    def test_an_upload_takes_constant_memory(self):
        size, body = 24 << 20, b'{"id": "f", "urls": {"get": "http://h/f"}}'
        head = (
            b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
        )
        for source in (self.sparse("big.bin", size), OnlyReads(size)):
            with self.subTest(source=source):
                server = ByteServer(self, head % len(body) + body, reads=None)
                client = self.client_of(base_url="http://" + server.place)
                file = self.assert_flat(client.files.create, source)
                self.assertEqual((file.id, len(server.heads)), ("f", 1))
                self.assertGreater(server.got, size)
                self.assertLess(server.got, size + 2000)
                self.assertLessEqual(getattr(source, "largest", 0), 1 << 20)

    def test_an_answer_that_is_no_part_of_the_file_is_no_part_of_what_is_saved(self):
        self.turn_clock()
        content, told = file_bytes(9000), {"ETag": '"a"'}
        broken = Reply(body=content, headers=told, cut=5000)
        part = {"ETag": '"a"', "Content-Range": "bytes 1-2/9000"}
        wrong = [
            Reply.problem(416, "no such part"),
            Reply(206, body=b"?", headers=told),
            Reply(206, body=b"??", headers=part),
        ]
        for number, reply in enumerate(wrong):
            whole = Reply(body=content, headers=told)
            output = self.output(broken, reply, whole, path=f"/{number}")
            self.assertEqual(output.read(), content)

    @each(
        Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Length: 2147483648\r\n\r\nx"),
        Reply(raw=b"HTTP/1.1 200 OK\r\n\r\nno end is told"),
        Reply(206, body=b"abc", headers={"Content-Range": "bytes 0-2/9"}),
    )
    def test_what_is_not_known_to_be_whole_or_is_huge_is_an_error(self, reply):
        self.client = self.client_of(max_retries=0)
        path = f"/{id(reply)}"
        self.assertIsNotNone(failure_of(self.output(reply, path=path).read))


class OnlyReads:
    """A source that cannot seek, and does not know its size: `size` zeros."""

    def __init__(self, size):
        self.left, self.largest = size, 0

    def read(self, size=-1):
        size = self.left if size is None or size < 0 else min(size, self.left)
        self.left -= size
        self.largest = max(self.largest, size)
        return bytes(size)


# --------------------------------------------------------------------------------------
# Promise 8: never hangs, never swells
# --------------------------------------------------------------------------------------


class NeverHangs(Case):
    """By the real clock: what is to end within two seconds has eight."""

    def limited(self, *calls):
        """What calls made at once raise, each within some seconds."""
        ends = {}

        def work(number, call):
            began = time.monotonic()
            ends[number] = failure_of(call), time.monotonic() - began

        at_once(*[functools.partial(work, *pair) for pair in enumerate(calls)])
        self.assertEqual(sorted(ends), list(range(len(calls))))
        self.assertEqual([took for _, took in ends.values() if took > 8], [])
        return [ends[number][0] for number in range(len(calls))]

    def client_at(self, place, scheme="http", **options):
        return self.client_of(base_url=f"{scheme}://{place}", **options)

    def test_the_timeout_of_a_call_bounds_whatever_hangs_or_drips(self):
        ahead, client = threading.Event(), self.client
        self.addCleanup(ahead.set)

        def drips():
            head = Reply(json={"id": "p1", "status": "starting"}, pause=0.05)
            return head, Reply(pieces=iter(lambda: b" ", None), pause=0.05)

        def stream(pause):
            yield _server_sent("output", "one ", "1")
            ahead.wait(PATIENCE)
            yield b": ping\n\n"
            while not self.api.closing.wait(pause):
                yield b": ping\n\n"

        def hang(seen, connection):
            ahead.wait(PATIENCE)
            connection.sock.sendall(b"HTTP/1.1 102 Processing\r\n\r\n")
            return Reply(delay=60)

        def put_ahead():
            """Let the time be over, but for a moment, once all of them wait."""
            self.until(lambda: len(self.seen()) == 10)
            self.until(lambda: all(api.seen("PUT") for api in cogs))
            for self.client in clients:
                self.set_ahead(59.9)
            ahead.set()

        cogs = [self.another() for _ in range(4)]
        whole = Reply(json={"status": "succeeded", "output": "x" * 99}, pause=0.05)
        comments = iter(lambda: b": on\n\n", None)
        events = Reply(pieces=comments, pause=0.05, headers=EVENTS)
        for api, reply in zip(cogs, (hang, whole, events, None)):
            api.answer("PUT", ".*", reply)
            api.cog.schema = schema(fields("text string"), COG_TEXT)
            api.cog.predict, api.cog.seconds = greet, 0.5
        cogs[2].cog.schema = schema(fields("text string"), ITERATOR, streaming=True)
        streams = [Reply(pieces=stream(p), headers=SSE_TYPE) for p in (0.05, 60)]
        self.answer("GET", "/stream/.*", *streams)
        self.answer("POST", ECHO_PATH, *drips())
        self.answer("GET", "/v1/predictions/[^/]*", *drips())
        self.plan(LLAMA, RunCase.stuck_plan)
        clients = [client] + [Client(proxies={}) for _ in range(3)]
        clients.append(Client(proxies={}, timeout=0.2))  # for an operation on a socket
        run = functools.partial(client.run, wait=False, timeout=60)
        runs = [
            functools.partial(run, ref, {"seconds": 1e6 + n})
            for ref, n in itertools.product(("test/echo", "test/slow"), range(2))
        ]
        runs += [functools.partial(client.stream, LLAMA, FOX, timeout=60)] * 2
        for api, each, limit in zip(cogs, clients[1:], (60, 60, 60, None)):
            given = {"text": "x"}
            runs.append(functools.partial(each.run, api.url, given, timeout=limit))
        calls = [lambda run=run: list(run()) for run in runs]
        *errors, none, _ = self.limited(*calls, put_ahead)
        self.client = client
        self.assertEqual(list(map(type, errors)), [PredictionTimeout] * 9)
        told = list(map(says_may_exist, errors[:6]))
        self.assertEqual(told, [True, True] + [False] * 4)
        known = sorted(error.prediction.id for error in errors[2:6])
        self.assertEqual(known, sorted(self.api.creations))
        self.assert_given_up(4)
        self.assert_seen(2, "POST", ECHO_PATH)
        for api, error in zip(cogs, errors[6:]):
            (put,) = api.seen("PUT")
            self.assertEqual(put.path, "/predictions/" + error.prediction.id)
            cancels = [seen.path for seen in api.seen("POST")]
            self.assertEqual(cancels, [put.path + "/cancel"])
        self.assertIsNone(none)

    def test_without_one_the_head_is_bounded_by_the_timeout_of_the_client(self):
        status = ByteServer(self, b"HTTP/1.1 2", drips=True)
        headers = ByteServer(self, b"HTTP/1.1 200 OK\r\nX-Slow: ", drips=True)
        silent = ByteServer(self, reads=0)
        limits = {"timeout": 0.1, "max_retries": 0}
        clients = [
            self.client_at(status.place, **limits),
            self.client_at(headers.place, **limits),
            self.client_at(silent.place, **limits),
            self.client_at(silent.place, "https", **limits),
        ]
        for proxy in (headers, silent):
            limits["proxies"] = {"https": proxy.place}
            clients.append(self.client_at("127.0.0.1:9", "https", **limits))
        errors = self.limited(*[client.accounts.current for client in clients])
        self.assertEqual({type(error) for error in errors}, {NetworkError})
        for server, most in ((status, 1), (headers, 2), (silent, 3)):
            self.assertLessEqual(len(server.sockets), most)

    def test_what_nobody_reads_or_answers_ends(self):
        server, big = ByteServer(self, reads=0), bytes(24 << 20)
        uploads = {"files": [io.BytesIO(big)]}
        run = functools.partial(self.client_at(server.place).run, timeout=0.1)
        network, *timeouts = self.limited(
            lambda: self.client_at(server.place, timeout=0.1).files.create(big),
            lambda: run("test/files", uploads),
            lambda: run("http://" + server.place, {}),
        )
        self.assertIsInstance(network, NetworkError)
        self.assertEqual(list(map(type, timeouts)), [PredictionTimeout] * 2)
        self.until(lambda: server.sockets)

    def test_a_timeout_object_is_read_by_its_read_attribute(self):
        timeout = types.SimpleNamespace(read=0.1, connect=99, write=99, pool=99)
        client = self.client_of(timeout=timeout, max_retries=0)
        self.answer("GET", ACCOUNT_PATH, Reply(json={}, delay=60))
        (error,) = self.limited(client.accounts.current)
        self.assertIsInstance(error, NetworkError)

    @each(WORDS, LLAMA)
    def test_it_bounds_a_stream_that_is_polled_and_one_that_drops_for_ever(self, model):
        dropped = sse_reply(("output", "one ", "1"), dropped=True)
        self.answer("GET", "/stream/.*", dropped, times=False)
        self.plan(model, RunCase.stuck_plan)
        clock, came, self.client.poll_interval = self.turn_clock(), [], 0.5
        with self.assertRaises(PredictionTimeout) as caught:
            iterated(self.client.stream(model, FOX, timeout=30), came)
        self.assertTrue(29 <= clock.time - 1000 < 31, clock.time)
        self.assertEqual("".join(came), "one ")
        self.assertEqual([caught.exception.prediction.id], self.api.creations)
        self.assert_given_up()

    @each((100,), (102, 103, 103), (100,) * 5)
    def test_interim_answers_are_skipped(self, *codes):
        self.client = self.client_of()
        made = Reply(201, {"id": "p1", "status": "starting"}, interim=codes)
        self.answer("GET", ACCOUNT_PATH, Reply(json={"username": "x"}, interim=codes))
        self.answer("POST", ECHO_PATH, made)
        self.assertEqual(self.client.accounts.current().username, "x")
        self.assertEqual(create_echo(self.client).id, "p1")
        self.assertEqual([seen.connection for seen in self.seen()], [1, 1])

    def test_interim_answers_without_end_are_given_up(self):
        self.client = self.client_of(max_retries=0)
        endless = Reply(raw=b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000)
        self.answer("POST", ECHO_PATH, endless)
        error = failure_of(create_echo, self.client)
        self.assertIsInstance(error, NetworkError)
        self.assertTrue(says_may_exist(error))

    def test_a_host_with_dead_addresses_first_is_reached_within_the_time(self):
        place = urlsplit(self.api.url)
        families = [("127.0.0.1", 9)] * 3 + [(place.hostname, place.port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", pair) for pair in families]
        with mock.patch.object(socket, "getaddrinfo", return_value=found):
            self.assertEqual(self.client.accounts.current().username, "acme")


FORKED = """if True:
    import os, replicate
    client = replicate.default_client
    inputs = [{"seconds": 0}, {"seconds": 1e6}]
    outputs = client.map("test/slow", inputs, wait=False)
    next(outputs)
    child = os.fork()
    if not child:
        print("child", client.accounts.current().username, flush=True)
        try:
            next(outputs)
        except replicate.ReplicateError:
            print("forked", flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    outputs.close()
    print("parent", client.accounts.current().username)
"""


class KeptConnections(Case):
    """What goes back to the pool."""

    def test_a_post_without_a_body_says_that_it_has_none(self):
        create_echo(self.client).cancel()
        cancel = self.seen("POST", ".*/cancel")[0]
        self.assertEqual(cancel.headers.get("Content-Length"), "0")

    def test_a_creating_request_takes_no_connection_that_idled_for_a_second(self):
        clock, now = self.turn_clock(), time.time
        self.client.accounts.current()
        create_echo(self.client)
        clock.time += 1.1
        with mock.patch.object(time, "time", lambda: now() + 1.1):
            create_echo(self.client)
        self.assertEqual([seen.connection for seen in self.seen()], [1, 1, 2])
        self.assert_created(2)

    def test_an_error_with_a_whole_body_keeps_the_connection(self):
        for _ in range(3):
            error = failure_of(self.client.predictions.get, "none")
            self.assertEqual(error.status, 404)
        self.assertEqual((len(self.seen()), self.api.connections), (3, 1))

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_opens_a_connection_of_its_own(self):
        code = """if True:
            import os, replicate
            replicate.accounts.current()
            child = os.fork()
            if not child:
                replicate.accounts.current()
                os._exit(7)
            code = os.waitpid(child, 0)[1] >> 8
            replicate.accounts.current()
            print(code)"""
        self.assertEqual(self.result(self.python("-c", code)), (0, "7\n", ""))
        self.assertEqual([seen.connection for seen in self.seen()], [1, 2, 1])

    @unittest.skipUnless(hasattr(os, "fork"), "forks")
    def test_a_forked_child_waits_for_nothing_of_its_parents(self):
        ended, out, err = self.result(self.python("-W", "ignore", "-c", FORKED))
        self.assertEqual((ended, out), (0, "child acme\nforked\nparent acme\n"), err)
        self.assert_given_up()


# --------------------------------------------------------------------------------------
# Promise 9: one error family
# --------------------------------------------------------------------------------------

# Calls that are wrong in themselves: what is called and its words, as in OPERATIONS.
WRONG = """
models.get | models.get null | models.get 5 | models.get '' | models.get hello-world
models.get a/b/c | models.get a b c | models.get a/ | models.get /b | models.get a ''
models.get a null | models.get ../b | models.get a .. | models.get . b
models.delete a/.. | models.update a description=d | models.readme.get a
models.versions.get a/b | models.versions.get a/b .. | models.versions.get a/b ''
models.versions.delete a/b . | models.search null | models.create a
deployments.create name=a | deployments.get a | deployments.update a min_instances=1
deployments.delete .. b | collections.get '' | deployments.predictions.create ../b {}
collections.get .. | files.get '' | files.get null | files.delete ..
predictions.get '' | predictions.get . | predictions.get null | predictions.cancel ..
trainings.get '' | trainings.cancel null | trainings.create
trainings.create version=a/b:<version> input={}
trainings.create version=<version> input={} destination=a/b
trainings.create model=a/b input={} destination=a/b
trainings.create version=a/b:.. input={} destination=a/b | models.list null
models.list cursor=null | models.versions.list a/b cursor=null | files.list null
models.examples.list a/b cursor=null | predictions.list null | trainings.list null
deployments.list null | collections.list null | predictions.create
predictions.create input={} | predictions.create <version> {} model=a/b
predictions.create model=a/b deployment=a/b input={} | predictions.create 5 {}
predictions.create model=b input={} | predictions.create model=5 input={}
predictions.create <version> {} wait=0 | predictions.create <version> {} wait=61
predictions.create <version> {} wait=-1 | predictions.create <version> {} wait=yes
predictions.create <version> {} cancel_after=4
predictions.create <version> '{"n": NaN}' | run a/b {} wait=0 | run a/b {} wait=61
run a/b {} wait=1.5 | run a/b {} cancel_after=4.5 | run a/b {} cancel_after=4s
run a/b {} cancel_after=soon | run a/b {} cancel_after=''
run a/b {} cancel_after=-5m | run a/b {} webhook_events_filter=completed
run a/b {} file_encoding_strategy=zip | run a/b {} timeout=-1
run a/b {} timeout=soon | run a/b '{"n": Infinity}' | run a/b:.. {}
stream a/b {} wait=61 | stream b {} | map a/b [{}] concurrency=0 | map b [{}] | use b
run null {} | run 5 {} | run '' {} | run hello-world {} | run a/b/c {} | run a/ {}
run /b {} | run a/b: {} | run ../b {} | run a/.. {} | run deployments/a {}
run deployments/a/.. {} | run ftp://host/path {} | run file:///etc/passwd {}
run '["a","b"]' {} | run {} {} | stream a/b: {} | run <url> {} cancel_after=5m
run <url> {} file_encoding_strategy=url | run <url>?a=1 {} | run http://a@b {}
run http://x:0 {} | run http://x.. {} | run a/b {} on_update=5 | search 5
predictions.create <url> {} | run a/b '{"": {"5": NaN}}' | map a/b {}
search a limit=0 | search a limit=51 | search a limit=x
"""
UNKNOWN_KEYWORDS = """
models.get a/b novel=1 | models.delete a/b novel=1 | models.list novel=1
models.search a novel=1 | models.readme.get a/b novel=1
models.versions.list a/b novel=1 | models.versions.get a/b <version> novel=1
models.versions.delete a/b <version> novel=1 | predictions.get a novel=1
predictions.list novel=1 | predictions.cancel a novel=1 | trainings.get a novel=1
trainings.list novel=1 | deployments.get a/b novel=1 | deployments.delete a/b novel=1
files.get a novel=1 | files.list novel=1 | collections.list novel=1
hardware.list novel=1 | accounts.current novel=1 | search a novel=1
webhooks.default.secret novel=1
"""


def words_of(call, words):
    """What is called, its arguments and its options: values in JSON, or else text."""
    name, *parts = shlex.split(filled(call, words), posix=True)
    args, options = [], {}
    for part in parts:
        key, equals, value = part.partition("=")
        named = equals and key.isidentifier()
        value = value_of(value if named else part)
        if named:
            options[key] = value
        else:
            args.append(value)
    return name, args, options


BAD_BASES = """
api.replicate.com ftp://x file:///etc/passwd http:// https:///v1 http://x/?a=1 http://x/#a
http://user:pass@127.0.0.1 http://[::1
"""


class Errors(Case):
    def wrong(self, call):
        words = {"version": self.sketch, "url": self.api.url}
        name, args, options = words_of(call, words)
        self.clear()
        with self.assertRaises((ValueError, TypeError)) as caught:
            values = called(self.client, name, *args, **options)
            if name == "map":
                list(values)
        self.assertNotIsInstance(caught.exception, ReplicateError)
        self.assert_nothing_sent()
        return caught.exception

    @each(*cells(WRONG))
    def test_a_call_that_is_wrong_in_itself_is_told_before_any_request(self, call):
        error = self.wrong(call)
        self.assertTrue(str(error))
        if "list" in call:
            self.assertIsInstance(error, ValueError)
        if call in ("run hello-world {}", "run a/b/c {}", "stream b {}"):
            self.assertIn("owner/name", str(error))
        if call == "models.get hello-world":
            self.assertRegex(str(error), "'owner/name'.*'hello-world'")

    @each(*cells(UNKNOWN_KEYWORDS))
    def test_an_unknown_keyword_is_a_type_error_before_any_request(self, call):
        self.assertIsInstance(self.wrong(call), TypeError)

    @each(
        {"timeout": -1},
        {"max_retries": -1},
        {"pace": 0},
        {"pace": 101},
        {"poll_interval": "soon"},
        {"api_token": 5},
        {"novel": 1},
        *[
            {"base_url": bad}
            for bad in [*BAD_BASES.split(), "http://a b/", "http://x\r\nHost: y"]
        ],
    )
    def test_a_client_that_cannot_be_is_told_at_once(self, options):
        with self.assertRaises((ValueError, TypeError)) as caught:
            self.client_of(**options)
        self.assertNotIn("pass@", str(caught.exception))
        if "base_url" in options:
            os.environ["REPLICATE_BASE_URL"] = options["base_url"]
            with self.assertRaises((ValueError, ReplicateError)):
                self.client_of(base_url=None).accounts.current()

    def test_an_error_says_it_all_on_one_line_and_in_attributes(self):
        headers = {"X-Request-Id": "req_1", "Retry-After": "3"}
        facts = {"title": "Invalid input", "type": "about:blank", "instance": "/i/1"}
        words = "- input.width must be\n <= 1024\n"
        problem = Reply.problem(422, words, headers=headers, **facts)
        self.answer("POST", "/v1/predictions", problem)
        error = failure_of(self.client.predictions.create, "a" * 64, {})
        self.assertEqual(
            str(error),
            "POST /v1/predictions: 422 Invalid input: - input.width must be <= 1024"
            " (request id req_1)",
        )
        facts.update(status=422, method="POST", path="/v1/predictions", prediction=None)
        facts.update(request_id="req_1", retry_after=3)
        self.assertEqual({name: getattr(error, name) for name in facts}, facts)
        self.assertEqual((type(error), error.headers["Retry-After"]), (APIError, "3"))
        self.assertEqual(error.detail.split(), words.split())
        self.assertEqual(json.loads(error.body)["instance"], "/i/1")

    def test_every_error_has_every_attribute_and_survives_pickling(self):
        self.turn_clock(api=True)
        self.client.poll_interval = 1
        nowhere = {"base_url": "http://x.invalid", "max_retries": 0}
        secret = {"headers": {}, "body": b"x", "secret": "whsec_aGVsbG8="}
        slow = {"wait": False, "timeout": 5}
        ways = {
            APIError: lambda: self.client.predictions.get("none"),
            ModelError: lambda: self.client.run("test/fails", {}, wait=False),
            PredictionTimeout: lambda: self.client.run("test/slow", LONG, **slow),
            NetworkError: lambda: self.client_of(**nowhere).accounts.current(),
            ReplicateError: lambda: self.client_of(api_token=None).accounts.current(),
            WebhookError: lambda: self.client.webhooks.validate(**secret),
        }
        names = "status title detail type instance method path request_id retry_after"
        for kind, call in ways.items():
            with self.subTest(kind.__name__):
                error = failure_of(call)
                twin = pickle.loads(pickle.dumps(error))
                self.assertEqual((type(error), type(twin)), (kind, kind))
                self.assertEqual(str(twin), str(error))
                for name in [*names.split(), "prediction", "body"]:
                    self.assertEqual(getattr(twin, name), getattr(error, name))
                self.assertEqual(dict(twin.headers or {}), dict(error.headers or {}))

    def test_without_a_token_or_with_a_wrong_one_it_says_where_they_come_from(self):
        client = self.client_of(api_token=None)
        for call in (
            client.accounts.current,
            lambda: client.run("test/echo", {}),
            lambda: client.files.create(__file__),
        ):
            shown = "REPLICATE_API_TOKEN.*https://replicate.com/account/api-tokens"
            self.assertRegex(str(failure_of(call)), shown)
        self.assert_nothing_sent()
        error = failure_of(self.client_of(api_token="r8_wrong").accounts.current)
        self.assertEqual(error.status, 401)
        self.assertIn("https://replicate.com/account/api-tokens", str(error))

    @each(
        *cells(r"""
        [] | {} | 5 | null | text | {"detail": null} | {"detail": 5}
        {"detail": {"a": 1}} | {"detail": [1, null]} | {"detail": [{}]}
        {"detail": [{"loc": 5, "msg": 1}]} | {"title": []}
        {"detail": [{"loc": null}]} | {"detail": [{"loc": {"a": 1}}]}
        {"error": {"a": []}} | {"title": "\ud800", "detail": "a\u2028b\u0085c"}
    """)
    )
    def test_an_error_body_of_any_shape_is_told(self, body):
        self.answer("GET", ACCOUNT_PATH, Reply(418, body=json.dumps(body).encode()))
        error = failure_of(self.client.accounts.current)
        self.assertIsInstance(error, APIError)
        self.assertEqual((error.status, len(str(error).splitlines())), (418, 1))

    def test_json_of_any_shape_ends_in_a_value_or_in_our_own_error(self):
        shapes = cells("""
            {} | {"id": 5} | {"id": "p1"} | {"id": null, "status": null}
            {"results": 5} | {"results": [1, null]} | {"results": {"a": 1}}
            {"results": null, "next": 5} | {"next": ["x"]} | {"id": "p1", "status": []}
            {"id": "p1", "status": "succeeded", "urls": 5, "output": {"a": [null]}}
            {"latest_version": 5, "default_example": []} | {"key": 5}
            {"owner": 1, "name": null} | [1, {}, null]
        """)
        calls = [
            lambda c: c.predictions.get("p1"),
            lambda c: list(c.predictions.list().iter_all()),
            lambda c: c.run("test/echo", {}, timeout=99),
            lambda c: list(c.stream("test/echo", {}, timeout=99)),
            lambda c: repr(c.models.get("a/b").latest_version),
            lambda c: c.run("a/b", {}, timeout=99),
            lambda c: c.models.versions.list("a/b"),
            lambda c: c.hardware.list(),
            lambda c: c.webhooks.default.secret(),
            lambda c: c.search("x"),
            lambda c: c.run("a/b:" + "a" * 64, {}, timeout=99),
            lambda c: c.files.get("x"),
            lambda c: repr(c.trainings.get("x")),
            lambda c: repr(c.collections.get("x")),
        ]
        current = []
        self.answer(None, ".*", lambda *_: Reply(json=current[0]), times=False)
        for shape, call in itertools.product(shapes, calls):
            current[:] = [shape]
            with self.subTest(shape=shape, call=calls.index(call)):
                self.turn_clock()
                error = failure_of(call, self.client)
                self.assertTrue(error is None or str(error))


class Logging(Case):
    def test_each_attempt_is_one_line_without_bodies(self):
        self.turn_clock()
        down = Reply.problem(503, "secret words of the body")
        self.answer("GET", ACCOUNT_PATH, down, Reply(reset=True))
        with self.assertLogs("replicate", logging.DEBUG) as logs:
            self.client.accounts.current()
            image = "data:image/png;base64,AAAA"
            create_echo(self.client, text="secret words", image=image)
        self.assertEqual({record.levelno for record in logs.records}, {logging.DEBUG})
        lines = [record.getMessage() for record in logs.records]
        wanted = [
            ("GET", ACCOUNT_PATH, "503", 1),
            ("GET", ACCOUNT_PATH, "", 2),
            ("GET", ACCOUNT_PATH, "200", 3),
            ("POST", ECHO_PATH, "201", 1),
        ]
        self.assertEqual(len(lines), len(wanted), lines)
        for line, (method, path, status, attempt) in zip(lines, wanted):
            self.assertRegex(line, rf"^{method} {path}.*{status}.*\d ?ms.*{attempt}")
            self.assertNotRegex(line, "secret|base64|\n")

    def test_a_program_that_sets_up_no_logging_sees_nothing_of_it(self):
        code = """if True:
            import logging, replicate
            logging.getLogger('replicate').setLevel(1)
            replicate.accounts.current()"""
        self.assertEqual(self.result(self.python("-c", code)), (0, "", ""))


# --------------------------------------------------------------------------------------
# Promises 10 and 11: unknown fields survive, and never faster than allowed
# --------------------------------------------------------------------------------------


class UnknownFields(Case):
    def test_fields_that_are_new_tomorrow_are_read_at_any_depth_and_kept(self):
        raw = {"id": "p1", "status": "succeeded", "novel": {"deep": [{"er": 1}]}}
        self.answer("GET", ".*", Reply(json=raw))
        found = self.client.predictions.get("p1")
        self.assertEqual((found.novel.deep[0].er, dict(found)), (1, raw))

    def test_events_of_a_kind_that_is_new_are_handed_over(self):
        events = [("thinking", "hm", "1"), ("output", "a", "2"), ("done", "{}", "3")]
        self.answer("GET", "/stream/.*", sse_reply(*events))
        found = [(e.event, e.data, e.id) for e in self.client.stream(LLAMA, FOX)]
        self.assertEqual(found, events)


class Waits(Case):
    """How long it holds off between attempts, by a clock turned by hand."""

    def slept_after(self, reply, call=REQUESTS["GET of a list"][3], times=1):
        clock = self.turn_clock()
        self.answer(None, ".*", reply, times=times)
        call(self.client)
        return clock.slept

    @each(
        *rows("""
        seconds       | {"Retry-After": "7"} | 7 | 7
        nought        | {"Retry-After": "0"} | 0 | 0
        a date        | {"Retry-After": 40} | 20 | 41
        a past date   | {"Retry-After": -500} | 0 | 1
        reset         | {"ratelimit-reset": "9", "ratelimit-remaining": "0"} | 9 | 9
        text          | Request was throttled. Your rate limit resets in ~30s. | 30 | 30
        a day in text | Your rate limit resets in ~86400s. | 60 | 60
        none          | {} | 0 | 60
        an hour       | {"Retry-After": "3600"} | 60 | 60
        endless       | {"Retry-After": "99999999999999999999999999999999999"} | 0 | 60
        nonsense      | {"Retry-After": "soon"} | 0 | 60
        no date       | {"Retry-After": "Mon, 99 Foo 99999 99:99:99 GMT"} | 0 | 60
        negative      | {"Retry-After": "-5"} | 0 | 60
    """)
    )
    def test_the_word_of_the_server_beats_a_guess(self, name, words, least, most):
        headers, body = (
            (words, {}) if isinstance(words, dict) else ({}, {"detail": words})
        )
        for header, value in headers.items():
            if isinstance(value, int):
                date = email.utils.formatdate(time.time() + value, usegmt=True)
                headers = {header: date}
        lists, limited = REQUESTS["GET of a list"][3], "reset" not in words
        for status, call in ((429, lists), (429, create_echo), (503, lists)):
            if status == 503 and (not headers or not limited or name == "reset"):
                continue
            self.clear()
            self.client = self.client_of()
            reply = Reply(status, json=body, headers=headers)
            slept = sum(self.slept_after(reply, call))
            self.assertTrue(least <= slept <= most, (status, slept))
            self.assert_seen(2)

    @unittest.skipUnless(hasattr(time, "tzset"), "needs tzset")
    def test_a_date_means_gmt_wherever_the_machine_stands(self):
        self.addCleanup(time.tzset)
        moment = time.gmtime(time.time() + 40)
        forms = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT")
        for zone in ("EST5", "JST-9"):
            for form in (*forms, "%a %b %e %H:%M:%S %Y"):  # RFC 9110, 5.6.7
                with self.subTest(zone, form=form), mock.patch.dict(
                    os.environ, TZ=zone
                ):
                    time.tzset()
                    date = {"Retry-After": time.strftime(form, moment)}
                    slept = self.slept_after(Reply(429, json={}, headers=date))
                    self.assertTrue(10 <= sum(slept) <= 41)
            time.tzset()

    def test_without_a_word_it_backs_off_ever_longer_at_random_up_to_a_minute(
        self,
    ):
        rounds = []
        for _ in range(12):
            self.client = self.client_of(max_retries=9)
            rounds.append(self.slept_after(Reply.problem(500, "down"), times=9))
        self.assertEqual({len(slept) for slept in rounds}, {9})
        self.assertLessEqual(max(map(max, rounds)), 60)
        columns = [sum(column) for column in zip(*rounds)]
        self.assertGreater(columns[5], columns[0])
        self.assertEqual(len({slept[3] for slept in rounds}), 12)

    def test_five_retries_unless_told_otherwise(self):
        slept = self.slept_after(Reply.problem(503, "down"), times=5)
        self.assertEqual((len(slept), len(self.seen())), (5, 6))

    def test_a_wait_ends_with_the_timeout_of_the_call(self):
        clock = self.turn_clock()
        self.answer("POST", ECHO_PATH, Reply.throttled(30), times=False)
        error = failure_of(self.client.run, "test/echo", {}, timeout=10)
        self.assertIsInstance(error, PredictionTimeout)
        self.assertEqual((clock.time, len(self.seen())), (1010.0, 1))
        self.assertFalse(says_may_exist(error), str(error))

    def test_inputs_against_a_throttling_server_are_created_once_each(self):
        clock = self.turn_clock()
        self.api.clock, self.api.speed = clock.now, 1.0
        self.api.limits["creations"] = Limit(600, burst=25)
        inputs = ({"n": n} for n in range(100))
        outputs = list(self.client.map("test/echo", inputs))
        self.assertEqual(outputs, [{"n": n} for n in range(100)])
        made = sorted(job.given["n"] for job in self.api.jobs.values())
        self.assertEqual(made, list(range(100)))
        throttled = len(self.seen()) - 100
        self.assertLessEqual(throttled, 32)  # at most each worker's once a window
        self.assertEqual((len(self.api.creations), self.cancels()), (100, []))

    def test_six_a_minute_with_a_burst_of_one_are_kept_to(self):
        clock = self.turn_clock(api=True)
        self.api.limits["creations"] = Limit(6, burst=1)
        for number in range(5):
            create_echo(self.client, n=number)
        self.assert_created(5)
        self.assertTrue(40 <= clock.time - 1000 <= 60, clock.time)
        self.assertLessEqual(len(self.creations()), 10)

    def test_a_429_makes_all_workers_hold_off(self):
        clock = self.client._clock = HeldClock()
        meet, statuses = threading.Barrier(4), []

        def throttle(seen, connection):
            if len(statuses) >= 4:
                return None
            if meet.wait(PATIENCE) == 0:
                statuses.append(429)
                return Reply.throttled(30)
            clock.asleep.wait(PATIENCE)  # until who was throttled sleeps
            statuses.append(201)
            return None

        self.answer("POST", ECHO_PATH, throttle, times=False)
        inputs, outputs = [{"n": n} for n in range(12)], []
        maps = self.client.map("test/echo", inputs, concurrency=4)
        worker = begin(lambda: outputs.extend(maps))
        self.until(lambda: len(self.api.creations) == 3)
        time.sleep(0.05)  # whoever does not hold off sends in this time
        posts = len(self.creations())
        clock.let_go.set()
        worker.join(PATIENCE)
        self.assertEqual((posts, sorted(statuses)), (4, [201, 201, 201, 429]))
        self.assertEqual(outputs, inputs)
        self.assertEqual((len(self.api.creations), len(self.creations())), (12, 13))
        self.assertGreaterEqual(max(clock.slept), 29)

    def test_the_limits_of_other_hosts_are_not_the_apis(self):
        other = self.another()
        run = self.client.use(LLAMA).create(**FOX)
        run["urls"]["stream"] = other.url + "/stream"
        other.answer("GET", "/stream", Reply.throttled(600), Reply.problem(404, "no"))
        self.client._clock.sleep = lambda *_: None
        began = time.monotonic()
        self.client.accounts.current()
        failure_of(list, run.stream())
        self.client.accounts.current()
        self.assertTrue(other.seen("GET", "/stream"))
        self.assertLess(time.monotonic() - began, 30)


class HeldClock(HandClock):
    """A clock on which who sleeps sleeps until he is let go."""

    def __init__(self):
        super().__init__()
        self.asleep, self.let_go = threading.Event(), threading.Event()

    def sleep(self, seconds, stop=None):
        self.asleep.set()
        self.let_go.wait(20)
        super().sleep(seconds, stop)


class Paces(Case):
    pace = 1

    @each("headers", "retry_after")
    def test_six_a_minute_are_kept_to_however_that_is_told(self, told):
        self.client = self.client_of()
        clock, limit = self.turn_clock(), Limit(6, burst=1)

        def throttle(seen, connection):
            passes, left, seconds = limit.take(clock.now())
            reply = self.api.serve(seen) if passes else Reply(429, {"status": 429})
            reply.headers.pop("ratelimit-remaining", None)
            reply.headers.pop("ratelimit-reset", None)
            if told == "headers":
                reply.headers["ratelimit-remaining"] = str(left)
                reply.headers["ratelimit-reset"] = str(math.ceil(seconds))
            elif not passes:
                reply = Reply(429, {"retry_after": seconds})
            return reply

        self.answer("POST", ECHO_PATH, throttle, times=5 if told == "headers" else 10)
        for number in range(5):
            create_echo(self.client, n=number)
        self.assertEqual(len(self.api.creations), 5)
        self.assertTrue(40 <= clock.time - 1000 <= 70, clock.time)

    def test_a_raised_limit_is_used(self):
        clock = self.turn_clock(api=True)
        self.api.limits["creations"] = Limit(6000, burst=100)
        for number in range(500):
            create_echo(self.client, n=number)
        self.assertEqual(len(self.api.creations), 500)
        self.assertTrue(4 <= clock.time - 1000 <= 8, clock.time)
        self.assertLessEqual(len(self.creations()), 510)

    def test_throttled_polls_never_end_a_run(self):
        self.turn_clock(api=True)
        flood = Reply.throttled(1)
        self.answer("GET", "/v1/predictions/.*", flood, times=60)
        given = {"seconds": 5}
        self.assertEqual(self.client.run("test/slow", given, wait=False), "slept 5 s")
        self.assertEqual((len(self.creations()), self.cancels()), (1, []))
        self.assertGreater(len(self.polls()), 60)

    def test_polls_of_two_hundred_runs_stay_within_forty_a_second(self):
        async def scene():
            given = {"seconds": 60}
            runs = [
                self.client.async_run("test/slow", given, wait=False)
                for _ in range(200)
            ]
            return await asyncio.gather(*runs)

        clock, sleep = self.client._clock, asyncio.sleep
        clock.now = lambda: time.monotonic() * 8
        hurried = lambda seconds, *rest: sleep(seconds / 8, *rest)  # noqa: E731
        began = clock.now()
        with mock.patch.object(asyncio, "sleep", hurried):
            self.assertEqual(asyncio.run(scene()), ["slept 60 s"] * 200)
        looks = self.seen("GET", "/v1/predictions.*")
        self.assertLessEqual(len(looks), 40 * (clock.now() - began) + 10)
        self.assertEqual((len(self.api.creations), self.cancels()), (200, []))


# --------------------------------------------------------------------------------------
# Section 4: public names, their calls and their types
# --------------------------------------------------------------------------------------

SPARE = "a5" * 32  # the id of a version that can be deleted

# Every way to write a call: a request, its body where it has one, and the calls. m, v
# and d are a model, a version and a deployment, o is a model of one's own.
FORMS = """
GET /models/stability/sketch
    models.get stability/sketch | models.get stability sketch | models.get <m>
    models.get owner=stability name=sketch | models.get key=stability/sketch
DELETE /models/stability/sketch
    models.delete stability/sketch | models.delete stability sketch | models.delete <m>
    models.delete owner=stability name=sketch | models.delete key=stability/sketch
PATCH /models/stability/sketch
{"description": "d"}
    models.update stability/sketch description=d | models.update <m> description=d
    models.update stability sketch description=d
GET /models/stability/sketch/readme
    models.readme.get stability/sketch | models.readme.get <m>
    models.readme.get stability sketch
GET /models/stability/sketch/examples
    models.examples.list stability/sketch | models.examples.list <m>
    models.examples.list stability sketch
GET /models/stability/sketch/versions
    models.versions.list stability/sketch | models.versions.list stability sketch
    models.versions.list <m> | m.versions.list
GET /models/stability/sketch/versions/<version>
    models.versions.get stability/sketch <version> | m.versions.get <version>
    models.versions.get stability sketch <version> | m.versions.get id=<version>
    models.versions.get stability/sketch:<version> | models.versions.get <m> <version>
DELETE /models/stability/sketch/versions/<version>
    models.versions.delete stability/sketch <version> | m.versions.delete <version>
    models.versions.delete stability sketch <version> | m.versions.delete id=<version>
    models.versions.delete stability/sketch:<version>
GET /deployments/acme/my-app
    deployments.get acme/my-app | deployments.get name=acme/my-app
    deployments.get acme my-app | deployments.get <d>
PATCH /deployments/acme/my-app
{"min_instances": 2}
    deployments.update acme my-app min_instances=2
    deployments.update deployment_owner=acme deployment_name=my-app min_instances=2
    deployments.update acme/my-app min_instances=2
    deployments.update <d> min_instances=2
DELETE /deployments/acme/my-app
    deployments.delete acme my-app | deployments.delete acme/my-app
    deployments.delete deployment_owner=acme deployment_name=my-app
    deployments.delete <d>
POST /predictions
{"input": {"prompt": "a fox"}, "version": "<version>"}
    predictions.create <version> <fox> | predictions.create <v> <fox>
    predictions.create version=<version> input=<fox>
    predictions.create <v> input=<fox>
    predictions.create version=<v> input=<fox> | v.create prompt='a fox'
POST /models/stability/sketch/predictions
{"input": {"prompt": "a fox"}}
    predictions.create model=stability/sketch input=<fox>
    predictions.create model=<pair> input=<fox>
    predictions.create model=<m> input=<fox> | models.predictions.create <m> <fox>
    models.predictions.create stability/sketch <fox>
    models.predictions.create <pair> <fox>
POST /deployments/acme/my-app/predictions
{"input": {"prompt": "a fox"}}
    predictions.create deployment=acme/my-app input=<fox> | d.predictions.create <fox>
    predictions.create deployment=<app> input=<fox>
    predictions.create deployment=<d> input=<fox> | d.predictions.create input=<fox>
    deployments.predictions.create acme/my-app <fox>
    deployments.predictions.create <app> <fox>
    deployments.predictions.create deployment=<d> input=<fox>
POST /models/stability/sketch/versions/<version>/trainings
{"input": {"prompt": "a fox"}, "destination": "acme/hot-dog-detector"}
    trainings.create stability/sketch:<version> <fox> acme/hot-dog-detector
    trainings.create version=stability/sketch:<version> input=<fox> destination=<o>
    trainings.create model=stability/sketch version=<v> input=<fox> destination=<o>
    trainings.create model=<pair> version=<v> input=<fox> destination=<o>
    trainings.create model=<m> version=<v> input=<fox> destination=acme/hot-dog-detector
    trainings.create model=<m> version=<v> input=<fox> destination=<own>
GET /collections/language-models
    collections.get language-models | collections.get slug=language-models
GET /files/<file>
    files.get <file> | files.get file_id=<file>
DELETE /files/<file>
    files.delete <file> | files.delete file_id=<file>
GET /predictions/<prediction>
    predictions.get <prediction> | predictions.get id=<prediction>
POST /predictions/<prediction>/cancel
    predictions.cancel <prediction> | predictions.cancel id=<prediction>
POST /trainings/<training>/cancel
    trainings.cancel <training> | trainings.cancel id=<training>
QUERY /models
    models.search draws | models.search query=draws
"""


class Operations(Case):
    def furnished(self):
        """The words of the tables: one thing of each kind on the server."""
        self.api.catalogue["acme/hot-dog-detector"].versions.append(
            {
                "id": SPARE,
                "created_at": "2024-01-01T00:00:00.123456789Z",
                "cog_version": "0.9.4",
                "openapi_schema": None,
            }
        )
        path = self.file("fox.txt", b"a fox")
        file = self.client.files.create(str(path))
        slow = self.client.predictions.create(model="test/slow", input=LONG)
        training = self.client.trainings.create(
            version="stability/sketch:" + self.sketch,
            input=FOX,
            destination="acme/hot-dog-detector",
        )
        expiry = str(int(time.time()) + 3600)
        self.clear()
        return {
            "path": str(path),
            "file": file.id,
            "prediction": slow.id,
            "training": training.id,
            "expiry": expiry,
            "version": self.sketch,
            "spare": SPARE,
            "signature": self.api.sign_file("acme", file.id, expiry),
        }

    def drive(self, call):
        words = self.furnished()
        self.assertEqual(len({row.id for row in OPERATIONS}), 36 + 1)
        for row in OPERATIONS:
            with self.subTest(row.id):
                self.clear()
                name, args, options = words_of(f"{row.call} {row.words}", words)
                result = call(row, name, args, options, words)
                (seen,) = self.seen()
                self.check_request(row, seen, filled(row.sends, words))
                self.check_result(row, seen.reply, result)

    def check_request(self, row, seen, sends):
        self.assertEqual(seen.method, row.method)
        fits = re.sub(r"\{\w+\}", "[^/]+", "/v1" + row.path)
        self.assertRegex(seen.path, f"^{fits}$")
        self.assertEqual(seen.headers["Authorization"], "Bearer " + self.api.token)
        self.assertNotIn("Prefer", seen.headers)
        sends = json.loads(sends) if sends.startswith("{") else sends.encode()
        kind = seen.headers.get_content_type()
        if seen.method == "GET":
            query = {name: [value] for name, value in (sends or {}).items()}
            self.assertEqual(seen.query, query)
        elif kind == "multipart/form-data":
            parts = parse_multipart(seen.headers["Content-Type"], seen.body)
            self.assertEqual(parts["content"][2], sends)
        elif sends and isinstance(sends, dict):
            self.assertEqual((kind, seen.json), ("application/json", sends))
        else:
            self.assertEqual(seen.body, sends)

    def check_result(self, row, reply, result):
        page, kind = row.gives[0] == "[", row.gives.strip("[]")
        kind = (
            getattr(replicate, kind, None)
            or {each.__name__: each for each in (dict, list, bool, str, bytes)}[kind]
        )
        if page:
            self.assertIsInstance(result, replicate.Page)
            self.assertTrue(all(isinstance(item, kind) for item in result))
            self.assertEqual(result.results, json.loads(reply.body)["results"])
        else:
            self.assertIsInstance(result, kind)
            whole = {bool: True, str: reply.body.decode, bytes: reply.body}.get(kind)
            whole = whole() if kind is str else whole
            self.assertEqual(result, whole or json.loads(reply.body))

    def test_each_operation_sends_what_the_api_describes_and_returns_its_type(self):
        def call(row, name, args, options, words):
            return called(self.client, name, *args, **options)

        self.drive(call)

    def test_each_async_twin_sends_and_returns_the_same(self):
        def call(row, name, args, options, words):
            where, dot, verb = name.rpartition(".")
            twin = f"{where}{dot}async_{verb}"
            return asyncio.run(called(self.client, twin, *args, **options))

        self.drive(call)

    def test_each_operation_is_a_command_that_prints_what_the_api_answered(self):
        self.use_default_client()
        words = self.furnished()
        for row in OPERATIONS:
            with self.subTest(row.id):
                self.clear()
                line = row.call.split(".") + shlex.split(filled(row.words, words))
                ended = command(*line)
                self.assertEqual((ended.code, ended.err), (0, ""))
                (seen,) = self.seen()
                self.check_request(row, seen, filled(row.sends, words))
                if row.gives in ("bytes", "str"):
                    self.assertEqual(ended.out.strip(), seen.reply.body.strip())
                else:
                    whole = json.loads(seen.reply.body or b"true")
                    self.assertEqual(json.loads(ended.out), whole)

    def test_every_way_to_write_a_call_sends_the_same_request(self):
        words = self.furnished()
        things = {
            "m": self.client.models.get("stability/sketch"),
            "v": self.client.models.versions.get("stability/sketch", self.sketch),
            "d": self.client.deployments.get("acme/my-app"),
            "o": self.client.models.get("acme/hot-dog-detector"),
            "fox": FOX,
            "pair": ("stability", "sketch"),
            "app": ("acme", "my-app"),
            "own": ("acme", "hot-dog-detector"),
        }
        words.update((name, f"<{name}>") for name in things)
        self.answer("DELETE", ".*", Reply(204), times=False)
        changed = Reply(json=dict(things["m"]))
        self.answer("PATCH", "/v1/models/.*", changed, times=False)

        def thing(value):
            known = isinstance(value, str) and value.strip("<>") != value
            return things[value.strip("<>")] if known else value

        count = 0
        for line in FORMS.strip().splitlines():
            if line.startswith("{"):
                body = json.loads(filled(line, words))
            elif not line.startswith(" "):
                request, body = filled(line, words), None
            for call in line.split("|") if line.startswith(" ") else ():
                with self.subTest(call.strip()):
                    self.clear()
                    name, args, options = words_of(call.strip(), words)
                    where, _, rest = name.partition(".")
                    root = things.get(where, self.client)
                    name = rest if where in things else name
                    options = {key: thing(value) for key, value in options.items()}
                    called(root, name, *map(thing, args), **options)
                    (seen,) = self.seen()
                    self.assertEqual(f"{seen.method} {seen.target[3:]}", request)
                    if body:
                        self.assertEqual(seen.json, body)
                    count += 1
        self.assertGreater(count, 75)


class Environment(Case):
    def bearers(self):
        return [seen.headers.get("Authorization") for seen in self.seen()]

    @each("", "/", "/v1", "/v1/")
    def test_the_address_of_the_api_is_taken_with_and_without_v1(self, end):
        os.environ["REPLICATE_BASE_URL"] = self.api.url + end
        for base_url in (self.api.url + end, None):
            client = self.client_of(base_url=base_url)
            self.assertEqual(client.accounts.current().username, "acme")
        self.assertEqual([seen.target for seen in self.seen()], [ACCOUNT_PATH] * 2)

    @each("{}", " {}\n", "\t{}\r\n", '"{}"', "'{}'", ' "{}" \n')
    def test_a_token_is_stripped_of_white_space_and_quotes(self, form):
        text = os.environ["REPLICATE_API_TOKEN"] = form.format(self.api.token)
        for token in (text, None):
            self.client_of(api_token=token).accounts.current()
        self.assertEqual(self.bearers(), ["Bearer " + self.api.token] * 2)

    def test_the_environment_is_read_at_the_time_of_the_request(self):
        client = Client(proxies={})
        self.use_default_client()
        client.accounts.current()
        os.environ["REPLICATE_API_TOKEN"] = "r8_another"
        self.assertEqual(failure_of(client.accounts.current).status, 401)
        tokens = [f"Bearer {self.api.token}", "Bearer r8_another"]
        self.assertEqual(self.bearers(), tokens)

    def test_the_token_of_a_cog_context_is_used_alone_also_when_it_is_empty(self):
        os.environ["REPLICATE_API_TOKEN"] = "r8_of_the_host"
        client = self.client_of(api_token=None)

        def cog(**context):
            fake = types.ModuleType("cog")
            if context:
                scope = types.SimpleNamespace(context=context)
                fake.current_scope = lambda: scope
            return mock.patch.dict(sys.modules, {"cog": fake})

        for name in ("replicate_api_token", "REPLICATE_API_TOKEN"):
            with cog(**{name: self.api.token}):
                client.accounts.current()
        with cog(replicate_api_token=""):
            self.assertIs(type(failure_of(client.accounts.current)), ReplicateError)
        self.assertEqual(self.bearers(), ["Bearer " + self.api.token] * 2)
        for context in ({"other": "context"}, {}):
            with cog(**context):
                self.assertEqual(failure_of(client.accounts.current).status, 401)
        self.assertEqual(self.bearers()[2:], ["Bearer r8_of_the_host"] * 2)

    def test_an_assigned_token_is_that_of_the_modules_functions(self):
        self.use_default_client()
        os.environ["REPLICATE_API_TOKEN"] = "r8_nobody"
        with mock.patch.object(replicate, "api_token", self.api.token):
            self.assertEqual(replicate.accounts.current().username, "acme")
        self.assertIsNone(replicate.default_client.api_token)
        os.environ["REPLICATE_POLL_INTERVAL"] = "soon"
        self.assertRaises(ValueError, replicate.run, "test/echo", {})
        context = ssl.create_default_context()
        with self.assertRaises(TypeError):
            pickle.dumps(Client(ssl_context=context))


MODULES = """
__about__ account client collection deployment exceptions file hardware helpers
identifier model pagination prediction resource run schema stream training version
webhook
"""
CLASSES = """
Client Prediction Predictions Model Models Version Versions Training Trainings
Deployment Deployments File Files Collections Accounts Webhooks Page FileOutput
ServerSentEvent ModelError ReplicateError
"""
FRESH = """
import importlib, sys
import {0} as replicate
assert replicate.exceptions.ReplicateError is replicate.ReplicateError
from {0}.exceptions import ModelError
assert ModelError is replicate.ModelError
for name in {1!r}.split():
    assert importlib.import_module("{0}." + name) is replicate, name
for name in {2!r}.split():
    assert isinstance(getattr(replicate, name), type), name
assert callable(replicate.run) and callable(replicate.stream)
assert callable(replicate.files.create) and callable(replicate.account.get)
assert "{0}" == "replicate" or "replicate" not in sys.modules
print("fine")
"""


class OlderPrograms(Case):
    @each("replicate", "mypkg._vendor.replicate")
    def test_the_module_names_of_1_x_are_importable_also_when_vendored(self, name):
        self.copies("replicate.py", "mypkg/_vendor/replicate.py")
        for package in ("mypkg", "mypkg/_vendor"):
            self.file(package + "/__init__.py")
        code = FRESH.format(name, MODULES, CLASSES)
        fresh = self.python("-c", code, cwd=str(self.folder), env={"PYTHONPATH": ""})
        self.assertEqual(self.result(fresh), (0, "fine\n", ""))

    def test_the_namespaces_are_lasting_objects_whose_methods_can_be_replaced(self):
        self.assertIs(replicate.predictions, replicate.default_client.predictions)
        for name in cells("""
            predictions | models | deployments | files | models.versions
        """):
            found = operator.attrgetter(name)
            self.assertIs(found(self.client), found(self.client))
        state, calls = {"id": "p1", "status": "succeeded"}, []
        self.answer("GET", "/v1/predictions/p1", Reply(json=state), times=False)
        plain, twin = replicate.Predictions.get, replicate.Predictions.async_get

        def on_class(self, *args):
            calls.append("class")
            return plain(self, *args)

        async def twin_on_class(self, *args):
            calls.append("twin")
            return await twin(self, *args)

        predictions = self.client.predictions
        with mock.patch.object(replicate.Predictions, "get", on_class):
            predictions.get("p1")
            bound = predictions.get
            with mock.patch.object(
                predictions, "get", lambda id: calls.append("instance") or bound(id)
            ):
                self.assertEqual(predictions.get("p1").id, "p1")
        with mock.patch.object(replicate.Predictions, "async_get", twin_on_class):
            self.assertEqual(asyncio.run(predictions.async_get("p1")).id, "p1")
        predictions.get("p1")
        self.assertEqual(calls, ["class", "instance", "class", "twin"])
        self.assert_seen(4)

    def test_the_modules_own_functions_use_the_default_client_set_up_by_the_environment(
        self,
    ):
        self.use_default_client()
        self.assertEqual(replicate.run("test/echo", {"a": 1}), {"a": 1})
        self.assertEqual(
            [model.id for model in replicate.models.search("draws")],
            ["kvfrans/clipdraw"],
        )
        self.assertEqual(
            sum(map(len, replicate.paginate(replicate.collections.list))),
            len(COLLECTIONS),
        )
        self.assertEqual(
            asyncio.run(replicate.async_run("test/echo", {"a": 2})), {"a": 2}
        )

    def test_the_lines_of_the_official_manual_work_as_written(self):
        self.use_default_client()
        now = [0.0]
        self.api.clock, self.api.speed = (lambda: now[0]), 1.0
        model = replicate.models.get("kvfrans/clipdraw")
        version = model.versions.get(
            "5797a99edc939ea0e9242d5e8c9cb3bc7d125b1eac21bda852e5cb79ede2cd9b"
        )
        prediction = replicate.predictions.create(
            version=version, input={"prompt": "Watercolor painting of a submarine"}
        )
        self.assertEqual(
            (prediction.status, dict(prediction)["status"]), ("starting", "starting")
        )
        now[0] = 0.4
        prediction.reload()
        self.assertEqual(prediction.status, "processing")
        self.assertIn("%|", prediction.logs)
        self.api.clock, self.api.speed = time.monotonic, 50
        self.assertIsNone(prediction.wait())
        self.assertEqual(prediction.status, "succeeded")
        self.assertRegex(prediction.output, r"^http.*/out-0\.png$")
        running = replicate.predictions.create(
            model="test/slow", input={"seconds": 9999}
        )
        running.cancel()
        running.reload()
        self.assertEqual(running.status, "canceled")
        self.assertEqual(
            [run.id for run in replicate.predictions.list()],
            [running.id, prediction.id],
        )
        image = model.predict(prompt="avocado armchair")
        out = replicate.models.get("stability/sketch").predict(
            prompt="larger", image=image
        )
        self.assertEqual(self.creations()[-1].json["input"]["image"], image)
        texts = replicate.run(
            "pixray/text2image:" + self.version_of("pixray/text2image"),
            input={"prompts": "san francisco sunset"},
        )
        self.assertEqual(
            [str(text).rpartition("/")[2] for text in texts],
            ["out-0.png", "out-1.png", "out-2.png"],
        )
        path = self.folder / "out.png"
        urlretrieve(out[0], str(path))
        self.assertEqual(path.read_bytes(), out[0].read())
        self.assertEqual(path.read_bytes()[:4], b"\x89PNG")

    def test_the_helpers_of_1_x_do_what_they_did(self):
        parse = replicate.identifier.ModelVersionIdentifier.parse
        self.assertEqual(parse("a/b:c"), ("a", "b", "c"))
        self.assertEqual(parse("a/b").version, None)
        output = replicate.helpers.transform_output({"a": ["http://x.example/y"]})
        self.assertIsInstance(output["a"][0], FileOutput)
        file = self.file("a.txt", b"a")
        encoded = replicate.helpers.base64_encode_file(file)
        self.assertEqual(encoded, "data:text/plain;base64,YQ==")
        self.assertEqual(replicate.ServerSentEvent.EventType.DONE.value, "done")


class Twins(Case):
    ITERATORS = {
        "stream",
        "map",
        "paginate",
        "output_iterator",
        "iter_all",
        "iter_bytes",
    }

    def test_every_method_has_a_twin_on_its_class_with_the_same_signature(self):
        names = CLASSES.replace("ServerSentEvent ModelError ReplicateError", "").split()
        found = 0
        for cls in [getattr(replicate, name) for name in names]:
            for name, method in list(vars(cls).items()):
                skipped = name.startswith(("_", "a", "use"))  # async_*, aread of 1.x
                if skipped or not inspect.isfunction(method):
                    continue
                with self.subTest(f"{cls.__name__}.{name}"):
                    twin = vars(cls)["async_" + name]
                    self.assertEqual(twin.__name__, "async_" + name)
                    self.assertEqual(
                        *(
                            list(inspect.signature(each).parameters)
                            for each in (twin, method)
                        )
                    )
                    self.assertTrue(inspect.getdoc(twin))
                    if name not in self.ITERATORS:
                        self.assertTrue(inspect.iscoroutinefunction(twin))
                    found += 1
        self.assertGreaterEqual(found, 40)

    def test_twins_run_stream_map_and_follow_a_prediction(self):
        client = self.client

        async def everything():
            self.assertEqual(
                await client.async_run("replicate/hello-world", {"text": "Bo"}),
                "hello Bo",
            )
            self.assertEqual(
                [
                    item
                    async for item in await client.async_run(
                        "replicate/slow-words", FOX
                    )
                ],
                list(TOKENS),
            )
            direct = [
                str(event)
                async for event in client.async_stream("meta/llama-tiny", FOX)
            ]
            awaited = [
                str(event)
                async for event in await client.async_stream("meta/llama-tiny", FOX)
            ]
            self.assertEqual(["".join(direct), "".join(awaited)], ["".join(TOKENS)] * 2)
            inputs = [{"n": number} for number in range(5)]
            self.assertEqual(
                [output async for output in client.async_map("test/echo", inputs)],
                inputs,
            )
            prediction = await client.predictions.async_create(
                model="meta/llama-tiny", input=FOX
            )
            self.assertEqual(
                [item async for item in prediction.async_output_iterator()],
                list(TOKENS),
            )
            await prediction.async_reload()
            self.assertIsNone(await prediction.async_wait())
            self.assertEqual(prediction.status, "succeeded")
            slow = await client.predictions.async_create(
                model="test/slow", input={"seconds": 9999}
            )
            await slow.async_cancel()
            model = await client.models.async_get("stability/sketch")
            version = await model.versions.async_get(self.sketch)
            (image,) = await version.async_predict(**FOX)
            return slow.status, (await image.async_read())[:4]

        self.assertEqual(asyncio.run(everything()), ("canceled", b"\x89PNG"))

    def test_the_context_variables_of_the_caller_are_seen(self):
        variable = contextvars.ContextVar("variable", default="nothing")

        def lazily():
            yield variable.get()

        async def scene():
            variable.set("the caller's")
            return await self.client.async_run("test/echo", {"seen": lazily()})

        self.assertEqual(asyncio.run(scene()), {"seen": ["the caller's"]})

    def test_one_that_is_cancelled_twice_cancels_its_run_all_the_same(self):
        async def scene():
            run = self.client.async_run("test/slow", LONG, wait=False)
            task = asyncio.ensure_future(run)
            await async_until(self.polls)
            task.cancel()
            await async_until(self.cancels)
            task.cancel()
            await asyncio.wait([task])
            return task.cancelled()

        self.answer("POST", ".*/cancel", Reply(json={}, delay=0.2))
        self.assertTrue(asyncio.run(scene()))
        self.assertEqual(self.cancels(), self.api.creations)

    def test_one_that_is_closed_cancels_and_its_token_is_that_of_the_call(self):
        async def scene():
            token = {"api_token": self.api.token}
            events = await client.async_stream("test/slow", LONG, **token)
            await events.aclose()

        client = self.client_of(api_token="r8_nobody")
        asyncio.run(scene())
        self.assert_given_up()

    def test_what_an_input_calls_is_a_plain_call(self):
        def words():
            yield self.client.accounts.current()["username"]

        output = asyncio.run(self.client.async_run("test/echo", {"words": words()}))
        self.assertEqual(output, {"words": ["acme"]})

    def test_without_a_further_thread_work_is_done_where_it_is(self):
        start = threading.Thread.start

        def refuse(thread):
            if thread.name.startswith("replicate"):
                raise RuntimeError("no more threads")
            start(thread)

        with mock.patch.object(threading.Thread, "start", refuse):
            account = asyncio.run(self.client.accounts.async_current())
            error = failure_of(list, self.client.map("test/echo", [{}]))
        self.assertEqual(account.username, "acme")
        self.assertIn("no more threads", str(error))


# --------------------------------------------------------------------------------------
# Section 5: running
# --------------------------------------------------------------------------------------

ODD_NAMES = json.loads("""
{"input": 1, "version": "v", "model": [2], "wait": false, "self": null, "ref": "r",
 "client": {}, "timeout": -1, "stream": true, "webhook": 0, "cls": 3, "name": "n",
 "use_file_output": "no"}
""")


class Running(Case):
    def test_run_takes_every_form_of_reference(self):
        poem, own = "".join(TOKENS), {"text": "Alice"}
        client, created = self.client, "/v1/models/{}/predictions"
        hello = client.models.get("replicate/hello-world")
        llama, app = client.models.get(LLAMA), client.deployments.get("acme/my-app")
        of_llama, of_hello = created.format(LLAMA), created.format(hello.id)
        of_app = "/v1/deployments/acme/my-app/predictions"
        for ref, given, paths, expected in (
            (LLAMA, FOX, [of_llama], poem),
            (llama, FOX, [of_llama], poem),
            (f"replicate/hello-world:{HELLO}", own, ["/v1/predictions"], "hello Alice"),
            (HELLO, own, ["/v1/predictions"], "hello Alice"),
            (hello.latest_version, own, ["/v1/predictions"], "hello Alice"),
            (hello.id, own, [of_hello, "/v1/predictions"], "hello Alice"),
            (hello, own, None, "hello Alice"),
            ("deployments/acme/my-app", FOX, [of_app], None),
            (app, FOX, [of_app], None),
        ):
            with self.subTest(ref):
                self.clear()
                output = client.run(ref, input=given)
                created = self.creations()
                if paths:
                    self.assertEqual([seen.path for seen in created], paths)
                made = created[-1].json
                self.assertEqual(made["input"], given)
                version = (made.get("version") or "").rpartition(":")[2]
                self.assertEqual(version, HELLO if given is own else "")
                self.assert_created(1)
                if expected is None:
                    self.assertEqual(output[0].read()[:4], b"\x89PNG")
                else:
                    self.assertEqual("".join(output), expected)

    @each("run", "stream", "map", "use")
    def test_a_model_that_is_not_official_runs_by_its_latest_version(self, verb):
        client = self.client
        output = {
            "run": lambda: client.run(WORDS, FOX),
            "stream": lambda: client.stream(WORDS, FOX),
            "map": lambda: next(client.map(WORDS, [FOX])),
            "use": lambda: client.use(WORDS)(**FOX),
        }[verb]()
        self.assertEqual(joined(output), "".join(TOKENS))
        refused, made = self.creations()
        self.assertEqual(refused.path, f"/v1/models/{WORDS}/predictions")
        self.assertEqual(made.path, "/v1/predictions")
        version = made.json["version"].rpartition(":")[2]
        self.assertEqual(version, self.version_of(WORDS))

    def test_a_model_that_does_not_exist_is_an_api_error_and_nothing_is_created(self):
        self.assertEqual(failure_of(self.client.run, "no/such", {}).status, 404)
        self.assertEqual(self.api.creations, [])

    @each(
        *rows("""
        true  | wait(=60)?
        1     | wait=1
        60    | wait(=60)?
        false | None
    """)
    )
    def test_wait_says_how_long_the_request_is_held_and_run_ends_at_the_end_in_any_case(
        self, wait, prefer
    ):
        for output in (
            self.client.run("test/slow", {"seconds": 3}, wait=wait),
            asyncio.run(self.client.async_run("test/slow", {"seconds": 3}, wait=wait)),
        ):
            self.assertEqual(output, "slept 3 s")
        plain, _ = self.creations()
        self.assertRegex(str(plain.headers.get("Prefer")), f"^{prefer}$")
        if wait is False:
            self.assertTrue(self.polls())

    @each(
        ({}, None, ("starting", "processing")),
        ({"wait": False}, None, ("starting", "processing")),
        ({"wait": 2}, "wait=2", ("processing",)),
        ({"wait": True}, "wait", ("succeeded",)),
    )
    def test_create_returns_at_once_and_with_wait_holds_one_request_and_never_polls(
        self, options, prefer, statuses
    ):
        given = {"seconds": 10 if options.get("wait") is True else 9999}
        create = self.client.predictions.create
        prediction = create(model="test/slow", input=given, **options)
        self.assertIn(prediction.status, statuses)
        (seen,) = self.seen()
        told = (seen.headers.get("Prefer") or "").replace("=60", "")
        self.assertEqual(told, prefer or "")

    def test_cancel_after_and_webhooks_go_with_every_kind_of_creation(self):
        client, sketch = self.client, "stability/sketch"
        app = "acme/my-app"
        for number, (call, value, seconds) in enumerate(
            (
                (lambda **o: client.run(sketch, FOX, **o), "5m", 300),
                (lambda **o: list(client.run(WORDS, FOX, **o)), 90, 90),
                (lambda **o: list(client.stream(LLAMA, FOX, **o)), "1h30m45s", 5445),
                (lambda **o: list(client.map(sketch, [FOX], **o)), 5, 5),
                (
                    lambda **o: client.predictions.create(self.sketch, FOX, **o),
                    "30s",
                    30,
                ),
                (
                    lambda **o: client.models.predictions.create(sketch, FOX, **o),
                    "30",
                    30,
                ),
                (
                    lambda **o: client.deployments.predictions.create(app, FOX, **o),
                    9,
                    9,
                ),
            )
        ):
            with self.subTest(number=number, cancel_after=value):
                self.clear()
                hooks = {
                    "webhook": HOOK,
                    "webhook_events_filter": ["start", "completed"],
                }
                call(cancel_after=value, **hooks)
                made = self.creations()[-1].json
                self.assertEqual({name: made[name] for name in hooks}, hooks)
                deadline = self.api.jobs[self.api.creations[0]].deadline
                self.assertEqual(deadline, seconds)

    def test_outputs_come_back_as_the_api_gives_them(self):
        self.assertIsNone(self.client.run("test/null", {}))
        self.assertEqual(self.client.run("test/number", {"value": 0}), 0)
        whole = self.client.run("test/object", {})
        self.assertEqual((whole["text"], whole["n"]), ("an object", 1))
        self.assertEqual(whole["file"].read()[:4], b"\x89PNG")
        self.assertEqual(whole["nested"]["files"][0].read().decode(), "na\u00efve\n")
        plain = self.client.run("stability/sketch", FOX, use_file_output=False)
        self.assertEqual([type(item) for item in plain], [str])

    def test_predict_and_use_take_inputs_of_any_name(self):
        echo = self.client.models.get("test/echo")
        version, model, names = (
            echo.latest_version,
            self.client.use("test/echo"),
            ODD_NAMES,
        )
        outputs = [
            echo.predict(**names),
            version.predict(**names),
            model(**names),
            version.create(**names).input,
            model.create(**names).input,
            asyncio.run(model.async_create(**names)).input,
            *model.map([names]),
        ]
        self.assertEqual(outputs, [names] * 7)
        for streaming in (model, version):
            self.assertEqual(list(streaming.stream(**names))[-1].event, "done")
        self.assertEqual([seen.json["input"] for seen in self.creations()], [names] * 9)

    def test_looking_at_a_model_in_use_makes_no_request(self):
        model = self.client.use("stability/sketch")
        self.assertTrue(repr(model) and callable(model) and inspect.getdoc(model))
        self.assert_nothing_sent()

    def test_a_model_without_a_version_cannot_be_run(self):
        ref = "acme/hot-dog-detector"
        self.answer("GET", "/v1/models/" + ref, Reply(json={"latest_version": None}))
        error = failure_of(self.client.run, ref, FOX)
        self.assertEqual((error.status, len(self.creations())), (404, 1))

    def test_a_version_is_asked_for_once_by_many_calls(self):
        async def scene():
            return await asyncio.gather(*(run(ref, FOX) for _ in range(9)))

        run, ref = self.client.async_run, f"stability/sketch:{self.sketch}"
        path = "/v1/models/stability/sketch/versions/.*"
        self.answer("GET", path, Reply(delay=0.05, json={}))
        self.assertEqual(len(asyncio.run(scene())), 9)
        self.assert_seen(1, "GET", path)

    def test_a_creation_of_a_version_that_is_not_found_is_sent_once(self):
        self.answer("POST", "/v1/predictions", Reply.problem(404, "no"), times=False)
        error = failure_of(self.client.run, f"stability/sketch:{self.sketch}", FOX)
        self.assertEqual((error.status, len(self.creations())), (404, 1))


class IteratorModels(Case):
    def test_the_run_of_an_iterator_model_is_a_generator_and_its_creation_is_not_held(
        self,
    ):
        words = self.client.models.get(WORDS)
        version = words.latest_version
        for ref in (f"{WORDS}:{version.id}", version.id, version, WORDS, words):
            with self.subTest(ref):
                self.clear()
                output = self.client.run(ref, FOX, wait=True)
                self.assertIs(type(output), types.GeneratorType)
                self.assertEqual(list(output), list(TOKENS))
                made = self.creations()[-1]
                self.assertEqual(made.path, "/v1/predictions")
                if ref != version.id:  # it is known when its prediction is
                    self.assertNotIn("Prefer", made.headers)
        self.assertIs(type(self.client.stream(LLAMA, FOX)), types.GeneratorType)

    def test_an_official_model_returns_its_list(self):
        self.assertEqual(self.client.run(LLAMA, FOX), list(TOKENS))
        self.assertEqual(self.seen("GET", ".*/versions.*"), [])

    def test_a_version_is_looked_up_once_per_client(self):
        refs = ["replicate/hello-world:" + HELLO, HELLO] * 2
        for client in (self.client, self.client_of()):
            self.clear()
            outputs = [client.run(ref, {"text": "Bo"}) for ref in refs]
            self.assertEqual(outputs, ["hello Bo"] * 4)
            self.assert_seen(1, "GET", ".*/versions/" + HELLO)

    @each(
        Reply.problem(404, "gone"),
        Reply.problem(500, "broken"),
        Reply(json=[1]),
        Reply(body=b"<html>"),
        Reply(reset=True),
        Reply(json={"openapi_schema": {"components": []}}),
        Reply(json={"openapi_schema": 5}),
    )
    def test_a_look_up_that_fails_does_not_stop_the_run(self, reply):
        self.client = self.client_of(max_retries=1)
        self.turn_clock()
        self.answer("GET", ".*/versions/.*", reply, times=2)
        ref = "replicate/hello-world:" + HELLO
        self.assertEqual(self.client.run(ref, {"text": "Bo"}), "hello Bo")
        self.assert_created(1)

    @each(
        *rows("""
        0.3.8             | true
        0.0.21            | true
        v0.3.2            | true
        0.3.9             | false
        0.3.10            | false
        0.10.0-alpha27    | false
        dev               | false
        null              | false
        v0.9.9-alpha2+dev | false
    """)
    )
    def test_an_array_of_a_cog_older_than_0_3_9_is_an_iterator(self, cog, iterates):
        model = self.api.catalogue["pixray/text2image"]
        identity = hashlib.sha256(str(cog).encode()).hexdigest()
        version = dict(model.versions[-1], id=identity, cog_version=cog)
        model.versions.insert(0, version)
        output = self.client.run(f"pixray/text2image:{identity}", {"prompts": "x"})
        self.assertEqual(isinstance(output, types.GeneratorType), iterates)
        self.assertEqual(len(list(output)), 3)

    def test_a_text_of_an_old_cog_is_no_iterator(self):
        version = self.api.catalogue["replicate/hello-world"].versions[1]
        self.assertEqual(version["cog_version"], "0.3.0")
        self.assertEqual(self.client.run(version["id"], {"text": "Bo"}), "hello Bo")

    def test_a_null_where_items_were_due_yields_nothing(self):
        self.scripted({"output": None}, {"status": "succeeded", "output": None})
        ref = f"{WORDS}:{self.version_of(WORDS)}"
        self.assertEqual(list(self.client.run(ref, FOX)), [])

    def test_items_of_a_run_come_before_the_next_is_made(self):
        self.turn_clock(api=True)
        self.client.poll_interval = 0.5
        self.plan(WORDS, items=["one", "two", "three"], seconds=40)
        for make in (
            lambda: self.client.run(WORDS, FOX),
            lambda: self.client.use(WORDS).create(**FOX).output_iterator(),
        ):
            self.clear()
            made = [
                (item, len(self.api.predictions[self.api.creations[-1]]["output"]))
                for item in make()
            ]
            self.assertEqual(made, [("one", 1), ("two", 2), ("three", 3)])
            self.assertEqual(self.cancels(), [])

    @each(
        *rows("""
        [["a"], ["a", "b"], ["a", "b"], ["a", "b", "c"]] | succeeded | ["a", "b", "c"]
        [null, ["a", "b"]] | succeeded | ["a", "b"]
        ["He", "Hello", "Hello", "Hello you"] | succeeded | ["He", "llo", " you"]
        [4, 42] | succeeded | [42]
        [0] | succeeded | [0]
        [{"a": 1}, {"a": 1, "b": 2}] | succeeded | [{"a": 1, "b": 2}]
        [null, null] | succeeded | []
        [null, "https://h/x"] | succeeded | ["https://h/x"]
        ["", "https://h/x"] | succeeded | ["https://h/x"]
        [["https://h/x"], ["https://h/x"]] | succeeded | ["https://h/x"]
        [["a"], ["a", "b"]] | failed    | ["a", "b"]
        [null] | failed    | []
        [["a"], ["a", "b"]] | lost      | ["a", "b"]
        [null, ["a"]] | canceled  | ["a"]
        [[], {"a": 1}] | succeeded | [{"a": 1}]
        ["Loading", "The answer"] | succeeded | ["Loading", "The answer"]
        [["a"], "ab"] | succeeded | ["a", "ab"]
        ["abc", ["x", "y"]] | succeeded | ["abc", "x", "y"]
        [["a", "b"], ["a"]] | succeeded | ["a", "b"]
    """)
    )
    def test_output_iterator_yields_each_thing_once_though_its_shape_may_change(
        self, outputs, end, expected
    ):
        self.turn_clock()
        states = [{"output": output} for output in outputs]
        states[-1]["status"] = end
        self.scripted(*states)
        prediction = self.client.predictions.create(model="test/echo", input={})
        came, error = [], None
        try:
            for item in prediction.output_iterator():
                came.append(item)
        except ModelError as raised:
            error = raised
        self.assertEqual((came, error is None), (expected, end == "succeeded"))
        files = [isinstance(item, FileOutput) for item in came]
        self.assertEqual(files, ["http" in str(item) for item in came])
        self.assertEqual(len(self.seen()), len(states))

    def test_output_is_iterated_from_its_first_item_whatever_had_arrived(self):
        for model in (LLAMA, WORDS):
            prediction = self.client.use(model).create(**FOX)
            prediction.wait()
            for method in (prediction.output_iterator, prediction.stream) * 2:
                self.assertEqual(joined(method()), "".join(TOKENS))
        clock = self.turn_clock(api=True)
        prediction = self.client.use(WORDS).create(**FOX)
        clock.sleep(0.6)
        prediction.reload()
        self.assertGreater(len(prediction.output), 2)
        self.assertEqual(list(prediction.output_iterator()), list(TOKENS))

    def test_an_output_that_holds_no_file_is_the_same_list_at_each_access(self):
        fields = {"id": "x", "status": "succeeded", "output": ["a", "b"]}
        prediction = Prediction(fields)
        self.assertIs(prediction.output, prediction.output)


class Waiting(Case):
    pace = 1

    def setUp(self):
        super().setUp()
        del os.environ["REPLICATE_POLL_INTERVAL"]

    def test_a_run_of_ten_minutes_costs_at_most_160_requests(
        self,
    ):
        clock, lags = self.turn_clock(api=True), []

        def hold(seen, connection):
            """Serve a held creation, and turn the clock by what it was held for."""
            del seen.headers["Prefer"]
            reply = self.api.serve(seen)
            clock.time += 60
            return reply

        self.answer("POST", ".*/predictions", hold, times=False)
        for seconds in (597.2, 598.4, 599.6, 600.8, 602):
            self.clear()
            del clock.slept[:]
            began = clock.now()
            self.client.run("test/slow", {"seconds": seconds})
            lags.append(clock.now() - began - seconds)
            self.assertLessEqual(len(self.seen()), 160)
            self.assertLessEqual(max(clock.slept), 5)
        self.assertLessEqual(sum(lags) / len(lags), 3)
        self.assertGreaterEqual(min(lags), 0)

    def test_the_end_of_a_run_is_noticed_within_a_hundredth_of_its_length_on_average(
        self,
    ):
        clock, lags = self.turn_clock(api=True), []
        for tenths in range(1000, 1021, 3):  # gaps are of 2 s there
            began = clock.now()
            self.client.run("test/slow", {"seconds": tenths / 10}, wait=False)
            lags.append((clock.now() - began) / (tenths / 10) - 1)
        self.assertLessEqual(clock.slept[0], 0.5)
        self.assertLessEqual(sum(lags) / len(lags), 0.0125)

    def test_a_run_with_fifty_polls_uses_one_connection(self):
        self.turn_clock(api=True)
        self.client.run("test/slow", {"seconds": 40}, wait=False)
        self.assertGreaterEqual(len(self.polls()), 50)
        self.assertEqual(self.api.connections, 1)

    def test_the_poll_interval_is_the_argument_else_that_of_the_environment(self):
        os.environ["REPLICATE_POLL_INTERVAL"] = "2.5"
        for options, gap in rows("""
            {}                      | 2.5
            {"poll_interval": 1.25} | 1.25
        """):
            self.client = self.client_of(**options)
            clock = self.turn_clock(api=True)
            self.client.run("test/slow", {"seconds": 50}, wait=False)
            self.assertAlmostEqual(max(clock.slept), gap, delta=gap / 20)

    @each(
        (" 50%|#####     | 5/10 [00:01<00:01]\n", (0.5, 5, 10)),
        ("".join(bars(20)), (1, 20, 20)),
        (" 10%|#| 1/10 [0]\r 30%|###| 3/10 [1]\nother words\n", (0.3, 3, 10)),
        ("no bar at all\n", None),
        (None, None),
    )
    def test_progress_is_read_from_the_last_bar_in_the_logs(self, logs, expected):
        progress = Prediction(
            {"id": "x", "status": "processing", "logs": logs}
        ).progress
        found = progress and (progress.percentage, progress.current, progress.total)
        self.assertEqual(found, expected)


# --------------------------------------------------------------------------------------
# Section 6: batches
# --------------------------------------------------------------------------------------


class Batches(RunCase):
    POSTS = "/v1/models/test/[a-z]+/predictions"

    def setUp(self):
        super().setUp()
        self.turn_clock()

    def test_outputs_come_in_the_order_of_the_inputs_whatever_ends_first(self):
        seconds = [10, 1, 5, 1, 3, 1]
        inputs = ({"seconds": s} for s in seconds)
        outputs = self.client.map("test/slow", inputs, concurrency=4)
        self.assertEqual(list(outputs), [f"slept {s} s" for s in seconds])
        self.assertEqual((len(self.api.creations), self.cancels()), (len(seconds), []))
        self.assertEqual(list(self.client.map("test/slow", [])), [])

    def test_an_output_comes_while_later_ones_run(self):
        outputs = self.client.map("test/slow", [{"seconds": 0.5}, LONG], wait=False)
        self.assertEqual(next(outputs), "slept 0.5 s")
        self.until(lambda: len(self.api.creations) == 2)
        self.assertEqual(len(self.api.running()), 1)
        outputs.close()
        self.assert_given_up()

    def test_an_endless_generator_is_drawn_from_as_outputs_are_taken(self):
        drawn = itertools.count()
        inputs = ({"n": n} for n in drawn)
        outputs = self.client.map("test/echo", inputs, concurrency=3)
        for taken in range(20):
            self.assertEqual(next(outputs), {"n": taken})
            self.assertLessEqual(len(self.api.creations), taken + 1 + 4 * 3)
        outputs.close()
        self.assertLessEqual(next(drawn), 20 + 4 * 3)

    @each(
        *rows("""
        3 | {"wait": false, "concurrency": 3}
        8 | {}
    """)
    )  # 8 is the default
    def test_as_many_run_at_once_as_were_asked_for_and_never_more(self, most, options):
        lock, posting, counts = threading.Lock(), [], []
        meet, inputs = threading.Barrier(most), [{"seconds": 1}] * (3 * most)

        def arrive(seen, connection):
            with lock:
                posting.append(seen)
                counts.append(len(posting) + len(self.api.running()))
            with contextlib.suppress(threading.BrokenBarrierError):
                meet.wait(10)
            with lock:
                posting.remove(seen)

        self.answer("POST", self.POSTS, arrive, times=len(inputs))
        outputs = list(self.client.map("test/slow", inputs, **options))
        self.assertEqual(len(outputs), len(inputs))
        self.assertEqual((max(counts), len(self.api.creations)), (most, len(inputs)))

    def test_an_error_raises_at_its_place_or_is_yielded_there(self):
        self.plan("test/echo", lambda given, *_: Plan(given, error=given.get("error")))
        good, fails, wrong = {"n": 1}, {"error": "boom"}, {"n": object()}
        refused = Reply.problem(400, "refused")
        self.answer("POST", self.POSTS, None, None, refused, None)
        inputs = [good, fails, wrong, {"refuse": 1}, good]
        options = {"concurrency": 1, "return_exceptions": True}
        outputs = list(self.client.map("test/echo", inputs, **options))
        kinds = [dict, ModelError, TypeError, APIError, dict]
        self.assertEqual([type(output) for output in outputs], kinds)
        self.assertIn("boom", str(outputs[1]))
        for bad, kind in ((fails, ModelError), (wrong, TypeError)):
            came = []
            with self.assertRaises(kind):
                iterated(self.client.map("test/echo", [good, good, bad, good]), came)
            self.assertEqual(came, [str(good)] * 2)

    @each(LookupError("mine"), KeyboardInterrupt(), None)
    def test_an_error_of_one_run_or_of_the_inputs_cancels_the_others(self, error):
        both = lambda: len(self.api.creations) == 2  # noqa: E731
        others = [LONG, {"seconds": 2e6}]

        def raising():
            yield from others
            until(both)
            raise error

        def refuse(seen, connection):
            if seen.json["input"] not in others:
                until(both)

        self.answer("POST", self.POSTS, refuse, times=False)
        inputs = raising() if error else [{"seconds": "x"}, *others]
        with self.assertRaises(type(error) if error else APIError):
            list(self.client.map("test/slow", inputs, wait=not error))
        self.assert_given_up(2)

    def test_what_runs_is_cancelled_also_while_creations_are_throttled(self):
        posts, self.client = itertools.count(1), self.client_of()
        self.answer(
            "POST",
            self.POSTS,
            lambda *_: Reply.throttled(60) if next(posts) > 2 else None,
            times=False,
        )
        inputs = itertools.chain([{"seconds": 0}], itertools.repeat(LONG))
        outputs = self.client.map("test/slow", inputs, concurrency=2, wait=False)
        next(outputs)
        self.until(lambda: len(self.creations()) == 3 and self.api.running())
        time.sleep(0.05)  # for the 429 to be read
        outputs.close()
        self.assert_given_up()
        self.assertEqual(len(self.creations()), 3)

    @each(
        *[{"concurrency": 0}, {"concurrency": -1}, {"concurrency": 1.5}, {"wait": 61}],
        *[{"concurrency": None}, {"wait": 0.5}, {"timeout": -1}, {"cancel_after": 1}],
        *[{"file_encoding_strategy": "zip"}, {"ref": "echo"}, {"ref": "a/b/c/d"}],
        *[{"inputs": None}, {"inputs": 5}, {"inputs": ["text"]}, {"inputs": [[1]]}],
        {"inputs": [{"n": float("nan")}]},
    )
    def test_wrong_arguments_are_refused_before_any_request(self, options):
        call = dict({"ref": "test/echo", "inputs": [{}, {}]}, **options)
        with self.assertRaises((ValueError, TypeError)):
            list(self.client.map(**call))
        self.assert_nothing_sent()

    def test_an_iterator_model_gives_lists(self):
        self.plan(WORDS, lambda given, *_: Plan(items=[given["prompt"], "!"]))
        for ref in (WORDS, f"{WORDS}:{self.version_of(WORDS)}"):
            outputs = list(self.client.map(ref, [{"prompt": "a"}, {"prompt": "b"}]))
            self.assertEqual(outputs, [["a", "!"], ["b", "!"]])


class Journals(Case):
    """What dies goes on: nothing is paid for twice, and no result is lost."""

    def setUp(self):
        super().setUp()
        self.turn_clock()
        self.path, self.forks = self.folder / "runs.jsonl", None

    def process(self, number, before=""):
        """Run a batch in a process: its status, and what it printed."""
        if self.forks is None:
            pipes = {"stdin": subprocess.PIPE, "stderr": subprocess.STDOUT}
            self.forks = self.python("-c", FORKS, **pipes)
        code = before + BATCH.format(number, str(self.path))
        self.forks.stdin.write(json.dumps(code).encode() + b"\n")
        lines = iter(self.forks.stdout.readline, b"")
        self.child, out = int(next(lines)), b""
        for line in lines:
            if line.startswith(b"ended"):
                return int(line.split()[1]), out.decode("utf-8").strip()
            out += line
        raise AssertionError(out)

    def batch(self, inputs, ref="test/echo", client=None, **options):
        start = (client or self.client).map
        return list(start(ref, inputs, journal=self.path, **options))

    def lines(self):
        return [json.loads(line) for line in self.path.read_text("utf-8").splitlines()]

    def lose_results(self):
        """Cut off what was noted of the ends of runs."""
        kept = [line for line in self.lines() if "status" not in line]
        self.path.write_text("".join(json.dumps(line) + "\n" for line in kept), "utf-8")

    @unittest.skipUnless(POSIX, "SIGKILL")
    def test_a_process_that_is_killed_at_any_moment_goes_on_and_pays_once(self):
        chance, inputs = random.Random(4), 3 * KILLS

        def strike(seen, connection):
            self.left -= 1
            late = chance.random() < 0.5
            reply = self.api.serve(seen) if late else None
            if self.left == 0:
                time.sleep(chance.choice((0, 0.001, 0.005)))
                until(lambda: self.child)
                os.kill(self.child, signal.SIGKILL)
            return reply

        self.left = 0
        self.answer(None, ".*", strike, times=False)
        for _ in range(KILLS):
            self.left, self.child = chance.randint(1, 8), None
            self.process(inputs)
        self.left = 0
        ended, out = self.process(inputs)
        self.assertEqual(ended, 0, out)
        told = sorted(int(line.split()[0]) for line in out.splitlines())
        self.assertEqual(told, list(range(inputs)))
        self.assertEqual(self.api.running(), [])
        made = collections.Counter(job.given["n"] for job in self.api.jobs.values())
        self.assertEqual(sum(made.values()), inputs, made)
        self.clear()
        again = self.process(inputs)[1]
        self.assertEqual(sorted(again.splitlines()), sorted(out.splitlines()))
        self.assertEqual(self.seen("POST"), [])

    def test_what_was_cut_off_at_any_byte_is_looked_for_and_not_made_again(self):
        inputs = [{"n": n // 2} for n in range(6)]
        self.batch(inputs)
        data, chance = self.path.read_bytes(), random.Random(7)
        sent = max(data.rindex(b'"at"'), 0)
        begin = data.index(b"\n", sent) + 1
        self.clear()
        for _ in range(12):
            self.path.write_bytes(data[: chance.randint(begin, len(data))])
            self.assertEqual(self.batch(inputs), inputs)
            self.assertEqual(self.creations(), [])
            self.assertTrue(self.lines())  # each is whole

    def test_inputs_that_changed_moved_or_came_are_told_apart(self):
        self.batch([{"n": n} for n in range(3)])
        self.clear()
        now = [{"n": 2}, {"n": "new"}, {"n": 0}, {"n": 0}, {"n": 9}]
        with self.assertLogs("replicate", logging.WARNING) as logs:
            self.assertEqual(self.batch(now), now)
        sent = [seen.json["input"]["n"] for seen in self.creations()]
        self.assertCountEqual(sent, ["new", 0, 9])
        self.assertIn("input 1 ", "".join(logs.output))
        self.clear()
        outputs = self.batch([{"value": 3}, {"n": 0}], "test/number")  # another model
        self.assertEqual((outputs, len(self.creations())), ([3, 42.5], 2))

    @each(
        b"hello\n",
        b'{"index": 1}\n',
        b'{"index": 1, "digest": "a"\n{"index": 2, "digest": "b"}\n',
        b'{"index": 0, "digest": "a"}\nmine\n{}\n',
        b"\0" * 99,
    )
    def test_a_file_that_is_no_journal_is_left_as_it_is(self, data):
        self.path.write_bytes(data)
        with self.assertRaises(ValueError):
            self.batch([{}])
        self.assertEqual((self.path.read_bytes(), self.seen()), (data, []))

    def test_one_that_is_in_use_is_refused_and_free_again_at_the_end(self):
        outputs = self.client.map("test/slow", [{"seconds": 0}] * 9, journal=self.path)
        next(outputs)
        self.clear()
        code = BATCH.format(2, str(self.path))
        ended, out, err = self.result(self.python("-c", code))
        self.assertEqual((ended, out), (1, ""))
        self.assertIn("in use", err)
        outputs.close()
        self.assertEqual(self.batch([{"n": 1}]), [{"n": 1}])

    @unittest.skipUnless(POSIX, "RLIMIT_FSIZE")
    @each(700, 3000)
    def test_a_full_disk_stops_it_before_the_next_creation(self, most):
        self.path = self.folder / f"{most}.jsonl"
        self.api.jobs.clear()  # the other case's fit as well
        code = f"import resource as r\nr.setrlimit(r.RLIMIT_FSIZE, ({most}, {most}))\n"
        ended, out = self.process(30, code)
        self.assertEqual(ended, 1 << 8)
        self.assertIn(self.path.name, out)
        noted = sum(
            b'"at"' in line for line in self.path.read_bytes().split(b"\n")[:-1]
        )
        self.assertLessEqual(len(self.creations()), noted)
        ended, out = self.process(30)
        self.assertEqual((ended, len(out.splitlines())), (0, 30))
        made = [self.api.predictions[run]["status"] for run in self.api.creations]
        self.assertEqual(made.count("succeeded"), 30)

    def test_what_failed_runs_again_and_nothing_else(self):
        self.plan("test/echo", lambda given, *_: Plan(given, error=given.get("e")))
        inputs = [{"n": 1}, {"e": "boom"}, {"n": 2}]
        outputs = self.batch(inputs, return_exceptions=True)
        self.assertIsInstance(outputs[1], ModelError)
        self.plan("test/echo", plan_echo)
        self.clear()
        self.assertEqual(self.batch(inputs), inputs)
        self.assertEqual([seen.json["input"] for seen in self.creations()], inputs[1:2])

    @each(True, False)
    def test_what_the_api_has_removed_is_told_and_runs_again_when_asked(self, listed):
        self.path.unlink() if self.path.exists() else None
        self.batch([{"n": 1}, {"n": 2}])
        self.lose_results()
        old = self.api.creations[0]
        if listed:
            self.api.force(old, data_removed=True, output=None, input={})
        else:
            del self.api.jobs[old]
        self.clear()
        outputs = self.batch([{"n": 1}, {"n": 2}], return_exceptions=True)
        told = [output for output in outputs if isinstance(output, ReplicateError)]
        self.assertEqual((len(told), self.creations()), (1, []))
        self.assertIn("rerun_expired", str(told[0]))
        outputs = self.batch([{"n": 1}, {"n": 2}], rerun_expired=True)
        self.assertEqual((outputs, len(self.creations())), ([{"n": 1}, {"n": 2}], 1))

    def test_unordered_results_come_as_they_end_with_their_index(self):
        inputs = [{"seconds": 1e6}, {"seconds": 0}, {"seconds": 0.1}]
        outputs = self.client.map("test/slow", inputs, ordered=False)
        found = sorted([next(outputs), next(outputs)])
        self.assertEqual(found, [(1, "slept 0 s"), (2, "slept 0.1 s")])
        self.until(lambda: len(self.api.creations) == 3)
        outputs.close()
        self.assert_given_up()

    def test_files_are_saved_under_their_line_and_noted(self):
        inputs = [dict(FOX, num_outputs=2), FOX]
        folder = self.folder / "saved"
        folder.mkdir()
        for _ in range(2):  # again, from the journal
            self.batch(inputs, "stability/sketch", save=folder)
            names = sorted(os.listdir(folder))
            self.assertEqual(names, ["1-1.png", "1-2.png", "2.png"])
            picture = (folder / "1-2.png").read_bytes()
            self.assertEqual(picture, png(64, 64, "a fox1"))
        self.assertEqual(len(self.api.creations), 2)
        noted = [line["files"] for line in self.lines() if line.get("files")]
        self.assertIn([str(folder / "2.png")], noted)

    def test_ten_like_failures_in_a_row_stop_it_and_tell_how_to_go_on(self):
        refused, came = Reply.problem(402, "pay"), []
        self.answer("POST", ECHO_PATH, *[refused] * 9, None, refused, times=False)
        inputs = ({"n": n} for n in range(99))
        options = {"concurrency": 1, "return_exceptions": True, "journal": self.path}
        with self.assertRaises(APIError) as caught:
            came.extend(self.client.map("test/echo", inputs, **options))
        self.assertIn(str(self.path), str(caught.exception))
        self.assertEqual(len(self.creations()), 20)

    def test_inputs_are_drawn_and_let_go_as_they_are_run(self):
        alive = []

        class Given(dict):
            def __init__(self, n):
                super().__init__(n=n)
                alive.append(n)

            def __del__(self):
                alive.remove(self["n"])

        inputs, most = (Given(n) for n in range(80)), 0
        options = {"concurrency": 4, "journal": self.path}
        for _ in self.client.map("test/echo", inputs, **options):
            gc.collect(0)
            most = max(most, len(alive))
        self.assertLessEqual(most, 40)
        self.assertEqual(len(self.api.creations), 80)

    def test_clients_and_models_travel_to_workers_without_a_token(self):
        with self.assertRaisesRegex(TypeError, "REPLICATE_API_TOKEN"):
            pickle.dumps(self.client.use("test/echo"))
        self.use_default_client()
        known = Client(headers={"X-Mine": "1"}, proxies={}, pace=0.25)
        data = pickle.dumps(known.use("test/echo"))
        self.assertNotIn(self.api.token.encode(), data)
        self.assertEqual(pickle.loads(data)(n=1), {"n": 1})
        self.assertEqual(self.creations()[0].headers["X-Mine"], "1")

    def cut_to_intents(self):
        """Leave no more than what was noted before creations were sent."""
        lines = [json.dumps(line) + "\n" for line in self.lines() if "at" in line]
        self.path.write_text("".join(lines), "utf-8")

    @each(
        {"n": [1, "data:,a"], "seed": 0},
        {"n": [1, "https://files.example/a.txt"]},
    )
    def test_an_input_that_the_api_tells_otherwise_is_not_paid_for_again(self, told):
        given = {"n": [1, "data:,a"]}
        self.path.unlink() if self.path.exists() else None
        self.api.jobs.clear()
        self.batch([given, {"n": 2}])
        self.cut_to_intents()
        (run,) = [job.id for job in self.api.jobs.values() if job.given == given]
        self.api.force(run, input=told)
        self.clear()
        result, other = self.batch([given, {"n": 2}], return_exceptions=True)
        self.assertIn("may have been created", str(result))
        self.assertEqual((other, self.creations()), ({"n": 2}, []))
        self.assertEqual(self.batch([given], rerun_expired=True), [given])
        self.assert_seen(1, "POST", ECHO_PATH)

    def test_where_the_list_cannot_be_read_nothing_is_created(self):
        self.batch([{"n": 1}])
        self.cut_to_intents()
        self.clear()
        self.answer("GET", "/v1/predictions", Reply.problem(403, "no"), times=False)
        [error] = self.batch([{"n": 1}], return_exceptions=True)
        self.assertRegex(str(error), "may have been created.*403")
        self.assertEqual(self.creations(), [])

    def test_a_disk_that_is_full_stops_it_and_loses_nothing(self):
        full = OSError(28, "No space left on device")
        with mock.patch("os.fsync", side_effect=full):
            error = failure_of(self.batch, [{"n": 1}])
        self.assertIn("No space left", str(error))
        self.assertEqual(self.creations(), [])
        self.assertEqual(self.batch([{"n": 1}]), [{"n": 1}])

    def test_a_file_is_known_by_its_content(self):
        content = file_bytes(300000)
        given = [
            {"file": self.file("a", content)},
            {"file": self.file("b", content[1:])},
        ]
        outputs = self.batch(given)
        self.clear()
        given[0]["file"].rename(self.folder / "c")
        self.assertEqual(self.batch([{"file": self.folder / "c"}]), outputs[:1])
        self.assertEqual(self.creations(), [])


# --------------------------------------------------------------------------------------
# Section 7: resources
# --------------------------------------------------------------------------------------


class Pages(Case):
    def setUp(self):
        super().setUp()
        models = self.api.catalogue.values()
        self.public = sorted(model.id for model in models if not model.owned)

    def test_a_page_is_a_list_that_knows_its_neighbours(self):
        page = self.client.models.list()
        self.assertIsInstance(page, list)
        self.assertEqual((len(page), page.results), (3, list(page)))
        self.assertIsNone(page.previous)
        second = self.client.models.list(page.next)
        first = self.client.models.list(cursor=second.previous)
        self.assertEqual(first.results, page.results)
        self.assertFalse({model.id for model in second} & {model.id for model in page})

    def test_iter_all_fetches_a_page_when_it_is_reached_and_not_before(self):
        everything = self.client.models.list().iter_all()
        found = [next(everything).id for _ in range(3)]
        self.assert_seen(1)
        found.append(next(everything).id)
        self.assert_seen(2)
        found += [model.id for model in everything]
        self.assertEqual(sorted(found), self.public)
        self.assertEqual(len(self.seen()), -(-len(found) // 3))

    def test_paginate_follows_next_page_by_page(self):
        pages = self.client.paginate(self.client.models.list)
        self.assertEqual((len(next(pages)), len(self.seen())), (3, 1))
        self.assertEqual(sum(map(len, pages)), len(self.public) - 3)
        versions = self.client.models.get("replicate/hello-world").versions
        self.api.page_sizes["versions"] = 2
        pages = self.client.paginate(versions.list)
        self.assertEqual([len(page) for page in pages], [2, 1])

        async def ids(method):
            pages = self.client.async_paginate(method)
            return [model.id async for page in pages for model in page]

        for method in (self.client.models.async_list, self.client.models.list):
            self.assertEqual(sorted(asyncio.run(ids(method))), self.public)

    @each("null", None)
    def test_the_text_null_and_null_end_the_pages(self, end):
        body = {"next": end, "previous": end, "results": [{}]}
        self.answer("GET", "/v1/predictions", Reply(json=body))
        page = self.client.predictions.list()
        found = (page.next, page.previous, list(page.iter_all()))
        self.assertEqual(found, (None, None, [{}]))
        self.assert_seen(1)

    def test_a_next_in_another_scheme_is_asked_in_the_scheme_of_the_api(self):
        other = self.api.url.replace("http:", "https:") + "/v1/predictions?cursor=abc"
        first = Reply(json={"next": other, "results": [{"id": "a"}]})
        last = Reply(json={"next": None, "results": [{"id": "b"}]})
        self.answer("GET", "/v1/predictions", first, last)
        found = [run.id for run in self.client.predictions.list().iter_all()]
        self.assertEqual(found, ["a", "b"])
        self.assertEqual(self.seen()[-1].target, "/v1/predictions?cursor=abc")

    def test_filters_are_kept_on_later_pages(self):
        self.api.page_sizes["predictions"] = 3
        for number in range(7):
            create_echo(self.client, n=number)
        period = {"created_after": "2024-01-01T00:00:00Z"}
        period["created_before"] = "2099-01-01T00:00:00Z"
        order = {"sort_by": "model_created_at", "sort_direction": "asc"}
        for self.api.next_keeps_filters in (True, False):
            for kind, filters in (("models", order), ("predictions", period)):
                with self.subTest(kind, kept=self.api.next_keeps_filters):
                    self.clear()
                    page = called(self.client, kind + ".list", **filters)
                    found = list(page.iter_all())
                    self.assertGreaterEqual(len(self.seen()), 3)
                    for seen in self.seen():
                        for name, value in filters.items():
                            self.assertEqual(seen.query[name], [value])
                    if kind == "models":
                        self.assertEqual(found[0].id, "replicate/hello-world")

    def test_a_search_goes_on_to_its_later_pages(self):
        found = list(self.client.models.search("a").iter_all())
        self.assertGreater(len(found), 3)
        self.assertEqual([seen.method for seen in self.seen()][:2], ["QUERY", "GET"])

    def test_a_walk_ends_where_it_began_and_paginate_takes_a_list_method(self):
        page = {"results": [{"slug": "a"}], "next": self.api.url + "/v1/collections"}
        self.answer("GET", "/v1/collections", Reply(json=page), times=False)
        found = self.client.collections.list().iter_all()
        self.assertLessEqual(len(list(found)), 2)
        with self.assertRaises(TypeError):
            list(self.client.paginate(dict))


class Resources(Case):
    RAW = {
        "id": "p1",
        "status": "succeeded",
        "model": "a/b",
        "created_at": "2023-09-08T16:32:56.990893084Z",
        "urls": {"get": "https://api.example/p1"},
        "items": 5,
        "logs": "line\n" * 500,
        "novel": {"deep": [{"er": 1}]},
        "output": ["https://replicate.delivery/a.png", "text"],
    }

    def got(self, raw=None):
        self.answer("GET", "/v1/predictions/p1", Reply(json=raw or self.RAW))
        return self.client.predictions.get("p1")

    def test_a_resource_is_a_dict_whose_keys_are_attributes(self):
        found = self.got()
        self.assertEqual((found.id, found["id"]), ("p1", "p1"))
        self.assertEqual(found.urls["get"], self.RAW["urls"]["get"])
        deep = (found.novel.deep[0].er, found["novel"]["deep"][0]["er"])
        self.assertEqual(deep, (1, 1))
        self.assertEqual(found.created_at, self.RAW["created_at"])
        files = [isinstance(item, FileOutput) for item in found.output]
        self.assertEqual(files, [True, False])
        self.assertEqual(
            (dict(found), json.loads(json.dumps(found))), (self.RAW, self.RAW)
        )
        self.assertEqual((list(found), found == self.RAW), (list(self.RAW), True))
        self.assertEqual((dict(found.items())["items"], found["items"]), (5, 5))

    def test_a_known_field_that_is_not_there_is_none_and_an_unknown_one_is_told(self):
        found = self.got()
        for name in ("completed_at", "started_at", "metrics", "error"):
            self.assertIsNone(getattr(found, name))
            self.assertNotIn(name, found)
        with self.assertRaises(AttributeError) as caught:
            operator.attrgetter("nonsense")(found)
        for name in ("nonsense", "status", "novel"):
            self.assertIn(name, str(caught.exception))

    def test_a_resource_pickles_and_copies_without_its_client(self):
        found = self.got()
        self.assertIsNotNone(found.novel.deep)
        protocols = range(pickle.HIGHEST_PROTOCOL + 1)
        twins = [pickle.loads(pickle.dumps(found, protocol)) for protocol in protocols]
        for twin in [*twins, copy.copy(found), copy.deepcopy(found)]:
            self.assertIs(type(twin), Prediction)
            self.assertEqual((twin, twin.novel.deep[0].er), (self.RAW, 1))
            self.assertIsNone(twin.completed_at)
        self.assertNotIn(self.api.token.encode(), pickle.dumps(found))
        copy.deepcopy(found)["novel"]["deep"][0]["er"] = 2
        self.assertEqual(found.novel.deep[0].er, 1)
        page = self.client.models.list()
        for twin in (pickle.loads(pickle.dumps(page)), copy.deepcopy(page)):
            self.assertEqual((twin.results, twin.next), (page.results, page.next))
            kinds = (type(twin), type(twin[0]))
            self.assertEqual(kinds, (replicate.Page, replicate.Model))

    def test_every_repr_is_one_short_line(self):
        found = self.got()
        self.assertRegex(repr(found), r"^Prediction\(id='p1', status='succeeded'.*\)$")
        model = self.client.models.get("stability/sketch")
        for thing in (
            found,
            model,
            model.latest_version,
            model.default_example,
            self.client.deployments.get("acme/my-app"),
            self.client.collections.get("text-to-image"),
            self.client.search("hello"),
            found.novel,
            self.got({"id": "p1", "status": "x" * 5000, "model": "a\nb"}),
        ):
            self.assertNotIn("\n", repr(thing))
            self.assertLess(len(repr(thing)), 300)

    def test_a_model_knows_its_version_example_versions_and_id(self):
        model = self.client.models.get("stability/sketch")
        self.assertIs(type(model.latest_version), replicate.Version)
        self.assertIs(type(model.default_example), Prediction)
        self.assertEqual(model.id, "stability/sketch")
        self.assertEqual(model.latest_version.id, self.sketch)
        self.assertEqual(model.versions.list()[0], model.latest_version)
        schemas = model.latest_version.openapi_schema["components"]["schemas"]
        self.assertEqual(schemas["Output"], FILES)
        empty = self.client.models.get("acme/hot-dog-detector")
        self.assertEqual((empty.latest_version, empty.default_example), (None, None))

    def test_nested_objects_have_attributes_to_their_depths(self):
        release = self.client.deployments.get("acme/my-app").current_release
        self.assertEqual(release.configuration.hardware, "gpu-t4")
        self.assertEqual(release.created_by.username, "acme")
        models = self.client.collections.get("language-models").models
        for found in (models, self.client.models.list()):
            self.assertEqual({type(model) for model in found}, {replicate.Model})
        match = self.client.search("hello").models[0]
        self.assertEqual(match.model.owner, "replicate")

    def test_fields_can_be_set_and_what_is_nested_reads_as_one(self):
        run = replicate.Prediction({"id": "p1", "metrics": [[{"seconds": 1}]]})
        run.status = "failed"
        self.assertEqual((run["status"], run.metrics[0][0].seconds), ("failed", 1))
        self.assertIn("status", dir(run))
        self.assertEqual(replicate.Collection({"slug": "a"}).id, "a")
        self.assertEqual(replicate.Hardware({"sku": "cpu"}).id, "cpu")
        model = self.client.models.get("test/echo")
        self.api.catalogue["test/echo"].fields["description"] = "new"
        model.reload()
        self.assertEqual(model.description, "new")
        error = ReplicateError(status=418, title="teapot")
        self.assertEqual((str(error), error.status_code), ("418: teapot", 418))


# --------------------------------------------------------------------------------------
# Section 8: outputs
# --------------------------------------------------------------------------------------


FILE_WORDS = """
https://replicate.delivery/pbxt/a/out-0.png http://h/x https://example.com data:,hi
HTTPS://EXAMPLE.COM/x https://h/x?a=b&c#d http://[::1]:80/x data:image/png;base64,AAAA
data:text/plain,a%20b data:text/plain;charset=utf-8;base64,aGk=
"""
NO_FILES = """
https:// https:///x http://?q http://:80/x http:x https ftp://h/x file:///etc/passwd
//h/x httpx://h/x javascript:alert(1) [a](https://h/x) data:
"""


class FileOutputs(FileCase):
    def test_an_output_is_a_str_that_compares_serialises_and_copies_as_its_url(self):
        address = self.elsewhere.url + "/a/out.png?x=1"
        embedded = "data:image/png;base64," + "iVBO" * 5000
        for url, output in zip((address, embedded), self.outputs(address, embedded)):
            self.assertIsInstance(output, FileOutput)
            self.assertIsInstance(output, str)
            self.assertEqual((output, output.url, str(output), f"{output}"), (url,) * 4)
            self.assertEqual(hash(output), hash(url))
            self.assertEqual(json.dumps({"o": [output]}), json.dumps({"o": [url]}))
            copies = [copy.copy(output), copy.deepcopy([output])[0]]
            for twin in [*copies, pickle.loads(pickle.dumps(output))]:
                self.assertEqual((twin, type(twin)), (output, FileOutput))
            self.assertEqual("".join(output), url)
            self.assertLess(len(repr(output)), 300)
            self.assertIn(url[:10], repr(output))
        self.assertEqual(self.elsewhere.seen(), [])

    def test_only_a_whole_url_with_a_host_or_a_data_uri_counts_as_a_file(self):
        files, prose = FILE_WORDS.split(), NO_FILES.split()
        prose += [
            "see https://h/x",
            "https://h/x is it",
            "https://h/x\n",
            " https://h/x",
        ]
        prose += ["https://h/a b.png", "", "data: it is new oil", "Data: the facts"]
        self.turn_clock()
        given = {"deep": [{"a": files}, prose], files[0]: 1}
        got = self.client.run("test/echo", given)
        self.assertEqual(got, given)
        for value in got["deep"][0]["a"] + got["deep"][1]:
            with self.subTest(value=str(value)):
                self.assertEqual(isinstance(value, FileOutput), value in files)
        for value in self.outputs("http://[bad/x", "http://127.0.0.1:port/x"):
            if isinstance(value, FileOutput):  # then it fails as one
                with self.subTest(value=str(value)):
                    self.assertTrue(failure_of(value.save, self.folder))
                    self.assertIn(value[:12], value._repr_html_())
        plain = self.client.run("test/echo", {"f": files}, use_file_output=False)["f"]
        self.assertEqual([type(value) for value in plain], [str] * len(files))

    def test_every_way_to_read_gives_the_bytes_and_asks_for_no_gzip(self):
        content, target = file_bytes(10000), "/a/out%20%C3%A9.bin?sig=a%2Fb+c%3D&x=../y"
        output = self.output(Reply(body=content), path=target)
        self.assertEqual(output.read(), content)
        for size in (1000, 1, 3333, 1 << 20):
            chunks = list(output.iter_bytes(size))
            self.assertEqual(b"".join(chunks), content)
            self.assertTrue(0 < min(map(len, chunks)) <= max(map(len, chunks)) <= size)
        for wrong in (0, -1, "x"):
            with self.subTest(size=wrong), self.assertRaises((ValueError, TypeError)):
                list(output.iter_bytes(wrong))
        copied = io.BytesIO()
        with output.open() as file:
            self.assertTrue(file.readable() and file.seekable())
            self.assertEqual((file.read(5), file.tell()), (content[:5], 5))
            self.assertEqual((file.seek(-7, 2), file.read()), (9993, content[-7:]))
            file.seek(0)
            shutil.copyfileobj(file, copied)
        self.assertEqual(copied.getvalue(), content)

        async def read():
            streamed = [chunk async for chunk in output.async_iter_bytes(4000)]
            found = [
                await output.async_read(),
                await output.aread(),
                b"".join(streamed),
            ]
            return [*found, b"".join([chunk async for chunk in output])]

        for data in asyncio.run(read()):
            self.assertEqual(digest(data), digest(content))
        saved = asyncio.run(output.async_save(self.folder))
        self.assertEqual(saved, self.folder / "out \u00e9.bin")
        self.assertEqual(digest(saved.read_bytes()), digest(content))
        for seen in self.elsewhere.seen():
            self.assertEqual((seen.target, seen.headers.get("Range")), (target, None))
            self.assertEqual(
                seen.headers.get("Accept-Encoding", "identity"), "identity"
            )

    def test_a_packed_output_opens_with_zipfile_and_stays_packed(self):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as file:
            file.writestr("inner.txt", "inside")
        output = self.output(Reply(body=packed.getvalue()))
        with output.open() as file, zipfile.ZipFile(file) as archive:
            self.assertEqual(archive.read("inner.txt"), b"inside")
        small = gzip.compress(b"text" * 1000)
        saved = self.output(Reply(body=small), path="/b.gz").save(self.folder)
        self.assertEqual(saved.read_bytes(), small)

    def test_data_uris_are_decoded_without_a_request(self):
        table = {
            "data:text/plain;base64,aGVsbG8=": b"hello",
            "data:,a%20b%2C+c": b"a b,+c",
            "data:;base64,aGk=": b"hi",
            "data:text/plain;charset=utf-8,w%C3%B6rld": b"w\xc3\xb6rld",
            "data:image/png;base64,": b"",
            "data:text/plain;charset=utf-8;base64,/+8=": b"\xff\xef",
            "data:text/plain;base64,aGk%3D": b"hi",
        }
        outputs = self.outputs(*table)
        self.clear()
        for output, content in zip(outputs, table.values()):
            with self.subTest(output=str(output)), output.open() as file:
                ways = (output.read(), file.read(), b"".join(output.iter_bytes(2)))
                self.assertEqual(ways, (content,) * 3)
                self.assertEqual(output.save(self.folder).read_bytes(), content)
        self.assertIn(".png", {pathlib.Path(name).suffix for name in self.names()})
        self.assertEqual((len(self.names()), self.seen()), (len(table), []))

    def test_save_takes_a_directory_a_name_or_nothing_and_numbers_collisions(self):
        replies = [Reply(body=b"%d" % number) for number in range(6)]
        output = self.output(*replies, path="/a/out-0.png?x=/etc/y.txt")
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(str(self.folder))
        first = output.save()
        self.assertEqual(first.resolve(), self.folder / "out-0.png")
        places = [str(self.folder), self.folder, self.folder / "named.bin"]
        places.append(str(self.folder / "text.bin"))
        saved = [output.save(place) for place in places]
        names = ["out-0-1.png", "out-0-2.png", "named.bin", "text.bin"]
        self.assertEqual(saved, [self.folder / name for name in names])
        self.assertTrue(all(isinstance(path, pathlib.Path) for path in saved))
        contents = [path.read_bytes() for path in [first, *saved]]
        self.assertEqual(contents, [b"0", b"1", b"2", b"3", b"4"])
        at_once(*[functools.partial(output.save, self.folder)] * 6)
        numbered = [f"out-0-{number}.png" for number in range(1, 9)]
        self.assertEqual(self.names(), sorted(["out-0.png", *names[2:], *numbered]))

    def test_the_html_shows_what_it_is_and_escapes_the_url(self):
        for url, tag in rows("""
            https://h/a.png?x=1                         | <img
            data:image/png;base64,AAAA                  | <img
            https://h/a.mp3                             | <audio
            https://h/a.mp4                             | <video
            https://h/a.png?"><script>alert(1)</script> | <img
        """):
            html = FileOutput(url)._repr_html_()
            self.assertIn(tag, html)
            self.assertIn(url[:15], html)
            self.assertNotIn("<script", html)

    @unittest.skipUnless(POSIX, "symbolic links")
    def test_a_link_is_followed_and_a_data_uri_that_is_none_is_told(self):
        link, text = self.folder / "link", "data:text/plain,a"
        link.symlink_to(self.file("there", b"old"))
        FileOutput(text).save(link)
        self.assertEqual((link.is_symlink(), link.read_bytes()), (True, b"a"))
        self.assertIn("<a href", FileOutput(text)._repr_html_())
        wrong = FileOutput("data:text/plain;base64,a")
        self.assertIsNotNone(failure_of(wrong.read))


# --------------------------------------------------------------------------------------
# Section 9: inputs
# --------------------------------------------------------------------------------------

INLINE_MOST = 256 << 10  # bytes; the border of DESIGN.md, section 9
BIG = INLINE_MOST + 1
OCTETS = "application/octet-stream"


def media_type_and_bytes(uri):
    """What a base64 data URI holds."""
    head, _, data = uri.partition(",")
    if not (head.startswith("data:") and head.endswith(";base64")):
        raise AssertionError(f"no base64 data URI: {uri[:80]}")
    return head[5:-7], base64.b64decode(data, validate=True)


def email_parts(seen):
    """name -> (headers, content) of a multipart request, as `email` reads it."""
    head = (
        b"Content-Type: " + seen.headers["Content-Type"].encode("latin-1") + b"\r\n\r\n"
    )
    parsed, found = email.message_from_bytes(head + seen.body), {}
    for part in parsed.get_payload():
        headers = email.message.Message()
        for name, value in part.raw_items():
            headers[name] = value.encode("ascii", "surrogateescape").decode("utf-8")
        found[headers.get_param("name", header="content-disposition")] = (
            headers,
            part.get_payload(decode=True),
        )
    return found


def uploaded(seen):
    """The content of the file in an upload."""
    return email_parts(seen)["content"][1]


class FakeArray:
    """What numpy's arrays and scalars look like from here."""

    def __init__(self, value):
        self.value = value

    def tolist(self):
        return self.value


class InputCase(FileCase):
    def received(self, given, **options):
        """The input of a new prediction, as the server received it."""
        self.client.predictions.create(model="test/echo", input=given, **options)
        return self.seen("POST", ECHO_PATH)[-1].json["input"]

    def uploads(self):
        return self.seen("POST", "/v1/files")

    def pipe(self, content):
        """The reading end of a pipe that gives this."""
        end, other = os.pipe()

        def write():
            with contextlib.suppress(OSError), open(other, "wb") as file:
                file.write(content)

        self.stack.callback(begin(write).join)  # once the reader is closed
        return self.stack.enter_context(open(end, "rb"))


class Inputs(InputCase):
    @each(
        (lambda v: v, lambda v: v),
        (lambda v: [v], lambda v: v[0]),
        (lambda v: [{"a": (v for v in [v])}], lambda v: v[0]["a"][0]),
    )
    def test_every_kind_of_value_arrives_as_json_at_any_depth(self, wrap, unwrap):
        utc = datetime.timezone.utc
        moment = datetime.datetime(2024, 2, 29, 12, 30, 1, 250000, utc)
        text = "na\u00efve \u2028 \u65e5\u672c \U0001f642"
        here = self.file("here.bin", b"\0here")
        address = self.elsewhere.url + "/a/out.png"
        remote, embedded = self.outputs(address, "data:text/plain,hi")
        kept = self.client.files.create(b"kept")
        enter = self.stack.enter_context
        spooled = enter(tempfile.SpooledTemporaryFile())  # noqa: SIM115
        named = enter(tempfile.NamedTemporaryFile())  # noqa: SIM115
        for file in (spooled, named):
            file.write(b"\0skipped" + b"\0rest")
            file.seek(8)
        plain = [None, True, False, 0, 2**60, -1.5, "", text, [], {}, [[1], {}]]
        contents = {
            b"\0raw": b"\0raw",
            bytes(bytearray(b"\0array")): b"\0array",
            b"": b"",
            here: b"\0here",
            self.handle(here, "rb"): b"\0here",
            self.handle(here, "r", encoding="ascii"): b"\0here",
            io.BytesIO(b"\0io"): b"\0io",
            io.StringIO(text): text.encode("utf-8"),
            OnlyReads(9): bytes(9),
            spooled: b"\0rest",
            named: b"\0rest",
        }
        table = [(value, value) for value in plain] + [
            ((1, (2,)), [1, [2]]),
            ((n for n in range(3)), [0, 1, 2]),
            ({7}, [7]),
            (frozenset("a"), ["a"]),
            (bytearray(b"x"), f"data:{OCTETS};base64,eA=="),
            (FakeArray([[1, 2], [3.5, None]]), [[1, 2], [3.5, None]]),
            (FakeArray(3), 3),
            (moment.date(), "2024-02-29"),
            (collections.OrderedDict(a=(1,)), {"a": [1]}),
            (remote, address),
            (embedded, "data:text/plain,hi"),
            (kept, kept.urls["get"]),
        ]
        for source, content in contents.items():
            data = base64.b64encode(content).decode("ascii")
            table.append((source, f"data:{OCTETS};base64,{data}"))
        given = {str(number): wrap(value) for number, (value, _) in enumerate(table)}
        got = self.received(given)
        for number, (value, wanted) in enumerate(table):
            with self.subTest(value=value):
                self.assertEqual(unwrap(got[str(number)]), wanted)
        sent = self.received({"t": moment})["t"].replace("Z", "+00:00")
        self.assertEqual(datetime.datetime.fromisoformat(sent), moment)
        self.assertEqual(self.elsewhere.seen(), [], "an output goes in unread")

    @each(
        ({"images": ["a", "b", object()]}, "input['images'][2]", TypeError),
        ({"x": object()}, "input['x']", TypeError),
        ({"a": {"b": [1, (2, len)]}}, "input['a']['b'][1][1]", TypeError),
        ({"g": [1, 1j]}, "input['g'][1]", TypeError),
        ({"n": float("nan")}, "input['n']", ValueError),
        ({"n": [0, -float("inf")]}, "input['n'][1]", ValueError),
        ({"n": {"m": FakeArray([0.0, math.nan])}}, "input['n']['m'][1]", ValueError),
        ({"f": [pathlib.Path("missing.png")]}, "input['f'][0]", Exception),
    )
    def test_a_wrong_value_is_told_with_its_place_before_any_request(
        self, given, place, kind
    ):
        for call in (
            lambda given: self.client.run("test/echo", given),
            self.received,
            lambda given: list(self.client.stream("test/echo", given)),
        ):
            with self.assertRaises(kind) as caught:
                call(dict({"first": io.BytesIO(bytes(BIG))}, **given))
            self.assertIn(place, str(caught.exception))
        self.assert_nothing_sent()

    def test_input_that_contains_itself_is_refused_and_input_shared_twice_is_not(self):
        circle, ring = {"a": [1]}, []
        circle["a"].append(circle)
        ring.append((ring,))
        for given in (circle, {"ring": ring}):
            with self.assertRaises((ValueError, TypeError)):
                self.received(given)
        self.assert_nothing_sent()
        shared = {"n": [1]}
        given = {"x": shared, "y": [shared]}
        self.assertEqual(self.received(given), given)

    @each(*itertools.product((INLINE_MOST, BIG), ("path", "handle", "bytes", "pipe")))
    def test_a_file_of_256_kib_goes_inline_and_a_larger_one_is_uploaded_first(
        self, size, kind
    ):
        content = file_bytes(size)
        path = lambda content: self.file("a.png", content)  # noqa: E731
        makes = {"path": path, "handle": io.BytesIO, "bytes": bytes, "pipe": self.pipe}
        got = self.received({"deep": [makes[kind](content)]})["deep"][0]
        if size == INLINE_MOST:
            self.assertEqual(digest(media_type_and_bytes(got)[1]), digest(content))
            self.assertEqual(self.uploads(), [])
            return
        self.assertEqual([seen.path for seen in self.seen()], ["/v1/files", ECHO_PATH])
        self.assertEqual(digest(uploaded(self.uploads()[0])), digest(content))
        file = list(self.api.files.values())[-1]
        self.assertEqual(got, file["urls"]["get"])
        if kind == "path":
            told = (file["name"], file["content_type"])
            self.assertEqual(told, ("a.png", "image/png"))

    @each(("base64", BIG, 0), ("url", 3, 1), ("url", 0, 1), (None, 3, 0), ("ftp", 1, 0))
    def test_the_strategy_forces_one_way_and_an_unknown_one_is_refused(
        self, strategy, size, uploads
    ):
        options = {"file_encoding_strategy": strategy}
        if strategy == "ftp":
            self.assertRaises(ValueError, self.received, {"f": b"x"}, **options)
            self.assert_nothing_sent()
            return
        got = self.received({"f": [bytes(size)]}, **options)["f"][0]
        self.assertEqual(got.startswith("data:"), not uploads)
        sizes = [len(uploaded(seen)) for seen in self.uploads()]
        self.assertEqual(sizes, [size] * uploads)

    def test_over_100_mib_is_refused_before_a_byte_is_sent(self):
        huge, create = (
            self.sparse("huge.bin", (100 << 20) + 1),
            self.client.files.create,
        )
        calls = [
            lambda: self.received({"small": bytes(BIG), "f": huge}),
            lambda: create(huge),
            lambda: create(self.handle(huge, "rb")),
            lambda: self.received({"f": huge}, file_encoding_strategy="url"),
            lambda: create(OnlyReads(1 << 40)),  # more than any disk here has
        ]
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", ResourceWarning)
            for number, call in enumerate(calls):
                with self.subTest(number), self.assertRaisesRegex(
                    (ValueError, ReplicateError), r"(?s)100 MiB.*URL"
                ):
                    call()
            gc.collect()
        words = [str(warning.message) for warning in told]
        self.assertEqual(words, [], "a path that it opened is closed")
        self.assert_nothing_sent()

    @each(10, 11)  # just too large, and just not
    def test_a_handle_is_read_from_where_it_stands_and_left_open(self, offset):
        content = file_bytes(BIG + 10)
        path = self.file("a.bin", content)
        raw = self.handle(path, "rb", buffering=0)
        for file in (self.handle(path, "rb"), raw, io.BytesIO(content)):
            with self.subTest(file=file):
                self.clear()
                file.seek(offset)
                got = self.received({"f": file})["f"]
                uploads = [uploaded(seen) for seen in self.uploads()]
                arrived = uploads[0] if uploads else media_type_and_bytes(got)[1]
                self.assertEqual(digest(arrived), digest(content[offset:]))
                self.assertEqual((len(uploads), file.closed), (11 - offset, False))

    def test_a_handle_of_text_is_read_through_its_buffer(self):
        lines = self.file("b.bin", b"first\r\nsecond\r\n\xff\xfe\r\n")
        text = self.handle(lines, "r", encoding="utf-8", errors="replace")
        self.assertEqual(text.readline(), "first\n")
        got = media_type_and_bytes(self.received({"f": text})["f"])[1]
        self.assertEqual((got, text.closed), (lines.read_bytes()[7:], False))
        text = self.handle(self.file("c", b"first\nsecond\n"), "r", encoding="utf-8")
        next(text)  # from now on it cannot tell where it stands
        try:
            got = self.received({"f": text})["f"]
            self.assertEqual(media_type_and_bytes(got)[1], b"second\n")
        except (ValueError, ReplicateError) as error:
            self.assertIn("input['f']", str(error))

    @each("path", "handle", "pipe")
    def test_a_throttled_upload_is_sent_again_whole(self, kind):
        clock, content = self.turn_clock(), file_bytes(BIG)
        skipped = b"skip" + content
        file = {
            "path": lambda data: self.handle(self.file("a.bin", data), "rb"),
            "handle": io.BytesIO,
            "pipe": self.pipe,
        }[kind](skipped)
        file.read(4)
        self.answer("POST", "/v1/files", Reply.throttled(7), Reply.throttled(7))
        self.received({"f": file})
        bodies = [digest(uploaded(seen)) for seen in self.uploads()]
        self.assertEqual(bodies, [digest(content)] * 3)
        self.assertGreaterEqual(sum(clock.slept), 14)

    @each(
        Reply.problem(500, "boom"),
        Reply.problem(413, "too large"),
        Reply(reset=True),
        Reply(201, body=b"<html>"),
        Reply(201, {"id": "no urls in it"}),
    )
    def test_a_failed_upload_raises_and_nothing_is_created_or_sent_inline(self, reply):
        self.turn_clock()
        for given, options in (
            ({"f": bytes(BIG)}, {}),
            ({"f": b"x"}, {"file_encoding_strategy": "url"}),
        ):
            self.answer("POST", "/v1/files", reply)
            self.assertTrue(failure_of(self.client.run, "test/echo", given, **options))
        self.assertEqual([seen.path for seen in self.seen()], ["/v1/files"] * 2)

    def test_the_callers_input_stays_as_it_was_and_a_repeated_request_is_the_same(self):
        self.turn_clock()
        handle, numbers = io.BytesIO(b"x" * BIG), [1, (2, 3)]
        given = {"f": [handle], "n": numbers}
        self.received(given)
        self.assertEqual(given, {"f": [handle], "n": [1, (2, 3)]})
        self.assertIs(given["n"], numbers)
        self.clear()
        self.answer("POST", ECHO_PATH, Reply.throttled(1))
        self.received({"g": (n for n in range(3)), "f": io.BytesIO(b"x")})
        first, second = (seen.json for seen in self.creations())
        self.assertEqual((first, first["input"]["g"]), (second, [0, 1, 2]))

    def test_the_media_type_comes_from_the_name_else_from_the_first_bytes(self):
        picture = png(2, 2, "x")
        names = f"""
            a.png image/png a.JPG image/jpeg b.c.gif image/gif a.mp3 audio/mpeg
            a.mp4 video/mp4 a.txt text/plain a.html text/html a.json application/json
            a.pdf application/pdf \u732b.png image/png no-ending {OCTETS} a.x {OCTETS}
        """.split()
        table = [
            (self.file(name, b"\1\2\3"), kind)
            for name, kind in zip(names[::2], names[1::2])
        ]
        table += [
            (self.file("wins.jpg", picture), "image/jpeg"),
            (self.file("told", picture), "image/png"),
            (picture, "image/png"),
            (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "image/jpeg"),
            (b"GIF89a\1\0", "image/gif"),
            (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"),
            (b"RIFF\x24\0\0\0WAVEfmt ", "audio/(x-)?wav"),
            (b"ID3\4\0\0\0\0\0\0", "audio/mpeg"),
            (b"\xff\xfb\x90\x64\0", "audio/mpeg"),
            (b"fLaC\0\0\0\x22", "audio/(x-)?flac"),
            (b"OggS\0\2\0\0", "(audio|application)/ogg"),
            (b"\0\0\0\x18ftypmp42\0\0\0\0", "video/mp4"),
            (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\1webm", "video/webm"),
            (b"%PDF-1.7\n%\xe2\xe3", "application/pdf"),
            (b"PK\3\4\x14\0", "application/zip"),
            (gzip.compress(b"x"), "application/(x-)?gzip"),
            (b"a".ljust(257, b"\0") + b"ustar", "application/(x-)?tar"),
        ]
        texts = b'hello||<html></html>|{"a": 1}|a,b\n1,2|\xef\xbb\xbfa|BMW makes cars'
        texts += b"|ID3 tags, explained|RIFF, a band|\0\1\2\3"
        table += [(plain, OCTETS) for plain in texts.split(b"|")]
        got = self.received({str(n): source for n, (source, _) in enumerate(table)})
        for number, (source, kind) in enumerate(table):
            with self.subTest(source=str(source)[:60]):
                told = media_type_and_bytes(got[str(number)])[0]
                self.assertRegex(told, f"^{kind}$")
        create = self.client.files.create
        kinds = [create(source).content_type for source in (picture, b"text")]
        self.assertEqual(kinds, ["image/png", OCTETS])

    def test_a_key_that_is_no_text_and_a_file_that_shrinks_are_told(self):
        with self.assertRaisesRegex(ValueError, r"input\['a'\].*5"):
            self.client.run("test/echo", {"a": {5: 6}})
        path = self.sparse("big", 300000)

        def shrink(seen, connection):
            os.truncate(str(path), 10)
            return Reply.throttled(0.01)

        self.answer("POST", "/v1/files", shrink)
        error = failure_of(self.client.run, "test/echo", {"a": path})
        self.assertIn("became shorter", str(error))
        self.assertEqual(self.creations(), [])


class Files(InputCase):
    @each(
        *[
            "plain.png",
            'a "quoted" name.png',
            "back\\slash.png",
            'end\\".png',
            "a'b.png",
        ],
        *[
            "semi;colon=.png",
            "na\u00efve \u65e5\u672c \U0001f642.png",
            "x" * 251 + ".png",
        ],
    )
    def test_names_types_and_metadata_survive_the_multipart(self, name):
        content = file_bytes(5000)
        metadata = {"who": 'J\u00fcrgen "X"', "n": [1, None]}
        options = {"content_type": "image/x-own", "metadata": metadata}
        file = self.client.files.create(io.BytesIO(content), filename=name, **options)
        parts = email_parts(self.uploads()[-1])
        headers, got = parts["content"]
        self.assertEqual(headers.get_filename(), name)
        self.assertEqual(headers.get_content_type(), "image/x-own")
        self.assertEqual(digest(got), digest(content))
        self.assertEqual(json.loads(parts["metadata"][1].decode("utf-8")), metadata)
        self.assertEqual((file.name, file.content_type), (name, "image/x-own"))
        self.assertEqual((file.size, file.checksums["sha256"]), digest(content))
        self.assertEqual((file.metadata, type(file)), (metadata, replicate.File))

    @each(
        *cells(r"""
        {"filename": "a\r\nX-Evil: 1\r\n\r\n.png"} | {"filename": "a\nX-Evil: 1.png"}
        {"filename": "a.png", "content_type": "image/png\r\nX-Evil: 1"}
    """)
    )
    def test_a_line_end_in_a_name_or_type_makes_no_header(self, options):
        try:
            self.client.files.create(b"x", **options)
        except (ValueError, ReplicateError):
            self.assert_nothing_sent()
            return
        headers, content = email_parts(self.uploads()[-1])["content"]
        self.assertEqual((headers.get("X-Evil"), content), (None, b"x"))

    def test_create_takes_paths_handles_and_bytes_and_the_rest_takes_an_id_or_a_file(
        self,
    ):
        path = self.file("cat.png", png(4, 4, "cat"))
        handle, data, files = (
            self.handle(path, "rb"),
            path.read_bytes(),
            self.client.files,
        )
        for source in (path, str(path), handle, data, io.BytesIO(data)):
            with self.subTest(source=type(source)):
                file = files.create(source)
                self.assertEqual(uploaded(self.uploads()[-1]), data)
                self.assertEqual(
                    (file.content_type, file.size), ("image/png", len(data))
                )
                if source in (path, str(path), handle):
                    self.assertEqual(file.name, "cat.png")
        self.assertFalse(handle.closed)
        for given in (file, file.id):
            self.assertEqual(files.get(given), file)
        listed = [found.id for found in files.list().iter_all()]
        self.assertEqual(listed, list(reversed(list(self.api.files))))
        other = files.create(b"x").id
        for given in (file, other):
            self.assertIs(files.delete(given), True)
        deleted = [seen.path.split("/")[3] for seen in self.seen("DELETE")]
        self.assertEqual(deleted, [file.id, other])
        self.clear()
        wrong = [(b"x", {"metadata": {"a": math.nan}}), (b"x", {"metadata": object()})]
        for source, options in wrong + [(s, {}) for s in (3, None, object(), ["a"])]:
            with self.subTest(source), self.assertRaises((ValueError, TypeError)):
                files.create(source, **options)
        self.assert_nothing_sent()

    def test_download_returns_the_bytes_for_a_signature(self):
        content = file_bytes(3000)
        file = self.client.files.create(content)
        link = {"owner": "acme", "expiry": int(time.time()) + 3600}
        link["signature"] = self.api.sign_file("acme", file.id, link["expiry"])
        for given in (file, file.id):
            self.assertEqual(self.client.files.download(given, **link), content)
            wanted = {name: [str(value)] for name, value in link.items()}
            self.assertEqual(self.seen()[-1].query, wanted)
        link["signature"] = "a+/b=&c"
        error = failure_of(self.client.files.download, file, **link)
        self.assertEqual(error.status, 404)
        self.assertEqual(self.seen()[-1].query["signature"], ["a+/b=&c"])


# --------------------------------------------------------------------------------------
# Section 10: streams
# --------------------------------------------------------------------------------------

# Lines of a stream, without their ends, and the (event, data, id) that they are.
SSE_TEXT = """\
\ufeff:a comment first||data: one||data:two|data|data:  three ||event: output|id: 7|\
data: w\u00f6rld \U0001f642 \u65e5\u672c||: ping||id: 8||data: after an empty event||\
event: logs||data: its type is forgotten||id: no\0pe|data: kept id||id|data: no id||\
retry: 12|retry: x|data: retried||event: thinking|data: a\u2028b\u0085c\x0bd\x0ce||\
data:||dat: no field|data : no field| data: no field|Data: no field|data: a: b||\
event: x|event: done|data: {}|id: end||data: never finished"""
SSE_LINES = SSE_TEXT.split("|")

SSE_EVENTS = rows(r"""
message  | one                   | ""
message  | "two\n\n three "      | ""
output   | "w\u00f6rld \ud83d\ude42 \u65e5\u672c" | "7"
message  | after an empty event  | "8"
message  | its type is forgotten | "8"
message  | kept id               | "8"
message  | no id                 | ""
message  | retried               | ""
thinking | "a\u2028b\u0085c\u000bd\u000ce" | ""
message  | ""                    | ""
message  | a: b                  | ""
done     | "{}"                  | end
""")


class Decoder(RunCase):
    """The events of a stream, by section 9.2 of HTML, at any split of its bytes."""

    def decoded(self, *chunks):
        """What a stream of these chunks gives; the run fails where it has no end."""
        self.streams, events = [Reply(pieces=chunks, headers=SSE_TYPE)], []
        with contextlib.suppress(ReplicateError):
            for event in self.prediction.stream():
                events.append((event.event, event.data, event.id))
        return events

    def setUp(self):
        super().setUp()
        self.client = self.client_of(max_retries=0)
        self.turn_clock()
        self.prediction = self.client.use(LLAMA).create(prompt="x")
        self.api.force(self.prediction.id, status="failed", output=None)
        gone, self.streams = Reply.problem(404, "gone"), []
        stream = lambda *_: self.streams.pop() if self.streams else gone  # noqa: E731
        self.answer("GET", "/stream/.*", stream, times=False)

    @each("\n", "\r", "\r\n")
    def test_events_are_the_same_at_every_split_and_with_every_line_end(self, end):
        data = (end.join(SSE_LINES) + end).encode("utf-8")
        for at in range(0, len(data) + 1, 9):
            self.assertEqual(self.decoded(data[:at], data[at:]), SSE_EVENTS, at)
        bytewise = [data[at : at + 1] for at in range(len(data))]
        self.assertEqual(self.decoded(*bytewise), SSE_EVENTS)
        body = data.partition(end.encode() + b"event: done")[0][3:] + end.encode() * 2
        chunks = [p for at in range(len(body)) for p in (body[:at], body[at:])]
        found = self.decoded(*chunks, _server_sent("done", "{}"))[
            :-1
        ]  # all on one stream
        once = found[: len(found) // len(body)]
        self.assertEqual((found, len(once)), (once * len(body), len(SSE_EVENTS) - 1))

    def test_events_are_the_same_at_random_splits_with_mixed_line_ends(self):
        chance = random.Random(5)
        for _ in range(60):
            data, last = b"", ""
            for line in SSE_LINES:  # an empty line's LF after a CR is half of that end
                ends = ["\n", "\r", "\r\n"] if line or last != "\r" else ["\r", "\r\n"]
                last = chance.choice(ends)
                data += (line + last).encode("utf-8")
            cuts = chance.choices(range(len(data) + 1), k=chance.randrange(1, 60))
            cuts = [0, *sorted(cuts), len(data)]
            chunks = [data[a:b] for a, b in zip(cuts, cuts[1:])]
            self.assertEqual(self.decoded(*chunks), SSE_EVENTS, chunks)

    def test_a_stream_that_ends_anywhere_gives_its_whole_events_only(self):
        data, counts = ("\n".join(SSE_LINES) + "\n").encode("utf-8"), []
        for at in range(len(data) + 1):
            came = self.decoded(data[:at])
            self.assertEqual(came, SSE_EVENTS[: len(came)], at)
            counts.append(len(came))
        ends = [at for at in range(1, len(counts)) if counts[at] > counts[at - 1]]
        self.assertEqual(len(ends), len(SSE_EVENTS))
        self.assertEqual({data[at - 2 : at] for at in ends}, {b"\n\n"})

    @each(
        *[(b"", []), (b"\n\n\n", []), (b"data: x", []), (b"data: x\n", [])],
        *[(b"data: \xff\xfe\n\n", ["\ufffd\ufffd"]), (b"data: a\0b\n\n", ["a\0b"])],
        *[(b"\xef\xbb\xbfdata: x\n\n", ["x"]), (b"\xef\xbbdata: y\n\n", [])],
        (b"data: x\n\n\xef\xbb\xbfdata: y\n\n", ["x"]),
        (b"\xef\xbb\xbf\xef\xbb\xbfdata: y\n\n", []),
        (b"retry: " + b"9" * 5000 + b"\ndata: x\n\n", ["x"]),
        (b"retry: \xc2\xb2\ndata: x\n\n", ["x"]),
        *[
            (b"data:\ndata:\n\n", ["\n"]),
            (b"data\n\n", [""]),
            (b":\n\n:data: x\n\n", []),
        ],
    )
    def test_odd_streams_are_decoded_by_the_rules(self, data, expected):
        for chunks in ([data], [data[at : at + 1] for at in range(len(data))]):
            self.assertEqual([event[1] for event in self.decoded(*chunks)], expected)

    @each("\n", "\r\n")
    def test_each_event_is_handed_over_before_more_is_sent(self, end):
        taken, in_time = queue.Queue(), []

        def pieces():
            for number in range(4):
                yield f"event: output{end}data: <{number}>{end}{end}".encode()
                with contextlib.suppress(queue.Empty):
                    in_time.append(taken.get(timeout=PATIENCE / 4))
            yield _server_sent("done", "{}")

        self.streams = [Reply(pieces=pieces(), headers=SSE_TYPE)]
        for event in self.prediction.stream():
            taken.put(str(event))
        self.assertEqual(in_time, ["<0>", "<1>", "<2>", "<3>"])


class Streams(RunCase):
    def script(self, *replies, **more):
        """What the stream of any run answers."""
        self.answer("GET", "/stream/.*", *replies, **more)

    def streams(self):
        return self.seen("GET", "/stream/.*")

    def test_the_text_is_that_of_the_run_with_one_creation_and_no_poll(self):
        self.plan(LLAMA, items=list(TOKENS), seconds=5)
        events = list(self.started("stream"))
        self.assertEqual(joined(events), "".join(TOKENS))
        self.assertEqual({event.event for event in events}, {"done", "output"})
        self.assertEqual(events[-1].event, "done")
        created, streamed = self.seen()
        self.assertNotIn("Prefer", created.headers)
        self.assertEqual(streamed.headers["Accept"], "text/event-stream")
        self.assertNotIn("Last-Event-ID", streamed.headers)

    def test_events_are_what_the_api_sent(self):
        url, uri = "https://replicate.delivery/a/b.png", "data:image/png;base64,AAAA"
        texts = [("logs", "loading\n"), ("output", "text"), ("thinking", "hm")]
        texts += [
            ("output", url),
            ("output", url + "\n"),
            ("output", uri),
            ("done", "{}"),
        ]
        sent = [(*event, str(number)) for number, event in enumerate(texts)]
        self.script(sse_reply(*sent), times=2)
        events = list(self.started("stream"))
        plain = list(self.started("stream", use_file_output=False))
        shown = ["", "text", "", url, url + "\n", uri, ""]
        for came in (events, plain):
            found = [(event.event, event.data, event.id) for event in came]
            self.assertEqual(found, sent)
            self.assertEqual([str(event) for event in came], shown)
        files = [isinstance(event.data, FileOutput) for event in events]
        self.assertEqual(files, [False, False, False, True, False, True, False])
        self.assertFalse(any(isinstance(event.data, FileOutput) for event in plain))
        kind = replicate.ServerSentEvent.EventType
        self.assertIsInstance(events[0], replicate.ServerSentEvent)
        self.assertTrue(events[1].event == "output" == kind.OUTPUT)
        self.assertTrue(events[-1].event == "done" == kind.DONE)
        self.assertTrue(events[0].event == "logs" == kind.LOGS)
        self.assertEqual(kind.ERROR, "error")

    a, b, c, d = (("output", text, str(n)) for n, text in enumerate("abcd", 1))
    log, done = ("logs", "log\n", "2b"), ("done", "{}", "9")
    first, rest = sse_reply(a, b, log, dropped=True), sse_reply(c, d, done)
    whole = sse_reply(a, b, log, c, d, done)
    third = sse_reply(a, b, log, c, dropped=True)
    cut = sse_reply(a, dropped=True, tail=_server_sent(*b)[:-1])
    after = sse_reply(b, log, c, d, done)

    @each(
        ("dropped", "2b", first, rest),
        ("replayed from the start", "2b", first, whole),
        ("in the middle of an event", "1", cut, after),
        ("reset", "2b", sse_reply(a, b, log, dropped=True, reset=True), rest),
        ("ended", "2b", sse_reply(a, b, log), rest),
        ("then unavailable", "2b", first, Reply.problem(503, "busy"), after),
        ("three times", "3", first, third, third, whole),
    )
    def test_a_dropped_stream_is_resumed_after_its_last_event_and_repeats_nothing(
        self, name, last, *replies
    ):
        self.turn_clock()
        self.script(*replies)
        events = [(event.event, event.data) for event in self.started("stream")]
        expected = [self.a, self.b, self.log, self.c, self.d, self.done]
        self.assertEqual(events, [event[:2] for event in expected])
        streams = self.streams()
        self.assertEqual(len(streams), len(replies))
        self.assertNotIn("Last-Event-ID", streams[0].headers)
        self.assertEqual(streams[-1].headers.get_all("Last-Event-ID"), [last])
        self.assertEqual((len(self.api.creations), self.cancels()), (1, []))

    hel, lo = ("output", "Hel"), ("output", "lo ")

    @each(
        ("without ids", sse_reply(hel, lo, dropped=True)),
        (
            "cut otherwise than the output",
            sse_reply(("output", "H"), ("output", "ello wo"), dropped=True),
        ),
        ("ended without done", sse_reply(hel, lo)),
        ("before any event", sse_reply(dropped=True)),
        (
            "with ids, over by then",
            sse_reply((*hel, "1"), dropped=True),
            *[Reply.problem(404, "gone")] * 2,
        ),
        ("no stream", *[Reply(body=b"<html>data: x</html>", headers=HTML)] * 2),
        (
            "at its last item",
            sse_reply(hel, lo, ("output", "world"), ("output", "!"), dropped=True),
        ),
    )
    def test_a_drop_that_cannot_be_resumed_loses_and_repeats_no_text(self, _, *replies):
        self.plan(LLAMA, items=["Hel", "lo ", "world", "!"], seconds=1)
        self.script(*replies)
        events = list(self.started("stream"))
        self.assertEqual(joined(events), "Hello world!")
        self.assertEqual([event.event for event in events].count("done"), 1)
        self.assertEqual((len(self.api.creations), self.cancels()), (1, []))

    @each("stream", "polled stream")
    def test_a_stream_that_is_gone_or_never_was_is_polled_in_time(self, start):
        self.client = self.client_of(poll_interval=0.5)
        self.turn_clock(api=True)
        self.script(Reply.problem(404, "gone"), times=False)
        for model in (LLAMA, WORDS):
            self.plan(model, items=["one ", "two ", "three"], seconds=40)
        made, events = [], []  # how much of the run there was when each event came
        for event in self.started(start):
            self.assertIsInstance(event, replicate.ServerSentEvent)
            events.append((event.event, event.data))
            state = self.api.predictions[self.api.creations[-1]]
            made.append(len(state.get("output", [])))
        texts = [("output", text) for text in ("one ", "two ", "three")]
        self.assertEqual(events, [*texts, ("done", "{}")])
        self.assertEqual((made[:3], self.cancels()), ([1, 2, 3], []))

    def test_a_stream_is_iterated_asynchronously_directly_or_after_an_await(self):
        async def texts(make, awaited):
            values = await make() if awaited else make()
            return [str(event) async for event in values]

        for model in (LLAMA, WORDS):
            self.plan(model, items=["one ", "two"], seconds=1)
        for make, awaited in itertools.product(
            (
                lambda: self.started("stream", "async_"),
                lambda: self.started("polled stream", "async_"),
                lambda: self.client.use(LLAMA).async_stream(prompt="x"),
            ),
            (True, False),
        ):
            found = asyncio.run(texts(make, awaited))
            self.assertEqual(found, ["one ", "two", ""])
        self.assertEqual((len(self.api.creations), self.cancels()), (6, []))


# --------------------------------------------------------------------------------------
# Section 11: self-hosted models
# --------------------------------------------------------------------------------------

COG_TEXT = {"type": "string", "title": "Output"}
CAPACITY = {"error": "At capacity - all prediction slots busy", "status": "failed"}
RUNNING_ALREADY = {"detail": "Already running a prediction"}
NO_SETUP_YET = {"error": "Setup has not finished yet. ...", "status": "failed"}
DOCUMENT = {"document": {"type": "string", "format": "uri"}}
EVENTS = {"Content-Type": "text/event-stream"}
MAY_HAVE_RUN = "may (have|still) (run|been)"


def greet(given):
    return "hello " + given["text"]


def in_json(status, value):
    return Reply(status, value, headers=JSON)


def cog_events(*events):
    return [_server_sent(name, json.dumps(data)) for name, data in events]


def output_texts(items):
    """The texts of a run's items, or of a stream's output events."""
    return [str(item) for item in items if getattr(item, "event", "output") == "output"]


class CogCase(Case):
    """A stand-in for a container, and a client without any token."""

    def setUp(self):
        super().setUp()
        self.cog, self.url, self.ran = self.api.cog, self.api.url, []
        self.client = Client(proxies={}, poll_interval=0.004)
        self.serve_model()

    def serve_model(
        self, predict=repeat_hello, output=ITERATOR, inputs=None, needs=("text",)
    ):
        """Serve a model whose runs are counted; an iterator of words by default."""

        def counted(given):
            self.ran.append(given)
            return predict(given)

        times = {"type": "integer", "default": 2}
        properties = inputs or {"text": {"type": "string"}, "times": times}
        self.cog.schema = schema(properties, output, needs, streaming=True)
        self.cog.predict = counted

    def serve_text(self, predict=greet, **options):
        self.serve_model(predict, COG_TEXT, **options)

    def each_way(self, *cases):
        """Every case with run and with stream, each with nothing seen so far."""
        self.assertTrue(cases)
        ways = (self.client.run, self.client.stream)
        for case, way in itertools.product(cases, ways):
            self.until(lambda: self.cog.current is None)  # the slot is free again
            self.clear()
            del self.ran[:]
            yield case, way

    def puts(self):
        return self.seen("PUT", r"/predictions/[^/]+")

    def answer_put(self, *replies, **options):
        self.answer("PUT", r"/predictions/[^/]+", *replies, **options)


class CogRuns(CogCase):
    def test_every_way_to_run_a_model_runs_a_hosted_one_in_one_put_with_an_id_made_here(
        self,
    ):
        self.serve_text()
        given, client, url = {"text": "Ann"}, self.client, self.url

        async def gather():
            return joined([event async for event in client.async_stream(url, given)])

        ways = {
            "run": lambda: client.run(url, given),
            "run, a slash at the end": lambda: client.run(url + "/", given),
            "run by keyword": lambda: client.run(
                url, input=given, wait=False, timeout=60
            ),
            "async_run": lambda: asyncio.run(client.async_run(url, given)),
            "use": lambda: client.use(url)(text="Ann"),
            "map": lambda: next(client.map(url, [given])),
            "stream": lambda: joined(client.stream(url, given)),
            "use.stream": lambda: joined(client.use(url).stream(text="Ann")),
            "async_stream": lambda: asyncio.run(gather()),
        }
        for number, (way, run) in enumerate(ways.items(), 1):
            with self.subTest(way):
                self.assertEqual(run(), "hello Ann")
                self.assertEqual(len(self.puts()), number)
                seen = self.puts()[-1]
                self.assertEqual(seen.json["input"], given)
                self.assertRegex(seen.path, r"^/predictions/[A-Za-z0-9_-]{16,}$")
        self.assertEqual(len({seen.path for seen in self.puts()}), len(ways))
        self.assertEqual(self.seen("POST"), [], "nothing was created in another way")

    def test_an_iterator_model_gives_a_generator_that_yields_while_it_runs(self):
        go_on = threading.Event()

        def predict(given):
            yield "first"
            yield "second" if go_on.wait(30) else "late"

        self.serve_model(predict)
        self.cog.logs = ""
        for _, way in self.each_way(""):
            with self.subTest(way.__name__):
                go_on.clear()
                output = way(self.url, {"text": "x"})
                self.assertIsInstance(output, types.GeneratorType)
                self.assertEqual(str(next(output)), "first")
                go_on.set()
                self.assertEqual(output_texts(output), ["second"])
                accepted = [seen.headers["Accept"] for seen in self.puts()]
                self.assertEqual(accepted, ["text/event-stream"])
                self.assertEqual(self.cancels(), [])

    def test_events_are_output_logs_and_done(self):
        text = "\u65e5\u2028"
        pieces = cog_events(
            ("start", {"id": "x", "status": "processing"}),
            ("log", {"data": "a\nb", "source": "stderr"}),
            ("metric", {"name": "m", "value": 1}),
            ("output", {"chunk": text, "index": 0}),
            ("tomorrow", {}),
            ("output", {"chunk": "2", "index": 1}),
            ("completed", {"id": "x", "status": "succeeded", "output": [text, "2"]}),
        )
        self.answer_put(Reply(pieces=[b"".join(pieces)], headers=EVENTS))
        stream = self.client.stream(self.url, {"text": "x"})
        *events, done = [(event.event, event.data) for event in stream]
        self.assertEqual(events, [("logs", "a\nb"), ("output", text), ("output", "2")])
        self.assertEqual((done[0], len(self.puts())), ("done", 1))

    def test_files_travel_as_data_uris_both_ways(self):
        def shout(given):
            kind, _, data = given["document"].partition(";base64,")
            loud = base64.b64encode(base64.b64decode(data).upper())
            return kind + ";base64," + loud.decode("ascii")

        self.serve_model(shout, FILE, DOCUMENT, ["document"])
        for source, wanted in (
            (self.file("note.txt", b"from a path"), b"FROM A PATH"),
            (b"bytes", b"BYTES"),
            (io.BytesIO(b"handle"), b"HANDLE"),
            (b"large " * 60000, b"LARGE " * 60000),
        ):
            output = self.client.run(self.url, {"document": source})
            self.assertIsInstance(output, FileOutput)
            self.assertEqual(output.read(), wanted)
        sent = [seen.json["input"]["document"][:15] for seen in self.puts()]
        self.assertEqual(sent, ["data:text/plain"] + ["data:applicatio"] * 3)
        self.assertEqual(self.seen("POST"), [], "nothing was uploaded")

    @each(*itertools.product((True, False), (True, False)))
    def test_neither_the_token_nor_the_clients_headers_are_ever_sent(self, api, local):
        container = self.url.replace("127.0.0.1", "localhost" if local else "127.0.0.1")
        os.environ["REPLICATE_API_TOKEN"] = self.api.token
        base_url = "https://api.replicate.com/v1" if api else self.url
        secrets = {"X-Secret": "my own secret"}
        client = self.client_of(base_url=base_url, poll_interval=0.01, headers=secrets)
        self.answer_put(in_json(409, CAPACITY))
        self.assertEqual(len(list(client.run(container, {"text": "x"}))), 2)
        items = client.stream(container, {"text": "x", "times": 100000})
        next(items)
        items.close()
        requests = [f"{seen.target} {seen.headers} {seen.body}" for seen in self.seen()]
        self.assertGreaterEqual(len(requests), 6)
        self.assertEqual(len(self.cancels()), 1)
        for secret in (self.api.token, "my own secret", "uthorization:"):
            self.assertNotIn(secret, "\n".join(requests))
        self.until(lambda: self.cog.current is None)

    def test_many_inputs_share_a_container_with_one_slot(self):
        self.serve_text()
        self.cog.seconds = 0.02
        inputs = ({"text": str(number)} for number in range(6))
        outputs = list(self.client.map(self.url, inputs, concurrency=3))
        self.assertEqual(outputs, [f"hello {number}" for number in range(6)])
        self.assertEqual(sorted(given["text"] for given in self.ran), list("012345"))

    @each(None, Reply(404, body=b"Not Found"), Reply(body=b"<html>", headers=TEXT))
    def test_a_container_without_a_schema_runs_what_it_is_given(self, missing):
        self.cog.schema = None
        if missing:
            self.answer("GET", "/openapi.json", missing)
        given = {"text": "x", "anything": [1, None]}
        output = self.client.run(self.url, given)
        self.assertEqual(list(output), ["hello x 0", "hello x 1"])
        self.assertEqual([seen.json["input"] for seen in self.puts()], [given])

    def test_misspelt_inputs_are_told_with_the_nearest_name_and_nothing_runs(self):
        given, client = {"text": "x", "tmies": 3}, self.client
        for way in (
            lambda: client.run(self.url, given),
            lambda: client.stream(self.url, given),
            lambda: client.map(self.url, [given]),
            lambda: client.use(self.url)(**given),
        ):
            with self.assertRaisesRegex(ValueError, "tmies.*times"):
                list(way())
        self.assertEqual(self.puts(), [])

    def test_a_model_that_does_not_stream_is_run_plainly(self):
        self.cog.streaming = False
        for _, way in self.each_way(""):
            with self.subTest(way.__name__):
                output = way(self.url, {"text": "x"})
                self.assertEqual(output_texts(output), ["hello x 0", "hello x 1"])
                self.assertEqual(len(self.ran), 1, "the 406 ran nothing")
                accepts = self.puts()[-1].headers["Accept"] or ""
                self.assertNotIn("event-stream", accepts)

    def test_an_old_container_answers_json_where_a_stream_was_asked_for(self):
        self.cog.old = True
        several = ["hello x 0", "hello x 1"]
        for serve, texts in (
            (self.serve_model, several),
            (self.serve_text, ["hello x"]),
        ):
            serve()
            events = list(self.client.stream(self.url, {"text": "x"}))
            self.assertEqual((output_texts(events), events[-1].event), (texts, "done"))
        self.assertEqual((len(self.puts()), len(self.ran)), (2, 2))

    @each(*itertools.product((False, True), (False, True)))
    def test_a_container_that_is_starting_is_waited_for(self, old, known):
        self.serve_text()
        self.cog.old, self.cog.health, looks = old, "STARTING", []

        def health(seen, connection):
            looks.append(seen)
            if len(looks) == 3:
                self.cog.health = "READY"

        if not known:
            unknown = in_json(503, {"error": "OpenAPI schema not available"})
            self.answer("GET", "/openapi.json", unknown, times=2)
        self.answer("GET", "/health-check", health, times=3)
        output = self.client.run(self.url, {"text": "x"}, timeout=30)
        self.assertEqual((output, len(looks)), ("hello x", 3))
        self.assertEqual(len(self.ran), 1)
        del self.ran[:]

    @each(*itertools.product(("SETUP_FAILED", "DEFUNCT"), (False, True), (True, False)))
    def test_a_failed_setup_raises_with_its_logs(self, health, old, known):
        self.cog.setup_logs = "Loading weights\nRuntimeError: no GPU here\n"
        self.cog.health, self.cog.old = health, old
        self.serve_model()
        self.cog.schema = self.cog.schema if known else None
        for _, way in self.each_way(""):
            error = failure_of(
                lambda w=way: list(w(self.url, {"text": "x"}, timeout=10))
            )
            self.assertIn("no GPU here", str(error))
            self.assertNotIsInstance(error, PredictionTimeout)
            self.assertEqual((self.ran, self.cancels()), ([], []))

    def test_a_busy_container_and_a_passing_503_are_waited_for(self):
        refusals = in_json(409, CAPACITY), in_json(409, RUNNING_ALREADY)
        for refusal, way in self.each_way(*refusals, in_json(503, NO_SETUP_YET)):
            with self.subTest(refusal.body, way=way.__name__):
                self.answer_put(refusal, times=3)
                output = way(self.url, {"text": "x", "times": 1})
                self.assertEqual(output_texts(output), ["hello x 0"])
                found = (len(self.puts()), len(self.ran), self.cancels())
                self.assertEqual(found, (4, 1, []))

    @each(
        *rows("""
        STARTING | true
        STARTING | false
        BUSY     | true
    """)
    )
    def test_waiting_ends_with_the_timeout_and_cancels_nothing(self, state, known):
        self.client = Client(proxies={}, poll_interval=0.25)
        clock = self.turn_clock()
        self.cog.health = state
        self.serve_model()
        self.cog.schema = self.cog.schema if known else None
        if state == "BUSY":
            self.answer_put(in_json(409, CAPACITY), times=False)
        error = failure_of(
            lambda: list(self.client.run(self.url, {"text": "x"}, timeout=10))
        )
        self.assertIsInstance(error, PredictionTimeout)
        self.assertAlmostEqual(clock.time - 1000, 10, delta=1)
        self.assertEqual((self.ran, self.cancels()), ([], []))

    def test_a_refused_connection_is_tried_again(self):
        self.api.close()

        class Opening(HandClock):
            def sleep(clock, seconds, *_):
                super().sleep(seconds)
                if self.api.closing.is_set():
                    self.api = self.another(port=urlsplit(self.url).port)

        self.client._clock = Opening()
        output = self.client.run(self.url, {"text": "x", "times": 1})
        self.assertEqual(list(output), ["hello x 0"])
        self.assertEqual(len(self.puts()), 1)
        self.api.close()
        clock = self.turn_clock()
        with self.assertRaises(NetworkError):
            list(self.client.run(self.url, {"text": "x"}))
        self.assertTrue(clock.slept, "it was not given up at once")


class CogFails(CogCase):
    def test_a_run_that_did_not_succeed_is_a_model_error_with_its_prediction(self):
        def fail(given):
            raise RuntimeError("boom: out of memory")

        self.cog.logs = "loading\nTraceback\n"
        for serve, way in self.each_way(self.serve_model, self.serve_text):
            with self.subTest(serve.__name__, way=way.__name__):
                serve(fail)
                error = failure_of(lambda w=way: list(w(self.url, {"text": "x"})))
                self.assertIsInstance(error, ModelError)
                self.assertIn("boom: out of memory", str(error))
                found = error.prediction
                self.assertEqual((found.status, found.logs), ("failed", self.cog.logs))
                self.assertEqual(self.puts()[0].path, "/predictions/" + found.id)
                canceled = {"id": "x", "status": "canceled", "logs": ""}
                self.answer_put(Reply(json=canceled))
                error = failure_of(lambda w=way: list(w(self.url, {"text": "x"})))
                self.assertEqual(error.prediction.status, "canceled")
                self.assertEqual(self.cancels(), [])

    @each(
        (422, None, "times", 'is not of type "integer"'),
        (400, b"Failed to parse the request body as JSON: no", "parse the request"),
        (415, b"Expected request with `Content-Type: ...`", "Expected request"),
    )
    def test_refusals_are_told_in_the_containers_words_and_not_repeated(
        self, status, body, *words
    ):
        if body:
            self.answer_put(Reply(status, body=body, headers=TEXT))
        given = {"text": "x", "times": "no"}
        error = failure_of(lambda: list(self.client.run(self.url, given)))
        self.assertEqual((error.status, len(self.puts())), (status, 1))
        for said in words:
            self.assertIn(said, str(error))
        self.assertEqual((self.ran, self.cancels()), ([], []))

    def test_a_run_that_may_have_begun_is_never_begun_again(self):
        whole = {"id": "x", "status": "succeeded", "output": ["a" * 50]}
        network = {
            "reset": Reply(reset=True),
            "closed": Reply(raw=b""),
            "no HTTP": Reply(raw=b"what?\r\n\r\n"),
            "half a head": Reply(raw=b"HTTP/1.1 200 OK\r\nX"),
            "half a body": Reply(json=whole, cut=20),
            "no JSON": Reply(body=b"<html>", headers=TEXT),
            "starting": Reply(202, {"id": "x", "status": "starting", "output": ["no"]}),
            "processing": Reply(202, {"id": "x", "status": "processing"}),
        }
        cases = [(fault, reply, NetworkError) for fault, reply in network.items()]
        for status in (500, 502, 504):
            cases.append(
                (status, Reply(status, body=b"broken", headers=TEXT), APIError)
            )
        for serve in (self.serve_model, self.serve_text):
            serve()
            for (fault, reply, kind), way in self.each_way(*cases):
                with self.subTest(fault, way=way.__name__, serve=serve.__name__):
                    self.answer_put(reply)
                    error = failure_of(lambda w=way: list(w(self.url, {"text": "x"})))
                    self.assertIsInstance(error, kind)
                    self.assertRegex(str(error), MAY_HAVE_RUN)
                    self.assertEqual((len(self.puts()), self.ran), (1, []))
                    self.assertNotIn("predictions.list", str(error))  # it has none
                    if kind is NetworkError and "ing" not in fault:
                        self.assert_given_up()

    def test_a_stream_cut_short_raises_after_what_came_and_is_not_resumed(self):
        pieces = cog_events(
            ("start", {"id": "x", "status": "processing"}),
            ("output", {"chunk": "one", "index": 0}),
            ("output", {"chunk": "two", "index": 1}),
        )
        cut = len(b"".join(pieces[:2])) + 5
        faults = {
            "an end without completed": {"pieces": pieces[:2]},
            "cut": {"pieces": pieces, "cut": cut},
            "reset": {"pieces": pieces, "cut": cut, "reset": True},
            "no JSON": {"pieces": [*pieces[:2], b"event: output\ndata: {\n\n"]},
        }
        for (fault, reply), way in self.each_way(*faults.items()):
            with self.subTest(fault, way=way.__name__):
                self.answer_put(Reply(headers=EVENTS, **reply))
                items = way(self.url, {"text": "x"})
                self.assertEqual(str(next(items)), "one")
                self.assertRaises(NetworkError, next, items)
                self.assert_given_up()


class CogGivenUp(CogCase):
    """Beside what promise 3 is tested with."""

    def slow_down(self, given):
        self.cog.seconds = 60
        return "never"

    def test_a_cancelled_task_cancels_its_run_once_and_soon(self):
        self.serve_text(self.slow_down)

        async def give_up():
            run = self.client.async_run(self.url, {"text": "x"})
            task = asyncio.ensure_future(run)
            await async_until(lambda: self.ran)
            task.cancel()
            await task

        try:
            self.assertRaises(asyncio.CancelledError, asyncio.run, give_up())
            self.assert_given_up()
        finally:
            self.api.close()  # a worker that still waits is not to hold the end up

    def test_a_map_left_early_cancels_what_still_runs(self):
        self.serve_text(lambda given: self.slow_down(given) if self.ran[1:] else "done")
        inputs = [{"text": "0"}, {"text": "1"}]
        outputs = self.client.map(self.url, inputs, concurrency=1)
        self.assertEqual(next(outputs), "done")
        self.until(lambda: len(self.ran) == 2)
        try:
            outputs.close()
            self.assertEqual(self.cancels(), [self.puts()[1].path.split("/")[2]])
        finally:
            self.api.close()

    @unittest.skipUnless(hasattr(signal, "pthread_kill"), "needs POSIX signals")
    def test_ctrl_c_cancels_once_on_the_command_line_too(self):
        def interrupt(given):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            return self.slow_down(given)

        for serve, way in self.each_way(self.serve_model, self.serve_text):
            with self.subTest(serve.__name__, way=way.__name__):
                serve(interrupt)
                with self.assertRaises(KeyboardInterrupt):
                    list(way(self.url, {"text": "x"}))
                self.assert_given_up()
        self.until(lambda: self.cog.current is None)
        self.clear()
        self.assertEqual(command("run", self.url, "text=x").code, 130)
        self.assert_given_up()


class CogCommandLine(CogCase):
    def test_values_are_typed_by_the_containers_schema(self):
        whole = {"type": "integer"}
        inputs = {
            "text": {"type": "string"},
            "times": whole,
            "fast": {"type": "boolean"},
        }
        self.serve_text(inputs=dict(inputs, sizes={"type": "array", "items": whole}))
        words = ["text=007", "times=2", "fast=true", "sizes=[1, 2]"]
        self.assertEqual(command("run", self.url, *words)[:2], (0, b"hello 007\n"))
        typed = {"text": "007", "times": 2, "fast": True, "sizes": [1, 2]}
        self.assertEqual([seen.json["input"] for seen in self.puts()], [typed])

    def test_text_is_printed_files_are_saved_and_help_shows_the_inputs(self):
        code, out, _ = command("run", self.url, "--help")
        self.assertEqual((code, self.puts()), (0, []))
        self.assertRegex(out, rb"(?s)text.*times")
        code, out, _ = command("run", self.url, "text=x")
        self.assertEqual((code, out.rstrip(b"\n")), (0, b"hello x 0hello x 1"))
        self.serve_model(lambda given: given["document"], FILE, DOCUMENT, ["document"])
        source, target = self.file("in.txt", b"as it was\r\n"), self.folder / "out.txt"
        ended = command("run", self.url, f"document=@{source}", "-o", str(target))
        self.assertEqual(ended.code, 0, ended.err)
        self.assertEqual(target.read_bytes(), b"as it was\r\n")

    def test_the_exit_code_tells_who_failed(self):
        self.serve_text(lambda given: 1 // 0)
        self.answer_put(lambda *_: None, Reply(reset=True))
        for words, wanted, said in rows("""
            ["text=a"]               | 1 | division
            ["text=a"]               | 3 | may have
            ["txet=a"]               | 2 | text
            []                       | 2 | text
            ["text=a", "times=many"] | 2 | times
        """):
            with self.subTest(words):
                code, out, err = command("run", self.url, *words)
                self.assertEqual((code, out), (wanted, b""))
                self.assertIn(said, err)
        self.assertEqual(len(self.puts()), 2, "wrong words run nothing")

    def test_a_container_keeps_no_runs_to_come_back_to(self):
        self.serve_text()
        ended = command("run", self.url + "/predictions", "text=a", "--no-wait")
        self.assertEqual(ended.code, 2)
        self.assert_seen(0, "PUT")


# --------------------------------------------------------------------------------------
# Section 12: the command line
# --------------------------------------------------------------------------------------


TYPED = """
prompt  string {"description": "What to make"}
note    string
steps   integer {"minimum": 1, "maximum": 50, "default": 28}
scale   number {"minimum": 0, "maximum": 20}
fast    boolean
words   [string]
numbers [integer]
options object
image   uri
images  [uri]
style   any {"default": "plain"}
size    any
loose   any
maybe   any {"anyOf": [{"type": "integer"}, {"type": "null"}]}
either  any {"anyOf": [{"type": "string"}, {"type": "array"}]}
seed    integer {"nullable": true}
api_key secret
pin     integer {"format": "password", "minimum": 10, "maximum": 20}
"""


def typed_model():
    """A model with every kind of input that real schemas have; it echoes."""
    choices = {
        "style": ("plain", "ink", "None"),
        "size": (256, 512),
        "loose": ("auto", 7),
    }
    openapi = schema(fields(TYPED), {"title": "Output"}, ["prompt"], choices)
    del openapi["components"]["schemas"]["loose"]["type"]
    return Model("test/typed", plan_echo, openapi, official=True)


def inputs_of(model):
    """The properties of the inputs of a model."""
    return model.versions[0]["openapi_schema"]["components"]["schemas"]["Input"][
        "properties"
    ]


def rendered(text):
    """The lines that a terminal shows in the end."""
    lines, column = [""], 0
    for token in re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|[\s\S]", text):
        if token == "\n":
            lines.append("")
            column = 0
        elif token == "\r":
            column = 0
        elif token in ("\x1b[K", "\x1b[0K"):
            lines[-1] = lines[-1][:column]
        elif token == "\x1b[2K":
            lines[-1] = ""
        elif not token.startswith("\x1b"):
            lines[-1] = (
                lines[-1][:column].ljust(column) + token + lines[-1][column + 1 :]
            )
            column += 1
    return [line.rstrip() for line in lines if line.strip()]


class CommandCase(Case):
    """Commands against the stand-in, in this process or in one of their own."""

    def setUp(self):
        super().setUp()
        self.use_default_client()
        os.environ.update(COLUMNS="80", PYTHONIOENCODING="utf-8")
        self.client = Client(pace=self.pace)
        patch = mock.patch.object(replicate, "default_client", self.client)
        self.stack.enter_context(patch)
        self.api.add(typed_model())

    def path(self, name, content=None):
        """The path of a file in the folder of this test, with such a content."""
        return str(self.folder / name if content is None else self.file(name, content))

    def content(self, *names):
        return self.folder.joinpath(*names).read_bytes()

    def command(self, *words, given=b""):
        ended = command(*words, given=given)
        return ended._replace(out=ended.out.decode("utf-8"))

    def succeed(self, *words, given=b""):
        """What a command prints that ends well, with nothing but that on any stream."""
        ended = self.command(*words, given=given)
        self.assertEqual((ended.code, ended.err), (0, ""), words)
        return ended.out

    def sent(self, *words, given=b"", model="test/typed"):
        """The input that the server receives from `run MODEL words`."""
        self.clear()
        self.succeed("run", model, *words, "--no-wait", given=given)
        (create,) = self.creations()
        return create.json["input"]

    def process(self, *words, **options):
        """Start a command in a process of its own."""
        return self.python("-m", "replicate", *words, **options)


class CommandInputs(CommandCase):
    """What becomes of key=value."""

    @each(
        *rows(r"""
        steps=4                         | 4
        scale=0.5                       | 0.5
        scale=2                         | 2
        scale=1e1                       | 10.0
        fast=true                       | true
        fast=false                      | false
        words=["a", "b"]                | ["a", "b"]
        words=a                         | ["a"]
        numbers=[1, 2]                  | [1, 2]
        numbers=3                       | [3]
        options={"a": {"b": [1]}}       | {"a": {"b": [1]}}
        style=ink                       | ink
        style=None                      | None
        size=512                        | 512
        loose=7                         | 7
        loose=auto                      | auto
        maybe=7                         | 7
        maybe=null                      | null
        either=a b                      | a b
        seed=7                          | 7
        either=["a", "b"]               | ["a", "b"]
        either=[oops                    | [oops
        either=5                        | "5"
        either={"a": 1}                 | "{\"a\": 1}"
        seed=null                       | null
        api_key=hush                    | hush
        image=https://example.com/a.png | https://example.com/a.png
        steps:=3                        | 3
        note:="@home"                   | @home
        maybe:=null                     | null
        words:=["a"]                    | ["a"]
    """)
    )
    def test_a_value_is_typed_by_the_schema_of_its_input(self, word, value):
        found = self.sent("prompt=x", word)
        name = re.match(r"\w+", word).group()
        self.assertEqual(found, {"prompt": "x", name: value})
        if word != "scale=1e1":
            self.assertIs(type(found[name]), type(value))

    @each(
        *cells(r"""
        "" | "true" | "123" | "1e3" | "null" | "{\"a\": 1}" | "[1, 2]" | "\"quoted\""
        "  outer  " | "two\nlines\n" | a=b | https://example.com/a.png | "-5" | =
        None | "\u65e5\u672c\u8a9e \ud83d\ude42"
    """)
    )
    def test_a_string_input_takes_its_value_as_it_stands(self, text):
        self.assertEqual(self.sent("prompt=" + text), {"prompt": text})

    def test_a_repeated_key_of_an_array_adds_to_it(self):
        words = ["words=a", "numbers=1", "words=true", 'words=["b", "c"]', "numbers=2"]
        found = self.sent("prompt=x", *words)
        self.assertEqual(found["words"], ["a", "true", "b", "c"])
        self.assertEqual(found["numbers"], [1, 2])

    def test_a_file_goes_where_the_schema_wants_one_and_its_text_where_it_wants_text(
        self,
    ):
        picture, text = png(4, 4, "in"), "  line one\r\nzw\u00f6lf\n"
        path = self.path("in.png", picture)
        words = self.path("words.txt", text.encode("utf-8"))
        inline = "data:image/png;base64," + base64.b64encode(picture).decode("ascii")
        url = "https://example.com/a.png"
        for given, expected, data in (
            (["prompt=x", "image=@" + path], {"image": inline}, b""),
            (["prompt=x", "images=@" + path], {"images": [inline]}, b""),
            (
                ["prompt=x", "images=@" + path, "images=" + url],
                {"images": [inline, url]},
                b"",
            ),
            (["prompt=@" + words], {"prompt": text}, b""),
            (["prompt=@-"], {"prompt": text}, text.encode("utf-8")),
            (["prompt=x", "image=@-"], {"image": inline}, picture),
            (["prompt=x", "image=@-"], {"image": url}, url.encode() + b"\n"),
        ):
            with self.subTest(given):
                found = self.sent(*given, given=data)
                self.assertEqual(found, dict({"prompt": "x"}, **expected))

    def test_input_is_read_from_a_json_file_or_standard_input(self):
        data = {"prompt": "\u00e9", "steps": 3, "words": ["a"], "seed": None}
        whole = json.dumps(data).encode("utf-8")
        self.assertEqual(self.sent("--input", self.path("in.json", whole)), data)
        self.assertEqual(self.sent("--input", "-", given=whole), data)
        found = self.sent("--input", "-", "scale=2", given=whole)
        self.assertEqual(found, dict(data, scale=2))

    def test_without_a_schema_a_value_is_json_or_else_text_and_a_file_a_file(self):
        bare = self.api.add(Model("test/bare", plan_echo, official=True))
        words = ["a=1", "b=true", "c=null", 'd=[1, "x"]', "e=hello", 'f={"x": 1}', "j="]
        words += ["g=[oops", 'h:="5"', "i=@" + self.path("in.gif", b"GIF89a.")]
        value = {
            "a": 1,
            "b": True,
            "c": None,
            "d": [1, "x"],
            "e": "hello",
            "g": "[oops",
        }
        value.update(f={"x": 1}, h="5", i="data:image/gif;base64,R0lGODlhLg==", j="")
        for model in ("test/bare", bare.versions[0]["id"]):
            self.assertEqual(self.sent(*words, model=model), value)
        gone = Reply.problem(404, "No such model")
        self.answer("GET", "/v1/models/test/typed", gone)
        value = {"prompt": "5x", "other": 5}
        self.assertEqual(self.sent("prompt=5x", "other=5"), value)

    def test_inputs_of_a_version_and_of_a_deployment_are_typed_by_their_schema(self):
        version = self.api.catalogue["test/typed"].versions[1]["id"]
        found = self.sent("prompt=5", "steps=5", model="test/typed:" + version)
        self.assertEqual(found, {"prompt": "5", "steps": 5})
        found = self.sent("prompt=5", "width=99", model="deployments/acme/my-app")
        self.assertEqual(found, {"prompt": "5", "width": 99})


class CommandFaults(CommandCase):
    """What is wrong is told before anything is created."""

    def refused(self, *words, given=b""):
        """Standard error of a command that is refused before anything is created."""
        self.clear()
        ended = self.command(*words, given=given)
        self.assertEqual((ended.code, ended.out), (2, ""), ended.err)
        self.assertEqual({seen.method for seen in self.seen()} - {"GET"}, set())
        self.assertNotIn("Traceback", ended.err)
        return ended.err

    @each(
        *rows("""
        stepz=4               | stepz steps
        Style=ink             | Style style
        steps=four            | steps integer four
        steps=2.5             | steps integer 2.5
        scale=x               | scale number
        fast=perhaps          | fast boolean perhaps
        steps=51              | steps 50
        steps=0               | steps 1
        scale=-0.5            | scale 0
        options=[1]           | options object
        style=inc             | style ink
        style=zzz             | style plain ink None
        size=300              | size 256 512
        steps=null            | steps integer
        maybe=x               | maybe integer
        numbers=x             | numbers
        steps:=nope           | steps JSON
        "steps=1|steps=2"     | steps
        steps=NaN             | steps
        steps=1e400           | steps
        scale=Infinity        | scale
        scale:=NaN            | ""
        word                  | word key=value
        image=@nowhere.png    | image nowhere.png :=
        note=@home            | note home :=
        "--input|nowhere.png" | nowhere.png
        "--input|<list.json>" | object
        "--input|<bad.json>"  | steps 50
        "--input|<null.json>" | steps
        "--input|<half.json>" | half.json
    """)
    )
    def test_every_fault_of_an_input_is_told_with_what_would_be_right(
        self, words, told
    ):
        files = {
            "list.json": b"[1]",
            "bad.json": b'{"steps": 99}',
            "null.json": b'{"steps": null}',
            "half.json": b"{oops",
        }
        paths = {name: self.path(name, content) for name, content in files.items()}
        words = filled(words, paths).split("|")
        message = self.refused("run", "test/typed", "prompt=x", *words)
        self.assertTrue(message)
        for word in told.split():
            self.assertIn(word, message)
        self.assertNotIn("prompt=x", message)

    def test_what_is_missing_and_all_faults_are_told_at_once(self):
        message = self.refused("run", "test/typed", "note=x")
        self.assertRegex(message, "prompt.*required")
        words = "stepz=4 scale=99 style=inc fast=7 note=@home word size:=oops maybe=x"
        message = self.refused("run", "test/typed", *words.split())
        for told in cells("""
            stepz | scale | style | fast | home | word | size | prompt
        """):
            self.assertIn(told, message)
        message = self.refused(
            "run", "test/typed", "--input", "-", "x=4", given=b"{oops"
        )
        self.assertRegex(message, r"(?s)x.*--input|--input.*x")

    @each(
        *["api_key:=r8_hush", "api_key=r8_hush|api_key=r8_hush", "pin=r8_hush"],
        *["api_kye=r8_hush", "api_key=r8_hush|steps=x", "--input|-", "pin=867r8_hush"],
    )
    def test_the_value_of_a_secret_is_never_echoed(self, words):
        given = json.dumps({"prompt": "x", "api_key": ["r8_hush"]}).encode()
        words = words.split("|")
        message = self.refused("run", "test/typed", "prompt=x", *words, given=given)
        self.assertRegex(message, "api_k|pin|steps")
        self.assertNotIn("r8_hush", message)

    @each(
        *cells("""
        "" | modls list | models | models lst | models _path | default_client
        predictions async_get x | webhooks default | models get | models get a b c
        models get ../x | predictions get | predictions get a b | run | watch
        predictions list bogus=1 | files create missing.png | map | run nope a=1
        run a/b/c | map nope | run test/typed --bogus | watch a b
        run test/slow --timeout soon | run test/slow --cancel-after 1
        map test/typed --concurrency x | map test/typed --concurrency 0
    """)
    )
    def test_a_wrong_command_line_is_refused_before_anything_is_sent(self, words):
        ended = self.command(*words.split())
        self.assertEqual(ended.code, 2)
        self.assertEqual({seen.method for seen in self.seen()} - {"GET"}, set())
        self.assertTrue((ended.err + ended.out).strip())

    def test_a_wrong_command_or_verb_is_named_and_the_right_ones_are_told(self):
        message = self.refused("modls", "list")
        self.assertRegex(message, r"modls[\s\S]*(\bmodels\b|--help)")
        self.assertRegex(self.refused("models", "lst"), r"\blst\b[\s\S]*\blist\b")

    @each(
        *rows("""
        run test/typed --bogus | 2
        map                    | 2
        map --help             | 0
        --version              | 0
    """)
    )
    def test_main_returns_the_exit_code_and_never_raises(self, words, code):
        quiet = io.StringIO()
        with contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
            self.assertEqual(replicate.main(words.split()), code)

    def test_options_without_a_value_words_behind_them_and_deep_json(self):
        self.assertIn("SECONDS", self.refused("run", "test/typed", "--timeout"))
        deep = "options:=" + "[" * 50000
        self.assertIn("options", self.refused("run", "test/typed", "prompt=x", deep))
        picture = self.path("in.png", b"a")
        message = self.refused("run", "test/typed", "prompt=x", f"image={picture}")
        self.assertIn(f"image=@{picture}", message)
        self.succeed("run", "test/typed", "--no-wait", "--", "prompt=--x")
        self.assertEqual(self.creations()[-1].json["input"], {"prompt": "--x"})
        words = ["-o", self.path("a.png"), "num_outputs=2"]
        self.assertIn(
            "several", self.refused("run", "stability/sketch", "prompt=x", *words)
        )


class CommandHelp(CommandCase):
    @each(
        *cells("""
        "" | run | map | watch | models | models list | models versions | search
        models versions get | predictions create | files download | hardware
        webhooks default
    """)
    )
    def test_help_is_everywhere_and_needs_neither_token_nor_network(self, words):
        os.environ.pop("REPLICATE_API_TOKEN", None)
        ended = self.command(*words.split(), "--help")
        self.assertEqual((ended.code, ended.err), (0, ""))
        lines = ended.out.splitlines()
        self.assertIn(words, "\n".join(lines[:4]))
        self.assertLessEqual(max(map(len, lines)), 120)
        self.assertEqual(self.command(*words.split(), "-h"), ended)
        self.assert_nothing_sent()

    def test_the_help_of_a_model_shows_its_inputs_in_their_order_and_its_output(self):
        out = self.succeed("run", "test/typed", "--help")
        names = list(inputs_of(self.api.catalogue["test/typed"]))
        places = [re.search(rf"(?m)^\W*{name}\b", out).start() for name in names]
        self.assertEqual(places, sorted(places))
        blocks = [out[a:b] for a, b in itertools.zip_longest(places, places[1:])]
        block = dict(zip(names, blocks))
        for name, told in rows("""
            prompt  | ["string", "required", "What to make"]
            steps   | ["integer", "1", "50", "28"]
            scale   | ["number", "0", "20"]
            style   | ["plain", "ink", "None"]
            size    | ["256", "512"]
            fast    | ["boolean"]
            image   | ["file"]
            words   | ["array"]
            options | ["object"]
            loose   | ["auto", "7"]
            maybe   | ["integer"]
            either  | ["string", "array"]
        """):
            for word in told:
                self.assertIn(word, block[name])
        self.assertNotIn("'28'", out)  # a number is no text
        self.assertNotIn("required", block["steps"])
        self.assertEqual(self.seen("POST"), [])

    @each("60", "100")
    def test_inputs_stand_in_the_schemas_order_and_lines_keep_to_the_width(self, width):
        about = (
            "A model whose description is long enough for several lines of any. " * 5
        )
        text = {"type": "string", "description": about}
        inputs = dict.fromkeys(("zebra", "mango", "apple"), text)
        openapi = schema(inputs, ITERATOR)
        model = self.api.add(Model("test/wide", plan_echo, openapi, about=about))
        properties = inputs_of(model)
        for name in sorted(properties):
            properties[name] = properties.pop(name)  # another order than their x-order
        os.environ["COLUMNS"] = width
        out = self.succeed("run", "test/wide", "--help")
        places = [out.index(name) for name in inputs]
        self.assertEqual(places, sorted(places))
        longest = max(map(len, out.splitlines()))
        self.assertTrue(int(width) - 20 < longest <= int(width), longest)
        self.assertIn("long enough", " ".join(out.split()))

    @each(
        *[(LLAMA, "text"), ("stability/sketch", "files"), ("kvfrans/clipdraw", "file")],
        *[("test/object", "object"), ("test/number", "number")],
    )
    def test_the_help_of_a_model_tells_the_kind_of_its_output(self, model, kind):
        help_text = self.succeed("run", model, "--help")
        self.assertRegex(help_text, rf"(?i)output.*\b{kind}\b")


class CommandOutputs(CommandCase):
    def files_url(self):
        return f"{self.api.url}/files-out/{self.api.creations[-1]}/"

    @each(
        *rows("""
        0 | run replicate/hello-world text=Alice          | ""
        1 | run test/fails                                | boom: out of memory
        3 | run nobody/nothing a=1                        | "404"
        1 | run test/slow seconds=100000 --cancel-after 5 | canceled
        3 | watch nosuchid                                | nosuchid
        3 | predictions get nosuchid                      | "404"
    """)
    )
    def test_the_exit_code_tells_how_a_run_ended(self, code, words, told):
        ended = self.command(*words.split())
        self.assertEqual(ended.code, code)
        self.assertIn(told, ended.err)
        self.assertNotIn("Traceback", ended.err)
        if "--cancel-after" in words:
            self.assertEqual(self.creations()[0].headers["Cancel-After"], "5")

    def test_a_token_that_is_refused_a_network_that_is_down_and_no_token_at_all(self):
        os.environ["REPLICATE_API_TOKEN"] = "r8_wrong"
        hello = ("run", "replicate/hello-world", "text=Alice")
        ended = self.command(*hello)
        self.assertEqual((ended.code, ended.out), (3, ""))
        self.assertIn("401", ended.err)
        self.assertNotIn("r8_wrong", ended.err)
        self.clear()
        del os.environ["REPLICATE_API_TOKEN"]
        ended = self.command(*hello)
        self.assertIn(ended.code, (2, 3))
        self.assertIn("REPLICATE_API_TOKEN", ended.err)
        self.assert_nothing_sent()
        self.use_default_client()
        self.turn_clock()
        self.api.close()
        self.assertEqual(self.command("account", "get").code, 3)

    def test_the_message_of_a_failed_run_is_the_models_own(self):
        ended = self.command("run", "test/fails")
        self.assertEqual(ended.out.rstrip("\n"), "partial output")
        self.assertIn("boom: out of memory", ended.err)
        self.assertNotIn("{", ended.err)

    def test_outputs_print_as_text_as_urls_or_as_json(self):
        poem = "".join(TOKENS) + "\n"
        self.assertEqual(self.succeed("run", LLAMA, "prompt=x"), poem)
        self.assertEqual(self.succeed("run", WORDS, "prompt=x"), poem)
        self.assertEqual(self.succeed("run", "test/number", "value=3"), "3\n")
        out = self.succeed("run", "stability/sketch", "prompt=x", "num_outputs=2")
        base = self.files_url()
        self.assertEqual(out, f"{base}out-0.png\n{base}out-1.png\n")
        self.assertEqual(self.seen("GET", "/files-out/.*"), [])
        out = self.succeed("run", "test/object")
        made = self.api.predictions[self.api.creations[-1]]
        self.assertEqual(json.loads(out), made["output"])
        self.assertRegex(out, r'\A\{\n +"')
        for words, value in (
            ([LLAMA, "prompt=x"], "end."),
            (["test/object"], "object"),
        ):
            out = self.succeed("run", *words, "--json")
            whole = self.api.predictions[self.api.creations[-1]]
            self.assertEqual(json.loads(out), whole)
            self.assertIn(value, str(whole["output"]))

    def test_files_are_saved_where_o_says(self):
        first, second = png(64, 64, "x0"), png(64, 64, "x1")
        folder = self.path("new") + os.sep
        sketch = ["run", "stability/sketch", "prompt=x", "-o"]
        ended = self.command(*sketch, folder, "num_outputs=2")
        self.assertEqual((ended.code, ended.err), (0, ""))
        saved = [self.content("new", f"out-{number}.png") for number in (0, 1)]
        self.assertEqual(saved, [first, second])
        self.assertEqual(self.command(*sketch, self.path("one.png")).code, 0)
        self.assertEqual(self.content("one.png"), first)
        clipdraw = ["run", "kvfrans/clipdraw", "prompt=x", "-o"]
        self.assertEqual(self.command(*clipdraw, str(self.folder)).code, 0)
        self.assertEqual(self.content("out-0.png"), png(32, 32, "x0"))
        names = sorted(os.listdir(str(self.folder)))
        self.assertEqual(names, ["new", "one.png", "out-0.png"])
        self.assertEqual(command(*sketch, "-"), (0, first, ""))

    def test_text_is_saved_too_and_where_that_cannot_be_the_path_is_told(self):
        words = ["run", LLAMA, "prompt=x", "-o"]
        self.assertEqual(self.succeed(*words, "-").rstrip("\n"), "".join(TOKENS))
        self.assertEqual(self.command(*words, self.path("out.txt")).code, 0)
        text = self.content("out.txt").decode("utf-8").rstrip("\n")
        self.assertEqual(text, "".join(TOKENS))
        blocked = os.path.join(self.path("out.txt"), "below.txt")  # no directory
        ended = self.command(*words, blocked)
        self.assertIn(ended.code, (1, 2, 3))
        self.assertIn(blocked, ended.err)

    @each(
        (LLAMA, "Prompt: Hi\n"),
        (WORDS, "Prompt: Hi\n"),
        ("kvfrans/clipdraw", "".join(bars(10))),
    )
    def test_logs_go_to_standard_error_when_asked_for(self, model, logs):
        ended = self.command("run", model, "prompt=Hi", "--logs")
        self.assertEqual((ended.code, ended.err), (0, logs))
        self.assertNotRegex(ended.out, r"Prompt:|%\|")

    @each(
        (f"{LLAMA} prompt=x", "".join(TOKENS) + "\n"),
        (f"{WORDS} prompt=x", "".join(TOKENS) + "\n"),
        ("test/number", "42.5\n"),
        ("replicate/hello-world text=A", "hello A\n"),
        ("stability/sketch prompt=x", "<files>out-0.png\n"),
        ("test/fails", None),
    )
    def test_no_wait_prints_the_id_and_watch_ends_as_run_would(self, words, shown):
        identity = self.succeed("run", *words.split(), "--no-wait")
        self.assertEqual(identity, self.api.creations[-1] + "\n")
        ended = self.command("watch", identity.strip())
        self.assertEqual(ended.code, 0 if shown else 1)
        if shown:
            self.assertEqual(ended.out, filled(shown, {"files": self.files_url()}))
        self.assertNotIn("Prefer", self.creations()[-1].headers)
        self.assertEqual(self.cancels(), [])

    def test_a_timeout_ends_with_1_and_the_run_is_cancelled(self):
        self.turn_clock(api=True)
        self.client.poll_interval = 0.5
        words = "run test/slow seconds=1000 --timeout 30 --cancel-after 5m"
        ended = self.command(*words.split())
        self.assertEqual((ended.code, ended.out), (1, ""))
        self.assertIn(self.api.creations[0], ended.err)
        self.assertEqual(self.creations()[0].headers["Cancel-After"], "5m")
        self.assert_given_up()

    def test_a_list_with_all_walks_through_every_page_as_json_lines(self):
        public = self.api._public()
        by_age = sorted(public, key=lambda model: model.created_at)
        order = ["list", "sort_by=model_created_at", "sort_direction=asc"]
        for words, models in (
            (order, by_age),
            (["search", "text"], self.api._public("text")),
        ):
            self.clear()
            lines = self.succeed("models", *words, "--all").split("\n")
            found = [json.loads(line)["name"] for line in lines if line]
            names = [model.name for model in models]
            self.assertEqual(sorted(found), sorted(names))
            self.assertEqual(found[:3], names[:3])
            self.assertEqual(len(self.seen()), -(-len(found) // 3))
        page = json.loads(self.succeed("models", "list"))
        self.assertEqual(len(page["results"]), 3)
        self.assertTrue(page["next"])

    def test_without_standard_streams_it_ends_as_usual(self):
        streams = {"stdin": None, "stdout": io.StringIO(), "stderr": None}
        with mock.patch.multiple(sys, **streams):
            code = replicate.main(["run", "test/echo", "x=@-", "-o", os.devnull])
            for stream in (sys.stdin, sys.stderr):
                if stream:
                    stream.close()
        self.assertEqual(code, 0)


class CommandMap(CommandCase):
    def setUp(self):
        super().setUp()
        text = {"type": "string"}
        openapi = schema({"text": text}, text, ["text"])
        self.api.add(Model("test/hello", plan_hello, openapi, official=True))

    def results(self, model, *lines, code=0):
        ended = self.command("map", model, given="\n".join(lines).encode() + b"\n")
        self.assertEqual(ended.code, code, ended.err)
        found = [json.loads(line) for line in ended.out.split("\n") if line]
        return sorted(found, key=lambda item: item["line"])

    def test_map_answers_each_line(self):
        texts = ["one", "zw\u00f6lf", "line\u2028end", *map(str, range(9))]
        inputs = [{"text": text} for text in texts]
        lines = [json.dumps(given, ensure_ascii=False) for given in inputs]
        found = self.results("test/hello", *lines)
        for number, (item, given) in enumerate(zip(found, inputs), 1):
            self.assertEqual((item["line"], item["input"]), (number, given))
            self.assertEqual(item["output"], "hello " + given["text"])
        sent = [seen.json["input"]["text"] for seen in self.creations()]
        self.assertEqual(sorted(sent), sorted(texts))
        self.assertEqual(self.results("test/hello"), [])

    def test_map_goes_on_behind_a_line_that_is_wrong_and_tells_it_in_its_place(self):
        lines = ['{"text": "a"}', "{oops", "[1]", '{"txt": "a"}', "{}", '{"text": 5}']
        found = self.results("test/hello", *lines, '{"text": "b"}', code=1)
        self.assertEqual([item["line"] for item in found], list(range(1, 8)))
        outputs = [item.get("output") for item in found]
        self.assertEqual(outputs, ["hello a"] + [None] * 5 + ["hello b"])
        wrong = ["error" in item for item in found]
        self.assertEqual(wrong, [False] + [True] * 5 + [False])
        self.assertIn("text", found[3]["error"])  # the nearest name
        self.assertIn("text", found[4]["error"])  # what is missing
        sent = [seen.json["input"]["text"] for seen in self.creations()]
        self.assertEqual(sorted(sent), ["a", "b"])

    def test_map_tells_a_failed_run_and_ends_with_1(self):
        found = self.results("test/fails", "{}", "{}", code=1)
        for number, item in enumerate(found, 1):
            self.assertEqual((item["line"], item["input"]), (number, {}))
            self.assertIn("out of memory", item["error"])

    def test_map_takes_files_of_inputs_and_files_in_them(self):
        picture = self.path("in.png", png(1, 1, "a"))
        given = {"prompt": "x", "image": "@" + picture, "images": ["@" + picture]}
        path = self.path("inputs.jsonl", json.dumps(given).encode())
        line = json.loads(self.command("map", "test/typed", path).out)
        self.assertEqual(line["input"], given)
        for uri in (line["output"]["image"], *line["output"]["images"]):
            self.assertTrue(uri.startswith("data:image/png"))
        self.assertEqual(self.command("map", "test/typed", str(self.folder)).code, 2)

    def test_an_open_pipe_that_is_interrupted_ends_with_130(self):
        process = self.process("map", "test/hello", stdin=subprocess.PIPE)
        process.stdin.write(b'{"text": "a"}\n')
        self.assertIn(b"hello a", process.stdout.readline())
        process.send_signal(signal.SIGINT)
        self.assertEqual(process.wait(PATIENCE), 130)


class CommandProcesses(CommandCase):
    """Processes of their own: pipes, signals, the browser."""

    def setUp(self):
        super().setUp()
        self.gate = threading.Event()
        self.addCleanup(self.gate.set)

    def streamed(self, *later):
        """A stream whose first event comes at once, and the others through the gate."""

        def pieces():
            yield _server_sent("output", "Hel", "1:0")
            self.gate.wait(PATIENCE)
            yield from later

        reply = Reply(pieces=pieces(), headers=SSE_TYPE)
        self.answer("GET", "/stream/.*", reply)

    @each(LLAMA, WORDS)
    def test_text_is_written_as_it_comes_or_is_polled(self, model):
        self.gate.clear()
        self.streamed(_server_sent("output", "lo", "2:0"), _server_sent("done", "{}"))

        def poll(seen, connection):
            state = self.api.predictions[seen.path.split("/")[3]]
            state.pop("completed_at", None)
            over = {"status": "succeeded", "output": ["Hel", "lo"]}
            running = {"status": "processing", "output": ["Hel"]}
            return Reply(json=dict(state, **(over if self.gate.is_set() else running)))

        self.answer("GET", "/v1/predictions/.*", poll, times=False)
        process = self.process("run", model, "prompt=x")
        self.assertEqual(process.stdout.read(100), b"Hel")
        self.gate.set()
        self.assertEqual(self.result(process), (0, "lo\n", ""))

    @unittest.skipUnless(POSIX, "signals of POSIX")
    def test_ctrl_c_and_sigterm_cancel_the_run_and_say_so(self):
        numbers = (signal.SIGINT, signal.SIGTERM)
        processes = [self.process("run", "test/slow", "seconds=1e6") for _ in numbers]
        self.until(lambda: len({seen.path for seen in self.polls()}) == 2)
        for process, number in zip(processes, numbers):
            process.send_signal(number)
        messages = []
        for process in processes:
            code, out, err = self.result(process)
            self.assertEqual((code, out), (130, ""))
            self.assertNotIn("Traceback", err)
            self.assertRegex(err, "(?i)cancell?ed")
            messages.append(err)
        for identity in self.api.creations:
            self.assertIn(identity, "".join(messages))
        self.assert_given_up(2)

    @unittest.skipUnless(POSIX, "signals of POSIX")
    def test_a_second_ctrl_c_leaves_at_once(self):
        self.answer("POST", ".*/cancel", lambda *_: self.gate.wait(PATIENCE) and None)
        process = self.process("run", "test/slow", "seconds=100000")
        self.until(self.polls)
        process.send_signal(signal.SIGINT)
        self.until(self.cancels)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        code, out, err = self.result(process)
        self.assertLess(time.monotonic() - began, 4)  # a cancellation may take five
        self.assertEqual((code, out, len(self.cancels())), (130, "", 1))
        self.assertNotIn("Traceback", err)

    @unittest.skipUnless(POSIX, "pipes of POSIX")
    def test_a_pipe_that_is_closed_ends_the_command_quietly_and_cancels_the_run(self):
        self.plan(LLAMA, items=["x"], seconds=1e6)
        more = (_server_sent("output", "more\n" * 99, f"{n}:0") for n in range(2, 1000))
        self.streamed(*more)
        process = self.process("run", LLAMA, "prompt=x")
        self.assertEqual(process.stdout.read(3), b"Hel")
        process.stdout.close()
        self.gate.set()
        self.assertEqual(process.stderr.read(), b"")
        process.wait()
        self.assert_given_up()

    @unittest.skipUnless(POSIX, "pipes of POSIX")
    def test_a_pipe_that_nobody_reads_ends_any_command_quietly(self):
        reading, writing = os.pipe()
        os.close(reading)
        lines = ("--help", "map --help", "run --help", "models list --all")
        processes = [self.process(*words.split(), stdout=writing) for words in lines]
        os.close(writing)
        for words, process in zip(lines, processes):
            with self.subTest(words):
                self.assertEqual(process.stderr.read(), b"")

    def test_commands_chain_through_a_pipe_by_url_or_by_bytes(self):
        first = self.process("run", "kvfrans/clipdraw", "prompt=x")
        words = ["run", "test/typed", "prompt=y", "image=@-"]
        code, out, err = self.result(self.process(*words, stdin=first.stdout))
        drawing = f"{self.api.url}/files-out/{self.api.creations[0]}/out-0.png"
        self.assertEqual((code, err), (0, ""))
        self.assertEqual(json.loads(out), {"prompt": "y", "image": drawing})
        picture = command("run", "kvfrans/clipdraw", "prompt=x", "-o", "-").out
        found = self.sent("prompt=y", "image=@-", given=picture)["image"]
        self.assertEqual(media_type_and_bytes(found), ("image/png", png(32, 32, "x0")))

    @unittest.skipUnless(POSIX, "a shell script as browser")
    def test_web_opens_the_page_of_the_prediction(self):
        browser = self.file("browser", b'#!/bin/sh\necho "$1" > "$0.opened"\n')
        browser.chmod(0o755)
        os.environ["BROWSER"] = f"{browser} %s"
        words = ["run", "replicate/hello-world", "text=A", "--web"]
        self.assertEqual(self.result(self.process(*words)), (0, "hello A\n", ""))
        page = "https://replicate.com/p/" + self.api.creations[0]
        self.assertEqual(self.content("browser.opened").decode().strip(), page)


@unittest.skipUnless(POSIX, "a pseudo-terminal")
class CommandTerminal(CommandCase):
    def terminal(self, *words, **environment):
        """The exit code of a command on a terminal, and all that the terminal got."""
        import pty

        (ours, theirs), data, streams = pty.openpty(), [], {}

        def read():
            with contextlib.suppress(OSError):  # Linux tells the end of a terminal so
                data.extend(iter(lambda: os.read(ours, 65536), b""))

        reader = begin(read)
        with contextlib.ExitStack() as stack, mock.patch.dict(os.environ, environment):
            for name, mode in zip(("stdin", "stdout", "stderr"), "rww"):
                stream = open(os.dup(theirs), mode, encoding="utf-8")  # noqa: SIM115
                streams[name] = stack.enter_context(stream)
            os.close(theirs)
            code = command(*words, **streams).code
        reader.join()
        os.close(ours)
        return code, b"".join(data).decode("utf-8")

    def items_model(self, items, **facts):
        """A model that says such things, streamed or polled."""
        streams = facts.pop("streams", True)
        plan = lambda *_: Plan(items=items, **facts)  # noqa: E731
        openapi = schema({}, ITERATOR)
        model = Model("test/says", plan, openapi, official=True, streams=streams)
        return self.api.add(model).id

    def test_a_status_line_shows_time_and_progress_and_is_gone_at_the_end(self):
        bar = " 50%|#####     | 5/10 [00:01<00:01]\n"

        def poll(seen, connection):
            state = self.api.predictions[seen.path.split("/")[3]]
            return Reply(json=dict(state, logs=bar, status="processing"))

        def create(seen, connection):
            state = json.loads(self.api.serve(seen).body)
            return Reply(201, dict(state, status="processing"))

        self.answer("POST", ".*/predictions", create)
        self.answer("GET", "/v1/predictions/.*", poll, poll)
        words = ("run", "stability/sketch", "prompt=x", "num_outputs=2")
        code, text = self.terminal(*words)
        base = f"{self.api.url}/files-out/{self.api.creations[0]}/"
        lines = [base + "out-0.png", base + "out-1.png"]
        self.assertEqual((code, rendered(text)), (0, lines))
        self.assertRegex(text, r"\d+(\.\d+)? ?s\b|\d:\d\d")
        self.assertRegex(text, r"\b50 ?%")

    @each(True, False)
    def test_streamed_text_stays_on_the_terminal(self, streams):
        tokens = ("Hel", "lo", ", w\u00f6rld", "\nsecond", " line\n", "end")
        model = self.items_model(tokens, seconds=2, streams=streams)
        code, text = self.terminal("run", model)
        lines = ["Hello, w\u00f6rld", "second line", "end"]
        self.assertEqual((code, rendered(text)), (0, lines))

    def test_control_characters_of_a_model_reach_a_pipe_and_no_terminal(self):
        nasty = "a\x1b]0;title\x07b\x9bc\x08\rd\te\n\u00e9"
        words = ("run", "replicate/hello-world", "text=" + nasty)
        self.assertEqual(self.succeed(*words), f"hello {nasty}\n")
        code, text = self.terminal(*words, NO_COLOR="1")
        self.assertEqual(code, 0)
        shown = text.replace("\r\n", "\n").replace("\r\x1b[K", "")
        for character in "\x1b\x07\x9b\x08":
            plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)
            self.assertNotIn(character, plain)
        self.assertNotIn("\x1b]", text)
        self.assertNotIn("\rd", text)
        self.assertIn("d\te\n\u00e9\n" if "\t" in shown else "d", shown)

    def test_a_terminal_gets_no_colour_with_no_color_and_a_pipe_never(self):
        model = self.items_model(["\x1b[31mred "], error="\x1b[32mboom")
        code, text = self.terminal("run", model, "--logs", NO_COLOR="1")
        self.assertEqual(code, 1)
        self.assertIn("boom", text)
        for line in rendered(text):
            self.assertFalse(line.startswith("red") and "boom" in line)
        self.assertNotRegex(text, r"\x1b\[[0-9;]*m")
        self.assertNotIn("\x1b", self.command("run", "test/fails").err)


class CommandNews(CommandCase):
    """What is new on the command line."""

    def test_the_names_and_options_of_the_go_command_line_do_the_same(self):
        made = create_echo(self.client, n=1).id
        for ours, theirs in (
            ("models list", "model list"),
            ("models get test/echo", "model show test/echo"),
            (f"predictions get {made}", f"prediction show {made}"),
            ("deployments get acme/my-app", "deployment show acme/my-app"),
            ("run test/typed --help", "model schema test/typed"),
            (f"run {LLAMA} prompt=x --stream", f"stream {LLAMA} prompt=x"),
        ):
            with self.subTest(theirs):
                first, second = (
                    self.succeed(*ours.split()),
                    self.succeed(*theirs.split()),
                )
                if "schema" not in theirs:
                    self.assertEqual(first, second)
                self.assertIn("prompt" if "schema" in theirs else first[:9], second)
        sent = self.sent("-i", "prompt=x", "--input", "steps=3", "-i", '{"fast": true}')
        self.assertEqual(sent, {"prompt": "x", "steps": 3, "fast": True})

    @each(
        ("run test/typed --prompt x", "prompt="),
        ("run test/typed --api-key=sk-hidden", "api_key="),
        ("rnu test/typed", "run"),
        ("wacth x", "watch"),
        ("model lsit", "list"),
    )
    def test_what_was_meant_is_told(self, words, meant):
        ended = self.command(*words.split())
        self.assertEqual((ended.code, ended.out, self.creations()), (2, "", []))
        self.assertRegex(ended.err, rf"\b{meant}")
        self.assertNotIn("sk-hidden", ended.err)

    def test_every_help_fits_eighty_columns(self):
        calls = {call for _, call, *_ in OPERATIONS} - {"account.get"}
        calls |= {call.rpartition(".")[0] for call in calls} - {""}
        words = [call.split(".") for call in calls] + [["accounts", "current"]]
        words += [["run"], ["stream"], ["train"], ["map"], ["watch"], []]
        words += [["run", "test/typed"]]
        for named in words:
            with self.subTest(named):
                text = self.succeed(*named, "--help")
                self.assertLessEqual(max(map(len, text.splitlines())), 80)
                self.assertGreater(len(text.splitlines()), 2)

    @unittest.skipUnless(POSIX, "a pseudo-terminal")
    def test_lists_are_tables_on_a_terminal_and_json_in_a_pipe(self):
        wide = "\u65e5\u672c\u8a9e" * 30
        self.api.catalogue["test/echo"].fields["description"] = wide
        create_echo(self.client, n=1)
        for words in ("models list", "models get test/echo", "predictions list"):
            terminal = functools.partial(CommandTerminal.terminal, self)
            code, text = terminal(*words.split(), NO_COLOR="1")
            self.assertEqual(code, 0)
            lines = rendered(text)
            for line in lines:
                wide = sum(ord(character) > 0x2E80 for character in line)
                self.assertLessEqual(len(line) + wide, 80, line)
            self.assertNotRegex(text, r"\x1b\[[0-9;]*m|\.\d\d\dZ|\{$")
            if words == "models list":
                self.assertEqual(len(lines), 3 + 2)  # a head, and that there is more
                self.assertIn("--all", lines[-1])
            self.assertTrue(json.loads(self.succeed(*words.split())))

    def test_map_keeps_a_journal_an_order_and_files(self):
        path, out = self.path("runs.jsonl"), self.path("pictures")
        lines = [json.dumps(dict(FOX, num_outputs=n)) for n in (1, 2, "x", 1)]
        given = self.path("in.jsonl", "\n".join(lines).encode() + b"\n")
        words = ("map", "stability/sketch", given, "--journal", path, "-k", "-o", out)
        for again in (False, True):
            self.clear()
            ended = self.command(*words)
            found = [json.loads(line) for line in ended.out.splitlines()]
            self.assertEqual([item["line"] for item in found], [1, 2, 3, 4])
            self.assertEqual(ended.code, 1)
            self.assertRegex(ended.err, "4 inputs: 3 done, 1 failed")
            self.assertIn(f"replicate {' '.join(words)}", ended.err)
            self.assertEqual(len(self.creations()), 0 if again else 3)
            names = sorted(os.listdir(out))
            self.assertEqual(names, ["1.png", "2-1.png", "2-2.png", "4.png"])
            self.assertTrue(found[1]["id"] and found[1]["metrics"])
        ended = self.command("map", "test/echo", given=b"a,b\n1,2\n")
        self.assertEqual((ended.code, ended.out), (2, ""))

    def test_train_starts_a_training_of_what_the_schema_says(self):
        destination = ["--destination", "acme/hot-dog-detector"]
        self.assertIn(
            "stability/sketch", self.succeed("train", "stability/sketch", "-h")
        )
        ref = "stability/sketch:" + self.sketch
        made = json.loads(self.succeed("train", ref, "prompt=x", *destination))
        (create,) = self.seen("POST", ".*/trainings")
        self.assertEqual(create.json["destination"], "acme/hot-dog-detector")
        self.assertIn(made["status"], RUNNING)
        ended = self.command("train", "stability/sketch", "prompt=x")
        self.assertEqual(ended.code, 2)
        self.assertIn("--destination", ended.err)

    @unittest.skipUnless(POSIX, "a pseudo-terminal")
    @each("deployments list --all", "search hello", "collections list", "files list")
    def test_other_lists_are_tables_too(self, words):
        terminal = functools.partial(CommandTerminal.terminal, self)
        code, text = terminal(*words.split(), COLUMNS="40")
        self.assertEqual(code, 0)
        self.assertNotIn("{", text)

    def test_words_of_the_go_command_line_mean_the_same(self):
        schema = json.loads(self.succeed("deployments", "schema", "acme/my-app"))
        self.assertIn("openapi", schema)
        made = self.succeed("prediction", "create", "test/typed", "prompt=x", "steps=4")
        self.assertEqual(json.loads(made), {"prompt": "x", "steps": 4})
        (create,) = self.creations()
        self.assertEqual(create.json["input"], {"prompt": "x", "steps": 4})
        path = self.path("inputs.json", b'{"prompt": "y"}')
        words = ["predictions", "create", "model=test/typed", f"input=@{path}"]
        made = json.loads(self.succeed(*words))
        self.assertEqual(made["input"], {"prompt": "y"})


# --------------------------------------------------------------------------------------
# Section 13: speed and scale
# --------------------------------------------------------------------------------------

SOAK_REQUESTS = int(os.environ.get("REPLICATE_SOAK") or 500)  # Case takes such away
CROWD = 1000 if SOAK_REQUESTS > 2000 else 250


class Scale(Case):
    def allow_many_sockets(self):
        """Two for each run under way; some systems start with 256."""
        try:
            import resource
        except ImportError:
            return
        limits = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if 0 <= soft < 2048 and (hard < 0 or hard >= 2048):
            resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)

    def test_a_hundred_runs_at_once_are_under_way_together(self):
        together = threading.Barrier(100)

        def hold(seen, connection):
            try:
                together.wait(PATIENCE)
            except threading.BrokenBarrierError:
                return Reply.problem(400, "the others did not come")
            return None

        async def scene():
            runs = [self.client.async_run("test/echo", {"n": n}) for n in range(100)]
            return await asyncio.gather(*runs)

        self.answer("POST", ECHO_PATH, hold, times=False)
        self.assertEqual(asyncio.run(scene()), [{"n": n} for n in range(100)])
        self.assertEqual((len(self.api.creations), len(self.creations())), (100, 100))

    def test_a_program_ends_with_no_thread_left_behind(self):
        code = """if True:
            import asyncio, replicate
            async def scene():
                print(await replicate.async_run("test/echo", {"n": 1}))
                begun, given = asyncio.Event(), {"seconds": 90000}
                options = {"wait": False, "on_update": lambda _: begun.set()}
                run = replicate.async_run("test/slow", given, **options)
                task = asyncio.ensure_future(run)
                await begun.wait()
                task.cancel()
                await asyncio.wait([task])
            asyncio.run(scene())"""
        self.assertEqual(self.result(self.python("-c", code)), (0, "{'n': 1}\n", ""))
        self.assertEqual(self.api.running(), [])

    def test_one_client_serves_32_threads_without_mixing_their_answers(self):
        left, wrong, lock = iter(range(480)), [], threading.Lock()

        def work():
            while True:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                if number % 4:
                    path = failure_of(
                        self.client.predictions.get, f"none-{number}"
                    ).path
                    good = path == f"/v1/predictions/none-{number}"
                else:
                    good = create_echo(self.client, n=number).input == {"n": number}
                if not good:
                    wrong.append(number)

        at_once(*[work] * 32)
        self.assertEqual((wrong, next(left, None)), ([], None))
        self.assertEqual((len(self.seen()), len(self.api.creations)), (480, 120))
        self.assertEqual(len({seen.path for seen in self.seen("GET")}), 360)
        made = sorted(job.given["n"] for job in self.api.jobs.values())
        self.assertEqual(made, list(range(0, 480, 4)))
        self.assertLessEqual(self.api.connections, 120)

    def test_a_slow_answer_holds_up_nobody_else(self):
        slow = Reply(json={"id": "slow", "status": "succeeded"}, delay=20)
        self.answer("GET", "/v1/predictions/slow", slow)
        get = self.client.predictions.get
        thread = begin(failure_of, get, "slow")
        self.until(self.polls)
        self.client.accounts.current()
        create_echo(self.client)
        self.assertTrue(thread.is_alive())
        self.api.close()
        thread.join(10)


class Soak(Case):
    """Faults of all kinds in one request of twenty: what was created is known, once."""

    pace = 1

    def setUp(self):
        super().setUp()
        self.chance = random.Random(6)
        self.client = self.client_of(max_retries=2)
        self.turn_clock()
        kinds = [reply for _, reply, kind in FAULTS if kind]

        def fault(seen, connection):
            """Half of them come after the service has acted on the request."""
            if self.chance.random() < 0.1:
                return Reply.throttled(2)
            if self.chance.random() < 0.5:
                self.api.serve(seen)
            elif self.chance.random() < 0.2:
                return kept_and_closed(json.loads(self.api.serve(seen).body))
            return self.chance.choice(kinds)

        self.answer(None, ".*", fault, times=False, share=0.05)

    def one(self, number):
        """Create in one way or another: the ids known, and whether one may exist."""
        given = {"n": number}
        try:
            if number % 2:
                prediction = create_echo(self.client, **given)
                self.assertEqual(prediction.input, given)
                with contextlib.suppress(ReplicateError):
                    prediction.reload()
                return [prediction.id], False
            self.assertEqual(self.client.run("test/echo", given), given)
            return [], None
        except ReplicateError as error:
            known = [error.prediction.id] if error.prediction else []
            return known, says_may_exist(error)

    def test_created_is_returned_or_reported_and_nothing_is_made_twice(self):
        outcomes, made = [], collections.defaultdict(list)
        while len(self.api.requests) < SOAK_REQUESTS:
            outcomes.append(self.one(len(outcomes)))
        for job in self.api.jobs.values():
            made[job.given["n"]].append(job.id)
        self.assertEqual([number for number, ids in made.items() if len(ids) > 1], [])
        for number, (ids, told) in enumerate(outcomes):
            if number not in made:
                self.assertFalse(ids or told is None, number)
            elif told is False:
                self.assertEqual(ids, made[number])
        self.assertTrue(any(told for _, told in outcomes))

    def test_awaited_runs_are_returned_reported_or_cancelled_and_nothing_is_left(self):
        number = 1000 if SOAK_REQUESTS > 2000 else 150

        async def scene():
            given = [{"seconds": 5 + n / number} for n in range(number)]
            runs = [self.client.async_run("test/slow", one) for one in given]
            tasks = [asyncio.ensure_future(run) for run in runs]
            await async_until(lambda: self.api.creations)
            for task in self.chance.sample(tasks, number // 10):
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            self.assertEqual(asyncio.all_tasks(), {asyncio.current_task()})
            return results

        Scale.allow_many_sockets(self)
        self.client.poll_interval = 0.01
        results = asyncio.run(scene())
        made = [job.given["seconds"] for job in self.api.jobs.values()]
        self.assertEqual(len(made), len(set(made)))
        known = (str, ReplicateError, asyncio.CancelledError)
        wrong = [result for result in results if not isinstance(result, known)]
        self.assertEqual(wrong, [])
        self.assertTrue(any(isinstance(one, str) for one in results))
        cancelled = {
            seen.path.split("/")[-2] for seen in self.seen("POST", ".*/cancel")
        }
        self.until(lambda: not set(self.api.running()) - cancelled)


class Crowds(Case):
    allow_many_sockets = Scale.allow_many_sockets

    def test_hundreds_of_runs_are_awaited_by_few_threads_with_a_request_each(self):
        async def scene():
            known, given = threading.enumerate(), {"seconds": 25}
            runs = [self.client.async_run("test/slow", given) for _ in range(CROWD)]
            waited = asyncio.ensure_future(asyncio.gather(*runs))
            most = 0
            while not waited.done():
                threads = set(threading.enumerate()).difference(known)
                names = [thread.name for thread in threads]
                most = max(most, sum(name.startswith("replicate") for name in names))
                await asyncio.sleep(0.02)
            return await waited, most

        self.allow_many_sockets()
        outputs, most = asyncio.run(scene())
        self.assertEqual(outputs, ["slept 25 s"] * CROWD)
        self.assertLessEqual(most, 40)
        self.assertEqual((len(self.seen()), len(self.api.creations)), (CROWD,) * 2)

    def test_a_get_is_not_queued_behind_what_is_awaited(self):
        async def scene():
            run = functools.partial(self.client.async_run, "test/slow")
            runs = [run({"seconds": 1e6 + n}) for n in range(100)]
            tasks = [asyncio.ensure_future(run) for run in runs]
            await async_until(lambda: len(self.api.creations) == 100)
            began = time.monotonic()
            await self.client.accounts.async_current()
            took = time.monotonic() - began
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
            return took

        self.api.speed = 1.0  # held a minute
        self.assertLess(asyncio.run(scene()), 2)
        self.assert_given_up(100)

    def test_loops_come_and_go_and_plain_calls_work_in_one(self):
        async def scene(number):
            plain = self.client.run("test/echo", {"n": number})
            [mapped] = self.client.map("test/echo", [{"n": number}])
            awaited = await self.client.async_run("test/echo", {"n": number})
            return [plain, mapped, awaited]

        for number in range(3):
            self.assertEqual(asyncio.run(scene(number)), [{"n": number}] * 3)
        self.assertEqual(len(self.creations()), 9)

    def test_where_no_list_of_runs_is_to_be_had_each_is_asked_for(self):
        async def scene():
            given = {"seconds": 3000}
            runs = [run("test/slow", given, wait=False) for _ in range(150)]
            return await asyncio.gather(*runs)

        self.client = self.client_of(pace=1.5)
        self.turn_clock(api=True)
        run = self.client.async_run
        self.answer("GET", "/v1/predictions", Reply.problem(400, "no"), times=False)
        self.assertEqual(asyncio.run(scene()), ["slept 3000 s"] * 150)
        self.assertTrue(self.seen("GET", "/v1/predictions"))


# --------------------------------------------------------------------------------------
# Webhooks: the Standard Webhooks scheme and its published vector
# --------------------------------------------------------------------------------------

SIGNED = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
SIGNATURE = SIGNED["webhook-signature"]


class Webhooks(Case):
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'

    def validate(self, headers=SIGNED, body=body, secret=secret, tolerance=None):
        return self.client.webhooks.validate(
            headers=headers, body=body, secret=secret, tolerance=tolerance
        )

    def signed(self, stamp, key, body=body):
        """Headers of a delivery that is signed now with this key."""
        words = b"msg_1." + stamp.encode() + b"." + body
        mac = base64.b64encode(hmac.new(key, words, hashlib.sha256).digest()).decode()
        return dict(zip(SIGNED, ("msg_1", stamp, "v1," + mac)))

    def tearDown(self):
        paths = {seen.path for seen in self.seen()}
        self.assertEqual(paths - {"/v1/webhooks/default/secret"}, set())

    def test_headers_come_in_many_shapes(self):
        pairs = list(SIGNED.items())
        lines = "".join(f"{name}: {value}\r\n" for name, value in pairs)
        wsgi = {"HTTP_" + n.upper().replace("-", "_"): value for n, value in pairs}
        wsgi.update({"wsgi.input": io.BytesIO(), "wsgi.version": (1, 0)})
        several = "v1,AAAA v2,xyz v1a,q " + SIGNATURE
        shapes = {
            "mapping": SIGNED,
            "title case": {name.title(): value for name, value in pairs},
            "upper case": {name.upper(): value for name, value in pairs},
            "Lambda": dict(SIGNED, host="x.lambda-url.us-east-1.on.aws"),
            "multi-value": {name: [value] for name, value in pairs},
            "WSGI": wsgi,
            "ASGI": [(name.encode(), value.encode()) for name, value in pairs],
            "bytes": {name.encode(): value.encode() for name, value in pairs},
            "http.client": http.client.parse_headers(
                io.BytesIO(lines.encode() + b"\r\n")
            ),
            "several": dict(SIGNED, **{"webhook-signature": several}),
            "several first": dict(
                SIGNED, **{"webhook-signature": SIGNATURE + " v1,AA"}
            ),
        }
        bodies = (self.body, self.body.decode(), bytearray(self.body))
        for (name, headers), body in itertools.product(shapes.items(), bodies):
            with self.subTest(name, body=type(body).__name__):
                self.assertTrue(self.validate(headers, body))

    @each(
        *[("signature", "v1,AAAA"), ("signature", SIGNATURE[:9]), ("signature", "v1,")],
        *[("signature", SIGNATURE[3:]), ("signature", "v2" + SIGNATURE[2:])],
        *[("signature", ""), ("signature", "v1,\xff\u20ac\ud800"), ("id", "msg_other")],
        *[("timestamp", "1614265331"), ("timestamp", "soon"), ("timestamp", "")],
        *[("timestamp", "nan"), ("timestamp", "1e400"), ("timestamp", "9" * 5000)],
        *[("id", ""), ("id", None), ("timestamp", None), ("signature", None)],
    )
    def test_what_is_wrong_in_its_headers_is_refused_and_named(self, name, value):
        headers = dict(SIGNED, **{"webhook-" + name: value})
        if value is None:
            del headers["webhook-" + name]
        forged = value in ("msg_other", "1614265331")
        with self.assertRaisesRegex(WebhookError, "signature" if forged else name):
            self.validate(headers)

    @each(body + b" ", body.replace(b" ", b""), b"")
    def test_another_body_is_refused(self, body):
        self.assertRaises(WebhookError, self.validate, body=body)

    @each(
        *rows("""
        0      | 300  | true
        -250   | 300  | true
        200    | 300  | true
        -400   | 300  | false
        400    | 300  | false
        -400   | 3600 | true
        -90000 | null | true
    """)
    )
    def test_old_and_future_ones_are_refused(self, offset, tolerance, accepted):
        key = base64.b64decode(self.secret[6:])
        headers = self.signed(str(int(time.time()) + offset), key)
        if accepted:
            self.assertTrue(self.validate(headers, tolerance=tolerance))
            return
        with self.assertRaisesRegex(WebhookError, "timestamp"):
            self.validate(headers, tolerance=tolerance)
        with self.assertRaisesRegex(WebhookError, "timestamp"):
            validate = self.client.webhooks.validate
            validate(headers=SIGNED, body=self.body, secret=self.secret)

    def test_the_secret_may_be_that_of_the_api_and_never_an_empty_one(self):
        secret, body = self.client.webhooks.default.secret(), b'{"id": "p1"}'
        headers = self.api.sign_webhook("msg_1", body)
        self.assertTrue(self.validate(headers, body, secret, 300))
        module = replicate.webhooks
        self.assertTrue(module.validate(headers=headers, body=body, secret=secret.key))
        self.assertNotIn(secret.key, repr(secret))
        forged = self.signed("1614265330", b"", body)
        for bad in ("", "whsec_", "  ", "whsec_!!!"):
            with self.subTest(bad), self.assertRaises(ValueError) as caught:
                self.validate(forged, body, bad)
            self.assertNotIsInstance(caught.exception, ReplicateError)

    def test_a_request_with_headers_and_a_body_is_taken_as_it_is(self):
        request = mock.Mock(headers=SIGNED, content=self.body)
        validate = self.client.webhooks.validate
        self.assertTrue(validate(request, secret=self.secret, tolerance=None))


# --------------------------------------------------------------------------------------
# The stand-in against the OpenAPI file
# --------------------------------------------------------------------------------------

# The schemas of the OpenAPI file: a name and its fields; ! must be there, ? may be
# null. A type is string unless it says otherwise; after a dot come the fields of an
# object.
SCHEMAS = """
collection_list_item description! name! slug!
collection description! full_description:string? models!:[model] name! slug!
deployment current_release:object current_release.configuration:object
    current_release.configuration.hardware
    current_release.configuration.max_instances:integer
    current_release.configuration.min_instances:integer
    current_release.created_at:date-time current_release.created_by:object
    current_release.created_by.avatar_url:uri current_release.created_by.github_url:uri
    current_release.created_by.name current_release.created_by.type!:organization|user
    current_release.created_by.username! current_release.model
    current_release.number:integer current_release.version name owner
file checksums!:object checksums.sha256 content_type! created_at!:date-time
    expires_at!:date-time id! metadata!:object size!:integer urls!:object urls.get:uri
model cover_image_url:uri? default_example:object? description:string? github_url:uri?
    is_official:boolean latest_version:object? license_url:uri? name owner
    paper_url:uri? run_count:integer url:uri visibility:public|private
page href! name!
prediction completed_at:date-time created_at!:date-time data_removed!:boolean
    deadline:date-time deployment error!:string? id! input!:object logs metrics:object
    metrics.total_time:number model! output!:any source:web|api started_at:date-time
    status!:starting|processing|succeeded|failed|canceled|aborted urls!:object
    urls.cancel!:uri urls.get!:uri urls.stream:uri urls.web!:uri version!
search_collection description! models:[string]? name! slug!
search_model_metadata generated_description:string? score:number? tags:[string]
search collections!:[search_collection] models!:[search_match] pages!:[page] query!
training completed_at:date-time created_at:date-time error:string? id input:object logs
    metrics:object metrics.predict_time:number metrics.total_time:number model
    output:object output.version output.weights source:web|api started_at:date-time
    status:starting|processing|succeeded|failed|canceled|aborted urls:object
    urls.cancel:uri urls.get:uri version
version cog_version:string? created_at:date-time id openapi_schema:object?
search_match metadata!:search_model_metadata model!:model
account avatar_url:uri github_url:uri name type!:organization|user username!
hardware name sku
secret key
"""
# What recorded answers have otherwise (FACTS.md), and what the file leaves out.
RECORDED = """
prediction.output is missing, prediction.logs is null, training.logs is null
file.name is unknown, file.etag is unknown, file.checksums.md5 is unknown
prediction.metrics.predict_time is unknown, training.data_removed is unknown
training.urls.web is unknown, model.weights_url is unknown
"""


def schemas():
    """name -> {path of a field: (type, must it be there, may it be null)}"""
    found = {}
    for line in re.sub(r"\n +", " ", SCHEMAS.strip()).splitlines():
        name, *fields = line.split()
        found[name] = {}
        for field in fields:
            path, _, kind = field.partition(":")
            must, may = path.endswith("!"), kind.endswith("?")
            found[name][path.rstrip("!")] = kind.rstrip("?") or "string", must, may
    return found


class Schemas:
    """Checks values; `seen` holds the names of the schemas that were used."""

    known = schemas()
    kinds = dict(JSON_TYPES, any=(object,), uri=(str,), **{"date-time": (str,)})

    def __init__(self):
        self.seen = set()

    def faults(self, name, value):
        """What is wrong in a value: its place in the schema, and how."""
        if name.startswith("["):
            for item in value:
                yield from self.faults(name[1:-1], item)
        elif name in self.known:
            self.seen.add(name)
            yield from self._fields(name, "", value)
        elif "|" in name:
            if value not in name.split("|"):
                yield f"{value} is none of {name}"
        elif not isinstance(value, self.kinds[name]):
            yield f"{value!r} is no {name}"
        elif name == "date-time":
            _parse_time(value)
        elif name == "uri" and not urlsplit(value).netloc:
            yield f"{value} is no address"

    def _fields(self, name, prefix, value):
        fields = self.known[name]
        for path, fact in fields.items():
            if path.rpartition(".")[0] == prefix:
                yield from self._field(name, path, value, *fact)
        for field in value:
            path = f"{prefix}.{field}".lstrip(".")
            if path not in fields:
                yield f"{name}.{path} is unknown"

    def _field(self, name, path, value, kind, must, may):
        field = path.rpartition(".")[2]
        if field not in value:
            if must:
                yield f"{name}.{path} is missing"
        elif value[field] is None:
            if not may and kind != "any":
                yield f"{name}.{path} is null"
        else:
            for fault in self.faults(kind, value[field]):
                yield f"{name}.{path}: {fault}"
            if any(other.startswith(path + ".") for other in self.known[name]):
                yield from self._fields(name, path, value[field])


class TheStandIn(Case):
    def test_each_of_its_answers_fits_the_schema_of_the_api(self):
        words = Operations.furnished(self)
        create = self.client.predictions.create
        runs = [create(model=model, input=FOX) for model in (LLAMA, "stability/sketch")]
        runs += [create(model="test/fails", input={}), create(version=HELLO, input=HI)]
        create(model="test/slow", input=LONG, cancel_after=5).cancel()
        training = self.client.trainings.get(words["training"])
        for run in (*runs, training):
            run.wait()
        checked, odd = Schemas(), collections.Counter()
        for row in OPERATIONS:
            name, args, options = words_of(f"{row.call} {row.words}", words)
            called(self.client, name, *args, **options)
            reply = self.seen()[-1].reply
            if not reply.is_json:
                continue
            body, name = json.loads(reply.body), row.schema
            if row.gives.startswith("["):
                body, name = body["results"], f"[{name.strip('[]')}]"
            with self.subTest(row.id):
                odd.update(checked.faults(name, body))
        recorded = [line.strip() for line in re.split("[,\n]", RECORDED.strip())]
        self.assertEqual(set(odd) - set(recorded), set())
        self.assertEqual(set(Schemas.known) - checked.seen, set(), "all were checked")

    def test_it_holds_many_creations_without_a_thread_each(self):
        body = json.dumps({"input": {"seconds": 25}}).encode()
        head = (
            f"POST /v1/models/test/slow/predictions HTTP/1.1\r\nPrefer: wait\r\n"
            f"Authorization: Bearer {self.api.token}\r\nContent-Length: {len(body)}\r\n"
            "Content-Type: application/json\r\nConnection: close\r\n\r\n"
        )
        place = urlsplit(self.api.url)

        async def one():
            reader, writer = await asyncio.open_connection(place.hostname, place.port)
            writer.write(head.encode() + body)
            answer = await reader.read()
            writer.close()
            return answer.startswith(b"HTTP/1.1 201") and b"slept 25 s" in answer

        async def scene():
            runs = asyncio.gather(*(one() for _ in range(100)))
            await async_until(lambda: len(self.api.creations) == 100)
            await async_until(lambda: threading.active_count() - before < 50)
            for identity in self.api.creations:
                self.api.force(identity, status="succeeded", output="slept 25 s")
            return await runs

        self.api.speed, before = 1.0, threading.active_count()
        self.assertEqual(asyncio.run(scene()), [True] * 100)

    def test_it_keeps_to_the_limits_that_it_is_given_and_tells_them(self):
        self.api.clock, self.api.speed = lambda: 1000.0, 1.0
        self.api.limits["creations"] = Limit(6, burst=1)

        def asked(method, path, body=None):
            connection = http.client.HTTPConnection(urlsplit(self.api.url).netloc)
            token = {"Authorization": "Bearer " + self.api.token}
            connection.request(method, path, body, dict(JSON, **token))
            self.addCleanup(connection.close)
            return connection.getresponse()

        first = asked("POST", ECHO_PATH, '{"input": {}}')
        told = [first.headers["ratelimit-" + name] for name in ("remaining", "reset")]
        self.assertEqual((first.status, told), (201, ["0", "10"]))
        self.assertEqual(asked("POST", ECHO_PATH, '{"input": {}}').status, 429)
        self.assertEqual(asked("GET", ACCOUNT_PATH).status, 200)
        self.api.clock = lambda: 1010.0
        self.assertEqual(asked("POST", ECHO_PATH, '{"input": {}}').status, 201)
        self.assert_created(2)

    @each(
        ({}, 200, b"0123456789"),
        ({"Range": "bytes=4-"}, 206, b"456789"),
        ({"Range": "bytes=4-5"}, 206, b"45"),
        ({"Range": "bytes=10-"}, 416, b""),
        ({"Range": "bytes=4-", "If-Range": '"other"'}, 200, b"0123456789"),
    )
    def test_its_files_come_in_parts(self, headers, status, content):
        seen = types.SimpleNamespace(headers=headers)
        reply = file_reply(seen, b"0123456789")
        self.assertEqual((reply.status, reply.body), (status, content))
        if status == 206:
            first = headers["Range"][6]
            end = int(first) + len(content) - 1
            self.assertEqual(reply.headers["Content-Range"], f"bytes {first}-{end}/10")

    def test_predictions_are_listed_newest_first_by_the_hundred(self):
        made = [create_echo(self.client, n=number).id for number in range(102)]
        page = self.client.predictions.list()
        self.assertEqual([run.id for run in page], made[:1:-1])
        self.assertEqual((page[0].input, page[0].status), ({"n": 101}, "succeeded"))
        self.assertIn("Date: ", self.seen()[-1].reply.head().decode())

    def test_it_shares_no_pattern_with_the_client(self):
        def patterns(nodes):
            for node in itertools.chain(*map(ast.walk, nodes)):
                called = getattr(node, "func", None)
                if getattr(getattr(called, "value", None), "id", "") == "re":
                    yield ast.dump(node.args[0])

        case = inspect.getsourcelines(Case)[1]  # above it is the stand-in
        ours = set(
            patterns(node for node in tree_of(__file__).body if node.lineno < case)
        )
        theirs = set(patterns(tree_of(MODULE).body))
        self.assertTrue(ours and theirs)
        self.assertEqual(ours & theirs, set())


HI = {"text": "Alice"}


# --------------------------------------------------------------------------------------
# Copies in places of all kinds, and AWS Lambda
# --------------------------------------------------------------------------------------

LAMBDA_FUNCTION = '''\
"""A function of AWS Lambda: runs a model, and takes its webhooks."""
import base64
import json
import os

import replicate


def answer(status, value):
    return {"statusCode": status, "body": json.dumps(value)}


def run(event, context):
    raw = event.get("body") or "{}"
    given = json.loads(base64.b64decode(raw) if event.get("isBase64Encoded") else raw)
    try:
        left = context.get_remaining_time_in_millis() / 1000
        output = replicate.run("test/echo", input=given, timeout=left - 1)
    except replicate.ReplicateError as error:
        return answer(502, {"error": str(error)})
    return answer(200, {"output": output})


def webhook(event, context):
    raw = event.get("body") or ""
    body = base64.b64decode(raw) if event.get("isBase64Encoded") else raw
    try:
        secret = os.environ["WEBHOOK_SECRET"]
        headers = event["headers"]
        replicate.webhooks.validate(headers=headers, body=body, secret=secret)
    except replicate.WebhookError as error:
        return answer(401, {"error": str(error)})
    return answer(200, {"seen": json.loads(body)["id"]})
'''


def lambda_event(body, headers=(), encoded=False, gateway=False):
    """What a function URL passes (names in lower case), or API Gateway's REST APIs."""
    raw = base64.b64encode(body).decode("ascii") if encoded else body.decode("utf-8")
    event, headers = {"body": raw, "isBase64Encoded": encoded}, dict(headers)
    if gateway:
        named = {name.title(): value for name, value in headers.items()}
        several = {name: [value] for name, value in named.items()}
        return dict(event, httpMethod="POST", headers=named, multiValueHeaders=several)
    named = {name.lower(): value for name, value in headers.items()}
    return dict(
        event, version="2.0", headers=dict(named, **{"x-forwarded-port": "443"})
    )


class Lambda(Case):
    def setUp(self):
        super().setUp()
        self.use_default_client()
        os.environ["WEBHOOK_SECRET"] = self.api.webhook_secret
        path = self.file("function.py", LAMBDA_FUNCTION.encode())
        self.function, self.kept = runpy.run_path(str(path)), []
        left = {"get_remaining_time_in_millis": lambda: 60000}
        self.context = types.SimpleNamespace(**left)

    def keep_connections(self):
        """Remember the server's end of connections on which something is created."""
        keep = lambda seen, connection: self.kept.append(connection)  # noqa: E731
        self.answer("POST", "/v1/.*", keep, times=False)

    def call(self, event, name="run"):
        answer = self.function[name](event, self.context)
        return answer["statusCode"], json.loads(answer["body"])

    @each(*itertools.product((False, True), (False, True)))
    def test_a_function_runs_a_model_and_takes_webhooks(self, encoded, gateway):
        shape = functools.partial(lambda_event, encoded=encoded, gateway=gateway)
        given = {"text": "na\u00efve"}
        event = shape(json.dumps(given, ensure_ascii=False).encode("utf-8"))
        self.assertEqual(self.call(event), (200, {"output": given}))
        self.assertEqual([seen.json["input"] for seen in self.creations()], [given])
        self.clear()
        body = '{"id": "p1", "output": "na\u00efve"}'.encode()
        headers = self.api.sign_webhook("msg_1", body)
        answer = self.call(shape(body, headers), "webhook")
        self.assertEqual(answer, (200, {"seen": "p1"}))
        forged = shape(body.replace(b"p1", b"p2"), headers)
        for event in (forged, shape(body)):
            self.assertEqual(self.call(event, "webhook")[0], 401)
        self.assertEqual(self.seen(), [], "no request is made for it")

    def test_a_client_whose_connections_died_while_it_was_frozen_notices(self):
        self.keep_connections()
        for word in ("first", "second", "third"):
            event = lambda_event(json.dumps({"text": word}).encode())
            self.assertEqual(self.call(event), (200, {"output": {"text": word}}))
            if word == "second":  # this time with a reset instead of an orderly end
                self.kept[-1]._reset()
            for connection in self.kept:
                connection.wake()
                connection.join(5)
        texts = [seen.json["input"]["text"] for seen in self.creations()]
        self.assertEqual(texts, ["first", "second", "third"])
        self.assertEqual(len(set(self.kept)), 3, "each on a connection of its own")

    def test_the_real_runtime_client_runs_a_zip_of_two_files(self):
        python = os.environ.get("AWSLAMBDARIC")
        if not python:
            self.skipTest(
                "NO LAMBDA RUNTIME: AWSLAMBDARIC names no Python; .ci/run does"
            )
        runtime = "/2018-06-01/runtime/invocation/"
        texts, process, answers = ["first", "after the freeze"], [], {}

        def following(seen, connection):
            number = len(self.seen("GET", runtime + "next"))
            if number > len(texts):
                return Reply(204, delay=60)
            if number == 2:  # the sandbox is frozen, its connections end, it thaws
                process[0].send_signal(signal.SIGSTOP)
                for kept in self.kept:
                    kept.wake()
                process[0].send_signal(signal.SIGCONT)
            arn = "arn:aws:lambda:eu-west-1:123456789012:function:f"
            head = {
                "Aws-Request-Id": f"request-{number}",
                "Trace-Id": "Root=1-2",
                "Invoked-Function-Arn": arn,
                "Deadline-Ms": str(int(time.time() * 1000) + 30000),
            }
            head = {"Lambda-Runtime-" + name: value for name, value in head.items()}
            event = lambda_event(json.dumps({"text": texts[number - 1]}).encode())
            return Reply(json=event, headers=head)

        def answered(seen, connection):
            answers[seen.path[len(runtime) :]] = seen.json
            return Reply(202, {"status": "OK"})

        self.answer("GET", runtime + "next", following, times=False)
        posts = runtime + ".*|/2018-06-01/runtime/init/error"
        self.answer("POST", posts, answered, times=False)
        self.keep_connections()
        task = self.file("task/replicate.py", pathlib.Path(MODULE).read_bytes()).parent
        self.file("task/function.py", LAMBDA_FUNCTION.encode())
        environment = {
            "AWS_LAMBDA_RUNTIME_API": urlsplit(self.api.url).netloc,
            "REPLICATE_BASE_URL": self.api.url,
            "REPLICATE_API_TOKEN": self.api.token,
            "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
            "AWS_LAMBDA_FUNCTION_NAME": "f",
        }
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
        words = [python, "-m", "awslambdaric", "function.run"]
        process.append(subprocess.Popen(words, cwd=str(task), env=environment, **pipes))
        try:
            until(lambda: len(answers) >= 2 or process[0].poll() is not None)
        finally:
            process[0].kill()
            said = process[0].communicate()[0].decode("utf-8", "replace")
        names = [f"request-{number}/response" for number in (1, 2)]
        self.assertEqual(list(answers), names, (answers, said))
        bodies = [json.loads(answer["body"]) for answer in answers.values()]
        self.assertEqual([body["output"]["text"] for body in bodies], texts)
        sent = [seen.json["input"]["text"] for seen in self.seen("POST", "/v1/.*")]
        self.assertEqual(sent, texts)


HELLO_AND_ERROR = """
assert {0}.run("test/echo", input={{"text": "Ann"}}) == {{"text": "Ann"}}
try:
    {0}.run("test/fails", input={{}})
except {0}.ModelError as error:
    print("boom" in str(error), error.prediction.status)
"""


class Vendored(Case):
    def run_in(self, folder, *words, **environment):
        """What a Python prints in a folder that knows no home; it must not complain."""
        for name in ("HOME", "USERPROFILE", "PYTHONHOME", "PYTHONWARNINGS"):
            os.environ.pop(name, None)
        environment.update(PYTHONDONTWRITEBYTECODE="1", PYTHONPATH="")
        process = self.python(*words, cwd=str(folder), env=environment)
        code, out, err = self.result(process)
        self.assertEqual((code, err), (0, ""))
        return out.splitlines()

    def echoes(self):
        return len(self.seen("POST", ECHO_PATH))

    def test_a_vendored_copy_is_imported_relatively(self):
        folder = self.copies("mypkg/_vendor/replicate.py")
        for name in ("mypkg/_vendor/__init__.py", "mypkg/__init__.py"):
            self.file(name)
        code = HELLO_AND_ERROR.format("replicate")
        self.file(
            "mypkg/job.py",
            f"""import sys
from ._vendor import replicate
from ._vendor.replicate.exceptions import ModelError
{code}
print(ModelError is replicate.ModelError, 'replicate' in sys.modules)
print(ModelError.__module__)
""".encode(),
        )
        lines = ["True failed", "True False", "mypkg._vendor.replicate"]
        self.assertEqual(self.run_in(folder, "-m", "mypkg.job"), lines)
        self.assertEqual(self.echoes(), 1)

    def test_it_runs_from_a_zip(self):
        with zipfile.ZipFile(str(self.folder / "app.zip"), "w") as app:
            app.write(MODULE, "replicate.py")
            code = "import replicate\n" + HELLO_AND_ERROR.format("replicate")
            code += "print(len(replicate.__file__.split('app.zip')))"
            app.writestr("__main__.py", code)
        lines = self.run_in(self.folder, "app.zip")
        self.assertEqual((lines, self.echoes()), (["True failed", "2"], 1))

    def test_two_renamed_copies_live_in_one_process(self):
        first, second = HELLO_AND_ERROR.format("one"), HELLO_AND_ERROR.format("two")
        code = f"""
import pickle, one, two
{first}{second}
assert one.ModelError is not two.ModelError
assert not issubclass(two.ReplicateError, one.ReplicateError)
assert one.default_client is not two.default_client
assert one.exceptions.ModelError is one.ModelError
prediction = two.predictions.create(model="test/echo", input={{"text": "x"}})
assert type(pickle.loads(pickle.dumps(prediction))) is two.Prediction
output = two.FileOutput("https://example.com/a.png")
assert one.run("test/echo", input=dict(file=output))["file"].endswith("/a.png")
"""
        lines = self.run_in(self.copies("one.py", "two.py"), "-c", code)
        self.assertEqual((lines, self.echoes()), (["True failed"] * 2, 4))

    def test_it_needs_neither_home_nor_a_place_to_write(self):
        folder, code = (
            self.file("lib/replicate.py", pathlib.Path(MODULE).read_bytes()).parent,
            f"""
import os, sys
written = []
def watch(event, arguments):
    if event == "open":  # PyPy tells no true flags where there is a mode
        mode, flags = arguments[1:3]
        writes = os.O_WRONLY | os.O_RDWR | os.O_CREAT
        if set(mode) & set("wax+") if mode else flags & writes:
            written.append(arguments[0])
    elif event in ("os.mkdir", "os.rename", "os.remove", "tempfile.mkstemp"):
        written.append(event)
sys.addaudithook(watch)
import io, replicate
{HELLO_AND_ERROR.format("replicate")}
files = [b"small", io.BytesIO(b"x" * 300000)]
assert len(replicate.run("test/files", input={{"files": files}})) == 2
print([path for path in written if path != os.devnull])
""",
        )
        folder.chmod(0o555)
        self.addCleanup(folder.chmod, 0o755)
        nowhere = dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(self.folder / "none"))
        lines = self.run_in(folder, "-c", code, **nowhere)
        self.assertEqual(lines, ["True failed", "[]"])
        self.assertEqual(os.listdir(str(folder)), ["replicate.py"])
        self.assertEqual((self.echoes(), len(self.seen("POST", "/v1/files"))), (1, 1))

    def test_an_isolated_python_that_takes_warnings_for_errors_has_nothing_to_say(self):
        code = f"""
import sys; sys.path.insert(0, sys.argv[1])
import replicate
{HELLO_AND_ERROR.format("replicate")}
fox = {{"prompt": "x"}}
print("".join(map(str, replicate.stream("meta/llama-tiny", input=fox)))[:3])
print(next(replicate.run("replicate/slow-words", input=fox)))
print(list(replicate.map("test/echo", [{{"n": 1}}, {{"n": 2}}])))
"""
        options = ["-I", "-S", "-W", "error", "-X", "dev", "-c", code]
        folder = self.file("replicate.py", pathlib.Path(MODULE).read_bytes()).parent
        lines = self.run_in(folder, *options, folder)
        poems = ["Hel", "Hel", "[{'n': 1}, {'n': 2}]"]
        self.assertEqual((lines, self.echoes()), (["True failed", *poems], 3))

    @each("ssl", "zlib")
    def test_without_a_module_only_what_needs_it_is_refused(self, missing):
        packed = Reply(body=gzip.compress(b"[]"), headers={"Content-Encoding": "gzip"})
        self.answer("GET", "/v1/hardware", packed)
        code = f"""
import sys
sys.modules["{missing}"] = sys.modules["_{missing}"] = None
import replicate
{HELLO_AND_ERROR.format("replicate")}
print(len(replicate.models.list()))
https = "https://127.0.0.1:1" if "{missing}" == "ssl" else None
try:
    replicate.Client("{self.api.token}", base_url=https, max_retries=0).hardware.list()
except replicate.ReplicateError as error:
    print(error)
"""
        first, count, error = self.run_in(self.copies("replicate.py"), "-c", code)
        self.assertEqual((first, int(count) > 0), ("True failed", True))
        self.assertRegex(
            error, "(?i)ssl" if missing == "ssl" else "(?i)gzip|zlib|compr"
        )
        asked = {seen.headers.get("Accept-Encoding") or "" for seen in self.seen()}
        gzipped = any("gzip" in words for words in asked)
        self.assertEqual(gzipped, missing == "ssl")


# --------------------------------------------------------------------------------------
# The README, the package, the source
# --------------------------------------------------------------------------------------

# What mypy --strict and pyright (strict) must accept, and a test runs.
TYPED_USER_CODE = """\
# pyright: strict
from __future__ import annotations

import asyncio
import datetime
import io
import pathlib
from typing import TYPE_CHECKING, Any, Iterator, List, Optional, Tuple

import replicate
from replicate import Client, Deployment, File, FileOutput, Model, ModelError, Page
from replicate import Prediction, PredictionTimeout, ReplicateError, ServerSentEvent
from replicate import Collection, Training, Version

if TYPE_CHECKING:
    from typing_extensions import assert_type


def settings() -> Client:
    client = Client("r8_x", timeout=5.0, max_retries=2, proxies={}, pace=0.25)
    replicate.api_token = client.api_token = replicate.default_client.api_token = "r8_y"
    client.api_token = None
    assert_type((client.base_url, client.poll_interval), Tuple[str, float])
    client.poll_interval = 2
    return Client(base_url="http://h", poll_interval=1, headers={"x-team": "a"})


def running(client: Client, on_update: List[Prediction]) -> None:
    assert_type(replicate.run("a/b", {"n": 1}, wait=5, timeout=3.0), Any)
    client.run("a/b", input={}, wait=False, on_update=on_update.append)
    client.run("a/b", {}, webhook="https://h", webhook_events_filter=["completed"])
    client.run("a/b", {}, file_encoding_strategy="url", use_file_output=False)
    client.run("a/b", api_token="r8_x", extra={"novel": 1}, cancel_after="5m")
    for event in replicate.stream("a/b", {"n": 1}, cancel_after=90):
        assert_type((event, event.data, event.id), Tuple[ServerSentEvent, str, str])
    inputs = ({"n": n} for n in range(3))
    for output in replicate.map("a/b", inputs, concurrency=2, journal="runs.jsonl"):
        print(output)
    for output in client.map("a/b", [{}], ordered=False, save=pathlib.Path("out")):
        print(output)
    function = replicate.use("a/b")
    print(function(prompt="x", input=1, version=2, model=3, wait=4), function.run(n=1))
    print(client.use("a/b", streaming=True)(prompt="x"), [*function.map([{"n": 1}])])
    assert_type(function.create(prompt="x"), Prediction)
    assert_type(function.stream(prompt="x"), Iterator[ServerSentEvent])
    found = replicate.search("llama", limit=3)
    assert_type((found.query, found.models[0].model), Tuple[str, Model])
    print(replicate.transform_output("https://x/a.png", client))
    print(replicate.base64_encode_file(io.BytesIO(b"x")).upper())
    print(replicate.ModelVersionIdentifier.parse("a/b:v").version)


def of_models(client: Client) -> None:
    models, versions = client.models, client.models.versions
    model = models.get("a/b")
    assert_type(model, Model)
    assert_type([models.get("a", "b"), models.get(owner="a", name="b")], List[Model])
    assert_type([models.get(model), models.get(key="a/b")], List[Model])
    made = models.create("a", "b", visibility="private", hardware="cpu")
    changed = models.update("a", "b", extra={"novel": 1})
    assert_type([made, models.update("a/b", readme="r"), changed], List[Model])
    pages = [models.list(), models.list(sort_by="x"), models.search("x")]
    assert_type(pages, List[Page[Model]])
    assert_type([models.delete("a/b"), versions.delete("a/b", "v")], List[bool])
    assert_type(models.readme.get("a/b"), str)
    assert_type(models.examples.list("a", "b"), Page[Prediction])
    assert_type([versions.get("a", "b", "v"), versions.get("a/b:v")], List[Version])
    assert_type([versions.get("a/b", "v"), versions.get(model, id="v")], List[Version])
    assert_type(versions.list("a/b", cursor="https://x"), Page[Version])
    assert_type(models.predictions.create(("a", "b"), {}, wait=5), Prediction)
    assert_type((model.id, model.latest_version), Tuple[str, Optional[Version]])
    assert_type(model.default_example, Optional[Prediction])
    assert_type(model.versions.list(), Page[Version])
    assert_type(model.versions.delete(id="v"), bool)
    version = model.versions.get("v")
    assert_type(version, Version)
    print(model.predict(prompt="x", self=1), version.predict(input=1))
    model.reload()
    assert_type(version.create(prompt="x"), Prediction)
    assert_type(version.stream(prompt="x"), Iterator[ServerSentEvent])


def of_predictions(client: Client) -> None:
    predictions, trainings = client.predictions, client.trainings
    prediction = predictions.create("v", {"n": 1})
    assert_type([predictions.get("p"), prediction], List[Prediction])
    prediction = predictions.create(version="v", input={}, stream=True, wait=True)
    prediction = predictions.create(model="a/b", input={}, extra={"novel": 1})
    prediction = predictions.create(deployment=("a", "b"), input={})
    assert_type(predictions.cancel("p"), Prediction)
    day = datetime.datetime.now()
    page = predictions.list(created_after=day, source="web")
    assert_type((page, page[0]), Tuple[Page[Prediction], Prediction])
    assert_type((page.results, page.next), Tuple[List[Prediction], Optional[str]])
    assert_type(page.iter_all(), Iterator[Prediction])
    if page.next is not None:
        print(predictions.list(page.next).previous)
    for models in client.paginate(client.models.list):
        assert_type(models, Page[Model])
    assert_type((prediction.id, prediction.status), Tuple[str, str])
    assert_type((prediction["novel"], prediction.output), Tuple[Any, Any])
    assert_type(prediction.logs, Optional[str])
    if prediction.progress is not None:
        seen = (prediction.progress.percentage, prediction.progress.current)
        assert_type(seen, Tuple[float, int])
    prediction.reload()
    prediction.cancel()
    prediction.wait(timeout=3)
    print([*prediction.output_iterator()])
    assert_type(prediction.stream(use_file_output=False), Iterator[ServerSentEvent])
    training = trainings.create("a/b:v", {"n": 1}, "c/d", webhook="https://h")
    assert_type([trainings.get("t"), training, trainings.cancel("t")], List[Training])
    assert_type((trainings.list()[0].destination), Optional[str])
    training.wait()
    training.reload()
    training.cancel()


def of_the_rest(client: Client) -> None:
    deployments, files, webhooks = client.deployments, client.files, client.webhooks
    deployment = deployments.get("a", "b")
    made = deployments.create("n", "a/b", "v", "cpu", 0, 1, extra={"novel": 1})
    changed = deployments.update("a/b", min_instances=1)
    first = deployments.list()[0]
    found = [deployments.get(name="a/b"), deployment, made, changed, first]
    assert_type(found, List[Deployment])
    assert_type([deployments.delete(deployment), files.delete("f")], List[bool])
    prediction = deployments.predictions.create("a/b", {})
    made_too = deployment.predictions.create({"n": 1}, wait=5)
    assert_type([prediction, made_too], List[Prediction])
    print(deployment.current_release.configuration.hardware)
    file = files.create(pathlib.Path("a.png"), metadata={"n": 1})
    file = files.create(io.BytesIO(b"x"), "x.txt", content_type="text/plain")
    assert_type([files.create("a.png"), files.get("f"), file], List[File])
    assert_type(files.list(), Page[File])
    assert_type(files.download("f", owner="a", expiry=17, signature="s"), bytes)
    collection = client.collections.get("c")
    assert_type([collection, client.collections.list()[0]], List[Collection])
    names = [client.accounts.current().username, client.account.get().username]
    secret = webhooks.default.secret()
    assert_type([client.hardware.list()[0].sku, *names, secret.key], List[str])
    assert_type(webhooks.validate(None, {"webhook-id": "1"}, b"{}", secret), bool)
    webhooks.validate(headers={}, body="{}", secret="whsec_x")


def outputs(output: FileOutput) -> Tuple[str, bytes]:
    assert_type([output.save(), output.save("a.png")], List[pathlib.Path])
    assert_type(output.iter_bytes(1024), Iterator[bytes])
    print(output.url(), output.open().read())
    return output, output.read()


def errors(client: Client) -> Optional[float]:
    try:
        client.run("a/b")
    except replicate.APIError as error:
        print(error.detail or error.title or error.request_id)
        return error.status
    except (replicate.NetworkError, replicate.WebhookError):
        return None
    except ReplicateError as error:
        return error.retry_after
    return None


async def twins_of_running(client: Client, output: FileOutput) -> None:
    assert_type(await replicate.async_run("a/b", {"n": 1}, timeout=3), Any)
    async for event in replicate.async_stream("a/b", {"n": 1}):
        assert_type(event, ServerSentEvent)
    async for event in await client.async_stream("a/b", {"n": 1}):
        assert_type(event, ServerSentEvent)
    async for each in replicate.async_map("a/b", [{"n": 1}], concurrency=500):
        print(each)
    async for page in client.async_paginate(client.models.list):
        assert_type(page, Page[Model])
    print((await replicate.async_search("llama")).query.upper())
    function = client.use("a/b")
    print(await function.async_run(prompt="x"), await function.async_create(n=1))
    async for event in function.async_stream(prompt="x"):
        assert_type(event, ServerSentEvent)
    async for each in function.async_map([{"n": 1}]):
        print(each)
    assert_type([await output.async_read(), await output.aread()], List[bytes])
    assert_type(await output.async_save("a.png"), pathlib.Path)
    (await output.async_open()).close()
    async for chunk in output.async_iter_bytes():
        assert_type(chunk, bytes)


async def twins_of_models(models: replicate.Models) -> None:
    model, other = await models.async_get("a/b"), await models.async_get("a", "b")
    made = await models.async_create("a", "b", visibility="public", hardware="cpu")
    changed = await models.async_update("a/b", readme="r")
    assert_type([model, other, made, changed], List[Model])
    page = await models.async_list(sort_by="x")
    assert_type([page, await models.async_search("x")], List[Page[Model]])
    gone = await models.versions.async_delete("a/b", "v")
    also = await model.versions.async_delete("v")
    assert_type([await models.async_delete("a/b"), gone, also], List[bool])
    versions = [await models.versions.async_list("a/b")]
    assert_type([*versions, await model.versions.async_list()], List[Page[Version]])
    version = await models.versions.async_get("a/b", "v")
    assert_type([version, await model.versions.async_get("v")], List[Version])
    assert_type(await models.readme.async_get("a/b"), str)
    assert_type(await models.examples.async_list("a/b"), Page[Prediction])
    prediction = await models.predictions.async_create("a/b", {})
    assert_type([prediction, await version.async_create(n=1)], List[Prediction])
    print(await model.async_predict(n=1), await version.async_predict(n=1))
    await model.async_reload()
    async for event in version.async_stream(prompt="x"):
        assert_type(event, ServerSentEvent)


async def twins_of_the_rest(client: Client) -> None:
    predictions, trainings = client.predictions, client.trainings
    prediction = await predictions.async_get("p")
    made = await predictions.async_create("v", {}, wait=5)
    canceled = await predictions.async_cancel("p")
    assert_type([prediction, made, canceled], List[Prediction])
    page = await predictions.async_list(source="web")
    assert_type(page, Page[Prediction])
    async for each in page.async_iter_all():
        assert_type(each, Prediction)
    await prediction.async_reload()
    await prediction.async_wait(timeout=3)
    await prediction.async_cancel()
    async for item in prediction.async_output_iterator():
        print(item)
    async for event in prediction.async_stream():
        assert_type(event, ServerSentEvent)
    training = await trainings.async_create("a/b:v", {}, "c/d")
    ended = [await trainings.async_cancel("t"), await trainings.async_get("t")]
    assert_type([training, *ended], List[Training])
    assert_type(await trainings.async_list(), Page[Training])
    deployments, files = client.deployments, client.files
    deployment = await deployments.async_get("a/b")
    launched = await deployments.async_create("n", "a/b", "v", "cpu", 0, 1)
    changed = await deployments.async_update("a", "b", hardware="x")
    first = (await deployments.async_list())[0]
    assert_type([deployment, launched, changed, first], List[Deployment])
    gone = await deployments.async_delete("a", "b")
    assert_type([gone, await files.async_delete("f")], List[bool])
    prediction = await deployments.predictions.async_create("a/b")
    also = await deployment.predictions.async_create({"n": 1})
    assert_type([prediction, also], List[Prediction])
    file, other = await files.async_create(b"x", "x.txt"), await files.async_get("f")
    assert_type([file, other, (await files.async_list())[0]], List[File])
    data = await files.async_download("f", owner="a", expiry="1", signature="s")
    assert_type(data, bytes)
    collection = await client.collections.async_get("c")
    found = await client.collections.async_list()
    assert_type([collection, found[0]], List[Collection])
    account = await client.accounts.async_current()
    names = [account.username, (await client.account.async_get()).username]
    secret = await client.webhooks.default.async_secret()
    skus = [each.sku for each in await client.hardware.async_list()]
    assert_type([*names, *skus, secret.key], List[str])


# What follows runs against the stand-in as well.


def greet(client: Client, name: str) -> str:
    try:
        return str(client.run("replicate/hello-world", {"text": name}, timeout=60.0))
    except (ModelError, PredictionTimeout) as error:
        return f"{error.prediction}: {error}"


def follow(version: Version) -> Optional[str]:
    prediction = replicate.predictions.create(version=version, input={"text": "Alice"})
    prediction.wait(timeout=60)
    assert dict(prediction)["id"] == prediction.id
    return prediction.status


async def several(prompts: List[str]) -> List[Any]:
    async for event in replicate.async_stream("replicate/hello-world", {"text": "x"}):
        print(event.event, event.data, end="")
    runs = [replicate.async_run("replicate/hello-world", {"text": t}) for t in prompts]
    return [*await asyncio.gather(*runs)]


greeting = greet(Client(timeout=30, max_retries=2, headers={"X-App": "typed"}), "Alice")
state = follow(replicate.models.get("replicate/hello-world").versions.list()[0])
names = [{"text": name} for name in "AB"]
greetings = list(replicate.map("replicate/hello-world", names, concurrency=2))
pictures = replicate.run("black-forest-labs/flux-schnell", {"prompt": "a fox"})
picture: pathlib.Path = pictures[0].save("typed.png")
together = asyncio.run(several(["C", "D"]))
first = [model.id for model in next(iter(replicate.paginate(replicate.models.list)))]
exit_code: int = replicate.main(["account", "get"])
"""

# What both must reject: each line that is marked BAD, and no other.
WRONG_USER_CODE = """\
# pyright: strict
from __future__ import annotations

import replicate
from replicate import Client, FileOutput, Prediction


def running(client: Client) -> None:
    client.rnu("a/b")  # BAD
    client.async_rnu("a/b")  # BAD
    replicate.rnu("a/b")  # BAD
    client.run()  # BAD
    client.run("a/b", {}, novel=1)  # BAD
    client.run("a/b", {}, wiat=5)  # BAD
    client.run(5)  # BAD
    client.run("a/b", "prompt")  # BAD
    client.run("a/b", {}, timeout="soon")  # BAD
    client.run("a/b", {}, webhook=5)  # BAD
    client.run("a/b", {}, on_update=5)  # BAD
    client.run("a/b", {}, extra=[1])  # BAD
    client.stream("a/b", {}, novel=1)  # BAD
    client.map("a/b")  # BAD
    client.map("a/b", [{}], concurency=5)  # BAD
    client.use()  # BAD
    client.use("a/b").craete(n=1)  # BAD
    client.search(5)  # BAD
    client.search("x", limit="3")  # BAD
    client.paginate(client.accounts.current)  # BAD
    Client(api_tokne="x")  # BAD
    Client(max_retries="5")  # BAD


def namespaces(client: Client) -> None:
    client.modles.list()  # BAD
    client.predictions.gte("p")  # BAD
    client.predictions.get()  # BAD
    client.predictions.get(5)  # BAD
    client.predictions.get("p", 1)  # BAD
    client.predictions.get(prediction_id="p")  # BAD
    client.predictions.list(novel=1)  # BAD
    client.predictions.list(None)  # BAD
    client.predictions.list(created_after=5)  # BAD
    client.predictions.create("v", {}, novel=1)  # BAD
    client.predictions.create(5, {})  # BAD
    client.predictions.create("v", [1])  # BAD
    client.predictions.create(model=5, input={})  # BAD
    client.predictions.cancle("p")  # BAD
    client.models.get()  # BAD
    client.models.get(5)  # BAD
    client.models.get("a", "b", "c")  # BAD
    client.models.get(model_owner="a", model_name="b")  # BAD
    client.models.get(client.predictions.get("p"))  # BAD
    client.models.list(sort_yb="x")  # BAD
    client.models.list(sort_by=5)  # BAD
    client.models.search()  # BAD
    client.models.search(5)  # BAD
    client.models.create("a", "b")  # BAD
    client.models.create("a", "b", visibility="private", hardware=5)  # BAD
    client.models.update("a/b", novel="x")  # BAD
    client.models.update("a/b", description=5)  # BAD
    client.models.delete()  # BAD
    client.models.readme.gte("a/b")  # BAD
    client.models.versions.get()  # BAD
    client.models.versions.get("a/b", 5)  # BAD
    client.models.versions.list()  # BAD
    client.models.examples.list("a/b", novel=1)  # BAD
    client.models.predictions.create()  # BAD
    client.models.predictions.create("a/b", {}, 5)  # BAD
    client.models.predictions.create("a/b", {}, novel=1)  # BAD
    client.trainings.create("a/b:v", {})  # BAD
    client.trainings.create("a/b:v", {}, "c/d", novel=1)  # BAD
    client.trainings.get(5)  # BAD
    client.deployments.get()  # BAD
    client.deployments.create("n", "a/b", "v", "cpu", 0)  # BAD
    client.deployments.create("n", "a/b", "v", "cpu", "0", 1)  # BAD
    client.deployments.update("a/b", min_instance=1)  # BAD
    client.deployments.update("a/b", min_instances="1")  # BAD
    client.deployments.delete(5)  # BAD
    client.deployments.predictions.create("a/b", {}, novel=1)  # BAD
    client.files.create()  # BAD
    client.files.create(5)  # BAD
    client.files.create("a.png", novel=1)  # BAD
    client.files.download("f")  # BAD
    client.collections.get(5)  # BAD
    client.hardware.get("cpu")  # BAD
    client.accounts.current(5)  # BAD
    client.webhooks.default.secrte()  # BAD
    client.webhooks.validate(body=5)  # BAD


def resources(client: Client, prediction: Prediction, output: FileOutput) -> None:
    prediction.relaod()  # BAD
    prediction.staus  # BAD
    prediction.wait(timeout="3")  # BAD
    prediction.wait(3, 4)  # BAD
    prediction.status.novel  # BAD
    prediction.stream(novel=1)  # BAD
    prediction.async_wiat()  # BAD
    prediction.logs.splitlines()  # BAD
    client.models.get("a/b").latest_version.id  # BAD
    client.models.get("a/b").versions.gte("v")  # BAD
    client.models.get("a/b").versions.get()  # BAD
    client.models.list()[0].staus  # BAD
    client.models.list().itre_all()  # BAD
    client.predictions.list("x", "y")  # BAD
    client.deployments.get("a/b").predictions.create({}, novel=1)  # BAD
    output.svae()  # BAD
    output.save(5)  # BAD
    output.iter_bytes("x")  # BAD
    number: int = client.predictions.get("p")  # BAD
    text: str = client.files.delete("f")  # BAD
    print(number, text)


async def twins(client: Client, prediction: Prediction, output: FileOutput) -> None:
    client.predictions.async_get("p").status  # BAD
    client.models.async_list().next  # BAD
    output.async_read().decode()  # BAD
    await client.predictions.get("p")  # BAD
    await client.models.list()  # BAD
    await prediction.wait()  # BAD
    await output.read()  # BAD
    await client.predictions.async_gte("p")  # BAD
    await client.predictions.async_get()  # BAD
    await client.predictions.async_get(5)  # BAD
    await client.predictions.async_list(novel=1)  # BAD
    await client.predictions.async_create("v", {}, novel=1)  # BAD
    await client.models.async_get()  # BAD
    await client.models.async_list(sort_yb="x")  # BAD
    await client.models.versions.async_get("a/b", 5)  # BAD
    await client.files.async_create()  # BAD
    await client.async_run("a/b", {}, novel=1)  # BAD
    await prediction.async_wait(timeout="3")  # BAD
    await (await client.predictions.async_get("p"))  # BAD
    for _ in client.async_stream("a/b"):  # BAD
        pass
    async for _ in client.stream("a/b"):  # BAD
        pass
    for _ in client.async_paginate(client.models.list):  # BAD
        pass
    for _ in client.predictions.list().async_iter_all():  # BAD
        pass
    for _ in prediction.async_output_iterator():  # BAD
        pass
"""


def text_of(name):
    with open(os.path.join(HERE, name), encoding="utf-8", newline="") as file:
        return file.read()


def readme_blocks():
    """The fenced blocks of README.md: (line, heading above it, language, text)."""
    heading, start, language, block = "", 0, "", []
    for number, line in enumerate(text_of("README.md").splitlines(), 1):
        if line.startswith("```") and not start:
            start, language, block = number, line[3:], []
        elif line.startswith("```"):
            yield start, heading, language, "\n".join(block) + "\n"
            start = 0
        elif start:
            block.append(line)
        elif line.startswith("## "):
            heading = line[3:]


def readme_section(heading):
    return text_of("README.md").partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@unittest.skipUnless(
    os.path.exists(os.path.join(HERE, "README.md")), "no README.md here"
)
class Readme(Case):
    """The manual is true: its blocks run, and what it says can be counted."""

    def setUp(self):
        super().setUp()
        text = {"text": {"type": "string"}}
        self.api.cog.predict = lambda given: "hello " + given["text"]
        self.api.cog.schema = schema(text, COG_TEXT, ["text"])
        self.api.cog.streaming = False
        self.answer("POST", "/your-webhook", Reply(), times=False)
        self.use_default_client()
        os.environ.update(
            REPLICATE_POLL_INTERVAL="0.02",
            SOME_OTHER_REPLICATE_API_TOKEN=self.api.token,
            REPLICATE_WEBHOOK_SECRET=self.api.webhook_secret,
        )
        self.addCleanup(os.chdir, os.getcwd())
        self.file("mystery.jpg", b"\xff\xd8\xff\xe0" + bytes(60))
        os.chdir(str(self.folder))

    def as_here(self, text):
        """A block as it runs here: a Cog server and a webhook have other addresses."""
        hook = self.api.url + "/your-webhook"
        text = text.replace("https://example.com/your-webhook", hook)
        return text.replace("http://127.0.0.1:5000", self.api.url)

    def as_written(self, text):
        """What a block printed as the README has it, where files are at Replicate's."""
        return text.replace(self.api.url + "/files-out/", "https://replicate.delivery/")

    def run_block(self, line, text, names):
        """Run one Python block; a session is compared with what it shows."""
        where, text = f"README.md, line {line}", self.as_here(text)
        if not text.startswith(">>>"):
            with contextlib.redirect_stdout(io.StringIO()):
                exec(compile("\n" * line + text, "README.md", "exec"), names)
            return
        session = doctest.DocTestParser().get_doctest(
            text, {}, where, "README.md", line
        )
        session.globs = names
        self.assertTrue(session.examples, where)
        written, report = self.as_written, []

        class Checker(doctest.OutputChecker):
            def check_output(self, want, got, flags):
                return super().check_output(want, written(got), flags)

        runner = doctest.DocTestRunner(Checker(), False, doctest.ELLIPSIS)
        failed = runner.run(session, out=report.append, clear_globs=False).failed
        self.assertFalse(failed, "".join(report))

    def test_every_python_block_runs_as_it_stands_and_shows_what_it_prints(self):
        pillow, sections, blocks = types.ModuleType("PIL"), {}, 0
        opened = lambda file: self.assertEqual(file.read(4), b"\x89PNG")  # noqa: E731
        pillow.Image = types.SimpleNamespace(open=opened)
        with mock.patch.dict(sys.modules, PIL=pillow):
            for line, heading, language, text in readme_blocks():
                if language == "python":  # a section can be read alone
                    with self.subTest(section=heading, line=line):
                        names = sections.setdefault(heading, {"__name__": "__main__"})
                        self.run_block(line, text, names)
                    blocks += 1
        self.assertGreaterEqual(blocks, 25)
        names = "output_0.webp file_0.png file_2.png out-0.png my_output.png large.png"
        for name in names.split():
            with open(name, "rb") as file:
                self.assertTrue(file.read().startswith(b"\x89PNG"), name)
        with self.subTest("what the server received"):
            ran = {state["model"] for state in self.api.predictions.values()}
            named = {
                model for model in self.api.catalogue if model in text_of("README.md")
            }
            trained = {"stability-ai/sdxl", "acme/hot-dog-detector"}
            self.assertEqual(named - ran - trained, set())
            states = [state["status"] for state in self.api.trainings.values()]
            self.assertEqual((states, self.api.running()), (["succeeded"], []))
            self.assert_seen(1, "PUT", "/predictions/[^/]+")
        with self.subTest("the webhook came, and is known from a forged one"):
            self.until(lambda: self.seen("POST", "/your-webhook"))
            hook = self.seen("POST", "/your-webhook")[0]
            self.receive(sections["Webhooks"]["handler"], hook)
        with self.subTest("the WSGI application sends the file as it is"):
            application, started = sections["Files out"]["application"], []
            body = application({}, lambda *head: started.append(head))
            self.assertTrue(b"".join(body).startswith(b"\x89PNG"))
            self.assertEqual(started, [("200 OK", [("Content-Type", "image/webp")])])

    def receive(self, handler, seen):
        """Hand a delivery to the README's Lambda handler, and then a forged one."""
        for body, encoded, status in (
            (seen.body, True, 200),
            (seen.body, False, 200),
            (seen.body + b" ", False, 401),
            (b"", False, 401),
        ):
            event = lambda_event(body, seen.headers, encoded)
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                self.assertEqual(handler(event, None)["statusCode"], status)
            self.assertEqual("succeeded" in printed.getvalue(), status == 200)

    @unittest.skipUnless(POSIX and shutil.which("sh"), "commands for a POSIX shell")
    def test_every_command_shown_with_its_output_prints_that(self):
        shutil.copy(os.path.join(HERE, os.path.basename(__file__)), "test_replicate.py")
        self.copies("replicate.py")
        os.environ.update(PYTHON=sys.executable, PYTHONIOENCODING="utf-8")
        checker, commands, blocks = doctest.OutputChecker(), 0, []
        pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE}
        pipes["stderr"] = subprocess.STDOUT
        for line, _, language, text in readme_blocks():
            if language == "console":
                parts = ("\n" + text).split("\n$ ")[1:]
                shown = [part.partition("\n") for part in parts]
                script = 'python() { "$PYTHON" "$@"; }\n'
                script += "".join(f"echo '#next#'\n{part[0]}\n" for part in shown)
                process = subprocess.Popen(["sh", "-c", script], **pipes)
                self.addCleanup(self.end, process)
                blocks.append((line, shown, process))
        for line, shown, process in blocks:
            out = process.communicate(timeout=PATIENCE)[0].decode("utf-8")
            printed = self.as_written(out).split("#next#\n")[1:]
            self.assertEqual(len(printed), len(shown), out)
            for (command, _, want), got in zip(shown, printed):
                with self.subTest(command=command, line=line):
                    commands += 1
                    want = want.rstrip("\n") + "\n" if want.strip() else ""
                    fits = checker.check_output(want, got, doctest.ELLIPSIS)
                    self.assertTrue(fits, f"it shows\n{want}\nand it printed\n{got}")
        self.assertGreaterEqual(commands, 7)
        self.assertTrue(os.path.exists(os.path.join("pictures", "out-1.webp")))

    def test_it_opens_with_a_session_and_every_block_is_of_a_kind_that_is_run(self):
        lines = text_of("README.md").splitlines()
        self.assertIn(">>> replicate.run(", "\n".join(lines[:10]))
        blocks = list(readme_blocks())
        self.assertGreater(len(blocks), 30)
        kinds = {language for _, _, language, _ in blocks}
        self.assertEqual(kinds - {"python", "console", "sh", "text"}, set())

    @unittest.skipUnless(os.path.exists(os.path.join(HERE, ".ci", "run")), "no .ci/run")
    def test_the_commands_for_developers_are_those_that_ci_runs(self):
        script, commands = text_of(os.path.join(".ci", "run")), []
        for _, heading, language, text in readme_blocks():
            if (heading, language) == ("Develop", "sh"):
                commands += text.splitlines()
        self.assertIn("bash .ci/run", commands)
        for command in commands:
            plain = command.replace("python ", "").replace("bash ", "")
            self.assertIn(plain, script)

    def test_every_link_within_it_leads_to_a_heading(self):
        text = text_of("README.md")
        headings = {
            re.sub(r"[^\w -]", "", line[3:].lower()).replace(" ", "-")
            for line in text.splitlines()
            if line.startswith("## ")
        }
        links = set(re.findall(r"\]\(#([^)]+)\)", text))
        self.assertGreater(len(links), 15)
        self.assertEqual(links - headings, set())
        self.assertEqual(headings - links, set(), "each is in the list at the top")

    def test_its_tables_and_lists_name_what_there_is(self):
        parameters = inspect.signature(replicate.run).parameters.values()
        options = [each.name for each in parameters if each.kind is each.KEYWORD_ONLY]
        errors = [
            name
            for name, thing in vars(replicate).items()
            if inspect.isclass(thing)
            and issubclass(thing, ReplicateError)
            and thing.__name__ == name
            and not name.startswith("_")
        ]
        variables = set(re.findall("['\"](REPLICATE_[A-Z_]+)['\"]", text_of(MODULE)))
        for heading, words in (
            ("Run a model", options),
            ("Errors", errors),
            ("Security", variables),
            ("Command line", ["0", "1", "2", "3", "130"]),
        ):
            self.assertTrue(words, heading)
            for word in words:
                with self.subTest(section=heading, word=word):
                    section = readme_section(heading)
                    self.assertRegex(section, r"\b" + re.escape(word) + r"\b")

    def test_it_says_which_pythons_it_is_for_and_no_version(self):
        text = text_of("README.md")
        self.assertIn("needs Python 3.8 or later", text)
        self.assertNotIn(replicate.__version__, text, "it would go stale")

    def test_the_speed_table_has_the_rows_that_bench_prints(self):
        table = readme_section("Speed").partition("```text\n")[2].partition("```")[0]
        rows = [re.split(r" {2,}", row)[0] for row in table.splitlines()[1:]]
        self.assertGreaterEqual(len(rows), 3)
        for row in rows:
            self.assertIn(row, inspect.getsource(_measure))

    def test_the_program_that_the_type_checkers_read_also_runs(self):
        names = {"__name__": "typed_sample"}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(TYPED_USER_CODE, "typed_sample.py", "exec"), names)
        found = [names[n] for n in ("greeting", "state", "exit_code")]
        self.assertEqual(found, ["hello Alice", "succeeded", 0])
        self.assertEqual(names["greetings"], ["hello A", "hello B"])
        self.assertEqual(names["together"], ["hello C", "hello D"])
        self.assertEqual((names["picture"].name, len(names["first"])), ("typed.png", 3))
        self.assertIn('"username": "acme"', printed.getvalue())


PROMISED = """
run stream map use search paginate async_run async_stream main Client default_client
models predictions trainings deployments files collections hardware accounts account
webhooks Prediction Model Version Training Deployment File Page FileOutput
ServerSentEvent ReplicateError ReplicateException APIError NetworkError ModelError
PredictionTimeout WebhookError
"""


@functools.lru_cache(None)
def tree_of(path):
    return ast.parse(text_of(os.path.abspath(os.path.join(HERE, path))))


def statements(node):
    """The statements in a tree, without a look at their expressions."""
    for child in ast.iter_child_nodes(node):
        if not isinstance(child, ast.expr):
            yield child
            yield from statements(child)


class Source(Case):
    """What a reviewer would look for in replicate.py, and in this file."""

    @each(MODULE, __file__)
    def test_the_contents_of_the_docstring_are_the_banners(self, path):
        text = text_of(os.path.abspath(os.path.join(HERE, path)))
        docstring = ast.get_docstring(tree_of(path))
        contents = " ".join(docstring.partition("Contents:")[2].split())
        titles = [title.strip(" .") for title in re.split(r", | - |; ", contents)]
        banner = r"(?m)^# -{20,}\n# (.+)\n# -{20,}$"
        banners = re.findall(banner, text)
        self.assertGreater(len(banners), 8)
        self.assertEqual(", ".join(titles), ", ".join(banners))

    def test_all_names_what_is_promised_and_nothing_that_is_not_there(self):
        known = replicate.__all__
        self.assertEqual(set(PROMISED.split()) - set(known), set())
        self.assertEqual(len(known), len(set(known)))
        names = {}
        exec("from replicate import *", names)
        self.assertEqual(set(names) - {"__builtins__"}, set(known))
        self.assertEqual([name for name in known if name.startswith("_")], [])

    def test_every_public_name_class_and_method_has_a_docstring(self):
        bare = [
            n for n in replicate.__all__ if not inspect.getdoc(getattr(replicate, n))
        ]
        classes = [
            (name, kind)
            for name, kind in vars(replicate).items()
            if inspect.isclass(kind)
            and kind.__module__ == replicate.__name__
            and not name.startswith("_")
        ]
        self.assertGreater(len(classes), 20)
        for name, kind in classes:
            if not kind.__doc__:
                bare.append(name)
            for attribute, thing in vars(kind).items():
                plain = getattr(thing, "__func__", thing)
                known = inspect.isfunction(plain) or isinstance(thing, property)
                if known and not attribute.startswith("_") and not plain.__doc__:
                    bare.append(f"{name}.{attribute}")
        self.assertEqual(bare, [])

    def test_help_shows_every_public_name_and_no_private_one(self):
        manual = pydoc.plain(pydoc.render_doc(replicate))
        self.assertEqual([n for n in replicate.__all__ if n not in manual], [])
        self.assertEqual(re.findall(r"(?m)^    class _.*", manual), [])
        words = " ".join(replicate.__doc__.split())[:60]
        self.assertIn(words, " ".join(manual.split()))

    @unittest.skipIf(sys.version_info < (3, 11), "for the list of standard modules")
    @each((MODULE, {"typing_extensions"}), (__file__, {"replicate"}))  # for checkers
    def test_both_files_import_the_standard_library_alone(self, path, ours):
        imported = set()
        for node in statements(tree_of(path)):
            if isinstance(node, ast.Import):
                imported |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom):
                imported.add(node.module)
        self.assertIn("json", imported)
        names = {name.partition(".")[0] for name in imported}
        self.assertEqual(names - sys.stdlib_module_names - ours, set())

    def test_it_evaluates_and_executes_nothing(self):
        text = text_of(MODULE)
        nodes = ast.walk(tree_of(MODULE))
        called = {
            getattr(node.func, "id", "") for node in nodes if hasattr(node, "func")
        }
        self.assertIn("len", called)
        self.assertEqual(called & {"eval", "exec", "compile", "__import__"}, set())
        evil = r"import (subprocess|pickle|marshal|ctypes)|os\.(system|popen|exec)"
        self.assertNotRegex(text, evil)

    def test_importing_it_loads_little_more_than_urllib_and_json(self):
        code = """if True:
            import json, sys, urllib.request
            before = set(sys.modules)
            import replicate
            print(" ".join(name for name in set(sys.modules) - before))"""
        _, printed, _ = self.result(self.python("-S", "-c", code))
        self.assertIn("replicate", printed.split())
        loaded = {name.partition(".")[0] for name in printed.split()}
        allowed = "replicate __future__ atexit contextvars _contextvars _immutables_map"
        self.assertEqual(loaded - {"threading", *allowed.split()}, set())

    def test_importing_it_opens_no_file_and_no_socket_and_starts_nothing(self):
        code = r"""if True:
            import sys
            seen = []
            loads = (".py", ".pyc", ".so", ".pyd", ".dll", ".zip", ".cfg")
            quiet = ("os.listdir", "os.scandir", "os.stat")
            kinds = ("open", "socket.", "subprocess.", "urllib.", "os.")
            def note(event, arguments):
                path = str(arguments[0]) if arguments else ""
                loading = event == "open" and path.endswith(loads)
                if event.startswith(kinds) and event not in quiet and not loading:
                    seen.append((event, path))
            sys.addaudithook(note)
            import replicate, threading
            print(seen, threading.active_count())
            try:
                open("no-such-file")
            except OSError:
                print(seen)"""
        _, printed, _ = self.result(self.python("-B", "-S", "-c", code))
        lines = ["[] 1", "[('open', 'no-such-file')]"]
        self.assertEqual(printed.splitlines(), lines)

    def test_the_version_and_the_licence_stand_where_a_copy_keeps_them(self):
        text, version = text_of(MODULE), replicate.__version__
        self.assertRegex(version, r"^\d+\.\d+\.\d+$")
        self.assertEqual(len(re.findall(r"(?m)^__version__ = ", text)), 1)
        self.assertEqual(re.findall(r"\d+\.\d+\.\d+", replicate.__doc__), [version])
        self.assertEqual(text.count(version), 2)
        self.assertTrue(text.startswith("# SPDX-License-Identifier: MIT\n"))

    @unittest.skipUnless(
        importlib.util.find_spec("tomllib")
        and os.path.exists(os.path.join(HERE, "pyproject.toml")),
        "tomllib came with Python 3.11",
    )
    def test_pyproject_builds_one_module_without_dependencies(self):
        import tomllib

        data = tomllib.loads(text_of("pyproject.toml"))
        project, pins = data["project"], data["dependency-groups"]["dev"]
        self.assertEqual(project["name"], "replicate-onefile")
        self.assertEqual(project["dependencies"], [])
        self.assertEqual(project["requires-python"], ">=3.8")
        self.assertEqual(project["scripts"], {"replicate": "replicate:main"})
        self.assertIn("version", project["dynamic"])
        self.assertNotIn("optional-dependencies", project)
        text = re.sub(r"==[\w.]+", "", text_of("pyproject.toml"))
        self.assertNotIn(replicate.__version__, text)
        self.assertGreater(len(pins), 5)
        for pin in pins:
            self.assertRegex(pin, r"^[\w-]+==[\w.]+$")
        hatchling = [pin for pin in pins if pin.startswith("hatchling")]
        self.assertEqual(data["build-system"]["requires"], hatchling)


# This block stays the last of the file: test classes go above it.
if __name__ == "__main__":
    sys.exit(command_line(sys.argv[1:]))
