#!/usr/bin/env python3
"""Properties that hold for any input, tried by hypothesis against public names.

    python .ci/fuzz.py [--examples 100] [--random]

The same examples each time, or with --random others each time. Needs `hypothesis`, and
`replicate.py` in the current directory. A failure prints the smallest example.
"""

import argparse
import base64
import email.parser
import email.policy
import hashlib
import hmac
import json
import os
import re
import socket
import sys
import threading
import time
import urllib.parse

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

sys.path.insert(0, os.getcwd())
import replicate  # noqa: E402


class Server:
    """Answers each request with the bytes in `pieces`, and keeps what was asked."""

    def __init__(self):
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}"
        self.pieces = []  # or a function of the request's first line
        self.asked = []
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            connection = self.listener.accept()[0]
            threading.Thread(target=self.talk, args=(connection,), daemon=True).start()

    def talk(self, connection):
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            file = connection.makefile("rb")
            first = file.readline()
            head = []
            while head[-1:] not in ([b"\r\n"], [b""]):
                head.append(file.readline())
            lengths = [line for line in head if line.lower().startswith(b"content-len")]
            body = file.read(int(lengths[0].split(b":")[1])) if lengths else b""
            self.asked.append((first, head, body))
            pieces = self.pieces(first) if callable(self.pieces) else self.pieces
            for piece in pieces:
                try:
                    connection.sendall(piece)
                except OSError:
                    return


SERVER = Server()
CLIENT = replicate.Client(
    "r8_fuzz", base_url=SERVER.url, proxies={}, max_retries=0, timeout=5
)


def whole(data, status="200 OK"):
    body = json.dumps(data).encode()
    head = "HTTP/1.1 %s\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
    return (head % (status, len(body))).encode() + body


def split(data, cuts):
    """The data in pieces, cut at some places."""
    places = sorted({0, len(data), *(cut % (len(data) + 1) for cut in cuts)})
    return [data[start:end] for start, end in zip(places, places[1:])]


KEYS = st.binary(min_size=1, max_size=40)
PLAIN = st.text(st.characters(exclude_categories=["Cs"]), max_size=80)


@given(KEYS, st.binary(min_size=1, max_size=200), st.data())
def only_a_signed_delivery_is_genuine(key, body, data):
    secret = "whsec_" + base64.b64encode(key).decode()
    stamp = str(int(time.time()))
    mac = hmac.new(key, b"msg_1." + stamp.encode() + b"." + body, hashlib.sha256)
    headers = {
        "webhook-id": "msg_1",
        "webhook-timestamp": stamp,
        "webhook-signature": "v1," + base64.b64encode(mac.digest()).decode(),
    }
    validate = replicate.webhooks.validate
    assert validate(headers=headers, body=body, secret=secret)
    place = data.draw(st.integers(0, len(body) - 1))
    other = body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]
    forged = dict(headers)
    name = data.draw(st.sampled_from(sorted(headers)))
    forged[name] = data.draw(PLAIN)
    for headers_now, body_now in ((headers, other), (forged, body)):
        try:
            validate(headers=headers_now, body=body_now, secret=secret)
        except replicate.WebhookError:
            continue
        assert headers_now[name].split() == headers[name].split()


ADDRESS = st.from_regex(r"(?i)https?://[a-z0-9.:\[\]@?#/\\%_ -]{0,40}", fullmatch=True)


@given(st.one_of(ADDRESS, PLAIN))
def an_address_is_refused_or_means_what_others_take_it_for(text):
    try:
        client = replicate.Client("r8_fuzz", base_url=text)
    except ValueError:
        return
    told = urllib.parse.urlsplit(client.base_url)
    asked = urllib.parse.urlsplit(text.strip())
    assert (told.username, told.password, told.query, told.fragment) == (
        None,
        None,
        "",
        "",
    )
    assert told.scheme == asked.scheme
    host = (asked.hostname or "").encode("idna").decode()
    assert told.hostname == host, (told, asked)
    usual = {"http": 80, "https": 443}[told.scheme]
    assert (told.port or usual) == (asked.port or usual)


@given(st.one_of(ADDRESS, PLAIN))
def a_file_of_an_output_is_a_whole_address(text):
    output = replicate.helpers.transform_output(text)
    assert output == text
    if isinstance(output, replicate.FileOutput) and text[:5].lower() != "data:":
        parts = urllib.parse.urlsplit(text)
        assert parts.scheme in ("http", "https") and parts.netloc
        assert not re.search(r"\s", text)


