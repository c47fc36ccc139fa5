// A discovery node of go-ethereum v1.10.26 without anything else, as its cmd/bootnode: discv4 and discv5 on
// one UDP port of loopback.
//
// Prints one JSON line once it listens, then one whenever its discv5 table changes; ends with its stdin.
package main

import (
	"errors"
	"flag"
	"io"
	"net"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/p2p/discover"
	"github.com/ethereum/go-ethereum/p2p/enode"

	"causeway.invalid/peers/geth/program"
)

// How often the table is looked at.
const look = 50 * time.Millisecond

// Packets that discv4 could not read and discv5 has not yet.
const queue = 100

// leftovers is the socket as discv5 sees it: it reads what discv4 could not.
type leftovers struct {
	*net.UDPConn
	packets chan discover.ReadPacket
}

func (l leftovers) ReadFromUDP(buffer []byte) (int, *net.UDPAddr, error) {
	packet, open := <-l.packets
	if !open {
		return 0, nil, errors.New("the socket is closed")
	}
	return copy(buffer, packet.Data), packet.Addr, nil
}

// Close leaves the socket to discv4.
func (l leftovers) Close() error {
	return nil
}

func main() {
	port := flag.Int("port", 0, "UDP port on 127.0.0.1; 0 takes a free one")
	keyHex := flag.String("key", "", "node key in hex; random if empty")
	level := flag.Int("verbosity", 3, "geth's log level, 0 to 5")
	flag.Parse()
	program.Log(*level)

	key := program.NodeKey(*keyHex)
	socket, err := net.ListenUDP("udp4", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1), Port: *port})
	program.Fail("socket", err)
	database, err := enode.OpenDB("")
	program.Fail("node database", err)
	local := enode.NewLocalNode(database, key)
	local.SetFallbackIP(net.IPv4(127, 0, 0, 1))
	local.SetFallbackUDP(socket.LocalAddr().(*net.UDPAddr).Port)

	shared := leftovers{socket, make(chan discover.ReadPacket, queue)}
	_, err = discover.ListenV4(socket, local, discover.Config{PrivateKey: key, Unhandled: shared.packets})
	program.Fail("discv4", err)
	v5, err := discover.ListenV5(shared, local, discover.Config{PrivateKey: key})
	program.Fail("discv5", err)
	self := local.Node()
	program.Emit(program.Fields{
		"event": "ready", "enr": self.String(), "enode": self.URLv4(), "id": self.ID(), "pid": os.Getpid(),
	})

	go func() {
		known := 0
		for range time.Tick(look) {
			if now := len(v5.AllNodes()); now != known {
				known = now
				program.Emit(program.Fields{"event": "table", "discv5": known})
			}
		}
	}()
	_, _ = io.Copy(io.Discard, os.Stdin)
}
