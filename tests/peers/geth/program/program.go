// Package program is what the programs here do alike: lines of JSON on stdout, a node key, geth's log, and an
// end when something fails.
package program

import (
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/log"
)

// NoKeys is where accounts would be, and there are none. Without such a folder geth makes a temporary one, which
// stays when it is killed.
const NoKeys = "."

// Fields is one line of JSON.
type Fields map[string]interface{}

var printing sync.Mutex

// Emit prints one line of JSON with the time of now.
func Emit(line Fields) {
	line["unixMicros"] = time.Now().UnixMicro()
	text, err := json.Marshal(line)
	if err != nil {
		panic(err)
	}
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(string(text))
}

// Fail ends the program if there is an error.
func Fail(what string, err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", what, err)
		os.Exit(1)
	}
}

// NodeKey reads a node key in hex; a random one if there is none.
func NodeKey(text string) *ecdsa.PrivateKey {
	key, err := crypto.GenerateKey()
	if text != "" {
		key, err = crypto.HexToECDSA(text)
	}
	Fail("node key", err)
	return key
}

// Log lets geth log to stderr up to this level, 0 to 5.
func Log(level int) {
	text := log.StreamHandler(os.Stderr, log.TerminalFormat(false))
	log.Root().SetHandler(log.LvlFilterHandler(log.Lvl(level), text))
}
