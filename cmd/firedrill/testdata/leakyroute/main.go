// Leakyroute switches new connections of an HAProxy backend and leaves the ones
// that are there alone, as many a route does: a route program for a test.
//
//	leakyroute SOCKET BACKEND current
//	leakyroute SOCKET BACKEND switch MEMBER
package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"time"
)

func main() {
	if err := run(os.Args[1], os.Args[2], os.Args[3:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// run does one command: "current" prints who gets new connections, "switch" lets
// only the member have them.
func run(socket, backend string, args []string) error {
	text, err := ask(socket, "show stat")
	if err != nil {
		return err
	}
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	if err != nil {
		return err
	}
	for _, row := range rows[1:] {
		if row[0] != backend || row[1] == "BACKEND" || row[1] == "FRONTEND" {
			continue
		}
		switch state := "drain"; {
		case args[0] == "switch":
			if row[1] == args[1] {
				state = "ready"
			}
			if _, err := ask(socket, "set server "+backend+"/"+row[1]+" state "+state); err != nil {
				return err
			}
		case row[17] == "UP" || row[17] == "no check":
			fmt.Println(row[1])
		}
	}
	return nil
}

func ask(socket, command string) (string, error) {
	c, err := net.DialTimeout("unix", socket, 5*time.Second) //nolint:noctx // a program of a few milliseconds
	if err != nil {
		return "", err
	}
	defer c.Close()
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}
