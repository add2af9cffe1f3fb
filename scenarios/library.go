package scenarios

import (
	"embed"
	"io/fs"
)

//go:embed library
var library embed.FS

// Library holds the scenarios that ship with the product, one file each, and
// topology.yaml to start a topology from. Load finds a scenario by its name
// without ".yaml".
func Library() fs.FS { return sub("library", library) }

//go:embed schema/*.json
var schemas embed.FS

// Schemas holds the JSON Schemas as generated, with their descriptions:
// scenario.json and topology.json.
func Schemas() fs.FS { return sub("schema", schemas) }

// sub cannot fail on the name of a directory that is embedded.
func sub(dir string, from embed.FS) fs.FS {
	f, err := fs.Sub(from, dir)
	if err != nil {
		panic(err)
	}
	return f
}
