// Package topology knows what exists: sites, components, their members, who
// plays which role right now, how a member is controlled, and the routes that
// clients connect through.
package topology

import (
	"encoding/json"

	"firedrill/drills/spec"
)

// File is a topology file.
type File struct {
	// APIVersion is always "firedrill/v1".
	APIVersion string `json:"apiVersion" jsonschema:"enum=firedrill/v1"`
	// Kind is always "Topology".
	Kind     string `json:"kind" jsonschema:"enum=Topology"`
	Metadata Meta   `json:"metadata"`
	Spec     Spec   `json:"spec"`
}

// Meta names a file's object.
type Meta struct {
	// Name identifies the object in records and reports.
	Name string `json:"name" jsonschema:"pattern=^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"`
	// Description is free text for people.
	Description string `json:"description,omitempty"`
}

// Spec is what exists.
type Spec struct {
	// Network says where the runner must stand to reach the members.
	Network Network `json:"network,omitzero"`
	// Sites are the places that can be lost as a whole: data centres, zones.
	Sites []Site `json:"sites,omitempty"`
	// Components are the things that can fail and recover.
	Components []ComponentSpec `json:"components" jsonschema:"minItems=1"`
	// Routes are what clients connect through.
	Routes []RouteSpec `json:"routes,omitempty"`
}

// Network says where the runner must stand.
type Network struct {
	// Namespace is the path of a network namespace ("/run/netns/lab"). The runner
	// and everything that it starts enter it. Empty: the runner's own.
	Namespace string `json:"namespace,omitempty"`
}

// Site is a place that can be lost as a whole.
type Site struct {
	// Name is what members and targets call the site.
	Name string `json:"name"`
}

// Objectives are targets that belong to this deployment rather than to a
// scenario; a scenario's own targets win.
type Objectives struct {
	// RTO is the recovery time objective.
	RTO *spec.Duration `json:"rto,omitempty"`
	// RPO is the recovery point objective; 0s means that not one acknowledged
	// write may be lost.
	RPO *spec.Duration `json:"rpo,omitempty"`
	// Availability is the least share of requests, while the fault is in force, whose
	// answer begins (first token).
	Availability *float64 `json:"availability,omitempty" jsonschema:"minimum=0,maximum=1"`
	// Fallback is the least share of answers, while the fault is in force, that
	// comes from the member that is next in order.
	Fallback *float64 `json:"fallback,omitempty" jsonschema:"minimum=0,maximum=1"`
	// FirstTokenP95 is the longest time to the first token of 95 % of the answers
	// while the fault is in force.
	FirstTokenP95 *spec.Duration `json:"firstTokenP95,omitempty"`
	// Truncated is how many answers may break off and look like a success.
	Truncated *int `json:"truncated,omitempty" jsonschema:"minimum=0"`
	// WrongEmbeddings is how many embeddings may have another dimension or lie
	// elsewhere than before.
	WrongEmbeddings *int `json:"wrongEmbeddings,omitempty" jsonschema:"minimum=0"`
	// AnsweredTwice is how many requests may be answered, and billed, more than once.
	AnsweredTwice *int `json:"answeredTwice,omitempty" jsonschema:"minimum=0"`
	// FailBack is how soon after the fault's end the member of first priority
	// answers again, for good.
	FailBack *spec.Duration `json:"failBack,omitempty"`
}

// ComponentSpec is one thing that can fail and recover: a database cluster, a
// service.
type ComponentSpec struct {
	// Name is what scenarios, records and reports call the component.
	Name string `json:"name"`
	// Kind says what it is ("mysql", "service").
	Kind string `json:"kind"`
	// Failover says who heals it: the component itself (automatic), firedrill
	// (runner), or nobody (none).
	Failover string `json:"failover" jsonschema:"enum=automatic,enum=runner,enum=none"`
	// Objectives are the targets of this deployment, where the scenario has none.
	Objectives Objectives `json:"objectives,omitzero"`
	// Members are the instances. Those of the kinds kubernetes and kubernetes-nodes
	// come and go by themselves and are found: such a component has none here.
	Members []MemberSpec `json:"members,omitempty" jsonschema:"minItems=1"`
	// FaultPoint stands on the wire between the members and what asks them, for
	// faults in what they say (llm-fault, http-fault).
	FaultPoint *FaultPointSpec `json:"faultPoint,omitempty"`
	// With is what the kind needs beyond that.
	With json.RawMessage `json:"with,omitempty"`
}

