"""The real `headroom` in a process of its own, with free ports and a folder of its own."""

import os
import signal
import socket
import subprocess
import time
from pathlib import Path

import requests

BINARY = os.environ.get("HEADROOM_BIN", "headroom")
# How long anything may take that should happen at once: generous, because the machine may be busy.
SOON = 20.0

HEAD = """
[site]
id = "peer"
wiring = "star"
house_worst_a = {house_worst_a}
state_dir = "{folder}/state"

[[circuit]]
id = "main"
fuse_a = 25
margin_a = 1.0

[http]
listen = "127.0.0.1:{http}"

[recorder]
dir = "{folder}/flight"

[control]
hold_s = 1
restart_s = 10
stale_after_s = 3
lost_after_s = 5
good_samples = 3
"""


def free_port() -> int:
    """A port that nobody has now. Taken again at once, so that two calls do not meet."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what: str, happens, within: float = SOON):
    """What `happens` returns as soon as it is true; an assertion that names it otherwise."""
    end = time.monotonic() + within
    last = None
    while True:
        try:
            last = happens()
            if last:
                return last
        except (requests.RequestException, KeyError, IndexError, ValueError) as fault:
            last = fault
        assert time.monotonic() < end, f"not within {within:.0f} s: {what}; last: {last!r}"
        time.sleep(0.1)


class Gateway:
    """`headroom run` with a configuration: a head that all share, and what a test adds to it."""

    def __init__(self, folder: Path, more: str, environment=None, house_worst_a="[13, 13, 13]"):
        self.folder = folder
        self.http = free_port()
        self.config = folder / "headroom.toml"
        self.log = folder / "headroom.log"
        self.environment = environment or {}
        self.config.write_text(HEAD.format(folder=folder, http=self.http, house_worst_a=house_worst_a) + more)
        self.process = None

    def start(self) -> "Gateway":
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [BINARY, "run", "--config", str(self.config)],
                stdout=log,
                stderr=log,
                env={**os.environ, "HEADROOM_LOG": "debug", **self.environment},
            )
        wait_for("headroom shows its status", self.status)
        return self

    def status(self) -> dict:
        assert self.process.poll() is None, f"headroom ended by itself: {self.process.returncode}\n{self.text()}"
        answer = requests.get(f"http://127.0.0.1:{self.http}/status.json", timeout=5)
        answer.raise_for_status()
        return answer.json()

    def circuit(self) -> dict:
        return self.status()["circuits"][0]

    def evse(self, name: str) -> dict:
        return next(evse for evse in self.status()["evses"] if evse["id"] == name)

    def measures(self, name: str, current: float) -> bool:
        """Does it know by the charger's own meter that the car takes so much?"""
        evse = self.evse(name)
        return evse["is_measured"] and max(evse["draw_a"]) == current

    def text(self) -> str:
        return self.log.read_text(errors="replace") if self.log.exists() else ""

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(SOON)

    def stop(self) -> None:
        """An orderly stop; killed if it does not come."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(SOON)
            except subprocess.TimeoutExpired:
                self.kill()


def run(*arguments: str, within: float = SOON, **options) -> subprocess.CompletedProcess:
    """One of headroom's other commands, to its end."""
    return subprocess.run([BINARY, *arguments], capture_output=True, text=True, timeout=within, **options)

