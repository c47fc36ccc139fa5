// A light peer on js-libp2p that asks a relay everything LES has and checks every answer itself.
//
// usage: node --experimental-websocket --import ./polyfill.mjs les.mjs --genesis FILE --genesis-hash HASH
//          --head HASH --number N [--version V] [--block N] [--headers-only] [--account A] [--contract C]
//          [--send RAW]... [--announces N] [--burst N] [--reading] [--hostile MODE]
//          [--pingable] [--heartbeat SECONDS] [--listen] [--stay] MULTIADDR...
// (Node 22 or later needs neither flag.) Each address gets a peer of its own, all at the same time. With --listen it
// listens there instead (port 0 takes a free one), says where in its `ready` line, and holds the session on the
// connection that a relay makes to it. --pingable: it takes pings, pings the relay, and asks it who it is. --heartbeat:
// its Status asks to be pinged that often.
// Prints JSON lines: `checked` for an address whose answers all verified, `announce` for each new head,
// `hostile` for what became of a hostile stream, `failed` with the reason. Ends with 0 if none failed.
// --burst waits for a line on stdin, asks N questions at once (`sent`) and tells their fate (`burst`); --stay keeps
// the session until such a line comes.
// --reading reads the account at one block after the other until a line on stdin, and tells of each time (`read`).
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { checkAccount, checkBody, checkChain, checkCode, checkReceipts, checkSlot, must } from './check.mjs'
import { hostile } from './hostile.mjs'
import { acquaint, dial, first, greet, startNode } from './peer.mjs'
import { readAnnounce, unixMicros } from './session.mjs'
import { RLP, code, hex, integer, keccak256, number, readHeader, unhex } from './wire.mjs'

const { values: options, positionals: addresses } = parseArgs({
  allowPositionals: true,
  options: {
    genesis: { type: 'string' },
    'genesis-hash': { type: 'string' },
    head: { type: 'string' },
    number: { type: 'string' },
    version: { type: 'string' },
    block: { type: 'string', default: '6' },
    'headers-only': { type: 'boolean', default: false },
    account: { type: 'string' },
    contract: { type: 'string' },
    send: { type: 'string', multiple: true, default: [] },
    announces: { type: 'string', default: '0' },
    burst: { type: 'string' },
    reading: { type: 'boolean', default: false },
    hostile: { type: 'string' },
    pingable: { type: 'boolean', default: false },
    heartbeat: { type: 'string' },
    listen: { type: 'boolean', default: false },
    stay: { type: 'boolean', default: false }
  }
})
const { config } = JSON.parse(readFileSync(options.genesis, 'utf8'))
const chain = { network: config.chainId, genesis: unhex(options['genesis-hash']), config }
/** Milliseconds between two reads. */
const READ_PAUSE = 50
const versions = options.version === undefined ? [4, 3, 2] : [Number(options.version)]

function emit (line) {
  const text = (_, value) => typeof value === 'bigint' ? value.toString() : value
  console.log(JSON.stringify({ ...line, unixMicros: unixMicros() }, text))
}

/** Header N, linked to the trusted head through every header between them. */
async function readChain (session, from) {
  const to = Number(options.number)
  const headers = []
  while (headers.length < to - from + 1) {
    const { items } = await session.headers(from + headers.length, Math.min(192, to - from + 1 - headers.length))
    must(items.length > 0, `header ${from + headers.length} is served`)
    headers.push(...items.map(readHeader))
  }
  checkChain(headers, options.head)
  must(headers[0].number === BigInt(from), `the first header has number ${from}`)
  const byHash = await session.headers(unhex(options.head), 1)
  must(readHeader(byHash.items[0]).hash === options.head, 'the head by its hash')
  return headers
}

