// A page of the driver's: connects, pings, and sends bytes to an echo, over whatever transport the address has.
import { multiaddr } from '@multiformats/multiaddr'
import { dial, roundTrip, startNode } from './node.mjs'

const PIECE = 16 << 10

async function echo (connection, protocol, total) {
  const stream = await connection.newStream(protocol)
  const sent = crypto.getRandomValues(new Uint8Array(PIECE))
  const { promise, resolve, reject } = Promise.withResolvers()
  let back = 0
  stream.addEventListener('message', ({ data }) => {
    for (const byte of data.subarray()) {
      if (byte !== sent[back % PIECE]) return reject(new Error(`byte ${back} came back as another`))
      back += 1
    }
    if (back === total) resolve()
  })
  stream.addEventListener('close', ({ error }) => reject(error ?? new Error(`closed after ${back} bytes came back`)))
  const begun = performance.now()
  for (let left = total; left > 0; left -= PIECE) {
    if (!stream.send(sent)) await Promise.race([stream.onDrain(), promise])
  }
  await promise
  const millis = performance.now() - begun
  await stream.close()
  return millis
}

/** Milliseconds of each step; `total` is a multiple of 16 KiB. */
window.probe = async (address, protocol, total) => {
  const node = await startNode()
  try {
    const begun = performance.now()
    const connection = await dial(node, multiaddr(address))
    const connect = performance.now() - begun
    await roundTrip(connection)
    const ping = await roundTrip(connection)
    return { connect, ping, echo: await echo(connection, protocol, total), remote: connection.remoteAddr.toString() }
  } finally {
    await node.stop()
  }
}
