package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"math/big"
	"os"
	"strings"

	"github.com/ethereum/go-ethereum/rlp"
	"github.com/libp2p/go-libp2p/core/network"
	"golang.org/x/crypto/sha3"
)

const (
	codeStatus     = 0x00
	codeAnnounce   = 0x01
	codeGetHeaders = 0x02
	codeHeaders    = 0x03
	codeGetProofs  = 0x0f
	codeProofs     = 0x10

	maxHeaders = 192
	// The largest message a relay may send.
	maxMessage = 10<<20 + 16
)

func unhex(text string) []byte {
	value, err := hex.DecodeString(strings.TrimPrefix(text, "0x"))
	if err != nil {
		panic(err)
	}
	return value
}

func keccak(value []byte) []byte {
	h := sha3.NewLegacyKeccak256()
	h.Write(value)
	return h.Sum(nil)
}

type chain struct {
	network   uint64
	genesis   []byte
	firstFork uint64 // the first fork after genesis, 0 if there is none
}

type genesisConfig struct {
	ChainID   uint64
	firstFork uint64
}

func readConfig(file string) (genesisConfig, error) {
	var config genesisConfig
	text, err := os.ReadFile(file)
	if err != nil {
		return config, err
	}
	var genesis struct{ Config map[string]any }
	if err := json.Unmarshal(text, &genesis); err != nil {
		return config, err
	}
	for key, value := range genesis.Config {
		number, ok := value.(float64)
		if key == "chainId" {
			config.ChainID = uint64(number)
		}
		if at := uint64(number); ok && at > 0 && strings.HasSuffix(key, "Block") && (config.firstFork == 0 || at < config.firstFork) {
			config.firstFork = at
		}
	}
	return config, nil
}

// session is LES over one libp2p stream: one RLP list [code, payload] a message.
type session struct {
	stream network.Stream
	items  *rlp.Stream
	nextID uint64
}

func newSession(stream network.Stream) *session {
	return &session{stream: stream, items: rlp.NewStream(stream, 0)}
}

type message struct {
	Code    uint64
	Payload rlp.RawValue
}

func (s *session) send(code uint64, payload any) error {
	inner, err := rlp.EncodeToBytes(payload)
	if err != nil {
		return err
	}
	outer, err := rlp.EncodeToBytes(message{code, inner})
	if err != nil {
		return err
	}
	_, err = s.stream.Write(outer)
	return err
}

// next reads one item off the stream.
func (s *session) next() (message, error) {
	kind, size, err := s.items.Kind()
	if err != nil {
		return message{}, err
	}
	if kind != rlp.List || size > maxMessage {
		return message{}, fmt.Errorf("an item of kind %v with %d bytes", kind, size)
	}
	var m message
	return m, s.items.Decode(&m)
}

type entry struct {
	Key   string
	Value rlp.RawValue
}

func raw(value any) rlp.RawValue {
	encoded, err := rlp.EncodeToBytes(value)
	if err != nil {
		panic(err)
	}
	return encoded
}

// greet sends our Status and checks the relay's.
func (s *session) greet(c chain) error {
	var version uint64
	if _, err := fmt.Sscanf(string(s.stream.Protocol()), "/les/%d", &version); err != nil {
		return err
	}
	status := []entry{
		{"protocolVersion", raw(version)},
		{"networkId", raw(c.network)},
		{"headTd", raw(uint64(0))},
		{"headHash", raw(make([]byte, 32))},
		{"headNum", raw(uint64(0))},
		{"genesisHash", raw(c.genesis)},
		{"announceType", raw(uint64(0))},
	}
	if version >= 4 {
		sum := new(big.Int).SetUint64(uint64(crc32.ChecksumIEEE(c.genesis))).FillBytes(make([]byte, 4))
		status = append(status, entry{"forkID", raw([]any{sum, c.firstFork})})
	}
	if err := s.send(codeStatus, status); err != nil {
		return err
	}
	answer, err := s.next()
	if err != nil {
		return err
	}
	if answer.Code != codeStatus {
		return fmt.Errorf("code %#x came before any Status", answer.Code)
	}
	var entries []entry
	if err := rlp.DecodeBytes(answer.Payload, &entries); err != nil {
		return err
	}
	theirs := map[string]rlp.RawValue{}
	for _, e := range entries {
		theirs[e.Key] = e.Value
	}
	for key, want := range map[string]rlp.RawValue{"networkId": raw(c.network), "genesisHash": raw(c.genesis), "protocolVersion": raw(version)} {
		if !bytes.Equal(theirs[key], want) {
			return fmt.Errorf("%s is %x, not %x", key, theirs[key], want)
		}
	}
	return nil
}

