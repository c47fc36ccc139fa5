// What a light peer checks for itself: roots, proofs and hashes against headers it trusts.
import { MerklePatriciaTrie, updateMPTFromMerkleProof } from '@ethereumjs/mpt'
import { RLP, hex, integer, keccak256, number, unhex } from './wire.mjs'

export function must (truth, claim) {
  if (!truth) throw new Error(`not verified: ${claim}`)
}

/** Headers in ascending order that link to each other, the last being the trusted hash. */
export function checkChain (headers, trusted) {
  headers.forEach((header, index) => {
    if (index === 0) return
    must(header.parentHash === headers[index - 1].hash, `header ${header.number} names its parent`)
    must(header.number === headers[index - 1].number + 1n, `header ${header.number} follows its parent`)
  })
  must(headers.at(-1)?.hash === trusted, `the last header is ${trusted}`)
}

async function rootOf (values) {
  const trie = new MerklePatriciaTrie()
  for (const [index, value] of values.entries()) {
    await trie.put(RLP.encode(integer(index)), value)
  }
  return hex(trie.root())
}

/** Typed transactions and receipts are byte strings already, legacy ones are lists. */
const consensusBytes = (item) => Array.isArray(item) ? RLP.encode(item) : item

export async function checkBody ([transactions, uncles], header) {
  const raw = transactions.map(consensusBytes)
  must(await rootOf(raw) === header.transactionsRoot, 'transactions against their root')
  must(hex(keccak256(RLP.encode(uncles))) === header.unclesHash, 'uncles against their hash')
  return raw.map((bytes) => hex(keccak256(bytes)))
}

export async function checkReceipts (receipts, header) {
  must(await rootOf(receipts.map(consensusBytes)) === header.receiptsRoot, 'receipts against their root')
  const list = (item) => Array.isArray(item) ? item : RLP.decode(item.subarray(1))
  return receipts.map((item) => ({ status: number(list(item)[0]), logs: list(item)[3].length }))
}

/** Walks from a trusted root; the nodes are a set, in LES' inline form. */
export async function prove (nodes, root, hashedKey) {
  const trie = new MerklePatriciaTrie()
  await updateMPTFromMerkleProof(trie, nodes.map((node) => RLP.encode(node)))
  trie.root(unhex(root))
  return trie.get(hashedKey, true)
}

export async function checkAccount (nodes, address, header) {
  const value = await prove(nodes, header.stateRoot, keccak256(unhex(address)))
  must(value !== null, `account ${address} is in the state`)
  const [nonce, balance, storageRoot, codeHash] = RLP.decode(value)
  return { nonce: number(nonce), balance: number(balance), storageRoot: hex(storageRoot), codeHash: hex(codeHash) }
}

export async function checkSlot (nodes, slot, account) {
  const value = await prove(nodes, account.storageRoot, keccak256(slot))
  return value === null ? 0n : number(RLP.decode(value))
}

export function checkCode (bytes, account) {
  must(hex(keccak256(bytes)) === account.codeHash, 'code against the hash in its account')
}
