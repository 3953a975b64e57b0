package agent

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"boothd/configs"
	"boothd/devices"
	"boothd/devices/line"
	"boothd/devices/nedap"
	"boothd/devices/port"
	"boothd/devices/webhook"
)

// openLine opens a camera that writes lines.
func openLine(ctx context.Context, p port.Port, d configs.Device, fault func(error)) (Reader, error) {
	c := line.Config{Name: d.Name, Role: devices.Role(d.Role), Start: d.Start, End: d.End,
		Silence: d.Silence.Duration, Separator: d.Separator, NoRead: d.NoRead, ConfidenceScale: d.ConfidenceScale,
		Checksum: string(d.Checksum), ChecksumEnd: d.ChecksumEnd, Heartbeat: d.Heartbeat, Quiet: d.Quiet.Duration, Ack: d.Ack, Nak: d.Nak, Charset: string(d.Charset), Zone: d.Zone, MaxLength: d.MaxLength, Window: d.Window.Duration,
		Health: func(f line.Fault) { fault(f.Why) }}
	c.Fields = fieldsOf(d)
	return line.Open(ctx, p, c)
}

func fieldsOf(d configs.Device) (names []string) {
	for _, f := range d.Fields {
		names = append(names, string(f))
	}
	return names
}

// openNedap opens a camera of framed reports; what their text means is read as
// any other camera's.
func openNedap(ctx context.Context, p port.Port, d configs.Device, fault func(error)) (Reader, error) {
	text, err := line.NewText(line.Config{Separator: d.Separator, Fields: fieldsOf(d), NoRead: d.NoRead, ConfidenceScale: d.ConfidenceScale,
		Charset: string(d.Charset), Zone: d.Zone})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("nedap %s: %w", d.Name, err), p.Close())
	}
	return nedap.Open(ctx, p, nedap.Config{Name: d.Name, Role: devices.Role(d.Role), Packets: d.Template == configs.TemplateTags,
		Text: text, Ack: d.Ack, Window: d.Window.Duration, Health: fault})
}

// openWebhook listens where a camera posts to.
func openWebhook(ctx context.Context, w World, d configs.Device, here Place, fault func(error)) (Reader, error) {
	token, err := w.Secret(d.Token)
	if err != nil {
		return nil, fmt.Errorf("webhook %s: its token: %w", d.Name, err)
	}
	path, _ := d.Path.Web()
	c := webhook.Config{Name: d.Name, Role: devices.Role(d.Role), Path: path, Token: bytes.TrimSpace(token),
		Paths: d.Paths, Seen: d.Seen, Scale: float64(d.ConfidenceScale),
		Quiet: d.Quiet.Duration, Window: d.Window.Duration, Keep: here.Keep, Health: fault}
	if d.Path.Scheme() == "https" {
		if c.TLS, err = serverTLS(w, d); err != nil {
			return nil, fmt.Errorf("webhook %s: %w", d.Name, err)
		}
	}
	at, _ := d.Path.Network()
	ln, err := w.Listen(ctx, "tcp", at)
	if err != nil {
		return nil, fmt.Errorf("webhook %s: %w", d.Name, err)
	}
	return webhook.Open(ctx, ln, c)
}

// playedLine is a camera that writes lines, played in the form that the device
// has.
func playedLine(d configs.Device, on Stage) (devices.Far, error) {
	if d.Checksum != "" && d.Checksum != configs.ChecksumNone {
		return devices.Far{}, errors.New("a camera whose reports have a checksum cannot be played")
	}
	c := &line.Camera{Wire: on.Wire, Start: d.Start, End: d.End, Separator: d.Separator, Scale: d.ConfidenceScale, Fields: fieldsOf(d)}
	if len(d.NoRead) > 0 {
		c.Unread = d.NoRead[0]
	}
	return c.Far(), nil
}

// playedWebhook is a camera that posts, played in the form of a template.
func playedWebhook(ctx context.Context, d configs.Device, on Stage) (devices.Far, error) {
	switch {
	case d.Path.Scheme() == "https":
		return devices.Far{}, errors.New("a camera that posts is played to http:// alone")
	case d.Template == configs.TemplateCustom:
		return devices.Far{}, errors.New("a camera that posts is played in the form of a template alone")
	}
	token, err := on.Secret(d.Token)
	if err != nil {
		return devices.Far{}, err
	}
	c := &webhook.Camera{URL: string(d.Path), Token: string(bytes.TrimSpace(token)), Template: string(d.Template), Name: d.Name}
	return c.Far(ctx, d.Quiet.Duration), nil
}
