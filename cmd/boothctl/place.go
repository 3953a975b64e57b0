package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"boothd/agent"
	"boothd/buffer/journal"
	"boothd/configs"
)

// place says which booth is meant: by its configuration, or by the two paths
// that would be taken from it, for a box whose configuration is just broken.
type place struct {
	Config  string `help:"Main configuration file." default:"/etc/boothd/boothd.toml" placeholder:"FILE"`
	Socket  string `help:"Control socket of the running boothd, instead of the configuration's." placeholder:"PATH"`
	Journal string `help:"Journal file, instead of the configuration's." placeholder:"FILE"`
}

// socket gives the control socket's path.
func (p place) socket() (string, error) {
	if p.Socket != "" {
		return p.Socket, nil
	}
	cfg, err := p.load("--socket")
	if err != nil {
		return "", err
	}
	return string(cfg.Socket), nil
}

// journal gives the journal's path.
func (p place) journal() (string, error) {
	if p.Journal != "" {
		return p.Journal, nil
	}
	cfg, err := p.load("--journal")
	if err != nil {
		return "", err
	}
	return filepath.Join(string(cfg.Store.Dir), "journal.db"), nil
}

// room is what the journal is given. Where --journal stands instead of the
// configuration nobody says, and the disk alone counts.
func (p place) room() (journal.Config, error) {
	if p.Journal != "" {
		return journal.Config{}, nil
	}
	cfg, err := p.load("--journal")
	if err != nil {
		return journal.Config{}, err
	}
	return journal.Config{MaxBytes: cfg.Store.MaxBytes.Bytes, MaxRows: uint64(cfg.Store.MaxRows)}, nil
}

// load reads the configuration; instead is the flag that does without, if any.
func (p place) load(instead string) (*configs.Config, error) {
	cfg, err := agent.Drivers.Load(p.Config)
	if err == nil {
		return cfg, nil
	}
	hint := fmt.Sprintf("name another file with --config, or see boothctl check %s", p.Config)
	if instead != "" {
		hint = fmt.Sprintf("name another file with --config, see boothctl check %s, or do without it: %s PATH", p.Config, instead)
	}
	first, _, _ := strings.Cut(err.Error(), "\n")
	return nil, &failure{errors.New(first), hint, exitConfig}
}

// unreached puts the failure to reach boothd into words; other errors stay.
func unreached(socket string, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) {
		return &failure{err, "boothd is there and does not answer: journalctl -u boothd", exitFix}
	}
	dial, ok := errors.AsType[*net.OpError](err)
	if !ok || dial.Op != "dial" {
		return err
	}
	hint := "boothd does not run, or has just started: systemctl status boothd"
	if errors.Is(err, fs.ErrPermission) {
		hint = "run it as root, or join the group: usermod -aG boothd NAME, then log in again"
	}
	return &failure{fmt.Errorf("reaching boothd at %s: %w", socket, dial.Err), hint, exitFix}
}
