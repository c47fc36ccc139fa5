// The light client of go-ethereum v1.10.26: syncs headers from the given servers, then reads through
// on-demand retrieval. Prints one JSON line; ends with 0 if everything was read.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/big"
	"os"
	"time"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/common/hexutil"
	"github.com/ethereum/go-ethereum/consensus/ethash"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/eth/downloader"
	"github.com/ethereum/go-ethereum/eth/ethconfig"
	"github.com/ethereum/go-ethereum/les"
	"github.com/ethereum/go-ethereum/node"
	"github.com/ethereum/go-ethereum/p2p"
	"github.com/ethereum/go-ethereum/p2p/enode"
	"github.com/ethereum/go-ethereum/rpc"

	"causeway.invalid/peers/geth/program"
)

func main() {
	genesisFile := flag.String("genesis", "", "genesis.json")
	want := flag.Uint64("want", 0, "head number to sync to")
	block := flag.Uint64("block", 6, "block whose body and receipts to read")
	account := flag.String("account", "", "account whose balance and nonce to read")
	contract := flag.String("contract", "", "contract whose code and slot 1 to read")
	send := flag.String("send", "", "raw signed transaction to send")
	patience := flag.Duration("patience", 60*time.Second, "give up after this time")
	level := flag.Int("verbosity", 4, "geth's log level, 0 to 5")
	flag.Parse()
	program.Log(*level)
	ctx, cancel := context.WithTimeout(context.Background(), *patience)
	defer cancel()

	out := map[string]interface{}{}
	end := func(what string, err error) {
		if err == nil {
			return
		}
		out["error"] = what + ": " + err.Error()
		finish(out, 1)
	}
	genesis := new(core.Genesis)
	text, err := os.ReadFile(*genesisFile)
	end("genesis", err)
	end("genesis", json.Unmarshal(text, genesis))
	stack, light, err := start(genesis)
	end("start", err)
	started := time.Now()
	for _, url := range flag.Args() {
		server, err := enode.ParseV4(url)
		end("enode", err)
		stack.Server().AddPeer(server)
	}

	end("sync", follow(ctx, light, *want, out))
	out["syncMillis"] = time.Since(started).Milliseconds()
	end("block", readBlock(ctx, light, *block, out))
	end("state", readState(ctx, light, *account, *contract, out))
	if *send != "" {
		tx := new(types.Transaction)
		end("transaction", tx.UnmarshalBinary(common.FromHex(*send)))
		end("send", light.ApiBackend.SendTx(ctx, tx))
		out["sent"] = tx.Hash()
		// SendTx only queues it; the relay sends in the background. Wait to be told to stop.
		text, _ := json.Marshal(out)
		fmt.Println(string(text))
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}
	for _, peer := range stack.Server().PeersInfo() {
		out["server"] = fmt.Sprint(peer.Name, " ", peer.Caps)
	}
	finish(out, 0)
}

func finish(out map[string]interface{}, code int) {
	text, _ := json.Marshal(out)
	fmt.Println(string(text))
	os.Exit(code)
}

func start(genesis *core.Genesis) (*node.Node, *les.LightEthereum, error) {
	key, err := crypto.GenerateKey()
	if err != nil {
		return nil, nil, err
	}
	stack, err := node.New(&node.Config{Name: "geth-light", KeyStoreDir: program.NoKeys, P2P: p2p.Config{
		PrivateKey: key, ListenAddr: "127.0.0.1:0", NoDiscovery: true, MaxPeers: 10,
	}})
	if err != nil {
		return nil, nil, err
	}
	config := ethconfig.Defaults
	config.Genesis, config.NetworkId, config.SyncMode = genesis, genesis.Config.ChainID.Uint64(), downloader.LightSync
	config.Ethash = ethash.Config{PowMode: ethash.ModeFake} // and nothing on the disk
	light, err := les.New(stack, &config)
	if err != nil {
		return nil, nil, err
	}
	return stack, light, stack.Start()
}

// follow waits for head events until the head has the wanted number.
func follow(ctx context.Context, light *les.LightEthereum, want uint64, out map[string]interface{}) error {
	heads := make(chan core.ChainHeadEvent, 1024)
	defer light.BlockChain().SubscribeChainHeadEvent(heads).Unsubscribe()
	for {
		head := light.BlockChain().CurrentHeader()
		out["number"], out["head"] = head.Number.Uint64(), head.Hash()
		if head.Number.Uint64() >= want {
			return nil
		}
		select {
		case <-heads:
		case <-ctx.Done():
			return fmt.Errorf("at block %v of %d: %w", head.Number, want, ctx.Err())
		}
	}
}

func readBlock(ctx context.Context, light *les.LightEthereum, number uint64, out map[string]interface{}) error {
	block, err := light.BlockChain().GetBlockByNumber(ctx, number) // GetBlockBodies
	if err != nil {
		return fmt.Errorf("body: %w", err)
	}
	out["transactions"] = len(block.Transactions())
	receipts, err := light.ApiBackend.GetReceipts(ctx, block.Hash()) // GetReceipts
	if err != nil {
		return fmt.Errorf("receipts: %w", err)
	}
	logs := 0
	for _, receipt := range receipts {
		logs += len(receipt.Logs)
	}
	out["receipts"], out["logs"] = len(receipts), logs
	for _, tx := range block.Transactions() { // GetTxStatus
		_, hash, at, index, err := light.ApiBackend.GetTransaction(ctx, tx.Hash())
		if err != nil {
			return fmt.Errorf("transaction status: %w", err)
		}
		if hash != block.Hash() || at != number {
			return fmt.Errorf("transaction %x was found at %d:%d in %x", tx.Hash(), at, index, hash)
		}
		out["found"] = fmt.Sprintf("%d:%d", at, index)
	}
	return nil
}

func readState(ctx context.Context, light *les.LightEthereum, account, contract string, out map[string]interface{}) error {
	state, _, err := light.ApiBackend.StateAndHeaderByNumber(ctx, rpc.LatestBlockNumber)
	if err != nil {
		return err
	}
	if account != "" { // GetProofsV2
		out["balance"] = (*hexutil.Big)(state.GetBalance(common.HexToAddress(account)))
		out["nonce"] = state.GetNonce(common.HexToAddress(account))
	}
	if contract != "" { // GetCode
		address := common.HexToAddress(contract)
		out["code"] = hexutil.Encode(state.GetCode(address))
		out["slot1"] = state.GetState(address, common.BigToHash(big.NewInt(1)))
	}
	return state.Error()
}
