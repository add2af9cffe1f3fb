// Firedrill runs chaos and failover drills whose numbers hold.
package main

import "os"

func main() {
	os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr, nil))
}
