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
	engine   engine
	semiSync bool
	// net is the third byte of the lab's loopback addresses.
	net int
	// rpo is the component's recovery point objective.
	rpo string
}

// members is how many database servers a lab has.
const members = 3

func definitions() []definition {
	ds := []definition{
		{
			Info:   Info{Name: "mysql", About: "MariaDB, asynchronous: a primary, two replicas, HAProxy in front."},
			engine: mariadb{}, net: 41, rpo: "5s",
		},
		{
			Info:   Info{Name: "mysql-semisync", About: "MariaDB, semi-synchronous (AFTER_SYNC): writes hang rather than get lost."},
			engine: mariadb{}, semiSync: true, net: 42, rpo: "0s",
		},
		{
			Info:   Info{Name: "mysql8", About: "Real MySQL (the system's own, else Debian's newest), asynchronous."},
			engine: mysqld{}, net: 43, rpo: "5s",
		},
	}
	for i := range ds {
		ds[i].Route = ds[i].address(0)
	}
	return ds
}

// address of the n-th server; 0 is the proxy.
func (d definition) address(n int) string { return fmt.Sprintf("127.0.%d.%d:3306", d.net, 10+n) }

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
