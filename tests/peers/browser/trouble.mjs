// What can go wrong, in words for who looks at the page: what happened, and what to do about it.

/** Something that the page cannot go on with. Of a `kind` in `PASSING` it is tried again by itself. */
export class Trouble extends Error {
  constructor (kind, what, advice) {
    super(what)
    this.kind = kind
    this.advice = advice
  }

  get passes () { return PASSING.includes(this.kind) }
}

const PASSING = ['unreachable', 'left', 'silent']

/** The relay's answers are false, or not LES. */
export function lied (what) {
  return new Trouble('false', `The relay’s answer is false: ${what}.`,
    'Nothing of it is shown, and the relay is asked nothing more. Do not rely on it: use another relay’s address. ' +
    'If you follow your own relay, look at its log and its full node.')
}

const UNREACHABLE = {
  WebTransport: 'Is the relay running, and its UDP port open? Its certificate lives 14 days: if the link is older, ' +
    'take a new one from the relay.',
  'WebRTC-direct': 'Is the relay running, and its UDP port open? Take a new link from the relay if it was set up anew.',
  'WebSocket over TLS': 'Is the relay running? Its certificate must be valid for the name in the link and known to ' +
    'this browser: open the same name with https:// to see what the browser says of it.',
  WebSocket: 'Is the relay running, and its TCP port open?'
}

/** Why a dial failed; `context` is what the browser offers this page. */
export function dialTrouble (error, { transport, protocol, secure, hostname, address }) {
  const text = messageOf(error)
  if (/unexpected.?peer|peer ?id|not match|invalid.*key/i.test(`${error?.name} ${text}`)) {
    return new Trouble('impostor', `Somebody else answers at this address (${text}).`,
      'Nothing was asked of it. Take a new link from the relay itself.')
  }
  if (transport === 'WebSocket' && protocol === 'https:') {
    return new Trouble('browser', 'This page came over https, and from there browsers open no plain WebSocket.',
      'Use an address of the relay with /webtransport or /tls/ws.')
  }
  const advice = [UNREACHABLE[transport]]
  if (!secure) advice.push(INSECURE)
  if (LOCAL.test(address) && !/^(localhost|127\.|\[::1\])/.test(hostname)) advice.push(ACCESS)
  return new Trouble('unreachable', `The relay cannot be reached over ${transport} (${text}).`, advice.join(' '))
}

/** Addresses that a browser lets a page from elsewhere connect to only if the user says so. */
const LOCAL = /^\/(ip4\/(127|10|192\.168|172\.(1[6-9]|2\d|3[01])|169\.254)\.|ip6\/(::1|f[cde])|dns[46]?\/localhost\/)/

const ACCESS = 'The address is one of the local network, and this page came from elsewhere: if the browser asks for ' +
  'access to the local network, allow it.'

const INSECURE = 'This page came over plain http from another machine, where browsers switch much off: open it from ' +
  '127.0.0.1 or over https.'

/** What the browser lacks for this transport, if anything. */
export function lacking (transport, { secure }) {
  const has = {
    WebTransport: 'WebTransport' in globalThis,
    'WebRTC-direct': 'RTCPeerConnection' in globalThis,
    'WebSocket over TLS': 'WebSocket' in globalThis,
    WebSocket: 'WebSocket' in globalThis
  }
  if (!secure || globalThis.crypto?.subtle === undefined) {
    return new Trouble('browser', 'The browser gives this page no cryptography and no WebTransport.', INSECURE)
  }
  if (has[transport]) return undefined
  return new Trouble('browser', `This browser has no ${transport}.`,
    'Use a newer browser, or an address of the relay with /tls/ws or /webrtc-direct in it.')
}

export function messageOf (error) {
  const inner = error?.errors?.[0] ?? error?.cause ?? error
  return String(inner?.message ?? inner).replace(/[.\s]+$/, '')
}

/** Any error of a session, in our words. */
export function explain (error) {
  if (error instanceof Trouble) return error
  const text = messageOf(error)
  const claim = text.match(/^not verified: (.*)$/s)
  if (claim !== null) return lied(`it fails at “${claim[1]}”`)
  if (/^the stream ended/.test(text)) {
    return new Trouble('left', 'The relay ended the connection.', 'It may be restarting.')
  }
  if (/^no answer to code/.test(text)) {
    return new Trouble('silent', 'The relay took a question and did not answer it.',
      'Its full node may be busy or gone.')
  }
  if (/UnsupportedProtocol|protocol selection|no handler/i.test(`${error?.name} ${text}`)) {
    return new Trouble('peer', 'Who answers there does not speak LES (/les/4).',
      'The address belongs to another libp2p program, or to a relay that serves nobody yet.')
  }
  return lied(`it cannot be read (${text})`)
}
