package authority

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// lookoutsCSV is a file of lookouts, each "ID VERSION ACTION".
func lookoutsCSV(rows ...string) map[string]string {
	var b strings.Builder
	b.WriteString("id,version,subject_type,subject,jurisdiction,action,reason_code,caveat,agency,region,officer_safety,valid_from,valid_until\n")
	for i, r := range rows {
		f := strings.Fields(r)
		fmt.Fprintf(&b, "%s,%s,PLATE,ABC%03d,BC,%s,CUSTOMS,,CBSA,,no,2026-11-01,2026-12-01\n", f[0], f[1], i, f[2])
	}
	return map[string]string{"lookouts.csv": b.String()}
}

// A lookout changes with a higher version only, and one that was withdrawn does
// not come back out of an old file, whatever was published in between.
func TestI6_OldFileBringsNoLookoutBack(t *testing.T) {
	dir, _ := newOffice(t)
	publish := func(force bool, rows ...string) error {
		t.Helper()
		out := filepath.Join(t.TempDir(), "built")
		mustBuild(t, put(t, filepath.Join(t.TempDir(), "csv"), lookoutsCSV(rows...)), out, dir)
		var kinds []string
		if force {
			kinds = []string{"lookouts"}
		}
		_, err := at(dir, time.Now()).Publish(out, kinds)
		return err
	}
	for i, step := range []struct {
		rows []string
		want string // part of the refusal; "": taken
	}{
		{[]string{"LK-1 3 REFER", "LK-2 1 STOP"}, ""},
		{[]string{"LK-1 3 REFER", "LK-2 1 STOP"}, ""},                                          // again
		{[]string{"LK-1 2 REFER", "LK-2 1 STOP"}, `"LK-1" is of version 2, in force is 3`},     // replaced before
		{[]string{"LK-1 3 OBSERVE", "LK-2 1 STOP"}, `"LK-1" says something else`},              // changed in silence
		{[]string{"LK-1 4 OBSERVE", "LK-2 1 STOP"}, ""},                                        // replaced
		{[]string{"LK-2 1 STOP"}, ""},                                                          // LK-1 is withdrawn
		{[]string{"LK-2 1 STOP", "LK-3 1 REFER"}, ""},                                          // and forgotten by the list in force
		{[]string{"LK-1 4 OBSERVE", "LK-2 1 STOP", "LK-3 1 REFER"}, `withdrawn was 4`},         // the old file
		{[]string{"LK-1 3 REFER", "LK-2 1 STOP", "LK-3 1 REFER"}, `"LK-1" is of version 3`},    // an older one
		{[]string{"LK-1 5 REFER", "LK-2 1 STOP", "LK-3 1 REFER"}, ""},                          // issued anew
		{[]string{"LK-1 5 REFER", "LK-2 1 STOP", "LK-3 1 REFER", "LK-4 1 OBSERVE"}, ""},        // its tombstone is gone
		{[]string{"LK-1 4 REFER", "LK-2 1 STOP", "LK-3 1 REFER"}, `is of version 4, in force`}, // and its version stands
	} {
		before := state(t, dir)
		err := publish(true, step.rows...)
		switch {
		case step.want == "" && err != nil:
			t.Fatalf("step %d: %v", i, err)
		case step.want != "" && (!errors.Is(err, ErrVersion) || !strings.Contains(err.Error(), step.want)):
			t.Fatalf("step %d: %v, want %s", i, err, step.want)
		case step.want != "" && state(t, dir) != before:
			t.Fatalf("step %d: a refused file left its mark", i)
		}
	}
	// A publication refused for another list's sake keeps the tombstones too.
	if err := publish(true, "LK-2 1 STOP"); err != nil {
		t.Fatal(err)
	}
	in := lookoutsCSV("LK-1 6 REFER", "LK-2 1 STOP")
	in["vehicles.csv"], in["members.csv"] = "member,plate,jurisdiction\n", goodCSV["members.csv"]
	out := filepath.Join(t.TempDir(), "built")
	mustBuild(t, put(t, filepath.Join(t.TempDir(), "csv"), in), out, dir)
	if _, err := at(dir, time.Now()).Publish(out, []string{"lookouts"}); !errors.Is(err, ErrShrunk) {
		t.Fatalf("an empty list of vehicles: %v", err)
	}
	if err := publish(true, "LK-1 5 REFER", "LK-2 1 STOP"); !errors.Is(err, ErrVersion) {
		t.Errorf("after a publication that failed: %v", err)
	}
}

