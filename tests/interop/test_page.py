"""The page in a real browser: page.mjs drives Chromium against the running gateway."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

import mqtt_charger
from gateway import wait_for
from mqtt_charger import MqttCharger
from plant import meter_toml

SCRIPT = Path(__file__).with_name("page.mjs")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium")
def test_the_page_holds_up_in_a_browser(gateway, meter, broker, over, tmp_path):
    meter.ripple_a = 1.5
    charger = over(MqttCharger(broker.port, "headroom/chargers/left", {0}))
    meter.cars.append(charger.on_site)
    toml = meter_toml(meter) + f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
    running = gateway(toml + mqtt_charger.charger_toml("left", "R"))
    wait_for("the meter is fresh", lambda: running.circuit()["freshness"] == "fresh")
    seen = subprocess.run(
        ["node", SCRIPT.name, f"http://127.0.0.1:{running.http}/", str(tmp_path / "screenshots")],
        cwd=SCRIPT.parent,
        env={**os.environ, "CHROMIUM": CHROMIUM},
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )
    assert seen.returncode == 0, f"{seen.stdout}\n{seen.stderr}"
