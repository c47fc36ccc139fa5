// Seals of a proof-of-authority chain (EIP-225): who signed a header, and whether he may.
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { must } from '../libp2p-js/check.mjs'
import { RLP, hex, keccak256, unhex } from '../libp2p-js/wire.mjs'

const VANITY = 32
const SEAL = 65
const NOBODY = `0x${'00'.repeat(20)}`

/** The signers that a genesis header names; undefined if its chain is sealed in another way. */
export function genesisSigners ({ extra, mix }) {
  const listed = unhex(extra).subarray(VANITY, -SEAL)
  if (unhex(extra).length < VANITY + 20 + SEAL || listed.length % 20 !== 0 || !/^0x0*$/.test(mix)) return undefined
  return Array.from({ length: listed.length / 20 }, (_, index) => hex(listed.subarray(index * 20, index * 20 + 20)))
}

/** The account that signed a header. */
export function signerOf (item, number) {
  const extra = item[12]
  must(extra.length >= VANITY + SEAL, `header ${number} is signed`)
  const seal = extra.subarray(-SEAL)
  must(seal[64] <= 1, `header ${number} has a seal of known form`)
  const unsigned = item.with(12, extra.subarray(0, -SEAL))
  let key
  try {
    const signature = Uint8Array.of(seal[64], ...seal.subarray(0, 64))
    key = secp256k1.recoverPublicKey(signature, keccak256(RLP.encode(unsigned)), { prehash: false })
  } catch {
    must(false, `header ${number} has a good signature`)
  }
  const point = secp256k1.Point.fromBytes(key).toBytes(false)
  return hex(keccak256(point.subarray(1)).subarray(12))
}

/** Whether a header may change who signs: it votes for somebody. */
export const votes = ({ coinbase }) => coinbase !== NOBODY
