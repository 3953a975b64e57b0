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
func openLine(ctx context.Context, p port.Port, d configs.Device, own *line.Settings, fault func(error)) (Reader, error) {
	c := line.Config{Name: d.Name, Role: devices.Role(d.Role), Start: own.Start, End: own.End,
		Silence: own.Silence, Separator: d.Separator, NoRead: d.NoRead, ConfidenceScale: d.ConfidenceScale,
		Checksum: own.Checksum, ChecksumEnd: own.ChecksumEnd, Heartbeat: own.Heartbeat, Quiet: own.Quiet, Ack: own.Ack, Nak: own.Nak,
		Charset: string(d.Charset), Zone: d.Zone, MaxLength: own.MaxLength, Window: d.Window.Duration,
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
func openNedap(ctx context.Context, p port.Port, d configs.Device, own *nedap.Settings, fault func(error)) (Reader, error) {
	text, err := line.NewText(line.Config{Separator: d.Separator, Fields: fieldsOf(d), NoRead: d.NoRead, ConfidenceScale: d.ConfidenceScale,
		Charset: string(d.Charset), Zone: d.Zone})
	if err != nil {
		return nil, errors.Join(fmt.Errorf("nedap %s: %w", d.Name, err), p.Close())
	}
	return nedap.Open(ctx, p, nedap.Config{Name: d.Name, Role: devices.Role(d.Role), Packets: d.Template == nedap.TemplateTags,
		Text: text, Ack: own.Ack, Window: d.Window.Duration, Health: fault})
}

// openWebhook listens where a camera posts to.
func openWebhook(ctx context.Context, w World, d configs.Device, own *webhook.Settings, here Place, fault func(error)) (Reader, error) {
	token, err := w.Secret(d.Token)
	if err != nil {
		return nil, fmt.Errorf("webhook %s: its token: %w", d.Name, err)
	}
	path, _ := d.Path.Web()
	c := webhook.Config{Name: d.Name, Role: devices.Role(d.Role), Path: path, Token: bytes.TrimSpace(token),
		Paths: own.Paths, Seen: own.Seen, Scale: float64(d.ConfidenceScale),
		Quiet: own.Quiet, Window: d.Window.Duration, Keep: here.Keep, Health: fault}
	if here.Watched {
		c.Quiet = 0
	}
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

// playLine plays a camera that writes lines, in the form that the device has.
func playLine(d configs.Device, own *line.Settings, on Stage) (devices.Far, error) {
	if own.Checksum != "" && own.Checksum != "none" {
		return devices.Far{}, errors.New("a camera whose reports have a checksum cannot be played")
	}
	c := &line.Camera{Wire: on.Wire, Start: own.Start, End: own.End, Separator: d.Separator, Scale: d.ConfidenceScale, Fields: fieldsOf(d)}
	if len(d.NoRead) > 0 {
		c.Unread = d.NoRead[0]
	}
	return c.Far(), nil
}

// playWebhook plays a camera that posts, in the form of a template.
func playWebhook(ctx context.Context, d configs.Device, own *webhook.Settings, on Stage) (devices.Far, error) {
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
	return c.Far(ctx, own.Quiet), nil
}
