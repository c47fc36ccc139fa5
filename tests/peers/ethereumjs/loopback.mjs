// Preloaded by `node --import`. Two repairs of EthereumJS 0.10.2 without touching its packages:
//
// 1. `Protocol` and `LES` each arm a timer for the Status, and only the second is cleared: every LES
//    session would end with Disconnect 0x0b five seconds after Hello. Here the first is cleared as well.
// 2. Its listeners take every address of the machine; here they stay on loopback.
import dgram from 'node:dgram'
import net from 'node:net'
import { LES as Original } from '@ethereumjs/devp2p'

// The client finds its protocols by the name of this class.
class LES extends Original {
  constructor (...args) {
    const arm = globalThis.setTimeout
    const armed = []
    globalThis.setTimeout = (...timer) => {
      const id = arm(...timer)
      armed.push(id)
      return id
    }
    try {
      super(...args)
    } finally {
      globalThis.setTimeout = arm
    }
    clearTimeout(armed[0])
  }
}
for (const version of [Original.les2, Original.les3, Original.les4]) version.constructor = LES

const everywhere = new Set([undefined, '0.0.0.0', '::'])
const listen = net.Server.prototype.listen
net.Server.prototype.listen = function (where, ...rest) {
  if (typeof where === 'number') {
    const named = typeof rest[0] === 'string' || rest[0] === undefined
    const host = named ? rest.shift() : undefined
    return listen.call(this, where, everywhere.has(host) ? '127.0.0.1' : host, ...rest)
  }
  if (where !== null && typeof where === 'object' && 'port' in where && everywhere.has(where.host)) {
    return listen.call(this, { ...where, host: '127.0.0.1' }, ...rest)
  }
  return listen.call(this, where, ...rest)
}

const bind = dgram.Socket.prototype.bind
dgram.Socket.prototype.bind = function (port, address, ...rest) {
  if (typeof port === 'number' && (typeof address !== 'string' || everywhere.has(address))) {
    if (typeof address === 'function') rest.unshift(address)
    return bind.call(this, port, '127.0.0.1', ...rest)
  }
  return bind.call(this, port, address, ...rest)
}
