// The LES server of go-ethereum v1.10.26 over a chain made in memory.
//
// Prints one JSON line once it serves, then one for each event (head, tx, peer) and each answer to a
// line on stdin:
//
//	import N      imports N held blocks now                 -> head events, then imported
//	reorg DEPTH   replaces the last DEPTH blocks by DEPTH+2  -> head event, then reorganised
//	rawtx         signs a transaction of the sender account  -> rawtx
//	pool HASH     says whether the pool has a transaction    -> pool
//	found         says whom discovery has found              -> found, also told at each change with -discv4 or -discv5
//	quit          or the end of stdin: ends the process
//
// Two servers with equal flags make the same chain.
package main

import (
	"bufio"
	"crypto/ecdsa"
	"flag"
	"fmt"
	"math/big"
	"net"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/consensus/ethash"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/eth"
	"github.com/ethereum/go-ethereum/eth/downloader"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/les"
	"github.com/ethereum/go-ethereum/log"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/nat"

	"causeway.invalid/peers/geth/program"
)

type server struct {
	chain    *Chain
	imported int // blocks of the main chain that geth has
	stack    *node.Node
	backend  *eth.Ethereum
	nonce    uint64
}

func main() {
	engine := flag.String("engine", "fake", "fake (ethash without work) or clique")
	length := flag.Int("blocks", 100, "blocks at the start; 33400 for a canonical hash trie")
	hold := flag.Int("hold", 0, "further blocks, imported by `import` lines or by -interval")
	interval := flag.Duration("interval", 0, "import a held block this often; 0: only on demand")
	host := flag.String("host", "127.0.0.1", "address to listen at, and where others reach it")
	port := flag.Int("port", 0, "RLPx port; 0 takes a free one")
	keyHex := flag.String("key", "", "node key in hex; random if empty")
	version := flag.Uint("les", 0, "offer only this LES version; 0: all")
	out := flag.String("out", "", "write genesis.json and chain.rlp into this folder")
	serv := flag.Int("serv", 100, "percent of one CPU thread to spend on light clients (LightServ)")
	capacity := flag.Uint64("capacity", 0, "raise each client's MRR to this; 0 leaves geth's minimum")
	discv4 := flag.Bool("discv4", false, "find others by discv4, and be found")
	discv5 := flag.Bool("discv5", false, "find others by discv5, and be found")
	bootnodes := flag.String("bootnodes", "", "records or enodes where discovery starts, with commas between them")
	level := flag.Int("verbosity", 3, "geth's log level, 0 to 5")
	flag.Parse()
	program.Log(*level)

	key := program.NodeKey(*keyHex)
	chain, err := newChain(*engine, *length+*hold)
	program.Fail("chain", err)
	if *out != "" {
		program.Fail("export", chain.write(*out, *length))
	}
	finding, err := newFinding(*discv4, *discv5, *bootnodes)
	program.Fail("discovery", err)
	s := &server{chain: chain}
	program.Fail("geth", s.start(key, *host, *port, *version, *serv, finding))
	if *capacity > 0 {
		// Before the first peer: events are not kept for who comes later.
		go s.raise(*capacity, s.peerEvents())
	}
	go report(s.peerEvents())
	program.Fail("import", s.insert(*length))
	s.announceEvents()

	head, self := s.backend.BlockChain().CurrentHeader(), s.stack.Server().Self()
	program.Emit(program.Fields{
		"event": "ready", "enode": self.URLv4(), "enr": self.String(), "id": self.ID(), "genesis": chain.genesis.ToBlock().Hash(),
		"head": head.Hash(), "number": head.Number.Uint64(), "pid": os.Getpid(),
		"bank": bank, "sender": sender, "contract": contractAddress, "code": hexutil.Bytes(contractCode),
	})
	if *discv4 || *discv5 {
		go s.watch()
	}
	if *interval > 0 {
		go func() {
			for range time.Tick(*interval) {
				if s.insert(1) != nil {
					return
				}
			}
		}()
	}
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() && s.obey(strings.Fields(lines.Text())) {
	}
	s.stack.Close()
}

func (s *server) start(key *ecdsa.PrivateKey, host string, port int, version uint, serv int, finding finding) (err error) {
	network := p2p.Config{PrivateKey: key, ListenAddr: fmt.Sprintf("%s:%d", host, port), MaxPeers: 100}
	if ip := net.ParseIP(host); ip != nil && !ip.IsLoopback() && !ip.IsUnspecified() {
		network.NAT = nat.ExtIP(ip) // it says so in its record
	}
	finding.configure(&network)
	s.stack, err = node.New(&node.Config{Name: "geth-les-server", P2P: network, KeyStoreDir: program.NoKeys})
	if err != nil {
		return err
	}
	config := ethconfig.Defaults
	config.Genesis, config.NetworkId, config.SyncMode = s.chain.genesis, chainID, downloader.FullSync
	config.Ethash = ethash.Config{PowMode: ethash.ModeFake} // and nothing on the disk
	config.NoPruning, config.SnapshotCache = true, 0
	config.LightServ, config.LightPeers, config.LightNoSyncServe = serv, 50, true
	config.TxLookupLimit = 0 // les/2 and les/3 clients are refused without the whole index
	if s.backend, err = eth.New(s.stack, &config); err != nil {
		return err
	}
	if _, err = les.NewLesServer(s.stack, s.backend, &config); err != nil {
		return err
	}
	if version != 0 {
		kept := []p2p.Protocol{}
		for _, protocol := range s.stack.Server().Protocols {
			if protocol.Name != "les" || protocol.Version == version {
				kept = append(kept, protocol)
			}
		}
		s.stack.Server().Protocols = kept
	}
	return s.stack.Start()
}

