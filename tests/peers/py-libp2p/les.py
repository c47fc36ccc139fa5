"""A light peer on py-libp2p that asks a relay what LES has and checks every answer itself.

    python les.py --genesis FILE --genesis-hash HASH --head HASH --number N --account A --contract C
                  [--block N] [--listen] [--stay] MULTIADDR...

Dials each address, each with a peer of its own, all at the same time. With --listen it listens there instead (port 0
takes a free one), says where in its `ready` line, and holds the session on the connection that a relay makes to it.
Identify and ping go first. Prints JSON lines: `checked` for an address whose answers all verified, `failed` with the
reason. With --stay it keeps its sessions then until a line comes on stdin. Ends with 0 if none failed.
"""

import argparse
import json
import logging
import sys
import time
import traceback

import multiaddr
import trio
from check import Account, check_body, check_chain, check_receipts
from eth_hash.auto import keccak
from libp2p import new_host
from libp2p.abc import INotifee
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.host.ping import PingService, handle_ping
from libp2p.host.ping import ID as PING
from libp2p.host.exceptions import StreamFailure
from libp2p.identity.identify.identify import ID as IDENTIFY
from libp2p.identity.identify.identify import identify_handler_for
from libp2p.identity.identify.pb.identify_pb2 import Identify
from libp2p.io.exceptions import IOException
from libp2p.peer.peerinfo import info_from_p2p_addr
from libp2p.utils.varint import read_length_prefixed_protobuf
from wire import (
    GET_BLOCK_BODIES,
    GET_CONTRACT_CODES,
    GET_PROOFS_V2,
    GET_RECEIPTS,
    MAX_HEADERS,
    Chain,
    Session,
    must,
    unhex,
)

VERSIONS = ["/les/4", "/les/3", "/les/2"]
PATIENCE = 25
IDENTIFY_ATTEMPTS = 20


