// A light peer on go-libp2p: opens a LES stream to a relay, greets, reads a header that links to a
// trusted head, and an account with its proof. Prints one JSON line for each address; ends with 0 if
// everything verified.
//
//	go-libp2p crowd …, go-libp2p echo …    (see crowd.go and echo.go)
//	go-libp2p -genesis FILE -genesis-hash HASH -head HASH -number N [-block N] -account A MULTIADDR...
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/rlp"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
)

type options struct {
	chain   chain
	head    []byte
	number  uint64
	block   uint64
	account []byte
}

func main() {
	programs := map[string]func([]string) error{"crowd": runCrowd, "echo": runEcho}
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
	patience := flag.Duration("patience", 30*time.Second, "give up after this time")
	flag.Parse()

	config, err := readConfig(*genesis)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(2)
	}
	o := options{
		chain: chain{network: config.ChainID, genesis: unhex(*genesisHash), firstFork: config.firstFork},
		head:  unhex(*head), number: *number, block: *block, account: unhex(*account),
	}
	ctx, cancel := context.WithTimeout(context.Background(), *patience)
	defer cancel()
	code := 0
	for _, address := range flag.Args() {
		out := map[string]any{"event": "checked", "address": address}
		start := time.Now()
		if err := check(ctx, address, o, out); err != nil {
			out["event"], out["error"] = "failed", err.Error()
			code = 1
		}
		out["millis"] = time.Since(start).Milliseconds()
		text, _ := json.Marshal(out)
		fmt.Println(string(text))
	}
	os.Exit(code)
}

func check(ctx context.Context, address string, o options, out map[string]any) error {
	host, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		return err
	}
	defer host.Close()
	relay, err := peer.AddrInfoFromString(address)
	if err != nil {
		return err
	}
	if err := host.Connect(ctx, *relay); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	stream, err := host.NewStream(ctx, relay.ID, protocol.ID("/les/4"), protocol.ID("/les/3"), protocol.ID("/les/2"))
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	defer stream.Close()
	if deadline, ok := ctx.Deadline(); ok {
		if err := stream.SetDeadline(deadline); err != nil {
			return err
		}
	}
	connection := stream.Conn().ConnState()
	out["protocol"], out["transport"] = stream.Protocol(), connection.Transport
	out["security"], out["muxer"] = connection.Security, connection.StreamMultiplexer

	s := newSession(stream)
	if err := s.greet(o.chain); err != nil {
		return fmt.Errorf("status: %w", err)
	}
	headers, err := s.headers(o.block, o.number-o.block+1)
	if err != nil {
		return fmt.Errorf("headers: %w", err)
	}
	if err := linked(headers, o.block, o.head); err != nil {
		return err
	}
	out["headers"] = len(headers)

	nodes, err := s.accountProof(o.head, o.account)
	if err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	value, err := prove(nodes, headers[len(headers)-1].stateRoot, keccak(o.account))
	if err != nil {
		return fmt.Errorf("proof: %w", err)
	}
	var account struct {
		Nonce       uint64
		Balance     rlp.RawValue
		Root, Codes []byte
	}
	if err := rlp.DecodeBytes(value, &account); err != nil {
		return fmt.Errorf("account: %w", err)
	}
	out["nonce"] = account.Nonce
	return nil
}
