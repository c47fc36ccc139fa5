// A js-libp2p node as a light peer has it.
import { noise } from '@chainsafe/libp2p-noise'
import { quic } from '@chainsafe/libp2p-quic'
import { yamux } from '@chainsafe/libp2p-yamux'
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { identify } from '@libp2p/identify'
import { ping } from '@libp2p/ping'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { Session } from './session.mjs'

/**
 * A node with nothing but what a page needs; `monitored` as by default: it pings its connections every 10 s. If it
 * listens, then with a key such as a relay may be told to dial.
 */
export async function startNode ({ monitored = true, pingable = false, listen = [] } = {}) {
  return createLibp2p({
    ...(listen.length > 0 && { privateKey: await generateKeyPair('secp256k1') }),
    addresses: { listen },
    connectionMonitor: { enabled: monitored },
    transports: [tcp(), webSockets(), quic(), circuitRelayTransport()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ...(pingable && { ping: ping() }) }
  })
}

/** A signal that is only for the step itself: one left armed would end the connection or stream later. */
async function within (millis, step) {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(new Error(`not done in ${millis} ms`)), millis)
  try {
    return await step(abort.signal)
  } finally {
    clearTimeout(timer)
  }
}

export const dial = (node, address) => within(10_000, (signal) => node.dial(multiaddr(address), { signal }))

/** The first of a node's events of this kind; to be called before there can be any. */
export function first (node, kind) {
  return new Promise((resolve) => node.addEventListener(kind, (event) => resolve(event.detail), { once: true }))
}

/** Who the peer of a connection says it is, and how long a ping takes; `identified` is the node's first identify. */
export async function acquaint (node, connection, identified) {
  const late = (signal) => new Promise((resolve, reject) => signal.addEventListener('abort', () => reject(signal.reason)))
  const { agentVersion, protocols } = await within(10_000, (signal) => Promise.race([identified, late(signal)]))
  const millis = await within(10_000, (signal) => node.services.ping.ping(connection.remotePeer, { signal }))
  return { agent: agentVersion, protocols, pingMicros: millis * 1000 }
}

export function openStream (connection, versions) {
  const protocols = versions.map((version) => `/les/${version}`)
  return within(10_000, (signal) => connection.newStream(protocols, { signal, maxOutboundStreams: 2000, runOnLimitedConnection: true }))
}

/** A stream of any protocol; a circuit will do. */
export const openAny = (connection, protocol) =>
  within(10_000, (signal) => connection.newStream(protocol, { signal, runOnLimitedConnection: true }))

/** Opens a LES stream and sends our Status at once. */
export async function greet (connection, versions, chain, change) {
  const session = new Session(await openStream(connection, versions))
  session.greet(chain, change)
  return session
}
