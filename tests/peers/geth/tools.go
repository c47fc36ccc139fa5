//go:build tools

// Package tools keeps what geth's own devp2p tool is built from in go.mod and go.sum.
package tools

import _ "github.com/ethereum/go-ethereum/cmd/devp2p"
