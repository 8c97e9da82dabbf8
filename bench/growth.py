#!/usr/bin/env python3
"""What a decision costs Redis as a deployment grows: with keys, rules, requests a call, instances, nodes of a cluster.

    bench/growth.py [--rounds 5] [--keys 1000000] [PART ...]     parts: keys, rules, calls, instances, nodes

The figures are server CPU a decision, the least of the rounds, and what it is of the first of its table: flat where it
must be flat. All servers share this machine's cores, so that decisions/s of several nodes cannot be seen here; that their
costs stay the same, and how evenly keys spread over them, can.
"""
import argparse
import json
import subprocess
import sys

import scripts
import support
from scripts import encode

MINUTE = 60_000_000
COUNTERS = scripts.rule(10 ** 6, MINUTE)


def least(server, make, rounds, operations, keys):
    server.spend(make, operations, keys)
    return min(server.spend(make, operations, keys) for _ in range(rounds))


def show(head, rows, *more):
    first = rows[0][1]
    support.table([head, "us a decision", "ratio", *more],
                  [[name, f"{cost:.2f}", f"{cost / first:.2f}", *rest] for name, cost, *rest in rows])


def used_memory(server):
    return int(server.ask("INFO", "memory").split(b"used_memory:")[1].split(b"\r\n")[0])


def fill(server, make, calls):
    """Each of the numbers once, in pipelines."""
    one = server.sockets[0]
    for begin in range(0, calls, 512):
        one.sendall(b"".join(map(make, range(begin, min(begin + 512, calls)))) + encode("PING"))
        answer = b""
        while not answer.endswith(b"+PONG\r\n"):
            answer = answer[-7:] + one.recv(1 << 20)


def keys(args):
    rows = []
    count = 1000
    while count <= args.keys:
        server = scripts.Server()
        check = server.load(scripts.source("rate_check.lua"))
        name = lambda i: b"rate:%08d:e" % i
        before = used_memory(server)
        fill(server, lambda i: encode("EVALSHA", check, 32, *(name(32 * i + j) for j in range(32)),
                                      scripts.one_a_key(COUNTERS, 32)), count // 32)
        a_key = (used_memory(server) - before) / (count // 32 * 32)
        cost = least(server, lambda i: encode("EVALSHA", check, 1, name(i), COUNTERS), args.rounds, 20_000, count)
        rows.append([f"{count:,}", cost, f"{a_key:.0f}"])
        server.process.terminate()
        count *= 10
    show("keys of counters", rows, "bytes a key")


def rules(args):
    server = scripts.Server()
    check = server.load(scripts.source("rate_check.lua"))
    def request(n):
        blob = b"".join(scripts.rule(10 ** 6, MINUTE, 1, r + 1, r + 1) for r in range(n))
        return lambda i: encode("EVALSHA", check, n, *(b"rate:r%d/%06d:e%d" % (n, i, r) for r in range(n)), blob)
    rows = []
    for n in (1, 2, 4, 8):
        cost = least(server, request(n), args.rounds, 8_000, 10_000)
        rows.append([n, cost, f"{cost / n:.2f}"])
    show("rules of a request", rows, "us a rule")


def calls(args):
    server = scripts.Server()
    check = server.load(scripts.source("rate_check.lua"))
    def batch(n):
        def make(i):
            names = (b"rate:b%06d:e" % ((i * n + j) % 32_000) for j in range(n))
            return encode("EVALSHA", check, n, *names, scripts.one_a_key(COUNTERS, n))
        return make
    show("decisions a call", [[n, least(server, batch(n), args.rounds, 16_000 // n // 32 * 32, 32_000) / n]
                              for n in (1, 2, 4, 8, 16, 32)])


def ask_all(url, pids, at_a_time, seconds=2):
    """CPU of each server, and how many decisions an instance got from them, one at a time and so many at a time."""
    before = list(map(support.cpu_seconds, pids))
    said = subprocess.run([support.WEIR, "bench", "--json", "--redis", url, "--limit", "1000000000/1m", "--users", "10000",
                           "--concurrency", str(at_a_time), "--duration", f"{seconds}s"], capture_output=True, text=True, check=True).stdout
    spent = [support.cpu_seconds(pid) - b for pid, b in zip(pids, before)]
    return spent, sum(each["decisions"] for each in json.loads(said)["results"])


def instances(args):
    rows = []
    for n in (1, 2, 4, 8, 16):
        server = scripts.Server(connections=n)
        check = server.load(scripts.source("rate_check.lua"))
        name = lambda i: b"rate:%08d:e" % i
        rows.append([n, least(server, lambda i: encode("EVALSHA", check, 1, name(i), COUNTERS), args.rounds, 8_000, 10_000)])
        server.process.terminate()
    show("instances, a connection each", rows)


def cluster(nodes):
    """Masters of equal shares of the slots; returns their processes and a URL."""
    ports, processes = [], []
    for i in range(nodes):
        while (port := support.free_port()) > 55535:  # the nodes' own is 10000 above it
            pass
        processes.append(support.start("redis-server", "--port", str(port), "--cluster-enabled", "yes", "--save", "",
                                       "--cluster-config-file", f"{support.directory()}/{port}.conf", "--dir",
                                       support.directory()))
        support.wait_for_port(port, processes[-1])
        ports.append(port)
    ask = lambda port, *words: subprocess.run(["redis-cli", "-p", str(port), *map(str, words)], capture_output=True,
                                              text=True, check=True).stdout
    for i, port in enumerate(ports):
        ask(port, "CLUSTER", "ADDSLOTSRANGE", 16384 * i // nodes, 16384 * (i + 1) // nodes - 1)
        ask(port, "CLUSTER", "SET-CONFIG-EPOCH", i + 1)
        ask(ports[0], "CLUSTER", "MEET", "127.0.0.1", port)
    while not all("cluster_state:ok" in (said := ask(port, "CLUSTER", "INFO")) and f"cluster_known_nodes:{nodes}" in said
                  for port in ports):
        pass
    return processes, f"redis://127.0.0.1:{ports[0]}?mode=cluster"


def nodes(args):
    rows = []
    for n in (1, 2, 3, 6):
        processes, url = cluster(n)
        costs, shares = [], []
        for _ in range(max(1, args.rounds // 2)):
            spent, decisions = ask_all(url, [p.pid for p in processes], 128 * n)
            costs.append(sum(spent) / decisions * 1e6)
            shares.append(max(spent) / sum(spent) * n)
        rows.append([n, min(costs), f"{support.median(shares):.2f}"])
        for process in processes:
            process.terminate()
    show("masters of a cluster, 128 checks at a time each", rows, "busiest, of an equal share")


def main():
    parts = {"keys": keys, "rules": rules, "calls": calls, "instances": instances, "nodes": nodes}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--keys", type=int, default=1_000_000, help="the most; 10 000 000 take a gigabyte and a half")
    parser.add_argument("parts", nargs="*")
    args = parser.parse_args()
    if unknown := [each for each in args.parts if each not in parts]:
        raise SystemExit(f"no such part: {', '.join(unknown)}; there are: {', '.join(parts)}")
    for each in args.parts or parts:
        parts[each](args)


if __name__ == "__main__":
    sys.exit(main())
