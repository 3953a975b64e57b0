package authority

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// The same rows give the same lists, byte for byte, as CSV and as NDJSON.
func TestNDJSONIsCSV(t *testing.T) {
	top := t.TempDir()
	key := filepath.Join(put(t, top, map[string]string{"token.key": strings.Repeat("1f", 32)}), "token.key")
	csv := map[string]string{
		"members.csv": "member,status,programs,valid_from,valid_until\n980000017,ACTIVE,NEXUS FAST,,2099-06-30\n",
		"cards.csv":   "epc,status,member,card_until,extended,tid\nE28011700000020AB7F0D581,ISSUED,980000017,,no,\n",
	}
	lines := map[string]string{
		"members.ndjson": `{"member": 980000017, "status": "ACTIVE", "programs": ["NEXUS", "FAST"], "valid_until": "2099-06-30", "valid_from": null}` + "\n\n",
		"cards.csv":      csv["cards.csv"],
	}
	a, b := filepath.Join(top, "a"), filepath.Join(top, "b")
	if _, err := Build(put(t, filepath.Join(top, "csv"), csv), a, key, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := Build(put(t, filepath.Join(top, "ndjson"), lines), b, key, nil); err != nil {
		t.Fatal(err)
	}
	for _, kind := range []string{"members", "cards"} {
		x, errX := os.ReadFile(filepath.Join(a, kind+".list"))
		y, errY := os.ReadFile(filepath.Join(b, kind+".list"))
		if errX != nil || errY != nil || string(x) != string(y) {
			t.Errorf("%s: %v %v", kind, errX, errY)
		}
	}
}

// Every bad line is told by file and number, none is quoted, and nothing is
// built.
func TestI7_NDJSONTellsLinesAndQuotesNothing(t *testing.T) {
	for name, tt := range map[string]struct {
		files map[string]string
		want  []string
	}{
		"lines": {map[string]string{"members.ndjson": "{\"member\":\"980000017\",\"status\":\"ACTIVE\",\"programs\":\"NEXUS\"}\n" +
			"no json 980000018\n{\"member\":\"980000019\",\"status\":\"GONE\",\"programs\":\"NEXUS\"}\n{\"membre\":\"980000020\"}\n{\"member\":{\"x\":980000021}}\n[980000022]\n"},
			[]string{"members.ndjson:2: is no JSON object", "members.ndjson:3: status is none of", "members.ndjson:4: has a member that is none of", "members.ndjson:5: member is no text", "members.ndjson:6: is no JSON object"}},
		"both": {map[string]string{"members.ndjson": "", "members.csv": "member,status,programs,valid_from,valid_until\n"}, []string{"members.csv and members.ndjson"}},
		"long": {map[string]string{"members.ndjson": strings.Repeat("x", maxLine+1)}, []string{"members.ndjson:1: line is over"}},
	} {
		t.Run(name, func(t *testing.T) {
			top := t.TempDir()
			key := filepath.Join(put(t, top, map[string]string{"token.key": strings.Repeat("1f", 32)}), "token.key")
			out := filepath.Join(top, "out")
			_, err := Build(put(t, filepath.Join(top, "in"), tt.files), out, key, nil)
			if err == nil {
				t.Fatal("built")
			}
			for _, w := range tt.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("no %q in\n%v", w, err)
				}
			}
			if strings.Contains(err.Error(), "9800000") {
				t.Errorf("a row is quoted:\n%v", err)
			}
			if _, err := os.Stat(out); err == nil {
				t.Error("something was built")
			}
		})
	}
}
