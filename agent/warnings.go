package agent

import (
	"fmt"
	"time"

	"boothd/agent/passage"
	"boothd/agent/status"
	"boothd/agent/uplink"
	"boothd/configs"
)

// Health warnings: what does not slow the lane and yet wants somebody.
const (
	warnNoKey       = "no_signing_key" // checkpoints of the journal are left out
	warnCommandKeys = "command_keys"   // the file of trusted keys cannot be read
	warnNoCommands  = "commands_off"   // there is none, and commands are allowed
	warnListAging   = "list_aging"     // over its soft age
	warnQuarantined = "quarantined"    // headquarters refused events
	warnFilling     = "store_filling"  // the journal is full before long if nothing is receipted
	warnCertificate = "certificate"    // of the booth, towards headquarters
	warnNoReceipts  = "no_receipts"    // a broker's word is taken for headquarters'
	warnApart       = "headquarters"   // is out of reach
	warnNotice      = "notice"         // what headquarters has all booths show
)

const (
	// fillsSoon is the longest outage that a booth must bear (product design,
	// section 9: 72 hours offline).
	fillsSoon = 72 * time.Hour
	// certificateSoon is when a certificate that lives 90 days or more is worth a
	// word (reliability reference, fault matrix).
	certificateSoon = 30 * 24 * time.Hour
)

// warnings tells what somebody should look after: what is wrong since the start,
// then what comes and goes. Lists are those that the lane needs.
func (b *bulletin) warnings(now time.Time, k kept, link uplink.Status, lists []passage.List) (out []status.Warning) {
	add := func(code, format string, args ...any) {
		out = append(out, status.Warning{Code: code, Words: fmt.Sprintf(format, args...)})
	}
	for _, code := range b.found {
		switch code {
		case warnNoKey:
			add(code, "checkpoints of the journal are left out: booth.signing_key is not there or no key")
		case warnCommandKeys:
			add(code, "headquarters' commands are off: commands.keys cannot be read")
		case warnNoCommands:
			add(code, "headquarters' commands are off: commands.keys is not there")
		}
	}
	if b.notice != nil {
		if n, ok := b.notice(now); ok {
			add(warnNotice, "headquarters says: %s", n.Text)
		}
	}
	if b.cfg.MQTT.AckMode == configs.AckPuback {
		add(warnNoReceipts, "events count as delivered when a broker has them: mqtt.ack_mode is puback")
	}
	if apart(link, now, b.startedAt) {
		if link.Connected {
			add(warnApart, "headquarters receipts nothing of what broker %s takes: events are kept, lists grow older", link.Broker)
		} else {
			add(warnApart, "headquarters is out of reach: events are kept, lists grow older")
		}
	}
	if k.quarantined > 0 {
		add(warnQuarantined, "%d events were refused by headquarters: boothctl events --state quarantined", k.quarantined)
	}
	if k.holds > 0 && k.holds < fillsSoon {
		add(warnFilling, "the journal holds %s more at this rate if headquarters is away", hours(k.holds))
	}
	if until := b.certUntil.Load(); until != nil && until.Sub(now) < certificateSoon {
		if left := until.Sub(now); left > 0 {
			add(warnCertificate, "the booth's certificate ends in %s: install another, no restart is needed", hours(left))
		} else {
			add(warnCertificate, "the booth's certificate has ended: headquarters lets nobody in with it")
		}
	}
	soft, hard := b.cfg.Lists.SoftAge.Duration, b.cfg.Lists.HardAge.Duration
	for _, l := range lists {
		if age := time.Duration(l.Age) * time.Millisecond; l.Generation > 0 && age > soft && age <= hard {
			add(warnListAging, "list %s: headquarters last vouched for it %s ago, and in %s nobody is expedited by it", l.Kind, minutes(age), minutes(hard-age))
		}
	}
	return out
}

func hours(d time.Duration) string {
	if d >= 48*time.Hour {
		return fmt.Sprintf("%d days", d/(24*time.Hour))
	}
	return fmt.Sprintf("%d h", d/time.Hour)
}

func minutes(d time.Duration) string { return d.Truncate(time.Minute).String() }
