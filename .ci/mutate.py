#!/usr/bin/env python3
"""Mutation testing: would the tests notice a fault in replicate.py?

    python .ci/mutate.py [--seed N] [--mutants 300] [--rooms Running,Wire]

Chooses lines of the named rooms by a seed, puts one fault into each (a comparison,
a condition, a number, a returned value, a call left out), and runs the tests that reach
the line, quickest first, until one fails; where none does in its own process, those
that start others. Prints the seed, the mutants that nothing
noticed, and the percentage that was noticed; exit code 1 below --least percent. Needs
`coverage`; the tests must pass before. --jobs mutants are tried at a time (two for each
core by default, as tests mostly wait).
"""

import argparse
import ast
import collections
import concurrent.futures
import contextlib
import json
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

ROOMS = "Running,Batches,Inputs,Transport,Wire"
SWAPPED = {
    ast.Eq: ("==", "!="),
    ast.NotEq: ("!=", "=="),
    ast.Lt: ("<", "<="),
    ast.LtE: ("<=", "<"),
    ast.Gt: (">", ">="),
    ast.GtE: (">=", ">"),
    ast.Is: ("is", "is not"),
    ast.IsNot: ("is not", "is"),
    ast.In: ("in", "not in"),
    ast.NotIn: ("not in", "in"),
    ast.And: ("and", "or"),
    ast.Or: ("or", "and"),
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "/"),
    ast.Div: ("/", "*"),
}
Mutant = collections.namedtuple("Mutant", "line kind start end text")


class Source:
    """replicate.py: its rooms, and what could be wrong in each."""

    def __init__(self, text):
        self.data = text.encode("utf-8")
        self.lines = text.splitlines()
        self.starts = [0]
        for line in self.data.splitlines(keepends=True):
            self.starts.append(self.starts[-1] + len(line))
        self.tree = ast.parse(text)

    def rooms(self):
        """The title of each banner, and the lines that it stands over."""
        rule = re.compile("# -{60,}$")
        banners = [
            (number, self.lines[number][2:])
            for number in range(1, len(self.lines) - 1)
            if rule.match(self.lines[number - 1]) and rule.match(self.lines[number + 1])
        ]
        ends = [number for number, _ in banners[1:]] + [len(self.lines)]
        return {title: range(start, end) for (start, title), end in zip(banners, ends)}

    def at(self, node):
        """Where a node begins and ends, in bytes."""
        start = self.starts[node.lineno - 1] + node.col_offset
        return start, self.starts[node.end_lineno - 1] + node.end_col_offset

    def between(self, left, operator, right):
        """A fault in the operator between two nodes."""
        old, new = SWAPPED[type(operator)]
        start, end = self.at(left)[1], self.at(right)[0]
        found = re.search(
            rb"(?<![\w<>=!])" + old.replace(" ", r"\s+").encode() + rb"(?![\w=])",
            re.sub(rb"#[^\n]*", lambda gap: b" " * len(gap[0]), self.data[start:end]),
        )
        if found:
            place = start + found.start(), start + found.end()
            yield Mutant(left.end_lineno, f"{old} is {new}", *place, new)

    def replaced(self, node, kind, text):
        yield Mutant(node.lineno, kind, *self.at(node), text)

    def faults(self):
        skipped = set()
        for node in ast.walk(self.tree):
            if node in skipped:
                skipped.update(ast.iter_child_nodes(node))
                continue
            for name in ("annotation", "returns"):  # types are the checkers' business
                if getattr(node, name, None):
                    skipped.add(getattr(node, name))
            if isinstance(node, ast.arguments):  # each call of ours gives these
                skipped.update(filter(None, node.defaults + node.kw_defaults))
            skipped.update(getattr(node, "decorator_list", ()))
            if isinstance(node, ast.FunctionDef) and node.name == "__repr__":
                skipped.update(ast.iter_child_nodes(node))
            method = getattr(self, "of_" + type(node).__name__.lower(), None)
            if method:
                yield from method(node)

    def of_compare(self, node):
        operands = [node.left, *node.comparators]
        for left, operator, right in zip(operands, node.ops, operands[1:]):
            if type(operator) in SWAPPED:
                yield from self.between(left, operator, right)

    def of_boolop(self, node):
        for left, right in zip(node.values, node.values[1:]):
            yield from self.between(left, node.op, right)

    def of_binop(self, node):
        texts = [node.left, node.right]
        text = any(
            isinstance(getattr(each, "value", 0), (str, bytes)) for each in texts
        )
        if type(node.op) in SWAPPED and not text:
            yield from self.between(node.left, node.op, node.right)

    def of_unaryop(self, node):
        if isinstance(node.op, ast.Not):
            inner = ast.get_source_segment(self.data.decode(), node.operand)
            yield from self.replaced(node, "not is left out", f"({inner})")

    def of_constant(self, node):
        if isinstance(node.value, bool):
            yield from self.replaced(node, f"{node.value} is not", str(not node.value))
        elif isinstance(node.value, (int, float)):
            new = repr(node.value + 1)
            yield from self.replaced(node, f"{node.value} is {new}", new)

    def of_if(self, node):
        for value in ("True", "False"):
            yield from self.replaced(node.test, f"if is {value}", value)

    def of_ifexp(self, node):
        yield from self.of_if(node)

    def of_return(self, node):
        if node.value and getattr(node.value, "value", 0) is not None:
            yield from self.replaced(node.value, "None is returned", "None")

    def of_expr(self, node):
        called = node.value
        called = called.value if isinstance(called, ast.Await) else called
        if isinstance(called, ast.Call):
            name = getattr(called.func, "id", getattr(called.func, "attr", ""))
            if not name.startswith("_log"):
                yield from self.replaced(node, f"{name}() is left out", "None")

    def of_raise(self, node):
        yield from self.replaced(node, "nothing is raised", "pass")

    def of_break(self, node):
        yield from self.replaced(node, "break is continue", "continue")

    def of_continue(self, node):
        yield from self.replaced(node, "continue is break", "break")

    def of_augassign(self, node):
        yield from self.replaced(node, "assignment is left out", "pass")

    def with_fault(self, mutant):
        return (
            self.data[: mutant.start] + mutant.text.encode() + self.data[mutant.end :]
        )


