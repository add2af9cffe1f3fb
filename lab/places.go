package lab

import (
	"fmt"
	"os"
	"path/filepath"
)

// firstUID is the user id of a lab's proxy; its servers have the ones after it.
// No distribution hands out ids from 65536 to 99999, and none of these needs an
// entry in /etc/passwd.
const firstUID = 70100

// places are where a lab keeps what.
type places struct {
	// state has the topology file and the secrets; it is the caller's alone.
	state string
	// servers has the servers' directories. As root it is not below the home:
	// the servers' users must be able to reach it, and root's home is closed.
	servers string
	// sockets is for Unix sockets, whose paths must be short.
	sockets string
	// namespace is the path of the network namespace, or "".
	namespace string
	// cache keeps ready data directories and programs, also across labs.
	cache string
}

// placesOf says where the lab of that name under home keeps what.
func placesOf(home, name string) (places, error) {
	home, err := filepath.Abs(home)
	if err != nil {
		return places{}, fmt.Errorf("home %s: %w", home, err)
	}
	p := places{state: filepath.Join(home, "lab", name)}
	p.servers, p.sockets = filepath.Join(p.state, "servers"), filepath.Join(p.state, "servers")
	id := name + "-" + digest(home)
	if os.Geteuid() == 0 {
		p.servers = filepath.Join("/var/lib/firedrill", id)
		p.sockets = p.servers
	} else if len(p.servers) > 70 {
		p.sockets = filepath.Join(os.TempDir(), fmt.Sprintf("firedrill-%d-%s", os.Geteuid(), id))
	}
	if canNamespace() {
		p.namespace = filepath.Join(namespaces, "firedrill-"+id)
	}
	p.cache, err = CacheDir()
	return p, err
}

// CacheDir is where ready data directories and downloaded programs are kept:
// /var/cache/firedrill for root, as the servers' users must read there, else
// firedrill in the user's cache directory. It is safe to delete.
func CacheDir() (string, error) {
	if os.Geteuid() == 0 {
		return "/var/cache/firedrill", nil
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		return "", fmt.Errorf("find cache directory: %w", err)
	}
	return filepath.Join(dir, "firedrill"), nil
}

// UserOf is the user id that the n-th process of a lab runs as (0 is the proxy),
// or 0, the caller's own, for a caller who is not root.
func UserOf(n int) int {
	if os.Geteuid() == 0 {
		return firstUID + n
	}
	return 0
}
