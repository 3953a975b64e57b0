package authority

import (
	"bufio"
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"boothd/agent/passage"
	"boothd/devices"
)

// table is one CSV file: a heading with exactly these columns, in any order,
// then one row a subject.
type table struct {
	name, kind string
	columns    []string
	row        func(*record)
}

// maxFaults are told in words; more are in the file of all.
const maxFaults = 100

// faults collects what is wrong with rows. It never holds a value from the
// file: in a row that slipped, any column may hold an identifier.
type faults struct {
	path string // file of all, made once there are more than maxFaults
	told []error
	more int
	file *os.File
	w    *bufio.Writer
	lost error // of writing that file
}

func (f *faults) add(err error) {
	if len(f.told) < maxFaults {
		f.told = append(f.told, err)
		return
	}
	if f.more++; f.more == 1 {
		if f.file, f.lost = os.OpenFile(f.path, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600); f.lost != nil {
			return
		}
		f.w = bufio.NewWriter(f.file)
		for _, e := range f.told {
			fmt.Fprintln(f.w, e)
		}
	}
	if f.w != nil {
		fmt.Fprintln(f.w, err) // a bufio.Writer keeps its first error
	}
}

// err is all that is wrong; the file of all is closed.
func (f *faults) err() error {
	if f.more == 0 {
		return errors.Join(f.told...)
	}
	if f.w != nil {
		f.lost = errors.Join(f.w.Flush(), f.file.Close())
	}
	more := fmt.Errorf("and %d more; every one is in %s", f.more, f.path)
	if f.lost != nil {
		more = fmt.Errorf("and %d more, which could not be written: %w", f.more, f.lost)
	}
	return errors.Join(append(slices.Clone(f.told), more)...)
}

// record is one row being read.
type record struct {
	table  *table
	line   int // in the file, from 1; the heading is 1
	fields []string
	column map[string]int
	faults *faults
	bad    bool
}

// read reads a file and hands its rows on. The error is fs.ErrNotExist or
// whatever stops the reading; faults of rows go to f.
func (t *table) read(path string, f *faults, tell Progress) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	size := fileSize(file)
	r := csv.NewReader(file)
	r.ReuseRecord = true
	heading, err := r.Read()
	if err != nil {
		return fmt.Errorf("%s: heading: %w", t.name, err)
	}
	rec := &record{table: t, faults: f, column: map[string]int{}}
	for i, name := range heading {
		rec.column[strings.TrimPrefix(strings.TrimSpace(name), "\ufeff")] = i
	}
	want := slices.Sorted(slices.Values(t.columns))
	if got := slices.Sorted(maps.Keys(rec.column)); !slices.Equal(got, want) || len(heading) != len(want) {
		return fmt.Errorf("%s: heading is not %s", t.name, strings.Join(t.columns, ","))
	}
	for n := 0; ; n++ {
		if n%progressRows == 0 {
			tell.at(t.name, r.InputOffset(), size)
		}
		rec.fields, err = r.Read()
		var syntax *csv.ParseError
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case errors.As(err, &syntax):
			f.add(fmt.Errorf("%s:%d: %w", t.name, syntax.Line, syntax.Err))
			if !errors.Is(syntax.Err, csv.ErrFieldCount) {
				return f.err() // the rest cannot be split into rows for sure
			}
			continue
		case err != nil:
			return fmt.Errorf("%s: %w", t.name, err)
		}
		rec.line, _ = r.FieldPos(0)
		rec.bad = false
		t.row(rec)
	}
}

// fileSize is for progress alone; 0 if it cannot be told.
func fileSize(f *os.File) int64 {
	info, err := f.Stat()
	if err != nil {
		return 0
	}
	return info.Size()
}

// fault tells what is wrong with a column, or with the whole row.
func (r *record) fault(column, what string) {
	r.bad = true
	if column != "" {
		column += " "
	}
	r.faults.add(fmt.Errorf("%s:%d: %s%s", r.table.name, r.line, column, what))
}

func (r *record) field(column string) string { return strings.TrimSpace(r.fields[r.column[column]]) }

// identifier gives the token of a personal identifier. Its value is in no
// message.
func (r *record) identifier(column string, token func(devices.Ident) passage.Token) passage.Token {
	t := token(devices.Ident(r.field(column)))
	if t == "" {
		r.fault(column, "is missing or not an identifier of its kind")
	}
	return t
}

func choice[T any](r *record, column string, of map[string]T) T {
	v, ok := of[r.field(column)]
	if !ok {
		r.fault(column, "is none of "+oneOf(slices.Collect(maps.Keys(of))))
	}
	return v
}

// words splits at blanks and semicolons; every word must be one of some.
func (r *record) words(column string, some []string) []string {
	words := strings.FieldsFunc(r.field(column), func(c rune) bool { return c == ' ' || c == ';' })
	for _, w := range words {
		if !slices.Contains(some, w) {
			r.fault(column, "has one that is none of "+strings.Join(some, ", "))
		}
	}
	if len(words) == 0 {
		r.fault(column, "is missing")
	}
	return words
}

func (r *record) yes(column string) bool {
	switch strings.ToLower(r.field(column)) {
	case "yes", "true", "1":
		return true
	case "no", "false", "0", "":
		return false
	}
	r.fault(column, "is neither yes nor no")
	return false
}

// time reads RFC 3339 or a date, which means its first second, or its last one
// where it ends something. Empty is none.
func (r *record) time(column string, last bool) time.Time {
	s := r.field(column)
	if s == "" {
		return time.Time{}
	}
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t.UTC()
	}
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		r.fault(column, "is no date such as 2027-06-30 and no time such as 2027-06-30T04:00:00Z")
		return time.Time{}
	}
	if last {
		t = t.AddDate(0, 0, 1).Add(-time.Second)
	}
	return t
}

// jurisdiction is the province or state of a plate; empty is unknown.
func (r *record) jurisdiction() string {
	s := r.field("jurisdiction")
	if strings.ToUpper(s) != s || len(s) > 8 {
		r.fault("jurisdiction", "is not a code such as ON or NY")
	}
	return s
}
