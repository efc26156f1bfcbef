"""What every test stands on: the gateway, a meter, a broker; all are gone when the test is over."""

import shutil
import socket
import subprocess

import pytest

from gateway import Gateway, free_port, wait_for
from plant import Meter


@pytest.fixture
def over():
    """Collects what has to be stopped; stops it in reverse, whatever happened."""
    started = []
    yield lambda thing: started.append(thing) or thing
    for thing in reversed(started):
        thing.stop()


@pytest.fixture
def gateway(tmp_path, over, request):
    """Starts headroom with what a test adds to the common configuration."""
    gateways = []

    def begin(more: str, **options) -> Gateway:
        made = over(Gateway(tmp_path, more, **options))
        gateways.append(made)
        return made.start()

    yield begin
    report = getattr(request.node, "report", None)
    if report is not None and report.failed:
        for made in gateways:
            print(f"--- the last of headroom's log\n{made.text()[-8000:]}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    if call.when == "call":
        item.report = report
    return report


@pytest.fixture
def meter(over) -> Meter:
    return over(Meter())


class Broker:
    """mosquitto on a port of its own."""

    def __init__(self, folder):
        self.port = free_port()
        self.config = folder / "mosquitto.conf"
        self.config.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\npersistence false\n")
        self.start()

    def start(self):
        program = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
        self.process = subprocess.Popen([program, "-c", str(self.config)], stderr=subprocess.DEVNULL)
        wait_for("the broker listens", lambda: can_connect(self.port))

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    stop = kill


def can_connect(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


@pytest.fixture
def broker(tmp_path, over) -> Broker:
    return over(Broker(tmp_path))


@pytest.fixture
def pty_pair(tmp_path):
    """Two ends of a serial line, by socat."""
    ends = [tmp_path / "ours", tmp_path / "theirs"]
    line = subprocess.Popen(["socat", *[f"PTY,link={end},raw,echo=0" for end in ends]])
    wait_for("socat's serial line", lambda: all(end.exists() for end in ends))
    yield [str(end) for end in ends]
    line.kill()
    line.wait(10)
