// A js-libp2p node that only dials.
import { noise } from '@chainsafe/libp2p-noise'
import { quic } from '@chainsafe/libp2p-quic'
import { yamux } from '@chainsafe/libp2p-yamux'
import { identify } from '@libp2p/identify'
import { tcp } from '@libp2p/tcp'
import { webSockets } from '@libp2p/websockets'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { Session } from './session.mjs'

/** A node with nothing but what a page needs; `monitored` as by default: it pings its connections every 10 s. */
export function startNode ({ monitored = true } = {}) {
  return createLibp2p({
    connectionMonitor: { enabled: monitored },
    transports: [tcp(), webSockets(), quic()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify() }
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

export function openStream (connection, versions) {
  const protocols = versions.map((version) => `/les/${version}`)
  return within(10_000, (signal) => connection.newStream(protocols, { signal, maxOutboundStreams: 2000 }))
}

/** Opens a LES stream and sends our Status at once. */
export async function greet (connection, versions, chain, change) {
  const session = new Session(await openStream(connection, versions))
  session.greet(chain, change)
  return session
}
