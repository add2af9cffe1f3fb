package fakekubelet

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

// workers is how many requests are under way at a time.
const workers = 8

// run is what the kubelets do: it looks at every pod that changes, until ctx ends.
func (n *Nodes) run(ctx context.Context) {
	queue := workqueue.NewTyped[string]()
	factory := informers.NewSharedInformerFactoryWithOptions(n.client, 0, informers.WithNamespace(n.namespace))
	pods := factory.Core().V1().Pods().Informer()
	add := func(o any) {
		if key, err := cache.MetaNamespaceKeyFunc(o); err == nil {
			queue.Add(key)
		}
	}
	_, err := pods.AddEventHandler(cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, o any) { add(o) }})
	if err != nil {
		panic(err) // it was only just made
	}
	for range workers {
		n.all.Go(func() {
			for {
				key, over := queue.Get()
				if over {
					return
				}
				if o, there, _ := pods.GetStore().GetByKey(key); there && n.look(ctx, o.(*corev1.Pod)) != nil && ctx.Err() == nil {
					time.AfterFunc(time.Second, func() { queue.Add(key) })
				}
				queue.Done(key)
			}
		})
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	queue.ShutDown()
	factory.Shutdown()
}

// look makes a pod what it is to be. A conflict means that it has changed meanwhile.
func (n *Nodes) look(ctx context.Context, p *corev1.Pod) error {
	pods := n.client.CoreV1().Pods(p.Namespace)
	node, fake := numberOf(p.Spec.NodeName)
	switch {
	case !fake:
		return nil
	case p.DeletionTimestamp != nil:
		now := int64(0)
		return pods.Delete(ctx, p.Name, metav1.DeleteOptions{
			GracePeriodSeconds: &now, Preconditions: metav1.NewUIDPreconditions(string(p.UID)),
		})
	case p.Status.Phase != corev1.PodPending:
		return nil
	}
	p = p.DeepCopy()
	ip := n.given.Add(1)
	p.Status = podStatus(p, nodeIP(node), fmt.Sprintf("198.19.%d.%d", ip>>8&0xff, ip&0xff))
	_, err := pods.UpdateStatus(ctx, p, metav1.UpdateOptions{})
	return err
}

// podStatus is that of a pod that a kubelet has just started.
func podStatus(p *corev1.Pod, node, ip string) corev1.PodStatus {
	now, yes := metav1.Now(), true
	st := corev1.PodStatus{
		Phase: corev1.PodRunning, StartTime: &now, QOSClass: p.Status.QOSClass,
		PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}, HostIP: node, HostIPs: []corev1.HostIP{{IP: node}},
	}
	for _, kind := range []corev1.PodConditionType{
		corev1.PodReadyToStartContainers, corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady,
	} {
		st.Conditions = append(st.Conditions, corev1.PodCondition{Type: kind, Status: corev1.ConditionTrue, LastTransitionTime: now})
	}
	for _, c := range p.Spec.Containers {
		st.ContainerStatuses = append(st.ContainerStatuses, corev1.ContainerStatus{
			Name: c.Name, Image: c.Image, ImageID: c.Image, ContainerID: "containerd://" + string(p.UID), Ready: true, Started: &yes,
			State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}},
		})
	}
	return st
}

func nodeStatus(i int) corev1.NodeStatus {
	now := metav1.Now()
	room := corev1.ResourceList{
		corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("256Gi"), corev1.ResourcePods: resource.MustParse("1000"),
	}
	return corev1.NodeStatus{
		Capacity: room, Allocatable: room,
		Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: nodeIP(i)}, {Type: corev1.NodeHostName, Address: nodeName(i)},
		},
		NodeInfo: corev1.NodeSystemInfo{KubeletVersion: "fake", OperatingSystem: "linux"},
		Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "Fake", LastHeartbeatTime: now, LastTransitionTime: now,
		}},
	}
}

// Pods makes pods named NAME-0 and so on with the label app=NAME, in turn on each
// node, and returns once all of them are ready.
func (n *Nodes) Pods(t testing.TB, name string, count int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	numbers, errs := make(chan int), make(chan error, workers)
	for range workers {
		go func() {
			var failed error
			for i := range numbers {
				if failed != nil {
					continue
				}
				_, failed = n.client.CoreV1().Pods(n.namespace).Create(ctx, podOf(name, i, nodeName(i%n.count)), metav1.CreateOptions{})
			}
			errs <- failed
		}()
	}
	for i := range count {
		numbers <- i
	}
	close(numbers)
	for range workers {
		require.NoError(t, <-errs)
	}
	for n.ready(ctx, t, name) < count {
		require.NoError(t, ctx.Err(), "wait for %d pods of %s to be ready", count, name)
		wait(ctx, 200*time.Millisecond)
	}
}

func (n *Nodes) ready(ctx context.Context, t testing.TB, name string) (ready int) {
	t.Helper()
	list, err := n.client.CoreV1().Pods(n.namespace).List(ctx, metav1.ListOptions{LabelSelector: "app=" + name, ResourceVersion: "0"})
	require.NoError(t, err)
	for _, p := range list.Items {
		if p.Status.Phase == corev1.PodRunning {
			ready++
		}
	}
	return ready
}

// port is where nothing listens.
const port = 8080

// podOf is as large as an ordinary pod.
func podOf(name string, i int, node string) *corev1.Pod {
	probe := &corev1.Probe{ProbeHandler: corev1.ProbeHandler{TCPSocket: &corev1.TCPSocketAction{Port: intstr.FromInt32(port)}}, PeriodSeconds: 5}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", name, i), Labels: map[string]string{
			"app": name, "app.kubernetes.io/name": name, "app.kubernetes.io/part-of": "scale", "app.kubernetes.io/version": "1.0.0",
		}},
		Spec: corev1.PodSpec{
			NodeName:    node,
			Tolerations: []corev1.Toleration{{Key: Fake, Operator: corev1.TolerationOpExists}},
			Containers: []corev1.Container{{
				Name: name, Image: "firedrill.local/shop:lab", ImagePullPolicy: corev1.PullNever, ReadinessProbe: probe, LivenessProbe: probe,
				Ports: []corev1.ContainerPort{{Name: "http", ContainerPort: port}},
				Env: []corev1.EnvVar{
					{Name: "POD", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "metadata.name"}}},
					{Name: "NODE", ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: "spec.nodeName"}}},
				},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{
					corev1.ResourceCPU: resource.MustParse("5m"), corev1.ResourceMemory: resource.MustParse("16Mi"),
				}},
			}},
		},
	}
}
