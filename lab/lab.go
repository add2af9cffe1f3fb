// Package lab starts real topologies as local processes, to learn with, to show
// and to test against: database servers that replicate with the proxy in front of
// them, simulated vendors of language models behind a real gateway, and a Kubernetes
// cluster. As root
// every process has a user of its own and every lab a network namespace of its
// own, so that no drill in it can reach the host. Without root all listen on the
// host's loopback addresses, and network faults, which need the namespace, are not
// available; a cluster needs root.
package lab

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"time"

	"firedrill/drills/topology"
)

// lab is one lab under one home: what is the same for labs of every make.
type lab struct {
	definition
	places
	home     string
	progress func(string)
	make     topologyLab
}

// topologyLab is what differs between makes of labs; databases, models and
// kubernetes implement it. Whoever changes something holds the home's lock.
type topologyLab interface {
	// packages gives the Debian package of each program that must be installed.
	packages() map[string]string
	// fetch gets what no package has, into the cache.
	fetch(ctx context.Context) error
	// users gives the user id of each process, by the process's name.
	users() map[string]int
	// create starts everything in places that are made and empty.
	create(ctx context.Context) error
	// repair puts right what was created before. An error means that only building
	// anew is left.
	repair(ctx context.Context) error
	// look fills in what runs and what is wrong with it, and changes nothing.
	look(ctx context.Context, st *Status)
	// describe returns what the topology file says of it.
	describe() (topology.Spec, error)
}

// cleaner is a make of labs that has more than processes with their files in the
// lab's directories, and one namespace.
type cleaner interface {
	// clean ends and removes the rest. It is idempotent and needs nothing to be whole.
	clean(ctx context.Context) error
}

// patient is a make of labs that takes longer to be put right than others.
type patient interface {
	// repairLimit bounds a repair.
	repairLimit() time.Duration
}

// open says what the lab under home is made of; it reads and contacts nothing.
func open(home, name string, progress func(string)) (*lab, error) {
	d, err := define(name)
	if err != nil {
		return nil, err
	}
	p, err := placesOf(home, name)
	if err != nil {
		return nil, err
	}
	l := &lab{definition: d, places: p, home: home, progress: progress}
	l.make = d.open(l)
	return l, nil
}

// socketsOf is where a process keeps its socket: with its other files, unless
// their paths are too long.
func (l *lab) socketsOf(process string) string {
	if l.places.sockets == l.places.servers {
		return ""
	}
	return filepath.Join(l.places.sockets, process)
}

// say tells whoever waits.
func (l *lab) say(format string, args ...any) {
	if l.progress != nil {
		l.progress(fmt.Sprintf(format, args...))
	}
}

func (l *lab) topologyFile() string { return filepath.Join(l.state, "topology.yaml") }

// made tells whether the lab was brought up once; the topology file is written
// last.
func (l *lab) made() bool {
	_, err := os.Stat(l.topologyFile())
	return err == nil
}

// checkPackages names everything that is missing at once.
func (l *lab) checkPackages() error {
	need := l.make.packages()
	if l.namespace != "" {
		need["ip"], need["nft"] = "iproute2", "nftables"
	}
	var lacks []string
	for program, pkg := range need {
		if _, err := lookSbin(program); err != nil {
			lacks = append(lacks, pkg)
		}
	}
	if len(lacks) == 0 {
		return nil
	}
	slices.Sort(lacks)
	return missing(slices.Compact(lacks)...)
}
