"""An OCPP 1.6J charger by PyPI's `ocpp`, which checks each frame against the schemas of the Open Charge Alliance."""

import asyncio
import base64
import threading
import time
from datetime import datetime, timezone

import websockets
from ocpp.messages import Call, unpack, validate_payload
from ocpp.routing import on
from ocpp.v16 import ChargePoint, call, call_result
from ocpp.v16.enums import Action

CAR_MOST_A = 16.0
CAR_LEAST_A = 6.0
DIAL_EVERY_S = 0.5


def instant(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def now_text() -> str:
    return datetime.now(timezone.utc).isoformat().replace("+00:00", "Z")


class Station(ChargePoint):
    """What the central system may ask of it."""

    def __init__(self, *arguments, owner: "OcppCharger"):
        super().__init__(*arguments)
        self.owner = owner

    async def route_message(self, raw_msg):
        message = unpack(raw_msg)
        if isinstance(message, Call):
            try:
                await validate_payload(message, "1.6")
            except Exception as fault:  # noqa: BLE001: whatever is wrong with a frame is the finding
                self.owner.faults.append(f"{raw_msg}: {fault!r}")
        self.owner.heard.append(message)
        await super().route_message(raw_msg)

    @on(Action.set_charging_profile)
    def on_set_charging_profile(self, connector_id, cs_charging_profiles):
        self.owner.profiles.append((time.time(), connector_id, cs_charging_profiles))
        return call_result.SetChargingProfile("Accepted")

    @on(Action.clear_charging_profile)
    def on_clear_charging_profile(self, **criteria):
        self.owner.cleared.append(criteria)
        return call_result.ClearChargingProfile("Accepted")

    @on(Action.get_configuration)
    def on_get_configuration(self, key=None):
        known = {
            "ChargingScheduleAllowedChargingRateUnit": "Current",
            "ChargeProfileMaxStackLevel": "3",
            "ChargingScheduleMaxPeriods": "10",
            "MaxChargingProfilesInstalled": "5",
            "NumberOfConnectors": "1",
            "SupportedFeatureProfiles": "Core,SmartCharging,LocalAuthListManagement",
            "LocalAuthListEnabled": "false",
            "LocalAuthListMaxLength": "40",
            "SendLocalListMaxLength": "2",
            "LocalAuthorizeOffline": "false",
            "LocalPreAuthorize": "true",
            "AllowOfflineTxForUnknownId": "true",
            **self.owner.settings,
        }
        wanted = key or list(known)
        return call_result.GetConfiguration(
            configuration_key=[{"key": k, "readonly": False, "value": known[k]} for k in wanted if k in known],
            unknown_key=[k for k in wanted if k not in known],
        )

    @on(Action.change_configuration)
    def on_change_configuration(self, key, value):
        self.owner.settings[key] = value
        return call_result.ChangeConfiguration("Accepted")

    @on(Action.trigger_message)
    def on_trigger_message(self, requested_message, connector_id=None):
        self.owner.triggered.append(requested_message)
        return call_result.TriggerMessage("Accepted")

    @on(Action.get_local_list_version)
    def on_get_local_list_version(self):
        return call_result.GetLocalListVersion(self.owner.list_version)

    @on(Action.send_local_list)
    def on_send_local_list(self, list_version, update_type, local_authorization_list=None):
        if update_type == "Full":
            self.owner.cards = {}
        elif list_version <= self.owner.list_version:
            return call_result.SendLocalList("VersionMismatch")
        self.owner.cards |= {entry["id_tag"]: entry["id_tag_info"]["status"] for entry in local_authorization_list}
        self.owner.list_version = list_version
        return call_result.SendLocalList("Accepted")

    @on(Action.get_composite_schedule)
    def on_get_composite_schedule(self, **_):
        return call_result.GetCompositeSchedule("Rejected")


class OcppCharger:
    """Dials, boots and charges in a thread of its own; `obeys = False` accepts every profile and ignores it."""

    def __init__(self, url: str, user: str, password: str, obeys: bool = True, id_tag: str = "04A2B3C4"):
        self.url, self.user, self.password, self.id_tag = url, user, password, id_tag
        self.obeys = obeys
        self.faults, self.heard, self.profiles, self.cleared, self.triggered = [], [], [], [], []
        self.settings = {}
        self.list_version, self.cards = 0, {}
        self.booted = self.started = self.ended = None
        self.energy_wh = 0.0
        self.dialled_again = 0
        self.fault = None
        self.is_over = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def limit_a(self, at: float | None = None) -> float:
        """What its newest profile allows at that wall time, in amperes."""
        if not self.profiles:
            return CAR_MOST_A
        at = time.time() if at is None else at
        received, _, profile = self.profiles[-1]
        schedule = profile["charging_schedule"]
        start = instant(schedule["start_schedule"]) if "start_schedule" in schedule else received
        limit = CAR_MOST_A
        for period in schedule["charging_schedule_period"]:
            if at >= start + period["start_period"]:
                limit = period["limit"]
        return float(limit)

    def current_a(self) -> float:
        allowed = min(self.limit_a(), CAR_MOST_A) if self.obeys else CAR_MOST_A
        return allowed if self.started and allowed >= CAR_LEAST_A else 0.0

    def on_site(self) -> list[float]:
        return [self.current_a()] * 3

    def stop(self) -> None:
        self.is_over.set()
        self.thread.join(10)

    def _run(self) -> None:
        try:
            asyncio.run(self._charge())
        except Exception as fault:  # noqa: BLE001: told by the test that waits for it
            if not self.is_over.is_set():
                self.fault = fault

    async def _charge(self) -> None:
        login = base64.b64encode(f"{self.user}:{self.password}".encode()).decode()
        dial = {"subprotocols": ["ocpp1.6"], "additional_headers": {"Authorization": f"Basic {login}"}}
        while not self.is_over.is_set():
            try:
                async with websockets.connect(self.url, **dial) as socket:
                    assert socket.subprotocol == "ocpp1.6"
                    await self._connected(Station(self.user, socket, owner=self))
            except (OSError, websockets.ConnectionClosed):
                # The gateway is away: the transaction goes on, and the charger dials again.
                self.dialled_again += 1
            await asyncio.sleep(DIAL_EVERY_S)

    async def _connected(self, station: Station) -> None:
        listening = asyncio.create_task(station.start())
        session = asyncio.create_task(self._session(station))
        try:
            done, _ = await asyncio.wait([listening, session], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            listening.cancel()
            session.cancel()

    async def _session(self, station: Station) -> None:
        async def say(message):
            return await station.call(message, suppress=False)

        if self.started is None:
            self.booted = await say(call.BootNotification(charge_point_model="Python", charge_point_vendor="Peer"))
            for status in ("Available", "Preparing"):
                await say(call.StatusNotification(1, "NoError", status))
            await say(call.Authorize(self.id_tag))
            self.started = await say(call.StartTransaction(1, self.id_tag, 0, now_text()))
        await say(call.StatusNotification(1, "NoError", "Charging"))
        transaction = self.started.transaction_id
        while not self.is_over.is_set():
            current = self.current_a()
            self.energy_wh += current * 3 * 230 / 3600
            phases = [
                {"value": f"{current:.1f}", "measurand": "Current.Import", "unit": "A", "phase": f"L{n}"} for n in (1, 2, 3)
            ]
            register = {"value": f"{self.energy_wh:.0f}", "measurand": "Energy.Active.Import.Register", "unit": "Wh"}
            value = {"timestamp": now_text(), "sampledValue": [*phases, register]}
            await say(call.MeterValues(1, [value], transaction))
            await asyncio.sleep(1)
        self.ended = await say(call.StopTransaction(round(self.energy_wh), now_text(), transaction, reason="Local"))


def charger_toml(name: str, identity: str, password: str, lease_s: int = 120) -> str:
    return f"""
[[charger]]
id = "{name}"
circuit = "main"
protocol = "ocpp"
identity = "{identity}"
password = "{password}"
lease_s = {lease_s}
response_s = 3
lapse = "a"
metering_s = 1
"""