func (s *server) peerEvents() chan *p2p.PeerEvent {
	events := make(chan *p2p.PeerEvent, 64)
	s.stack.Server().SubscribeEvents(events)
	return events
}

func report(events chan *p2p.PeerEvent) {
	for event := range events {
		if event.Type == p2p.PeerEventTypeAdd || event.Type == p2p.PeerEventTypeDrop {
			program.Emit(program.Fields{"event": "peer", "what": event.Type, "peer": event.Peer, "error": event.Error})
		}
	}
}

// announceEvents tells of heads and of transactions: geth's LES announces on the very same head event.
func (s *server) announceEvents() {
	heads := make(chan core.ChainHeadEvent, 64)
	s.backend.BlockChain().SubscribeChainHeadEvent(heads)
	go func() {
		for head := range heads {
			program.Emit(program.Fields{"event": "head", "number": head.Block.NumberU64(), "hash": head.Block.Hash()})
		}
	}()
	txs := make(chan core.NewTxsEvent, 64)
	s.backend.TxPool().SubscribeNewTxsEvent(txs)
	go func() {
		for event := range txs {
			for _, tx := range event.Txs {
				program.Emit(program.Fields{"event": "tx", "hash": tx.Hash()})
			}
		}
	}()
}

// raise does for each new peer what an operator does over RPC: it pays for the peer and gives it more
// capacity. geth then sends the client an Announce with the new MRR and BL.
func (s *server) raise(capacity uint64, events chan *p2p.PeerEvent) {
	api, err := s.stack.Attach()
	program.Fail("rpc", err)
	for event := range events {
		if event.Type != p2p.PeerEventTypeAdd {
			continue
		}
		id := event.Peer.String()
		// The client pool learns of a peer only after the LES handshake.
		for try := 0; try < 50; try++ {
			err = api.Call(nil, "les_addBalance", id, int64(1e16))
			if err == nil {
				err = api.Call(nil, "les_setClientParams", []string{id}, map[string]uint64{"capacity": capacity})
			}
			if err == nil {
				break
			}
			time.Sleep(100 * time.Millisecond)
		}
		if err != nil {
			log.Warn("Capacity not raised", "peer", id, "err", err)
		}
	}
}

func (s *server) insert(n int) error {
	if left := len(s.chain.blocks) - s.imported; n > left {
		return fmt.Errorf("%d blocks asked for, %d held", n, left)
	}
	if _, err := s.backend.BlockChain().InsertChain(s.chain.blocks[s.imported : s.imported+n]); err != nil {
		return err
	}
	s.imported += n
	return nil
}

func (s *server) reorganise(depth int) error {
	head := s.backend.BlockChain().CurrentBlock().NumberU64()
	parent := s.backend.BlockChain().GetBlockByNumber(head - uint64(depth))
	if depth < 1 || parent == nil {
		return fmt.Errorf("cannot go back %d blocks from %d", depth, head)
	}
	side, err := s.chain.grow(parent, depth+2, fmt.Sprintf("side of %d", head), nil)
	if err == nil {
		_, err = s.backend.BlockChain().InsertChain(side)
	}
	return err
}

func (s *server) rawTransaction() (program.Fields, error) {
	to := common.HexToAddress("0x00000000000000000000000000000000000000aa")
	tx, err := types.SignNewTx(senderKey, types.LatestSigner(s.chain.genesis.Config), &types.DynamicFeeTx{
		ChainID: s.chain.genesis.Config.ChainID, Nonce: s.nonce, To: &to, Value: big.NewInt(1), Gas: 21_000,
		GasFeeCap: big.NewInt(100_000_000_000), GasTipCap: big.NewInt(1_000_000_000),
	})
	if err != nil {
		return nil, err
	}
	s.nonce++
	raw, err := tx.MarshalBinary()
	return program.Fields{"event": "rawtx", "raw": hexutil.Bytes(raw), "hash": tx.Hash()}, err
}

// obey carries out one line; false ends the process.
func (s *server) obey(words []string) bool {
	word := func(i int) string {
		if i < len(words) {
			return words[i]
		}
		return ""
	}
	number, _ := strconv.Atoi(word(1))
	answer, err := program.Fields{"event": "unknown", "command": word(0)}, error(nil)
	switch word(0) {
	case "import":
		for i := 0; i < number && err == nil; i++ {
			err = s.insert(1)
		}
		answer = program.Fields{"event": "imported", "number": s.backend.BlockChain().CurrentBlock().NumberU64()}
	case "reorg":
		err = s.reorganise(number)
		answer = program.Fields{"event": "reorganised", "number": s.backend.BlockChain().CurrentBlock().NumberU64()}
	case "rawtx":
		answer, err = s.rawTransaction()
	case "pool":
		known := s.backend.TxPool().Get(common.HexToHash(word(1))) != nil
		answer = program.Fields{"event": "pool", "hash": word(1), "known": known}
	case "found":
		answer = s.found()
	case "quit":
		return false
	}
	if err != nil {
		answer = program.Fields{"event": "error", "command": word(0), "error": err.Error()}
	}
	program.Emit(answer)
	return true
}
