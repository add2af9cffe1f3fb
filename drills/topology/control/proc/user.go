package proc

import (
	"fmt"
	"os/user"
	"strconv"
	"strings"
)

// User is an operating system user, with what its processes run as.
type User struct {
	UID, GID uint32
	Groups   []uint32
	Home     string
}

// LookupUser finds a user by name, by number, or by "uid:gid". A number need not
// belong to any known user; its group is then the same number.
func LookupUser(s string) (User, error) {
	uid, gid, hasGID := strings.Cut(s, ":")
	n, err := strconv.ParseUint(uid, 10, 32)
	if err != nil {
		return lookupName(s)
	}
	u := User{UID: uint32(n), GID: uint32(n), Home: "/"}
	if known, err := user.LookupId(uid); err == nil {
		if u, err = fromOS(known); err != nil {
			return User{}, err
		}
	}
	if hasGID {
		g, err := strconv.ParseUint(gid, 10, 32)
		if err != nil {
			return User{}, fmt.Errorf("user %q: want a name, a number, or uid:gid", s)
		}
		u.GID, u.Groups = uint32(g), nil
	}
	return u, nil
}

func lookupName(name string) (User, error) {
	known, err := user.Lookup(name)
	if err != nil {
		return User{}, fmt.Errorf("user %q: %w", name, err)
	}
	return fromOS(known)
}

func fromOS(known *user.User) (User, error) {
	uid, err := strconv.ParseUint(known.Uid, 10, 32)
	if err != nil {
		return User{}, fmt.Errorf("user %q: uid %q: %w", known.Username, known.Uid, err)
	}
	gid, err := strconv.ParseUint(known.Gid, 10, 32)
	if err != nil {
		return User{}, fmt.Errorf("user %q: gid %q: %w", known.Username, known.Gid, err)
	}
	u := User{UID: uint32(uid), GID: uint32(gid), Home: known.HomeDir}
	ids, err := known.GroupIds()
	if err != nil {
		return User{}, fmt.Errorf("user %q: groups: %w", known.Username, err)
	}
	for _, id := range ids {
		if g, err := strconv.ParseUint(id, 10, 32); err == nil {
			u.Groups = append(u.Groups, uint32(g))
		}
	}
	return u, nil
}
