package main

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"pgcat-failover/steps"
)

func TestEveryCommandsHelpHasAnExample(t *testing.T) {
	for _, c := range steps.Commands() {
		assert.Contains(t, c.Description, "Example:\n   failover "+c.Name, c.Name)
		assert.NotEmpty(t, c.Usage, c.Name)
	}
}

func TestExitCodesOfBadInput(t *testing.T) {
	t.Setenv("KUBECONFIG", "/nowhere")
	for _, tc := range []struct {
		args string
		want int
	}{
		{"", 0},
		{"--help", 0},
		{"nonsense", 2},
		{"run", 2},
		{"run --scenario nope", 2},
		{"run --scenario primary --hold 5", 2},
		{"run --scenario primary --fault pod-kill", 2},
		{"run --scenario primary --no-such-flag", 2},
		{"probe --scenario primary --record Bad_Name'; DROP", 2},
		{"break-label", 2},
		{"break-label --endpoint quaternary", 2},
		{"break-label --endpoint primary --scenario primary", 2},
		{"submit --scenario nope", 2},
		{"submit -p novalue", 2},
		{"sleep soon", 2},
		{"deploy --allow failover-key-imagine", 2},
		{"deploy --allow failover-key-imagined,nonsense", 2},
		{"run --scenario primary --allow nonsense", 2},
		{"restore", 3},         // good input, no cluster
		{"deploy --allow=", 3}, // as a workflow passes it on
		{"deploy --allow failover-key-imagined,trust --allow placeholder", 3},
	} {
		assert.Equal(t, tc.want, Main(t.Context(), append([]string{"failover"}, strings.Fields(tc.args)...)), tc.args)
	}
}
