package main

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/enode"

	"causeway.invalid/peers/geth/program"
)

// How often the table and the peers are looked at.
const look = 50 * time.Millisecond

// finding says how a server finds others: discv4 and discv5 share the UDP port of RLPx' number.
type finding struct {
	v4, v5    bool
	bootnodes []*enode.Node
}

// newFinding reads the bootnodes: records or enodes, with commas between them.
func newFinding(v4, v5 bool, bootnodes string) (finding, error) {
	f := finding{v4: v4, v5: v5}
	for _, text := range strings.FieldsFunc(bootnodes, func(r rune) bool { return r == ',' }) {
		node, err := enode.Parse(enode.ValidSchemes, text)
		if err != nil {
			return f, fmt.Errorf("bootnode %q: %w", text, err)
		}
		f.bootnodes = append(f.bootnodes, node)
	}
	return f, nil
}

func (f finding) configure(config *p2p.Config) {
	config.NoDiscovery, config.DiscoveryV5 = !f.v4, f.v5
	config.BootstrapNodes, config.BootstrapNodesV5 = f.bootnodes, f.bootnodes
}

// found tells what discovery has come to: the ids in the discv5 table, and the peers. A peer that geth dialed
// by itself was found by discv4, the only source of its dials (v1.10.26 lets light clients alone dial from
// discv5); the discv4 table itself is not to be had.
func (s *server) found() program.Fields {
	table := []string{}
	if v5 := s.stack.Server().DiscV5; v5 != nil {
		for _, node := range v5.AllNodes() {
			table = append(table, node.ID().String())
		}
	}
	peers := []program.Fields{}
	dialed := 0
	connected := s.stack.Server().Peers()
	sort.Slice(connected, func(i, j int) bool {
		return connected[i].ID().String() < connected[j].ID().String()
	})
	for _, peer := range connected {
		if !peer.Inbound() {
			dialed++
		}
		peers = append(peers, program.Fields{
			"id": peer.ID(), "name": peer.Fullname(), "inbound": peer.Inbound(), "protocols": running(peer),
		})
	}
	return program.Fields{"event": "found", "discv5": table, "dialed": dialed, "peers": peers}
}

// running names the protocols that both sides speak.
func running(peer *p2p.Peer) []string {
	names := []string{}
	for _, capability := range peer.Caps() {
		if peer.RunningCap(capability.Name, []uint{capability.Version}) {
			names = append(names, capability.String())
		}
	}
	return names
}

// watch tells of each change in what was found.
func (s *server) watch() {
	before := ""
	for range time.Tick(look) {
		now := s.found()
		if text := fmt.Sprint(now["discv5"], now["peers"]); text != before {
			before = text
			program.Emit(now)
		}
	}
}
