package webhook

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Camera is the far end: it posts reports as the camera of a template does. Its
// fields are set before it is used; its methods may be called from any
// goroutine.
type Camera struct {
	URL      string
	Token    string
	Template string       // plate-recognizer (also the default), openalpr, axis
	Name     string       // default "camera-1"
	Client   *http.Client // nil: the ordinary one
}

// Plate reports a plate. Confidence is a fraction from 0 to 1; what a template
// has no place for is left out.
func (c *Camera) Plate(ctx context.Context, text, jurisdiction string, confidence float64) error {
	return c.report(ctx, c.Report(time.Now(), text, jurisdiction, confidence))
}

// NoRead reports a vehicle without a readable plate.
func (c *Camera) NoRead(ctx context.Context) error {
	return c.report(ctx, c.Report(time.Now(), "", "", 0))
}

// Report is the body of a report; no text: nothing was read.
func (c *Camera) Report(at time.Time, text, jurisdiction string, confidence float64) []byte {
	type object = map[string]any
	results := []object{}
	name := c.Name
	if name == "" {
		name = "camera-1"
	}
	var report object
	switch c.Template {
	case "openalpr":
		if text != "" {
			results = append(results, object{"plate": text, "confidence": 100 * confidence, "region": jurisdiction})
		}
		report = object{"data_type": "alpr_results", "epoch_time": at.UnixMilli(), "camera_id": name, "results": results}
	case "axis":
		report = object{"plate": text, "device": name, "timestamp": at.UnixMilli()}
	default:
		if text != "" {
			results = append(results, object{"plate": text, "score": confidence, "region": object{"code": jurisdiction}})
		}
		report = object{"hook": object{"event": "recognition", "id": name},
			"data": object{"camera_id": name, "timestamp": at.UTC().Format(time.RFC3339Nano), "results": results}}
	}
	b, err := json.Marshal(report)
	if err != nil {
		panic(err) // nothing above fails to be JSON
	}
	return b
}

// Beat says that the camera is there.
func (c *Camera) Beat(ctx context.Context) error {
	code, err := c.Post(ctx, http.MethodGet, nil)
	return taken(code, err)
}

func (c *Camera) report(ctx context.Context, body []byte) error {
	code, err := c.Post(ctx, http.MethodPost, body)
	return taken(code, err)
}

func taken(code int, err error) error {
	if err == nil && code != http.StatusNoContent {
		err = fmt.Errorf("playing a camera: the booth answers %d", code)
	}
	return err
}

// Post sends any body and gives the booth's answer.
func (c *Camera) Post(ctx context.Context, method string, body []byte) (code int, err error) {
	req, err := http.NewRequestWithContext(ctx, method, c.URL, bytes.NewReader(body))
	if err != nil {
		return 0, fmt.Errorf("playing a camera: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	if c.Token != "" {
		req.Header.Set("Authorization", "Bearer "+c.Token)
	}
	client := c.Client
	if client == nil {
		client = http.DefaultClient
	}
	resp, err := client.Do(req)
	if err != nil {
		return 0, fmt.Errorf("playing a camera: %w", err)
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 4096)) // so that the connection can be used again
	return resp.StatusCode, resp.Body.Close()
}
