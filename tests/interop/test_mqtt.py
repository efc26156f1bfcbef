"""mosquitto as broker: what headroom says stays there, is marked dead with it, and comes back after a restart."""

import json
import threading

import paho.mqtt.client as paho
import pytest

import mqtt_charger
from gateway import wait_for
from mqtt_charger import MqttCharger
from plant import meter_toml


class Listener:
    """Hears everything below `headroom/`."""

    def __init__(self, port: int):
        self.retained, self.latest = {}, {}
        self.lock = threading.Lock()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self.client.on_connect = lambda client, *_: client.subscribe("headroom/#", qos=1)
        self.client.on_message = self._hear
        self.client.connect("127.0.0.1", port, keepalive=10)
        self.client.loop_start()

    def _hear(self, _client, _userdata, message):
        with self.lock:
            self.latest[message.topic] = message.payload.decode()
            if message.retain:
                self.retained[message.topic] = message.payload.decode()

    def stop(self):
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def running(gateway, meter, broker):
    toml = meter_toml(meter) + f'[mqtt]\nhost = "127.0.0.1"\nport = {broker.port}\n'
    return gateway(toml + mqtt_charger.charger_toml("right", "S"))


def test_status_is_retained_and_a_killed_gateway_is_offline(running, broker, over):
    wait_for("the status is kept by the broker", lambda: "headroom/peer/status" in over_listener(broker, over).retained)
    listener = over(Listener(broker.port))
    wait_for("it says online", lambda: "online" in listener.retained.get("headroom/peer/status", ""))
    state = json.loads(wait_for("the EVSE's state is kept", lambda: listener.retained.get("headroom/peer/evse/right/state")))
    assert "setpoint_a" in state, state
    running.kill()
    wait_for("the last will says offline", lambda: "offline" in listener.latest["headroom/peer/status"], within=60)


def over_listener(broker, over) -> Listener:
    """A new one each time: only at its beginning is a client told what is retained."""
    listener = over(Listener(broker.port))
    threading.Event().wait(1)
    return listener


def test_a_broker_that_was_restarted_is_told_everything_again(running, broker, over):
    charger = over(MqttCharger(broker.port, "headroom/chargers/right", {1}))
    wait_for("the charger gets a setpoint", lambda: charger.setpoints, within=60)
    broker.kill()
    wait_for("headroom goes on without it", lambda: running.circuit()["freshness"] == "fresh")
    broker.start()
    before = len(charger.setpoints)
    listener = over(Listener(broker.port))
    wait_for("online again", lambda: "online" in listener.latest.get("headroom/peer/status", ""), within=60)
    wait_for("the EVSE's state is there again", lambda: listener.latest.get("headroom/peer/evse/right/state"), within=60)
    wait_for("the charger gets setpoints again", lambda: len(charger.setpoints) > before, within=90)


def test_a_setpoint_is_a_lease_with_a_fallback(running, broker, meter, over):
    charger = over(MqttCharger(broker.port, "headroom/chargers/right", {1}))
    meter.cars.append(charger.on_site)
    wait_for("it charges at 16 A", lambda: charger.current_a() == 16, within=60)
    setpoint = charger.setpoints[-1]
    assert setpoint["fallback_a"] == 6 and 0 < setpoint["valid_s"] <= 30, setpoint
    numbers = [setpoint["number"] for setpoint in charger.setpoints]
    assert numbers == sorted(set(numbers)), "each order has its number"
    running.kill()
    wait_for("it falls back by itself", lambda: charger.current_a() == 6, within=40)
