package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"

	"boothd/agent"
	"boothd/configs"
)

// portsCmd lists serial ports from sysfs and the links in /dev. No port is
// opened: that would steal bytes from a running boothd and reset some adapters.
type portsCmd struct {
	Root string `hidden:"" default:"/" help:"Look below this folder, which holds dev, sys and proc."`
}

// serialPort is one port as it is plugged in.
type serialPort struct {
	Node    string   `json:"node"`             // /dev/ttyUSB0; changes when replugged
	ByID    string   `json:"by_id,omitempty"`  // stays with the adapter
	Socket  string   `json:"socket,omitempty"` // stays with where it is plugged in
	Driver  string   `json:"driver,omitempty"`
	Adapter string   `json:"adapter,omitempty"` // maker, product and serial number, as it says
	Devices []string `json:"devices,omitempty"` // of the configuration
	HeldBy  []holder `json:"held_by,omitempty"` // as far as this user may see
}

// holder is a process that has the port open.
type holder struct {
	Name string `json:"name"`
	PID  string `json:"pid"`
}

// Run lists what there is; a configuration that cannot be read is no reason not to.
func (c *portsCmd) Run(t *tool) error {
	all, err := serialPorts(c.Root)
	if err != nil {
		return fmt.Errorf("listing ports: %w", err)
	}
	if cfg, err := agent.Drivers.Load(t.place.Config); err == nil {
		assign(c.Root, all, cfg.Devices)
	}
	if t.json {
		return t.print(all)
	}
	if len(all) == 0 {
		return &failure{errors.New("no serial port on this machine"), "look at cable and power; then at the kernel: dmesg | grep tty", exitFix}
	}
	w := tabwriter.NewWriter(t.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "PORT\tNAME TO CONFIGURE\tADAPTER\tDEVICE\tHELD BY")
	for _, p := range all {
		held := make([]string, len(p.HeldBy))
		for i, h := range p.HeldBy {
			held[i] = h.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", p.Node, p.name(), dash(p.Adapter), dash(strings.Join(p.Devices, ", ")), dash(strings.Join(held, ", ")))
		if p.ByID != "" && p.Socket != "" {
			fmt.Fprintf(w, "\t%s\tby its socket\t\t\n", p.Socket)
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("writing ports: %w", err)
	}
	return advise(t, all)
}

// advise says what to do about ports that something else holds.
func advise(t *tool, all []serialPort) error {
	if os.Geteuid() != 0 {
		fmt.Fprintln(t.stdout, "! only your own programs can be seen: as root it tells who else holds a port")
	}
	for _, p := range all {
		for _, h := range p.HeldBy {
			do := "stop it"
			switch h.Name {
			case "boothd":
				continue
			case "ModemManager":
				do = "install 61-boothd.rules, then: systemctl restart ModemManager"
			case "agetty":
				do = "systemctl disable --now serial-getty@" + filepath.Base(p.Node)
			}
			if _, err := fmt.Fprintf(t.stdout, "! %s is held by %s: %s\n", p.Node, h, do); err != nil {
				return err
			}
		}
	}
	return nil
}

func (h holder) String() string { return fmt.Sprintf("%s (pid %s)", h.Name, h.PID) }

// name is the best name for a configuration.
func (p serialPort) name() string {
	switch {
	case p.ByID != "":
		return p.ByID
	case p.Socket != "":
		return p.Socket
	}
	return p.Node
}

func dash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// serialPorts reads sysfs: every tty that has hardware behind it.
func serialPorts(root string) ([]serialPort, error) {
	class := filepath.Join(root, "sys/class/tty")
	entries, err := os.ReadDir(class)
	if err != nil {
		return nil, err
	}
	holders := portHolders(root)
	byID, sockets := links(root, "dev/serial/by-id"), links(root, "dev/booth")
	if len(sockets) == 0 {
		sockets = links(root, "dev/serial/by-path")
	}
	all := []serialPort{}
	for _, e := range entries {
		dir, err := filepath.EvalSymlinks(filepath.Join(class, e.Name(), "device"))
		if err != nil || word(filepath.Join(class, e.Name(), "type")) == "0" {
			continue // a console, or a UART that the kernel reserved and did not find
		}
		node := "/dev/" + e.Name()
		p := serialPort{Node: node, ByID: byID[node], Socket: sockets[node], Adapter: adapter(dir), HeldBy: holders[node]}
		if driver, err := os.Readlink(filepath.Join(dir, "driver")); err == nil {
			p.Driver = filepath.Base(driver)
		}
		all = append(all, p)
	}
	return all, nil
}

// links gives the link in a folder that leads to each node.
func links(root, dir string) map[string]string {
	out := map[string]string{}
	entries, err := os.ReadDir(filepath.Join(root, dir))
	if err != nil {
		return out // no adapter is plugged in
	}
	for _, e := range entries {
		name := filepath.Join(root, dir, e.Name())
		target, err := os.Readlink(name)
		if err != nil {
			continue
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join("/", dir, target)
		}
		// udev's own names sort before those of older rules for the same node.
		if _, ok := out[target]; !ok {
			out[target] = filepath.Join("/", dir, e.Name())
		}
	}
	return out
}

// adapter reads what a USB adapter says of itself, in the first folder above
// the port that has a vendor.
func adapter(dir string) string {
	for range 8 { // interface, device, hubs; sysfs is deeper only above the bus
		if word(filepath.Join(dir, "idVendor")) != "" {
			parts := []string{word(filepath.Join(dir, "manufacturer")), word(filepath.Join(dir, "product")), word(filepath.Join(dir, "serial"))}
			return strings.Join(slices.DeleteFunc(parts, func(s string) bool { return s == "" }), " ")
		}
		dir = filepath.Dir(dir)
	}
	return ""
}

// word reads a small file of sysfs; "" if it is not there. Adapters write these
// texts, so that nothing but printable characters is let through.
func word(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	s := strings.TrimSpace(string(b[:min(len(b), 100)]))
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r == '\uFFFD' {
			return -1
		}
		return r
	}, s)
}

// portHolders finds who has a tty open. Without root only one's own processes
// can be seen.
func portHolders(root string) map[string][]holder {
	out := map[string][]holder{}
	fds, err := filepath.Glob(filepath.Join(root, "proc/[0-9]*/fd/*"))
	if err != nil {
		return out
	}
	for _, fd := range fds {
		target, err := os.Readlink(fd)
		if err != nil || !strings.HasPrefix(target, "/dev/tty") {
			continue
		}
		proc := filepath.Dir(filepath.Dir(fd))
		h := holder{Name: word(filepath.Join(proc, "comm")), PID: filepath.Base(proc)}
		if !slices.Contains(out[target], h) {
			out[target] = append(out[target], h)
		}
	}
	return out
}

// assign notes which devices of the configuration use a port, by whatever name.
func assign(root string, all []serialPort, devices []configs.Device) {
	for _, d := range devices {
		node := string(d.Path)
		if target, err := os.Readlink(filepath.Join(root, node)); err == nil {
			node = target
			if !filepath.IsAbs(node) {
				node = filepath.Join(filepath.Dir(string(d.Path)), node)
			}
		} else if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		for i := range all {
			if all[i].Node == node {
				all[i].Devices = append(all[i].Devices, d.Name)
			}
		}
	}
}
