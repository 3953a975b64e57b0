package contract

import "time"

// State is what a booth says of itself, retained, one topic each.
type State struct {
	Info   StateInfo
	Health StateHealth
	Lists  StateLists
}

// StateInfo is what a booth is ("birth").
type StateInfo struct {
	Contract  int       `json:"contract"` // Version of this package
	Version   string    `json:"v"`
	Program   string    `json:"program,omitempty"` // sha256:HEX of the file that runs
	Booth     string    `json:"booth"`
	Port      string    `json:"port"`
	Direction string    `json:"direction"`
	Lane      string    `json:"lane"`
	Board     string    `json:"board"`
	OS        string    `json:"os"`
	Boot      string    `json:"bootid"`
	Epoch     string    `json:"epoch"`
	Config    string    `json:"config"` // digest
	Policy    string    `json:"policy"` // digest
	Key       string    `json:"keyid,omitempty"`
	Devices   []Device  `json:"devices"`
	Capacity  Capacity  `json:"capacity"`
	StartedAt time.Time `json:"started_at"`
	Simulated bool      `json:"simulated"` // some part is simulated: nothing it says is of the road
}

// Device is one configured device and its driver.
type Device struct {
	Name   string `json:"name"`
	Driver string `json:"driver"`
	Role   string `json:"role"`
}

// Capacity is what a booth can hold.
type Capacity struct {
	JournalBytes int64 `json:"journal_bytes"`
	ListRows     int64 `json:"list_rows,omitzero"`  // of one list
	ListBytes    int64 `json:"list_bytes,omitzero"` // of one list's file, as long as the disk has room
}

// StateHealth is how a booth is.
type StateHealth struct {
	At           time.Time      `json:"at"`
	Level        string         `json:"level"`              // healthy, degraded, out
	Codes        []int          `json:"codes,omitempty"`    // reasons 2xx in force
	Warnings     []string       `json:"warnings,omitempty"` // what does not slow the lane: no_signing_key, command_keys, commands_off, no_receipts, quarantined, store_filling, certificate, headquarters, list_aging
	Devices      []DeviceHealth `json:"devices"`
	Clock        ClockHealth    `json:"clock"`
	Disk         DiskHealth     `json:"disk"`
	Outbox       OutboxHealth   `json:"outbox"`
	Lists        []ListAge      `json:"lists"`
	LatencyP99US int64          `json:"latency_p99_us"`
	Simulated    bool           `json:"simulated"`
}

// DeviceHealth is one device's state and counters since start.
type DeviceHealth struct {
	Name        string    `json:"name"`
	Online      bool      `json:"online"`
	Since       time.Time `json:"since,omitzero"`
	Reason      string    `json:"reason,omitempty"`
	Frames      uint64    `json:"frames"`
	CheckErrors uint64    `json:"check_errors"`
	Resyncs     uint64    `json:"resyncs"`
	Timeouts    uint64    `json:"timeouts"`
	Reopens     uint64    `json:"reopens"`
}

// ClockHealth is how far the time can be trusted.
type ClockHealth struct {
	Quality string `json:"quality"`
	ErrMS   int64  `json:"err_ms,omitzero"`
}

// DiskHealth is the store's room.
type DiskHealth struct {
	FreeBytes       int64 `json:"free_bytes"`
	FlashBytesDay   int64 `json:"flash_bytes_day,omitzero"`
	CertificateDays int   `json:"certificate_days,omitzero"`
}

// OutboxHealth is what waits for headquarters.
type OutboxHealth struct {
	Depth       int64 `json:"depth"` // not receipted
	OldestS     int64 `json:"oldest_s"`
	Quarantined int64 `json:"quarantined"`
	Bytes       int64 `json:"bytes"`
	ReceiptS    int64 `json:"receipt_s"` // age of the last receipt; -1: never
	// HoldsS is how long until the journal is full if nothing is receipted any
	// more and events come as in the last day; 0: not known.
	HoldsS int64 `json:"holds_s,omitzero"`
}

// ListAge is the age of one list kind.
type ListAge struct {
	Kind string `json:"list"`
	AgeS int64  `json:"age_s"` // since the last verified heartbeat; -1: no list
}

// StateLists is what a booth decides by.
type StateLists struct {
	At    time.Time   `json:"at"`
	Lists []ListState `json:"lists"`
}

// ListState is the active generation of one kind.
type ListState struct {
	ListRef
	AgeS     int64  `json:"age_s"`
	KeyID    string `json:"keyid,omitempty"` // of the token key it was built under
	Rejected bool   `json:"rejected,omitzero"`
}

// EncodeInfo gives state/info.
func EncodeInfo(s StateInfo) ([]byte, error) { return encode("state/info", s) }

// EncodeHealth gives state/health.
func EncodeHealth(s StateHealth) ([]byte, error) { return encode("state/health", s) }

// EncodeLists gives state/lists.
func EncodeLists(s StateLists) ([]byte, error) { return encode("state/lists", s) }
