#!/usr/bin/env python3
"""What one decision costs Redis: server CPU of the scripts in lua/, as ratios to EVALSHA of one INCR.

    bench/scripts.py [--rounds 7] [--keys 100000] [CASE ...]

A private redis-server is fed pipelines of 32 commands over 16 connections to its unix socket; its CPU time is read
around slices of the cases taken in turn, and the figures are the least of the rounds: whatever else the machine does only ever adds to it.
"""
import argparse
import hashlib
import math
import os
import random
import re
import socket
import sys

import support

PIPELINE, CONNECTIONS = 32, 16
SLICE = 20_000
INCREMENT = "return redis.call('INCR',KEYS[1])"


def encode(*arguments):
    parts = [a if isinstance(a, bytes) else str(a).encode() for a in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


def source(name):
    """A script of lua/ with what it includes."""
    folder = os.path.join(support.ROOT, "lua")
    with open(os.path.join(folder, name)) as f:
        text = f.read()
    return re.sub("-- include (.*)\n", lambda m: open(os.path.join(folder, m[1])).read(), text)


class Server:
    def __init__(self, *under, connections=CONNECTIONS):
        self.process, path = support.redis_server(*under)
        self.sockets = [socket.socket(socket.AF_UNIX) for _ in range(connections)]
        for each in self.sockets:
            each.connect(path)

    def ask(self, *arguments):
        self.sockets[0].sendall(encode(*arguments))
        answer = self.sockets[0].recv(1 << 20)
        if answer.startswith(b"-"):
            raise SystemExit(f"redis: {answer.decode()}")
        return answer

    def load(self, text):
        self.ask("SCRIPT", "LOAD", text)
        return hashlib.sha1(text.encode()).hexdigest()

    def spend(self, make, operations, keys):
        """Microseconds of CPU a command for `operations` commands made by `make(number of a key)`."""
        batches = [b"".join(make(random.randrange(keys)) for _ in range(PIPELINE)) + encode("PING")
                   for _ in range(operations // PIPELINE)]
        before = support.cpu_seconds(self.process.pid)
        for i in range(0, len(batches), len(self.sockets)):
            now = list(zip(self.sockets, batches[i:i + len(self.sockets)]))
            for each, batch in now:
                each.sendall(batch)
            for each, _ in now:
                answer = b""
                while not answer.endswith(b"+PONG\r\n"):
                    answer += each.recv(1 << 20)
                if answer.startswith(b"-"):
                    raise SystemExit(f"redis: {answer[:200].decode()}")
        return (support.cpu_seconds(self.process.pid) - before) / (len(batches) * PIPELINE) * 1e6


def rule(limit, window, cost=1, identity=7, key=1):
    """One rule as check_request::encode writes it; see lua/rate_check.lua."""
    log = limit <= 128
    kind = 1 if log else 34 if limit < 1 << 16 else 36 if limit < 1 << 32 else 38
    unit = -(-window // (1 << 29)) if log else window // 40
    return pack(kind, limit, window, unit, 0, cost, identity, key)


def bucket(limit, window, cost=1, identity=7, key=1):
    common = math.gcd(limit, window)
    return pack(2, limit, window // common, 1, limit // common, cost, identity, key)


def fixed(limit, window, cost=1, identity=7, key=1):
    return pack(3, limit, window, window, 0, cost, identity, key)


def pack(kind, limit, window, unit, rate, cost, identity, key):
    fields = (1, key), (1, kind), (1, 0), (4, identity), (6, limit), (6, window), (6, unit), (6, rate), (7, cost)
    return b"".join(value.to_bytes(size, "big") for size, value in fields)


def one_a_key(rule, keys):
    """The argument of a call that decides by one rule for each of its keys, as check_batch::encode writes it."""
    return rule + bytes(range(2, keys + 1))


def cases(server):
    """name -> (command for the number of a key, number of keys, budget or None)"""
    check = server.load(source("rate_check.lua"))
    one = server.load("return 1")
    second = 1_000_000

    def limit(prefix, *rules):
        return lambda i: encode("EVALSHA", check, 1, b"rate:%s%08d:e" % (prefix, i), b"".join(rules))

    def batch(prefix, rule):
        """32 decisions on as many keys in one call."""
        def make(i):
            keys = [b"rate:%s%08d:e" % (prefix, (i * 32 + j) % 100_000) for j in range(32)]
            return encode("EVALSHA", check, 32, *keys, one_a_key(rule, 32))
        return make

    def hot_batch(prefix, rule):
        """32 decisions on one key in one call."""
        return lambda i: encode("EVALSHA", check, 1, b"rate:%s:e" % prefix, rule + bytes([1]) * 31)

    def three(i):
        return encode("EVALSHA", check, 3, b"rate:t%08d:e" % i, b"rate:*:u%08d" % i, b"rate:t%08d:*" % i,
                      rule(100, 60 * second, 1, 1, 1) + rule(1000, 60 * second, 1, 2, 2) +
                      rule(10 ** 6, 60 * second, 1, 3, 3))

    return {
        "PING": (lambda i: encode("PING"), 1, None),
        "return 1": (lambda i: encode("EVALSHA", one, 0), 1, None),
        "log, new key each": (limit(b"a", rule(100, second)), 10 ** 8, 2.5),
        "log, 100 a minute": (limit(b"l", rule(100, 60 * second)), None, 2.5),
        "log, hot key": (limit(b"h", rule(100, 1000)), 1, 2.5),
        "counters, many keys": (limit(b"c", rule(10 ** 6, 60 * second)), None, 2.2),
        "counters, hot key": (limit(b"d", rule(10 ** 9, 60 * second)), 1, 2.2),
        "counters, hot, 1 s": (limit(b"s", rule(10 ** 9, second)), 1, 2.2),
        "token bucket, many keys": (limit(b"b", bucket(10 ** 6, 60 * second)), None, 1.75),
        "token bucket, hot key": (limit(b"B", bucket(10 ** 9, 60 * second)), 1, 1.75),
        "fixed window, many keys": (limit(b"f", fixed(10 ** 6, 60 * second)), None, None),
        "32 a call, counters": (batch(b"x", rule(10 ** 6, 60 * second)), None, 1.2),
        "32 a call, logs": (batch(b"y", rule(100, 60 * second)), None, None),
        "32 a call, buckets": (batch(b"z", bucket(10 ** 6, 60 * second)), None, None),
        "32 a call, one hot key": (hot_batch(b"w", rule(10 ** 9, 60 * second)), None, None),
        "refusal": (limit(b"r", rule(1, 3600 * second)), 1000, 2.0),
        "refusal, full log": (limit(b"R", rule(100, 3600 * second)), 100, 2.0),
        "three rules, three keys": (three, None, 4.0),
        "three rules, one key": (limit(b"k", rule(100, 60 * second, identity=1),
                                       rule(1000, 60 * second, identity=2),
                                       rule(10 ** 6, 60 * second, identity=3)), None, 4.0),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("cases", nargs="*")
    args = parser.parse_args()

    server = Server()
    increment = server.load(INCREMENT)
    base = lambda i: encode("EVALSHA", increment, 1, b"i%012d" % i)
    known = cases(server)
    if unknown := [each for each in args.cases if each not in known]:
        raise SystemExit(f"no such case: {', '.join(unknown)}; there are: {', '.join(known)}")
    chosen = {name: known[name] for name in args.cases or known}
    decisions = {name: 32 if name.startswith("32 a call") else 1 for name in chosen}
    for make, keys, _ in chosen.values():
        server.spend(make, SLICE, keys or args.keys)
    server.spend(base, SLICE, args.keys)

    least, spent = float("inf"), {name: [] for name in chosen}
    for _ in range(args.rounds):
        for name, (make, keys, _) in chosen.items():
            least = min(least, server.spend(base, SLICE, args.keys))
            spent[name].append(server.spend(make, SLICE // decisions[name], keys or args.keys) / decisions[name])
    print(f"server CPU a decision; base: EVALSHA of one INCR on {args.keys} keys, {least:.2f} us; "
          f"the least of {args.rounds} rounds")
    support.table(["", "us", "ratio", "budget"],
                  [[name, f"{min(spent[name]):.2f}", f"{min(spent[name]) / least:.2f}", chosen[name][2] or ""]
                   for name in chosen])


if __name__ == "__main__":
    sys.exit(main())
