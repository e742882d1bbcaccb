#!/usr/bin/env python3
"""Tests against real Cog servers, which .ci/run starts.

Their addresses are in COG_TEXT, COG_FILES and COG_SLOW. write_predictors() writes the
models that they serve.
"""

import asyncio
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

import replicate
from replicate import APIError, Client, FileOutput, ModelError, PredictionTimeout
from test_replicate import COG_TEXT, DOCUMENT, FILE, ITERATOR, Case, schema

PREDICTORS = {
    "text": (
        """\
from cog import BasePredictor


class Predictor(BasePredictor):
    def predict(self, text: str, times: int = 1, fail: bool = False) -> str:
        print("asked for", text)
        if fail:
            raise ValueError("boom")
        return "hello " + text * times
""",
        schema(
            {
                "text": {"type": "string"},
                "times": {"type": "integer", "default": 1, "minimum": 1, "maximum": 10},
                "fail": {"type": "boolean", "default": False},
            },
            COG_TEXT,
            ["text"],
        ),
    ),
    "files": (
        """\
import tempfile

from cog import BasePredictor, Path


class Predictor(BasePredictor):
    def predict(self, document: Path) -> Path:
        target = Path(tempfile.mkdtemp()) / "shout.txt"
        target.write_bytes(document.read_bytes().upper())
        return target
""",
        schema(DOCUMENT, FILE, ["document"]),
    ),
    "slow": (
        """\
import time

from cog import BasePredictor, ConcatenateIterator


class Predictor(BasePredictor):
    def setup(self):
        time.sleep(1)

    def predict(
        self, prompt: str, tokens: int = 3, pause: float = 0.1
    ) -> ConcatenateIterator[str]:
        for number in range(tokens):
            time.sleep(pause)
            yield f"{prompt} {number}\\n"
""",
        schema(
            {
                "prompt": {"type": "string"},
                "tokens": {"type": "integer", "default": 3},
                "pause": {"type": "number", "default": 0.1},
            },
            ITERATOR,
            ["prompt"],
            streaming=True,
        ),
    ),
}


def write_predictors(folder):
    """Write the models that RealCog runs, with the schemas of `cog build`."""
    for name, (code, openapi) in PREDICTORS.items():
        target = pathlib.Path(folder, name)
        (target / ".cog").mkdir(parents=True, exist_ok=True)
        (target / "predict.py").write_text(code, encoding="utf-8")
        (target / ".cog" / "openapi_schema.json").write_text(
            json.dumps(openapi), encoding="utf-8"
        )


class RealCog(Case):
    """Real servers at COG_TEXT, COG_FILES and COG_SLOW; .ci/run starts them."""

    def setUp(self):
        super().setUp()
        self.text, self.files, self.slow = (
            os.environ[name] for name in ("COG_TEXT", "COG_FILES", "COG_SLOW")
        )
        self.client = Client(proxies={}, poll_interval=0.05)
        self.long = {"prompt": "x", "tokens": 1000, "pause": 0.1}

    def assert_free_again(self):
        """The slot is free long before the long run's 100 s: it was cancelled."""
        self.assertEqual(
            list(self.client.run(self.slow, {"prompt": "y", "tokens": 1}, timeout=30)),
            ["y 0\n"],
        )

    def test_text_in_and_text_out_in_every_way(self):
        given = {"text": "Ann", "times": 2}
        self.assertEqual(self.client.run(self.text, given), "hello AnnAnn")
        self.assertEqual(self.client.use(self.text)(**given), "hello AnnAnn")
        self.assertEqual(
            asyncio.run(self.client.async_run(self.text, given)), "hello AnnAnn"
        )
        self.assertEqual(
            list(
                self.client.map(
                    self.text, [{"text": str(n)} for n in range(6)], concurrency=3
                )
            ),
            [f"hello {n}" for n in range(6)],
        )

    def test_a_model_that_does_not_stream_is_run_plainly(self):
        self.assertEqual(
            "".join(map(str, self.client.stream(self.text, {"text": "Ann"}))),
            "hello Ann",
        )

    def test_a_failed_run_is_a_model_error(self):
        with self.assertRaisesRegex(ModelError, "boom") as caught:
            self.client.run(self.text, {"text": "Ann", "fail": True})
        self.assertEqual(caught.exception.prediction.status, "failed")

    def test_wrong_inputs_are_told_by_name(self):
        with self.assertRaisesRegex(APIError, "times.*integer") as caught:
            self.client.run(self.text, {"text": "Ann", "times": "many"})
        self.assertEqual(caught.exception.status, 422)
        with self.assertRaisesRegex(ValueError, "tmies.*times"):
            self.client.run(self.text, {"text": "Ann", "tmies": 1})

    def test_files_in_and_out(self):
        for content in (b"a short note", bytes(range(256)) * 2000):
            output = self.client.run(self.files, {"document": content})
            self.assertIsInstance(output, FileOutput)
            self.assertEqual(output.read(), content.upper())

    def test_tokens_arrive_while_the_model_runs(self):
        items = self.client.run(self.slow, {"prompt": "x", "tokens": 4, "pause": 0.5})
        self.assertEqual(next(items), "x 0\n")
        began = time.monotonic()
        self.assertEqual(list(items), ["x 1\n", "x 2\n", "x 3\n"])
        self.assertGreater(time.monotonic() - began, 0.7, "they came one by one")
        events = [
            (event.event, str(event))
            for event in self.client.stream(self.slow, {"prompt": "y", "tokens": 2})
        ]
        self.assertEqual(
            [text for kind, text in events if kind == "output"], ["y 0\n", "y 1\n"]
        )
        self.assertEqual(events[-1][0], "done")

    def test_a_busy_server_is_waited_for(self):
        outputs = self.client.map(
            self.slow, [{"prompt": "x"}, {"prompt": "y"}], concurrency=2
        )
        self.assertEqual([output[0] for output in outputs], ["x 0\n", "y 0\n"])

    def test_a_timeout_or_a_closed_iterator_cancels_the_run(self):
        with self.assertRaises(PredictionTimeout):
            list(self.client.run(self.slow, self.long, timeout=1))
        self.assert_free_again()
        events = self.client.stream(self.slow, self.long)
        self.assertIn(str(next(events)), ("", "x 0\n"))
        events.close()
        self.assert_free_again()

    @unittest.skipIf(os.name == "nt", "needs POSIX signals")
    def test_ctrl_c_at_the_command_line_cancels_the_run(self):
        command = [
            sys.executable,
            replicate.__file__,
            "run",
            self.slow,
            "prompt=x",
            "tokens=1000",
        ]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
        ) as process:
            self.assertEqual(process.stdout.readline(), "x 0\n")
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=30)
        self.assertEqual(process.returncode, 130)
        self.assert_free_again()
