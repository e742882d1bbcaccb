# SPDX-License-Identifier: MIT
"""Tests for replicate.py, and the stand-in for the Replicate API that they run against.

Standard library only. Everything goes over real sockets to a server on loopback, which keeps to the
OpenAPI file of the API and to answers that were recorded, never to what the client happens to send.

    python -m unittest                        run the tests
    python test_replicate.py serve            serve the stand-in, print the two variables to export
    python test_replicate.py run MODEL ...    the command line against the stand-in: no token, no network
    python test_replicate.py bench            import time, cold run and cost per request

Contents: requests and replies - models - runs in time - the API - self-hosted models (Cog) -
the server - the base class of the tests - command line
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
import gc
import gzip
import hashlib
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
import os
import pathlib
import pickle
import pydoc
import queue
import random
import re
import runpy
import selectors
import shutil
import signal
import socket
import ssl
import statistics
import struct
import subprocess
import sys
import tarfile
import tempfile
import textwrap
import threading
import time
import traceback
import types
import unittest
import urllib.parse
import warnings
import wave
import zipfile
import zlib
from collections import namedtuple
from unittest import mock
from urllib.parse import parse_qs, unquote, unquote_to_bytes, urlencode, urlsplit
from urllib.request import urlretrieve

import replicate

# ---------------------------------------------------------------------------------------------
# Requests and replies
# ---------------------------------------------------------------------------------------------


class Seen:
    """One request as the server received it."""

    def __init__(self, method, target, headers, body, complete, connection):
        self.method, self.target, self.headers = method, target, headers
        self.path, _, query = target.partition("?")
        self.query = parse_qs(query, keep_blank_values=True)
        self.body, self.complete, self.connection = body, complete, connection
        self.at = time.monotonic()

    @property
    def json(self):
        return json.loads(self.body.decode("utf-8"))

    def __repr__(self):
        return f"<Seen {self.method} {self.target}, {len(self.body)} bytes, connection {self.connection}>"


class Reply:
    """What to put on the wire: an answer, or any fault that a network can produce.

    json, body     the content; pieces: an iterable of bytes instead, sent as one chunk each
    raw            bytes written in place of a whole answer; then the connection is closed
    delay, pause   seconds before the first byte; between pieces (of a body: between single bytes, head too)
    cut            the connection ends after so many bytes of the body, whatever the head promised
    close, reset   "Connection: close"; a TCP reset instead of the answer (with cut: after it)
    interim        codes of 1xx heads sent first; after: surplus bytes behind the answer
    """

    done = None  # called once the reply has been sent, or could not be

    def __init__(self, status=200, json=None, body=None, headers=None, *, raw=None, pieces=None, delay=0.0,
                 pause=0.0, cut=None, close=False, reset=False, interim=(), after=None):
        self.status, self.raw, self.pieces, self.delay, self.pause = status, raw, pieces, delay, pause
        self.cut, self.close, self.reset, self.interim, self.after = cut, close, reset, interim, after
        self.headers = dict(headers or {})
        self.is_json = body is None and raw is None and pieces is None and status not in (204, 304)
        self.body = _dump(json) if self.is_json else body or b""
        if self.is_json:
            kind = "application/problem+json" if status >= 400 else "application/json"
            self.default("Content-Type", kind)

    @classmethod
    def problem(cls, status, detail, **more):
        """An error as the API words it."""
        title = more.pop("title", http.client.responses.get(status, "Error"))
        headers = more.pop("headers", None)
        return cls(status, dict({"title": title, "detail": detail, "status": status}, **more), headers=headers)

    @classmethod
    def throttled(cls, seconds):
        """A 429 that tells the pause in its text, in ratelimit-reset and in Retry-After."""
        detail = f"Request was throttled. Your rate limit resets in ~{seconds}s."
        limits = {"Retry-After": str(seconds), "ratelimit-remaining": "0", "ratelimit-reset": str(seconds)}
        return cls(429, {"detail": detail, "status": 429}, headers=limits)

    def default(self, name, value):
        if name.lower() not in [n.lower() for n in self.headers]:
            self.headers[name] = value

    def head(self, **more):
        lines = [f"HTTP/1.1 {self.status} {http.client.responses.get(self.status, '')}"]
        lines += [f"{name}: {value}" for name, value in dict(self.headers, **more).items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


class Problem(Exception):
    """Raised by an operation to answer with an error."""

    def __init__(self, status, detail, **more):
        super().__init__(detail)
        self.reply = Reply.problem(status, detail, **more)


TEXT = {"Content-Type": "text/plain; charset=utf-8"}


def _dump(value):
    return json.dumps(value, ensure_ascii=False).encode("utf-8")


def _time(seconds, digits=6):
    """An RFC 3339 time; the API writes 3 to 9 digits of a second."""
    fraction = ("%.9f" % (seconds % 1))[2:2 + digits]
    return time.strftime("%Y-%m-%dT%H:%M:%S.", time.gmtime(seconds)) + fraction + "Z"


def _parse_time(text):
    """Seconds since the epoch of an RFC 3339 time with any number of digits."""
    found = re.fullmatch(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(\.\d+)?(?:Z|([+-])(\d\d):(\d\d))", text)
    if not found:
        raise Problem(400, f"Enter a valid date/time, not {text}")
    moment = calendar.timegm(time.strptime(found.group(1).replace(" ", "T"), "%Y-%m-%dT%H:%M:%S"))
    offset = (int(found.group(4)) * 3600 + int(found.group(5)) * 60) if found.group(3) else 0
    return moment + float(found.group(2) or 0) - (offset if found.group(3) == "+" else -offset)


def _new_id():
    return base64.b32encode(os.urandom(16)).decode("ascii").rstrip("=").lower()


def _server_sent(event, data, identity=None):
    """One event; only CR and LF end a line, so a U+2028 stays as it is."""
    lines = ["event: " + event] + (["id: " + identity] if identity else [])
    lines += ["data: " + line for line in re.split("\r\n|\r|\n", data)]
    return ("\n".join(lines) + "\n\n").encode("utf-8")


# ---------------------------------------------------------------------------------------------
# Models: schemas as real ones are written, and what a run of each will do
# ---------------------------------------------------------------------------------------------

TOKENS = ("Hel", "lo", ", w\u00f6rld", " \u2014\n", "one\u2028line", " \u65e5\u672c\u8a9e", " \U0001f642",
          " {\"json\": 1}", "\n\n", " https://example.com/a.png\n", "  two  ", "end.")
ITERATOR = {"type": "array", "items": {"type": "string"}, "title": "Output",
            "x-cog-array-type": "iterator", "x-cog-array-display": "concatenate"}
FILES = {"type": "array", "items": {"type": "string", "format": "uri"}, "title": "Output"}
FILE = {"type": "string", "format": "uri", "title": "Output"}


def schema(inputs, output, required=(), choices=None, streaming=False):
    """A version's openapi_schema: a choice is an allOf with a $ref, beside Input and Output."""
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
        schemas[name] = {"enum": list(members), "type": kind, "title": name, "description": "An enumeration."}
    request = {"type": "object", "title": "PredictionRequest",
               "properties": {"input": {"$ref": "#/components/schemas/Input"}}}
    schemas["PredictionRequest"] = request
    post = {"summary": "Predict", "operationId": "predict_predictions_post"}
    if streaming:
        post["x-cog-streaming"] = True
    return {"openapi": "3.0.2", "info": {"title": "Cog", "version": "0.1.0"},
            "paths": {"/predictions": {"post": post}}, "components": {"schemas": schemas}}


JSON_TYPES = {"string": (str,), "integer": (int,), "number": (int, float), "boolean": (bool,), "array": (list,),
              "object": (dict,)}


def _has_type(value, kind):
    """Whether a JSON value is of a schema's type; true is no number."""
    return isinstance(value, JSON_TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def input_faults(openapi, given):
    """What is wrong with an input: (name, kind, words), unknown names being none of it."""
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
            yield name, "enum", "must be one of " + ", ".join(map(json.dumps, spec["enum"]))
        elif "minimum" in spec and value < spec["minimum"]:
            yield name, "number_gte", "must be >= " + str(spec["minimum"])
        elif "maximum" in spec and value > spec["maximum"]:
            yield name, "number_lte", "must be <= " + str(spec["maximum"])


def png(width, height, seed):
    """A whole PNG file in one colour."""
    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    row = b"\0" + hashlib.sha256(seed.encode("utf-8")).digest()[:3] * width
    return (b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
            + chunk(b"IDAT", zlib.compress(row * height, 1)) + chunk(b"IEND", b""))


def bars(total):
    """Log lines as tqdm writes them."""
    for done in range(total + 1):
        share = done / total
        bar = ("\u2588" * int(10 * share) + ("\u258c" if 10 * share % 1 else "")).ljust(10)
        left = f"00:{int((total - done) / 8.1):02d}, 8.1it/s" if done else "?, ?it/s"
        yield f"{int(100 * share):3d}%|{bar}| {done}/{total} [00:{done // 8:02d}<{left}]\n"


class Plan:
    """What one run will do, in the model's own seconds: logs and items come evenly spread over them."""

    def __init__(self, output=None, *, start=0.02, seconds=0.1, logs=(), items=None, error=None, files=None,
                 early=False):
        self.output = items if items is not None else output
        self.start, self.seconds, self.error, self.grows = start, seconds, error, items is not None
        self.files = files or {}
        self.early = early  # a held request gets the output, as data: URIs, while the run still counts as processing
        events = self._spread("logs", list(logs)) + self._spread("output", list(items or ()))
        self.events = sorted(events, key=lambda event: event[0])

    def _spread(self, kind, values):
        step = self.seconds / (len(values) + 1)
        return [(self.start + step * (number + 1), kind, value) for number, value in enumerate(values)]

    @property
    def total(self):
        return self.start + self.seconds


def plan_hello(given, base, api):
    return Plan("hello " + given["text"], start=0.1, seconds=0.1)


def plan_words(given, base, api):
    words = [TOKENS[n % len(TOKENS)] for n in range(given.get("max_tokens", len(TOKENS)))]
    return Plan(items=words, seconds=len(words) / 10, logs=["Prompt: {}\n".format(given["prompt"])])


def plan_sketch(given, base, api):
    size = given.get("width", 64), given.get("height", 64)
    files = {f"out-{n}.png": png(*size, seed=given["prompt"] + str(n)) for n in range(given.get("num_outputs", 1))}
    logs = [f"Using seed: {given.get('seed') or 1234}\n"] + list(bars(20))
    return Plan([f"{base}/{name}" for name in files], seconds=0.5, logs=logs, files=files, early=True)


def plan_clipdraw(given, base, api):
    return Plan(base + "/out-0.png", start=0.1, seconds=0.5, logs=bars(10),
                files={"out-0.png": png(32, 32, given.get("prompt", ""))})


def plan_pixray(given, base, api):
    files = {f"out-{n}.png": png(32, 32, given["prompts"] + str(n)) for n in range(3)}
    return Plan(items=[f"{base}/{name}" for name in files], seconds=0.6, logs=bars(6), files=files)


def plan_fails(given, base, api):
    return Plan(items=["partial ", "output"], logs=["loading\n", "Traceback: boom\n"], error="boom: out of memory")


def plan_slow(given, base, api):
    seconds = given.get("seconds", 30)
    return Plan(f"slept {seconds} s", seconds=seconds, logs=bars(20))


def plan_object(given, base, api):
    return Plan({"text": "an object", "file": base + "/out-0.png", "nested": {"files": [base + "/out-1.txt"]}, "n": 1},
                files={"out-0.png": png(8, 8, "object"), "out-1.txt": "na\u00efve\n".encode("utf-8")})


def plan_files(given, base, api):
    return Plan([api.size_of(address) for address in given["files"]])


class Model:
    """A model as the service knows it; `plan(input, base, api)` tells what a run does."""

    def __init__(self, name, plan, openapi, example, *, official=False, streams=False, versions=None, about="",
                 owned=False, age=0):
        self.owner, self.name = name.split("/")
        self.plan, self.official, self.streams, self.owned, self.example = plan, official, streams, owned, example
        self.fields = {"description": about, "visibility": "private" if owned else "public", "github_url": None,
                       "paper_url": None, "license_url": None, "weights_url": None, "cover_image_url": None}
        self.created_at = _time(1650000000 + 86400 * age)
        self.readme = f"# {name}\n\n{about}\n"
        known = versions if versions is not None else [(None, "0.16.7"), (None, "0.9.4")]
        self.versions = [self._version(number, openapi, *pair, age=age) for number, pair in enumerate(known)]

    @property
    def id(self):
        return f"{self.owner}/{self.name}"

    def _version(self, number, openapi, identity, cog_version, age):
        made = _time(1690000000 - 86400 * (age % 7) - 864000 * number)
        unique = identity or hashlib.sha256(f"{self.id} {number}".encode()).hexdigest()
        return {"id": unique, "created_at": made, "cog_version": cog_version, "openapi_schema": openapi}

    def find_version(self, identity):
        return next((version for version in self.versions if version["id"] == identity), None)

    def state(self, api):
        latest = self.versions[0] if self.versions else None
        return dict(self.fields, url="https://replicate.com/" + self.id, owner=self.owner, name=self.name,
                    is_official=self.official, run_count=sum(j.model is self for j in list(api.jobs.values())) + 1000,
                    default_example=api.examples[self.id].state() if self.id in api.examples else None,
                    latest_version=latest)


def standard_models():
    """The models of the stand-in."""
    text = {"type": "string", "description": "Text to prefix with 'hello '"}
    prompt = {"type": "string", "description": "What to make"}
    words = {"prompt": prompt, "max_tokens": {"type": "integer", "minimum": 0, "maximum": 1000, "default": 12}}
    side = {"type": "integer", "minimum": 16, "maximum": 1024, "default": 64}
    sketch = {"prompt": prompt, "width": side, "height": side,
              "num_outputs": {"type": "integer", "minimum": 1, "maximum": 4, "default": 1},
              "style": {"default": "plain", "description": "How to draw"},
              "image": {"type": "string", "format": "uri", "description": "Picture to start from"},
              "seed": {"type": "integer", "nullable": True}, "api_key": {
                  "type": "string", "format": "password", "writeOnly": True, "x-cog-secret": True}}
    uris = {"files": {"type": "array", "items": {"type": "string", "format": "uri"}}}
    number = {"value": {"type": "number", "default": 42.5}}
    some = {"prompt": "a fox"}
    hello = "5c7d5dc6dd8bf75c1acaa8565735e7986bc5b66206b55cca93cb72c9bf15ccaa"
    draw = "5797a99edc939ea0e9242d5e8c9cb3bc7d125b1eac21bda852e5cb79ede2cd9b"
    token = {"type": "string", "title": "Output"}
    return [
        Model("replicate/hello-world", plan_hello, schema({"text": text}, token, ["text"]), {"text": "Alice"}, age=1,
              about="A tiny model that says hello", versions=[(hello, "0.3.9"), (None, "0.3.0"), (None, "0.2.0")]),
        Model("meta/llama-tiny", plan_words, schema(words, ITERATOR, ["prompt"]), some, official=True, streams=True,
              about="A language model", age=9),
        Model("replicate/slow-words", plan_words, schema(words, ITERATOR, ["prompt"]), some, about="Words, slowly",
              age=4),
        Model("stability/sketch", plan_sketch, schema(sketch, FILES, ["prompt"], {"style": ("plain", "ink", "None")}),
              some, official=True, about="Makes images from text", age=12),
        Model("kvfrans/clipdraw", plan_clipdraw, schema({"prompt": prompt}, FILE), some, about="Draws with CLIP",
              age=3, versions=[(draw, "0.4.0")]),
        Model("pixray/text2image", plan_pixray, schema({"prompts": dict(prompt, default="a fox")}, FILES, ["prompts"]),
              {"prompts": "a fox"}, about="Images from text, the old way", age=2, versions=[(None, "0.3.2")]),
        Model("test/fails", plan_fails, schema({}, ITERATOR), {}, official=True, streams=True, age=20),
        Model("test/slow", plan_slow, schema({"seconds": {"type": "number", "default": 30}}, token), {}, official=True,
              age=21),
        Model("test/echo", lambda given, base, api: Plan(given, start=0, seconds=0), schema({}, {"title": "Output"}),
              {}, official=True, age=22),
        Model("test/files", plan_files, schema(uris, {"type": "array", "items": {"type": "integer"}}, ["files"]),
              {"files": []}, official=True, age=23),
        Model("test/null", lambda given, base, api: Plan(None), schema({}, {"title": "Output", "nullable": True}), {},
              official=True, age=24),
        Model("test/number", lambda given, base, api: Plan(given.get("value", 42.5)),
              schema(number, {"type": "number", "title": "Output"}), {}, official=True, age=25),
        Model("test/object", plan_object, schema({}, {"type": "object", "title": "Output"}), {}, official=True, age=26),
        Model("acme/hot-dog-detector", plan_hello, None, None, versions=[], owned=True, age=30,
              about="Detect hot dogs in images"),
    ]


# ---------------------------------------------------------------------------------------------
# Runs in time: a prediction's or training's state is computed from its age, no thread moves it on
# ---------------------------------------------------------------------------------------------

RUNNING = ("starting", "processing")


class Job:
    """One prediction or training."""

    def __init__(self, api, kind, model, version, given, plan, **more):
        self.api, self.kind, self.model, self.version, self.given, self.more = api, kind, model, version, given, more
        self.id = _new_id()
        self.born, self.born_at = api.clock(), time.time()
        self.plan = plan(given, f"{api.url}/files-out/{self.id}", api)
        self.deadline = self.canceled = None  # ages
        self.forced = {}
        self.makes = None  # a training: the model and the version that its success adds to it

    @property
    def age(self):
        return (self.api.clock() - self.born) * self.api.speed

    def ends(self):
        """The age at which it is over."""
        return min(age for age in (self.plan.total, self.canceled, self.deadline) if age is not None)

    def status(self):
        if "status" in self.forced:
            return self.forced["status"]
        end = self.ends()
        if self.age < end:
            return "processing" if self.age >= self.plan.start else "starting"
        if end == self.plan.total:
            return "failed" if self.plan.error else "succeeded"
        return "aborted" if end != self.canceled and end < self.plan.start else "canceled"

    def cancel(self):
        if self.status() in RUNNING:
            self.canceled = self.age

    def reached(self, kind):
        age = min(self.age, self.ends())
        return [value for at, what, value in self.plan.events if what == kind and at <= age]

    def state(self):
        """The fields of the API, those only that a real answer has at this point."""
        status = self.status()
        started = self.born_at + self.plan.start / self.api.speed
        fields = {"id": self.id, "model": self.model.id, "version": self.version, "input": self.given,
                  "logs": "".join(self.reached("logs")) if status != "starting" else None, "data_removed": False,
                  "error": self.plan.error if status == "failed" else None, "status": status,
                  "created_at": _time(self.born_at, 3), "source": "api", "urls": self._urls()}
        if self.ends() >= self.plan.start and status != "starting":
            fields["started_at"] = _time(started)
        items = self.reached("output") if self.plan.grows else None
        if status not in RUNNING:
            run = max(self.ends() - self.plan.start, 0)
            fields["output"] = self.plan.output if status == "succeeded" else items or None
            fields["completed_at"] = _time(self.born_at + self.ends() / self.api.speed, 9)
            fields["metrics"] = {"predict_time": round(run, 6), "total_time": round(self.ends(), 6)}
        elif items:
            fields["output"] = items
        if self.deadline is not None:
            fields["deadline"] = _time(self.born_at + self.deadline / self.api.speed)
        fields.update(self.more)
        return dict(fields, **self.forced)

    def _urls(self):
        own = f"{self.api.url}/v1/{self.kind}/{self.id}"
        urls = {"web": "https://replicate.com/p/" + self.id, "get": own, "cancel": own + "/cancel"}
        if self.model.streams:
            urls["stream"] = f"{self.api.url}/stream/{self.id}"
        return urls

    def early_state(self):
        """What a held request gets, as recorded: the output is there, files as data: URIs, the end is not."""
        state = self.state()
        if not self.plan.early or state["status"] != "succeeded":
            return state
        state = dict(state, status="processing", output=self._inlined(state["output"]))
        return {name: value for name, value in state.items() if name not in ("completed_at", "metrics")}

    def _inlined(self, value):
        if isinstance(value, list):
            return [self._inlined(item) for item in value]
        data = self.plan.files[value.rsplit("/", 1)[1]]
        return "data:image/png;base64," + base64.b64encode(data).decode("ascii")

    def wait(self, age, seconds=None):
        """Wait until this age or the end of the run, at most so many real seconds."""
        limit = None if seconds is None else time.monotonic() + seconds
        with self.api.changed:
            while self.age < min(age, self.ends()) and self.status() in RUNNING and not self.api.closing.is_set():
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
            yield _server_sent("error", json.dumps({"detail": self.plan.error}), f"{len(events)}:0")
        reason = {"failed": {"reason": "error"}, "succeeded": {}}.get(self.status(), {"reason": "canceled"})
        yield _server_sent("done", json.dumps(reason), f"{len(events) + 1}:0")


class WebhookSender(threading.Thread):
    """Deliver one job's events to a webhook on loopback, signed, each tried three times under one id."""

    def __init__(self, job, address, wanted):
        super().__init__(daemon=True)
        self.job, self.address = job, urlsplit(address)
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
        connection = http.client.HTTPConnection(self.address.hostname, self.address.port or 80, timeout=2)
        target = (self.address.path or "/") + ("?" + self.address.query if self.address.query else "")
        try:
            connection.request("POST", target, body, headers)
            return connection.getresponse().status < 400
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()


# ---------------------------------------------------------------------------------------------
# The API: one method an operation, named as in the OpenAPI file
# ---------------------------------------------------------------------------------------------

ROUTES = (
    ("GET", "/account", "account_get"),
    ("GET", "/collections", "collections_list"),
    ("GET", "/collections/{slug}", "collections_get"),
    ("GET", "/deployments", "deployments_list"),
    ("POST", "/deployments", "deployments_create"),
    ("GET", "/deployments/{owner}/{name}", "deployments_get"),
    ("PATCH", "/deployments/{owner}/{name}", "deployments_update"),
    ("DELETE", "/deployments/{owner}/{name}", "deployments_delete"),
    ("POST", "/deployments/{owner}/{name}/predictions", "deployments_predictions_create"),
    ("GET", "/files", "files_list"),
    ("POST", "/files", "files_create"),
    ("GET", "/files/{id}", "files_get"),
    ("DELETE", "/files/{id}", "files_delete"),
    ("GET", "/files/{id}/download", "files_download"),
    ("GET", "/hardware", "hardware_list"),
    ("GET", "/models", "models_list"),
    ("QUERY", "/models", "models_search"),
    ("POST", "/models", "models_create"),
    ("GET", "/models/{owner}/{name}", "models_get"),
    ("PATCH", "/models/{owner}/{name}", "models_update"),
    ("DELETE", "/models/{owner}/{name}", "models_delete"),
    ("GET", "/models/{owner}/{name}/examples", "models_examples_list"),
    ("POST", "/models/{owner}/{name}/predictions", "models_predictions_create"),
    ("GET", "/models/{owner}/{name}/readme", "models_readme_get"),
    ("GET", "/models/{owner}/{name}/versions", "models_versions_list"),
    ("GET", "/models/{owner}/{name}/versions/{id}", "models_versions_get"),
    ("DELETE", "/models/{owner}/{name}/versions/{id}", "models_versions_delete"),
    ("POST", "/models/{owner}/{name}/versions/{id}/trainings", "trainings_create"),
    ("GET", "/predictions", "predictions_list"),
    ("POST", "/predictions", "predictions_create"),
    ("GET", "/predictions/{id}", "predictions_get"),
    ("POST", "/predictions/{id}/cancel", "predictions_cancel"),
    ("GET", "/search", "search"),
    ("GET", "/trainings", "trainings_list"),
    ("GET", "/trainings/{id}", "trainings_get"),
    ("POST", "/trainings/{id}/cancel", "trainings_cancel"),
    ("GET", "/webhooks/default/secret", "webhooks_secret"),
)
PATTERNS = [(method, re.compile("/v1" + re.sub(r"\{\w+\}", "([^/]+)", path)), name) for method, path, name in ROUTES]

ACCOUNT = {"type": "organization", "username": "acme", "name": "Acme Corp, Inc.",
           "github_url": "https://github.com/acme", "avatar_url": "https://cdn.replicate.com/avatars/acme.png"}
HARDWARE = [{"name": "CPU", "sku": "cpu"}, {"name": "Nvidia T4 GPU", "sku": "gpu-t4"},
            {"name": "Nvidia A40 (Large) GPU", "sku": "gpu-a40-large"}]
COLLECTIONS = {"text-to-image": ["stability/sketch", "kvfrans/clipdraw", "pixray/text2image"],
               "language-models": ["meta/llama-tiny", "replicate/slow-words"],
               "super-resolution": [], "try-for-free": ["replicate/hello-world"]}
FILE_LIMIT = 100 << 20
PREDICTION_FIELDS = {"input": dict, "stream": bool, "webhook": str, "webhook_events_filter": list}
DEPLOYMENT_FIELDS = {"hardware": str, "min_instances": int, "max_instances": int, "version": str}


def _json_body(seen):
    if seen.headers.get_content_type() != "application/json":
        raise Problem(415, f"Unsupported media type {seen.headers.get_content_type()} in request.")
    try:
        body = seen.json
    except ValueError as error:
        raise Problem(400, f"JSON parse error - {error}") from None
    if not isinstance(body, dict):
        raise Problem(400, "Invalid data. Expected an object.")
    return body


def _check_fields(body, types, required, closed=True):
    """422 for a field that is missing, of another type, or unknown where the schema is closed."""
    faults = [(name, "required", f"{name} is required") for name in required if name not in body]
    for name, value in body.items():
        if name not in types and closed:
            faults.append((name, "additional_property_not_allowed", f"Additional property {name} is not allowed"))
        elif name in types and (not isinstance(value, types[name]) or (types[name] is int and value is True)):
            faults.append((name, "invalid_type", f"{name} is of another type"))
    if faults:
        raise _invalid(faults)


def _invalid(faults):
    fields = [{"type": kind, "field": field, "description": words} for field, kind, words in faults]
    return Problem(422, "\n".join("- " + words for _, _, words in faults), title="Input validation failed",
                   invalid_fields=fields)


def _check_input(openapi, given):
    faults = [("input." + name, kind, f"input.{name} {words}")
              for name, kind, words in input_faults(openapi, given)] if openapi else []
    if faults:
        raise _invalid(faults)


def _held_seconds(seen):
    """Seconds of `Prefer: wait`, or None."""
    for preference in (seen.headers.get("Prefer") or "").split(","):
        found = re.fullmatch(r"wait(?:=(\d+))?", preference.strip())
        if found and not 1 <= int(found.group(1) or 60) <= 60:
            raise Problem(422, "Prefer: wait must be between 1 and 60 seconds")
        if found:
            return int(found.group(1) or 60)
    return None


def _cancel_after_seconds(seen):
    text = seen.headers.get("Cancel-After")
    if text is None:
        return None
    found = re.fullmatch(r"(?:(\d+)h)?(?:(\d+)m)?(?:(\d+)s?)?", text)
    if not found or not text:
        raise Problem(422, f"Cancel-After is not a duration: {text!r}")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    total = hours * 3600 + minutes * 60 + seconds
    if total < 5:
        raise Problem(422, "Cancel-After must be at least 5 seconds")
    return total


def parse_multipart(content_type, body):
    """The parts of a multipart/form-data body: name -> (file name, media type, bytes)."""
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
        parts[name.group(1)] = (file_name and re.sub(r"\\(.)", r"\1", file_name.group(1)).replace("%22", '"'),
                                media_type and media_type.group(1).strip(), content)
    return parts


class Api:
    """What the service knows and does; the server below puts it on the wire."""

    page_size = 3
    next_keeps_filters = True  # whether a page's `next` repeats the filters of its request
    file_secret = "files-api-signing-secret"
    webhook_secret = "whsec_" + base64.b64encode(b"stand-in webhook secret 32 bytes").decode("ascii")

    def __init__(self, token, speed):
        self.token, self.speed, self.url = token, speed, ""
        self.clock = time.monotonic
        self.changed = threading.Condition(threading.RLock())
        self.closing = threading.Event()
        self.jobs, self.creations, self.files, self.contents, self.examples = {}, [], {}, {}, {}
        self.catalogue = {model.id: model for model in standard_models()}
        self.deployments = {}
        self._windows = {}

    def furnish(self):
        """What needs the address of the server: examples and the deployment."""
        for model in self.catalogue.values():
            if model.example is not None:
                version = model.versions[-1]["id"]  # often an older one than the schema
                job = Job(self, "predictions", model, version, model.example, model.plan, source="web")
                job.born, job.born_at = float("-inf"), 1680000000.0
                self.examples[model.id] = job
        sketch = self.catalogue["stability/sketch"]
        self._release({"owner": "acme", "name": "my-app"}, 1, sketch.id, sketch.versions[0]["id"],
                      {"hardware": "gpu-t4", "min_instances": 1, "max_instances": 5})

    # What tests look at

    @property
    def predictions(self):
        return {job.id: job.state() for job in list(self.jobs.values()) if job.kind == "predictions"}

    @property
    def trainings(self):
        return {job.id: job.state() for job in list(self.jobs.values()) if job.kind == "trainings"}

    @property
    def models(self):
        return {name: model.state(self) for name, model in list(self.catalogue.items())}

    def running(self):
        """The ids of the predictions that are not over."""
        return [name for name, state in self.predictions.items() if state["status"] in RUNNING]

    def force(self, identity, **fields):
        """Overlay fields of a prediction or training, a status that nobody knows for instance."""
        with self.changed:
            self.jobs[identity].forced.update(fields)
            self.changed.notify_all()

    def size_of(self, address):
        """How many bytes an input file has: a data: URI, a file of ours, else None."""
        if address.startswith("data:"):
            head, _, data = address.partition(",")
            return len(base64.b64decode(data) if head.endswith(";base64") else unquote_to_bytes(data))
        parts = urlsplit(address).path.strip("/").split("/")
        if parts[:2] == ["v1", "files"] and len(parts) == 3:
            return len(self.contents[parts[2]]) if parts[2] in self.contents else None
        try:
            return len(self._output_file(*parts[1:]).body) if parts[0] == "files-out" else None
        except Problem:
            return None

    def sign_webhook(self, identity, body):
        """Headers of a delivery after the Standard Webhooks scheme."""
        stamp = str(int(time.time()))
        key = base64.b64decode(self.webhook_secret[len("whsec_"):])
        mac = hmac.new(key, b".".join([identity.encode(), stamp.encode(), body]), hashlib.sha256).digest()
        return {"Content-Type": "application/json", "webhook-id": identity, "webhook-timestamp": stamp,
                "webhook-signature": "v1," + base64.b64encode(mac).decode("ascii")}

    def sign_file(self, owner, identity, expiry):
        """The signature that a download wants."""
        words = f"{owner} {identity} {expiry}"
        mac = hmac.new(self.file_secret.encode(), words.encode("utf-8"), hashlib.sha256).digest()
        return base64.b64encode(mac).decode("ascii")

    # Serving

    def serve(self, seen):
        """Answer a request to /v1, or for an output of a run; None for any other path."""
        kind, *rest = seen.path.strip("/").split("/")
        try:
            if kind == "v1":
                return self._operate(seen)
            if kind == "stream" and len(rest) == 1:
                return self._event_stream(seen, rest[0])
            if kind == "files-out" and len(rest) == 2:
                return self._output_file(*rest)
            if kind == "weights" and rest:
                self._authorize(seen)
                return Reply(body=b"weights of " + rest[0].encode(), headers={"Content-Type": "application/x-tar"})
        except Problem as problem:
            return problem.reply
        return None

    def _authorize(self, seen):
        if seen.headers.get_all("Authorization") != ["Bearer " + self.token]:
            raise Problem(401, "You did not pass a valid authentication token", title="Unauthenticated")

    def _operate(self, seen):
        fits = [(method, name, found) for method, pattern, name in PATTERNS
                for found in [pattern.fullmatch(seen.path)] if found]
        if not (fits and fits[0][1] == "files_download"):  # its signature is its credential
            self._authorize(seen)
        if not fits:
            raise Problem(404, "The requested resource could not be found.", title="Not found")
        for method, name, found in fits:
            if method == seen.method:
                self._settle_trainings()
                reply = getattr(self, name)(seen, *map(unquote, found.groups()))
                reply.headers.update(self._limits(name.endswith("_create")))
                return reply
        raise Problem(405, f'Method "{seen.method}" not allowed.')

    def _limits(self, creates):
        """The headers of the rate limit: 600 creations a minute, 3,000 other requests."""
        minute = int(time.monotonic() // 60)
        with self.changed:
            began, used = self._windows.get(creates, (minute, 0))
            self._windows[creates] = minute, used + 1 if began == minute else 1
            left = (600 if creates else 3000) - self._windows[creates][1]
        return {"ratelimit-remaining": str(max(left, 0)), "ratelimit-reset": str(60 - int(time.monotonic() % 60))}

    def _page(self, seen, items, filters=(), words=None):
        """One page; the cursor says where it begins, and for a search also what was searched for."""
        start = self._cursor(seen)[0]
        size = self.page_size
        kept = {name: seen.query[name][0] for name in filters if name in seen.query and self.next_keeps_filters}

        def link(offset):
            raw = json.dumps([offset, words]).encode("utf-8")
            query = dict(kept, cursor=base64.urlsafe_b64encode(raw).decode("ascii"))
            return f"{self.url}{seen.path}?{urlencode(query)}"
        return Reply(json={"previous": link(max(start - size, 0)) if start else None,
                           "next": link(start + size) if start + size < len(items) else None,
                           "results": items[start:start + size]})

    @staticmethod
    def _cursor(seen):
        if "cursor" not in seen.query:
            return 0, None
        try:
            offset, words = json.loads(base64.urlsafe_b64decode(seen.query["cursor"][0]))
            return int(offset), words
        except (ValueError, TypeError):
            raise Problem(404, "Invalid cursor") from None

    def _model(self, owner, name):
        model = self.catalogue.get(f"{owner}/{name}")
        if not model:
            raise Problem(404, "The requested resource could not be found.", title="Not found")
        return model

    def _found(self, where, key, kind="resource"):
        if key not in where:
            raise Problem(404, f"The requested {kind} could not be found.", title="Not found")
        return where[key]

    def _job(self, kind, identity):
        job = self._found(self.jobs, identity, kind[:-1])
        if job.kind != kind:
            raise Problem(404, f"The requested {kind[:-1]} could not be found.", title="Not found")
        return job

    # Outputs of runs

    def _event_stream(self, seen, identity):
        job = self._found(self.jobs, identity, "stream")
        if not job.model.streams:
            raise Problem(404, "No such stream")
        return Reply(pieces=job.stream(seen.headers.get("Last-Event-ID")),
                     headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"})

    def _output_file(self, identity, name):
        known = {job.id: job for job in self.examples.values()}
        job = self._found(dict(known, **self.jobs), identity)
        kind = "image/png" if name.endswith(".png") else "text/plain; charset=utf-8"
        return Reply(body=self._found(job.plan.files, unquote(name), "file"), headers={"Content-Type": kind})

    # Account, hardware, collections, search, webhooks

    def account_get(self, seen):
        return Reply(json=ACCOUNT)

    def hardware_list(self, seen):
        return Reply(json=HARDWARE)

    def webhooks_secret(self, seen):
        return Reply(json={"key": self.webhook_secret})

    @staticmethod
    def _collection(slug):
        name = slug.replace("-", " ").capitalize()
        return {"name": name, "slug": slug, "description": f"Models: {name.lower()}."}

    def collections_list(self, seen):
        return self._page(seen, [self._collection(slug) for slug in COLLECTIONS])

    def collections_get(self, seen, slug):
        names = self._found(COLLECTIONS, slug, "collection")
        models = [self.catalogue[name].state(self) for name in names if name in self.catalogue]
        return Reply(json=dict(self._collection(slug), full_description="## Overview\n", models=models))

    def _matching(self, words):
        words = words.lower().split()
        return [model for model in self.catalogue.values() if model.fields["visibility"] == "public"
                and all(word in (model.id + " " + model.fields["description"]).lower() for word in words)]

    def search(self, seen):
        words = seen.query.get("query", [""])[0]
        limit = seen.query.get("limit", ["20"])[0]
        if not words:
            raise Problem(400, 'Query parameter "query" is required')
        if not limit.isdigit() or not 1 <= int(limit) <= 50:
            raise Problem(400, 'Query parameter "limit" must be between 1 and 50')
        models = [{"model": model.state(self), "metadata": {"tags": [], "score": 1.5, "generated_description": None}}
                  for model in self._matching(words)[:int(limit)]]
        collections = [dict(self._collection(slug), models=names) for slug, names in COLLECTIONS.items()
                       if words.lower() in slug]
        pages = [{"name": "Get started with " + words, "href": "/docs/get-started"}]
        return Reply(json={"query": words, "models": models, "collections": collections, "pages": pages})

    # Models and versions

    def models_list(self, seen):
        words = self._cursor(seen)[1]
        if words is not None:  # a later page of a search
            return self._page(seen, [model.state(self) for model in self._matching(words)], words=words)
        sort_by = seen.query.get("sort_by", ["latest_version_created_at"])[0]
        direction = seen.query.get("sort_direction", ["desc"])[0]
        if sort_by not in ("model_created_at", "latest_version_created_at") or direction not in ("asc", "desc"):
            raise Problem(400, "Unknown sort order")

        def moment(model):
            version = model.versions[0]["created_at"] if model.versions else ""
            return (model.created_at if sort_by == "model_created_at" else version), model.id
        public = [model for model in self.catalogue.values() if model.fields["visibility"] == "public"]
        models = sorted(public, key=moment, reverse=direction == "desc")
        return self._page(seen, [model.state(self) for model in models], ("sort_by", "sort_direction"))

    def models_search(self, seen):
        if seen.headers.get_content_type() != "text/plain" or "Content-Type" not in seen.headers:
            raise Problem(415, "The query is text/plain")
        words = self._cursor(seen)[1] or seen.body.decode("utf-8")
        return self._page(seen, [model.state(self) for model in self._matching(words)], words=words)

    def models_create(self, seen):
        body = _json_body(seen)
        names = ("owner", "name", "visibility", "hardware", "description", "github_url", "paper_url", "license_url",
                 "cover_image_url")
        _check_fields(body, dict.fromkeys(names, str), names[:4], closed=False)
        if body["owner"] != ACCOUNT["username"]:
            raise Problem(403, "You can only create models for {}".format(ACCOUNT["username"]))
        if body["visibility"] not in ("public", "private"):
            raise _invalid([("visibility", "enum", "visibility must be one of public, private")])
        self._check_hardware(body)
        model = Model("{owner}/{name}".format(**body), plan_hello, None, None, versions=[], owned=True)
        if model.id in self.catalogue:
            raise Problem(409, "A model with that name and owner already exists")
        model.fields.update((name, body[name]) for name in model.fields if name in body)
        model.created_at = _time(time.time())
        self.catalogue[model.id] = model
        return Reply(201, model.state(self))

    @staticmethod
    def _check_hardware(body):
        if "hardware" in body and body["hardware"] not in [item["sku"] for item in HARDWARE]:
            raise _invalid([("hardware", "enum", "hardware must be the sku of some hardware")])

    def models_get(self, seen, owner, name):
        return Reply(json=self._model(owner, name).state(self))

    def _own_model(self, owner, name):
        model = self._model(owner, name)
        if not model.owned:
            raise Problem(403, "You do not have permission to perform this action.")
        return model

    def models_update(self, seen, owner, name):
        model = self._own_model(owner, name)
        names = ("description", "readme", "github_url", "paper_url", "weights_url", "license_url")
        body = _json_body(seen)
        _check_fields(body, dict.fromkeys(names, (str, type(None))), (), closed=False)
        model.readme = body.get("readme", model.readme)
        model.fields.update((name, body[name]) for name in names if name in body and name != "readme")
        return Reply(json=model.state(self))

    def models_delete(self, seen, owner, name):
        model = self._own_model(owner, name)
        if model.fields["visibility"] != "private" or model.versions:
            raise Problem(403, "Only private models without versions can be deleted")
        del self.catalogue[model.id]
        return Reply(204)

    def models_examples_list(self, seen, owner, name):
        model = self._model(owner, name)
        return self._page(seen, [self.examples[model.id].state()] if model.id in self.examples else [])

    def models_readme_get(self, seen, owner, name):
        text = self._model(owner, name).readme
        return Reply(body=text.encode("utf-8"), headers=TEXT)

    def models_versions_list(self, seen, owner, name):
        return self._page(seen, self._model(owner, name).versions)

    def _version(self, model, identity):
        return self._found({version["id"]: version for version in model.versions}, identity, "version")

    def models_versions_get(self, seen, owner, name, identity):
        return Reply(json=self._version(self._model(owner, name), identity))

    def models_versions_delete(self, seen, owner, name, identity):
        model = self._own_model(owner, name)
        model.versions.remove(self._version(model, identity))
        return Reply(202, body=b"")

    # Predictions

    def predictions_list(self, seen):
        after, before = (_parse_time(seen.query[name][0]) if name in seen.query else None
                         for name in ("created_after", "created_before"))
        if seen.query.get("source", ["web"]) != ["web"]:
            raise Problem(400, "Only web is supported as a source")
        states = [job.state() for job in sorted(self.jobs.values(), key=lambda job: -job.born_at)
                  if job.kind == "predictions" and (after is None or job.born_at >= after)
                  and (before is None or job.born_at < before)]
        chosen = [state for state in states if "source" not in seen.query or state["source"] == "web"]
        return self._page(seen, chosen, ("created_after", "created_before", "source"))

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
        raise Problem(422, "The specified version does not exist (or perhaps you don't have permission to use it?)",
                      title="Invalid version or not permitted")

    def models_predictions_create(self, seen, owner, name):
        model = self._model(owner, name)
        if not model.official:
            raise Problem(404, "The requested resource could not be found.", title="Not found")
        body = _json_body(seen)
        _check_fields(body, PREDICTION_FIELDS, ("input",))
        return self._create(seen, body, model, "hidden")

    def deployments_predictions_create(self, seen, owner, name):
        release = self._found(self.deployments, f"{owner}/{name}", "deployment")["current_release"]
        body = _json_body(seen)
        _check_fields(body, PREDICTION_FIELDS, ("input",))
        model = self.catalogue[release["model"]]
        return self._create(seen, body, model, release["version"], deployment=f"{owner}/{name}")

    def _create(self, seen, body, model, version, **more):
        """Start a prediction and hold the request as its headers ask."""
        held, deadline = _held_seconds(seen), _cancel_after_seconds(seen)
        chosen = model.find_version(version) or model.versions[0]
        _check_input(chosen["openapi_schema"], body["input"])
        self._check_events(body)
        job = Job(self, "predictions", model, version, body["input"], model.plan, **more)
        job.deadline = deadline
        self._keep(job, body)
        if held is None:
            return Reply(201, job.state())
        job.wait(job.plan.total, held / self.speed)
        state = job.early_state()
        over = state["status"] not in RUNNING or "completed_at" in job.state()
        return Reply(201 if over else 202, state, headers={"Preference-Applied": f"wait={held}"})

    @staticmethod
    def _check_events(body):
        known = ("start", "output", "logs", "completed")
        if not all(event in known for event in body.get("webhook_events_filter", ())):
            raise _invalid([("webhook_events_filter", "enum", f"webhook_events_filter must be of {known}")])

    def _keep(self, job, body):
        with self.changed:
            self.jobs[job.id] = job
            if job.kind == "predictions":
                self.creations.append(job.id)
        if (body.get("webhook") or "").startswith("http://127.0.0.1"):
            WebhookSender(job, body["webhook"], body.get("webhook_events_filter")).start()

    def predictions_get(self, seen, identity):
        return Reply(json=self._job("predictions", identity).state())

    def predictions_cancel(self, seen, identity):
        return self._cancel(self._job("predictions", identity))

    def _cancel(self, job):
        with self.changed:
            job.cancel()
            self.changed.notify_all()
        return Reply(json=job.state())

    # Trainings

    def trainings_create(self, seen, owner, name, identity):
        model = self._model(owner, name)
        version = self._version(model, identity)
        body = _json_body(seen)
        _check_fields(body, dict({"destination": str}, **PREDICTION_FIELDS), ("destination", "input"), closed=False)
        self._check_events(body)
        target = self.catalogue.get(body["destination"])
        if not target or not target.owned:
            raise Problem(404, "The destination is no model of yours", title="Not found")
        new = hashlib.sha256(os.urandom(16)).hexdigest()

        def plan(given, base, api):
            output = {"version": f"{target.id}:{new}", "weights": f"{api.url}/weights/{new}/model.tar"}
            return Plan(output, seconds=1.0, logs=bars(10))
        job = Job(self, "trainings", model, version["id"], body["input"], plan)
        job.makes = target, dict(version, id=new)
        self._keep(job, body)
        return Reply(201, job.state())

    def _settle_trainings(self):
        """A training that has succeeded has made a version of its destination."""
        for job in list(self.jobs.values()):
            with self.changed:
                if job.makes and job.status() == "succeeded":
                    target, version = job.makes
                    target.versions.insert(0, dict(version, created_at=_time(time.time())))
                    target.plan, job.makes = job.model.plan, None

    def trainings_list(self, seen):
        jobs = [job for job in self.jobs.values() if job.kind == "trainings"]
        return self._page(seen, [job.state() for job in reversed(jobs)])

    def trainings_get(self, seen, identity):
        return Reply(json=self._job("trainings", identity).state())

    def trainings_cancel(self, seen, identity):
        return self._cancel(self._job("trainings", identity))

    # Deployments

    def deployments_list(self, seen):
        return self._page(seen, list(reversed(list(self.deployments.values()))))

    def deployments_get(self, seen, owner, name):
        return Reply(json=self._found(self.deployments, f"{owner}/{name}", "deployment"))

    def _release(self, names, number, model, version, configuration):
        release = {"number": number, "model": model, "version": version, "created_at": _time(time.time()),
                   "created_by": ACCOUNT, "configuration": configuration}
        deployment = self.deployments["{owner}/{name}".format(**names)] = dict(names, current_release=release)
        return Reply(json=deployment)

    def _check_release(self, body, model):
        self._check_hardware(body)
        for name, most in (("min_instances", 5), ("max_instances", 20)):
            if not 0 <= body.get(name, 0) <= most:
                raise _invalid([(name, "number_lte", f"{name} must be between 0 and {most}")])
        if model is None or ("version" in body and not model.find_version(body["version"])):
            raise Problem(422, "The specified version does not exist", title="Invalid version or not permitted")

    def deployments_create(self, seen):
        body = _json_body(seen)
        types = dict(DEPLOYMENT_FIELDS, name=str, model=str)
        _check_fields(body, types, sorted(types), closed=False)
        self._check_release(body, self.catalogue.get(body["model"]))
        names = {"owner": ACCOUNT["username"], "name": body["name"]}
        if "{owner}/{name}".format(**names) in self.deployments:
            raise Problem(409, "A deployment with that name already exists")
        sizes = {name: body[name] for name in ("hardware", "min_instances", "max_instances")}
        return self._release(names, 1, body["model"], body["version"], sizes)

    def deployments_update(self, seen, owner, name):
        known = self._found(self.deployments, f"{owner}/{name}", "deployment")
        body, release = _json_body(seen), known["current_release"]
        _check_fields(body, DEPLOYMENT_FIELDS, (), closed=False)
        self._check_release(body, self.catalogue.get(release["model"]))
        sizes = {key: body.get(key, value) for key, value in release["configuration"].items()}
        return self._release({"owner": owner, "name": name}, release["number"] + 1, release["model"],
                             body.get("version", release["version"]), sizes)

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
            raise _invalid([("filename", "required", "filename is required, of at most 255 bytes")])
        try:
            metadata = json.loads(parts["metadata"][2].decode("utf-8")) if "metadata" in parts else {}
        except ValueError:
            raise _invalid([("metadata", "invalid_type", "metadata must be JSON")]) from None
        if "type" in parts:
            media_type = parts["type"][2].decode("utf-8")
        return Reply(201, self._store(name, media_type or "application/octet-stream", content, metadata))

    def _store(self, name, media_type, content, metadata):
        identity, now = _new_id(), time.time()
        sums = {"sha256": hashlib.sha256(content).hexdigest(), "md5": hashlib.md5(content).hexdigest()}
        self.contents[identity] = content
        self.files[identity] = {
            "id": identity, "name": name, "content_type": media_type, "size": len(content), "etag": sums["md5"],
            "checksums": sums, "metadata": metadata, "created_at": _time(now), "expires_at": _time(now + 86400),
            "urls": {"get": f"{self.url}/v1/files/{identity}"}}
        return self.files[identity]

    def files_get(self, seen, identity):
        return Reply(json=self._found(self.files, identity, "file"))

    def files_delete(self, seen, identity):
        self._found(self.files, identity, "file")
        del self.files[identity], self.contents[identity]
        return Reply(204)

    def files_download(self, seen, identity):
        owner, expiry, signature = (seen.query.get(name, [""])[0] for name in ("owner", "expiry", "signature"))
        fresh = expiry.isdigit() and int(expiry) > time.time()
        if not fresh or owner != ACCOUNT["username"] or signature != self.sign_file(owner, identity, expiry):
            raise Problem(404, "File not found")
        content = self._found(self.contents, identity, "file")
        return Reply(body=content, headers={"Content-Type": "application/octet-stream"})


# ---------------------------------------------------------------------------------------------
# Self-hosted models: Cog's own server, as seen on 0.23.1 (`old`: on 0.16)
# ---------------------------------------------------------------------------------------------


def repeat_hello(given):
    """The model that Cog serves unless a test sets another."""
    for number in range(given.get("times", 2)):
        yield f"hello {given['text']} {number}"


class CogRun:
    def __init__(self, identity, given):
        self.id, self.given, self.logs, self.items, self.over = identity, given, "", [], False
        self.began, self.stopped = time.monotonic(), threading.Event()

    def answer(self, status, **more):
        self.over = status in ("succeeded", "failed")
        metrics = {"predict_time": round(time.monotonic() - self.began, 6)}
        return dict(sorted(dict(more, id=self.id, logs=self.logs, metrics=metrics, status=status).items()))


class Cog:
    """A container with one slot. Set its attributes to put it in another state."""

    def __init__(self, closing):
        self.health, self.setup_logs, self.logs = "READY", "Loading weights\n", "log line\n"
        self.schema = schema({"text": {"type": "string"}, "times": {"type": "integer", "default": 2}}, ITERATOR,
                             ["text"], streaming=True)
        self.streaming, self.old = True, False
        self.predict = repeat_hello
        self.seconds = 0.0  # before the only output, or before every item that a generator yields
        self.canceled = []  # ids of runs that were ended, by a cancel request or by a client that left
        self.current, self._closing, self._lock = None, closing, threading.Lock()

    def serve(self, seen, connection):
        """Answer a request to Cog's paths; None for any other."""
        found = re.fullmatch(r"/predictions(?:/([^/]+))?(/cancel)?", seen.path)
        if found and found.group(2) and found.group(1) and seen.method == "POST":
            return self._cancel(unquote(found.group(1)))
        if found and not found.group(2) and seen.method == ("PUT" if found.group(1) else "POST"):
            return self._predict(seen, connection, found.group(1) and unquote(found.group(1)))
        if seen.method == "GET" and seen.path == "/health-check":
            return Reply(json=self._health())
        if seen.method == "GET" and seen.path == "/openapi.json":
            return Reply(json=self.schema) if self.schema else self._error(503, "OpenAPI schema not available")
        if seen.method == "GET" and seen.path == "/":
            return Reply(json={"cog_version": "0.16.12" if self.old else "0.23.1", "docs_url": "/docs",
                               "openapi_url": "/openapi.json", "healthcheck_url": "/health-check",
                               "predictions_url": "/predictions"})
        return None

    @staticmethod
    def _error(code, words, **more):
        return Reply(code, dict({"error": words}, **more), headers={"Content-Type": "application/json"})

    def _health(self):
        now = _time(time.time())
        setup = {"started_at": now, "status": {"STARTING": "starting", "SETUP_FAILED": "failed"}.get(
            self.health, "succeeded"), "logs": self.setup_logs}
        if self.health != "STARTING":
            setup["completed_at"] = now
        status = "BUSY" if self.health == "READY" and self.current else self.health
        return {"status": status, "setup": setup, "version": {"cog": "0.16.12" if self.old else "0.23.1"}}

    def _cancel(self, identity):
        run = self.current
        if run is None or run.id != identity:
            return Reply(404, {}, headers={"Content-Type": "application/json"})
        run.stopped.set()
        return Reply(json={})

    def _predict(self, seen, connection, identity):
        streams = seen.headers.get("Accept") == "text/event-stream" and not self.old
        refusal = self._unready() or self._unreadable(seen)
        if not refusal and streams and not self.streaming:
            refusal = self._error(406, "This model does not support streaming responses. "
                                       "Add @cog.streaming to predict() to enable SSE.")
        if refusal:
            return refusal
        run = CogRun(identity or seen.json.get("id") or _new_id(), seen.json.get("input") or {})
        busy = self._occupy(run)
        if busy:
            return busy
        if "respond-async" in (seen.headers.get("Prefer") or ""):
            threading.Thread(target=self._finish, args=(run, None), daemon=True).start()
            return Reply(202, run.answer("starting", input=run.given))
        if streams:
            reply = Reply(pieces=self._events(run, connection), headers={"Content-Type": "text/event-stream"})
            reply.done = lambda: self._free(run)
            return reply
        return Reply(json=self._finish(run, connection))

    def _unready(self):
        if self.health in ("READY", "BUSY", "UNHEALTHY"):
            return None
        if self.old:
            return Reply(409, {"detail": "Already running a prediction"}, headers={"Content-Type": "application/json"})
        return self._error(503, "Setup has not finished yet. Wait until it has finished, or GET /health-check for "
                                "status.", status="failed")

    def _unreadable(self, seen):
        """Why a body cannot be run: no JSON, or an input that the schema refuses."""
        if seen.headers.get_content_type() != "application/json":
            return Reply(415, body=b"Expected request with `Content-Type: application/json`", headers=TEXT)
        try:
            given = seen.json.get("input") or {}
        except (ValueError, AttributeError) as error:
            return Reply(400, body=(f"Failed to parse the request body as JSON: {error}").encode(), headers=TEXT)
        faults = []
        for name, kind, words in input_faults(self.schema, given) if self.schema else ():
            kind_wanted = json.dumps(words.rpartition(" ")[2])
            message, sort = f"{json.dumps(given.get(name))} is not of type {kind_wanted}", ""
            if kind == "required":
                message, sort = "Field required", ".missing"
            elif kind != "invalid_type":
                message = f"{json.dumps(given[name])} {words}"
            faults.append({"loc": ["body", "input", name], "msg": message, "type": "value_error" + sort})
        return Reply(422, {"detail": faults}, headers={"Content-Type": "application/json"}) if faults else None

    def _occupy(self, run):
        """Take the one slot, or say who has it."""
        with self._lock:
            if self.current is None:
                self.current = run
                return None
            if self.current.id == run.id:
                return Reply(202, {"id": run.id, "input": self.current.given, "logs": self.current.logs, "metrics": {},
                                   "status": "processing"})
            if self.old:
                return Reply(409, {"detail": "Already running a prediction"},
                             headers={"Content-Type": "application/json"})
            return self._error(409, "At capacity - all prediction slots busy", status="failed")

    def _free(self, run):
        with self._lock:
            if self.current is run:
                self.current = None
            if not run.over:
                self.canceled.append(run.id)

    def _finish(self, run, connection):
        try:
            return [data for kind, data in self._steps(run, connection) if kind == "completed"][-1]
        finally:
            self._free(run)

    def _events(self, run, connection):
        yield _server_sent("start", json.dumps({"id": run.id, "status": "processing"}))
        for kind, data in self._steps(run, connection):
            yield _server_sent(kind, json.dumps(data))

    def _steps(self, run, connection):
        """Run the model: pairs of an event's name and its data, the last being `completed`."""
        known = (self.schema or {}).get("components", {}).get("schemas", {}).get("Input", {}).get("properties")
        given = {name: value for name, value in run.given.items() if known is None or name in known}
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
                answer = run.answer("succeeded", output=run.items if several else run.items[0])
        except Exception as error:  # noqa: BLE001 - whatever the model raises is its failure, not the server's
            answer = run.answer("failed", error=f"Prediction failed: {type(error).__name__}: {error}")
        yield "completed", answer

    def _pause(self, run, connection):
        """Wait as long as the model takes; False once the run is to stop."""
        until = time.monotonic() + self.seconds
        while not run.stopped.is_set():
            if self._closing.is_set() or (connection and not self.old and connection.gone()):
                run.stopped.set()
            left = until - time.monotonic()
            if left <= 0:
                break
            run.stopped.wait(min(left, 0.02))
        return not run.stopped.is_set()


# ---------------------------------------------------------------------------------------------
# The server
# ---------------------------------------------------------------------------------------------

GZIP_FROM = 1400  # bytes: a smaller body fits one packet anyhow


class Rule:
    """Answers that a test has scripted for some requests."""

    def __init__(self, method, path, replies, times):
        self.method, self.path, self.replies = method, re.compile(path), list(replies)
        self.left = float("inf") if times is False else len(replies) - 1 + (1 if times is None else times)

    def matches(self, seen):
        return self.left > 0 and self.method in (None, seen.method) and self.path.fullmatch(seen.path)

    def next(self):
        self.left -= 1
        return self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]


class Connection(threading.Thread):
    """One TCP connection: requests in, replies out, until either side has had enough."""

    def __init__(self, api, sock, serial):
        super().__init__(daemon=True)
        self.api, self.sock, self.serial, self.reader = api, sock, serial, None

    def run(self):
        try:
            self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.api.tls:
                self.sock = self.api.tls.wrap_socket(self.sock, server_side=True, do_handshake_on_connect=False)
                self.sock.do_handshake()
            self.reader = self.sock.makefile("rb")
            while not self.api.closing.is_set() and self._serve_one():
                pass
        except (OSError, ValueError, http.client.HTTPException):
            pass  # the other side left, or spoke no HTTP: its own business
        finally:
            self.close()

    def close(self):
        for part in (self.reader, self.sock):
            try:
                if part is not None:
                    part.close()
            except OSError:
                pass
        self.api.forget(self)

    def wake(self):
        """Make whatever this connection blocks in return; from another thread."""
        try:
            socket.socket.shutdown(self.sock, socket.SHUT_RDWR)  # past ssl's own, which is not for two threads
        except OSError:
            pass

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
        line = self.reader.readline(65536)
        if not line.strip():
            return bool(line)  # a blank line before a request is allowed
        method, target, version = line.decode("latin-1").split()
        headers = http.client.parse_headers(self.reader)
        if headers.get("Expect", "").lower() == "100-continue":
            self.sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        body, complete = self._read_body(headers)
        seen = Seen(method, target, headers, body, complete, self.serial)
        self.api.requests.append(seen)
        if not complete:
            return False
        reply = self.api.reply(seen, self)
        keep = version == "HTTP/1.1" and headers.get("Connection", "").lower() != "close"
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
                if not self._read_exactly(size, body)[1] or self.reader.readline(3) != b"\r\n":
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
            self.sock.sendall(b"HTTP/1.1 %d Interim\r\nLink: </x>; rel=preload\r\n\r\n" % code)
        if reply.reset and reply.cut is None:
            return self._reset()
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
            body, more = gzip.compress(body, 1), dict(more, **{"Content-Encoding": "gzip"})
        if reply.status not in (204, 304):
            reply.default("Content-Length", str(len(body)))
        if seen.method == "HEAD":
            body = b""
        sent = body if reply.cut is None else body[:reply.cut]
        self._drip(reply.head(**more) + sent, reply.pause)
        return reply.cut is None

    def _send_pieces(self, reply, more):
        """Chunked: each piece a chunk; `cut` counts bytes of the pieces."""
        pieces = iter(reply.pieces)
        left = float("inf") if reply.cut is None else reply.cut
        try:
            self.sock.sendall(reply.head(**dict(more, **{"Transfer-Encoding": "chunked"})))
            for number, piece in enumerate(pieces):
                if number:
                    self.api.closing.wait(reply.pause)
                if len(piece) > left:
                    self.sock.sendall(b"%x\r\n%s" % (len(piece), piece[:int(left)]))
                    return False
                left -= len(piece)
                if piece:  # an empty chunk would be the end
                    self.sock.sendall(b"%x\r\n%s\r\n" % (len(piece), piece))
            if reply.cut is not None:
                return False
            self.sock.sendall(b"0\r\n\r\n")
            return True
        finally:
            getattr(pieces, "close", int)()  # a generator must not linger until it is collected

    def _drip(self, data, pause):
        if not pause:
            self.sock.sendall(data)
            return
        for number in range(len(data)):
            if self.api.closing.is_set():
                return
            self.sock.sendall(data[number:number + 1])
            self.api.closing.wait(pause)

    def _reset(self):
        self.api.closing.wait(0.03)  # let what was sent be read: some systems discard it at a reset
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                             struct.pack("hh" if os.name == "nt" else "ii", 1, 0))
        return False


class StandIn(Api):
    """The stand-in on a port of loopback; a context manager.

    `speed` divides every time that the service decides on: lives of runs, holds, deadlines.
    """

    def __init__(self, *, token="r8_test0000000000000000000000000000000000", tls=None, speed=1.0, port=0):
        super().__init__(token, speed)
        self.tls, self.requests, self.connections, self._rules, self._open = tls, [], 0, [], set()
        self.cog = Cog(self.closing)
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
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()
        return self

    def close(self):
        if self._listener is None or self.closing.is_set():
            return
        self.closing.set()
        try:  # a closed listener does not wake accept() everywhere; a caller does
            socket.create_connection(self._listener.getsockname(), timeout=1).close()
        except OSError:
            pass
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
        """The requests so far, those with this method and a path that this expression matches in full."""
        return [seen for seen in list(self.requests) if method in (None, seen.method)
                and (path is None or re.fullmatch(path, seen.path))]

    def clear(self):
        """Forget requests and counts, and keep everything else."""
        with self.changed:
            del self.requests[:], self.creations[:]
            self.connections = 0

    def answer(self, method, path, *replies, times=None):
        """Script the next answers to some requests, each used once in its order; then service is normal again.

        A reply is a Reply or a callable(seen, connection) that gives one, or None to be served normally.
        `times` is how often the last reply is used: once by default, False for ever. Rules are tried in the
        order in which they were made.
        """
        with self.changed:
            self._rules.append(Rule(method, path, replies, times))

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
        return reply or Reply.problem(404, "The requested resource could not be found.", title="Not found")


# ---------------------------------------------------------------------------------------------
# The base class of the tests
# ---------------------------------------------------------------------------------------------


class HandClock:
    """A clock that moves only when somebody sleeps on it."""

    def __init__(self, now=1000.0):
        self.time, self.slept = now, []

    def now(self):
        return self.time

    def sleep(self, seconds, stop=None):
        if stop is not None and stop.is_set():
            return
        self.slept.append(seconds)
        self.time += max(seconds, 0)


class Case(unittest.TestCase):
    """A test with a fresh stand-in, fifty times as fast as life, and a client of its own."""

    def setUp(self):
        patch = mock.patch.dict(os.environ)
        patch.start()
        self.addCleanup(patch.stop)
        for name in list(os.environ):
            if name.upper().startswith("REPLICATE_") or name.lower().endswith("_proxy"):
                del os.environ[name]
        self.api = StandIn(speed=50).start()
        self.addCleanup(self.api.close)
        self.client = replicate.Client(api_token=self.api.token, base_url=self.api.url, proxies={})

    def turn_clock(self, *, api=False):
        """Give the client a clock turned by hand; with `api`, runs on the stand-in live by it too."""
        clock = self.client._clock = HandClock()
        if api:
            self.api.clock, self.api.speed = clock.now, 1.0
        return clock


# ---------------------------------------------------------------------------------------------
# Command line
# ---------------------------------------------------------------------------------------------


def serve(argv):
    """Serve until Ctrl-C."""
    parser = argparse.ArgumentParser(prog="test_replicate.py serve", description=serve.__doc__)
    parser.add_argument("--port", type=int, default=0)
    with StandIn(port=parser.parse_args(argv).port) as api:
        print(f"export REPLICATE_BASE_URL={api.url}\nexport REPLICATE_API_TOKEN={api.token}", flush=True)
        print("Serving the stand-in API; models: {}. Ctrl-C ends.".format(", ".join(api.catalogue)), file=sys.stderr)
        try:
            while True:
                time.sleep(3600)
        except KeyboardInterrupt:
            return 0


def run_against_stand_in(argv):
    """Run the client's own command line in this process."""
    with StandIn() as api:
        os.environ.update(REPLICATE_BASE_URL=api.url, REPLICATE_API_TOKEN=api.token, no_proxy="127.0.0.1")
        return replicate.main(argv)


BARE_IMPORT = "import urllib.request, json"
BARE_RUN = """
import json, os, urllib.request
request = urllib.request.Request(os.environ["REPLICATE_BASE_URL"] + "/v1/models/test/echo/predictions",
    data=json.dumps({"input": {"text": "Alice"}}).encode(), headers={"Content-Type": "application/json",
    "Authorization": "Bearer " + os.environ["REPLICATE_API_TOKEN"], "Prefer": "wait"})
assert json.load(urllib.request.urlopen(request))["output"] == {"text": "Alice"}
"""
OUR_RUN = """
import replicate
assert replicate.run("test/echo", input={"text": "Alice"}) == {"text": "Alice"}
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
    path = "/v1/predictions/" + client.predictions.create(model="test/echo", input={"text": "Alice"}).id
    bare = http.client.HTTPConnection(urlsplit(url).netloc, timeout=60)

    def bare_get():
        bare.request("GET", path, headers={"Authorization": "Bearer " + token})
        return json.loads(bare.getresponse().read())
    try:
        return _medians(lambda: _cpu_seconds(lambda: client.predictions.get(path.rsplit("/", 1)[1])),
                        lambda: _cpu_seconds(bare_get))
    finally:
        bare.close()


def _measure(environment):
    """Rows of the table: what, ours and bare in seconds, the promise."""
    def both(ours, bare):
        return _medians(lambda: _process_seconds(ours, environment), lambda: _process_seconds(bare, environment))
    yield ["import, whole process, against urllib.request and json", *both("import replicate", BARE_IMPORT), 1.15]
    yield ["one run, whole process, against urllib.request", *both(OUR_RUN, BARE_RUN), 1.10]
    yield ["predictions.get, CPU, against http.client", *_request_medians(environment), 1.4]


def bench(argv):
    """Print import time, cold run and cost per request, beside bare modules and what was promised."""
    environment = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # or compilation would be measured, each time
    environment["PYTHONPATH"] = os.path.dirname(os.path.abspath(replicate.__file__))
    server = subprocess.Popen([sys.executable, os.path.abspath(__file__), "serve"], env=environment,
                              stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    try:
        for _ in range(2):  # in another process, so that its work is not counted
            name, _, value = server.stdout.readline().decode().split()[1].partition("=")
            environment[name] = value
        title = f"medians of {BENCH_ROUNDS - 1}"
        print(f"{title:56} {'ours':>10} {'bare':>10} {'ratio':>7} {'promise':>8}")
        for what, ours, bare, promise in _measure(environment):
            times = f"{ours * 1000:7.2f} ms {bare * 1000:7.2f} ms {ours / bare:6.2f}x"
            print(f"{what:56} {times} {promise:7.2f}x", flush=True)
    finally:
        server.terminate()
        server.wait()
        server.stdout.close()
    return 0


def command_line(argv):
    """`serve`, `run`, `map` and `bench`; anything else is unittest's."""
    if argv[:1] == ["serve"]:
        return serve(argv[1:])
    if argv[:1] in (["run"], ["map"]):
        return run_against_stand_in(argv)
    if argv[:1] == ["bench"]:
        return bench(argv[1:])
    return unittest.main(argv=[sys.argv[0]] + argv)


# ---------------------------------------------------------------------------------------------
# Tests: The API: every operation, every form of a call, running, waiting
# ---------------------------------------------------------------------------------------------

# ---------------------------------------------------------------------------------------------
# The HTTP API: a row for each operation
# ---------------------------------------------------------------------------------------------

OPENAPI = """
account.get                     GET     /account
collections.list                GET     /collections
collections.get                 GET     /collections/{collection_slug}
deployments.list                GET     /deployments
deployments.create              POST    /deployments
deployments.get                 GET     /deployments/{deployment_owner}/{deployment_name}
deployments.update              PATCH   /deployments/{deployment_owner}/{deployment_name}
deployments.delete              DELETE  /deployments/{deployment_owner}/{deployment_name}
deployments.predictions.create  POST    /deployments/{deployment_owner}/{deployment_name}/predictions
files.list                      GET     /files
files.create                    POST    /files
files.get                       GET     /files/{file_id}
files.delete                    DELETE  /files/{file_id}
files.download                  GET     /files/{file_id}/download
hardware.list                   GET     /hardware
models.list                     GET     /models
models.create                   POST    /models
models.get                      GET     /models/{model_owner}/{model_name}
models.update                   PATCH   /models/{model_owner}/{model_name}
models.delete                   DELETE  /models/{model_owner}/{model_name}
models.examples.list            GET     /models/{model_owner}/{model_name}/examples
models.predictions.create       POST    /models/{model_owner}/{model_name}/predictions
models.readme.get               GET     /models/{model_owner}/{model_name}/readme
models.versions.list            GET     /models/{model_owner}/{model_name}/versions
models.versions.get             GET     /models/{model_owner}/{model_name}/versions/{version_id}
models.versions.delete          DELETE  /models/{model_owner}/{model_name}/versions/{version_id}
trainings.create                POST    /models/{model_owner}/{model_name}/versions/{version_id}/trainings
predictions.list                GET     /predictions
predictions.create              POST    /predictions
predictions.get                 GET     /predictions/{prediction_id}
predictions.cancel              POST    /predictions/{prediction_id}/cancel
search                          GET     /search
trainings.list                  GET     /trainings
trainings.get                   GET     /trainings/{training_id}
trainings.cancel                POST    /trainings/{training_id}/cancel
webhooks.default.secret.get     GET     /webhooks/default/secret
models.search                   QUERY   /models
"""  # the 36 operationIds of the OpenAPI file, and the search of the 1.x client, which is not in it
OPENAPI = {name: (method, path) for name, method, path in map(str.split, OPENAPI.strip().splitlines())}

FOX, HOOK, SPARE = {"prompt": "a fox"}, "https://example.com/hook", "5" * 64
NEW_MODEL = {"owner": "acme", "name": "new", "visibility": "private", "hardware": "cpu", "description": "d"}
NEW_APP = {"name": "new-app", "model": "stability/sketch", "version": "<version>", "hardware": "gpu-t4",
           "min_instances": 0, "max_instances": 3}
LINK = {"owner": "acme", "expiry": "<expiry>", "signature": "<signature>"}
PERIOD = {"created_after": "2024-01-01T00:00:00Z", "created_before": "2099-01-01T00:00:00Z", "source": "web"}
SORTED = {"sort_by": "model_created_at", "sort_direction": "asc"}
HOOKED = {"webhook": HOOK, "webhook_events_filter": ["completed"]}

# id in OPENAPI, arguments, path, type returned ([type]: a page of them), what it holds (fields; of a page those of
# the first), the query, headers and body expected, and the client's method where it is not named as the id is. Run in
# this order: some build on others. Words in <> are filled in.
Row = namedtuple("Row", "id args kw path kind gives query headers body call", defaults=({}, {}, None, None))
OPERATIONS = [
    Row("account.get", (), {}, "/account", dict, {"username": "acme"}, call="accounts.current"),
    Row("account.get", (), {}, "/account", dict, {"username": "acme"}),
    Row("collections.list", (), {}, "/collections", [dict], {"slug": "text-to-image"}),
    Row("collections.get", ("language-models",), {}, "/collections/language-models", dict,
        {"slug": "language-models"}),
    Row("deployments.list", (), {}, "/deployments", [replicate.Deployment], {"name": "my-app"}),
    Row("deployments.create", (), NEW_APP, "/deployments", replicate.Deployment,
        {"owner": "acme", "name": "new-app"}, body=NEW_APP),
    Row("deployments.get", ("acme/new-app",), {}, "/deployments/acme/new-app", replicate.Deployment,
        {"name": "new-app"}),
    Row("deployments.update", ("acme/new-app",), {"min_instances": 1, "hardware": "cpu"},
        "/deployments/acme/new-app", replicate.Deployment, {"name": "new-app"},
        body={"min_instances": 1, "hardware": "cpu"}),
    Row("deployments.delete", ("acme/new-app",), {}, "/deployments/acme/new-app", bool, True),
    Row("deployments.predictions.create", ("acme/my-app", FOX), {"wait": 5}, "/deployments/acme/my-app/predictions",
        replicate.Prediction, {"deployment": "acme/my-app"}, headers={"Prefer": "wait=5"}, body={"input": FOX}),
    Row("files.list", (), {}, "/files", [replicate.File], {"id": "<file>"}),
    Row("files.create", ("<path>",), {"content_type": "text/x-fox", "metadata": {"n": 1}}, "/files", replicate.File,
        {"name": "fox.txt", "content_type": "text/x-fox", "metadata": {"n": 1}, "size": 5}, body=b"a fox"),
    Row("files.get", ("<file>",), {}, "/files/<file>", replicate.File, {"id": "<file>"}),
    Row("files.download", ("<file>",), LINK, "/files/<file>/download", bytes, b"a fox", LINK),
    Row("files.delete", ("<file>",), {}, "/files/<file>", bool, True),
    Row("hardware.list", (), {}, "/hardware", list, {"sku": "cpu"}),
    Row("models.list", (), SORTED, "/models", [replicate.Model], {"name": "hello-world"}, SORTED),
    Row("models.search", ("draws",), {}, "/models", [replicate.Model], {"name": "clipdraw"},
        headers={"Content-Type": "text/plain"}, body=b"draws"),
    Row("models.create", ("acme", "new"), {key: value for key, value in NEW_MODEL.items() if key not in
        ("owner", "name")}, "/models", replicate.Model, {"name": "new", "visibility": "private"}, body=NEW_MODEL),
    Row("models.get", ("acme/new",), {}, "/models/acme/new", replicate.Model, {"description": "d"}),
    Row("models.update", ("acme/new",), {"readme": "# Hi\n", "description": "e"}, "/models/acme/new",
        replicate.Model, {"description": "e"}, body={"readme": "# Hi\n", "description": "e"}),
    Row("models.readme.get", ("acme/new",), {}, "/models/acme/new/readme", str, "# Hi\n"),
    Row("models.delete", ("acme/new",), {}, "/models/acme/new", bool, True),
    Row("models.examples.list", ("stability/sketch",), {}, "/models/stability/sketch/examples",
        [replicate.Prediction], {"model": "stability/sketch", "status": "succeeded"}),
    Row("models.predictions.create", ("test/echo", {"a": 1}), dict(HOOKED, stream=True),
        "/models/test/echo/predictions", replicate.Prediction, {"input": {"a": 1}}, body=dict(HOOKED,
        input={"a": 1}, stream=True)),
    Row("models.versions.list", ("stability/sketch",), {}, "/models/stability/sketch/versions", [replicate.Version],
        {"id": "<version>"}),
    Row("models.versions.get", ("stability/sketch", "<version>"), {}, "/models/stability/sketch/versions/<version>",
        replicate.Version, {"id": "<version>"}),
    Row("models.versions.delete", ("acme/hot-dog-detector", SPARE), {},
        "/models/acme/hot-dog-detector/versions/" + SPARE, bool, True),
    Row("trainings.create", (), dict(HOOKED, version="stability/sketch:<version>", input=FOX,
        destination="acme/hot-dog-detector"), "/models/stability/sketch/versions/<version>/trainings",
        replicate.Training, {"input": FOX}, body=dict(HOOKED, input=FOX, destination="acme/hot-dog-detector")),
    Row("predictions.list", (), PERIOD, "/predictions", [replicate.Prediction], None, PERIOD),
    Row("predictions.create", (), dict(HOOKED, version="<version>", input=FOX, wait=5, cancel_after="5m"),
        "/predictions", replicate.Prediction, {"input": FOX}, headers={"Prefer": "wait=5", "Cancel-After": "5m"},
        body=dict(HOOKED, version="<version>", input=FOX)),
    Row("predictions.get", ("<prediction>",), {}, "/predictions/<prediction>", replicate.Prediction,
        {"id": "<prediction>"}),
    Row("predictions.cancel", ("<prediction>",), {}, "/predictions/<prediction>/cancel", replicate.Prediction,
        {"status": "canceled"}),
    Row("search", ("hello",), {"limit": 3}, "/search", dict, {"query": "hello"}, {"query": "hello", "limit": "3"}),
    Row("trainings.list", (), {}, "/trainings", [replicate.Training], {"model": "stability/sketch"}),
    Row("trainings.get", ("<training>",), {}, "/trainings/<training>", replicate.Training, {"id": "<training>"}),
    Row("trainings.cancel", ("<training>",), {}, "/trainings/<training>/cancel", replicate.Training,
        {"id": "<training>"}),
    Row("webhooks.default.secret.get", (), {}, "/webhooks/default/secret", dict, {"key": StandIn.webhook_secret},
        call="webhooks.default.secret"),
]


def filled(value, words):
    """A row's value with its words in <> filled in."""
    if isinstance(value, dict):
        return {name: filled(item, words) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(filled(item, words) for item in value)
    return re.sub("<(.+?)>", lambda found: words[found.group(1)], value) if isinstance(value, str) else value


def method_named(client, path):
    for name in path.split("."):
        client = getattr(client, name)
    return client


class ApiCase(Case):
    """A case that polls fast, with what the tables below need."""

    def setUp(self):
        super().setUp()
        os.environ["REPLICATE_POLL_INTERVAL"] = "0.01"
        self.sketch = self.version_of("stability/sketch")
        self.hello = self.version_of("replicate/hello-world")
        self.words = self.version_of("replicate/slow-words")

    def version_of(self, model):
        return self.api.catalogue[model].versions[0]["id"]

    def client_of(self, **options):
        return replicate.Client(api_token=self.api.token, base_url=self.api.url, proxies={}, **options)

    def use_default_client(self):
        os.environ.update(REPLICATE_API_TOKEN=self.api.token, REPLICATE_BASE_URL=self.api.url)

    def directory(self):
        path = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, path, ignore_errors=True)
        return pathlib.Path(path)

    def paths(self, method=None):
        """The paths asked for, without /v1."""
        return [seen.path[len("/v1"):] for seen in self.api.seen(method)]

    def creations(self):
        return [seen for seen in self.api.seen("POST") if not seen.path.endswith("/cancel")]

    def cancels(self):
        return self.api.seen("POST", ".*/cancel")

    def scripted(self, *states, **more):
        """A prediction that goes through these states: the first is the answer to its creation."""
        whole = [dict({"id": "p1", "status": "processing", "model": "test/echo"}, **dict(more, **state))
                 for state in states]
        self.api.answer("POST", "/v1/.*predictions", Reply(201, whole[0]))
        if whole[1:]:
            self.api.answer("GET", "/v1/predictions/p1", *(Reply(json=state) for state in whole[1:]))

    def furnished(self):
        """The words of the tables: one thing of each kind on the server."""
        path = self.directory() / "fox.txt"
        path.write_bytes(b"a fox")
        owned = self.api.catalogue["acme/hot-dog-detector"]
        owned.versions.append({"id": SPARE, "created_at": "2024-01-01T00:00:00.123456789Z", "cog_version": "0.9.4",
                               "openapi_schema": None})
        file = self.client.files.create(str(path))
        slow = self.client.predictions.create(model="test/slow", input={"seconds": 30000})
        training = self.client.trainings.create(version="stability/sketch:" + self.sketch, input=FOX,
                                                destination="acme/hot-dog-detector")
        expiry = str(int(time.time()) + 3600)
        self.api.clear()
        return {"path": str(path), "file": file.id, "prediction": slow.id, "training": training.id, "expiry": expiry,
                "version": self.sketch, "signature": self.api.sign_file("acme", file.id, expiry)}


class Operations(ApiCase):
    def test_the_table_holds_every_operation_of_the_api(self):
        self.assertEqual(len(OPENAPI), 36 + 1)
        self.assertEqual({row.id for row in OPERATIONS}, set(OPENAPI))
        for row in OPERATIONS:
            fits = re.sub(r"\{\w+\}", "[^/]+", OPENAPI[row.id][1])
            self.assertRegex(row.path, f"^{fits}$")

    def drive(self, call):
        words = self.furnished()
        for row in OPERATIONS:
            with self.subTest(row.call or row.id):
                self.api.clear()
                args, kw, path, _, gives, query, headers, body = filled(row[1:4] + (None,) + row[5:9], words)
                result = call(row.call or row.id, args, kw)
                seen, = self.api.requests
                self.assertEqual((seen.method, seen.path), (OPENAPI[row.id][0], "/v1" + path))
                self.assertEqual(seen.query, {name: [value] for name, value in query.items()})
                self.assertEqual(seen.headers["Authorization"], "Bearer " + self.api.token)
                for name in {"Prefer", "Cancel-After", *headers}:
                    self.assertEqual(seen.headers.get(name), headers.get(name))
                self.check_body(seen, body)
                self.check_result(result, row.kind, gives)

    def check_body(self, seen, body):
        kind = seen.headers.get_content_type()
        if isinstance(body, dict):
            self.assertEqual((kind, seen.json), ("application/json", body))
        elif kind == "multipart/form-data":
            self.assertEqual(parse_multipart(seen.headers["Content-Type"], seen.body)["content"][2], body)
        else:
            self.assertEqual(seen.body, body or b"")

    def check_result(self, result, kind, gives):
        if isinstance(kind, list):
            self.assertIsInstance(result, replicate.Page)
            self.assertTrue(all(isinstance(item, kind[0]) for item in result))
        else:
            self.assertIsInstance(result, kind)
        if isinstance(gives, dict):
            first = result[0] if isinstance(result, list) else result
            self.assertEqual({name: getattr(first, name) for name in gives}, gives)
        elif gives is not None:
            self.assertEqual(result, gives)

    def test_each_operation_sends_what_the_api_describes_and_returns_its_type(self):
        self.drive(lambda path, args, kw: method_named(self.client, path)(*args, **kw))

    def test_each_async_twin_sends_and_returns_the_same(self):
        def call(path, args, kw):
            where, _, verb = path.rpartition(".")
            return asyncio.run(method_named(self.client, f"{where}.async_{verb}".lstrip("."))(*args, **kw))
        self.drive(call)


# ---------------------------------------------------------------------------------------------
# Forms of calls: c is the client, m, v, d a model, version and deployment, V an id, FOX an input
# ---------------------------------------------------------------------------------------------

PREDICTIONS = {"input": FOX}
TRAINING = {"input": {"prompt": "x"}, "destination": "acme/hot-dog-detector"}
FORMS = [
    ("GET", "/models/stability/sketch", None, """
        c.models.get("stability/sketch"); c.models.get("stability", "sketch")
        c.models.get(owner="stability", name="sketch"); c.models.get(key="stability/sketch"); c.models.get(m)"""),
    ("DELETE", "/models/stability/sketch", None, """
        c.models.delete("stability/sketch"); c.models.delete("stability", "sketch")
        c.models.delete(owner="stability", name="sketch"); c.models.delete(key="stability/sketch")
        c.models.delete(m)"""),
    ("PATCH", "/models/stability/sketch", {"description": "d"}, """
        c.models.update("stability/sketch", description="d"); c.models.update("stability", "sketch", description="d")
        c.models.update(m, description="d")"""),
    ("GET", "/models/stability/sketch/readme", None, """
        c.models.readme.get("stability/sketch"); c.models.readme.get("stability", "sketch"); c.models.readme.get(m)"""),
    ("GET", "/models/stability/sketch/examples", None, """
        c.models.examples.list("stability/sketch"); c.models.examples.list("stability", "sketch")
        c.models.examples.list(m)"""),
    ("GET", "/models/stability/sketch/versions", None, """
        c.models.versions.list("stability/sketch"); c.models.versions.list("stability", "sketch")
        c.models.versions.list(m); m.versions.list()"""),
    ("GET", "/models/stability/sketch/versions/<V>", None, """
        c.models.versions.get("stability/sketch", V); c.models.versions.get("stability", "sketch", V)
        c.models.versions.get("stability/sketch:" + V); c.models.versions.get(m, V); m.versions.get(V)
        m.versions.get(id=V)"""),
    ("DELETE", "/models/stability/sketch/versions/<V>", None, """
        c.models.versions.delete("stability/sketch", V); c.models.versions.delete("stability", "sketch", V)
        c.models.versions.delete("stability/sketch:" + V); m.versions.delete(V); m.versions.delete(id=V)"""),
    ("GET", "/deployments/acme/my-app", None, """
        c.deployments.get("acme/my-app"); c.deployments.get(name="acme/my-app"); c.deployments.get("acme", "my-app")
        c.deployments.get(d)"""),
    ("PATCH", "/deployments/acme/my-app", {"min_instances": 2}, """
        c.deployments.update("acme", "my-app", min_instances=2)
        c.deployments.update(deployment_owner="acme", deployment_name="my-app", min_instances=2)
        c.deployments.update("acme/my-app", min_instances=2); c.deployments.update(d, min_instances=2)"""),
    ("DELETE", "/deployments/acme/my-app", None, """
        c.deployments.delete("acme", "my-app")
        c.deployments.delete(deployment_owner="acme", deployment_name="my-app"); c.deployments.delete("acme/my-app")
        c.deployments.delete(d)"""),
    ("POST", "/predictions", dict(PREDICTIONS, version="<V>"), """
        c.predictions.create(V, FOX); c.predictions.create(version=V, input=FOX); c.predictions.create(v, FOX)
        c.predictions.create(v, input=FOX); c.predictions.create(version=v, input=FOX); v.create(**FOX)"""),
    ("POST", "/models/stability/sketch/predictions", PREDICTIONS, """
        c.predictions.create(model="stability/sketch", input=FOX)
        c.predictions.create(model=("stability", "sketch"), input=FOX); c.predictions.create(model=m, input=FOX)
        c.models.predictions.create("stability/sketch", FOX)
        c.models.predictions.create(("stability", "sketch"), FOX); c.models.predictions.create(model=m, input=FOX)
        c.use("stability/sketch").create(**FOX)"""),
    ("POST", "/deployments/acme/my-app/predictions", PREDICTIONS, """
        c.predictions.create(deployment="acme/my-app", input=FOX)
        c.predictions.create(deployment=("acme", "my-app"), input=FOX); c.predictions.create(deployment=d, input=FOX)
        c.deployments.predictions.create("acme/my-app", FOX)
        c.deployments.predictions.create(("acme", "my-app"), FOX)
        c.deployments.predictions.create(deployment=d, input=FOX); d.predictions.create(FOX)
        d.predictions.create(input=FOX)"""),
    ("POST", "/models/stability/sketch/versions/<V>/trainings", TRAINING, """
        c.trainings.create("stability/sketch:" + V, {"prompt": "x"}, "acme/hot-dog-detector")
        c.trainings.create(version="stability/sketch:" + V, input={"prompt": "x"}, destination="acme/hot-dog-detector")
        c.trainings.create(model="stability/sketch", version=V, **TRAINING)
        c.trainings.create(model=("stability", "sketch"), version=V, **TRAINING)
        c.trainings.create(model=m, version=v, **TRAINING)
        c.trainings.create(model=m, version=v, input={"prompt": "x"}, destination=("acme", "hot-dog-detector"))
        c.trainings.create(model=m, version=v, input={"prompt": "x"}, destination=o)"""),
    ("GET", "/collections/language-models", None, """
        c.collections.get("language-models"); c.collections.get(slug="language-models")"""),
    ("GET", "/files/<file>", None, """
        c.files.get(file); c.files.get(file_id=file)"""),
    ("DELETE", "/files/<file>", None, """
        c.files.delete(file); c.files.delete(file_id=file)"""),
    ("GET", "/predictions/<prediction>", None, """
        c.predictions.get(prediction); c.predictions.get(id=prediction)"""),
    ("POST", "/predictions/<prediction>/cancel", None, """
        c.predictions.cancel(prediction); c.predictions.cancel(id=prediction)"""),
    ("POST", "/trainings/<training>/cancel", None, """
        c.trainings.cancel(training); c.trainings.cancel(id=training)"""),
    ("QUERY", "/models", None, """
        c.models.search("draws"); c.models.search(query="draws")"""),
]

WRONG = """
    c.models.get(); c.models.get(None); c.models.get(5); c.models.get(""); c.models.get("hello-world")
    c.models.get("a/b/c"); c.models.get("a", "b", "c"); c.models.get("a/"); c.models.get("/b"); c.models.get("a", "")
    c.models.get("a", None); c.models.get(owner="a"); c.models.get("../b"); c.models.get("a", "..")
    c.models.get(".", "b"); c.models.update("a", description="d"); c.models.delete("a/.."); c.models.readme.get("a")
    c.models.versions.get("a/b"); c.models.versions.get("a/b", ".."); c.models.versions.get("a/b", "")
    c.models.versions.delete("a/b", "."); c.models.search(None); c.models.create("a"); c.deployments.create(name="a")
    c.deployments.get("a"); c.deployments.update("a", min_instances=1); c.deployments.delete("..", "b")
    c.deployments.predictions.create("../b", {}); c.collections.get(""); c.collections.get(".."); c.files.get("")
    c.files.get(None); c.files.delete(".."); c.predictions.get(""); c.predictions.get("."); c.predictions.get(None)
    c.predictions.cancel(".."); c.trainings.get(""); c.trainings.cancel(None); c.trainings.create()
    c.trainings.create(version="a/b:" + V, input={}); c.trainings.create(version=V, input={}, destination="a/b")
    c.trainings.create(model="a/b", input={}, destination="a/b")
    c.trainings.create(version="a/b:..", input={}, destination="a/b"); c.models.list(None)
    c.models.list(cursor=None); c.models.versions.list("a/b", cursor=None)
    c.models.examples.list("a/b", cursor=None); c.predictions.list(None); c.trainings.list(None)
    c.deployments.list(None); c.collections.list(None); c.files.list(None); c.predictions.create()
    c.predictions.create(input={}); c.predictions.create(V, {}, model="a/b")
    c.predictions.create(model="a/b", deployment="a/b", input={}); c.predictions.create(5, {})
    c.predictions.create(model="b", input={}); c.predictions.create(model=5, input={})
    c.predictions.create(deployment=("a", "..", "b"), input={}); c.predictions.create(V, {}, wait=0)
    c.predictions.create(V, {}, wait=61); c.predictions.create(V, {}, wait=-1)
    c.predictions.create(V, {}, wait="yes"); c.predictions.create(V, {}, cancel_after=4)
    c.predictions.create(V, {"n": float("nan")}); c.predictions.create(V, {"n": object()}); c.run("a/b", {}, wait=0)
    c.run("a/b", {}, wait=61); c.run("a/b", {}, wait=1.5); c.run("a/b", {}, cancel_after=4.5)
    c.run("a/b", {}, cancel_after="4s"); c.run("a/b", {}, cancel_after="soon"); c.run("a/b", {}, cancel_after="")
    c.run("a/b", {}, cancel_after="-5m"); c.run("a/b", {}, webhook_events_filter="completed")
    c.run("a/b", {}, file_encoding_strategy="zip"); c.run("a/b", {}, timeout=-1); c.run("a/b", {}, timeout="soon")
    c.run("a/b", {"n": float("inf")}); c.run("a/b", {"n": object()}); c.run("a/b:..", {})
    c.stream("a/b", {}, wait=61); c.stream("b", {}); c.map("a/b", [{}], concurrency=0); c.map("b", [{}]); c.use("b")
    replicate.Client(timeout=-1); replicate.Client(max_retries=-1); replicate.Client(base_url="file:///etc/passwd")
"""
UNKNOWN_KEYWORDS = """
    c.models.get("a/b", novel=1); c.models.delete("a/b", novel=1); c.models.list(novel=1)
    c.models.search("a", novel=1); c.models.readme.get("a/b", novel=1); c.models.versions.list("a/b", novel=1)
    c.models.versions.get("a/b", V, novel=1); c.models.versions.delete("a/b", V, novel=1)
    c.predictions.get("a", novel=1); c.predictions.list(novel=1); c.predictions.cancel("a", novel=1)
    c.trainings.get("a", novel=1); c.trainings.list(novel=1); c.deployments.get("a/b", novel=1)
    c.deployments.delete("a/b", novel=1); c.files.get("a", novel=1); c.files.list(novel=1)
    c.collections.list(novel=1); c.hardware.list(novel=1); c.accounts.current(novel=1); c.search("a", novel=1)
    c.webhooks.default.secret(novel=1); replicate.Client(novel=1)
"""
NOVEL = [
    ("POST", 'c.models.create("acme", "new", visibility="private", hardware="cpu", novel=[1])'),
    ("PATCH", 'c.models.update("acme/new", novel=[1])'),
    ("POST", 'c.deployments.create("app", "a/b", V, "cpu", 0, 1, novel=[1])'),
    ("PATCH", 'c.deployments.update("acme", "my-app", novel=[1])'),
    ("POST", 'c.predictions.create(V, {}, novel=[1])'),
    ("POST", 'c.predictions.create(model="a/b", input={}, novel=[1])'),
    ("POST", 'c.deployments.predictions.create("acme/my-app", {}, novel=[1])'),
    ("POST", 'c.trainings.create(version="a/b:" + V, input={}, destination="a/b", novel=[1])'),
]
REFUSED_REFS = [None, 5, "", "hello-world", "a/b/c", "a/", "/b", "a/b:", "../b", "a/..", "deployments/a",
                "deployments/a/..", "ftp://host/path", "file:///etc/passwd", "0" * 63, b"a/b", ["a", "b"], {}]


class Forms(ApiCase):
    def evaluate(self, text, **names):
        return eval(text, {"replicate": replicate, "c": self.client, "V": self.sketch, "FOX": FOX,
                           "TRAINING": TRAINING, **names})

    def lines(self, text, least):
        lines = [line.strip() for line in re.split("[;\n]", text.strip())]
        self.assertGreaterEqual(len(lines), least)
        return lines

    def test_every_way_to_write_a_call_sends_the_same_request(self):
        words = dict(self.furnished(), V=self.sketch)
        names = {"m": self.client.models.get("stability/sketch"), "o": self.client.models.get("acme/hot-dog-detector"),
                 "v": self.client.models.versions.get("stability/sketch", self.sketch),
                 "d": self.client.deployments.get("acme/my-app"), **words}
        self.api.answer("DELETE", ".*", Reply(204), times=False)
        self.api.answer("PATCH", "/v1/models/.*", Reply(json=dict(names["m"])), times=False)
        self.assertGreaterEqual(len(FORMS), 22)
        for method, path, body, calls in FORMS:
            for line in self.lines(calls, 2):
                with self.subTest(line):
                    self.api.clear()
                    self.evaluate(line, **names)
                    seen, = self.api.requests
                    self.assertEqual((seen.method, seen.target), (method, "/v1" + filled(path, words)))
                    if body is not None:
                        self.assertEqual(seen.json, filled(body, words))

    def test_a_call_that_is_wrong_in_itself_is_told_before_any_request(self):
        for line in self.lines(WRONG, 80):
            with self.subTest(line):
                self.api.clear()
                with self.assertRaises((ValueError, TypeError)) as caught:
                    self.evaluate(line)
                self.assertNotIsInstance(caught.exception, replicate.ReplicateError)
                if "list(" in line:
                    self.assertIsInstance(caught.exception, ValueError)
                self.assertTrue(str(caught.exception))
                self.assertEqual(self.api.requests, [])

    def test_an_unknown_keyword_where_none_can_go_is_a_type_error_before_any_request(self):
        for line in self.lines(UNKNOWN_KEYWORDS, 20):
            with self.subTest(line):
                self.api.clear()
                self.assertRaises(TypeError, self.evaluate, line)
                self.assertEqual(self.api.requests, [])

    def test_an_unknown_keyword_of_a_create_or_update_goes_to_the_api(self):
        self.api.answer(None, ".*", Reply(json={"id": "x", "owner": "a", "name": "b", "status": "starting"}),
                        times=False)
        self.assertTrue(NOVEL)
        for method, line in NOVEL:
            with self.subTest(line):
                self.api.clear()
                self.evaluate(line)
                seen, = self.api.seen(method)
                self.assertEqual(seen.json["novel"], [1])

    def test_a_reference_that_is_none_is_a_value_error_that_shows_the_forms(self):
        for ref in REFUSED_REFS:
            for call in (self.client.run, self.client.stream):
                with self.subTest(ref=ref, call=call.__name__):
                    with self.assertRaises(ValueError) as caught:
                        call(ref, {})
                    self.assertNotIsInstance(caught.exception, replicate.ReplicateError)
                    if isinstance(ref, str) and not re.search(r"\.\.|deployments", ref):
                        self.assertIn("owner/name", str(caught.exception))
        self.assertEqual(self.api.requests, [])

    def test_whatever_stands_in_an_id_it_stays_one_segment_of_the_path(self):
        evil = "a/b c?d#e%2f\u00fc"
        quoted = "a%2Fb%20c%3Fd%23e%252f%C3%BC"
        self.api.answer(None, ".*", Reply(json={"id": evil, "status": "starting"}), times=False)
        for call, path in [(self.client.predictions.get, "/predictions/"), (self.client.trainings.get, "/trainings/"),
                           (self.client.files.get, "/files/"), (self.client.collections.get, "/collections/")]:
            call(evil)
            self.assertEqual(self.api.requests[-1].target, "/v1" + path + quoted)
        self.client.predictions.cancel("x/../y")
        self.assertEqual(self.api.requests[-1].target, "/v1/predictions/x%2F..%2Fy/cancel")
        prediction = self.client.predictions.get("x")
        prediction.reload()
        self.assertEqual(self.api.requests[-1].target, "/v1/predictions/" + quoted)

    def test_the_address_of_the_api_is_taken_with_and_without_v1(self):
        for end in ("", "/", "/v1", "/v1/"):
            with self.subTest(end):
                for client in (replicate.Client(self.api.token, base_url=self.api.url + end, proxies={}),
                               replicate.Client(self.api.token, proxies={})):
                    os.environ["REPLICATE_BASE_URL"] = self.api.url + end
                    self.api.clear()
                    self.assertEqual(client.accounts.current().username, "acme")
                    self.assertEqual(self.paths(), ["/account"])


# ---------------------------------------------------------------------------------------------
# Pages and resources
# ---------------------------------------------------------------------------------------------


class Pages(ApiCase):
    def public(self):
        return sorted(model.id for model in self.api.catalogue.values() if not model.owned)

    def test_a_page_is_a_list_that_knows_its_neighbours(self):
        page = self.client.models.list()
        self.assertIsInstance(page, list)
        self.assertEqual((len(page), page.results, page[1:]), (3, list(page), page.results[1:]))
        self.assertIsNone(page.previous)
        second = self.client.models.list(page.next)
        self.assertEqual(self.client.models.list(cursor=second.previous).results, page.results)
        self.assertFalse({model.id for model in second} & {model.id for model in page})

    def test_iter_all_fetches_a_page_when_it_is_reached_and_not_before(self):
        everything = self.client.models.list().iter_all()
        seen = [next(everything).id for _ in range(3)]
        self.assertEqual(len(self.api.requests), 1)
        seen.append(next(everything).id)
        self.assertEqual(len(self.api.requests), 2)
        seen += [model.id for model in everything]
        self.assertEqual((sorted(seen), len(self.api.requests)), (self.public(), -(-len(self.public()) // 3)))

    def test_paginate_follows_next_page_by_page(self):
        pages = self.client.paginate(self.client.models.list)
        self.assertEqual(len(next(pages)), 3)
        self.assertEqual(len(self.api.requests), 1)
        rest = [model for page in pages for model in page]
        self.assertEqual(len(rest), len(self.public()) - 3)
        versions = self.client.models.get("replicate/hello-world").versions
        self.api.page_size = 2
        self.assertEqual([len(page) for page in self.client.paginate(versions.list)], [2, 1])

    def test_async_paginate_takes_the_async_list_and_the_plain_one(self):
        async def ids(method):
            return [model.id async for page in self.client.async_paginate(method) for model in page]
        for method in (self.client.models.async_list, self.client.models.list):
            self.assertEqual(sorted(asyncio.run(ids(method))), self.public())

    def test_the_text_null_and_null_end_the_pages(self):
        for end in ("null", None):
            self.api.clear()
            self.api.answer("GET", "/v1/predictions", Reply(json={"next": end, "previous": end, "results": [{}]}))
            page = self.client.predictions.list()
            self.assertEqual((page.next, page.previous, list(page.iter_all())), (None, None, [{}]))
            self.assertEqual(len(self.api.requests), 1)

    def test_a_next_in_another_scheme_on_the_own_host_is_asked_in_the_scheme_of_the_api(self):
        other = self.api.url.replace("http:", "https:") + "/v1/predictions?cursor=abc"
        self.api.answer("GET", "/v1/predictions", Reply(json={"next": other, "results": [{"id": "a"}]}),
                        Reply(json={"next": None, "results": [{"id": "b"}]}))
        self.assertEqual([run.id for run in self.client.predictions.list().iter_all()], ["a", "b"])
        self.assertEqual([seen.target for seen in self.api.requests],
                         ["/v1/predictions", "/v1/predictions?cursor=abc"])

    def test_filters_are_kept_on_later_pages(self):
        for number in range(7):
            self.client.predictions.create(model="test/echo", input={"n": number})
        period = dict(PERIOD)
        del period["source"]
        for keeps in (True, False):
            self.api.next_keeps_filters = keeps
            for method, filters in ((self.client.models.list, SORTED), (self.client.predictions.list, period)):
                with self.subTest(next_repeats_them=keeps, filters=filters):
                    self.api.clear()
                    found = list(method(**filters).iter_all())
                    self.assertGreaterEqual(len(self.api.requests), 3)
                    for seen in self.api.requests:
                        self.assertEqual({name: seen.query.get(name) for name in filters},
                                         {name: [value] for name, value in filters.items()})
                    if filters is SORTED:
                        self.assertEqual(found[0].id, "replicate/hello-world")

    def test_a_search_goes_on_to_its_later_pages(self):
        found = list(self.client.models.search("a").iter_all())
        self.assertGreater(len(found), 3)
        self.assertEqual([seen.method for seen in self.api.requests][:2], ["QUERY", "GET"])


class Resources(ApiCase):
    RAW = {"id": "p1", "status": "succeeded", "model": "a/b", "created_at": "2023-09-08T16:32:56.990893084Z",
           "urls": {"get": "https://api.example/p1"}, "items": 5, "logs": "line\n" * 500,
           "novel": {"deep": [{"er": 1}]}, "output": ["https://replicate.delivery/a.png", "text"]}

    def got(self, raw=None, path="/v1/predictions/p1"):
        self.api.answer("GET", path, Reply(json=self.RAW if raw is None else raw))
        return self.client.predictions.get("p1")

    def test_a_resource_is_a_dict_whose_keys_are_attributes(self):
        found = self.got()
        self.assertEqual((found.id, found["id"], found.status, found.urls["get"]),
                         ("p1", "p1", "succeeded", self.RAW["urls"]["get"]))
        self.assertEqual((found.novel.deep[0].er, found["novel"]["deep"][0]["er"]), (1, 1))
        self.assertEqual(found.created_at, self.RAW["created_at"])
        self.assertIsInstance(found.output[0], replicate.FileOutput)
        self.assertNotIsInstance(found.output[1], replicate.FileOutput)
        self.assertEqual((dict(found), json.loads(json.dumps(found))), (self.RAW, self.RAW))
        self.assertEqual((list(found), found == self.RAW), (list(self.RAW), True))

    def test_a_method_of_dict_wins_over_a_key_of_its_name(self):
        found = self.got()
        self.assertEqual((dict(found.items())["items"], found["items"]), (5, 5))

    def test_a_known_field_that_is_not_there_reads_as_none_and_an_unknown_one_is_told(self):
        found = self.got()
        for name in ("completed_at", "started_at", "metrics", "error"):
            self.assertIsNone(getattr(found, name))
            self.assertNotIn(name, found)
        with self.assertRaises(AttributeError) as caught:
            getattr(found, "nonsense")  # noqa: B009
        for name in ("nonsense", "status", "novel"):
            self.assertIn(name, str(caught.exception))
        self.assertFalse(hasattr(found, "nonsense"))

    def test_a_resource_pickles_and_copies_without_its_client(self):
        found = self.got()
        self.assertIsNotNone(found.novel.deep)
        twins = [pickle.loads(pickle.dumps(found, protocol)) for protocol in range(pickle.HIGHEST_PROTOCOL + 1)]
        for twin in twins + [copy.copy(found), copy.deepcopy(found)]:
            self.assertIs(type(twin), replicate.Prediction)
            self.assertEqual((twin, twin.novel.deep[0].er, twin.completed_at), (self.RAW, 1, None))
        self.assertNotIn(self.api.token.encode(), pickle.dumps(found))
        copy.deepcopy(found)["novel"]["deep"][0]["er"] = 2
        self.assertEqual(found.novel.deep[0].er, 1)
        page = self.client.models.list()
        for twin in (pickle.loads(pickle.dumps(page)), copy.deepcopy(page)):
            self.assertEqual((type(twin), twin.results, twin.next), (replicate.Page, page.results, page.next))
            self.assertIs(type(twin[0]), replicate.Model)

    def test_every_repr_is_one_short_line(self):
        found = self.got()
        self.assertRegex(repr(found), r"^Prediction\(id='p1', status='succeeded'.*\)$")
        model = self.client.models.get("stability/sketch")
        things = [found, model, model.latest_version, model.default_example, self.client.deployments.get("acme/my-app"),
                  self.client.collections.get("text-to-image"), self.client.search("hello"), found.novel,
                  self.got({"id": "p1", "status": "x" * 5000, "model": "a\nb"})]
        for thing in things:
            self.assertNotIn("\n", repr(thing))
            self.assertLess(len(repr(thing)), 300)

    def test_a_model_knows_its_version_example_versions_and_id(self):
        model = self.client.models.get("stability/sketch")
        self.assertIs(type(model.latest_version), replicate.Version)
        self.assertIs(type(model.default_example), replicate.Prediction)
        self.assertEqual((model.id, model.latest_version.id), ("stability/sketch", self.sketch))
        self.assertEqual(model.versions.list()[0], model.latest_version)
        self.assertEqual(model.latest_version.openapi_schema["components"]["schemas"]["Output"], FILES)
        empty = self.client.models.get("acme/hot-dog-detector")
        self.assertEqual((empty.latest_version, empty.default_example), (None, None))

    def test_nested_objects_have_attributes_to_their_depths(self):
        release = self.client.deployments.get("acme/my-app").current_release
        self.assertEqual((release.configuration.hardware, release.created_by.username), ("gpu-t4", "acme"))
        for found in (self.client.collections.get("language-models").models, self.client.models.list()):
            self.assertEqual({type(model) for model in found}, {replicate.Model})
        self.assertEqual(self.client.search("hello").models[0].model.owner, "replicate")

    def test_a_training_is_waited_for_reloaded_and_cancelled_by_its_kind_whatever_its_urls_say(self):
        wrong = {kind: f"{self.api.url}/v1/predictions/t1{end}" for kind, end in (("get", ""), ("cancel", "/cancel"))}
        state = {"id": "t1", "status": "processing", "urls": wrong, "output": {"version": "acme/x:1", "weights": "w"}}
        self.api.answer("GET", "/v1/trainings/t1", *[Reply(json=state)] * 3,
                        Reply(json=dict(state, status="succeeded")))
        self.api.answer("POST", "/v1/trainings/t1/cancel", Reply(json=dict(state, status="canceled")))
        training = self.client.trainings.get("t1")
        training.reload()
        self.assertIsNone(training.wait())
        self.assertEqual((training.status, training.output.version), ("succeeded", "acme/x:1"))
        training.cancel()
        self.assertEqual(training.status, "canceled")
        self.assertEqual(self.paths(), ["/trainings/t1"] * 4 + ["/trainings/t1/cancel"])


# ---------------------------------------------------------------------------------------------
# Running
# ---------------------------------------------------------------------------------------------

VERSIONS_OF_COG = [("0.3.8", True), ("0.0.21", True), ("v0.3.2", True), ("0.3.9", False), ("0.3.10", False),
                   ("0.10.0-alpha27", False), ("dev", False), ("v0.9.9-alpha2+dev", False), (None, False)]
CANCEL_AFTER = [("5m", 300), (90, 90), ("1h30m45s", 5445), (5, 5), ("30s", 30), ("30", 30)]
ODD_NAMES = {"input": 1, "version": 2, "model": 3, "wait": 4, "self": 5, "ref": 6, "timeout": 7, "client": 8}


class Running(ApiCase):
    def test_the_lines_of_the_official_manual_work_as_written(self):
        self.use_default_client()
        now = [0.0]
        self.api.clock, self.api.speed = (lambda: now[0]), 1.0
        model = replicate.models.get("kvfrans/clipdraw")
        version = model.versions.get("5797a99edc939ea0e9242d5e8c9cb3bc7d125b1eac21bda852e5cb79ede2cd9b")
        prediction = replicate.predictions.create(version=version,
                                                  input={"prompt": "Watercolor painting of a submarine"})
        self.assertEqual((prediction.status, dict(prediction)["status"]), ("starting", "starting"))
        now[0] = 0.4
        prediction.reload()
        self.assertEqual(prediction.status, "processing")
        self.assertIn("%|", prediction.logs)
        self.api.clock, self.api.speed = time.monotonic, 50
        self.assertIsNone(prediction.wait())
        self.assertEqual(prediction.status, "succeeded")
        self.assertRegex(prediction.output, r"^http.*/out-0\.png$")
        running = replicate.predictions.create(model="test/slow", input={"seconds": 9999})
        running.cancel()
        running.reload()
        self.assertEqual(running.status, "canceled")
        self.assertEqual([run.id for run in replicate.predictions.list()], [running.id, prediction.id])
        image = model.predict(prompt="avocado armchair")
        out = replicate.models.get("stability/sketch").predict(prompt="larger", image=image)
        self.assertEqual(self.creations()[-1].json["input"]["image"], image)
        texts = replicate.run("pixray/text2image:" + self.version_of("pixray/text2image"),
                              input={"prompts": "san francisco sunset"})
        self.assertEqual([str(text).rpartition("/")[2] for text in texts], ["out-0.png", "out-1.png", "out-2.png"])
        path = self.directory() / "out.png"
        urlretrieve(out[0], str(path))
        self.assertEqual(path.read_bytes(), out[0].read())
        self.assertEqual(path.read_bytes()[:4], b"\x89PNG")

    def test_run_takes_every_form_of_reference(self):
        words, own = "".join(TOKENS), {"text": "Alice"}
        client = self.client
        hello = client.models.get("replicate/hello-world")
        table = [
            ("meta/llama-tiny", FOX, ["/models/meta/llama-tiny/predictions"], None, words),
            (client.models.get("meta/llama-tiny"), FOX, ["/models/meta/llama-tiny/predictions"], None, words),
            ("replicate/hello-world:" + self.hello, own, ["/predictions"], self.hello, "hello Alice"),
            (self.hello, own, ["/predictions"], self.hello, "hello Alice"),
            (hello.latest_version, own, ["/predictions"], self.hello, "hello Alice"),
            ("replicate/hello-world", own, ["/models/replicate/hello-world/predictions", "/predictions"], self.hello,
             "hello Alice"),
            (hello, own, None, self.hello, "hello Alice"),
            ("deployments/acme/my-app", FOX, ["/deployments/acme/my-app/predictions"], None, None),
            (client.deployments.get("acme/my-app"), FOX, ["/deployments/acme/my-app/predictions"], None, None),
        ]
        for ref, given, paths, version, expected in table:
            with self.subTest(ref):
                self.api.clear()
                output = client.run(ref, input=given)
                created = self.creations()
                if paths:
                    self.assertEqual([seen.path for seen in created], ["/v1" + path for path in paths])
                self.assertEqual(created[-1].json["input"], given)
                self.assertEqual((created[-1].json.get("version") or "").rpartition(":")[2] or None, version)
                self.assertEqual(len(self.api.creations), 1)
                if expected is None:
                    self.assertEqual(output[0].read()[:4], b"\x89PNG")
                else:
                    self.assertEqual("".join(output), expected)

    def test_a_model_that_is_not_official_runs_by_its_latest_version(self):
        calls = {"run": lambda: "".join(self.client.run("replicate/slow-words", FOX)),
                 "stream": lambda: "".join(map(str, self.client.stream("replicate/slow-words", FOX))),
                 "map": lambda: ["".join(out) for out in self.client.map("replicate/slow-words", [FOX])][0],
                 "use": lambda: "".join(self.client.use("replicate/slow-words")(**FOX))}
        for name, call in calls.items():
            with self.subTest(name):
                self.api.clear()
                self.assertEqual(call(), "".join(TOKENS))
                refused, made = self.creations()
                self.assertEqual((refused.path, made.path), ("/v1/models/replicate/slow-words/predictions",
                                                             "/v1/predictions"))
                self.assertEqual(made.json["version"].rpartition(":")[2], self.words)

    def test_a_model_that_does_not_exist_is_an_api_error_and_nothing_is_created(self):
        with self.assertRaises(replicate.APIError) as caught:
            self.client.run("no/such", {})
        self.assertEqual((caught.exception.status, self.api.creations), (404, []))

    def test_wait_says_how_long_the_request_is_held_and_run_returns_at_the_end_in_any_case(self):
        for wait, prefer in ((True, ("wait", "wait=60")), (1, ("wait=1",)), (60, ("wait=60", "wait")),
                             (False, (None,))):
            with self.subTest(wait):
                self.api.clear()
                self.assertEqual(self.client.run("test/slow", {"seconds": 6}, wait=wait), "slept 6 s")
                seen, = self.creations()
                self.assertIn(seen.headers.get("Prefer"), prefer)
                if wait is False:
                    self.assertTrue(self.api.seen("GET", "/v1/predictions/.*"))

    def test_create_returns_at_once_and_with_wait_holds_one_request_and_never_polls(self):
        for options, seconds, prefer, statuses in (({}, 9999, (None,), ("starting", "processing")),
                                                   ({"wait": False}, 9999, (None,), ("starting", "processing")),
                                                   ({"wait": 2}, 9999, ("wait=2",), ("processing",)),
                                                   ({"wait": True}, 10, ("wait", "wait=60"), ("succeeded",))):
            with self.subTest(options):
                self.api.clear()
                prediction = self.client.predictions.create(model="test/slow", input={"seconds": seconds}, **options)
                self.assertIn(prediction.status, statuses)
                seen, = self.api.requests
                self.assertIn(seen.headers.get("Prefer"), prefer)

    def test_a_held_answer_that_still_counts_as_processing_is_polled_for_its_end(self):
        output = self.client.run("stability/sketch", FOX)
        self.assertEqual(len(self.api.seen("GET", "/v1/predictions/.*")), 1)
        self.assertRegex(output[0], "^http")
        held = self.client.predictions.create(model="stability/sketch", input=FOX, wait=True)
        self.assertEqual((held.status, held.output[0][:5]), ("processing", "data:"))
        self.assertEqual(held.output[0].read()[:4], b"\x89PNG")
        self.assertEqual(len(self.api.seen("GET", "/v1/predictions/.*")), 1)

    def test_cancel_after_and_webhooks_go_with_every_kind_of_creation(self):
        version, client = self.sketch, self.client
        calls = [lambda **o: client.run("stability/sketch", FOX, **o),
                 lambda **o: list(client.run("pixray/text2image:" + self.version_of("pixray/text2image"),
                                             {"prompts": "x"}, **o)),
                 lambda **o: list(client.stream("meta/llama-tiny", FOX, **o)),
                 lambda **o: list(client.map("stability/sketch", [FOX], **o)),
                 lambda **o: client.predictions.create(version, FOX, **o),
                 lambda **o: client.models.predictions.create("stability/sketch", FOX, **o),
                 lambda **o: client.deployments.predictions.create("acme/my-app", FOX, **o)]
        for number, call in enumerate(calls):
            value, seconds = CANCEL_AFTER[number % len(CANCEL_AFTER)]
            with self.subTest(number=number, cancel_after=value):
                self.api.clear()
                call(cancel_after=value, webhook=HOOK, webhook_events_filter=["start", "completed"])
                seen, = self.creations()
                self.assertEqual(seen.json["webhook"], HOOK)
                self.assertEqual(seen.json["webhook_events_filter"], ["start", "completed"])
                self.assertEqual(self.api.jobs[self.api.creations[0]].deadline, seconds)

    def test_anything_but_success_is_a_model_error_also_a_status_unknown_today(self):
        calls = [lambda: self.client.run("test/echo", {}), lambda: list(self.client.stream("test/echo", {})),
                 lambda: list(self.client.map("test/echo", [{}]))]
        for status in ("failed", "canceled", "aborted", "exploded"):
            for number, call in enumerate(calls):
                with self.subTest(status=status, call=number):
                    self.api.clear()
                    self.scripted({"status": status, "error": "boom", "logs": "why"})
                    with self.assertRaises(replicate.ModelError) as caught:
                        call()
                    found = caught.exception.prediction
                    self.assertEqual((found.id, found.status, found.logs), ("p1", status, "why"))
                    self.assertIn("boom", str(caught.exception))
                    self.assertEqual(len(self.api.requests), 1)

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
        model = self.client.use("test/echo")
        outputs = [echo.predict(**ODD_NAMES), echo.latest_version.predict(**ODD_NAMES), model(**ODD_NAMES),
                   echo.latest_version.create(**ODD_NAMES).input, model.create(**ODD_NAMES).input]
        self.assertEqual(outputs, [ODD_NAMES] * 5)
        for streaming in (model, echo.latest_version):
            self.assertEqual(list(streaming.stream(**ODD_NAMES))[-1].event, "done")
        self.assertEqual([seen.json["input"] for seen in self.creations()], [ODD_NAMES] * 7)


class IteratorModels(ApiCase):
    def test_the_run_of_an_iterator_model_is_a_generator_and_its_creation_is_not_held(self):
        words = self.client.models.get("replicate/slow-words")
        for ref in ("replicate/slow-words:" + self.words, words.latest_version, "replicate/slow-words", words):
            with self.subTest(ref):
                self.api.clear()
                output = self.client.run(ref, FOX, wait=True)
                self.assertIs(type(output), types.GeneratorType)
                self.assertEqual(list(output), list(TOKENS))
                made = self.creations()[-1]
                self.assertEqual((made.path, made.headers.get("Prefer")), ("/v1/predictions", None))
        self.assertIs(type(self.client.stream("meta/llama-tiny", FOX)), types.GeneratorType)

    def test_a_bare_version_id_is_known_for_an_iterator_once_its_prediction_is(self):
        output = self.client.run(self.words, FOX)
        self.assertIs(type(output), types.GeneratorType)
        self.assertEqual(list(output), list(TOKENS))
        self.assertEqual(self.paths()[:2], ["/predictions", "/models/replicate/slow-words/versions/" + self.words])

    def test_an_official_model_returns_its_list(self):
        self.assertEqual(self.client.run("meta/llama-tiny", FOX), list(TOKENS))
        self.assertEqual(self.api.seen("GET", ".*/versions.*"), [])

    def test_items_come_while_the_model_runs_and_a_generator_closed_early_cancels_it(self):
        self.turn_clock(api=True)
        output = self.client.run("replicate/slow-words:" + self.words, FOX)
        self.assertEqual(next(output), TOKENS[0])
        self.assertEqual(len(self.api.running()), 1)
        output.close()
        self.assertEqual((len(self.cancels()), self.api.running()), (1, []))

    def test_a_version_is_looked_up_once_per_client(self):
        refs = ["replicate/hello-world:" + self.hello, self.hello] * 2
        for client in (self.client, self.client_of()):
            self.api.clear()
            self.assertEqual([client.run(ref, {"text": "Bo"}) for ref in refs], ["hello Bo"] * 4)
            self.assertEqual(len(self.api.seen("GET", f"/v1/models/replicate/hello-world/versions/{self.hello}")), 1)

    def test_a_look_up_that_fails_does_not_stop_the_run(self):
        for reply in (Reply.problem(404, "gone"), Reply.problem(500, "broken"), Reply(json=[1]), Reply(body=b"<html>"),
                      Reply(reset=True), Reply(json={"openapi_schema": {"components": []}})):
            self.turn_clock()
            self.client = self.client_of()
            self.turn_clock()
            self.api.clear()
            self.api.answer("GET", ".*/versions/.*", reply, times=12)
            self.assertEqual(self.client.run("replicate/hello-world:" + self.hello, {"text": "Bo"}), "hello Bo")
            self.assertEqual(len(self.api.creations), 1)
            with self.api.changed:
                self.api._rules.clear()

    def test_an_array_of_a_cog_older_than_0_3_9_is_an_iterator_compared_as_numbers(self):
        model = self.api.catalogue["pixray/text2image"]
        for number, (cog_version, iterates) in enumerate(VERSIONS_OF_COG):
            with self.subTest(cog_version):
                version = dict(model.versions[-1], id=f"{number:064x}", cog_version=cog_version)
                model.versions.insert(0, version)
                output = self.client.run(f"pixray/text2image:{version['id']}", {"prompts": "x"})
                self.assertEqual(isinstance(output, types.GeneratorType), iterates)
                self.assertEqual(len(list(output)), 3)
        text = self.api.catalogue["replicate/hello-world"].versions[1]
        self.assertEqual(text["cog_version"], "0.3.0")
        self.assertEqual(self.client.run(text["id"], {"text": "Bo"}), "hello Bo")

    def test_a_null_where_items_were_due_yields_nothing(self):
        self.scripted({"output": None}, {"status": "succeeded", "output": None})
        self.assertEqual(list(self.client.run("replicate/slow-words:" + self.words, FOX)), [])


class Waiting(ApiCase):
    def setUp(self):
        super().setUp()
        del os.environ["REPLICATE_POLL_INTERVAL"]

    def test_a_run_of_ten_minutes_costs_at_most_160_requests_and_its_end_is_noticed_within_3_seconds(self):
        clock, lags = self.turn_clock(api=True), []

        def hold(seen, connection):
            """Serve a held creation, and turn the clock by what it was held for."""
            self.assertEqual(seen.headers["Prefer"].partition("=")[0], "wait")
            del seen.headers["Prefer"]
            reply = self.api.serve(seen)
            clock.time += 60
            return reply
        self.api.answer("POST", ".*/predictions", hold, times=False)
        for seconds in (597.2, 598.4, 599.6, 600.8, 602):
            self.api.clear()
            del clock.slept[:]
            began = clock.now()
            self.client.run("test/slow", {"seconds": seconds})
            lags.append(clock.now() - began - seconds)
            self.assertLessEqual(len(self.api.requests), 160)
            self.assertLessEqual(max(clock.slept), 5)
        self.assertLessEqual(sum(lags) / len(lags), 3)
        self.assertGreaterEqual(min(lags), 0)

    def test_the_end_of_a_run_is_noticed_within_a_hundredth_of_its_length_on_average(self):
        clock, lags = self.turn_clock(api=True), []
        for tenths in range(1000, 1021, 3):  # gaps are of 2 s there
            began = clock.now()
            self.client.run("test/slow", {"seconds": tenths / 10}, wait=False)
            lags.append((clock.now() - began) / (tenths / 10) - 1)
        self.assertEqual(clock.slept[0], 0.5)
        self.assertLessEqual(sum(lags) / len(lags), 0.0125)

    def test_a_run_with_fifty_polls_uses_one_connection(self):
        self.turn_clock(api=True)
        self.client.run("test/slow", {"seconds": 26}, wait=False)
        self.assertGreaterEqual(len(self.api.seen("GET")), 50)
        self.assertEqual(self.api.connections, 1)

    def test_the_poll_interval_is_the_argument_else_that_of_the_environment(self):
        os.environ["REPLICATE_POLL_INTERVAL"] = "2.5"
        for options, first in (({}, 2.5), ({"poll_interval": 1.25}, 1.25)):
            self.client = self.client_of(**options)
            clock = self.turn_clock(api=True)
            self.client.run("test/slow", {"seconds": 5}, wait=False)
            self.assertEqual(clock.slept[0], first)

    def test_when_its_timeout_ends_a_run_is_cancelled_once_and_the_error_carries_it(self):
        clock = self.turn_clock(api=True)
        calls = [lambda: self.client.run("test/slow", {"seconds": 999}, wait=False, timeout=20),
                 lambda: list(self.client.stream("test/slow", {"seconds": 999}, timeout=20))]
        for call in calls:
            self.api.clear()
            began = clock.now()
            with self.assertRaises(replicate.PredictionTimeout) as caught:
                call()
            self.assertAlmostEqual(clock.now() - began, 20, delta=0.5)
            self.assertEqual([seen.path for seen in self.cancels()],
                             [f"/v1/predictions/{caught.exception.prediction.id}/cancel"])
            self.assertEqual(self.api.running(), [])

    def test_a_wait_of_ones_own_ends_at_its_timeout_and_cancels_nothing(self):
        clock = self.turn_clock(api=True)
        prediction = self.client.predictions.create(model="test/slow", input={"seconds": 60})
        began = clock.now()
        with self.assertRaises(replicate.PredictionTimeout) as caught:
            prediction.wait(timeout=20)
        self.assertAlmostEqual(clock.now() - began, 20, delta=0.5)
        self.assertEqual((caught.exception.prediction.id, self.cancels()), (prediction.id, []))
        self.assertIsNone(prediction.wait(20000))
        self.assertEqual((prediction.status, prediction.output), ("succeeded", "slept 60 s"))

    def test_wait_returns_none_and_does_not_raise_when_the_run_failed(self):
        self.turn_clock(api=True)
        prediction = self.client.predictions.create(model="test/fails", input={})
        self.assertIsNone(prediction.wait())
        self.assertEqual((prediction.status, prediction.error), ("failed", "boom: out of memory"))

    def test_progress_is_read_from_the_last_bar_in_the_logs(self):
        clock = self.turn_clock(api=True)
        prediction = self.client.models.get("kvfrans/clipdraw").latest_version.create(prompt="x")
        self.assertIsNone(prediction.progress)
        clock.sleep(0.37)  # 11 bars in half a second, after a start of a tenth
        prediction.reload()
        progress = prediction.progress
        self.assertEqual((progress.percentage, progress.current, progress.total), (0.5, 5, 10))
        clock.sleep(1)
        prediction.reload()
        self.assertEqual(prediction.progress.percentage, 1)

    def test_output_iterator_starts_at_the_first_item_whatever_had_arrived(self):
        clock = self.turn_clock(api=True)
        prediction = self.client.predictions.create(self.words, FOX)
        clock.sleep(0.6)
        prediction.reload()
        self.assertGreater(len(prediction.output), 2)
        self.assertEqual(list(prediction.output_iterator()), list(TOKENS))
        self.assertEqual(list(prediction.output_iterator()), list(TOKENS))
        self.assertEqual(self.cancels(), [])

    def test_output_iterator_yields_the_tails_of_a_growing_string_and_other_values_once_at_the_end(self):
        for states, expected in (
                ([{}, {"output": "ab"}, {"output": "ab"}, {"output": "abcd"}, {"output": "abcde"}], ["ab", "cd", "e"]),
                ([{"output": "ab"}, {"output": "abc"}], ["ab", "c"]),
                ([{}, {"output": {"n": 1}}, {"output": {"n": 2}}], [{"n": 2}]),
                ([{}, {"output": 0}], [0]),
                ([{}, {"output": None}], [])):
            with self.subTest(expected):
                states[-1]["status"] = "succeeded"
                self.turn_clock()
                self.scripted(*states)
                prediction = self.client.predictions.create(model="test/echo", input={})
                self.assertEqual(list(prediction.output_iterator()), expected)

    def test_output_iterator_yields_what_came_and_then_raises_when_the_run_failed(self):
        self.turn_clock(api=True)
        items, found = [], self.client.predictions.create(model="test/fails", input={})
        with self.assertRaises(replicate.ModelError) as caught:
            for item in found.output_iterator():
                items.append(item)
        self.assertEqual((items, caught.exception.prediction.id), (["partial ", "output"], found.id))


# ---------------------------------------------------------------------------------------------
# Programs written for 1.x, async, tokens
# ---------------------------------------------------------------------------------------------

MODULES = ("__about__ account client collection deployment exceptions file hardware helpers identifier model "
           "pagination prediction resource run schema stream training version webhook")
CLASSES = ("Client Prediction Predictions Model Models Version Versions Training Trainings Deployment Deployments File "
           "Files Collections Accounts Webhooks Page FileOutput ServerSentEvent ModelError ReplicateError")
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


class OlderPrograms(ApiCase):
    def test_the_module_names_of_1_x_are_importable_also_when_vendored(self):
        directory = self.directory()
        vendor = directory / "mypkg" / "_vendor"
        vendor.mkdir(parents=True)
        for path in (directory / "mypkg" / "__init__.py", vendor / "__init__.py"):
            path.write_text("")
        for path in (directory, vendor):
            shutil.copy(replicate.__file__, str(path / "replicate.py"))
        for name in ("replicate", "mypkg._vendor.replicate"):
            done = subprocess.run([sys.executable, "-c", FRESH.format(name, MODULES, CLASSES)], cwd=str(directory),
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, universal_newlines=True)
            self.assertEqual((done.stdout.strip(), done.returncode), ("fine", 0))

    def test_the_namespaces_are_lasting_objects_whose_methods_can_be_replaced_on_instance_and_class(self):
        self.assertIs(replicate.predictions, replicate.default_client.predictions)
        for name in ("predictions", "models", "deployments", "trainings", "files", "models.versions"):
            self.assertIs(method_named(self.client, name), method_named(self.client, name))
        whole = replicate.Predictions.get
        calls = []

        def on_class(self, *args, **kw):
            calls.append("class")
            return whole(self, *args, **kw)

        self.api.answer("GET", "/v1/predictions/p1", Reply(json={"id": "p1", "status": "succeeded"}), times=False)
        with mock.patch.object(replicate.Predictions, "get", on_class):
            self.assertEqual(self.client.predictions.get("p1").id, "p1")
            bound = self.client.predictions.get
            with mock.patch.object(self.client.predictions, "get", lambda id: calls.append("instance") or bound(id)):
                self.assertEqual(self.client.predictions.get("p1").id, "p1")
        self.client.predictions.get("p1")
        self.assertEqual((calls, len(self.api.requests)), (["class", "instance", "class"], 3))
        twin = replicate.Predictions.async_get

        async def on_class_too(self, *args, **kw):
            calls.append("twin")
            return await twin(self, *args, **kw)

        with mock.patch.object(replicate.Predictions, "async_get", on_class_too):
            self.assertEqual(asyncio.run(self.client.predictions.async_get("p1")).id, "p1")
        self.assertEqual((calls[-1], len(self.api.requests)), ("twin", 4))

    def test_a_timeout_object_is_read_by_its_read_attribute(self):
        client = self.client_of(timeout=types.SimpleNamespace(read=0.2, connect=99, write=99, pool=99), max_retries=0)
        self.api.answer("GET", "/v1/account", Reply(json={}, delay=60))
        began = time.monotonic()
        self.assertRaises(replicate.NetworkError, client.accounts.current)
        self.assertLess(time.monotonic() - began, 30)

    def test_the_modules_own_functions_use_the_default_client_set_up_by_the_environment(self):
        self.use_default_client()
        self.assertEqual(replicate.run("test/echo", {"a": 1}), {"a": 1})
        self.assertEqual([model.id for model in replicate.models.search("draws")], ["kvfrans/clipdraw"])
        self.assertEqual(sum(map(len, replicate.paginate(replicate.collections.list))), len(COLLECTIONS))
        self.assertEqual(asyncio.run(replicate.async_run("test/echo", {"a": 2})), {"a": 2})


class Asynchronous(ApiCase):
    ITERATORS = {"stream", "map", "paginate", "output_iterator", "iter_all", "iter_bytes"}

    def test_every_method_has_a_twin_on_its_class_with_the_same_signature(self):
        names = CLASSES.replace("ServerSentEvent ModelError ReplicateError", "").split()
        found = 0
        for cls in [getattr(replicate, name) for name in names]:
            for name, method in list(vars(cls).items()):
                if name.startswith(("_", "a")) or not inspect.isfunction(method):  # async_*, and aread of 1.x
                    continue
                with self.subTest(f"{cls.__name__}.{name}"):
                    twin = vars(cls)["async_" + name]
                    self.assertEqual(twin.__name__, "async_" + name)
                    self.assertEqual(*(list(inspect.signature(each).parameters) for each in (twin, method)))
                    self.assertTrue(inspect.getdoc(twin))
                    if name not in self.ITERATORS:
                        self.assertTrue(inspect.iscoroutinefunction(twin))
                    found += 1
        self.assertGreaterEqual(found, 40)

    def test_twins_run_stream_map_and_follow_a_prediction(self):
        client = self.client

        async def everything():
            self.assertEqual(await client.async_run("replicate/hello-world", {"text": "Bo"}), "hello Bo")
            self.assertEqual([item async for item in await client.async_run("replicate/slow-words", FOX)], list(TOKENS))
            direct = [str(event) async for event in client.async_stream("meta/llama-tiny", FOX)]
            awaited = [str(event) async for event in await client.async_stream("meta/llama-tiny", FOX)]
            self.assertEqual(["".join(direct), "".join(awaited)], ["".join(TOKENS)] * 2)
            inputs = [{"n": number} for number in range(5)]
            self.assertEqual([output async for output in client.async_map("test/echo", inputs)], inputs)
            prediction = await client.predictions.async_create(model="meta/llama-tiny", input=FOX)
            self.assertEqual([item async for item in prediction.async_output_iterator()], list(TOKENS))
            await prediction.async_reload()
            self.assertIsNone(await prediction.async_wait())
            self.assertEqual(prediction.status, "succeeded")
            slow = await client.predictions.async_create(model="test/slow", input={"seconds": 9999})
            await slow.async_cancel()
            model = await client.models.async_get("stability/sketch")
            version = await model.versions.async_get(self.sketch)
            image, = await version.async_predict(**FOX)
            return slow.status, (await image.async_read())[:4]
        self.assertEqual(asyncio.run(everything()), ("canceled", b"\x89PNG"))

    def test_the_context_variables_of_the_caller_are_seen_in_the_worker_thread(self):
        variable = contextvars.ContextVar("variable", default="nothing")
        caller = threading.get_ident()

        def lazily():
            yield variable.get()
            yield threading.get_ident() != caller

        async def scene():
            variable.set("the caller's")
            return await self.client.async_run("test/echo", {"seen": lazily()})
        self.assertEqual(asyncio.run(scene()), {"seen": ["the caller's", True]})

    def allow_many_sockets(self):
        """Two for each run under way; some systems start with 256."""
        try:
            import resource
        except ImportError:
            return
        limits = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < 2048 and (hard == resource.RLIM_INFINITY or hard >= 2048):
            resource.setrlimit(resource.RLIMIT_NOFILE, (2048, hard))
            self.addCleanup(resource.setrlimit, resource.RLIMIT_NOFILE, limits)

    def test_two_hundred_runs_at_once_are_under_way_together(self):
        self.allow_many_sockets()
        together = threading.Barrier(200)

        def hold(seen, connection):
            try:
                together.wait(60)
            except threading.BrokenBarrierError:
                return Reply.problem(400, "the others did not come")
            return None

        async def scene():
            return await asyncio.gather(*(self.client.async_run("test/echo", {"n": n}) for n in range(200)))
        self.api.answer("POST", "/v1/models/test/echo/predictions", hold, times=False)
        self.assertEqual(asyncio.run(scene()), [{"n": n} for n in range(200)])
        self.assertEqual((len(self.api.creations), len(self.creations())), (200, 200))

    def test_a_program_ends_with_no_thread_left_behind(self):
        self.use_default_client()
        script = """
import asyncio, replicate
async def scene():
    print(await replicate.async_run("test/echo", {"n": 1}))
    task = asyncio.ensure_future(replicate.async_run("test/slow", {"seconds": 90000}, wait=False))
    await asyncio.sleep(0.3)
    task.cancel()
    await asyncio.wait([task])
asyncio.run(scene())
"""
        environment = dict(os.environ, PYTHONPATH=os.path.dirname(os.path.abspath(replicate.__file__)))
        done = subprocess.run([sys.executable, "-c", script], env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, universal_newlines=True, timeout=120)
        self.assertEqual((done.stdout.strip(), done.returncode), ("{'n': 1}", 0))
        self.assertEqual(self.api.running(), [])

    def test_a_task_that_is_cancelled_cancels_the_prediction_that_it_awaits(self):
        async def scene(wait):
            task = asyncio.ensure_future(self.client.async_run("test/slow", {"seconds": 90000}, wait=wait))
            until = time.monotonic() + 60
            while not self.api.running() and time.monotonic() < until:
                await asyncio.sleep(0.01)
            task.cancel()
            with self.assertRaises(asyncio.CancelledError):
                await task
        for wait in (False, 20):
            with self.subTest(wait=wait):
                self.api.clear()
                asyncio.run(scene(wait))
                self.assertEqual([seen.path for seen in self.cancels()],
                                 [f"/v1/predictions/{self.api.creations[0]}/cancel"])
                self.assertEqual(self.api.running(), [])


class Tokens(ApiCase):
    def bearers(self):
        return [seen.headers.get("Authorization") for seen in self.api.requests]

    def test_without_a_token_the_error_names_the_variable_and_the_page_before_any_request(self):
        client = replicate.Client(base_url=self.api.url, proxies={})
        for call in (client.accounts.current, lambda: client.run("test/echo", {}),
                     lambda: client.files.create(__file__)):
            with self.assertRaises(replicate.ReplicateError) as caught:
                call()
            self.assertIn("REPLICATE_API_TOKEN", str(caught.exception))
            self.assertIn("https://replicate.com/account/api-tokens", str(caught.exception))
        self.assertEqual(self.api.requests, [])

    def test_a_token_is_stripped_of_white_space_and_quotes(self):
        for form in ("{}", " {}\n", "\t{}\r\n", '"{}"', "'{}'", ' "{}" \n'):
            text = form.format(self.api.token)
            os.environ["REPLICATE_API_TOKEN"] = text
            for options in ({"api_token": text}, {}):
                with self.subTest(form, options=bool(options)):
                    self.api.clear()
                    replicate.Client(base_url=self.api.url, proxies={}, **options).accounts.current()
                    self.assertEqual(self.bearers(), ["Bearer " + self.api.token])

    def test_a_token_with_a_control_character_is_refused_and_not_shown(self):
        for text in ("r8_secret\nX-Evil: 1", "r8_secret\r\nX: y", "r8_sec\x00ret", "r8_secret\x7fret"):
            os.environ["REPLICATE_API_TOKEN"] = text.replace("\0", "\1")  # no variable can hold a null
            for options in ({"api_token": text}, {}):
                with self.subTest(text, options=bool(options)):
                    with self.assertRaises((ValueError, replicate.ReplicateError)) as caught:
                        replicate.Client(base_url=self.api.url, proxies={}, **options).accounts.current()
                    self.assertNotIn("r8_sec", str(caught.exception))
        self.assertEqual(self.api.requests, [])

    def test_the_environment_is_read_at_the_time_of_the_request(self):
        client = replicate.Client(proxies={})
        self.use_default_client()
        client.accounts.current()
        os.environ["REPLICATE_API_TOKEN"] = "r8_another"
        with self.assertRaises(replicate.APIError) as caught:
            client.accounts.current()
        self.assertEqual(caught.exception.status, 401)
        self.assertEqual(self.bearers(), ["Bearer " + self.api.token, "Bearer r8_another"])

    def test_the_token_of_a_cog_context_is_used_alone_also_when_it_is_empty(self):
        os.environ["REPLICATE_API_TOKEN"] = "r8_of_the_host"
        client = replicate.Client(base_url=self.api.url, proxies={})

        def cog(**context):
            fake = types.ModuleType("cog")
            fake.current_scope = lambda: types.SimpleNamespace(context=context)
            return mock.patch.dict(sys.modules, {"cog": fake})
        for name in ("replicate_api_token", "REPLICATE_API_TOKEN"):
            with cog(**{name: self.api.token}):
                client.accounts.current()
        with cog(replicate_api_token=""), self.assertRaises(replicate.ReplicateError):
            client.accounts.current()
        self.assertEqual(self.bearers(), ["Bearer " + self.api.token] * 2)
        with cog(other="context"), self.assertRaises(replicate.APIError):
            client.accounts.current()
        with mock.patch.dict(sys.modules, {"cog": types.ModuleType("cog")}), self.assertRaises(replicate.APIError):
            client.accounts.current()
        self.assertEqual(self.bearers()[2:], ["Bearer r8_of_the_host"] * 2)


# ---------------------------------------------------------------------------------------------
# Tests: Files in and out
# ---------------------------------------------------------------------------------------------

try:
    import tracemalloc
except ImportError:  # PyPy has none
    tracemalloc = None

# ---------------------------------------------------------------------------------------------
# Files: into inputs, to /files, and out of outputs
# ---------------------------------------------------------------------------------------------

ECHO_RUNS = "/v1/models/test/echo/predictions"
INLINE_MOST = 256 << 10  # bytes; the border of DESIGN.md, section 8
BIG = INLINE_MOST + 1
FLAT = 8 << 20  # bytes of memory that a transfer of any size may take
DEVICES = {"CON", "PRN", "AUX", "NUL", "CONIN$", "CONOUT$"} | {
    device + digit for device in ("COM", "LPT") for digit in "123456789\u00b9\u00b2\u00b3"}


def file_bytes(size):
    """Bytes of every value, with some line ends and what looks like a boundary."""
    block = bytes(range(256)) + b"\r\n--\r\n\r\n--boundary--\r\n" + bytes(range(128, 256)) * 50
    return (block * (size // len(block) + 1))[:size]


def digest(data):
    """The size and SHA-256 of bytes: unittest needs minutes to tell the difference of large ones in a list."""
    return len(data), hashlib.sha256(data).hexdigest()


def media_type_and_bytes(uri):
    """What a base64 data URI holds."""
    head, _, data = uri.partition(",")
    if not (head.startswith("data:") and head.endswith(";base64")):
        raise AssertionError(f"no base64 data URI: {uri[:80]}")
    return head[5:-7], base64.b64decode(data, validate=True)


def email_parts(seen):
    """name -> (headers, content) of a multipart request, as the standard library's email package reads it."""
    head = b"Content-Type: " + seen.headers["Content-Type"].encode("latin-1") + b"\r\n\r\n"
    parsed, found = email.message_from_bytes(head + seen.body), {}
    for part in parsed.get_payload():
        headers = email.message.Message()
        for name, value in part.raw_items():
            headers[name] = value.encode("ascii", "surrogateescape").decode("utf-8")
        found[headers.get_param("name", header="content-disposition")] = headers, part.get_payload(decode=True)
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


class OnlyReads:
    """A source that cannot seek, and does not know its size: `size` zeros."""

    def __init__(self, size):
        self.left, self.largest = size, 0

    def read(self, size=-1):
        size = self.left if size is None or size < 0 else min(size, self.left)
        self.left -= size
        self.largest = max(self.largest, size)
        return bytes(size)


class Drain:
    """A server that takes uploads and keeps nothing; once it has `most` bytes it breaks the connection."""

    def __init__(self, case, most=float("inf")):
        self.most, self.got, self.heads, self.closing = most, 0, [], False
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(0.05)
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.client = replicate.Client("r8_drain", base_url=self.url, proxies={})
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        case.addCleanup(self.close)

    def close(self):
        self.closing = True
        self.thread.join()
        self.listener.close()

    def run(self):
        while not self.closing:
            try:
                sock = self.listener.accept()[0]
            except socket.timeout:
                continue
            with sock, sock.makefile("rb") as reader:
                sock.setblocking(True)
                self.take(sock, reader)

    def take(self, sock, reader):
        self.heads.append(reader.readline())
        left = int(http.client.parse_headers(reader)["Content-Length"])
        while left and self.got < self.most:
            block = len(reader.read1(1 << 16))
            left, self.got = left - block, self.got + block
            if not block:
                return
        if left:  # surplus bytes unread: closing resets
            return
        body = _dump({"id": "f", "urls": {"get": self.url + "/v1/files/f"}})
        sock.sendall(b"HTTP/1.1 201 Created\r\nConnection: close\r\nContent-Type: application/json\r\n"
                     b"Content-Length: %d\r\n\r\n%s" % (len(body), body))


class FileCase(Case):
    """A test with a folder, and with a second server on another port, where outputs live."""

    def setUp(self):
        super().setUp()
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, str(self.folder))
        self.stack = contextlib.ExitStack()
        self.addCleanup(self.stack.close)
        self.elsewhere = StandIn().start()
        self.addCleanup(self.elsewhere.close)

    def file(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def sparse(self, name, size):
        path = self.folder / name
        with open(str(path), "wb") as file:
            file.truncate(size)
        return path

    def handle(self, path, *mode, **options):
        return self.stack.enter_context(open(str(path), *mode, **options))

    def received(self, given, **options):
        """The input of a new prediction, as the server received it."""
        self.client.predictions.create(model="test/echo", input=given, **options)
        return self.api.seen("POST", ECHO_RUNS)[-1].json["input"]

    def outputs(self, *values):
        """The values as a model's output."""
        return self.client.run("test/echo", {"files": list(values)})["files"]

    def output(self, *replies, path="/a/out.bin"):
        """An output elsewhere that is answered so; the last reply for ever."""
        self.elsewhere.answer("GET", urllib.parse.urlsplit(path).path, *replies, times=False)
        return self.outputs(self.elsewhere.url + path)[0]

    def names(self):
        return sorted(path.name for path in self.folder.iterdir())

    def assert_flat(self, transfer, *args):
        """Run it, and see that it takes little memory."""
        if tracemalloc is not None:
            tracemalloc.start()
            self.addCleanup(tracemalloc.stop)
        result = transfer(*args)
        if tracemalloc is not None:
            self.assertLess(tracemalloc.get_traced_memory()[1], FLAT)
            tracemalloc.stop()
        return result

    def pipe(self, content):
        """The reading end of a pipe that gives this."""
        end, other = os.pipe()

        def write():
            with contextlib.suppress(OSError), open(other, "wb") as file:
                file.write(content)
        writer = threading.Thread(target=write, daemon=True)
        writer.start()
        self.stack.callback(writer.join)  # once the reader is closed
        return self.stack.enter_context(open(end, "rb"))


class InputTest(FileCase):
    def test_every_kind_of_value_arrives_as_json_at_any_depth(self):
        moment = datetime.datetime(2024, 2, 29, 12, 30, 1, 250000, datetime.timezone.utc)
        text = "na\u00efve \u2028 \u65e5\u672c \U0001f642"
        here = self.file("here.bin", b"\0here")
        address = self.elsewhere.url + "/a/out.png"
        remote, embedded = self.outputs(address, "data:text/plain,hi")
        kept = self.client.files.create(b"kept")

        def cases(spooled, named):
            yield from ((value, value) for value in (None, True, False, 0, 2 ** 60, -1.5, "", text, [], {}, [[1], {}]))
            yield from [((1, (2,)), [1, [2]]), ((n for n in range(3)), [0, 1, 2]), ({7}, [7]), (frozenset("a"), ["a"]),
                        (FakeArray([[1, 2], [3.5, None]]), [[1, 2], [3.5, None]]), (FakeArray(3), 3),
                        (moment.date(), "2024-02-29"), (collections.OrderedDict(a=(1,)), {"a": [1]}),
                        (remote, address), (embedded, "data:text/plain,hi"), (kept, kept.urls["get"])]
            for value, content in ((b"\0raw", b"\0raw"), (bytearray(b"\0array"), b"\0array"), (b"", b""),
                                   (here, b"\0here"), (self.handle(here, "rb"), b"\0here"),
                                   (self.handle(here, "r", encoding="ascii"), b"\0here"),
                                   (io.BytesIO(b"\0io"), b"\0io"), (io.StringIO(text), text.encode("utf-8")),
                                   (OnlyReads(9), bytes(9)), (spooled, b"\0rest"), (named, b"\0rest")):
                yield value, "data:application/octet-stream;base64," + base64.b64encode(content).decode("ascii")

        for depth, wrap, unwrap in ((1, lambda v: v, lambda v: v), (2, lambda v: [v], lambda v: v[0]),
                                    (4, lambda v: [{"a": (v for v in [v])}], lambda v: v[0]["a"][0])):
            with tempfile.SpooledTemporaryFile() as spooled, tempfile.NamedTemporaryFile() as named:
                for file in (spooled, named):
                    file.write(b"\0skipped" + b"\0rest")
                    file.seek(8)
                table = list(cases(spooled, named))
                got = self.received({str(number): wrap(value) for number, (value, _) in enumerate(table)})
            self.assertGreater(len(table), 30)
            for number, (value, wanted) in enumerate(table):
                with self.subTest(value=value, depth=depth):
                    self.assertEqual(unwrap(got[str(number)]), wanted)
        sent = self.received({"t": moment})["t"].replace("Z", "+00:00")
        self.assertEqual(datetime.datetime.fromisoformat(sent), moment)
        self.assertEqual(self.elsewhere.requests, [], "an output goes in as its URL, unread")

    def test_a_wrong_value_is_told_with_its_place_before_any_request(self):
        nan, infinite = float("nan"), float("inf")
        table = [({"images": ["a", "b", object()]}, "input['images'][2]", TypeError),
                 ({"x": object()}, "input['x']", TypeError),
                 ({"a": {"b": [1, (2, len)]}}, "input['a']['b'][1][1]", TypeError),
                 ({"g": (value for value in (1, 1j))}, "input['g'][1]", TypeError),
                 ({"n": nan}, "input['n']", ValueError), ({"n": [0, -infinite]}, "input['n'][1]", ValueError),
                 ({"n": {"m": FakeArray([0.0, nan])}}, "input['n']['m'][1]", ValueError),
                 ({"f": [self.folder / "missing.png"]}, "input['f'][0]", Exception)]
        calls = [lambda given: self.client.run("test/echo", given), lambda given: self.received(given),
                 lambda given: list(self.client.stream("test/echo", given))]
        for number, (given, place, kind) in enumerate(table):
            given = dict({"first": io.BytesIO(bytes(BIG))}, **given)
            with self.subTest(place=place), self.assertRaises(kind) as caught:
                calls[number % 3](given)
            self.assertIn(place, str(caught.exception))
        self.assertEqual(self.api.requests, [])

    def test_input_that_contains_itself_is_refused_and_input_shared_twice_is_not(self):
        circle = {"a": [1]}
        circle["a"].append(circle)
        ring = []
        ring.append((ring,))
        for given in (circle, {"ring": ring}):
            with self.assertRaises((ValueError, TypeError)):
                self.received(given)
        self.assertEqual(self.api.requests, [])
        shared = {"n": [1]}
        self.assertEqual(self.received({"x": shared, "y": [shared]}), {"x": shared, "y": [shared]})

    def test_a_file_of_256_kib_goes_inline_and_a_larger_one_is_uploaded_first(self):
        makes = [lambda content: self.file("a.png", content), io.BytesIO, bytes, self.pipe]
        for size, make in itertools.product((INLINE_MOST, BIG), makes):
            with self.subTest(size=size, make=make):
                self.api.clear()
                content = file_bytes(size)
                got = self.received({"deep": [make(content)]})["deep"][0]
                uploads = self.api.seen("POST", "/v1/files")
                if size == INLINE_MOST:
                    self.assertEqual((digest(media_type_and_bytes(got)[1]), uploads), (digest(content), []))
                    continue
                self.assertEqual([seen.path for seen in self.api.requests], ["/v1/files", ECHO_RUNS])
                self.assertEqual(digest(uploaded(uploads[0])), digest(content))
                self.assertEqual(got, list(self.api.files.values())[-1]["urls"]["get"])
        first = next(iter(self.api.files.values()))
        self.assertEqual((first["name"], first["content_type"]), ("a.png", "image/png"))

    def test_the_strategy_forces_one_way_and_an_unknown_one_is_refused(self):
        table = [("base64", BIG, 0), ("url", 3, 1), ("url", 0, 1), (None, 3, 0)]
        for strategy, size, uploads in table:
            with self.subTest(strategy=strategy, size=size):
                self.api.clear()
                got = self.received({"f": [bytes(size)]}, file_encoding_strategy=strategy)["f"][0]
                self.assertEqual(got.startswith("data:"), not uploads)
                self.assertEqual([len(uploaded(seen)) for seen in self.api.seen("POST", "/v1/files")], [size] * uploads)
        self.api.clear()
        for call in (self.received, lambda given, **options: self.client.run("test/echo", given, **options)):
            with self.assertRaises(ValueError):
                call({"f": b"x"}, file_encoding_strategy="ftp")
        self.assertEqual(self.api.requests, [])

    def test_over_100_mib_is_refused_before_a_byte_is_sent(self):
        huge = self.sparse("huge.bin", (100 << 20) + 1)
        table = [lambda: self.received({"small": bytes(BIG), "f": huge}), lambda: self.client.files.create(huge),
                 lambda: self.client.files.create(self.handle(huge, "rb")),
                 lambda: self.received({"f": huge}, file_encoding_strategy="url"),
                 lambda: self.client.files.create(OnlyReads(1 << 40))]  # more than any disk here has
        with warnings.catch_warnings(record=True) as told:
            warnings.simplefilter("always", ResourceWarning)
            for number, call in enumerate(table):
                with self.subTest(number), self.assertRaises((ValueError, replicate.ReplicateError)) as caught:
                    call()
                self.assertRegex(str(caught.exception), r"(?s)100 MiB.*URL")
            gc.collect()
        self.assertEqual([str(warning.message) for warning in told], [], "a path that it opened is closed")
        self.assertEqual(self.api.requests, [])

    def test_a_handle_is_read_from_where_it_stands_and_left_open(self):
        content = file_bytes(BIG + 10)
        path, lines = self.file("a.bin", content), self.file("b.bin", b"first\r\nsecond\r\n\xff\xfe\r\n")
        for offset in (10, 11):  # just too large, and just not
            for file in (self.handle(path, "rb"), self.handle(path, "rb", buffering=0), io.BytesIO(content)):
                with self.subTest(offset=offset, file=file):
                    self.api.clear()
                    file.seek(offset)
                    got = self.received({"f": file})["f"]
                    uploads = [uploaded(seen) for seen in self.api.seen("POST", "/v1/files")]
                    arrived = uploads[0] if offset == 10 else media_type_and_bytes(got)[1]
                    self.assertEqual((digest(arrived), len(uploads)), (digest(content[offset:]), 11 - offset))
                    self.assertFalse(file.closed)
        text = self.handle(lines, "r", encoding="utf-8", errors="replace")
        self.assertEqual(text.readline(), "first\n")
        self.assertEqual(media_type_and_bytes(self.received({"f": text})["f"])[1], lines.read_bytes()[7:])
        self.assertFalse(text.closed)
        text = self.handle(self.file("c.bin", b"first\nsecond\n"), "r", encoding="utf-8")
        next(text)  # from now on it cannot tell where it stands
        try:
            self.assertEqual(media_type_and_bytes(self.received({"f": text})["f"])[1], b"second\n")
        except (ValueError, replicate.ReplicateError) as error:
            self.assertIn("input['f']", str(error))

    def test_a_throttled_upload_is_sent_again_whole(self):
        clock = self.turn_clock()
        content = file_bytes(BIG)
        skipped = b"skip" + content
        makes = [lambda: self.handle(self.file("a.bin", skipped), "rb"), lambda: io.BytesIO(skipped),
                 lambda: self.pipe(skipped)]
        for number, make in enumerate(makes):
            with self.subTest(number):
                self.api.clear()
                self.api.answer("POST", "/v1/files", Reply.throttled(7), Reply.throttled(7))
                file = make()
                file.read(4)
                self.received({"f": file})
                uploads = self.api.seen("POST", "/v1/files")
                bodies = [parse_multipart(seen.headers["Content-Type"], seen.body)["content"][2] for seen in uploads]
                self.assertEqual([digest(body) for body in bodies], [digest(content)] * 3)
                self.assertGreaterEqual(sum(clock.slept), 14 * (number + 1))

    def test_a_failed_upload_raises_and_nothing_is_created_or_sent_inline(self):
        self.turn_clock()
        replies = [Reply.problem(500, "boom"), Reply.problem(413, "too large"), Reply(reset=True),
                   Reply(201, body=b"<html>"), Reply(201, {"id": "no urls in it"})]
        for reply in replies:
            for given, options in (({"f": bytes(BIG)}, {}), ({"f": b"x"}, {"file_encoding_strategy": "url"})):
                with self.subTest(reply=reply.status, options=options):
                    self.api.clear()
                    self.api.answer("POST", "/v1/files", reply)
                    with self.assertRaises(replicate.ReplicateError):
                        self.client.run("test/echo", given, **options)
                    self.assertEqual([seen.path for seen in self.api.requests], ["/v1/files"])

    def test_an_upload_that_breaks_half_way_raises_and_is_not_repeated(self):
        drain = Drain(self, most=1 << 20)
        with self.assertRaises(replicate.NetworkError):
            drain.client.run("test/echo", {"f": self.sparse("big.bin", 24 << 20)})
        self.assertEqual(drain.heads, [b"POST /v1/files HTTP/1.1\r\n"])

    def test_an_upload_takes_constant_memory(self):
        size = 24 << 20
        for source in (self.sparse("big.bin", size), OnlyReads(size)):
            with self.subTest(source=source):
                drain = Drain(self)
                self.assertEqual(self.assert_flat(drain.client.files.create, source).id, "f")
                self.assertGreater(drain.got, size)
                self.assertLess(drain.got, size + 2000)
                self.assertLessEqual(getattr(source, "largest", 0), 1 << 20)

    def test_the_callers_input_stays_as_it_was_and_a_repeated_request_is_the_same(self):
        self.turn_clock()
        handle, numbers = io.BytesIO(b"x" * BIG), [1, (2, 3)]
        given = {"f": [handle], "n": numbers}
        self.received(given)
        self.assertEqual(given, {"f": [handle], "n": [1, (2, 3)]})
        self.assertIs(given["n"], numbers)
        self.api.clear()
        self.api.answer("POST", ECHO_RUNS, Reply.throttled(1))
        self.received({"g": (n for n in range(3)), "f": io.BytesIO(b"x")})
        first, second = (seen.json for seen in self.api.seen("POST", ECHO_RUNS))
        self.assertEqual((first, first["input"]["g"]), (second, [0, 1, 2]))

    def test_the_media_type_comes_from_the_name_else_from_the_first_bytes_and_text_is_not_guessed(self):
        sound, archive, packed = io.BytesIO(), io.BytesIO(), io.BytesIO()
        with wave.open(sound, "wb") as file:
            file.setparams((1, 2, 8000, 0, "NONE", ""))
            file.writeframes(bytes(20))
        with tarfile.open(fileobj=archive, mode="w") as file:
            file.addfile(tarfile.TarInfo("a"))
        with zipfile.ZipFile(packed, "w") as file:
            file.writestr("a", "b")
        octets, picture = "application/octet-stream", png(2, 2, "x")
        by_name = {"a.png": "image/png", "a.JPG": "image/jpeg", "b.c.gif": "image/gif", "a.mp3": "audio/mpeg",
                   "a.mp4": "video/mp4", "a.txt": "text/plain", "a.html": "text/html", "a.json": "application/json",
                   "a.pdf": "application/pdf", "\u732b.png": "image/png", "no-ending": octets, "a.unheard": octets}
        table = [(self.file(name, b"\1\2\3"), kind) for name, kind in by_name.items()]
        table += [(self.file("wins.jpg", picture), "image/jpeg"), (self.file("told", picture), "image/png")]
        table += [(picture, "image/png"), (b"\xff\xd8\xff\xe0\0\x10JFIF\0", "image/jpeg"), (b"GIF89a\1\0", "image/gif"),
                  (b"RIFF\x24\0\0\0WEBPVP8 ", "image/webp"), (sound.getvalue(), "audio/(x-)?wav"),
                  (b"ID3\4\0\0\0\0\0\0", "audio/mpeg"), (b"\xff\xfb\x90\x64\0", "audio/mpeg"),
                  (b"fLaC\0\0\0\x22", "audio/(x-)?flac"), (b"OggS\0\2\0\0", "(audio|application)/ogg"),
                  (b"\0\0\0\x18ftypmp42\0\0\0\0", "video/mp4"), (b"\x1a\x45\xdf\xa3\x9fB\x86\x81\1webm", "video/webm"),
                  (b"%PDF-1.7\n%\xe2\xe3", "application/pdf"), (packed.getvalue(), "application/zip"),
                  (gzip.compress(b"x"), "application/(x-)?gzip"), (archive.getvalue(), "application/(x-)?tar")]
        table += [(plain, octets) for plain in (
            b"hello", b"", b"<html></html>", b'{"a": 1}', b"a,b\n1,2\n", b"\xef\xbb\xbfa", b"BMW makes cars",
            b"ID3 tags, explained", b"RIFF, a band", b"\0\1\2\3")]
        got = self.received({str(number): source for number, (source, _) in enumerate(table)})
        for number, (source, kind) in enumerate(table):
            with self.subTest(source=str(source)[:60]):
                self.assertRegex(media_type_and_bytes(got[str(number)])[0], f"^{kind}$")
        kinds = [self.client.files.create(source).content_type for source in (picture, b"text")]
        self.assertEqual(kinds, ["image/png", octets])


class FilesTest(FileCase):
    def test_names_types_and_metadata_survive_the_multipart(self):
        content = file_bytes(5000)
        names = ["plain.png", 'a "quoted" name.png', "back\\slash.png", 'end\\".png', "semi;colon=.png", "a'b.png",
                 "na\u00efve \u65e5\u672c \U0001f642.png", "x" * 251 + ".png"]
        metadata = {"who": "J\u00fcrgen \"X\"", "n": [1, None]}
        options = {"content_type": "image/x-own", "metadata": metadata}
        for name in names:
            with self.subTest(name=name):
                file = self.client.files.create(io.BytesIO(content), filename=name, **options)
                parts = email_parts(self.api.seen("POST", "/v1/files")[-1])
                headers, got = parts["content"]
                self.assertEqual((headers.get_filename(), headers.get_content_type()), (name, "image/x-own"))
                self.assertEqual((digest(got), json.loads(parts["metadata"][1].decode("utf-8"))),
                                 (digest(content), metadata))
                self.assertEqual((file.name, file.content_type, file.metadata, (file.size, file.checksums["sha256"])),
                                 (name, "image/x-own", metadata, digest(content)))
                self.assertIsInstance(file, replicate.File)

    def test_a_line_end_in_a_name_or_type_makes_no_header(self):
        for options in ({"filename": "a\r\nX-Evil: 1\r\n\r\n.png"}, {"filename": "a\nX-Evil: 1.png"},
                        {"filename": "a.png", "content_type": "image/png\r\nX-Evil: 1"}):
            with self.subTest(**options):
                try:
                    self.client.files.create(b"x", **options)
                except (ValueError, replicate.ReplicateError):
                    self.assertEqual(self.api.requests, [])
                    continue
                headers, content = email_parts(self.api.seen("POST", "/v1/files")[-1])["content"]
                self.assertEqual((headers.get("X-Evil"), content), (None, b"x"))
                self.api.clear()

    def test_create_takes_paths_handles_and_bytes_and_the_rest_takes_an_id_or_a_file(self):
        path = self.file("cat.png", png(4, 4, "cat"))
        handle = self.handle(path, "rb")
        for source in (path, str(path), handle, path.read_bytes(), io.BytesIO(path.read_bytes())):
            with self.subTest(source=type(source)):
                file = self.client.files.create(source)
                self.assertEqual(uploaded(self.api.seen("POST", "/v1/files")[-1]), path.read_bytes())
                self.assertEqual((file.content_type, file.size), ("image/png", path.stat().st_size))
                self.assertEqual(file.name if source in (path, str(path), handle) else "cat.png", "cat.png")
        self.assertFalse(handle.closed)
        for given in (file, file.id):
            self.assertEqual(self.client.files.get(given), file)
        self.assertEqual([f.id for f in self.client.files.list().iter_all()], list(reversed(list(self.api.files))))
        other = self.client.files.create(b"x").id
        self.assertIs(self.client.files.delete(file), True)
        self.assertIs(self.client.files.delete(other), True)
        self.assertEqual([seen.path[len("/v1/files/"):] for seen in self.api.seen("DELETE")], [file.id, other])
        self.api.clear()
        for wrong in ({"metadata": {"a": float("nan")}}, {"filename": "a.png", "metadata": {"a": object()}}):
            with self.assertRaises((ValueError, TypeError)):
                self.client.files.create(b"x", **wrong)
        for wrong in (3, None, object(), ["a"]):
            with self.subTest(wrong=wrong), self.assertRaises((ValueError, TypeError)):
                self.client.files.create(wrong)
        self.assertEqual(self.api.requests, [])

    def test_download_returns_the_bytes_for_a_signature(self):
        content = file_bytes(3000)
        file, expiry = self.client.files.create(content), int(time.time()) + 3600
        signature = self.api.sign_file("acme", file.id, expiry)
        for given in (file, file.id):
            got = self.client.files.download(given, owner="acme", expiry=expiry, signature=signature)
            self.assertEqual(got, content)
        seen = self.api.seen("GET", f"/v1/files/{file.id}/download")
        wanted = {"owner": ["acme"], "expiry": [str(expiry)], "signature": [signature]}
        self.assertEqual([s.query for s in seen], [wanted] * 2)
        with self.assertRaises(replicate.APIError) as caught:
            self.client.files.download(file, owner="acme", expiry=expiry, signature="a+/b=&c")
        self.assertEqual(caught.exception.status, 404)
        self.assertEqual(self.api.requests[-1].query["signature"], ["a+/b=&c"])


class FileOutputTest(FileCase):
    def test_an_output_is_a_str_that_compares_serialises_and_copies_as_its_url(self):
        address, embedded = self.elsewhere.url + "/a/out.png?x=1", "data:image/png;base64," + "iVBO" * 5000
        for url, output in zip((address, embedded), self.outputs(address, embedded)):
            self.assertIsInstance(output, replicate.FileOutput)
            self.assertIsInstance(output, str)
            self.assertEqual((output, output.url, str(output), f"{output}", hash(output)), (url,) * 4 + (hash(url),))
            self.assertEqual(json.dumps({"o": [output]}), json.dumps({"o": [url]}))
            for twin in (pickle.loads(pickle.dumps(output)), copy.copy(output), copy.deepcopy([output])[0]):
                self.assertEqual((twin, type(twin)), (output, replicate.FileOutput))
            self.assertEqual("".join(output), url)
            self.assertLess(len(repr(output)), 300)
            self.assertIn(url[:10], repr(output))
        self.assertEqual(self.elsewhere.requests, [])

    def test_only_a_whole_url_with_a_host_or_a_data_uri_counts_as_a_file(self):
        files = ("https://replicate.delivery/pbxt/a/out-0.png http://h/x https://example.com HTTPS://EXAMPLE.COM/x "
                 "https://h/x?a=b&c#d http://[::1]:80/x data:image/png;base64,AAAA data:,hi data:text/plain,a%20b "
                 "data:text/plain;charset=utf-8;base64,aGk=")
        words = ("https:// https:///x http://?q http://:80/x http:x https ftp://h/x file:///etc/passwd //h/x data: "
                 "httpx://h/x javascript:alert(1) [a](https://h/x)")
        prose = ["see https://h/x", "https://h/x is it", "https://h/x\n", " https://h/x", "https://h/a b.png", "",
                 "data: it is new oil", "Data: the facts, at last", *words.split()]
        files = files.split()
        self.turn_clock()
        got = self.client.run("test/echo", {"deep": [{"a": files}, prose], files[0]: 1})
        self.assertEqual(got, {"deep": [{"a": files}, prose], files[0]: 1})
        for value in got["deep"][0]["a"] + got["deep"][1]:
            with self.subTest(value=str(value)):
                self.assertEqual(isinstance(value, replicate.FileOutput), value in files)
        for value in self.outputs("http://[bad/x", "http://127.0.0.1:port/x"):
            if isinstance(value, replicate.FileOutput):  # then it fails as one
                with self.subTest(value=str(value)), self.assertRaises(replicate.ReplicateError):
                    value.save(self.folder)
                with self.subTest(value=str(value)):
                    self.assertIn(value[:12], value._repr_html_())
        plain = self.client.run("test/echo", {"f": files}, use_file_output=False)["f"]
        self.assertEqual([type(value) for value in plain], [str] * len(files))

    def test_every_way_to_read_gives_the_bytes_and_asks_for_no_gzip(self):
        content = file_bytes(10000)
        output = self.output(Reply(body=content), path="/a/out%20%C3%A9.bin?sig=a%2Fb+c%3D&x=../y")
        self.assertEqual(output.read(), content)
        for size in (1000, 1, 3333, 1 << 20):
            chunks = list(output.iter_bytes(size))
            self.assertEqual(b"".join(chunks), content)
            self.assertTrue(0 < min(map(len, chunks)) <= max(map(len, chunks)) <= size)
        for wrong in (0, -1, "x"):
            with self.subTest(size=wrong), self.assertRaises((ValueError, TypeError)):
                list(output.iter_bytes(wrong))
        with output.open() as file:
            self.assertTrue(file.readable() and file.seekable())
            self.assertEqual((file.read(5), file.tell(), file.seek(-7, 2), file.read()),
                             (content[:5], 5, 9993, content[-7:]))
        copied = io.BytesIO()
        with output.open() as file:
            shutil.copyfileobj(file, copied)
        self.assertEqual(copied.getvalue(), content)

        async def read():
            streamed = [chunk async for chunk in output.async_iter_bytes(4000)]
            iterated = [chunk async for chunk in output]
            return await output.async_read(), await output.aread(), b"".join(streamed), b"".join(iterated)
        self.assertEqual([digest(data) for data in asyncio.run(read())], [digest(content)] * 4)
        saved = asyncio.run(output.async_save(self.folder))
        self.assertEqual((digest(saved.read_bytes()), saved), (digest(content), self.folder / "out \u00e9.bin"))
        seen = self.elsewhere.requests
        self.assertEqual({s.target for s in seen}, {"/a/out%20%C3%A9.bin?sig=a%2Fb+c%3D&x=../y"})
        self.assertEqual({s.headers.get("Accept-Encoding", "identity") for s in seen}, {"identity"})
        self.assertEqual({s.headers.get("Range") for s in seen}, {None})

    def test_a_packed_output_opens_with_zipfile_and_stays_packed(self):
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as file:
            file.writestr("inner.txt", "inside")
        with self.output(Reply(body=packed.getvalue())).open() as file, zipfile.ZipFile(file) as archive:
            self.assertEqual(archive.read("inner.txt"), b"inside")
        small = gzip.compress(b"text" * 1000)
        self.assertEqual(self.output(Reply(body=small), path="/b.gz").save(self.folder).read_bytes(), small)

    def test_data_uris_are_decoded_without_a_request(self):
        table = {"data:text/plain;base64,aGVsbG8=": b"hello", "data:,a%20b%2C+c": b"a b,+c", "data:;base64,aGk=": b"hi",
                 "data:text/plain;charset=utf-8,w%C3%B6rld": b"w\xc3\xb6rld", "data:image/png;base64,": b"",
                 "data:text/plain;charset=utf-8;base64,/+8=": b"\xff\xef", "data:text/plain;base64,aGk%3D": b"hi"}
        outputs = self.outputs(*table)
        self.api.clear()
        for output, content in zip(outputs, table.values()):
            with self.subTest(output=str(output)), output.open() as file:
                self.assertEqual((output.read(), file.read(), b"".join(output.iter_bytes(2))), (content,) * 3)
                self.assertEqual(output.save(self.folder).read_bytes(), content)
        self.assertIn(".png", {pathlib.Path(name).suffix for name in self.names()})
        self.assertEqual((len(self.names()), self.api.requests), (len(table), []))

    def test_save_takes_a_directory_a_name_or_nothing_and_numbers_collisions(self):
        output = self.output(*(Reply(body=b"%d" % number) for number in range(6)), path="/a/out-0.png?x=/etc/y.txt")
        home = os.getcwd()
        self.addCleanup(os.chdir, home)
        os.chdir(str(self.folder))
        try:
            self.assertEqual(output.save().resolve(), (self.folder / "out-0.png").resolve())
        finally:
            os.chdir(home)
        saved = [output.save(str(self.folder)), output.save(self.folder), output.save(self.folder / "named.bin")]
        self.assertEqual(saved, [self.folder / name for name in ("out-0-1.png", "out-0-2.png", "named.bin")])
        self.assertTrue(all(isinstance(path, pathlib.Path) for path in saved))
        self.assertEqual([path.read_bytes() for path in [self.folder / "out-0.png", *saved]], [b"0", b"1", b"2", b"3"])
        self.assertEqual(output.save(str(self.folder / "text.bin")).read_bytes(), b"4")
        at_once = [threading.Thread(target=output.save, args=(self.folder,)) for _ in range(6)]
        for thread in at_once:
            thread.start()
        for thread in at_once:
            thread.join()
        numbered = [f"out-0-{number}.png" for number in range(1, 9)]
        self.assertEqual(self.names(), sorted(["out-0.png", "named.bin", "text.bin", *numbered]))

    def test_a_name_from_the_network_stays_a_plain_name_in_the_directory(self):
        words = (r"/.. /../../up.png /%2e%2e /%2e%2e%2fup.png /..%5C..%5Cup.png /a%5Cb.png /%2Fetc%2Fpasswd /C:x.png "
                 r"/C%3A%5CWindows%5Cx.dll /x%00.png /CON /nul.txt /aux.tar.gz /Com1.png /LPT9 /con%20.txt /CONOUT%24 "
                 r"/com%C2%B9.txt /.bashrc /.ssh%2f.config / /%20 /%2e /ends. /a/ /a%0D%0AX%3A1.png /%FF%FE.png "
                 r"/file%3Astream /a%3Cb%3E%7C%3F%2A%22.png /%252e%252e%252fup.png /%2e%2e%2f%2e%2e%2f")
        hostile = ["", "/" + "a" * 3000 + ".png", "/" + "%E6%97%A5" * 300 + ".png", "/x." + "e" * 3000, *words.split()]
        self.elsewhere.answer("GET", ".*", Reply(body=b"content"), times=False)
        outputs = self.outputs(*(self.elsewhere.url + path for path in hostile))
        self.assertGreater(len(outputs), 20)
        inner = self.folder / "inner"
        for path, output in zip(hostile, outputs):
            inner.mkdir()
            with self.subTest(path=path[:40]):
                saved = output.save(inner)
                self.assertEqual((saved.parent, list(inner.iterdir())), (inner, [saved]))
                self.assertEqual(saved.read_bytes(), b"content")
                self.assertNotRegex(saved.name, r'[\x00-\x1f<>:"/\\|?*]|^\.|[. ]$|^$')
                self.assertNotIn(saved.name.partition(".")[0].rstrip(" ").upper(), DEVICES)
                self.assertLessEqual(len(os.fsencode(saved.name)), 255)
                self.assertEqual(saved.suffix, ".png" if path.endswith(".png") else saved.suffix)
            shutil.rmtree(str(inner))
        self.assertEqual(self.names(), [])
        self.assertEqual(len(self.elsewhere.requests), len(hostile))

    def test_the_html_shows_what_it_is_and_escapes_the_url(self):
        outputs = self.outputs("https://h/a.png?x=1", "data:image/png;base64,AAAA", "https://h/a.mp3",
                               "https://h/a.mp4", 'https://h/a.png?"><script>alert(1)</script>')
        for output, tag in zip(outputs, ("<img", "<img", "<audio", "<video", "<img")):
            html = output._repr_html_()
            self.assertIn(tag, html)
            self.assertIn(str(output)[:15], html)
            self.assertNotIn("<script", html)


class DownloadTest(FileCase):
    def breaks(self, content):
        """(a reply that breaks before its end, a whole one of the same kind)"""
        half = len(content) // 2
        pieces = [content[:half], content[half:]]
        yield lambda *_: Reply(body=content, cut=half), lambda *_: Reply(body=content)
        yield lambda *_: Reply(body=content, cut=half, reset=True), lambda *_: Reply(body=content)
        yield lambda *_: Reply(pieces=pieces, cut=half + 1), lambda *_: Reply(pieces=pieces)

    @staticmethod
    def opened(output):
        with output.open() as file:
            return file.read()

    def test_a_download_that_breaks_is_tried_again_from_the_start_and_ends_whole(self):
        self.turn_clock()
        content = file_bytes(600000)
        ways = [lambda output: output.read(), lambda output: b"".join(output.iter_bytes(7000)),
                lambda output: output.save(self.folder).read_bytes(), self.opened]
        for number, ((broken, whole), way) in enumerate(itertools.product(self.breaks(content), ways)):
            with self.subTest(number):
                output = self.output(broken, broken, whole, path=f"/{number}.bin")
                self.assertEqual(digest(way(output)), digest(content))
                seen = self.elsewhere.seen("GET", f"/{number}.bin")
                self.assertEqual([s.headers.get("Range") for s in seen], [None] * 3)
        self.assertEqual(self.names(), ["10.bin", "2.bin", "6.bin"])

    def test_a_download_that_never_ends_whole_raises_and_leaves_nothing(self):
        self.turn_clock()
        content, old = file_bytes(400000), self.file("old.bin", b"old")
        replies = [broken for broken, _ in self.breaks(content)]
        replies += [lambda *_: Reply.problem(404, "gone"), lambda *_: Reply.problem(503, "no")]
        for number, broken in enumerate(replies):
            output = self.output(broken, path=f"/{number}.bin")
            for call, args in ((output.read, ()), (output.save, [self.folder]), (output.save, [old]),
                               (output.open, ())):
                with self.subTest(number), self.assertRaises(replicate.ReplicateError) as caught:
                    call(*args)
                self.assertIsInstance(caught.exception, replicate.NetworkError if number < 3 else replicate.APIError)
                self.assertEqual((self.names(), old.read_bytes()), (["old.bin"], b"old"))
            count = len(self.elsewhere.seen("GET", f"/{number}.bin"))
            self.assertTrue(count == 4 if number == 3 else count > 4, count)

    def test_a_file_that_changes_between_two_tries_is_never_a_mix_of_both(self):
        self.turn_clock()
        before, after = b"a" * 300000, b"b" * 300000
        output = self.output(Reply(body=before, cut=150000, headers={"ETag": '"a"'}),
                             Reply(body=after, headers={"ETag": '"b"'}))
        try:
            self.assertEqual(digest(output.save(self.folder).read_bytes()), digest(after))
        except replicate.ReplicateError:
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
        self.assertEqual(self.assert_flat(output.save, self.folder).stat().st_size, 24 << 20)
        self.assertEqual(self.assert_flat(lambda: sum(map(len, output.iter_bytes()))), 24 << 20)
        chunks = output.iter_bytes(1000)
        self.assertEqual(len(next(chunks)), 1000)
        chunks.close()
        self.assertEqual(len(output.read()), 24 << 20)

    def test_the_token_goes_to_the_apis_own_origin_alone(self):
        client = replicate.Client(self.api.token, base_url=self.api.url, proxies={}, headers={"X-Own": "secret"},
                                  max_retries=0)
        for server in (self.api, self.elsewhere):
            server.answer("GET", "/.*weights.*", Reply(body=b"weights"), times=False)
        own, other = (urllib.parse.urlsplit(server.url).netloc for server in (self.api, self.elsewhere))
        addresses = [f"{self.api.url}/weights.tar", f"{self.elsewhere.url}/weights.tar",
                     f"http://{own}@{other}/weights.tar", f"http://{other}/{own}/weights",
                     f"http://{other}?http://{own}/weights", f"http://{other}\\@{own}/weights.tar",
                     f"http://{other}#@{own}/weights.tar"]
        for output in client.run("test/echo", {"files": addresses})["files"]:
            try:
                output.read()
            except (replicate.ReplicateError, ValueError):
                self.assertNotIn(output, addresses[:2])  # an odd address may be refused
        first = self.api.seen("GET", "/weights.tar")[0].headers
        self.assertEqual((first["Authorization"], first["X-Own"]), ("Bearer " + self.api.token, "secret"))
        self.assertGreaterEqual(len(self.elsewhere.requests), 1)
        for seen in self.elsewhere.requests:
            with self.subTest(seen=seen):
                self.assertEqual([seen.headers.get(name) for name in ("Authorization", "X-Own", "Cookie")], [None] * 3)

    def test_a_redirect_to_another_origin_is_followed_without_the_token(self):
        self.elsewhere.answer("GET", "/far", Reply(body=b"far"), times=False)
        for status in (301, 302, 303, 307, 308):
            with self.subTest(status=status):
                away = Reply(status, body=b"", headers={"Location": self.elsewhere.url + "/far"})
                self.api.answer("GET", "/near", away)
                self.assertEqual(self.outputs(self.api.url + "/near")[0].read(), b"far")
        near = self.api.seen("GET", "/near")
        self.assertEqual([seen.headers["Authorization"] for seen in near], ["Bearer " + self.api.token] * 5)
        self.assertEqual([seen.headers.get("Authorization") for seen in self.elsewhere.seen("GET", "/far")], [None] * 5)

    def test_no_other_scheme_is_opened_also_not_by_a_redirect(self):
        secret = self.file("secret.txt", b"a secret")
        ftp = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(ftp.close)
        there = f"ftp://127.0.0.1:{ftp.getsockname()[1]}/x"
        for number, address in enumerate((secret.as_uri(), there, "FILE://" + str(secret))):
            with self.subTest(address=address):
                output = self.output(Reply(302, body=b"", headers={"Location": address}), path=f"/{number}")
                for wrong in (output, replicate.FileOutput(address)):
                    with self.assertRaises((replicate.ReplicateError, ValueError)) as caught:
                        wrong.save(self.folder / "stolen.txt")
                    self.assertNotIn("a secret", str(caught.exception))
        self.assertEqual(self.names(), ["secret.txt"])
        self.assertEqual({seen.path for seen in self.elsewhere.requests}, {"/0", "/1", "/2"})
        with selectors.DefaultSelector() as selector:
            selector.register(ftp, selectors.EVENT_READ)
            self.assertEqual(selector.select(0), [], "nobody connects")

    @unittest.skipUnless(shutil.which("openssl"), "needs the openssl command")
    def test_a_redirect_from_https_to_http_is_refused(self):
        key, certificate = str(self.folder / "key.pem"), str(self.folder / "certificate.pem")
        words = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
        made = subprocess.run([*words.split(), "-keyout", key, "-out", certificate], check=False,
                              stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        if made.returncode:
            self.skipTest("this openssl makes no such certificate")
        server, trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        server.load_cert_chain(certificate, key)
        trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
        with StandIn(tls=server) as safe:
            client = replicate.Client(safe.token, base_url=safe.url, proxies={}, ssl_context=trusting)
            safe.answer("GET", "/down", Reply(302, body=b"", headers={"Location": self.elsewhere.url + "/down"}))
            safe.answer("GET", "/across", Reply(302, body=b"", headers={"Location": safe.url + "/there"}))
            safe.answer("GET", "/there", Reply(body=b"there"))
            down, across = client.run("test/echo", {"f": [safe.url + "/down", safe.url + "/across"]})["f"]
            with self.assertRaises(replicate.ReplicateError):
                down.read()
            self.assertEqual((across.read(), self.elsewhere.requests), (b"there", []))


# ---------------------------------------------------------------------------------------------
# Tests: Streams, many at once, callables
# ---------------------------------------------------------------------------------------------

# ---------------------------------------------------------------------------------------------
# Streams, iterators, many at once
# ---------------------------------------------------------------------------------------------

WORDS, LLAMA = "replicate/slow-words", "meta/llama-tiny"  # one is polled, the other has a stream
SSE_TYPE = {"Content-Type": "text/event-stream; charset=utf-8"}

# lines of a stream (without their ends) and the events (event, data, id) that they are by section 9.2 of HTML
SSE_LINES = (
    "\ufeff:a comment first", "", "data: one", "", "data:two", "data", "data:  three ", "", "event: output", "id: 7",
    "data: w\u00f6rld \U0001f642 \u65e5\u672c", "", ": ping", "", "id: 8", "", "data: after an empty event", "",
    "event: logs", "", "data: its type is forgotten", "", "id: no\0pe", "data: kept id", "", "id", "data: no id", "",
    "retry: 12", "retry: x", "data: retried", "", "event: thinking", "data: a\u2028b\u0085c\x0bd\x0ce", "", "data:", "",
    "dat: no field", "data : no field", " data: no field", "Data: no field", "data: a: b", "", "event: x",
    "event: done", "data: {}", "id: end", "", "data: never finished",
)
SSE_EVENTS = [
    ("message", "one", ""), ("message", "two\n\n three ", ""), ("output", "w\u00f6rld \U0001f642 \u65e5\u672c", "7"),
    ("message", "after an empty event", "8"), ("message", "its type is forgotten", "8"), ("message", "kept id", "8"),
    ("message", "no id", ""), ("message", "retried", ""), ("thinking", "a\u2028b\u0085c\x0bd\x0ce", ""),
    ("message", "", ""), ("message", "a: b", ""), ("done", "{}", "end"),
]


def sse_decoded(chunks):
    return [(event.event, event.data, event.id) for event in replicate._decode(chunks)]


def sse_reply(*events, dropped=False, tail=b"", **more):
    """A stream of these (event, data, id); dropped: the connection ends there, in the middle of an answer."""
    pieces = [_server_sent(*event) for event in events] + [tail]
    return Reply(pieces=pieces, headers=SSE_TYPE, cut=sum(map(len, pieces)) if dropped else None, **more)


def sse_text(events):
    return "".join(map(str, events))


def stuck_plan(given, base, api):
    """A run with its first item at once and the second in some weeks."""
    plan = Plan(items=["one ", "two"], start=0, seconds=1e8)
    plan.events = [(0.0, "output", "one "), (5e7, "output", "two")]
    return plan


def until(condition, seconds=10.0):
    """Whether it comes true in time; what has been dropped is collected meanwhile (PyPy)."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        gc.collect()
        time.sleep(0.01)
    return True


def leave_by_close(make):
    values = make()
    next(values)
    values.close()
    values.close()


def leave_by_break(make):
    for _ in make():
        break


def leave_by_error(make, error=KeyError):
    try:
        for _ in make():
            raise error
    except error:
        pass


def leave_by_interrupt(make):
    leave_by_error(make, KeyboardInterrupt)


def leave_by_throw(make):
    values = make()
    next(values)
    try:
        values.throw(KeyError("mine"))
    except KeyError:
        pass


LEFT_EARLY = (leave_by_close, leave_by_break, leave_by_error, leave_by_interrupt, leave_by_throw)
LEFT_UNREAD = (lambda make: make().close(), lambda make: make() and None)


class StreamCase(Case):
    """Short polls, and how to say what the models of this part do."""

    def setUp(self):
        super().setUp()
        os.environ["REPLICATE_POLL_INTERVAL"] = "0.01"

    def plan(self, ref, plan=None, **facts):
        """Make every run of a model go by a plan, or by Plan(**facts)."""
        self.api.catalogue[ref].plan = plan or (lambda given, base, api: Plan(**facts))

    def version_of(self, ref):
        return ref + ":" + self.api.catalogue[ref].versions[0]["id"]

    def script(self, *replies, **more):
        """What the stream of any run answers."""
        self.api.answer("GET", "/stream/.*", *replies, **more)

    def streamed(self, ref=LLAMA, **options):
        return self.client.stream(ref, {"prompt": "x"}, **options)

    def streams(self):
        return self.api.seen("GET", "/stream/.*")

    def cancels(self):
        """How often each prediction was cancelled."""
        return collections.Counter(seen.path.split("/")[3] for seen in self.api.seen("POST", ".*/cancel"))

    def assert_left_over_is_cancelled_once(self, number=None):
        """All creations since the last clear() are over; those (`number`) without success were cancelled, each once."""
        self.assertTrue(until(lambda: not set(self.api.running()) & set(self.api.creations)), "still running")
        states = self.api.predictions
        left = [name for name in self.api.creations if states[name]["status"] != "succeeded"]
        self.assertEqual(len(left), number or max(len(left), 1))
        self.assertEqual(self.cancels(), dict.fromkeys(left, 1))

    def let_others_begin_first(self):
        """A run of test/slow that takes no time is created only when another one has been."""
        def wait(seen, connection):
            while seen.json["input"]["seconds"] == 0 and not self.api.creations and not self.api.closing.wait(0.01):
                pass
        self.api.answer("POST", "/v1/models/test/slow/predictions", wait, times=False)

    def until_error(self, kind, values):
        """The values that came before this error, and the error."""
        came = []
        with self.assertRaises(kind) as caught:
            for value in values:
                came.append(value)
        return came, caught.exception


class DecoderTests(unittest.TestCase):
    def test_events_are_the_same_at_every_split_and_with_every_line_end(self):
        self.assertEqual(len(SSE_EVENTS), 12)
        for end in ("\n", "\r", "\r\n"):
            data = (end.join(SSE_LINES) + end).encode("utf-8")
            for at in range(len(data) + 1):
                self.assertEqual(sse_decoded([data[:at], data[at:]]), SSE_EVENTS, (end, at))
            self.assertEqual(sse_decoded([data[at:at + 1] for at in range(len(data))]), SSE_EVENTS)

    def test_events_are_the_same_at_random_splits_with_mixed_line_ends_and_empty_chunks(self):
        chance = random.Random(5)
        for _ in range(150):
            data, last = b"", ""
            for line in SSE_LINES:  # an empty line's LF after a CR would be half of that line end
                last = chance.choice(["\n", "\r", "\r\n"] if line or last != "\r" else ["\r", "\r\n"])
                data += (line + last).encode("utf-8")
            cuts = sorted(chance.choices(range(len(data) + 1), k=chance.randrange(1, 60)))
            chunks = [data[a:b] for a, b in zip([0] + cuts, cuts + [len(data)])]
            self.assertEqual(sse_decoded(chunks), SSE_EVENTS, chunks)

    def test_a_stream_that_ends_anywhere_gives_its_whole_events_only(self):
        data = ("\n".join(SSE_LINES) + "\n").encode("utf-8")
        counts = []
        for at in range(len(data) + 1):
            came = sse_decoded([data[:at]])
            self.assertEqual(came, SSE_EVENTS[:len(came)], at)
            counts.append(len(came))
        self.assertEqual(sorted(counts), counts)
        ends = [at for at in range(1, len(counts)) if counts[at] > counts[at - 1]]
        self.assertEqual(len(ends), len(SSE_EVENTS))
        self.assertEqual({data[at - 2:at] for at in ends}, {b"\n\n"})

    def test_odd_streams_are_decoded_by_the_rules(self):
        cases = [
            (b"", []), (b"\n\n\n", []), (b"data: x", []), (b"data: x\n", []), (b"\xef\xbb\xbfdata: x\n\n", ["x"]),
            (b"data: x\n\n\xef\xbb\xbfdata: y\n\n", ["x"]), (b"\xef\xbb\xbf\xef\xbb\xbfdata: y\n\n", []),
            (b"\xef\xbbdata: y\n\n", []), (b"data: \xff\xfe\n\n", ["\ufffd\ufffd"]), (b"data: a\0b\n\n", ["a\0b"]),
            (b"retry: " + b"9" * 5000 + b"\ndata: x\n\n", ["x"]), (b"retry: \xc2\xb2\ndata: x\n\n", ["x"]),
            (b"data:\ndata:\n\n", ["\n"]), (b"data\n\n", [""]), (b":\n\n:data: x\n\n", []),
        ]
        for data, expected in cases:
            for chunks in ([data], [data[at:at + 1] for at in range(len(data))]):
                with self.subTest(data=data[:40], chunks=len(chunks)):
                    self.assertEqual([event[1] for event in sse_decoded(chunks)], expected)

    def test_an_event_is_handed_over_before_more_is_read(self):
        def chunks(end):
            yield ("data: x" + end + end).encode()
            self.fail("read on")
        for end in ("\n", "\r\n"):
            self.assertEqual(next(iter(replicate._decode(chunks(end)))).data, "x")


class StreamTests(StreamCase):
    def test_each_event_is_handed_over_before_the_next_is_made(self):
        taken = queue.Queue()
        in_time = []

        def pieces():
            for number in range(4):
                yield _server_sent("output", f"<{number}>", str(number))
                try:
                    in_time.append(taken.get(timeout=10))
                except queue.Empty:
                    return
            yield _server_sent("done", "{}")
        self.script(Reply(pieces=pieces(), headers=SSE_TYPE))
        for event in self.streamed():
            taken.put(str(event))
        self.assertEqual(in_time, ["<0>", "<1>", "<2>", "<3>"])

    def test_the_text_is_that_of_the_run_with_one_creation_and_no_poll(self):
        self.plan(LLAMA, items=list(TOKENS), seconds=5)
        events = list(self.streamed())
        self.assertEqual(sse_text(events), "".join(TOKENS))
        self.assertEqual(sorted({event.event for event in events}), ["done", "output"])
        self.assertEqual(events[-1].event, "done")
        self.assertEqual([seen.method for seen in self.api.requests], ["POST", "GET"])
        self.assertNotIn("Prefer", self.api.requests[0].headers)
        self.assertEqual(self.api.requests[1].headers["Accept"], "text/event-stream")
        self.assertNotIn("Last-Event-ID", self.api.requests[1].headers)

    def test_events_are_what_the_api_sent(self):
        self.plan(LLAMA, stuck_plan)
        url = "https://replicate.delivery/a/b.png"
        sent = [("logs", "loading\n", "1"), ("output", "text", "2"), ("thinking", "hm", "3"), ("output", url, "4"),
                ("output", url + "\n", "5"), ("output", "data:image/png;base64,AAAA", "6"), ("done", "{}", "7")]
        self.script(sse_reply(*sent), times=2)
        events, plain = list(self.streamed()), list(self.streamed(use_file_output=False))
        for came in (events, plain):
            self.assertEqual([(event.event, event.data, event.id) for event in came], sent)
            self.assertEqual([str(event) for event in came], ["", "text", "", url, url + "\n", sent[5][1], ""])
        files = [isinstance(event.data, replicate.FileOutput) for event in events]
        self.assertEqual(files, [False, False, False, True, False, True, False])
        self.assertFalse([event for event in plain if isinstance(event.data, replicate.FileOutput)])
        kind = replicate.ServerSentEvent.EventType
        self.assertTrue(all(isinstance(event, replicate.ServerSentEvent) for event in events))
        self.assertTrue(events[1].event == "output" == kind.OUTPUT and events[-1].event == "done" == kind.DONE)
        self.assertTrue(events[0].event == "logs" == kind.LOGS and kind.ERROR == "error")

    def test_a_dropped_stream_is_resumed_after_its_last_event_and_repeats_nothing(self):
        a, b, c, d = (("output", text, str(number)) for number, text in enumerate("abcd", 1))
        log, done = ("logs", "log\n", "2b"), ("done", "{}", "9")
        cases = {
            "dropped": ["2b", sse_reply(a, b, log, dropped=True), sse_reply(c, d, done)],
            "replayed from the start": ["2b", sse_reply(a, b, log, dropped=True), sse_reply(a, b, log, c, d, done)],
            "in the middle of an event": ["1", sse_reply(a, dropped=True, tail=_server_sent(*b)[:-1]),
                                          sse_reply(b, log, c, d, done)],
            "reset": ["2b", sse_reply(a, b, log, dropped=True, reset=True), sse_reply(c, d, done)],
            "ended": ["2b", sse_reply(a, b, log), sse_reply(c, d, done)],
            "then unavailable": ["2b", sse_reply(a, b, log, dropped=True), Reply.problem(503, "busy"),
                                 sse_reply(b, log, c, d, done)],
            "three times": ["3", sse_reply(a, b, log, dropped=True), sse_reply(a, b, log, c, dropped=True),
                            sse_reply(a, b, log, c, dropped=True), sse_reply(a, b, log, c, d, done)],
        }
        self.turn_clock()
        self.plan(LLAMA, stuck_plan)
        for name, (last, *replies) in cases.items():
            with self.subTest(name):
                self.api.clear()
                self.script(*replies)
                events = [(event.event, event.data) for event in self.streamed()]
                expected = [event[:2] for event in (a, b, log, c, d, done)]
                self.assertEqual(events, expected)
                streams = self.streams()
                self.assertEqual(len(streams), len(replies))
                self.assertNotIn("Last-Event-ID", streams[0].headers)
                self.assertEqual(streams[-1].headers.get_all("Last-Event-ID"), [last])
                self.assertEqual((len(self.api.creations), self.cancels()), (1, {}))

    def test_a_drop_that_cannot_be_resumed_loses_and_repeats_no_text(self):
        def gone(*events):
            return sse_reply(*events, dropped=True)
        cases = {
            "without ids": [gone(("output", "Hel"), ("output", "lo "))],
            "cut otherwise than the output": [gone(("output", "H"), ("output", "ello wo"))],
            "ended without done": [sse_reply(("output", "Hel"), ("output", "lo "))],
            "before any event": [gone()],
            "with ids, over by then": [gone(("output", "Hel", "1"))] + [Reply.problem(404, "gone")] * 2,
            "no stream at all": [Reply(body=b"<html>data: x</html>", headers={"Content-Type": "text/html"})] * 2,
            "at its last item": [gone(("output", "Hel"), ("output", "lo "), ("output", "world"), ("output", "!"))],
        }
        self.plan(LLAMA, items=["Hel", "lo ", "world", "!"], seconds=1)
        for name, replies in cases.items():
            with self.subTest(name):
                self.api.clear()
                self.script(*replies)
                events = list(self.streamed())
                self.assertEqual(sse_text(events), "Hello world!")
                self.assertEqual([event.event for event in events].count("done"), 1)
                self.assertEqual((len(self.api.creations), self.cancels()), (1, {}))

    def test_a_stream_that_is_gone_or_never_was_is_polled_in_time(self):
        self.turn_clock(api=True)
        self.script(Reply.problem(404, "gone"), times=False)
        for ref in (LLAMA, WORDS):
            with self.subTest(ref):
                self.plan(ref, items=["one ", "two ", "three"], seconds=40)
                made = []  # how much of the run there was when each event came
                events = []
                for event in self.streamed(ref):
                    events.append(event)
                    made.append(len(self.api.predictions[self.api.creations[-1]].get("output", [])))
                self.assertEqual([(event.event, event.data) for event in events],
                                 [("output", "one "), ("output", "two "), ("output", "three"), ("done", "{}")])
                self.assertEqual(made[:3], [1, 2, 3])
                self.assertTrue(all(isinstance(event, replicate.ServerSentEvent) for event in events))
        self.assertEqual(self.cancels(), {})

    def test_a_run_that_failed_raises_after_what_came(self):
        a, b = ("output", "partial ", "1"), ("output", "output", "2")
        ends = {"error event": ("error", json.dumps({"detail": "boom"}), "3"),
                "plain error event": ("error", "boom", "3"),
                "done: error": ("done", '{"reason": "error"}', "3"),
                "done: canceled": ("done", '{"reason": "canceled"}', "3")}
        self.turn_clock()
        self.plan(LLAMA, stuck_plan)
        for name, end in ends.items():
            with self.subTest(name):
                self.script(sse_reply(a, b, end))
                came, error = self.until_error(replicate.ModelError, self.streamed())
                self.assertEqual(sse_text(came), "partial output")
                self.assertEqual(error.prediction.id, self.api.creations[-1])
                self.assertEqual(len(self.streams()), len(self.api.creations))
                self.assertIn("boom" if end[0] == "error" else "", str(error))

    def test_every_way_to_follow_a_failed_run_raises_after_the_items_and_cancels_nothing(self):
        for ref in (LLAMA, WORDS):
            self.plan(ref, items=["partial ", "output"], error="boom: out of memory")
        self.script(sse_reply(("output", "partial "), ("output", "output")))
        ways = {"a stream without an end": self.streamed, "stream": self.streamed,
                "polled stream": lambda: self.streamed(WORDS), "run": lambda: self.client.run(WORDS, {"prompt": "x"}),
                "prediction.stream": lambda: self.client.use(LLAMA).create(prompt="x").stream(),
                "output_iterator": lambda: self.client.use(WORDS).create(prompt="x").output_iterator()}
        for name, make in ways.items():
            with self.subTest(name):
                came, error = self.until_error(replicate.ModelError, make())
                self.assertEqual(sse_text(came), "partial output")
                self.assertEqual(error.prediction.id, self.api.creations[-1])
                self.assertIn("boom", str(error))
        self.assertEqual((len(self.api.creations), self.cancels()), (len(ways), {}))

    def test_timeout_bounds_a_stream_that_hangs_or_drips(self):
        first = _server_sent("output", "one ", "1")

        def hangs():
            yield first
            self.api.closing.wait(30)

        def drips():
            yield first
            while not self.api.closing.wait(0.02):
                yield b": ping\n\n"
        self.plan(LLAMA, stuck_plan)
        for pieces in (hangs, drips):
            with self.subTest(pieces.__name__):
                self.script(Reply(pieces=pieces(), headers=SSE_TYPE))
                began = time.monotonic()
                came, error = self.until_error(replicate.PredictionTimeout, self.streamed(timeout=0.5))
                self.assertTrue(0.4 < time.monotonic() - began < 15)
                self.assertIn(sse_text(came), ("", "one "))
                self.assertEqual(error.prediction.id, self.api.creations[-1])
        self.assert_left_over_is_cancelled_once(2)

    def test_timeout_bounds_a_stream_that_is_polled_and_one_that_drops_for_ever(self):
        self.script(sse_reply(("output", "one ", "1"), dropped=True), times=False)
        for ref in (WORDS, LLAMA):
            with self.subTest(ref):
                self.plan(ref, stuck_plan)
                clock = self.turn_clock()
                came, error = self.until_error(replicate.PredictionTimeout, self.streamed(ref, timeout=30))
                self.assertTrue(29 <= clock.time - 1000 < 31, clock.time)
                self.assertEqual((sse_text(came), error.prediction.id), ("one ", self.api.creations[-1]))
        self.assert_left_over_is_cancelled_once(2)

    def test_the_token_is_not_sent_to_a_stream_of_another_origin(self):
        self.client = replicate.Client(self.api.token, base_url=self.api.url, proxies={}, headers={"X-Mine": "1"})
        self.plan(LLAMA, stuck_plan)
        prediction = self.client.use(LLAMA).create(prompt="x")
        with StandIn() as elsewhere:
            elsewhere.answer("GET", "/s", sse_reply(("output", "a", "1"), dropped=True),
                             sse_reply(("output", "b", "2"), ("done", "{}", "3")))
            self.api.force(prediction.id, urls={"stream": elsewhere.url + "/s"})
            prediction.reload()
            self.assertEqual(sse_text(prediction.stream()), "ab")
            self.assertEqual([seen.headers["Last-Event-ID"] for seen in elsewhere.requests], [None, "1"])
            for seen in elsewhere.requests:
                self.assertNotIn(self.api.token, str(seen.headers) + seen.target)
                self.assertFalse({"Authorization", "X-Mine"} & set(seen.headers.keys()))
        self.assertTrue(all(seen.headers["Authorization"] for seen in self.api.requests))


class AbandonedTests(StreamCase):
    def setUp(self):
        super().setUp()
        for ref in (LLAMA, WORDS):
            self.plan(ref, stuck_plan)
        given, words = {"prompt": "x"}, self.version_of(WORDS)
        self.ways = (lambda: self.client.stream(LLAMA, given), lambda: self.client.stream(WORDS, given),
                     lambda: self.client.run(words, given), lambda: self.client.use(LLAMA).stream(prompt="x"))

    def test_what_was_started_is_cancelled_exactly_once_however_it_is_left(self):
        for make, leave in itertools.product(self.ways, LEFT_EARLY + LEFT_UNREAD):
            with self.subTest(way=self.ways.index(make), leave=leave.__name__):
                self.api.clear()
                leave(make)
                self.assert_left_over_is_cancelled_once(1)
                self.assertEqual(len(self.api.creations), 1)

    def test_what_is_read_to_its_end_or_closed_at_its_done_event_is_not_cancelled(self):
        for ref in (LLAMA, WORDS):
            self.plan(ref, items=["one ", "two"], seconds=1)
        for make in self.ways:
            values = make()
            self.assertEqual(sse_text(values), "one two")
            values.close()
        for ref in (LLAMA, WORDS):
            values = self.streamed(ref)
            self.assertTrue(any(event.event == "done" for event in values))  # stops at it
            values.close()
        del values
        gc.collect()
        self.assertEqual((len(self.api.creations), self.cancels(), self.api.running()), (len(self.ways) + 2, {}, []))

    def test_who_holds_a_prediction_cancels_it_himself(self):
        for ref, method in itertools.product((LLAMA, WORDS), ("stream", "output_iterator")):
            prediction = self.client.use(ref).create(prompt="x")
            for leave in LEFT_EARLY + LEFT_UNREAD:
                leave(getattr(prediction, method))
        gc.collect()
        prediction.reload()
        self.assertEqual((prediction.status, self.cancels(), len(self.api.running())), ("processing", {}, 4))

    def test_a_cancel_request_that_fails_is_not_repeated_and_hides_nothing(self):
        self.api.answer("POST", ".*/cancel", Reply.problem(400, "no"), Reply.problem(503, "no"), Reply(reset=True))
        for _ in range(3):
            events = self.streamed()
            next(events)
            with self.assertRaisesRegex(KeyError, "mine"):
                events.throw(KeyError("mine"))
        self.assertEqual(self.cancels(), dict.fromkeys(self.api.creations, 1))
        self.assertEqual(len(self.api.creations), 3)

    @unittest.skipUnless(hasattr(signal, "pthread_kill"), "no signals to threads")
    def test_ctrl_c_while_waiting_for_the_next_item_cancels(self):
        main = threading.main_thread().ident

        def interrupt(first):
            first.wait(10)
            time.sleep(0.05)
            signal.pthread_kill(main, signal.SIGINT)
        self.let_others_begin_first()
        ways = self.ways[:3] + (lambda: self.client.map("test/slow", [{"seconds": 0}, {"seconds": 1e6}]),)
        for number, make in enumerate(ways):
            with self.subTest(number):
                self.api.clear()
                first = threading.Event()
                thread = threading.Thread(target=interrupt, args=(first,))
                thread.start()
                with self.assertRaises(KeyboardInterrupt):
                    for _ in make():
                        first.set()
                thread.join()
                self.assert_left_over_is_cancelled_once()


class IteratorTests(StreamCase):
    def test_output_iterator_yields_each_thing_once(self):
        url = "https://replicate.delivery/x.png"
        on = "processing"
        cases = [
            ("list", [(on, ["a"]), (on, ["a", "b"]), (on, ["a", "b"]), ("succeeded", list("abc"))], ["a", "b", "c"]),
            ("all at the end", [(on, None), ("succeeded", ["a", "b"])], ["a", "b"]),
            ("growing string", [(on, "He"), (on, "Hello"), (on, "Hello"), ("succeeded", "Hello you")],
             ["He", "llo", " you"]),
            ("number", [(on, 4), (on, 42), ("succeeded", 42)], [42]), ("zero", [("succeeded", 0)], [0]),
            ("object", [(on, {"a": 1}), ("succeeded", {"a": 1, "b": 2})], [{"a": 1, "b": 2}]),
            ("null", [(on, None), ("succeeded", None)], []), ("file", [(on, None), ("succeeded", url)], [url]),
            ("files", [(on, [url]), ("succeeded", [url, url])], [url, url]),
            ("failed", [(on, ["a"]), ("failed", ["a", "b"])], ["a", "b"]), ("failed at once", [("failed", None)], []),
            ("a new word", [(on, ["a"]), ("lost", ["a", "b"])], ["a", "b"]),
            ("canceled", [("starting", None), ("canceled", ["a"])], ["a"]),
        ]
        self.turn_clock()
        self.plan(WORDS, stuck_plan)
        self.api.force(self.client.use(WORDS).create(prompt="x").id, output=None)
        prediction = self.client.predictions.get(self.api.creations[-1])
        for name, states, expected in cases:
            with self.subTest(name):
                first, *later = [dict(prediction, status=status, output=output) for status, output in states]
                self.api.clear()
                if later:
                    self.api.answer("GET", "/v1/predictions/.*", *[Reply(json=state) for state in later])
                came, error = [], None
                try:
                    for item in type(prediction)(first, self.client).output_iterator():
                        came.append(item)
                except replicate.ModelError as raised:
                    error = raised
                self.assertEqual(came, expected)
                self.assertEqual(error is None, states[-1][0] == "succeeded")
                self.assertEqual([isinstance(item, replicate.FileOutput) for item in came],
                                 [item == url for item in came])
                self.assertEqual(len(self.api.requests), len(later))
        self.assertEqual(len(cases), 13)

    def test_output_is_iterated_from_its_first_item_whatever_had_arrived(self):
        for ref in (LLAMA, WORDS):
            self.plan(ref, items=["a", "b", "c"], seconds=1)
            prediction = self.client.use(ref).create(prompt="x")
            prediction.wait()
            for method in (prediction.output_iterator, prediction.stream) * 2:
                self.assertEqual(sse_text(method()), "abc")

    def test_items_of_a_run_come_before_the_next_is_made(self):
        self.turn_clock(api=True)
        self.plan(WORDS, items=["one", "two", "three"], seconds=40)
        for make in (lambda: self.client.run(self.version_of(WORDS), {"prompt": "x"}),
                     lambda: self.client.use(WORDS).create(prompt="x").output_iterator()):
            self.api.clear()
            made = [(item, self.api.predictions[self.api.creations[-1]]["output"]) for item in make()]
            self.assertEqual(made, [("one", ["one"]), ("two", ["one", "two"]), ("three", ["one", "two", "three"])])
            self.assertNotIn("Prefer", self.api.seen("POST", "/v1/predictions")[0].headers)
            self.assertEqual(self.cancels(), {})


class HeldClock(HandClock):
    """A clock on which who sleeps sleeps until he is let go."""

    def __init__(self):
        super().__init__()
        self.asleep, self.let_go = threading.Event(), threading.Event()

    def sleep(self, seconds, stop=None):
        self.asleep.set()
        self.let_go.wait(20)
        super().sleep(seconds, stop)


class MapTests(StreamCase):
    POSTS = "/v1/models/test/[a-z]+/predictions"

    def hook(self, function):
        """Call it with each creating request; what it gives is the answer, None for the normal one."""
        self.api.answer("POST", self.POSTS, lambda seen, connection: function(seen), times=False)

    def test_outputs_come_in_the_order_of_the_inputs_whatever_ends_first(self):
        seconds = [20, 1, 10, 1, 5, 1]
        outputs = self.client.map("test/slow", ({"seconds": s} for s in seconds), concurrency=4)
        self.assertEqual(list(outputs), [f"slept {s} s" for s in seconds])
        self.assertEqual((len(self.api.creations), self.cancels()), (len(seconds), {}))
        self.assertEqual(list(self.client.map("test/slow", [])), [])

    def test_an_output_comes_while_later_ones_run(self):
        outputs = self.client.map("test/slow", [{"seconds": 0.5}, {"seconds": 1e6}])
        self.assertEqual(next(outputs), "slept 0.5 s")
        self.assertTrue(until(lambda: len(self.api.creations) == 2))
        self.assertEqual(len(self.api.running()), 1)
        outputs.close()
        self.assert_left_over_is_cancelled_once()

    def test_an_endless_generator_is_drawn_from_as_outputs_are_taken(self):
        drawn = itertools.count()
        outputs = self.client.map("test/echo", ({"n": n} for n in drawn), concurrency=3)
        for taken in range(20):
            self.assertEqual(next(outputs), {"n": taken})
            self.assertLessEqual(len(self.api.creations), taken + 1 + 4 * 3)
        outputs.close()
        self.assertLessEqual(next(drawn), 20 + 4 * 3)

    def test_as_many_run_at_once_as_were_asked_for_and_never_more(self):
        lock, posting = threading.Lock(), []
        for concurrency, given in ((3, {"wait": False, "concurrency": 3}), (8, {})):  # 8 is the default
            meet, counts, inputs = threading.Barrier(concurrency), [], [{"seconds": 1}] * (3 * concurrency)

            def arrive(seen, connection, meet=meet, counts=counts):
                with lock:
                    posting.append(seen)
                    counts.append(len(posting) + len(self.api.running()))
                try:
                    meet.wait(10)
                except threading.BrokenBarrierError:
                    pass
                with lock:
                    posting.remove(seen)
            with self.subTest(concurrency):
                self.api.clear()
                self.api.answer("POST", self.POSTS, arrive, times=len(inputs))
                self.assertEqual(len(list(self.client.map("test/slow", inputs, **given))), len(inputs))
                self.assertEqual((max(counts), len(self.api.creations)), (concurrency, len(inputs)))

    def test_an_error_raises_at_its_place_or_is_yielded_there(self):
        self.plan("test/echo", lambda given, base, api: Plan(given, start=0, seconds=0, error=given.get("error")))
        good, fails, wrong = {"n": 1}, {"error": "boom"}, {"n": object()}
        self.api.answer("POST", self.POSTS, None, None, Reply.problem(400, "refused"), None)
        inputs = [good, fails, wrong, {"refuse": 1}, good]
        outputs = list(self.client.map("test/echo", inputs, concurrency=1, return_exceptions=True))
        kinds = [dict, replicate.ModelError, TypeError, replicate.APIError, dict]
        self.assertEqual([type(output) for output in outputs], kinds)
        self.assertIn("boom", str(outputs[1]))
        for bad, kind in ((fails, replicate.ModelError), (wrong, TypeError)):
            with self.subTest(kind.__name__):
                came, _ = self.until_error(kind, self.client.map("test/echo", [good, good, bad, good]))
                self.assertEqual(came, [good, good])

    def test_leaving_early_cancels_what_runs_each_once(self):
        self.let_others_begin_first()

        def make():
            inputs = itertools.chain([{"seconds": 0}], itertools.repeat({"seconds": 1e6}))
            return self.client.map("test/slow", inputs, concurrency=4)
        for leave in LEFT_EARLY:
            with self.subTest(leave.__name__):
                self.api.clear()
                leave(make)
                self.assert_left_over_is_cancelled_once()
        self.api.clear()
        for leave in LEFT_UNREAD:
            leave(make)
        self.assertTrue(until(lambda: not self.api.running()))
        self.assertEqual(self.cancels(), dict.fromkeys(self.api.creations, 1))

    def test_an_error_of_one_run_or_of_the_inputs_cancels_the_others(self):
        def raising(error):
            yield {"seconds": 1e6}
            yield {"seconds": 1e6}
            self.assertTrue(until(lambda: len(self.api.creations) == 2))
            raise error
        cases = [(raising(LookupError("mine")), LookupError), (raising(KeyboardInterrupt()), KeyboardInterrupt),
                 ([{"seconds": "x"}, {"seconds": 1e6}, {"seconds": 1e6}], replicate.APIError)]
        for inputs, error in cases:
            with self.subTest(error.__name__):
                self.api.clear()
                self.assertEqual(self.until_error(error, self.client.map("test/slow", inputs))[0], [])
                self.assert_left_over_is_cancelled_once()

    def test_what_runs_is_cancelled_also_while_creations_are_throttled(self):
        posts = itertools.count(1)
        self.hook(lambda seen: Reply.throttled(60) if next(posts) > 2 else None)
        self.api.answer("POST", ".*/cancel", lambda seen, connection: self.api.closing.wait(0.2) or None)
        inputs = itertools.chain([{"seconds": 0}], itertools.repeat({"seconds": 1e6}))
        outputs = self.client.map("test/slow", inputs, concurrency=2)
        next(outputs)
        self.assertTrue(until(lambda: len(self.api.seen("POST", self.POSTS)) == 3 and self.api.running()))
        time.sleep(0.1)  # for the 429 to be read
        outputs.close()
        self.assert_left_over_is_cancelled_once()
        self.assertEqual(len(self.api.seen("POST", self.POSTS)), 3)

    def test_a_429_makes_all_workers_hold_off(self):
        clock = self.client._clock = HeldClock()
        meet = threading.Barrier(4)
        statuses = []

        def throttle(seen):
            if len(statuses) >= 4:
                return None
            if meet.wait(10) == 0:
                statuses.append(429)
                return Reply.throttled(30)
            clock.asleep.wait(10)  # until who was throttled sleeps
            statuses.append(201)
            return None
        self.hook(throttle)
        outputs = []
        worker = threading.Thread(target=lambda: outputs.extend(
            self.client.map("test/echo", [{"n": n} for n in range(12)], concurrency=4)))
        worker.start()
        self.assertTrue(until(lambda: len(self.api.creations) == 3))
        time.sleep(0.3)  # whoever does not hold off sends in this time
        posts = len(self.api.seen("POST"))
        clock.let_go.set()
        worker.join(20)
        self.assertEqual((posts, sorted(statuses)), (4, [201, 201, 201, 429]))
        self.assertEqual(outputs, [{"n": n} for n in range(12)])
        self.assertEqual((len(self.api.creations), len(self.api.seen("POST"))), (12, 13))
        self.assertGreaterEqual(max(clock.slept), 29)

    def test_a_thousand_inputs_against_a_throttling_server_are_created_once_each(self):
        clock = self.turn_clock()
        lock, throttled = threading.Lock(), []
        window = {"ends": 0.0, "used": 0}

        def limit(seen):
            """100 creations in 10 s."""
            with lock:
                if clock.time >= window["ends"]:
                    window.update(ends=clock.time + 10, used=0)
                window["used"] += 1
                if window["used"] <= 100:
                    return None
                throttled.append(seen)
                return Reply.throttled(math.ceil(window["ends"] - clock.time))
        self.hook(limit)
        outputs = list(self.client.map("test/echo", ({"n": n} for n in range(1000))))
        self.assertEqual(outputs, [{"n": n} for n in range(1000)])
        self.assertEqual(sorted(job.given["n"] for job in self.api.jobs.values()), list(range(1000)))
        self.assertEqual((len(self.api.creations), self.cancels()), (1000, {}))
        self.assertTrue(0 < len(throttled) <= 80, len(throttled))  # at most each worker's once a window
        self.assertEqual(len(self.api.requests), 1000 + len(throttled))

    def test_wrong_arguments_are_refused_before_any_request(self):
        cases = [{"concurrency": 0}, {"concurrency": -1}, {"concurrency": 1.5}, {"concurrency": None}, {"wait": 61},
                 {"wait": 0.5}, {"timeout": -1}, {"cancel_after": 1}, {"file_encoding_strategy": "zip"},
                 {"ref": "echo"}, {"ref": "a/b/c/d"}, {"inputs": None}, {"inputs": 5}, {"inputs": ["text"]},
                 {"inputs": [[1]]}, {"inputs": [{"n": float("nan")}]}]
        for options in cases:
            call = dict({"ref": "test/echo", "inputs": [{}, {}]}, **options)
            with self.subTest(**options):
                self.until_error((ValueError, TypeError), self.lazily(lambda call=call: self.client.map(**call)))
        self.assertEqual(self.api.requests, [])

    @staticmethod
    def lazily(make):
        yield from make()

    def test_an_iterator_model_gives_lists(self):
        self.plan(WORDS, lambda given, base, api: Plan(items=[given["prompt"], "!"]))
        inputs = [{"prompt": "a"}, {"prompt": "b"}]
        for ref in (WORDS, self.version_of(WORDS)):
            self.assertEqual(list(self.client.map(ref, inputs)), [["a", "!"], ["b", "!"]])


class AsyncIterationTests(StreamCase):
    def setUp(self):
        super().setUp()
        self.plan(WORDS, items=["one ", "two"], seconds=1)

    def test_a_stream_can_be_iterated_directly_or_after_an_await(self):
        async def direct(make):
            return [str(event) async for event in make()]

        async def awaited(make):
            return [str(event) async for event in await make()]
        self.plan(LLAMA, items=["one ", "two"], seconds=1)
        makes = (lambda: self.client.async_stream(LLAMA, {"prompt": "x"}),
                 lambda: self.client.async_stream(WORDS, {"prompt": "x"}),
                 lambda: self.client.use(LLAMA).async_stream(prompt="x"))
        for way, make in itertools.product((direct, awaited), makes):
            self.assertEqual(asyncio.run(way(make)), ["one ", "two", ""])
        self.assertEqual((len(self.api.creations), self.cancels()), (6, {}))

    def test_map_and_iterators_have_twins(self):
        async def main():
            inputs = [{"n": n} for n in range(5)]
            mapped = [output async for output in self.client.async_map("test/echo", inputs, concurrency=2)]
            ran = [item async for item in await self.client.async_run(WORDS, {"prompt": "x"})]
            prediction = await self.client.use(WORDS).async_create(prompt="x")
            return mapped, ran, [item async for item in prediction.async_output_iterator()]
        mapped, ran, iterated = asyncio.run(main())
        self.assertEqual(mapped, [{"n": n} for n in range(5)])
        self.assertEqual((ran, iterated), (["one ", "two"], ["one ", "two"]))

    def test_what_is_left_early_or_cancelled_is_cancelled_once(self):
        for ref in (LLAMA, WORDS):
            self.plan(ref, stuck_plan)
        self.let_others_begin_first()
        given = {"prompt": "x"}

        async def run():
            async for item in await self.client.async_run(self.version_of(WORDS), given):
                yield item
        makes = (lambda: self.client.async_stream(LLAMA, given), lambda: self.client.async_stream(WORDS, given),
                 lambda: self.client.async_map("test/slow", [{"seconds": 0}, {"seconds": 1e6}]), run)

        async def breaks(make):
            async for _ in make():
                break

        async def raises(make):
            try:
                async for _ in make():
                    raise KeyError
            except KeyError:
                pass

        async def is_cancelled(make):
            first = asyncio.Event()

            async def consume():
                async for _ in make():
                    first.set()
            task = asyncio.ensure_future(consume())
            await asyncio.wait_for(first.wait(), 10)
            await asyncio.sleep(0.05)
            task.cancel()
            await asyncio.wait([task], timeout=10)
            self.assertTrue(task.cancelled())
        for number, (make, leave) in enumerate(itertools.product(makes, (breaks, raises, is_cancelled))):
            with self.subTest(make=number // 3, leave=leave.__name__):
                self.api.clear()
                asyncio.run(leave(make))
                self.assert_left_over_is_cancelled_once()

    def test_what_is_given_up_while_its_creation_is_in_flight_is_cancelled_when_it_is_known(self):
        for ref in (LLAMA, WORDS):
            self.plan(ref, stuck_plan)
        given, endless = {"prompt": "x"}, {"seconds": 1e6}

        async def cancel(call, arrived, go_on):
            task = asyncio.ensure_future(call())
            while not arrived.is_set():
                await asyncio.sleep(0.01)
            task.cancel()
            asyncio.get_running_loop().call_later(0.1, go_on.set)
            await asyncio.wait([task], timeout=10)
            self.assertTrue(task.cancelled())

        def close(arrived, go_on):
            outputs = self.client.map("test/slow", [{"seconds": 0}, endless, endless], concurrency=3)
            next(outputs)
            self.assertTrue(arrived.wait(10))
            threading.Timer(0.1, go_on.set).start()
            outputs.close()
        calls = (lambda: self.client.async_stream(LLAMA, given).__anext__(),
                 lambda: self.client.async_run(self.version_of(WORDS), given),
                 lambda: self.client.async_run("test/slow", endless, wait=1),
                 lambda: self.client.async_map("test/slow", [endless]).__anext__(), None)
        for call, half in itertools.product(calls, (False, True)):
            arrived, go_on = threading.Event(), threading.Event()

            def hold(seen, connection, call=call, half=half, arrived=arrived, go_on=go_on):
                """Give no answer, or half of one, until the client has been told to give up."""
                if seen.json["input"].get("seconds") == 0:
                    return None
                reply = self.api.serve(seen)

                def pieces():
                    if half:
                        yield reply.body[:40]
                    if len(self.api.creations) == (1 if call else 3):
                        arrived.set()
                    go_on.wait(10)
                    yield reply.body[40 if half else 0:]
                return Reply(reply.status, pieces=pieces(), headers={"Content-Type": "application/json"})
            with self.subTest(call=calls.index(call), half=half):
                self.api.clear()
                self.api.answer("POST", "/v1(/models/.*)?/predictions", hold, times=1 if call else 3)
                if call:
                    asyncio.run(cancel(call, arrived, go_on))
                else:
                    close(arrived, go_on)
                self.assert_left_over_is_cancelled_once()

    def test_giving_up_a_creation_that_never_came_to_be_cancels_no_other_run(self):
        self.client.use("test/slow").create(seconds=1e6)
        arrived, go_on = threading.Event(), threading.Event()

        def refuse(seen, connection):
            arrived.set()
            go_on.wait(10)
            return Reply.problem(422, "refused")

        async def main():
            task = asyncio.ensure_future(self.client.async_run("test/slow", {"seconds": 1e6}))
            while not arrived.is_set():
                await asyncio.sleep(0.01)
            task.cancel()
            asyncio.get_running_loop().call_later(0.3, go_on.set)
            await asyncio.wait([task], timeout=10)
        self.api.answer("POST", ".*/predictions", refuse)
        asyncio.run(main())
        self.assertEqual((self.api.running(), self.cancels()), (self.api.creations, {}))
        self.assertEqual(len(self.api.creations), 1)


class UseTests(StreamCase):
    ANY_NAMES = {"input": 1, "version": "v", "model": [2], "wait": False, "self": None, "ref": "r", "client": {},
                 "timeout": -1, "stream": True, "webhook": 0, "use_file_output": "no", "cls": 3, "name": "n"}

    def test_inputs_have_any_name(self):
        model = self.client.use("test/echo")
        calls = {"call": lambda **given: model(**given), "create": lambda **given: model.create(**given),
                 "stream": lambda **given: list(model.stream(**given)), "map": lambda **given: list(model.map([given])),
                 "async_create": lambda **given: asyncio.run(model.async_create(**given))}
        self.assertEqual(model(**self.ANY_NAMES), self.ANY_NAMES)
        for name, call in calls.items():
            with self.subTest(name):
                self.api.clear()
                call(**self.ANY_NAMES)
                posts = self.api.seen("POST")
                self.assertEqual([seen.path for seen in posts], ["/v1/models/test/echo/predictions"])
                self.assertEqual(posts[0].json["input"], self.ANY_NAMES)

    def test_the_model_is_described_when_somebody_asks_and_not_before(self):
        model = self.client.use("stability/sketch")
        repr(model), callable(model)
        self.assertEqual(self.api.requests, [])
        text = inspect.getdoc(model)
        for word in ("prompt", "num_outputs", "style", "ink", "seed"):
            self.assertIn(word, text)
        self.assertEqual({seen.method for seen in self.api.requests}, {"GET"})
        self.assertEqual(self.api.creations, [])
        if sys.version_info >= (3, 9):  # before, help() shows the class of any instance
            self.assertIn("num_outputs", pydoc.plain(pydoc.render_doc(model)))


# ---------------------------------------------------------------------------------------------
# Tests: The promises, under faults
# ---------------------------------------------------------------------------------------------

# ---------------------------------------------------------------------------------------------
# Trust: money, tokens, faults
# ---------------------------------------------------------------------------------------------

SOAK_REQUESTS = int(os.environ.get("REPLICATE_SOAK") or 2000)  # read here: Case takes such variables away
SLACK = 2.0  # seconds that a busy machine may take longer than a limit says
KEPT_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: "
ACCOUNT_PATH, ECHO_PATH = "/v1/account", "/v1/models/test/echo/predictions"


def failure_of(call, *args, **options):
    """The ReplicateError that a call raises, or None; anything else that it raises is the test's failure."""
    try:
        call(*args, **options)
    except replicate.ReplicateError as error:
        return error
    return None


def says_may_exist(error):
    return re.search(r"\bmay (have (been )?\w+|exist)", str(error)) is not None


def create_echo(client, **given):
    return client.predictions.create(model="test/echo", input=given)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def kept_and_closed(value):
    """An answer that promises to keep the connection, after which the server closes it all the same."""
    body = json.dumps(value).encode()
    return Reply(raw=KEPT_HEAD + str(len(body)).encode() + b"\r\n\r\n" + body)


def comes_true(condition, seconds=20.0):
    """Wait for something that another thread or process will do; whether it happened."""
    end = time.monotonic() + seconds
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())


@contextlib.contextmanager
def raw_server(talk):
    """A TCP server that gives each of its sockets to talk(sock, over); yields its port and how many came."""
    over, came, threads = threading.Event(), [], []
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 14)
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)

    def converse(sock):
        with sock, contextlib.suppress(OSError):
            talk(sock, over)

    def accept():
        while True:
            sock, _ = listener.accept()
            if over.is_set():
                sock.close()
                return
            came.append(sock)
            threads.append(threading.Thread(target=converse, args=(sock,), daemon=True))
            threads[-1].start()
    acceptor = threading.Thread(target=accept, daemon=True)
    acceptor.start()
    try:
        yield listener.getsockname()[1], came
    finally:
        over.set()
        socket.create_connection(listener.getsockname()).close()
        for thread in [acceptor] + threads:
            thread.join(5)
        listener.close()


def drip_for_ever(data):
    """What a raw_server says: data, then one byte after another; it stops after 5 s, for a test to fail, not hang."""
    def talk(sock, over):
        sock.recv(65536)
        sock.sendall(data)
        end = time.monotonic() + 5
        while not over.wait(0.05) and time.monotonic() < end:
            sock.sendall(b"x")
    return talk


def stall(sock, over):
    """Read nothing, say nothing."""
    over.wait(8)


def refuse_tls(sock, over):
    """Be no TLS server."""
    sock.recv(65536)
    sock.sendall(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")


class Script:
    """A Python program against the stand-in, in a process of its own."""

    head = "import replicate, signal, sys, os\nsignal.signal(signal.SIGINT, signal.default_int_handler)\n"

    def __init__(self, case, code, **environment):
        known = {"REPLICATE_API_TOKEN": case.api.token, "REPLICATE_BASE_URL": case.api.url, "no_proxy": "127.0.0.1",
                 "PYTHONPATH": os.path.dirname(os.path.abspath(replicate.__file__))}
        self.process = subprocess.Popen([sys.executable, "-c", self.head + code], stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, env=dict(os.environ, **dict(known, **environment)))
        case.addCleanup(self.end)

    def end(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def interrupt(self):
        self.process.send_signal(signal.SIGINT)

    def result(self):
        """Its exit code and its standard output."""
        try:
            out, err = self.process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            return None, "still running after 30 s"
        return self.process.returncode, out.decode() + ("" if self.process.returncode in (0, 130) else err.decode())


# what a network or a server can do to an answer: name -> (the answer, the error's class, its status)
NETWORK_FAULTS = {
    "reset before the head": Reply(reset=True),
    "reset after the head": Reply(json={"id": "p1"}, cut=0, reset=True),
    "closed without an answer": Reply(raw=b""),
    "closed in the body": Reply(json={"id": "p1", "status": "starting"}, cut=9),
    "closed in a chunk": Reply(pieces=[b'{"id": "p1", "st', b'atus": "starting"}'], cut=20),
    "a chunk without a size": Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n"),
    "a garbage status line": Reply(raw=b"\x16\x03\x01 nonsense\r\n\r\n"),
    "a status that is no number": Reply(raw=b"HTTP/1.1 abc OK\r\nContent-Length: 2\r\n\r\n{}"),
    "a head of too many lines": Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"X-Line: 1\r\n" * 300 + b"\r\n{}"),
    "a line without an end": Reply(raw=b"HTTP/1.1 200 OK\r\nX-Line: " + b"x" * 200000),
}
GARBAGE_FAULTS = {
    "closed in the head": Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Le"),
    "HTML with status 200": Reply(200, body=b"<html>Welcome</html>", headers={"Content-Type": "text/html"}),
    "an empty body": Reply(200, body=b""),
    "a JSON list": Reply(200, body=b"[1, 2]", headers={"Content-Type": "application/json"}),
    "JSON null": Reply(200, body=b"null", headers={"Content-Type": "application/json"}),
    "no UTF-8": Reply(200, body=b'{"id": "\xff\xfe"}', headers={"Content-Type": "application/json"}),
    "gzip that is none": Reply(200, body=b"nonsense", headers={"Content-Encoding": "gzip"}),
    "deep nesting": Reply(200, body=b"[" * 200000),
}
STATUS_FAULTS = {
    "500": Reply.problem(500, "Internal error"),
    "503": Reply.problem(503, "Try later"),
    "HTML 502": Reply(502, body=b"<html><h1>Bad gateway</h1></html>", headers={"Content-Type": "text/html"}),
    "a 504 cut short": Reply(504, body=b"x" * 100, cut=10),
}
REFUSALS = {
    "400": Reply.problem(400, "Bad"), "402": Reply.problem(402, "Pay"), "404": Reply.problem(404, "None such"),
    "422": Reply.problem(422, "Invalid"), "401": Reply.problem(401, "Who?"), "403 HTML": Reply(403, body=b"<b>no</b>"),
}
# a request of each kind: (may be repeated, JSON is read from its answer, method, path, call)
REQUESTS = {
    "GET": (True, True, "GET", "/v1/predictions/p1", lambda client: client.predictions.get("p1")),
    "GET of a list": (True, True, "GET", "/v1/models", lambda client: client.models.list()),
    "QUERY": (True, True, "QUERY", "/v1/models", lambda client: client.models.search("fox")),
    "DELETE": (True, False, "DELETE", "/v1/models/acme/x", lambda client: client.models.delete("acme/x")),
    "cancel": (True, True, "POST", "/v1/predictions/p1/cancel", lambda client: client.predictions.cancel("p1")),
    "create": (False, True, "POST", ECHO_PATH, create_echo),
    "upload": (False, True, "POST", "/v1/files", lambda client: client.files.create(io.BytesIO(b"data"))),
    "PATCH": (False, True, "PATCH", "/v1/deployments/acme/my-app",
              lambda client: client.deployments.update("acme/my-app", min_instances=0)),
}
FAULT_TABLE = [(name, reply, kind) for faults, kind in (
    (NETWORK_FAULTS, "network"), (GARBAGE_FAULTS, "garbage"), (STATUS_FAULTS, "status"), (REFUSALS, "refusal"))
    for name, reply in faults.items()]


class NeverBilledTwice(Case):
    """Promise 1, by the table: fault x request x moment -> what the server saw and what the caller got."""

    def setUp(self):
        super().setUp()
        self.fault, self.faults = None, []  # for ever; for the next requests
        self.api.answer(None, ".*", lambda seen, connection: self.faults.pop() if self.faults else self.fault,
                        times=False)

    def client_of(self, retries):
        self.client = replicate.Client(self.api.token, base_url=self.api.url, proxies={}, max_retries=retries)
        return self.turn_clock()

    def expect(self, kind, name, error, wanted):
        repeatable, _, method, path, _ = REQUESTS[name]
        self.assertEqual([(seen.method, seen.path) for seen in self.api.seen()], [(method, path)] * wanted)
        self.assertIsInstance(error, {"network": replicate.NetworkError, "garbage": replicate.ReplicateError}.get(
            kind, replicate.APIError))
        self.assertEqual((error.method, error.path), (method, path))
        self.assertNotIn("\n", str(error))
        self.assertEqual(says_may_exist(error), not repeatable and kind != "refusal", str(error))
        if kind in ("status", "refusal"):
            self.assertEqual(error.status, self.fault.status)

    def test_a_creating_request_is_sent_once_whatever_comes_back_and_any_other_is_repeated(self):
        cases = [(row, name, moment) for row in FAULT_TABLE for name in REQUESTS
                 for moment in ("new connection", "kept connection")
                 if not (row[2] == "garbage" and not REQUESTS[name][1])
                 and (moment == "new connection" or row[2] == "network" and name in ("GET", "create"))]
        self.assertGreater(len(cases), 150)
        for (fault, reply, kind), name, moment in cases:
            with self.subTest(fault=fault, request=name, moment=moment):
                clock = self.client_of(retries=1)
                self.fault = None
                if moment == "kept connection":
                    self.client.accounts.current()
                self.api.clear()
                self.fault = reply
                error = failure_of(REQUESTS[name][4], self.client)
                wanted = 2 if REQUESTS[name][0] and kind != "refusal" else 1
                self.expect(kind, name, error, wanted)
                self.assertEqual(len(clock.slept), wanted - 1)

    def test_what_may_be_repeated_succeeds_once_the_fault_is_over(self):
        rows = [row for row in FAULT_TABLE if row[2] != "refusal"]
        self.assertTrue(rows)
        for fault, reply, _ in rows:
            with self.subTest(fault=fault):
                self.client_of(retries=1)
                self.api.clear()
                self.faults = [reply]
                self.assertEqual(self.client.accounts.current().username, "acme")
                self.assertEqual(len(self.api.seen("GET", ACCOUNT_PATH)), 2)

    def test_no_retries_means_one_request_and_no_pause(self):
        rows = FAULT_TABLE + [("429", Reply.throttled(3), "status")]
        for fault, reply, _ in rows:
            with self.subTest(fault=fault):
                clock, self.fault = self.client_of(retries=0), reply
                self.api.clear()
                self.assertIsInstance(failure_of(self.client.predictions.get, "p1"), replicate.ReplicateError)
                self.assertIsInstance(failure_of(create_echo, self.client), replicate.ReplicateError)
                self.assertEqual((len(self.api.seen()), clock.slept), (2, []))

    def test_a_request_that_reached_nobody_is_repeated_also_when_it_creates(self):
        server = raw_server(refuse_tls)
        plain, _ = server.__enter__()
        self.addCleanup(server.__exit__, None, None, None)
        addresses = {"refused": f"http://127.0.0.1:{free_port()}", "DNS": "http://nowhere.invalid",
                     "TLS": f"https://127.0.0.1:{plain}"}
        for fault, address in addresses.items():
            for name, (*_, call) in REQUESTS.items():
                with self.subTest(fault=fault, request=name):
                    self.client = replicate.Client(self.api.token, base_url=address, proxies={}, max_retries=2)
                    clock = self.turn_clock()
                    error = failure_of(call, self.client)
                    self.assertIsInstance(error, replicate.NetworkError)
                    self.assertFalse(says_may_exist(error), str(error))
                    self.assertEqual((len(clock.slept), self.api.creations), (2, []))

    def test_a_throttled_creation_is_repeated_and_made_once(self):
        self.turn_clock()
        self.faults = [Reply.throttled(7), Reply.throttled(7)]
        prediction = create_echo(self.client, n=1)
        self.assertEqual(self.api.creations, [prediction.id])
        bodies = [seen.json for seen in self.api.seen("POST", ECHO_PATH)]
        self.assertEqual(bodies, [{"input": {"n": 1}}] * 3)


class Waits(Case):
    """How long it holds off between attempts, by a clock turned by hand."""

    def slept_after(self, reply, call=lambda client: client.accounts.current(), times=1):
        clock = self.turn_clock()
        self.api.answer(None, ".*", reply, times=times)
        call(self.client)
        return clock.slept

    def test_the_word_of_the_server_beats_a_guess(self):
        date = email.utils.formatdate(time.time() + 40, usegmt=True)
        past = email.utils.formatdate(time.time() - 500, usegmt=True)
        text = {"detail": "Request was throttled. Your rate limit resets in ~30s."}
        table = [
            ("seconds", 429, {"Retry-After": "7"}, None, 7, 7),
            ("nought", 429, {"Retry-After": "0"}, None, 0, 0),
            ("a date", 429, {"Retry-After": date}, None, 20, 41),
            ("a past date", 429, {"Retry-After": past}, None, 0, 1),
            ("ratelimit-reset", 429, {"ratelimit-reset": "9", "ratelimit-remaining": "0"}, None, 9, 9),
            ("text", 429, {}, text, 30, 30),
            ("none", 429, {}, None, 0, 60),
            ("an hour", 429, {"Retry-After": "3600"}, None, 60, 60),
            ("a day in text", 429, {}, {"detail": "Your rate limit resets in ~86400s."}, 60, 60),
            ("digits without end", 429, {"Retry-After": "9" * 400}, None, 60, 60),
            ("nonsense", 429, {"Retry-After": "soon"}, None, 0, 60),
            ("a date of nonsense", 429, {"Retry-After": "Mon, 99 Foo 99999 99:99:99 GMT"}, None, 0, 60),
            ("negative", 429, {"Retry-After": "-5"}, None, 0, 60),
            ("503 with seconds", 503, {"Retry-After": "11"}, None, 11, 11),
            ("503 with an hour", 503, {"Retry-After": "3600"}, None, 60, 60),
        ]
        for name, status, headers, body, least, most in table:
            for method, call in (("GET", lambda client: client.accounts.current()), ("POST", create_echo)):
                if method == "POST" and status != 429:
                    continue
                with self.subTest(name, method=method):
                    self.api.clear()
                    self.client = replicate.Client(self.api.token, base_url=self.api.url, proxies={})
                    slept = sum(self.slept_after(Reply(status, json=body or {"detail": "no"}, headers=headers), call))
                    self.assertTrue(least <= slept <= most, slept)
                    self.assertEqual(len(self.api.seen(method)), 2)

    @unittest.skipUnless(hasattr(time, "tzset"), "needs tzset")
    def test_a_date_means_gmt_wherever_the_machine_stands(self):
        self.addCleanup(time.tzset)
        moment = time.gmtime(time.time() + 40)
        forms = ("%a, %d %b %Y %H:%M:%S GMT", "%A, %d-%b-%y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y")  # RFC 9110, 5.6.7
        for zone in ("EST5", "JST-9"):
            for form in forms:
                with self.subTest(zone=zone, form=form), mock.patch.dict(os.environ, TZ=zone):
                    time.tzset()
                    reply = Reply(429, json={}, headers={"Retry-After": time.strftime(form, moment)})
                    self.assertTrue(10 <= sum(self.slept_after(reply)) <= 41)
            time.tzset()

    def test_without_a_word_it_backs_off_ever_longer_and_at_random_and_never_above_a_minute(self):
        rounds = []
        for _ in range(12):
            self.client = replicate.Client(self.api.token, base_url=self.api.url, proxies={}, max_retries=9)
            rounds.append(self.slept_after(Reply.problem(500, "down"), times=9))
        self.assertEqual({len(slept) for slept in rounds}, {9})
        self.assertLessEqual(max(map(max, rounds)), 60)
        columns = [sum(column) for column in zip(*rounds)]
        self.assertGreater(columns[5], columns[0])
        self.assertEqual(len({slept[3] for slept in rounds}), 12)

    def test_five_retries_unless_told_otherwise(self):
        self.assertEqual(len(self.slept_after(Reply.problem(503, "down"), times=5)), 5)
        self.assertEqual(len(self.api.seen()), 6)

    def test_a_wait_ends_with_the_timeout_of_the_call(self):
        clock = self.turn_clock()
        self.api.answer("POST", ECHO_PATH, Reply.throttled(30), times=False)
        error = failure_of(self.client.run, "test/echo", {}, timeout=10)
        self.assertIsInstance(error, replicate.PredictionTimeout)
        self.assertEqual((clock.time, len(self.api.seen())), (1010.0, 1))
        self.assertFalse(says_may_exist(error), str(error))


GIVEN_UP = {
    "run": lambda client, **options: client.run("test/slow", {"seconds": 1000}, wait=False, **options),
    "stream": lambda client, **options: list(client.stream("test/slow", {"seconds": 1000}, wait=False, **options)),
    "map": lambda client, **options: list(client.map("test/slow", [{"seconds": 1000}], wait=False, **options)),
    "use": lambda client, **options: list(client.use("test/slow").stream(seconds=1000)),
}


class NeverLostNorOrphaned(Case):
    """Promises 2 and 3."""

    def setUp(self):
        super().setUp()
        self.client = replicate.Client(self.api.token, base_url=self.api.url, proxies={}, max_retries=0)

    def cancels(self):
        return self.api.seen("POST", "/v1/predictions/[^/]+/cancel")

    def test_what_ends_by_its_timeout_is_cancelled_once_and_told(self):
        for name in ("run", "stream", "map"):
            with self.subTest(name):
                clock = self.turn_clock(api=True)
                self.api.clear()
                error = failure_of(GIVEN_UP[name], self.client, timeout=20)
                self.assertIsInstance(error, replicate.PredictionTimeout)
                self.assertEqual((error.prediction.id, len(self.cancels()), self.api.running()),
                                 (self.api.creations[0], 1, []))
                self.assertTrue(1020 <= clock.time <= 1025, clock.time)
                self.assertIn(error.prediction.id, str(error))

    def test_a_poll_that_fails_carries_the_prediction_and_cancels_it_once(self):
        faults = dict(NETWORK_FAULTS, **dict(STATUS_FAULTS, **REFUSALS))
        cases = [("run", fault) for fault in faults] + [(name, "503") for name in GIVEN_UP]
        for name, fault in cases:
            with self.subTest(name, fault=fault):
                self.api.clear()
                self.turn_clock()
                self.api.answer("GET", "/v1/predictions/.*", faults[fault])
                error = failure_of(GIVEN_UP[name], self.client)
                self.assertIsInstance(error, (replicate.APIError, replicate.NetworkError))
                self.assertEqual([error.prediction.id], self.api.creations)
                self.assertEqual([seen.path.split("/")[3] for seen in self.cancels()], self.api.creations)
                self.assertEqual((self.api.running(), len(self.api.seen("GET"))), ([], 1))

    def test_whoever_holds_a_prediction_decides_for_himself(self):
        prediction = self.client.predictions.create(model="test/slow", input={"seconds": 1000})
        ways = {"wait": prediction.wait, "reload": prediction.reload, "stream": lambda: list(prediction.stream()),
                "output_iterator": lambda: list(prediction.output_iterator())}
        for name, call in ways.items():
            with self.subTest(name):
                self.turn_clock()
                self.api.answer("GET", "/v1/predictions/.*", Reply(reset=True))
                error = failure_of(call)
                self.assertIsInstance(error, replicate.NetworkError)
                self.assertEqual(error.prediction.id, prediction.id) if name != "reload" else None
        self.turn_clock(api=True)
        error = failure_of(prediction.wait, timeout=5)
        self.assertIsInstance(error, replicate.PredictionTimeout)
        self.assertEqual((error.prediction.id, self.cancels()), (prediction.id, []))
        self.assertEqual(self.api.running(), [prediction.id])

    def test_a_cancel_that_fails_does_not_hide_the_cause(self):
        for name, fault in dict(NETWORK_FAULTS, **STATUS_FAULTS).items():
            with self.subTest(name):
                self.api.clear()
                self.turn_clock(api=True)
                self.api.answer("POST", "/v1/predictions/.*/cancel", fault)
                error = failure_of(GIVEN_UP["run"], self.client, timeout=20)
                self.assertIsInstance(error, replicate.PredictionTimeout)
                self.assertEqual((error.prediction.id, len(self.cancels())), (self.api.creations[0], 1))

    def test_a_cancel_that_drips_for_ever_is_left_after_five_seconds(self):
        class Hurried(HandClock):
            def now(self):
                return time.monotonic() * 10
        self.client._clock = Hurried()
        self.api.answer("GET", "/v1/predictions/.*", Reply.problem(404, "gone"))
        self.api.answer("POST", "/v1/predictions/.*/cancel", Reply(json={}, pause=0.1))
        began = time.monotonic()
        self.assertEqual(failure_of(GIVEN_UP["run"], self.client).status, 404)
        self.assertLess(time.monotonic() - began, 0.5 + SLACK)
        self.assertEqual(len(self.cancels()), 1)

    def test_an_iterator_left_early_cancels_once(self):
        def throw(events):
            with self.assertRaisesRegex(RuntimeError, "mine"):
                events.throw(RuntimeError("mine"))
        self.api.speed = 1
        for name, leave in (("close", lambda events: events.close()), ("throw", throw)):
            with self.subTest(name):
                self.api.clear()
                events = self.client.stream("meta/llama-tiny", {"prompt": "x", "max_tokens": 1000})
                self.assertEqual(next(events).event, "output")
                leave(events)
                self.assertEqual((len(self.cancels()), self.api.running()), (1, []))

    def test_a_timeout_with_a_create_in_flight_says_that_the_prediction_may_exist(self):
        for name, reply in (("silence", Reply(delay=30)), ("a head for ever", Reply(json={}, pause=0.3))):
            with self.subTest(name):
                self.api.clear()
                self.api.answer("POST", ".*", reply)
                began = time.monotonic()
                error = failure_of(self.client.run, "test/echo", {}, timeout=0.6)
                self.assertLess(time.monotonic() - began, 0.6 + SLACK)
                self.assertIsInstance(error, replicate.PredictionTimeout)
                self.assertTrue(says_may_exist(error), str(error))
                self.assertEqual(len(self.api.seen("POST")), 1)


@unittest.skipUnless(os.name == "posix", "SIGINT is sent as POSIX has it")
class CtrlC(Case):
    """Promise 3, in processes of their own."""

    code = ("try:\n    {}\nexcept KeyboardInterrupt:\n    print('interrupted')\n    sys.exit(130)\n"
            "finally:\n    print('left', flush=True)\n")
    slow = "'test/slow', {'seconds': 1e6}, wait=False"

    def cancels(self):
        return self.api.seen("POST", "/v1/predictions/.*/cancel")

    def test_it_cancels_each_run_once_and_comes_out(self):
        calls = (f"replicate.run({self.slow})", f"for event in replicate.stream({self.slow}): pass",
                 "list(replicate.map('test/slow', [{'seconds': 1e6}], wait=False))")
        scripts = [Script(self, self.code.format(call)) for call in calls]
        self.assertTrue(comes_true(lambda: len({seen.path for seen in self.api.seen("GET", "/v1/predictions/.*")}) == 3))
        for script in scripts:
            script.interrupt()
        self.assertEqual([script.result() for script in scripts], [(130, "interrupted\nleft\n")] * 3)
        cancelled = [seen.path.split("/")[3] for seen in self.cancels()]
        self.assertEqual(sorted(cancelled), sorted(self.api.creations))
        self.assertEqual((len(cancelled), self.api.running()), (3, []))

    def test_one_that_comes_while_a_creation_is_in_flight_cancels_what_was_created(self):
        def late(seen, connection):
            reply = self.api.serve(seen)
            reply.delay = 1.0
            return reply
        self.api.answer("POST", "/v1/models/.*", late)
        script = Script(self, self.code.format(f"replicate.run({self.slow})"))
        self.assertTrue(comes_true(lambda: self.api.creations))
        script.interrupt()
        self.assertEqual(script.result(), (130, "interrupted\nleft\n"))
        self.assertEqual([seen.path.split("/")[3] for seen in self.cancels()], self.api.creations)
        self.assertEqual((len(self.api.creations), self.api.running()), (1, []))

    def test_a_second_one_while_the_cancel_stalls_leaves_at_once(self):
        self.api.answer("POST", "/v1/predictions/.*/cancel", Reply(delay=60))
        script = Script(self, self.code.format(f"replicate.run({self.slow})"))
        self.assertTrue(comes_true(lambda: self.api.seen("GET")))
        script.interrupt()
        self.assertTrue(comes_true(self.cancels))
        began = time.monotonic()
        script.interrupt()
        self.assertEqual(script.result(), (130, "interrupted\nleft\n"))
        self.assertLess(time.monotonic() - began, 3.5)
        self.assertEqual(len(self.cancels()), 1)


class NeverHangs(Case):
    """Promise 8, by the real clock."""

    def limited(self, seconds, *calls):
        """What calls made at once raise, each within so many seconds."""
        ends = {}

        def work(number, call):
            began = time.monotonic()
            ends[number] = failure_of(call), time.monotonic() - began
        threads = [threading.Thread(target=work, args=pair) for pair in enumerate(calls)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        self.assertEqual(sorted(ends), list(range(len(calls))))
        self.assertEqual([number for number, (_, took) in ends.items() if took > seconds + SLACK], [])
        return [ends[number][0] for number in range(len(calls))]

    def client_at(self, port, scheme="http", **options):
        return replicate.Client("token", base_url=f"{scheme}://127.0.0.1:{port}", **dict({"proxies": {}}, **options))

    def test_the_timeout_of_a_call_bounds_heads_and_bodies_that_drip_for_ever(self):
        def drips():
            return (Reply(json={"id": "p1", "status": "starting"}, pause=0.2),
                    Reply(pieces=iter(lambda: b" ", None), pause=0.05))
        self.client.poll_interval = 0.01
        self.api.answer("POST", ECHO_PATH, *drips())
        self.api.answer("GET", "/v1/predictions/[^/]*", *drips())
        errors = self.limited(0.9, *[
            lambda model=model: self.client.run(model, {"seconds": 1e6}, wait=False, timeout=0.9)
            for model in ("test/echo", "test/echo", "test/slow", "test/slow")])
        self.assertEqual({type(error) for error in errors}, {replicate.PredictionTimeout})
        self.assertEqual([says_may_exist(error) for error in errors], [True, True, False, False])
        cancelled = [seen.path.split("/")[3] for seen in self.api.seen("POST", ".*/cancel")]
        self.assertEqual(sorted(cancelled), sorted(self.api.creations))
        self.assertEqual((len(cancelled), len(self.api.seen("POST", ECHO_PATH))), (2, 2))

    def test_without_one_the_head_is_bounded_by_the_timeout_of_the_client(self):
        def clients(status, headers, silent):
            yield "status line", self.client_at(status[0], **limits)
            yield "headers", self.client_at(headers[0], **limits)
            yield "silence", self.client_at(silent[0], **limits)
            yield "TLS", self.client_at(silent[0], "https", **limits)
            for name, server in (("CONNECT", headers), ("silent CONNECT", silent)):
                yield name, self.client_at(9, "https", **dict(limits, proxies={"https": f"127.0.0.1:{server[0]}"}))
        limits = {"timeout": 0.4, "max_retries": 0}
        with raw_server(drip_for_ever(b"HTTP/1.1 2")) as status, raw_server(stall) as silent, \
                raw_server(drip_for_ever(b"HTTP/1.1 200 OK\r\nX-Slow: ")) as headers:
            made = dict(clients(status, headers, silent))
            errors = self.limited(0.4, *[client.accounts.current for client in made.values()])
            self.assertEqual({type(error) for error in errors}, {replicate.NetworkError})
            self.assertEqual([len(came) for _, came in (status, headers, silent)], [1, 2, 3])

    def test_an_upload_that_nobody_reads_ends(self):
        with raw_server(stall) as (port, came):
            one, other = (io.BytesIO(bytes(24 << 20)) for _ in range(2))
            network, timeout = self.limited(
                0.5, lambda: self.client_at(port, timeout=0.5).files.create(one),
                lambda: self.client_at(port).run("test/files", {"files": [other]}, timeout=0.5))
            self.assertIsInstance(network, replicate.NetworkError)
            self.assertIsInstance(timeout, replicate.PredictionTimeout)
            self.assertEqual(len(came), 2)

    def test_interim_answers_are_skipped(self):
        for codes in ((100,), (102, 103, 103), (100,) * 5):
            with self.subTest(codes=codes):
                self.api.clear()
                self.api.answer("GET", ACCOUNT_PATH, Reply(json={"username": "x"}, interim=codes))
                self.api.answer("POST", ECHO_PATH, Reply(201, {"id": "p1", "status": "starting"}, interim=codes))
                self.assertEqual(self.client.accounts.current().username, "x")
                self.assertEqual(create_echo(self.client).id, "p1")
                self.assertEqual({seen.connection for seen in self.api.seen()}, {1})
                self.assertEqual(len(self.api.seen()), 2)

    def test_interim_answers_without_end_are_given_up(self):
        self.client = replicate.Client(self.api.token, base_url=self.api.url, proxies={}, max_retries=0)
        self.api.answer("POST", ECHO_PATH, Reply(raw=b"HTTP/1.1 103 Early Hints\r\n\r\n" * 5000))
        error = failure_of(create_echo, self.client)
        self.assertIsInstance(error, replicate.NetworkError)
        self.assertTrue(says_may_exist(error))


class KeptConnections(Case):
    """What goes back to the pool, and what is written to a connection from it."""

    def test_a_connection_that_the_server_closed_while_idle_is_noticed_before_anything_is_written(self):
        for name, reply in (("closed", kept_and_closed({"username": "x"})),
                            ("more bytes than asked for", Reply(json={"username": "x"}, after=b"HTTP/1.1 200 OK\r\n"
                                                                b"Content-Length: 13\r\n\r\n{\"id\": \"evil\"}"))):
            for created, call in ((1, create_echo), (0, lambda client: client.models.get("test/echo"))):
                with self.subTest(name, created=created):
                    client = replicate.Client(self.api.token, base_url=self.api.url, proxies={}, max_retries=0)
                    self.api.clear()
                    self.api.answer("GET", ACCOUNT_PATH, reply)
                    self.assertEqual(client.accounts.current().username, "x")
                    time.sleep(0.15)
                    self.assertNotEqual(call(client).get("id"), "evil")
                    self.assertEqual([seen.connection for seen in self.api.seen()], [1, 2])
                    self.assertEqual(len(self.api.creations), created)

    def test_a_creating_request_takes_no_connection_that_idled_for_a_second(self):
        self.client.accounts.current()
        create_echo(self.client)
        time.sleep(1.2)
        create_echo(self.client)
        self.assertEqual([seen.connection for seen in self.api.seen()], [1, 1, 2])
        self.assertEqual(len(self.api.creations), 2)

    def test_nothing_half_read_returns_to_the_pool(self):
        big = Reply(body=bytes(4 << 20))
        self.api.answer("GET", "/big", big, times=False)
        self.api.answer("POST", ECHO_PATH, Reply(201, {"id": "p1", "status": "succeeded",
                                                       "output": self.api.url + "/big"}))
        chunks = self.client.run("test/echo", {}).iter_bytes(1000)
        self.assertEqual(len(next(chunks)), 1000)
        chunks.close()
        self.api.clear()
        self.assertEqual(self.client.accounts.current().username, "acme")
        self.assertEqual(len(self.api.seen()), 1)

    def test_an_error_with_a_whole_body_keeps_the_connection(self):
        for _ in range(3):
            self.assertEqual(failure_of(self.client.predictions.get, "none").status, 404)
        self.assertEqual((len(self.api.seen()), self.api.connections), (3, 1))

    @unittest.skipUnless(hasattr(os, "fork"), "needs fork")
    def test_a_forked_child_opens_a_connection_of_its_own(self):
        script = Script(self, "account = replicate.accounts.current\naccount()\nchild = os.fork()\n"
                              "if not child:\n    account()\n    os._exit(7)\n"
                              "code = os.waitpid(child, 0)[1] >> 8\naccount()\nprint(code)\n")
        self.assertEqual(script.result(), (0, "7\n"))
        self.assertEqual([seen.connection for seen in self.api.seen()], [1, 2, 1])


class Redirects(Case):
    """Followed by a GET alone, with the token on the same origin alone."""

    codes = (301, 302, 303, 307, 308)

    def setUp(self):
        super().setUp()
        self.other = StandIn().start()
        self.addCleanup(self.other.close)
        self.client = replicate.Client(self.api.token, base_url=self.api.url, proxies={}, headers={"X-Mine": "secret"})
        self.turn_clock()

    def test_a_get_follows_with_the_token_to_its_own_origin_and_without_to_another(self):
        for code in self.codes:
            for api, trusted in ((self.api, True), (self.other, False)):
                with self.subTest(code=code, trusted=trusted):
                    self.api.clear()
                    self.api.answer("GET", ACCOUNT_PATH, Reply(code, body=b"", headers={"Location": api.url + "/new"}))
                    api.answer("GET", "/new", Reply(json={"username": "moved"}))
                    self.assertEqual(self.client.accounts.current().username, "moved")
                    headers = api.seen("GET", "/new")[-1].headers
                    self.assertEqual(headers.get("Authorization"), "Bearer " + self.api.token if trusted else None)
                    self.assertEqual(headers.get("X-Mine"), "secret" if trusted else None)
                    self.assertEqual(len(self.api.seen()), 2 if trusted else 1)

    def test_what_creates_or_changes_never_follows(self):
        names = [name for name in REQUESTS if not name.startswith("GET")]
        for code in self.codes:
            for name in names:
                _, _, method, path, call = REQUESTS[name]
                with self.subTest(code=code, request=name):
                    self.api.clear()
                    headers = {"Location": self.api.url + "/new"}
                    self.api.answer(method, path, Reply(code, body=b"", headers=headers), times=1)
                    error = failure_of(call, self.client)
                    self.assertIsInstance(error, replicate.ReplicateError)
                    self.assertEqual([(seen.method, seen.path) for seen in self.api.seen()], [(method, path)])

    def test_it_goes_nowhere_but_to_http_and_never_round_for_ever(self):
        secret = os.path.abspath(__file__).replace("\\", "/")
        for target in ("file://" + secret, "ftp://127.0.0.1/x", "data:application/json,{}", "javascript:1", "//[::1",
                       "http://127.0.0.1:port/", "gopher://x", "", ACCOUNT_PATH):
            with self.subTest(target):
                self.api.clear()
                rules = Reply(302, body=b"", headers={"Location": target})
                self.api.answer("GET", ACCOUNT_PATH, *[rules] * 60)
                self.assertIsInstance(failure_of(self.client.accounts.current), replicate.ReplicateError)
                self.assertLess(len(self.api.seen()), 60)
                self.api.answer("GET", ACCOUNT_PATH)


class Errors(Case):
    """One family, one line, all facts."""

    def test_an_error_says_it_all_on_one_line_and_in_attributes(self):
        headers = {"X-Request-Id": "req_1", "Retry-After": "3"}
        self.api.answer("POST", "/v1/predictions", Reply.problem(
            422, "- input.width must be\n <= 1024\n", title="Invalid input", type="about:blank", instance="/i/1",
            headers=headers))
        error = failure_of(self.client.predictions.create, "a" * 64, {})
        self.assertEqual(str(error), "POST /v1/predictions: 422 Invalid input: - input.width must be <= 1024"
                                     " (request id req_1)")
        self.assertEqual((type(error), error.status, error.title, error.type, error.instance, error.method, error.path,
                          error.request_id, error.retry_after, error.prediction, error.headers["Retry-After"]),
                         (replicate.APIError, 422, "Invalid input", "about:blank", "/i/1", "POST", "/v1/predictions",
                          "req_1", 3, None, "3"))
        self.assertEqual((error.detail.split(), json.loads(error.body)["instance"]),
                         (["-", "input.width", "must", "be", "<=", "1024"], "/i/1"))

    def test_every_error_has_every_attribute_and_survives_pickling(self):
        self.turn_clock(api=True)
        self.client.poll_interval = 1
        ways = {"api": lambda: self.client.predictions.get("none"),
                "model": lambda: self.client.run("test/fails", {}, wait=False),
                "timeout": lambda: self.client.run("test/slow", {"seconds": 1000}, wait=False, timeout=5),
                "network": lambda: replicate.Client("t", base_url="http://x.invalid", proxies={}, max_retries=0)
                .accounts.current(), "token": lambda: replicate.Client(base_url=self.api.url).accounts.current(),
                "webhook": lambda: self.client.webhooks.validate(headers={}, body=b"x", secret="whsec_aGVsbG8=")}
        kinds = set()
        for name, call in ways.items():
            with self.subTest(name):
                error = failure_of(call)
                kinds.add(type(error))
                copy = pickle.loads(pickle.dumps(error))
                self.assertEqual((type(copy), str(copy)), (type(error), str(error)))
                names = ["status", "title", "detail", "type", "instance", "method", "path", "request_id", "retry_after",
                         "prediction", "body"]
                for attribute in names:
                    self.assertEqual(getattr(copy, attribute), getattr(error, attribute))
                self.assertEqual(dict(copy.headers or {}), dict(error.headers or {}))
        self.assertEqual(kinds, {replicate.APIError, replicate.ModelError, replicate.PredictionTimeout,
                                 replicate.NetworkError, replicate.ReplicateError, replicate.WebhookError})

    def test_without_a_token_nothing_is_sent_and_with_a_wrong_one_it_says_where_they_come_from(self):
        error = failure_of(replicate.Client(base_url=self.api.url, proxies={}).accounts.current)
        self.assertRegex(str(error), "REPLICATE_API_TOKEN.*https://replicate.com/account/api-tokens")
        self.assertEqual(self.api.seen(), [])
        error = failure_of(replicate.Client("r8_wrong", base_url=self.api.url, proxies={}).accounts.current)
        self.assertEqual(error.status, 401)
        self.assertIn("https://replicate.com/account/api-tokens", str(error))

    def test_an_error_body_of_any_shape_is_told(self):
        bodies = [[], {}, 5, None, "text", {"detail": None}, {"detail": 5}, {"detail": {"a": 1}}, {"detail": [1, None]},
                  {"detail": [{}]}, {"detail": [{"loc": 5, "msg": 1}]}, {"detail": [{"loc": None}]}, {"title": []},
                  {"detail": [{"loc": {"a": 1}}]}, {"error": {"a": []}}, {"title": "\ud800", "detail": "a\u2028b\x85c"}]
        for body in bodies:
            with self.subTest(body=body):
                self.api.answer("GET", ACCOUNT_PATH, Reply(418, body=json.dumps(body).encode()))
                error = failure_of(self.client.accounts.current)
                self.assertIsInstance(error, replicate.APIError)
                self.assertEqual((error.status, len(str(error).splitlines())), (418, 1))

    def test_random_bytes_as_answers_end_in_a_value_or_in_our_own_error(self):
        chance = random.Random(20260101)
        whole = Reply(201, {"id": "p1", "status": "starting", "urls": {}}, headers={"Location": "/x"})
        whole = whole.head(**{"Transfer-Encoding": "chunked"}) + b"9\r\n{\"id\":\"p\r\n7\r\n\", \"sta\r\n0\r\n\r\n"
        ends = collections.Counter()
        for number in range(200):
            data = bytearray(chance.randbytes(300) if hasattr(chance, "randbytes") else
                             bytes(chance.randrange(256) for _ in range(300)))
            if number % 4:
                data = bytearray(whole[:chance.choice([len(whole), chance.randrange(len(whole))])])
                for _ in range(chance.randrange(1, 6)):
                    data[chance.randrange(len(data)) if data else 0:][:1] = b""
                    if data:
                        data[chance.randrange(len(data))] = chance.choice(b"\0\r\n :0123456789\xff{}[]\"") & 255
            self.client = replicate.Client(self.api.token, base_url=self.api.url, proxies={}, max_retries=0)
            self.api.answer(None, ".*", Reply(raw=bytes(data)))
            with self.subTest(number=number, data=bytes(data)):
                error = failure_of([create_echo, lambda client: client.accounts.current()][number % 2], self.client)
                ends[type(error).__name__] += 1
        self.assertEqual(len(self.api.seen()), 200)
        self.assertGreater(ends["NetworkError"], 50)

    def test_json_of_any_shape_ends_in_a_value_or_in_our_own_error(self):
        shapes = [{}, {"id": 5}, {"id": "p1"}, {"id": None, "status": None}, {"results": 5}, {"results": [1, None]},
                  {"results": {"a": 1}}, {"results": None, "next": 5}, {"next": ["x"]}, {"id": "p1", "status": []},
                  {"id": "p1", "status": "succeeded", "urls": 5, "output": {"a": [None]}},
                  {"latest_version": 5, "default_example": []}, {"key": 5}, {"owner": 1, "name": None}]
        calls = {
            "get": lambda c: c.predictions.get("p1"), "list": lambda c: list(c.predictions.list().iter_all()),
            "run": lambda c: c.run("test/echo", {}, timeout=99),
            "stream": lambda c: list(c.stream("test/echo", {}, timeout=99)),
            "model": lambda c: repr(c.models.get("a/b").latest_version),
            "latest": lambda c: c.run("a/b", {}, timeout=99),
            "versions": lambda c: c.models.versions.list("a/b"), "hardware": lambda c: c.hardware.list(),
            "secret": lambda c: c.webhooks.default.secret(), "search": lambda c: c.search("x"),
            "version": lambda c: c.run("a/b:" + "a" * 64, {}, timeout=99), "file": lambda c: c.files.get("x"),
            "training": lambda c: repr(c.trainings.get("x")), "collection": lambda c: repr(c.collections.get("x")),
        }
        current = []
        self.api.answer(None, ".*", lambda seen, connection: current[0], times=False)
        for shape in shapes + [[1, {}, None]]:
            current[:] = [Reply(json=shape)]
            for name, call in calls.items():
                with self.subTest(name, shape=shape):
                    self.turn_clock()
                    error = failure_of(call, self.client)
                    self.assertTrue(error is None or str(error))
        self.assertTrue(self.api.seen())


SECRET_TOKEN = "r8_Q7xVn3LkWz9TbYc5RmHs2JdPf8GaEu4KiNo6"
SECRET_HEADER = "hunter2-of-a-gateway"


class NeverLeaksTheToken(Case):
    """Promise 5."""

    def setUp(self):
        super().setUp()
        self.api.token = SECRET_TOKEN
        self.own = {"X-Gateway": SECRET_HEADER}
        self.client = replicate.Client(f" '{SECRET_TOKEN}'\n", base_url=self.api.url, proxies={}, headers=self.own,
                                       max_retries=0)
        self.turn_clock()

    def assert_silent(self, *texts):
        for text in texts:
            for secret in (SECRET_TOKEN, SECRET_HEADER):
                for start in range(len(secret) - 11):
                    self.assertNotIn(secret[start:start + 12], text)

    def all_of(self, error):
        """Whatever an error shows: in words, attributes, pickled, and in its traceback."""
        facts = [repr(value) for value in vars(error).values()] + [str(error.headers), str(error.body)]
        trace = traceback.format_exception(type(error), error, error.__traceback__)
        return [str(error), repr(error), pickle.dumps(error).decode("latin-1")] + facts + trace

    def test_the_variables_of_our_frames_do_not_show_it_in_a_traceback(self):
        poll = "GET", "/v1/predictions/.*"
        faults = [(poll, Reply(reset=True)), (poll, Reply.problem(500, "x")), (poll, Reply(200, body=b"x")),
                  (poll, Reply(302, body=b"", headers={"Location": "ftp://x"})), (("POST", ".*"), Reply(reset=True)),
                  (("POST", ".*"), Reply.problem(422, "no"))]
        for rule, reply in faults:
            self.api.answer(*rule, reply)
            error, shown = failure_of(self.client.run, "test/slow", {"seconds": 1000}, wait=False), []
            while error is not None:
                trace = traceback.TracebackException(type(error), error, error.__traceback__, capture_locals=True)
                shown += [str(frame.locals) for frame in trace.stack if frame.filename == replicate.__file__]
                error = error.__cause__ or error.__context__
            self.assertTrue(shown)
            self.assert_silent(*shown)
        self.assertEqual({seen.headers["Authorization"] for seen in self.api.seen()}, {"Bearer " + SECRET_TOKEN})

    def echoes(self, secret):
        whole, line = "Bearer " + secret, b"Bearer " + secret.encode()
        yield "detail", Reply.problem(403, "You sent " + whole)
        yield "title", Reply.problem(403, "no", title=whole, instance=whole, type=whole)
        yield "text", Reply(500, body=line * 3, headers={"Content-Type": "text/plain"})
        yield "HTML", Reply(502, body=b"<html><b>" + line + b"</b></html>")
        yield "header", Reply(400, {"detail": "no"}, headers={"X-Echo": whole, "X-Request-Id": secret})
        yield "headers of one name", Reply(raw=b"HTTP/1.1 400 Bad\r\nX-Echo: " + line + b"\r\nX-Echo: " + line
                                           + b"\r\nConnection: close\r\n\r\n")
        yield "reason", Reply(raw=b"HTTP/1.1 418 " + line + b"\r\nConnection: close\r\n\r\n")
        yield "status line", Reply(raw=line + b"\r\n\r\n")
        yield "status", Reply(raw=b"HTTP/1.1 " + line + b"\r\n\r\n")
        yield "chunk size", Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + line + b"\r\n\r\n")
        yield "no JSON", Reply(200, body=line)
        yield "no JSON, cut by a limit", Reply(200, body=b"x" * 35 + line)
        yield "a long body, cut by a limit", Reply(500, body=b"x" * (65536 - 7 - len(secret) // 2) + line)
        yield "a JSON list", Reply(200, [whole])
        yield "redirect", Reply(302, body=b"", headers={"Location": self.api.url + "/none?" + secret})
        yield "redirect to nowhere", Reply(302, body=b"", headers={"Location": "ftp://x/?" + secret})

    def test_a_server_that_echoes_it_is_redacted(self):
        for secret in (SECRET_TOKEN, SECRET_HEADER):
            for name, reply in self.echoes(secret):
                for method, call in (("GET", self.client.accounts.current), ("POST", lambda: create_echo(self.client))):
                    with self.subTest(name, secret=secret, method=method):
                        self.api.clear()
                        self.api.answer(method, ".*", reply)
                        with self.assertLogs("replicate", logging.DEBUG) as logs:
                            error = failure_of(call)
                        self.assertIsInstance(error, replicate.ReplicateError)
                        self.assertEqual(self.api.seen()[0].headers["Authorization"], "Bearer " + SECRET_TOKEN)
                        self.assert_silent(*self.all_of(error), *logs.output)

    def test_it_is_in_no_repr_and_in_no_debug_output_of_http_client(self):
        out = io.StringIO()
        with mock.patch.object(http.client.HTTPConnection, "debuglevel", 1), contextlib.redirect_stdout(out), \
                self.assertLogs("replicate", logging.DEBUG) as logs:
            prediction = create_echo(self.client, text="hello")
            self.client.predictions.get(prediction.id)
            failure_of(self.client.predictions.get, "none")
        self.assertEqual({seen.headers["Authorization"] for seen in self.api.seen()}, {"Bearer " + SECRET_TOKEN})
        self.assertEqual({seen.headers["X-Gateway"] for seen in self.api.seen()}, {SECRET_HEADER})
        with mock.patch.dict(os.environ, REPLICATE_API_TOKEN=SECRET_TOKEN):
            shown = [repr(thing) for thing in (self.client, replicate.default_client, self.client.models, prediction,
                                               vars(self.client), self.client.use("test/echo"))]
        self.assert_silent(out.getvalue(), *logs.output, *shown)
        with self.assertRaises(Exception) as caught:
            pickle.dumps(self.client)
        self.assert_silent(str(caught.exception))

    def test_neither_it_nor_the_callers_headers_go_to_another_origin(self):
        with StandIn() as other:
            other.answer("GET", "/out.txt", Reply(body=b"data"), times=False)
            local = other.url.replace("127.0.0.1", "localhost")
            for url in (other.url + "/out.txt", local + "/out.txt", self.api.url.replace("http://", "http://x@")):
                output = self.client.run("test/echo", {"file": url})["file"]
                with contextlib.suppress(replicate.ReplicateError):
                    self.assertEqual(output.read(), b"data")
            self.assertTrue(other.seen("GET", "/out.txt"))
            for seen in other.seen() + self.api.seen("GET", "/"):
                self.assertEqual((seen.headers["Authorization"], seen.headers["X-Gateway"]), (None, None))
                self.assert_silent(str(seen.headers))
        self.assertEqual(self.own, {"X-Gateway": SECRET_HEADER})
        self.assertEqual(self.api.seen("POST")[0].headers["X-Gateway"], SECRET_HEADER)

    def test_a_token_with_a_control_character_is_refused_before_any_request_without_showing_it(self):
        for bad in ("abc\ndef" + SECRET_TOKEN, SECRET_TOKEN + "\x00x", SECRET_TOKEN + "\r\nX-Evil: 1"):
            with self.assertRaises((ValueError, replicate.ReplicateError)) as caught:
                replicate.Client(bad, base_url=self.api.url, proxies={}).accounts.current()
            self.assert_silent(str(caught.exception))
        with self.assertRaises((ValueError, TypeError, replicate.ReplicateError)):
            replicate.Client("t", base_url=self.api.url, proxies={}, headers={"X": "1\r\nY: 2"}).accounts.current()
        self.assertEqual(self.api.seen(), [])


class Logging(Case):
    def test_each_attempt_is_one_line_without_bodies(self):
        self.turn_clock()
        self.api.answer("GET", ACCOUNT_PATH, Reply.problem(503, "secret words of the body"), Reply(reset=True))
        with self.assertLogs("replicate", logging.DEBUG) as logs:
            self.client.accounts.current()
            create_echo(self.client, text="secret words", image="data:image/png;base64,AAAA")
        self.assertEqual({record.levelno for record in logs.records}, {logging.DEBUG})
        lines = [record.getMessage() for record in logs.records]
        wanted = [("GET", ACCOUNT_PATH, "503", 1), ("GET", ACCOUNT_PATH, "", 2), ("GET", ACCOUNT_PATH, "200", 3),
                  ("POST", ECHO_PATH, "201", 1)]
        self.assertEqual(len(lines), len(wanted), lines)
        for line, (method, path, status, attempt) in zip(lines, wanted):
            self.assertRegex(line, rf"^{method} {path}.*{status}.*\d ?ms.*{attempt}")
            self.assertNotRegex(line, "secret|base64|\n")

    def test_a_program_that_sets_up_no_logging_sees_nothing_of_it(self):
        self.client.accounts.current()
        handlers = logging.getLogger("replicate").handlers
        self.assertTrue(any(isinstance(handler, logging.NullHandler) for handler in handlers), handlers)
        code = "import logging\nlogging.getLogger('replicate').setLevel(1)\nreplicate.accounts.current()\nsys.exit(130)"
        script = Script(self, code)
        out, err = script.process.communicate(timeout=30)
        self.assertEqual((script.process.returncode, out, err), (130, b"", b""))


class ForwardProxy(http.server.BaseHTTPRequestHandler):
    """A forward proxy: CONNECT tunnels, and requests for http:// addresses."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *args):
        pass

    def allowed(self):
        self.server.lines.append((self.requestline, dict(self.headers)))
        wanted = self.server.credentials
        if wanted is None or self.headers.get("Proxy-Authorization") == "Basic " + base64.b64encode(wanted).decode():
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
        with socket.create_connection((host, int(port))) as far, selectors.DefaultSelector() as selector:
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
        self.close_connection = True

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
        self.proxy.lines, self.proxy.credentials, self.proxy.over = [], None, threading.Event()
        self.proxy.handle_error = lambda request, address: None  # a client that leaves is no news
        self.proxy.block_on_close, self.proxy.daemon_threads = False, True
        thread = threading.Thread(target=self.proxy.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        for step in (self.proxy.server_close, thread.join, self.proxy.shutdown, self.proxy.over.set):
            self.addCleanup(step)
        self.place = f"127.0.0.1:{self.proxy.server_address[1]}"

    def through(self, api, proxies=None, **options):
        return replicate.Client(api.token, base_url=api.url, proxies=proxies, max_retries=0, **options)


class Proxies(ProxyCase):
    def test_requests_for_http_go_through_it_whole_and_once(self):
        client = self.through(self.api, {"http": "http://" + self.place})
        prediction = create_echo(client, n=1)
        self.assertEqual(client.predictions.get(prediction.id).output, {"n": 1})
        self.assertEqual([line for line, _ in self.proxy.lines],
                         [f"POST {self.api.url}{ECHO_PATH} HTTP/1.1",
                          f"GET {self.api.url}/v1/predictions/{prediction.id} HTTP/1.1"])
        self.assertEqual(self.api.creations, [prediction.id])

    def test_the_environment_names_it_and_no_proxy_spares_hosts(self):
        client = self.through(self.api)
        for variables, wanted in (({"http_proxy": "http://" + self.place}, 1), ({"http_proxy": ""}, 0),
                                  ({"http_proxy": "http://" + self.place, "no_proxy": "127.0.0.1"}, 0),
                                  ({"http_proxy": "http://" + self.place, "NO_PROXY": "*"}, 0)):
            with self.subTest(variables), mock.patch.dict(os.environ, variables):
                del self.proxy.lines[:]
                client.accounts.current()
                self.assertEqual(len(self.proxy.lines), wanted)
        with mock.patch.dict(os.environ, http_proxy="http://" + self.place):
            self.through(self.api, {}).accounts.current()
        self.assertEqual(self.proxy.lines, [])
        self.assertEqual(len(self.api.seen()), 5)

    def test_credentials_go_to_the_proxy_alone_and_a_407_is_told_without_them(self):
        self.proxy.credentials = b"user:pass:word"
        client = self.through(self.api, {"http": "http://user:pass%3Aword@" + self.place})
        client.accounts.current()
        self.assertEqual([line for line, _ in self.proxy.lines], [f"GET {self.api.url}{ACCOUNT_PATH} HTTP/1.1"])
        wrong = {"http": "http://user:hunter2@" + self.place, "https": "http://user:hunter2@" + self.place}
        for base in (self.api.url, "https://api.invalid"):
            with self.subTest(base):
                client = replicate.Client("token", base_url=base, proxies=wrong, max_retries=2)
                client._clock = HandClock()
                for call in (client.accounts.current, lambda client=client: create_echo(client)):
                    del self.proxy.lines[:]
                    error = failure_of(call)
                    trace = traceback.TracebackException(type(error), error, error.__traceback__)
                    shown = " ".join([str(error), repr(error), repr(vars(error))] + list(trace.format()))
                    self.assertNotIn("hunter2", shown)
                    self.assertNotIn(base64.b64encode(b"user:hunter2").decode(), shown)
                    self.assertIn("407", str(error))
                    self.assertFalse(says_may_exist(error), str(error))
                    self.assertEqual(len(self.proxy.lines), 1)
                    if base.startswith("https"):
                        self.assertIsInstance(error, replicate.NetworkError)
                        self.assertIn(self.place, str(error))
        self.assertEqual(len(self.api.seen()), 1)

    def test_a_proxy_that_is_not_there_is_named_without_its_password_and_nothing_was_created(self):
        place = f"127.0.0.1:{free_port()}"
        proxies = {"http": f"http://user:hunter2@{place}", "https": f"http://user:hunter2@{place}"}
        for base in (self.api.url, "https://api.invalid"):
            with self.subTest(base):
                error = failure_of(create_echo, replicate.Client("t", base_url=base, proxies=proxies, max_retries=0))
                self.assertIsInstance(error, replicate.NetworkError)
                self.assertIn(place, str(error))
                self.assertNotIn("hunter2", str(error) + repr(vars(error)))
                self.assertFalse(says_may_exist(error), str(error))
        self.assertEqual(self.api.seen(), [])


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
        config, key, cls.file = (os.path.join(folder, name) for name in ("config", "key.pem", "cert.pem"))
        with open(config, "w") as file:
            file.write(CERTIFICATE)
        made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-config",
                               config, "-keyout", key, "-out", cls.file], check=False, stderr=subprocess.DEVNULL)
        if made.returncode:
            raise unittest.SkipTest("this openssl command makes no certificate")
        cls.server_side = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cls.server_side.load_cert_chain(cls.file, key)

    def setUp(self):
        super().setUp()
        self.secure = StandIn(tls=self.server_side, speed=50).start()
        self.addCleanup(self.secure.close)
        self.trust = ssl.create_default_context(cafile=self.file)

    def test_an_untrusted_one_is_told_with_what_to_do_and_not_tried_again(self):
        for call in (create_echo, lambda client: client.accounts.current()):
            client = replicate.Client(self.secure.token, base_url=self.secure.url, proxies={})
            client._clock = HandClock()
            self.secure.clear()
            error = failure_of(call, client)
            self.assertIsInstance(error, replicate.NetworkError)
            self.assertRegex(str(error), "SSL_CERT_FILE.*ssl_context|ssl_context.*SSL_CERT_FILE")
            self.assertFalse(says_may_exist(error))
            self.assertEqual((client._clock.slept, self.secure.connections, self.secure.seen()), ([], 1, []))

    def test_a_context_or_ssl_cert_file_makes_it_trusted(self):
        self.assertEqual(self.through(self.secure, {}, ssl_context=self.trust).accounts.current().username, "acme")
        with mock.patch.dict(os.environ, SSL_CERT_FILE=self.file):
            client = self.through(self.secure, {})
            self.assertEqual(client.run("test/echo", {"n": 1}), {"n": 1})
            client.accounts.current()
        self.assertEqual([seen.connection for seen in self.secure.seen()], [1, 2, 2])

    def test_a_redirect_from_https_to_http_is_refused(self):
        client = self.through(self.secure, {}, ssl_context=self.trust)
        for code in (301, 307):
            target = f"{self.api.url}/x?{self.secure.token}"
            self.secure.answer("GET", ACCOUNT_PATH, Reply(code, body=b"", headers={"Location": target}))
            error = failure_of(client.accounts.current)
            self.assertIsInstance(error, replicate.ReplicateError)
            self.assertNotIn(self.secure.token, str(error))
        self.assertEqual((self.api.seen(), len(self.secure.seen())), ([], 2))

    def test_one_tunnel_serves_many_requests_and_the_proxy_sees_no_token(self):
        self.proxy.credentials = b"user:pass:word"
        client = self.through(self.secure, {"https": "http://user:pass%3Aword@" + self.place}, ssl_context=self.trust)
        for number in range(10):
            self.assertEqual(create_echo(client, n=number).input, {"n": number})
            client.accounts.current()
        self.assertEqual(len(self.secure.seen()), 20)
        ((line, headers),) = self.proxy.lines
        self.assertEqual(line.split()[:2], ["CONNECT", urlsplit(self.secure.url).netloc])
        self.assertNotIn(self.secure.token, str(headers))
        self.assertEqual({seen.headers["Proxy-Authorization"] for seen in self.secure.seen()}, {None})
        with mock.patch.dict(os.environ, https_proxy="http://" + self.place, no_proxy="127.0.0.1"):
            self.through(self.secure, ssl_context=self.trust).accounts.current()
        self.assertEqual(len(self.proxy.lines), 1)

    def test_a_connection_that_the_server_closed_inside_a_tunnel_or_tls_is_noticed(self):
        for proxies in ({}, {"https": "http://" + self.place}):
            with self.subTest(proxies=proxies):
                self.secure.clear()
                client = self.through(self.secure, proxies, ssl_context=self.trust)
                self.secure.answer("GET", ACCOUNT_PATH, kept_and_closed({"username": "x"}))
                client.accounts.current()
                time.sleep(0.3)
                create_echo(client)
                self.assertEqual(([seen.connection for seen in self.secure.seen()], len(self.secure.creations)),
                                 ([1, 2], 1))


SIGNED = {"webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek", "webhook-timestamp": "1614265330",
          "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="}


class WebhookSignatures(Case):
    """The Standard Webhooks scheme and its published vector."""

    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'

    def validate(self, headers=None, body=None, secret=None, tolerance=None, **more):
        headers = dict(SIGNED, **more) if headers is None else headers
        return self.client.webhooks.validate(headers=headers, body=self.body if body is None else body,
                                             secret=self.secret if secret is None else secret, tolerance=tolerance)

    def tearDown(self):
        self.assertEqual([seen for seen in self.api.seen() if seen.path != "/v1/webhooks/default/secret"], [])

    def test_headers_come_in_many_shapes(self):
        right = SIGNED["webhook-signature"]
        pairs = list(SIGNED.items())
        shapes = {
            "mapping": SIGNED, "title case": {name.title(): value for name, value in pairs},
            "upper case": {name.upper(): value for name, value in pairs},
            "Lambda": dict(SIGNED, host="x.lambda-url.us-east-1.on.aws", **{"content-type": "application/json"}),
            "multi-value": {name: [value] for name, value in pairs},
            "WSGI": dict({"HTTP_" + name.upper().replace("-", "_"): value for name, value in pairs},
                         **{"wsgi.input": io.BytesIO(), "wsgi.version": (1, 0), "REQUEST_METHOD": "POST"}),
            "ASGI": [(name.encode(), value.encode()) for name, value in pairs] + [(b"host", b"x")],
            "bytes": {name.encode(): value.encode() for name, value in pairs},
            "http.client": http.client.parse_headers(io.BytesIO(
                "".join(f"{name}: {value}\r\n" for name, value in pairs).encode() + b"\r\n")),
            "several": dict(SIGNED, **{"webhook-signature": "v1,AAAA v2,xyz v1a,q " + right}),
            "several first": dict(SIGNED, **{"webhook-signature": right + " v1,AAAA"}),
        }
        for name, headers in shapes.items():
            for body in (self.body, self.body.decode(), bytearray(self.body)):
                with self.subTest(name, body=type(body).__name__):
                    self.assertTrue(self.validate(headers, body))

    def test_what_is_wrong_is_refused_and_named(self):
        right = SIGNED["webhook-signature"]
        wrong = [
            ("signature", {"webhook-signature": "v1,AAAA"}), ("signature", {"webhook-signature": right[:9]}),
            ("signature", {"webhook-signature": right[3:]}), ("signature", {"webhook-signature": "v2" + right[2:]}),
            ("signature", {"webhook-signature": ""}), ("signature", {"webhook-signature": "v1,"}),
            ("signature", {"webhook-signature": "v1,\xff\u20ac\ud800"}), ("signature", {"webhook-id": "msg_other"}),
            ("signature", {"webhook-timestamp": "1614265331"}), ("timestamp", {"webhook-timestamp": "soon"}),
            ("timestamp", {"webhook-timestamp": ""}), ("timestamp", {"webhook-timestamp": "nan"}),
            ("timestamp", {"webhook-timestamp": "1e400"}), ("timestamp", {"webhook-timestamp": "9" * 5000}),
            ("id", {"webhook-id": ""}),
        ]
        for named, more in wrong:
            with self.subTest(more), self.assertRaisesRegex(replicate.WebhookError, named):
                self.validate(**more)
        for body in (self.body + b" ", self.body.replace(b" ", b""), b""):
            with self.subTest(body=body), self.assertRaises(replicate.WebhookError):
                self.validate(body=body)
        for name in SIGNED:
            headers = {key: value for key, value in SIGNED.items() if key != name}
            with self.subTest(missing=name), self.assertRaisesRegex(replicate.WebhookError, name):
                self.validate(headers)

    def test_old_and_future_ones_are_refused_and_recent_ones_accepted(self):
        key = base64.b64decode(self.secret[6:])
        for offset, tolerance, accepted in ((0, 300, True), (-250, 300, True), (200, 300, True), (-400, 300, False),
                                            (400, 300, False), (-400, 3600, True), (-90000, None, True)):
            with self.subTest(offset=offset, tolerance=tolerance):
                stamp = str(int(time.time()) + offset)
                mac = hmac.new(key, b"msg_1." + stamp.encode() + b"." + self.body, hashlib.sha256).digest()
                headers = {"webhook-id": "msg_1", "webhook-timestamp": stamp,
                           "webhook-signature": "v1," + base64.b64encode(mac).decode()}
                if accepted:
                    self.assertTrue(self.validate(headers, tolerance=tolerance))
                else:
                    with self.assertRaisesRegex(replicate.WebhookError, "timestamp"):
                        self.validate(headers, tolerance=tolerance)
        with self.assertRaisesRegex(replicate.WebhookError, "timestamp"):
            self.client.webhooks.validate(headers=SIGNED, body=self.body, secret=self.secret)

    def test_the_secret_may_be_that_of_the_api_and_never_an_empty_one(self):
        secret, body = self.client.webhooks.default.secret(), b'{"id": "p1"}'
        headers = self.api.sign_webhook("msg_1", body)
        self.assertTrue(self.client.webhooks.validate(headers=headers, body=body, secret=secret))
        self.assertTrue(replicate.webhooks.validate(headers=headers, body=body, secret=secret.key))
        self.assertNotIn(secret.key, repr(secret))
        empty = hmac.new(b"", b"msg_1.1614265330." + body, hashlib.sha256).digest()
        forged = dict(SIGNED, **{"webhook-id": "msg_1",
                                       "webhook-signature": "v1," + base64.b64encode(empty).decode()})
        for bad in ("", "whsec_", "  ", "whsec_!!!"):
            with self.subTest(bad), self.assertRaises(ValueError) as caught:
                self.client.webhooks.validate(headers=forged, body=body, secret=bad, tolerance=None)
            self.assertNotIsInstance(caught.exception, replicate.ReplicateError)


class BaseUrls(Case):
    def test_it_is_taken_with_and_without_the_version(self):
        for form in ("{}", "{}/", "{}/v1", "{}/v1/"):
            with self.subTest(form):
                self.api.clear()
                replicate.Client(self.api.token, base_url=form.format(self.api.url), proxies={}).accounts.current()
                with mock.patch.dict(os.environ, REPLICATE_BASE_URL=form.format(self.api.url)):
                    replicate.Client(self.api.token, proxies={}).accounts.current()
                self.assertEqual([seen.target for seen in self.api.seen()], [ACCOUNT_PATH] * 2)

    def test_a_bad_one_is_refused_before_any_request(self):
        for bad in ("api.replicate.com", "ftp://x", "file:///etc/passwd", "http://", "https:///v1", "http://a b/",
                    "http://user:pass@127.0.0.1", "http://x/?a=1", "http://x/#a", "http://x\r\nHost: y", "http://[::1"):
            with self.subTest(bad):
                with self.assertRaises(ValueError) as caught:
                    replicate.Client(self.api.token, base_url=bad, proxies={})
                self.assertNotIn("pass@", str(caught.exception))
                with mock.patch.dict(os.environ, REPLICATE_BASE_URL=bad), \
                        self.assertRaises((ValueError, replicate.ReplicateError)):
                    replicate.Client(self.api.token, proxies={}).accounts.current()


class ManyThreads(Case):
    def test_one_client_serves_32_threads_without_mixing_their_answers(self):
        left, wrong = iter(range(2000)), []
        lock = threading.Lock()

        def work():
            while True:
                with lock:
                    number = next(left, None)
                if number is None:
                    return
                try:
                    if number % 4:
                        got = failure_of(self.client.predictions.get, f"none-{number}").path
                        good = got == f"/v1/predictions/none-{number}"
                    else:
                        good = create_echo(self.client, n=number).input == {"n": number}
                except Exception as error:  # noqa: BLE001 - a thread's failure is the test's
                    good = repr(error)
                if good is not True:
                    wrong.append((number, good))
        threads = [threading.Thread(target=work) for _ in range(32)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(120)
        self.assertEqual(wrong, [])
        self.assertEqual((len(self.api.seen()), len(self.api.creations)), (2000, 500))
        self.assertEqual(len({seen.path for seen in self.api.seen("GET")}), 1500)
        made = sorted(job.given["n"] for job in self.api.jobs.values())
        self.assertEqual(made, list(range(0, 2000, 4)))
        self.assertLessEqual(self.api.connections, 200)

    def test_a_slow_answer_holds_up_nobody_else(self):
        self.api.answer("GET", "/v1/predictions/slow", Reply(json={"id": "slow", "status": "succeeded"}, delay=20))
        thread = threading.Thread(target=failure_of, args=(self.client.predictions.get, "slow"), daemon=True)
        thread.start()
        self.assertTrue(comes_true(lambda: self.api.seen("GET", "/v1/predictions/slow")))
        self.client.accounts.current()
        create_echo(self.client)
        self.assertTrue(thread.is_alive())
        self.api.close()
        thread.join(10)


class Soak(Case):
    """Faults of all kinds in one request of twenty: what was created is known, and nothing is created twice."""

    kinds = list(NETWORK_FAULTS.values()) + list(GARBAGE_FAULTS.values()) + list(STATUS_FAULTS.values())

    def setUp(self):
        super().setUp()
        self.chance, self.faults = random.Random(6), 0
        self.client = replicate.Client(self.api.token, base_url=self.api.url, proxies={}, max_retries=2)
        self.turn_clock()
        self.api.answer(None, ".*", self.fault, times=False)

    def fault(self, seen, connection):
        """For one request of twenty, a fault; half of them after the service has acted on it."""
        if self.chance.random() >= 0.05:
            return None
        self.faults += 1
        if self.chance.random() < 0.1:
            return Reply.throttled(2)
        if self.chance.random() < 0.5:
            self.api.serve(seen)
        elif self.chance.random() < 0.2:
            return kept_and_closed(json.loads(self.api.serve(seen).body))
        return self.chance.choice(self.kinds)

    def one(self, number):
        """Create in one way or another: the ids that came back, and whether it was told that there may be one."""
        given = {"n": number}
        try:
            if number % 2:
                prediction = create_echo(self.client, **given)
                self.assertEqual(prediction.input, given)
                known = prediction.id
                with contextlib.suppress(replicate.ReplicateError):
                    prediction.reload()
                return [known], False
            self.assertEqual(self.client.run("test/echo", given), given)
            return [], None
        except replicate.ReplicateError as error:
            return [error.prediction.id] if error.prediction else [], says_may_exist(error)

    def test_created_is_returned_or_reported_and_nothing_is_made_twice(self):
        outcomes = []
        while len(self.api.requests) < SOAK_REQUESTS:
            outcomes.append(self.one(len(outcomes)))
        made = collections.defaultdict(list)
        for job in self.api.jobs.values():
            made[job.given["n"]].append(job.id)
        self.assertEqual([number for number, ids in made.items() if len(ids) > 1], [])
        lost = [number for number, (ids, told) in enumerate(outcomes) if number in made
                and ids != made[number] and told is False]
        self.assertEqual(lost, [])
        unmade = [number for number, (ids, told) in enumerate(outcomes) if number not in made and (ids or told is None)]
        self.assertEqual(unmade, [])
        self.assertGreater(self.faults, SOAK_REQUESTS // 40)
        self.assertTrue(any(told for _, told in outcomes))


# ---------------------------------------------------------------------------------------------
# Tests: The command line
# ---------------------------------------------------------------------------------------------

Ended = collections.namedtuple("Ended", "code out err")
RUNNER = os.path.dirname(os.path.abspath(replicate.__file__))
PATIENCE = 60  # seconds after which a process that hangs is killed, so that its test fails
POSIX = os.name == "posix"


def plan_given(given, base, api):
    return Plan(given, start=0, seconds=0)


def typed_model(name="test/typed"):
    """A model with every kind of input that real schemas have; its output is its input."""
    uri, text, whole = {"type": "string", "format": "uri"}, {"type": "string"}, {"type": "integer"}
    inputs = {
        "prompt": dict(text, description="What to make"), "note": text,
        "steps": {"type": "integer", "minimum": 1, "maximum": 50, "default": 28},
        "scale": {"type": "number", "minimum": 0, "maximum": 20}, "fast": {"type": "boolean"},
        "words": {"type": "array", "items": text}, "numbers": {"type": "array", "items": whole},
        "options": {"type": "object"}, "image": uri, "images": {"type": "array", "items": uri},
        "style": {"default": "plain"}, "size": {}, "loose": {}, "maybe": {"anyOf": [whole, {"type": "null"}]},
        "either": {"anyOf": [text, {"type": "array", "items": text}]}, "seed": dict(whole, nullable=True),
        "api_key": {"type": "string", "format": "password", "writeOnly": True, "x-cog-secret": True}}
    choices = {"style": ("plain", "ink", "None"), "size": (256, 512), "loose": ("auto", 7)}
    openapi = schema(inputs, {"title": "Output"}, ["prompt"], choices)
    del openapi["components"]["schemas"]["loose"]["type"]
    return Model(name, plan_given, openapi, None, official=True, age=40)


def inputs_of(model):
    """The properties of the inputs of a model."""
    return model.versions[0]["openapi_schema"]["components"]["schemas"]["Input"]["properties"]


def rendered(text):
    """The lines that a terminal shows in the end, where text moves back, erases and writes over."""
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
            lines[-1] = lines[-1][:column].ljust(column) + token + lines[-1][column + 1:]
            column += 1
    return [line.rstrip() for line in lines if line.strip()]


class CommandCase(Case):
    """Commands against the stand-in, in this process or in one of their own."""

    def setUp(self):
        super().setUp()
        os.environ.update(REPLICATE_BASE_URL=self.api.url, REPLICATE_API_TOKEN=self.api.token, COLUMNS="80",
                          REPLICATE_POLL_INTERVAL="0.01", no_proxy="127.0.0.1", PYTHONIOENCODING="utf-8")
        self.client = replicate.default_client
        self.addCleanup(setattr, self.client, "_clock", self.client._clock)
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.add(typed_model())

    def add(self, model):
        self.api.catalogue[model.id] = model
        return model

    def file(self, name, content=None):
        """The path of a file in a folder of this test, with such a content."""
        path = os.path.join(self.folder, name)
        if content is not None:
            with open(path, "wb") as file:
                file.write(content)
        return path

    def content(self, *names):
        with open(os.path.join(self.folder, *names), "rb") as file:
            return file.read()

    def raw(self, *words, given=b""):
        """Run a command in this process; stdout as bytes."""
        out, err = io.BytesIO(), io.StringIO()
        with contextlib.ExitStack() as stack:
            stack.enter_context(mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(given), "utf-8")))
            stdout = io.TextIOWrapper(out, "utf-8", newline="")
            stack.enter_context(mock.patch.object(sys, "stdout", stdout))
            stack.enter_context(mock.patch.object(sys, "stderr", err))
            try:
                code = replicate.main(list(words))
            except SystemExit as error:
                code = error.code
            stdout.flush()
            return Ended(code, out.getvalue(), err.getvalue())

    def command(self, *words, given=b""):
        ended = self.raw(*words, given=given)
        return ended._replace(out=ended.out.decode("utf-8"))

    def succeed(self, *words, given=b""):
        """What a command prints that ends well, with nothing but that on either stream."""
        ended = self.command(*words, given=given)
        self.assertEqual((ended.code, ended.err), (0, ""), words)
        return ended.out

    def sent(self, *words, given=b"", model="test/typed"):
        """The input that the server receives from `run MODEL words`."""
        self.api.clear()
        self.succeed("run", model, *words, "--no-wait", given=given)
        create, = self.creates()
        return create.json["input"]

    def creates(self):
        return [seen for seen in self.api.seen("POST") if re.search(r"/predictions$", seen.path)]

    def cancels(self):
        return [seen.path.split("/")[3] for seen in self.api.seen("POST", "/v1/predictions/[^/]+/cancel")]

    def process(self, *words, **options):
        """Start a command in a process of its own."""
        options = dict({"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}, **options)
        process = subprocess.Popen([sys.executable, "-m", "replicate", *words], cwd=RUNNER, bufsize=0, **options)
        watchdog = threading.Timer(PATIENCE, process.kill)
        watchdog.start()
        self.addCleanup(self.end, process, watchdog)
        return process

    @staticmethod
    def end(process, watchdog):
        process.kill()
        process.wait()
        watchdog.cancel()
        watchdog.join()
        for stream in filter(None, (process.stdout, process.stderr, process.stdin)):
            stream.close()

    @staticmethod
    def finish(process):
        out, err = process.communicate()
        return Ended(process.returncode, (out or b"").decode("utf-8").replace(os.linesep, "\n"),
                     (err or b"").decode("utf-8").replace(os.linesep, "\n"))

    def until(self, happened):
        """Wait for something that the server sees."""
        limit = time.monotonic() + PATIENCE
        while not happened():
            self.assertLess(time.monotonic(), limit, "nothing came")
            time.sleep(0.01)

    def gate(self):
        """An event that is set at the end of the test at the latest, so that no reply waits for ever."""
        event = threading.Event()
        self.addCleanup(event.set)
        return event


class CommandInputTest(CommandCase):
    """What becomes of key=value."""

    TYPED = (
        ("steps=4", 4), ("scale=0.5", 0.5), ("scale=2", 2), ("scale=1e1", 10), ("fast=true", True),
        ("fast=false", False), ('words=["a", "b"]', ["a", "b"]), ("words=a", ["a"]), ("numbers=[1, 2]", [1, 2]),
        ("numbers=3", [3]), ('options={"a": {"b": [1]}}', {"a": {"b": [1]}}), ("style=ink", "ink"),
        ("style=None", "None"), ("size=512", 512), ("loose=7", 7), ("loose=auto", "auto"), ("maybe=7", 7),
        ("maybe=null", None), ("either=a b", "a b"), ('either=["a", "b"]', ["a", "b"]), ("either=[oops", "[oops"),
        ('either={"a": 1}', '{"a": 1}'), ("either=5", "5"), ("seed=null", None), ("seed=7", 7),
        ("image=https://example.com/a.png", "https://example.com/a.png"), ("api_key=hush", "hush"),
        ("steps:=3", 3), ('note:="@home"', "@home"), ("maybe:=null", None), ('words:=["a"]', ["a"]))
    TEXTS = ("", "true", "123", "1e3", "null", '{"a": 1}', "[1, 2]", '"quoted"', "  outer space ", "two\nlines\n",
             "a=b",
             "https://example.com/a.png", "\u65e5\u672c\u8a9e \U0001f642", "-5", "=", "None")

    def test_a_value_is_typed_by_the_schema_of_its_input(self):
        self.assertTrue(self.TYPED)
        for word, value in self.TYPED:
            with self.subTest(word):
                name = re.match(r"\w+", word).group()
                found = self.sent("prompt=x", word)
                self.assertEqual(found, {"prompt": "x", name: value})
                self.assertIs(type(found[name]), type(value) if value != 10 else type(found[name]))

    def test_a_string_input_takes_its_value_as_it_stands(self):
        self.assertTrue(self.TEXTS)
        for text in self.TEXTS:
            with self.subTest(text):
                self.assertEqual(self.sent("prompt=" + text), {"prompt": text})

    def test_a_repeated_key_of_an_array_adds_to_it(self):
        found = self.sent("prompt=x", "words=a", "numbers=1", "words=true", 'words=["b", "c"]', "numbers=2")
        self.assertEqual(found, {"prompt": "x", "words": ["a", "true", "b", "c"], "numbers": [1, 2]})

    def test_a_file_goes_where_the_schema_wants_one_and_its_text_where_it_wants_text(self):
        picture, text = png(4, 4, "in"), "  line one\r\nzw\u00f6lf\n"
        path, words = self.file("in.png", picture), self.file("words.txt", text.encode("utf-8"))
        inline = "data:image/png;base64," + base64.b64encode(picture).decode("ascii")
        url = "https://example.com/a.png"
        self.assertEqual(self.sent("prompt=x", "image=@" + path), {"prompt": "x", "image": inline})
        self.assertEqual(self.sent("prompt=x", "images=@" + path), {"prompt": "x", "images": [inline]})
        self.assertEqual(self.sent("prompt=x", "images=@" + path, "images=" + url),
                         {"prompt": "x", "images": [inline, url]})
        self.assertEqual(self.sent("prompt=@" + words), {"prompt": text})
        self.assertEqual(self.sent("prompt=@-", given=text.encode("utf-8")), {"prompt": text})
        self.assertEqual(self.sent("prompt=x", "image=@-", given=picture)["image"], inline)
        self.assertEqual(self.sent("prompt=x", "image=@-", given=url.encode() + b"\n")["image"], url)

    def test_input_is_read_from_a_json_file_or_standard_input(self):
        data = {"prompt": "\u00e9", "steps": 3, "words": ["a"], "seed": None}
        whole = json.dumps(data).encode("utf-8")
        self.assertEqual(self.sent("--input", self.file("in.json", whole)), data)
        self.assertEqual(self.sent("--input", "-", given=whole), data)
        self.assertEqual(self.sent("--input", "-", "scale=2", given=whole), dict(data, scale=2))

    def test_without_a_schema_a_value_is_json_or_else_text_and_a_file_a_file(self):
        bare = self.add(Model("test/bare", plan_given, None, None, official=True))
        path = self.file("in.gif", b"GIF89a.")
        words = ["a=1", "b=true", "c=null", 'd=[1, "x"]', "e=hello", 'f={"x": 1}', "g=[oops", 'h:="5"', "i=@" + path,
                 "j="]
        value = {"a": 1, "b": True, "c": None, "d": [1, "x"], "e": "hello", "f": {"x": 1}, "g": "[oops", "h": "5",
                 "i": "data:image/gif;base64,R0lGODlhLg==", "j": ""}
        for model in ("test/bare", bare.versions[0]["id"]):
            with self.subTest(model):
                self.assertEqual(self.sent(*words, model=model), value)
        self.api.answer("GET", "/v1/models/test/typed", Reply.problem(404, "No such model"))
        self.assertEqual(self.sent("prompt=5x", "other=5"), {"prompt": "5x", "other": 5})

    def test_inputs_of_a_version_and_of_a_deployment_are_typed_by_their_schema(self):
        version = self.api.catalogue["test/typed"].versions[1]["id"]
        self.assertEqual(self.sent("prompt=5", "steps=5", model="test/typed:" + version), {"prompt": "5", "steps": 5})
        found = self.sent("prompt=5", "width=99", model="deployments/acme/my-app")
        self.assertEqual(found, {"prompt": "5", "width": 99})


class CommandFaultTest(CommandCase):
    """What is wrong is told before anything is created."""

    def refused(self, *words, given=b"", code=2):
        """Standard error of a command that is refused before anything is created."""
        self.api.clear()
        ended = self.command(*words, given=given)
        self.assertEqual((ended.code, ended.out), (code, ""), ended.err)
        self.assertEqual([seen for seen in self.api.requests if seen.method != "GET"], [])
        self.assertNotIn("Traceback", ended.err)
        return ended.err

    def test_every_fault_of_an_input_is_told_with_what_would_be_right(self):
        missing = self.file("nowhere.png")
        faults = (  # the words after `run test/typed`, and what the message has to hold
            (["prompt=x", "stepz=4"], ["stepz", "steps"]), (["prompt=x", "Style=ink"], ["Style", "style"]),
            (["note=x"], ["prompt", "required"]), (["prompt=x", "steps=four"], ["steps", "integer", "four"]),
            (["prompt=x", "steps=2.5"], ["steps", "integer", "2.5"]), (["prompt=x", "scale=x"], ["scale", "number"]),
            (["prompt=x", "fast=perhaps"], ["fast", "boolean", "perhaps"]), (["prompt=x", "steps=51"], ["steps", "50"]),
            (["prompt=x", "steps=0"], ["steps", "1"]), (["prompt=x", "scale=-0.5"], ["scale", "0"]),
            (["prompt=x", "options=[1]"], ["options", "object"]), (["prompt=x", "style=inc"], ["style", "ink"]),
            (["prompt=x", "style=zzz"], ["style", "plain", "ink", "None"]),
            (["prompt=x", "size=300"], ["size", "256", "512"]),
            (["prompt=x", "steps=null"], ["steps", "integer"]), (["prompt=x", "maybe=x"], ["maybe", "integer"]),
            (["prompt=x", "numbers=x"], ["numbers"]),
            (["prompt=x", "steps:=nope"], ["steps", "JSON"]), (["prompt=x", "steps=1", "steps=2"], ["steps"]),
            (["prompt=x", "steps=NaN"], ["steps"]), (["prompt=x", "steps=1e400"], ["steps"]),
            (["prompt=x", "scale=Infinity"], ["scale"]),
            (["prompt=x", "scale:=NaN"], []),
            (["prompt=x", "word"], ["word", "key=value"]),
            (["prompt=x", "image=@" + missing], ["image", missing, ":="]),
            (["prompt=@home"], ["prompt", "home", ":="]), (["prompt=x", "--input", missing], [missing]),
            (["--input", self.file("list.json", b"[1]")], ["object"]),
            (["--input", self.file("bad.json", b'{"prompt": "x", "steps": 99}')], ["steps", "50"]),
            (["--input", self.file("null.json", b'{"prompt": "x", "steps": null}')], ["steps"]))
        for words, told in faults:
            with self.subTest(words):
                message = self.refused("run", "test/typed", *words)
                self.assertEqual([word for word in told if word not in message], [], message)
                self.assertTrue(message)
                self.assertNotIn("prompt=x", message)

    def test_all_faults_are_told_at_once(self):
        message = self.refused("run", "test/typed", "stepz=4", "scale=99", "style=inc", "fast=7", "note=@home", "word",
                               "size:=oops", "maybe=x")
        for told in ("stepz", "scale", "style", "fast", "home", "word", "size", "maybe", "prompt"):
            self.assertIn(told, message)
        self.assertEqual(self.api.seen("POST"), [])

    def test_faults_of_an_input_file_name_the_file(self):
        message = self.refused("run", "test/typed", "--input", self.file("half.json", b"{oops"))
        self.assertIn("half.json", message)
        message = self.refused("run", "test/typed", "--input", self.file("nowhere.json"))
        self.assertIn("nowhere.json", message)
        self.assertNotIn("@", message)  # it is no value that begins with one

    def test_faults_of_an_input_file_are_told_together_with_the_others(self):
        message = self.refused("run", "test/typed", "--input", "-", "stepz=4", given=b"{oops")
        self.assertIn("stepz", message)
        self.assertIn("--input", message)

    def test_the_value_of_a_secret_is_never_echoed(self):
        secret = "r8_hush"
        pin = {"type": "integer", "format": "password", "minimum": 10, "maximum": 20}
        inputs_of(self.api.catalogue["test/typed"])["pin"] = pin
        words = (["api_key:=" + secret], ["api_key=" + secret, "api_key=" + secret], ["pin=" + secret],
                 ["api_kye=" + secret], ["api_key=" + secret, "steps=x"], ["--input", "-"])
        for some in words:
            with self.subTest(some):
                given = json.dumps({"prompt": "x", "api_key": [secret]}).encode()
                message = self.refused("run", "test/typed", "prompt=x", *some, given=given)
                self.assertRegex(message, "api_k|pin|steps")
                self.assertNotIn(secret, message)
        self.assertNotIn("8675309", self.refused("run", "test/typed", "prompt=x", "pin=8675309"))

    def test_a_wrong_command_line_is_refused_before_anything_is_sent(self):
        lines = (
            [], ["modls", "list"], ["models"], ["models", "lst"], ["models", "_path"],
            ["predictions", "async_get", "x"],
            ["default_client"], ["webhooks", "default"], ["models", "get"], ["models", "get", "a", "b", "c"],
            ["models", "get", "../x"], ["predictions", "get"], ["predictions", "get", "a", "b"],
            ["predictions", "list", "bogus=1"], ["files", "create", self.file("missing")], ["run"], ["watch"], ["map"],
            ["run", "nope", "a=1"], ["run", "a/b/c"], ["map", "nope"], ["run", "test/typed", "--bogus"],
            ["run", "test/slow", "--timeout", "soon"], ["run", "test/slow", "--cancel-after", "1"],
            ["watch", "a", "b"], ["map", "test/typed", "--concurrency", "x"],
            ["map", "test/typed", "--concurrency", "0"])
        for words in lines:
            with self.subTest(words):
                self.api.clear()
                ended = self.command(*words)
                self.assertEqual(ended.code, 2)
                self.assertEqual([seen for seen in self.api.requests if seen.method != "GET"], [])
                self.assertTrue((ended.err + ended.out).strip())

    def test_a_wrong_command_or_verb_is_named_and_the_right_ones_are_told(self):
        self.assertRegex(self.refused("modls", "list"), r"modls[\s\S]*(\bmodels\b|--help)")
        self.assertRegex(self.refused("models", "lst"), r"\blst\b[\s\S]*\blist\b")

    def test_main_returns_the_exit_code_and_never_raises(self):
        for words, code in ((["run", "test/typed", "--bogus"], 2), (["map"], 2),
                                    (["map", "--help"], 0), (["--version"], 0)):
            quiet = io.StringIO()
            with self.subTest(words), contextlib.redirect_stdout(quiet), contextlib.redirect_stderr(quiet):
                self.assertEqual(replicate.main(words), code)


class CommandHelpTest(CommandCase):

    def test_help_is_everywhere_and_needs_neither_token_nor_network(self):
        del os.environ["REPLICATE_API_TOKEN"]
        for words in ([], ["run"], ["map"], ["watch"], ["models"], ["models", "list"], ["models", "versions"],
                      ["models", "versions", "get"], ["predictions", "create"], ["files", "download"],
                      ["webhooks", "default"],
                      ["hardware"], ["search"]):
            with self.subTest(words):
                ended = self.command(*words, "--help")
                self.assertEqual((ended.code, ended.err), (0, ""))
                self.assertIn(" ".join(words), "\n".join(ended.out.splitlines()[:4]))
                self.assertLessEqual(max(map(len, ended.out.splitlines())), 120)
                self.assertEqual(self.command(*words, "-h"), ended)
        self.assertEqual(self.api.requests, [])

    def test_the_help_of_a_model_shows_its_inputs_in_their_order_and_its_output(self):
        out = self.succeed("run", "test/typed", "--help")
        names = list(inputs_of(self.api.catalogue["test/typed"]))
        places = [re.search(rf"(?m)^\W*{name}\b", out).start() for name in names]
        self.assertEqual(places, sorted(places))
        block = dict(zip(names, (out[start:end] for start, end in itertools.zip_longest(places, places[1:]))))
        for name, told in (("prompt", ["string", "required", "What to make"]), ("steps", ["integer", "1", "50", "28"]),
                           ("scale", ["number", "0", "20"]), ("style", ["plain", "ink", "None"]),
                           ("size", ["256", "512"]),
                           ("fast", ["boolean"]), ("image", ["file"]), ("words", ["array"]), ("options", ["object"]),
                           ("loose", ["auto", "7"]), ("maybe", ["integer"]), ("either", ["string", "array"])):
            with self.subTest(name):
                self.assertEqual([word for word in told if word not in block[name]], [], block[name])
        self.assertNotIn("'28'", out)  # a number is no text
        self.assertNotIn("required", block["steps"])
        self.assertEqual(self.api.seen("POST"), [])

    def test_the_order_of_inputs_is_the_schemas_and_lines_keep_to_the_width_of_the_terminal(self):
        about = "A model whose description is long enough to need several lines of any terminal. " * 5
        inputs = {name: {"type": "string", "description": about} for name in ("zebra", "mango", "apple")}
        model = self.add(Model("test/wide", plan_given, schema(inputs, ITERATOR), None, about=about))
        properties = inputs_of(model)
        for name in sorted(properties):
            properties[name] = properties.pop(name)  # their order in the file is another than their x-order
        for width in (60, 100):
            with self.subTest(width):
                os.environ["COLUMNS"] = str(width)
                out = self.succeed("run", "test/wide", "--help")
                self.assertLess(out.index("zebra"), out.index("mango"))
                self.assertLess(out.index("mango"), out.index("apple"))
                longest = max(map(len, out.splitlines()))
                self.assertLessEqual(longest, width)
                self.assertGreater(longest, width - 20)
                self.assertIn("long enough", " ".join(out.split()))

    def test_the_help_of_a_model_tells_the_kind_of_its_output(self):
        for model, kind in (("meta/llama-tiny", "text"), ("stability/sketch", "files"), ("kvfrans/clipdraw", "file"),
                            ("test/object", "object"), ("test/number", "number")):
            with self.subTest(model):
                self.assertRegex(self.succeed("run", model, "--help"), rf"(?i)output.*\b{kind}\b")


class CommandOutputTest(CommandCase):

    def test_the_exit_code_tells_how_a_run_ended(self):
        self.assertEqual(self.command("run", "replicate/hello-world", "text=Alice"), (0, "hello Alice\n", ""))
        cases = ((1, ["run", "test/fails"], "boom: out of memory"), (3, ["run", "nobody/nothing", "a=1"], "404"),
                 (1, ["run", "test/slow", "seconds=100000", "--cancel-after", "5"], "canceled"),
                 (3, ["watch", "nosuchid"], "nosuchid"), (3, ["predictions", "get", "nosuchid"], "404"))
        for code, words, told in cases:
            with self.subTest(words):
                ended = self.command(*words)
                self.assertEqual(ended.code, code)
                self.assertIn(told, ended.err)
                self.assertNotIn("Traceback", ended.err)
        self.assertEqual(self.creates()[-1].headers["Cancel-After"], "5")
        os.environ["REPLICATE_API_TOKEN"] = "r8_wrong"
        ended = self.command("run", "replicate/hello-world", "text=Alice")
        self.assertEqual((ended.code, ended.out), (3, ""))
        self.assertIn("401", ended.err)
        self.assertNotIn("r8_wrong", ended.err)
        self.turn_clock()
        self.api.close()
        self.assertEqual(self.command("account", "get").code, 3)

    def test_the_message_of_a_failed_run_is_the_models_own(self):
        ended = self.command("run", "test/fails")
        self.assertEqual(ended.out.rstrip("\n"), "partial output")
        self.assertIn("boom: out of memory", ended.err)
        self.assertNotIn("{", ended.err)

    def test_outputs_print_as_text_as_urls_or_as_json(self):
        words = "".join(TOKENS)
        self.assertEqual(self.succeed("run", "meta/llama-tiny", "prompt=x"), words + "\n")
        self.assertEqual(self.succeed("run", "replicate/slow-words", "prompt=x"), words + "\n")
        self.assertEqual(self.succeed("run", "test/number", "value=3"), "3\n")
        out = self.succeed("run", "stability/sketch", "prompt=x", "num_outputs=2")
        base = f"{self.api.url}/files-out/{self.api.creations[-1]}/"
        self.assertEqual(out, f"{base}out-0.png\n{base}out-1.png\n")
        self.assertEqual(self.api.seen("GET", "/files-out/.*"), [])
        out = self.succeed("run", "test/object")
        self.assertEqual(json.loads(out), self.api.predictions[self.api.creations[-1]]["output"])
        self.assertRegex(out, r'\A\{\n +"')
        for model, value in (("test/object", "an object"), ("meta/llama-tiny", "end.")):
            out = self.succeed("run", model, "--json", *(["prompt=x"] if "llama" in model else []))
            whole = self.api.predictions[self.api.creations[-1]]
            self.assertEqual(json.loads(out), whole)
            self.assertIn(value, str(whole["output"]))

    def test_files_are_saved_where_o_says(self):
        first, second = png(64, 64, "x0"), png(64, 64, "x1")
        folder = self.file("new") + os.sep
        ended = self.command("run", "stability/sketch", "prompt=x", "num_outputs=2", "-o", folder)
        self.assertEqual((ended.code, ended.err), (0, ""))
        self.assertEqual((self.content("new", "out-0.png"), self.content("new", "out-1.png")), (first, second))
        self.assertEqual(self.command("run", "stability/sketch", "prompt=x", "-o", self.file("one.png")).code, 0)
        self.assertEqual(self.content("one.png"), first)
        self.assertEqual(self.command("run", "kvfrans/clipdraw", "prompt=x", "-o", self.folder).code, 0)
        self.assertEqual(self.content("out-0.png"), png(32, 32, "x"))
        self.assertEqual(sorted(os.listdir(self.folder)), ["new", "one.png", "out-0.png"])
        self.assertEqual(self.raw("run", "stability/sketch", "prompt=x", "-o", "-"), (0, first, ""))
        self.assertEqual(self.succeed("run", "meta/llama-tiny", "prompt=x", "-o", "-").rstrip("\n"), "".join(TOKENS))

    def test_text_is_saved_too_and_where_that_cannot_be_the_path_is_told(self):
        self.assertEqual(self.command("run", "meta/llama-tiny", "prompt=x", "-o", self.file("out.txt")).code, 0)
        self.assertEqual(self.content("out.txt").decode("utf-8").rstrip("\n"), "".join(TOKENS))
        blocked = os.path.join(self.file("out.txt"), "below.txt")  # a file is no directory
        ended = self.command("run", "meta/llama-tiny", "prompt=x", "-o", blocked)
        self.assertIn(ended.code, (1, 2, 3))
        self.assertIn(blocked, ended.err)

    def test_logs_go_to_standard_error_when_asked_for(self):
        for words, logs in ((["meta/llama-tiny", "prompt=Hi"], "Prompt: Hi\n"),
                            (["replicate/slow-words", "prompt=Hi"], "Prompt: Hi\n"),
                            (["kvfrans/clipdraw", "prompt=x"], "".join(bars(10)))):
            with self.subTest(words):
                ended = self.command("run", *words, "--logs")
                self.assertEqual((ended.code, ended.err), (0, logs))
                self.assertNotIn("Prompt:", ended.out)
                self.assertNotIn("%|", ended.out)

    def test_no_wait_prints_the_id_and_watch_ends_as_run_would(self):
        text = "".join(TOKENS) + "\n"
        for words, shown in ((["meta/llama-tiny", "prompt=x"], text), (["test/number"], "42.5\n"),
                             (["replicate/slow-words", "prompt=x"], text),
                             (["replicate/hello-world", "text=A"], "hello A\n")):
            with self.subTest(words):
                identity = self.succeed("run", *words, "--no-wait")
                self.assertEqual(identity, self.api.creations[-1] + "\n")
                self.assertEqual(self.succeed("watch", identity.strip()), shown)
        shown = self.succeed("watch", self.succeed("run", "stability/sketch", "prompt=x", "--no-wait").strip())
        self.assertEqual(shown, f"{self.api.url}/files-out/{self.api.creations[-1]}/out-0.png\n")
        self.assertEqual(self.command("watch", self.succeed("run", "test/fails", "--no-wait").strip()).code, 1)
        self.assertEqual((self.cancels(), [seen for seen in self.creates() if "Prefer" in seen.headers]), ([], []))

    def test_a_timeout_ends_with_1_and_the_run_is_cancelled(self):
        self.turn_clock(api=True)
        ended = self.command("run", "test/slow", "seconds=1000", "--timeout", "30")
        identity, = self.api.creations
        self.assertEqual((ended.code, ended.out, self.cancels()), (1, "", [identity]))
        self.assertIn(identity, ended.err)
        self.assertEqual(self.api.predictions[identity]["status"], "canceled")

    def test_the_deadline_that_the_server_keeps_is_sent(self):
        self.succeed("run", "meta/llama-tiny", "prompt=x", "--cancel-after", "5m")
        self.assertEqual([seen.headers["Cancel-After"] for seen in self.creates()], ["5m"])

    def test_a_command_without_a_token_says_which_variable_to_set(self):
        del os.environ["REPLICATE_API_TOKEN"]
        ended = self.command("run", "replicate/hello-world", "text=A")
        self.assertIn(ended.code, (2, 3))
        self.assertIn("REPLICATE_API_TOKEN", ended.err)
        self.assertEqual(self.api.requests, [])


class CommandMapTest(CommandCase):

    def setUp(self):
        super().setUp()
        text = {"type": "string"}
        self.add(Model("test/hello", plan_hello, schema({"text": text}, text, ["text"]), None, official=True))

    def results(self, model, *lines, code=0):
        ended = self.command("map", model, given="\n".join(lines).encode("utf-8") + b"\n")
        self.assertEqual(ended.code, code, ended.err)
        return [json.loads(line) for line in ended.out.split("\n") if line]

    def test_map_answers_each_line_in_order(self):
        texts = ["one", "zw\u00f6lf", "line\u2028end"] + [str(number) for number in range(9)]
        inputs = [{"text": text} for text in texts]
        found = self.results("test/hello", *[json.dumps(given, ensure_ascii=False) for given in inputs])
        self.assertEqual(found, [{"line": number, "input": given, "output": "hello " + given["text"]}
                                 for number, given in enumerate(inputs, 1)])
        self.assertEqual(sorted(seen.json["input"]["text"] for seen in self.creates()), sorted(texts))

    def test_map_goes_on_behind_a_line_that_is_wrong_and_tells_it_in_its_place(self):
        lines = ['{"text": "a"}', "{oops", "[1]", '{"txt": "a"}', "{}", '{"text": 5}', '{"text": "b"}']
        ended = self.command("map", "test/hello", given="\n".join(lines).encode())
        self.assertIn(ended.code, (1, 2))
        found = [json.loads(line) for line in ended.out.split("\n") if line]
        self.assertEqual([item["line"] for item in found], list(range(1, 8)))
        self.assertEqual([item.get("output") for item in found], ["hello a"] + [None] * 5 + ["hello b"])
        self.assertEqual(["error" in item for item in found], [False] + [True] * 5 + [False])
        self.assertIn("text", found[3]["error"])  # the nearest name
        self.assertIn("text", found[4]["error"])  # what is missing
        self.assertEqual([seen.json["input"] for seen in self.creates()], [{"text": "a"}, {"text": "b"}])

    def test_map_tells_a_failed_run_and_ends_with_1(self):
        found = self.results("test/fails", "{}", "{}", code=1)
        self.assertEqual([(item["line"], item["input"], "out of memory" in item["error"]) for item in found],
                         [(1, {}, True), (2, {}, True)])
        self.assertEqual(self.results("test/hello"), [])


class CommandResourceTest(CommandCase):

    TABLE = (  # the command; the request that comes of it; its body or query; a part of the JSON printed
        ("account get", "GET /account", None, '"username": "acme"'),
        ("accounts current", "GET /account", None, '"username": "acme"'),
        ("hardware list", "GET /hardware", None, '"sku": "gpu-t4"'),
        ("collections list", "GET /collections", None, '"slug": "text-to-image"'),
        ("collections get try-for-free", "GET /collections/try-for-free", None, "hello-world"),
        ("search llama limit=5", "GET /search", {"query": ["llama"], "limit": ["5"]}, "llama-tiny"),
        ("webhooks default secret", "GET /webhooks/default/secret", None, '"key": "whsec_'),
        ("models list sort_by=model_created_at sort_direction=asc", "GET /models",
         {"sort_by": ["model_created_at"], "sort_direction": ["asc"]}, '"results": ['),
        ("models search llama", "QUERY /models", b"llama", "llama-tiny"),
        ("models get meta/llama-tiny", "GET /models/meta/llama-tiny", None, "A language model"),
        ("models get meta llama-tiny", "GET /models/meta/llama-tiny", None, "A language model"),
        ("models create acme new visibility=private hardware=cpu description=words", "POST /models",
         {"owner": "acme", "name": "new", "visibility": "private", "hardware": "cpu", "description": "words"},
         '"name": "new"'),
        ("models update acme/new description=words", "PATCH /models/acme/new", {"description": "words"}, '"words"'),
        ("models delete acme/new", "DELETE /models/acme/new", None, "true"),
        ("models examples list meta/llama-tiny", "GET /models/meta/llama-tiny/examples", None, '"output"'),
        ("models readme get meta/llama-tiny", "GET /models/meta/llama-tiny/readme", None, None),
        ("models versions list test/echo", "GET /models/test/echo/versions", None, "{echo}"),
        ("models versions get test/echo {echo}", "GET /models/test/echo/versions/{echo}", None, "{echo}"),
        ("models versions get test/echo:{echo}", "GET /models/test/echo/versions/{echo}", None, "{echo}"),
        ("models versions delete acme/own {own}", "DELETE /models/acme/own/versions/{own}", None, "true"),
        ('models predictions create test/echo input={"a":1}', "POST /models/test/echo/predictions",
         {"input": {"a": 1}}, '"id"'),
        ('predictions create {echo} input={"a":1}', "POST /predictions", {"version": "{echo}", "input": {"a": 1}},
         '"id"'),
        ("predictions list created_after=2020-01-01T00:00:00Z", "GET /predictions",
         {"created_after": ["2020-01-01T00:00:00Z"]}, "results"),
        ("predictions get {slow}", "GET /predictions/{slow}", None, "{slow}"),
        ("predictions cancel {slow}", "POST /predictions/{slow}/cancel", None, "canceled"),
        ('trainings create model=test/echo version={echo} destination=acme/own input={"a":1}',
         "POST /models/test/echo/versions/{echo}/trainings", {"destination": "acme/own", "input": {"a": 1}}, '"id"'),
        ("trainings list", "GET /trainings", None, "{training}"),
        ("trainings get {training}", "GET /trainings/{training}", None, "{training}"),
        ("trainings cancel {training}", "POST /trainings/{training}/cancel", None, "{training}"),
        ("deployments create app model=test/echo version={echo} hardware=cpu min_instances=0 max_instances=1",
         "POST /deployments", {"name": "app", "model": "test/echo", "version": "{echo}", "hardware": "cpu",
                               "min_instances": 0, "max_instances": 1}, '"app"'),
        ("deployments list", "GET /deployments", None, '"app"'),
        ("deployments get acme/app", "GET /deployments/acme/app", None, '"app"'),
        ("deployments update acme/app min_instances=1", "PATCH /deployments/acme/app", {"min_instances": 1},
         '"min_instances": 1'),
        ('deployments predictions create acme/app input={"a":1}', "POST /deployments/acme/app/predictions",
         {"input": {"a": 1}}, '"id"'),
        ("deployments delete acme/app", "DELETE /deployments/acme/app", None, "true"),
        ("files list", "GET /files", None, "{file}"),
        ("files get {file}", "GET /files/{file}", None, "{file}"),
        ("files delete {file}", "DELETE /files/{file}", None, "true"),
    )

    def test_every_method_of_the_api_is_a_command(self):
        own = self.add(Model("acme/own", plan_given, schema({}, {"title": "Output"}), None, owned=True))
        slow = self.succeed("run", "test/slow", "seconds=100000", "--no-wait")
        echo = self.api.catalogue["test/echo"].versions[0]["id"]
        training = self.client.trainings.create("test/echo:" + echo, {}, destination="acme/own")
        data = b"\x00\xff\r\nbytes\n"
        uploaded = json.loads(self.succeed("files", "create", self.file("data.bin", data)))
        self.assertEqual((self.api.contents[uploaded["id"]], uploaded["name"]), (data, "data.bin"))
        query = {"owner": "acme", "expiry": str(int(time.time()) + 600)}
        query["signature"] = self.api.sign_file("acme", uploaded["id"], query["expiry"])
        words = [f"{name}={value}" for name, value in query.items()]
        self.assertEqual(self.raw("files", "download", uploaded["id"], *words), (0, data, ""))
        known = {"{echo}": echo, "{own}": own.versions[1]["id"], "{slow}": slow.strip(),
                 "{training}": training["id"], "{file}": uploaded["id"]}

        def filled(value):
            text = json.dumps(value)
            for name, real in known.items():
                text = text.replace(name, real)
            return json.loads(text)
        for line, request, more, printed in self.TABLE:
            with self.subTest(line):
                out = self.succeed(*filled(line).split(" "))
                seen = self.api.requests[-1]
                self.assertEqual(f"{seen.method} {seen.path[3:]}", filled(request))
                if isinstance(more, dict):
                    self.assertEqual(seen.query if seen.method == "GET" else seen.json, filled(more))
                elif more:
                    self.assertEqual(seen.body, more)
                if printed is None:
                    self.assertEqual(out, self.api.catalogue["meta/llama-tiny"].readme)
                else:
                    json.loads(out)
                    self.assertIn(filled(printed), out)
        missed = [name for method, pattern, name in PATTERNS if not self.api.seen(method, pattern.pattern)]
        self.assertEqual(missed, [])

    def test_a_list_with_all_walks_through_every_page_as_json_lines(self):
        for verb, chosen in ((["list", "sort_by=model_created_at", "sort_direction=asc"], None),
                             (["search", "text"], "text")):
            with self.subTest(verb):
                self.api.clear()
                lines = self.succeed("models", *verb, "--all").split("\n")
                found = [json.loads(line)["name"] for line in lines if line]
                models = [model for model in self.api.catalogue.values() if model.fields["visibility"] == "public"]
                models = self.api._matching(chosen) if chosen else sorted(models, key=lambda model: model.created_at)
                self.assertEqual(found, [model.name for model in models])
                self.assertEqual(len(self.api.requests), -(-len(found) // self.api.page_size))
                self.assertGreater(len(found), 0)
        page = json.loads(self.succeed("models", "list"))
        self.assertEqual(len(page["results"]), self.api.page_size)
        self.assertTrue(page["next"])


class CommandProcessTest(CommandCase):
    """Processes of their own: pipes, signals, the browser."""

    def test_streamed_text_is_written_as_it_comes(self):
        gate = self.gate()

        def pieces():
            yield _server_sent("output", "Hel", "1:0")
            if gate.wait(PATIENCE / 2):
                yield _server_sent("output", "lo", "2:0") + _server_sent("done", "{}", "3:0")
        self.api.answer("GET", "/stream/.*", lambda seen, connection: Reply(
            pieces=pieces(), headers={"Content-Type": "text/event-stream"}))
        process = self.process("run", "meta/llama-tiny", "prompt=x")
        self.assertEqual(process.stdout.read(100), b"Hel")
        gate.set()
        self.assertEqual(self.finish(process), (0, "lo\n", ""))

    def test_text_of_a_model_without_a_stream_is_written_as_it_is_polled(self):
        gate = self.gate()
        limit = time.monotonic() + 5  # then the run is over in any case

        def poll(seen, connection):
            state = self.api.predictions[seen.path.split("/")[3]]
            state.pop("completed_at", None)
            if gate.is_set() or time.monotonic() > limit:
                return Reply(json=dict(state, status="succeeded", output=["Hel", "lo"]))
            return Reply(json=dict(state, status="processing", output=["Hel"]))
        self.api.answer("GET", "/v1/predictions/.*", poll, times=False)
        process = self.process("run", "replicate/slow-words", "prompt=x")
        self.assertEqual(process.stdout.read(100), b"Hel")
        gate.set()
        self.assertEqual(self.finish(process), (0, "lo\n", ""))

    @unittest.skipUnless(POSIX, "signals of POSIX")
    def test_ctrl_c_and_sigterm_cancel_the_run_and_say_so(self):
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(number):
                self.api.clear()
                process = self.process("run", "test/slow", "seconds=100000")
                self.until(lambda: self.api.seen("GET", "/v1/predictions/.+"))
                process.send_signal(number)
                ended = self.finish(process)
                identity, = self.api.creations
                self.assertEqual((ended.code, ended.out, self.cancels()), (130, "", [identity]))
                self.assertRegex(ended.err, rf"(?i)cancell?ed.*{identity}|{identity}.*cancell?ed")
                self.assertNotIn("Traceback", ended.err)
                self.assertEqual(self.api.predictions[identity]["status"], "canceled")

    @unittest.skipUnless(POSIX, "signals of POSIX")
    def test_a_second_ctrl_c_leaves_at_once(self):
        self.addCleanup(signal.signal, signal.SIGINT, signal.signal(signal.SIGINT, signal.default_int_handler))
        gate = self.gate()

        def held(seen, connection):
            gate.wait(PATIENCE)
        self.api.answer("POST", ".*/cancel", held)
        process = self.process("run", "test/slow", "seconds=100000")
        self.until(lambda: self.api.seen("GET", "/v1/predictions/.+"))
        process.send_signal(signal.SIGINT)
        self.until(self.cancels)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        ended = self.finish(process)
        self.assertLess(time.monotonic() - began, 3)  # far from the seconds that a cancellation may take
        self.assertEqual((ended.code, ended.out, len(self.cancels())), (130, "", 1))
        self.assertNotIn("Traceback", ended.err)

    @unittest.skipUnless(POSIX, "pipes of POSIX")
    def test_a_pipe_that_is_closed_ends_the_command_quietly_and_cancels_the_run(self):
        gate = self.gate()

        def pieces():
            yield _server_sent("output", "Hel\n", "1:0")
            gate.wait(PATIENCE / 2)
            for number in range(2, 1000):
                yield _server_sent("output", "more\n", f"{number}:0")
                time.sleep(0.01)
        self.add(Model("test/endless", lambda given, base, api: Plan(items=["x"], seconds=1e6), schema({}, ITERATOR),
                       None, official=True, streams=True))
        self.api.answer("GET", "/stream/.*", lambda seen, connection: Reply(
            pieces=pieces(), headers={"Content-Type": "text/event-stream"}))
        process = self.process("run", "test/endless")
        self.assertEqual(process.stdout.read(4), b"Hel\n")
        process.stdout.close()
        gate.set()
        self.assertEqual(process.stderr.read(), b"")
        process.wait()
        self.assertEqual(self.cancels(), self.api.creations)

    @unittest.skipUnless(POSIX, "pipes of POSIX")
    def test_a_pipe_that_nobody_reads_ends_any_command_quietly(self):
        for words in (["--help"], ["map", "--help"], ["models", "list", "--all"]):
            with self.subTest(words):
                reading, writing = os.pipe()
                os.close(reading)
                try:
                    process = self.process(*words, stdout=writing)
                finally:
                    os.close(writing)
                self.assertEqual(process.stderr.read(), b"")

    def test_commands_chain_through_a_pipe_by_url_or_by_bytes(self):
        first = self.process("run", "kvfrans/clipdraw", "prompt=x")
        second = self.process("run", "test/typed", "prompt=y", "image=@-", stdin=first.stdout)
        ended = self.finish(second)
        drawing = f"{self.api.url}/files-out/{self.api.creations[0]}/out-0.png"
        self.assertEqual((ended.code, ended.err, json.loads(ended.out)), (0, "", {"prompt": "y", "image": drawing}))
        picture = self.raw("run", "kvfrans/clipdraw", "prompt=x", "-o", "-").out
        found = self.sent("prompt=y", "image=@-", given=picture)["image"]
        self.assertEqual(found, "data:image/png;base64," + base64.b64encode(png(32, 32, "x")).decode("ascii"))

    @unittest.skipUnless(POSIX, "a shell script as browser")
    def test_web_opens_the_page_of_the_prediction(self):
        browser = self.file("browser", b'#!/bin/sh\necho "$1" > "$0.opened"\n')
        os.chmod(browser, 0o755)
        os.environ["BROWSER"] = browser + " %s"
        ended = self.finish(self.process("run", "replicate/hello-world", "text=A", "--web"))
        self.assertEqual(ended, (0, "hello A\n", ""))
        page = "https://replicate.com/p/" + self.api.creations[0]
        self.assertEqual(self.content("browser.opened").decode().strip(), page)


@unittest.skipUnless(POSIX, "a pseudo-terminal")
class CommandTerminalTest(CommandCase):

    def terminal(self, *words, **environment):
        """The exit code of a command on a terminal, and every byte that the terminal got."""
        import pty
        ours, theirs = pty.openpty()
        try:
            process = self.process(*words, stdin=theirs, stdout=theirs, stderr=theirs,
                                   env=dict(os.environ, **environment))
        finally:
            os.close(theirs)
        data = b""
        with contextlib.suppress(OSError):  # Linux tells the end of a terminal so
            for block in iter(lambda: os.read(ours, 65536), b""):
                data += block
        os.close(ours)
        return process.wait(), data.decode("utf-8")

    def test_a_status_line_shows_time_and_progress_and_is_gone_at_the_end(self):
        half = {"logs": " 50%|#####     | 5/10 [00:01<00:01]\n", "status": "processing"}

        def poll(seen, connection):
            return Reply(json=dict(self.api.predictions[seen.path.split("/")[3]], **half))
        self.api.answer("GET", "/v1/predictions/.*", poll, poll)
        code, text = self.terminal("run", "stability/sketch", "prompt=x", "num_outputs=2")
        base = f"{self.api.url}/files-out/{self.api.creations[0]}/"
        self.assertEqual((code, rendered(text)), (0, [base + "out-0.png", base + "out-1.png"]))
        self.assertRegex(text, r"\d+(\.\d+)? ?s\b|\d:\d\d")
        self.assertRegex(text, r"\b50 ?%")

    def test_streamed_text_stays_on_the_terminal(self):
        tokens = ("Hel", "lo", ", w\u00f6rld", "\nsecond", " line\n", "end")
        for streams in (True, False):
            with self.subTest(streams=streams):
                self.add(Model("test/tokens", lambda given, base, api: Plan(items=tokens, seconds=2),
                               schema({}, ITERATOR), None, official=True, streams=streams))
                code, text = self.terminal("run", "test/tokens")
                self.assertEqual((code, rendered(text)), (0, ["Hello, w\u00f6rld", "second line", "end"]))

    def test_control_characters_of_a_model_reach_a_pipe_and_no_terminal(self):
        nasty = "a\x1b]0;title\x07b\x9bc\x08\rd\te\n\u00e9"
        self.assertEqual(self.succeed("run", "replicate/hello-world", "text=" + nasty), f"hello {nasty}\n")
        code, text = self.terminal("run", "replicate/hello-world", "text=" + nasty, NO_COLOR="1")
        self.assertEqual(code, 0)
        shown = text.replace("\r\n", "\n").replace("\r\x1b[K", "")
        for character in "\x1b\x07\x9b\x08":
            self.assertNotIn(character, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))
        self.assertNotIn("\x1b]", text)
        self.assertNotIn("\rd", text)
        self.assertIn("d\te\n\u00e9\n" if "\t" in shown else "d", shown)

    def test_a_terminal_gets_no_colour_with_no_color_and_a_pipe_never(self):
        self.add(Model("test/colour", lambda given, base, api: Plan(items=["\x1b[31mred "], error="\x1b[32mboom"),
                       schema({}, ITERATOR), None, official=True, streams=True))
        code, text = self.terminal("run", "test/colour", "--logs", NO_COLOR="1")
        self.assertEqual(code, 1)
        self.assertIn("boom", text)
        self.assertEqual([line for line in rendered(text) if line.startswith("red") and "boom" in line], [])
        self.assertNotRegex(text, r"\x1b\[[0-9;]*m")
        self.assertNotIn("\x1b", self.command("run", "test/fails").err)


# ---------------------------------------------------------------------------------------------
# Tests: Self-hosted models, Lambda, vendoring
# ---------------------------------------------------------------------------------------------

# ---------------------------------------------------------------------------------------------
# Self-hosted models: against the stand-in's Cog
# ---------------------------------------------------------------------------------------------

COG_TEXT = {"type": "string", "title": "Output"}
CAPACITY = {"error": "At capacity - all prediction slots busy", "status": "failed"}
RUNNING_ALREADY = {"detail": "Already running a prediction"}
NO_SETUP_YET = {"error": "Setup has not finished yet. Wait until it has finished, or GET /health-check for status.",
                "status": "failed"}
DOCUMENT = {"document": {"type": "string", "format": "uri"}}
EVENTS = {"Content-Type": "text/event-stream"}


def greet(given):
    return "hello " + given["text"]


def in_json(status, value):
    return Reply(status, value, headers={"Content-Type": "application/json"})


def cog_events(*events):
    return [_server_sent(name, data if isinstance(data, str) else json.dumps(data)) for name, data in events]


def output_texts(items):
    """The texts of a run's items, or of a stream's output events."""
    return [str(item) for item in items if getattr(item, "event", "output") == "output"]


def wait_until(true, seconds=10):
    """Whether something has become true in time; for what another thread does."""
    until = time.monotonic() + seconds
    while not true() and time.monotonic() < until:
        time.sleep(0.01)
    return true()


@contextlib.contextmanager
def temporary_folder():
    folder = tempfile.mkdtemp(prefix="replicate-test-")
    try:
        yield pathlib.Path(folder).resolve()
    finally:
        shutil.rmtree(folder, ignore_errors=True)


class CogCase(Case):
    """A stand-in for a container, and a client without any token."""

    def setUp(self):
        super().setUp()
        self.cog, self.url, self.ran = self.api.cog, self.api.url, []
        self.client = replicate.Client(proxies={}, poll_interval=0.01)
        self.serve_model()

    def serve_model(self, predict=repeat_hello, output=ITERATOR, inputs=None, required=("text",)):
        """Serve a model whose runs are counted in self.ran; an iterator of words unless told otherwise."""
        def counted(given):
            self.ran.append(given)
            return predict(given)
        properties = inputs or {"text": {"type": "string"}, "times": {"type": "integer", "default": 2}}
        self.cog.schema = schema(properties, output, required, streaming=True)
        self.cog.predict = counted

    def serve_text(self, predict=greet, **options):
        self.serve_model(predict, COG_TEXT, **options)

    def each_way(self, *cases):
        """Every case with run and with stream, each with nothing seen so far."""
        self.assertTrue(cases)
        for case, way in itertools.product(cases, (self.client.run, self.client.stream)):
            self.assertTrue(wait_until(lambda: self.cog.current is None), "the slot is free again")
            self.api.clear()
            del self.ran[:]
            yield case, way

    def puts(self):
        return self.api.seen("PUT", r"/predictions/[^/]+")

    def answer_put(self, *replies, **options):
        self.api.answer("PUT", r"/predictions/[^/]+", *replies, **options)

    def cancels(self):
        return [seen.path for seen in self.api.seen("POST", r"/predictions/[^/]+/cancel")]

    def assert_one_run_cancelled_once(self):
        self.assertEqual((len(self.puts()), self.cancels()), (1, [self.puts()[0].path + "/cancel"]))

    def command(self, *words):
        """Run the command line: (exit code, standard output, standard error)."""
        with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
            code = replicate.main(list(words))
        return code, out.getvalue(), err.getvalue()


class CogRuns(CogCase):
    def test_every_way_to_run_a_model_runs_a_hosted_one_in_one_put_with_an_id_made_here(self):
        self.serve_text()
        given, client = {"text": "Ann"}, self.client

        async def gather_stream():
            return [str(event) async for event in client.async_stream(self.url, given)]
        ways = {
            "run": lambda: client.run(self.url, given),
            "run, a slash at the end": lambda: client.run(self.url + "/", given),
            "run by keyword": lambda: client.run(self.url, input=given, wait=False, timeout=60),
            "async_run": lambda: asyncio.run(client.async_run(self.url, given)),
            "use": lambda: client.use(self.url)(text="Ann"),
            "map": lambda: next(client.map(self.url, [given])),
            "stream": lambda: "".join(map(str, client.stream(self.url, given))),
            "use.stream": lambda: "".join(map(str, client.use(self.url).stream(text="Ann"))),
            "async_stream": lambda: "".join(asyncio.run(gather_stream())),
        }
        for number, (way, run) in enumerate(ways.items(), 1):
            with self.subTest(way):
                self.assertEqual(run(), "hello Ann")
                self.assertEqual((len(self.puts()), self.puts()[-1].json["input"]), (number, given))
                self.assertRegex(self.puts()[-1].path, r"^/predictions/[A-Za-z0-9_-]{16,}$")
        self.assertEqual(len({seen.path for seen in self.puts()}), len(ways), "an id of its own for each run")
        self.assertEqual(self.api.seen("POST"), [], "nothing was created in another way, and nothing cancelled")

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
                self.assertEqual([seen.headers["Accept"] for seen in self.puts()], ["text/event-stream"])
                self.assertEqual(self.cancels(), [])

    def test_events_are_output_logs_and_done(self):
        pieces = cog_events(("start", {"id": "x", "status": "processing"}),
                            ("log", {"data": "a\nb", "source": "stderr"}), ("metric", {"name": "m", "value": 1}),
                            ("output", {"chunk": "\u65e5\u2028", "index": 0}), ("tomorrow", {}),
                            ("output", {"chunk": "2", "index": 1}),
                            ("completed", {"id": "x", "status": "succeeded", "output": ["\u65e5\u2028", "2"]}))
        self.answer_put(Reply(pieces=[b"".join(pieces)], headers=EVENTS))
        events = [(event.event, event.data) for event in self.client.stream(self.url, {"text": "x"})]
        self.assertEqual(events[:-1], [("logs", "a\nb"), ("output", "\u65e5\u2028"), ("output", "2")])
        self.assertEqual((events[-1][0], len(self.puts())), ("done", 1))

    def test_files_travel_as_data_uris_both_ways(self):
        def shout(given):
            kind, _, data = given["document"].partition(";base64,")
            return kind + ";base64," + base64.b64encode(base64.b64decode(data).upper()).decode("ascii")
        self.serve_model(shout, FILE, DOCUMENT, ["document"])
        with temporary_folder() as folder:
            (folder / "note.txt").write_bytes(b"from a path")
            files = [(folder / "note.txt", b"FROM A PATH"), (b"bytes", b"BYTES"), (io.BytesIO(b"handle"), b"HANDLE"),
                     (b"large " * 60000, b"LARGE " * 60000)]
            for given, wanted in files:
                output = self.client.run(self.url, {"document": given})
                self.assertIsInstance(output, replicate.FileOutput)
                self.assertEqual(output.read(), wanted)
        self.assertEqual([seen.json["input"]["document"][:5] for seen in self.puts()], ["data:"] * len(files))
        self.assertTrue(self.puts()[0].json["input"]["document"].startswith("data:text/plain;base64,"))
        self.assertEqual(self.api.seen("POST"), [], "nothing was uploaded")

    def test_neither_the_token_nor_the_clients_headers_are_ever_sent(self):
        os.environ["REPLICATE_API_TOKEN"] = self.api.token
        containers = (self.url, self.url.replace("127.0.0.1", "localhost"))
        for api, container in itertools.product(("https://api.replicate.com/v1", self.url), containers):
            with self.subTest(api=api, container=container):
                self.api.clear()
                client = replicate.Client(self.api.token, base_url=api, proxies={}, poll_interval=0.01,
                                          headers={"X-Secret": "my own secret"})
                self.answer_put(in_json(409, CAPACITY))
                self.assertEqual(len(list(client.run(container, {"text": "x"}))), 2)
                items = client.stream(container, {"text": "x", "times": 100000})
                next(items)
                items.close()
                sent = "\n".join(f"{seen.target} {seen.headers} {seen.body}" for seen in self.api.requests)
                self.assertGreaterEqual(len(self.api.requests), 6)
                self.assertEqual(len(self.cancels()), 1)
                for secret in (self.api.token, "my own secret", "uthorization:"):
                    self.assertNotIn(secret, sent)

    def test_many_inputs_share_a_container_with_one_slot(self):
        self.serve_text()
        self.cog.seconds = 0.02
        outputs = list(self.client.map(self.url, ({"text": str(number)} for number in range(6)), concurrency=3))
        self.assertEqual(outputs, [f"hello {number}" for number in range(6)])
        self.assertEqual(sorted(given["text"] for given in self.ran), list("012345"), "each ran once")

    def test_a_container_without_a_schema_runs_what_it_is_given(self):
        self.cog.schema = None
        for missing in (None, Reply(404, body=b"Not Found", headers=TEXT), Reply(body=b"<html>", headers=TEXT)):
            with self.subTest(missing and missing.status):
                if missing:
                    self.api.answer("GET", "/openapi.json", missing)
                output = self.client.run(self.url, {"text": "x", "anything": [1, None]})
                self.assertEqual(list(output), ["hello x 0", "hello x 1"])
                self.assertEqual(self.puts()[-1].json["input"], {"text": "x", "anything": [1, None]})
        self.assertEqual(len(self.ran), 3)

    def test_misspelt_inputs_are_told_with_the_nearest_name_and_nothing_runs(self):
        given = {"text": "x", "tmies": 3}
        ways = [lambda: self.client.run(self.url, given), lambda: self.client.stream(self.url, given),
                lambda: self.client.map(self.url, [given]), lambda: self.client.use(self.url)(**given)]
        for way in ways:
            with self.assertRaisesRegex(ValueError, "tmies.*times"):
                list(way())
        self.assertEqual(self.puts(), [])

    def test_a_model_that_does_not_stream_is_run_plainly(self):
        self.cog.streaming = False
        for _, way in self.each_way(""):
            with self.subTest(way.__name__):
                self.assertEqual(output_texts(way(self.url, {"text": "x"})), ["hello x 0", "hello x 1"])
                self.assertEqual(len(self.ran), 1, "the 406 ran nothing")
                self.assertNotIn("event-stream", self.puts()[-1].headers["Accept"] or "")

    def test_an_old_container_answers_json_where_a_stream_was_asked_for(self):
        self.cog.old = True
        for serve, wanted in ((self.serve_model, ["hello x 0", "hello x 1"]), (self.serve_text, ["hello x"])):
            serve()
            events = list(self.client.stream(self.url, {"text": "x"}))
            self.assertEqual((output_texts(events), events[-1].event), (wanted, "done"))
        self.assertEqual((len(self.puts()), len(self.ran)), (2, 2))

    def test_a_long_silent_run_outlives_the_time_out_of_socket_operations(self):
        client = replicate.Client(proxies={}, timeout=0.25)
        self.cog.seconds = 0.6
        self.assertEqual(list(client.run(self.url, {"text": "x", "times": 1})), ["hello x 0"])
        self.serve_text()
        self.assertEqual(client.run(self.url, {"text": "x"}), "hello x")
        self.assertEqual((len({seen.path for seen in self.puts()}), self.cancels()), (2, []))  # a 409 in between is no run


class CogWaits(CogCase):
    def test_a_container_that_is_starting_is_waited_for(self):
        self.serve_text()
        unknown = in_json(503, {"error": "OpenAPI schema not available"})
        for old, known in itertools.product((False, True), (False, True)):
            with self.subTest(old=old, schema_known=known):
                self.cog.old, self.cog.health, looks = old, "STARTING", []

                def health(seen, connection, looks=looks):
                    looks.append(seen)
                    if len(looks) == 3:
                        self.cog.health = "READY"
                if not known:
                    self.api.answer("GET", "/openapi.json", unknown, times=2)
                self.api.answer("GET", "/health-check", health, times=3)
                self.assertEqual(self.client.run(self.url, {"text": "x"}, timeout=30), "hello x")
                self.assertEqual(len(looks), 3)
        self.assertEqual(len(self.ran), 4)

    def test_a_failed_setup_raises_with_its_logs(self):
        self.cog.setup_logs = "Loading weights\nRuntimeError: no GPU here\n"
        for self.cog.health, self.cog.old, known in itertools.product(
                ("SETUP_FAILED", "DEFUNCT"), (False, True), (True, False)):
            self.cog.schema = self.cog.schema if known else None
            for _, way in self.each_way(""):
                with self.subTest(self.cog.health, old=self.cog.old, schema_known=known, way=way.__name__):
                    with self.assertRaisesRegex(replicate.ReplicateError, "no GPU here") as caught:
                        list(way(self.url, {"text": "x"}, timeout=10))
                    self.assertNotIsInstance(caught.exception, replicate.PredictionTimeout)
                    self.assertEqual((self.ran, self.cancels()), ([], []))

    def test_a_busy_container_and_a_passing_503_are_waited_for(self):
        refusals = in_json(409, CAPACITY), in_json(409, RUNNING_ALREADY), in_json(503, NO_SETUP_YET)
        for refusal, way in self.each_way(*refusals):
            with self.subTest(refusal.body, way=way.__name__):
                self.answer_put(refusal, times=3)
                self.assertEqual(output_texts(way(self.url, {"text": "x", "times": 1})), ["hello x 0"])
                self.assertEqual((len(self.puts()), len(self.ran), self.cancels()), (4, 1, []))

    def test_waiting_ends_with_the_timeout_and_cancels_nothing(self):
        self.client = replicate.Client(proxies={})
        clock = self.turn_clock()
        for state, known in (("STARTING", True), ("STARTING", False), ("BUSY", True)):
            with self.subTest(state, schema_known=known):
                self.cog.health, began = state, clock.time
                self.cog.schema = self.cog.schema if known else None
                if state == "BUSY":
                    self.serve_model()
                    self.answer_put(in_json(409, CAPACITY), times=False)
                with self.assertRaises(replicate.PredictionTimeout):
                    list(self.client.run(self.url, {"text": "x"}, timeout=30))
                self.assertAlmostEqual(clock.time - began, 30, delta=1)
                self.assertEqual((self.ran, self.cancels()), ([], []))

    def test_a_refused_connection_is_tried_again(self):
        self.api.close()

        class Opening(HandClock):
            def sleep(clock, seconds, stop=None):
                super().sleep(seconds, stop)
                if self.api.closing.is_set():
                    self.api = StandIn(port=urlsplit(self.url).port).start()
                    self.addCleanup(self.api.close)
        self.client._clock = Opening()
        self.assertEqual(list(self.client.run(self.url, {"text": "x", "times": 1})), ["hello x 0"])
        self.assertEqual(len(self.puts()), 1)
        self.api.close()
        clock = self.turn_clock()
        with self.assertRaises(replicate.NetworkError):
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
                with self.assertRaisesRegex(replicate.ModelError, "boom: out of memory") as caught:
                    list(way(self.url, {"text": "x"}))
                prediction = caught.exception.prediction
                self.assertEqual((prediction.status, prediction.logs), ("failed", self.cog.logs))
                self.assertEqual(["/predictions/" + prediction.id], [seen.path for seen in self.puts()])
                self.answer_put(Reply(json={"id": "x", "status": "canceled", "logs": ""}))
                with self.assertRaises(replicate.ModelError) as caught:
                    list(way(self.url, {"text": "x"}))
                self.assertEqual((caught.exception.prediction.status, self.cancels()), ("canceled", []))

    def test_refusals_are_told_in_the_containers_words_and_not_repeated(self):
        cases = {422: ("times", 'is not of type "integer"'), 400: ("parse the request",), 415: ("Expected request",)}
        self.answer_put(lambda seen, connection: None,
                        Reply(400, body=b"Failed to parse the request body as JSON: no", headers=TEXT),
                        Reply(415, body=b"Expected request with `Content-Type: application/json`", headers=TEXT))
        for number, (status, words) in enumerate(cases.items(), 1):
            with self.subTest(status), self.assertRaises(replicate.APIError) as caught:
                list(self.client.run(self.url, {"text": "x", "times": "no"}))
            self.assertEqual((caught.exception.status, len(self.puts())), (status, number))
            for said in words:
                self.assertIn(said, str(caught.exception))
        self.assertEqual((self.ran, self.cancels()), ([], []))

    def test_a_run_that_may_have_begun_is_never_begun_again(self):
        whole = {"id": "x", "status": "succeeded", "output": ["a" * 50]}
        network = {"reset": Reply(reset=True), "closed": Reply(raw=b""), "no HTTP": Reply(raw=b"what?\r\n\r\n"),
                   "half a head": Reply(raw=b"HTTP/1.1 200 OK\r\nX"), "half a body": Reply(json=whole, cut=20),
                   "no JSON": Reply(body=b"<html>", headers=TEXT)}
        broken = {status: Reply(status, body=b"broken", headers=TEXT) for status in (500, 502, 504)}
        for serve in (self.serve_model, self.serve_text):
            serve()
            for (fault, reply), way in self.each_way(*network.items(), *broken.items()):
                with self.subTest(fault, way=way.__name__, serve=serve.__name__):
                    self.answer_put(reply)
                    kind = replicate.NetworkError if fault in network else replicate.APIError
                    with self.assertRaisesRegex(kind, "may (have|still) (run|been)") as caught:
                        list(way(self.url, {"text": "x"}))
                    self.assertEqual((len(self.puts()), self.ran), (1, []))
                    self.assertNotIn("predictions.list", str(caught.exception), "a container has no list to look at")
                    if fault in network:
                        self.assert_one_run_cancelled_once()

    def test_an_answer_that_is_no_end_is_never_taken_for_one(self):
        for serve in (self.serve_model, self.serve_text):
            serve()
            for status, way in self.each_way("starting", "processing"):
                with self.subTest(status, way=way.__name__):
                    self.answer_put(Reply(202, {"id": "x", "status": status, "output": ["no"]}))
                    with self.assertRaisesRegex(replicate.NetworkError, "may (have|still) (run|been)"):
                        list(way(self.url, {"text": "x"}))
                    self.assertEqual((len(self.puts()), self.ran), (1, []))

    def test_a_stream_cut_short_raises_after_what_came_and_is_not_resumed(self):
        pieces = cog_events(("start", {"id": "x", "status": "processing"}), ("output", {"chunk": "one", "index": 0}),
                            ("output", {"chunk": "two", "index": 1}))
        cut = len(b"".join(pieces[:2])) + 5
        faults = {"an end without completed": {"pieces": pieces[:2]}, "cut": {"pieces": pieces, "cut": cut},
                  "reset": {"pieces": pieces, "cut": cut, "reset": True},
                  "no JSON": {"pieces": pieces[:2] + [b"event: output\ndata: {\n\n"]}}
        for (fault, reply), way in self.each_way(*faults.items()):
            with self.subTest(fault, way=way.__name__):
                self.answer_put(Reply(headers=EVENTS, **reply))
                items = way(self.url, {"text": "x"})
                self.assertEqual(str(next(items)), "one")
                self.assertRaises(replicate.NetworkError, next, items)
                self.assert_one_run_cancelled_once()


class CogGivenUp(CogCase):
    def slow_down(self, given):
        self.cog.seconds = 60
        return "never"

    def test_a_timeout_cancels_once_whatever_the_container_is_doing(self):
        comments = Reply(pieces=itertools.repeat(b": still here\n\n"), pause=0.05, headers=EVENTS)
        drips = Reply(json={"status": "succeeded", "output": "x" * 99}, pause=0.05)
        faults = {"silent": (self.serve_text, None), "drips": (self.serve_text, drips),
                  "comments for ever": (self.serve_model, comments)}
        for fault, (serve, reply) in faults.items():
            with self.subTest(fault):
                serve(self.slow_down)
                self.api.clear()
                if reply:
                    self.answer_put(reply)
                with self.assertRaises(replicate.PredictionTimeout) as caught:
                    list(self.client.run(self.url, {"text": "x"}, timeout=0.4))
                self.assertEqual("/predictions/" + caught.exception.prediction.id, self.puts()[0].path)
                self.assert_one_run_cancelled_once()
        self.assertTrue(wait_until(lambda: self.cog.canceled), "the model was stopped")

    def test_an_iterator_closed_before_its_end_cancels_once(self):
        for _, way in self.each_way(""):
            with self.subTest(way.__name__):
                items = way(self.url, {"text": "x", "times": 100000})
                next(items)
                items.close()
                self.assert_one_run_cancelled_once()
        self.assertTrue(wait_until(lambda: len(self.cog.canceled) == 2))

    def test_a_cancelled_task_cancels_its_run_once_and_soon(self):
        self.serve_text(self.slow_down)

        async def give_up():
            task = asyncio.ensure_future(self.client.async_run(self.url, {"text": "x"}))
            while not self.ran:
                await asyncio.sleep(0.01)
            task.cancel()
            await task
        try:
            self.assertRaises(asyncio.CancelledError, asyncio.run, give_up())
            self.assertTrue(wait_until(self.cancels), "nothing was cancelled")
            self.assert_one_run_cancelled_once()
        finally:
            self.api.close()  # a worker that still waits is not to hold the interpreter up

    def test_a_map_left_early_cancels_what_still_runs(self):
        self.serve_text(lambda given: self.slow_down(given) if self.ran[1:] else "done")
        outputs = self.client.map(self.url, [{"text": "0"}, {"text": "1"}], concurrency=1)
        self.assertEqual(next(outputs), "done")
        self.assertTrue(wait_until(lambda: len(self.ran) == 2))
        try:
            outputs.close()
            self.assertEqual(self.cancels(), [self.puts()[1].path + "/cancel"])
        finally:
            self.api.close()

    @unittest.skipUnless(hasattr(signal, "pthread_kill"), "needs POSIX signals")
    def test_ctrl_c_cancels_once(self):
        before = signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have it ignored
        self.addCleanup(signal.signal, signal.SIGINT, before)

        def interrupt(given):
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            return self.slow_down(given)
        for serve, way in self.each_way(self.serve_model, self.serve_text):
            with self.subTest(serve.__name__, way=way.__name__):
                serve(interrupt)
                with self.assertRaises(KeyboardInterrupt):
                    list(way(self.url, {"text": "x"}))
                self.assert_one_run_cancelled_once()
        self.assertTrue(wait_until(lambda: self.cog.current is None))
        self.api.clear()
        self.assertEqual(self.command("run", self.url, "text=x")[0], 130)
        self.assert_one_run_cancelled_once()


class CogCommandLine(CogCase):
    def test_values_are_typed_by_the_containers_schema(self):
        inputs = {"text": {"type": "string"}, "times": {"type": "integer"}, "fast": {"type": "boolean"},
                  "sizes": {"type": "array", "items": {"type": "integer"}}}
        self.serve_text(inputs=inputs)
        words = ["text=007", "times=2", "fast=true", "sizes=[1, 2]"]
        self.assertEqual(self.command("run", self.url, *words)[:2], (0, "hello 007\n"))
        self.assertEqual([seen.json["input"] for seen in self.puts()],
                         [{"text": "007", "times": 2, "fast": True, "sizes": [1, 2]}])

    def test_text_is_printed_files_are_saved_and_help_shows_the_inputs(self):
        code, out, _ = self.command("run", self.url, "--help")
        self.assertEqual((code, self.puts()), (0, []))
        self.assertRegex(out, r"(?s)text.*times")
        code, out, _ = self.command("run", self.url, "text=x")
        self.assertEqual((code, out.rstrip("\n")), (0, "hello x 0hello x 1"))
        self.serve_model(lambda given: given["document"], FILE, DOCUMENT, ["document"])
        with temporary_folder() as folder:
            source, target = folder / "in.txt", folder / "out.txt"
            source.write_bytes(b"as it was\r\n")
            code, _, err = self.command("run", self.url, f"document=@{source}", "-o", str(target))
            self.assertEqual((code, target.read_bytes()), (0, b"as it was\r\n"), err)

    def test_the_exit_code_tells_who_failed(self):
        self.serve_text(lambda given: 1 // 0)
        self.answer_put(lambda seen, connection: None, Reply(reset=True))
        cases = [(["text=a"], 1, "division"), (["text=a"], 3, "may have"), (["txet=a"], 2, "text"), ([], 2, "text"),
                 (["text=a", "times=many"], 2, "times")]
        for words, wanted, said in cases:
            with self.subTest(words):
                code, out, err = self.command("run", self.url, *words)
                self.assertEqual((code, out), (wanted, ""))
                self.assertIn(said, err)
        self.assertEqual(len(self.puts()), 2, "wrong words run nothing")


# ---------------------------------------------------------------------------------------------
# Self-hosted models: against real servers
# ---------------------------------------------------------------------------------------------

PREDICTORS = {"text": ("""\
from cog import BasePredictor


class Predictor(BasePredictor):
    def predict(self, text: str, times: int = 1, fail: bool = False) -> str:
        print("asked for", text)
        if fail:
            raise ValueError("boom")
        return "hello " + text * times
""", schema({"text": {"type": "string"}, "times": {"type": "integer", "default": 1, "minimum": 1, "maximum": 10},
             "fail": {"type": "boolean", "default": False}}, COG_TEXT, ["text"])), "files": ("""\
import tempfile

from cog import BasePredictor, Path


class Predictor(BasePredictor):
    def predict(self, document: Path) -> Path:
        target = Path(tempfile.mkdtemp()) / "shout.txt"
        target.write_bytes(document.read_bytes().upper())
        return target
""", schema(DOCUMENT, FILE, ["document"])), "slow": ("""\
import time

from cog import BasePredictor, ConcatenateIterator


class Predictor(BasePredictor):
    def setup(self):
        time.sleep(1)

    def predict(self, prompt: str, tokens: int = 3, pause: float = 0.1) -> ConcatenateIterator[str]:
        for number in range(tokens):
            time.sleep(pause)
            yield f"{prompt} {number}\\n"
""", schema({"prompt": {"type": "string"}, "tokens": {"type": "integer", "default": 3},
             "pause": {"type": "number", "default": 0.1}}, ITERATOR, ["prompt"], streaming=True))}


def write_predictors(folder):
    """Write the three models that RealCog runs, each in a folder with the schema that `cog build` would make."""
    for name, (code, openapi) in PREDICTORS.items():
        target = pathlib.Path(folder, name)
        (target / ".cog").mkdir(parents=True, exist_ok=True)
        (target / "predict.py").write_text(code, encoding="utf-8")
        (target / ".cog" / "openapi_schema.json").write_text(json.dumps(openapi), encoding="utf-8")


class RealCog(Case):
    """Real servers, whose addresses are in COG_TEXT, COG_FILES and COG_SLOW; .ci/run starts them."""

    def setUp(self):
        super().setUp()
        missing = [name for name in ("COG_TEXT", "COG_FILES", "COG_SLOW") if not os.environ.get(name)]
        if missing:
            self.skipTest(f"NO REAL COG SERVER: {', '.join(missing)} not set; .ci/run starts them and sets these")
        self.text, self.files, self.slow = (os.environ[name] for name in ("COG_TEXT", "COG_FILES", "COG_SLOW"))
        self.client = replicate.Client(proxies={}, poll_interval=0.05)
        self.long = {"prompt": "x", "tokens": 1000, "pause": 0.1}

    def assert_free_again(self):
        """The slot is free long before the long run's 100 s: it was cancelled."""
        self.assertEqual(list(self.client.run(self.slow, {"prompt": "y", "tokens": 1}, timeout=30)), ["y 0\n"])

    def test_text_in_and_text_out_in_every_way(self):
        given = {"text": "Ann", "times": 2}
        self.assertEqual(self.client.run(self.text, given), "hello AnnAnn")
        self.assertEqual(self.client.use(self.text)(**given), "hello AnnAnn")
        self.assertEqual(asyncio.run(self.client.async_run(self.text, given)), "hello AnnAnn")
        self.assertEqual(list(self.client.map(self.text, [{"text": str(n)} for n in range(6)], concurrency=3)),
                         [f"hello {n}" for n in range(6)])

    def test_a_model_that_does_not_stream_is_run_plainly(self):
        self.assertEqual("".join(map(str, self.client.stream(self.text, {"text": "Ann"}))), "hello Ann")

    def test_a_failed_run_is_a_model_error(self):
        with self.assertRaisesRegex(replicate.ModelError, "boom") as caught:
            self.client.run(self.text, {"text": "Ann", "fail": True})
        self.assertEqual(caught.exception.prediction.status, "failed")

    def test_wrong_inputs_are_told_by_name(self):
        with self.assertRaisesRegex(replicate.APIError, "times.*integer") as caught:
            self.client.run(self.text, {"text": "Ann", "times": "many"})
        self.assertEqual(caught.exception.status, 422)
        with self.assertRaisesRegex(ValueError, "tmies.*times"):
            self.client.run(self.text, {"text": "Ann", "tmies": 1})

    def test_files_in_and_out(self):
        for content in (b"a short note", bytes(range(256)) * 2000):
            output = self.client.run(self.files, {"document": content})
            self.assertIsInstance(output, replicate.FileOutput)
            self.assertEqual(output.read(), content.upper())

    def test_tokens_arrive_while_the_model_runs(self):
        items = self.client.run(self.slow, {"prompt": "x", "tokens": 4, "pause": 0.5})
        self.assertEqual(next(items), "x 0\n")
        began = time.monotonic()
        self.assertEqual(list(items), ["x 1\n", "x 2\n", "x 3\n"])
        self.assertGreater(time.monotonic() - began, 0.7, "they came one by one")
        events = [(event.event, str(event)) for event in self.client.stream(self.slow, {"prompt": "y", "tokens": 2})]
        self.assertEqual([text for kind, text in events if kind == "output"], ["y 0\n", "y 1\n"])
        self.assertEqual(events[-1][0], "done")

    def test_a_busy_server_is_waited_for(self):
        outputs = self.client.map(self.slow, [{"prompt": "x"}, {"prompt": "y"}], concurrency=2)
        self.assertEqual([output[0] for output in outputs], ["x 0\n", "y 0\n"])

    def test_a_timeout_or_a_closed_iterator_cancels_the_run(self):
        with self.assertRaises(replicate.PredictionTimeout):
            list(self.client.run(self.slow, self.long, timeout=1))
        self.assert_free_again()
        events = self.client.stream(self.slow, self.long)
        self.assertIn(str(next(events)), ("", "x 0\n"))
        events.close()
        self.assert_free_again()

    @unittest.skipIf(os.name == "nt", "needs POSIX signals")
    def test_ctrl_c_at_the_command_line_cancels_the_run(self):
        command = [sys.executable, replicate.__file__, "run", self.slow, "prompt=x", "tokens=1000"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
            self.assertEqual(process.stdout.readline(), "x 0\n")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130)
        self.assert_free_again()


# ---------------------------------------------------------------------------------------------
# Elsewhere: AWS Lambda, and copies in places of all kinds
# ---------------------------------------------------------------------------------------------

LAMBDA_FUNCTION = '''\
"""A function of AWS Lambda behind a function URL: runs a model, and takes its webhooks."""
import base64
import json
import os

import replicate


def answer(status, value):
    return {"statusCode": status, "headers": {"content-type": "application/json"}, "body": json.dumps(value)}


def run(event, context):
    raw = event.get("body") or "{}"
    given = json.loads(base64.b64decode(raw) if event.get("isBase64Encoded") else raw)
    try:
        output = replicate.run("test/echo", input=given, timeout=context.get_remaining_time_in_millis() / 1000 - 1)
    except replicate.ReplicateError as error:
        return answer(502, {"error": str(error)})
    return answer(200, {"output": output})


def webhook(event, context):
    raw = event.get("body") or ""
    body = base64.b64decode(raw) if event.get("isBase64Encoded") else raw
    try:
        replicate.webhooks.validate(headers=event["headers"], body=body, secret=os.environ["WEBHOOK_SECRET"])
    except replicate.WebhookError as error:
        return answer(401, {"error": str(error)})
    return answer(200, {"seen": json.loads(body)["id"]})
'''


def function_url_event(body, headers=(), encoded=False):
    """What a function URL passes: payload format 2.0, names of headers in lower case."""
    raw = base64.b64encode(body).decode("ascii") if encoded else body.decode("utf-8")
    return {"version": "2.0", "routeKey": "$default", "rawPath": "/", "rawQueryString": "",
            "headers": {**{name.lower(): value for name, value in dict(headers).items()}, "x-forwarded-port": "443"},
            "requestContext": {"accountId": "anonymous", "apiId": "abc", "http": {
                "method": "POST", "path": "/", "protocol": "HTTP/1.1", "sourceIp": "203.0.113.1"}},
            "body": raw, "isBase64Encoded": encoded}


def gateway_event(body, headers=(), encoded=False):
    """What API Gateway's REST APIs pass: payload format 1.0, names as the sender wrote them."""
    raw = base64.b64encode(body).decode("ascii") if encoded else body.decode("utf-8")
    return {"resource": "/", "path": "/", "httpMethod": "POST", "queryStringParameters": None,
            "headers": {name.title(): value for name, value in dict(headers).items()},
            "multiValueHeaders": {name.title(): [value] for name, value in dict(headers).items()},
            "requestContext": {"stage": "prod"}, "body": raw, "isBase64Encoded": encoded}


class Lambda(Case):
    def setUp(self):
        super().setUp()
        os.environ.update(REPLICATE_API_TOKEN=self.api.token, REPLICATE_BASE_URL=self.api.url, no_proxy="*",
                          WEBHOOK_SECRET=self.api.webhook_secret)
        with temporary_folder() as folder:
            (folder / "function.py").write_text(LAMBDA_FUNCTION, encoding="utf-8")
            self.function = runpy.run_path(str(folder / "function.py"))
        self.context = types.SimpleNamespace(get_remaining_time_in_millis=lambda: 60000)
        self.kept = []

    def keep_connections(self):
        """Remember the server's end of every connection on which something is created from now on."""
        self.api.answer("POST", "/v1/.*", lambda seen, connection: self.kept.append(connection), times=False)

    def call(self, event, name="run"):
        answer = self.function[name](event, self.context)
        return answer["statusCode"], json.loads(answer["body"])

    def test_a_function_url_runs_a_model(self):
        for shape, encoded in itertools.product((function_url_event, gateway_event), (False, True)):
            with self.subTest(shape.__name__, encoded=encoded):
                event = shape('{"text": "na\u00efve"}'.encode("utf-8"), encoded=encoded)
                self.assertEqual(self.call(event), (200, {"output": {"text": "na\u00efve"}}))
        created = self.api.seen("POST", "/v1/models/test/echo/predictions")
        self.assertEqual([seen.json["input"] for seen in created], [{"text": "na\u00efve"}] * 4)

    def test_a_webhook_is_validated_in_every_event_shape(self):
        body = '{"id": "p1", "status": "succeeded", "output": "na\u00efve"}'.encode("utf-8")
        for shape, encoded in itertools.product((function_url_event, gateway_event), (False, True)):
            with self.subTest(shape.__name__, encoded=encoded):
                headers = self.api.sign_webhook("msg_1", body)
                self.assertEqual(self.call(shape(body, headers, encoded), "webhook"), (200, {"seen": "p1"}))
                forged = self.call(shape(body.replace(b"p1", b"p2"), headers, encoded), "webhook")
                self.assertEqual(forged[0], 401)
                self.assertEqual(self.call(shape(body, {}, encoded), "webhook")[0], 401)
        self.assertEqual(self.api.requests, [], "no request is made for it")

    def test_a_client_whose_connections_died_while_it_was_frozen_notices(self):
        self.keep_connections()
        for word in ("first", "second", "third"):
            event = function_url_event(json.dumps({"text": word}).encode())
            self.assertEqual(self.call(event), (200, {"output": {"text": word}}))
            if word == "second":  # this time with a reset instead of an orderly end
                self.kept[-1].sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                                              struct.pack("hh" if os.name == "nt" else "ii", 1, 0))
            for connection in self.kept:
                connection.wake()
                connection.join(5)
        self.assertEqual([seen.json["input"]["text"] for seen in self.api.seen("POST")], ["first", "second", "third"])
        self.assertEqual(len(set(self.kept)), 3, "each on a connection of its own")

    def test_the_real_runtime_client_runs_a_zip_of_two_files(self):
        python = os.environ.get("AWSLAMBDARIC")
        if not python:
            self.skipTest("NO LAMBDA RUNTIME: AWSLAMBDARIC does not name a Python that has awslambdaric; .ci/run does")
        runtime = "/2018-06-01/runtime/invocation/"
        texts = ["first", "after the freeze"]
        process, answers = [], {}

        def following(seen, connection):
            number = len(self.api.seen("GET", runtime + "next"))
            if number > len(texts):
                return Reply(204, delay=60)
            if number == 2:  # the sandbox is frozen, its connections end, it thaws
                process[0].send_signal(signal.SIGSTOP)
                for kept in self.kept:
                    kept.wake()
                process[0].send_signal(signal.SIGCONT)
            head = {"Lambda-Runtime-Aws-Request-Id": f"request-{number}", "Lambda-Runtime-Trace-Id": "Root=1-2",
                    "Lambda-Runtime-Invoked-Function-Arn": "arn:aws:lambda:eu-west-1:123456789012:function:f",
                    "Lambda-Runtime-Deadline-Ms": str(int(time.time() * 1000) + 30000)}
            return Reply(json=function_url_event(json.dumps({"text": texts[number - 1]}).encode()), headers=head)

        def answered(seen, connection):
            answers[seen.path[len(runtime):]] = seen.json
            return Reply(202, {"status": "OK"})
        self.api.answer("GET", runtime + "next", following, times=False)
        self.api.answer("POST", runtime + ".*|/2018-06-01/runtime/init/error", answered, times=False)
        self.keep_connections()
        with temporary_folder() as folder:
            with zipfile.ZipFile(str(folder / "function.zip"), "w") as package:
                package.write(replicate.__file__, "replicate.py")
                package.writestr("function.py", LAMBDA_FUNCTION)
            with zipfile.ZipFile(str(folder / "function.zip")) as package:
                package.extractall(str(folder / "task"))
            environment = {"AWS_LAMBDA_RUNTIME_API": urlsplit(self.api.url).netloc, "REPLICATE_BASE_URL": self.api.url,
                           "REPLICATE_API_TOKEN": self.api.token, "AWS_EXECUTION_ENV": "AWS_Lambda_python3.11",
                           "AWS_LAMBDA_FUNCTION_NAME": "f", "PYTHONDONTWRITEBYTECODE": "1"}
            process.append(subprocess.Popen([python, "-m", "awslambdaric", "function.run"], cwd=str(folder / "task"),
                                            env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT))
            try:
                wait_until(lambda: len(answers) >= len(texts) or process[0].poll() is not None, 30)
            finally:
                process[0].kill()
                said = process[0].communicate()[0].decode("utf-8", "replace")
        self.assertEqual(list(answers), ["request-1/response", "request-2/response"], (answers, said))
        self.assertEqual([json.loads(answer["body"])["output"]["text"] for answer in answers.values()], texts)
        self.assertEqual([seen.json["input"]["text"] for seen in self.api.seen("POST", "/v1/.*")], texts)


HELLO_AND_ERROR = """
assert {0}.run("test/echo", input={{"text": "Ann"}}) == {{"text": "Ann"}}
try:
    {0}.run("test/fails", input={{}})
except {0}.ModelError as error:
    print("boom" in str(error), error.prediction.status)
"""


class Vendored(Case):
    def python(self, folder, *arguments, **environment):
        """Run a Python in a folder that knows the stand-in but no home: what it printed; it must not complain."""
        known = {name: value for name, value in os.environ.items()
                 if name not in ("HOME", "USERPROFILE", "PYTHONPATH", "PYTHONHOME", "PYTHONWARNINGS", "PYTHONSTARTUP")}
        known.update(environment, REPLICATE_API_TOKEN=self.api.token, REPLICATE_BASE_URL=self.api.url, no_proxy="*",
                     PYTHONIOENCODING="utf-8", PYTHONDONTWRITEBYTECODE="1")
        process = subprocess.run([sys.executable, *arguments], cwd=str(folder), env=known, capture_output=True,
                                 encoding="utf-8", timeout=120, check=False)
        self.assertEqual((process.returncode, process.stderr), (0, ""))
        return process.stdout

    def echoes(self):
        return len(self.api.seen("POST", "/v1/models/test/echo/predictions"))

    def copy(self, *names):
        """A folder with copies of replicate.py under these names."""
        context = temporary_folder()
        folder = context.__enter__()
        self.addCleanup(context.__exit__, None, None, None)
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(replicate.__file__, str(folder / name))
        return folder

    def test_a_vendored_copy_is_imported_relatively(self):
        folder = self.copy("mypkg/_vendor/replicate.py")
        for name in ("mypkg/_vendor/__init__.py", "mypkg/__init__.py"):
            (folder / name).write_text("", encoding="utf-8")
        (folder / "mypkg" / "job.py").write_text(
            "import sys\nfrom ._vendor import replicate\nfrom ._vendor.replicate.exceptions import ModelError\n"
            + HELLO_AND_ERROR.format("replicate")
            + "print(ModelError is replicate.ModelError, 'replicate' in sys.modules, ModelError.__module__)\n",
            encoding="utf-8")
        self.assertEqual(self.python(folder, "-m", "mypkg.job").splitlines(),
                         ["True failed", "True False mypkg._vendor.replicate"])
        self.assertEqual(self.echoes(), 1)

    def test_it_runs_from_a_zip(self):
        folder = self.copy()
        with zipfile.ZipFile(str(folder / "app.zip"), "w") as app:
            app.write(replicate.__file__, "replicate.py")
            app.writestr("__main__.py", "import replicate\n" + HELLO_AND_ERROR.format("replicate")
                         + "print(len(replicate.__file__.split('app.zip')))")
        self.assertEqual(self.python(folder, "app.zip").splitlines(), ["True failed", "2"])
        self.assertEqual(self.echoes(), 1)

    def test_two_renamed_copies_live_in_one_process(self):
        folder = self.copy("one.py", "two.py")
        code = ("import pickle, one, two\n" + HELLO_AND_ERROR.format("one") + HELLO_AND_ERROR.format("two") + """
assert one.ModelError is not two.ModelError and not issubclass(two.ReplicateError, one.ReplicateError)
assert one.default_client is not two.default_client and one.exceptions.ModelError is one.ModelError
prediction = two.predictions.create(model="test/echo", input={"text": "x"})
assert type(pickle.loads(pickle.dumps(prediction))) is two.Prediction
assert one.run("test/echo", input=dict(file=two.FileOutput("https://example.com/a.png")))["file"].endswith("/a.png")
""")
        self.assertEqual(self.python(folder, "-c", code).splitlines(), ["True failed"] * 2)
        self.assertEqual(self.echoes(), 4)

    def test_it_needs_neither_home_nor_a_place_to_write(self):
        folder = self.copy("lib/replicate.py")
        code = """
import os, sys
written = []
def watch(event, arguments):
    if event == "open":  # PyPy tells no true flags where there is a mode
        mode, flags = arguments[1:3]
        if set(mode) & set("wax+") if mode else flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            written.append(arguments[0])
    elif event in ("os.mkdir", "os.rename", "os.remove", "tempfile.mkstemp", "tempfile.mkdtemp"):
        written.append(event)
sys.addaudithook(watch)
import io, replicate
""" + HELLO_AND_ERROR.format("replicate") + """
assert len(replicate.run("test/files", input={"files": [b"small", io.BytesIO(b"x" * 300000)]})) == 2
print([path for path in written if path != os.devnull])
"""
        (folder / "lib").chmod(0o555)
        self.addCleanup((folder / "lib").chmod, 0o755)
        nowhere = {"TMPDIR": str(folder / "none"), "TEMP": str(folder / "none"), "TMP": str(folder / "none")}
        self.assertEqual(self.python(folder / "lib", "-c", code, **nowhere).splitlines(), ["True failed", "[]"])
        self.assertEqual(os.listdir(str(folder / "lib")), ["replicate.py"])
        self.assertEqual((self.echoes(), len(self.api.seen("POST", "/v1/files"))), (1, 1))

    def test_an_isolated_python_that_takes_warnings_for_errors_has_nothing_to_say(self):
        folder = self.copy("replicate.py")
        code = ("import sys; sys.path.insert(0, sys.argv[1])\nimport replicate\n" + HELLO_AND_ERROR.format("replicate")
                + """
print("".join(map(str, replicate.stream("meta/llama-tiny", input={"prompt": "x"})))[:3])
print(next(replicate.run("replicate/slow-words:" + replicate.models.get("replicate/slow-words").latest_version.id,
                         input={"prompt": "x"})))
print(list(replicate.map("test/echo", [{"n": 1}, {"n": 2}])))
""")
        lines = self.python(folder, "-I", "-S", "-W", "error", "-X", "dev", "-c", code, str(folder)).splitlines()
        self.assertEqual(lines, ["True failed", "Hel", "Hel", "[{'n': 1}, {'n': 2}]"])
        self.assertEqual(self.echoes(), 3)

    def test_without_ssl_only_https_is_refused(self):
        code = "import sys\nsys.modules['ssl'] = sys.modules['_ssl'] = None\nimport replicate\n"
        code += HELLO_AND_ERROR.format("replicate") + """
try:
    replicate.Client("token", base_url="https://127.0.0.1:1", proxies={}).models.get("a/b")
except replicate.ReplicateError as error:
    print(error)
"""
        lines = self.python(self.copy("replicate.py"), "-c", code).splitlines()
        self.assertEqual(lines[0], "True failed")
        self.assertRegex(lines[1], "(?i)ssl")
        self.assertEqual(self.echoes(), 1)

    def test_without_zlib_nothing_is_asked_for_in_compressed_form(self):
        packed = Reply(body=gzip.compress(b"[]"), headers={"Content-Encoding": "gzip"})
        self.api.answer("GET", "/v1/hardware", packed, times=False)
        code = "import sys\nsys.modules['zlib'] = None\nimport replicate\n" + HELLO_AND_ERROR.format("replicate") + """
print(len(replicate.models.list()))
try:
    replicate.Client(max_retries=0).hardware.list()
except replicate.ReplicateError as error:
    print(error)
"""
        lines = self.python(self.copy("replicate.py"), "-c", code).splitlines()
        self.assertEqual((lines[0], int(lines[1]) > 0), ("True failed", True))
        self.assertRegex(lines[2], "(?i)gzip|zlib|compress")
        asked = [seen.headers.get("Accept-Encoding") or "" for seen in self.api.requests]
        self.assertTrue(asked and not any("gzip" in words for words in asked), asked)


# ---------------------------------------------------------------------------------------------
# Tests: What a review found
# ---------------------------------------------------------------------------------------------

class GivenUpInTime(Case):
    """Promise 3 at the pace of the real API, where a creation may be held for a minute."""

    def setUp(self):
        super().setUp()
        self.api.close()
        self.api = StandIn(speed=1)
        self.api.start()
        self.addCleanup(self.api.close)
        self.client = replicate.Client(api_token=self.api.token, base_url=self.api.url, proxies={})

    def test_a_cancelled_task_cancels_its_run_within_seconds_though_creations_may_be_held_for_a_minute(self):
        async def leave():
            task = asyncio.ensure_future(self.client.async_run("test/slow", {"seconds": 60}))
            while not self.api.creations:
                await asyncio.sleep(0.02)
            task.cancel()
            await asyncio.wait([task])
            self.assertTrue(task.cancelled())
        began = time.monotonic()
        asyncio.run(leave())
        self.assertLess(time.monotonic() - began, 12)
        (made,) = self.api.creations
        self.assertEqual(self.api.predictions[made]["status"], "canceled")
        self.assertEqual(len(self.api.seen("POST", r"/v1/predictions/[^/]+/cancel")), 1)

    def test_an_explicit_hold_is_kept_in_async_calls_too(self):
        asyncio.run(self.client.async_run("test/echo", {"text": "x"}, wait=7))
        self.assertEqual(self.api.seen("POST")[0].headers.get("Prefer"), "wait=7")


class OutputsThatChange(Case):
    def items_of(self, *outputs):
        """What output_iterator() yields for a run whose output is each of these in turn, the last one at its end."""
        prediction = self.client.predictions.create(model="test/slow", input={"seconds": 1e6})
        states = [dict(self.api.predictions[prediction.id], output=output, status="processing") for output in outputs]
        states.append(dict(states.pop(), status="succeeded"))
        self.turn_clock()
        self.api.answer("GET", "/v1/predictions/" + prediction.id, *[Reply(json=state) for state in states])
        return list(prediction.output_iterator())

    def test_nothing_that_was_paid_for_is_lost_when_an_output_changes_its_shape(self):
        url = "https://x.test/f.png"
        cases = [(("a", "abc"), ["a", "bc"]), ((["a"], ["a", "b"]), ["a", "b"]), (("", url), [url]), ((None, 5), [5]),
                 (([], {"a": 1}), [{"a": 1}]), (("Loading", "The answer"), ["Loading", "The answer"]),
                 ((["a"], "ab"), ["a", "ab"]), (("abc", ["x", "y"]), ["abc", "x", "y"]), ((["a", "b"], ["a"]), ["a", "b"])]
        for outputs, expected in cases:
            with self.subTest(outputs):
                self.assertEqual(self.items_of(*outputs), expected)


class SmallPrint(Case):
    def test_a_post_without_a_body_says_that_it_has_none(self):
        self.client.predictions.create(model="test/slow", input={"seconds": 1e6}).cancel()
        self.assertEqual(self.api.seen("POST", ".*/cancel")[0].headers.get("Content-Length"), "0")

    def test_a_host_that_could_be_read_as_another_is_not_opened(self):
        for host in ("evil.test%3a443%20HTTP%2f1.1%0d%0aX%3a%20y%5d.replicate.com", "a b.replicate.com",
                     "evil.test%2f.replicate.com"):
            with self.subTest(host), self.assertRaisesRegex(replicate.ReplicateError, "will not open|no host"):
                replicate.FileOutput(f"https://{host}/x", self.client).read()

    def test_a_cancel_that_is_answered_with_nothing_loses_no_prediction(self):
        self.api.answer("POST", ".*/cancel", Reply(json={}))
        with self.assertRaises(replicate.PredictionTimeout) as caught:
            self.client.run("test/slow", {"seconds": 1e6}, wait=False, timeout=0.5)
        self.assertEqual(caught.exception.prediction.id, self.api.creations[-1])

    def test_a_host_with_dead_addresses_first_is_reached_within_the_time(self):
        host, port = self.api.url[7:].split(":")
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 9))] * 3
        found.append((socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, int(port))))
        with mock.patch.object(socket, "getaddrinfo", return_value=found):
            self.assertEqual(self.client.accounts.current().username, "acme")

    def test_a_malformed_token_stands_in_clear_in_no_frame_of_ours(self):
        asked = replicate.Client(base_url=self.api.url).accounts.current
        for make in (lambda: replicate.Client(api_token="r8_secret part"), asked):
            with mock.patch.dict(os.environ, REPLICATE_API_TOKEN="r8_secret part"):
                try:
                    make()
                except (ValueError, replicate.ReplicateError) as error:
                    frames = traceback.TracebackException.from_exception(error, capture_locals=True).stack
                    ours = [frame for frame in frames if frame.filename == replicate.__file__]
                    self.assertTrue(ours)
                    shown = [(frame.name, name) for frame in ours for name, value in (frame.locals or {}).items()
                             if "r8_secret" in value and name != "api_token"]  # the caller's own argument
                    self.assertEqual(shown, [])
                else:
                    self.fail("it was taken")

    def test_errors_of_search_and_names_say_what_is_right(self):
        with self.assertRaisesRegex(ValueError, "'owner/name'.*'a'"):
            self.client.models.get("a")
        with self.assertRaisesRegex(TypeError, "nothing"):
            self.client.predictions.get()
        self.assertEqual(self.api.seen(), [])

    def test_cancel_after_is_refused_where_nothing_would_keep_it(self):
        with self.assertRaisesRegex(ValueError, "timeout="):
            self.client.run(self.api.url, {"text": "x"}, cancel_after="5m")
        self.assertEqual(self.api.seen(), [])

    def test_an_output_that_holds_no_file_is_the_same_list_at_each_access(self):
        prediction = replicate.Prediction({"id": "x", "status": "succeeded", "output": ["a", "b"]})
        self.assertIs(prediction.output, prediction.output)

    @unittest.skipUnless(hasattr(os, "mkfifo"), "needs named pipes")
    def test_saving_to_what_is_no_file_writes_into_it_and_puts_nothing_in_its_place(self):
        with tempfile.TemporaryDirectory() as folder:
            link = pathlib.Path(folder, "null")
            link.symlink_to(os.devnull)
            replicate.FileOutput("data:,hello").save(link)
            self.assertTrue(link.is_symlink())
            self.assertFalse(pathlib.Path(os.devnull).is_file())

    def test_too_long_a_name_is_one_of_our_errors(self):
        with tempfile.TemporaryDirectory() as folder, self.assertRaises(replicate.ReplicateError):
            replicate.FileOutput("data:,x").save(os.path.join(folder, "a" * 300))

    def test_a_command_line_without_standard_streams_ends_as_usual(self):
        with mock.patch.object(sys, "stdin", None), mock.patch.object(sys, "stderr", None), \
                mock.patch.dict(os.environ, REPLICATE_API_TOKEN=self.api.token, REPLICATE_BASE_URL=self.api.url):
            self.assertEqual(replicate.main(["run", "test/echo", "x=@-", "-o", os.devnull]), 0)
            for stream in (sys.stdin, sys.stderr):
                stream.close()


# ---------------------------------------------------------------------------------------------
# Tests: The README, the package, the source
# ---------------------------------------------------------------------------------------------

HERE = os.path.dirname(os.path.abspath(__file__))
MODULE = os.path.abspath(replicate.__file__)

# What mypy --strict and pyright check, as a program that somebody would write; a test runs it as well.
TYPED_USER_CODE = '''\

import asyncio
import pathlib
from typing import Dict, List, Optional

import replicate
from replicate import Client, FileOutput, ModelError, Page, Prediction, PredictionTimeout, ReplicateError, Version


def greet(client: Client, name: str) -> str:
    try:
        return str(client.run("replicate/hello-world", input={"text": name}, wait=5, timeout=60.0))
    except (ModelError, PredictionTimeout) as error:
        return f"{error.prediction}: {error}"
    except ReplicateError as error:
        status: Optional[int] = error.status
        return f"{status} {error.detail}"


def follow(version: Version) -> Optional[str]:
    prediction: Prediction = replicate.predictions.create(version=version, input={"text": "Alice"}, cancel_after="5m")
    prediction.wait(timeout=60)
    prediction.reload()
    fields: Dict[str, object] = dict(prediction)
    assert fields["id"] == prediction.id
    return prediction.status


def names(pages: int) -> List[str]:
    found: List[str] = []
    for page in replicate.paginate(replicate.models.list):
        found.extend(model.id for model in page.results)
        pages -= 1
        if not pages:
            break
    return found


def saved(output: FileOutput) -> pathlib.Path:
    assert output.url == output and sum(map(len, output.iter_bytes())) == len(output.read())
    path: pathlib.Path = output.save("typed.png")
    return path


async def several(prompts: List[str]) -> List[object]:
    async for event in replicate.async_stream("replicate/hello-world", input={"text": "x"}):
        print(event.event, event.data, end="")
    runs = [replicate.async_run("replicate/hello-world", {"text": text}) for text in prompts]
    outputs: List[object] = await asyncio.gather(*runs)
    return outputs


greeting = greet(Client(timeout=30, max_retries=2, headers={"X-App": "typed"}), "Alice")
model = replicate.models.get("replicate/hello-world")
page: Page = replicate.predictions.list()
state = follow(model.versions.list()[0])
greetings = list(replicate.map("replicate/hello-world", ({"text": name} for name in "AB"), concurrency=2))
picture = saved(replicate.run("black-forest-labs/flux-schnell", input={"prompt": "a fox"})[0])
together = asyncio.run(several(["C", "D"]))
first = names(pages=1)
exit_code: int = replicate.main(["account", "get"])
'''


def text_of(name):
    with open(os.path.join(HERE, name), encoding="utf-8", newline="") as file:
        return file.read()


def readme_blocks():
    """The fenced blocks of README.md: (line number, heading above it, language, text)."""
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


def readme_models():
    """The models that the README names, and the stand-in has not: they answer at once, as those would in time."""
    text, uri = {"type": "string"}, {"type": "string", "format": "uri"}

    def picture(name, field="prompt"):
        def plan(given, base, api):
            count = given.get("num_outputs", 1)
            files = {name.format(n): png(8, 8, str(given[field]) + str(n)) for n in range(count)}
            urls = [f"{base}/{file}" for file in files]
            return Plan(urls if "{" in name else urls[0], files=files)
        return plan

    def clipdraw(given, base, api):  # 100 s to start and 200 to run, which nobody waits for: see the leaps
        return Plan(base + "/out-0.png", start=100 * api.speed, seconds=200 * api.speed, logs=bars(10),
                    files={"out-0.png": png(8, 8, given["prompt"])})

    def versioned(name, identity, plan, inputs, output, cog="0.16.7"):
        return Model(name, plan, schema(inputs, output), {}, versions=[(identity, cog)], age=40)

    prompt, image = {"prompt": text}, {"image": uri}
    several = dict(prompt, num_outputs={"type": "integer", "minimum": 1, "maximum": 4, "default": 1})
    train = dict(several, input_images=uri, token_string=text, max_train_steps={"type": "integer"})
    return [
        Model("black-forest-labs/flux-schnell", picture("out-{}.webp"), schema(several, FILES, ["prompt"]), {},
              official=True),
        Model("meta/meta-llama-3-70b-instruct", lambda given, base, api: Plan(items=["Soft wool", ", soft", " steps"]),
              schema(prompt, ITERATOR, ["prompt"]), {}, official=True, streams=True),
        Model("stability-ai/stable-diffusion-3",
              lambda given, base, api: Plan(logs=["CUDA out of memory\n"], error="CUDA out of memory"),
              schema(prompt, FILES), {}, official=True),
        versioned("andreasjansson/blip-2", "f677695e5e89f8b236e52ecd1d3f01beb44c34606419bcc19345e046d8f786f9",
                  lambda given, base, api: Plan("an astronaut riding a horse"), image, text),
        versioned("stability-ai/stable-diffusion", "27b93a2413e7f36cd83da926f3656280b2931564ff050bf9575f1fdf9bcd7478",
                  picture("out-{}.png"), several, FILES),
        versioned("stability-ai/sdxl", "39ed52f2a78e934b3ba6e2a89f5b1c712de7dfea535525255b1aa35c5565e08b",
                  picture("out-{}.png"), train, FILES),
        versioned("kvfrans/clipdraw", "5797a99edc939ea0e9242d5e8c9cb3bc7d125b1eac21bda852e5cb79ede2cd9b", clipdraw,
                  prompt, FILE),
        versioned("ai-forever/kandinsky-2.2", "ea1addaab376f4dc227f5368bbd8eff901820fd1cc14ed8cad63b29249e9d463",
                  picture("out.png"), prompt, FILE),
        versioned("afiaka87/laionide-v4", "b21cbe271e65c1718f2999b038c18b45e21e4fba961181fbfae9342fc53b9e05",
                  picture("out.png"), prompt, FILE),
        versioned("jingyunliang/swinir", "660d922d33153019e8c263a3bba265de882e7f4f70396546b6c9c8f9d47a021a",
                  picture("out.png", "image"), image, FILE),
        versioned("pixray/text2image", "5c347a4bfa1d4523a58ae614c2194e15f2ae682b57e3797a5bb468920aa70ebf", plan_pixray,
                  {"prompts": text}, FILES, cog="0.3.2"),
    ]


def run_python(code, *options):
    """What a fresh interpreter prints for it."""
    environment = dict(os.environ, PYTHONPATH=os.path.dirname(MODULE), PYTHONIOENCODING="utf-8")
    done = subprocess.run([sys.executable, *options, "-c", textwrap.dedent(code)], env=environment,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, timeout=60)
    return done.stdout.decode("utf-8")


@unittest.skipUnless(os.path.exists(os.path.join(HERE, "README.md")), "README.md is not beside this file")
class Readme(Case):
    """The manual is true: its blocks run, and what it says can be counted."""

    def setUp(self):
        super().setUp()
        self.api.catalogue.update((model.id, model) for model in readme_models())
        self.api.cog.predict = lambda given: "hello " + given["text"]
        self.api.cog.schema = schema({"text": {"type": "string"}}, {"type": "string", "title": "Output"}, ["text"])
        self.api.cog.streaming = False
        self.api.answer("POST", "/your-webhook", Reply(), times=False)
        self.leap_at_every_poll(160)
        os.environ.update(REPLICATE_API_TOKEN=self.api.token, REPLICATE_BASE_URL=self.api.url, NO_PROXY="127.0.0.1",
                          REPLICATE_POLL_INTERVAL="0.02", SOME_OTHER_REPLICATE_API_TOKEN=self.api.token,
                          REPLICATE_WEBHOOK_SECRET=self.api.webhook_secret)
        self.folder = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, self.folder, ignore_errors=True)
        self.addCleanup(os.chdir, os.getcwd())
        os.chdir(self.folder)
        with open("mystery.jpg", "wb") as file:
            file.write(b"\xff\xd8\xff\xe0" + bytes(60))

    def leap_at_every_poll(self, seconds):
        """Let time leap whenever a prediction is fetched: what is 'starting' or 'processing' hangs on no real time."""
        leaps, fetch = [], self.api.predictions_get
        self.api.clock = lambda: time.monotonic() + len(leaps) * seconds

        def leap_and_fetch(seen, identity):
            leaps.append(identity)
            return fetch(seen, identity)
        self.api.predictions_get = leap_and_fetch

    def as_here(self, text):
        """A block as it runs here. Two addresses are others: that of a Cog server and that of a webhook."""
        return text.replace("http://127.0.0.1:5000", self.api.url).replace("https://example.com/your-webhook",
                                                                            self.api.url + "/your-webhook")

    def as_written(self, text):
        """What a block printed as the README has it, where files are at Replicate's."""
        return text.replace(self.api.url + "/files-out/", "https://replicate.delivery/")

    def run_block(self, line, text, names):
        """Run one Python block; a session is compared with what it shows."""
        where = f"README.md, line {line}"
        if not text.startswith(">>>"):
            printed = io.StringIO()
            with contextlib.redirect_stdout(printed):
                exec(compile("\n" * line + self.as_here(text), "README.md", "exec"), names)
            return printed.getvalue()
        session = doctest.DocTestParser().get_doctest(self.as_here(text), {}, where, "README.md", line)
        session.globs = names
        self.assertTrue(session.examples, where)
        checker, written = doctest.OutputChecker(), self.as_written

        class Checker(doctest.OutputChecker):
            def check_output(self, want, got, flags):
                return checker.check_output(want, written(got), flags)
        report = []
        runner = doctest.DocTestRunner(Checker(), verbose=False, optionflags=doctest.ELLIPSIS)
        failed = runner.run(session, out=report.append, clear_globs=False).failed
        self.assertFalse(failed, "".join(report))
        return None

    def test_every_python_block_runs_as_it_stands_and_shows_what_it_prints(self):
        pillow = types.ModuleType("PIL")
        pillow.Image = types.SimpleNamespace(open=lambda file: self.assertEqual(file.read(4), b"\x89PNG"))
        sections, blocks = {}, 0
        with mock.patch.dict(sys.modules, PIL=pillow):
            for line, heading, language, text in readme_blocks():
                if language == "python":  # a section can be read alone, so its blocks share names with no other's
                    with self.subTest(section=heading, line=line):
                        self.run_block(line, text, sections.setdefault(heading, {"__name__": "__main__"}))
                    blocks += 1
        self.assertGreaterEqual(blocks, 25)
        for name in "output_0.webp file_0.png file_2.png out-0.png my_output.png large.png output.png".split():
            with open(name, "rb") as file:
                self.assertTrue(file.read().startswith(b"\x89PNG"), name)
        with self.subTest("what the server received"):
            ran = {state["model"] for state in self.api.predictions.values()}
            self.assertEqual({model.id for model in readme_models()} - ran, set())
            self.assertEqual([state["status"] for state in self.api.trainings.values()], ["succeeded"])
            self.assertEqual(self.api.running(), [])
            self.assertEqual(len(self.api.seen("PUT", "/predictions/[^/]+")), 1, "one run of the model on Cog")
            self.assertIn("acme", {seen.path.split("/")[3] for seen in self.api.seen("POST", "/v1/deployments/.*")})
        with self.subTest("the webhook came, and its receiver knows it from a forged one"):
            until = time.monotonic() + 20
            while not self.api.seen("POST", "/your-webhook") and time.monotonic() < until:
                time.sleep(0.01)
            self.receive(sections["Webhooks"]["handler"], self.api.seen("POST", "/your-webhook")[0])
        with self.subTest("the WSGI application sends the file as it is"):
            started = []
            body = sections["Files out"]["application"]({}, lambda *head: started.append(head))
            self.assertTrue(b"".join(body).startswith(b"\x89PNG"))
            self.assertEqual(started, [("200 OK", [("Content-Type", "image/webp")])])

    def receive(self, handler, seen):
        """Hand a delivery to the README's Lambda handler as a function URL would, and then a forged one."""
        headers = {name.lower(): value for name, value in seen.headers.items()}
        encoded = base64.b64encode(seen.body).decode("ascii")
        for event, status in (({"body": encoded, "isBase64Encoded": True}, 200),
                              ({"body": seen.body.decode("utf-8"), "isBase64Encoded": False}, 200),
                              ({"body": seen.body.decode("utf-8") + " "}, 401), ({}, 401)):
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                self.assertEqual(handler(dict(event, headers=headers), None)["statusCode"], status)
            self.assertEqual("succeeded" in printed.getvalue(), status == 200)

    @unittest.skipIf(os.name == "nt" or not shutil.which("sh"), "the commands are written for a POSIX shell")
    def test_every_command_shown_with_its_output_prints_that(self):
        shutil.copy(MODULE, "replicate.py")
        shutil.copy(os.path.abspath(__file__), "test_replicate.py")
        env = dict(os.environ, PYTHON=sys.executable, PYTHONIOENCODING="utf-8", PYTHONDONTWRITEBYTECODE="1")
        checker, commands = doctest.OutputChecker(), 0
        for line, _, language, text in readme_blocks():
            if language != "console":
                continue
            shown = [part.partition("\n") for part in ("\n" + text).split("\n$ ")[1:]]
            script = 'python() { "$PYTHON" "$@"; }\n' + "".join(
                f"echo '#next#'\n{command}\n" for command, _, _ in shown)
            done = subprocess.run(["sh", "-c", script], env=env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                  stderr=subprocess.STDOUT, check=False, timeout=120)
            printed = self.as_written(done.stdout.decode("utf-8")).split("#next#\n")[1:]
            self.assertEqual(len(printed), len(shown), done.stdout)
            for (command, _, want), got in zip(shown, printed):
                with self.subTest(command=command, line=line):
                    commands += 1
                    fits = checker.check_output(want.rstrip("\n") + "\n", got, doctest.ELLIPSIS)
                    self.assertTrue(fits, f"the README shows\n{want}\nand it printed\n{got}")
        self.assertGreaterEqual(commands, 7)
        self.assertTrue(os.path.exists(os.path.join("pictures", "out-1.webp")))
        greeted = [state["input"]["text"] for state in self.api.predictions.values() if "text" in state["input"]]
        self.assertEqual(sorted(greeted), ["Alice", "Alice", "Bob"])

    def test_it_opens_with_a_session_and_every_block_is_of_a_kind_that_is_run(self):
        lines = text_of("README.md").splitlines()
        self.assertIn(">>> replicate.run(", "\n".join(lines[:10]))
        blocks = list(readme_blocks())
        self.assertGreater(len(blocks), 30)
        self.assertEqual({language for _, _, language, _ in blocks} - {"python", "console", "sh", "text"}, set())
        self.assertEqual([heading for _, heading, language, _ in blocks if language == "text"], ["Speed"])

    @unittest.skipUnless(os.path.exists(os.path.join(HERE, ".ci", "run")), ".ci/run is not beside this file")
    def test_the_commands_for_developers_are_those_that_ci_runs(self):
        script = text_of(os.path.join(".ci", "run"))
        commands = [command for _, heading, language, text in readme_blocks() for command in text.splitlines()
                    if (heading, language) == ("Develop", "sh")]
        self.assertIn("bash .ci/run", commands)
        for command in commands:
            self.assertIn(command.replace("python ", "").replace("bash ", ""), script)
        self.assertIn("REPLICATE_SOAK=20000", script)
        self.assertIn("20,000 requests", readme_section("Develop"))

    def test_every_link_within_it_leads_to_a_heading(self):
        text = text_of("README.md")
        headings = {re.sub(r"[^\w -]", "", line[3:].lower()).replace(" ", "-") for line in text.splitlines()
                    if line.startswith("## ")}
        links = set(re.findall(r"\]\(#([^)]+)\)", text))
        self.assertGreater(len(links), 15)
        self.assertEqual(links - headings, set())
        self.assertEqual(headings - links, set(), "every section is in the list at the top")

    def test_its_tables_and_lists_name_what_there_is(self):
        tables = {heading: readme_section(heading) for heading in ("Run a model", "Errors", "Security", "Command line")}
        options = [name for name, parameter in inspect.signature(replicate.run).parameters.items()
                   if parameter.kind is parameter.KEYWORD_ONLY]
        errors = [name for name, thing in vars(replicate).items() if inspect.isclass(thing)
                  and issubclass(thing, replicate.ReplicateError) and not name.startswith("_")
                  and thing.__name__ == name]
        variables = [node.value for node in ast.walk(ast.parse(text_of_module())) if isinstance(node, ast.Constant)
                     and isinstance(node.value, str) and re.fullmatch("REPLICATE_[A-Z_]+", node.value)]
        for heading, words in (("Run a model", options), ("Errors", errors), ("Security", variables),
                               ("Command line", ["0", "1", "2", "3", "130"])):
            self.assertTrue(words, heading)
            for word in words:
                with self.subTest(section=heading, word=word):
                    self.assertRegex(tables[heading], r"\b" + re.escape(word) + r"\b")

    def test_it_says_how_long_the_file_is_and_which_pythons_it_is_for(self):
        text = text_of("README.md")
        most = int(re.search(r"under ([\d,]+) lines", text).group(1).replace(",", ""))
        self.assertLess(len(text_of_module().splitlines()), most)
        self.assertIn("needs Python 3.8 or later", text)
        self.assertNotIn(replicate.__version__, text, "it would go stale")

    def test_the_speed_table_has_the_rows_that_bench_prints(self):
        table = next(text for _, heading, language, text in readme_blocks() if language == "text").splitlines()
        rows = [re.split(r" {2,}", row)[0] for row in table[1:]]
        self.assertGreaterEqual(len(rows), 3)
        for row in rows:
            self.assertIn(row, inspect.getsource(_measure))

    def test_the_program_that_the_type_checkers_read_also_runs(self):
        names = {"__name__": "typed_sample"}
        with contextlib.redirect_stdout(io.StringIO()) as printed:
            exec(compile(TYPED_USER_CODE, "typed_sample.py", "exec"), names)
        self.assertEqual([names[name] for name in ("greeting", "state", "greetings", "together", "exit_code")],
                         ["hello Alice", "succeeded", ["hello A", "hello B"], ["hello C", "hello D"], 0])
        self.assertEqual((names["picture"].name, len(names["first"])), ("typed.png", self.api.page_size))
        self.assertIn('"username": "acme"', printed.getvalue())


def text_of_module():
    with open(MODULE, encoding="utf-8") as file:
        return file.read()


class Source(unittest.TestCase):
    """What a reviewer would look for in replicate.py."""

    def public_classes(self):
        return {name: thing for name, thing in vars(replicate).items() if inspect.isclass(thing)
                and thing.__module__ == replicate.__name__ and not name.startswith("_")}

    def test_the_contents_of_the_docstring_are_the_banners(self):
        contents = " ".join(replicate.__doc__.partition("Contents:")[2].split())
        titles = [title.strip(" .") for title in re.split(r", | - |; ", contents)]
        lines = text_of_module().splitlines()
        banners = [lines[number][2:] for number in range(1, len(lines) - 1)
                   if re.fullmatch("# -{20,}", lines[number - 1]) and re.fullmatch("# -{20,}", lines[number + 1])]
        self.assertGreater(len(banners), 8)
        self.assertEqual(titles, banners)

    def test_all_names_what_is_promised_and_nothing_that_is_not_there(self):
        promised = ("run stream map use search paginate async_run async_stream main Client default_client models "
                    "predictions trainings deployments files collections hardware accounts account webhooks Prediction "
                    "Model Version Training Deployment File Page FileOutput ServerSentEvent ReplicateError "
                    "ReplicateException APIError NetworkError ModelError PredictionTimeout WebhookError").split()
        self.assertEqual(set(promised) - set(replicate.__all__), set())
        self.assertEqual(len(replicate.__all__), len(set(replicate.__all__)))
        names = {}
        exec("from replicate import *", names)
        self.assertEqual(set(names) - {"__builtins__"}, set(replicate.__all__))
        self.assertEqual([name for name in replicate.__all__ if name.startswith("_")], [])

    def test_every_public_name_class_and_method_has_a_docstring(self):
        bare = [name for name in replicate.__all__ if not inspect.getdoc(getattr(replicate, name))]
        classes = self.public_classes()
        self.assertGreater(len(classes), 20)
        for name, kind in classes.items():
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
        self.assertEqual([name for name in replicate.__all__ if name not in manual], [])
        self.assertEqual(re.findall(r"^    class _.*", manual, re.MULTILINE), [])
        self.assertIn(" ".join(replicate.__doc__.split())[:60], " ".join(manual.split()))

    @unittest.skipIf(sys.version_info < (3, 11), "the list of standard modules is that of Python 3.11, for tomllib")
    def test_both_files_import_the_standard_library_alone(self):
        for path, ours in ((MODULE, set()), (os.path.abspath(__file__), {"replicate"})):
            with open(path, encoding="utf-8") as file:
                tree = ast.parse(file.read())
            imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
            imported |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
            self.assertIn("json", imported)
            self.assertEqual({name.partition(".")[0] for name in imported} - sys.stdlib_module_names - ours, set())

    def test_it_evaluates_and_executes_nothing(self):
        tree = ast.parse(text_of_module())
        called = {node.func.id for node in ast.walk(tree)
                  if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)}
        self.assertIn("len", called)
        self.assertEqual(called & {"eval", "exec", "compile", "__import__"}, set())
        self.assertNotRegex(text_of_module(), r"import (subprocess|pickle|marshal|ctypes)|os\.(system|popen|exec)")

    def test_importing_it_loads_little_more_than_urllib_and_json(self):
        printed = run_python("""
            import json, sys, urllib.request
            before = set(sys.modules)
            import replicate
            print(" ".join(name for name in set(sys.modules) - before))
            """, "-S")
        loaded = {name for name in printed.split() if name.partition(".")[0] != "replicate"}
        self.assertIn("replicate", printed.split())
        allowed = {"__future__", "atexit", "contextvars", "_contextvars", "_immutables_map", "threading"}
        self.assertEqual(loaded - allowed, set())

    def test_importing_it_opens_no_file_and_no_socket_and_starts_nothing(self):
        printed = run_python("""
            import sys
            seen = []
            def note(event, arguments):
                path = str(arguments[0]) if arguments else ""
                loads = event == "open" and path.endswith((".py", ".pyc", ".so", ".pyd", ".dll", ".zip", ".cfg"))
                if not loads and (event == "open" or event.startswith(("socket.", "subprocess.", "urllib.", "os."))) \\
                        and event not in ("os.listdir", "os.scandir", "os.stat"):
                    seen.append((event, path))
            sys.addaudithook(note)
            import replicate, threading
            print(seen, threading.active_count())
            try:
                open("no-such-file")
            except OSError:
                print(seen)
            """, "-B", "-S")
        self.assertEqual(printed.splitlines(), ["[] 1", "[('open', 'no-such-file')]"])

    def test_the_version_stands_in_one_place_and_the_header_repeats_it(self):
        self.assertRegex(replicate.__version__, r"^\d+\.\d+\.\d+$")
        text = text_of_module()
        self.assertEqual(len(re.findall(r"^__version__ = ", text, re.MULTILINE)), 1)
        self.assertEqual(re.findall(r"\d+\.\d+\.\d+", replicate.__doc__), [replicate.__version__])
        self.assertEqual(text.count(replicate.__version__), 2)

    def test_the_licence_stands_in_the_first_line_where_a_copy_keeps_it(self):
        self.assertTrue(text_of_module().startswith("# SPDX-License-Identifier: MIT\n"))

    @unittest.skipUnless(importlib.util.find_spec("tomllib") and os.path.exists(os.path.join(HERE, "pyproject.toml")),
                         "tomllib came with Python 3.11")
    def test_pyproject_builds_one_module_without_dependencies(self):
        import tomllib
        data = tomllib.loads(text_of("pyproject.toml"))
        project = data["project"]
        self.assertEqual((project["name"], project["dependencies"]), ("replicate-onefile", []))
        self.assertEqual((project["requires-python"], project["scripts"]), (">=3.8", {"replicate": "replicate:main"}))
        self.assertIn("version", project["dynamic"])
        self.assertNotIn("optional-dependencies", project)
        self.assertNotIn(replicate.__version__, re.sub(r"==[\w.]+", "", text_of("pyproject.toml")))
        pins = data["dependency-groups"]["dev"]
        self.assertGreater(len(pins), 5)
        self.assertEqual([pin for pin in pins if not re.fullmatch(r"[\w-]+==[\w.]+", pin)], [])
        self.assertEqual(data["build-system"]["requires"], [pin for pin in pins if pin.startswith("hatchling")])


# This block stays the last of the file: test classes go above it.
if __name__ == "__main__":
    sys.exit(command_line(sys.argv[1:]))
