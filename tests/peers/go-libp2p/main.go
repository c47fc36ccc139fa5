// A light peer on go-libp2p: asks a relay who it is, pings it, opens a LES stream to it, greets, reads a header that
// links to a trusted head, and an account with its proof. Prints one JSON line for each address; ends with 0 if
// everything verified.
//
//	go-libp2p -genesis FILE -genesis-hash HASH -head HASH -number N [-block N] -account A
//	          [-security noise|tls] [-listen] [-stay] MULTIADDR...
//
//	go-libp2p crowd ... and go-libp2p echo ...             see crowd.go and echo.go
//	go-libp2p relay ..., behind ..., visit ...             see relay.go
//	go-libp2p renew ..., flood ..., talk-into ...          see pressure.go and autonat.go
//
// Each address has a peer of its own. With -listen it listens there instead (port 0 takes a free one), says where in
// its `ready` line, and holds the session on the connection that a relay makes to it. With -stay it keeps its sessions
// until a line comes on stdin.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"sync"
	"time"
)

type options struct {
	chain    chain
	head     []byte
	number   uint64
	block    uint64
	account  []byte
	security string
}

var printing sync.Mutex

func emit(event string, fields map[string]any) {
	line := maps.Clone(fields)
	line["event"] = event
	text, _ := json.Marshal(line)
	printing.Lock()
	defer printing.Unlock()
	fmt.Println(string(text))
}

func main() {
	programs := map[string]func([]string) error{
		"crowd": runCrowd, "echo": runEcho, "relay": runRelay, "behind": runBehind, "visit": runVisit,
		"renew": runRenew, "flood": runFlood, "talk-into": runTalkInto,
	}
	if len(os.Args) > 1 && programs[os.Args[1]] != nil {
		if err := programs[os.Args[1]](os.Args[2:]); err != nil {
			say(map[string]any{"event": "failed", "error": err.Error()})
			os.Exit(1)
		}
		return
	}
	genesis := flag.String("genesis", "", "genesis.json")
	genesisHash := flag.String("genesis-hash", "", "hash of the genesis block")
	head := flag.String("head", "", "hash of the trusted head")
	number := flag.Uint64("number", 0, "number of the trusted head")
	block := flag.Uint64("block", 6, "block whose header to read")
	account := flag.String("account", "", "account to read")
	security := flag.String("security", "", "offer only noise or tls, not both")
	listen := flag.Bool("listen", false, "listen at the addresses")
	stay := flag.Bool("stay", false, "keep the sessions until a line comes on stdin")
	patience := flag.Duration("patience", 30*time.Second, "give up after this time")
	flag.Parse()

	config, err := readConfig(*genesis)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	o := options{
		chain: chain{network: config.ChainID, genesis: unhex(*genesisHash), firstFork: config.firstFork},
		head:  unhex(*head), number: *number, block: *block, account: unhex(*account), security: *security,
	}
	ctx, cancel := context.WithTimeout(limited(context.Background()), *patience)
	defer cancel()

	var ways []*way
	var addresses []string
	for _, address := range flag.Args() {
		w, err := start(address, *listen, o)
		if err != nil {
			fmt.Fprintln(os.Stderr, address, err)
			os.Exit(2)
		}
		ways, addresses = append(ways, w), append(addresses, w.address)
	}
	emit("ready", map[string]any{"addresses": addresses})

	var all sync.WaitGroup
	code := 0
	for _, w := range ways {
		all.Go(func() {
			out := map[string]any{"address": w.address}
			begun := time.Now()
			err := check(ctx, w, o, out)
			out["millis"] = time.Since(begun).Milliseconds()
			if err == nil {
				emit("checked", out)
				return
			}
			out["error"] = err.Error()
			emit("failed", out)
			printing.Lock()
			code = 1
			printing.Unlock()
		})
	}
	all.Wait()
	if *stay {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	for _, w := range ways {
		w.host.Close()
	}
	os.Exit(code)
}