@given(
    st.binary(max_size=3000),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=60),
    st.dictionaries(PLAIN, PLAIN, max_size=3),
)
def an_upload_is_what_a_mail_parser_reads(content, name, metadata):
    SERVER.pieces = [whole({"id": "f1", "urls": {"get": "http://x/f1"}})]
    SERVER.asked.clear()
    CLIENT.files.create(content, filename=name, metadata=metadata)
    [(_, head, body)] = SERVER.asked
    [kind] = [line for line in head if line.lower().startswith(b"content-type")]
    message = email.parser.BytesParser(policy=email.policy.HTTP).parsebytes(
        kind + b"\r\n" + body
    )
    # The content itself: the parser turns line ends of some kinds into others.
    boundary = message.get_boundary().encode()
    first = body.split(b"--" + boundary)[1]
    assert first.partition(b"\r\n\r\n")[2] == content + b"\r\n"
    parts = {part.get_param("name", header="content-disposition"): part
             for part in message.iter_parts()}  # fmt: skip
    assert set(parts) == {"content", "filename", "type", "metadata"}
    told = parts["metadata"].get_payload(decode=True).decode("utf-8")
    assert json.loads(told) == metadata


LINE = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n\0"))
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["output", "logs", "tomorrow"]),
        st.lists(LINE, min_size=1, max_size=3),
        st.sampled_from(["\n", "\r\n", "\r"]),
    ),
    max_size=6,
)


@given(EVENTS, st.lists(st.integers(0, 10**6), max_size=8))
def events_are_the_same_however_they_are_cut(events, cuts):
    lines = []
    for number, (kind, data, end) in enumerate(events):
        fields = [
            f"event: {kind}",
            f"id: {number}",
            *(f"data: {line}" for line in data),
        ]
        lines.append(end.join([*fields, "", ""]))
    lines.append("event: done\ndata: {}\n\n")
    stream = "".join(lines).encode()
    run = {"id": "p1", "status": "starting", "urls": {"stream": SERVER.url + "/stream"}}

    def pieces(first):
        if b"/stream" not in first:
            return [whole(run, "201 Created")]
        head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
        head += b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
        chunks = [b"%x\r\n%s\r\n" % (len(part), part) for part in split(stream, cuts)]
        return [head, *chunks, b"0\r\n\r\n"]

    SERVER.pieces = pieces
    got = [(e.event, e.data) for e in CLIENT.stream("a/b", use_file_output=False)]
    assert got == [(kind, "\n".join(data)) for kind, data, _ in events] + [
        ("done", "{}")
    ]


HEADS = st.sampled_from(
    [
        b"",
        b"HTTP/1.1 200 OK\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 503 Slow\r\nRetry-After: ",
        b"HTTP/1.1 302 There\r\nLocation: ",
        b"HTTP/1.1 100 Go on\r\n\r\n",
        b"HTTP/1.1 500 No\r\nContent-Type: application/json\r\n\r\n{",
    ]
)


@given(HEADS, st.binary(max_size=300), st.lists(st.integers(0, 999), max_size=4))
def whatever_a_server_says_is_an_answer_or_our_own_error(head, rest, cuts):
    SERVER.pieces = split(head + rest, cuts)
    for call in (CLIENT.predictions.get, CLIENT.predictions.create):
        SERVER.asked.clear()
        try:
            call("a" * 64)
        except replicate.ReplicateError as error:
            assert "r8_fuzz" not in str(error)
        assert len(SERVER.asked) == 1 or SERVER.asked[0][0].startswith(b"GET")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--random", action="store_true")
    asked = parser.parse_args()
    profile = settings(
        max_examples=asked.examples,
        derandomize=not asked.random,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, Phase.shrink],
    )
    for check in [
        only_a_signed_delivery_is_genuine,
        an_address_is_refused_or_means_what_others_take_it_for,
        a_file_of_an_output_is_a_whole_address,
        an_upload_is_what_a_mail_parser_reads,
        events_are_the_same_however_they_are_cut,
        whatever_a_server_says_is_an_answer_or_our_own_error,
    ]:
        began = time.monotonic()
        profile(check)()
        print(f"{check.__name__}: well, {time.monotonic() - began:.1f} s", flush=True)


if __name__ == "__main__":
    main()
