// Package lab starts real topologies as local processes, to learn with, to show
// and to test against: database servers that replicate, and the proxy in front
// of them. As root every server has a user of its own and every lab a network
// namespace of its own, so that no drill in it can reach the host. Without root
// the servers listen on the host's loopback addresses, and network faults, which
// need the namespace, are not available.
package lab

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
)

// lab is one lab under one home.
type lab struct {
	definition
	places
	home     string
	accounts Accounts
	servers  []*Server
	proxy    *HAProxy
	progress func(string)
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
	for n := 1; n <= members; n++ {
		member := fmt.Sprintf("db-%d", n)
		l.servers = append(l.servers, &Server{
			Name: member, Dir: filepath.Join(p.servers, member), Sockets: l.socketsOf(member),
			Address: d.address(n), ID: d.net*100 + n, UID: UserOf(n), Namespace: p.namespace,
			SemiSync: d.semiSync, Cache: p.cache, engine: d.engine,
		})
	}
	l.proxy = NewHAProxy(filepath.Join(p.servers, "proxy"), d.Route, l.servers...)
	l.proxy.Sockets, l.proxy.Namespace = l.socketsOf("proxy"), p.namespace
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

func (l *lab) secretFile(name string) string { return filepath.Join(l.state, "secrets", name) }

// made tells whether the lab was brought up once; the topology file is written
// last.
func (l *lab) made() bool {
	_, err := os.Stat(l.topologyFile())
	return err == nil
}

// checkPackages names everything that is missing at once.
func (l *lab) checkPackages() error {
	need := map[string]string{"haproxy": "haproxy"}
	if l.engine == (mariadb{}) {
		need["mariadbd"] = "mariadb-server"
	}
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
	return missing(lacks...)
}

// each does something with all servers at the same time.
func (l *lab) each(ctx context.Context, do func(context.Context, *Server) error) error {
	errs := make([]error, len(l.servers))
	done := make(chan struct{})
	for i, s := range l.servers {
		go func() {
			errs[i] = do(ctx, s)
			done <- struct{}{}
		}()
	}
	for range l.servers {
		<-done
	}
	return errors.Join(errs...)
}
