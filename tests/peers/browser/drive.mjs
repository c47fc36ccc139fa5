// Opens the page in a headless Chromium and says what is in it, as JSON lines.
//
// usage: node drive.mjs [--files FOLDER] [--loads N] [--heads N] [--trust CERTIFICATE] [--picture FILE] [--nameless] [--expect-failure] LINK...
//
// LINK is a URL of the page, or only its fragment: then the page is served from FOLDER. Each load is a fresh browser
// context: no cache, no session. Prints for each link `verified` (the first load's texts and every load's times) and
// `head` for each of --heads new heads after it; `trouble` where the page says that something is wrong. Ends with 0 if
// all went as expected.
//
// --nameless: does not wait until identify has said who answers. js-libp2p (identify 4.1.14, yamux 8.0.3) loses that
// answer on a circuit, where it and the stream's end come at once.
//
// With --echo PROTOCOL the LINKs are multiaddrs: connects, pings, sends --bytes there and back, and prints `echoed`.
import { X509Certificate, createHash } from 'node:crypto'
import { existsSync, readFileSync } from 'node:fs'
import { createServer } from 'node:http'
import { delimiter, join } from 'node:path'
import { parseArgs } from 'node:util'
import { chromium } from 'playwright-core'
import { bundle } from './bundle.mjs'

const { values: options, positionals: links } = parseArgs({
  allowPositionals: true,
  options: {
    files: { type: 'string' },
    loads: { type: 'string', default: '1' },
    heads: { type: 'string', default: '0' },
    trust: { type: 'string' },
    echo: { type: 'string' },
    bytes: { type: 'string', default: String(8 << 20) },
    picture: { type: 'string' },
    nameless: { type: 'boolean', default: false },
    'expect-failure': { type: 'boolean', default: false }
  }
})
const PATIENCE = 45_000
const emit = (line) => console.log(JSON.stringify({ ...line, unixMicros: Math.round((performance.timeOrigin + performance.now()) * 1000) }))

function browserProgram () {
  const folders = process.env.PATH.split(delimiter)
  const names = ['chromium', 'chromium-browser', 'google-chrome']
  const found = names.flatMap((name) => folders.map((folder) => join(folder, name))).find(existsSync)
  if (found === undefined) throw new Error(`none of ${names.join(', ')} is in the PATH`)
  return found
}

const TYPES = { html: 'text/html; charset=utf-8', css: 'text/css', js: 'text/javascript', svg: 'image/svg+xml' }

/** Serves what `find` gives for a name, undefined being nothing; gives its URL. */
async function serve (find) {
  const server = createServer((request, response) => {
    const name = new URL(request.url, 'http://localhost').pathname.replace(/^\/$/, '/index.html').slice(1)
    const content = /^[a-z]+\.[a-z]+$/.test(name) ? find(name) : undefined
    if (content === undefined) {
      response.writeHead(404).end()
    } else {
      response.writeHead(200, { 'content-type': TYPES[name.split('.').pop()] }).end(content)
    }
  })
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve))
  return `http://127.0.0.1:${server.address().port}/`
}

const inFolder = (folder) => (name) => existsSync(join(folder, name)) ? readFileSync(join(folder, name)) : undefined

/** Everything that the page says. */
const read = (page) => page.evaluate(() => {
  const text = (id) => document.getElementById(id)?.textContent
  return {
    state: document.documentElement.dataset.state,
    sound: document.documentElement.dataset.sound === 'true',
    status: text('status'),
    trouble: document.getElementById('trouble').hidden ? null : `${text('trouble-what')} ${text('trouble-advice')}`,
    head: document.getElementById('head-number').value,
    hash: text('head-hash'),
    how: text('head-how').trim(),
    transactions: text('block-transactions'),
    blockHow: text('block-how').trim(),
    transport: text('connection-transport'),
    rtt: Number(document.getElementById('connection-rtt').dataset.millis),
    agent: text('connection-agent'),
    peer: text('connection-peer'),
    accounts: [...document.querySelectorAll('.account')].map((card) => ({
      address: card.dataset.address,
      balance: card.querySelector('.balance').value,
      shown: card.querySelector('.amount').textContent,
      nonce: card.querySelector('.nonce').textContent,
      code: card.querySelector('.code').textContent,
      codeBytes: Number(card.querySelector('.code').dataset.bytes),
      how: card.querySelector('.balance-how').textContent.trim()
    })),
    steps: Object.fromEntries([...document.querySelectorAll('#steps tr')].map((row) =>
      [row.querySelector('th').textContent, Number(row.lastElementChild.dataset.millis)]))
  }
})

