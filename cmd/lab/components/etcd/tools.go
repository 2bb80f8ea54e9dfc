//go:build tools

// Package components pins the etcd server that `lab build` compiles. Debian's
// own etcd (3.4) is too old: Kubernetes 1.34 loses its watches on it.
package components

import _ "go.etcd.io/etcd/server/v3"
