package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"

	"github.com/invopop/jsonschema"

	"firedrill/scenarios"
)

// generate returns every generated file by its path below the module, which must
// be the current directory.
func generate(k scenarios.Kinds) (map[string][]byte, error) {
	c, err := comments("scenarios", "drills", "injectors", "probes")
	if err != nil {
		return nil, err
	}
	scenario, topology := scenarios.ScenarioSchema(k, c), scenarios.TopologySchema(k, c)
	files := map[string][]byte{
		"docs/reference/scenario.md": page("Scenario files", scenarioIntro, scenario),
		"docs/reference/topology.md": page("Topology files", topologyIntro, topology),
		"docs/reference/kinds.md":    kindsPage(append(scenarios.Describe(scenario), scenarios.Describe(topology)...)),
	}
	for name, s := range map[string]*jsonschema.Schema{"scenario": scenario, "topology": topology} {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		if err := e.Encode(s); err != nil {
			return nil, fmt.Errorf("encode schema %s: %w", name, err)
		}
		files["scenarios/schema/"+name+".json"] = b.Bytes()
	}
	return files, nil
}

// comments reads the doc comments of the packages below some directories.
func comments(dirs ...string) (scenarios.Comments, error) {
	var r jsonschema.Reflector
	for _, dir := range dirs {
		if _, err := os.Stat(dir); err != nil {
			return nil, fmt.Errorf("read comments: %w: run in the directory of the module", err)
		}
		if err := r.AddGoComments("firedrill", dir, jsonschema.WithFullComment()); err != nil {
			return nil, fmt.Errorf("read comments of %s: %w", dir, err)
		}
	}
	return r.CommentMap, nil
}
