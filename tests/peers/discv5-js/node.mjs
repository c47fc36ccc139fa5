// A discv5 node of @chainsafe/discv5 on 127.0.0.1, which does what stdin says and tells of what it is asked.
//
// usage: node node.mjs
// Prints JSON lines: `ready` with its record, `request` for each PING, FINDNODE and TALKREQ that comes in
// (the package answers the first two; a TALKREQ is answered here with its own bytes), and one line for each
// command, `failed` if it came to nothing:
//
//   ping ENR                   -> pong: enrSeq and the address that the other side saw
//   findnode ENR DISTANCE...   -> nodes: the records
//   talk ENR PROTOCOL HEX      -> talkresp: the answer in hex
//   know ENR                   -> known: keeps a record in its table, so that others can be told of it
//   record ENR                 -> record: what the package reads in it
//
// Ends with its stdin.
import dgram from 'node:dgram'
import { once } from 'node:events'
import { createInterface } from 'node:readline'
import { Discv5 } from '@chainsafe/discv5'
import { ENR, SignableENR } from '@chainsafe/enr'
import { generateKeyPair } from '@libp2p/crypto/keys'
import { multiaddr } from '@multiformats/multiaddr'

const kinds = { 1: 'ping', 3: 'findnode', 5: 'talkreq' }
const hex = (bytes) => Buffer.from(bytes).toString('hex')
const address = ({ ip, port }) => `${Array.from(ip.octets).join('.')}:${port}`
const emit = (line) => {
  const text = JSON.stringify(line, (_, value) => typeof value === 'bigint' ? Number(value) : value)
  process.stdout.write(`${text}\n`)
}

// The package takes no port 0, so one that is free now is chosen for it.
const probe = dgram.createSocket('udp4').bind(0, '127.0.0.1')
await once(probe, 'listening')
const { port } = probe.address()
probe.close()
await once(probe, 'close')

const privateKey = await generateKeyPair('secp256k1')
const enr = SignableENR.createFromPrivateKey(privateKey)
const location = multiaddr(`/ip4/127.0.0.1/udp/${port}`)
enr.setLocationMultiaddr(location)
// A record that has more than the package knows of.
enr.set('causeway-test', Uint8Array.from([0xc0, 0xff, 0xee]))
const node = Discv5.create({
  enr, privateKey, bindAddrs: { ip4: location }, config: { allowUnverifiedSessions: true, enrUpdate: false }
})

node.sessionService.on('request', (from, { type, enrSeq, distances, protocol, request }) => {
  const what = { ping: { enrSeq }, findnode: { distances } }[kinds[type]] ??
    { protocol: Buffer.from(protocol).toString(), request: hex(request) }
  emit({ event: 'request', kind: kinds[type], from: from.nodeId, ...what })
})
node.on('talkReqReceived', (from, _, { id, request }) => node.sendTalkResp(from, id, request))
await node.start()
emit({ event: 'ready', enr: enr.encodeTxt(), seq: enr.seq, id: enr.nodeId, address: `127.0.0.1:${port}` })

const commands = {
  async ping (to) {
    const { enrSeq, addr } = await node.sendPing(ENR.decodeTxt(to))
    return { event: 'pong', enrSeq, address: address(addr) }
  },
  async findnode (to, ...distances) {
    const records = await node.sendFindNode(ENR.decodeTxt(to), distances.map(Number))
    return { event: 'nodes', records: records.map((record) => record.encodeTxt()) }
  },
  async talk (to, protocol, request) {
    const answer = await node.sendTalkReq(ENR.decodeTxt(to), Buffer.from(request ?? '', 'hex'), protocol)
    return { event: 'talkresp', answer: hex(answer) }
  },
  async know (record) {
    node.addEnr(record)
    return { event: 'known', id: ENR.decodeTxt(record).nodeId }
  },
  async record (text) {
    const { seq, nodeId, ip, tcp, udp, quic, kvs } = ENR.decodeTxt(text)
    return { event: 'record', seq, id: nodeId, ip, tcp, udp, quic, keys: [...kvs.keys()] }
  }
}
for await (const line of createInterface({ input: process.stdin })) {
  const [name, ...words] = line.trim().split(/\s+/)
  try {
    if (!Object.hasOwn(commands, name)) throw new Error('unknown command')
    emit(await commands[name](...words))
  } catch (error) {
    emit({ event: 'failed', command: name, error: error.code ?? error.message })
  }
}
await node.stop()
process.exit(0)