def emit(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


class Arrivals(INotifee):
    """Tells of the first connection."""

    def __init__(self):
        self.peer = None
        self.came = trio.Event()

    async def connected(self, network, conn):
        if self.peer is None:
            self.peer = conn.muxed_conn.peer_id
            self.came.set()

    async def disconnected(self, network, conn):
        pass

    async def opened_stream(self, network, stream):
        pass

    async def closed_stream(self, network, stream):
        pass

    async def listen(self, network, multiaddr):
        pass

    async def listen_close(self, network, multiaddr):
        pass


def start_host(address):
    """A host with the transport of an address, and a key that a relay may be told to dial."""
    names = {protocol.name for protocol in address.protocols()}
    return new_host(
        key_pair=create_new_key_pair(),
        enable_quic="quic-v1" in names and "webtransport" not in names,
        enable_webtransport="webtransport" in names,
        enable_websocket=bool(names & {"ws", "wss"}),
        muxer_preference="YAMUX",
    )


class Introduction:
    """Answers identify as py-libp2p does, and tells when the relay has been answered. It may take half a second:
    py-libp2p waits that long for an address to listen at, which one that only dials never gets."""

    def __init__(self, host):
        self.made = trio.Event()
        self.answer = identify_handler_for(host)
        host.set_stream_handler(IDENTIFY, self)

    async def __call__(self, stream):
        await self.answer(stream)
        self.made.set()


async def ask_who(host, peer):
    stream = await host.new_stream(peer, [IDENTIFY])
    said = Identify()
    said.ParseFromString(await read_length_prefixed_protobuf(stream, use_varint_format=True))
    await stream.close()
    return said


async def identify(host, peer, out):
    """Asks who the relay is, again if need be: over QUIC py-libp2p takes a peer that reads no further (which it says
    as soon as it has answered) for one that has closed the whole stream, and then throws away what was not read yet."""
    for attempt in range(1, IDENTIFY_ATTEMPTS + 1):
        try:
            said = await ask_who(host, peer)
            break
        except (StreamFailure, IOException) as error:
            if attempt == IDENTIFY_ATTEMPTS:
                raise
            print(f"identify, attempt {attempt}: {error!r}", file=sys.stderr)
    out["attempts"] = attempt
    out["agent"], out["protocols"] = said.agent_version, sorted(said.protocols)
    out["observed"] = str(multiaddr.Multiaddr(said.observed_addr)) if said.observed_addr else None


async def ping(host, peer, out):
    start = time.monotonic()
    await PingService(host).ping(peer)
    out["pingMicros"] = round((time.monotonic() - start) * 1e6)


async def read_block(session, header, out):
    bodies = await session.ask(GET_BLOCK_BODIES, [header.hash])
    transactions = check_body(bodies[0], header)
    receipts = await session.ask(GET_RECEIPTS, [header.hash])
    check_receipts(receipts[0], header)
    must(len(receipts[0]) == len(transactions), "as many receipts as transactions")
    out["transactions"] = len(transactions)


async def read_state(session, head, options, out):
    contract = keccak(unhex(options.contract))
    slot = (1).to_bytes(32, "big")
    nodes = await session.ask(
        GET_PROOFS_V2,
        [
            [head.hash, b"", keccak(unhex(options.account)), b""],
            [head.hash, b"", contract, b""],
            [head.hash, contract, keccak(slot), b""],
        ],
    )
    account = Account(nodes, unhex(options.account), head)
    out["balance"], out["nonce"] = str(account.balance), account.nonce
    holder = Account(nodes, unhex(options.contract), head)
    out["slot1"] = hex(holder.slot(nodes, slot))
    codes = await session.ask(GET_CONTRACT_CODES, [[head.hash, contract]])
    holder.check_code(codes[0])
    out["code"] = "0x" + codes[0].hex()


async def hold_session(host, peer, introduction, options, out):
    """Reads one of everything from the relay; whoever made the connection."""
    await identify(host, peer, out)
    await ping(host, peer, out)
    await introduction.made.wait()
    stream = await host.new_stream(peer, VERSIONS)
    out["protocol"] = str(stream.get_protocol())
    session = Session(stream, int(out["protocol"].rsplit("/", 1)[1]))
    chain = Chain(options.genesis, options.genesis_hash)
    status = await session.greet(chain)
    out["head"] = "0x" + status["headHash"].hex()

    trusted = unhex(options.head)
    headers = []
    while (first := options.block + len(headers)) <= options.number:
        some = await session.headers(first, min(MAX_HEADERS, options.number + 1 - first))
        must(some, f"header {first} is served")
        headers += some
    check_chain(headers, options.block, trusted)
    out["headers"] = len(headers)
    by_hash = await session.headers(trusted, 1)
    must(by_hash[0].hash == trusted, "the head by its hash")
    origin = await session.headers(0, 1)
    must(origin[0].hash == chain.genesis, "the genesis block by its number")
    await read_block(session, headers[0], out)
    await read_state(session, headers[-1], options, out)
    connections = host.get_network().get_connections(peer)
    out["connections"], out["inbound"] = len(connections), not connections[0].muxed_conn.is_initiator
    return stream


async def attempt(host, address, connect, options, leave):
    """Tells what became of an address."""
    out = {"address": address}
    introduction = Introduction(host)
    start = time.monotonic()
    try:
        with trio.fail_after(PATIENCE):
            stream = await hold_session(host, await connect(), introduction, options, out)
    except Exception as error:
        traceback.print_exc()
        emit("failed", error=f"{type(error).__name__}: {error}", **out)
        return False
    emit("checked", millis=round((time.monotonic() - start) * 1000), **out)
    await leave.wait()
    await stream.close()
    return True


async def dial(text, options, leave, ready):
    # py-libp2p takes the newer way to write it for one without TLS.
    address = multiaddr.Multiaddr(text.replace("/tls/ws", "/wss"))
    relay = info_from_p2p_addr(address)
    host = start_host(address)

    async def connect():
        await host.connect(relay)
        return relay.peer_id

    async with host.run(listen_addrs=[]):
        await ready.send(text)
        return await attempt(host, text, connect, options, leave)


async def listen(text, options, leave, ready):
    """Listens at an address, says where, and waits for the relay."""
    address = multiaddr.Multiaddr(text)
    host = start_host(address)
    host.set_stream_handler(PING, handle_ping)
    arrivals = Arrivals()
    host.get_network().register_notifee(arrivals)

    async def connect():
        await arrivals.came.wait()
        return arrivals.peer

    async with host.run(listen_addrs=[address]):
        own = str(host.get_addrs()[0])
        await ready.send(own)
        return await attempt(host, own, connect, options, leave)


async def run_all(options):
    results = []
    leave = trio.Event()
    ready, came = trio.open_memory_channel(len(options.addresses))

    async def one(text):
        step = listen if options.listen else dial
        results.append(await step(text, options, leave, ready))

    async with trio.open_nursery() as nursery:
        for text in options.addresses:
            nursery.start_soon(one, text)
        emit("ready", addresses=[await came.receive() for _ in options.addresses])
        if options.stay:
            await trio.to_thread.run_sync(sys.stdin.readline)
        leave.set()
    return results


async def main():
    parser = argparse.ArgumentParser()
    for name in ("genesis", "genesis-hash", "head", "account", "contract"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--number", type=int, required=True)
    parser.add_argument("--block", type=int, default=6)
    parser.add_argument("--listen", action="store_true")
    parser.add_argument("--stay", action="store_true")
    parser.add_argument("addresses", nargs="+")
    return await run_all(parser.parse_args())


if __name__ == "__main__":
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING)
    sys.exit(0 if all(trio.run(main)) else 1)
