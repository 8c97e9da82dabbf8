#!/usr/bin/env python3
"""Locks beside those of others, on a Redis of its own, in one run: uncontended pairs (taken and given back), and how soon
the next holder has what the last one gave back.

Others are measured where they are installed: redis-py (python3-redis) and, where NODE_PATH leads to them, redlock and
ioredis for Node. A pair of a bare SET NX PX and DEL, which frees whoever holds it, is the floor.
"""
import json
import os
import subprocess
import sys
import time

from support import ROOT, cpu_seconds, redis_server, table

BENCH = os.environ.get("WEIR_LOCK_BENCH", os.path.join(ROOT, "build", "release", "bench", "weir_lock_bench"))

NODE = r"""
const Redis = require('ioredis'); const {default: Redlock} = require('redlock');
const [path, count, concurrency] = [process.argv[1], +process.argv[2], +process.argv[3]];
(async () => {
  const redis = new Redis(path); const lock = new Redlock([redis], {retryCount: 0});
  const pairs = async (i, n) => { for (let k = 0; k < n; ++k) { const held = await lock.acquire(['bench' + i], 30000); await held.release(); } };
  await pairs('warm', 50);
  const cpu = process.cpuUsage(), began = process.hrtime.bigint();
  await Promise.all([...Array(concurrency).keys()].map(i => pairs(i, Math.floor(count / concurrency))));
  const seconds = Number(process.hrtime.bigint() - began) / 1e9, used = process.cpuUsage(cpu);
  const done = Math.floor(count / concurrency) * concurrency;
  console.log(JSON.stringify({pairs: done, pairs_per_second: done / seconds, client_cpu_us: (used.user + used.system) / done}));
  redis.disconnect();
})();
"""


def of_json(*command):
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def redis_py(path, count, concurrency):
    if concurrency > 1:
        return None
    import redis
    client = redis.Redis(unix_socket_path=path)
    client.lock("warm", timeout=30).acquire()
    cpu, began = time.process_time(), time.monotonic()
    for _ in range(count):
        lock = client.lock("bench", timeout=30)
        lock.acquire()
        lock.release()
    seconds = time.monotonic() - began
    return {"pairs": count, "pairs_per_second": count / seconds, "client_cpu_us": 1e6 * (time.process_time() - cpu) / count}


def pairs(process, path):
    rows = []
    url = "unix://" + path
    contestants = [
        ("SET NX PX and DEL, no fence", lambda n, c: of_json(BENCH, url, "pairs", "bare", str(n), str(c))),
        ("weir, fenced", lambda n, c: of_json(BENCH, url, "pairs", "weir", str(n), str(c))),
        ("redis-py Lock", lambda n, c: redis_py(path, n // 4, c)),
        ("node redlock", lambda n, c: of_json("node", "-e", NODE, path, str(n // 2), str(c))),
    ]
    for concurrency, count in ((1, 20000), (64, 100000)):
        for name, run in contestants:
            before = cpu_seconds(process.pid)
            try:
                got = run(count, concurrency)
            except (ImportError, FileNotFoundError, subprocess.CalledProcessError):
                got = None
                print(f"not measured, since not installed: {name}", file=sys.stderr)
            if got:
                used = 1e6 * (cpu_seconds(process.pid) - before) / got["pairs"]
                rows.append([name, concurrency, f"{got['pairs_per_second']:.0f}", f"{got['client_cpu_us']:.1f}",
                             f"{used:.1f}", f"{got['round_trips']:.0f}" if "round_trips" in got else ""])
    table(["a pair", "at once", "pairs/s", "client CPU us", "Redis CPU us", "round trips"], rows)


def commands(path):
    """How many commands Redis has executed, those of scripts included, and how many PUBLISHes."""
    stats = subprocess.run(["redis-cli", "-s", path, "INFO", "commandstats"], capture_output=True, text=True).stdout
    calls = {line.split(":")[0][8:]: int(line.split("calls=")[1].split(",")[0])
             for line in stats.splitlines() if line.startswith("cmdstat_")}
    return sum(n for name, n in calls.items() if name not in ("info", "ping"))


def handoffs(path):
    rows = []
    for processes in (2, 8, 64):
        before = commands(path)
        got = of_json(BENCH, "unix://" + path, "handoff", str(processes), "4")
        each = (commands(path) - before) / max(got["handoffs"], 1)
        rows.append([processes, got["handoffs"], f"{got['p50_us']:.0f}", f"{got['p99_us']:.0f}",
                     f"{got['round_trip_us']:.0f}", f"{got['p50_us'] / got['round_trip_us']:.1f}", f"{each:.1f}"])
    table(["processes", "handoffs", "p50 us", "p99 us", "a PING us", "p50 in PINGs", "Redis commands each"], rows)


def main():
    process, path = redis_server()
    pairs(process, path)
    handoffs(path)
    got = of_json(BENCH, "unix://" + path, "valid")
    print(f"lease.valid(): {got['ns']:.0f} ns")


main()
