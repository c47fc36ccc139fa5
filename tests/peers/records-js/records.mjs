// Node records in two libraries that are not ours.
//
//   node records.mjs read ENR...   what each library reads in each record, one line of JSON for each
//   node records.mjs write         a record that each library wrote, and what it was told to say

import { createHash } from 'node:crypto'
import { ENR, SignableENR } from '@chainsafe/enr'
import { multiaddr } from '@multiformats/multiaddr'
import { getPublicKey } from '@noble/secp256k1'
import { EnrCreator, EnrDecoder, MULTIADDR_LENGTH_SIZE } from '@waku/enr'
// The package does not name its encoder among its exports.
import { EnrEncoder } from './node_modules/@waku/enr/dist/encoder.js'

const print = (object) => process.stdout.write(JSON.stringify(object) + '\n')
const hex = (bytes) => Buffer.from(bytes).toString('hex')

async function readWaku (enr) {
  const record = await EnrDecoder.fromString(enr)
  return {
    key: hex(record.publicKey),
    nodeId: record.nodeId,
    peerId: record.peerId?.toString(),
    seq: Number(record.seq),
    ip: record.ip,
    tcp: record.tcp,
    udp: record.udp,
    multiaddrs: (record.multiaddrs ?? []).map(String)
  }
}

function readChainsafe (enr) {
  const record = ENR.decodeTxt(enr)
  return {
    key: hex(record.publicKey),
    nodeId: record.nodeId,
    peerId: record.peerId.toString(),
    seq: Number(record.seq),
    ip: record.ip,
    tcp: record.tcp,
    udp: record.udp,
    quic: record.quic
  }
}

async function read (enrs) {
  for (const enr of enrs) {
    print({ event: 'read', library: '@waku/enr', enr, ...(await readWaku(enr)) })
    print({ event: 'read', library: '@chainsafe/enr', enr, ...readChainsafe(enr) })
  }
}

const ADDRESSES = [
  '/dns4/node.example.test/tcp/443/wss',
  '/ip4/127.0.0.1/tcp/8000/ws',
  '/ip4/127.0.0.1/udp/4001/quic-v1'
]

/// @chainsafe/enr knows no `multiaddrs`: each goes behind its length (Waku RFC 31).
function packed (addresses) {
  return Buffer.concat(addresses.flatMap(({ bytes }) => {
    const length = Buffer.alloc(MULTIADDR_LENGTH_SIZE)
    length.writeUInt16BE(bytes.length)
    return [length, bytes]
  }))
}

async function write () {
  const addresses = ADDRESSES.map((text) => multiaddr(text))
  const secret = (name) => new Uint8Array(createHash('sha256').update(name).digest())

  const ofWaku = secret('a record of @waku/enr')
  const waku = EnrCreator.fromPublicKey(getPublicKey(ofWaku, true), {})
  waku.ip = '127.0.0.1'
  waku.tcp = 30303
  waku.udp = 9000
  waku.multiaddrs = addresses
  waku.seq = 7n
  const said = { seq: 7, ip: '127.0.0.1', tcp: 30303, udp: 9000, multiaddrs: ADDRESSES }
  print({
    event: 'wrote',
    library: '@waku/enr',
    enr: await EnrEncoder.toString(waku, ofWaku),
    key: hex(getPublicKey(ofWaku, true)),
    ...said
  })

  const ofChainsafe = secret('a record of @chainsafe/enr')
  const chainsafe = SignableENR.createV4(ofChainsafe)
  chainsafe.ip = '127.0.0.1'
  chainsafe.tcp = 30303
  chainsafe.udp = 9000
  chainsafe.quic = 9001
  chainsafe.set('multiaddrs', packed(addresses))
  chainsafe.seq = 7n
  print({
    event: 'wrote',
    library: '@chainsafe/enr',
    enr: chainsafe.encodeTxt(),
    key: hex(getPublicKey(ofChainsafe, true)),
    quic: 9001,
    ...said
  })
}

const [mode, ...rest] = process.argv.slice(2)
if (mode === 'read') await read(rest)
else if (mode === 'write') await write()
else throw new Error(`no such mode: ${mode}`)
