"""A rendezvous client and a rendezvous point on py-libp2p; each outcome is a line of JSON.

    python rendezvous.py ask MULTIADDR     asks the rendezvous point at MULTIADDR
    python rendezvous.py serve             is one on the loopback until its stdin ends
"""

import json
import sys

import multiaddr
import trio
from libp2p import new_host
from libp2p.crypto.secp256k1 import create_new_key_pair
from libp2p.discovery.rendezvous.client import RendezvousClient
from libp2p.discovery.rendezvous.errors import RendezvousError
from libp2p.discovery.rendezvous.service import RendezvousService
from libp2p.peer.peerinfo import info_from_p2p_addr

NAMESPACE = "les/1"


def say(event, **fields):
    print(json.dumps({"event": event, **fields}), flush=True)


async def outcome(event, call):
    """Says what came of a question: the value, or the status with which it was refused."""
    try:
        return await call
    except RendezvousError as refusal:
        say(event, status=int(refusal.status))
        return None


async def ask(host, address):
    point = info_from_p2p_addr(multiaddr.Multiaddr(address))
    await host.connect(point)
    client = RendezvousClient(host, point.peer_id)

    # Its records are those of an earlier revision: a peer and addresses, unsigned.
    if await outcome("register", client.register(NAMESPACE, 7200)) is not None:
        say("register", status=0)

    peers, cookie = await client.discover(NAMESPACE, 10)
    say("discover", peers=len(peers), cookie=len(cookie))
    peers, _ = await client.discover(NAMESPACE, 10, cookie)
    say("rest", peers=len(peers))
    if await outcome("garbage", client.discover(NAMESPACE, 10, b"\xff" * 40)) is not None:
        say("garbage", status=0)
    if await outcome("elsewhere", client.discover("elsewhere/1", 10)) is not None:
        say("elsewhere", status=0)
    await client.unregister(NAMESPACE)
    say("done")


async def serve(host):
    RendezvousService(host)
    say("ready", address=str(host.get_addrs()[0]))
    await trio.to_thread.run_sync(sys.stdin.read)


async def main():
    host = new_host(key_pair=create_new_key_pair())
    async with host.run(listen_addrs=[multiaddr.Multiaddr("/ip4/127.0.0.1/tcp/0")]):
        if sys.argv[1] == "serve":
            await serve(host)
        else:
            await ask(host, sys.argv[2])


trio.run(main)
