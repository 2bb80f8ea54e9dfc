package pgcat

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
)

// Database is what PgCat's admin says of one server of one pool: what PgCat goes by, whatever its file says.
type Database struct {
	Host     string
	Port     int
	User     string
	PoolSize int
}

// Compare orders databases by what they are.
func (d Database) Compare(o Database) int {
	return cmp.Or(cmp.Compare(d.Host, o.Host), d.Port-o.Port, cmp.Compare(d.User, o.User), d.PoolSize-o.PoolSize)
}

// Databases asks the admin for SHOW DATABASES, in order (src/admin.rs).
func (l Login) Databases(ctx context.Context) ([]Database, error) {
	conn, err := l.Connect(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { _ = conn.Close(ctx) }()
	res, err := conn.Exec(ctx, "SHOW DATABASES").ReadAll()
	if err != nil {
		return nil, fmt.Errorf("ask PgCat for its databases: %w", err)
	}
	var out []Database
	for _, r := range res {
		at := map[string]int{}
		for i, f := range r.FieldDescriptions {
			at[f.Name] = i
		}
		for _, row := range r.Rows {
			d, err := database(at, row)
			if err != nil {
				return nil, err
			}
			out = append(out, d)
		}
	}
	slices.SortFunc(out, Database.Compare)
	return out, nil
}

func database(at map[string]int, row [][]byte) (Database, error) {
	text := func(column string) string {
		if i, ok := at[column]; ok && i < len(row) {
			return string(row[i])
		}
		return ""
	}
	d := Database{Host: text("host"), User: text("force_user")}
	var err error
	if d.Port, err = strconv.Atoi(text("port")); err != nil {
		return d, fmt.Errorf("read SHOW DATABASES: port %q is not a number", text("port"))
	}
	if d.PoolSize, err = strconv.Atoi(text("pool_size")); err != nil {
		return d, fmt.Errorf("read SHOW DATABASES: pool_size %q is not a number", text("pool_size"))
	}
	return d, nil
}
