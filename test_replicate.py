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
import base64
import calendar
import gzip
import hashlib
import hmac
import http.client
import json
import os
import re
import selectors
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time
import unittest
import zlib
from unittest import mock
from urllib.parse import parse_qs, unquote, unquote_to_bytes, urlencode, urlsplit

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


# This block stays the last of the file: test classes go above it.
if __name__ == "__main__":
    sys.exit(command_line(sys.argv[1:]))