async function readBlock (session, header, out) {
  const hash = unhex(header.hash)
  const body = await session.ask(code.GET_BLOCK_BODIES, [hash])
  const transactions = await checkBody(body.items[0], header)
  const receipts = await session.ask(code.GET_RECEIPTS, [hash])
  const checked = await checkReceipts(receipts.items[0], header)
  must(checked.length === transactions.length, 'as many receipts as transactions')
  out.transactions = transactions.length
  out.logs = checked.reduce((sum, receipt) => sum + receipt.logs, 0)

  const { items } = await session.ask(code.GET_TX_STATUS, [...transactions.map(unhex), new Uint8Array(32).fill(9)])
  must(items.length === transactions.length + 1, 'one status for each transaction')
  transactions.forEach((_, index) => {
    const [status, lookup] = items[index]
    must(number(status) === 3n, `transaction ${index} is included`)
    must(hex(lookup[0]) === header.hash && number(lookup[1]) === header.number && number(lookup[2]) === BigInt(index),
      `transaction ${index} is where its status says`)
  })
  must(number(items.at(-1)[0]) === 0n, 'a transaction that nobody knows is unknown')
}

async function readState (session, head, out) {
  const block = unhex(head.hash)
  const none = new Uint8Array()
  const contract = keccak256(unhex(options.contract))
  const slot = integer(1)
  const slotKey = new Uint8Array(32)
  slotKey.set(slot, 31)
  const proofs = await session.ask(code.GET_PROOFS_V2, [
    [block, none, keccak256(unhex(options.account)), none],
    [block, none, contract, none],
    [block, contract, keccak256(slotKey), none]
  ])
  const account = await checkAccount(proofs.items, options.account, head)
  const holder = await checkAccount(proofs.items, options.contract, head)
  out.balance = account.balance
  out.nonce = account.nonce
  out.slot1 = await checkSlot(proofs.items, slotKey, holder)
  const codes = await session.ask(code.GET_CONTRACT_CODES, [[block, contract]])
  checkCode(codes.items[0], holder)
  out.code = hex(codes.items[0])
}

async function checkAll (session, out) {
  const status = await session.status
  must(number(status.networkId) === BigInt(chain.network), 'the network of the Status')
  must(hex(status.genesisHash) === options['genesis-hash'], 'the genesis hash of the Status')
  must(status['flowControl/BL'] !== undefined, 'the Status has flow control')
  out.head = hex(status.headHash)
  const block = Number(options.block)
  const headers = await readChain(session, block)
  out.headers = headers.length
  if (options['headers-only']) return headers
  await readBlock(session, headers[0], out)
  await readState(session, headers.at(-1), out)
  return headers
}

/** Questions that nobody has asked before, each about another block's state; every answer is checked. */
async function burst (session, address, index, headers) {
  const wanted = Number(options.burst)
  const asked = Array.from({ length: wanted }, async (_, i) => {
    const header = headers[(index * wanted + i) % headers.length]
    const key = keccak256(unhex(options.account))
    const proof = await session.ask(code.GET_PROOFS_V2, [[unhex(header.hash), new Uint8Array(), key, new Uint8Array()]], 80_000)
    await checkAccount(proof.items, options.account, header)
  })
  emit({ event: 'sent', address, index })
  const results = await Promise.allSettled(asked)
  const answered = results.filter(({ status }) => status === 'fulfilled').length
  const broken = results.filter(({ status }) => status === 'rejected').map(({ reason }) => reason)
  const ended = broken.filter((reason) => /the stream ended/.test(reason.message)).length
  if (answered + ended < wanted) throw broken.find((reason) => !/the stream ended/.test(reason.message))
  emit({ event: 'burst', address, index, answered, ended })
}

/** One verified read after the other, each of another block's state. */
async function read (session, address, headers) {
  let told = false
  toldToGo.then(() => { told = true })
  for (let i = 0; !told; i++) {
    const start = performance.now()
    const header = headers[i % headers.length]
    const key = keccak256(unhex(options.account))
    const proof = await session.ask(code.GET_PROOFS_V2, [[unhex(header.hash), new Uint8Array(), key, new Uint8Array()]])
    await checkAccount(proof.items, options.account, header)
    emit({ event: 'read', address, millis: Math.round(performance.now() - start) })
    await new Promise((resolve) => setTimeout(resolve, READ_PAUSE))
  }
}

