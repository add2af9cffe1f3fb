package control_test

import (
	"syscall"
	"time"
)

const (
	waitFor = 30 * time.Second
	tick    = 5 * time.Millisecond
)

func unixTime(s int64) time.Time { return time.Unix(s, 0) }

func credential(uid uint32) *syscall.Credential { return &syscall.Credential{Uid: uid, Gid: uid} }
