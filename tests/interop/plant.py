"""What hangs behind the meter: a house and cars, whose currents the meter process is told many times a second."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from gateway import SOON, free_port

# How often the meter is told: faster than it is asked.
TELL_EVERY_S = 0.1


class Meter:
    """The meter's process, and a thread that tells it house plus cars."""

    def __init__(self, kind: str = "tcp", where: str | None = None):
        self.port = free_port()
        self.house = [3.0, 3.0, 3.0]
        # More on L1 every other second: a house is never quiet.
        self.ripple_a = 0.0
        # Each gives amperes on L1, L2, L3.
        self.cars = []
        self.generated_w = None
        self.process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("meter.py")), kind, where or str(self.port)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout.readline().strip() == "ready"
        self.is_over = False
        self.thread = threading.Thread(target=self._tell, daemon=True)
        self.thread.start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def load(self) -> list[float]:
        cars = [car() for car in self.cars]
        load = [self.house[phase] + sum(car[phase] for car in cars) for phase in range(3)]
        load[0] += self.ripple_a * (int(time.monotonic()) % 2)
        return load

    def freeze(self) -> None:
        os.kill(self.process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self.process.pid, signal.SIGCONT)

    def stop(self) -> None:
        self.is_over = True
        self.thaw()
        self.thread.join(SOON)
        self.process.kill()
        self.process.wait(SOON)

    def _tell(self) -> None:
        while not self.is_over:
            values = {"amps": self.load()}
            if self.generated_w is not None:
                values["generated_w"] = self.generated_w
            try:
                self.process.stdin.write(json.dumps(values) + "\n")
                self.process.stdin.flush()
            except (BrokenPipeError, ValueError):
                return
            time.sleep(TELL_EVERY_S)


def meter_toml(meter: Meter) -> str:
    return f"""
[[meter]]
id = "grid"
circuit = "main"
device = "eastron-sdm630"
address = "{meter.address}"
interval_ms = 250
"""
