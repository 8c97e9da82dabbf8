#!/usr/bin/env python3
"""The proxy beside nginx and HAProxy: one worker each, 128-byte answers from nginx over kept connections, wrk.

    bench/proxy.py [--rounds 6] [--seconds 3] [--connections 64] [--processes 3] [--idle 2000] [--share 0.3] [WAY ...]

Besides, latencies where all are asked about as often (--share of what nginx answered; 0 leaves it out): under full
load, who answers half as often has twice the latency for that reason alone. And bodies of 100 MiB over four
connections, and the memory that an idle connection takes which was served before (0 leaves it out). Every round
measures all ways, in random order; the figures are medians of the ratios within a round. Processes of one program
differ by several per cent, as their memory happens to lie: each way is started so many times, and the rounds take these
in turn; who is not measured is stopped (SIGSTOP) meanwhile. The load, the proxies and the upstream share the machine's
cores, so that requests/s depends on them all; "CPU" is the proxy's own time for a request (for ways that ask Redis:
beside it that of Redis).
"""
import argparse
import contextlib
import hashlib
import itertools
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

import support
from support import directory, free_port, start

BODY = "x" * 128
LARGE = 100 << 20


def nginx(name, server, http="", main=""):
    path = tempfile.mkdtemp(prefix=f"{name}-", dir=directory())
    with open(os.path.join(path, "nginx.conf"), "w") as f:
        user = "user root;" if os.geteuid() == 0 else ""  # else its worker could not read what lies in our directory
        f.write(f"""{main} {user} worker_processes 1; daemon off; pid {path}/pid; error_log {path}/error.log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000;
  client_body_temp_path {path}/b; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u;
  scgi_temp_path {path}/s; {http} server {{ {server} }} }}""")
    return start("nginx", "-c", os.path.join(path, "nginx.conf"), "-p", path)


class Way:
    """One proxy in front of the upstream. `pids` are its processes, `redis` the one it asks, if any; `refuses`: it
    lets one request pass, and no other."""

    def __init__(self, name, port, process, pids=None, redis=None, refuses=False):
        self.name, self.port, self.process, self.redis, self.refuses = name, port, process, redis, refuses
        support.wait_for_port(port, process)
        self.pids = pids() if pids else [process.pid]

    def send_signal(self, which):
        for pid in {self.redis, self.process.pid, *self.pids} - {None}:
            with contextlib.suppress(ProcessLookupError):  # one that has ended is told of by who asks it
                os.kill(pid, which)

    @contextlib.contextmanager
    def awake(self):
        self.send_signal(signal.SIGCONT)
        time.sleep(0.1)  # timers that are due by now
        try:
            yield
        finally:
            self.send_signal(signal.SIGSTOP)


@contextlib.contextmanager
def stopped(ways):
    """Dozens of processes that wake ten times a second take the caches from the one that is measured."""
    try:
        for way in ways:
            way.send_signal(signal.SIGSTOP)
        yield
    finally:
        for way in ways:
            way.send_signal(signal.SIGCONT)


def nginx_way(upstream, name, extra="", log="access_log off;", main="", http="", redis=None):
    port = free_port()
    process = nginx(name.replace(" ", "-").replace("+", ""), f"""listen 127.0.0.1:{port}; {log}
  location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; {extra} }}""",
                    f"upstream up {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000000; }} {http}",
                    main)
    return Way(name, port, process, lambda: support.children(process.pid), redis)


def nginx_same_job(upstream):
    fields = """proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Request-Id $request_id; add_header X-Request-Id $request_id;"""
    return nginx_way(upstream, "nginx + fields, log", fields, f"access_log {directory()}/nginx.access combined buffer=64k;")


NGINX_MODULES = ["/usr/lib/nginx/modules/ndk_http_module.so", "/usr/lib/nginx/modules/ngx_http_lua_module.so"]
NGINX_REDIS = "/usr/share/lua/5.1/nginx/redis.lua"

