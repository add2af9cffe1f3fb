package lab

import (
	"encoding/json"
	"fmt"

	"github.com/goccy/go-yaml"
	"github.com/google/renameio/v2"

	"firedrill/drills/topology"
)

// header goes in front of the topology file.
const header = `# Written by firedrill lab up; gone with firedrill lab down.
# Secrets are referenced, never written here.
`

// writeTopology writes the topology file, all of it or none.
func (l *lab) writeTopology() error {
	f, err := l.file()
	if err != nil {
		return fmt.Errorf("describe topology: %w", err)
	}
	b, err := json.Marshal(f)
	if err != nil {
		return fmt.Errorf("encode topology: %w", err)
	}
	text, err := yaml.JSONToYAML(b)
	if err != nil {
		return fmt.Errorf("encode topology: %w", err)
	}
	if err := renameio.WriteFile(l.topologyFile(), append([]byte(header), text...), 0o600); err != nil {
		return fmt.Errorf("write topology: %w", err)
	}
	return nil
}

// TopologyName is the name of a lab's topology.
func TopologyName(lab string) string { return "lab-" + lab }

func (l *lab) file() (topology.File, error) {
	s, err := l.make.describe()
	if err != nil {
		return topology.File{}, err
	}
	s.Network = topology.Network{Namespace: l.namespace}
	return topology.File{
		APIVersion: "firedrill/v1", Kind: "Topology",
		Metadata: topology.Meta{Name: TopologyName(l.Name), Description: l.About}, Spec: s,
	}, nil
}