// state is all that a publication changes.
func state(t *testing.T, dir string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, withdrawnFile))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		t.Fatal(err)
	}
	s := string(b)
	if _, err := os.Stat(filepath.Join(dir, "repository", "timestamp.json")); err == nil {
		s += repository(t, dir)
	}
	return s
}

// The lookouts in force tell what is withdrawn. Where their file was lost or
// spoilt, a copy that has the same content serves; without one nothing is
// published, and it is said which file is wanted.
func TestI6_LostLookoutsAreFoundInACopy(t *testing.T) {
	other := func(t *testing.T, dir string) []byte { // sound, and never published
		out := filepath.Join(t.TempDir(), "built")
		mustBuild(t, put(t, filepath.Join(t.TempDir(), "csv"), lookoutsCSV("LK-9 1 STOP")), out, dir)
		b, err := os.ReadFile(filepath.Join(out, "lookouts.list"))
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	for _, harm := range []struct {
		name string
		do   func(t *testing.T, dir, path string) error
	}{
		{"lost", func(_ *testing.T, _, path string) error { return os.Remove(path) }},
		{"spoilt", func(_ *testing.T, _, path string) error { return os.WriteFile(path, []byte("x"), 0o600) }},
		{"another one", func(t *testing.T, dir, path string) error { return os.WriteFile(path, other(t, dir), 0o600) }},
	} {
		t.Run(harm.name, func(t *testing.T) {
			dir, _ := newOffice(t)
			web := filepath.Join(t.TempDir(), "web")
			publish := func(copied string, rows ...string) error {
				t.Helper()
				out := filepath.Join(t.TempDir(), "built")
				mustBuild(t, put(t, filepath.Join(t.TempDir(), "csv"), lookoutsCSV(rows...)), out, dir)
				o := at(dir, time.Now())
				o.Copy = copied
				_, err := o.Publish(out, []string{"lookouts"})
				return err
			}
			if err := publish("", "LK-1 3 REFER", "LK-2 1 STOP"); err != nil {
				t.Fatal(err)
			}
			if err := at(dir, time.Now()).Mirror(web); err != nil {
				t.Fatal(err)
			}
			if err := harm.do(t, dir, filepath.Join(dir, "repository", "targets", "lookouts-1.list")); err != nil {
				t.Fatal(err)
			}
			before := state(t, dir)
			for _, none := range []string{"", t.TempDir()} {
				if err := publish(none, "LK-2 1 STOP", "LK-3 1 STOP"); !errors.Is(err, ErrLost) || !strings.Contains(err.Error(), "lookouts-1.list") {
					t.Errorf("without a copy: %v", err)
				}
			}
			if state(t, dir) != before {
				t.Error("what was refused left its mark")
			}
			if err := publish(web, "LK-1 2 REFER"); !errors.Is(err, ErrVersion) {
				t.Errorf("an old lookout, with a copy: %v", err)
			}
			if err := publish(web, "LK-2 1 STOP", "LK-3 1 STOP"); err != nil {
				t.Fatalf("with a copy: %v", err)
			}
			if err := publish("", "LK-1 3 REFER", "LK-2 1 STOP", "LK-3 1 STOP"); !errors.Is(err, ErrVersion) {
				t.Errorf("the one that was withdrawn comes back: %v", err)
			}
		})
	}
}
