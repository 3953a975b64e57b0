package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"slices"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"boothd/agent/contract"
	"boothd/agent/uplink/line"
	"boothd/cmd/boothhq/internal/authority"
)

// listsBoothsCmd tells which booth decides by which generation, from what each
// booth has left with the broker.
type listsBoothsCmd struct {
	Dir string `arg:"" help:"Folder of the authority." type:"existingdir"`
	brokerFlags
	clientFlag
	lookFlags
}

// lookFlags say how booths are looked at.
type lookFlags struct {
	Wait   time.Duration `default:"2s" help:"How long nothing more must have come; brokers send what is retained in no order."`
	Behind bool          `help:"Only booths that lack the newest generation of a list."`
}

// Bounds of what a broker can make us keep.
const (
	boothsMost  = 100_000
	boothsBytes = 64 << 10 // of one booth's state
)

// boothLists is what one booth has.
type boothLists struct {
	Booth string               `json:"booth"`
	At    time.Time            `json:"at"`
	Lists []contract.ListState `json:"lists"`
	Lacks []string             `json:"lacks"` // "cards 17 of 18"
}

// Run exits 0 whether booths lag or not.
func (c *listsBoothsCmd) Run(t *tool) error {
	published, err := authority.Status(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return &failure{fmt.Errorf("status of %s: %w", c.Dir, err), "boothhq lists init makes an authority", exitFailure}
	} else if err != nil {
		return fmt.Errorf("status of %s: %w", c.Dir, err)
	}
	out, err := c.booths(t.ctx, &c.brokerFlags, c.ClientID, published.Lists)
	if err != nil {
		return err
	}
	if t.json {
		return t.print(struct {
			Booths []boothLists `json:"booths"`
		}{out})
	}
	printBooths(t, out)
	return nil
}

// booths gives what each booth has of what is published, by name.
func (c *lookFlags) booths(ctx context.Context, at *brokerFlags, client string, published []authority.List) ([]boothLists, error) {
	states, err := c.collect(ctx, at, client)
	if err != nil {
		return nil, err
	}
	out := []boothLists{}
	for _, booth := range slices.Sorted(maps.Keys(states)) {
		s := states[booth]
		b := boothLists{Booth: booth, At: s.At, Lists: s.Lists, Lacks: lacks(published, s.Lists)}
		if !c.Behind || len(b.Lacks) > 0 {
			out = append(out, b)
		}
	}
	return out, nil
}

func printBooths(t *tool, all []boothLists) {
	for _, b := range all {
		word := "has everything"
		if len(b.Lacks) > 0 {
			word = "lacks " + strings.Join(b.Lacks, ", ")
		}
		fmt.Fprintf(t.stdout, "%-24s %s, told %s\n", b.Booth, word, b.At.Format(time.RFC3339))
	}
	fmt.Fprintf(t.stdout, "%d booths\n", len(all))
}

// lacks tells which published lists a booth has not, or has older.
func lacks(published []authority.List, has []contract.ListState) []string {
	out := []string{}
	for _, p := range published {
		i := slices.IndexFunc(has, func(h contract.ListState) bool { return h.Kind == p.Kind })
		switch {
		case i < 0:
			out = append(out, fmt.Sprintf("%s %d", p.Kind, p.Generation))
		case has[i].Generation != p.Generation:
			out = append(out, fmt.Sprintf("%s %d of %d", p.Kind, has[i].Generation, p.Generation))
		case !strings.HasSuffix(has[i].Digest, p.Digest):
			out = append(out, fmt.Sprintf("%s %d with its content", p.Kind, p.Generation))
		}
	}
	return out
}

// collect asks one broker after the other for what booths have left there.
func (c *lookFlags) collect(ctx context.Context, b *brokerFlags, client string) (map[string]contract.StateLists, error) {
	tls, password, err := b.secrets()
	if err != nil {
		return nil, err
	}
	var failed error
	for _, broker := range b.Broker {
		at, err := line.ParseBroker(broker, tls)
		if err != nil {
			return nil, err
		}
		in := make(chan mqtt.Message, 256)
		l, err := line.Open(ctx, line.Config{Broker: at, ClientID: client, Username: client, Password: password, TLS: tls,
			Dial: new(net.Dialer).DialContext, Take: func(m mqtt.Message) {
				select {
				case in <- m:
				case <-ctx.Done():
				}
			}})
		if err == nil {
			var states map[string]contract.StateLists
			if states, err = c.gather(ctx, l, in); err == nil {
				l.Close()
				return states, nil
			}
			l.Close()
		}
		failed = errors.Join(failed, fmt.Errorf("asking %s: %w", at.Host, err))
	}
	return nil, failed
}

func (c *lookFlags) gather(ctx context.Context, l *line.Line, in <-chan mqtt.Message) (map[string]contract.StateLists, error) {
	refused, err := l.Subscribe(ctx, contract.ListsTopic("+"))
	if err != nil {
		return nil, err
	}
	if len(refused) > 0 {
		return nil, fmt.Errorf("the broker refuses the subscription %v", refused)
	}
	states := map[string]contract.StateLists{}
	quiet := time.NewTimer(c.Wait)
	defer quiet.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case err := <-l.Lost():
			return nil, fmt.Errorf("connection lost: %w", err)
		case <-quiet.C:
			return states, nil
		case m := <-in:
			quiet.Reset(c.Wait)
			booth := strings.TrimSuffix(strings.TrimPrefix(m.Topic(), "booth/v1/"), "/state/lists")
			var s contract.StateLists
			if contract.CheckBooth(booth) != nil || len(m.Payload()) > boothsBytes || len(states) >= boothsMost || json.Unmarshal(m.Payload(), &s) != nil {
				continue // no booth's state
			}
			states[booth] = s
		}
	}
}