# A window that slides by weight, as it is mostly written: the counts of the present and of the last window of the
# clock, the last one's weighted by how much of it is still within reach. KEYS: both counts. ARGV: limit, window in
# milliseconds, how much of the present window is over, in milliseconds.
TWO_COUNTERS = """
local window = tonumber(ARGV[2])
local present = tonumber(redis.call('GET', KEYS[1]) or '0')
local last = tonumber(redis.call('GET', KEYS[2]) or '0')
if math.floor(last * (window - tonumber(ARGV[3])) / window) + present >= tonumber(ARGV[1]) then return -1 end
present = redis.call('INCR', KEYS[1])
if present == 1 then redis.call('PEXPIRE', KEYS[1], window * 2) end
return present
"""

# What it does for a request: one EVALSHA over a kept connection, 429 where the limit is reached.
ASK_REDIS = """
local ask = redis_of_nginx:new()
ask:set_timeout(1000)
local connected, why = ask:connect("unix:SOCKET")
if not connected then ngx.log(ngx.ERR, why) return ngx.exit(503) end
local now = math.floor(ngx.now() * 1000)
local over = now % WINDOW
local begun = now - over
local client = ngx.var.remote_addr
local present, last = "rl:{" .. client .. "}:" .. begun, "rl:{" .. client .. "}:" .. begun - WINDOW
local count
count, why = ask:evalsha(script_sha, 2, present, last, LIMIT, WINDOW, over)
if not count and why and why:find("NOSCRIPT", 1, true) then
  count, why = ask:eval(script, 2, present, last, LIMIT, WINDOW, over)
end
if not count then ngx.log(ngx.ERR, why) return ngx.exit(503) end
ask:set_keepalive(60000, 512)
if count < 0 then return ngx.exit(429) end
"""


def nginx_lua_way(upstream):
    """Without header fields of its own and without a log, which Weir has: a difference in favour of nginx."""
    redis = support.redis_server()
    ask = ASK_REDIS.replace("SOCKET", redis[1]).replace("LIMIT", str(MANY["limit"])).replace("WINDOW", "60000")
    return nginx_way(upstream, "nginx + Lua, two counters in Redis", f"access_by_lua_block {{ {ask} }}",
                     main=" ".join(f"load_module {each};" for each in NGINX_MODULES),
                     http=f"""init_by_lua_block {{
  redis_of_nginx = require "nginx.redis"
  script = [[{TWO_COUNTERS}]]
  script_sha = "{hashlib.sha1(TWO_COUNTERS[1:].encode()).hexdigest()}"
}}""", redis=redis[0].pid)  # a line break behind [[ is no part of the text


def haproxy_way(upstream):
    port = free_port()
    path = os.path.join(directory(), f"haproxy-{port}.cfg")
    with open(path, "w") as f:
        f.write(f"""global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 5s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend f
  bind 127.0.0.1:{port}
  default_backend b
backend b
  server s 127.0.0.1:{upstream} pool-max-conn 512
""")
    return Way("HAProxy", port, start("haproxy", "-f", path))


def weir_way(upstream, name, limits=None, redis=None, log=True):
    port = free_port()
    refuses = any(each["limit"] == 1 for each in (limits or {}).values())
    config = {
        "listen": [{"address": f"127.0.0.1:{port}"}],
        "admin": {"address": f"127.0.0.1:{free_port()}"},
        "workers": 1,
        "access_log": os.path.join(directory(), "weir.access") if log else "off",
        "upstreams": {"up": {"targets": [f"http://127.0.0.1:{upstream}"]}},
        "routes": [{"name": "all", "path": "/*", "upstream": "up", **({"limits": list(limits)} if limits else {})}],
        "limits": limits or {},
        "redis": {"url": f"unix://{redis[1] if redis else '/nowhere'}", "allow_down_at_start": True, "timeout": "1s"},
    }
    path = os.path.join(directory(), f"weir-{port}.json")
    with open(path, "w") as f:
        json.dump(config, f)
    return Way(name, port, start(support.WEIR, "serve", "--config", path), redis=redis[0].pid if redis else None,
               refuses=refuses)


MANY = {"limit": 1_000_000_000, "window": "1m", "per": ["ip"]}
ONE = {"limit": 1, "window": "1h", "per": ["ip"]}


