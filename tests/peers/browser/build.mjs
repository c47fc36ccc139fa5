// Builds the page: `node build.mjs FOLDER` writes it, `node build.mjs --check FOLDER` fails if FOLDER has another one.
//
// In package.json `overrides` puts a small package in the place
// of two that only Node and React Native would load, and that weigh 250 MB.
import { mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { parseArgs } from 'node:util'
import { transform } from 'esbuild'
import { bundle, here } from './bundle.mjs'

const { values: { check }, positionals: [folder] } = parseArgs({ allowPositionals: true, options: { check: { type: 'boolean' } } })

/** The licences of the packages that the bundle has parts of. */
function licences (files) {
  const folders = new Set(files.map((file) => file.match(/^(.*node_modules\/(?:@[^/]+\/)?[^/]+)\//)?.[1]).filter(Boolean))
  const texts = new Map()
  for (const folder of folders) {
    const { name, version, license } = JSON.parse(readFileSync(join(here, folder, 'package.json'), 'utf8'))
    const own = readdirSync(join(here, folder)).filter((file) => /^(licen[cs]e|notice|copying)/i.test(file)).sort()
    const text = own.map((file) => readFileSync(join(here, folder, file), 'utf8').replace(/\r/g, '').trim()).join('\n\n')
    texts.set(`${name} ${version}`, { license, text })
  }
  const sorted = [...texts].sort(([a], [b]) => a < b ? -1 : 1)
  const bodies = new Map()
  for (const [name, { license, text }] of sorted) {
    const body = text === '' ? `(The package names the licence only: ${license}.)` : text
    bodies.set(body, [...bodies.get(body) ?? [], `${name} (${license}), https://www.npmjs.com/package/${name.replace(' ', '/v/')}`])
  }
  const parts = [...bodies].map(([body, names]) => `${names.join('\n')}\n\n${body}\n`)
  return `page.js has parts of these packages, whose sources are found at the addresses beside them. Made by the build.\n\n${parts.join(`\n${'-'.repeat(72)}\n\n`)}`
}

const [script, files] = await bundle('page.mjs')
const { code: css } = await transform(readFileSync(join(here, 'page.css'), 'utf8'), { loader: 'css', minify: true })
const built = {
  'index.html': readFileSync(join(here, 'index.html'), 'utf8'),
  'icon.svg': readFileSync(join(here, 'icon.svg'), 'utf8'),
  'page.css': css,
  'page.js': script,
  'LICENSES.txt': licences(files)
}
if (check) {
  const other = Object.entries(built).filter(([name, text]) => {
    try { return readFileSync(join(folder, name), 'utf8') !== text } catch { return true }
  })
  for (const [name] of other) console.error(`${name} is not what the sources give: build the page anew and commit it`)
  process.exitCode = other.length > 0 ? 1 : 0
} else {
  mkdirSync(folder, { recursive: true })
  for (const [name, text] of Object.entries(built)) writeFileSync(join(folder, name), text)
  console.log(JSON.stringify(Object.fromEntries(Object.entries(built).map(([name, text]) => [name, Buffer.byteLength(text)]))))
}
