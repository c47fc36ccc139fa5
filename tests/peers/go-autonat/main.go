// go-autonat: go-libp2p's AutoNAT v2, as server or as client.
//
//	go-autonat -serve
//	go-autonat -ask SERVER -listen MULTIADDR[,MULTIADDR] [-test MULTIADDR]
//
// A server prints a line {"address": ...} for each address and runs until its standard input ends. A client
// connects to the server, asks about the address of -test, or its last own one, and prints one line with the answer:
// {"address", "reachability", "refused"}. Exit 1 and {"error": ...} where something fails.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	ma "github.com/multiformats/go-multiaddr"
)

func main() {
	serve := flag.Bool("serve", false, "answer others")
	ask := flag.String("ask", "", "the server to ask")
	listen := flag.String("listen", "/ip4/127.0.0.1/tcp/0", "where to listen, separated by commas")
	test := flag.String("test", "", "the address to ask about")
	flag.Parse()
	var err error
	switch {
	case *serve:
		err = runServer()
	case *ask != "":
		err = runClient(*ask, strings.Split(*listen, ","), *test)
	default:
		err = errors.New("-serve or -ask is needed")
	}
	if err != nil {
		say(map[string]any{"error": err.Error()})
		os.Exit(1)
	}
}

// newNode gives a host with AutoNAT v2, whose server dials with an identity of its own, as go-libp2p does by default.
func newNode(listen ...string) (host.Host, *autonatv2.AutoNAT, error) {
	dialer, err := libp2p.New(libp2p.NoListenAddrs)
	if err != nil {
		return nil, nil, fmt.Errorf("host that dials: %w", err)
	}
	node, err := libp2p.New(libp2p.ListenAddrStrings(listen...))
	if err != nil {
		return nil, nil, fmt.Errorf("host: %w", err)
	}
	nat, err := autonatv2.New(dialer, autonatv2.AllowPrivateAddrs)
	if err != nil {
		return nil, nil, fmt.Errorf("AutoNAT: %w", err)
	}
	if err := nat.Start(node); err != nil {
		return nil, nil, fmt.Errorf("AutoNAT: %w", err)
	}
	return node, nat, nil
}

func runServer() error {
	node, nat, err := newNode("/ip4/127.0.0.1/tcp/0", "/ip4/127.0.0.1/udp/0/quic-v1")
	if err != nil {
		return err
	}
	defer nat.Close()
	for _, address := range node.Addrs() {
		say(map[string]any{"address": fmt.Sprintf("%s/p2p/%s", address, node.ID())})
	}
	_, err = io.Copy(io.Discard, os.Stdin)
	return err
}

func runClient(server string, listen []string, test string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 40*time.Second)
	defer cancel()
	info, err := peer.AddrInfoFromString(server)
	if err != nil {
		return err
	}
	node, nat, err := newNode(listen...)
	if err != nil {
		return err
	}
	defer nat.Close()
	addresses := node.Addrs()
	address := addresses[len(addresses)-1]
	if test != "" {
		if address, err = ma.NewMultiaddr(test); err != nil {
			return err
		}
	}
	if err := node.Connect(ctx, *info); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	for {
		result, err := nat.GetReachability(ctx, []autonatv2.Request{{Addr: address, SendDialData: true}})
		if errors.Is(err, autonatv2.ErrNoPeers) && ctx.Err() == nil {
			time.Sleep(20 * time.Millisecond) // identify is not through yet
			continue
		}
		if err != nil {
			return err
		}
		say(map[string]any{
			"address":      address.String(),
			"reachability": result.Reachability.String(),
			"refused":      result.AllAddrsRefused,
		})
		return nil
	}
}

func say(line map[string]any) {
	_ = json.NewEncoder(os.Stdout).Encode(line)
}
