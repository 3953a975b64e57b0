package wiegand

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"boothd/devices"
	"boothd/devices/gpio"
	"boothd/devices/sim"
)

// wired is a pair of lines of a simulated chip in another process's place: behind
// a socket.
func wired(b *testing.B) (Lines, *Sim) {
	b.Helper()
	far := sim.NewChip(sim.ChipLine{Name: dataLines[0], Pull: true}, sim.ChipLine{Name: dataLines[1], Pull: true})
	ln, err := net.Listen("unix", filepath.Join(b.TempDir(), "chip.sock"))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = ln.Close() })
	go func() {
		for there, err := ln.Accept(); err == nil; there, err = ln.Accept() {
			go func() { _ = far.Serve(there) }() // ends with the connection
		}
	}()
	chip, err := gpio.OpenChip(b.Context(), "sim:"+ln.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	pair, err := chip.Pair(gpio.PairConfig{Point: "door", Lines: dataLines})
	if err != nil {
		b.Fatal(errors.Join(err, chip.Close()))
	}
	return struct {
		*gpio.Pair
		io.Closer
	}{pair, chip}, &Sim{Pulse: func(p []devices.Pulse) error { return far.Pulse(dataLines, p) }}
}

// BenchmarkLatency measures how long after a card's last edge its read is there,
// in turn with the same edges and the same silence behind them taken by nobody's
// protocol: silence is what ends a card, whoever reads it. The simulated chip
// tells edges at once, whatever their stamps.
func BenchmarkLatency(b *testing.B) {
	ctx, cancel := context.WithCancel(b.Context())
	defer cancel()
	lines, reader := wired(b)
	r, err := Open(ctx, lines, config)
	if err != nil {
		b.Fatal(err)
	}
	reads, ended := make(chan time.Time), make(chan struct{})
	go func() {
		defer close(ended)
		for read, err := range r.Reads(ctx) {
			if err == nil && !read.Tag.Unreadable {
				reads <- time.Now()
			}
		}
	}()
	floor, other := wired(b)
	var ours, bare []time.Duration
	for n := 0; b.Loop(); n++ {
		bits := string(cardNumber(b, n%1000).digits())
		began := time.Now()
		if err := reader.Raw(bits); err != nil {
			b.Fatal(err)
		}
		ours = append(ours, (<-reads).Sub(began))
		took, err := silenced(ctx, floor, other, bits)
		if err != nil {
			b.Fatal(err)
		}
		bare = append(bare, took)
	}
	cancel()
	<-ended
	_, _ = r.Close(), floor.Close() // nothing was written
	slices.Sort(ours)
	slices.Sort(bare)
	us := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1000 }
	mid := len(ours) / 2
	b.ReportMetric(us(ours[mid]), "us-to-read")
	b.ReportMetric(us(bare[mid]), "us-bare")
	b.ReportMetric(us(ours[mid]-bare[mid]), "us-added")
	b.ReportMetric(0, "ns/op")
}

// silenced takes a card's edges until there was silence.
func silenced(ctx context.Context, l Lines, s *Sim, bits string) (time.Duration, error) {
	began := time.Now()
	if err := s.Raw(bits); err != nil {
		return 0, err
	}
	for n := 0; ; n++ {
		_, ok, err := l.Next(ctx, silenceUsual)
		if err != nil || ok {
			if err != nil {
				return 0, err
			}
			continue
		}
		if n != len(bits) {
			return 0, fmt.Errorf("%d edges of %d", n, len(bits))
		}
		return time.Since(began), nil
	}
}
