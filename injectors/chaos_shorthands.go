package injectors

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"firedrill/drills/spec"
)

// ChaosPodKill deletes pods.
type ChaosPodKill struct {
	// Grace is how long the pods' processes have to end, in whole seconds; 0s: they
	// are killed.
	Grace spec.Duration `json:"grace,omitempty"`
}

func (k *ChaosPodKill) manifest() (chaosManifest, error) {
	if k.Grace%spec.Duration(time.Second) != 0 {
		return chaosManifest{}, fmt.Errorf("podKill.grace: %s: Kubernetes knows whole seconds only", k.Grace)
	}
	m := map[string]any{"action": "pod-kill"}
	if k.Grace > 0 {
		m["gracePeriod"] = int64(k.Grace.Std() / time.Second)
	}
	return chaosManifest{kind: "PodChaos", spec: m}, nil
}

// ChaosPodFailure has no parameters: all containers are stopped.
type ChaosPodFailure struct{}

func (*ChaosPodFailure) manifest() (chaosManifest, error) {
	return chaosManifest{kind: "PodChaos", spec: map[string]any{"action": "pod-failure"}}, nil
}

// ChaosPartition says whom the pods are cut off from.
type ChaosPartition struct {
	// From says from whom: "everybody", the kubelet and the runner included, or
	// "peers", the component's other pods or those that the fault names as its peer.
	// Default: everybody, or with externalTargets only those.
	From string `json:"from,omitempty" jsonschema:"enum=everybody,enum=peers"`
	// Direction says which packets are lost: those that the pods send ("to"), those
	// that they are sent ("from"), or both, which is the default.
	Direction string `json:"direction,omitempty" jsonschema:"enum=to,enum=from,enum=both"`
	// ExternalTargets are addresses, networks (10.0.0.0/8) and names outside the
	// cluster to be cut off from.
	ExternalTargets []string `json:"externalTargets,omitempty"`
}

func (p *ChaosPartition) manifest() (chaosManifest, error) {
	m := map[string]any{"action": "partition", "direction": "both"}
	if p.Direction != "" {
		if !slices.Contains([]string{"to", "from", "both"}, p.Direction) {
			return chaosManifest{}, fmt.Errorf("networkPartition.direction: %q: want to, from or both", p.Direction)
		}
		m["direction"] = p.Direction
	}
	switch p.From {
	case "", "peers":
	case "everybody":
		if len(p.ExternalTargets) > 0 {
			return chaosManifest{}, errors.New("networkPartition: from everybody and externalTargets exclude each other")
		}
	default:
		return chaosManifest{}, fmt.Errorf("networkPartition.from: %q: want everybody or peers", p.From)
	}
	putStrings(m, "externalTargets", p.ExternalTargets)
	return chaosManifest{kind: "NetworkChaos", spec: m, peers: p.From == "peers"}, nil
}

// ChaosDelay says how late packets are.
type ChaosDelay struct {
	// Latency is how late each packet is.
	Latency spec.Duration `json:"latency"`
	// Jitter is by how much the latency varies.
	Jitter spec.Duration `json:"jitter,omitempty"`
	// Correlation is how much a packet's latency depends on that of the one before, in
	// percent.
	Correlation float64 `json:"correlation,omitempty" jsonschema:"minimum=0,maximum=100"`
}

func (d *ChaosDelay) manifest() (chaosManifest, error) {
	if d.Latency <= 0 {
		return chaosManifest{}, errors.New("networkDelay.latency: must be longer than 0s")
	}
	delay := map[string]any{"latency": chaosTime(d.Latency)}
	if d.Jitter > 0 {
		delay["jitter"] = chaosTime(d.Jitter)
	}
	if d.Correlation > 0 {
		delay["correlation"] = fmt.Sprint(d.Correlation)
	}
	return chaosManifest{kind: "NetworkChaos", spec: map[string]any{"action": "delay", "delay": delay}}, nil
}

// chaosTime writes a length of time with one unit only: Chaos Mesh reads no 1m30s.
func chaosTime(d spec.Duration) string { return fmt.Sprintf("%dus", d.Std().Microseconds()) }

// ChaosDNSError says which names cannot be resolved.
type ChaosDNSError struct {
	// Patterns are the names, with ? for any letter, and * at the end; default: all.
	Patterns []string `json:"patterns,omitempty"`
	// Containers are the names of the containers; default: the first of each pod.
	Containers []string `json:"containers,omitempty"`
}

func (d *ChaosDNSError) manifest() (chaosManifest, error) {
	for _, p := range d.Patterns {
		if i := strings.Index(p, "*"); i >= 0 && i < len(p)-1 {
			return chaosManifest{}, fmt.Errorf("dnsError.patterns: %q: * may stand at the end only", p)
		}
	}
	m := map[string]any{"action": "error"}
	putStrings(m, "patterns", d.Patterns)
	putStrings(m, "containerNames", d.Containers)
	return chaosManifest{kind: "DNSChaos", spec: m}, nil
}

// ChaosHTTPAbort says which requests are cut.
type ChaosHTTPAbort struct {
	// Port is where the pods listen.
	Port int `json:"port" jsonschema:"minimum=1,maximum=65535"`
	// On is when the connection is cut: instead of the Request, or instead of the
	// Response; default: Request.
	On string `json:"on,omitempty" jsonschema:"enum=Request,enum=Response"`
	// Path is the path of the requests that are cut, with * for anything; default: all.
	Path string `json:"path,omitempty"`
	// Method is their method; default: all.
	Method string `json:"method,omitempty"`
}

