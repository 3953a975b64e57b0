package contract

import (
	"errors"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"
)

// The types of events that commands and signed checkpoints bring.
const (
	TypeHello         Type = "org.boothd.device.hello.v1"
	TypeCommand       Type = "org.boothd.audit.command.v1"
	TypeCommandResult Type = "org.boothd.command.result.v1"
)

// Bounds of a command.
const (
	// MaxCommandSpan is the longest that a command may be valid: a booth keeps
	// the id of every command for as long.
	MaxCommandSpan = 7 * 24 * time.Hour
	maxCommandArgs = 2 << 10 // bytes
	maxCommandBy   = 64
	maxCommandName = 32
)

// Command is what headquarters asks of one booth: the payload that is signed.
type Command struct {
	ID        string         `json:"cmdid"` // UUIDv7; a booth obeys each once
	Name      string         `json:"name"`
	Args      jsontext.Value `json:"args"` // an object; what stands in it depends on Name
	Booth     string         `json:"booth"`
	NotBefore time.Time      `json:"notbefore"`
	NotAfter  time.Time      `json:"notafter"`
	By        string         `json:"by"` // who at headquarters
}

// EncodeCommand gives a command's bytes, to be signed. It fails on what
// DecodeCommand refuses.
func EncodeCommand(c Command) ([]byte, error) {
	if len(c.Args) == 0 {
		c.Args = jsontext.Value("{}")
	}
	if err := c.check(); err != nil {
		return nil, err
	}
	return encode("command", c)
}

// DecodeCommand reads the payload of an envelope that was opened. The contract
// of commands is closed: a member that is not known might limit what was meant,
// so it is refused. Only the form is judged here.
func DecodeCommand(b []byte) (Command, error) {
	var c Command
	if err := strict(b, MaxSealed, &c); err != nil {
		return Command{}, fmt.Errorf("command: %w", err)
	}
	c = Command{}
	if err := json.Unmarshal(b, &c, json.RejectUnknownMembers(true)); err != nil {
		return Command{}, fmt.Errorf("command: %w", plain(err))
	}
	if err := c.check(); err != nil {
		return Command{}, err
	}
	return c, nil
}

func (c Command) check() error {
	id, err := uuid.Parse(c.ID)
	switch {
	case err != nil || id.Version() != 7 || id.String() != c.ID:
		return errors.New("command: cmdid is not a UUIDv7 in lower case")
	case c.Name == "" || len(c.Name) > maxCommandName:
		return fmt.Errorf("command: name of %d bytes, 1 to %d are possible", len(c.Name), maxCommandName)
	case c.By == "" || len(c.By) > maxCommandBy:
		return fmt.Errorf("command: by of %d bytes, 1 to %d are possible", len(c.By), maxCommandBy)
	case c.Args.Kind() != '{' || len(c.Args) > maxCommandArgs:
		return fmt.Errorf("command: args are not an object of at most %d bytes", maxCommandArgs)
	case c.NotBefore.IsZero() || !c.NotBefore.Before(c.NotAfter):
		return errors.New("command: notbefore and notafter are not a span")
	case c.NotAfter.Sub(c.NotBefore) > MaxCommandSpan:
		return fmt.Errorf("command: valid for more than %v", MaxCommandSpan)
	}
	for _, text := range []string{c.Name, c.By} {
		for i := range len(text) {
			if text[i] < ' ' || text[i] > '~' {
				return errors.New("command: name or by has other than plain characters")
			}
		}
	}
	return CheckBooth(c.Booth)
}

// CommandTaken is stored before a command is carried out: whatever follows, it
// is known who asked for it.
type CommandTaken struct {
	ID    string         `json:"cmdid"`
	Name  string         `json:"name"`
	Args  jsontext.Value `json:"args"`
	By    string         `json:"by"`
	KeyID string         `json:"keyid"` // that signed it
	Clock Clock          `json:"clock"`
}

// Outcomes of a command.
const (
	CommandDone    = "done"
	CommandRefused = "refused" // nothing was done
	CommandFailed  = "failed"  // taken, but it could not be carried out
	CommandUnknown = "unknown" // taken, and the booth stopped before it could tell
)

// CommandResult tells what became of a command. A command may have several:
// the first that is not "refused" with reason "replayed" counts.
type CommandResult struct {
	ID      string `json:"cmdid,omitempty"`  // "" if nobody trusted has signed what came
	Digest  string `json:"digest,omitempty"` // sha256:HEX of the message that came, where there is no cmdid
	Name    string `json:"name,omitempty"`
	Outcome string `json:"outcome"`
	Reason  string `json:"reason,omitempty"` // short constant word, of a refusal or failure
	Detail  string `json:"detail,omitempty"` // in words, at most 200 bytes
	// Unsaid counts refusals since the last result that were not stored, because
	// a flood of rubbish must not fill the journal.
	Unsaid uint64 `json:"unsaid,omitzero"`
	Clock  Clock  `json:"clock"`
}

// Hello follows each connect: from it headquarters learns what the booth has
// heard, and sends again what still matters.
type Hello struct {
	Conn    uint64   `json:"conn"`               // as in the status
	Upto    uint64   `json:"upto"`               // of the last receipt; 0: none in this run
	Command string   `json:"cmdid,omitempty"`    // last command taken
	KeyID   string   `json:"keyid,omitempty"`    // of the booth's signing key
	Trusts  []string `json:"commands,omitempty"` // ids of the keys whose commands it takes
	Clock   Clock    `json:"clock"`
}

// CheckpointBody is the payload that a checkpoint's envelope signs.
type CheckpointBody struct {
	Booth string    `json:"booth"`
	Epoch string    `json:"epoch"`
	Seq   uint64    `json:"seq"`
	Head  string    `json:"head"` // SHA-256 of the stored bytes of Seq, hex
	At    time.Time `json:"at"`
}

// EncodeCheckpoint gives a checkpoint's bytes, to be signed.
func EncodeCheckpoint(c CheckpointBody) ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	return encode("checkpoint", c)
}

// DecodeCheckpoint reads the payload of an envelope that was opened.
func DecodeCheckpoint(b []byte) (CheckpointBody, error) {
	var c CheckpointBody
	if err := strict(b, MaxSealed, &c); err != nil {
		return CheckpointBody{}, fmt.Errorf("checkpoint: %w", err)
	}
	if err := c.check(); err != nil {
		return CheckpointBody{}, err
	}
	return c, nil
}

func (c CheckpointBody) check() error {
	if uuid.Validate(c.Epoch) != nil || c.Seq == 0 || c.Seq > 1<<63-1 || len(c.Head) != 64 {
		return errors.New("checkpoint: epoch, seq or head out of range")
	}
	return CheckBooth(c.Booth)
}

// Type names the event.
func (Hello) Type() Type { return TypeHello }

// Type names the event.
func (CommandTaken) Type() Type { return TypeCommand }

// Type names the event.
func (CommandResult) Type() Type { return TypeCommandResult }

func (Hello) subject() string           { return "booth" }
func (d CommandTaken) subject() string  { return "command/" + d.ID }
func (d CommandResult) subject() string { return "command/" + d.ID }
