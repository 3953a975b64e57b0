package configs

import (
	"fmt"
	"slices"
)

// CommandName is a command that headquarters may be allowed.
type CommandName string

// The commands there are (mqtt contract, section 7).
const (
	CommandListRefresh  CommandName = "list.refresh"
	CommandOutboxResend CommandName = "outbox.resend"
	CommandIdentify     CommandName = "identify"
	CommandLaneMode     CommandName = "lane.mode"
	CommandBundleUpload CommandName = "bundle.upload"
)

// CommandNames lists them.
func CommandNames() []CommandName {
	return []CommandName{CommandListRefresh, CommandOutboxResend, CommandIdentify, CommandLaneMode, CommandBundleUpload}
}

// UnmarshalText takes a name that there is.
func (n *CommandName) UnmarshalText(b []byte) error { return choose(n, b, CommandNames()...) }

// commands refuses a name given twice, lane.mode where the lane does not
// change, or cannot become one that expedites nobody: it may be told no more; and
// bundle.upload without a place, which no command names.
func (c *checker) commands() {
	slow := func(t LaneType) bool { return t == Ready || t == General }
	for i, n := range c.cfg.Commands.Allow {
		switch path := item("commands.allow", i); {
		case c.other || c.bad[path]: // told of the lane's own type
		case slices.Contains(c.cfg.Commands.Allow[:i], n):
			c.refuse(path, fmt.Sprintf("%q is given twice", n), "")
		case n == CommandLaneMode && (len(c.cfg.Lane.Others) == 0 || !slices.ContainsFunc(append([]LaneType{c.cfg.Lane.Type}, c.cfg.Lane.Others...), slow)):
			c.refuse(path, `the lane can become neither "ready" nor "general"`, "name one of them in lane.others, or take it out")
		case n == CommandBundleUpload && c.cfg.Commands.Upload == "" && !c.bad["commands.upload"]:
			c.refuse(path, "no place is named for support archives", `write upload = "https://hq-a/bundles/" below it, or take it out`)
		}
	}
	if u := c.cfg.Commands.Upload; u != "" && !u.TLS() {
		c.refuse("commands.upload", "is in clear", `write "https://..."`)
	}
}