def ways(upstream, wanted):
    """What starts each way; nginx, to which the others are compared, is the first."""
    makers = {
        "nginx": lambda: nginx_way(upstream, "nginx"),
        "nginx-same-job": lambda: nginx_same_job(upstream),
        "haproxy": lambda: haproxy_way(upstream),
        "nginx-lua": lambda: nginx_lua_way(upstream),
        "weir": lambda: weir_way(upstream, "weir"),
        "weir-redis": lambda: weir_way(upstream, "weir + 1 limit in Redis", {"per-client": MANY}, support.redis_server()),
        "weir-lease": lambda: weir_way(upstream, "weir + 1 limit, leased", {"per-client": {**MANY, "lease": "1s"}},
                                       support.redis_server()),
        "weir-refusing": lambda: weir_way(upstream, "weir, refusing", {"per-client": ONE}, support.redis_server()),
    }
    chosen = wanted or list(makers)
    if unknown := [each for each in chosen if each not in makers]:
        raise SystemExit(f"no such way: {', '.join(unknown)}; there are: {', '.join(makers)}")
    chosen = ["nginx", *(each for each in chosen if each != "nginx")]
    installed = {"haproxy": shutil.which("haproxy"), "nginx-lua": all(map(os.path.exists, [*NGINX_MODULES, NGINX_REDIS]))}
    missing = [each for each in chosen if not installed.get(each, True)]
    for each in missing:
        print(f"{each}: not installed here, left out")
    return [makers[each] for each in chosen if each not in missing]


def load(way, seconds, connections, *script):
    """Requests/s, microseconds of CPU a request in the proxy and in Redis, and latencies in milliseconds."""
    pids = way.pids
    before = sum(map(support.cpu_seconds, pids))
    redis_before = support.cpu_seconds(way.redis) if way.redis else 0
    told = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *script,
                           f"http://127.0.0.1:{way.port}/"], capture_output=True, text=True).stdout
    spent = sum(map(support.cpu_seconds, pids)) - before
    redis_spent = support.cpu_seconds(way.redis) - redis_before if way.redis else 0
    requests = int(re.search(r"(\d+) requests in", told)[1])
    refused = int((re.search(r"Non-2xx or 3xx responses: (\d+)", told) or [0, 0])[1])
    least, most = (requests - 1, requests) if way.refuses else (0, 0)
    if "Socket errors" in told or not least <= refused <= most:
        raise SystemExit(f"{way.name}: {told}")
    in_ms = {"us": 0.001, "ms": 1, "s": 1000}
    quantile = {q: float(v) * in_ms[u] for q, v, u in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s)", told)}
    return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1]), "cpu": spent / requests * 1e6,
            "redis": redis_spent / requests * 1e6, "p50": quantile["50"], "p99": quantile["99"]}


def play(fleets, args, measure):
    """Measures each way once a round. What tells the median of a figure of a way, and its ratio to the first way's."""
    def measure_alone(way):
        with way.awake():
            return measure(way)

    with stopped([way for fleet in fleets for way in fleet]):
        rounds = [{way.name: measure_alone(way) for way in random.sample(fleet, len(fleet))}
                  for fleet in itertools.islice(itertools.cycle(fleets), args.rounds)]
    base = fleets[0][0].name
    return (lambda way, what: support.median([each[way.name][what] for each in rounds]),
            lambda way, what: support.spread([each[way.name][what] / each[base][what] for each in rounds]))


def report_pauses(fleets, args, rate):
    """Under part of the load, of which each connection sends a request some milliseconds after the last answer."""
    most = round(2 * args.connections / rate * 1000)
    script = os.path.join(directory(), "pauses.lua")
    with open(script, "w") as f:
        f.write(f"function delay() return math.random(0, {most}) end")
    fleets = [[way for way in fleet if not way.refuses] for fleet in fleets]
    median, ratio = play(fleets, args, lambda way: load(way, args.seconds, args.connections, "-s", script))
    print(f"the same, each connection pausing for 0 to {most} ms behind an answer; ratios to nginx")
    support.table(["", "requests/s", "p50 ms", "ratio", "p99 ms", "ratio"],
                  [[way.name, f"{median(way, 'rate'):.0f}", f"{median(way, 'p50'):.2f}", ratio(way, "p50"),
                    f"{median(way, 'p99'):.2f}", ratio(way, "p99")] for way in fleets[0]])