/** New heads as they are announced, each with its header. */
function watch (session, address, wanted) {
  const { promise, resolve, reject } = Promise.withResolvers()
  if (wanted === 0) resolve()
  let seen = 0
  session.closed.then((how) => reject(new Error(`the stream ended: ${how}`)))
  session.listen(async (messageCode, payload, at) => {
    if (messageCode !== code.ANNOUNCE) return
    const announced = readAnnounce(payload)
    if (/^0x0*$/.test(announced.hash)) return
    try {
      const { items } = await session.headers(unhex(announced.hash), 1)
      const header = readHeader(items[0])
      must(header.hash === announced.hash && Number(header.number) === announced.number, 'the announced header')
      emit({ event: 'announce', address, ...announced, at })
      seen += 1
      if (seen === wanted) resolve()
    } catch (error) {
      reject(error)
    }
  })
  promise.catch(() => {})
  return promise
}

async function run ({ node, address, arrived, identified }, index) {
  try {
    if (options.hostile !== undefined) {
      emit({ event: 'hostile', mode: options.hostile, address, ...await hostile(options.hostile, node, address, versions, chain) })
      return
    }
    const start = unixMicros()
    const connection = await (arrived ?? dial(node, address))
    const acquainted = options.pingable ? await acquaint(node, connection, identified) : {}
    const wish = options.heartbeat === undefined ? {} : { 'causeway/heartbeat': integer(Number(options.heartbeat)) }
    const session = await greet(connection, versions, chain, wish)
    const watched = watch(session, address, Number(options.announces))
    const limited = connection.limits !== undefined
    const out = { version: session.version, encryption: connection.encryption, muxer: connection.multiplexer, limited }
    Object.assign(out, { inbound: connection.direction === 'inbound', connections: node.getConnections().length, ...acquainted })
    const headers = await checkAll(session, out)
    if (options.send[index] !== undefined) {
      const raw = unhex(options.send[index])
      const item = raw[0] < 0xc0 ? raw : RLP.decode(raw)
      const { items } = await session.ask(code.SEND_TX_V2, [item])
      out.sent = { hash: hex(keccak256(raw)), status: Number(number(items[0][0])), error: new TextDecoder().decode(items[0][2]) }
    }
    emit({ event: 'checked', address, ...out, millis: (unixMicros() - start) / 1000 })
    if (options.burst !== undefined) {
      await toldToGo
      await burst(session, address, index, headers)
    }
    if (options.reading) await read(session, address, headers)
    await watched
    if (options.stay) await toldToGo
  } finally {
    await node.stop()
  }
}

/** A peer for one address: that of a relay, or its own. */
async function begin (address) {
  const { hostile, pingable } = options
  const node = await startNode({ monitored: hostile === undefined, pingable, listen: options.listen ? [address] : [] })
  const identified = first(node, 'peer:identify')
  if (!options.listen) return { node, address, identified }
  return { node, address: String(node.getMultiaddrs()[0]), identified, arrived: first(node, 'connection:open') }
}

const waits = options.burst !== undefined || options.reading || options.stay
const toldToGo = waits ? once(process.stdin, 'data') : undefined
const peers = await Promise.all(addresses.map(begin))
emit({ event: 'ready', addresses: peers.map(({ address }) => address) })
const results = await Promise.allSettled(peers.map(run))
results.forEach((result, index) => {
  if (result.status === 'rejected') {
    console.error(result.reason)
    emit({ event: 'failed', address: peers[index].address, error: String(result.reason?.message ?? result.reason) })
  }
})
process.exit(addresses.length > 0 && results.every(({ status }) => status === 'fulfilled') ? 0 : 1)
