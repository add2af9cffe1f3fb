package lab

import (
	"context"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
)

// cniPlugins is where Debian's containernetworking-plugins are.
const cniPlugins = "/usr/lib/cni"

// startFile is the script that starts a process on a node: its machine is entered
// first, from wherever the control stands.
const startFile = "start"

// worker fills in where a process of a node is at home. It runs as root: it makes
// namespaces, mounts and rules.
func (k *kubernetes) worker(n node, kind string, port int) kubeProcess {
	name := kind + "-" + n.zone
	p := kubeProcess{process: process{name: name, dir: k.dirOf(name), namespace: n.namespace, ready: "process"}}
	p.argv = []string{"/bin/sh", filepath.Join(p.dir, startFile)}
	if port > 0 {
		p.address, p.ready = fmt.Sprintf("%s:%d", n.ip, port), ""
	}
	return p
}

// startScript writes the number of the process, which is not the script's command,
// and becomes the program.
func startScript(p kubeProcess, n node, argv ...string) string {
	return fmt.Sprintf("#!/bin/sh\necho $$ >%s/server.pid\nexec nsenter --net=%s --mount=%s -- %s\n",
		p.dir, n.namespace, n.mounts, strings.Join(argv, " "))
}

// containerdSocket is short: shims are named after it.
func (k *kubernetes) containerdSocket(n node) string {
	return filepath.Join(k.dirOf("containerd-"+n.zone), "c.sock")
}

func (k *kubernetes) containerd(n node) kubeProcess {
	p := k.worker(n, "containerd", 0)
	p.healthy = func(ctx context.Context) error { return k.reaches(ctx, n.namespace, "unix", k.containerdSocket(n)) }
	return p
}

// containerdConfig: without CAP_SYS_RESOURCE, which a container may lack, nobody
// may lower an oom score.
func (k *kubernetes) containerdConfig(n node) string {
	dir := k.dirOf("containerd-" + n.zone)
	return fmt.Sprintf(`version = 2
root = "%[1]s/root"
state = "/run/containerd"
[grpc]
  address = "%[2]s"
[plugins."io.containerd.internal.v1.opt"]
  path = "%[1]s/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "%[3]s"
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "%[4]s"
    conf_dir = "%[1]s"
`, dir, k.containerdSocket(n), pauseImage, cniPlugins)
}

// networkConfig: every pod has a link of its own to the node, which routes.
func (k *kubernetes) networkConfig(n node) string {
	return fmt.Sprintf(`{"cniVersion": "1.0.0", "name": "lab", "plugins": [
  {"type": "ptp", "ipam": {"type": "host-local", "ranges": [[{"subnet": %q}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
`, n.pods)
}

func (k *kubernetes) kubelet(n node) kubeProcess {
	p := k.worker(n, "kubelet", kubeletPort)
	p.healthy = func(ctx context.Context) error {
		return k.answers(ctx, n.namespace, fmt.Sprintf("http://%s:10248/healthz", n.ip))
	}
	return p
}

func (k *kubernetes) kubeletArgv(n node) []string {
	dir := k.dirOf("kubelet-" + n.zone)
	return []string{
		k.program(kubePart, "kubelet"), "--config=" + dir + "/kubelet.cfg", "--kubeconfig=" + dir + "/" + accessFile,
		"--hostname-override=" + n.name, "--node-ip=" + n.ip, "--root-dir=/var/lib/kubelet",
		"--node-labels=topology.kubernetes.io/region=lab,topology.kubernetes.io/zone=" + n.zone,
	}
}

// kubeletConfig: a disk or a machine of the host's that is nearly full is no reason
// to evict pods. A kubelet is missed sooner than usual; see controllerManager.
func (k *kubernetes) kubeletConfig(n node) string {
	return fmt.Sprintf(`apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: %[1]s
port: %[2]d
healthzBindAddress: %[1]s
tlsCertFile: %[3]s/tls.crt
tlsPrivateKeyFile: %[3]s/tls.key
authentication:
  anonymous: {enabled: false}
  webhook: {enabled: true}
  x509: {clientCAFile: %[3]s/ca.crt}
authorization: {mode: Webhook}
cgroupDriver: cgroupfs
cgroupRoot: %[4]s
failCgroupV1: false
failSwapOn: false
oomScoreAdj: 0
resolvConf: /dev/null
containerRuntimeEndpoint: unix://%[5]s
volumePluginDir: /var/lib/kubelet/volume-plugins
nodeStatusUpdateFrequency: 4s
nodeLeaseDurationSeconds: 12
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: 20Mi, nodefs.available: "0%%", nodefs.inodesFree: "0%%", imagefs.available: "0%%"}
`, n.ip, kubeletPort, k.dirOf("kubelet-"+n.zone), k.cgroupOf(n), k.containerdSocket(n))
}

