"""php-redis (Debian's php-redis): locks and queues in the style of Laravel, of several processes at once."""

import subprocess
from pathlib import Path

SCRIPT = Path(__file__).resolve().parent / "php" / "queue.php"


def php(server, *words):
    command = ["php", SCRIPT, str(server.port), *map(str, words)]
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def end(*processes):
    """All of them end well, in time."""
    try:
        said = [process.communicate(timeout=60)[0] for process in processes]
    finally:
        for process in processes:
            process.kill()
            process.wait()
    assert [process.returncode for process in processes] == [0] * len(processes), said


def test_a_lock_keeps_its_promises(server):
    end(php(server, "check"))


def test_a_lock_lets_one_in(server):
    server.client().delete("counter")
    end(*[php(server, "contend", 100) for _ in range(3)])
    assert server.client().get("counter") == b"300", "nobody was inside together with somebody else"


def test_every_job_is_done_once(server):
    client = server.client(decode_responses=True)
    end(php(server, "push", 300))
    end(*[php(server, "work", 0.6) for _ in range(3)])
    names = [str(n) for n in range(300)] + [f"late{n}" for n in range(5)]
    assert client.hgetall("done") == dict.fromkeys(names, "1")
    attempts = {name: "2" if name.isdigit() and int(name) % 7 == 0 else "1" for name in names}
    assert client.hgetall("attempts") == attempts
    assert client.keys("queues:*") == [], "nothing is left"
