package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
)

// runRelay is go-libp2p's relay service.
//
//	go-libp2p relay [-bytes N] [-time D] MULTIADDR...
//
// Without flags a circuit may last as long and carry as much as by default: two minutes, 128 KiB each way.
func runRelay(arguments []string) error {
	flags := flag.NewFlagSet("relay", flag.ExitOnError)
	data := flags.Int64("bytes", relay.DefaultLimit().Data, "bytes a circuit may carry each way")
	duration := flags.Duration("time", relay.DefaultLimit().Duration, "how long a circuit may last")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	// The service begins once the host counts as reachable, which nobody here would tell it.
	h, err := libp2p.New(libp2p.ListenAddrStrings(flags.Args()...), libp2p.DisableMetrics(), libp2p.ForceReachabilityPublic(),
		libp2p.ResourceManager(&network.NullResourceManager{}),
		libp2p.EnableRelayService(relay.WithLimit(&relay.RelayLimit{Duration: *duration, Data: *data})))
	if err != nil {
		return err
	}
	full := []string{}
	for _, address := range h.Addrs() {
		full = append(full, address.String()+"/p2p/"+h.ID().String())
	}
	say(map[string]any{"event": "ready", "multiaddrs": full})
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// limited is a context in which circuits will do.
func limited(ctx context.Context) context.Context {
	return network.WithAllowLimitedConn(ctx, "a circuit will do")
}

// newCircuitHost is as newHost, and it dials and is dialed through circuits.
func newCircuitHost() (host.Host, error) {
	return libp2p.New(libp2p.NoListenAddrs, libp2p.EnableRelay(), libp2p.DisableMetrics(),
		libp2p.ResourceManager(&network.NullResourceManager{}), libp2p.Security(noise.ID, noise.New))
}

// runBehind keeps a reservation at a relay and echoes to whoever comes through it.
//
//	go-libp2p behind RELAY
//
// Prints `reserved` with its address, and again for each line on stdin, for which it renews.
func runBehind(arguments []string) error {
	if len(arguments) != 1 {
		return errors.New("behind which relay?")
	}
	at, err := peer.AddrInfoFromString(arguments[0])
	if err != nil {
		return err
	}
	h, err := newCircuitHost()
	if err != nil {
		return err
	}
	echoes(h)
	reserve := func() error {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		reservation, err := client.Reserve(ctx, h, *at)
		if err != nil {
			return err
		}
		relayed := []string{}
		for _, address := range reservation.Addrs {
			relayed = append(relayed, address.String())
		}
		say(map[string]any{
			"event": "reserved", "address": fmt.Sprintf("%s/p2p-circuit/p2p/%s", arguments[0], h.ID()), "relayAddresses": relayed,
			"seconds": int(time.Until(reservation.Expiration).Seconds()), "voucher": reservation.Voucher != nil,
			"limitSeconds": int(reservation.LimitDuration.Seconds()), "limitBytes": reservation.LimitData,
		})
		return nil
	}
	if err := reserve(); err != nil {
		return err
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		if err := reserve(); err != nil {
			return err
		}
	}
	return nil
}

// runVisit dials through a circuit, pings, and has some bytes echoed.
//
//	go-libp2p visit [-bytes N] MULTIADDR
func runVisit(arguments []string) error {
	flags := flag.NewFlagSet("visit", flag.ExitOnError)
	total := flags.Int("bytes", 64<<10, "bytes to have echoed")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	target, err := peer.AddrInfoFromString(flags.Arg(0))
	if err != nil {
		return err
	}
	h, err := newCircuitHost()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(limited(context.Background()), 30*time.Second)
	defer cancel()
	begun := time.Now()
	if err := h.Connect(ctx, *target); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	connected := time.Since(begun)
	pinged := <-ping.Ping(ctx, h, target.ID)
	if pinged.Error != nil {
		return fmt.Errorf("ping: %w", pinged.Error)
	}
	took, err := echoOnce(ctx, h, target.ID, []byte(strings.Repeat("causeway ", *total/9)))
	if err != nil {
		return err
	}
	relayed := true
	for _, conn := range h.Network().ConnsToPeer(target.ID) {
		relayed = relayed && strings.Contains(conn.RemoteMultiaddr().String(), "/p2p-circuit")
	}
	say(map[string]any{
		"event": "visited", "relayed": relayed, "connectMillis": connected.Milliseconds(), "pingMicros": pinged.RTT.Microseconds(),
		"echoMicros": took.Microseconds(),
	})
	return nil
}

func echoes(h host.Host) {
	h.SetStreamHandler(echoProtocol, func(s network.Stream) {
		if _, err := io.Copy(s, s); err != nil {
			_ = s.Reset()
			return
		}
		_ = s.Close()
	})
}
