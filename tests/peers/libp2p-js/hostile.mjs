// Light peers that break the rules. Each returns what became of its stream; who judges is the runner.
import { Session } from './session.mjs'
import { dial, greet, openStream } from './peer.mjs'
import { RLP, code, encodeMessage, integer, number, readHeader, unhex } from './wire.mjs'

const LIMIT = 45_000
const since = (start) => Math.round(performance.now() - start)
const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis))

/** Waits for the stream's end and says how it came, and when. */
async function ending (session, start = performance.now()) {
  const how = await Promise.race([session.closed, pause(LIMIT).then(() => undefined)])
  return { ended: how !== undefined, how, millis: since(start), messages: session.messages }
}

/** Whether a session still answers. */
async function alive (session) {
  const { items } = await session.headers(1, 1)
  return items.length === 1
}

const modes = {
  /** An item whose header announces a gigabyte. */
  async oversize (session) {
    await session.status
    const start = performance.now()
    session.sendBytes(Uint8Array.from([0xfb, 0x40, 0x00, 0x00, 0x00, 0x02]))
    return ending(session, start)
  },

  /** A request of more than 128 KiB, all of it sent. */
  async large (session) {
    await session.status
    const start = performance.now()
    const hashes = Array.from({ length: 5000 }, (_, index) => new Uint8Array(32).fill(index % 256))
    session.send(code.GET_BLOCK_BODIES, [integer(1), hashes])
    return ending(session, start)
  },

  /** Bytes without end that are no item. */
  async endless (session) {
    await session.status
    const start = performance.now()
    let sent = 0
    const chunk = new Uint8Array(16_384).fill(0x83)
    while (session.ended === undefined && since(start) < LIMIT) {
      try {
        if (!session.stream.send(chunk)) await session.stream.onDrain({ signal: AbortSignal.timeout(LIMIT) })
      } catch { break }
      sent += chunk.length
      await pause(0)
    }
    return { ...await ending(session, start), sent }
  },

  /** An item that never gets whole: a byte a second. */
  async slow (session) {
    await session.status
    const start = performance.now()
    session.sendBytes(Uint8Array.from([0xf9, 0x10, 0x00, code.GET_BLOCK_BODIES, 0xf9, 0x0f, 0xfc]))
    while (session.ended === undefined && since(start) < LIMIT) {
      try { session.sendBytes(Uint8Array.from([0x80])) } catch { break }
      await Promise.race([session.closed, pause(1000)])
    }
    return ending(session, start)
  },

  /** Sends requests and does not read the answers. */
  async noread (session) {
    await session.status
    const start = performance.now()
    session.stream.pause()
    let sent = 0
    while (session.ended === undefined && since(start) < 8000) {
      try {
        const full = !session.stream.send(encodeMessage(code.GET_BLOCK_HEADERS,
          [integer(++sent), [integer(1), integer(192), integer(0), integer(0)]]))
        if (full) await session.stream.onDrain({ signal: AbortSignal.timeout(1000) })
      } catch { break }
      if (sent % 50 === 0) await pause(1)
    }
    session.stream.abort(new Error('done'))
    return { sent, millis: since(start) }
  },

  /** Two Statuses. */
  async 'second-status' (session, { chain }) {
    await session.status
    const start = performance.now()
    session.greet(chain)
    return ending(session, start)
  },

  /** A message code that LES does not have. */
  async 'unknown-code' (session) {
    await session.status
    const start = performance.now()
    session.send(0x19, [])
    return ending(session, start)
  },

  /** A request that is not what its code says. */
  async undecodable (session) {
    await session.status
    const start = performance.now()
    session.send(code.GET_BLOCK_HEADERS, [integer(1), [[], [], [], []]])
    return ending(session, start)
  },

  /** A second LES stream on the same connection: it must end before any Status, the first lives on. */
  async 'second-stream' (session, { connection, versions, chain }) {
    await session.status
    const start = performance.now()
    let second
    try {
      second = await greet(connection, versions, chain)
    } catch (error) {
      return { ended: true, how: `refused: ${error.message}`, messages: 0, firstAlive: await alive(session) }
    }
    const out = await ending(second, start)
    return { ...out, firstAlive: await alive(session) }
  },

  /** Requests at the limits of counts and numbers: answered, bounded, and the stream lives. */
  async counts (session) {
    const status = await session.status
    const head = Number(number(status.headNum))
    const amounts = {}
    const ask = async (name, ...query) => { amounts[name] = (await session.headers(...query)).items.length }
    await ask('zero', 1, 0)
    await ask('many', 1, 10_000)
    await ask('beyond', head + 1000, 10)
    await ask('far', 2n ** 64n - 1n, 10)
    await ask('skip', 1, 10, 2n ** 64n - 1n)
    await ask('backwards', 1, 10, 2n ** 64n - 2n, 1)
    const none = new Uint8Array(32).fill(7)
    const bodies = await session.ask(code.GET_BLOCK_BODIES, Array.from({ length: 40 }, () => none))
    amounts.unknownBodies = bodies.items.length
    const statuses = await session.ask(code.GET_TX_STATUS, Array.from({ length: 300 }, () => none))
    amounts.statuses = statuses.items.length
    return { amounts, head, alive: await alive(session) }
  },

  /** Spends more than the buffer: Stop and Resume from les/3 on, the end of the stream on les/2. */
  async overspend (session) {
    const status = await session.status
    const { items } = await session.headers(1, 100)
    const hashes = items.map((item) => unhex(readHeader(item).hash))
    const full = Array.from({ length: 128 }, (_, index) => hashes[index % hashes.length])
    const costs = status['flowControl/MRC'].find(([messageCode]) => Number(number(messageCode)) === code.GET_RECEIPTS)
    const fits = Number(number(status['flowControl/BL']) / (number(costs[1]) + 128n * number(costs[2])))
    const start = performance.now()
    let stopped, answered = 0, asked = 0
    const { promise: resumed, resolve: resume } = Promise.withResolvers()
    session.listen((messageCode, payload) => {
      if (messageCode === code.STOP) stopped ??= since(start)
      if (messageCode === code.RESUME) resume(Number(number(payload)))
    })
    const over = () => stopped !== undefined || session.ended !== undefined
    while (!over() && since(start) < 10_000) {
      for (let i = 0; i < 4 * (fits + 1); i++, asked++) {
        try { session.ask(code.GET_RECEIPTS, full).then(() => { answered += 1 }, () => {}) } catch { break }
      }
      await pause(20)
    }
    const buffer = await Promise.race([resumed, session.closed.then(() => undefined), pause(LIMIT)])
    const out = { fits, asked, answered, stopped, buffer, ended: session.ended !== undefined, how: session.ended, millis: since(start) }
    return session.ended === undefined && buffer !== undefined ? { ...out, alive: await alive(session) } : out
  },

  /** A thousand LES streams on one connection: one serves, the others end. */
  async streams1000 (session, { connection, versions, chain }) {
    await session.status
    const start = performance.now()
    const others = []
    let refused = 0
    for (let i = 0; i < 1000 && connection.status === 'open'; i++) {
      try {
        const other = new Session(await openStream(connection, versions))
        others.push(other)
        if (other.ended === undefined) other.greet(chain)
      } catch { refused += 1 }
    }
    await Promise.race([Promise.all(others.map((other) => other.closed)), pause(15_000)])
    const ended = others.filter((other) => other.ended !== undefined).length
    const served = others.filter((other) => other.messages > 0).length
    return {
      opened: others.length, refused, ended, served, millis: since(start),
      connection: connection.status, firstAlive: session.ended === undefined && await alive(session)
    }
  }
}

