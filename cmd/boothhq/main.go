// Command boothhq is the reference headquarters: it receives the booths'
// events, keeps each exactly once and gives receipts, and it builds, signs and
// publishes the lists booths decide by. Central systems may use it, or the
// contract alone.
//
// Standard output carries results and nothing else, as JSON with --json. An
// error is followed by a line that says what to do. Secrets come from files,
// by default those of $CREDENTIALS_DIRECTORY, and never from the command line,
// which every user of the machine can read.
//
// Exit codes: 0 done, 1 a failure, 2 wrong use.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime/debug"
	"syscall"

	"github.com/alecthomas/kong"
)

// Exit codes beside 0.
const (
	exitFailure = 1
	exitUsage   = 2
)

// cli is every verb; a verb is a struct with a Run(*tool) error.
type cli struct {
	Config  kong.ConfigFlag  `help:"Take flags from a TOML file; keys are the long names." placeholder:"FILE"`
	Version kong.VersionFlag `help:"Print the version and leave."`
	JSON    bool             `help:"Print JSON." name:"json"`

	Receive receiveCmd `cmd:"" help:"Receive events from a broker, keep each once, and send receipts."`
	Report  reportCmd  `cmd:"" help:"Tell what is here of each booth: events, missing, doubled, outcomes."`
	Export  exportCmd  `cmd:"" help:"Write events, one per line."`
	Board   boardCmd   `cmd:"" help:"Tell who is on, who is late and who lacks what; with --listen as a page with metrics."`
	Alerts  alertsCmd  `cmd:"" help:"The watch desk: lookout hits, who takes care of them, and what became of them."`
	Lists   listsCmd   `cmd:"" help:"Make, sign and publish eligibility lists."`
	Command commandCmd `cmd:"" help:"Ask something of a booth, signed."`
	Notice  noticeCmd  `cmd:"" help:"Have all booths show something to their people, signed; or nothing any more."`
}

// tool is what every verb works with.
type tool struct {
	ctx            context.Context // ends when the program is told to stop
	stdout, stderr io.Writer
	json           bool
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

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	os.Exit(code)
}

// run is main with its outside handed in.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	var c cli
	left := -1 // set when kong has printed help or the version and would leave
	parser, err := kong.New(&c, kong.Name("boothhq"), kong.Writers(stdout, stderr), kong.Vars{"version": version(), "passphrase": passphraseCredential()},
		kong.Description("The reference headquarters of boothd."), kong.Configuration(tomlFlags), kong.Exit(func(code int) { left = code }))
	if err != nil {
		panic(err) // the struct above is wrong
	}
	verb, err := parser.Parse(args)
	switch {
	case left >= 0:
		return left
	case err != nil:
		return tell(stderr, &failure{err, "boothhq --help lists the verbs", exitUsage})
	}
	if err := verb.Run(&tool{ctx, stdout, stderr, c.JSON}); err != nil {
		return tell(stderr, err)
	}
	return 0
}

// tell prints an error and its remedy and returns the exit code.
func tell(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "boothhq: %v\n", err)
	if f, ok := errors.AsType[*failure](err); ok {
		if f.hint != "" {
			fmt.Fprintf(stderr, "boothhq: hint: %s\n", f.hint)
		}
		return f.code
	}
	return exitFailure
}

func version() string {
	if b, ok := debug.ReadBuildInfo(); ok {
		return b.Main.Version
	}
	return "unknown"
}
