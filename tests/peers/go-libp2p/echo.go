package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/rlp"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
)

const echoProtocol = "/echo/1"

// runEcho measures how fast bytes go to a listener and back.
//
//	go-libp2p echo [-bytes N] [-times N] [-item N] -dial MULTIADDR
//	go-libp2p echo -listen MULTIADDR...
//
// The dialer sends RLP items `[1, bytes]`, which a listener that knows items sends back whole and one that does
// not sends back as bytes. It does so for each line on stdin, and prints the milliseconds of each time.
func runEcho(arguments []string) error {
	flags := flag.NewFlagSet("echo", flag.ExitOnError)
	listen := flags.Bool("listen", false, "listen on the addresses")
	dial := flags.String("dial", "", "dial this address")
	total := flags.Int("bytes", 8<<20, "bytes to send in items")
	item := flags.Int("item", 64<<10, "bytes of an item")
	times := flags.Int("times", 1, "how often, for each line on stdin")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	if *listen {
		return echoListen(flags.Args())
	}
	return echoDial(*dial, *total, *item, *times)
}

func echoListen(addresses []string) error {
	h, err := libp2p.New(libp2p.ListenAddrStrings(addresses...), libp2p.DisableMetrics(),
		libp2p.ResourceManager(&network.NullResourceManager{}))
	if err != nil {
		return err
	}
	echoes(h)
	full := []string{}
	for _, address := range h.Addrs() {
		full = append(full, address.String()+"/p2p/"+h.ID().String())
	}
	say(map[string]any{"event": "ready", "multiaddrs": full})
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

func echoDial(address string, total, item, times int) error {
	target, err := peer.AddrInfoFromString(address)
	if err != nil {
		return err
	}
	h, err := newHost()
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Minute)
	defer cancel()
	if err := h.Connect(ctx, *target); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	random := make([]byte, item-16)
	_, _ = rand.Read(random)
	one, err := rlp.EncodeToBytes(struct {
		Code    uint64
		Payload []byte
	}{1, random})
	if err != nil {
		return err
	}
	want := bytes.Repeat(one, total/len(one)+1)
	say(map[string]any{"event": "ready", "bytes": len(want)})
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		micros := []int64{}
		for range times {
			took, err := echoOnce(ctx, h, target.ID, want)
			if err != nil {
				return err
			}
			micros = append(micros, took.Microseconds())
		}
		say(map[string]any{"event": "echoed", "micros": micros})
	}
	return nil
}

func echoOnce(ctx context.Context, h host.Host, id peer.ID, want []byte) (time.Duration, error) {
	s, err := h.NewStream(ctx, id, echoProtocol)
	if err != nil {
		return 0, fmt.Errorf("stream: %w", err)
	}
	start := time.Now()
	written := make(chan error, 1)
	go func() {
		_, err := s.Write(want)
		written <- err
	}()
	got := make([]byte, len(want))
	_, err = io.ReadFull(s, got)
	took := time.Since(start)
	if err := errors.Join(err, <-written); err != nil {
		return 0, fmt.Errorf("echo: %w", err)
	}
	if !bytes.Equal(got, want) {
		return 0, errors.New("echo: other bytes came back")
	}
	return took, s.Close()
}
