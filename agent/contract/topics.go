package contract

import (
	"fmt"
	"strings"
)

// Topic templates (mqtt contract, section 1). The braces name a level; the
// functions below fill it.
const (
	TopicStatus      = "booth/v1/{booth}/status"       // up, retained, also the last will
	TopicStateInfo   = "booth/v1/{booth}/state/info"   // up, retained
	TopicStateHealth = "booth/v1/{booth}/state/health" // up, retained, every 60 s and on change
	TopicStateLists  = "booth/v1/{booth}/state/lists"  // up, retained
	TopicEvent       = "booth/v1/{booth}/evt/{class}"  // up, the durable stream
	TopicReceipt     = "booth/v1/{booth}/rcpt"         // down, retained
	TopicCommand     = "booth/v1/{booth}/cmd"          // down
	TopicWantList    = "booth/v1/{booth}/want/list"    // up
	TopicListMeta    = "list/v1/tuf/{metadata}"        // down, retained: root/N, timestamp, snapshot, targets
	TopicListPart    = "list/v1/{list}/part/{digest}"  // down
	TopicNotice      = "fleet/v1/notice"               // down, retained
)

// Filters headquarters subscribes to, for all booths.
const (
	FilterEvents = "booth/v1/+/evt/#"
	FilterStatus = "booth/v1/+/status"
)

// QoS of every message of the contract: an audit trail at QoS 0 is out of the
// question.
const QoS = 1

// QoSLatest is at which a booth subscribes to what is retained and says all of
// it again each time: receipts, lists' metadata and notices. What is lost comes with the
// next one, or with the next connection. At QoS 1 each of these subscriptions
// would be a consumer that the three nodes of nats-server agree about: two
// hundred booths were more than such a cluster could drain.
const QoSLatest = 0

// Class of an event: the last level of its topic, and what the journal thins by.
type Class string

// The classes of events.
const (
	ClassCrossing  Class = "crossing"
	ClassRead      Class = "read"
	ClassSignal    Class = "signal"
	ClassDevice    Class = "device"
	ClassList      Class = "list"
	ClassClock     Class = "clock"
	ClassSecurity  Class = "security" // the watch desk's; overtakes everything
	ClassAudit     Class = "audit"
	ClassCmdResult Class = "cmdresult"
)

// Valid tells whether the class is one of the contract.
func (c Class) Valid() bool {
	switch c {
	case ClassCrossing, ClassRead, ClassSignal, ClassDevice, ClassList, ClassClock, ClassSecurity, ClassAudit, ClassCmdResult:
		return true
	}
	return false
}

// CheckBooth refuses what is not a booth id: 3 to 40 lower-case letters,
// digits and dashes, starting with a letter or digit. The id is at once the
// certificate's common name, the MQTT client id and one topic level.
func CheckBooth(id string) error {
	if len(id) < 3 || len(id) > 40 {
		return fmt.Errorf("booth id of %d characters, want 3 to 40", len(id))
	}
	for i := range len(id) {
		c := id[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' && i > 0) {
			return fmt.Errorf("booth id %q: character %d is not one of a-z, 0-9, - (and no - first)", id, i+1)
		}
	}
	return nil
}

func at(template, booth string) string { return strings.Replace(template, "{booth}", booth, 1) }

// StatusTopic is where a booth says online, stopping and, by its will, offline.
func StatusTopic(booth string) string { return at(TopicStatus, booth) }

// InfoTopic is where a booth says what it is.
func InfoTopic(booth string) string { return at(TopicStateInfo, booth) }

// HealthTopic is where a booth says how it is.
func HealthTopic(booth string) string { return at(TopicStateHealth, booth) }

// ListsTopic is where a booth says which lists it decides by.
func ListsTopic(booth string) string { return at(TopicStateLists, booth) }

// EventTopic is where a booth's events of a class go.
func EventTopic(booth string, c Class) string {
	return strings.Replace(at(TopicEvent, booth), "{class}", string(c), 1)
}

// ReceiptTopic is where headquarters says what it has of a booth.
func ReceiptTopic(booth string) string { return at(TopicReceipt, booth) }

// CommandTopic is where headquarters commands a booth.
func CommandTopic(booth string) string { return at(TopicCommand, booth) }

// WantListTopic is where a booth asks for a list.
func WantListTopic(booth string) string { return at(TopicWantList, booth) }

// EventSource reads booth and class out of an event's topic.
func EventSource(topic string) (booth string, c Class, err error) {
	levels := strings.Split(topic, "/")
	if len(topic) > MaxTopic || len(levels) != 5 || levels[0] != "booth" || levels[1] != "v1" || levels[3] != "evt" {
		return "", "", fmt.Errorf("not an event topic (%d bytes)", len(topic))
	}
	if err := CheckBooth(levels[2]); err != nil {
		return "", "", err
	}
	if c = Class(levels[4]); !c.Valid() {
		return "", "", fmt.Errorf("unknown event class of booth %s", levels[2])
	}
	return levels[2], c, nil
}

// StatusSource reads the booth out of a status topic.
func StatusSource(topic string) (booth string, err error) {
	rest, ok := strings.CutPrefix(topic, "booth/v1/")
	booth, ok2 := strings.CutSuffix(rest, "/status")
	if !ok || !ok2 {
		return "", fmt.Errorf("not a status topic (%d bytes)", len(topic))
	}
	return booth, CheckBooth(booth)
}
