// Package manifests carries the Kubernetes manifests inside the binary, so that a step needs no files.
package manifests

import "embed"

// Component is the folder components/pgcat: PgCat, its Secret, the test Postgres and its Services.
//
//go:embed components/pgcat/*.yaml
var Component embed.FS

// Sidecar is laid over PgCat's Deployment by the deploy step.
//
//go:embed sidecar/sidecar.yaml
var Sidecar []byte
