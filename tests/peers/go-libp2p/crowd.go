package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
)

// How many members of a crowd dial at once: more would wait for each other's handshakes beyond their time.
const dialingAtOnce = 8

// crowd is many peers at one address, each a host of its own with one connection.
//
//	go-libp2p crowd -what WHAT [-count N] [-genesis FILE -genesis-hash HASH] MULTIADDR
//
// WHAT: `plain` connects and stays. `light` greets by LES and stays. `slow` greets, asks for many headers and
// reads a byte a second. `streams` opens a thousand streams on its connection. `resets` resets twenty LES
// streams in quick succession, ten times, and greets then. All but `resets` and `streams` print `connected` once
// everybody is there and stay until a line or the end of stdin.
type crowd struct {
	what   string
	chain  chain
	target peer.AddrInfo
}

func say(line map[string]any) {
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}

func runCrowd(arguments []string) error {
	flags := flag.NewFlagSet("crowd", flag.ExitOnError)
	what := flags.String("what", "plain", "plain, light, slow, streams or resets")
	count := flags.Int("count", 1, "how many peers")
	genesis := flags.String("genesis", "", "genesis.json")
	genesisHash := flags.String("genesis-hash", "", "hash of the genesis block")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	target, err := peer.AddrInfoFromString(flags.Arg(0))
	if err != nil {
		return err
	}
	c := crowd{what: *what, target: *target}
	if *genesis != "" {
		config, err := readConfig(*genesis)
		if err != nil {
			return err
		}
		c.chain = chain{network: config.ChainID, genesis: unhex(*genesisHash), firstFork: config.firstFork}
	}

	var failed atomic.Int64
	var lastError atomic.Value
	var everybody sync.WaitGroup
	slots := make(chan struct{}, dialingAtOnce)
	start := time.Now()
	for range *count {
		everybody.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; everybody.Done() }()
			if err := c.member(); err != nil {
				failed.Add(1)
				lastError.Store(err.Error())
			}
		}()
	}
	everybody.Wait()
	line := map[string]any{"event": "connected", "count": *count - int(failed.Load()), "failed": failed.Load(), "millis": time.Since(start).Milliseconds()}
	if err := lastError.Load(); err != nil {
		line["error"] = err
	}
	say(line)
	if c.what == "plain" || c.what == "light" || c.what == "slow" {
		_, _ = bufio.NewReader(os.Stdin).ReadString('\n')
	}
	return nil
}

// newHost dials only, with noise, as a page does.
func newHost() (host.Host, error) {
	return libp2p.New(libp2p.NoListenAddrs, libp2p.DisableRelay(), libp2p.DisableMetrics(),
		libp2p.ResourceManager(&network.NullResourceManager{}), libp2p.Security(noise.ID, noise.New))
}

// member connects and does what it is there for; what goes on afterwards goes on by itself.
func (c crowd) member() error {
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	h, err := newHost()
	if err != nil {
		return err
	}
	if err := h.Connect(ctx, c.target); err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	switch c.what {
	case "plain":
		return (<-ping.Ping(ctx, h, c.target.ID)).Error
	case "light":
		_, err := c.greeted(ctx, h)
		return err
	case "slow":
		return c.slow(ctx, h)
	case "streams":
		return c.streams(ctx, h)
	case "resets":
		return c.resets(ctx, h)
	}
	return fmt.Errorf("no such crowd: %s", c.what)
}

func (c crowd) open(ctx context.Context, h host.Host) (network.Stream, error) {
	return h.NewStream(ctx, c.target.ID, "/les/4")
}

func (c crowd) greeted(ctx context.Context, h host.Host) (*session, error) {
	stream, err := c.open(ctx, h)
	if err != nil {
		return nil, fmt.Errorf("stream: %w", err)
	}
	s := newSession(stream)
	return s, s.greet(c.chain)
}

// slow asks for far more than it reads.
func (c crowd) slow(ctx context.Context, h host.Host) error {
	s, err := c.greeted(ctx, h)
	if err != nil {
		return err
	}
	for id := range uint64(32) {
		if err := s.send(codeGetHeaders, []any{id + 1, []any{uint64(1), uint64(maxHeaders), uint64(0), uint64(0)}}); err != nil {
			return err
		}
	}
	go func() {
		one := make([]byte, 1)
		for {
			if _, err := io.ReadFull(s.stream, one); err != nil {
				return
			}
			time.Sleep(time.Second)
		}
	}()
	return nil
}

// streams opens a thousand streams, as many at once as it is let, and greets on a connection afterwards.
func (c crowd) streams(ctx context.Context, h host.Host) error {
	var opened, refused atomic.Int64
	var all sync.WaitGroup
	slots := make(chan struct{}, 100)
	for range 1000 {
		all.Add(1)
		slots <- struct{}{}
		go func() {
			defer func() { <-slots; all.Done() }()
			ctx, cancel := context.WithTimeout(ctx, 3*time.Second)
			defer cancel()
			s, err := c.open(ctx, h)
			if err != nil {
				refused.Add(1)
				return
			}
			opened.Add(1)
			_ = s.SetReadDeadline(time.Now().Add(500 * time.Millisecond))
			_, _ = s.Read(make([]byte, 1))
			_ = s.Reset()
		}()
	}
	all.Wait()
	again := time.Now()
	err := c.comesBack(ctx, h)
	say(map[string]any{"event": "streams", "opened": opened.Load(), "refused": refused.Load(), "greetedAfterMillis": time.Since(again).Milliseconds()})
	return err
}

// resets breaks streams off before, while and after they are greeted.
func (c crowd) resets(ctx context.Context, h host.Host) error {
	rounds, broken := 10, 0
	conn := h.Network().ConnsToPeer(c.target.ID)[0]
	for range rounds {
		for i := range 20 {
			s, err := c.open(ctx, h)
			if err != nil {
				broken++
				continue
			}
			if i%2 == 0 {
				_, _ = s.Write([]byte{0xf9, 0x10})
			}
			_ = s.Reset()
		}
	}
	err := c.comesBack(ctx, h)
	now := h.Network().ConnsToPeer(c.target.ID)
	say(map[string]any{"event": "resets", "resets": rounds * 20, "refused": broken, "sameConnection": len(now) > 0 && now[0] == conn})
	return err
}

// comesBack greets, on a new connection if the old one was taken away; the place of a broken stream may take a
// moment to be free.
func (c crowd) comesBack(ctx context.Context, h host.Host) error {
	var last error
	for range 40 {
		if last = h.Connect(ctx, c.target); last == nil {
			attempt, cancel := context.WithTimeout(ctx, 5*time.Second)
			if stream, err := c.open(attempt, h); err == nil {
				_ = stream.SetDeadline(time.Now().Add(5 * time.Second))
				if last = newSession(stream).greet(c.chain); last == nil {
					cancel()
					return nil
				}
				_ = stream.Reset()
			} else {
				last = err
			}
			cancel()
		}
		time.Sleep(250 * time.Millisecond)
	}
	return fmt.Errorf("afterwards: %w", last)
}
