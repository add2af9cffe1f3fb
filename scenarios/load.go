package scenarios

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"firedrill/drills/topology"
)

// Load reads a scenario file strictly, with vars before the defaults of its
// variables. A path that is no file but the name of a scenario in Library reads
// that one. What is wrong with the file is an error of type Problems: everything
// at once. A file that cannot be read at all is another error.
func Load(path string, vars map[string]string, k Kinds) (*File, error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if inside, libErr := fs.ReadFile(Library(), strings.TrimSuffix(path, ".yaml")+".yaml"); libErr == nil {
			data, err = inside, nil
		}
	}
	if err != nil {
		return nil, fmt.Errorf("read scenario: %w", err)
	}
	return Read(path, data, vars, k)
}

// Read is Load for a scenario that is in memory; name stands for the file in
// messages.
func Read(name string, data []byte, vars map[string]string, k Kinds) (*File, error) {
	d := parse(name, data)
	f := &File{Spec: defaultSpec(), doc: d}
	if d.root == nil || !d.isA("Scenario") {
		return nil, d.problems.err()
	}
	d.substitute(vars)
	v, err := newValidator(ScenarioSchema(k, nil), k.scenario())
	if err != nil {
		return nil, err
	}
	v.validate(d)
	d.checkScenario()
	d.decode(f)
	if err := d.problems.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// TopologyFile is a topology file with the places of its values.
type TopologyFile struct {
	topology.File
	doc *document
}

// LoadTopology reads a topology file strictly; its errors are those of Load.
func LoadTopology(path string, k Kinds) (*TopologyFile, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("read topology: %w", err)
	}
	return ReadTopology(path, data, k)
}

// ReadTopology is LoadTopology for a topology that is in memory.
func ReadTopology(name string, data []byte, k Kinds) (*TopologyFile, error) {
	d := parse(name, data)
	f := &TopologyFile{doc: d}
	if d.root == nil || !d.isA("Topology") {
		return nil, d.problems.err()
	}
	v, err := newValidator(TopologySchema(k, nil), k.topology())
	if err != nil {
		return nil, err
	}
	v.validate(d)
	d.checkTopology()
	d.decode(&f.File)
	if err := d.problems.err(); err != nil {
		return nil, err
	}
	return f, nil
}

// isA tells whether the document is worth checking as that kind. For a file of
// the other kind everything else would be wrong too, and say nothing.
func (d *document) isA(kind string) bool {
	n := d.root.get("kind")
	switch {
	case d.root.shape != mapping:
		d.problem(d.root, "want a mapping with apiVersion, kind, metadata and spec")
	case kind == "Scenario" && n.str() == "Topology":
		d.problem(n, "this is a topology, not a scenario: give it with --topology")
	case kind == "Topology" && n.str() == "Scenario":
		d.problem(n, "this is a scenario, not a topology")
	default:
		return true
	}
	return false
}

// decode fills v from a document without problems.
func (d *document) decode(v any) {
	if len(d.problems) > 0 {
		return
	}
	b, err := json.Marshal(d.root.json())
	if err == nil {
		err = json.Unmarshal(b, v)
	}
	if err != nil {
		d.problem(d.root, "cannot be read: %v", err)
	}
}

// LoadEither reads a file as what it says it is: one of the two results is not
// nil. A file that says neither is read as a scenario.
func LoadEither(path string, vars map[string]string, k Kinds) (*File, *TopologyFile, error) {
	if data, err := os.ReadFile(path); err == nil {
		if d := parse(path, data); d.root.get("kind").str() == "Topology" {
			t, err := ReadTopology(path, data, k)
			return nil, t, err
		}
	}
	f, err := Load(path, vars, k)
	return f, nil, err
}
