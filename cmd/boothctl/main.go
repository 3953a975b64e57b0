// Command boothctl is the technician's tool: one verb a file. Every verb
// prints for people by default and JSON with --json; an error is followed by a
// line that says what to do.
//
// Exit codes: 0 in order, 1 something to fix, 2 wrong use, 78 bad configuration.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kong"
)

// Exit codes beside 0; 78 is EX_CONFIG of sysexits.h, which systemd and boothd use too.
const (
	exitFix    = 1
	exitUsage  = 2
	exitConfig = 78
)

// cli is every verb; a verb is a struct with a Run(*tool) error.
type cli struct {
	JSON bool `help:"Print JSON." name:"json"`
	place

	Check   checkCmd   `cmd:"" help:"Check the configuration, then files, permissions and certificates, then hardware."`
	Config  configCmd  `cmd:"" help:"The configuration as boothd takes it."`
	Install installCmd `cmd:"" help:"Let an OSDP reader fresh from the factory take its key, for ten minutes."`
	Move    moveCmd    `cmd:"" help:"Give an OSDP reader the address and speed that the configuration has, boothd stopped."`
	Lamps   lampsCmd   `cmd:"" help:"Tell what the lamps are told and what is seen of them, or reset their fault."`
	Lane    laneCmd    `cmd:"" help:"Tell the lane's type, or change it from the next vehicle on."`
	List    listCmd    `cmd:"" help:"Lists of cards, members, vehicles and lookouts."`
	Status  statusCmd  `cmd:"" help:"Show what the running boothd says of itself."`
	Watch   watchCmd   `cmd:"" help:"Follow the running boothd: a line for each change."`
	Probe   probeCmd   `cmd:"" help:"Say which of our protocols a port speaks, and how fast: listen, then ask what changes nothing."`
	Ports   portsCmd   `cmd:"" help:"List serial ports, without opening any, and who holds them."`
	Capture captureCmd `cmd:"" help:"Write down what goes over a device's line, and what its driver makes of it."`
	Try     tryCmd     `cmd:"" help:"Try one thing, boothd stopped: a reader, a camera, the lamps or the gate."`
	Outbox  outboxCmd  `cmd:"" help:"Tell what waits for headquarters."`
	Events  eventsCmd  `cmd:"" help:"List events, or export them with --json."`
	Explain explainCmd `cmd:"" help:"Say why a vehicle got the outcome it got."`
	Verify  verifyCmd  `cmd:"" help:"Check that the journal is what was written."`
	Bundle  bundleCmd  `cmd:"" help:"Make an archive for those who help from afar, without secrets and identifiers."`
	Replay  replayCmd  `cmd:"" help:"Decide every recorded crossing again and compare byte for byte."`
}

// tool is what every verb writes to.
type tool struct {
	stdout, stderr io.Writer
	json           bool
	place          place
}

// print writes v as indented JSON.
func (t *tool) print(v any) error {
	enc := json.NewEncoder(t.stdout)
	enc.SetIndent("", "  ")
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return fmt.Errorf("writing JSON: %w", err)
	}
	return nil
}

// failure is an error with a remedy and the exit code it earns.
type failure struct {
	err  error
	hint string
	code int
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

func main() { os.Exit(run(os.Args[1:], os.Stdout, os.Stderr)) }

// run is main with its outside handed in.
func run(args []string, stdout, stderr io.Writer) int {
	var c cli
	left := -1 // set when kong has printed help and would leave
	parser, err := kong.New(&c, kong.Name("boothctl"), kong.Writers(stdout, stderr),
		kong.Description("Install, prove and repair a booth, offline."), kong.Exit(func(code int) { left = code }))
	if err != nil {
		panic(err) // the struct above is wrong
	}
	verb, err := parser.Parse(args)
	switch {
	case left >= 0:
		return left
	case err != nil:
		return tell(stderr, &failure{err, "boothctl --help lists the verbs", exitUsage})
	}
	if err := verb.Run(&tool{stdout, stderr, c.JSON, c.place}); err != nil {
		return tell(stderr, err)
	}
	return 0
}

// tell prints an error and its remedy and returns the exit code.
func tell(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "boothctl: %v\n", err)
	if f, ok := errors.AsType[*failure](err); ok {
		if f.hint != "" {
			fmt.Fprintf(stderr, "boothctl: hint: %s\n", f.hint)
		}
		return f.code
	}
	return exitFix
}
