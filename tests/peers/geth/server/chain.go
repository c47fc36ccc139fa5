package main

import (
	"bufio"
	"bytes"
	"crypto/ecdsa"
	"encoding/json"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sort"

	"github.com/ethereum/go-ethereum/common"
	"github.com/ethereum/go-ethereum/consensus"
	"github.com/ethereum/go-ethereum/consensus/clique"
	"github.com/ethereum/go-ethereum/consensus/ethash"
	"github.com/ethereum/go-ethereum/core"
	"github.com/ethereum/go-ethereum/core/rawdb"
	"github.com/ethereum/go-ethereum/core/types"
	"github.com/ethereum/go-ethereum/crypto"
	"github.com/ethereum/go-ethereum/ethdb"
	"github.com/ethereum/go-ethereum/params"
)

const (
	chainID = 19763
	// A clique checkpoint comes this often, so that short chains have some.
	cliqueEpoch = 40
	// Transactions are in the first of each so many blocks.
	busyEvery = 5
)

// Keys are derived from a word, so that equal flags make equal chains.
func keyOf(word string) *ecdsa.PrivateKey {
	key, err := crypto.ToECDSA(crypto.Keccak256([]byte("causeway interop " + word)))
	if err != nil {
		panic(err)
	}
	return key
}

func addressOf(key *ecdsa.PrivateKey) common.Address { return crypto.PubkeyToAddress(key.PublicKey) }

var (
	// Pays for the transactions of the chain.
	bankKey = keyOf("bank")
	bank    = addressOf(bankKey)
	// Pays for the transactions that light peers send; the chain itself does not use its nonces.
	senderKey = keyOf("sender")
	sender    = addressOf(senderKey)

	contractAddress = common.HexToAddress("0x00000000000000000000000000000000c0de0001")
	// storage[NUMBER] = CALLER; LOG1 with NUMBER as its topic; STOP
	contractCode = common.FromHex("3343554360006000a100")
)

// Chain holds a whole generated chain and what is needed to grow a side chain.
type Chain struct {
	engine  string
	genesis *core.Genesis
	db      ethdb.Database
	signers []*ecdsa.PrivateKey // of clique, by address
	blocks  types.Blocks        // from number 1 on
}

func newChain(engine string, length int) (*Chain, error) {
	c := &Chain{engine: engine, db: rawdb.NewMemoryDatabase()}
	if engine == "clique" {
		c.signers = []*ecdsa.PrivateKey{keyOf("signer a"), keyOf("signer b"), keyOf("signer c")}
		sort.Slice(c.signers, func(i, j int) bool {
			a, b := addressOf(c.signers[i]), addressOf(c.signers[j])
			return bytes.Compare(a[:], b[:]) < 0
		})
	} else if engine != "fake" {
		return nil, fmt.Errorf("unknown engine %q: fake or clique", engine)
	}
	c.genesis = c.makeGenesis()
	first := c.genesis.MustCommit(c.db)

	signer := types.LatestSigner(c.genesis.Config)
	nonce := uint64(0)
	pay := func(i int, b *core.BlockGen) {
		if i%busyEvery != 0 {
			return
		}
		// The fee recipient of a clique block is known only once it is sealed: pay no tip there.
		tip := big.NewInt(2)
		if engine == "clique" {
			tip = new(big.Int)
		}
		price := new(big.Int).Add(b.BaseFee(), tip)
		friend := common.BigToAddress(big.NewInt(int64(0x1000 + i)))
		for _, inner := range []types.TxData{
			&types.DynamicFeeTx{ChainID: c.genesis.Config.ChainID, Nonce: nonce, To: &contractAddress, Gas: 100_000, GasFeeCap: price, GasTipCap: tip},
			&types.LegacyTx{Nonce: nonce + 1, To: &friend, Value: big.NewInt(1000), Gas: 21_000, GasPrice: price},
			&types.AccessListTx{ChainID: c.genesis.Config.ChainID, Nonce: nonce + 2, To: &friend, Value: big.NewInt(7), Gas: 30_000, GasPrice: price,
				AccessList: types.AccessList{{Address: contractAddress, StorageKeys: []common.Hash{{31: 1}}}}},
		} {
			tx, err := types.SignNewTx(bankKey, signer, inner)
			if err != nil {
				panic(err)
			}
			b.AddTx(tx)
			nonce++
		}
	}
	blocks, err := c.grow(first, length, "", pay)
	c.blocks = blocks
	return c, err
}