// ask sends a request and returns the items of its answer.
func (s *session) ask(code, answered uint64, query any) (rlp.RawValue, error) {
	s.nextID++
	if err := s.send(code, []any{s.nextID, query}); err != nil {
		return nil, err
	}
	for {
		m, err := s.next()
		if err != nil {
			return nil, err
		}
		if m.Code == codeAnnounce {
			continue
		}
		var answer struct {
			ID, Buffer uint64
			Items      rlp.RawValue
		}
		if m.Code != answered {
			return nil, fmt.Errorf("answered with code %#x", m.Code)
		}
		if err := rlp.DecodeBytes(m.Payload, &answer); err != nil {
			return nil, err
		}
		if answer.ID != s.nextID {
			return nil, fmt.Errorf("answer to request %d, not %d", answer.ID, s.nextID)
		}
		return answer.Items, nil
	}
}

type header struct {
	hash, parent, stateRoot []byte
	number                  uint64
}

func readHeader(item rlp.RawValue) (header, error) {
	var fields []rlp.RawValue
	if err := rlp.DecodeBytes(item, &fields); err != nil {
		return header{}, err
	}
	if len(fields) < 15 {
		return header{}, fmt.Errorf("a header of %d fields", len(fields))
	}
	h := header{hash: keccak(item)}
	return h, errors.Join(rlp.DecodeBytes(fields[0], &h.parent), rlp.DecodeBytes(fields[3], &h.stateRoot), rlp.DecodeBytes(fields[8], &h.number))
}

func (s *session) headers(from, count uint64) ([]header, error) {
	var headers []header
	for uint64(len(headers)) < count {
		start := from + uint64(len(headers))
		items, err := s.ask(codeGetHeaders, codeHeaders, []any{start, min(maxHeaders, count-uint64(len(headers))), uint64(0), uint64(0)})
		if err != nil {
			return nil, err
		}
		var list []rlp.RawValue
		if err := rlp.DecodeBytes(items, &list); err != nil {
			return nil, err
		}
		if len(list) == 0 {
			return nil, fmt.Errorf("no header %d", start)
		}
		for _, item := range list {
			h, err := readHeader(item)
			if err != nil {
				return nil, err
			}
			headers = append(headers, h)
		}
	}
	return headers, nil
}

// linked checks that headers begin at a number, follow each other and end at a trusted hash.
func linked(headers []header, from uint64, head []byte) error {
	for i, h := range headers {
		if h.number != from+uint64(i) {
			return fmt.Errorf("header %d came where %d should be", h.number, from+uint64(i))
		}
		if i > 0 && !bytes.Equal(h.parent, headers[i-1].hash) {
			return fmt.Errorf("header %d does not link to its parent", h.number)
		}
	}
	if last := headers[len(headers)-1].hash; !bytes.Equal(last, head) {
		return fmt.Errorf("the last header is %x, not %x", last, head)
	}
	return nil
}

func (s *session) accountProof(block, address []byte) ([]rlp.RawValue, error) {
	items, err := s.ask(codeGetProofs, codeProofs, []any{[]any{block, []byte{}, keccak(address), uint64(0)}})
	if err != nil {
		return nil, err
	}
	var nodes []rlp.RawValue
	return nodes, rlp.DecodeBytes(items, &nodes)
}
