#!/usr/bin/env python3
"""What scripts cost Redis, in instructions: the same in each run, however busy the machine is.

    bench/instructions.py [--each 1500] [CASE ...]

A private redis-server runs under callgrind. Each case is sent in pipelines of 32 to its unix socket after as many to warm it up;
the figure is instructions a command (of locks: a pair, taken and given back), and its ratio to EVALSHA of one INCR. They are of user space alone:
what the kernel does for a read or a write, which pipelines share, is not in them. Scripts of others stand beside ours.
"""
import argparse
import glob
import itertools
import os
import re
import subprocess
import sys

import scripts
import support
from scripts import encode

PIPELINE = 32

# Of redlock 5.0.0-beta.2 for Node (src/index.ts), which a pair of it runs.
REDLOCK_ACQUIRE = """
for i, key in ipairs(KEYS) do
  if redis.call("exists", key) == 1 then return 0 end
end
for i, key in ipairs(KEYS) do redis.call("set", key, ARGV[1], "PX", ARGV[2]) end
return #KEYS
"""
REDLOCK_RELEASE = """
local count = 0
for i, key in ipairs(KEYS) do
  if redis.call("get", key) == ARGV[1] then
    redis.pcall("del", key)
    count = count + 1
  end
end
return count
"""


class Server(scripts.Server):
    """One whose instructions are counted."""

    def __init__(self):
        self.out = os.path.join(support.directory(), "callgrind.out")
        super().__init__("valgrind", "--tool=callgrind", f"--callgrind-out-file={self.out}")

    def control(self, what):
        subprocess.run(["callgrind_control", what, str(self.process.pid)], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)

    def counted(self):
        self.control("--dump")
        newest = max(glob.glob(self.out + ".*"), key=lambda name: int(name.rsplit(".", 1)[1]))
        with open(newest) as f:
            return int(re.search(r"^(?:totals|summary): (\d+)", f.read(), re.M)[1])

    def exchange(self, commands):
        """The replies, each as its bytes."""
        one = self.sockets[0]
        one.sendall(b"".join(commands) + encode("PING"))
        answer = b""
        while not answer.endswith(b"+PONG\r\n"):
            answer += one.recv(1 << 20)
        if b"\r\n-" in answer or answer.startswith(b"-"):
            raise SystemExit(f"redis: {answer[:200].decode()}")
        return answer[:-7]

    def instructions(self, run, each):
        """A command of `run(count)`; what the server does at rest, and the last PING of a pipeline, is a share of it."""
        self.ask("FLUSHALL")
        run(each)
        self.control("--zero")
        run(each)
        return self.counted() / each


def stream(server, make):
    numbers = itertools.count()
    def run(count):
        for _ in range(0, count, PIPELINE):
            server.exchange([make(next(numbers) % 1000) for _ in range(PIPELINE)])
    return run


def pairs(server, take, give):
    """Taken by `take(number)`, and given back by `give(number, reply)`."""
    numbers = itertools.count()
    def run(count):
        for _ in range(0, count, PIPELINE):
            chosen = [next(numbers) % 1000 for _ in range(PIPELINE)]
            replies = server.exchange([take(i) for i in chosen])
            each = re.findall(rb":\d+\r\n|\+OK\r\n", replies)
            server.exchange([give(i, reply) for i, reply in zip(chosen, each, strict=True)])
    return run


def lock_pairs(server):
    acquire, release = (server.load(scripts.source(f"lock_{name}.lua")) for name in ("acquire", "release"))
    who, begin = b"host.example:12345", ("1700000000000000", "lock:#")
    def number(value, size):
        return value.to_bytes(size, "big")
    def call(script, i, *arguments):
        name = b"lock:session/%08d" % i
        keys = [name + part for part in (b"", b"#queue", b"#gone", b"#alive")]
        return encode("EVALSHA", script, 5, b"lock:#fence", *keys, *begin, *arguments)
    def take(i):
        return call(acquire, i, b"%032x 1 " % i, 30_000, who, number(1, 4) + number(0, 4))
    def give(i, reply):
        return call(release, i, b"%032x 1 %s 30000 %s" % (i, reply[1:-2], who), number(1, 4) + number(0, 5) + number(0, 1))
    return pairs(server, take, give)


def cases(server):
    def bare(acquire, release):
        acquire, release = server.load(acquire), server.load(release)
        return pairs(server, lambda i: encode("EVALSHA", acquire, 1, b"bare%08d" % i, b"%032x" % i, 30_000),
                     lambda i, _: encode("EVALSHA", release, 1, b"bare%08d" % i, b"%032x" % i))
    def plain():
        return pairs(server, lambda i: encode("SET", b"plain%08d" % i, b"%032x" % i, "NX", "PX", 30_000),
                     lambda i, _: encode("DEL", b"plain%08d" % i))
    locks = {
        "lock: a pair of Weir": lambda: lock_pairs(server),
        "lock: of redlock's scripts": lambda: bare(REDLOCK_ACQUIRE, REDLOCK_RELEASE),
        "lock: of empty scripts": lambda: bare("return 1", "return 1"),
        "lock: of SET NX PX and DEL": plain,
    }
    return locks | {name: lambda make=make: stream(server, make)
                    for name, (make, _, _) in scripts.cases(server).items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--each", type=int, default=1536)
    parser.add_argument("--part", action="append", default=[], help="also this Lua text, with a key and '1' as arguments")
    parser.add_argument("cases", nargs="*", help="what their names begin with")
    args = parser.parse_args()

    server = Server()
    increment = server.load(scripts.INCREMENT)
    base = server.instructions(stream(server, lambda i: encode("EVALSHA", increment, 1, b"i%012d" % i)), args.each)
    rows = [["EVALSHA of one INCR", f"{base:.0f}", "1.00"]]
    known = cases(server)
    for name, make in known.items():
        if not args.cases and not args.part or any(name.startswith(each) for each in args.cases):
            count = max(args.each // 8, PIPELINE) if name.startswith("32") else args.each
            cost = server.instructions(make(), count) / (32 if name.startswith("32") else 1)
            rows.append([name, f"{cost:.0f}", f"{cost / base:.2f}"])
    for text in args.part:
        part = server.load(text)
        cost = server.instructions(stream(server, lambda i: encode("EVALSHA", part, 1, b"p%012d" % i, "1")), args.each)
        rows.append([text, f"{cost:.0f}", f"{cost / base:.2f}"])
    support.table(["", "instructions", "ratio"], rows)


if __name__ == "__main__":
    sys.exit(main())
