package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"boothd/agent"
	"boothd/configs"
)

// checkCmd looks at everything that must be right before boothd starts. It
// works offline, opens no port and no connection, and changes nothing: a
// running booth may be checked.
type checkCmd struct {
	File string `arg:"" optional:"" help:"Main configuration file; default: that of --config."`
}

// state of one finding.
type state string

const (
	good   state = "ok"
	doubt  state = "warn"
	broken state = "fix"
)

// finding is one line of the report.
type finding struct {
	Part  string `json:"part"` // configuration, files, hardware
	Name  string `json:"name"` // key or device
	State state  `json:"state"`
	Msg   string `json:"msg"`
	Do    string `json:"do,omitempty"` // what to do
}

// report is the whole check as JSON.
type report struct {
	File     string           `json:"file"`
	Booth    string           `json:"booth,omitempty"`
	Digest   string           `json:"digest,omitempty"`
	State    string           `json:"state"` // ok, fix, bad-config
	Problems configs.Problems `json:"problems,omitempty"`
	Findings []finding        `json:"findings,omitempty"`
}

// Run checks in the order in which things depend on each other; a bad
// configuration ends it, since the rest would be checked against guesses.
func (c *checkCmd) Run(t *tool) error {
	file := c.File
	if file == "" {
		file = t.place.Config
	}
	cfg, err := agent.Drivers.Load(file)
	if err != nil {
		return badConfig(t, file, err)
	}
	k := &check{cfg: cfg, now: time.Now(), who: daemonUser()}
	k.configuration(file)
	k.files()
	k.hardware()

	fix := k.count(broken)
	r := report{File: file, Booth: string(cfg.Booth.ID), Digest: cfg.Digest(), State: "ok", Findings: k.found}
	if fix > 0 {
		r.State = "fix"
	}
	if t.json {
		err = t.print(r)
	} else {
		err = k.print(t)
	}
	switch {
	case err != nil:
		return err
	case fix == 1:
		return &failure{errors.New("1 thing to fix"), `the line marked ✗ says what to do`, exitFix}
	case fix > 1:
		return &failure{fmt.Errorf("%d things to fix", fix), `each line marked ✗ says what to do`, exitFix}
	}
	return nil
}

// badConfig prints every problem on a line of its own, so that an editor can
// jump there.
func badConfig(t *tool, file string, err error) error {
	problems, ok := errors.AsType[configs.Problems](err)
	if !ok {
		return err
	}
	if t.json {
		if err := t.print(report{File: file, State: "bad-config", Problems: problems}); err != nil {
			return err
		}
	} else {
		fmt.Fprintln(t.stderr, problems)
	}
	n := fmt.Sprintf("%d faults", len(problems))
	if len(problems) == 1 {
		n = "1 fault"
	}
	return &failure{fmt.Errorf("%s: %s", file, n),
		"correct the lines above and check again; a running boothd keeps its last good configuration", exitConfig}
}

// check collects findings.
type check struct {
	cfg   *configs.Config
	now   time.Time
	who   identity
	part  string
	found []finding
}

func (k *check) add(name string, s state, msg, do string) {
	k.found = append(k.found, finding{k.part, name, s, msg, do})
}
func (k *check) ok(name, msg string)       { k.add(name, good, msg, "") }
func (k *check) warn(name, msg, do string) { k.add(name, doubt, msg, do) }
func (k *check) fix(name, msg, do string)  { k.add(name, broken, msg, do) }

func (k *check) count(s state) (n int) {
	for _, f := range k.found {
		if f.State == s {
			n++
		}
	}
	return n
}

// print is the report for people.
func (k *check) print(t *tool) error {
	marks := map[state]string{good: "✓", doubt: "!", broken: "✗"}
	part := ""
	for _, f := range k.found {
		if f.Part != part {
			part = f.Part
			fmt.Fprintln(t.stdout, part)
		}
		line := fmt.Sprintf("  %s %s: %s\n", marks[f.State], f.Name, f.Msg)
		if f.Do != "" {
			line += fmt.Sprintf("      %s\n", f.Do)
		}
		if _, err := fmt.Fprint(t.stdout, line); err != nil {
			return fmt.Errorf("writing report: %w", err)
		}
	}
	return nil
}

func (k *check) configuration(file string) {
	k.part = "configuration"
	c := k.cfg
	k.ok(file, fmt.Sprintf("booth %s, %s lane, direction %s, %d devices, %s",
		c.Booth.ID, c.Lane.Type, c.Booth.Direction, len(c.Devices), c.Digest()[:len("sha256:")+12]))
	for _, w := range c.Warnings {
		k.warn(fmt.Sprintf("%s:%d", w.File, w.Line), w.Key+": "+w.Msg, w.Hint)
	}
	if info, err := os.Stat(file); err == nil && info.Mode().Perm()&0o022 != 0 {
		k.fix(file, fmt.Sprintf("mode %04o lets others change it", info.Mode().Perm()), "chmod go-w "+file)
	}
}

// identity is whose access is judged.
type identity struct {
	name string
	uid  uint32
	gids []uint32
}

// daemonUser is the user boothd where there is one and we may judge for it
// (as root), or else whoever asks.
func daemonUser() identity {
	if os.Geteuid() == 0 {
		if u, err := user.Lookup("boothd"); err == nil {
			if id, err := identityOf(u); err == nil {
				return id
			}
		}
	}
	id := identity{name: "this user", uid: uint32(os.Geteuid())}
	if groups, err := os.Getgroups(); err == nil {
		for _, g := range append(groups, os.Getegid()) {
			id.gids = append(id.gids, uint32(g))
		}
	}
	return id
}

func identityOf(u *user.User) (identity, error) {
	id := identity{name: "user " + u.Username}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return id, fmt.Errorf("uid of %s: %w", u.Username, err)
	}
	id.uid = uint32(uid)
	groups, err := u.GroupIds()
	if err != nil {
		return id, fmt.Errorf("groups of %s: %w", u.Username, err)
	}
	for _, g := range groups {
		if gid, err := strconv.ParseUint(g, 10, 32); err == nil {
			id.gids = append(id.gids, uint32(gid))
		}
	}
	return id, nil
}

// may tells whether the identity has all of want (4 read, 2 write, 1 search)
// by the mode bits, as the kernel judges without access lists.
func (id identity) may(info fs.FileInfo, want fs.FileMode) bool {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok || id.uid == 0 {
		return true
	}
	mode := info.Mode().Perm()
	switch {
	case st.Uid == id.uid:
		mode >>= 6
	case id.in(st.Gid):
		mode >>= 3
	}
	return mode&want == want
}

func (id identity) in(gid uint32) bool {
	for _, g := range id.gids {
		if g == gid {
			return true
		}
	}
	return false
}

// freeBytes is what an ordinary user may still write below path.
func freeBytes(path string) (int64, error) {
	var fs unix.Statfs_t
	if err := unix.Statfs(path, &fs); err != nil {
		return 0, fmt.Errorf("asking free space of %s: %w", path, err)
	}
	return int64(fs.Bavail) * int64(fs.Bsize), nil
}
