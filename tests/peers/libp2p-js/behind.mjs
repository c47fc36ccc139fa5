// A peer behind a relay: keeps a reservation there and echoes to whoever comes through it.
//
// usage: node --experimental-websocket --import ./polyfill.mjs behind.mjs RELAY
//
// Prints `reserved` with its address, and stays until its stdin ends.
import { startNode } from './peer.mjs'

const [relay] = process.argv.slice(2)
const node = await startNode({ pingable: true, listen: [`${relay}/p2p-circuit`] })
await node.handle('/echo/1', async (stream) => {
  for await (const data of stream) {
    if (!stream.send(data)) await stream.onDrain()
  }
  await stream.close()
}, { runOnLimitedConnection: true })

const relayed = () => node.getMultiaddrs().map(String).find((address) => address.includes('/p2p-circuit'))
while (relayed() === undefined) await new Promise((resolve) => setTimeout(resolve, 50))
console.log(JSON.stringify({ event: 'reserved', address: `${relay}/p2p-circuit/p2p/${node.peerId}`, told: relayed() }))
process.stdin.resume()
process.stdin.on('end', () => process.exit(0))
