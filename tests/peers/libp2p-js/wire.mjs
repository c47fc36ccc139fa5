// LES bytes: one message is one RLP item `[code, payload]` on a libp2p stream. Runs in Node and in a browser.
import { RLP } from '@ethereumjs/rlp'
import { keccak_256 as keccak256 } from '@noble/hashes/sha3.js'
import { bytesToHex, hexToBytes } from '@noble/hashes/utils.js'

export { RLP, keccak256 }

export const code = {
  STATUS: 0x00,
  ANNOUNCE: 0x01,
  GET_BLOCK_HEADERS: 0x02,
  BLOCK_HEADERS: 0x03,
  GET_BLOCK_BODIES: 0x04,
  GET_RECEIPTS: 0x06,
  GET_CONTRACT_CODES: 0x0a,
  GET_PROOFS_V2: 0x0f,
  GET_HELPER_TRIE_PROOFS: 0x11,
  SEND_TX_V2: 0x13,
  GET_TX_STATUS: 0x14,
  TX_STATUS: 0x15,
  STOP: 0x16,
  RESUME: 0x17
}

/** Longest message taken, for the browser's sake: several times what a server sends. */
const MAX_ITEM = 16 << 20

export const hex = (bytes) => '0x' + bytesToHex(Uint8Array.from(bytes))
export const unhex = (text) => hexToBytes(text.replace(/^0x/, ''))

/** The shortest big-endian form; zero is empty. */
export function integer (value) {
  let text = BigInt(value).toString(16)
  if (text === '0') return new Uint8Array()
  if (text.length % 2 === 1) text = '0' + text
  return unhex(text)
}

export function number (bytes) {
  return bytes.length === 0 ? 0n : BigInt(hex(bytes))
}

export const encodeMessage = (messageCode, payload) => RLP.encode([integer(messageCode), payload])

/** Cuts RLP items off a stream by their own header, whatever the boundaries of the chunks. */
export class Cutter {
  #held = new Uint8Array()

  push (chunk) {
    const all = new Uint8Array(this.#held.length + chunk.length)
    all.set(this.#held)
    all.set(chunk, this.#held.length)
    const items = []
    let start = 0
    for (;;) {
      const length = itemLength(all.subarray(start))
      if (length > MAX_ITEM) throw new Error(`a message of ${length} bytes is announced`)
      if (length === undefined || start + length > all.length) break
      items.push(all.slice(start, start + length))
      start += length
    }
    this.#held = all.slice(start)
    return items
  }
}

function itemLength (bytes) {
  if (bytes.length === 0) return undefined
  const first = bytes[0]
  if (first < 0xc0) throw new Error(`an item on the stream is not a list: it starts with ${first}`)
  if (first < 0xf8) return 1 + first - 0xc0
  const size = first - 0xf7
  if (bytes.length < 1 + size) return undefined
  return 1 + size + Number(number(bytes.subarray(1, 1 + size)))
}

/** CRC-32 (ISO-HDLC, as zlib has it). */
function crc32 (bytes) {
  let sum = 0xffffffff
  for (const byte of bytes) {
    sum ^= byte
    for (let bit = 0; bit < 8; bit++) sum = (sum >>> 1) ^ (sum & 1 ? 0xedb88320 : 0)
  }
  return ~sum >>> 0
}

/** The EIP-2124 fork id of a chain's genesis block. */
export function forkId (genesisHash, config) {
  const forks = Object.entries(config)
    .filter(([key, value]) => /Block$/.test(key) && typeof value === 'number' && value > 0)
    .map(([, value]) => value)
    .sort((a, b) => a - b)
  const sum = new Uint8Array(4)
  new DataView(sum.buffer).setUint32(0, crc32(genesisHash))
  return [sum, integer(forks[0] ?? 0)]
}

export function clientStatus (version, chain, change = {}) {
  const values = {
    protocolVersion: integer(version),
    networkId: integer(chain.network),
    headTd: integer(0),
    headHash: new Uint8Array(32),
    headNum: integer(0),
    genesisHash: chain.genesis,
    ...(version >= 4 && { forkID: forkId(chain.genesis, chain.config) }),
    announceType: integer(1),
    ...change
  }
  return Object.entries(values).map(([key, value]) => [new TextEncoder().encode(key), value])
}

export function readStatus (payload) {
  return Object.fromEntries(payload.map(([key, value]) => [new TextDecoder().decode(key), value]))
}

const HEADER_FIELDS = [
  'parentHash', 'unclesHash', 'coinbase', 'stateRoot', 'transactionsRoot', 'receiptsRoot', 'bloom',
  'difficulty', 'number', 'gasLimit', 'gasUsed', 'time', 'extra', 'mix', 'nonce'
]

/** A header by name, with the hash of its own bytes. */
export function readHeader (item) {
  const header = { hash: hex(keccak256(RLP.encode(item))) }
  HEADER_FIELDS.forEach((name, index) => { header[name] = hex(item[index]) })
  header.number = number(item[8])
  return header
}
