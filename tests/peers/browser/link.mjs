// What the page is asked for, by the fragment of its URL:
//
//   #MULTIADDR?genesis=0x…&network=ID[&account=0x…]…[&checkpoint=NUMBER:0x…]
//
// A fragment stays in the browser: whoever serves the page does not learn whom it dials or what it looks at.
import { peerIdFromString } from '@libp2p/peer-id'
import { multiaddr } from '@multiformats/multiaddr'
import { Trouble } from './trouble.mjs'

/** Accounts looked at at once. */
export const MAX_ACCOUNTS = 16

const HASH = /^0x[0-9a-f]{64}$/i
const ADDRESS = /^0x[0-9a-f]{40}$/i

/** What a browser can dial, by the address' own words, best first. */
const TRANSPORTS = [
  ['WebTransport', (names) => names.includes('webtransport')],
  ['WebRTC-direct', (names) => names.includes('webrtc-direct')],
  ['WebSocket over TLS', (names) => names.includes('wss') || (names.includes('ws') && names.includes('tls'))],
  ['WebSocket', (names) => names.includes('ws')]
]

function transportOf (address) {
  const names = address.getComponents().map(({ name }) => name)
  const found = TRANSPORTS.find(([, fits]) => fits(names))
  if (found !== undefined) return found[0]
  throw new Trouble('address', `A browser cannot dial ${address}.`,
    'Use an address of the relay with /webtransport, /webrtc-direct, /tls/ws or /ws in it.')
}

function readAddress (text) {
  let address
  try {
    address = multiaddr(text)
  } catch (error) {
    throw new Trouble('address', `“${text}” is not a multiaddr: ${error.message}.`,
      'It looks like /ip4/192.0.2.1/udp/30315/quic-v1/webtransport/certhash/…/p2p/…; copy it whole.')
  }
  const names = address.getComponents().map(({ name }) => name)
  if (names.at(-1) !== 'p2p') {
    throw new Trouble('address', 'The address does not say who is to answer: its end, /p2p/…, is missing.',
      'Copy the whole address; without that end nobody could be told from an impostor.')
  }
  try {
    peerIdFromString(address.getComponents().findLast(({ name }) => name === 'p2p').value)
  } catch {
    throw new Trouble('address', 'The end of the address, /p2p/…, is no key.', 'Copy the whole address, and nothing after it.')
  }
  if (names.includes('webtransport') && !names.includes('certhash')) {
    throw new Trouble('address', 'The WebTransport address has no /certhash/….',
      'Copy the whole address as the relay prints it.')
  }
  return address
}

function matching (value, pattern, what, example) {
  if (value !== null && pattern.test(value)) return value.toLowerCase()
  throw new Trouble('link', value === null ? `The link does not name ${what}.` : `“${value}” is not ${what}.`,
    `Add ${example} to the link, after the address and a “?”.`)
}

/** Reads a fragment, with or without its `#`; undefined if there is nothing in it. */
export function readLink (fragment) {
  let text = fragment.replace(/^#/, '')
  try { text = decodeURI(text) } catch { /* taken as it is */ }
  if (text === '') return undefined
  const [path, ...rest] = text.split('?')
  const query = new URLSearchParams(rest.join('?'))
  const address = readAddress(path.trim())
  const transport = transportOf(address)
  const genesis = matching(query.get('genesis'), HASH, 'the hash of the chain’s first block', 'genesis=0x…')
  const network = BigInt(matching(query.get('network'), /^[0-9]{1,18}$/, 'the network’s number', 'network=1'))
  const accounts = [...new Set(query.getAll('account').flatMap((list) => list.split(',')))]
    .map((account) => matching(account.trim(), ADDRESS, 'an account', 'account=0x…'))
  if (accounts.length > MAX_ACCOUNTS) {
    throw new Trouble('link', `The link names ${accounts.length} accounts.`, `Leave at most ${MAX_ACCOUNTS}.`)
  }
  let checkpoint
  if (query.has('checkpoint')) {
    const [number, hash] = query.get('checkpoint').split(':')
    const what = 'a block that you trust'
    checkpoint = {
      number: BigInt(matching(number, /^[0-9]{1,15}$/, what, 'checkpoint=NUMBER:0x…')),
      hash: matching(hash ?? null, HASH, what, 'checkpoint=NUMBER:0x…')
    }
  }
  const relayed = address.getComponents().some(({ name }) => name === 'p2p-circuit')
  return { address, transport, relayed, genesis, network, accounts, checkpoint }
}

/** The fragment for what a form says. */
export function writeLink ({ address, genesis, network, accounts, checkpoint }) {
  const words = [['genesis', genesis], ['network', network], ['checkpoint', checkpoint],
    ...accounts.split(/[\s,]+/).map((account) => ['account', account])]
  const query = words.filter(([, value]) => value !== '').map(([name, value]) => `${name}=${value}`).join('&')
  return `#${address}?${query}`
}
