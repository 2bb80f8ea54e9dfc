package node

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/signal"

	"golang.org/x/sys/unix"

	"pgcat-failover/cmd/lab/internal/place"
)

// listenerFD is where the host hands over the listening socket of the relay.
const listenerFD = 3

// Supervise is the life of the supervisor. It must be the first process of its
// own pid, mount and network namespaces: see Start. It returns when it is told
// to end; the kernel then ends everything else.
func Supervise(lab place.Lab, also func(context.Context)) error {
	if os.Getpid() != 1 {
		return fmt.Errorf("supervise the lab: this is process %d, not the first of a namespace of its own; run \"lab up\"", os.Getpid())
	}
	ctx, stop := signal.NotifyContext(context.Background(), unix.SIGTERM, unix.SIGINT)
	defer stop()
	children := make(chan os.Signal, 16)
	signal.Notify(children, unix.SIGCHLD)
	plan, err := ReadPlan(lab)
	if err != nil {
		return err
	}
	if err := isolate(lab); err != nil {
		return err
	}
	listener, err := net.FileListener(os.NewFile(listenerFD, "relay"))
	if err != nil {
		return fmt.Errorf("take over the listening socket: %w", err)
	}
	run := newRunner(lab.Processes(), lab.Log, plan.Processes)
	go run.reap(children)
	for _, p := range plan.Processes {
		go run.keep(ctx, p)
	}
	go relay(listener, plan.APIServer)
	go also(ctx)
	<-ctx.Done()
	return nil
}

// Plan is what "lab up" hands to the supervisor.
type Plan struct {
	Processes []Process `json:"processes"`
	APIServer string    `json:"apiServer"` // where the relay leads, as host:port
}

// Write puts the plan where the supervisor reads it.
func (p Plan) Write(lab place.Lab) error {
	content, err := json.MarshalIndent(p, "", "  ")
	if err == nil {
		err = os.WriteFile(lab.Plan(), content, 0o644)
	}
	if err != nil {
		return fmt.Errorf("write the supervisor's plan: %w", err)
	}
	return nil
}

// ReadPlan returns what the running supervisor was told.
func ReadPlan(lab place.Lab) (Plan, error) {
	content, err := os.ReadFile(lab.Plan())
	if err != nil {
		return Plan{}, fmt.Errorf("read the supervisor's plan: %w", err)
	}
	var plan Plan
	if err := json.Unmarshal(content, &plan); err != nil {
		return Plan{}, fmt.Errorf("read the supervisor's plan: %w", err)
	}
	return plan, nil
}

func isolate(lab place.Lab) error {
	if err := makeCgroup(lab.Cgroup()); err != nil {
		return err
	}
	if err := isolateMounts(lab); err != nil {
		return err
	}
	return isolateNetwork()
}
