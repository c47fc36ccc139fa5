// Bundles a script for the browser. The same packages give the same bytes, on any machine.
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { build } from 'esbuild'

export const here = dirname(fileURLToPath(import.meta.url))

/** The js-libp2p peer's modules take our packages, not those of their own folder: one copy of each, one lock file. */
const ourPackages = {
  name: 'our-packages',
  setup (build) {
    build.onResolve({ filter: /^[^./]/ }, ({ path, importer, kind }) => {
      if (!/libp2p-js[/\\][a-z]+\.mjs$/.test(importer)) return
      return build.resolve(path, { kind, resolveDir: here })
    })
  }
}

/** The text of a bundle, and the files that it has parts of. */
export async function bundle (entry) {
  const { outputFiles: [{ text }], metafile } = await build({
    absWorkingDir: here,
    entryPoints: [entry],
    bundle: true,
    minify: true,
    charset: 'utf8',
    format: 'iife',
    platform: 'browser',
    target: 'es2022',
    define: { global: 'globalThis', 'process.env.NODE_ENV': '"production"' },
    legalComments: 'none',
    metafile: true,
    write: false,
    logLevel: 'error',
    plugins: [ourPackages]
  })
  const inputs = Object.entries(Object.values(metafile.outputs)[0].inputs).filter(([, { bytesInOutput }]) => bytesInOutput > 0)
  return [text, inputs.map(([file]) => file)]
}
