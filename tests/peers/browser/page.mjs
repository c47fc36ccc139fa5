// The page: dials the relay that its link names and shows what it could verify, until it is closed.
import { Chain } from './chain.mjs'
import { readLink, writeLink } from './link.mjs'
import { agentOf, dial, openStream, roundTrip, startNode } from './node.mjs'
import { Reader } from './reader.mjs'
import { Trouble, dialTrouble, explain, lacking } from './trouble.mjs'
import { View } from './view.mjs'

/** Between two pings. */
const PING_EVERY = 10_000

/** Between tries, in seconds: the last one again and again. */
const AGAIN_AFTER = [1, 2, 4, 8, 15]

const view = new View(document)
const context = { protocol: location.protocol, hostname: location.hostname, secure: globalThis.isSecureContext }
let run = 0

/** One connection, from the dial to its end; always ends with an error. */
async function follow (link, chain, mine, verified) {
  const begun = performance.now()
  let last = begun
  const step = (name, detail) => {
    const now = performance.now()
    view.step(name, detail, now - last, now - begun)
    last = now
  }
  const lack = lacking(link.transport, context)
  if (lack !== undefined) throw lack

  view.working(`Connecting over ${link.transport}…`)
  const node = await startNode()
  let beat
  try {
    step('libp2p started', 'a node of its own in this tab')
    const connection = await dial(node, link.address).catch((error) => {
      throw dialTrouble(error, { transport: link.transport, address: link.address.toString(), ...context })
    })
    const way = link.relayed ? `${link.transport} and a circuit` : link.transport
    step('Connected', `${way}, encrypted; the relay proved that it holds its key`)
    view.connection(link, connection)
    const reader = new Reader(await openStream(connection), link)
    const head = await reader.greet()
    step('LES session', `Status exchanged, /les/${reader.session.version}`)
    beat = keepPinging(node, connection)

    for (let next = head, first = true; ; first = false) {
      if (mine !== run) throw new Trouble('replaced', 'The link has changed.', '')
      view.working(`Checking block ${next.number}…`, !first)
      const came = performance.now()
      const proofs = reader.askAccounts(next)
      const header = await chain.follow(reader.session, next)
      if (first) step('Head verified', `${chain.linked} headers linked`)
      view.head(header, chain.how())
      const accounts = await reader.accounts(header, proofs)
      if (first && accounts.length > 0) step('Balance verified', `${accounts[0].nodes} nodes of the state trie`)
      view.accounts(accounts, header, chain.how())
      const codes = await reader.codes(header, accounts)
      if (first && codes.size > 0) step('Code verified', `${[...codes.values()].reduce((sum, { length }) => sum + length, 0)} bytes`)
      view.codes(accounts, codes)
      const transactions = await reader.transactions(header)
      if (first) step('Block verified', `${transactions.length} transactions`)
      view.block(header, transactions)
      view.verified(header, chain.how(), performance.now() - (first ? begun : came), first)
      verified()
      next = await reader.announced()
    }
  } finally {
    clearInterval(beat)
    node.stop().catch(() => {})
  }
}

/** The best of the last three round trips, and who answers once identify has said so. */
function keepPinging (node, connection) {
  const recent = []
  const look = async () => {
    try {
      recent.unshift(await roundTrip(connection))
      recent.length = Math.min(recent.length, 3)
      view.roundTrip(Math.min(...recent))
      view.agent(await agentOf(node, connection))
    } catch { /* the session's own end says more */ }
  }
  // At the start much else goes on in the tab, and the protocol is agreed on first.
  look().then(look).then(look)
  return setInterval(look, PING_EVERY)
}

const pause = (millis) => new Promise((resolve) => setTimeout(resolve, millis))

/** Follows the link, again and again while that makes sense. */
async function start () {
  const mine = ++run
  view.reset()
  let link
  try {
    link = readLink(location.hash)
  } catch (error) {
    view.failed(explain(error))
    view.form(location.hash)
    return
  }
  view.form(location.hash)
  if (link === undefined) return view.asking()
  const chain = new Chain(link)
  for (let tries = 0; mine === run;) {
    try {
      await follow(link, chain, mine, () => { tries = 0 })
    } catch (error) {
      if (mine !== run) return
      console.error(error)
      const trouble = explain(error)
      if (!trouble.passes) return view.failed(trouble)
      const seconds = AGAIN_AFTER[Math.min(tries++, AGAIN_AFTER.length - 1)]
      view.waiting(trouble, seconds)
      await pause(seconds * 1000)
      if (mine === run) view.steps()
    }
  }
}

// A message that is no LES at all breaks in the stream's own listener.
window.addEventListener('error', (event) => {
  run += 1
  view.failed(explain(event.error ?? new Error(event.message)))
})
window.addEventListener('hashchange', start)
view.onLink((words) => {
  const link = writeLink(words)
  if (link === location.hash) start()
  else location.hash = link
})
start()
