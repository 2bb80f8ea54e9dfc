package node

import (
	"fmt"
	"net"
	"os"

	"github.com/vishvananda/netlink"
)

// Address is the node's address, from a range that is set aside for
// documentation: it cannot clash with one that is in use.
var Address = net.IPv4(192, 0, 2, 1)

// isolateNetwork gives the empty network namespace its loopback, an address for
// the node, and a default route that leads nowhere: kubelet and the API server
// want one. There is no uplink.
func isolateNetwork() error {
	lo, err := netlink.LinkByName("lo")
	if err != nil {
		return fmt.Errorf("find the loopback link: %w", err)
	}
	if err := netlink.LinkSetUp(lo); err != nil {
		return fmt.Errorf("bring the loopback link up: %w", err)
	}
	if err := addNodeLink(); err != nil {
		return err
	}
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		return fmt.Errorf("let the node forward packets: %w", err)
	}
	return nil
}

func addNodeLink() error {
	// A pair of ends that both stay here: pods need veth links anyway, while
	// some kernels have no dummy ones.
	link := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: "node0"}, PeerName: "node1"}
	if err := netlink.LinkAdd(link); err != nil {
		return fmt.Errorf("add the node's link: %w; does the kernel have veth links?", err)
	}
	peer, err := netlink.LinkByName(link.PeerName)
	if err != nil {
		return fmt.Errorf("find the other end of the node's link: %w", err)
	}
	if err := netlink.LinkSetUp(peer); err != nil {
		return fmt.Errorf("bring the other end of the node's link up: %w", err)
	}
	addr := &netlink.Addr{IPNet: &net.IPNet{IP: Address, Mask: net.CIDRMask(24, 32)}}
	if err := netlink.AddrAdd(link, addr); err != nil {
		return fmt.Errorf("give the node the address %s: %w", Address, err)
	}
	if err := netlink.LinkSetUp(link); err != nil {
		return fmt.Errorf("bring the node's link up: %w", err)
	}
	anywhere := &net.IPNet{IP: net.IPv4zero, Mask: net.CIDRMask(0, 32)}
	if err := netlink.RouteAdd(&netlink.Route{LinkIndex: link.Attrs().Index, Dst: anywhere, Src: Address}); err != nil {
		return fmt.Errorf("add the route to nowhere: %w", err)
	}
	return nil
}
