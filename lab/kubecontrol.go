package lab

import (
	"context"
	"crypto/x509/pkix"
	"fmt"
	"net/http"
	"path/filepath"
	"strconv"
	"strings"
)

// kubeProcess is a component of the cluster as a process.
type kubeProcess struct {
	process
	// healthy returns nil once it serves.
	healthy func(ctx context.Context) error
}

// The files that processes find in their directories. What a process is found by
// ends in .cfg.
const (
	accessFile  = "kubeconfig.cfg"
	tlsCertFile = "tls.crt"
	tlsKeyFile  = "tls.key"
	kubeCAFile  = "ca.crt"
)

// local is the address of a process that only the lab's own namespace reaches.
func (k *kubernetes) local(n, port int) string { return k.address(n, port) }

// processes are all of them, in the order in which they need each other.
func (k *kubernetes) processes() []kubeProcess {
	all := append([]kubeProcess{k.etcd(), k.apiServer()}, k.controllers()...)
	for _, n := range k.nodes {
		all = append(all, k.containerd(n), k.kubelet(n), k.nodeProxy(n), k.chaosDaemon(n))
	}
	return append(all, k.chaosController())
}

// controllers are what of the control plane only talks to the API server, and the
// proxy that makes Services reachable from where the runner stands.
func (k *kubernetes) controllers() []kubeProcess {
	return []kubeProcess{k.controllerManager(), k.scheduler(), k.serviceProxy()}
}

// component fills in where a process of the control plane is at home. user 0 is the
// caller, who is root.
func (k *kubernetes) component(name, address string, user int, argv ...string) kubeProcess {
	p := kubeProcess{process: process{name: name, address: address, dir: k.dirOf(name), namespace: k.namespace, argv: argv}}
	if user > 0 {
		p.uid = UserOf(user)
	}
	return p
}

func (k *kubernetes) dirOf(process string) string { return filepath.Join(k.places.servers, process) }

func (k *kubernetes) etcd() kubeProcess {
	p := k.component("etcd", k.local(1, etcdPort), 1,
		k.program(etcdPart, "etcd"), "--config-file="+filepath.Join(k.dirOf("etcd"), "etcd.cfg"))
	p.healthy = func(ctx context.Context) error {
		return k.answers(ctx, k.namespace, "http://"+p.address+"/health")
	}
	return p
}

// etcdConfig: nothing here must survive the machine.
func (k *kubernetes) etcdConfig() string {
	return fmt.Sprintf(`name: lab
data-dir: %s
listen-client-urls: http://%[2]s
advertise-client-urls: http://%[2]s
listen-peer-urls: http://%[3]s
initial-advertise-peer-urls: http://%[3]s
initial-cluster: lab=http://%[3]s
unsafe-no-fsync: true
log-level: warn
`, filepath.Join(k.dirOf("etcd"), "data"), k.local(1, etcdPort), k.local(1, etcdPort+1))
}

// apiServer: the toleration of lost nodes is 10 s instead of Kubernetes' 300 s; see
// controllerManager.
func (k *kubernetes) apiServer() kubeProcess {
	const name = "kube-apiserver"
	in := func(file string) string { return filepath.Join(k.dirOf(name), file) }
	p := k.component(name, fmt.Sprintf("%s:%d", kubeHost, apiPort), 2, k.program(kubePart, name),
		"--bind-address="+kubeHost, "--advertise-address="+kubeHost, "--secure-port="+strconv.Itoa(apiPort),
		"--etcd-servers=http://"+k.local(1, etcdPort), "--service-cluster-ip-range="+kubeServices,
		"--tls-cert-file="+in(tlsCertFile), "--tls-private-key-file="+in(tlsKeyFile), "--client-ca-file="+in(kubeCAFile),
		"--token-auth-file="+in("tokens.cfg"), "--authorization-mode=Node,RBAC", "--enable-admission-plugins=NodeRestriction",
		"--service-account-issuer=https://kubernetes.default.svc", "--service-account-key-file="+in("accounts.pub"),
		"--service-account-signing-key-file="+in("accounts.key"),
		"--kubelet-client-certificate="+in("kubelet.crt"), "--kubelet-client-key="+in("kubelet.key"),
		"--kubelet-certificate-authority="+in(kubeCAFile), "--kubelet-preferred-address-types=InternalIP",
		"--default-not-ready-toleration-seconds=10", "--default-unreachable-toleration-seconds=10",
		"--allow-privileged=true", "--profiling=false")
	p.healthy = func(ctx context.Context) error { return k.call(ctx, http.MethodGet, "/readyz", nil, nil) }
	return p
}

// controllerManager notices within 16 s, instead of Kubernetes' 50 s, that a node
// is lost.
func (k *kubernetes) controllerManager() kubeProcess {
	const name = "kube-controller-manager"
	in := func(file string) string { return filepath.Join(k.dirOf(name), file) }
	return k.watcher(name, k.local(2, managerPort), 3,
		"--use-service-account-credentials=true", "--service-account-private-key-file="+in("accounts.key"),
		"--root-ca-file="+in(kubeCAFile), "--cluster-cidr="+kubeAllPods, "--allocate-node-cidrs=false",
		"--node-monitor-period=2s", "--node-monitor-grace-period=16s")
}

