// EthereumJS 0.10.2 as a LES server (les/2, les/3, les/4; headers only) over a given chain.
// usage: node server.mjs GENESIS.json CHAIN.rlp DATADIR
// DATADIR is an existing, empty folder.
// Prints one JSON line with its enode once it serves the whole chain; ends when stdin ends.
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { createRequire } from 'node:module'
import net from 'node:net'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { fileURLToPath } from 'node:url'

const [genesis, chain, datadir] = process.argv.slice(2)
if (datadir === undefined) {
  console.error('usage: node server.mjs GENESIS.json CHAIN.rlp DATADIR')
  process.exit(2)
}
const here = dirname(fileURLToPath(import.meta.url))
const packages = dirname(createRequire(import.meta.url).resolve('@ethereumjs/client/package.json'))

// The client takes no port 0, so one that is free now is chosen for it.
const probe = net.createServer().listen(0, '127.0.0.1')
await once(probe, 'listening')
const { port } = probe.address()
probe.close()

const client = spawn(process.execPath, [
  '--import', join(here, 'loopback.mjs'), join(packages, 'dist/esm/bin/cli.js'),
  '--dataDir', datadir, '--gethGenesis', genesis, '--loadBlocksFromRlp', chain,
  '--lightServe', '--sync', 'full', '--isSingleNode', '--discDns=false', '--discV4=false',
  '--extIP', '127.0.0.1', '--port', String(port), '--rpc=false', '--rpcEngine=false',
  '--logLevel', 'info', '--logFile', 'false'
], { stdio: ['ignore', 'pipe', 'inherit'], cwd: datadir })
client.on('exit', (code) => process.exit(code ?? 1))
process.stdin.resume().on('end', () => client.kill())
process.on('SIGTERM', () => client.kill())

let enode
for await (const line of createInterface({ input: client.stdout })) {
  console.error(line)
  enode ??= line.match(/enode:\/\/\S+/)?.[0]
  if (line.includes('Client started successfully')) {
    console.log(JSON.stringify({ event: 'ready', enode, pid: client.pid }))
  }
}