func (a *ChaosHTTPAbort) manifest() (chaosManifest, error) {
	if a.Port < 1 || a.Port > 65535 {
		return chaosManifest{}, fmt.Errorf("httpAbort.port: %d: want 1 to 65535", a.Port)
	}
	m := map[string]any{"target": "Request", "port": int64(a.Port), "abort": true}
	for key, value := range map[string]string{"target": a.On, "path": a.Path, "method": a.Method} {
		if value != "" {
			m[key] = value
		}
	}
	return chaosManifest{kind: "HTTPChaos", spec: m}, nil
}

// ChaosIO says what happens to which files; either latency or errno.
type ChaosIO struct {
	// VolumePath is where the volume is mounted in the container.
	VolumePath string `json:"volumePath"`
	// Latency is how late each operation is.
	Latency spec.Duration `json:"latency,omitempty"`
	// Errno is the error that each operation ends with (5 is EIO, 28 is ENOSPC).
	Errno int `json:"errno,omitempty" jsonschema:"minimum=0"`
	// Path is a pattern of the files (/data/**/*); default: all of the volume.
	Path string `json:"path,omitempty"`
	// Methods are the operations (READ, WRITE, FSYNC…); default: all.
	Methods []string `json:"methods,omitempty"`
	// Percent is how many of them are hit; 0: all.
	Percent int `json:"percent,omitempty" jsonschema:"minimum=0,maximum=100"`
	// Containers are the names of the containers; default: the first of each pod.
	Containers []string `json:"containers,omitempty"`
}

func (i *ChaosIO) manifest() (chaosManifest, error) {
	if (i.Latency > 0) == (i.Errno > 0) {
		return chaosManifest{}, errors.New("io: want either latency or errno")
	}
	if i.VolumePath == "" {
		return chaosManifest{}, errors.New("io.volumePath: is needed")
	}
	m := map[string]any{"action": "latency", "volumePath": i.VolumePath}
	if i.Errno > 0 {
		m["action"], m["errno"] = "fault", int64(i.Errno)
	} else {
		m["delay"] = chaosTime(i.Latency)
	}
	if i.Path != "" {
		m["path"] = i.Path
	}
	if i.Percent > 0 {
		m["percent"] = int64(i.Percent)
	}
	putStrings(m, "methods", i.Methods)
	putStrings(m, "containerNames", i.Containers)
	return chaosManifest{kind: "IOChaos", spec: m}, nil
}

// ChaosStress says what is used up; cpu, memory, or both.
type ChaosStress struct {
	// CPU uses up the processors.
	CPU *ChaosStressCPU `json:"cpu,omitempty"`
	// Memory uses up the memory.
	Memory *ChaosStressMemory `json:"memory,omitempty"`
	// Containers are the names of the containers; default: the first of each pod.
	Containers []string `json:"containers,omitempty"`
}

// ChaosStressCPU says how much of the processors.
type ChaosStressCPU struct {
	// Workers is how many processes do it; default: 1.
	Workers int `json:"workers,omitempty" jsonschema:"minimum=0"`
	// Load is how many percent of a processor each uses; 0: all.
	Load int `json:"load,omitempty" jsonschema:"minimum=0,maximum=100"`
}

// ChaosStressMemory says how much of the memory.
type ChaosStressMemory struct {
	// Workers is how many processes do it; default: 1.
	Workers int `json:"workers,omitempty" jsonschema:"minimum=0"`
	// Size is how much each uses, in bytes with a unit (256MB) or as a share (50%).
	Size string `json:"size"`
}

func (s *ChaosStress) manifest() (chaosManifest, error) {
	stressors := map[string]any{}
	if c := s.CPU; c != nil {
		cpu := map[string]any{"workers": int64(max(1, c.Workers))}
		if c.Load > 0 {
			cpu["load"] = int64(c.Load)
		}
		stressors["cpu"] = cpu
	}
	if m := s.Memory; m != nil {
		if m.Size == "" {
			return chaosManifest{}, errors.New("stress.memory.size: is needed")
		}
		stressors["memory"] = map[string]any{"workers": int64(max(1, m.Workers)), "size": m.Size}
	}
	if len(stressors) == 0 {
		return chaosManifest{}, errors.New("stress: want cpu, memory, or both")
	}
	m := map[string]any{"stressors": stressors}
	putStrings(m, "containerNames", s.Containers)
	return chaosManifest{kind: "StressChaos", spec: m}, nil
}

// ChaosTime says by how much clocks are wrong.
type ChaosTime struct {
	// Offset is by how much they are ahead (10m), or behind (-10m).
	Offset string `json:"offset"`
	// Clocks are the clocks (CLOCK_MONOTONIC…); default: CLOCK_REALTIME.
	Clocks []string `json:"clocks,omitempty"`
	// Containers are the names of the containers; default: the first of each pod.
	Containers []string `json:"containers,omitempty"`
}

func (c *ChaosTime) manifest() (chaosManifest, error) {
	if d, err := time.ParseDuration(c.Offset); err != nil || d == 0 {
		return chaosManifest{}, fmt.Errorf("time.offset: %q: want a length of time like 10m or -1.5h", c.Offset)
	}
	m := map[string]any{"timeOffset": c.Offset}
	putStrings(m, "clockIds", c.Clocks)
	putStrings(m, "containerNames", c.Containers)
	return chaosManifest{kind: "TimeChaos", spec: m}, nil
}

func putStrings(m map[string]any, key string, list []string) {
	if len(list) == 0 {
		return
	}
	all := make([]any, len(list))
	for i, s := range list {
		all[i] = s
	}
	m[key] = all
}
