#!/usr/bin/env python3
"""What one decision costs Redis: server CPU of the scripts in lua/, as ratios to EVALSHA of one INCR.

    bench/scripts.py [--rounds 7] [--keys 100000] [CASE ...]

A private redis-server is fed pipelines of 32 commands over 16 connections to its unix socket; its CPU time is read
around slices of the cases taken in turn, and the figures are medians of the ratios to the base within a round.
"""
import argparse
import hashlib
import os
import random
import socket
import sys

import support

PIPELINE, CONNECTIONS = 32, 16
SLICE = 40_000
INCREMENT = "return redis.call('INCR',KEYS[1])"


def encode(*arguments):
    parts = [a if isinstance(a, bytes) else str(a).encode() for a in arguments]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(p), p) for p in parts)


class Server:
    def __init__(self):
        self.process, path = support.redis_server()
        self.sockets = [socket.socket(socket.AF_UNIX) for _ in range(CONNECTIONS)]
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
        for i in range(0, len(batches), CONNECTIONS):
            for each, batch in zip(self.sockets, batches[i:i + CONNECTIONS]):
                each.sendall(batch)
            for each, _ in zip(self.sockets, batches[i:i + CONNECTIONS]):
                answer = b""
                while not answer.endswith(b"+PONG\r\n"):
                    answer += each.recv(1 << 20)
                if answer.startswith(b"-"):
                    raise SystemExit(f"redis: {answer[:200].decode()}")
        return (support.cpu_seconds(self.process.pid) - before) / (len(batches) * PIPELINE) * 1e6


def rule(key, limit, window, cost=1, identity=7):
    """As check_request::encode writes it; see lua/rate_check.lua."""
    keep = limit if limit <= 128 else 32
    width = window // 32 if limit > 128 else 0
    sizes = (1, key), (4, identity), (6, limit), (6, window), (6, width), (2, keep), (7, cost)
    return b"".join(value.to_bytes(size, "big") for size, value in sizes)


def cases(server):
    """name -> (command for the number of a key, number of keys, budget or None)"""
    def script(name):
        with open(os.path.join(support.ROOT, "lua", name)) as f:
            return server.load(f.read())

    check = script("rate_check.lua")
    one = server.load("return 1")
    second = 1_000_000

    def limit(prefix, *rules, ttl=60_000):
        return lambda i: encode("EVALSHA", check, 1, b"rate:%s%08d:e" % (prefix, i), ttl, *rules)

    def three(i):
        return encode("EVALSHA", check, 3, b"rate:t%08d:e" % i, b"rate:*:u%08d" % i, b"rate:t%08d:*" % i, 60_000, 60_000,
                      60_000, rule(1, 100, 60 * second), rule(2, 1000, 60 * second), rule(3, 10 ** 6, 60 * second))

    return {
        "PING": (lambda i: encode("PING"), 1, None),
        "return 1": (lambda i: encode("EVALSHA", one, 0), 1, None),
        "log, new key each": (limit(b"a", rule(1, 100, second)), 10 ** 8, 2.5),
        "log, 100 a minute": (limit(b"l", rule(1, 100, 60 * second)), None, 2.5),
        "log, hot key": (limit(b"h", rule(1, 100, 1000)), 1, 2.5),
        "counters, many keys": (limit(b"c", rule(1, 10 ** 6, 60 * second)), None, 2.2),
        "counters, hot key": (limit(b"d", rule(1, 10 ** 9, 60 * second)), 1, 2.2),
        "counters, hot, 1 s": (limit(b"s", rule(1, 10 ** 9, second)), 1, 2.2),
        "refusal": (limit(b"r", rule(1, 1, 3600 * second), ttl=3600_000), 1000, 2.0),
        "refusal, full log": (limit(b"R", rule(1, 100, 3600 * second), ttl=3600_000), 100, 2.0),
        "three rules, three keys": (three, None, 4.0),
        "three rules, one key": (limit(b"k", rule(1, 100, 60 * second, identity=1),
                                       rule(1, 1000, 60 * second, identity=2),
                                       rule(1, 10 ** 6, 60 * second, identity=3)), None, 4.0),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
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
    for make, keys, _ in chosen.values():
        server.spend(make, SLICE, keys or args.keys)
    server.spend(base, SLICE, args.keys)

    bases, ratios = [], {name: [] for name in chosen}
    for _ in range(args.rounds):
        for name, (make, keys, _) in chosen.items():
            bases.append(server.spend(base, SLICE, args.keys))
            ratios[name].append(server.spend(make, SLICE, keys or args.keys) / bases[-1])
    print(f"server CPU a decision; base: EVALSHA of one INCR on {args.keys} keys, {support.median(bases):.2f} us; "
          f"medians of {args.rounds} rounds")
    support.table(["", "ratio", "budget"], [[name, support.spread(ratios[name]), chosen[name][2] or ""]
                                            for name in chosen])


if __name__ == "__main__":
    sys.exit(main())
