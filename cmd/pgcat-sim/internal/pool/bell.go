package pool

import (
	"sync"
	"time"
)

// bell wakes one waiter a ring, in order; a ring that nobody hears is kept for the next, one at
// most. That is tokio's Notify, which decides at head who gets a connection. All of it happens
// under the lock of the queue.
type bell struct {
	pending bool
	waiters []chan struct{}
}

func (b *bell) ring() {
	if len(b.waiters) == 0 {
		b.pending = true
		return
	}
	close(b.waiters[0])
	b.waiters = b.waiters[1:]
}

// wait unlocks mu until the bell rings or the timeout is over, and tells which it was.
func (b *bell) wait(mu *sync.Mutex, timeout <-chan time.Time) (rang bool) {
	if b.pending {
		b.pending = false
		return true
	}
	heard := make(chan struct{})
	b.waiters = append(b.waiters, heard)
	mu.Unlock()
	select {
	case <-heard:
		mu.Lock()
		return true
	case <-timeout:
		mu.Lock()
		b.leave(heard)
		return false
	}
}

// leave takes a waiter out; a ring that came too late for it goes to the next.
func (b *bell) leave(heard chan struct{}) {
	for i, other := range b.waiters {
		if other == heard {
			b.waiters = append(b.waiters[:i], b.waiters[i+1:]...)
			return
		}
	}
	b.ring()
}
