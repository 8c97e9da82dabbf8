#!/usr/bin/env python3
"""Does every client get its own answers, and whole, while upstreams, clients and Redis misbehave all at once?

    proxy_chaos.py WEIR [--seconds 15] [--clients 40] [--seed N]

Clients send requests through `WEIR serve`, several at a time on one connection, in pieces, and leave in their middle.
Each request bears a token, and says how the upstream is to answer it: well, in pieces, cut short, not at all, with more
than it announced. Meanwhile the configuration is reloaded, Redis stopped, killed and its scripts flushed. What must hold:
- an answer of the upstream, and a body that reaches it, is that of the request, and no part of another;
- what an upstream sends behind an answer reaches nobody;
- every request is answered, unless its client left, the upstream broke the answer off, or its lock was lost;
- in the end nothing is in flight, and the program ends when it is asked to.
"""
import argparse
import asyncio
import collections
import json
import logging
import os
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time

PATIENCE = 20  # seconds for one answer
POISON = b"POISON"


class Answer:
    """What the upstream has to say to one request: the token, so many times."""

    def __init__(self, token, method, dice):
        self.dice = dice
        self.body = (token + b"|") * dice.choice([0, 1, 7, 100, 3000, 5000, 70000])
        self.start = b"HTTP/1.1 200 OK\r\nX-Token: " + token + b"\r\n"
        self.head_only = method == "HEAD"

    def whole(self, missing=0):
        body = b"" if self.head_only else self.body
        return self.start + b"Content-Length: %d\r\n\r\n" % (len(self.body) + missing) + body

    def chunked(self, more=b""):
        return self.start + more + b"Transfer-Encoding: chunked\r\n\r\n"


def chunk(data):
    return b"%x\r\n" % len(data) + data + b"\r\n"


# How an upstream answers. Each is told where to write; True: the connection may be used again.
async def well(out, a):
    out.write(a.whole())
    return True


async def in_two_pieces(out, a):
    text = a.whole()
    first = a.dice.randrange(1, len(text))
    out.write(text[:first])
    await asyncio.sleep(a.dice.random() * 0.02)
    out.write(text[first:])
    return True


async def in_chunks(out, a):
    out.write(a.chunked())
    at = 0
    while at < len(a.body) and not a.head_only:
        piece = a.body[at : at + a.dice.randrange(1, 9000)]
        out.write(chunk(piece))
        at += len(piece)
        if a.dice.random() < 0.3:
            await asyncio.sleep(a.dice.random() * 0.005)
    if not a.head_only:
        out.write(chunk(b""))
    return True


async def until_it_closes(out, a):
    out.write(a.start + b"Connection: close\r\n\r\n" + (b"" if a.head_only else a.body))
    return False


async def after_interim_answers(out, a):
    out.write(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + a.whole())
    return True