/** Modes that begin before any Status of ours. */
const unmet = {
  /** Says nothing at all. */
  async nostatus (session) { return ending(session) },

  /** A request where the Status should be. */
  async 'request-first' (session) {
    session.send(code.GET_BLOCK_HEADERS, [integer(1), [integer(1), integer(1), integer(0), integer(0)]])
    return ending(session)
  },

  /** A Status of another network. */
  async wrongnetwork (session, { chain }) {
    session.greet({ ...chain, network: chain.network + 1 })
    return ending(session)
  },

  /** A Status of another genesis. */
  async wronggenesis (session, { chain }) {
    session.greet(chain, { genesisHash: new Uint8Array(32).fill(1) })
    return ending(session)
  },

  /** Bytes that are a string, not a list. */
  async garbage (session) {
    session.sendBytes(RLP.encode(new Uint8Array(100).fill(0xff)))
    return ending(session)
  }
}

export const names = [...Object.keys(unmet), ...Object.keys(modes)]

export async function hostile (mode, node, address, versions, chain) {
  const connection = await dial(node, address)
  const context = { connection, versions, chain }
  const session = new Session(await openStream(connection, versions))
  if (mode in unmet) return unmet[mode](session, context)
  if (!(mode in modes)) throw new Error(`no such mode: ${mode}; there are ${names.join(', ')}`)
  session.greet(chain)
  return modes[mode](session, context)
}
