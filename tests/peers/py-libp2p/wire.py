"""LES bytes: one message is one RLP item `[code, payload]` on a libp2p stream."""

import json
import zlib

import rlp
from eth_hash.auto import keccak

STATUS = 0x00
ANNOUNCE = 0x01
GET_BLOCK_HEADERS = 0x02
GET_BLOCK_BODIES = 0x04
GET_RECEIPTS = 0x06
GET_CONTRACT_CODES = 0x0A
GET_PROOFS_V2 = 0x0F

# The largest message a relay may send.
MAX_MESSAGE = (10 << 20) + 16
MAX_HEADERS = 192


class Broken(Exception):
    """The relay broke a rule, or what it said does not verify."""


def must(truth, claim):
    if not truth:
        raise Broken(f"not verified: {claim}")


def unhex(text):
    return bytes.fromhex(text.removeprefix("0x"))


def integer(value):
    """The shortest big-endian form; zero is empty."""
    return value.to_bytes((value.bit_length() + 7) // 8, "big")


def number(data):
    return int.from_bytes(data, "big")


def item_length(data):
    """How long the list at the start is with its header; None if that is not known yet."""
    if not data:
        return None
    first = data[0]
    must(first >= 0xC0, f"an item on the stream is a list; it starts with {first}")
    if first < 0xF8:
        return 1 + first - 0xC0
    size = first - 0xF7
    if len(data) < 1 + size:
        return None
    length = 1 + size + number(data[1 : 1 + size])
    must(length <= MAX_MESSAGE, f"a message of {length} bytes")
    return length


class Chain:
    """What a chain's genesis.json says, and the hash of its genesis block."""

    def __init__(self, genesis_file, genesis_hash):
        with open(genesis_file, encoding="utf-8") as file:
            self.config = json.load(file)["config"]
        self.network = self.config["chainId"]
        self.genesis = unhex(genesis_hash)

    def fork_id(self):
        """The EIP-2124 fork id of the genesis block."""
        forks = [at for key, at in self.config.items() if key.endswith("Block") and isinstance(at, int) and at > 0]
        return [zlib.crc32(self.genesis).to_bytes(4, "big"), integer(min(forks, default=0))]


class Session:
    """A LES session over one stream: one question at a time; announcements are passed over."""

    def __init__(self, stream, version):
        self.stream = stream
        self.version = version
        self.held = b""
        self.last_id = 0
        self.announced = 0

    async def send(self, code, payload):
        await self.stream.write(rlp.encode([integer(code), payload]))

    async def next(self):
        while (length := item_length(self.held)) is None or length > len(self.held):
            chunk = await self.stream.read(1 << 16)
            must(chunk, "the stream goes on")
            self.held += chunk
        item, self.held = self.held[:length], self.held[length:]
        code, payload = rlp.decode(item)
        return number(code), payload

    async def greet(self, chain):
        """Sends our Status and gives the relay's."""
        ours = {
            "protocolVersion": integer(self.version),
            "networkId": integer(chain.network),
            "headTd": b"",
            "headHash": bytes(32),
            "headNum": b"",
            "genesisHash": chain.genesis,
            "announceType": integer(1),
        }
        if self.version >= 4:
            ours["forkID"] = chain.fork_id()
        await self.send(STATUS, [[key.encode(), value] for key, value in ours.items()])
        code, payload = await self.next()
        must(code == STATUS, f"a Status comes first, not code {code:#x}")
        status = {key.decode(): value for key, value in payload}
        for key in ("protocolVersion", "networkId", "genesisHash"):
            must(status.get(key) == ours[key], f"{key} of the Status")
        must(status.get("forkID") == ours.get("forkID") or self.version < 4, "forkID of the Status")
        must("flowControl/BL" in status, "the Status has flow control")
        return status

    async def ask(self, code, query):
        """The items of the answer to a question."""
        self.last_id += 1
        await self.send(code, [integer(self.last_id), query])
        while True:
            came, payload = await self.next()
            if came == ANNOUNCE:
                self.announced += 1
                continue
            must(came == code + 1, f"an answer to code {code:#x}, not code {came:#x}")
            must(number(payload[0]) == self.last_id, f"an answer to question {self.last_id}")
            return payload[2]

    async def headers(self, origin, amount):
        start = origin if isinstance(origin, bytes) else integer(origin)
        items = await self.ask(GET_BLOCK_HEADERS, [start, integer(amount), b"", b""])
        return [Header(item) for item in items]


class Header:
    """A header by name, with the hash of its own bytes."""

    def __init__(self, item):
        must(len(item) >= 15, f"a header of {len(item)} fields")
        self.hash = keccak(rlp.encode(item))
        self.parent, self.uncles, _, self.state_root, self.transactions_root, self.receipts_root = item[:6]
        self.number = number(item[8])
