package fieldbox

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	uarts       = 4
	commandLine = "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr systemd.show_status=no systemd.log_level=notice random.trust_cpu=on 8250.nr_uarts=8"
)

// args is the machine. Two processors: a test that looks at the lamps all the
// time must not keep the daemon from driving them.
func (b *Box) args() []string {
	socket := func(id, name string) string {
		return fmt.Sprintf("socket,id=%s,path=%s,server=on,wait=off", id, b.path(name))
	}
	a := []string{"-M", "pc,hpet=off", "-m", "512", "-smp", "2", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-nic", "none",
		"-qmp", "unix:" + b.path("qmp") + ",server=on,wait=off", "-serial", "file:" + b.path("console.log"), "-rtc", "base=utc,clock=host",
		"-device", "i6300esb", "-action", "watchdog=reset",
		"-blockdev", "driver=nbd,node-name=disk0,server.type=unix,server.path=" + b.path("disk"), "-device", "virtio-blk-pci,drive=disk0,write-cache=on",
		"-fsdev", "local,id=shared,path=" + b.cfg.Shared + ",security_model=none,readonly=on", "-device", "virtio-9p-pci,fsdev=shared,mount_tag=shared",
		"-device", "virtio-rng-pci", "-device", "virtio-serial-pci,id=control",
		"-kernel", filepath.Join(b.cfg.Cache, "vmlinuz"), "-initrd", filepath.Join(b.cfg.Cache, "initrd.img"), "-append", commandLine}
	for n := range ControlPorts {
		id := fmt.Sprintf("ctl%d", n)
		a = append(a, "-chardev", socket(id, id), "-device", "virtserialport,bus=control.0,chardev="+id+",name="+id)
	}
	card := fmt.Sprintf("pci-serial-%dx", uarts)
	for n := range uarts {
		id := fmt.Sprintf("uart%d", n)
		a = append(a, "-chardev", socket(id, id))
		card += fmt.Sprintf(",chardev%d=%s", n+1, id)
	}
	a = append(a, "-device", card, "-device", "qemu-xhci,id=xhci", "-chardev", socket("usb0", "usb0"), "-device", adapter())
	if how, err := os.ReadFile(filepath.Join(b.cfg.Cache, "accelerator")); err == nil && strings.TrimSpace(string(how)) == "kvm" {
		return append(a, "-accel", "kvm", "-cpu", "host,-arch-capabilities")
	}
	return append(a, "-accel", "tcg,thread=multi,tb-size=256", "-cpu", "max,la57=off")
}

// adapter is the USB serial adapter as a -device.
func adapter() string {
	return "usb-serial,bus=xhci.0,port=1,chardev=usb0,id=adapter,serial=usb0,always-plugged=on"
}

// Unplug pulls the USB serial adapter.
func (b *Box) Unplug() error {
	return b.qmp("device_del", map[string]any{"id": "adapter"})
}

// Plug puts it back into the same socket.
func (b *Box) Plug() error {
	return b.qmp("device_add", map[string]any{"driver": "usb-serial", "bus": "xhci.0", "port": "1", "chardev": "usb0", "id": "adapter", "serial": "usb0", "always-plugged": true})
}

// qmp has QEMU carry out one command (QEMU Machine Protocol).
func (b *Box) qmp(command string, arguments any) error {
	c, err := net.Dial("unix", b.path("qmp"))
	if err != nil {
		return fmt.Errorf("asking QEMU: %w", err)
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		return err
	}
	r := bufio.NewReader(c)
	if _, err := r.ReadBytes('\n'); err != nil { // the greeting
		return fmt.Errorf("asking QEMU: %w", err)
	}
	for _, ask := range []map[string]any{{"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}} {
		if err := json.NewEncoder(c).Encode(ask); err != nil {
			return fmt.Errorf("asking QEMU: %w", err)
		}
		for {
			line, err := r.ReadBytes('\n')
			if err != nil {
				return fmt.Errorf("asking QEMU for %s: %w", command, err)
			}
			if bytes.Contains(line, []byte(`"error"`)) {
				return fmt.Errorf("asking QEMU for %s: %s", command, line)
			}
			if bytes.Contains(line, []byte(`"return"`)) {
				break // what comes between are events
			}
		}
	}
	return nil
}
