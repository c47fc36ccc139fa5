package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	circuit "github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/pb"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/proto"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/util"
)

// runRenew has many peers reserve at a relay and renew there.
//
//	go-libp2p renew [-count N] [-every D] [-time D] RELAY
//
// Prints `renewed`: how often each status came.
func runRenew(arguments []string) error {
	flags := flag.NewFlagSet("renew", flag.ExitOnError)
	count := flags.Int("count", 20, "how many peers")
	every := flags.Duration("every", time.Second, "time between two renewals of a peer")
	length := flags.Duration("time", time.Minute, "how long to go on")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	at, err := peer.AddrInfoFromString(flags.Arg(0))
	if err != nil {
		return err
	}
	counted := newCount()
	until := time.Now().Add(*length)
	var all sync.WaitGroup
	for i := range *count {
		h, err := newCircuitHost()
		if err != nil {
			return err
		}
		all.Go(func() {
			time.Sleep(*every * time.Duration(i) / time.Duration(*count))
			for time.Now().Before(until) {
				next := time.Now().Add(*every)
				ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
				reservation, err := client.Reserve(ctx, h, *at)
				cancel()
				counted.add(statusOf(err))
				if err == nil {
					counted.seconds(time.Until(reservation.Expiration))
				}
				time.Sleep(time.Until(next))
			}
		})
	}
	all.Wait()
	say(map[string]any{"event": "renewed", "answers": counted.each, "shortestSeconds": counted.shortest.Seconds()})
	return nil
}

// runFlood opens circuits through a relay as fast as it can, keeps those that it gets, and asks for more.
//
//	go-libp2p flood [-time D] [-at-once N] MULTIADDR        (a peer behind a relay)
//
// Prints `flooded`: how often each status came.
func runFlood(arguments []string) error {
	flags := flag.NewFlagSet("flood", flag.ExitOnError)
	length := flags.Duration("time", 20*time.Second, "how long to go on")
	atOnce := flags.Int("at-once", 32, "requests under way at once")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	relayed, target, found := strings.Cut(flags.Arg(0), "/p2p-circuit/p2p/")
	if !found {
		return errors.New("not an address behind a relay")
	}
	at, err := peer.AddrInfoFromString(relayed)
	if err != nil {
		return err
	}
	id, err := peer.Decode(target)
	if err != nil {
		return err
	}
	h, err := newHost()
	if err != nil {
		return err
	}
	counted := newCount()
	until := time.Now().Add(*length)
	var all sync.WaitGroup
	for range *atOnce {
		all.Go(func() {
			for time.Now().Before(until) {
				status, err := openCircuit(h, *at, id)
				if err != nil {
					status = "error: " + strings.SplitN(err.Error(), ":", 2)[0]
					time.Sleep(20 * time.Millisecond)
				}
				counted.add(status)
			}
		})
	}
	all.Wait()
	say(map[string]any{"event": "flooded", "answers": counted.each})
	return nil
}

// openCircuit asks a relay for a circuit and leaves it open.
func openCircuit(h host.Host, at peer.AddrInfo, target peer.ID) (string, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := h.Connect(ctx, at); err != nil {
		return "", fmt.Errorf("connect: %w", err)
	}
	s, err := h.NewStream(ctx, at.ID, proto.ProtoIDv2Hop)
	if err != nil {
		return "", fmt.Errorf("stream: %w", err)
	}
	_ = s.SetDeadline(time.Now().Add(10 * time.Second))
	message := &circuit.HopMessage{Type: circuit.HopMessage_CONNECT.Enum(), Peer: util.PeerInfoToPeerV2(peer.AddrInfo{ID: target})}
	if err := util.NewDelimitedWriter(s).WriteMsg(message); err != nil {
		_ = s.Reset()
		return "", fmt.Errorf("request: %w", err)
	}
	var answer circuit.HopMessage
	reader := util.NewDelimitedReader(s, 4096)
	if err := reader.ReadMsg(&answer); err != nil {
		_ = s.Reset()
		return "", fmt.Errorf("answer: %w", err)
	}
	if answer.GetStatus() != circuit.Status_OK {
		_ = s.Reset()
	}
	return answer.GetStatus().String(), nil
}

// count of outcomes by name.
type count struct {
	sync.Mutex
	each     map[string]int
	shortest time.Duration
}

func newCount() *count { return &count{each: map[string]int{}, shortest: time.Hour * 24} }

func (c *count) add(outcome string) {
	c.Lock()
	defer c.Unlock()
	c.each[outcome]++
}

func (c *count) seconds(left time.Duration) {
	c.Lock()
	defer c.Unlock()
	c.shortest = min(c.shortest, left)
}

func statusOf(err error) string {
	var refused client.ReservationError
	if errors.As(err, &refused) {
		return circuit.Status_name[int32(refused.Status)]
	}
	if err != nil {
		return "error"
	}
	return "OK"
}
