// A js-libp2p node in a page: it only dials.
import { circuitRelayTransport } from '@libp2p/circuit-relay-v2'
import { identify } from '@libp2p/identify'
import { noise } from '@libp2p/noise'
import { ping } from '@libp2p/ping'
import { webRTCDirect } from '@libp2p/webrtc'
import { webSockets } from '@libp2p/websockets'
import { webTransport } from '@libp2p/webtransport'
import { yamux } from '@libp2p/yamux'
import { createLibp2p } from 'libp2p'

const PATIENCE = 12_000
const PING = '/ipfs/ping/1.0.0'

export function startNode () {
  return createLibp2p({
    // By default a browser node refuses loopback, private addresses and plain WebSocket; here the user named the address.
    connectionGater: { denyDialMultiaddr: () => false },
    transports: [webTransport(), webRTCDirect(), webSockets(), circuitRelayTransport()],
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

/** Also through a relay of circuits, which limits what goes through them. */
export const openStream = (connection) =>
  within((signal) => connection.newStream(['/les/4'], { signal, runOnLimitedConnection: true }))

/** A ping there and back on this connection, in milliseconds; libp2p's own would not take a circuit, and dial anew. */
export const roundTrip = (connection) => within(async (signal) => {
  const stream = await connection.newStream(PING, { signal, runOnLimitedConnection: true })
  const { promise, resolve, reject } = Promise.withResolvers()
  const sent = crypto.getRandomValues(new Uint8Array(32))
  const came = []
  stream.addEventListener('message', ({ data }) => {
    came.push(...data.subarray())
    if (came.length >= sent.length) resolve()
  })
  stream.addEventListener('close', ({ error }) => reject(error ?? new Error('the ping was not answered')))
  signal.addEventListener('abort', () => reject(signal.reason))
  try {
    const start = performance.now()
    stream.send(sent)
    await promise
    const took = performance.now() - start
    if (!sent.every((byte, index) => byte === came[index])) throw new Error('another ping was answered')
    return took
  } finally {
    stream.close().catch(() => {})
  }
})

/** What identify learnt of the peer; undefined before it is done. */
export async function agentOf (node, connection) {
  const peer = await node.peerStore.get(connection.remotePeer)
  const agent = peer.metadata.get('AgentVersion')
  return agent === undefined ? undefined : new TextDecoder().decode(agent)
}
