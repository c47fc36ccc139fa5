package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/ethereum/go-ethereum/rlp"
	"github.com/libp2p/go-libp2p"
	"github.com/libp2p/go-libp2p/core/crypto"
	"github.com/libp2p/go-libp2p/core/host"
	"github.com/libp2p/go-libp2p/core/network"
	"github.com/libp2p/go-libp2p/core/peer"
	"github.com/libp2p/go-libp2p/core/protocol"
	"github.com/libp2p/go-libp2p/p2p/protocol/identify"
	"github.com/libp2p/go-libp2p/p2p/protocol/ping"
	"github.com/libp2p/go-libp2p/p2p/security/noise"
	libp2ptls "github.com/libp2p/go-libp2p/p2p/security/tls"
)

// way is a peer for one address: that of a relay, or its own.
type way struct {
	host    host.Host
	address string
	relay   *peer.AddrInfo    // if it dials
	came    chan network.Conn // if it listens
}

func start(address string, listen bool, o options) (*way, error) {
	var settings []libp2p.Option
	switch o.security {
	case "":
	case "noise":
		settings = append(settings, libp2p.Security(noise.ID, noise.New))
	case "tls":
		settings = append(settings, libp2p.Security(libp2ptls.ID, libp2ptls.New))
	default:
		return nil, fmt.Errorf("no security %s", o.security)
	}
	if !listen {
		relay, err := peer.AddrInfoFromString(address)
		if err != nil {
			return nil, err
		}
		h, err := libp2p.New(append(settings, libp2p.NoListenAddrs, libp2p.EnableRelay())...)
		return &way{host: h, address: address, relay: relay}, err
	}
	// A relay is told to dial peers with such a key only.
	key, _, err := crypto.GenerateSecp256k1Key(nil)
	if err != nil {
		return nil, err
	}
	settings = append(settings, libp2p.Identity(key), libp2p.ListenAddrStrings(address), libp2p.DisableRelay())
	h, err := libp2p.New(settings...)
	if err != nil {
		return nil, err
	}
	w := &way{host: h, came: make(chan network.Conn, 1)}
	h.Network().Notify(&network.NotifyBundle{ConnectedF: func(_ network.Network, c network.Conn) {
		select {
		case w.came <- c:
		default:
		}
	}})
	own := h.Network().ListenAddresses()
	if len(own) != 1 {
		return nil, fmt.Errorf("listens at %v", own)
	}
	w.address = fmt.Sprintf("%v/p2p/%v", own[0], h.ID())
	return w, nil
}

// connection with the relay, whoever makes it.
func (w *way) connection(ctx context.Context) (network.Conn, error) {
	if w.relay == nil {
		select {
		case c := <-w.came:
			return c, nil
		case <-ctx.Done():
			return nil, errors.New("no relay came")
		}
	}
	if err := w.host.Connect(ctx, *w.relay); err != nil {
		return nil, fmt.Errorf("connect: %w", err)
	}
	connections := w.host.Network().ConnsToPeer(w.relay.ID)
	if len(connections) == 0 {
		return nil, errors.New("the connection went at once")
	}
	return connections[0], nil
}

// acquaint asks the relay who it is, and pings it.
func (w *way) acquaint(ctx context.Context, c network.Conn, out map[string]any) error {
	service, ok := w.host.(interface{ IDService() identify.IDService })
	if !ok {
		return errors.New("this host does not identify")
	}
	select {
	case <-service.IDService().IdentifyWait(c):
	case <-ctx.Done():
		return errors.New("identify: no answer")
	}
	id := c.RemotePeer()
	protocols, err := w.host.Peerstore().GetProtocols(id)
	if err != nil {
		return fmt.Errorf("identify: %w", err)
	}
	agent, err := w.host.Peerstore().Get(id, "AgentVersion")
	if err != nil {
		return fmt.Errorf("identify: %w", err)
	}
	out["agent"], out["protocols"] = agent, protocols
	pinging, cancel := context.WithCancel(ctx)
	defer cancel()
	result := <-ping.Ping(pinging, w.host, id)
	if result.Error != nil {
		return fmt.Errorf("ping: %w", result.Error)
	}
	out["pingMicros"] = result.RTT.Microseconds()
	return nil
}

func check(ctx context.Context, w *way, o options, out map[string]any) error {
	conn, err := w.connection(ctx)
	if err != nil {
		return err
	}
	if err := w.acquaint(ctx, conn, out); err != nil {
		return err
	}
	// Over the connection that is there, or not at all.
	here := network.WithNoDial(ctx, "the relay's connection")
	stream, err := w.host.NewStream(here, conn.RemotePeer(), protocol.ID("/les/4"), protocol.ID("/les/3"), protocol.ID("/les/2"))
	if err != nil {
		return fmt.Errorf("stream: %w", err)
	}
	if deadline, ok := ctx.Deadline(); ok {
		if err := stream.SetDeadline(deadline); err != nil {
			return err
		}
	}
	connection := stream.Conn().ConnState()
	out["protocol"], out["transport"] = stream.Protocol(), connection.Transport
	out["security"], out["muxer"] = connection.Security, connection.StreamMultiplexer
	out["inbound"] = stream.Conn().Stat().Direction == network.DirInbound
	out["limited"] = stream.Conn().Stat().Limited
	out["connections"] = len(w.host.Network().ConnsToPeer(conn.RemotePeer()))
	return read(newSession(stream), o, out)
}

// read asks for headers and an account, and checks them.
func read(s *session, o options, out map[string]any) error {
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
