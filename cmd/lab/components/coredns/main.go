// Command coredns is CoreDNS with the plugins that the lab's Corefile names,
// and no other: the full program is twice the size.
package main

import (
	"github.com/coredns/coredns/core/dnsserver"
	"github.com/coredns/coredns/coremain"

	_ "github.com/coredns/coredns/plugin/cache"
	_ "github.com/coredns/coredns/plugin/errors"
	_ "github.com/coredns/coredns/plugin/forward"
	_ "github.com/coredns/coredns/plugin/health"
	_ "github.com/coredns/coredns/plugin/kubernetes"
	_ "github.com/coredns/coredns/plugin/loadbalance"
	_ "github.com/coredns/coredns/plugin/ready"
	_ "github.com/coredns/coredns/plugin/reload"
)

// CoreDNS runs its plugins in the order of this list, not of the Corefile, and
// refuses a plugin that is not in it.
func init() {
	dnsserver.Directives = []string{
		"reload", "errors", "health", "ready", "cache", "loadbalance", "kubernetes", "forward",
	}
}

func main() { coremain.Run() }
