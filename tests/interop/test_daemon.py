"""The outside of the daemon: configuration faults, systemd's watchdog, an orderly stop, the journal."""

import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gateway import BINARY, SOON, Gateway, run, wait_for
from plant import meter_toml

# An unknown key, a wrong type, a dangling parent, fallbacks above the fuse, an identity used twice: file and lines.
FIVE_FAULTS = Path(__file__).parents[1] / "config" / "five-faults.toml"
THEIR_LINES = (6, 10, 14, 23, 36)


class Supervisor:
    """systemd's side of sd_notify(3)."""

    def __init__(self, folder: Path):
        self.path = folder / "notify"
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        self.socket.setblocking(False)
        self.heard = []

    def environment(self, watchdog_s: float) -> dict:
        return {"NOTIFY_SOCKET": str(self.path), "WATCHDOG_USEC": str(int(watchdog_s * 1e6))}

    def listen(self) -> list:
        """What was said so far, each line with its time."""
        while True:
            try:
                lines = self.socket.recv(4096).decode().splitlines()
            except BlockingIOError:
                return self.heard
            self.heard += [(time.monotonic(), line) for line in lines]

    def said(self, line: str) -> list[float]:
        return [at for at, heard in self.listen() if heard == line]

    def stop(self):
        self.socket.close()


def test_five_faults_are_told_at_once_with_their_lines():
    for command in (["check", str(FIVE_FAULTS)], ["run", "--config", str(FIVE_FAULTS)]):
        told = run(*command)
        text = told.stdout + told.stderr
        assert told.returncode == 78, told
        assert len(re.findall(r"^error\[E\d+\]", text, re.MULTILINE)) == 5, text
        for line in THEIR_LINES:
            assert f"five-faults.toml:{line}:" in text, f"line {line} is not named:\n{text}"
        assert 'did you mean "main"' in text


def test_systemd_hears_ready_alive_and_stopping(gateway, meter, tmp_path, over):
    supervisor = over(Supervisor(tmp_path))
    running = gateway(meter_toml(meter), environment=supervisor.environment(watchdog_s=2))
    wait_for("READY=1", lambda: supervisor.said("READY=1"))
    wait_for("the watchdog is fed three times", lambda: len(supervisor.said("WATCHDOG=1")) >= 3)
    assert any(line.startswith("STATUS=") for _, line in supervisor.listen())

    running.process.send_signal(signal.SIGSTOP)
    time.sleep(1)
    supervisor.listen()
    before = len(supervisor.said("WATCHDOG=1"))
    time.sleep(3)
    assert len(supervisor.said("WATCHDOG=1")) == before, "a daemon that stands still does not feed"
    running.process.send_signal(signal.SIGCONT)
    wait_for("it is fed again", lambda: len(supervisor.said("WATCHDOG=1")) > before)

    running.process.terminate()
    assert running.process.wait(SOON) == 0
    assert supervisor.said("STOPPING=1")


def test_an_orderly_stop_takes_less_than_five_seconds(gateway, meter):
    for ending in (signal.SIGTERM, signal.SIGINT):
        running = gateway(meter_toml(meter))
        running.process.send_signal(ending)
        assert running.process.wait(5) == 0


def can_unshare() -> bool:
    return subprocess.run(["unshare", "-rm", "true"], capture_output=True, check=False).returncode == 0


# Run with a /run of its own, in which it is the journal: `mode` is `read`, or `stall` where it never reads.
JOURNAL = """
import os, socket, subprocess, sys, time
mode, out, *command = sys.argv[1:]
os.makedirs("/run/systemd/journal")
journal = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
journal.bind("/run/systemd/journal/socket")
reader, writer = os.pipe()
name = os.fstat(writer)
environment = {**os.environ, "JOURNAL_STREAM": f"{name.st_dev}:{name.st_ino}"}
child = subprocess.Popen(command, stderr=writer, env=environment)
print(child.pid, flush=True)
journal.settimeout(0.2)
with open(out, "ab", buffering=0) as file:
    while child.poll() is None:
        if mode == "stall":
            time.sleep(0.2)
            continue
        try:
            file.write(journal.recv(65536) + b"\\n--\\n")
        except TimeoutError:
            pass
sys.exit(child.returncode)
"""


@pytest.fixture
def under_a_journal(tmp_path, over):
    if not can_unshare():
        pytest.skip("no user namespaces here")

    def begin(mode: str, made: Gateway) -> Gateway:
        script = tmp_path / "journal.py"
        script.write_text(JOURNAL)
        inside = f'mount -t tmpfs none /run && exec {sys.executable} {script} {mode} {tmp_path}/journal "$@"'
        command = ["unshare", "-rm", "sh", "-c", inside, "sh", BINARY, "run", "--config", str(made.config)]
        made.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, env={**os.environ, "HEADROOM_LOG": "trace", **made.environment}
        )
        made.daemon = int(made.process.stdout.readline())
        over(made)
        return made

    return begin


def test_the_journal_gets_fields(under_a_journal, meter, tmp_path):
    running = under_a_journal("read", Gateway(tmp_path, meter_toml(meter)))
    wait_for("it runs", running.status)
    os.kill(running.daemon, signal.SIGTERM)
    assert running.process.wait(SOON) == 0
    journal = (tmp_path / "journal").read_bytes()
    assert b"PRIORITY=5\n" in journal and b"SYSLOG_IDENTIFIER=headroom\n" in journal
    assert re.search(rb"^HR_[A-Z_]+\n", journal, re.MULTILINE), "no line had a field of ours"
    assert not (tmp_path / "headroom.log").exists()


def test_a_journal_that_stands_still_does_not_hold_the_daemon(under_a_journal, meter, tmp_path, over):
    supervisor = over(Supervisor(tmp_path))
    running = under_a_journal("stall", Gateway(tmp_path, meter_toml(meter), environment=supervisor.environment(2)))
    wait_for("it runs", running.status)
    fed = len(supervisor.said("WATCHDOG=1"))
    meter.house = [5.0, 6.0, 7.0]
    wait_for("it steps", lambda: len(supervisor.said("WATCHDOG=1")) > fed + 4)
    assert running.circuit()["freshness"] == "fresh"
    os.kill(running.daemon, signal.SIGTERM)
    assert running.process.wait(5) == 0, "nor does its end wait for the journal"


def test_a_port_that_is_taken_is_told(meter, tmp_path):
    made = Gateway(tmp_path, meter_toml(meter))
    with socket.socket() as other:
        other.bind(("127.0.0.1", made.http))
        other.listen()
        told = run("run", "--config", str(made.config), within=SOON)
    assert told.returncode == 1, told
    assert str(made.http) in told.stdout + told.stderr

