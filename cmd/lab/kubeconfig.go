package main

import (
	"fmt"

	"github.com/urfave/cli/v2"
)

func kubeconfigCommand() *cli.Command {
	return &cli.Command{
		Name:        "kubeconfig",
		Usage:       "print the path of the kubeconfig with which kubectl and argo work from this machine",
		Description: "Example:\n  export KUBECONFIG=$(go run ./cmd/lab kubeconfig)",
		Action: func(c *cli.Context) error {
			s, err := newSession()
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(c.App.Writer, s.lab.Kubeconfig())
			return err
		},
	}
}
