// Command generate writes what is derived from the Go types and the catalogues
// of plug-ins: the JSON Schemas in scenarios/schema and the pages in
// docs/reference. Run it with "go generate ./..." or "make generate".
package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/google/renameio/v2"
)

func main() {
	root := flag.String("root", ".", "directory of the module")
	flag.Parse()
	if err := run(*root); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

// run writes every generated file below root. It changes to that directory:
// comments are found by the path of a package below it.
func run(root string) error {
	if err := os.Chdir(root); err != nil {
		return fmt.Errorf("enter module: %w", err)
	}
	files, err := generate(kinds())
	if err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
		if err := renameio.WriteFile(name, files[name], 0o644); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}
