package node

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// restartDelay keeps a program that dies at once from eating a processor.
const restartDelay = time.Second

// Process is a program that the supervisor keeps running. It is plain data, so
// that "lab up" can hand it over in a file.
type Process struct {
	Name  string   `json:"name"`
	Args  []string `json:"args"`            // the program's path first
	Ready string   `json:"ready"`           // a URL that answers 200, or unix:PATH that takes a connection
	After []string `json:"after,omitempty"` // the programs that must have been ready before
}

// State is what the supervisor knows of one program.
type State struct {
	Name     string    `json:"name"`
	PID      int       `json:"pid"` // inside the lab's pid namespace
	Since    time.Time `json:"since"`
	Restarts int       `json:"restarts"`
	Ready    bool      `json:"ready"`
	Exit     string    `json:"exit,omitempty"` // how it ended last
}

// runner starts the processes, starts them again when they die, and tells the
// host what it did through a file.
type runner struct {
	report  string
	logPath func(string) string

	mu     sync.Mutex
	states map[string]*State
	exits  map[int]chan unix.WaitStatus
	ready  map[string]chan struct{}
	order  []string
}

func newRunner(report string, logPath func(string) string, processes []Process) *runner {
	r := &runner{
		report: report, logPath: logPath,
		states: map[string]*State{}, exits: map[int]chan unix.WaitStatus{}, ready: map[string]chan struct{}{},
	}
	for _, p := range processes {
		r.states[p.Name] = &State{Name: p.Name}
		r.ready[p.Name] = make(chan struct{})
		r.order = append(r.order, p.Name)
	}
	return r
}

// reap collects every child that ends, its own and those it inherits as the
// first process of its pid namespace. It never returns.
func (r *runner) reap(children <-chan os.Signal) {
	for range children {
		for {
			var status unix.WaitStatus
			// The lock keeps a child that ends at once from being collected
			// before start has written down that it is ours.
			r.mu.Lock()
			pid, err := unix.Wait4(-1, &status, unix.WNOHANG, nil)
			exit := r.exits[pid]
			delete(r.exits, pid)
			r.mu.Unlock()
			if pid <= 0 || err != nil {
				break
			}
			if exit != nil {
				exit <- status
			}
		}
	}
}

// keep runs one process for as long as the supervisor lives.
func (r *runner) keep(ctx context.Context, p Process) {
	for _, name := range p.After {
		select {
		case <-r.ready[name]:
		case <-ctx.Done():
			return
		}
	}
	go r.watchReady(ctx, p)
	for {
		r.once(p)
		select {
		case <-time.After(restartDelay):
		case <-ctx.Done():
			return
		}
		r.update(p.Name, func(s *State) { s.Restarts++ })
	}
}

func (r *runner) once(p Process) {
	exit, err := r.start(p)
	if err != nil {
		r.update(p.Name, func(s *State) { s.PID, s.Exit = 0, err.Error() })
		return
	}
	status := <-exit
	r.update(p.Name, func(s *State) { s.PID, s.Exit = 0, describe(status) })
}

func describe(status unix.WaitStatus) string {
	if status.Signaled() {
		return "killed by " + status.Signal().String()
	}
	return fmt.Sprintf("exit status %d", status.ExitStatus())
}

func (r *runner) start(p Process) (<-chan unix.WaitStatus, error) {
	log, err := os.OpenFile(r.logPath(p.Name), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("open the log of %s: %w", p.Name, err)
	}
	defer func() { _ = log.Close() }()
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Stdout, cmd.Stderr = log, log
	r.mu.Lock()
	defer r.mu.Unlock()
	// Started, but never waited for: reap does that for all.
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start %s: %w", p.Name, err)
	}
	exit := make(chan unix.WaitStatus, 1)
	r.exits[cmd.Process.Pid] = exit
	s := r.states[p.Name]
	s.PID, s.Since = cmd.Process.Pid, time.Now()
	r.write()
	return exit, nil
}

func (r *runner) watchReady(ctx context.Context, p Process) {
	if err := waitReady(ctx, p.Ready); err != nil {
		return // only the end of the supervisor ends the wait
	}
	r.update(p.Name, func(s *State) { s.Ready = true })
	close(r.ready[p.Name])
}

func (r *runner) update(name string, change func(*State)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(r.states[name])
	r.write()
}

// write tells the host. A reader never sees half a file.
func (r *runner) write() {
	states := make([]State, 0, len(r.order))
	for _, name := range r.order {
		states = append(states, *r.states[name])
	}
	content, err := json.MarshalIndent(states, "", "  ")
	if err == nil {
		err = os.WriteFile(r.report+".new", content, 0o644)
	}
	if err == nil {
		err = os.Rename(r.report+".new", r.report)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "write the list of processes:", err)
	}
}

// Read returns what the supervisor last wrote.
func Read(report string) ([]State, error) {
	content, err := os.ReadFile(report)
	if err != nil {
		return nil, fmt.Errorf("read the list of processes: %w", err)
	}
	var states []State
	if err := json.Unmarshal(content, &states); err != nil {
		return nil, fmt.Errorf("read the list of processes: %w", err)
	}
	return states, nil
}
