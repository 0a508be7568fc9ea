// Command datapath is both ends of `make bench-datapath`.
//
//	datapath model ADDRESS...   the model server (and the store for the journal): answers at once
//	datapath load               the callers: one job as JSON on standard input, its results on standard output
//
// An ADDRESS is `tcp:127.0.0.1:8000` or `unix:/path`. Both ends are one thread each, so that on a small machine what
// stands between them is what is measured.
package main

import (
	"fmt"
	"os"
	"strings"
)

func main() {
	var err error
	switch {
	case len(os.Args) > 2 && os.Args[1] == "model":
		err = serveModel(os.Args[2:])
	case len(os.Args) == 2 && os.Args[1] == "load":
		err = runLoad(os.Stdin, os.Stdout)
	default:
		err = fmt.Errorf("usage: datapath model ADDRESS... | datapath load")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "datapath:", err)
		os.Exit(1)
	}
}

// split takes `network:address` apart.
func split(address string) (string, string) {
	network, rest, _ := strings.Cut(address, ":")
	return network, rest
}
