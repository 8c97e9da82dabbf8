"""What the measurements share: processes that end with the run, CPU times, medians, tables."""
import atexit
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time

TICKS = os.sysconf("SC_CLK_TCK")
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
WEIR = os.environ.get("WEIR", os.path.join(ROOT, "build", "release", "weir"))

_running = []
_directory = None


def directory():
    """A private directory, removed at the end."""
    global _directory
    if _directory is None:
        _directory = tempfile.mkdtemp(prefix="weir-bench-")
    return _directory


@atexit.register
def _end():
    for process in reversed(_running):
        process.terminate()
    for process in _running:
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
    if _directory:
        shutil.rmtree(_directory, ignore_errors=True)


signal.signal(signal.SIGTERM, lambda *_: exit(143))


def start(*command, **options):
    """Starts a process in the foreground of its own, whose output goes to a file in `directory()`."""
    log = open(os.path.join(directory(), f"{os.path.basename(command[0])}-{len(_running)}.log"), "w+b")
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **options)
    process.log = log
    _running.append(process)
    return process


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port, process, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            break
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    process.log.seek(0)
    raise SystemExit(f"{process.args[0]} does not serve on port {port}:\n{process.log.read().decode()}")


def redis_server(*under):
    """A private redis-server without persistence, run by the command `under`; returns (process, path of its unix socket)."""
    path = os.path.join(directory(), f"redis-{len(_running)}.sock")
    process = start(*under, "redis-server", "--port", "0", "--unixsocket", path, "--save", "", "--appendonly", "no",
                    "--dir", directory(), "--enable-debug-command", "yes")
    end = time.monotonic() + 10
    while time.monotonic() < end and process.poll() is None:
        with socket.socket(socket.AF_UNIX) as s:
            if s.connect_ex(path) == 0:
                return process, path
        time.sleep(0.02)
    raise SystemExit("redis-server does not start: is it installed? (scripts/packages bench)")


def cpu_seconds(pid):
    """User and system time of a process and of its threads, to the nanosecond where the kernel tells."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{task}/schedstat") as f:
                total += int(f.read().split()[0])
        except FileNotFoundError:  # a thread that has just ended
            continue
    return total / 1e9


def children(pid):
    found = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True).stdout.split()
    return [int(each) for each in found]


def median(values):
    return statistics.median(values)


def spread(values, digits=2):
    """The median, and between which values it lies."""
    return f"{median(values):.{digits}f} ({min(values):.{digits}f}-{max(values):.{digits}f})"


def table(heads, rows):
    widths = [max(len(str(row[i])) for row in [heads, *rows]) for i in range(len(heads))]
    for row in [heads, ["-" * w for w in widths], *rows]:
        first, *rest = row
        print("  ".join([str(first).ljust(widths[0]), *(str(c).rjust(w) for c, w in zip(rest, widths[1:]))]).rstrip())
    print(flush=True)