func (k *kubernetes) nodeProxy(n node) kubeProcess {
	p := k.worker(n, "kube-proxy", proxyPort)
	p.healthy = func(ctx context.Context) error { return k.answers(ctx, n.namespace, "http://"+p.address+"/healthz") }
	return p
}

// serviceProxy makes Services reachable from the lab's own namespace. It has no
// node of its own and shares the name of the first.
func (k *kubernetes) serviceProxy() kubeProcess {
	const name = "kube-proxy"
	p := k.component(name, k.local(4, proxyPort), 0, k.program(kubePart, name), "--config="+filepath.Join(k.dirOf(name), "proxy.cfg"))
	p.healthy = func(ctx context.Context) error { return k.answers(ctx, k.namespace, "http://"+p.address+"/healthz") }
	return p
}

// proxyConfig is that of a proxy whose health is asked at address.
func (k *kubernetes) proxyConfig(process, node, address string) string {
	host, _ := hostPort(address)
	return fmt.Sprintf(`apiVersion: kubeproxy.config.k8s.io/v1alpha1
kind: KubeProxyConfiguration
bindAddress: %s
healthzBindAddress: %s
metricsBindAddress: %s:10249
clientConnection: {kubeconfig: %s}
hostnameOverride: %s
clusterCIDR: %s
mode: iptables
oomScoreAdj: 0
conntrack: {maxPerCore: 0, min: 0}
`, host, address, host, filepath.Join(k.dirOf(process), accessFile), node, kubeAllPods)
}

func (k *kubernetes) chaosDaemon(n node) kubeProcess {
	p := k.worker(n, "chaos-daemon", daemonPort)
	p.healthy = func(ctx context.Context) error { return k.reaches(ctx, n.namespace, "tcp", p.address) }
	return p
}

// filesOf are the files of a process that are its alone.
func (k *kubernetes) filesOf(p kubeProcess, accounts pair) map[string]string {
	switch p.name {
	case "etcd":
		return map[string]string{"etcd.cfg": k.etcdConfig()}
	case "kube-apiserver":
		return map[string]string{"accounts.pub": accounts.cert, "accounts.key": accounts.key}
	case "kube-controller-manager":
		return map[string]string{"accounts.key": accounts.key}
	case "kube-proxy":
		return map[string]string{"proxy.cfg": k.proxyConfig(p.name, k.nodes[0].name, p.address)}
	}
	for _, n := range k.nodes {
		if kind, ok := strings.CutSuffix(p.name, "-"+n.zone); ok {
			return k.nodeFilesOf(p, n, kind)
		}
	}
	return map[string]string{}
}

func (k *kubernetes) nodeFilesOf(p kubeProcess, n node, kind string) map[string]string {
	switch kind {
	case "containerd":
		return map[string]string{
			"containerd.cfg": k.containerdConfig(n), "10-lab.conflist": k.networkConfig(n),
			startFile: startScript(p, n, "containerd", "--config", p.dir+"/containerd.cfg"),
		}
	case "kubelet":
		return map[string]string{"kubelet.cfg": k.kubeletConfig(n), startFile: startScript(p, n, k.kubeletArgv(n)...)}
	case "kube-proxy":
		return map[string]string{
			"proxy.cfg": k.proxyConfig(p.name, n.name, p.address),
			startFile:   startScript(p, n, k.program(kubePart, "kube-proxy"), "--config="+p.dir+"/proxy.cfg"),
		}
	}
	return map[string]string{startFile: startScript(p, n, k.program(chaosPart, "chaos-daemon"),
		"--runtime=containerd", "--runtime-socket-path="+k.containerdSocket(n), "--grpc-port="+strconv.Itoa(daemonPort))}
}
