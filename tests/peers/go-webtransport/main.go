// go-webtransport: go-libp2p dials a listener of WebTransport or of WebRTC-direct.
//
//	go-webtransport -dial MULTIADDR [-echo BYTES] [-resets N] [-hold]
//
// Prints a line of JSON with what identify, ping, the echo and the resets gave. With -hold it then waits for
// a line on standard input, echoes once more on the same connection, dials the same address with another
// host, and prints a second line. Exit 1 and {"error": ...} where something fails.
package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	libp2pwebrtc "github.com/libp2p/go-libp2p/p2p/transport/webrtc"
	"github.com/libp2p/go-libp2p/p2p/transport/webtransport"
)

const echoProtocol = "/echo/1.0.0"

func say(line map[string]any) {
	text, _ := json.Marshal(line)
	fmt.Println(string(text))
}

func check(what string, err error) {
	if err != nil {
		say(map[string]any{"error": what + ": " + err.Error()})
		os.Exit(1)
	}
}

func main() {
	address := flag.String("dial", "", "multiaddr with certhashes and peer id")
	size := flag.Int("echo", 32, "bytes to echo")
	resets := flag.Int("resets", 0, "streams to reset in the middle of an echo")
	hold := flag.Bool("hold", false, "go on after a line on standard input")
	flag.Parse()
	target, err := peer.AddrInfoFromString(*address)
	check("address", err)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()

	first, conn := connect(ctx, *target)
	line := map[string]any{"connMultiaddr": conn.RemoteMultiaddr().String(), "transport": conn.ConnState().Transport}
	learn(ctx, first, conn, line)
	for i := 0; i < *resets; i++ {
		check(fmt.Sprintf("reset %d", i), reset(ctx, first, target.ID))
	}
	line["resets"] = *resets
	line["echoed"], line["echoMs"] = echo(ctx, first, target.ID, *size)
	line["connections"] = len(first.Network().ConnsToPeer(target.ID))
	line["sameConnection"] = first.Network().ConnsToPeer(target.ID)[0] == conn
	say(line)
	if !*hold {
		return
	}

	_, err = bufio.NewReader(os.Stdin).ReadString('\n')
	check("waiting", err)
	line = map[string]any{}
	line["echoed"], line["echoMs"] = echo(ctx, first, target.ID, *size)
	line["sameConnection"] = first.Network().ConnsToPeer(target.ID)[0] == conn
	second, conn := connect(ctx, *target)
	learn(ctx, second, conn, line)
	line["echoedAnew"], _ = echo(ctx, second, target.ID, *size)
	say(line)
}

func connect(ctx context.Context, target peer.AddrInfo) (host.Host, network.Conn) {
	h, err := libp2p.New(libp2p.NoListenAddrs, libp2p.Transport(libp2pwebtransport.New), libp2p.Transport(libp2pwebrtc.New))
	check("host", err)
	check("connect", h.Connect(ctx, target))
	return h, h.Network().ConnsToPeer(target.ID)[0]
}

// learn adds what identify and ping say.
func learn(ctx context.Context, h host.Host, conn network.Conn, line map[string]any) {
	if ids, ok := h.(interface{ IDService() identify.IDService }); ok {
		<-ids.IDService().IdentifyWait(conn)
	}
	protocols, err := h.Peerstore().GetProtocols(conn.RemotePeer())
	check("protocols", err)
	agent, _ := h.Peerstore().Get(conn.RemotePeer(), "AgentVersion")
	line["protocols"], line["agent"] = protocols, agent
	pong := <-ping.Ping(ctx, h, conn.RemotePeer())
	check("ping", pong.Error)
	line["pingUs"] = pong.RTT.Microseconds()
}

// echo sends random bytes, compares what comes back, and says how many and in how many milliseconds.
func echo(ctx context.Context, h host.Host, id peer.ID, size int) (int, int64) {
	s, err := h.NewStream(ctx, id, echoProtocol)
	check("stream", err)
	want := make([]byte, size)
	rand.Read(want)
	start := time.Now()
	written := make(chan error, 1)
	go func() {
		_, err := s.Write(want)
		written <- errors.Join(err, s.CloseWrite())
	}()
	got, err := io.ReadAll(s)
	check("echo", errors.Join(err, <-written))
	if !bytes.Equal(got, want) {
		check("echo", fmt.Errorf("sent %d bytes, got %d, not the same", len(want), len(got)))
	}
	return len(got), time.Since(start).Milliseconds()
}

// reset breaks an echo off in the middle.
func reset(ctx context.Context, h host.Host, id peer.ID) error {
	s, err := h.NewStream(ctx, id, echoProtocol)
	if err != nil {
		return err
	}
	sent := bytes.Repeat([]byte("x"), 4096)
	if _, err := s.Write(sent); err != nil {
		return err
	}
	if _, err := io.ReadFull(s, make([]byte, len(sent))); err != nil {
		return err
	}
	if _, err := s.Write(sent); err != nil {
		return err
	}
	return s.Reset()
}
