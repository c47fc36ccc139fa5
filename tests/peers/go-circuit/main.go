// go-circuit: go-libp2p on all three places of a circuit.
//
//	go-circuit relay [-unlimited] MULTIADDR...    go-libp2p's own relay service
//	go-circuit listen RELAY                       reserves at the relay; echoes, and counts what is sent to it
//	go-circuit dial -to PEER [-bytes N] [-protocol /echo/1|/sink/1] RELAY
//
// All print lines of JSON, the first of which says that they are ready. `dial` connects through the relay, and
// for each line on standard input sends so many bytes, and says in how many microseconds they came back (echo)
// or were all there (sink). `listen` reserves anew for each line on standard input. The others end with it.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
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
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/client"
	"github.com/libp2p/go-libp2p/p2p/protocol/circuitv2/relay"
	ma "github.com/multiformats/go-multiaddr"
)

const (
	echoProtocol = "/echo/1"
	sinkProtocol = "/sink/1"
	patience     = 120 * time.Second
)

func say(line map[string]any) {
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}

func check(what string, err error) {
	if err != nil {
		say(map[string]any{"event": "failed", "error": what + ": " + err.Error()})
		os.Exit(1)
	}
}

func main() {
	if len(os.Args) < 2 {
		check("arguments", errors.New("relay, listen or dial"))
	}
	switch rest := os.Args[2:]; os.Args[1] {
	case "relay":
		runRelay(rest)
	case "listen":
		runListen(rest)
	case "dial":
		runDial(rest)
	default:
		check("arguments", errors.New("relay, listen or dial"))
	}
}

func newHost(options ...libp2p.Option) host.Host {
	options = append(options, libp2p.DisableMetrics(), libp2p.ResourceManager(&network.NullResourceManager{}))
	h, err := libp2p.New(options...)
	check("host", err)
	return h
}

func runRelay(arguments []string) {
	flags := flag.NewFlagSet("relay", flag.ExitOnError)
	unlimited := flags.Bool("unlimited", false, "circuits without limits")
	_ = flags.Parse(arguments)
	h := newHost(libp2p.ListenAddrStrings(flags.Args()...), libp2p.DisableRelay())
	options := []relay.Option{}
	if *unlimited {
		options = append(options, relay.WithInfiniteLimits())
	}
	// Its own filter lists public addresses only.
	options = append(options, relay.WithReservationAddressFilter(func(ma.Multiaddr) bool { return true }))
	_, err := relay.New(h, options...)
	check("relay", err)
	addresses := []string{}
	for _, address := range h.Addrs() {
		addresses = append(addresses, address.String()+"/p2p/"+h.ID().String())
	}
	say(map[string]any{"event": "ready", "multiaddrs": addresses})
	_, _ = io.Copy(io.Discard, os.Stdin)
}

func runListen(arguments []string) {
	at, err := peer.AddrInfoFromString(arguments[0])
	check("address", err)
	// Listening on nothing else, all that comes is relayed.
	h := newHost(libp2p.ListenAddrStrings("/p2p-circuit"), libp2p.EnableRelay())
	h.SetStreamHandler(echoProtocol, func(s network.Stream) {
		if _, err := io.Copy(s, s); err != nil {
			_ = s.Reset()
			return
		}
		_ = s.Close()
	})
	h.SetStreamHandler(sinkProtocol, func(s network.Stream) {
		count, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{s}, make([]byte, 256<<10))
		if err != nil {
			_ = s.Reset()
			return
		}
		_ = binary.Write(s, binary.BigEndian, uint64(count))
		_ = s.Close()
	})
	reserve(h, *at, "ready")
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		reserve(h, *at, "renewed")
	}
}

func reserve(h host.Host, at peer.AddrInfo, event string) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	check("connect", h.Connect(ctx, at))
	reservation, err := client.Reserve(ctx, h, at)
	check("reserve", err)
	addresses := []string{}
	for _, address := range reservation.Addrs {
		addresses = append(addresses, address.String())
	}
	line := map[string]any{
		"event": event, "peer": h.ID().String(), "addresses": addresses,
		"seconds": time.Until(reservation.Expiration).Seconds(), "voucher": reservation.Voucher != nil,
		"limitSeconds": reservation.LimitDuration.Seconds(), "limitBytes": reservation.LimitData,
	}
	if reservation.Voucher != nil {
		line["voucherPeer"], line["voucherRelay"] = reservation.Voucher.Peer.String(), reservation.Voucher.Relay.String()
	}
	say(line)
}

func runDial(arguments []string) {
	flags := flag.NewFlagSet("dial", flag.ExitOnError)
	to := flags.String("to", "", "peer id of the destination")
	size := flags.Int("bytes", 8<<20, "bytes to send")
	speaks := flags.String("protocol", echoProtocol, "/echo/1 or /sink/1")
	_ = flags.Parse(arguments)
	address := flags.Arg(0) + "/p2p-circuit/p2p/" + *to
	target, err := peer.AddrInfoFromString(address)
	check("address", err)
	h := newHost(libp2p.NoListenAddrs, libp2p.EnableRelay())
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	check("connect", h.Connect(ctx, *target))
	cancel()
	conn := h.Network().ConnsToPeer(target.ID)[0]
	if !strings.Contains(conn.RemoteMultiaddr().String(), "/p2p-circuit") {
		check("connect", errors.New("not relayed: "+conn.RemoteMultiaddr().String()))
	}
	say(map[string]any{"event": "ready", "limited": conn.Stat().Limited})
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); {
		micros := move(h, target.ID, protocol.ID(*speaks), *size)
		say(map[string]any{"event": "moved", "bytes": *size, "micros": micros})
	}
}

// move sends random bytes and sees to it that they arrived; how long it took.
func move(h host.Host, to peer.ID, speaks protocol.ID, size int) int64 {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	s, err := h.NewStream(network.WithAllowLimitedConn(ctx, "circuit"), to, speaks)
	check("stream", err)
	_ = s.SetDeadline(time.Now().Add(patience))
	piece := make([]byte, min(size, 1<<20))
	_, _ = rand.Read(piece)
	start := time.Now()
	written := make(chan error, 1)
	go func() {
		for left := size; left > 0; {
			n, err := s.Write(piece[:min(left, len(piece))])
			if err != nil {
				written <- err
				return
			}
			left -= n
		}
		written <- s.CloseWrite()
	}()
	if speaks == sinkProtocol {
		var count uint64
		check("sink", errors.Join(binary.Read(s, binary.BigEndian, &count), <-written))
		if count != uint64(size) {
			check("sink", fmt.Errorf("%d of %d bytes came", count, size))
		}
	} else {
		back, err := io.ReadAll(s)
		check("echo", errors.Join(err, <-written))
		for left := back; len(left) > 0; left = left[min(len(left), len(piece)):] {
			if !bytes.Equal(left[:min(len(left), len(piece))], piece[:min(len(left), len(piece))]) {
				check("echo", errors.New("other bytes came back"))
			}
		}
		if len(back) != size {
			check("echo", fmt.Errorf("%d of %d bytes came back", len(back), size))
		}
	}
	return time.Since(start).Microseconds()
}
