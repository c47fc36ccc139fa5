// A LES session over one libp2p stream: requests by id, announcements as they come.
import { Cutter, RLP, code, clientStatus, encodeMessage, hex, integer, number, readStatus } from './wire.mjs'

const PATIENCE = 30_000

export const unixMicros = () => Math.round((performance.timeOrigin + performance.now()) * 1000)

export class Session {
  #pending = new Map()
  #nextId = 1n
  #cutter = new Cutter()
  #listeners = []
  /** How the stream ended, once it has. */
  ended = undefined
  messages = 0

  constructor (stream) {
    this.stream = stream
    this.version = Number(stream.protocol.split('/').pop())
    const { promise, resolve, reject } = Promise.withResolvers()
    this.status = promise
    this.#statusCame = resolve
    this.#statusFailed = reject
    promise.catch(() => {})
    this.closed = new Promise((resolve) => { this.#closedNow = resolve })
    stream.addEventListener('message', (event) => this.#take(event.data))
    stream.addEventListener('remoteCloseWrite', () => this.#end('fin'))
    stream.addEventListener('close', (event) => this.#end(event.error?.message ?? 'close'))
    if (stream.status !== 'open') this.#end(stream.status)
  }

  #statusCame
  #statusFailed
  #closedNow

  #end (how) {
    if (this.ended !== undefined) return
    this.ended = how
    const error = new Error(`the stream ended: ${how}`)
    this.#statusFailed(error)
    for (const { reject } of this.#pending.values()) reject(error)
    this.#pending.clear()
    this.#closedNow(how)
  }

  #take (data) {
    for (const item of this.#cutter.push(data.subarray())) {
      const [messageCode, payload] = RLP.decode(item)
      this.messages += 1
      this.#dispatch(Number(number(messageCode)), payload)
    }
  }

  #dispatch (messageCode, payload) {
    if (messageCode === code.STATUS) {
      this.#statusCame(readStatus(payload))
    } else if ([code.ANNOUNCE, code.STOP, code.RESUME].includes(messageCode)) {
      for (const listener of this.#listeners) listener(messageCode, payload, unixMicros())
    } else {
      const id = hex(payload[0])
      const pending = this.#pending.get(id)
      if (pending === undefined) throw new Error(`an answer to nothing: code ${messageCode}, request ${id}`)
      this.#pending.delete(id)
      if (messageCode !== pending.answers) pending.reject(new Error(`answered with code ${messageCode}`))
      pending.resolve({ buffer: number(payload[1]), items: payload[2] })
    }
  }

  /** Hears Announce, Stop and Resume. */
  listen (listener) { this.#listeners.push(listener) }

  greet (chain, change) {
    this.send(code.STATUS, clientStatus(this.version, chain, change))
  }

  send (messageCode, payload) { this.sendBytes(encodeMessage(messageCode, payload)) }

  sendBytes (bytes) { this.stream.send(bytes) }

  /** Sends a request; its answer is { buffer, items }. */
  ask (messageCode, query, patience = PATIENCE) {
    const id = integer(this.#nextId++)
    const answers = messageCode === code.SEND_TX_V2 ? code.TX_STATUS : messageCode + 1
    const { promise, resolve, reject } = Promise.withResolvers()
    const timer = setTimeout(() => reject(new Error(`no answer to code ${messageCode} in ${patience} ms`)), patience)
    this.#pending.set(hex(id), { answers, resolve, reject })
    this.send(messageCode, [id, query])
    return promise.finally(() => clearTimeout(timer))
  }

  headers (origin, amount, skip = 0, reverse = 0) {
    const start = origin instanceof Uint8Array ? origin : integer(origin)
    return this.ask(code.GET_BLOCK_HEADERS, [start, integer(amount), integer(skip), integer(reverse)])
  }
}

export function readAnnounce (payload) {
  const [hash, head, td, reorg] = payload
  return { hash: hex(hash), number: Number(number(head)), td: number(td).toString(), reorgDepth: Number(number(reorg)) }
}
