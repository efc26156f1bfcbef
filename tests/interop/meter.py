"""A Modbus device of its own process, by pymodbus: `python meter.py tcp PORT` or `python meter.py rtu DEVICE`.

At the input registers from 0 it is an Eastron SDM630, at the holding registers from 40000 a SunSpec inverter (models 1
and 103). It takes its values as JSON lines on stdin, `{"amps": [3, 3, 3], "generated_w": 2500}`, says `ready` once, and
ends with its stdin. Volts are 230, currents import, power is volts times amperes.
"""

import asyncio
import json
import struct
import sys
import threading

from pymodbus.framer import FramerType
from pymodbus.server import StartAsyncSerialServer, StartAsyncTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

VOLTS = 230.0
FREQUENCY = 50.0
SUNSPEC_AT = 40000

# Words by address; the server's action lays them over what it answers.
words: dict[int, int] = {}


def put_float(address: int, value: float) -> None:
    words[address], words[address + 1] = struct.unpack(">HH", struct.pack(">f", value))


def set_amps(amps: list[float]) -> None:
    for phase, current in enumerate(amps):
        put_float(0x00 + 2 * phase, VOLTS)
        put_float(0x06 + 2 * phase, abs(current))
        put_float(0x0C + 2 * phase, current * VOLTS)
    put_float(0x34, sum(amps) * VOLTS)
    put_float(0x46, FREQUENCY)
    put_float(0x48, 1234.5)
    put_float(0x4A, 67.8)


def set_generated(watts: int) -> None:
    # Model 103, from its ID word: W is point 14, its scale factor 15.
    words[SUNSPEC_AT + 70 + 14] = watts & 0xFFFF


def sunspec_chain() -> list[int]:
    text = b"Peer".ljust(32, b"\0")
    common = [1, 66, *struct.unpack(">16H", text), *[0] * 49, 0x8000]
    tenth = (-1) & 0xFFFF
    phase_amps = [70, 71, 72]
    inverter = [103, 50, sum(phase_amps), *phase_amps, tenth, 4000, 4000, 4000, 2300, 2300, 2300, tenth]
    inverter += [0, 0, 500, tenth]
    inverter += [0x8000] * (52 - len(inverter))
    return [0x5375, 0x6E53, *common, *inverter, 0xFFFF, 0]


def listen_to_stdin() -> None:
    for line in sys.stdin:
        values = json.loads(line)
        if "amps" in values:
            set_amps(values["amps"])
        if "generated_w" in values:
            set_generated(values["generated_w"])
    # Whoever started us is gone.
    import os

    os._exit(0)


async def lay_over(_function, start, address, count, registers, _written):
    for at in range(address, address + count):
        if at in words:
            registers[at - start] = words[at]


async def main() -> None:
    kind, where = sys.argv[1:3]
    set_amps([0.0, 0.0, 0.0])
    chain = sunspec_chain()
    registers = [
        SimData(0, count=400, values=0, datatype=DataType.REGISTERS),
        SimData(SUNSPEC_AT, values=chain, datatype=DataType.REGISTERS),
    ]
    device = SimDevice(id=1, simdata=registers, action=lay_over)
    threading.Thread(target=listen_to_stdin, daemon=True).start()
    asyncio.get_running_loop().call_later(0.2, lambda: print("ready", flush=True))
    if kind == "tcp":
        await StartAsyncTcpServer(device, address=("127.0.0.1", int(where)))
    else:
        await StartAsyncSerialServer(device, port=where, framer=FramerType.RTU, baudrate=19200, parity="N", stopbits=1)


if __name__ == "__main__":
    asyncio.run(main())
