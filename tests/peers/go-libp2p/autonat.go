package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2"
	"github.com/libp2p/go-libp2p/p2p/protocol/autonatv2/pb"
	"github.com/libp2p/go-msgio/pbio"
	ma "github.com/multiformats/go-multiaddr"
)

// addresses of a command line, each of which is asked for alone.
type addressList []ma.Multiaddr

func (a *addressList) String() string { return fmt.Sprint(*a) }

func (a *addressList) Set(text string) error {
	address, err := ma.NewMultiaddr(text)
	*a = append(*a, address)
	return err
}

// runTalkInto asks a server of AutoNAT v2 to dial addresses that are not ours, and sends it all the data that it asks
// for.
//
//	go-libp2p talk-into -dial MULTIADDR... [-seconds N] SERVER
//
// Prints `answers`: how often each status came.
func runTalkInto(arguments []string) error {
	flags := flag.NewFlagSet("talk-into", flag.ExitOnError)
	var dial addressList
	flags.Var(&dial, "dial", "an address to be dialed; may be given more than once")
	seconds := flags.Int("seconds", 10, "how long to go on")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	server, err := peer.AddrInfoFromString(flags.Arg(0))
	if err != nil {
		return err
	}
	answers, sent := map[string]int{}, 0
	until := time.Now().Add(time.Duration(*seconds) * time.Second)
	for time.Now().Before(until) {
		// Another peer each time: limits for each of them must not be what protects others.
		h, err := newHost()
		if err != nil {
			return err
		}
		for _, address := range dial {
			answer, data, err := talk(h, *server, address)
			if err != nil {
				answer = "error: " + strings.SplitN(err.Error(), ":", 2)[0]
			}
			answers[answer]++
			sent += data
		}
		_ = h.Close()
	}
	say(map[string]any{"event": "answers", "answers": answers, "sentBytes": sent})
	return nil
}

// talk makes one request; the status of the answer, and how many bytes were asked of us.
func talk(h host.Host, server peer.AddrInfo, address ma.Multiaddr) (string, int, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := h.Connect(ctx, server); err != nil {
		return "", 0, fmt.Errorf("connect: %w", err)
	}
	s, err := h.NewStream(ctx, server.ID, autonatv2.DialProtocol)
	if err != nil {
		return "", 0, fmt.Errorf("stream: %w", err)
	}
	defer func() { _ = s.Reset() }()
	_ = s.SetDeadline(time.Now().Add(5 * time.Second))
	writer, reader := pbio.NewDelimitedWriter(s), pbio.NewDelimitedReader(s, 8192)
	request := &pb.DialRequest{Addrs: [][]byte{address.Bytes()}, Nonce: 1}
	if err := writer.WriteMsg(&pb.Message{Msg: &pb.Message_DialRequest{DialRequest: request}}); err != nil {
		return "", 0, fmt.Errorf("request: %w", err)
	}
	sent := 0
	for {
		var message pb.Message
		if err := reader.ReadMsg(&message); err != nil {
			return "", sent, fmt.Errorf("answer: %w", err)
		}
		switch m := message.GetMsg().(type) {
		case *pb.Message_DialResponse:
			return m.DialResponse.GetStatus().String() + "/" + m.DialResponse.GetDialStatus().String(), sent, nil
		case *pb.Message_DialDataRequest:
			for wanted := int(m.DialDataRequest.GetNumBytes()); wanted > 0; wanted -= 4000 {
				part := &pb.DialDataResponse{Data: make([]byte, 4000)}
				if err := writer.WriteMsg(&pb.Message{Msg: &pb.Message_DialDataResponse{DialDataResponse: part}}); err != nil {
					return "", sent, fmt.Errorf("data: %w", err)
				}
				sent += 4000
			}
		default:
			return "", sent, errors.New("another message came")
		}
	}
}
