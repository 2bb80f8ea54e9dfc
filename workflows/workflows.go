// Package workflows carries the Argo workflows and the scenarios, for the binary and for the tests.
package workflows

import (
	"embed"
	"io/fs"
)

//go:embed *.yaml
var files embed.FS

//go:embed scenarios/*.yaml
var scenarios embed.FS

// Files holds the WorkflowTemplates and the CronWorkflow.
func Files() fs.FS { return files }

// Scenarios is the folder of scenario files.
func Scenarios() fs.FS {
	sub, err := fs.Sub(scenarios, "scenarios")
	if err != nil {
		panic(err) // the folder is embedded above
	}
	return sub
}
