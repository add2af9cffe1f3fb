package scenarios

import (
	"encoding/json"
	"time"

	"firedrill/drills/spec"
)

// APIVersion is the version of the files that this package reads.
const APIVersion = "firedrill/v1"

// The defaults are written once, here: decoding starts from them, and the schema
// and the reference show them.
func defaultSpec() Spec {
	return Spec{
		Baseline: spec.Duration(5 * time.Second),
		Stable:   Stable{For: spec.Duration(3 * time.Second), Samples: 10, Share: 0.9},
		Limits:   Limits{Members: 1, Sites: 1, Duration: spec.Duration(15 * time.Minute)},
	}
}

func defaultProbe() Probe {
	return Probe{
		Every:   spec.Duration(50 * time.Millisecond),
		Timeout: spec.Duration(time.Second),
		Mode:    "Continuous",
	}
}

// UnmarshalJSON decodes a probe over the defaults.
func (p *Probe) UnmarshalJSON(b []byte) error {
	type plain Probe
	v := plain(defaultProbe())
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*p = Probe(v)
	return nil
}