def stream(way, seconds):
    """MiB/s of large bodies, and milliseconds of the proxy's CPU for 100 MiB."""
    before = sum(map(support.cpu_seconds, way.pids))
    told = subprocess.run(["wrk", "-t1", "-c4", f"-d{seconds}s", f"http://127.0.0.1:{way.port}/large"],
                          capture_output=True, text=True).stdout
    spent = sum(map(support.cpu_seconds, way.pids)) - before
    if "Non-2xx" in told:
        raise SystemExit(f"{way.name}: {told}")
    amount, unit = re.search(r"requests in [\d.]+\w+, ([\d.]+)(MB|GB) read", told).groups()
    mib = float(amount) * (1024 if unit == "GB" else 1)
    return {"rate": mib / seconds, "cpu": spent / mib * 100 * 1000}


def memory(pids):
    """KiB of memory that no other process shares."""
    total = 0
    for pid in pids:
        with open(f"/proc/{pid}/smaps_rollup") as f:
            total += sum(int(line.split()[1]) for line in f if line.startswith("Private_"))
    return total


def idle_memory(way, count):
    """Bytes for each of so many connections that are kept after a request."""
    request = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{way.port}\r\n\r\n".encode()
    before = memory(way.pids)
    kept = []
    for _ in range(count):
        s = socket.create_connection(("127.0.0.1", way.port))
        s.sendall(request)
        answer = b""
        while not answer.endswith(BODY.encode()):
            answer += s.recv(65536)
        kept.append(s)
    grown = memory(way.pids) - before
    for s in kept:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        s.close()
    return grown * 1024 / count


def report_streams(fleets, args):
    fleets = [[way for way in fleet if not way.refuses] for fleet in fleets]
    median, ratio = play(fleets, args, lambda way: stream(way, args.seconds))
    print(f"bodies of 100 MiB, 4 connections, {args.rounds} rounds of {args.seconds} s; ratios to nginx")
    support.table(["", "MiB/s", "ratio", "CPU/100 MiB", "ratio"],
                  [[way.name, f"{median(way, 'rate'):.0f}", ratio(way, "rate"), f"{median(way, 'cpu'):.0f} ms",
                    ratio(way, "cpu")] for way in fleets[0]])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("--processes", type=int, default=3)
    parser.add_argument("--idle", type=int, default=2000)
    parser.add_argument("--share", type=float, default=0.3)
    parser.add_argument("ways", nargs="*")
    args = parser.parse_args()
    if min(args.rounds, args.processes) < 1:
        parser.error("--rounds and --processes are 1 at least")
    for tool in ("nginx", "wrk"):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is not installed: scripts/packages bench")

    upstream = free_port()
    files = os.path.join(directory(), "files")
    os.mkdir(files)
    with open(os.path.join(files, "large"), "wb") as f:
        f.truncate(LARGE)
    source = nginx("upstream", f"""listen 127.0.0.1:{upstream}; location / {{ return 200 "{BODY}"; }}
                   location = /large {{ root {files}; sendfile on; }}""")
    support.wait_for_port(upstream, source)
    chosen = ways(upstream, args.ways)
    fleets = [[make() for make in chosen] for _ in range(args.processes)]
    contenders = fleets[0]
    for way in itertools.chain(*fleets):
        load(way, 1, args.connections)
    median, ratio = play(fleets, args, lambda way: load(way, args.seconds, args.connections))
    print(f"proxy, {args.connections} connections, {args.rounds} rounds of {args.seconds} s; ratios to nginx")
    support.table(["", "requests/s", "ratio", "CPU/request", "ratio", "Redis", "p50 ms", "p99 ms", "p99 ratio"],
                  [[way.name, f"{median(way, 'rate'):.0f}", ratio(way, "rate"), f"{median(way, 'cpu'):.1f} us",
                    ratio(way, "cpu"), f"{median(way, 'redis'):.1f} us" if way.redis else "",
                    f"{median(way, 'p50'):.2f}", f"{median(way, 'p99'):.2f}", ratio(way, "p99")] for way in contenders])
    if args.share > 0:
        report_pauses(fleets, args, args.share * median(contenders[0], "rate"))
    report_streams(fleets, args)
    if args.idle:
        print(f"memory of each of {args.idle} idle connections that were served before")
        support.table(["", "bytes"], [[way.name, f"{idle_memory(way, args.idle):.0f}"]
                                      for way in contenders if not way.refuses])


if __name__ == "__main__":
    sys.exit(main())
