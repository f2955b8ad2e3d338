// What Go's own packages say about our notes, tiles and proofs: one JSON question a line on standard input, one JSON
// answer a line on standard output. golang.org/x/mod/sumdb/{note,tlog} are those that come with the Go distribution.
package main

import (
	"bufio"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

type question struct {
	Op   string
	Note []byte
	Text string
	Keys []string // verifier keys to open a note with, or private keys to sign one with

	Dir     string // of a log with /tile/...
	Size    int64
	Root    tlog.Hash
	Index   int64
	Leaf    tlog.Hash
	Old     int64
	OldRoot tlog.Hash
	Proof   []tlog.Hash
}

type answer struct {
	Error      string      `json:"error"`
	Note       string      `json:"note"`
	Text       string      `json:"text"`
	Verified   []string    `json:"verified"`
	Unverified []string    `json:"unverified"`
	Proof      []tlog.Hash `json:"proof"`
}

func main() {
	questions := bufio.NewReader(os.Stdin)
	answers := bufio.NewWriter(os.Stdout)
	defer answers.Flush()
	decoder, encoder := json.NewDecoder(questions), json.NewEncoder(answers)
	for decoder.More() {
		var q question
		if err := decoder.Decode(&q); err != nil {
			log.Fatal(err)
		}
		var a answer
		if err := ask(q, &a); err != nil {
			a.Error = err.Error()
		}
		if err := encoder.Encode(a); err != nil {
			log.Fatal(err)
		}
	}
}

func ask(q question, a *answer) (err error) {
	tree := tlog.Tree{N: q.Size, Hash: q.Root}
	switch q.Op {
	case "open":
		return open(q, a)
	case "sign":
		return sign(q, a)
	case "read":
		return read(q.Dir, tree)
	case "prove_inclusion":
		a.Proof, err = tlog.ProveRecord(q.Size, q.Index, tlog.TileHashReader(tree, logDir(q.Dir)))
		return err
	case "prove_consistency":
		a.Proof, err = tlog.ProveTree(q.Size, q.Old, tlog.TileHashReader(tree, logDir(q.Dir)))
		return err
	case "check_inclusion":
		return tlog.CheckRecord(q.Proof, q.Size, q.Root, q.Index, q.Leaf)
	case "check_consistency":
		return tlog.CheckTree(q.Proof, q.Size, q.Root, q.Old, q.OldRoot)
	}
	return fmt.Errorf("no such question: %q", q.Op)
}

func open(q question, a *answer) error {
	var verifiers []note.Verifier
	for _, key := range q.Keys {
		verifier, err := newVerifier(key)
		if err != nil {
			return err
		}
		verifiers = append(verifiers, verifier)
	}
	opened, err := note.Open(q.Note, note.VerifierList(verifiers...))
	if err != nil {
		return err
	}
	a.Text = opened.Text
	for _, one := range opened.Sigs {
		a.Verified = append(a.Verified, fmt.Sprintf("— %s %s", one.Name, one.Base64))
	}
	for _, one := range opened.UnverifiedSigs {
		a.Unverified = append(a.Unverified, fmt.Sprintf("— %s %s", one.Name, one.Base64))
	}
	return nil
}

// newVerifier is Go's, and for a witness's key (c2sp.org/tlog-cosignature, type 4), which Go does not know, one in Go.
func newVerifier(key string) (note.Verifier, error) {
	parts := strings.SplitN(key, "+", 3)
	if len(parts) != 3 {
		return note.NewVerifier(key)
	}
	data, err := base64.StdEncoding.DecodeString(parts[2])
	if err != nil || len(data) == 0 || data[0] != 4 {
		return note.NewVerifier(key)
	}
	id := sha256.Sum256([]byte(parts[0] + "\n" + string(data)))
	if len(data) != 1+ed25519.PublicKeySize || parts[1] != hex.EncodeToString(id[:4]) {
		return nil, fmt.Errorf("not a witness's key: %s", key)
	}
	return cosigner{parts[0], binary.BigEndian.Uint32(id[:4]), data[1:]}, nil
}

type cosigner struct {
	name string
	id   uint32
	key  ed25519.PublicKey
}

func (c cosigner) Name() string    { return c.name }
func (c cosigner) KeyHash() uint32 { return c.id }
func (c cosigner) Verify(text, signature []byte) bool {
	if len(signature) != 8+ed25519.SignatureSize {
		return false
	}
	said := fmt.Appendf(nil, "cosignature/v1\ntime %d\n%s", binary.BigEndian.Uint64(signature), text)
	return ed25519.Verify(c.key, said, signature[8:])
}

func sign(q question, a *answer) error {
	var signers []note.Signer
	for _, key := range q.Keys {
		signer, err := note.NewSigner(key)
		if err != nil {
			return err
		}
		signers = append(signers, signer)
	}
	signed, err := note.Sign(&note.Note{Text: q.Text}, signers...)
	a.Note = string(signed)
	return err
}

// read checks a whole log: every leaf hash through its tiles, each authenticated against the root, and every entry of
// its bundles against its leaf hash.
func read(dir string, tree tlog.Tree) error {
	indexes := make([]int64, tree.N)
	for i := range indexes {
		indexes[i] = tlog.StoredHashIndex(0, int64(i))
	}
	hashes, err := tlog.TileHashReader(tree, logDir(dir)).ReadHashes(indexes)
	if err != nil {
		return err
	}
	for start := int64(0); start < tree.N; start += 256 {
		width := min(256, tree.N-start)
		bundle := tlog.Tile{H: 8, L: -1, N: start / 256, W: int(width)}
		rest, err := os.ReadFile(filepath.Join(dir, strings.Replace(bundle.Path(), "tile/8/data/", "tile/entries/", 1)))
		if err != nil {
			return err
		}
		for i := start; i < start+width; i++ {
			if len(rest) < 2 || len(rest)-2 < int(binary.BigEndian.Uint16(rest)) {
				return fmt.Errorf("the bundle is cut before entry %d", i)
			}
			end := 2 + int(binary.BigEndian.Uint16(rest))
			if tlog.RecordHash(rest[2:end]) != hashes[i] {
				return fmt.Errorf("entry %d is not that of its tile", i)
			}
			rest = rest[end:]
		}
		if len(rest) > 0 {
			return fmt.Errorf("the bundle goes on after its %d entries", width)
		}
	}
	return nil
}

// logDir reads the tiles of a log in the layout of C2SP, which leaves the height of 8 out of their paths.
type logDir string

func (dir logDir) Height() int { return 8 }

func (dir logDir) ReadTiles(tiles []tlog.Tile) (data [][]byte, err error) {
	for _, tile := range tiles {
		content, err := os.ReadFile(filepath.Join(string(dir), strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
		if err != nil {
			return nil, err
		}
		data = append(data, content)
	}
	return data, nil
}

func (dir logDir) SaveTiles(tiles []tlog.Tile, data [][]byte) {}
