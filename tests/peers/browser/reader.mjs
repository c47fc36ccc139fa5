// What the page reads at a head, each answer checked against the header before anybody sees it.
import { checkBody, checkCode, must, prove } from '../libp2p-js/check.mjs'
import { Session, readAnnounce } from '../libp2p-js/session.mjs'
import { RLP, code, hex, keccak256, number, unhex } from '../libp2p-js/wire.mjs'
import { Trouble } from './trouble.mjs'

/** Patience for one answer: relays ask their full node for up to 25 s. */
const PATIENCE = 30_000

/** How long the relay may take to greet; one that waits for us to begin is then greeted first. */
const GREETING = 2_000

export const NO_CODE = hex(keccak256(new Uint8Array()))
const EMPTY_ROOT = hex(keccak256(RLP.encode(new Uint8Array())))
const none = new Uint8Array()

const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis))

export class Reader {
  #codes = new Map()
  #news = undefined
  #wake = () => {}

  constructor (stream, link) {
    this.link = link
    this.session = new Session(stream)
    this.session.listen((messageCode, payload) => {
      if (messageCode !== code.ANNOUNCE) return
      const { hash, number } = readAnnounce(payload)
      if (/^0x0*$/.test(hash)) return
      this.#news = { hash, number: BigInt(number) }
      this.#wake()
    })
  }

  /** Exchanges the Status; gives the head that the relay names. */
  async greet () {
    const { session, link } = this
    // Its fork id is given back: which rules hold is for full nodes to say, and the genesis hash names the chain.
    const first = await Promise.race([session.status, pause(GREETING)])
    const chain = { network: link.network, genesis: unhex(link.genesis), config: {} }
    session.greet(chain, first?.forkID === undefined ? {} : { forkID: first.forkID })
    const status = first ?? await session.status
    const [theirs, network] = [hex(status.genesisHash), number(status.networkId)]
    if (theirs !== link.genesis || network !== link.network) {
      throw new Trouble('chain', `The relay serves another chain: network ${network}, genesis ${theirs}; ` +
        `the link names network ${link.network}, genesis ${link.genesis}.`,
      'Correct the link, or take one from a relay of your chain.')
    }
    return { hash: hex(status.headHash), number: number(status.headNum) }
  }

  /** The newest head announced since the last call, or the next one. */
  async announced () {
    const ended = this.session.closed.then((how) => { throw new Error(`the stream ended: ${how}`) })
    ended.catch(() => {})
    while (this.#news === undefined) {
      await Promise.race([new Promise((resolve) => { this.#wake = resolve }), ended])
    }
    const news = this.#news
    this.#news = undefined
    return news
  }

  /** Asks for proofs of the accounts at a block; the answer goes to `accounts` once the block's header is verified. */
  askAccounts ({ hash }) {
    const query = this.link.accounts.map((account) => [unhex(hash), none, keccak256(unhex(account)), none])
    const answer = query.length === 0 ? Promise.resolve() : this.session.ask(code.GET_PROOFS_V2, query, PATIENCE)
    answer.catch(() => {})
    return answer
  }

  /** The accounts at a header, by an answer to `askAccounts`. */
  async accounts (header, answer) {
    const { accounts } = this.link
    if (accounts.length === 0) return []
    const { items } = await answer
    const keys = accounts.map((account) => keccak256(unhex(account)))
    return Promise.all(accounts.map(async (address, index) => {
      let value
      try {
        value = await prove(items, header.stateRoot, keys[index])
      } catch (error) {
        must(false, `the proof of account ${address} against the state root ${header.stateRoot} of block ${header.number}` +
          ` (${error.message})`)
      }
      const nodes = items.length
      if (value === null) return { address, absent: true, nonce: 0n, balance: 0n, codeHash: NO_CODE, storageRoot: EMPTY_ROOT, nodes }
      const [nonce, balance, storageRoot, codeHash] = RLP.decode(value)
      return { address, absent: false, nonce: number(nonce), balance: number(balance), storageRoot: hex(storageRoot), codeHash: hex(codeHash), nodes }
    }))
  }

  /** The code of proved accounts, by hash; what was checked once is not asked for again. */
  async codes (header, accounts) {
    const wanted = accounts.filter(({ codeHash }) => codeHash !== NO_CODE && !this.#codes.has(codeHash))
    if (wanted.length > 0) {
      const block = unhex(header.hash)
      const query = wanted.map(({ address }) => [block, keccak256(unhex(address))])
      const { items } = await this.session.ask(code.GET_CONTRACT_CODES, query, PATIENCE)
      must(items.length === wanted.length, 'one code for each contract')
      wanted.forEach((account, index) => {
        checkCode(items[index], account)
        this.#codes.set(account.codeHash, items[index])
      })
    }
    return this.#codes
  }

  /** The hashes of a header's transactions. */
  async transactions (header) {
    const { items } = await this.session.ask(code.GET_BLOCK_BODIES, [unhex(header.hash)], PATIENCE)
    must(items.length === 1, `the body of block ${header.number} is served`)
    return checkBody(items[0], header)
  }
}
