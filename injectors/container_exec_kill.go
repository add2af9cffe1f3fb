package injectors

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"

	"firedrill/drills"
	"firedrill/drills/topology"
	"firedrill/drills/topology/control/poll"
	"firedrill/drills/topology/kube"
)

// ContainerExecKillSpec ends the main process (1) of a container from inside, with the
// tools of its image; the pod stays, and its kubelet starts the container again.
type ContainerExecKillSpec struct {
	// Container is the one whose main process ends; default: the pod's main one.
	Container string `json:"container,omitempty"`
	// Signal is what the process is sent. There is no KILL: Linux does not let it
	// through from inside a container, nor any signal that the process has no handler
	// for.
	Signal string `json:"signal,omitempty" jsonschema:"enum=TERM,enum=INT,enum=QUIT,enum=ABRT,enum=HUP,enum=USR1,enum=USR2"`
	// Command ends the process instead, for images without the programs "kill" or "sh".
	// It is run in the container.
	Command []string `json:"command,omitempty"`
}

var containerExecKillDefaults = ContainerExecKillSpec{Signal: "TERM"}

// killSignals are those that a process may have a handler for.
var killSignals = []string{"TERM", "INT", "QUIT", "ABRT", "HUP", "USR1", "USR2"}

type containerExecKill struct {
	spec ContainerExecKillSpec
	exec execIn
}

func newContainerExecKill(s ContainerExecKillSpec) (drills.Injector, error) {
	switch {
	case s.Signal == "KILL":
		return nil, errors.New("signal: KILL: Linux does not let a container kill its own process 1 that way: use TERM, or pod-kill")
	case !slices.Contains(killSignals, s.Signal):
		return nil, fmt.Errorf("signal: %q: want one of %s", s.Signal, strings.Join(killSignals, ", "))
	}
	return &containerExecKill{spec: s, exec: execInPod}, nil
}

// execKillUndo is what the containers were before.
type execKillUndo struct {
	Containers []containerRef `json:"containers"`
}

// containerRef is a container as it was before the fault.
type containerRef struct {
	Pod  podRef `json:"pod"`
	Name string `json:"name"`
	// ID is that of the container as it ran, Restarts how often it had been started
	// again.
	ID       string `json:"id"`
	Restarts int32  `json:"restarts"`
	// Argv ends its main process.
	Argv []string `json:"argv"`
}

func (r containerRef) String() string { return fmt.Sprintf("container %s of %s", r.Name, r.Pod) }

// Privileges implements drills.Privileged.
func (*containerExecKill) Privileges(c *topology.Component) []topology.Privilege {
	return needs(c, "container-exec-kill", podNeeds(c), execNeeds)
}

// Prepare finds a program in the image that can end the process.
func (f *containerExecKill) Prepare(ctx context.Context, t drills.Target) (drills.Undo, error) {
	pods, err := targetPods(ctx, t)
	if err == nil {
		err = guardPods(ctx, t, pods)
	}
	if err != nil {
		return drills.Undo{}, err
	}
	tryPaths(ctx, pods, addressOf(t))
	var u execKillUndo
	var names []string
	for _, p := range pods {
		r, err := f.container(ctx, p)
		if err != nil {
			return drills.Undo{}, err
		}
		u.Containers = append(u.Containers, r)
		names = append(names, r.String())
	}
	return writeUndo("wait until the kubelet has started "+strings.Join(names, ", ")+" again", u)
}

// container looks at the container of a pod that is to end.
func (f *containerExecKill) container(ctx context.Context, p livePod) (containerRef, error) {
	c, err := containerOf(p, f.spec.Container)
	if err != nil {
		return containerRef{}, err
	}
	s := statusOf(p.pod, c.Name)
	r := containerRef{Pod: p.podRef, Name: c.Name}
	switch {
	case p.pod.Spec.RestartPolicy != corev1.RestartPolicyAlways && p.pod.Spec.RestartPolicy != "":
		return r, fmt.Errorf("%s has restartPolicy %s: nobody would start its container again", p, p.pod.Spec.RestartPolicy)
	case p.pod.Spec.HostPID:
		return r, fmt.Errorf("%s shares the processes of its node (hostPID): process 1 there is the node's own", p)
	case p.pod.Spec.ShareProcessNamespace != nil && *p.pod.Spec.ShareProcessNamespace && len(f.spec.Command) == 0:
		return r, fmt.Errorf("the containers of %s share their processes (shareProcessNamespace): process 1 is none of theirs: name a command (with.command)", p)
	case s == nil || s.State.Running == nil:
		return r, fmt.Errorf("%s does not run", r)
	}
	r.ID, r.Restarts, r.Argv = s.ContainerID, s.RestartCount, f.spec.Command
	if len(r.Argv) == 0 {
		r.Argv, err = f.killer(ctx, p, r)
	}
	return r, err
}