const settled = (page) => page.waitForFunction(
  () => ['verified', 'failed', 'waiting'].includes(document.documentElement.dataset.state), undefined, { timeout: PATIENCE })

async function open (browser, url) {
  const context = await browser.newContext({ viewport: { width: 390, height: 844 } })
  const page = await context.newPage()
  page.on('console', (message) => console.error('[page]', message.text()))
  page.on('pageerror', (error) => console.error('[page]', error.message))
  const begun = performance.now()
  await page.goto(url)
  await settled(page)
  return { context, page, opened: performance.now() - begun, said: await read(page) }
}

async function run (browser, link, url) {
  const { context, page, opened, said } = await open(browser, url)
  if (options.picture !== undefined) {
    await page.screenshot({ path: options.picture, fullPage: true })
    await page.emulateMedia({ colorScheme: 'dark' })
    await page.screenshot({ path: `${options.picture}.dark.png`, fullPage: true })
  }
  if (said.state !== 'verified') {
    emit({ event: 'trouble', link, ...said })
    await context.close()
    return options['expect-failure']
  }
  // Ping and identify come a moment later than the state.
  await page.waitForFunction((nameless) => {
    const { textContent } = document.getElementById('connection-agent')
    const named = nameless || /\//.test(textContent)
    return named && document.getElementById('connection-rtt').dataset.millis
  }, options.nameless, { timeout: PATIENCE })
  const loads = [{ opened, ...said.steps }]
  while (loads.length < Number(options.loads)) {
    const again = await open(browser, url)
    if (again.said.state !== 'verified') {
      emit({ event: 'trouble', link, load: loads.length, ...again.said })
      return false
    }
    loads.push({ opened: again.opened, ...again.said.steps })
    await again.context.close()
  }
  emit({ event: 'verified', link, ...await read(page), steps: said.steps, loads })
  let last = await page.evaluate(() => document.documentElement.dataset.complete)
  for (let heads = Number(options.heads); heads > 0; heads--) {
    await page.waitForFunction((before) => {
      const { state, complete } = document.documentElement.dataset
      return state !== 'verified' || complete !== before
    }, last, { timeout: PATIENCE })
    last = await page.evaluate(() => document.documentElement.dataset.complete)
    const said = await read(page)
    emit({ event: said.state === 'verified' ? 'head' : 'trouble', link, complete: last, ...said })
    if (said.state !== 'verified') return false
  }
  await context.close()
  return !options['expect-failure']
}

/** The driver's own page, which speaks to an echo. */
async function probe (browser, address) {
  const page = await browser.newPage()
  page.on('console', (message) => console.error('[page]', message.text()))
  await page.goto(home)
  const times = await page.evaluate((words) => window.probe(...words), [address, options.echo, Number(options.bytes)])
  await page.close()
  emit({ event: 'echoed', link: address, bytes: Number(options.bytes), ...times })
  return true
}

let home
if (options.echo !== undefined) {
  const [script] = await bundle('probe.mjs')
  const files = { 'index.html': '<!doctype html><script src="probe.js"></script>', 'probe.js': script }
  home = await serve((name) => files[name])
} else if (options.files !== undefined) {
  home = await serve(inFolder(options.files))
}
const flags = ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-background-networking', '--no-first-run']
if (options.trust !== undefined) {
  // Chromium takes a certificate that nobody signed by the hash of its key.
  const key = new X509Certificate(readFileSync(options.trust)).publicKey.export({ type: 'spki', format: 'der' })
  flags.push(`--ignore-certificate-errors-spki-list=${createHash('sha256').update(key).digest('base64')}`)
}
const browser = await chromium.launch({ executablePath: browserProgram(), args: flags })
emit({ event: 'browser', version: browser.version() })
let good = true
for (const link of links) {
  try {
    const done = options.echo === undefined
      ? run(browser, link, link.startsWith('#') ? home + link : link)
      : probe(browser, link)
    good = await done && good
  } catch (error) {
    good = false
    emit({ event: 'trouble', link, trouble: String(error.message).split('\n')[0] })
  }
}
await browser.close()
process.exit(good ? 0 : 1)
