package observe

import "pgcat-failover/cmd/pgcat-sim/internal/config"

// PoolView is one user's pool at one moment, for the exporter and the admin database.
type PoolView struct {
	Name, User  string
	Mode        config.PoolMode
	Size        uint32
	MinSize     uint32
	Paused      bool
	Servers     []ServerView
	BanDuration int64
}

// ServerView is one address of a pool at one moment.
type ServerView struct {
	Name, Host, Database string
	FirstDatabase        string
	Port                 uint16
	Shard, Index         int
	Role                 config.Role
	Banned               bool
	Connections          uint32
	Stats                *AddressStats
}