# --------------------------------------------------------------------------------------
# In a process of its own: which test reaches which line, and how long it takes
# --------------------------------------------------------------------------------------


class Result(unittest.TestResult):
    def __init__(self, coverage):
        super().__init__()
        self.coverage, self.seconds, self.starts = coverage, {}, set()
        self.running = None  # the test's id
        sys.addaudithook(self.hook)

    def hook(self, event, args):
        """Note the tests that start processes, whose lines are not seen here."""
        if event == "subprocess.Popen" and self.running:
            self.starts.add(self.running)

    def startTest(self, test):
        super().startTest(test)
        self.coverage.switch_context(test.id())
        self.running = test.id()
        self.seconds[test.id()] = -time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        self.seconds[test.id()] += time.monotonic()
        self.coverage.switch_context("")


def trace(path):
    import coverage

    options = {"data_file": None, "config_file": False}
    tracer = coverage.Coverage(include=["replicate.py"], **options)
    tracer.start()
    sys.path.insert(0, "")
    tests = unittest.defaultTestLoader.loadTestsFromName("test_replicate")
    result = Result(tracer)
    tests.run(result)
    tracer.stop()
    bad = [f"{test.id()}\n{text}" for test, text in result.failures + result.errors]
    data = tracer.get_data()
    (file,) = data.measured_files()
    contexts = data.contexts_by_lineno(file)
    reached = {line: list(filter(None, tests)) for line, tests in contexts.items()}
    known = {"reached": reached, "seconds": result.seconds, "bad": bad}
    known["starts"] = sorted(result.starts)
    pathlib.Path(path).write_text(json.dumps(known), encoding="utf-8")


# --------------------------------------------------------------------------------------
# One mutant
# --------------------------------------------------------------------------------------


def limit():
    resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 30, 1 << 30))
    resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
    os.nice(5)


