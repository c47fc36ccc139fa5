// A relay that lies to light peers: it passes everything on between them and an honest relay, but for one thing.
//
// usage: node --experimental-websocket --import ../libp2p-js/polyfill.mjs lying-relay.mjs --lie LIE --genesis HASH
//          --network ID MULTIADDR
// Listens on WebSocket; prints `ready` with its address, and `lied` each time that it did. LIE is one of those in `lies`.
import { noise } from '@libp2p/noise'
import { webSockets } from '@libp2p/websockets'
import { yamux } from '@libp2p/yamux'
import { multiaddr } from '@multiformats/multiaddr'
import { createLibp2p } from 'libp2p'
import { parseArgs } from 'node:util'
import { Session } from '../libp2p-js/session.mjs'
import { Cutter, RLP, code, encodeMessage, hex, keccak256, number, unhex } from '../libp2p-js/wire.mjs'

const { values: options, positionals: [upstream] } = parseArgs({
  allowPositionals: true,
  options: { lie: { type: 'string' }, genesis: { type: 'string' }, network: { type: 'string' } }
})
const PROTOCOL = '/les/4'
const emit = (line) => console.log(JSON.stringify(line))

const flipped = (bytes) => bytes.with(bytes.length - 1, bytes.at(-1) ^ 1)
const STATE_ROOT = 3

/** Alters the items of an answer of one kind. */
const inAnswer = (answer, alter) => ({
  down: (messageCode, payload) => messageCode === answer && payload[2].length > 0
    ? [payload[0], payload[1], alter(payload[2])]
    : undefined
})

/** What is altered on the way down to the light peer, and up to the relay: undefined leaves a message as it is. */
const lies = {
  /** An ancestor of the head has another state. */
  header: () => inAnswer(code.BLOCK_HEADERS, (headers) => headers.length < 2
    ? headers
    : headers.with(-1, headers.at(-1).with(STATE_ROOT, flipped(headers.at(-1)[STATE_ROOT])))),

  /** An account has another balance. */
  balance: () => inAnswer(code.GET_PROOFS_V2 + 1, (nodes) => nodes.map((node) =>
    node.length === 2 && node[1].length > 64 ? node.with(1, flipped(node[1])) : node)),

  code: () => inAnswer(code.GET_CONTRACT_CODES + 1, (codes) => codes.with(0, flipped(codes[0]))),

  /** A block has a transaction less. */
  body: () => inAnswer(code.GET_BLOCK_BODIES + 1, (bodies) => bodies.with(0, bodies[0].with(0, bodies[0][0].slice(1)))),

  /** A head that nobody sealed, told of and shown as if it were the chain's: only its seal betrays it. */
  head: ({ header }) => {
    const forged = header.with(STATE_ROOT, flipped(header[STATE_ROOT]))
    const [truth, lie] = [header, forged].map((item) => keccak256(RLP.encode(item)))
    const is = (bytes, hash) => bytes instanceof Uint8Array && hex(bytes) === hex(hash)
    return {
      down: (messageCode, payload) => {
        if (messageCode === code.ANNOUNCE) return null
        if (messageCode === code.STATUS) {
          const told = { headHash: lie, headNum: header[8] }
          return payload.map(([key, value]) => [key, told[new TextDecoder().decode(key)] ?? value])
        }
        if (messageCode !== code.BLOCK_HEADERS) return undefined
        return [payload[0], payload[1], payload[2].map((item) => is(keccak256(RLP.encode(item)), truth) ? forged : item)]
      },
      up: (messageCode, payload) => messageCode === code.GET_BLOCK_HEADERS && is(payload[1][0], lie)
        ? [payload[0], payload[1].with(0, truth)]
        : undefined
    }
  }
}

const startNode = (listen) => createLibp2p({
  addresses: { listen },
  transports: [webSockets()],
  connectionEncrypters: [noise()],
  streamMuxers: [yamux()]
})

/** A stream to the honest relay, as somebody new each time: a relay holds one session with a peer. */
async function openUp () {
  const connection = await (await startNode([])).dial(multiaddr(upstream))
  return connection.newStream(PROTOCOL)
}

/** The honest relay's head. */
async function learn () {
  const session = new Session(await openUp())
  session.greet({ network: BigInt(options.network), genesis: unhex(options.genesis), config: {} })
  const { headHash } = await session.status
  const { items: [header] } = await session.headers(headHash, 1)
  return { header }
}

/** Passes messages on from one stream to another; those that `alter` makes null are kept back. */
function pass (from, to, alter = () => undefined) {
  const cutter = new Cutter()
  from.addEventListener('message', ({ data }) => {
    for (const item of cutter.push(data.subarray())) {
      const [messageCode, payload] = RLP.decode(item)
      const altered = alter(Number(number(messageCode)), payload)
      if (altered === null) continue
      const bytes = altered === undefined ? item : encodeMessage(number(messageCode), altered)
      if (hex(bytes) !== hex(item)) emit({ event: 'lied', code: Number(number(messageCode)) })
      to.send(bytes)
    }
  })
  for (const end of ['remoteCloseWrite', 'close']) from.addEventListener(end, () => to.close().catch(() => {}))
}

const lie = lies[options.lie](await learn())
const node = await startNode(['/ip4/127.0.0.1/tcp/0/ws'])
await node.handle(PROTOCOL, async (down) => {
  const up = await openUp()
  pass(up, down, lie.down)
  pass(down, up, lie.up)
})
emit({ event: 'ready', address: node.getMultiaddrs()[0].toString() })
