package lab

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"
)

// kubernetesMake is a cluster with one node in each of these zones.
type kubernetesMake struct{ zones []string }

// The addresses of the cluster, all in namespaces of the lab's own.
const (
	kubeHost     = "10.61.0.1" // where the control plane and the runner stand
	kubeNodes    = "10.61.0.%d"
	kubePods     = "10.61.%d.0/24"
	kubeAllPods  = "10.61.16.0/20"
	kubeServices = "10.61.128.0/20"
	kubeFirst    = "10.61.128.1" // the Service of the API server
	// The Services of the workloads api, worker, web and bare.
	kubeShop   = "10.61.128.80"
	kubeWorker = "10.61.128.81"
	kubeWeb    = "10.61.128.82"
	kubeBare   = "10.61.128.83"
)

// The ports that processes of the cluster listen on.
const (
	apiPort     = 6443
	etcdPort    = 2379
	webhookPort = 9443
	kubeletPort = 10250
	proxyPort   = 10256
	managerPort = 10257
	schedPort   = 10259
	daemonPort  = 31767
	servicePort = 80   // of every workload's Service
	podPort     = 8080 // of every workload's pods
)

func (kubernetesMake) port() int { return servicePort }

// route is where clients of the first workload connect to.
func (kubernetesMake) route() string { return workloads()[0].service() }

// kubernetes is a cluster of real Kubernetes components: a control plane in the
// lab's network namespace, and nodes that have a network namespace and a mount
// namespace each, so that what they mount and write at fixed places is theirs alone.
type kubernetes struct {
	*lab
	nodes []node
}

// node is a machine of the cluster, as far as one kernel can be several.
type node struct {
	name, zone string
	// ip is the node's address, pods the network of its pods.
	ip, pods string
	// namespace and mounts are the paths of its network and its mount namespace.
	namespace, mounts string
	// dir has what it mounts in place of the host's own directories.
	dir string
}

func (m kubernetesMake) open(l *lab) topologyLab {
	k := &kubernetes{lab: l}
	for i, zone := range m.zones {
		k.nodes = append(k.nodes, node{
			name: "node-" + zone, zone: zone, ip: fmt.Sprintf(kubeNodes, 11+i), pods: fmt.Sprintf(kubePods, 17+i),
			namespace: l.namespace + "-" + zone, mounts: filepath.Join(l.places.servers, "mounts", zone),
			dir: filepath.Join(l.places.servers, "node-"+zone),
		})
	}
	return k
}

func (k *kubernetes) packages() map[string]string {
	need := map[string]string{
		"containerd": "containerd", "ctr": "containerd", "runc": "runc", cniPlugins + "/ptp": "containernetworking-plugins",
		"conntrack": "conntrack", "ipset": "ipset", "iptables": "iptables", "nsenter": "util-linux", "unshare": "util-linux",
	}
	if !k.built() {
		need["go"], need["cc"] = "golang (1.26 or newer)", "gcc libc6-dev"
	}
	return need
}

func (k *kubernetes) fetch(ctx context.Context) error {
	if k.namespace == "" {
		return errors.New("a cluster needs root and the right to make network namespaces (CAP_SYS_ADMIN):" +
			" run firedrill as root")
	}
	if k.built() {
		return nil
	}
	k.say("building Kubernetes, etcd and Chaos Mesh from their Go modules, 10 minutes on two cores, this once")
	return buildKubernetes(ctx, k.cache, k.progress)
}

func (k *kubernetes) users() map[string]int {
	users := map[string]int{}
	for _, p := range k.processes() {
		users[p.name] = p.uid
	}
	return users
}

// clusterLimit bounds the start of a cluster; it takes half a minute.
const clusterLimit = 4 * time.Minute

// repairLimit: a node that comes back needs longer than a database server.
func (*kubernetes) repairLimit() time.Duration { return clusterLimit }

// create returns once every pod is ready.
func (k *kubernetes) create(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, clusterLimit)
	defer cancel()
	if err := k.configure(); err != nil {
		return err
	}
	if err := k.start(ctx); err != nil {
		return err
	}
	k.say("waiting for nodes and pods to be ready")
	return k.settle(ctx)
}

// start starts what does not run, in the order in which it is needed, and makes the
// objects that are missing.
func (k *kubernetes) start(ctx context.Context) error {
	if err := k.makeNetwork(ctx); err != nil {
		return err
	}
	if err := k.makeMachines(ctx); err != nil {
		return err
	}
	k.say("starting etcd and the control plane")
	if err := k.startAll(ctx, k.etcd()); err != nil {
		return err
	}
	if err := k.startAll(ctx, k.apiServer()); err != nil {
		return err
	}
	k.say("starting %d nodes", len(k.nodes))
	if err := concurrently(
		func() error { return k.startAll(ctx, k.controllers()...) },
		func() error { return k.startNodes(ctx) },
		func() error { return k.installChaos(ctx) },
	); err != nil {
		return err
	}
	// Not before every node takes pods: they would all be on the first.
	if err := k.waitForNodes(ctx); err != nil {
		return err
	}
	if err := k.installShop(ctx); err != nil {
		return err
	}
	k.say("starting Chaos Mesh")
	if err := k.startAll(ctx, k.chaosController()); err != nil {
		return err
	}
	k.say("kubeconfig: %s", k.kubeconfig())
	return nil
}

// concurrently calls all of them at once and returns what went wrong.
func concurrently(calls ...func() error) error {
	errs := make(chan error)
	for _, call := range calls {
		go func() { errs <- call() }()
	}
	var all []error
	for range calls {
		all = append(all, <-errs)
	}
	return errors.Join(all...)
}

// startAll starts processes at the same time.
func (k *kubernetes) startAll(ctx context.Context, ps ...kubeProcess) error {
	var calls []func() error
	for _, p := range ps {
		calls = append(calls, func() error {
			return p.start(ctx, func() error { return p.healthy(ctx) })
		})
	}
	return concurrently(calls...)
}

// startNodes makes each node a machine with images and starts what runs there.
func (k *kubernetes) startNodes(ctx context.Context) error {
	var calls []func() error
	for _, n := range k.nodes {
		calls = append(calls, func() error {
			if err := k.startAll(ctx, k.containerd(n)); err != nil {
				return err
			}
			if err := k.importImages(ctx, n); err != nil {
				return err
			}
			return k.startAll(ctx, k.kubelet(n), k.nodeProxy(n), k.chaosDaemon(n))
		})
	}
	return concurrently(calls...)
}
