"""A charger that speaks headroom's own MQTT topics, by paho: one car that takes what it may."""

import json
import threading
import time

import paho.mqtt.client as paho

# What its car takes at most and at least.
CAR_MOST_A = 16.0
CAR_LEAST_A = 6.0
STATE_EVERY_S = 0.5


class MqttCharger:
    """`phases`: which site phases feed the car, such as `{1}` for L2 alone."""

    def __init__(self, port: int, topic: str, phases: set[int], obeys: bool = True, fallback_a: float = 6.0):
        self.topic = topic
        self.phases = phases
        self.obeys = obeys
        self.setpoint_a = fallback_a
        self.fallback_a = fallback_a
        self.number = None
        self.valid_until = time.monotonic()
        self.setpoints = []
        self.is_plugged = True
        self.is_over = threading.Event()
        self.client = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=topic.replace("/", "-"))
        self.client.will_set(f"{topic}/status", "offline", qos=1, retain=True)
        self.client.on_connect = self._connected
        self.client.on_message = self._told
        self.client.reconnect_delay_set(1, 2)
        self.client.connect("127.0.0.1", port, keepalive=5)
        self.client.loop_start()
        self.thread = threading.Thread(target=self._tell, daemon=True)
        self.thread.start()

    def limit_a(self) -> float:
        return self.setpoint_a if time.monotonic() < self.valid_until else self.fallback_a

    def current_a(self) -> float:
        allowed = CAR_MOST_A if not self.obeys else min(self.limit_a(), CAR_MOST_A)
        return allowed if self.is_plugged and allowed >= CAR_LEAST_A else 0.0

    def on_site(self) -> list[float]:
        return [self.current_a() if phase in self.phases else 0.0 for phase in range(3)]

    def stop(self) -> None:
        self.is_over.set()
        self.thread.join(5)
        self.client.disconnect()
        self.client.loop_stop()

    def _connected(self, client, *_):
        client.subscribe(f"{self.topic}/setpoint", qos=1)
        client.publish(f"{self.topic}/status", "online", qos=1, retain=True)

    def _told(self, _client, _userdata, message):
        setpoint = json.loads(message.payload)
        assert not message.retain, "a setpoint is never retained"
        self.setpoints.append(setpoint)
        self.number = setpoint["number"]
        self.setpoint_a = setpoint["current_a"]
        self.fallback_a = setpoint["fallback_a"]
        self.valid_until = time.monotonic() + setpoint["valid_s"]
        self._say()

    def _say(self):
        current = self.current_a()
        state = {
            "online": True,
            "plug": "charging" if current else "suspended_evse" if self.is_plugged else "available",
            "session": "abc" if self.is_plugged else None,
            "token": None,
            "current_a": [current if index < len(self.phases) else 0 for index in range(3)],
            "energy_kwh": 1.2,
            "setpoint_a": self.limit_a(),
            "number": self.number,
        }
        self.client.publish(f"{self.topic}/state", json.dumps(state), qos=1, retain=True)

    def _tell(self):
        while not self.is_over.wait(STATE_EVERY_S):
            self._say()


def charger_toml(name: str, rotation: str) -> str:
    return f"""
[[charger]]
id = "{name}"
circuit = "main"
protocol = "mqtt"
topic = "headroom/chargers/{name}"
phases = {len(rotation) if len(rotation) == 3 else 1}
rotation = "{rotation}"
lease_s = 30
response_s = 3
lapse = "a"
metering_s = 1
"""