// MemberSpec is one instance of a component.
type MemberSpec struct {
	// Name is what targets, records and reports call the member; unique in its
	// component.
	Name string `json:"name"`
	// Site is where it stands.
	Site string `json:"site,omitempty"`
	// Address is host:port as the runner reaches it.
	Address string `json:"address"`
	// Control says how it is stopped and started; without it no fault that needs
	// to can be injected.
	Control *ControlSpec `json:"control,omitempty"`
	// User is the operating system user (name or number) that the member's
	// processes run as; network faults on a shared host tell members apart by it.
	User string `json:"user,omitempty"`
}

// FaultPointSpec is a reverse proxy of firedrill's own (firedrill faultpoint) that
// passes everything on until a fault says otherwise.
type FaultPointSpec struct {
	// Socket is the path of the Unix socket that it is controlled through.
	Socket string `json:"socket"`
	// Listen is where what asks a member connects to instead: host:port by the
	// member's name.
	Listen map[string]string `json:"listen"`
	// Upstream gives the URL of a member that is not http://ADDRESS
	// ("https://api.example.com"), by the member's name.
	Upstream map[string]string `json:"upstream,omitempty"`
	// Control says how the process is started again when it died.
	Control *ControlSpec `json:"control,omitempty"`
	// User is the operating system user that it runs as.
	User string `json:"user,omitempty"`
	// TLS makes it listen with TLS, for every member; faults of mode tls need that.
	TLS *FaultPointTLS `json:"tls,omitempty"`
	// DNS makes it a name server as well, for those who ask members by name; faults
	// of mode dns need that.
	DNS *FaultPointDNS `json:"dns,omitempty"`
}

// FaultPointTLS is what a fault point shows to those who connect, and what
// firedrill's own requests through it trust. It speaks HTTP/1.1 with them.
type FaultPointTLS struct {
	// Cert is the path of its certificate (PEM), with what leads from there to the one
	// that clients trust. A file that changes is read again.
	Cert string `json:"cert"`
	// Key is the path of the certificate's private key (PEM).
	Key string `json:"key"`
	// CA is the path of the certificates (PEM) that firedrill itself trusts; default:
	// the system's, and Cert.
	CA string `json:"ca,omitempty"`
	// ServerName is a name that the certificate has; default: the member's in
	// dns.names, else the host that the point listens on.
	ServerName string `json:"serverName,omitempty"`
}

// FaultPointDNS is the name server that a fault point is for those who ask its
// members: it answers over UDP and TCP, and its answers are good for 1 s.
type FaultPointDNS struct {
	// Listen is host:port; a port below 1024 is for root.
	Listen string `json:"listen"`
	// Names are those of members: they resolve to where the fault point listens for
	// the member, which must be an IP address. By the member's name.
	Names map[string]string `json:"names"`
	// Forward is host:port of the name server that is asked for all other names;
	// default: they are refused.
	Forward string `json:"forward,omitempty"`
}

// ControlSpec says how a member is stopped and started.
type ControlSpec struct {
	// Kind is "process", "systemd", "kubernetes" or "exec".
	Kind string `json:"kind"`
	// With are the parameters of the kind.
	With json.RawMessage `json:"with,omitempty"`
}

// RouteSpec is what clients connect through to reach a component.
type RouteSpec struct {
	// Name is what probes, records and reports call the route.
	Name string `json:"name"`
	// Component is the component behind the route.
	Component string `json:"component"`
	// Kind says how the route is switched: "haproxy", "exec", or "fixed" if it
	// cannot be.
	Kind string `json:"kind"`
	// Address is host:port as clients connect to it.
	Address string `json:"address"`
	// Serves is the role that the route leads to.
	Serves string `json:"serves,omitempty" jsonschema:"enum=primary,enum=replica,enum=any"`
	// With are the parameters of the kind.
	With json.RawMessage `json:"with,omitempty"`
}
