// A js-libp2p node in a page: it only dials.
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { webRTCDirect } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { webTransport } from '@libp2p/webtransport'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'

const PATIENCE = 12_000

export function startNode () {
  return createLibp2p({
    // By default a browser node refuses loopback, private addresses and plain WebSocket; here the user named the address.
    connectionGater: { denyDialMultiaddr: () => false },
    transports: [webTransport(), webRTCDirect(), webSockets()],
    connectionEncrypters: [noise()],
    streamMuxers: [yamux()],
    services: { identify: identify(), ping: ping() }
  })
}

/** A signal that is only for the step itself: one left armed would end the connection or stream later. */
async function within (step) {
  const abort = new AbortController()
  const timer = setTimeout(() => abort.abort(new Error(`nothing within ${PATIENCE / 1000} s`)), PATIENCE)
  try {
    return await step(abort.signal)
  } finally {
    clearTimeout(timer)
  }
}

export const dial = (node, address) => within((signal) => node.dial(address, { signal }))

export const openStream = (connection) => within((signal) => connection.newStream(['/les/4'], { signal }))

/** A ping there and back, in milliseconds. */
export async function roundTrip (node, connection) {
  const start = performance.now()
  await within((signal) => node.services.ping.ping(connection.remotePeer, { signal }))
  return performance.now() - start
}

/** What identify learnt of the peer; undefined before it is done. */
export async function agentOf (node, connection) {
  const peer = await node.peerStore.get(connection.remotePeer)
  const agent = peer.metadata.get('AgentVersion')
  return agent === undefined ? undefined : new TextDecoder().decode(agent)
}
