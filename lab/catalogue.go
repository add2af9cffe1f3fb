package lab

import (
	"errors"
	"fmt"
	"strings"
)

// Info describes a lab.
type Info struct {
	Name string `json:"name"`
	// About is one sentence for people.
	About string `json:"about"`
	// Route is host:port that clients connect to when the lab is up.
	Route string `json:"route"`
}

// definition is what a lab is made of.
type definition struct {
	Info
	maker
	// net is the third byte of the lab's loopback addresses.
	net int
}

// maker is a make of labs with its choices made.
type maker interface {
	// open says what the lab is made of; it reads and contacts nothing.
	open(l *lab) topologyLab
	// port is where clients connect to on the route's address.
	port() int
}

func definitions() []definition {
	ds := []definition{
		{
			Info:  Info{Name: "mysql", About: "MariaDB, asynchronous: a primary, two replicas, HAProxy in front."},
			maker: databaseMake{engine: mariadb{}, rpo: "5s"}, net: 41,
		},
		{
			Info:  Info{Name: "mysql-semisync", About: "MariaDB, semi-synchronous (AFTER_SYNC): writes hang rather than get lost."},
			maker: databaseMake{engine: mariadb{}, semiSync: true, rpo: "0s"}, net: 42,
		},
		{
			Info:  Info{Name: "mysql8", About: "Real MySQL (the system's own, else Debian's newest), asynchronous."},
			maker: databaseMake{engine: mysqld{}, rpo: "5s"}, net: 43,
		},
		{
			Info:  Info{Name: "llm", About: "Three simulated vendors of models, a Portkey gateway that falls back from one to the next."},
			maker: inPriority("automatic", portkey{}), net: 51,
		},
		{
			Info:  Info{Name: "llm-haproxy", About: "The same vendors behind HAProxy with health checks and backup servers."},
			maker: inPriority("automatic", haproxy{inOrder}), net: 52,
		},
		{
			Info:  Info{Name: "llm-manual", About: "The same vendors behind HAProxy, which asks the one that it is told to ask."},
			maker: inPriority("runner", haproxy{byHand}), net: 53,
		},
		{
			Info:  Info{Name: "llm-selfhosted", About: "Three instances of one self-hosted model, in turn, behind HAProxy with health checks."},
			maker: balanced(), net: 54,
		},
		{
			Info:  Info{Name: "kubernetes", About: "A Kubernetes cluster of two nodes with workloads and Chaos Mesh."},
			maker: kubernetesMake{zones: []string{"a", "b"}}, net: 61,
		},
	}
	for i := range ds {
		ds[i].Route = ds[i].address(0, ds[i].port())
		if r, ok := ds[i].maker.(interface{ route() string }); ok {
			ds[i].Route = r.route()
		}
	}
	return ds
}

// address of the n-th process; 0 is what clients connect to.
func (d definition) address(n, port int) string {
	return fmt.Sprintf("127.0.%d.%d:%d", d.net, 10+n, port)
}

// List describes all labs.
func List() []Info {
	var infos []Info
	for _, d := range definitions() {
		infos = append(infos, d.Info)
	}
	return infos
}

// ErrUnknown says that no lab has that name.
var ErrUnknown = errors.New("unknown lab")

func define(name string) (definition, error) {
	var known []string
	for _, d := range definitions() {
		if d.Name == name {
			return d, nil
		}
		known = append(known, d.Name)
	}
	return definition{}, fmt.Errorf("%w %q: known are %s", ErrUnknown, name, strings.Join(known, ", "))
}
