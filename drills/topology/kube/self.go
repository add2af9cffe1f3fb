package kube

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"

	"k8s.io/apimachinery/pkg/types"
)

// tokenFile is where a pod finds the token of its ServiceAccount, which says which pod
// it was made for.
const tokenFile = "/var/run/secrets/kubernetes.io/serviceaccount/token"

// Self is the pod that firedrill runs in.
type Self struct {
	Namespace string `json:"namespace"`
	Pod       struct {
		Name string `json:"name"`
		// UID tells it from a pod of the same name in another cluster.
		UID types.UID `json:"uid"`
	} `json:"pod"`
}

// Own returns the pod that firedrill runs in, false if it runs in none, or in one that
// has no token.
func Own() (Self, bool) { return ownBy(tokenFile) }

func ownBy(path string) (Self, bool) {
	b, err := os.ReadFile(path)
	if err != nil {
		return Self{}, false
	}
	var claims struct {
		Self Self `json:"kubernetes.io"`
	}
	// Nobody's word is taken here: the API server checks the signature when it matters.
	if parts := strings.Split(strings.TrimSpace(string(b)), "."); len(parts) == 3 {
		if b, err = base64.RawURLEncoding.DecodeString(parts[1]); err == nil {
			err = json.Unmarshal(b, &claims)
		}
	}
	return claims.Self, err == nil && claims.Self.Pod.UID != ""
}

// Spare refuses the pod that firedrill runs in, by the unique id of what a fault is to
// act on: a drill that kills its own runner measures nothing.
func Spare(uid types.UID) error {
	if own, ok := Own(); ok {
		return own.spare(uid)
	}
	return nil
}

func (s Self) spare(uid types.UID) error {
	if uid != s.Pod.UID {
		return nil
	}
	return fmt.Errorf("pod %s in namespace %s is the one that firedrill itself runs in: give it labels that the component's"+
		" selector does not choose, and keep it away from nodes that are to be drilled (nodeAffinity)", s.Pod.Name, s.Namespace)
}
