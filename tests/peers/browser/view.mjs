// What is seen. Text goes in as text: nothing that a relay says becomes markup.
import { NO_CODE } from './reader.mjs'

const ETHER = 10n ** 18n

/** Wei as ether, all digits that there are. */
export function ether (wei) {
  const whole = (wei / ETHER).toLocaleString('en')
  const rest = (wei % ETHER).toString().padStart(18, '0').replace(/0+$/, '')
  return rest === '' ? whole : `${whole}.${rest}`
}

const millis = (value) => value < 10 ? `${value.toFixed(1)} ms` : value < 10_000 ? `${Math.round(value)} ms` : `${(value / 1000).toFixed(1)} s`

export class View {
  #document
  #firstAnnounced = false

  constructor (document) { this.#document = document }

  #at (id) { return this.#document.getElementById(id) }

  #say (id, text) {
    const element = this.#at(id)
    if (element.textContent !== text) element.textContent = text
  }

  #state (state) { this.#document.documentElement.dataset.state = state }

  /** How a thing was verified: a word for the eye, the reason beside it. */
  #how (element, { sound, text }) {
    element.dataset.sound = String(sound)
    element.querySelector('.word').textContent = sound ? 'Verified' : 'Partly verified'
    element.querySelector('.reason').textContent = text
    element.hidden = false
  }

  reset () {
    this.#firstAnnounced = false
    this.#state('working')
    for (const id of ['results', 'trouble']) this.#at(id).hidden = true
    this.#at('accounts').replaceChildren()
    this.#at('head-how').hidden = true
    this.#at('block-how').hidden = true
    for (const id of ['head-number', 'head-hash', 'head-time', 'head-root', 'block-transactions', 'connection-rtt', 'connection-agent']) this.#say(id, '—')
    this.steps()
  }

  /** Begins the list of steps anew. */
  steps () { this.#at('steps').replaceChildren() }

  asking () {
    this.#state('asking')
    this.#say('status', 'Say where your relay is.')
    this.#at('form').open = true
  }

  /** `quiet` where something verified is on the screen already. */
  working (text, quiet = false) {
    if (quiet) return
    this.#state('working')
    this.#say('status', text)
    this.#at('trouble').hidden = true
  }

  step (name, detail, took, since) {
    const row = this.#at('steps').insertRow()
    const head = this.#document.createElement('th')
    head.scope = 'row'
    head.textContent = name
    row.append(head)
    for (const [text, value] of [[detail], [millis(took), took], [millis(since), since]]) {
      const cell = row.insertCell()
      cell.textContent = text
      if (value !== undefined) cell.dataset.millis = value.toFixed(1)
    }
  }

  connection ({ transport, relayed, address }, connection) {
    this.#say('connection-transport', relayed ? `${transport}, through a relay` : transport)
    this.#say('connection-address', address.toString())
    this.#say('connection-peer', connection.remotePeer.toString())
    this.#at('results').hidden = false
  }

  roundTrip (value) {
    this.#say('connection-rtt', millis(value))
    this.#at('connection-rtt').dataset.millis = value.toFixed(2)
  }

  agent (text) { this.#say('connection-agent', text ?? 'it has not said') }

  head (header, how) {
    this.#say('head-number', header.number.toLocaleString('en'))
    this.#at('head-number').value = header.number.toString()
    this.#say('head-hash', header.hash)
    const time = new Date(Number(BigInt(header.time)) * 1000)
    const valid = !Number.isNaN(time.getTime())
    this.#at('head-time').dateTime = valid ? time.toISOString() : ''
    this.#say('head-time', valid ? time.toLocaleString() : 'at no time that there is')
    this.#say('head-root', header.stateRoot)
    this.#how(this.#at('head-how'), how)
  }

  accounts (accounts, header, how) {
    const list = this.#at('accounts')
    if (list.children.length !== accounts.length) {
      const template = this.#at('account')
      list.replaceChildren(...accounts.map(() => template.content.cloneNode(true)))
    }
    accounts.forEach((account, index) => {
      const card = list.children[index]
      const set = (name, text) => { card.querySelector(`.${name}`).textContent = text }
      card.querySelector('.balance').value = account.balance.toString()
      card.dataset.address = account.address
      set('amount', ether(account.balance))
      set('address', account.address)
      set('nonce', account.nonce.toString())
      const what = account.absent ? 'That there is no such account is proved' : 'Balance, nonce and code hash are proved'
      this.#how(card.querySelector('.balance-how'), {
        sound: how.sound,
        text: `${what} by ${account.nodes} nodes of the state trie, from the state root of block ${header.number.toLocaleString('en')} on.` +
          (how.sound ? '' : ' As sure as the head is.')
      })
    })
  }

  codes (accounts, codes) {
    accounts.forEach((account, index) => {
      const card = this.#at('accounts').children[index]
      const none = account.codeHash === NO_CODE
      const bytes = codes.get(account.codeHash)
      const code = card.querySelector('.code')
      code.dataset.bytes = none ? '0' : String(bytes.length)
      code.textContent = none ? 'none: an account without code' : `${bytes.length.toLocaleString('en')} bytes, Keccak-256 ${account.codeHash}`
      card.querySelector('.code-word').hidden = false
    })
  }

  block (header, transactions) {
    this.#say('block-transactions', transactions.length.toString())
    this.#how(this.#at('block-how'), { sound: true, text: 'Transactions and uncles hash to what the head’s header says.' })
  }

  verified (header, { sound }, took, first) {
    this.#state('verified')
    this.#at('trouble').hidden = true
    Object.assign(this.#document.documentElement.dataset, { sound, complete: header.number })
    // Each new head would be too much for who listens: only the first one is announced, the rest is in the page.
    const text = `${sound ? 'Verified' : 'Partly verified'} in this browser, and followed live.`
    if (!this.#firstAnnounced) this.#say('status', text)
    this.#firstAnnounced = true
    this.#say('status-block', `Block ${header.number.toLocaleString('en')} in ${millis(took)}${first ? ' from the dial' : ''}`)
  }

  #trouble (trouble, further) {
    this.#firstAnnounced = false
    this.#at('trouble').hidden = false
    this.#say('trouble-what', trouble.message)
    this.#say('trouble-advice', [trouble.advice, further].filter(Boolean).join(' '))
    this.#at('trouble').dataset.kind = trouble.kind
  }

  failed (trouble) {
    this.#state('failed')
    this.#say('status', trouble.kind === 'false' ? 'Verification failed.' : 'This does not work.')
    this.#say('status-block', '')
    this.#trouble(trouble)
  }

  waiting (trouble, seconds) {
    this.#state('waiting')
    this.#say('status', 'Not connected.')
    this.#say('status-block', `Trying again in ${seconds} s`)
    this.#trouble(trouble, 'What is shown below was verified earlier.')
    if (this.#at('head-how').hidden) this.#trouble(trouble)
  }

  /** Fills the form with what the link says, as far as it can be read. */
  form (fragment) {
    const [address, ...rest] = fragment.replace(/^#/, '').split('?')
    const query = new URLSearchParams(rest.join('?'))
    const { elements } = this.#at('link')
    elements.address.value = address
    for (const name of ['genesis', 'network', 'checkpoint']) elements[name].value = query.get(name) ?? ''
    elements.accounts.value = query.getAll('account').join('\n')
  }

  onLink (take) {
    this.#at('link').addEventListener('submit', (event) => {
      event.preventDefault()
      const { elements } = event.target
      const names = ['address', 'genesis', 'network', 'accounts', 'checkpoint']
      take(Object.fromEntries(names.map((name) => [name, elements[name].value.trim()])))
    })
  }
}
