package pool

import (
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/hashicorp/golang-lru/v2/simplelru"
	"github.com/jackc/pgx/v5/pgproto3"
)

// statementCounter numbers the names that clients' statements get on servers.
var statementCounter atomic.Uint64

// StatementCache gives equal statements of a pool's clients one name on all servers (rule 48).
type StatementCache struct {
	mu    sync.Mutex
	cache *simplelru.LRU[string, *pgproto3.Parse]
}

func newStatementCache(size uint64) *StatementCache {
	if size == 0 {
		return nil
	}
	cache, _ := simplelru.NewLRU[string, *pgproto3.Parse](int(size), nil) // fails for sizes below 1 only
	return &StatementCache{cache: cache}
}

// Shared is the statement under the name it has on servers.
func (c *StatementCache) Shared(p *pgproto3.Parse) *pgproto3.Parse {
	key := fmt.Sprint(p.Query, len(p.ParameterOIDs), p.ParameterOIDs)
	c.mu.Lock()
	defer c.mu.Unlock()
	if shared, ok := c.cache.Get(key); ok {
		return shared
	}
	shared := &pgproto3.Parse{
		Name:          fmt.Sprintf("PGCAT_%d", statementCounter.Add(1)-1),
		Query:         p.Query,
		ParameterOIDs: append([]uint32(nil), p.ParameterOIDs...),
	}
	c.cache.Add(key, shared)
	return shared
}
