// The headers that the page has linked: from a block that the link names, up to the relay's head.
import { must } from '../libp2p-js/check.mjs'
import { readHeader, unhex } from '../libp2p-js/wire.mjs'
import { genesisSigners, signerOf, votes } from './clique.mjs'
import { Trouble } from './trouble.mjs'

/** Headers of one answer (geth's limit). */
const BATCH = 192

/** Longest way back to a block that the link names. */
const MAX_WAY = 8192n

/** Linked headers in front of a head whose seal can be checked, where genesis is farther away than that. */
const SHORT_WAY = 256n

/** Headers kept for what comes next: no reorganisation that is followed is deeper. */
const KEEP = 256

const short = (hash) => `${hash.slice(0, 10)}…`

export class Chain {
  #kept = new Map()
  #signers
  #voted = false
  #linked = 0
  #whole = false
  head = undefined

  constructor ({ genesis, checkpoint }) {
    this.genesis = genesis
    this.checkpoint = checkpoint
  }

  /** Follows the relay to a head that it named; gives the header. */
  async follow (session, { hash, number }) {
    // The first question needs no other's answer: all of them are one round trip.
    const answer = this.#ask(session, { hash, number })
    answer.catch(() => {})
    if (this.head === undefined) await this.#begin(session)
    const known = (header) => this.#kept.get(header.number - 1n)?.hash === header.parentHash
    const root = this.checkpoint ?? { number: 0n, hash: this.genesis }
    if (number < root.number) {
      throw new Trouble('behind', `The relay is at block ${number}, before block ${root.number} that the link names.`,
        'Wait until the relay has caught up, or take a link with an older checkpoint.')
    }
    const enough = (header, taken) => this.head !== undefined
      ? known(header)
      : header.number === root.number || (this.#signers !== undefined && this.checkpoint === undefined && taken >= SHORT_WAY)
    if (this.head === undefined && this.#signers === undefined && number - root.number > MAX_WAY) {
      throw new Trouble('far', `The head is ${number - root.number} blocks after the last one that the link names.`,
        'Add a block that you trust, near the head: checkpoint=NUMBER:0x…')
    }
    const way = await this.#wayBack(session, { hash, number }, answer, enough)
    const last = way.at(-1).header
    if (this.head === undefined) {
      this.#whole = last.number === root.number
      if (this.#whole) must(last.hash === root.hash, `block ${root.number} is ${root.hash}, which the link names`)
    }
    this.#checkSeals(way)
    for (const { header } of way.toReversed()) this.#kept.set(header.number, header)
    this.head = way[0].header
    for (const old of this.#kept.keys()) {
      if (old > this.head.number || old + BigInt(KEEP) < this.head.number) this.#kept.delete(old)
    }
    this.#linked = way.length
    return this.head
  }

  /** The genesis header says how the chain is sealed. */
  async #begin (session) {
    const { items } = await session.headers(0, 1)
    must(items.length === 1, 'block 0 is served')
    const header = readHeader(items[0])
    must(header.hash === this.genesis, `block 0 is ${this.genesis}, the genesis that the link names`)
    this.#signers = genesisSigners(header)
  }

  /** Asks for headers from one back. */
  #ask (session, { hash, number }) {
    const rest = Number(number) + 1
    const step = this.head === undefined ? BATCH : Math.max(1, Number(number - this.head.number))
    return session.headers(unhex(hash), Math.min(BATCH, rest, step), 0, 1)
  }

  /** Headers from `from` back, each named by the one before, until there are enough; the first answer is on its way. */
  async #wayBack (session, from, answer, enough) {
    const way = []
    let wanted = from
    for (;; answer = this.#ask(session, wanted)) {
      const { items } = await answer
      must(items.length > 0 && items.length <= BATCH, `header ${wanted.number} is served`)
      for (const item of items) {
        const header = readHeader(item)
        must(header.hash === wanted.hash, `header ${wanted.number} has the hash ${wanted.hash}`)
        must(header.number === wanted.number, `the block ${wanted.hash} has the number ${wanted.number}`)
        way.push({ header, item })
        if (enough(header, BigInt(way.length))) return way
        must(header.number > 0n, 'the chain begins where the link says')
        wanted = { hash: header.parentHash, number: header.number - 1n }
      }
      if (BigInt(way.length) > MAX_WAY) {
        throw new Trouble('far', `More than ${MAX_WAY} headers came since the last one that was verified.`,
          'Load the page again.')
      }
    }
  }

  /** The head's seal, and those of headers that may change who seals. */
  #checkSeals (way) {
    if (this.#signers === undefined) return
    for (const { header, item } of way.toReversed()) {
      const isHead = header.hash === way[0].header.hash
      if (header.number === 0n || this.#voted || !(isHead || votes(header))) continue
      const signer = signerOf(item, header.number)
      if (!this.#signers.includes(signer)) this.#stranger(header, signer)
      this.signer = signer
      if (votes(header)) this.#voted = true
    }
  }

  /** Who signs may have changed only where votes can have escaped us. */
  #stranger ({ number }, signer) {
    must(this.checkpoint !== undefined || !this.#whole, `header ${number} is signed by a signer of this chain, not by ${signer}`)
    if (this.checkpoint === undefined) {
      throw new Trouble('far', `Block ${number} is signed by ${signer}, whom the genesis block does not name.`,
        'If the chain’s signers have changed, add a block that you trust, near the head: checkpoint=NUMBER:0x…')
    }
    this.#voted = true
  }

  /** How the head was verified: `sound` if nothing about it rests on the relay's word. */
  how () {
    const { number, hash } = this.checkpoint ?? { number: 0n, hash: this.genesis }
    const named = this.checkpoint === undefined ? 'the genesis' : 'the checkpoint'
    const links = this.#whole
      ? (this.head.hash === hash
          ? `It is ${named} that your link names.`
          : `Its hash, and each parent’s down to block ${number} ${short(hash)}, ${named} that your link names, were computed here.`)
      : `Its hash and its last ${SHORT_WAY} parents’ were computed here.`
    if (this.#signers !== undefined && !this.#voted) {
      return { sound: true, text: `${links} It is signed by ${this.signer ?? 'nobody'}, whom the genesis block names.` }
    }
    if (this.#whole && this.head.hash === hash) return { sound: true, text: links }
    const open = this.#voted ? 'the chain’s signers have voted since, which is not counted here' : 'its work or stake is not checked here'
    return { sound: false, text: `${links} That it is the chain everybody follows is the relay’s word: ${open}.` }
  }

  get linked () { return this.#linked }
}