async def with_more_behind_it(out, a):
    out.write(a.whole() + b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n" + POISON)
    return True


async def and_closes_later(out, a):
    out.write(a.whole())
    await asyncio.sleep(a.dice.random() * 0.01)
    return False


async def slowly(out, a):
    await asyncio.sleep(0.3)
    out.write(a.whole())
    return True


async def off_the_grammar(out, a):
    out.write(a.dice.choice([
        b"HTTP/1.1 2000 OK\r\n\r\n", b"POISON\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n" + POISON,
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        a.chunked() + b"zz\r\n" + POISON]))
    return True


async def not_at_all(out, a):
    if a.dice.random() < 0.5:
        out.transport.abort()
    return False


async def as_unwell(out, a):
    out.write(a.whole().replace(b"200 OK", b"503 No", 1))
    return True


async def cut_short(out, a):
    out.write(a.whole(missing=10))
    await out.drain()
    out.transport.abort()
    return False


async def cut_in_a_chunk(out, a):
    out.write(a.chunked() + b"5\r\n")
    await out.drain()
    out.transport.abort()
    return False


async def as_events(out, a):
    out.write(a.chunked(b"Content-Type: text/event-stream\r\n"))
    for _ in range(a.dice.randrange(1, 8)):
        out.write(b"" if a.head_only else chunk(b"data: x\n\n"))
        await asyncio.sleep(a.dice.random() * 0.01)
    if a.dice.random() < 0.3:
        out.transport.abort()
        return False
    out.write(b"" if a.head_only else chunk(b""))
    return True


BREAKING_OFF = {each.__name__: each for each in (cut_short, cut_in_a_chunk, as_events)}
BEHAVIOURS = {each.__name__: each for each in (
    well, in_two_pieces, in_chunks, until_it_closes, after_interim_answers, with_more_behind_it, and_closes_later, slowly,
    off_the_grammar, not_at_all, as_unwell)} | BREAKING_OFF
CHOICE = list(BEHAVIOURS) + ["well"] * 6


def is_made_of(body, token):
    return set(body.split(b"|")) <= {token, b""}


async def read_chunks(source):
    body = b""
    while True:
        size = int((await source.readuntil(b"\n")).split(b";")[0], 16)
        data = await source.readexactly(size + 2)
        if size == 0:
            return body
        body += data[:-2]


async def read_head(source):
    """The first line, and the values of each field."""
    line, *rest = (await source.readuntil(b"\r\n\r\n")).decode("latin1").split("\r\n")
    fields = collections.defaultdict(list)
    for name, _, value in (each.partition(":") for each in rest if each):
        fields[name.lower()].append(value.strip())
    return line, fields


async def read_body(source, fields):
    if "content-length" in fields:
        return await source.readexactly(int(fields["content-length"][0]))
    return await read_chunks(source) if "transfer-encoding" in fields else b""


class Chaos:
    def __init__(self, program, seed, seconds):
        self.dice = random.Random(seed)
        self.program = program
        self.end = time.monotonic() + seconds
        self.wrong = []
        self.counts = collections.Counter()
        self.serial = 0
        self.directory = tempfile.TemporaryDirectory(prefix="weir-chaos-")
        self.file = os.path.join(self.directory.name, "weir.json")
        self.upstreams = []
        self.redis = self.weir = None
        self.last_words = []  # of the program's log

    # The upstream.
    async def serve(self, source, out):
        try:
            while True:
                line, fields = await read_head(source)
                method, target, _ = line.split(" ")
                token, behaviour = re.search(r"/(\w+)/(\w+)$", target).groups()
                body = await read_body(source, fields)
                if not is_made_of(body, token.encode()):
                    self.wrong.append(f"a request body of another: {line}: {body[:100]}")
                answer = Answer(token.encode(), method, random.Random(token + behaviour))
                again = await BEHAVIOURS[behaviour](out, answer)
                await out.drain()
                if not again:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            out.close()

    # The clients.
    def request(self):
        """One request: its bytes, and what tells it apart."""
        self.serial += 1
        route = self.dice.choice(["plain", "plain", "limited", "counted", "once", "shared", "locked"])
        # Answers are shared among those who ask for the same.
        token = f"s{self.serial // 20}" if route == "shared" else f"t{self.serial}"
        method = self.dice.choice(["GET", "GET", "GET", "HEAD", "POST", "POST", "PUT"])
        behaviour = self.dice.choice(CHOICE)
        text = f"{method} /{route}/{token}/{behaviour} HTTP/1.1\r\nHost: weir.test\r\nX-User: u{self.dice.randrange(4)}\r\n"
        text += f"X-Session: {self.dice.randrange(5)}\r\n"
        if route == "once":
            text += f"Idempotency-Key: k{self.serial - (self.dice.random() < 0.2)}\r\n"
        body = b""
        if method in ("POST", "PUT"):
            content = (token.encode() + b"|") * self.dice.choice([0, 1, 10, 1000, 20000])
            if self.dice.random() < 0.5:
                text += f"Content-Length: {len(content)}\r\n"
                body = content
            else:
                text += "Transfer-Encoding: chunked\r\n"
                step = self.dice.randrange(1, 20000)
                body = b"".join(chunk(content[i : i + step]) for i in range(0, len(content), step)) + chunk(b"")
        return text.encode() + b"\r\n" + body, method, route, token, behaviour

    async def expect(self, source, method, route, token, behaviour):
        """Reads one answer; whether another may follow it."""
        line, fields = await read_head(source)
        status = int(line.split(" ")[1])
        if status < 200:
            return await self.expect(source, method, route, token, behaviour)
        body = b"" if method == "HEAD" or status == 204 else await read_body(source, fields)
        what = f"{method} /{route}/{token}/{behaviour}: {line}: {dict(fields)}: {body[:100]}"
        if POISON in body:
            self.wrong.append(f"what an upstream sent behind an answer: {what}")
        own = fields["x-token"] in ([token], []) and (behaviour == "as_events" or is_made_of(body, token.encode()))
        if not own and (status == 200 or fields["x-token"]):
            self.wrong.append(f"the answer of another: {what}")
        self.counts[f"{behaviour} {status}"] += 1
        return fields["connection"] != ["close"]

    async def use(self, source, out):
        """Sends some requests, and reads their answers; whether the connection is still good."""
        batch = [self.request() for _ in range(self.dice.choice([1, 1, 1, 2, 3]))]
        data = b"".join(each[0] for each in batch)
        fate = self.dice.random()
        if fate < 0.2:
            first = self.dice.randrange(len(data))
            out.write(data[:first])
            await asyncio.sleep(self.dice.random() * 0.02)
            if fate < 0.05:
                return False
            data = data[first:]
        out.write(data)
        if fate > 0.96:
            await asyncio.sleep(self.dice.random() * 0.02)
            return False
        for _, *request in batch:
            try:
                if not await asyncio.wait_for(self.expect(source, *request), PATIENCE):
                    return False
            except asyncio.TimeoutError:
                self.wrong.append(f"no answer in {PATIENCE} s: {request}")
                return False
            except (asyncio.IncompleteReadError, ConnectionError) as why:
                if request[3] not in BREAKING_OFF and request[1] != "locked":
                    self.wrong.append(f"no answer, or a part of one: {request}: {why}")
                self.counts[f"{request[3]} broken off"] += 1
                return False
        return True

    async def client(self):
        while time.monotonic() < self.end:
            try:
                source, out = await asyncio.open_connection("127.0.0.1", self.port, limit=1 << 20)
            except ConnectionError as why:
                self.wrong.append(f"no connection: {why}")
                return
            for _ in range(self.dice.randrange(1, 30)):
                if time.monotonic() >= self.end or not await self.use(source, out):
                    break
            out.transport.abort()

    # What else goes wrong.
    async def trouble(self):
        while time.monotonic() < self.end:
            await asyncio.sleep(self.dice.uniform(0.3, 2))
            which = self.dice.choice(["reload", "reload", "reload", "stop", "kill", "flush"])
            self.counts[which] += 1
            if which == "reload":
                self.configure()
                self.weir.send_signal(signal.SIGHUP)
            elif which == "stop":
                self.redis.send_signal(signal.SIGSTOP)
                await asyncio.sleep(self.dice.uniform(0.05, 1))
                self.redis.send_signal(signal.SIGCONT)
            elif which == "kill":
                self.redis.kill()
                self.redis.wait()
                await asyncio.sleep(self.dice.uniform(0.05, 1))
                self.start_redis()
            else:
                subprocess.run(["redis-cli", "-s", self.redis_socket, "script", "flush"], stdout=subprocess.DEVNULL,
                               check=False)
            if self.weir.poll() is not None:
                self.end = 0

    @property
    def redis_socket(self):
        return os.path.join(self.directory.name, "redis")

    def start_redis(self):
        self.redis = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", self.redis_socket, "--save", "", "--dir",
                                       self.directory.name], stdout=subprocess.DEVNULL)

    def configure(self):
        targets = [f"http://127.0.0.1:{port}" for port in self.upstreams]
        routes = [("plain", {}), ("limited", {"limits": ["per-user"]}), ("counted", {"limits": ["in-flight"], "upstream": "guarded"}),
                  ("once", {"idempotency": {}}), ("shared", {"single_flight": {}}), ("locked", {"lock": "session"})]
        text = json.dumps({
            "listen": [{"address": f"127.0.0.1:{self.port}"}], "admin": {"address": f"127.0.0.1:{self.admin}"}, "workers": 2,
            "redis": {"url": f"unix://{self.redis_socket}", "timeout": "200ms", "allow_down_at_start": True},
            "access_log": "off",
            "limits": {"per-user": {"limit": 1000000, "window": "1m", "per": ["header:x-user"]},
                       "in-flight": {"algorithm": "concurrency", "limit": 20, "window": "10s", "per": ["*"]}},
            "locks": {"session": {"key": "header:x-session", "on_busy": "wait", "wait": "2s", "ttl": "5s"}},
            "circuits": {"api": {"window": "2s", "minimum_calls": 50, "failure_rate": 0.9, "open_for": "200ms"}},
            "upstreams": {
                "api": {"targets": targets, "balance": self.dice.choice(["round_robin", "least_request"]),
                        "retries": {"attempts": 3, "statuses": [503]}, "ejection": {"after": 0}},
                "guarded": {"targets": targets[:1], "circuit": "api"}},
            "routes": [{"name": name, "path": f"/{name}/*", "upstream": "api"} | more for name, more in routes]})
        with open(self.file + ".new", "w", encoding="ascii") as out:
            out.write(text)
        os.replace(self.file + ".new", self.file)

    async def run(self, clients):
        for _ in range(2):
            server = await asyncio.start_server(self.serve, "127.0.0.1", 0, limit=1 << 22)
            self.upstreams.append(server.sockets[0].getsockname()[1])
        self.port, self.admin = free_port(), free_port()
        self.start_redis()
        self.configure()
        log = os.path.join(self.directory.name, "log")
        with open(log, "wb") as out:
            self.weir = subprocess.Popen([self.program, "serve", "--config", self.file], stdout=out, stderr=out)
        try:
            await self.reachable()
            await asyncio.gather(self.trouble(), *(self.client() for _ in range(clients)))
            await self.finish()
        finally:
            self.weir.kill()
            self.redis.kill()
        with open(log, encoding="utf-8", errors="replace") as text:
            lines = text.read().splitlines()
        self.wrong += [line for line in lines if "ERROR: " in line or "WARNING: Thread" in line or "runtime error" in line]
        self.last_words = lines[-20:]

    async def reachable(self):
        while True:
            try:
                _, out = await asyncio.open_connection("127.0.0.1", self.port)
                return out.close()
            except ConnectionError:
                if self.weir.poll() is not None:
                    raise SystemExit(f"{self.program} does not start")
                await asyncio.sleep(0.05)

    async def finish(self):
        """Nothing is in flight any more; then the program is asked to end."""
        if self.weir.poll() is not None:
            self.wrong.insert(0, f"the program ended by itself, with {self.weir.returncode}")
            return
        until = time.monotonic() + PATIENCE
        while (left := await self.in_flight()) != 0 and time.monotonic() < until:
            await asyncio.sleep(0.1)
        if left != 0:
            self.wrong.append(f"{left} requests in flight at the end")
        self.weir.send_signal(signal.SIGTERM)
        code = await asyncio.to_thread(self.weir.wait, 2 * PATIENCE)
        if code != 0:
            self.wrong.append(f"the program ended with {code}")

    async def in_flight(self):
        source, out = await asyncio.open_connection("127.0.0.1", self.admin, limit=1 << 20)
        out.write(b"GET /metrics HTTP/1.1\r\nHost: weir.test\r\nConnection: close\r\n\r\n")
        text = (await source.read(-1)).decode()
        out.close()
        return int(re.search(r"^weir_requests_in_flight (\d+)", text, re.M)[1])


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("program")
    arguments.add_argument("--seconds", type=float, default=15)
    arguments.add_argument("--clients", type=int, default=40)
    arguments.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    how = arguments.parse_args()
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it tells of each client that was left
    print(f"--seed {how.seed}", flush=True)
    chaos = Chaos(how.program, how.seed, how.seconds)
    asyncio.run(chaos.run(how.clients))
    print(f"{chaos.serial} requests")
    for what, times in sorted(chaos.counts.items()):
        print(f"{times:8} {what}")
    for what in chaos.wrong[:20]:
        print("WRONG:", what)
    if chaos.wrong:
        print("the log ends:", *chaos.last_words, sep="\n")
    sys.exit(1 if chaos.wrong or chaos.counts["well 200"] == 0 else 0)


if __name__ == "__main__":
    main()
