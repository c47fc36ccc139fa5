"""What a light peer checks for itself: roots, proofs and hashes against headers it trusts."""

import rlp
from eth_hash.auto import keccak
from trie import HexaryTrie
from wire import integer, must, number


def check_chain(headers, first, trusted):
    """Headers in ascending order that link to each other, the last being the trusted hash."""
    for index, header in enumerate(headers):
        must(header.number == first + index, f"header {first + index} stands where it should")
        if index > 0:
            must(header.parent == headers[index - 1].hash, f"header {header.number} names its parent")
    must(headers and headers[-1].hash == trusted, f"the last header is {trusted.hex()}")


def consensus_bytes(item):
    """Typed transactions and receipts are byte strings already, legacy ones are lists."""
    return item if isinstance(item, bytes) else rlp.encode(item)


def root_of(items):
    trie = HexaryTrie({})
    for index, item in enumerate(items):
        trie[rlp.encode(integer(index))] = consensus_bytes(item)
    return trie.root_hash


def check_body(body, header):
    """Gives the hashes of the transactions."""
    transactions, uncles = body[:2]
    must(root_of(transactions) == header.transactions_root, "transactions against their root")
    must(keccak(rlp.encode(uncles)) == header.uncles, "uncles against their hash")
    return [keccak(consensus_bytes(transaction)) for transaction in transactions]


def check_receipts(receipts, header):
    must(root_of(receipts) == header.receipts_root, "receipts against their root")


class Account:
    """An account, proven from the state root of a header."""

    def __init__(self, nodes, address, header):
        value = HexaryTrie.get_from_proof(header.state_root, keccak(address), nodes)
        must(value, f"account {address.hex()} is in the state")
        nonce, balance, self.storage_root, self.code_hash = rlp.decode(value)
        self.nonce, self.balance = number(nonce), number(balance)

    def slot(self, nodes, slot):
        value = HexaryTrie.get_from_proof(self.storage_root, keccak(slot), nodes)
        return number(rlp.decode(value)) if value else 0

    def check_code(self, code):
        must(keccak(code) == self.code_hash, "code against the hash in its account")