func (k *kubernetes) scheduler() kubeProcess {
	return k.watcher("kube-scheduler", k.local(3, schedPort), 4)
}

// watcher is a component that serves nothing but its health.
func (k *kubernetes) watcher(name, address string, user int, options ...string) kubeProcess {
	in := func(file string) string { return filepath.Join(k.dirOf(name), file) }
	host, port := hostPort(address)
	argv := append([]string{
		k.program(kubePart, name), "--kubeconfig=" + in(accessFile), "--authentication-kubeconfig=" + in(accessFile),
		"--authorization-kubeconfig=" + in(accessFile), "--bind-address=" + host, "--secure-port=" + strconv.Itoa(port),
		"--tls-cert-file=" + in(tlsCertFile), "--tls-private-key-file=" + in(tlsKeyFile), "--leader-elect=false", "--profiling=false",
	}, options...)
	p := k.component(name, address, user, argv...)
	p.healthy = func(ctx context.Context) error { return k.answers(ctx, k.namespace, "https://"+address+"/healthz") }
	return p
}

// chaosController stands outside the cluster it acts on; the webhooks name its
// address.
func (k *kubernetes) chaosController() kubeProcess {
	const name = "chaos-controller-manager"
	p := k.component(name, fmt.Sprintf("%s:%d", kubeHost, webhookPort), 5,
		k.program(chaosPart, name), "--kubeconfig="+filepath.Join(k.dirOf(name), accessFile))
	metrics, port := hostPort(k.local(5, 10080))
	p.env = map[string]string{
		"NAMESPACE": ChaosNamespace, "TARGET_NAMESPACE": ChaosNamespace, "CERTS_DIR": k.dirOf(name),
		"WEBHOOK_HOST": kubeHost, "WEBHOOK_PORT": strconv.Itoa(webhookPort),
		"METRICS_HOST": metrics, "METRICS_PORT": strconv.Itoa(port), "ENABLE_LEADER_ELECTION": "false",
		"SECURITY_MODE": "false", "CHAOSD_SECURITY_MODE": "false", "CLUSTER_SCOPED": "true",
		"CHAOS_DAEMON_SERVICE_PORT": strconv.Itoa(daemonPort), "POD_FAILURE_PAUSE_IMAGE": pauseImage,
	}
	p.healthy = func(ctx context.Context) error {
		return k.reaches(ctx, k.namespace, "tcp", p.address)
	}
	return p
}

// configure writes every process's files; they are not written again as long as the
// lab is there.
func (k *kubernetes) configure() error {
	ca, err := newAuthority()
	if err != nil {
		return err
	}
	accounts, err := newSigner()
	if err != nil {
		return err
	}
	toKubelets, err := ca.issue(pkix.Name{CommonName: "kube-apiserver", Organization: []string{"system:masters"}})
	if err != nil {
		return err
	}
	admin := newIdentity("admin", "system:masters")
	ids := []identity{admin}
	for _, p := range k.processes() {
		files := k.filesOf(p, accounts)
		if host, _ := hostPort(p.address); host != "" {
			c, err := ca.server(p.name, append([]string{host}, k.namesOf(p.name)...)...)
			if err != nil {
				return err
			}
			files[tlsCertFile], files[tlsKeyFile] = c.cert, c.key
		}
		if user, group := userOf(p.name); user != "" {
			id := newIdentity(user, group)
			ids = append(ids, id)
			files[accessFile] = id.kubeconfig(ca.pem)
		}
		files[kubeCAFile] = ca.pem
		if err := p.write(files); err != nil {
			return err
		}
	}
	api := k.apiServer()
	if err := api.write(map[string]string{"tokens.cfg": tokens(ids), "kubelet.crt": toKubelets.cert, "kubelet.key": toKubelets.key}); err != nil {
		return err
	}
	return k.keepAccess(ca, admin)
}

// namesOf are what a server is called besides its address.
func (k *kubernetes) namesOf(process string) []string {
	switch {
	case process == "kube-apiserver":
		return []string{kubeFirst, "kubernetes", "kubernetes.default", "kubernetes.default.svc"}
	case strings.HasPrefix(process, "kubelet-"):
		return []string{"node-" + strings.TrimPrefix(process, "kubelet-")}
	}
	return nil
}

// userOf is who a process is at the API server.
func userOf(process string) (user, group string) {
	switch {
	case process == "kube-controller-manager", process == "kube-scheduler":
		return "system:" + process, "system:authenticated"
	case process == "chaos-controller-manager":
		return process, "system:masters"
	case strings.HasPrefix(process, "kubelet-"):
		return "system:node:node-" + strings.TrimPrefix(process, "kubelet-"), "system:nodes"
	case strings.HasPrefix(process, "kube-proxy"):
		return "system:kube-proxy", "system:node-proxier"
	}
	return "", ""
}