// killer finds the program that sends the signal: it is tried with signal 0, which
// does nothing.
func (f *containerExecKill) killer(ctx context.Context, p livePod, r containerRef) ([]string, error) {
	ways := []func(signal string) []string{
		func(signal string) []string { return []string{"kill", "-" + signal, "1"} },
		func(signal string) []string { return []string{"sh", "-c", "kill -" + signal + " 1"} },
	}
	for _, way := range ways {
		err := f.exec(ctx, p.cluster, p.podRef, r.Name, way("0"))
		if err == nil {
			return way(f.spec.Signal), nil
		}
		if !noProgram(err) {
			return nil, err
		}
	}
	return nil, fmt.Errorf("the image of %s has neither kill nor sh: name a command of its own that ends it (with.command), or use pod-kill", r)
}

// statusOf is what the kubelet says of a container, nil if it says nothing.
func statusOf(p *corev1.Pod, container string) *corev1.ContainerStatus {
	for i := range p.Status.ContainerStatuses {
		if s := &p.Status.ContainerStatuses[i]; s.Name == container {
			return s
		}
	}
	return nil
}

// Inject runs the command in every container at once.
func (f *containerExecKill) Inject(ctx context.Context, _ drills.Target, undo drills.Undo) error {
	var u execKillUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return atOnce(u.Containers, func(r containerRef) error {
		n, err := r.Pod.now(ctx)
		if err != nil {
			return err
		}
		if s := statusIn(n, r.Name); s == nil || s.ContainerID != r.ID {
			return fmt.Errorf("%s is not the one any more that was looked at: it was started again meanwhile", r)
		}
		c, err := r.Pod.Place.Open()
		if err != nil {
			return err
		}
		return r.cutShort(ctx, f.exec(ctx, c, r.Pod, r.Name, r.Argv))
	})
}

// statusIn is what the kubelet says of a container of the pod, nil if that is gone.
func statusIn(n now, container string) *corev1.ContainerStatus {
	if !n.same {
		return nil
	}
	return statusOf(n.pod, container)
}

// byItself is the highest exit code of a command that no signal has ended.
const byItself = 128

// cutWithin is how long a container may take to be seen to end.
const cutWithin = 5 * time.Second

// cutShort judges how the command ended: it may have been killed with the process that
// it has ended, and its connection with it. What counts then is whether that ended.
func (r containerRef) cutShort(ctx context.Context, err error) error {
	if code := exitCode(err); err == nil || noProgram(err) || ctx.Err() != nil || code > 0 && code <= byItself {
		return err
	}
	within, cancel := context.WithTimeout(ctx, cutWithin)
	defer cancel()
	if poll.Until(within, kubeEvery, r.ended) == nil {
		return nil
	}
	return err
}

// ended returns nil if the kubelet says that the container does not run any more, or
// not the same.
func (r containerRef) ended(ctx context.Context) error {
	n, err := r.Pod.now(ctx)
	if err != nil {
		return err
	}
	if s := statusIn(n, r.Name); n.same && s != nil && s.ContainerID == r.ID && s.State.Running != nil {
		return fmt.Errorf("%s goes on running: its process may have no handler for the signal", r)
	}
	return nil
}

// Revert returns once the kubelet has started the containers again and the pods are
// ready, or have been replaced.
func (*containerExecKill) Revert(ctx context.Context, undo drills.Undo) error {
	var u execKillUndo
	if err := readUndo(undo, &u); err != nil {
		return err
	}
	return persist(ctx, u.revert)
}

func (u execKillUndo) revert(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, restartWithin, fmt.Errorf("not so within %s", restartWithin))
	defer cancel()
	err := settled(ctx, func() (bool, error) {
		for _, r := range u.Containers {
			if err := r.ended(ctx); err != nil {
				return true, nil //nolint:nilerr // it runs, or nobody says: look again later
			}
		}
		return false, nil
	})
	if err != nil {
		return err
	}
	return atOnce(u.Containers, func(r containerRef) error {
		return poll.Until(ctx, kubeEvery, r.back)
	})
}

// restartWithin bounds how long a kubelet may take: one that has started a container
// again a few times waits longer and longer.
const restartWithin = 2 * time.Minute

// back returns nil if the container runs in a pod that is ready.
func (r containerRef) back(ctx context.Context) error {
	n, err := r.Pod.now(ctx)
	if err != nil {
		return err
	}
	if !n.untouched() {
		return replaced(ctx, []podRef{r.Pod})
	}
	if !kube.Ready(n.pod) {
		return fmt.Errorf("%s is not ready: %s", r.Pod, kube.Ailment(n.pod))
	}
	return nil
}

// Confirm asks the pod's address, which refuses connections, or the kubelet, which says
// that the container has ended.
func (*containerExecKill) Confirm(ctx context.Context, _ drills.Target, undo drills.Undo) (string, error) {
	var u execKillUndo
	if err := readUndo(undo, &u); err != nil {
		return "", err
	}
	said := make([]string, len(u.Containers))
	all := make([]int, len(said))
	for i := range all {
		all[i] = i
	}
	err := atOnce(all, func(i int) error {
		r := u.Containers[i]
		return poll.Until(ctx, leaveEvery, func(ctx context.Context) error {
			if p := r.Pod.Path; p != nil && refused(ctx, p.Address) == nil {
				said[i] = fmt.Sprintf("%s: %s refuses connections", r, p.Address)
				return nil
			}
			said[i] = fmt.Sprintf("%s: its kubelet says that it has ended", r)
			return r.ended(ctx)
		})
	})
	return strings.Join(said, "; "), err
}
