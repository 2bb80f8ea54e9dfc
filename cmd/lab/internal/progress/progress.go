// Package progress tells the user what is being done, how far it is, and how
// long it takes.
package progress

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// quiet is how long a step may take before its time is worth a line, and
// heartbeat how often a longer one says that it is still alive.
const (
	quiet     = 2 * time.Second
	heartbeat = 10 * time.Second
)

// Printer prints steps, one line each. It may be used by several goroutines.
type Printer struct {
	mu  sync.Mutex
	out io.Writer
}

// New returns a Printer that writes to out.
func New(out io.Writer) *Printer { return &Printer{out: out} }

// Say prints one line.
func (p *Printer) Say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	fmt.Fprintf(p.out, format+"\n", args...)
}

// Step says what is done, does it, and says how long it took if that was long.
func (p *Printer) Step(title string, do func() error) error {
	p.Say("%s", title)
	start := time.Now()
	done := make(chan struct{})
	var beat sync.WaitGroup
	beat.Add(1)
	go func() {
		defer beat.Done()
		p.beat(title, start, done)
	}()
	err := do()
	close(done)
	beat.Wait()
	if took := time.Since(start); err == nil && took >= quiet {
		p.Say("  %s: done in %s", title, took.Round(100*time.Millisecond))
	}
	return err
}

func (p *Printer) beat(title string, start time.Time, done <-chan struct{}) {
	tick := time.NewTicker(heartbeat)
	defer tick.Stop()
	for {
		select {
		case <-done:
			return
		case <-tick.C:
			p.Say("  %s: still at it after %s", title, time.Since(start).Round(time.Second))
		}
	}
}