def notices(folder, source, mutant, tests, seconds):
    """Whether one of the tests fails, or does not end, with a fault in the module."""
    place = pathlib.Path(tempfile.mkdtemp(dir=folder))
    try:
        shutil.copytree(pathlib.Path(folder) / "clone", place / "clone")
        (place / "clone" / "replicate.py").write_bytes(source.with_fault(mutant))
        (place / "tmp").mkdir()
        process = subprocess.Popen(
            [sys.executable, "-m", "unittest", "-f", *tests],
            cwd=place / "clone",
            env=dict(os.environ, TMPDIR=str(place / "tmp")),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=limit,
        )
        try:
            return process.wait(30 + 3 * seconds) != 0
        except subprocess.TimeoutExpired:
            return True
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
    finally:
        shutil.rmtree(place, ignore_errors=True)


def chosen(source, options):
    """The mutants: one a line, each line as probable as any other."""
    rooms, lines = source.rooms(), collections.defaultdict(list)
    names = options.rooms.split(",")
    for name in names:
        if not any(title.startswith(name) for title in rooms):
            sys.exit(f"there is no room {name!r}, but {', '.join(rooms)}")
    for mutant in source.faults():
        for title, numbers in rooms.items():
            if title.startswith(tuple(names)) and mutant.line in numbers:
                lines[mutant.line].append(mutant)
    chance = random.Random(options.seed)
    picked = chance.sample(sorted(lines), min(options.mutants, len(lines)))
    mutants = [chance.choice(lines[line]) for line in picked]
    return [each for each in mutants if compiles(source.with_fault(each))]


def compiles(data):
    try:
        compile(data, "replicate.py", "exec")
    except SyntaxError:
        return False
    return True


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 16))
    parser.add_argument("--mutants", type=int, default=300)
    parser.add_argument("--rooms", default=ROOMS)
    parser.add_argument("--jobs", type=int, default=2 * os.cpu_count())
    parser.add_argument("--least", type=float, default=90.0)
    parser.add_argument("--folder", help="for what it writes; a new one by default")
    parser.add_argument("--trace", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.trace:
        return trace(options.trace)
    here = pathlib.Path(__file__).resolve().parent.parent
    folder = options.folder or tempfile.mkdtemp(prefix="mutants-")
    try:
        return measure(options, here, pathlib.Path(folder))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measure(options, here, folder):
    began = time.monotonic()
    print(f"seed {options.seed}", flush=True)
    clone = folder / "clone"
    clone.mkdir(parents=True)
    for path in here.iterdir():
        if path.suffix in (".py", ".md", ".toml"):
            shutil.copy(path, clone)
    command = [sys.executable, __file__, "--trace", str(folder / "traced")]
    subprocess.run(command, cwd=clone, check=True, stdin=subprocess.DEVNULL)
    known = json.loads((folder / "traced").read_text(encoding="utf-8"))
    if known["bad"]:
        sys.exit("the tests fail as it is:\n" + "\n".join(known["bad"]))
    shutil.rmtree(clone / "__pycache__", ignore_errors=True)
    source = Source((clone / "replicate.py").read_text(encoding="utf-8"))
    mutants = chosen(source, options)
    print(f"the tests pass; {len(mutants)} mutants", flush=True)

    def judge(mutant):
        tests = known["reached"].get(str(mutant.line), []) or known["starts"]
        tests.sort(key=known["seconds"].__getitem__)
        seconds = sum(map(known["seconds"].__getitem__, tests))
        return bool(tests) and notices(folder, source, mutant, tests, seconds)

    with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
        noticed = list(pool.map(judge, mutants))
    survivors = sorted(each for each, dead in zip(mutants, noticed) if not dead)
    for mutant in survivors:
        tests = len(known["reached"].get(str(mutant.line), []))
        line = source.lines[mutant.line - 1].strip()
        print(f"replicate.py:{mutant.line}: {mutant.kind} ({tests} tests): {line}")
    percent = 100 * sum(noticed) / len(mutants)
    seconds = time.monotonic() - began
    print(
        f"{sum(noticed)} of {len(mutants)} mutants noticed, {percent:.1f} %, with seed"
        f" {options.seed}, in {seconds:.0f} s; {options.least:g} % are asked for"
    )
    return percent < options.least


if __name__ == "__main__":
    sys.exit(main())
