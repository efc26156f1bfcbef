"""Two OCPP stacks of others as chargers: PyPI's `ocpp` and the Cargo registry's `ocpp-charge-point`."""

import json
import os
import subprocess
import threading
import time

import pytest

from gateway import free_port, wait_for
from ocpp_charger import OcppCharger, charger_toml
from plant import meter_toml

SECRET = "correct-horse-battery"
LEASE_S = 20
PEER = os.environ.get("CHARGE_POINT_BIN")


class RustCharger:
    """`tests/interop/charge-point` in a process of its own."""

    def __init__(self, url: str, user: str, password: str):
        self.lines = []
        self.process = subprocess.Popen(
            [PEER, url, user, password, "04A2B3C4"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))

    def current_a(self) -> float:
        return self.lines[-1]["current_a"] if self.lines else 0.0

    def on_site(self) -> list[float]:
        return [self.current_a()] * 3

    def stop(self):
        self.process.kill()
        self.process.wait(10)


def site(meter, identity="PEER-1", password=SECRET):
    port = free_port()
    toml = meter_toml(meter) + f'[ocpp]\nlisten = "127.0.0.1:{port}"\nmeter_interval_s = 2\n'
    toml += charger_toml("left", identity, password, LEASE_S)
    return toml, f"ws://127.0.0.1:{port}/ocpp/{identity}"


def test_every_frame_fits_the_schemas_and_the_limit_is_a_lease(gateway, meter, over):
    toml, url = site(meter)
    running = gateway(toml)
    charger = over(OcppCharger(url, "PEER-1", SECRET))
    meter.cars.append(charger.on_site)
    wait_for("a transaction is running", lambda: charger.started or charger.fault)
    assert charger.fault is None, charger.fault
    assert charger.booted.status == "Accepted"
    assert charger.started.transaction_id > 0
    assert charger.started.id_tag_info["status"] == "Accepted"

    wait_for("it charges at 16 A", lambda: charger.profiles and charger.current_a() == 16, within=60)
    received, connector, profile = charger.profiles[-1]
    schedule = profile["charging_schedule"]
    periods = schedule["charging_schedule_period"]
    assert connector == 1 and schedule["charging_rate_unit"] == "A" and "duration" not in schedule
    assert [period["limit"] for period in periods] == [16, 6], "the limit, then the fallback"
    # The schedule begins in the past, so the lease is what is left of the first period.
    assert charger.limit_a(received + LEASE_S - 3) == 16
    assert charger.limit_a(received + LEASE_S + 3) == 6
    wait_for("headroom counts what it measures", lambda: running.measures("left", 16))

    meter.house = [14.5, 3.0, 3.0]
    wait_for("9 A are left on L1", lambda: charger.current_a() == 9)
    assert "ClearChargingProfile" not in [getattr(frame, "action", "") for frame in charger.heard], "no limit for a moment"
    charger.stop()
    assert charger.ended is not None, "StopTransaction was answered"
    assert charger.faults == []


def test_a_lease_is_renewed_before_it_ends(gateway, meter, over):
    toml, url = site(meter)
    gateway(toml)
    charger = over(OcppCharger(url, "PEER-1", SECRET))
    meter.cars.append(charger.on_site)
    wait_for("it charges at 16 A", lambda: charger.started and charger.profiles and charger.current_a() == 16, within=60)
    end = time.monotonic() + 1.5 * LEASE_S
    while time.monotonic() < end:
        assert charger.current_a() == 16, "a lease lapsed although headroom lives"
        time.sleep(0.2)


def test_a_restart_within_the_lease_changes_no_current(gateway, meter, over):
    toml, url = site(meter)
    running = gateway(toml)
    charger = over(OcppCharger(url, "PEER-1", SECRET))
    meter.cars.append(charger.on_site)
    meter.house = [13.5, 3.0, 3.0]
    wait_for("it charges at 10 A", lambda: charger.started and charger.current_a() == 10, within=60)
    wait_for("headroom counts what it measures", lambda: running.measures("left", 10))
    running.stop()
    running.start()
    wait_for("the charger is back", lambda: charger.dialled_again and running.evse("left")["online"])
    end = time.monotonic() + LEASE_S
    while time.monotonic() < end:
        assert charger.current_a() == 10, [p[2]["charging_schedule"]["charging_schedule_period"] for p in charger.profiles]
        time.sleep(0.1)


def test_a_charger_that_accepts_and_ignores_is_seen_and_told(gateway, meter, over):
    toml, url = site(meter)
    running = gateway(toml)
    charger = over(OcppCharger(url, "PEER-1", SECRET, obeys=False))
    meter.cars.append(charger.on_site)
    wait_for("it charges at 16 A", lambda: charger.current_a() == 16, within=60)
    meter.house = [15.0, 3.0, 3.0]
    told = wait_for(
        "an alarm names the charger", lambda: [a for a in running.status()["alarms"] if "left" in a["id"] or "left" in a["text"]], 90
    )
    assert told
    limits = {period["limit"] for _, _, p in charger.profiles for period in p["charging_schedule"]["charging_schedule_period"][:1]}
    assert min(limits) < 9, f"it should be told less and less, in the end a pause: {limits}"


def test_a_charger_knows_its_people_while_the_gateway_is_away(gateway, meter, over):
    toml, url = site(meter)
    cards = ["04A2B3C4", "04A2B3C5", "04A2B3C6"]
    toml += '[policy]\naccess = "known"\n' + "".join(f'[[policy.token]]\nuid = "{card}"\n' for card in cards)
    gateway(toml)
    charger = over(OcppCharger(url, "PEER-1", SECRET))
    wait_for("it has the whole list, in two messages", lambda: len(charger.cards) == 3)
    assert charger.cards == dict.fromkeys(cards, "Accepted")
    wanted = {
        "LocalAuthListEnabled": "true",
        "LocalAuthorizeOffline": "true",
        "LocalPreAuthorize": "false",
        "AllowOfflineTxForUnknownId": "false",
    }
    assert wanted.items() <= charger.settings.items()
    assert charger.faults == []


def test_a_wrong_password_is_turned_away(gateway, meter, over):
    toml, url = site(meter)
    gateway(toml)
    charger = over(OcppCharger(url, "PEER-1", "wrong-password-here"))
    wait_for("the handshake fails", lambda: charger.fault is not None)
    assert "401" in repr(charger.fault), charger.fault


@pytest.mark.skipif(PEER is None, reason="CHARGE_POINT_BIN names no peer")
def test_without_headroom_the_charger_falls_back_by_itself(gateway, meter, over):
    toml, url = site(meter)
    running = gateway(toml)
    charger = over(RustCharger(url, "PEER-1", SECRET))
    meter.cars.append(charger.on_site)
    wait_for("it charges at 16 A", lambda: charger.current_a() == 16 and charger.lines[-1]["limit_a"] == 16, within=60)
    wait_for("headroom counts what it measures", lambda: running.measures("left", 16))
    meter.house = [13.5, 3.0, 3.0]
    wait_for("10 A are left on L1", lambda: charger.current_a() == 10)
    running.kill()
    # The lease is 20 s; the charger's own clock and schedule may take a few more.
    wait_for("the lease runs out", lambda: charger.current_a() == 6, within=LEASE_S + 15)
    running.start()
    wait_for("headroom takes it up again", lambda: charger.current_a() == 10, within=90)
