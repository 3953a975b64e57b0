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
)

// CommandNames lists them.
func CommandNames() []CommandName {
	return []CommandName{CommandListRefresh, CommandOutboxResend, CommandIdentify, CommandLaneMode}
}

// UnmarshalText takes a name that there is.
func (n *CommandName) UnmarshalText(b []byte) error { return choose(n, b, CommandNames()...) }

// commands refuses a name given twice, and lane.mode where the lane does not
// change, or cannot become one that expedites nobody: it may be told no more.
func (c *checker) commands() {
	slow := func(t LaneType) bool { return t == Ready || t == General }
	for i, n := range c.cfg.Commands.Allow {
		switch path := item("commands.allow", i); {
		case c.other || c.bad[path]: // told of the lane's own type
		case slices.Contains(c.cfg.Commands.Allow[:i], n):
			c.refuse(path, fmt.Sprintf("%q is given twice", n), "")
		case n == CommandLaneMode && (len(c.cfg.Lane.Others) == 0 || !slices.ContainsFunc(append([]LaneType{c.cfg.Lane.Type}, c.cfg.Lane.Others...), slow)):
			c.refuse(path, `the lane can become neither "ready" nor "general"`, "name one of them in lane.others, or take it out")
		}
	}
}
