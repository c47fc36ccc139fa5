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

export function startNode () {
  return createLibp2p({
    transports: [tcp(), webSockets(), quic()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify() }
  })
}

export const dial = (node, address) => node.dial(multiaddr(address), { signal: AbortSignal.timeout(10_000) })

export async function openStream (connection, versions) {
  const protocols = versions.map((version) => `/les/${version}`)
  return connection.newStream(protocols, { signal: AbortSignal.timeout(10_000), maxOutboundStreams: 2000 })
}

/** Opens a LES stream and sends our Status at once. */
export async function greet (connection, versions, chain, change) {
  const session = new Session(await openStream(connection, versions))
  session.greet(chain, change)
  return session
}
