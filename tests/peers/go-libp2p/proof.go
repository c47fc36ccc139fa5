package main

import (
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/ethdb/memorydb"
	"github.com/ethereum/go-ethereum/rlp"
	"github.com/ethereum/go-ethereum/trie"
)

// prove walks from a trusted root to a key through a set of nodes in LES' inline form.
func prove(nodes []rlp.RawValue, root, key []byte) ([]byte, error) {
	set := memorydb.New()
	for _, node := range nodes {
		if err := set.Put(keccak(node), node); err != nil {
			return nil, err
		}
	}
	value, err := trie.VerifyProof(common.BytesToHash(root), key, set)
	if err != nil {
		return nil, fmt.Errorf("walk from %x: %w", root, err)
	}
	if value == nil {
		return nil, errors.New("the account is absent")
	}
	return value, nil
}
