package serve

import (
	"bufio"
	"bytes"
	"net"
	"testing"

	"github.com/jackc/pgx/v5/pgproto3"
	"github.com/stretchr/testify/require"

	"pgcat-failover/cmd/pgcat-sim/internal/config"
	"pgcat-failover/cmd/pgcat-sim/internal/observe"
	"pgcat-failover/cmd/pgcat-sim/internal/pool"
	"pgcat-failover/cmd/pgcat-sim/internal/release"
	"pgcat-failover/cmd/pgcat-sim/internal/route"
	"pgcat-failover/cmd/pgcat-sim/internal/wire"
)

const fuzzConfig = `
[general]
admin_username = "admin"
admin_password = "admin"
validate_config = false
[pools.app]
prepared_statements_cache_size = 2
shard_id_regex = 'shard_id: (\d+)'
sharding_key_regex = 'key: (\d+)'
[pools.app.users.0]
username = "postgres"
password = "postgres"
pool_size = 1
[pools.app.shards.0]
database = "postgres"
servers = [["127.0.0.1", 1, "primary"]]
`

// FuzzStartup: whatever the first bytes on a connection are, the login path ends and does not panic.
func FuzzStartup(f *testing.F) {
	for _, seed := range startupSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, packet []byte) {
		p := newFuzzPooler(t)
		client, server := net.Pipe()
		done := make(chan struct{})
		go func() {
			defer close(done)
			_ = p.greet(server, false)
			server.Close()
		}()
		go func() { // drains what is answered, so that nobody waits
			var sink bytes.Buffer
			_, _ = sink.ReadFrom(client)
		}()
		_, _ = client.Write(packet)
		client.Close()
		<-done
		require.Zero(t, p.Count())
	})
}

func startupSeeds() [][]byte {
	startup, _ := (&pgproto3.StartupMessage{ProtocolVersion: pgproto3.ProtocolVersion30, Parameters: map[string]string{"user": "postgres", "database": "app"}}).Encode(nil)
	cancel, _ := (&pgproto3.CancelRequest{ProcessID: 1, SecretKey: []byte{0, 0, 0, 2}}).Encode(nil)
	ssl, _ := (&pgproto3.SSLRequest{}).Encode(nil)
	password, _ := (&pgproto3.PasswordMessage{Password: "md5"}).Encode(nil)
	return [][]byte{
		startup, cancel, ssl, append(ssl, startup...), append(startup, password...),
		[]byte("GET / HTTP/1.1\r\n\r\n"), {0, 0, 0, 8, 0, 3, 0, 0}, {0, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}, {},
	}
}

func newFuzzPooler(t testing.TB) *Pooler {
	c, err := config.Parse([]byte(fuzzConfig))
	require.NoError(t, err)
	pools := pool.NewPools(release.Head, observe.NewRegistry())
	p := &Pooler{Release: release.Head, Config: func() *config.Config { return c }, Pools: pools, Registry: observe.NewRegistry()}
	p.Init()
	return p
}

// FuzzMessages: whatever a client sends after its login, taking it in does not panic. What would go
// to a server is kept here.
func FuzzMessages(f *testing.F) {
	for _, seed := range messageSeeds() {
		f.Add(seed)
	}
	p := newFuzzPooler(f)
	c, err := config.Parse([]byte(fuzzConfig))
	require.NoError(f, err)
	require.NoError(f, p.Pools.Build(c))
	app := p.Pools.Get("app", "postgres")
	require.NotNil(f, app)
	f.Fuzz(func(t *testing.T, stream []byte) {
		mine, theirs := net.Pipe()
		defer mine.Close()
		go func() {
			var sink bytes.Buffer
			_, _ = sink.ReadFrom(theirs)
		}()
		cl := &client{pooler: p, conn: mine, in: bufio.NewReader(bytes.NewReader(stream)), pool: app,
			router: route.New(release.Head, app.Settings()), statements: map[string]*pgproto3.Parse{}}
		for cl.takeIn() == nil {
		}
	})
}

func (c *client) takeIn() error {
	if err := c.read(); err != nil {
		return err
	}
	if answered, err := c.command(); answered || err != nil {
		return err
	}
	c.router.Infer(c.message)
	_, err := c.keep()
	return err
}

func messageSeeds() [][]byte {
	one := func(m ...encoder) []byte { return wire.Encode(nil, m...) }
	return [][]byte{
		one(&pgproto3.Query{String: "select 1"}), one(&pgproto3.Query{String: "set shard to '0'"}),
		one(&pgproto3.Query{String: "set sharding key to '99999999999999999999'"}),
		one(&pgproto3.Parse{Name: "s", Query: "select $1 /* shard_id: 0 */", ParameterOIDs: []uint32{23}},
			&pgproto3.Bind{PreparedStatement: "s", Parameters: [][]byte{[]byte("1"), nil}},
			&pgproto3.Describe{ObjectType: 'S', Name: "s"}, &pgproto3.Execute{}, &pgproto3.Close{ObjectType: 'S', Name: "s"}, &pgproto3.Sync{}),
		one(&pgproto3.CopyData{Data: []byte("x")}, &pgproto3.CopyDone{}, &pgproto3.CopyFail{Message: "m"}),
		{'Q', 0, 0, 0, 4}, {'Q', 0, 0, 0, 3}, {'P', 0, 0, 0, 5, 'x'}, {'B', 0, 0, 0, 6, 0, 'x'}, {'C', 0, 0, 0, 4}, {'D', 0, 0, 0, 5, 'S'},
	}
}
