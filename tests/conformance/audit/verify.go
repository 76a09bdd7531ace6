// Verifies a log over HTTP with golang.org/x/mod, of which nothing was written here:
// note checks the checkpoint's signature, tlog the tiles, inclusion and consistency.
//
// Usage: verify URL VKEY OLDER-CHECKPOINT-FILE|- INDEX...
//
// Prints the tree's size and one line a proven entry: index, SHA-256 of the entry.
package main

import (
	"crypto/sha256"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

const height = 8

// log reads C2SP tlog-tiles for tlog's tile reader.
type log struct{ url string }

func (l log) fetch(path string) ([]byte, error) {
	response, err := http.Get(l.url + "/" + path)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s: %s", path, response.Status)
	}
	return io.ReadAll(io.LimitReader(response.Body, 32<<20))
}

func (l log) Height() int { return height }

func (l log) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var all [][]byte
	for _, tile := range tiles {
		// tlog writes tile/<height>/<level>/...; tlog-tiles leaves the height out.
		path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
		data, err := l.fetch(path)
		if err != nil {
			return nil, err
		}
		all = append(all, data)
	}
	return all, nil
}

func (l log) SaveTiles([]tlog.Tile, [][]byte) {}

// entry reads one entry out of its bundle.
func (l log) entry(index, size int64) ([]byte, error) {
	width := size - index>>height<<height
	if width > 1<<height {
		width = 1 << height
	}
	tile := tlog.Tile{H: height, L: 0, N: index >> height, W: int(width)}
	path := strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/0/", height), "tile/entries/", 1)
	data, err := l.fetch(path)
	if err != nil {
		return nil, err
	}
	for skip := index % (1 << height); ; skip-- {
		if len(data) < 2 {
			return nil, fmt.Errorf("%s is too short", path)
		}
		length := int(data[0])<<8 | int(data[1])
		if len(data) < 2+length {
			return nil, fmt.Errorf("%s is too short", path)
		}
		if skip == 0 {
			return data[2 : 2+length], nil
		}
		data = data[2+length:]
	}
}

// head is a checkpoint's tree, once its signature has been verified.
func head(text []byte, verifier note.Verifier) (tlog.Tree, error) {
	var tree tlog.Tree
	opened, err := note.Open(text, note.VerifierList(verifier))
	if err != nil {
		return tree, err
	}
	lines := strings.SplitN(opened.Text, "\n", 4)
	if len(lines) != 4 || lines[0] != verifier.Name() {
		return tree, fmt.Errorf("not a checkpoint of %s", verifier.Name())
	}
	if tree.N, err = strconv.ParseInt(lines[1], 10, 64); err != nil {
		return tree, err
	}
	tree.Hash, err = tlog.ParseHash(lines[2])
	return tree, err
}

func verify(arguments []string) error {
	source := log{strings.TrimSuffix(arguments[0], "/")}
	verifier, err := note.NewVerifier(arguments[1])
	if err != nil {
		return err
	}
	text, err := source.fetch("checkpoint")
	if err != nil {
		return err
	}
	tree, err := head(text, verifier)
	if err != nil {
		return err
	}
	fmt.Println(tree.N)
	hashes := tlog.TileHashReader(tree, source)
	if arguments[2] != "-" {
		if err := consistent(arguments[2], verifier, tree, hashes); err != nil {
			return err
		}
	}
	for _, argument := range arguments[3:] {
		index, err := strconv.ParseInt(argument, 10, 64)
		if err != nil {
			return err
		}
		if err := included(source, index, tree, hashes); err != nil {
			return fmt.Errorf("entry %d: %w", index, err)
		}
	}
	return nil
}

func consistent(file string, verifier note.Verifier, tree tlog.Tree, hashes tlog.HashReader) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	older, err := head(text, verifier)
	if err != nil {
		return err
	}
	proof, err := tlog.ProveTree(tree.N, older.N, hashes)
	if err != nil {
		return err
	}
	return tlog.CheckTree(proof, tree.N, tree.Hash, older.N, older.Hash)
}

func included(source log, index int64, tree tlog.Tree, hashes tlog.HashReader) error {
	entry, err := source.entry(index, tree.N)
	if err != nil {
		return err
	}
	proof, err := tlog.ProveRecord(tree.N, index, hashes)
	if err != nil {
		return err
	}
	if err := tlog.CheckRecord(proof, tree.N, tree.Hash, index, tlog.RecordHash(entry)); err != nil {
		return err
	}
	fmt.Printf("%d %x\n", index, sha256.Sum256(entry))
	return nil
}

func main() {
	if len(os.Args) < 4 {
		fmt.Fprintln(os.Stderr, "usage: verify URL VKEY OLDER-CHECKPOINT-FILE|- INDEX...")
		os.Exit(2)
	}
	if err := verify(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
