package uplink

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"time"

	mqtt "github.com/eclipse/paho.mqtt.golang"

	"boothd/agent/contract"
)

// take is the client's only handler. It copies into a bounded channel and
// returns: a handler that blocks stops the pings (lesson 11). What it drops is
// counted; receipts are retained and say everything again.
func (s *session) take(m mqtt.Message) {
	if m.Topic() == contract.ReceiptTopic(s.cfg.Booth) {
		if len(m.Payload()) <= contract.MaxState {
			s.dropped.Add(offer(s.receipts, bytes.Clone(m.Payload())))
		} else {
			s.dropped.Add(1)
		}
		return
	}
	for _, in := range s.cfg.Inbound {
		if matches(in.Filter, m.Topic()) {
			s.dropped.Add(offer(in.C, Message{Topic: m.Topic(), Payload: bytes.Clone(m.Payload())}))
			return
		}
	}
	s.dropped.Add(1) // nothing we asked for
}

// offer puts v into c, at the cost of the oldest in it. It returns how many
// were dropped and never blocks.
func offer[T any](c chan T, v T) (dropped uint64) {
	for range cap(c) + 1 {
		select {
		case c <- v:
			return dropped
		default:
		}
		select {
		case <-c:
			dropped++
		default:
		}
	}
	return dropped + 1
}

// matches reads a filter as MQTT does.
func matches(filter, topic string) bool {
	f, t := strings.Split(filter, "/"), strings.Split(topic, "/")
	for i, level := range f {
		switch {
		case level == "#":
			return true
		case i >= len(t) || level != "+" && level != t[i]:
			return false
		}
	}
	return len(f) == len(t)
}

// receive judges a receipt and has the journal note it, beside the loop: a
// large one is many transactions, and what is stored meanwhile does not wait for
// them.
func (s *session) receive(ctx context.Context, b []byte) {
	if len(b) == 0 {
		return // a cleared retained message
	}
	r, err := contract.DecodeReceipt(b)
	last := s.src.Last()
	switch {
	case err != nil:
		s.report("receipt_malformed", err.Error())
		return
	case r.Epoch != s.src.Epoch():
		s.report("receipt_epoch", "receipt of another epoch ignored")
		return
	case beyond(r, last):
		// A forged receipt, or our store was set back without a new epoch.
		s.report("receipt_beyond", "receipt beyond our sequence ignored")
		return
	}
	s.noting = true
	go func() { s.noted <- noted{r, s.src.Receipted(ctx, r)} }()
}

// noted is a receipt that the journal has noted, or has not.
type noted struct {
	contract.Receipt
	err error
}

// apply goes on with what a receipt that is noted leaves to do.
func (s *session) apply(ctx context.Context, r noted) {
	s.noting = false
	if r.err != nil {
		if ctx.Err() == nil {
			s.cfg.Log.Warn("uplink cannot note a receipt", "err", r.err)
		}
		return // retained: it comes again with the next one
	}
	s.air.receipted(r.Receipt)
	s.receipted = r.Receipt
	for i := range s.lanes {
		s.lanes[i].forget(s.receipted)
	}
	s.asked = slices.Clone(r.Want)
	if r.Window > 0 {
		s.window = min(r.Window, maxWindow)
	}
	if r.Rate > 0 {
		s.budget.rate = max(r.Rate, minRate)
	}
	s.note(func(st *Status) {
		st.ReceiptAt, st.Upto, st.Owed = time.Now(), max(st.Upto, r.Upto), time.Time{}
		st.Receipts++
		st.RateLimit, st.WindowSize = s.budget.rate, s.window
	})
}

func beyond(r contract.Receipt, last uint64) bool {
	high := r.Upto
	for _, x := range r.Have {
		high = max(high, x[1])
	}
	for _, x := range r.Reject {
		high = max(high, x.Seq)
	}
	return high > last
}
