#!/usr/bin/env python3
"""The proxy beside nginx and HAProxy: one worker each, 128-byte answers from nginx over kept connections, wrk.

    bench/proxy.py [--rounds 5] [--seconds 3] [--connections 64] [WAY ...]

Every round measures all ways in turn; the figures are medians of the ratios within a round. The load, the proxies and
the upstream share the machine's cores, so that requests/s depends on them all; "CPU" is the proxy's own time for a
request (for ways that ask Redis: beside it that of Redis).
"""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys

import support
from support import directory, free_port, start

BODY = "x" * 128


def nginx(name, server, http=""):
    path = os.path.join(directory(), name)
    os.mkdir(path)
    with open(os.path.join(path, "nginx.conf"), "w") as f:
        f.write(f"""worker_processes 1; daemon off; pid {path}/pid; error_log {path}/error.log;
events {{ worker_connections 4096; }}
http {{ access_log off; keepalive_requests 1000000000;
  client_body_temp_path {path}/b; proxy_temp_path {path}/p; fastcgi_temp_path {path}/f; uwsgi_temp_path {path}/u;
  scgi_temp_path {path}/s; {http} server {{ {server} }} }}""")
    return start("nginx", "-c", os.path.join(path, "nginx.conf"), "-p", path)


class Way:
    """One proxy in front of the upstream. `pids` are its processes, `redis` the one it asks, if any."""

    def __init__(self, name, port, process, pids=None, redis=None):
        self.name, self.port, self.process, self.redis = name, port, process, redis
        support.wait_for_port(port, process)
        self.pids = pids() if pids else [process.pid]


def nginx_way(upstream, name, extra="", log="access_log off;"):
    port = free_port()
    process = nginx(name.replace(" ", "-").replace("+", ""), f"""listen 127.0.0.1:{port}; {log}
  location / {{ proxy_pass http://up; proxy_http_version 1.1; proxy_set_header Connection ""; {extra} }}""",
                    f"upstream up {{ server 127.0.0.1:{upstream}; keepalive 512; keepalive_requests 1000000000; }}")
    return Way(name, port, process, lambda: support.children(process.pid))


def nginx_same_job(upstream):
    fields = """proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
    proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;
    proxy_set_header X-Request-Id $request_id; add_header X-Request-Id $request_id;"""
    return nginx_way(upstream, "nginx + fields, log", fields, f"access_log {directory()}/nginx.access combined buffer=64k;")


def haproxy_way(upstream):
    port = free_port()
    path = os.path.join(directory(), "haproxy.cfg")
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
    return Way(name, port, start(support.WEIR, "serve", "--config", path), redis=redis[0].pid if redis else None)


MANY = {"limit": 1_000_000_000, "window": "1m", "per": ["ip"]}


def ways(upstream, wanted):
    makers = {
        "nginx": lambda: nginx_way(upstream, "nginx"),
        "nginx-same-job": lambda: nginx_same_job(upstream),
        "haproxy": lambda: haproxy_way(upstream),
        "weir": lambda: weir_way(upstream, "weir"),
        "weir-redis": lambda: weir_way(upstream, "weir + 1 limit in Redis", {"per-client": MANY}, support.redis_server()),
    }
    chosen = wanted or list(makers)
    if unknown := [each for each in chosen if each not in makers]:
        raise SystemExit(f"no such way: {', '.join(unknown)}; there are: {', '.join(makers)}")
    if "nginx" not in chosen:
        chosen.insert(0, "nginx")
    missing = [each for each in chosen if each in ("haproxy",) and not shutil.which(each)]
    for each in missing:
        print(f"{each}: not installed here, left out")
    return [makers[each]() for each in chosen if each not in missing]


def load(way, seconds, connections):
    """Requests/s, microseconds of CPU a request in the proxy and in Redis, and latencies in milliseconds."""
    pids = way.pids
    before = sum(map(support.cpu_seconds, pids))
    redis_before = support.cpu_seconds(way.redis) if way.redis else 0
    told = subprocess.run(["wrk", "-t1", f"-c{connections}", f"-d{seconds}s", "--latency",
                           f"http://127.0.0.1:{way.port}/"], capture_output=True, text=True).stdout
    spent = sum(map(support.cpu_seconds, pids)) - before
    redis_spent = support.cpu_seconds(way.redis) - redis_before if way.redis else 0
    requests = int(re.search(r"(\d+) requests in", told)[1])
    if "Non-2xx" in told or "Socket errors" in told:
        raise SystemExit(f"{way.name}: {told}")
    in_ms = {"us": 0.001, "ms": 1, "s": 1000}
    quantile = {q: float(v) * in_ms[u] for q, v, u in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s)", told)}
    return {"rate": float(re.search(r"Requests/sec:\s+([\d.]+)", told)[1]), "cpu": spent / requests * 1e6,
            "redis": redis_spent / requests * 1e6, "p50": quantile["50"], "p99": quantile["99"]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=3)
    parser.add_argument("--connections", type=int, default=64)
    parser.add_argument("ways", nargs="*")
    args = parser.parse_args()
    for tool in ("nginx", "wrk"):
        if not shutil.which(tool):
            raise SystemExit(f"{tool} is not installed: scripts/packages bench")

    upstream = free_port()
    source = nginx("upstream", f'listen 127.0.0.1:{upstream}; location / {{ return 200 "{BODY}"; }}')
    support.wait_for_port(upstream, source)
    contenders = ways(upstream, args.ways)
    for way in contenders:
        load(way, 1, args.connections)
    rounds = []
    for _ in range(args.rounds):
        rounds.append({way.name: load(way, args.seconds, args.connections) for way in contenders})

    base = contenders[0].name
    rows = []
    for way in contenders:
        mine = [each[way.name] for each in rounds]
        ratio = lambda what: support.spread([each[way.name][what] / each[base][what] for each in rounds])
        redis = f"{support.median([m['redis'] for m in mine]):.1f} us" if way.redis else ""
        rows.append([way.name, f"{support.median([m['rate'] for m in mine]):.0f}", ratio("rate"),
                     f"{support.median([m['cpu'] for m in mine]):.1f} us", ratio("cpu"), redis,
                     f"{support.median([m['p50'] for m in mine]):.2f}", f"{support.median([m['p99'] for m in mine]):.2f}",
                     ratio("p99")])
    print(f"proxy, {args.connections} connections, {args.rounds} rounds of {args.seconds} s; ratios to nginx")
    support.table(["", "requests/s", "ratio", "CPU/request", "ratio", "Redis", "p50 ms", "p99 ms", "p99 ratio"], rows)


if __name__ == "__main__":
    sys.exit(main())
