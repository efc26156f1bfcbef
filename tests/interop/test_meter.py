"""pymodbus as meter and inverter, over TCP and over a serial line."""

import time

import pytest

import mqtt_charger
from gateway import Gateway, run, wait_for
from mqtt_charger import MqttCharger
from plant import Meter, meter_toml

L1, L2, L3 = 0, 1, 2
TOPIC = "headroom/chargers/"


def mqtt_toml(broker) -> str:
    return f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'


@pytest.fixture
def three_cars(gateway, meter, broker, over):
    """A one-phase car on each phase, all at full current."""
    cars = {}
    for name, rotation, phase in (("one", "R", L1), ("two", "S", L2), ("three", "T", L3)):
        cars[name] = over(MqttCharger(broker.port, TOPIC + name, {phase}))
        meter.cars.append(cars[name].on_site)
    toml = meter_toml(meter) + mqtt_toml(broker)
    toml += "".join(mqtt_charger.charger_toml(name, rotation) for name, rotation in (("one", "R"), ("two", "S"), ("three", "T")))
    running = gateway(toml)
    wait_for("all cars at 16 A", lambda: all(car.current_a() == 16 for car in cars.values()), within=60)
    return running, cars


def test_what_the_meter_says_is_shown(gateway, meter):
    meter.house = [1.5, 7.25, -4.0]
    running = gateway(meter_toml(meter))
    wait_for("the meter is fresh", lambda: running.circuit()["freshness"] == "fresh")
    wait_for("its currents are shown", lambda: near(running.circuit()["load_a"], meter.house))


def test_a_meter_on_a_serial_line_is_read(gateway, over, pty_pair):
    ours, theirs = pty_pair
    meter = over(Meter("rtu", theirs))
    meter.house = [2.0, 4.0, 8.0]
    running = gateway(
        f'[[meter]]\nid = "grid"\ncircuit = "main"\ndevice = "eastron-sdm630"\n'
        f'serial = "{ours}"\nbaud = 19200\nparity = "none"\ninterval_ms = 500\n'
    )
    wait_for("the meter is fresh", lambda: running.circuit()["freshness"] == "fresh", within=40)
    wait_for("its currents are shown", lambda: near(running.circuit()["load_a"], meter.house))


def test_a_sunspec_inverter_is_found_and_shown(gateway, meter):
    meter.generated_w = 2500
    running = gateway(
        meter_toml(meter)
        + f'[[inverter]]\nid = "roof"\ndevice = "sunspec"\naddress = "{meter.address}"\ninterval_ms = 500\n'
    )
    wait_for("2500 W are shown", lambda: running.status()["inverters"][0]["power_w"] == 2500)
    meter.generated_w = 3100
    wait_for("3100 W are shown", lambda: running.status()["inverters"][0]["power_w"] == 3100)


def test_a_house_step_on_one_phase_lowers_the_car_there_and_no_other(three_cars, meter):
    running, cars = three_cars
    before = {name: len(car.setpoints) for name, car in cars.items()}
    meter.house[L2] += 10
    wait_for("L2 fits again", lambda: meter.load()[L2] <= 24)
    assert cars["two"].current_a() >= 6, "13 A of house leave room for a car"
    time.sleep(3)
    for name in ("one", "three"):
        later = cars[name].setpoints[before[name] :]
        assert all(setpoint["current_a"] == 16 for setpoint in later), f"{name} was not to be touched: {later}"
        assert cars[name].current_a() == 16
    assert "L2" in running.evse("two")["words"], running.evse("two")


def test_a_meter_that_stands_still_brings_the_fallback_in_time(three_cars, meter):
    running, cars = three_cars
    meter.freeze()
    # lost_after_s is 5, and 8 s more are for whatever the machine does besides.
    wait_for("every car is told its fallback", lambda: all(car.current_a() == 6 for car in cars.values()), within=5 + 8)
    assert running.circuit()["freshness"] == "lost"
    assert any(alarm["severity"] == "error" for alarm in running.status()["alarms"])
    meter.thaw()
    wait_for("the meter is fresh again", lambda: running.circuit()["freshness"] == "fresh", within=40)
    wait_for("all cars at 16 A again", lambda: all(car.current_a() == 16 for car in cars.values()), within=60)


def test_probe_reads_a_live_meter(meter):
    meter.house = [1.0, 2.0, 3.5]
    time.sleep(1)
    found = run("probe", meter.address, "--device", "eastron-sdm630", within=60)
    assert found.returncode == 0, found
    assert "3.5" in found.stdout and "230" in found.stdout, found.stdout


def near(shown, wanted) -> bool:
    return shown is not None and all(abs(float(a) - b) < 0.06 for a, b in zip(shown, wanted, strict=True))


def test_status_prints_the_same_picture_as_json(gateway, meter):
    running: Gateway = gateway(meter_toml(meter))
    wait_for("the meter is fresh", lambda: running.circuit()["freshness"] == "fresh")
    printed = run("status", "--json", "--url", f"http://127.0.0.1:{running.http}")
    assert printed.returncode == 0, printed
    import json

    shown = json.loads(printed.stdout)
    assert shown["site"] == "peer" and shown["circuits"][0]["freshness"] == "fresh"
