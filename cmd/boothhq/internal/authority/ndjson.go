package authority

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// maxLine bounds one line of NDJSON, in bytes.
const maxLine = 64 << 10

// readEither reads members.csv or members.ndjson, whichever is there.
func (t *table) readEither(in string, f *faults, tell Progress) error {
	lines := *t
	lines.name = strings.TrimSuffix(t.name, ".csv") + ".ndjson"
	err := t.read(filepath.Join(in, t.name), f, tell)
	if _, also := os.Stat(filepath.Join(in, lines.name)); also == nil {
		if errors.Is(err, fs.ErrNotExist) {
			return lines.readLines(filepath.Join(in, lines.name), f, tell)
		}
		return fmt.Errorf("%s and %s: which of them counts cannot be told", t.name, lines.name)
	}
	return err
}

// readLines reads one JSON object a line, with the columns for names. A column
// that is missing is empty; programs may be an array.
func (t *table) readLines(path string, f *faults, tell Progress) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	rec := &record{table: t, faults: f, column: map[string]int{}}
	for i, name := range t.columns {
		rec.column[name] = i
	}
	size, read := fileSize(file), int64(0)
	in := bufio.NewScanner(file)
	in.Buffer(make([]byte, 0, 4096), maxLine)
	for rec.line = 1; in.Scan(); rec.line++ {
		if read += int64(len(in.Bytes())) + 1; rec.line%progressRows == 0 {
			tell.at(t.name, read, size)
		}
		if len(strings.TrimSpace(in.Text())) == 0 {
			continue
		}
		rec.fields, rec.bad = make([]string, len(t.columns)), false
		var object map[string]jsontext.Value
		if err := json.Unmarshal(in.Bytes(), &object); err != nil {
			rec.fault("", "is no JSON object") // not the error: it may quote the row
			continue
		}
		for name, v := range object {
			i, ok := rec.column[name]
			if !ok {
				rec.fault("", "has a member that is none of "+strings.Join(t.columns, ", "))
				continue
			}
			if rec.fields[i], ok = plainText(v); !ok {
				rec.fault(name, "is no text, number, truth or array of texts")
			}
		}
		if !rec.bad {
			t.row(rec)
		}
	}
	if errors.Is(in.Err(), bufio.ErrTooLong) {
		return fmt.Errorf("%s:%d: line is over %d bytes", t.name, rec.line, maxLine)
	}
	return in.Err()
}

// plainText is a JSON value as a CSV file would have it.
func plainText(v jsontext.Value) (string, bool) {
	switch v.Kind() {
	case 'n':
		return "", true
	case 't', 'f', '0':
		return string(v), true
	case '"':
		var s string
		err := json.Unmarshal(v, &s)
		return s, err == nil
	case '[':
		var all []string
		if json.Unmarshal(v, &all) != nil || slices.ContainsFunc(all, func(s string) bool { return strings.ContainsAny(s, " ;") }) {
			return "", false
		}
		return strings.Join(all, " "), true
	}
	return "", false
}