func (c *Chain) makeGenesis() *core.Genesis {
	config := *params.AllEthashProtocolChanges
	config.ChainID = big.NewInt(chainID)
	config.ArrowGlacierBlock, config.GrayGlacierBlock = nil, nil
	rich := new(big.Int).Lsh(big.NewInt(1), 100)
	g := &core.Genesis{
		Config:     &config,
		GasLimit:   30_000_000,
		BaseFee:    big.NewInt(params.InitialBaseFee),
		Difficulty: big.NewInt(131_072),
		Timestamp:  1_600_000_000,
		Alloc: core.GenesisAlloc{
			bank:   {Balance: rich},
			sender: {Balance: rich},
			contractAddress: {Balance: common.Big0, Code: contractCode, Storage: map[common.Hash]common.Hash{
				{}:      {31: 7},
				{0: 1}:  {0: 0xff, 31: 1},
				{31: 1}: {31: 42},
			}},
		},
	}
	if c.engine == "clique" {
		config.Ethash = nil
		config.Clique = &params.CliqueConfig{Period: 1, Epoch: cliqueEpoch}
		g.Difficulty = common.Big1
		g.ExtraData = c.cliqueExtra("", true)
	}
	return g
}

func (c *Chain) consensus() consensus.Engine {
	if c.engine == "clique" {
		return clique.New(c.genesis.Config.Clique, c.db)
	}
	return ethash.NewFaker()
}

// grow makes n blocks on parent. The mark tells side chains from the main one.
func (c *Chain) grow(parent *types.Block, n int, mark string, fill func(int, *core.BlockGen)) (types.Blocks, error) {
	difficulty := func(i int) *big.Int {
		_, difficulty := c.turn(parent.NumberU64() + 1 + uint64(i))
		return difficulty
	}
	blocks, _ := core.GenerateChain(c.genesis.Config, parent, c.consensus(), c.db, n, func(i int, b *core.BlockGen) {
		if c.engine == "clique" {
			b.SetDifficulty(difficulty(i))
		} else if mark != "" {
			b.SetExtra([]byte(mark))
		}
		if fill != nil {
			fill(i, b)
		}
	})
	if c.engine == "clique" {
		return c.seal(parent, blocks, mark)
	}
	return blocks, nil
}

// turn says who seals a block and with which difficulty: the signer whose turn it is, but for two
// blocks in seven, which two neighbours seal in each other's place.
func (c *Chain) turn(number uint64) (*ecdsa.PrivateKey, *big.Int) {
	if c.engine != "clique" {
		return nil, nil
	}
	n := uint64(len(c.signers))
	switch number % 7 {
	case 3:
		return c.signers[(number+1)%n], common.Big1
	case 4:
		return c.signers[(number-1)%n], common.Big1
	default:
		return c.signers[number%n], common.Big2
	}
}

func (c *Chain) cliqueExtra(mark string, withSigners bool) []byte {
	extra := make([]byte, 32)
	copy(extra, mark)
	if withSigners {
		for _, key := range c.signers {
			extra = append(extra, addressOf(key).Bytes()...)
		}
	}
	return append(extra, make([]byte, crypto.SignatureLength)...)
}

func (c *Chain) seal(parent *types.Block, blocks types.Blocks, mark string) (types.Blocks, error) {
	previous := parent.Hash()
	for i, block := range blocks {
		header := block.Header()
		header.ParentHash = previous
		header.Extra = c.cliqueExtra(mark, header.Number.Uint64()%cliqueEpoch == 0)
		key, difficulty := c.turn(header.Number.Uint64())
		header.Difficulty = difficulty
		signature, err := crypto.Sign(clique.SealHash(header).Bytes(), key)
		if err != nil {
			return nil, err
		}
		copy(header.Extra[len(header.Extra)-crypto.SignatureLength:], signature)
		blocks[i] = block.WithSeal(header)
		previous = blocks[i].Hash()
	}
	return blocks, nil
}

// write stores genesis.json and the first n blocks as chain.rlp.
func (c *Chain) write(dir string, n int) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	text, err := json.MarshalIndent(c.genesis, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "genesis.json"), append(text, '\n'), 0o644); err != nil {
		return err
	}
	file, err := os.Create(filepath.Join(dir, "chain.rlp"))
	if err != nil {
		return err
	}
	defer file.Close()
	out := bufio.NewWriter(file)
	for _, block := range c.blocks[:n] {
		if err := block.EncodeRLP(out); err != nil {
			return err
		}
	}
	return out.Flush()
}
